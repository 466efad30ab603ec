/* peer.c: copies from one simulated device to another, over the links of both. */
#include "simulated.h"

typedef dcmi_simulated device;

static bool
is_peer(const device *dev)
{
    return !(dev->profile.without & DCMEM_CAP_PEER);
}

/* NULL, with the detail written, when it is no other device of the backend. */
static device *
find_peer(const device *dev, const void *handle)
{
    for (uint32_t i = 0; i < dev->device_count; i++)
        if (handle == &dev->devices[i] && handle != dev)
            return &dev->devices[i];
    (void)dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "the peer is no other device of the backend");
    return NULL;
}

dcmem_result
dcmi_simulated_peer_can(bool *out, void *handle, void *peer_handle)
{
    device *dev = handle;
    if (peer_handle == handle) {
        *out = false;
        return DCMEM_OK;
    }
    const device *peer = find_peer(dev, peer_handle);
    dcmem_result result = peer ? dcmi_simulated_enter(dev) : DCMEM_E_INVALID_ARGUMENT;
    if (result)
        return result;
    dcmi_simulated_leave(dev);
    *out = is_peer(dev) && is_peer(peer);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_peer_enable(void *handle, void *peer_handle)
{
    device *dev = handle;
    const device *peer = find_peer(dev, peer_handle);
    if (!peer)
        return DCMEM_E_INVALID_ARGUMENT;
    if (!is_peer(dev) || !is_peer(peer))
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "device %u cannot reach device %u", dev->index, peer->index);
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    dev->enabled[peer->index]++;
    dcmi_simulated_leave(dev);
    return DCMEM_OK;
}

static dcmem_result
fail_not_enabled(const device *dev, const device *peer)
{
    return dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "device %u has not enabled device %u", dev->index, peer->index);
}

dcmem_result
dcmi_simulated_peer_disable(void *handle, void *peer_handle)
{
    device *dev = handle;
    const device *peer = find_peer(dev, peer_handle);
    if (!peer)
        return DCMEM_E_INVALID_ARGUMENT;
    pthread_mutex_lock(&dev->lock);
    bool is_enabled = dev->enabled[peer->index] > 0;
    dev->enabled[peer->index] -= is_enabled;
    dcmi_simulated_leave(dev);
    return is_enabled ? DCMEM_OK : fail_not_enabled(dev, peer);
}

dcmem_result
dcmi_simulated_peer_copy(void *handle, const dcmem_call *call, const dcmem_place *to, void *peer_handle,
                         const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    device *dev = handle, *peer = find_peer(dev, peer_handle);
    dcmem_result result = peer ? dcmi_simulated_enter(dev) : DCMEM_E_INVALID_ARGUMENT;
    if (result)
        return result;
    bool is_enabled = dev->enabled[peer->index] > 0;
    dcmi_simulated_leave(dev);
    if (!is_enabled)
        return fail_not_enabled(dev, peer);
    DCMI_SIMULATED_REQUIRE(to->extent && from->extent);

    const dcmi_route route = {&dev->links[DCMI_LINK_FROM_PEER], &peer->links[DCMI_LINK_TO_PEER]};
    dcmi_clock_spend(dev->clock, &route, bytes);
    return dcmi_simulated_copy_now(dev, to, peer, from, bytes);
}
