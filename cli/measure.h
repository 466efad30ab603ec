/* measure.h: one trace, once straight through the driver and once through the pool, in one process.
 *
 * Both play the same rounds in turn: one driver round, one pool round, and so on, so that whatever else the machine
 * does befalls both. The first round of each is kept apart: it pays for growth and cold caches. What follows is the
 * steady state: times are medians over its rounds, peaks and hit rate belong to it alone. A short trace is played
 * several times a round, because caches that the driver's system calls have emptied are not what is measured. Then a
 * few rounds more are played with a clock around every operation, for p99, and with a look at the pool when most is
 * live.
 *
 * Behind each round of the pool the same is played a third time without either: only what both do with the memory, and
 * what the player itself costs. That is the use alone.
 *
 * Memory that is used is dear where pages are fresh, so the driver's rounds can take minutes. Within a number of
 * seconds it plays fewer of them than the pool, perhaps none but its first: a driver keeps nothing, so that its first
 * round is like the others.
 */
#ifndef DCMEM_CLI_MEASURE_H
#define DCMEM_CLI_MEASURE_H

#include "cli/progress.h"
#include "cli/trace.h"

#include <dcmem/dcmem.h>

typedef struct measure_options {
    const dcmem_backend *backend; /* its first device */
    dcmem_sizing sizing;
    dcmem_policy policy;
    uint64_t rounds;  /* 0: about a second's worth, at least MEASURE_MIN_ROUNDS */
    uint64_t seconds; /* for the rounds behind the first; 0: as many as `rounds` says */
    bool has_threads, is_touched, has_buffers;
} measure_options;

#define MEASURE_MIN_ROUNDS 5u

/* Driver calls and bytes are those of the whole replay, from preamble to the last warm round. */
typedef struct measured_way {
    uint32_t rounds;  /* warm ones */
    double ns_per_op; /* median over the warm rounds; of the first where there are none */
    double p99_ns;    /* of single operations; not a number where there were no warm rounds */
    double first_ns_per_op;
    uint64_t driver_calls, acquired_bytes;
} measured_way;

typedef struct measurement {
    uint32_t ops;     /* of the trace, behind its preamble */
    uint32_t rounds;  /* warm ones of the pool */
    uint32_t repeats; /* how often a warm round plays the trace */
    uint32_t threads;
    uint64_t alignment, peak_live_bytes, bound_bytes;
    measured_way direct, pool;

    /* Of the pool, warm rounds. */
    double hit_rate;
    uint64_t peak_reserved_bytes;
    double reserved_over_live, reserved_over_bound;
    double internal_waste;         /* part of the blocks in use that rounding costs, when most is live */
    double external_fragmentation; /* part of the free memory outside its largest piece, then */
    /* Where the bytes were when most was live, all that was held then: what was asked for is part of what was used, and
     * free memory in slabs is part of what was free. */
    struct measured_peak {
        uint64_t requested, used, cached, free, slab_free, largest_free, reserved;
    } at_peak;
    /* Of its first round. */
    double first_hit_rate;
    uint64_t first_driver_calls, first_acquired_bytes;

    double overhead_removed; /* 1 - pool / direct */
    double alone_ns_per_op;  /* the use alone; not a number: it could not be played, or the pool gave memory back */
    double removed_beside;   /* the same of what both add to the use: 1 - (pool - alone) / (direct - alone) */
} measurement;

/* Measures. Ops done go to `progress` in units of 1/1000 of this trace, from `progress_base` on. A failure is told in
 * `problem`, one line that says which way failed and why. */
bool measure_trace(measurement *out, const allocation_trace *trace, const measure_options *options,
                   progress_bar *progress, uint64_t progress_base, char *problem, size_t problem_bytes);

#define MEASURE_PROGRESS 1000u

/* How many warm rounds are played when one takes `round_ns`: pure. */
uint32_t measure_rounds(double round_ns);

/* How many rounds of `round_ns` fit into a time, `most` at most: pure. */
uint32_t measure_rounds_within(double round_ns, double budget_ns, uint32_t most);

/* Whether a way that plays `fewer` rounds plays one beside that `round` of `rounds`: evenly. Pure. */
bool measure_is_turn(uint32_t round, uint32_t fewer, uint32_t rounds);

/* How often a trace of so many operations is played for `wanted_ops` of them, when once takes `once_ns`: pure. */
uint32_t measure_repeats(uint32_t ops, uint32_t wanted_ops, double once_ns);

#endif
