/* image.c: pictures in host memory, parsed and printed. */
#include "image.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dcmem_result
image_init(image *out, uint32_t width, uint32_t height, uint32_t channels)
{
    if (width == 0 || width > IMAGE_MOST_PIXELS_A_SIDE || height == 0 || height > IMAGE_MOST_PIXELS_A_SIDE ||
        (channels != 1 && channels != 3))
        return DCMEM_E_INVALID_ARGUMENT;
    image it = {width, height, channels, NULL};
    it.pixels = malloc(image_bytes(&it));
    if (!it.pixels)
        return DCMEM_E_NO_HOST_MEMORY;
    *out = it;
    return DCMEM_OK;
}

void
image_fini(image *it)
{
    free(it->pixels);
    *it = (image){0, 0, 0, NULL};
}

/* ---- Parsing ---- */

typedef struct reader {
    const uint8_t *at;
    const uint8_t *end;
} reader;

static void
skip_blanks_and_comments(reader *from)
{
    for (; from->at < from->end; from->at++) {
        if (*from->at == '#')
            while (from->at < from->end && *from->at != '\n')
                from->at++;
        else if (!isspace(*from->at))
            return;
    }
}

/* 0 for what is no number, or none of this size. */
static uint32_t
read_number(reader *from, uint32_t most)
{
    uint32_t number = 0;
    skip_blanks_and_comments(from);
    for (; from->at < from->end && isdigit(*from->at); from->at++) {
        number = number * 10 + (*from->at - '0');
        if (number > most)
            return 0;
    }
    return number;
}

dcmem_result
image_parse(image *out, const void *bytes, size_t count)
{
    reader from = {bytes, (const uint8_t *)bytes + count};
    if (count < 2 || from.at[0] != 'P' || (from.at[1] != '5' && from.at[1] != '6'))
        return DCMEM_E_INVALID_ARGUMENT;
    uint32_t channels = from.at[1] == '6' ? 3 : 1;
    from.at += 2;
    uint32_t width = read_number(&from, IMAGE_MOST_PIXELS_A_SIDE);
    uint32_t height = read_number(&from, IMAGE_MOST_PIXELS_A_SIDE);
    uint32_t brightest = read_number(&from, 255);
    /* One blank, then the pixels. */
    if (brightest == 0 || from.at == from.end || !isspace(*from.at++) ||
        (size_t)(from.end - from.at) < (size_t)width * height * channels)
        return DCMEM_E_INVALID_ARGUMENT;

    dcmem_result result = image_init(out, width, height, channels);
    if (!result)
        memcpy(out->pixels, from.at, image_bytes(out));
    return result;
}

uint8_t *
image_print(size_t *out_count, const image *it)
{
    char header[64];
    int header_bytes =
        snprintf(header, sizeof header, "P%c\n%u %u\n255\n", it->channels == 3 ? '6' : '5', it->width, it->height);
    uint8_t *bytes = malloc((size_t)header_bytes + image_bytes(it));
    if (!bytes)
        return NULL;
    memcpy(bytes, header, (size_t)header_bytes);
    memcpy(bytes + header_bytes, it->pixels, image_bytes(it));
    *out_count = (size_t)header_bytes + image_bytes(it);
    return bytes;
}
