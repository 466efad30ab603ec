/* cpu.h: what the tests of the CPU driver share: an open device, and how to ask it. */
#ifndef DCMI_TEST_CPU_H
#define DCMI_TEST_CPU_H

#include "test.h"

#include <dcmem/backend.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static inline const dcmem_backend *
cpu(void)
{
    return dcmem_backend_find("cpu");
}

static inline void *
cpu_opened(const dcmem_open *options)
{
    void *device = NULL;
    EXPECT_OK(cpu()->open(&device, cpu(), options));
    return device;
}

static inline dcmem_extent
cpu_acquired(void *device, dcmem_acquire request)
{
    dcmem_extent extent = {0};
    EXPECT_OK(cpu()->acquire(&extent, device, &nobody, &request));
    EXPECT_GE(extent.bytes, request.bytes);
    EXPECT(extent.host == (void *)(uintptr_t)extent.address);
    return extent;
}

static inline uint64_t
end_of(const dcmem_extent *extent)
{
    return extent->address + extent->bytes;
}

/* A growing request of a lane, next to `near` (NULL: anywhere). */
static inline dcmem_extent
cpu_grown(void *device, uint64_t bytes, uint32_t lane, const dcmem_extent *near)
{
    return cpu_acquired(
        device,
        (dcmem_acquire){.bytes = bytes, .flags = DCMEM_ACQUIRE_GROW, .lane = lane, .near = near ? end_of(near) : 0});
}

/* Releases bytes from `begin` on, as the pool does: by address and size alone. */
static inline dcmem_result
cpu_release_range(void *device, uint64_t begin, uint64_t bytes)
{
    const dcmem_extent part = {.object = begin, .address = begin, .bytes = bytes, .host = (void *)(uintptr_t)begin};
    return cpu()->release(device, &nobody, &part);
}

static inline void
cpu_released(void *device, const dcmem_extent *extent)
{
    EXPECT_OK(cpu()->release(device, &nobody, extent));
}

/* Each page gets its own number, so that a page that was lost or swapped shows. */
static inline void
write_pages(uint64_t begin, uint64_t bytes, uint64_t seed)
{
    for (uint64_t offset = 0; offset < bytes; offset += 4096)
        *(volatile uint64_t *)(uintptr_t)(begin + offset) = seed + begin + offset;
}

static inline bool
are_pages_kept(uint64_t begin, uint64_t bytes, uint64_t seed)
{
    for (uint64_t offset = 0; offset < bytes; offset += 4096)
        if (*(volatile uint64_t *)(uintptr_t)(begin + offset) != seed + begin + offset)
            return false;
    return true;
}

#endif
