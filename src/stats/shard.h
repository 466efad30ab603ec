/* shard.h: where counts are kept: padded shards that threads share few to one, and histograms in them.
 *
 * Slow paths add with a relaxed fetch_add to the shard of their thread's number: rarely contended, never lost. The
 * hot paths do not come here: they count in their thread's cache with plain stores (pool/cache.h). */
#ifndef DCMI_SHARD_H
#define DCMI_SHARD_H

#include <dcmem/stats.h>
#include <stdatomic.h>

enum dcmi_counter {
#define DCMEM_X(name, unit, help) DCMI_COUNTER_##name,
    DCMEM_STATS_COUNTERS(DCMEM_X)
#undef DCMEM_X
        DCMI_COUNTER_COUNT
};

enum dcmi_histogram_id {
#define DCMEM_X(name, unit, help) DCMI_HISTOGRAM_##name,
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
        DCMI_HISTOGRAM_COUNT
};

typedef struct dcmi_histogram {
    _Atomic uint64_t sum;
    _Atomic uint64_t minimum_inverted; /* ~minimum, so that zero means none */
    _Atomic uint64_t maximum;
    _Atomic uint64_t buckets[DCMEM_STATS_BUCKETS]; /* the count is their sum */
} dcmi_histogram;

typedef struct dcmi_shard {
    _Alignas(128) _Atomic uint64_t counters[DCMI_COUNTER_COUNT];
    dcmi_histogram histograms[DCMI_HISTOGRAM_COUNT];
} dcmi_shard;

static inline void
dcmi_shard_add(dcmi_shard *shard, enum dcmi_counter counter, uint64_t n)
{
    atomic_fetch_add_explicit(&shard->counters[counter], n, memory_order_relaxed);
}

/* Which bucket counts `value`: pure. */
unsigned dcmi_histogram_bucket(uint64_t value);

/* The largest value of a bucket. */
uint64_t dcmi_histogram_bucket_end(unsigned bucket);

void dcmi_shard_record(dcmi_shard *shard, enum dcmi_histogram_id histogram, uint64_t value);

/* The same for a sampled value that stands for `n`. */
void dcmi_shard_record_many(dcmi_shard *shard, enum dcmi_histogram_id histogram, uint64_t value, uint64_t n);

/* Adds a shard's histograms to a snapshot's; the snapshot's are consistent in themselves. */
void dcmi_shard_add_histograms(dcmem_stats *to, const dcmi_shard *shard);

/* Adds `n` values of about `value` to a histogram of a snapshot. */
void dcmi_histogram_add(dcmem_histogram *to, uint64_t value, uint64_t n);

/* Sets what follows from the rest: the ratios. Pure. */
void dcmi_stats_derive(dcmem_stats *stats);

#endif
