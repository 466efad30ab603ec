/* range.h: ranges within blocks of raw memory, as callers name them: by address. */
#ifndef DCMI_RANGE_OF_BLOCK_H
#define DCMI_RANGE_OF_BLOCK_H

#include "pool/pool.h"

typedef struct dcmi_range {
    dcmi_pool *pool;
    dcmi_place place;
    dcmi_block block;
} dcmi_range;

/* The caller's block that holds `address`; the second: and begins there. */
dcmem_result dcmi_range_block(dcmi_block *out, dcmi_pool *pool, const void *address);
dcmem_result dcmi_range_block_start(dcmi_block *out, dcmi_pool *pool, const void *address);

/* Where `bytes` from `address` lie, all within one live block. `name` is the argument's. */
dcmem_result dcmi_range_find(dcmi_range *out, dcmi_pool *pool, const void *address, uint64_t bytes, const char *name);

/* Whether two ranges do not overlap. */
dcmem_result dcmi_range_check_apart(const void *to, const void *from, uint64_t bytes);

static inline dcmem_place
dcmi_range_place(const dcmi_range *of)
{
    return (dcmem_place){.extent = &of->place.extent, .offset = of->place.offset, .host = of->place.host};
}

#endif
