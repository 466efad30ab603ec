/* cpu_move_test.c: every byte of a copy or fill arrives and no other is touched, whatever way is chosen; and the way is
 * chosen by what was measured. */
#include "drivers/cpu/move.h"

#include "base/stream.h"
#include "drivers/cpu/tuning.h"
#include "test.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

/* ---- The threshold ---- */

enum { NONE, LOSES, LEVEL, WINS, OUTCOMES };

static dcmi_measurement
measured(int outcome)
{
    switch (outcome) {
    case LOSES:
        return (dcmi_measurement){.cached_ns = 1000, .streamed_ns = 2000};
    case LEVEL: /* 5 % is not more than 5 % */
        return (dcmi_measurement){.cached_ns = 1050, .streamed_ns = 1000};
    case WINS:
        return (dcmi_measurement){.cached_ns = 1051, .streamed_ns = 1000};
    default:
        return (dcmi_measurement){0};
    }
}

/* The words of tuning.h, taken literally. */
static uint64_t
threshold_in_words(const int outcome[DCMI_TUNING_SIZES])
{
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++) {
        bool wins_on = outcome[i] == WINS;
        for (unsigned j = i; j < DCMI_TUNING_SIZES; j++)
            wins_on = wins_on && (outcome[j] == WINS || outcome[j] == NONE);
        if (wins_on)
            return MIB << i;
    }
    return UINT64_MAX;
}

TEST(tuning__the_threshold_is_the_smallest_size_from_which_streaming_wins)
{
    unsigned combinations = 1;
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++)
        combinations *= OUTCOMES;
    for (unsigned number = 0; number < combinations; number++) {
        int outcome[DCMI_TUNING_SIZES];
        dcmi_measurement measurements[DCMI_TUNING_SIZES];
        for (unsigned i = 0, rest = number; i < DCMI_TUNING_SIZES; i++, rest /= OUTCOMES) {
            outcome[i] = (int)(rest % OUTCOMES);
            measurements[i] = measured(outcome[i]);
        }
        EXPECT(dcmi_tuning_threshold(measurements) == threshold_in_words(outcome));
    }
}

TEST(tuning__times_as_long_as_can_be_do_not_wrap)
{
    dcmi_measurement measurements[DCMI_TUNING_SIZES] = {[5] = {UINT32_MAX, UINT32_MAX - 1}};
    EXPECT(dcmi_tuning_threshold(measurements) == UINT64_MAX);
    measurements[5].streamed_ns = 1;
    EXPECT(dcmi_tuning_threshold(measurements) == 32 * MIB);
}

TEST(tuning__each_size_belongs_to_the_largest_measured_one_within_it)
{
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++) {
        size_t size = dcmi_tuning_size(i);
        EXPECT_EQ(size, MIB << i);
        EXPECT_EQ(dcmi_tuning_index(size), i);
        EXPECT_EQ(dcmi_tuning_index(2 * size - 1), i);
    }
    EXPECT_EQ(dcmi_tuning_index(SIZE_MAX), DCMI_TUNING_SIZES - 1);
}

/* Two ways that say which was taken; how long each takes is up to the test. */
static unsigned cached_moves, streamed_moves;
static volatile unsigned cached_work, streamed_work;

static void
spend(unsigned work)
{
    for (volatile unsigned i = 0; i < work; i++)
        ;
}

static void
move_cached(char *to, const void *from, size_t bytes)
{
    (void)to;
    (void)from;
    (void)bytes;
    cached_moves++;
    spend(cached_work);
}

static void
move_streamed(char *to, const void *from, size_t bytes)
{
    (void)to;
    (void)from;
    (void)bytes;
    streamed_moves++;
    spend(streamed_work);
}

static bool
streams_at(dcmi_tuning *tuning, size_t bytes)
{
    char byte = 0;
    cached_moves = streamed_moves = 0;
    dcmi_tuning_move(tuning, &byte, &byte, bytes);
    EXPECT_EQ(cached_moves + streamed_moves, 1);
    return streamed_moves == 1;
}

TEST(tuning__each_size_is_measured_once_and_the_faster_way_is_taken)
{
    dcmi_tuning tuning = {.cached = move_cached, .streamed = move_streamed};
    char byte = 0;
    cached_work = 1000000;
    streamed_work = 0;
    EXPECT(!streams_at(&tuning, 1));
    EXPECT(!streams_at(&tuning, MIB - 1));
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++) {
        cached_moves = streamed_moves = 0;
        dcmi_tuning_move(&tuning, &byte, &byte, MIB << i);
        EXPECT_GE(cached_moves, 2);
        EXPECT_GE(streamed_moves, 2);
        EXPECT(streams_at(&tuning, MIB << i));
        EXPECT(streams_at(&tuning, (MIB << i) * 2 - 1) || i < DCMI_TUNING_SIZES - 1);
    }
    EXPECT(streams_at(&tuning, 1000 * MIB));
    EXPECT(!streams_at(&tuning, MIB - 1));
}

TEST(tuning__a_way_that_is_slower_is_never_taken)
{
    dcmi_tuning tuning = {.cached = move_cached, .streamed = move_streamed};
    char byte = 0;
    cached_work = 0;
    streamed_work = 1000000;
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++)
        dcmi_tuning_move(&tuning, &byte, &byte, MIB << i);
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++)
        EXPECT(!streams_at(&tuning, MIB << i));
}

/* ---- Streams ---- */

static const dcmi_stream *
supported(unsigned *index)
{
    const dcmi_stream *stream = dcmi_stream_at(*index);
    while (stream && !stream->is_supported())
        stream = dcmi_stream_at(++*index);
    ++*index;
    return stream;
}

static bool
yes(void)
{
    return true;
}

static bool
no(void)
{
    return false;
}

TEST(stream__the_best_is_the_first_that_is_supported)
{
    const dcmi_stream list[] = {{.is_supported = no}, {.is_supported = no}, {.is_supported = yes}};
    EXPECT(dcmi_stream_first(list) == &list[2]);
    EXPECT(dcmi_stream_first(list + 2) == &list[2]);
    unsigned index = 0;
    EXPECT(dcmi_stream_best() == supported(&index));
    unsigned last = 0;
    while (dcmi_stream_at(last))
        last++;
    EXPECT(dcmi_stream_at(last - 1)->is_supported());
    EXPECT(!dcmi_stream_at(UINT32_MAX));
}

enum { LINES = 9, GUARD = 64 };

static _Alignas(64) char target[LINES * DCMI_LINE + 2 * GUARD];
static char source[LINES * DCMI_LINE + DCMI_LINE];

static void
expect_guards(size_t begin, size_t end)
{
    for (size_t i = 0; i < sizeof target; i++)
        if (i < begin || i >= end)
            EXPECT_EQ(target[i], 0x55);
}

TEST(stream__each_width_moves_whole_lines_and_nothing_else)
{
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (char)(i * 7 + i / 251);
    unsigned index = 0;
    for (const dcmi_stream *stream; (stream = supported(&index));) {
        for (size_t lines = 0; lines <= LINES; lines++) {
            size_t bytes = lines * DCMI_LINE;
            for (size_t offset = 0; offset < DCMI_LINE; offset++) {
                memset(target, 0x55, sizeof target);
                stream->copy(target + GUARD, source + offset, bytes);
                EXPECT(memcmp(target + GUARD, source + offset, bytes) == 0);
                expect_guards(GUARD, GUARD + bytes);
            }
            for (int is_cached = 0; is_cached < 2; is_cached++) {
                memset(target, 0x55, sizeof target);
                (is_cached ? stream->fill_cached : stream->fill)(target + GUARD, source + 1, bytes);
                for (size_t i = 0; i < bytes; i++)
                    EXPECT_EQ(target[GUARD + i], source[1 + i % DCMI_LINE]);
                expect_guards(GUARD, GUARD + bytes);
            }
        }
    }
}

/* ---- Copies and fills ---- */

typedef struct arena {
    char *to;
    char *from;
    size_t bytes;
} arena;

static arena
arena_make(size_t bytes)
{
    arena all = {.bytes = bytes + 2 * GUARD};
    all.to = mmap(NULL, all.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    all.from = mmap(NULL, all.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(all.to != MAP_FAILED && all.from != MAP_FAILED);
    uint32_t random = 1;
    for (size_t i = 0; i < all.bytes; i++) {
        random = random * 1664525 + 1013904223;
        all.from[i] = (char)(random >> 24);
    }
    return all;
}

static void
arena_end(arena *all)
{
    munmap(all->to, all->bytes);
    munmap(all->from, all->bytes);
}

/* Bytes around what was written are what they were. */
static void
expect_around(const arena *all, size_t begin, size_t bytes)
{
    for (size_t i = begin > GUARD ? begin - GUARD : 0; i < begin; i++)
        EXPECT_EQ(all->to[i], 0x55);
    for (size_t i = begin + bytes; i < begin + bytes + GUARD && i < all->bytes; i++)
        EXPECT_EQ(all->to[i], 0x55);
}

static void
expect_copy(const arena *all, size_t to, size_t from, size_t bytes)
{
    memset(all->to, 0x55, bytes + to + GUARD);
    dcmi_cpu_copy(all->to + to, all->from + from, bytes);
    EXPECT(memcmp(all->to + to, all->from + from, bytes) == 0);
    expect_around(all, to, bytes);
}

TEST(move__copies_of_any_size_and_offset_are_exact)
{
    static const size_t sizes[] = {0, 1, 2, 15, 63, 64, 65, 127, 4096, 65537};
    arena all = arena_make(128 * 1024);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t to = 0; to < GUARD; to += 13)
            for (size_t from = 0; from < GUARD; from += 11)
                expect_copy(&all, to, from, sizes[i]);
    arena_end(&all);
}

TEST(move__large_copies_are_exact_when_measured_and_after)
{
    arena all = arena_make(2 * MIB + 100);
    for (size_t offset = 0; offset < 64; offset += 21)
        for (size_t bytes = MIB - 1; bytes <= 2 * MIB + 7; bytes += 349525)
            expect_copy(&all, offset, 63 - offset, bytes);
    arena_end(&all);
}

LONG_TEST(move__copies_of_each_measured_size_are_exact_when_measured_and_after)
{
    arena all = arena_make(64 * MIB + 100);
    for (size_t bytes = MIB; bytes <= 64 * MIB; bytes *= 2) {
        expect_copy(&all, 3, 0, bytes + 5);
        expect_copy(&all, 0, 17, bytes);
    }
    arena_end(&all);
}

static void
expect_fill(const arena *all, size_t to, size_t bytes, uint32_t pattern_bytes)
{
    static const unsigned char pattern[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    memset(all->to, 0x55, to + bytes + GUARD);
    dcmi_cpu_fill(all->to + to, bytes, pattern, pattern_bytes);
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)all->to[to + i] != pattern[i % pattern_bytes])
            fail_msg("pattern of %u, byte %zu of %zu at %zu", pattern_bytes, i, bytes, to);
    expect_around(all, to, bytes);
}

TEST(move__fills_repeat_the_pattern_from_the_first_byte_on)
{
    arena all = arena_make(16 * 1024);
    for (uint32_t pattern_bytes = 1; pattern_bytes <= 16; pattern_bytes *= 2)
        for (size_t to = 0; to < GUARD; to++)
            for (size_t bytes = 0; bytes < 300; bytes += pattern_bytes)
                expect_fill(&all, to, bytes, pattern_bytes);
    arena_end(&all);
}

TEST(move__large_fills_repeat_the_pattern_when_measured_and_after)
{
    arena all = arena_make(2 * MIB + 100);
    for (uint32_t pattern_bytes = 1; pattern_bytes <= 16; pattern_bytes *= 2)
        for (size_t to = 0; to < GUARD; to += 23) {
            expect_fill(&all, to, MIB - 16, pattern_bytes);
            expect_fill(&all, to, MIB + 16 * to, pattern_bytes);
        }
    arena_end(&all);
}

LONG_TEST(move__fills_of_each_measured_size_repeat_the_pattern_when_measured_and_after)
{
    arena all = arena_make(64 * MIB + 100);
    for (size_t bytes = MIB; bytes <= 64 * MIB; bytes *= 2) {
        expect_fill(&all, 3, bytes + 16, 16);
        expect_fill(&all, 1, bytes, 4);
    }
    arena_end(&all);
}

TEST(move__a_pattern_of_equal_bytes_is_one_byte)
{
    arena all = arena_make(4096);
    static const unsigned char pattern[16] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    memset(all.to, 0x55, all.bytes);
    dcmi_cpu_fill(all.to + 5, 160, pattern, 16);
    for (size_t i = 5; i < 165; i++)
        EXPECT_EQ(all.to[i], 7);
    expect_around(&all, 5, 160);
    arena_end(&all);
}
