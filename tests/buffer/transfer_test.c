/* transfer_test.c: copies in, out and across all kinds of devices, fills with every pattern, and coherence by hand. */
#include "devices.h"

#include "base/os.h"

#include <stdlib.h>

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define BYTES 4096u

/* ---- Every device with every other ---- */

enum { CPU, SPLIT, UNIFIED, VISIBLE, OTHER_SPLIT, DEVICES };

typedef struct fleet {
    device devices[DEVICES]; /* CPU: the manager alone */
} fleet;

static void
fleet_open(fleet *all)
{
    all->devices[CPU] = (device){.manager = cpu_open()};
    all->devices[SPLIT] = device_open(&split_profile);
    all->devices[UNIFIED] = device_open(&unified_profile);
    all->devices[VISIBLE] = device_open(&visible_profile);
    all->devices[OTHER_SPLIT] = device_open(&split_profile);
}

static void
fleet_close(fleet *all)
{
    cpu_close(all->devices[CPU].manager);
    for (int i = SPLIT; i < DEVICES; i++)
        device_close(&all->devices[i]);
}

static dcmem_buffer *
fleet_buffer(const fleet *all, int i, uint64_t bytes)
{
    dcmem_buffer *buffer;
    dcmem_buffer_options options = {.size = sizeof options, .kind = DCMEM_KIND_HOST_VISIBLE};
    EXPECT_OK(dcmem_buffer_create(&buffer, all->devices[i].manager, bytes, i == VISIBLE ? &options : NULL));
    return buffer;
}

static void
pattern_put(unsigned char *bytes, uint64_t count, unsigned seed)
{
    for (uint64_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 251 + seed);
}

static void
expect_copied(const fleet *all, int to, int from, uint64_t bytes)
{
    unsigned char *in = malloc(bytes), *out = malloc(bytes);
    dcmem_buffer *target = fleet_buffer(all, to, bytes + 100), *source = fleet_buffer(all, from, bytes + 100);
    pattern_put(in, bytes, (unsigned)(to * 16 + from));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(source, 7, bytes), in, 0));
    EXPECT_OK(dcmem_buffer_copy(view_of(target, 50, bytes), view_of(source, 7, bytes)));
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(target, 50, bytes), 0));
    EXPECT_EQ(memcmp(in, out, bytes), 0);
    EXPECT_EQ(info_of(target).written_bytes, bytes);
    EXPECT_RESULT(dcmem_buffer_copy_out(out, view_of(target, 49, 1), 0), DCMEM_E_UNWRITTEN);
    EXPECT_EQ(info_of(target).has_host_side, info_of(target).is_unified);
    EXPECT_EQ(info_of(source).has_host_side, info_of(source).is_unified);
    EXPECT_OK(dcmem_buffer_destroy(target));
    EXPECT_OK(dcmem_buffer_destroy(source));
    free(in);
    free(out);
}

TEST(copy__goes_between_any_two_buffers_of_any_two_managers)
{
    fleet all;
    fleet_open(&all);
    for (int to = 0; to < DEVICES; to++)
        for (int from = 0; from < DEVICES; from++) {
            expect_copied(&all, to, from, 1);
            expect_copied(&all, to, from, 5000);
        }
    fleet_close(&all);
}

/* Larger than the chunk of host memory that it goes through, and no whole number of chunks. */
TEST(copy__between_two_devices_without_common_memory_goes_through_bounded_host_memory)
{
    fleet all;
    fleet_open(&all);
    expect_copied(&all, SPLIT, OTHER_SPLIT, (9ull << 20) + 12345);
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, all.devices[SPLIT].simulated, 0));
    EXPECT_LE(account.live_host_bytes, 5ull << 20);
    EXPECT_EQ(stats_of(all.devices[OTHER_SPLIT].manager).copied_device_to_host_bytes, (9ull << 20) + 12345);
    fleet_close(&all);
}

TEST(copy__without_host_memory_to_go_through_fails_and_loses_nothing)
{
    fleet all;
    fleet_open(&all);
    dcmem_buffer *target = fleet_buffer(&all, SPLIT, BYTES), *source = fleet_buffer(&all, OTHER_SPLIT, BYTES);
    char bytes[BYTES];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(target), "t", 1));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(source), "s", 1));
    EXPECT_OK(dcmem_fake_fail(all.devices[SPLIT].fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)), DCMEM_E_NO_MEMORY);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(target), 0));
    EXPECT(are_all(bytes, 't', BYTES));
    /* The way out fails before anything was written, the way in does not. */
    dcmem_fake_reset(all.devices[SPLIT].fake);
    EXPECT_OK(dcmem_fake_fail(all.devices[OTHER_SPLIT].fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(target), 0));
    EXPECT_OK(dcmem_fake_fail(all.devices[SPLIT].fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)), DCMEM_E_DRIVER);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(target), 0), DCMEM_E_LOST);
    EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)));
    EXPECT_OK(dcmem_buffer_destroy(target));
    EXPECT_OK(dcmem_buffer_destroy(source));
    fleet_close(&all);
}

static bool
fail_always(const char *what)
{
    (void)what;
    return true;
}

TEST(copy__through_host_memory_fails_when_there_is_not_even_a_pool_for_it)
{
    fleet all;
    fleet_open(&all);
    dcmem_buffer *target = fleet_buffer(&all, SPLIT, BYTES), *source = fleet_buffer(&all, OTHER_SPLIT, BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(source), "s", 1));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(target), "t", 1));
    dcmi_os_fault = fail_always;
    dcmem_result copied = dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source));
    dcmem_result prefetched = dcmem_buffer_prefetch(dcmem_view_whole(target), H);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(copied, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(prefetched, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_EQ(info_of(target).current_sides, DCMEM_SIDE_BIT(D));
    EXPECT_OK(dcmem_buffer_destroy(target));
    EXPECT_OK(dcmem_buffer_destroy(source));
    fleet_close(&all);
}

/* ---- Sides ---- */

TEST(copy_in__goes_straight_to_the_device_unless_there_is_a_host_side)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    memset(bytes, 1, BYTES);
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0));
    EXPECT_EQ(info_of(buffer).current_sides, DCMEM_SIDE_BIT(D));
    EXPECT_EQ(stats_of(on.manager).copied_host_to_device_bytes, BYTES);
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), bytes, 0));
    EXPECT_EQ(info_of(buffer).current_sides, DCMEM_SIDE_BIT(H));
    EXPECT_EQ(stats_of(on.manager).copied_host_to_device_bytes, BYTES);
    EXPECT_EQ(stats_of(on.manager).copied_host_to_host_bytes, BYTES);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(copy_out__takes_each_byte_from_where_it_is_current_and_brings_nothing)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    memset(bytes, 'h', BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "d", 1));
    EXPECT_OK(dcmem_buffer_prefetch(view_of(buffer, 1000, 1000), H));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, 1200, 100), bytes, 0));
    dcmem_stats before = stats_of(on.manager);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 'd', 1200) && are_all(bytes + 1200, 'h', 100) && are_all(bytes + 1300, 'd', BYTES - 1300));
    dcmem_stats after = stats_of(on.manager);
    EXPECT_EQ(after.copied_host_to_host_bytes - before.copied_host_to_host_bytes, 1000);
    EXPECT_EQ(after.copied_device_to_host_bytes - before.copied_device_to_host_bytes, BYTES - 1000);
    EXPECT_EQ(state_at(buffer, 0), DCMI_STATE_DEVICE);
    EXPECT_EQ(state_at(buffer, 1000), DCMI_STATE_BOTH);
    EXPECT_EQ(state_at(buffer, 1250), DCMI_STATE_HOST);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(copy__is_done_where_the_bytes_are)
{
    device on = device_open(&split_profile);
    dcmem_buffer *source = buffer_of(on.manager, BYTES), *target = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    memset(bytes, 'h', BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(source), "d", 1));
    EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)));
    EXPECT_EQ(stats_of(on.manager).copied_device_to_device_bytes, BYTES);
    EXPECT_EQ(info_of(target).current_sides, DCMEM_SIDE_BIT(D));

    /* From the host's side: to the device where the target has no host side, else to that. */
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(source), H));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(source), bytes, 0));
    EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)));
    EXPECT_EQ(stats_of(on.manager).copied_host_to_device_bytes, BYTES);
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(target), H));
    uint64_t copied = stats_of(on.manager).copied_host_to_host_bytes;
    EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(target), dcmem_view_whole(source)));
    EXPECT_EQ(stats_of(on.manager).copied_host_to_host_bytes, copied + BYTES);
    EXPECT_EQ(info_of(target).current_sides, DCMEM_SIDE_BIT(H));
    EXPECT_EQ(info_of(source).current_sides, DCMEM_SIDE_BIT(H));
    EXPECT_OK(dcmem_buffer_destroy(source));
    EXPECT_OK(dcmem_buffer_destroy(target));
    device_close(&on);
}

TEST(copy__within_one_buffer_works_but_for_overlaps)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 1000), "a", 1));
    EXPECT_OK(dcmem_buffer_copy(view_of(buffer, 1000, 1000), view_of(buffer, 0, 1000)));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 0, 2000), 0));
    EXPECT(are_all(bytes, 'a', 2000));
    EXPECT_RESULT(dcmem_buffer_copy(view_of(buffer, 999, 1000), view_of(buffer, 0, 1000)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy(view_of(buffer, 0, 1000), view_of(buffer, 999, 1000)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy(view_of(buffer, 0, 10), view_of(buffer, 0, 10)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(copy__refuses_wrong_arguments)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *to = buffer_of(manager, BYTES), *from = buffer_of(manager, BYTES);
    char bytes[BYTES] = {0};
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(to), dcmem_view_whole(from)), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_copy(view_of(to, 0, 10), view_of(from, 0, 11)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy(view_of(to, 0, 0), view_of(from, 0, 0)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy_in(dcmem_view_whole(to), NULL, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(to, 0, 0), bytes, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy_out(NULL, dcmem_view_whole(to), 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(to), 0), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(to, 1, BYTES), 0), DCMEM_E_STALE_VIEW);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(from), "x", 1));
    EXPECT_RESULT(dcmem_buffer_copy(view_of(to, 1, BYTES), view_of(from, 0, BYTES)), DCMEM_E_STALE_VIEW);
    EXPECT_EQ(info_of(from).open_readers, 0);
    EXPECT_OK(dcmem_buffer_destroy(to));
    EXPECT_OK(dcmem_buffer_destroy(from));
    cpu_close(manager);
}

TEST(copy__that_fails_half_way_leaves_the_target_s_range_untrusted_and_the_source_as_it_was)
{
    device on = device_open(&split_profile);
    dcmem_buffer *source = buffer_of(on.manager, BYTES), *target = buffer_of(on.manager, BYTES);
    char bytes[BYTES] = {0};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(source), "s", 1));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(target), "t", 1));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_copy(view_of(target, 0, 100), view_of(source, 0, 100)), DCMEM_E_DRIVER);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(target, 99, 1), 0), DCMEM_E_LOST);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(target, 100, BYTES - 100), 0));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(source), 0));
    EXPECT_EQ(stats_of(on.manager).copy_errors, 1);

    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_copy_in(view_of(source, 0, 100), bytes, 0), DCMEM_E_DRIVER);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(source, 0, 1), 0), DCMEM_E_LOST);
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_fill(view_of(source, 200, 100), "x", 1), DCMEM_E_DRIVER);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(source, 299, 1), 0), DCMEM_E_LOST);
    EXPECT_OK(dcmem_buffer_destroy(source));
    EXPECT_OK(dcmem_buffer_destroy(target));
    device_close(&on);
}

TEST(copy__of_a_lost_device_says_so)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "s", 1));
    EXPECT_OK(dcmem_simulated_set_lost(on.simulated, 0, true));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(dcmem_simulated_set_lost(on.simulated, 0, false));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Fill ---- */

static void
expect_filled(dcmem_buffer *buffer, uint64_t offset, uint64_t bytes, const unsigned char *pattern,
              uint32_t pattern_bytes)
{
    static unsigned char out[20000], wanted[20000];
    memset(wanted, '.', sizeof wanted);
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, sizeof wanted), ".", 1));
    for (uint64_t i = 0; i < bytes; i++)
        wanted[offset + i] = pattern[i % pattern_bytes];
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, offset, bytes), pattern, pattern_bytes));
    EXPECT_OK(dcmem_buffer_copy_out(out, view_of(buffer, 0, sizeof out), 0));
    EXPECT_EQ(memcmp(out, wanted, sizeof out), 0);
}

/* Every size of pattern, at every misalignment, over few and many repetitions. */
static void
expect_fills(dcmem_manager *manager)
{
    static const unsigned char pattern[] = "0123456789abcdef";
    dcmem_buffer *buffer = buffer_of(manager, 20000);
    for (uint32_t pattern_bytes = 1; pattern_bytes <= 16; pattern_bytes++)
        for (uint64_t offset = 0; offset < 17; offset++) {
            expect_filled(buffer, offset, pattern_bytes, pattern, pattern_bytes);
            expect_filled(buffer, offset, 3ull * pattern_bytes, pattern, pattern_bytes);
            expect_filled(buffer, offset, 1201ull * pattern_bytes, pattern, pattern_bytes);
        }
    expect_filled(buffer, 3, 48, (const unsigned char *)"abababab", 8);
    expect_filled(buffer, 1, 4 * 12, (const unsigned char *)"zzzzzzzzzzzz", 12);
    EXPECT_EQ(info_of(buffer).written_bytes, 20000);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(fill__repeats_patterns_of_1_to_16_bytes_from_any_offset)
{
    device split = device_open(&split_profile), unified = device_open(&unified_profile);
    dcmem_manager *cpu = cpu_open();
    expect_fills(cpu);
    expect_fills(split.manager);
    expect_fills(unified.manager);
    cpu_close(cpu);
    device_close(&split);
    device_close(&unified);
}

TEST(fill__refuses_what_does_not_divide_and_counts_what_it_did)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    EXPECT_RESULT(dcmem_buffer_fill(view_of(buffer, 0, 10), "abc", 3), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_buffer_fill(view_of(buffer, 0, 10), "abc", 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_fill(view_of(buffer, 0, 34), "0123456789abcdefg", 17), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_fill(view_of(buffer, 0, 10), NULL, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_buffer_fill(view_of(buffer, 0, 0), "a", 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(stats_of(manager).fills, 0);
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 9), "abc", 3));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 8), "ab", 2));
    EXPECT_EQ(stats_of(manager).fills, 2);
    EXPECT_EQ(stats_of(manager).filled_bytes, 17);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

static unsigned
fill_calls(const device *on)
{
    return (unsigned)(dcmem_fake_count_of(on->fake, DCMEM_FAKE_copy).tried +
                      dcmem_fake_count_of(on->fake, DCMEM_FAKE_fill).tried);
}

TEST(fill__that_fails_at_any_step_leaves_its_range_untrusted)
{
    static const struct {
        uint64_t offset;
        uint32_t pattern_bytes;
    } fills[] = {{0, 8}, {3, 8}, {0, 3}};
    device on = device_open(&split_profile);
    char byte;
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++)
        for (uint64_t step = 1;; step++) {
            dcmem_buffer *buffer = buffer_of(on.manager, 20000);
            EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
            dcmem_fake_reset(on.fake);
            EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, step, 1));
            dcmem_result result =
                dcmem_buffer_fill(view_of(buffer, fills[i].offset, 4800), "01234567", fills[i].pattern_bytes);
            bool is_over = fill_calls(&on) < step;
            dcmem_fake_reset(on.fake);
            EXPECT_RESULT(result, is_over ? DCMEM_OK : DCMEM_E_DRIVER);
            EXPECT_RESULT(dcmem_buffer_copy_out(&byte, view_of(buffer, fills[i].offset, 1), 0),
                          is_over ? DCMEM_OK : DCMEM_E_LOST);
            EXPECT_OK(dcmem_buffer_copy_out(&byte, view_of(buffer, fills[i].offset + 4800, 1), 0));
            EXPECT_OK(dcmem_buffer_destroy(buffer));
            if (is_over)
                break;
        }
    device_close(&on);
}

/* ---- By hand ---- */

TEST(prefetch__brings_only_what_is_stale_and_only_once)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    EXPECT_RESULT(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H), DCMEM_E_UNWRITTEN);
    EXPECT_RESULT(dcmem_buffer_prefetch(dcmem_view_whole(buffer), (dcmem_side)7), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmem_buffer_prefetch(view_of(buffer, 100, 100), H));
    EXPECT_OK(dcmem_buffer_prefetch(view_of(buffer, 50, 200), H));
    EXPECT_OK(dcmem_buffer_prefetch(view_of(buffer, 50, 200), H));
    EXPECT_EQ(stats_of(on.manager).copied_device_to_host_bytes, 200);
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host, 3);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(synchronize__makes_both_sides_current)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    dcmem_map map;
    EXPECT_RESULT(dcmem_buffer_synchronize(dcmem_view_whole(buffer)), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 2048), "d", 1));
    EXPECT_OK(dcmem_buffer_map(&map, view_of(buffer, 2048, 2048), DCMEM_MAP_WRITE_DISCARD));
    memset(map.host, 'h', 2048);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_EQ(info_of(buffer).current_sides, 0);
    EXPECT_OK(dcmem_buffer_synchronize(dcmem_view_whole(buffer)));
    EXPECT_EQ(info_of(buffer).current_sides, 3);
    EXPECT_EQ(stats_of(on.manager).copies_host_to_device, 1);
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(invalidate__saves_what_only_that_side_had_and_frees_a_host_side_that_nobody_needs)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    dcmem_map map;
    char bytes[BYTES];
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), D));
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
    memset(map.host, 'h', BYTES);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), H));
    EXPECT_EQ(info_of(buffer).current_sides, DCMEM_SIDE_BIT(D));
    EXPECT_EQ(info_of(buffer).has_host_side, 0);
    EXPECT_EQ(stats_of(on.manager).host_side_bytes, 0);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 'h', BYTES));

    /* Pinned, the host side stays: its address may be known. */
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), H));
    EXPECT_EQ(info_of(buffer).has_host_side, 1);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(invalidate__of_one_memory_with_two_sides_does_nothing)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), H));
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), D));
    EXPECT_EQ(info_of(buffer).current_sides, 3);
    EXPECT_RESULT(dcmem_buffer_invalidate(dcmem_view_whole(buffer), (dcmem_side)2), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(mark_dirty__believes_its_caller_but_not_about_a_host_side_that_does_not_exist)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    char bytes[BYTES];
    dcmem_native native;
    memset(bytes, 'k', BYTES);
    EXPECT_RESULT(dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), H), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), (dcmem_side)2), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));

    /* A kernel writes through an address that was kept. */
    EXPECT_OK(dcmem_buffer_pin(&native, buffer));
    EXPECT_OK(dcmem_simulated_write(on.simulated, 0, &native, 0, bytes, BYTES));
    EXPECT_OK(dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), D));
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_EQ(info_of(buffer).current_sides, DCMEM_SIDE_BIT(D));
    memset(bytes, 0, BYTES);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 'k', BYTES));
    EXPECT_OK(dcmem_buffer_mark_dirty(view_of(buffer, 0, 10), H));
    EXPECT_EQ(state_at(buffer, 0), DCMI_STATE_HOST);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
