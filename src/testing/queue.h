/* queue.h: a queue of a simulated device: work in order, of which the first is on its way.
 *
 * The clock's lock guards all of it but `completed`, which is a read of memory for everybody. */
#ifndef DCMI_TESTING_QUEUE_H
#define DCMI_TESTING_QUEUE_H

#include "simulated.h"

/* What is to be done, with copies of all that the call was given. */
typedef struct dcmi_work {
    struct dcmi_work *next;
    uint64_t value;
    dcmem_extent to_extent;
    dcmem_extent from_extent;
    dcmem_place to;
    dcmem_place from;
    uint64_t bytes;
    uint32_t pattern_bytes; /* 0: a copy */
    uint8_t pattern[16];
} dcmi_work;

typedef struct dcmi_queue {
    struct dcmi_queue *next;
    dcmi_simulated *device;
    dcmi_work *first;
    dcmi_work *last;
    uint64_t ends_ns; /* of the first */
    uint64_t began;   /* the first's number among all that the clock has seen begin */
    uint64_t submitted;
    _Atomic uint64_t completed;
    uint64_t failed;     /* the value of the first work that failed; 0: none has */
    dcmem_result result; /* its result */
    char message[256];
} dcmi_queue;

/* Moves the bytes of the first work, completes it, and begins the next. */
void dcmi_queue_end_first(dcmi_queue *queue);

/* The device is lost: all of its work completes, undone. The clock's lock must be held. */
void dcmi_queues_lose(dcmi_simulated *device);

/* Pieces of work that are not complete. The clock's lock must be held. */
uint64_t dcmi_queues_waiting(const dcmi_simulated *device);

/* Ends what its users have left open; whether there was any. */
bool dcmi_queues_end(dcmi_simulated *device);

/* Functions of the table. */
dcmem_result dcmi_simulated_queue_open(void **out, void *handle, const dcmem_native_context *native);
void dcmi_simulated_queue_close(void *handle, void *queue);
dcmem_result dcmi_simulated_enqueue_copy(uint64_t *out, void *handle, void *queue, const dcmem_call *call,
                                         const dcmem_place *to, const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_simulated_enqueue_fill(uint64_t *out, void *handle, void *queue, const dcmem_call *call,
                                         const dcmem_place *to, uint64_t bytes, const void *pattern,
                                         uint32_t pattern_bytes);
dcmem_result dcmi_simulated_queue_mark(uint64_t *out, void *handle, void *queue);
uint64_t dcmi_simulated_queue_completed(void *handle, void *queue);
dcmem_result dcmi_simulated_queue_wait(void *handle, void *queue, uint64_t value, uint64_t timeout_ns);

#endif
