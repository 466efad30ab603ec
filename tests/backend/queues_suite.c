/* queues_suite.c: the clauses of ASYNC. */
#include "contract_kit.h"

#include <pthread.h>

void
contract_a_queue_runs_in_order(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t bytes = 256 * KIB;
    dcmem_extent a = acquire_main(device, bytes), b = acquire_main(device, bytes);
    unsigned char *found = malloc(bytes);
    for (int round = 0; round < 20; round++) {
        enqueue_fill(device, queue, &a, bytes, (unsigned char)(2 * round + 1));
        enqueue_copy(device, queue, in_extent(&b, 0), in_extent(&a, 0), bytes);
        enqueue_fill(device, queue, &a, bytes, (unsigned char)(2 * round + 2));
        queue_wait(device, queue, enqueue_copy(device, queue, in_host(found), in_extent(&b, 0), bytes));
        for (uint64_t i = 0; i < bytes; i++)
            EXPECT_EQ(found[i], 2 * round + 1);
        copy(device, in_host(found), in_extent(&a, 0), bytes);
        EXPECT_EQ(found[bytes - 1], 2 * round + 2);
    }
    free(found);
    release(device, &a);
    release(device, &b);
    queue_close(device, queue);
}

void
contract_its_timeline_rises_from_1(contract_device *device)
{
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 4 * KIB);
    EXPECT_EQ(queue_completed(device, queue), 0);
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t value = enqueue_fill(device, queue, &extent, 4 * KIB, 1);
        EXPECT(i > 0 || value == 1);
        EXPECT(value > last);
        EXPECT(queue_completed(device, queue) <= value);
        last = value;
    }
    queue_wait(device, queue, last);
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_a_mark_completes_after_all_before_it(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t mark = 0, bytes = 1 * MIB;
    dcmem_extent extent = acquire_main(device, bytes);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++)
        last = enqueue_fill(device, queue, &extent, bytes, (unsigned char)i);
    EXPECT_OK(device->backend->queue_mark(&mark, device->handle, queue));
    EXPECT_GE(mark, last);
    queue_wait(device, queue, mark);
    unsigned char byte = 0;
    copy(device, in_host(&byte), in_extent(&extent, bytes - 1), 1);
    EXPECT_EQ(byte, 9);
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_waiting_for_what_is_done_takes_no_time(contract_device *device)
{
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 1 * MIB);
    EXPECT_OK(device->backend->queue_wait(device->handle, queue, 0, 0));
    uint64_t value = enqueue_fill(device, queue, &extent, 1 * MIB, 1);
    dcmem_result result = device->backend->queue_wait(device->handle, queue, value, 0);
    EXPECT(result == DCMEM_OK || result == DCMEM_E_TIMEOUT);
    queue_wait(device, queue, value);
    EXPECT_OK(device->backend->queue_wait(device->handle, queue, value, 0));
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_queues_have_timelines_of_their_own(contract_device *device)
{
    void *one = queue_open(device), *two = queue_open(device);
    dcmem_extent extent = acquire_main(device, 4 * KIB);
    for (int i = 0; i < 5; i++)
        queue_wait(device, one, enqueue_fill(device, one, &extent, 4 * KIB, 1));
    EXPECT_EQ(queue_completed(device, two), 0);
    queue_wait(device, two, enqueue_fill(device, two, &extent, 4 * KIB, 2));
    release(device, &extent);
    queue_close(device, one);
    queue_close(device, two);
}

void
contract_its_timeline_never_falls_nor_runs_ahead(contract_device *device)
{
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 64 * KIB);
    uint64_t seen = 0, value = 0;
    for (int i = 0; i < 200; i++) {
        value = enqueue_fill(device, queue, &extent, 64 * KIB, (unsigned char)i);
        uint64_t now = queue_completed(device, queue);
        EXPECT(seen <= now && now <= value);
        seen = now;
        if (i % 16 == 15)
            queue_wait(device, queue, value - 8);
    }
    queue_wait(device, queue, value);
    EXPECT_EQ(queue_completed(device, queue), value);
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_a_mark_of_nothing_is_complete(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t mark = 0;
    EXPECT_OK(device->backend->queue_mark(&mark, device->handle, queue));
    queue_wait(device, queue, mark);
    EXPECT_OK(device->backend->queue_mark(&mark, device->handle, queue));
    queue_wait(device, queue, mark);
    queue_close(device, queue);
}

void
contract_a_value_that_was_never_given_is_refused(contract_device *device)
{
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 4 * KIB);
    EXPECT_RESULT(device->backend->queue_wait(device->handle, queue, 1000, soon), DCMEM_E_INVALID_ARGUMENT);
    uint64_t value = enqueue_fill(device, queue, &extent, 4 * KIB, 1);
    EXPECT_RESULT(device->backend->queue_wait(device->handle, queue, value + 1000, soon), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(device->backend->queue_wait(device->handle, queue, UINT64_MAX, soon), DCMEM_E_INVALID_ARGUMENT);
    queue_wait(device, queue, value);
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_what_enqueue_was_given_may_change_afterwards(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t bytes = 256 * KIB, value = 0;
    unsigned char *pattern = pattern_make(1, bytes), word[4] = {1, 2, 3, 4}, found[8];
    dcmem_extent one = acquire_main(device, bytes), two = acquire_main(device, bytes), named = one;
    dcmem_place to = in_extent(&named, 0), from = in_host(pattern);
    EXPECT_OK(device->backend->enqueue_copy(&value, device->handle, queue, on_behalf(), &to, &from, bytes));
    from = in_extent(&named, 0);
    dcmem_extent other = two;
    to = in_extent(&other, 0);
    EXPECT_OK(device->backend->enqueue_copy(&value, device->handle, queue, on_behalf(), &to, &from, bytes));
    to = in_extent(&named, 0);
    EXPECT_OK(device->backend->enqueue_fill(&value, device->handle, queue, on_behalf(), &to, bytes, word, 4));
    memset(&named, 0xff, sizeof named);
    memset(&other, 0xff, sizeof other);
    memset(word, 0xff, sizeof word);
    to = from = in_host(NULL);
    queue_wait(device, queue, value);
    EXPECT_PATTERN(device, &two, 0, bytes, 1);
    copy(device, in_host(found), in_extent(&one, bytes - 8), 8);
    EXPECT(memcmp(found, "\1\2\3\4\1\2\3\4", 8) == 0);
    free(pattern);
    release(device, &one);
    release(device, &two);
    queue_close(device, queue);
}

void
contract_queued_copies_reach_every_place(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t bytes = 100 * KIB;
    unsigned char *pattern = pattern_make(1, bytes), *found = malloc(bytes), *last = malloc(bytes);
    EXPECT(found && last);
    dcmem_extent from = acquire_main(device, 2 * bytes);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_extent to = acquire(device, (dcmem_acquire){.bytes = 2 * bytes, .kind = (dcmem_kind)kind});
        memset(last, 0, bytes);
        enqueue_copy(device, queue, in_extent(&from, 3), in_host(pattern), bytes);
        enqueue_copy(device, queue, in_extent(&to, 70), in_extent(&from, 3), bytes);
        enqueue_copy(device, queue, in_host(found), in_extent(&to, 70), bytes);
        queue_wait(device, queue, enqueue_copy(device, queue, in_host(last), in_host(found), bytes));
        EXPECT(memcmp(last, pattern, bytes) == 0);
        EXPECT_PATTERN(device, &to, 70, bytes, 1);
        release(device, &to);
    }
    release(device, &from);
    free(pattern);
    free(found);
    free(last);
    queue_close(device, queue);
}

void
contract_queued_fills_repeat_each_pattern_and_touch_nothing_else(contract_device *device)
{
    static const unsigned char pattern[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 64 * KIB);
    unsigned char found[4096];
    for (uint32_t pattern_bytes = 1; pattern_bytes <= 16; pattern_bytes *= 2)
        for (uint64_t units = 1; units <= 100; units = units * 3 + 1) {
            uint64_t value = 0, offset = 4ull * pattern_bytes, bytes = units * pattern_bytes;
            const dcmem_place to = in_extent(&extent, offset);
            write_pattern(device, &extent, 0, sizeof found, units);
            EXPECT_OK(device->backend->enqueue_fill(&value, device->handle, queue, on_behalf(), &to, bytes, pattern,
                                                    pattern_bytes));
            queue_wait(device, queue, value);
            copy(device, in_host(found), in_extent(&extent, 0), sizeof found);
            for (uint64_t i = 0; i < sizeof found; i++) {
                bool is_inside = offset <= i && i < offset + bytes;
                EXPECT_EQ(found[i], is_inside ? pattern[(i - offset) % pattern_bytes] : byte_at(units, i));
            }
        }
    release(device, &extent);
    queue_close(device, queue);
}

void
contract_what_completed_is_there_for_other_queues_and_the_host(contract_device *device)
{
    void *one = queue_open(device), *two = queue_open(device);
    uint64_t bytes = 64 * KIB;
    dcmem_extent extent = acquire_main(device, bytes);
    unsigned char *found = malloc(bytes);
    EXPECT(found != NULL);
    for (int i = 1; i <= 30; i++) {
        queue_wait(device, one, enqueue_fill(device, one, &extent, bytes, (unsigned char)i));
        queue_wait(device, two, enqueue_copy(device, two, in_host(found), in_extent(&extent, 0), bytes));
        EXPECT(found[0] == i && found[bytes - 1] == i);
        write_pattern(device, &extent, 0, bytes, 1000 + (uint64_t)i);
        queue_wait(device, one, enqueue_copy(device, one, in_host(found), in_extent(&extent, 0), bytes));
        EXPECT_EQ(found[bytes / 2], byte_at(1000 + (uint64_t)i, bytes / 2));
    }
    free(found);
    release(device, &extent);
    queue_close(device, one);
    queue_close(device, two);
}

void
contract_closing_a_queue_ends_its_work(contract_device *device)
{
    void *queue = queue_open(device);
    uint64_t bytes = 1 * MIB;
    dcmem_extent extent = acquire_main(device, bytes);
    unsigned char *found = calloc(1, bytes);
    EXPECT(found != NULL);
    for (int i = 1; i <= 10; i++)
        enqueue_fill(device, queue, &extent, bytes, (unsigned char)i);
    enqueue_copy(device, queue, in_host(found), in_extent(&extent, 0), bytes);
    queue_close(device, queue);
    for (uint64_t i = 0; i < bytes; i += 997)
        EXPECT_EQ(found[i], 10);
    free(found);
    release(device, &extent);
}

void
contract_more_can_be_queued_than_a_driver_likes(contract_device *device)
{
    enum { COUNT = 3000 };
    void *queue = queue_open(device);
    dcmem_extent extent = acquire_main(device, 4 * KIB);
    unsigned char *found = calloc(1, COUNT);
    EXPECT(found != NULL);
    uint64_t value = 0;
    for (int i = 0; i < COUNT; i++) {
        enqueue_fill(device, queue, &extent, 64, (unsigned char)(i % 251));
        value = enqueue_copy(device, queue, in_host(found + i), in_extent(&extent, 63), 1);
    }
    queue_wait(device, queue, value);
    for (int i = 0; i < COUNT; i++)
        EXPECT_EQ(found[i], i % 251);
    free(found);
    release(device, &extent);
    queue_close(device, queue);
}

typedef struct queue_user {
    contract_device *device;
    void *queue; /* NULL: one of its own */
    const dcmem_extent *extent;
    uint64_t offset;
    uint64_t seed;
    const char *complaint;
} queue_user;

static const char *
use_queue(const queue_user *self, void *queue)
{
    const dcmem_backend *backend = self->device->backend;
    void *handle = self->device->handle;
    unsigned char wrote[512], found[512];
    const dcmem_place there = in_extent(self->extent, self->offset), from = in_host(wrote), to = in_host(found);
    uint64_t last = 0;
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t first = 0, second = 0;
        for (uint64_t j = 0; j < sizeof wrote; j++)
            wrote[j] = byte_at(self->seed + i, j);
        if (backend->enqueue_copy(&first, handle, queue, on_behalf(), &there, &from, sizeof wrote) ||
            backend->enqueue_copy(&second, handle, queue, on_behalf(), &to, &there, sizeof wrote))
            return "enqueue failed";
        if (first <= last || second <= first)
            return "values do not rise";
        last = second;
        if (backend->queue_wait(handle, queue, second, soon))
            return "wait failed";
        if (backend->queue_completed(handle, queue) < second)
            return "the timeline is behind what was waited for";
        if (memcmp(wrote, found, sizeof wrote) != 0)
            return "other bytes";
    }
    return NULL;
}

static void *
use_queues(void *user)
{
    queue_user *self = user;
    void *queue = self->queue;
    if (!queue && self->device->backend->queue_open(&queue, self->device->handle, NULL))
        self->complaint = "open failed";
    else
        self->complaint = use_queue(self, queue);
    if (queue && !self->queue)
        self->device->backend->queue_close(self->device->handle, queue);
    return NULL;
}

static void
use_queues_in_threads(contract_device *device, void *queue)
{
    enum { COUNT = 4 };
    pthread_t thread[COUNT];
    queue_user users[COUNT];
    dcmem_extent extent = acquire_main(device, COUNT * KIB);
    for (uint64_t i = 0; i < COUNT; i++) {
        users[i] = (queue_user){device, queue, &extent, i * KIB, i * 1000, NULL};
        EXPECT_EQ(pthread_create(&thread[i], NULL, use_queues, &users[i]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < COUNT; i++)
        if (users[i].complaint)
            fail_msg("thread %d: %s", i, users[i].complaint);
    release(device, &extent);
}

void
contract_several_threads_can_use_one_queue(contract_device *device)
{
    void *queue = queue_open(device);
    use_queues_in_threads(device, queue);
    queue_close(device, queue);
}

void
contract_several_threads_can_have_a_queue_each(contract_device *device)
{
    use_queues_in_threads(device, NULL);
}
