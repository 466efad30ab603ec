// googletest.cpp: dcmem's testing kit under GoogleTest. A failed expectation returns false and the test goes on, as
// after GoogleTest's own EXPECT_...; what makes no sense without it is guarded.
#include "tile.h"

#include <dcmem/runner.h>

#include <gtest/gtest.h>

static const char row[] = "0123456789abcde"; // 16 bytes
static const char four_rows[] = "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde";

// ---- What GoogleTest needs to know

static void
fail_test(void *, const char *file, int line, const char *message)
{
    ADD_FAILURE_AT(file, line) << message;
}

class expectations : public testing::Environment {
  public:
    void SetUp() override
    {
        dcmem_test_on_failure(fail_test, nullptr);
    }
};

static const testing::Environment *const environment = testing::AddGlobalTestEnvironment(new expectations);

// ---- A rig for each test: on the profile that is its parameter

class tile : public testing::TestWithParam<int> {
  protected:
    void SetUp() override
    {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of(static_cast<dcmem_simulated_device>(GetParam()));
        ASSERT_TRUE(DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, &profile)));
    }

    void TearDown() override
    {
        DCMEM_EXPECT_OK(dcmem_rig_end(&rig));
    }

    dcmem_rig rig{};
};

INSTANTIATE_TEST_SUITE_P(on_each_profile, tile, testing::Range(0, int{DCMEM_SIMULATED_DEVICE_COUNT}));

// ---- Tests

TEST_P(tile, repeats_its_row)
{
    dcmem_buffer *tiles;
    ASSERT_TRUE(DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4)));
    DCMEM_EXPECT_BYTES(dcmem_view_whole(tiles), four_rows);
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
}

TEST_P(tile, refuses_no_rows)
{
    dcmem_buffer *tiles = nullptr;
    DCMEM_EXPECT_RESULT(tile_create(&tiles, rig.manager, row, sizeof row, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(tiles, nullptr);
}

// Once to the device, then four times there.
TEST_P(tile, brings_its_row_to_the_device_once)
{
    dcmem_buffer *tiles;
    DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 5, 5));
    ASSERT_TRUE(DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4)));
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
    DCMEM_EXPECT_OK(dcmem_fake_verify(rig.fake));
}

static dcmem_result
act(dcmem_sweep_run *run)
{
    dcmem_buffer *tiles;
    dcmem_result result = tile_create(&tiles, run->manager, row, sizeof row, 4);
    return result ? result : dcmem_buffer_destroy(tiles);
}

TEST(tile_sweep, survives_every_failure)
{
    dcmem_sweep sweep{};
    sweep.size = sizeof sweep;
    sweep.act = act;
    DCMEM_EXPECT_OK(dcmem_test_sweep(nullptr, &sweep));
}

int
main(int count, char **arguments)
{
    testing::InitGoogleTest(&count, arguments);
    return RUN_ALL_TESTS();
}
