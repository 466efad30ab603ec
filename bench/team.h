/* team.h: threads that live as long as a case and start each round together.
 *
 * They sleep between rounds: an allocator's thread caches stay as a real program's would. */
#ifndef DCMEM_BENCH_TEAM_H
#define DCMEM_BENCH_TEAM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bench_team bench_team;

/* One thread's part of a round. Returns the ns that count, or a negative number when an allocation failed. */
typedef double (*bench_job)(void *context, unsigned index, uint64_t ops);

/* NULL when there are no threads to be had. `end` (may be NULL) runs in each thread before it ends. */
bench_team *bench_team_create(unsigned count, bench_job job, void (*end)(void *context, unsigned index), void *context);
void bench_team_destroy(bench_team *team);

typedef struct bench_round {
    double wall_ns;    /* from the first thread's start to the last one's end */
    double counted_ns; /* sum of what the jobs returned */
    bool is_failed;
} bench_round;

/* Every thread does `ops`. */
bench_round bench_team_run(bench_team *team, uint64_t ops);

#endif
