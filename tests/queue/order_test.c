/* What the books of queues must get right when uses come in an order of their own. */
#include "queue/kit.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static dcmem_buffer *
buffer_of(bench_of_queues *it, uint64_t bytes)
{
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, it->manager, bytes, NULL));
    return buffer;
}

static dcmem_view
part_of(dcmem_buffer *buffer, uint64_t offset, uint64_t bytes)
{
    dcmem_view part;
    EXPECT_OK(dcmem_view_slice(&part, dcmem_view_whole(buffer), offset, bytes));
    return part;
}

/* The list's places are used again, so the second queue's last fill stands before its first in it. */
TEST(order__destroy_on_minds_the_last_of_another_queues_uses)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *buffer = buffer_of(&it, 12 * KIB);
    uint64_t first, last, completed;
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[1], part_of(buffer, 0, 64), "a", 1));
    EXPECT_OK(dcmem_buffer_fill_on(&first, it.queues[1], part_of(buffer, 4096, 64), "b", 1));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[1], part_of(buffer, 0, 64), "c", 1));
    EXPECT_OK(dcmem_buffer_fill_on(&last, it.queues[1], part_of(buffer, 8192, 64), "d", 1));
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[0]));
    EXPECT_GE(stats_of(it.manager).pending_bytes, 12 * KIB);

    while (dcmem_queue_completed(&completed, it.queues[1]) == DCMEM_OK && completed + 1 < last)
        EXPECT_OK(dcmem_simulated_advance(it.backend, 1));
    EXPECT_LE(first, completed);
    uint64_t value;
    EXPECT_OK(dcmem_queue_mark(&value, it.queues[0]));
    EXPECT_OK(dcmem_queue_mark(&value, it.queues[1]));
    void *small = dcmem_raw_allocate(it.manager, 256);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], small)); /* looks at what is done, in passing */
    EXPECT_GE(stats_of(it.manager).pending_bytes, 12 * KIB);
    EXPECT_OK(dcmem_simulated_run(it.backend));
    bench_close(&it);
}

/* Work of a device that is lost is done, undone: nothing of it keeps a buffer or a block from ending. */
TEST(order__a_lost_device_keeps_nothing_alive)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *one = buffer_of(&it, 64 * KIB), *two = buffer_of(&it, 64 * KIB);
    void *block = dcmem_raw_allocate(it.manager, 4096), *other = dcmem_raw_allocate(it.manager, 4096);
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(one), DCMEM_ACCESS_WRITE, it.queues[0], 0));
    EXPECT_OK(dcmem_access_end_on(&access));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(two), "x", 1));
    EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[1], block, 1, 4096));
    EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], other));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));

    unsigned char byte;
    EXPECT(dcmem_buffer_copy_out(&byte, part_of(two, 0, 1), 0) != DCMEM_OK);
    EXPECT_OK(dcmem_buffer_destroy(one));
    EXPECT_OK(dcmem_buffer_destroy(two));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_RESULT(dcmem_queue_destroy(it.queues[0]), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(dcmem_queue_destroy(it.queues[1]), DCMEM_E_DEVICE_LOST);
    it.queues[0] = it.queues[1] = NULL;
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    bench_close(&it);
}

/* Records are found by pool and address, and both come again. */
TEST(order__a_manager_that_clears_or_ends_leaves_no_uses_behind)
{
    for (unsigned round = 0; round < 3; round++) {
        bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
        void *block = dcmem_raw_allocate(it.manager, 4096);
        EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 1, 4096));
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
        EXPECT_OK(dcmem_manager_clear(it.manager));
        EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_UNKNOWN_ADDRESS);

        block = dcmem_raw_allocate(it.manager, 4096);
        uint64_t value, completed;
        EXPECT_OK(dcmem_raw_set_on(&value, it.queues[0], block, 1, 4096));
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
        EXPECT_OK(dcmem_raw_free(it.manager, block));
        EXPECT_OK(dcmem_queue_completed(&completed, it.queues[0]));
        EXPECT_GE(completed, value);

        block = dcmem_raw_allocate(it.manager, 4096);
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
        EXPECT_RESULT(dcmem_manager_destroy(it.manager), DCMEM_E_LEAKED);
        EXPECT_OK(dcmem_simulated_destroy(it.backend));
    }
}

TEST(order__clear_waits_for_work_and_frees_what_was_pending)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    static unsigned char host[64 * KIB];
    dcmem_buffer *buffer = buffer_of(&it, 64 * KIB);
    void *block = dcmem_raw_allocate(it.manager, 64 * KIB);
    uint64_t first, second, completed;
    EXPECT_OK(dcmem_buffer_fill_on(&first, it.queues[0], dcmem_view_whole(buffer), "z", 1));
    EXPECT_OK(dcmem_raw_read_on(&second, it.queues[1], host, block, sizeof host));
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], dcmem_raw_allocate(it.manager, 4096)));
    EXPECT_OK(dcmem_manager_clear(it.manager));
    EXPECT_OK(dcmem_queue_completed(&completed, it.queues[0]));
    EXPECT_GE(completed, first);
    EXPECT_OK(dcmem_queue_completed(&completed, it.queues[1]));
    EXPECT_GE(completed, second);
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 0);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    bench_close(&it);
}

TEST(order__a_block_that_moves_is_copied_after_the_queues_that_write_it)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    unsigned char *block = dcmem_raw_allocate(it.manager, 4096), got[2] = {0};
    EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 0x77, 4096));
    EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
    unsigned char *moved = dcmem_raw_reallocate(it.manager, block, 300 * KIB);
    EXPECT(moved && moved != block);
    EXPECT_OK(dcmem_raw_read(it.manager, got, moved + 4094, 2));
    EXPECT_EQ(got[0], 0x77);
    EXPECT_EQ(got[1], 0x77);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT_OK(dcmem_raw_free(it.manager, moved));
    bench_close(&it);
}

TEST(order__a_block_is_used_by_eight_queues_and_waits_for_all)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 8);
    static unsigned char host[8][4096];
    uint64_t values[8], completed;
    for (unsigned plain = 0; plain < 2; plain++) {
        void *block = dcmem_raw_allocate(it.manager, 4096);
        EXPECT_OK(dcmem_raw_set(it.manager, block, 3, 4096));
        for (unsigned i = 0; i < 8; i++) {
            EXPECT_OK(dcmem_raw_read_on(&values[i], it.queues[i], host[i], block, 4096));
            EXPECT_OK(dcmem_raw_use_on(it.queues[i], block));
        }
        EXPECT_OK(plain ? dcmem_raw_free(it.manager, block) : dcmem_raw_free_on(it.queues[7], block));
        for (unsigned i = 0; plain && i < 8; i++) {
            EXPECT_OK(dcmem_queue_completed(&completed, it.queues[i]));
            EXPECT_GE(completed, values[i]);
            EXPECT_EQ(host[i][4095], 3);
        }
    }
    bench_close(&it);
}

TEST(order__more_marks_than_a_queue_remembers_lose_none)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    uint64_t value;
    void *slow = dcmem_raw_allocate(it.manager, 4 * MIB);
    for (unsigned n = 0; n < 200; n++) {
        void *block = dcmem_raw_allocate(it.manager, 4096);
        EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], slow, 1, 4 * MIB));
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
        EXPECT_OK(dcmem_queue_mark(&value, it.queues[0]));
    }
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 200 * 4096);
    EXPECT_OK(dcmem_simulated_run(it.backend));
    for (unsigned n = 0; n < 60; n++)
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], dcmem_raw_allocate(it.manager, 256)));
    EXPECT_LE(stats_of(it.manager).pending_bytes, 60 * 256);
    EXPECT_OK(dcmem_raw_free(it.manager, slow));
    bench_close(&it);
}

/* Each queue reads a part of its own: more than a record remembers. */
TEST(order__a_buffer_with_many_queues_uses_is_destroyed_on_one_when_all_are_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 8);
    dcmem_buffer *buffer = buffer_of(&it, 32 * KIB);
    static unsigned char host[8][4096];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "q", 1));
    for (unsigned i = 0; i < 8; i++)
        EXPECT_OK(dcmem_buffer_copy_out_on(NULL, it.queues[i], host[i], part_of(buffer, i * 4096, 4096)));
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[3]));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_EQ(host[i][4095], 'q');
    bench_close(&it);
}

/* A block's second queue is marked, too, so that frees that run ahead come back without anybody waiting. */
TEST(order__blocks_used_on_a_second_queue_come_back_though_nobody_marks_that)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    for (unsigned n = 0; n < 2000; n++) {
        void *block = dcmem_raw_allocate(it.manager, 4096);
        EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[1], block, 1, 4096));
        EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
        EXPECT_OK(dcmem_simulated_run(it.backend));
    }
    EXPECT_LE(stats_of(it.manager).pending_bytes, 300 * 4096);
    bench_close(&it);
}

TEST(order__host_calls_wait_for_queues)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 8192);
    dcmem_view whole = dcmem_view_whole(buffer);
    unsigned char two[2];
    dcmem_map map;
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], whole, "1", 1));
    EXPECT_OK(dcmem_buffer_map(&map, whole, DCMEM_MAP_READ));
    EXPECT_EQ(((unsigned char *)map.host)[8191], '1');
    EXPECT_OK(dcmem_buffer_unmap(&map));

    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], whole, "2", 1));
    EXPECT_OK(dcmem_buffer_resize(buffer, 300 * KIB));
    EXPECT_OK(dcmem_buffer_copy_out(two, part_of(buffer, 8190, 2), 0));
    EXPECT_EQ(two[1], '2');

    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], part_of(buffer, 0, 8192), "3", 1));
    EXPECT_OK(dcmem_buffer_synchronize(part_of(buffer, 0, 8192)));
    EXPECT_OK(dcmem_buffer_copy_out(two, part_of(buffer, 0, 2), 0));
    EXPECT_EQ(two[0], '3');
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], part_of(buffer, 0, 8192), "4", 1));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

TEST(order__an_access_of_a_queue_that_ended_can_be_ended_and_aborted)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 4096);
    dcmem_access access;
    for (unsigned round = 0; round < 2; round++) {
        dcmem_queue *queue;
        EXPECT_OK(dcmem_queue_create(&queue, it.manager, NULL));
        EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_WRITE, queue, 0));
        EXPECT_OK(dcmem_queue_destroy(queue));
        EXPECT_RESULT(dcmem_access_end_on(&access), DCMEM_E_STALE_QUEUE);
        EXPECT_OK(round ? dcmem_access_abort(&access) : dcmem_access_end(&access));
        EXPECT_RESULT(dcmem_access_end_on(&access), DCMEM_E_WRONG_STATE);
    }
    EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_WRITE, it.queues[0], 0));
    EXPECT_OK(dcmem_access_abort(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

static void
ignore(void *user, uint64_t value, dcmem_result result)
{
    (void)value;
    (void)result;
    atomic_fetch_add((_Atomic unsigned *)user, 1);
}

static bool
may_start_threads_in_a_child(void)
{
    return !test_tool() || strcmp(test_tool(), "ThreadSanitizer") != 0;
}

static bool
hears(dcmem_queue *queue)
{
    _Atomic unsigned calls = 0;
    if (dcmem_queue_notify(queue, 0, ignore, &calls))
        return false;
    while (!atomic_load(&calls))
        usleep(1000);
    return true;
}

/* The allocators of sanitizers do not bear a fork while another thread is in them, as one that has just begun is. */
static void
let_begin(dcmem_queue *queue)
{
    if (!test_tool())
        return;
    EXPECT(hears(queue));
    usleep(20000);
}

TEST(order__a_child_of_fork_uses_and_ends_the_queues_of_its_own_copy)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    let_begin(it.queues[1]);
    static _Atomic unsigned calls;
    uint64_t value;
    dcmem_buffer *buffer = buffer_of(&it, 4096);
    EXPECT_OK(dcmem_buffer_fill_on(&value, it.queues[0], dcmem_view_whole(buffer), "f", 1));
    EXPECT_OK(dcmem_queue_notify(it.queues[0], value, ignore, &calls));
    EXPECT_OK(dcmem_raw_free_on(it.queues[1], dcmem_raw_allocate(it.manager, 4096)));
    pid_t child = fork();
    if (child == 0) {
        unsigned char byte = 0;
        alarm(20);
        bool is_good = (!may_start_threads_in_a_child() || hears(it.queues[1])) &&
                       dcmem_queue_wait(it.queues[0], value, UINT64_MAX) == DCMEM_OK &&
                       dcmem_buffer_copy_out(&byte, part_of(buffer, 9, 1), 0) == DCMEM_OK && byte == 'f' &&
                       dcmem_queue_destroy(it.queues[0]) == DCMEM_OK && dcmem_buffer_destroy(buffer) == DCMEM_OK &&
                       dcmem_manager_destroy(it.manager) == DCMEM_OK;
        _exit(is_good ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
    EXPECT_EQ(atomic_load(&calls), 1);
}

/* The thread that calls back slept when the process was forked; in the child it may not be waited for. */
TEST(order__a_child_of_fork_is_called_back_as_often_as_it_likes)
{
    if (!may_start_threads_in_a_child())
        SKIP("ThreadSanitizer starts no threads in a child of fork");
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    EXPECT(hears(it.queues[0]));
    usleep(20000);
    pid_t child = fork();
    if (child == 0) {
        bool is_good = true;
        alarm(20);
        for (unsigned i = 0; i < 8 && is_good; i++)
            is_good = hears(it.queues[0]) && usleep(5000) == 0;
        _exit(is_good ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    bench_close(&it);
}
