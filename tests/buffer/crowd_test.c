/* crowd_test.c: many threads at one buffer, each with bytes of its own, on either side. */
#include "devices.h"

#include <pthread.h>

#define WORKERS 4
#define TILE    1024u

typedef struct worker {
    dcmem_buffer *buffer;
    unsigned number;
    char wrong[100]; /* empty: nothing */
} worker;

static void *
carry_tile(void *of)
{
    worker *it = of;
    unsigned char in[TILE], out[TILE];
    dcmem_view tile = view_of(it->buffer, it->number * TILE, TILE);
    for (unsigned round = 0; round < 100 && !it->wrong[0]; round++) {
        memset(in, (int)(it->number * 64 + round % 64), TILE);
        if (dcmem_buffer_copy_in(tile, in, UINT64_MAX) ||
            dcmem_buffer_prefetch(tile, round & 1 ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST) ||
            dcmem_buffer_copy_out(out, tile, UINT64_MAX))
            snprintf(it->wrong, sizeof it->wrong, "%.99s", dcmem_last_detail()->message);
        else if (memcmp(in, out, TILE) != 0)
            snprintf(it->wrong, sizeof it->wrong, "other bytes came back");
    }
    return NULL;
}

TEST(crowd__threads_that_carry_tiles_of_one_buffer_lose_no_byte)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, WORKERS * TILE);
    worker of[WORKERS];
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        of[i] = (worker){.buffer = buffer, .number = i};
        EXPECT_EQ(pthread_create(&threads[i], NULL, carry_tile, &of[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        if (of[i].wrong[0])
            TEST_FAIL("worker %u: %s", i, of[i].wrong);
    EXPECT_EQ(stats_of(on.manager).access_conflicts, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
