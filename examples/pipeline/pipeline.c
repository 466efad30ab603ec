/* pipeline.c: pictures developed on a device. Host and device take turns: the host brings the picture, the device works
 * on it, the host reads the histogram and writes a table, the device recolours by it, the host takes the picture.
 *
 * Three bugs that were in here once can be had back, to see what the tests say to them (README.md):
 *
 *     PIPELINE_BUG_MISSED_COPY    the table is written through an address from an earlier mapping
 *     PIPELINE_BUG_LEAK           buffers that exist are forgotten when the next one cannot be had
 *     PIPELINE_BUG_UNCHECKED      nobody looks whether the picture came back from the device */
#include "pipeline.h"

#include <stdlib.h>

#define COLOURS 256u

/* name, bytes for a picture of `width` times `height`. Buffers are tagged with their number, from 1. */
#define BUFFERS(X)                                                                                                     \
    X(COLOUR, 3 * pixels)                                                                                              \
    X(GREY, pixels)                                                                                                    \
    X(BLURRED, pixels)                                                                                                 \
    X(EDGES, pixels)                                                                                                   \
    X(HALF, half_pixels)                                                                                               \
    X(COUNTS, COLOURS * sizeof(uint32_t))                                                                              \
    X(TABLE, COLOURS)

typedef enum buffer_name {
#define X(name, bytes) BUFFER_##name,
    BUFFERS(X)
#undef X
        BUFFER_COUNT
} buffer_name;

struct pipeline {
    const kernels *device;
    uint32_t width;
    uint32_t height;
    dcmem_buffer *buffers[BUFFER_COUNT];
#ifdef PIPELINE_BUG_MISSED_COPY
    uint8_t *table; /* the host's side of that buffer, mapped once */
#endif
};

static dcmem_view
whole(const pipeline *line, buffer_name name)
{
    return dcmem_view_whole(line->buffers[name]);
}

static uint32_t
half(uint32_t size)
{
    return (size + 1) / 2;
}

/* ---- Life ---- */

static dcmem_result
create_buffers(pipeline *line, dcmem_manager *manager)
{
    const uint64_t pixels = (uint64_t)line->width * line->height;
    const uint64_t half_pixels = (uint64_t)half(line->width) * half(line->height);
    const uint64_t bytes[BUFFER_COUNT] = {
#define X(name, bytes) bytes,
        BUFFERS(X)
#undef X
    };
    for (int i = 0; i < BUFFER_COUNT; i++) {
        dcmem_buffer_options options = {
            .size = sizeof options,
            .kind = line->device->kind,
            .alignment = line->device->alignment,
            .tag = (dcmem_tag)(i + 1),
        };
        dcmem_result result = dcmem_buffer_create(&line->buffers[i], manager, bytes[i], &options);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

#ifdef PIPELINE_BUG_MISSED_COPY
static dcmem_result
find_table(pipeline *line)
{
    dcmem_map map;
    dcmem_result result = dcmem_buffer_map(&map, whole(line, BUFFER_TABLE), DCMEM_MAP_WRITE);
    if (result)
        return result;
    line->table = map.host;
    result = dcmem_buffer_unmap(&map);
    if (result)
        (void)dcmem_access_abort(&map.access);
    return result;
}
#endif

dcmem_result
pipeline_create(pipeline **out, dcmem_manager *manager, const kernels *device, uint32_t width, uint32_t height)
{
    if (width == 0 || width > IMAGE_MOST_PIXELS_A_SIDE || height == 0 || height > IMAGE_MOST_PIXELS_A_SIDE)
        return DCMEM_E_INVALID_ARGUMENT;
    pipeline *line = malloc(sizeof *line);
    if (!line)
        return DCMEM_E_NO_HOST_MEMORY;
    *line = (pipeline){.device = device, .width = width, .height = height};

    dcmem_result result = create_buffers(line, manager);
#ifdef PIPELINE_BUG_LEAK
    if (result) {
        free(line); /* the bug: and its buffers? */
        return result;
    }
#endif
#ifdef PIPELINE_BUG_MISSED_COPY
    if (!result)
        result = find_table(line);
#endif
    if (result) {
        (void)pipeline_destroy(line); /* the first failure is the one to tell */
        return result;
    }
    *out = line;
    return DCMEM_OK;
}

dcmem_result
pipeline_destroy(pipeline *line)
{
    dcmem_result first = DCMEM_OK;
    for (int i = 0; line && i < BUFFER_COUNT; i++) {
        dcmem_result result = dcmem_buffer_destroy(line->buffers[i]); /* NULL is allowed */
        first = first ? first : result;
    }
    free(line);
    return first;
}

/* ---- Steps ---- */

/* One step on the device: what it reads is current there while it runs, and what it wrote is so afterwards. */
static dcmem_result
run(pipeline *line, kernel_step step, buffer_name to, buffer_name from, uint32_t width, uint32_t height)
{
    dcmem_access read, write;
    dcmem_result result = dcmem_access_begin(&read, whole(line, from), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0);
    if (result)
        return result;
    result = dcmem_access_begin(&write, whole(line, to), DCMEM_SIDE_DEVICE,
                                step == KERNEL_RECOLOUR ? DCMEM_ACCESS_UPDATE : DCMEM_ACCESS_WRITE, 0);
    if (result)
        goto undo_read;

    kernel_launch launch = {step, width, height, write.native, read.native};
    result = line->device->run(line->device->user, &launch);
    if (result)
        goto undo_write;
    result = dcmem_access_end(&write);
    if (result)
        goto undo_write;
    result = dcmem_access_end(&read);
    if (result)
        goto undo_read;
    return DCMEM_OK;

undo_write:
    (void)dcmem_access_abort(&write); /* half of it may be written */
undo_read:
    (void)dcmem_access_abort(&read);
    return result;
}

/* Colour takes the longer way. */
static dcmem_result
bring(pipeline *line, const image *picture)
{
    if (picture->channels == 1)
        return dcmem_buffer_copy_in(whole(line, BUFFER_GREY), picture->pixels, 0);
    dcmem_result result = dcmem_buffer_copy_in(whole(line, BUFFER_COLOUR), picture->pixels, 0);
    return result ? result : run(line, KERNEL_GREY, BUFFER_GREY, BUFFER_COLOUR, line->width, line->height);
}

static dcmem_result
find_edges(pipeline *line)
{
    dcmem_result result = run(line, KERNEL_BLUR, BUFFER_BLURRED, BUFFER_GREY, line->width, line->height);
    if (!result)
        result = run(line, KERNEL_SOBEL, BUFFER_EDGES, BUFFER_BLURRED, line->width, line->height);
    if (!result)
        result = run(line, KERNEL_HALVE, BUFFER_HALF, BUFFER_EDGES, line->width, line->height);
    return result;
}

/* ---- Contrast ---- */

/* From the darkest value that occurs to the brightest becomes from black to white. */
static void
stretch(uint8_t *table, const uint32_t *counts)
{
    uint32_t low = 0, high = COLOURS - 1;
    while (low < high && counts[low] == 0)
        low++;
    while (high > low && counts[high] == 0)
        high--;
    for (uint32_t i = 0; i < COLOURS; i++) {
        uint32_t above = i < low ? 0 : (i < high ? i : high) - low;
        table[i] = (uint8_t)(low == high ? i : above * 255 / (high - low));
    }
}

static dcmem_result
write_table(pipeline *line, const uint32_t *counts)
{
#ifdef PIPELINE_BUG_MISSED_COPY
    stretch(line->table, counts); /* the bug: nobody knows that the host's side is the newer one */
    return DCMEM_OK;
#else
    dcmem_map map;
    dcmem_result result = dcmem_buffer_map(&map, whole(line, BUFFER_TABLE), DCMEM_MAP_WRITE_DISCARD);
    if (result)
        return result;
    stretch(map.host, counts);
    result = dcmem_buffer_unmap(&map);
    if (result)
        (void)dcmem_access_abort(&map.access); /* it is still open */
    return result;
#endif
}

static dcmem_result
stretch_contrast(pipeline *line)
{
    const uint32_t width = half(line->width), height = half(line->height);
    uint32_t counts[COLOURS];
    dcmem_result result = run(line, KERNEL_HISTOGRAM, BUFFER_COUNTS, BUFFER_HALF, width, height);
    if (!result)
        result = dcmem_buffer_copy_out(counts, whole(line, BUFFER_COUNTS), 0);
    if (!result)
        result = write_table(line, counts);
    if (!result)
        result = run(line, KERNEL_RECOLOUR, BUFFER_HALF, BUFFER_TABLE, width, height);
    return result;
}

/* ---- A picture ---- */

static dcmem_result
take(image *out, pipeline *line)
{
    image developed;
    dcmem_result result = image_init(&developed, half(line->width), half(line->height), 1);
    if (result)
        return result;
#ifdef PIPELINE_BUG_UNCHECKED
    (void)dcmem_buffer_copy_out(developed.pixels, whole(line, BUFFER_HALF), 0); /* the bug: "this cannot fail" */
#else
    result = dcmem_buffer_copy_out(developed.pixels, whole(line, BUFFER_HALF), 0);
    if (result) {
        image_fini(&developed);
        return result;
    }
#endif
    *out = developed;
    return DCMEM_OK;
}

dcmem_result
pipeline_develop(image *out, pipeline *line, const image *picture)
{
    if (picture->width != line->width || picture->height != line->height)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmem_result result = bring(line, picture);
    if (!result)
        result = find_edges(line);
    if (!result)
        result = stretch_contrast(line);
    return result ? result : take(out, line);
}
