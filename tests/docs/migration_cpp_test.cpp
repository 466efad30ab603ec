/* migration_cpp_test.cpp: the C++ programs that docs/migration.md shows as "after"; see migration_test.c. */
#include "stage.h"

#include <cstring>
#include <dcmem/dcmem.hpp>

static int
after_rmm(const char *backend, const float *input, float *output, size_t count)
{
    /* show: RMM */
    dcmem_manager_options options{};
    options.size = sizeof options;
    options.backend = backend;
    dcmem::manager manager(options); // once a program and device; takes the place of the pool resource
    auto numbers = dcmem::buffer::copy_of(manager, input, count);
    auto view = numbers.view<float>();
    {
        auto access = view.on_device();
        double_in(access.native(), count);
    } // ends the access
    view.copy_to(output);
    /* end */
    return 0;
}

static int
after_umpire(const char *backend, const float *input, float *output, size_t count)
{
    /* show: Umpire */
    dcmem_manager_options options{};
    options.size = sizeof options;
    options.backend = backend;
    dcmem::manager manager(options);
    auto *numbers = static_cast<float *>(dcmem_raw_allocate(manager.get(), count * sizeof(float)));
    TRY(!numbers)
    TRY(dcmem_raw_write(manager.get(), numbers, input, count * sizeof(float)))
    double_at(numbers, count);
    TRY(dcmem_raw_read(manager.get(), output, numbers, count * sizeof(float)))
    TRY(dcmem_raw_free(manager.get(), numbers))
    /* end */
    return 0;
}

static void
expect_doubled(program run, uint32_t flags)
{
    stage cpu{}, other{};
    cpu.name = "cpu";
    other.name = "another";
    other.flags = flags;
    expect_doubled_on(&cpu, run);
    expect_doubled_on(&other, run);
}

TEST(migration__from_RMM_runs_on_every_device)
{
    expect_doubled(after_rmm, 0);
    expect_doubled(after_rmm, DCMEM_SIMULATED_UNIFIED);
    expect_doubled(after_rmm, DCMEM_SIMULATED_ADDRESSED);
}

TEST(migration__from_Umpire_runs_on_every_device_with_addresses)
{
    expect_doubled(after_umpire, DCMEM_SIMULATED_ADDRESSED);
    expect_doubled(after_umpire, DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED);
}
