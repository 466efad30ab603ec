/* hot.h: the paths on which every nanosecond counts: a block from or to the thread's own magazine.
 *
 * Everything else is elsewhere, in cold functions, so that these stay small. Measured parts: two stores and a load for
 * the cache protocol, one table for the class, one load and store for the live mark, two adds for the figures. */
#ifndef DCMI_HOT_H
#define DCMI_HOT_H

#include "pool/cache.h"

#define DCMI_SAMPLE_EVERY 256u /* one hit in so many is timed */

/* All inside dcmi_cache_enter() and dcmi_cache_leave(). */

/* Marks a block of `class` as live, with what it has beyond `bytes`; returns the slack in bytes. */
static inline uint64_t
dcmi_mark_live(_Atomic(dcmi_leaf *) *root, uint64_t address, const dcmi_class *class, uint64_t bytes)
{
    dcmi_leaf *leaf = dcmi_map_leaf(root, address);
    uint64_t units = (class->bytes - bytes) >> class->slack_shift;
    atomic_store_explicit(dcmi_leaf_live(leaf, address, class->live_base, class->live_shift), (uint16_t)(units + 1),
                          memory_order_relaxed);
    return units << class->slack_shift;
}

static inline bool
dcmi_is_sample(uint64_t count)
{
#ifdef DCMI_NO_STATS
    (void)count;
    return false;
#else
    return DCMI_UNLIKELY(count % DCMI_SAMPLE_EVERY == DCMI_SAMPLE_EVERY - 1);
#endif
}

/* A block for 1 <= bytes <= DCMI_CLASS_LARGEST, or 0: go the slow way. */
static inline uint64_t
dcmi_hot_take(dcmi_cache *cache, uint64_t bytes, bool may_sample)
{
    const dcmi_class_table *table = cache->table;
    unsigned index = table->serving[dcmi_class_index(bytes)];
    const dcmi_class *class = &table->classes[index];
    dcmi_magazine *magazine = &cache->magazines[index];

    uint32_t count = dcmi_magazine_count(magazine);
    uint64_t takes = dcmi_count_read(&magazine->takes);
    if (DCMI_UNLIKELY(count == 0) || (may_sample && dcmi_is_sample(takes)))
        return 0;

    uint64_t address = magazine->blocks[count - 1];
    dcmi_magazine_set_count(magazine, count - 1);
#ifndef DCMI_NO_CHECKS
    uint64_t slack = dcmi_mark_live(cache->root, address, class, bytes);
#else
    uint64_t slack = class->bytes - bytes;
#endif
#ifndef DCMI_NO_STATS
    atomic_store_explicit(&magazine->takes, takes + 1, memory_order_relaxed);
    dcmi_count_add(&magazine->slack_taken, slack);
#else
    (void)slack;
#endif
    return address;
}

/* False: go the slow way, nothing has changed. */
static inline bool
dcmi_hot_give(dcmi_cache *cache, uint64_t address)
{
    dcmi_leaf *leaf = dcmi_map_leaf(cache->root, address);
    if (DCMI_UNLIKELY(!leaf))
        return false;
    unsigned index =
        atomic_load_explicit(&dcmi_leaf_page(leaf, address)->class_plus_1, memory_order_relaxed) - 1u;
    if (DCMI_UNLIKELY(index >= DCMI_CLASS_COUNT))
        return false;

    const dcmi_class *class = &cache->table->classes[index];
    dcmi_magazine *magazine = &cache->magazines[index];
    uint32_t count = dcmi_magazine_count(magazine);
    uint64_t gives = dcmi_count_read(&magazine->gives);
    if (DCMI_UNLIKELY(count >= magazine->cap) || dcmi_is_sample(gives))
        return false;

#ifndef DCMI_NO_CHECKS
    /* Where the marks of the class can stand; any other address is no block's start. */
    uint64_t mask = class->is_slab ? DCMI_QUANTUM - 1 : DCMI_PAGE - 1;
    _Atomic uint16_t *live = dcmi_leaf_live(leaf, address & ~mask, class->live_base, class->live_shift);
#ifdef DCMI_HARDENED
    uint64_t mark = (address & mask) ? 0 : atomic_exchange_explicit(live, 0, memory_order_relaxed);
#else
    uint64_t mark = atomic_load_explicit(live, memory_order_relaxed);
#endif
    if (DCMI_UNLIKELY(mark == 0) || DCMI_UNLIKELY((address & mask) != 0))
        return false;
#ifndef DCMI_HARDENED
    atomic_store_explicit(live, 0, memory_order_relaxed);
#endif
    uint64_t slack = (mark - 1) << class->slack_shift;
#else
    uint64_t slack = 0;
    (void)class;
#endif
    magazine->blocks[count] = address;
    dcmi_magazine_set_count(magazine, count + 1);
#ifndef DCMI_NO_STATS
    atomic_store_explicit(&magazine->gives, gives + 1, memory_order_relaxed);
    dcmi_count_add(&magazine->slack_given, slack);
#else
    (void)slack;
#endif
    return true;
}

/* For the layers above: a block of the manager's root pool, or 0, or false: go the slow way. */
static inline uint64_t
dcmi_pool_take_hot(dcmem_manager *manager, uint64_t bytes)
{
    dcmi_cache *cache = dcmi_cache_current;
    uint64_t address = 0;
    if (dcmi_cache_enter(cache, (uintptr_t)manager) && DCMI_LIKELY(bytes - 1 < DCMI_CLASS_LARGEST))
        address = dcmi_hot_take(cache, bytes, true);
    dcmi_cache_leave(cache);
    return address;
}

static inline bool
dcmi_pool_give_hot(dcmem_manager *manager, uint64_t address)
{
    dcmi_cache *cache = dcmi_cache_current;
    bool is_given = dcmi_cache_enter(cache, (uintptr_t)manager) && dcmi_hot_give(cache, address);
    dcmi_cache_leave(cache);
    return is_given;
}

#endif
