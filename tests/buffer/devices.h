/* devices.h: rigs for each kind of device that a buffer can meet, and what is asked of buffers again and again. */
#ifndef DCMI_TEST_DEVICES_H
#define DCMI_TEST_DEVICES_H

#include "buffer/contents.h"
#include "buffer/side.h"
#include "test.h"

#include <dcmem/buffer.h>
#include <dcmem/manager.h>
#include <dcmem/memory.h>
#include <dcmem/runner.h>
#include <dcmem/stats.h>
#include <dcmem/testing.h>

typedef dcmem_rig device;

static const dcmem_simulated_profile split_profile = {
    .size = sizeof split_profile, .total_bytes = 1ull << 30, .host_bytes = 1ull << 30};
static const dcmem_simulated_profile unified_profile = {
    .size = sizeof unified_profile, .flags = DCMEM_SIMULATED_UNIFIED, .total_bytes = 1ull << 30};
static const dcmem_simulated_profile visible_profile = {
    .size = sizeof visible_profile,
    .flags = DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT,
    .total_bytes = 1ull << 30,
    .host_bytes = 1ull << 30,
    .flush_bytes = 64,
};

static inline device
device_open(const dcmem_simulated_profile *profile)
{
    device it;
    EXPECT_OK(dcmem_rig_begin(&it, profile));
    return it;
}

/* `wanted`: what is wrong at the end. */
static inline void
device_close_with(device *it, dcmem_result wanted)
{
    EXPECT_OK(dcmem_manager_check(it->manager));
    EXPECT_RESULT(dcmem_rig_end(it), wanted);
}

static inline void
device_close(device *it)
{
    device_close_with(it, DCMEM_OK);
}

static inline dcmem_manager *
cpu_open(void)
{
    dcmem_manager *manager;
    dcmem_manager_options settings = {.size = sizeof settings, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&manager, &settings));
    return manager;
}

static inline void
cpu_close(dcmem_manager *manager)
{
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static inline dcmem_stats
stats_of(dcmem_manager *manager)
{
    dcmem_stats stats = {.size = sizeof stats};
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    return stats;
}

static inline dcmem_buffer *
buffer_of(dcmem_manager *manager, uint64_t bytes)
{
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, bytes, NULL));
    return buffer;
}

static inline dcmem_view
view_of(dcmem_buffer *buffer, uint64_t offset, uint64_t bytes)
{
    return (dcmem_view){buffer, offset, bytes, 1};
}

static inline dcmem_buffer_info
info_of(dcmem_buffer *buffer)
{
    dcmem_buffer_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_buffer_describe(&info, buffer));
    return info;
}

/* The state of one byte, as the library keeps it. */
static inline dcmi_state
state_at(dcmem_buffer *buffer, uint64_t offset)
{
    dcmi_locked locked;
    uint64_t end;
    EXPECT_OK(dcmi_slot_lock(&locked, buffer));
    dcmi_state state = dcmi_contents_at(&end, locked.slot, offset);
    dcmi_slot_unlock(&locked, false);
    return state;
}

/* What lies on one side, current or not. */
static inline void
peek_side(void *out, dcmem_buffer *buffer, dcmem_side side, uint64_t offset, uint64_t bytes)
{
    dcmi_locked locked;
    dcmi_site site;
    EXPECT_OK(dcmi_slot_lock(&locked, buffer));
    dcmem_result result = dcmi_side_know_face(locked.slot);
    if (!result)
        result = dcmi_side_site(&site, locked.slot, side, offset);
    dcmi_slot_unlock(&locked, false);
    EXPECT_OK(result);
    dcmem_place to = {.host = out};
    dcmem_place from = {.extent = &site.place.extent, .offset = site.place.offset};
    EXPECT_OK(dcmi_device_copy(dcmi_pool_device(site.pool), 0, &to, &from, bytes));
}

static inline int
are_all(const void *bytes, int value, size_t count)
{
    const unsigned char *of = bytes;
    for (size_t i = 0; i < count; i++)
        if (of[i] != (unsigned char)value)
            return 0;
    return 1;
}

#endif
