/* raw_test.c: raw memory on the CPU: what it gives, what it refuses, and what it says then. */
#include "kit.h"

/* ---- What it gives ---- */

TEST(raw__a_block_holds_what_was_written_to_it)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char *block = allocate(manager, 1000);
    memset(block, 0x5a, 1000);
    for (unsigned i = 0; i < 1000; i++)
        EXPECT_EQ(block[i], 0x5a);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__every_block_is_aligned_to_64_and_whole_pages_to_4096)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (uint64_t bytes = 1; bytes <= 256 * KIB; bytes += bytes / 7 + 1) {
        void *block = allocate(manager, bytes);
        EXPECT_EQ((uintptr_t)block % 64, 0);
        release(manager, block);
    }
    for (uint64_t bytes = 4096; bytes <= 4 * MIB; bytes += 4096 * 7) {
        void *block = allocate(manager, bytes);
        EXPECT_EQ((uintptr_t)block % 4096, 0);
        release(manager, block);
    }
    manager_end(manager);
}

TEST(raw__usable_size_is_at_least_what_was_asked_and_can_all_be_used)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (uint64_t bytes = 1; bytes <= 3 * MIB; bytes += bytes / 3 + 1) {
        void *block = allocate(manager, bytes);
        uint64_t all = usable(manager, block);
        EXPECT_GE(all, bytes);
        memset(block, 1, all);
        release(manager, block);
    }
    manager_end(manager);
}

TEST(raw__blocks_further_apart_than_the_near_leaf_come_and_go_like_others)
{
    test_device it = device_open(64 * GIB, NULL);
    void *between = allocate(it.manager, 20 * GIB); /* more than a leaf */
    const uint64_t sizes[] = {64, 5000, 64 * KIB, MIB, 3 * MIB};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *first = allocate(it.manager, sizes[i]);
        release(it.manager, first);
        for (unsigned n = 0; n < 3; n++) {
            void *again = allocate(it.manager, sizes[i]);
            EXPECT(again == first);
            EXPECT_EQ(dcmem_raw_free(it.manager, (char *)again + 32), DCMEM_E_INTERIOR);
            release(it.manager, again);
            EXPECT_EQ(dcmem_raw_free(it.manager, again), DCMEM_E_ALREADY_FREE);
        }
    }
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_GE(stats.magazine_hits, 3 * sizeof sizes / sizeof sizes[0]);
    release(it.manager, between);
    device_close(&it);
}

TEST(raw__an_aligned_block_lies_at_a_multiple_of_every_power_of_two)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (uint64_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        const uint64_t sizes[] = {1, 100, 4096, 5000, 70000, 2 * MIB + 1};
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            void *block = dcmem_raw_allocate_aligned(manager, sizes[i], alignment);
            if (!block)
                TEST_FAIL("%s", dcmem_last_detail()->message);
            EXPECT_EQ((uintptr_t)block % alignment, 0);
            EXPECT_GE(usable(manager, block), sizes[i]);
            memset(block, 3, sizes[i]);
            release(manager, block);
        }
    }
    manager_end(manager);
}

TEST(raw__alignment_reaches_1_GiB)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = dcmem_raw_allocate_aligned(manager, 100, GIB);
    EXPECT(block != NULL);
    EXPECT_EQ((uintptr_t)block % GIB, 0);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__zeroed_memory_is_zero_even_where_a_block_was_dirty)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned round = 0; round < 3; round++) {
        unsigned char *block = dcmem_raw_allocate_zeroed(manager, 333, 7);
        EXPECT(block != NULL);
        for (unsigned i = 0; i < 333 * 7; i++)
            EXPECT_EQ(block[i], 0);
        memset(block, 0xff, usable(manager, block));
        release(manager, block);
    }
    manager_end(manager);
}

TEST(raw__reallocate_keeps_the_shorter_sizes_bytes)
{
    dcmem_manager *manager = cpu_manager(NULL);
    random_source random = {1};
    uint64_t bytes = 100;
    unsigned char *block = allocate(manager, bytes);
    memset(block, 7, bytes);
    for (unsigned round = 0; round < 300; round++) {
        uint64_t wanted = random_size(&random, 20), kept = wanted < bytes ? wanted : bytes;
        unsigned char value = block[0];
        block = dcmem_raw_reallocate(manager, block, wanted);
        EXPECT(block != NULL);
        EXPECT_GE(usable(manager, block), wanted);
        for (uint64_t i = 0; i < kept; i++)
            if (block[i] != value)
                TEST_FAIL("byte %llu of %llu was not kept", (unsigned long long)i, (unsigned long long)kept);
        memset(block, (int)(round & 0xff), wanted);
        bytes = wanted;
    }
    release(manager, block);
    EXPECT_EQ(stats_of(manager).live_allocations, 0);
    manager_end(manager);
}

TEST(raw__reallocate_of_NULL_allocates)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = dcmem_raw_reallocate(manager, NULL, 500);
    EXPECT(block != NULL);
    EXPECT_GE(usable(manager, block), 500);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__reallocate_that_still_fits_does_not_move)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 1000);
    EXPECT(dcmem_raw_reallocate(manager, block, 900) == block);
    EXPECT(dcmem_raw_reallocate(manager, block, usable(manager, block)) == block);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__set_fills_a_range_and_nothing_beside_it)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char *block = allocate(manager, 10000);
    EXPECT_OK(dcmem_raw_set(manager, block, 0x11, 10000));
    EXPECT_OK(dcmem_raw_set(manager, block + 100, 0x1ff, 9000)); /* of the value the lowest byte counts, as memset */
    for (unsigned i = 0; i < 10000; i++)
        EXPECT_EQ(block[i], i >= 100 && i < 9100 ? 0xff : 0x11);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__copy_write_and_read_carry_bytes)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char text[3000], back[3000] = {0};
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 31);
    unsigned char *a = allocate(manager, 4000), *b = allocate(manager, 70000);

    EXPECT_OK(dcmem_raw_write(manager, a + 500, text, sizeof text));
    EXPECT_OK(dcmem_raw_copy(manager, b + 60000, a + 500, sizeof text));
    EXPECT_OK(dcmem_raw_read(manager, back, b + 60000, sizeof back));
    EXPECT_EQ(memcmp(text, back, sizeof text), 0);

    /* Within one block, side by side. */
    EXPECT_OK(dcmem_raw_copy(manager, b, b + 60000, sizeof text));
    EXPECT_EQ(memcmp(b, text, sizeof text), 0);
    EXPECT_OK(dcmem_raw_copy(manager, b + 3000, b, 3000));
    EXPECT_EQ(memcmp(b + 3000, text, sizeof text), 0);
    release(manager, a);
    release(manager, b);
    manager_end(manager);
}

TEST(raw__ranges_of_no_bytes_are_allowed_in_live_blocks)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char *block = allocate(manager, 64);
    EXPECT_OK(dcmem_raw_set(manager, block, 1, 0));
    EXPECT_OK(dcmem_raw_copy(manager, block, block, 0));
    EXPECT_OK(dcmem_raw_write(manager, block, NULL, 0));
    EXPECT_OK(dcmem_raw_read(manager, NULL, block, 0));
    release(manager, block);
    manager_end(manager);
}

TEST(raw__native_says_where_a_byte_lies_and_how_many_follow)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char *block = allocate(manager, 100000);
    uint64_t all = usable(manager, block);
    dcmem_native native;
    EXPECT_OK(dcmem_raw_native(&native, manager, block + 777));
    EXPECT_EQ(native.kind, DCMEM_NATIVE_HOST_POINTER);
    EXPECT_EQ(native.address, (uintptr_t)block + 777);
    EXPECT_EQ(native.object + native.offset, (uintptr_t)block + 777);
    EXPECT_EQ(native.bytes, all - 777);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__a_freed_block_is_given_out_again)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 4096);
    release(manager, block);
    uint64_t acquired = stats_of(manager).acquired_bytes;
    for (unsigned i = 0; i < 1000; i++)
        release(manager, allocate(manager, 4096));
    EXPECT_EQ(stats_of(manager).acquired_bytes, acquired);
    manager_end(manager);
}

/* ---- What it refuses ---- */

TEST(raw__no_bytes_are_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    EXPECT_NULL(dcmem_raw_allocate(manager, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("bytes is 0");
    EXPECT_NULL(dcmem_raw_allocate_aligned(manager, 0, 64), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_NULL(dcmem_raw_allocate_zeroed(manager, 0, 8), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_NULL(dcmem_raw_reallocate(manager, NULL, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(stats_of(manager).failed_allocations, 4);
    manager_end(manager);
}

TEST(raw__reallocate_to_no_bytes_is_refused_and_keeps_the_block)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 100);
    EXPECT_NULL(dcmem_raw_reallocate(manager, block, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("bytes is 0");
    release(manager, block);
    manager_end(manager);
}

TEST(raw__more_than_the_largest_allocation_is_refused)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.largest_allocation_bytes = MIB});
    EXPECT_NULL(dcmem_raw_allocate(manager, MIB + 1), DCMEM_E_TOO_LARGE);
    EXPECT_DETAIL("bytes is 1048577");
    EXPECT_NULL(dcmem_raw_allocate(manager, UINT64_MAX), DCMEM_E_TOO_LARGE);
    EXPECT_NULL(dcmem_raw_allocate_aligned(manager, UINT64_MAX, GIB), DCMEM_E_TOO_LARGE);
    EXPECT_NULL(dcmem_raw_allocate_zeroed(manager, UINT64_MAX, 1), DCMEM_E_TOO_LARGE);
    void *block = allocate(manager, MIB);
    EXPECT_NULL(dcmem_raw_reallocate(manager, block, UINT64_MAX), DCMEM_E_TOO_LARGE);
    EXPECT_GE(usable(manager, block), MIB);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__absurd_sizes_are_refused_without_a_limit_of_ones_own)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned shift = 44; shift < 64; shift++) {
        void *block = dcmem_raw_allocate(manager, 1ull << shift);
        EXPECT(block == NULL);
        EXPECT_EQ(dcmem_result_class_of(dcmem_last_detail()->result), DCMEM_CLASS_RESOURCE);
    }
    manager_end(manager);
}

/* The hot path meets sizes before anything has looked at them. */
TEST(raw__a_warm_cache_refuses_absurd_sizes_too)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (uint64_t bytes = 1; bytes <= MIB; bytes *= 2)
        release(manager, allocate(manager, bytes));
    EXPECT_NULL(dcmem_raw_allocate(manager, 0), DCMEM_E_INVALID_ARGUMENT);
    for (unsigned shift = 44; shift < 64; shift++) {
        for (int more = -1; more <= 1; more++) {
            EXPECT(dcmem_raw_allocate(manager, (1ull << shift) + (uint64_t)(int64_t)more) == NULL);
            EXPECT_EQ(dcmem_result_class_of(dcmem_last_detail()->result), DCMEM_CLASS_RESOURCE);
        }
    }
    random_source random = {1};
    for (unsigned n = 0; n < 1000; n++)
        EXPECT(dcmem_raw_allocate(manager, random_next(&random) | 1ull << 44) == NULL);
    EXPECT_EQ(stats_of(manager).live_allocations, 0);
    manager_end(manager);
}

/* A block of one size must not come back for another: each is as large as it was asked for. */
TEST(raw__a_warm_cache_serves_every_size_around_each_class)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t step = 64; step <= 64 * MIB; step *= 2) {
            for (uint64_t bytes = step; bytes < 2 * step; bytes += step / 8 < 64 ? 64 : step / 8) {
                for (int more = -1; more <= 1; more++) {
                    void *block = allocate(manager, bytes + (uint64_t)(int64_t)more);
                    EXPECT_GE(usable(manager, block), bytes + (uint64_t)(int64_t)more);
                    release(manager, block);
                }
            }
        }
    }
    manager_end(manager);
}

TEST(raw__what_is_no_alignment_is_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    const uint64_t wrong[] = {0, 3, 65, 4095, GIB + 1, 2 * GIB, UINT64_MAX, 1ull << 63};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT_NULL(dcmem_raw_allocate_aligned(manager, 100, wrong[i]), DCMEM_E_MISALIGNED);
        EXPECT_DETAIL("alignment is");
    }
    manager_end(manager);
}

TEST(raw__a_product_that_overflows_is_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    EXPECT_NULL(dcmem_raw_allocate_zeroed(manager, UINT64_MAX, 2), DCMEM_E_OVERFLOW);
    EXPECT_DETAIL("element_bytes");
    EXPECT_NULL(dcmem_raw_allocate_zeroed(manager, 1ull << 33, 1ull << 33), DCMEM_E_OVERFLOW);
    manager_end(manager);
}

TEST(raw__freeing_NULL_does_nothing)
{
    dcmem_manager *manager = cpu_manager(NULL);
    EXPECT_OK(dcmem_raw_free(manager, NULL));
    EXPECT_EQ(stats_of(manager).frees, 0);
    manager_end(manager);
}

static const uint64_t all_sizes[] = {1, 64, 100, 4096, 4608, 5000, 65536, 65537, 131072, 3 * MIB, GIB + 5};
#define SIZES (sizeof all_sizes / sizeof all_sizes[0])

TEST(raw__a_second_free_is_refused_for_every_size)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < SIZES; i++) {
        void *block = allocate(manager, all_sizes[i]);
        release(manager, block);
        EXPECT_RESULT(dcmem_raw_free(manager, block), DCMEM_E_ALREADY_FREE);
        EXPECT_DETAIL("already free");
    }
    EXPECT_EQ(stats_of(manager).frees, SIZES);
    manager_end(manager);
}

TEST(raw__a_second_free_is_refused_wherever_the_block_went)
{
    dcmem_manager *manager = cpu_manager(NULL);
    enum { COUNT = 2000 };
    static void *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = allocate(manager, 200); /* magazine, depot and slabs alike */
    for (unsigned i = 0; i < COUNT; i++)
        release(manager, blocks[i]);
    for (unsigned i = 0; i < COUNT; i++)
        EXPECT_RESULT(dcmem_raw_free(manager, blocks[i]), DCMEM_E_ALREADY_FREE);
    manager_end(manager);
}

TEST(raw__an_address_inside_a_block_is_refused_for_every_size)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < SIZES; i++) {
        char *block = allocate(manager, all_sizes[i]);
        uint64_t all = usable(manager, block);
        const uint64_t offsets[] = {1, 8, 63, all / 2, all - 1};
        for (unsigned n = 0; n < sizeof offsets / sizeof offsets[0]; n++) {
            EXPECT_RESULT(dcmem_raw_free(manager, block + offsets[n]), DCMEM_E_INTERIOR);
            EXPECT_DETAIL("inside the block");
            uint64_t bytes = 12345;
            EXPECT_RESULT(dcmem_raw_usable_size(&bytes, manager, block + offsets[n]), DCMEM_E_INTERIOR);
            EXPECT_EQ(bytes, 12345);
            EXPECT_NULL(dcmem_raw_reallocate(manager, block + offsets[n], 10), DCMEM_E_INTERIOR);
        }
        release(manager, block);
    }
    manager_end(manager);
}

TEST(raw__an_address_of_no_manager_is_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 100);
    static char here[8192];
    uint64_t bytes;
    void *const wrong[] = {here,
                           &bytes,
                           (void *)1,
                           (void *)64,
                           (void *)4096,
                           (void *)(uintptr_t)UINT64_MAX,
                           (void *)(1ull << 47),
                           (void *)((1ull << 47) - 4096),
                           (void *)(1ull << 62),
                           (void *)((uintptr_t)block ^ 1ull << 46)};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        EXPECT_RESULT(dcmem_raw_free(manager, wrong[i]), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_DETAIL("address");
        EXPECT_RESULT(dcmem_raw_usable_size(&bytes, manager, wrong[i]), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_raw_set(manager, wrong[i], 0, 1), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_raw_copy(manager, wrong[i], block, 1), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_raw_copy(manager, block, wrong[i], 1), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_raw_write(manager, wrong[i], here, 1), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_raw_read(manager, here, wrong[i], 1), DCMEM_E_UNKNOWN_ADDRESS);
        dcmem_native native;
        EXPECT_RESULT(dcmem_raw_native(&native, manager, wrong[i]), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_NULL(dcmem_raw_reallocate(manager, wrong[i], 1), DCMEM_E_UNKNOWN_ADDRESS);
    }
    release(manager, block);
    manager_end(manager);
}

TEST(raw__a_block_of_another_manager_is_foreign)
{
    dcmem_manager *mine = cpu_manager(NULL), *other = cpu_manager(NULL);
    char here[8];
    for (unsigned i = 0; i < SIZES; i++) {
        void *block = allocate(other, all_sizes[i]), *own = allocate(mine, 100);
        uint64_t bytes;
        EXPECT_RESULT(dcmem_raw_free(mine, block), DCMEM_E_FOREIGN);
        EXPECT_DETAIL("another manager");
        EXPECT_RESULT(dcmem_raw_usable_size(&bytes, mine, block), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_set(mine, block, 0, 1), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_copy(mine, own, block, 1), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_read(mine, here, block, 1), DCMEM_E_FOREIGN);
        EXPECT_NULL(dcmem_raw_reallocate(mine, block, 1), DCMEM_E_FOREIGN);
        release(other, block);
        release(mine, own);
    }
    manager_end(mine);
    manager_end(other);
}

TEST(raw__a_freed_block_cannot_be_used)
{
    dcmem_manager *manager = cpu_manager(NULL);
    char *block = allocate(manager, 100), *own = allocate(manager, 5000);
    char here[8];
    uint64_t bytes;
    dcmem_native native;
    release(manager, block);
    EXPECT_RESULT(dcmem_raw_usable_size(&bytes, manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_set(manager, block + 3, 0, 1), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_copy(manager, own, block, 1), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_write(manager, block, here, 1), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_read(manager, here, block, 1), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_native(&native, manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT_NULL(dcmem_raw_reallocate(manager, block, 1), DCMEM_E_ALREADY_FREE);
    release(manager, own);
    manager_end(manager);
}

TEST(raw__a_range_may_not_leave_its_block)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < SIZES; i++) {
        char *block = allocate(manager, all_sizes[i]), *own = allocate(manager, 100), here[8];
        uint64_t all = usable(manager, block);
        EXPECT_RESULT(dcmem_raw_set(manager, block, 0, all + 1), DCMEM_E_OUT_OF_RANGE);
        EXPECT_DETAIL("address:");
        EXPECT_RESULT(dcmem_raw_set(manager, block + all - 1, 0, 2), DCMEM_E_OUT_OF_RANGE);
        EXPECT_RESULT(dcmem_raw_set(manager, block + 1, 0, UINT64_MAX), DCMEM_E_OUT_OF_RANGE);
        EXPECT_RESULT(dcmem_raw_copy(manager, block + all - 1, own, 2), DCMEM_E_OUT_OF_RANGE);
        EXPECT_DETAIL("to:");
        EXPECT_RESULT(dcmem_raw_copy(manager, own, block + all - 1, 2), DCMEM_E_OUT_OF_RANGE);
        EXPECT_DETAIL("from:");
        EXPECT_RESULT(dcmem_raw_write(manager, block + all - 1, here, 2), DCMEM_E_OUT_OF_RANGE);
        EXPECT_RESULT(dcmem_raw_read(manager, here, block + all - 1, 2), DCMEM_E_OUT_OF_RANGE);
        EXPECT_OK(dcmem_raw_set(manager, block + all - 1, 0, 1));
        release(manager, block);
        release(manager, own);
    }
    manager_end(manager);
}

TEST(raw__ranges_that_overlap_are_not_copied)
{
    dcmem_manager *manager = cpu_manager(NULL);
    unsigned char *block = allocate(manager, 1000);
    memset(block, 1, 1000);
    EXPECT_RESULT(dcmem_raw_copy(manager, block + 99, block, 100), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("overlap");
    EXPECT_RESULT(dcmem_raw_copy(manager, block, block + 99, 100), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_raw_copy(manager, block, block, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_raw_copy(manager, block + 100, block, 100));
    release(manager, block);
    manager_end(manager);
}

TEST(raw__arguments_that_are_NULL_are_named)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 100);
    EXPECT_RESULT(dcmem_raw_usable_size(NULL, manager, block), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("out");
    EXPECT_RESULT(dcmem_raw_native(NULL, manager, block), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("out");
    EXPECT_RESULT(dcmem_raw_write(manager, block, NULL, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("host");
    EXPECT_RESULT(dcmem_raw_read(manager, NULL, block, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("host");
    EXPECT_RESULT(dcmem_raw_set(manager, NULL, 0, 1), DCMEM_E_UNKNOWN_ADDRESS);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__a_failure_leaves_everything_as_it_was)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.limit_bytes = 16 * MIB});
    unsigned char *block = allocate(manager, 1000);
    memset(block, 9, 1000);
    EXPECT_NULL(dcmem_raw_reallocate(manager, block, 32 * MIB), DCMEM_E_LIMIT);
    for (unsigned i = 0; i < 1000; i++)
        EXPECT_EQ(block[i], 9);
    release(manager, block);
    manager_end(manager);
}

/* ---- Many, and large ---- */

typedef struct live_block {
    unsigned char *address;
    uint64_t bytes;
    unsigned char value;
} live_block;

/* The first, the last and a few bytes between, so that large blocks stay cheap. */
static void
paint(const live_block *block)
{
    for (uint64_t i = 0; i < block->bytes; i += block->bytes < 512 ? 1 : block->bytes / 256)
        block->address[i] = block->value;
    block->address[block->bytes - 1] = block->value;
}

static void
expect_painted(const live_block *block)
{
    for (uint64_t i = 0; i < block->bytes; i += block->bytes < 512 ? 1 : block->bytes / 256)
        if (block->address[i] != block->value)
            TEST_FAIL("byte %llu of %llu belongs to another block too", (unsigned long long)i,
                      (unsigned long long)block->bytes);
    EXPECT_EQ(block->address[block->bytes - 1], block->value);
}

static void *
take_some_way(dcmem_manager *manager, random_source *random, uint64_t bytes)
{
    switch (random_below(random, 12)) {
    case 0:
        return dcmem_raw_allocate_aligned(manager, bytes, 1ull << random_below(random, 17));
    case 1:
        return dcmem_raw_allocate_zeroed(manager, bytes, 1);
    default:
        return dcmem_raw_allocate(manager, bytes);
    }
}

static void
churn(const dcmem_manager_options *options, uint64_t operations, uint64_t seed)
{
    enum { LIVE = 500 };
    dcmem_manager *manager = cpu_manager(options);
    live_block *live = calloc(LIVE, sizeof *live);
    EXPECT(live);
    random_source random = {seed};
    for (uint64_t n = 0; n < operations; n++) {
        live_block *block = &live[random_below(&random, LIVE)];
        if (block->address && random_below(&random, 8) == 0) {
            expect_painted(block);
            uint64_t bytes = random_size(&random, 21);
            block->address = dcmem_raw_reallocate(manager, block->address, bytes);
            EXPECT(block->address);
            EXPECT_EQ(block->address[0], block->value);
            block->bytes = bytes;
            paint(block);
            continue;
        }
        if (block->address) {
            expect_painted(block);
            release(manager, block->address);
            block->address = NULL;
            continue;
        }
        *block = (live_block){.bytes = random_size(&random, 21), .value = (unsigned char)n};
        block->address = take_some_way(manager, &random, block->bytes);
        if (!block->address)
            TEST_FAIL("%llu bytes: %s", (unsigned long long)block->bytes, dcmem_last_detail()->message);
        paint(block);
        if (n % 4096 == 0)
            EXPECT_OK(dcmem_manager_check(manager));
    }
    for (unsigned i = 0; i < LIVE; i++) {
        if (live[i].address)
            expect_painted(&live[i]);
        EXPECT_OK(dcmem_raw_free(manager, live[i].address));
    }
    free(live);
    EXPECT_EQ(stats_of(manager).used_bytes, 0);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    EXPECT_EQ(stats_of(manager).reserved_bytes, 0);
    manager_end(manager);
}

TEST(raw__blocks_never_overlap)
{
    churn(NULL, 5000, 1);
    churn(&(dcmem_manager_options){.policy = DCMEM_POLICY_TIGHT}, 3000, 2);
    churn(&(dcmem_manager_options){.sizing = DCMEM_SIZING_POWER_OF_TWO}, 3000, 3);
    churn(&(dcmem_manager_options){.idle_limit_bytes = DCMEM_NO_IDLE_MEMORY}, 2000, 4);
    churn(&(dcmem_manager_options){.exact_peaks = 1}, 3000, 5);
    churn(&(dcmem_manager_options){.idle_limit_bytes = MIB, .thread_cache_bytes = 100 * KIB}, 3000, 6);
}

LONG_TEST(raw__blocks_never_overlap_for_long)
{
    churn(NULL, test_scaled(100000), 7);
    churn(&(dcmem_manager_options){.policy = DCMEM_POLICY_TIGHT}, test_scaled(100000), 8);
}

LONG_TEST(raw__a_million_blocks_live_at_once)
{
    dcmem_manager *manager = cpu_manager(NULL);
    uint64_t count = test_scaled(1000000);
    uint32_t **blocks = malloc(count * sizeof *blocks);
    EXPECT(blocks);
    for (uint64_t i = 0; i < count; i++) {
        blocks[i] = allocate(manager, 64 + i % 3 * 64);
        *blocks[i] = (uint32_t)i;
    }
    EXPECT_EQ(stats_of(manager).live_allocations, count);
    for (uint64_t i = 0; i < count; i++) {
        EXPECT_EQ(*blocks[i], (uint32_t)i);
        release(manager, blocks[i]);
    }
    free(blocks);
    EXPECT_EQ(stats_of(manager).used_bytes, 0);
    manager_end(manager);
}

TEST(raw__one_block_may_be_larger_than_4_GiB)
{
    dcmem_manager *manager = cpu_manager(NULL);
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_manager_device_info(&info, manager));
    uint64_t bytes = 4 * GIB + 12345;
    if (info.largest_allocation_bytes && info.largest_allocation_bytes < bytes)
        SKIP("the machine has less than 4 GiB");
    unsigned char *block = allocate(manager, bytes);
    EXPECT_GE(usable(manager, block), bytes);
    EXPECT_LE(usable(manager, block), bytes + 4096);
    block[0] = 1;
    block[bytes - 1] = 2;
    EXPECT_OK(dcmem_raw_set(manager, block + 4 * GIB, 3, 100));
    EXPECT_EQ(block[4 * GIB + 99], 3);
    EXPECT_RESULT(dcmem_raw_free(manager, block + 4 * GIB), DCMEM_E_INTERIOR);
    release(manager, block);
    manager_end(manager);
}

TEST(raw__what_is_live_when_a_manager_ends_is_told)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 100);
    EXPECT(allocate(manager, 5 * MIB) != NULL);
    EXPECT_RESULT(dcmem_manager_destroy(manager), DCMEM_E_LEAKED);
    EXPECT_DETAIL("2 blocks");
    EXPECT_RESULT(dcmem_raw_free(manager, block), DCMEM_E_STALE_MANAGER);
}
