/* target.c: the three ways. */
#include "cli/target.h"

#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is written where the device has to write. */
static const unsigned char one = 1;

/* One byte of each page: what makes the system give real memory. */
static void
touch(void *address, uint64_t bytes, uint64_t stride)
{
    volatile unsigned char *memory = address;
    for (uint64_t offset = 0; offset < bytes; offset += stride)
        memory[offset] = 1;
    memory[bytes - 1] = 1;
}

/* The host writes where the device's memory is its own, elsewhere the device does, and then every byte. */
static target_touch
touch_of(const dcmem_backend *backend, const dcmem_device_info *info, bool is_touched)
{
    uint64_t capabilities = info->capabilities ? info->capabilities : backend->capabilities;
    return !is_touched ? TARGET_UNTOUCHED : capabilities & DCMEM_CAP_UNIFIED ? TARGET_TOUCHED : TARGET_FILLED;
}

static uint64_t
stride_of(target_touch touched)
{
    return touched == TARGET_TOUCHED ? (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- The driver ---- */

static dcmem_result
driver_take(replay_target *to, uint32_t id, uint64_t bytes)
{
    /* Sizes in a trace end at 2^62: the sum cannot overflow. */
    uint64_t rounded = (bytes + to->granularity - 1) / to->granularity * to->granularity;
    dcmem_call call = {.op_index = 2 * (uint64_t)id + 1};
    dcmem_acquire request = {.bytes = rounded, .kind = DCMEM_KIND_DEVICE};
    dcmem_extent *extent = &to->extents[id];

    dcmem_result result = to->backend->acquire(extent, to->device, &call, &request);
    if (result || to->touched == TARGET_UNTOUCHED)
        return result;
    if (to->touched == TARGET_TOUCHED) {
        touch(extent->host, bytes, to->touch_stride);
        return DCMEM_OK;
    }
    const dcmem_place place = {.extent = extent};
    result = to->backend->fill(to->device, &call, &place, bytes, &one, 1);
    if (result)
        (void)to->backend->release(to->device, &call, extent); /* why it could not be filled matters more */
    return result;
}

static dcmem_result
driver_give(replay_target *to, uint32_t id)
{
    dcmem_call call = {.op_index = 2 * (uint64_t)id + 2};
    return to->backend->release(to->device, &call, &to->extents[id]);
}

dcmem_result
target_open_driver(replay_target *out, const dcmem_backend *backend, uint32_t id_count, bool is_touched)
{
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_device_info info = {.size = sizeof info};
    void *device;

    dcmem_result result = backend->open(&device, backend, &options);
    if (result)
        return result;
    result = backend->info(&info, device);
    if (result) {
        backend->close(device);
        return result;
    }

    target_touch touched = touch_of(backend, &info, is_touched);
    *out = (replay_target){
        .take = driver_take,
        .give = driver_give,
        .touched = touched,
        .touch_stride = stride_of(touched),
        .backend = backend,
        .device = device,
        .granularity = info.granularity ? info.granularity : 1,
        .extents = cli_allocate(id_count, sizeof *out->extents),
    };
    return DCMEM_OK;
}

/* ---- The pool ---- */

static dcmem_result
raw_take(replay_target *to, uint32_t id, uint64_t bytes)
{
    void *address = dcmem_raw_allocate(to->manager, bytes);
    if (!address)
        return dcmem_last_detail()->result;
    dcmem_result result = DCMEM_OK;
    if (to->touched == TARGET_TOUCHED)
        touch(address, bytes, to->touch_stride);
    else if (to->touched == TARGET_FILLED)
        result = dcmem_raw_set(to->manager, address, one, bytes);
    if (result) {
        (void)dcmem_raw_free(to->manager, address); /* why it could not be filled matters more */
        return result;
    }
    to->blocks[id] = address;
    return DCMEM_OK;
}

static dcmem_result
raw_give(replay_target *to, uint32_t id)
{
    return dcmem_raw_free(to->manager, to->blocks[id]);
}

static dcmem_result
touch_buffer(dcmem_buffer *buffer, uint64_t stride)
{
    dcmem_access access;
    dcmem_view view = dcmem_view_whole(buffer);
    dcmem_result result = dcmem_access_begin(&access, view, DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0);
    if (result)
        return result;
    touch(access.host, view.bytes, stride);
    return dcmem_access_end(&access);
}

static dcmem_result
buffer_take(replay_target *to, uint32_t id, uint64_t bytes)
{
    dcmem_buffer *buffer;
    dcmem_result result = dcmem_buffer_create(&buffer, to->manager, bytes, NULL);
    if (result)
        return result;
    if (to->touched == TARGET_TOUCHED)
        result = touch_buffer(buffer, to->touch_stride);
    else if (to->touched == TARGET_FILLED)
        result = dcmem_buffer_fill(dcmem_view_whole(buffer), &one, 1);
    if (result) {
        (void)dcmem_buffer_destroy(buffer); /* why it could not be touched matters more */
        return result;
    }
    to->blocks[id] = buffer;
    return DCMEM_OK;
}

static dcmem_result
buffer_give(replay_target *to, uint32_t id)
{
    return dcmem_buffer_destroy(to->blocks[id]);
}

dcmem_result
target_open_pool(replay_target *out, const dcmem_manager_options *options, uint32_t id_count, target_touch touched,
                 bool has_buffers)
{
    dcmem_manager *manager;
    dcmem_result result = dcmem_manager_create(&manager, options);
    if (result)
        return result;
    *out = (replay_target){
        .take = has_buffers ? buffer_take : raw_take,
        .give = has_buffers ? buffer_give : raw_give,
        .touched = touched,
        .touch_stride = stride_of(touched),
        .manager = manager,
        .blocks = cli_allocate(id_count, sizeof *out->blocks),
    };
    return DCMEM_OK;
}

/* ---- The use alone ---- */

static dcmem_result
alone_take(replay_target *to, uint32_t id, uint64_t bytes)
{
    if (to->touched == TARGET_TOUCHED)
        touch(to->blocks[id], bytes, to->touch_stride);
    return DCMEM_OK;
}

static dcmem_result
alone_give(replay_target *to, uint32_t id)
{
    (void)to, (void)id;
    return DCMEM_OK;
}

dcmem_result
target_open_alone(replay_target *out, const replay_target *pool)
{
    if (pool->take != raw_take || pool->touched == TARGET_FILLED)
        return DCMEM_E_UNSUPPORTED;
    *out = (replay_target){
        .take = alone_take,
        .give = alone_give,
        .touched = pool->touched,
        .touch_stride = pool->touch_stride,
        .blocks = pool->blocks,
        .is_borrowed = true,
    };
    return DCMEM_OK;
}

dcmem_result
target_close(replay_target *to)
{
    dcmem_result result = DCMEM_OK;
    if (to->device)
        to->backend->close(to->device);
    if (to->manager)
        result = dcmem_manager_destroy(to->manager);
    free(to->extents);
    if (!to->is_borrowed)
        free(to->blocks);
    memset(to, 0, sizeof *to);
    return result;
}
