/* team.c: a gate, a round, a sleep.
 *
 * `lock` guards round, ops, is_over and finished. `waiting` opens the gate: the last thread to arrive lets all go, so
 * that nobody is timed while others are still waking up. */
#include "bench/team.h"

#include "cli/cli.h"
#include "cli/numbers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PATIENCE 256u /* turns of a spin before the processor is offered to others */

typedef struct member {
    _Alignas(64) bench_team *team;
    pthread_t thread;
    unsigned index;
    uint64_t begin_ns, end_ns;
    double counted_ns;
} member;

struct bench_team {
    pthread_mutex_t lock;
    pthread_cond_t is_due, is_done;
    unsigned count, finished;
    uint64_t round, ops;
    bool is_over;
    bench_job job;
    void (*end)(void *context, unsigned index);
    void *context;
    _Alignas(64) _Atomic unsigned waiting; /* threads that have not come to the gate of this round */
    member *members;
};

static void
wait_at_gate(bench_team *team)
{
    atomic_fetch_sub_explicit(&team->waiting, 1, memory_order_acq_rel);
    for (unsigned turn = 0; atomic_load_explicit(&team->waiting, memory_order_acquire); turn++)
        if (turn % PATIENCE == PATIENCE - 1)
            sched_yield();
}

static void *
live(void *argument)
{
    member *self = argument;
    bench_team *team = self->team;
    uint64_t seen = 0;
    for (;;) {
        pthread_mutex_lock(&team->lock);
        while (team->round == seen && !team->is_over)
            pthread_cond_wait(&team->is_due, &team->lock);
        bool is_over = team->is_over;
        uint64_t ops = team->ops;
        seen = team->round;
        pthread_mutex_unlock(&team->lock);
        if (is_over)
            break;

        wait_at_gate(team);
        self->begin_ns = now_ns();
        self->counted_ns = team->job(team->context, self->index, ops);
        self->end_ns = now_ns();

        pthread_mutex_lock(&team->lock);
        if (++team->finished == team->count)
            pthread_cond_signal(&team->is_done);
        pthread_mutex_unlock(&team->lock);
    }
    if (team->end)
        team->end(team->context, self->index);
    return NULL;
}

bench_team *
bench_team_create(unsigned count, bench_job job, void (*end)(void *context, unsigned index), void *context)
{
    bench_team *team = aligned_alloc(64, sizeof *team);
    member *members = aligned_alloc(64, count * sizeof *members);
    if (!team || !members) {
        free(team);
        free(members);
        return NULL;
    }
    *team = (bench_team){.job = job, .end = end, .context = context, .members = members};
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->is_due, NULL);
    pthread_cond_init(&team->is_done, NULL);
    for (; team->count < count; team->count++) {
        member *next = &members[team->count];
        *next = (member){.team = team, .index = team->count};
        if (pthread_create(&next->thread, NULL, live, next)) {
            bench_team_destroy(team);
            return NULL;
        }
    }
    return team;
}

void
bench_team_destroy(bench_team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->lock);
    team->is_over = true;
    pthread_cond_broadcast(&team->is_due);
    pthread_mutex_unlock(&team->lock);
    for (unsigned i = 0; i < team->count; i++)
        pthread_join(team->members[i].thread, NULL);
    pthread_cond_destroy(&team->is_done);
    pthread_cond_destroy(&team->is_due);
    pthread_mutex_destroy(&team->lock);
    free(team->members);
    free(team);
}

bench_round
bench_team_run(bench_team *team, uint64_t ops)
{
    pthread_mutex_lock(&team->lock);
    team->finished = 0;
    team->ops = ops;
    atomic_store_explicit(&team->waiting, team->count, memory_order_release);
    team->round++;
    pthread_cond_broadcast(&team->is_due);
    while (team->finished < team->count)
        pthread_cond_wait(&team->is_done, &team->lock);
    pthread_mutex_unlock(&team->lock);

    bench_round round = {.wall_ns = 0};
    uint64_t begin = UINT64_MAX, end = 0;
    for (unsigned i = 0; i < team->count; i++) {
        const member *one = &team->members[i];
        begin = one->begin_ns < begin ? one->begin_ns : begin;
        end = one->end_ns > end ? one->end_ns : end;
        round.counted_ns += one->counted_ns;
        round.is_failed |= one->counted_ns < 0;
    }
    round.wall_ns = (double)(end - begin);
    return round;
}
