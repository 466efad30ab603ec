/* resize.c: another size for a buffer: in its block where that fits, else by moving what is written to a new one.
 *
 * As with opening an access (access.c): look under the lock, fetch without it, look again. A block is left for a
 * smaller one only if less than half of it would be used. */
#include "base/log.h"
#include "base/os.h"
#include "base/size.h"
#include "buffer/access.h"
#include "buffer/contents.h"
#include "buffer/gate.h"
#include "buffer/side.h"
#include "guard/guard.h"

typedef struct resizing {
    uint64_t bytes;
    dcmi_locked locked;
    dcmi_pool *pool;
    bool moves_block, moves_shadow;
    bool wants_block, wants_shadow;

    /* What is fetched for it; afterwards what it left behind. */
    uint64_t address; /* of a block */
    dcmi_shadow shadow;
} resizing;

/* ---- What it takes ---- */

static bool
must_leave(const dcmi_pool *pool, uint64_t capacity, uint64_t bytes)
{
    bool is_worth_it = capacity > DCMI_PAGE && bytes <= capacity / 2;
    return bytes > capacity || is_worth_it || !dcmi_guard_fits(pool, capacity, bytes);
}

static dcmem_result
check(resizing *of)
{
    const dcmi_slot *slot = of->locked.slot;
    uint64_t use = dcmi_word_use(of->locked.word);
    if (slot->traits & DCMI_TRAIT_IMPORTED)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "imported memory has the size that it has");
    if (use)
        return dcmi_fail(DCMEM_E_BUSY, "%llu accesses and pins are open", (unsigned long long)use);
    dcmem_result result = dcmi_side_pool(&of->pool, slot);
    return result ? result : dcmi_side_know_face(of->locked.slot);
}

static dcmem_result
plan(resizing *of)
{
    const dcmi_slot *slot = of->locked.slot;
    const dcmi_more *more = dcmi_slot_ready_more(of->locked.slot);
    dcmi_block block;
    dcmem_result result = dcmi_guard_find(&block, of->pool, slot->address, DCMI_HOLDER_LIBRARY);
    if (result)
        return result;
    of->moves_block = must_leave(of->pool, block.capacity, of->bytes);
    of->moves_shadow = (slot->traits & DCMI_TRAIT_HOST) && must_leave(of->pool, more->host_capacity, of->bytes);
    of->wants_block = of->moves_block && !of->address;
    of->wants_shadow = of->moves_shadow && !of->shadow.address;
    return DCMEM_OK;
}

/* Without the lock: taking memory may call the user. */
static dcmem_result
fetch(resizing *of, uint64_t alignment)
{
    if (of->wants_block) {
        of->address = dcmi_guard_take(of->pool, of->bytes, alignment, DCMI_HOLDER_LIBRARY);
        if (!of->address)
            return dcmem_last_detail()->result;
    }
    return of->wants_shadow ? dcmi_shadow_take(&of->shadow, of->pool, of->bytes, alignment) : DCMEM_OK;
}

/* ---- Moving ---- */

/* Copies what is current on `side` and stays. */
static dcmem_result
move_side(const resizing *of, const dcmi_site *to, dcmem_side side)
{
    const dcmi_slot *slot = of->locked.slot;
    uint64_t next, end = dcmi_min(of->bytes, dcmi_slot_bytes(slot));
    dcmi_errand errand = {.tag = slot->tag};
    for (uint64_t offset = 0; offset < end; offset = next) {
        dcmi_state state = dcmi_contents_at(&next, slot, offset);
        next = dcmi_min(next, end);
        if (state == DCMI_STATE_LOST || !((unsigned)state & DCMEM_SIDE_BIT(side)))
            continue;
        dcmi_site from, at = dcmi_site_at(to, offset);
        dcmem_result result = dcmi_side_site(&from, slot, side, offset);
        if (!result)
            result = dcmi_carry(&at, &from, next - offset, &errand);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

static dcmem_result
move(resizing *of)
{
    dcmi_site block = {.pool = of->pool}, shadow = {.pool = of->shadow.pool, .is_host = true};
    dcmem_result result = DCMEM_OK;
    if (of->moves_block)
        result = dcmi_pool_place(&block.place, of->pool, of->address);
    if (!result && of->moves_shadow)
        result = dcmi_pool_place(&shadow.place, of->shadow.pool, of->shadow.address);
    if (!result)
        result = dcmi_slot_bring(&of->locked);
    if (result)
        return result;
    if (of->moves_block)
        result = move_side(of, &block, DCMEM_SIDE_DEVICE);
    if (!result && of->moves_shadow)
        result = move_side(of, &shadow, DCMEM_SIDE_HOST);
    dcmi_slot_brought(&of->locked);
    return result;
}

/* Blocks that stay are in use for another size. */
static void
resize_in_place(const resizing *of)
{
    const dcmi_slot *slot = of->locked.slot;
    const dcmi_more *more = dcmi_slot_more(slot);
    if (!of->moves_block)
        dcmi_pool_resize(of->pool, slot->address, of->bytes, DCMI_HOLDER_LIBRARY);
    if (!of->moves_shadow && (slot->traits & DCMI_TRAIT_HOST))
        dcmi_pool_resize(more->host_pool, more->host_address, of->bytes, DCMI_HOLDER_LIBRARY);
}

/* What the buffer leaves takes the place of what it got. */
static void
commit(resizing *of)
{
    dcmi_slot *slot = of->locked.slot;
    if (of->moves_shadow) {
        dcmi_shadow left = dcmi_shadow_detach(slot);
        dcmi_shadow_attach(slot, &of->shadow);
        of->shadow = left;
    }
    if (of->moves_block) {
        uint64_t address = slot->address;
        slot->address = of->address;
        of->address = address;
    }
    resize_in_place(of);
    uint64_t old = dcmi_slot_bytes(slot);
    dcmi_contents_resize(slot, of->bytes);
    atomic_store_explicit(&slot->bytes, of->bytes, memory_order_release);
    if (slot->tag)
        dcmi_pool_tag(of->pool, slot->tag, (int64_t)(of->bytes - old), 0);
    dcmi_side_label(slot);
}

/* What was fetched and not used, or what was left. */
static void
clean_up(resizing *of, bool scrubs, dcmem_tag tag)
{
    dcmem_detail cause = dcmi_detail_save();
    dcmi_shadow_give(&of->shadow, scrubs);
    /* The buffer has moved and cannot move back; a driver that can neither fill nor copy shows the bytes to nobody. */
    if (of->address && scrubs && dcmi_block_scrub(of->pool, of->address, tag))
        dcmi_log(DCMEM_LOG_WARNING, "buffer", "not scrubbed: %s", dcmem_last_detail()->message);
    if (of->address && dcmi_guard_drop(of->pool, of->address, DCMI_HOLDER_LIBRARY))
        dcmi_log(DCMEM_LOG_ERROR, "buffer", "a block was not given back: %s", dcmem_last_detail()->message);
    dcmi_detail_restore(&cause);
}

/* One look. False: what is missing was fetched, or *result says why not; the lock is not held then. */
static bool
try_resize(dcmem_result *result, resizing *of, dcmem_buffer *buffer)
{
    *result = dcmi_slot_lock_still(&of->locked, buffer);
    if (*result)
        return false;
    *result = check(of);
    if (!*result)
        *result = plan(of);
    if (!*result && (of->wants_block || of->wants_shadow)) {
        uint64_t alignment = 1ull << of->locked.slot->alignment_shift;
        dcmi_slot_unlock(&of->locked, false);
        *result = fetch(of, alignment);
        return false;
    }
    if (!*result && (of->moves_block || of->moves_shadow))
        *result = move(of);
    if (!*result)
        commit(of);
    return true;
}

dcmem_result
dcmem_buffer_resize(dcmem_buffer *buffer, uint64_t bytes)
{
    DCMI_REQUIRE(bytes > 0);
    resizing of = {.bytes = bytes};
    dcmem_result result = dcmi_gate_ask_buffer(DCMEM_GATE_resize, buffer, bytes);
    if (result)
        return result;
    while (dcmi_access_settle(buffer)) /* what queues still do with it comes first */
        ;
    bool is_locked, scrubs = false;
    dcmem_tag tag = 0;
    do
        is_locked = try_resize(&result, &of, buffer);
    while (!is_locked && !result);

    if (is_locked) {
        scrubs = of.locked.slot->flags & DCMEM_BUFFER_SCRUB;
        tag = of.locked.slot->tag;
        dcmi_slot_unlock(&of.locked, true);
    }
    clean_up(&of, scrubs, tag);
    return result;
}
