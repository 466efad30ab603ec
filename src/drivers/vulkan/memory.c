/* memory.c: acquires and releases memory: one VkDeviceMemory a piece, with one VkBuffer over it. The pool above divides
 * it.
 *
 *     device          the card's own memory; on a card that shares the host's, such that the host sees it
 *     host_visible    the card's own memory that the host sees
 *     pinned          memory that the host sees and that is coherent, best cached, best not the card's own
 *     host            pages of the system: Vulkan does not come into it
 *
 * Vulkan aligns memory for its own uses only, by 64 bytes on lavapipe. What lies askew is made anew, a little larger,
 * and its buffer bound behind the gap. */
#include "drivers/vulkan/device.h"

#include "base/os.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a piece is to be like. */
typedef struct order {
    uint64_t bytes;
    uint64_t alignment;
    dcmem_kind kind;
    uint32_t type_bits;
    uint32_t handle_type; /* of external memory; 0: it is none */
    const void *source;   /* chained to the allocation: what is imported; NULL: the memory is new */
    int *source_fd;       /* becomes -1 when the driver has taken it */
    uint64_t memory_bytes;
    uint64_t offset;
    uint64_t room; /* behind the buffer, to shift it by */
} order;

/* ---- Buffers ---- */

dcmem_result
dcmi_vk_buffer_create(VkBuffer *out, const dcmi_vk_device *device, uint64_t bytes, uint32_t flags, uint32_t handle_type)
{
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = handle_type,
    };
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .pNext = handle_type ? &external : NULL,
        .flags = flags,
        .size = bytes,
        .usage = DCMI_VK_USAGE | (device->has_addresses ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0),
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    VkResult code = dcmi_vk.vkCreateBuffer(device->id, &info, NULL, out);
    return code ? dcmi_vk_fail(code, "a buffer of %llu bytes", (unsigned long long)bytes) : DCMEM_OK;
}

VkMemoryRequirements
dcmi_vk_buffer_needs(const dcmi_vk_device *device, VkBuffer buffer, bool *out_alone)
{
    VkMemoryDedicatedRequirements alone = {.sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS};
    VkMemoryRequirements2 needs = {.sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2, .pNext = &alone};
    const VkBufferMemoryRequirementsInfo2 info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2,
        .buffer = buffer,
    };
    dcmi_vk.vkGetBufferMemoryRequirements2(device->id, &info, &needs);
    *out_alone = alone.requiresDedicatedAllocation;
    return needs.memoryRequirements;
}

uint64_t
dcmi_vk_buffer_address(const dcmi_vk_device *device, VkBuffer buffer)
{
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = buffer,
    };
    return device->has_addresses ? device->vkGetBufferDeviceAddress(device->id, &info) : 0;
}

/* ---- Memory under a buffer ---- */

static dcmem_result
charge(dcmi_vk_piece *piece, dcmi_vk_device *device)
{
    dcmem_result result = dcmi_vk_card_charge(device->card, piece->heap, piece->memory_bytes);
    if (!result)
        piece->charged_bytes = piece->memory_bytes;
    return result;
}

/* The memory, in `piece->type`; dedicated to the buffer if it wants to be `alone`. */
static dcmem_result
allocate(dcmi_vk_piece *piece, dcmi_vk_device *device, const order *wanted, bool alone)
{
    const VkMemoryAllocateFlagsInfo address = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .pNext = wanted->source,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryDedicatedAllocateInfo dedicated = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
        .pNext = device->has_addresses ? &address : wanted->source,
        .buffer = piece->buffer,
    };
    const VkExportMemoryAllocateInfo shared = {
        .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
        .pNext = alone ? &dedicated : dedicated.pNext,
        .handleTypes = wanted->handle_type,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = wanted->handle_type && !wanted->source ? &shared : shared.pNext,
        .allocationSize = piece->memory_bytes,
        .memoryTypeIndex = piece->type,
    };
    VkResult code = dcmi_vk.vkAllocateMemory(device->id, &info, NULL, &piece->memory);
    if (code)
        return dcmi_vk_fail(code, "%llu bytes of memory type %u", (unsigned long long)info.allocationSize,
                            info.memoryTypeIndex);
    if (wanted->source_fd)
        *wanted->source_fd = -1;
    return DCMEM_OK;
}

static dcmem_result
find_memory(dcmi_vk_piece *piece, dcmi_vk_device *device, const order *wanted)
{
    bool alone;
    const dcmi_vk_card *card = device->card;
    VkMemoryRequirements needs = dcmi_vk_buffer_needs(device, piece->buffer, &alone);
    alone = alone || (wanted->handle_type == VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT && card->shares_dedicated);
    int type = dcmi_vk_card_type(card, needs.memoryTypeBits & wanted->type_bits, wanted->kind);
    if (type < 0)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the device has no such memory of kind %s",
                         dcmem_kind_name(wanted->kind));
    if (alone && wanted->room)
        return dcmi_fail(DCMEM_E_MISALIGNED, "buffers of this device cannot be aligned by %llu",
                         (unsigned long long)wanted->alignment);
    piece->type = (uint32_t)type;
    piece->heap = card->memory.memoryTypes[type].heapIndex;
    piece->memory_bytes = wanted->memory_bytes;
    if (wanted->source && (wanted->offset % needs.alignment || needs.size > wanted->memory_bytes - wanted->offset))
        return dcmi_fail(wanted->source_fd ? DCMEM_E_INVALID_ARGUMENT : DCMEM_E_MISALIGNED,
                         "memory to be imported must begin at a multiple of %llu, with room for %llu bytes",
                         (unsigned long long)needs.alignment, (unsigned long long)needs.size);
    if (!wanted->source && !dcmi_size_add(&piece->memory_bytes, needs.size, wanted->room))
        return dcmi_fail(DCMEM_E_TOO_LARGE, "%llu bytes", (unsigned long long)wanted->bytes);
    dcmem_result result = wanted->source ? DCMEM_OK : charge(piece, device);
    return result ? result : allocate(piece, device, wanted, alone);
}

/* Where the host sees the memory, all of it and for good. What it lent, it sees already. */
static dcmem_result
map(dcmi_vk_piece *piece, const dcmi_vk_device *device)
{
    void *begin;
    uint32_t flags = device->card->memory.memoryTypes[piece->type].propertyFlags;
    if (!(flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) || piece->host)
        return DCMEM_OK;
    VkResult code = dcmi_vk.vkMapMemory(device->id, piece->memory, 0, VK_WHOLE_SIZE, 0, &begin);
    if (code)
        return dcmi_vk_fail(code, "a map of %llu bytes", (unsigned long long)piece->memory_bytes);
    piece->host = begin;
    piece->is_coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    piece->is_plain = piece->is_coherent && (flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    return DCMEM_OK;
}

static dcmem_result
bind(dcmi_vk_piece *piece, const dcmi_vk_device *device, uint64_t offset)
{
    VkResult code = dcmi_vk.vkBindBufferMemory(device->id, piece->buffer, piece->memory, offset);
    if (code)
        return dcmi_vk_fail(code, "a buffer could not be bound to its memory");
    piece->offset = offset;
    if (piece->host)
        piece->host = (char *)piece->host + offset;
    piece->address = dcmi_vk_buffer_address(device, piece->buffer);
    return DCMEM_OK;
}

/* Ends what a piece has, and empties it. */
static void
unmake(dcmi_vk_piece *piece, dcmi_vk_device *device)
{
    if (piece->buffer)
        dcmi_vk.vkDestroyBuffer(device->id, piece->buffer, NULL);
    if (piece->memory)
        dcmi_vk.vkFreeMemory(device->id, piece->memory, NULL); /* This ends its map, too. */
    if (piece->base)
        dcmi_os_unreserve(piece->base, piece->base_bytes);
    dcmi_vk_card_discharge(device->card, piece->heap, piece->charged_bytes);
    memset(piece, 0, sizeof *piece);
}

/* May leave a part of it, for unmake(). */
static dcmem_result
make(dcmi_vk_piece *piece, dcmi_vk_device *device, const order *wanted)
{
    dcmem_result result = dcmi_vk_buffer_create(&piece->buffer, device, wanted->bytes, 0, wanted->handle_type);
    if (!result)
        result = find_memory(piece, device, wanted);
    if (!result)
        result = map(piece, device);
    return result ? result : bind(piece, device, wanted->offset);
}

/* ---- Alignment ---- */

/* How far behind an aligned place the piece lies, where anybody sees its address. */
static uint64_t
excess(const dcmi_vk_piece *piece, const order *wanted)
{
    uint64_t seen = wanted->kind == DCMEM_KIND_PINNED ? (uintptr_t)piece->host : 0;
    return (piece->address ? piece->address : seen) & (wanted->alignment - 1);
}

/* Binds a new buffer behind the gap: a buffer is bound once. */
static dcmem_result
shift(dcmi_vk_piece *piece, dcmi_vk_device *device, const order *wanted)
{
    bool alone;
    uint64_t offset = wanted->alignment - excess(piece, wanted);
    VkMemoryRequirements needs = dcmi_vk_buffer_needs(device, piece->buffer, &alone);
    if (offset % needs.alignment)
        return dcmi_fail(DCMEM_E_MISALIGNED, "buffers of this device cannot be aligned by %llu",
                         (unsigned long long)wanted->alignment);
    dcmi_vk.vkDestroyBuffer(device->id, piece->buffer, NULL);
    piece->buffer = NULL;
    dcmem_result result = dcmi_vk_buffer_create(&piece->buffer, device, wanted->bytes, 0, wanted->handle_type);
    if (!result)
        result = bind(piece, device, offset);
    if (!result && excess(piece, wanted))
        return dcmi_fail(DCMEM_E_DRIVER, "a buffer is not where it was bound");
    return result;
}

static dcmem_result
make_aligned(dcmi_vk_piece *piece, dcmi_vk_device *device, const order *wanted)
{
    order roomy = *wanted;
    roomy.room = wanted->alignment;
    if (!atomic_load_explicit(&device->lies_askew, memory_order_relaxed)) {
        dcmem_result result = make(piece, device, wanted);
        if (result || !excess(piece, wanted))
            return result;
        atomic_store_explicit(&device->lies_askew, true, memory_order_relaxed);
        unmake(piece, device);
    }
    dcmem_result result = make(piece, device, &roomy);
    if (result || !excess(piece, wanted))
        return result;
    return shift(piece, device, wanted);
}

/* ---- All kinds ---- */

static dcmem_extent
extent_of(dcmi_vk_piece *piece, const dcmi_vk_device *device, uint64_t bytes, dcmem_kind kind)
{
    bool is_host = kind == DCMEM_KIND_HOST || kind == DCMEM_KIND_PINNED;
    bool is_direct = piece->is_plain && !(device->is_lent && piece->buffer);
    return (dcmem_extent){
        .object = piece->buffer ? (uintptr_t)piece->buffer : (uintptr_t)piece->host,
        .address = piece->address,
        .bytes = bytes,
        .host = is_host ? piece->host : NULL,
        .driver = (uintptr_t)piece,
        .kind = kind,
        .direct = is_direct ? piece->host : NULL,
    };
}

static dcmem_result
make_host(dcmi_vk_piece *piece, uint64_t bytes, uint64_t alignment)
{
    uint64_t room;
    void *base = dcmi_size_add(&room, bytes, alignment) ? dcmi_os_reserve(room) : NULL;
    if (!base)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "%llu bytes of host memory", (unsigned long long)bytes);
    piece->base = base;
    piece->base_bytes = room;
    piece->host = (char *)base + (-(uintptr_t)base & (alignment - 1));
    piece->is_coherent = piece->is_plain = true;
    return DCMEM_OK;
}

static dcmem_result
make_kind(dcmi_vk_piece *piece, dcmi_vk_device *device, const dcmem_acquire *request)
{
    const order wanted = {
        .bytes = request->bytes,
        .alignment = dcmi_max(request->alignment, DCMI_VK_ALIGNMENT),
        .kind = request->kind,
        .type_bits = ~0u,
        .handle_type = request->flags & DCMEM_ACQUIRE_SHARED && device->can_share
                           ? VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT
                           : 0,
    };
    if (request->kind == DCMEM_KIND_HOST)
        return make_host(piece, wanted.bytes, wanted.alignment);
    if (wanted.bytes > device->card->largest_bytes)
        return dcmi_fail(DCMEM_E_TOO_LARGE, "%llu bytes; the device gives at most %llu at once",
                         (unsigned long long)wanted.bytes, (unsigned long long)device->card->largest_bytes);
    dcmem_result result = make_aligned(piece, device, &wanted);
    piece->is_shared = wanted.handle_type;
    return result;
}

static dcmi_vk_piece *
new_piece(void)
{
    dcmi_vk_piece *piece = dcmi_vk_new(sizeof *piece);
    if (!piece)
        (void)dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an extent");
    return piece;
}

void
dcmi_vk_memory_end(dcmi_vk_device *device, dcmi_vk_piece *piece)
{
    unmake(piece, device);
    free(piece);
}

/* What became of a piece: its extent, or nothing. */
static dcmem_result
finish(dcmem_extent *out, dcmi_vk_device *device, dcmi_vk_piece *piece, dcmem_result result, dcmem_extent extent)
{
    if (result) {
        dcmi_vk_memory_end(device, piece);
        return result;
    }
    *out = extent;
    return DCMEM_OK;
}

dcmem_result
dcmi_vk_memory_acquire(dcmem_extent *out, dcmi_vk_device *device, const dcmem_acquire *request)
{
    if (request->kind >= DCMEM_KIND_COUNT || !(device->kinds & DCMEM_KIND_BIT(request->kind)))
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the device has no memory of kind %d", (int)request->kind);
    dcmi_vk_piece *piece = new_piece();
    if (!piece)
        return DCMEM_E_NO_HOST_MEMORY;
    dcmem_result result = make_kind(piece, device, request);
    return finish(out, device, piece, result, extent_of(piece, device, request->bytes, request->kind));
}

void
dcmi_vk_memory_release(dcmi_vk_device *device, const dcmem_extent *extent)
{
    dcmi_vk_memory_end(device, dcmi_vk_piece_of(extent));
}

/* ---- Pages ---- */

static dcmem_result
make_page(dcmi_vk_piece *piece, dcmi_vk_device *device, dcmem_kind kind)
{
    const order plain = {.kind = kind};
    int type = dcmi_vk_card_type(device->card, device->pages.type_bits, kind);
    if (type < 0)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the device has no pages of kind %s", dcmem_kind_name(kind));
    piece->type = (uint32_t)type;
    piece->heap = device->card->memory.memoryTypes[type].heapIndex;
    dcmem_result result = charge(piece, device);
    if (!result)
        result = allocate(piece, device, &plain, false);
    return result ? result : map(piece, device);
}

dcmem_result
dcmi_vk_memory_page(dcmi_vk_piece **out, dcmi_vk_device *device, uint64_t bytes, dcmem_kind kind)
{
    if (kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "there is no memory kind %d", (int)kind);
    if (bytes > device->card->largest_bytes)
        return dcmi_fail(DCMEM_E_TOO_LARGE, "a page of %llu bytes; the device gives at most %llu at once",
                         (unsigned long long)bytes, (unsigned long long)device->card->largest_bytes);
    dcmi_vk_piece *piece = new_piece();
    if (!piece)
        return DCMEM_E_NO_HOST_MEMORY;
    piece->memory_bytes = bytes;
    dcmem_result result = make_page(piece, device, kind);
    if (result) {
        dcmi_vk_memory_end(device, piece);
        return result;
    }
    *out = piece;
    return DCMEM_OK;
}

/* ---- Import ---- */

/* The pages around what is lent, with a buffer over what is lent alone. */
static dcmem_result
make_imported(dcmi_vk_piece *piece, dcmi_vk_device *device, void *host, uint64_t bytes)
{
    uint64_t page = device->card->import_bytes, offset = (uintptr_t)host & (page - 1), end;
    VkMemoryHostPointerPropertiesEXT can = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    const VkImportMemoryHostPointerInfoEXT source = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
        .pHostPointer = (char *)host - offset,
    };
    if (!dcmi_size_add(&end, offset, bytes) || !dcmi_round_up(&end, end, page))
        return dcmi_fail(DCMEM_E_TOO_LARGE, "%llu bytes", (unsigned long long)bytes);
    VkResult code =
        device->vkGetMemoryHostPointerPropertiesEXT(device->id, source.handleType, source.pHostPointer, &can);
    if (code)
        return dcmi_vk_fail(code, "memory at %p cannot be imported", host);
    const order wanted = {
        .bytes = bytes,
        .kind = DCMEM_KIND_PINNED,
        .type_bits = can.memoryTypeBits,
        .handle_type = source.handleType,
        .source = &source,
        .memory_bytes = end,
        .offset = offset,
    };
    piece->host = source.pHostPointer;
    piece->is_coherent = true;
    piece->is_plain = true;
    return make(piece, device, &wanted);
}

dcmem_result
dcmi_vk_memory_import(dcmem_extent *out, dcmi_vk_device *device, void *host, uint64_t bytes)
{
    dcmi_vk_piece *piece = new_piece();
    if (!piece)
        return DCMEM_E_NO_HOST_MEMORY;
    dcmem_result result = make_imported(piece, device, host, bytes);
    return finish(out, device, piece, result, extent_of(piece, device, bytes, DCMEM_KIND_HOST));
}

/* ---- Sharing ---- */

#define SHARE_KIND 0x766b6664u

/* What the importer must know beside the descriptor. */
typedef struct share {
    uint64_t memory_bytes;
    uint64_t offset;
    uint32_t type;
    uint32_t kind;
    uint8_t uuid[VK_UUID_SIZE];
    uint8_t driver_uuid[VK_UUID_SIZE];
} share;

_Static_assert(sizeof(share) <= sizeof((dcmem_ipc_handle){0}.bytes), "it fits a handle");

dcmem_result
dcmi_vk_memory_export(dcmem_ipc_handle *out, dcmi_vk_device *device, const dcmem_extent *extent)
{
    int fd = -1;
    const dcmi_vk_piece *piece = dcmi_vk_piece_of(extent);
    const VkMemoryGetFdInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
        .memory = piece->memory,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
    };
    if (!piece->is_shared)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the memory was not acquired to be shared");
    VkResult code = device->vkGetMemoryFdKHR(device->id, &info, &fd);
    if (code)
        return dcmi_vk_fail(code, "a descriptor of %llu bytes", (unsigned long long)extent->bytes);
    dcmem_ipc_handle handle = {.kind = SHARE_KIND, .fd = fd, .memory_bytes = extent->bytes};
    share shared = {piece->memory_bytes, piece->offset, piece->type, (uint32_t)extent->kind, {0}, {0}};
    memcpy(shared.uuid, device->card->uuid, sizeof shared.uuid);
    memcpy(shared.driver_uuid, device->card->driver_uuid, sizeof shared.driver_uuid);
    memcpy(handle.bytes, &shared, sizeof shared);
    *out = handle;
    return DCMEM_OK;
}

/* Whether a handle can be of such a device. What it says of sizes the driver has to check: the memory is its own. */
static dcmem_result
check_share(const share *shared, const dcmi_vk_device *device, const dcmem_ipc_handle *handle)
{
    const dcmi_vk_card *card = device->card;
    bool is_possible = handle->kind == SHARE_KIND && handle->memory_bytes && shared->kind < DCMEM_KIND_COUNT &&
                       shared->type < card->memory.memoryTypeCount && shared->memory_bytes >= handle->memory_bytes &&
                       shared->offset <= shared->memory_bytes - handle->memory_bytes;
    if (!is_possible)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the handle is none of this backend");
    if (memcmp(shared->uuid, card->uuid, sizeof card->uuid) != 0 ||
        memcmp(shared->driver_uuid, card->driver_uuid, sizeof card->driver_uuid) != 0)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the handle is of another device, or of another driver");
    return DCMEM_OK;
}

static dcmem_result
make_adopted(dcmi_vk_piece *piece, dcmi_vk_device *device, const share *shared, uint64_t bytes, int *fd)
{
    const VkImportMemoryFdInfoKHR source = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
        .fd = *fd,
    };
    const order wanted = {
        .bytes = bytes,
        .kind = (dcmem_kind)shared->kind,
        .type_bits = 1u << shared->type,
        .handle_type = source.handleType,
        .source = &source,
        .source_fd = fd,
        .memory_bytes = shared->memory_bytes,
        .offset = shared->offset,
    };
    return make(piece, device, &wanted);
}

dcmem_result
dcmi_vk_memory_adopt(dcmem_extent *out, dcmi_vk_device *device, const dcmem_ipc_handle *handle)
{
    share shared;
    memcpy(&shared, handle->bytes, sizeof shared);
    dcmem_result result = check_share(&shared, device, handle);
    if (result)
        return result;
    /* The driver takes the descriptor that it is given; the handle's stays the caller's. */
    int fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return dcmi_fail_errno(errno == EBADF ? DCMEM_E_INVALID_ARGUMENT : DCMEM_E_NO_HOST_MEMORY, errno,
                               "the handle's descriptor %d", handle->fd);
    dcmi_vk_piece *piece = new_piece();
    if (!piece) {
        close(fd);
        return DCMEM_E_NO_HOST_MEMORY;
    }
    result = make_adopted(piece, device, &shared, handle->memory_bytes, &fd);
    if (fd >= 0)
        close(fd);
    return finish(out, device, piece, result, extent_of(piece, device, handle->memory_bytes, (dcmem_kind)shared.kind));
}

/* ---- Visibility ---- */

/* What of the memory must be told of: whole units around the range. Nothing where it is coherent. */
static bool
range_of(VkMappedMemoryRange *out, dcmi_vk_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    const dcmi_vk_piece *piece = dcmi_vk_piece_at(&offset, device, extent);
    if (!piece || !piece->host || piece->is_coherent)
        return false;
    uint64_t atom = device->card->atom_bytes, begin = dcmi_round_down(offset, atom);
    uint64_t end = dcmi_round_down(offset + bytes + atom - 1, atom);
    *out = (VkMappedMemoryRange){
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
        .memory = piece->memory,
        .offset = begin,
        .size = dcmi_min(end, piece->memory_bytes) - begin,
    };
    return true;
}

dcmem_result
dcmi_vk_memory_flush(dcmi_vk_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    VkMappedMemoryRange range;
    if (!range_of(&range, device, extent, offset, bytes))
        return DCMEM_OK;
    VkResult code = dcmi_vk.vkFlushMappedMemoryRanges(device->id, 1, &range);
    return code ? dcmi_vk_fail(code, "a flush of %llu bytes", (unsigned long long)bytes) : DCMEM_OK;
}

dcmem_result
dcmi_vk_memory_invalidate(dcmi_vk_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    VkMappedMemoryRange range;
    if (!range_of(&range, device, extent, offset, bytes))
        return DCMEM_OK;
    VkResult code = dcmi_vk.vkInvalidateMappedMemoryRanges(device->id, 1, &range);
    return code ? dcmi_vk_fail(code, "an invalidation of %llu bytes", (unsigned long long)bytes) : DCMEM_OK;
}

/* ---- What a device has ---- */

bool
dcmi_vk_memory_needs_flush(const dcmi_vk_device *device)
{
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE};
    for (int i = 0; i < 2; i++) {
        int type = dcmi_vk_card_type(device->card, device->type_bits, kinds[i]);
        uint32_t flags = type < 0 ? 0 : device->card->memory.memoryTypes[type].propertyFlags;
        if ((flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) && !(flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT))
            return true;
    }
    return false;
}

dcmem_result
dcmi_vk_memory_probe(dcmi_vk_device *device)
{
    bool alone;
    VkBuffer buffer;
    dcmem_result result = dcmi_vk_buffer_create(&buffer, device, DCMI_VK_ALIGNMENT, 0, 0);
    if (result)
        return result;
    device->type_bits = dcmi_vk_buffer_needs(device, buffer, &alone).memoryTypeBits;
    dcmi_vk.vkDestroyBuffer(device->id, buffer, NULL);
    device->kinds = DCMEM_KIND_BIT(DCMEM_KIND_HOST);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        if (dcmi_vk_card_type(device->card, device->type_bits, (dcmem_kind)kind) >= 0)
            device->kinds |= DCMEM_KIND_BIT(kind);
    return DCMEM_OK;
}
