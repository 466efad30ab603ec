/* player_test.c: a player does to its target what the trace says, every round from the same state, with threads too.
 *
 * The target here keeps account of what is live and checks it on every call. */
#include "cli/measure.h"
#include "cli/player.h"
#include "test.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HEAD "op,id,size,stream,t_ns\n"
#define IDS  4096

static struct {
    _Atomic unsigned char live[IDS];
    _Atomic uint64_t live_bytes, takes, gives, wrong;
    uint64_t bytes[IDS];
    uint64_t fail_take; /* the take with this number fails; 0: none */
    char order[256];    /* "+0 -0 ": of short plays without threads */
    bool keeps_order;
} account;

static void
note(char sign, uint32_t id)
{
    size_t used = strlen(account.order);
    if (account.keeps_order && used + 16 < sizeof account.order)
        snprintf(account.order + used, sizeof account.order - used, "%c%u ", sign, id);
}

static dcmem_result
take(replay_target *to, uint32_t id, uint64_t bytes)
{
    (void)to;
    if (++account.takes == account.fail_take)
        return dcmem_backend_fail(DCMEM_E_NO_MEMORY, "test", 12, "no room");
    account.wrong += atomic_exchange(&account.live[id], 1) != 0;
    account.bytes[id] = bytes;
    account.live_bytes += bytes;
    note('+', id);
    return DCMEM_OK;
}

static dcmem_result
give(replay_target *to, uint32_t id)
{
    (void)to;
    account.gives++;
    account.wrong += atomic_exchange(&account.live[id], 0) != 1;
    account.live_bytes -= account.bytes[id];
    note('-', id);
    return DCMEM_OK;
}

static replay_target target = {.take = take, .give = give};

static allocation_trace
parse(const char *text)
{
    allocation_trace trace;
    trace_problem problem;
    if (!trace_parse(&trace, text, strlen(text), &problem))
        fail_msg("line %llu: %s", (unsigned long long)problem.line, problem.message);
    return trace;
}

static trace_player *
create(const allocation_trace *trace, bool has_threads)
{
    const char *reason = "";
    memset(&account, 0, sizeof account);
    trace_player *player = player_create(trace, &target, has_threads, &reason);
    if (!player)
        fail_msg("%s", reason);
    return player;
}

static void
expect_order(const char *order)
{
    assert_string_equal(account.order, order);
    account.order[0] = '\0';
}

TEST(player__repairs_what_a_round_changed)
{
    /* 0 is old and freed, 1 is old and stays, 2 stays behind, 3 comes and goes */
    allocation_trace trace =
        parse("# preamble_ops: 2\n" HEAD "a,0,10,0,0\na,1,10,0,0\na,2,20,0,0\nf,0,10,0,0\na,3,5,0,0\nf,3,5,0,0\n");
    trace_player *player = create(&trace, false);
    account.keeps_order = true;

    EXPECT_OK(player_play(player, PLAYER_PREAMBLE, NULL));
    expect_order("+0 +1 ");
    for (int round = 0; round < 2; round++) {
        EXPECT_OK(player_play(player, PLAYER_ROUND, NULL));
        expect_order("+2 -0 +3 -3 ");
        EXPECT_OK(player_play(player, PLAYER_CLEANUP, NULL));
        expect_order("+0 -2 ");
    }
    EXPECT_OK(player_play(player, PLAYER_FINALE, NULL));
    expect_order("-0 -1 ");
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.wrong, 0);
    EXPECT_EQ(player_count(player, PLAYER_ROUND), 4);
    EXPECT_EQ(player_taken_bytes(player, PLAYER_ROUND, 8), 24 + 8);
    player_destroy(player);
    trace_fini(&trace);
}

TEST(player__tells_what_failed_and_gives_back_the_rest)
{
    allocation_trace trace = parse(HEAD "a,0,10,0,0\na,1,11,0,0\na,2,20,0,0\n");
    for (int has_threads = 0; has_threads < 2; has_threads++) {
        trace_player *player = create(&trace, has_threads);
        account.fail_take = 2;
        EXPECT_RESULT(player_play(player, PLAYER_ROUND, NULL), DCMEM_E_NO_MEMORY);
        const player_failure *failure = player_last_failure(player);
        EXPECT_EQ(failure->op.id, 1);
        EXPECT_EQ(failure->op.bytes, 11);
        assert_string_equal(failure->message, "no room");
        player_destroy(player);
        EXPECT_EQ(account.live_bytes, 0);
        EXPECT_EQ(account.wrong, 0);
    }
    trace_fini(&trace);
}

TEST(player__ends_threads_that_wait_for_an_allocation_that_failed)
{
    allocation_trace trace = parse(HEAD "a,0,10,0,0\nf,0,10,1,0\n");
    trace_player *player = create(&trace, true);
    account.fail_take = 1;
    EXPECT_RESULT(player_play(player, PLAYER_ROUND, NULL), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(account.gives, 0);
    player_destroy(player);
    trace_fini(&trace);
}

/* A trace whose blocks are freed by another stream than the one that allocated them. */
static char *
write_crossing(unsigned ids, unsigned streams)
{
    size_t capacity = 64 + (size_t)ids * 64, used;
    char *text = calloc(1, capacity);
    EXPECT(text);
    used = (size_t)snprintf(text, capacity, HEAD);
    for (unsigned id = 0; id < ids; id++) {
        used += (size_t)snprintf(text + used, capacity - used, "a,%u,%u,%u,0\n", id, id + 1, id % streams);
        if (id % 3)
            used += (size_t)snprintf(text + used, capacity - used, "f,%u,%u,%u,0\n", id, id + 1, (id / 3) % streams);
    }
    return text;
}

TEST(player__frees_only_what_another_thread_has_allocated)
{
    char *text = write_crossing(IDS, 7);
    allocation_trace trace = parse(text);
    trace_player *player = create(&trace, true);
    double ns = -1;
    for (int round = 0; round < 10; round++) {
        EXPECT_OK(player_play(player, PLAYER_ROUND, &ns));
        EXPECT(ns > 0);
        EXPECT_OK(player_play(player, PLAYER_CLEANUP, NULL));
        EXPECT_EQ(account.live_bytes, 0);
    }
    EXPECT_EQ(account.wrong, 0);
    EXPECT_EQ(account.takes, 10 * IDS);
    player_destroy(player);
    trace_fini(&trace);
    free(text);
}

TEST(player__refuses_more_threads_than_it_can_wait_for)
{
    char *text = write_crossing(600, 300);
    allocation_trace trace = parse(text);
    const char *reason = "";
    EXPECT(!player_create(&trace, &target, true, &reason));
    EXPECT(strstr(reason, "without --threads"));
    trace_fini(&trace);
    free(text);
}

static void
look(void *user)
{
    *(uint64_t *)user = account.live_bytes;
}

TEST(player__looks_when_most_is_live)
{
    allocation_trace trace = parse(HEAD "a,0,10,0,0\na,1,90,1,0\nf,0,10,0,0\na,2,5,1,0\nf,1,90,1,0\n");
    trace_player *player = create(&trace, false);
    double times[5] = {-1, -1, -1, -1, -1};
    uint64_t live = 0;
    EXPECT_OK(player_inspect(player, times, look, &live));
    EXPECT_EQ(live, 100);
    EXPECT_EQ(trace.peak_live_bytes, 100);
    for (int i = 0; i < 5; i++)
        EXPECT(times[i] >= 0);
    player_destroy(player);
    EXPECT_EQ(account.live_bytes, 0);
    trace_fini(&trace);
}

TEST(player__times_every_operation_of_every_thread)
{
    char *text = write_crossing(500, 5);
    allocation_trace trace = parse(text);
    trace_player *player = create(&trace, true);
    uint32_t count = player_count(player, PLAYER_ROUND);
    EXPECT_EQ(count, trace.op_count);
    double *times = calloc(count, sizeof *times);
    EXPECT(times);
    for (uint32_t i = 0; i < count; i++)
        times[i] = -1;
    EXPECT_OK(player_inspect(player, times, NULL, NULL));
    for (uint32_t i = 0; i < count; i++)
        EXPECT(times[i] >= 0);
    free(times);
    player_destroy(player);
    trace_fini(&trace);
    free(text);
}

TEST(measure__plays_as_many_rounds_as_fit_into_a_time)
{
    EXPECT_EQ(measure_rounds_within(1e9, 0.9e9, 1000), 0);
    EXPECT_EQ(measure_rounds_within(1e9, 1e9, 1000), 1);
    EXPECT_EQ(measure_rounds_within(1e9, 7.9e9, 1000), 7);
    EXPECT_EQ(measure_rounds_within(1e9, 7.9e9, 5), 5);
    EXPECT_EQ(measure_rounds_within(0, 1e18, 1000), 1000);
}

TEST(measure__spreads_the_fewer_rounds_evenly)
{
    for (uint32_t rounds = 1; rounds < 40; rounds++) {
        for (uint32_t fewer = 0; fewer <= rounds; fewer++) {
            uint32_t played = 0;
            for (uint32_t round = 0; round < rounds; round++) {
                played += measure_is_turn(round, fewer, rounds);
                EXPECT_LE((uint64_t)round * fewer, (uint64_t)played * rounds);
                EXPECT_LE((uint64_t)(played ? played - 1 : 0) * rounds, (uint64_t)round * fewer);
            }
            EXPECT_EQ(played, fewer);
        }
    }
}

TEST(measure__plays_about_a_second_of_rounds_but_never_too_few)
{
    EXPECT_EQ(measure_rounds(0), 1000);
    EXPECT_EQ(measure_rounds(1e6), 1000);
    EXPECT_EQ(measure_rounds(1e7), 100);
    EXPECT_EQ(measure_rounds(1e9), 5);
    EXPECT_EQ(measure_rounds(3.9e9), 5);
    EXPECT_EQ(measure_rounds(4.1e9), 3);
    EXPECT_EQ(measure_rounds(6.6e9), 3);
    EXPECT_EQ(measure_rounds(6.7e9), 1);
    EXPECT_EQ(measure_rounds(1e12), 1);
}

TEST(measure__repeats_a_short_trace_but_not_one_that_takes_long)
{
    EXPECT_EQ(measure_repeats(100, 5000, 1e3), 51);
    EXPECT_EQ(measure_repeats(5001, 5000, 1e3), 1);
    EXPECT_EQ(measure_repeats(100, 5000, 0), 51);
    EXPECT_EQ(measure_repeats(100, 5000, 3e8), 4);
    EXPECT_EQ(measure_repeats(100, 5000, 1.1e9), 1);
    EXPECT_EQ(measure_repeats(100, 5000, 1e12), 1);
}
