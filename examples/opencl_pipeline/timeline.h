/* timeline.h: when copies and kernels ran, by the driver's own clock, and how much of the copies was hidden. */
#ifndef TIMELINE_H
#define TIMELINE_H

#include "device.h"

#include <stddef.h>
#include <stdint.h>

typedef enum work { WORK_COPY, WORK_KERNEL } work;

typedef struct span {
    uint64_t begin_ns;
    uint64_t end_ns;
} span;

typedef struct timeline {
    size_t counts[2]; /* by work */
    size_t capacities[2];
    cl_event *events[2];
} timeline;

/* What a timeline says. */
typedef struct timeline_sums {
    uint64_t copy_ns;   /* during which at least one copy ran */
    uint64_t kernel_ns; /* at least one kernel */
    uint64_t both_ns;   /* both: copies that cost nothing */
    uint64_t all_ns;    /* from the first begin to the last end */
} timeline_sums;

/* Takes the event over. */
void timeline_add(timeline *to, work what, cl_event event);

/* All the work is done. Empties the timeline. */
timeline_sums timeline_end(timeline *it);

/* Time in which there was work of either list, and of both. Sorts the spans of each. Pure. */
timeline_sums timeline_sum(span *copies, size_t copy_count, span *kernels, size_t kernel_count);

#endif
