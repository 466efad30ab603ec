/* derive_test.c: ratios follow from the figures and are numbers whatever the figures are. */
#include "stats/shard.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static int
is_near(double value, double wanted)
{
    return fabs(value - wanted) < 1e-9;
}

static dcmem_stats *
new_stats(void)
{
    dcmem_stats *stats = calloc(1, sizeof *stats);
    EXPECT(stats);
    stats->size = sizeof *stats;
    return stats;
}

TEST(derive__gives_zero_for_every_ratio_of_an_empty_snapshot)
{
    dcmem_stats *stats = new_stats();
#define DCMEM_X(name, formula) stats->name = NAN;
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
    dcmi_stats_derive(stats);
#define DCMEM_X(name, formula) EXPECT(stats->name == 0.0);
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
    free(stats);
}

TEST(derive__follows_the_formulas)
{
    dcmem_stats *stats = new_stats();
    stats->pool_hits = 3;
    stats->pool_misses = 1;
    stats->used_bytes = 1000;
    stats->live_requested_bytes = 900;
    stats->reserved_bytes = 5000;
    stats->largest_free_bytes = 1000;
    stats->allocated_bytes = 8000;
    stats->freed_bytes = 6000;
    stats->requested_bytes = 7000;
    stats->allocations = 70;
    dcmi_histogram_add(&stats->allocate_latency, 10, 3);
    dcmi_histogram_add(&stats->allocate_latency, 50, 1);
    dcmi_histogram_add(&stats->free_latency, 8, 2);
    dcmi_histogram_add(&stats->copy_latency, 900, 1);

    dcmi_stats_derive(stats);

    EXPECT(is_near(stats->hit_rate, 0.75));
    EXPECT(is_near(stats->internal_fragmentation, 0.1));
    EXPECT(is_near(stats->external_fragmentation, 0.75));
    EXPECT(is_near(stats->reuse_ratio, 0.75));
    EXPECT(is_near(stats->average_allocation_bytes, 100));
    EXPECT(is_near(stats->average_allocation_ns, 20));
    EXPECT(is_near(stats->average_free_ns, 8));
    EXPECT(is_near(stats->average_copy_ns, 900));
    free(stats);
}

TEST(derive__stays_within_0_and_1_where_parts_in_flight_exceed_their_whole)
{
    dcmem_stats *stats = new_stats();
    stats->used_bytes = 100;
    stats->live_requested_bytes = 200;
    stats->reserved_bytes = 150;
    stats->largest_free_bytes = 5000;
    dcmi_stats_derive(stats);
    EXPECT(stats->internal_fragmentation == 0.0);
    EXPECT(stats->external_fragmentation == 0.0);

    stats->used_bytes = 1000;
    stats->reserved_bytes = 10;
    stats->largest_free_bytes = 0;
    dcmi_stats_derive(stats);
    EXPECT(stats->external_fragmentation == 0.0);
    free(stats);
}

TEST(derive__of_full_figures_is_finite)
{
    dcmem_stats *stats = new_stats();
#define DCMEM_X(name, unit, help) stats->name = UINT64_MAX;
    DCMEM_STATS_COUNTERS(DCMEM_X)
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
    dcmi_stats_derive(stats);
#define DCMEM_X(name, formula) EXPECT(isfinite(stats->name));
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
    free(stats);
}
