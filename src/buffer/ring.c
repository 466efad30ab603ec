/* ring.c: lanes taken and given, their blocks and their queues. */
#include "buffer/ring.h"

#include "base/fail.h"
#include "base/size.h"
#include "base/team.h"

#include <unistd.h>

/* ---- Lanes ---- */

dcmi_lane *
dcmi_ring_take(dcmi_ring *ring)
{
    uint32_t own = (uint32_t)getpid();
    for (unsigned i = 0; i < DCMI_RING_LANES; i++) {
        dcmi_lane *lane = &ring->lanes[i];
        uint32_t taker = atomic_load_explicit(&lane->taker, memory_order_relaxed);
        if (taker != own && atomic_compare_exchange_strong(&lane->taker, &taker, own))
            return lane;
    }
    return NULL;
}

void
dcmi_ring_give(dcmi_lane *lane)
{
    atomic_store_explicit(&lane->taker, 0, memory_order_release);
}

/* ---- Blocks ---- */

static void
touch(void *user, unsigned part, unsigned parts)
{
    const dcmi_lane *lane = user;
    volatile char *bytes = lane->site.place.host;
    uint64_t begin = lane->bytes / parts * part;
    uint64_t end = part + 1 == parts ? lane->bytes : lane->bytes / parts * (part + 1);
    for (uint64_t at = begin; at < end; at += 4096)
        bytes[at] = 0;
}

static dcmem_result
take_block(dcmi_lane *lane, dcmi_pool *root, dcmem_kind kind, uint64_t bytes)
{
    dcmi_pool *pool;
    dcmi_site site = {.is_host = true};
    dcmem_result result = dcmi_pool_of_kind(&pool, root, kind);
    if (result)
        return result;
    uint64_t address = dcmi_pool_take(pool, bytes, 0, DCMI_HOLDER_LIBRARY);
    if (!address)
        return dcmem_last_detail()->result;
    site.pool = pool;
    result = dcmi_pool_place(&site.place, pool, address);
    if (result) {
        (void)dcmi_pool_give(pool, address, DCMI_HOLDER_LIBRARY); /* COVER: a block that was just taken is placed */
        return result;                                            /* COVER: the same */
    }
    lane->pool = pool;
    lane->address = address;
    lane->bytes = bytes;
    lane->site = site;
    dcmi_pool_adjust(root, DCMI_GAUGE_STAGING, (int64_t)bytes);
    return DCMEM_OK;
}

dcmem_result
dcmi_lane_equip(dcmi_lane *lane, dcmi_pool *root)
{
    if (lane->pool)
        return DCMEM_OK;
    const dcmi_device *device = dcmi_pool_device(root);
    bool has_pinned = device->info.kinds & DCMEM_KIND_BIT(DCMEM_KIND_PINNED);
    dcmem_result result = take_block(lane, root, has_pinned ? DCMEM_KIND_PINNED : DCMEM_KIND_HOST, DCMI_RING_BYTES);
    if (!result)
        dcmi_team_run(touch, lane, dcmi_team_size(), device->info.numa_node);
    return result;
}

dcmem_result
dcmi_lane_make(dcmi_lane *lane, dcmi_pool *root, uint64_t bytes)
{
    return take_block(lane, root, DCMEM_KIND_HOST, dcmi_min(bytes, DCMI_RING_BYTES));
}

uint64_t
dcmi_lane_strip(dcmi_lane *lane)
{
    uint64_t bytes = lane->bytes;
    if (!lane->pool)
        return 0;
    dcmi_pool_adjust(dcmi_pool_root(lane->pool), DCMI_GAUGE_STAGING, -(int64_t)bytes);
    (void)dcmi_pool_give(lane->pool, lane->address, DCMI_HOLDER_LIBRARY); /* It is live, and ours. */
    lane->pool = NULL;
    lane->bytes = 0;
    return bytes;
}

/* ---- Queues ---- */

void *
dcmi_lane_queue(dcmi_lane *lane, dcmi_ring *ring)
{
    dcmi_device *device = dcmi_pool_device(ring->root);
    if (lane->queue || atomic_load_explicit(&ring->has_no_queues, memory_order_relaxed))
        return lane->queue;
    dcmem_detail before = dcmi_detail_save();
    if (dcmi_device_queue_open(&lane->queue, device, NULL)) {
        lane->queue = NULL;
        atomic_store_explicit(&ring->has_no_queues, true, memory_order_relaxed);
        dcmi_detail_restore(&before);
    }
    return lane->queue;
}

void
dcmi_lane_drop_queue(dcmi_lane *lane, dcmi_ring *ring)
{
    if (lane->queue)
        dcmi_device_queue_close(dcmi_pool_device(ring->root), lane->queue);
    lane->queue = NULL;
}

uint64_t
dcmi_ring_empty(dcmi_ring *ring, bool is_end)
{
    uint64_t bytes = 0;
    uint32_t own = (uint32_t)getpid();
    for (unsigned i = 0; i < DCMI_RING_LANES; i++) {
        dcmi_lane *lane = &ring->lanes[i];
        uint32_t taker = atomic_load_explicit(&lane->taker, memory_order_relaxed);
        if (!is_end && (taker == own || !atomic_compare_exchange_strong(&lane->taker, &taker, own)))
            continue;
        dcmi_lane_drop_queue(lane, ring);
        bytes += dcmi_lane_strip(lane);
        dcmi_ring_give(lane);
    }
    return bytes;
}
