/* lane.c: buffers are dcmem's, commands are the program's own: an access tells it which object and offset a kernel is
 * to be given, and tells dcmem what the queue does with the bytes. */
#include "lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DO(call)                                                                                                       \
    do {                                                                                                               \
        if (call) {                                                                                                    \
            fprintf(stderr, "opencl_pipeline: %s: %s\n", #call, dcmem_last_detail()->message);                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static dcmem_view
whole(const lane *it, lane_buffer name)
{
    return dcmem_view_whole(it->buffers[name]);
}

static uint32_t
half(uint32_t size)
{
    return (size + 1) / 2;
}

/* ---- Life ---- */

void
lane_init(lane *out, device *on, unsigned queue, dcmem_manager *manager, uint32_t width, uint32_t height,
          timeline *times)
{
    const uint64_t pixels = (uint64_t)width * height, half_pixels = (uint64_t)half(width) * half(height);
    static const dcmem_kind kinds[] = {
#define X(name, kind, bytes) kind,
        LANE_BUFFERS(X)
#undef X
    };
    const uint64_t bytes[] = {
#define X(name, kind, bytes) bytes,
        LANE_BUFFERS(X)
#undef X
    };
    *out = (lane){.on = on, .commands = on->queues[queue], .times = times, .width = width, .height = height};
    const dcmem_native_context native = {.size = sizeof native, .queue = (uint64_t)(uintptr_t)out->commands};
    DO(dcmem_queue_create(&out->queue, manager, &native));
    for (unsigned i = 0; i < LANE_BUFFER_COUNT; i++) {
        const dcmem_buffer_options options = {.size = sizeof options, .kind = kinds[i], .tag = i + 1};
        DO(dcmem_buffer_create(&out->buffers[i], manager, bytes[i], &options));
    }
}

void
lane_fini(lane *it)
{
    for (unsigned i = 0; i < LANE_BUFFER_COUNT; i++)
        DO(dcmem_buffer_destroy_on(it->buffers[i], it->queue));
    DO(dcmem_queue_destroy(it->queue)); /* it waits; the program's own queue stays */
}

/* ---- What the host does ---- */

void
lane_put(lane *to, const image *picture)
{
    dcmem_map map;
    DO(dcmem_buffer_map(&map, whole(to, LANE_STAGED), DCMEM_MAP_WRITE_DISCARD)); /* waits for the copy of the last */
    memcpy(map.host, picture->pixels, image_bytes(picture));
    DO(dcmem_buffer_unmap(&map));
}

void
lane_take(image *out, lane *from)
{
    dcmem_map map;
    DO(image_init(out, half(from->width), half(from->height), 1));
    DO(dcmem_buffer_map(&map, whole(from, LANE_DEVELOPED), DCMEM_MAP_READ)); /* waits until it was copied there */
    memcpy(out->pixels, map.host, image_bytes(out));
    DO(dcmem_buffer_unmap(&map));
}

/* ---- What the queue does ---- */

static cl_mem
object_of(const dcmem_access *access)
{
    return (cl_mem)(uintptr_t)access->native.object;
}

/* What is staged is memory of the host: there the object is its address. */
static void *
pointer_of(const dcmem_access *access)
{
    return (void *)(uintptr_t)(access->native.object + access->native.offset);
}

/* dcmem_buffer_copy_on() would do. The program copies by itself to have the events, which tell when it was done. */
static void
copy(lane *it, lane_buffer to, lane_buffer from)
{
    dcmem_access read, write;
    cl_event event;
    DO(dcmem_access_begin_on(&read, whole(it, from), DCMEM_ACCESS_READ, it->queue, 0));
    DO(dcmem_access_begin_on(&write, whole(it, to), DCMEM_ACCESS_WRITE, it->queue, 0));
    if (to == LANE_COLOUR)
        CL(clEnqueueWriteBuffer(it->commands, object_of(&write), CL_FALSE, write.native.offset, write.native.bytes,
                                pointer_of(&read), 0, NULL, &event));
    else
        CL(clEnqueueReadBuffer(it->commands, object_of(&read), CL_FALSE, read.native.offset, read.native.bytes,
                               pointer_of(&write), 0, NULL, &event));
    timeline_add(it->times, WORK_COPY, event);
    DO(dcmem_access_end_on(&write)); /* returns at once: the copy may not have begun */
    DO(dcmem_access_end_on(&read));
}

static void
give(cl_kernel kernel, cl_uint first, const dcmem_access *access)
{
    cl_mem object = object_of(access);
    const cl_ulong offset = access->native.offset;
    CL(clSetKernelArg(kernel, first, sizeof object, (const void *)&object));
    CL(clSetKernelArg(kernel, first + 1, sizeof offset, &offset));
}

/* One step: from a picture of `width` times `height`, by so many work items. */
static void
run(lane *it, device_step step, lane_buffer to, dcmem_access_mode mode, lane_buffer from, const cl_int size[2],
    const size_t items[2])
{
    dcmem_access read, write;
    cl_event event;
    cl_kernel kernel = it->on->kernels[step];
    DO(dcmem_access_begin_on(&read, whole(it, from), DCMEM_ACCESS_READ, it->queue, 0));
    DO(dcmem_access_begin_on(&write, whole(it, to), mode, it->queue, 0));
    give(kernel, 0, &write);
    give(kernel, 2, &read);
    CL(clSetKernelArg(kernel, 4, sizeof(cl_int), &size[0]));
    CL(clSetKernelArg(kernel, 5, sizeof(cl_int), &size[1]));
    CL(clEnqueueNDRangeKernel(it->commands, kernel, 2, NULL, items, NULL, 0, NULL, &event));
    timeline_add(it->times, WORK_KERNEL, event);
    DO(dcmem_access_end_on(&write));
    DO(dcmem_access_end_on(&read));
}

void
lane_develop(lane *it)
{
    const cl_int size[] = {(cl_int)it->width, (cl_int)it->height};
    const cl_int half_size[] = {(cl_int)half(it->width), (cl_int)half(it->height)};
    const size_t pixels[] = {it->width, it->height}, half_pixels[] = {half(it->width), half(it->height)};
    const size_t one[] = {1, 1};
    const uint32_t none = 0;

    copy(it, LANE_COLOUR, LANE_STAGED);
    run(it, STEP_grey, LANE_GREY, DCMEM_ACCESS_WRITE, LANE_COLOUR, size, pixels);
    run(it, STEP_blur, LANE_BLURRED, DCMEM_ACCESS_WRITE, LANE_GREY, size, pixels);
    run(it, STEP_sobel, LANE_EDGES, DCMEM_ACCESS_WRITE, LANE_BLURRED, size, pixels);
    run(it, STEP_halve, LANE_HALF, DCMEM_ACCESS_WRITE, LANE_EDGES, size, half_pixels);
    DO(dcmem_buffer_fill_on(NULL, it->queue, whole(it, LANE_COUNTS), &none, sizeof none));
    run(it, STEP_histogram, LANE_COUNTS, DCMEM_ACCESS_UPDATE, LANE_HALF, half_size, half_pixels);
    run(it, STEP_stretch, LANE_TABLE, DCMEM_ACCESS_WRITE, LANE_COUNTS, half_size, one);
    run(it, STEP_recolour, LANE_HALF, DCMEM_ACCESS_UPDATE, LANE_TABLE, half_size, half_pixels);
    copy(it, LANE_DEVELOPED, LANE_HALF);
    CL(clFlush(it->commands)); /* starts without anybody waiting for it */
}
