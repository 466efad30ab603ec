/* growth.c: memory from the driver and back to it, and who may have how much.
 *
 * Divisible memory is address space: a region grows where it ended, by exactly what a request lacks, and any free run
 * of pages may go back. Other memory comes in objects: one segment each, which goes back when all of it is free. */
#include "pool/inside.h"

#define SMALL_STEP_BYTES (64u * 1024) /* least growth of a small region: slabs come one by one, calls should not */

/* ---- Budget ---- */

static dcmem_result
budget_take(dcmi_budget *budget, uint64_t bytes)
{
    uint64_t reserved = atomic_load(&budget->reserved);
    uint64_t sum;
    do {
        uint64_t limit = atomic_load(&budget->limit);
        if (!dcmi_size_add(&sum, reserved, bytes) || (limit && sum > limit))
            return dcmi_fail(DCMEM_E_LIMIT, "%llu bytes more than the %llu held pass the limit of %llu",
                             (unsigned long long)bytes, (unsigned long long)reserved, (unsigned long long)limit);
    } while (!atomic_compare_exchange_weak(&budget->reserved, &reserved, sum));

    uint64_t peak = atomic_load(&budget->reserved_peak);
    while (peak < sum && !atomic_compare_exchange_weak(&budget->reserved_peak, &peak, sum))
        ;
    return DCMEM_OK;
}

static void
budget_give(dcmi_budget *budget, uint64_t bytes)
{
    atomic_fetch_sub(&budget->reserved, bytes);
}

/* ---- The driver, counted and timed ---- */

static dcmem_result
driver_acquire(dcmem_extent *out, dcmi_pool *pool, const dcmem_acquire *request)
{
    uint64_t begin = dcmi_os_now_ns();
    dcmem_result result = dcmi_device_acquire(out, pool->device, 0, request);
    dcmi_pool_record(pool, DCMI_HISTOGRAM_driver_latency, dcmi_os_now_ns() - begin);
    dcmi_pool_add(pool, DCMI_COUNTER_driver_acquires, 1);
    if (result)
        dcmi_pool_add(pool, DCMI_COUNTER_driver_errors, 1);
    else
        dcmi_pool_add(pool, DCMI_COUNTER_acquired_bytes, out->bytes);
    return result;
}

static dcmem_result
driver_release(dcmi_pool *pool, const dcmem_extent *extent)
{
    uint64_t begin = dcmi_os_now_ns();
    dcmem_result result = dcmi_device_release(pool->device, 0, extent);
    dcmi_pool_record(pool, DCMI_HISTOGRAM_driver_latency, dcmi_os_now_ns() - begin);
    dcmi_pool_add(pool, DCMI_COUNTER_driver_releases, 1);
    dcmi_pool_add(pool, DCMI_COUNTER_released_bytes, extent->bytes);
    if (result)
        dcmi_pool_add(pool, DCMI_COUNTER_driver_errors, 1);
    budget_give(pool->budget, extent->bytes);
    atomic_fetch_sub(&pool->held, extent->bytes);
    return result;
}

/* ---- Segments ---- */

dcmi_segment *
dcmi_pool_segment(dcmi_pool *pool, uint32_t index)
{
    return &pool->segments[index];
}

static uint32_t
segment_new(dcmi_pool *pool)
{
    dcmi_lock_take(&pool->segments_lock);
    uint32_t index = pool->spare_segment;
    if (index)
        pool->spare_segment = pool->segments[index].spare;
    else if (pool->segment_high < DCMI_MOST_SEGMENTS)
        index = pool->segment_high++;
    dcmi_lock_drop(&pool->segments_lock);
    return index;
}

static void
segment_drop(dcmi_pool *pool, uint32_t index)
{
    dcmi_lock_take(&pool->segments_lock);
    pool->segments[index] = (dcmi_segment){.spare = pool->spare_segment};
    pool->spare_segment = index;
    dcmi_lock_drop(&pool->segments_lock);
}

/* Addresses that stand for memory which has none of its own, aligned like it. */
static bool
shadow_make(dcmi_segment *segment, uint64_t bytes, uint64_t alignment)
{
    uint64_t room;
    if (!dcmi_size_add(&room, bytes, alignment))
        return false; /* COVER: a driver would have to give 2^64 bytes */
    segment->shadow = dcmi_os_reserve(room);
    segment->shadow_bytes = room;
    return segment->shadow && dcmi_round_up(&segment->address, (uintptr_t)segment->shadow, alignment);
}

static dcmem_result
segment_fill(dcmi_pool *pool, dcmi_segment *segment, const dcmem_extent *extent, uint64_t alignment)
{
    segment->extent = *extent;
    segment->bytes = dcmi_round_down(extent->bytes, DCMI_PAGE);
    segment->is_used = true;
    segment->address = extent->address;

    bool is_addressed = dcmi_device_has(pool->device, DCMEM_CAP_ADDRESSED) && extent->address % DCMI_PAGE == 0;
    if (!is_addressed && !shadow_make(segment, segment->bytes, alignment))
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space to stand for %llu bytes of device memory",
                         (unsigned long long)segment->bytes);
    return dcmi_map_cover(&pool->map, segment->address, segment->bytes);
}

static dcmem_result
segment_release(dcmi_pool *pool, uint32_t index)
{
    dcmi_segment segment = pool->segments[index];
    segment_drop(pool, index);
    dcmem_result result = driver_release(pool, &segment.extent);
    dcmi_os_unreserve(segment.shadow, segment.shadow_bytes);
    return result;
}

/* ---- Growth ---- */

static dcmem_result
no_descriptor(void)
{
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no descriptor left for a block; free some");
}

static dcmem_result
adopt_divisible(dcmi_pool *pool, dcmi_region *region, const dcmem_extent *extent)
{
    dcmem_result result = dcmi_map_cover(&pool->map, extent->address, extent->bytes);
    if (!result) {
        dcmi_lock_take(&region->lock);
        if (!dcmi_fit_add(&region->fit, extent->address >> DCMI_PAGE_SHIFT, extent->bytes >> DCMI_PAGE_SHIFT,
                          DCMI_SEGMENT_DIVISIBLE, true))
            result = no_descriptor();
        dcmi_lock_drop(&region->lock);
    }
    if (result)
        (void)driver_release(pool, extent); /* the first failure is the one to tell */
    return result;
}

static dcmem_result
adopt_object(dcmi_pool *pool, dcmi_region *region, const dcmem_extent *extent, uint64_t alignment)
{
    uint32_t index = segment_new(pool);
    if (!index) {
        /* COVER begin: a million segments are more than a test can afford */
        (void)driver_release(pool, extent);
        return dcmi_fail(DCMEM_E_LIMIT, "%u segments are held, the most there can be", DCMI_MOST_SEGMENTS);
        /* COVER end */
    }
    dcmi_segment *segment = &pool->segments[index];
    dcmem_result result = segment_fill(pool, segment, extent, alignment);
    if (!result) {
        dcmi_lock_take(&region->lock);
        if (!dcmi_fit_add(&region->fit, segment->address >> DCMI_PAGE_SHIFT, segment->bytes >> DCMI_PAGE_SHIFT, index,
                          false))
            result = no_descriptor();
        dcmi_lock_drop(&region->lock);
    }
    if (result) {
        segment->extent = *extent;
        (void)segment_release(pool, index);
    }
    return result;
}

static dcmem_result
acquire_bytes(dcmi_pool *pool, dcmi_region *region, uint64_t bytes, uint64_t alignment, uint64_t near)
{
    dcmem_acquire request = {
        .bytes = bytes,
        .alignment = dcmi_max(alignment, pool->device->info.alignment),
        .kind = pool->kind,
        .flags = DCMEM_ACQUIRE_GROW,
        .near = near,
        .lane = region->id + pool->index * DCMI_MOST_ARENAS * 2,
    };
    dcmem_result result = budget_take(pool->budget, bytes);
    if (result)
        return result;

    dcmem_extent extent;
    result = driver_acquire(&extent, pool, &request);
    if (result) {
        budget_give(pool->budget, bytes);
        return result;
    }
    atomic_fetch_add(&pool->held, extent.bytes);
    /* More than was asked is held and will be given back, so it counts. */
    if (extent.bytes > bytes)
        atomic_fetch_add(&pool->budget->reserved, extent.bytes - bytes); /* COVER: no backend here rounds up */
    return pool->is_divisible ? adopt_divisible(pool, region, &extent)
                              : adopt_object(pool, region, &extent, dcmi_max(alignment, DCMI_PAGE));
}

/* How much a region grows when `missing` bytes are needed. Pure but for the settings. */
static uint64_t
growth_step(const dcmi_pool *pool, const dcmi_region *region, uint64_t missing)
{
    uint64_t least = pool->growth_bytes;
    bool is_small = region->id % 2 == 0;
    if (least == 0 && is_small)
        least = SMALL_STEP_BYTES;
    /* Objects are not joined: a few blocks to one, or every block would be a driver call of its own. */
    if (pool->growth_bytes == 0 && !pool->is_divisible && missing < (2u << 20))
        least = 2u << 20;
    return dcmi_max(missing, least);
}

dcmem_result
dcmi_pool_grow(dcmi_pool *pool, dcmi_region *region, uint64_t pages, uint64_t align_pages)
{
    /* As much as the search for an aligned run asks for. */
    uint64_t need = (pages + align_pages - 1) << DCMI_PAGE_SHIFT;
    uint64_t near = 0, missing = need;
    if (pool->is_divisible) {
        dcmi_lock_take(&region->lock);
        near = dcmi_fit_tail(&region->fit);
        missing = dcmi_less(need, dcmi_fit_tail_pages(&region->fit) << DCMI_PAGE_SHIFT);
        dcmi_lock_drop(&region->lock);
    }
    if (missing == 0)
        return DCMEM_OK; /* COVER: another thread must free the end between the search and this look */

    uint64_t step, least;
    if (!dcmi_round_up(&step, growth_step(pool, region, missing), pool->granularity) ||
        !dcmi_round_up(&least, missing, pool->granularity))
        return dcmi_fail(DCMEM_E_TOO_LARGE, "%llu bytes", (unsigned long long)need); /* COVER: refused before */
    uint64_t alignment = align_pages > 1 ? align_pages << DCMI_PAGE_SHIFT : 0;

    dcmem_result result = acquire_bytes(pool, region, step, pool->is_divisible ? 0 : alignment, near);
    while (result && step > least && dcmem_result_class_of(result) == DCMEM_CLASS_RESOURCE) {
        step = dcmi_max(dcmi_round_down(step / 2, pool->granularity), least);
        result = acquire_bytes(pool, region, step, pool->is_divisible ? 0 : alignment, near);
    }
    return result;
}

/* ---- Shrinking ---- */

/* A free span whose memory can go back, out of the lists; NONE when there is none. Sets what the driver is to take. */
static uint32_t
releasable_object(dcmi_pool *pool, dcmi_region *region) DCMI_REQUIRES(region->lock)
{
    const dcmi_fit *fit = &region->fit;
    uint32_t best = DCMI_SPAN_NONE;
    for (uint32_t index = DCMI_SPAN_TAIL + 1; index < fit->high; index++) {
        const dcmi_span *span = &fit->spans[index];
        if (dcmi_span_state(span) != DCMI_SPAN_FREE)
            continue;
        uint64_t whole = pool->segments[dcmi_span_segment(span)].bytes >> DCMI_PAGE_SHIFT;
        if (span->pages == whole && (!best || span->pages > fit->spans[best].pages))
            best = index;
    }
    return best;
}

static uint64_t
shrink_object(dcmi_pool *pool, dcmi_region *region, dcmem_result *failed)
{
    dcmi_lock_take(&region->lock);
    uint32_t span = releasable_object(pool, region);
    uint32_t segment = span ? dcmi_span_segment(&region->fit.spans[span]) : 0;
    if (span)
        dcmi_fit_remove(&region->fit, span);
    dcmi_lock_drop(&region->lock);
    if (!span)
        return 0;

    uint64_t bytes = pool->segments[segment].extent.bytes;
    dcmem_result result = segment_release(pool, segment);
    if (result)
        *failed = result;
    return bytes;
}

static uint64_t
shrink_divisible(dcmi_pool *pool, dcmi_region *region, uint64_t bytes, bool keep_tail, dcmem_result *failed)
{
    dcmi_lock_take(&region->lock);
    uint32_t tail = keep_tail ? dcmi_fit_tail_span(&region->fit) : DCMI_SPAN_NONE;
    uint32_t index = dcmi_fit_largest(&region->fit, tail);
    dcmem_extent extent = {.kind = pool->kind};
    if (index) {
        const dcmi_span *span = &region->fit.spans[index];
        uint64_t pages = dcmi_min(span->pages, (bytes >> DCMI_PAGE_SHIFT) + ((bytes & (DCMI_PAGE - 1)) != 0));
        uint64_t address = dcmi_span_address(span) + (span->pages - pages) * DCMI_PAGE;
        extent.object = extent.address = address;
        extent.host = (void *)(uintptr_t)address;
        extent.bytes = pages * DCMI_PAGE;
        if (pages == span->pages)
            dcmi_fit_remove(&region->fit, index);
        else
            dcmi_fit_cut(&region->fit, index, pages);
    }
    dcmi_lock_drop(&region->lock);
    if (!index)
        return 0;

    dcmem_result result = driver_release(pool, &extent);
    if (result)
        *failed = result;
    return extent.bytes;
}

uint64_t
dcmi_pool_recycle(dcmi_pool *pool, dcmi_region *region, uint64_t bytes)
{
    dcmem_result ignored = DCMEM_OK;
    uint64_t gone = 0;
    while (gone < bytes) {
        uint64_t part = shrink_divisible(pool, region, bytes - gone, true, &ignored);
        if (part == 0)
            break;
        gone += part;
    }
    return gone;
}

uint64_t
dcmi_pool_shrink(dcmi_pool *pool, dcmi_region *region, uint64_t bytes, dcmem_result *failed)
{
    dcmi_lock_take(&region->lock);
    dcmi_region_settle(region);
    dcmi_lock_drop(&region->lock);

    uint64_t gone = 0;
    while (gone < bytes) {
        uint64_t part = pool->is_divisible ? shrink_divisible(pool, region, bytes - gone, false, failed)
                                           : shrink_object(pool, region, failed);
        if (part == 0)
            break;
        gone += part;
    }
    return gone;
}

/* Every stretch of address space, whatever its spans' states. */
static dcmem_result
release_stretches(dcmi_pool *pool, dcmi_region *region)
{
    dcmem_result failed = DCMEM_OK;
    const dcmi_fit *fit = &region->fit;
    for (uint32_t index = DCMI_SPAN_TAIL + 1; index < fit->high; index++) {
        const dcmi_span *span = &fit->spans[index];
        if (!dcmi_span_state(span) || span->before)
            continue;
        uint64_t begin = span->page, end = begin;
        for (uint32_t at = index; at && at != DCMI_SPAN_TAIL; at = fit->spans[at].after)
            end = fit->spans[at].page + fit->spans[at].pages;
        uint64_t address = begin << DCMI_PAGE_SHIFT;
        dcmem_extent extent = {
            .object = address,
            .address = address,
            .bytes = (end - begin) << DCMI_PAGE_SHIFT,
            .host = (void *)(uintptr_t)address,
            .kind = pool->kind,
        };
        dcmem_result result = driver_release(pool, &extent);
        if (result)
            failed = result;
    }
    return failed;
}

dcmem_result
dcmi_pool_release_all(dcmi_pool *pool)
{
    dcmem_result failed = DCMEM_OK;
    for (uint32_t i = 0; pool->is_divisible && i < dcmi_pool_region_count(pool); i++) {
        dcmem_result result = release_stretches(pool, &pool->regions[i]);
        if (result)
            failed = result;
    }
    for (uint32_t index = 1; pool->segments && index < pool->segment_high; index++) {
        if (!pool->segments[index].is_used)
            continue;
        dcmem_result result = segment_release(pool, index);
        if (result)
            failed = result;
    }
    return failed;
}
