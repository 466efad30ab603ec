/* dcmem/stats.h: what a manager did and holds: one snapshot, one list of figures.
 *
 * Counters only rise and are exact once the threads are quiet; while they run a snapshot is never torn and
 * used <= reserved holds in every one (what is still in flight is clamped and told in clamped_bytes). Every figure
 * below is expanded from an X list, so struct, JSON and table always agree. */
#ifndef DCMEM_STATS_H
#define DCMEM_STATS_H

#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* name, unit, help. Counters: they only rise, until dcmem_manager_clear(). */
#define DCMEM_STATS_COUNTERS(X)                                                                                        \
    X(allocations, "1", "Allocations that succeeded")                                                                  \
    X(frees, "1", "Allocations that were freed")                                                                       \
    X(allocated_bytes, "By", "Bytes allocated, after rounding to the size class")                                      \
    X(freed_bytes, "By", "Bytes freed, after rounding to the size class")                                              \
    X(requested_bytes, "By", "Bytes allocated, as the callers asked for them")                                         \
    X(failed_allocations, "1", "Allocations that failed")                                                              \
    X(failed_bytes, "By", "Bytes asked for by allocations that failed")                                                \
    X(pool_hits, "1", "Requests served from memory held, without the driver")                                          \
    X(pool_misses, "1", "Requests that needed the driver")                                                             \
    X(magazine_hits, "1", "Requests served from the thread's own magazine")                                            \
    X(depot_hits, "1", "Requests served by a batch from the depot")                                                    \
    X(fit_hits, "1", "Requests served by the good-fit layer")                                                          \
    X(flushes, "1", "Times cached blocks were merged before growing")                                                  \
    X(reclaims, "1", "Times memory was taken back from other threads' caches")                                         \
    X(reclaimed_bytes, "By", "Bytes taken back from other threads' caches")                                            \
    X(callbacks, "1", "Times the out-of-memory callback was called")                                                   \
    X(retries, "1", "Allocations that succeeded only after memory was reclaimed")                                      \
    X(out_of_memory_fragmented, "1", "Failures with enough free memory, in pieces")                                    \
    X(out_of_memory_full, "1", "Failures with too little free memory")                                                 \
    X(trims, "1", "Times free memory went back to the driver")                                                         \
    X(trimmed_bytes, "By", "Bytes that went back to the driver")                                                       \
    X(driver_acquires, "1", "Acquire calls to the driver")                                                             \
    X(driver_releases, "1", "Release calls to the driver")                                                             \
    X(driver_errors, "1", "Driver calls that failed")                                                                  \
    X(acquired_bytes, "By", "Bytes acquired from the driver")                                                          \
    X(released_bytes, "By", "Bytes released to the driver")                                                            \
    X(copies_host_to_device, "1", "Copies from host to device")                                                        \
    X(copies_device_to_host, "1", "Copies from device to host")                                                        \
    X(copies_device_to_device, "1", "Copies within a device or between devices")                                       \
    X(copies_host_to_host, "1", "Copies within host memory")                                                           \
    X(copied_host_to_device_bytes, "By", "Bytes copied from host to device")                                           \
    X(copied_device_to_host_bytes, "By", "Bytes copied from device to host")                                           \
    X(copied_device_to_device_bytes, "By", "Bytes copied within a device or between devices")                          \
    X(copied_host_to_host_bytes, "By", "Bytes copied within host memory")                                              \
    X(copies_queued, "1", "Copies, or parts of copies, that a queue of the driver made")                               \
    X(copies_by_peer, "1", "The same that went directly from one device to another")                                   \
    X(copies_mapped, "1", "The same that the host made, in memory that was mapped for it or that it could touch")      \
    X(copies_wide, "1", "The same by several threads")                                                                 \
    X(copies_staged, "1", "The same that went through page-locked memory in between")                                  \
    X(copy_errors, "1", "Copies that failed")                                                                          \
    X(copies_avoided, "1", "Copies that were not needed because the side was current or about to be overwritten")      \
    X(copies_avoided_bytes, "By", "Bytes of such copies")                                                              \
    X(fills, "1", "Fills")                                                                                             \
    X(filled_bytes, "By", "Bytes filled")                                                                              \
    X(buffers_created, "1", "Buffers created")                                                                         \
    X(buffers_destroyed, "1", "Buffers destroyed")                                                                     \
    X(accesses, "1", "Accesses opened")                                                                                \
    X(access_conflicts, "1", "Accesses refused or delayed by another access")                                          \
    X(queue_frees, "1", "Blocks freed on a queue")                                                                     \
    X(queue_reuses, "1", "Blocks given out again on the queue they were freed on, before its work was done")           \
    X(queue_markers, "1", "Markers put on queues")                                                                     \
    X(queue_waits, "1", "Times somebody waited for a queue")                                                           \
    X(maintenance_rounds, "1", "Rounds of the background upkeep")                                                      \
    X(guard_findings, "1", "Damaged blocks that guards found")

/* Gauges: as they are now. */
#define DCMEM_STATS_GAUGES(X)                                                                                          \
    X(used_bytes, "By", "Bytes in live allocations, after rounding to the size class")                                 \
    X(live_requested_bytes, "By", "Bytes in live allocations, as the callers asked for them")                          \
    X(reserved_bytes, "By", "Bytes held from the driver")                                                              \
    X(used_peak_bytes, "By", "Highest used bytes since start or the last reset of peaks")                              \
    X(reserved_peak_bytes, "By", "Highest reserved bytes since start or the last reset of peaks")                      \
    X(thread_cache_bytes, "By", "Free bytes in the magazines of threads")                                              \
    X(depot_bytes, "By", "Free bytes in the depot")                                                                    \
    X(free_bytes, "By", "Free bytes in the good-fit layer and in slabs")                                               \
    X(slab_free_bytes, "By", "Free bytes in slabs, where only blocks of the slab's size fit")                          \
    X(largest_free_bytes, "By", "Largest free block that needs no driver call")                                        \
    X(imported_bytes, "By", "Bytes of the callers' own memory in use")                                                 \
    X(host_side_bytes, "By", "Bytes of host memory that shadow device memory")                                         \
    X(pending_bytes, "By", "Bytes freed on queues whose work is not done; used bytes count them, too")                 \
    X(staging_bytes, "By", "Bytes of host memory that copies are staged through; used bytes count them, too")          \
    X(metadata_bytes, "By", "Bytes of the library's own bookkeeping")                                                  \
    X(quarantined_bytes, "By", "Freed bytes that guards hold back, neither used nor free")                             \
    X(limit_bytes, "By", "The hard limit; 0: none")                                                                    \
    X(live_allocations, "1", "Allocations not yet freed")                                                              \
    X(live_buffers, "1", "Buffers not yet destroyed")                                                                  \
    X(segments, "1", "Segments held from the driver")                                                                  \
    X(threads, "1", "Threads that have a cache")                                                                       \
    X(clamped_bytes, "By", "Bytes in flight during the snapshot, left out of used_bytes")                              \
    X(maintenance_age, "1", "Rounds of upkeep since start: the unit of ages")

/* Ratios, derived from the above; 0 where the divisor is 0. */
#define DCMEM_STATS_RATIOS(X)                                                                                          \
    X(hit_rate, "pool_hits / (pool_hits + pool_misses)")                                                               \
    X(internal_fragmentation, "1 - live_requested_bytes / used_bytes")                                                 \
    X(external_fragmentation, "1 - largest_free_bytes / (reserved_bytes - used_bytes)")                                \
    X(reuse_ratio, "freed_bytes / allocated_bytes")                                                                    \
    X(average_allocation_bytes, "requested_bytes / allocations")                                                       \
    X(average_allocation_ns, "mean of the allocate latency histogram")                                                 \
    X(average_free_ns, "mean of the free latency histogram")                                                           \
    X(average_copy_ns, "mean of the copy latency histogram")

/* Histograms: base 2, scale 2: four buckets an octave (OpenTelemetry's exponential histogram at scale 2).
 * Bucket i counts values in (2^(i/4), 2^((i+1)/4)], bucket 0 also everything up to 1. */
#define DCMEM_STATS_HISTOGRAMS(X)                                                                                      \
    X(allocation_size, "By", "Sizes asked for; hits are sampled by class")                                             \
    X(allocate_latency, "ns", "Time to allocate; sampled: hits one in 1024")                                           \
    X(free_latency, "ns", "Time to free; sampled: hits one in 1024")                                                   \
    X(copy_latency, "ns", "Time to copy; sampled: below 256 KiB within the CPU's memory, one in 61")                   \
    X(driver_latency, "ns", "Time of driver calls")

#define DCMEM_STATS_BUCKETS 192u
#define DCMEM_STATS_CLASSES 256u

typedef struct dcmem_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t minimum; /* of what was recorded since start; 0 when empty */
    uint64_t maximum;
    uint64_t buckets[DCMEM_STATS_BUCKETS];
} dcmem_histogram;

/* One size class. */
#define DCMEM_STATS_CLASS_FIELDS(X)                                                                                    \
    X(block_bytes, "Size of a block")                                                                                  \
    X(allocations, "Allocations from it")                                                                              \
    X(frees, "Blocks given back to it")                                                                                \
    X(live, "Blocks in use")                                                                                           \
    X(cached, "Free blocks in magazines and the depot")                                                                \
    X(waste_bytes, "Bytes lost to rounding in live blocks")

typedef struct dcmem_class_stats {
#define DCMEM_X(name, help) uint64_t name;
    DCMEM_STATS_CLASS_FIELDS(DCMEM_X)
#undef DCMEM_X
} dcmem_class_stats;

/* One tag; tag 0 is everything without one. */
#define DCMEM_STATS_TAG_FIELDS(X)                                                                                      \
    X(allocations, "Buffers created with the tag")                                                                     \
    X(frees, "Buffers with the tag destroyed")                                                                         \
    X(live_bytes, "Bytes in live buffers with the tag")                                                                \
    X(peak_bytes, "Highest live bytes since start or the last reset of peaks")

typedef struct dcmem_tag_stats {
#define DCMEM_X(name, help) uint64_t name;
    DCMEM_STATS_TAG_FIELDS(DCMEM_X)
#undef DCMEM_X
} dcmem_tag_stats;

/* About 16 KiB: keep it off small stacks. */
typedef struct dcmem_stats {
    size_t size; /* sizeof(dcmem_stats), set by the caller */
#define DCMEM_X(name, unit, help) uint64_t name;
    DCMEM_STATS_COUNTERS(DCMEM_X)
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, formula) double name;
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, unit, help) dcmem_histogram name;
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    uint32_t class_count;
    uint32_t tag_count;
    dcmem_class_stats classes[DCMEM_STATS_CLASSES]; /* class_count of them, sizes rising */
    dcmem_tag_stats tags[DCMEM_TAG_LIMIT];          /* tag_count of them, by tag */
} dcmem_stats;

/* Takes a snapshot: independent of the manager from then on. `out->size` is set by the caller.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_stats_snapshot(dcmem_stats *out, dcmem_manager *manager);

/* Sets the peaks to what is used and reserved now.
 * Threads: any. Errors: DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_stats_reset_peaks(dcmem_manager *manager);

/* The value below which `fraction` (0 to 1) of a histogram's values lie, interpolated within its bucket; 0 when empty.
 * Threads: any. Errors: none. */
DCMEM_API double dcmem_histogram_quantile(const dcmem_histogram *histogram, double fraction);

/* Prints a snapshot as JSON, or as a table for people, into `text` of `capacity` bytes, always ending in NUL.
 * `out_bytes` (may be NULL) is the whole text's length without the NUL; where it is not below capacity the text was
 * cut. `text` may be NULL when capacity is 0.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_stats_print_json(char *text, size_t capacity, size_t *out_bytes, const dcmem_stats *stats);
DCMEM_API dcmem_result dcmem_stats_print_table(char *text, size_t capacity, size_t *out_bytes,
                                               const dcmem_stats *stats);

DCMEM_END
#endif
