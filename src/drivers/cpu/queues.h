/* queues.h: queues of the CPU, and the few threads of the process that work them off.
 *
 * Threads start with the first queue and end with the last. A queue is one of
 *
 *     idle -- enqueue --> ready -- a thread takes its oldest work --> running -- done, more there --> ready
 *                                                                       \------ done, nothing there --> idle
 *
 *   1. A queue has at most one thread, so its work is done in order.
 *   2. submitted - completed is at most DCMI_CPU_QUEUE_ROOM: enqueue waits for room, and there will be some, since
 *      work waits for nothing.
 *   3. In a child of fork there are no threads at first, and no queue is running: what was being done is done once more
 *      from its beginning, which gives the same. The child's first use of a queue starts threads of its own. */
#ifndef DCMI_CPU_QUEUES_H
#define DCMI_CPU_QUEUES_H

#include <dcmem/result.h>

#define DCMI_CPU_QUEUE_ROOM 1024u
#define DCMI_CPU_WORKERS    8u /* at most; no more than there are processors, nor than queues */

typedef struct dcmi_cpu_queue dcmi_cpu_queue;

/* What is to be done: a copy, or with pattern_bytes a fill. */
typedef struct dcmi_cpu_work {
    void *to;
    const void *from;
    uint64_t bytes;
    uint32_t pattern_bytes; /* 0: a copy */
    uint8_t pattern[16];
} dcmi_cpu_work;

/* Closing waits for the work. */
dcmem_result dcmi_cpu_queue_open(dcmi_cpu_queue **out);
void dcmi_cpu_queue_close(dcmi_cpu_queue *queue);

dcmem_result dcmi_cpu_queue_submit(uint64_t *out_value, dcmi_cpu_queue *queue, const dcmi_cpu_work *work);
uint64_t dcmi_cpu_queue_submitted(dcmi_cpu_queue *queue);
uint64_t dcmi_cpu_queue_completed(dcmi_cpu_queue *queue);
dcmem_result dcmi_cpu_queue_wait(dcmi_cpu_queue *queue, uint64_t value, uint64_t timeout_ns);

/* Around a fork: all locks are taken before it, and dropped after it in parent and child. */
void dcmi_cpu_queues_before_fork(void);
void dcmi_cpu_queues_after_fork(void);
void dcmi_cpu_queues_in_child(void);

#endif
