/* memory.c: raw memory: the hot paths, and around them what adaptors need. */
#include "base/size.h"
#include "guard/guard.h"
#include "manager/range.h"
#include "pool/hot.h"
#include "pool/inside.h"
#include "queue/queue.h"

#include <dcmem/memory.h>
#include <string.h>

#define MOST_ALIGNMENT (1ull << 30)

static inline dcmem_result
ask(dcmi_pool *pool, dcmem_gate_operation operation, const void *address, uint64_t bytes)
{
    if (!dcmi_has_gates())
        return DCMEM_OK;
    return dcmi_gate_ask(pool, &(dcmem_gate_call){.operation = operation, .address = address, .bytes = bytes});
}

static DCMI_COLD void *
allocate_slowly(dcmem_manager *manager, uint64_t bytes, uint64_t alignment)
{
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    if (!pool || ask(pool, DCMEM_GATE_raw_allocate, NULL, bytes))
        return NULL;
    return (void *)(uintptr_t)dcmi_guard_take(pool, bytes, alignment, DCMI_HOLDER_CALLER);
}

/* With the parameters of the call that gets here, so that they can stay where they are. */
static DCMI_COLD void *
allocate_slowly_any(dcmem_manager *manager, uint64_t bytes)
{
    return allocate_slowly(manager, bytes, 0);
}

static DCMI_COLD dcmem_result
free_slowly(dcmem_manager *manager, void *address)
{
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    if (!pool)
        return dcmem_last_detail()->result;
    bool was_used;
    dcmem_result result = DCMEM_OK;
    if (address && dcmi_pool_guard(pool))
        result = dcmi_uses_end(&was_used, pool, (uintptr_t)address);
    if (result)
        return result;
    if (address)
        result = dcmi_guard_give(pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
    if (result && result != DCMEM_E_CORRUPTED) {
        dcmem_result ended = dcmi_uses_end(&was_used, pool, (uintptr_t)address);
        if (was_used)
            result = ended ? ended : dcmi_pool_give(pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
        result = dcmi_uses_refuse(result, pool, (uintptr_t)address);
    }
    bool is_freed = !result || result == DCMEM_E_CORRUPTED;
    if (is_freed && address)
        (void)ask(pool, DCMEM_GATE_raw_free, address, 0); /* it is told; free cannot be refused */
    return result;
}

DCMI_HOT void *
dcmem_raw_allocate(dcmem_manager *manager, uint64_t bytes)
{
    uint64_t address = dcmi_pool_take_hot(dcmi_cache_current, manager, bytes, DCMI_HOLDER_CALLER);
    if (DCMI_LIKELY(address))
        return (void *)(uintptr_t)address;
    return allocate_slowly_any(manager, bytes);
}

DCMI_HOT dcmem_result
dcmem_raw_free(dcmem_manager *manager, void *address)
{
    if (DCMI_LIKELY(dcmi_pool_give_hot(dcmi_cache_current, manager, (uintptr_t)address, DCMI_HOLDER_CALLER)))
        return DCMEM_OK;
    return free_slowly(manager, address);
}

void *
dcmem_raw_allocate_aligned(dcmem_manager *manager, uint64_t bytes, uint64_t alignment)
{
    if (!dcmi_is_power_of_two(alignment) || alignment > MOST_ALIGNMENT) {
        dcmi_fail(DCMEM_E_MISALIGNED, "alignment is %llu; it must be a power of two up to 1 GiB",
                  (unsigned long long)alignment);
        return NULL;
    }
    return allocate_slowly(manager, bytes, alignment);
}

/* ---- Ranges within blocks ---- */

/* The same for whoever names the manager. */
static dcmem_result
range_find(dcmi_range *out, dcmem_manager *manager, const void *address, uint64_t bytes, const char *name)
{
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    return pool ? dcmi_range_find(out, pool, address, bytes, name) : dcmem_last_detail()->result;
}

static dcmem_result
copy_counted(dcmi_pool *pool, const dcmem_place *to, const dcmem_place *from, uint64_t bytes, enum dcmi_counter count,
             enum dcmi_counter count_bytes)
{
    uint32_t weight = dcmi_pool_copy_weight(pool, bytes);
    uint64_t begin = weight ? dcmi_os_now_ns() : 0;
    dcmem_result result = dcmi_device_copy(pool->device, 0, to, from, bytes);
    if (result) {
        dcmi_pool_add(pool, DCMI_COUNTER_copy_errors, 1);
        return result;
    }
    if (weight)
        dcmi_pool_record_copy(pool, begin, weight);
    dcmi_pool_add(pool, count, 1);
    dcmi_pool_add(pool, count_bytes, bytes);
    return DCMEM_OK;
}

void *
dcmem_raw_allocate_zeroed(dcmem_manager *manager, uint64_t count, uint64_t element_bytes)
{
    uint64_t bytes;
    if (!dcmi_size_mul(&bytes, count, element_bytes)) {
        dcmi_fail(DCMEM_E_OVERFLOW, "count %llu times element_bytes %llu overflows", (unsigned long long)count,
                  (unsigned long long)element_bytes);
        return NULL;
    }
    void *address = dcmem_raw_allocate(manager, bytes);
    if (!address)
        return NULL;
    dcmem_result result = dcmem_raw_set(manager, address, 0, bytes);
    if (result) {
        dcmem_detail cause = dcmi_detail_save();
        (void)dcmem_raw_free(manager, address);
        dcmi_detail_restore(&cause);
        return NULL;
    }
    return address;
}

/* Found alive before: only a racing free could make it fail, or damage, which a later call tells. */
static void
leave_block(dcmi_pool *pool, void *address)
{
    dcmem_manager *manager = dcmi_pool_manager(pool);
    if (!dcmi_pool_guard(pool)) {
        (void)dcmem_raw_free(manager, address);
        return;
    }
    dcmem_detail before = dcmi_detail_save();
    if (dcmem_raw_free(manager, address) == DCMEM_E_CORRUPTED)
        dcmi_guard_tell_later(pool);
    dcmi_detail_restore(&before);
}

void *
dcmem_raw_reallocate(dcmem_manager *manager, void *address, uint64_t bytes)
{
    if (!address)
        return dcmem_raw_allocate(manager, bytes);
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    dcmi_block block;
    if (!pool || dcmi_range_block_start(&block, pool, address))
        return NULL;
    if (ask(pool, DCMEM_GATE_raw_reallocate, address, bytes))
        return NULL;
    /* In place while it fits and at least half stays in use. */
    if (bytes > 0 && bytes <= block.capacity && bytes > block.capacity / 2 &&
        dcmi_guard_fits(pool, block.capacity, bytes)) {
        dcmi_pool_resize(pool, block.address, bytes, DCMI_HOLDER_CALLER);
        return address;
    }

    void *moved = dcmem_raw_allocate(manager, bytes);
    if (!moved)
        return NULL;
    bool was_used;
    dcmem_result result = dcmi_uses_end(&was_used, pool, (uintptr_t)address); /* what they still write is copied, too */
    if (!result)
        result = dcmem_raw_copy(manager, moved, address, dcmi_min(bytes, block.capacity));
    if (result) {
        dcmem_detail cause = dcmi_detail_save();
        (void)dcmem_raw_free(manager, moved);
        dcmi_detail_restore(&cause);
        return NULL;
    }
    leave_block(pool, address);
    return moved;
}

dcmem_result
dcmem_raw_usable_size(uint64_t *out, dcmem_manager *manager, const void *address)
{
    DCMI_REQUIRE(out);
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    if (!pool)
        return dcmem_last_detail()->result;
    dcmi_block block;
    dcmem_result result = dcmi_range_block_start(&block, pool, address);
    if (!result)
        *out = block.capacity;
    return result;
}

dcmem_result
dcmem_raw_set(dcmem_manager *manager, void *address, int value, uint64_t bytes)
{
    dcmi_range to;
    dcmem_result result = range_find(&to, manager, address, bytes, "address");
    if (result || bytes == 0)
        return result;
    result = ask(to.pool, DCMEM_GATE_raw_set, address, bytes);
    if (result)
        return result;
    dcmem_place place = dcmi_range_place(&to);
    unsigned char pattern = (unsigned char)value;
    result = dcmi_device_fill(to.pool->device, 0, &place, bytes, &pattern, 1);
    if (!result) {
        dcmi_pool_add(to.pool, DCMI_COUNTER_fills, 1);
        dcmi_pool_add(to.pool, DCMI_COUNTER_filled_bytes, bytes);
    }
    return result;
}

dcmem_result
dcmem_raw_copy(dcmem_manager *manager, void *to, const void *from, uint64_t bytes)
{
    dcmi_range target, source;
    dcmem_result result = range_find(&target, manager, to, bytes, "to");
    if (!result)
        result = range_find(&source, manager, from, bytes, "from");
    if (result || bytes == 0)
        return result;
    result = dcmi_range_check_apart(to, from, bytes);
    if (result)
        return result;
    result = ask(target.pool, DCMEM_GATE_raw_copy, to, bytes);
    if (result)
        return result;
    dcmem_place there = dcmi_range_place(&target), here = dcmi_range_place(&source);
    return copy_counted(target.pool, &there, &here, bytes, DCMI_COUNTER_copies_device_to_device,
                        DCMI_COUNTER_copied_device_to_device_bytes);
}

dcmem_result
dcmem_raw_write(dcmem_manager *manager, void *to, const void *host, uint64_t bytes)
{
    dcmi_range target;
    dcmem_result result = range_find(&target, manager, to, bytes, "to");
    if (result || bytes == 0)
        return result;
    DCMI_REQUIRE(host);
    result = ask(target.pool, DCMEM_GATE_raw_write, to, bytes);
    if (result)
        return result;
    dcmem_place there = dcmi_range_place(&target), here = {.host = (void *)(uintptr_t)host};
    return copy_counted(target.pool, &there, &here, bytes, DCMI_COUNTER_copies_host_to_device,
                        DCMI_COUNTER_copied_host_to_device_bytes);
}

dcmem_result
dcmem_raw_read(dcmem_manager *manager, void *host, const void *from, uint64_t bytes)
{
    dcmi_range source;
    dcmem_result result = range_find(&source, manager, from, bytes, "from");
    if (result || bytes == 0)
        return result;
    DCMI_REQUIRE(host);
    result = ask(source.pool, DCMEM_GATE_raw_read, from, bytes);
    if (result)
        return result;
    dcmem_place there = {.host = host}, here = dcmi_range_place(&source);
    return copy_counted(source.pool, &there, &here, bytes, DCMI_COUNTER_copies_device_to_host,
                        DCMI_COUNTER_copied_device_to_host_bytes);
}

dcmem_result
dcmem_raw_native(dcmem_native *out, dcmem_manager *manager, const void *address)
{
    DCMI_REQUIRE(out);
    dcmi_range at;
    dcmem_result result = range_find(&at, manager, address, 0, "address");
    if (result)
        return result;
    uint64_t left = at.block.capacity - ((uintptr_t)address - at.block.address);
    *out = dcmi_place_native(at.pool->device, &at.place, left);
    return DCMEM_OK;
}
