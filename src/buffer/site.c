/* site.c: sites of host memory, and further on. */
#include "buffer/site.h"

dcmi_site
dcmi_site_host(const void *host)
{
    return (dcmi_site){.place.host = (void *)(uintptr_t)host, .is_host = true};
}

dcmi_site
dcmi_site_at(const dcmi_site *site, uint64_t bytes)
{
    dcmi_site moved = *site;
    dcmi_site_move(&moved, bytes);
    return moved;
}
