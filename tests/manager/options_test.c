/* options_test.c: what a manager is made from, what it tells of itself, and what every call says to a wrong handle. */
#include "pool/kit.h"

#include <dcmem/buffer.h>
#include <dcmem/version.h>

/* ---- Options ---- */

/* Nothing is made of wrong options, and the detail names the field. */
static void
expect_refused(dcmem_manager_options options, const char *field)
{
    dcmem_manager *const untouched = (dcmem_manager *)(uintptr_t)12345;
    dcmem_manager *manager = untouched;
    options.size = sizeof options;
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL(field);
    EXPECT(manager == untouched);
}

TEST(options__NULL_makes_a_manager_on_the_cpu)
{
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_manager_device_info(&info, manager));
    EXPECT_EQ(strcmp(info.backend, "cpu"), 0);
    manager_end(manager);
}

TEST(options__zeros_make_the_same_manager_as_NULL)
{
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    dcmem_limits limits = {.size = sizeof limits};
    EXPECT_OK(dcmem_manager_limits(&limits, manager));
    EXPECT_EQ(limits.limit_bytes, 0);
    EXPECT_EQ(limits.idle_limit_bytes, 0);
    manager_end(manager);
}

TEST(options__without_a_place_for_the_handle_nothing_is_made)
{
    EXPECT_RESULT(dcmem_manager_create(NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("out");
}

TEST(options__a_field_out_of_range_is_named)
{
    expect_refused((dcmem_manager_options){.sizing = (dcmem_sizing)2}, "sizing");
    expect_refused((dcmem_manager_options){.sizing = (dcmem_sizing)-1}, "sizing");
    expect_refused((dcmem_manager_options){.policy = (dcmem_policy)3}, "policy");
    expect_refused((dcmem_manager_options){.policy = (dcmem_policy)-1}, "policy");
    expect_refused((dcmem_manager_options){.huge_pages = (dcmem_huge_pages)99}, "huge_pages");
    expect_refused((dcmem_manager_options){.numa_node_plus_1 = 4097}, "numa_node_plus_1");
    expect_refused((dcmem_manager_options){.exact_peaks = 2}, "exact_peaks");
}

TEST(options__backend_and_driver_together_are_refused)
{
    dcmem_backend *driver;
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = MIB};
    EXPECT_OK(dcmem_simulated_create(&driver, &profile, 1));
    expect_refused((dcmem_manager_options){.backend = "cpu", .driver = driver}, "both");
    EXPECT_OK(dcmem_simulated_destroy(driver));
}

TEST(options__a_size_that_no_version_ever_had_is_refused)
{
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = 0};
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("size");
    options.size = sizeof(size_t) - 1;
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_INVALID_ARGUMENT);
    options.size = SIZE_MAX;
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_INVALID_ARGUMENT);
}

typedef struct later_options {
    dcmem_manager_options now;
    uint64_t later[4];
} later_options;

TEST(options__a_tail_of_zeros_from_a_later_version_is_allowed)
{
    later_options options = {.now.size = sizeof options};
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, &options.now));
    manager_end(manager);
}

TEST(options__a_field_that_only_a_later_version_knows_is_refused)
{
    for (unsigned i = 0; i < 4; i++) {
        later_options options = {.now.size = sizeof options};
        options.later[i] = 1ull << 40;
        dcmem_manager *manager;
        EXPECT_RESULT(dcmem_manager_create(&manager, &options.now), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_DETAIL("does not know");
    }
}

TEST(options__a_shorter_struct_of_an_earlier_version_is_allowed)
{
    dcmem_manager_options options;
    memset(&options, 0xff, sizeof options); /* what is past its size is not looked at */
    memset(&options, 0, offsetof(dcmem_manager_options, sizing));
    options.size = offsetof(dcmem_manager_options, sizing);
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    release(manager, allocate(manager, 100));
    manager_end(manager);
}

TEST(options__a_backend_that_is_not_there_is_told)
{
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options, .backend = "no such backend"};
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("no such backend");
    options = (dcmem_manager_options){.size = sizeof options, .device = 77};
    EXPECT_RESULT(dcmem_manager_create(&manager, &options), DCMEM_E_UNAVAILABLE);
}

TEST(options__numa_node_beyond_the_machines_is_refused_and_not_ignored)
{
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options, .numa_node_plus_1 = 4096};
    EXPECT(dcmem_manager_create(&manager, &options) != DCMEM_OK);
}

/* ---- Limits ---- */

TEST(limits__tell_what_was_set_and_what_is_used)
{
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.limit_bytes = 64 * MIB,
                                                                     .idle_limit_bytes = 5 * MIB,
                                                                     .largest_allocation_bytes = 32 * MIB});
    void *block = allocate(it.manager, 16 * MIB);
    dcmem_limits limits = {.size = sizeof limits};
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    EXPECT_EQ(limits.size, sizeof limits);
    EXPECT_EQ(limits.limit_bytes, 64 * MIB);
    EXPECT_EQ(limits.idle_limit_bytes, 5 * MIB);
    EXPECT_EQ(limits.largest_allocation_bytes, 32 * MIB);
    EXPECT_EQ(limits.total_bytes, 256 * MIB);
    EXPECT_EQ(limits.used_bytes, 16 * MIB);
    EXPECT_EQ(limits.reserved_bytes, 16 * MIB);
    EXPECT_EQ(limits.available_bytes, 48 * MIB);

    EXPECT_OK(dcmem_manager_set_limit(it.manager, 0));
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    EXPECT_EQ(limits.limit_bytes, 0);
    EXPECT_EQ(limits.available_bytes, 240 * MIB);

    EXPECT_OK(dcmem_manager_set_limit(it.manager, 8 * MIB)); /* below what is held: that stays */
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    EXPECT_EQ(limits.available_bytes, 0);
    EXPECT_EQ(limits.used_bytes, 16 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 16 * MIB), DCMEM_E_LIMIT);
    release(it.manager, block);
    device_close(&it);
}

TEST(limits__the_largest_allocation_is_the_devices_where_that_is_less)
{
    dcmem_simulated_profile profile = {
        .size = sizeof profile, .total_bytes = 64 * MIB, .largest_allocation_bytes = 8 * MIB};
    test_device it = device_open_profile(&profile, &(dcmem_manager_options){.largest_allocation_bytes = 32 * MIB});
    dcmem_limits limits = {.size = sizeof limits};
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    EXPECT_EQ(limits.largest_allocation_bytes, 8 * MIB);
    EXPECT_NULL(dcmem_raw_allocate(it.manager, 8 * MIB + 1), DCMEM_E_TOO_LARGE);
    release(it.manager, allocate(it.manager, 8 * MIB));
    device_close(&it);
}

TEST(limits__what_is_available_can_be_allocated)
{
    test_device it = device_open(64 * MIB, &(dcmem_manager_options){.limit_bytes = 48 * MIB});
    void *block = allocate(it.manager, 16 * MIB);
    dcmem_limits limits = {.size = sizeof limits};
    EXPECT_OK(dcmem_manager_limits(&limits, it.manager));
    void *rest = allocate(it.manager, limits.available_bytes);
    release(it.manager, rest);
    release(it.manager, block);
    device_close(&it);
}

TEST(limits__out_structs_without_their_size_are_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    EXPECT_RESULT(dcmem_manager_limits(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_manager_limits(&(dcmem_limits){0}, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("size");
    EXPECT_RESULT(dcmem_manager_device_info(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_manager_device_info(&(dcmem_device_info){0}, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_manager_optimize(&(dcmem_optimize_report){0}, manager, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_stats_snapshot(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
    static dcmem_stats stats;
    EXPECT_RESULT(dcmem_stats_snapshot(&stats, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("size");
    manager_end(manager);
}

/* ---- Policy ---- */

TEST(policy__what_is_none_is_refused)
{
    dcmem_manager *manager = cpu_manager(NULL);
    EXPECT_RESULT(dcmem_manager_set_policy(manager, (dcmem_policy)3), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("policy");
    EXPECT_RESULT(dcmem_manager_set_policy(manager, (dcmem_policy)-1), DCMEM_E_INVALID_ARGUMENT);
    for (int policy = DCMEM_POLICY_DEFAULT; policy <= (int)DCMEM_POLICY_TIGHT; policy++) {
        EXPECT_OK(dcmem_manager_set_policy(manager, (dcmem_policy)policy));
        release(manager, allocate(manager, MIB));
    }
    manager_end(manager);
}

/* ---- Trim and optimize ---- */

static void
leave_free(dcmem_manager *manager, unsigned blocks)
{
    void *live[64];
    for (unsigned i = 0; i < blocks; i++)
        live[i] = allocate(manager, MIB);
    for (unsigned i = 0; i < blocks; i++)
        release(manager, live[i]);
}

TEST(trim__gives_everything_that_is_free_back)
{
    test_device it = device_open(256 * MIB, NULL);
    leave_free(it.manager, 40);
    uint64_t bytes;
    EXPECT_OK(dcmem_manager_trim(&bytes, it.manager, 0));
    EXPECT_EQ(bytes, 40 * MIB);
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    EXPECT_OK(dcmem_manager_trim(&bytes, it.manager, 0));
    EXPECT_EQ(bytes, 0);
    device_close(&it);
}

TEST(trim__keeps_at_most_what_it_is_told_to)
{
    dcmem_manager *manager = cpu_manager(NULL);
    leave_free(manager, 40);
    uint64_t bytes;
    EXPECT_OK(dcmem_manager_trim(&bytes, manager, 10 * MIB));
    EXPECT_EQ(bytes, 30 * MIB);
    EXPECT_EQ(stats_of(manager).reserved_bytes, 10 * MIB);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 10 * MIB));
    EXPECT_EQ(stats_of(manager).reserved_bytes, 10 * MIB);
    manager_end(manager);
}

TEST(trim__takes_nothing_that_is_live)
{
    test_device it = device_open(256 * MIB, NULL);
    void *block = allocate(it.manager, 3 * MIB);
    leave_free(it.manager, 20);
    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, 0));
    EXPECT_EQ(stats_of(it.manager).used_bytes, 3 * MIB);
    EXPECT_OK(dcmem_raw_set(it.manager, block, 1, 3 * MIB));
    release(it.manager, block);
    device_close(&it);
}

TEST(optimize__gives_back_what_it_predicts)
{
    test_device it = device_open(256 * MIB, NULL);
    leave_free(it.manager, 40);
    dcmem_optimize_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_manager_optimize(&report, it.manager, 0, 0));
    EXPECT_EQ(report.predicted_bytes, 40 * MIB);
    EXPECT_EQ(report.returned_bytes, 40 * MIB);
    EXPECT_EQ(report.moved_bytes, 0);
    EXPECT(report.is_complete);
    EXPECT_EQ(account_of(&it).live_bytes, 0);

    EXPECT_OK(dcmem_manager_optimize(&report, it.manager, 0, 0));
    EXPECT_EQ(report.predicted_bytes, 0);
    EXPECT_EQ(report.returned_bytes, 0);
    EXPECT(report.is_complete);
    EXPECT_OK(dcmem_manager_optimize(NULL, it.manager, 0, 0));
    device_close(&it);
}

TEST(optimize__keeps_to_a_budget_of_bytes)
{
    dcmem_manager *manager = cpu_manager(NULL);
    leave_free(manager, 40);
    dcmem_optimize_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_manager_optimize(&report, manager, 4 * MIB, 0));
    EXPECT_EQ(report.returned_bytes, 4 * MIB);
    EXPECT(!report.is_complete);
    EXPECT_EQ(stats_of(manager).reserved_bytes, 36 * MIB);
    manager_end(manager);
}

TEST(optimize__with_a_nanosecond_is_not_complete)
{
    dcmem_manager *manager = cpu_manager(NULL);
    leave_free(manager, 40);
    dcmem_optimize_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_manager_optimize(&report, manager, 0, 1));
    EXPECT(!report.is_complete);
    EXPECT_LE(report.returned_bytes, 16 * MIB); /* one step */
    manager_end(manager);
}

/* ---- Idle memory ---- */

TEST(idle__no_idle_memory_means_that_none_is_kept)
{
    test_device it = device_open(256 * MIB, &(dcmem_manager_options){.idle_limit_bytes = DCMEM_NO_IDLE_MEMORY});
    leave_free(it.manager, 40);
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    EXPECT_EQ(stats_of(it.manager).thread_cache_bytes, 0);
    for (uint64_t bytes = 1; bytes < 8 * MIB; bytes = bytes * 3 + 1)
        release(it.manager, allocate(it.manager, bytes));
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    device_close(&it);
}

/* What threads have cached is theirs; all else is within the limit after every free that comes the slow way. */
TEST(idle__the_limit_bounds_what_is_kept_beside_the_caches)
{
    const uint64_t limit = 4 * MIB;
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.idle_limit_bytes = limit});
    leave_free(manager, 60);
    dcmem_stats stats = stats_of(manager);
    EXPECT_LE(stats.depot_bytes + stats.free_bytes, limit);
    EXPECT_GE(stats.trims, 1);
    manager_end(manager);
}

TEST(idle__a_small_thread_cache_is_kept_to)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.thread_cache_bytes = 256 * KIB});
    random_source random = {1};
    void *live[300] = {0};
    for (unsigned n = 0; n < 5000; n++) {
        void **block = &live[random_below(&random, 300)];
        EXPECT_OK(dcmem_raw_free(manager, *block));
        *block = *block ? NULL : allocate(manager, random_size(&random, 19));
        if (n % 50 == 0)
            EXPECT_LE(stats_of(manager).thread_cache_bytes, 256 * KIB);
    }
    for (unsigned i = 0; i < 300; i++)
        EXPECT_OK(dcmem_raw_free(manager, live[i]));
    EXPECT_LE(stats_of(manager).thread_cache_bytes, 256 * KIB);
    manager_end(manager);
}

/* ---- Device info ---- */

TEST(info__tells_of_the_device_behind)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .name = "Test device", .total_bytes = 64 * MIB};
    test_device it = device_open_profile(&profile, NULL);
    void *block = allocate(it.manager, 16 * MIB);
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_manager_device_info(&info, it.manager));
    EXPECT_EQ(info.total_bytes, 64 * MIB);
    EXPECT_EQ(info.free_bytes, 48 * MIB);
    EXPECT(strstr(info.name, "Test device") != NULL);
    release(it.manager, block);
    device_close(&it);
}

TEST(info__a_device_is_described_without_a_manager)
{
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_device_describe(&info, "cpu", 0));
    EXPECT_GE(info.total_bytes, 1);
    EXPECT_RESULT(dcmem_device_describe(&info, "no such backend", 0), DCMEM_E_UNAVAILABLE);
    EXPECT_RESULT(dcmem_device_describe(NULL, "cpu", 0), DCMEM_E_INVALID_ARGUMENT);
}

TEST(info__kinds_have_names)
{
    EXPECT_EQ(strcmp(dcmem_kind_name(DCMEM_KIND_DEVICE), "device"), 0);
    EXPECT_EQ(strcmp(dcmem_kind_name(DCMEM_KIND_HOST_VISIBLE), "host_visible"), 0);
    EXPECT_EQ(strcmp(dcmem_kind_name(DCMEM_KIND_COUNT), "unknown"), 0);
    EXPECT_EQ(strcmp(dcmem_kind_name((dcmem_kind)-1), "unknown"), 0);
}

/* ---- Wrong handles ---- */

static char some_memory[64];

static dcmem_result
of_address(const void *address)
{
    return address ? DCMEM_OK : dcmem_last_detail()->result;
}

static dcmem_result
try_create(dcmem_manager *manager)
{
    dcmem_buffer *buffer;
    return dcmem_buffer_create(&buffer, manager, 100, NULL);
}

/* name, call on `m` */
#define CALLS(X)                                                                                                       \
    X(device_info, dcmem_manager_device_info(&(dcmem_device_info){.size = sizeof(dcmem_device_info)}, m))              \
    X(limits, dcmem_manager_limits(&(dcmem_limits){.size = sizeof(dcmem_limits)}, m))                                  \
    X(set_limit, dcmem_manager_set_limit(m, 1))                                                                        \
    X(set_policy, dcmem_manager_set_policy(m, DCMEM_POLICY_TIGHT))                                                     \
    X(trim, dcmem_manager_trim(NULL, m, 0))                                                                            \
    X(optimize, dcmem_manager_optimize(NULL, m, 0, 0))                                                                 \
    X(clear, dcmem_manager_clear(m))                                                                                   \
    X(maintain, dcmem_manager_maintain(m))                                                                             \
    X(check, dcmem_manager_check(m))                                                                                   \
    X(snapshot, dcmem_stats_snapshot(&(dcmem_stats){.size = sizeof(dcmem_stats)}, m))                                  \
    X(reset_peaks, dcmem_stats_reset_peaks(m))                                                                         \
    X(allocate, of_address(dcmem_raw_allocate(m, 100)))                                                                \
    X(aligned, of_address(dcmem_raw_allocate_aligned(m, 100, 128)))                                                    \
    X(zeroed, of_address(dcmem_raw_allocate_zeroed(m, 10, 10)))                                                        \
    X(reallocate_null, of_address(dcmem_raw_reallocate(m, NULL, 100)))                                                 \
    X(reallocate, of_address(dcmem_raw_reallocate(m, some_memory, 100)))                                               \
    X(free_call, dcmem_raw_free(m, some_memory))                                                                       \
    X(free_null, dcmem_raw_free(m, NULL))                                                                              \
    X(usable_size, dcmem_raw_usable_size(&(uint64_t){0}, m, some_memory))                                              \
    X(set, dcmem_raw_set(m, some_memory, 0, 1))                                                                        \
    X(copy, dcmem_raw_copy(m, some_memory, some_memory + 32, 1))                                                       \
    X(write, dcmem_raw_write(m, some_memory, some_memory, 1))                                                          \
    X(read, dcmem_raw_read(m, some_memory, some_memory, 1))                                                            \
    X(native, dcmem_raw_native(&(dcmem_native){0}, m, some_memory))                                                    \
    X(buffer_create, try_create(m))

#define X_FUNCTION(name, call)                                                                                         \
    static dcmem_result call_##name(dcmem_manager *m)                                                                  \
    {                                                                                                                  \
        return call;                                                                                                   \
    }
CALLS(X_FUNCTION)

static const struct {
    const char *name;
    dcmem_result (*call)(dcmem_manager *manager);
} calls[] = {
#define X_ENTRY(name, call) {#name, call_##name},
    CALLS(X_ENTRY)};

static void
expect_everywhere(dcmem_manager *manager, dcmem_result wanted)
{
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        dcmem_result got = calls[i].call(manager);
        if (got != wanted)
            TEST_FAIL("%s of %p gave %s, not %s", calls[i].name, (void *)manager, dcmem_result_name(got),
                      dcmem_result_name(wanted));
        EXPECT_DETAIL("manager");
    }
}

TEST(handle__NULL_is_no_manager_for_any_call)
{
    expect_everywhere(NULL, DCMEM_E_NOT_A_MANAGER);
    EXPECT_OK(dcmem_manager_destroy(NULL));
}

/* Where every call is to be counted, caches are closed to the fast path: to NULL too. */
TEST(handle__NULL_does_not_open_a_cache_that_is_closed)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.exact_peaks = 1});
    void *block = allocate(manager, 100);
    release(manager, allocate(manager, 100));
    expect_everywhere(NULL, DCMEM_E_NOT_A_MANAGER);
    EXPECT_NULL(dcmem_raw_allocate(NULL, 100), DCMEM_E_NOT_A_MANAGER);
    EXPECT_RESULT(dcmem_raw_free(NULL, block), DCMEM_E_NOT_A_MANAGER);
    release(manager, block);
    manager_end(manager);
}

TEST(handle__one_that_was_destroyed_is_stale_for_every_call)
{
    dcmem_manager *manager = cpu_manager(NULL);
    release(manager, allocate(manager, 100));
    manager_end(manager);
    expect_everywhere(manager, DCMEM_E_STALE_MANAGER);
    EXPECT_RESULT(dcmem_manager_destroy(manager), DCMEM_E_STALE_MANAGER);
}

TEST(handle__one_whose_place_was_taken_is_stale_for_every_call)
{
    dcmem_manager *old = cpu_manager(NULL);
    release(old, allocate(old, 100));
    manager_end(old);
    dcmem_manager *new = cpu_manager(NULL);
    release(new, allocate(new, 100));
    expect_everywhere(old, DCMEM_E_STALE_MANAGER);
    EXPECT_RESULT(dcmem_manager_destroy(old), DCMEM_E_STALE_MANAGER);
    release(new, allocate(new, 100));
    manager_end(new);
}

TEST(handle__one_that_was_never_given_out_is_no_manager_for_any_call)
{
    dcmem_manager *manager = cpu_manager(NULL);
    release(manager, allocate(manager, 100));
    uint64_t handle = (uintptr_t)manager;
    int local;
    const uint64_t invented[] = {
        1,
        2,
        0xfffff,
        UINT64_MAX,
        1ull << 63,
        (uintptr_t)&local,
        (uintptr_t)some_memory,
        handle + (1ull << 20), /* a generation that has not come */
        handle | 0xfffff,      /* an index that there never was */
    };
    for (unsigned i = 0; i < sizeof invented / sizeof invented[0]; i++) {
        expect_everywhere((dcmem_manager *)(uintptr_t)invented[i], DCMEM_E_NOT_A_MANAGER);
        EXPECT_RESULT(dcmem_manager_destroy((dcmem_manager *)(uintptr_t)invented[i]), DCMEM_E_NOT_A_MANAGER);
    }
    manager_end(manager);
}

/* A pool of another kind of memory has an index too, but no handle that anybody was given. */
TEST(handle__any_64_bits_give_an_error_and_no_crash)
{
    random_source random = {1};
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned n = 0; n < 20000; n++) {
        uint64_t bits = random_next(&random) >> random_below(&random, 64);
        if (bits == (uintptr_t)manager)
            continue;
        dcmem_manager *wrong = (dcmem_manager *)(uintptr_t)bits;
        dcmem_result result = calls[random_below(&random, sizeof calls / sizeof calls[0])].call(wrong);
        EXPECT(result == DCMEM_E_NOT_A_MANAGER || result == DCMEM_E_STALE_MANAGER);
    }
    manager_end(manager);
}
