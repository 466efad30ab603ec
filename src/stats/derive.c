/* derive.c: what follows from the figures of a snapshot: ratios, means, quantiles. Pure.
 *
 * Every divisor may be 0 and, in a snapshot of running threads, a part may be a little more than its whole. The
 * results are numbers all the same: never NaN, never infinite, fractions within 0 and 1. */
#include "stats/shard.h"

#include "base/size.h"

#define STEPS 4u

static double
ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0.0;
}

/* 1 - part / whole, for a part that belongs to the whole. */
static double
remainder_ratio(uint64_t part, uint64_t whole)
{
    return ratio(dcmi_less(whole, part), whole);
}

static double
mean(const dcmem_histogram *histogram)
{
    return ratio(histogram->sum, histogram->count);
}

void
dcmi_stats_derive(dcmem_stats *stats)
{
    uint64_t requests = stats->pool_hits + stats->pool_misses;
    uint64_t free_bytes = dcmi_less(stats->reserved_bytes, stats->used_bytes);

    stats->hit_rate = ratio(stats->pool_hits, requests);
    stats->internal_fragmentation = remainder_ratio(stats->live_requested_bytes, stats->used_bytes);
    stats->external_fragmentation = remainder_ratio(stats->largest_free_bytes, free_bytes);
    stats->reuse_ratio = ratio(stats->freed_bytes, stats->allocated_bytes);
    stats->average_allocation_bytes = ratio(stats->requested_bytes, stats->allocations);
    stats->average_allocation_ns = mean(&stats->allocate_latency);
    stats->average_free_ns = mean(&stats->free_latency);
    stats->average_copy_ns = mean(&stats->copy_latency);
}

/* 2^(quarters / 4), without the mathematics library. */
static double
power_of_quarter(unsigned quarters)
{
    static const double steps[STEPS] = {1.0, 1.1892071150027210667, 1.4142135623730950488, 1.6817928305074290861};
    return (double)(1ull << quarters / STEPS) * steps[quarters % STEPS];
}

static double
clamp(double value, double least, double most)
{
    /* Written so that a NaN becomes `least`. */
    return value > least ? (value < most ? value : most) : least;
}

double
dcmem_histogram_quantile(const dcmem_histogram *histogram, double fraction)
{
    if (!histogram || histogram->count == 0)
        return 0.0;

    double rank = clamp(fraction, 0.0, 1.0) * (double)histogram->count;
    double below = 0.0;
    for (unsigned i = 0; i < DCMEM_STATS_BUCKETS; i++) {
        double inside = (double)histogram->buckets[i];
        if (inside == 0.0 || below + inside < rank) {
            below += inside;
            continue;
        }
        /* Whatever is too large for the others is in the last bucket, so its end is the maximum. */
        double begin = i ? power_of_quarter(i) : 0.0;
        double end = i < DCMEM_STATS_BUCKETS - 1 ? power_of_quarter(i + 1) : (double)histogram->maximum;
        double value = begin + (end - begin) * ((rank - below) / inside);
        return clamp(value, (double)histogram->minimum, (double)histogram->maximum);
    }
    return (double)histogram->maximum;
}
