/* ring.h: memory that copies are staged through, and the queues that they go on: a few lanes a manager, each for one
 * copy at a time.
 *
 * A lane is a block of page-locked memory (plain, where the device has none) of the manager's own pool, and one queue
 * of its device. Both are made when a copy first needs them. Copies in both directions, by any threads, have lanes of
 * their own; who finds none does without.
 *
 *     nobody's --take--> a copy's --give--> nobody's        both by one compare-and-swap: nobody waits for a lane
 *
 *   1. Only its taker touches a lane. The taker is a process: in the child of a fork a lane is nobody's whose copy runs
 *      on in the parent.
 *   2. Blocks are live blocks of the library's to the pool; the gauge staging_bytes tells of them. They go back when
 *      the pool is short of memory or trimmed, and when it ends. */
#ifndef DCMI_RING_H
#define DCMI_RING_H

#include "buffer/site.h"

#define DCMI_RING_LANES 4u
#define DCMI_RING_BYTES (4ull << 20) /* of a lane */

typedef struct dcmi_lane {
    _Atomic uint32_t taker; /* a process; 0: none ever was, or it has given it back */
    dcmi_pool *pool;        /* of the block; NULL: there is none */
    uint64_t address;
    uint64_t bytes;
    dcmi_site site; /* of the block's first byte */
    void *queue;    /* NULL: not opened */
} dcmi_lane;

typedef struct dcmi_ring {
    dcmi_pool *root;
    _Atomic bool has_no_queues; /* the driver refused one */
    dcmi_lane lanes[DCMI_RING_LANES];
} dcmi_ring;

/* A lane that nobody has, or NULL. */
dcmi_lane *dcmi_ring_take(dcmi_ring *ring);
void dcmi_ring_give(dcmi_lane *lane);

/* Makes the lane's block, of DCMI_RING_BYTES, touched by a few threads on the device's NUMA node. */
dcmem_result dcmi_lane_equip(dcmi_lane *lane, dcmi_pool *root);

/* A lane that is in no ring: `bytes` of plain host memory. */
dcmem_result dcmi_lane_make(dcmi_lane *lane, dcmi_pool *root, uint64_t bytes);

/* Gives the block back; how many bytes that was. */
uint64_t dcmi_lane_strip(dcmi_lane *lane);

/* The lane's queue, opened if need be; NULL where there is none to be had. */
void *dcmi_lane_queue(dcmi_lane *lane, dcmi_ring *ring);

/* Ends a queue whose work failed: it would tell of that for ever. */
void dcmi_lane_drop_queue(dcmi_lane *lane, dcmi_ring *ring);

/* Gives back what lanes hold that nobody has; at the end what all of them hold. How many bytes. */
uint64_t dcmi_ring_empty(dcmi_ring *ring, bool is_end);

#endif
