/* queue.c: the timeline, and the thread that writes it. */
#include "drivers/vulkan/queue.h"

#include "base/os.h"

#include <signal.h>
#include <stdlib.h>

int (*dcmi_vk_thread_new)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = pthread_create;

struct dcmi_vk_queue {
    dcmi_vk_stream *stream;
    dcmi_vk_port lent; /* the caller's VkQueue, where it is none of the device's */
    pthread_t watcher;
    _Atomic bool is_closing;
    dcmi_lock lock;             /* held while something is submitted */
    _Atomic uint64_t submitted; /* written under the lock */
    _Atomic uint64_t completed;
    _Atomic uint64_t failed_from; /* the first value that failed; UINT64_MAX: none */
    _Atomic int32_t failed_code;  /* written before it */
};

/* ---- The watcher ---- */

static void
settle_next(dcmi_vk_queue *queue)
{
    dcmi_vk_slot ended;
    VkResult code = dcmi_vk_stream_settle(&ended, queue->stream);
    if (code && atomic_load(&queue->failed_from) == UINT64_MAX) {
        atomic_store(&queue->failed_code, code);
        atomic_store(&queue->failed_from, ended.value);
    }
    if (!ended.is_last)
        return;
    atomic_store_explicit(&queue->completed, ended.value, memory_order_release);
    /* Who waits for the value sleeps on this, and may have slept through the settling itself. */
    atomic_fetch_add(&queue->stream->ends, 1);
    dcmi_os_wake(&queue->stream->ends);
}

static void *
watch(void *user)
{
    dcmi_vk_queue *queue = user;
    dcmi_vk_stream *stream = queue->stream;
    for (;;) {
        uint32_t seen = atomic_load(&stream->begins);
        if (atomic_load(&stream->ended) < atomic_load(&stream->begun))
            settle_next(queue);
        else if (atomic_load(&queue->is_closing))
            return NULL;
        else
            dcmi_os_sleep(&stream->begins, seen, UINT64_MAX);
    }
}

/* Without signals: they are for the program's own threads. */
static dcmem_result
start_watcher(dcmi_vk_queue *queue)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* It fails for wrong arguments only. */
    int code = dcmi_vk_thread_new(&queue->watcher, NULL, watch, queue);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? dcmi_fail_errno(DCMEM_E_NO_HOST_MEMORY, code, "a thread for a queue") : DCMEM_OK;
}

/* ---- Submitting ---- */

/* What is to be put into a queue. */
typedef struct work {
    const dcmem_place *to;
    const dcmem_place *from; /* NULL: no copy */
    uint64_t bytes;          /* 0: a mark */
    const void *pattern;
    uint32_t pattern_bytes;
} work;

static dcmem_result
put(dcmi_vk_stream *stream, const work *wanted)
{
    if (wanted->from)
        return dcmi_vk_stream_copy(stream, wanted->to, wanted->from, wanted->bytes);
    if (wanted->bytes)
        return dcmi_vk_stream_fill(stream, wanted->to, wanted->bytes, wanted->pattern, wanted->pattern_bytes);
    return dcmi_vk_stream_mark(stream);
}

static dcmem_result
submit(uint64_t *out_value, dcmi_vk_queue *queue, const work *wanted)
{
    dcmi_lock_take(&queue->lock);
    uint64_t value = atomic_load(&queue->submitted) + 1;
    queue->stream->value = value;
    dcmem_result result = put(queue->stream, wanted);
    if (!result) {
        atomic_store(&queue->submitted, value);
        *out_value = value;
    }
    dcmi_lock_drop(&queue->lock);
    return result;
}

dcmem_result
dcmi_vk_queue_copy(uint64_t *out_value, dcmi_vk_queue *queue, const dcmem_place *to, const dcmem_place *from,
                   uint64_t bytes)
{
    return submit(out_value, queue, &(work){.to = to, .from = from, .bytes = bytes});
}

dcmem_result
dcmi_vk_queue_fill(uint64_t *out_value, dcmi_vk_queue *queue, const dcmem_place *to, uint64_t bytes,
                   const void *pattern, uint32_t pattern_bytes)
{
    return submit(out_value, queue,
                  &(work){.to = to, .bytes = bytes, .pattern = pattern, .pattern_bytes = pattern_bytes});
}

dcmem_result
dcmi_vk_queue_mark(uint64_t *out_value, dcmi_vk_queue *queue)
{
    return submit(out_value, queue, &(work){0});
}

/* ---- Waiting ---- */

uint64_t
dcmi_vk_queue_completed(const dcmi_vk_queue *queue)
{
    return atomic_load_explicit(&queue->completed, memory_order_acquire);
}

static dcmem_result
outcome(const dcmi_vk_queue *queue, uint64_t value)
{
    if (value < atomic_load(&queue->failed_from))
        return DCMEM_OK;
    return dcmi_vk_fail(atomic_load(&queue->failed_code), "work in a queue, number %llu or before",
                        (unsigned long long)value);
}

dcmem_result
dcmi_vk_queue_wait(dcmi_vk_queue *queue, uint64_t value, uint64_t timeout_ns)
{
    if (value > atomic_load(&queue->submitted))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "value %llu was not given yet", (unsigned long long)value);
    uint64_t begin = dcmi_os_now_ns();
    for (;;) {
        uint32_t seen = atomic_load(&queue->stream->ends);
        if (dcmi_vk_queue_completed(queue) >= value)
            return outcome(queue, value);
        uint64_t waited = dcmi_os_now_ns() - begin;
        if (waited >= timeout_ns)
            return dcmi_fail(DCMEM_E_TIMEOUT, "the timeline stands at %llu, not %llu",
                             (unsigned long long)dcmi_vk_queue_completed(queue), (unsigned long long)value);
        dcmi_os_sleep(&queue->stream->ends, seen, timeout_ns == UINT64_MAX ? UINT64_MAX : timeout_ns - waited);
    }
}

/* ---- Opening ---- */

/* The port of a caller's VkQueue: the device's own, if it is that one, so that both are put into under one lock. */
static dcmem_result
find_lent(dcmi_vk_port **out, dcmi_vk_queue *queue, dcmi_vk_device *device, const dcmem_native_context *native)
{
    if (!device->is_lent)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "a VkQueue can be lent to a manager on its own VkDevice only");
    if (!native->queue)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "native.queue is 0");
    if (native->logical != (uintptr_t)device->id)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "native.queue is of another VkDevice");
    queue->lent.queue = (VkQueue)(uintptr_t)native->queue;
    *out = queue->lent.queue == device->ports[0].queue ? &device->ports[0] : &queue->lent;
    return DCMEM_OK;
}

dcmem_result
dcmi_vk_queue_open(dcmi_vk_queue **out, dcmi_vk_device *device, const dcmem_native_context *native)
{
    dcmi_vk_port *port = &device->ports[atomic_fetch_add(&device->next_port, 1) % device->port_count];
    dcmi_vk_queue *queue = dcmi_vk_new(sizeof *queue);
    if (!queue)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a queue of %zu bytes", sizeof *queue);
    atomic_init(&queue->failed_from, UINT64_MAX);
    dcmem_result result = native ? find_lent(&port, queue, device, native) : DCMEM_OK;
    if (result)
        goto undo_queue;
    result = dcmi_vk_stream_open(&queue->stream, device, port, native ? native->family : device->family);
    if (result)
        goto undo_queue;
    queue->stream->is_watched = true;
    result = start_watcher(queue);
    if (result)
        goto undo_stream;
    *out = queue;
    return DCMEM_OK;

undo_stream:
    dcmi_vk_stream_close(queue->stream);
undo_queue:
    free(queue);
    return result;
}

void
dcmi_vk_queue_close(dcmi_vk_queue *queue)
{
    atomic_store(&queue->is_closing, true);
    atomic_fetch_add(&queue->stream->begins, 1);
    dcmi_os_wake(&queue->stream->begins);
    (void)pthread_join(queue->watcher, NULL); /* It fails for threads that are not there. */
    dcmi_vk_stream_close(queue->stream);
    free(queue);
}
