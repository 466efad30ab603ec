/* hot.h: the paths on which every nanosecond counts: a block from or to the thread's own magazine.
 *
 * Everything else is elsewhere, in cold functions, so that these stay small: two stores and a load for the cache
 * protocol, one table for the magazine, a store for the live mark, one add for the figures. docs/decisions/0018 counts
 * the instructions. */
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

/* A block more in the tally of what was taken; false: it is to be timed, and is not counted. */
static inline bool
dcmi_tally_take(dcmi_count *tally, uint64_t block)
{
#ifdef DCMI_NO_STATS
    (void)tally, (void)block;
    return true;
#elif DCMI_HOT_ASM
    bool is_over;
    __asm__("addq %[block], %[tally]" : [tally] "+m"(*(char(*)[8])tally), "=@ccs"(is_over) : [block] "r"(block));
    if (DCMI_LIKELY(!is_over))
        return true;
    dcmi_count_add(tally, -block);
    return false;
#else
    if (dcmi_tally_is_over(dcmi_count_read(tally) + block))
        return false;
    dcmi_count_add(tally, block);
    return true;
#endif
}

static inline void
dcmi_tally_give(dcmi_count *tally, uint16_t mark)
{
#ifdef DCMI_NO_STATS
    (void)tally, (void)mark;
#else
    dcmi_count_add(tally, DCMI_TALLY_ONE - 1 + mark);
#endif
}

/* A block for `bytes`, or 0: go the slow way. `holder` is a constant where these are expanded: a caller's marks are
 * written and tested as they are. */
static inline uint64_t
dcmi_hot_take(dcmi_cache *cache, uint64_t bytes, unsigned holder)
{
    dcmi_magazine *magazine = cache->serving[dcmi_class_index(bytes) + 1];
    dcmi_entry *top = atomic_load_explicit(&magazine->top, memory_order_relaxed) - 1;
    uint64_t address = top->address;
    if (DCMI_UNLIKELY(address == 0))
        return 0;
    uint64_t block = (magazine->room - bytes) >> magazine->slack_shift;
    if (DCMI_UNLIKELY(!dcmi_tally_take(&magazine->taken, block)))
        return 0;
#ifndef DCMI_NO_CHECKS
    atomic_store_explicit(top->mark, (uint16_t)(block | holder), memory_order_relaxed);
#else
    (void)holder;
#endif
    atomic_store_explicit(&magazine->top, top, memory_order_relaxed);
    return address;
}

/* Whether no block of the class can begin there. */
static inline bool
dcmi_is_inside(const dcmi_magazine *magazine, uint64_t address)
{
#if DCMI_HOT_ASM
    bool is_inside;
    __asm__("testq %[address], %[bits]" : "=@ccnz"(is_inside) : [bits] "m"(magazine->inside), [address] "r"(address));
    return is_inside;
#else
    return address & magazine->inside;
#endif
}

/* The magazine of a kind; of no class: the one for none, which takes nothing.
 *
 * Where a block is taken and given at once, its address comes from the magazine's top, and through the map leads to the
 * magazine and to its top again: four loads that wait for each other. So the processor is given a guess to go on with,
 * the magazine of the last give, and a branch that it predicts. Where classes mix, the branch is predicted as well. */
static inline dcmi_magazine *
dcmi_hot_magazine(dcmi_cache *cache, uint8_t class_plus_1)
{
    dcmi_magazine *magazine = cache->serving[class_plus_1], *guess = cache->recent;
    if (DCMI_LIKELY(guess == magazine))
        return guess;
    __asm__("" : "+r"(magazine)); /* or the compiler sees that both are the same, and spares the branch */
    return cache->recent = magazine;
}

/* A block's page in a leaf, and the leaf's offset of it. */
typedef struct dcmi_spot {
    dcmi_leaf *leaf;
    uint64_t offset, page;
} dcmi_spot;

static inline bool
dcmi_spot_in(dcmi_spot *out, const dcmi_leaf_place *place, uint64_t address)
{
    *out = (dcmi_spot){place->leaf, address - place->base, (address - place->base) >> DCMI_PAGE_SHIFT};
    __asm__("" : "+r"(out->page)); /* or the compiler shifts twice, once for the comparison */
    return out->page < DCMI_LEAF_PAGES;
}

/* Where an address is in the map: in the near leaf, in the one of the last address that was not, or the map is asked;
 * false: nowhere. Leaves live as long as their pool. */
static inline bool
dcmi_hot_spot(dcmi_spot *out, dcmi_cache *cache, uint64_t address)
{
    if (DCMI_LIKELY(dcmi_spot_in(out, &cache->near, address)) || dcmi_spot_in(out, &cache->far, address))
        return true;
    dcmi_cell cell = dcmi_map_cell(cache->map, address);
    if (!cell.leaf)
        return false;
    cache->far = (dcmi_leaf_place){address - cell.offset, cell.leaf};
    return dcmi_spot_in(out, &cache->far, address);
}

/* False: go the slow way, nothing has changed. */
static inline bool
dcmi_hot_give(dcmi_cache *cache, uint64_t address, unsigned holder)
{
    dcmi_spot spot;
    if (DCMI_UNLIKELY(!dcmi_hot_spot(&spot, cache, address)))
        return false;
    const _Atomic uint8_t *kind = &spot.leaf->pages[spot.page].kind_bytes[DCMI_PAGE_CLASS_BYTE];
    dcmi_magazine *magazine = dcmi_hot_magazine(cache, atomic_load_explicit(kind, memory_order_relaxed));
    dcmi_entry *top = atomic_load_explicit(&magazine->top, memory_order_relaxed);
    if (DCMI_UNLIKELY(top >= magazine->limit))
        return false;

    /* Any address that is no multiple of the class's is no block's start; its mark would be another's. */
    _Atomic uint16_t *live = dcmi_leaf_mark(spot.leaf, spot.offset, magazine->mark_begin, magazine->mark_shift);
    int16_t mark = 1;
#ifndef DCMI_NO_CHECKS
    if (DCMI_UNLIKELY(dcmi_is_inside(magazine, address)))
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
    dcmi_tally_give(&magazine->given, (uint16_t)mark);
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

/* For the layers above, who pass dcmi_cache_current: a block of the manager's root pool, or 0, or false: go the slow
 * way. */
static inline uint64_t
dcmi_pool_take_hot(dcmi_cache *cache, dcmem_manager *manager, uint64_t bytes, unsigned holder)
{
    uint64_t address =
        DCMI_LIKELY(dcmi_cache_enter(cache, (uintptr_t)manager)) ? dcmi_hot_take(cache, bytes, holder) : 0;
    dcmi_cache_leave(cache);
    return address;
}

static inline bool
dcmi_pool_give_hot(dcmi_cache *cache, dcmem_manager *manager, uint64_t address, unsigned holder)
{
    bool is_given = DCMI_LIKELY(dcmi_cache_enter(cache, (uintptr_t)manager)) && dcmi_hot_give(cache, address, holder);
    dcmi_cache_leave(cache);
    return is_given;
}

#endif
