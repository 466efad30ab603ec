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
#include "drivers/cpu/pages.h"
#include "drivers/cpu/queues.h"
#include "drivers/cpu/shares.h"

#include <dcmem/backend.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXTENT_IMPORTED 1u
#define EXTENT_SHARED   2u /* extent.driver is its file */

#define ALL_KINDS    (DCMEM_KIND_BIT(DCMEM_KIND_COUNT) - 1)
#define GROUPS       (DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | DCMEM_CAP_VIRTUAL | DCMEM_CAP_IMPORT | DCMEM_CAP_IPC)
#define CAPABILITIES (GROUPS | DCMEM_CAP_UNIFIED | DCMEM_CAP_DIVISIBLE | DCMEM_CAP_ADDRESSED)

typedef struct cpu_device {
    struct cpu_device *next;
    dcmi_cpu_memory memory;
    dcmi_cpu_pages pages;
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
    for (cpu_device *device = devices; device; device = device->next) {
        dcmi_lock_take(&device->memory.lock);
        dcmi_lock_take(&device->pages.lock);
    }
    dcmi_cpu_queues_before_fork();
}

static void
drop_locks(void) DCMI_UNCHECKED
{
    for (cpu_device *device = devices; device; device = device->next) {
        dcmi_lock_drop(&device->pages.lock);
        dcmi_lock_drop(&device->memory.lock);
    }
    dcmi_lock_drop(&devices_lock);
}

static void
in_parent(void)
{
    dcmi_cpu_queues_after_fork();
    drop_locks();
}

static void
in_child(void)
{
    dcmi_cpu_queues_in_child();
    drop_locks();
}

__attribute__((constructor)) static void
watch_fork(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a growth is what is lost. */
    (void)pthread_atfork(before_fork, in_parent, in_child);
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
    dcmi_cpu_pages_fini(&device->pages);
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
        .page_bytes = page,
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
        .direct = (void *)(uintptr_t)address,
    };
}

static dcmem_extent
extent_of(const dcmi_cpu_share *share, dcmem_kind kind)
{
    dcmem_extent extent = extent_at(share->range.begin, dcmi_range_bytes(share->range), kind, EXTENT_SHARED);
    extent.driver = (uint64_t)share->file;
    return extent;
}

static dcmi_cpu_share
share_of(const dcmem_extent *extent)
{
    return (dcmi_cpu_share){{extent->address, extent->address + extent->bytes}, (int)extent->driver};
}

static dcmem_result
acquire_shared(dcmem_extent *out, cpu_device *device, const dcmem_acquire *request)
{
    dcmi_cpu_share share;
    dcmem_result result = dcmi_cpu_share_create(&share, &device->memory, request);
    if (!result)
        *out = extent_of(&share, request->kind);
    return result;
}

static dcmem_result
cpu_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    cpu_device *device = handle;
    dcmi_range range;
    if (request->kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "there is no memory kind %d", (int)request->kind);
    if (request->flags & DCMEM_ACQUIRE_SHARED)
        return acquire_shared(out, device, request);
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
    if (extent->flags & EXTENT_SHARED) {
        const dcmi_cpu_share share = share_of(extent);
        return dcmi_cpu_share_destroy(&device->memory, &share);
    }
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

/* ---- ASYNC ---- */

static dcmem_result
cpu_queue_open(void **out_queue, void *handle, const dcmem_native_context *native)
{
    (void)handle;
    dcmi_cpu_queue *queue;
    if (native)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the CPU has no native queues that could be lent");
    dcmem_result result = dcmi_cpu_queue_open(&queue);
    if (!result)
        *out_queue = queue;
    return result;
}

static void
cpu_queue_close(void *handle, void *queue)
{
    (void)handle;
    dcmi_cpu_queue_close(queue);
}

static dcmem_result
cpu_enqueue_copy(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                 const dcmem_place *from, uint64_t bytes)
{
    (void)handle;
    (void)call;
    const dcmi_cpu_work work = {.to = host_of(to), .from = host_of(from), .bytes = bytes};
    return dcmi_cpu_queue_submit(out_value, queue, &work);
}

static dcmem_result
cpu_enqueue_fill(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                 uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    (void)handle;
    (void)call;
    dcmi_cpu_work work = {.to = host_of(to), .bytes = bytes, .pattern_bytes = pattern_bytes};
    DCMI_REQUIRE(pattern_bytes >= 1 && pattern_bytes <= sizeof work.pattern);
    memcpy(work.pattern, pattern, pattern_bytes);
    return dcmi_cpu_queue_submit(out_value, queue, &work);
}

static dcmem_result
cpu_queue_mark(uint64_t *out_value, void *handle, void *queue)
{
    (void)handle;
    *out_value = dcmi_cpu_queue_submitted(queue);
    return DCMEM_OK;
}

static uint64_t
cpu_queue_completed(void *handle, void *queue)
{
    (void)handle;
    return dcmi_cpu_queue_completed(queue);
}

static dcmem_result
cpu_queue_wait(void *handle, void *queue, uint64_t value, uint64_t timeout_ns)
{
    (void)handle;
    return dcmi_cpu_queue_wait(queue, value, timeout_ns);
}

/* ---- VIRTUAL ---- */

static dcmem_result
cpu_reserve(uint64_t *out_address, void *handle, uint64_t bytes, uint64_t alignment)
{
    cpu_device *device = handle;
    dcmi_range range;
    dcmem_result result = dcmi_cpu_memory_reserve(&range, &device->memory, bytes, alignment);
    if (!result)
        *out_address = range.begin;
    return result;
}

static dcmem_result
cpu_unreserve(void *handle, uint64_t address, uint64_t bytes)
{
    cpu_device *device = handle;
    return dcmi_cpu_memory_unreserve(&device->memory, (dcmi_range){address, address + bytes});
}

static dcmem_result
cpu_page_create(uint64_t *out_page, void *handle, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
{
    (void)call;
    cpu_device *device = handle;
    return dcmi_cpu_page_create(out_page, &device->pages, bytes, kind);
}

static dcmem_result
cpu_page_destroy(void *handle, const dcmem_call *call, uint64_t page)
{
    (void)call;
    cpu_device *device = handle;
    return dcmi_cpu_page_destroy(&device->pages, page);
}

static dcmem_result
cpu_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
             uint64_t bytes)
{
    (void)call;
    cpu_device *device = handle;
    return dcmi_cpu_page_map(&device->pages, &device->memory, address, page, page_offset, bytes);
}

static dcmem_result
cpu_page_unmap(void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes)
{
    (void)handle;
    (void)call;
    return dcmi_cpu_page_unmap(address, bytes);
}

/* ---- IPC ---- */

static dcmem_result
cpu_ipc_export(dcmem_ipc_handle *out, void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)handle;
    (void)call;
    if (!(extent->flags & EXTENT_SHARED))
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the memory was acquired without DCMEM_ACQUIRE_SHARED");
    const dcmi_cpu_share share = share_of(extent);
    return dcmi_cpu_share_export(out, &share, extent->kind);
}

static dcmem_result
cpu_ipc_import(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_ipc_handle *from)
{
    (void)call;
    cpu_device *device = handle;
    dcmi_cpu_share share;
    dcmem_kind kind;
    dcmem_result result = dcmi_cpu_share_import(&share, &kind, &device->memory, from);
    if (!result)
        *out = extent_of(&share, kind);
    return result;
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
    .queue_open = cpu_queue_open,
    .queue_close = cpu_queue_close,
    .enqueue_copy = cpu_enqueue_copy,
    .enqueue_fill = cpu_enqueue_fill,
    .queue_mark = cpu_queue_mark,
    .queue_completed = cpu_queue_completed,
    .queue_wait = cpu_queue_wait,
    .reserve = cpu_reserve,
    .unreserve = cpu_unreserve,
    .page_create = cpu_page_create,
    .page_destroy = cpu_page_destroy,
    .page_map = cpu_page_map,
    .page_unmap = cpu_page_unmap,
    .import_host = cpu_import_host,
    .ipc_export = cpu_ipc_export,
    .ipc_import = cpu_ipc_import,
};
