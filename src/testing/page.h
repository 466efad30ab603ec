/* page.h: virtual memory of a simulated device: reserved ranges, pages, and where pages are mapped.
 *
 *   1. A reserved range is a piece of device->reserved, without memory; a map is a piece of device->mapped, whose
 *      memory is that of its page, and which lies in one reserved range.
 *   2. Where the device is unified the host sees a map at its own address, so what the host sees of a page lies in a
 *      file that can be mapped several times. Otherwise the address leads nowhere: it faults, or is a number.
 *   3. A page is in the list from its making to its end, and counts the maps that there are of it.
 *
 * The device's lock guards all of it. */
#ifndef DCMI_TESTING_PAGE_H
#define DCMI_TESTING_PAGE_H

#include "simulated.h"

typedef struct dcmi_page {
    struct dcmi_page *next;
    uint64_t number; /* its name */
    uint64_t bytes;
    dcmem_kind kind;
    int file;        /* what the host sees; -1: nothing, without a mapping */
    uint8_t *memory; /* the device's */
    uint8_t *view;   /* the host's, when that is another; else NULL */
    uint64_t maps;
} dcmi_page;

/* Ends what users have left behind; whether there was any. */
bool dcmi_pages_end(dcmi_simulated *device);

/* Functions of the table. */
dcmem_result dcmi_simulated_reserve(uint64_t *out, void *handle, uint64_t bytes, uint64_t alignment);
dcmem_result dcmi_simulated_unreserve(void *handle, uint64_t address, uint64_t bytes);
dcmem_result dcmi_simulated_page_create(uint64_t *out, void *handle, const dcmem_call *call, uint64_t bytes,
                                        dcmem_kind kind);
dcmem_result dcmi_simulated_page_destroy(void *handle, const dcmem_call *call, uint64_t page);
dcmem_result dcmi_simulated_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page,
                                     uint64_t page_offset, uint64_t bytes);
dcmem_result dcmi_simulated_page_unmap(void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes);

#endif
