/* slot_test.c: the table of slots when there is little address space or no slot left, what its check finds, and what
 * happens to those who find a slot locked. The first test needs a process in which no buffer was ever made. */
#include "base/os.h"
#include "buffer/access.h"
#include "devices.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The table ---- */

static int faults_left;

static bool
fail_some(const char *what)
{
    (void)what;
    return faults_left-- > 0;
}

TEST(generation__has_a_next_one_if_it_is_odd_and_not_the_last)
{
    static const uint32_t all[] = {0,
                                   1,
                                   2,
                                   3,
                                   0x10000,
                                   DCMI_GENERATION_FIRST,
                                   0x7fffffff,
                                   0x80000000,
                                   0x80000001,
                                   DCMI_GENERATION_LAST - 2,
                                   DCMI_GENERATION_LAST - 1,
                                   DCMI_GENERATION_LAST,
                                   DCMI_GENERATION_LAST + 1,
                                   DCMI_GENERATION_LAST + 2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        EXPECT_EQ(dcmi_generation_has_next(all[i]), (all[i] & 1) && all[i] < DCMI_GENERATION_LAST);
}

TEST(slot__table_takes_less_address_space_where_there_is_less_and_says_when_there_is_none)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = NULL;
    /* What a thread and a pool need is there before. */
    EXPECT_OK(dcmem_raw_free(manager, dcmem_raw_allocate(manager, 100)));
    EXPECT_EQ(atomic_load(&dcmi_slots.capacity), 0);
    EXPECT_RESULT(dcmem_buffer_destroy((dcmem_buffer *)(uintptr_t)0x1000100000001ull), DCMEM_E_NOT_A_BUFFER);

    dcmi_os_fault = fail_some;
    faults_left = 1000;
    dcmem_result result = dcmem_buffer_create(&buffer, manager, 100, NULL);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("table");
    EXPECT(!buffer);
    EXPECT_EQ(stats_of(manager).live_allocations, 0);

    /* Both parts of the largest, one of the next. */
    dcmi_os_fault = fail_some;
    faults_left = 3;
    result = dcmem_buffer_create(&buffer, manager, 100, NULL);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(result, DCMEM_OK);
    EXPECT_EQ(atomic_load(&dcmi_slots.capacity), 1u << 24);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

static void
count_slot(dcmi_slot *slot, void *user)
{
    (void)slot;
    ++*(uint32_t *)user;
}

TEST(slot__table_that_is_full_is_a_limit_and_leaves_nothing_behind)
{
    enum { MOST = 1000 };
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffers[MOST], *buffer = NULL;
    static char memory[4096];
    uint32_t high = 0, count = 0;
    dcmi_slot_each(count_slot, &high);
    uint32_t capacity = atomic_exchange(&dcmi_slots.capacity, high);

    dcmem_result result = DCMEM_OK;
    while (count < MOST && !result) {
        result = dcmem_buffer_create(&buffers[count], manager, 100, NULL);
        count += !result;
    }
    dcmem_result imported = dcmem_buffer_import(&buffer, manager, memory, sizeof memory);
    atomic_store(&dcmi_slots.capacity, capacity);
    EXPECT_RESULT(result, DCMEM_E_LIMIT);
    EXPECT_RESULT(imported, DCMEM_E_LIMIT);
    EXPECT(!buffer);
    EXPECT_LE(count, high);
    EXPECT_EQ(stats_of(manager).live_allocations, count);
    EXPECT_EQ(stats_of(manager).imported_bytes, 0);
    while (count)
        EXPECT_OK(dcmem_buffer_destroy(buffers[--count]));
    cpu_close(manager);
}

/* ---- Its check ---- */

static const char *
broken(dcmem_buffer *buffer)
{
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    return dcmi_slot_check(&(dcmi_locked){slot, atomic_load(&slot->word)});
}

/* Breaks one field for the time of a check. */
#define EXPECT_BROKEN(field, wrong, words)                                                                             \
    do {                                                                                                               \
        __typeof__(field) kept = (field);                                                                              \
        (field) = (wrong);                                                                                             \
        const char *found = broken(buffer);                                                                            \
        (field) = kept;                                                                                                \
        EXPECT(found &&strstr(found, (words)));                                                                        \
        EXPECT(!broken(buffer));                                                                                       \
    } while (0)

TEST(slot__check_names_every_broken_invariant)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    EXPECT(!broken(buffer));
    EXPECT_BROKEN(slot->state, DCMI_STATE_RANGES, "without a list");
    EXPECT_BROKEN(slot->word, slot->word + DCMI_WORD_USE, "without a list");

    static const dcmem_access_mode modes[] = {DCMEM_ACCESS_WRITE, DCMEM_ACCESS_READ, DCMEM_ACCESS_WRITE_NO_OVERWRITE};
    dcmem_access accesses[3];
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 500, 100), "x", 1));
    for (int i = 0; i < 3; i++)
        EXPECT_OK(
            dcmem_access_begin(&accesses[i], view_of(buffer, i == 1 ? 500 : 0, 10), DCMEM_SIDE_HOST, modes[i], 0));
    dcmi_more *more = dcmi_slot_more(slot);
    dcmi_open *open = more->opens;
    EXPECT(!broken(buffer));
    EXPECT_BROKEN(open->end, 2000, "outside");
    EXPECT_BROKEN(open->begin, 100, "outside");
    EXPECT_BROKEN(more->readers, 7, "miscounted");
    EXPECT_BROKEN(more->sharers, 7, "miscounted");
    EXPECT_BROKEN(more->writers, 0, "miscounted");
    EXPECT_BROKEN(more->parts, 0, "miscounted");
    EXPECT_BROKEN(more->pins, 1, "does not count");
    EXPECT_BROKEN(more->ranges.capacity, more->ranges.count + 3, "without room");
    EXPECT_BROKEN(more->ranges.words[0], 0, "rise");
    EXPECT_BROKEN(slot->traits, slot->traits & ~DCMI_TRAIT_HOST, "trait");
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_access_end(&accesses[i]));
    EXPECT(!broken(buffer));

    dcmi_rows rows = {.begin = 100, .row_bytes = 10, .row_pitch = 50, .rows = 3, .slices = 1};
    dcmi_wish wish = {.view = view_of(buffer, 100, 110), .side = DCMEM_SIDE_DEVICE, .operation = DCMI_WRITE};
    dcmi_grant box;
    wish.rows = &rows;
    EXPECT_OK(dcmi_access_open(&box, &wish));
    open = more->opens;
    while (!open->has_rows)
        open++;
    EXPECT(!broken(buffer));
    EXPECT_BROKEN(open->begin, 99, "span its rows");
    EXPECT_BROKEN(open->end, 209, "span its rows");
    EXPECT_BROKEN(more->parts, 1, "miscounted");
    EXPECT_OK(dcmi_access_close(buffer, box.ticket, DCMI_CLOSE_END));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Locked ---- */

typedef struct asker {
    dcmem_buffer *buffer;
    dcmem_result result;
    _Atomic bool is_done;
} asker;

static void *
ask(void *user)
{
    asker *of = user;
    dcmem_buffer_info info = {.size = sizeof info};
    of->result = dcmem_buffer_describe(&info, of->buffer);
    atomic_store(&of->is_done, true);
    return NULL;
}

TEST(slot__that_is_locked_for_long_is_waited_for)
{
    dcmem_manager *manager = cpu_open();
    asker of = {buffer_of(manager, 100), DCMEM_E_INTERNAL, false};
    dcmi_locked locked;
    pthread_t thread;
    EXPECT_OK(dcmi_slot_lock(&locked, of.buffer));
    EXPECT_EQ(pthread_create(&thread, NULL, ask, &of), 0);
    usleep(5000);
    EXPECT_EQ(of.is_done, 0);
    dcmi_slot_unlock(&locked, false);
    pthread_join(thread, NULL);
    EXPECT_RESULT(of.result, DCMEM_OK);
    EXPECT_OK(dcmem_buffer_destroy(of.buffer));
    cpu_close(manager);
}

typedef struct holder {
    dcmem_buffer *buffer;
    _Atomic bool has_lock;
    pthread_t thread;
} holder;

static void *
hold_a_while(void *user)
{
    holder *of = user;
    dcmi_locked locked;
    if (dcmi_slot_lock(&locked, of->buffer))
        return NULL;
    atomic_store(&of->has_lock, true);
    usleep(5000);
    dcmi_slot_unlock(&locked, false);
    return NULL;
}

/* In the midst of a copy somebody takes the lock, as describe does, and is put aside. */
static dcmem_result
lock_meanwhile(void *user, const dcmem_fake_call *call)
{
    holder *of = user;
    if (call->operation != DCMEM_FAKE_copy || pthread_create(&of->thread, NULL, hold_a_while, of))
        return DCMEM_OK;
    while (!atomic_load(&of->has_lock))
        sched_yield();
    return DCMEM_OK;
}

TEST(slot__that_somebody_locks_while_a_copy_runs_is_waited_for_when_the_copy_is_done)
{
    device on = device_open(&split_profile);
    holder of = {.buffer = buffer_of(on.manager, 100)};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(of.buffer), "x", 1));
    dcmem_fake_set_gate(on.fake, lock_meanwhile, &of);
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(of.buffer), DCMEM_SIDE_HOST));
    pthread_join(of.thread, NULL);
    dcmem_fake_set_gate(on.fake, NULL, NULL);
    EXPECT_EQ(state_at(of.buffer, 0), DCMI_STATE_BOTH);
    EXPECT_OK(dcmem_buffer_destroy(of.buffer));
    device_close(&on);
}

/* ---- What else belongs to a slot may be gone ---- */

/* Every call that looks at the buffer's memory fails with what its pool says, and the handle stays good. */
static void
expect_all_fail(dcmem_buffer *buffer, dcmem_result wanted)
{
    char bytes[100];
    dcmem_buffer_info info = {.size = sizeof info};
    dcmem_access access;
    dcmem_view whole = dcmem_view_whole(buffer);
    EXPECT_EQ(whole.bytes, 100);
    EXPECT_RESULT(dcmem_buffer_describe(&info, buffer), wanted);
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), wanted);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 5000), wanted);
    EXPECT_RESULT(dcmem_buffer_fill(whole, "x", 1), wanted);
    EXPECT_RESULT(dcmem_buffer_copy_in(whole, bytes, 0), wanted);
    EXPECT_RESULT(dcmem_access_begin(&access, whole, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0), wanted);
}

TEST(slot__whose_manager_is_gone_behind_its_back_is_refused_by_every_call)
{
    dcmem_manager *manager = cpu_open(), *gone = cpu_open();
    cpu_close(gone);
    for (int is_known = 0; is_known < 2; is_known++) {
        dcmem_buffer *buffer = buffer_of(manager, 100);
        if (is_known)
            info_of(buffer);
        atomic_store(&dcmi_handle_slot(buffer)->manager, (uintptr_t)gone);
        expect_all_fail(buffer, DCMEM_E_STALE_MANAGER);
        EXPECT_RESULT(dcmem_buffer_set_tag(buffer, 1), DCMEM_E_STALE_MANAGER);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_MANAGER);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    }
    EXPECT_RESULT(dcmem_manager_destroy(manager), DCMEM_E_LEAKED);
}

static void
steal_block(const device *on, const dcmem_buffer *buffer)
{
    uint64_t address = dcmi_handle_slot(buffer)->address;
    EXPECT_OK(dcmi_pool_give(dcmi_pool_resolve(on->manager), address, DCMI_HOLDER_LIBRARY));
}

/* The pool refuses what is given back twice: it is logged, and nothing worse happens. */
TEST(slot__whose_host_side_was_freed_elsewhere_ends_all_the_same)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 100), *resized = buffer_of(on.manager, 100);
    dcmem_buffer *both[] = {buffer, resized};
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(both[i]), "x", 1));
        EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(both[i]), DCMEM_SIDE_HOST));
        dcmi_more *more = dcmi_slot_more(dcmi_handle_slot(both[i]));
        EXPECT_OK(dcmi_pool_give(more->host_pool, more->host_address, DCMI_HOLDER_LIBRARY));
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    /* The block is taken away while its bytes are being moved. */
    steal_block(&on, resized);
    EXPECT(dcmem_buffer_resize(resized, 100000) != DCMEM_OK);
    EXPECT(dcmem_buffer_destroy(resized) != DCMEM_OK);
    device_close(&on);
}

TEST(slot__whose_block_was_freed_elsewhere_is_refused_by_every_call_and_says_so_at_its_end)
{
    device on = device_open(&split_profile);
    for (int is_known = 0; is_known < 2; is_known++) {
        dcmem_buffer *buffer = buffer_of(on.manager, 100);
        if (is_known)
            info_of(buffer);
        steal_block(&on, buffer);
        EXPECT_OK(dcmem_manager_trim(NULL, on.manager, 0));
        expect_all_fail(buffer, DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_UNKNOWN_ADDRESS);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    }
    device_close(&on);
}
