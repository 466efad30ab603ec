/* cmocka.c: dcmem's testing kit under cmocka. A failed expectation ends its test by a jump. */
#include "tile.h"

#include <dcmem/runner.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char row[] = "0123456789abcde"; /* 16 bytes */
static const char four_rows[] = "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde\0"
                                "0123456789abcde";

/* ---- What cmocka needs to know ---- */

static void
fail_test(void *user, const char *file, int line, const char *message)
{
    (void)user;
    print_error("%s\n", message);
    _fail(file, line);
}

static int
listen_to_expectations(void **state)
{
    (void)state;
    dcmem_test_on_failure(fail_test, NULL);
    return 0;
}

/* ---- A rig for each test: on one that is not unified, or on the profile that the initial state names ---- */

static dcmem_rig rig;

static int
begin(void **state)
{
    const dcmem_simulated_device *device = *state;
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(device ? *device : DCMEM_SIMULATED_DEVICE_DISCRETE);
    return DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, &profile)) ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    return DCMEM_EXPECT_OK(dcmem_rig_end(&rig)) ? 0 : -1;
}

/* ---- Tests ---- */

static void
tile__repeats_its_row(void **state)
{
    (void)state;
    dcmem_buffer *tiles;
    DCMEM_EXPECT_OK(tile_create(&tiles, rig.manager, row, sizeof row, 4));
    DCMEM_EXPECT_BYTES(dcmem_view_whole(tiles), four_rows);
    DCMEM_EXPECT_OK(dcmem_buffer_destroy(tiles));
}

static void
tile__refuses_no_rows(void **state)
{
    (void)state;
    dcmem_buffer *tiles = NULL;
    DCMEM_EXPECT_RESULT(tile_create(&tiles, rig.manager, row, sizeof row, 0), DCMEM_E_INVALID_ARGUMENT);
    assert_null(tiles);
}

/* Once to the device, then four times there. */
static void
tile__brings_its_row_to_the_device_once(void **state)
{
    (void)state;
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

static void
tile__survives_every_failure(void **state)
{
    (void)state;
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act};
    DCMEM_EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
}

int
main(void)
{
    static dcmem_simulated_device devices[DCMEM_SIMULATED_DEVICE_COUNT] = {
#define DCMEM_X(name, text) DCMEM_SIMULATED_DEVICE_##name,
        DCMEM_SIMULATED_DEVICES(DCMEM_X)
#undef DCMEM_X
    };
    const struct CMUnitTest tests[] = {
    /* One test for each profile. */
#define DCMEM_X(name, text)                                                                                            \
    {"tile__repeats_its_row on " text, tile__repeats_its_row, begin, end, &devices[DCMEM_SIMULATED_DEVICE_##name]},
        DCMEM_SIMULATED_DEVICES(DCMEM_X)
#undef DCMEM_X
            cmocka_unit_test_setup_teardown(tile__refuses_no_rows, begin, end),
        cmocka_unit_test_setup_teardown(tile__brings_its_row_to_the_device_once, begin, end),
        cmocka_unit_test(tile__survives_every_failure),
    };
    return cmocka_run_group_tests(tests, listen_to_expectations, NULL);
}
