/* testing_test.c: the tests that docs/testing.md shows, as it shows them.
 *
 * What stands between "show" and "end" is in the document as it is here; tests/docs/testing_test.sh compares. */
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/runner.h>
#include <dcmem/testing.h>

/* show: subject */
/* Brings a row to a device and repeats it there `times` times, for `out` to hold. */
static dcmem_result
repeat(void *out, dcmem_manager *manager, const void *row, uint64_t row_bytes, uint64_t times)
{
    dcmem_buffer *image;
    dcmem_result result = dcmem_buffer_create(&image, manager, row_bytes * times, NULL);
    if (result)
        return result;
    dcmem_view rows = {.buffer = image, .bytes = row_bytes * times, .element_bytes = row_bytes}, first, next;
    result = dcmem_view_slice(&first, rows, 0, 1);
    if (!result)
        result = dcmem_buffer_copy_in(first, row, 0);
    for (uint64_t i = 1; i < times && !result; i++) {
        result = dcmem_view_slice(&next, rows, i, 1);
        if (!result)
            result = dcmem_buffer_copy(next, first);
    }
    if (!result)
        result = dcmem_buffer_copy_out(out, rows, 0);
    dcmem_result ended = dcmem_buffer_destroy(image);
    return result ? result : ended;
}
/* end */

TEST(rig__is_one_device_for_one_test)
{
    /* show: rig */
    dcmem_rig rig;
    char out[7] = "";
    DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));
    assert_string_equal(out, "ababab");
    DCMEM_EXPECT_OK(dcmem_rig_end(&rig)); /* and nothing leaked, and no call broke a driver's contract */
    /* end */
}

TEST(profiles__are_gone_over)
{
    /* show: profiles */
    for (int device = 0; device < DCMEM_SIMULATED_DEVICE_COUNT; device++) {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)device);
        dcmem_rig rig;
        char out[7] = "";
        DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, &profile));
        DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));
        assert_string_equal(out, "ababab");
        DCMEM_EXPECT_OK(dcmem_rig_end(&rig));
    }
    /* end */
}

TEST(device__has_a_memory_of_its_own)
{
    dcmem_rig rig;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    /* show: two memories */
    dcmem_buffer *buffer;
    dcmem_native native;
    dcmem_access access;
    char on_host = 'h', on_device;
    DCMEM_EXPECT_OK(dcmem_buffer_create_from(&buffer, rig.manager, "d", 1, NULL));
    DCMEM_EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE));
    DCMEM_EXPECT_OK(dcmem_buffer_pin(&native, buffer)); /* what a kernel that kept the address would use */

    DCMEM_EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0));
    *(char *)access.host = on_host;
    DCMEM_EXPECT_OK(dcmem_access_end(&access));
    DCMEM_EXPECT_OK(dcmem_simulated_read(&on_device, rig.simulated, 0, &native, 0, 1));
    assert_int_equal(on_device, 'd'); /* stale: nobody has brought the new byte there */

    DCMEM_EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0));
    DCMEM_EXPECT_OK(dcmem_simulated_read(&on_device, rig.simulated, 0, &access.native, 0, 1));
    assert_int_equal(on_device, 'h');
    /* end */
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(device__is_full_and_lost_on_command)
{
    /* show: full and lost */
    dcmem_simulated_profile small = {.size = sizeof small, .total_bytes = 1 << 20};
    dcmem_rig rig;
    char out[6];
    DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, &small));

    DCMEM_EXPECT_OK(dcmem_simulated_set_available(rig.simulated, 0, 0)); /* another program took it all */
    DCMEM_EXPECT_RESULT(repeat(out, rig.manager, "ab", 2, 3), DCMEM_E_NO_MEMORY);
    DCMEM_EXPECT_OK(dcmem_simulated_set_available(rig.simulated, 0, 1 << 20));
    DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));

    DCMEM_EXPECT_OK(dcmem_simulated_set_lost(rig.simulated, 0, true));
    DCMEM_EXPECT_RESULT(repeat(out, rig.manager, "ab", 2, 3), DCMEM_E_DEVICE_LOST);
    DCMEM_EXPECT_OK(dcmem_rig_end(&rig));
    /* end */
}

TEST(fake__counts_expects_and_fails)
{
    dcmem_rig rig;
    char out[6];
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    /* show: fake */
    DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_acquire, 1, 1)); /* one buffer, one call to the driver */
    DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 4, 4));    /* in, twice within, out */
    DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));
    DCMEM_EXPECT_OK(dcmem_fake_verify(rig.fake));
    assert_int_equal(dcmem_fake_last(rig.fake, DCMEM_FAKE_copy).bytes, 6);

    DCMEM_EXPECT_OK(dcmem_fake_fail(rig.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 2, 1)); /* the second, once */
    DCMEM_EXPECT_RESULT(repeat(out, rig.manager, "ab", 2, 3), DCMEM_E_DRIVER);
    DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));
    /* end */
    EXPECT_OK(dcmem_rig_end(&rig));
}

/* show: gate */
/* No buffer beyond a budget, whatever the device has. */
static dcmem_result
within_budget(void *user, const dcmem_gate_call *call)
{
    uint64_t *left = user;
    if (call->operation == DCMEM_GATE_free)
        *left += call->bytes;
    if (call->operation != DCMEM_GATE_allocate)
        return DCMEM_OK;
    if (call->bytes > *left)
        return dcmem_backend_fail(call->result, "budget", 0, "%u bytes are left of it", (unsigned)*left);
    *left -= call->bytes;
    return DCMEM_OK;
}
/* end */

TEST(gate__stands_above_the_pool)
{
    dcmem_rig rig;
    char out[12];
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    /* show: gate in use */
    uint64_t left = 10;
    DCMEM_EXPECT_OK(dcmem_manager_set_gate(rig.manager, within_budget, &left));
    DCMEM_EXPECT_OK(repeat(out, rig.manager, "ab", 2, 3));
    DCMEM_EXPECT_RESULT(repeat(out, rig.manager, "ab", 2, 6), DCMEM_E_NO_MEMORY);
    /* end */
    EXPECT_DETAIL("10 bytes are left of it");
    EXPECT_OK(dcmem_rig_end(&rig));
}

/* show: sweep */
static dcmem_result
act(dcmem_sweep_run *run)
{
    return repeat(run->user, run->manager, "ab", 2, 3);
}

/* What must hold after each run, whichever call has failed. */
static const char *
check(dcmem_sweep_run *run)
{
    return run->result || memcmp(run->user, "ababab", 6) == 0 ? NULL : "it succeeded and the bytes are wrong";
}
/* end */

TEST(sweep__fails_every_call_in_turn)
{
    /* show: sweep in use */
    char out[6] = "";
    dcmem_sweep_report report = {.size = sizeof report};
    dcmem_sweep sweep = {
        .size = sizeof sweep, .act = act, .check = check, .user = out, .output = out, .output_bytes = sizeof out};
    DCMEM_EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    printf("%u calls can fail; %u runs\n", (unsigned)report.points, (unsigned)report.runs);
    /* end */
    EXPECT_GE(report.points, 5);
}

/* show: point */
static char *
duplicate(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = dcmem_sweep_point("duplicate") ? NULL : malloc(bytes); /* it fails in its turn */
    return copy ? memcpy(copy, text, bytes) : NULL;
}
/* end */

static dcmem_result
act_with_host_memory(dcmem_sweep_run *run)
{
    char *copy = duplicate("ab");
    if (!copy)
        return DCMEM_E_NO_HOST_MEMORY;
    dcmem_result result = repeat(run->user, run->manager, copy, 2, 3);
    free(copy);
    return result;
}

TEST(point__is_swept_with_the_rest)
{
    char out[6];
    dcmem_sweep_report report = {.size = sizeof report}, with_point = report;
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act, .check = check, .user = out};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    sweep.act = act_with_host_memory;
    EXPECT_OK(dcmem_test_sweep(&with_point, &sweep));
    EXPECT_EQ(with_point.points, report.points + 1);
}

TEST(plan__spoils_calls_of_the_driver_and_of_the_program)
{
    /* show: plan */
    dcmem_fault_plan *plan;
    dcmem_simulated_profile split = {.size = sizeof split, .total_bytes = 1 << 20};
    dcmem_backend *simulated;
    dcmem_manager *manager;
    dcmem_fault fault;
    char out[6];
    DCMEM_EXPECT_OK(dcmem_simulated_create(&simulated, &split, 1));
    DCMEM_EXPECT_OK(dcmem_fault_plan_create(&plan, "copy:nth=3:flip:seed=7;program.allocate:nth=2:oom"));

    dcmem_manager_options options = {.size = sizeof options};
    DCMEM_EXPECT_OK(dcmem_fault_plan_over(&options.driver, plan, simulated)); /* the rules for drivers */
    DCMEM_EXPECT_OK(dcmem_manager_create(&manager, &options));
    DCMEM_EXPECT_OK(dcmem_fault_plan_guard(plan, manager)); /* and those for the program */

    DCMEM_EXPECT_OK(repeat(out, manager, "ab", 2, 3)); /* nothing fails, and yet ... */
    assert_memory_not_equal(out, "ababab", 6);
    DCMEM_EXPECT_RESULT(repeat(out, manager, "ab", 2, 3), DCMEM_E_NO_MEMORY);
    DCMEM_EXPECT_OK(dcmem_fault_plan_fault(&fault, plan, 1));
    printf("fault %u: %s of call %u of %s\n", (unsigned)fault.index, fault.effect, (unsigned)fault.call,
           fault.operation);
    DCMEM_EXPECT_OK(dcmem_manager_destroy(manager));
    DCMEM_EXPECT_OK(dcmem_fault_plan_destroy(plan));
    DCMEM_EXPECT_OK(dcmem_simulated_destroy(simulated));
    /* end */
    assert_string_equal(fault.effect, "flip");
    EXPECT_EQ(fault.call, 3);
}

TEST(guards__name_the_buffer_that_was_overrun)
{
    dcmem_simulated_profile split = {.size = sizeof split, .total_bytes = 64 << 20};
    dcmem_backend *simulated;
    EXPECT_OK(dcmem_simulated_create(&simulated, &split, 1));
    /* show: guards */
    dcmem_manager *manager;
    dcmem_buffer *buffer;
    dcmem_access access;
    dcmem_manager_options options = {.size = sizeof options, .driver = simulated, .guards = DCMEM_GUARD_ALL};
    DCMEM_EXPECT_OK(dcmem_manager_create(&manager, &options));
    DCMEM_EXPECT_OK(dcmem_buffer_create_from(&buffer, manager, "abc", 3, NULL));
    dcmem_view whole = dcmem_view_whole(buffer);
    DCMEM_EXPECT_OK(dcmem_access_begin(&access, whole, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
    access.native.bytes = 4; /* a kernel that does not look at sizes */
    DCMEM_EXPECT_OK(dcmem_simulated_write(simulated, 0, &access.native, 0, "wxyz", 4));
    DCMEM_EXPECT_OK(dcmem_access_end(&access));
    DCMEM_EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED); /* "overrun: buffer 0x..., 3 bytes, ..." */
    /* end */
    EXPECT_DETAIL("overrun: buffer");
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}

/* show: reader */
/* Adds up the bytes of a buffer, two at a time. */
static dcmem_result
sum(uint64_t *out, dcmem_buffer *buffer)
{
    dcmem_view all = dcmem_view_whole(buffer), part;
    uint64_t total = 0;
    dcmem_result result = DCMEM_OK;
    for (uint64_t first = 0; first < all.bytes && !result; first += 2) {
        uint8_t two[2] = {0};
        result = dcmem_view_slice(&part, all, first, 2);
        if (!result)
            result = dcmem_buffer_copy_out(two, part, 0);
        total += two[0] + two[1];
    }
    if (!result)
        *out = total;
    return result;
}
/* end */

TEST(test_buffer__refuses_from_the_nth_operation_on)
{
    /* show: test buffer */
    dcmem_test_buffer *test;
    dcmem_test_buffer_options options = dcmem_test_buffer_fail_after(3);
    dcmem_test_buffer_counts counts = {.size = sizeof counts};
    uint64_t total = 42;
    options.pattern = DCMEM_TEST_PATTERN_BYTES; /* 0, 1, 2, ... */
    DCMEM_EXPECT_OK(dcmem_test_buffer_create(&test, 8, &options));

    DCMEM_EXPECT_RESULT(sum(&total, dcmem_test_buffer_buffer(test)), DCMEM_E_WRONG_STATE);
    assert_int_equal(total, 42); /* a failed call writes no output */
    DCMEM_EXPECT_OK(dcmem_test_buffer_counts_of(&counts, test));
    assert_int_equal(counts.operations, 3); /* and gives up at once */
    DCMEM_EXPECT_OK(dcmem_test_buffer_destroy(test));
    /* end */
}

/* show: clock of the test */
static void
only_count(void *user, uint64_t nanoseconds)
{
    *(uint64_t *)user += nanoseconds;
}
/* end */

TEST(test_buffer__is_slow_on_a_clock_of_the_test)
{
    /* show: slow */
    uint64_t waited = 0, total;
    dcmem_test_buffer *test;
    dcmem_test_buffer_options options = dcmem_test_buffer_slow_transfers(); /* 10 ms each */
    options.pattern = DCMEM_TEST_PATTERN_BYTES;
    options.sleep = only_count; /* without it, it truly waits */
    options.sleep_user = &waited;
    DCMEM_EXPECT_OK(dcmem_test_buffer_create(&test, 8, &options));
    DCMEM_EXPECT_OK(sum(&total, dcmem_test_buffer_buffer(test)));
    assert_int_equal(waited, 40 * 1000000); /* four copies where one would do */
    DCMEM_EXPECT_OK(dcmem_test_buffer_destroy(test));
    /* end */
    EXPECT_EQ(total, 28);
}

TEST(test_buffer__spoils_its_bytes)
{
    /* show: corruption */
    uint64_t total = 0;
    dcmem_test_buffer *test;
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.pattern = DCMEM_TEST_PATTERN_BYTES;
    options.allow_corruption = true;
    DCMEM_EXPECT_OK(dcmem_test_buffer_create(&test, 8, &options));
    dcmem_view all = dcmem_view_whole(dcmem_test_buffer_buffer(test));
    DCMEM_EXPECT_OK(dcmem_buffer_prefetch(all, DCMEM_SIDE_DEVICE));
    DCMEM_EXPECT_OK(dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 5, 0x80));
    DCMEM_EXPECT_RESULT(dcmem_test_view_verify(all, DCMEM_TEST_PATTERN_BYTES, 0), DCMEM_E_WRONG_STATE);
    /* "byte 5 is 0x85, not 0x05" */
    /* end */
    EXPECT_DETAIL("byte 5 is 0x85, not 0x05");
    EXPECT_OK(sum(&total, all.buffer));
    EXPECT_EQ(total, 28 + 0x80);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}
