/* shard.c: histograms of base 2, scale 2, in the shards that threads count in, and how snapshots are made of them.
 *
 * A bucket's bounds are 2^(i/4). Three of four are irrational, so no integer ever lies on them, and comparing a
 * value's leading 64 bits with the integer part of the bound decides exactly, without floating point.
 *
 * A recording writes its bucket last, with release; a snapshot reads the buckets first, with acquire. So whatever a
 * snapshot counts is within its minimum and maximum and part of its sum; only the sum may hold a few values more, and
 * is clamped to what the count allows. */
#include "stats/shard.h"

#include "base/size.h"

#define STEPS 4u
#define LAST  (DCMEM_STATS_BUCKETS - 1)

/* The integer parts of 2^(63 + 1/4), 2^(63 + 2/4), 2^(63 + 3/4). */
static const uint64_t bounds[STEPS - 1] = {10968499650544839023u, 13043817825332782212u, 15511800964685064948u};

unsigned
dcmi_histogram_bucket(uint64_t value)
{
    if (value <= 1)
        return 0;
    unsigned octave = dcmi_log2(value);
    uint64_t leading = value << (63 - octave);
    unsigned bucket = octave * STEPS;
    if (leading == 1ull << 63)
        bucket--; /* a power of two is the upper bound of the octave before */
    for (unsigned i = 0; i < STEPS - 1; i++)
        bucket += leading > bounds[i];
    return bucket < LAST ? bucket : LAST;
}

uint64_t
dcmi_histogram_bucket_end(unsigned bucket)
{
    /* What is too large for any other bucket is counted in the last. */
    if (bucket >= LAST)
        return UINT64_MAX;
    unsigned octave = (bucket + 1) / STEPS, step = (bucket + 1) % STEPS;
    return step == 0 ? 1ull << octave : bounds[step - 1] >> (63 - octave);
}

static void
raise_to(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    while (old < value &&
           !atomic_compare_exchange_weak_explicit(word, &old, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void
dcmi_shard_record(dcmi_shard *shard, enum dcmi_histogram_id id, uint64_t value)
{
    dcmi_shard_record_many(shard, id, value, 1);
}

void
dcmi_shard_record_many(dcmi_shard *shard, enum dcmi_histogram_id id, uint64_t value, uint64_t n)
{
    dcmi_histogram *histogram = &shard->histograms[id];
    atomic_fetch_add_explicit(&histogram->sum, value * n, memory_order_relaxed);
    raise_to(&histogram->minimum_inverted, ~value);
    raise_to(&histogram->maximum, value);
    atomic_fetch_add_explicit(&histogram->buckets[dcmi_histogram_bucket(value)], n, memory_order_release);
}

static uint64_t
saturated_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return dcmi_size_add(&sum, a, b) ? sum : UINT64_MAX;
}

static uint64_t
saturated_product(uint64_t a, uint64_t b)
{
    uint64_t product;
    return dcmi_size_mul(&product, a, b) ? product : UINT64_MAX;
}

/* Joins what a source holds in total; its buckets have been added already, and count says how many values. */
static void
join_totals(dcmem_histogram *to, uint64_t count, uint64_t sum, uint64_t minimum, uint64_t maximum)
{
    if (count == 0)
        return;
    sum = dcmi_max(sum, saturated_product(count, minimum));
    sum = dcmi_min(sum, saturated_product(count, maximum));
    to->minimum = to->count ? dcmi_min(to->minimum, minimum) : minimum;
    to->maximum = dcmi_max(to->maximum, maximum);
    to->sum = saturated_sum(to->sum, sum);
    to->count += count;
}

static void
join(dcmem_histogram *to, const dcmi_histogram *from)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < DCMEM_STATS_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&from->buckets[i], memory_order_acquire);
        to->buckets[i] += n;
        count += n;
    }
    join_totals(to, count, atomic_load_explicit(&from->sum, memory_order_relaxed),
                ~atomic_load_explicit(&from->minimum_inverted, memory_order_relaxed),
                atomic_load_explicit(&from->maximum, memory_order_relaxed));
}

void
dcmi_shard_add_histograms(dcmem_stats *to, const dcmi_shard *shard)
{
#define DCMEM_X(name, unit, help) join(&to->name, &shard->histograms[DCMI_HISTOGRAM_##name]);
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
}

void
dcmi_histogram_add(dcmem_histogram *to, uint64_t value, uint64_t n)
{
    to->buckets[dcmi_histogram_bucket(value)] += n;
    join_totals(to, n, saturated_product(value, n), value, value);
}
