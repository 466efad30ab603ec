/* cpu.c: the CPU as a backend: one device a machine, whose memory is the process's own.
 *
 * Host side and device side are one, so mapping is pointing, and flushing is nothing. Every kind of memory is plain
 * memory; pinned memory is locked, too. An extent that was imported says so in its flags. */
#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"
#include "drivers/cpu/calls.h"
#include "drivers/cpu/facts.h"
#include "drivers/cpu/memory.h"
#include "drivers/cpu/move.h"

#include <dcmem/backend.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXTENT_IMPORTED 1u

#define ALL_KINDS    (DCMEM_KIND_BIT(DCMEM_KIND_COUNT) - 1)
#define CAPABILITIES (DCMEM_CAP_MAP | DCMEM_CAP_IMPORT | DCMEM_CAP_UNIFIED | DCMEM_CAP_DIVISIBLE | DCMEM_CAP_ADDRESSED)

typedef struct cpu_device {
    struct cpu_device *next;
    dcmi_cpu_memory memory;
} cpu_device;

/* Guards the list of open devices, which is there for fork alone; taken before a device's own lock. */
static dcmi_lock devices_lock;
static cpu_device *devices DCMI_GUARDED(devices_lock);

static dcmi_cpu_facts facts;
static pthread_once_t facts_once = PTHREAD_ONCE_INIT;

static void
facts_read(void)
{
    dcmi_cpu_facts_read(&facts);
}

/* A child of fork has only the forking thread: no lock may be another one's then. */
static void
before_fork(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&devices_lock);
    for (cpu_device *device = devices; device; device = device->next)
        dcmi_lock_take(&device->memory.lock);
}

static void
after_fork(void) DCMI_UNCHECKED
{
    for (cpu_device *device = devices; device; device = device->next)
        dcmi_lock_drop(&device->memory.lock);
    dcmi_lock_drop(&devices_lock);
}

__attribute__((constructor)) static void
watch_fork(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a growth is what is lost. */
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static void
devices_add(cpu_device *device)
{
    dcmi_lock_take(&devices_lock);
    device->next = devices;
    devices = device;
    dcmi_lock_drop(&devices_lock);
}

static void
devices_remove(cpu_device *device)
{
    dcmi_lock_take(&devices_lock);
    cpu_device **link = &devices;
    while (*link != device)
        link = &(*link)->next;
    *link = device->next;
    dcmi_lock_drop(&devices_lock);
}

static dcmem_result
cpu_count(uint32_t *out, const dcmem_backend *backend)
{
    (void)backend;
    *out = 1;
    return DCMEM_OK;
}

/* A node that is online may still be forbidden, by a cpuset or by a system call filter: better known now than with
 * the first allocation. `device` lends a page to try it on. */
static dcmem_result
check_node(cpu_device *device, int32_t node)
{
    if (node < 0)
        return DCMEM_OK;
    if (!dcmi_cpu_list_has(facts.nodes, (uint32_t)node))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "NUMA node %d is not online; online: %s", node, facts.nodes);
    if (dcmi_cpu_calls.bind(device, DCMI_PAGE, node))
        return dcmi_fail_errno(errno == EINVAL ? DCMEM_E_UNAVAILABLE : dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP),
                               errno, "NUMA node %d cannot be used", node);
    return DCMEM_OK;
}

static dcmem_result
check_options(const dcmem_open *options)
{
    if (options->native)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the CPU has no native context that could be lent");
    if (options->index != 0)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "the CPU is one device, of index 0; asked for %u", options->index);
    if (options->huge_pages > DCMEM_HUGE_PAGES_OFF)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "huge pages: %u is no choice", options->huge_pages);
    return DCMEM_OK;
}

/* Without a word: nobody could do anything about it. A second time, because what made the system refuse the first may
 * have been another thread's. */
static void
device_unmap(cpu_device *device)
{
    if (dcmi_cpu_calls.unmap(device, sizeof *device))
        (void)dcmi_cpu_calls.unmap(device, sizeof *device);
}

static dcmem_result
cpu_open(void **out_device, const dcmem_backend *backend, const dcmem_open *options)
{
    (void)backend;
    dcmem_result result = check_options(options);
    if (result)
        return result;
    pthread_once(&facts_once, facts_read);

    cpu_device *device = dcmi_cpu_calls.map(NULL, sizeof *device, PROT_READ | PROT_WRITE, 0);
    if (device == MAP_FAILED)
        return dcmi_fail_errno(DCMEM_E_NO_HOST_MEMORY, errno, "a device of %zu bytes", sizeof *device);
    result = check_node(device, options->numa_node);
    if (result)
        goto undo_device;

    device->memory.huge_pages = options->huge_pages;
    device->memory.numa_node = options->numa_node;
    devices_add(device);
    *out_device = device;
    return DCMEM_OK;

undo_device:
    device_unmap(device);
    return result;
}

static void
cpu_close(void *handle)
{
    cpu_device *device = handle;
    devices_remove(device);
    dcmi_cpu_memory_fini(&device->memory);
    device_unmap(device);
}

/* Of the chosen node where there are several, else of the machine; never more than the control group allows. */
static void
ask_memory(dcmem_device_info *info, const cpu_device *device)
{
    uint64_t total, free;
    info->total_bytes = dcmi_os_memory_total();
    info->free_bytes = dcmi_min(dcmi_os_memory_available(), info->total_bytes);
    if (device->memory.numa_node < 0 || dcmi_cpu_list_is_single(facts.nodes) ||
        !dcmi_cpu_node_memory(&total, &free, device->memory.numa_node))
        return;
    info->total_bytes = dcmi_min(info->total_bytes, total);
    info->free_bytes = dcmi_min(info->free_bytes, dcmi_min(free, total));
}

static dcmem_result
cpu_info(dcmem_device_info *out, void *handle)
{
    const cpu_device *device = handle;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    dcmem_device_info info = {
        .size = sizeof info,
        .backend = "cpu",
        .capabilities = CAPABILITIES,
        .kinds = ALL_KINDS,
        .heap_count = 1,
        .alignment = page,
        .granularity = page,
        .cache_line_bytes = facts.cache_line_bytes,
        .last_level_cache_bytes = facts.last_level_cache_bytes,
        .numa_node = device->memory.numa_node,
        .is_unified = true,
    };
    memcpy(info.name, facts.name, sizeof facts.name);
    memcpy(info.driver_version, facts.system, sizeof facts.system);
    memcpy(info.uuid, facts.uuid, sizeof facts.uuid);
    ask_memory(&info, device);
    info.largest_allocation_bytes = info.total_bytes;
    info.heaps[0] = (dcmem_heap_info){info.total_bytes, info.free_bytes, ALL_KINDS, 0};
    *out = info;
    return DCMEM_OK;
}

static dcmem_extent
extent_at(uint64_t address, uint64_t bytes, dcmem_kind kind, uint32_t flags)
{
    return (dcmem_extent){
        .object = address,
        .address = address,
        .bytes = bytes,
        .host = (void *)(uintptr_t)address,
        .kind = kind,
        .flags = flags,
    };
}

static dcmem_result
cpu_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    cpu_device *device = handle;
    dcmi_range range;
    if (request->kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "there is no memory kind %d", (int)request->kind);
    dcmem_result result = dcmi_cpu_memory_acquire(&range, &device->memory, request);
    if (result)
        return result;
    *out = extent_at(range.begin, dcmi_range_bytes(range), request->kind, 0);
    return DCMEM_OK;
}

static dcmem_result
cpu_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    cpu_device *device = handle;
    if (extent->flags & EXTENT_IMPORTED)
        return DCMEM_OK;
    return dcmi_cpu_memory_release(&device->memory, (dcmi_range){extent->address, extent->address + extent->bytes});
}

static void *
host_of(const dcmem_place *place)
{
    return (char *)(place->extent ? place->extent->host : place->host) + place->offset;
}

static dcmem_result
cpu_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)handle;
    (void)call;
    dcmi_cpu_copy(host_of(to), host_of(from), bytes);
    return DCMEM_OK;
}

static dcmem_result
cpu_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
         uint32_t pattern_bytes)
{
    (void)handle;
    (void)call;
    dcmi_cpu_fill(host_of(to), bytes, pattern, pattern_bytes);
    return DCMEM_OK;
}

static dcmem_result
cpu_map(void **out_host, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
        uint64_t bytes, uint32_t flags)
{
    (void)handle;
    (void)call;
    (void)bytes;
    (void)flags;
    *out_host = (char *)extent->host + offset;
    return DCMEM_OK;
}

static dcmem_result
cpu_unmap(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)handle;
    (void)call;
    (void)extent;
    (void)host;
    return DCMEM_OK;
}

/* Flush and invalidate: one side needs neither. */
static dcmem_result
cpu_no_need(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)handle;
    (void)call;
    (void)extent;
    (void)offset;
    (void)bytes;
    return DCMEM_OK;
}

static dcmem_result
cpu_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    (void)handle;
    (void)call;
    *out = extent_at((uintptr_t)host, bytes, DCMEM_KIND_HOST, EXTENT_IMPORTED);
    return DCMEM_OK;
}

/* Known to the registry by its name alone. */
extern const dcmem_backend dcmi_cpu_backend;

const dcmem_backend dcmi_cpu_backend = {
    .size = sizeof dcmi_cpu_backend,
    .contract = DCMEM_BACKEND_CONTRACT,
    .name = "cpu",
    .capabilities = CAPABILITIES,
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .acquire = cpu_acquire,
    .release = cpu_release,
    .copy = cpu_copy,
    .fill = cpu_fill,
    .map = cpu_map,
    .unmap = cpu_unmap,
    .flush = cpu_no_need,
    .invalidate = cpu_no_need,
    .import_host = cpu_import_host,
};
