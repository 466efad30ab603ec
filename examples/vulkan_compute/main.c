/* main.c: the image pipeline on the program's own Vulkan device: vulkan_compute [KIND...]
 *
 * KIND is where its buffers lie: device, host_visible or pinned; none: each in turn. Pictures are compared, byte for
 * byte, with what examples/pipeline makes of them on the processor. */
#include "device.h"
#include "examples/pipeline/album.h"
#include "examples/pipeline/pipeline.h"

#include <stdio.h>
#include <string.h>

static int
fail(const char *what)
{
    fprintf(stderr, "vulkan_compute: %s\n", what);
    return 1;
}

static dcmem_result
develop(unsigned *out_right, const album *from, dcmem_manager *manager, const kernels *steps)
{
    pipeline *line;
    const image *first = &from->pictures[0];
    dcmem_result result = pipeline_create(&line, manager, steps, first->width, first->height);
    for (unsigned i = 0; !result && i < ALBUM_PICTURES; i++) {
        image developed;
        result = pipeline_develop(&developed, line, &from->pictures[i]);
        if (result)
            break;
        *out_right += album_agrees(from, i, &developed);
        image_fini(&developed);
    }
    if (!result)
        result = pipeline_destroy(line);
    return result;
}

/* Odd sizes find what even ones forgive. */
static bool
develop_sizes(device *own, dcmem_manager *manager, dcmem_kind kind)
{
    static const uint32_t sizes[][2] = {{19, 13}, {1, 1}, {2, 5}, {257, 3}, {320, 240}};
    const unsigned count = sizeof sizes / sizeof *sizes;
    const kernels steps = device_kernels(own, kind);
    unsigned right = 0;
    for (unsigned i = 0; i < count; i++) {
        album pictures;
        if (album_init(&pictures, sizes[i][0], sizes[i][1]))
            return !fail(dcmem_last_detail()->message);
        dcmem_result result = develop(&right, &pictures, manager, &steps);
        album_fini(&pictures);
        if (result)
            return !fail(dcmem_last_detail()->message);
    }
    printf("%s: %u of %u pictures are what the processor makes of them\n", dcmem_kind_name(kind), right,
           count * ALBUM_PICTURES);
    return right == count * ALBUM_PICTURES;
}

/* No words: all of them. */
static bool
is_meant(dcmem_kind kind, int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], dcmem_kind_name(kind)) == 0)
            return true;
    return count == 0;
}

int
main(int count, char **arguments)
{
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE, DCMEM_KIND_PINNED};
    device own;
    dcmem_manager *manager;
    if (!device_open(&own))
        return 77;

    /* Lent to dcmem, which destroys none of it. While a call of dcmem's runs, nobody else may submit to the queue. */
    const dcmem_native_context native = {
        .size = sizeof native,
        .instance = (uint64_t)(uintptr_t)own.instance,
        .device = (uint64_t)(uintptr_t)own.physical,
        .logical = (uint64_t)(uintptr_t)own.logical,
        .queue = (uint64_t)(uintptr_t)own.queue,
        .family = own.family,
    };
    const dcmem_manager_options options = {.size = sizeof options, .backend = "vulkan", .native = &native};
    if (dcmem_manager_create(&manager, &options))
        return fail(dcmem_last_detail()->message);

    bool is_right = true;
    printf("on %s\n", own.properties.deviceName);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_meant(kinds[i], count - 1, arguments + 1))
            is_right &= develop_sizes(&own, manager, kinds[i]);

    if (dcmem_manager_destroy(manager))
        return fail(dcmem_last_detail()->message);
    device_close(&own);
    return is_right ? 0 : 1;
}
