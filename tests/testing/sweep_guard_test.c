/* sweep_guard_test.c: guarded blocks while each driver call fails in turn: nothing leaks, no sound block is named.
 *
 * The managers are the sweep's, so the guards come from the environment. */
#include "sweeps.h"

static _Atomic unsigned errors;

static void
count_error(void *user, dcmem_log_level level, const char *component, const char *message)
{
    (void)user, (void)message;
    errors += level == DCMEM_LOG_ERROR && strcmp(component, "guard") == 0;
}

static void
sweep_guarded(subject *me, uint64_t least)
{
    errors = 0;
    setenv("DCMEM_GUARDS", "all", 1);
    dcmem_log_set(count_error, NULL, DCMEM_LOG_ERROR);
    EXPECT_GE(sweep_over_all(me), least);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_WARNING);
    unsetenv("DCMEM_GUARDS");
    EXPECT_EQ(errors, 0);
}

static dcmem_result
prepare_block(subject *me)
{
    me->blocks[0] = dcmem_raw_allocate(me->manager, 3000);
    return result_of(me->blocks[0]);
}

static void
keep_block(subject *me)
{
    me->blocks[1] = me->out.address;
}

static dcmem_result
allocate(subject *me)
{
    void *block = dcmem_raw_allocate(me->manager, me->bytes);
    if (block)
        me->out.address = block;
    return result_of(block);
}

SWEEP_TEST(guarded_sweep__of_raw_allocate)
{
    static const uint64_t sizes[] = {1, 5000, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        subject me = {.perform = allocate, .finish = keep_block, .bytes = sizes[i]};
        sweep_guarded(&me, 3);
    }
}

static dcmem_result
reallocate(subject *me)
{
    void *block = dcmem_raw_reallocate(me->manager, me->blocks[0], 9000);
    if (block) {
        me->blocks[0] = NULL;
        me->out.address = block;
    }
    return result_of(block);
}

SWEEP_TEST(guarded_sweep__of_raw_reallocate)
{
    subject me = {.prepare = prepare_block, .perform = reallocate, .finish = keep_block};
    sweep_guarded(&me, 5);
}

static dcmem_result
free_block(subject *me)
{
    void *block = me->blocks[0];
    me->blocks[0] = NULL;
    return dcmem_raw_free(me->manager, block);
}

SWEEP_TEST(guarded_sweep__of_raw_free)
{
    subject me = {.prepare = prepare_block, .perform = free_block};
    sweep_guarded(&me, 3);
}

static dcmem_result
prepare_buffer(subject *me)
{
    uint8_t pattern[3000];
    fill_pattern(pattern, sizeof pattern, 1);
    dcmem_result result = dcmem_buffer_create_from(&me->buffers[0], me->manager, pattern, sizeof pattern, NULL);
    return result ? result : dcmem_buffer_synchronize(dcmem_view_whole(me->buffers[0]));
}

static const char *
buffer_has_pattern(subject *me)
{
    uint8_t got[3000];
    dcmem_view view;
    if (dcmem_view_slice(&view, dcmem_view_whole(me->buffers[0]), 0, sizeof got) || dcmem_buffer_copy_out(got, view, 0))
        return dcmem_last_detail()->message;
    return has_pattern(got, sizeof got, 1) ? NULL : "the buffer's bytes have changed";
}

static dcmem_result
resize(subject *me)
{
    return dcmem_buffer_resize(me->buffers[0], 9000);
}

SWEEP_TEST(guarded_sweep__of_buffer_resize)
{
    subject me = {.prepare = prepare_buffer, .perform = resize, .inspect = buffer_has_pattern};
    sweep_guarded(&me, 5);
}

static dcmem_result
destroy(subject *me)
{
    dcmem_buffer *buffer = me->buffers[0];
    me->buffers[0] = NULL;
    return dcmem_buffer_destroy(buffer);
}

SWEEP_TEST(guarded_sweep__of_buffer_destroy)
{
    subject me = {.prepare = prepare_buffer, .perform = destroy};
    sweep_guarded(&me, 3);
}

static dcmem_result
create_zeroed(subject *me)
{
    dcmem_buffer *buffer;
    dcmem_buffer_options options = {
        .size = sizeof options, .flags = DCMEM_BUFFER_ZEROED | DCMEM_BUFFER_SCRUB, .tag = 3};
    dcmem_result result = dcmem_buffer_create(&buffer, me->manager, 5000, &options);
    if (!result)
        me->out.buffer = buffer;
    return result;
}

static void
keep_buffer(subject *me)
{
    me->buffers[1] = me->out.buffer;
}

SWEEP_TEST(guarded_sweep__of_buffer_create)
{
    subject me = {.perform = create_zeroed, .finish = keep_buffer};
    sweep_guarded(&me, 4);
}

/* Something live, and something in quarantine. */
static dcmem_result
prepare_both(subject *me)
{
    dcmem_result result = prepare_block(me);
    void *freed = result ? NULL : dcmem_raw_allocate(me->manager, 500);
    if (!result)
        result = freed ? dcmem_raw_free(me->manager, freed) : dcmem_last_detail()->result;
    return result ? result : prepare_buffer(me);
}

static dcmem_result
check(subject *me)
{
    return dcmem_guard_check(me->manager);
}

SWEEP_TEST(guarded_sweep__of_guard_check)
{
    subject me = {.prepare = prepare_both, .perform = check};
    sweep_guarded(&me, 6);
}

static bool
count_one(void *user, const dcmem_allocation *allocation)
{
    (void)allocation;
    ++*(uint32_t *)user;
    return true;
}

static dcmem_result
list(subject *me)
{
    uint32_t count = 0;
    dcmem_result result = dcmem_guard_live(me->manager, count_one, &count);
    if (!result)
        me->out.count = count;
    return result;
}

SWEEP_TEST(guarded_sweep__of_guard_live)
{
    subject me = {.prepare = prepare_both, .perform = list};
    sweep_guarded(&me, 1);
}

static dcmem_result
trim(subject *me)
{
    return dcmem_manager_trim(NULL, me->manager, 0);
}

SWEEP_TEST(guarded_sweep__of_manager_trim)
{
    subject me = {.prepare = prepare_both, .perform = trim};
    sweep_guarded(&me, 3);
}

static dcmem_result
clear(subject *me)
{
    me->blocks[0] = NULL;
    me->buffers[0] = NULL;
    return dcmem_manager_clear(me->manager);
}

SWEEP_TEST(guarded_sweep__of_manager_clear)
{
    subject me = {.prepare = prepare_both, .perform = clear};
    sweep_guarded(&me, 5);
}

static dcmem_result
make_manager(subject *me)
{
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options,
                                     .driver = me->backend,
                                     .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF,
                                     .guards = DCMEM_GUARD_ALL};
    dcmem_result result = dcmem_manager_create(&manager, &options);
    if (!result)
        me->out.manager = manager;
    return result;
}

static void
end_manager(subject *me)
{
    EXPECT_OK(dcmem_manager_destroy(me->out.manager));
}

SWEEP_TEST(guarded_sweep__of_manager_create)
{
    subject me = {.perform = make_manager, .finish = end_manager, .no_manager = true};
    sweep_guarded(&me, 5);
}

static dcmem_result
prepare_manager(subject *me)
{
    dcmem_result result = make_manager(me);
    if (result)
        return result;
    me->manager = me->out.manager;
    memset(&me->out, UNTOUCHED, sizeof me->out);
    result = prepare_both(me);
    return result ? result : free_block(me);
}

static dcmem_result
end_with_a_leak(subject *me)
{
    me->buffers[0] = NULL;
    dcmem_result result = dcmem_manager_destroy(me->manager);
    return result == DCMEM_E_LEAKED ? DCMEM_OK : result;
}

static const char *
manager_is_gone(subject *me)
{
    return dcmem_manager_destroy(me->manager) == DCMEM_E_STALE_MANAGER ? NULL : "the manager is not gone";
}

SWEEP_TEST(guarded_sweep__of_manager_destroy)
{
    subject me = {.prepare = prepare_manager,
                  .perform = end_with_a_leak,
                  .inspect = manager_is_gone,
                  .no_retry = true,
                  .no_manager = true};
    sweep_guarded(&me, 4);
}

/* ---- Damage, while the driver fails ---- */

TEST(guard__check_says_when_it_could_not_read_and_finds_the_damage_later)
{
    dcmem_fake *fake;
    dcmem_backend *simulated;
    dcmem_manager *manager;
    dcmem_native face;
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 64 * MIB};
    EXPECT_OK(dcmem_simulated_create(&simulated, &profile, 1));
    dcmem_fake_options fake_options = {.size = sizeof fake_options, .over = simulated};
    EXPECT_OK(dcmem_fake_create(&fake, &fake_options));
    dcmem_manager_options options = {.size = sizeof options,
                                     .driver = dcmem_fake_backend(fake),
                                     .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF,
                                     .guards = DCMEM_GUARD_RED_ZONES | DCMEM_GUARD_POISON};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    dcmem_log_set(count_error, NULL, DCMEM_LOG_ERROR);
    errors = 0;

    void *block = dcmem_raw_allocate(manager, 100);
    EXPECT_OK(dcmem_raw_native(&face, manager, block));
    face.bytes += 8;
    EXPECT_OK(dcmem_simulated_write(simulated, 0, &face, 100, "x", 1));
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_guard_check(manager), DCMEM_E_DRIVER);
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_DRIVER);
    EXPECT_EQ(errors, 0);
    dcmem_fake_reset(fake);
    EXPECT_RESULT(dcmem_guard_check(manager), DCMEM_E_CORRUPTED);
    EXPECT_EQ(errors, 1);

    /* A failure of another call's stays this thread's last, whatever the guards met meanwhile. */
    EXPECT_RESULT(dcmem_raw_free(manager, NULL), DCMEM_OK);
    EXPECT_RESULT(dcmem_raw_set(manager, block, 0, 1000), DCMEM_E_OUT_OF_RANGE);
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_OK(dcmem_raw_free(manager, block));
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_OUT_OF_RANGE);
    dcmem_fake_reset(fake);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_WARNING);
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_fake_destroy(fake));
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}
