/* manager_test.c: the managers' former names: each makes what the line in its warning makes, and fails as that does.
 *
 * Every test runs one body over a former name and over that line. */
#define DCMEM_LEGACY_SILENT
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/legacy.h>
#include <dcmem/testing.h>

/* Which device is meant; former names without an accelerator do not look. */
typedef struct choice {
    const char *backend;
    uint32_t device;
} choice;

typedef struct spelling {
    const char *name;
    bool has_accelerator;
    dcmem_result (*before)(dcmem_manager **out, const choice *which);
    dcmem_result (*after)(dcmem_manager **out, const choice *which);
} spelling;

static dcmem_result
basic(dcmem_manager **out, const choice *which)
{
    (void)which;
    return dcmem_unified_memory_manager_create(out);
}

static dcmem_result
cpu_only(dcmem_manager **out, const choice *which)
{
    (void)which;
    return dcmem_unified_memory_manager_create_cpu_only(out);
}

static dcmem_result
with_accelerator(dcmem_manager **out, const choice *which)
{
    return dcmem_unified_memory_manager_create_with_accelerator(out, which->backend, which->device);
}

static dcmem_result
production(dcmem_manager **out, const choice *which)
{
    return dcmem_production_memory_manager_create(out, which->backend, which->device);
}

static dcmem_result
create_plain(dcmem_manager **out, const choice *which)
{
    (void)which;
    return dcmem_manager_create(out, NULL);
}

static dcmem_result
create_on(dcmem_manager **out, const choice *which)
{
    return dcmem_manager_create(out, &(dcmem_manager_options){.size = sizeof(dcmem_manager_options),
                                                              .backend = which->backend,
                                                              .device = which->device});
}

static const spelling spellings[] = {
    {"basic", false, basic, create_plain},
    {"cpu only", false, cpu_only, create_plain},
    {"with accelerator", true, with_accelerator, create_on},
    {"production", true, production, create_on},
};

#define FOR_EACH_SPELLING(it)                                                                                          \
    for (const spelling *it = spellings; it < spellings + sizeof spellings / sizeof *spellings; it++)

/* What a user sees of a manager that has just been made and used a little. */
typedef struct outcome {
    dcmem_device_info info;
    dcmem_limits limits;
    uint64_t allocations, live_bytes;
} outcome;

static outcome
look(dcmem_result (*create)(dcmem_manager **out, const choice *which), const choice *which)
{
    outcome seen;
    memset(&seen, 0, sizeof seen);
    seen.info.size = sizeof seen.info;
    seen.limits.size = sizeof seen.limits;
    dcmem_stats stats = {.size = sizeof stats};
    dcmem_manager *manager;
    char text[8];

    EXPECT_OK(create(&manager, which));
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create_from(&buffer, manager, "seventh", 8, NULL));
    EXPECT_OK(dcmem_buffer_copy_out(text, dcmem_view_whole(buffer), 0));
    EXPECT_EQ(memcmp(text, "seventh", 8), 0);
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    seen.allocations = stats.allocations;
    seen.live_bytes = stats.live_requested_bytes;
    EXPECT_OK(dcmem_manager_device_info(&seen.info, manager));
    EXPECT_OK(dcmem_manager_limits(&seen.limits, manager));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_RESULT(dcmem_manager_destroy(manager), DCMEM_E_STALE_MANAGER);
    return seen;
}

static void
expect_same(const spelling *it, const choice *which)
{
    outcome before = look(it->before, which), after = look(it->after, which);
    print_message("%s on %s %u\n", it->name, which->backend ? which->backend : "NULL", which->device);
    EXPECT_EQ(strcmp(before.info.backend, after.info.backend), 0);
    EXPECT_EQ(strcmp(before.info.name, after.info.name), 0);
    EXPECT_EQ(before.info.total_bytes, after.info.total_bytes);
    EXPECT_EQ(before.info.largest_allocation_bytes, after.info.largest_allocation_bytes);
    EXPECT_EQ(before.info.kinds, after.info.kinds);
    EXPECT_EQ(before.limits.limit_bytes, after.limits.limit_bytes);
    EXPECT_EQ(before.limits.idle_limit_bytes, after.limits.idle_limit_bytes);
    EXPECT_EQ(before.limits.largest_allocation_bytes, after.limits.largest_allocation_bytes);
    EXPECT_EQ(before.limits.total_bytes, after.limits.total_bytes);
    EXPECT_EQ(before.limits.used_bytes, after.limits.used_bytes);
    EXPECT_EQ(before.limits.reserved_bytes, after.limits.reserved_bytes);
    EXPECT_EQ(before.allocations, after.allocations);
    EXPECT_EQ(before.live_bytes, after.live_bytes);
    if (!it->has_accelerator)
        EXPECT_EQ(strcmp(before.info.backend, "cpu"), 0);
}

TEST(legacy_manager__is_what_the_new_line_makes_on_every_device)
{
    EXPECT_OK(dcmem_simulated_register());
    FOR_EACH_SPELLING(it)
    {
        expect_same(it, &(choice){NULL, 0});
        expect_same(it, &(choice){"cpu", 0});
        for (uint32_t device = 0; device < DCMEM_SIMULATED_DEVICE_COUNT; device++)
            expect_same(it, &(choice){"simulated", device});
    }
    EXPECT_OK(dcmem_simulated_unregister());
}

TEST(legacy_manager__takes_the_accelerator_that_was_named)
{
    EXPECT_OK(dcmem_simulated_register());
    dcmem_simulated_profile wanted = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_UNIFIED);
    FOR_EACH_SPELLING(it)
    if (it->has_accelerator)
        EXPECT_EQ(look(it->before, &(choice){"simulated", DCMEM_SIMULATED_DEVICE_UNIFIED}).info.total_bytes,
                  wanted.total_bytes);
    EXPECT_OK(dcmem_simulated_unregister());
}

static void
expect_same_failure(const spelling *it, const choice *which, dcmem_result wanted)
{
    char message[sizeof dcmem_last_detail()->message];
    dcmem_manager *const untouched = (dcmem_manager *)(uintptr_t)0x5a5a;
    dcmem_manager *out = untouched;

    EXPECT_RESULT(it->after(&out, which), wanted);
    memcpy(message, dcmem_last_detail()->message, sizeof message);
    EXPECT_RESULT(it->before(&out, which), wanted);
    EXPECT_DETAIL(message);
    EXPECT(out == untouched);
}

TEST(legacy_manager__fails_as_the_new_line_does)
{
    FOR_EACH_SPELLING(it)
    {
        EXPECT_RESULT(it->after(NULL, &(choice){NULL, 0}), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_RESULT(it->before(NULL, &(choice){NULL, 0}), DCMEM_E_INVALID_ARGUMENT);
        if (!it->has_accelerator)
            continue;
        expect_same_failure(it, &(choice){"directml", 0}, DCMEM_E_UNAVAILABLE);
        expect_same_failure(it, &(choice){"", 0}, DCMEM_E_UNAVAILABLE);
        expect_same_failure(it, &(choice){"cpu", 7}, DCMEM_E_UNAVAILABLE);
        expect_same_failure(it, &(choice){"cpu", UINT32_MAX}, DCMEM_E_UNAVAILABLE);
    }
}
