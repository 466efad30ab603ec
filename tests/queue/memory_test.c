/* Raw memory on queues: when a block that was freed on one is given out again, and to whom. */
#include "queue/kit.h"

/* Work of some duration on the queue, that uses the block. */
static void
work_on(bench_of_queues *it, unsigned queue, void *block, uint64_t bytes)
{
    EXPECT_OK(dcmem_raw_set_on(NULL, it->queues[queue], block, 7, bytes));
}

TEST(memory__freed_on_a_queue_is_given_out_on_it_at_once)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *block = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    work_on(&it, 0, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    void *again = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    EXPECT(again == block);
    EXPECT_EQ(stats_of(it.manager).queue_reuses, 1);
    EXPECT_EQ(stats_of(it.manager).queue_markers, 0);
    EXPECT_OK(dcmem_raw_free(it.manager, again));
    bench_close(&it);
}

TEST(memory__freed_on_a_queue_is_nobody_elses_before_its_work_is_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    void *block = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    work_on(&it, 0, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 64 * KIB);
    void *other = dcmem_raw_allocate_on(it.queues[1], 64 * KIB);
    void *plain = dcmem_raw_allocate(it.manager, 64 * KIB);
    EXPECT(other && other != block);
    EXPECT(plain && plain != block);
    EXPECT_OK(dcmem_raw_free(it.manager, other));
    EXPECT_OK(dcmem_raw_free(it.manager, plain));
    bench_close(&it);
}

TEST(memory__freed_on_a_queue_comes_back_when_its_work_is_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *block = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    work_on(&it, 0, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    uint64_t value;
    EXPECT_OK(dcmem_queue_mark(&value, it.queues[0]));
    EXPECT_OK(dcmem_simulated_run(it.backend));
    /* The next free gives it back in passing. */
    void *more = dcmem_raw_allocate(it.manager, 4096);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], more));
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 4096);
    bench_close(&it);
}

TEST(memory__many_frees_share_a_marker)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    for (unsigned n = 0; n < 640; n++)
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], dcmem_raw_allocate(it.manager, 4096)));
    EXPECT_EQ(stats_of(it.manager).queue_frees, 640);
    EXPECT_LE(stats_of(it.manager).queue_markers, 10);
    bench_close(&it);
}

/* Frees that run ahead of the device: the pool waits for it instead of growing without end. */
TEST(memory__that_runs_ahead_is_waited_for_where_there_is_no_more)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 16 * MIB));
    for (unsigned n = 0; n < 100; n++) {
        void *block = dcmem_raw_allocate(it.manager, 2 * MIB);
        EXPECT(block);
        work_on(&it, 0, block, 2 * MIB);
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    }
    EXPECT_LE(stats_of(it.manager).reserved_bytes, 16 * MIB);
    EXPECT_GE(stats_of(it.manager).queue_waits, 1);
    bench_close(&it);
}

/* What one queue alone was told of is not enough: record_stream's failure. */
TEST(memory__used_on_a_second_queue_waits_for_both)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    static char big[4 * MIB];
    void *block = dcmem_raw_allocate_on(it.queues[0], 64 * KIB), *slow = dcmem_raw_allocate(it.manager, sizeof big);
    EXPECT_OK(dcmem_raw_write_on(NULL, it.queues[1], slow, big, sizeof big));
    work_on(&it, 1, block, 64 * KIB); /* behind the slow copy */
    EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    void *again = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    EXPECT(again && again != block);
    EXPECT_OK(dcmem_raw_free(it.manager, again));
    EXPECT_OK(dcmem_raw_free(it.manager, slow) == DCMEM_OK ? DCMEM_OK : DCMEM_E_INTERNAL);
    bench_close(&it);
}

TEST(memory__used_on_a_queue_and_freed_plainly_waits)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *block = dcmem_raw_allocate(it.manager, 64 * KIB);
    uint64_t value, completed;
    EXPECT_OK(dcmem_raw_set_on(&value, it.queues[0], block, 1, 64 * KIB));
    EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
    EXPECT_OK(dcmem_raw_set(it.manager, block, 0, 1)); /* it is the caller's still */
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_OK(dcmem_queue_completed(&completed, it.queues[0]));
    EXPECT_GE(completed, value);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
    bench_close(&it);
}

static uint64_t
completed_by(const bench_of_queues *it, unsigned queue)
{
    uint64_t completed;
    EXPECT_OK(dcmem_queue_completed(&completed, it->queues[queue]));
    return completed;
}

/* Its work before is marked, and told by that mark; what came after the mark is not. */
TEST(memory__freed_plainly_waits_for_work_behind_an_older_mark_too)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *block = dcmem_raw_allocate(it.manager, 64 * KIB);
    uint64_t marked, last;
    EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 1, 64 * KIB));
    EXPECT_OK(dcmem_queue_mark(&marked, it.queues[0]));
    EXPECT_OK(dcmem_raw_set_on(&last, it.queues[0], block, 2, 64 * KIB));
    EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_GE(completed_by(&it, 0), last);
    bench_close(&it);
}

/* A queue that was told of a block may put more work on it until the block is freed. */
TEST(memory__freed_plainly_waits_for_work_that_came_after_the_queue_was_named)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *block = dcmem_raw_allocate(it.manager, 64 * KIB);
    uint64_t marked, last;
    EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
    EXPECT_OK(dcmem_queue_mark(&marked, it.queues[0]));
    EXPECT_OK(dcmem_queue_wait(it.queues[0], marked, UINT64_MAX));
    EXPECT_OK(dcmem_raw_set_on(&last, it.queues[0], block, 2, 64 * KIB));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_GE(completed_by(&it, 0), last);
    bench_close(&it);
}

/* The queue that it was freed on needs not wait for itself, in whatever order the two were named. */
TEST(memory__used_on_another_queue_first_is_given_out_when_that_one_is_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    void *block = dcmem_raw_allocate(it.manager, 64 * KIB), *slow = dcmem_raw_allocate(it.manager, 4 * MIB);
    uint64_t value;
    work_on(&it, 1, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
    work_on(&it, 0, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    EXPECT_OK(dcmem_queue_mark(&value, it.queues[1]));
    EXPECT_OK(dcmem_queue_wait(it.queues[1], value, UINT64_MAX));
    work_on(&it, 0, slow, 4 * MIB); /* itself it is busy still */
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 64 * KIB);
    EXPECT(dcmem_raw_allocate_on(it.queues[0], 64 * KIB) == block);
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 0);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_OK(dcmem_raw_free(it.manager, slow));
    bench_close(&it);
}

/* As many bytes, but the host's. */
TEST(memory__of_another_kind_that_waits_is_not_given_out)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer_options host = {.size = sizeof host, .kind = DCMEM_KIND_HOST};
    dcmem_buffer *buffer;
    void *slow = dcmem_raw_allocate(it.manager, 64 * KIB);
    uint64_t usable;
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 64 * KIB, &host));
    work_on(&it, 0, slow, 64 * KIB);
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[0]));
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 64 * KIB);
    void *block = dcmem_raw_allocate_on(it.queues[0], 64 * KIB);
    EXPECT_OK(dcmem_raw_usable_size(&usable, it.manager, block));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_OK(dcmem_raw_free(it.manager, slow));
    bench_close(&it);
}

TEST(memory__freed_on_a_queue_cannot_be_freed_again)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    bench_of_queues other = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    char *block = dcmem_raw_allocate(it.manager, 64 * KIB);
    EXPECT_RESULT(dcmem_raw_free_on(other.queues[0], block), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_raw_free_on(it.queues[0], block + 64), DCMEM_E_INTERIOR);
    EXPECT_RESULT(dcmem_raw_use_on(it.queues[0], NULL), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], NULL));
    work_on(&it, 0, block, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    char *behind = dcmem_raw_allocate(it.manager, 64 * KIB);
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], behind)); /* two wait: each is found */
    EXPECT_RESULT(dcmem_raw_free(it.manager, behind), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_ALREADY_FREE);
    EXPECT_DETAIL("on a queue");
    EXPECT_RESULT(dcmem_raw_free_on(it.queues[0], block), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_free_on(it.queues[1], block), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_use_on(it.queues[1], block), DCMEM_E_ALREADY_FREE);
    EXPECT_RESULT(dcmem_raw_free(other.manager, block), DCMEM_E_FOREIGN);
    EXPECT(dcmem_raw_set(it.manager, block, 0, 1) != DCMEM_OK);
    bench_close(&it);
    bench_close(&other);
}

TEST(memory__of_many_sizes_is_found_again_by_its_own)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    void *blocks[200];
    for (unsigned i = 0; i < 200; i++)
        EXPECT(blocks[i] = dcmem_raw_allocate(it.manager, 64 + 64 * i));
    for (unsigned i = 200; i > 0; i--) /* the newest are too small for what is asked for first */
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], blocks[i - 1]));
    for (unsigned i = 199; i < 200; i--) {
        uint64_t usable;
        EXPECT(blocks[i] = dcmem_raw_allocate_on(it.queues[0], 64 + 64 * i));
        EXPECT_OK(dcmem_raw_usable_size(&usable, it.manager, blocks[i]));
        EXPECT_GE(usable, 64 + 64 * i);
    }
    EXPECT_GE(stats_of(it.manager).queue_reuses, 10);
    for (unsigned i = 0; i < 200; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    bench_close(&it);
}

TEST(memory__of_many_blocks_that_a_queue_uses_each_is_known)
{
    enum { BLOCKS = 9000 };
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_CPU, 1);
    void **blocks = calloc(BLOCKS, sizeof *blocks);
    EXPECT(blocks);
    for (unsigned i = 0; i < BLOCKS; i++) {
        EXPECT(blocks[i] = dcmem_raw_allocate(it.manager, 64));
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], blocks[i]));
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], blocks[i]));
    for (unsigned i = 0; i < BLOCKS; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    free(blocks);
    bench_close(&it);
}
