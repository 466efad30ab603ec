/* range.c: see range.h. */
#include "manager/range.h"

#include "base/fail.h"
#include "guard/guard.h"
#include "pool/inside.h"
#include "queue/queue.h"

/* A block that queues use is the caller's, too, though the library holds it. */
static bool
is_used_on_queues(dcmi_block *out, dcmi_pool *pool, const void *address)
{
    if (dcmi_pool_guard(pool))
        return false;
    dcmem_detail cause = dcmi_detail_save();
    dcmi_block block;
    bool is_used = dcmi_pool_find(&block, pool, (uintptr_t)address) == DCMEM_OK && dcmi_uses_has(pool, block.address);
    dcmi_detail_restore(&cause);
    if (is_used)
        *out = block;
    return is_used;
}

dcmem_result
dcmi_range_block(dcmi_block *out, dcmi_pool *pool, const void *address)
{
    dcmem_result result = dcmi_guard_find(out, pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
    return result && is_used_on_queues(out, pool, address) ? DCMEM_OK : result;
}

dcmem_result
dcmi_range_block_start(dcmi_block *out, dcmi_pool *pool, const void *address)
{
    dcmem_result result = dcmi_guard_find_start(out, pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
    bool is_used = result && is_used_on_queues(out, pool, address) && out->address == (uintptr_t)address;
    return is_used ? DCMEM_OK : result;
}

dcmem_result
dcmi_range_find(dcmi_range *out, dcmi_pool *pool, const void *address, uint64_t bytes, const char *name)
{
    out->pool = pool;
    dcmem_result result = dcmi_range_block(&out->block, pool, address);
    if (result)
        return result;
    uint64_t left = out->block.capacity - ((uintptr_t)address - out->block.address);
    if (bytes > left)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "%s: %llu bytes from %p, the block ends after %llu", name,
                         (unsigned long long)bytes, address, (unsigned long long)left);
    return dcmi_pool_place(&out->place, pool, (uintptr_t)address);
}

dcmem_result
dcmi_range_check_apart(const void *to, const void *from, uint64_t bytes)
{
    uint64_t a = (uintptr_t)to, b = (uintptr_t)from, apart = a > b ? a - b : b - a;
    if (apart >= bytes)
        return DCMEM_OK;
    return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the ranges overlap: %p and %p, %llu bytes", to, from,
                     (unsigned long long)bytes);
}
