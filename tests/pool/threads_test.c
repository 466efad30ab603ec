/* threads_test.c: many threads at once: churn, frees of others' blocks, snapshots, trims, forks, and the upkeep. */
#include "kit.h"

#include "pool/inside.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Churn ---- */

#define SHELF 256u

/* A block begins with this, and its last byte repeats the value: so a block that two threads have shows. */
typedef struct head {
    uint64_t bytes;
    uint64_t value;
} head;

typedef struct workshop {
    dcmem_manager *manager;
    _Atomic(head *) shelf[SHELF]; /* blocks that anybody may take over, and free */
    _Atomic uint64_t done;
    _Atomic uint32_t torn;
    _Atomic bool is_over;
    uint64_t operations;
} workshop;

typedef struct worker {
    pthread_t thread;
    workshop *shop;
    uint64_t seed;
} worker;

static uint8_t *
tail_of(head *block)
{
    return (uint8_t *)block + block->bytes - 1;
}

static head *
block_new(workshop *shop, random_source *random)
{
    uint64_t bytes = sizeof(head) + random_size(random, 18);
    head *block = dcmem_raw_allocate(shop->manager, bytes);
    if (!block)
        return NULL;
    block->bytes = bytes;
    block->value = random_next(random);
    *tail_of(block) = (uint8_t)block->value;
    return block;
}

static void
block_end(workshop *shop, head *block)
{
    if (*tail_of(block) != (uint8_t)block->value)
        atomic_fetch_add(&shop->torn, 1);
    if (dcmem_raw_free(shop->manager, block))
        atomic_fetch_add(&shop->torn, 1);
}

static void *
work(void *user)
{
    worker *it = user;
    random_source random = {it->seed};
    for (uint64_t n = 0; n < it->shop->operations; n++) {
        head *block = block_new(it->shop, &random);
        if (!block)
            atomic_fetch_add(&it->shop->torn, 1);
        head *other = atomic_exchange(&it->shop->shelf[random_below(&random, SHELF)], block);
        if (other)
            block_end(it->shop, other);
    }
    atomic_fetch_add(&it->shop->done, 1);
    return NULL;
}

static void
clear_shelf(workshop *shop)
{
    for (unsigned i = 0; i < SHELF; i++) {
        head *block = atomic_exchange(&shop->shelf[i], NULL);
        if (block)
            block_end(shop, block);
    }
}

/* Runs `meanwhile` again and again while the workers work, if there is one. */
static void
work_all(workshop *shop, unsigned threads, uint64_t operations, void (*meanwhile)(workshop *shop))
{
    worker workers[64];
    shop->operations = operations;
    atomic_store(&shop->done, 0);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (worker){.shop = shop, .seed = i + 1};
        EXPECT_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    while (meanwhile && atomic_load(&shop->done) < threads)
        meanwhile(shop);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    EXPECT_EQ(atomic_load(&shop->torn), 0);
}

static void
churn_on(dcmem_manager *manager, unsigned threads, uint64_t operations, void (*meanwhile)(workshop *shop))
{
    workshop shop = {.manager = manager};
    work_all(&shop, threads, operations, meanwhile);
    EXPECT_OK(dcmem_manager_check(manager));
    clear_shelf(&shop);
    EXPECT_EQ(atomic_load(&shop.torn), 0);

    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.allocations, threads * operations);
    EXPECT_EQ(stats.frees, stats.allocations);
    EXPECT_EQ(stats.used_bytes, 0);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    EXPECT_EQ(stats_of(manager).reserved_bytes, 0);
    manager_end(manager);
}

TEST(threads__2_share_blocks_without_loss)
{
    churn_on(cpu_manager(NULL), 2, 3000, NULL);
}

TEST(threads__8_share_blocks_without_loss)
{
    churn_on(cpu_manager(NULL), 8, 1000, NULL);
}

LONG_TEST(threads__8_share_blocks_without_loss_for_long)
{
    churn_on(cpu_manager(NULL), 8, test_scaled(50000), NULL);
}

LONG_TEST(threads__64_share_blocks_without_loss)
{
    churn_on(cpu_manager(NULL), 64, test_scaled(5000), NULL);
}

TEST(threads__the_tight_policy_loses_nothing_either)
{
    churn_on(cpu_manager(&(dcmem_manager_options){.policy = DCMEM_POLICY_TIGHT}), 4, 1000, NULL);
}

TEST(threads__without_idle_memory_nothing_is_lost_either)
{
    churn_on(cpu_manager(&(dcmem_manager_options){.idle_limit_bytes = DCMEM_NO_IDLE_MEMORY}), 4, 500, NULL);
}

TEST(threads__exact_peaks_lose_nothing_either)
{
    churn_on(cpu_manager(&(dcmem_manager_options){.exact_peaks = 1}), 4, 1000, NULL);
}

/* ---- Others at work meanwhile ---- */

static void
trim_some(workshop *shop)
{
    EXPECT_OK(dcmem_manager_trim(NULL, shop->manager, 0));
}

TEST(threads__trims_while_they_run_take_nothing_from_them)
{
    churn_on(cpu_manager(NULL), 4, 1000, trim_some);
}

LONG_TEST(threads__trims_while_they_run_take_nothing_from_them_for_long)
{
    churn_on(cpu_manager(NULL), 4, test_scaled(20000), trim_some);
}

static void
maintain_some(workshop *shop)
{
    EXPECT_OK(dcmem_manager_maintain(shop->manager));
}

TEST(threads__upkeep_while_they_run_takes_nothing_from_them)
{
    churn_on(cpu_manager(&(dcmem_manager_options){.idle_time_ns = 1}), 4, 1000, maintain_some);
}

static dcmem_stats last_stats;

/* Every counter only rises, and what is used is reserved. */
static void
look(workshop *shop)
{
    static dcmem_stats now;
    now = stats_of(shop->manager);
    EXPECT_LE(now.used_bytes, now.reserved_bytes);
    EXPECT_LE(now.live_requested_bytes, now.used_bytes);
    EXPECT_LE(now.used_bytes, now.used_peak_bytes);
    EXPECT_LE(now.reserved_bytes, now.reserved_peak_bytes);
    EXPECT_LE(now.frees, now.allocations);
#define DCMEM_X(name, unit, help) EXPECT_GE(now.name, last_stats.name);
    DCMEM_STATS_COUNTERS(DCMEM_X)
#undef DCMEM_X
    last_stats = now;
}

TEST(threads__a_snapshot_while_they_run_never_falls_and_holds_what_is_used)
{
    last_stats = (dcmem_stats){0};
    churn_on(cpu_manager(NULL), 4, 2000, look);
}

LONG_TEST(threads__snapshots_while_they_run_never_fall_for_long)
{
    last_stats = (dcmem_stats){0};
    churn_on(cpu_manager(NULL), 8, test_scaled(20000), look);
}

/* ---- Short memory ---- */

static void *
work_on_little(void *user)
{
    worker *it = user;
    random_source random = {it->seed};
    void *blocks[20] = {0};
    for (uint64_t n = 0; n < it->shop->operations; n++) {
        void **block = &blocks[random_below(&random, 20)];
        if (dcmem_raw_free(it->shop->manager, *block))
            atomic_fetch_add(&it->shop->torn, 1);
        *block = dcmem_raw_allocate(it->shop->manager, random_size(&random, 20));
        if (!*block && dcmem_last_detail()->result != DCMEM_E_NO_MEMORY)
            atomic_fetch_add(&it->shop->torn, 1);
    }
    for (unsigned i = 0; i < 20; i++)
        if (dcmem_raw_free(it->shop->manager, blocks[i]))
            atomic_fetch_add(&it->shop->torn, 1);
    return NULL;
}

TEST(threads__on_a_device_that_is_nearly_full_they_fail_cleanly_or_succeed)
{
    test_device it = device_open(16 * MIB, NULL);
    workshop shop = {.manager = it.manager, .operations = 1000};
    worker workers[8];
    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (worker){.shop = &shop, .seed = i + 1};
        EXPECT_EQ(pthread_create(&workers[i].thread, NULL, work_on_little, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(workers[i].thread, NULL);
    EXPECT_EQ(atomic_load(&shop.torn), 0);
    EXPECT_LE(account_of(&it).peak_bytes, 16 * MIB);
    void *all = allocate(it.manager, 16 * MIB);
    release(it.manager, all);
    device_close(&it);
}

/* ---- A thread's end ---- */

static void *
fill_a_cache(void *user)
{
    dcmem_manager *manager = user;
    void *blocks[500];
    for (unsigned i = 0; i < 500; i++)
        blocks[i] = allocate(manager, 64u << (i % 10));
    for (unsigned i = 0; i < 500; i++)
        release(manager, blocks[i]);
    return NULL;
}

TEST(threads__one_that_ends_gives_everything_back)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < 20; i++) {
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, fill_a_cache, manager), 0);
        pthread_join(thread, NULL);
        dcmem_stats stats = stats_of(manager);
        EXPECT_EQ(stats.thread_cache_bytes, 0);
        EXPECT_EQ(stats.threads, 0);
        EXPECT_EQ(stats.allocations, (i + 1) * 500u);
        EXPECT_EQ(stats.frees, (i + 1) * 500u);
    }
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    EXPECT_EQ(stats_of(manager).reserved_bytes, 0);
    manager_end(manager);
}

TEST(threads__a_manager_may_end_before_those_that_used_it)
{
    dcmem_manager *first = cpu_manager(NULL);
    for (unsigned i = 0; i < 50; i++) {
        dcmem_manager *manager = cpu_manager(NULL);
        for (uint64_t bytes = 1; bytes < MIB; bytes *= 3)
            release(manager, allocate(manager, bytes));
        manager_end(manager);
        release(first, allocate(first, 100));
    }
    manager_end(first);
}

typedef struct leaver {
    pthread_t thread;
    dcmem_manager *manager;
    pthread_barrier_t *barrier;
} leaver;

static void *
use_and_end(void *user)
{
    leaver *it = user;
    for (uint64_t bytes = 64; bytes <= 64 * KIB; bytes *= 2)
        release(it->manager, allocate(it->manager, bytes));
    pthread_barrier_wait(it->barrier);
    return NULL;
}

/* A thread's end is no call on the manager, so nobody can be asked to wait for it. */
TEST(threads__may_end_at_the_moment_when_a_manager_they_used_ends)
{
    for (unsigned round = 0; round < 50; round++) {
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 5);
        dcmem_manager *manager = cpu_manager(NULL);
        leaver leavers[4];
        for (unsigned i = 0; i < 4; i++) {
            leavers[i] = (leaver){.manager = manager, .barrier = &barrier};
            EXPECT_EQ(pthread_create(&leavers[i].thread, NULL, use_and_end, &leavers[i]), 0);
        }
        pthread_barrier_wait(&barrier);
        EXPECT_OK(dcmem_manager_destroy(manager));
        for (unsigned i = 0; i < 4; i++)
            pthread_join(leavers[i].thread, NULL);
        pthread_barrier_destroy(&barrier);
    }
}

/* ---- Managers that come and go ---- */

static uint64_t
resident_bytes(void)
{
    unsigned long long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file);
    EXPECT_EQ(fscanf(file, "%llu %llu", &all, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
make_and_end(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        dcmem_manager *manager;
        EXPECT_OK(dcmem_manager_create(&manager, NULL));
        release(manager, allocate(manager, 1 + i * 977 % 100000));
        EXPECT_OK(dcmem_manager_destroy(manager));
    }
}

/* Sanitizers keep books of their own. */
#if UNDER_ASAN || defined(UNDER_TSAN)
#define RESIDENT_ALLOWANCE (64 * MIB)
#else
#define RESIDENT_ALLOWANCE MIB
#endif

LONG_TEST(threads__10000_managers_leave_no_resident_memory_behind)
{
    make_and_end(500);
    uint64_t before = resident_bytes();
    make_and_end(test_scaled(10000));
    EXPECT_LE(resident_bytes(), before + RESIDENT_ALLOWANCE);
}

TEST(threads__200_managers_live_at_once)
{
    SKIP_UNDER_VALGRIND();
    static dcmem_manager *managers[200];
    for (unsigned i = 0; i < 200; i++)
        managers[i] = cpu_manager(NULL);
    for (unsigned i = 0; i < 200; i++)
        for (unsigned n = 0; n < 3; n++)
            release(managers[i], allocate(managers[i], 100 + i));
    for (unsigned i = 0; i < 200; i++) {
        EXPECT_EQ(stats_of(managers[i]).allocations, 3);
        manager_end(managers[i]);
    }
}

/* ---- Fork ---- */

#ifndef UNDER_TSAN

/* What the child found; 0 is good. A test framework is of no use in a child. */
static int
child_of(dcmem_manager *manager, unsigned char *inherited)
{
    if (inherited[0] != 42)
        return 1;
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char *block = dcmem_raw_allocate(manager, 1 + i * 97);
        if (!block)
            return 2;
        block[0] = 1;
        if (dcmem_raw_free(manager, block))
            return 3;
    }
    if (dcmem_raw_free(manager, inherited))
        return 4;
    if (dcmem_manager_trim(NULL, manager, 0))
        return 5;
    dcmem_manager *own;
    if (dcmem_manager_create(&own, NULL))
        return 6;
    void *block = dcmem_raw_allocate(own, 100);
    if (!block || dcmem_raw_free(own, block) || dcmem_manager_destroy(own))
        return 7;
    return 0;
}

/* In builds that measure coverage: what the child went through is not forgotten. */
extern void __gcov_dump(void) __attribute__((weak));

static _Noreturn void
child_end(int status)
{
    if (__gcov_dump)
        __gcov_dump();
    _exit(status);
}

static void
fork_once(dcmem_manager *manager)
{
    unsigned char *block = allocate(manager, 5000);
    block[0] = 42;
    pid_t pid = fork();
    EXPECT_GE(pid, 0);
    if (pid == 0)
        child_end(child_of(manager, block));
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(block[0], 42);
    release(manager, block);
}

TEST(threads__a_child_process_goes_on_and_the_parent_does_not_notice)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < 5; i++)
        fork_once(manager);
    manager_end(manager);
}

static void
fork_some(workshop *shop)
{
    fork_once(shop->manager);
}

/* The forks' own blocks are counted too, so the sums of churn_on() do not hold here. */
TEST(threads__a_fork_in_the_midst_of_their_work_harms_neither_side)
{
    workshop shop = {.manager = cpu_manager(NULL)};
    work_all(&shop, 4, 3000, fork_some);
    clear_shelf(&shop);
    EXPECT_EQ(stats_of(shop.manager).used_bytes, 0);
    manager_end(shop.manager);
}

TEST(threads__a_fork_beside_the_upkeep_harms_neither_side)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1000000});
    for (unsigned i = 0; i < 20; i++)
        fork_once(manager);
    manager_end(manager);
}

/* Whoever slept on a condition when the process was forked sleeps in no child, and may not be waited for there. */
TEST(threads__a_child_wakes_its_own_upkeep_as_often_as_it_likes)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1000000000});
    usleep(20000); /* The upkeep sleeps by now. */
    pid_t pid = fork();
    EXPECT_GE(pid, 0);
    if (pid == 0) {
        alarm(20);
        for (unsigned i = 0; i < 8; i++) {
            dcmem_manager *own;
            if (dcmem_manager_create(&own, NULL))
                child_end(1);
            usleep(20000);
        }
        child_end(0);
    }
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    manager_end(manager);
}

#endif

/* ---- The upkeep ---- */

static void
sleep_a_little(void)
{
    usleep(1000);
}

static void
use_and_leave(dcmem_manager *manager)
{
    enum { COUNT = 64 };
    void *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i] = allocate(manager, MIB);
    for (unsigned i = 0; i < COUNT; i++)
        release(manager, blocks[i]);
}

/* Waits as long as it takes: a test that hangs here has found that it never happens. */
TEST(threads__idle_memory_goes_back_by_itself)
{
    dcmem_manager *manager =
        cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1000000, .idle_time_ns = 1000000});
    use_and_leave(manager);
    EXPECT_GE(stats_of(manager).reserved_peak_bytes, 64 * MIB);
    dcmem_stats stats = stats_of(manager);
    while (stats.reserved_bytes > stats.thread_cache_bytes) {
        sleep_a_little();
        stats = stats_of(manager);
    }
    EXPECT_EQ(stats.reserved_bytes, stats.thread_cache_bytes);
    EXPECT_GE(stats.trimmed_bytes, 32 * MIB);
    manager_end(manager);
}

TEST(threads__switched_off_the_upkeep_does_nothing_unless_asked)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.idle_time_ns = 1});
    dcmem_manager *other = cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1000000});
    use_and_leave(manager);
    uint64_t reserved = stats_of(manager).reserved_bytes;
    while (stats_of(other).maintenance_rounds < 5)
        sleep_a_little();
    EXPECT_EQ(stats_of(manager).maintenance_rounds, 0);
    EXPECT_EQ(stats_of(manager).reserved_bytes, reserved);

    for (unsigned i = 0; i < 4; i++)
        EXPECT_OK(dcmem_manager_maintain(manager));
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.maintenance_rounds, 4);
    EXPECT_EQ(stats.depot_bytes + stats.free_bytes, 0);
    manager_end(manager);
    manager_end(other);
}

/* No class: it is free in the good fit, not in a cache, whenever the upkeep comes. */
TEST(threads__a_huge_block_that_is_wanted_again_and_again_stays)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.idle_time_ns = 1});
    release(manager, allocate(manager, GIB + 1));
    EXPECT_OK(dcmem_manager_maintain(manager));
    uint64_t acquired = stats_of(manager).acquired_bytes;
    for (unsigned i = 0; i < 5; i++) {
        release(manager, allocate(manager, GIB + 1));
        EXPECT_OK(dcmem_manager_maintain(manager));
    }
    EXPECT_EQ(stats_of(manager).acquired_bytes, acquired);
    EXPECT_OK(dcmem_manager_maintain(manager));
    EXPECT_EQ(stats_of(manager).reserved_bytes, 0);
    manager_end(manager);
}

TEST(threads__memory_that_is_in_use_again_and_again_does_not_go_back)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.idle_time_ns = 1});
    use_and_leave(manager);
    for (unsigned i = 0; i < 3; i++) {
        use_and_leave(manager);
        EXPECT_OK(dcmem_manager_maintain(manager));
    }
    uint64_t acquired = stats_of(manager).acquired_bytes;
    for (unsigned i = 0; i < 5; i++) {
        use_and_leave(manager);
        EXPECT_OK(dcmem_manager_maintain(manager));
    }
    EXPECT_EQ(stats_of(manager).acquired_bytes, acquired);
    manager_end(manager);
}

TEST(threads__a_manager_may_end_while_the_upkeep_is_at_work)
{
    for (unsigned i = 0; i < 100; i++) {
        dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1, .idle_time_ns = 1});
        void *block = allocate(manager, MIB);
        release(manager, block);
        EXPECT_OK(dcmem_manager_destroy(manager));
    }
}

TEST(threads__managers_may_come_while_the_upkeep_is_at_work)
{
    dcmem_manager *first = cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1});
    for (unsigned i = 0; i < 300; i++)
        manager_end(cpu_manager(&(dcmem_manager_options){.maintenance_interval_ns = 1}));
    manager_end(first);
}

/* ---- Kinds ---- */

TEST(threads__memory_of_every_kind_is_sized_by_the_managers_policy)
{
    dcmem_simulated_profile profile = {
        .size = sizeof profile, .total_bytes = 64 * MIB, .host_bytes = 64 * MIB, .alignment = 256};
    test_device it = device_open_profile(&profile, NULL);
    dcmi_pool *root = dcmi_pool_resolve(it.manager), *host;
    EXPECT_OK(dcmi_pool_of_kind(&host, root, DCMEM_KIND_HOST));
    EXPECT_EQ(memcmp(&host->table, &root->table, sizeof root->table), 0);
    device_close(&it);
}

/* ---- Pressure ---- */

static bool
is_tight(dcmem_manager *manager)
{
    return dcmi_pool_is_tight(dcmi_pool_resolve(manager));
}

TEST(threads__near_the_limit_the_default_policy_is_tight)
{
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.limit_bytes = 64 * MIB});
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(!is_tight(it.manager));
    void *block = allocate(it.manager, 62 * MIB);
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(is_tight(it.manager));

    release(it.manager, block);
    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, 0));
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(!is_tight(it.manager));
    device_close(&it);
}

TEST(threads__a_device_that_others_fill_makes_the_default_policy_tight)
{
    test_device it = device_open(256 * MIB, NULL);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 8 * MIB));
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(is_tight(it.manager));
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 256 * MIB));
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(!is_tight(it.manager));
    device_close(&it);
}

TEST(threads__a_policy_that_was_chosen_stays)
{
    test_device it = device_open(64 * MIB, &(dcmem_manager_options){.policy = DCMEM_POLICY_LOOSE});
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, MIB));
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(!is_tight(it.manager));
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 64 * MIB));
    EXPECT_OK(dcmem_manager_set_policy(it.manager, DCMEM_POLICY_TIGHT));
    EXPECT_OK(dcmem_manager_maintain(it.manager));
    EXPECT(is_tight(it.manager));
    device_close(&it);
}
