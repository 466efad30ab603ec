/* rounds_test.c: what follows from the samples of a case. */
#include "test.h"

#include "bench/rounds.h"

#include <math.h>

static bench_samples samples;

static void
begin(unsigned rounds)
{
    memset(&samples, 0, sizeof samples);
    samples.rounds = rounds;
}

static void
contender(bench_role role, const char *name, double first, double second, double third)
{
    unsigned i = samples.contenders++;
    samples.who[i] = (bench_contender){role, name, NULL};
    samples.is_here[i] = true;
    samples.cost[i][0] = first;
    samples.cost[i][1] = second;
    samples.cost[i][2] = third;
}

#define EXPECT_NEAR(a, b) EXPECT(fabs((a) - (b)) < 1e-9)

TEST(bench__ratios_are_taken_within_a_round)
{
    begin(3);
    /* The machine is ten times slower in the second round: for both. */
    contender(BENCH_ROLE_DCMEM, "dcmem", 10, 100, 12);
    contender(BENCH_ROLE_PEER, "peer", 20, 200, 24);

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_NEAR(outcome.ratio_to_best_peer, 0.5);
    EXPECT_NEAR(outcome.cost[0], 12);
    EXPECT_NEAR(outcome.cost[1], 24);
}

TEST(bench__the_best_peer_is_the_one_with_the_least_median)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 10, 10, 10);
    contender(BENCH_ROLE_PEER, "often slow", 1, 30, 30);
    contender(BENCH_ROLE_PEER, "steady", 20, 20, 20);

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_EQ(outcome.best_peer, 2);
    EXPECT_NEAR(outcome.ratio_to_best_peer, 0.5);
}

TEST(bench__who_is_absent_is_compared_with_nobody)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 10, 10, 10);
    contender(BENCH_ROLE_FLOOR, "floor", 5, 5, 5);
    contender(BENCH_ROLE_PEER, "absent", 0, 0, 0);
    samples.is_here[2] = false;

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_EQ(outcome.best_peer, -1);
    EXPECT(isnan(outcome.ratio_to_best_peer));
    EXPECT(isnan(outcome.cost[2]));
    EXPECT_NEAR(outcome.ratio_to_floor, 2);
}

TEST(bench__without_dcmem_there_are_no_ratios)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 10, 10, 10);
    contender(BENCH_ROLE_PEER, "peer", 20, 20, 20);
    samples.is_here[0] = false;

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_EQ(outcome.dcmem, -1);
    EXPECT(isnan(outcome.ratio_to_best_peer));
    EXPECT(isnan(outcome.spread));
    EXPECT_NEAR(outcome.cost[1], 20);
}

TEST(bench__the_floor_of_a_transfer_is_the_best_way_of_each_round)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 4, 4, 4);
    contender(BENCH_ROLE_PEER, "libc", 2, 8, 8);
    contender(BENCH_ROLE_METHOD, "string", 8, 2, 8);
    contender(BENCH_ROLE_METHOD, "stream", 8, 8, 2);

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_NEAR(outcome.floor_cost, 2);
    EXPECT_NEAR(outcome.ratio_to_floor, 2);
    EXPECT_NEAR(outcome.ratio_to_best_peer, 0.5);
}

TEST(bench__peers_are_no_floor_where_there_is_one)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 8, 8, 8);
    contender(BENCH_ROLE_FLOOR, "floor", 4, 4, 4);
    contender(BENCH_ROLE_PEER, "peer", 2, 2, 2);

    EXPECT_NEAR(bench_conclude(&samples).ratio_to_floor, 2);
}

TEST(bench__a_variant_tells_the_difference_within_a_round)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 10, 20, 30);
    contender(BENCH_ROLE_BESIDE, "without", 9, 18, 29);

    bench_outcome outcome = bench_conclude(&samples);

    EXPECT_NEAR(outcome.difference, 1);
    EXPECT(isnan(outcome.ratio_to_best_peer));
}

TEST(bench__the_spread_is_between_the_quartiles)
{
    begin(3);
    contender(BENCH_ROLE_DCMEM, "dcmem", 9, 10, 11);

    EXPECT_NEAR(bench_conclude(&samples).spread, 0.1);
}

/* ---- Measuring: a contender that counts instead of working ---- */

static unsigned order[64], order_count;
static bool is_second_failing;

typedef struct counter {
    unsigned index;
    uint64_t rounds;
} counter;

static void *
counter_begin(const bench_case *which, const bench_contender *who)
{
    (void)which;
    static counter counters[3];
    unsigned index = (unsigned)(who->name[0] - 'a');
    counters[index] = (counter){index, 0};
    return &counters[index];
}

static double
counter_run(void *state, uint64_t ops)
{
    counter *self = state;
    (void)ops;
    if (is_second_failing && self->index == 1)
        return -1;
    if (order_count < sizeof order / sizeof *order)
        order[order_count++] = self->index;
    return (double)++self->rounds;
}

static unsigned ended;

static void
counter_end(void *state)
{
    (void)state;
    ended++;
}

static const bench_pattern counting = {counter_begin, counter_run, counter_end, true, 0};
static const bench_case counting_case = {"counting", "", "", BENCH_FIELD_DCMEM, &counting, 0, 1, false, 0};

static void
measure_three(unsigned rounds)
{
    begin(0);
    contender(BENCH_ROLE_DCMEM, "a", 0, 0, 0);
    contender(BENCH_ROLE_PEER, "b", 0, 0, 0);
    contender(BENCH_ROLE_PEER, "c", 0, 0, 0);
    order_count = ended = 0;
    bench_measure(&samples, &counting_case, rounds, NULL, NULL);
}

TEST(bench__rounds_take_contenders_in_changing_order)
{
    is_second_failing = false;
    measure_three(3);

    static const unsigned wanted[] = {0, 1, 2, 1, 0, 2, 2, 0, 1};
    EXPECT_EQ(order_count, 9);
    EXPECT(memcmp(order, wanted, sizeof wanted) == 0);
    EXPECT_EQ(ended, 3);
    EXPECT(samples.cost[2][2] == 3);
}

TEST(bench__a_contender_that_fails_drops_out_and_the_others_go_on)
{
    is_second_failing = true;
    measure_three(3);

    EXPECT(samples.is_here[0] && !samples.is_here[1] && samples.is_here[2]);
    EXPECT_EQ(order_count, 6);
    EXPECT_EQ(ended, 3);
}

/* ---- Finding the length of a round: a contender whose cost is scripted ---- */

static double first_cost, later_cost;
static uint64_t calls, last_ops;

static void *
scripted_begin(const bench_case *which, const bench_contender *who)
{
    (void)which, (void)who;
    calls = 0;
    return &calls;
}

static double
scripted_run(void *state, uint64_t ops)
{
    (void)state;
    last_ops = ops;
    return calls++ == 0 ? first_cost : later_cost;
}

static void
scripted_end(void *state)
{
    (void)state;
}

static const bench_pattern scripted = {scripted_begin, scripted_run, scripted_end, false, 0};
static const bench_case scripted_case = {"scripted", "", "", BENCH_FIELD_DCMEM, &scripted, 0, 1, false, 0};

static uint64_t
fitted_ops(double first, double later)
{
    begin(0);
    contender(BENCH_ROLE_DCMEM, "dcmem", 0, 0, 0);
    first_cost = first;
    later_cost = later;
    bench_round_ns = 12e6;
    bench_measure(&samples, &scripted_case, 1, NULL, NULL);
    return last_ops;
}

TEST(bench__rounds_are_as_long_as_asked_for)
{
    uint64_t ops = fitted_ops(10, 10);
    EXPECT_GE(ops, 800000);
    EXPECT_LE(ops, 1700000);
}

TEST(bench__rounds_on_several_threads_are_long_enough_to_wake_them)
{
    bench_case which = {.threads = 1};
    bench_round_ns = 1e6;
    EXPECT(bench_round_of(&which) == 1e6);
    which.threads = 2;
    EXPECT(bench_round_of(&which) == 25e6);
    bench_round_ns = 50e6;
    EXPECT(bench_round_of(&which) == 50e6);
}

TEST(bench__a_slow_first_operation_does_not_shorten_the_rounds)
{
    static const double slow[] = {1e5, 9e6, 12e6, 13e6, 1e9};
    for (unsigned i = 0; i < sizeof slow / sizeof *slow; i++)
        EXPECT_GE(fitted_ops(slow[i], 10), 800000);
}

TEST(bench__an_operation_longer_than_a_round_is_done_once_a_round)
{
    EXPECT_EQ(fitted_ops(60e6, 60e6), 1);
    EXPECT_LE(calls, 4);
}
