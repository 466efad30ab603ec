/* memory_on.c: raw memory on queues. */
#include "manager/range.h"
#include "pool/gate.h"
#include "queue/queue.h"

#include <dcmem/memory.h>
#include <dcmem/queue.h>

static dcmem_result
ask(const dcmi_queue *queue, dcmem_gate_operation operation, const void *address, uint64_t bytes)
{
    if (!dcmi_has_gates())
        return DCMEM_OK;
    return dcmi_gate_ask(queue->root, &(dcmem_gate_call){.operation = operation, .address = address, .bytes = bytes});
}

void *
dcmem_raw_allocate_on(dcmem_queue *handle, uint64_t bytes)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    uint64_t capacity = queue ? dcmi_pool_capacity(queue->root, bytes) : 0;
    if (!capacity)
        return NULL;
    uint64_t address = dcmi_pool_guard(queue->root) ? 0 : dcmi_pending_take(queue, queue->root, capacity);
    if (!address)
        return dcmem_raw_allocate(dcmi_pool_manager(queue->root), bytes);
    (void)dcmi_pool_hold(queue->root, address, DCMI_HOLDER_LIBRARY, DCMI_HOLDER_CALLER);
    dcmi_pool_resize(queue->root, address, bytes, DCMI_HOLDER_CALLER);
    return (void *)(uintptr_t)address;
}

dcmem_result
dcmem_raw_use_on(dcmem_queue *handle, void *address)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    return queue ? dcmi_uses_add(queue, (uintptr_t)address) : dcmem_last_detail()->result;
}

dcmem_result
dcmem_raw_free_on(dcmem_queue *handle, void *address)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = address ? dcmi_uses_free(queue, (uintptr_t)address) : DCMEM_OK;
    if (!result && address)
        (void)ask(queue, DCMEM_GATE_raw_free, address, 0); /* it is told; free cannot be refused */
    return result;
}

/* ---- Copies ---- */

static void
tell(uint64_t *out_value, uint64_t value)
{
    if (out_value)
        *out_value = value;
}

dcmem_result
dcmem_raw_set_on(uint64_t *out_value, dcmem_queue *handle, void *address, int value, uint64_t bytes)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmi_range to;
    dcmem_result result = dcmi_range_find(&to, queue->root, address, bytes, "address");
    if (!result)
        result = ask(queue, DCMEM_GATE_raw_set, address, bytes);
    if (result)
        return result;
    uint64_t timeline;
    unsigned char pattern = (unsigned char)value;
    dcmem_place place = dcmi_range_place(&to);
    result = bytes ? dcmi_device_enqueue_fill(&timeline, dcmi_pool_device(queue->root), queue->driver, &place, bytes,
                                              &pattern, 1)
                   : dcmem_queue_mark(&timeline, handle);
    if (!result)
        tell(out_value, timeline);
    return result;
}

/* Either end may be plain host memory. */
static dcmem_result
copy_on(uint64_t *out_value, dcmem_queue *handle, const dcmi_queue *queue, const dcmem_place *to,
        const dcmem_place *from, uint64_t bytes)
{
    uint64_t timeline;
    dcmem_result result =
        bytes ? dcmi_device_enqueue_copy(&timeline, dcmi_pool_device(queue->root), queue->driver, to, from, bytes)
              : dcmem_queue_mark(&timeline, handle);
    if (!result)
        tell(out_value, timeline);
    return result;
}

dcmem_result
dcmem_raw_copy_on(uint64_t *out_value, dcmem_queue *handle, void *to, const void *from, uint64_t bytes)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmi_range target, source;
    dcmem_result result = dcmi_range_find(&target, queue->root, to, bytes, "to");
    if (!result)
        result = dcmi_range_find(&source, queue->root, from, bytes, "from");
    if (!result)
        result = dcmi_range_check_apart(to, from, bytes);
    if (!result)
        result = ask(queue, DCMEM_GATE_raw_copy, to, bytes);
    if (result)
        return result;
    dcmem_place there = dcmi_range_place(&target), here = dcmi_range_place(&source);
    return copy_on(out_value, handle, queue, &there, &here, bytes);
}

dcmem_result
dcmem_raw_write_on(uint64_t *out_value, dcmem_queue *handle, void *to, const void *host, uint64_t bytes)
{
    DCMI_REQUIRE(host || bytes == 0);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmi_range target;
    dcmem_result result = dcmi_range_find(&target, queue->root, to, bytes, "to");
    if (!result)
        result = ask(queue, DCMEM_GATE_raw_write, to, bytes);
    if (result)
        return result;
    dcmem_place there = dcmi_range_place(&target), here = {.host = (void *)(uintptr_t)host};
    return copy_on(out_value, handle, queue, &there, &here, bytes);
}

dcmem_result
dcmem_raw_read_on(uint64_t *out_value, dcmem_queue *handle, void *host, const void *from, uint64_t bytes)
{
    DCMI_REQUIRE(host || bytes == 0);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmi_range source;
    dcmem_result result = dcmi_range_find(&source, queue->root, from, bytes, "from");
    if (!result)
        result = ask(queue, DCMEM_GATE_raw_read, from, bytes);
    if (result)
        return result;
    dcmem_place there = {.host = host}, here = dcmi_range_place(&source);
    return copy_on(out_value, handle, queue, &there, &here, bytes);
}
