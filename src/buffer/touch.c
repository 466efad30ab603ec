/* touch.c: the small copies and fills of touch.h. */
#include "buffer/touch.h"

#include "base/os.h"
#include "buffer/access.h"
#include "pool/cache.h"

#include <string.h>

#define LOCKED_MOST 16384u       /* in cache some hundred ns */
#define TOO_LARGE   (1ull << 20) /* from here on other stores than the C library's may be the better ones */

#define INLINE static inline __attribute__((always_inline))

typedef struct touch {
    dcmi_locked locked;
    dcmi_cache *cache; /* the thread's own, of this manager: where it counts */
    uint64_t ticket;   /* of the access, or 0: the lock is held */
    char *bytes;       /* the view's first one */
    uint8_t own;       /* the sides that it is about, as a state */
} touch;

/* Nobody but pins uses the buffer, and it can be used once more. */
INLINE bool
is_quiet(dcmi_locked locked)
{
    uint64_t use = dcmi_word_use(locked.word);
    if (locked.word & DCMI_WORD_BRINGING)
        return false;
    return DCMI_LIKELY(use == 0) || (use == dcmi_slot_more(locked.slot)->pins && use < DCMI_WORD_USE_MOST);
}

/* All bytes are in one state, which lets these be read, or is that of bytes all of which are written. */
INLINE bool
is_simple(const dcmi_slot *slot, const dcmem_view *view, uint8_t own, dcmi_operation operation)
{
    uint64_t bytes = dcmi_slot_bytes(slot);
    if (view->bytes > bytes || view->offset > bytes - view->bytes)
        return false;
    if (operation == DCMI_LOOK)
        return slot->state <= DCMI_STATE_BOTH && (slot->state & own);
    return slot->state == own || (view->bytes == bytes && slot->state != DCMI_STATE_RANGES);
}

/* Of another device than the CPU. */
static char *
block_of_device(const dcmi_cache *cache, const dcmi_slot *slot)
{
    if (slot->face != DCMI_FACE_SPLIT || (slot->traits & DCMI_TRAIT_KIND))
        return NULL;
    return dcmi_pool_direct(cache->pool, slot->address);
}

/* The block's first byte where the host may move bytes itself; NULL: nowhere. */
INLINE char *
find_block(uint8_t *own, const dcmi_cache *cache, dcmi_slot *slot)
{
    *own = DCMI_STATE_DEVICE;
    if (!cache || (slot->traits & DCMI_TRAIT_IMPORTED))
        return NULL; /* another manager's, or there is no block */
    if (!cache->is_host)
        return block_of_device(cache, slot);
    slot->face = DCMI_FACE_SHARED; /* which may not have been looked at yet */
    *own = DCMI_STATE_BOTH;
    return (char *)(uintptr_t)slot->address;
}

/* With an entry in the list for the lock. */
static void
enter(touch *it, dcmi_operation operation, uint64_t begin, uint64_t end)
{
    dcmi_locked locked = it->locked;
    it->ticket = dcmi_access_enter(&locked, operation, begin, end, it->own);
    dcmi_slot_leave(locked);
}

/* False: nothing has happened. */
INLINE bool
begin(touch *it, const dcmem_view *view, dcmi_operation operation)
{
    it->ticket = 0;
    if (view->bytes == 0 || view->bytes >= TOO_LARGE || !dcmi_slot_try_lock(&it->locked, view->buffer))
        return false;
    dcmi_slot *slot = it->locked.slot;
    dcmi_cache *cache = dcmi_cache_for((uintptr_t)dcmi_slot_manager(slot));
    char *block = is_quiet(it->locked) ? find_block(&it->own, cache, slot) : NULL;
    if (!block || !is_simple(slot, view, it->own, operation)) {
        dcmi_slot_leave(it->locked);
        return false;
    }
    if (operation == DCMI_WRITE && slot->state == it->own) {
        dcmi_count_add(&cache->copies_avoided, 1);
        dcmi_count_add(&cache->copies_avoided_bytes, view->bytes);
    }
    it->cache = cache;
    it->bytes = block + view->offset;
    if (view->bytes > LOCKED_MOST)
        enter(it, operation, view->offset, view->offset + view->bytes);
    return true;
}

INLINE void
end(const touch *it, const dcmem_view *view, dcmi_operation operation)
{
    if (it->ticket) {
        dcmi_access_leave(view->buffer, it->ticket);
        return;
    }
    if (operation == DCMI_WRITE)
        it->locked.slot->state = it->own;
    dcmi_slot_leave(it->locked);
}

/* `copies` and `bytes`: the direction's figures, where the memory is a device's. */
INLINE void
copy(const touch *it, void *to, const void *from, uint64_t bytes, dcmi_count *copies, dcmi_count *copied_bytes)
{
    dcmi_cache *cache = it->cache;
    bool is_host_s = it->own == DCMI_STATE_BOTH;
    dcmi_count_add(is_host_s ? &cache->copies_host_to_host : copies, 1);
    dcmi_count_add(is_host_s ? &cache->copied_host_to_host_bytes : copied_bytes, bytes);
    uint32_t weight = bytes < DCMI_COPY_ALWAYS_TIMED ? dcmi_cache_copy_weight(cache) : 1;
    uint64_t begun = DCMI_UNLIKELY(weight) ? dcmi_os_now_ns() : 0;
    memcpy(to, from, bytes);
    if (DCMI_UNLIKELY(weight))
        dcmi_pool_record_copy(cache->pool, begun, weight);
}

bool
dcmi_touch_write(const dcmem_view *to, const void *from)
{
    touch it;
    if (!begin(&it, to, DCMI_WRITE))
        return false;
    copy(&it, it.bytes, from, to->bytes, &it.cache->copies_host_to_device, &it.cache->copied_host_to_device_bytes);
    end(&it, to, DCMI_WRITE);
    return true;
}

bool
dcmi_touch_read(void *to, const dcmem_view *from)
{
    touch it;
    if (!begin(&it, from, DCMI_LOOK))
        return false;
    copy(&it, to, it.bytes, from->bytes, &it.cache->copies_device_to_host, &it.cache->copied_device_to_host_bytes);
    end(&it, from, DCMI_LOOK);
    return true;
}

bool
dcmi_touch_fill(const dcmem_view *view, uint8_t byte)
{
    touch it;
    if (!begin(&it, view, DCMI_WRITE))
        return false;
    dcmi_count_add(&it.cache->fills, 1);
    dcmi_count_add(&it.cache->filled_bytes, view->bytes);
    memset(it.bytes, byte, view->bytes);
    end(&it, view, DCMI_WRITE);
    return true;
}
