/* contract_test.c: the contract suite on every backend that this machine can show it. */
#include "contract_suite.h"

#include <dcmem/testing.h>
#include <stdlib.h>

static contract_subject
subject_of(const dcmem_backend *backend, uint32_t index)
{
    return (contract_subject){backend, {.size = sizeof(dcmem_open), .index = index, .numa_node = -1}};
}

/* ---- The CPU ---- */

static contract_subject
cpu(void)
{
    return subject_of(dcmem_backend_find("cpu"), 0);
}
CONTRACT_TESTS(cpu, cpu)

static contract_subject
cpu_with_options(void)
{
    contract_subject subject = cpu();
    subject.options.numa_node = 0;
    subject.options.huge_pages = DCMEM_HUGE_PAGES_ON;
    return subject;
}
CONTRACT_TESTS(cpu_with_node_and_huge_pages, cpu_with_options)

/* ---- OpenCL: three devices of one platform where that is PoCL, of two sorts ---- */

#define OPENCL(index)                                                                                                  \
    static contract_subject opencl_##index(void)                                                                       \
    {                                                                                                                  \
        EXPECT_EQ(setenv("POCL_DEVICES", "pthread basic pthread", 0), 0);                                              \
        return subject_of(dcmem_backend_find("opencl"), index);                                                        \
    }                                                                                                                  \
    CONTRACT_TESTS(opencl_##index, opencl_##index)
OPENCL(0)
OPENCL(1)

/* ---- Vulkan: the first device; lavapipe, where there is no GPU ---- */

static contract_subject
vulkan(void)
{
    return subject_of(dcmem_backend_find("vulkan"), 0);
}
CONTRACT_TESTS(vulkan, vulkan)

/* ---- Simulated devices ---- */

#define SIMULATED(device, text)                                                                                        \
    static contract_subject simulated_##device(void)                                                                   \
    {                                                                                                                  \
        EXPECT_OK(dcmem_simulated_register());                                                                         \
        return subject_of(dcmem_backend_find("simulated"), DCMEM_SIMULATED_DEVICE_##device);                           \
    }                                                                                                                  \
    CONTRACT_TESTS(simulated_##device, simulated_##device)
DCMEM_SIMULATED_DEVICES(SIMULATED)

/* Devices like no preset, two of each so that they can be peers. */
static contract_subject
own_device(dcmem_backend **backend, dcmem_simulated_device like, uint32_t flags, uint64_t granularity)
{
    if ((flags & DCMEM_SIMULATED_DIVISIBLE) && like != DCMEM_SIMULATED_DEVICE_CPU)
        SKIP_UNDER_VALGRIND(); /* it has not as many addresses as lanes of such a device may reach over */
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(like);
    profile.flags |= flags;
    profile.kinds = 0;
    profile.granularity = granularity;
    profile.page_bytes = 0;
    profile.peer = (dcmem_simulated_link){1000000000, 1000};
    const dcmem_simulated_profile both[] = {profile, profile};
    if (!*backend)
        EXPECT_OK(dcmem_simulated_create(backend, both, 2));
    return subject_of(*backend, 0);
}

#define OWN_DEVICE(name, like, flags, granularity)                                                                     \
    static contract_subject name(void)                                                                                 \
    {                                                                                                                  \
        static dcmem_backend *backend;                                                                                 \
        return own_device(&backend, DCMEM_SIMULATED_DEVICE_##like, flags, granularity);                                \
    }                                                                                                                  \
    CONTRACT_TESTS(simulated_##name, name)

/* Memory that the host maps, but sees only after flush and invalidate. */
OWN_DEVICE(non_coherent, DISCRETE, DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT, 65536)
OWN_DEVICE(non_coherent_objects, UNIFIED, DCMEM_SIMULATED_NON_COHERENT, 4096)
OWN_DEVICE(non_coherent_addresses, UNIFIED, DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_NON_COHERENT, 4096)
OWN_DEVICE(divisible_gpu, DISCRETE, DCMEM_SIMULATED_DIVISIBLE, 4096)
OWN_DEVICE(fine_grained, UNIFIED, 0, 256)
OWN_DEVICE(pair, DATACENTRE, 0, 2 << 20)

/* ---- A fake before the CPU ---- */

static contract_subject
fake(void)
{
    static dcmem_fake *fake;
    const dcmem_fake_options options = {.size = sizeof options, .over = dcmem_backend_find("cpu"), .name = "fake"};
    if (!fake)
        EXPECT_OK(dcmem_fake_create(&fake, &options));
    return subject_of(dcmem_fake_backend(fake), 0);
}
CONTRACT_TESTS(fake_before_the_cpu, fake)
