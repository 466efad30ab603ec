/* kernels.c: what each step computes, pixel by pixel as a kernel would, and the processor as a device that runs it. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

uint64_t
kernel_to_bytes(const kernel_launch *launch)
{
    uint64_t pixels = (uint64_t)launch->width * launch->height;
    switch (launch->step) {
    case KERNEL_HALVE:
        return (uint64_t)((launch->width + 1) / 2) * ((launch->height + 1) / 2);
    case KERNEL_HISTOGRAM:
        return 256 * sizeof(uint32_t);
    default:
        return pixels;
    }
}

uint64_t
kernel_from_bytes(const kernel_launch *launch)
{
    uint64_t pixels = (uint64_t)launch->width * launch->height;
    switch (launch->step) {
    case KERNEL_GREY:
        return 3 * pixels;
    case KERNEL_RECOLOUR:
        return 256;
    default:
        return pixels;
    }
}

/* ---- One pixel of each ---- */

typedef struct plane {
    const uint8_t *pixels;
    int width;
    int height;
} plane;

static int
within(int i, int count)
{
    return i < 0 ? 0 : i < count ? i : count - 1;
}

/* Beyond its edges a picture goes on as it ends. */
static int
at(const plane *from, int x, int y)
{
    return from->pixels[(size_t)within(y, from->height) * (size_t)from->width + (size_t)within(x, from->width)];
}

static uint8_t
grey(const uint8_t *colour)
{
    return (uint8_t)((299 * colour[0] + 587 * colour[1] + 114 * colour[2] + 500) / 1000);
}

static uint8_t
blur(const plane *from, int x, int y)
{
    int corners = at(from, x - 1, y - 1) + at(from, x + 1, y - 1) + at(from, x - 1, y + 1) + at(from, x + 1, y + 1);
    int sides = at(from, x, y - 1) + at(from, x - 1, y) + at(from, x + 1, y) + at(from, x, y + 1);
    return (uint8_t)((corners + 2 * sides + 4 * at(from, x, y) + 8) / 16);
}

static uint8_t
sobel(const plane *from, int x, int y)
{
    int across = at(from, x + 1, y - 1) + 2 * at(from, x + 1, y) + at(from, x + 1, y + 1) - at(from, x - 1, y - 1) -
                 2 * at(from, x - 1, y) - at(from, x - 1, y + 1);
    int down = at(from, x - 1, y + 1) + 2 * at(from, x, y + 1) + at(from, x + 1, y + 1) - at(from, x - 1, y - 1) -
               2 * at(from, x, y - 1) - at(from, x + 1, y - 1);
    int steepness = abs(across) + abs(down);
    return (uint8_t)(steepness < 255 ? steepness : 255);
}

/* x and y are those of the smaller picture. */
static uint8_t
halve(const plane *from, int x, int y)
{
    const int columns = 2 * x + 1 < from->width ? 2 : 1, rows = 2 * y + 1 < from->height ? 2 : 1;
    const int count = columns * rows;
    int sum = 0;
    for (int i = 0; i < count; i++)
        sum += at(from, 2 * x + i % columns, 2 * y + i / columns);
    return (uint8_t)((sum + count / 2) / count);
}

/* ---- Whole steps ---- */

static void
for_each_pixel(uint8_t *to, int width, int height, const plane *from, uint8_t (*pixel)(const plane *, int, int))
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            *to++ = pixel(from, x, y);
}

static void
count_values(uint32_t *counts, const uint8_t *pixels, uint64_t count)
{
    memset(counts, 0, 256 * sizeof *counts);
    for (uint64_t i = 0; i < count; i++)
        counts[pixels[i]]++;
}

void
kernel_compute(const kernel_launch *launch, void *to, const void *from)
{
    const plane picture = {from, (int)launch->width, (int)launch->height};
    const uint64_t pixels = (uint64_t)launch->width * launch->height;
    uint8_t *out = to;

    switch (launch->step) {
    case KERNEL_GREY:
        for (uint64_t i = 0; i < pixels; i++)
            out[i] = grey(picture.pixels + 3 * i);
        break;
    case KERNEL_BLUR:
        for_each_pixel(out, picture.width, picture.height, &picture, blur);
        break;
    case KERNEL_SOBEL:
        for_each_pixel(out, picture.width, picture.height, &picture, sobel);
        break;
    case KERNEL_HALVE:
        for_each_pixel(out, (picture.width + 1) / 2, (picture.height + 1) / 2, &picture, halve);
        break;
    case KERNEL_HISTOGRAM:
        count_values(to, from, pixels);
        break;
    case KERNEL_RECOLOUR:
        for (uint64_t i = 0; i < pixels; i++)
            out[i] = picture.pixels[out[i]]; /* `from` is the table here */
        break;
    default:
        break;
    }
}

/* ---- The processor ---- */

static dcmem_result
run_on_processor(void *user, const kernel_launch *launch)
{
    (void)user;
    void *to = (void *)(uintptr_t)launch->to.address; /* as a pointer, that is what it is here */
    const void *from = (const void *)(uintptr_t)launch->from.address;
    kernel_compute(launch, to, from);
    return DCMEM_OK;
}

const kernels kernels_of_processor = {.run = run_on_processor};
