/* queue.c: work that happens later. */
#include "queue.h"

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef dcmi_simulated device;

/* ---- Doing it ---- */

static void
begin_first(dcmi_queue *queue)
{
    const dcmi_work *first = queue->first;
    if (!first)
        return;
    dcmi_clock *clock = queue->device->clock;
    dcmi_route route = dcmi_simulated_route(queue->device, &first->to, first->pattern_bytes ? NULL : &first->from);
    queue->ends_ns = dcmi_route_book(&route, clock->now_ns, first->bytes);
    queue->began = ++clock->begun;
}

/* The first failure of a queue stays. */
static void
note_failure(dcmi_queue *queue, dcmem_result result, const char *message)
{
    if (queue->failed || !result)
        return;
    queue->failed = queue->first->value;
    queue->result = result;
    snprintf(queue->message, sizeof queue->message, "%s", message);
}

static dcmem_result
do_work(device *dev, const dcmi_work *what)
{
    if (what->pattern_bytes)
        return dcmi_simulated_fill_now(dev, &what->to, what->bytes, what->pattern, what->pattern_bytes);
    return dcmi_simulated_copy_now(dev, &what->to, dev, &what->from, what->bytes);
}

static void
pop_first(dcmi_queue *queue)
{
    dcmi_work *first = queue->first;
    queue->first = first->next;
    atomic_store_explicit(&queue->completed, first->value, memory_order_release);
    free(first);
}

void
dcmi_queue_end_first(dcmi_queue *queue)
{
    dcmem_result result = do_work(queue->device, queue->first);
    note_failure(queue, result, dcmem_last_detail()->message);
    pop_first(queue);
    begin_first(queue);
}

void
dcmi_queues_lose(device *dev)
{
    for (dcmi_queue *queue = dev->clock->queues; queue; queue = queue->next) {
        if (queue->device != dev || !queue->first)
            continue;
        note_failure(queue, DCMEM_E_DEVICE_LOST, "the device was lost with work in a queue");
        while (queue->first)
            pop_first(queue);
    }
}

uint64_t
dcmi_queues_waiting(const device *dev)
{
    uint64_t count = 0;
    for (const dcmi_queue *queue = dev->clock->queues; queue; queue = queue->next)
        if (queue->device == dev)
            count += queue->submitted - atomic_load_explicit(&queue->completed, memory_order_relaxed);
    return count;
}

/* ---- Open and close ---- */

dcmem_result
dcmi_simulated_queue_open(void **out, void *handle, const dcmem_native_context *native)
{
    device *dev = handle;
    if (native)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no native queues");
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    dcmi_simulated_leave(dev);
    dcmi_queue *made = dcmi_host_new(sizeof *made);
    if (!made)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "a queue");
    made->device = dev;

    dcmi_clock_enter(dev->clock);
    made->next = dev->clock->queues;
    dev->clock->queues = made;
    dcmi_clock_leave(dev->clock);
    *out = made;
    return DCMEM_OK;
}

/* NULL, with the detail written, when it is no queue of the device. The clock's lock must be held. */
static dcmi_queue *
find(const device *dev, const void *handle)
{
    for (dcmi_queue *queue = dev->clock->queues; queue; queue = queue->next)
        if (queue == handle && queue->device == dev)
            return queue;
    (void)dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "not an open queue of device %u", dev->index);
    return NULL;
}

static void
end(dcmi_queue *queue)
{
    dcmi_queue **link = &queue->device->clock->queues;
    while (*link != queue)
        link = &(*link)->next;
    *link = queue->next;
    free(queue);
}

void
dcmi_simulated_queue_close(void *handle, void *queue_handle)
{
    device *dev = handle;
    dcmi_clock_enter(dev->clock);
    dcmi_queue *queue = find(dev, queue_handle);
    while (queue && queue->first)
        dcmi_clock_pass(dev->clock, dcmi_clock_next(dev->clock));
    if (queue)
        end(queue);
    dcmi_clock_leave(dev->clock);
}

bool
dcmi_queues_end(device *dev)
{
    bool had_any = false;
    for (dcmi_queue *queue = dev->clock->queues, *next; queue; queue = next) {
        next = queue->next;
        if (queue->device != dev)
            continue;
        had_any = true;
        while (queue->first)
            pop_first(queue);
        end(queue);
    }
    return had_any;
}

/* ---- Submitting ---- */

static void
keep_place(dcmem_place *kept, dcmem_extent *extent, const dcmem_place *place)
{
    *kept = *place;
    if (!place->extent)
        return;
    *extent = *place->extent;
    kept->extent = extent;
}

/* Takes the work over, also where it fails. */
static dcmem_result
submit(uint64_t *out, device *dev, void *queue_handle, dcmi_work *what)
{
    dcmi_clock_enter(dev->clock);
    dcmi_queue *queue = find(dev, queue_handle);
    dcmem_result result = queue ? dcmi_simulated_enter(dev) : DCMEM_E_INVALID_ARGUMENT;
    if (result) {
        dcmi_clock_leave(dev->clock);
        free(what);
        return result;
    }
    dcmi_simulated_leave(dev);

    uint64_t value = what->value = ++queue->submitted;
    if (queue->first) {
        queue->last = queue->last->next = what;
    } else {
        queue->first = queue->last = what;
        begin_first(queue);
    }
    /* What takes no time is done by now. */
    dcmi_clock_pass(dev->clock, dev->clock->now_ns);
    dcmi_clock_leave(dev->clock);
    *out = value;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_enqueue_copy(uint64_t *out, void *handle, void *queue_handle, const dcmem_call *call,
                            const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    dcmi_work *what = dcmi_host_new(sizeof *what);
    if (!what)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "a piece of work");
    keep_place(&what->to, &what->to_extent, to);
    keep_place(&what->from, &what->from_extent, from);
    what->bytes = bytes;
    return submit(out, handle, queue_handle, what);
}

dcmem_result
dcmi_simulated_enqueue_fill(uint64_t *out, void *handle, void *queue_handle, const dcmem_call *call,
                            const dcmem_place *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    (void)call;
    DCMI_SIMULATED_REQUIRE(pattern_bytes >= 1 && pattern_bytes <= 16);
    dcmi_work *what = dcmi_host_new(sizeof *what);
    if (!what)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "a piece of work");
    keep_place(&what->to, &what->to_extent, to);
    what->bytes = bytes;
    what->pattern_bytes = pattern_bytes;
    memcpy(what->pattern, pattern, pattern_bytes);
    return submit(out, handle, queue_handle, what);
}

/* ---- The timeline ---- */

dcmem_result
dcmi_simulated_queue_mark(uint64_t *out, void *handle, void *queue_handle)
{
    device *dev = handle;
    dcmi_clock_enter(dev->clock);
    const dcmi_queue *queue = find(dev, queue_handle);
    dcmem_result result = queue ? dcmi_simulated_enter(dev) : DCMEM_E_INVALID_ARGUMENT;
    if (!result) {
        dcmi_simulated_leave(dev);
        *out = queue->submitted;
    }
    dcmi_clock_leave(dev->clock);
    return result;
}

uint64_t
dcmi_simulated_queue_completed(void *handle, void *queue_handle)
{
    const device *dev = handle;
    const dcmi_queue *queue = queue_handle;
    if (atomic_load_explicit(&dev->clock->is_real, memory_order_relaxed)) {
        dcmi_clock_enter(dev->clock);
        dcmi_clock_leave(dev->clock);
    }
    return atomic_load_explicit(&queue->completed, memory_order_acquire);
}

static bool
is_complete(const dcmi_queue *queue, uint64_t value)
{
    return atomic_load_explicit(&queue->completed, memory_order_relaxed) >= value;
}

/* Lets time pass until the value is complete, or until the deadline. */
static dcmem_result
wait_for(dcmi_queue *queue, uint64_t value, uint64_t deadline_ns)
{
    dcmi_clock *clock = queue->device->clock;
    while (!is_complete(queue, value)) {
        uint64_t next_ns = dcmi_clock_next(clock);
        dcmi_clock_pass(clock, dcmi_least(next_ns, deadline_ns));
        if (next_ns > deadline_ns)
            break;
    }
    if (!is_complete(queue, value))
        return dcmi_simulated_fail(DCMEM_E_TIMEOUT, "value %llu, the timeline stands at %llu",
                                   (unsigned long long)value, (unsigned long long)atomic_load(&queue->completed));
    if (queue->failed && queue->failed <= value)
        return dcmi_simulated_fail(queue->result, "%s", queue->message);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_queue_wait(void *handle, void *queue_handle, uint64_t value, uint64_t timeout_ns)
{
    device *dev = handle;
    dcmi_clock_enter(dev->clock);
    dcmi_queue *queue = find(dev, queue_handle);
    dcmem_result result = queue ? DCMEM_OK : DCMEM_E_INVALID_ARGUMENT;
    if (queue && value > queue->submitted)
        result = dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "value %llu was never given, the last was %llu",
                                     (unsigned long long)value, (unsigned long long)queue->submitted);
    if (!result)
        result =
            wait_for(queue, value, timeout_ns == UINT64_MAX ? DCMI_NEVER : dcmi_later(dev->clock->now_ns, timeout_ns));
    dcmi_clock_leave(dev->clock);
    return result;
}
