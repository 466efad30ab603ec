/* cases_test.c: names, sizes and the floor. */
#include "test.h"

#include "bench/floor.h"
#include "bench/harness.h"

#include <math.h>
#include <pthread.h>

static unsigned
meant_by(const char *word)
{
    unsigned count = 0;
    for (unsigned i = 0; i < bench_case_count; i++)
        count += bench_case_is_meant(&bench_cases[i], word);
    return count;
}

TEST(bench__every_case_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < bench_case_count; i++)
        if (meant_by(bench_cases[i].name) != 1)
            fail_msg("%s names %u cases", bench_cases[i].name, meant_by(bench_cases[i].name));
}

TEST(bench__a_word_means_the_case_or_those_that_begin_with_it)
{
    EXPECT_EQ(meant_by("churn"), 1);
    EXPECT_EQ(meant_by("churn*"), 3);
    EXPECT_EQ(meant_by("fixed"), 7);
    EXPECT_EQ(meant_by("fix"), 0);
    EXPECT_EQ(meant_by("copy"), meant_by("copy-in") + meant_by("copy-out"));
    EXPECT_EQ(meant_by("*"), bench_case_count);
    EXPECT_EQ(meant_by(""), 0);
}

TEST(bench__random_sizes_stay_in_their_range_and_fill_every_octave_alike)
{
    bench_random random = {7};
    unsigned octaves[32] = {0};
    for (unsigned i = 0; i < 120000; i++) {
        uint32_t bytes = bench_random_size(&random, 256, 12);
        EXPECT_GE(bytes, 256);
        EXPECT_LE(bytes, 1048576);
        octaves[31 - __builtin_clz(bytes)]++;
    }
    for (unsigned octave = 8; octave < 20; octave++) {
        EXPECT_GE(octaves[octave], 9500);
        EXPECT_LE(octaves[octave], 10500);
    }
}

TEST(bench__training_sizes_repeat_and_rise_to_two_mebibytes)
{
    EXPECT_EQ(bench_training_size(0), 512);
    EXPECT_EQ(bench_training_size(BENCH_TRAINING_SIZES - 1), 2 << 20);
    for (unsigned i = 1; i < BENCH_TRAINING_SIZES; i++) {
        EXPECT_GE(bench_training_size(i), bench_training_size(i - 1));
        EXPECT_EQ(bench_training_size(i) % 512, 0);
    }
    EXPECT_EQ(bench_training_size(3), bench_training_size(3 + BENCH_TRAINING_SIZES));
}

/* ---- The floor must be an allocator, else it is no floor ---- */

TEST(floor__blocks_do_not_overlap)
{
    enum { COUNT = 2000 };
    static unsigned char *blocks[COUNT];
    static uint32_t bytes[COUNT];
    bench_random random = {3};
    EXPECT(bench_floor_open());
    for (unsigned turn = 0; turn < 20000; turn++) {
        unsigned i = (unsigned)(bench_random_next(&random) % COUNT);
        if (blocks[i]) {
            EXPECT_EQ(blocks[i][0], i % 251);
            EXPECT_EQ(blocks[i][bytes[i] - 1], i % 251);
            bench_floor_free(blocks[i]);
        }
        bytes[i] = bench_random_size(&random, 1, 16);
        blocks[i] = bench_floor_allocate(bytes[i]);
        EXPECT(blocks[i]);
        blocks[i][0] = blocks[i][bytes[i] - 1] = (unsigned char)(i % 251);
    }
    for (unsigned i = 0; i < COUNT; i++)
        if (blocks[i])
            bench_floor_free(blocks[i]);
}

TEST(floor__serves_every_size_up_to_one_gibibyte_and_refuses_more)
{
    EXPECT(bench_floor_open());
    for (uint64_t bytes = 1; bytes <= 1ull << 30; bytes += bytes / 3 + 1) {
        char *block = bench_floor_allocate(bytes);
        EXPECT(block);
        block[0] = block[bytes - 1] = 1;
        bench_floor_free(block);
        EXPECT(bench_floor_allocate(bytes) == block);
        bench_floor_free(block);
    }
    EXPECT(bench_floor_allocate(1ull << 30));
    EXPECT(!bench_floor_allocate((1ull << 30) + 1));
}

static void *
free_all(void *argument)
{
    void **blocks = argument;
    for (unsigned i = 0; i < 500; i++)
        bench_floor_free(blocks[i]);
    bench_floor_thread_end();
    return NULL;
}

TEST(floor__blocks_that_another_thread_freed_come_back)
{
    static void *blocks[500], *again[500];
    pthread_t thread;
    unsigned common = 0;
    EXPECT(bench_floor_open());
    for (unsigned i = 0; i < 500; i++)
        EXPECT((blocks[i] = bench_floor_allocate(70000)) != NULL);
    EXPECT_EQ(pthread_create(&thread, NULL, free_all, blocks), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);

    for (unsigned i = 0; i < 500; i++)
        again[i] = bench_floor_allocate(70000);
    for (unsigned i = 0; i < 500; i++)
        for (unsigned k = 0; k < 500; k++)
            common += again[i] == blocks[k];
    EXPECT_GE(common, 400);
    for (unsigned i = 0; i < 500; i++)
        bench_floor_free(again[i]);
}
