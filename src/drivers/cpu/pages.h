/* pages.h: virtual memory of the CPU: pages of a file in memory, mapped into reserved addresses, several times if
 * wanted.
 *
 * A device has one file for all its pages, so they cost no descriptors, and neighbours in both become one mapping of
 * the kernel. Pages lie one after the other in it; where one has ended, its bytes are punched out and its place is not
 * used again: there are 2^62 bytes of places.
 *
 * A child of fork shares pages with its parent, unlike other memory. */
#ifndef DCMI_CPU_PAGES_H
#define DCMI_CPU_PAGES_H

#include "base/lock.h"
#include "drivers/cpu/memory.h"

typedef struct dcmi_cpu_page dcmi_cpu_page;
typedef struct dcmi_cpu_shelf dcmi_cpu_shelf;

/* A zeroed struct is ready. */
typedef struct dcmi_cpu_pages {
    dcmi_lock lock; /* of all of it */
    bool has_file;
    int file;
    uint64_t end;            /* of the last page ever */
    dcmi_cpu_page *spare;    /* records without a page */
    dcmi_cpu_shelf *shelves; /* what records lie on */
} dcmi_cpu_pages;

/* No page is mapped any more. */
void dcmi_cpu_pages_fini(dcmi_cpu_pages *pages);

dcmem_result dcmi_cpu_page_create(uint64_t *out, dcmi_cpu_pages *pages, uint64_t bytes, dcmem_kind kind);
dcmem_result dcmi_cpu_page_destroy(dcmi_cpu_pages *pages, uint64_t page);
dcmem_result dcmi_cpu_page_map(dcmi_cpu_pages *pages, const dcmi_cpu_memory *memory, uint64_t address, uint64_t page,
                               uint64_t page_offset, uint64_t bytes);
dcmem_result dcmi_cpu_page_unmap(uint64_t address, uint64_t bytes);

#endif
