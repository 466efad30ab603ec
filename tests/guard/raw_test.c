/* raw_test.c: raw memory of the process with guards: what they find, what they leave alone, what they promise. */
#include "kit.h"

TEST(guard__names_the_block_that_was_overrun_when_it_is_freed)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 1000);
    memset(block, 1, 1000);
    memcpy(block + 1000, "AB", 2);

    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    char name[64];
    snprintf(name, sizeof name, "block %p, device, 1000 bytes", (void *)block);
    EXPECT_DETAIL("overrun");
    EXPECT_DETAIL(name);
    EXPECT_DETAIL("2 bytes written behind its end, from offset 1000 on: fd expected, 41 42 fd fd");
    EXPECT_HEARD("guard: overrun");
    EXPECT_HEARD(name);
    EXPECT_HEARD("; allocated by ");
    EXPECT_HEARD("; freed by ");
    EXPECT_EQ(heard.errors, 1);
    EXPECT_EQ(stats_of(&it).guard_findings, 1);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__names_the_block_that_was_underrun)
{
    ground it = cpu_ground(DCMEM_GUARD_RED_ZONES);
    char *block = allocate(&it, 64);
    block[-5] = 'x';
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("underrun");
    EXPECT_DETAIL("1 bytes written before its beginning, from offset -5 on: fd expected, 78 fd fd fd fd found");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__tells_both_ends_and_counts_every_byte)
{
    ground it = cpu_ground(DCMEM_GUARD_RED_ZONES);
    char *block = allocate(&it, 64);
    memset(block - 20, 'a', 104);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("20 bytes written behind");
    EXPECT_HEARD("20 bytes written before its beginning, from offset -20 on");
    EXPECT_EQ(heard.errors, 2);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__finds_a_write_after_free_when_the_block_leaves_the_quarantine)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 500);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    block[16] = 'x';

    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, 0));
    EXPECT_HEARD("write after free: block ");
    EXPECT_HEARD("1 bytes written after it was freed ");
    EXPECT_HEARD("s ago, from offset 16 on: dd expected, 78 dd");
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("1 damages were found");
    EXPECT_OK(dcmem_guard_check(it.manager));
    EXPECT_EQ(heard.errors, 1);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__does_not_blame_the_free_that_pushes_a_damaged_block_out)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL, .quarantine_bytes = 4096};
    ground it = ground_on(NULL, &options);
    char *damaged = allocate(&it, 1000);
    EXPECT_OK(dcmem_raw_free(it.manager, damaged));
    damaged[0] = 'x';
    for (int i = 0; i < 10; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, allocate(&it, 1000)));
    EXPECT_HEARD("write after free");
    ground_end(&it, DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("1 damages were found in blocks that others' calls gave back");
}

TEST(guard__check_tells_each_damage_once)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *live = allocate(&it, 100), *freed = allocate(&it, 100);
    EXPECT_OK(dcmem_raw_free(it.manager, freed));
    EXPECT_OK(dcmem_guard_check(it.manager));
    live[100] = freed[99] = 'x';
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("overrun");
    EXPECT_HEARD("write after free");
    EXPECT_EQ(heard.errors, 2);
    EXPECT_OK(dcmem_guard_check(it.manager));
    EXPECT_OK(dcmem_raw_free(it.manager, live));
    EXPECT_EQ(heard.errors, 2);

    /* Damage in the quarantine alone. */
    freed[0] = 'x';
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("write after free");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__refuses_a_second_free_as_long_as_the_block_is_held_back)
{
    ground it = cpu_ground(DCMEM_GUARD_QUARANTINE);
    char *block = allocate(&it, 300);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    for (int i = 0; i < 1000; i++) {
        char *other = allocate(&it, 300);
        EXPECT(other != block);
        EXPECT_OK(dcmem_raw_free(it.manager, other));
        EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
        EXPECT_DETAIL("is already free");
    }
    uint64_t bytes;
    EXPECT_RESULT(dcmem_raw_usable_size(&bytes, it.manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_set(it.manager, block, 0, 1), DCMEM_E_ALREADY_FREE);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__refuses_addresses_in_the_block_and_in_its_zones)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 100);
    const int64_t offsets[] = {-1, 1, 99, 100, 163};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        EXPECT_RESULT(dcmem_raw_free(it.manager, block + offsets[i]), DCMEM_E_INTERIOR);
        char said[64];
        snprintf(said, sizeof said, "lies %lld bytes inside the block at %p", (long long)offsets[i], (void *)block);
        EXPECT_DETAIL(said);
        uint64_t bytes = 7;
        EXPECT_RESULT(dcmem_raw_usable_size(&bytes, it.manager, block + offsets[i]), DCMEM_E_INTERIOR);
        EXPECT_EQ(bytes, 7);
        EXPECT(!dcmem_raw_reallocate(it.manager, block + offsets[i], 10));
    }
    EXPECT_RESULT(dcmem_raw_set(it.manager, block + 100, 0, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_DETAIL("red zone of the block");
    EXPECT_RESULT(dcmem_raw_set(it.manager, block - 1, 0, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_raw_set(it.manager, block + 50, 0, 51), DCMEM_E_OUT_OF_RANGE);
    EXPECT_OK(dcmem_raw_set(it.manager, block + 50, 0, 50));
    int on_the_stack;
    EXPECT_RESULT(dcmem_raw_free(it.manager, &on_the_stack), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__gives_exactly_what_was_asked_for_and_aligned_as_promised)
{
    static const uint64_t sizes[] = {1, 63, 64, 1000, 4096, 5000, 12288, 65536, 300000, 4 * MIB, 40 * MIB + 1};
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint64_t alignment = 1; alignment <= 4 * MIB; alignment *= 8) {
            uint64_t usable;
            char *block = dcmem_raw_allocate_aligned(it.manager, sizes[i], alignment);
            EXPECT(block);
            EXPECT_EQ((uintptr_t)block % alignment, 0);
            EXPECT_EQ((uintptr_t)block % (sizes[i] % 4096 ? 64 : 4096), 0);
            EXPECT_OK(dcmem_raw_usable_size(&usable, it.manager, block));
            EXPECT_EQ(usable, sizes[i]);
            memset(block, 0, sizes[i]);
            EXPECT_OK(dcmem_raw_free(it.manager, block));
        }
    ground_end(&it, DCMEM_OK);
}

TEST(guard__finds_one_byte_behind_blocks_of_every_size)
{
    static const uint64_t sizes[] = {1, 63, 64, 65, 1000, 4096, 65536, 65537, 3 * MIB, 70 * MIB};
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = allocate(&it, sizes[i]);
        block[sizes[i]] = 0;
        EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    }
    ground_end(&it, DCMEM_OK);
}

TEST(guard__finds_a_zone_that_is_overwritten_as_a_whole)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 1000);
    memset(block + 1000, 0, 64);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("64 bytes written behind its end");
    memset(block, 0, 1000);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("1000 bytes written after it was freed");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__finds_what_lies_within_the_zone_that_was_asked_for)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_RED_ZONES, .guard_bytes = 4096};
    ground it = ground_on(NULL, &options);
    char *block = allocate(&it, 10);
    block[10 + 4095] = block[-4096] = 'x';
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    EXPECT_EQ(heard.errors, 2);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__poisons_new_and_freed_memory)
{
    ground it = cpu_ground(DCMEM_GUARD_POISON | DCMEM_GUARD_QUARANTINE);
    unsigned char *block = (unsigned char *)allocate(&it, 3 * MIB);
    EXPECT_EQ(block[0], 0xcd);
    EXPECT_EQ(block[3 * MIB - 1], 0xcd);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_EQ(block[0], 0xdd);
    EXPECT_EQ(block[MIB - 1], 0xdd);
    EXPECT_EQ(block[3 * MIB - 1], 0xdd);
    block[2 * MIB + 1] = 'x';
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("from offset 2097153 on");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__zeroed_memory_is_zero)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = dcmem_raw_allocate_zeroed(it.manager, 100, 10);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(block[i], 0);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__reallocate_moves_and_keeps_the_bytes)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 1000);
    memset(block, 'a', 1000);
    EXPECT(dcmem_raw_reallocate(it.manager, block, 1000) == block);
    char *smaller = dcmem_raw_reallocate(it.manager, block, 900);
    EXPECT(smaller && smaller != block);
    for (int i = 0; i < 900; i++)
        EXPECT_EQ(smaller[i], 'a');
    smaller[900] = 'x';
    char *larger = dcmem_raw_reallocate(it.manager, smaller, 2000);
    EXPECT(larger);
    EXPECT_EQ(larger[899], 'a');
    EXPECT_HEARD("overrun");
    EXPECT_OK(dcmem_raw_free(it.manager, larger));
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__holds_back_no_more_than_it_was_told)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_QUARANTINE, .quarantine_bytes = 1 * MIB};
    ground it = ground_on(NULL, &options);
    for (int i = 0; i < 200; i++) {
        EXPECT_OK(dcmem_raw_free(it.manager, allocate(&it, 60000)));
        EXPECT_LE(stats_of(&it).quarantined_bytes, 1 * MIB);
    }
    EXPECT_GE(stats_of(&it).quarantined_bytes, MIB / 2);

    /* What is larger than all that may be held back is not held back. */
    uint64_t before = stats_of(&it).quarantined_bytes;
    EXPECT_OK(dcmem_raw_free(it.manager, allocate(&it, 2 * MIB)));
    EXPECT_EQ(stats_of(&it).quarantined_bytes, before);
    ground_end(&it, DCMEM_OK);
}

static bool
count_call(void *user, dcmem_manager *manager, uint64_t bytes_needed, uint32_t attempt)
{
    (void)manager, (void)bytes_needed, (void)attempt;
    ++*(int *)user;
    return false;
}

TEST(guard__lets_go_of_what_is_held_back_before_a_request_fails)
{
    int calls = 0;
    dcmem_manager_options options = {
        .guards = DCMEM_GUARD_ALL, .limit_bytes = 32 * MIB, .out_of_memory = count_call, .out_of_memory_user = &calls};
    ground it = ground_on(NULL, &options);
    for (int i = 0; i < 100; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, allocate(&it, 3 * MIB)));
    EXPECT_EQ(calls, 0);
    EXPECT(!dcmem_raw_allocate(it.manager, 40 * MIB));
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_LIMIT);
    EXPECT_EQ(calls, 1);

    dcmem_limits limits = {.size = sizeof limits};
    char *block = allocate(&it, 20 * MIB);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    EXPECT_EQ(limits.used_bytes, 0);
    EXPECT_EQ(limits.available_bytes, 32 * MIB);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__statistics_tell_what_the_callers_asked_for)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL, .exact_peaks = 1};
    ground it = ground_on(NULL, &options);
    char *blocks[10];
    for (int i = 0; i < 10; i++)
        blocks[i] = allocate(&it, 100000);
    dcmem_stats stats = stats_of(&it);
    EXPECT_EQ(stats.live_allocations, 10);
    EXPECT_EQ(stats.live_requested_bytes, 1000000);
    EXPECT_EQ(stats.requested_bytes, 1000000);
    EXPECT_GE(stats.used_bytes, 10 * (100000 + 128));
    uint64_t peak = stats.used_peak_bytes;

    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 10; i++) {
            EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
            blocks[i] = allocate(&it, 100000);
        }
    EXPECT_EQ(stats_of(&it).used_peak_bytes, peak);
    for (int i = 0; i < 10; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    stats = stats_of(&it);
    EXPECT_EQ(stats.allocations, 60);
    EXPECT_EQ(stats.frees, 60);
    EXPECT_EQ(stats.freed_bytes, stats.allocated_bytes);
    EXPECT_EQ(stats.live_allocations, 0);
    EXPECT_EQ(stats.live_requested_bytes, 0);
    EXPECT_EQ(stats.used_bytes, 0);
    EXPECT_GE(stats.quarantined_bytes, 50 * 100000);
    EXPECT_EQ(stats.magazine_hits + stats.depot_hits + stats.fit_hits + stats.pool_misses, 60);

    uint64_t reserved = stats.reserved_bytes;
    EXPECT_OK(dcmem_manager_optimize(NULL, it.manager, 0, 0));
    stats = stats_of(&it);
    EXPECT_EQ(stats.quarantined_bytes, 0);
    EXPECT_EQ(stats.frees, 60);
    EXPECT(stats.reserved_bytes < reserved);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__clear_looks_at_everything_and_begins_anew)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 100);
    dcmem_buffer *buffer = buffer_of(&it, 100, 3);
    block[100] = 'x';
    EXPECT_RESULT(dcmem_manager_clear(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("overrun");
    EXPECT_EQ(stats_of(&it).allocations, 0);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);

    block = allocate(&it, 100);
    EXPECT_OK(dcmem_manager_clear(it.manager));
    EXPECT_EQ(heard.warnings, 0);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__clear_that_is_refused_leaves_all_guarded)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 100);
    dcmem_buffer *buffer = buffer_of(&it, 100, 0);
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    block[100] = 'x';
    EXPECT_RESULT(dcmem_manager_clear(it.manager), DCMEM_E_BUSY);
    EXPECT_HEARD("overrun");
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    block[100] = 'x';
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__of_nearly_the_largest_allocation_is_no_zone_but_a_record)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL, .largest_allocation_bytes = 1 * MIB};
    ground it = ground_on(NULL, &options);
    char *block = allocate(&it, 1 * MIB);
    uint64_t usable;
    EXPECT_OK(dcmem_raw_usable_size(&usable, it.manager, block));
    EXPECT_EQ(usable, 1 * MIB);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT(!dcmem_raw_allocate(it.manager, 1 * MIB + 1));
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_TOO_LARGE);
    EXPECT_DETAIL("bytes is 1048577,");
    EXPECT(!dcmem_raw_allocate(it.manager, 0));
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!dcmem_raw_allocate(it.manager, UINT64_MAX));
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_TOO_LARGE);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__without_guards_says_that_there_are_none)
{
    ground it = cpu_ground(DCMEM_GUARD_NONE);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("made without guards");
    char *block = allocate(&it, 100);
    uint64_t usable;
    EXPECT_OK(dcmem_raw_usable_size(&usable, it.manager, block));
    EXPECT_GE(usable, 128);
    block[100] = 'x';
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__calls_refuse_what_is_no_manager)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    dcmem_manager *gone = it.manager;
    ground_end(&it, DCMEM_OK);
    EXPECT_RESULT(dcmem_guard_check(NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_RESULT(dcmem_guard_check(gone), DCMEM_E_STALE_MANAGER);
}
