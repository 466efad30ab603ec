/* carry.h: bytes from one place to another, by the cheapest route that there is, timed and counted.
 *
 * dcmi_carry() copies between any two sites of any devices. Where there are several routes it takes the one that has
 * been the cheapest at about that size (route.h, cost.h); nothing here knows of buffers or of who is current. */
#ifndef DCMI_CARRY_H
#define DCMI_CARRY_H

#include "buffer/site.h"

/* Who looks on while bytes move. `step` is called between pieces with how many have arrived since it was called last,
 * no lock held; a failure ends the copy there. */
typedef struct dcmi_watch dcmi_watch;
struct dcmi_watch {
    dcmem_result (*step)(dcmi_watch *watch, uint64_t bytes);
};

/* What a copy does beside moving bytes. */
typedef struct dcmi_errand {
    dcmem_tag tag;     /* whose call it is */
    bool has_begun;    /* out: the destination's bytes may have changed, which on failure makes them undefined */
    dcmi_watch *watch; /* NULL: nobody looks on */
} dcmi_errand;

/* Copies; the ranges do not overlap. At least one end has a pool. */
dcmem_result dcmi_carry(const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand);

/* Counts copies that were made elsewhere between two such sites: each of them, and all their bytes. */
void dcmi_carry_count(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t copies, uint64_t bytes);

/* Fills with a pattern of 1 to 16 bytes, whose whole number fits; a site of a pool. On failure bytes are undefined. */
dcmem_result dcmi_carry_fill(const dcmi_site *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes,
                             dcmem_tag tag);

/* Overwrites a block with zero; by copies of zeros where the driver fails to fill. */
dcmem_result dcmi_carry_scrub(const dcmi_site *to, uint64_t bytes, dcmem_tag tag);

#endif
