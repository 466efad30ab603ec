/* hot.h: the paths on which every nanosecond counts: a block from or to the thread's own magazine.
 *
 * Everything else is elsewhere, in cold functions, so that these stay small: two stores and a load for the cache
 * protocol, one table for the class, a store for the live mark, one add for the figures. */
#ifndef DCMI_HOT_H
#define DCMI_HOT_H

#include "pool/cache.h"

/* All inside dcmi_cache_enter() and dcmi_cache_leave(). */

/* What the live mark of a block of `block_bytes` is for a request of `bytes`. */
static inline uint64_t
dcmi_mark_for(uint64_t block_bytes, unsigned slack_shift, uint64_t bytes)
{
    return ((block_bytes - bytes) >> slack_shift) + 1;
}

/* Whether a tally's next block is one to be timed, which the slow way does. */
static inline bool
dcmi_is_sample(uint64_t tally)
{
#ifdef DCMI_NO_STATS
    (void)tally;
    return false;
#else
    return DCMI_UNLIKELY(tally & DCMI_SAMPLE_EVERY);
#endif
}

static inline void
dcmi_tally(dcmi_count *count, uint64_t tally, uint64_t mark)
{
#ifdef DCMI_NO_STATS
    (void)count, (void)tally, (void)mark;
#else
    atomic_store_explicit(count, tally + (mark << DCMI_TALLY_MARKS) + 1, memory_order_relaxed);
#endif
}

/* A block for `bytes`, or 0: go the slow way. `holder` is a constant where these are expanded: a caller's marks are
 * written and tested as they are. */
static inline uint64_t
dcmi_hot_take(dcmi_cache *cache, uint64_t bytes, unsigned holder)
{
    dcmi_magazine *magazine = dcmi_cache_serving(cache, dcmi_class_index(bytes));
    dcmi_entry *top = atomic_load_explicit(&magazine->top, memory_order_relaxed) - 1;
    uint64_t tally = dcmi_count_read(&magazine->taken);
    uint64_t address = top->address;
    if (DCMI_UNLIKELY(address == 0) || dcmi_is_sample(tally))
        return 0;

    uint64_t mark = dcmi_mark_for(magazine->block_bytes, magazine->slack_shift, bytes);
#ifndef DCMI_NO_CHECKS
    atomic_store_explicit(top->mark, (uint16_t)(mark | holder), memory_order_relaxed);
#else
    (void)holder;
#endif
    atomic_store_explicit(&magazine->top, top, memory_order_relaxed);
    dcmi_tally(&magazine->taken, tally, mark);
    return address;
}

/* False: go the slow way, nothing has changed. */
static inline bool
dcmi_hot_give(dcmi_cache *cache, uint64_t address, unsigned holder)
{
    dcmi_cell cell = dcmi_map_cell(cache->map, address);
    if (DCMI_UNLIKELY(!cell.leaf))
        return false;
    dcmi_page *page = dcmi_cell_page(cell);
    unsigned kind = atomic_load_explicit(&page->kind, memory_order_relaxed);
    /* No class: the magazine for none, which takes nothing. */
    dcmi_magazine *magazine = dcmi_cache_magazine_of(cache, kind & DCMI_PAGE_CLASS);
    dcmi_entry *top = atomic_load_explicit(&magazine->top, memory_order_relaxed);
    uint64_t tally = dcmi_count_read(&magazine->given);
    if (DCMI_UNLIKELY(top >= magazine->limit) || dcmi_is_sample(tally))
        return false;

    /* Where marks can stand: any other address is no block's start. Choosing by arithmetic instead of a branch was
     * measured: no gain in churn, half a nanosecond more elsewhere. */
    bool is_slab = dcmi_page_is_slab(kind);
    _Atomic uint16_t *live = is_slab ? dcmi_cell_slot(cell) : &page->live;
    int16_t mark = 1;
#ifndef DCMI_NO_CHECKS
    uint64_t mask = is_slab ? DCMI_QUANTUM - 1 : DCMI_PAGE - 1;
    if (DCMI_UNLIKELY(address & mask))
        return false;
    uint16_t whole = atomic_load_explicit(live, memory_order_relaxed);
    mark = dcmi_mark_for_holder(whole, holder);
    if (DCMI_UNLIKELY(mark <= 0))
        return false;
#ifdef DCMI_HARDENED
    if (!atomic_compare_exchange_strong_explicit(live, &whole, 0, memory_order_relaxed, memory_order_relaxed))
        return false; /* COVER: another thread must free it in the same instant */
#else
    atomic_store_explicit(live, 0, memory_order_relaxed);
#endif
#else
    (void)holder;
#endif
    top->address = address;
    top->mark = live;
    atomic_store_explicit(&magazine->top, top + 1, memory_order_relaxed);
    dcmi_tally(&magazine->given, tally, (uint16_t)mark);
    return true;
}

/* Adds to one of DCMI_CACHE_COUNTS: in the thread's own figures where it works for this manager's root pool. */
#define DCMI_POOL_COUNT(pool, name, n)                                                                                 \
    do {                                                                                                               \
        dcmi_cache *dcmi_own = dcmi_cache_for((uintptr_t)dcmi_pool_manager(pool));                                     \
        if (dcmi_own)                                                                                                  \
            dcmi_count_add(&dcmi_own->name, (n));                                                                      \
        else                                                                                                           \
            dcmi_pool_add((pool), DCMI_COUNTER_##name, (n));                                                           \
    } while (0)

/* For the layers above: a block of the manager's root pool, or 0, or false: go the slow way. */
static inline uint64_t
dcmi_pool_take_hot(dcmem_manager *manager, uint64_t bytes, unsigned holder)
{
    dcmi_cache *cache = dcmi_cache_current;
    uint64_t address = dcmi_cache_enter(cache, (uintptr_t)manager) ? dcmi_hot_take(cache, bytes, holder) : 0;
    dcmi_cache_leave(cache);
    return address;
}

static inline bool
dcmi_pool_give_hot(dcmem_manager *manager, uint64_t address, unsigned holder)
{
    dcmi_cache *cache = dcmi_cache_current;
    bool is_given = dcmi_cache_enter(cache, (uintptr_t)manager) && dcmi_hot_give(cache, address, holder);
    dcmi_cache_leave(cache);
    return is_given;
}

#endif
