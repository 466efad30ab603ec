/* sweep.c: runs a piece of a program again and again, each time with another of the calls that can fail failing.
 *
 * Calls are counted in the order in which they ask, over all threads. A sweep of one thread meets them in the same
 * order each time; with several threads each run still fails exactly one call, or all from one on. */
#include "host.h"
#include "simulated.h"

#include <dcmem/runner.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RUNS 100000u

/* Of the one sweep that may run in a process. Any thread of the program under test may ask. A test that fails may jump
 * out of a sweep and never come back, so a new sweep takes over, and an older one that does come back notices. */
static struct {
    _Atomic uint64_t newest; /* number of the sweep that runs */
    _Atomic bool is_armed;
    _Atomic bool is_lasting; /* all calls from fail_at on, not it alone */
    _Atomic uint64_t fail_at;
    _Atomic uint64_t seen;
    _Atomic(const char *) failed; /* the first that was made to fail */
    _Atomic int injected;
} point;

typedef struct sweeping {
    const dcmem_sweep *sweep;
    uint64_t number;
    uint8_t *before; /* the output as it was before act; NULL: the sweep has none */
    dcmem_sweep_report report;
    dcmem_result result; /* of the first problem */
    char problem[160];
} sweeping;

/* Whether the call that asks is the one, or one of those, to fail. */
static bool
is_chosen(const char *what, dcmem_result result)
{
    if (!atomic_load(&point.is_armed))
        return false;
    uint64_t number = atomic_fetch_add(&point.seen, 1) + 1, fail_at = atomic_load(&point.fail_at);
    if (number < fail_at || (number > fail_at && !atomic_load(&point.is_lasting)))
        return false;
    const char *none = NULL;
    if (atomic_compare_exchange_strong(&point.failed, &none, what))
        atomic_store(&point.injected, (int)result);
    return true;
}

bool
dcmem_sweep_point(const char *what)
{
    return is_chosen(what ? what : "a call", DCMEM_E_NO_HOST_MEMORY);
}

/* The gate of the sweep's fake. */
static dcmem_result
gate(void *user, const dcmem_fake_call *call)
{
    const dcmem_sweep *sweep = user;
    dcmem_result result = sweep->injected ? sweep->injected : call->result;
    return is_chosen(dcmem_fake_operation_name(call->operation), result) ? result : DCMEM_OK;
}

static void
arm(uint64_t fail_at, bool is_lasting)
{
    atomic_store(&point.fail_at, fail_at);
    atomic_store(&point.is_lasting, is_lasting);
    atomic_store(&point.seen, 0);
    atomic_store(&point.failed, NULL);
    atomic_store(&point.injected, DCMEM_OK);
    atomic_store(&point.is_armed, true);
}

static void
disarm(dcmem_sweep_run *run)
{
    atomic_store(&point.is_armed, false);
    run->failed = atomic_load(&point.failed);
    run->injected = (dcmem_result)atomic_load(&point.injected);
}

/* Keeps the first problem of a run: what follows may only be its consequence. */
static void note(sweeping *state, dcmem_result result, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void
note(sweeping *state, dcmem_result result, const char *format, ...)
{
    if (state->result)
        return;
    state->result = result;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(state->problem, sizeof state->problem, format, arguments);
    va_end(arguments);
}

/* ---- One run ---- */

static dcmem_result
make_fake(dcmem_fake **out, const dcmem_sweep *sweep)
{
    dcmem_fake_options options = {.size = sizeof options, .over = sweep->over, .report = dcmem_fake_report_later};
    if (!sweep->over)
        options.profile = sweep->profile ? sweep->profile : &dcmi_profile_for_tests;
    return dcmem_fake_create(out, &options);
}

static dcmem_result
make_manager(dcmem_manager **out, const dcmem_sweep *sweep, const dcmem_backend *backend)
{
    dcmem_manager_options options = {.size = sizeof options, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    if (sweep->options)
        options = *sweep->options;
    options.backend = NULL;
    options.driver = backend;
    return dcmem_manager_create(out, &options);
}

static void
judge_output(sweeping *state)
{
    const uint8_t *output = state->sweep->output;
    for (size_t i = 0; state->before && i < state->sweep->output_bytes; i++)
        if (output[i] != state->before[i]) {
            note(state, DCMEM_E_WRONG_STATE, "act failed and yet wrote byte %zu of its output", i);
            return;
        }
}

/* What must hold right after act. */
static void
judge(sweeping *state, dcmem_sweep_run *run)
{
    if (run->result && !run->failed)
        note(state, DCMEM_E_WRONG_STATE, "act failed though no call did: %s: %s", dcmem_result_name(run->result),
             dcmem_last_detail()->message);
    if (run->result)
        judge_output(state);
    const char *wrong = state->sweep->check ? state->sweep->check(run) : NULL;
    if (wrong)
        note(state, DCMEM_E_WRONG_STATE, "%s (act gave %s)", wrong, dcmem_result_name(run->result));
    if (run->manager && dcmem_manager_check(run->manager))
        note(state, DCMEM_E_WRONG_STATE, "the manager is inconsistent: %s", dcmem_last_detail()->message);
}

/* What must hold after the end. */
static void
settle(sweeping *state, dcmem_sweep_run *run)
{
    if (run->manager && dcmem_manager_destroy(run->manager))
        note(state, dcmem_last_detail()->result, "the manager's end: %s", dcmem_last_detail()->message);
    if (dcmem_fake_live_extents(run->fake) > 0)
        note(state, DCMEM_E_LEAKED, "%llu extents of %llu bytes are still acquired",
             (unsigned long long)dcmem_fake_live_extents(run->fake),
             (unsigned long long)dcmem_fake_live_bytes(run->fake));
    if (dcmem_fake_verify(run->fake))
        note(state, DCMEM_E_WRONG_STATE, "the contract was broken: %s", dcmem_last_detail()->message);
}

static void
act(sweeping *state, dcmem_sweep_run *run, uint64_t fail_at, bool is_lasting)
{
    dcmem_fake_set_gate(run->fake, gate, (void *)(uintptr_t)state->sweep);
    if (state->before)
        memcpy(state->before, state->sweep->output, state->sweep->output_bytes);
    arm(fail_at, is_lasting);
    run->result = state->sweep->act(run);
    disarm(run);
    if (atomic_load(&point.newest) != state->number)
        note(state, DCMEM_E_BUSY, "another sweep was started before this one ended");
    dcmem_fake_set_gate(run->fake, NULL, NULL);

    state->report.refused += run->result != DCMEM_OK;
    state->report.mended += run->failed && !run->result;
    if (!run->failed)
        state->report.points = atomic_load(&point.seen);
}

/* The problem as it is told to the user. */
static dcmem_result
tell(const sweeping *state, const dcmem_sweep_run *run, uint64_t fail_at, bool is_lasting)
{
    if (!run->failed)
        return dcmem_backend_fail(state->result, "sweep", (int64_t)run->number, "run %llu, no call failed: %s",
                                  (unsigned long long)run->number, state->problem);
    return dcmem_backend_fail(state->result, "sweep", (int64_t)run->number,
                              "run %llu, call %llu (%s) %sfailed with %s: %s", (unsigned long long)run->number,
                              (unsigned long long)fail_at, run->failed, is_lasting ? "and all after it " : "",
                              dcmem_result_name(run->injected), state->problem);
}

/* `*out_met` tells whether a call was made to fail. */
static dcmem_result
run_once(bool *out_met, sweeping *state, uint64_t fail_at, bool is_lasting)
{
    const dcmem_sweep *sweep = state->sweep;
    dcmem_sweep_run run = {.user = sweep->user, .number = ++state->report.runs};

    dcmem_result result = make_fake(&run.fake, sweep);
    if (result)
        return result;
    run.backend = dcmem_fake_backend(run.fake);
    if (!sweep->no_manager)
        result = make_manager(&run.manager, sweep, run.backend);
    if (result)
        goto undo_fake;
    result = sweep->setup ? sweep->setup(&run) : DCMEM_OK;
    if (result)
        goto undo_manager;

    act(state, &run, fail_at, is_lasting);
    judge(state, &run);
    if (sweep->teardown)
        sweep->teardown(&run);
    settle(state, &run);
    (void)dcmem_fake_destroy(run.fake); /* a leak has been noted */
    *out_met = run.failed != NULL;
    return state->result ? tell(state, &run, fail_at, is_lasting) : DCMEM_OK;

undo_manager:
    (void)dcmem_manager_destroy(run.manager); /* setup's failure is what counts */
undo_fake:
    (void)dcmem_fake_destroy(run.fake);
    return result;
}

static dcmem_result
sweep_all(sweeping *state)
{
    uint64_t most_runs = state->sweep->most_runs ? state->sweep->most_runs : MOST_RUNS;
    for (int is_lasting = 0; is_lasting <= 1; is_lasting++) {
        bool has_met = true;
        for (uint64_t fail_at = 1; has_met; fail_at++) {
            if (state->report.runs == most_runs)
                return dcmem_backend_fail(DCMEM_E_LIMIT, "sweep", 0, "%llu runs, and calls still fail",
                                          (unsigned long long)most_runs);
            dcmem_result result = run_once(&has_met, state, fail_at, is_lasting);
            if (result)
                return result;
        }
    }
    return DCMEM_OK;
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "sweep", 0, "must hold: %s", #condition);              \
    } while (0)

dcmem_result
dcmem_test_sweep(dcmem_sweep_report *out, const dcmem_sweep *sweep)
{
    REQUIRE(!out || out->size == sizeof *out);
    REQUIRE(sweep && sweep->size == sizeof *sweep && sweep->act);
    REQUIRE(!sweep->over || !sweep->profile);
    REQUIRE(!sweep->output == !sweep->output_bytes);
    sweeping state = {
        .sweep = sweep, .number = atomic_fetch_add(&point.newest, 1) + 1, .report = {.size = sizeof state.report}};
    if (sweep->output && !(state.before = dcmi_host_new(sweep->output_bytes)))
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "sweep", 0, "a copy of the output, %zu bytes",
                                  sweep->output_bytes);
    dcmem_result result = sweep_all(&state);
    free(state.before);
    if (out)
        *out = state.report;
    return result;
}
