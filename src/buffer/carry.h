/* carry.h: bytes from one place to another, through the driver that can reach both, timed and counted.
 *
 * A site is one byte's place: in a block of a pool, in imported memory, or plain host memory. dcmi_carry() copies
 * between any two of any devices and chooses the way; nothing here knows of buffers or of who is current. */
#ifndef DCMI_CARRY_H
#define DCMI_CARRY_H

#include "pool/pool.h"

typedef struct dcmi_site {
    dcmi_pool *pool;  /* NULL: plain host memory at place.host */
    dcmi_place place; /* of the byte */
    bool is_host;     /* host memory, for the figures */
} dcmi_site;

/* Which way a copy goes. */
typedef enum dcmi_route {
    DCMI_ROUTE_TO,    /* the destination's driver does it; what it cannot know it sees as host memory */
    DCMI_ROUTE_FROM,  /* the source's driver does it */
    DCMI_ROUTE_STAGED /* out by the source's driver, in by the destination's, through a chunk of host memory */
} dcmi_route;

/* Pure. A device is NULL for plain host memory; an address is what the host can touch directly, or NULL. */
dcmi_route dcmi_route_choose(const dcmi_device *to, const void *to_host, const dcmi_device *from,
                             const void *from_host);

/* Plain host memory. The library writes there only where the caller handed it in to be written. */
dcmi_site dcmi_site_host(const void *host);

/* The site `bytes` further on. */
static inline void
dcmi_site_move(dcmi_site *site, uint64_t bytes)
{
    site->place.offset += bytes;
    if (site->place.host)
        site->place.host = (char *)site->place.host + bytes;
}

dcmi_site dcmi_site_at(const dcmi_site *site, uint64_t bytes);

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

/* Fills with a pattern of 1 to 16 bytes, whose whole number fits; a site of a pool. On failure bytes are undefined. */
dcmem_result dcmi_carry_fill(const dcmi_site *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes,
                             dcmem_tag tag);

/* Overwrites a block with zero; by copies of zeros where the driver fails to fill. */
dcmem_result dcmi_carry_scrub(const dcmi_site *to, uint64_t bytes, dcmem_tag tag);

#endif
