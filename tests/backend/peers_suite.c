/* peers_suite.c: the clauses of PEER. */
#include "contract_kit.h"

/* The next device of the backend; ends with close_peer(). False: it is the same one, or out of reach. */
static bool
open_peer(contract_device *peer, contract_device *device)
{
    uint32_t count = 0;
    bool can = false;
    *peer = *device;
    EXPECT_OK(device->backend->count(&count, device->backend));
    peer->options.index = (device->options.index + 1) % count;
    peer->handle = open_again(peer);
    peer->info = (dcmem_device_info){.size = sizeof peer->info, .numa_node = -1};
    EXPECT_OK(peer->backend->info(&peer->info, peer->handle));
    EXPECT_OK(device->backend->peer_can(&can, device->handle, peer->handle));
    return can && count > 1;
}

static void
close_peer(contract_device *peer, bool can)
{
    peer->backend->close(peer->handle);
    if (!can)
        skip_for("PEER", "the two devices cannot reach each other");
}

static dcmem_result
peer_copy(contract_device *device, dcmem_place to, contract_device *peer, dcmem_place from, uint64_t bytes)
{
    return device->backend->peer_copy(device->handle, on_behalf(), &to, peer->handle, &from, bytes);
}

void
contract_a_copy_between_two_devices_is_exact(contract_device *device)
{
    contract_device peer;
    bool can = open_peer(&peer, device);
    if (can) {
        dcmem_extent mine = acquire_main(device, 256 * KIB), theirs = acquire_main(&peer, 256 * KIB);
        EXPECT_OK(device->backend->peer_enable(device->handle, peer.handle));
        write_pattern(device, &mine, 0, 256 * KIB, 2);
        write_pattern(&peer, &theirs, 200, 100 * KIB, 1);
        EXPECT_OK(peer_copy(device, in_extent(&mine, 100), &peer, in_extent(&theirs, 200), 100 * KIB));
        EXPECT_PATTERN(device, &mine, 100, 100 * KIB, 1);
        EXPECT_PATTERN(device, &mine, 0, 100, 2);
        EXPECT_PATTERN(&peer, &theirs, 200, 100 * KIB, 1);
        EXPECT_OK(peer_copy(device, in_extent(&mine, 7), &peer, in_extent(&theirs, 200), 1));
        EXPECT_PATTERN(device, &mine, 7, 1, 1);
        EXPECT_OK(device->backend->peer_disable(device->handle, peer.handle));
        release(device, &mine);
        release(&peer, &theirs);
    }
    close_peer(&peer, can);
}

void
contract_a_copy_from_a_peer_that_is_not_enabled_is_refused(contract_device *device)
{
    contract_device peer;
    bool can = open_peer(&peer, device);
    dcmem_extent mine = acquire_main(device, 4 * KIB), theirs = acquire_main(&peer, 4 * KIB);
    write_pattern(device, &mine, 0, 4 * KIB, 1);
    EXPECT_RESULT(peer_copy(device, in_extent(&mine, 0), &peer, in_extent(&theirs, 0), 4 * KIB), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(device->backend->peer_disable(device->handle, peer.handle), DCMEM_E_WRONG_STATE);
    EXPECT_PATTERN(device, &mine, 0, 4 * KIB, 1);
    release(device, &mine);
    release(&peer, &theirs);
    close_peer(&peer, can);
}

void
contract_enabling_counts(contract_device *device)
{
    contract_device peer;
    bool can = open_peer(&peer, device);
    if (can) {
        dcmem_extent mine = acquire_main(device, 4 * KIB), theirs = acquire_main(&peer, 4 * KIB);
        dcmem_place to = in_extent(&mine, 0), from = in_extent(&theirs, 0);
        EXPECT_OK(device->backend->peer_enable(device->handle, peer.handle));
        EXPECT_OK(device->backend->peer_enable(device->handle, peer.handle));
        EXPECT_OK(device->backend->peer_disable(device->handle, peer.handle));
        EXPECT_OK(peer_copy(device, to, &peer, from, 4 * KIB));
        EXPECT_OK(device->backend->peer_disable(device->handle, peer.handle));
        EXPECT_RESULT(peer_copy(device, to, &peer, from, 4 * KIB), DCMEM_E_WRONG_STATE);
        release(device, &mine);
        release(&peer, &theirs);
    }
    close_peer(&peer, can);
}

void
contract_peers_that_cannot_reach_each_other_say_so(contract_device *device)
{
    contract_device peer;
    bool can = open_peer(&peer, device);
    dcmem_result result = device->backend->peer_enable(device->handle, peer.handle);
    EXPECT(can ? result == DCMEM_OK : device->options.index == peer.options.index || result == DCMEM_E_UNSUPPORTED);
    if (!result)
        EXPECT_OK(device->backend->peer_disable(device->handle, peer.handle));
    close_peer(&peer, true);
}
