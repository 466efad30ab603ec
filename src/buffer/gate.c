/* gate.c: which gate is asked about a buffer, and what it is told. See gate.h. */
#include "buffer/gate.h"

#include "buffer/slot.h"

/* The root pool of a live buffer's manager, and what there is to tell of it; NULL where it is not alive. */
static dcmi_pool *
look(dcmem_gate_call *call, const dcmem_buffer *buffer)
{
    dcmi_locked locked;
    if (dcmi_slot_lock(&locked, buffer))
        return NULL;
    dcmem_manager *manager = dcmi_slot_manager(locked.slot);
    call->tag = locked.slot->tag;
    call->kind = (dcmem_kind)locked.slot->kind;
    dcmi_slot_unlock(&locked, false);
    return dcmi_pool_resolve(manager);
}

dcmem_result
dcmi_gate_ask_buffers(dcmem_gate_operation operation, dcmem_view view, dcmem_buffer *from, unsigned mode)
{
    dcmem_detail before = dcmi_detail_save();
    dcmem_gate_call call = {.operation = operation,
                            .buffer = view.buffer,
                            .from = from,
                            .offset = view.offset,
                            .bytes = view.bytes,
                            .mode = mode};
    dcmem_gate_call ignored;
    dcmi_pool *other = from ? look(&ignored, from) : NULL;
    dcmi_pool *root = look(&call, view.buffer);
    if (!root || (from && !other)) {
        dcmi_detail_restore(&before);
        return DCMEM_OK;
    }
    dcmem_result result = dcmi_gate_ask(root, &call);
    return result || !other || other == root ? result : dcmi_gate_ask(other, &call);
}
