/* profile.c: what simulated devices are: the profiles of the kit, and what the zeros of a user's own stand for. */
#include "simulated.h"

#include <stddef.h>
#include <string.h>

#define GB      1000000000ull
#define LARGEST (64ull << 40) /* half of a process's address space: a device may need it twice */

/* What the first users of the kit knew of a profile. */
#define FIRST_SIZE offsetof(dcmem_simulated_profile, to_device)

#define SLOWEST_NS   3600000000000ull
#define SLOWEST_RATE 1000ull

#define KNOWN_FLAGS                                                                                                    \
    (DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE |  \
     DCMEM_SIMULATED_NON_COHERENT)

/* What bytes take in reality, as rates of copies: where both ends are one memory, half of what that memory can move.
 *
 *   PCI Express 4.0 x16  16 GT/s, 16 lanes, 128b/130b: 31.5 GB/s; what copies from page-locked memory reach is about
 *                        25, some 10 us after they were asked for. 5.0 is twice that (PCI-SIG's base specifications).
 *   24 GB discrete GPU   384 bits of GDDR6X at 21 GT/s: 1008 GB/s (NVIDIA, Ada architecture paper). No NVLink, and its
 *                        driver lets it copy from no peer.
 *   80 GB datacentre GPU 3.35 TB/s of HBM3; NVLink 4: 18 links of 25 GB/s each way: 450 GB/s (NVIDIA, H100 data sheet).
 *   32 GB unified GPU    256 bits of LPDDR5 at 6.4 GT/s: 204.8 GB/s (NVIDIA, Jetson AGX Orin data sheet).
 *   CPU                  two channels of DDR4-3200: 51.2 GB/s (JEDEC JESD79-4). */
#define PCIE_4                                                                                                         \
    {                                                                                                                  \
        25000000000ull, 10000                                                                                          \
    }
#define PCIE_5                                                                                                         \
    {                                                                                                                  \
        50000000000ull, 10000                                                                                          \
    }
#define GDDR6X                                                                                                         \
    {                                                                                                                  \
        500000000000ull, 5000                                                                                          \
    }
#define HBM3                                                                                                           \
    {                                                                                                                  \
        1600000000000ull, 5000                                                                                         \
    }
#define NVLINK_4                                                                                                       \
    {                                                                                                                  \
        450000000000ull, 5000                                                                                          \
    }
#define LPDDR5                                                                                                         \
    {                                                                                                                  \
        100000000000ull, 5000                                                                                          \
    }
#define DDR4                                                                                                           \
    {                                                                                                                  \
        25000000000ull, 100                                                                                            \
    }

const dcmem_simulated_profile dcmi_profile_for_tests = {
    .size = sizeof(dcmem_simulated_profile),
    .name = "Simulated device for tests",
    .flags = DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
    .total_bytes = 256ull << 20,
    .host_bytes = 256ull << 20,
};

static const dcmem_simulated_profile presets[] = {
    [DCMEM_SIMULATED_DEVICE_CPU] = {.size = sizeof(dcmem_simulated_profile),
                                    .name = "Simulated CPU",
                                    .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE |
                                             DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                    .total_bytes = 16 * GB,
                                    .available_bytes = 12 * GB,
                                    .largest_allocation_bytes = 8 * GB,
                                    .to_device = DDR4,
                                    .to_host = DDR4,
                                    .within = DDR4},
    [DCMEM_SIMULATED_DEVICE_DISCRETE] = {.size = sizeof(dcmem_simulated_profile),
                                         .name = "Simulated discrete GPU",
                                         .note = "compute capability 8.9",
                                         .flags = DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                         .total_bytes = 24 * GB,
                                         .available_bytes = 20 * GB,
                                         .largest_allocation_bytes = 12 * GB,
                                         .granularity = 65536,
                                         .to_device = PCIE_4,
                                         .to_host = PCIE_4,
                                         .within = GDDR6X,
                                         .page_bytes = 2 << 20},
    [DCMEM_SIMULATED_DEVICE_UNIFIED] = {.size = sizeof(dcmem_simulated_profile),
                                        .name = "Simulated unified GPU",
                                        .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_HOST_VISIBLE,
                                        .total_bytes = 32 * GB,
                                        .available_bytes = 28 * GB,
                                        .largest_allocation_bytes = 16 * GB,
                                        .to_device = LPDDR5,
                                        .to_host = LPDDR5,
                                        .within = LPDDR5,
                                        .page_bytes = 65536},
    [DCMEM_SIMULATED_DEVICE_DATACENTRE] = {.size = sizeof(dcmem_simulated_profile),
                                           .name = "Simulated datacentre GPU",
                                           .note = "compute capability 9.0",
                                           .flags = DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                           .total_bytes = 80 * GB,
                                           .granularity = 65536,
                                           .to_device = PCIE_5,
                                           .to_host = PCIE_5,
                                           .within = HBM3,
                                           .peer = NVLINK_4,
                                           .page_bytes = 2 << 20},
};

dcmem_simulated_profile
dcmem_simulated_profile_of(dcmem_simulated_device which)
{
    static const dcmem_simulated_profile none;
    return (unsigned)which < DCMEM_SIMULATED_DEVICE_COUNT ? presets[which] : none;
}

static uint32_t
kinds_that_suit(uint32_t flags)
{
    uint32_t kinds =
        DCMEM_KIND_BIT(DCMEM_KIND_DEVICE) | DCMEM_KIND_BIT(DCMEM_KIND_HOST) | DCMEM_KIND_BIT(DCMEM_KIND_PINNED);
    if (flags & (DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_UNIFIED))
        kinds |= DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE);
    if (flags & DCMEM_SIMULATED_UNIFIED)
        kinds |= DCMEM_KIND_BIT(DCMEM_KIND_MANAGED);
    return kinds;
}

static uint64_t
or_else(uint64_t value, uint64_t choice)
{
    return value ? value : choice;
}

static dcmem_simulated_link
link_or_else(dcmem_simulated_link link, dcmem_simulated_link choice)
{
    return link.bytes_per_second ? link : choice;
}

/* A latency alone says nothing of the link. */
static bool
is_half(const dcmem_simulated_link *link)
{
    return link->latency_ns && !link->bytes_per_second;
}

static dcmem_simulated_profile
complete(dcmem_simulated_profile profile)
{
    static const dcmem_simulated_link bus = PCIE_4, own = GDDR6X, shared = DDR4;
    bool is_unified = profile.flags & DCMEM_SIMULATED_UNIFIED;
    profile.to_device = link_or_else(profile.to_device, is_unified ? shared : bus);
    profile.to_host = link_or_else(profile.to_host, is_unified ? shared : bus);
    profile.within = link_or_else(profile.within, is_unified ? shared : own);
    profile.without |= profile.peer.bytes_per_second ? 0 : DCMEM_CAP_PEER;
    profile.name = profile.name ? profile.name : "Simulated device";
    profile.note = profile.note ? profile.note : "";
    profile.kinds = profile.kinds ? profile.kinds : kinds_that_suit(profile.flags);
    profile.available_bytes = or_else(profile.available_bytes, profile.total_bytes);
    profile.largest_allocation_bytes = or_else(profile.largest_allocation_bytes, profile.available_bytes);
    profile.host_bytes = or_else(profile.host_bytes, 64ull << 30);
    profile.granularity = or_else(profile.granularity, 4096);
    profile.alignment = or_else(profile.alignment, profile.granularity);
    profile.page_bytes = or_else(profile.page_bytes, profile.granularity > 4096 ? profile.granularity : 4096);
    bool is_coherent = !(profile.flags & DCMEM_SIMULATED_NON_COHERENT);
    profile.flush_bytes = is_coherent ? 0 : or_else(profile.flush_bytes, 64);
    return profile;
}

static bool
is_slow(const dcmem_simulated_link *link)
{
    return link->latency_ns > SLOWEST_NS || (link->bytes_per_second && link->bytes_per_second < SLOWEST_RATE);
}

static bool
are_heaps_apart(const dcmem_simulated_profile *profile)
{
    uint32_t taken = 0;
    if (profile->heap_count > DCMEM_SIMULATED_HEAPS)
        return false;
    for (uint32_t i = 0; i < profile->heap_count; i++) {
        const dcmem_simulated_heap *heap = &profile->heaps[i];
        if (!heap->total_bytes || heap->total_bytes > LARGEST || heap->reserved || !heap->kinds ||
            heap->kinds & (taken | ~profile->kinds))
            return false;
        taken |= heap->kinds;
    }
    return true;
}

/* What is wrong with a profile, in words, or NULL. */
static const char *
fault_of(const dcmem_simulated_profile *profile)
{
    bool is_divisible = profile->flags & DCMEM_SIMULATED_DIVISIBLE;
    if (profile->flags & ~KNOWN_FLAGS)
        return "a flag is unknown";
    if (profile->kinds & ~kinds_that_suit(profile->flags))
        return "a kind does not suit the flags";
    if (!(profile->kinds & DCMEM_KIND_BIT(DCMEM_KIND_HOST)))
        return "every device has memory of the host";
    if (profile->total_bytes == 0 || profile->total_bytes > LARGEST || profile->host_bytes > LARGEST)
        return "a total is 0 or above 64 TiB";
    if (profile->available_bytes > profile->total_bytes)
        return "more is available than there is";
    if (!dcmi_is_power_of_two_or_0(profile->granularity) || !dcmi_is_power_of_two_or_0(profile->alignment) ||
        !dcmi_is_power_of_two_or_0(profile->flush_bytes))
        return "granularity, alignment and flush unit must be powers of two";
    if (profile->granularity > 1u << 30 || profile->alignment > 1u << 30)
        return "granularity and alignment must be at most 1 GiB";
    if (profile->flush_bytes > 4096)
        return "the flush unit must be at most 4096";
    if (!dcmi_is_power_of_two_or_0(profile->page_bytes) || profile->page_bytes < 4096 || profile->page_bytes > 1u << 30)
        return "pages must be powers of two from 4 KiB to 1 GiB";
    if (is_slow(&profile->to_device) || is_slow(&profile->to_host) || is_slow(&profile->within) ||
        is_slow(&profile->peer))
        return "a link moves less than 1,000 bytes a second or has a latency of more than an hour";
    if (profile->without & ~DCMEM_CAP_GROUPS)
        return "it is without what is no group";
    if (profile->numa > INT32_MAX)
        return "there is no such NUMA node";
    if (!are_heaps_apart(profile))
        return "a heap is empty, too large, or has a kind that another has, or the device has not";
    if (is_divisible && !(profile->flags & DCMEM_SIMULATED_ADDRESSED))
        return "divisible memory must have addresses";
    if (is_divisible && (profile->granularity < 4096 || profile->flush_bytes))
        return "divisible memory must be coherent and come in whole pages";
    return NULL;
}

dcmem_result
dcmi_profile_read(dcmem_simulated_profile *out, const dcmem_simulated_profile *profiles, uint32_t i)
{
    size_t size = profiles->size;
    DCMI_SIMULATED_REQUIRE(size >= FIRST_SIZE && size <= sizeof *profiles);
    dcmem_simulated_profile profile = {0};
    memcpy(&profile, (const char *)profiles + i * size, size);
    DCMI_SIMULATED_REQUIRE(profile.size == size);
    if (is_half(&profile.to_device) || is_half(&profile.to_host) || is_half(&profile.within) || is_half(&profile.peer))
        return dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "a link has a latency, but no bytes_per_second");

    profile.size = sizeof profile;
    profile = complete(profile);
    const char *fault = fault_of(&profile);
    if (fault)
        return dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "profile \"%s\": %s", profile.name, fault);
    *out = profile;
    return DCMEM_OK;
}
