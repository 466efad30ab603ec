/* peer_test.c: simulated devices that reach each other, and those that do not. */
#include "test.h"

#include <dcmem/testing.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call someone = {.op_index = 1};

/* Two peers, the second of which sends more slowly, and a device that is nobody's peer. */
typedef struct rig {
    dcmem_backend *backend;
    void *device[3];
    dcmem_extent extent[3];
} rig;

static rig
rig_open(void)
{
    rig it;
    const dcmem_simulated_profile plain = {.size = sizeof plain, .total_bytes = 1 * MIB};
    dcmem_simulated_profile profiles[] = {plain, plain, plain};
    profiles[0].peer = (dcmem_simulated_link){1000000000, 100};
    profiles[1].peer = (dcmem_simulated_link){500000000, 30};
    EXPECT_OK(dcmem_simulated_create(&it.backend, profiles, 3));
    EXPECT_OK(dcmem_backend_check(it.backend));
    for (uint32_t i = 0; i < 3; i++) {
        dcmem_open options = {.size = sizeof options, .index = i, .numa_node = -1};
        dcmem_acquire request = {.bytes = 64 * KIB};
        EXPECT_OK(it.backend->open(&it.device[i], it.backend, &options));
        EXPECT_OK(it.backend->acquire(&it.extent[i], it.device[i], &someone, &request));
    }
    return it;
}

static void
rig_close(rig *it)
{
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(it->backend->release(it->device[i], &someone, &it->extent[i]));
        it->backend->close(it->device[i]);
    }
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static dcmem_result
copy(rig *it, int to, int from, uint64_t bytes)
{
    const dcmem_place here = {.extent = &it->extent[to]}, there = {.extent = &it->extent[from]};
    return it->backend->peer_copy(it->device[to], &someone, &here, it->device[from], &there, bytes);
}

static bool
can(rig *it, int device, int peer)
{
    bool out = false;
    EXPECT_OK(it->backend->peer_can(&out, it->device[device], it->device[peer]));
    return out;
}

TEST(peers__are_other_devices_with_links)
{
    rig it = rig_open();
    EXPECT(can(&it, 0, 1) && can(&it, 1, 0));
    EXPECT(!can(&it, 0, 2) && !can(&it, 2, 0) && !can(&it, 0, 0));
    EXPECT_RESULT(it.backend->peer_enable(it.device[0], it.device[2]), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(it.backend->peer_enable(it.device[2], it.device[1]), DCMEM_E_UNSUPPORTED);

    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(it.backend->info(&info, it.device[0]));
    EXPECT(info.capabilities & DCMEM_CAP_PEER);
    EXPECT_OK(it.backend->info(&info, it.device[2]));
    EXPECT(!(info.capabilities & DCMEM_CAP_PEER));
    rig_close(&it);
}

TEST(peer_copy__takes_the_time_of_the_slower_link_and_the_longer_latency)
{
    rig it = rig_open();
    uint64_t now = 0;
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(it.backend->peer_enable(it.device[0], it.device[1]));
    EXPECT_OK(copy(&it, 0, 1, 1000));
    EXPECT_OK(dcmem_simulated_now(&now, it.backend));
    EXPECT_EQ(now, 2 * 1000 + 100);
    EXPECT_OK(dcmem_simulated_account_of(&account, it.backend, 0));
    EXPECT_EQ(account.from_peer_bytes, 1000);
    EXPECT_OK(it.backend->peer_disable(it.device[0], it.device[1]));
    rig_close(&it);
}

TEST(peer__is_enabled_one_way_and_forgotten_when_the_device_closes)
{
    rig it = rig_open();
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    EXPECT_OK(it.backend->peer_enable(it.device[0], it.device[1]));
    EXPECT_OK(copy(&it, 0, 1, 8));
    EXPECT_RESULT(copy(&it, 1, 0, 8), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("device 1 has not enabled device 0");
    it.backend->close(it.device[0]);
    EXPECT_OK(it.backend->open(&it.device[0], it.backend, &options));
    EXPECT_RESULT(copy(&it, 0, 1, 8), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(it.backend->peer_disable(it.device[0], it.device[1]), DCMEM_E_WRONG_STATE);
    rig_close(&it);
}

TEST(peer__that_is_none_or_lost_is_refused)
{
    rig it = rig_open(), other = rig_open();
    bool out = true;
    char byte;
    const dcmem_place host = {.host = &byte}, here = {.extent = &it.extent[0]};
    EXPECT_RESULT(it.backend->peer_can(&out, it.device[0], other.device[1]), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->peer_enable(it.device[0], NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->peer_enable(it.device[0], it.device[0]), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->peer_disable(it.device[0], &it), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(copy(&it, 0, 0, 8), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(it.backend->peer_enable(it.device[0], it.device[1]));
    EXPECT_RESULT(it.backend->peer_copy(it.device[0], &someone, &here, it.device[1], &host, 1),
                  DCMEM_E_INVALID_ARGUMENT);

    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 1, true));
    EXPECT_RESULT(copy(&it, 0, 1, 8), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 1, false));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_RESULT(copy(&it, 0, 1, 8), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->peer_can(&out, it.device[0], it.device[1]), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->peer_enable(it.device[0], it.device[1]), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->peer_disable(it.device[0], it.device[1]));
    EXPECT(out);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    rig_close(&it);
    rig_close(&other);
}
