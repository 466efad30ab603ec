/* handle_test.c: what a handle is worth: freed ones, foreign ones, invented ones, and slots that are used again. */
#include "devices.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static dcmem_buffer *
invented(uint64_t bits)
{
    return (dcmem_buffer *)(uintptr_t)bits;
}

/* Every call that takes a handle gives this result. */
static void
expect_refused(dcmem_buffer *buffer, dcmem_result wanted)
{
    dcmem_buffer_info info = {.size = sizeof info};
    dcmem_native native;
    dcmem_view view;
    dcmem_access access = {.view = {buffer, 0, 16, 1}, .ticket = 1};
    dcmem_map map = {.access = access};
    char bytes[16];
    EXPECT_RESULT(dcmem_buffer_describe(&info, buffer), wanted);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 100), wanted);
    EXPECT_RESULT(dcmem_buffer_set_tag(buffer, 1), wanted);
    EXPECT_RESULT(dcmem_buffer_pin(&native, buffer), wanted);
    EXPECT_RESULT(dcmem_buffer_unpin(buffer), wanted);
    EXPECT_EQ(dcmem_view_whole(buffer).bytes, 0);
    EXPECT_RESULT(dcmem_view_typed(&view, buffer, 4), wanted);
    EXPECT_RESULT(dcmem_view_slice(&view, dcmem_view_whole(buffer), 0, 1), wanted);
    EXPECT_RESULT(dcmem_view_cast(&view, dcmem_view_whole(buffer), 4), wanted);
    EXPECT_RESULT(dcmem_access_end(&access), wanted);
    EXPECT_RESULT(dcmem_access_abort(&access), wanted);
    EXPECT_RESULT(dcmem_access_begin(&access, view_of(buffer, 0, 16), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0), wanted);
    EXPECT_RESULT(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE), wanted);
    EXPECT_RESULT(dcmem_buffer_unmap(&map), wanted);
    EXPECT_RESULT(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_HOST), wanted);
    EXPECT_RESULT(dcmem_buffer_synchronize(dcmem_view_whole(buffer)), wanted);
    EXPECT_RESULT(dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), DCMEM_SIDE_HOST), wanted);
    EXPECT_RESULT(dcmem_buffer_invalidate(dcmem_view_whole(buffer), DCMEM_SIDE_HOST), wanted);
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(buffer), dcmem_view_whole(buffer)), wanted);
    EXPECT_RESULT(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0), wanted);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0), wanted);
    EXPECT_RESULT(dcmem_buffer_fill(dcmem_view_whole(buffer), bytes, 1), wanted);
    if (buffer)
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), wanted);
}

TEST(handle__freed_is_stale_in_every_call)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    expect_refused(buffer, DCMEM_E_STALE_BUFFER);
    EXPECT_DETAIL("was destroyed");
    cpu_close(manager);
}

TEST(handle__freed_stays_stale_when_its_slot_is_used_again)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *first = buffer_of(manager, 100);
    EXPECT_OK(dcmem_buffer_destroy(first));
    dcmem_buffer *second = buffer_of(manager, 100);
    EXPECT_EQ((uint32_t)(uintptr_t)first, (uint32_t)(uintptr_t)second);
    expect_refused(first, DCMEM_E_STALE_BUFFER);
    EXPECT_EQ(info_of(second).bytes, 100);
    EXPECT_OK(dcmem_buffer_destroy(second));
    cpu_close(manager);
}

TEST(handle__null_was_never_a_buffer_but_may_be_destroyed)
{
    expect_refused(NULL, DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(NULL));
}

TEST(handle__addresses_of_the_process_were_never_buffers)
{
    int on_stack = 0;
    static int is_static;
    void *on_heap = malloc(1);
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    expect_refused((dcmem_buffer *)(void *)&on_stack, DCMEM_E_NOT_A_BUFFER);
    expect_refused((dcmem_buffer *)(void *)&is_static, DCMEM_E_NOT_A_BUFFER);
    expect_refused((dcmem_buffer *)on_heap, DCMEM_E_NOT_A_BUFFER);
    expect_refused((dcmem_buffer *)(void *)manager, DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    free(on_heap);
    cpu_close(manager);
}

TEST(handle__generations_not_given_out_yet_and_even_ones_were_never_buffers)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    uint64_t bits = (uintptr_t)buffer;
    expect_refused(invented(bits + (1ull << 32)), DCMEM_E_NOT_A_BUFFER);
    expect_refused(invented(bits + (2ull << 32)), DCMEM_E_NOT_A_BUFFER);
    expect_refused(invented(bits - (1ull << 32)), DCMEM_E_NOT_A_BUFFER);
    expect_refused(invented(bits & UINT32_MAX), DCMEM_E_NOT_A_BUFFER);
    expect_refused(invented(bits | ~(uint64_t)UINT32_MAX), DCMEM_E_NOT_A_BUFFER);
    expect_refused(invented((bits & ~(uint64_t)UINT32_MAX) | 0xfffffff0u), DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(handle__random_bits_are_refused)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    uint64_t bits = 88172645463325252ull;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        /* Half of them point at slots that exist. */
        dcmem_buffer *wrong = invented(i & 1 ? bits : (bits & ~(uint64_t)UINT32_MAX) | (bits & 0xff));
        dcmem_buffer_info info = {.size = sizeof info};
        dcmem_result result = wrong == buffer ? DCMEM_E_STALE_BUFFER : dcmem_buffer_describe(&info, wrong);
        EXPECT(result == DCMEM_E_NOT_A_BUFFER || result == DCMEM_E_STALE_BUFFER);
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(handle__of_an_ended_manager_says_so_until_its_slot_is_used_again)
{
    dcmem_manager *manager = cpu_open(), *other = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    EXPECT_RESULT(dcmem_manager_destroy(manager), DCMEM_E_LEAKED);
    expect_refused(buffer, DCMEM_E_STALE_MANAGER);

    dcmem_buffer *again = buffer_of(other, 100);
    EXPECT_EQ((uint32_t)(uintptr_t)buffer, (uint32_t)(uintptr_t)again);
    expect_refused(buffer, DCMEM_E_STALE_BUFFER);
    EXPECT_OK(dcmem_buffer_destroy(again));
    cpu_close(other);
}

TEST(handle__of_a_cleared_manager_is_a_freed_buffer)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    EXPECT_OK(dcmem_manager_clear(manager));
    expect_refused(buffer, DCMEM_E_STALE_BUFFER);
    cpu_close(manager);
}

TEST(handle__manager_cannot_be_cleared_while_an_access_is_open_and_nothing_is_freed_then)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *open = buffer_of(manager, 100), *idle = buffer_of(manager, 100);
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(open), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    EXPECT_RESULT(dcmem_manager_clear(manager), DCMEM_E_BUSY);
    EXPECT_EQ(info_of(idle).bytes, 100);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_manager_clear(manager));
    expect_refused(idle, DCMEM_E_STALE_BUFFER);
    cpu_close(manager);
}

TEST(handle__managers_end_takes_open_buffers_with_host_sides_imports_and_tags_along)
{
    device on = device_open(&split_profile);
    static char memory[4096];
    dcmem_buffer_options options = {.size = sizeof options, .tag = 3, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *imported, *tagged, *open = buffer_of(on.manager, 5000);
    dcmem_access access;
    EXPECT_OK(dcmem_buffer_import(&imported, on.manager, memory, sizeof memory));
    EXPECT_OK(dcmem_buffer_create(&tagged, on.manager, 100, &options));
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(open), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0));
    device_close_with(&on, DCMEM_E_LEAKED);
    expect_refused(open, DCMEM_E_STALE_MANAGER);
    expect_refused(imported, DCMEM_E_STALE_MANAGER);
    expect_refused(tagged, DCMEM_E_STALE_MANAGER);
    EXPECT_RESULT(dcmem_access_end(&access), DCMEM_E_STALE_MANAGER);
}

/* ---- Slots ---- */

TEST(slot__is_retired_when_its_generations_are_used_up)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100);
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    /* As if it had been used two billion times. */
    atomic_store(&slot->word, (uint64_t)DCMI_GENERATION_LAST << 32);
    dcmem_buffer *last = dcmi_slot_handle(slot, DCMI_GENERATION_LAST);
    EXPECT_EQ(info_of(last).bytes, 100);
    EXPECT_OK(dcmem_buffer_destroy(last));
    expect_refused(last, DCMEM_E_STALE_BUFFER);
    expect_refused(buffer, DCMEM_E_STALE_BUFFER);
    expect_refused(dcmi_slot_handle(slot, DCMI_GENERATION_LAST + 2), DCMEM_E_NOT_A_BUFFER);

    dcmem_buffer *next = buffer_of(manager, 100);
    EXPECT_NE((uint32_t)(uintptr_t)next, (uint32_t)(uintptr_t)last);
    EXPECT_OK(dcmem_buffer_destroy(next));
    cpu_close(manager);
}

typedef struct pile {
    dcmem_manager *manager;
    dcmem_buffer *buffers[1000];
} pile;

static void *
pile_up(void *user)
{
    pile *of = user;
    for (int i = 0; i < 1000; i++)
        of->buffers[i] = buffer_of(of->manager, 64 + (uint64_t)i % 7);
    return NULL;
}

/* In another thread than they were created in, and all at once: the thread's own list overflows. */
TEST(slot__lists_pass_slots_on_between_threads_and_from_threads_that_ended)
{
    dcmem_manager *manager = cpu_open();
    pile *of = calloc(1, sizeof *of);
    uint32_t highest = 0;
    of->manager = manager;
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, pile_up, of), 0);
        pthread_join(thread, NULL);
        for (int i = 0; i < 1000; i++) {
            uint32_t index = (uint32_t)(uintptr_t)of->buffers[i];
            highest = index > highest ? index : highest;
            EXPECT_OK(dcmem_buffer_destroy(of->buffers[i]));
        }
    }
    EXPECT_LE(highest, 1000 + 4 * DCMI_THREAD_SLOTS);
    free(of);
    cpu_close(manager);
}

/* ---- Races ---- */

typedef struct race {
    dcmem_buffer *buffer;
    pthread_barrier_t start;
    _Atomic int winners;
    _Atomic int stale;
} race;

static void *
race_to_destroy(void *user)
{
    race *of = user;
    pthread_barrier_wait(&of->start);
    dcmem_result result = dcmem_buffer_destroy(of->buffer);
    atomic_fetch_add(&of->winners, result == DCMEM_OK);
    atomic_fetch_add(&of->stale, result == DCMEM_E_STALE_BUFFER);
    return NULL;
}

static void
run_race(dcmem_manager *manager, const dcmem_buffer_options *options)
{
    race of = {0};
    pthread_t threads[2];
    EXPECT_OK(dcmem_buffer_create(&of.buffer, manager, 4096, options));
    pthread_barrier_init(&of.start, NULL, 2);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, race_to_destroy, &of), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&of.start);
    EXPECT_EQ(of.winners, 1);
    EXPECT_EQ(of.stale, 1);
}

LONG_TEST(handle__of_two_threads_that_destroy_one_buffer_exactly_one_succeeds)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer_options scrub = {.size = sizeof scrub, .flags = DCMEM_BUFFER_SCRUB};
    for (uint64_t n = test_scaled(500); n; n--) {
        run_race(manager, NULL);
        run_race(manager, &scrub);
    }
    EXPECT_EQ(stats_of(manager).live_buffers, 0);
    cpu_close(manager);
}

/* ---- Fork ---- */

TEST(handle__child_after_fork_uses_its_parents_buffers_and_loses_only_those_that_were_being_changed)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100), *locked = buffer_of(manager, 100),
                 *brought = buffer_of(manager, 64);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    /* What other threads were in the midst of. */
    atomic_fetch_or(&dcmi_handle_slot(locked)->word, DCMI_WORD_LOCKED);
    atomic_fetch_or(&dcmi_handle_slot(brought)->word, DCMI_WORD_BRINGING | DCMI_WORD_WAITED);
    pid_t child = fork();
    if (child == 0) {
        char bytes[100];
        dcmem_buffer_info info = {.size = sizeof info};
        int failures =
            dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0) != DCMEM_OK || !are_all(bytes, 'x', 100);
        failures += dcmem_buffer_describe(&info, locked) != DCMEM_E_STALE_BUFFER;
        failures += dcmem_buffer_fill(dcmem_view_whole(brought), "y", 1) != DCMEM_OK;
        failures += dcmem_buffer_destroy(buffer) != DCMEM_OK || dcmem_buffer_destroy(brought) != DCMEM_OK;
        failures += dcmem_buffer_create(&buffer, manager, 1000, NULL) != DCMEM_OK;
        _exit(failures);
    }
    int status;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    atomic_fetch_and(&dcmi_handle_slot(locked)->word, ~DCMI_WORD_LOCKED);
    atomic_fetch_and(&dcmi_handle_slot(brought)->word, ~(DCMI_WORD_BRINGING | DCMI_WORD_WAITED));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(locked));
    EXPECT_OK(dcmem_buffer_destroy(brought));
    cpu_close(manager);
}
