/* manager.c: what a manager does besides giving memory: it tells its figures, and takes memory back from idle
 * threads. */
#include "bench/harness.h"
#include "bench/team.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <stdlib.h>

/* ---- A snapshot of the statistics, of a manager that this run has used ---- */

typedef struct snapshot {
    dcmem_manager *manager;
    dcmem_stats stats;
} snapshot;

static void *
snapshot_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    snapshot *state = cli_allocate(1, sizeof *state);
    state->manager = contender->allocator->calls.manager;
    state->stats.size = sizeof state->stats;
    return state;
}

static double
snapshot_run(void *state, uint64_t ops)
{
    snapshot *self = state;
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        if (dcmem_stats_snapshot(&self->stats, self->manager))
            return -1;
        bench_keep(&self->stats);
    }
    return (double)(now_ns() - begin) / (double)ops;
}

const bench_pattern bench_snapshot = {snapshot_begin, snapshot_run, free, false, 0};

/* ---- Memory in an idle thread's caches, wanted by another thread ----
 *
 * A manager with a limit of 256 MiB. One thread takes 192 MiB in blocks of 48 KiB, frees them and falls asleep with
 * what its caches kept. Another then takes blocks of 1 MiB until it is refused. The answer is the limit over what it
 * got: 1 when everything came back. */

#define RECLAIM_LIMIT (256u << 20)
#define RECLAIM_IDLE  (192u << 20)
#define RECLAIM_SMALL (48u << 10)
#define RECLAIM_LARGE (1u << 20)
#define RECLAIM_MOST  (RECLAIM_IDLE / RECLAIM_SMALL)

static double
fill_own_cache(void *context, unsigned index, uint64_t ops)
{
    (void)index;
    dcmem_manager *manager = context;
    void **blocks = cli_allocate(ops, sizeof *blocks);
    uint64_t count = 0;
    while (count < ops && (blocks[count] = dcmem_raw_allocate(manager, RECLAIM_SMALL)) != NULL)
        count++;
    bool is_failed = count < ops;
    while (count)
        is_failed |= dcmem_raw_free(manager, blocks[--count]) != DCMEM_OK;
    free(blocks);
    return is_failed ? -1 : 0;
}

static uint64_t
take_all(dcmem_manager *manager)
{
    static void *blocks[RECLAIM_LIMIT / RECLAIM_LARGE + 1];
    uint64_t count = 0;
    while (count < sizeof blocks / sizeof *blocks &&
           (blocks[count] = dcmem_raw_allocate(manager, RECLAIM_LARGE)) != NULL)
        count++;
    for (uint64_t i = 0; i < count; i++)
        (void)dcmem_raw_free(manager, blocks[i]); /* the manager ends anyway, and would tell */
    return count * RECLAIM_LARGE;
}

static double
reclaim_run(void *state, uint64_t ops)
{
    (void)state, (void)ops;
    const dcmem_manager_options options = {.size = sizeof options,
                                           .policy = bench_policy,
                                           .limit_bytes = RECLAIM_LIMIT,
                                           .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    dcmem_manager *manager;
    if (dcmem_manager_create(&manager, &options))
        return -1;
    bench_team *idler = bench_team_create(1, fill_own_cache, NULL, manager);
    uint64_t got = idler && !bench_team_run(idler, RECLAIM_MOST).is_failed ? take_all(manager) : 0;
    bench_team_destroy(idler);
    if (dcmem_manager_destroy(manager) || got == 0)
        return -1;
    return (double)RECLAIM_LIMIT / (double)got;
}

static void *
reclaim_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which, (void)contender;
    return cli_allocate(1, 1);
}

const bench_pattern bench_reclaim = {reclaim_begin, reclaim_run, free, true, 0};
