/* pool.c: the life of pools: a root for device memory, and below it one for each other kind that is asked for. */
#include "pool/inside.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_IDLE_TIME_NS 10000000000ull
#define DEFAULT_INTERVAL_NS  1000000000ull
#define DEFAULT_THREAD_CACHE (256ull << 20)
#define LARGEST_ALLOCATION   (1ull << 43) /* what 32-bit page counts can hold, and then some */

static _Atomic(dcmi_pool_end_sink) end_sink;

void
dcmi_pool_set_end_sink(dcmi_pool_end_sink sink)
{
    atomic_store(&end_sink, sink);
}

static _Atomic(dcmi_pool_pending_sink) pending_sink;

void
dcmi_pool_set_pending_sink(dcmi_pool_pending_sink sink)
{
    atomic_store(&pending_sink, sink);
}

uint64_t
dcmi_pool_call_pending(dcmi_pool *pool, bool may_wait)
{
    dcmi_pool *root = pool->root;
    if (atomic_load_explicit(&root->gauges[DCMI_GAUGE_PENDING], memory_order_relaxed) <= 0)
        return 0;
    dcmi_pool_pending_sink sink = atomic_load(&pending_sink);
    return sink ? sink(root, may_wait) : 0;
}

static _Atomic(dcmi_pool_spare_sink) spare_sink;

void
dcmi_pool_set_spare_sink(dcmi_pool_spare_sink sink)
{
    atomic_store(&spare_sink, sink);
}

uint64_t
dcmi_pool_call_spare(dcmi_pool *root, bool is_end)
{
    dcmi_pool_spare_sink sink = atomic_load(&spare_sink);
    return sink ? sink(root, is_end) : 0;
}

static uint64_t
tell_end(dcmi_pool *root, bool is_dry)
{
    dcmi_pool_end_sink sink = atomic_load(&end_sink);
    return sink ? sink(root, is_dry) : 0;
}

/* Devices whose memory comes in objects fragment by arenas; address space does not mind. */
static uint32_t
arenas_for(const dcmi_device *device)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (!dcmi_device_has(device, DCMEM_CAP_DIVISIBLE) || processors < 2)
        return 1;
    return (uint32_t)dcmi_min((uint64_t)processors, DCMI_MOST_ARENAS);
}

/* What every block of a kind has: the device's own, where that is less than a page. Two blocks never share a unit of
 * flushing: a flush of the one would write the other's bytes back. */
static uint64_t
alignment_for(const dcmi_device *device, dcmem_kind kind)
{
    uint64_t own = device->info.alignment < DCMI_PAGE ? device->info.alignment : DCMI_QUANTUM;
    bool is_host = kind == DCMEM_KIND_HOST || kind == DCMEM_KIND_PINNED;
    uint64_t unit = is_host ? 0 : device->info.flush_bytes;
    return dcmi_max(dcmi_max(own, unit), DCMI_QUANTUM);
}

static dcmem_result
init_parts(dcmi_pool *pool)
{
    dcmem_result result = dcmi_map_init(&pool->map);
    if (!result)
        result = dcmi_depot_init(&pool->depot);
    for (uint32_t i = 0; !result && i < dcmi_pool_region_count(pool); i++)
        result = dcmi_region_init(&pool->regions[i], i, &pool->table, &pool->map);
    if (result || pool->is_divisible)
        return result;

    pool->segments = dcmi_os_reserve(DCMI_MOST_SEGMENTS * sizeof *pool->segments);
    pool->segment_high = 1;
    return pool->segments ? DCMEM_OK : dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for segments");
}

static void
fini_parts(dcmi_pool *pool)
{
    dcmi_os_unreserve(pool->segments, DCMI_MOST_SEGMENTS * sizeof *pool->segments);
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++)
        dcmi_region_fini(&pool->regions[i]);
    dcmi_depot_fini(&pool->depot);
    dcmi_map_fini(&pool->map);
}

static void
take_settings(dcmi_pool *pool, const dcmi_pool_settings *settings)
{
    bool is_idle_free = settings->idle_limit_bytes == DCMEM_NO_IDLE_MEMORY;
    pool->sizing = settings->sizing;
    atomic_init(&pool->policy, settings->policy);
    pool->has_exact_peaks = settings->has_exact_peaks;
    pool->is_caching = !is_idle_free;
    pool->idle_limit_bytes = is_idle_free ? 0 : settings->idle_limit_bytes ? settings->idle_limit_bytes : UINT64_MAX;
    pool->idle_time_ns = settings->idle_time_ns ? settings->idle_time_ns : DEFAULT_IDLE_TIME_NS;
    pool->maintenance_interval_ns =
        settings->maintenance_interval_ns ? settings->maintenance_interval_ns : DEFAULT_INTERVAL_NS;
    pool->thread_cache_bytes = settings->thread_cache_bytes ? settings->thread_cache_bytes : DEFAULT_THREAD_CACHE;
    pool->growth_bytes = settings->growth_bytes;
    pool->out_of_memory = settings->out_of_memory;
    pool->out_of_memory_user = settings->out_of_memory_user;

    uint64_t largest = pool->device->info.largest_allocation_bytes;
    largest = dcmi_min(largest ? largest : LARGEST_ALLOCATION, LARGEST_ALLOCATION);
    if (settings->largest_allocation_bytes)
        largest = dcmi_min(largest, settings->largest_allocation_bytes);
    pool->largest_allocation_bytes = largest;
}

/* A pool on `device`, not yet to be found by anyone. `root` NULL makes a root. */
static dcmem_result
pool_make(dcmi_pool **out, dcmi_device *device, dcmi_pool *root, dcmem_kind kind, const dcmi_pool_settings *settings,
          dcmi_budget *budget)
{
    dcmi_pool *pool = dcmi_os_reserve(sizeof *pool);
    if (!pool)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a pool");
    pool->root = root ? root : pool;
    pool->kind = kind;
    pool->device = device;
    pool->is_divisible = dcmi_device_has(device, DCMEM_CAP_DIVISIBLE | DCMEM_CAP_ADDRESSED | DCMEM_CAP_UNIFIED);
    pool->alignment = alignment_for(device, kind);
    pool->granularity = dcmi_max(device->info.granularity, DCMI_PAGE);
    pool->arena_count = arenas_for(device);
    take_settings(pool, settings);
    dcmi_class_table_init(&pool->table, settings->sizing, pool->alignment);

    pool->budget = budget;
    pool->shards = (dcmi_shard *)(void *)((char *)budget + 128);
    if (!root)
        atomic_store(&pool->of_kind[kind], pool);

    /* Whole before it is added: from then on the maintenance may find it. */
    dcmem_result result = init_parts(pool);
    if (!result)
        result = dcmi_registry_add(pool);
    if (result) {
        fini_parts(pool);
        dcmi_os_unreserve(pool, sizeof *pool);
        return result;
    }
    dcmi_cache_attach_fallback(pool);
    *out = pool;
    return DCMEM_OK;
}

dcmem_result
dcmi_pool_create(dcmem_manager **out, dcmi_device *device, const dcmi_pool_settings *settings)
{
    dcmi_fork_prepare_once();
    dcmi_cache_prepare();
    dcmi_budget *budget = dcmi_os_reserve(sizeof *budget + DCMI_SHARDS * sizeof(dcmi_shard) + 128);
    if (!budget)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a manager's figures");
    atomic_init(&budget->limit, settings->limit_bytes);

    dcmi_pool *pool;
    dcmem_result result = pool_make(&pool, device, NULL, DCMEM_KIND_DEVICE, settings, budget);
    if (result) {
        dcmi_os_unreserve(budget, sizeof *budget + DCMI_SHARDS * sizeof(dcmi_shard) + 128);
        return result;
    }
    *out = dcmi_pool_manager(pool);
    if (pool->maintenance_interval_ns != DCMEM_MAINTENANCE_OFF)
        dcmi_maintenance_wake();
    return DCMEM_OK;
}

_Static_assert(sizeof(dcmi_budget) <= 128, "the shards follow it, aligned");

static dcmi_pool_settings
settings_of(const dcmi_pool *root)
{
    bool is_idle_free = !root->is_caching;
    return (dcmi_pool_settings){
        .sizing = root->sizing,
        .policy = (dcmem_policy)atomic_load(&root->policy),
        .has_exact_peaks = root->has_exact_peaks,
        .idle_limit_bytes = is_idle_free                           ? DCMEM_NO_IDLE_MEMORY
                            : root->idle_limit_bytes == UINT64_MAX ? 0
                                                                   : root->idle_limit_bytes,
        .idle_time_ns = root->idle_time_ns,
        .largest_allocation_bytes = root->largest_allocation_bytes,
        .maintenance_interval_ns = root->maintenance_interval_ns,
        .thread_cache_bytes = root->thread_cache_bytes,
        .growth_bytes = root->growth_bytes,
    };
}

static void
pool_unmake(dcmi_pool *pool)
{
    dcmi_registry_remove(pool);
    dcmi_registry_lock();
    while (pool->caches)
        dcmi_cache_end(pool->caches);
    dcmi_registry_unlock();
}

static void
pool_free(dcmi_pool *pool)
{
    fini_parts(pool);
    dcmi_os_unreserve(pool, sizeof *pool);
}

dcmem_result
dcmi_pool_of_kind(dcmi_pool **out, dcmi_pool *root, dcmem_kind kind)
{
    if ((unsigned)kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "kind is %d, which is no kind of memory", (int)kind);
    dcmi_pool *pool = atomic_load_explicit(&root->of_kind[kind], memory_order_acquire);
    if (pool) {
        *out = pool;
        return DCMEM_OK;
    }
    if (!(root->device->info.kinds & DCMEM_KIND_BIT(kind)))
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "%s has no %s memory", root->device->info.backend, dcmem_kind_name(kind));

    dcmi_pool_settings settings = settings_of(root);
    dcmem_result result = pool_make(&pool, root->device, root, kind, &settings, root->budget);
    if (result)
        return result;

    dcmi_pool *other = NULL;
    if (!atomic_compare_exchange_strong(&root->of_kind[kind], &other, pool)) {
        /* COVER begin: two threads must ask for a kind for the first time in the same instant */
        pool_unmake(pool);
        pool_free(pool);
        pool = other;
        /* COVER end */
    }
    *out = pool;
    return DCMEM_OK;
}

/* Live blocks of all kinds. */
static void
count_live(uint64_t *out_bytes, uint64_t *out_blocks, dcmi_pool *root)
{
    dcmem_stats *stats = dcmi_os_reserve(sizeof *stats);
    *out_bytes = *out_blocks = 0;
    if (!stats)
        return;
    dcmi_pool_snapshot(stats, root);
    *out_bytes = stats->live_requested_bytes;
    *out_blocks = stats->live_allocations;
    dcmi_os_unreserve(stats, sizeof *stats);
}

dcmem_result
dcmi_pool_destroy(uint64_t *out_live_bytes, uint64_t *out_live_blocks, dcmi_pool *root)
{
    (void)dcmi_pool_call_spare(root, true);
    count_live(out_live_bytes, out_live_blocks, root);
    tell_end(root, false);
    dcmi_gate_set(root, NULL, NULL);

    dcmem_result failed = DCMEM_OK;
    dcmi_pool *pools[DCMEM_KIND_COUNT];
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        pools[kind] = atomic_load(&root->of_kind[kind]);
        if (!pools[kind])
            continue;
        pool_unmake(pools[kind]);
        dcmem_result result = dcmi_pool_release_all(pools[kind]);
        if (result)
            failed = result;
    }
    dcmi_device_close(root->device);
    dcmi_budget *budget = root->budget;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        if (pools[kind])
            pool_free(pools[kind]);
    dcmi_os_unreserve(budget, sizeof *budget + DCMI_SHARDS * sizeof(dcmi_shard) + 128);
    return failed;
}

/* ---- Reset ---- */

static void
reset_parts(dcmi_pool *pool)
{
    dcmi_map_reset(&pool->map);
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++)
        dcmi_region_reset(&pool->regions[i]);
    dcmi_depot_reset(&pool->depot);
    if (pool->segments) {
        dcmi_os_forget(pool->segments, DCMI_MOST_SEGMENTS * sizeof *pool->segments);
        pool->segment_high = 1;
        pool->spare_segment = 0;
    }
    memset(&pool->retired, 0, sizeof pool->retired);
    memset((void *)pool->gauges, 0, sizeof pool->gauges);
    memset((void *)pool->tags, 0, sizeof pool->tags);
    memset((void *)pool->resized, 0, sizeof pool->resized);
    memset((void *)&pool->guarded, 0, sizeof pool->guarded);
    atomic_store(&pool->high, 0);
    atomic_store(&pool->out_seen, 0);
    atomic_store(&pool->used_peak, 0);
    atomic_store(&pool->hits_seen, 0);
    atomic_store(&pool->magazine_seen, 0);
    atomic_store(&pool->used_exact, 0);
}

dcmem_result
dcmi_pool_reset(dcmi_pool *root)
{
    uint64_t open = tell_end(root, true);
    if (open > 0)
        return dcmi_fail(DCMEM_E_BUSY, "%llu buffers have an access open; end those first", (unsigned long long)open);
    tell_end(root, false);
    (void)dcmi_pool_call_spare(root, false);

    dcmem_result failed = DCMEM_OK;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (!pool)
            continue;
        dcmi_registry_lock();
        while (pool->caches)
            dcmi_cache_end(pool->caches);
        dcmi_registry_unlock();
        dcmem_result result = dcmi_pool_release_all(pool);
        if (result)
            failed = result;
        reset_parts(pool);
        dcmi_cache_attach_fallback(pool);
    }
    memset((void *)root->shards, 0, DCMI_SHARDS * sizeof *root->shards);
    atomic_store(&root->budget->reserved_peak, atomic_load(&root->budget->reserved));
    return failed;
}

dcmem_result
dcmi_pool_check(dcmi_pool *root)
{
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        for (uint32_t i = 0; pool && i < dcmi_pool_region_count(pool); i++) {
            dcmi_lock_take(&pool->regions[i].lock);
            dcmem_result result = dcmi_region_check(&pool->regions[i]);
            dcmi_lock_drop(&pool->regions[i].lock);
            if (result)
                return result; /* COVER: the parts' own tests break them */
        }
    }
    return dcmi_pool_check_figures(root);
}

/* ---- Small questions ---- */

struct dcmi_guard *
dcmi_pool_guard(const dcmi_pool *pool)
{
    return pool->root->guard;
}

void
dcmi_pool_set_guard(dcmi_pool *root, struct dcmi_guard *guard)
{
    root->guard = guard;
}

struct dcmi_traffic *
dcmi_pool_traffic(const dcmi_pool *pool)
{
    return atomic_load_explicit(&pool->root->traffic, memory_order_acquire);
}

bool
dcmi_pool_set_traffic(dcmi_pool *root, struct dcmi_traffic *traffic)
{
    struct dcmi_traffic *none = NULL;
    return atomic_compare_exchange_strong(&root->traffic, &none, traffic);
}

dcmi_pool *
dcmi_pool_root(const dcmi_pool *pool)
{
    return pool->root;
}

dcmi_device *
dcmi_pool_device(const dcmi_pool *pool)
{
    return pool->device;
}

dcmem_kind
dcmi_pool_kind(const dcmi_pool *pool)
{
    return pool->kind;
}

bool
dcmi_pool_is_tight(const dcmi_pool *pool)
{
    uint32_t policy = atomic_load_explicit(&pool->root->policy, memory_order_relaxed);
    return policy == DCMEM_POLICY_TIGHT ||
           (policy == DCMEM_POLICY_DEFAULT && atomic_load_explicit(&pool->root->is_tight, memory_order_relaxed));
}

/* OpenCL has memory of several sorts: what is named by an address is given to a kernel in another way than a buffer. */
static dcmem_native_kind
opencl_kind(const dcmem_extent *extent)
{
    if (extent->object == extent->address)
        return DCMEM_NATIVE_OPENCL_SVM;
    return extent->object == (uintptr_t)extent->host ? DCMEM_NATIVE_HOST_POINTER : DCMEM_NATIVE_OPENCL_BUFFER;
}

/* Memory of the host alone is no buffer. */
static dcmem_native_kind
vulkan_kind(const dcmem_extent *extent)
{
    return extent->object == (uintptr_t)extent->host ? DCMEM_NATIVE_HOST_POINTER : DCMEM_NATIVE_VULKAN_BUFFER;
}

static dcmem_native_kind
native_kind(const dcmi_device *device, const dcmem_extent *extent)
{
    static const struct {
        const char *backend;
        dcmem_native_kind kind;
    } kinds[] = {
        {"cpu", DCMEM_NATIVE_HOST_POINTER},     {"cuda", DCMEM_NATIVE_CUDA_POINTER},
        {"hip", DCMEM_NATIVE_HIP_POINTER},      {"level_zero", DCMEM_NATIVE_LEVEL_ZERO_POINTER},
        {"opencl", DCMEM_NATIVE_OPENCL_BUFFER}, {"vulkan", DCMEM_NATIVE_VULKAN_BUFFER},
        {"metal", DCMEM_NATIVE_METAL_BUFFER},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(device->info.backend, kinds[i].backend) == 0)
            return kinds[i].kind == DCMEM_NATIVE_OPENCL_BUFFER   ? opencl_kind(extent)
                   : kinds[i].kind == DCMEM_NATIVE_VULKAN_BUFFER ? vulkan_kind(extent)
                                                                 : kinds[i].kind;
    return DCMEM_NATIVE_SIMULATED;
}

dcmem_native
dcmi_place_native(const dcmi_device *device, const dcmi_place *place, uint64_t bytes)
{
    return (dcmem_native){
        .kind = native_kind(device, &place->extent),
        .object = place->extent.object,
        .offset = place->offset,
        .bytes = bytes,
        .address = place->extent.address ? place->extent.address + place->offset : 0,
    };
}
