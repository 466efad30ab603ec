/* ledger.c: the books of a fake. */
#include "ledger.h"

#include "host.h"

#include <stdlib.h>

static const char no_memory[] = "the host has no memory for the test's own books";

void
dcmi_ledger_fini(dcmi_ledger *ledger)
{
    dcmi_pieces_clear(&ledger->extents, NULL, NULL);
    dcmi_pieces_clear(&ledger->mapped, NULL, NULL);
    free(ledger->holdings);
}

static bool
is_memory(dcmi_holding_kind kind)
{
    return kind == DCMI_HOLDING_IMPORT || kind == DCMI_HOLDING_SHARED || kind == DCMI_HOLDING_PAGE;
}

uint64_t
dcmi_ledger_extents(const dcmi_ledger *ledger)
{
    uint64_t extents = ledger->extents.count;
    for (uint32_t i = 0; i < ledger->count; i++)
        extents += is_memory(ledger->holdings[i].kind);
    return extents;
}

uint64_t
dcmi_ledger_bytes(const dcmi_ledger *ledger)
{
    uint64_t bytes = ledger->extents.bytes;
    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->holdings[i].kind == DCMI_HOLDING_PAGE)
            bytes += ledger->holdings[i].bytes;
    return bytes;
}

/* ---- Holdings ---- */

static const char *
push(dcmi_ledger *ledger, const dcmi_holding *holding)
{
    if (ledger->count == ledger->capacity) {
        uint32_t capacity = ledger->capacity ? 2 * ledger->capacity : 16;
        dcmi_holding *more = dcmi_host_renew(ledger->holdings, capacity * sizeof *more);
        if (!more)
            return no_memory;
        ledger->holdings = more;
        ledger->capacity = capacity;
    }
    ledger->holdings[ledger->count++] = *holding;
    return NULL;
}

static void
drop(dcmi_ledger *ledger, const dcmi_holding *holding)
{
    ledger->holdings[holding - ledger->holdings] = ledger->holdings[--ledger->count];
}

static const dcmi_holding *
find(const dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id)
{
    for (uint32_t i = ledger->count; i-- > 0;)
        if (ledger->holdings[i].kind == kind && ledger->holdings[i].id == id)
            return &ledger->holdings[i];
    return NULL;
}

const char *
dcmi_ledger_add(dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id, uint64_t bytes)
{
    dcmi_holding holding = {.kind = kind, .id = id, .bytes = bytes};
    return push(ledger, &holding);
}

bool
dcmi_ledger_has(const dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id)
{
    return find(ledger, kind, id) != NULL;
}

const char *
dcmi_ledger_remove(dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id)
{
    const dcmi_holding *found = find(ledger, kind, id);
    if (!found)
        return "ends what is not there";
    drop(ledger, found);
    return NULL;
}

/* ---- Extents ---- */

const char *
dcmi_ledger_acquire(dcmi_ledger *ledger, const dcmem_extent *extent)
{
    dcmi_piece piece = {.begin = extent->object, .bytes = extent->bytes, .kind = extent->kind}, other;
    if (extent->bytes == 0 || extent->object > UINT64_MAX - extent->bytes)
        return "gave an extent of no size";
    if (dcmi_pieces_first(&other, &ledger->extents, piece.begin, piece.bytes))
        return "gave memory that is in use";
    return dcmi_pieces_add(&ledger->extents, &piece) ? NULL : no_memory;
}

const char *
dcmi_ledger_import(dcmi_ledger *ledger, dcmi_holding_kind kind, const dcmem_extent *extent)
{
    dcmi_holding holding = {kind, extent->object, extent->bytes, extent->driver, extent->flags};
    return push(ledger, &holding);
}

static const dcmi_holding *
find_import(const dcmi_ledger *ledger, const dcmem_extent *extent)
{
    for (uint32_t i = 0; i < ledger->count; i++) {
        const dcmi_holding *holding = &ledger->holdings[i];
        bool is_import = holding->kind == DCMI_HOLDING_IMPORT || holding->kind == DCMI_HOLDING_SHARED;
        if (is_import && holding->id == extent->object && holding->bytes == extent->bytes &&
            holding->driver == extent->driver && holding->flags == extent->flags)
            return holding;
    }
    return NULL;
}

const char *
dcmi_ledger_check_release(const dcmi_ledger *ledger, const dcmem_extent *extent)
{
    dcmi_piece piece;
    if (find_import(ledger, extent))
        return NULL;
    if (extent->bytes == 0 || !dcmi_pieces_find(&piece, &ledger->extents, extent->object))
        return "releases what is not acquired";
    if (piece.begin == extent->object && piece.bytes == extent->bytes)
        return NULL;
    if (!ledger->is_divisible)
        return "releases a part of what was acquired";
    if (extent->object % 4096 || extent->bytes % 4096)
        return "releases a part that is not whole pages";
    return dcmi_pieces_cover(&ledger->extents, extent->object, extent->bytes) ? NULL
                                                                              : "releases more than was acquired";
}

const char *
dcmi_ledger_release(dcmi_ledger *ledger, const dcmem_extent *extent)
{
    const char *fault = dcmi_ledger_check_release(ledger, extent);
    if (fault)
        return fault;
    const dcmi_holding *import = find_import(ledger, extent);
    if (import) {
        drop(ledger, import);
        return NULL;
    }
    return dcmi_pieces_cut(&ledger->extents, extent->object, extent->bytes, NULL, NULL) ? NULL : no_memory;
}

static bool
is_in_import(const dcmi_ledger *ledger, uint64_t begin, uint64_t bytes)
{
    for (uint32_t i = 0; i < ledger->count; i++) {
        const dcmi_holding *holding = &ledger->holdings[i];
        bool is_import = holding->kind == DCMI_HOLDING_IMPORT || holding->kind == DCMI_HOLDING_SHARED;
        if (is_import && begin >= holding->id && begin - holding->id <= holding->bytes &&
            bytes <= holding->bytes - (begin - holding->id))
            return true;
    }
    return false;
}

const char *
dcmi_ledger_check_range(const dcmi_ledger *ledger, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    if (bytes == 0)
        return "is of no bytes";
    if (offset > extent->bytes || bytes > extent->bytes - offset)
        return "leaves its extent";
    uint64_t begin = extent->object + offset;
    bool is_held = dcmi_pieces_cover(&ledger->extents, begin, bytes) ||
                   dcmi_pieces_cover(&ledger->mapped, begin, bytes) || is_in_import(ledger, begin, bytes);
    return is_held ? NULL : "touches memory that is not acquired";
}

const char *
dcmi_ledger_rest(const dcmi_ledger *ledger)
{
    static const char *const names[] = {"an import", "another process's memory", "a page", "a reservation", "a map",
                                        "a queue"};
    if (ledger->extents.count > 0)
        return "an extent";
    if (ledger->mapped.count > 0)
        return "a mapped page";
    return ledger->count > 0 ? names[ledger->holdings[0].kind] : NULL;
}
