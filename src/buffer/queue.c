/* queue.c: buffers on queues: accesses (access.c) that end when work of a queue has done what they were opened for.
 *
 * The caller's part is over when the work is on the queue. From then on the access stands in the buffer's list as the
 * queue's, for others a conflict that ends by itself, for the same queue none. */
#include "base/size.h"
#include "buffer/access.h"
#include "buffer/gate.h"

static dcmem_result
check_manager(const dcmi_queue *queue, dcmem_view view)
{
    dcmem_result result = dcmi_handle_check(view.buffer);
    if (result)
        return result;
    if (dcmi_slot_manager(dcmi_handle_slot(view.buffer)) != dcmi_pool_manager(queue->root))
        return dcmi_fail(DCMEM_E_FOREIGN, "the queue belongs to another manager than the buffer");
    return DCMEM_OK;
}

static dcmem_result
open_on(dcmi_grant *out, const dcmi_queue *queue, dcmem_view view, dcmi_operation operation, uint64_t timeout_ns)
{
    dcmi_wish wish = {
        .view = view,
        .side = DCMEM_SIDE_DEVICE,
        .operation = operation,
        .timeout_ns = timeout_ns,
        .queue = atomic_load_explicit(&queue->handle, memory_order_relaxed),
    };
    return dcmi_access_open(out, &wish);
}

/* Nothing was put on the queue. */
static void
close_unused(const dcmi_grant *grant)
{
    dcmem_detail cause = dcmi_detail_save();
    (void)dcmi_access_close(grant->buffer, grant->ticket, DCMI_CLOSE_UNUSED);
    dcmi_detail_restore(&cause);
}

static dcmem_place
place_of(const dcmi_site *site)
{
    return (dcmem_place){.extent = &site->place.extent, .offset = site->place.offset, .host = site->place.host};
}

static dcmi_use
use_of(const dcmi_queue *queue, uint64_t value)
{
    return (dcmi_use){.queue = atomic_load_explicit(&queue->handle, memory_order_relaxed), .value = value};
}

/* ---- Accesses ---- */

dcmem_result
dcmem_access_begin_on(dcmem_access *out, dcmem_view view, dcmem_access_mode mode, dcmem_queue *handle,
                      uint64_t timeout_ns)
{
    DCMI_REQUIRE(out);
    DCMI_REQUIRE((unsigned)mode <= DCMEM_ACCESS_WRITE_NO_OVERWRITE);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = check_manager(queue, view);
    if (!result)
        result = dcmi_gate_ask_mode(DCMEM_GATE_access_device, view, mode);
    return result ? result : dcmi_access_begin(out, view, DCMEM_SIDE_DEVICE, mode, (uintptr_t)handle, timeout_ns);
}

dcmem_result
dcmem_access_end_on(dcmem_access *access)
{
    DCMI_REQUIRE(access);
    uint64_t handle = dcmi_access_queue_of(access->view.buffer, access->ticket);
    if (!handle) {
        dcmem_result result = dcmi_handle_check(access->view.buffer);
        return result ? result
                      : dcmi_fail(DCMEM_E_WRONG_STATE, "the access is not open on a queue; was it ended before?");
    }
    dcmi_queue *queue = dcmi_queue_resolve((dcmem_queue *)(uintptr_t)handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_access_end, access->view, access->mode);
    return result ? result : dcmi_access_queue(access->view.buffer, access->ticket, dcmi_queue_use(queue));
}

/* ---- Copies and fills ---- */

static void
tell_value(uint64_t *out_value, uint64_t value)
{
    if (out_value)
        *out_value = value;
}

dcmem_result
dcmem_buffer_copy_on(uint64_t *out_value, dcmem_queue *handle, dcmem_view to, dcmem_view from)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = dcmi_transfer_check(to, from);
    if (!result)
        result = check_manager(queue, to);
    if (!result)
        result = check_manager(queue, from);
    if (!result && dcmi_has_gates())
        result = dcmi_gate_ask_buffers(DCMEM_GATE_copy, to, from.buffer, 0);
    if (result)
        return result;

    dcmi_grant source, target;
    result = open_on(&source, queue, from, DCMI_READ, 0);
    if (result)
        return result;
    result = open_on(&target, queue, to, DCMI_WRITE, 0);
    if (result)
        goto undo_source;
    uint64_t value;
    dcmem_place there = place_of(&target.site), here = place_of(&source.site);
    result = dcmi_device_enqueue_copy(&value, dcmi_pool_device(queue->root), queue->driver, &there, &here, to.bytes);
    if (result)
        goto undo_target;

    (void)dcmi_access_queue(source.buffer, source.ticket, use_of(queue, value)); /* both are open: they cannot fail */
    (void)dcmi_access_queue(target.buffer, target.ticket, use_of(queue, value));
    dcmi_pool_add(target.pool, DCMI_COUNTER_copies_device_to_device, 1);
    dcmi_pool_add(target.pool, DCMI_COUNTER_copied_device_to_device_bytes, to.bytes);
    tell_value(out_value, value);
    return DCMEM_OK;

undo_target:
    close_unused(&target);
undo_source:
    close_unused(&source);
    return result;
}

/* A copy between a view's device side and host memory that the caller leaves alone until it is done. */
static dcmem_result
copy_host(uint64_t *out_value, dcmem_queue *handle, dcmem_view view, void *host, bool is_in)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = check_manager(queue, view);
    if (!result)
        result = dcmi_gate_ask_view(is_in ? DCMEM_GATE_write : DCMEM_GATE_read, view);
    if (result)
        return result;

    dcmi_grant grant;
    result = open_on(&grant, queue, view, is_in ? DCMI_WRITE : DCMI_READ, 0);
    if (result)
        return result;
    uint64_t value;
    dcmem_place device = place_of(&grant.site), outside = {.host = host};
    result = dcmi_device_enqueue_copy(&value, dcmi_pool_device(queue->root), queue->driver, is_in ? &device : &outside,
                                      is_in ? &outside : &device, view.bytes);
    if (result) {
        close_unused(&grant);
        return result;
    }
    (void)dcmi_access_queue(grant.buffer, grant.ticket, use_of(queue, value));
    dcmi_pool_add(grant.pool, is_in ? DCMI_COUNTER_copies_host_to_device : DCMI_COUNTER_copies_device_to_host, 1);
    dcmi_pool_add(grant.pool,
                  is_in ? DCMI_COUNTER_copied_host_to_device_bytes : DCMI_COUNTER_copied_device_to_host_bytes,
                  view.bytes);
    tell_value(out_value, value);
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_copy_in_on(uint64_t *out_value, dcmem_queue *queue, dcmem_view to, const void *from)
{
    DCMI_REQUIRE(from);
    return copy_host(out_value, queue, to, (void *)(uintptr_t)from, true);
}

dcmem_result
dcmem_buffer_copy_out_on(uint64_t *out_value, dcmem_queue *queue, void *to, dcmem_view from)
{
    DCMI_REQUIRE(to);
    return copy_host(out_value, queue, from, to, false);
}

dcmem_result
dcmem_buffer_fill_on(uint64_t *out_value, dcmem_queue *handle, dcmem_view view, const void *pattern,
                     uint32_t pattern_bytes)
{
    DCMI_REQUIRE(pattern && dcmi_is_power_of_two(pattern_bytes) && pattern_bytes <= 16);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmem_result result = check_manager(queue, view);
    if (!result && (view.bytes % pattern_bytes || view.offset % pattern_bytes))
        result = dcmi_fail(DCMEM_E_MISALIGNED, "%llu bytes from %llu are no whole number of patterns of %u",
                           (unsigned long long)view.bytes, (unsigned long long)view.offset, pattern_bytes);
    if (!result)
        result = dcmi_gate_ask_view(DCMEM_GATE_fill, view);
    if (result)
        return result;

    dcmi_grant target;
    result = open_on(&target, queue, view, DCMI_WRITE, 0);
    if (result)
        return result;
    uint64_t value;
    dcmem_place there = place_of(&target.site);
    result = dcmi_device_enqueue_fill(&value, dcmi_pool_device(queue->root), queue->driver, &there, view.bytes, pattern,
                                      pattern_bytes);
    if (result) {
        close_unused(&target);
        return result;
    }
    (void)dcmi_access_queue(target.buffer, target.ticket, use_of(queue, value));
    dcmi_pool_add(target.pool, DCMI_COUNTER_fills, 1);
    dcmi_pool_add(target.pool, DCMI_COUNTER_filled_bytes, view.bytes);
    tell_value(out_value, value);
    return DCMEM_OK;
}
