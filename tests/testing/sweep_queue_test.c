/* sweep_queue_test.c: every function of dcmem/queue.h, with each of its calls failing in turn. */
#include "sweeps.h"

#define BYTES 2000ull

/* The queues of a run. A real driver without queues has nothing to sweep. */
static dcmem_queue *queues[2];
static unsigned char host[BYTES];

static dcmem_result
prepare_queues(subject *me)
{
    memset(host, 7, sizeof host);
    dcmem_result result = dcmem_queue_create(&queues[0], me->manager, NULL);
    return result ? result : dcmem_queue_create(&queues[1], me->manager, NULL);
}

/* One block and two buffers with bytes on the device. */
static dcmem_result
prepare_all(subject *me)
{
    dcmem_result result = prepare_queues(me);
    me->blocks[0] = result ? NULL : dcmem_raw_allocate(me->manager, BYTES);
    if (!me->blocks[0])
        return dcmem_last_detail()->result;
    result = dcmem_raw_write(me->manager, me->blocks[0], host, BYTES);
    for (int i = 0; i < 2 && !result; i++) {
        result = dcmem_buffer_create(&me->buffers[i], me->manager, BYTES, NULL);
        if (!result)
            result = dcmem_buffer_fill(dcmem_view_whole(me->buffers[i]), "\x07", 1);
    }
    return result;
}

/* What has been put on the queue can be waited for, and did no harm. */
static const char *
queues_are_whole(subject *me)
{
    for (int i = 0; i < 2; i++) {
        uint64_t value;
        dcmem_result result = dcmem_queue_mark(&value, queues[i]);
        if (!result)
            result = dcmem_queue_wait(queues[i], value, UINT64_MAX);
        if (result)
            return dcmem_last_detail()->message;
    }
    return dcmem_manager_check(me->manager) ? dcmem_last_detail()->message : NULL;
}

/* ---- Life and timeline ---- */

static dcmem_result
create_queue(subject *me)
{
    return dcmem_queue_create((dcmem_queue **)&me->out.address, me->manager, NULL);
}

static void
end_created(subject *me)
{
    EXPECT_OK(dcmem_queue_destroy(me->out.address));
}

SWEEP_TEST(sweep__of_queue_create)
{
    subject me = {.perform = create_queue, .finish = end_created};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
prepare_pending(subject *me)
{
    dcmem_result result = prepare_all(me);
    void *freed = result ? NULL : dcmem_raw_allocate(me->manager, BYTES);
    if (!freed)
        return dcmem_last_detail()->result;
    result = dcmem_raw_set_on(NULL, queues[0], freed, 1, BYTES);
    if (!result)
        result = dcmem_raw_use_on(queues[1], freed);
    return result ? result : dcmem_raw_free_on(queues[0], freed);
}

static dcmem_result
destroy_queue(subject *me)
{
    (void)me;
    return dcmem_queue_destroy(queues[0]);
}

static const char *
queue_is_gone(subject *me)
{
    (void)me;
    return dcmem_queue_destroy(queues[0]) == DCMEM_E_STALE_QUEUE ? NULL : "the queue is not gone";
}

SWEEP_TEST(sweep__of_queue_destroy_with_pending_frees)
{
    subject me = {.prepare = prepare_pending, .perform = destroy_queue, .inspect = queue_is_gone, .no_retry = true};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
mark(subject *me)
{
    return dcmem_queue_mark(&me->out.number, queues[0]);
}

static dcmem_result
completed(subject *me)
{
    return dcmem_queue_completed(&me->out.number, queues[0]);
}

static dcmem_result
wait_for_fill(subject *me)
{
    uint64_t value;
    dcmem_result result = dcmem_raw_set_on(&value, queues[0], me->blocks[0], 7, BYTES);
    return result ? result : dcmem_queue_wait(queues[0], value, UINT64_MAX);
}

static void
hear(void *user, uint64_t value, dcmem_result result)
{
    (void)user;
    (void)value;
    (void)result;
}

static dcmem_result
notify(subject *me)
{
    return dcmem_queue_notify(queues[0], 1, hear, me);
}

/* ---- Raw memory ---- */

static dcmem_result
allocate_on(subject *me)
{
    void *block = dcmem_raw_allocate_on(queues[0], 5000);
    if (block)
        me->out.address = block;
    return result_of(block);
}

static void
keep_block(subject *me)
{
    me->blocks[1] = me->out.address;
}

SWEEP_TEST(sweep__of_raw_allocate_on)
{
    subject me = {.prepare = prepare_queues, .perform = allocate_on, .inspect = queues_are_whole, .finish = keep_block};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
use_on(subject *me)
{
    return dcmem_raw_use_on(queues[0], me->blocks[0]);
}

static dcmem_result
free_on(subject *me)
{
    dcmem_result result = dcmem_raw_free_on(queues[0], me->blocks[0]);
    if (!result)
        me->blocks[0] = NULL;
    return result;
}

static dcmem_result
set_on(subject *me)
{
    return dcmem_raw_set_on(&me->out.number, queues[0], me->blocks[0], 7, BYTES);
}

static dcmem_result
copy_on(subject *me)
{
    unsigned char *block = me->blocks[0];
    return dcmem_raw_copy_on(&me->out.number, queues[0], block + BYTES / 2, block, BYTES / 2);
}

static dcmem_result
write_on(subject *me)
{
    return dcmem_raw_write_on(&me->out.number, queues[0], me->blocks[0], host, BYTES);
}

static dcmem_result
read_on(subject *me)
{
    return dcmem_raw_read_on(&me->out.number, queues[0], host, me->blocks[0], BYTES);
}

/* ---- Buffers ---- */

static dcmem_result
access_on(subject *me)
{
    dcmem_access access;
    dcmem_result result =
        dcmem_access_begin_on(&access, dcmem_view_whole(me->buffers[0]), DCMEM_ACCESS_UPDATE, queues[0], 0);
    return result ? result : dcmem_access_end_on(&access);
}

static dcmem_result
buffer_copy_on(subject *me)
{
    return dcmem_buffer_copy_on(&me->out.number, queues[0], dcmem_view_whole(me->buffers[0]),
                                dcmem_view_whole(me->buffers[1]));
}

static dcmem_result
buffer_fill_on(subject *me)
{
    return dcmem_buffer_fill_on(&me->out.number, queues[0], dcmem_view_whole(me->buffers[0]), "\x07", 1);
}

static dcmem_result
buffer_copy_in_on(subject *me)
{
    return dcmem_buffer_copy_in_on(&me->out.number, queues[0], dcmem_view_whole(me->buffers[0]), host);
}

static dcmem_result
buffer_copy_out_on(subject *me)
{
    return dcmem_buffer_copy_out_on(&me->out.number, queues[0], host, dcmem_view_whole(me->buffers[0]));
}

/* Another queue's work on it is waited for. */
static dcmem_result
prepare_used_buffer(subject *me)
{
    dcmem_result result = prepare_all(me);
    return result ? result : dcmem_buffer_fill_on(NULL, queues[1], dcmem_view_whole(me->buffers[0]), "\x07", 1);
}

static dcmem_result
destroy_on(subject *me)
{
    dcmem_result result = dcmem_buffer_destroy_on(me->buffers[0], queues[0]);
    if (!result)
        me->buffers[0] = NULL;
    return result;
}

static dcmem_result (*const calls[])(subject *) = {
    mark,      completed, wait_for_fill, notify,         use_on,         free_on,           set_on,
    copy_on,   write_on,  read_on,       buffer_copy_on, buffer_fill_on, buffer_copy_in_on, buffer_copy_out_on,
    access_on, destroy_on};

SWEEP_TEST(sweep__of_calls_on_queues)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        subject me = {.prepare = prepare_all, .perform = calls[i], .inspect = queues_are_whole};
        sweep_over_all(&me);
    }
}

SWEEP_TEST(sweep__of_calls_on_a_buffer_that_another_queue_works_on)
{
    static dcmem_result (*const these[])(subject *) = {buffer_copy_on,     buffer_fill_on, buffer_copy_in_on,
                                                       buffer_copy_out_on, access_on,      destroy_on};
    for (size_t i = 0; i < sizeof these / sizeof these[0]; i++) {
        /* Once it is not to be learned whether the work failed, its bytes count as lost. */
        subject me = {
            .prepare = prepare_used_buffer, .perform = these[i], .inspect = queues_are_whole, .no_retry = true};
        sweep_over_all(&me);
    }
}
