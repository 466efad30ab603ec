/* album.h: pictures of one size, and what the processor makes of them: what other devices are compared with. */
#ifndef ALBUM_H
#define ALBUM_H

#include "image.h"

#include <stdbool.h>

#define ALBUM_PICTURES 12u

typedef struct album {
    image pictures[ALBUM_PICTURES];  /* in colour, drawn */
    image developed[ALBUM_PICTURES]; /* by pipeline_develop() */
} album;

/* DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY; nothing is left then. */
dcmem_result album_init(album *out, uint32_t width, uint32_t height);
void album_fini(album *it);

/* Whether that is, byte for byte, what becomes of the picture of this number. A line on stderr if not. */
bool album_agrees(const album *it, unsigned number, const image *developed);

#endif
