/* touch_test.c: small copies and fills of host memory, which open no access: that nobody can tell, but by the clock. */
#include "buffer/touch.h"

#include "devices.h"

#include <dcmem/guard.h>
#include <dcmem/queue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SMALL     4096u        /* done with the slot locked */
#define MIDDLE    (64u << 10)  /* done through an entry in the list */
#define LARGE     (256u << 10) /* always timed from here on */
#define TOO_LARGE (1u << 20)   /* the first size that is no touch */

static const uint64_t sizes[] = {1, 63, SMALL, 8192, 8193, MIDDLE, LARGE - 1, LARGE, TOO_LARGE - 1, TOO_LARGE};

#define SIZES (sizeof sizes / sizeof *sizes)

/* ---- Bytes and states ---- */

static void
expect_moved(dcmem_manager *manager, uint64_t bytes)
{
    unsigned char *in = malloc(bytes), *out = malloc(bytes);
    dcmem_buffer *buffer = buffer_of(manager, bytes + 200);
    dcmem_view view = view_of(buffer, 100, bytes);
    for (uint64_t i = 0; i < bytes; i++)
        in[i] = (unsigned char)(i * 31 + i / 251);
    EXPECT_RESULT(dcmem_buffer_copy_out(out, view, 0), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "\x7f", 1));
    EXPECT_OK(dcmem_buffer_copy_in(view, in, 0));
    EXPECT_OK(dcmem_buffer_copy_out(out, view, 0));
    EXPECT_EQ(memcmp(in, out, bytes), 0);
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(buffer, 99, 1), 0));
    EXPECT_EQ(out[0], 0x7f);
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(buffer, 100 + bytes, 1), 0));
    EXPECT_EQ(out[0], 0x7f);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    free(in);
    free(out);
}

TEST(touch__moves_the_bytes_of_its_view_and_no_other)
{
    dcmem_manager *manager = cpu_open();
    for (size_t i = 0; i < SIZES; i++)
        expect_moved(manager, sizes[i]);
    cpu_close(manager);
}

TEST(touch__of_a_part_leaves_the_rest_unwritten)
{
    char bytes[64] = {0};
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, 64, 64), bytes, 0));
    EXPECT_EQ(info_of(buffer).written_bytes, 64);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 64, 64), 0));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, 65, 64), 0), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, 63, 64), 0), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    EXPECT_EQ(info_of(buffer).written_bytes, SMALL);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* All bytes lost: written again as a whole they are there. */
TEST(touch__of_all_bytes_is_how_lost_ones_come_back)
{
    char bytes[SMALL] = {0};
    dcmem_access access;
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    dcmem_view all = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_buffer_copy_in(all, bytes, 0));
    EXPECT_OK(dcmem_access_begin(&access, all, DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_abort(&access));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, all, 0), DCMEM_E_LOST);
    EXPECT_OK(dcmem_buffer_copy_in(all, bytes, 0));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, all, 0));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(touch__is_refused_in_the_words_of_an_access)
{
    char bytes[64] = {0};
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(buffer, 0, 0), bytes, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(buffer, SMALL - 63, 64), bytes, 0), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, UINT64_MAX - 3, 8), 0), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of((dcmem_buffer *)bytes, 0, 8), bytes, 0), DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(buffer, 0, 64), bytes, 0), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, 0, 64), 0), DCMEM_E_STALE_BUFFER);
    cpu_close(manager);
}

/* ---- Those who use the buffer meanwhile ---- */

static void
expect_beside(uint64_t bytes, dcmem_access_mode mode, dcmem_result write, dcmem_result read)
{
    dcmem_access access;
    char *memory = calloc(1, bytes);
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 2 * bytes);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 0, bytes), DCMEM_SIDE_HOST, mode, 0));
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(buffer, bytes - 1, bytes), memory, 0), write);
    EXPECT_RESULT(dcmem_buffer_copy_out(memory, view_of(buffer, bytes - 1, bytes), 0), read);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, bytes, bytes), memory, 0));
    EXPECT_OK(dcmem_buffer_copy_out(memory, view_of(buffer, bytes, bytes), 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, 0, bytes), memory, 0));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
    free(memory);
}

TEST(touch__conflicts_as_an_access_does)
{
    for (size_t i = 0; i < SIZES; i++) {
        expect_beside(sizes[i], DCMEM_ACCESS_WRITE, DCMEM_E_BUSY, DCMEM_E_BUSY);
        expect_beside(sizes[i], DCMEM_ACCESS_UPDATE, DCMEM_E_BUSY, DCMEM_E_BUSY);
        expect_beside(sizes[i], DCMEM_ACCESS_READ, DCMEM_E_BUSY, DCMEM_OK);
        expect_beside(sizes[i], DCMEM_ACCESS_WRITE_NO_OVERWRITE, DCMEM_OK, DCMEM_OK);
    }
}

TEST(touch__of_a_pinned_buffer_leaves_its_pins)
{
    dcmem_native native;
    char *memory = calloc(1, MIDDLE);
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, MIDDLE);
    EXPECT_OK(dcmem_buffer_pin(&native, buffer));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), memory, 0));
    EXPECT_OK(dcmem_buffer_copy_out(memory, view_of(buffer, 0, SMALL), 0));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
    free(memory);
}

/* Memory that nobody may read at first: who does is held up in the midst of his copy, while a thread looks on. */
static struct hold_up {
    char *memory;
    dcmem_buffer *buffer;
    _Atomic bool is_held_up, is_looked_at;
    dcmem_result within, apart, end;
} held_up;

static void
hold_up(int signal)
{
    (void)signal;
    atomic_store(&held_up.is_held_up, true);
    while (!atomic_load(&held_up.is_looked_at))
        sched_yield();
    mprotect(held_up.memory, MIDDLE, PROT_READ | PROT_WRITE);
}

static void *
look_on(void *of)
{
    struct hold_up *it = of;
    char bytes[SMALL] = {0};
    while (!atomic_load(&it->is_held_up))
        sched_yield();
    it->within = dcmem_buffer_copy_out(bytes, view_of(it->buffer, MIDDLE - 1, 1), 0);
    it->apart = dcmem_buffer_copy_in(view_of(it->buffer, MIDDLE, SMALL), bytes, 0);
    it->end = dcmem_buffer_destroy(it->buffer);
    atomic_store(&it->is_looked_at, true);
    return NULL;
}

TEST(touch__of_more_than_a_few_KiB_keeps_nobody_from_other_bytes)
{
    SKIP_UNDER_VALGRIND(); /* which reports the read that is held up */
    pthread_t thread;
    struct sigaction old, action = {.sa_handler = hold_up};
    struct hold_up *it = &held_up;
    dcmem_manager *manager = cpu_open();
    it->buffer = buffer_of(manager, MIDDLE + SMALL);
    it->memory = mmap(NULL, MIDDLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(it->memory != MAP_FAILED);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(it->buffer), "\1", 1));
    EXPECT_EQ(pthread_create(&thread, NULL, look_on, it), 0);
    EXPECT_EQ(sigaction(SIGSEGV, &action, &old), 0);
    dcmem_result result = dcmem_buffer_copy_in(view_of(it->buffer, 0, MIDDLE), it->memory, 0);
    EXPECT_EQ(sigaction(SIGSEGV, &old, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_OK(result);
    EXPECT_RESULT(it->within, DCMEM_E_BUSY);
    EXPECT_RESULT(it->apart, DCMEM_OK);
    EXPECT_RESULT(it->end, DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_destroy(it->buffer));
    cpu_close(manager);
    munmap(it->memory, MIDDLE);
}

/* ---- Figures ---- */

static dcmem_stats
stats_since(dcmem_manager *manager, const dcmem_stats *before)
{
    dcmem_stats now = stats_of(manager);
    now.copies_host_to_host -= before->copies_host_to_host;
    now.copied_host_to_host_bytes -= before->copied_host_to_host_bytes;
    now.copies_avoided -= before->copies_avoided;
    now.copies_avoided_bytes -= before->copies_avoided_bytes;
    now.fills -= before->fills;
    now.filled_bytes -= before->filled_bytes;
    now.copy_latency.count -= before->copy_latency.count;
    return now;
}

static void
expect_counted(dcmem_manager *manager, uint64_t bytes, uint64_t times)
{
    char *memory = calloc(1, bytes);
    dcmem_buffer *buffer = buffer_of(manager, bytes);
    dcmem_view all = dcmem_view_whole(buffer);
    dcmem_stats before = stats_of(manager);
    for (uint64_t i = 0; i < times; i++) {
        EXPECT_OK(dcmem_buffer_fill(all, "", 1));
        EXPECT_OK(dcmem_buffer_copy_in(all, memory, 0));
        EXPECT_OK(dcmem_buffer_copy_out(memory, all, 0));
    }
    dcmem_stats done = stats_since(manager, &before);
    EXPECT_EQ(done.copies_host_to_host, 2 * times);
    EXPECT_EQ(done.copied_host_to_host_bytes, 2 * times * bytes);
    EXPECT_EQ(done.fills, times);
    EXPECT_EQ(done.filled_bytes, times * bytes);
    EXPECT_EQ(done.copies_avoided, 2 * times - 1); /* the first fill found nothing that was current */
    EXPECT_EQ(done.copies_avoided_bytes, (2 * times - 1) * bytes);
    if (bytes >= LARGE)
        EXPECT_EQ(done.copy_latency.count, 2 * times);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    free(memory);
}

TEST(touch__is_counted_to_the_byte)
{
    dcmem_manager *manager = cpu_open();
    for (size_t i = 0; i < SIZES; i++)
        expect_counted(manager, sizes[i], 3);
    cpu_close(manager);
}

/* A thread's cache is that of the manager that it used last: for the other one the shards count. */
TEST(touch__is_counted_whichever_manager_the_thread_used_last)
{
    dcmem_manager *managers[] = {cpu_open(), cpu_open()};
    for (int i = 0; i < 6; i++)
        expect_counted(managers[i % 2], SMALL, 2);
    char bytes[SMALL] = {0};
    dcmem_buffer *buffers[] = {buffer_of(managers[0], SMALL), buffer_of(managers[1], SMALL)};
    dcmem_stats before[] = {stats_of(managers[0]), stats_of(managers[1])};
    for (int i = 0; i < 6; i++)
        EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffers[i % 2]), bytes, 0));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(stats_since(managers[i], &before[i]).copies_host_to_host, 3);
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
        cpu_close(managers[i]);
    }
}

TEST(touch__is_timed_first_and_then_once_in_so_many_and_stands_for_those)
{
    char bytes[SMALL] = {0};
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    for (uint64_t copies = 1; copies <= 200; copies++) {
        EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0));
        uint64_t timed = stats_of(manager).copy_latency.count;
        EXPECT_LE(timed, copies);
        EXPECT_GE(timed + 61, copies);
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

static void *
copy_ten_times(void *of)
{
    char bytes[SMALL] = {0};
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, of, SMALL, NULL));
    for (int i = 0; i < 10; i++)
        EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    return NULL;
}

TEST(touch__stays_counted_when_its_thread_has_ended)
{
    pthread_t thread;
    dcmem_manager *manager = cpu_open();
    EXPECT_EQ(pthread_create(&thread, NULL, copy_ten_times, manager), 0);
    pthread_join(thread, NULL);
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.copies_host_to_host, 10);
    EXPECT_EQ(stats.copied_host_to_host_bytes, 10 * SMALL);
    EXPECT_EQ(stats.copies_avoided, 9);
    cpu_close(manager);
}

/* ---- Those who stand before the driver ---- */

TEST(touch__does_not_go_past_a_fault_plan)
{
    char bytes[SMALL] = {0};
    dcmem_fault_plan *plan;
    dcmem_manager *manager;
    dcmem_manager_options settings = {.size = sizeof settings, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_fault_plan_create(&plan, "copy:nth=2:fail=timeout;fill:nth=1:fail=timeout"));
    EXPECT_OK(dcmem_fault_plan_over(&settings.driver, plan, dcmem_backend_find("cpu")));
    EXPECT_OK(dcmem_manager_create(&manager, &settings));
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    dcmem_view all = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_buffer_copy_in(all, bytes, 0));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, all, 0), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(dcmem_buffer_fill(all, "", 1), DCMEM_E_TIMEOUT);
    EXPECT_EQ(stats_of(manager).copy_errors, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
}

static dcmem_result
count_calls(void *user, const dcmem_gate_call *call)
{
    (void)call;
    return ++*(int *)user > 2 ? DCMEM_E_TIMEOUT : DCMEM_OK;
}

TEST(touch__asks_the_gate_first)
{
    int calls = 0;
    char bytes[SMALL] = {0};
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    EXPECT_OK(dcmem_manager_set_gate(manager, count_calls, &calls));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT_RESULT(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1), DCMEM_E_TIMEOUT);
    EXPECT_EQ(calls, 3);
    EXPECT_OK(dcmem_manager_set_gate(manager, NULL, NULL));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(touch__reaches_guarded_and_imported_and_pinned_memory)
{
    static _Alignas(4096) char foreign[SMALL];
    char bytes[SMALL];
    dcmem_manager *manager;
    dcmem_buffer *buffers[3];
    dcmem_manager_options settings = {.size = sizeof settings, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    settings.guards = DCMEM_GUARD_ALL;
    EXPECT_OK(dcmem_manager_create(&manager, &settings));
    buffers[0] = buffer_of(manager, SMALL);
    EXPECT_OK(dcmem_buffer_import(&buffers[1], manager, foreign, sizeof foreign));
    dcmem_buffer_options pinned = {.size = sizeof pinned, .kind = DCMEM_KIND_PINNED, .alignment = 1 << 16};
    EXPECT_OK(dcmem_buffer_create(&buffers[2], manager, SMALL, &pinned));
    for (int i = 0; i < 3; i++) {
        memset(bytes, i + 1, SMALL);
        EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffers[i]), bytes, 0));
        EXPECT_OK(dcmem_buffer_copy_in(view_of(buffers[i], 1, SMALL - 1), bytes, 0));
        memset(bytes, 0, SMALL);
        EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffers[i]), 0));
        EXPECT(are_all(bytes, i + 1, SMALL));
        memset(bytes, 0, SMALL);
        peek_side(bytes, buffers[i], DCMEM_SIDE_DEVICE, 0, SMALL);
        EXPECT(are_all(bytes, i + 1, SMALL));
    }
    EXPECT(are_all(foreign, 2, SMALL));
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    cpu_close(manager);
}

/* ---- Memory of a device that the host sees ---- */

/* On Vulkan as this machine has it. */
static dcmem_manager *
vulkan_open(void)
{
    dcmem_manager *manager = NULL;
    dcmem_manager_options settings = {
        .size = sizeof settings, .backend = "vulkan", .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    if (dcmem_manager_create(&manager, &settings))
        SKIP(dcmem_last_detail()->message);
    return manager;
}

/* A buffer that has been used before: where its memory lies is known. */
static dcmem_buffer *
used_buffer(dcmem_manager *manager, uint64_t bytes)
{
    dcmem_buffer *buffer = buffer_of(manager, bytes);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "u", 1));
    return buffer;
}

TEST(touch__of_a_device_is_seen_by_the_device_and_touches_no_other_byte)
{
    static unsigned char in[MIDDLE], out[MIDDLE + 2];
    dcmem_manager *manager = vulkan_open();
    dcmem_buffer *buffer = used_buffer(manager, MIDDLE + 200);
    for (size_t i = 0; i < SIZES && sizes[i] <= MIDDLE; i++) {
        const uint64_t bytes = sizes[i];
        dcmem_view view = view_of(buffer, 100, bytes);
        memset(in, (int)i + 1, bytes);
        EXPECT(dcmi_touch_write(&view, in));
        peek_side(out, buffer, DCMEM_SIDE_DEVICE, 99, bytes + 2);
        EXPECT_EQ(memcmp(out + 1, in, bytes), 0);
        EXPECT_EQ(out[0], 'u');
        EXPECT_EQ(out[bytes + 1], 'u');
        EXPECT(dcmi_touch_fill(&view, 'u'));
        peek_side(out, buffer, DCMEM_SIDE_DEVICE, 100, bytes);
        EXPECT(are_all(out, 'u', bytes));
        EXPECT(dcmi_touch_read(out, &view));
        EXPECT(are_all(out, 'u', bytes));
    }
    EXPECT_EQ(info_of(buffer).written_bytes, MIDDLE + 200);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(touch__goes_where_the_bytes_are_current_and_leaves_none_stale)
{
    char bytes[SMALL] = {0};
    dcmem_map map;
    dcmem_manager *manager = vulkan_open();
    dcmem_buffer *buffer = used_buffer(manager, SMALL);
    dcmem_view all = dcmem_view_whole(buffer), part = view_of(buffer, 1, 8);
    EXPECT_OK(dcmem_buffer_map(&map, all, DCMEM_MAP_WRITE));
    memset(map.host, 'h', SMALL);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_destroy(buffer_of(manager, 1))); /* the thread works for the device's pool again */
    EXPECT(!dcmi_touch_read(bytes, &part));
    EXPECT(!dcmi_touch_write(&part, bytes));

    EXPECT_OK(dcmem_buffer_synchronize(all));
    EXPECT(dcmi_touch_read(bytes, &all));
    EXPECT(are_all(bytes, 'h', SMALL));
    EXPECT(!dcmi_touch_write(&part, bytes)); /* the rest would stay current on both sides */
    EXPECT(dcmi_touch_fill(&all, 'd'));
    EXPECT_OK(dcmem_buffer_map(&map, all, DCMEM_MAP_READ));
    EXPECT(are_all(map.host, 'd', SMALL));
    EXPECT_OK(dcmem_buffer_unmap(&map));

    EXPECT_OK(dcmem_buffer_copy_in(part, "12345678", 0));
    EXPECT(!dcmi_touch_read(bytes, &part));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, all, 0));
    EXPECT_EQ(memcmp(bytes, "d12345678d", 10), 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(touch__of_a_device_needs_its_own_plain_memory)
{
    char bytes[8] = {0};
    dcmem_manager *manager = vulkan_open();
    dcmem_buffer *buffer = buffer_of(manager, SMALL), *pinned;
    dcmem_view part = view_of(buffer, 0, 8);
    EXPECT(!dcmi_touch_write(&part, bytes)); /* nothing is known of its memory yet */
    EXPECT_OK(dcmem_buffer_copy_in(part, bytes, 0));
    EXPECT(!dcmi_touch_read(bytes, &part)); /* the rest is unwritten */
    dcmem_buffer_options options = {.size = sizeof options, .kind = DCMEM_KIND_PINNED};
    EXPECT_OK(dcmem_buffer_create(&pinned, manager, SMALL, &options));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(pinned), "p", 1));
    dcmem_view of_pinned = dcmem_view_whole(pinned);
    EXPECT(!dcmi_touch_fill(&of_pinned, 'q'));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(pinned));
    cpu_close(manager);
}

TEST(touch__waits_for_what_a_queue_does_with_the_bytes)
{
    unsigned char byte;
    dcmem_queue *queue;
    dcmem_manager *manager = vulkan_open();
    EXPECT_OK(dcmem_queue_create(&queue, manager, NULL));
    dcmem_buffer *buffer = used_buffer(manager, 64u << 20);
    dcmem_view last = view_of(buffer, (64u << 20) - 1, 1);
    for (unsigned char round = 0; round < 8; round++) {
        EXPECT_OK(dcmem_buffer_fill_on(NULL, queue, dcmem_view_whole(buffer), &round, 1));
        EXPECT_OK(dcmem_buffer_copy_out(&byte, last, 0));
        EXPECT_EQ(byte, round);
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_queue_destroy(queue));
    cpu_close(manager);
}

TEST(touch__of_a_device_is_counted_in_its_direction)
{
    char bytes[SMALL] = {0};
    dcmem_manager *manager = vulkan_open();
    dcmem_buffer *buffer = used_buffer(manager, SMALL);
    dcmem_view all = dcmem_view_whole(buffer);
    dcmem_stats before = stats_of(manager);
    EXPECT(dcmi_touch_write(&all, bytes));
    EXPECT(dcmi_touch_write(&all, bytes));
    EXPECT(dcmi_touch_read(bytes, &all));
    EXPECT(dcmi_touch_fill(&all, 0));
    dcmem_stats after = stats_of(manager);
    EXPECT_EQ(after.copies_host_to_device - before.copies_host_to_device, 2);
    EXPECT_EQ(after.copied_host_to_device_bytes - before.copied_host_to_device_bytes, 2 * SMALL);
    EXPECT_EQ(after.copies_device_to_host - before.copies_device_to_host, 1);
    EXPECT_EQ(after.copied_device_to_host_bytes - before.copied_device_to_host_bytes, SMALL);
    EXPECT_EQ(after.copies_host_to_host, before.copies_host_to_host);
    EXPECT_EQ(after.fills - before.fills, 1);
    EXPECT_EQ(after.copies_avoided - before.copies_avoided, 3);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(touch__does_not_go_past_a_fault_plan_before_a_device)
{
    char bytes[SMALL] = {0};
    dcmem_fault_plan *plan;
    dcmem_manager *manager = vulkan_open();
    cpu_close(manager);
    dcmem_manager_options settings = {.size = sizeof settings, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_fault_plan_create(&plan, "copy:nth=3:fail=timeout"));
    EXPECT_OK(dcmem_fault_plan_over(&settings.driver, plan, dcmem_backend_find("vulkan")));
    EXPECT_OK(dcmem_manager_create(&manager, &settings));
    dcmem_buffer *buffer = buffer_of(manager, SMALL);
    dcmem_view all = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_buffer_copy_in(all, bytes, 0));
    EXPECT(!dcmi_touch_write(&all, bytes));
    EXPECT_OK(dcmem_buffer_copy_in(all, bytes, 0));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, all, 0), DCMEM_E_TIMEOUT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
}

/* ---- Threads ---- */

typedef struct worker {
    dcmem_buffer *buffer;
    uint64_t offset, bytes;
    unsigned number;
    uint64_t rounds;
    uint64_t busy, gone, copies;
    char wrong[100]; /* empty: nothing */
} worker;

static bool
is_foreseen(worker *it, dcmem_result result)
{
    it->copies += result == DCMEM_OK;
    it->busy += result == DCMEM_E_BUSY;
    it->gone += result == DCMEM_E_STALE_BUFFER;
    if (result && result != DCMEM_E_BUSY && result != DCMEM_E_STALE_BUFFER)
        snprintf(it->wrong, sizeof it->wrong, "%.99s", dcmem_last_detail()->message);
    return result == DCMEM_OK;
}

/* Writes bytes that are all alike; what is read must be alike, too, whoever wrote it. */
static void *
write_and_read(void *of)
{
    worker *it = of;
    unsigned char *bytes = malloc(it->bytes);
    dcmem_view view = view_of(it->buffer, it->offset, it->bytes);
    for (uint64_t round = 0; round < it->rounds && !it->wrong[0] && !it->gone; round++) {
        memset(bytes, (int)(it->number * 64 + round % 64), it->bytes);
        (void)is_foreseen(it, dcmem_buffer_copy_in(view, bytes, 0));
        if (is_foreseen(it, dcmem_buffer_copy_out(bytes, view, 0)) && !are_all(bytes, bytes[0], it->bytes))
            snprintf(it->wrong, sizeof it->wrong, "half of one write and half of another");
    }
    free(bytes);
    return NULL;
}

#define WORKERS 3u

/* `apart`: between what the workers use. */
static uint64_t
run_workers(dcmem_manager *manager, uint64_t bytes, uint64_t apart, uint64_t rounds)
{
    worker of[WORKERS];
    pthread_t threads[WORKERS];
    dcmem_buffer *buffer = buffer_of(manager, bytes + WORKERS * apart);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    dcmem_stats before = stats_of(manager);
    for (unsigned i = 0; i < WORKERS; i++) {
        of[i] = (worker){.buffer = buffer, .offset = i * apart, .bytes = bytes, .number = i, .rounds = rounds};
        EXPECT_EQ(pthread_create(&threads[i], NULL, write_and_read, &of[i]), 0);
    }
    uint64_t copies = 0, busy = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        copies += of[i].copies;
        busy += of[i].busy;
        if (of[i].wrong[0])
            TEST_FAIL("worker %u: %s", i, of[i].wrong);
    }
    EXPECT_EQ(stats_since(manager, &before).copies_host_to_host, copies);
    EXPECT_EQ(stats_of(manager).access_conflicts - before.access_conflicts, busy);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    return busy;
}

LONG_TEST(touch__of_many_threads_is_whole_or_refused_on_bytes_that_they_share)
{
    dcmem_manager *manager = cpu_open();
    (void)run_workers(manager, SMALL, 0, test_scaled(2000));
    (void)run_workers(manager, MIDDLE, 0, test_scaled(500));
    cpu_close(manager);
}

LONG_TEST(touch__of_many_threads_is_never_refused_on_bytes_apart)
{
    dcmem_manager *manager = cpu_open();
    EXPECT_EQ(run_workers(manager, SMALL, SMALL, test_scaled(2000)), 0);
    EXPECT_EQ(run_workers(manager, MIDDLE, MIDDLE, test_scaled(500)), 0);
    cpu_close(manager);
}

/* Whoever destroys it either comes in between, or is told that it is busy and comes again. */
LONG_TEST(touch__of_a_buffer_that_is_destroyed_meanwhile_is_done_or_refused)
{
    dcmem_manager *manager = cpu_open();
    for (uint64_t round = 0; round < test_scaled(200); round++) {
        pthread_t thread;
        uint64_t bytes = round % 2 ? SMALL : MIDDLE;
        worker of = {.buffer = buffer_of(manager, bytes), .bytes = bytes, .rounds = 1000000};
        dcmem_result result;
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(of.buffer), "", 1));
        EXPECT_EQ(pthread_create(&thread, NULL, write_and_read, &of), 0);
        do
            result = dcmem_buffer_destroy(of.buffer);
        while (result == DCMEM_E_BUSY);
        pthread_join(thread, NULL);
        EXPECT_OK(result);
        if (of.wrong[0])
            TEST_FAIL("%s", of.wrong);
    }
    cpu_close(manager);
}
