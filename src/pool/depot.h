/* depot.h: full batches of free blocks, a stack a class, between the threads' magazines and the good-fit layer.
 *
 * Unlimited: what it holds is given back before anything grows (pool.c, flush before grow) and, above the working set
 * of the last interval (the least that lay here unused), by the maintenance: the rule of Bonwick and Adams, 2001.
 *
 *   a class's lock guards its stack, blocks and low.   node_lock guards the spare nodes.
 */
#ifndef DCMI_DEPOT_H
#define DCMI_DEPOT_H

#include "base/lock.h"
#include "pool/class.h"

#include <dcmem/result.h>

#define DCMI_BATCH 62u

typedef struct dcmi_batch {
    uint32_t count;
    uint32_t below;
    uint32_t reserved[2];
    uint64_t blocks[DCMI_BATCH];
} dcmi_batch;

_Static_assert(sizeof(dcmi_batch) == 512, "eight cache lines");

typedef struct dcmi_depot_class {
    dcmi_lock lock;
    uint32_t top; /* newest batch; 0: none */
    _Atomic uint64_t blocks;
    uint64_t low; /* fewest blocks since the last look */
} dcmi_depot_class;

typedef struct dcmi_depot {
    dcmi_batch *batches; /* reserved; index 0 is none */
    uint32_t capacity;
    dcmi_lock node_lock;
    uint32_t high;
    uint32_t spare;
    dcmi_class_set used; /* classes of which there ever were blocks here */
    dcmi_depot_class classes[DCMI_CLASS_COUNT];
} dcmi_depot;

dcmem_result dcmi_depot_init(dcmi_depot *depot);
void dcmi_depot_fini(dcmi_depot *depot);
void dcmi_depot_reset(dcmi_depot *depot);

/* Puts `count` <= DCMI_BATCH blocks there. False when there is no room for a batch: keep them. */
bool dcmi_depot_put(dcmi_depot *depot, unsigned class, const uint64_t *blocks, unsigned count);

/* Takes up to `most` blocks of the newest batch into `out`; how many. */
unsigned dcmi_depot_take(uint64_t *out, dcmi_depot *depot, unsigned class, unsigned most);

static inline uint64_t
dcmi_depot_blocks(const dcmi_depot *depot, unsigned class)
{
    return atomic_load_explicit(&depot->classes[class].blocks, memory_order_relaxed);
}

/* How many blocks of the class were never needed since the last call. */
uint64_t dcmi_depot_surplus(dcmi_depot *depot, unsigned class);

#endif
