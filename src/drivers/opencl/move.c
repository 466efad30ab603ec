/* move.c: copies, fills and maps as commands. */
#include "drivers/opencl/device.h"

#include "base/size.h"

#include <string.h>

#define WIDEST_PATTERN 64u

dcmem_result
dcmi_cl_finish(cl_event event, const char *what)
{
    cl_int code = dcmi_cl.clWaitForEvents(1, &event), status = CL_COMPLETE;
    /* That an event failed says the first; why, the event itself. */
    if (code == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST &&
        !dcmi_cl.clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL) && status < 0)
        code = status;
    (void)dcmi_cl.clReleaseEvent(event); /* Refused: a few bytes of the driver's are lost. */
    return code ? dcmi_cl_fail(code, "%s", what) : DCMEM_OK;
}

char *
dcmi_cl_host_of(const dcmem_place *place)
{
    char *host = place->extent ? dcmi_cl_piece_of(place->extent)->host : place->host;
    return host ? host + place->offset : NULL;
}

static cl_mem
mem_of(const dcmem_place *place)
{
    return place->extent ? dcmi_cl_piece_of(place->extent)->mem : NULL;
}

bool
dcmi_cl_has_mem(const dcmem_place *place)
{
    return mem_of(place) != NULL;
}

dcmem_result
dcmi_cl_copy(cl_event *out, cl_command_queue queue, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    cl_int code = CL_SUCCESS;
    cl_event event = NULL;
    cl_mem to_mem = mem_of(to), from_mem = mem_of(from);
    if (to_mem && from_mem)
        code = dcmi_cl.clEnqueueCopyBuffer(queue, from_mem, to_mem, from->offset, to->offset, bytes, 0, NULL, &event);
    else if (to_mem)
        code = dcmi_cl.clEnqueueWriteBuffer(queue, to_mem, CL_FALSE, to->offset, bytes, dcmi_cl_host_of(from), 0, NULL,
                                            &event);
    else if (from_mem)
        code = dcmi_cl.clEnqueueReadBuffer(queue, from_mem, CL_FALSE, from->offset, bytes, dcmi_cl_host_of(to), 0, NULL,
                                           &event);
    if (code)
        return dcmi_cl_fail(code, "a copy of %llu bytes", (unsigned long long)bytes);
    *out = event;
    return DCMEM_OK;
}

/* How much of a pattern's repetition the driver can be given: wider ones are faster, and offset and size must be
 * multiples. Pure. */
static uint32_t
width_of(uint32_t pattern_bytes, uint64_t offset, uint64_t bytes)
{
    uint32_t width = WIDEST_PATTERN;
    while (width > pattern_bytes && (offset | bytes) % width)
        width /= 2;
    return width;
}

dcmem_result
dcmi_cl_fill(cl_event *out, cl_command_queue queue, const dcmem_place *to, uint64_t bytes, const void *pattern,
             uint32_t pattern_bytes)
{
    cl_event event = NULL;
    cl_mem mem = mem_of(to);
    char wide[WIDEST_PATTERN];
    uint32_t width = width_of(pattern_bytes, to->offset, bytes);
    dcmi_cl_host_fill(wide, width, pattern, pattern_bytes);
    cl_int code = dcmi_cl.clEnqueueFillBuffer(queue, mem, wide, width, to->offset, bytes, 0, NULL, &event);
    if (code)
        return dcmi_cl_fail(code, "a fill of %llu bytes", (unsigned long long)bytes);
    *out = event;
    return DCMEM_OK;
}

void
dcmi_cl_host_fill(char *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    memcpy(to, pattern, pattern_bytes);
    for (uint64_t done = pattern_bytes; done < bytes; done *= 2)
        memcpy(to + done, to, dcmi_min(done, bytes - done));
}

static uint64_t
map_flags(uint32_t flags)
{
    if ((flags & DCMEM_MAP_DISCARD_BIT) && !(flags & DCMEM_MAP_READ_BIT))
        return CL_MAP_WRITE_INVALIDATE_REGION;
    uint64_t read = flags & DCMEM_MAP_READ_BIT ? CL_MAP_READ : 0;
    return read | (flags & DCMEM_MAP_WRITE_BIT ? CL_MAP_WRITE : 0);
}

dcmem_result
dcmi_cl_map(void **out, dcmi_cl_device *device, cl_mem mem, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    cl_int code = CL_SUCCESS;
    dcmi_lock_take(&device->turn);
    void *host =
        dcmi_cl.clEnqueueMapBuffer(device->queue, mem, CL_TRUE, map_flags(flags), offset, bytes, 0, NULL, NULL, &code);
    dcmi_lock_drop(&device->turn);
    if (code)
        return dcmi_cl_fail(code, "a map of %llu bytes", (unsigned long long)bytes);
    *out = host;
    return DCMEM_OK;
}

dcmem_result
dcmi_cl_unmap(dcmi_cl_device *device, cl_mem mem, void *host)
{
    cl_event event = NULL;
    dcmi_lock_take(&device->turn);
    cl_int code = dcmi_cl.clEnqueueUnmapMemObject(device->queue, mem, host, 0, NULL, &event);
    dcmem_result result = code ? dcmi_cl_fail(code, "the end of a map") : dcmi_cl_finish(event, "the end of a map");
    dcmi_lock_drop(&device->turn);
    return result;
}

dcmem_result
dcmi_cl_visit(dcmi_cl_device *device, cl_mem mem, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    void *host;
    dcmem_result result = dcmi_cl_map(&host, device, mem, offset, bytes, flags);
    return result ? result : dcmi_cl_unmap(device, mem, host);
}
