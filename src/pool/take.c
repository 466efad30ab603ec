/* take.c: the slow way to a block, and back: from the magazine down the ladder to the driver and the user's callback.
 *
 *   magazine -> depot -> good fit -> flush before grow -> what queues have done with -> the other arenas -> grow ->
 *   wait for the queues, reclaim from all threads and give free memory of other places back -> grow -> the user's
 *   callback -> again -> fail: fragmented or full
 *
 * Flush before grow is what makes unlimited caching lean: nothing grows while cached memory of its region could serve.
 * Compaction and spill, when they come, are rungs between the last reclaim and the callback. */
#include "pool/hot.h"
#include "pool/inside.h"

#include <string.h>

#define TIMED_EVERY    61u        /* one slow path in so many is timed; odd, or taking in turn with giving hides one */
#define MOST_CALLBACKS 8u         /* a callback that frees nothing must end somewhere */
#define MOST_GROWTHS   8u         /* other threads may take what was grown */
#define FLUSHES_APART  2000u      /* tight policy: flushes nearer than this say that caching costs memory */
#define DIRECT_FIRST   (1u << 20) /* large gives for which it is then left */
#define DIRECT_MOST    (1u << 30)

/* What is held beyond this share over the most that was ever needed is recycled; up to the larger share a thread does
 * so once in RECYCLES_APART large blocks, because a driver call costs as much as two hundred of them. */
#define TIGHT_SHARE      12u
#define TIGHT_SHARE_MOST 6u
#define LOOSE_SHARE      5u
#define LOOSE_SHARE_MOST 4u
#define LEAST_SURPLUS    (1u << 20) /* a pool of a few blocks is not worth it */
#define RECYCLES_APART   256u

typedef struct request {
    dcmi_pool *pool;
    dcmi_cache *cache;
    uint64_t bytes;
    uint64_t pages;
    uint64_t align_pages;
    unsigned class; /* DCMI_CLASS_NONE: direct */
    unsigned holder;
    bool is_large;
    bool met_driver;
} request;

/* ---- Figures ---- */

/* Before the allocation is counted, as the other ways are: what a snapshot sees is then at most too few hits. */
static void
count_miss(const request *r)
{
    if (r->met_driver)
        dcmi_pool_add(r->pool, DCMI_COUNTER_pool_misses, 1);
}

/* ---- Rungs ---- */

static dcmi_region *
home(const request *r)
{
    return dcmi_pool_region(r->pool, r->cache->arena, r->is_large);
}

/* A direct block: its slack fits the mark or is clipped to it, the same way when it is freed. */
static uint64_t
direct_mark(uint64_t capacity, uint64_t bytes)
{
    return dcmi_min(capacity - bytes, DCMI_MARK_MOST - 1) + 1;
}

/* Marks a direct block alive; its slack. */
static uint64_t
mark_direct(dcmi_pool *pool, uint64_t address, uint64_t capacity, uint64_t bytes, unsigned holder)
{
    dcmi_page *page = dcmi_map_page(&pool->map, address);
    uint64_t mark = direct_mark(capacity, bytes);
    atomic_store_explicit(&page->live, (uint16_t)(mark | holder), memory_order_relaxed);
    return mark - 1;
}

/* In a cache that is owned. */
static void
count_direct(dcmi_cache *cache, uint64_t capacity, uint64_t slack)
{
    dcmi_count_add(&cache->direct_takes, 1);
    dcmi_count_add(&cache->direct_bytes_taken, capacity);
    dcmi_count_add(&cache->direct_slack_taken, slack);
}

static uint64_t
take_direct(request *r, dcmi_region *region)
{
    dcmi_lock_take(&region->lock);
    uint64_t address = dcmi_region_take_pages(region, r->pages, r->align_pages);
    dcmi_lock_drop(&region->lock);
    if (!address)
        return 0;

    uint64_t slack = mark_direct(r->pool, address, r->pages << DCMI_PAGE_SHIFT, r->bytes, r->holder);
    bool is_locked = dcmi_cache_own(r->cache);
    count_miss(r);
    if (!r->met_driver)
        dcmi_count_add(&r->cache->fit_hits, 1);
    count_direct(r->cache, r->pages << DCMI_PAGE_SHIFT, slack);
    dcmi_cache_disown(r->cache, is_locked);
    return address;
}

/* Blocks from the depot, else from the region, into `blocks`; how many. */
static unsigned
fetch(uint64_t *blocks, request *r, dcmi_region *region, unsigned most)
{
    dcmi_pool *pool = r->pool;
    unsigned count = dcmi_depot_take(blocks, &pool->depot, r->class, most);
    bool is_from_depot = count > 0;
    if (!is_from_depot) {
        dcmi_lock_take(&region->lock);
        count = dcmi_region_take(blocks, region, r->class, most);
        dcmi_lock_drop(&region->lock);
    }
    if (count > 0 && !r->met_driver)
        dcmi_count_add(is_from_depot ? &r->cache->depot_hits : &r->cache->fit_hits, 1);
    return count;
}

static dcmi_entry
entry_of(dcmi_pool *pool, const dcmi_class *class, uint64_t address)
{
    dcmi_cell cell = dcmi_map_cell(&pool->map, address);
    return (dcmi_entry){address, class->is_slab ? dcmi_cell_slot(cell) : &dcmi_cell_page(cell)->live};
}

/* One block; what else was fetched fills the magazine. */
static dcmi_entry
take_entry(request *r, dcmi_region *region, dcmi_magazine *magazine)
{
    const dcmi_class *class = &r->pool->table.classes[r->class];
    uint32_t count = dcmi_magazine_count(magazine);
    if (count > 0) {
        dcmi_magazine_set_count(magazine, count - 1);
        return magazine->entries[count - 1];
    }
    /* Slabs give many at once, so a program that only allocates fetches by batches, too. */
    if (class->is_slab && r->pool->is_caching)
        dcmi_cache_grant(r->cache, r->class);
    uint64_t blocks[DCMI_MAGAZINE_ROOM];
    uint32_t cap = dcmi_magazine_cap(magazine);
    unsigned fetched = fetch(blocks, r, region, cap > 2 ? cap / 2 : 1);
    if (fetched == 0)
        return (dcmi_entry){0, NULL};
    for (unsigned i = 0; i < fetched - 1; i++)
        magazine->entries[i] = entry_of(r->pool, class, blocks[i]);
    if (fetched > 1)
        dcmi_magazine_set_count(magazine, fetched - 1);
    return entry_of(r->pool, class, blocks[fetched - 1]);
}

static uint64_t
take_class(request *r, dcmi_region *region)
{
    const dcmi_class *class = &r->pool->table.classes[r->class];
    dcmi_magazine *magazine = dcmi_cache_magazine(r->cache, r->class);

    bool is_locked = dcmi_cache_own(r->cache);
    dcmi_entry entry = take_entry(r, region, magazine);
    if (entry.address) {
        uint16_t mark = (uint16_t)dcmi_mark_for(class->bytes, class->slack_shift, r->bytes);
        atomic_store_explicit(entry.mark, (uint16_t)(mark | r->holder), memory_order_relaxed);
        count_miss(r);
        dcmi_magazine_settle(magazine, (dcmi_totals){.blocks = 1, .marks = mark}, (dcmi_totals){0});
    }
    dcmi_count_add(&r->cache->large_takes, r->is_large);
    dcmi_cache_disown(r->cache, is_locked);
    return entry.address;
}

static uint64_t
take_from(request *r, dcmi_region *region)
{
    return r->class == DCMI_CLASS_NONE ? take_direct(r, region) : take_class(r, region);
}

static uint64_t
take_anywhere(request *r)
{
    for (uint32_t i = 0; i < r->pool->arena_count; i++) {
        uint32_t arena = (r->cache->arena + i) % r->pool->arena_count;
        uint64_t address = take_from(r, dcmi_pool_region(r->pool, arena, r->is_large));
        if (address)
            return address;
    }
    return 0;
}

/* Tight policy: flushes that come close together say that caching large blocks costs more memory than it saves time.
 * They then go straight to and from the good fit for a while, four times longer each time. */
static bool
is_caching_dear(request *r)
{
    dcmi_cache *cache = r->cache;
    uint64_t takes = dcmi_count_read(&cache->large_takes);
    uint64_t apart = takes - cache->flushed_at;
    cache->flushed_at = takes;
    if (!dcmi_pool_is_tight(r->pool) || apart >= FLUSHES_APART || dcmi_count_read(&cache->direct_left) > 0)
        return false;

    cache->direct_span = cache->direct_span ? dcmi_min(cache->direct_span * 4, DIRECT_MOST) : DIRECT_FIRST;
    atomic_store_explicit(&cache->direct_left, cache->direct_span, memory_order_relaxed);
    return true;
}

/* Large classes keep nothing any more; their magazines are empty. */
static void
leave_large(dcmi_cache *cache)
{
    const dcmi_class_set *granted = &cache->granted;
    for (unsigned class = DCMI_FIRST_LARGE; (class = dcmi_class_set_next(granted, class)) < DCMI_CLASS_COUNT; class++)
        dcmi_cache_revoke(cache, class);
}

/* Cached blocks of the region's kind go back to be merged: at first all but the newest of each magazine, because what
 * was freed last is soon asked for again. Returns how many bytes. */
static uint64_t
flush_region_kind(request *r, bool keeps_newest)
{
    bool is_locked = dcmi_cache_own(r->cache);
    bool is_dear = r->is_large && keeps_newest && is_caching_dear(r);
    uint64_t bytes = dcmi_pool_flush_cache(r->pool, r->cache, !r->is_large, r->is_large, keeps_newest && !is_dear);
    if (is_dear)
        leave_large(r->cache);
    dcmi_cache_disown(r->cache, is_locked);

    bytes += dcmi_pool_flush_depot(r->pool, !r->is_large, r->is_large, false);
    dcmi_region *region = home(r);
    if (!r->is_large) {
        dcmi_lock_take(&region->lock);
        bytes += region->slab_free_bytes;
        dcmi_region_settle(region);
        bytes -= region->slab_free_bytes;
        dcmi_lock_drop(&region->lock);
    }
    if (bytes > 0)
        dcmi_pool_add(r->pool, DCMI_COUNTER_flushes, 1);
    return bytes;
}

static void
raise_high(_Atomic uint64_t *high, uint64_t value)
{
    uint64_t old = atomic_load_explicit(high, memory_order_relaxed);
    while (old < value && !atomic_compare_exchange_weak(high, &old, value))
        ;
}

/* Of the most that was needed, how much may be held beyond it. */
static uint64_t
share_of(const request *r, bool is_soon)
{
    if (dcmi_pool_is_tight(r->pool))
        return is_soon ? TIGHT_SHARE_MOST : TIGHT_SHARE;
    return is_soon ? LOOSE_SHARE_MOST : LOOSE_SHARE;
}

/* By how much a growth would pass what was ever needed plus a share; *out_missing is what it would bring. Against the
 * most that was needed, not what is needed now: a program that repeats itself then settles. */
static uint64_t
surplus_of_growth(request *r, uint64_t share, uint64_t *out_missing)
{
    dcmi_pool *pool = r->pool;
    dcmi_region *region = home(r);
    uint64_t need = r->pages << DCMI_PAGE_SHIFT;
    dcmi_lock_take(&region->lock);
    uint64_t tail = dcmi_fit_tail_pages(&region->fit) << DCMI_PAGE_SHIFT;
    dcmi_lock_drop(&region->lock);

    raise_high(&pool->high, dcmi_pool_out_bytes(pool) + need);
    uint64_t high = atomic_load_explicit(&pool->high, memory_order_relaxed);
    uint64_t missing = dcmi_less(need, tail);
    uint64_t held = atomic_load_explicit(&pool->held, memory_order_relaxed);
    *out_missing = missing;
    return dcmi_less(held + missing, high + dcmi_max(high / share, LEAST_SURPLUS));
}

/* Divisible memory: what lies free in pieces that do not fit goes back before as much comes new. So fragmentation costs
 * address space and a little time, not memory. */
static void
recycle(request *r)
{
    if (!r->pool->is_divisible || !r->is_large)
        return;
    dcmi_cache *cache = r->cache;
    uint64_t takes = dcmi_count_read(&cache->large_takes) + dcmi_count_read(&cache->direct_takes);
    bool is_soon = takes - dcmi_count_read(&cache->recycled_at) < RECYCLES_APART;
    uint64_t missing;
    uint64_t surplus = surplus_of_growth(r, share_of(r, is_soon), &missing);
    if (surplus == 0)
        return;
    atomic_store_explicit(&cache->recycled_at, takes, memory_order_relaxed);
    (void)dcmi_pool_recycle(r->pool, home(r), dcmi_min(surplus, missing));
}

static uint64_t
grow(request *r, dcmem_result *result)
{
    for (unsigned i = 0; i < MOST_GROWTHS; i++) {
        r->met_driver = true;
        recycle(r); /* each time: a growth that had to begin elsewhere leaves its old end behind */
        *result = dcmi_pool_grow(r->pool, home(r), r->pages, r->align_pages);
        if (*result)
            return 0;
        uint64_t address = take_from(r, home(r));
        if (address)
            return address;
    }
    /* COVER begin: other threads must win eight times in a row */
    *result = dcmi_fail(DCMEM_E_NO_MEMORY, "other threads took the memory as fast as it came");
    return 0;
    /* COVER end */
}

/* All of the root's free memory that could make room, of whatever kind and region. */
static void
make_room(request *r)
{
    dcmi_pool *root = r->pool->root;
    dcmem_result ignored = DCMEM_OK;
    (void)dcmi_pool_trim(root, 0, &ignored);
}

static uint64_t
reclaim_and_grow(request *r, dcmem_result *result)
{
    (void)dcmi_pool_call_pending(r->pool, true);
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&r->pool->root->of_kind[kind]);
        if (pool)
            dcmi_pool_reclaim(pool);
    }
    uint64_t address = take_anywhere(r);
    if (address)
        return address;
    make_room(r);
    return grow(r, result);
}

static uint64_t
ask_callback(request *r, dcmem_result *result)
{
    dcmi_pool *root = r->pool->root;
    for (uint32_t attempt = 0; root->out_of_memory && attempt < MOST_CALLBACKS; attempt++) {
        dcmi_pool_add(r->pool, DCMI_COUNTER_callbacks, 1);
        if (!root->out_of_memory(root->out_of_memory_user, dcmi_pool_manager(root), r->bytes, attempt))
            return 0;
        uint64_t address = reclaim_and_grow(r, result);
        if (address)
            return address;
    }
    return 0;
}

/* Before anything grows: what is cached goes back to be merged. */
static uint64_t
flush_and_take(request *r)
{
    uint64_t address = 0;
    for (int round = 0; !address && round < 2 && flush_region_kind(r, round == 0) > 0; round++)
        address = take_from(r, home(r));
    return address;
}

static uint64_t
climb(request *r)
{
    uint64_t address = take_from(r, home(r));
    if (!address)
        address = flush_and_take(r);
    if (!address && dcmi_pool_call_pending(r->pool, false) > 0)
        address = flush_and_take(r);
    if (address)
        return address;
    /* Arenas keep threads apart, so others' are asked only once growing would hold too much. */
    uint64_t missing;
    if (surplus_of_growth(r, share_of(r, false), &missing) > 0)
        address = take_anywhere(r);
    if (address)
        return address;

    dcmem_result result = DCMEM_OK;
    address = grow(r, &result);
    if (address || dcmem_result_class_of(result) != DCMEM_CLASS_RESOURCE)
        return address;

    address = reclaim_and_grow(r, &result);
    if (!address && dcmem_result_class_of(result) == DCMEM_CLASS_RESOURCE)
        address = ask_callback(r, &result);
    if (address)
        dcmi_pool_add(r->pool, DCMI_COUNTER_retries, 1);
    else
        dcmi_pool_report(r->pool, result, r->bytes);
    return address;
}

/* ---- Taking ---- */

static dcmem_result
request_make(request *out, dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder)
{
    if (bytes == 0)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "bytes is 0; ask for at least 1");
    if (bytes > pool->largest_allocation_bytes)
        return dcmi_fail(DCMEM_E_TOO_LARGE, "bytes is %llu, the largest allocation here is %llu",
                         (unsigned long long)bytes, (unsigned long long)pool->largest_allocation_bytes);

    alignment = dcmi_max(alignment, pool->alignment);
    uint64_t align_pages = dcmi_max(alignment / DCMI_PAGE, 1);
    *out = (request){.pool = pool, .bytes = bytes, .align_pages = align_pages, .holder = holder};
    out->class = alignment <= DCMI_PAGE ? dcmi_class_for(&pool->table, bytes, alignment) : DCMI_CLASS_NONE;
    out->cache = dcmi_cache_get(pool);

    bool is_left_out = dcmi_pool_is_tight(pool) && dcmi_count_read(&out->cache->direct_left) > 0;
    if (out->class != DCMI_CLASS_NONE && is_left_out && bytes > DCMI_SMALL_LARGEST)
        out->class = DCMI_CLASS_NONE;
    if (out->class != DCMI_CLASS_NONE) {
        const dcmi_class *class = &pool->table.classes[out->class];
        out->pages = class->is_slab ? class->slab_pages : class->bytes / DCMI_PAGE;
        out->is_large = dcmi_class_is_large(class);
        return DCMEM_OK;
    }
    out->pages = (bytes - 1) / DCMI_PAGE + 1;
    out->is_large = true;
    return DCMEM_OK;
}

/* Looking at every cache is dear: the peak is looked at when more is out than ever, by a 64th of it. */
static void
look_at_peak(dcmi_pool *pool)
{
    uint64_t seen = atomic_load_explicit(&pool->out_seen, memory_order_relaxed);
    if (DCMI_UNLIKELY(dcmi_pool_out_bytes(pool) > seen + seen / 64))
        dcmi_pool_note_peak(pool);
}

static void
after_take(request *r)
{
    dcmi_pool *pool = r->pool;
    if (pool->has_exact_peaks) {
        uint64_t size = r->class == DCMI_CLASS_NONE ? r->pages << DCMI_PAGE_SHIFT : pool->table.classes[r->class].bytes;
        uint64_t used = atomic_fetch_add(&pool->used_exact, size) + size;
        uint64_t peak = atomic_load(&pool->used_peak);
        while (peak < used && !atomic_compare_exchange_weak(&pool->used_peak, &peak, used))
            ;
        return;
    }
    look_at_peak(pool);
}

static DCMI_COLD uint64_t
take_failed(dcmi_pool *pool, uint64_t bytes)
{
    dcmi_pool_add(pool, DCMI_COUNTER_failed_allocations, 1);
    dcmi_pool_add(pool, DCMI_COUNTER_failed_bytes, bytes);
    return 0;
}

/* For how many calls this one is timed, 0: it is not. A hit that comes the slow way because it is to be timed stands
 * for all since the last one; of the others a few are timed. */
static uint32_t
timing_weight(dcmi_cache *cache, bool is_sample)
{
    if (is_sample)
        return DCMI_SAMPLE_EVERY;
    dcmi_count_add(&cache->samples, 1);
    return dcmi_count_read(&cache->samples) % TIMED_EVERY == 0 ? TIMED_EVERY : 0;
}

/* Whether this thread's large blocks come from the good fit alone, by the short ways below. Within a cache that was
 * entered: so nothing is exact, guarded or asked about. */
static inline bool
is_short(dcmi_pool *pool, const dcmi_cache *cache)
{
    bool is_timed = (dcmi_count_read(&cache->samples) + 1) % TIMED_EVERY == 0;
    return dcmi_count_read(&cache->direct_left) > 0 && dcmi_pool_is_tight(pool) && !is_timed;
}

/* What climb() finds on its first rung, for a large block while caching is left, without what only the others need. */
static uint64_t
take_run_shortly(dcmi_pool *pool, dcmi_cache *cache, uint64_t bytes, unsigned holder)
{
    uint64_t pages = (bytes - 1) / DCMI_PAGE + 1;
    dcmi_region *region = dcmi_pool_region(pool, cache->arena, true);
    dcmi_lock_take(&region->lock);
    uint64_t address = dcmi_region_take_pages(region, pages, 1);
    dcmi_lock_drop(&region->lock);
    if (!address)
        return 0;
    uint64_t slack = mark_direct(pool, address, pages << DCMI_PAGE_SHIFT, bytes, holder);
    dcmi_count_add(&cache->samples, 1);
    dcmi_count_add(&cache->fit_hits, 1);
    count_direct(cache, pages << DCMI_PAGE_SHIFT, slack);
    return address;
}

/* 0: go the whole way, nothing has changed. */
static uint64_t
take_shortly(dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder)
{
    dcmi_cache *cache = dcmi_cache_current;
    bool is_plain = bytes > DCMI_SMALL_LARGEST && bytes <= pool->largest_allocation_bytes &&
                    (alignment | pool->alignment) <= DCMI_PAGE;
    if (!is_plain)
        return 0;
    uint64_t address = 0;
    if (dcmi_cache_enter(cache, pool->handle) && is_short(pool, cache))
        address = take_run_shortly(pool, cache, bytes, holder);
    dcmi_cache_leave(cache);
    if (address)
        look_at_peak(pool);
    return address;
}

uint64_t
dcmi_pool_take(dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder)
{
    uint64_t run = take_shortly(pool, bytes, alignment, holder);
    if (run)
        return run;

    request r = {0};
    if (request_make(&r, pool, bytes, alignment, holder))
        return take_failed(pool, bytes);

    const dcmi_magazine *magazine = r.class == DCMI_CLASS_NONE ? NULL : dcmi_cache_magazine(r.cache, r.class);
    uint32_t weight = timing_weight(r.cache, magazine && dcmi_magazine_is_full(magazine));
    uint64_t begin = weight ? dcmi_os_now_ns() : 0;
    uint64_t address = climb(&r);
    if (weight)
        dcmi_shard_record_many(dcmi_pool_shard(pool), DCMI_HISTOGRAM_allocate_latency, dcmi_os_now_ns() - begin,
                               weight);
    if (!address)
        return take_failed(pool, bytes);
    after_take(&r);
    return address;
}

/* ---- Giving ---- */

/* The older half goes to the depot: what was freed last is likely still in cache. */
static void
shed(dcmi_pool *pool, unsigned class, dcmi_magazine *magazine)
{
    uint32_t count = dcmi_magazine_count(magazine);
    uint32_t older = count / 2 + (count & 1);
    uint64_t blocks[DCMI_MAGAZINE_ROOM];
    dcmi_magazine_remove(blocks, magazine, 0, older);
    if (!dcmi_depot_put(&pool->depot, class, blocks, older))
        dcmi_pool_give_blocks(pool, blocks, older); /* COVER: a million batches must lie in the depot */
}

static bool
is_kept(dcmi_pool *pool, dcmi_cache *cache, bool is_large)
{
    if (!pool->is_caching)
        return false;
    if (!is_large || dcmi_count_read(&cache->direct_left) == 0)
        return true;
    dcmi_count_add(&cache->direct_left, -1ull);
    return !dcmi_pool_is_tight(pool);
}

/* Keeps at most the idle limit: what the pool holds beyond what is out. */
static void
keep_idle_limit(dcmi_pool *pool, bool is_large)
{
    if (pool->idle_limit_bytes == UINT64_MAX)
        return;
    uint64_t reserved = atomic_load_explicit(&pool->budget->reserved, memory_order_relaxed);
    uint64_t out = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *of_kind = atomic_load(&pool->root->of_kind[kind]);
        out += of_kind ? dcmi_pool_out_bytes(of_kind) - dcmi_pool_depot_bytes(of_kind) : 0;
    }
    uint64_t surplus = dcmi_less(dcmi_less(reserved, out), pool->idle_limit_bytes);
    if (surplus == 0)
        return;

    dcmem_result ignored = DCMEM_OK;
    (void)dcmi_pool_flush_depot(pool, !is_large, is_large, false);
    uint64_t gone = 0;
    for (uint32_t arena = 0; arena < pool->arena_count && gone < surplus; arena++)
        gone += dcmi_pool_shrink(pool, dcmi_pool_region(pool, arena, is_large), surplus - gone, &ignored);
    if (gone > 0) {
        dcmi_pool_add(pool, DCMI_COUNTER_trims, 1);
        dcmi_pool_add(pool, DCMI_COUNTER_trimmed_bytes, gone);
    }
}

static void
give_class(dcmi_pool *pool, dcmi_cache *cache, unsigned class, dcmi_entry entry, uint16_t mark)
{
    dcmi_magazine *magazine = dcmi_cache_magazine(cache, class);
    bool is_large = dcmi_class_is_large(&pool->table.classes[class]);

    bool is_locked = dcmi_cache_own(cache);
    bool is_in = is_kept(pool, cache, is_large);
    if (is_in)
        dcmi_cache_grant(cache, class);
    uint32_t cap = dcmi_magazine_cap(magazine);
    if (dcmi_magazine_is_due(magazine))
        dcmi_magazine_set_cap(magazine, cap);
    is_in = is_in && cap > 0;
    if (is_in && dcmi_magazine_count(magazine) >= cap)
        shed(pool, class, magazine);
    if (is_in) {
        uint32_t count = dcmi_magazine_count(magazine);
        magazine->entries[count] = entry;
        dcmi_magazine_set_count(magazine, count + 1);
    }
    dcmi_magazine_settle(magazine, (dcmi_totals){0}, (dcmi_totals){.blocks = 1, .marks = mark});
    dcmi_cache_disown(cache, is_locked);

    if (!is_in)
        dcmi_pool_give_blocks(pool, &entry.address, 1);
    keep_idle_limit(pool, is_large);
}

/* How many bytes the run had. */
static uint64_t
give_run(dcmi_pool *pool, uint64_t address)
{
    uint32_t owner = atomic_load_explicit(&dcmi_map_page(&pool->map, address)->owner, memory_order_relaxed);
    dcmi_region *region = dcmi_pool_region_of(pool, owner);

    dcmi_lock_take(&region->lock);
    uint64_t bytes = (uint64_t)dcmi_region_span(region, owner)->pages << DCMI_PAGE_SHIFT;
    dcmi_region_give(region, address);
    dcmi_lock_drop(&region->lock);
    return bytes;
}

/* In a cache that is owned. */
static void
count_direct_given(dcmi_cache *cache, uint64_t bytes, uint64_t slack)
{
    if (dcmi_count_read(&cache->direct_left) > 0)
        dcmi_count_add(&cache->direct_left, -1ull);
    dcmi_count_add(&cache->direct_gives, 1);
    dcmi_count_add(&cache->direct_bytes_given, bytes);
    dcmi_count_add(&cache->direct_slack_given, slack);
}

static void
give_direct(dcmi_pool *pool, dcmi_cache *cache, uint64_t address, uint64_t slack)
{
    uint64_t bytes = give_run(pool, address);
    bool is_locked = dcmi_cache_own(cache);
    count_direct_given(cache, bytes, slack);
    dcmi_cache_disown(cache, is_locked);
    keep_idle_limit(pool, true);
}

/* The live mark of the block that begins at `address`, or NULL where none can begin; *out_class is its class. */
static _Atomic uint16_t *
mark_of(dcmi_pool *pool, uint64_t address, unsigned *out_class)
{
    dcmi_cell cell = dcmi_map_cell(&pool->map, address);
    if (!cell.leaf)
        return NULL;
    dcmi_page *page = dcmi_cell_page(cell);
    unsigned kind = atomic_load_explicit(&page->kind, memory_order_relaxed);
    if (kind == DCMI_PAGE_NONE)
        return NULL;
    *out_class = kind == DCMI_PAGE_DIRECT ? DCMI_CLASS_NONE : dcmi_page_class(kind);
    if (dcmi_page_is_slab(kind))
        return address % DCMI_QUANTUM ? NULL : dcmi_cell_slot(cell);
    return address % DCMI_PAGE ? NULL : &page->live;
}

/* The size of the block that begins at `address`, a class's or a run's own. */
static uint64_t
capacity_of(dcmi_pool *pool, uint64_t address, unsigned class)
{
    if (class != DCMI_CLASS_NONE)
        return pool->table.classes[class].bytes;
    uint32_t owner = atomic_load_explicit(&dcmi_map_page(&pool->map, address)->owner, memory_order_relaxed);
    return (uint64_t)dcmi_region_span(dcmi_pool_region_of(pool, owner), owner)->pages << DCMI_PAGE_SHIFT;
}

/* Ends the holder's live block: what its mark said, or 0 and nothing has changed. */
static uint16_t
end_mark(_Atomic uint16_t *mark, unsigned holder)
{
    uint16_t was = atomic_load_explicit(mark, memory_order_relaxed);
    do {
        if (dcmi_mark_for_holder(was, holder) <= 0)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(mark, &was, 0, memory_order_relaxed, memory_order_relaxed));
    return (uint16_t)(was ^ holder);
}

static bool
give_run_shortly(dcmi_pool *pool, dcmi_cache *cache, uint64_t address, unsigned holder)
{
    unsigned class;
    _Atomic uint16_t *mark = mark_of(pool, address, &class);
    uint16_t was_live = mark && class == DCMI_CLASS_NONE ? end_mark(mark, holder) : 0;
    if (was_live == 0)
        return false;
    uint64_t bytes = give_run(pool, address);
    dcmi_count_add(&cache->samples, 1);
    count_direct_given(cache, bytes, was_live - 1u);
    return true;
}

/* False: go the whole way, nothing has changed. */
static bool
give_shortly(dcmi_pool *pool, uint64_t address, unsigned holder)
{
    dcmi_cache *cache = dcmi_cache_current;
    bool has_limit = pool->idle_limit_bytes != UINT64_MAX;
    bool is_given = false;
    if (dcmi_cache_enter(cache, pool->handle) && is_short(pool, cache) && !has_limit)
        is_given = give_run_shortly(pool, cache, address, holder);
    dcmi_cache_leave(cache);
    return is_given;
}

dcmem_result
dcmi_pool_give(dcmi_pool *pool, uint64_t address, unsigned holder)
{
    if (give_shortly(pool, address, holder))
        return DCMEM_OK;
    dcmi_cache *cache = dcmi_cache_get(pool);
    unsigned class;
    _Atomic uint16_t *mark = mark_of(pool, address, &class);
    uint16_t was_live = mark ? end_mark(mark, holder) : 0;
#ifdef DCMI_NO_CHECKS
    was_live = mark && class != DCMI_CLASS_NONE ? 1 : was_live;
#endif
    if (was_live == 0)
        return dcmi_pool_refuse(pool, address);

    if (pool->has_exact_peaks)
        atomic_fetch_sub(&pool->used_exact, capacity_of(pool, address, class));
    bool is_sample = class != DCMI_CLASS_NONE && dcmi_magazine_is_due(dcmi_cache_magazine(cache, class));
    uint32_t weight = timing_weight(cache, is_sample);
    uint64_t begin = weight ? dcmi_os_now_ns() : 0;
    if (class == DCMI_CLASS_NONE)
        give_direct(pool, cache, address, was_live - 1u);
    else
        give_class(pool, cache, class, (dcmi_entry){address, mark}, was_live);
    if (weight)
        dcmi_shard_record_many(dcmi_pool_shard(pool), DCMI_HISTOGRAM_free_latency, dcmi_os_now_ns() - begin, weight);
    return DCMEM_OK;
}

/* ---- Resizing inside a block ---- */

void
dcmi_pool_resize(dcmi_pool *pool, uint64_t address, uint64_t bytes, unsigned holder)
{
    unsigned class;
    _Atomic uint16_t *live = mark_of(pool, address, &class);
    if (!live)
        return;
    bool is_direct = class == DCMI_CLASS_NONE;
    unsigned shift = is_direct ? 0 : pool->table.classes[class].slack_shift;
    uint64_t capacity = capacity_of(pool, address, class);
    uint64_t mark = is_direct ? direct_mark(capacity, bytes) : dcmi_mark_for(capacity, shift, bytes);
    dcmi_resized *resized = &pool->resized[is_direct ? DCMI_CLASS_COUNT : class];

    uint16_t whole = atomic_load_explicit(live, memory_order_relaxed);
    int16_t was;
    do {
        was = dcmi_mark_for_holder(whole, holder);
        if (was <= 0)
            return;
    } while (!atomic_compare_exchange_weak(live, &whole, (uint16_t)(mark | holder)));
    if (mark < (uint64_t)was)
        atomic_fetch_add(&resized->grown, ((uint64_t)was - mark) << shift);
    else
        atomic_fetch_add(&resized->shrunk, (mark - (uint64_t)was) << shift);
}

/* ---- Holders ---- */

dcmem_result
dcmi_pool_hold(dcmi_pool *pool, uint64_t address, unsigned from, unsigned to)
{
    unsigned class;
    _Atomic uint16_t *live = mark_of(pool, address, &class);
    uint16_t whole = live ? atomic_load_explicit(live, memory_order_relaxed) : 0;
    while (live && dcmi_mark_for_holder(whole, from) > 0)
        if (atomic_compare_exchange_weak(live, &whole, (uint16_t)(whole ^ from ^ to)))
            return DCMEM_OK;
    return dcmi_pool_refuse(pool, address);
}

uint64_t
dcmi_pool_capacity(dcmi_pool *pool, uint64_t bytes)
{
    request r;
    if (request_make(&r, pool, bytes, 0, DCMI_HOLDER_CALLER))
        return 0;
    return r.class == DCMI_CLASS_NONE ? r.pages << DCMI_PAGE_SHIFT : pool->table.classes[r.class].bytes;
}

/* ---- Finding ---- */

/* The start of the slab's block that holds `address`. */
static uint64_t
slab_block(dcmi_pool *pool, uint64_t address, uint64_t block_bytes)
{
    uint32_t owner = atomic_load_explicit(&dcmi_map_page(&pool->map, address)->owner, memory_order_relaxed);
    uint64_t begin = dcmi_region_slab(dcmi_pool_region_of(pool, owner), owner)->address;
    return begin + (address - begin) / block_bytes * block_bytes;
}

/* The nearest page at or below with an entry: pages inside a run have none, so in a live run it is its first. No
 * further away than the longest run there ever was. */
static uint64_t
run_start(dcmi_pool *pool, uint64_t address)
{
    uint64_t at = dcmi_round_down(address, DCMI_PAGE);
    for (uint64_t pages = dcmi_pool_longest_run(pool); pages > 0 && at > 0; pages--, at -= DCMI_PAGE) {
        dcmi_cell cell = dcmi_map_cell(&pool->map, at);
        if (!cell.leaf)
            return 0;
        if (atomic_load_explicit(&dcmi_cell_page(cell)->kind, memory_order_relaxed))
            return at;
    }
    return 0;
}

static bool
find(dcmi_block *out, dcmi_pool *pool, uint64_t address)
{
    uint64_t start = run_start(pool, address);
    if (!start)
        return false;
    unsigned kind = atomic_load_explicit(&dcmi_map_page(&pool->map, start)->kind, memory_order_relaxed);
    if (dcmi_page_is_slab(kind)) {
        if (start != dcmi_round_down(address, DCMI_PAGE))
            return false; /* COVER: the page behind a slab must be without an entry and be asked for */
        start = slab_block(pool, address, pool->table.classes[dcmi_page_class(kind)].bytes);
    }
    unsigned class;
    _Atomic uint16_t *mark = mark_of(pool, start, &class);
    uint16_t live = mark ? atomic_load_explicit(mark, memory_order_relaxed) : 0;
    if (live == 0)
        return false;
    out->holder = live & DCMI_HOLDER_LIBRARY;
    out->address = start;
    out->capacity = capacity_of(pool, start, class);
    return address - start < out->capacity;
}

dcmem_result
dcmi_pool_find(dcmi_block *out, dcmi_pool *pool, uint64_t address)
{
    dcmi_block block;
    if (!find(&block, pool, address))
        return dcmi_pool_refuse(pool, address);
    *out = block;
    return DCMEM_OK;
}

/* Whether the pool holds the memory at `address`, live or not. Walks everything: for errors only. */
static bool
holds(dcmi_pool *pool, uint64_t address)
{
    bool is_held = false;
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool) && !is_held; i++) {
        dcmi_region *region = &pool->regions[i];
        dcmi_lock_take(&region->lock);
        for (uint32_t index = DCMI_SPAN_TAIL + 1; index < region->fit.high && !is_held; index++) {
            const dcmi_span *span = &region->fit.spans[index];
            is_held = dcmi_span_state(span) && address >= dcmi_span_address(span) &&
                      address - dcmi_span_address(span) < (uint64_t)span->pages << DCMI_PAGE_SHIFT;
        }
        dcmi_lock_drop(&region->lock);
    }
    return is_held;
}

typedef struct search {
    const dcmi_pool *except;
    uint64_t address;
    bool is_found;
} search;

static void
search_pool(dcmi_pool *root, void *user)
{
    search *wanted = user;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        dcmi_block block;
        if (pool && pool != wanted->except && find(&block, pool, wanted->address))
            wanted->is_found = true;
    }
}

dcmem_result
dcmi_pool_refuse(dcmi_pool *pool, uint64_t address)
{
    void *named = (void *)(uintptr_t)address;
    dcmi_block block;
    bool is_alive = find(&block, pool, address);
    if (is_alive && block.holder == DCMI_HOLDER_LIBRARY)
        return dcmi_fail(DCMEM_E_FOREIGN, "address %p belongs to a buffer, or was freed on a queue", named);
    if (is_alive)
        return dcmi_fail(DCMEM_E_INTERIOR, "address %p lies %llu bytes inside the block at %p", named,
                         (unsigned long long)(address - block.address), (void *)(uintptr_t)block.address);

    search other = {.except = pool, .address = address};
    dcmi_registry_lock();
    dcmi_registry_each(search_pool, &other);
    dcmi_registry_unlock();
    if (other.is_found)
        return dcmi_fail(DCMEM_E_FOREIGN, "address %p belongs to another manager", named);
    if (holds(pool, address))
        return dcmi_fail(DCMEM_E_ALREADY_FREE, "the block at %p is already free", named);
    return dcmi_fail(DCMEM_E_UNKNOWN_ADDRESS, "address %p was not given out by this manager", named);
}

/* ---- Places ---- */

static const dcmi_segment *
segment_of(dcmi_pool *pool, uint64_t address)
{
    uint64_t start = run_start(pool, address);
    if (!start)
        return NULL;
    dcmi_page *page = dcmi_map_page(&pool->map, start);
    uint32_t owner = atomic_load_explicit(&page->owner, memory_order_relaxed);
    bool is_slab = dcmi_page_is_slab(atomic_load_explicit(&page->kind, memory_order_relaxed));
    dcmi_region *region = dcmi_pool_region_of(pool, owner);
    uint32_t span = is_slab ? dcmi_region_slab(region, owner)->span : owner & DCMI_OWNER_MASK;
    return dcmi_pool_segment(pool, dcmi_span_segment(&region->fit.spans[span]));
}

dcmem_result
dcmi_pool_place(dcmi_place *out, dcmi_pool *pool, uint64_t address)
{
    if (pool->is_divisible) {
        /* The address is the memory: any part of it is an extent. */
        out->extent = (dcmem_extent){
            .object = address,
            .address = address,
            .bytes = (1ull << DCMI_ADDRESS_BITS) - address,
            .host = (void *)(uintptr_t)address,
            .kind = pool->kind,
        };
        out->offset = 0;
        out->host = out->extent.host;
        return DCMEM_OK;
    }
    const dcmi_segment *segment = segment_of(pool, address);
    if (!segment)
        return dcmi_pool_refuse(pool, address);
    out->extent = segment->extent;
    out->offset = address - segment->address;
    out->host = segment->extent.host ? (char *)segment->extent.host + out->offset : NULL;
    return DCMEM_OK;
}

char *
dcmi_pool_direct(dcmi_pool *pool, uint64_t address)
{
    if (!pool->device->is_own)
        return NULL;
    const dcmi_segment *segment = segment_of(pool, address);
    return segment && segment->extent.direct ? (char *)segment->extent.direct + (address - segment->address) : NULL;
}
