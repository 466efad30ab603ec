/* tile.c: a row of bytes repeated on the device. The row goes there once; the device itself does the rest.
 *
 * Compiled with TILE_IS_BROKEN it forgets the last row and, when something fails, its memory: the tests say so. */
#include "tile.h"

#ifdef TILE_IS_BROKEN
enum { FORGOTTEN_ROWS = 1 };
#else
enum { FORGOTTEN_ROWS = 0 };
#endif

static dcmem_result
repeat(dcmem_buffer *tiles, dcmem_buffer *row, uint64_t row_bytes, uint64_t rows)
{
    for (uint64_t i = 0; i < rows - FORGOTTEN_ROWS; i++) {
        dcmem_view place;
        dcmem_result result = dcmem_view_slice(&place, dcmem_view_whole(tiles), i * row_bytes, row_bytes);
        if (!result)
            result = dcmem_buffer_copy(place, dcmem_view_whole(row));
        if (result)
            return result;
    }
    return DCMEM_OK;
}

dcmem_result
tile_create(dcmem_buffer **out, dcmem_manager *manager, const void *row, uint64_t row_bytes, uint64_t rows)
{
    dcmem_buffer *source, *tiles;

    dcmem_result result = dcmem_buffer_create_typed(&tiles, manager, rows, row_bytes, NULL);
    if (result)
        return result;
    result = dcmem_buffer_create_from(&source, manager, row, row_bytes, NULL);
    if (result)
        goto undo_tiles;

    result = repeat(tiles, source, row_bytes, rows);
    if (result)
        goto undo_source;
    result = dcmem_buffer_destroy(source);
    if (result)
        goto undo_tiles;

    *out = tiles;
    return DCMEM_OK;

undo_source:
    (void)dcmem_buffer_destroy(source); /* the first failure is the one to tell */
undo_tiles:
#ifndef TILE_IS_BROKEN
    (void)dcmem_buffer_destroy(tiles);
#endif
    return result;
}
