/* access.c: how an access is opened and closed. See access.h.
 *
 * Opening is a loop: lock the slot, look at everything, and either enter the access or leave again to wait or to fetch
 * what is missing (a host side, room in a list), which must not happen under the lock. */
#include "buffer/access.h"

#include "base/os.h"
#include "base/size.h"
#include "buffer/bundle.h"
#include "pool/hot.h"

#include <stdlib.h>
#include <string.h>

#define MOST_OPENS        (1u << 20)
#define MOST_PARTS        (1u << 26) /* that open accesses may cut out: their ends have room reserved */
#define WATCHED_NAP_NS    2000000ull /* how long one sleeps while somebody may want the waiting to end */
#define TICKET_INDEX_BITS 21u        /* index + 1: no ticket is 0 */
#define TICKET_INDEX_MASK ((1ull << TICKET_INDEX_BITS) - 1)
#define UNIFIED_SIDES     ((unsigned)DCMI_STATE_BOTH)

/* ---- What may be missing ---- */

/* Fetched without the lock, used up under it. What is wanted is a need that the last look at the slot found. */
typedef struct supplies {
    bool wants_shadow;
    uint32_t wants_words;
    uint32_t wants_opens;
    dcmi_rows *rows; /* a copy of the wish's, which the access keeps */
    dcmi_shadow shadow;
    uint64_t *words;
    uint32_t word_capacity;
    dcmi_open *opens;
    uint32_t open_capacity;
} supplies;

static dcmem_result
fetch_array(void **out, uint32_t *out_capacity, uint32_t count, size_t element_bytes)
{
    free(*out);
    *out = NULL;
    void *array = dcmi_slot_realloc(NULL, count * element_bytes);
    if (!array)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "%u entries for parts of a buffer", count);
    *out = array;
    *out_capacity = count;
    return DCMEM_OK;
}

static dcmem_result
supplies_fetch(supplies *supply, dcmi_pool *pool, uint64_t bytes, uint64_t alignment)
{
    dcmem_result result = DCMEM_OK;
    if (supply->wants_shadow) {
        dcmi_shadow_give(&supply->shadow, false);
        supply->shadow = (dcmi_shadow){0};
        result = dcmi_shadow_take(&supply->shadow, pool, bytes, alignment);
    }
    void *array = supply->words;
    if (!result && supply->wants_words) {
        result = fetch_array(&array, &supply->word_capacity, supply->wants_words, sizeof(uint64_t));
        supply->words = array;
    }
    array = supply->opens;
    if (!result && supply->wants_opens) {
        result = fetch_array(&array, &supply->open_capacity, supply->wants_opens, sizeof(dcmi_open));
        supply->opens = array;
    }
    supply->wants_shadow = false;
    supply->wants_words = supply->wants_opens = 0;
    return result;
}

static dcmem_result
supplies_init(supplies *supply, const dcmi_wish *wish)
{
    *supply = (supplies){0};
    if (!wish->rows)
        return DCMEM_OK;
    CHECK(wish->operation == DCMI_WRITE || wish->operation == DCMI_LOOK);
    supply->rows = dcmi_slot_realloc(NULL, sizeof *supply->rows);
    if (!supply->rows)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a box");
    *supply->rows = *wish->rows;
    return DCMEM_OK;
}

static void
supplies_fini(supplies *supply)
{
    free(supply->rows);
    dcmi_shadow_give(&supply->shadow, false);
    free(supply->words);
    free(supply->opens);
}

static bool
supplies_wanted(const supplies *supply)
{
    return supply->wants_shadow || supply->wants_words || supply->wants_opens;
}

/* ---- An attempt: everything that is known while the slot is locked ---- */

typedef struct attempt {
    const dcmi_wish *wish;
    dcmi_locked locked;
    dcmi_pool *pool;
    dcmem_side side;
    unsigned own;
    uint64_t begin, end;
    uint64_t copy_bytes, zero_bytes, avoided_bytes;
    dcmi_open *open; /* once it is in the list */
    dcmi_site site;
} attempt;

static bool
is_whole(const attempt *try)
{
    return !try->wish->rows && try->begin == 0 && try->end == dcmi_slot_bytes(try->locked.slot);
}

static dcmem_result
take_range(attempt *try)
{
    const dcmem_view *view = &try->wish->view;
    uint64_t bytes = dcmi_slot_bytes(try->locked.slot);
    if (view->bytes == 0)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "a view of 0 bytes");
    if (view->bytes > bytes || view->offset > bytes - view->bytes)
        return dcmi_fail(DCMEM_E_STALE_VIEW, "%llu bytes from %llu do not lie within a buffer of %llu",
                         (unsigned long long)view->bytes, (unsigned long long)view->offset, (unsigned long long)bytes);
    try->begin = view->offset;
    try->end = view->offset + view->bytes;
    return DCMEM_OK;
}

/* Whether there can be room for the states of so many rows. */
static dcmem_result
check_rows(const attempt *try)
{
    const dcmi_slot *slot = try->locked.slot;
    if (!try->wish->rows || !dcmi_operation_writes(try->wish->operation))
        return DCMEM_OK;
    uint64_t parts = dcmi_rows_count(try->wish->rows);
    if (slot->traits & DCMI_TRAIT_MORE)
        parts += dcmi_slot_more(slot)->parts;
    if (parts <= MOST_PARTS)
        return DCMEM_OK;
    return dcmi_fail(DCMEM_E_LIMIT, "%llu rows are to be written at once, the most there can be are %u",
                     (unsigned long long)parts, MOST_PARTS);
}

static dcmem_result
take_side(attempt *try)
{
    dcmi_slot *slot = try->locked.slot;
    bool has_shadow = slot->traits & DCMI_TRAIT_HOST;
    dcmem_result result = dcmi_side_pool(&try->pool, slot);
    if (!result)
        result = dcmi_side_know_face(slot);
    if (result)
        return result;

    bool is_split = slot->face == DCMI_FACE_SPLIT;
    try->side = try->wish->side;
    if (try->wish->is_near)
        try->side = is_split && has_shadow ? DCMEM_SIDE_HOST : DCMEM_SIDE_DEVICE;
    try->own = is_split ? DCMEM_SIDE_BIT(try->side) : UNIFIED_SIDES;
    if (try->wish->needs_shadow && is_split && !has_shadow && try->side == DCMEM_SIDE_HOST)
        return dcmi_fail(DCMEM_E_WRONG_STATE, "the buffer has no host side yet: nobody can have written there");
    return DCMEM_OK;
}

/* ---- Conflicts ---- */

/* Its user has ended it, and a queue works on. */
static bool
is_queued(const dcmi_open *open)
{
    return open->use.batch || open->use.value;
}

/* Where memory is brought together in units, a host's access reaches to their ends. */
static uint64_t
reach_begin(uint64_t begin, dcmem_side side, uint64_t unit)
{
    return side == DCMEM_SIDE_HOST ? dcmi_round_down(begin, unit) : begin;
}

static uint64_t
reach_end(uint64_t end, dcmem_side side, uint64_t unit)
{
    return side == DCMEM_SIDE_HOST ? dcmi_round_down(end + unit - 1, unit) : end;
}

/* Whether two that reach into each other's ranges share a byte. Rows are nobody's who touches memory by the host, so
 * they reach no further than they are. */
static bool
rows_meet(const attempt *try, const dcmi_open *open, uint64_t unit)
{
    const dcmi_rows *rows = try->wish->rows;
    if (!open->has_rows && !rows)
        return true;
    if (open->has_rows && rows)
        return dcmi_rows_overlap(rows, open->rows);
    if (open->has_rows)
        return dcmi_rows_touch(open->rows, reach_begin(try->begin, try->side, unit),
                               reach_end(try->end, try->side, unit));
    dcmem_side side = (dcmem_side)open->side;
    return dcmi_rows_touch(rows, reach_begin(open->begin, side, unit), reach_end(open->end, side, unit));
}

static bool
conflicts_with(const attempt *try, const dcmi_open *open, uint64_t unit)
{
    dcmem_side side = (dcmem_side)open->side;
    return dcmi_operation_conflicts(try->wish->operation, (dcmi_operation)open->operation) &&
           reach_begin(try->begin, try->side, unit) < reach_end(open->end, side, unit) &&
           reach_begin(open->begin, side, unit) < reach_end(try->end, try->side, unit) && rows_meet(try, open, unit);
}

/* What a queue does comes in its order: no conflict with what it does later. */
static bool
is_in_order(const attempt *try, const dcmi_open *open)
{
    return is_queued(open) && open->use.queue == try->wish->queue;
}

/* The first open access that stands in the way, or NULL. */
static dcmi_open *
find_conflict(const attempt *try)
{
    const dcmi_slot *slot = try->locked.slot;
    const dcmi_more *more = dcmi_slot_more(slot);
    if (!(slot->traits & DCMI_TRAIT_MORE) || try->wish->operation == DCMI_WRITE_SHARED)
        return NULL;
    if (more->writers == 0 && (more->readers == 0 || !dcmi_operation_writes(try->wish->operation)))
        return NULL;

    uint64_t unit = dcmi_side_unit(slot, try->pool);
    for (uint32_t i = 0; i < more->open_capacity; i++) {
        dcmi_open *open = &more->opens[i];
        if (open->ticket && conflicts_with(try, open, unit) && !is_in_order(try, open))
            return open;
    }
    return NULL;
}

/* ---- Leaving the list ---- */

static uint32_t *
count_of(dcmi_more *more, dcmi_operation operation)
{
    if (operation == DCMI_WRITE_SHARED)
        return &more->sharers;
    return dcmi_operation_writes(operation) ? &more->writers : &more->readers;
}

static void
leave(dcmi_locked *locked, dcmi_open *open)
{
    dcmi_more *more = dcmi_slot_more(locked->slot);
    --*count_of(more, (dcmi_operation)open->operation);
    more->parts -= (uint32_t)dcmi_open_parts(locked->slot, open);
    *open = (dcmi_open){.begin = more->open_spare};
    more->open_spare = (uint32_t)(open - more->opens) + 1;
    locked->word -= DCMI_WORD_USE;
}

/* What became of the bytes. */
static void
apply_end(dcmi_slot *slot, const dcmi_open *open, dcmi_closing closing)
{
    dcmi_operation operation = (dcmi_operation)open->operation;
    dcmi_state after[DCMI_STATE_COUNT];
    bool is_aborted = closing == DCMI_CLOSE_ABORT;
    if (!dcmi_operation_writes(operation) || closing == DCMI_CLOSE_UNUSED)
        return;
    /* Mostly all bytes are in one state, which they keep: one question instead of the table. */
    if (slot->state != DCMI_STATE_RANGES &&
        dcmi_coherence_end(operation, open->own, (dcmi_state)slot->state, is_aborted) == (dcmi_state)slot->state)
        return;
    for (int state = 0; state < DCMI_STATE_COUNT; state++)
        after[state] = dcmi_coherence_end(operation, open->own, (dcmi_state)state, is_aborted);
    if (open->has_rows)
        dcmi_contents_map_rows(slot, open->rows, after);
    else
        dcmi_contents_map(slot, open->begin, open->end, after);
}

/* ---- Work of queues ---- */

/* The work of a queued access is done: it leaves. What failed work was to write is not to be trusted. */
static void
retire(dcmi_locked *locked, dcmi_open *open, bool has_failed)
{
    if (has_failed)
        apply_end(locked->slot, open, DCMI_CLOSE_ABORT);
    leave(locked, open);
}

/* Those whose work is done and cannot have failed unseen; whether there were any. */
static bool
retire_done(dcmi_locked *locked)
{
    dcmi_more *more = dcmi_slot_more(locked->slot);
    bool is_any = false;
    for (uint32_t i = 0; i < more->open_capacity; i++) {
        dcmi_open *open = &more->opens[i];
        if (!open->ticket || !is_queued(open) || dcmi_operation_writes((dcmi_operation)open->operation))
            continue;
        if (!dcmi_use_is_done(open->use))
            continue;
        retire(locked, open, false);
        is_any = true;
    }
    return is_any;
}

/* Gives the lock back and waits until the work is done, as long as that takes: it needs nobody's leave to end. */
static dcmem_result
wait_for_queue(dcmi_locked *locked, const dcmi_open *open)
{
    const dcmem_buffer *buffer = dcmi_slot_handle(locked->slot, dcmi_word_generation(locked->word));
    dcmi_use use = open->use;
    uint32_t index = (uint32_t)(open - dcmi_slot_more(locked->slot)->opens);
    dcmi_slot_unlock(locked, false);

    dcmem_result failed = DCMEM_OK;
    dcmem_result result = dcmi_use_wait(use, UINT64_MAX, &failed);
    if (result || dcmi_slot_lock_still(locked, buffer))
        return result ? result : dcmem_last_detail()->result;
    dcmi_open *waited = &dcmi_slot_more(locked->slot)->opens[index];
    bool is_same = waited->ticket && waited->use.queue == use.queue && waited->use.batch == use.batch &&
                   waited->use.value == use.value;
    if (is_same)
        retire(locked, waited, failed != DCMEM_OK);
    dcmi_slot_unlock(locked, true);
    return DCMEM_OK;
}

/* ---- Looking at the bytes and at what is there ---- */

/* What the table says of each range: the first refusal, or how many bytes need which work. */
static dcmem_result
survey_row(attempt *try, uint64_t begin, uint64_t end)
{
    uint64_t next;
    for (uint64_t offset = begin; offset < end; offset = next) {
        dcmi_state state = dcmi_contents_at(&next, try->locked.slot, offset);
        next = dcmi_min(next, end);
        dcmi_step step = dcmi_coherence_begin(try->wish->operation, try->own, state);
        if (step.result)
            return dcmi_fail(step.result, "bytes %llu to %llu were %s", (unsigned long long)offset,
                             (unsigned long long)next, step.result == DCMEM_E_LOST ? "lost" : "never written");
        try->copy_bytes += step.work == DCMI_WORK_COPY ? next - offset : 0;
        try->zero_bytes += step.work == DCMI_WORK_ZERO ? next - offset : 0;
        try->avoided_bytes += step.is_avoided ? next - offset : 0;
    }
    return DCMEM_OK;
}

static dcmem_result
survey(attempt *try)
{
    const dcmi_rows *rows = try->wish->rows;
    dcmem_result result = DCMEM_OK;
    try->copy_bytes = try->zero_bytes = try->avoided_bytes = 0;
    if (!rows)
        return survey_row(try, try->begin, try->end);
    for (uint64_t i = 0; i < dcmi_rows_count(rows) && !result; i++) {
        uint64_t begin = dcmi_rows_at(rows, i);
        result = survey_row(try, begin, begin + rows->row_bytes);
    }
    return result;
}

static bool
needs_host_memory(const attempt *try)
{
    if (try->locked.slot->face != DCMI_FACE_SPLIT || try->side != DCMEM_SIDE_HOST)
        return false;
    return try->wish->operation != DCMI_LOOK && (!try->wish->is_by_hand || try->copy_bytes > 0);
}

static void
equip_shadow(attempt *try, supplies *supply)
{
    dcmi_slot *slot = try->locked.slot;
    if (!needs_host_memory(try) || (slot->traits & DCMI_TRAIT_HOST))
        return;
    if (supply->shadow.address && supply->shadow.capacity >= dcmi_slot_bytes(slot))
        dcmi_shadow_attach(slot, &supply->shadow);
    else
        supply->wants_shadow = true;
}

/* Room for the cuts of this beginning, of this end, and of the ends of all that are open. */
static void
equip_ranges(attempt *try, supplies *supply)
{
    dcmi_slot *slot = try->locked.slot;
    bool writes = dcmi_operation_writes(try->wish->operation);
    uint64_t mine = try->wish->rows ? dcmi_rows_count(try->wish->rows) : 1;
    uint64_t parts = dcmi_slot_more(slot)->parts + (writes ? mine : 0);
    if (is_whole(try) || (!writes && !try->copy_bytes) || dcmi_contents_has_room(slot, parts))
        return;
    uint64_t room = dcmi_contents_room(slot, parts);
    if (supply->words && supply->word_capacity >= room) {
        dcmi_contents_move(slot, supply->words, supply->word_capacity);
        supply->words = NULL;
    } else
        supply->wants_words = (uint32_t)(2 * room);
}

static dcmem_result
equip_opens(attempt *try, supplies *supply)
{
    dcmi_more *more = dcmi_slot_more(try->locked.slot);
    if (more->open_spare || retire_done(&try->locked))
        return DCMEM_OK;
    if (more->open_capacity == MOST_OPENS)
        return dcmi_fail(DCMEM_E_LIMIT, "%u accesses are open on one buffer, the most there can be", MOST_OPENS);
    if (supply->opens && supply->open_capacity > more->open_capacity) {
        dcmi_more_move_opens(more, supply->opens, supply->open_capacity);
        supply->opens = NULL;
    } else
        supply->wants_opens = 4 * more->open_capacity < MOST_OPENS ? 4 * more->open_capacity : MOST_OPENS;
    return DCMEM_OK;
}

/* Uses supplies for what is missing; what is missing still is noted in them. */
static dcmem_result
equip(attempt *try, supplies *supply)
{
    if (dcmi_word_use(try->locked.word) == DCMI_WORD_USE_MOST)
        return dcmi_fail(DCMEM_E_LIMIT, "a buffer is pinned and opened %llu times", DCMI_WORD_USE_MOST);
    dcmi_slot_ready_more(try->locked.slot);
    equip_shadow(try, supply);
    equip_ranges(try, supply);
    return equip_opens(try, supply);
}

/* ---- Entering the list ---- */

/* Index and number of an access in one word. A slot's numbers are scattered over their bits, each to a place of its own
 * and every slot's differently: a ticket that was miscalculated, or is another buffer's, fits nothing. */
static uint64_t
ticket_make(const dcmi_slot *slot, uint64_t number, uint32_t index)
{
    const unsigned bits = 64 - TICKET_INDEX_BITS;
    const uint64_t mask = (1ull << bits) - 1;
    uint64_t key = (dcmi_slots.secret + dcmi_slot_index(slot)) * 0xd6e8feb86659fd93ull >> 16;
    uint64_t mixed = number & mask;
    for (int round = 0; round < 2; round++) {
        mixed = (mixed * 0x9e3779b97f4a7c15ull + key) & mask;
        mixed ^= mixed >> (bits / 2);
    }
    return mixed << TICKET_INDEX_BITS | (index + 1);
}

/* There is a spare entry. It takes the rows, which may be NULL. */
static dcmi_open *
enter(dcmi_locked *locked, dcmi_operation operation, uint64_t begin, uint64_t end, dcmi_rows *rows, dcmem_side side,
      unsigned own)
{
    dcmi_slot *slot = locked->slot;
    dcmi_more *more = dcmi_slot_more(slot);
    uint32_t index = more->open_spare - 1;
    dcmi_open *open = &more->opens[index];
    more->open_spare = (uint32_t)open->begin;
    *open = (dcmi_open){
        .ticket = ticket_make(slot, ++more->tickets, index),
        .begin = begin,
        .end = end,
        .operation = (uint8_t)operation,
        .side = (uint8_t)side,
        .own = (uint8_t)own,
    };
    if (rows) {
        open->rows = rows;
        open->has_rows = true;
    }
    ++*count_of(more, operation);
    more->parts += (uint32_t)dcmi_open_parts(slot, open);
    locked->word += DCMI_WORD_USE;
    return open;
}

static dcmi_open *
find_open(const dcmi_slot *slot, uint64_t ticket)
{
    const dcmi_more *more = dcmi_slot_more(slot);
    uint64_t index = (ticket & TICKET_INDEX_MASK) - 1;
    if (!(slot->traits & DCMI_TRAIT_MORE) || index >= more->open_capacity)
        return NULL;
    return more->opens[index].ticket == ticket ? &more->opens[index] : NULL;
}

/* ---- The work before: copies, zeros, maps ---- */

static dcmem_result
copy_range(const attempt *try, dcmi_bundle *bundle, uint64_t offset, uint64_t bytes)
{
    dcmi_slot *slot = try->locked.slot;
    dcmem_side other = try->side == DCMEM_SIDE_HOST ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST;
    dcmi_site to, from;
    dcmem_result result = dcmi_side_site(&to, slot, try->side, offset);
    if (!result)
        result = dcmi_side_site(&from, slot, other, offset);
    return result ? result : dcmi_bundle_add(bundle, &to, &from, bytes);
}

static dcmem_result
zero_range(const attempt *try, uint64_t offset, uint64_t bytes)
{
    dcmi_site to = dcmi_site_at(&try->site, offset - try->begin);
    dcmem_place place = {.extent = &to.place.extent, .offset = to.place.offset};
    return dcmi_device_fill(dcmi_pool_device(to.pool), try->locked.slot->tag, &place, bytes, "", 1);
}

static dcmem_result
bring_ranges(const attempt *try)
{
    uint64_t next;
    dcmi_bundle bundle;
    dcmi_errand errand = {.tag = try->locked.slot->tag};
    dcmem_result result = DCMEM_OK;
    dcmi_bundle_begin(&bundle, &errand);
    for (uint64_t offset = try->begin; offset < try->end && !result; offset = next) {
        dcmi_state state = dcmi_contents_at(&next, try->locked.slot, offset);
        next = dcmi_min(next, try->end);
        dcmi_work work = dcmi_coherence_begin(try->wish->operation, try->own, state).work;
        if (work == DCMI_WORK_COPY)
            result = copy_range(try, &bundle, offset, next - offset);
        else if (work == DCMI_WORK_ZERO)
            result = zero_range(try, offset, next - offset);
    }
    return result ? result : dcmi_bundle_end(&bundle);
}

static bool
touches_by_host(const dcmi_slot *slot, dcmem_side side, bool is_by_hand)
{
    return side == DCMEM_SIDE_HOST && slot->face != DCMI_FACE_SPLIT && !is_by_hand;
}

static bool
needs_driver(const attempt *try)
{
    const dcmi_slot *slot = try->locked.slot;
    bool is_visited = touches_by_host(slot, try->side, try->wish->is_by_hand);
    return try->copy_bytes || try->zero_bytes || (is_visited && (slot->face == DCMI_FACE_MAPPED || slot->is_flushed));
}

/* The units that [begin, end) touches, as an offset in the site's extent. */
typedef struct units {
    uint64_t offset, bytes;
} units;

static units
units_of(const dcmi_site *site, uint64_t bytes, uint64_t unit)
{
    uint64_t begin = dcmi_round_down(site->place.offset, unit);
    uint64_t end = dcmi_round_down(site->place.offset + bytes + unit - 1, unit);
    return (units){begin, dcmi_min(end, site->place.extent.bytes) - begin};
}

static uint32_t
map_flags(dcmi_operation operation)
{
    switch (operation) {
    case DCMI_READ:
        return DCMEM_MAP_READ_BIT;
    case DCMI_WRITE:
        return DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT;
    default:
        return DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT;
    }
}

/* Makes the host see the device's memory. */
static dcmem_result
visit_begin(attempt *try)
{
    const dcmi_slot *slot = try->locked.slot;
    const dcmi_site *site = &try->site;
    dcmi_device *device = dcmi_pool_device(try->pool);
    uint64_t bytes = try->end - try->begin;
    dcmem_result result = DCMEM_OK;
    if (slot->face == DCMI_FACE_MAPPED)
        result = dcmi_device_map(&try->open->mapped, device, slot->tag, &site->place.extent, site->place.offset, bytes,
                                 map_flags(try->wish->operation));
    if (result || !slot->is_flushed)
        return result;

    /* Writers too: what a flush takes along at the edges of their range must be what the device has there. */
    units range = units_of(site, bytes, dcmi_side_unit(slot, try->pool));
    result = dcmi_device_invalidate(device, slot->tag, &site->place.extent, range.offset, range.bytes);
    if (result && try->open->mapped) {
        /* What counts is why the access cannot be had. */
        dcmem_detail detail = dcmi_detail_save();
        (void)dcmi_device_unmap(device, slot->tag, &site->place.extent, try->open->mapped);
        dcmi_detail_restore(&detail);
    }
    return result;
}

/* Everything that calls the driver; others wait meanwhile. */
static dcmem_result
bring(attempt *try)
{
    dcmem_result result = dcmi_slot_bring(&try->locked);
    if (result)
        return result;
    result = bring_ranges(try);
    if (!result && touches_by_host(try->locked.slot, try->side, try->wish->is_by_hand))
        result = visit_begin(try);
    dcmi_slot_brought(&try->locked);
    return result;
}

static void
apply_during(const attempt *try)
{
    dcmi_state after[DCMI_STATE_COUNT];
    if (!try->copy_bytes)
        return;
    for (int state = 0; state < DCMI_STATE_COUNT; state++)
        after[state] = dcmi_coherence_begin(try->wish->operation, try->own, (dcmi_state)state).during;
    dcmi_contents_map(try->locked.slot, try->begin, try->end, after);
}

/* ---- Opening ---- */

/* The place of the first byte as the holder of the access will use it. */
static dcmem_result
find_site(attempt *try)
{
    bool is_elsewhere = try->wish->is_by_hand || try->wish->operation == DCMI_LOOK;
    dcmem_side side = is_elsewhere ? DCMEM_SIDE_DEVICE : try->side;
    return dcmi_side_site_in(&try->site, try->locked.slot, try->pool, side, try->begin);
}

/* The access enters the list, and leaves it again when the driver fails. */
static dcmem_result
settle(attempt *try, supplies *supply)
{
    dcmem_result result = find_site(try);
    if (result)
        return result;
    const dcmi_wish *wish = try->wish;
    try->open = enter(&try->locked, wish->operation, try->begin, try->end, supply->rows, try->side, try->own);
    try->open->is_by_hand = wish->is_by_hand;
    try->open->use.queue = wish->queue;
    supply->rows = NULL;
    if (needs_driver(try))
        result = bring(try);
    if (result) {
        leave(&try->locked, try->open);
        return result;
    }
    apply_during(try);
    if (try->avoided_bytes && !try->wish->is_by_hand) {
        DCMI_POOL_COUNT(try->pool, copies_avoided, 1);
        DCMI_POOL_COUNT(try->pool, copies_avoided_bytes, try->avoided_bytes);
    }
    return DCMEM_OK;
}

static void
grant(dcmi_grant *out, const attempt *try)
{
    const dcmi_slot *slot = try->locked.slot;
    out->buffer = try->wish->view.buffer;
    out->ticket = try->open->ticket;
    out->begin = try->begin;
    out->bytes = try->end - try->begin;
    out->side = try->side;
    out->is_one = slot->face != DCMI_FACE_SPLIT;
    out->tag = slot->tag;
    out->pool = try->pool;
    out->site = try->site;
    out->host = NULL;
    if (try->side == DCMEM_SIDE_HOST)
        out->host = !try->open->has_rows && try->open->mapped ? try->open->mapped : try->site.place.host;
}

uint64_t
dcmi_access_enter(dcmi_locked *locked, dcmi_operation operation, uint64_t begin, uint64_t end, unsigned own)
{
    CHECK(locked->slot->state != DCMI_STATE_RANGES);
    dcmi_slot_ready_more(locked->slot);
    return enter(locked, operation, begin, end, NULL, DCMEM_SIDE_DEVICE, own)->ticket;
}

typedef struct patience {
    uint64_t timeout_ns;
    uint64_t until_ns;
    bool has_waited;
} patience;

/* Sleeps until something ended, or for a nap. The lock is not held afterwards. */
static dcmem_result
wait_for_others(const attempt *try, patience *wait)
{
    uint64_t now = wait->timeout_ns ? dcmi_os_now_ns() : 0;
    if (!wait->has_waited) {
        dcmi_pool_add(try->pool, DCMI_COUNTER_access_conflicts, 1);
        if (!dcmi_size_add(&wait->until_ns, now, wait->timeout_ns))
            wait->until_ns = UINT64_MAX;
        wait->has_waited = true;
    }
    if (now < wait->until_ns) {
        dcmi_watch *watch = try->wish->watch;
        dcmi_slot_sleep(&try->locked, dcmi_min(wait->until_ns - now, watch ? WATCHED_NAP_NS : UINT64_MAX));
        return watch ? watch->step(watch, 0) : DCMEM_OK;
    }
    dcmi_slot_unlock(&try->locked, false);
    if (wait->timeout_ns == 0)
        return dcmi_fail(DCMEM_E_BUSY, "bytes %llu to %llu are in use by another access",
                         (unsigned long long)try->begin, (unsigned long long)try->end);
    return dcmi_fail(DCMEM_E_TIMEOUT, "bytes %llu to %llu were in use for %llu ns", (unsigned long long)try->begin,
                     (unsigned long long)try->end, (unsigned long long)wait->timeout_ns);
}

/* One look at the slot. False: it was left, to wait or to fetch, and may be looked at again unless *result says no. */
static bool
try_open(dcmem_result *result, attempt *try, supplies *supply, patience *wait)
{
    *result = dcmi_slot_lock_still(&try->locked, try->wish->view.buffer);
    if (*result)
        return false;

    *result = take_range(try);
    if (!*result)
        *result = check_rows(try);
    if (!*result)
        *result = take_side(try);
    dcmi_open *conflict = *result ? NULL : find_conflict(try);
    if (conflict) {
        *result = is_queued(conflict) ? wait_for_queue(&try->locked, conflict) : wait_for_others(try, wait);
        return false;
    }
    if (!*result)
        *result = survey(try);
    if (!*result)
        *result = equip(try, supply);
    if (!*result && supplies_wanted(supply)) {
        const dcmi_slot *slot = try->locked.slot;
        uint64_t bytes = dcmi_slot_bytes(slot);
        uint64_t alignment = 1ull << slot->alignment_shift;
        dcmi_slot_unlock(&try->locked, false);
        *result = supplies_fetch(supply, try->pool, bytes, alignment);
        return false;
    }
    if (!*result)
        *result = settle(try, supply);
    return true;
}

dcmem_result
dcmi_access_open(dcmi_grant *out, const dcmi_wish *wish)
{
    attempt try; /* what a look at the slot finds, anew each time */
    supplies supply;
    patience wait = {.timeout_ns = wish->timeout_ns};
    bool is_locked = false;
    dcmem_result result = supplies_init(&supply, wish);
    try.wish = wish;
    while (!is_locked && !result)
        is_locked = try_open(&result, &try, &supply, &wait);

    if (is_locked) {
        if (!result)
            grant(out, &try);
        dcmi_slot_unlock(&try.locked, true);
    }
    supplies_fini(&supply);
    return result;
}

/* ---- Closing ---- */

/* Makes the device see what the host wrote. */
static dcmem_result
visit_end(dcmi_locked *locked, const dcmi_open *open, dcmi_closing closing)
{
    const dcmi_slot *slot = locked->slot;
    dcmi_site site;
    dcmem_result result = dcmi_side_site(&site, slot, DCMEM_SIDE_DEVICE, open->begin);
    if (!result)
        result = dcmi_slot_bring(locked);
    if (result)
        return result;

    dcmi_device *device = dcmi_pool_device(site.pool);
    if (slot->is_flushed && closing == DCMI_CLOSE_END && dcmi_operation_writes((dcmi_operation)open->operation)) {
        units range = units_of(&site, open->end - open->begin, dcmi_side_unit(slot, site.pool));
        result = dcmi_device_flush(device, slot->tag, &site.place.extent, range.offset, range.bytes);
    }
    /* A driver that fails here has ended the map all the same, and the bytes have arrived. */
    if (!result && open->mapped)
        (void)dcmi_device_unmap(device, slot->tag, &site.place.extent, open->mapped);
    dcmi_slot_brought(locked);
    return result;
}

/* Nobody needs the host's memory any more once the host's copy of all bytes is forgotten. */
static bool
leaves_shadow(const dcmi_locked *locked, const dcmi_open *open)
{
    const dcmi_slot *slot = locked->slot;
    uint64_t bytes = dcmi_slot_bytes(slot), written;
    if (open->operation != DCMI_KEEP || open->side != DCMEM_SIDE_DEVICE || !(slot->traits & DCMI_TRAIT_HOST))
        return false;
    if (open->begin != 0 || open->end != bytes || dcmi_word_use(locked->word) != 1)
        return false;
    return dcmi_contents_sides(&written, slot, 0, bytes) == DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE) || written == 0;
}

/* Locks the slot and finds the access that is to be closed. Where it was opened for a queue, what is on that by now is
 * waited for: the caller may have put his work there. */
static dcmem_result
lock_to_close(dcmi_locked *locked, dcmi_open **out_open, const dcmem_buffer *buffer, uint64_t ticket,
              dcmi_closing *closing)
{
    for (;;) {
        dcmem_result result = dcmi_slot_lock_still(locked, buffer);
        if (result)
            return result;
        dcmi_open *open = *out_open = find_open(locked->slot, ticket);
        if (!open) {
            dcmi_slot_unlock(locked, false);
            return dcmi_fail(DCMEM_E_WRONG_STATE, "the access is not open; was it ended before?");
        }
        uint64_t handle = open->use.queue;
        open->use.queue = 0;
        if (!handle || *closing == DCMI_CLOSE_UNUSED)
            return DCMEM_OK;

        dcmi_slot_unlock(locked, false);
        dcmem_result failed = DCMEM_OK;
        dcmi_queue *queue = dcmi_queue_resolve((dcmem_queue *)(uintptr_t)handle);
        if (queue)
            (void)dcmi_use_wait(dcmi_queue_use(queue), UINT64_MAX, &failed);
        if (failed)
            *closing = DCMI_CLOSE_ABORT;
    }
}

dcmem_result
dcmi_access_close(const dcmem_buffer *buffer, uint64_t ticket, dcmi_closing closing)
{
    dcmi_locked locked;
    dcmi_open *open;
    dcmi_shadow shadow = {0};
    dcmem_result result = lock_to_close(&locked, &open, buffer, ticket, &closing);
    if (result)
        return result;
    dcmi_slot *slot = locked.slot;

    const dcmi_rows *rows = open->has_rows ? open->rows : NULL;
    bool is_visited = touches_by_host(slot, (dcmem_side)open->side, open->is_by_hand);
    if (is_visited && (open->mapped || slot->is_flushed))
        result = visit_end(&locked, open, closing);
    if (result) {
        dcmi_slot_unlock(&locked, true);
        return result;
    }

    apply_end(slot, open, closing);
    if (leaves_shadow(&locked, open))
        shadow = dcmi_shadow_detach(slot);
    bool scrubs = slot->flags & DCMEM_BUFFER_SCRUB;
    leave(&locked, open);
    dcmi_slot_unlock(&locked, true);
    dcmi_shadow_give(&shadow, scrubs);
    free((void *)(uintptr_t)rows);
    return DCMEM_OK;
}

void
dcmi_access_leave(const dcmem_buffer *buffer, uint64_t ticket)
{
    dcmi_locked locked;
    if (dcmi_slot_lock(&locked, buffer))
        return; /* COVER: its manager ends meanwhile, which its header forbids */
    dcmi_open *open = find_open(locked.slot, ticket);
    apply_end(locked.slot, open, DCMI_CLOSE_END);
    leave(&locked, open);
    dcmi_slot_unlock(&locked, true);
}

dcmem_result
dcmi_access_pass(const dcmi_wish *wish)
{
    dcmi_grant grant;
    dcmem_result result = dcmi_access_open(&grant, wish);
    return result ? result : dcmi_access_close(grant.buffer, grant.ticket, DCMI_CLOSE_END);
}

dcmem_result
dcmi_access_sides(unsigned *out, const dcmi_grant *grant, const dcmi_rows *rows)
{
    dcmi_locked locked;
    uint64_t written;
    unsigned sides = DCMI_STATE_BOTH;
    dcmem_result result = dcmi_slot_lock(&locked, grant->buffer);
    if (result)
        return result; /* COVER: its manager ends meanwhile, which its header forbids */
    if (!rows)
        sides = dcmi_contents_sides(&written, locked.slot, grant->begin, grant->begin + grant->bytes);
    for (uint64_t i = 0; rows && i < dcmi_rows_count(rows); i++) {
        uint64_t begin = dcmi_rows_at(rows, i);
        sides &= dcmi_contents_sides(&written, locked.slot, begin, begin + rows->row_bytes);
    }
    dcmi_slot_unlock(&locked, false);
    *out = sides;
    return DCMEM_OK;
}

dcmem_result
dcmi_access_look(dcmi_site *out, uint64_t *out_bytes, const dcmi_grant *grant, uint64_t offset, dcmem_side preferred)
{
    dcmi_locked locked;
    dcmem_result result = dcmi_slot_lock(&locked, grant->buffer);
    if (result)
        return result; /* COVER: its manager ends meanwhile, which its header forbids */
    uint64_t end, begin = grant->begin + offset;
    dcmi_state state = dcmi_contents_at(&end, locked.slot, begin);
    dcmem_side other = preferred == DCMEM_SIDE_HOST ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST;
    dcmem_side side = ((unsigned)state & DCMEM_SIDE_BIT(preferred)) ? preferred : other;
    if (locked.slot->face != DCMI_FACE_SPLIT)
        side = DCMEM_SIDE_DEVICE;
    result = dcmi_side_site(out, locked.slot, side, begin);
    dcmi_slot_unlock(&locked, false);
    if (!result)
        *out_bytes = dcmi_min(end - begin, grant->bytes - offset);
    return result;
}

/* ---- Queues ---- */

/* Whether the work of `by` is done no earlier than that of `open`, of the same queue. Two that cannot be open at once
 * came one after the other; of others the one that came here last may have been put on the queue first. */
static bool
is_later(const dcmi_open *by, const dcmi_open *open)
{
    if (dcmi_operation_conflicts((dcmi_operation)by->operation, (dcmi_operation)open->operation))
        return true;
    bool is_comparable = (by->use.batch == 0) == (open->use.batch == 0);
    return is_comparable && by->use.batch >= open->use.batch && by->use.value >= open->use.value;
}

/* Of one queue, what is within a later piece of its work and stands in nobody's way whom that does not stop. */
static void
retire_covered(dcmi_locked *locked, const dcmi_open *by)
{
    dcmi_more *more = dcmi_slot_more(locked->slot);
    bool writes = dcmi_operation_writes((dcmi_operation)by->operation);
    for (uint32_t i = 0; i < more->open_capacity; i++) {
        dcmi_open *open = &more->opens[i];
        bool is_covered = open->ticket && open != by && is_queued(open) && open->use.queue == by->use.queue &&
                          open->side == by->side && open->begin >= by->begin && open->end <= by->end;
        if (is_covered && (writes || !dcmi_operation_writes((dcmi_operation)open->operation)) && is_later(by, open))
            leave(locked, open);
    }
}

dcmem_result
dcmi_access_queue(const dcmem_buffer *buffer, uint64_t ticket, dcmi_use use)
{
    dcmi_locked locked;
    dcmem_result result = dcmi_slot_lock_still(&locked, buffer);
    if (result)
        return result; /* COVER: its manager ends meanwhile, which its header forbids */
    dcmi_open *open = find_open(locked.slot, ticket);
    /* COVER begin: another thread must end the access since its queue was asked for */
    if (!open || open->use.queue != use.queue) {
        dcmi_slot_unlock(&locked, false);
        return dcmi_fail(DCMEM_E_WRONG_STATE, "the access is not open on a queue; was it ended before?");
    }
    /* COVER end */
    apply_end(locked.slot, open, DCMI_CLOSE_END);
    open->ticket = UINT64_MAX; /* nobody's */
    open->use = use;
    retire_covered(&locked, open);
    dcmi_slot_unlock(&locked, true);
    return DCMEM_OK;
}

uint64_t
dcmi_access_queue_of(const dcmem_buffer *buffer, uint64_t ticket)
{
    dcmi_locked locked;
    if (dcmi_slot_lock(&locked, buffer))
        return 0;
    const dcmi_open *open = find_open(locked.slot, ticket);
    uint64_t queue = open ? open->use.queue : 0;
    dcmi_slot_unlock(&locked, false);
    return queue;
}

static dcmi_open *
find_queued(const dcmi_locked *locked)
{
    const dcmi_more *more = dcmi_slot_more(locked->slot);
    for (uint32_t i = 0; (locked->slot->traits & DCMI_TRAIT_MORE) && i < more->open_capacity; i++)
        if (more->opens[i].ticket && is_queued(&more->opens[i]))
            return &more->opens[i];
    return NULL;
}

bool
dcmi_access_settle(const dcmem_buffer *buffer)
{
    dcmi_locked locked;
    if (dcmi_slot_lock_still(&locked, buffer))
        return false;
    dcmi_open *open = find_queued(&locked);
    if (open)
        return wait_for_queue(&locked, open) == DCMEM_OK;
    dcmi_slot_unlock(&locked, false);
    return false;
}

uint32_t
dcmi_access_detach(dcmi_use *out, dcmi_locked *locked, uint32_t most)
{
    uint32_t count = 0;
    const dcmi_more *more = dcmi_slot_more(locked->slot);
    for (uint32_t i = 0; (locked->slot->traits & DCMI_TRAIT_MORE) && i < more->open_capacity; i++) {
        if (!more->opens[i].ticket)
            continue;
        if (!is_queued(&more->opens[i]) || count == most)
            return UINT32_MAX;
        out[count++] = more->opens[i].use;
    }
    if (count != dcmi_word_use(locked->word))
        return UINT32_MAX; /* pinned */
    for (dcmi_open *open; (open = find_queued(locked));)
        leave(locked, open);
    return count;
}
