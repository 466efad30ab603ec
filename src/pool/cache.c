/* cache.c: the life of a thread's cache, and how others come to what it holds. See cache.h.
 *
 * A cache is mapped the first time its thread uses a pool of that index and stays with the thread, detached and
 * attached again, until the thread ends: a pool's end never unmaps what a thread's fast path may still look at. */
#include "pool/cache.h"

#include "base/os.h"
#include "pool/inside.h"

#include <pthread.h>
#include <sched.h>

/* Processors take a load for one of what was stored just before while both addresses are the same but for whole pages.
 * The first lines of the page map are written by hits, so the first line of a cache lies elsewhere in its page. */
typedef struct mapping {
    char lead[17 * 64];
    dcmi_cache cache;
} mapping;

static dcmi_cache *
map_cache(void)
{
    mapping *mapped = dcmi_os_reserve(sizeof *mapped);
    return mapped ? &mapped->cache : NULL;
}

static void
unmap_cache(dcmi_cache *cache)
{
    dcmi_os_unreserve((char *)cache - offsetof(mapping, cache), sizeof(mapping));
}

/* No handle matches it. Only `busy` is ever written. */
static dcmi_cache no_cache;

/* No initializer: that would put all of it, a quarter of a megabyte of zeros, into the library's file. */
__attribute__((constructor)) static void
close_no_cache(void)
{
    atomic_store(&no_cache.handle, DCMI_HANDLE_HIDDEN);
}

DCMI_THREAD_LOCAL dcmi_cache *dcmi_cache_current = &no_cache;

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static bool can_publish;

/* A thread ends: what it holds goes to those who go on. */
static void
thread_ends(dcmi_thread *thread)
{
    dcmi_cache_current = &no_cache;
    for (uint32_t index = 0; index < thread->cache_high; index++) {
        dcmi_cache *cache = thread->caches[index];
        if (!cache)
            continue;
        /* The registry's lock keeps the pool from ending meanwhile. */
        dcmi_registry_lock();
        if (atomic_load(&cache->identity))
            dcmi_cache_end(cache);
        dcmi_registry_unlock();
        thread->caches[index] = NULL;
        unmap_cache(cache);
    }
}

static void
prepare(void)
{
    dcmi_thread_on_end(2, thread_ends);
#ifdef DCMI_PORTABLE_FENCES
    can_publish = true;
#else
    can_publish = dcmi_os_fence_prepare();
#endif
}

void
dcmi_cache_prepare(void)
{
    pthread_once(&prepared, prepare);
}

/* Where the near leaf lies is not known before the pool's first memory; no address lies in it until then. */
static void
learn_near(dcmi_cache *cache)
{
    cache->near.base = atomic_load_explicit(&cache->map->base, memory_order_relaxed);
    cache->near.leaf = cache->map->near;
}

static void
attach(dcmi_cache *cache, dcmi_pool *pool, uint32_t thread_number)
{
    cache->thread = thread_number;
    cache->arena = thread_number % pool->arena_count;
    cache->table = &pool->table;
    cache->map = &pool->map;
    cache->pool = pool;
    cache->is_host = dcmi_device_is_host(pool->device);
    learn_near(cache);
    cache->far = (dcmi_leaf_place){DCMI_MAP_NO_BASE, NULL};
    for (unsigned index = 0; index <= DCMI_INDEX_COUNT; index++)
        cache->serving[index] = &cache->none;
    dcmi_magazine_set_count(&cache->none, 0);
    atomic_store(&cache->handle, DCMI_HANDLE_HIDDEN);
    atomic_store(&cache->identity, pool->handle);

    dcmi_lock_take(&pool->caches_lock);
    cache->before = NULL;
    cache->after = pool->caches;
    if (cache->after)
        cache->after->before = cache;
    pool->caches = cache;
    pool->cache_count++;
    dcmi_lock_drop(&pool->caches_lock);
}

/* Opens the owner's fast path, unless every call must pass the slow one or the cache has no owner. Under the lock: who
 * seizes it meanwhile would find it open again. */
static void
publish(dcmi_cache *cache) DCMI_REQUIRES(cache->lock)
{
    const dcmi_pool *pool = cache->pool;
    bool is_slow = pool->has_exact_peaks || pool->root->guard || atomic_load(&pool->gate.is_set);
    if (can_publish && !is_slow && cache != &pool->fallback)
        atomic_store_explicit(&cache->handle, atomic_load_explicit(&cache->identity, memory_order_relaxed),
                              memory_order_release);
}

void
dcmi_cache_attach_fallback(dcmi_pool *pool)
{
    attach(&pool->fallback, pool, 0);
}

static void
unlink_cache(dcmi_pool *pool, dcmi_cache *cache) DCMI_REQUIRES(pool->caches_lock)
{
    if (cache->before)
        cache->before->after = cache->after;
    else
        pool->caches = cache->after;
    if (cache->after)
        cache->after->before = cache->before;
    pool->cache_count--;
}

static void
zero(dcmi_count *count)
{
    atomic_store_explicit(count, 0, memory_order_relaxed);
}

/* Back to what a new mapping is; magazines that were never used are not touched, so they still cost nothing. */
static void
forget(dcmi_cache *cache)
{
    cache->pool = NULL;
    dcmi_class_set_clear(&cache->granted);
    cache->granted_bytes = cache->flushed_at = cache->direct_span = 0;
    dcmi_count *const counts[] = {&cache->buffers_created,    &cache->buffers_destroyed,  &cache->copies_begun,
                                  &cache->depot_hits,         &cache->fit_hits,           &cache->direct_left,
                                  &cache->direct_takes,       &cache->direct_gives,       &cache->direct_bytes_taken,
                                  &cache->direct_bytes_given, &cache->direct_slack_taken, &cache->direct_slack_given,
                                  &cache->large_takes,        &cache->recycled_at};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        zero(counts[i]);
#define DCMEM_X(name) zero(&cache->name);
    DCMI_CACHE_COUNTS(DCMEM_X)
#undef DCMEM_X
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
        bool is_new = dcmi_count_read(&magazine->totals[0]) == 0 && dcmi_count_read(&magazine->totals[2]) == 0;
        if (!magazine->limit && is_new)
            continue;
        magazine->limit = NULL;
        magazine->cap = 0;
        atomic_store_explicit(&magazine->is_due, 0, memory_order_relaxed);
        atomic_store_explicit(&magazine->top, NULL, memory_order_relaxed);
        zero(&magazine->taken);
        zero(&magazine->given);
        for (unsigned i = 0; i < 4; i++)
            zero(&magazine->totals[i]);
    }
}

void
dcmi_cache_end(dcmi_cache *cache) DCMI_UNCHECKED
{
    dcmi_pool *pool = cache->pool;
    dcmi_lock_take(&pool->caches_lock);
    dcmi_cache_seize(cache);
    dcmi_pool_flush_cache(pool, cache, true, true, false);
    unlink_cache(pool, cache);
    dcmi_pool_retire(pool, cache);
    atomic_store(&cache->identity, 0);
    forget(cache);
    dcmi_lock_drop(&cache->lock);
    dcmi_lock_drop(&pool->caches_lock);
}

static dcmi_cache *
cache_of(dcmi_thread *thread, dcmi_pool *pool)
{
    dcmi_cache *cache = thread->caches[pool->index];
    if (!cache) {
        cache = map_cache();
        if (!cache)
            return NULL;
        thread->caches[pool->index] = cache;
        if (thread->cache_high <= pool->index)
            thread->cache_high = pool->index + 1;
    }
    if (atomic_load_explicit(&cache->identity, memory_order_relaxed) != pool->handle) {
        attach(cache, pool, thread->number);
        dcmi_lock_take(&cache->lock);
        publish(cache);
        dcmi_lock_drop(&cache->lock);
    }
    return cache;
}

dcmi_cache *
dcmi_cache_get(dcmi_pool *pool)
{
    dcmi_cache *cache = dcmi_cache_current;
    if (DCMI_LIKELY(atomic_load_explicit(&cache->identity, memory_order_relaxed) == pool->handle))
        return cache;

    dcmi_thread *thread = dcmi_thread_get();
    cache = thread ? cache_of(thread, pool) : NULL;
    if (!cache)
        return &pool->fallback;
    return dcmi_cache_current = cache;
}

bool
dcmi_cache_own(dcmi_cache *cache) DCMI_UNCHECKED
{
    if (dcmi_cache_enter(cache, atomic_load_explicit(&cache->identity, memory_order_relaxed)))
        return false;
    dcmi_cache_leave(cache);
    dcmi_lock_take(&cache->lock);
    return true;
}

void
dcmi_cache_disown(dcmi_cache *cache, bool is_locked) DCMI_UNCHECKED
{
    if (is_locked)
        dcmi_lock_drop(&cache->lock);
    else
        dcmi_cache_leave(cache);
}

void
dcmi_cache_seize(dcmi_cache *cache) DCMI_UNCHECKED
{
    dcmi_lock_take(&cache->lock);
    atomic_store_explicit(&cache->handle, DCMI_HANDLE_HIDDEN, memory_order_seq_cst);
#ifndef DCMI_PORTABLE_FENCES
    if (can_publish)
        dcmi_os_fence_all();
#endif
    while (atomic_load_explicit(&cache->busy, memory_order_seq_cst))
        sched_yield(); /* COVER: the owner must be in the middle of a hit in that very moment */
}

void
dcmi_cache_release(dcmi_cache *cache) DCMI_UNCHECKED
{
    publish(cache);
    dcmi_lock_drop(&cache->lock);
}

/* How many blocks of a class a thread may keep: 2 MiB of them, 69 at most, 1 at least. Measured: POOL notes in
 * docs/decisions. */
static uint32_t
cap_of(uint64_t bytes)
{
    uint64_t cap = (2ull << 20) / bytes;
    return cap < 1 ? 1 : cap > 69 ? 69 : (uint32_t)cap;
}

void
dcmi_cache_revoke(dcmi_cache *cache, unsigned class)
{
    dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
    cache->granted_bytes -= dcmi_magazine_cap(magazine) * cache->table->classes[class].bytes;
    if (magazine->limit)
        dcmi_magazine_set_cap(magazine, 0);
}

/* Classes that hold nothing now lose their share; they get it again when a block comes back. */
static void
take_idle_grants(dcmi_cache *cache)
{
    for (unsigned class = 0; (class = dcmi_class_set_next(&cache->granted, class)) < DCMI_CLASS_COUNT; class++)
        if (dcmi_magazine_count(dcmi_cache_magazine(cache, class)) == 0)
            dcmi_cache_revoke(cache, class);
}

static void
open_magazine(dcmi_cache *cache, unsigned index, uint32_t cap)
{
    const dcmi_class *class = &cache->table->classes[index];
    dcmi_magazine *magazine = dcmi_cache_magazine(cache, index);
    learn_near(cache);
    magazine->room = class->bytes + (DCMI_TALLY_ONE << class->slack_shift);
    magazine->slack_shift = class->slack_shift;
    magazine->mark_shift = class->is_slab ? DCMI_SLOT_MARK_SHIFT : DCMI_PAGE_MARK_SHIFT;
    magazine->mark_begin = class->is_slab ? DCMI_SLOT_MARK_BEGIN : DCMI_PAGE_MARK_BEGIN;
    magazine->inside = (class->is_slab ? DCMI_QUANTUM : DCMI_PAGE) - 1u;
    if (dcmi_count_read(&magazine->taken) == 0)
        atomic_store_explicit(&magazine->taken, DCMI_TALLY_BEGIN, memory_order_relaxed);
    dcmi_magazine_set_cap(magazine, cap);
    dcmi_magazine_set_count(magazine, 0);
    dcmi_class_set_add(&cache->granted, index);
    if (cache->serving[index + 1] == magazine)
        return; /* since an earlier grant: a magazine without a cap is empty, and goes on being asked */
    for (unsigned request = 0; request < DCMI_CLASS_COUNT; request++)
        if (cache->table->serving[request] == index)
            cache->serving[request + 1] = magazine;
}

void
dcmi_cache_grant(dcmi_cache *cache, unsigned class)
{
    dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
    uint64_t bytes = cache->table->classes[class].bytes;
    uint64_t bound = cache->pool->thread_cache_bytes;
    uint64_t wanted = cap_of(bytes) * bytes;
    if (dcmi_magazine_cap(magazine) > 0 || bytes > bound || !dcmi_map_has_memory(cache->map))
        return;

    if (cache->granted_bytes + wanted > bound)
        take_idle_grants(cache);
    uint64_t cap = dcmi_min(wanted, dcmi_less(bound, cache->granted_bytes)) / bytes;
    cache->granted_bytes += cap * bytes;
    if (cap > 0)
        open_magazine(cache, class, (uint32_t)cap);
}

/* ---- Tallies ---- */

static dcmi_totals
totals_of(uint64_t tally)
{
    return (dcmi_totals){.blocks = tally >> DCMI_TALLY_BLOCKS, .marks = tally & DCMI_TALLY_MARKS};
}

/* Before the first block was kept it is 0. */
static dcmi_totals
taken_totals(uint64_t tally)
{
    return totals_of(tally ? tally - DCMI_TALLY_BEGIN : 0);
}

void
dcmi_magazine_settle(dcmi_magazine *magazine, dcmi_totals taken, dcmi_totals given)
{
    dcmi_totals hit_taken = taken_totals(dcmi_count_read(&magazine->taken));
    dcmi_totals hit_given = totals_of(dcmi_count_read(&magazine->given));
    uint64_t samples = dcmi_count_read(&magazine->totals[2]) / DCMI_SAMPLE_EVERY;

    uint32_t sequence = atomic_load_explicit(&magazine->sequence, memory_order_relaxed);
    atomic_store_explicit(&magazine->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    dcmi_count_add(&magazine->totals[0], hit_taken.blocks + taken.blocks);
    dcmi_count_add(&magazine->totals[1], hit_taken.marks + taken.marks);
    dcmi_count_add(&magazine->totals[2], hit_given.blocks + given.blocks);
    dcmi_count_add(&magazine->totals[3], hit_given.marks + given.marks);
    atomic_store_explicit(&magazine->taken, DCMI_TALLY_BEGIN, memory_order_relaxed);
    atomic_store_explicit(&magazine->given, 0, memory_order_relaxed);
    atomic_store_explicit(&magazine->sequence, sequence + 2, memory_order_release);

    if (dcmi_count_read(&magazine->totals[2]) / DCMI_SAMPLE_EVERY != samples && magazine->cap > 0) {
        magazine->limit = magazine->entries;
        atomic_store_explicit(&magazine->is_due, 1, memory_order_relaxed);
    }
}

void
dcmi_magazine_mend(dcmi_magazine *magazine)
{
    uint64_t taken = dcmi_count_read(&magazine->taken);
    if (dcmi_tally_is_over(taken))
        atomic_store_explicit(&magazine->taken, taken - DCMI_TALLY_ONE, memory_order_relaxed);
    uint32_t sequence = atomic_load_explicit(&magazine->sequence, memory_order_relaxed);
    atomic_store_explicit(&magazine->sequence, sequence + (sequence & 1), memory_order_relaxed);
}

void
dcmi_magazine_totals(dcmi_totals *out_taken, dcmi_totals *out_given, const dcmi_magazine *magazine)
{
    uint32_t before, after;
    uint64_t taken;
    do {
        before = atomic_load_explicit(&magazine->sequence, memory_order_acquire);
        /* What was given is read first: it was taken before. */
        dcmi_totals given = totals_of(dcmi_count_read(&magazine->given));
        out_given->blocks = dcmi_count_read(&magazine->totals[2]) + given.blocks;
        out_given->marks = dcmi_count_read(&magazine->totals[3]) + given.marks;
        taken = dcmi_count_read(&magazine->taken);
        dcmi_totals more = taken_totals(taken);
        out_taken->blocks = dcmi_count_read(&magazine->totals[0]) + more.blocks;
        out_taken->marks = dcmi_count_read(&magazine->totals[1]) + more.marks;
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&magazine->sequence, memory_order_relaxed);
    } while (before != after || (before & 1) || dcmi_tally_is_over(taken));
}
