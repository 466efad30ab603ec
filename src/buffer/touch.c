/* touch.c: the small copies and fills of touch.h. */
#include "buffer/touch.h"

#include "base/os.h"
#include "buffer/access.h"
#include "pool/cache.h"

#include <string.h>

/* In cache some hundred ns. */
#define LOCKED_MOST 8192u

typedef struct touch {
    dcmi_locked locked;
    dcmi_cache *cache; /* the thread's own, of this manager: where it counts */
    dcmem_view view;
    uint64_t ticket; /* of the access, or 0: the lock is held */
    char *bytes;     /* the view's first one */
} touch;

/* Nobody but pins uses the buffer, and it can be used once more. */
static bool
is_quiet(const dcmi_locked *locked)
{
    uint64_t use = dcmi_word_use(locked->word);
    if (locked->word & DCMI_WORD_BRINGING)
        return false;
    return use == 0 || (use == dcmi_slot_more(locked->slot)->pins && use < DCMI_WORD_USE_MOST);
}

/* All bytes are in one state, which lets these be read, or is that of bytes all of which are written. */
static bool
is_simple(const dcmi_slot *slot, dcmem_view view, dcmi_operation operation)
{
    uint64_t bytes = dcmi_slot_bytes(slot);
    if (view.bytes > bytes || view.offset > bytes - view.bytes)
        return false;
    bool is_fresh = operation == DCMI_WRITE && view.bytes == bytes && slot->state != DCMI_STATE_RANGES;
    return slot->state == DCMI_STATE_BOTH || is_fresh;
}

/* Whether this thread works for the buffer's manager, on memory of the host. An imported buffer has no block. */
static bool
is_plain(const dcmi_slot *slot, const dcmi_cache *cache)
{
    return cache && dcmi_device_is_host(dcmi_pool_device(cache->pool)) && !(slot->traits & DCMI_TRAIT_IMPORTED);
}

/* False: nothing has happened. */
static bool
begin(touch *out, dcmem_view view, dcmi_operation operation)
{
    dcmi_locked locked;
    if (view.bytes == 0 || view.bytes >= DCMI_COPY_ALWAYS_TIMED || !dcmi_slot_try_lock(&locked, view.buffer))
        return false;
    dcmi_slot *slot = locked.slot;
    dcmi_cache *cache = dcmi_cache_for((uintptr_t)dcmi_slot_manager(slot));
    if (!is_plain(slot, cache) || !is_quiet(&locked) || !is_simple(slot, view, operation)) {
        dcmi_slot_unlock(&locked, false);
        return false;
    }
    slot->face = DCMI_FACE_SHARED; /* which may not have been looked at yet */
    if (operation == DCMI_WRITE && slot->state == DCMI_STATE_BOTH) {
        dcmi_count_add(&cache->copies_avoided, 1);
        dcmi_count_add(&cache->copies_avoided_bytes, view.bytes);
    }
    /* A block's address is that of its memory on such a device. */
    char *bytes = (char *)(uintptr_t)slot->address + view.offset;
    *out = (touch){locked, cache, view, 0, bytes};
    if (view.bytes <= LOCKED_MOST)
        return true;
    out->ticket = dcmi_access_enter(&out->locked, operation, view.offset, view.offset + view.bytes);
    dcmi_slot_unlock(&out->locked, false);
    return true;
}

static void
end(const touch *it, dcmi_operation operation)
{
    if (it->ticket) {
        dcmi_access_leave(it->view.buffer, it->ticket);
        return;
    }
    if (operation == DCMI_WRITE)
        it->locked.slot->state = DCMI_STATE_BOTH;
    dcmi_slot_unlock(&it->locked, false);
}

static void
copy(const touch *it, void *to, const void *from)
{
    uint32_t weight = dcmi_cache_copy_weight(it->cache);
    uint64_t begun = weight ? dcmi_os_now_ns() : 0;
    memcpy(to, from, it->view.bytes);
    if (weight)
        dcmi_pool_record_copy(it->cache->pool, begun, weight);
    dcmi_count_add(&it->cache->copies_host_to_host, 1);
    dcmi_count_add(&it->cache->copied_host_to_host_bytes, it->view.bytes);
}

bool
dcmi_touch_write(dcmem_view to, const void *from)
{
    touch it;
    if (!begin(&it, to, DCMI_WRITE))
        return false;
    copy(&it, it.bytes, from);
    end(&it, DCMI_WRITE);
    return true;
}

bool
dcmi_touch_read(void *to, dcmem_view from)
{
    touch it;
    if (!begin(&it, from, DCMI_LOOK))
        return false;
    copy(&it, to, it.bytes);
    end(&it, DCMI_LOOK);
    return true;
}

bool
dcmi_touch_fill(dcmem_view view, uint8_t byte)
{
    touch it;
    if (!begin(&it, view, DCMI_WRITE))
        return false;
    memset(it.bytes, byte, view.bytes);
    dcmi_count_add(&it.cache->fills, 1);
    dcmi_count_add(&it.cache->filled_bytes, view.bytes);
    end(&it, DCMI_WRITE);
    return true;
}
