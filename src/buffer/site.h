/* site.h: one byte's place: in a block of a pool, in imported memory, or plain host memory. */
#ifndef DCMI_SITE_H
#define DCMI_SITE_H

#include "pool/pool.h"

typedef struct dcmi_site {
    dcmi_pool *pool;  /* NULL: plain host memory at place.host */
    dcmi_place place; /* of the byte */
    bool is_host;     /* host memory, for the figures */
} dcmi_site;

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

/* Of its pool, or NULL. */
static inline dcmi_device *
dcmi_site_device(const dcmi_site *site)
{
    return site->pool ? dcmi_pool_device(site->pool) : NULL;
}

/* The site as `device` understands it: its own memory, or what the host can touch. It points into the site. */
static inline dcmem_place
dcmi_site_place(const dcmi_site *site, const dcmi_device *device)
{
    if (dcmi_site_device(site) == device)
        return (dcmem_place){.extent = &site->place.extent, .offset = site->place.offset};
    return (dcmem_place){.host = site->place.host};
}

#endif
