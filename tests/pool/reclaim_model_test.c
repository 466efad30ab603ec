/* reclaim_model_test.c: every interleaving of a cache's owner with those who empty it from outside (pool/cache.h).
 *
 * A machine of its own: threads are lists of steps over shared words; each thread has a store buffer, first in first
 * out, that empties whenever it likes, as x86 does (TSO). The explorer visits every state that can be reached and asks
 * of each: is at most one thread inside, is every block in one place, can everybody end?
 *
 * The protocol's steps can be left out one by one. An explorer that then still finds nothing wrong would prove nothing,
 * so for each step there is a test that it is missed. */
#include "test.h"

#define THREADS 3u
#define BUFFER  6u
#define BLOCKS  2u

/* Words that threads share. */
enum word { BUSY, HANDLE, LOCK, COUNT, ENTRY_0, ENTRY_1, WORDS };

#define PUBLISHED 1u

typedef struct store {
    uint8_t word, value;
} store;

typedef struct thread_state {
    uint8_t at; /* next step */
    uint8_t round;
    uint8_t is_inside;
    uint8_t count, block; /* registers */
    uint8_t held;         /* set of blocks that it has in hand */
    uint8_t stores;
    store buffer[BUFFER];
} thread_state;

typedef struct machine {
    uint8_t words[WORDS];
    uint8_t given_back; /* set of blocks that reclaimers brought to the region */
    thread_state threads[THREADS];
} machine;

/* What of the protocol is there. */
typedef struct protocol {
    bool has_owner_fence;     /* a full fence instead of a word to the compiler */
    bool has_heavy_fence;     /* makes the owner pass a barrier too */
    bool has_reclaimer_fence; /* an ordinary one, of the reclaimer alone */
    bool has_busy_wait;
    bool has_handle_check;
    bool has_lock;       /* on slow paths, and between reclaimers */
    bool fence_is_early; /* before the handle's store */
    unsigned reclaimers;
} protocol;

static const protocol membarrier = {
    .has_heavy_fence = true, .has_busy_wait = true, .has_handle_check = true, .has_lock = true, .reclaimers = 2};
static const protocol portable = {.has_owner_fence = true,
                                  .has_reclaimer_fence = true,
                                  .has_busy_wait = true,
                                  .has_handle_check = true,
                                  .has_lock = true,
                                  .reclaimers = 2};

typedef struct explorer {
    const protocol *how;
    machine *seen; /* open addressing */
    uint8_t *is_seen;
    size_t room, count;
    machine *stack;
    size_t depth;
    const char *wrong;
} explorer;

/* ---- The machine ---- */

static uint8_t
load(const machine *s, const thread_state *thread, enum word word)
{
    for (unsigned i = thread->stores; i-- > 0;)
        if (thread->buffer[i].word == word)
            return thread->buffer[i].value;
    return s->words[word];
}

static void
save(thread_state *thread, enum word word, uint8_t value)
{
    thread->buffer[thread->stores++] = (store){(uint8_t)word, value};
}

static void
commit_oldest(machine *s, thread_state *thread)
{
    s->words[thread->buffer[0].word] = thread->buffer[0].value;
    thread->stores--;
    for (unsigned i = 0; i < thread->stores; i++)
        thread->buffer[i] = thread->buffer[i + 1];
    thread->buffer[thread->stores] = (store){0, 0}; /* equal states must look equal */
}

static void
drain(machine *s, thread_state *thread)
{
    while (thread->stores > 0)
        commit_oldest(s, thread);
}

/* A compare-and-swap: it acts on memory itself. False: the thread must wait. */
static bool
lock_take(machine *s, thread_state *thread)
{
    drain(s, thread);
    if (s->words[LOCK])
        return false;
    s->words[LOCK] = 1;
    return true;
}

static void
lock_drop(machine *s, thread_state *thread)
{
    drain(s, thread);
    s->words[LOCK] = 0;
}

/* ---- The owner: takes a block, then gives it, twice over; each way fast or slow ---- */

enum owner_step {
    OWNER_ENTER,
    OWNER_FENCE,
    OWNER_CHECK,
    OWNER_READ_COUNT,
    OWNER_MOVE,
    OWNER_WRITE_COUNT,
    OWNER_LEAVE,
    OWNER_SLOW_LEAVE,
    OWNER_SLOW_LOCK,
    OWNER_SLOW_READ_COUNT,
    OWNER_SLOW_MOVE,
    OWNER_SLOW_WRITE_COUNT,
    OWNER_SLOW_UNLOCK,
    OWNER_DONE
};

#define OWNER_ROUNDS 3u

static void
owner_next_round(thread_state *me)
{
    me->is_inside = 0;
    me->count = me->block = 0;
    me->at = ++me->round < OWNER_ROUNDS ? OWNER_ENTER : OWNER_DONE;
}

/* Takes while it has none, else gives. */
static void
owner_move(const machine *s, thread_state *me)
{
    if (me->held) {
        me->block = me->held;
        save(me, ENTRY_0 + me->count, me->held);
        me->held = 0;
        me->count++;
    } else if (me->count > 0) {
        me->count--;
        me->held = load(s, me, ENTRY_0 + me->count);
    }
}

static bool
owner_step(machine *s, thread_state *me, const protocol *how)
{
    switch ((enum owner_step)me->at) {
    case OWNER_ENTER:
        save(me, BUSY, 1);
        break;
    case OWNER_FENCE:
        if (how->has_owner_fence)
            drain(s, me);
        break;
    case OWNER_CHECK:
        if (how->has_handle_check && load(s, me, HANDLE) != PUBLISHED) {
            me->at = OWNER_SLOW_LEAVE;
            return true;
        }
        me->is_inside = 1;
        break;
    case OWNER_READ_COUNT:
    case OWNER_SLOW_READ_COUNT:
        me->count = load(s, me, COUNT);
        break;
    case OWNER_MOVE:
    case OWNER_SLOW_MOVE:
        owner_move(s, me);
        break;
    case OWNER_WRITE_COUNT:
    case OWNER_SLOW_WRITE_COUNT:
        save(me, COUNT, me->count);
        break;
    case OWNER_LEAVE:
        save(me, BUSY, 0);
        owner_next_round(me);
        return true;
    case OWNER_SLOW_LEAVE:
        save(me, BUSY, 0);
        break;
    case OWNER_SLOW_LOCK:
        if (how->has_lock && !lock_take(s, me))
            return false;
        me->is_inside = 1;
        break;
    case OWNER_SLOW_UNLOCK:
        if (how->has_lock)
            lock_drop(s, me);
        owner_next_round(me);
        return true;
    case OWNER_DONE:
        return false;
    }
    me->at++;
    return true;
}

/* ---- A reclaimer: locks the owner out, empties the magazine, lets him in again ---- */

enum reclaimer_step {
    RECLAIM_LOCK,
    RECLAIM_EARLY_FENCE,
    RECLAIM_HIDE,
    RECLAIM_FENCE,
    RECLAIM_WAIT,
    RECLAIM_READ_COUNT,
    RECLAIM_TAKE,
    RECLAIM_WRITE_COUNT,
    RECLAIM_PUBLISH,
    RECLAIM_UNLOCK,
    RECLAIM_DONE
};

static void
fence(machine *s, thread_state *me, const protocol *how)
{
    if (how->has_reclaimer_fence)
        drain(s, me);
    for (unsigned i = 0; how->has_heavy_fence && i < THREADS; i++)
        drain(s, &s->threads[i]);
}

static bool
reclaimer_step(machine *s, thread_state *me, const protocol *how)
{
    switch ((enum reclaimer_step)me->at) {
    case RECLAIM_LOCK:
        if (how->has_lock && !lock_take(s, me))
            return false;
        break;
    case RECLAIM_EARLY_FENCE:
        if (how->fence_is_early)
            fence(s, me, how);
        break;
    case RECLAIM_HIDE:
        save(me, HANDLE, 0);
        break;
    case RECLAIM_FENCE:
        if (!how->fence_is_early)
            fence(s, me, how);
        break;
    case RECLAIM_WAIT:
        if (how->has_busy_wait && load(s, me, BUSY))
            return false;
        me->is_inside = 1;
        break;
    case RECLAIM_READ_COUNT:
        me->count = load(s, me, COUNT);
        break;
    case RECLAIM_TAKE:
        while (me->count > 0) {
            me->count--;
            uint8_t block = load(s, me, ENTRY_0 + me->count);
            me->block |= (uint8_t)(s->given_back & block); /* twice */
            s->given_back |= block;
        }
        break;
    case RECLAIM_WRITE_COUNT:
        save(me, COUNT, 0);
        break;
    case RECLAIM_PUBLISH:
        me->is_inside = 0;
        save(me, HANDLE, PUBLISHED);
        break;
    case RECLAIM_UNLOCK:
        if (how->has_lock)
            lock_drop(s, me);
        break;
    case RECLAIM_DONE:
        return false;
    }
    me->at++;
    return true;
}

/* ---- What must hold ---- */

static bool
is_done(const machine *s, const protocol *how)
{
    bool are_done = s->threads[0].at == OWNER_DONE && s->threads[0].stores == 0;
    for (unsigned i = 1; i <= how->reclaimers; i++)
        are_done = are_done && s->threads[i].at == RECLAIM_DONE && s->threads[i].stores == 0;
    return are_done;
}

static const char *
wrong_in(const machine *s, const protocol *how)
{
    unsigned inside = 0;
    for (unsigned i = 0; i < THREADS; i++)
        inside += s->threads[i].is_inside;
    if (inside > 1)
        return "two threads are inside";
    for (unsigned i = 1; i < THREADS; i++)
        if (s->threads[i].block)
            return "a block was given back twice";
    if (s->threads[0].held & s->given_back)
        return "a block that is in use was given back";
    if (!is_done(s, how))
        return NULL;

    uint8_t found = s->given_back | s->threads[0].held;
    unsigned places = (unsigned)__builtin_popcount(s->given_back) + (s->threads[0].held != 0) + s->words[COUNT];
    for (unsigned i = 0; i < s->words[COUNT]; i++)
        found |= s->words[ENTRY_0 + i];
    if (found != (1u << BLOCKS) - 1)
        return "a block is lost";
    return places == BLOCKS ? NULL : "a block is in two places";
}

/* ---- The explorer ---- */

static uint64_t
hash(const machine *s)
{
    const uint8_t *bytes = (const uint8_t *)s;
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *s; i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return h ^ h >> 29;
}

/* Keeps a state that is new; every state is looked at once. */
static void
visit(explorer *e, const machine *s)
{
    size_t at = hash(s) % e->room;
    while (e->is_seen[at]) {
        if (memcmp(&e->seen[at], s, sizeof *s) == 0)
            return;
        at = (at + 1) % e->room;
    }
    e->is_seen[at] = 1;
    e->seen[at] = *s;
    e->stack[e->depth++] = *s;
    if (++e->count * 2 > e->room)
        TEST_FAIL("more states than there is room for");
    if (!e->wrong)
        e->wrong = wrong_in(s, e->how);
}

static bool
thread_step(machine *s, unsigned i, const protocol *how)
{
    return i == 0 ? owner_step(s, &s->threads[0], how) : reclaimer_step(s, &s->threads[i], how);
}

/* All that can happen next. */
static void
expand(explorer *e, const machine *s)
{
    bool has_next = false;
    for (unsigned i = 0; i <= e->how->reclaimers; i++) {
        machine next = *s;
        /* With its buffer full a thread waits, as processors do. */
        bool did = s->threads[i].stores < BUFFER && thread_step(&next, i, e->how);
        /* What waits may have drained its buffer on the way, which is progress too. */
        if (did || memcmp(&next, s, sizeof next) != 0) {
            has_next = true;
            visit(e, &next);
        }
        if (s->threads[i].stores > 0) {
            next = *s;
            commit_oldest(&next, &next.threads[i]);
            has_next = true;
            visit(e, &next);
        }
    }
    if (!has_next && !is_done(s, e->how) && !e->wrong)
        e->wrong = "everybody waits";
}

/* NULL, or the first thing that is wrong in any state. */
static const char *
explore(const protocol *how)
{
    explorer e = {.how = how, .room = 1u << 17};
    e.seen = calloc(e.room, sizeof *e.seen);
    e.is_seen = calloc(e.room, 1);
    e.stack = calloc(e.room, sizeof *e.stack);
    EXPECT(e.seen && e.is_seen && e.stack);

    machine begin;
    memset(&begin, 0, sizeof begin);
    begin.words[HANDLE] = PUBLISHED;
    begin.words[COUNT] = BLOCKS;
    begin.words[ENTRY_0] = 1;
    begin.words[ENTRY_1] = 2;
    visit(&e, &begin);
    while (e.depth > 0 && !e.wrong) {
        machine s = e.stack[--e.depth];
        expand(&e, &s);
    }
    if (!e.wrong && e.count < 1000)
        e.wrong = "too few states were reached for this to mean anything";
    free(e.seen);
    free(e.is_seen);
    free(e.stack);
    return e.wrong;
}

#define EXPECT_SOUND(how)                                                                                              \
    do {                                                                                                               \
        const char *wrong = explore(how);                                                                              \
        if (wrong)                                                                                                     \
            TEST_FAIL("%s", wrong);                                                                                    \
    } while (0)

#define EXPECT_TWO_INSIDE(how)                                                                                         \
    do {                                                                                                               \
        const char *wrong = explore(how);                                                                              \
        if (!wrong || strcmp(wrong, "two threads are inside") != 0)                                                    \
            TEST_FAIL("found: %s", wrong ? wrong : "nothing");                                                         \
    } while (0)

/* ---- The protocol ---- */

TEST(model__with_membarrier_one_is_inside_and_no_block_is_lost)
{
    EXPECT_SOUND(&membarrier);
}

TEST(model__with_fences_on_both_sides_one_is_inside_and_no_block_is_lost)
{
    EXPECT_SOUND(&portable);
}

TEST(model__a_single_reclaimer_changes_nothing)
{
    protocol how = membarrier;
    how.reclaimers = 1;
    EXPECT_SOUND(&how);
}

/* ---- The model can fail ---- */

TEST(model__without_the_heavy_fence_two_are_inside)
{
    protocol how = membarrier;
    how.has_heavy_fence = false;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__a_fence_of_the_reclaimer_alone_is_not_enough)
{
    protocol how = membarrier;
    how.has_heavy_fence = false;
    how.has_reclaimer_fence = true;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__a_fence_of_the_owner_alone_is_not_enough)
{
    protocol how = portable;
    how.has_reclaimer_fence = false;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__a_fence_before_the_handle_is_hidden_is_too_early)
{
    protocol how = membarrier;
    how.fence_is_early = true;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__without_the_wait_for_busy_two_are_inside)
{
    protocol how = membarrier;
    how.has_busy_wait = false;
    EXPECT_TWO_INSIDE(&how);
    how = portable;
    how.has_busy_wait = false;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__without_the_check_of_the_handle_two_are_inside)
{
    protocol how = membarrier;
    how.has_handle_check = false;
    EXPECT_TWO_INSIDE(&how);
}

TEST(model__without_the_lock_two_are_inside)
{
    protocol how = membarrier;
    how.has_lock = false;
    EXPECT_TWO_INSIDE(&how);
}
