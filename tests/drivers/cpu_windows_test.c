/* cpu_windows_test.c: room in windows is given once, next to what is asked for, and comes back from the end. */
#include "base/os.h"
#include "drivers/cpu/windows.h"
#include "test.h"

#include <stdlib.h>

#define PAGE  (uint64_t) DCMI_PAGE
#define PAGES *PAGE

static dcmi_windows
one_window(uint64_t first_page, uint64_t pages, uint32_t lane)
{
    dcmi_windows windows = {0};
    dcmi_range rest;
    dcmi_windows_add(&rest, &windows, (dcmi_range){first_page PAGES, (first_page + pages) PAGES}, DCMEM_KIND_DEVICE,
                     lane);
    EXPECT_EQ(rest.end, 0);
    return windows;
}

static dcmem_acquire
pages_of_lane(uint64_t pages, uint32_t lane)
{
    return (dcmem_acquire){.bytes = pages PAGES, .flags = DCMEM_ACQUIRE_GROW, .lane = lane};
}

TEST(windows__extents_of_a_lane_lie_one_behind_the_other)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire request = pages_of_lane(3, 1);
    dcmi_range first, second, gap;
    EXPECT(dcmi_windows_place(&first, &gap, &windows, &request));
    EXPECT(dcmi_windows_place(&second, &gap, &windows, &request));
    EXPECT_EQ(first.begin, 100 PAGES);
    EXPECT_EQ(dcmi_range_bytes(first), 3 PAGES);
    EXPECT_EQ(second.begin, first.end);
    EXPECT_EQ(dcmi_range_bytes(gap), 0);
}

TEST(windows__another_lane_or_kind_finds_no_room)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire other_lane = pages_of_lane(1, 2), other_kind = pages_of_lane(1, 1);
    dcmi_range out, gap;
    other_kind.kind = DCMEM_KIND_PINNED;
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &other_lane));
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &other_kind));
}

TEST(windows__the_last_page_is_never_given_out)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire all = pages_of_lane(50, 1), all_but_one = pages_of_lane(49, 1), one = pages_of_lane(1, 1);
    dcmi_range out, gap;
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &all));
    EXPECT(dcmi_windows_place(&out, &gap, &windows, &all_but_one));
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &one));
    EXPECT(dcmi_windows_are_sane(&windows));
}

TEST(windows__sizes_near_the_end_of_all_addresses_do_not_wrap)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire request = pages_of_lane(1, 1);
    dcmi_range out, gap;
    request.bytes = UINT64_MAX - 200 PAGES + 1;
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &request));
    request.bytes = UINT64_MAX - 50 PAGES + 1;
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &request));
    request.bytes = PAGE;
    request.alignment = 1ull << 63;
    EXPECT(!dcmi_windows_place(&out, &gap, &windows, &request));
    dcmi_windows high = one_window((UINT64_MAX >> DCMI_PAGE_SHIFT) - 20, 10, 1);
    EXPECT(!dcmi_windows_place(&out, &gap, &high, &request));
}

TEST(windows__what_alignment_leaves_out_is_told)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire request = pages_of_lane(1, 1);
    dcmi_range out, gap;
    request.alignment = 16 PAGES;
    EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
    EXPECT_EQ(out.begin, 112 PAGES);
    EXPECT_EQ(gap.begin, 100 PAGES);
    EXPECT_EQ(gap.end, 112 PAGES);
    request.alignment = 0;
    EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
    EXPECT_EQ(out.begin, 113 PAGES);
    EXPECT_EQ(dcmi_range_bytes(gap), 0);
}

TEST(windows__near_chooses_among_the_windows_of_a_lane_and_least_room_without_it)
{
    for (int is_turned = 0; is_turned < 2; is_turned++) {
        dcmi_windows windows = {0};
        dcmi_range rest, out, gap;
        dcmi_range roomy = {100 PAGES, 150 PAGES}, narrow = {200 PAGES, 220 PAGES};
        dcmi_windows_add(&rest, &windows, is_turned ? narrow : roomy, DCMEM_KIND_DEVICE, 1);
        dcmi_windows_add(&rest, &windows, is_turned ? roomy : narrow, DCMEM_KIND_DEVICE, 1);

        dcmem_acquire request = pages_of_lane(2, 1);
        request.near = 100 PAGES;
        EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
        EXPECT_EQ(out.begin, 100 PAGES);
        request.near = 200 PAGES;
        EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
        EXPECT_EQ(out.begin, 200 PAGES);
        request.near = 777 PAGES;
        EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
        EXPECT_EQ(out.begin, 202 PAGES);
        request.near = 202 PAGES; /* Taken by now. */
        EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
        EXPECT_EQ(out.begin, 204 PAGES);
        request = pages_of_lane(30, 1);
        EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));
        EXPECT_EQ(out.begin, 102 PAGES);
    }
}

TEST(windows__the_last_extent_s_room_comes_back_and_a_hole_does_not)
{
    dcmi_windows windows = one_window(100, 50, 1);
    dcmem_acquire request = pages_of_lane(3, 1);
    dcmi_range first, second, third, gap;
    EXPECT(dcmi_windows_place(&first, &gap, &windows, &request));
    EXPECT(dcmi_windows_place(&second, &gap, &windows, &request));

    EXPECT(!dcmi_windows_continue_at(&windows, first.end));
    EXPECT(!dcmi_windows_adopt(&windows, first));
    EXPECT(dcmi_windows_continue_at(&windows, second.end));
    EXPECT(dcmi_windows_adopt(&windows, second));
    EXPECT(dcmi_windows_place(&third, &gap, &windows, &request));
    EXPECT_EQ(third.begin, second.begin);

    /* The tail of an extent, and several at once. */
    EXPECT(dcmi_windows_adopt(&windows, (dcmi_range){third.end - PAGE, third.end}));
    EXPECT(dcmi_windows_adopt(&windows, (dcmi_range){first.begin, third.end - PAGE}));
    EXPECT(dcmi_windows_continue_at(&windows, 100 PAGES));
    EXPECT(!dcmi_windows_continue_at(&windows, 0));
}

TEST(windows__a_full_table_forgets_the_one_with_least_room)
{
    dcmi_windows windows = {0};
    dcmi_range rest, out, gap;
    for (uint64_t i = 0; i < DCMI_WINDOW_COUNT; i++) {
        dcmi_windows_add(&rest, &windows, (dcmi_range){(i * 1000) PAGES, (i * 1000 + 900 - i) PAGES}, DCMEM_KIND_DEVICE,
                         (uint32_t)i);
        EXPECT_EQ(rest.end, 0);
    }
    EXPECT(dcmi_windows_are_sane(&windows));
    dcmem_acquire request = pages_of_lane(500, 20);
    EXPECT(dcmi_windows_place(&out, &gap, &windows, &request));

    dcmi_windows_add(&rest, &windows, (dcmi_range){900000 PAGES, 900010 PAGES}, DCMEM_KIND_DEVICE, 99);
    EXPECT_EQ(rest.begin, out.end);
    EXPECT_EQ(rest.end, (20 * 1000 + 880) PAGES);
    EXPECT(!dcmi_windows_continue_at(&windows, out.end));
    dcmi_windows_add(&rest, &windows, (dcmi_range){800000 PAGES, 800100 PAGES}, DCMEM_KIND_DEVICE, 98);
    EXPECT_EQ(rest.begin, 900000 PAGES);
}

TEST(windows__sanity_sees_empty_ones_and_overlaps)
{
    dcmi_windows windows = one_window(100, 50, 1);
    EXPECT(dcmi_windows_are_sane(&windows));
    windows.at[5] = (dcmi_window){149 PAGES, 160 PAGES, DCMEM_KIND_DEVICE, 0};
    EXPECT(!dcmi_windows_are_sane(&windows));
    windows.at[5] = (dcmi_window){150 PAGES, 160 PAGES, DCMEM_KIND_DEVICE, 0};
    EXPECT(dcmi_windows_are_sane(&windows));
    windows.at[5].committed = 160 PAGES;
    EXPECT(!dcmi_windows_are_sane(&windows));
}

TEST(windows__all_of_a_process_take_less_than_8_tebibytes_by_themselves)
{
    uint64_t total = 0;
    for (uint32_t open = 0; open < 100000; open++) {
        uint64_t bytes = dcmi_window_bytes(open);
        EXPECT(open == 0 || bytes <= dcmi_window_bytes(open - 1));
        EXPECT(bytes >= 64ull << 20);
        total += open < 4096 ? bytes : 0;
    }
    EXPECT(total < 8ull << 40);
}

/* ---- Against a model: who owns each page ---- */

enum { MODEL_PAGES = 4096, MODEL_LIVE = 64 };

typedef struct model {
    dcmi_windows windows;
    signed char owner[MODEL_PAGES]; /* -1 nobody, 0 a window, 1 an extent */
    dcmi_range live[MODEL_LIVE];
    unsigned live_count;
    uint64_t next_page; /* for new windows */
} model;

static void
own(model *all, dcmi_range range, signed char was, signed char is)
{
    for (uint64_t page = range.begin >> DCMI_PAGE_SHIFT; page < range.end >> DCMI_PAGE_SHIFT; page++) {
        EXPECT_EQ(all->owner[page], was);
        all->owner[page] = is;
    }
}

static void
model_grow(model *all, unsigned random)
{
    dcmi_range out, gap, rest;
    dcmem_acquire request = pages_of_lane(1 + random % 7, random / 7 % 3);
    request.alignment = (1ull << random / 21 % 4) * PAGE;
    if (random & 64 && all->live_count)
        request.near = all->live[random % all->live_count].end;
    if (all->live_count == MODEL_LIVE)
        return;

    if (!dcmi_windows_place(&out, &gap, &all->windows, &request)) {
        dcmi_range reserved = {all->next_page PAGES, (all->next_page + 20) PAGES};
        if (all->next_page + 20 > MODEL_PAGES)
            return;
        all->next_page += 20;
        own(all, reserved, -1, 0);
        dcmi_windows_add(&rest, &all->windows, reserved, request.kind, request.lane);
        own(all, rest, 0, -1);
        EXPECT(dcmi_windows_place(&out, &gap, &all->windows, &request));
    }
    own(all, gap, 0, -1);
    own(all, out, 0, 1);
    EXPECT_EQ(out.begin % request.alignment, 0);
    EXPECT_EQ(dcmi_range_bytes(out), request.bytes);
    all->live[all->live_count++] = out;
}

/* A whole extent, its head or its tail. */
static void
model_release(model *all, unsigned random)
{
    if (!all->live_count)
        return;
    dcmi_range *live = &all->live[random % all->live_count], part = *live;
    uint64_t middle = live->begin + (random / 64 % (dcmi_range_bytes(*live) >> DCMI_PAGE_SHIFT)) * PAGE;
    if (random & 1 && middle > live->begin)
        part.begin = live->end = middle;
    else if (random & 2 && middle > live->begin)
        part.end = live->begin = middle;
    else
        *live = all->live[--all->live_count];

    bool is_last = dcmi_windows_continue_at(&all->windows, part.end);
    EXPECT_EQ(dcmi_windows_adopt(&all->windows, part), is_last);
    own(all, part, 1, is_last ? 0 : -1);
}

LONG_TEST(windows__no_page_has_two_owners_whatever_is_done)
{
    static model all;
    srandom(7);
    for (uint64_t round = test_scaled(200); round; round--) {
        memset(&all, 0, sizeof all);
        memset(all.owner, -1, sizeof all.owner);
        for (int step = 0; step < 2000; step++) {
            unsigned random_bits = (unsigned)random();
            if (random_bits % 5 < 3)
                model_grow(&all, random_bits / 5);
            else
                model_release(&all, random_bits / 5);
            EXPECT(dcmi_windows_are_sane(&all.windows));
        }
    }
}
