/* region_test.c: slabs and runs of pages, on addresses that nothing ever touches. */
#include "pool/region.h"

#include "test.h"

#define HERE (1ull << 40)

typedef struct fixture {
    dcmi_class_table table;
    dcmi_map map;
    dcmi_region region;
} fixture;

/* A region number 3 with `pages` free pages. */
static fixture *
open_with(uint64_t pages)
{
    fixture *it = aligned_alloc(128, (sizeof *it + 127) / 128 * 128);
    EXPECT(it);
    memset(it, 0, sizeof *it);
    dcmi_class_table_init(&it->table, DCMEM_SIZING_DEFAULT, 64);
    EXPECT_OK(dcmi_map_init(&it->map));
    EXPECT_OK(dcmi_region_init(&it->region, 3, &it->table, &it->map));
    if (pages > 0) {
        EXPECT_OK(dcmi_map_cover(&it->map, HERE, pages * DCMI_PAGE));
        EXPECT(dcmi_fit_add(&it->region.fit, HERE / DCMI_PAGE, pages, 0, true));
    }
    return it;
}

static void
close_it(fixture *it)
{
    EXPECT_OK(dcmi_region_check(&it->region));
    dcmi_region_fini(&it->region);
    dcmi_map_fini(&it->map);
    free(it);
}

static unsigned
class_of(const fixture *it, uint64_t bytes)
{
    return dcmi_class_for(&it->table, bytes, 64);
}

static unsigned
take(uint64_t *out, fixture *it, unsigned class, unsigned count)
{
    dcmi_lock_take(&it->region.lock);
    unsigned taken = dcmi_region_take(out, &it->region, class, count);
    dcmi_lock_drop(&it->region.lock);
    return taken;
}

static uint64_t
take_pages(fixture *it, uint64_t pages, uint64_t align_pages)
{
    dcmi_lock_take(&it->region.lock);
    uint64_t address = dcmi_region_take_pages(&it->region, pages, align_pages);
    dcmi_lock_drop(&it->region.lock);
    return address;
}

static void
give(fixture *it, uint64_t address)
{
    dcmi_lock_take(&it->region.lock);
    dcmi_region_give(&it->region, address);
    dcmi_lock_drop(&it->region.lock);
}

static void
settle(fixture *it)
{
    dcmi_lock_take(&it->region.lock);
    dcmi_region_settle(&it->region);
    dcmi_lock_drop(&it->region.lock);
}

static uint64_t
take_one(fixture *it, unsigned class)
{
    uint64_t block;
    return take(&block, it, class, 1) == 1 ? block : 0;
}

/* ---- Slabs ---- */

TEST(region__a_slabs_blocks_fill_its_pages_and_do_not_overlap)
{
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        fixture *it = open_with(64);
        const dcmi_class *of = &it->table.classes[class];
        unsigned blocks = of->is_slab ? dcmi_slab_blocks(of) : 0;
        uint64_t end = HERE + (uint64_t)of->slab_pages * DCMI_PAGE, sum = 0;
        static uint8_t seen[DCMI_SLAB_MOST_BLOCKS];
        memset(seen, 0, sizeof seen);
        for (unsigned i = 0; i < blocks; i++) {
            uint64_t block = take_one(it, class);
            EXPECT(block >= HERE && block + of->bytes <= end);
            EXPECT_EQ((block - HERE) % of->bytes, 0);
            EXPECT(!seen[(block - HERE) / of->bytes]);
            seen[(block - HERE) / of->bytes] = 1;
            sum += of->bytes;
            EXPECT_OK(dcmi_region_check(&it->region));
        }
        EXPECT_EQ(sum, (uint64_t)of->slab_pages * DCMI_PAGE);
        EXPECT_EQ(it->region.slab_free_bytes, 0);
        close_it(it);
    }
}

TEST(region__every_page_of_a_slab_says_whose_it_is)
{
    fixture *it = open_with(64);
    unsigned class = class_of(it, 4608);
    const dcmi_class *of = &it->table.classes[class];
    uint64_t block = take_one(it, class);
    for (unsigned i = 0; i < of->slab_pages; i++) {
        dcmi_page *page = dcmi_map_page(&it->map, HERE + (uint64_t)i * DCMI_PAGE);
        EXPECT_EQ(atomic_load(&page->kind), of->kind);
        EXPECT_EQ(atomic_load(&page->owner) >> DCMI_OWNER_BITS, 3);
        EXPECT_EQ(dcmi_region_slab(&it->region, atomic_load(&page->owner))->address, HERE);
    }
    EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, HERE + of->slab_pages * DCMI_PAGE)->kind), DCMI_PAGE_NONE);

    give(it, block);
    settle(it);
    for (unsigned i = 0; i < of->slab_pages; i++)
        EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, HERE + (uint64_t)i * DCMI_PAGE)->kind), DCMI_PAGE_NONE);
    EXPECT_EQ(it->region.fit.free_pages, 64);
    close_it(it);
}

TEST(region__a_batch_comes_from_one_slab_at_most_beyond_those_begun)
{
    fixture *it = open_with(64);
    unsigned class = class_of(it, 8192 + 1024); /* few blocks to a slab */
    unsigned in_slab = dcmi_slab_blocks(&it->table.classes[class]);
    uint64_t blocks[64];
    EXPECT_EQ(take(blocks, it, class, 64), in_slab);
    EXPECT_EQ(it->region.fit.free_pages, 64u - it->table.classes[class].slab_pages);
    for (unsigned i = 0; i < in_slab; i++)
        give(it, blocks[i]);
    close_it(it);
}

TEST(region__one_empty_slab_of_a_class_is_kept_and_settle_gives_it_back)
{
    fixture *it = open_with(1000);
    unsigned class = class_of(it, 64);
    unsigned count = 10 * dcmi_slab_blocks(&it->table.classes[class]);
    uint64_t *blocks = calloc(count, sizeof *blocks);
    EXPECT(blocks);
    for (unsigned i = 0; i < count; i++)
        blocks[i] = take_one(it, class);
    EXPECT_EQ(it->region.fit.free_pages, 1000u - 10 * it->table.classes[class].slab_pages);
    for (unsigned i = 0; i < count; i++)
        give(it, blocks[i]);
    EXPECT_EQ(it->region.fit.free_pages, 1000u - it->table.classes[class].slab_pages);
    EXPECT_EQ(it->region.slab_free_bytes, (uint64_t)it->table.classes[class].slab_pages * DCMI_PAGE);
    EXPECT_OK(dcmi_region_check(&it->region));

    settle(it);
    EXPECT_EQ(it->region.fit.free_pages, 1000);
    EXPECT_EQ(it->region.slab_free_bytes, 0);
    free(blocks);
    close_it(it);
}

TEST(region__settle_keeps_slabs_that_are_in_use)
{
    fixture *it = open_with(64);
    unsigned class = class_of(it, 128);
    uint64_t block = take_one(it, class);
    settle(it);
    EXPECT_EQ(it->region.fit.free_pages, 64u - it->table.classes[class].slab_pages);
    give(it, block);
    close_it(it);
}

TEST(region__without_pages_there_are_no_blocks)
{
    fixture *it = open_with(0);
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
        EXPECT_EQ(take_one(it, class), 0);
    EXPECT_EQ(take_pages(it, 1, 1), 0);
    close_it(it);
}

TEST(region__without_a_slab_descriptor_pages_stay_where_they_are)
{
    fixture *it = open_with(64);
    uint32_t capacity = it->region.slab_capacity;
    it->region.slab_capacity = it->region.slab_high;
    EXPECT_EQ(take_one(it, 0), 0);
    EXPECT_EQ(it->region.fit.free_pages, 64);
    it->region.slab_capacity = capacity;
    EXPECT(take_one(it, 0) != 0);
    close_it(it);
}

TEST(region__slab_descriptors_are_used_again)
{
    fixture *it = open_with(64);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned class = i % 8;
        give(it, take_one(it, class));
        settle(it);
    }
    EXPECT_LE(it->region.slab_high, 4);
    close_it(it);
}

/* ---- Runs of pages ---- */

TEST(region__a_run_is_known_by_its_first_page_alone)
{
    fixture *it = open_with(1000);
    unsigned class = class_of(it, 1u << 20);
    uint64_t block = take_one(it, class);
    EXPECT_EQ(block % DCMI_PAGE, 0);
    EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, block)->kind), it->table.classes[class].kind);
    for (unsigned i = 1; i < 256; i++)
        EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, block + (uint64_t)i * DCMI_PAGE)->kind), DCMI_PAGE_NONE);
    uint32_t owner = atomic_load(&dcmi_map_page(&it->map, block)->owner);
    EXPECT_EQ(owner >> DCMI_OWNER_BITS, 3);
    EXPECT_EQ(dcmi_region_span(&it->region, owner)->pages, 256);

    give(it, block);
    EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, block)->kind), DCMI_PAGE_NONE);
    EXPECT_EQ(it->region.fit.free_pages, 1000);
    close_it(it);
}

TEST(region__a_run_of_no_class_is_direct_and_aligned)
{
    fixture *it = open_with(1000);
    for (uint64_t align = 1; align <= 256; align *= 2) {
        uint64_t block = take_pages(it, 7, align);
        EXPECT(block != 0);
        EXPECT_EQ(block / DCMI_PAGE % align, 0);
        EXPECT_EQ(atomic_load(&dcmi_map_page(&it->map, block)->kind), DCMI_PAGE_DIRECT);
        give(it, block);
    }
    EXPECT_EQ(it->region.fit.free_pages, 1000);
    close_it(it);
}

TEST(region__the_fewest_free_pages_are_remembered)
{
    fixture *it = open_with(1000);
    it->region.idle_low_pages = it->region.fit.free_pages;
    uint64_t block = take_pages(it, 300, 1);
    give(it, block);
    EXPECT_EQ(it->region.idle_low_pages, 700);
    close_it(it);
}

/* ---- All sizes at once ---- */

typedef struct taken {
    uint64_t address, bytes;
} taken;

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
expect_apart(const taken *blocks, unsigned count, const taken *block)
{
    for (unsigned i = 0; i < count; i++)
        if (block->address < blocks[i].address + blocks[i].bytes && blocks[i].address < block->address + block->bytes)
            TEST_FAIL("two blocks overlap at %#llx", (unsigned long long)block->address);
}

TEST(region__blocks_of_all_sizes_never_overlap_and_all_pages_come_back)
{
    enum { MOST = 300 };
    fixture *it = open_with(5000);
    taken blocks[MOST];
    unsigned count = 0;
    uint64_t random = 88172645463325252u;
    for (unsigned n = 0; n < 4000; n++) {
        if (count == MOST || (count > 0 && next_random(&random) % 2)) {
            unsigned which = (unsigned)(next_random(&random) % count);
            give(it, blocks[which].address);
            blocks[which] = blocks[--count];
        } else {
            unsigned class = (unsigned)(next_random(&random) % class_of(it, 1u << 19));
            taken block = {take_one(it, class), it->table.classes[class].bytes};
            if (!block.address)
                continue;
            EXPECT(block.address >= HERE && block.address + block.bytes <= HERE + 5000ull * DCMI_PAGE);
            expect_apart(blocks, count, &block);
            blocks[count++] = block;
        }
        if (n % 16 == 0)
            EXPECT_OK(dcmi_region_check(&it->region));
    }
    while (count > 0)
        give(it, blocks[--count].address);
    settle(it);
    EXPECT_EQ(it->region.fit.free_pages, 5000);
    EXPECT_EQ(it->region.fit.spans[dcmi_fit_largest(&it->region.fit, DCMI_SPAN_NONE)].pages, 5000);
    close_it(it);
}

TEST(region__reset_forgets_everything)
{
    fixture *it = open_with(64);
    EXPECT(take_one(it, 0) != 0);
    dcmi_region_reset(&it->region);
    EXPECT_EQ(it->region.fit.free_pages, 0);
    EXPECT_EQ(it->region.slab_free_bytes, 0);
    EXPECT_EQ(take_one(it, 0), 0);
    close_it(it);
}

/* ---- Checks, and what fails ---- */

TEST(region__check_finds_what_is_broken)
{
    fixture *it = open_with(64);
    EXPECT(take_one(it, 0) != 0);
    it->region.slab_free_bytes += 64;
    EXPECT_RESULT(dcmi_region_check(&it->region), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("miscounted");
    it->region.slab_free_bytes -= 64;

    dcmi_slab *slab = &it->region.slabs[1];
    slab->free++;
    EXPECT_RESULT(dcmi_region_check(&it->region), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("marked free");
    slab->free--;

    slab->is_listed = 0;
    EXPECT_RESULT(dcmi_region_check(&it->region), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("listed");
    slab->is_listed = 1;
    close_it(it);
}

static unsigned asked, refused_from, refused_to;

static bool
refuse_range(const char *what)
{
    (void)what;
    asked++;
    return asked >= refused_from && asked < refused_to;
}

/* Whether a region can be made while reservations `from` to `to` - 1 fail. */
static dcmem_result
make_with_faults(dcmi_region *region, unsigned from, unsigned to)
{
    asked = 0;
    refused_from = from;
    refused_to = to;
    dcmi_os_fault = refuse_range;
    dcmem_result result = dcmi_region_init(region, 0, NULL, NULL);
    dcmi_os_fault = NULL;
    return result;
}

TEST(region__less_address_space_means_fewer_slabs_and_none_is_told)
{
    static dcmi_region region;
    EXPECT_OK(make_with_faults(&region, 2, 4));
    EXPECT_LE(region.slab_capacity, (1u << 21) / 16);
    dcmi_region_fini(&region);

    memset(&region, 0, sizeof region);
    EXPECT_RESULT(make_with_faults(&region, 2, UINT32_MAX), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("slab descriptors");
    dcmi_region_fini(&region);

    memset(&region, 0, sizeof region);
    EXPECT_RESULT(make_with_faults(&region, 1, UINT32_MAX), DCMEM_E_NO_HOST_MEMORY);
    dcmi_region_fini(&region);
}
