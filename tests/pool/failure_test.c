/* failure_test.c: drivers that fail and a host without address space: what is told, and that nothing is lost. */
#include "kit.h"

#include "base/os.h"
#include "pool/inside.h"

typedef struct faulty {
    dcmem_fake *fake;
    dcmem_manager *manager;
} faulty;

static faulty
open_faulty(const dcmem_simulated_profile *profile)
{
    faulty it;
    dcmem_fake_options options = {.size = sizeof options, .profile = profile};
    EXPECT_OK(dcmem_fake_create(&it.fake, &options));
    it.manager = cpu_manager(&(dcmem_manager_options){.driver = dcmem_fake_backend(it.fake)});
    return it;
}

static const dcmem_simulated_profile apart = {.size = sizeof apart, .total_bytes = 256ull << 20};

static void
close_faulty(faulty *it)
{
    dcmem_fake_reset(it->fake);
    manager_end(it->manager);
    EXPECT_EQ(dcmem_fake_live_bytes(it->fake), 0);
    EXPECT_OK(dcmem_fake_destroy(it->fake));
}

/* ---- Copies and fills ---- */

TEST(failure__a_fill_that_fails_gives_no_zeroed_block_and_keeps_none)
{
    faulty it = open_faulty(NULL);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, 1));
    EXPECT_NULL(dcmem_raw_allocate_zeroed(it.manager, 100, 1), DCMEM_E_DRIVER);
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.live_allocations, 0);
    EXPECT_EQ(stats.fills, 0);
    close_faulty(&it);
}

TEST(failure__a_copy_that_fails_leaves_a_reallocated_block_where_it_was)
{
    faulty it = open_faulty(NULL);
    void *block = allocate(it.manager, 100);
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    EXPECT_NULL(dcmem_raw_reallocate(it.manager, block, 100000), DCMEM_E_DRIVER);
    dcmem_stats stats = stats_of(it.manager);
    EXPECT_EQ(stats.live_allocations, 1);
    EXPECT_EQ(stats.copy_errors, 1);
    EXPECT_EQ(stats.copies_device_to_device, 0);
    EXPECT_GE(usable(it.manager, block), 100);
    release(it.manager, block);
    close_faulty(&it);
}

/* ---- The driver's memory ---- */

static dcmem_result
trim_all(dcmem_manager *manager)
{
    return dcmem_manager_trim(NULL, manager, 0);
}

static dcmem_result
optimize_all(dcmem_manager *manager)
{
    return dcmem_manager_optimize(NULL, manager, 0, 0);
}

static dcmem_result
maintain_twice(dcmem_manager *manager)
{
    dcmem_result first = dcmem_manager_maintain(manager); /* sees what lies idle; the next gives it back */
    return first ? first : dcmem_manager_maintain(manager);
}

/* A driver that fails to release has released all the same: the pool forgets that memory. */
static void
expect_told(dcmem_result (*call)(dcmem_manager *manager))
{
    faulty it = {0};
    dcmem_fake_options options = {.size = sizeof options, .profile = &apart};
    EXPECT_OK(dcmem_fake_create(&it.fake, &options));
    it.manager = cpu_manager(&(dcmem_manager_options){.driver = dcmem_fake_backend(it.fake), .idle_time_ns = 1});
    release(it.manager, allocate(it.manager, 32 * MIB));
    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, UINT64_MAX));

    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_release, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_RESULT(call(it.manager), DCMEM_E_DRIVER);
    EXPECT_EQ(stats_of(it.manager).reserved_bytes, 0);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 0);
    close_faulty(&it);
}

TEST(failure__a_release_that_fails_is_told_by_every_call_that_releases)
{
    expect_told(trim_all);
    expect_told(optimize_all);
    expect_told(maintain_twice);
    expect_told(dcmem_manager_clear);
}

TEST(failure__the_end_tells_that_the_driver_failed)
{
    faulty it = open_faulty(&apart);
    release(it.manager, allocate(it.manager, 32 * MIB));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_release, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_manager_destroy(it.manager), DCMEM_E_DRIVER);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 0);
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(failure__what_the_driver_says_of_itself_is_passed_on)
{
    faulty it = open_faulty(&apart);
    dcmem_limits limits = {.size = sizeof limits};
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_info, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_manager_limits(&limits, it.manager), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_manager_maintain(it.manager)); /* it only wanted to know whether memory is short */
    close_faulty(&it);
}

/* ---- Clear on a device of objects ---- */

TEST(failure__a_cleared_manager_on_a_device_of_objects_works_on)
{
    test_device it = device_open(256 * MIB, NULL);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t bytes = 1; bytes < 16 * MIB; bytes *= 3)
            EXPECT(allocate(it.manager, bytes) != NULL);
        EXPECT_OK(dcmem_manager_clear(it.manager));
        EXPECT_EQ(account_of(&it).live_bytes, 0);
        EXPECT_OK(dcmem_manager_check(it.manager));
    }
    device_close(&it);
}

/* ---- The host's address space ---- */

static uint64_t asked, refused;

static bool
refuse_one(const char *what)
{
    (void)what;
    return ++asked == refused;
}

/* Fails the first reservation, then the second, until a manager can be made and used. */
static void
sweep_creation(const dcmem_backend *driver)
{
    dcmem_manager_options options = {
        .size = sizeof options, .driver = driver, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    bool was_refused = true;
    for (refused = 1; was_refused; refused++) {
        dcmem_manager *manager = NULL;
        asked = 0;
        dcmi_os_fault = refuse_one;
        dcmem_result result = dcmem_manager_create(&manager, &options);
        void *block = result ? NULL : dcmem_raw_allocate(manager, 1000);
        dcmi_os_fault = NULL;
        was_refused = asked >= refused;

        if (result) {
            EXPECT(was_refused);
            EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
            EXPECT(manager == NULL);
            continue;
        }
        if (!block)
            EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_NO_HOST_MEMORY);
        EXPECT_OK(dcmem_raw_free(manager, block));
        release(manager, allocate(manager, 1000));
        manager_end(manager);
    }
    EXPECT_GE(refused, 6);
}

TEST(failure__each_reservation_of_a_manager_may_fail)
{
    sweep_creation(NULL);
}

TEST(failure__each_reservation_of_a_manager_on_a_device_may_fail)
{
    dcmem_backend *backend;
    EXPECT_OK(dcmem_simulated_create(&backend, &apart, 1));
    sweep_creation(backend);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

static bool
refuse_all(const char *what)
{
    (void)what;
    return true;
}

TEST(failure__memory_that_has_no_addresses_needs_some_of_the_host)
{
    test_device it = device_open(256 * MIB, NULL);
    release(it.manager, allocate(it.manager, 100));
    dcmi_os_fault = refuse_all;
    void *block = dcmem_raw_allocate(it.manager, 32 * MIB);
    dcmi_os_fault = NULL;
    EXPECT(block == NULL);
    EXPECT_RESULT(dcmem_last_detail()->result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_OK(dcmem_manager_trim(NULL, it.manager, 0));
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    release(it.manager, allocate(it.manager, 32 * MIB));
    device_close(&it);
}

/* ---- Descriptors ---- */

static void
without_descriptors(dcmem_manager *manager)
{
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    void *first = allocate(manager, 2 * MIB);
    uint32_t capacities[DCMI_MOST_ARENAS * 2];
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        capacities[i] = pool->regions[i].fit.capacity;
        pool->regions[i].fit.capacity = pool->regions[i].fit.high;
    }
    EXPECT_NULL(dcmem_raw_allocate(manager, 32 * MIB), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("descriptor");
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++)
        pool->regions[i].fit.capacity = capacities[i];
    release(manager, allocate(manager, 32 * MIB));
    release(manager, first);
}

TEST(failure__without_a_descriptor_nothing_is_held_that_nobody_knows)
{
    dcmem_manager *manager = cpu_manager(NULL);
    without_descriptors(manager);
    manager_end(manager);
    test_device it = device_open(256 * MIB, NULL);
    without_descriptors(it.manager);
    device_close(&it);
}

/* ---- Kinds, and the check itself ---- */

TEST(failure__a_kind_that_the_device_has_not_is_refused)
{
    dcmem_simulated_profile profile = apart;
    profile.kinds = DCMEM_KIND_BIT(DCMEM_KIND_DEVICE) | DCMEM_KIND_BIT(DCMEM_KIND_HOST);
    test_device it = device_open_profile(&profile, NULL);
    dcmi_pool *root = dcmi_pool_resolve(it.manager), *pool = NULL, *again = NULL;
    EXPECT_RESULT(dcmi_pool_of_kind(&pool, root, DCMEM_KIND_COUNT), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmi_pool_of_kind(&pool, root, DCMEM_KIND_MANAGED), DCMEM_E_UNSUPPORTED);
    EXPECT_DETAIL("managed");
    EXPECT(pool == NULL);
    EXPECT_OK(dcmi_pool_of_kind(&pool, root, DCMEM_KIND_HOST));
    EXPECT_OK(dcmi_pool_of_kind(&again, root, DCMEM_KIND_HOST));
    EXPECT(again == pool);
    EXPECT_EQ(dcmi_pool_kind(pool), DCMEM_KIND_HOST);
    device_close(&it);
}

TEST(failure__check_finds_memory_that_is_not_accounted_for)
{
    dcmem_manager *manager = cpu_manager(NULL);
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    void *block = allocate(manager, 100);
    atomic_fetch_add(&pool->budget->reserved, 4096);
    EXPECT_RESULT(dcmem_manager_check(manager), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("reserved");
    atomic_fetch_sub(&pool->budget->reserved, 4096);
    release(manager, block);
    manager_end(manager);
}
