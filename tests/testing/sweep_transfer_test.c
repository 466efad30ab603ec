/* sweep_transfer_test.c: every function of dcmem/transfer.h, with each of its calls failing in turn: what a transfer
 * reads stays as it was, what lies beside what it writes does too, and a second try puts right what the first one
 * spoiled. */
#include "sweeps.h"

#define BYTES 4000u

/* A box of 3 slices of 5 rows of 50 bytes, as it lies in the source and in the target. */
static const dcmem_box box = {.row_bytes = 50, .rows = 5, .slices = 3};
static const dcmem_layout there = {.offset = 100, .row_pitch = 80, .slice_pitch = 1000};
static const dcmem_layout here = {.offset = 7, .row_pitch = 50, .slice_pitch = 300};

static dcmem_view
whole(const subject *me, int i)
{
    return dcmem_view_whole(me->buffers[i]);
}

/* A source that is current here and there, in parts, and a target that is current on the device. */
static dcmem_result
prepare(subject *me)
{
    uint8_t bytes[BYTES];
    dcmem_view part;
    fill_pattern(bytes, BYTES, 1);
    dcmem_result result = dcmem_buffer_create_from(&me->buffers[0], me->manager, bytes, BYTES, NULL);
    if (!result)
        result = dcmem_view_slice(&part, whole(me, 0), 500, 1000);
    if (!result)
        result = dcmem_buffer_prefetch(part, DCMEM_SIDE_HOST);
    if (!result)
        result = dcmem_buffer_copy_in(part, bytes + 500, 0);
    fill_pattern(bytes, BYTES, 2);
    if (!result)
        result = dcmem_buffer_create_from(&me->buffers[1], me->manager, bytes, BYTES, NULL);
    return result;
}

/* What the target must hold, in rows and between them. */
static void
put_box(uint8_t *to, const uint8_t *from)
{
    for (uint64_t slice = 0; slice < box.slices; slice++)
        for (uint64_t row = 0; row < box.rows; row++)
            memcpy(to + there.offset + slice * there.slice_pitch + row * there.row_pitch,
                   from + here.offset + slice * here.slice_pitch + row * here.row_pitch, box.row_bytes);
}

static const char *
expect_bytes(const subject *me, int i, const uint8_t *wanted)
{
    uint8_t got[BYTES];
    if (dcmem_buffer_copy_out(got, whole(me, i), 0))
        return dcmem_last_detail()->message;
    return memcmp(got, wanted, BYTES) == 0 ? NULL : "a buffer's bytes are wrong";
}

static const char *
target_has_the_box(subject *me)
{
    uint8_t source[BYTES], target[BYTES];
    fill_pattern(source, BYTES, 1);
    fill_pattern(target, BYTES, 2);
    put_box(target, source);
    const char *wrong = expect_bytes(me, 0, source);
    return wrong ? wrong : expect_bytes(me, 1, target);
}

static bool
go_on(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return done <= total;
}

static const dcmem_cancel never;
static const dcmem_transfer_options watched = {
    .size = sizeof watched, .progress = go_on, .progress_bytes = 1, .cancel = &never};

/* ---- Boxes ---- */

static dcmem_result
box_copy(subject *me)
{
    return dcmem_transfer_box_copy(whole(me, 1), there, whole(me, 0), here, box, NULL);
}

SWEEP_TEST(sweep__of_transfer_box_copy)
{
    subject me = {.prepare = prepare, .perform = box_copy, .inspect = target_has_the_box};
    EXPECT_GE(sweep_over_all(&me), 15);
}

static dcmem_result
box_in(subject *me)
{
    uint8_t bytes[BYTES];
    fill_pattern(bytes, BYTES, 1);
    return dcmem_transfer_box_in(whole(me, 1), there, bytes, here, box, &watched);
}

SWEEP_TEST(sweep__of_transfer_box_in)
{
    subject me = {.prepare = prepare, .perform = box_in, .inspect = target_has_the_box};
    EXPECT_GE(sweep_over_all(&me), 15);
}

/* Not in `out`: rows that came before the one that failed are there. */
static uint8_t taken_out[BYTES];

static dcmem_result
box_out(subject *me)
{
    fill_pattern(taken_out, BYTES, 2);
    return dcmem_transfer_box_out(taken_out, there, whole(me, 0), here, box, &watched);
}

static const char *
box_was_taken_out(subject *me)
{
    uint8_t source[BYTES], wanted[BYTES];
    fill_pattern(source, BYTES, 1);
    fill_pattern(wanted, BYTES, 2);
    put_box(wanted, source);
    return memcmp(taken_out, wanted, BYTES) == 0 ? expect_bytes(me, 0, source) : "what was taken out is wrong";
}

SWEEP_TEST(sweep__of_transfer_box_out)
{
    subject me = {.prepare = prepare, .perform = box_out, .inspect = box_was_taken_out};
    EXPECT_GE(sweep_over_all(&me), 15);
}

/* ---- Whole views ---- */

static dcmem_result
copy(subject *me)
{
    return dcmem_transfer_copy(whole(me, 1), whole(me, 0), &watched);
}

static const char *
target_is_the_source(subject *me)
{
    uint8_t bytes[BYTES];
    fill_pattern(bytes, BYTES, 1);
    const char *wrong = expect_bytes(me, 0, bytes);
    return wrong ? wrong : expect_bytes(me, 1, bytes);
}

SWEEP_TEST(sweep__of_transfer_copy)
{
    subject me = {.prepare = prepare, .perform = copy, .inspect = target_is_the_source};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
in(subject *me)
{
    uint8_t bytes[BYTES];
    fill_pattern(bytes, BYTES, 1);
    return dcmem_transfer_in(whole(me, 1), bytes, &watched);
}

SWEEP_TEST(sweep__of_transfer_in)
{
    subject me = {.prepare = prepare, .perform = in, .inspect = target_is_the_source};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
out(subject *me)
{
    return dcmem_transfer_out(taken_out, whole(me, 0), &watched);
}

static const char *
all_was_taken_out(subject *me)
{
    (void)me;
    return has_pattern(taken_out, BYTES, 1) ? NULL : "what was taken out is wrong";
}

SWEEP_TEST(sweep__of_transfer_out)
{
    subject me = {.prepare = prepare, .perform = out, .inspect = all_was_taken_out};
    EXPECT_GE(sweep_over_all(&me), 1);
}

/* ---- Batches ---- */

static dcmem_view
part(const subject *me, int i, uint64_t offset, uint64_t bytes)
{
    return (dcmem_view){me->buffers[i], offset, bytes, 1};
}

/* Two that are joined, one to the host and one from it; how many are done must fit the result. */
static dcmem_result
batch(subject *me)
{
    uint8_t bytes[BYTES];
    uint64_t done = 0;
    fill_pattern(bytes, BYTES, 1);
    dcmem_transfer all[] = {
        {.to = part(me, 1, 0, 1000), .from = part(me, 0, 0, 1000)},
        {.to = part(me, 1, 1000, 500), .from = part(me, 0, 1000, 500)},
        {.to_host = taken_out, .from = part(me, 0, 0, BYTES)},
        {.to = part(me, 1, 1500, BYTES - 1500), .from_host = bytes + 1500},
    };
    dcmem_result result = dcmem_transfer_batch(&done, all, 4, NULL);
    if (!result && done != 4)
        return dcmem_backend_fail(DCMEM_E_INTERNAL, "test", 0, "not all are done");
    return result;
}

static const char *
batch_is_done(subject *me)
{
    const char *wrong = all_was_taken_out(me);
    return wrong ? wrong : target_is_the_source(me);
}

SWEEP_TEST(sweep__of_transfer_batch)
{
    subject me = {.prepare = prepare, .perform = batch, .inspect = batch_is_done};
    EXPECT_GE(sweep_over_all(&me), 3);
}
