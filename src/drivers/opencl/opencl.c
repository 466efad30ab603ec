/* opencl.c: OpenCL as a backend: its table, and how a device is opened: one that was found, or one that is lent. */
#include "base/os.h"
#include "base/size.h"
#include "drivers/opencl/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPABILITIES (DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | DCMEM_CAP_PEER | DCMEM_CAP_IMPORT)

/* ---- Opening ---- */

static dcmem_result
opencl_count(uint32_t *out, const dcmem_backend *backend)
{
    (void)backend;
    return dcmi_cl_cards_count(out);
}

static dcmem_result
check_options(const dcmem_open *options)
{
    if (options->huge_pages > DCMEM_HUGE_PAGES_OFF)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "huge pages: %u is no choice", options->huge_pages);
    if (options->huge_pages != DCMEM_HUGE_PAGES_SYSTEM)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the pages of an OpenCL device are its driver's choice");
    if (options->numa_node >= 0)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the place of an OpenCL device's memory is its driver's choice");
    return DCMEM_OK;
}

/* Where a device is among its context's. */
static dcmem_result
find_position(dcmi_cl_device *device, cl_device_id id)
{
    size_t bytes = 0;
    cl_device_id ids[DCMI_CL_CARDS];
    cl_int code = dcmi_cl.clGetContextInfo(device->context, CL_CONTEXT_DEVICES, sizeof ids, ids, &bytes);
    if (code)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "opencl", code, "the context has no devices: %s",
                                  dcmi_cl_code_name(code));
    device->device_count = (uint32_t)(bytes / sizeof ids[0]);
    while (device->position < device->device_count && ids[device->position] != id)
        device->position++;
    if (device->position == device->device_count)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the device is not one of the context's %u", device->device_count);
    return DCMEM_OK;
}

static dcmem_result
open_found(dcmi_cl_device *device, uint32_t index)
{
    uint32_t count;
    dcmem_result result = dcmi_cl_cards_count(&count);
    if (result)
        return result;
    if (index >= count)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "OpenCL has %u devices here, none of index %u", count, index);
    device->card = dcmi_cl_card_at(index);
    return dcmi_cl_card_enter(&device->context, device->card);
}

/* The card of a caller's device, or one made for it. */
static dcmem_result
find_card(dcmi_cl_device *device, cl_device_id id)
{
    cl_platform_id platform = NULL;
    device->card = dcmi_cl_card_of(id);
    if (device->card)
        return DCMEM_OK;
    cl_int code = dcmi_cl.clGetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
    if (code)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "opencl", code, "native.device is no device: %s",
                                  dcmi_cl_code_name(code));
    if (!dcmi_cl_card_read(&device->own_card, platform, id))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "native.device is not available, or older than OpenCL 1.2");
    device->card = &device->own_card;
    return DCMEM_OK;
}

static dcmem_result
open_lent(dcmi_cl_device *device, const dcmem_native_context *native)
{
    uint32_t count;
    cl_device_id id = (cl_device_id)(uintptr_t)native->device;
    if (native->size != sizeof *native || !native->context || !native->device)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "native wants its size, a context and a device");
    dcmem_result result = dcmi_cl_cards_count(&count);
    if (result)
        return result;
    device->is_lent = true;
    device->context = (cl_context)(uintptr_t)native->context;
    device->queue = (cl_command_queue)(uintptr_t)native->queue;
    device->lends_queue = device->queue != NULL;
    result = find_position(device, id);
    if (!result)
        result = find_card(device, id);
    if (!result && device->lends_queue)
        result = dcmi_cl_queue_check(device->queue, device->context, id);
    return result;
}

static void
leave_context(dcmi_cl_device *device)
{
    if (!device->is_lent)
        dcmi_cl_card_leave(device->card);
}

/* What a device needs beside its context. */
static dcmem_result
furnish(dcmi_cl_device *device)
{
    cl_int code = CL_SUCCESS;
    dcmem_result result = device->is_lent ? DCMEM_OK : find_position(device, device->card->id);
    if (result)
        return result;
    if (!device->lends_queue)
        device->queue = dcmi_cl.clCreateCommandQueue(device->context, device->card->id, 0, &code);
    if (code)
        return dcmi_cl_fail(code, "a queue");
    dcmi_cl_memory_probe(device);
    return DCMEM_OK;
}

static dcmem_result
opencl_open(void **out_device, const dcmem_backend *backend, const dcmem_open *options)
{
    (void)backend;
    dcmem_result result = check_options(options);
    if (result)
        return result;
    dcmi_cl_device *device = dcmi_cl_new(sizeof *device);
    if (!device)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a device of %zu bytes", sizeof *device);
    result = options->native ? open_lent(device, options->native) : open_found(device, options->index);
    if (result)
        goto undo_device;
    result = furnish(device);
    if (result)
        goto undo_context;
    *out_device = device;
    return DCMEM_OK;

undo_context:
    leave_context(device);
undo_device:
    free(device);
    return result;
}

static void
opencl_close(void *handle)
{
    dcmi_cl_device *device = handle;
    if (!device->lends_queue)
        (void)dcmi_cl.clReleaseCommandQueue(device->queue); /* Refused: it is lost. */
    leave_context(device);
    free(device);
}

/* ---- Info ---- */

static uint64_t
capabilities_of(const dcmi_cl_device *device)
{
    return device->can_map ? CAPABILITIES : DCMEM_CAP_ASYNC | DCMEM_CAP_PEER;
}

/* The card's heap, and the host's. */
static void
describe_heaps(dcmem_device_info *info, const dcmi_cl_device *device)
{
    uint32_t host_kinds = 0;
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        if (!dcmi_cl_device_pays(device, (dcmem_kind)kind))
            host_kinds |= DCMEM_KIND_BIT(kind);
    uint64_t host_total = dcmi_os_memory_total();
    uint64_t host_free = dcmi_min(dcmi_os_memory_available(), host_total);
    info->free_bytes = info->total_bytes - atomic_load(&device->card->charged_bytes);
    if (device->card->is_unified)
        info->free_bytes = dcmi_min(info->free_bytes, host_free);
    info->heap_count = 2;
    info->heaps[0] = (dcmem_heap_info){info->total_bytes, info->free_bytes, info->kinds & ~host_kinds, 0};
    info->heaps[1] = (dcmem_heap_info){host_total, host_free, host_kinds, 0};
}

static dcmem_result
opencl_info(dcmem_device_info *out, void *handle)
{
    const dcmi_cl_device *device = handle;
    const dcmi_cl_card *card = device->card;
    dcmem_device_info info = {
        .size = sizeof info,
        .backend = "opencl",
        .capabilities = capabilities_of(device),
        .kinds = dcmi_cl_device_kinds(device),
        .total_bytes = card->total_bytes,
        .largest_allocation_bytes = dcmi_round_down(card->largest_bytes, DCMI_CL_ALIGNMENT),
        .alignment = DCMI_CL_ALIGNMENT,
        .granularity = DCMI_CL_ALIGNMENT,
        .cache_line_bytes = card->cache_line_bytes,
        .last_level_cache_bytes = card->cache_bytes,
        .flush_bytes = device->can_map && !device->is_coherent ? 1 : 0,
        .numa_node = -1,
        .is_unified = card->is_unified,
    };
    memcpy(info.name, card->name, sizeof card->name);
    memcpy(info.driver_version, card->driver_version, sizeof card->driver_version);
    memcpy(info.pci, card->pci, sizeof card->pci);
    memcpy(info.uuid, card->uuid, sizeof card->uuid);
    describe_heaps(&info, device);
    *out = info;
    return DCMEM_OK;
}

/* ---- Memory ---- */

static dcmem_result
opencl_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    return dcmi_cl_memory_acquire(out, handle, request);
}

static dcmem_result
opencl_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    return dcmi_cl_memory_release(handle, extent);
}

/* OpenCL makes one side's writes visible to the other where a map begins and where it ends. */
static dcmem_result
visit(dcmi_cl_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    const dcmi_cl_piece *piece = dcmi_cl_piece_of(extent);
    if (device->is_coherent || piece->host)
        return DCMEM_OK;
    return dcmi_cl_visit(device, piece->mem, offset, bytes, flags);
}

/* What was written into imported memory must reach its owner, who reads it with no map. */
static dcmem_result
show(dcmi_cl_device *device, const dcmem_place *to, uint64_t bytes)
{
    bool is_imported = to->extent && dcmi_cl_piece_of(to->extent)->source == DCMI_CL_IMPORTED;
    return is_imported ? visit(device, to->extent, to->offset, bytes, DCMI_CL_TO_HOST) : DCMEM_OK;
}

/* Between two places that the host can touch it needs no driver. */
static dcmem_result
copy_now(dcmi_cl_device *device, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    cl_event event;
    char *to_host = dcmi_cl_host_of(to), *from_host = dcmi_cl_host_of(from);
    if (to_host && from_host) {
        memcpy(to_host, from_host, bytes);
        return DCMEM_OK;
    }
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_cl_copy(&event, device->queue, to, from, bytes);
    if (!result)
        result = dcmi_cl_finish(event, "a copy");
    dcmi_lock_drop(&device->turn);
    return result ? result : show(device, to, bytes);
}

static dcmem_result
opencl_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    return copy_now(handle, to, from, bytes);
}

static dcmem_result
opencl_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
            uint32_t pattern_bytes)
{
    (void)call;
    cl_event event;
    dcmi_cl_device *device = handle;
    char *host = dcmi_cl_host_of(to);
    if (host) {
        dcmi_cl_host_fill(host, bytes, pattern, pattern_bytes);
        return DCMEM_OK;
    }
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_cl_fill(&event, device->queue, to, bytes, pattern, pattern_bytes);
    if (!result)
        result = dcmi_cl_finish(event, "a fill");
    dcmi_lock_drop(&device->turn);
    return result ? result : show(device, to, bytes);
}

static dcmem_result
opencl_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    (void)call;
    return dcmi_cl_memory_import(out, handle, host, bytes);
}

/* ---- Map ---- */

static dcmem_result
opencl_map(void **out_host, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
           uint64_t bytes, uint32_t flags)
{
    (void)call;
    const dcmi_cl_piece *piece = dcmi_cl_piece_of(extent);
    if (!piece->host)
        return dcmi_cl_map(out_host, handle, piece->mem, offset, bytes, flags);
    *out_host = (char *)piece->host + offset;
    return DCMEM_OK;
}

static dcmem_result
opencl_unmap(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)call;
    const dcmi_cl_piece *piece = dcmi_cl_piece_of(extent);
    return piece->host ? DCMEM_OK : dcmi_cl_unmap(handle, piece->mem, host);
}

static dcmem_result
opencl_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return visit(handle, extent, offset, bytes, DCMI_CL_TO_DEVICE);
}

static dcmem_result
opencl_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return visit(handle, extent, offset, bytes, DCMI_CL_TO_HOST);
}

/* ---- Queues ---- */

static dcmem_result
opencl_queue_open(void **out_queue, void *handle, const dcmem_native_context *native)
{
    dcmi_cl_queue *queue;
    dcmem_result result = dcmi_cl_queue_open(&queue, handle, native);
    if (!result)
        *out_queue = queue;
    return result;
}

static void
opencl_queue_close(void *handle, void *queue)
{
    (void)handle;
    dcmi_cl_queue_close(queue);
}

static dcmem_result
opencl_enqueue_copy(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    const dcmem_place *from, uint64_t bytes)
{
    (void)handle;
    (void)call;
    return dcmi_cl_queue_copy(out_value, queue, to, from, bytes);
}

static dcmem_result
opencl_enqueue_fill(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    (void)handle;
    (void)call;
    return dcmi_cl_queue_fill(out_value, queue, to, bytes, pattern, pattern_bytes);
}

static dcmem_result
opencl_queue_mark(uint64_t *out_value, void *handle, void *queue)
{
    (void)handle;
    return dcmi_cl_queue_mark(out_value, queue);
}

static uint64_t
opencl_queue_completed(void *handle, void *queue)
{
    (void)handle;
    return dcmi_cl_queue_completed(queue);
}

static dcmem_result
opencl_queue_wait(void *handle, void *queue, uint64_t value, uint64_t timeout_ns)
{
    (void)handle;
    return dcmi_cl_queue_wait(queue, value, timeout_ns);
}

/* ---- Peers: devices of one context ---- */

static dcmem_result
opencl_peer_can(bool *out, void *handle, void *peer_handle)
{
    const dcmi_cl_device *device = handle, *peer = peer_handle;
    *out = device->context == peer->context;
    return DCMEM_OK;
}

static dcmem_result
opencl_peer_enable(void *handle, void *peer_handle)
{
    dcmi_cl_device *device = handle;
    const dcmi_cl_device *peer = peer_handle;
    if (device->context != peer->context)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the two devices have no context in common");
    atomic_fetch_add(&device->peers[peer->position], 1);
    return DCMEM_OK;
}

static dcmem_result
not_enabled(void)
{
    return dcmi_fail(DCMEM_E_WRONG_STATE, "the peer was not enabled");
}

static dcmem_result
opencl_peer_disable(void *handle, void *peer_handle)
{
    dcmi_cl_device *device = handle;
    const dcmi_cl_device *peer = peer_handle;
    uint32_t count = atomic_load(&device->peers[peer->position]);
    while (count && !atomic_compare_exchange_weak(&device->peers[peer->position], &count, count - 1))
        ;
    return count ? DCMEM_OK : not_enabled();
}

static dcmem_result
opencl_peer_copy(void *handle, const dcmem_call *call, const dcmem_place *to, void *peer_handle,
                 const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    dcmi_cl_device *device = handle;
    const dcmi_cl_device *peer = peer_handle;
    if (device->context != peer->context || !atomic_load(&device->peers[peer->position]))
        return not_enabled();
    return copy_now(device, to, from, bytes);
}

/* Known to the registry by its name alone. */
extern const dcmem_backend dcmi_opencl_backend;

const dcmem_backend dcmi_opencl_backend = {
    .size = sizeof dcmi_opencl_backend,
    .contract = DCMEM_BACKEND_CONTRACT,
    .name = "opencl",
    .capabilities = CAPABILITIES,
    .count = opencl_count,
    .open = opencl_open,
    .close = opencl_close,
    .info = opencl_info,
    .acquire = opencl_acquire,
    .release = opencl_release,
    .copy = opencl_copy,
    .fill = opencl_fill,
    .map = opencl_map,
    .unmap = opencl_unmap,
    .flush = opencl_flush,
    .invalidate = opencl_invalidate,
    .queue_open = opencl_queue_open,
    .queue_close = opencl_queue_close,
    .enqueue_copy = opencl_enqueue_copy,
    .enqueue_fill = opencl_enqueue_fill,
    .queue_mark = opencl_queue_mark,
    .queue_completed = opencl_queue_completed,
    .queue_wait = opencl_queue_wait,
    .peer_can = opencl_peer_can,
    .peer_enable = opencl_peer_enable,
    .peer_disable = opencl_peer_disable,
    .peer_copy = opencl_peer_copy,
    .import_host = opencl_import_host,
};
