/* rows_test.c: rows against a model that has a mark for every single byte. */
#include "buffer/range.h"
#include "buffer/rows.h"
#include "test.h"

#define MOST_BYTES 64u

typedef struct model {
    uint8_t is_in[MOST_BYTES];
} model;

static model
model_of(const dcmi_rows *rows)
{
    model it = {{0}};
    for (uint64_t slice = 0; slice < rows->slices; slice++)
        for (uint64_t row = 0; row < rows->rows; row++)
            memset(&it.is_in[rows->begin + slice * rows->slice_pitch + row * rows->row_pitch], 1, rows->row_bytes);
    return it;
}

/* Calls `visit` with every box of up to 3 x 3 rows of up to 3 bytes, gaps of up to 2 among rows and slices, from the
 * first bytes on. */
static void
each_box(void (*visit)(const dcmi_rows *rows))
{
    for (unsigned n = 0; n < 3 * 3 * 3 * 3 * 3 * 3; n++) {
        dcmi_rows rows = {.begin = n % 3, .row_bytes = 1 + n / 3 % 3, .rows = 1 + n / 9 % 3, .slices = 1 + n / 27 % 3};
        rows.row_pitch = rows.row_bytes + n / 81 % 3;
        rows.slice_pitch = (rows.rows - 1) * rows.row_pitch + rows.row_bytes + n / 243 % 3;
        visit(&rows);
    }
}

/* How many runs of marked bytes there are: the fewest rows of one length need no fewer. */
static uint64_t
runs_of(const model *it)
{
    uint64_t runs = 0;
    for (unsigned i = 0; i < MOST_BYTES; i++)
        runs += it->is_in[i] && (i == 0 || !it->is_in[i - 1]);
    return runs;
}

static void
expect_joined(const dcmi_rows *rows)
{
    dcmi_rows joined = dcmi_rows_join(rows);
    model before = model_of(rows), after = model_of(&joined);
    EXPECT(memcmp(&before, &after, sizeof before) == 0);
    EXPECT_EQ(dcmi_rows_bytes(&joined), dcmi_rows_bytes(rows));
    EXPECT_EQ(dcmi_rows_end(&joined), dcmi_rows_end(rows));
    /* Slices that touch while their rows do not stay: their runs are of different lengths. */
    bool is_regular = rows->rows == 1 || rows->row_pitch == rows->row_bytes || rows->slices == 1 ||
                      rows->slice_pitch > (rows->rows - 1) * rows->row_pitch + rows->row_bytes;
    if (is_regular)
        EXPECT_EQ(dcmi_rows_count(&joined), runs_of(&before));
}

TEST(rows__joined_are_the_same_bytes_in_as_few_rows_as_can_be)
{
    each_box(expect_joined);
}

static void
expect_same_order(const dcmi_rows *rows)
{
    dcmi_rows tight = {.begin = 5, .row_bytes = rows->row_bytes, .rows = rows->rows, .slices = rows->slices};
    tight.row_pitch = tight.row_bytes;
    tight.slice_pitch = tight.row_bytes * tight.rows;
    dcmi_rows a = *rows, b = tight;
    dcmi_rows_join_both(&a, &b);
    EXPECT_EQ(dcmi_rows_count(&a), dcmi_rows_count(&b));
    EXPECT_EQ(a.row_bytes, b.row_bytes);
    EXPECT_LE(dcmi_rows_count(&a), dcmi_rows_count(rows));
    dcmi_rows joined = dcmi_rows_join(rows);
    EXPECT_EQ(dcmi_rows_count(&a), dcmi_rows_count(&joined));
    /* Byte number n of the one box is still beside byte number n of the other. */
    uint64_t n = 0;
    for (uint64_t i = 0; i < dcmi_rows_count(&a); i++)
        for (uint64_t byte = 0; byte < a.row_bytes; byte++, n++) {
            uint64_t row = n / rows->row_bytes;
            EXPECT_EQ(dcmi_rows_at(&a, i) + byte, dcmi_rows_at(rows, row) + n % rows->row_bytes);
            EXPECT_EQ(dcmi_rows_at(&b, i) + byte, 5 + n);
        }
}

TEST(rows__joined_with_those_of_another_box_stay_beside_them)
{
    each_box(expect_same_order);
}

static void
expect_touch(const dcmi_rows *rows)
{
    model it = model_of(rows);
    for (unsigned begin = 0; begin < MOST_BYTES; begin++) {
        bool touches = false;
        for (unsigned end = begin + 1; end <= MOST_BYTES; end++) {
            touches |= it.is_in[end - 1];
            if (dcmi_rows_touch(rows, begin, end) != touches)
                TEST_FAIL("bytes %u to %u", begin, end);
        }
    }
}

TEST(rows__touch_a_range_when_one_of_their_bytes_lies_in_it)
{
    each_box(expect_touch);
}

static dcmi_rows other;

static void
expect_overlap(const dcmi_rows *rows)
{
    for (other.begin = 0; other.begin < 12; other.begin++) {
        model a = model_of(rows), b = model_of(&other);
        bool overlaps = false;
        for (unsigned i = 0; i < MOST_BYTES; i++)
            overlaps |= a.is_in[i] && b.is_in[i];
        EXPECT_EQ(dcmi_rows_overlap(rows, &other), overlaps);
        EXPECT_EQ(dcmi_rows_overlap(&other, rows), overlaps);
    }
}

TEST(rows__overlap_when_two_boxes_share_a_byte)
{
    static const dcmi_rows others[] = {
        {.row_bytes = 1, .rows = 1, .slices = 1},
        {.row_bytes = 2, .row_pitch = 4, .rows = 3, .slices = 1},
        {.row_bytes = 1, .row_pitch = 3, .slice_pitch = 10, .rows = 2, .slices = 3},
        {.row_bytes = 2, .row_pitch = 2, .slice_pitch = 7, .rows = 3, .slices = 2},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        other = others[i];
        each_box(expect_overlap);
    }
}

/* ---- States of rows ---- */

static uint32_t
random_below(uint32_t *seed, uint32_t limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * limit) >> 32);
}

/* One pass over all rows, in just the room that its header asks for, against a change a row. */
static void
expect_mapped(const dcmi_rows *rows)
{
    static uint32_t seed = 1;
    const uint64_t rubbish = dcmi_range_word(3, DCMI_STATE_LOST);
    uint64_t bytes = dcmi_rows_end(rows) + random_below(&seed, 4), room = 2 * dcmi_rows_count(rows);
    uint64_t words[3 * MOST_BYTES], once[3 * MOST_BYTES];
    dcmi_ranges slow = {words, 0, 3 * MOST_BYTES}, fast = {once, 0, 0};
    dcmi_state after[DCMI_STATE_COUNT];
    dcmi_ranges_set(&slow, bytes, DCMI_STATE_UNWRITTEN);
    for (int step = 0; step < 6; step++) {
        for (int state = 0; state < DCMI_STATE_COUNT; state++)
            after[state] = (dcmi_state)random_below(&seed, DCMI_STATE_COUNT);
        uint64_t begin = random_below(&seed, (uint32_t)bytes);
        dcmi_ranges_map(&slow, begin, begin + 1 + random_below(&seed, (uint32_t)(bytes - begin)), after);
    }
    memcpy(once, words, slow.count * sizeof words[0]);
    fast.count = slow.count;
    fast.capacity = fast.count + (uint32_t)room;
    once[fast.capacity] = rubbish;

    for (uint64_t i = 0; i < dcmi_rows_count(rows); i++)
        dcmi_ranges_map(&slow, dcmi_rows_at(rows, i), dcmi_rows_at(rows, i) + rows->row_bytes, after);
    dcmi_ranges_map_rows(&fast, rows, after);
    EXPECT_EQ(fast.count, slow.count);
    EXPECT(memcmp(once, words, slow.count * sizeof words[0]) == 0);
    EXPECT(once[fast.capacity] == rubbish);
}

TEST(rows__change_states_in_one_pass_as_one_after_the_other_would)
{
    for (int round = 0; round < 10; round++)
        each_box(expect_mapped);
}
