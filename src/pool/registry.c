/* registry.c: the process's pools by index; what a manager's handle means.
 *
 * A handle is generation << 20 | index + 1. An index is reused, lowest first, so that threads' tables stay small; its
 * generation rises with every use, so an old handle is told from a new one. Looking a handle up takes no lock: a pool
 * must not end while it is used, which the caller answers for (dcmem_manager_destroy, Threads: one).
 *
 *   lock guards: entries' generations and the taking and giving of indices. A borrowed pool is waited for. */
#include "pool/inside.h"

#include <sched.h>

#define MOST_POOLS (DCMI_THREAD_CACHES - 1)
#define INDEX_BITS 20u
#define INDEX_MASK ((1u << INDEX_BITS) - 1)

typedef struct registry_entry {
    _Atomic(dcmi_pool *) pool;
    _Atomic uint64_t generation; /* of the newest pool there */
    _Atomic uint32_t borrowers;
} registry_entry;

static dcmi_lock lock;
static registry_entry entries[MOST_POOLS];
static _Atomic uint32_t high;

void
dcmi_registry_lock(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&lock);
}

void
dcmi_registry_unlock(void) DCMI_UNCHECKED
{
    dcmi_lock_drop(&lock);
}

static uint32_t
free_index(void)
{
    uint32_t end = atomic_load(&high);
    for (uint32_t index = 0; index < end; index++)
        if (!atomic_load(&entries[index].pool))
            return index;
    return end;
}

dcmem_result
dcmi_registry_add(dcmi_pool *pool)
{
    dcmi_lock_take(&lock);
    uint32_t index = free_index();
    if (index >= MOST_POOLS) {
        /* COVER begin: 65,535 managers are more than a test can afford */
        dcmi_lock_drop(&lock);
        return dcmi_fail(DCMEM_E_LIMIT, "%u managers and kinds of memory are in use, the most there can be",
                         MOST_POOLS);
        /* COVER end */
    }
    registry_entry *entry = &entries[index];
    uint64_t generation = atomic_fetch_add(&entry->generation, 1) + 1;
    pool->index = index;
    pool->handle = generation << INDEX_BITS | (index + 1);
    atomic_store(&entry->pool, pool);
    if (index == atomic_load(&high))
        atomic_store(&high, index + 1);
    dcmi_lock_drop(&lock);
    return DCMEM_OK;
}

void
dcmi_registry_remove(dcmi_pool *pool)
{
    registry_entry *entry = &entries[pool->index];
    dcmi_lock_take(&lock);
    atomic_store(&entry->pool, NULL);
    dcmi_lock_drop(&lock);
    /* The maintenance may still be at work on it; its rounds are short. */
    while (atomic_load(&entry->borrowers))
        sched_yield();
}

dcmi_pool *
dcmi_registry_borrow_next(uint32_t *cursor)
{
    dcmi_pool *found = NULL;
    dcmi_lock_take(&lock);
    for (uint32_t end = atomic_load(&high); *cursor < end && !found; ++*cursor) {
        dcmi_pool *pool = atomic_load(&entries[*cursor].pool);
        if (pool && pool->root == pool) {
            atomic_fetch_add(&entries[*cursor].borrowers, 1);
            found = pool;
        }
    }
    dcmi_lock_drop(&lock);
    return found;
}

void
dcmi_registry_return(dcmi_pool *root)
{
    atomic_fetch_sub(&entries[root->index].borrowers, 1);
}

/* In a child after fork: the maintenance that borrowed is not there. */
/* COVER begin: runs in the child of a fork, which ends by _exit() and leaves no counts */
void
dcmi_registry_forget_borrowers(void)
{
    for (uint32_t index = 0, end = atomic_load(&high); index < end; index++)
        atomic_store(&entries[index].borrowers, 0);
}
/* COVER end */

void
dcmi_registry_each(void (*visit)(dcmi_pool *root, void *user), void *user)
{
    for (uint32_t index = 0, end = atomic_load(&high); index < end; index++) {
        dcmi_pool *pool = atomic_load(&entries[index].pool);
        if (pool && pool->root == pool)
            visit(pool, user);
    }
}

/* The root pool of that handle where this thread's cache works for it, as it mostly does. A cache is detached before
 * its pool ends. */
static dcmi_pool *
attached(uint64_t handle)
{
    const dcmi_cache *cache = dcmi_cache_for(handle);
    return cache && cache->pool->root == cache->pool ? cache->pool : NULL;
}

dcmi_pool *
dcmi_pool_resolve(dcmem_manager *manager)
{
    uint64_t handle = (uintptr_t)manager;
    uint64_t index = (handle & INDEX_MASK) - 1;
    uint64_t generation = handle >> INDEX_BITS;
    if (!manager) {
        dcmi_fail(DCMEM_E_NOT_A_MANAGER, "manager is NULL; make one with dcmem_manager_create()");
        return NULL;
    }
    dcmi_pool *own = attached(handle);
    if (own)
        return own;
    if (index >= atomic_load_explicit(&high, memory_order_acquire) || generation == 0 ||
        generation > atomic_load_explicit(&entries[index].generation, memory_order_acquire)) {
        dcmi_fail(DCMEM_E_NOT_A_MANAGER, "manager %p was never given out", (void *)manager);
        return NULL;
    }
    dcmi_pool *pool = atomic_load_explicit(&entries[index].pool, memory_order_acquire);
    if (!pool || pool->handle != handle || pool->root != pool) {
        dcmi_fail(DCMEM_E_STALE_MANAGER, "manager %p was destroyed", (void *)manager);
        return NULL;
    }
    return pool;
}

dcmem_manager *
dcmi_pool_manager(const dcmi_pool *pool)
{
    return (dcmem_manager *)(uintptr_t)pool->root->handle;
}
