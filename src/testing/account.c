/* account.c: a simulated device's own account, and what befalls it. */
#include "queue.h"
#include "simulated.h"

#include <stddef.h>
#include <string.h>

/* What the first users of the kit knew of the account. */
#define FIRST_SIZE offsetof(dcmem_simulated_account, to_device_bytes)

typedef dcmi_simulated device;

dcmem_result
dcmem_simulated_account_of(dcmem_simulated_account *out, const dcmem_backend *backend, uint32_t index)
{
    DCMI_SIMULATED_REQUIRE(out && out->size >= FIRST_SIZE && out->size <= sizeof *out);
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock_enter(dev->clock);
    pthread_mutex_lock(&dev->lock);
    dcmem_simulated_account account = dev->account;
    account.size = out->size;
    account.live_extents = dev->live.count - dev->account.imports;
    account.to_device_bytes = dev->links[DCMI_LINK_TO_DEVICE].bytes;
    account.to_host_bytes = dev->links[DCMI_LINK_TO_HOST].bytes;
    account.within_bytes = dev->links[DCMI_LINK_WITHIN].bytes;
    account.from_peer_bytes = dev->links[DCMI_LINK_FROM_PEER].bytes;
    account.waiting = dcmi_queues_waiting(dev);
    account.reserved_bytes = dev->reserved.bytes;
    account.page_maps = dev->mapped.count;
    dcmi_simulated_leave(dev);
    dcmi_clock_leave(dev->clock);
    memcpy(out, &account, account.size);
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_set_available(const dcmem_backend *backend, uint32_t index, uint64_t bytes)
{
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    DCMI_SIMULATED_REQUIRE(bytes <= dev->profile.total_bytes);
    pthread_mutex_lock(&dev->lock);
    dev->heaps[DCMI_HEAP_DEVICE].available = bytes;
    dcmi_simulated_leave(dev);
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_set_lost(const dcmem_backend *backend, uint32_t index, bool is_lost)
{
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock_enter(dev->clock);
    pthread_mutex_lock(&dev->lock);
    dev->is_lost = is_lost;
    dcmi_simulated_leave(dev);
    if (is_lost)
        dcmi_queues_lose(dev);
    dcmi_clock_leave(dev->clock);
    return DCMEM_OK;
}
