/* pages.h: virtual memory by sparse binding: reserved ranges, pages, and where pages are mapped.
 *
 * A page is a piece without a buffer. A range is a stretch of addresses with sparse buffers under it, its tiles; a map
 * binds a part of a page to the tiles at its place. Which addresses those are:
 *
 *     the device's     where buffers have addresses, and the range fits one buffer: that is made with the range
 *     a stand-in's     else: a stretch of the process's own that is never touched. Tiles are made for what is mapped in
 *                      them, and end with it, since devices may have less address space for them than memory
 *
 *   1. Ranges do not touch: behind each is a page of room. So what touches lies in one range.
 *   2. Maps of a range do not overlap, and lie in it in the order of their addresses.
 *   3. A tile of a stand-in's range has a buffer just while something is mapped in it.
 *   4. Of sparse buffers there are never more bytes than the device has address space for.
 *
 * `turn` is held while ranges, maps and tiles change, with the driver's calls that this takes: a sparse buffer is for
 * one thread at a time. `lock` is held for the change itself, and for looking. */
#ifndef DCMI_VULKAN_PAGES_H
#define DCMI_VULKAN_PAGES_H

#include "drivers/vulkan/device.h"

/* Where bytes lie that have a buffer, and how many lie there in one. */
typedef struct dcmi_vk_spot {
    VkBuffer buffer;
    uint64_t offset;
    uint64_t room;
} dcmi_vk_spot;

/* On a device whose card has sparse buffers; else it says nothing and VIRTUAL is not there. */
dcmem_result dcmi_vk_pages_open(dcmi_vk_device *device);
void dcmi_vk_pages_close(dcmi_vk_device *device);

/* Functions of the table. A page is named by its piece. */
dcmem_result dcmi_vk_pages_reserve(uint64_t *out_address, dcmi_vk_device *device, uint64_t bytes, uint64_t alignment);
dcmem_result dcmi_vk_pages_unreserve(dcmi_vk_device *device, uint64_t address, uint64_t bytes);
dcmem_result dcmi_vk_pages_map(dcmi_vk_device *device, uint64_t address, dcmi_vk_piece *page, uint64_t page_offset,
                               uint64_t bytes);
dcmem_result dcmi_vk_pages_unmap(dcmi_vk_device *device, uint64_t address, uint64_t bytes);
void dcmi_vk_pages_destroy(dcmi_vk_device *device, dcmi_vk_piece *page);

/* The buffer of a place that has one, `done` bytes behind its beginning. */
dcmi_vk_spot dcmi_vk_spot_of(dcmi_vk_device *device, const dcmem_place *place, uint64_t done);

#endif
