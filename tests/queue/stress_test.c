/* Eight queues that use, free and reuse the same memory in any order, and work that is done late: no byte is wrong.
 *
 * Everything that is read on a queue is compared with what the program had put there when it asked, however much later
 * the read happens. One body runs on a simulated device, whose clock is let go by random steps, and on real drivers. */
#include "queue/kit.h"

#define QUEUES      8u
#define BUFFERS     24u
#define READS       32u
#define MOST_BYTES  (64 * KIB)
#define OPS_A_ROUND 60u
#define ROUNDS      600u

typedef struct expected_read {
    unsigned char bytes[MOST_BYTES];
    uint64_t count;
    unsigned char value;
    unsigned queue;
    uint64_t timeline; /* 0: free */
} expected_read;

typedef struct stress {
    bench_of_queues it;
    uint64_t random;
    dcmem_buffer *buffers[BUFFERS];
    uint64_t bytes[BUFFERS];
    unsigned char values[BUFFERS];
    expected_read reads[READS];
    unsigned char sources[READS][MOST_BYTES]; /* of copies in, with the timeline at which they may change */
    uint64_t source_timeline[READS];
    unsigned source_queue[READS];
    uint64_t wrong;
} stress;

static uint64_t
pick(stress *of, uint64_t below)
{
    uint64_t z = of->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

static dcmem_queue *
queue_at(stress *of, unsigned index)
{
    return of->it.queues[index];
}

static void
verify(stress *of, expected_read *read)
{
    EXPECT_OK(dcmem_queue_wait(queue_at(of, read->queue), read->timeline, UINT64_MAX));
    for (uint64_t n = 0; n < read->count; n++)
        of->wrong += read->bytes[n] != read->value;
    read->timeline = 0;
}

/* A place to read into, whose old read has been looked at. */
static expected_read *
read_slot(stress *of, unsigned queue, uint64_t count, unsigned char value)
{
    expected_read *read = &of->reads[pick(of, READS)];
    if (read->timeline)
        verify(of, read);
    memset(read->bytes, (unsigned char)(value + 1), count);
    read->count = count;
    read->value = value;
    read->queue = queue;
    return read;
}

static void
create_at(stress *of, unsigned i, unsigned queue)
{
    of->bytes[i] = (1 + pick(of, MOST_BYTES / 4096)) * 4096;
    of->values[i] = (unsigned char)pick(of, 256);
    EXPECT_OK(dcmem_buffer_create(&of->buffers[i], of->it.manager, of->bytes[i], NULL));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, queue_at(of, queue), dcmem_view_whole(of->buffers[i]), &of->values[i], 1));
}

/* One step with buffers. */
static void
step_buffers(stress *of)
{
    unsigned i = (unsigned)pick(of, BUFFERS), j = (unsigned)pick(of, BUFFERS), queue = (unsigned)pick(of, QUEUES);
    dcmem_view view = dcmem_view_whole(of->buffers[i]);
    switch (pick(of, 6)) {
    case 0:
        of->values[i] = (unsigned char)pick(of, 256);
        EXPECT_OK(dcmem_buffer_fill_on(NULL, queue_at(of, queue), view, &of->values[i], 1));
        break;
    case 1: {
        expected_read *read = read_slot(of, queue, of->bytes[i], of->values[i]);
        EXPECT_OK(dcmem_buffer_copy_out_on(&read->timeline, queue_at(of, queue), read->bytes, view));
        break;
    }
    case 2: {
        dcmem_view to;
        if (i == j || of->bytes[i] > of->bytes[j])
            break;
        if (of->bytes[i] < of->bytes[j]) /* the rest keeps another value: give it the same first */
            EXPECT_OK(
                dcmem_buffer_fill_on(NULL, queue_at(of, queue), dcmem_view_whole(of->buffers[j]), &of->values[i], 1));
        EXPECT_OK(dcmem_view_slice(&to, dcmem_view_whole(of->buffers[j]), 0, of->bytes[i]));
        EXPECT_OK(dcmem_buffer_copy_on(NULL, queue_at(of, queue), to, view));
        of->values[j] = of->values[i];
        break;
    }
    case 3: {
        unsigned s = (unsigned)pick(of, READS);
        if (of->source_timeline[s])
            EXPECT_OK(dcmem_queue_wait(queue_at(of, of->source_queue[s]), of->source_timeline[s], UINT64_MAX));
        of->values[i] = (unsigned char)pick(of, 256);
        memset(of->sources[s], of->values[i], of->bytes[i]);
        of->source_queue[s] = queue;
        EXPECT_OK(dcmem_buffer_copy_in_on(&of->source_timeline[s], queue_at(of, queue), view, of->sources[s]));
        break;
    }
    case 4: /* the memory goes back while others may still read it, and is soon another buffer's */
        EXPECT_OK(dcmem_buffer_destroy_on(of->buffers[i], queue_at(of, queue)));
        create_at(of, i, (unsigned)pick(of, QUEUES));
        break;
    case 5: {
        unsigned char byte;
        dcmem_view one;
        EXPECT_OK(dcmem_view_slice(&one, view, pick(of, of->bytes[i]), 1));
        EXPECT_OK(dcmem_buffer_copy_out(&byte, one, 0));
        of->wrong += byte != of->values[i];
        break;
    }
    }
}

/* A raw block that lives on one queue, is read on a second one, and freed on either before anything has happened. */
static void
step_raw(stress *of)
{
    unsigned first = (unsigned)pick(of, QUEUES), second = (unsigned)pick(of, QUEUES);
    uint64_t bytes = (1 + pick(of, 4)) * 4096;
    unsigned char value = (unsigned char)pick(of, 256);
    void *block = dcmem_raw_allocate_on(queue_at(of, first), bytes);
    EXPECT(block);
    uint64_t filled;
    EXPECT_OK(dcmem_raw_set_on(&filled, queue_at(of, first), block, value, bytes));
    if (second != first) { /* the program's own order between the two */
        EXPECT_OK(dcmem_queue_wait(queue_at(of, first), filled, UINT64_MAX));
        EXPECT_OK(dcmem_raw_use_on(queue_at(of, first), block));
    }
    expected_read *read = read_slot(of, second, bytes, value);
    EXPECT_OK(dcmem_raw_read_on(&read->timeline, queue_at(of, second), read->bytes, block, bytes));
    if (second != first)
        EXPECT_OK(dcmem_raw_use_on(queue_at(of, second), block));
    EXPECT_OK(dcmem_raw_free_on(queue_at(of, pick(of, 2) ? first : second), block));
}

static void
play(stress *of, uint64_t rounds, void (*let_go)(stress *of))
{
    for (unsigned i = 0; i < BUFFERS; i++)
        create_at(of, i, i % QUEUES);
    for (uint64_t round = 0; round < rounds; round++) {
        for (unsigned n = 0; n < OPS_A_ROUND; n++) {
            if (pick(of, 3))
                step_buffers(of);
            else
                step_raw(of);
            let_go(of);
        }
        EXPECT_EQ(of->wrong, 0);
    }
    for (unsigned i = 0; i < READS; i++)
        if (of->reads[i].timeline)
            verify(of, &of->reads[i]);
    EXPECT_EQ(of->wrong, 0);
    for (unsigned i = 0; i < BUFFERS; i++)
        EXPECT_OK(dcmem_buffer_destroy_on(of->buffers[i], queue_at(of, i % QUEUES)));
}

static void
let_time_pass(stress *of)
{
    if (pick(of, 4) == 0)
        EXPECT_OK(dcmem_simulated_advance(of->it.backend, pick(of, 20000)));
}

static void
let_be(stress *of)
{
    (void)of;
}

static void
play_simulated(dcmem_simulated_device device, uint64_t rounds)
{
    stress *of = calloc(1, sizeof *of);
    of->it = bench_open(device, QUEUES);
    of->random = device + 1;
    play(of, rounds, let_time_pass);
    bench_close(&of->it);
    free(of);
}

TEST(stress__eight_queues_see_no_wrong_byte)
{
    play_simulated(DCMEM_SIMULATED_DEVICE_DISCRETE, 20);
}

LONG_TEST(stress__eight_queues_see_no_wrong_byte_in_600_rounds_on_each_simulated_device)
{
    for (unsigned device = 0; device < DCMEM_SIMULATED_DEVICE_COUNT; device++)
        play_simulated((dcmem_simulated_device)device, test_scaled(ROUNDS));
}

/* A real driver, whose work takes the time it takes. */
static void
play_real(const char *backend, uint64_t rounds)
{
    stress *of = calloc(1, sizeof *of);
    dcmem_manager_options options = {.size = sizeof options, .backend = backend};
    dcmem_result result = dcmem_manager_create(&of->it.manager, &options);
    if (result) {
        free(of);
        SKIP(dcmem_last_detail()->message);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        EXPECT_OK(dcmem_queue_create(&of->it.queues[i], of->it.manager, NULL));
    of->random = 99;
    play(of, rounds, let_be);
    for (unsigned i = 0; i < QUEUES; i++)
        EXPECT_OK(dcmem_queue_destroy(of->it.queues[i]));
    EXPECT_OK(dcmem_manager_check(of->it.manager));
    EXPECT_OK(dcmem_manager_destroy(of->it.manager));
    free(of);
}

TEST(stress__eight_queues_of_the_cpu_see_no_wrong_byte)
{
    play_real("cpu", 5);
}

LONG_TEST(stress__eight_queues_of_the_cpu_see_no_wrong_byte_in_600_rounds)
{
    play_real("cpu", test_scaled(ROUNDS));
}

LONG_TEST(stress__eight_queues_of_opencl_see_no_wrong_byte_in_600_rounds)
{
    play_real("opencl", test_scaled(ROUNDS));
}
