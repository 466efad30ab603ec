/* histogram_test.c: which bucket counts what, exactly; how shards become snapshots; quantiles. */
#include "stats/shard.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define LAST (DCMEM_STATS_BUCKETS - 1)

/* The definition, in more digits than 48 bits of value need: the bucket whose upper bound is the first not below. */
static unsigned
bucket_by_definition(uint64_t value)
{
    static long double ends[DCMEM_STATS_BUCKETS];
    for (unsigned i = 0; ends[LAST] == 0.0L; i++)
        ends[i] = powl(2.0L, (long double)(i + 1) / 4.0L);
    unsigned bucket = 0;
    while (bucket < LAST && (long double)value > ends[bucket])
        bucket++;
    return bucket;
}

TEST(bucket__of_every_value_beside_a_boundary_is_what_the_definition_says)
{
    for (unsigned quarters = 0; quarters < 4 * 48; quarters++) {
        uint64_t bound = (uint64_t)floorl(powl(2.0L, (long double)quarters / 4.0L));
        for (uint64_t value = bound > 3 ? bound - 3 : 0; value <= bound + 3; value++)
            EXPECT_EQ(dcmi_histogram_bucket(value), bucket_by_definition(value));
    }
}

TEST(bucket__of_each_of_the_first_hundred_thousand_values_is_what_the_definition_says)
{
    for (uint64_t value = 0; value < 100000; value++)
        EXPECT_EQ(dcmi_histogram_bucket(value), bucket_by_definition(value));
}

TEST(bucket__never_falls_as_values_rise_up_to_the_largest)
{
    unsigned before = 0;
    for (unsigned octave = 0; octave < 64; octave++)
        for (unsigned step = 0; step < 64; step++) {
            uint64_t value = (1ull << octave) + (octave >= 6 ? (1ull << (octave - 6)) * step : 0);
            unsigned bucket = dcmi_histogram_bucket(value);
            EXPECT_GE(bucket, before);
            EXPECT_LE(bucket, LAST);
            before = bucket;
        }
    EXPECT_EQ(dcmi_histogram_bucket(UINT64_MAX), LAST);
    EXPECT_EQ(dcmi_histogram_bucket(1ull << 48), LAST);
    EXPECT_EQ(dcmi_histogram_bucket(0), 0);
    EXPECT_EQ(dcmi_histogram_bucket(1), 0);
    EXPECT_EQ(dcmi_histogram_bucket(2), 3);
}

TEST(bucket_end__is_the_last_value_of_its_bucket_and_the_next_value_is_not)
{
    for (unsigned bucket = 0; bucket < LAST; bucket++) {
        uint64_t end = dcmi_histogram_bucket_end(bucket);
        EXPECT_LE(dcmi_histogram_bucket(end), bucket);
        EXPECT(dcmi_histogram_bucket(end + 1) > bucket);
    }
    EXPECT(dcmi_histogram_bucket_end(LAST) == UINT64_MAX);
}

static dcmi_shard *
new_shard(void)
{
    dcmi_shard *shard = aligned_alloc(_Alignof(dcmi_shard), sizeof *shard);
    EXPECT(shard);
    memset(shard, 0, sizeof *shard);
    return shard;
}

static dcmem_stats *
new_stats(void)
{
    dcmem_stats *stats = calloc(1, sizeof *stats);
    EXPECT(stats);
    stats->size = sizeof *stats;
    return stats;
}

TEST(record__shows_count_sum_minimum_and_maximum_in_the_snapshot)
{
    dcmi_shard *shard = new_shard();
    dcmem_stats *stats = new_stats();

    dcmi_shard_record(shard, DCMI_HISTOGRAM_copy_latency, 1000);
    dcmi_shard_record(shard, DCMI_HISTOGRAM_copy_latency, 7);
    dcmi_shard_record(shard, DCMI_HISTOGRAM_copy_latency, 300);
    dcmi_shard_add_histograms(stats, shard);

    EXPECT_EQ(stats->copy_latency.count, 3);
    EXPECT_EQ(stats->copy_latency.sum, 1307);
    EXPECT_EQ(stats->copy_latency.minimum, 7);
    EXPECT_EQ(stats->copy_latency.maximum, 1000);
    EXPECT_EQ(stats->copy_latency.buckets[dcmi_histogram_bucket(300)], 1);
    EXPECT_EQ(stats->free_latency.count, 0);
    EXPECT_EQ(stats->free_latency.minimum, 0);
    free(stats);
    free(shard);
}

TEST(snapshot__of_several_shards_is_their_sum)
{
    dcmi_shard *a = new_shard(), *b = new_shard(), *empty = new_shard();
    dcmem_stats *stats = new_stats();

    dcmi_shard_record(a, DCMI_HISTOGRAM_allocate_latency, 0);
    dcmi_shard_record(a, DCMI_HISTOGRAM_allocate_latency, 50);
    dcmi_shard_record(b, DCMI_HISTOGRAM_allocate_latency, UINT64_MAX);
    dcmi_shard_add_histograms(stats, empty);
    dcmi_shard_add_histograms(stats, a);
    EXPECT_EQ(stats->allocate_latency.minimum, 0);
    EXPECT_EQ(stats->allocate_latency.maximum, 50);
    dcmi_shard_add_histograms(stats, b);
    dcmi_shard_add_histograms(stats, empty);

    EXPECT_EQ(stats->allocate_latency.count, 3);
    EXPECT_EQ(stats->allocate_latency.minimum, 0);
    EXPECT(stats->allocate_latency.maximum == UINT64_MAX);
    EXPECT(stats->allocate_latency.sum == UINT64_MAX);
    free(stats);
    free(a);
    free(b);
    free(empty);
}

TEST(add__of_many_equal_values_is_as_if_each_was_recorded)
{
    dcmem_histogram histogram = {0};
    dcmi_histogram_add(&histogram, 64, 1000);
    dcmi_histogram_add(&histogram, 4096, 10);
    dcmi_histogram_add(&histogram, 9, 0);

    EXPECT_EQ(histogram.count, 1010);
    EXPECT_EQ(histogram.sum, 64 * 1000 + 4096 * 10);
    EXPECT_EQ(histogram.minimum, 64);
    EXPECT_EQ(histogram.maximum, 4096);
    EXPECT_EQ(histogram.buckets[dcmi_histogram_bucket(64)], 1000);
}

TEST(add__saturates_instead_of_wrapping)
{
    dcmem_histogram histogram = {0};
    dcmi_histogram_add(&histogram, UINT64_MAX / 2, 1000);
    dcmi_histogram_add(&histogram, 1, 1);
    EXPECT(histogram.sum == UINT64_MAX);
}

typedef struct recorder {
    dcmi_shard *shard;
    uint64_t count;
    _Atomic int *running;
} recorder;

static void *
record_many(void *pointer)
{
    recorder *me = pointer;
    for (uint64_t i = 0; i < me->count; i++)
        dcmi_shard_record(me->shard, DCMI_HISTOGRAM_driver_latency, 100 + i % 900);
    atomic_fetch_sub(me->running, 1);
    return NULL;
}

TEST(snapshot__is_consistent_while_threads_record_and_exact_afterwards)
{
    _Atomic int running = 2;
    dcmi_shard *shard = new_shard();
    recorder me = {shard, 90000, &running};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, &me), 0);

    while (atomic_load(&running) > 0) {
        dcmem_stats *stats = new_stats();
        dcmi_shard_add_histograms(stats, shard);
        const dcmem_histogram *seen = &stats->driver_latency;
        EXPECT(seen->sum >= seen->count * seen->minimum && seen->sum <= seen->count * seen->maximum);
        free(stats);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);

    dcmem_stats *stats = new_stats();
    dcmi_shard_add_histograms(stats, shard);
    EXPECT_EQ(stats->driver_latency.count, 2 * 90000);
    EXPECT_EQ(stats->driver_latency.sum, 2 * (90000 / 900) * (100 + 999) * 900 / 2);
    EXPECT_EQ(stats->driver_latency.minimum, 100);
    EXPECT_EQ(stats->driver_latency.maximum, 999);
    free(stats);
    free(shard);
}

/* ---- Quantiles ---- */

static int
is_near(double value, double wanted, double tolerance)
{
    return value >= wanted * (1 - tolerance) && value <= wanted * (1 + tolerance);
}

TEST(quantile__of_an_empty_histogram_is_zero)
{
    dcmem_histogram histogram = {0};
    EXPECT(dcmem_histogram_quantile(&histogram, 0.5) == 0.0);
    EXPECT(dcmem_histogram_quantile(NULL, 0.5) == 0.0);
}

TEST(quantile__of_one_value_is_that_value)
{
    dcmem_histogram histogram = {0};
    dcmi_histogram_add(&histogram, 777, 5);
    for (int i = 0; i <= 10; i++)
        EXPECT(dcmem_histogram_quantile(&histogram, i / 10.0) == 777.0);
}

TEST(quantile__of_evenly_spread_values_is_within_a_bucket_width)
{
    dcmem_histogram histogram = {0};
    for (uint64_t value = 1; value <= 10000; value++)
        dcmi_histogram_add(&histogram, value, 1);
    for (int percent = 1; percent < 100; percent++)
        EXPECT(is_near(dcmem_histogram_quantile(&histogram, percent / 100.0), percent * 100.0, 0.19));
    EXPECT(dcmem_histogram_quantile(&histogram, 0.0) == 1.0);
    EXPECT(dcmem_histogram_quantile(&histogram, 1.0) == 10000.0);
}

TEST(quantile__takes_fractions_outside_of_0_to_1_as_the_ends)
{
    dcmem_histogram histogram = {0};
    dcmi_histogram_add(&histogram, 10, 1);
    dcmi_histogram_add(&histogram, 1000, 1);
    EXPECT(dcmem_histogram_quantile(&histogram, -3.0) == 10.0);
    EXPECT(dcmem_histogram_quantile(&histogram, 7.0) == 1000.0);
    EXPECT(dcmem_histogram_quantile(&histogram, NAN) == 10.0);
}

TEST(quantile__in_the_last_bucket_reaches_the_maximum)
{
    dcmem_histogram histogram = {0};
    dcmi_histogram_add(&histogram, 1ull << 60, 4);
    dcmi_histogram_add(&histogram, 1ull << 47, 1);
    EXPECT(dcmem_histogram_quantile(&histogram, 1.0) == (double)(1ull << 60));
    EXPECT(dcmem_histogram_quantile(&histogram, 0.6) > (double)(1ull << 48));
}

TEST(quantile__of_a_histogram_whose_count_exceeds_its_buckets_is_the_maximum)
{
    dcmem_histogram histogram = {.count = 100, .maximum = 5};
    histogram.buckets[0] = 1;
    EXPECT(dcmem_histogram_quantile(&histogram, 0.99) == 5.0);
}
