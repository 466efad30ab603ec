/* device.c: opens a device and makes every driver call of the library.
 *
 * A driver is a stranger: what it says of its device and of the memory it gives is looked at before anything is
 * built on it. What does not keep the contract is DCMEM_E_CONTRACT, and the detail names the field. */
#include "backend/device.h"

#include "backend/contract.h"
#include "backend/faults.h"
#include "backend/registry.h"
#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"
#include "base/thread.h"

#include <string.h>

#define ADDRESS_END (1ull << 47)
#define ALL_KINDS   (DCMEM_KIND_BIT(DCMEM_KIND_COUNT) - 1)

#define IS_TEXT(text)         (memchr((text), '\0', sizeof(text)) != NULL)
#define IS_UNIT_OR_NONE(unit) ((unit) == 0 || dcmi_is_power_of_two(unit))

static bool
are_heaps_sane(const dcmem_device_info *info)
{
    for (uint32_t i = 0; i < info->heap_count; i++)
        if (info->heaps[i].free_bytes > info->heaps[i].total_bytes || info->heaps[i].kinds & ~ALL_KINDS)
            return false;
    return true;
}

/* field, what must hold. In this order: a later line may rely on an earlier one. */
#define INFO_RULES(X)                                                                                                  \
    X(size, info->size == sizeof *info)                                                                                \
    X(backend, IS_TEXT(info->backend))                                                                                 \
    X(name, IS_TEXT(info->name))                                                                                       \
    X(driver_version, IS_TEXT(info->driver_version))                                                                   \
    X(pci, IS_TEXT(info->pci))                                                                                         \
    X(capabilities, !(info->capabilities & ~backend->capabilities))                                                    \
    X(kinds, (info->kinds & DCMEM_KIND_BIT(DCMEM_KIND_HOST)) && !(info->kinds & ~ALL_KINDS))                           \
    X(heap_count, info->heap_count <= DCMEM_MAX_HEAPS)                                                                 \
    X(heaps, are_heaps_sane(info))                                                                                     \
    X(total_bytes, info->total_bytes > 0)                                                                              \
    X(free_bytes, info->free_bytes <= info->total_bytes)                                                               \
    X(largest_allocation_bytes, info->largest_allocation_bytes > 0)                                                    \
    X(alignment, dcmi_is_power_of_two(info->alignment))                                                                \
    X(granularity, dcmi_is_power_of_two(info->granularity))                                                            \
    X(cache_line_bytes, IS_UNIT_OR_NONE(info->cache_line_bytes))                                                       \
    X(flush_bytes, IS_UNIT_OR_NONE(info->flush_bytes) && info->flush_bytes <= DCMI_PAGE)                               \
    X(numa_node, info->numa_node >= -1)                                                                                \
    X(is_unified, !(info->capabilities & DCMEM_CAP_UNIFIED) || info->is_unified)                                       \
    X(page_bytes, IS_UNIT_OR_NONE(info->page_bytes))

/* The first field that does not hold, or NULL. */
static const char *
info_fault(const dcmem_device_info *info, const dcmem_backend *backend)
{
#define DCMEM_X(field, condition)                                                                                      \
    if (!(condition))                                                                                                  \
        return #field;
    INFO_RULES(DCMEM_X)
#undef DCMEM_X
    return NULL;
}

static dcmem_result
ask_info(dcmem_device_info *out, const dcmem_backend *backend, void *handle)
{
    dcmem_device_info info = {.size = sizeof info, .numa_node = -1};
    dcmem_result result = backend->info(&info, handle);
    if (result)
        return result;
    if (info.capabilities == 0)
        info.capabilities = backend->capabilities;
    if (info.backend[0] == '\0')
        memcpy(info.backend, backend->name, strlen(backend->name) + 1);

    const char *fault = info_fault(&info, backend);
    if (fault)
        return dcmi_fail(DCMEM_E_CONTRACT, "backend %s: its info has an impossible %s", backend->name, fault);
    *out = info;
    return DCMEM_OK;
}

static dcmem_result
open_handle(void **out, const dcmem_backend *backend, const dcmem_open *options)
{
    uint32_t count;
    dcmem_result result = backend->count(&count, backend);
    if (result)
        return result;
    if (options->index >= count && !options->native)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "backend %s has %u devices, none of index %u", backend->name, count,
                         options->index);
    return backend->open(out, backend, options);
}

static bool
is_built_in(const dcmem_backend *backend)
{
    return false
#define DCMEM_X(name) || backend == &dcmi_##name##_backend
        DCMI_BUILT_IN_BACKENDS(DCMEM_X)
#undef DCMEM_X
            ;
}

dcmem_result
dcmi_device_open(dcmi_device *device, const char *name, const dcmem_backend *driver, const dcmem_open *options)
{
    const dcmem_backend *registered, *backend;
    bool is_counted;
    void *handle = NULL;
    dcmem_device_info info;

    dcmem_result result = dcmi_registry_enter(&registered, &is_counted, name, driver);
    if (result)
        return result;
    result = dcmem_backend_check(registered);
    if (!result)
        result = dcmi_faults_over(&backend, registered);
    if (result)
        goto undo_enter;
    result = open_handle(&handle, backend, options);
    if (result)
        goto undo_enter;
    result = ask_info(&info, backend, handle);
    if (result)
        goto undo_open;

    device->registered = registered;
    device->backend = backend;
    device->is_own = is_built_in(backend);
    device->is_counted = is_counted;
    device->is_lent = options->native != NULL;
    device->ops = *backend;
    device->handle = handle;
    device->info = info;
    atomic_init(&device->op_index, 0);
    dcmi_contract_fill_stubs(&device->ops, info.capabilities);
    return DCMEM_OK;

undo_open:
    backend->close(handle);
undo_enter:
    dcmi_registry_leave(registered, is_counted);
    return result;
}

void
dcmi_device_close(dcmi_device *device)
{
    device->ops.close(device->handle);
    dcmi_registry_leave(device->registered, device->is_counted);
    device->handle = NULL;
}

dcmem_result
dcmi_device_info(dcmem_device_info *out, dcmi_device *device)
{
    return ask_info(out, device->backend, device->handle);
}

static dcmem_call
call_for(dcmi_device *device, dcmem_tag tag)
{
    return (dcmem_call){
        .tag = tag,
        .thread = dcmi_thread_number(),
        .op_index = atomic_fetch_add_explicit(&device->op_index, 1, memory_order_relaxed) + 1,
    };
}

/* What a function of a group is given as its device: a stub wants the backend. */
static void *
target(dcmi_device *device, uint64_t group)
{
    return dcmi_device_has(device, group) ? device->handle : (void *)(uintptr_t)device->backend;
}

static bool
is_multiple(uint64_t n, uint64_t power_of_two)
{
    return (n & (power_of_two - 1)) == 0;
}

/* The first field of an extent that is not what was asked for, or NULL. */
static const char *
extent_fault(const dcmem_extent *extent, const dcmi_device *device, const dcmem_acquire *request)
{
    uint64_t alignment = request->alignment ? request->alignment : device->info.alignment;
    bool is_host = request->kind == DCMEM_KIND_HOST || request->kind == DCMEM_KIND_PINNED;

    if (extent->bytes < request->bytes)
        return "bytes";
    if (extent->kind != request->kind)
        return "kind";
    if (!extent->host && (is_host || dcmi_device_has(device, DCMEM_CAP_UNIFIED)))
        return "host";
    if (!is_multiple((uintptr_t)extent->host, is_host ? alignment : 1))
        return "host";
    if (!is_multiple(extent->address, alignment))
        return "address";
    if (dcmi_device_has(device, DCMEM_CAP_ADDRESSED) &&
        (!extent->address || extent->address >= ADDRESS_END || extent->bytes > ADDRESS_END - extent->address))
        return "address";
    return NULL;
}

/* Memory that cannot be used goes back. Its failure would only hide the first one. */
static dcmem_result
refuse_extent(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, const char *function, const char *fault)
{
    (void)dcmi_device_release(device, tag, extent);
    return dcmi_fail(DCMEM_E_CONTRACT, "backend %s: %s gave an extent with an impossible %s", device->backend->name,
                     function, fault);
}

dcmem_result
dcmi_device_acquire(dcmem_extent *out, dcmi_device *device, dcmem_tag tag, const dcmem_acquire *request)
{
    dcmem_extent extent = {0};
    dcmem_call call = call_for(device, tag);
    dcmem_result result = device->ops.acquire(&extent, device->handle, &call, request);
    if (result)
        return result;

    const char *fault = extent_fault(&extent, device, request);
    if (fault)
        return refuse_extent(device, tag, &extent, "acquire", fault);
    *out = extent;
    return DCMEM_OK;
}

dcmem_result
dcmi_device_release(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent)
{
    dcmem_call call = call_for(device, tag);
    return device->ops.release(device->handle, &call, extent);
}

dcmem_result
dcmi_device_copy(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    if (bytes == 0)
        return DCMEM_OK;
    dcmem_call call = call_for(device, tag);
    return device->ops.copy(device->handle, &call, to, from, bytes);
}

dcmem_result
dcmi_device_fill(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, uint64_t bytes, const void *pattern,
                 uint32_t pattern_bytes)
{
    if (bytes == 0)
        return DCMEM_OK;
    dcmem_call call = call_for(device, tag);
    return device->ops.fill(device->handle, &call, to, bytes, pattern, pattern_bytes);
}

dcmem_result
dcmi_device_map(void **out, dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, uint64_t offset,
                uint64_t bytes, uint32_t flags)
{
    void *host = NULL;
    dcmem_call call = call_for(device, tag);
    dcmem_result result = device->ops.map(&host, target(device, DCMEM_CAP_MAP), &call, extent, offset, bytes, flags);
    if (result)
        return result;
    if (!host)
        return dcmi_fail(DCMEM_E_CONTRACT, "backend %s: map gave no address", device->backend->name);
    *out = host;
    return DCMEM_OK;
}

dcmem_result
dcmi_device_unmap(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, void *host)
{
    dcmem_call call = call_for(device, tag);
    return device->ops.unmap(target(device, DCMEM_CAP_MAP), &call, extent, host);
}

dcmem_result
dcmi_device_flush(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    dcmem_call call = call_for(device, tag);
    return device->ops.flush(target(device, DCMEM_CAP_MAP), &call, extent, offset, bytes);
}

dcmem_result
dcmi_device_invalidate(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    dcmem_call call = call_for(device, tag);
    return device->ops.invalidate(target(device, DCMEM_CAP_MAP), &call, extent, offset, bytes);
}

dcmem_result
dcmi_device_import(dcmem_extent *out, dcmi_device *device, dcmem_tag tag, void *host, uint64_t bytes)
{
    dcmem_extent extent = {0};
    dcmem_call call = call_for(device, tag);
    dcmem_result result = device->ops.import_host(&extent, target(device, DCMEM_CAP_IMPORT), &call, host, bytes);
    if (result)
        return result;
    if (extent.host != host)
        return refuse_extent(device, tag, &extent, "import_host", "host");
    if (extent.bytes < bytes)
        return refuse_extent(device, tag, &extent, "import_host", "bytes");
    *out = extent;
    return DCMEM_OK;
}

/* ---- Peers ---- */

dcmem_result
dcmi_device_peer_can(bool *out, dcmi_device *device, dcmi_device *peer)
{
    return device->ops.peer_can(out, target(device, DCMEM_CAP_PEER), peer->handle);
}

dcmem_result
dcmi_device_peer_enable(dcmi_device *device, dcmi_device *peer)
{
    return device->ops.peer_enable(target(device, DCMEM_CAP_PEER), peer->handle);
}

dcmem_result
dcmi_device_peer_copy(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, dcmi_device *peer,
                      const dcmem_place *from, uint64_t bytes)
{
    dcmem_call call = call_for(device, tag);
    return device->ops.peer_copy(target(device, DCMEM_CAP_PEER), &call, to, peer->handle, from, bytes);
}
