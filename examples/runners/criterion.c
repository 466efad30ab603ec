/* criterion.c: dcmem's testing kit under Criterion. Each test is a process of its own; a failed expectation ends it. */
#include "tile.h"

#include <dcmem/runner.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

static const char row[] = "0123456789abcde"; /* 16 bytes */
static const char four_rows[] = "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde";

/* ---- What Criterion needs to know ---- */

static void
fail_test(void *user, const char *file, int line, const char *message)
{
    (void)user;
    struct criterion_assert_stats stats = {.message = message, .line = (unsigned)line, .file = file};
    criterion_send_assert(&stats);
    criterion_abort_test();
}

/* ---- A rig for each test: on one that is not unified, or on the profile of that number ---- */

static dcmem_rig rig;

static void
begin_on(dcmem_simulated_device device)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(device);
    dcmem_test_on_failure(fail_test, NULL);
    DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, &profile));
}

static void
begin(void)
{
    begin_on(DCMEM_SIMULATED_DEVICE_DISCRETE);
}

static void
end(void)
{
    DCMEM_EXPECT_OK(dcmem_rig_end(&rig));
}

TestSuite(tile, .init = begin, .fini = end);
TestSuite(tile_on_each_profile, .fini = end);

/* ---- Tests ---- */

ParameterizedTestParameters(tile_on_each_profile, repeats_its_row)
{
    static dcmem_simulated_device devices[] = {
#define DCMEM_X(name, text) DCMEM_SIMULATED_DEVICE_##name,
        DCMEM_SIMULATED_DEVICES(DCMEM_X)
#undef DCMEM_X
    };
    return cr_make_param_array(dcmem_simulated_device, devices, DCMEM_SIMULATED_DEVICE_COUNT);
}

ParameterizedTest(dcmem_simulated_device *device, tile_on_each_profile, repeats_its_row)
{
    dcmem_buffer *tiles;
    begin_on(*device);
    DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4));
    DCMEM_EXPECT_BYTES(dcmem_view_whole(tiles), four_rows);
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
}

Test(tile, refuses_no_rows)
{
    dcmem_buffer *tiles = NULL;
    DCMEM_EXPECT_RESULT(tile_create(&tiles, rig.manager, row, sizeof row, 0), DCMEM_E_INVALID_ARGUMENT);
    cr_assert_null(tiles);
}

/* Once to the device, then four times there. */
Test(tile, brings_its_row_to_the_device_once)
{
    dcmem_buffer *tiles;
    DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 5, 5));
    DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4));
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

Test(tile, survives_every_failure)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act};
    DCMEM_EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
}
