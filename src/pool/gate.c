/* gate.c: who is asked before a manager's calls. See gate.h. */
#include "pool/gate.h"

#include "base/thread.h"
#include "pool/inside.h"

_Atomic uint32_t dcmi_gate_count;

/* This thread is inside a gate: what that calls is not asked about. */
static _Thread_local bool is_asking __attribute__((tls_model("global-dynamic")));

static const struct {
    const char *name;
    dcmem_result fitting;
} operations[] = {
#define DCMEM_X(name, fitting) {#name, DCMEM_##fitting},
    DCMEM_GATE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
};

const char *
dcmem_gate_operation_name(dcmem_gate_operation operation)
{
    return (unsigned)operation < DCMEM_GATE_OPERATION_COUNT ? operations[operation].name : "unknown";
}

/* Whoever is in a fast path leaves it, and comes in again only as the pool's state allows. */
static void
pass_through_caches(dcmi_pool *root)
{
    dcmi_lock_take(&root->caches_lock);
    for (dcmi_cache *cache = root->caches; cache; cache = cache->after) {
        dcmi_cache_seize(cache);
        dcmi_cache_release(cache);
    }
    dcmi_lock_drop(&root->caches_lock);
}

void
dcmi_gate_set(dcmi_pool *root, dcmem_gate function, void *user)
{
    dcmi_gate *gate = &root->gate;
    bool is_set = function != NULL;

    dcmi_lock_take(&gate->lock);
    bool was_set = atomic_exchange(&gate->is_set, is_set);
    gate->function = function;
    gate->user = user;
    if (is_set && !was_set)
        atomic_fetch_add(&dcmi_gate_count, 1);
    if (!is_set && was_set)
        atomic_fetch_sub(&dcmi_gate_count, 1);
    dcmi_lock_drop(&gate->lock);

    if (is_set != was_set)
        pass_through_caches(root);
}

dcmem_gate
dcmi_gate_get(void **out_user, dcmi_pool *root)
{
    dcmi_lock_take(&root->gate.lock);
    dcmem_gate function = root->gate.function;
    *out_user = root->gate.user;
    dcmi_lock_drop(&root->gate.lock);
    return function;
}

static dcmem_result
refuse(const dcmem_gate_call *call, dcmem_result result)
{
    return dcmi_fail(result, "%s of %llu bytes: refused by the manager's gate",
                     dcmem_gate_operation_name(call->operation), (unsigned long long)call->bytes);
}

dcmem_result
dcmi_gate_ask(dcmi_pool *root, const dcmem_gate_call *call)
{
    if (is_asking || !atomic_load(&root->gate.is_set))
        return DCMEM_OK;
    void *user;
    dcmem_gate function = dcmi_gate_get(&user, root);
    if (!function)
        return DCMEM_OK; /* COVER: it must be taken away between the two looks */

    dcmem_gate_call asked = *call;
    asked.manager = dcmi_pool_manager(root);
    asked.thread = dcmi_thread_number();
    asked.result = operations[call->operation].fitting;
    dcmem_detail before = dcmi_detail_save();
    /* Written first, so that a gate can say more; and what was said before cannot be taken for its words. */
    refuse(&asked, asked.result);
    is_asking = true;
    dcmem_result result = function(user, &asked);
    is_asking = false;

    /* What only is told of cannot be refused. */
    if (result == DCMEM_OK || asked.result == DCMEM_OK) {
        dcmi_detail_restore(&before);
        return DCMEM_OK;
    }
    return dcmem_last_detail()->result == result ? result : refuse(&asked, result);
}
