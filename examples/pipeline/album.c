/* album.c: pictures that are drawn, developed and compared. */
#include "album.h"

#include "pipeline.h"

#include <stdio.h>
#include <string.h>

/* Slopes with bright spots: another picture for each number, and another contrast. */
static dcmem_result
draw(image *out, uint32_t width, uint32_t height, uint32_t number)
{
    uint32_t noise = number + 1;
    dcmem_result result = image_init(out, width, height, 3);
    if (result)
        return result;
    for (size_t i = 0; i < image_bytes(out); i++) {
        noise = noise * 1664525 + 1013904223;
        out->pixels[i] = (uint8_t)((i / width + 7 * number) % 61 + (noise >> 28 ? 0 : noise >> 20 & 127));
    }
    return DCMEM_OK;
}

static dcmem_result
draw_all(album *out, uint32_t width, uint32_t height)
{
    for (unsigned i = 0; i < ALBUM_PICTURES; i++) {
        dcmem_result result = draw(&out->pictures[i], width, height, i);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

static dcmem_result
develop_all(album *out, dcmem_manager *manager)
{
    pipeline *line;
    const image *first = &out->pictures[0];
    dcmem_result result = pipeline_create(&line, manager, &kernels_of_processor, first->width, first->height);
    if (result)
        return result;
    for (unsigned i = 0; !result && i < ALBUM_PICTURES; i++)
        result = pipeline_develop(&out->developed[i], line, &out->pictures[i]);
    (void)pipeline_destroy(line); /* the pictures are there, or the first failure is the one to tell */
    return result;
}

dcmem_result
album_init(album *out, uint32_t width, uint32_t height)
{
    dcmem_manager *manager;
    dcmem_result result = dcmem_manager_create(&manager, NULL);
    if (result)
        return result;
    memset(out, 0, sizeof *out);
    result = draw_all(out, width, height);
    if (!result)
        result = develop_all(out, manager);
    if (result)
        album_fini(out);
    (void)dcmem_manager_destroy(manager);
    return result;
}

void
album_fini(album *it)
{
    for (unsigned i = 0; i < ALBUM_PICTURES; i++) {
        image_fini(&it->pictures[i]);
        image_fini(&it->developed[i]);
    }
}

bool
album_agrees(const album *it, unsigned number, const image *developed)
{
    const image *right = &it->developed[number];
    if (developed->width == right->width && developed->height == right->height &&
        memcmp(developed->pixels, right->pixels, image_bytes(right)) == 0)
        return true;
    fprintf(stderr, "picture %u of %u x %u is not what the processor makes of it\n", number, it->pictures[0].width,
            it->pictures[0].height);
    return false;
}
