/* fake_test.c: a fake counts, remembers, fails on command, keeps books, and speaks up when the contract is broken. */
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define KIB 1024ull

static const dcmem_call someone = {.tag = 7, .op_index = 1};

/* What a fake reported, instead of an abort. */
typedef struct complaints {
    int count;
    char last[200];
} complaints;

static void
complain(void *user, const char *message)
{
    complaints *all = user;
    all->count++;
    snprintf(all->last, sizeof all->last, "%s", message);
}

typedef struct rig {
    complaints said;
    dcmem_fake *fake;
    const dcmem_backend *backend;
    void *device;
} rig;

static void
rig_open(rig *it, const dcmem_simulated_profile *profile)
{
    memset(it, 0, sizeof *it);
    dcmem_fake_options options = {
        .size = sizeof options, .profile = profile, .report = complain, .report_user = &it->said};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    EXPECT_OK(dcmem_fake_create(&it->fake, &options));
    it->backend = dcmem_fake_backend(it->fake);
    EXPECT_OK(it->backend->open(&it->device, it->backend, &open));
}

static void
rig_close(rig *it)
{
    it->backend->close(it->device);
    EXPECT_EQ(it->said.count, 0);
    EXPECT_OK(dcmem_fake_destroy(it->fake));
}

static dcmem_result
acquire(dcmem_extent *out, rig *it, uint64_t bytes)
{
    dcmem_acquire request = {.bytes = bytes};
    return it->backend->acquire(out, it->device, &someone, &request);
}

static dcmem_result
release(rig *it, const dcmem_extent *extent)
{
    return it->backend->release(it->device, &someone, extent);
}

static dcmem_result
copy_in(rig *it, const dcmem_extent *to_extent, uint64_t offset, const void *from, uint64_t bytes)
{
    dcmem_place to = {.extent = to_extent, .offset = offset}, host = {.host = (void *)(uintptr_t)from};
    return it->backend->copy(it->device, &someone, &to, &host, bytes);
}

static void
expect_complaint(rig *it, const char *part)
{
    EXPECT_EQ(it->said.count, 1);
    if (!strstr(it->said.last, part))
        fail_msg("\"%s\" does not say \"%s\"", it->said.last, part);
    EXPECT_RESULT(dcmem_fake_verify(it->fake), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL(part);
    it->said.count = 0;
}

/* ---- Life ---- */

TEST(create__refuses_wrong_options)
{
    dcmem_fake *fake = NULL;
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    dcmem_fake_options sized = {.size = 3};
    dcmem_fake_options both = {.size = sizeof both, .profile = &profile, .over = dcmem_backend_find("cpu")};
    dcmem_fake_options named = {.size = sizeof named, .name = "a name of far too many letters"};
    dcmem_fake_options odd = {.size = sizeof odd, .profile = &profile};
    EXPECT_RESULT(dcmem_fake_create(NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_create(&fake, &sized), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_create(&fake, &both), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_create(&fake, &named), DCMEM_E_INVALID_ARGUMENT);
    profile.granularity = 3;
    EXPECT_RESULT(dcmem_fake_create(&fake, &odd), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!fake);
    EXPECT_OK(dcmem_fake_destroy(NULL));
}

TEST(table__keeps_the_contract_over_every_backend)
{
    dcmem_fake *fake;
    dcmem_fake_options over_cpu = {.size = sizeof over_cpu, .over = dcmem_backend_find("cpu")};
    EXPECT_OK(dcmem_fake_create(&fake, NULL));
    EXPECT_OK(dcmem_backend_check(dcmem_fake_backend(fake)));
    EXPECT_OK(dcmem_fake_destroy(fake));

    EXPECT_OK(dcmem_fake_create(&fake, &over_cpu));
    EXPECT_OK(dcmem_backend_check(dcmem_fake_backend(fake)));
    assert_string_equal(dcmem_fake_backend(fake)->name, "cpu");
    EXPECT_OK(dcmem_fake_destroy(fake));
}

TEST(info__is_that_of_the_device_behind_under_the_fakes_name)
{
    dcmem_fake *fake;
    dcmem_fake_options options = {.size = sizeof options, .over = dcmem_backend_find("cpu"), .name = "double"};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_device_info info = {.size = sizeof info}, real = {.size = sizeof real};
    void *device;
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    const dcmem_backend *backend = dcmem_fake_backend(fake);
    EXPECT_OK(backend->open(&device, backend, &open));
    EXPECT_OK(backend->info(&info, device));
    EXPECT_OK(dcmem_device_describe(&real, "cpu", 0));
    assert_string_equal(info.backend, "double");
    assert_string_equal(info.name, real.name);
    EXPECT_EQ(info.total_bytes, real.total_bytes);
    backend->close(device);
    EXPECT_OK(dcmem_fake_destroy(fake));
}

TEST(destroy__refuses_an_open_device_and_tells_of_leaks)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_RESULT(dcmem_fake_destroy(it.fake), DCMEM_E_BUSY);
    it.backend->close(it.device);
    expect_complaint(&it, "close while an extent is still held");
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 4 * KIB);
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 1);
    EXPECT_RESULT(dcmem_fake_destroy(it.fake), DCMEM_E_LEAKED);
    EXPECT_DETAIL("1 extents of 4096 bytes");
}

/* ---- Counting and remembering ---- */

TEST(count__tells_tried_called_and_did_apart)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_RESULT(acquire(&extent, &it, 1ull << 30), DCMEM_E_TOO_LARGE);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 1, 1));
    EXPECT_RESULT(acquire(&extent, &it, 4 * KIB), DCMEM_E_NO_MEMORY);

    dcmem_fake_count count = dcmem_fake_count_of(it.fake, DCMEM_FAKE_acquire);
    EXPECT_EQ(count.tried, 3);
    EXPECT_EQ(count.called, 2);
    EXPECT_EQ(count.did, 1);
    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_any).tried, 4); /* open, too */
    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_copy).tried, 0);
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(last__remembers_what_each_operation_was_asked_and_gave)
{
    rig it;
    dcmem_extent extent;
    char bytes[64] = "some bytes";
    rig_open(&it, NULL);
    EXPECT_EQ(dcmem_fake_last(it.fake, DCMEM_FAKE_acquire).index, 0);
    EXPECT_OK(acquire(&extent, &it, 8 * KIB));
    EXPECT_OK(copy_in(&it, &extent, 100, bytes, 64));
    dcmem_place to = {.extent = &extent, .offset = 16};
    EXPECT_OK(it.backend->fill(it.device, &someone, &to, 32, "abcd", 4));

    dcmem_fake_call call = dcmem_fake_last(it.fake, DCMEM_FAKE_acquire);
    EXPECT_EQ(call.request.bytes, 8 * KIB);
    EXPECT_EQ(call.call.tag, 7);
    EXPECT_EQ(call.extent.object, extent.object);
    call = dcmem_fake_last(it.fake, DCMEM_FAKE_copy);
    EXPECT(call.host == bytes && call.to.object == extent.object && call.from.bytes == 0);
    EXPECT_EQ(call.to_offset, 100);
    EXPECT_EQ(call.bytes, 64);
    call = dcmem_fake_last(it.fake, DCMEM_FAKE_any);
    EXPECT_EQ(call.operation, DCMEM_FAKE_fill);
    EXPECT_EQ(call.pattern_bytes, 4);
    EXPECT(memcmp(call.pattern, "abcd", 4) == 0);
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(dcmem_fake_last(it.fake, DCMEM_FAKE_release).result, DCMEM_OK);
    EXPECT_EQ(dcmem_fake_last(it.fake, (dcmem_fake_operation)999).index, 0);
    rig_close(&it);
}

TEST(nth__tells_of_each_call_until_too_many_came_after_it)
{
    rig it;
    dcmem_extent one, two;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&one, &it, 4 * KIB));
    EXPECT_OK(acquire(&two, &it, 8 * KIB));
    EXPECT_OK(release(&it, &one));
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 1).bytes, 4 * KIB);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 2).bytes, 8 * KIB);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 2).number, 2);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_release, 1).extent.object, one.object);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 3).index, 0);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 0).index, 0);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_any, 4).operation, DCMEM_FAKE_release); /* the first was open */
    EXPECT_OK(release(&it, &two));

    for (unsigned i = 0; i < DCMEM_FAKE_KEPT / 2; i++) {
        EXPECT_OK(acquire(&one, &it, 4 * KIB));
        EXPECT_OK(release(&it, &one));
    }
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 2).index, 0);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 3).bytes, 4 * KIB);
    dcmem_fake_reset(it.fake);
    EXPECT_EQ(dcmem_fake_nth(it.fake, DCMEM_FAKE_acquire, 3).index, 0);
    rig_close(&it);
}

TEST(script__gives_results_in_turn)
{
    static const dcmem_result results[] = {DCMEM_E_NO_MEMORY, DCMEM_OK, DCMEM_E_DEVICE_LOST, DCMEM_OK};
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB)); /* not counted: the script begins with what comes next */
    EXPECT_OK(release(&it, &extent));
    EXPECT_OK(dcmem_fake_script(it.fake, DCMEM_FAKE_acquire, results, 4));
    for (int i = 0; i < 6; i++) {
        dcmem_result result = acquire(&extent, &it, 4 * KIB);
        EXPECT_EQ(result, i < 4 ? results[i] : DCMEM_OK);
        if (!result)
            EXPECT_OK(release(&it, &extent));
    }
    rig_close(&it);
}

TEST(script__refuses_what_cannot_fail_and_too_many_failures)
{
    rig it;
    dcmem_result many[65];
    dcmem_extent extent;
    for (int i = 0; i < 65; i++)
        many[i] = DCMEM_E_DRIVER;
    rig_open(&it, NULL);
    EXPECT_RESULT(dcmem_fake_script(it.fake, DCMEM_FAKE_acquire, many, 65), DCMEM_E_LIMIT);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB)); /* none of it stands */
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(dcmem_fake_script(it.fake, DCMEM_FAKE_close, many, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_script(it.fake, DCMEM_FAKE_acquire, NULL, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_script(it.fake, DCMEM_FAKE_acquire, many, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_script(NULL, DCMEM_FAKE_acquire, many, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_fake_script(it.fake, DCMEM_FAKE_acquire, many, 64));
    rig_close(&it);
}

TEST(operation_name__is_that_of_the_function)
{
    assert_string_equal(dcmem_fake_operation_name(DCMEM_FAKE_acquire), "acquire");
    assert_string_equal(dcmem_fake_operation_name(DCMEM_FAKE_any), "any");
    assert_string_equal(dcmem_fake_operation_name((dcmem_fake_operation)1000), "unknown");
}

/* ---- Failing on command ---- */

TEST(fail__hits_exactly_the_calls_that_were_ordered)
{
    rig it;
    dcmem_extent extents[8];
    rig_open(&it, NULL);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 2, 2));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_acquire, DCMEM_E_DEVICE_LOST, 5, UINT64_MAX));
    const dcmem_result wanted[] = {DCMEM_OK,           DCMEM_E_NO_MEMORY,   DCMEM_E_NO_MEMORY,
                                   DCMEM_OK,           DCMEM_E_DEVICE_LOST, DCMEM_E_DEVICE_LOST,
                                   DCMEM_E_DEVICE_LOST};
    for (int i = 0; i < 7; i++) {
        extents[i].bytes = 99;
        EXPECT_RESULT(acquire(&extents[i], &it, 4 * KIB), wanted[i]);
        EXPECT_EQ(extents[i].bytes, wanted[i] ? 99 : 4 * KIB);
    }
    EXPECT_DETAIL("acquire of 4096 bytes: made to fail");
    EXPECT_OK(release(&it, &extents[0]));
    EXPECT_OK(release(&it, &extents[3]));
    rig_close(&it);
}

TEST(fail__of_any_counts_all_operations_that_can_fail)
{
    rig it;
    dcmem_extent extent;
    char byte = 1;
    rig_open(&it, NULL);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, 2, 1));
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_RESULT(copy_in(&it, &extent, 0, &byte, 1), DCMEM_E_DRIVER);
    EXPECT_OK(copy_in(&it, &extent, 0, &byte, 1));
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(fail__of_release_and_unmap_still_ends_the_claim)
{
    rig it;
    dcmem_extent extent;
    void *host;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_OK(it.backend->map(&host, it.device, &someone, &extent, 0, 16, DCMEM_MAP_READ_BIT));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_unmap, DCMEM_E_DEVICE_LOST, 1, 1));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_release, DCMEM_E_DEVICE_LOST, 1, 1));
    EXPECT_RESULT(it.backend->unmap(it.device, &someone, &extent, host), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(release(&it, &extent), DCMEM_E_DEVICE_LOST);
    EXPECT_DETAIL("made to fail");
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 0);
    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_release).did, 1);
    rig_close(&it);
}

TEST(fail__refuses_what_cannot_fail_and_too_many_orders)
{
    rig it;
    rig_open(&it, NULL);
    EXPECT_RESULT(dcmem_fake_fail(it.fake, DCMEM_FAKE_close, DCMEM_E_DRIVER, 1, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_OK, 1, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_fail(NULL, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_fail(it.fake, (dcmem_fake_operation)99, DCMEM_E_DRIVER, 1, 1), DCMEM_E_INVALID_ARGUMENT);
    for (int i = 0; i < 64; i++)
        EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_RESULT(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1), DCMEM_E_LIMIT);
    rig_close(&it);
}

static dcmem_result
refuse_small(void *user, const dcmem_fake_call *call)
{
    ++*(int *)user;
    return call->operation == DCMEM_FAKE_acquire && call->bytes < 8 * KIB ? call->result : DCMEM_OK;
}

TEST(gate__decides_by_what_a_call_asks_for)
{
    rig it;
    dcmem_extent extent;
    int asked = 0;
    rig_open(&it, NULL);
    dcmem_fake_set_gate(it.fake, refuse_small, &asked);
    EXPECT_RESULT(acquire(&extent, &it, 4 * KIB), DCMEM_E_NO_MEMORY);
    EXPECT_OK(acquire(&extent, &it, 8 * KIB));
    EXPECT_OK(release(&it, &extent));
    EXPECT_EQ(asked, 3);
    rig_close(&it);
    EXPECT_EQ(asked, 3); /* close cannot fail */
}

/* How often two gates have been asked; the upkeep asks them, too. */
static _Atomic uint64_t gate_asked[2];

static dcmem_result
count_asked(void *user, const dcmem_fake_call *call)
{
    (void)call;
    atomic_fetch_add((_Atomic uint64_t *)user, 1);
    return DCMEM_OK;
}

static void
change_gates(uint64_t least_asked)
{
    dcmem_fake *fake;
    dcmem_manager *manager;
    EXPECT_OK(dcmem_fake_create(&fake, NULL));
    dcmem_manager_options options = {
        .size = sizeof options, .driver = dcmem_fake_backend(fake), .idle_time_ns = 1, .maintenance_interval_ns = 1000};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    atomic_store(&gate_asked[0], 0);
    atomic_store(&gate_asked[1], 0);
    for (uint64_t i = 0; atomic_load(&gate_asked[0]) + atomic_load(&gate_asked[1]) < least_asked; i++) {
        dcmem_fake_set_gate(fake, i % 3 ? count_asked : NULL, (void *)(uintptr_t)&gate_asked[i % 2]);
        EXPECT_OK(dcmem_raw_free(manager, dcmem_raw_allocate(manager, 100000)));
        EXPECT_OK(dcmem_fake_expect(fake, DCMEM_FAKE_any, 0, UINT64_MAX));
        EXPECT_OK(dcmem_fake_verify(fake));
        (void)dcmem_fake_count_of(fake, DCMEM_FAKE_any);
        (void)dcmem_fake_nth(fake, DCMEM_FAKE_info, 1);
    }
    dcmem_fake_set_gate(fake, NULL, NULL);
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_fake_destroy(fake));
}

TEST(gate__may_change_while_the_upkeep_calls_the_driver)
{
    change_gates(20);
}

LONG_TEST(gate__may_change_for_long_while_the_upkeep_calls_the_driver)
{
    change_gates(test_scaled(5000));
}

TEST(reset__forgets_orders_counts_and_gate_but_not_what_is_held)
{
    rig it;
    dcmem_extent extent, more;
    int asked = 0;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    dcmem_fake_set_gate(it.fake, refuse_small, &asked);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 1, UINT64_MAX));
    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_copy, 5, 5));
    dcmem_fake_reset(it.fake);
    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_any).tried, 0);
    EXPECT_OK(acquire(&more, &it, 4 * KIB));
    EXPECT_OK(dcmem_fake_verify(it.fake));
    EXPECT_EQ(asked, 0);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 8 * KIB);
    EXPECT_OK(release(&it, &extent));
    EXPECT_OK(release(&it, &more));
    rig_close(&it);
}

/* ---- Expectations ---- */

TEST(expect__is_content_with_what_was_expected)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_acquire, 1, 1));
    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_copy, 0, 0));
    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_any, 2, 9));
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_OK(release(&it, &extent));
    EXPECT_OK(dcmem_fake_verify(it.fake));
    EXPECT_OK(acquire(&extent, &it, 4 * KIB)); /* expectations have ended */
    EXPECT_OK(release(&it, &extent));
    EXPECT_OK(dcmem_fake_verify(it.fake));
    rig_close(&it);
}

TEST(expect__reports_one_call_too_many_as_it_happens_and_one_too_few_at_the_end)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_acquire, 0, 0));
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    expect_complaint(&it, "acquire of 4096 bytes, tag 7: one call more than expected");

    EXPECT_OK(dcmem_fake_expect(it.fake, DCMEM_FAKE_copy, 3, 3));
    EXPECT_RESULT(dcmem_fake_verify(it.fake), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("copy: expected at least 3 calls, saw 0");
    it.said.count = 0;

    EXPECT_RESULT(dcmem_fake_expect(it.fake, DCMEM_FAKE_copy, 3, 2), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fake_expect(NULL, DCMEM_FAKE_copy, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

/* ---- A broken contract ---- */

TEST(contract__release_of_what_is_not_held_is_reported_and_does_not_go_on)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 8 * KIB));
    dcmem_extent part = extent;
    part.bytes = 4 * KIB;
    EXPECT_RESULT(release(&it, &part), DCMEM_E_CONTRACT);
    expect_complaint(&it, "releases a part");
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(release(&it, &extent), DCMEM_E_CONTRACT);
    expect_complaint(&it, "releases what is not acquired");
    EXPECT_EQ(dcmem_fake_count_of(it.fake, DCMEM_FAKE_release).called, 1);
    rig_close(&it);
}

TEST(contract__copies_and_fills_outside_of_what_is_held_are_reported)
{
    rig it;
    dcmem_extent extent;
    char bytes[64] = {0};
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_RESULT(copy_in(&it, &extent, 4 * KIB - 63, bytes, 64), DCMEM_E_CONTRACT);
    expect_complaint(&it, "leaves its extent");
    EXPECT_RESULT(copy_in(&it, &extent, 0, bytes, 0), DCMEM_E_CONTRACT);
    expect_complaint(&it, "of no bytes");
    EXPECT_RESULT(copy_in(&it, &extent, 0, NULL, 4), DCMEM_E_CONTRACT);
    expect_complaint(&it, "nowhere");

    dcmem_place a = {.extent = &extent, .offset = 0}, b = {.extent = &extent, .offset = 63};
    EXPECT_RESULT(it.backend->copy(it.device, &someone, &a, &b, 64), DCMEM_E_CONTRACT);
    expect_complaint(&it, "overlap");
    EXPECT_RESULT(it.backend->fill(it.device, &someone, &a, 12, "abc", 3), DCMEM_E_CONTRACT);
    expect_complaint(&it, "pattern of a wrong size");
    EXPECT_RESULT(it.backend->fill(it.device, &someone, &b, 16, "abcd", 4), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not a multiple of its pattern");
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(copy_in(&it, &extent, 0, bytes, 8), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not acquired");
    rig_close(&it);
}

TEST(contract__maps_that_leave_an_extent_or_end_twice_are_reported)
{
    rig it;
    dcmem_extent extent;
    void *host;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_RESULT(it.backend->map(&host, it.device, &someone, &extent, 4000, 100, 1), DCMEM_E_CONTRACT);
    expect_complaint(&it, "leaves its extent");
    EXPECT_OK(it.backend->map(&host, it.device, &someone, &extent, 0, 100, 1));
    EXPECT_OK(it.backend->flush(it.device, &someone, &extent, 0, 64));
    EXPECT_OK(it.backend->invalidate(it.device, &someone, &extent, 0, 64));
    EXPECT_RESULT(it.backend->flush(it.device, &someone, &extent, 4096, 64), DCMEM_E_CONTRACT);
    expect_complaint(&it, "leaves its extent");
    EXPECT_RESULT(it.backend->invalidate(it.device, &someone, &extent, 0, 0), DCMEM_E_CONTRACT);
    expect_complaint(&it, "no bytes");
    EXPECT_OK(it.backend->unmap(it.device, &someone, &extent, host));
    EXPECT_RESULT(it.backend->unmap(it.device, &someone, &extent, host), DCMEM_E_CONTRACT);
    expect_complaint(&it, "ends what is not there");
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(contract__a_map_that_outlives_its_device_is_reported)
{
    rig it;
    dcmem_extent extent;
    void *host;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_OK(it.backend->map(&host, it.device, &someone, &extent, 0, 100, 1));
    EXPECT_OK(release(&it, &extent));
    it.backend->close(it.device);
    expect_complaint(&it, "close while a map is still held");
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(contract__a_call_without_its_call_context_is_reported)
{
    rig it;
    dcmem_extent extent;
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_OK(it.backend->release(it.device, NULL, &extent));
    expect_complaint(&it, "release without a dcmem_call");
    rig_close(&it);
}

TEST(contract__parts_of_divisible_memory_may_be_released_in_pages_only)
{
    rig it;
    dcmem_extent extent;
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    rig_open(&it, &profile);
    EXPECT_OK(acquire(&extent, &it, 64 * KIB));
    dcmem_extent crooked = extent, beyond = extent, middle = extent;
    crooked.bytes = 1000;
    beyond.bytes = 128 * KIB;
    middle.object += 16 * KIB;
    middle.bytes = 16 * KIB;
    EXPECT_RESULT(release(&it, &crooked), DCMEM_E_CONTRACT);
    expect_complaint(&it, "whole pages");
    EXPECT_RESULT(release(&it, &beyond), DCMEM_E_CONTRACT);
    expect_complaint(&it, "more than was acquired");
    EXPECT_OK(release(&it, &middle));
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 48 * KIB);
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 2);
    crooked.bytes = 16 * KIB;
    EXPECT_OK(release(&it, &crooked));
    middle.object += 16 * KIB;
    middle.bytes = 32 * KIB;
    EXPECT_OK(release(&it, &middle));
    rig_close(&it);
}

/* ---- Imports ---- */

TEST(import__is_an_extent_of_no_bytes_until_it_is_released)
{
    rig it;
    dcmem_extent first, second;
    char memory[100] = "mine";
    rig_open(&it, NULL);
    EXPECT_OK(it.backend->import_host(&first, it.device, &someone, memory, sizeof memory));
    EXPECT_OK(it.backend->import_host(&second, it.device, &someone, memory, sizeof memory));
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 2);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 0);
    EXPECT(dcmem_fake_last(it.fake, DCMEM_FAKE_import_host).host == memory);
    EXPECT_OK(copy_in(&it, &first, 4, " too", 4));
    EXPECT(memcmp(memory, "mine too", 8) == 0);
    EXPECT_RESULT(copy_in(&it, &first, 97, " too", 4), DCMEM_E_CONTRACT);
    expect_complaint(&it, "leaves its extent");
    EXPECT_OK(release(&it, &first));
    EXPECT_OK(release(&it, &second));
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 0);
    rig_close(&it);
}

/* ---- A backend that misbehaves: what a fake of the kit could not be, for it is a fake that must find it out ---- */

static dcmem_backend liar;
static dcmem_extent lie;

static dcmem_result
acquire_lie(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)device;
    (void)call;
    (void)request;
    *out = lie;
    return DCMEM_OK;
}

TEST(contract__a_backend_that_gives_memory_twice_or_of_no_size_is_reported)
{
    rig it = {.said = {0}};
    dcmem_fake_options options = {.size = sizeof options, .over = &liar, .report = complain, .report_user = &it.said};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_extent extent;
    liar = *dcmem_backend_find("cpu");
    liar.acquire = acquire_lie;
    EXPECT_OK(dcmem_fake_create(&it.fake, &options));
    it.backend = dcmem_fake_backend(it.fake);
    EXPECT_OK(it.backend->open(&it.device, it.backend, &open));

    lie = (dcmem_extent){.object = 1 << 20, .bytes = 0};
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    expect_complaint(&it, "gave an extent of no size");
    lie.bytes = 8 * KIB;
    EXPECT_OK(acquire(&extent, &it, 8 * KIB));
    lie.object += 4 * KIB;
    EXPECT_OK(acquire(&extent, &it, 8 * KIB));
    expect_complaint(&it, "gave memory that is in use");

    it.backend->close(it.device);
    expect_complaint(&it, "close while an extent is still held");
    EXPECT_RESULT(dcmem_fake_destroy(it.fake), DCMEM_E_LEAKED);
}

TEST(devices__of_one_fake_close_in_any_order)
{
    rig it;
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    void *second;
    rig_open(&it, NULL);
    EXPECT_OK(it.backend->open(&second, it.backend, &open));
    it.backend->close(it.device);
    it.device = second;
    rig_close(&it);
}

TEST(open__that_fails_behind_fails_before)
{
    dcmem_fake *fake;
    dcmem_open open = {.size = sizeof open, .index = 5, .numa_node = -1};
    void *device = NULL;
    EXPECT_OK(dcmem_fake_create(&fake, NULL));
    const dcmem_backend *backend = dcmem_fake_backend(fake);
    EXPECT_RESULT(backend->open(&device, backend, &open), DCMEM_E_UNAVAILABLE);
    EXPECT(!device);
    EXPECT_EQ(dcmem_fake_count_of(fake, DCMEM_FAKE_open).called, 1);
    EXPECT_EQ(dcmem_fake_count_of(fake, DCMEM_FAKE_open).did, 0);
    EXPECT_OK(dcmem_fake_destroy(fake));
}

TEST(fill__may_be_of_host_memory_and_map_may_fail)
{
    rig it;
    dcmem_extent extent;
    char memory[8] = {0};
    void *host = NULL;
    dcmem_place to = {.host = memory};
    rig_open(&it, NULL);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB));
    EXPECT_OK(it.backend->fill(it.device, &someone, &to, 8, "z", 1));
    EXPECT(memory[7] == 'z' && dcmem_fake_last(it.fake, DCMEM_FAKE_fill).host == memory);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_map, DCMEM_E_NO_HOST_MEMORY, 1, 1));
    EXPECT_RESULT(it.backend->map(&host, it.device, &someone, &extent, 0, 8, 1), DCMEM_E_NO_HOST_MEMORY);
    EXPECT(!host);
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}
