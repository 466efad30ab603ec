/* giving_up_test.c: who waits may give up: after a time, when the callback says so, or at the end of a budget. What was
 * given up leaves no trace. (There is no asynchronous work yet that could be cancelled.) */
#include "devices.h"

#include <pthread.h>
#include <sched.h>

#define BYTES 4096u

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define SOON 1000000u /* ns */

/* What a second access finds in its way. */
typedef struct scene {
    device on;
    dcmem_buffer *buffer;
    dcmem_access open;
} scene;

static scene
scene_of(dcmem_access_mode mode)
{
    scene it = {.on = device_open(&split_profile)};
    it.buffer = buffer_of(it.on.manager, BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(it.buffer), "o", 1));
    EXPECT_OK(dcmem_access_begin(&it.open, dcmem_view_whole(it.buffer), D, mode, 0));
    return it;
}

static void
scene_end(scene *it)
{
    char bytes[BYTES];
    EXPECT_EQ(info_of(it->buffer).open_readers + info_of(it->buffer).open_writers, 1);
    EXPECT_OK(dcmem_access_end(&it->open));
    EXPECT_EQ(info_of(it->buffer).open_readers + info_of(it->buffer).open_writers, 0);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(it->buffer), 0));
    EXPECT(are_all(bytes, 'o', BYTES));
    EXPECT_OK(dcmem_buffer_destroy(it->buffer));
    device_close(&it->on);
}

TEST(giving_up__a_wait_for_an_access_leaves_no_trace)
{
    static const dcmem_access_mode modes[] = {DCMEM_ACCESS_READ, DCMEM_ACCESS_WRITE, DCMEM_ACCESS_UPDATE};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        for (int side = H; side <= D; side++) {
            scene it = scene_of(DCMEM_ACCESS_UPDATE);
            unsigned sides = info_of(it.buffer).current_sides;
            dcmem_stats before = stats_of(it.on.manager);
            dcmem_access second, untouched;
            memset(&second, 0x5a, sizeof second);
            memcpy(&untouched, &second, sizeof second);
            EXPECT_RESULT(dcmem_access_begin(&second, dcmem_view_whole(it.buffer), (dcmem_side)side, modes[i], SOON),
                          DCMEM_E_TIMEOUT);
            dcmem_stats after = stats_of(it.on.manager);
            EXPECT_EQ(memcmp(&second, &untouched, sizeof second), 0);
            EXPECT_EQ(info_of(it.buffer).current_sides, sides);
            EXPECT_EQ(after.copies_device_to_host, before.copies_device_to_host);
            EXPECT_EQ(after.accesses, before.accesses);
            EXPECT_EQ(after.access_conflicts, before.access_conflicts + 1);
            scene_end(&it);
        }
}

TEST(giving_up__a_copy_that_may_not_wait_moves_no_byte)
{
    scene it = scene_of(DCMEM_ACCESS_UPDATE);
    char bytes[BYTES];
    memset(bytes, 'x', sizeof bytes);
    EXPECT_RESULT(dcmem_buffer_copy_in(dcmem_view_whole(it.buffer), bytes, 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_in(dcmem_view_whole(it.buffer), bytes, SOON), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(it.buffer), 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(it.buffer), SOON), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_buffer_fill(dcmem_view_whole(it.buffer), "y", 1), DCMEM_E_BUSY);
    EXPECT(are_all(bytes, 'x', BYTES));
    scene_end(&it);
}

/* One that gives up must not take another's turn with it. */
typedef struct waiter {
    dcmem_buffer *buffer;
    dcmem_result result;
} waiter;

static void *
wait_long(void *of)
{
    waiter *it = of;
    dcmem_access access;
    it->result = dcmem_access_begin(&access, dcmem_view_whole(it->buffer), D, DCMEM_ACCESS_UPDATE, 60000000000u);
    if (it->result == DCMEM_OK)
        it->result = dcmem_access_end(&access);
    return NULL;
}

TEST(giving_up__does_not_disturb_who_goes_on_waiting)
{
    scene it = scene_of(DCMEM_ACCESS_READ);
    waiter patient = {it.buffer, DCMEM_E_INTERNAL};
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, wait_long, &patient), 0);
    while (stats_of(it.on.manager).access_conflicts == 0)
        sched_yield();
    dcmem_access second;
    for (int i = 0; i < 5; i++)
        EXPECT_RESULT(dcmem_access_begin(&second, dcmem_view_whole(it.buffer), H, DCMEM_ACCESS_WRITE, SOON / 10),
                      DCMEM_E_TIMEOUT);
    EXPECT_OK(dcmem_access_end(&it.open));
    pthread_join(thread, NULL);
    EXPECT_OK(patient.result);
    EXPECT_OK(dcmem_access_begin(&it.open, dcmem_view_whole(it.buffer), D, DCMEM_ACCESS_READ, 0));
    scene_end(&it);
}

static bool
give_up(void *user, dcmem_manager *manager, uint64_t bytes, uint32_t attempt)
{
    (void)manager;
    (void)bytes;
    *(uint32_t *)user = attempt;
    return false;
}

TEST(giving_up__a_request_whose_callback_says_no_holds_nothing_afterwards)
{
    uint32_t attempt = 99;
    dcmem_manager_options options = {.size = sizeof options,
                                     .limit_bytes = 1 << 20,
                                     .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF,
                                     .out_of_memory = give_up,
                                     .out_of_memory_user = &attempt};
    dcmem_manager *manager;
    dcmem_buffer *buffer = NULL;
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    EXPECT_RESULT(dcmem_buffer_create(&buffer, manager, 2 << 20, NULL), DCMEM_E_LIMIT);
    EXPECT(buffer == NULL);
    EXPECT_NE(attempt, 99);
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.live_allocations, 0);
    EXPECT_EQ(stats.live_buffers, 0);
    EXPECT_EQ(stats.used_bytes, 0);
    EXPECT_EQ(stats.failed_allocations, 1);
    EXPECT_EQ(stats.failed_bytes, 2 << 20);
    cpu_close(manager);
}
