/* class_test.c: every size has the class that it should, under both policies and every alignment. */
#include "pool/class.h"

#include "pool/hot.h"
#include "pool/map.h"
#include "test.h"

#define MIB (1u << 20)

static dcmi_class_table
table_of(dcmem_sizing sizing, uint64_t alignment)
{
    dcmi_class_table table;
    dcmi_class_table_init(&table, sizing, alignment);
    return table;
}

/* The bytes of the block that a request gets. */
static uint64_t
capacity(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    unsigned class = dcmi_class_for(table, bytes, alignment);
    if (class >= DCMI_CLASS_COUNT)
        TEST_FAIL("no class for %llu bytes at %llu", (unsigned long long)bytes, (unsigned long long)alignment);
    return table->classes[class].bytes;
}

/* Calls with every size up to 1 MiB and with those at, before and after each class's size up to 1 GiB. */
static void
each_size(const dcmi_class_table *table, uint64_t alignment,
          void (*check)(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment))
{
    for (uint64_t bytes = 1; bytes <= MIB; bytes++)
        check(table, bytes, alignment);
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        uint64_t bytes = dcmi_class_bytes(index);
        check(table, bytes - 1, alignment);
        check(table, bytes, alignment);
        if (bytes < DCMI_CLASS_LARGEST)
            check(table, bytes + 1, alignment);
    }
}

static void
holds_the_request(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    if (capacity(table, bytes, alignment) < bytes)
        TEST_FAIL("%llu bytes get less", (unsigned long long)bytes);
}

static void
loses_an_eighth_at_most(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    uint64_t block = capacity(table, bytes, alignment), lost = block - bytes;
    if (bytes > 512 ? lost * 8 > block : lost >= DCMI_QUANTUM)
        TEST_FAIL("%llu bytes lose %llu", (unsigned long long)bytes, (unsigned long long)lost);
}

static void
is_the_next_power_of_two(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    uint64_t block = capacity(table, bytes, alignment);
    if (!dcmi_is_power_of_two(block) || (bytes > DCMI_QUANTUM ? block >= 2 * bytes : block != DCMI_QUANTUM))
        TEST_FAIL("%llu bytes get %llu", (unsigned long long)bytes, (unsigned long long)block);
}

static void
is_aligned(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    uint64_t block = capacity(table, bytes, alignment);
    if (block % alignment || block < bytes)
        TEST_FAIL("%llu bytes get %llu, alignment %llu", (unsigned long long)bytes, (unsigned long long)block,
                  (unsigned long long)alignment);
}

TEST(class__every_size_gets_a_block_that_holds_it)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    each_size(&table, 64, holds_the_request);
    table = table_of(DCMEM_SIZING_POWER_OF_TWO, 64);
    each_size(&table, 64, holds_the_request);
}

TEST(class__the_default_sizing_loses_an_eighth_at_most)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    each_size(&table, 64, loses_an_eighth_at_most);
}

TEST(class__the_power_of_two_sizing_gives_the_next_power_of_two)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_POWER_OF_TWO, 64);
    each_size(&table, 64, is_the_next_power_of_two);
}

TEST(class__a_request_gets_the_alignment_that_it_asks_for)
{
    for (uint64_t alignment = 64; alignment <= 4096; alignment *= 2) {
        dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
        each_size(&table, alignment, is_aligned);
        table = table_of(DCMEM_SIZING_POWER_OF_TWO, 64);
        each_size(&table, alignment, is_aligned);
    }
}

TEST(class__a_pool_of_coarse_alignment_serves_nothing_finer)
{
    for (uint64_t alignment = 64; alignment <= 4096; alignment *= 2) {
        for (int sizing = DCMEM_SIZING_DEFAULT; sizing <= (int)DCMEM_SIZING_POWER_OF_TWO; sizing++) {
            dcmi_class_table table = table_of((dcmem_sizing)sizing, alignment);
            for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
                unsigned class = table.serving[index];
                EXPECT_GE(class, index);
                EXPECT_EQ(table.classes[class].bytes % alignment, 0);
            }
        }
    }
}

/* The block at the start of a slab is as aligned as a page, the others as their size. */
TEST(class__no_smaller_class_would_have_served)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    for (uint64_t bytes = 1; bytes <= MIB; bytes++) {
        unsigned class = dcmi_class_for(&table, bytes, 64);
        if (class > 0 && table.classes[class - 1].bytes >= bytes)
            TEST_FAIL("%llu bytes would fit the class before", (unsigned long long)bytes);
    }
}

TEST(class__an_index_never_falls_as_sizes_rise)
{
    unsigned before = dcmi_class_index(1);
    EXPECT_EQ(before, 0);
    for (uint64_t bytes = 2; bytes <= MIB; bytes++) {
        unsigned index = dcmi_class_index(bytes);
        if (index != before && index != before + 1)
            TEST_FAIL("index %u follows %u at %llu bytes", index, before, (unsigned long long)bytes);
        before = index;
    }
    EXPECT_EQ(dcmi_class_index(DCMI_CLASS_LARGEST), DCMI_CLASS_COUNT - 1);
}

TEST(class__the_size_of_an_index_is_the_last_that_has_it)
{
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        uint64_t bytes = dcmi_class_bytes(index);
        EXPECT_EQ(dcmi_class_index(bytes), index);
        if (bytes < DCMI_CLASS_LARGEST)
            EXPECT_EQ(dcmi_class_index(bytes + 1), index + 1);
    }
}

TEST(class__more_than_the_largest_has_no_class)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    EXPECT_EQ(dcmi_class_for(&table, DCMI_CLASS_LARGEST, 4096), DCMI_CLASS_COUNT - 1);
    EXPECT_EQ(dcmi_class_for(&table, DCMI_CLASS_LARGEST + 1, 64), DCMI_CLASS_NONE);
    EXPECT_EQ(dcmi_class_for(&table, UINT64_MAX, 64), DCMI_CLASS_NONE);
}

TEST(class__slabs_are_filled_without_a_rest)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        const dcmi_class *class = &table.classes[index];
        if (!class->is_slab) {
            EXPECT_EQ(class->bytes % DCMI_PAGE, 0);
            continue;
        }
        EXPECT(class->slab_pages >= 4 && class->slab_pages <= 16);
        EXPECT_EQ((uint64_t)class->slab_pages * DCMI_PAGE % class->bytes, 0);
        EXPECT_EQ(dcmi_slab_blocks(class) * class->bytes, (uint64_t)class->slab_pages * DCMI_PAGE);
        EXPECT(dcmi_slab_blocks(class) >= 1 && dcmi_slab_blocks(class) <= DCMI_SLAB_MOST_BLOCKS);
        EXPECT_LE(class->bytes, DCMI_SMALL_LARGEST);
    }
}

TEST(class__a_page_whose_kind_is_a_class_says_which)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        EXPECT_NE(table.classes[index].kind, DCMI_PAGE_NONE);
        EXPECT_NE(table.classes[index].kind, DCMI_PAGE_DIRECT);
        EXPECT_EQ(dcmi_page_class(table.classes[index].kind), index);
        EXPECT_EQ(dcmi_page_is_slab(table.classes[index].kind), table.classes[index].is_slab);
    }
}

/* The mark of a request in 64 bits, as it is before it is cut to 16. */
static uint64_t
whole_mark(const dcmi_class *class, uint64_t bytes)
{
    return ((class->bytes - bytes) >> class->slack_shift) + 1;
}

/* What a block of more than a page is asked for, or shrunk to in place, is more than half of it. */
TEST(class__a_live_mark_is_never_0_and_never_too_large)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        const dcmi_class *class = &table.classes[index];
        uint64_t step = class->bytes / 4096 + 1;
        uint64_t least = class->bytes > DCMI_PAGE ? class->bytes / 2 + 1 : 1;
        for (uint64_t bytes = least; bytes <= class->bytes; bytes += step) {
            uint64_t mark = whole_mark(class, bytes);
            EXPECT(mark >= 1 && mark <= DCMI_MARK_MOST);
            EXPECT_EQ(dcmi_mark_for(class->bytes, class->slack_shift, bytes), mark);
        }
        EXPECT_EQ(dcmi_mark_for(class->bytes, class->slack_shift, class->bytes), 1);
    }
}

TEST(class__more_than_half_of_a_block_of_more_than_a_page_is_in_use)
{
    for (int sizing = DCMEM_SIZING_DEFAULT; sizing <= (int)DCMEM_SIZING_POWER_OF_TWO; sizing++)
        for (uint64_t alignment = 64; alignment <= DCMI_PAGE; alignment *= 2) {
            dcmi_class_table table = table_of((dcmem_sizing)sizing, alignment);
            /* The smallest request of each index is the one of which most is lost. */
            for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
                uint64_t bytes = index ? dcmi_class_bytes(index - 1) + 1 : 1;
                uint64_t size = table.classes[dcmi_class_for(&table, bytes, alignment)].bytes;
                EXPECT(size <= DCMI_PAGE || bytes > size / 2);
            }
        }
}

/* Smaller blocks lose too little for a unit to matter; larger ones are told to within one. */
TEST(class__a_mark_of_a_block_below_64_KiB_tells_the_loss_to_the_byte)
{
    for (int sizing = DCMEM_SIZING_DEFAULT; sizing <= (int)DCMEM_SIZING_POWER_OF_TWO; sizing++) {
        dcmi_class_table table = table_of((dcmem_sizing)sizing, 64);
        for (uint64_t bytes = 1; bytes <= DCMI_SMALL_LARGEST / 2; bytes++) {
            const dcmi_class *class = &table.classes[dcmi_class_for(&table, bytes, 64)];
            if (dcmi_mark_for(class->bytes, class->slack_shift, bytes) - 1u != class->bytes - bytes)
                TEST_FAIL("%llu bytes are told wrongly", (unsigned long long)bytes);
        }
    }
}

TEST(class__the_unit_of_a_mark_is_at_most_a_32768th_of_the_block)
{
    dcmi_class_table table = table_of(DCMEM_SIZING_DEFAULT, 64);
    for (unsigned index = 0; index < DCMI_CLASS_COUNT; index++) {
        const dcmi_class *class = &table.classes[index];
        EXPECT(class->slack_shift == 0 || 1ull << class->slack_shift <= class->bytes / 32768);
    }
}
