/* pattern.c: what is timed of allocators. One operation is one allocation and one free.
 *
 * Random choices are made in batches outside the clock, so that the time is the allocator's and the bookkeeping's that
 * any program has: a table of live blocks. Loops are always_inline with a constant shape: see allocator.h. */
#include "bench/floor.h"
#include "bench/harness.h"
#include "bench/team.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOP static inline __attribute__((always_inline)) double

#define BATCH         1024u
#define CHURN_WARM    50000u
#define QUEUE_WARM    20000u
#define QUEUE         1024u /* blocks that are on their way from one thread to the other */
#define QUEUE_LOW     4096.0
#define QUEUE_OCTAVES 6.0 /* to 256 KiB */
#define QUEUE_SIZES   4096u
#define PATIENCE      64u

#define FAILED (-1.0)

uint32_t
bench_random_size(bench_random *random, double low, double octaves)
{
    double share = (double)(bench_random_next(random) >> 11) * 0x1p-53;
    return (uint32_t)(low * exp2(share * octaves));
}

uint32_t
bench_training_size(unsigned index)
{
    /* 20 sizes, log-uniform from 512 B to 2 MiB, in multiples of 512 as tensors have. */
    double share = (double)(index % BENCH_TRAINING_SIZES) / (BENCH_TRAINING_SIZES - 1);
    return (uint32_t)(512 * exp2(share * 12)) / 512 * 512;
}

static double
processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (double)count : 1;
}

/* ---- One size: allocate, free, again ---- */

typedef struct fixed {
    bench_calls calls;
    uint64_t bytes;
} fixed;

static void *
fixed_begin(const bench_case *which, const bench_contender *contender)
{
    fixed *state = cli_allocate(1, sizeof *state);
    *state = (fixed){contender->allocator->calls, which->bytes};
    return state;
}

LOOP
fixed_loop(const bench_calls *calls, bench_shape shape, uint64_t bytes, uint64_t ops)
{
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        void *block = bench_take(calls, shape, bytes);
        if (__builtin_expect(!block, 0))
            return FAILED;
        bench_keep(block);
        bench_give(calls, shape, block);
    }
    return (double)(now_ns() - begin);
}

/* A function for each shape: in one together the compiler has too few registers, and the loop that needs most of them
 * fetches what it calls from the stack each time. */
#define FIXED_ALONE(name, shape)                                                                                       \
    static __attribute__((noinline)) double name(const bench_calls *calls, uint64_t bytes, uint64_t ops)               \
    {                                                                                                                  \
        const bench_calls own = *calls;                                                                                \
        return fixed_loop(&own, shape, bytes, ops);                                                                    \
    }

FIXED_ALONE(fixed_plain, BENCH_PLAIN)
FIXED_ALONE(fixed_managed, BENCH_MANAGED)
FIXED_ALONE(fixed_handle, BENCH_HANDLE)

static double
fixed_run(void *state, uint64_t ops)
{
    const fixed *self = state;
    bench_shape shape = self->calls.shape;
    double ns = shape == BENCH_PLAIN     ? fixed_plain(&self->calls, self->bytes, ops)
                : shape == BENCH_MANAGED ? fixed_managed(&self->calls, self->bytes, ops)
                                         : fixed_handle(&self->calls, self->bytes, ops);
    return ns / (double)ops;
}

const bench_pattern bench_fixed = {fixed_begin, fixed_run, free, false, 0};

/* ---- Churn: 1,000 live blocks of all sizes, one replaced at random ---- */

typedef struct replacement {
    uint32_t slot, bytes;
} replacement;

typedef struct churn {
    bench_calls calls;
    bool is_touched;
    bench_random random;
    void *live[BENCH_CHURN_LIVE];
    replacement batch[BATCH];
    char apart[64]; /* from the next thread's */
} churn;

static void
churn_choose(churn *state, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        state->batch[i].slot = (uint32_t)(bench_random_next(&state->random) % BENCH_CHURN_LIVE);
        state->batch[i].bytes = bench_random_size(&state->random, BENCH_CHURN_LOW, BENCH_CHURN_OCTAVES);
    }
}

LOOP
churn_loop(const bench_calls *calls, bench_shape shape, churn *state, uint32_t count, bool is_touched)
{
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        void **place = &state->live[state->batch[i].slot];
        bench_give(calls, shape, *place);
        *place = bench_take(calls, shape, state->batch[i].bytes);
        if (__builtin_expect(!*place, 0))
            return FAILED;
        if (is_touched)
            bench_touch(*place, state->batch[i].bytes);
        bench_keep(*place);
    }
    return (double)(now_ns() - begin);
}

/* The ns of `ops` replacements. */
static double
churn_work(churn *state, uint64_t ops)
{
    const bench_calls calls = state->calls;
    double ns = 0;
    while (ops) {
        uint32_t count = ops < BATCH ? (uint32_t)ops : BATCH;
        churn_choose(state, count);
        double more = state->is_touched ? BENCH_BY_SHAPE(churn_loop, &calls, state, count, true)
                                        : BENCH_BY_SHAPE(churn_loop, &calls, state, count, false);
        if (more < 0)
            return FAILED;
        ns += more;
        ops -= count;
    }
    return ns;
}

static bool
churn_fill(churn *state, const bench_case *which, const bench_contender *contender, uint64_t seed)
{
    state->calls = contender->allocator->calls;
    state->is_touched = which->is_touched;
    state->random.state = seed;
    for (unsigned i = 0; i < BENCH_CHURN_LIVE; i++) {
        uint32_t bytes = bench_random_size(&state->random, BENCH_CHURN_LOW, BENCH_CHURN_OCTAVES);
        state->live[i] = bench_take(&state->calls, state->calls.shape, bytes);
        if (!state->live[i])
            return false;
        if (state->is_touched)
            bench_touch(state->live[i], bytes);
    }
    return true;
}

static void
churn_drain(churn *state)
{
    for (unsigned i = 0; i < BENCH_CHURN_LIVE; i++)
        if (state->live[i])
            bench_give(&state->calls, state->calls.shape, state->live[i]);
}

static void
churn_end(void *state)
{
    churn_drain(state);
    free(state);
}

static void *
churn_begin(const bench_case *which, const bench_contender *contender)
{
    churn *state = cli_allocate(1, sizeof *state);
    if (churn_fill(state, which, contender, 1))
        return state;
    churn_end(state);
    return NULL;
}

static double
churn_run(void *state, uint64_t ops)
{
    return churn_work(state, ops) / (double)ops;
}

const bench_pattern bench_churn = {churn_begin, churn_run, churn_end, false, CHURN_WARM};

/* ---- Training step: 2,000 buffers of 20 repeating sizes, freed in reverse ---- */

typedef struct training {
    bench_calls calls;
    uint32_t bytes[BENCH_TRAINING_SIZES];
    void *live[BENCH_TRAINING_BUFFERS];
} training;

static void *
training_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    training *state = cli_allocate(1, sizeof *state);
    state->calls = contender->allocator->calls;
    for (unsigned i = 0; i < BENCH_TRAINING_SIZES; i++)
        state->bytes[i] = bench_training_size(i);
    return state;
}

LOOP
training_loop(const bench_calls *calls, bench_shape shape, training *state, uint64_t steps)
{
    uint64_t begin = now_ns();
    for (; steps; steps--) {
        unsigned size = 0;
        for (unsigned i = 0; i < BENCH_TRAINING_BUFFERS; i++) {
            state->live[i] = bench_take(calls, shape, state->bytes[size]);
            if (__builtin_expect(!state->live[i], 0))
                return FAILED;
            size = size + 1 == BENCH_TRAINING_SIZES ? 0 : size + 1;
        }
        bench_keep(state->live);
        for (unsigned i = BENCH_TRAINING_BUFFERS; i--;)
            bench_give(calls, shape, state->live[i]);
    }
    return (double)(now_ns() - begin);
}

static double
training_run(void *state, uint64_t ops)
{
    const bench_calls calls = ((training *)state)->calls;
    uint64_t steps = (ops + BENCH_TRAINING_BUFFERS - 1) / BENCH_TRAINING_BUFFERS;
    double ns = BENCH_BY_SHAPE(training_loop, &calls, state, steps);
    return ns / ((double)steps * BENCH_TRAINING_BUFFERS);
}

const bench_pattern bench_training = {training_begin, training_run, free, false, 0};

/* ---- Threads that share an allocator and nothing else ---- */

static void
leave(void *context, unsigned index)
{
    (void)context, (void)index;
    bench_floor_thread_end();
}

/* Each thread takes and gives blocks of one size. The time is processor time: two threads on two processors that are
 * as fast as one alone show the same number, and so do 64 threads on two. */
typedef struct contended {
    fixed work;
    unsigned threads;
    bench_team *team;
} contended;

static double
contended_job(void *context, unsigned index, uint64_t ops)
{
    (void)index;
    return fixed_run(&((contended *)context)->work, ops);
}

static void
contended_end(void *state)
{
    bench_team_destroy(((contended *)state)->team);
    free(state);
}

static void *
contended_begin(const bench_case *which, const bench_contender *contender)
{
    contended *state = cli_allocate(1, sizeof *state);
    state->work = (fixed){contender->allocator->calls, which->bytes};
    state->threads = which->threads;
    state->team = bench_team_create(which->threads, contended_job, leave, state);
    if (state->team)
        return state;
    free(state);
    return NULL;
}

static double
contended_run(void *state, uint64_t ops)
{
    const contended *self = state;
    uint64_t share = ops / self->threads + 1;
    bench_round round = bench_team_run(self->team, share);
    double busy = fmin(processors(), self->threads);
    return round.is_failed ? FAILED : round.wall_ns * busy / (double)(share * self->threads);
}

const bench_pattern bench_contended = {contended_begin, contended_run, contended_end, false, 0};

/* Each thread has a churn of its own; the time is the mean of what each one measured. */
typedef struct churns {
    unsigned threads;
    bench_team *team;
    const bench_case *which;
    const bench_contender *contender;
    churn each[];
} churns;

static double
churns_job(void *context, unsigned index, uint64_t ops)
{
    churns *self = context;
    /* A thread's own blocks come from the thread itself: its first round, outside all measuring, fills its table. */
    if (ops == 0)
        return churn_fill(&self->each[index], self->which, self->contender, index + 1) ? 0 : FAILED;
    return churn_work(&self->each[index], ops);
}

static void
churns_leave(void *context, unsigned index)
{
    churn_drain(&((churns *)context)->each[index]);
    leave(context, index);
}

static void
churns_end(void *state)
{
    bench_team_destroy(((churns *)state)->team);
    free(state);
}

static void *
churns_begin(const bench_case *which, const bench_contender *contender)
{
    churns *state = cli_allocate(1, sizeof *state + which->threads * sizeof *state->each);
    state->threads = which->threads;
    state->which = which;
    state->contender = contender;
    state->team = bench_team_create(which->threads, churns_job, churns_leave, state);
    if (state->team && !bench_team_run(state->team, 0).is_failed)
        return state;
    churns_end(state);
    return NULL;
}

static double
churns_run(void *state, uint64_t ops)
{
    const churns *self = state;
    uint64_t share = ops / self->threads + 1;
    bench_round round = bench_team_run(self->team, share);
    return round.is_failed ? FAILED : round.counted_ns / (double)(share * self->threads);
}

const bench_pattern bench_churns = {churns_begin, churns_run, churns_end, false, CHURN_WARM};

/* ---- Producer and consumer: one thread allocates, another frees ---- */

typedef struct queue {
    bench_calls calls;
    bench_team *team;
    uint32_t bytes[QUEUE_SIZES];
    _Alignas(64) _Atomic uint64_t written; /* by the producer */
    _Alignas(64) _Atomic uint64_t taken;   /* by the consumer */
    _Alignas(64) void *blocks[QUEUE];
} queue;

/* Waits until the other's count is at least `wanted` and returns it. */
static uint64_t
wait_for(const _Atomic uint64_t *count, uint64_t wanted)
{
    for (unsigned turn = 0;; turn++) {
        uint64_t now = atomic_load_explicit(count, memory_order_acquire);
        if (now >= wanted)
            return now;
        if (turn % PATIENCE == PATIENCE - 1)
            sched_yield();
    }
}

LOOP
produce(const bench_calls *calls, bench_shape shape, queue *state, uint64_t ops)
{
    uint64_t base = atomic_load_explicit(&state->written, memory_order_relaxed), taken = base;
    for (uint64_t i = 0; i < ops; i++) {
        if (base + i - taken == QUEUE)
            taken = wait_for(&state->taken, base + i - QUEUE + 1);
        void *block = bench_take(calls, shape, state->bytes[i % QUEUE_SIZES]);
        /* The consumer must see as many as it waits for, so a failure is handed on. */
        state->blocks[(base + i) % QUEUE] = block;
        atomic_store_explicit(&state->written, base + i + 1, memory_order_release);
    }
    return 0;
}

LOOP
consume(const bench_calls *calls, bench_shape shape, queue *state, uint64_t ops)
{
    uint64_t base = atomic_load_explicit(&state->taken, memory_order_relaxed), written = base;
    bool is_failed = false;
    for (uint64_t i = 0; i < ops; i++) {
        if (base + i == written)
            written = wait_for(&state->written, base + i + 1);
        void *block = state->blocks[(base + i) % QUEUE];
        is_failed |= !block;
        if (__builtin_expect(block != NULL, 1))
            bench_give(calls, shape, block);
        atomic_store_explicit(&state->taken, base + i + 1, memory_order_release);
    }
    return is_failed ? FAILED : 0;
}

static double
queue_job(void *context, unsigned index, uint64_t ops)
{
    const bench_calls calls = ((queue *)context)->calls;
    return index == 0 ? BENCH_BY_SHAPE(produce, &calls, context, ops) : BENCH_BY_SHAPE(consume, &calls, context, ops);
}

static void
queue_end(void *state)
{
    bench_team_destroy(((queue *)state)->team);
    free(state);
}

static void *
queue_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    queue *state = aligned_alloc(64, sizeof *state);
    if (!state)
        return NULL;
    memset(state, 0, sizeof *state);
    state->calls = contender->allocator->calls;
    bench_random random = {1};
    for (unsigned i = 0; i < QUEUE_SIZES; i++)
        state->bytes[i] = bench_random_size(&random, QUEUE_LOW, QUEUE_OCTAVES);
    state->team = bench_team_create(2, queue_job, leave, state);
    if (state->team)
        return state;
    free(state);
    return NULL;
}

static double
queue_run(void *state, uint64_t ops)
{
    bench_round round = bench_team_run(((queue *)state)->team, ops);
    return round.is_failed ? FAILED : round.wall_ns / (double)ops;
}

const bench_pattern bench_queue = {queue_begin, queue_run, queue_end, false, QUEUE_WARM};
