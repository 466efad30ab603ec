/* resize_test.c: another size keeps what was there, on every side where it was current, or changes nothing. */
#include "devices.h"

#include <stdlib.h>

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

static uint64_t
address_of(dcmem_buffer *buffer)
{
    dcmi_locked locked;
    EXPECT_OK(dcmi_slot_lock(&locked, buffer));
    uint64_t address = locked.slot->address;
    dcmi_slot_unlock(&locked, false);
    return address;
}

/* [0, 100) on the device, [100, 200) on the host, [200, 300) on both, [300, 400) nowhere, [400, 500) lost, rest
 * unwritten. */
static dcmem_buffer *
patchwork(const device *on, uint64_t bytes)
{
    dcmem_buffer *buffer = buffer_of(on->manager, bytes);
    dcmem_access access;
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 100), "d", 1));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 200, 100), "b", 1));
    EXPECT_OK(dcmem_buffer_prefetch(view_of(buffer, 200, 100), H));
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 100, 100), H, DCMEM_ACCESS_WRITE, 0));
    memset(access.host, 'h', 100);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 400, 100), "l", 1));
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 400, 100), D, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_abort(&access));
    return buffer;
}

static void
expect_range(dcmem_buffer *buffer, uint64_t begin, dcmi_state wanted, int value)
{
    char bytes[100];
    EXPECT_EQ(state_at(buffer, begin), wanted);
    EXPECT_EQ(state_at(buffer, begin + 99), wanted);
    for (unsigned side = 0; side < 2; side++)
        if (wanted != DCMI_STATE_LOST && ((unsigned)wanted >> side & 1)) {
            peek_side(bytes, buffer, (dcmem_side)side, begin, 100);
            EXPECT(are_all(bytes, value, 100));
        }
}

static void
expect_patchwork(dcmem_buffer *buffer)
{
    expect_range(buffer, 0, DCMI_STATE_DEVICE, 'd');
    expect_range(buffer, 100, DCMI_STATE_HOST, 'h');
    expect_range(buffer, 200, DCMI_STATE_BOTH, 'b');
    expect_range(buffer, 300, DCMI_STATE_UNWRITTEN, 0);
    expect_range(buffer, 400, DCMI_STATE_LOST, 0);
}

TEST(resize__keeps_every_state_of_the_shorter_size_and_adds_unwritten_bytes)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = patchwork(&on, 500);
    dcmem_stats before = stats_of(on.manager);
    EXPECT_OK(dcmem_buffer_resize(buffer, 100000));
    dcmem_stats after = stats_of(on.manager);
    EXPECT_EQ(after.copied_device_to_device_bytes - before.copied_device_to_device_bytes, 200);
    EXPECT_EQ(after.copied_host_to_host_bytes - before.copied_host_to_host_bytes, 200);
    EXPECT_EQ(info_of(buffer).bytes, 100000);
    expect_patchwork(buffer);
    EXPECT_EQ(state_at(buffer, 500), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(state_at(buffer, 99999), DCMI_STATE_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_resize(buffer, 600));
    expect_patchwork(buffer);
    EXPECT_EQ(state_at(buffer, 599), DCMI_STATE_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_resize(buffer, 150));
    expect_range(buffer, 0, DCMI_STATE_DEVICE, 'd');
    EXPECT_EQ(state_at(buffer, 149), DCMI_STATE_HOST);
    EXPECT_EQ(info_of(buffer).written_bytes, 150);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(on.manager).live_allocations, 0);
    EXPECT_EQ(stats_of(on.manager).host_side_bytes, 0);
    device_close(&on);
}

TEST(resize__stays_where_it_is_while_the_block_has_room_and_leaves_one_that_is_far_too_large)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 100000);
    uint64_t address = address_of(buffer), capacity = info_of(buffer).capacity_bytes;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmem_buffer_resize(buffer, capacity));
    EXPECT_OK(dcmem_buffer_resize(buffer, capacity - 4096));
    EXPECT_OK(dcmem_buffer_resize(buffer, capacity - 4096));
    EXPECT_EQ(address_of(buffer), address);
    EXPECT_EQ(info_of(buffer).written_bytes, 100000);
    EXPECT_EQ(stats_of(manager).copies_device_to_device + stats_of(manager).copies_host_to_host, 0);
    EXPECT_OK(dcmem_buffer_resize(buffer, 10000));
    EXPECT_LE(info_of(buffer).capacity_bytes, 20000);
    char bytes[10000];
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 'x', sizeof bytes));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(resize__refuses_what_cannot_be_and_changes_nothing)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_access access;
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, UINT64_MAX), DCMEM_E_TOO_LARGE);
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 0, 1), H, DCMEM_ACCESS_WRITE, 0));
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 2000), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 2000), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_EQ(info_of(buffer).bytes, 1000);
    EXPECT_EQ(info_of(buffer).written_bytes, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(resize__that_fails_at_any_driver_call_changes_nothing)
{
    device on = device_open(&split_profile);
    for (uint64_t step = 1;; step++) {
        dcmem_buffer *buffer = patchwork(&on, 500);
        uint64_t address = address_of(buffer), live = stats_of(on.manager).live_allocations;
        EXPECT_OK(dcmem_manager_trim(NULL, on.manager, 0));
        dcmem_fake_reset(on.fake);
        EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, step, 1));
        dcmem_result result = dcmem_buffer_resize(buffer, 3u << 20);
        bool is_over = dcmem_fake_count_of(on.fake, DCMEM_FAKE_any).tried < step;
        dcmem_fake_reset(on.fake);
        expect_patchwork(buffer);
        EXPECT_EQ(stats_of(on.manager).live_allocations, live);
        EXPECT_EQ(result != DCMEM_OK, !is_over);
        EXPECT_EQ(address_of(buffer) == address, !is_over);
        EXPECT_EQ(info_of(buffer).bytes, is_over ? 3u << 20 : 500);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        if (is_over)
            break;
    }
    device_close(&on);
}

static void *
no_memory(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
    return NULL;
}

/* Accesses leave room for what a resize adds to the list of ranges, however long the list is. */
TEST(resize__needs_no_memory_for_ranges)
{
    dcmem_manager *manager = cpu_open();
    for (uint64_t parts = 0; parts < 40; parts++) {
        dcmem_buffer *buffer = buffer_of(manager, 1000);
        for (uint64_t i = 0; i < parts; i++)
            EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 1000 - 20 * (i + 1), 10 + (i == 0) * 10), "x", 1));
        dcmi_slot_realloc = no_memory;
        for (int i = 0; i < 3; i++) {
            EXPECT_OK(dcmem_buffer_resize(buffer, 1020));
            EXPECT_OK(dcmem_buffer_resize(buffer, 1024));
            EXPECT_OK(dcmem_buffer_resize(buffer, 999));
        }
        dcmi_slot_realloc = realloc;
        EXPECT_EQ(info_of(buffer).written_bytes, parts ? parts * 10 + 9 : 0);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    cpu_close(manager);
}

TEST(resize__scrubs_the_block_that_it_leaves)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *buffer, *next;
    char bytes[5000];
    EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 5000, &options));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "s", 1));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    uint64_t address = address_of(buffer);
    EXPECT_OK(dcmem_buffer_resize(buffer, 50000));
    next = buffer_of(on.manager, 5000);
    EXPECT_EQ(address_of(next), address);
    peek_side(bytes, next, D, 0, sizeof bytes);
    EXPECT(are_all(bytes, 0, sizeof bytes));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 0, 5000), 0));
    EXPECT(are_all(bytes, 's', sizeof bytes));
    EXPECT_OK(dcmem_buffer_destroy(next));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

typedef struct thief {
    const device *on;
    dcmem_buffer *buffer;
} thief;

TEST(resize__in_its_block_is_seen_by_the_figures_on_both_sides)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 5000);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_HOST));
    dcmem_stats before = stats_of(on.manager);
    EXPECT_EQ(before.live_requested_bytes, 2 * 5000);

    EXPECT_OK(dcmem_buffer_resize(buffer, 4500));
    dcmem_stats shrunk = stats_of(on.manager);
    EXPECT_EQ(shrunk.live_requested_bytes, 2 * 4500);
    EXPECT_EQ(shrunk.requested_bytes, before.requested_bytes);
    EXPECT_EQ(shrunk.used_bytes, before.used_bytes);

    EXPECT_OK(dcmem_buffer_resize(buffer, 5100));
    dcmem_stats grown = stats_of(on.manager);
    EXPECT_EQ(grown.live_requested_bytes, 2 * 5100);
    EXPECT_EQ(grown.requested_bytes, before.requested_bytes + 2 * 600);
    EXPECT_EQ(grown.used_bytes, before.used_bytes);

    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(on.manager).live_requested_bytes, 0);
    device_close(&on);
}

TEST(resize__of_a_scrubbed_buffer_leaves_no_bytes_behind_on_the_host)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *buffer;
    dcmi_place left;
    EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 5000, &options));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "s", 1));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_HOST));
    const dcmi_more *more = dcmi_slot_more(dcmi_handle_slot(buffer));
    EXPECT_OK(dcmi_pool_place(&left, more->host_pool, more->host_address));
    EXPECT(are_all(left.host, 's', 5000));
    EXPECT_OK(dcmem_buffer_resize(buffer, 50000));
    EXPECT(are_all(left.host, 0, 5000));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* A driver that misbehaves: the block that is being left is freed behind the library's back. */
static dcmem_result
steal_block(void *user, const dcmem_fake_call *call)
{
    thief *of = user;
    if (call->operation != DCMEM_FAKE_copy || !of->buffer)
        return DCMEM_OK;
    uint64_t address = dcmi_handle_slot(of->buffer)->address;
    of->buffer = NULL;
    return dcmi_pool_give(dcmi_pool_resolve(of->on->manager), address, DCMI_HOLDER_LIBRARY);
}

TEST(resize__that_cannot_scrub_or_give_back_what_it_leaves_has_moved_all_the_same)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    thief of = {&on, NULL};
    char bytes[5000];
    EXPECT_OK(dcmem_buffer_create(&of.buffer, on.manager, sizeof bytes, &options));
    dcmem_buffer *buffer = of.buffer;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "s", 1));
    dcmem_fake_set_gate(on.fake, steal_block, &of);
    EXPECT_OK(dcmem_buffer_resize(buffer, 50000));
    dcmem_fake_set_gate(on.fake, NULL, NULL);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 0, sizeof bytes), 0));
    EXPECT(are_all(bytes, 's', sizeof bytes));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(on.manager).live_allocations, 0);
    device_close(&on);
}

TEST(resize__reaches_beyond_4_gib)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    char byte = 'x';
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "a", 1));
    EXPECT_OK(dcmem_buffer_resize(buffer, (5ull << 30) + 1));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, 5ull << 30, 1), &byte, 0));
    EXPECT_EQ(info_of(buffer).written_bytes, 1001);
    EXPECT_OK(dcmem_buffer_resize(buffer, 5ull << 30));
    EXPECT_EQ(info_of(buffer).written_bytes, 1000);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}
