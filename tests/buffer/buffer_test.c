/* buffer_test.c: how buffers begin and what their options do, what is told of them, tags, pins, and how they end. */
#include "devices.h"

#include <pthread.h>
#include <stdlib.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static dcmem_buffer *const untouched = (dcmem_buffer *)(uintptr_t)0x5a5a5a5a;

/* ---- Creating ---- */

TEST(buffer__begins_unwritten_with_the_library_s_choices)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_buffer_info info = info_of(buffer);
    EXPECT_EQ(info.size, sizeof info);
    EXPECT(info.manager == manager);
    EXPECT_EQ(info.bytes, 1000);
    EXPECT_GE(info.capacity_bytes, 1000);
    EXPECT_EQ(info.kind, DCMEM_KIND_DEVICE);
    EXPECT_EQ(info.flags, 0);
    EXPECT_EQ(info.alignment, 64);
    EXPECT_EQ(info.tag, 0);
    EXPECT_EQ(info.current_sides, 0);
    EXPECT_EQ(info.written_bytes, 0);
    EXPECT_EQ(info.open_readers + info.open_writers + info.pins, 0);
    EXPECT(!info.is_imported && info.has_host_side && info.is_unified);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(buffer__refuses_wrong_arguments_and_leaves_the_output_alone)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *out = untouched;
    dcmem_buffer_options options = {.size = sizeof options};
    char data[8] = {0};
#define EXPECT_REFUSED(call, wanted)                                                                                   \
    EXPECT_RESULT(call, wanted);                                                                                       \
    EXPECT(out == untouched)
    EXPECT_REFUSED(dcmem_buffer_create(NULL, manager, 8, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 0, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_create(&out, NULL, 8, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_REFUSED(dcmem_buffer_create(&out, (dcmem_manager *)(uintptr_t)12345, 8, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, UINT64_MAX, NULL), DCMEM_E_TOO_LARGE);
    options.kind = DCMEM_KIND_COUNT;
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 8, &options), DCMEM_E_INVALID_ARGUMENT);
    options.kind = DCMEM_KIND_DEVICE, options.flags = 1u << 9;
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 8, &options), DCMEM_E_INVALID_ARGUMENT);
    options.flags = 0, options.alignment = 96;
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 8, &options), DCMEM_E_MISALIGNED);
    options.alignment = 0, options.tag = DCMEM_TAG_LIMIT;
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 8, &options), DCMEM_E_INVALID_ARGUMENT);
    options.tag = 0, options.size = 3;
    EXPECT_REFUSED(dcmem_buffer_create(&out, manager, 8, &options), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_create_typed(&out, manager, 1ull << 40, 1ull << 40, NULL), DCMEM_E_OVERFLOW);
    EXPECT_REFUSED(dcmem_buffer_create_typed(&out, manager, 0, 4, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_create_from(&out, manager, NULL, 8, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_create_from(NULL, manager, data, 8, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_import(&out, manager, NULL, 8), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_import(&out, manager, data, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_import(&out, manager, data, UINT64_MAX), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_REFUSED(dcmem_buffer_import(&out, NULL, data, 8), DCMEM_E_NOT_A_MANAGER);
#undef EXPECT_REFUSED
    EXPECT_EQ(stats_of(manager).live_buffers, 0);
    cpu_close(manager);
}

TEST(buffer__options_may_be_older_or_newer_than_the_library)
{
    dcmem_manager *manager = cpu_open();
    struct {
        dcmem_buffer_options known;
        uint64_t later;
    } newer = {.known = {.size = sizeof newer, .tag = 5}};
    dcmem_buffer_options older = {.size = offsetof(dcmem_buffer_options, alignment), .tag = 1u << 20};
    dcmem_buffer *buffer = untouched;
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 8, &newer.known));
    EXPECT_EQ(info_of(buffer).tag, 5);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 8, &older));
    EXPECT_EQ(info_of(buffer).tag, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));

    newer.later = 1;
    buffer = untouched;
    EXPECT_RESULT(dcmem_buffer_create(&buffer, manager, 8, &newer.known), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(buffer == untouched);
    cpu_close(manager);
}

TEST(buffer__of_every_kind_lies_where_it_was_asked_for_and_of_none_other_is_made)
{
    dcmem_manager *manager = cpu_open();
    dcmem_device_info cpu = {.size = sizeof cpu};
    EXPECT_OK(dcmem_manager_device_info(&cpu, manager));
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmem_buffer_options options = {.size = sizeof options, .kind = (dcmem_kind)kind};
        dcmem_buffer *buffer = untouched;
        if (!(cpu.kinds & DCMEM_KIND_BIT(kind))) {
            EXPECT_RESULT(dcmem_buffer_create(&buffer, manager, 100, &options), DCMEM_E_UNSUPPORTED);
            EXPECT(buffer == untouched);
            continue;
        }
        EXPECT_OK(dcmem_buffer_create(&buffer, manager, 100, &options));
        EXPECT_EQ(info_of(buffer).kind, kind);
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "abcd", 4));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    cpu_close(manager);
}

TEST(buffer__host_and_pinned_memory_of_a_discrete_device_has_one_side)
{
    device on = device_open(&split_profile);
    static const dcmem_kind kinds[] = {DCMEM_KIND_HOST, DCMEM_KIND_PINNED};
    for (int i = 0; i < 2; i++) {
        dcmem_buffer_options options = {.size = sizeof options, .kind = kinds[i]};
        dcmem_buffer *buffer;
        dcmem_map map;
        EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 100, &options));
        EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
        memset(map.host, 1, 100);
        EXPECT_OK(dcmem_buffer_unmap(&map));
        EXPECT(info_of(buffer).is_unified);
        EXPECT_EQ(info_of(buffer).current_sides, 3);
        EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    EXPECT_EQ(dcmem_fake_count_of(on.fake, DCMEM_FAKE_copy).tried, 0);
    device_close(&on);
}

TEST(buffer__address_is_a_multiple_of_its_alignment)
{
    dcmem_manager *manager = cpu_open();
    for (uint64_t alignment = 1; alignment <= 64 * KIB; alignment *= 2) {
        dcmem_buffer_options options = {.size = sizeof options, .alignment = alignment};
        dcmem_buffer *buffers[3];
        for (int i = 0; i < 3; i++) {
            dcmem_native native;
            EXPECT_OK(dcmem_buffer_create(&buffers[i], manager, 100, &options));
            EXPECT_OK(dcmem_buffer_pin(&native, buffers[i]));
            EXPECT_EQ(native.address % alignment, 0);
            EXPECT_EQ(native.address % 64, 0);
            EXPECT_EQ(info_of(buffers[i]).alignment, alignment < 64 ? 64 : alignment);
            EXPECT_OK(dcmem_buffer_unpin(buffers[i]));
        }
        for (int i = 0; i < 3; i++)
            EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    }
    cpu_close(manager);
}

static void
expect_zeroed(dcmem_manager *manager)
{
    static char bytes[5000];
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_ZEROED};
    dcmem_buffer *dirty = buffer_of(manager, sizeof bytes), *buffer;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(dirty), "x", 1));
    EXPECT_OK(dcmem_buffer_destroy(dirty));
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, sizeof bytes, &options));
    EXPECT_EQ(info_of(buffer).written_bytes, sizeof bytes);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 0, sizeof bytes));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(buffer__zeroed_is_zero_and_written_whatever_lay_there_before)
{
    dcmem_manager *manager = cpu_open();
    device on = device_open(&split_profile);
    expect_zeroed(manager);
    expect_zeroed(on.manager);
    device_close(&on);
    cpu_close(manager);
}

TEST(buffer__zeroed_is_not_made_when_the_driver_cannot_fill)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_ZEROED};
    dcmem_buffer *buffer = untouched;
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_create(&buffer, on.manager, 100, &options), DCMEM_E_DRIVER);
    EXPECT(buffer == untouched);
    EXPECT_EQ(stats_of(on.manager).live_allocations, 0);
    EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 100, &options));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(buffer__from_data_holds_a_copy_of_it)
{
    device on = device_open(&split_profile);
    char data[100], bytes[100];
    dcmem_buffer *buffer = untouched;
    memset(data, 7, sizeof data);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_create_from(&buffer, on.manager, data, sizeof data, NULL), DCMEM_E_DRIVER);
    EXPECT(buffer == untouched);
    EXPECT_EQ(stats_of(on.manager).live_buffers, 0);

    EXPECT_OK(dcmem_buffer_create_from(&buffer, on.manager, data, sizeof data, NULL));
    memset(data, 8, sizeof data);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 7, sizeof bytes));
    EXPECT(!info_of(buffer).has_host_side);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(buffer__typed_has_count_times_element_bytes)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create_typed(&buffer, manager, 100, 12, NULL));
    EXPECT_EQ(info_of(buffer).bytes, 1200);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* ---- Importing ---- */

TEST(buffer__imported_is_the_caller_s_memory_and_leaves_it_alone)
{
    dcmem_manager *manager = cpu_open();
    _Alignas(64) static char memory[8192];
    dcmem_buffer *buffer;
    dcmem_map map;
    memset(memory, 3, sizeof memory);
    EXPECT_OK(dcmem_buffer_import(&buffer, manager, memory, sizeof memory));
    dcmem_buffer_info info = info_of(buffer);
    EXPECT(info.is_imported && info.is_unified && info.has_host_side);
    EXPECT_EQ(info.written_bytes, sizeof memory);
    EXPECT_EQ(info.capacity_bytes, sizeof memory);
    EXPECT_EQ(info.current_sides, 3);
    EXPECT_EQ(stats_of(manager).imported_bytes, sizeof memory);

    EXPECT_OK(dcmem_buffer_map(&map, view_of(buffer, 100, 50), DCMEM_MAP_READ));
    EXPECT(map.host == memory + 100);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 10), "z", 1));
    EXPECT(are_all(memory, 'z', 10) && are_all(memory + 10, 3, sizeof memory - 10));
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 100), DCMEM_E_UNSUPPORTED);

    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(manager).imported_bytes, 0);
    EXPECT(are_all(memory + 10, 3, sizeof memory - 10));
    cpu_close(manager);
}

TEST(buffer__import_fails_whole_and_its_end_succeeds_whatever_the_driver_says)
{
    device on = device_open(&split_profile);
    static char memory[4096];
    dcmem_buffer *buffer = untouched;
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_import_host, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_import(&buffer, on.manager, memory, sizeof memory), DCMEM_E_DRIVER);
    EXPECT(buffer == untouched);
    EXPECT_EQ(stats_of(on.manager).imported_bytes, 0);
    EXPECT_OK(dcmem_buffer_import(&buffer, on.manager, memory, sizeof memory));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_release, DCMEM_E_DRIVER, 1, 1));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(on.manager).imported_bytes, 0);
    dcmem_fake_reset(on.fake);
    device_close(&on);
}

/* ---- Ending ---- */

static void
expect_scrubbed(const device *on)
{
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *secret, *next;
    char bytes[4000];
    dcmem_map map;
    EXPECT_OK(dcmem_buffer_create(&secret, on->manager, sizeof bytes, &options));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(secret), "s", 1));
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(secret), DCMEM_MAP_READ));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    dcmi_locked locked;
    EXPECT_OK(dcmi_slot_lock(&locked, secret));
    uint64_t address = locked.slot->address;
    dcmi_slot_unlock(&locked, false);
    EXPECT_OK(dcmem_buffer_destroy(secret));

    next = buffer_of(on->manager, sizeof bytes);
    EXPECT_OK(dcmi_slot_lock(&locked, next));
    EXPECT_EQ(locked.slot->address, address);
    dcmi_slot_unlock(&locked, false);
    peek_side(bytes, next, DCMEM_SIDE_DEVICE, 0, sizeof bytes);
    EXPECT(are_all(bytes, 0, sizeof bytes));
    /* The host side of the next one may have the secret's too. */
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(next), DCMEM_MAP_WRITE_DISCARD));
    EXPECT(are_all(map.host, 0, sizeof bytes));
    EXPECT_OK(dcmem_access_abort(&map.access));
    EXPECT_OK(dcmem_buffer_destroy(next));
}

TEST(buffer__scrubbed_leaves_nothing_behind_on_either_side)
{
    device split = device_open(&split_profile), unified = device_open(&unified_profile);
    expect_scrubbed(&split);
    expect_scrubbed(&unified);
    device_close(&split);
    device_close(&unified);
}

TEST(buffer__that_cannot_be_scrubbed_stays_but_for_a_lost_device)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *buffer, *other;
    EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 100, &options));
    EXPECT_OK(dcmem_buffer_create(&other, on.manager, 100, &options));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_DRIVER);
    EXPECT_EQ(info_of(buffer).bytes, 100);
    /* What it cannot fill it may still copy. */
    dcmem_fake_reset(on.fake);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_simulated_set_lost(on.simulated, 0, true));
    EXPECT_OK(dcmem_buffer_destroy(other));
    EXPECT_OK(dcmem_simulated_set_lost(on.simulated, 0, false));
    device_close(&on);
}

TEST(buffer__manager_s_end_does_not_wait_for_a_driver_that_cannot_scrub)
{
    device on = device_open(&split_profile);
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, on.manager, 100, &options));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, UINT64_MAX));
    device_close_with(&on, DCMEM_E_LEAKED);
}

TEST(buffer__counts_every_create_and_destroy_once_whichever_way_they_go)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffers[1000];
    dcmem_buffer_options options = {.size = sizeof options, .tag = 2};
    for (int i = 0; i < 1000; i++)
        EXPECT_OK(dcmem_buffer_create(&buffers[i], manager, 64 + (uint64_t)i * 37 % 5000, i % 3 ? NULL : &options));
    EXPECT_EQ(stats_of(manager).buffers_created, 1000);
    EXPECT_EQ(stats_of(manager).live_buffers, 1000);
    for (int i = 0; i < 1000; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    EXPECT_EQ(stats_of(manager).buffers_destroyed, 1000);
    EXPECT_EQ(stats_of(manager).live_buffers, 0);
    EXPECT_EQ(stats_of(manager).live_allocations, 0);
    cpu_close(manager);
}

/* ---- Tags ---- */

TEST(buffer__tag_has_the_bytes_of_its_live_buffers)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer_options options = {.size = sizeof options, .tag = 7, .priority = -3};
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 1000, &options));
    EXPECT_EQ(info_of(buffer).tag, 7);
    EXPECT_EQ(info_of(buffer).priority, -3);
    EXPECT_EQ(stats_of(manager).tags[7].live_bytes, 1000);
    EXPECT_OK(dcmem_buffer_resize(buffer, 3000));
    EXPECT_EQ(stats_of(manager).tags[7].live_bytes, 3000);

    EXPECT_OK(dcmem_buffer_set_tag(buffer, 9));
    EXPECT_EQ(info_of(buffer).tag, 9);
    EXPECT_EQ(stats_of(manager).tags[7].live_bytes, 0);
    EXPECT_EQ(stats_of(manager).tags[9].live_bytes, 3000);
    EXPECT_OK(dcmem_buffer_set_tag(buffer, 0));
    EXPECT_EQ(stats_of(manager).tags[9].live_bytes, 0);
    EXPECT_OK(dcmem_buffer_set_tag(buffer, 4));
    EXPECT_RESULT(dcmem_buffer_set_tag(buffer, DCMEM_TAG_LIMIT), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(stats_of(manager).tags[4].live_bytes, 0);
    EXPECT_EQ(stats_of(manager).tags[4].frees, 1);
    cpu_close(manager);
}

/* ---- Pins ---- */

TEST(buffer__pinned_keeps_its_address_and_cannot_be_destroyed_or_resized)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_native first, second;
    EXPECT_RESULT(dcmem_buffer_unpin(buffer), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_buffer_pin(&first, buffer));
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    EXPECT_EQ(info_of(buffer).pins, 2);
    EXPECT_EQ(first.bytes, 1000);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 5000), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_pin(&second, buffer));
    EXPECT_EQ(first.address, second.address);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_RESULT(dcmem_buffer_unpin(buffer), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_buffer_resize(buffer, 5000));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(buffer__pins_and_accesses_are_counted_up_to_a_limit)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_access access;
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    /* As if that had been done so many times. */
    atomic_fetch_add(&slot->word, (DCMI_WORD_USE_MOST - 1) * DCMI_WORD_USE);
    dcmi_slot_more(slot)->pins += DCMI_WORD_USE_MOST - 1;
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_LIMIT);
    EXPECT_RESULT(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0),
                  DCMEM_E_LIMIT);
    EXPECT_EQ(info_of(buffer).pins, DCMI_WORD_USE_MOST);
    atomic_fetch_sub(&slot->word, (DCMI_WORD_USE_MOST - 1) * DCMI_WORD_USE);
    dcmi_slot_more(slot)->pins -= DCMI_WORD_USE_MOST - 1;
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(buffer__describe_wants_room_for_what_it_tells)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_buffer_info info = {.size = sizeof info - 1, .bytes = 77};
    EXPECT_RESULT(dcmem_buffer_describe(&info, buffer), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(info.bytes, 77);
    EXPECT_RESULT(dcmem_buffer_describe(NULL, buffer), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* ---- Out of memory ---- */

/* Frees a buffer, and makes so many others that the thread's spare slots are used up. */
static bool
make_room(void *user, dcmem_manager *manager, uint64_t bytes, uint32_t attempt)
{
    dcmem_buffer **of = user;
    (void)bytes;
    if (attempt > 0)
        return false;
    for (int i = 1; i <= 200; i++)
        EXPECT_OK(dcmem_buffer_create(&of[i], manager, 64, NULL));
    return dcmem_buffer_destroy(of[0]) == DCMEM_OK;
}

TEST(buffer__callback_may_use_up_the_slots_that_create_was_about_to_take)
{
    device on = device_open(&split_profile);
    dcmem_buffer *of[201] = {0}, *buffer, *small;
    dcmem_manager *manager;
    dcmem_manager_options settings = {.size = sizeof settings,
                                      .driver = dcmem_fake_backend(on.fake),
                                      .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF,
                                      .limit_bytes = 8 * MIB,
                                      .out_of_memory = make_room,
                                      .out_of_memory_user = of};
    EXPECT_OK(dcmem_manager_create(&manager, &settings));
    EXPECT_OK(dcmem_buffer_create(&small, manager, 64, NULL));
    EXPECT_OK(dcmem_buffer_create(&of[0], manager, 5 * MIB, NULL));
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 5 * MIB, NULL));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(small));
    for (int i = 1; i <= 200; i++)
        EXPECT_OK(dcmem_buffer_destroy(of[i]));
    EXPECT_OK(dcmem_manager_destroy(manager));
    device_close(&on);
}

/* ---- Reach ---- */

TEST(buffer__of_6_gib_is_used_beyond_4_gib)
{
    dcmem_manager *manager = cpu_open();
    const uint64_t bytes = 6ull << 30, far = (5ull << 30) + 123;
    dcmem_buffer *buffer = buffer_of(manager, bytes);
    char in[300], out[300];
    memset(in, 'q', sizeof in);
    EXPECT_EQ(info_of(buffer).bytes, bytes);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, far, sizeof in), in, 0));
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(buffer, far, sizeof out), 0));
    EXPECT(are_all(out, 'q', sizeof out));
    EXPECT_RESULT(dcmem_buffer_copy_out(out, view_of(buffer, far - (4ull << 30), 300), 0), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_copy_out(out, view_of(buffer, bytes - 100, 101), 0), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_buffer_copy_out(out, view_of(buffer, UINT64_MAX - 5, 100), 0), DCMEM_E_STALE_VIEW);
    EXPECT_EQ(info_of(buffer).written_bytes, 300);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

LONG_TEST(buffer__a_million_are_alive_at_once)
{
    dcmem_manager *manager = cpu_open();
    uint64_t count = test_scaled(1000000);
    dcmem_buffer **buffers = calloc(count, sizeof *buffers);
    for (uint64_t i = 0; i < count; i++)
        EXPECT_OK(dcmem_buffer_create(&buffers[i], manager, 64, NULL));
    EXPECT_EQ(stats_of(manager).live_buffers, count);
    for (uint64_t i = 0; i < count; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i * 7919 % count]));
    free(buffers);
    cpu_close(manager);
}

typedef struct churn {
    dcmem_manager *manager;
    uint64_t rounds;
    uint32_t seed;
} churn;

static void *
churn_buffers(void *user)
{
    churn *of = user;
    dcmem_buffer *buffers[50] = {0};
    for (uint64_t i = 0; i < of->rounds; i++) {
        of->seed = of->seed * 1664525u + 1013904223u;
        dcmem_buffer **one = &buffers[(of->seed >> 8) % 50];
        EXPECT_OK(dcmem_buffer_destroy(*one));
        EXPECT_OK(dcmem_buffer_create(one, of->manager, 1 + (of->seed >> 12) % 20000, NULL));
    }
    for (int i = 0; i < 50; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    return NULL;
}

LONG_TEST(buffer__64_threads_create_and_destroy)
{
    enum { THREADS = 64 };
    dcmem_manager *manager = cpu_open();
    churn of[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        of[i] = (churn){manager, test_scaled(2000), i + 1};
        EXPECT_EQ(pthread_create(&threads[i], NULL, churn_buffers, &of[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(stats_of(manager).live_buffers, 0);
    cpu_close(manager);
}
