/* sight.h: a range of memory where the host can touch it for the length of a copy: it is mapped where it must be, and
 * what is not coherent is brought together at both ends.
 *
 * A sight takes whole units of flushing only: what a flush takes along beside the range could be somebody else's. */
#ifndef DCMI_SIGHT_H
#define DCMI_SIGHT_H

#include "buffer/site.h"

typedef struct dcmi_sight {
    char *host; /* of the range's first byte */
    dcmi_device *device;
    dcmem_extent extent;
    uint64_t offset, bytes;
    dcmem_tag tag;
    bool is_mapped, is_written, is_flushed;
} dcmi_sight;

/* Whether the host could see a range of a site that it cannot touch. Pure. */
bool dcmi_sight_can(const dcmi_site *site, uint64_t bytes);

/* On failure nothing has changed. */
dcmem_result dcmi_sight_begin(dcmi_sight *out, const dcmi_site *site, uint64_t bytes, bool is_written, dcmem_tag tag);

/* On failure what was written may not be there. */
dcmem_result dcmi_sight_end(dcmi_sight *sight);

#endif
