/* access_test.c: who may use which bytes at once, who waits for whom and how long, and that every access ends once. */
#include "devices.h"

#include "base/os.h"

#include <pthread.h>
#include <stdlib.h>

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define BYTES 4096u
#define TILE  512u

static dcmem_buffer *
written(dcmem_manager *manager, uint64_t bytes)
{
    dcmem_buffer *buffer = buffer_of(manager, bytes);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "w", 1));
    return buffer;
}

static dcmem_access
open_access(dcmem_view view, dcmem_side side, dcmem_access_mode mode)
{
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, view, side, mode, 0));
    return access;
}

/* ---- Conflicts ---- */

static bool
may_be_open_together(dcmem_access_mode a, dcmem_access_mode b)
{
    if (a == DCMEM_ACCESS_WRITE_NO_OVERWRITE || b == DCMEM_ACCESS_WRITE_NO_OVERWRITE)
        return true;
    return a == DCMEM_ACCESS_READ && b == DCMEM_ACCESS_READ;
}

/* Two accesses of every mode and side, whole, overlapping by a byte, touching, and apart. */
static void
expect_matrix(dcmem_manager *manager)
{
    static const struct {
        uint64_t begin, bytes;
        bool overlaps; /* with [1024, 2048) */
    } seconds[] = {{0, BYTES, true},   {2047, 100, true}, {0, 1025, true},  {1100, 10, true},
                   {2048, 100, false}, {0, 1024, false},  {4000, 96, false}};
    dcmem_buffer *buffer = written(manager, BYTES);
    for (unsigned modes = 0; modes < 16; modes++)
        for (unsigned sides = 0; sides < 4; sides++)
            for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
                dcmem_access_mode a = (dcmem_access_mode)(modes & 3), b = (dcmem_access_mode)(modes >> 2);
                dcmem_access first = open_access(view_of(buffer, 1024, 1024), (dcmem_side)(sides & 1), a), second;
                bool is_allowed = !seconds[i].overlaps || may_be_open_together(a, b);
                EXPECT_RESULT(dcmem_access_begin(&second, view_of(buffer, seconds[i].begin, seconds[i].bytes),
                                                 (dcmem_side)(sides >> 1), b, 0),
                              is_allowed ? DCMEM_OK : DCMEM_E_BUSY);
                if (is_allowed)
                    EXPECT_OK(dcmem_access_end(&second));
                EXPECT_OK(dcmem_access_end(&first));
            }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(access__conflicts_only_where_bytes_overlap_and_one_of_two_writes)
{
    device split = device_open(&split_profile), unified = device_open(&unified_profile);
    expect_matrix(split.manager);
    expect_matrix(unified.manager);
    EXPECT_GE(stats_of(split.manager).access_conflicts, 1);
    device_close(&split);
    device_close(&unified);
}

TEST(access__every_other_call_respects_open_accesses_too)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES), *other = written(manager, BYTES);
    dcmem_view whole = dcmem_view_whole(buffer), apart = view_of(buffer, 2048, 100), there = dcmem_view_whole(other);
    char bytes[BYTES] = {0};
    dcmem_access access = open_access(view_of(buffer, 0, 1024), H, DCMEM_ACCESS_READ);
    dcmem_map map;
    EXPECT_RESULT(dcmem_buffer_copy_in(whole, bytes, 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_in(whole, bytes, 1000), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_buffer_fill(whole, "x", 1), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy(whole, there), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_mark_dirty(whole, D), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_invalidate(whole, D), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_map(&map, whole, DCMEM_MAP_WRITE), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 100), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_copy(there, whole));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, whole, 0));
    EXPECT_OK(dcmem_buffer_prefetch(whole, D));
    EXPECT_OK(dcmem_buffer_synchronize(whole));
    EXPECT_OK(dcmem_buffer_copy_in(apart, bytes, 0));
    EXPECT_OK(dcmem_buffer_fill(apart, "x", 1));
    EXPECT_OK(dcmem_access_end(&access));

    access = open_access(view_of(buffer, 0, 1024), H, DCMEM_ACCESS_WRITE);
    EXPECT_RESULT(dcmem_buffer_copy(there, whole), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, whole, 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, whole, 1000), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_buffer_prefetch(whole, D), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_synchronize(whole), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, apart, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(other));
    cpu_close(manager);
}

TEST(access__tiles_of_one_buffer_are_written_on_both_sides_at_once)
{
    device on = device_open(&split_profile);
    enum { TILES = BYTES / TILE };
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    dcmem_access accesses[TILES];
    char bytes[TILE];
    for (int i = 0; i < TILES; i++) {
        memset(bytes, 'a' + i, TILE);
        accesses[i] = open_access(view_of(buffer, (uint64_t)i * TILE, TILE), i & 1 ? H : D, DCMEM_ACCESS_WRITE);
        if (i & 1)
            memcpy(accesses[i].host, bytes, TILE);
        else
            EXPECT_OK(dcmem_simulated_write(on.simulated, 0, &accesses[i].native, 0, bytes, TILE));
    }
    EXPECT_EQ(info_of(buffer).open_writers, TILES);
    for (int i = TILES - 1; i >= 0; i--)
        EXPECT_OK(dcmem_access_end(&accesses[i]));
    EXPECT_EQ(info_of(buffer).current_sides, 0);
    EXPECT_EQ(info_of(buffer).written_bytes, BYTES);

    /* Only the device's tiles are copied, and none a second time. */
    dcmem_map map;
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_READ));
    for (int i = 0; i < TILES; i++)
        EXPECT(are_all((char *)map.host + i * (int)TILE, 'a' + i, TILE));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    dcmem_stats stats = stats_of(on.manager);
    EXPECT_EQ(stats.copies_device_to_host, TILES / 2);
    EXPECT_EQ(stats.copied_device_to_host_bytes, BYTES / 2);
    EXPECT_EQ(stats.copies_host_to_device, 0);
    EXPECT_EQ(info_of(buffer).current_sides, DCMEM_SIDE_BIT(H));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Ending ---- */

TEST(access__ends_exactly_once_whichever_copy_of_it_is_used)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES);
    dcmem_access first = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ), copy = first;
    dcmem_access second = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ);
    EXPECT_OK(dcmem_access_end(&copy));
    EXPECT_RESULT(dcmem_access_end(&first), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_access_abort(&first), DCMEM_E_WRONG_STATE);
    EXPECT_EQ(info_of(buffer).open_readers, 1);

    /* The freed entry is used again, under another ticket. */
    dcmem_access third = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ);
    EXPECT_RESULT(dcmem_access_end(&first), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_access_end(&second));
    EXPECT_OK(dcmem_access_end(&third));
    EXPECT_RESULT(dcmem_access_end(&(dcmem_access){.view = dcmem_view_whole(buffer)}), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_access_end(&(dcmem_access){.view = dcmem_view_whole(buffer), .ticket = UINT64_MAX}),
                  DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_access_end(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_access_abort(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(access__ticket_of_a_freed_buffer_does_not_fit_the_next_one_in_its_slot)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *old = written(manager, BYTES);
    dcmem_access access = open_access(dcmem_view_whole(old), H, DCMEM_ACCESS_READ);
    uint64_t ticket = access.ticket;
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(old));
    dcmem_buffer *buffer = written(manager, BYTES);
    access = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ);
    EXPECT_NE(access.ticket, ticket);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(access__of_no_bytes_or_past_the_end_is_refused_and_leaves_the_output_alone)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES);
    dcmem_access out, before;
    memset(&out, 0x5a, sizeof out);
    before = out;
#define EXPECT_REFUSED(view, side, mode, wanted)                                                                       \
    EXPECT_RESULT(dcmem_access_begin(&out, view, side, mode, 0), wanted);                                              \
    EXPECT_EQ(memcmp(&out, &before, sizeof out), 0)
    EXPECT_REFUSED(view_of(buffer, 0, 0), H, DCMEM_ACCESS_READ, DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(view_of(buffer, 0, BYTES + 1), H, DCMEM_ACCESS_READ, DCMEM_E_STALE_VIEW);
    EXPECT_REFUSED(view_of(buffer, BYTES, 1), H, DCMEM_ACCESS_READ, DCMEM_E_STALE_VIEW);
    EXPECT_REFUSED(view_of(buffer, UINT64_MAX, 2), H, DCMEM_ACCESS_READ, DCMEM_E_STALE_VIEW);
    EXPECT_REFUSED(view_of(buffer, 0, 8), (dcmem_side)2, DCMEM_ACCESS_READ, DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(view_of(buffer, 0, 8), (dcmem_side)-1, DCMEM_ACCESS_READ, DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(view_of(buffer, 0, 8), H, (dcmem_access_mode)4, DCMEM_E_INVALID_ARGUMENT);
#undef EXPECT_REFUSED
    EXPECT_RESULT(dcmem_access_begin(NULL, view_of(buffer, 0, 8), H, DCMEM_ACCESS_READ, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(access__says_where_the_bytes_are)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = written(on.manager, BYTES);
    dcmem_access device_side = open_access(view_of(buffer, 100, 50), D, DCMEM_ACCESS_READ);
    dcmem_access host_side = open_access(view_of(buffer, 100, 50), H, DCMEM_ACCESS_READ);
    char bytes[50];
    EXPECT(!device_side.host);
    EXPECT_EQ(device_side.native.bytes, 50);
    EXPECT_OK(dcmem_simulated_read(bytes, on.simulated, 0, &device_side.native, 0, sizeof bytes));
    EXPECT(are_all(bytes, 'w', sizeof bytes) && are_all(host_side.host, 'w', sizeof bytes));
    EXPECT_EQ(device_side.ticket != host_side.ticket, 1);
    EXPECT_OK(dcmem_access_end(&host_side));
    EXPECT_OK(dcmem_access_end(&device_side));
    EXPECT_EQ(stats_of(on.manager).accesses, 2);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Many at once ---- */

TEST(access__thousands_are_open_on_one_buffer_and_end_in_any_order)
{
    enum { COUNT = 3000 };
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, COUNT * 16);
    dcmem_access *accesses = calloc(COUNT, sizeof *accesses);
    for (int i = 0; i < COUNT; i++)
        accesses[i] = open_access(view_of(buffer, (uint64_t)i * 16, i & 1 ? 16 : 8), H, DCMEM_ACCESS_WRITE);
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(dcmem_access_end(&accesses[i * 7 % COUNT]));
    EXPECT_EQ(info_of(buffer).written_bytes, COUNT * 12);
    EXPECT_EQ(state_at(buffer, 8), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(state_at(buffer, 24), DCMI_STATE_BOTH);
    free(accesses);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

LONG_TEST(access__million_and_more_on_one_buffer_is_a_limit)
{
    const uint64_t most = 1u << 20;
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, 64);
    dcmem_access *accesses = calloc(most, sizeof *accesses), extra;
    for (uint64_t i = 0; i < most; i++)
        accesses[i] = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ);
    EXPECT_RESULT(dcmem_access_begin(&extra, dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ, 0), DCMEM_E_LIMIT);
    for (uint64_t i = 0; i < most; i++)
        EXPECT_OK(dcmem_access_end(&accesses[i]));
    free(accesses);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

static int allocations_left;

static void *
failing_realloc(void *memory, size_t bytes)
{
    return allocations_left-- > 0 ? realloc(memory, bytes) : NULL;
}

/* Opens tiles, every other one unwritten, until the heap says no; how many there are then. */
static int
open_until_refused(dcmem_buffer *buffer, dcmem_access *accesses, int most)
{
    for (int i = 0; i < most; i++) {
        dcmem_result result =
            dcmem_access_begin(&accesses[i], view_of(buffer, (uint64_t)i * 16, 8), H, DCMEM_ACCESS_WRITE, 0);
        if (result) {
            EXPECT_EQ(result, DCMEM_E_NO_HOST_MEMORY);
            return i;
        }
    }
    return most;
}

TEST(access__that_finds_no_memory_for_its_range_is_refused_when_it_begins_and_never_when_it_ends)
{
    enum { MOST = 100 };
    dcmem_manager *manager = cpu_open();
    for (int allowed = 0; allowed < 8; allowed++) {
        dcmem_buffer *buffer = buffer_of(manager, MOST * 16);
        dcmem_access accesses[MOST];
        allocations_left = allowed;
        dcmi_slot_realloc = failing_realloc;
        int count = open_until_refused(buffer, accesses, MOST);
        for (int i = 0; i < count; i++)
            EXPECT_OK(dcmem_access_end(&accesses[i]));
        EXPECT_EQ(info_of(buffer).written_bytes, (uint64_t)count * 8);
        EXPECT_EQ(info_of(buffer).open_writers, 0);
        dcmi_slot_realloc = realloc;
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        EXPECT(count > 0 && (allowed > 0 || count < 4));
    }
    cpu_close(manager);
}

TEST(access__host_side_that_cannot_be_had_leaves_everything_as_it_was)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = written(on.manager, 1u << 20);
    dcmem_access access;
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_access_begin(&access, dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ, 0),
                  DCMEM_E_NO_HOST_MEMORY);
    EXPECT_EQ(info_of(buffer).has_host_side, 0);
    EXPECT_EQ(info_of(buffer).open_readers, 0);
    dcmem_fake_reset(on.fake);
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), H, DCMEM_ACCESS_READ, 0));
    EXPECT_GE(stats_of(on.manager).host_side_bytes, 1u << 20);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(on.manager).host_side_bytes, 0);
    device_close(&on);
}

/* ---- Waiting ---- */

typedef struct waiter {
    dcmem_buffer *buffer;
    uint64_t timeout_ns;
    dcmem_side side;
    dcmem_access_mode mode;
    dcmem_result result;
    _Atomic bool is_done;
    pthread_t thread;
} waiter;

static void *
wait_for_access(void *user)
{
    waiter *of = user;
    dcmem_access access;
    of->result = dcmem_access_begin(&access, dcmem_view_whole(of->buffer), of->side, of->mode, of->timeout_ns);
    if (!of->result)
        EXPECT_OK(dcmem_access_end(&access));
    atomic_store(&of->is_done, true);
    return NULL;
}

static void
waiter_start(waiter *of)
{
    EXPECT_EQ(pthread_create(&of->thread, NULL, wait_for_access, of), 0);
}

/* Until somebody sleeps on the slot. */
static void
await_sleeper(dcmem_buffer *buffer)
{
    while (!(atomic_load(&dcmi_handle_slot(buffer)->word) & DCMI_WORD_WAITED))
        sched_yield();
}

TEST(access__waits_for_the_conflicting_one_and_goes_on_when_that_ends)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES);
    dcmem_access access = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_WRITE);
    waiter waiters[3];
    for (int i = 0; i < 3; i++) {
        waiters[i] = (waiter){buffer, UINT64_MAX, H, DCMEM_ACCESS_UPDATE, DCMEM_E_INTERNAL, false, 0};
        waiter_start(&waiters[i]);
    }
    await_sleeper(buffer);
    EXPECT_EQ(waiters[0].is_done + waiters[1].is_done + waiters[2].is_done, 0);
    EXPECT_OK(dcmem_access_end(&access));
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i].thread, NULL);
        EXPECT_RESULT(waiters[i].result, DCMEM_OK);
    }
    EXPECT_GE(stats_of(manager).access_conflicts, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(access__gives_up_after_its_timeout_and_at_once_without_one)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES);
    dcmem_access access = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_WRITE), second;
    uint64_t begun = dcmi_os_now_ns();
    EXPECT_RESULT(dcmem_access_begin(&second, dcmem_view_whole(buffer), D, DCMEM_ACCESS_READ, 2000000),
                  DCMEM_E_TIMEOUT);
    EXPECT_GE(dcmi_os_now_ns() - begun, 2000000);
    EXPECT_RESULT(dcmem_access_begin(&second, dcmem_view_whole(buffer), D, DCMEM_ACCESS_READ, 0), DCMEM_E_BUSY);
    EXPECT_EQ(stats_of(manager).access_conflicts, 2);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(access__waiter_learns_that_the_bytes_it_waited_for_are_lost)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = written(manager, BYTES);
    dcmem_access access = open_access(dcmem_view_whole(buffer), H, DCMEM_ACCESS_WRITE);
    waiter of = {buffer, UINT64_MAX, H, DCMEM_ACCESS_UPDATE, DCMEM_E_INTERNAL, false, 0};
    waiter_start(&of);
    await_sleeper(buffer);
    EXPECT_OK(dcmem_access_abort(&access));
    pthread_join(of.thread, NULL);
    EXPECT_RESULT(of.result, DCMEM_E_LOST);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* ---- While a copy runs ---- */

/* A driver whose copies stop in the middle until they are let go. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool is_shut, is_inside;
} gate;

static dcmem_result
stop_copies(void *user, const dcmem_fake_call *call)
{
    gate *of = user;
    if (call->operation != DCMEM_FAKE_copy)
        return DCMEM_OK;
    pthread_mutex_lock(&of->lock);
    of->is_inside = true;
    pthread_cond_broadcast(&of->moved);
    while (of->is_shut)
        pthread_cond_wait(&of->moved, &of->lock);
    of->is_inside = false;
    pthread_mutex_unlock(&of->lock);
    return DCMEM_OK;
}

static void
await_copy(gate *of)
{
    pthread_mutex_lock(&of->lock);
    while (!of->is_inside)
        pthread_cond_wait(&of->moved, &of->lock);
    pthread_mutex_unlock(&of->lock);
}

static void
let_go(gate *of)
{
    pthread_mutex_lock(&of->lock);
    of->is_shut = false;
    pthread_cond_broadcast(&of->moved);
    pthread_mutex_unlock(&of->lock);
}

typedef struct ender {
    dcmem_buffer *buffer;
    dcmem_result (*call)(dcmem_buffer *buffer);
    dcmem_result result;
    pthread_t thread;
} ender;

static void *
call_it(void *user)
{
    ender *of = user;
    of->result = of->call(of->buffer);
    return NULL;
}

static dcmem_result
resize_it(dcmem_buffer *buffer)
{
    return dcmem_buffer_resize(buffer, 100000);
}

/* One thread begins to read and copies; another asks for the same and waits, without a second copy. */
TEST(access__others_wait_while_a_copy_runs_and_profit_from_it)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = written(on.manager, BYTES);
    gate door = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, true, false};
    waiter first = {buffer, 0, H, DCMEM_ACCESS_READ, DCMEM_E_INTERNAL, false, 0}, second = first;
    dcmem_fake_set_gate(on.fake, stop_copies, &door);
    waiter_start(&first);
    await_copy(&door);
    waiter_start(&second);
    await_sleeper(buffer);
    /* Questions are answered meanwhile. */
    EXPECT_EQ(info_of(buffer).bytes, BYTES);
    EXPECT_EQ(dcmem_view_whole(buffer).bytes, BYTES);
    EXPECT_EQ(second.is_done, 0);
    let_go(&door);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    EXPECT_RESULT(first.result, DCMEM_OK);
    EXPECT_RESULT(second.result, DCMEM_OK);
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host, 1);
    EXPECT_EQ(stats_of(on.manager).copies_avoided, 1);
    dcmem_fake_set_gate(on.fake, NULL, NULL);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

static void
expect_waits(dcmem_result (*call)(dcmem_buffer *))
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = written(on.manager, BYTES);
    gate door = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, true, false};
    waiter reader = {buffer, 0, H, DCMEM_ACCESS_READ, DCMEM_E_INTERNAL, false, 0};
    ender of = {buffer, call, DCMEM_E_INTERNAL, 0};
    dcmem_fake_set_gate(on.fake, stop_copies, &door);
    waiter_start(&reader);
    await_copy(&door);
    EXPECT_EQ(pthread_create(&of.thread, NULL, call_it, &of), 0);
    await_sleeper(buffer);
    let_go(&door);
    pthread_join(reader.thread, NULL);
    pthread_join(of.thread, NULL);
    EXPECT_RESULT(reader.result, DCMEM_OK);
    /* The reader may have ended already, or may be open still. */
    EXPECT(of.result == DCMEM_OK || of.result == DCMEM_E_BUSY);
    dcmem_fake_set_gate(on.fake, NULL, NULL);
    if (of.result || call != dcmem_buffer_destroy)
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(access__destroy_and_resize_wait_for_a_copy_that_runs)
{
    expect_waits(dcmem_buffer_destroy);
    expect_waits(resize_it);
}

/* A driver, or a sink that it logs to, calls back into the library in the midst of a copy. */
typedef struct callback {
    dcmem_buffer *buffer, *other;
    dcmem_result of_same, of_other, destroy;
    bool is_called;
} callback;

static dcmem_result
call_back(void *user, const dcmem_fake_call *call)
{
    callback *of = user;
    dcmem_access access;
    if (call->operation != DCMEM_FAKE_copy || of->is_called)
        return DCMEM_OK;
    of->is_called = true;
    of->of_same = dcmem_access_begin(&access, dcmem_view_whole(of->buffer), D, DCMEM_ACCESS_READ, UINT64_MAX);
    of->destroy = dcmem_buffer_destroy(of->buffer);
    of->of_other = dcmem_buffer_fill(dcmem_view_whole(of->other), "o", 1);
    return DCMEM_OK;
}

TEST(access__call_from_within_a_copy_is_busy_on_its_buffer_and_works_on_others)
{
    device on = device_open(&split_profile);
    callback of = {
        written(on.manager, BYTES), buffer_of(on.manager, BYTES), DCMEM_OK, DCMEM_E_INTERNAL, DCMEM_OK, false};
    dcmem_access access;
    dcmem_fake_set_gate(on.fake, call_back, &of);
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(of.buffer), H, DCMEM_ACCESS_READ, 0));
    EXPECT_EQ(of.is_called, 1);
    EXPECT_RESULT(of.of_same, DCMEM_E_BUSY);
    EXPECT_RESULT(of.destroy, DCMEM_E_BUSY);
    EXPECT_RESULT(of.of_other, DCMEM_OK);
    dcmem_fake_set_gate(on.fake, NULL, NULL);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_destroy(of.buffer));
    EXPECT_OK(dcmem_buffer_destroy(of.other));
    device_close(&on);
}

/* ---- Threads ---- */

typedef struct worker {
    dcmem_buffer *buffer;
    int number;
    uint64_t rounds;
    dcmem_result failed;
} worker;

enum { WORKERS = 4, CELLS = 8 };

/* Adds one to every byte of a cell, on either side's memory of a unified device. Lost updates would show. */
static void *
add_ones(void *user)
{
    worker *of = user;
    for (uint64_t i = 0; i < of->rounds && !of->failed; i++) {
        uint64_t cell = (i * 5 + (uint64_t)of->number * 3) % CELLS;
        dcmem_access access;
        of->failed =
            dcmem_access_begin(&access, view_of(of->buffer, cell * 64, 64), H, DCMEM_ACCESS_UPDATE, UINT64_MAX);
        if (of->failed)
            break;
        for (int byte = 0; byte < 64; byte++)
            ((unsigned char *)access.host)[byte]++;
        of->failed = dcmem_access_end(&access);
    }
    return NULL;
}

LONG_TEST(access__updates_of_many_threads_are_never_lost)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, CELLS * 64);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    worker of[WORKERS];
    pthread_t threads[WORKERS];
    uint64_t rounds = test_scaled(4000) / CELLS * CELLS;
    for (int i = 0; i < WORKERS; i++) {
        of[i] = (worker){buffer, i, rounds, DCMEM_OK};
        EXPECT_EQ(pthread_create(&threads[i], NULL, add_ones, &of[i]), 0);
    }
    /* This thread takes the bytes to the other side and back meanwhile. */
    for (uint64_t i = 0; i < rounds; i++) {
        dcmem_result result = i & 1 ? dcmem_buffer_prefetch(dcmem_view_whole(buffer), D)
                                    : dcmem_buffer_invalidate(dcmem_view_whole(buffer), H);
        EXPECT(result == DCMEM_OK || result == DCMEM_E_BUSY);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        EXPECT_RESULT(of[i].failed, DCMEM_OK);
    }
    unsigned char bytes[CELLS * 64];
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, (int)(rounds / CELLS * WORKERS), sizeof bytes));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
