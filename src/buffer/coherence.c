/* coherence.c: the table of coherence.h as one function. */
#include "buffer/coherence.h"

#define ALL_SIDES (DCMEM_SIDE_BIT(DCMEM_SIDE_HOST) | DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE))

_Static_assert(DCMI_STATE_BOTH == ALL_SIDES, "states are sets of sides");

static bool
is_current(dcmi_state state)
{
    return state != DCMI_STATE_UNWRITTEN && state != DCMI_STATE_LOST;
}

static dcmem_result
readable(dcmi_operation operation, dcmi_state state)
{
    bool needs_bytes = operation == DCMI_READ || operation == DCMI_UPDATE || operation == DCMI_LOOK;
    if (!needs_bytes || is_current(state))
        return DCMEM_OK;
    return state == DCMI_STATE_LOST ? DCMEM_E_LOST : DCMEM_E_UNWRITTEN;
}

static dcmi_work
work_before(dcmi_operation operation, unsigned own, dcmi_state state)
{
    if (operation == DCMI_WRITE || operation == DCMI_LOOK)
        return DCMI_WORK_NONE;
    if (is_current(state))
        return ((unsigned)state & own) ? DCMI_WORK_NONE : DCMI_WORK_COPY;
    return operation == DCMI_WRITE_PART ? DCMI_WORK_ZERO : DCMI_WORK_NONE;
}

dcmi_step
dcmi_coherence_begin(dcmi_operation operation, unsigned own, dcmi_state state)
{
    dcmi_step step = {.result = readable(operation, state), .during = state};
    if (step.result)
        return step;

    step.work = work_before(operation, own, state);
    if (step.work == DCMI_WORK_COPY)
        step.during = (dcmi_state)((unsigned)state | own);
    step.is_avoided =
        is_current(state) && step.work != DCMI_WORK_COPY && operation != DCMI_KEEP && operation != DCMI_LOOK;
    return step;
}

/* A byte that was written cannot become unwritten: with no side left it is lost. */
static dcmi_state
state_without(dcmi_state state, unsigned sides)
{
    if (!is_current(state))
        return state;
    unsigned left = (unsigned)state & ~sides;
    return left ? (dcmi_state)left : DCMI_STATE_LOST;
}

dcmi_state
dcmi_coherence_end(dcmi_operation operation, unsigned own, dcmi_state state, bool is_aborted)
{
    if (!dcmi_operation_writes(operation))
        return state;
    if (operation == DCMI_KEEP)
        return is_current(state) && ((unsigned)state & own) ? (dcmi_state)((unsigned)state & own) : state;
    return is_aborted ? state_without(state, own) : (dcmi_state)own;
}
