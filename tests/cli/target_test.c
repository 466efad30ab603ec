/* target_test.c: what is touched when a trace is played onto a driver and onto a pool. */
#include "cli/target.h"
#include "test.h"

#include <dcmem/testing.h>

#define BYTES 100000u

/* A device under a fake that counts. */
typedef struct rig {
    dcmem_backend *device;
    dcmem_fake *fake;
} rig;

static rig
rig_of(dcmem_simulated_device which)
{
    rig it;
    const dcmem_simulated_profile profile = dcmem_simulated_profile_of(which);
    EXPECT_OK(dcmem_simulated_create(&it.device, &profile, 1));
    const dcmem_fake_options options = {.size = sizeof options, .over = it.device};
    EXPECT_OK(dcmem_fake_create(&it.fake, &options));
    return it;
}

static void
rig_end(rig *it)
{
    EXPECT_OK(dcmem_fake_destroy(it->fake));
    EXPECT_OK(dcmem_simulated_destroy(it->device));
}

static uint64_t
fills(const rig *it)
{
    return dcmem_fake_count_of(it->fake, DCMEM_FAKE_fill).did;
}

/* One take and give: how often the device filled memory for it. */
static uint64_t
fills_of_a_take(const rig *it, replay_target *to)
{
    uint64_t before = fills(it);
    EXPECT_OK(to->take(to, 0, BYTES));
    uint64_t count = fills(it) - before;
    EXPECT_OK(to->give(to, 0));
    return count;
}

/* Onto the driver, the pool's raw memory and its buffers. */
static void
expect_fills(dcmem_simulated_device which, bool is_touched, uint64_t wanted)
{
    rig it = rig_of(which);
    const dcmem_backend *backend = dcmem_fake_backend(it.fake);
    const dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    replay_target driver;
    EXPECT_OK(target_open_driver(&driver, backend, 1, is_touched));
    EXPECT_EQ(fills_of_a_take(&it, &driver), wanted);
    for (unsigned i = 0; i < 2; i++) {
        replay_target pool;
        EXPECT_OK(target_open_pool(&pool, &options, 1, driver.touched, i == 1));
        EXPECT_EQ(fills_of_a_take(&it, &pool), wanted);
        EXPECT_OK(target_close(&pool));
    }
    EXPECT_OK(target_close(&driver));
    rig_end(&it);
}

TEST(target__has_the_device_fill_what_is_not_the_host_s)
{
    expect_fills(DCMEM_SIMULATED_DEVICE_DISCRETE, true, 1);
}

TEST(target__touches_by_the_host_what_is_the_host_s)
{
    expect_fills(DCMEM_SIMULATED_DEVICE_CPU, true, 0);
    expect_fills(DCMEM_SIMULATED_DEVICE_UNIFIED, true, 0);
}

TEST(target__touches_nothing_unless_it_is_asked_to)
{
    expect_fills(DCMEM_SIMULATED_DEVICE_DISCRETE, false, 0);
}

TEST(target__gives_back_what_could_not_be_filled)
{
    rig it = rig_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    const dcmem_backend *backend = dcmem_fake_backend(it.fake);
    const dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    replay_target driver;
    EXPECT_OK(target_open_driver(&driver, backend, 1, true));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_EQ(driver.take(&driver, 0, BYTES), DCMEM_E_DRIVER);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 0);
    for (unsigned i = 0; i < 2; i++) {
        replay_target pool;
        EXPECT_OK(target_open_pool(&pool, &options, 1, driver.touched, i == 1));
        EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
        EXPECT_EQ(pool.take(&pool, 0, BYTES), DCMEM_E_DRIVER);
        EXPECT_OK(target_close(&pool)); /* it would tell of a leak */
    }
    EXPECT_OK(target_close(&driver));
    rig_end(&it);
}

TEST(target__that_is_the_use_alone_asks_neither_driver_nor_pool)
{
    rig it = rig_of(DCMEM_SIMULATED_DEVICE_UNIFIED);
    const dcmem_backend *backend = dcmem_fake_backend(it.fake);
    const dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    replay_target pool, alone;
    EXPECT_OK(target_open_pool(&pool, &options, 1, TARGET_TOUCHED, false));
    EXPECT_OK(target_open_alone(&alone, &pool));
    EXPECT_OK(pool.take(&pool, 0, BYTES));
    EXPECT_OK(pool.give(&pool, 0));
    unsigned char *block = pool.blocks[0];
    block[4096] = 7;
    uint64_t acquires = dcmem_fake_count_of(it.fake, DCMEM_FAKE_acquire).did;

    EXPECT_OK(alone.take(&alone, 0, BYTES));
    EXPECT_EQ(block[4096], 1);
    EXPECT_OK(alone.give(&alone, 0));

    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_acquire).did, acquires);
    EXPECT_OK(target_close(&alone));
    EXPECT_OK(target_close(&pool));
    rig_end(&it);
}

TEST(target__is_no_use_alone_where_that_needs_more_than_an_address)
{
    rig it = rig_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    const dcmem_manager_options options = {.size = sizeof options, .driver = dcmem_fake_backend(it.fake)};
    replay_target pool, alone;
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_OK(target_open_pool(&pool, &options, 1, i ? TARGET_UNTOUCHED : TARGET_FILLED, i == 1));
        EXPECT_RESULT(target_open_alone(&alone, &pool), DCMEM_E_UNSUPPORTED);
        EXPECT_OK(target_close(&pool));
    }
    rig_end(&it);
}
