/* depot_test.c: batches between the threads and the regions. */
#include "pool/depot.h"

#include "base/thread.h"
#include "test.h"

#include <pthread.h>

static dcmi_depot *
depot_open(void)
{
    dcmi_depot *depot = calloc(1, sizeof *depot);
    EXPECT(depot);
    EXPECT_OK(dcmi_depot_init(depot));
    return depot;
}

static void
depot_close(dcmi_depot *depot)
{
    dcmi_depot_fini(depot);
    free(depot);
}

/* A batch of blocks `first`, `first` + 1, ... */
static void
put(dcmi_depot *depot, unsigned class, uint64_t first, unsigned count)
{
    uint64_t blocks[DCMI_BATCH];
    for (unsigned i = 0; i < count; i++)
        blocks[i] = first + i;
    EXPECT(dcmi_depot_put(depot, class, blocks, count));
}

TEST(depot__an_empty_one_gives_nothing)
{
    dcmi_depot *depot = depot_open();
    uint64_t out[DCMI_BATCH];
    for (unsigned class = 0; class < DCMI_CLASS_COUNT; class++) {
        EXPECT_EQ(dcmi_depot_take(out, depot, class, DCMI_BATCH), 0);
        EXPECT_EQ(dcmi_depot_blocks(depot, class), 0);
        EXPECT_EQ(dcmi_depot_surplus(depot, class), 0);
    }
    depot_close(depot);
}

TEST(depot__the_newest_batch_comes_first)
{
    dcmi_depot *depot = depot_open();
    for (unsigned i = 0; i < 10; i++)
        put(depot, 3, 1000u * i, DCMI_BATCH);
    EXPECT_EQ(dcmi_depot_blocks(depot, 3), 10 * DCMI_BATCH);
    for (unsigned i = 10; i-- > 0;) {
        uint64_t out[DCMI_BATCH];
        EXPECT_EQ(dcmi_depot_take(out, depot, 3, DCMI_BATCH), DCMI_BATCH);
        for (unsigned n = 0; n < DCMI_BATCH; n++)
            EXPECT_EQ(out[n], 1000 * i + n);
    }
    EXPECT_EQ(dcmi_depot_blocks(depot, 3), 0);
    depot_close(depot);
}

TEST(depot__part_of_a_batch_leaves_the_rest)
{
    dcmi_depot *depot = depot_open();
    put(depot, 0, 100, 10);
    uint64_t out[DCMI_BATCH];
    bool seen[10] = {false};
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_EQ(dcmi_depot_take(out, depot, 0, 2), 2);
        for (unsigned n = 0; n < 2; n++) {
            EXPECT(out[n] >= 100 && out[n] < 110 && !seen[out[n] - 100]);
            seen[out[n] - 100] = true;
        }
        EXPECT_EQ(dcmi_depot_blocks(depot, 0), 8 - 2 * i);
    }
    EXPECT_EQ(dcmi_depot_take(out, depot, 0, 2), 0);
    depot_close(depot);
}

TEST(depot__no_more_than_one_batch_comes_at_once)
{
    dcmi_depot *depot = depot_open();
    put(depot, 0, 100, 5);
    put(depot, 0, 200, 5);
    uint64_t out[DCMI_BATCH];
    EXPECT_EQ(dcmi_depot_take(out, depot, 0, DCMI_BATCH), 5);
    EXPECT_EQ(out[0], 200);
    depot_close(depot);
}

TEST(depot__classes_are_apart)
{
    dcmi_depot *depot = depot_open();
    put(depot, 1, 100, 5);
    put(depot, DCMI_CLASS_COUNT - 1, 200, 6);
    uint64_t out[DCMI_BATCH];
    EXPECT_EQ(dcmi_depot_take(out, depot, 2, DCMI_BATCH), 0);
    EXPECT_EQ(dcmi_depot_take(out, depot, 1, DCMI_BATCH), 5);
    EXPECT_EQ(out[0], 100);
    EXPECT_EQ(dcmi_depot_blocks(depot, DCMI_CLASS_COUNT - 1), 6);
    depot_close(depot);
}

/* ---- The working set ---- */

TEST(depot__surplus_is_what_lay_unused_since_the_last_look)
{
    dcmi_depot *depot = depot_open();
    uint64_t out[DCMI_BATCH];
    put(depot, 0, 0, 50);
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 0); /* it was empty when the interval began */
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 50);

    EXPECT_EQ(dcmi_depot_take(out, depot, 0, 20), 20);
    put(depot, 0, 100, 20);
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 30);
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 50);

    EXPECT_EQ(dcmi_depot_take(out, depot, 0, 20), 20);
    EXPECT_EQ(dcmi_depot_take(out, depot, 0, DCMI_BATCH), 30);
    put(depot, 0, 200, 40);
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 0);
    EXPECT_EQ(dcmi_depot_surplus(depot, 0), 40);
    depot_close(depot);
}

/* ---- Room ---- */

TEST(depot__without_room_for_a_batch_the_blocks_stay_with_the_caller)
{
    dcmi_depot *depot = depot_open();
    uint32_t capacity = depot->capacity;
    depot->capacity = 4; /* index 0 is none */
    put(depot, 0, 0, 1);
    put(depot, 1, 10, 1);
    put(depot, 2, 20, 1);
    uint64_t block = 30;
    EXPECT(!dcmi_depot_put(depot, 3, &block, 1));
    EXPECT_EQ(dcmi_depot_blocks(depot, 3), 0);

    uint64_t out[DCMI_BATCH];
    EXPECT_EQ(dcmi_depot_take(out, depot, 1, 1), 1); /* an empty batch is used again */
    EXPECT(dcmi_depot_put(depot, 3, &block, 1));
    EXPECT_EQ(dcmi_depot_take(out, depot, 3, 1), 1);
    EXPECT_EQ(out[0], 30);
    depot->capacity = capacity;
    depot_close(depot);
}

TEST(depot__reset_forgets_everything)
{
    dcmi_depot *depot = depot_open();
    put(depot, 0, 0, 10);
    put(depot, 5, 0, 10);
    dcmi_depot_reset(depot);
    uint64_t out[DCMI_BATCH];
    EXPECT_EQ(dcmi_depot_take(out, depot, 0, 10), 0);
    EXPECT_EQ(dcmi_depot_surplus(depot, 5), 0);
    put(depot, 0, 7, 1);
    EXPECT_EQ(dcmi_depot_take(out, depot, 0, 10), 1);
    EXPECT_EQ(out[0], 7);
    depot_close(depot);
}

static unsigned refusals_left;

static bool
refuse_some(const char *what)
{
    (void)what;
    return refusals_left > 0 && refusals_left-- > 0;
}

TEST(depot__less_address_space_means_fewer_batches_and_none_is_told)
{
    dcmi_depot *depot = calloc(1, sizeof *depot);
    EXPECT(depot);
    dcmi_os_fault = refuse_some;
    refusals_left = 1;
    dcmem_result result = dcmi_depot_init(depot);
    dcmi_os_fault = NULL;
    EXPECT_OK(result);
    put(depot, 0, 0, 10);
    dcmi_depot_fini(depot);

    EXPECT(dcmi_thread_get()); /* where the detail is written */
    dcmi_os_fault = refuse_some;
    refusals_left = 1000;
    result = dcmi_depot_init(depot);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("depot");
    free(depot);
}

/* ---- Threads ---- */

#define MOVERS 4u

static uint64_t rounds;

/* Takes and puts; no block may be seen twice at once: each is counted while it is out. */
static _Atomic uint8_t is_out[MOVERS * DCMI_BATCH];
static _Atomic uint32_t seen_twice;

static void *
move(void *user)
{
    dcmi_depot *depot = user;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t blocks[DCMI_BATCH];
        unsigned count = dcmi_depot_take(blocks, depot, 0, 1 + (unsigned)(i % DCMI_BATCH));
        for (unsigned n = 0; n < count; n++)
            if (atomic_exchange(&is_out[blocks[n]], 1))
                atomic_fetch_add(&seen_twice, 1);
        for (unsigned n = 0; n < count; n++)
            atomic_store(&is_out[blocks[n]], 0);
        if (count > 0 && !dcmi_depot_put(depot, 0, blocks, count))
            atomic_fetch_add(&seen_twice, 1);
    }
    return NULL;
}

TEST(depot__threads_never_get_one_block_twice)
{
    dcmi_depot *depot = depot_open();
    rounds = 5000;
    for (unsigned i = 0; i < MOVERS; i++)
        put(depot, 0, i * DCMI_BATCH, DCMI_BATCH);
    pthread_t threads[MOVERS];
    for (unsigned i = 0; i < MOVERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, move, depot), 0);
    for (unsigned i = 0; i < MOVERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(atomic_load(&seen_twice), 0);
    EXPECT_EQ(dcmi_depot_blocks(depot, 0), MOVERS * DCMI_BATCH);
    depot_close(depot);
}
