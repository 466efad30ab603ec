/* reference.c: the pipeline in plain loops over arrays of int: no device, no buffers, and the filters taken apart into
 * a pass along the rows and one along the columns. */
#include "reference.h"

#include <stdlib.h>

typedef struct grid {
    int width;
    int height;
    int *values;
} grid;

static grid
grid_of(int width, int height)
{
    grid it = {width, height, calloc((size_t)width * (size_t)height, sizeof(int))};
    if (!it.values)
        abort();
    return it;
}

static int *
place(const grid *it, int x, int y)
{
    if (x < 0)
        x = 0;
    if (x >= it->width)
        x = it->width - 1;
    if (y < 0)
        y = 0;
    if (y >= it->height)
        y = it->height - 1;
    return &it->values[y * it->width + x];
}

/* Three neighbours weighed, along the rows (1, 0) or the columns (0, 1). */
static grid
weigh(const grid *from, int right, int down, int before, int here, int after)
{
    grid to = grid_of(from->width, from->height);
    for (int y = 0; y < to.height; y++)
        for (int x = 0; x < to.width; x++)
            *place(&to, x, y) = before * *place(from, x - right, y - down) + here * *place(from, x, y) +
                                after * *place(from, x + right, y + down);
    return to;
}

static grid
weigh_both(const grid *from, const int along_rows[3], const int along_columns[3])
{
    grid half_done = weigh(from, 1, 0, along_rows[0], along_rows[1], along_rows[2]);
    grid done = weigh(&half_done, 0, 1, along_columns[0], along_columns[1], along_columns[2]);
    free(half_done.values);
    return done;
}

static grid
grey_of(const image *picture)
{
    grid to = grid_of((int)picture->width, (int)picture->height);
    for (int i = 0; i < to.width * to.height; i++) {
        const uint8_t *pixel = picture->pixels + (size_t)i * picture->channels;
        double brightness = picture->channels == 1 ? pixel[0] : 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        to.values[i] = (int)(brightness + 0.5 + 1e-9); /* exact halves go up, whatever binary fractions make of them */
    }
    return to;
}

static const int smooth[] = {1, 2, 1}, slope[] = {-1, 0, 1};

static grid
edges_of(const grid *grey)
{
    grid blurred = weigh_both(grey, smooth, smooth);
    for (int i = 0; i < blurred.width * blurred.height; i++)
        blurred.values[i] = (blurred.values[i] + 8) / 16;
    grid across = weigh_both(&blurred, slope, smooth), down = weigh_both(&blurred, smooth, slope);
    for (int i = 0; i < across.width * across.height; i++) {
        int steepness = abs(across.values[i]) + abs(down.values[i]);
        across.values[i] = steepness > 255 ? 255 : steepness;
    }
    free(blurred.values);
    free(down.values);
    return across;
}

static grid
half_of(const grid *from)
{
    grid to = grid_of((from->width + 1) / 2, (from->height + 1) / 2), counts = grid_of(to.width, to.height);
    for (int y = 0; y < from->height; y++)
        for (int x = 0; x < from->width; x++) {
            *place(&to, x / 2, y / 2) += *place(from, x, y);
            *place(&counts, x / 2, y / 2) += 1;
        }
    for (int i = 0; i < to.width * to.height; i++)
        to.values[i] = (to.values[i] + counts.values[i] / 2) / counts.values[i];
    free(counts.values);
    return to;
}

static void
stretch(grid *it)
{
    int low = 255, high = 0;
    for (int i = 0; i < it->width * it->height; i++) {
        low = it->values[i] < low ? it->values[i] : low;
        high = it->values[i] > high ? it->values[i] : high;
    }
    for (int i = 0; low < high && i < it->width * it->height; i++)
        it->values[i] = (it->values[i] - low) * 255 / (high - low);
}

void
reference_develop(image *out, const image *picture)
{
    grid grey = grey_of(picture), edges = edges_of(&grey), half = half_of(&edges);
    stretch(&half);
    if (image_init(out, (uint32_t)half.width, (uint32_t)half.height, 1))
        abort();
    for (int i = 0; i < half.width * half.height; i++)
        out->pixels[i] = (uint8_t)half.values[i];
    free(grey.values);
    free(edges.values);
    free(half.values);
}
