/* fault.h: a plan at work: which calls its rules meet, and what is to become of them.
 *
 * The plan's lock guards all that changes: counts, the list of what fired, queues, layers. Neither a driver nor the log
 * is called with it held. The same calls in the same order always get the same verdicts: chances are drawn from the
 * rule's seed, its number, the thread where it counts by threads, and the number of the call, and from nothing else. */
#ifndef DCMI_TESTING_FAULT_H
#define DCMI_TESTING_FAULT_H

#include "plan.h"

/* What a call is, as far as plans look at it. */
typedef struct dcmi_asked {
    bool is_above;          /* the program's */
    int operation;          /* dcmem_fake_operation or dcmem_gate_operation */
    const dcmem_call *call; /* NULL where an operation has none */
    uint32_t thread;        /* of the program's call */
    dcmem_tag tag;          /* the same */
    uint64_t bytes;
    uint64_t pages;
    const void *queue;
    dcmi_way way; /* DCMI_WAY_COUNT: no copy */
} dcmi_asked;

typedef struct dcmi_verdict {
    dcmem_result result; /* what the call fails with, or DCMEM_OK */
    uint64_t fault;      /* index of the fault that it fails with */
    uint64_t to_tell;    /* rules that want to know whether it succeeds, a bit each */
    uint64_t slow_ns;
    dcmi_effect effect;   /* on the bytes, pages or completions of a call that is made; DCMI_EFFECT_COUNT: none */
    dcmi_number argument; /* of that effect; of page: how many pages come before the one that fails */
    uint64_t random;      /* for that effect */
} dcmi_verdict;

typedef struct dcmi_layer dcmi_layer;

/* Asks the rules, notes and logs what fires, and waits as long as they say. */
dcmi_verdict dcmi_fault_meet(dcmem_fault_plan *plan, const dcmi_asked *asked);

/* A call that was let pass has succeeded. */
void dcmi_fault_succeeded(dcmem_fault_plan *plan, const dcmi_asked *asked, const dcmi_verdict *verdict);

/* Writes the thread's detail for a verdict that is a failure and returns its result. */
dcmem_result dcmi_fault_fail(const dcmi_asked *asked, const dcmi_verdict *verdict);

/* Queues are numbered from 1 as they are opened. */
void dcmi_fault_queue_opened(dcmem_fault_plan *plan, const void *queue);
void dcmi_fault_queue_closed(dcmem_fault_plan *plan, const void *queue);

/* Operations of the driver that any rule is about; calls of others need not ask. */
uint64_t dcmi_fault_watched(const dcmem_fault_plan *plan);

/* Devices that are open: while there are any, the plan cannot end. */
void dcmi_fault_device_opened(dcmem_fault_plan *plan);
void dcmi_fault_device_closed(dcmem_fault_plan *plan);

/* The table over a backend, made once for each, and the list of all of a plan's. */
dcmem_result dcmi_layer_get(const dcmem_backend **out, dcmem_fault_plan *plan, dcmi_layer **list,
                            const dcmem_backend *over);
void dcmi_layers_end(dcmi_layer *list);

#endif
