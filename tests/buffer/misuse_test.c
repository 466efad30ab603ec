/* misuse_test.c: threads that do everything wrong at once: freed, foreign, stale and invented handles, views that do
 * not fit, accesses ended twice or by others, wrong options and wrong states. Each call must return a result that its
 * header names, and nothing else may happen. */
#include "devices.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define SHARED  48   /* handles that all threads use and replace */
#define TICKETS 64   /* accesses that any thread may end */
#define MOST    4096 /* bytes of a buffer */

typedef struct playground {
    dcmem_manager *managers[3]; /* one memory, two memories, ended */
    _Atomic uintptr_t handles[SHARED];
    dcmem_buffer *ended; /* with its manager */
    pthread_mutex_t lock;
    dcmem_access accesses[TICKETS];
    uint64_t wanted; /* wrong calls of each thread */
} playground;

typedef struct player {
    playground *ground;
    uint64_t seed;
    uint64_t calls, wrong;
    dcmem_buffer *last;  /* of this thread, freed or not */
    dcmem_buffer **left; /* that were busy when they should have been destroyed */
    size_t left_count, left_room;
    const char *failed; /* which call gave a result that it must not */
    dcmem_result result;
    pthread_t thread;
} player;

static uint64_t
random_of(player *me)
{
    me->seed ^= me->seed << 13, me->seed ^= me->seed >> 7, me->seed ^= me->seed << 17;
    return me->seed * 0x2545f4914f6cdd1dull >> 11;
}

static bool
one_in(player *me, unsigned n)
{
    return random_of(me) % n == 0;
}

/* ---- What may come out ---- */

#define ALLOWED(...) ((const dcmem_result[]){DCMEM_OK, __VA_ARGS__, DCMEM_OK})
#define HANDLE       DCMEM_E_NOT_A_BUFFER, DCMEM_E_STALE_BUFFER, DCMEM_E_STALE_MANAGER
#define RAW                                                                                                            \
    DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, DCMEM_E_TOO_LARGE, DCMEM_E_LIMIT,          \
        DCMEM_E_NO_MEMORY, DCMEM_E_NO_HOST_MEMORY
#define CREATE RAW, DCMEM_E_UNSUPPORTED, DCMEM_E_MISALIGNED
#define BEGIN                                                                                                          \
    HANDLE, DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY, DCMEM_E_TIMEOUT, DCMEM_E_UNWRITTEN, DCMEM_E_LOST,                  \
        DCMEM_E_STALE_VIEW, DCMEM_E_NO_HOST_MEMORY

static dcmem_result
note(player *me, const char *call, dcmem_result result, const dcmem_result *allowed)
{
    me->calls++;
    me->wrong += result != DCMEM_OK;
    for (const dcmem_result *one = allowed + 1; *one && result; one++)
        if (*one == result)
            return result;
    if (result) {
        me->failed = call;
        me->result = result;
    }
    return result;
}

/* ---- What goes in ---- */

static dcmem_manager *
any_manager(player *me)
{
    if (one_in(me, 16))
        return (dcmem_manager *)(uintptr_t)random_of(me);
    return me->ground->managers[random_of(me) % 3];
}

static dcmem_buffer *
any_buffer(player *me)
{
    uint64_t bits = atomic_load(&me->ground->handles[random_of(me) % SHARED]);
    switch (random_of(me) % 12) {
    case 0:
        return (dcmem_buffer *)(uintptr_t)random_of(me);
    case 1:
        return (dcmem_buffer *)(uintptr_t)(bits + ((random_of(me) % 9 - 4) << 32));
    case 2:
        return (dcmem_buffer *)(uintptr_t)(bits ^ 1ull << random_of(me) % 64);
    case 3:
        return me->ground->ended;
    case 4:
        return me->last;
    case 5:
        return (dcmem_buffer *)(void *)me;
    default:
        return (dcmem_buffer *)(uintptr_t)bits;
    }
}

static uint64_t
any_number(player *me)
{
    uint64_t n = random_of(me);
    return one_in(me, 12) ? n << (n & 31) : one_in(me, 12) ? UINT64_MAX - n % 9 : n % (MOST + 10);
}

static dcmem_view
any_view(player *me)
{
    dcmem_buffer *buffer = any_buffer(me);
    if (one_in(me, 3))
        return dcmem_view_whole(buffer);
    return (dcmem_view){buffer, one_in(me, 2) ? 0 : any_number(me), any_number(me), random_of(me) % 18};
}

static dcmem_side
any_side(player *me)
{
    return (dcmem_side)(random_of(me) % (one_in(me, 10) ? 100 : 2));
}

/* ---- Calls ---- */

static void
destroy(player *me, dcmem_buffer *buffer)
{
    dcmem_result result = note(me, "destroy", dcmem_buffer_destroy(buffer), ALLOWED(HANDLE, DCMEM_E_BUSY));
    if (result != DCMEM_E_BUSY)
        return;
    if (me->left_count == me->left_room) {
        me->left_room = me->left_room ? me->left_room * 2 : 64;
        me->left = realloc(me->left, me->left_room * sizeof me->left[0]);
    }
    me->left[me->left_count++] = buffer;
}

static void
call_create(player *me)
{
    dcmem_buffer *buffer;
    dcmem_buffer_options options = {.size = sizeof options};
    if (one_in(me, 4)) {
        options.flags = (uint32_t)random_of(me) % 9;
        options.kind = (dcmem_kind)(random_of(me) % 7);
        options.alignment = one_in(me, 2) ? 1ull << random_of(me) % 13 : random_of(me) % 100;
        options.tag = (dcmem_tag)(random_of(me) % 70);
        options.size = one_in(me, 9) ? random_of(me) % 20 : sizeof options;
    }
    uint64_t bytes = one_in(me, 8) ? 1ull << random_of(me) % 64 << 40 : random_of(me) % MOST;
    if (note(me, "create", dcmem_buffer_create(&buffer, any_manager(me), bytes, one_in(me, 3) ? &options : NULL),
             ALLOWED(CREATE)))
        return;
    me->last = buffer;
    destroy(me, (dcmem_buffer *)atomic_exchange(&me->ground->handles[random_of(me) % SHARED], (uintptr_t)buffer));
}

static void
call_life(player *me)
{
    dcmem_buffer_info info = {.size = one_in(me, 9) ? 3 : sizeof info};
    dcmem_native native;
    dcmem_buffer *buffer = any_buffer(me);
    switch (random_of(me) % 6) {
    case 0:
        note(me, "describe", dcmem_buffer_describe(&info, buffer), ALLOWED(HANDLE, DCMEM_E_INVALID_ARGUMENT));
        break;
    case 1:
        note(me, "resize", dcmem_buffer_resize(buffer, random_of(me) % MOST), ALLOWED(CREATE, HANDLE, DCMEM_E_BUSY));
        break;
    case 2:
        note(me, "set_tag", dcmem_buffer_set_tag(buffer, (dcmem_tag)(random_of(me) % 70)),
             ALLOWED(HANDLE, DCMEM_E_INVALID_ARGUMENT));
        break;
    case 3:
        note(me, "pin", dcmem_buffer_pin(one_in(me, 2) ? &native : NULL, buffer), ALLOWED(HANDLE, DCMEM_E_LIMIT));
        break;
    case 4:
        note(me, "unpin", dcmem_buffer_unpin(buffer), ALLOWED(HANDLE, DCMEM_E_WRONG_STATE));
        break;
    default:
        destroy(me, buffer);
    }
}

static void
call_view(player *me)
{
    dcmem_view out;
    switch (random_of(me) % 3) {
    case 0:
        note(me, "typed", dcmem_view_typed(&out, any_buffer(me), random_of(me) % 20),
             ALLOWED(HANDLE, DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED));
        break;
    case 1:
        note(me, "slice", dcmem_view_slice(&out, any_view(me), any_number(me), any_number(me)),
             ALLOWED(HANDLE, DCMEM_E_INVALID_ARGUMENT, DCMEM_E_OUT_OF_RANGE, DCMEM_E_OVERFLOW));
        break;
    default:
        note(me, "cast", dcmem_view_cast(&out, any_view(me), random_of(me) % 20),
             ALLOWED(HANDLE, DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED));
    }
}

/* No-overwrite is left out: it lets callers race on bytes by their own word. */
static void
call_begin(player *me)
{
    dcmem_access access;
    dcmem_map map;
    uint64_t timeout = one_in(me, 50) ? 20000 : 0;
    if (one_in(me, 2)) {
        dcmem_map_mode mode = (dcmem_map_mode)(one_in(me, 10) ? 5 + random_of(me) % 9 : random_of(me) % 4);
        if (note(me, "map", dcmem_buffer_map(&map, any_view(me), mode), ALLOWED(BEGIN)))
            return;
        access = map.access;
    } else {
        dcmem_access_mode mode = (dcmem_access_mode)(one_in(me, 10) ? 4 + random_of(me) % 9 : random_of(me) % 3);
        if (note(me, "begin", dcmem_access_begin(&access, any_view(me), any_side(me), mode, timeout), ALLOWED(BEGIN)))
            return;
    }
    if (access.mode != DCMEM_ACCESS_READ && access.host && access.view.bytes <= MOST)
        memset(access.host, (int)me->seed, access.view.bytes);
    pthread_mutex_lock(&me->ground->lock);
    dcmem_access *place = &me->ground->accesses[random_of(me) % TICKETS], old = *place;
    *place = access;
    pthread_mutex_unlock(&me->ground->lock);
    note(me, "end", dcmem_access_end(&old), ALLOWED(HANDLE, DCMEM_E_WRONG_STATE, DCMEM_E_INVALID_ARGUMENT));
}

static void
call_end(player *me)
{
    pthread_mutex_lock(&me->ground->lock);
    dcmem_access access = me->ground->accesses[random_of(me) % TICKETS];
    pthread_mutex_unlock(&me->ground->lock);
    if (one_in(me, 4))
        access.ticket += random_of(me) % 5 - 2;
    if (one_in(me, 8))
        access.view = any_view(me);
    const dcmem_result *allowed = ALLOWED(HANDLE, DCMEM_E_WRONG_STATE, DCMEM_E_INVALID_ARGUMENT);
    if (one_in(me, 3))
        note(me, "abort", dcmem_access_abort(&access), allowed);
    else
        note(me, "end", dcmem_access_end(one_in(me, 20) ? NULL : &access), allowed);
}

static void
call_transfer(player *me)
{
    static const char pattern[16] = "0123456789abcde";
    char bytes[MOST] = {1};
    dcmem_view view = any_view(me);
    switch (random_of(me) % 8) {
    case 0:
        note(me, "copy", dcmem_buffer_copy(view, any_view(me)), ALLOWED(BEGIN, DCMEM_E_NO_MEMORY));
        break;
    case 1:
        if (view.bytes <= MOST)
            note(me, "copy_in", dcmem_buffer_copy_in(view, one_in(me, 20) ? NULL : bytes, 0), ALLOWED(BEGIN));
        break;
    case 2:
        if (view.bytes <= MOST)
            note(me, "copy_out", dcmem_buffer_copy_out(one_in(me, 20) ? NULL : bytes, view, 0), ALLOWED(BEGIN));
        break;
    case 3:
        note(me, "fill", dcmem_buffer_fill(view, one_in(me, 20) ? NULL : pattern, (uint32_t)random_of(me) % 18),
             ALLOWED(BEGIN, DCMEM_E_MISALIGNED));
        break;
    case 4:
        note(me, "prefetch", dcmem_buffer_prefetch(view, any_side(me)), ALLOWED(BEGIN));
        break;
    case 5:
        note(me, "synchronize", dcmem_buffer_synchronize(view), ALLOWED(BEGIN));
        break;
    case 6:
        note(me, "mark_dirty", dcmem_buffer_mark_dirty(view, any_side(me)), ALLOWED(BEGIN, DCMEM_E_WRONG_STATE));
        break;
    default:
        note(me, "invalidate", dcmem_buffer_invalidate(view, any_side(me)), ALLOWED(BEGIN));
    }
}

static void *
play(void *user)
{
    static void (*const calls[])(player *) = {call_create, call_life,     call_view,     call_begin,
                                              call_end,    call_transfer, call_transfer, call_life};
    player *me = user;
    while (me->wrong < me->ground->wanted && !me->failed)
        calls[random_of(me) % (sizeof calls / sizeof calls[0])](me);
    return NULL;
}

/* ---- The game ---- */

static void
clean_up(playground *of, player *players)
{
    for (int i = 0; i < TICKETS; i++)
        (void)dcmem_access_end(&of->accesses[i]); /* most were ended before */
    for (int i = 0; i < THREADS; i++) {
        for (size_t n = 0; n < players[i].left_count; n++) {
            while (dcmem_buffer_unpin(players[i].left[n]) == DCMEM_OK)
                ;
            (void)dcmem_buffer_destroy(players[i].left[n]); /* another player may have done it meanwhile */
        }
        free(players[i].left);
    }
    for (int i = 0; i < SHARED; i++) {
        dcmem_buffer *buffer = (dcmem_buffer *)atomic_load(&of->handles[i]);
        while (dcmem_buffer_unpin(buffer) == DCMEM_OK)
            ;
        (void)dcmem_buffer_destroy(buffer);
    }
}

/* On managers of one memory and of two. */
static void
play_on(dcmem_manager *one, dcmem_manager *two, uint64_t wrong_calls)
{
    static playground ground = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static player players[THREADS];
    memset(ground.accesses, 0, sizeof ground.accesses);
    for (int i = 0; i < SHARED; i++)
        atomic_store(&ground.handles[i], 0);
    ground.managers[0] = one;
    ground.managers[1] = two;
    ground.managers[2] = cpu_open();
    ground.ended = buffer_of(ground.managers[2], 100);
    ground.wanted = wrong_calls / THREADS;
    EXPECT_RESULT(dcmem_manager_destroy(ground.managers[2]), DCMEM_E_LEAKED);

    for (uint32_t i = 0; i < THREADS; i++) {
        players[i] = (player){.ground = &ground, .seed = 88172645463325252ull + i * 7919};
        EXPECT_EQ(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(players[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (players[i].failed)
            fail_msg("%s gave %s", players[i].failed, dcmem_result_name(players[i].result));
    clean_up(&ground, players);

    EXPECT_EQ(stats_of(one).live_buffers, 0);
    EXPECT_EQ(stats_of(two).live_buffers, 0);
    EXPECT_EQ(stats_of(two).live_allocations, 0);
    EXPECT_EQ(stats_of(two).host_side_bytes, 0);
}

LONG_TEST(misuse__a_million_wrong_calls_from_four_threads_each_return_what_their_header_says)
{
    device split = device_open(&split_profile);
    dcmem_manager *one = cpu_open();
    play_on(one, split.manager, test_scaled(1100000));
    cpu_close(one);
    device_close(&split);
}

static void
play_on_backend(const char *backend)
{
    dcmem_manager *one = cpu_open(), *two;
    const dcmem_manager_options options = {
        .size = sizeof options, .backend = backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    if (dcmem_manager_create(&two, &options)) {
        cpu_close(one);
        SKIP(dcmem_last_detail()->message);
    }
    play_on(one, two, test_scaled(1100000));
    cpu_close(two);
    cpu_close(one);
}

LONG_TEST(misuse__a_million_wrong_calls_on_an_opencl_device_do_no_harm_either)
{
    play_on_backend("opencl");
}

LONG_TEST(misuse__a_million_wrong_calls_on_a_vulkan_device_do_no_harm_either)
{
    play_on_backend("vulkan");
}
