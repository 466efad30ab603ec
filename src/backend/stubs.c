/* stubs.c: what stands in for the functions of an absent group, so that the core never compares one with NULL. */
#include "backend/contract.h"

#include "base/fail.h"

/* A stub has its function's parameters and needs but one of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

static dcmem_result
refuse(const void *stubbed, const char *group, const char *function)
{
    const dcmem_backend *backend = stubbed;
    return dcmi_fail(DCMEM_E_UNSUPPORTED, "backend %s has no %s: it is without DCMEM_CAP_%s", backend->name, function,
                     group);
}

#define STUB(group, function, ...)                                                                                     \
    static dcmem_result stub_##function(__VA_ARGS__)                                                                   \
    {                                                                                                                  \
        return refuse(device, #group, #function);                                                                      \
    }

STUB(MAP, map, void **out_host, void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
     uint64_t bytes, uint32_t flags)
STUB(MAP, unmap, void *device, const dcmem_call *call, const dcmem_extent *extent, void *host)
STUB(MAP, flush, void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
STUB(MAP, invalidate, void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)

STUB(ASYNC, queue_open, void **out_queue, void *device, const dcmem_native_context *native)
STUB(ASYNC, enqueue_copy, uint64_t *out_value, void *device, void *queue, const dcmem_call *call, const dcmem_place *to,
     const dcmem_place *from, uint64_t bytes)
STUB(ASYNC, enqueue_fill, uint64_t *out_value, void *device, void *queue, const dcmem_call *call, const dcmem_place *to,
     uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
STUB(ASYNC, queue_mark, uint64_t *out_value, void *device, void *queue)
STUB(ASYNC, queue_wait, void *device, void *queue, uint64_t value, uint64_t timeout_ns)

/* There is no queue that these two could be given. */
static void
stub_queue_close(void *device, void *queue)
{
}

static uint64_t
stub_queue_completed(void *device, void *queue)
{
    return 0;
}

STUB(VIRTUAL, reserve, uint64_t *out_address, void *device, uint64_t bytes, uint64_t alignment)
STUB(VIRTUAL, unreserve, void *device, uint64_t address, uint64_t bytes)
STUB(VIRTUAL, page_create, uint64_t *out_page, void *device, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
STUB(VIRTUAL, page_destroy, void *device, const dcmem_call *call, uint64_t page)
STUB(VIRTUAL, page_map, void *device, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
     uint64_t bytes)
STUB(VIRTUAL, page_unmap, void *device, const dcmem_call *call, uint64_t address, uint64_t bytes)

STUB(PEER, peer_can, bool *out, void *device, void *peer)
STUB(PEER, peer_enable, void *device, void *peer)
STUB(PEER, peer_disable, void *device, void *peer)
STUB(PEER, peer_copy, void *device, const dcmem_call *call, const dcmem_place *to, void *peer, const dcmem_place *from,
     uint64_t bytes)

STUB(IMPORT, import_host, dcmem_extent *out, void *device, const dcmem_call *call, void *host, uint64_t bytes)

STUB(IPC, ipc_export, dcmem_ipc_handle *out, void *device, const dcmem_call *call, const dcmem_extent *extent)
STUB(IPC, ipc_import, dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_ipc_handle *handle)

void
dcmi_contract_fill_stubs(dcmem_backend *ops, uint64_t capabilities)
{
#define DCMEM_X(group, function)                                                                                       \
    if (!(capabilities & DCMI_CAP_##group))                                                                            \
        ops->function = stub_##function;
    DCMI_CONTRACT_GROUPS(DCMEM_X)
#undef DCMEM_X
}
