/* coherence.h: which sides of a byte are current, and what every operation makes of that. Pure: values in, values out.
 *
 * Each byte of a buffer is in one of five states. A side is the host's or the device's memory; where the two are one
 * memory every operation has both sides as its own, so the states between never occur and nothing is ever copied.
 *
 *     UNWRITTEN --write--> HOST, DEVICE or BOTH --aborted write on the last current side--> LOST --write--> ...
 *
 * The table, for a byte in state S and an operation whose own side is s (o is the other one):
 *
 *     operation          S empty          s in S       s not in S              at its end   aborted
 *     READ               error            -            copy, S gains s         -            -
 *     UPDATE             error            -            copy, S gains s         S = {s}      S loses s
 *     WRITE              -                -            no copy                 S = {s}      S loses s
 *     WRITE_PART         zero on s        -            copy, S gains s         S = {s}      S loses s
 *     WRITE_SHARED       -                -            copy, S gains s         S = {s}      S loses s
 *     KEEP               -                -            copy, S gains s         S loses o    as ended
 *     LOOK               error            -            -                       -            -
 *
 * WRITE_PART must not leave bytes of the block's last owner between those that its caller writes, hence the zeros.
 * WRITE_SHARED does without: others may be writing there, and their bytes would be wiped out. A failed copy means that
 * the operation never began: S stays as it was. */
#ifndef DCMI_COHERENCE_H
#define DCMI_COHERENCE_H

#include <dcmem/buffer.h>

/* What is known of a byte: the first four are sets of current sides, DCMEM_SIDE_BIT each. */
typedef enum dcmi_state {
    DCMI_STATE_UNWRITTEN = 0,
    DCMI_STATE_HOST = 1,
    DCMI_STATE_DEVICE = 2,
    DCMI_STATE_BOTH = 3,
    DCMI_STATE_LOST = 4, /* was written, and no side is current any more */
    DCMI_STATE_COUNT
} dcmi_state;

typedef enum dcmi_operation {
    DCMI_READ,
    DCMI_UPDATE,
    DCMI_WRITE,
    DCMI_WRITE_PART,
    DCMI_WRITE_SHARED, /* no-overwrite: never conflicts */
    DCMI_KEEP,         /* makes the other side forget */
    DCMI_LOOK,         /* reads wherever the bytes are current: brings nothing */
    DCMI_OPERATION_COUNT
} dcmi_operation;

typedef enum dcmi_work { DCMI_WORK_NONE, DCMI_WORK_COPY, DCMI_WORK_ZERO } dcmi_work;

/* What the beginning of an operation means for bytes of one state. */
typedef struct dcmi_step {
    dcmem_result result; /* DCMEM_OK, DCMEM_E_UNWRITTEN or DCMEM_E_LOST */
    dcmi_work work;      /* before it begins: onto its own side, from the other one */
    dcmi_state during;   /* once the work is done */
    bool is_avoided;     /* bytes that another bookkeeping might have copied */
} dcmi_step;

/* `own`: the operation's side as a DCMEM_SIDE_BIT, or both where they are one memory. */
dcmi_step dcmi_coherence_begin(dcmi_operation operation, unsigned own, dcmi_state state);

/* What its end makes of bytes that are in `state` by then, which no-overwrite writers may have changed since. */
dcmi_state dcmi_coherence_end(dcmi_operation operation, unsigned own, dcmi_state state, bool is_aborted);

static inline bool
dcmi_operation_writes(dcmi_operation operation)
{
    return operation != DCMI_READ && operation != DCMI_LOOK;
}

/* Whether two operations on bytes that both touch exclude each other. */
static inline bool
dcmi_operation_conflicts(dcmi_operation a, dcmi_operation b)
{
    if (a == DCMI_WRITE_SHARED || b == DCMI_WRITE_SHARED)
        return false; /* COVER: asked about whole-buffer accesses only, which never vouch; coherence_test asks, too */
    return dcmi_operation_writes(a) || dcmi_operation_writes(b);
}

#endif
