/* everything.h: a simulated backend whose devices have every group of the contract, for what stands before backends. */
#ifndef DCMI_TEST_EVERYTHING_H
#define DCMI_TEST_EVERYTHING_H

#include "test.h"

#include <dcmem/testing.h>

/* Two devices of unified memory with addresses, and peers of each other. The backend lives as long as the program. */
static inline dcmem_backend *
everything(void)
{
    static dcmem_backend *backend;
    const dcmem_simulated_profile profile = {.size = sizeof profile,
                                             .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED,
                                             .total_bytes = 256ull << 20,
                                             .peer = {1000000000, 1000}};
    const dcmem_simulated_profile both[] = {profile, profile};
    if (!backend)
        EXPECT_OK(dcmem_simulated_create(&backend, both, 2));
    return backend;
}

/* The first of them, past everything that stands before it: what is asked of it here, a fake or a plan does not see. */
static inline void *
everything_opened(void)
{
    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    void *device;
    EXPECT_OK(everything()->open(&device, everything(), &open));
    return device;
}

#endif
