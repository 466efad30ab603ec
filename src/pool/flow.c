/* flow.c: free blocks on their way between magazines, depot and regions, and from there to the driver. */
#include "pool/inside.h"

#include <string.h>

/* What a flush leaves at first of a magazine: 1 / this. What is left pins holes; small blocks are few bytes (0020). */
#define NEWEST_SMALL 2u
#define NEWEST_LARGE 4u

static uint32_t
owner_of(const dcmi_pool *pool, uint64_t address)
{
    return atomic_load_explicit(&dcmi_map_page(&pool->map, address)->owner, memory_order_relaxed);
}

void
dcmi_pool_give_blocks(dcmi_pool *pool, const uint64_t *blocks, unsigned count) DCMI_UNCHECKED
{
    dcmi_region *locked = NULL;
    for (unsigned i = 0; i < count; i++) {
        dcmi_region *region = dcmi_pool_region_of(pool, owner_of(pool, blocks[i]));
        if (region != locked) {
            if (locked)
                dcmi_lock_drop(&locked->lock);
            dcmi_lock_take(&region->lock);
            locked = region;
        }
        dcmi_region_give(region, blocks[i]);
    }
    if (locked)
        dcmi_lock_drop(&locked->lock);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a block's region is never NULL. */
}

void
dcmi_magazine_remove(uint64_t *out, dcmi_magazine *magazine, uint32_t first, uint32_t count)
{
    uint32_t all = dcmi_magazine_count(magazine);
    for (uint32_t i = 0; i < count; i++)
        out[i] = magazine->entries[first + i].address;
    memmove(magazine->entries + first, magazine->entries + first + count,
            (all - first - count) * sizeof magazine->entries[0]);
    dcmi_magazine_set_count(magazine, all - count);
    dcmi_magazine_settle(magazine, (dcmi_totals){0}, (dcmi_totals){0}); /* as many may be given again */
}

uint64_t
dcmi_pool_flush_cache(dcmi_pool *pool, dcmi_cache *cache, bool small, bool large, bool keeps_newest)
{
    uint64_t bytes = 0;
    dcmi_class_range range = dcmi_class_range_of(small, large);
    for (unsigned class = range.begin; (class = dcmi_class_set_next(&cache->granted, class)) < range.end; class++) {
        dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
        uint32_t count = dcmi_magazine_count(magazine);
        if (count == 0)
            continue;
        if (keeps_newest)
            count -= count / (class < DCMI_FIRST_LARGE ? NEWEST_SMALL : NEWEST_LARGE);
        uint64_t blocks[DCMI_MAGAZINE_ROOM];
        dcmi_magazine_remove(blocks, magazine, 0, count);
        dcmi_pool_give_blocks(pool, blocks, count);
        bytes += count * pool->table.classes[class].bytes;
    }
    return bytes;
}

static uint64_t
flush_class(dcmi_pool *pool, unsigned class, uint64_t most)
{
    uint64_t flushed = 0;
    while (flushed < most) {
        uint64_t blocks[DCMI_BATCH];
        unsigned count = dcmi_depot_take(blocks, &pool->depot, class, (unsigned)dcmi_min(most - flushed, DCMI_BATCH));
        if (count == 0)
            break;
        dcmi_pool_give_blocks(pool, blocks, count);
        flushed += count;
    }
    return flushed * pool->table.classes[class].bytes;
}

uint64_t
dcmi_pool_flush_depot(dcmi_pool *pool, bool small, bool large, bool surplus_only)
{
    uint64_t bytes = 0;
    dcmi_class_range range = dcmi_class_range_of(small, large);
    const dcmi_class_set *used = &pool->depot.used;
    for (unsigned class = range.begin; (class = dcmi_class_set_next(used, class)) < range.end; class++) {
        uint64_t most = surplus_only ? dcmi_depot_surplus(&pool->depot, class) : UINT64_MAX;
        if (most > 0 && dcmi_depot_blocks(&pool->depot, class) > 0)
            bytes += flush_class(pool, class, most);
    }
    return bytes;
}

/* Every cache is seized in its turn; the list cannot change meanwhile. */
static uint64_t
reclaim_caches(dcmi_pool *pool)
{
    uint64_t bytes = 0;
    dcmi_lock_take(&pool->caches_lock);
    for (dcmi_cache *cache = pool->caches; cache; cache = cache->after) {
        dcmi_cache_seize(cache);
        bytes += dcmi_pool_flush_cache(pool, cache, true, true, false);
        dcmi_cache_release(cache);
    }
    dcmi_lock_drop(&pool->caches_lock);
    return bytes;
}

uint64_t
dcmi_pool_reclaim(dcmi_pool *pool)
{
    uint64_t bytes = reclaim_caches(pool);
    bytes += dcmi_pool_flush_depot(pool, true, true, false);
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        dcmi_region *region = &pool->regions[i];
        dcmi_lock_take(&region->lock);
        dcmi_region_settle(region);
        dcmi_lock_drop(&region->lock);
    }
    dcmi_pool_add(pool, DCMI_COUNTER_reclaims, 1);
    dcmi_pool_add(pool, DCMI_COUNTER_reclaimed_bytes, bytes);
    return bytes;
}

uint64_t
dcmi_pool_out_bytes(const dcmi_pool *pool)
{
    uint64_t out = 0;
    const dcmi_region *end = pool->regions + dcmi_pool_region_count(pool);
    for (const dcmi_region *region = pool->regions; region < end; region++)
        out += atomic_load_explicit(&region->out_bytes, memory_order_relaxed);
    return out;
}

uint64_t
dcmi_pool_longest_run(const dcmi_pool *pool)
{
    uint64_t pages = 1;
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++)
        pages = dcmi_max(pages, atomic_load_explicit(&pool->regions[i].longest_pages, memory_order_relaxed));
    return pages;
}

uint64_t
dcmi_pool_depot_bytes(const dcmi_pool *pool)
{
    uint64_t bytes = 0;
    const dcmi_class_set *used = &pool->depot.used;
    for (unsigned class = 0; (class = dcmi_class_set_next(used, class)) < DCMI_CLASS_COUNT; class++)
        bytes += dcmi_depot_blocks(&pool->depot, class) * pool->table.classes[class].bytes;
    return bytes;
}

uint64_t
dcmi_pool_free_bytes(dcmi_pool *pool, uint64_t *out_largest)
{
    uint64_t bytes = 0, largest = 0;
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        dcmi_region *region = &pool->regions[i];
        dcmi_lock_take(&region->lock);
        bytes += (region->fit.free_pages << DCMI_PAGE_SHIFT) + region->slab_free_bytes;
        uint32_t span = out_largest ? dcmi_fit_largest(&region->fit, DCMI_SPAN_NONE) : DCMI_SPAN_NONE;
        if (span)
            largest = dcmi_max(largest, (uint64_t)region->fit.spans[span].pages << DCMI_PAGE_SHIFT);
        dcmi_lock_drop(&region->lock);
    }
    if (out_largest)
        *out_largest = largest;
    return bytes;
}

static uint64_t
free_pages_bytes(dcmi_pool *root)
{
    uint64_t bytes = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        for (uint32_t i = 0; pool && i < dcmi_pool_region_count(pool); i++) {
            dcmi_lock_take(&pool->regions[i].lock);
            dcmi_region_settle(&pool->regions[i]);
            bytes += pool->regions[i].fit.free_pages << DCMI_PAGE_SHIFT;
            dcmi_lock_drop(&pool->regions[i].lock);
        }
    }
    return bytes;
}

/* Gives back up to `bytes` of what the regions have free. */
static uint64_t
shrink_pools(dcmi_pool *root, uint64_t bytes, dcmem_result *failed)
{
    uint64_t gone = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT && gone < bytes; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        for (uint32_t i = 0; pool && i < dcmi_pool_region_count(pool) && gone < bytes; i++)
            gone += dcmi_pool_shrink(pool, &pool->regions[i], bytes - gone, failed);
    }
    if (gone > 0) {
        dcmi_pool_add(root, DCMI_COUNTER_trims, 1);
        dcmi_pool_add(root, DCMI_COUNTER_trimmed_bytes, gone);
    }
    return gone;
}

static void
reclaim_all(dcmi_pool *root)
{
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (pool)
            dcmi_pool_reclaim(pool);
    }
}

uint64_t
dcmi_pool_trim(dcmi_pool *root, uint64_t keep_bytes, dcmem_result *failed)
{
    (void)dcmi_pool_call_spare(root, false);
    reclaim_all(root);
    return shrink_pools(root, dcmi_less(free_pages_bytes(root), keep_bytes), failed);
}

uint64_t
dcmi_pool_trim_step(dcmi_pool *root, uint64_t bytes, dcmem_result *failed)
{
    uint64_t gone = shrink_pools(root, bytes, failed);
    if (gone > 0)
        return gone;
    (void)dcmi_pool_call_spare(root, false);
    reclaim_all(root);
    return shrink_pools(root, bytes, failed);
}
