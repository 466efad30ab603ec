/* tile.h: what the tests beside it are about: a row of bytes repeated on the device. */
#ifndef TILE_H
#define TILE_H

#include <dcmem/dcmem.h>

DCMEM_BEGIN

/* Makes a buffer of `rows` > 0 copies of a row. */
dcmem_result tile_create(dcmem_buffer **out, dcmem_manager *manager, const void *row, uint64_t row_bytes,
                         uint64_t rows);

DCMEM_END
#endif
