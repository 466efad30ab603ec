/* stage.h: a copy in two legs, with a lane's block in between: chunks go out of the source and into the target, each
 * while its neighbour is on the other leg.
 *
 *     fill 0 | drain 0 | drain 1 | ...         two halves of the block, in turn
 *            | fill 1  | fill 2  | ...
 *
 * A leg is a queue of its driver, where that has one to spare; else the driver's blocking copy, or, where the host can
 * touch that end, a move by the host. The one or the other leg must be a queue for the two to overlap. */
#ifndef DCMI_STAGE_H
#define DCMI_STAGE_H

#include "buffer/carry.h"
#include "buffer/ring.h"

typedef struct dcmi_stage {
    const dcmi_lane *lane; /* its block holds all of the copy, or 128 KiB at least */
    void *fill_queue;      /* of the source's device, or NULL */
    void *drain_queue;     /* of the target's */
    bool has_queue_failed; /* out: their work failed, and they will go on saying so */
} dcmi_stage;

/* How large the parts of a staged copy are. Pure. */
uint64_t dcmi_stage_chunk(uint64_t lane_bytes, uint64_t bytes);

dcmem_result dcmi_stage_copy(dcmi_stage *stage, const dcmi_site *to, const dcmi_site *from, uint64_t bytes,
                             dcmi_errand *errand);

#endif
