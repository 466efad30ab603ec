/* Queues: their handles, their timelines, callbacks. */
#include "queue/kit.h"

#include <sched.h>
#include <stdatomic.h>

TEST(queue__is_refused_by_its_handle_after_its_end_and_when_it_never_was)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_queue *gone;
    uint64_t value = 77;
    EXPECT_OK(dcmem_queue_create(&gone, it.manager, NULL));
    EXPECT_OK(dcmem_queue_destroy(gone));
    EXPECT_RESULT(dcmem_queue_destroy(gone), DCMEM_E_STALE_QUEUE);
    EXPECT_RESULT(dcmem_queue_mark(&value, gone), DCMEM_E_STALE_QUEUE);
    EXPECT_RESULT(dcmem_queue_completed(&value, gone), DCMEM_E_STALE_QUEUE);
    EXPECT_RESULT(dcmem_queue_wait(gone, 1, 0), DCMEM_E_STALE_QUEUE);
    EXPECT_RESULT(dcmem_queue_mark(&value, NULL), DCMEM_E_NOT_A_QUEUE);
    EXPECT_RESULT(dcmem_queue_mark(&value, (dcmem_queue *)(uintptr_t)&value), DCMEM_E_NOT_A_QUEUE);
    EXPECT_RESULT(dcmem_queue_mark(&value, (dcmem_queue *)(uintptr_t)UINT64_MAX), DCMEM_E_NOT_A_QUEUE);
    EXPECT_RESULT(dcmem_queue_mark(NULL, it.queues[0]), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(value, 77);
    EXPECT_OK(dcmem_queue_destroy(NULL));
    bench_close(&it);
}

TEST(queue__is_refused_where_the_backend_has_none)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    profile.without = DCMEM_CAP_ASYNC;
    dcmem_backend *backend;
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    dcmem_manager *manager;
    dcmem_queue *queue = NULL;
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    EXPECT_RESULT(dcmem_queue_create(&queue, manager, NULL), DCMEM_E_UNSUPPORTED);
    EXPECT(!queue);
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

TEST(queue__timeline_rises_as_work_completes_and_not_before)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    static char host[64 * KIB];
    void *block = dcmem_raw_allocate(it.manager, sizeof host);
    uint64_t value, completed;
    EXPECT_OK(dcmem_raw_write_on(&value, it.queues[0], block, host, sizeof host));
    EXPECT_GE(value, 1);
    EXPECT_OK(dcmem_queue_completed(&completed, it.queues[0]));
    EXPECT(completed < value);
    EXPECT_RESULT(dcmem_queue_wait(it.queues[0], value, 0), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_queue_wait(it.queues[0], value + 100, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_simulated_run(it.backend));
    EXPECT_OK(dcmem_queue_completed(&completed, it.queues[0]));
    EXPECT_GE(completed, value);
    EXPECT_OK(dcmem_queue_wait(it.queues[0], value, 0));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    bench_close(&it);
}

typedef struct heard {
    _Atomic unsigned count;
    _Atomic uint64_t value;
    _Atomic int result;
} heard;

static void
hear(void *user, uint64_t value, dcmem_result result)
{
    heard *it = user;
    atomic_store(&it->value, value);
    atomic_store(&it->result, result);
    atomic_fetch_add(&it->count, 1);
}

TEST(queue__notify_calls_once_when_the_value_has_completed)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    static char host[4096];
    heard early = {0};
    uint64_t value;
    void *block = dcmem_raw_allocate(it.manager, sizeof host);
    EXPECT_OK(dcmem_raw_write_on(&value, it.queues[0], block, host, sizeof host));
    EXPECT_OK(dcmem_queue_notify(it.queues[0], value, hear, &early));
    EXPECT_EQ(atomic_load(&early.count), 0); /* time stands still */
    EXPECT_OK(dcmem_simulated_run(it.backend));
    while (!atomic_load(&early.count))
        sched_yield();
    EXPECT_EQ(atomic_load(&early.value), value);
    EXPECT_EQ(atomic_load(&early.result), DCMEM_OK);
    EXPECT_RESULT(dcmem_queue_notify(it.queues[0], 1, NULL, &early), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    bench_close(&it);
    EXPECT_EQ(atomic_load(&early.count), 1);
}

typedef struct order {
    _Atomic unsigned count;
    uint64_t values[3];
    _Atomic bool was_early, has_come, may_go;
    bench_of_queues *it;
} order;

static void
hear_in_order(void *user, uint64_t value, dcmem_result result)
{
    order *all = user;
    uint64_t completed = 0;
    (void)dcmem_queue_completed(&completed, all->it->queues[0]);
    if (completed < value || result)
        atomic_store(&all->was_early, true);
    atomic_store(&all->has_come, true);
    while (!atomic_load(&all->may_go))
        sched_yield();
    all->values[atomic_load(&all->count)] = value;
    atomic_fetch_add(&all->count, 1);
}

/* The first has been done already: it comes while the others wait, and returns when they all are done. */
TEST(queue__notify_calls_in_the_order_of_asking_and_none_too_early)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    static char host[4096];
    order all = {.it = &it};
    uint64_t values[3];
    void *block = dcmem_raw_allocate(it.manager, sizeof host);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_raw_write_on(&values[i], it.queues[0], block, host, sizeof host));
    EXPECT_OK(dcmem_queue_wait(it.queues[0], values[0], UINT64_MAX));
    for (int i = 2; i >= 0; i--)
        EXPECT_OK(dcmem_queue_notify(it.queues[0], values[i], hear_in_order, &all));
    while (!atomic_load(&all.has_come))
        sched_yield();
    EXPECT_OK(dcmem_simulated_run(it.backend));
    atomic_store(&all.may_go, true);
    while (atomic_load(&all.count) < 3)
        sched_yield();
    EXPECT(!atomic_load(&all.was_early));
    EXPECT(all.values[0] == values[0] && all.values[1] == values[2] && all.values[2] == values[1]);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    bench_close(&it);
}

TEST(queue__notify_tells_that_the_queue_ended_before_the_value)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    heard never = {0};
    EXPECT_OK(dcmem_queue_notify(it.queues[0], 1000, hear, &never));
    EXPECT_OK(dcmem_queue_destroy(it.queues[0]));
    it.queues[0] = NULL;
    EXPECT_EQ(atomic_load(&never.count), 1);
    EXPECT_EQ(atomic_load(&never.result), DCMEM_E_STALE_QUEUE);
    bench_close(&it);
}

TEST(queue__ends_with_its_manager_after_its_work)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    static char host[4096];
    void *block = dcmem_raw_allocate(it.manager, sizeof host);
    EXPECT_OK(dcmem_raw_write_on(NULL, it.queues[0], block, host, sizeof host));
    EXPECT_OK(dcmem_raw_free_on(it.queues[1], block));
    EXPECT_OK(dcmem_manager_destroy(it.manager));
    uint64_t value;
    EXPECT_RESULT(dcmem_queue_mark(&value, it.queues[0]), DCMEM_E_STALE_QUEUE);
    EXPECT_OK(dcmem_simulated_destroy(it.backend));
}
