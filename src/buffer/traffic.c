/* traffic.c: making, finding and ending it. */
#include "buffer/traffic.h"

#include "base/fail.h"
#include "base/os.h"

/* ---- Peers ---- */

/* Both directions of it never fail for more than want of the driver's leave. */
static bool
can_copy(dcmi_device *to, dcmi_device *from)
{
    bool can = false;
    if (to->backend != from->backend || !dcmi_device_has(to, DCMEM_CAP_PEER) || !dcmi_device_has(from, DCMEM_CAP_PEER))
        return false;
    dcmem_detail before = dcmi_detail_save();
    if (dcmi_device_peer_can(&can, to, from) || (can && dcmi_device_peer_enable(to, from)))
        can = false;
    dcmi_detail_restore(&before);
    return can;
}

static dcmi_peer *
find(dcmi_traffic *traffic, uint64_t manager)
{
    for (unsigned i = 0; i < DCMI_PEERS; i++) {
        uint64_t seen = atomic_load_explicit(&traffic->peers[i].manager, memory_order_acquire);
        if (!seen && atomic_compare_exchange_strong(&traffic->peers[i].manager, &seen, manager))
            return &traffic->peers[i];
        if (seen == manager)
            return &traffic->peers[i];
    }
    return &traffic->others;
}

dcmi_peer *
dcmi_traffic_peer(dcmi_traffic *traffic, dcmi_pool *from)
{
    dcmi_peer *peer = find(traffic, (uintptr_t)dcmi_pool_manager(from));
    if (peer == &traffic->others || atomic_load_explicit(&peer->state, memory_order_relaxed) != DCMI_PEER_UNKNOWN)
        return peer;
    bool can = can_copy(dcmi_pool_device(traffic->ring.root), dcmi_pool_device(from));
    atomic_store_explicit(&peer->state, can ? DCMI_PEER_CAN : DCMI_PEER_CANNOT, memory_order_relaxed);
    return peer;
}

/* ---- Life ---- */

/* The pool's sink: memory is short, or the manager ends. */
static uint64_t
give_back(dcmi_pool *root, bool is_end)
{
    dcmi_traffic *traffic = dcmi_pool_traffic(root);
    if (!traffic)
        return 0;
    uint64_t bytes = dcmi_ring_empty(&traffic->ring, is_end);
    if (is_end)
        dcmi_os_unreserve(traffic, sizeof *traffic);
    return bytes;
}

dcmi_traffic *
dcmi_traffic_of(dcmi_pool *pool)
{
    dcmi_pool *root = dcmi_pool_root(pool);
    dcmi_traffic *traffic = dcmi_pool_traffic(root);
    if (traffic)
        return traffic;
    traffic = dcmi_os_reserve(sizeof *traffic);
    if (!traffic)
        return NULL;
    traffic->ring.root = root;
    dcmi_pool_set_spare_sink(give_back);
    if (dcmi_pool_set_traffic(root, traffic))
        return traffic;
    /* COVER begin: two threads must make the first copy of a manager in the same instant */
    dcmi_os_unreserve(traffic, sizeof *traffic);
    return dcmi_pool_traffic(root);
    /* COVER end */
}
