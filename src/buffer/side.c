/* side.c: pools, places and shadows of a slot's two sides. See side.h. */
#include "buffer/side.h"

#include "base/log.h"
#include "guard/guard.h"

#include <string.h>

dcmem_result
dcmi_side_pool(dcmi_pool **out, const dcmi_slot *slot)
{
    dcmi_pool *root = dcmi_pool_resolve(dcmi_slot_manager(slot));
    if (!root)
        return dcmem_last_detail()->result;
    if ((slot->traits & DCMI_TRAIT_KIND) && !(slot->traits & DCMI_TRAIT_IMPORTED))
        return dcmi_pool_of_kind(out, root, (dcmem_kind)slot->kind);
    *out = root;
    return DCMEM_OK;
}

/* The place of the device side's first byte. */
static dcmem_result
device_place(dcmi_place *out, const dcmi_slot *slot, dcmi_pool *pool)
{
    if (!(slot->traits & DCMI_TRAIT_IMPORTED))
        return dcmi_pool_place(out, pool, slot->address);
    dcmem_extent extent = dcmi_slot_more(slot)->imported;
    *out = (dcmi_place){.extent = extent, .host = extent.host};
    return DCMEM_OK;
}

dcmem_result
dcmi_side_know_face(dcmi_slot *slot)
{
    if (slot->face != DCMI_FACE_UNKNOWN)
        return DCMEM_OK;
    dcmi_pool *pool;
    dcmi_place place;
    dcmem_result result = dcmi_side_pool(&pool, slot);
    if (!result)
        result = device_place(&place, slot, pool);
    if (result)
        return result;

    dcmi_device *device = dcmi_pool_device(pool);
    bool can_map = dcmi_device_has(device, DCMEM_CAP_MAP);
    if (place.host)
        slot->face = DCMI_FACE_SHARED;
    else
        slot->face = slot->kind == DCMEM_KIND_HOST_VISIBLE && can_map ? DCMI_FACE_MAPPED : DCMI_FACE_SPLIT;
    slot->is_flushed = slot->face != DCMI_FACE_SPLIT && can_map && device->info.flush_bytes > 0 &&
                       slot->kind != DCMEM_KIND_HOST && slot->kind != DCMEM_KIND_PINNED;
    return DCMEM_OK;
}

/* Whether a pool's memory is the host's own. */
static bool
is_host_memory(const dcmi_pool *pool)
{
    dcmem_kind kind = dcmi_pool_kind(pool);
    return kind == DCMEM_KIND_HOST || kind == DCMEM_KIND_PINNED ||
           dcmi_device_has(dcmi_pool_device(pool), DCMEM_CAP_UNIFIED);
}

static dcmem_result
shadow_site(dcmi_site *out, const dcmi_slot *slot)
{
    const dcmi_more *more = dcmi_slot_more(slot);
    *out = (dcmi_site){.pool = more->host_pool, .is_host = true};
    return dcmi_pool_place(&out->place, more->host_pool, more->host_address);
}

dcmem_result
dcmi_side_site_in(dcmi_site *out, const dcmi_slot *slot, dcmi_pool *pool, dcmem_side side, uint64_t offset)
{
    dcmem_result result;
    /* Made where it is wanted: a copy of what was written just now would wait for it. */
    if (side == DCMEM_SIDE_HOST && slot->face == DCMI_FACE_SPLIT)
        result = shadow_site(out, slot);
    else {
        out->pool = pool;
        out->is_host = (slot->traits & DCMI_TRAIT_IMPORTED) || is_host_memory(pool);
        result = device_place(&out->place, slot, pool);
    }
    if (result)
        return result;
    /* Another device's driver would go past this one's caches. */
    if (slot->is_flushed && side == DCMEM_SIDE_DEVICE)
        out->place.host = NULL;
    dcmi_site_move(out, offset);
    return DCMEM_OK;
}

dcmem_result
dcmi_side_site(dcmi_site *out, const dcmi_slot *slot, dcmem_side side, uint64_t offset)
{
    dcmi_pool *pool;
    dcmem_result result = dcmi_side_pool(&pool, slot);
    return result ? result : dcmi_side_site_in(out, slot, pool, side, offset);
}

uint64_t
dcmi_side_unit(const dcmi_slot *slot, const dcmi_pool *pool)
{
    return slot->is_flushed ? dcmi_pool_device(pool)->info.flush_bytes : 1;
}

dcmem_result
dcmi_block_scrub(dcmi_pool *pool, uint64_t address, dcmem_tag tag)
{
    dcmi_block block;
    dcmi_site site = {.pool = pool};
    dcmem_result result = dcmi_guard_find(&block, pool, address, DCMI_HOLDER_LIBRARY);
    if (!result)
        result = dcmi_pool_place(&site.place, pool, address);
    if (!result)
        result = dcmi_carry_scrub(&site, block.capacity, tag);
    return result == DCMEM_E_DEVICE_LOST ? DCMEM_OK : result;
}

/* ---- Shadows ---- */

dcmem_result
dcmi_shadow_take(dcmi_shadow *out, dcmi_pool *pool, uint64_t bytes, uint64_t alignment)
{
    dcmi_shadow shadow = {0};
    dcmi_block block;
    dcmem_result result = dcmi_pool_of_kind(&shadow.pool, dcmi_pool_root(pool), DCMEM_KIND_HOST);
    if (result)
        return result;
    shadow.address = dcmi_guard_take(shadow.pool, bytes, alignment, DCMI_HOLDER_LIBRARY);
    if (!shadow.address) {
        /* To a pool all memory is its device's; this memory is the host's. */
        if (dcmem_last_detail()->result == DCMEM_E_NO_MEMORY)
            return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "host side: %s", dcmem_last_detail()->message);
        return dcmem_last_detail()->result;
    }
    result = dcmi_guard_find(&block, shadow.pool, shadow.address, DCMI_HOLDER_LIBRARY);
    shadow.capacity = result ? bytes : block.capacity;
    *out = shadow;
    return DCMEM_OK;
}

dcmem_result
dcmi_shadow_end(const dcmi_shadow *shadow, bool scrubs)
{
    dcmi_place place;
    if (!shadow->address)
        return DCMEM_OK;
    if (scrubs && !dcmi_pool_place(&place, shadow->pool, shadow->address))
        memset(place.host, 0, shadow->capacity);
    dcmem_result result = dcmi_guard_give(shadow->pool, shadow->address, DCMI_HOLDER_LIBRARY);
    if (!result || result == DCMEM_E_CORRUPTED)
        return result;
    dcmi_log(DCMEM_LOG_ERROR, "buffer", "a host side was not given back: %s", dcmem_last_detail()->message);
    return DCMEM_OK;
}

void
dcmi_shadow_give(const dcmi_shadow *shadow, bool scrubs)
{
    if (!shadow->address)
        return;
    dcmem_detail before = dcmi_detail_save();
    if (dcmi_shadow_end(shadow, scrubs)) {
        dcmi_guard_tell_later(shadow->pool);
        dcmi_detail_restore(&before);
    }
}

void
dcmi_side_label(const dcmi_slot *slot)
{
    dcmi_pool *root = dcmi_pool_resolve(dcmi_slot_manager(slot)), *pool;
    if (!root || !dcmi_pool_guard(root) || dcmi_side_pool(&pool, slot))
        return;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    dcmem_buffer *buffer = dcmi_slot_handle(slot, dcmi_word_generation(word));
    if (!(slot->traits & DCMI_TRAIT_IMPORTED))
        dcmi_guard_label(pool, slot->address, buffer, slot->tag, false);
    const dcmi_more *more = dcmi_slot_more(slot);
    if (slot->traits & DCMI_TRAIT_HOST)
        dcmi_guard_label(more->host_pool, more->host_address, buffer, slot->tag, true);
}

void
dcmi_shadow_attach(dcmi_slot *slot, dcmi_shadow *shadow)
{
    dcmi_more *more = dcmi_slot_ready_more(slot);
    more->host_pool = shadow->pool;
    more->host_address = shadow->address;
    more->host_capacity = shadow->capacity;
    slot->traits |= DCMI_TRAIT_HOST;
    dcmi_pool_adjust(shadow->pool, DCMI_GAUGE_HOST_SIDE, (int64_t)shadow->capacity);
    dcmi_side_label(slot);
    *shadow = (dcmi_shadow){0};
}

dcmi_shadow
dcmi_shadow_detach(dcmi_slot *slot)
{
    dcmi_more *more = dcmi_slot_more(slot);
    dcmi_shadow shadow = {more->host_pool, more->host_address, more->host_capacity};
    more->host_pool = NULL;
    more->host_address = more->host_capacity = 0;
    slot->traits &= ~DCMI_TRAIT_HOST;
    dcmi_pool_adjust(shadow.pool, DCMI_GAUGE_HOST_SIDE, -(int64_t)shadow.capacity);
    return shadow;
}
