/* guard.c: guarded blocks from take to give, and over all of a manager. See guard.h.
 *
 * Whatever the driver refuses here costs a block its protection, never the caller his call: a zone that could not be
 * written is not looked at, and one that could not be read is sound. The detail stays as it was, unless damage is told.
 *
 * No lock is held while the pool, the driver or the log is called; a record in the hands of who gives its block is
 * nobody else's (record.h). */
#include "guard/guard.h"

#include "base/fail.h"
#include "base/log.h"
#include "base/os.h"
#include "base/size.h"
#include "guard/report.h"
#include "pool/inside.h"

#define MOST_ALIGNMENT (64u << 10) /* a zone before the block is as long as the alignment */
#define POISON_EDGE    (1u << 20)

struct dcmi_guard {
    dcmi_guard_settings settings;
    dcmi_records records;
    dcmem_out_of_memory out_of_memory;
    void *out_of_memory_user;
    _Atomic uint64_t untold; /* damage that no call's result has told */
    _Atomic bool is_ending;
};

static bool
does(const dcmi_guard *guard, uint32_t flag)
{
    return guard->settings.flags & flag;
}

/* ---- Layout ---- */

typedef struct layout {
    uint64_t total;     /* what the pool is asked for */
    uint64_t alignment; /* of that */
    uint64_t before;    /* from the block to the owner's bytes */
    uint64_t behind;    /* from these to the zone behind them */
    uint32_t zone_before, zone_behind;
} layout;

/* What the owner may rely on: as asked, as the device has it, and whole pages where the size is. */
static uint64_t
alignment_for(const dcmi_pool *pool, uint64_t bytes, uint64_t alignment)
{
    alignment = dcmi_max(dcmi_max(alignment, pool->alignment), dcmi_zone_unit(pool));
    return bytes % DCMI_PAGE == 0 ? dcmi_max(alignment, DCMI_PAGE) : alignment;
}

static bool
add_zones(layout *of, uint64_t bytes, uint64_t unit, uint32_t zone_bytes)
{
    uint64_t total;
    if (of->alignment <= MOST_ALIGNMENT) {
        of->zone_before = zone_bytes;
        if (!dcmi_round_up(&of->before, zone_bytes, of->alignment))
            return false; /* COVER: a zone has at most a mebibyte */
    }
    of->zone_behind = zone_bytes;
    return dcmi_round_up(&of->behind, bytes, unit) && dcmi_size_add(&total, of->before, of->behind) &&
           dcmi_size_add(&of->total, total, zone_bytes);
}

/* A block that with zones would be too large has none. */
static layout
layout_for(const dcmi_guard *guard, const dcmi_pool *pool, uint64_t bytes, uint64_t alignment)
{
    layout plain = {.total = bytes, .alignment = alignment, .behind = bytes};
    if (!does(guard, DCMEM_GUARD_RED_ZONES) || bytes == 0)
        return plain;
    layout zoned = {.alignment = alignment_for(pool, bytes, alignment)};
    bool is_fit = add_zones(&zoned, bytes, dcmi_zone_unit(pool), guard->settings.zone_bytes);
    return is_fit && zoned.total <= pool->largest_allocation_bytes ? zoned : plain;
}

/* ---- Zones and poison ---- */

/* Only what could be written is looked at later. */
static void
write_zones(dcmi_record *record)
{
    uint64_t begin = record->address - record->zone_before, end = record->address + record->behind;
    if (dcmi_zone_write(record->pool, begin, record->zone_before, DCMI_ZONE_BYTE))
        record->zone_before = 0;
    if (dcmi_zone_write(record->pool, end, record->zone_behind, DCMI_ZONE_BYTE))
        record->zone_behind = 0;
}

/* The parts of a block that are poisoned: all of it, or of a large one the edges. */
static unsigned
poison_parts(uint64_t begins[2], uint64_t counts[2], uint64_t bytes)
{
    begins[0] = 0;
    counts[0] = bytes <= 2 * POISON_EDGE ? bytes : POISON_EDGE;
    begins[1] = bytes - POISON_EDGE;
    counts[1] = POISON_EDGE;
    return bytes <= 2 * POISON_EDGE ? 1 : 2;
}

static dcmem_result
write_poison(const dcmi_record *record, uint8_t value)
{
    uint64_t begins[2], counts[2];
    unsigned parts = poison_parts(begins, counts, record->bytes);
    dcmem_result result = DCMEM_OK;
    for (unsigned i = 0; i < parts && !result; i++)
        result = dcmi_zone_write(record->pool, record->address + begins[i], counts[i], value);
    return result;
}

static dcmem_result
compare_poison(dcmi_damage *damage, const dcmi_record *record)
{
    uint64_t begins[2], counts[2];
    unsigned parts = poison_parts(begins, counts, record->bytes);
    dcmem_result result = DCMEM_OK;
    for (unsigned i = 0; i < parts && !result; i++)
        result =
            dcmi_zone_compare(damage, record->pool, record->address + begins[i], counts[i], DCMI_FREED_BYTE, begins[i]);
    return result;
}

static dcmem_result
compare(dcmi_damage *damage, const dcmi_record *record, dcmi_harm harm)
{
    *damage = (dcmi_damage){0};
    if (harm == DCMI_HARM_UNDERRUN)
        return dcmi_zone_compare(damage, record->pool, record->address - record->zone_before, record->zone_before,
                                 DCMI_ZONE_BYTE, 0);
    if (harm == DCMI_HARM_OVERRUN)
        return dcmi_zone_compare(damage, record->pool, record->address + record->behind, record->zone_behind,
                                 DCMI_ZONE_BYTE, record->behind);
    return record->is_poisoned ? compare_poison(damage, record) : DCMEM_OK;
}

/* Looks at a block and tells what it finds; how much that is. *failed, if there is one, is the driver's refusal to show
 * it. The first damage is in the detail, or else that refusal. */
static unsigned
look(dcmi_record *record, dcmem_result *failed)
{
    static const dcmi_harm harms[] = {DCMI_HARM_OVERRUN, DCMI_HARM_UNDERRUN, DCMI_HARM_FREED};
    dcmem_detail before = dcmi_detail_save(), told = before;
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof harms / sizeof harms[0]; i++) {
        dcmi_damage damage;
        dcmem_result result = compare(&damage, record, harms[i]);
        if (result && failed) {
            *failed = result;
            told = count == 0 ? dcmi_detail_save() : told;
        }
        if (result || damage.count == 0)
            continue;
        dcmi_pool_add(record->pool, DCMI_COUNTER_guard_findings, 1);
        (void)dcmi_report_harm(record, harms[i], &damage); /* the result is the caller's, who asks for the count */
        if (count++ == 0)
            told = dcmi_detail_save();
    }
    dcmi_detail_restore(&told);
    return count;
}

/* ---- Giving ---- */

static void
remember_caller(const dcmi_guard *guard, dcmi_trail *trail)
{
    if (does(guard, DCMEM_GUARD_CALL_SITES))
        dcmi_trail_capture(trail);
}

/* The block goes back to the pool. The record goes last: until then a second free is refused by it. */
static dcmem_result
let_go(dcmi_guard *guard, dcmi_record *record)
{
    dcmem_result result = dcmi_pool_give(record->pool, record->block, record->holder);
    dcmi_records_remove(&guard->records, record);
    return result;
}

/* Lets go of the oldest until at most `bytes` are held back; how many that were. */
static uint64_t
shrink_held(dcmi_guard *guard, uint64_t bytes)
{
    dcmem_detail before = dcmi_detail_save();
    dcmi_record *record;
    uint64_t count = 0;
    while ((record = dcmi_records_next_held(&guard->records, bytes))) {
        atomic_fetch_add(&guard->untold, look(record, NULL));
        dcmi_pool_count_let_go(record->pool, record->capacity);
        if (let_go(guard, record))
            /* COVER: a live block that the pool refuses */
            dcmi_log(DCMEM_LOG_ERROR, "guard", "a block was not given back: %s", dcmem_last_detail()->message);
        count++;
    }
    dcmi_detail_restore(&before);
    return count;
}

/* What was freed is poisoned, and held back or let go. */
static dcmem_result
put_away(dcmi_guard *guard, dcmi_record *record)
{
    uint64_t most = guard->settings.quarantine_bytes;
    bool is_ending = atomic_load(&guard->is_ending);
    if (does(guard, DCMEM_GUARD_POISON) && !is_ending)
        record->is_poisoned = write_poison(record, DCMI_FREED_BYTE) == DCMEM_OK;
    if (is_ending || !does(guard, DCMEM_GUARD_QUARANTINE) || record->capacity > most)
        return let_go(guard, record);
    dcmi_pool_count_held(record->pool, record->capacity);
    dcmi_records_hold(&guard->records, record);
    shrink_held(guard, most);
    return DCMEM_OK;
}

/* An address that is not the first of a live block of that holder. */
static dcmem_result
refuse(dcmi_guard *guard, dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_block block;
    dcmi_record_glimpse record;
    void *named = (void *)(uintptr_t)address;
    dcmem_result result = dcmi_pool_find(&block, pool, address);
    if (result)
        return result; /* COVER: another thread must give the block in between */
    if (!guard || !dcmi_records_find(&record, &guard->records, pool, block.address))
        return dcmi_pool_refuse(pool, address);
    if (!record.is_live)
        return dcmi_fail(DCMEM_E_ALREADY_FREE, "the block at %p is already free", (void *)(uintptr_t)record.address);
    if (block.holder != holder)
        return dcmi_pool_refuse(pool, address);
    return dcmi_fail(DCMEM_E_INTERIOR, "address %p lies %lld bytes inside the block at %p", named,
                     (long long)(address - record.address), (void *)(uintptr_t)record.address);
}

static dcmem_result
give_guarded(dcmi_guard *guard, dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_block block;
    dcmi_record_glimpse glimpse;
    dcmem_result result = dcmi_pool_find(&block, pool, address);
    if (result)
        return result;
    dcmi_record *record =
        block.holder == holder ? dcmi_records_leave(&guard->records, pool, block.address, address) : NULL;
    if (!record && dcmi_records_find(&glimpse, &guard->records, pool, block.address))
        return refuse(guard, pool, address, holder);
    if (!record)
        return dcmi_pool_give(pool, address, holder);

    dcmem_detail before = dcmi_detail_save();
    remember_caller(guard, &record->freed_by);
    record->freed_ns = dcmi_os_now_ns();
    bool is_harmed = !atomic_load(&guard->is_ending) && look(record, NULL) > 0;
    dcmem_detail told = is_harmed ? dcmi_detail_save() : before;
    if (is_harmed)
        write_zones(record); /* or the same would be told once more when it leaves the quarantine */
    dcmi_pool_count_freed(pool, record->bytes);
    result = put_away(guard, record);
    if (result)
        return result; /* COVER: a live block that the pool refuses */
    dcmi_detail_restore(&told);
    return is_harmed ? DCMEM_E_CORRUPTED : DCMEM_OK;
}

dcmem_result
dcmi_guard_give(dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_guard *guard = dcmi_pool_guard(pool);
    return guard ? give_guarded(guard, pool, address, holder) : dcmi_pool_give(pool, address, holder);
}

void
dcmi_guard_tell_later(dcmi_pool *pool)
{
    atomic_fetch_add(&dcmi_pool_guard(pool)->untold, 1);
}

dcmem_result
dcmi_guard_drop(dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmem_detail before = dcmi_detail_save();
    dcmem_result result = dcmi_guard_give(pool, address, holder);
    if (result != DCMEM_E_CORRUPTED)
        return result;
    dcmi_guard_tell_later(pool);
    dcmi_detail_restore(&before);
    return DCMEM_OK;
}

/* ---- Taking ---- */

/* Everything that is known of it but whose it is. */
static void
fill_record(dcmi_record *record, dcmi_pool *pool, uint64_t block, uint64_t bytes, const layout *of, unsigned holder)
{
    dcmi_block whole;
    record->pool = pool;
    record->block = block;
    record->holder = holder;
    record->capacity = dcmi_pool_find(&whole, pool, block) ? of->total : whole.capacity;
    record->address = block + of->before;
    record->bytes = bytes;
    record->behind = of->behind;
    record->zone_before = of->zone_before;
    record->zone_behind = of->zone_behind;
    record->began_ns = dcmi_os_now_ns();
}

static uint64_t
take_guarded(dcmi_guard *guard, dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder)
{
    layout of = layout_for(guard, pool, bytes, alignment);
    uint64_t block = dcmi_pool_take(pool, of.total, of.alignment, holder);
    if (!block)
        return 0;
    /* Nobody can remember where in the block the owner's bytes begin: so they begin with it. */
    dcmi_record *record = dcmi_records_new(&guard->records);
    if (!record)
        return block;

    dcmem_detail before = dcmi_detail_save();
    fill_record(record, pool, block, bytes, &of, holder);
    remember_caller(guard, &record->taken_by);
    write_zones(record);
    if (does(guard, DCMEM_GUARD_POISON))
        (void)write_poison(record, DCMI_NEW_BYTE); /* nobody looks whether it is there */
    dcmi_detail_restore(&before);
    dcmi_pool_count_guarded(pool, bytes);
    uint64_t address = record->address;
    dcmi_records_add(&guard->records, record);
    return address;
}

uint64_t
dcmi_guard_take(dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder)
{
    dcmi_guard *guard = dcmi_pool_guard(pool);
    return guard ? take_guarded(guard, pool, bytes, alignment, holder) : dcmi_pool_take(pool, bytes, alignment, holder);
}

/* ---- Finding ---- */

/* The owner's part of a block. */
static dcmem_result
find_guarded(dcmi_block *block, dcmi_guard *guard, dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_record_glimpse record;
    if (!dcmi_records_find(&record, &guard->records, pool, block->address))
        return DCMEM_OK;
    if (!record.is_live)
        return refuse(guard, pool, address, holder);
    if (address - record.address >= record.bytes)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "address %p lies in the red zone of the block at %p, %llu bytes",
                         (void *)(uintptr_t)address, (void *)(uintptr_t)record.address,
                         (unsigned long long)record.bytes);
    block->address = record.address;
    block->capacity = record.bytes;
    return DCMEM_OK;
}

dcmem_result
dcmi_guard_find(dcmi_block *out, dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_guard *guard = dcmi_pool_guard(pool);
    dcmi_block block;
    dcmem_result result = dcmi_pool_find(&block, pool, address);
    if (!result && block.holder != holder)
        result = guard ? refuse(guard, pool, address, holder) : dcmi_pool_refuse(pool, address);
    if (!result && guard)
        result = find_guarded(&block, guard, pool, address, holder);
    if (!result)
        *out = block;
    return result;
}

dcmem_result
dcmi_guard_find_start(dcmi_block *out, dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_block block;
    dcmem_result result = dcmi_guard_find(&block, pool, address, holder);
    if (result == DCMEM_E_OUT_OF_RANGE || (!result && block.address != address))
        return refuse(dcmi_pool_guard(pool), pool, address, holder);
    if (!result)
        *out = block;
    return result;
}

bool
dcmi_guard_fits(const dcmi_pool *pool, uint64_t capacity, uint64_t bytes)
{
    return !dcmi_pool_guard(pool) || bytes == capacity;
}

void
dcmi_guard_label(dcmi_pool *pool, uint64_t address, dcmem_buffer *buffer, dcmem_tag tag, bool is_host_side)
{
    dcmi_guard *guard = dcmi_pool_guard(pool);
    dcmi_block block;
    if (!guard || dcmi_pool_find(&block, pool, address))
        return; /* COVER: who asks has looked for a guard, and his block lives */
    dcmi_record label = {
        .pool = pool, .block = block.address, .buffer = buffer, .tag = tag, .is_host_side = is_host_side};
    dcmi_records_label(&guard->records, &label);
}

/* ---- Over all of a manager ---- */

bool
dcmi_guard_out_of_memory(void *user, dcmem_manager *manager, uint64_t bytes_needed, uint32_t attempt)
{
    dcmi_guard *guard = user;
    if (shrink_held(guard, 0) > 0)
        return true;
    return guard->out_of_memory && guard->out_of_memory(guard->out_of_memory_user, manager, bytes_needed, attempt);
}

dcmem_result
dcmi_guard_create(dcmi_guard **out, const dcmi_guard_settings *settings, dcmem_out_of_memory out_of_memory, void *user)
{
    if (!settings->flags) {
        *out = NULL;
        return DCMEM_OK;
    }
    dcmi_guard *guard = dcmi_os_reserve(sizeof *guard);
    if (!guard)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a guard");
    guard->settings = *settings;
    guard->out_of_memory = out_of_memory;
    guard->out_of_memory_user = user;
    dcmem_result result = dcmi_records_init(&guard->records);
    if (result) {
        dcmi_os_unreserve(guard, sizeof *guard);
        return result;
    }
    if (does(guard, DCMEM_GUARD_CALL_SITES))
        dcmi_trail_prepare();
    *out = guard;
    return DCMEM_OK;
}

void
dcmi_guard_destroy(dcmi_guard *guard)
{
    if (!guard)
        return;
    dcmi_records_fini(&guard->records);
    dcmi_os_unreserve(guard, sizeof *guard);
}

void
dcmi_guard_flush(dcmi_guard *guard)
{
    if (guard)
        (void)shrink_held(guard, 0); /* how many does not matter */
}

/* Looks at all that is live, or held back, and mends damage; how much there is, the first of it in the detail. */
static uint64_t
look_at_all(dcmi_guard *guard, bool held, dcmem_result *failed)
{
    dcmi_record_copy copy;
    dcmem_detail first = dcmi_detail_save();
    uint64_t count = 0;
    if (!dcmi_records_copy(&copy, &guard->records, held)) {
        *failed = dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space to look at a manager's blocks");
        return 0;
    }
    for (uint64_t i = 0; i < copy.count; i++) {
        dcmi_record *record = &copy.records[i];
        unsigned found = look(record, failed);
        if (found == 0)
            continue;
        if (count == 0)
            first = dcmi_detail_save();
        count += found;
        write_zones(record);
        if (record->is_poisoned)
            (void)write_poison(record, DCMI_FREED_BYTE); /* where that fails it is told again */
    }
    dcmi_records_give_copy(&copy);
    if (count > 0 || !*failed)
        dcmi_detail_restore(&first);
    return count;
}

/* What was found, or else what no result has told yet. */
static dcmem_result
result_of(dcmi_guard *guard, uint64_t found)
{
    uint64_t untold = atomic_exchange(&guard->untold, 0);
    if (found > 0)
        return DCMEM_E_CORRUPTED;
    if (untold > 0)
        return dcmi_fail(DCMEM_E_CORRUPTED,
                         "%llu damages were found in blocks that others' calls gave back; see the log",
                         (unsigned long long)untold);
    return DCMEM_OK;
}

static void
tell_leaks(dcmi_guard *guard)
{
    dcmi_record_copy live;
    if (!dcmi_records_copy(&live, &guard->records, false))
        return;
    dcmi_report_leaks(&live);
    dcmi_records_give_copy(&live);
}

dcmem_result
dcmi_guard_end(dcmi_guard *guard, bool tells_leaks)
{
    if (!guard)
        return DCMEM_OK;
    dcmem_result ignored = DCMEM_OK; /* what cannot be read any more is lost with the manager */
    dcmem_detail before = dcmi_detail_save();
    uint64_t found = look_at_all(guard, false, &ignored);
    if (found == 0)
        dcmi_detail_restore(&before);
    (void)shrink_held(guard, 0); /* what it finds is told as untold */
    if (tells_leaks && does(guard, DCMEM_GUARD_LEAKS))
        tell_leaks(guard);
    atomic_store(&guard->is_ending, true);
    return result_of(guard, found);
}

void
dcmi_guard_begin(dcmi_guard *guard, bool is_empty)
{
    if (!guard)
        return;
    atomic_store(&guard->is_ending, false);
    if (is_empty)
        dcmi_records_clear(&guard->records);
}

dcmem_result
dcmi_guard_check_books(dcmi_guard *guard)
{
    const char *broken = guard ? dcmi_records_check(&guard->records) : NULL;
    return broken ? dcmi_fail(DCMEM_E_INTERNAL, "%s", broken) : DCMEM_OK;
}

/* ---- The API ---- */

static dcmem_result
guard_of(dcmi_guard **out, dcmem_manager *manager)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    *out = dcmi_pool_guard(root);
    return *out ? DCMEM_OK : dcmi_fail(DCMEM_E_WRONG_STATE, "the manager was made without guards");
}

dcmem_result
dcmem_guard_check(dcmem_manager *manager)
{
    dcmi_guard *guard;
    dcmem_result failed = DCMEM_OK, result = guard_of(&guard, manager);
    if (result)
        return result;
    uint64_t found = look_at_all(guard, false, &failed);
    dcmem_detail first = dcmi_detail_save();
    uint64_t found_held = look_at_all(guard, true, &failed);
    if (found > 0)
        dcmi_detail_restore(&first);
    result = result_of(guard, found + found_held);
    return result ? result : failed;
}

static dcmem_allocation
allocation_of(const dcmi_record *record, uint64_t now, const char *call_site)
{
    return (dcmem_allocation){
        .size = sizeof(dcmem_allocation),
        .buffer = record->buffer,
        .address = (void *)(uintptr_t)record->address,
        .bytes = record->bytes,
        .kind = dcmi_pool_kind(record->pool),
        .tag = record->tag,
        .is_host_side = record->is_host_side,
        .number = record->number,
        .age_ns = dcmi_less(now, record->began_ns),
        .call_site = call_site,
    };
}

dcmem_result
dcmem_guard_live(dcmem_manager *manager, dcmem_allocation_visitor visit, void *user)
{
    dcmi_guard *guard;
    dcmi_record_copy live;
    DCMI_REQUIRE(visit);
    dcmem_result result = guard_of(&guard, manager);
    if (result)
        return result;
    if (!dcmi_records_copy(&live, &guard->records, false))
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space to list a manager's blocks");
    bool goes_on = true;
    uint64_t now = dcmi_os_now_ns();
    for (uint64_t i = 0; i < live.count && goes_on; i++) {
        char call_site[256];
        dcmi_trail_print(call_site, sizeof call_site, &live.records[i].taken_by);
        dcmem_allocation allocation = allocation_of(&live.records[i], now, call_site);
        goes_on = visit(user, &allocation);
    }
    dcmi_records_give_copy(&live);
    return DCMEM_OK;
}
