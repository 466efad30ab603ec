/* map_test.c: the five modes of mapping, on memory with two sides, on memory that must be mapped by the driver and
 * flushed, and on memory that is the host's own. */
#include "devices.h"

#include "base/os.h"

#include <pthread.h>

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define BYTES 1024u

static dcmem_map
map(dcmem_buffer *buffer, uint64_t offset, uint64_t bytes, dcmem_map_mode mode)
{
    dcmem_map out;
    EXPECT_OK(dcmem_buffer_map(&out, view_of(buffer, offset, bytes), mode));
    EXPECT_EQ(out.bytes, bytes);
    return out;
}

static void
expect_bytes(dcmem_buffer *buffer, uint64_t offset, uint64_t bytes, int value)
{
    char out[BYTES];
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(buffer, offset, bytes), 0));
    EXPECT(are_all(out, value, bytes));
}

/* What each mode promises, whatever the device. */
static void
expect_modes(dcmem_manager *manager, const dcmem_buffer_options *options)
{
    dcmem_buffer *buffer;
    dcmem_map m;
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, BYTES, options));

    /* Nothing is there to be read. */
    EXPECT_RESULT(dcmem_buffer_map(&m, dcmem_view_whole(buffer), DCMEM_MAP_READ), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_map(&m, dcmem_view_whole(buffer), DCMEM_MAP_READ_WRITE), DCMEM_E_UNWRITTEN);

    /* WRITE writes parts: what it leaves out is zero where nothing was, else kept. */
    m = map(buffer, 0, 512, DCMEM_MAP_WRITE);
    EXPECT(are_all(m.host, 0, 512));
    memset(m.host, 'a', 256);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_RESULT(dcmem_buffer_unmap(&m), DCMEM_E_WRONG_STATE);
    expect_bytes(buffer, 0, 256, 'a');
    expect_bytes(buffer, 256, 256, 0);
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 512), "b", 1));
    m = map(buffer, 0, 512, DCMEM_MAP_WRITE);
    memset(m.host, 'c', 100);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    expect_bytes(buffer, 0, 100, 'c');
    expect_bytes(buffer, 100, 412, 'b');

    /* READ changes nothing. */
    uint32_t sides = info_of(buffer).current_sides;
    m = map(buffer, 100, 100, DCMEM_MAP_READ);
    EXPECT(are_all(m.host, 'b', 100));
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(info_of(buffer).current_sides & sides, sides);

    /* READ_WRITE sees the old bytes and leaves the new ones. */
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 512), "d", 1));
    m = map(buffer, 10, 20, DCMEM_MAP_READ_WRITE);
    EXPECT(are_all(m.host, 'd', 20));
    memset(m.host, 'e', 20);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    expect_bytes(buffer, 0, 10, 'd');
    expect_bytes(buffer, 10, 20, 'e');
    expect_bytes(buffer, 30, 482, 'd');

    /* WRITE_DISCARD does not look at the old bytes. */
    m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    memset(m.host, 'f', BYTES);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    expect_bytes(buffer, 0, BYTES, 'f');

    /* Two WRITE_NO_OVERWRITE at once, over the same bytes, each writing its own; the rest is kept. */
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "g", 1));
    m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_NO_OVERWRITE);
    dcmem_map other = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_NO_OVERWRITE);
    memset(m.host, 'h', 100);
    memset((char *)other.host + 100, 'i', 100);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_OK(dcmem_buffer_unmap(&other));
    expect_bytes(buffer, 0, 100, 'h');
    expect_bytes(buffer, 100, 100, 'i');
    expect_bytes(buffer, 200, BYTES - 200, 'g');

    /* An abort does not trust what was written. */
    m = map(buffer, 0, 100, DCMEM_MAP_READ_WRITE);
    memset(m.host, 'j', 100);
    EXPECT_OK(dcmem_access_abort(&m.access));
    if (info_of(buffer).is_unified)
        EXPECT_RESULT(dcmem_buffer_map(&m, view_of(buffer, 0, 100), DCMEM_MAP_READ), DCMEM_E_LOST);
    expect_bytes(buffer, 200, BYTES - 200, 'g');
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(map__modes_keep_their_promises_on_every_kind_of_device)
{
    device split = device_open(&split_profile), unified = device_open(&unified_profile);
    device visible = device_open(&visible_profile);
    dcmem_buffer_options options = {.size = sizeof options, .kind = DCMEM_KIND_HOST_VISIBLE};
    dcmem_manager *cpu = cpu_open();
    expect_modes(cpu, NULL);
    expect_modes(split.manager, NULL);
    expect_modes(unified.manager, NULL);
    expect_modes(visible.manager, NULL);
    expect_modes(visible.manager, &options);
    cpu_close(cpu);
    device_close(&split);
    device_close(&unified);
    device_close(&visible);
}

TEST(map__discard_copies_nothing_and_write_copies_only_what_is_stale)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    dcmem_map m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host, 0);
    EXPECT_EQ(stats_of(on.manager).copies_avoided_bytes, BYTES);

    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 100, 50), "y", 1));
    m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(stats_of(on.manager).copied_device_to_host_bytes, 50);
    m = map(buffer, 0, BYTES, DCMEM_MAP_READ);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(map__refuses_wrong_arguments_and_leaves_the_output_alone)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_map out, before;
    memset(&out, 0x5a, sizeof out);
    before = out;
    EXPECT_RESULT(dcmem_buffer_map(NULL, dcmem_view_whole(buffer), DCMEM_MAP_WRITE), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_map(&out, dcmem_view_whole(buffer), (dcmem_map_mode)5), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_map(&out, view_of(buffer, 1, BYTES), DCMEM_MAP_WRITE), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_buffer_map(&out, dcmem_view_whole(buffer), DCMEM_MAP_READ), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_unmap(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(memcmp(&out, &before, sizeof out), 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* ---- Memory that the driver maps ---- */

static dcmem_buffer *
visible_buffer(const device *on, uint64_t bytes)
{
    dcmem_buffer *buffer;
    dcmem_buffer_options options = {.size = sizeof options, .kind = DCMEM_KIND_HOST_VISIBLE};
    EXPECT_OK(dcmem_buffer_create(&buffer, on->manager, bytes, &options));
    return buffer;
}

static uint64_t
tried(const device *on, dcmem_fake_operation operation)
{
    return dcmem_fake_count_of(on->fake, operation).tried;
}

TEST(map__of_non_coherent_memory_invalidates_when_it_begins_and_flushes_when_it_ends)
{
    device on = device_open(&visible_profile);
    dcmem_buffer *buffer = visible_buffer(&on, BYTES);
    dcmem_map m = map(buffer, 100, 50, DCMEM_MAP_WRITE_DISCARD);
    memset(m.host, 'h', 50);
    EXPECT_EQ(tried(&on, DCMEM_FAKE_map), 1);
    EXPECT_EQ(tried(&on, DCMEM_FAKE_invalidate), 1);
    EXPECT_EQ(tried(&on, DCMEM_FAKE_flush), 0);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(tried(&on, DCMEM_FAKE_flush), 1);
    EXPECT_EQ(tried(&on, DCMEM_FAKE_unmap), 1);
    dcmem_fake_call flush = dcmem_fake_last(on.fake, DCMEM_FAKE_flush);
    EXPECT_EQ(flush.offset % 64, 0);
    EXPECT_EQ(flush.bytes, 128);

    /* The device sees it, and what the device writes the host sees. */
    dcmem_access access;
    char bytes[50];
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 100, 50), D, DCMEM_ACCESS_UPDATE, 0));
    EXPECT_OK(dcmem_simulated_read(bytes, on.simulated, 0, &access.native, 0, 50));
    EXPECT(are_all(bytes, 'h', 50));
    memset(bytes, 'd', 50);
    EXPECT_OK(dcmem_simulated_write(on.simulated, 0, &access.native, 0, bytes, 50));
    EXPECT_OK(dcmem_access_end(&access));
    m = map(buffer, 100, 50, DCMEM_MAP_READ);
    EXPECT(are_all(m.host, 'd', 50));
    EXPECT_OK(dcmem_buffer_unmap(&m));
    EXPECT_EQ(tried(&on, DCMEM_FAKE_flush), 1);
    EXPECT_EQ(tried(&on, DCMEM_FAKE_copy), 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(map__of_non_coherent_memory_keeps_others_out_of_the_units_that_it_flushes)
{
    device on = device_open(&visible_profile);
    dcmem_buffer *buffer = visible_buffer(&on, BYTES);
    dcmem_access first, second;
    EXPECT_OK(dcmem_access_begin(&first, view_of(buffer, 0, 32), H, DCMEM_ACCESS_WRITE, 0));
    EXPECT_RESULT(dcmem_access_begin(&second, view_of(buffer, 32, 32), H, DCMEM_ACCESS_WRITE, 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_access_begin(&second, view_of(buffer, 32, 32), D, DCMEM_ACCESS_WRITE, 0), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_begin(&second, view_of(buffer, 64, 32), D, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&second));
    EXPECT_OK(dcmem_access_end(&first));

    EXPECT_OK(dcmem_access_begin(&first, view_of(buffer, 96, 32), H, DCMEM_ACCESS_WRITE, 0));
    EXPECT_RESULT(dcmem_access_begin(&second, view_of(buffer, 64, 32), D, DCMEM_ACCESS_WRITE, 0), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_begin(&second, view_of(buffer, 32, 32), D, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&second));
    EXPECT_OK(dcmem_access_end(&first));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(map__that_the_driver_refuses_leaves_everything_as_it_was)
{
    device on = device_open(&visible_profile);
    dcmem_buffer *buffer = visible_buffer(&on, BYTES);
    dcmem_map m;
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_map, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_map(&m, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_invalidate, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_map(&m, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD), DCMEM_E_DRIVER);
    EXPECT_EQ(info_of(buffer).open_writers, 0);
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, on.simulated, 0));
    EXPECT_EQ(account.maps, 0);
    EXPECT_EQ(info_of(buffer).written_bytes, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* A flush of the one would write back what the host last saw of the other. */
static void
expect_no_shared_units(const dcmem_simulated_profile *profile, dcmem_kind kind)
{
    enum { COUNT = 20 };
    device on = device_open(profile);
    dcmem_buffer_options options = {.size = sizeof options, .kind = kind};
    dcmem_buffer *buffers[COUNT];
    char bytes[100];
    for (int i = 0; i < COUNT; i++) {
        EXPECT_OK(dcmem_buffer_create(&buffers[i], on.manager, sizeof bytes, &options));
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffers[i]), "-", 1));
    }
    for (int i = 1; i < COUNT; i++) {
        dcmem_map m = map(buffers[i], 0, sizeof bytes, DCMEM_MAP_WRITE);
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffers[i - 1]), "d", 1)); /* by the device */
        memset(m.host, 'h', sizeof bytes);
        EXPECT_OK(dcmem_buffer_unmap(&m));
        EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffers[i - 1]), 0));
        EXPECT(are_all(bytes, 'd', sizeof bytes));
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    device_close(&on);
}

TEST(map__buffers_of_non_coherent_memory_share_no_unit_that_is_flushed)
{
    for (uint64_t unit = 64; unit <= 4096; unit *= 4) {
        dcmem_simulated_profile profile = visible_profile;
        profile.flush_bytes = unit;
        expect_no_shared_units(&profile, DCMEM_KIND_HOST_VISIBLE);
        profile.flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT;
        expect_no_shared_units(&profile, DCMEM_KIND_DEVICE);
    }
}

TEST(map__whose_flush_fails_stays_open_to_be_ended_again_or_aborted)
{
    device on = device_open(&visible_profile);
    dcmem_buffer *buffer = visible_buffer(&on, BYTES);
    dcmem_map m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    memset(m.host, 1, BYTES);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_flush, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_unmap(&m), DCMEM_E_DRIVER);
    EXPECT_EQ(info_of(buffer).open_writers, 1);
    EXPECT_OK(dcmem_buffer_unmap(&m));
    expect_bytes(buffer, 0, BYTES, 1);

    /* An unmap that fails has ended the map all the same, and the bytes had arrived. */
    m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    memset(m.host, 2, BYTES);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_unmap, DCMEM_E_DRIVER, 1, 1));
    EXPECT_OK(dcmem_buffer_unmap(&m));
    expect_bytes(buffer, 0, BYTES, 2);

    m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_flush, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_OK(dcmem_access_abort(&m.access));
    EXPECT_EQ(info_of(buffer).open_writers, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    dcmem_fake_reset(on.fake);
    device_close(&on);
}

typedef struct ending {
    dcmem_map *map;
    dcmem_result first, second;
} ending;

static bool
fail_always(const char *what)
{
    (void)what;
    return true;
}

static void *
end_without_memory(void *user)
{
    ending *of = user;
    dcmi_os_fault = fail_always;
    of->first = dcmem_buffer_unmap(of->map);
    dcmi_os_fault = NULL;
    of->second = dcmem_buffer_unmap(of->map);
    return NULL;
}

/* Calling the driver needs the thread to be known, and a new one is not. */
TEST(map__that_a_new_thread_cannot_flush_for_want_of_memory_stays_open)
{
    device on = device_open(&visible_profile);
    dcmem_buffer *buffer = visible_buffer(&on, BYTES);
    dcmem_map m = map(buffer, 0, BYTES, DCMEM_MAP_WRITE_DISCARD);
    ending of = {&m, DCMEM_OK, DCMEM_E_INTERNAL};
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, end_without_memory, &of), 0);
    pthread_join(thread, NULL);
    EXPECT_RESULT(of.first, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(of.second, DCMEM_OK);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
