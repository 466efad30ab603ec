/* gate.h: asking a manager's gate (pool/gate.h) before a call on one of its buffers. */
#ifndef DCMI_BUFFER_GATE_H
#define DCMI_BUFFER_GATE_H

#include "pool/gate.h"

#include <dcmem/buffer.h>

/* Of the view's buffer; for a copy also the gate of the other buffer's manager, if that is another one. A handle that
 * is not alive is let pass: the call itself says what is wrong with it. */
DCMI_COLD dcmem_result dcmi_gate_ask_buffers(dcmem_gate_operation operation, dcmem_view view, dcmem_buffer *from,
                                             unsigned mode);

/* `mode` as in dcmem_gate_call. */
static inline dcmem_result
dcmi_gate_ask_mode(dcmem_gate_operation operation, dcmem_view view, unsigned mode)
{
    return dcmi_has_gates() ? dcmi_gate_ask_buffers(operation, view, NULL, mode) : DCMEM_OK;
}

static inline dcmem_result
dcmi_gate_ask_view(dcmem_gate_operation operation, dcmem_view view)
{
    return dcmi_gate_ask_mode(operation, view, 0);
}

/* For calls that have no view: `bytes` is what the call is given, or 0. */
static inline dcmem_result
dcmi_gate_ask_buffer(dcmem_gate_operation operation, dcmem_buffer *buffer, uint64_t bytes)
{
    return dcmi_gate_ask_view(operation, (dcmem_view){.buffer = buffer, .bytes = bytes});
}

#endif
