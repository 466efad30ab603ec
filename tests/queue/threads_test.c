/* Many threads on queues of their own and on shared ones: nothing is lost, no byte is another's. */
#include "queue/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 6u
#define SHARED  2u
#define BYTES   4096u

typedef struct ground {
    bench_of_queues it;
    dcmem_queue *shared[SHARED];
    dcmem_buffer *read_by_all;
    void *used_by_all;
    _Atomic unsigned calls, asked;
    _Atomic uint64_t wrong;
    uint64_t rounds;
    bool is_simulated;
} ground;

typedef struct player {
    ground *ground;
    unsigned number;
    uint64_t random;
    pthread_t thread;
} player;

static uint64_t
pick(player *me, uint64_t below)
{
    me->random = me->random * 6364136223846793005u + 1442695040888963407u;
    return (me->random >> 33) % below;
}

static void
hear(void *user, uint64_t value, dcmem_result result)
{
    (void)value;
    (void)result;
    atomic_fetch_add(&((ground *)user)->calls, 1);
}

static void
check_bytes(player *me, const unsigned char *bytes, unsigned char value)
{
    for (unsigned i = 0; i < BYTES; i++)
        if (bytes[i] != value)
            atomic_fetch_add(&me->ground->wrong, 1);
}

static void
play_buffer(player *me, dcmem_queue *queue, dcmem_queue *other)
{
    dcmem_buffer *buffer;
    unsigned char got[BYTES], value = (unsigned char)(1 + pick(me, 255));
    uint64_t until;
    EXPECT_OK(dcmem_buffer_create(&buffer, me->ground->it.manager, BYTES, NULL));
    dcmem_view whole = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_buffer_fill_on(NULL, queue, whole, &value, 1));
    EXPECT_OK(dcmem_buffer_copy_out_on(&until, other, got, whole));
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, pick(me, 2) ? queue : other));
    EXPECT_OK(dcmem_queue_wait(other, until, UINT64_MAX));
    check_bytes(me, got, value);
}

static void
play_raw(player *me, dcmem_queue *queue)
{
    unsigned char got[BYTES], value = (unsigned char)(1 + pick(me, 255));
    void *block = dcmem_raw_allocate_on(queue, BYTES);
    uint64_t until;
    EXPECT(block);
    EXPECT_OK(dcmem_raw_set_on(NULL, queue, block, value, BYTES));
    EXPECT_OK(dcmem_raw_read_on(&until, queue, got, block, BYTES));
    if (pick(me, 2))
        EXPECT_OK(dcmem_raw_use_on(queue, block));
    EXPECT_OK(dcmem_raw_free_on(queue, block));
    EXPECT_OK(dcmem_queue_wait(queue, until, UINT64_MAX));
    check_bytes(me, got, value);
}

/* What all of them read at once, and one block that all of them tell of. */
static void
play_common(player *me, dcmem_queue *queue)
{
    unsigned char got[BYTES];
    uint64_t until;
    EXPECT_OK(dcmem_raw_use_on(queue, me->ground->used_by_all));
    EXPECT_OK(dcmem_buffer_copy_out_on(&until, queue, got, dcmem_view_whole(me->ground->read_by_all)));
    if (pick(me, 4) == 0 && until > 0 && !me->ground->is_simulated) {
        atomic_fetch_add(&me->ground->asked, 1);
        EXPECT_OK(dcmem_queue_notify(queue, until, hear, me->ground));
    }
    EXPECT_OK(dcmem_queue_wait(queue, until, UINT64_MAX));
    check_bytes(me, got, 0x6b);
}

static void *
play(void *pointer)
{
    player *me = pointer;
    dcmem_queue *own;
    EXPECT_OK(dcmem_queue_create(&own, me->ground->it.manager, NULL));
    for (uint64_t round = 0; round < me->ground->rounds; round++) {
        dcmem_queue *common = me->ground->shared[pick(me, SHARED)];
        switch (pick(me, 5)) {
        case 0:
            play_buffer(me, own, common);
            break;
        case 1:
            play_buffer(me, common, own);
            break;
        case 2:
            play_raw(me, pick(me, 2) ? own : common);
            break;
        case 3:
            play_common(me, pick(me, 2) ? own : common);
            break;
        default: {
            dcmem_queue *brief;
            EXPECT_OK(dcmem_queue_create(&brief, me->ground->it.manager, NULL));
            play_raw(me, brief);
            EXPECT_OK(dcmem_queue_destroy(brief));
        }
        }
    }
    EXPECT_OK(dcmem_queue_destroy(own));
    return NULL;
}

static void
play_all(ground *of)
{
    player players[THREADS];
    for (unsigned i = 0; i < SHARED; i++)
        EXPECT_OK(dcmem_queue_create(&of->shared[i], of->it.manager, NULL));
    EXPECT_OK(dcmem_buffer_create(&of->read_by_all, of->it.manager, BYTES, NULL));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(of->read_by_all), "\x6b", 1));
    of->used_by_all = dcmem_raw_allocate(of->it.manager, BYTES);
    for (unsigned i = 0; i < THREADS; i++) {
        players[i] = (player){.ground = of, .number = i, .random = i + 7};
        EXPECT_EQ(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(players[i].thread, NULL);
    EXPECT_EQ(atomic_load(&of->wrong), 0);
    EXPECT_OK(dcmem_raw_free(of->it.manager, of->used_by_all));
    EXPECT_OK(dcmem_buffer_destroy(of->read_by_all));
    for (unsigned i = 0; i < SHARED; i++)
        EXPECT_OK(dcmem_queue_destroy(of->shared[i]));
    EXPECT_EQ(atomic_load(&of->calls), atomic_load(&of->asked));
    EXPECT_EQ(stats_of(of->it.manager).pending_bytes, 0);
}

static void
play_simulated(uint64_t rounds)
{
    ground of = {.it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 0), .rounds = rounds, .is_simulated = true};
    play_all(&of);
    bench_close(&of.it);
}

static void
play_cpu(uint64_t rounds)
{
    ground of = {.rounds = rounds};
    dcmem_manager_options options = {.size = sizeof options, .backend = "cpu"};
    EXPECT_OK(dcmem_manager_create(&of.it.manager, &options));
    play_all(&of);
    EXPECT_OK(dcmem_manager_check(of.it.manager));
    EXPECT_OK(dcmem_manager_destroy(of.it.manager));
}

TEST(threads__on_queues_of_a_simulated_device_see_no_byte_of_others)
{
    play_simulated(30);
}

LONG_TEST(threads__on_queues_of_a_simulated_device_see_no_byte_of_others_for_long)
{
    play_simulated(test_scaled(5000));
}

TEST(threads__on_queues_of_the_cpu_see_no_byte_of_others)
{
    play_cpu(30);
}

LONG_TEST(threads__on_queues_of_the_cpu_see_no_byte_of_others_for_long)
{
    play_cpu(test_scaled(5000));
}

/* A thread that ends leaves what it freed to the queue. */
static void *
free_and_go(void *pointer)
{
    bench_of_queues *it = pointer;
    for (unsigned n = 0; n < 10; n++) {
        void *block = dcmem_raw_allocate_on(it->queues[0], BYTES);
        EXPECT_OK(dcmem_raw_set_on(NULL, it->queues[0], block, 1, BYTES));
        EXPECT_OK(dcmem_raw_free_on(it->queues[0], block));
        block = dcmem_raw_allocate(it->manager, BYTES);
        EXPECT_OK(dcmem_raw_free_on(it->queues[0], block));
    }
    return NULL;
}

TEST(threads__that_end_leave_what_they_freed_on_a_queue_to_it)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, free_and_go, &it), 0);
    pthread_join(thread, NULL);
    EXPECT_GE(stats_of(it.manager).pending_bytes, BYTES);
    void *block = dcmem_raw_allocate_on(it.queues[0], BYTES);
    EXPECT_GE(stats_of(it.manager).queue_reuses, 1);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    EXPECT_OK(dcmem_queue_destroy(it.queues[0]));
    it.queues[0] = NULL;
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 0);
    bench_close(&it);
}
