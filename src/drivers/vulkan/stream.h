/* stream.h: copies and fills in order, as submissions to a VkQueue; each has a slot of a ring until it is settled.
 * Submissions are numbered from 1: where the device has timeline semaphores, the stream has one, and the device sets it
 * to a submission's number when it has done its part. Where not, each slot has a fence.
 *
 *     begun    submissions so far
 *     ended    of these, settled: the device has done its part, and bytes for plain host memory are there
 *
 *   1. A slot is its command buffer, its part of the staging memory and, without a semaphore, its fence. Submission
 *      number n has slot n - 1 modulo the ring's size, so submissions never wait for memory, only for slots.
 *   2. What is to come from plain host memory is read when it is submitted; what is to go there is written when it is
 *      settled. So whoever reads or writes plain host memory waits first until what goes there before has gone.
 *   3. One thread at a time submits, and one at a time settles. Where nobody else settles, the submitter does when it
 *      must wait. */
#ifndef DCMI_VULKAN_STREAM_H
#define DCMI_VULKAN_STREAM_H

#include "drivers/vulkan/device.h"

#define DCMI_VK_SLOTS 16u
#define DCMI_VK_CHUNK (128u << 10) /* of staging memory, a slot */

typedef struct dcmi_vk_slot {
    VkCommandBuffer commands;
    VkFence fence; /* NULL: the stream has a semaphore */
    void *host;    /* where staged bytes go when the device is done; NULL: none go */
    uint64_t bytes;
    uint64_t value; /* of the work that it belongs to */
    bool is_last;   /* with it the work is done */
} dcmi_vk_slot;

struct dcmi_vk_stream {
    dcmi_vk_device *device;
    dcmi_vk_port *port;
    VkCommandPool pool;
    VkSemaphore timeline; /* NULL: slots have fences */
    dcmem_extent staging;
    dcmi_vk_slot slots[DCMI_VK_SLOTS];
    bool is_watched; /* somebody else settles */
    uint64_t value;  /* what the next submissions belong to */
    uint64_t host_until;
    _Atomic uint64_t begun;
    _Atomic uint64_t ended;
    _Atomic uint32_t begins; /* changes when something was submitted, */
    _Atomic uint32_t ends;   /* and when something was settled: what waits sleeps on them */
};

dcmem_result dcmi_vk_stream_open(dcmi_vk_stream **out, dcmi_vk_device *device, dcmi_vk_port *port, uint32_t family);

/* Everything has been settled. */
void dcmi_vk_stream_close(dcmi_vk_stream *stream);

/* Submits; may wait for slots, and for what goes to plain host memory. After a failure nothing of it is under way. */
dcmem_result dcmi_vk_stream_copy(dcmi_vk_stream *stream, const dcmem_place *to, const dcmem_place *from,
                                 uint64_t bytes);
dcmem_result dcmi_vk_stream_fill(dcmi_vk_stream *stream, const dcmem_place *to, uint64_t bytes, const void *pattern,
                                 uint32_t pattern_bytes);

/* A submission of nothing: settled when all that the VkQueue was given before is done. */
dcmem_result dcmi_vk_stream_mark(dcmi_vk_stream *stream);

/* Waits for the oldest submission, which is there, and ends it; *out is what it was, its code returned. */
VkResult dcmi_vk_stream_settle(dcmi_vk_slot *out, dcmi_vk_stream *stream);

/* Settles all; the first failure among them. Of streams that nobody watches. */
dcmem_result dcmi_vk_stream_finish(dcmi_vk_stream *stream, const char *what);

/* Where the host can touch a place, or NULL; whether it may do so at any time; and whether commands reach it. */
char *dcmi_vk_host_of(const dcmem_place *place);
bool dcmi_vk_is_plain(const dcmem_place *place);
bool dcmi_vk_has_buffer(const dcmem_place *place);

void dcmi_vk_host_fill(char *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes);

#endif
