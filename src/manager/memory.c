/* memory.c: raw memory: the hot paths, and around them what adaptors need. */
#include "base/size.h"
#include "guard/guard.h"
#include "pool/hot.h"
#include "pool/inside.h"

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

static DCMI_COLD dcmem_result
free_slowly(dcmem_manager *manager, void *address)
{
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    if (!pool)
        return dcmem_last_detail()->result;
    dcmem_result result = address ? dcmi_guard_give(pool, (uintptr_t)address, DCMI_HOLDER_CALLER) : DCMEM_OK;
    bool is_freed = !result || result == DCMEM_E_CORRUPTED;
    if (is_freed && address)
        (void)ask(pool, DCMEM_GATE_raw_free, address, 0); /* it is told; free cannot be refused */
    return result;
}

void *
dcmem_raw_allocate(dcmem_manager *manager, uint64_t bytes)
{
    uint64_t address = dcmi_pool_take_hot(manager, bytes, DCMI_HOLDER_CALLER);
    if (DCMI_LIKELY(address))
        return (void *)(uintptr_t)address;
    return allocate_slowly(manager, bytes, 0);
}

dcmem_result
dcmem_raw_free(dcmem_manager *manager, void *address)
{
    if (DCMI_LIKELY(dcmi_pool_give_hot(manager, (uintptr_t)address, DCMI_HOLDER_CALLER)))
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

typedef struct range {
    dcmi_pool *pool;
    dcmi_place place;
    dcmi_block block;
} range;

/* Where `bytes` from `address` lie, all within one live block. */
static dcmem_result
range_find(range *out, dcmem_manager *manager, const void *address, uint64_t bytes, const char *name)
{
    out->pool = dcmi_pool_resolve(manager);
    if (!out->pool)
        return dcmem_last_detail()->result;
    dcmem_result result = dcmi_guard_find(&out->block, out->pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
    if (result)
        return result;
    uint64_t left = out->block.capacity - ((uintptr_t)address - out->block.address);
    if (bytes > left)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "%s: %llu bytes from %p, the block ends after %llu", name,
                         (unsigned long long)bytes, address, (unsigned long long)left);
    return dcmi_pool_place(&out->place, out->pool, (uintptr_t)address);
}

static dcmem_place
place_of(const range *of)
{
    return (dcmem_place){.extent = &of->place.extent, .offset = of->place.offset, .host = of->place.host};
}

static dcmem_result
copy_counted(dcmi_pool *pool, const dcmem_place *to, const dcmem_place *from, uint64_t bytes, enum dcmi_counter count,
             enum dcmi_counter count_bytes)
{
    uint64_t begin = dcmi_os_now_ns();
    dcmem_result result = dcmi_device_copy(pool->device, 0, to, from, bytes);
    if (result) {
        dcmi_pool_add(pool, DCMI_COUNTER_copy_errors, 1);
        return result;
    }
    dcmi_pool_record(pool, DCMI_HISTOGRAM_copy_latency, dcmi_os_now_ns() - begin);
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
    if (!pool || dcmi_guard_find_start(&block, pool, (uintptr_t)address, DCMI_HOLDER_CALLER))
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
    dcmem_result result = dcmem_raw_copy(manager, moved, address, dcmi_min(bytes, block.capacity));
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
    dcmem_result result = dcmi_guard_find_start(&block, pool, (uintptr_t)address, DCMI_HOLDER_CALLER);
    if (!result)
        *out = block.capacity;
    return result;
}

dcmem_result
dcmem_raw_set(dcmem_manager *manager, void *address, int value, uint64_t bytes)
{
    range to;
    dcmem_result result = range_find(&to, manager, address, bytes, "address");
    if (result || bytes == 0)
        return result;
    result = ask(to.pool, DCMEM_GATE_raw_set, address, bytes);
    if (result)
        return result;
    dcmem_place place = place_of(&to);
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
    range target, source;
    dcmem_result result = range_find(&target, manager, to, bytes, "to");
    if (!result)
        result = range_find(&source, manager, from, bytes, "from");
    if (result || bytes == 0)
        return result;
    uint64_t a = (uintptr_t)to, b = (uintptr_t)from, apart = a > b ? a - b : b - a;
    if (apart < bytes)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the ranges overlap: %p and %p, %llu bytes", to, from,
                         (unsigned long long)bytes);
    result = ask(target.pool, DCMEM_GATE_raw_copy, to, bytes);
    if (result)
        return result;
    dcmem_place there = place_of(&target), here = place_of(&source);
    return copy_counted(target.pool, &there, &here, bytes, DCMI_COUNTER_copies_device_to_device,
                        DCMI_COUNTER_copied_device_to_device_bytes);
}

dcmem_result
dcmem_raw_write(dcmem_manager *manager, void *to, const void *host, uint64_t bytes)
{
    range target;
    dcmem_result result = range_find(&target, manager, to, bytes, "to");
    if (result || bytes == 0)
        return result;
    DCMI_REQUIRE(host);
    result = ask(target.pool, DCMEM_GATE_raw_write, to, bytes);
    if (result)
        return result;
    dcmem_place there = place_of(&target), here = {.host = (void *)(uintptr_t)host};
    return copy_counted(target.pool, &there, &here, bytes, DCMI_COUNTER_copies_host_to_device,
                        DCMI_COUNTER_copied_host_to_device_bytes);
}

dcmem_result
dcmem_raw_read(dcmem_manager *manager, void *host, const void *from, uint64_t bytes)
{
    range source;
    dcmem_result result = range_find(&source, manager, from, bytes, "from");
    if (result || bytes == 0)
        return result;
    DCMI_REQUIRE(host);
    result = ask(source.pool, DCMEM_GATE_raw_read, from, bytes);
    if (result)
        return result;
    dcmem_place there = {.host = host}, here = place_of(&source);
    return copy_counted(source.pool, &there, &here, bytes, DCMI_COUNTER_copies_device_to_host,
                        DCMI_COUNTER_copied_device_to_host_bytes);
}

dcmem_result
dcmem_raw_native(dcmem_native *out, dcmem_manager *manager, const void *address)
{
    DCMI_REQUIRE(out);
    range at;
    dcmem_result result = range_find(&at, manager, address, 0, "address");
    if (result)
        return result;
    uint64_t left = at.block.capacity - ((uintptr_t)address - at.block.address);
    *out = dcmi_place_native(at.pool->device, &at.place, left);
    return DCMEM_OK;
}
