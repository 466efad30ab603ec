/* carry.c: choosing the way of a copy, going it, and making patterns that drivers do not know. See carry.h. */
#include "buffer/carry.h"

#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"

#include <string.h>

#define STAGE_BYTES        (4ull << 20)
#define TILE_BYTES         1024u
#define MOST_PATTERN_BYTES 16u

dcmi_route
dcmi_route_choose(const dcmi_device *to, const void *to_host, const dcmi_device *from, const void *from_host)
{
    if (to == from || !from)
        return DCMI_ROUTE_TO;
    if (!to)
        return DCMI_ROUTE_FROM;
    if (from_host)
        return DCMI_ROUTE_TO;
    return to_host ? DCMI_ROUTE_FROM : DCMI_ROUTE_STAGED;
}

dcmi_site
dcmi_site_host(const void *host)
{
    return (dcmi_site){.place.host = (void *)(uintptr_t)host, .is_host = true};
}

dcmi_site
dcmi_site_at(const dcmi_site *site, uint64_t bytes)
{
    dcmi_site moved = *site;
    dcmi_site_move(&moved, bytes);
    return moved;
}

static dcmi_device *
device_of(const dcmi_site *site)
{
    return site->pool ? dcmi_pool_device(site->pool) : NULL;
}

/* The site as `device` understands it: its own memory, or what the host can touch. */
static dcmem_place
place_for(const dcmi_site *site, const dcmi_device *device)
{
    if (site->pool && dcmi_pool_device(site->pool) == device)
        return (dcmem_place){.extent = &site->place.extent, .offset = site->place.offset};
    return (dcmem_place){.host = site->place.host};
}

static dcmem_result
copy_by(dcmi_device *device, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmem_tag tag)
{
    dcmem_place to_place = place_for(to, device);
    dcmem_place from_place = place_for(from, device);
    return dcmi_device_copy(device, tag, &to_place, &from_place, bytes);
}

/* ---- Figures ---- */

typedef struct direction {
    enum dcmi_counter copies;
    enum dcmi_counter bytes;
} direction;

static direction
direction_of(const dcmi_site *to, const dcmi_site *from)
{
    static const direction directions[2][2] = {
        /* [to is host][from is host] */
        {{DCMI_COUNTER_copies_device_to_device, DCMI_COUNTER_copied_device_to_device_bytes},
         {DCMI_COUNTER_copies_host_to_device, DCMI_COUNTER_copied_host_to_device_bytes}},
        {{DCMI_COUNTER_copies_device_to_host, DCMI_COUNTER_copied_device_to_host_bytes},
         {DCMI_COUNTER_copies_host_to_host, DCMI_COUNTER_copied_host_to_host_bytes}},
    };
    return directions[to->is_host][from->is_host];
}

/* One driver call, which the pool whose driver it is counts. */
static dcmem_result
copy_counted(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmem_tag tag)
{
    uint32_t weight = dcmi_pool_copy_weight(pool, bytes);
    uint64_t begun = weight ? dcmi_os_now_ns() : 0;
    dcmem_result result = copy_by(dcmi_pool_device(pool), to, from, bytes, tag);
    if (result) {
        dcmi_pool_add(pool, DCMI_COUNTER_copy_errors, 1);
        return result;
    }
    direction way = direction_of(to, from);
    if (weight)
        dcmi_pool_record_copy(pool, begun, weight);
    dcmi_pool_add(pool, way.copies, 1);
    dcmi_pool_add(pool, way.bytes, bytes);
    return DCMEM_OK;
}

/* ---- Copies ---- */

static dcmem_result
arrived(const dcmi_errand *errand, uint64_t bytes)
{
    return errand->watch ? errand->watch->step(errand->watch, bytes) : DCMEM_OK;
}

static dcmem_result
copy_chunks(const dcmi_site *to, const dcmi_site *from, const dcmi_site *stage, uint64_t bytes, dcmi_errand *errand)
{
    for (uint64_t done = 0; done < bytes; done += STAGE_BYTES) {
        uint64_t chunk = dcmi_min(bytes - done, STAGE_BYTES);
        dcmi_site chunk_from = dcmi_site_at(from, done);
        dcmi_site chunk_to = dcmi_site_at(to, done);
        dcmem_result result = copy_counted(from->pool, stage, &chunk_from, chunk, errand->tag);
        if (result)
            return result;
        errand->has_begun = true;
        result = copy_counted(to->pool, &chunk_to, stage, chunk, errand->tag);
        if (!result)
            result = arrived(errand, chunk);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

static dcmem_result
copy_staged(const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    dcmi_pool *host;
    dcmem_result result = dcmi_pool_of_kind(&host, dcmi_pool_root(to->pool), DCMEM_KIND_HOST);
    if (result)
        return result;
    uint64_t address = dcmi_pool_take(host, dcmi_min(bytes, STAGE_BYTES), 0, DCMI_HOLDER_LIBRARY);
    if (!address)
        return dcmem_last_detail()->result;

    /* Both drivers see the chunk as plain host memory: it is as foreign to the one as it is the other's own. */
    dcmi_place place;
    result = dcmi_pool_place(&place, host, address);
    if (!result) {
        dcmi_site stage = dcmi_site_host(place.host);
        result = copy_chunks(to, from, &stage, bytes, errand);
    }
    dcmem_result given = dcmi_pool_give(host, address, DCMI_HOLDER_LIBRARY);
    return result ? result : given;
}

/* One driver call for all of it. */
static dcmem_result
copy_whole(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    errand->has_begun = true;
    dcmem_result result = copy_counted(pool, to, from, bytes, errand->tag);
    return result ? result : arrived(errand, bytes);
}

dcmem_result
dcmi_carry(const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    switch (dcmi_route_choose(device_of(to), to->place.host, device_of(from), from->place.host)) {
    case DCMI_ROUTE_TO:
        return copy_whole(to->pool, to, from, bytes, errand);
    case DCMI_ROUTE_FROM:
        return copy_whole(from->pool, to, from, bytes, errand);
    default:
        return copy_staged(to, from, bytes, errand);
    }
}

/* ---- Fills ---- */

/* Repeats the pattern, beginning with its byte `phase`. */
static void
pattern_repeat(uint8_t *out, uint32_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, uint32_t phase)
{
    for (uint32_t i = 0; i < bytes; i++)
        out[i] = pattern[(phase + i) % pattern_bytes];
}

/* What repeats after fewer bytes is a shorter pattern: drivers know more of those, and need less alignment. */
static uint32_t
pattern_shortest(const uint8_t *pattern, uint32_t pattern_bytes)
{
    for (uint32_t period = 1; period <= pattern_bytes / 2; period++)
        if (pattern_bytes % period == 0 && memcmp(pattern, pattern + period, pattern_bytes - period) == 0)
            return period;
    return pattern_bytes;
}

/* A pattern that the driver knows, from an offset that it may not like: ends by copies, the middle turned to fit. */
static dcmem_result
fill_by_driver(const dcmi_site *to, uint64_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint8_t turned[MOST_PATTERN_BYTES];
    dcmi_device *device = dcmi_pool_device(to->pool);
    uint32_t head = (uint32_t)(-to->place.offset & (pattern_bytes - 1));
    uint64_t middle = dcmi_round_down(bytes - head, pattern_bytes);
    uint32_t tail = (uint32_t)(bytes - head - middle);
    pattern_repeat(turned, pattern_bytes, pattern, pattern_bytes, head);

    dcmem_result result = DCMEM_OK;
    dcmi_site pattern_site = dcmi_site_host(pattern), turned_site = dcmi_site_host(turned);
    if (head)
        result = copy_by(device, to, &pattern_site, head, tag);
    if (!result && middle) {
        dcmem_place place = {.extent = &to->place.extent, .offset = to->place.offset + head};
        result = dcmi_device_fill(device, tag, &place, middle, turned, pattern_bytes);
    }
    if (!result && tail) {
        dcmi_site end = dcmi_site_at(to, head + middle);
        result = copy_by(device, &end, &turned_site, tail, tag);
    }
    return result;
}

/* A pattern that no driver knows: a tile of it from the host, then what is filled already is copied behind itself. */
static dcmem_result
fill_by_doubling(const dcmi_site *to, uint64_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint8_t tile[TILE_BYTES];
    dcmi_device *device = dcmi_pool_device(to->pool);
    uint32_t tile_bytes = TILE_BYTES / pattern_bytes * pattern_bytes;
    pattern_repeat(tile, tile_bytes, pattern, pattern_bytes, 0);

    dcmi_site tile_site = dcmi_site_host(tile);
    uint64_t done = dcmi_min(tile_bytes, bytes);
    dcmem_result result = copy_by(device, to, &tile_site, done, tag);
    while (!result && done < bytes) {
        uint64_t more = dcmi_min(done, bytes - done);
        dcmi_site behind = dcmi_site_at(to, done);
        result = copy_by(device, &behind, to, more, tag);
        done += more;
    }
    return result;
}

dcmem_result
dcmi_carry_fill(const dcmi_site *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint32_t shortest = pattern_shortest(pattern, pattern_bytes);
    dcmem_result result = dcmi_is_power_of_two(shortest) ? fill_by_driver(to, bytes, pattern, shortest, tag)
                                                         : fill_by_doubling(to, bytes, pattern, shortest, tag);
    if (result)
        return result;
    dcmi_pool_add(to->pool, DCMI_COUNTER_fills, 1);
    dcmi_pool_add(to->pool, DCMI_COUNTER_filled_bytes, bytes);
    return DCMEM_OK;
}

dcmem_result
dcmi_carry_scrub(const dcmi_site *to, uint64_t bytes, dcmem_tag tag)
{
    uint8_t zero = 0;
    dcmem_result result = fill_by_driver(to, bytes, &zero, 1, tag);
    return result ? fill_by_doubling(to, bytes, &zero, 1, tag) : DCMEM_OK;
}
