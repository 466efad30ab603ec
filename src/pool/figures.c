/* figures.c: what a pool did and holds, gathered from caches, regions, depot and shards.
 *
 * A snapshot reads all that was given back first, then all that was taken, then what is reserved. So a block that moves
 * meanwhile is at worst counted as live although it was freed, never the other way round; what then exceeds the
 * reserved bytes is in flight, is left out of used_bytes and told in clamped_bytes. */
#include "base/os.h"
#include "pool/inside.h"

#include <stdio.h>
#include <string.h>

#define HOLDERS 5u

dcmi_shard *
dcmi_pool_shard(const dcmi_pool *pool)
{
    return &pool->shards[dcmi_thread_number() % DCMI_SHARDS];
}

void
dcmi_pool_add(dcmi_pool *pool, enum dcmi_counter counter, uint64_t n)
{
    dcmi_shard_add(dcmi_pool_shard(pool), counter, n);
}

void
dcmi_pool_record(dcmi_pool *pool, enum dcmi_histogram_id histogram, uint64_t value)
{
    dcmi_shard_record(dcmi_pool_shard(pool), histogram, value);
}

uint32_t
dcmi_pool_copy_weight(const dcmi_pool *pool, uint64_t bytes)
{
    dcmi_cache *cache = dcmi_cache_for(pool->root->handle);
    bool is_dear = bytes >= DCMI_COPY_ALWAYS_TIMED || !dcmi_device_is_host(pool->device);
    return is_dear || !cache ? 1 : dcmi_cache_copy_weight(cache);
}

void
dcmi_pool_record_copy(const dcmi_pool *pool, uint64_t begun_ns, uint32_t weight)
{
    dcmi_shard_record_many(dcmi_pool_shard(pool), DCMI_HISTOGRAM_copy_latency, dcmi_os_now_ns() - begun_ns, weight);
}

void
dcmi_pool_adjust(dcmi_pool *pool, dcmi_gauge gauge, int64_t delta)
{
    atomic_fetch_add(&pool->root->gauges[gauge], delta);
}

void
dcmi_pool_tag(dcmi_pool *pool, dcmem_tag tag, int64_t bytes, int count)
{
    dcmi_tag_counts *of = &pool->root->tags[tag];
    uint64_t live = atomic_fetch_add(&of->live_bytes, (uint64_t)bytes) + (uint64_t)bytes;
    if (count > 0)
        atomic_fetch_add(&of->allocations, 1);
    if (count < 0)
        atomic_fetch_add(&of->frees, 1);
    uint64_t peak = atomic_load(&of->peak_bytes);
    while (bytes > 0 && peak < live && !atomic_compare_exchange_weak(&of->peak_bytes, &peak, live))
        ;
}

/* ---- What guards hold back ---- */

void
dcmi_pool_count_guarded(dcmi_pool *pool, uint64_t bytes)
{
    dcmi_guarded *guarded = &pool->root->guarded;
    atomic_fetch_add(&guarded->requested_bytes, bytes);
    atomic_fetch_add(&guarded->live_bytes, bytes);
}

void
dcmi_pool_count_freed(dcmi_pool *pool, uint64_t bytes)
{
    atomic_fetch_sub(&pool->root->guarded.live_bytes, bytes);
}

void
dcmi_pool_count_held(dcmi_pool *pool, uint64_t capacity)
{
    dcmi_guarded *guarded = &pool->root->guarded;
    if (pool->has_exact_peaks)
        atomic_fetch_sub(&pool->used_exact, capacity);
    atomic_fetch_add(&guarded->held_blocks, 1);
    atomic_fetch_add(&guarded->held_bytes, capacity);
}

void
dcmi_pool_count_let_go(dcmi_pool *pool, uint64_t capacity)
{
    dcmi_guarded *guarded = &pool->root->guarded;
    atomic_fetch_sub(&guarded->held_blocks, 1);
    atomic_fetch_sub(&guarded->held_bytes, capacity);
    if (pool->has_exact_peaks)
        atomic_fetch_add(&pool->used_exact, capacity);
}

static void
add_magazine(dcmi_class_counts *to, const dcmi_magazine *magazine)
{
    dcmi_totals taken, given;
    dcmi_magazine_totals(&taken, &given, magazine);
    to->taken.blocks += taken.blocks;
    to->taken.marks += taken.marks;
    to->given.blocks += given.blocks;
    to->given.marks += given.marks;
}

static void
add_counts(dcmi_retired *to, const dcmi_cache *cache)
{
#define DCMEM_X(name) to->name += dcmi_count_read(&cache->name);
    DCMI_CACHE_COUNTS(DCMEM_X)
#undef DCMEM_X
}

void
dcmi_pool_retire(dcmi_pool *pool, const dcmi_cache *cache) DCMI_UNCHECKED
{
    dcmi_retired *to = &pool->retired;
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
        add_magazine(&to->classes[class], dcmi_cache_magazine(cache, class));
    to->direct_takes += dcmi_count_read(&cache->direct_takes);
    to->direct_gives += dcmi_count_read(&cache->direct_gives);
    to->direct_bytes_taken += dcmi_count_read(&cache->direct_bytes_taken);
    to->direct_bytes_given += dcmi_count_read(&cache->direct_bytes_given);
    to->direct_slack_taken += dcmi_count_read(&cache->direct_slack_taken);
    to->direct_slack_given += dcmi_count_read(&cache->direct_slack_given);
    to->buffers_created += dcmi_count_read(&cache->buffers_created);
    to->buffers_destroyed += dcmi_count_read(&cache->buffers_destroyed);
    to->depot_hits += dcmi_count_read(&cache->depot_hits);
    to->fit_hits += dcmi_count_read(&cache->fit_hits);
    add_counts(to, cache);
}

/* ---- One pool's caches, summed ---- */

typedef struct sums {
    dcmi_retired counts;
    uint64_t cached[DCMI_CLASS_COUNT]; /* blocks in magazines */
    uint32_t caches;
} sums;

/* All that came back, of every cache, is read before anything that was taken: so what is given in one cache after it
 * was taken in another is never counted without its taking. */
static void
sum_given(sums *out, const dcmi_cache *cache)
{
    dcmi_retired *to = &out->counts;
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        dcmi_totals taken, given;
        dcmi_magazine_totals(&taken, &given, dcmi_cache_magazine(cache, class));
        to->classes[class].given.blocks += given.blocks;
        to->classes[class].given.marks += given.marks;
    }
    to->direct_gives += dcmi_count_read(&cache->direct_gives);
    to->direct_bytes_given += dcmi_count_read(&cache->direct_bytes_given);
    to->direct_slack_given += dcmi_count_read(&cache->direct_slack_given);
    to->buffers_destroyed += dcmi_count_read(&cache->buffers_destroyed);
}

static void
sum_taken(sums *out, const dcmi_cache *cache)
{
    dcmi_retired *to = &out->counts;
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        dcmi_totals taken, given;
        const dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
        dcmi_magazine_totals(&taken, &given, magazine);
        to->classes[class].taken.blocks += taken.blocks;
        to->classes[class].taken.marks += taken.marks;
        out->cached[class] += dcmi_magazine_count(magazine);
    }
    to->direct_takes += dcmi_count_read(&cache->direct_takes);
    to->direct_bytes_taken += dcmi_count_read(&cache->direct_bytes_taken);
    to->direct_slack_taken += dcmi_count_read(&cache->direct_slack_taken);
    to->buffers_created += dcmi_count_read(&cache->buffers_created);
    to->depot_hits += dcmi_count_read(&cache->depot_hits);
    to->fit_hits += dcmi_count_read(&cache->fit_hits);
    add_counts(to, cache);
    out->caches += cache != &cache->pool->fallback;
}

static void
sum_pool(sums *out, dcmi_pool *pool)
{
    dcmi_lock_take(&pool->caches_lock);
    *out = (sums){.counts = pool->retired};
    for (const dcmi_cache *cache = pool->caches; cache; cache = cache->after)
        sum_given(out, cache);
    for (const dcmi_cache *cache = pool->caches; cache; cache = cache->after)
        sum_taken(out, cache);
    dcmi_lock_drop(&pool->caches_lock);
}

static uint64_t
used_of(const dcmi_pool *pool, const sums *of)
{
    uint64_t used = dcmi_less(of->counts.direct_bytes_taken, of->counts.direct_bytes_given);
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
        used += dcmi_less(of->counts.classes[class].taken.blocks, of->counts.classes[class].given.blocks) *
                pool->table.classes[class].bytes;
    return used;
}

uint64_t
dcmi_pool_used(dcmi_pool *root)
{
    uint64_t used = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (!pool)
            continue;
        sums of;
        sum_pool(&of, pool);
        used += used_of(pool, &of);
    }
    return dcmi_less(used, atomic_load(&root->guarded.held_bytes));
}

static void
raise_peak(_Atomic uint64_t *peak, uint64_t value)
{
    uint64_t old = atomic_load(peak);
    while (old < value && !atomic_compare_exchange_weak(peak, &old, value))
        ;
}

void
dcmi_pool_note_peak(dcmi_pool *pool)
{
    raise_peak(&pool->out_seen, dcmi_pool_out_bytes(pool));
    raise_peak(&pool->root->used_peak, dcmi_pool_used(pool->root));
}

/* ---- Snapshot ---- */

/* A difference of counters that were read one after the other: what is taken off was counted before and is read after,
 * so it is never too much, and the most that was ever told is still true. */
static uint64_t
never_falling(_Atomic uint64_t *seen, uint64_t value)
{
    raise_peak(seen, value);
    return atomic_load(seen);
}

/* What the requests of so many blocks left over. */
static uint64_t
slack_of(const dcmi_class *class, const dcmi_totals *of)
{
    return (of->marks - of->blocks) << class->slack_shift;
}

static void
add_class(dcmem_stats *out, const dcmi_class *class, dcmem_class_stats *to, const dcmi_class_counts *counts,
          const dcmi_resized *resized, uint64_t cached)
{
    uint64_t size = class->bytes;
    uint64_t taken = counts->taken.blocks, given = counts->given.blocks, live = dcmi_less(taken, given);
    uint64_t slack = slack_of(class, &counts->taken);
    uint64_t gone = slack_of(class, &counts->given) + atomic_load(&resized->grown);
    uint64_t waste = dcmi_min(dcmi_less(slack + atomic_load(&resized->shrunk), gone), live * size);

    to->block_bytes = size;
    to->allocations += taken;
    to->frees += given;
    to->live += live;
    to->cached += cached;
    to->waste_bytes += waste;

    out->allocations += taken;
    out->frees += given;
    out->allocated_bytes += taken * size;
    out->freed_bytes += given * size;
    out->requested_bytes += taken * size - slack + atomic_load(&resized->grown);
    out->used_bytes += live * size;
    out->live_requested_bytes += live * size - waste;
    if (taken)
        dcmi_histogram_add(&out->allocation_size, size - slack / taken, taken);
}

static void
add_direct(dcmem_stats *out, const dcmi_retired *counts, const dcmi_resized *resized)
{
    uint64_t live = dcmi_less(counts->direct_bytes_taken, counts->direct_bytes_given);
    uint64_t grown = atomic_load(&resized->grown);
    uint64_t slack = counts->direct_slack_taken + atomic_load(&resized->shrunk);
    out->allocations += counts->direct_takes;
    out->frees += counts->direct_gives;
    out->allocated_bytes += counts->direct_bytes_taken;
    out->freed_bytes += counts->direct_bytes_given;
    out->requested_bytes += counts->direct_bytes_taken - counts->direct_slack_taken + grown;
    out->used_bytes += live;
    out->live_requested_bytes += dcmi_less(live, dcmi_less(slack, counts->direct_slack_given + grown));
    if (counts->direct_takes)
        dcmi_histogram_add(&out->allocation_size, counts->direct_bytes_taken / counts->direct_takes,
                           counts->direct_takes);
}

static uint64_t
metadata_of(dcmi_pool *pool)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        dcmi_region *region = &pool->regions[i];
        dcmi_lock_take(&region->lock);
        bytes += (uint64_t)region->fit.high * sizeof(dcmi_span) + (uint64_t)region->slab_high * sizeof(dcmi_slab);
        dcmi_lock_drop(&region->lock);
    }
    dcmi_lock_take(&pool->depot.node_lock);
    bytes += (uint64_t)pool->depot.high * sizeof(dcmi_batch);
    dcmi_lock_drop(&pool->depot.node_lock);
    return bytes + sizeof *pool;
}

static void
add_pool(dcmem_stats *out, dcmi_pool *pool)
{
    sums of;
    sum_pool(&of, pool);
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        uint64_t in_depot = dcmi_depot_blocks(&pool->depot, class);
        uint64_t size = pool->table.classes[class].bytes;
        add_class(out, &pool->table.classes[class], &out->classes[class], &of.counts.classes[class],
                  &pool->resized[class], of.cached[class] + in_depot);
        out->thread_cache_bytes += of.cached[class] * size;
        out->depot_bytes += in_depot * size;
    }
    add_direct(out, &of.counts, &pool->resized[DCMI_CLASS_COUNT]);
    out->buffers_created += of.counts.buffers_created;
    out->buffers_destroyed += of.counts.buffers_destroyed;
    out->depot_hits += of.counts.depot_hits;
    out->fit_hits += of.counts.fit_hits;
#define DCMEM_X(name) out->name += of.counts.name;
    DCMI_CACHE_COUNTS(DCMEM_X)
#undef DCMEM_X
    out->threads = dcmi_max(out->threads, of.caches);

    uint64_t largest;
    out->free_bytes += dcmi_pool_free_bytes(pool, &largest);
    out->largest_free_bytes = dcmi_max(out->largest_free_bytes, largest);
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        dcmi_lock_take(&pool->regions[i].lock);
        out->slab_free_bytes += pool->regions[i].slab_free_bytes;
        out->segments += pool->regions[i].fit.stretches;
        dcmi_lock_drop(&pool->regions[i].lock);
    }
    out->metadata_bytes += metadata_of(pool) + of.caches * sizeof(dcmi_cache) / 8;
}

static void
add_shards(dcmem_stats *out, const dcmi_pool *root)
{
    uint64_t *const counters[] = {
#define DCMEM_X(name, unit, help) &out->name,
        DCMEM_STATS_COUNTERS(DCMEM_X)
#undef DCMEM_X
    };
    for (unsigned shard = 0; shard < DCMI_SHARDS; shard++) {
        for (unsigned counter = 0; counter < DCMI_COUNTER_COUNT; counter++)
            *counters[counter] += atomic_load_explicit(&root->shards[shard].counters[counter], memory_order_relaxed);
        dcmi_shard_add_histograms(out, &root->shards[shard]);
    }
}

uint64_t
dcmi_pool_live_buffers(dcmi_pool *root)
{
    uint64_t live = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (!pool)
            continue;
        dcmi_lock_take(&pool->caches_lock);
        live += pool->retired.buffers_created - pool->retired.buffers_destroyed;
        for (const dcmi_cache *cache = pool->caches; cache; cache = cache->after)
            live += dcmi_count_read(&cache->buffers_created) - dcmi_count_read(&cache->buffers_destroyed);
        dcmi_lock_drop(&pool->caches_lock);
    }
    for (unsigned shard = 0; shard < DCMI_SHARDS; shard++) {
        const _Atomic uint64_t *counters = root->shards[shard].counters;
        live += atomic_load_explicit(&counters[DCMI_COUNTER_buffers_created], memory_order_relaxed);
        live -= atomic_load_explicit(&counters[DCMI_COUNTER_buffers_destroyed], memory_order_relaxed);
    }
    return live;
}

static void
add_tags(dcmem_stats *out, const dcmi_pool *root)
{
    for (unsigned tag = 0; tag < DCMEM_TAG_LIMIT; tag++) {
        const dcmi_tag_counts *of = &root->tags[tag];
        out->tags[tag] = (dcmem_tag_stats){
            .frees = atomic_load(&of->frees),
            .allocations = atomic_load(&of->allocations),
            .live_bytes = atomic_load(&of->live_bytes),
            .peak_bytes = atomic_load(&of->peak_bytes),
        };
        if (out->tags[tag].allocations)
            out->tag_count = tag + 1;
    }
}

/* What is held back counts as freed: it is read before all else, so that a block which is let go meanwhile is at worst
 * counted as live. Zones count as rounding: what the callers asked for is theirs. */
static void
add_guarded(dcmem_stats *out, dcmi_pool *root, uint64_t held_blocks, uint64_t held_bytes)
{
    dcmi_guarded *guarded = &root->guarded;
    if (!root->guard)
        return;
    out->frees = never_falling(&guarded->frees_seen, dcmi_min(out->frees + held_blocks, out->allocations));
    out->freed_bytes =
        never_falling(&guarded->freed_bytes_seen, dcmi_min(out->freed_bytes + held_bytes, out->allocated_bytes));
    out->used_bytes = dcmi_less(out->used_bytes, held_bytes);
    out->requested_bytes = dcmi_min(atomic_load(&guarded->requested_bytes), out->requested_bytes);
    out->live_requested_bytes = dcmi_min(atomic_load(&guarded->live_bytes), out->live_requested_bytes);
    out->quarantined_bytes = held_bytes;
}

void
dcmi_pool_snapshot(dcmem_stats *out, dcmi_pool *root)
{
    uint64_t held_blocks = atomic_load(&root->guarded.held_blocks);
    uint64_t held_bytes = atomic_load(&root->guarded.held_bytes);
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    out->class_count = DCMI_CLASS_COUNT;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (pool)
            add_pool(out, pool);
    }
    add_guarded(out, root, held_blocks, held_bytes);
    add_shards(out, root);
    add_tags(out, root);

    out->reserved_bytes = atomic_load(&root->budget->reserved);
    out->reserved_peak_bytes = atomic_load(&root->budget->reserved_peak);
    out->clamped_bytes = dcmi_less(out->used_bytes, out->reserved_bytes);
    out->used_bytes -= out->clamped_bytes;
    out->live_requested_bytes = dcmi_min(out->live_requested_bytes, out->used_bytes);
    raise_peak(&root->used_peak, out->used_bytes);
    out->used_peak_bytes = atomic_load(&root->used_peak);
    out->live_allocations = dcmi_less(out->allocations, out->frees);
    out->live_buffers = dcmi_less(out->buffers_created, out->buffers_destroyed);
    uint64_t hits = dcmi_less(out->allocations, out->pool_misses);
    out->pool_hits = never_falling(&root->hits_seen, hits);
    out->magazine_hits = never_falling(&root->magazine_seen, dcmi_less(hits, out->depot_hits + out->fit_hits));
    out->limit_bytes = atomic_load(&root->budget->limit);
    out->imported_bytes = (uint64_t)atomic_load(&root->gauges[DCMI_GAUGE_IMPORTED]);
    out->host_side_bytes = (uint64_t)atomic_load(&root->gauges[DCMI_GAUGE_HOST_SIDE]);
    out->pending_bytes = (uint64_t)atomic_load(&root->gauges[DCMI_GAUGE_PENDING]);
    out->staging_bytes = (uint64_t)atomic_load(&root->gauges[DCMI_GAUGE_STAGING]);
    out->maintenance_age = out->maintenance_rounds;
    dcmi_stats_derive(out);
}

void
dcmi_pool_reset_peaks(dcmi_pool *root)
{
    atomic_store(&root->used_peak, dcmi_pool_used(root));
    atomic_store(&root->budget->reserved_peak, atomic_load(&root->budget->reserved));
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (pool)
            atomic_store(&pool->out_seen, 0);
    }
    for (unsigned tag = 0; tag < DCMEM_TAG_LIMIT; tag++)
        atomic_store(&root->tags[tag].peak_bytes, atomic_load(&root->tags[tag].live_bytes));
}

/* ---- Checks and reports ---- */

dcmem_result
dcmi_pool_check_figures(dcmi_pool *root)
{
    uint64_t reserved = 0, used = 0, cached = 0, free = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (!pool)
            continue;
        sums of;
        sum_pool(&of, pool);
        used += used_of(pool, &of);
        free += dcmi_pool_free_bytes(pool, NULL);
        for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++)
            cached += (of.cached[class] + dcmi_depot_blocks(&pool->depot, class)) * pool->table.classes[class].bytes;
    }
    reserved = atomic_load(&root->budget->reserved);
    if (used + cached + free != reserved)
        return dcmi_fail(DCMEM_E_INTERNAL, "used %llu + cached %llu + free %llu is not reserved %llu",
                         (unsigned long long)used, (unsigned long long)cached, (unsigned long long)free,
                         (unsigned long long)reserved);
    return DCMEM_OK;
}

/* The tags that hold most, as text. */
static void
name_holders(char *text, size_t capacity, const dcmi_pool *root)
{
    bool is_named[DCMEM_TAG_LIMIT] = {false};
    size_t length = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < HOLDERS && length < capacity; i++) {
        unsigned most = DCMEM_TAG_LIMIT;
        uint64_t most_bytes = 0;
        for (unsigned tag = 0; tag < DCMEM_TAG_LIMIT; tag++) {
            uint64_t bytes = atomic_load(&root->tags[tag].live_bytes);
            if (!is_named[tag] && bytes > most_bytes) {
                most = tag;
                most_bytes = bytes;
            }
        }
        if (most == DCMEM_TAG_LIMIT)
            return;
        is_named[most] = true;
        int written = snprintf(text + length, capacity - length, "%s tag %u %llu", length ? "," : "; held by", most,
                               (unsigned long long)most_bytes);
        length += written > 0 ? (size_t)written : 0;
    }
}

dcmem_result
dcmi_pool_report(dcmi_pool *pool, dcmem_result result, uint64_t bytes)
{
    dcmem_detail cause = dcmi_detail_save();
    uint64_t largest;
    uint64_t free = dcmi_pool_free_bytes(pool, &largest);
    uint64_t reserved = atomic_load(&pool->budget->reserved);
    bool is_fragmented = free >= bytes;
    char holders[96];
    name_holders(holders, sizeof holders, pool->root);

    dcmi_pool_add(pool, is_fragmented ? DCMI_COUNTER_out_of_memory_fragmented : DCMI_COUNTER_out_of_memory_full, 1);
    return dcmem_backend_fail(result, cause.driver, cause.driver_code,
                              "%s: %llu bytes asked, %llu held, %llu free, largest free %llu%s%s%.60s",
                              is_fragmented ? "fragmented" : "full", (unsigned long long)bytes,
                              (unsigned long long)reserved, (unsigned long long)free, (unsigned long long)largest,
                              holders, cause.message[0] ? ": " : "", cause.message);
}
