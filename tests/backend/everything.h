/* everything.h: the CPU with every group of the contract, done in the plainest way: for the clauses of groups that no
 * driver has yet. */
#ifndef DCMI_TEST_EVERYTHING_H
#define DCMI_TEST_EVERYTHING_H

#include <dcmem/backend.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static dcmem_backend everything_cpu; /* a copy of the real one */

static dcmem_result
everything_info(dcmem_device_info *out, void *device)
{
    dcmem_result result = everything_cpu.info(out, device);
    out->capabilities = 0; /* the table's */
    return result;
}

/* ---- ASYNC: a queue whose work is done before enqueue returns ---- */

typedef struct everything_queue {
    uint64_t value;
} everything_queue;

static dcmem_result
everything_queue_open(void **out_queue, void *device, const dcmem_native_context *native)
{
    (void)device;
    (void)native;
    *out_queue = calloc(1, sizeof(everything_queue));
    return *out_queue ? DCMEM_OK : DCMEM_E_NO_HOST_MEMORY;
}

static void
everything_queue_close(void *device, void *queue)
{
    (void)device;
    free(queue);
}

static dcmem_result
everything_enqueue_copy(uint64_t *out_value, void *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                        const dcmem_place *from, uint64_t bytes)
{
    *out_value = ++((everything_queue *)queue)->value;
    return everything_cpu.copy(device, call, to, from, bytes);
}

static dcmem_result
everything_enqueue_fill(uint64_t *out_value, void *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                        uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    *out_value = ++((everything_queue *)queue)->value;
    return everything_cpu.fill(device, call, to, bytes, pattern, pattern_bytes);
}

static dcmem_result
everything_queue_mark(uint64_t *out_value, void *device, void *queue)
{
    (void)device;
    *out_value = ++((everything_queue *)queue)->value;
    return DCMEM_OK;
}

static uint64_t
everything_queue_completed(void *device, void *queue)
{
    (void)device;
    return ((everything_queue *)queue)->value;
}

static dcmem_result
everything_queue_wait(void *device, void *queue, uint64_t value, uint64_t timeout_ns)
{
    (void)timeout_ns;
    return value <= everything_queue_completed(device, queue) ? DCMEM_OK : DCMEM_E_INVALID_ARGUMENT;
}

/* ---- VIRTUAL: a page is a file in memory ---- */

static dcmem_result
everything_reserve(uint64_t *out_address, void *device, uint64_t bytes, uint64_t alignment)
{
    (void)device;
    uint64_t unit = alignment > 4096 ? alignment : 4096;
    if (bytes > 1ull << 46)
        return DCMEM_E_NO_MEMORY;
    void *address = mmap(NULL, bytes + unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
        return DCMEM_E_NO_MEMORY;
    uint64_t begin = ((uintptr_t)address + unit - 1) & ~(unit - 1);
    if (begin > (uintptr_t)address)
        munmap(address, begin - (uintptr_t)address);
    munmap((void *)(uintptr_t)(begin + bytes), (uintptr_t)address + unit - begin);
    *out_address = begin;
    return DCMEM_OK;
}

static dcmem_result
everything_unreserve(void *device, uint64_t address, uint64_t bytes)
{
    (void)device;
    return munmap((void *)(uintptr_t)address, bytes) ? DCMEM_E_DRIVER : DCMEM_OK;
}

static dcmem_result
everything_page_create(uint64_t *out_page, void *device, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
{
    (void)device;
    (void)call;
    if (kind >= DCMEM_KIND_COUNT)
        return DCMEM_E_UNSUPPORTED;
    if (bytes > 1ull << 40)
        return dcmem_backend_fail(DCMEM_E_NO_MEMORY, "everything", 0, "a page of %llu bytes",
                                  (unsigned long long)bytes);
    int file = memfd_create("page", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)bytes))
        return DCMEM_E_NO_MEMORY;
    *out_page = (uint64_t)file;
    return DCMEM_OK;
}

static dcmem_result
everything_page_destroy(void *device, const dcmem_call *call, uint64_t page)
{
    (void)device;
    (void)call;
    return close((int)page) ? DCMEM_E_DRIVER : DCMEM_OK;
}

static dcmem_result
everything_page_map(void *device, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
                    uint64_t bytes)
{
    (void)device;
    (void)call;
    void *mapped = mmap((void *)(uintptr_t)address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)page,
                        (off_t)page_offset);
    return mapped == MAP_FAILED ? DCMEM_E_NO_MEMORY : DCMEM_OK;
}

static dcmem_result
everything_page_unmap(void *device, const dcmem_call *call, uint64_t address, uint64_t bytes)
{
    (void)device;
    (void)call;
    void *mapped = mmap((void *)(uintptr_t)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return mapped == MAP_FAILED ? DCMEM_E_NO_MEMORY : DCMEM_OK;
}

/* ---- PEER and IPC: one process, one memory ---- */

static dcmem_result
everything_peer_can(bool *out, void *device, void *peer)
{
    (void)device;
    (void)peer;
    *out = true;
    return DCMEM_OK;
}

static int everything_peers; /* enabled now */

static dcmem_result
everything_peer_enable(void *device, void *peer)
{
    (void)device;
    (void)peer;
    everything_peers++;
    return DCMEM_OK;
}

static dcmem_result
everything_peer_disable(void *device, void *peer)
{
    (void)device;
    (void)peer;
    if (!everything_peers)
        return DCMEM_E_WRONG_STATE;
    everything_peers--;
    return DCMEM_OK;
}

static dcmem_result
everything_peer_copy(void *device, const dcmem_call *call, const dcmem_place *to, void *peer, const dcmem_place *from,
                     uint64_t bytes)
{
    (void)peer;
    return everything_peers ? everything_cpu.copy(device, call, to, from, bytes) : DCMEM_E_WRONG_STATE;
}

static dcmem_result
everything_ipc_export(dcmem_ipc_handle *out, void *device, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)device;
    (void)call;
    *out = (dcmem_ipc_handle){.kind = 1, .fd = -1, .memory_bytes = extent->bytes};
    memcpy(out->bytes, &extent->host, sizeof extent->host);
    return DCMEM_OK;
}

static dcmem_result
everything_ipc_import(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_ipc_handle *handle)
{
    void *host;
    if (handle->kind != 1)
        return DCMEM_E_INVALID_ARGUMENT;
    memcpy(&host, handle->bytes, sizeof host);
    return everything_cpu.import_host(out, device, call, host, handle->memory_bytes);
}

static inline const dcmem_backend *
everything(void)
{
    static dcmem_backend table;
    everything_cpu = *dcmem_backend_find("cpu");
    table = everything_cpu;
    table.name = "everything";
    table.capabilities |= DCMEM_CAP_GROUPS;
    table.info = everything_info;
    table.queue_open = everything_queue_open;
    table.queue_close = everything_queue_close;
    table.enqueue_copy = everything_enqueue_copy;
    table.enqueue_fill = everything_enqueue_fill;
    table.queue_mark = everything_queue_mark;
    table.queue_completed = everything_queue_completed;
    table.queue_wait = everything_queue_wait;
    table.reserve = everything_reserve;
    table.unreserve = everything_unreserve;
    table.page_create = everything_page_create;
    table.page_destroy = everything_page_destroy;
    table.page_map = everything_page_map;
    table.page_unmap = everything_page_unmap;
    table.peer_can = everything_peer_can;
    table.peer_enable = everything_peer_enable;
    table.peer_disable = everything_peer_disable;
    table.peer_copy = everything_peer_copy;
    table.ipc_export = everything_ipc_export;
    table.ipc_import = everything_ipc_import;
    return &table;
}

#endif
