/* progress_test.c: transfers that somebody looks on at: what the callback sees, and what stopping leaves. */
#include "devices.h"

#include <dcmem/transfer.h>
#include <pthread.h>
#include <stdatomic.h>

#define MIB   (1ull << 20)
#define BYTES (20 * MIB + 12345)

/* ---- Somebody who looks on ---- */

#define MOST_CALLS 4096

typedef struct witness {
    uint64_t calls, stops_at;           /* the call that says stop, from 1; 0: none */
    uint64_t last, total;               /* as told last */
    bool is_wrong;                      /* what was told cannot be */
    void (*also)(struct witness *self); /* done in each call */
    dcmem_buffer *buffer;
    dcmem_cancel cancel;
} witness;

static bool
see(void *user, uint64_t done, uint64_t total)
{
    witness *it = user;
    it->is_wrong |= it->calls && (done <= it->last || total != it->total);
    it->is_wrong |= done == 0 || done > total;
    it->calls++;
    it->last = done;
    it->total = total;
    if (it->also)
        it->also(it);
    return it->calls != it->stops_at;
}

static dcmem_transfer_options
options_of(witness *it)
{
    return (dcmem_transfer_options){.size = sizeof(dcmem_transfer_options), .progress = see, .user = it};
}

/* ---- What it sees ---- */

TEST(progress__ends_with_all_bytes_and_comes_in_between)
{
    device on = device_open(&split_profile), other = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES), *far = buffer_of(other.manager, BYTES);
    char *bytes = calloc(1, BYTES);
    for (int way = 0; way < 3; way++) {
        witness it = {0};
        dcmem_transfer_options options = options_of(&it);
        if (way == 0)
            EXPECT_OK(dcmem_transfer_in(dcmem_view_whole(buffer), bytes, &options));
        else if (way == 1)
            EXPECT_OK(dcmem_transfer_copy(dcmem_view_whole(far), dcmem_view_whole(buffer), &options));
        else
            EXPECT_OK(dcmem_transfer_out(bytes, dcmem_view_whole(far), &options));
        EXPECT(!it.is_wrong);
        EXPECT_EQ(it.last, BYTES);
        EXPECT_EQ(it.total, BYTES);
        EXPECT_GE(it.calls, 3);
        EXPECT_LE(it.calls, 22);
    }
    free(bytes);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(far));
    device_close(&on);
    device_close(&other);
}

TEST(progress__is_told_no_sooner_than_asked_for)
{
    dcmem_manager *manager = cpu_open();
    enum { ROW = 100, ROWS = 1000 };
    dcmem_buffer *buffer = buffer_of(manager, 2 * ROW * ROWS);
    char *bytes = calloc(ROWS, ROW);
    dcmem_layout apart = {.row_pitch = 2 * ROW};
    dcmem_box box = {.row_bytes = ROW, .rows = ROWS};
    static const struct {
        uint64_t bytes, ns, least, most;
    } cases[] = {
        {1, 0, ROWS, ROWS},
        {10 * ROW, 0, ROWS / 10, ROWS / 10},
        {10 * ROW + 1, 0, ROWS / 11, ROWS / 11 + 1},
        {ROW * ROWS, 0, 1, 1},
        {0, 0, 1, 1},
        {1, 3600ull * 1000000000, 1, 1},
        {UINT64_MAX, 0, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        witness it = {0};
        dcmem_transfer_options options = options_of(&it);
        options.progress_bytes = cases[i].bytes;
        options.progress_ns = cases[i].ns;
        EXPECT_OK(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, bytes, (dcmem_layout){0}, box, &options));
        EXPECT(!it.is_wrong);
        EXPECT_EQ(it.last, ROW * ROWS);
        EXPECT_GE(it.calls, cases[i].least);
        EXPECT_LE(it.calls, cases[i].most);
    }
    /* With the shortest time between, it comes now and then. */
    witness it = {0};
    dcmem_transfer_options options = options_of(&it);
    options.progress_bytes = options.progress_ns = 1;
    EXPECT_OK(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, bytes, (dcmem_layout){0}, box, &options));
    EXPECT_GE(it.calls, 2);
    free(bytes);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

static void
use_the_buffer(witness *self)
{
    char byte = 1;
    dcmem_buffer *buffer = self->buffer;
    EXPECT_RESULT(dcmem_buffer_copy_out(&byte, view_of(buffer, 0, 1), 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, BYTES, 1), &byte, 0));
    EXPECT_OK(dcmem_buffer_copy_out(&byte, view_of(buffer, BYTES, 1), 0));
    EXPECT_EQ(info_of(buffer).open_writers, 1);
}

TEST(progress__may_call_dcmem_about_the_same_buffer)
{
    device on = device_open(&split_profile);
    witness it = {.buffer = buffer_of(on.manager, BYTES + 1), .also = use_the_buffer};
    dcmem_transfer_options options = options_of(&it);
    char *bytes = calloc(1, BYTES);
    EXPECT_OK(dcmem_transfer_in(view_of(it.buffer, 0, BYTES), bytes, &options));
    EXPECT_GE(it.calls, 2);
    free(bytes);
    EXPECT_OK(dcmem_buffer_destroy(it.buffer));
    device_close(&on);
}

/* ---- Stopping ---- */

/* Stops at each call in turn, until one is not stopped: what is left is what an aborted write leaves. */
TEST(transfer__stopped_by_its_callback_at_any_step_leaves_what_an_aborted_write_leaves)
{
    enum { ROW = 64, ROWS = 20 };
    device on = device_open(&split_profile);
    dcmem_buffer *to = buffer_of(on.manager, 4 * ROW * ROWS), *from = buffer_of(on.manager, ROW * ROWS);
    char bytes[ROW * ROWS];
    dcmem_layout apart = {.row_pitch = 4 * ROW};
    dcmem_box box = {.row_bytes = ROW, .rows = ROWS};
    dcmem_result result = DCMEM_E_CANCELLED;
    uint64_t stops_at = 1;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(from), "s", 1));
    for (; result; stops_at++) {
        witness it = {.stops_at = stops_at};
        dcmem_transfer_options options = options_of(&it);
        options.progress_bytes = 1;
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(to), "t", 1));
        result = dcmem_transfer_box_copy(dcmem_view_whole(to), apart, dcmem_view_whole(from), (dcmem_layout){0}, box,
                                         &options);
        EXPECT_EQ(it.calls, stops_at);
        EXPECT(!it.is_wrong);
        EXPECT_OK(dcmem_manager_check(on.manager));
        EXPECT_EQ(state_at(to, 0), result ? DCMI_STATE_LOST : DCMI_STATE_DEVICE);
        EXPECT_EQ(state_at(to, 4 * ROW * (ROWS - 1)), result ? DCMI_STATE_LOST : DCMI_STATE_DEVICE);
        EXPECT_EQ(state_at(to, ROW), DCMI_STATE_DEVICE);
        EXPECT_EQ(info_of(to).open_writers + info_of(from).open_readers, 0);
        EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(from), 0));
        EXPECT(are_all(bytes, 's', sizeof bytes));
    }
    /* The last call comes too late to stop anything. */
    EXPECT_EQ(stops_at, ROWS + 1);
    EXPECT_OK(dcmem_buffer_destroy(to));
    EXPECT_OK(dcmem_buffer_destroy(from));
    device_close(&on);
}

TEST(transfer__that_is_stopped_before_it_begins_changes_nothing)
{
    device on = device_open(&split_profile);
    dcmem_buffer *to = buffer_of(on.manager, 1000), *from = buffer_of(on.manager, 1000);
    char bytes[1000] = {0};
    dcmem_cancel cancel = {0};
    dcmem_transfer_options options = {.size = sizeof options, .cancel = &cancel};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(to), "t", 1));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(from), "s", 1));
    dcmem_cancel_set(&cancel);
    EXPECT(dcmem_cancel_is_set(&cancel));
    uint64_t copies = dcmem_fake_count_of(on.fake, DCMEM_FAKE_copy).called;
    EXPECT_RESULT(dcmem_transfer_copy(dcmem_view_whole(to), dcmem_view_whole(from), &options), DCMEM_E_CANCELLED);
    EXPECT_DETAIL("0 of 1000");
    EXPECT_RESULT(dcmem_transfer_in(dcmem_view_whole(to), bytes, &options), DCMEM_E_CANCELLED);
    memset(bytes, 1, sizeof bytes);
    EXPECT_RESULT(dcmem_transfer_out(bytes, dcmem_view_whole(from), &options), DCMEM_E_CANCELLED);
    EXPECT(are_all(bytes, 1, sizeof bytes));
    EXPECT_EQ(dcmem_fake_count_of(on.fake, DCMEM_FAKE_copy).called, copies);
    EXPECT_EQ(dcmem_result_class_of(DCMEM_E_CANCELLED), DCMEM_CLASS_TRANSIENT);
    dcmem_cancel_clear(&cancel);
    EXPECT_OK(dcmem_transfer_out(bytes, dcmem_view_whole(to), &options));
    EXPECT(are_all(bytes, 't', sizeof bytes));
    /* Nobody is no word. */
    dcmem_cancel_set(NULL);
    dcmem_cancel_clear(NULL);
    EXPECT(!dcmem_cancel_is_set(NULL));
    EXPECT_OK(dcmem_buffer_destroy(to));
    EXPECT_OK(dcmem_buffer_destroy(from));
    device_close(&on);
}

static void
cancel(witness *self)
{
    dcmem_cancel_set(&self->cancel);
}

/* The word is set when the first row has arrived, and looked at when the second has: of two rows that is all. */
TEST(transfer__that_is_stopped_when_all_has_arrived_has_succeeded)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    dcmem_layout apart = {.row_pitch = 100};
    char bytes[1000] = {0};
    for (uint64_t rows = 2; rows <= 3; rows++) {
        witness it = {.also = cancel};
        dcmem_transfer_options options = options_of(&it);
        dcmem_box box = {.row_bytes = 10, .rows = rows};
        options.cancel = &it.cancel;
        options.progress_bytes = 1;
        EXPECT_RESULT(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, bytes, apart, box, &options),
                      rows == 2 ? DCMEM_OK : DCMEM_E_CANCELLED);
        EXPECT(dcmem_cancel_is_set(&it.cancel));
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- From another thread ---- */

typedef struct runner {
    dcmem_buffer *buffer;
    char *bytes;
    dcmem_transfer_options options;
    dcmem_cancel cancel;
    _Atomic uint32_t calls;
    dcmem_result result;
} runner;

static bool
count(void *user, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    atomic_fetch_add(&((runner *)user)->calls, 1);
    return true;
}

static void *
copy_until_stopped(void *pointer)
{
    runner *it = pointer;
    while (!it->result)
        it->result = dcmem_transfer_in(dcmem_view_whole(it->buffer), it->bytes, &it->options);
    return NULL;
}

TEST(transfer__is_stopped_by_another_thread)
{
    device on = device_open(&split_profile);
    runner it = {.buffer = buffer_of(on.manager, BYTES), .bytes = calloc(1, BYTES)};
    pthread_t thread;
    it.options = (dcmem_transfer_options){
        .size = sizeof it.options, .progress = count, .user = &it, .progress_bytes = 1, .cancel = &it.cancel};
    assert_int_equal(pthread_create(&thread, NULL, copy_until_stopped, &it), 0);
    while (atomic_load(&it.calls) < 2)
        sched_yield();
    dcmem_cancel_set(&it.cancel);
    pthread_join(thread, NULL);
    EXPECT_RESULT(it.result, DCMEM_E_CANCELLED);
    EXPECT_EQ(info_of(it.buffer).open_writers, 0);
    dcmem_cancel_clear(&it.cancel);
    EXPECT_OK(dcmem_transfer_in(dcmem_view_whole(it.buffer), it.bytes, &it.options));
    free(it.bytes);
    EXPECT_OK(dcmem_buffer_destroy(it.buffer));
    device_close(&on);
}

static void *
copy_once(void *pointer)
{
    runner *it = pointer;
    it->result = dcmem_transfer_in(dcmem_view_whole(it->buffer), it->bytes, &it->options);
    return NULL;
}

/* It would wait for ever. */
TEST(transfer__that_waits_for_an_access_is_stopped_too)
{
    device on = device_open(&split_profile);
    runner it = {.buffer = buffer_of(on.manager, 1000), .bytes = calloc(1, 1000)};
    dcmem_access access;
    pthread_t thread;
    it.options = (dcmem_transfer_options){.size = sizeof it.options, .timeout_ns = UINT64_MAX, .cancel = &it.cancel};
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(it.buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    assert_int_equal(pthread_create(&thread, NULL, copy_once, &it), 0);
    while (stats_of(on.manager).access_conflicts == 0)
        sched_yield();
    dcmem_cancel_set(&it.cancel);
    pthread_join(thread, NULL);
    EXPECT_RESULT(it.result, DCMEM_E_CANCELLED);
    EXPECT_OK(dcmem_access_end(&access));
    free(it.bytes);
    EXPECT_OK(dcmem_buffer_destroy(it.buffer));
    device_close(&on);
}

/* ---- Options ---- */

TEST(transfer__takes_its_options_as_all_calls_do)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000), *other = buffer_of(on.manager, 1000);
    dcmem_view view = dcmem_view_whole(buffer);
    char bytes[1000] = {0};
    struct {
        dcmem_transfer_options known;
        uint64_t later;
    } longer = {.known = {.size = sizeof longer}};
    EXPECT_OK(dcmem_transfer_in(view, bytes, &longer.known));
    longer.later = 1;
    EXPECT_RESULT(dcmem_transfer_in(view, bytes, &longer.known), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("does not know");
    longer.known.size = 0;
    EXPECT_RESULT(dcmem_transfer_in(view, bytes, &longer.known), DCMEM_E_INVALID_ARGUMENT);
    /* Fields that the caller does not know are none: this one knows of no callback. */
    dcmem_transfer_options shorter = {.size = offsetof(dcmem_transfer_options, progress),
                                      .progress = (dcmem_transfer_progress)(uintptr_t)1};
    EXPECT_OK(dcmem_transfer_in(view, bytes, &shorter));
    /* Waiting ends when its time is over. */
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
    EXPECT_RESULT(dcmem_transfer_in(view, bytes, NULL), DCMEM_E_BUSY);
    dcmem_cancel cancel = {0};
    dcmem_transfer_options waits = {.size = sizeof waits, .timeout_ns = 5000000, .cancel = &cancel};
    EXPECT_RESULT(dcmem_transfer_in(view, bytes, &waits), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_transfer_out(bytes, view, &waits), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_transfer_copy(dcmem_view_whole(other), view, &waits), DCMEM_E_TIMEOUT);
    EXPECT_OK(dcmem_access_end(&access));

    EXPECT_RESULT(dcmem_transfer_in(view, NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_transfer_out(NULL, view, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_transfer_copy(view, view, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_transfer_copy(view, view_of(other, 0, 999), NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_transfer_copy(view, dcmem_view_whole(other), NULL), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_transfer_in(view_of(buffer, 1, 1000), bytes, NULL), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_transfer_in(view_of(buffer, 0, 0), bytes, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(other));
    EXPECT_RESULT(dcmem_transfer_copy(view, dcmem_view_whole(other), NULL), DCMEM_E_STALE_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
