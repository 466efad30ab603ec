/* sweep_manager_test.c: every function of dcmem/manager.h and dcmem/stats.h, with each of its calls failing in turn. */
#include "sweeps.h"

#include <stdlib.h>

static dcmem_manager_options
options_on(const dcmem_backend *backend)
{
    return (dcmem_manager_options){
        .size = sizeof(dcmem_manager_options), .driver = backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
}

static dcmem_result
make_manager(dcmem_manager **out, const dcmem_backend *backend)
{
    dcmem_manager_options options = options_on(backend);
    return dcmem_manager_create(out, &options);
}

/* ---- Create and destroy ---- */

static dcmem_result
create(subject *me)
{
    return make_manager(&me->out.manager, me->backend);
}

static void
destroy_created(subject *me)
{
    EXPECT_OK(dcmem_manager_destroy(me->out.manager));
}

SWEEP_TEST(sweep__of_manager_create)
{
    subject me = {.perform = create, .finish = destroy_created, .no_manager = true};
    EXPECT_GE(sweep_over_all(&me), 4);
}

static dcmem_result
create_with_maintenance(subject *me)
{
    dcmem_manager_options options = {.size = sizeof options, .driver = me->backend, .exact_peaks = 1};
    return dcmem_manager_create(&me->out.manager, &options);
}

SWEEP_TEST(sweep__of_manager_create_with_maintenance)
{
    subject me = {.perform = create_with_maintenance, .finish = destroy_created, .no_manager = true};
    EXPECT_GE(sweep_over_all(&me), 4);
}

static dcmem_result
prepare_used_manager(subject *me)
{
    dcmem_result result = make_manager(&me->manager, me->backend);
    for (int i = 0; !result && i < 40; i++) {
        void *block = dcmem_raw_allocate(me->manager, 64ull << i / 2);
        result = block ? dcmem_raw_free(me->manager, block) : dcmem_last_detail()->result;
    }
    return result;
}

/* Whatever the driver says, the manager is gone and its handle is stale. */
static dcmem_result
destroy(subject *me)
{
    return dcmem_manager_destroy(me->manager);
}

static const char *
manager_is_gone(subject *me)
{
    return dcmem_manager_destroy(me->manager) == DCMEM_E_STALE_MANAGER ? NULL : "the manager is not gone";
}

SWEEP_TEST(sweep__of_manager_destroy)
{
    subject me = {.prepare = prepare_used_manager,
                  .perform = destroy,
                  .inspect = manager_is_gone,
                  .no_retry = true,
                  .no_manager = true};
    EXPECT_GE(sweep_over_all(&me), 1);
}

/* ---- What gives memory back ---- */

static dcmem_result
prepare_free_memory(subject *me)
{
    dcmem_result result = DCMEM_OK;
    for (int i = 0; !result && i < 40; i++) {
        void *block = dcmem_raw_allocate(me->manager, 64ull << i / 2);
        result = block ? dcmem_raw_free(me->manager, block) : dcmem_last_detail()->result;
    }
    me->blocks[0] = dcmem_raw_allocate(me->manager, 5000);
    return result ? result : result_of(me->blocks[0]);
}

static dcmem_result
trim(subject *me)
{
    uint64_t bytes;
    dcmem_result result = dcmem_manager_trim(&bytes, me->manager, 0);
    if (!result)
        me->out.number = bytes;
    return result;
}

SWEEP_TEST(sweep__of_manager_trim)
{
    subject me = {.prepare = prepare_free_memory, .perform = trim};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
optimize(subject *me)
{
    dcmem_optimize_report report = {.size = sizeof report};
    dcmem_result result = dcmem_manager_optimize(&report, me->manager, 0, 0);
    if (!result)
        me->out.report = report;
    return result;
}

SWEEP_TEST(sweep__of_manager_optimize)
{
    subject me = {.prepare = prepare_free_memory, .perform = optimize};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
maintain(subject *me)
{
    return dcmem_manager_maintain(me->manager);
}

SWEEP_TEST(sweep__of_manager_maintain)
{
    subject me = {.prepare = prepare_free_memory, .perform = maintain};
    sweep_over_all(&me);
}

static dcmem_result
prepare_live_things(subject *me)
{
    dcmem_buffer *buffer;
    void *block = dcmem_raw_allocate(me->manager, 100 * KIB);
    dcmem_result result = block ? DCMEM_OK : dcmem_last_detail()->result;
    return result ? result : dcmem_buffer_create(&buffer, me->manager, 3 * MIB, NULL);
}

static dcmem_result
clear(subject *me)
{
    return dcmem_manager_clear(me->manager);
}

static const char *
nothing_is_live(subject *me)
{
    dcmem_stats *stats = calloc(1, sizeof *stats);
    stats->size = sizeof *stats;
    dcmem_result result = dcmem_stats_snapshot(stats, me->manager);
    uint64_t live = stats->live_allocations + stats->live_buffers + stats->used_bytes + stats->reserved_bytes;
    free(stats);
    return result ? dcmem_last_detail()->message : live ? "something is still live" : NULL;
}

SWEEP_TEST(sweep__of_manager_clear)
{
    subject me = {.prepare = prepare_live_things, .perform = clear, .inspect = nothing_is_live};
    EXPECT_GE(sweep_over_all(&me), 1);
}

/* ---- What asks and sets ---- */

static dcmem_result
ask_device_info(subject *me)
{
    dcmem_device_info info = {.size = sizeof info};
    dcmem_result result = dcmem_manager_device_info(&info, me->manager);
    if (!result)
        me->out.info = info;
    return result;
}

SWEEP_TEST(sweep__of_manager_device_info)
{
    subject me = {.perform = ask_device_info};
    sweep_over_all(&me);
}

static dcmem_result
ask_limits(subject *me)
{
    dcmem_limits limits = {.size = sizeof limits};
    dcmem_result result = dcmem_manager_limits(&limits, me->manager);
    if (!result)
        me->out.limits = limits;
    return result;
}

SWEEP_TEST(sweep__of_manager_limits)
{
    subject me = {.perform = ask_limits};
    sweep_over_all(&me);
}

static dcmem_result
set_and_check(subject *me)
{
    dcmem_result result = dcmem_manager_set_limit(me->manager, 100 * MIB);
    if (!result)
        result = dcmem_manager_set_policy(me->manager, DCMEM_POLICY_TIGHT);
    if (!result)
        result = dcmem_stats_reset_peaks(me->manager);
    if (!result)
        result = dcmem_manager_check(me->manager);
    return result;
}

SWEEP_TEST(sweep__of_set_limit_set_policy_reset_peaks_and_check)
{
    subject me = {.prepare = prepare_free_memory, .perform = set_and_check};
    sweep_over_all(&me);
}

static dcmem_result
take_snapshot(subject *me)
{
    dcmem_stats *stats = calloc(1, sizeof *stats);
    stats->size = sizeof *stats;
    dcmem_result result = dcmem_stats_snapshot(stats, me->manager);
    if (!result)
        me->out.number = stats->allocations;
    free(stats);
    return result;
}

SWEEP_TEST(sweep__of_stats_snapshot)
{
    subject me = {.prepare = prepare_free_memory, .perform = take_snapshot};
    sweep_over_all(&me);
}

static dcmem_result
print_json(subject *me)
{
    static dcmem_stats stats = {.size = sizeof stats};
    size_t bytes;
    dcmem_result result = dcmem_stats_snapshot(&stats, me->manager);
    if (!result)
        result = dcmem_stats_print_json((char *)me->out.host, sizeof me->out.host, &bytes, &stats);
    return result;
}

static dcmem_result
print_table(subject *me)
{
    static dcmem_stats stats = {.size = sizeof stats};
    size_t bytes;
    dcmem_result result = dcmem_stats_snapshot(&stats, me->manager);
    if (!result)
        result = dcmem_stats_print_table((char *)me->out.host, sizeof me->out.host, &bytes, &stats);
    return result;
}

static const char *
is_text(subject *me)
{
    return memchr(me->out.host, '\0', sizeof me->out.host) ? NULL : "what was printed has no end";
}

SWEEP_TEST(sweep__of_stats_print_json_and_print_table)
{
    subject me = {.prepare = prepare_free_memory, .perform = print_json, .inspect = is_text};
    sweep_over_all(&me);
    me.perform = print_table;
    sweep_over_all(&me);
}

/* ---- By name, so the faulty backend is registered ---- */

static dcmem_result
register_backend(subject *me)
{
    return dcmem_backend_register(me->backend);
}

static dcmem_result
describe(subject *me)
{
    dcmem_device_info info = {.size = sizeof info};
    dcmem_result result = dcmem_device_describe(&info, me->backend->name, 0);
    if (!result)
        me->out.info = info;
    return result;
}

static const char *
unregister_backend(subject *me)
{
    return dcmem_backend_unregister(me->backend) ? dcmem_last_detail()->message : NULL;
}

/* Over the simulated device only: the CPU's name is taken. Returns the points met. */
static uint64_t
sweep_by_name(subject *me)
{
    dcmem_sweep sweep = {.size = sizeof sweep,
                         .user = me,
                         .setup = sweep_setup,
                         .act = sweep_act,
                         .check = sweep_check,
                         .teardown = sweep_teardown,
                         .no_manager = true};
    dcmem_sweep_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_EQ(report.mended, 0);
    return report.points;
}

TEST(sweep__of_device_describe)
{
    subject me = {.prepare = register_backend, .perform = describe, .inspect = unregister_backend, .no_manager = true};
    EXPECT_GE(sweep_by_name(&me), 3);
}

static dcmem_result
come_and_go(subject *me)
{
    dcmem_result result = dcmem_backend_check(me->backend);
    if (!result)
        result = dcmem_backend_register(me->backend);
    if (!result)
        result = dcmem_backend_unregister(me->backend);
    return result;
}

static const char *
is_gone(subject *me)
{
    return dcmem_backend_find(me->backend->name) ? "the backend is still registered" : NULL;
}

/* The registry calls nobody, so nothing fails in it. */
TEST(sweep__of_backend_check_register_and_unregister)
{
    subject me = {.perform = come_and_go, .inspect = is_gone, .no_manager = true};
    EXPECT_EQ(sweep_by_name(&me), 0);
}
