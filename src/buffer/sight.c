/* sight.c: maps that begin and end. */
#include "buffer/sight.h"

#include "base/fail.h"

bool
dcmi_sight_can(const dcmi_site *site, uint64_t bytes)
{
    const dcmi_device *device = dcmi_site_device(site);
    uint64_t unit = device ? device->info.flush_bytes : 0;
    if (!device || !dcmi_device_has(device, DCMEM_CAP_MAP) ||
        !(device->info.kinds & DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE)))
        return false;
    return unit == 0 || ((site->place.offset | bytes) & (unit - 1)) == 0;
}

static dcmem_result
unmap(const dcmi_sight *sight)
{
    return sight->is_mapped ? dcmi_device_unmap(sight->device, sight->tag, &sight->extent, sight->host) : DCMEM_OK;
}

/* Why a sight cannot be had counts, not how its map ended. */
static dcmem_result
give_up(const dcmi_sight *sight, dcmem_result result)
{
    dcmem_detail why = dcmi_detail_save();
    (void)unmap(sight);
    dcmi_detail_restore(&why);
    return result;
}

dcmem_result
dcmi_sight_begin(dcmi_sight *out, const dcmi_site *site, uint64_t bytes, bool is_written, dcmem_tag tag)
{
    dcmi_sight sight = {.host = site->place.host, .bytes = bytes};
    if (sight.host) {
        *out = sight;
        return DCMEM_OK;
    }
    void *host;
    dcmi_device *device = dcmi_site_device(site);
    uint32_t flags = is_written ? DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT : DCMEM_MAP_READ_BIT;
    sight.device = device;
    sight.extent = site->place.extent;
    sight.offset = site->place.offset;
    sight.tag = tag;
    sight.is_written = is_written;
    sight.is_flushed = device->info.flush_bytes > 0;
    dcmem_result result = dcmi_device_map(&host, device, tag, &sight.extent, sight.offset, bytes, flags);
    if (result)
        return result;
    sight.host = host;
    sight.is_mapped = true;
    if (sight.is_flushed && !is_written)
        result = dcmi_device_invalidate(device, tag, &sight.extent, sight.offset, bytes);
    if (result)
        return give_up(&sight, result);
    *out = sight;
    return DCMEM_OK;
}

dcmem_result
dcmi_sight_end(dcmi_sight *sight)
{
    dcmem_result result = DCMEM_OK;
    if (sight->is_written && sight->is_flushed)
        result = dcmi_device_flush(sight->device, sight->tag, &sight->extent, sight->offset, sight->bytes);
    return result ? give_up(sight, result) : unmap(sight);
}
