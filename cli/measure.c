/* measure.c: rounds in turn, and what is made of them. */
#include "cli/measure.h"

#include "cli/cli.h"
#include "cli/numbers.h"
#include "cli/player.h"
#include "cli/target.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANTED_NS     1e9  /* what the warm rounds take together, when it is not too few of them */
#define PATIENCE_NS   20e9 /* rounds so slow that the least number takes longer are cut to FEWEST_ROUNDS, then to one */
#define FEWEST_ROUNDS 3u
#define MOST_ROUNDS   1000u

/* Shorter traces are played several times a turn: behind the driver's, the first thousands of operations meet cold
 * caches (at 5,000 these are 8 to 10 ns of 60), which a program that leaves the driver alone does not have. */
#define ROUND_OPS      20000u
#define WANTED_SAMPLES 5000u /* so that fifty of them lie above p99 */
#define REPEATED_NS    1e9   /* what has taken that long is not repeated for the sake of either */

/* Longer than any replay: memory that is idle while it is the driver's turn must not go back meanwhile. */
#define IDLE_TIME_NS (24ull * 3600 * 1000000000)

/* One way: where to play, and by whom. */
typedef struct replay_way {
    const char *name;
    replay_target target;
    bool is_open;
    trace_player *player;
    uint32_t rounds; /* warm ones that it plays */
    uint32_t played; /* of these */
    uint32_t inspected;
    double *round_ns; /* of the warm rounds */
    double first_ns;
    double whole_ns, once_ns; /* a round that was played to learn how long it takes; with what undoes it */
    double *times;            /* of single operations */
} replay_way;

typedef struct measure_session {
    const allocation_trace *trace;
    const measure_options *options;
    progress_bar *progress;
    uint64_t progress_base;
    replay_way ways[3]; /* driver, pool, and the use alone */
    uint32_t ops, rounds, repeats;
    /* Snapshots of the pool: before round one, after it, after all, and in between when most is live. */
    dcmem_stats *first, *steady, *end, *peak;
    char *problem;
    size_t problem_bytes;
} measure_session;

#define DRIVER 0
#define POOL   1
#define ALONE  2

uint32_t
measure_rounds(double round_ns)
{
    if (round_ns * FEWEST_ROUNDS > PATIENCE_NS)
        return 1;
    if (round_ns * MEASURE_MIN_ROUNDS > PATIENCE_NS)
        return FEWEST_ROUNDS;
    double rounds = WANTED_NS / (round_ns > 1 ? round_ns : 1);
    if (rounds < MEASURE_MIN_ROUNDS)
        return MEASURE_MIN_ROUNDS;
    return rounds > MOST_ROUNDS ? MOST_ROUNDS : (uint32_t)rounds;
}

uint32_t
measure_rounds_within(double round_ns, double budget_ns, uint32_t most)
{
    double rounds = budget_ns / (round_ns > 1 ? round_ns : 1);
    return rounds > most ? most : (uint32_t)rounds;
}

bool
measure_is_turn(uint32_t round, uint32_t fewer, uint32_t rounds)
{
    return fewer > 0 && (round == 0 || (uint64_t)round * fewer / rounds != (round - 1ull) * fewer / rounds);
}

uint32_t
measure_repeats(uint32_t ops, uint32_t wanted_ops, double once_ns)
{
    uint32_t by_ops = wanted_ops / ops + 1;
    double by_time = REPEATED_NS / (once_ns > 1 ? once_ns : 1) + 1;
    return by_time < by_ops ? (uint32_t)by_time : by_ops;
}

/* ---- Opening and closing ---- */

static bool
say_why(measure_session *session, const char *what, const char *why)
{
    snprintf(session->problem, session->problem_bytes, "%s: %s", what, why);
    return false;
}

/* Tells what stopped a play. */
static bool
say_failure(measure_session *session, const replay_way *way)
{
    const player_failure *failure = player_last_failure(way->player);
    char bytes[32];
    snprintf(bytes, sizeof bytes, "%s", text_of_bytes(failure->op.bytes).text);
    snprintf(session->problem, session->problem_bytes, "%s failed to %s id %u of %s: %s (%s)", way->name,
             failure->op.is_free ? "free" : "allocate", failure->op.id, bytes, failure->message,
             dcmem_result_name(failure->result));
    return false;
}

static bool
open_targets(measure_session *session)
{
    const measure_options *options = session->options;
    uint32_t ids = session->trace->id_count;
    replay_way *driver = &session->ways[DRIVER], *pool = &session->ways[POOL];

    if (target_open_driver(&driver->target, options->backend, ids, options->is_touched))
        return say_why(session, "the device cannot be opened", dcmem_last_detail()->message);
    driver->is_open = true;

    dcmem_manager_options manager = {
        .size = sizeof manager,
        .driver = options->backend,
        .sizing = options->sizing,
        .policy = options->policy,
        .idle_time_ns = IDLE_TIME_NS,
    };
    if (target_open_pool(&pool->target, &manager, ids, driver->target.touched, options->has_buffers))
        return say_why(session, "no manager can be created", dcmem_last_detail()->message);
    pool->is_open = true;
    /* Guards look at what is written into free blocks. */
    replay_way *alone = &session->ways[ALONE];
    alone->is_open = !getenv("DCMEM_GUARDS") && target_open_alone(&alone->target, &pool->target) == DCMEM_OK;
    return true;
}

static bool
create_players(measure_session *session)
{
    for (unsigned i = 0; i < 3; i++) {
        replay_way *way = &session->ways[i];
        const char *reason = "";
        if (!way->is_open)
            continue;
        way->player = player_create(session->trace, &way->target, session->options->has_threads, &reason);
        if (!way->player)
            return say_why(session, "it cannot be played", reason);
    }
    session->ops = player_count(session->ways[DRIVER].player, PLAYER_ROUND);
    return true;
}

static bool
close_all(measure_session *session, bool is_good)
{
    for (unsigned i = 3; i-- > 0;) {
        replay_way *way = &session->ways[i];
        player_destroy(way->player);
        dcmem_result result = way->is_open ? target_close(&way->target) : DCMEM_OK;
        if (result && is_good)
            is_good = say_why(session, "the pool did not end well", dcmem_last_detail()->message);
        free(way->round_ns);
        free(way->times);
    }
    free(session->first);
    return is_good;
}

/* ---- Playing ---- */

static bool
play_part(measure_session *session, replay_way *way, player_part part, double *out_ns)
{
    return way->player && player_play(way->player, part, out_ns) ? say_failure(session, way) : true;
}

/* Plays and undoes the trace `repeats` times; only the playing is timed. */
static bool
play_round(measure_session *session, replay_way *way, uint32_t repeats, double *out_ns)
{
    double sum = 0;
    for (uint32_t i = 0; i < repeats; i++) {
        double ns;
        if (!play_part(session, way, PLAYER_ROUND, &ns) || !play_part(session, way, PLAYER_CLEANUP, NULL))
            return false;
        sum += ns;
    }
    *out_ns = sum / repeats;
    return true;
}

static bool
snapshot(measure_session *session, dcmem_stats *out)
{
    out->size = sizeof *out;
    if (dcmem_stats_snapshot(out, session->ways[POOL].target.manager))
        return say_why(session, "the pool gives no figures", dcmem_last_detail()->message);
    return true;
}

/* A round, to learn how long it takes with what undoes it. */
static bool
play_whole(measure_session *session, replay_way *way)
{
    uint64_t begin = now_ns();
    bool is_good = play_round(session, way, 1, &way->whole_ns);
    way->once_ns = (double)(now_ns() - begin);
    return is_good;
}

/* From the first round: how often the trace is played a round, how many rounds by whom. */
static void
choose_rounds(measure_session *session)
{
    replay_way *driver = &session->ways[DRIVER], *pool = &session->ways[POOL];
    double once_ns = driver->once_ns + pool->once_ns, budget_ns = (double)session->options->seconds * 1e9 / 2;
    session->repeats = measure_repeats(session->ops, ROUND_OPS, once_ns);
    uint32_t wanted = (uint32_t)session->options->rounds;
    uint32_t rounds = wanted ? wanted : measure_rounds(once_ns * session->repeats);
    driver->rounds = pool->rounds = rounds;
    if (session->options->seconds) {
        uint32_t most = wanted ? wanted : MOST_ROUNDS;
        pool->rounds = measure_rounds_within(pool->once_ns * session->repeats, budget_ns, most);
        pool->rounds = pool->rounds ? pool->rounds : 1;
        driver->rounds = measure_rounds_within(driver->once_ns * session->repeats, budget_ns, pool->rounds);
    }
    session->rounds = pool->rounds;
    pool->inspected = measure_repeats(session->ops, WANTED_SAMPLES, once_ns);
    driver->inspected = driver->rounds ? pool->inspected : 0;
}

/* Preambles and the first round, and from its duration the number of those that follow. */
static bool
play_first(measure_session *session)
{
    for (unsigned i = 0; i < 3; i++)
        if (!play_part(session, &session->ways[i], PLAYER_PREAMBLE, NULL))
            return false;
    if (!snapshot(session, session->first))
        return false;

    for (unsigned i = 0; i < 2; i++) {
        replay_way *way = &session->ways[i];
        if (!play_whole(session, way))
            return false;
        way->first_ns = way->whole_ns;
    }
    if (dcmem_stats_reset_peaks(session->ways[POOL].target.manager))
        return say_why(session, "the pool gives no figures", dcmem_last_detail()->message);
    if (!snapshot(session, session->steady))
        return false;
    /* A first round in fresh memory says little of those that follow. */
    replay_way *pool = &session->ways[POOL];
    if (session->options->seconds && !play_whole(session, pool))
        return false;
    choose_rounds(session);
    return true;
}

static void
show_progress(measure_session *session, uint32_t done, uint32_t total)
{
    progress_step(session->progress, session->progress_base + MEASURE_PROGRESS * (uint64_t)done / total);
}

static bool
play_warm_round(measure_session *session, replay_way *way)
{
    return play_round(session, way, session->repeats, &way->round_ns[way->played++]);
}

/* A round of the pool and, where none of its memory has left it meanwhile, of the use alone. */
static bool
play_pool_round(measure_session *session)
{
    replay_way *alone = &session->ways[ALONE];
    uint64_t before = session->end->driver_releases;
    if (!play_warm_round(session, &session->ways[POOL]) || !snapshot(session, session->end))
        return false;
    bool is_there = session->end->driver_releases == before;
    return !alone->is_open || !is_there || play_warm_round(session, alone);
}

static bool
play_warm(measure_session *session)
{
    for (unsigned i = 0; i < 3; i++)
        session->ways[i].round_ns = cli_allocate(session->rounds, sizeof(double));
    if (!snapshot(session, session->end))
        return false;
    replay_way *driver = &session->ways[DRIVER];
    for (uint32_t round = 0; round < session->rounds; round++) {
        if (measure_is_turn(round, driver->rounds, session->rounds) && !play_warm_round(session, driver))
            return false;
        show_progress(session, 2 * round + 1, 2 * session->rounds + 2);
        if (!play_pool_round(session))
            return false;
        show_progress(session, 2 * round + 2, 2 * session->rounds + 2);
    }
    return true;
}

static void
look_at_peak(void *user)
{
    measure_session *session = user;
    /* One that fails leaves zeros: shares of nothing, which are told as 0. */
    if (!snapshot(session, session->peak))
        memset(session->peak, 0, sizeof *session->peak);
}

static bool
play_inspected(measure_session *session)
{
    for (unsigned i = 0; i < 2; i++) {
        replay_way *way = &session->ways[i];
        way->times = cli_allocate((size_t)session->ops * way->inspected, sizeof(double));
        for (uint32_t round = 0; round < way->inspected; round++) {
            bool is_looked_at = i == POOL && round == 0;
            double *times = way->times + (size_t)round * session->ops;
            if (player_inspect(way->player, times, is_looked_at ? look_at_peak : NULL, session))
                return say_failure(session, way);
            if (!play_part(session, way, PLAYER_CLEANUP, NULL))
                return false;
        }
    }
    return true;
}

static bool
play_finale(measure_session *session)
{
    for (unsigned i = 0; i < 2; i++) /* what is live of the use alone needs no end */
        if (!play_part(session, &session->ways[i], PLAYER_FINALE, NULL))
            return false;
    return true;
}

/* ---- Numbers ---- */

static double
ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void
sum_way(measured_way *out, const measure_session *session, replay_way *way)
{
    out->rounds = way->played;
    out->ns_per_op = (way->played ? median(way->round_ns, way->played) : way->first_ns) / session->ops;
    out->first_ns_per_op = way->first_ns / session->ops;
    out->p99_ns = way->inspected ? quantile(way->times, (size_t)session->ops * way->inspected, 0.99) : NAN;
}

static double
hit_rate(const dcmem_stats *from, const dcmem_stats *to)
{
    uint64_t hits = to->pool_hits - from->pool_hits, misses = to->pool_misses - from->pool_misses;
    return ratio((double)hits, (double)(hits + misses));
}

static uint64_t
driver_calls(const dcmem_stats *stats)
{
    return stats->driver_acquires + stats->driver_releases;
}

/* The driver has no figures; what it was asked follows from what was played. */
static void
count_driver(measured_way *out, const measure_session *session)
{
    const replay_way *driver = &session->ways[DRIVER];
    uint64_t unit = driver->target.granularity, rounds = (uint64_t)driver->played * session->repeats + 1;
    static const player_part repeated[] = {PLAYER_ROUND, PLAYER_CLEANUP};

    out->driver_calls = player_count(driver->player, PLAYER_PREAMBLE);
    out->acquired_bytes = player_taken_bytes(driver->player, PLAYER_PREAMBLE, unit);
    for (unsigned i = 0; i < 2; i++) {
        out->driver_calls += rounds * player_count(driver->player, repeated[i]);
        out->acquired_bytes += rounds * player_taken_bytes(driver->player, repeated[i], unit);
    }
}

static void
sum_pool(measurement *out, const measure_session *session)
{
    const dcmem_stats *first = session->first, *steady = session->steady, *end = session->end, *peak = session->peak;
    out->pool.driver_calls = driver_calls(end);
    out->pool.acquired_bytes = end->acquired_bytes;
    out->hit_rate = hit_rate(steady, end);
    out->peak_reserved_bytes = end->reserved_peak_bytes;
    out->reserved_over_live = ratio((double)end->reserved_peak_bytes, (double)out->peak_live_bytes);
    out->reserved_over_bound = ratio((double)end->reserved_peak_bytes, (double)out->bound_bytes);
    out->internal_waste = peak->internal_fragmentation;
    out->external_fragmentation = peak->external_fragmentation;
    out->at_peak = (struct measured_peak){
        .requested = peak->live_requested_bytes,
        .used = peak->used_bytes,
        .cached = peak->thread_cache_bytes + peak->depot_bytes,
        .free = peak->free_bytes,
        .slab_free = peak->slab_free_bytes,
        .largest_free = peak->largest_free_bytes,
        .reserved = peak->reserved_bytes,
    };
    out->first_hit_rate = hit_rate(first, steady);
    out->first_driver_calls = driver_calls(steady) - driver_calls(first);
    out->first_acquired_bytes = steady->acquired_bytes - first->acquired_bytes;
}

static void
sum_alone(measurement *out, measure_session *session)
{
    replay_way *alone = &session->ways[ALONE];
    out->alone_ns_per_op = alone->played ? median(alone->round_ns, alone->played) / session->ops : NAN;
    out->removed_beside =
        1 - (out->pool.ns_per_op - out->alone_ns_per_op) / (out->direct.ns_per_op - out->alone_ns_per_op);
}

static void
sum_up(measurement *out, measure_session *session)
{
    const allocation_trace *trace = session->trace;
    *out = (measurement){
        .ops = session->ops,
        .rounds = session->rounds,
        .repeats = session->repeats,
        .threads = session->options->has_threads ? trace->stream_count : 1,
        .alignment = trace->alignment,
        .peak_live_bytes = trace->peak_live_bytes,
        .bound_bytes = trace->bound_bytes,
    };
    sum_way(&out->direct, session, &session->ways[DRIVER]);
    sum_way(&out->pool, session, &session->ways[POOL]);
    count_driver(&out->direct, session);
    sum_pool(out, session);
    out->overhead_removed = 1 - ratio(out->pool.ns_per_op, out->direct.ns_per_op);
    sum_alone(out, session);
}

bool
measure_trace(measurement *out, const allocation_trace *trace, const measure_options *options, progress_bar *progress,
              uint64_t progress_base, char *problem, size_t problem_bytes)
{
    measure_session session = {
        .trace = trace,
        .options = options,
        .progress = progress,
        .progress_base = progress_base,
        .ways = {{.name = "the driver"}, {.name = "the pool"}},
        .problem = problem,
        .problem_bytes = problem_bytes,
    };
    session.first = cli_allocate(4, sizeof *session.first);
    session.steady = session.first + 1;
    session.end = session.first + 2;
    session.peak = session.first + 3;

    bool is_good = open_targets(&session) && create_players(&session) && play_first(&session) && play_warm(&session) &&
                   play_inspected(&session) && play_finale(&session);
    if (is_good)
        sum_up(out, &session);
    return close_all(&session, is_good);
}
