/* player.c: lanes and their threads.
 *
 * `trace`, `to`, the lanes' lists and `is_threaded` never change after creation. The job (`part`, `times`, `at_peak`,
 * `user`) is written by the caller's thread while no lane runs. `lock` guards `play_number`, `running`, `is_over` and
 * `failure`; the rest is atomic. */
#include "cli/player.h"

#include "cli/cli.h"
#include "cli/numbers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS    256u
#define SPINS          200u
#define CLOCK_READINGS 1001u
#define NOWHERE        UINT32_MAX

typedef struct op_list {
    trace_op *ops;
    uint32_t count, capacity;
} op_list;

typedef struct player_lane {
    trace_player *player;
    pthread_t thread;
    op_list parts[PLAYER_PARTS];
    uint32_t first_time; /* where this lane's times begin in the job's */
    uint32_t peak_op;    /* in its round; NOWHERE: the peak is another lane's */
    uint64_t begin_ns, end_ns;
} player_lane;

struct trace_player {
    const allocation_trace *trace;
    uint32_t lane_count, thread_count;
    player_lane *lanes;
    bool is_threaded;
    replay_target *to;
    _Atomic uint8_t *live; /* by id: what was taken and not given */
    double clock_ns;       /* what a pair of clock readings costs */

    player_part part;
    double *times; /* NULL: time the part, not its operations */
    void (*at_peak)(void *user);
    void *user;

    pthread_mutex_t lock;
    pthread_cond_t begun, ended;
    uint64_t play_number; /* lanes run once for each */
    uint32_t running;
    bool is_over;
    _Atomic bool is_stopping;
    player_failure failure;
};

/* ---- Lists ---- */

static void
append(op_list *list, trace_op op)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 256;
        list->ops = cli_grow(list->ops, list->capacity, sizeof *list->ops);
    }
    list->ops[list->count++] = op;
}

static player_lane *
lane_of(trace_player *player, const trace_op *op)
{
    return &player->lanes[player->is_threaded ? op->stream : 0];
}

/* What becomes of the ids: `births` and `deaths` are operation + 1, 0 for none. */
typedef struct lives {
    uint32_t *births, *deaths;
} lives;

static lives
find_lives(const allocation_trace *trace)
{
    lives found = {cli_allocate(trace->id_count, sizeof(uint32_t)), cli_allocate(trace->id_count, sizeof(uint32_t))};
    for (uint32_t i = 0; i < trace->op_count; i++) {
        const trace_op *op = &trace->ops[i];
        (op->is_free ? found.deaths : found.births)[op->id] = i + 1;
    }
    return found;
}

/* Each id that outlives its part of the trace, or is freed out of the preamble, must be put back. */
static void
list_repairs(trace_player *player, const lives *found)
{
    const allocation_trace *trace = player->trace;
    for (uint32_t id = 0; id < trace->id_count; id++) {
        trace_op op = trace->ops[found->births[id] - 1];
        uint32_t death = found->deaths[id];
        bool is_old = found->births[id] <= trace->preamble_count;
        player_lane *lane = lane_of(player, &op);

        if (is_old && death > trace->preamble_count)
            append(&lane->parts[PLAYER_CLEANUP], op);
        op.is_free = true;
        if (!is_old && death == 0)
            append(&lane->parts[PLAYER_CLEANUP], op);
        if (is_old && (death == 0 || death > trace->preamble_count))
            append(&lane->parts[PLAYER_FINALE], op);
    }
}

static void
list_ops(trace_player *player)
{
    const allocation_trace *trace = player->trace;
    lives found = find_lives(trace);
    for (uint32_t i = 0; i < trace->op_count; i++) {
        player_lane *lane = lane_of(player, &trace->ops[i]);
        bool is_round = i >= trace->preamble_count;
        if (i == trace->peak_op)
            lane->peak_op = lane->parts[PLAYER_ROUND].count;
        append(&lane->parts[is_round ? PLAYER_ROUND : PLAYER_PREAMBLE], trace->ops[i]);
    }
    list_repairs(player, &found);
    free(found.births);
    free(found.deaths);

    uint32_t first = 0;
    for (uint32_t i = 0; i < player->lane_count; i++) {
        player->lanes[i].first_time = first;
        first += player->lanes[i].parts[PLAYER_ROUND].count;
    }
}

/* ---- One lane ---- */

static void
note_failure(trace_player *player, dcmem_result result, const trace_op *op)
{
    pthread_mutex_lock(&player->lock);
    if (!player->failure.result) {
        player->failure.result = result;
        player->failure.op = *op;
        snprintf(player->failure.message, sizeof player->failure.message, "%s", dcmem_last_detail()->message);
    }
    pthread_mutex_unlock(&player->lock);
    atomic_store(&player->is_stopping, true);
}

/* False when the play stops before the allocation comes. */
static bool
wait_until_live(trace_player *player, uint32_t id)
{
    for (unsigned spin = 0; !atomic_load_explicit(&player->live[id], memory_order_acquire); spin++) {
        if (spin < SPINS)
            continue;
        if (atomic_load_explicit(&player->is_stopping, memory_order_relaxed))
            return false;
        sched_yield();
    }
    return true;
}

static inline dcmem_result
run_op(trace_player *player, replay_target *to, const trace_op *op)
{
    if (op->is_free) {
        atomic_store_explicit(&player->live[op->id], 0, memory_order_relaxed);
        return to->give(to, op->id);
    }
    dcmem_result result = to->take(to, op->id, op->bytes);
    if (!result)
        atomic_store_explicit(&player->live[op->id], 1, memory_order_release);
    return result;
}

static void
run_plain(player_lane *lane, const op_list *list)
{
    trace_player *player = lane->player;
    replay_target *to = player->to;
    bool is_threaded = player->is_threaded;
    for (uint32_t i = 0; i < list->count; i++) {
        const trace_op *op = &list->ops[i];
        if (is_threaded && op->is_free && !wait_until_live(player, op->id))
            return;
        dcmem_result result = run_op(player, to, op);
        if (result) {
            note_failure(player, result, op);
            return;
        }
    }
}

static void
run_timed(player_lane *lane, const op_list *list)
{
    trace_player *player = lane->player;
    replay_target *to = player->to;
    for (uint32_t i = 0; i < list->count; i++) {
        const trace_op *op = &list->ops[i];
        if (op->is_free && !wait_until_live(player, op->id))
            return;
        uint64_t begin = now_ns();
        dcmem_result result = run_op(player, to, op);
        double ns = (double)(now_ns() - begin) - player->clock_ns;
        if (result) {
            note_failure(player, result, op);
            return;
        }
        player->times[lane->first_time + i] = ns > 0 ? ns : 0;
        if (i == lane->peak_op && player->at_peak)
            player->at_peak(player->user);
    }
}

static void
run_lane(player_lane *lane)
{
    const op_list *list = &lane->parts[lane->player->part];
    lane->begin_ns = now_ns();
    if (lane->player->times)
        run_timed(lane, list);
    else
        run_plain(lane, list);
    lane->end_ns = now_ns();
}

/* Waits for the next play; false when there is none. */
static bool
next_play(trace_player *player, uint64_t *seen)
{
    pthread_mutex_lock(&player->lock);
    while (player->play_number == *seen && !player->is_over)
        pthread_cond_wait(&player->begun, &player->lock);
    *seen = player->play_number;
    bool is_over = player->is_over;
    pthread_mutex_unlock(&player->lock);
    return !is_over;
}

static void *
serve_lane(void *argument)
{
    player_lane *lane = argument;
    trace_player *player = lane->player;
    uint64_t seen = 0;
    while (next_play(player, &seen)) {
        run_lane(lane);
        pthread_mutex_lock(&player->lock);
        if (--player->running == 0)
            pthread_cond_signal(&player->ended);
        pthread_mutex_unlock(&player->lock);
    }
    return NULL;
}

/* ---- The player ---- */

/* What a pair of clock readings costs, so that it can be taken off. */
static double
measure_clock(void)
{
    double costs[CLOCK_READINGS];
    for (unsigned i = 0; i < CLOCK_READINGS; i++) {
        uint64_t begin = now_ns();
        costs[i] = (double)(now_ns() - begin);
    }
    return median(costs, CLOCK_READINGS);
}

static void
end_threads(trace_player *player)
{
    pthread_mutex_lock(&player->lock);
    player->is_over = true;
    pthread_cond_broadcast(&player->begun);
    pthread_mutex_unlock(&player->lock);
    for (uint32_t i = 0; i < player->thread_count; i++)
        pthread_join(player->lanes[i].thread, NULL);
}

static bool
start_threads(trace_player *player, const char **reason)
{
    if (player->lane_count > MAX_THREADS) {
        *reason = "the trace has more than 256 streams; replay it without --threads";
        return false;
    }
    for (uint32_t i = 0; i < player->lane_count; i++) {
        if (pthread_create(&player->lanes[i].thread, NULL, serve_lane, &player->lanes[i])) {
            *reason = "the system gives no more threads; replay it without --threads";
            return false;
        }
        player->thread_count++;
    }
    return true;
}

trace_player *
player_create(const allocation_trace *trace, replay_target *to, bool has_threads, const char **reason)
{
    trace_player *player = cli_allocate(1, sizeof *player);
    player->trace = trace;
    player->to = to;
    player->is_threaded = has_threads;
    player->lane_count = has_threads ? trace->stream_count : 1;
    player->lanes = cli_allocate(player->lane_count, sizeof *player->lanes);
    player->live = cli_allocate(trace->id_count, sizeof *player->live);
    player->clock_ns = measure_clock();
    pthread_mutex_init(&player->lock, NULL);
    pthread_cond_init(&player->begun, NULL);
    pthread_cond_init(&player->ended, NULL);
    for (uint32_t i = 0; i < player->lane_count; i++) {
        player->lanes[i].player = player;
        player->lanes[i].peak_op = NOWHERE;
    }
    list_ops(player);
    if (has_threads && !start_threads(player, reason)) {
        player_destroy(player);
        return NULL;
    }
    return player;
}

void
player_destroy(trace_player *player)
{
    if (!player)
        return;
    end_threads(player);
    for (uint32_t id = 0; id < player->trace->id_count; id++)
        if (player->live[id])
            (void)player->to->give(player->to, id); /* the first failure is the one that was told */
    for (uint32_t i = 0; i < player->lane_count; i++)
        for (unsigned part = 0; part < PLAYER_PARTS; part++)
            free(player->lanes[i].parts[part].ops);
    pthread_cond_destroy(&player->begun);
    pthread_cond_destroy(&player->ended);
    pthread_mutex_destroy(&player->lock);
    free(player->lanes);
    free((void *)player->live);
    free(player);
}

uint32_t
player_count(const trace_player *player, player_part part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < player->lane_count; i++)
        count += player->lanes[i].parts[part].count;
    return count;
}

uint64_t
player_taken_bytes(const trace_player *player, player_part part, uint64_t unit)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < player->lane_count; i++) {
        const op_list *list = &player->lanes[i].parts[part];
        for (uint32_t j = 0; j < list->count; j++)
            if (!list->ops[j].is_free)
                bytes += (list->ops[j].bytes + unit - 1) / unit * unit;
    }
    return bytes;
}

static dcmem_result
play(trace_player *player)
{
    if (!player->is_threaded) {
        run_lane(&player->lanes[0]);
        return player->failure.result;
    }
    pthread_mutex_lock(&player->lock);
    player->running = player->lane_count;
    player->play_number++;
    pthread_cond_broadcast(&player->begun);
    while (player->running)
        pthread_cond_wait(&player->ended, &player->lock);
    dcmem_result result = player->failure.result;
    pthread_mutex_unlock(&player->lock);
    return result;
}

dcmem_result
player_play(trace_player *player, player_part part, double *out_ns)
{
    player->part = part;
    player->times = NULL;
    dcmem_result result = play(player);
    if (result || !out_ns)
        return result;

    uint64_t begin = UINT64_MAX, end = 0;
    for (uint32_t i = 0; i < player->lane_count; i++) {
        const player_lane *lane = &player->lanes[i];
        begin = lane->begin_ns < begin ? lane->begin_ns : begin;
        end = lane->end_ns > end ? lane->end_ns : end;
    }
    *out_ns = (double)(end - begin);
    return DCMEM_OK;
}

dcmem_result
player_inspect(trace_player *player, double *out_ns, void (*at_peak)(void *user), void *user)
{
    player->part = PLAYER_ROUND;
    player->times = out_ns;
    player->at_peak = at_peak;
    player->user = user;
    return play(player);
}

const player_failure *
player_last_failure(const trace_player *player)
{
    return &player->failure;
}
