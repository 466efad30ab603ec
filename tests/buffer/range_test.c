/* range_test.c: the list of ranges against a model that keeps a state for every single byte. */
#include "buffer/range.h"
#include "test.h"

#include <stdlib.h>

#define MOST_BYTES 96u

typedef struct model {
    uint64_t bytes;
    uint8_t states[MOST_BYTES];
} model;

static uint32_t
random_below(uint32_t *seed, uint32_t limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * limit) >> 32);
}

static void
expect_same(const dcmi_ranges *ranges, const model *of)
{
    uint64_t end = 0, runs = 0;
    EXPECT(!dcmi_ranges_check(ranges, of->bytes));
    for (uint64_t i = 0; i < of->bytes; i++) {
        EXPECT_EQ(dcmi_ranges_at(&end, ranges, i), of->states[i]);
        EXPECT(end > i);
        runs += i == 0 || of->states[i] != of->states[i - 1];
        if (end < of->bytes)
            EXPECT_NE(of->states[end], of->states[i]);
    }
    EXPECT_EQ(ranges->count, runs);
}

static void
map_both(dcmi_ranges *ranges, model *of, uint64_t begin, uint64_t end, const dcmi_state *after)
{
    dcmi_ranges_map(ranges, begin, end, after);
    for (uint64_t i = begin; i < end; i++)
        of->states[i] = (uint8_t)after[of->states[i]];
}

static void
resize_both(dcmi_ranges *ranges, model *of, uint64_t bytes)
{
    dcmi_ranges_resize(ranges, bytes);
    for (uint64_t i = of->bytes; i < bytes; i++)
        of->states[i] = DCMI_STATE_UNWRITTEN;
    of->bytes = bytes;
}

static void
random_step(dcmi_ranges *ranges, model *of, uint32_t *seed)
{
    if (random_below(seed, 16) == 0) {
        resize_both(ranges, of, 1 + random_below(seed, MOST_BYTES));
        return;
    }
    dcmi_state after[DCMI_STATE_COUNT];
    bool is_constant = random_below(seed, 2);
    for (int i = 0; i < DCMI_STATE_COUNT; i++)
        after[i] = is_constant && i > 0 ? after[0] : (dcmi_state)random_below(seed, DCMI_STATE_COUNT);
    uint64_t begin = random_below(seed, (uint32_t)of->bytes);
    uint64_t end = begin + 1 + random_below(seed, (uint32_t)(of->bytes - begin));
    map_both(ranges, of, begin, end, after);
}

TEST(ranges__agree_with_a_state_for_each_byte_after_random_changes)
{
    uint64_t words[MOST_BYTES + 2];
    dcmi_ranges ranges = {words, 0, MOST_BYTES + 2};
    for (uint32_t seed = 1; seed <= 200; seed++) {
        uint32_t random = seed;
        model of = {.bytes = 1 + random_below(&random, MOST_BYTES)};
        dcmi_ranges_set(&ranges, of.bytes, DCMI_STATE_UNWRITTEN);
        for (int step = 0; step < 60; step++) {
            random_step(&ranges, &of, &random);
            expect_same(&ranges, &of);
        }
    }
}

TEST(ranges__need_room_for_two_more_than_they_are_and_no_more)
{
    uint64_t words[MOST_BYTES + 2];
    dcmi_ranges ranges = {words, 0, MOST_BYTES + 2};
    uint32_t seed = 7;
    model of = {.bytes = MOST_BYTES};
    dcmi_ranges_set(&ranges, of.bytes, DCMI_STATE_UNWRITTEN);
    for (int step = 0; step < 3000; step++) {
        uint32_t before = ranges.count;
        /* With CHECK on, more than this is a broken invariant. */
        ranges.capacity = before + 2;
        random_step(&ranges, &of, &seed);
        EXPECT_LE(ranges.count, before + 2);
    }
}

/* Nothing is merged but what is equal: the worst list is as long as the buffer has bytes. */
TEST(ranges__never_claim_a_byte_that_was_not_written)
{
    uint64_t words[MOST_BYTES + 2];
    dcmi_ranges ranges = {words, 0, MOST_BYTES + 2};
    const dcmi_state written[DCMI_STATE_COUNT] = {DCMI_STATE_HOST, DCMI_STATE_HOST, DCMI_STATE_HOST, DCMI_STATE_HOST,
                                                  DCMI_STATE_HOST};
    model of = {.bytes = MOST_BYTES};
    dcmi_ranges_set(&ranges, of.bytes, DCMI_STATE_UNWRITTEN);
    for (uint64_t i = 0; i < MOST_BYTES; i += 2)
        map_both(&ranges, &of, i, i + 1, written);
    EXPECT_EQ(ranges.count, MOST_BYTES);
    expect_same(&ranges, &of);
    for (uint64_t i = 1; i < MOST_BYTES; i += 2)
        map_both(&ranges, &of, i, i + 1, written);
    EXPECT_EQ(ranges.count, 1);
}

TEST(ranges__reach_beyond_4_gib)
{
    uint64_t words[8], end;
    dcmi_ranges ranges = {words, 0, 8};
    const dcmi_state written[DCMI_STATE_COUNT] = {DCMI_STATE_DEVICE, DCMI_STATE_DEVICE, DCMI_STATE_DEVICE,
                                                  DCMI_STATE_DEVICE, DCMI_STATE_DEVICE};
    uint64_t bytes = 6ull << 40, begin = 5ull << 32;
    dcmi_ranges_set(&ranges, bytes, DCMI_STATE_UNWRITTEN);
    dcmi_ranges_map(&ranges, begin, begin + 3, written);
    EXPECT_EQ(dcmi_ranges_at(&end, &ranges, begin - 1), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(end, begin);
    EXPECT_EQ(dcmi_ranges_at(&end, &ranges, begin + 2), DCMI_STATE_DEVICE);
    EXPECT_EQ(end, begin + 3);
    EXPECT_EQ(dcmi_ranges_at(&end, &ranges, begin + 3), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(end, bytes);
}

TEST(ranges__check_names_every_broken_invariant)
{
    uint64_t words[4] = {dcmi_range_word(10, DCMI_STATE_HOST), dcmi_range_word(20, DCMI_STATE_BOTH)};
    dcmi_ranges ranges = {words, 2, 4};
    EXPECT(!dcmi_ranges_check(&ranges, 20));
    EXPECT(strstr(dcmi_ranges_check(&ranges, 21), "does not end"));
    words[1] = dcmi_range_word(20, DCMI_STATE_HOST);
    EXPECT(strstr(dcmi_ranges_check(&ranges, 20), "one state"));
    words[0] = dcmi_range_word(20, DCMI_STATE_LOST);
    EXPECT(strstr(dcmi_ranges_check(&ranges, 20), "rise"));
    ranges.count = 0;
    EXPECT(strstr(dcmi_ranges_check(&ranges, 20), "empty"));
}
