/* check.c: dcmem's testing kit under Check. Each test is a process of its own; a failed expectation ends it. */
#include "tile.h"

#include <dcmem/runner.h>

#include <check.h>
#include <stdlib.h>

static const char row[] = "0123456789abcde"; /* 16 bytes */
static const char four_rows[] = "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde";

/* ---- What Check needs to know ---- */

static void
fail_test(void *user, const char *file, int line, const char *message)
{
    (void)user;
    _ck_assert_failed(file, line, "expectation", "%s", message);
}

/* ---- A rig for each test: on one that is not unified, or on the profile of that number ---- */

static dcmem_rig rig;

static void
begin_on(int device)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)device);
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

/* ---- Tests ---- */

/* Run once for each profile: _i counts. */
START_TEST(tile__repeats_its_row)
{
    dcmem_buffer *tiles;
    begin_on(_i);
    DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4));
    DCMEM_EXPECT_BYTES(dcmem_view_whole(tiles), four_rows);
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
    end();
}
END_TEST

START_TEST(tile__refuses_no_rows)
{
    dcmem_buffer *tiles = NULL;
    DCMEM_EXPECT_RESULT(tile_create(&tiles, rig.manager, row, sizeof row, 0), DCMEM_E_INVALID_ARGUMENT);
    ck_assert_ptr_null(tiles);
}
END_TEST

/* Once to the device, then four times there. */
START_TEST(tile__brings_its_row_to_the_device_once)
{
    dcmem_buffer *tiles;
    DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 5, 5));
    DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4));
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
    DCMEM_EXPECT_OK(dcmem_fake_verify(rig.fake));
}
END_TEST

static dcmem_result
act(dcmem_sweep_run *run)
{
    dcmem_buffer *tiles;
    dcmem_result result = tile_create(&tiles, run->manager, row, sizeof row, 4);
    return result ? result : dcmem_buffer_destroy(tiles);
}

START_TEST(tile__survives_every_failure)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act};
    DCMEM_EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
}
END_TEST

static Suite *
tile_suite(void)
{
    Suite *suite = suite_create("tile");
    TCase *alone = tcase_create("alone"), *with_rig = tcase_create("with a rig");

    tcase_add_loop_test(alone, tile__repeats_its_row, 0, DCMEM_SIMULATED_DEVICE_COUNT);
    tcase_add_test(alone, tile__survives_every_failure);
    suite_add_tcase(suite, alone);

    tcase_add_checked_fixture(with_rig, begin, end);
    tcase_add_test(with_rig, tile__refuses_no_rows);
    tcase_add_test(with_rig, tile__brings_its_row_to_the_device_once);
    suite_add_tcase(suite, with_rig);
    return suite;
}

int
main(void)
{
    dcmem_test_on_failure(fail_test, NULL);

    SRunner *runner = srunner_create(tile_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
