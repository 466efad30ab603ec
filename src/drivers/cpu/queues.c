/* queues.c: the threads, and what they take next. */
#include "drivers/cpu/queues.h"

#include "base/fail.h"
#include "base/lock.h"
#include "base/os.h"
#include "base/size.h"
#include "drivers/cpu/calls.h"
#include "drivers/cpu/move.h"

#include <pthread.h>
#include <unistd.h>

/* All but `completed` and `steps` is guarded by `lock`. */
struct dcmi_cpu_queue {
    dcmi_cpu_queue *next;       /* of the open ones */
    dcmi_cpu_queue *next_ready; /* of those that wait for a thread */
    bool is_scheduled;          /* ready or running */
    uint32_t waiters;           /* sleep on `steps` */
    _Atomic uint32_t steps;     /* counts completions */
    _Atomic uint64_t completed;
    uint64_t submitted;
    dcmi_cpu_work ring[DCMI_CPU_QUEUE_ROOM]; /* work number n lies at n modulo its size */
};

/* Guards everything here but the threads themselves. Held for a few instructions at a time. */
static dcmi_lock lock;
static dcmi_cpu_queue *queues DCMI_GUARDED(lock);
static dcmi_cpu_queue *first_ready DCMI_GUARDED(lock);
static dcmi_cpu_queue *last_ready DCMI_GUARDED(lock);
static bool is_ending DCMI_GUARDED(lock);
static uint32_t sleepers DCMI_GUARDED(lock); /* threads that wait for the bell */
static _Atomic uint32_t bell;

/* Guards the threads: held while they are started and joined, taken before `lock`, never taken by them. */
static dcmi_lock gate;
static pthread_t threads[DCMI_CPU_WORKERS] DCMI_GUARDED(gate);
static _Atomic uint32_t thread_count;
static uint32_t queue_count DCMI_GUARDED(gate);

/* ---- The threads ---- */

static void
ring_bell(void) DCMI_REQUIRES(lock)
{
    atomic_fetch_add_explicit(&bell, 1, memory_order_relaxed);
    if (sleepers > 0)
        dcmi_os_wake(&bell);
}

static void
push_ready(dcmi_cpu_queue *queue) DCMI_REQUIRES(lock)
{
    queue->is_scheduled = true;
    queue->next_ready = NULL;
    if (first_ready)
        last_ready->next_ready = queue;
    else
        first_ready = queue;
    last_ready = queue;
}

static dcmi_cpu_queue *
pop_ready(void) DCMI_REQUIRES(lock)
{
    dcmi_cpu_queue *queue = first_ready;
    if (queue)
        first_ready = queue->next_ready;
    return queue;
}

static void
do_work(const dcmi_cpu_work *work)
{
    if (work->pattern_bytes)
        dcmi_cpu_fill(work->to, work->bytes, work->pattern, work->pattern_bytes);
    else
        dcmi_cpu_copy(work->to, work->from, work->bytes);
}

/* One piece of work of a queue, then the next queue's: none waits for another's long list. */
static void
run_queue(dcmi_cpu_queue *queue) DCMI_REQUIRES(lock)
{
    uint64_t value = atomic_load_explicit(&queue->completed, memory_order_relaxed) + 1;
    const dcmi_cpu_work *work = &queue->ring[value % DCMI_CPU_QUEUE_ROOM];
    dcmi_lock_drop(&lock);
    do_work(work);
    dcmi_lock_take(&lock);

    atomic_store_explicit(&queue->completed, value, memory_order_release);
    atomic_fetch_add_explicit(&queue->steps, 1, memory_order_relaxed);
    if (queue->waiters > 0)
        dcmi_os_wake(&queue->steps);
    if (queue->submitted > value)
        push_ready(queue);
    else
        queue->is_scheduled = false;
}

static void
await_bell(void) DCMI_REQUIRES(lock)
{
    uint32_t rung = atomic_load_explicit(&bell, memory_order_relaxed);
    sleepers++;
    dcmi_lock_drop(&lock);
    dcmi_os_sleep(&bell, rung, UINT64_MAX);
    dcmi_lock_take(&lock);
    sleepers--;
}

static void *
run_thread(void *unused)
{
    (void)unused;
    dcmi_lock_take(&lock);
    while (first_ready || !is_ending) {
        dcmi_cpu_queue *queue = pop_ready();
        if (queue)
            run_queue(queue);
        else
            await_bell();
    }
    dcmi_lock_drop(&lock);
    return NULL;
}

static uint32_t
wanted_threads(void) DCMI_REQUIRES(gate)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t most = processors > 0 ? (uint64_t)processors : 1;
    return (uint32_t)dcmi_min(queue_count, dcmi_min(most, DCMI_CPU_WORKERS));
}

/* With one thread all of it is done, if later. */
static dcmem_result
start_threads(void) DCMI_REQUIRES(gate)
{
    uint32_t wanted = wanted_threads();
    for (uint32_t count = atomic_load(&thread_count); count < wanted; count++) {
        int error = dcmi_cpu_calls.start(&threads[count], run_thread);
        if (error && count == 0)
            return dcmi_fail_errno(DCMEM_E_NO_HOST_MEMORY, error, "a thread for the queues of the CPU");
        if (error)
            break;
        atomic_store(&thread_count, count + 1);
    }
    return DCMEM_OK;
}

static void
end_threads(void) DCMI_REQUIRES(gate)
{
    dcmi_lock_take(&lock);
    is_ending = true;
    ring_bell();
    dcmi_lock_drop(&lock);
    for (uint32_t i = 0; i < atomic_load(&thread_count); i++)
        (void)pthread_join(threads[i], NULL); /* It fails for threads that are not there. */
    atomic_store(&thread_count, 0);
    dcmi_lock_take(&lock);
    is_ending = false;
    dcmi_lock_drop(&lock);
}

/* In a child of fork the threads are gone, and come back here. */
static dcmem_result
ensure_threads(void)
{
    if (atomic_load_explicit(&thread_count, memory_order_relaxed) > 0)
        return DCMEM_OK;
    dcmi_lock_take(&gate);
    dcmem_result result = start_threads();
    dcmi_lock_drop(&gate);
    return result;
}

/* ---- Waiting ---- */

/* Until something of the queue completes; may return without a cause. */
static void
await_step(dcmi_cpu_queue *queue, uint64_t timeout_ns) DCMI_REQUIRES(lock)
{
    uint32_t steps = atomic_load_explicit(&queue->steps, memory_order_relaxed);
    queue->waiters++;
    dcmi_lock_drop(&lock);
    dcmi_os_sleep(&queue->steps, steps, timeout_ns);
    dcmi_lock_take(&lock);
    queue->waiters--;
}

uint64_t
dcmi_cpu_queue_completed(dcmi_cpu_queue *queue)
{
    return atomic_load_explicit(&queue->completed, memory_order_acquire);
}

uint64_t
dcmi_cpu_queue_submitted(dcmi_cpu_queue *queue)
{
    dcmi_lock_take(&lock);
    uint64_t value = queue->submitted;
    dcmi_lock_drop(&lock);
    return value;
}

static dcmem_result
fail_late(uint64_t value, uint64_t completed)
{
    return dcmi_fail(DCMEM_E_TIMEOUT, "value %llu, the timeline stands at %llu", (unsigned long long)value,
                     (unsigned long long)completed);
}

/* No timeout is beyond a few hundred years. */
static dcmem_result
wait_until(dcmi_cpu_queue *queue, uint64_t value, uint64_t deadline_ns)
{
    dcmem_result result = DCMEM_OK;
    dcmi_lock_take(&lock);
    while (!result && dcmi_cpu_queue_completed(queue) < value) {
        uint64_t now_ns = deadline_ns == UINT64_MAX ? 0 : dcmi_os_now_ns();
        if (now_ns >= deadline_ns)
            result = fail_late(value, dcmi_cpu_queue_completed(queue));
        else
            await_step(queue, deadline_ns == UINT64_MAX ? UINT64_MAX : deadline_ns - now_ns);
    }
    dcmi_lock_drop(&lock);
    return result;
}

dcmem_result
dcmi_cpu_queue_wait(dcmi_cpu_queue *queue, uint64_t value, uint64_t timeout_ns)
{
    uint64_t deadline_ns;
    if (dcmi_cpu_queue_completed(queue) >= value)
        return DCMEM_OK;
    uint64_t submitted = dcmi_cpu_queue_submitted(queue);
    if (value > submitted)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "value %llu was never given, the last was %llu",
                         (unsigned long long)value, (unsigned long long)submitted);
    if (timeout_ns == 0)
        return fail_late(value, dcmi_cpu_queue_completed(queue));
    dcmem_result result = ensure_threads();
    if (result)
        return result;
    if (!dcmi_size_add(&deadline_ns, dcmi_os_now_ns(), timeout_ns))
        deadline_ns = UINT64_MAX;
    return wait_until(queue, value, deadline_ns);
}

/* ---- Queues ---- */

dcmem_result
dcmi_cpu_queue_open(dcmi_cpu_queue **out)
{
    dcmi_cpu_queue *queue = dcmi_os_reserve(sizeof *queue);
    if (!queue)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a queue of %zu bytes", sizeof *queue);

    dcmi_lock_take(&gate);
    queue_count++;
    dcmem_result result = start_threads();
    if (result) {
        queue_count--;
        dcmi_lock_drop(&gate);
        dcmi_os_unreserve(queue, sizeof *queue);
        return result;
    }
    dcmi_lock_take(&lock);
    queue->next = queues;
    queues = queue;
    dcmi_lock_drop(&lock);
    dcmi_lock_drop(&gate);
    *out = queue;
    return DCMEM_OK;
}

static void
forget(const dcmi_cpu_queue *queue)
{
    dcmi_lock_take(&lock);
    dcmi_cpu_queue **link = &queues;
    while (*link != queue)
        link = &(*link)->next;
    *link = queue->next;
    dcmi_lock_drop(&lock);
}

/* Without threads to do it, as in a child of fork that can have none. */
static void
finish_here(dcmi_cpu_queue *queue)
{
    dcmi_lock_take(&lock);
    while (dcmi_cpu_queue_completed(queue) < queue->submitted) {
        dcmi_cpu_queue *ready = pop_ready();
        if (ready)
            run_queue(ready);
        else
            await_step(queue, UINT64_MAX); /* COVER: another thread of the child must be closing a queue, and run it */
    }
    dcmi_lock_drop(&lock);
}

void
dcmi_cpu_queue_close(dcmi_cpu_queue *queue)
{
    uint64_t last = dcmi_cpu_queue_submitted(queue);
    if (dcmi_cpu_queue_wait(queue, last, UINT64_MAX))
        finish_here(queue);
    forget(queue);
    dcmi_lock_take(&gate);
    if (--queue_count == 0)
        end_threads();
    dcmi_lock_drop(&gate);
    dcmi_os_unreserve(queue, sizeof *queue);
}

dcmem_result
dcmi_cpu_queue_submit(uint64_t *out_value, dcmi_cpu_queue *queue, const dcmi_cpu_work *work)
{
    dcmem_result result = ensure_threads();
    if (result)
        return result;
    dcmi_lock_take(&lock);
    while (queue->submitted - dcmi_cpu_queue_completed(queue) == DCMI_CPU_QUEUE_ROOM)
        await_step(queue, UINT64_MAX);
    uint64_t value = ++queue->submitted;
    queue->ring[value % DCMI_CPU_QUEUE_ROOM] = *work;
    if (!queue->is_scheduled) {
        push_ready(queue);
        ring_bell();
    }
    dcmi_lock_drop(&lock);
    *out_value = value;
    return DCMEM_OK;
}

/* ---- Fork ---- */

void
dcmi_cpu_queues_before_fork(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&gate);
    dcmi_lock_take(&lock);
}

void
dcmi_cpu_queues_after_fork(void) DCMI_UNCHECKED
{
    dcmi_lock_drop(&lock);
    dcmi_lock_drop(&gate);
}

void
dcmi_cpu_queues_in_child(void) DCMI_UNCHECKED
{
    atomic_store(&thread_count, 0);
    sleepers = 0;
    first_ready = NULL;
    for (dcmi_cpu_queue *queue = queues; queue; queue = queue->next) {
        queue->is_scheduled = false;
        queue->waiters = 0;
        if (queue->submitted > dcmi_cpu_queue_completed(queue))
            push_ready(queue);
    }
    dcmi_cpu_queues_after_fork();
}
