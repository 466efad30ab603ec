/* image.h: pictures in host memory, and the formats PGM (grey) and PPM (colour) in bytes. */
#ifndef IMAGE_H
#define IMAGE_H

#include <dcmem/result.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MOST_PIXELS_A_SIDE 32768u

typedef struct image {
    uint32_t width;
    uint32_t height;
    uint32_t channels; /* 1: grey; 3: red, green, blue */
    uint8_t *pixels;   /* row by row, without gaps; NULL: no image */
} image;

static inline size_t
image_bytes(const image *it)
{
    return (size_t)it->width * it->height * it->channels;
}

/* Pixels are not yet set. DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY. */
dcmem_result image_init(image *out, uint32_t width, uint32_t height, uint32_t channels);
void image_fini(image *it);

/* From the bytes of a PGM ("P5") or PPM ("P6") file of at most 255 a channel. The same errors. */
dcmem_result image_parse(image *out, const void *bytes, size_t count);

/* The bytes of such a file, to be freed; their number goes to `out_count`. NULL: no memory. */
uint8_t *image_print(size_t *out_count, const image *it);

#endif
