/* stream.c: submissions and their ends. */
#include "drivers/vulkan/stream.h"

#include "base/os.h"
#include "base/size.h"
#include "drivers/vulkan/pages.h"

#include <stdlib.h>
#include <string.h>

/* ---- Places ---- */

char *
dcmi_vk_host_of(const dcmem_place *place)
{
    char *host = place->extent ? dcmi_vk_piece_of(place->extent)->host : place->host;
    return host ? host + place->offset : NULL;
}

static bool
is_mapped_page(const dcmem_place *place)
{
    return place->extent && !dcmi_vk_piece_of(place->extent);
}

bool
dcmi_vk_is_plain(const dcmem_place *place)
{
    return !place->extent || (!is_mapped_page(place) && dcmi_vk_piece_of(place->extent)->is_plain);
}

bool
dcmi_vk_has_buffer(const dcmem_place *place)
{
    return is_mapped_page(place) || (place->extent && dcmi_vk_piece_of(place->extent)->buffer);
}

void
dcmi_vk_host_fill(char *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    memcpy(to, pattern, pattern_bytes);
    for (uint64_t done = pattern_bytes; done < bytes; done *= 2)
        memcpy(to + done, to, dcmi_min(done, bytes - done));
}

/* ---- Settling ---- */

static dcmi_vk_slot *
slot_of(dcmi_vk_stream *stream, uint64_t number)
{
    return &stream->slots[(number - 1) % DCMI_VK_SLOTS];
}

static uint64_t
staging_offset(const dcmi_vk_stream *stream, const dcmi_vk_slot *slot)
{
    return (uint64_t)(slot - stream->slots) * DCMI_VK_CHUNK;
}

static char *
staging_of(const dcmi_vk_stream *stream, const dcmi_vk_slot *slot)
{
    return (char *)stream->staging.host + staging_offset(stream, slot);
}

/* Until the device has done its part of submission number `number`, which has a slot. */
static VkResult
wait_for(dcmi_vk_stream *stream, uint64_t number)
{
    const dcmi_vk_device *device = stream->device;
    const VkSemaphoreWaitInfo reached = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &stream->timeline,
        .pValues = &number,
    };
    if (stream->timeline)
        return device->vkWaitSemaphores(device->id, &reached, UINT64_MAX);
    return dcmi_vk.vkWaitForFences(device->id, 1, &slot_of(stream, number)->fence, VK_TRUE, UINT64_MAX);
}

VkResult
dcmi_vk_stream_settle(dcmi_vk_slot *out, dcmi_vk_stream *stream)
{
    dcmi_vk_port *port = stream->port;
    uint64_t number = atomic_load(&stream->ended) + 1;
    const dcmi_vk_slot *slot = slot_of(stream, number);
    VkResult code = wait_for(stream, number);
    if (code) {
        /* The slot must not be used again while the device is at it. One that is lost fails this, and is at nothing. */
        dcmi_lock_take(&port->lock);
        (void)dcmi_vk.vkQueueWaitIdle(port->queue);
        dcmi_lock_drop(&port->lock);
    }
    if (!code && slot->host)
        memcpy(slot->host, staging_of(stream, slot), slot->bytes);
    *out = *slot;
    atomic_fetch_add(&stream->ended, 1);
    atomic_fetch_add(&stream->ends, 1);
    dcmi_os_wake(&stream->ends);
    return code;
}

/* Until so many submissions have ended; the code of the first that failed while it waited. */
static VkResult
await(dcmi_vk_stream *stream, uint64_t number)
{
    dcmi_vk_slot ended;
    VkResult first = VK_SUCCESS;
    for (;;) {
        uint32_t seen = atomic_load(&stream->ends);
        if (atomic_load(&stream->ended) >= number)
            return first;
        if (stream->is_watched) {
            dcmi_os_sleep(&stream->ends, seen, UINT64_MAX);
            continue;
        }
        VkResult code = dcmi_vk_stream_settle(&ended, stream);
        first = first ? first : code;
    }
}

dcmem_result
dcmi_vk_stream_finish(dcmi_vk_stream *stream, const char *what)
{
    VkResult code = await(stream, atomic_load(&stream->begun));
    return code ? dcmi_vk_fail(code, "%s", what) : DCMEM_OK;
}

/* ---- Submitting ---- */

static void
barrier(VkCommandBuffer commands, VkFlags from, VkFlags from_access, VkFlags to, VkFlags to_access)
{
    const VkMemoryBarrier all = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = from_access,
        .dstAccessMask = to_access,
    };
    dcmi_vk.vkCmdPipelineBarrier(commands, from, to, 0, 1, &all, 0, NULL, 0, NULL);
}

/* The next slot, once it is free. A failure that is met meanwhile is an earlier work's; its own settling tells it. */
static dcmem_result
take_slot(dcmi_vk_slot **out, dcmi_vk_stream *stream)
{
    uint64_t number = atomic_load(&stream->begun) + 1;
    dcmi_vk_slot *slot = slot_of(stream, number);
    VkResult code = number <= DCMI_VK_SLOTS ? VK_SUCCESS : await(stream, number - DCMI_VK_SLOTS);
    if (!code && slot->fence)
        code = dcmi_vk.vkResetFences(stream->device->id, 1, &slot->fence);
    if (code)
        return dcmi_vk_fail(code, "a place for a command");
    slot->host = NULL;
    slot->value = stream->value;
    slot->is_last = false;
    *out = slot;
    return DCMEM_OK;
}

/* The next slot, with commands that come after all that the VkQueue was given. */
static dcmem_result
begin(dcmi_vk_slot **out, dcmi_vk_stream *stream)
{
    const VkCommandBufferBeginInfo once = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    dcmem_result result = take_slot(out, stream);
    if (result)
        return result;
    VkResult code = dcmi_vk.vkBeginCommandBuffer((*out)->commands, &once);
    if (code)
        return dcmi_vk_fail(code, "the beginning of a command");
    barrier((*out)->commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_ACCESS_MEMORY_WRITE_BIT,
            VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    return DCMEM_OK;
}

/* With the slot's commands, or with none: then it is done when all before it is. */
static dcmem_result
submit(dcmi_vk_stream *stream, const dcmi_vk_slot *slot, uint32_t count)
{
    dcmi_vk_port *port = stream->port;
    uint64_t number = atomic_load(&stream->begun) + 1;
    const VkTimelineSemaphoreSubmitInfo reaches = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &number,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = stream->timeline ? &reaches : NULL,
        .commandBufferCount = count,
        .pCommandBuffers = &slot->commands,
        .signalSemaphoreCount = stream->timeline ? 1 : 0,
        .pSignalSemaphores = &stream->timeline,
    };
    dcmi_lock_take(&port->lock);
    VkResult code = dcmi_vk.vkQueueSubmit(port->queue, 1, &info, slot->fence);
    dcmi_lock_drop(&port->lock);
    if (code)
        return dcmi_vk_fail(code, "a command could not be submitted");
    atomic_store(&stream->begun, number);
    if (slot->host)
        stream->host_until = number;
    atomic_fetch_add(&stream->begins, 1);
    dcmi_os_wake(&stream->begins);
    return DCMEM_OK;
}

/* Ends the slot's commands such that everybody sees what they wrote, and submits them. */
static dcmem_result
end(dcmi_vk_stream *stream, dcmi_vk_slot *slot, bool is_last)
{
    slot->is_last = is_last;
    barrier(slot->commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
            VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
            VK_ACCESS_HOST_READ_BIT | VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
    VkResult code = dcmi_vk.vkEndCommandBuffer(slot->commands);
    return code ? dcmi_vk_fail(code, "the end of a command") : submit(stream, slot, 1);
}

dcmem_result
dcmi_vk_stream_mark(dcmi_vk_stream *stream)
{
    dcmi_vk_slot *slot;
    dcmem_result result = take_slot(&slot, stream);
    if (result)
        return result;
    slot->is_last = true;
    return submit(stream, slot, 0);
}

/* Work that failed half way: what of it is under way ends before anybody is told. */
static dcmem_result
settle_failed(dcmi_vk_stream *stream, dcmem_result result)
{
    if (!result)
        return DCMEM_OK;
    dcmem_detail why = dcmi_detail_save();
    (void)await(stream, atomic_load(&stream->begun));
    dcmi_detail_restore(&why);
    return result;
}

/* ---- Copies ---- */

/* A slot's part of the staging memory. */
static dcmem_place
staging_place(const dcmi_vk_stream *stream, const dcmi_vk_slot *slot)
{
    return (dcmem_place){.extent = &stream->staging, .offset = staging_offset(stream, slot)};
}

/* Between places that have buffers, or at mapped pages several. */
static void
record_copy(dcmi_vk_stream *stream, const dcmi_vk_slot *slot, const dcmem_place *to, const dcmem_place *from,
            uint64_t bytes)
{
    for (uint64_t done = 0, part; done < bytes; done += part) {
        const dcmi_vk_spot there = dcmi_vk_spot_of(stream->device, to, done);
        const dcmi_vk_spot here = dcmi_vk_spot_of(stream->device, from, done);
        part = dcmi_min(bytes - done, dcmi_min(there.room, here.room));
        const VkBufferCopy region = {here.offset, there.offset, part};
        dcmi_vk.vkCmdCopyBuffer(slot->commands, here.buffer, there.buffer, 1, &region);
    }
}

/* `place`, so many bytes on. */
static dcmem_place
behind(const dcmem_place *place, uint64_t bytes)
{
    return (dcmem_place){.extent = place->extent, .offset = place->offset + bytes};
}

static dcmem_result
copy_within(dcmi_vk_stream *stream, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    dcmi_vk_slot *slot;
    dcmem_result result = begin(&slot, stream);
    if (result)
        return result;
    record_copy(stream, slot, to, from, bytes);
    return end(stream, slot, true);
}

static dcmem_result
copy_in(dcmi_vk_stream *stream, const dcmem_place *to, const char *from, uint64_t bytes)
{
    for (uint64_t done = 0, part; done < bytes; done += part) {
        dcmi_vk_slot *slot;
        part = dcmi_min(bytes - done, DCMI_VK_CHUNK);
        dcmem_result result = begin(&slot, stream);
        if (result)
            return result;
        const dcmem_place staged = staging_place(stream, slot), next = behind(to, done);
        memcpy(staging_of(stream, slot), from + done, part);
        record_copy(stream, slot, &next, &staged, part);
        result = end(stream, slot, done + part == bytes);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

static dcmem_result
copy_out(dcmi_vk_stream *stream, char *to, const dcmem_place *from, uint64_t bytes)
{
    for (uint64_t done = 0, part; done < bytes; done += part) {
        dcmi_vk_slot *slot;
        part = dcmi_min(bytes - done, DCMI_VK_CHUNK);
        dcmem_result result = begin(&slot, stream);
        if (result)
            return result;
        const dcmem_place staged = staging_place(stream, slot), next = behind(from, done);
        record_copy(stream, slot, &staged, &next, part);
        slot->host = to + done;
        slot->bytes = part;
        result = end(stream, slot, done + part == bytes);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

/* What goes to plain host memory has gone. Failures are told by those who settle. */
static void
await_host(dcmi_vk_stream *stream)
{
    (void)await(stream, stream->host_until);
}

dcmem_result
dcmi_vk_stream_copy(dcmi_vk_stream *stream, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    bool has_to = dcmi_vk_has_buffer(to), has_from = dcmi_vk_has_buffer(from);
    if (has_to && has_from)
        return settle_failed(stream, copy_within(stream, to, from, bytes));
    if (has_from)
        return settle_failed(stream, copy_out(stream, dcmi_vk_host_of(to), from, bytes));
    await_host(stream);
    if (has_to)
        return settle_failed(stream, copy_in(stream, to, dcmi_vk_host_of(from), bytes));
    memcpy(dcmi_vk_host_of(to), dcmi_vk_host_of(from), bytes);
    return dcmi_vk_stream_mark(stream);
}

/* ---- Fills ---- */

/* Whether a pattern is one of four bytes, which Vulkan has a command for, and which. */
static bool
is_word(uint32_t *out, const void *pattern, uint32_t pattern_bytes)
{
    char wide[16];
    dcmi_vk_host_fill(wide, sizeof wide, pattern, pattern_bytes);
    memcpy(out, wide, sizeof *out);
    return memcmp(wide, wide + 4, sizeof wide - 4) == 0;
}

/* From the slot's part of the staging memory, where the pattern is laid out, again and again. Where a buffer begins,
 * the pattern does. */
static void
fill_by_copies(const dcmi_vk_stream *stream, const dcmi_vk_slot *slot, const dcmi_vk_spot *to, uint64_t bytes)
{
    enum { MOST = 64 };
    uint32_t count = 0;
    VkBufferCopy regions[MOST];
    VkBuffer staging = dcmi_vk_piece_of(&stream->staging)->buffer;
    for (uint64_t done = 0, part; done < bytes; done += part) {
        part = dcmi_min(bytes - done, DCMI_VK_CHUNK);
        regions[count++] = (VkBufferCopy){staging_offset(stream, slot), to->offset + done, part};
        if (count < MOST && done + part < bytes)
            continue;
        dcmi_vk.vkCmdCopyBuffer(slot->commands, staging, to->buffer, count, regions);
        count = 0;
    }
}

static dcmem_result
fill_buffer(dcmi_vk_stream *stream, const dcmem_place *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    uint32_t word;
    dcmi_vk_slot *slot;
    dcmem_result result = begin(&slot, stream);
    if (result)
        return result;
    bool has_command = is_word(&word, pattern, pattern_bytes) && (to->offset | bytes) % sizeof word == 0;
    if (!has_command)
        dcmi_vk_host_fill(staging_of(stream, slot), dcmi_min(bytes, DCMI_VK_CHUNK), pattern, pattern_bytes);
    for (uint64_t done = 0, part; done < bytes; done += part) {
        const dcmi_vk_spot there = dcmi_vk_spot_of(stream->device, to, done);
        part = dcmi_min(bytes - done, there.room);
        if (has_command)
            dcmi_vk.vkCmdFillBuffer(slot->commands, there.buffer, there.offset, part, word);
        else
            fill_by_copies(stream, slot, &there, part);
    }
    return end(stream, slot, true);
}

dcmem_result
dcmi_vk_stream_fill(dcmi_vk_stream *stream, const dcmem_place *to, uint64_t bytes, const void *pattern,
                    uint32_t pattern_bytes)
{
    if (dcmi_vk_has_buffer(to))
        return settle_failed(stream, fill_buffer(stream, to, bytes, pattern, pattern_bytes));
    await_host(stream);
    dcmi_vk_host_fill(dcmi_vk_host_of(to), bytes, pattern, pattern_bytes);
    return dcmi_vk_stream_mark(stream);
}

/* ---- Opening ---- */

/* What tells when the device has done its part. */
static VkResult
make_signals(dcmi_vk_stream *stream)
{
    VkDevice device = stream->device->id;
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    const VkSemaphoreTypeCreateInfo number = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &number};
    if (stream->device->has_timelines)
        return dcmi_vk.vkCreateSemaphore(device, &semaphore, NULL, &stream->timeline);
    VkResult code = VK_SUCCESS;
    for (uint32_t i = 0; i < DCMI_VK_SLOTS && !code; i++)
        code = dcmi_vk.vkCreateFence(device, &fence, NULL, &stream->slots[i].fence);
    return code;
}

static dcmem_result
furnish(dcmi_vk_stream *stream, uint32_t family)
{
    VkCommandBuffer commands[DCMI_VK_SLOTS];
    VkDevice device = stream->device->id;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = family,
    };
    VkResult code = dcmi_vk.vkCreateCommandPool(device, &pool, NULL, &stream->pool);
    if (code)
        return dcmi_vk_fail(code, "a pool of commands");
    const VkCommandBufferAllocateInfo all = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = stream->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = DCMI_VK_SLOTS,
    };
    code = dcmi_vk.vkAllocateCommandBuffers(device, &all, commands);
    for (uint32_t i = 0; i < DCMI_VK_SLOTS && !code; i++)
        stream->slots[i].commands = commands[i];
    if (!code)
        code = make_signals(stream);
    return code ? dcmi_vk_fail(code, "a stream of commands") : DCMEM_OK;
}

void
dcmi_vk_stream_close(dcmi_vk_stream *stream)
{
    VkDevice device = stream->device->id;
    for (uint32_t i = 0; i < DCMI_VK_SLOTS; i++)
        if (stream->slots[i].fence)
            dcmi_vk.vkDestroyFence(device, stream->slots[i].fence, NULL);
    if (stream->timeline)
        dcmi_vk.vkDestroySemaphore(device, stream->timeline, NULL);
    if (stream->pool)
        dcmi_vk.vkDestroyCommandPool(device, stream->pool, NULL); /* With its command buffers. */
    dcmi_vk_memory_release(stream->device, &stream->staging);
    free(stream);
}

dcmem_result
dcmi_vk_stream_open(dcmi_vk_stream **out, dcmi_vk_device *device, dcmi_vk_port *port, uint32_t family)
{
    const dcmem_acquire staging = {.bytes = DCMI_VK_SLOTS * DCMI_VK_CHUNK, .kind = DCMEM_KIND_PINNED};
    dcmi_vk_stream *stream = dcmi_vk_new(sizeof *stream);
    if (!stream)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a stream of %zu bytes", sizeof *stream);
    stream->device = device;
    stream->port = port;
    dcmem_result result = dcmi_vk_memory_acquire(&stream->staging, device, &staging);
    if (result) {
        free(stream);
        return result;
    }
    result = furnish(stream, family);
    if (result) {
        dcmi_vk_stream_close(stream);
        return result;
    }
    *out = stream;
    return DCMEM_OK;
}
