/* queue.c: the process's queues by index, their timelines and their batches.
 *
 * A handle is generation << 12 | index + 1; an index is used again with the next generation.
 *
 *   table_lock guards: which entries are in use, high. Taken before a queue's lock. */
#include "queue/queue.h"

#include "base/fail.h"
#include "base/os.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define MOST_QUEUES 4095u
#define INDEX_BITS  12u
#define INDEX_MASK  ((1u << INDEX_BITS) - 1)

static dcmi_lock table_lock;
static _Atomic(dcmi_queue *) table; /* reserved with the first queue, never given back */
static _Atomic uint32_t high;

/* ---- Handles ---- */

dcmi_queue *
dcmi_queue_resolve(dcmem_queue *queue)
{
    uint64_t handle = (uintptr_t)queue;
    uint64_t index = (handle & INDEX_MASK) - 1;
    if (!queue) {
        dcmi_fail(DCMEM_E_NOT_A_QUEUE, "queue is NULL; make one with dcmem_queue_create()");
        return NULL;
    }
    if (index >= atomic_load_explicit(&high, memory_order_acquire)) {
        dcmi_fail(DCMEM_E_NOT_A_QUEUE, "queue %p was never given out", (void *)queue);
        return NULL;
    }
    dcmi_queue *found = &atomic_load(&table)[index];
    if (atomic_load_explicit(&found->handle, memory_order_acquire) != handle) {
        dcmi_lock_take(&found->lock);
        bool is_known = handle >> INDEX_BITS <= found->generation && handle >> INDEX_BITS > 0;
        dcmi_lock_drop(&found->lock);
        dcmi_fail(is_known ? DCMEM_E_STALE_QUEUE : DCMEM_E_NOT_A_QUEUE, "queue %p was %s", (void *)queue,
                  is_known ? "destroyed" : "never given out");
        return NULL;
    }
    return found;
}

/* ---- Fork ---- */

/* In the order of their ranks. */
static void
hold_all(void) DCMI_UNCHECKED
{
    dcmi_uses_hold();
    dcmi_lock_take(&table_lock);
    for (uint32_t index = 0, end = atomic_load(&high); index < end; index++)
        dcmi_lock_take(&atomic_load(&table)[index].lock);
    dcmi_pendings_hold();
}

static void
drop_all(void) DCMI_UNCHECKED
{
    dcmi_pendings_drop();
    for (uint32_t index = 0, end = atomic_load(&high); index < end; index++)
        dcmi_lock_drop(&atomic_load(&table)[index].lock);
    dcmi_lock_drop(&table_lock);
    dcmi_uses_drop();
}

/* COVER begin: runs in the child of a fork, which ends by _exit() and leaves no counts */
/* Who was calling the driver for a queue is not here. */
static void
in_child(void)
{
    for (uint32_t index = 0, end = atomic_load(&high); index < end; index++)
        atomic_store(&atomic_load(&table)[index].borrowers, 0);
    drop_all();
}
/* COVER end */

/* ---- The table ---- */

/* An entry that is no queue's, its handle still 0; NULL with the detail written. */
static dcmi_queue *
entry_take(void) DCMI_REQUIRES(table_lock)
{
    dcmi_queue *entries = atomic_load(&table);
    if (!entries) {
        entries = dcmi_os_reserve(MOST_QUEUES * sizeof *entries);
        if (!entries) {
            dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for queues; raise the limit (ulimit -v)");
            return NULL;
        }
        atomic_store(&table, entries);
        pthread_atfork(hold_all, drop_all, in_child);
        dcmi_pool_set_pending_sink(dcmi_manager_reclaim_queues);
    }
    uint32_t end = atomic_load(&high), index = 0;
    while (index < end && entries[index].root)
        index++;
    if (index >= MOST_QUEUES) {
        dcmi_fail(DCMEM_E_LIMIT, "%u queues are alive, the most there can be", MOST_QUEUES);
        return NULL;
    }
    if (index == end)
        atomic_store_explicit(&high, end + 1, memory_order_release);
    entries[index].index = index;
    return &entries[index];
}

static void
entry_drop(dcmi_queue *queue)
{
    dcmi_lock_take(&table_lock);
    queue->root = NULL;
    dcmi_lock_drop(&table_lock);
}

/* ---- Batches ---- */

dcmi_use
dcmi_queue_use(dcmi_queue *queue)
{
    return (dcmi_use){
        .queue = atomic_load_explicit(&queue->handle, memory_order_relaxed),
        .batch = atomic_load(&queue->open_batch),
    };
}

/* Takes the marks that the timeline has reached out of the list. */
static void
look(dcmi_queue *queue) DCMI_REQUIRES(queue->lock)
{
    if (queue->mark_count == 0)
        return;
    uint64_t completed = dcmi_device_queue_completed(dcmi_pool_device(queue->root), queue->driver);
    uint32_t done = 0;
    while (done < queue->mark_count && queue->marks[done].value <= completed)
        done++;
    if (done == 0)
        return;
    atomic_store(&queue->done_batch, queue->marks[done - 1].batch);
    queue->done_value = queue->marks[done - 1].value;
    queue->mark_count -= done;
    memmove(queue->marks, queue->marks + done, queue->mark_count * sizeof queue->marks[0]);
}

/* Where the list is full the oldest mark goes: its batch is then told by the next one's, which comes later. */
static void
mark_insert(dcmi_queue *queue, dcmi_mark mark) DCMI_REQUIRES(queue->lock)
{
    if (mark.batch <= atomic_load(&queue->done_batch))
        return; /* COVER: another thread has put a later marker meanwhile, and that is done */
    if (queue->mark_count == DCMI_QUEUE_MARKS) {
        memmove(queue->marks, queue->marks + 1, (DCMI_QUEUE_MARKS - 1) * sizeof queue->marks[0]);
        queue->mark_count--;
    }
    uint32_t at = queue->mark_count++;
    for (; at > 0 && queue->marks[at - 1].batch > mark.batch; at--)
        queue->marks[at] = queue->marks[at - 1]; /* COVER: another thread has put a later marker meanwhile */
    queue->marks[at] = mark;
}

/* The value of a batch, or 0 where it has none yet. */
static uint64_t
value_of(const dcmi_queue *queue, uint64_t batch) DCMI_REQUIRES(queue->lock)
{
    for (uint32_t i = 0; i < queue->mark_count; i++)
        if (queue->marks[i].batch >= batch)
            return queue->marks[i].value;
    return 0;
}

/* The queue of a use, locked; NULL where it has ended, and then all its work is done. */
static dcmi_queue *
lock_queue_of(dcmi_use use) DCMI_UNCHECKED
{
    dcmi_queue *queue = &atomic_load(&table)[(use.queue & INDEX_MASK) - 1];
    dcmi_lock_take(&queue->lock);
    if (atomic_load_explicit(&queue->handle, memory_order_relaxed) == use.queue)
        return queue;
    dcmi_lock_drop(&queue->lock);
    return NULL;
}

bool
dcmi_use_is_done(dcmi_use use) DCMI_UNCHECKED
{
    dcmi_queue *queue = lock_queue_of(use);
    if (!queue)
        return true;
    bool is_done;
    if (use.batch) {
        look(queue);
        is_done = use.batch <= atomic_load(&queue->done_batch);
    } else {
        is_done = use.value <= dcmi_device_queue_completed(dcmi_pool_device(queue->root), queue->driver);
    }
    dcmi_lock_drop(&queue->lock);
    return is_done;
}

/* One marker behind all that the queue was told of. Its batch is closed before the driver is called, so uses that come
 * meanwhile are the next one's; should the marker fail, a later one stands for the batch, too. */
static dcmem_result
put_marker(uint64_t *out_value, dcmi_queue *queue)
{
    uint64_t batch = atomic_fetch_add(&queue->open_batch, 1);
    uint64_t value;
    dcmi_pool_add(queue->root, DCMI_COUNTER_queue_markers, 1);
    dcmem_result result = dcmi_device_queue_mark(&value, dcmi_pool_device(queue->root), queue->driver);
    if (result)
        return result;
    dcmi_lock_take(&queue->lock);
    look(queue);
    mark_insert(queue, (dcmi_mark){batch, value});
    dcmi_lock_drop(&queue->lock);
    *out_value = value;
    return DCMEM_OK;
}

/* The queue of a use, kept from ending until it is returned; NULL where it has ended. */
static dcmi_queue *
borrow(dcmi_use use) DCMI_UNCHECKED
{
    dcmi_queue *queue = lock_queue_of(use);
    if (!queue)
        return NULL;
    atomic_fetch_add(&queue->borrowers, 1);
    dcmi_lock_drop(&queue->lock);
    return queue;
}

static void
give_back(dcmi_queue *queue)
{
    atomic_fetch_sub(&queue->borrowers, 1);
}

/* The value that a use waits for; a marker is put for it if need be. */
static dcmem_result
value_for(uint64_t *out_value, dcmi_queue *queue, dcmi_use use)
{
    *out_value = use.value;
    if (!use.batch)
        return DCMEM_OK;
    dcmi_lock_take(&queue->lock);
    look(queue);
    bool is_done = use.batch <= atomic_load(&queue->done_batch);
    *out_value = is_done ? queue->done_value : value_of(queue, use.batch);
    dcmi_lock_drop(&queue->lock);
    return is_done || *out_value ? DCMEM_OK : put_marker(out_value, queue);
}

void
dcmi_use_renew(dcmi_use *use)
{
    dcmi_queue *queue = borrow(*use);
    if (!queue)
        return;
    *use = dcmi_queue_use(queue);
    give_back(queue);
}

dcmem_result
dcmi_use_mark(dcmi_use use)
{
    dcmi_queue *queue = borrow(use);
    if (!queue)
        return DCMEM_OK; /* COVER: the queue must end in that very moment */
    uint64_t value;
    dcmem_result result = value_for(&value, queue, use);
    give_back(queue);
    return result;
}

dcmem_result
dcmi_use_wait(dcmi_use use, uint64_t timeout_ns, dcmem_result *out_failed)
{
    dcmi_queue *queue = borrow(use);
    if (!queue)
        return DCMEM_OK;
    uint64_t value;
    dcmem_result result = value_for(&value, queue, use);
    dcmi_device *device = dcmi_pool_device(queue->root);
    if (result == DCMEM_E_DEVICE_LOST) { /* it takes no marker any more, and has completed all its work */
        if (out_failed)
            *out_failed = result;
        result = DCMEM_OK;
    } else if (!result && value) {
        if (dcmi_device_queue_completed(device, queue->driver) < value)
            dcmi_pool_add(queue->root, DCMI_COUNTER_queue_waits, 1);
        result = dcmi_device_queue_wait(device, queue->driver, value, timeout_ns);
        /* Work that failed says so each time; a driver that could not wait does not. */
        if (result && result != DCMEM_E_TIMEOUT && dcmi_device_queue_completed(device, queue->driver) >= value)
            result = dcmi_device_queue_wait(device, queue->driver, value, 0);
        /* What failed is done all the same: nobody waits for it again. */
        if (result && result != DCMEM_E_TIMEOUT && dcmi_device_queue_completed(device, queue->driver) >= value) {
            if (out_failed)
                *out_failed = result;
            result = DCMEM_OK;
        }
    }
    give_back(queue);
    return result;
}

/* ---- Life ---- */

dcmem_result
dcmem_queue_create(dcmem_queue **out, dcmem_manager *manager, const dcmem_native_context *native)
{
    DCMI_REQUIRE(out);
    DCMI_REQUIRE(!native || native->size == sizeof *native);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    void *driver;
    dcmem_result result = dcmi_device_queue_open(&driver, dcmi_pool_device(root), native);
    if (result)
        return result;

    dcmi_lock_take(&table_lock);
    dcmi_queue *queue = entry_take();
    if (!queue) {
        dcmi_lock_drop(&table_lock);
        dcmi_device_queue_close(dcmi_pool_device(root), driver);
        return dcmem_last_detail()->result;
    }
    queue->root = root;
    dcmi_lock_take(&queue->lock);
    queue->driver = driver;
    queue->generation++;
    atomic_store(&queue->open_batch, 1);
    atomic_store(&queue->done_batch, 0);
    queue->done_value = 0;
    queue->mark_count = 0;
    atomic_store(&queue->handle, queue->generation << INDEX_BITS | (queue->index + 1));
    *out = (dcmem_queue *)(uintptr_t)atomic_load(&queue->handle);
    dcmi_lock_drop(&queue->lock);
    dcmi_lock_drop(&table_lock);
    return DCMEM_OK;
}

/* All its work is done when it returns; a marker that cannot be put says that the device is gone, and all work with
 * it. */
static dcmem_result
wait_for_all(dcmi_queue *queue)
{
    dcmem_result failed = DCMEM_OK;
    dcmem_result result = dcmi_use_wait(dcmi_queue_use(queue), UINT64_MAX, &failed);
    return result ? result : failed;
}

static dcmem_result
end(dcmi_queue *queue)
{
    dcmem_result result = wait_for_all(queue);
    dcmem_detail told = dcmi_detail_save();
    dcmi_notify_end(atomic_load(&queue->handle));

    dcmi_lock_take(&queue->lock);
    atomic_store(&queue->handle, 0);
    dcmi_lock_drop(&queue->lock);
    while (atomic_load(&queue->borrowers))
        sched_yield(); /* COVER: another thread must be waiting for a use of it in that very moment */
    dcmi_device_queue_close(dcmi_pool_device(queue->root), queue->driver);

    /* Only now: whoever borrowed it may have put a block back, and even a driver that takes no marker has by now done
     * all its work. */
    uint64_t blocks = 0;
    dcmem_result drained = dcmi_pending_drain(&blocks, queue, true);
    entry_drop(queue);
    if (result)
        dcmi_detail_restore(&told);
    return result ? result : drained;
}

dcmem_result
dcmem_queue_destroy(dcmem_queue *handle)
{
    if (!handle)
        return DCMEM_OK;
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    return queue ? end(queue) : dcmem_last_detail()->result;
}

/* Those of a manager, one after the other. Its end and its queues' ends are one thread's. */
static dcmi_queue *
next_of(dcmi_pool *root, uint32_t *cursor)
{
    dcmi_queue *found = NULL;
    dcmi_lock_take(&table_lock);
    for (uint32_t count = atomic_load(&high); *cursor < count && !found; ++*cursor)
        if (atomic_load(&table)[*cursor].root == root)
            found = &atomic_load(&table)[*cursor];
    dcmi_lock_drop(&table_lock);
    return found;
}

dcmem_result
dcmi_manager_end_queues(dcmi_pool *root)
{
    dcmem_result failed = DCMEM_OK;
    dcmem_detail told = {0};
    uint32_t cursor = 0;
    for (dcmi_queue *queue; (queue = next_of(root, &cursor));) {
        dcmem_result result = end(queue);
        if (result && !failed) {
            failed = result;
            told = dcmi_detail_save();
        }
    }
    if (failed)
        dcmi_detail_restore(&told);
    return failed;
}

dcmem_result
dcmi_manager_drain_queues(dcmi_pool *root)
{
    dcmem_result failed = DCMEM_OK;
    uint64_t blocks = 0;
    uint32_t cursor = 0;
    for (dcmi_queue *queue; (queue = next_of(root, &cursor));) {
        dcmem_result result = wait_for_all(queue);
        dcmem_result drained = dcmi_pending_drain(&blocks, queue, true);
        failed = failed ? failed : result ? result : drained;
    }
    return failed;
}

bool
dcmi_queues_hold(const dcmi_pool *pool, uint64_t address)
{
    uint32_t count = atomic_load_explicit(&high, memory_order_acquire), index = 0;
    while (index < count && !dcmi_pending_has(&atomic_load(&table)[index], pool, address))
        index++;
    return index < count;
}

uint64_t
dcmi_manager_reclaim_queues(dcmi_pool *root, bool may_wait) DCMI_UNCHECKED
{
    uint64_t blocks = 0;
    for (uint32_t index = 0, count = atomic_load_explicit(&high, memory_order_acquire); index < count; index++) {
        dcmi_queue *queue = &atomic_load(&table)[index];
        dcmi_lock_take(&queue->lock);
        bool is_ours = atomic_load(&queue->handle) != 0 && queue->root == root;
        if (is_ours)
            atomic_fetch_add(&queue->borrowers, 1);
        dcmi_lock_drop(&queue->lock);
        if (!is_ours)
            continue;
        if (may_wait) {
            (void)dcmi_pending_drain(&blocks, queue, false); /* what cannot be had now may be had later */
        } else {
            blocks += dcmi_pending_sweep(queue, UINT32_MAX);
            dcmi_pending_mark(queue); /* so that the rest is known to be done when it is */
        }
        give_back(queue);
    }
    return blocks;
}

/* ---- Timeline ---- */

dcmem_result
dcmem_queue_mark(uint64_t *out_value, dcmem_queue *handle)
{
    DCMI_REQUIRE(out_value);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    return queue ? put_marker(out_value, queue) : dcmem_last_detail()->result;
}

dcmem_result
dcmem_queue_completed(uint64_t *out_value, dcmem_queue *handle)
{
    DCMI_REQUIRE(out_value);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    *out_value = dcmi_device_queue_completed(dcmi_pool_device(queue->root), queue->driver);
    return DCMEM_OK;
}

dcmem_result
dcmem_queue_wait(dcmem_queue *handle, uint64_t value, uint64_t timeout_ns)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    return dcmi_device_queue_wait(dcmi_pool_device(queue->root), queue->driver, value, timeout_ns);
}
