/* fork.c: a child process goes on with the parent's managers.
 *
 * Before the fork every lock is taken, in rank, so that nothing is half done; after it parent and child drop them. In
 * the child the other threads are gone: what their caches hold goes to the regions. One that was inside its fast path
 * when the fork came may lose the one block it was moving, nothing else: a magazine's count is written after its
 * entry when a block comes and before it is used when one goes. Memory of the process is copied by the fork; other
 * devices' memory is not the child's to use, as their drivers say. */
#include "pool/inside.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

typedef void (*lock_action)(dcmi_lock *lock);

static void
take(dcmi_lock *lock) DCMI_UNCHECKED
{
    dcmi_lock_take(lock);
}

static void
drop(dcmi_lock *lock) DCMI_UNCHECKED
{
    dcmi_lock_drop(lock);
}

static void
each_lock(dcmi_pool *pool, lock_action action)
{
    action(&pool->caches_lock);
    for (dcmi_cache *cache = pool->caches; cache; cache = cache->after)
        action(&cache->lock);
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
        action(&pool->depot.classes[class].lock);
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++)
        action(&pool->regions[i].lock);
    action(&pool->segments_lock);
    action(&pool->gate.lock);
    action(&pool->depot.node_lock);
}

static void
each_pool(dcmi_pool *root, void *user)
{
    const lock_action *action = user;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (pool)
            each_lock(pool, *action);
    }
}

static void
prepare(void)
{
    lock_action action = take;
    dcmi_maintenance_fork(DCMI_FORK_PREPARE);
    dcmi_registry_lock();
    dcmi_registry_each(each_pool, &action);
}

static void
unlock_all(void)
{
    lock_action action = drop;
    dcmi_registry_each(each_pool, &action);
    dcmi_registry_unlock();
}

static void
parent(void)
{
    unlock_all();
    dcmi_maintenance_fork(DCMI_FORK_PARENT);
}

/* COVER begin: runs in the child of a fork, which ends by _exit() and leaves no counts */
static void
end_others(dcmi_pool *root, void *user)
{
    (void)user;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        dcmi_cache *after;
        for (dcmi_cache *cache = pool ? pool->caches : NULL; cache; cache = after) {
            after = cache->after;
            if (dcmi_thread_current && dcmi_thread_current->caches[pool->index] == cache)
                continue;
            for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
                dcmi_magazine_mend(dcmi_cache_magazine(cache, class));
            atomic_store(&cache->busy, 0);
            dcmi_cache_end(cache);
        }
    }
}

static void
child(void)
{
    unlock_all();
    dcmi_maintenance_fork(DCMI_FORK_CHILD);
    dcmi_registry_forget_borrowers();
    dcmi_registry_lock();
    dcmi_registry_each(end_others, NULL);
    dcmi_registry_unlock();
}
/* COVER end */

static void
install(void)
{
    pthread_atfork(prepare, parent, child);
}

void
dcmi_fork_prepare_once(void)
{
    pthread_once(&once, install);
}
