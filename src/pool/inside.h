/* inside.h: what a pool is made of, for the files of this folder.
 *
 * Lock ranks, lowest first (base/lock.h): registry, caches, a cache, a depot class, a region. No lock is held while the
 * driver, a sink or the user's callback runs.
 *
 *   caches_lock guards: caches, cache_count, retired.     segments_lock guards: segments' table, spare_segment.
 *   Every other field is written while the pool is made, or atomic.
 */
#ifndef DCMI_POOL_INSIDE_H
#define DCMI_POOL_INSIDE_H

#include "pool/cache.h"
#include "pool/depot.h"
#include "pool/gate.h"
#include "pool/pool.h"
#include "pool/region.h"

#define DCMI_MOST_ARENAS 4u
#define DCMI_SHARDS      8u

/* What one acquire gave, where memory comes in objects (not DIVISIBLE), and every direct acquire. */
typedef struct dcmi_segment {
    dcmem_extent extent;
    uint64_t address; /* in the pool's address space */
    uint64_t bytes;
    void *shadow; /* reserved addresses that stand for memory without any */
    uint64_t shadow_bytes;
    uint32_t spare; /* next in the list of unused entries */
    bool is_used;
} dcmi_segment;

#define DCMI_SEGMENT_DIVISIBLE 0u /* no object of its own: plain address space */
#define DCMI_MOST_SEGMENTS     (1u << 20)

/* What all pools of a manager hold from the driver together. */
typedef struct dcmi_budget {
    _Atomic uint64_t reserved;
    _Atomic uint64_t reserved_peak;
    _Atomic uint64_t limit; /* 0: none */
} dcmi_budget;

/* What guards know better than the pool: a block of theirs is longer than what was asked for, and goes on being the
 * pool's for a while after it was freed. */
typedef struct dcmi_guarded {
    _Atomic uint64_t requested_bytes; /* ever, as the callers asked for them */
    _Atomic uint64_t live_bytes;      /* of these, what was not freed */
    _Atomic uint64_t held_blocks;     /* freed and held back */
    _Atomic uint64_t held_bytes;
    _Atomic uint64_t frees_seen; /* most that a snapshot has told */
    _Atomic uint64_t freed_bytes_seen;
} dcmi_guarded;

typedef struct dcmi_class_counts {
    dcmi_totals taken, given;
} dcmi_class_counts;

/* By how much requests grew and shrank inside their blocks. */
typedef struct dcmi_resized {
    _Atomic uint64_t grown, shrunk;
} dcmi_resized;

typedef struct dcmi_tag_counts {
    _Atomic uint64_t allocations, frees, live_bytes, peak_bytes;
} dcmi_tag_counts;

/* What ended caches had counted. */
typedef struct dcmi_retired {
    dcmi_class_counts classes[DCMI_CLASS_COUNT];
    uint64_t direct_takes, direct_gives, direct_bytes_taken, direct_bytes_given;
    uint64_t direct_slack_taken, direct_slack_given;
    uint64_t buffers_created, buffers_destroyed, depot_hits, fit_hits;
#define DCMEM_X(name) uint64_t name;
    DCMI_CACHE_COUNTS(DCMEM_X)
#undef DCMEM_X
} dcmi_retired;

struct dcmi_pool {
    uint64_t handle;
    uint32_t index; /* in the registry and in threads' tables */
    dcmem_kind kind;
    struct dcmi_pool *root;
    _Atomic(struct dcmi_pool *) of_kind[DCMEM_KIND_COUNT]; /* of the root only */
    dcmi_device *device;
    dcmi_budget *budget;                    /* the root's */
    struct dcmi_guard *guard;               /* of the root only; NULL: blocks are not guarded */
    _Atomic(struct dcmi_traffic *) traffic; /* the same; NULL: no copy had a choice yet */
    dcmi_class_table table;
    dcmi_map map;
    dcmi_depot depot;
    uint32_t arena_count;
    dcmi_region regions[DCMI_MOST_ARENAS * 2];

    dcmi_lock caches_lock;
    dcmi_cache *caches;
    uint32_t cache_count;
    dcmi_retired retired;
    dcmi_cache fallback; /* for threads that the host has no memory for */

    dcmi_lock segments_lock;
    dcmi_segment *segments;
    uint32_t segment_high;
    uint32_t spare_segment;

    /* Settings. */
    dcmem_sizing sizing;
    _Atomic uint32_t policy; /* dcmem_policy */
    _Atomic bool is_tight;   /* the default policy while memory is short */
    bool is_caching;         /* false: no idle memory at all */
    bool has_exact_peaks;
    bool is_divisible;
    uint64_t alignment;   /* what every block has */
    uint64_t granularity; /* what the driver acquires in */
    uint64_t growth_bytes;
    uint64_t idle_limit_bytes;
    uint64_t idle_time_ns;
    uint64_t maintenance_interval_ns;
    uint64_t largest_allocation_bytes;
    uint64_t thread_cache_bytes;
    dcmem_out_of_memory out_of_memory;
    void *out_of_memory_user;
    dcmi_gate gate; /* of the root only */

    /* Figures. */
    dcmi_shard *shards; /* the root's */
    _Atomic int64_t gauges[DCMI_GAUGE_COUNT];
    dcmi_guarded guarded; /* the root's; all 0 without a guard */
    dcmi_tag_counts tags[DCMEM_TAG_LIMIT];
    dcmi_resized resized[DCMI_CLASS_COUNT + 1]; /* by class; the last: of direct blocks */
    _Atomic uint64_t held;                      /* from the driver */
    _Atomic uint64_t high;     /* most that was out or asked for when the pool grew, since the last idle round */
    _Atomic uint64_t out_seen; /* highest bytes out at which the peak of used bytes was looked at */
    _Atomic uint64_t used_peak;
    _Atomic uint64_t hits_seen; /* most that a snapshot has told */
    _Atomic uint64_t magazine_seen;
    _Atomic uint64_t used_exact; /* has_exact_peaks */
    uint64_t idle_since_ns;      /* of the maintenance */
    uint64_t maintained_ns;      /* when the maintenance came last */
};

typedef struct dcmi_pool_settings {
    dcmem_sizing sizing;
    dcmem_policy policy;
    bool has_exact_peaks;
    uint64_t limit_bytes;
    uint64_t idle_limit_bytes; /* 0: none; DCMEM_NO_IDLE_MEMORY */
    uint64_t idle_time_ns;
    uint64_t largest_allocation_bytes;
    uint64_t maintenance_interval_ns;
    uint64_t thread_cache_bytes;
    uint64_t growth_bytes;
    dcmem_out_of_memory out_of_memory;
    void *out_of_memory_user;
} dcmi_pool_settings;

/* ---- pool.c ---- */

/* Makes a root pool on an opened device, which it owns from then on if it succeeds. */
dcmem_result dcmi_pool_create(dcmem_manager **out, dcmi_device *device, const dcmi_pool_settings *settings);

/* Ends a root pool and the pools below it. The driver's memory goes back whatever is still live; *out_live_bytes and
 * *out_live_blocks say how much that was. */
dcmem_result dcmi_pool_destroy(uint64_t *out_live_bytes, uint64_t *out_live_blocks, dcmi_pool *root);

static inline dcmi_region *
dcmi_pool_region(dcmi_pool *pool, uint32_t arena, bool is_large)
{
    return &pool->regions[arena * 2 + is_large];
}

static inline uint32_t
dcmi_pool_region_count(const dcmi_pool *pool)
{
    return pool->arena_count * 2;
}

static inline dcmi_region *
dcmi_pool_region_of(dcmi_pool *pool, uint32_t owner)
{
    return &pool->regions[owner >> DCMI_OWNER_BITS];
}

/* Has pending blocks brought back, if there are any; how many. */
uint64_t dcmi_pool_call_pending(dcmi_pool *pool, bool may_wait);

/* Has spare blocks of the layer above brought back; how many bytes. */
uint64_t dcmi_pool_call_spare(dcmi_pool *root, bool is_end);

dcmi_shard *dcmi_pool_shard(const dcmi_pool *pool);
bool dcmi_pool_is_tight(const dcmi_pool *pool);

/* Forgets every block and gives all memory back, as after dcmi_pool_create(); figures too. */
dcmem_result dcmi_pool_reset(dcmi_pool *root);

dcmem_result dcmi_pool_check(dcmi_pool *root);

/* ---- take.c: the slow ways ---- */

/* The detail for an address that is not the start of a live block; `what` says which call. */
dcmem_result dcmi_pool_refuse(dcmi_pool *pool, uint64_t address);

/* ---- growth.c: memory from and to the driver ---- */

/* Makes a region larger by what a request of `pages` lacks. */
dcmem_result dcmi_pool_grow(dcmi_pool *pool, dcmi_region *region, uint64_t pages, uint64_t align_pages);

/* Gives free memory of a region back, at least `bytes` if there is that much (largest spans first), at most it where
 * memory is divisible. Returns what went; *failed is the last result of the driver that was not DCMEM_OK. */
uint64_t dcmi_pool_shrink(dcmi_pool *pool, dcmi_region *region, uint64_t bytes, dcmem_result *failed);

/* Gives up to `bytes` of free memory back that lies in pieces, before a growth: not the end that would grow. */
uint64_t dcmi_pool_recycle(dcmi_pool *pool, dcmi_region *region, uint64_t bytes);

/* The segment that a block or slab lies in. */
dcmi_segment *dcmi_pool_segment(dcmi_pool *pool, uint32_t index);

/* At the end: everything goes back, live or not. */
dcmem_result dcmi_pool_release_all(dcmi_pool *pool);

/* ---- flow.c: blocks between magazines, depot and regions ---- */

/* Gives blocks back to their regions. */
void dcmi_pool_give_blocks(dcmi_pool *pool, const uint64_t *blocks, unsigned count);

/* Takes `count` blocks from the `first` oldest on out of a magazine. */
void dcmi_magazine_remove(uint64_t *out, dcmi_magazine *magazine, uint32_t first, uint32_t count);

/* Gives what one cache (exclusively owned) holds of small or of large blocks to their regions: all of it, or all
 * but the newest blocks of each magazine. Returns the bytes. */
uint64_t dcmi_pool_flush_cache(dcmi_pool *pool, dcmi_cache *cache, bool small, bool large, bool keeps_newest);

/* The same of the depot; `surplus_only` takes what the last interval did not need. */
uint64_t dcmi_pool_flush_depot(dcmi_pool *pool, bool small, bool large, bool surplus_only);

/* Takes the blocks of every thread's cache, the depot and the empty slabs back into the regions. Returns the bytes. */
uint64_t dcmi_pool_reclaim(dcmi_pool *pool);

/* Reclaims and gives free memory back to the driver until at most `keep_bytes` are free in all of the root's pools. */
uint64_t dcmi_pool_trim(dcmi_pool *root, uint64_t keep_bytes, dcmem_result *failed);

/* One step of the same, at most about `bytes`; 0 when nothing is left to give back. */
uint64_t dcmi_pool_trim_step(dcmi_pool *root, uint64_t bytes, dcmem_result *failed);

/* Bytes that the regions have given out: live, in magazines, in the depot; and those in the depot alone. */
uint64_t dcmi_pool_out_bytes(const dcmi_pool *pool);
uint64_t dcmi_pool_depot_bytes(const dcmi_pool *pool);

/* Pages of the longest run that was ever given out. */
uint64_t dcmi_pool_longest_run(const dcmi_pool *pool);

/* Free bytes that need no driver call, of one pool, caches not counted; the largest of them if asked. */
uint64_t dcmi_pool_free_bytes(dcmi_pool *pool, uint64_t *out_largest);

/* ---- figures.c ---- */

uint64_t dcmi_pool_used(dcmi_pool *root);
void dcmi_pool_note_peak(dcmi_pool *pool);
void dcmi_pool_snapshot(dcmem_stats *out, dcmi_pool *root);
void dcmi_pool_reset_peaks(dcmi_pool *root);
void dcmi_pool_retire(dcmi_pool *pool, const dcmi_cache *cache);

/* used + cached + free = reserved, while no thread works. */
dcmem_result dcmi_pool_check_figures(dcmi_pool *root);

/* Which of the limits a failed request met and who holds the memory, into the detail; returns `result`. */
dcmem_result dcmi_pool_report(dcmi_pool *pool, dcmem_result result, uint64_t bytes);

/* ---- registry.c ---- */

/* A free index for a pool; its handle is set. The pool is found by its handle from then on. */
dcmem_result dcmi_registry_add(dcmi_pool *pool);
void dcmi_registry_remove(dcmi_pool *pool);

/* Calls for every root pool, with the registry's lock held: nothing may be called out. */
void dcmi_registry_each(void (*visit)(dcmi_pool *root, void *user), void *user);
void dcmi_registry_lock(void);
void dcmi_registry_unlock(void);

/* Keeps a pool from ending while the maintenance works on it without the registry's lock. NULL past the last. */
dcmi_pool *dcmi_registry_borrow_next(uint32_t *cursor);
void dcmi_registry_return(dcmi_pool *root);

/* ---- maintain.c ---- */

/* One round for a root pool and those below it. */
dcmem_result dcmi_pool_maintain(dcmi_pool *root);

/* The process's maintenance thread learns that there is a pool, or an interval, more. */
void dcmi_maintenance_wake(void);

/* ---- fork.c ---- */

enum dcmi_fork { DCMI_FORK_PREPARE, DCMI_FORK_PARENT, DCMI_FORK_CHILD };

void dcmi_maintenance_fork(enum dcmi_fork when);
void dcmi_registry_forget_borrowers(void);
void dcmi_fork_prepare_once(void);

#endif
