/* move.c: bytes of a simulated device on their way: copies, fills, and what a kernel sees. */
#include "simulated.h"

#include <string.h>

typedef dcmi_simulated device;

/* Where the byte `done` bytes into a place is for the device, and at most how many bytes lie there together. */
static dcmem_result
locate(uint8_t **out, uint64_t *together, device *dev, const dcmem_place *place, uint64_t done)
{
    if (!place->extent) {
        *out = (uint8_t *)place->host + done;
        return DCMEM_OK;
    }
    dcmi_piece piece;
    uint64_t at = place->extent->object + place->offset + done;
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    bool is_live = dcmi_simulated_piece_at(&piece, dev, at);
    dcmi_simulated_leave(dev);
    if (!is_live)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "byte %llu of object 0x%llx is not acquired",
                                   (unsigned long long)(place->offset + done),
                                   (unsigned long long)place->extent->object);
    *out = piece.memory + (at - piece.begin);
    *together = dcmi_least(*together, piece.begin + piece.bytes - at);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_copy_now(device *to_device, const dcmem_place *to, device *from_device, const dcmem_place *from,
                        uint64_t bytes)
{
    for (uint64_t done = 0, now; done < bytes; done += now) {
        uint8_t *target = NULL, *source = NULL;
        now = bytes - done;
        dcmem_result result = locate(&target, &now, to_device, to, done);
        if (!result)
            result = locate(&source, &now, from_device, from, done);
        if (result)
            return result;
        memcpy(target, source, now);
    }
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_fill_now(device *dev, const dcmem_place *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    const uint8_t *byte_of = pattern;
    for (uint64_t done = 0, now; done < bytes; done += now) {
        uint8_t *target = NULL;
        now = bytes - done;
        dcmem_result result = locate(&target, &now, dev, to, done);
        if (result)
            return result;
        for (uint64_t i = 0; i < now; i++)
            target[i] = byte_of[(done + i) % pattern_bytes];
    }
    return DCMEM_OK;
}

/* ---- In time ---- */

static bool
is_at_device(const device *dev, const dcmem_place *place)
{
    return place->extent && !dcmi_simulated_is_host(dev, place->extent->kind);
}

/* What stays on the host takes none of the device's time. */
dcmi_route
dcmi_simulated_route(device *dev, const dcmem_place *to, const dcmem_place *from)
{
    bool is_to_device = is_at_device(dev, to), is_from_device = from ? is_at_device(dev, from) : is_to_device;
    if (!is_to_device && !is_from_device)
        return (dcmi_route){0};
    if (is_to_device && is_from_device)
        return (dcmi_route){.first = &dev->links[DCMI_LINK_WITHIN]};
    return (dcmi_route){.first = &dev->links[is_to_device ? DCMI_LINK_TO_DEVICE : DCMI_LINK_TO_HOST]};
}

dcmem_result
dcmi_simulated_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from,
                    uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    dcmi_route route = dcmi_simulated_route(dev, to, from);
    dcmi_clock_spend(dev->clock, &route, bytes);
    return dcmi_simulated_copy_now(dev, to, dev, from, bytes);
}

dcmem_result
dcmi_simulated_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
                    uint32_t pattern_bytes)
{
    (void)call;
    device *dev = handle;
    dcmi_route route = dcmi_simulated_route(dev, to, NULL);
    dcmi_clock_spend(dev->clock, &route, bytes);
    return dcmi_simulated_fill_now(dev, to, bytes, pattern, pattern_bytes);
}

/* ---- As a kernel sees it ---- */

/* A native place as an extent, so that kernels and copies find memory in the same way. */
static dcmem_result
place_of(dcmem_extent *extent, dcmem_place *place, const dcmem_native *native, uint64_t offset, uint64_t bytes)
{
    if (offset > native->bytes || bytes > native->bytes - offset)
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu bytes from byte %llu of %llu", (unsigned long long)bytes,
                                   (unsigned long long)offset, (unsigned long long)native->bytes);
    *extent = (dcmem_extent){.object = native->object, .bytes = native->offset + native->bytes};
    *place = (dcmem_place){.extent = extent, .offset = native->offset + offset};
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_read(void *out, const dcmem_backend *backend, uint32_t index, const dcmem_native *native,
                     uint64_t offset, uint64_t bytes)
{
    DCMI_SIMULATED_REQUIRE(out && native);
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmem_extent extent;
    dcmem_place from, to = {.host = out};
    dcmem_result result = place_of(&extent, &from, native, offset, bytes);
    return result ? result : dcmi_simulated_copy_now(dev, &to, dev, &from, bytes);
}

dcmem_result
dcmem_simulated_write(const dcmem_backend *backend, uint32_t index, const dcmem_native *native, uint64_t offset,
                      const void *source, uint64_t bytes)
{
    DCMI_SIMULATED_REQUIRE(source && native);
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmem_extent extent;
    dcmem_place to, from = {.host = (void *)(uintptr_t)source};
    dcmem_result result = place_of(&extent, &to, native, offset, bytes);
    return result ? result : dcmi_simulated_copy_now(dev, &to, dev, &from, bytes);
}
