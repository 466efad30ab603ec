/* zone.c: see zone.h. */
#include "guard/zone.h"

#include "base/size.h"

#include <string.h>

#define CHUNK_BYTES 4096u

uint64_t
dcmi_zone_unit(const dcmi_pool *pool)
{
    const dcmi_device *device = dcmi_pool_device(pool);
    dcmem_kind kind = dcmi_pool_kind(pool);
    bool is_host = kind == DCMEM_KIND_HOST || kind == DCMEM_KIND_PINNED;
    bool is_flushed = dcmi_device_has(device, DCMEM_CAP_MAP) && device->info.flush_bytes > 0 && !is_host;
    return is_flushed ? device->info.flush_bytes : 1;
}

/* Where the host may touch what the device sees, or NULL. */
static void *
host_of(const dcmi_pool *pool, const dcmi_place *place)
{
    return dcmi_zone_unit(pool) == 1 ? place->host : NULL;
}

dcmem_result
dcmi_zone_write(dcmi_pool *pool, uint64_t address, uint64_t bytes, uint8_t value)
{
    dcmi_place place;
    dcmem_result result = dcmi_pool_place(&place, pool, address);
    if (result || bytes == 0)
        return result;
    if (host_of(pool, &place)) {
        memset(place.host, value, bytes);
        return DCMEM_OK;
    }
    dcmem_place to = {.extent = &place.extent, .offset = place.offset};
    return dcmi_device_fill(dcmi_pool_device(pool), 0, &to, bytes, &value, 1);
}

static void
compare(dcmi_damage *damage, const uint8_t *bytes, uint64_t count, uint8_t value, uint64_t offset)
{
    /* As good as always: every byte is as the one before it, and the first is right. */
    bool is_even = bytes[0] == value && memcmp(bytes, bytes + 1, count - 1) == 0;
    if (is_even && damage->count == 0)
        return;
    for (uint64_t i = 0; i < count; i++) {
        bool is_wrong = bytes[i] != value;
        if (is_wrong && damage->count++ == 0)
            damage->first = offset + i;
        if (damage->count > 0 && damage->shown < DCMI_DAMAGE_SHOWN && offset + i == damage->first + damage->shown)
            damage->found[damage->shown++] = bytes[i];
    }
}

dcmem_result
dcmi_zone_compare(dcmi_damage *damage, dcmi_pool *pool, uint64_t address, uint64_t bytes, uint8_t value,
                  uint64_t offset)
{
    dcmi_place place;
    dcmem_result result = dcmi_pool_place(&place, pool, address);
    if (result || bytes == 0)
        return result;
    if (host_of(pool, &place)) {
        compare(damage, place.host, bytes, value, offset);
        return DCMEM_OK;
    }
    uint8_t chunk[CHUNK_BYTES];
    for (uint64_t done = 0; done < bytes; done += sizeof chunk) {
        uint64_t count = dcmi_min(bytes - done, sizeof chunk);
        dcmem_place to = {.host = chunk}, from = {.extent = &place.extent, .offset = place.offset + done};
        result = dcmi_device_copy(dcmi_pool_device(pool), 0, &to, &from, count);
        if (result)
            return result;
        compare(damage, chunk, count, value, offset + done);
    }
    return DCMEM_OK;
}
