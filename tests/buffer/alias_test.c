/* alias_test.c: slices and casts are windows onto one memory: what is written through one is read through every other,
 * whichever side it was written on. */
#include "devices.h"

#define BYTES 4096u

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

typedef struct random_source {
    uint64_t state;
} random_source;

static uint64_t
below(random_source *source, uint64_t limit)
{
    source->state = source->state * 6364136223846793005u + 1442695040888963407u;
    return (source->state >> 33) % limit;
}

/* A view, and where it must begin: reckoned here, not read from the view. */
typedef struct window {
    dcmem_view view;
    uint64_t begin;
} window;

/* A window somewhere in the buffer, cut and cast a few times; some are the whole. */
static window
any_window(dcmem_buffer *buffer, random_source *source)
{
    static const uint64_t element_bytes[] = {1, 2, 4, 8, 16};
    window it = {.view = dcmem_view_whole(buffer)};
    dcmem_view next;
    for (uint64_t cuts = below(source, 4); cuts > 0; cuts--) {
        uint64_t count = it.view.bytes / it.view.element_bytes, first = below(source, count);
        EXPECT_OK(dcmem_view_slice(&next, it.view, first, 1 + below(source, count - first)));
        it.begin += first * it.view.element_bytes;
        it.view = next;
        /* What does not divide is refused and leaves the window as it was. */
        if (dcmem_view_cast(&next, it.view, element_bytes[below(source, 5)]) == DCMEM_OK)
            it.view = next;
    }
    return it;
}

/* Writes through a window by one of the five ways there are. */
static void
write_through(const device *on, dcmem_view view, int value, uint64_t way)
{
    unsigned char bytes[BYTES];
    memset(bytes, value, sizeof bytes);
    dcmem_access access;
    dcmem_map map;
    switch (way) {
    case 0:
        EXPECT_OK(dcmem_buffer_copy_in(view, bytes, 0));
        break;
    case 1:
        EXPECT_OK(dcmem_buffer_fill(view, bytes, 1));
        break;
    case 2:
        EXPECT_OK(dcmem_buffer_map(&map, view, DCMEM_MAP_WRITE));
        memset(map.host, value, map.bytes);
        EXPECT_OK(dcmem_buffer_unmap(&map));
        break;
    case 3:
        EXPECT_OK(dcmem_access_begin(&access, view, H, DCMEM_ACCESS_UPDATE, 0));
        memset(access.host, value, view.bytes);
        EXPECT_OK(dcmem_access_end(&access));
        break;
    default:
        EXPECT_OK(dcmem_access_begin(&access, view, D, DCMEM_ACCESS_UPDATE, 0));
        EXPECT_OK(dcmem_simulated_write(on->simulated, 0, &access.native, 0, bytes, view.bytes));
        EXPECT_OK(dcmem_access_end(&access));
        break;
    }
}

static void
expect_seen_through(window it, const unsigned char *model, uint64_t way)
{
    unsigned char bytes[BYTES];
    dcmem_map map;
    if (way == 0) {
        EXPECT_OK(dcmem_buffer_copy_out(bytes, it.view, 0));
        EXPECT_EQ(memcmp(bytes, model + it.begin, it.view.bytes), 0);
    } else {
        EXPECT_OK(dcmem_buffer_map(&map, it.view, DCMEM_MAP_READ));
        EXPECT_EQ(memcmp(map.host, model + it.begin, it.view.bytes), 0);
        EXPECT_OK(dcmem_buffer_unmap(&map));
    }
}

static void
expect_one_memory(const dcmem_simulated_profile *profile, uint64_t rounds)
{
    device on = device_open(profile);
    dcmem_buffer *buffer = buffer_of(on.manager, BYTES);
    random_source source = {profile->flags + 1};
    unsigned char model[BYTES] = {0};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), model, 1));
    for (uint64_t i = 0; i < rounds; i++) {
        window it = any_window(buffer, &source);
        write_through(&on, it.view, (int)(i % 255 + 1), below(&source, 5));
        memset(model + it.begin, (int)(i % 255 + 1), it.view.bytes);
        expect_seen_through(any_window(buffer, &source), model, below(&source, 2));
    }
    expect_seen_through((window){.view = dcmem_view_whole(buffer)}, model, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(alias__writes_through_any_window_are_seen_through_any_other)
{
    expect_one_memory(&split_profile, 200);
    expect_one_memory(&unified_profile, 200);
}

LONG_TEST(alias__writes_through_any_window_are_seen_through_any_other_for_long)
{
    expect_one_memory(&split_profile, test_scaled(20000));
    expect_one_memory(&unified_profile, test_scaled(20000));
}

TEST(alias__overlapping_windows_share_the_bytes_that_they_have_in_common)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 300);
    char bytes[300];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), ".", 1));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 200), "a", 1));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(buffer, 100, 200), memset(bytes, 'b', 200), 0));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 0, 200), 0));
    EXPECT(are_all(bytes, 'a', 100));
    EXPECT(are_all(bytes + 100, 'b', 100));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* The host side is older by then, and stays so where the cast does not reach. */
TEST(alias__a_cast_of_bytes_that_are_newer_on_the_device_reads_those)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 64);
    dcmem_access access;
    dcmem_view numbers, second;
    dcmem_map map;
    uint32_t values[16];
    for (uint32_t i = 0; i < 16; i++)
        values[i] = i;
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
    memset(map.host, 0xee, 64);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), D, DCMEM_ACCESS_WRITE, 0));
    EXPECT_OK(dcmem_simulated_write(on.simulated, 0, &access.native, 0, values, sizeof values));
    EXPECT_OK(dcmem_access_end(&access));

    EXPECT_OK(dcmem_view_typed(&numbers, buffer, 4));
    EXPECT_OK(dcmem_view_slice(&second, numbers, 8, 8));
    EXPECT_OK(dcmem_buffer_map(&map, second, DCMEM_MAP_READ));
    EXPECT_EQ(memcmp(map.host, values + 8, 32), 0);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_EQ(stats_of(on.manager).copied_device_to_host_bytes, 32);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* Offsets that are alike in their lower 32 bits, on both sides. */
TEST(alias__bytes_4_gib_apart_are_not_the_same)
{
    static const dcmem_simulated_profile large = {
        .size = sizeof large, .total_bytes = 16ull << 30, .host_bytes = 16ull << 30};
    device on = device_open(&large);
    dcmem_buffer *buffer = buffer_of(on.manager, 6ull << 30);
    char bytes[100];
    for (uint64_t gib = 0; gib < 6; gib++)
        write_through(&on, view_of(buffer, gib << 30, 100), (int)('a' + gib), gib % 3);
    for (uint64_t gib = 0; gib < 6; gib++) {
        EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, gib << 30, 100), 0));
        EXPECT(are_all(bytes, (int)('a' + gib), 100));
    }
    EXPECT_EQ(info_of(buffer).written_bytes, 600);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* Every other row of a matrix changes on the device: those rows come back, and nothing between them. */
TEST(stride__only_the_rows_that_changed_are_copied)
{
    enum { ROWS = 16, ROW = 256 };
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, ROWS * ROW);
    unsigned char model[ROWS * ROW], bytes[ROWS * ROW];
    memset(model, 'h', sizeof model);
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), model, 0));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    dcmem_stats before = stats_of(on.manager);
    for (unsigned row = 0; row < ROWS; row += 2) {
        write_through(&on, view_of(buffer, row * ROW, ROW), 'd', 4);
        memset(model + row * ROW, 'd', ROW);
    }
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    dcmem_stats after = stats_of(on.manager);
    EXPECT_EQ(after.copied_device_to_host_bytes - before.copied_device_to_host_bytes, ROWS / 2 * ROW);
    EXPECT_EQ(after.copied_host_to_device_bytes, before.copied_host_to_device_bytes);
    peek_side(bytes, buffer, H, 0, sizeof bytes);
    EXPECT_EQ(memcmp(bytes, model, sizeof bytes), 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(stride__rows_that_lie_side_by_side_are_copied_in_one)
{
    enum { ROWS = 16, ROW = 256 };
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, ROWS * ROW);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "h", 1));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    for (unsigned row = 0; row < ROWS; row++)
        write_through(&on, view_of(buffer, row * ROW, ROW), 'd', 4);
    dcmem_stats before = stats_of(on.manager);
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), H));
    EXPECT_EQ(stats_of(on.manager).copies_device_to_host - before.copies_device_to_host, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* A column, one element of each row: what lies between stays as it is on both sides. */
TEST(stride__a_column_is_written_and_its_neighbours_are_not)
{
    enum { ROWS = 32, ROW = 128, COLUMN = 40 };
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, ROWS * ROW);
    unsigned char bytes[ROWS * ROW];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "h", 1));
    for (unsigned row = 0; row < ROWS; row++)
        write_through(&on, view_of(buffer, row * ROW + COLUMN, 4), 'c', row % 5);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    for (unsigned i = 0; i < ROWS * ROW; i++)
        EXPECT_EQ(bytes[i], i % ROW >= COLUMN && i % ROW < COLUMN + 4 ? 'c' : 'h');
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
