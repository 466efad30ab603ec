/* queue.h: a queue with its timeline.
 *
 *     submitted   the value of the newest submission
 *     completed   the value up to which all is done; never falls, never passes submitted
 *
 *   1. Values are given in the order in which the driver gets the commands: both happen under `lock`.
 *   2. The driver tells of a command's end by a callback in a thread of its own, in any order. As the commands end in
 *      order, the end of one is the end of all before it.
 *   3. A callback may come after the queue was closed: each that is owed counts as a user, and the last user frees. */
#ifndef DCMI_OPENCL_QUEUE_H
#define DCMI_OPENCL_QUEUE_H

#include "base/lock.h"
#include "drivers/opencl/device.h"

typedef struct dcmi_cl_queue {
    dcmi_cl_device *device;
    cl_command_queue handle;
    bool is_lent;
    dcmi_lock lock;
    _Atomic uint64_t submitted; /* written under the lock */
    _Atomic uint64_t completed;
    _Atomic uint64_t failed_from; /* the first value that is known to have failed; UINT64_MAX: none */
    _Atomic int32_t failed_code;  /* of the failure that was told first */
    _Atomic uint32_t wakes;       /* changes with each completion: what waits for one sleeps on it */
    _Atomic uint32_t users;
} dcmi_cl_queue;

/* `native` as in the contract. */
dcmem_result dcmi_cl_queue_open(dcmi_cl_queue **out, dcmi_cl_device *device, const dcmem_native_context *native);
void dcmi_cl_queue_close(dcmi_cl_queue *queue);

dcmem_result dcmi_cl_queue_copy(uint64_t *out_value, dcmi_cl_queue *queue, const dcmem_place *to,
                                const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_cl_queue_fill(uint64_t *out_value, dcmi_cl_queue *queue, const dcmem_place *to, uint64_t bytes,
                                const void *pattern, uint32_t pattern_bytes);
dcmem_result dcmi_cl_queue_mark(uint64_t *out_value, dcmi_cl_queue *queue);
uint64_t dcmi_cl_queue_completed(const dcmi_cl_queue *queue);
dcmem_result dcmi_cl_queue_wait(dcmi_cl_queue *queue, uint64_t value, uint64_t timeout_ns);

/* Whether a caller's queue can be used on a device: of its context and card, and in order. */
dcmem_result dcmi_cl_queue_check(cl_command_queue handle, cl_context context, cl_device_id device);

#endif
