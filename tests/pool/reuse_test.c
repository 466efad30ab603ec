/* reuse_test.c: the pool is fed and eaten from: what was freed is given out again, the figures say so, and the device,
 * which knows nothing of them, says the same. */
#include "kit.h"

#include <dcmem/buffer.h>
#include <pthread.h>

/* Sizes of a program that does the same again and again. */
static uint64_t
size_of(unsigned i)
{
    return 64 + (uint64_t)i * 1777;
}

#define BLOCKS 200

static void
one_round(dcmem_manager *manager)
{
    void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = allocate(manager, size_of(i));
    for (unsigned i = 0; i < BLOCKS; i++)
        release(manager, blocks[i]);
}

TEST(reuse__a_second_round_takes_nothing_from_the_device)
{
    test_device it = device_open(256 * MIB, NULL);
    one_round(it.manager);
    dcmem_simulated_account first = account_of(&it);
    dcmem_stats before = stats_of(it.manager);
    EXPECT_GE(first.acquires, 1);
    EXPECT_GE(before.pool_misses, 1);

    one_round(it.manager);

    dcmem_simulated_account second = account_of(&it);
    dcmem_stats after = stats_of(it.manager);
    EXPECT_EQ(second.acquires, first.acquires);
    EXPECT_EQ(second.peak_bytes, first.peak_bytes);
    EXPECT_EQ(after.pool_misses, before.pool_misses);
    EXPECT_EQ(after.pool_hits - before.pool_hits, BLOCKS);
    device_close(&it);
}

TEST(reuse__the_hit_rate_is_what_the_device_saw)
{
    test_device it = device_open(256 * MIB, NULL);
    for (unsigned round = 0; round < 50; round++)
        one_round(it.manager);
    dcmem_stats stats = stats_of(it.manager);
    dcmem_simulated_account account = account_of(&it);
    EXPECT_EQ(stats.pool_hits + stats.pool_misses, 50 * BLOCKS);
    EXPECT_EQ(stats.driver_acquires, account.acquires);
    EXPECT_LE(stats.pool_misses, account.acquires);
    EXPECT(stats.hit_rate > 0.99);
    EXPECT(stats.hit_rate == (double)stats.pool_hits / (double)(stats.pool_hits + stats.pool_misses));
    device_close(&it);
}

TEST(reuse__without_idle_memory_every_round_goes_to_the_device)
{
    dcmem_manager_options options = {.idle_limit_bytes = DCMEM_NO_IDLE_MEMORY};
    test_device it = device_open(256 * MIB, &options);
    one_round(it.manager);
    uint64_t acquires = account_of(&it).acquires;
    one_round(it.manager);
    EXPECT_GE(account_of(&it).acquires, acquires + 1);
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    device_close(&it);
}

/* A block that was freed serves other sizes too, and none that it is too small for. */
TEST(reuse__a_block_never_serves_a_request_that_it_is_too_small_for)
{
    dcmem_manager *manager = cpu_manager(NULL);
    random_source source = {7};
    void *blocks[64] = {0};
    uint64_t sizes[64] = {0};
    for (unsigned i = 0; i < 5000; i++) {
        unsigned at = (unsigned)random_below(&source, 64);
        for (uint64_t byte = 0; byte < sizes[at]; byte += 61)
            EXPECT_EQ(((unsigned char *)blocks[at])[byte], at);
        if (blocks[at])
            release(manager, blocks[at]);
        sizes[at] = random_size(&source, 17);
        blocks[at] = allocate(manager, sizes[at]);
        EXPECT_GE(usable(manager, blocks[at]), sizes[at]);
        memset(blocks[at], (int)at, sizes[at]);
    }
    for (unsigned at = 0; at < 64; at++)
        if (blocks[at])
            release(manager, blocks[at]);
    EXPECT_GE(stats_of(manager).pool_hits, 4000);
    manager_end(manager);
}

/* What came back is merged and cut anew: a large block from small ones, small ones from a large one. */
TEST(reuse__memory_that_small_blocks_left_serves_a_large_one_and_the_other_way_round)
{
    test_device it = device_open(64 * MIB, NULL);
    void *blocks[512];
    for (unsigned i = 0; i < 512; i++)
        blocks[i] = allocate(it.manager, 96 * KIB);
    for (unsigned i = 0; i < 512; i++)
        release(it.manager, blocks[i]);
    release(it.manager, allocate(it.manager, 48 * MIB));
    for (unsigned i = 0; i < 512; i++)
        blocks[i] = allocate(it.manager, 96 * KIB);
    for (unsigned i = 0; i < 512; i++)
        release(it.manager, blocks[i]);
    EXPECT_EQ(stats_of(it.manager).failed_allocations, 0);
    device_close(&it);
}

TEST(reuse__all_that_was_taken_goes_back_when_the_pool_is_drained)
{
    test_device it = device_open(256 * MIB, NULL);
    uint64_t returned;
    one_round(it.manager);
    EXPECT_OK(dcmem_manager_trim(&returned, it.manager, 0));
    dcmem_simulated_account account = account_of(&it);
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.acquires, account.releases);
    EXPECT_EQ(stats.acquired_bytes, stats.released_bytes);
    EXPECT_EQ(stats.allocated_bytes, stats.freed_bytes);
    EXPECT_EQ(stats.used_bytes, 0);
    EXPECT_EQ(stats.reserved_bytes, 0);
    EXPECT_EQ(returned, stats.released_bytes);
    device_close(&it);
}

static void *
free_elsewhere(void *block_and_manager)
{
    void **both = block_and_manager;
    release(both[1], both[0]);
    return NULL;
}

TEST(reuse__what_another_thread_freed_comes_back)
{
    test_device it = device_open(64 * MIB, NULL);
    for (unsigned i = 0; i < 20; i++) {
        void *both[2] = {allocate(it.manager, 1 * MIB), it.manager};
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, free_elsewhere, both), 0);
        pthread_join(thread, NULL);
    }
    EXPECT_EQ(account_of(&it).acquires, 1);
    EXPECT_EQ(stats_of(it.manager).pool_hits, 19);
    device_close(&it);
}

/* ---- A request that succeeded only after memory was found ---- */

typedef struct holder {
    void *spare;
} holder;

static bool
give_spare_up(void *user, dcmem_manager *manager, uint64_t bytes, uint32_t attempt)
{
    holder *it = user;
    (void)bytes;
    (void)attempt;
    if (!it->spare)
        return false;
    release(manager, it->spare);
    it->spare = NULL;
    return true;
}

TEST(retry__what_it_gave_is_booked_freed_and_known_like_any_other)
{
    holder user = {NULL};
    dcmem_manager_options options = {.out_of_memory = give_spare_up, .out_of_memory_user = &user};
    test_device it = device_open(16 * MIB, &options);
    user.spare = allocate(it.manager, 16 * MIB);
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 4 * MIB, NULL));

    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.retries, 1);
    EXPECT_EQ(stats.failed_allocations, 0);
    EXPECT_EQ(stats.live_buffers, 1);
    EXPECT_EQ(stats.live_allocations, 1);
    EXPECT_EQ(stats.live_requested_bytes, 4 * MIB);
    EXPECT_EQ(stats.allocations - stats.frees, 1);
    EXPECT_EQ(stats.allocated_bytes - stats.freed_bytes, stats.used_bytes);

    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    EXPECT_EQ(stats_of(it.manager).used_bytes, 0);
    device_close(&it);
}

TEST(retry__that_was_leaked_is_told_at_the_end_like_any_other)
{
    holder user = {NULL};
    dcmem_manager_options options = {.out_of_memory = give_spare_up, .out_of_memory_user = &user};
    test_device it = device_open(16 * MIB, &options);
    user.spare = allocate(it.manager, 16 * MIB);
    EXPECT(allocate(it.manager, 4 * MIB));
    device_close_with(&it, DCMEM_E_LEAKED);
}

/* ---- Large blocks of the tight policy ---- */

/* A manager that has found caching dear: this thread's large blocks are runs of pages, straight from the good fit. The
 * first growth says so, as it comes before any take. */
static dcmem_manager *
open_run_manager(const dcmem_manager_options *wanted)
{
    dcmem_manager_options options = *wanted;
    options.policy = DCMEM_POLICY_TIGHT;
    dcmem_manager *manager = cpu_manager(&options);
    release(manager, allocate(manager, 1 * MIB));
    return manager;
}

#define RUNS 200u

static uint64_t
run_size(unsigned i)
{
    return 64 * KIB + 1 + (uint64_t)i * 7001;
}

TEST(reuse__large_blocks_of_the_tight_policy_have_no_page_too_many)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){0});
    for (unsigned i = 0; i < RUNS; i++) {
        void *block = allocate(manager, run_size(i));
        EXPECT_EQ(usable(manager, block), (run_size(i) + 4095) / 4096 * 4096);
        release(manager, block);
    }
    manager_end(manager);
}

TEST(reuse__such_blocks_are_counted_to_the_byte)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){0});
    dcmem_stats before = stats_of(manager);
    void *blocks[RUNS];
    uint64_t requested = 0, used = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        blocks[i] = allocate(manager, run_size(i));
        requested += run_size(i);
        used += usable(manager, blocks[i]);
    }
    dcmem_stats most = stats_of(manager);
    EXPECT_EQ(most.live_allocations, RUNS);
    EXPECT_EQ(most.live_requested_bytes, requested);
    EXPECT_EQ(most.used_bytes, used);
    EXPECT_GE(most.used_peak_bytes, used);
    EXPECT_EQ(most.pool_hits + most.pool_misses, before.pool_hits + before.pool_misses + RUNS);

    for (unsigned i = 1; i < RUNS; i++)
        release(manager, blocks[i * 7 % RUNS]);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, run_size(0));
    release(manager, blocks[0]);
    dcmem_stats after = stats_of(manager);
    EXPECT_EQ(after.live_allocations, 0);
    EXPECT_EQ(after.live_requested_bytes, 0);
    EXPECT_EQ(after.used_bytes, 0);
    EXPECT_EQ(after.frees, before.frees + RUNS);
    manager_end(manager);
}

TEST(reuse__wrong_frees_of_such_blocks_are_refused_for_the_same_reasons)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){0});
    char *block = allocate(manager, 256 * KIB);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_RESULT(dcmem_raw_free(manager, block + 1), DCMEM_E_INTERIOR);
        EXPECT_RESULT(dcmem_raw_free(manager, block + 4096), DCMEM_E_INTERIOR);
    }
    release(manager, block);
    for (unsigned i = 0; i < 100; i++)
        EXPECT_RESULT(dcmem_raw_free(manager, block), DCMEM_E_ALREADY_FREE);

    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 256 * KIB, NULL));
    for (unsigned i = 0; i < 100; i++)
        EXPECT_RESULT(dcmem_raw_free(manager, block), DCMEM_E_FOREIGN); /* where the buffer's memory lies now */
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    manager_end(manager);
}

TEST(reuse__such_blocks_are_aligned_as_asked)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){0});
    void *blocks[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        uint64_t alignment = 64ull << i % 15;
        blocks[i] = dcmem_raw_allocate_aligned(manager, run_size(i), alignment);
        EXPECT(blocks[i]);
        EXPECT_EQ((uintptr_t)blocks[i] % alignment, 0);
    }
    for (unsigned i = 0; i < RUNS; i++)
        release(manager, blocks[i]);
    manager_end(manager);
}

TEST(reuse__such_blocks_keep_to_the_idle_limit)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){.idle_limit_bytes = 1 * MIB});
    for (unsigned i = 0; i < RUNS; i++) {
        void *block = allocate(manager, 2 * MIB + run_size(i));
        release(manager, block);
        EXPECT_LE(stats_of(manager).reserved_bytes, 1 * MIB);
    }
    manager_end(manager);
}

TEST(reuse__the_tight_policy_tries_caching_again_after_a_million_frees)
{
    dcmem_manager *manager = open_run_manager(&(dcmem_manager_options){0});
    for (unsigned i = 0; i < 1u << 20; i++)
        release(manager, allocate(manager, 1 * MIB - 1));
    void *block = allocate(manager, 1 * MIB + 1);
    EXPECT_EQ(usable(manager, block), 1 * MIB + 128 * KIB); /* its class's */
    release(manager, block);

    /* No run is as long, and what is cached stands in the way: again it is dear. */
    release(manager, allocate(manager, 8 * MIB));
    block = allocate(manager, 1 * MIB + 1);
    EXPECT_EQ(usable(manager, block), 1 * MIB + 4096);
    release(manager, block);
    manager_end(manager);
}
