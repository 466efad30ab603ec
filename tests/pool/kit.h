/* kit.h: managers for tests of the pool, and what is asked of them again and again. */
#ifndef DCMI_TEST_POOL_KIT_H
#define DCMI_TEST_POOL_KIT_H

#include "test.h"

#include <dcmem/manager.h>
#include <dcmem/memory.h>
#include <dcmem/stats.h>
#include <dcmem/testing.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

typedef struct random_source {
    uint64_t state;
} random_source;

static inline uint64_t
random_next(random_source *source)
{
    source->state += 0x9e3779b97f4a7c15u;
    uint64_t z = source->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t
random_below(random_source *source, uint64_t limit)
{
    return random_next(source) % limit;
}

/* Small sizes often, large ones seldom: even over the octaves up to 2^octaves. */
static inline uint64_t
random_size(random_source *source, unsigned octaves)
{
    return 1 + random_below(source, 1ull << (1 + random_below(source, octaves)));
}

/* A manager on the CPU whose maintenance runs only when asked. */
static inline dcmem_manager *
cpu_manager(const dcmem_manager_options *wanted)
{
    dcmem_manager_options options = wanted ? *wanted : (dcmem_manager_options){0};
    options.size = sizeof options;
    if (options.maintenance_interval_ns == 0)
        options.maintenance_interval_ns = DCMEM_MAINTENANCE_OFF;
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    return manager;
}

static inline void
manager_end(dcmem_manager *manager)
{
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static inline dcmem_stats
stats_of(dcmem_manager *manager)
{
    dcmem_stats stats = {.size = sizeof stats};
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    return stats;
}

static inline uint64_t
usable(dcmem_manager *manager, const void *block)
{
    uint64_t bytes;
    EXPECT_OK(dcmem_raw_usable_size(&bytes, manager, block));
    return bytes;
}

static inline void *
allocate(dcmem_manager *manager, uint64_t bytes)
{
    void *block = dcmem_raw_allocate(manager, bytes);
    if (!block)
        TEST_FAIL("%llu bytes: %s", (unsigned long long)bytes, dcmem_last_detail()->message);
    return block;
}

static inline void
release(dcmem_manager *manager, void *block)
{
    EXPECT_OK(dcmem_raw_free(manager, block));
}

/* A call that returns an address must fail with that. */
#define EXPECT_NULL(call, wanted)                                                                                      \
    do {                                                                                                               \
        const void *expect_address = (call);                                                                           \
        if (expect_address)                                                                                            \
            TEST_FAIL("%s gave an address", #call);                                                                    \
        EXPECT_RESULT(dcmem_last_detail()->result, wanted);                                                            \
    } while (0)

/* ---- Devices ---- */

/* A device with a memory of its own: in objects, not reachable by the host, full to the byte. */
typedef struct test_device {
    dcmem_backend *backend;
    dcmem_manager *manager;
} test_device;

static inline test_device
device_open_profile(const dcmem_simulated_profile *profile, const dcmem_manager_options *wanted)
{
    test_device it = {0};
    EXPECT_OK(dcmem_simulated_create(&it.backend, profile, 1));
    dcmem_manager_options options = wanted ? *wanted : (dcmem_manager_options){0};
    options.driver = it.backend;
    it.manager = cpu_manager(&options);
    return it;
}

static inline test_device
device_open(uint64_t total_bytes, const dcmem_manager_options *wanted)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = total_bytes};
    return device_open_profile(&profile, wanted);
}

static inline dcmem_simulated_account
account_of(const test_device *it)
{
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, it->backend, 0));
    return account;
}

static inline void
device_close_with(test_device *it, dcmem_result wanted)
{
    EXPECT_OK(dcmem_manager_check(it->manager));
    EXPECT_RESULT(dcmem_manager_destroy(it->manager), wanted);
    dcmem_simulated_account account = account_of(it);
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.live_host_bytes, 0);
    EXPECT_EQ(account.live_extents, 0);
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static inline void
device_close(test_device *it)
{
    device_close_with(it, DCMEM_OK);
}

#endif
