/* uses.c: raw memory that queues use: what they were told of each block, until it is freed.
 *
 * What dcmem_raw_use_on() told of a block stands in a table by address until the block is freed. Such a block is held
 * for the library, so that the hot path of dcmem_raw_free() does not take it, and nobody else pays for the table.
 *
 *   lock guards: the table, and the records in it. */
#include "base/fail.h"
#include "guard/guard.h"
#include "queue/queue.h"

#define HASHES 4096u

static dcmi_lock lock;
static uint32_t heads[HASHES];

static uint32_t *
head_of(uint64_t address)
{
    return &heads[(address * 0x9e3779b97f4a7c15u) >> 52];
}

_Static_assert(HASHES == 1u << (64 - 52), "a head for each hash");

static uint32_t
table_find(const dcmi_pool *pool, uint64_t address) DCMI_REQUIRES(lock)
{
    uint32_t index = *head_of(address);
    while (index && (dcmi_pending_at(index)->address != address || dcmi_pending_at(index)->pool != pool))
        index = dcmi_pending_at(index)->behind;
    return index;
}

static void
table_insert(uint32_t index) DCMI_REQUIRES(lock)
{
    uint32_t *head = head_of(dcmi_pending_at(index)->address);
    dcmi_pending_at(index)->before = 0;
    dcmi_pending_at(index)->behind = *head;
    if (*head)
        dcmi_pending_at(*head)->before = index;
    *head = index;
}

static void
table_remove(uint32_t index) DCMI_REQUIRES(lock)
{
    const dcmi_pending *record = dcmi_pending_at(index);
    *(record->before ? &dcmi_pending_at(record->before)->behind : head_of(record->address)) = record->behind;
    if (record->behind)
        dcmi_pending_at(record->behind)->before = record->before;
}

/* The record of a block, out of the table; 0 when there is none. */
static uint32_t
table_take(const dcmi_pool *pool, uint64_t address)
{
    dcmi_lock_take(&lock);
    uint32_t index = table_find(pool, address);
    if (index)
        table_remove(index);
    dcmi_lock_drop(&lock);
    return index;
}

void
dcmi_uses_hold(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&lock);
}

void
dcmi_uses_drop(void) DCMI_UNCHECKED
{
    dcmi_lock_drop(&lock);
}

bool
dcmi_uses_has(dcmi_pool *pool, uint64_t address)
{
    dcmi_lock_take(&lock);
    bool is_known = table_find(pool, address) != 0;
    dcmi_lock_drop(&lock);
    return is_known;
}

/* All work that is on its queues by now, whenever that came there. */
static void
bring_up_to_date(dcmi_pending *record)
{
    for (uint32_t i = 0; i < record->use_count; i++)
        dcmi_use_renew(&record->uses[i]);
}

static void
put_back(uint32_t index)
{
    dcmi_lock_take(&lock);
    table_insert(index);
    dcmi_lock_drop(&lock);
}

dcmem_result
dcmi_uses_end(bool *out_was_used, dcmi_pool *pool, uint64_t address)
{
    uint32_t index = table_take(pool, address);
    *out_was_used = index != 0;
    if (!index)
        return DCMEM_OK;
    bring_up_to_date(dcmi_pending_at(index));
    /* Work that failed is done; whoever reads its bytes is told. */
    dcmem_result result = dcmi_pending_wait(dcmi_pending_at(index), NULL);
    if (result) {
        put_back(index);
        return result;
    }
    dcmi_pending_drop(index);
    if (!dcmi_pool_guard(pool))
        (void)dcmi_pool_hold(pool, address, DCMI_HOLDER_LIBRARY, DCMI_HOLDER_CALLER);
    return DCMEM_OK;
}

/* ---- Calls ---- */

dcmem_result
dcmi_uses_refuse(dcmem_result result, dcmi_pool *pool, uint64_t address)
{
    if (result != DCMEM_E_FOREIGN || !dcmi_queues_hold(pool, address))
        return result;
    return dcmi_fail(DCMEM_E_ALREADY_FREE, "the block at %p was freed on a queue", (void *)(uintptr_t)address);
}

/* A caller's block, which the library holds from then on; a guarded one's records are enough. */
static dcmem_result
hold(dcmi_block *out, dcmi_pool *pool, uint64_t address)
{
    if (dcmi_pool_guard(pool))
        return dcmi_guard_find_start(out, pool, address, DCMI_HOLDER_CALLER);
    dcmem_result result = dcmi_pool_hold(pool, address, DCMI_HOLDER_CALLER, DCMI_HOLDER_LIBRARY);
    return result ? dcmi_uses_refuse(result, pool, address) : dcmi_pool_find(out, pool, address);
}

/* A record for a caller's block that has none; 0 with the detail written. */
static uint32_t
record_new(dcmi_pool *pool, uint64_t address)
{
    dcmi_block block;
    if (hold(&block, pool, address))
        return 0;
    uint32_t index = dcmi_pending_new(pool, address, block.capacity);
    if (index)
        return index;
    if (!dcmi_pool_guard(pool))
        (void)dcmi_pool_hold(pool, address, DCMI_HOLDER_LIBRARY, DCMI_HOLDER_CALLER);
    dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no room to remember that a queue uses the block at %p",
              (void *)(uintptr_t)address);
    return 0;
}

/* Notes the use in the block's record, which is made where there is none. A record whose places are all taken: false,
 * with the use in *out_full that must be waited for. One lock over all of it: a block is never the library's without a
 * record that says why. */
static bool
note(dcmem_result *result, dcmi_use *out_full, dcmi_pool *pool, uint64_t address, dcmi_use use)
{
    dcmi_lock_take(&lock);
    uint32_t index = table_find(pool, address);
    bool is_new = index == 0;
    if (is_new)
        index = record_new(pool, address);
    *result = index ? DCMEM_OK : dcmem_last_detail()->result;
    bool is_noted = !index || dcmi_pending_note(dcmi_pending_at(index), use);
    if (!is_noted)
        *out_full = dcmi_pending_at(index)->uses[0];
    if (index && is_new)
        table_insert(index);
    dcmi_lock_drop(&lock);
    return is_noted;
}

/* The use has been waited for. */
static void
forget_use(dcmi_pool *pool, uint64_t address, dcmi_use done)
{
    dcmi_lock_take(&lock);
    uint32_t index = table_find(pool, address);
    dcmi_pending *record = dcmi_pending_at(index);
    for (uint32_t i = 0; index && i < record->use_count; i++)
        if (record->uses[i].queue == done.queue && record->uses[i].batch == done.batch)
            record->uses[i] = record->uses[--record->use_count];
    dcmi_lock_drop(&lock);
}

dcmem_result
dcmi_uses_add(dcmi_queue *queue, uint64_t address)
{
    dcmem_result result;
    dcmi_use full;
    while (!note(&result, &full, queue->root, address, dcmi_queue_use(queue))) {
        dcmi_use renewed = full; /* what came to that queue since is meant, too */
        dcmi_use_renew(&renewed);
        result = dcmi_use_wait(renewed, UINT64_MAX, NULL);
        if (result)
            return result; /* COVER: a driver must refuse to wait for the fifth queue of a block */
        forget_use(queue->root, address, full);
    }
    return result;
}

/* The queue's own use comes first. */
static void
put_first(dcmi_pending *record, dcmi_use use)
{
    for (uint32_t i = 1; i < record->use_count; i++) {
        if (record->uses[i].queue != use.queue)
            continue;
        record->uses[i] = record->uses[0];
        record->uses[0] = use;
    }
}

dcmem_result
dcmi_uses_free(dcmi_queue *queue, uint64_t address)
{
    dcmem_result result = dcmi_uses_add(queue, address);
    uint32_t index = result ? 0 : table_take(queue->root, address);
    if (!index) /* COVER: the rest needs another thread that frees the same block in this very moment */
        return result
                   ? result
                   : dcmi_fail(DCMEM_E_ALREADY_FREE, "the block at %p was freed meanwhile", (void *)(uintptr_t)address);
    bring_up_to_date(dcmi_pending_at(index));
    put_first(dcmi_pending_at(index), dcmi_queue_use(queue));
    if (!dcmi_pool_guard(queue->root)) {
        dcmi_pending_add(queue, index);
        return DCMEM_OK;
    }
    /* What guards look at must be done. */
    result = dcmi_pending_wait(dcmi_pending_at(index), NULL);
    if (result) {
        put_back(index);
        return result;
    }
    dcmi_pending_drop(index);
    return dcmi_guard_give(queue->root, address, DCMI_HOLDER_CALLER);
}

/* ---- The manager's end ---- */

/* Any record of a manager's, or 0. */
static uint32_t
first_of(const dcmi_pool *root)
{
    uint32_t found = 0;
    dcmi_lock_take(&lock);
    for (uint32_t head = 0; head < HASHES && !found; head++)
        for (found = heads[head]; found && dcmi_pending_at(found)->pool != root;)
            found = dcmi_pending_at(found)->behind;
    if (found)
        table_remove(found);
    dcmi_lock_drop(&lock);
    return found;
}

void
dcmi_uses_forget(const dcmi_pool *root)
{
    for (uint32_t index; (index = first_of(root));)
        dcmi_pending_drop(index);
}
