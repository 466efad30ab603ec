/* queue.h: a queue with its timeline: a stream, and a thread that settles what was submitted to it.
 *
 *     submitted   the value of the newest work
 *     completed   the value up to which all is done; never falls, never passes submitted
 *
 * Submissions happen in the caller's thread only, so that a VkQueue that is lent is used in calls to dcmem and at no
 * other time. The watching thread waits for the stream's semaphore or fences, which concerns no VkQueue, and writes
 * `completed`: whoever asks for it reads memory, where the semaphore's value would be asked of the driver. */
#ifndef DCMI_VULKAN_QUEUE_H
#define DCMI_VULKAN_QUEUE_H

#include "drivers/vulkan/stream.h"

#include <pthread.h>

/* Starts a queue's thread. Changed by tests only. */
extern int (*dcmi_vk_thread_new)(pthread_t *out, const pthread_attr_t *attributes, void *(*work)(void *), void *user);

typedef struct dcmi_vk_queue dcmi_vk_queue;

/* `native` as in the contract. */
dcmem_result dcmi_vk_queue_open(dcmi_vk_queue **out, dcmi_vk_device *device, const dcmem_native_context *native);
void dcmi_vk_queue_close(dcmi_vk_queue *queue);

dcmem_result dcmi_vk_queue_copy(uint64_t *out_value, dcmi_vk_queue *queue, const dcmem_place *to,
                                const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_vk_queue_fill(uint64_t *out_value, dcmi_vk_queue *queue, const dcmem_place *to, uint64_t bytes,
                                const void *pattern, uint32_t pattern_bytes);
dcmem_result dcmi_vk_queue_mark(uint64_t *out_value, dcmi_vk_queue *queue);
uint64_t dcmi_vk_queue_completed(const dcmi_vk_queue *queue);
dcmem_result dcmi_vk_queue_wait(dcmi_vk_queue *queue, uint64_t value, uint64_t timeout_ns);

#endif
