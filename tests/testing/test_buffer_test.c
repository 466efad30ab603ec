/* test_buffer_test.c: buffers that are slow, refuse and spoil: what they count, what they hold back, and that they are
 * buffers like any other. */
#include "test.h"
#include "base/os.h"
#include "testing/host.h"

#include <dcmem/dcmem.h>
#include <dcmem/runner.h>
#include <dcmem/testing.h>

#include <pthread.h>
#include <time.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)
#define MS  1000000ull

static dcmem_test_buffer *
make(uint64_t bytes, const dcmem_test_buffer_options *options)
{
    dcmem_test_buffer *test;
    EXPECT_OK(dcmem_test_buffer_create(&test, bytes, options));
    return test;
}

static dcmem_view
whole(dcmem_test_buffer *test)
{
    return dcmem_view_whole(dcmem_test_buffer_buffer(test));
}

static dcmem_test_buffer_counts
counts_of(dcmem_test_buffer *test)
{
    dcmem_test_buffer_counts counts = {.size = sizeof counts};
    EXPECT_OK(dcmem_test_buffer_counts_of(&counts, test));
    return counts;
}

static dcmem_test_buffer_options
patterned(dcmem_test_buffer_options options)
{
    options.pattern = DCMEM_TEST_PATTERN_BYTES;
    return options;
}

static dcmem_buffer_info
info_of(dcmem_test_buffer *test)
{
    dcmem_buffer_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_buffer_describe(&info, dcmem_test_buffer_buffer(test)));
    return info;
}

/* The bytes are current on the host's side alone. */
static void
bring_to_host(dcmem_test_buffer *test)
{
    EXPECT_OK(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_HOST));
    EXPECT_OK(dcmem_buffer_mark_dirty(whole(test), DCMEM_SIDE_HOST));
}

/* ---- Test data ---- */

TEST(data__is_the_index_in_each_type)
{
    int32_t ints[9];
    int64_t longs[9];
    float floats[9];
    double doubles[9];
    uint8_t bytes[300];
    EXPECT_OK(dcmem_test_data_write(ints, sizeof ints, DCMEM_TEST_PATTERN_INT32, 0));
    EXPECT_OK(dcmem_test_data_write(longs, sizeof longs, DCMEM_TEST_PATTERN_INT64, 0));
    EXPECT_OK(dcmem_test_data_write(floats, sizeof floats, DCMEM_TEST_PATTERN_FLOAT, 0));
    EXPECT_OK(dcmem_test_data_write(doubles, sizeof doubles, DCMEM_TEST_PATTERN_DOUBLE, 0));
    EXPECT_OK(dcmem_test_data_write(bytes, sizeof bytes, DCMEM_TEST_PATTERN_BYTES, 0));
    for (int i = 0; i < 9; i++)
        EXPECT(ints[i] == i && longs[i] == i && floats[i] == (float)i && doubles[i] == i);
    for (int i = 0; i < 300; i++)
        EXPECT_EQ(bytes[i], i % 256);
}

TEST(data__that_is_random_follows_from_the_seed_alone)
{
    uint8_t one[1000], again[1000], other[1000];
    int same = 0;
    EXPECT_OK(dcmem_test_data_write(one, sizeof one, DCMEM_TEST_PATTERN_RANDOM, 7));
    EXPECT_OK(dcmem_test_data_write(again, sizeof again, DCMEM_TEST_PATTERN_RANDOM, 7));
    EXPECT_OK(dcmem_test_data_write(other, sizeof other, DCMEM_TEST_PATTERN_RANDOM, 8));
    assert_memory_equal(one, again, sizeof one);
    for (int i = 0; i < 1000; i++)
        same += one[i] == other[i];
    EXPECT_LE(same, 20);
}

TEST(data__names_the_first_byte_that_differs)
{
    for (int pattern = 1; pattern < DCMEM_TEST_PATTERN_COUNT; pattern++) {
        uint8_t bytes[400];
        EXPECT_OK(dcmem_test_data_write(bytes, sizeof bytes, (dcmem_test_pattern)pattern, 3));
        EXPECT_OK(dcmem_test_data_verify(bytes, sizeof bytes, (dcmem_test_pattern)pattern, 3));
        bytes[397] ^= 1;
        bytes[101] ^= 0x80;
        EXPECT_RESULT(dcmem_test_data_verify(bytes, sizeof bytes, (dcmem_test_pattern)pattern, 3), DCMEM_E_WRONG_STATE);
        EXPECT_DETAIL("byte 101 is 0x");
    }
}

TEST(data__of_no_pattern_writes_and_asks_nothing)
{
    uint8_t bytes[4] = {1, 2, 3, 4};
    EXPECT_OK(dcmem_test_data_write(bytes, sizeof bytes, DCMEM_TEST_PATTERN_NONE, 0));
    EXPECT_EQ(bytes[2], 3);
    EXPECT_OK(dcmem_test_data_verify(bytes, sizeof bytes, DCMEM_TEST_PATTERN_NONE, 0));
    EXPECT_OK(dcmem_test_data_write(NULL, 0, DCMEM_TEST_PATTERN_BYTES, 0));
}

TEST(data__refuses_what_is_no_pattern_and_what_does_not_divide)
{
    uint8_t bytes[16];
    EXPECT_RESULT(dcmem_test_data_write(NULL, 1, DCMEM_TEST_PATTERN_BYTES, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_data_verify(NULL, 1, DCMEM_TEST_PATTERN_BYTES, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_data_write(bytes, 16, DCMEM_TEST_PATTERN_COUNT, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("pattern");
    EXPECT_RESULT(dcmem_test_data_write(bytes, 15, DCMEM_TEST_PATTERN_INT32, 0), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_test_data_verify(bytes, 12, DCMEM_TEST_PATTERN_DOUBLE, 0), DCMEM_E_MISALIGNED);
    EXPECT_DETAIL("12 bytes");
    EXPECT_RESULT(dcmem_test_view_write((dcmem_view){.bytes = 6}, DCMEM_TEST_PATTERN_FLOAT, 0), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_test_view_write((dcmem_view){0}, DCMEM_TEST_PATTERN_FLOAT, 0), DCMEM_E_NOT_A_BUFFER);
    EXPECT_RESULT(dcmem_test_view_verify((dcmem_view){0}, DCMEM_TEST_PATTERN_FLOAT, 0), DCMEM_E_NOT_A_BUFFER);
}

TEST(data__in_a_view_goes_on_past_the_piece_in_which_it_is_carried)
{
    dcmem_test_buffer *test = make(300 * KIB, NULL);
    dcmem_view part;
    uint8_t wrong = 0;
    EXPECT_OK(dcmem_view_slice(&part, whole(test), 24, 200 * KIB));
    for (int pattern = 1; pattern < DCMEM_TEST_PATTERN_COUNT; pattern++) {
        uint8_t *wanted = malloc(part.bytes), *there = malloc(part.bytes);
        EXPECT_OK(dcmem_test_data_write(wanted, part.bytes, (dcmem_test_pattern)pattern, 5));
        EXPECT_OK(dcmem_test_view_write(part, (dcmem_test_pattern)pattern, 5));
        EXPECT_OK(dcmem_test_view_verify(part, (dcmem_test_pattern)pattern, 5));
        EXPECT_OK(dcmem_buffer_copy_out(there, part, 0));
        assert_memory_equal(wanted, there, part.bytes);
        wrong = (uint8_t)~there[150000];
        EXPECT_OK(dcmem_buffer_copy_in((dcmem_view){part.buffer, part.offset + 150000, 1, 1}, &wrong, 0));
        EXPECT_RESULT(dcmem_test_view_verify(part, (dcmem_test_pattern)pattern, 5), DCMEM_E_WRONG_STATE);
        EXPECT_DETAIL("byte 150000 ");
        free(wanted);
        free(there);
    }
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- A buffer like any other ---- */

TEST(test_buffer__is_a_buffer_with_two_memories)
{
    dcmem_test_buffer *test = make(4 * KIB, NULL);
    dcmem_buffer_info info = info_of(test);
    EXPECT_EQ(info.bytes, 4 * KIB);
    EXPECT(!info.is_unified && info.manager == dcmem_test_buffer_manager(test));
    EXPECT_EQ(info.written_bytes, 0);
    EXPECT_EQ(info.pins, 1);

    /* A missed copy shows: the device does not see what the host has written. */
    char seen = 0;
    dcmem_access access;
    dcmem_native native;
    EXPECT_OK(dcmem_test_view_write(whole(test), DCMEM_TEST_PATTERN_BYTES, 0));
    EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0));
    ((char *)access.host)[9] = 'x';
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_test_buffer_native(&native, test));
    EXPECT_OK(dcmem_simulated_read(&seen, dcmem_test_buffer_backend(test), 0, &native, 9, 1));
    EXPECT(seen == 9);
    EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0));
    EXPECT_OK(dcmem_simulated_read(&seen, dcmem_test_buffer_backend(test), 0, &access.native, 9, 1));
    EXPECT(seen == 'x' && native.object == access.native.object && native.offset == access.native.offset);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* A program that knows nothing of test buffers. */
static void
use_in_every_way(dcmem_view view, dcmem_view other)
{
    uint8_t host[256];
    dcmem_access access;
    dcmem_map map;
    dcmem_view slice, cast;
    EXPECT_OK(dcmem_buffer_fill(view, "ab", 2));
    EXPECT_OK(dcmem_buffer_copy(other, view));
    EXPECT_OK(dcmem_buffer_copy(view, other));
    EXPECT_OK(dcmem_buffer_copy_out(host, view, 0));
    EXPECT(host[0] == 'a' && host[255] == 'b');
    EXPECT_OK(dcmem_buffer_copy_in(view, host, 0));
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0));
    ((uint8_t *)access.host)[0] = 'c';
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0));
    EXPECT_OK(dcmem_access_abort(&access));
    EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_READ_WRITE));
    EXPECT(((uint8_t *)map.host)[0] == 'c');
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_prefetch(view, DCMEM_SIDE_DEVICE));
    EXPECT_OK(dcmem_buffer_synchronize(view));
    EXPECT_OK(dcmem_buffer_mark_dirty(view, DCMEM_SIDE_HOST));
    EXPECT_OK(dcmem_buffer_invalidate(view, DCMEM_SIDE_HOST));
    EXPECT_OK(dcmem_buffer_pin(NULL, view.buffer));
    EXPECT_OK(dcmem_buffer_unpin(view.buffer));
    EXPECT_OK(dcmem_view_slice(&slice, view, 2, 8));
    EXPECT_OK(dcmem_view_cast(&cast, slice, 2));
    EXPECT_OK(dcmem_buffer_copy_out(host, cast, 0));
    EXPECT(memcmp(host, "abababab", 8) == 0);
    EXPECT_OK(dcmem_buffer_set_tag(view.buffer, 5));
}

TEST(test_buffer__goes_wherever_a_buffer_goes)
{
    dcmem_test_buffer *test = make(256, NULL);
    dcmem_buffer *elsewhere;
    dcmem_manager *cpu;
    EXPECT_OK(dcmem_manager_create(&cpu, NULL));
    EXPECT_OK(dcmem_buffer_create(&elsewhere, cpu, 256, NULL));
    use_in_every_way(whole(test), dcmem_view_whole(elsewhere));
    EXPECT_EQ(counts_of(test).operations, 14);
    EXPECT_EQ(counts_of(test).refused, 0);
    EXPECT_OK(dcmem_buffer_destroy(elsewhere));
    EXPECT_OK(dcmem_manager_destroy(cpu));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(test_buffer__begins_with_its_pattern_and_nothing_counted)
{
    for (int pattern = 0; pattern < DCMEM_TEST_PATTERN_COUNT; pattern++) {
        dcmem_test_buffer_options options = dcmem_test_buffer_fail_after(1);
        options.pattern = (dcmem_test_pattern)pattern;
        options.seed = 11;
        dcmem_test_buffer *test = make(64 * KIB + 8, &options);
        EXPECT_OK(dcmem_test_view_verify(whole(test), options.pattern, 11));
        EXPECT_EQ(info_of(test).written_bytes, pattern ? 64 * KIB + 8 : 0);
        EXPECT_EQ(counts_of(test).operations, 0);
        EXPECT_OK(dcmem_test_buffer_destroy(test));
    }
}

TEST(test_buffer__takes_the_memory_options_of_buffers)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.memory = (dcmem_buffer_options){
        .kind = DCMEM_KIND_PINNED, .flags = DCMEM_BUFFER_ZEROED, .alignment = 4096, .tag = 9, .priority = 2};
    dcmem_test_buffer *test = make(1000, &options);
    dcmem_buffer_info info = info_of(test);
    EXPECT_EQ(info.kind, DCMEM_KIND_PINNED);
    EXPECT_EQ(info.alignment, 4096);
    EXPECT_EQ(info.tag, 9);
    EXPECT_EQ(info.priority, 2);
    EXPECT_EQ(info.written_bytes, 1000);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(test_buffer__stands_on_the_device_that_is_wanted)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_UNIFIED);
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    dcmem_device_info info = {.size = sizeof info};
    options.profile = &profile;
    dcmem_test_buffer *test = make(1000, &options);
    EXPECT_OK(dcmem_manager_device_info(&info, dcmem_test_buffer_manager(test)));
    assert_string_equal(info.name, profile.name);
    EXPECT(info_of(test).is_unified);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(test_buffer__on_its_own_device_can_meet_a_driver_that_fails)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    dcmem_test_buffer *test = make(1000, &options);
    bring_to_host(test);
    EXPECT_OK(dcmem_fake_fail(dcmem_test_buffer_fake(test), DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_simulated_set_lost(dcmem_test_buffer_backend(test), 0, true));
    EXPECT_RESULT(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(dcmem_simulated_set_lost(dcmem_test_buffer_backend(test), 0, false));
    EXPECT_OK(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Pins ---- */

TEST(test_buffer__that_is_pinned_stays_and_one_that_is_not_is_the_program_s)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    dcmem_native native = {.bytes = 42};
    dcmem_test_buffer *test = make(1000, NULL);
    EXPECT_OK(dcmem_test_buffer_native(&native, test));
    EXPECT(native.bytes >= 1000 && native.address != 0);
    EXPECT_RESULT(dcmem_buffer_resize(dcmem_test_buffer_buffer(test), 2000), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_destroy(dcmem_test_buffer_buffer(test)), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_test_buffer_destroy(test));

    options.no_pin = true;
    test = make(1000, &options);
    native.bytes = 42;
    EXPECT_RESULT(dcmem_test_buffer_native(&native, test), DCMEM_E_WRONG_STATE);
    EXPECT_EQ(native.bytes, 42);
    EXPECT_OK(dcmem_buffer_resize(dcmem_test_buffer_buffer(test), 2000));
    EXPECT_EQ(counts_of(test).operations, 1);
    EXPECT_OK(dcmem_buffer_destroy(dcmem_test_buffer_buffer(test)));
    EXPECT_EQ(counts_of(test).operations, 1);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(test_buffer__that_the_program_has_unpinned_ends_all_the_same)
{
    dcmem_test_buffer *test = make(1000, NULL);
    EXPECT_OK(dcmem_buffer_unpin(dcmem_test_buffer_buffer(test)));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Restrictions ---- */

/* Every way to a view's bytes, by the restriction that closes it. Each gives what it got. */
typedef struct ways {
    dcmem_result span, map, device, pin, copy_to, copy_from, copy_in, copy_out, fill, prefetch, synchronize;
} ways;

static ways
try_ways(dcmem_view view, dcmem_view other)
{
    ways got;
    uint8_t host[256] = {0};
    dcmem_access access;
    dcmem_map map;
    got.span = dcmem_access_begin(&access, view, DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0);
    if (!got.span)
        EXPECT_OK(dcmem_access_end(&access));
    got.map = dcmem_buffer_map(&map, view, DCMEM_MAP_READ);
    if (!got.map)
        EXPECT_OK(dcmem_buffer_unmap(&map));
    got.device = dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0);
    if (!got.device)
        EXPECT_OK(dcmem_access_end(&access));
    got.pin = dcmem_buffer_pin(NULL, view.buffer);
    if (!got.pin)
        EXPECT_OK(dcmem_buffer_unpin(view.buffer));
    got.copy_to = dcmem_buffer_copy(view, other);
    got.copy_from = dcmem_buffer_copy(other, view);
    got.copy_in = dcmem_buffer_copy_in(view, host, 0);
    got.copy_out = dcmem_buffer_copy_out(host, view, 0);
    got.fill = dcmem_buffer_fill(view, "", 1);
    got.prefetch = dcmem_buffer_prefetch(view, DCMEM_SIDE_HOST);
    got.synchronize = dcmem_buffer_synchronize(view);
    return got;
}

/* The buffer and a slice of a slice of it, on a device of their own each time, beside one without restrictions. */
static void
expect_ways(const dcmem_test_buffer_options *options, const ways *wanted)
{
    for (int is_slice = 0; is_slice <= 1; is_slice++) {
        dcmem_test_buffer_options complete = patterned(*options), beside = patterned(dcmem_test_buffer_default());
        dcmem_test_buffer *test = make(256, &complete), *other = make(256, &beside);
        dcmem_view view = whole(test), from = whole(other);
        if (is_slice) {
            EXPECT_OK(dcmem_view_slice(&view, view, 16, 128));
            EXPECT_OK(dcmem_view_slice(&view, view, 8, 64));
            EXPECT_OK(dcmem_view_slice(&from, from, 8, 64));
        }
        ways got = try_ways(view, from);
        assert_memory_equal(&got, wanted, sizeof got);
        EXPECT_EQ(counts_of(test).operations, 11);
        /* The gate of what is copied to is asked first. */
        EXPECT_EQ(counts_of(other).operations, wanted->copy_to ? 1 : 2);
        int refused = 0;
        for (size_t i = 0; i < sizeof *wanted / sizeof(dcmem_result); i++)
            refused += ((const dcmem_result *)wanted)[i] != DCMEM_OK;
        EXPECT_EQ(counts_of(test).refused, refused);
        EXPECT_OK(dcmem_test_buffer_destroy(other));
        EXPECT_OK(dcmem_test_buffer_destroy(test));
    }
}

#define NO DCMEM_E_WRONG_STATE

TEST(restriction__of_spans_closes_the_host_s_side)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.refuse_span_access = true;
    expect_ways(&options, &(ways){.span = NO});
}

TEST(restriction__of_memory_closes_maps_pins_and_the_device_s_side)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.refuse_memory_access = true;
    expect_ways(&options, &(ways){.map = NO, .device = NO, .pin = NO});
}

TEST(restriction__of_copies_closes_them_in_either_direction)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.refuse_copy_operations = true;
    options.refusal = DCMEM_E_DEVICE_LOST;
    expect_ways(&options, &(ways){.copy_to = DCMEM_E_DEVICE_LOST,
                                  .copy_from = DCMEM_E_DEVICE_LOST,
                                  .copy_in = DCMEM_E_DEVICE_LOST,
                                  .copy_out = DCMEM_E_DEVICE_LOST});
}

TEST(preset__default_refuses_nothing)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    expect_ways(&options, &(ways){0});
}

TEST(preset__restrictive_closes_all_three)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_restrictive();
    expect_ways(&options, &(ways){.span = NO,
                                  .map = NO,
                                  .device = NO,
                                  .pin = NO,
                                  .copy_to = NO,
                                  .copy_from = NO,
                                  .copy_in = NO,
                                  .copy_out = NO});
}

TEST(preset__fail_after_fails_the_nth_and_all_after_it)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_fail_after(5);
    expect_ways(&options, &(ways){.copy_to = NO,
                                  .copy_from = NO,
                                  .copy_in = NO,
                                  .copy_out = NO,
                                  .fill = NO,
                                  .prefetch = NO,
                                  .synchronize = NO});
    options = dcmem_test_buffer_fail_after(0);
    expect_ways(&options, &(ways){0});
}

TEST(refusal__says_which_operation_and_which_option)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_restrictive());
    dcmem_test_buffer *test = make(256, &options);
    uint8_t host[256];
    EXPECT_OK(dcmem_buffer_fill(whole(test), "", 1));
    EXPECT_RESULT(dcmem_buffer_copy_out(host, whole(test), 0), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("operation 2 of a test buffer, read: refused by its option refuse_copy_operations");
    EXPECT_EQ(dcmem_last_detail()->driver_code, 2);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(refusal__touches_no_output_and_no_byte)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_restrictive());
    dcmem_test_buffer *test = make(256, &options);
    uint8_t host[256];
    dcmem_access access, untouched;
    memset(host, 0x5a, sizeof host);
    memset(&access, 0x5a, sizeof access);
    memcpy(&untouched, &access, sizeof access);
    EXPECT_RESULT(dcmem_buffer_copy_out(host, whole(test), 0), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_buffer_copy_in(whole(test), host, 0), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0),
                  DCMEM_E_WRONG_STATE);
    EXPECT_EQ(host[0], 0x5a);
    EXPECT(memcmp(&access, &untouched, sizeof access) == 0);
    EXPECT_OK(dcmem_test_view_verify(whole(test), DCMEM_TEST_PATTERN_BYTES, 0));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(fail_after__begins_anew_after_a_reset_and_lets_open_accesses_end)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(2));
    dcmem_test_buffer *test = make(256, &options);
    dcmem_access access;
    for (int round = 0; round < 3; round++) {
        EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0));
        EXPECT_RESULT(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE), DCMEM_E_WRONG_STATE);
        EXPECT_DETAIL("fail_after");
        EXPECT_RESULT(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE), DCMEM_E_WRONG_STATE);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_EQ(counts_of(test).operations, 3);
        EXPECT_EQ(counts_of(test).refused, 2);
        EXPECT_OK(dcmem_test_buffer_reset(test));
        EXPECT_EQ(counts_of(test).operations, 0);
        EXPECT_EQ(counts_of(test).refused, 0);
    }
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Slices ---- */

TEST(slice__is_the_parent_s_bytes_and_counts_there)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.pattern = DCMEM_TEST_PATTERN_INT32;
    dcmem_test_buffer *test = make(400, &options);
    dcmem_view ints, slice, inner;
    int32_t seven[5] = {7, 7, 7, 7, 7}, all[100];
    EXPECT_OK(dcmem_view_typed(&ints, dcmem_test_buffer_buffer(test), 4));
    EXPECT_OK(dcmem_view_slice(&slice, ints, 10, 50));
    EXPECT_OK(dcmem_view_slice(&inner, slice, 20, 5));
    EXPECT_OK(dcmem_buffer_copy_in(inner, seven, 0));
    EXPECT_OK(dcmem_buffer_fill(inner, seven, 4));
    EXPECT_EQ(counts_of(test).operations, 2);
    EXPECT_OK(dcmem_buffer_copy_out(all, ints, 0));
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(all[i], i >= 30 && i < 35 ? 7 : i);

    /* And the other way round. */
    EXPECT_OK(dcmem_test_view_write(ints, DCMEM_TEST_PATTERN_INT32, 0));
    EXPECT_OK(dcmem_buffer_copy_out(seven, inner, 0));
    EXPECT_EQ(seven[0], 30);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Slow transfers ---- */

typedef struct clock_of_test {
    uint64_t slept_ns;
    uint64_t times;
} clock_of_test;

static void
only_count(void *user, uint64_t nanoseconds)
{
    clock_of_test *clock = user;
    clock->slept_ns += nanoseconds;
    clock->times++;
}

static dcmem_test_buffer_options
slow(clock_of_test *clock)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_slow_transfers());
    options.sleep = only_count;
    options.sleep_user = clock;
    return options;
}

static void
expect_slept(dcmem_test_buffer *test, clock_of_test *clock, uint64_t times)
{
    EXPECT_EQ(clock->times, times);
    EXPECT_EQ(clock->slept_ns, times * 10 * MS);
    EXPECT_EQ(counts_of(test).delayed, times);
    EXPECT_OK(dcmem_test_buffer_reset(test));
    *clock = (clock_of_test){0};
}

TEST(preset__slow_transfers_delays_what_moves_bytes)
{
    clock_of_test clock = {0};
    dcmem_test_buffer_options options = slow(&clock);
    dcmem_test_buffer *test = make(256, &options);
    dcmem_view view = whole(test);
    uint8_t host[256];
    dcmem_access access;
    dcmem_map map;
    expect_slept(test, &clock, 0);

    EXPECT_OK(dcmem_buffer_copy_in(view, host, 0));
    EXPECT_OK(dcmem_buffer_copy_out(host, view, 0));
    expect_slept(test, &clock, 2);
    EXPECT_OK(dcmem_buffer_prefetch(view, DCMEM_SIDE_HOST));
    expect_slept(test, &clock, 1);
    EXPECT_OK(dcmem_buffer_prefetch(view, DCMEM_SIDE_HOST));
    EXPECT_OK(dcmem_buffer_synchronize(view));
    expect_slept(test, &clock, 0);

    /* An access waits where its side is not current. */
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    expect_slept(test, &clock, 1);
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_READ));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    expect_slept(test, &clock, 2);
    EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_READ));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_fill(view, "", 1));
    EXPECT_OK(dcmem_buffer_mark_dirty(view, DCMEM_SIDE_DEVICE));
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_buffer_invalidate(view, DCMEM_SIDE_HOST)); /* it has nothing that the other has not */
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_buffer_invalidate(view, DCMEM_SIDE_DEVICE));
    expect_slept(test, &clock, 1);

    /* What will be written over is not brought. */
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_WRITE_DISCARD));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_buffer_prefetch(view, DCMEM_SIDE_HOST));
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE_NO_OVERWRITE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_WRITE));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    expect_slept(test, &clock, 2);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(delay__is_none_where_nothing_was_written_or_the_call_is_refused)
{
    clock_of_test clock = {0};
    dcmem_test_buffer_options options = slow(&clock);
    uint8_t host[256];
    options.pattern = DCMEM_TEST_PATTERN_NONE;
    options.refuse_copy_operations = true;
    dcmem_test_buffer *test = make(256, &options);
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_RESULT(dcmem_buffer_copy_out(host, whole(test), 0), DCMEM_E_WRONG_STATE);
    expect_slept(test, &clock, 0);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

TEST(delay__is_truly_waited_for)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    uint8_t host[16];
    options.slow_transfers = true; /* 5 ms */
    dcmem_test_buffer *test = make(16, &options);
    uint64_t begin = now_ns();
    EXPECT_OK(dcmem_buffer_copy_out(host, whole(test), 0));
    EXPECT_GE(now_ns() - begin, 5 * MS); /* never less; how much more is the machine's affair */
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Several on one manager, and a gate of the user's ---- */

TEST(several__on_one_manager_count_and_refuse_each_for_itself)
{
    clock_of_test clock = {0};
    dcmem_test_buffer_options first = slow(&clock), second = patterned(dcmem_test_buffer_fail_after(2));
    dcmem_test_buffer *slow_one = make(64, &first);
    second.manager = dcmem_test_buffer_manager(slow_one);
    dcmem_test_buffer *failing = make(64, &second);
    EXPECT(dcmem_test_buffer_manager(failing) == dcmem_test_buffer_manager(slow_one));
    EXPECT(dcmem_test_buffer_backend(failing) == dcmem_test_buffer_backend(slow_one));

    EXPECT_OK(dcmem_buffer_copy(whole(failing), whole(slow_one)));
    EXPECT_EQ(counts_of(slow_one).operations, 1);
    EXPECT_EQ(counts_of(failing).operations, 1);
    EXPECT_RESULT(dcmem_buffer_copy(whole(slow_one), whole(failing)), DCMEM_E_WRONG_STATE);
    EXPECT_EQ(counts_of(slow_one).refused, 0);
    EXPECT_EQ(counts_of(failing).refused, 1);
    EXPECT_EQ(clock.times, 1);

    /* The device goes with the last of them, whichever was first. */
    EXPECT_OK(dcmem_test_buffer_destroy(slow_one));
    EXPECT_OK(dcmem_test_buffer_reset(failing));
    EXPECT_OK(dcmem_buffer_fill(whole(failing), "", 1));
    EXPECT_RESULT(dcmem_buffer_fill(whole(failing), "", 1), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_test_buffer_destroy(failing));
}

TEST(several__on_two_managers_count_a_copy_once_each)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    dcmem_test_buffer *from = make(64, &options), *to = make(64, &options);
    EXPECT_OK(dcmem_buffer_copy(whole(to), whole(from)));
    EXPECT_EQ(counts_of(from).operations, 1);
    EXPECT_EQ(counts_of(to).operations, 1);
    EXPECT_OK(dcmem_test_buffer_destroy(from));
    EXPECT_OK(dcmem_test_buffer_destroy(to));
}

TEST(copy__within_one_test_buffer_is_one_operation)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    dcmem_test_buffer *test = make(64, &options);
    dcmem_view low, high;
    EXPECT_OK(dcmem_view_slice(&low, whole(test), 0, 32));
    EXPECT_OK(dcmem_view_slice(&high, whole(test), 32, 32));
    EXPECT_OK(dcmem_buffer_copy(high, low));
    EXPECT_EQ(counts_of(test).operations, 1);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

typedef struct user_gate {
    uint64_t asked;
    dcmem_result answer;
} user_gate;

static dcmem_result
ask_user(void *user, const dcmem_gate_call *call)
{
    user_gate *it = user;
    (void)call;
    it->asked++;
    return it->answer;
}

TEST(gate__of_the_user_is_asked_after_the_restrictions_and_put_back)
{
    dcmem_rig rig;
    user_gate mine = {0};
    dcmem_gate gate;
    void *user;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_manager_set_gate(rig.manager, ask_user, &mine));
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(3));
    options.manager = rig.manager;
    dcmem_test_buffer *test = make(64, &options);
    EXPECT_EQ(mine.asked, 3); /* allocate, write, pin */
    EXPECT(!dcmem_test_buffer_backend(test) && !dcmem_test_buffer_fake(test));

    mine.answer = DCMEM_E_TIMEOUT;
    EXPECT_RESULT(dcmem_buffer_fill(whole(test), "", 1), DCMEM_E_TIMEOUT);
    mine.answer = DCMEM_OK;
    EXPECT_OK(dcmem_buffer_fill(whole(test), "", 1));
    EXPECT_EQ(mine.asked, 5);
    EXPECT_RESULT(dcmem_buffer_fill(whole(test), "", 1), DCMEM_E_WRONG_STATE);
    EXPECT_EQ(mine.asked, 5);
    EXPECT_EQ(counts_of(test).operations, 3);

    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_manager_gate(&gate, &user, rig.manager));
    EXPECT(gate == ask_user && user == &mine);
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(gate__of_the_user_that_refuses_is_not_waited_for)
{
    dcmem_rig rig;
    user_gate mine = {0};
    clock_of_test clock = {0};
    uint8_t host[64];
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_manager_set_gate(rig.manager, ask_user, &mine));
    dcmem_test_buffer_options options = slow(&clock);
    options.manager = rig.manager;
    dcmem_test_buffer *test = make(64, &options);
    mine.answer = DCMEM_E_TIMEOUT;
    EXPECT_RESULT(dcmem_buffer_copy_out(host, whole(test), 0), DCMEM_E_TIMEOUT);
    expect_slept(test, &clock, 0);
    mine.answer = DCMEM_OK;
    EXPECT_OK(dcmem_buffer_copy_out(host, whole(test), 0));
    expect_slept(test, &clock, 1);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(gate__that_the_user_sets_later_stays_and_the_next_test_buffer_stands_before_it)
{
    dcmem_rig rig;
    user_gate mine = {0};
    dcmem_gate gate;
    void *user;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(1));
    options.manager = rig.manager;
    dcmem_test_buffer *first = make(64, &options);
    EXPECT_OK(dcmem_manager_set_gate(rig.manager, ask_user, &mine));
    EXPECT_OK(dcmem_buffer_fill(whole(first), "", 1));
    EXPECT_EQ(mine.asked, 1);

    dcmem_test_buffer *second = make(64, &options);
    EXPECT_RESULT(dcmem_buffer_fill(whole(first), "", 1), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_buffer_fill(whole(second), "", 1), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_test_buffer_destroy(second));

    EXPECT_OK(dcmem_manager_set_gate(rig.manager, NULL, NULL));
    EXPECT_OK(dcmem_test_buffer_destroy(first));
    EXPECT_OK(dcmem_manager_gate(&gate, &user, rig.manager));
    EXPECT(!gate);
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(gate__of_a_plan_and_ours_ask_each_other_in_any_order)
{
    dcmem_rig rig;
    dcmem_fault_plan *plan;
    dcmem_gate gate;
    void *user;
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(4));
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    options.manager = rig.manager;
    dcmem_test_buffer *below = make(64, &options);
    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.fill:nth=2:fail=busy"));
    EXPECT_OK(dcmem_fault_plan_guard(plan, rig.manager));

    /* The plan's stands before ours and asks it; then ours before the plan's as well, which makes a ring. */
    EXPECT_OK(dcmem_buffer_fill(whole(below), "", 1));
    EXPECT_EQ(counts_of(below).operations, 1);
    dcmem_test_buffer *above = make(64, &options);
    EXPECT_RESULT(dcmem_buffer_fill(whole(below), "", 1), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_fill(whole(below), "", 1));
    EXPECT_EQ(counts_of(below).operations, 3);
    EXPECT_RESULT(dcmem_buffer_fill(whole(below), "", 1), DCMEM_E_WRONG_STATE);

    /* The plan's ends while ours still asks it. */
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_OK(dcmem_buffer_fill(whole(above), "", 1));
    EXPECT_EQ(counts_of(above).operations, 1);
    EXPECT_OK(dcmem_test_buffer_destroy(below));
    EXPECT_OK(dcmem_buffer_fill(whole(above), "", 1));
    EXPECT_OK(dcmem_test_buffer_destroy(above));
    EXPECT_OK(dcmem_manager_gate(&gate, &user, rig.manager));
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(gate__lets_everything_else_on_the_manager_pass)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_restrictive();
    dcmem_test_buffer *test = make(64, &options);
    dcmem_manager *manager = dcmem_test_buffer_manager(test);
    dcmem_buffer *plain;
    void *raw = dcmem_raw_allocate(manager, 100);
    EXPECT(raw);
    EXPECT_OK(dcmem_buffer_create(&plain, manager, 256, NULL));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(plain), (char[256]){0}, 0));
    EXPECT_OK(dcmem_buffer_destroy(plain));
    EXPECT_OK(dcmem_raw_free(manager, raw));
    EXPECT_EQ(counts_of(test).operations, 0);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

/* ---- Corruption ---- */

static dcmem_test_buffer_options
corruptible(void)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    options.allow_corruption = true;
    return options;
}

/* What lies on one side of a buffer whose two sides are current. */
static uint8_t
byte_of_side(dcmem_test_buffer *test, dcmem_side side, uint64_t offset)
{
    dcmem_view byte = {dcmem_test_buffer_buffer(test), offset, 1, 1};
    dcmem_access access;
    uint8_t seen;
    EXPECT_OK(dcmem_access_begin(&access, byte, side, DCMEM_ACCESS_READ, 0));
    if (side == DCMEM_SIDE_HOST)
        seen = *(uint8_t *)access.host;
    else
        EXPECT_OK(dcmem_simulated_read(&seen, dcmem_test_buffer_backend(test), 0, &access.native, 0, 1));
    EXPECT_OK(dcmem_access_end(&access));
    return seen;
}

TEST(corruption__is_of_one_side_and_changes_nothing_else)
{
    for (int side = 0; side <= 1; side++) {
        dcmem_test_buffer_options options = corruptible();
        dcmem_test_buffer *test = make(256, &options);
        EXPECT_OK(dcmem_buffer_synchronize(whole(test)));
        EXPECT_OK(dcmem_test_buffer_reset(test));
        EXPECT_OK(dcmem_test_buffer_corrupt(test, (dcmem_side)side, 100, 0x81));
        EXPECT_EQ(counts_of(test).operations, 0);
        EXPECT_EQ(info_of(test).current_sides, 3);
        EXPECT_EQ(info_of(test).open_readers, 0);
        EXPECT_EQ(byte_of_side(test, (dcmem_side)side, 100), 100 ^ 0x81);
        EXPECT_EQ(byte_of_side(test, (dcmem_side)!side, 100), 100);
        EXPECT_EQ(byte_of_side(test, (dcmem_side)side, 99), 99);
        EXPECT_EQ(byte_of_side(test, (dcmem_side)side, 101), 101);
        EXPECT_OK(dcmem_test_buffer_destroy(test));
    }
}

static int
bits_that_differ(const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    int bits = 0;
    for (uint64_t i = 0; i < bytes; i++)
        bits += __builtin_popcount(a[i] ^ b[i]);
    return bits;
}

TEST(corruption__at_seeded_places_flips_so_many_bits_and_the_same_ones_again)
{
    uint8_t clean[77], first[77], again[77], other[77];
    EXPECT_OK(dcmem_test_data_write(clean, sizeof clean, DCMEM_TEST_PATTERN_BYTES, 0));
    for (uint64_t count = 1; count <= sizeof clean * 8; count += 35) {
        uint8_t *results[] = {first, again, other};
        for (int i = 0; i < 3; i++) {
            dcmem_test_buffer_options options = corruptible();
            dcmem_test_buffer *test = make(sizeof clean, &options);
            EXPECT_OK(dcmem_buffer_prefetch(whole(test), DCMEM_SIDE_DEVICE));
            EXPECT_OK(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_DEVICE, i == 2 ? 6 : 5, count));
            EXPECT_OK(dcmem_buffer_mark_dirty(whole(test), DCMEM_SIDE_DEVICE));
            EXPECT_OK(dcmem_buffer_copy_out(results[i], whole(test), 0));
            EXPECT_OK(dcmem_test_buffer_destroy(test));
        }
        EXPECT_EQ(bits_that_differ(clean, first, sizeof clean), count);
        EXPECT_EQ(bits_that_differ(first, again, sizeof clean), 0);
        if (count < sizeof clean * 8)
            EXPECT_NE(bits_that_differ(first, other, sizeof clean), 0);
    }
}

TEST(corruption__that_is_not_allowed_is_refused)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    dcmem_test_buffer *test = make(64, &options);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("allow_corruption");
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_test_view_verify(whole(test), DCMEM_TEST_PATTERN_BYTES, 0));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(corruption__refuses_wrong_places_and_sides_that_are_not_current)
{
    dcmem_test_buffer_options options = corruptible();
    dcmem_test_buffer *test = make(64, &options);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 64, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, UINT64_MAX, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("mask");
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, (dcmem_side)2, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("side");
    EXPECT_RESULT(dcmem_test_buffer_corrupt(NULL, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(NULL, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_HOST, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_HOST, 0, 64 * 8 + 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_HOST, 0, UINT64_MAX), DCMEM_E_OUT_OF_RANGE);
    bring_to_host(test);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 0, 1), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("device side is not current");
    EXPECT_OK(dcmem_buffer_mark_dirty(whole(test), DCMEM_SIDE_DEVICE));
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("host side is not current");

    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 0, 1), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_DEVICE, 0, 1), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_test_buffer_destroy(test));

    options.pattern = DCMEM_TEST_PATTERN_NONE;
    options.no_pin = true;
    test = make(64, &options);
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_destroy(dcmem_test_buffer_buffer(test)));
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_test_buffer_corrupt_randomly(test, DCMEM_SIDE_HOST, 0, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(corruption__reaches_unified_memory_and_not_a_stranger_s_device)
{
    /* The kit's own, coherent or not: what the host reads is what was spoiled. */
    static const uint32_t flags[] = {DCMEM_SIMULATED_UNIFIED, DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT};
    for (int i = 0; i < 2; i++)
        for (int side = 0; side <= 1; side++) {
            dcmem_simulated_profile profile = {.size = sizeof profile, .flags = flags[i], .total_bytes = 64 * MIB};
            dcmem_test_buffer_options options = corruptible();
            options.profile = &profile;
            dcmem_test_buffer *test = make(64, &options);
            EXPECT_OK(dcmem_test_buffer_corrupt(test, (dcmem_side)side, 7, 0xff));
            EXPECT_RESULT(dcmem_test_view_verify(whole(test), DCMEM_TEST_PATTERN_BYTES, 0), DCMEM_E_WRONG_STATE);
            EXPECT_DETAIL("byte 7 is 0xf8, not 0x07");
            EXPECT_OK(dcmem_test_buffer_destroy(test));
        }

    /* The caller's: where it is unified, by its address; its own memory cannot be reached. */
    dcmem_manager *cpu;
    dcmem_rig rig;
    dcmem_test_buffer_options options = corruptible();
    EXPECT_OK(dcmem_manager_create(&cpu, NULL));
    options.manager = cpu;
    dcmem_test_buffer *test = make(64, &options);
    EXPECT_OK(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 7, 0xff));
    EXPECT_RESULT(dcmem_test_view_verify(whole(test), DCMEM_TEST_PATTERN_BYTES, 0), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("byte 7 is 0xf8");
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_manager_destroy(cpu));

    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    options.manager = rig.manager;
    test = make(64, &options);
    EXPECT_OK(dcmem_buffer_synchronize(whole(test)));
    EXPECT_OK(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_HOST, 7, 0xff));
    EXPECT_RESULT(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 7, 0xff), DCMEM_E_UNSUPPORTED);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_rig_end(&rig));
}

/* ---- Whether it would be copied ---- */

TEST(check_copy__agrees_with_the_copy_itself)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    dcmem_test_buffer *test = make(80, &options);
    dcmem_view ints, to, from;
    uint64_t bytes;
    EXPECT_OK(dcmem_view_typed(&ints, dcmem_test_buffer_buffer(test), 4));
    for (uint64_t to_first = 0; to_first <= 21; to_first++)
        for (uint64_t from_first = 0; from_first <= 21; from_first++)
            for (uint64_t count = 1; count <= 21; count += 4) {
                bytes = 42;
                dcmem_result said = dcmem_test_check_copy(&bytes, ints, to_first, ints, from_first, count);
                dcmem_result got = dcmem_view_slice(&to, ints, to_first, count);
                if (!got)
                    got = dcmem_view_slice(&from, ints, from_first, count);
                if (!got)
                    got = dcmem_buffer_copy(to, from);
                EXPECT_EQ(said, got);
                EXPECT_EQ(bytes, said ? 42 : count * 4);
            }
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(check_copy__takes_as_many_as_fit_and_counts_nothing)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_restrictive();
    dcmem_test_buffer *small = make(40, &options), *large = make(100, &options);
    dcmem_view to, from;
    uint64_t bytes = 42;
    EXPECT_OK(dcmem_view_typed(&to, dcmem_test_buffer_buffer(small), 4));
    EXPECT_OK(dcmem_view_typed(&from, dcmem_test_buffer_buffer(large), 4));
    EXPECT_OK(dcmem_test_check_copy(&bytes, to, 2, from, 5, DCMEM_TEST_ALL));
    EXPECT_EQ(bytes, 32);
    EXPECT_OK(dcmem_test_check_copy(&bytes, to, 0, from, 24, DCMEM_TEST_ALL));
    EXPECT_EQ(bytes, 4);
    EXPECT_OK(dcmem_test_check_copy(NULL, from, 0, to, 0, DCMEM_TEST_ALL));
    EXPECT_EQ(counts_of(small).operations, 0);
    EXPECT_EQ(counts_of(large).operations, 0);
    EXPECT_OK(dcmem_test_buffer_destroy(small));
    EXPECT_OK(dcmem_test_buffer_destroy(large));
}

TEST(check_copy__names_each_wrong_argument)
{
    dcmem_test_buffer_options unpinned = dcmem_test_buffer_default();
    unpinned.no_pin = true;
    dcmem_test_buffer *test = make(80, NULL), *gone = make(80, &unpinned);
    dcmem_view view = whole(test), four = view, wide = view, none = view, stale = whole(gone);
    uint64_t bytes = 42;
    four.element_bytes = 4;
    wide.bytes = 81;
    none.element_bytes = 0;
    EXPECT_OK(dcmem_buffer_destroy(stale.buffer));
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 0, four, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, none, 0, view, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 0, view, 40, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 80, view, 0, DCMEM_TEST_ALL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, UINT64_MAX, view, 0, 1), DCMEM_E_OVERFLOW);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 0, view, 41, 40), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 40, view, 1, 40), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("overlap");
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, wide, 0, view, 0, 1), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 0, wide, 0, 1), DCMEM_E_STALE_VIEW);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, view, 0, stale, 0, 1), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_test_check_copy(&bytes, (dcmem_view){.element_bytes = 1}, 0, view, 0, 1), DCMEM_E_NOT_A_BUFFER);
    EXPECT_EQ(bytes, 42);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_test_buffer_destroy(gone));
}

/* ---- Wrong arguments, and ends ---- */

static void
expect_not_created(const dcmem_test_buffer_options *options, uint64_t bytes, dcmem_result wanted, const char *named)
{
    dcmem_test_buffer *test = (dcmem_test_buffer *)(uintptr_t)42;
    EXPECT_RESULT(dcmem_test_buffer_create(&test, bytes, options), wanted);
    EXPECT_DETAIL(named);
    EXPECT((uintptr_t)test == 42);
}

TEST(create__names_each_wrong_option)
{
    dcmem_rig rig;
    dcmem_simulated_profile odd = {.size = sizeof odd, .total_bytes = MIB, .granularity = 3};
    dcmem_test_buffer_options good = dcmem_test_buffer_default(), options;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
#define EXPECT_NAMED(wanted, named, change)                                                                            \
    options = good;                                                                                                    \
    change;                                                                                                            \
    expect_not_created(&options, 66, wanted, named)
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "size", options.size--);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "memory.size", options.memory.size = 4);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "kind", options.memory.kind = DCMEM_KIND_COUNT);
    EXPECT_NAMED(DCMEM_E_MISALIGNED, "alignment", options.memory.alignment = 48);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "pattern", options.pattern = DCMEM_TEST_PATTERN_COUNT);
    EXPECT_NAMED(DCMEM_E_MISALIGNED, "66 bytes", options.pattern = DCMEM_TEST_PATTERN_INT32);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "slow_transfers", options.transfer_delay_ns = 1);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "refusal", options.refusal = (dcmem_result)7);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "profile", options.manager = rig.manager; options.profile = &odd);
    EXPECT_NAMED(DCMEM_E_INVALID_ARGUMENT, "granularity", options.profile = &odd);
    EXPECT_NAMED(DCMEM_E_NOT_A_MANAGER, "", options.manager = (dcmem_manager *)(uintptr_t)12345);
#undef EXPECT_NAMED
    expect_not_created(NULL, 0, DCMEM_E_INVALID_ARGUMENT, "bytes > 0");
    expect_not_created(NULL, UINT64_MAX, DCMEM_E_TOO_LARGE, "");
    expect_not_created(NULL, 512 * MIB, DCMEM_E_TOO_LARGE, "");
    EXPECT_RESULT(dcmem_test_buffer_create(NULL, 1, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(handle__that_is_not_alive_is_refused_everywhere)
{
    dcmem_test_buffer *gone = make(64, NULL);
    EXPECT_OK(dcmem_test_buffer_destroy(gone));
    dcmem_test_buffer *const wrong[] = {gone, (dcmem_test_buffer *)(uintptr_t)&gone, NULL};
    dcmem_test_buffer_counts counts = {.size = sizeof counts, .operations = 42};
    dcmem_native native;
    for (int i = 0; i < 3; i++) {
        EXPECT(!dcmem_test_buffer_buffer(wrong[i]));
        EXPECT(!dcmem_test_buffer_manager(wrong[i]));
        EXPECT(!dcmem_test_buffer_backend(wrong[i]));
        EXPECT(!dcmem_test_buffer_fake(wrong[i]));
        EXPECT_RESULT(dcmem_test_buffer_native(&native, wrong[i]), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_RESULT(dcmem_test_buffer_counts_of(&counts, wrong[i]), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_DETAIL("no live test buffer");
        EXPECT_RESULT(dcmem_test_buffer_reset(wrong[i]), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_RESULT(dcmem_test_buffer_corrupt(wrong[i], DCMEM_SIDE_HOST, 0, 1), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_EQ(dcmem_test_buffer_destroy(wrong[i]), wrong[i] ? DCMEM_E_INVALID_ARGUMENT : DCMEM_OK);
    }
    EXPECT_EQ(counts.operations, 42);

    dcmem_test_buffer *test = make(64, NULL);
    EXPECT(test != gone);
    counts.size--;
    EXPECT_RESULT(dcmem_test_buffer_counts_of(&counts, test), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_buffer_counts_of(NULL, test), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_buffer_native(NULL, test), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(destroy__is_refused_while_an_access_is_open_and_nothing_has_ended_then)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(2));
    dcmem_test_buffer *test = make(64, &options);
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, whole(test), DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0));
    EXPECT_RESULT(dcmem_test_buffer_destroy(test), DCMEM_E_BUSY);
    EXPECT_DETAIL("1 accesses and pins");
    EXPECT_EQ(info_of(test).pins, 1);
    EXPECT_EQ(counts_of(test).operations, 1);
    EXPECT_RESULT(dcmem_buffer_fill(whole(test), "", 1), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

TEST(destroy__tells_of_what_the_program_left_on_the_device)
{
    dcmem_test_buffer *test = make(64, NULL);
    dcmem_buffer *left;
    EXPECT_OK(dcmem_buffer_create(&left, dcmem_test_buffer_manager(test), 1000, NULL));
    EXPECT_RESULT(dcmem_test_buffer_destroy(test), DCMEM_E_LEAKED);
    EXPECT_RESULT(dcmem_test_buffer_destroy(test), DCMEM_E_INVALID_ARGUMENT);
}

TEST(destroy__after_the_caller_s_manager_has_ended_is_no_fault)
{
    dcmem_manager *cpu;
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    EXPECT_OK(dcmem_manager_create(&cpu, NULL));
    options.manager = cpu;
    dcmem_test_buffer *test = make(64, &options);
    EXPECT_RESULT(dcmem_manager_destroy(cpu), DCMEM_E_LEAKED);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    expect_not_created(&options, 64, DCMEM_E_STALE_MANAGER, "");
}

/* ---- Sweeps ---- */

static bool
is_host_out(void)
{
    return dcmem_sweep_point("the kit's memory");
}

typedef struct subject {
    dcmem_test_buffer_options options;
    dcmem_test_buffer *made;
} subject;

static dcmem_result
act(dcmem_sweep_run *run)
{
    subject *me = run->user;
    me->made = NULL;
    me->options.manager = run->manager;
    dcmem_result result = dcmem_test_buffer_create(&me->made, 100 * KIB, &me->options);
    return result ? result : dcmem_test_buffer_destroy(me->made);
}

static const char *
check(dcmem_sweep_run *run)
{
    subject *me = run->user;
    dcmem_gate gate = NULL;
    void *user;
    if (run->result && me->made && run->result != run->injected)
        return "the end failed by itself";
    if (run->manager && (dcmem_manager_gate(&gate, &user, run->manager) || gate))
        return "a gate was left behind";
    return NULL;
}

static void
sweep_creation(bool has_own_device)
{
    subject me = {.options = dcmem_test_buffer_default()};
    dcmem_sweep_report report = {.size = sizeof report};
    dcmem_sweep sweep = {.size = sizeof sweep, .user = &me, .act = act, .check = check, .no_manager = has_own_device};
    me.options.pattern = DCMEM_TEST_PATTERN_FLOAT;
    me.options.memory.kind = DCMEM_KIND_PINNED;
    me.options.memory.flags = DCMEM_BUFFER_ZEROED;
    /* The sweep's own fake needs its books, or it cannot judge. */
    dcmi_testing_fault = has_own_device ? is_host_out : NULL;
    dcmi_os_fault = dcmem_sweep_point;
    dcmem_result result = dcmem_test_sweep(&report, &sweep);
    dcmi_testing_fault = NULL;
    dcmi_os_fault = NULL;
    EXPECT_OK(result);
    EXPECT_GE(report.points, 6);
    EXPECT_GE(report.refused, 6);
}

TEST(create__leaves_nothing_behind_whichever_call_fails)
{
    sweep_creation(false);
}

TEST(create__with_a_device_of_its_own_leaves_nothing_behind_whichever_call_fails)
{
    sweep_creation(true);
}

/* The same on a device that keeps no books: each of the kit's own wishes for memory refused once. */
static uint64_t asked, fail_at;

static bool
is_the_one(void)
{
    return ++asked == fail_at;
}

TEST(create__says_so_when_the_host_has_no_memory_for_the_kit)
{
    dcmem_manager *cpu;
    dcmem_gate gate;
    void *user;
    EXPECT_OK(dcmem_manager_create(&cpu, NULL));
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_default());
    options.manager = cpu;
    dcmem_test_buffer *test = NULL;
    dcmem_result result;
    fail_at = 0;
    do {
        asked = 0;
        fail_at++;
        dcmi_testing_fault = is_the_one;
        result = dcmem_test_buffer_create(&test, 100, &options);
        dcmi_testing_fault = NULL;
        if (result) {
            EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
            EXPECT_OK(dcmem_manager_gate(&gate, &user, cpu));
            EXPECT(!gate && !test);
        }
    } while (result);
    EXPECT_EQ(fail_at, 4); /* a record, a watch, a piece of a pattern, none */
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    EXPECT_OK(dcmem_manager_destroy(cpu));
}

/* ---- Threads ---- */

#define THREADS 4

typedef struct team {
    dcmem_test_buffer *test;
    uint64_t rounds;
    _Atomic uint64_t succeeded;
} team;

static void *
copy_out_again_and_again(void *user)
{
    team *it = user;
    uint8_t host[64];
    for (uint64_t i = 0; i < it->rounds; i++)
        if (dcmem_buffer_copy_out(host, whole(it->test), UINT64_MAX) == DCMEM_OK)
            it->succeeded++;
    return NULL;
}

static void
fail_after_with_threads(uint64_t rounds)
{
    dcmem_test_buffer_options options = patterned(dcmem_test_buffer_fail_after(rounds * 2));
    team it = {.test = make(64, &options), .rounds = rounds};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, copy_out_again_and_again, &it), 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(it.succeeded, rounds * 2 - 1);
    EXPECT_EQ(counts_of(it.test).operations, rounds * THREADS);
    EXPECT_EQ(counts_of(it.test).refused, rounds * 2 + 1);
    EXPECT_OK(dcmem_test_buffer_destroy(it.test));
}

TEST(threads__together_get_exactly_the_operations_before_the_nth)
{
    fail_after_with_threads(200);
}

LONG_TEST(threads__together_get_exactly_the_operations_before_the_nth__for_long)
{
    fail_after_with_threads(test_scaled(20000));
}

/* Everything wrong at once, by everybody: each call must return what its header names, and nothing else may happen. */

typedef struct playground {
    dcmem_rig rig;
    _Atomic uintptr_t handles[8];
    uint64_t rounds;
} playground;

typedef struct player {
    playground *ground;
    uint64_t seed;
    const char *failed;
    dcmem_result result;
} player;

static uint64_t
random_of(player *me)
{
    me->seed ^= me->seed << 13, me->seed ^= me->seed >> 7, me->seed ^= me->seed << 17;
    return me->seed * 0x2545f4914f6cdd1dull >> 11;
}

static dcmem_test_buffer *
any_handle(player *me)
{
    uint64_t n = random_of(me);
    if (n % 8 == 0)
        return (dcmem_test_buffer *)(uintptr_t)random_of(me);
    return (dcmem_test_buffer *)atomic_load(&me->ground->handles[n % 7]);
}

static dcmem_view
any_view(player *me)
{
    dcmem_view view = dcmem_view_whole(dcmem_test_buffer_buffer(any_handle(me)));
    if (random_of(me) % 4 == 0)
        view.offset = random_of(me) % 70, view.bytes = random_of(me) % 70, view.element_bytes = random_of(me) % 5;
    return view;
}

#define NOTE(call, ...) note(me, #call, (call), (const dcmem_result[]){DCMEM_OK, __VA_ARGS__, DCMEM_OK})

static void
note(player *me, const char *call, dcmem_result result, const dcmem_result *allowed)
{
    for (const dcmem_result *one = allowed + 1; *one && result; one++)
        if (*one == result)
            return;
    if (result) {
        me->failed = call;
        me->result = result;
    }
}

static dcmem_test_buffer_options
any_options(player *me)
{
    uint64_t n = random_of(me);
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.manager = me->ground->rig.manager;
    options.no_pin = n & 2;
    options.pattern = (dcmem_test_pattern)(n >> 8 & 7);
    options.refuse_span_access = n & 4;
    options.refuse_memory_access = n & 8;
    options.refuse_copy_operations = n & 16;
    options.allow_corruption = n & 32;
    options.fail_after = n >> 16 & 15;
    options.refusal = n & 64 ? DCMEM_E_TIMEOUT : DCMEM_OK;
    options.size -= random_of(me) % 16 == 0;
    return options;
}

#define HANDLE DCMEM_E_NOT_A_BUFFER, DCMEM_E_STALE_BUFFER, DCMEM_E_STALE_MANAGER
#define USE                                                                                                            \
    HANDLE, DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY, DCMEM_E_TIMEOUT, DCMEM_E_UNWRITTEN, DCMEM_E_STALE_VIEW,            \
        DCMEM_E_WRONG_STATE, DCMEM_E_LOST

/* Waits for those who hold it open. */
static void
destroy_at_last(player *me, dcmem_test_buffer *test)
{
    dcmem_result result;
    do
        result = dcmem_test_buffer_destroy(test);
    while (result == DCMEM_E_BUSY);
    note(me, "destroy", result, (const dcmem_result[]){DCMEM_OK, DCMEM_E_INVALID_ARGUMENT, DCMEM_OK});
}

/* On the manager of all; or on a device of its own, which nobody else may use when it ends. */
static void
replace(player *me)
{
    dcmem_test_buffer_options options = any_options(me);
    dcmem_test_buffer *test = NULL;
    bool is_own = random_of(me) % 4 == 0;
    if (is_own)
        options.manager = NULL;
    NOTE(dcmem_test_buffer_create(&test, random_of(me) % 4 ? 64 : random_of(me) % 9, &options),
         DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED);
    uintptr_t old = (uintptr_t)test;
    if (!is_own)
        old = atomic_exchange(&me->ground->handles[random_of(me) % 7], old);
    destroy_at_last(me, (dcmem_test_buffer *)old);
}

static void
play_once(player *me)
{
    uint8_t host[128];
    dcmem_access access;
    dcmem_map map;
    dcmem_native native;
    dcmem_view view = any_view(me);
    dcmem_test_buffer_counts counts = {.size = sizeof counts};
    dcmem_result result;
    switch (random_of(me) % 14) {
    case 0:
        replace(me);
        break;
    case 1:
        NOTE(dcmem_test_buffer_destroy(any_handle(me)), DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY);
        break;
    case 2:
        NOTE(dcmem_test_buffer_reset(any_handle(me)), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 3:
        NOTE(dcmem_test_buffer_counts_of(&counts, any_handle(me)), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 4:
        NOTE(dcmem_test_buffer_native(&native, any_handle(me)), DCMEM_E_INVALID_ARGUMENT, DCMEM_E_WRONG_STATE);
        break;
    case 5:
        NOTE(dcmem_test_view_verify(view, (dcmem_test_pattern)(random_of(me) % 9), 0), USE, DCMEM_E_MISALIGNED);
        break;
    case 6:
        NOTE(
            dcmem_test_check_copy(NULL, view, random_of(me) % 70, any_view(me), random_of(me) % 70, random_of(me) % 70),
            USE, DCMEM_E_OUT_OF_RANGE, DCMEM_E_OVERFLOW);
        break;
    case 7:
        NOTE(dcmem_buffer_copy(view, any_view(me)), USE);
        break;
    case 8:
        NOTE(dcmem_buffer_fill(view, "abcd", (uint32_t)(random_of(me) % 5)), USE, DCMEM_E_MISALIGNED);
        break;
    case 9:
        NOTE(dcmem_buffer_copy_out(host, view, 0), USE);
        break;
    case 10:
        result = dcmem_access_begin(&access, view, (dcmem_side)(random_of(me) % 3), DCMEM_ACCESS_UPDATE, 0);
        note(me, "begin", result, (const dcmem_result[]){DCMEM_OK, USE, DCMEM_OK});
        if (!result)
            NOTE(dcmem_access_end(&access), HANDLE);
        break;
    case 11:
        result = dcmem_buffer_map(&map, view, DCMEM_MAP_WRITE);
        note(me, "map", result, (const dcmem_result[]){DCMEM_OK, USE, DCMEM_OK});
        if (!result)
            NOTE(dcmem_buffer_unmap(&map), HANDLE);
        break;
    case 12:
        NOTE(dcmem_buffer_prefetch(view, (dcmem_side)(random_of(me) % 2)), USE);
        break;
    default:
        NOTE(dcmem_buffer_destroy(dcmem_test_buffer_buffer(any_handle(me))), HANDLE, DCMEM_E_BUSY);
    }
}

static void *
play(void *user)
{
    player *me = user;
    for (uint64_t i = 0; i < me->ground->rounds && !me->failed; i++)
        play_once(me);
    return NULL;
}

static void
misuse_by_threads(uint64_t rounds)
{
    playground ground = {.rounds = rounds};
    player players[THREADS];
    pthread_t threads[THREADS];
    EXPECT_OK(dcmem_rig_begin(&ground.rig, NULL));
    for (int i = 0; i < THREADS; i++) {
        players[i] = (player){.ground = &ground, .seed = 0x9e3779b97f4a7c15u + (uint64_t)i};
        EXPECT_EQ(pthread_create(&threads[i], NULL, play, &players[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        if (players[i].failed)
            fail_msg("%s gave %s", players[i].failed, dcmem_result_name(players[i].result));
    for (int i = 0; i < 8; i++) {
        dcmem_test_buffer *left = (dcmem_test_buffer *)atomic_load(&ground.handles[i]);
        if (dcmem_test_buffer_buffer(left))
            EXPECT_OK(dcmem_test_buffer_destroy(left));
    }
    EXPECT_OK(dcmem_rig_end(&ground.rig));
}

TEST(threads__that_do_everything_wrong_are_only_refused)
{
    misuse_by_threads(400);
}

LONG_TEST(threads__that_do_everything_wrong_are_only_refused__for_long)
{
    misuse_by_threads(test_scaled(50000));
}
