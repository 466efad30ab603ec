/* ladder_test.c: what happens when memory is short: a device that is full to the byte, and limits. */
#include "kit.h"

#include <dcmem/buffer.h>
#include <pthread.h>

/* ---- Flush before grow ---- */

TEST(ladder__nothing_grows_while_cached_memory_could_serve)
{
    test_device it = device_open(256 * MIB, NULL);
    void *blocks[16];
    for (unsigned i = 0; i < 16; i++)
        blocks[i] = allocate(it.manager, MIB);
    for (unsigned i = 0; i < 16; i++)
        release(it.manager, blocks[i]);
    uint64_t acquires = account_of(&it).acquires;

    /* Two freed neighbours are one block of 2 MiB, once the cache has let them go. */
    for (unsigned i = 0; i < 8; i++)
        blocks[i] = allocate(it.manager, 2 * MIB);
    EXPECT_EQ(account_of(&it).acquires, acquires);
    EXPECT_GE(stats_of(it.manager).flushes, 1);
    for (unsigned i = 0; i < 8; i++)
        release(it.manager, blocks[i]);
    device_close(&it);
}

TEST(ladder__address_space_that_was_cut_up_serves_a_large_block_again)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++)
        blocks[i] = allocate(manager, 256 * KIB);
    for (unsigned i = 0; i < 64; i++)
        release(manager, blocks[i]);
    uint64_t acquired = stats_of(manager).acquired_bytes;
    void *block = allocate(manager, 16 * MIB);
    EXPECT_EQ(stats_of(manager).acquired_bytes, acquired);
    release(manager, block);
    manager_end(manager);
}

TEST(ladder__what_small_blocks_left_serves_other_small_sizes)
{
    test_device it = device_open(64 * MIB, NULL);
    enum { COUNT = 2000 };
    static void *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = allocate(it.manager, 64);
    for (unsigned i = 0; i < COUNT; i++)
        release(it.manager, blocks[i]);
    uint64_t acquires = account_of(&it).acquires;
    for (uint64_t bytes = 128; bytes <= 32 * KIB; bytes *= 2)
        release(it.manager, allocate(it.manager, bytes));
    EXPECT_EQ(account_of(&it).acquires, acquires);
    device_close(&it);
}

/* ---- Limits ---- */

TEST(ladder__the_limit_is_never_passed)
{
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.limit_bytes = 24 * MIB});
    void *blocks[100];
    unsigned count = 0;
    while (count < 100 && (blocks[count] = dcmem_raw_allocate(it.manager, MIB)))
        count++;
    EXPECT_EQ(count, 24);
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_LIMIT);
    EXPECT_DETAIL("full");
    EXPECT_LE(account_of(&it).peak_bytes, 24 * MIB);

    EXPECT_OK(dcmem_manager_set_limit(it.manager, 26 * MIB));
    blocks[count++] = allocate(it.manager, 2 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, MIB), DCMEM_E_LIMIT);
    EXPECT_OK(dcmem_manager_set_limit(it.manager, 0));
    blocks[count++] = allocate(it.manager, 50 * MIB);
    while (count > 0)
        release(it.manager, blocks[--count]);
    device_close(&it);
}

TEST(ladder__a_limit_that_lacks_a_byte_is_one_page_less)
{
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.limit_bytes = 3 * MIB - 1});
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 3 * MIB), DCMEM_E_LIMIT);
    EXPECT_OK(dcmem_manager_set_limit(it.manager, 3 * MIB));
    release(it.manager, allocate(it.manager, 3 * MIB));
    device_close(&it);
}

TEST(ladder__the_limit_holds_with_random_sizes)
{
    const uint64_t limit = 8 * MIB;
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.limit_bytes = limit});
    random_source random = {1};
    void *blocks[200] = {0};
    for (unsigned n = 0; n < 5000; n++) {
        void **block = &blocks[random_below(&random, 200)];
        EXPECT_OK(dcmem_raw_free(it.manager, *block));
        *block = dcmem_raw_allocate(it.manager, random_size(&random, 21));
        if (!*block)
            EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_LIMIT);
        EXPECT_LE(account_of(&it).live_bytes, limit);
    }
    EXPECT_LE(account_of(&it).peak_bytes, limit);
    for (unsigned i = 0; i < 200; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    device_close(&it);
}

TEST(ladder__a_refused_growth_is_halved_down_to_the_need)
{
    test_device it = device_open(128 * MIB, &(dcmem_manager_options){.growth_bytes = 64 * MIB});
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 3 * MIB));
    void *block = allocate(it.manager, 2 * MIB);
    EXPECT_GE(account_of(&it).refusals, 1);
    release(it.manager, block);
    device_close(&it);
}

TEST(ladder__a_growth_brings_as_much_as_was_set)
{
    test_device it = device_open(64 * MIB, &(dcmem_manager_options){.growth_bytes = 16 * MIB});
    void *block = allocate(it.manager, MIB);
    EXPECT_EQ(account_of(&it).live_bytes, 16 * MIB);
    release(it.manager, block);
    device_close(&it);
}

TEST(ladder__memory_of_other_sizes_makes_room)
{
    test_device it = device_open(32 * MIB, NULL);
    enum { COUNT = 4096 };
    static void *small[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        small[i] = allocate(it.manager, 4096);
    for (unsigned i = 0; i < COUNT; i++)
        release(it.manager, small[i]);
    EXPECT_GE(account_of(&it).live_bytes, 16 * MIB);

    /* The small blocks' region holds half the device; the large ones need it all. */
    void *block = allocate(it.manager, 32 * MIB);
    EXPECT_EQ(account_of(&it).live_bytes, 32 * MIB);
    EXPECT_GE(stats_of(it.manager).retries, 1);
    release(it.manager, block);
    device_close(&it);
}

/* ---- Threads that hold free memory ---- */

#define KEPT       8u
#define KEPT_BYTES (256 * KIB)

typedef struct holder {
    pthread_t thread;
    dcmem_manager *manager;
    pthread_barrier_t *barrier;
} holder;

/* Fills its magazine, then does nothing more until the other has had what it wanted. */
static void *
hold(void *user)
{
    holder *it = user;
    void *blocks[KEPT];
    for (unsigned i = 0; i < KEPT; i++)
        blocks[i] = allocate(it->manager, KEPT_BYTES);
    for (unsigned i = 0; i < KEPT; i++)
        release(it->manager, blocks[i]);
    pthread_barrier_wait(it->barrier);
    pthread_barrier_wait(it->barrier);

    /* The cache still works after it was emptied from outside. */
    release(it->manager, allocate(it->manager, 100));
    return NULL;
}

static void
reclaim_from(unsigned threads)
{
    test_device it = device_open(32 * MIB, NULL);
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, threads + 1);
    holder holders[8];
    for (unsigned i = 0; i < threads; i++) {
        holders[i] = (holder){.manager = it.manager, .barrier = &barrier};
        EXPECT_EQ(pthread_create(&holders[i].thread, NULL, hold, &holders[i]), 0);
    }
    pthread_barrier_wait(&barrier);
    EXPECT_GE(stats_of(it.manager).thread_cache_bytes, KEPT_BYTES);

    void *blocks[16];
    for (unsigned i = 0; i < 16; i++)
        blocks[i] = allocate(it.manager, 2 * MIB);
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.used_bytes, 32 * MIB);
    EXPECT_EQ(stats.thread_cache_bytes, 0);
    EXPECT_GE(stats.reclaims, 1);
    EXPECT_GE(stats.reclaimed_bytes, KEPT_BYTES);
    for (unsigned i = 0; i < 16; i++)
        release(it.manager, blocks[i]);

    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(holders[i].thread, NULL);
    pthread_barrier_destroy(&barrier);
    device_close(&it);
}

TEST(ladder__memory_in_2_idle_threads_magazines_is_had_when_it_is_needed)
{
    reclaim_from(2);
}

TEST(ladder__memory_in_8_idle_threads_magazines_is_had_when_it_is_needed)
{
    reclaim_from(8);
}

TEST(ladder__what_fits_in_another_threads_magazine_is_had_without_the_driver)
{
    test_device it = device_open(KEPT * KEPT_BYTES, NULL);
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    holder other = {.manager = it.manager, .barrier = &barrier};
    EXPECT_EQ(pthread_create(&other.thread, NULL, hold, &other), 0);
    pthread_barrier_wait(&barrier);
    dcmem_simulated_account before = account_of(&it);
    release(it.manager, allocate(it.manager, KEPT_BYTES));
    EXPECT_EQ(account_of(&it).acquires, before.acquires);
    EXPECT_EQ(account_of(&it).releases, before.releases);
    pthread_barrier_wait(&barrier);
    pthread_join(other.thread, NULL);
    pthread_barrier_destroy(&barrier);
    device_close(&it);
}

/* ---- The callback ---- */

typedef struct caller {
    void *spare; /* freed by the callback */
    uint32_t frees_at;
    uint32_t gives_up_at;
    uint32_t calls;
    uint32_t last_attempt;
    uint64_t bytes;
    bool is_in_order;
} caller;

static bool
out_of_memory(void *user, dcmem_manager *manager, uint64_t bytes_needed, uint32_t attempt)
{
    caller *it = user;
    it->is_in_order = it->is_in_order && attempt == it->calls;
    it->calls++;
    it->last_attempt = attempt;
    it->bytes = bytes_needed;
    if (attempt == it->frees_at)
        release(manager, it->spare);
    return attempt < it->gives_up_at;
}

static test_device
device_with(caller *it)
{
    it->is_in_order = true;
    return device_open(16 * MIB, &(dcmem_manager_options){.out_of_memory = out_of_memory, .out_of_memory_user = it});
}

TEST(ladder__the_callback_frees_memory_and_the_request_succeeds)
{
    caller user = {.frees_at = 0, .gives_up_at = 100};
    test_device it = device_with(&user);
    user.spare = allocate(it.manager, 16 * MIB);
    void *block = allocate(it.manager, 4 * MIB);
    EXPECT_EQ(user.calls, 1);
    EXPECT_EQ(user.bytes, 4 * MIB);
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.callbacks, 1);
    EXPECT_EQ(stats.retries, 1);
    EXPECT_EQ(stats.failed_allocations, 0);
    release(it.manager, block);
    device_close(&it);
}

TEST(ladder__the_callback_is_asked_again_with_the_next_number)
{
    caller user = {.frees_at = 3, .gives_up_at = 100};
    test_device it = device_with(&user);
    user.spare = allocate(it.manager, 16 * MIB);
    void *block = allocate(it.manager, 4 * MIB);
    EXPECT_EQ(user.calls, 4);
    EXPECT(user.is_in_order);
    release(it.manager, block);
    device_close(&it);
}

TEST(ladder__a_callback_that_gives_up_ends_it)
{
    caller user = {.frees_at = 100, .gives_up_at = 2};
    test_device it = device_with(&user);
    void *all = allocate(it.manager, 16 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, MIB), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("full");
    EXPECT_EQ(user.calls, 3);
    EXPECT(user.is_in_order);
    release(it.manager, all);
    device_close(&it);
}

TEST(ladder__a_callback_that_frees_nothing_is_not_asked_for_ever)
{
    caller user = {.frees_at = UINT32_MAX, .gives_up_at = UINT32_MAX};
    test_device it = device_with(&user);
    void *all = allocate(it.manager, 16 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, MIB), DCMEM_E_NO_MEMORY);
    EXPECT(user.calls >= 1 && user.calls <= 100);
    EXPECT(user.is_in_order);
    EXPECT_EQ(stats_of(it.manager).callbacks, user.calls);
    release(it.manager, all);
    device_close(&it);
}

TEST(ladder__the_callback_is_not_asked_while_memory_can_be_had)
{
    caller user = {.frees_at = UINT32_MAX};
    test_device it = device_with(&user);
    for (unsigned i = 0; i < 100; i++)
        release(it.manager, allocate(it.manager, (i % 16 + 1) * MIB));
    EXPECT_EQ(user.calls, 0);
    device_close(&it);
}

/* ---- The report ---- */

TEST(ladder__pieces_that_do_not_fit_are_called_fragmented)
{
    test_device it = device_open(32 * MIB, NULL);
    void *blocks[32];
    for (unsigned i = 0; i < 32; i++)
        blocks[i] = allocate(it.manager, MIB);
    for (unsigned i = 0; i < 32; i += 2)
        release(it.manager, blocks[i]);

    EXPECT_NULL(dcmem_raw_allocate(it.manager, 2 * MIB), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("fragmented: 2097152 bytes asked");
    EXPECT_DETAIL("33554432 held");
    EXPECT_DETAIL("16777216 free");
    EXPECT_DETAIL("largest free 1048576");
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.out_of_memory_fragmented, 1);
    EXPECT_EQ(stats.out_of_memory_full, 0);
    EXPECT_EQ(stats.failed_allocations, 1);
    EXPECT_EQ(stats.failed_bytes, 2 * MIB);
    EXPECT_EQ(stats.largest_free_bytes, MIB);
    for (unsigned i = 1; i < 32; i += 2)
        release(it.manager, blocks[i]);
    device_close(&it);
}

TEST(ladder__a_device_without_free_memory_is_called_full)
{
    test_device it = device_open(32 * MIB, NULL);
    void *block = allocate(it.manager, 32 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 64), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("full: 64 bytes asked");
    EXPECT_DETAIL("largest free 0");
    EXPECT_EQ(stats_of(it.manager).out_of_memory_full, 1);
    release(it.manager, block);
    device_close(&it);
}

TEST(ladder__the_report_names_who_holds_most)
{
    test_device it = device_open(16 * MIB, NULL);
    dcmem_buffer *buffers[7];
    for (unsigned i = 0; i < 7; i++) {
        dcmem_buffer_options options = {.size = sizeof options, .tag = i + 10};
        EXPECT_OK(dcmem_buffer_create(&buffers[i], it.manager, (i + 1) * 128 * KIB, &options));
    }
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 16 * MIB), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("held by tag 16 917504, tag 15 786432, tag 14 655360, tag 13 524288, tag 12 393216");
    EXPECT(!strstr(dcmem_last_detail()->message, "tag 11"));
    for (unsigned i = 0; i < 7; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    device_close(&it);
}

TEST(ladder__memory_is_there_again_after_a_failure)
{
    test_device it = device_open(8 * MIB, NULL);
    for (unsigned round = 0; round < 20; round++) {
        void *all = allocate(it.manager, 8 * MIB);
        EXPECT_NULL(dcmem_raw_allocate(it.manager, MIB), DCMEM_E_NO_MEMORY);
        release(it.manager, all);
    }
    EXPECT_EQ(stats_of(it.manager).out_of_memory_full, 20);
    device_close(&it);
}

TEST(ladder__a_lost_device_is_told_at_once)
{
    caller user = {.frees_at = UINT32_MAX, .gives_up_at = UINT32_MAX};
    test_device it = device_with(&user);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_NULL(dcmem_raw_allocate(it.manager, MIB), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(user.calls, 0);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    release(it.manager, allocate(it.manager, MIB));
    device_close(&it);
}

TEST(ladder__memory_that_others_took_can_be_missed_and_comes_back)
{
    test_device it = device_open(16 * MIB, NULL);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 4 * MIB));
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 8 * MIB), DCMEM_E_NO_MEMORY);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 16 * MIB));
    release(it.manager, allocate(it.manager, 8 * MIB));
    device_close(&it);
}

/* ---- The end ---- */

TEST(ladder__the_end_tells_what_was_live_and_gives_it_back)
{
    test_device it = device_open(64 * MIB, NULL);
    for (uint64_t bytes = 1; bytes < 8 * MIB; bytes *= 3)
        EXPECT(allocate(it.manager, bytes) != NULL);
    device_close_with(&it, DCMEM_E_LEAKED);
}

/* ---- All of it at once ---- */

static void
press(dcmem_simulated_profile profile, uint64_t operations, uint64_t seed)
{
    test_device it = device_open_profile(&profile, NULL);
    random_source random = {seed};
    void *blocks[300] = {0};
    uint64_t failures = 0;
    for (uint64_t n = 0; n < operations; n++) {
        void **block = &blocks[random_below(&random, 300)];
        EXPECT_OK(dcmem_raw_free(it.manager, *block));
        *block = dcmem_raw_allocate(it.manager, random_size(&random, 22));
        failures += *block == NULL;
        if (n % 512 == 0)
            EXPECT_OK(dcmem_manager_check(it.manager));
    }
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_GE(failures, 1);
    EXPECT_EQ(stats.failed_allocations, failures);
    EXPECT_EQ(stats.out_of_memory_fragmented + stats.out_of_memory_full, failures);
    EXPECT_EQ(stats.acquired_bytes - stats.released_bytes, stats.reserved_bytes);
    EXPECT_EQ(account_of(&it).live_bytes, stats.reserved_bytes);
    for (unsigned i = 0; i < 300; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, 0));
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    device_close(&it);
}

TEST(ladder__a_device_that_is_always_nearly_full_stays_consistent)
{
    press((dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile), .total_bytes = 32 * MIB}, 3000, 1);
}

TEST(ladder__so_does_one_of_coarse_pages)
{
    press((dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile),
                                    .total_bytes = 64 * MIB,
                                    .granularity = 2 * MIB},
          3000, 2);
}

TEST(ladder__so_does_one_whose_memory_is_address_space)
{
    press((dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile),
                                    .flags =
                                        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED,
                                    .total_bytes = 32 * MIB},
          3000, 3);
}
