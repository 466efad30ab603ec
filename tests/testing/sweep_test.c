/* sweep_test.c: the sweep reaches every call, and finds what is planted: a leak, a touched output, a lost failure. */
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <stdlib.h>

#define KIB 1024ull

/* A program of three points that can fail. It is right; what is planted makes it wrong in one way. */
typedef struct program {
    bool leaks_on_second_failure;
    bool touches_output;
    bool ignores_third_failure;
    bool fails_by_itself;
    int output;
    void *held[3];
} program;

static dcmem_result
take_three(dcmem_sweep_run *run)
{
    program *me = run->user;
    void *taken[3] = {NULL, NULL, NULL};
    if (me->fails_by_itself)
        return dcmem_backend_fail(DCMEM_E_INTERNAL, "program", 0, "its own fault");
    for (int i = 0; i < 3; i++) {
        /* Large enough for a driver call each. */
        taken[i] = dcmem_raw_allocate(run->manager, 8192 * KIB);
        if (taken[i] || (i == 2 && me->ignores_third_failure))
            continue;
        dcmem_result result = dcmem_last_detail()->result;
        if (me->touches_output)
            me->output = 1;
        for (int n = i; n-- > 0;)
            if (!(me->leaks_on_second_failure && i == 1))
                EXPECT_OK(dcmem_raw_free(run->manager, taken[n]));
        return result;
    }
    memcpy(me->held, taken, sizeof taken);
    me->output = 1;
    return DCMEM_OK;
}

static dcmem_result
forget(dcmem_sweep_run *run)
{
    program *me = run->user;
    me->output = 0;
    memset(me->held, 0, sizeof me->held);
    return DCMEM_OK;
}

static const char *
output_fits(dcmem_sweep_run *run)
{
    program *me = run->user;
    if (run->result)
        return me->output ? "the output was touched" : NULL;
    return me->held[2] ? NULL : "success without its third block";
}

static void
free_three(dcmem_sweep_run *run)
{
    program *me = run->user;
    for (int i = 0; i < 3; i++)
        if (me->held[i])
            EXPECT_OK(dcmem_raw_free(run->manager, me->held[i]));
}

static dcmem_sweep
sweep_of(program *me)
{
    return (dcmem_sweep){.size = sizeof(dcmem_sweep),
                         .user = me,
                         .setup = forget,
                         .act = take_three,
                         .check = output_fits,
                         .teardown = free_three};
}

TEST(sweep__passes_what_is_right_and_reaches_every_call)
{
    program me = {0};
    dcmem_sweep sweep = sweep_of(&me);
    dcmem_sweep_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_GE(report.points, 1);
    EXPECT_EQ(report.runs, 2 * report.points + 2);
    EXPECT_EQ(report.refused + report.mended, 2 * report.points);
}

TEST(sweep__runs_each_device_and_a_real_one)
{
    program me = {0};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.over = dcmem_backend_find("cpu");
    EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
    sweep.over = NULL;
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++) {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)i);
        sweep.profile = &profile;
        EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
    }
}

TEST(sweep__finds_a_leak_on_an_error_path_and_names_the_run)
{
    program me = {.leaks_on_second_failure = true};
    dcmem_sweep sweep = sweep_of(&me);
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_LEAKED);
    EXPECT_DETAIL("(acquire) ");
    EXPECT_DETAIL("failed with DCMEM_E_NO_MEMORY: the manager's end");
}

TEST(sweep__finds_an_output_that_was_touched)
{
    program me = {.touches_output = true};
    dcmem_sweep sweep = sweep_of(&me);
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("the output was touched (act gave DCMEM_E_NO_MEMORY)");
}

TEST(sweep__finds_an_output_that_was_touched_without_a_check_of_the_tests_own)
{
    program me = {.touches_output = true};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.check = NULL;
    EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
    sweep.output = &me.output;
    sweep.output_bytes = sizeof me.output;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("failed with DCMEM_E_NO_MEMORY: act failed and yet wrote byte 0 of its output");
    me.touches_output = false;
    EXPECT_OK(dcmem_test_sweep(NULL, &sweep));
}

TEST(sweep__finds_a_result_that_was_not_looked_at)
{
    program me = {.ignores_third_failure = true};
    dcmem_sweep sweep = sweep_of(&me);
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("success without its third block");
}

TEST(sweep__finds_a_failure_that_no_call_caused)
{
    program me = {.fails_by_itself = true};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.check = NULL;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("no call failed: act failed though no call did: DCMEM_E_INTERNAL: its own fault");
}

TEST(sweep__fails_calls_with_what_the_user_names)
{
    program me = {.touches_output = true};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.injected = DCMEM_E_DEVICE_LOST;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("failed with DCMEM_E_DEVICE_LOST");
}

TEST(sweep__stops_at_the_most_runs)
{
    program me = {0};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.most_runs = 1;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_LIMIT);
}

static dcmem_result
setup_that_fails(dcmem_sweep_run *run)
{
    (void)run;
    return dcmem_backend_fail(DCMEM_E_PERMISSION, "setup", 0, "not allowed");
}

TEST(sweep__passes_the_failure_of_setup_on)
{
    program me = {0};
    dcmem_sweep sweep = sweep_of(&me);
    sweep.setup = setup_that_fails;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_PERMISSION);
    EXPECT_DETAIL("not allowed");
}

TEST(sweep__refuses_wrong_arguments)
{
    program me = {0};
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    dcmem_manager_options options = {.size = 1};
    dcmem_sweep_report report = {.size = 1};
    dcmem_sweep sweep = sweep_of(&me), sized = sweep, idle = sweep, both = sweep, odd = sweep, managed = sweep,
                nowhere = sweep, empty = sweep;
    EXPECT_RESULT(dcmem_test_sweep(&report, &sweep), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_test_sweep(NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    sized.size = 1;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sized), DCMEM_E_INVALID_ARGUMENT);
    idle.act = NULL;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &idle), DCMEM_E_INVALID_ARGUMENT);
    nowhere.output_bytes = 1;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &nowhere), DCMEM_E_INVALID_ARGUMENT);
    empty.output = &me;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &empty), DCMEM_E_INVALID_ARGUMENT);
    both.over = dcmem_backend_find("cpu");
    both.profile = &profile;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &both), DCMEM_E_INVALID_ARGUMENT);
    profile.granularity = 3;
    odd.profile = &profile;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &odd), DCMEM_E_INVALID_ARGUMENT);
    managed.options = &options;
    EXPECT_RESULT(dcmem_test_sweep(NULL, &managed), DCMEM_E_INVALID_ARGUMENT);
}

/* ---- Points of the program's own ---- */

static dcmem_result
meet_points(dcmem_sweep_run *run)
{
    char *met = run->user;
    for (int i = 0; i < 4; i++)
        if (dcmem_sweep_point("an allocator"))
            met[i]++;
    return DCMEM_OK;
}

static const char *
injected_is_known(dcmem_sweep_run *run)
{
    if (!run->failed)
        return run->injected ? "a result without a failure" : NULL;
    return strcmp(run->failed, "an allocator") == 0 && run->injected == DCMEM_E_NO_HOST_MEMORY ? NULL : "wrong names";
}

TEST(point__of_the_program_is_swept_with_the_rest)
{
    char met[4] = {0};
    dcmem_sweep sweep = {
        .size = sizeof sweep, .user = met, .act = meet_points, .check = injected_is_known, .no_manager = true};
    dcmem_sweep_report report = {.size = sizeof report};
    EXPECT(!dcmem_sweep_point("outside of a sweep"));
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_EQ(report.points, 4);
    EXPECT_EQ(report.runs, 10);
    EXPECT_EQ(report.mended, 8);
    EXPECT_EQ(report.refused, 0);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(met[i], 1 + (i + 1)); /* once alone, and once for each start up to it */
}

static dcmem_result
sweep_within(dcmem_sweep_run *run)
{
    dcmem_sweep inner = {.size = sizeof inner, .act = meet_points, .user = run->user, .no_manager = true};
    EXPECT_OK(dcmem_test_sweep(NULL, &inner));
    return DCMEM_OK;
}

TEST(sweep__within_a_sweep_makes_the_outer_one_fail)
{
    char met[4] = {0};
    dcmem_sweep sweep = {.size = sizeof sweep, .user = met, .act = sweep_within, .no_manager = true};
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_BUSY);
    EXPECT_DETAIL("another sweep was started");
}

/* ---- A broken contract ---- */

static dcmem_result
break_the_contract(dcmem_sweep_run *run)
{
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_extent extent = {.object = 4096, .bytes = 4096};
    dcmem_call call = {.op_index = 1};
    void *device;
    dcmem_result result = run->backend->open(&device, run->backend, &open);
    if (result)
        return result;
    (void)run->backend->release(device, &call, &extent);
    run->backend->close(device);
    return DCMEM_OK;
}

TEST(sweep__tells_of_calls_that_break_the_contract)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = break_the_contract, .no_manager = true};
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("the contract was broken: ");
    EXPECT_DETAIL("releases what is not acquired");
}

static dcmem_result
leak_behind_the_managers_back(dcmem_sweep_run *run)
{
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_acquire request = {.bytes = 65536};
    dcmem_extent extent;
    dcmem_call call = {.op_index = 1};
    void *device;
    dcmem_result result = run->backend->open(&device, run->backend, &open);
    if (result)
        return result;
    result = run->backend->acquire(&extent, device, &call, &request);
    run->backend->close(device);
    return result;
}

TEST(sweep__counts_what_no_manager_knows_of)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = leak_behind_the_managers_back, .no_manager = true};
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_LEAKED);
    EXPECT_DETAIL("1 extents of 65536 bytes are still acquired");
}

static dcmem_result
end_the_manager(dcmem_sweep_run *run)
{
    return dcmem_manager_destroy(run->manager);
}

TEST(sweep__tells_of_a_manager_that_is_not_well)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = end_the_manager};
    EXPECT_RESULT(dcmem_test_sweep(NULL, &sweep), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("the manager is inconsistent");
}
