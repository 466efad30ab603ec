/* map.c: the host's way to the memory of a simulated device. */
#include "simulated.h"

#include <string.h>

typedef dcmi_simulated device;

/* The piece that holds all of a range of an extent. */
static dcmem_result
find(dcmi_piece *out, const device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    uint64_t at = extent->object + offset;
    if (!dcmi_simulated_piece_at(out, dev, at))
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "byte %llu of object 0x%llx is not acquired",
                                   (unsigned long long)offset, (unsigned long long)extent->object);
    bool is_divisible = dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE);
    bool is_within = out->begin + out->bytes - at >= bytes;
    if (!is_within && !(is_divisible && dcmi_pieces_cover(&dev->live, at, bytes)))
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu bytes from byte %llu leave the extent",
                                   (unsigned long long)bytes, (unsigned long long)offset);
    return DCMEM_OK;
}

static dcmem_result
map_locked(void **out, device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    dcmi_piece piece;
    dcmem_result result = find(&piece, dev, extent, offset, bytes);
    if (result)
        return result;
    uint8_t *host = dcmi_simulated_host(dev, &piece, true);
    if (!host)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "the host cannot map memory of kind %s",
                                   dcmem_kind_name(piece.kind));
    dev->account.maps++;
    *out = host + (extent->object + offset - piece.begin);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_map_host(void **out, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
                        uint64_t bytes, uint32_t flags)
{
    (void)call;
    (void)flags;
    device *dev = handle;
    DCMI_SIMULATED_REQUIRE(bytes > 0);
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    result = map_locked(out, dev, extent, offset, bytes);
    dcmi_simulated_leave(dev);
    return result;
}

/* Whether `host` is where the host sees a byte of an extent. */
static bool
is_seen(const device *dev, const dcmem_extent *extent, const void *host)
{
    dcmi_piece piece;
    uint64_t end = extent->object + extent->bytes;
    for (uint64_t at = extent->object; at < end && dcmi_simulated_piece_at(&piece, dev, at);
         at = piece.begin + piece.bytes) {
        uintptr_t seen = (uintptr_t)dcmi_simulated_host(dev, &piece, true);
        if (seen && (uintptr_t)host - seen < piece.bytes)
            return true;
    }
    return false;
}

dcmem_result
dcmi_simulated_unmap_host(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)call;
    device *dev = handle;
    dcmi_piece piece;
    dcmem_result result = DCMEM_OK;
    pthread_mutex_lock(&dev->lock);
    if (!dcmi_simulated_piece_at(&piece, dev, extent->object))
        result = dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "object 0x%llx is not acquired",
                                     (unsigned long long)extent->object);
    else if (dev->account.maps == 0 || !is_seen(dev, extent, host))
        result = dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "unmap of what is not mapped");
    else
        dev->account.maps--;
    dcmi_simulated_leave(dev);
    return result;
}

/* Copies whole flush units between the two memories of a range, as the hardware does: neighbours' bytes too. */
static dcmem_result
bring_together(device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, bool is_flush)
{
    dcmi_piece piece;
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    result = find(&piece, dev, extent, offset, bytes);
    dcmi_simulated_leave(dev);
    if (result || !piece.view)
        return result;

    uint64_t unit = dev->profile.flush_bytes, begin = extent->object + offset - piece.begin;
    uint64_t end = dcmi_least((begin + bytes + unit - 1) & ~(unit - 1), piece.bytes);
    begin &= ~(unit - 1);
    memcpy((is_flush ? piece.memory : piece.view) + begin, (is_flush ? piece.view : piece.memory) + begin, end - begin);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return bring_together(handle, extent, offset, bytes, true);
}

dcmem_result
dcmi_simulated_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
                          uint64_t bytes)
{
    (void)call;
    return bring_together(handle, extent, offset, bytes, false);
}
