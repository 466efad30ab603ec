/* queue.c: submissions and their ends. */
#include "drivers/opencl/queue.h"

#include "base/os.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* What a callback is told. */
typedef struct note {
    dcmi_cl_queue *queue;
    uint64_t value;
} note;

static void
queue_drop(dcmi_cl_queue *queue)
{
    if (atomic_fetch_sub_explicit(&queue->users, 1, memory_order_acq_rel) == 1)
        free(queue);
}

/* Lowers `word` to `value`; whether it was higher. */
static bool
lower(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t old = atomic_load(word);
    while (value < old)
        if (atomic_compare_exchange_weak(word, &old, value))
            return true;
    return false;
}

static void
raise(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t old = atomic_load(word);
    while (old < value && !atomic_compare_exchange_weak(word, &old, value))
        ;
}

/* A submission has ended, well or badly. */
static void
settle(dcmi_cl_queue *queue, uint64_t value, cl_int code)
{
    if (code < 0) {
        cl_int none = 0;
        (void)atomic_compare_exchange_strong(&queue->failed_code, &none, code);
        (void)lower(&queue->failed_from, value);
    }
    raise(&queue->completed, value);
    atomic_fetch_add(&queue->wakes, 1);
    dcmi_os_wake(&queue->wakes);
}

/* In a thread of the driver's. */
static void
on_end(cl_event event, cl_int status, void *user)
{
    note *told = user;
    (void)event;
    settle(told->queue, told->value, status);
    queue_drop(told->queue);
    free(told);
}

/* ---- Submitting ---- */

/* What is to be put into a queue. */
typedef struct command {
    const dcmem_place *to;
    const dcmem_place *from; /* NULL: no copy */
    uint64_t bytes;          /* 0: a mark */
    const void *pattern;
    uint32_t pattern_bytes;
} command;

static dcmem_result
put(cl_event *out, cl_command_queue handle, const command *put)
{
    if (put->from)
        return dcmi_cl_copy(out, handle, put->to, put->from, put->bytes);
    if (put->bytes)
        return dcmi_cl_fill(out, handle, put->to, put->bytes, put->pattern, put->pattern_bytes);
    cl_int code = dcmi_cl.clEnqueueMarkerWithWaitList(handle, 0, NULL, out);
    return code ? dcmi_cl_fail(code, "a mark in a queue") : DCMEM_OK;
}

/* Has the driver tell of the command's end. A driver that will not is waited for instead. */
static void
watch(dcmi_cl_queue *queue, note *told, cl_event event) DCMI_REQUIRES(queue->lock)
{
    atomic_fetch_add_explicit(&queue->users, 1, memory_order_relaxed);
    if (dcmi_cl.clSetEventCallback(event, CL_COMPLETE, on_end, told)) {
        on_end(event, dcmi_cl.clWaitForEvents(1, &event), told);
        return;
    }
    /* Work starts without anybody waiting for it. A driver that refuses even this has lost the device. */
    cl_int code = dcmi_cl.clFlush(queue->handle);
    if (code)
        settle(queue, atomic_load(&queue->submitted), code);
}

static dcmem_result
submit(uint64_t *out_value, dcmi_cl_queue *queue, const command *wanted)
{
    cl_event event = NULL;
    note *told = dcmi_cl_new(sizeof *told);
    if (!told)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a command");

    dcmi_lock_take(&queue->lock);
    dcmem_result result = put(&event, queue->handle, wanted);
    if (!result) {
        *told = (note){queue, atomic_load(&queue->submitted) + 1};
        *out_value = told->value;
        atomic_store(&queue->submitted, told->value);
        watch(queue, told, event);
    }
    dcmi_lock_drop(&queue->lock);
    if (result)
        free(told);
    else
        (void)dcmi_cl.clReleaseEvent(event); /* Refused: a few bytes of the driver's are lost. */
    return result;
}

dcmem_result
dcmi_cl_queue_mark(uint64_t *out_value, dcmi_cl_queue *queue)
{
    return submit(out_value, queue, &(command){0});
}

/* Waits until all that was submitted has ended, well or badly. */
static dcmem_result
drain(dcmi_cl_queue *queue)
{
    uint64_t value;
    dcmem_result result = dcmi_cl_queue_mark(&value, queue);
    if (result)
        return result;
    const dcmem_detail before = dcmi_detail_save();
    (void)dcmi_cl_queue_wait(queue, value, UINT64_MAX);
    dcmi_detail_restore(&before);
    return DCMEM_OK;
}

dcmem_result
dcmi_cl_queue_copy(uint64_t *out_value, dcmi_cl_queue *queue, const dcmem_place *to, const dcmem_place *from,
                   uint64_t bytes)
{
    const command wanted = {.to = to, .from = from, .bytes = bytes};
    if (dcmi_cl_has_mem(to) || dcmi_cl_has_mem(from))
        return submit(out_value, queue, &wanted);

    /* OpenCL has no command for it: the host does it when its turn has come. */
    dcmem_result result = drain(queue);
    if (result)
        return result;
    memcpy(dcmi_cl_host_of(to), dcmi_cl_host_of(from), bytes);
    return dcmi_cl_queue_mark(out_value, queue);
}

dcmem_result
dcmi_cl_queue_fill(uint64_t *out_value, dcmi_cl_queue *queue, const dcmem_place *to, uint64_t bytes,
                   const void *pattern, uint32_t pattern_bytes)
{
    const command wanted = {.to = to, .bytes = bytes, .pattern = pattern, .pattern_bytes = pattern_bytes};
    if (dcmi_cl_has_mem(to))
        return submit(out_value, queue, &wanted);

    dcmem_result result = drain(queue);
    if (result)
        return result;
    dcmi_cl_host_fill(dcmi_cl_host_of(to), bytes, pattern, pattern_bytes);
    return dcmi_cl_queue_mark(out_value, queue);
}

/* ---- Waiting ---- */

uint64_t
dcmi_cl_queue_completed(const dcmi_cl_queue *queue)
{
    return atomic_load_explicit(&queue->completed, memory_order_acquire);
}

static dcmem_result
outcome(const dcmi_cl_queue *queue, uint64_t value)
{
    if (value < atomic_load(&queue->failed_from))
        return DCMEM_OK;
    return dcmi_cl_fail(atomic_load(&queue->failed_code), "work in a queue, number %llu or before",
                        (unsigned long long)value);
}

dcmem_result
dcmi_cl_queue_wait(dcmi_cl_queue *queue, uint64_t value, uint64_t timeout_ns)
{
    if (value > atomic_load(&queue->submitted))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "value %llu was not given yet", (unsigned long long)value);
    uint64_t begin = dcmi_os_now_ns();
    for (;;) {
        uint32_t seen = atomic_load(&queue->wakes);
        if (dcmi_cl_queue_completed(queue) >= value)
            return outcome(queue, value);
        uint64_t waited = dcmi_os_now_ns() - begin;
        if (waited >= timeout_ns)
            return dcmi_fail(DCMEM_E_TIMEOUT, "the timeline stands at %llu, not %llu",
                             (unsigned long long)dcmi_cl_queue_completed(queue), (unsigned long long)value);
        dcmi_os_sleep(&queue->wakes, seen, timeout_ns == UINT64_MAX ? UINT64_MAX : timeout_ns - waited);
    }
}

/* ---- Opening ---- */

dcmem_result
dcmi_cl_queue_check(cl_command_queue handle, cl_context context, cl_device_id device)
{
    cl_context its_context = NULL;
    cl_device_id its_device = NULL;
    cl_bitfield properties = 0;
    cl_int code = dcmi_cl.clGetCommandQueueInfo(handle, CL_QUEUE_CONTEXT, sizeof its_context, &its_context, NULL);
    if (!code)
        code = dcmi_cl.clGetCommandQueueInfo(handle, CL_QUEUE_DEVICE, sizeof its_device, &its_device, NULL);
    if (!code)
        code = dcmi_cl.clGetCommandQueueInfo(handle, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    if (code)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "opencl", code, "native.queue is no queue: %s",
                                  dcmi_cl_code_name(code));
    if (its_context != context || its_device != device)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "native.queue is of another context or device");
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "native.queue runs out of order: that has no timeline");
    return DCMEM_OK;
}

static dcmem_result
find_handle(dcmi_cl_queue *queue, const dcmem_native_context *native)
{
    cl_int code = CL_SUCCESS;
    dcmi_cl_device *device = queue->device;
    if (native && !native->queue)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "native.queue is 0");
    if (native) {
        queue->handle = (cl_command_queue)(uintptr_t)native->queue;
        queue->is_lent = true;
        return dcmi_cl_queue_check(queue->handle, device->context, device->card->id);
    }
    queue->handle = dcmi_cl.clCreateCommandQueue(device->context, device->card->id, 0, &code);
    return code ? dcmi_cl_fail(code, "a queue") : DCMEM_OK;
}

dcmem_result
dcmi_cl_queue_open(dcmi_cl_queue **out, dcmi_cl_device *device, const dcmem_native_context *native)
{
    dcmi_cl_queue *queue = dcmi_cl_new(sizeof *queue);
    if (!queue)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a queue of %zu bytes", sizeof *queue);
    queue->device = device;
    atomic_init(&queue->users, 1);
    atomic_init(&queue->failed_from, UINT64_MAX);
    dcmem_result result = find_handle(queue, native);
    if (result) {
        free(queue);
        return result;
    }
    *out = queue;
    return DCMEM_OK;
}

void
dcmi_cl_queue_close(dcmi_cl_queue *queue)
{
    /* A device that is lost fails this; then nothing of it runs any more. */
    (void)dcmi_cl.clFinish(queue->handle);
    if (!queue->is_lent)
        (void)dcmi_cl.clReleaseCommandQueue(queue->handle); /* Refused: it is lost. */
    queue_drop(queue);
}
