/* depot.c: see depot.h. */
#include "pool/depot.h"

#include "base/fail.h"

#include <string.h>

#define MOST_BATCHES   (1u << 20)
#define FEWEST_BATCHES (1u << 8)

dcmem_result
dcmi_depot_init(dcmi_depot *depot)
{
    depot->high = 1;
    for (uint32_t capacity = MOST_BATCHES; capacity >= FEWEST_BATCHES; capacity /= 4) {
        depot->batches = dcmi_os_reserve((uint64_t)capacity * sizeof *depot->batches);
        depot->capacity = capacity;
        if (depot->batches)
            return DCMEM_OK;
    }
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a depot; raise the limit (ulimit -v)");
}

void
dcmi_depot_fini(dcmi_depot *depot)
{
    dcmi_os_unreserve(depot->batches, (uint64_t)depot->capacity * sizeof *depot->batches);
    depot->batches = NULL;
}

void
dcmi_depot_reset(dcmi_depot *depot)
{
    dcmi_os_forget(depot->batches, (uint64_t)depot->capacity * sizeof *depot->batches);
    depot->high = 1;
    depot->spare = 0;
    dcmi_class_set_clear(&depot->used);
    memset(depot->classes, 0, sizeof depot->classes);
}

static uint32_t
batch_new(dcmi_depot *depot)
{
    dcmi_lock_take(&depot->node_lock);
    uint32_t index = depot->spare;
    if (index)
        depot->spare = depot->batches[index].below;
    else if (depot->high < depot->capacity)
        index = depot->high++;
    dcmi_lock_drop(&depot->node_lock);
    return index;
}

static void
batch_drop(dcmi_depot *depot, uint32_t index)
{
    dcmi_lock_take(&depot->node_lock);
    depot->batches[index].below = depot->spare;
    depot->spare = index;
    dcmi_lock_drop(&depot->node_lock);
}

static void
set_blocks(dcmi_depot_class *of, uint64_t blocks)
{
    atomic_store_explicit(&of->blocks, blocks, memory_order_relaxed);
    if (blocks < of->low)
        of->low = blocks;
}

bool
dcmi_depot_put(dcmi_depot *depot, unsigned class, const uint64_t *blocks, unsigned count)
{
    uint32_t index = batch_new(depot);
    if (!index)
        return false;
    dcmi_batch *batch = &depot->batches[index];
    batch->count = count;
    memcpy(batch->blocks, blocks, count * sizeof *blocks);

    dcmi_depot_class *of = &depot->classes[class];
    dcmi_lock_take(&of->lock);
    batch->below = of->top;
    of->top = index;
    set_blocks(of, atomic_load_explicit(&of->blocks, memory_order_relaxed) + count);
    dcmi_lock_drop(&of->lock);
    dcmi_class_set_add(&depot->used, class);
    return true;
}

unsigned
dcmi_depot_take(uint64_t *out, dcmi_depot *depot, unsigned class, unsigned most)
{
    dcmi_depot_class *of = &depot->classes[class];
    if (dcmi_depot_blocks(depot, class) == 0)
        return 0;

    dcmi_lock_take(&of->lock);
    uint32_t index = of->top;
    unsigned taken = 0;
    bool is_empty = false;
    if (index) {
        dcmi_batch *batch = &depot->batches[index];
        taken = batch->count < most ? batch->count : most;
        batch->count -= taken;
        memcpy(out, &batch->blocks[batch->count], taken * sizeof *out);
        is_empty = batch->count == 0;
        if (is_empty)
            of->top = batch->below;
        set_blocks(of, atomic_load_explicit(&of->blocks, memory_order_relaxed) - taken);
    }
    dcmi_lock_drop(&of->lock);

    if (is_empty)
        batch_drop(depot, index);
    return taken;
}

uint64_t
dcmi_depot_surplus(dcmi_depot *depot, unsigned class)
{
    dcmi_depot_class *of = &depot->classes[class];
    dcmi_lock_take(&of->lock);
    uint64_t surplus = of->low;
    of->low = atomic_load_explicit(&of->blocks, memory_order_relaxed);
    dcmi_lock_drop(&of->lock);
    return surplus;
}
