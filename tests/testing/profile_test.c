/* profile_test.c: what a user's own profile may say of links, pages, groups and nodes, and profiles of former days. */
#include "test.h"

#include <dcmem/testing.h>

#include <stddef.h>

#define MIB (1024ull * 1024)

static dcmem_simulated_profile
plain_profile(uint32_t flags)
{
    return (dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile), .flags = flags, .total_bytes = 16 * MIB};
}

static dcmem_device_info
info_of(const dcmem_simulated_profile *profile)
{
    dcmem_backend *backend;
    void *device;
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_simulated_create(&backend, profile, 1));
    EXPECT_OK(dcmem_backend_check(backend));
    EXPECT_OK(backend->open(&device, backend, &options));
    EXPECT_OK(backend->info(&info, device));
    EXPECT(!(info.capabilities & ~backend->capabilities));
    backend->close(device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
    return info;
}

/* The time of a megabyte to the device. */
static uint64_t
upload_ns(const dcmem_simulated_profile *profile)
{
    static char bytes[MIB];
    const dcmem_call call = {.op_index = 1};
    dcmem_backend *backend;
    void *device;
    uint64_t now = 0;
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_acquire request = {.bytes = MIB};
    dcmem_extent extent;
    EXPECT_OK(dcmem_simulated_create(&backend, profile, 1));
    EXPECT_OK(backend->open(&device, backend, &options));
    EXPECT_OK(backend->acquire(&extent, device, &call, &request));
    dcmem_place to = {.extent = &extent}, from = {.host = bytes};
    EXPECT_OK(backend->copy(device, &call, &to, &from, MIB));
    EXPECT_OK(dcmem_simulated_now(&now, backend));
    EXPECT_OK(backend->release(device, &call, &extent));
    backend->close(device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
    return now;
}

TEST(profile__without_links_has_those_of_a_pc)
{
    dcmem_simulated_profile apart = plain_profile(0), unified = plain_profile(DCMEM_SIMULATED_UNIFIED);
    EXPECT_EQ(upload_ns(&apart), 41944 + 10000);
    EXPECT_EQ(upload_ns(&unified), 41944 + 100);
    apart.to_device = (dcmem_simulated_link){1000000000, 5};
    EXPECT_EQ(upload_ns(&apart), MIB + 5);
}

TEST(profile__of_the_kit_each_takes_its_time)
{
    uint64_t ns[DCMEM_SIMULATED_DEVICE_COUNT];
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++) {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)i);
        ns[i] = upload_ns(&profile);
    }
    EXPECT_EQ(ns[DCMEM_SIMULATED_DEVICE_DISCRETE], 41944 + 10000);
    EXPECT(ns[DCMEM_SIMULATED_DEVICE_DATACENTRE] < ns[DCMEM_SIMULATED_DEVICE_DISCRETE]);
    EXPECT(ns[DCMEM_SIMULATED_DEVICE_UNIFIED] < ns[DCMEM_SIMULATED_DEVICE_DATACENTRE]);
}

TEST(profile__can_be_without_groups)
{
    dcmem_simulated_profile profile = plain_profile(0);
    EXPECT(info_of(&profile).capabilities & DCMEM_CAP_ASYNC);
    profile.without = DCMEM_CAP_ASYNC | DCMEM_CAP_MAP;
    EXPECT(!(info_of(&profile).capabilities & (DCMEM_CAP_ASYNC | DCMEM_CAP_MAP)));
    EXPECT(info_of(&profile).capabilities & DCMEM_CAP_IMPORT);
}

TEST(profile__lies_on_the_node_that_it_names)
{
    dcmem_simulated_profile profile = plain_profile(0);
    EXPECT_EQ(info_of(&profile).numa_node, -1);
    profile.numa = 3;
    EXPECT_EQ(info_of(&profile).numa_node, 2);

    dcmem_backend *backend;
    void *device;
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    dcmem_open options = {.size = sizeof options, .numa_node = 1};
    EXPECT_RESULT(backend->open(&device, backend, &options), DCMEM_E_UNAVAILABLE);
    options.numa_node = 2;
    EXPECT_OK(backend->open(&device, backend, &options));
    backend->close(device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

TEST(profile__that_no_device_can_have_is_refused)
{
    dcmem_backend *out = NULL;
    enum { COUNT = 18 };
    dcmem_simulated_profile wrong[COUNT];
    for (int i = 0; i < COUNT; i++)
        wrong[i] = plain_profile(0);
    for (int i = 12; i < COUNT; i++) {
        wrong[i].heap_count = 2;
        wrong[i].heaps[0] = (dcmem_simulated_heap){.total_bytes = MIB, .kinds = DCMEM_KIND_BIT(DCMEM_KIND_HOST)};
        wrong[i].heaps[1] = (dcmem_simulated_heap){.total_bytes = MIB, .kinds = DCMEM_KIND_BIT(DCMEM_KIND_PINNED)};
    }
    wrong[0].to_device.bytes_per_second = 999;
    wrong[1].to_host.bytes_per_second = 1;
    wrong[2].within = (dcmem_simulated_link){1000000, 3600000000001ull};
    wrong[3].peer.latency_ns = 1;
    wrong[4].page_bytes = 2048;
    wrong[5].page_bytes = 12288;
    wrong[6].page_bytes = 1ull << 31;
    wrong[7].without = 1ull << 6;
    wrong[8].without = DCMEM_CAP_UNIFIED;
    wrong[9].numa = 1u << 31;
    wrong[10].heap_count = DCMEM_SIMULATED_HEAPS + 1;
    wrong[11].size = sizeof wrong[11] + 8;
    wrong[12].heaps[0].total_bytes = 0;
    wrong[13].heaps[0].total_bytes = 1ull << 60;
    wrong[14].heaps[0].kinds = 0;
    wrong[15].heaps[0].kinds = DCMEM_KIND_BIT(DCMEM_KIND_PINNED);
    wrong[16].heaps[0].kinds = DCMEM_KIND_BIT(DCMEM_KIND_MANAGED);
    wrong[17].heaps[0].reserved = 1;
    for (int i = 0; i < COUNT; i++)
        EXPECT_RESULT(dcmem_simulated_create(&out, &wrong[i], 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!out);
}

/* A window of 256 MiB through which the host sees some of the device's memory, as many boards have it. */
TEST(profile__can_have_heaps_for_some_kinds)
{
    dcmem_simulated_profile profile = plain_profile(DCMEM_SIMULATED_HOST_VISIBLE);
    profile.heap_count = 1;
    profile.heaps[0] = (dcmem_simulated_heap){256 * 4096, DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE), 0};
    dcmem_device_info info = info_of(&profile);
    EXPECT_EQ(info.heap_count, 3);
    EXPECT_EQ(info.heaps[2].total_bytes, 256 * 4096);
    EXPECT_EQ(info.heaps[2].kinds, DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE));
    EXPECT_EQ(info.heaps[0].kinds, DCMEM_KIND_BIT(DCMEM_KIND_DEVICE));
    EXPECT_EQ(info.total_bytes, 16 * MIB);

    const dcmem_call call = {.op_index = 1};
    dcmem_backend *backend;
    void *device;
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_acquire request = {.bytes = 257 * 4096, .kind = DCMEM_KIND_HOST_VISIBLE};
    dcmem_extent seen, own;
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    EXPECT_OK(backend->open(&device, backend, &options));
    EXPECT_RESULT(backend->acquire(&seen, device, &call, &request), DCMEM_E_TOO_LARGE);
    request.bytes = 256 * 4096;
    EXPECT_OK(backend->acquire(&seen, device, &call, &request));
    EXPECT_OK(backend->info(&info, device));
    EXPECT_EQ(info.heaps[2].free_bytes, 0);
    EXPECT_EQ(info.free_bytes, 16 * MIB);
    request.bytes = 4096;
    EXPECT_RESULT(backend->acquire(&own, device, &call, &request), DCMEM_E_NO_MEMORY);
    request = (dcmem_acquire){.bytes = 16 * MIB};
    EXPECT_OK(backend->acquire(&own, device, &call, &request));
    EXPECT_OK(dcmem_simulated_account_of(&account, backend, 0));
    EXPECT_EQ(account.live_bytes, 17 * MIB);
    EXPECT_EQ(account.peak_bytes, 17 * MIB);
    EXPECT_OK(backend->release(device, &call, &seen));
    EXPECT_OK(backend->release(device, &call, &own));
    backend->close(device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

/* Before there were links a profile ended with flush_bytes. */
TEST(profile__and_account_of_former_days_are_understood)
{
    enum { SIZE = offsetof(dcmem_simulated_profile, to_device) };
    enum { ACCOUNT = offsetof(dcmem_simulated_account, to_device_bytes) };
    dcmem_simulated_profile profile = plain_profile(0);
    unsigned char array[2 * SIZE];
    dcmem_backend *backend;
    profile.size = SIZE;
    memcpy(array, &profile, SIZE);
    profile.total_bytes = 32 * MIB;
    memcpy(array + SIZE, &profile, SIZE);
    EXPECT_OK(dcmem_simulated_create(&backend, (const void *)array, 2));

    dcmem_simulated_account account;
    memset(&account, 0x5a, sizeof account);
    account.size = ACCOUNT;
    EXPECT_OK(dcmem_simulated_account_of(&account, backend, 1));
    EXPECT_EQ(account.size, ACCOUNT);
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.to_device_bytes, 0x5a5a5a5a5a5a5a5aull);
    account.size = sizeof account + 8;
    EXPECT_RESULT(dcmem_simulated_account_of(&account, backend, 1), DCMEM_E_INVALID_ARGUMENT);

    /* It knows nothing of half a device more. */
    EXPECT_OK(dcmem_simulated_set_available(backend, 1, 32 * MIB));
    EXPECT_RESULT(dcmem_simulated_set_available(backend, 0, 32 * MIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_simulated_destroy(backend));

    profile.size = SIZE - 8;
    EXPECT_RESULT(dcmem_simulated_create(&backend, &profile, 1), DCMEM_E_INVALID_ARGUMENT);
    dcmem_simulated_profile mixed[] = {plain_profile(0), plain_profile(0)};
    mixed[1].size = SIZE;
    EXPECT_RESULT(dcmem_simulated_create(&backend, mixed, 2), DCMEM_E_INVALID_ARGUMENT);
}
