/* Wrong calls on queues, many of them and by several threads at once: each gets the result that its header names, and
 * what is right goes on. */
#include "queue/kit.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4u
#define BYTES   4096u

typedef struct ground {
    bench_of_queues it, other;
    dcmem_queue *stale;
    void *theirs; /* a block of the other manager's */
    dcmem_buffer *buffer_of_other, *gone;
    uint64_t calls;
} ground;

typedef struct player {
    const ground *ground;
    uint64_t random;
    const char *wrong; /* the first call with another result than is due */
    dcmem_result got;
    unsigned char *block;
    dcmem_buffer *buffer;
    pthread_t thread;
} player;

static uint64_t
pick(player *me, uint64_t below)
{
    me->random = me->random * 6364136223846793005u + 1442695040888963407u;
    return (me->random >> 33) % below;
}

static void
expect(player *me, const char *what, dcmem_result got, dcmem_result due)
{
    bool is_told = !due || dcmem_last_detail()->result == due;
    if ((got == due && is_told) || me->wrong)
        return;
    me->wrong = what;
    me->got = got;
}

static dcmem_result
of_address(const void *address)
{
    return address ? DCMEM_OK : dcmem_last_detail()->result;
}

static void
hear(void *user, uint64_t value, dcmem_result result)
{
    (void)user;
    (void)value;
    (void)result;
}

/* A queue that is none, and what every call says of it. */
static void
call_no_queue(player *me)
{
    static const uintptr_t numbers[] = {0, 1, 0xfff, UINTPTR_MAX, (uintptr_t)1 << 60};
    uint64_t kind = pick(me, 6), value;
    dcmem_queue *queue = kind < 5 ? (dcmem_queue *)numbers[kind] : me->ground->stale;
    dcmem_result due = kind < 5 ? DCMEM_E_NOT_A_QUEUE : DCMEM_E_STALE_QUEUE;
    dcmem_view view = dcmem_view_whole(me->buffer);
    dcmem_access access;
    char host[16] = {0};
    switch (pick(me, 17)) {
    case 0:
        if (queue)
            expect(me, "destroy", dcmem_queue_destroy(queue), due);
        break;
    case 1:
        expect(me, "mark", dcmem_queue_mark(&value, queue), due);
        break;
    case 2:
        expect(me, "completed", dcmem_queue_completed(&value, queue), due);
        break;
    case 3:
        expect(me, "wait", dcmem_queue_wait(queue, pick(me, 9), pick(me, 2) ? UINT64_MAX : 0), due);
        break;
    case 4:
        expect(me, "notify", dcmem_queue_notify(queue, 1, hear, me), due);
        break;
    case 5:
        expect(me, "allocate_on", of_address(dcmem_raw_allocate_on(queue, BYTES)), due);
        break;
    case 6:
        expect(me, "use_on", dcmem_raw_use_on(queue, me->block), due);
        break;
    case 7:
        expect(me, "free_on", dcmem_raw_free_on(queue, me->block), due);
        break;
    case 8:
        expect(me, "set_on", dcmem_raw_set_on(NULL, queue, me->block, 1, BYTES), due);
        break;
    case 9:
        expect(me, "copy_on", dcmem_raw_copy_on(NULL, queue, me->block, me->block + 64, 64), due);
        break;
    case 10:
        expect(me, "write_on", dcmem_raw_write_on(NULL, queue, me->block, host, 16), due);
        break;
    case 11:
        expect(me, "read_on", dcmem_raw_read_on(NULL, queue, host, me->block, 16), due);
        break;
    case 12:
        expect(me, "begin_on", dcmem_access_begin_on(&access, view, DCMEM_ACCESS_WRITE, queue, 0), due);
        break;
    case 13:
        expect(me, "buffer_copy_on", dcmem_buffer_copy_on(NULL, queue, view, view), due);
        break;
    case 14:
        expect(me, "fill_on", dcmem_buffer_fill_on(NULL, queue, view, "x", 1), due);
        break;
    case 15:
        expect(me, "copy_in_on", dcmem_buffer_copy_in_on(NULL, queue, view, host), due);
        break;
    default:
        expect(me, "destroy_on", dcmem_buffer_destroy_on(me->buffer, queue), due);
    }
}

static void
call_on_wrong_memory(player *me)
{
    dcmem_queue *queue = me->ground->it.queues[pick(me, 2)];
    unsigned char local[64] = {0}, *addresses[] = {NULL, local, me->ground->theirs, me->block + 8};
    static const dcmem_result dues[] = {DCMEM_E_UNKNOWN_ADDRESS, DCMEM_E_UNKNOWN_ADDRESS, DCMEM_E_FOREIGN,
                                        DCMEM_E_INTERIOR};
    uint64_t kind = pick(me, 4);
    unsigned char *address = addresses[kind];
    dcmem_result due = dues[kind];
    switch (pick(me, 6)) {
    case 0:
        if (kind)
            expect(me, "free_on", dcmem_raw_free_on(queue, address), due);
        break;
    case 1:
        expect(me, "use_on", dcmem_raw_use_on(queue, address), due);
        break;
    case 2:
        if (kind < 3)
            expect(me, "set_on", dcmem_raw_set_on(NULL, queue, address, 1, 8), due);
        break;
    case 3:
        if (kind < 3)
            expect(me, "copy_on", dcmem_raw_copy_on(NULL, queue, me->block, address, 8), due);
        break;
    case 4:
        expect(me, "read_on", dcmem_raw_read_on(NULL, queue, local, me->block + 1, 2 * BYTES), DCMEM_E_OUT_OF_RANGE);
        break;
    default:
        expect(me, "write_on", dcmem_raw_write_on(NULL, queue, me->block, local, UINT64_MAX - pick(me, 9)),
               DCMEM_E_OUT_OF_RANGE);
    }
}

static void
call_on_wrong_buffer(player *me)
{
    dcmem_queue *queue = me->ground->it.queues[pick(me, 2)];
    bool is_foreign = pick(me, 2);
    dcmem_buffer *buffer = is_foreign ? me->ground->buffer_of_other : me->ground->gone;
    dcmem_view view = is_foreign ? dcmem_view_whole(buffer) : (dcmem_view){.buffer = buffer, .bytes = 64};
    dcmem_result due = is_foreign ? DCMEM_E_FOREIGN : DCMEM_E_STALE_BUFFER;
    dcmem_access access;
    char host[16];
    switch (pick(me, 5)) {
    case 0:
        expect(me, "begin_on", dcmem_access_begin_on(&access, view, DCMEM_ACCESS_READ, queue, 0), due);
        break;
    case 1:
        expect(me, "fill_on", dcmem_buffer_fill_on(NULL, queue, view, "x", 1), due);
        break;
    case 2:
        expect(me, "copy_in_on", dcmem_buffer_copy_in_on(NULL, queue, view, host), due);
        break;
    case 3:
        expect(me, "copy_out_on", dcmem_buffer_copy_out_on(NULL, queue, host, view), due);
        break;
    default:
        expect(me, "destroy_on", dcmem_buffer_destroy_on(buffer, queue), due);
    }
}

static void
give_nothing(player *me)
{
    dcmem_queue *queue = me->ground->it.queues[pick(me, 2)], *made;
    dcmem_view view = dcmem_view_whole(me->buffer);
    dcmem_native_context strange = {.size = 3}, native = {.size = sizeof native, .queue = 77};
    dcmem_access never = {.view = view, .ticket = me->random};
    const dcmem_result due = DCMEM_E_INVALID_ARGUMENT;
    switch (pick(me, 15)) {
    case 0:
        expect(me, "create", dcmem_queue_create(NULL, me->ground->it.manager, NULL), due);
        break;
    case 1:
        expect(me, "create", dcmem_queue_create(&made, me->ground->it.manager, &strange), due);
        break;
    case 2:
        expect(me, "borrow", dcmem_queue_create(&made, me->ground->it.manager, &native), DCMEM_E_UNSUPPORTED);
        break;
    case 3:
        expect(me, "create", dcmem_queue_create(&made, NULL, NULL), DCMEM_E_NOT_A_MANAGER);
        break;
    case 4:
        expect(me, "mark", dcmem_queue_mark(NULL, queue), due);
        break;
    case 5:
        expect(me, "completed", dcmem_queue_completed(NULL, queue), due);
        break;
    case 6:
        expect(me, "notify", dcmem_queue_notify(queue, 1, NULL, NULL), due);
        break;
    case 7:
        expect(me, "wait", dcmem_queue_wait(queue, UINT64_MAX - pick(me, 99), UINT64_MAX), due);
        break;
    case 8:
        expect(me, "write_on", dcmem_raw_write_on(NULL, queue, me->block, NULL, 8), due);
        break;
    case 9:
        expect(me, "read_on", dcmem_raw_read_on(NULL, queue, NULL, me->block, 8), due);
        break;
    case 10:
        expect(me, "begin_on", dcmem_access_begin_on(NULL, view, DCMEM_ACCESS_READ, queue, 0), due);
        break;
    case 11:
        expect(me, "end_on", dcmem_access_end_on(NULL), due);
        break;
    case 12:
        expect(me, "end_on", dcmem_access_end_on(&never), DCMEM_E_WRONG_STATE);
        break;
    case 13:
        expect(me, "fill_on", dcmem_buffer_fill_on(NULL, queue, view, "abc", 3), due);
        break;
    default:
        expect(me, "allocate_on", of_address(dcmem_raw_allocate_on(queue, 0)), due);
    }
}

static void
use_after_free(player *me)
{
    dcmem_queue *queue = me->ground->it.queues[pick(me, 2)];
    void *block = dcmem_raw_allocate(me->ground->it.manager, 100 * KIB);
    expect(me, "set_on", dcmem_raw_set_on(NULL, queue, block, 1, 64), DCMEM_OK);
    expect(me, "free_on", dcmem_raw_free_on(queue, block), DCMEM_OK);
}

static void *
play(void *pointer)
{
    player *me = pointer;
    static void (*const acts[])(player * me) = {call_no_queue, call_on_wrong_memory, call_on_wrong_buffer, give_nothing,
                                                use_after_free};
    me->block = dcmem_raw_allocate(me->ground->it.manager, BYTES);
    expect(me, "create", dcmem_buffer_create(&me->buffer, me->ground->it.manager, BYTES, NULL), DCMEM_OK);
    for (uint64_t n = 0; n < me->ground->calls; n++)
        acts[pick(me, sizeof acts / sizeof acts[0])](me);
    expect(me, "free", dcmem_raw_free(me->ground->it.manager, me->block), DCMEM_OK);
    expect(me, "destroy", dcmem_buffer_destroy(me->buffer), DCMEM_OK);
    return NULL;
}

static void
misuse(uint64_t calls)
{
    ground of = {.it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2),
                 .other = bench_open(DCMEM_SIMULATED_DEVICE_UNIFIED, 1),
                 .calls = calls};
    player players[THREADS];
    EXPECT_OK(dcmem_queue_create(&of.stale, of.it.manager, NULL));
    EXPECT_OK(dcmem_queue_destroy(of.stale));
    of.theirs = dcmem_raw_allocate(of.other.manager, BYTES);
    EXPECT_OK(dcmem_buffer_create(&of.buffer_of_other, of.other.manager, BYTES, NULL));
    EXPECT_OK(dcmem_buffer_create(&of.gone, of.it.manager, BYTES, NULL));
    EXPECT_OK(dcmem_buffer_destroy(of.gone));
    for (unsigned i = 0; i < THREADS; i++) {
        players[i] = (player){.ground = &of, .random = i + 1};
        EXPECT_EQ(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(players[i].thread, NULL);
        if (players[i].wrong)
            fail_msg("%s gave %s", players[i].wrong, dcmem_result_name(players[i].got));
    }
    EXPECT_OK(dcmem_raw_free(of.other.manager, of.theirs));
    EXPECT_OK(dcmem_buffer_destroy(of.buffer_of_other));
    bench_close(&of.it);
    bench_close(&of.other);
}

TEST(misuse__of_queues_gets_the_result_that_is_documented)
{
    misuse(500);
}

LONG_TEST(misuse__of_queues_gets_the_result_that_is_documented_for_long)
{
    misuse(test_scaled(40000));
}

/* ---- Guards ---- */

static bench_of_queues
guarded_open(unsigned queue_count)
{
    bench_of_queues it = {0};
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    EXPECT_OK(dcmem_simulated_create(&it.backend, &profile, 1));
    dcmem_manager_options options = {.size = sizeof options,
                                     .driver = it.backend,
                                     .guards = DCMEM_GUARD_ALL,
                                     .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&it.manager, &options));
    for (unsigned i = 0; i < queue_count; i++)
        EXPECT_OK(dcmem_queue_create(&it.queues[i], it.manager, NULL));
    return it;
}

TEST(misuse__on_a_guarded_manager_calls_on_queues_work)
{
    bench_of_queues it = guarded_open(2);
    static unsigned char got[BYTES];
    dcmem_buffer *buffer;
    for (unsigned n = 0; n < 20; n++) {
        unsigned char *block = dcmem_raw_allocate_on(it.queues[0], BYTES);
        EXPECT(block);
        EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 5, BYTES));
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
        EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
        if (n % 2)
            EXPECT_OK(dcmem_raw_free_on(it.queues[1], block));
        else
            EXPECT_OK(dcmem_raw_free(it.manager, block));
        EXPECT(dcmem_raw_free_on(it.queues[1], block) != DCMEM_OK);

        EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, BYTES, NULL));
        EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "g", 1));
        EXPECT_OK(dcmem_buffer_copy_out_on(NULL, it.queues[1], got, dcmem_view_whole(buffer)));
        EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[0]));
        EXPECT_EQ(got[BYTES - 1], 'g');
    }
    bench_close(&it);
}

/* A kernel that writes one byte too many. */
TEST(misuse__on_a_guarded_manager_an_overrun_by_a_queue_is_found)
{
    bench_of_queues it = guarded_open(1);
    unsigned char *block = dcmem_raw_allocate_on(it.queues[0], 1000);
    dcmem_native native;
    EXPECT_OK(dcmem_raw_native(&native, it.manager, block));
    EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
    native.bytes++; /* the device minds the rest of its memory, and that is there */
    EXPECT_OK(dcmem_simulated_write(it.backend, 0, &native, 1000, "!", 1));
    EXPECT_RESULT(dcmem_raw_free_on(it.queues[0], block), DCMEM_E_CORRUPTED);
    (void)dcmem_manager_destroy(it.manager);
    EXPECT_OK(dcmem_simulated_destroy(it.backend));
}
