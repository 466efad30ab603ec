/* rounds.c: measuring and concluding. */
#include "bench/rounds.h"

#include "cli/numbers.h"

#include <math.h>
#include <string.h>

#define MOST_OPS    (1ull << 32)
#define MOST_FITS   20u
#define MOST_GROWTH 16.0

/* Of a round on several threads. Each is woken, and one that comes after 63 others finds cold caches, whatever it does
 * then; and where other programs want the processors, a thread waits for a slice of milliseconds, which a count of
 * operations fitted to 1 ms takes for the cost of a handful of them. */
#define LEAST_TEAM_NS 25e6

double bench_round_ns = 12e6;

/* ---- Concluding: pure ---- */

static double
median_of(const double *values, unsigned count)
{
    double sorted[BENCH_MAX_ROUNDS];
    memcpy(sorted, values, count * sizeof *values);
    return count ? median(sorted, count) : NAN;
}

static double
spread_of(const double *values, unsigned count)
{
    double sorted[BENCH_MAX_ROUNDS];
    memcpy(sorted, values, count * sizeof *values);
    double middle = median(sorted, count);
    return middle > 0 ? (quantile(sorted, count, 0.75) - quantile(sorted, count, 0.25)) / middle : 0;
}

static double
ratio_of(const double *ours, const double *theirs, unsigned rounds)
{
    double ratios[BENCH_MAX_ROUNDS];
    for (unsigned i = 0; i < rounds; i++)
        ratios[i] = theirs[i] > 0 ? ours[i] / theirs[i] : NAN;
    return median_of(ratios, rounds);
}

static double
difference_of(const double *ours, const double *theirs, unsigned rounds)
{
    double differences[BENCH_MAX_ROUNDS];
    for (unsigned i = 0; i < rounds; i++)
        differences[i] = ours[i] - theirs[i];
    return median_of(differences, rounds);
}

/* The floor of each round: the floor's cost, or where there are methods the least of theirs and the peers'. */
static bool
floor_rounds(double *out, const bench_samples *samples)
{
    bool is_found = false;
    for (unsigned round = 0; round < samples->rounds; round++)
        out[round] = INFINITY;
    bool has_methods = false;
    for (unsigned i = 0; i < samples->contenders; i++)
        has_methods |= samples->who[i].role == BENCH_ROLE_METHOD && samples->is_here[i];
    for (unsigned i = 0; i < samples->contenders; i++) {
        bench_role role = samples->who[i].role;
        bool counts = role == BENCH_ROLE_FLOOR || role == BENCH_ROLE_METHOD || (role == BENCH_ROLE_PEER && has_methods);
        if (!counts || !samples->is_here[i])
            continue;
        is_found = true;
        for (unsigned round = 0; round < samples->rounds; round++)
            out[round] = fmin(out[round], samples->cost[i][round]);
    }
    return is_found;
}

bench_outcome
bench_conclude(const bench_samples *samples)
{
    bench_outcome out = {.floor_cost = NAN,
                         .ratio_to_floor = NAN,
                         .best_peer = -1,
                         .ratio_to_best_peer = NAN,
                         .difference = NAN,
                         .spread = NAN,
                         .dcmem = -1};
    for (unsigned i = 0; i < samples->contenders; i++) {
        out.cost[i] = samples->is_here[i] ? median_of(samples->cost[i], samples->rounds) : NAN;
        out.ratio[i] = NAN;
        bool is_best = samples->who[i].role == BENCH_ROLE_PEER && samples->is_here[i] &&
                       (out.best_peer < 0 || out.cost[i] < out.cost[out.best_peer]);
        out.best_peer = is_best ? (int)i : out.best_peer;
        if (samples->who[i].role == BENCH_ROLE_DCMEM && samples->is_here[i])
            out.dcmem = (int)i;
    }
    double least[BENCH_MAX_ROUNDS];
    bool has_floor = floor_rounds(least, samples);
    if (has_floor)
        out.floor_cost = median_of(least, samples->rounds);
    if (out.dcmem < 0)
        return out;

    const double *ours = samples->cost[out.dcmem];
    out.spread = spread_of(ours, samples->rounds);
    if (has_floor)
        out.ratio_to_floor = ratio_of(ours, least, samples->rounds);
    for (unsigned i = 0; i < samples->contenders; i++) {
        if (!samples->is_here[i])
            continue;
        out.ratio[i] = ratio_of(ours, samples->cost[i], samples->rounds);
        if (samples->who[i].role == BENCH_ROLE_BESIDE)
            out.difference = difference_of(ours, samples->cost[i], samples->rounds);
    }
    if (out.best_peer >= 0)
        out.ratio_to_best_peer = out.ratio[out.best_peer];
    return out;
}

/* ---- Measuring ---- */

/* Finds how many operations last a round, which also warms the contender up; 0 when it fails.
 *
 * A short run is misleading twice: first blocks are slower than those of the steady state (the very first may take
 * milliseconds), and threads that are many spend it on being woken. So the count is fitted again until a run, not the
 * first, lasts about as long as it should. */
static uint64_t
calibrate(const bench_pattern *pattern, void *state, double round_ns)
{
    if (pattern->is_once)
        return 1;
    if (pattern->warm_ops && pattern->run(state, pattern->warm_ops) < 0)
        return 0;
    uint64_t ops = 1;
    for (unsigned fits = 0; fits < MOST_FITS; fits++) {
        double cost = pattern->run(state, ops);
        if (cost < 0)
            return 0;
        double wanted = cost > 0 ? round_ns / (cost * (double)ops) : MOST_GROWTH;
        bool is_fitting = wanted > 0.7 && wanted < 1.4;
        bool is_one_too_long = wanted < 1 && ops == 1;
        if (fits > 0 && (is_fitting || is_one_too_long))
            break;
        double fitted = (double)ops * fmin(wanted, MOST_GROWTH);
        ops = fitted < 1 ? 1 : fitted > MOST_OPS ? MOST_OPS : (uint64_t)fitted;
    }
    return ops;
}

double
bench_round_of(const bench_case *which)
{
    return which->threads > 1 ? fmax(bench_round_ns, LEAST_TEAM_NS) : bench_round_ns;
}

void
bench_measure(bench_samples *samples, const bench_case *which, unsigned rounds, void (*told)(void *context),
              void *context)
{
    const bench_pattern *pattern = which->pattern;
    void *states[BENCH_CONTENDERS] = {NULL};
    uint64_t ops[BENCH_CONTENDERS] = {0};
    unsigned count = samples->contenders;

    samples->rounds = rounds;
    for (unsigned i = 0; i < count; i++) {
        bool is_absent = samples->who[i].allocator && samples->who[i].allocator->absence[0];
        states[i] = is_absent ? NULL : pattern->begin(which, &samples->who[i]);
        ops[i] = states[i] ? calibrate(pattern, states[i], bench_round_of(which)) : 0;
        samples->is_here[i] = ops[i] > 0;
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned turn = 0; turn < count; turn++) {
            /* Another one begins each time, and every other round goes backwards: nobody always follows the same one,
             * or falls on the same beat of whatever else the machine does. */
            unsigned i = (round + (round % 2 ? count - turn : turn)) % count;
            if (!samples->is_here[i])
                continue;
            samples->cost[i][round] = pattern->run(states[i], ops[i]);
            samples->is_here[i] = samples->cost[i][round] >= 0;
        }
        if (told)
            told(context);
    }
    for (unsigned i = 0; i < count; i++)
        if (states[i])
            pattern->end(states[i]);
}
