/* queue.c: the calls of the group ASYNC. See device.h. */
#include "backend/device.h"
#include "base/fail.h"
#include "base/thread.h"

static dcmem_call
call_on(dcmi_device *device, void *queue)
{
    return (dcmem_call){
        .thread = dcmi_thread_number(),
        .queue = queue,
        .op_index = atomic_fetch_add_explicit(&device->op_index, 1, memory_order_relaxed) + 1,
    };
}

dcmem_result
dcmi_device_queue_open(void **out, dcmi_device *device, const dcmem_native_context *native)
{
    if (!dcmi_device_has(device, DCMEM_CAP_ASYNC))
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "backend %s has no queues", device->backend->name);
    return device->ops.queue_open(out, device->handle, native);
}

void
dcmi_device_queue_close(dcmi_device *device, void *queue)
{
    device->ops.queue_close(device->handle, queue);
}

dcmem_result
dcmi_device_enqueue_copy(uint64_t *out_value, dcmi_device *device, void *queue, const dcmem_place *to,
                         const dcmem_place *from, uint64_t bytes)
{
    dcmem_call call = call_on(device, queue);
    return device->ops.enqueue_copy(out_value, device->handle, queue, &call, to, from, bytes);
}

dcmem_result
dcmi_device_enqueue_fill(uint64_t *out_value, dcmi_device *device, void *queue, const dcmem_place *to, uint64_t bytes,
                         const void *pattern, uint32_t pattern_bytes)
{
    dcmem_call call = call_on(device, queue);
    return device->ops.enqueue_fill(out_value, device->handle, queue, &call, to, bytes, pattern, pattern_bytes);
}

dcmem_result
dcmi_device_queue_mark(uint64_t *out_value, dcmi_device *device, void *queue)
{
    return device->ops.queue_mark(out_value, device->handle, queue);
}

uint64_t
dcmi_device_queue_completed(dcmi_device *device, void *queue)
{
    return device->ops.queue_completed(device->handle, queue);
}

dcmem_result
dcmi_device_queue_wait(dcmi_device *device, void *queue, uint64_t value, uint64_t timeout_ns)
{
    return device->ops.queue_wait(device->handle, queue, value, timeout_ns);
}
