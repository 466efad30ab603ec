/* profile.c: what simulated devices are: the profiles of the kit, and what the zeros of a user's own stand for. */
#include "simulated.h"

#define GB      1000000000ull
#define LARGEST (64ull << 40) /* half of a process's address space: a device may need it twice */

#define KNOWN_FLAGS                                                                                                    \
    (DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE |  \
     DCMEM_SIMULATED_NON_COHERENT)

static const dcmem_simulated_profile profiles[] = {
    [DCMEM_SIMULATED_DEVICE_CPU] = {.size = sizeof(dcmem_simulated_profile),
                                    .name = "Simulated CPU",
                                    .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE |
                                             DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                    .total_bytes = 16 * GB,
                                    .available_bytes = 12 * GB,
                                    .largest_allocation_bytes = 8 * GB},
    [DCMEM_SIMULATED_DEVICE_DISCRETE] = {.size = sizeof(dcmem_simulated_profile),
                                         .name = "Simulated discrete GPU",
                                         .note = "compute capability 8.9",
                                         .flags = DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                         .total_bytes = 24 * GB,
                                         .available_bytes = 20 * GB,
                                         .largest_allocation_bytes = 12 * GB,
                                         .granularity = 65536},
    [DCMEM_SIMULATED_DEVICE_UNIFIED] = {.size = sizeof(dcmem_simulated_profile),
                                        .name = "Simulated unified GPU",
                                        .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_HOST_VISIBLE,
                                        .total_bytes = 32 * GB,
                                        .available_bytes = 28 * GB,
                                        .largest_allocation_bytes = 16 * GB},
    [DCMEM_SIMULATED_DEVICE_DATACENTRE] = {.size = sizeof(dcmem_simulated_profile),
                                           .name = "Simulated datacentre GPU",
                                           .note = "compute capability 9.0",
                                           .flags = DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
                                           .total_bytes = 80 * GB,
                                           .granularity = 65536},
};

dcmem_simulated_profile
dcmem_simulated_profile_of(dcmem_simulated_device which)
{
    static const dcmem_simulated_profile none;
    return (unsigned)which < DCMEM_SIMULATED_DEVICE_COUNT ? profiles[which] : none;
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

dcmem_simulated_profile
dcmi_profile_complete(dcmem_simulated_profile profile)
{
    profile.name = profile.name ? profile.name : "Simulated device";
    profile.note = profile.note ? profile.note : "";
    profile.kinds = profile.kinds ? profile.kinds : kinds_that_suit(profile.flags);
    profile.available_bytes = or_else(profile.available_bytes, profile.total_bytes);
    profile.largest_allocation_bytes = or_else(profile.largest_allocation_bytes, profile.available_bytes);
    profile.host_bytes = or_else(profile.host_bytes, 64ull << 30);
    profile.granularity = or_else(profile.granularity, 4096);
    profile.alignment = or_else(profile.alignment, profile.granularity);
    bool is_coherent = !(profile.flags & DCMEM_SIMULATED_NON_COHERENT);
    profile.flush_bytes = is_coherent ? 0 : or_else(profile.flush_bytes, 64);
    return profile;
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
    if (is_divisible && !(profile->flags & DCMEM_SIMULATED_ADDRESSED))
        return "divisible memory must have addresses";
    if (is_divisible && (profile->granularity < 4096 || profile->flush_bytes))
        return "divisible memory must be coherent and come in whole pages";
    return NULL;
}

dcmem_result
dcmi_profile_check(const dcmem_simulated_profile *completed)
{
    const char *fault = fault_of(completed);
    return fault ? dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "profile \"%s\": %s", completed->name, fault)
                 : DCMEM_OK;
}
