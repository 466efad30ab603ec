/* gate.h: the gate of a manager, for tests: a function that is asked before each call that works with memory.
 *
 * It costs the hot paths nothing: while a manager has a gate its threads' caches stay hidden (cache.h), so raw calls
 * and new buffers come the slow ways, which ask. Every other call first looks whether any manager has one. */
#ifndef DCMI_GATE_H
#define DCMI_GATE_H

#include "base/fail.h"
#include "base/lock.h"
#include "pool/pool.h"

#include <dcmem/testing.h>

/* Function and user belong together: they are read and written under the lock, and called without it. */
typedef struct dcmi_gate {
    dcmi_lock lock;
    _Atomic bool is_set;
    dcmem_gate function;
    void *user;
} dcmi_gate;

/* How many managers have one. */
extern _Atomic uint32_t dcmi_gate_count __attribute__((visibility("hidden")));

static inline bool
dcmi_has_gates(void)
{
    return DCMI_UNLIKELY(atomic_load_explicit(&dcmi_gate_count, memory_order_relaxed) != 0);
}

/* NULL takes it away. When it returns, calls that began before may still ask the old one. */
void dcmi_gate_set(dcmi_pool *root, dcmem_gate function, void *user);
dcmem_gate dcmi_gate_get(void **out_user, dcmi_pool *root);

/* Asks a manager's gate, if it has one, with no lock held; `call` needs no manager, thread or result. The detail is
 * written when it refuses, and untouched when it does not. */
DCMI_COLD dcmem_result dcmi_gate_ask(dcmi_pool *root, const dcmem_gate_call *call);

#endif
