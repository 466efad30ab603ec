/* rounds.h: the rounds of a case, and what follows from them. */
#ifndef DCMEM_BENCH_ROUNDS_H
#define DCMEM_BENCH_ROUNDS_H

#include "bench/harness.h"

#define BENCH_CONTENDERS 16u
#define BENCH_MAX_ROUNDS 101u

/* Costs: [contender][round]; a contender that could not take part has is_here false. */
typedef struct bench_samples {
    unsigned contenders, rounds;
    bench_contender who[BENCH_CONTENDERS];
    bool is_here[BENCH_CONTENDERS];
    double cost[BENCH_CONTENDERS][BENCH_MAX_ROUNDS];
} bench_samples;

/* What is told of a case. Ratios are medians of the ratios of single rounds. NaN: there is nobody to compare with. */
typedef struct bench_outcome {
    double cost[BENCH_CONTENDERS];  /* median; NaN for who is not here */
    double ratio[BENCH_CONTENDERS]; /* dcmem's cost over this one's */
    double floor_cost;
    double ratio_to_floor;
    int best_peer; /* index, or -1 */
    double ratio_to_best_peer;
    double difference; /* median of dcmem's cost less that of the one beside it */
    double spread;     /* dcmem's quartiles: (upper - lower) / median */
    int dcmem;         /* index of dcmem, or -1 when it is not here */
} bench_outcome;

/* Pure. */
bench_outcome bench_conclude(const bench_samples *samples);

/* What a round of the case should last: as asked for, and long enough where threads are several. */
double bench_round_of(const bench_case *which);

/* Measures a case for the contenders in `samples->who`. `told` (may be NULL) is called after each round. */
void bench_measure(bench_samples *samples, const bench_case *which, unsigned rounds, void (*told)(void *context),
                   void *context);

#endif
