/* account.c: a simulated device's own account, and what befalls it. */
#include "simulated.h"

typedef dcmi_simulated device;

dcmem_result
dcmem_simulated_account_of(dcmem_simulated_account *out, const dcmem_backend *backend, uint32_t index)
{
    DCMI_SIMULATED_REQUIRE(out && out->size == sizeof *out);
    device *dev = dcmi_simulated_of(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    pthread_mutex_lock(&dev->lock);
    dcmem_simulated_account account = dev->account;
    account.live_extents = dev->live.count - dev->account.imports;
    dcmi_simulated_leave(dev);
    *out = account;
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
    pthread_mutex_lock(&dev->lock);
    dev->is_lost = is_lost;
    dcmi_simulated_leave(dev);
    return DCMEM_OK;
}
