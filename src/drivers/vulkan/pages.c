/* pages.c: ranges, their tiles and maps, and the binding of one to the other. */
#include "drivers/vulkan/pages.h"

#include "base/os.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

#define SPARSE                                                                                                         \
    (VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT | VK_BUFFER_CREATE_SPARSE_ALIASED_BIT)

/* Tiles of ranges that have more than one are such a part of the most that a buffer can have; larger ranges than this
 * other part of it have more than one. */
enum { TILE_SHARE = 64, RANGE_SHARE = 4 };

enum { FIRST_MAPS = 16 };

typedef struct tile {
    VkBuffer buffer; /* NULL: nothing is mapped in it */
    uint64_t maps;   /* that reach into it */
} tile;

typedef struct page_map {
    uint64_t address;
    uint64_t bytes;
    dcmi_vk_piece *page;
    uint64_t page_offset;
} page_map;

struct dcmi_vk_range {
    dcmi_vk_range *next;
    uint64_t address;
    uint64_t bytes;
    uint64_t shift;      /* of its beginning in its first tile's buffer */
    uint64_t tile_bytes; /* of the range, a tile */
    bool has_device_addresses;
    void *base; /* the stretch that stands for it; of which `base_bytes` */
    uint64_t base_bytes;
    page_map *maps; /* by address */
    uint64_t map_count, map_room;
    uint64_t tile_count;
    tile tiles[];
};

/* ---- Looking ---- */

static dcmi_vk_range *
find_range(const dcmi_vk_pages *pages, uint64_t address)
{
    dcmi_vk_range *range = pages->ranges;
    while (range && (address < range->address || address - range->address >= range->bytes))
        range = range->next;
    return range;
}

/* The first map that ends behind an address; the count where none does. */
static uint64_t
first_map(const dcmi_vk_range *range, uint64_t address)
{
    uint64_t low = 0, high = range->map_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (range->maps[middle].address + range->maps[middle].bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

dcmi_vk_spot
dcmi_vk_spot_of(dcmi_vk_device *device, const dcmem_place *place, uint64_t done)
{
    dcmi_vk_pages *pages = &device->pages;
    uint64_t offset = place->offset + done;
    const dcmi_vk_piece *piece = dcmi_vk_piece_of(place->extent);
    if (piece)
        return (dcmi_vk_spot){piece->buffer, offset, UINT64_MAX};
    dcmi_lock_take(&pages->lock);
    const dcmi_vk_range *range = find_range(pages, place->extent->address);
    offset += place->extent->address - range->address;
    uint64_t number = offset / range->tile_bytes, begin = number * range->tile_bytes;
    dcmi_vk_spot spot = {range->tiles[number].buffer, offset - begin + range->shift,
                         begin + range->tile_bytes - offset};
    dcmi_lock_drop(&pages->lock);
    return spot;
}

const dcmi_vk_piece *
dcmi_vk_piece_at(uint64_t *offset, dcmi_vk_device *device, const dcmem_extent *extent)
{
    dcmi_vk_pages *pages = &device->pages;
    const dcmi_vk_piece *piece = dcmi_vk_piece_of(extent);
    if (piece) {
        *offset += piece->offset;
        return piece;
    }
    dcmi_lock_take(&pages->lock);
    uint64_t address = extent->address + *offset;
    const dcmi_vk_range *range = find_range(pages, address);
    uint64_t at = range ? first_map(range, address) : 0;
    if (range && at < range->map_count && range->maps[at].address <= address) {
        piece = range->maps[at].page;
        *offset = range->maps[at].page_offset + (address - range->maps[at].address);
    }
    dcmi_lock_drop(&pages->lock);
    return piece;
}

/* ---- Tiles ---- */

static uint64_t
tile_of(const dcmi_vk_range *range, uint64_t address)
{
    return (address - range->address) / range->tile_bytes;
}

static dcmem_result
tile_make(tile *out, dcmi_vk_device *device, uint64_t bytes)
{
    VkBuffer buffer;
    dcmi_vk_pages *pages = &device->pages;
    if (bytes > dcmi_less(device->card->sparse_bytes, pages->sparse_bytes))
        return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes of sparse buffers; the device has addresses for %llu",
                         (unsigned long long)bytes, (unsigned long long)device->card->sparse_bytes);
    dcmem_result result = dcmi_vk_buffer_create(&buffer, device, bytes, SPARSE, 0);
    if (result)
        return result;
    pages->sparse_bytes += bytes;
    dcmi_lock_take(&pages->lock);
    out->buffer = buffer;
    dcmi_lock_drop(&pages->lock);
    return DCMEM_OK;
}

static void
tile_end(tile *gone, dcmi_vk_device *device, uint64_t bytes)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_lock_take(&pages->lock);
    VkBuffer buffer = gone->buffer;
    gone->buffer = NULL;
    dcmi_lock_drop(&pages->lock);
    if (!buffer)
        return;
    dcmi_vk.vkDestroyBuffer(device->id, buffer, NULL);
    pages->sparse_bytes -= bytes;
}

/* Ends those of some tiles that nothing is mapped in. A range at the device's addresses keeps its one. */
static void
tiles_trim(dcmi_vk_range *range, dcmi_vk_device *device, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last && !range->has_device_addresses; i++)
        if (range->tiles[i].maps == 0)
            tile_end(&range->tiles[i], device, range->tile_bytes);
}

/* Makes those of some tiles that there are not. */
static dcmem_result
tiles_make(dcmi_vk_range *range, dcmi_vk_device *device, uint64_t first, uint64_t last)
{
    dcmem_result result = DCMEM_OK;
    for (uint64_t i = first; i <= last && !result; i++)
        if (!range->tiles[i].buffer)
            result = tile_make(&range->tiles[i], device, range->tile_bytes);
    return result;
}

/* ---- Binding ---- */

/* Gives it to the queue and waits for it. What cannot be waited for by its fence ends with all that the queue has. */
static VkResult
bind_now(dcmi_vk_device *device, const VkBindSparseInfo *info)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_vk_port *port = pages->port;
    VkResult code = dcmi_vk.vkResetFences(device->id, 1, &pages->fence);
    if (code)
        return code;
    dcmi_lock_take(&port->lock);
    code = dcmi_vk.vkQueueBindSparse(port->queue, 1, info, pages->fence);
    dcmi_lock_drop(&port->lock);
    if (code || !dcmi_vk.vkWaitForFences(device->id, 1, &pages->fence, VK_TRUE, UINT64_MAX))
        return code;
    dcmi_lock_take(&port->lock);
    code = dcmi_vk.vkQueueWaitIdle(port->queue);
    dcmi_lock_drop(&port->lock);
    return code;
}

/* Lays out what is bound to the tiles at an address: a part of a page, or nothing (`page` NULL). */
static void
lay_out(VkSparseBufferMemoryBindInfo *tiles, VkSparseMemoryBind *parts, const dcmi_vk_range *range, uint64_t address,
        uint64_t bytes, const dcmi_vk_piece *page, uint64_t page_offset)
{
    for (uint64_t i = 0, done = 0; done < bytes; done += parts[i++].size) {
        uint64_t offset = address - range->address + done, number = offset / range->tile_bytes;
        parts[i] = (VkSparseMemoryBind){
            .resourceOffset = offset - number * range->tile_bytes + range->shift,
            .size = dcmi_min(bytes - done, (number + 1) * range->tile_bytes - offset),
            .memory = page ? page->memory : NULL,
            .memoryOffset = page ? page_offset + done : 0,
        };
        tiles[i] = (VkSparseBufferMemoryBindInfo){range->tiles[number].buffer, 1, &parts[i]};
    }
}

/* All of it or nothing. */
static dcmem_result
bind(const dcmi_vk_range *range, dcmi_vk_device *device, uint64_t address, uint64_t bytes, const dcmi_vk_piece *page,
     uint64_t page_offset)
{
    uint64_t count = tile_of(range, address + bytes - 1) - tile_of(range, address) + 1;
    VkSparseMemoryBind *parts = dcmi_vk_new(count * sizeof *parts);
    VkSparseBufferMemoryBindInfo *tiles = dcmi_vk_new(count * sizeof *tiles);
    VkBindSparseInfo info = {
        .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
        .bufferBindCount = (uint32_t)count,
        .pBufferBinds = tiles,
    };
    dcmem_result result = DCMEM_OK;
    if (parts && tiles) {
        lay_out(tiles, parts, range, address, bytes, page, page_offset);
        VkResult code = bind_now(device, &info);
        if (code)
            result = dcmi_vk_fail(code, "%llu bytes of a page could not be bound", (unsigned long long)bytes);
    } else {
        result = dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "what is bound to %llu buffers", (unsigned long long)count);
    }
    free(tiles);
    free(parts);
    return result;
}

/* ---- Maps ---- */

/* Has room for one map more. */
static dcmem_result
maps_grow(dcmi_vk_range *range, dcmi_vk_pages *pages)
{
    uint64_t room = range->map_room ? 2 * range->map_room : FIRST_MAPS;
    if (range->map_count < range->map_room)
        return DCMEM_OK;
    page_map *grown = dcmi_vk_new(room * sizeof *grown), *old = range->maps;
    if (!grown)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a map");
    dcmi_lock_take(&pages->lock);
    if (old)
        memcpy(grown, old, range->map_count * sizeof *grown);
    range->maps = grown;
    range->map_room = room;
    dcmi_lock_drop(&pages->lock);
    free(old);
    return DCMEM_OK;
}

static void
map_add(dcmi_vk_range *range, dcmi_vk_pages *pages, page_map added)
{
    dcmi_lock_take(&pages->lock);
    uint64_t at = first_map(range, added.address), last = tile_of(range, added.address + added.bytes - 1);
    memmove(&range->maps[at + 1], &range->maps[at], (range->map_count - at) * sizeof added);
    range->maps[at] = added;
    range->map_count++;
    added.page->maps++;
    for (uint64_t i = tile_of(range, added.address); i <= last; i++)
        range->tiles[i].maps++;
    dcmi_lock_drop(&pages->lock);
}

/* Takes some maps out of the list. */
static void
maps_remove(dcmi_vk_range *range, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        const page_map *gone = &range->maps[i];
        uint64_t last = tile_of(range, gone->address + gone->bytes - 1);
        gone->page->maps--;
        for (uint64_t j = tile_of(range, gone->address); j <= last; j++)
            range->tiles[j].maps--;
    }
    if (end < range->map_count)
        memmove(&range->maps[first], &range->maps[end], (range->map_count - end) * sizeof *range->maps);
    range->map_count -= end - first;
}

static dcmem_result
map_locked(dcmi_vk_device *device, uint64_t address, dcmi_vk_piece *page, uint64_t page_offset, uint64_t bytes)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_vk_range *range = find_range(pages, address);
    if (!range || bytes > range->address + range->bytes - address)
        return dcmi_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are not reserved", (unsigned long long)bytes,
                         (unsigned long long)address);
    if (page_offset > page->memory_bytes || bytes > page->memory_bytes - page_offset)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "the page has %llu bytes", (unsigned long long)page->memory_bytes);
    uint64_t at = first_map(range, address);
    if (at < range->map_count && range->maps[at].address < address + bytes)
        return dcmi_fail(DCMEM_E_WRONG_STATE, "a page is mapped at 0x%llx",
                         (unsigned long long)range->maps[at].address);

    uint64_t first = tile_of(range, address), last = tile_of(range, address + bytes - 1);
    dcmem_result result = maps_grow(range, pages);
    if (!result)
        result = tiles_make(range, device, first, last);
    if (!result)
        result = bind(range, device, address, bytes, page, page_offset);
    if (result)
        tiles_trim(range, device, first, last);
    else
        map_add(range, pages, (page_map){address, bytes, page, page_offset});
    return result;
}

dcmem_result
dcmi_vk_pages_map(dcmi_vk_device *device, uint64_t address, dcmi_vk_piece *page, uint64_t page_offset, uint64_t bytes)
{
    dcmi_lock_take(&device->pages.turn);
    dcmem_result result = map_locked(device, address, page, page_offset, bytes);
    dcmi_lock_drop(&device->pages.turn);
    return result;
}

/* The end of the maps from number `first` on that fill a stretch of addresses, each whole and the next at its end; 0
 * where they do not. */
static uint64_t
end_of_maps(const dcmi_vk_range *range, uint64_t first, uint64_t address, uint64_t bytes)
{
    uint64_t i = first, done = 0;
    while (i < range->map_count && done < bytes && range->maps[i].address == address + done)
        done += range->maps[i++].bytes;
    return done == bytes ? i : 0;
}

static dcmem_result
unmap_locked(dcmi_vk_device *device, uint64_t address, uint64_t bytes)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_vk_range *range = find_range(pages, address);
    uint64_t first = range ? first_map(range, address) : 0;
    uint64_t end = range ? end_of_maps(range, first, address, bytes) : 0;
    if (!end)
        return dcmi_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are no whole maps", (unsigned long long)bytes,
                         (unsigned long long)address);
    dcmem_result result = bind(range, device, address, bytes, NULL, 0);
    if (result)
        return result;
    dcmi_lock_take(&pages->lock);
    maps_remove(range, first, end);
    dcmi_lock_drop(&pages->lock);
    tiles_trim(range, device, tile_of(range, address), tile_of(range, address + bytes - 1));
    return DCMEM_OK;
}

dcmem_result
dcmi_vk_pages_unmap(dcmi_vk_device *device, uint64_t address, uint64_t bytes)
{
    dcmi_lock_take(&device->pages.turn);
    dcmem_result result = unmap_locked(device, address, bytes);
    dcmi_lock_drop(&device->pages.turn);
    return result;
}

/* Maps that the driver failed to end are forgotten with their page. */
void
dcmi_vk_pages_destroy(dcmi_vk_device *device, dcmi_vk_piece *page)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_lock_take(&pages->turn);
    dcmi_lock_take(&pages->lock);
    for (dcmi_vk_range *range = pages->ranges; range && page->maps > 0; range = range->next)
        for (uint64_t i = range->map_count; i-- > 0;)
            if (range->maps[i].page == page)
                maps_remove(range, i, i + 1);
    dcmi_lock_drop(&pages->lock);
    dcmi_lock_drop(&pages->turn);
    dcmi_vk_memory_end(device, page);
}

/* ---- Ranges ---- */

static void
range_end(dcmi_vk_range *range, dcmi_vk_device *device)
{
    uint64_t bytes = range->has_device_addresses ? range->base_bytes : range->tile_bytes;
    for (uint64_t i = 0; i < range->tile_count; i++)
        tile_end(&range->tiles[i], device, bytes);
    if (!range->has_device_addresses)
        dcmi_os_unreserve(range->base, range->base_bytes);
    free(range->maps);
    free(range);
}

/* At the addresses of one buffer, which has room for the alignment and behind the end. */
static dcmem_result
range_at_device(dcmi_vk_range *range, dcmi_vk_device *device, uint64_t alignment)
{
    uint64_t page = device->pages.page_bytes;
    dcmem_result result = tile_make(&range->tiles[0], device, range->base_bytes);
    if (result)
        return result;
    uint64_t begin = dcmi_vk_buffer_address(device, range->tiles[0].buffer);
    range->shift = -begin & (alignment - 1);
    range->address = begin + range->shift;
    if (begin % page)
        return dcmi_fail(DCMEM_E_MISALIGNED, "sparse buffers of this device begin at no multiples of %llu",
                         (unsigned long long)page);
    return DCMEM_OK;
}

static dcmi_vk_range *
range_new(uint64_t bytes, uint64_t base_bytes, uint64_t tile_bytes)
{
    uint64_t count = (bytes - 1) / tile_bytes + 1;
    dcmi_vk_range *range = dcmi_vk_new(sizeof *range + count * sizeof range->tiles[0]);
    if (!range) {
        (void)dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a reserved range");
        return NULL;
    }
    range->bytes = bytes;
    range->base_bytes = base_bytes;
    range->tile_bytes = tile_bytes;
    range->tile_count = count;
    return range;
}

/* In a stretch of the process's addresses. What fits one buffer has one. */
static dcmem_result
make_stand_in(dcmi_vk_range **out, dcmi_vk_device *device, uint64_t bytes, uint64_t base_bytes, uint64_t alignment)
{
    const dcmi_vk_pages *pages = &device->pages;
    void *base = dcmi_os_reserve(base_bytes);
    if (!base)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for %llu bytes", (unsigned long long)bytes);
    dcmi_vk_range *range = range_new(bytes, base_bytes, bytes <= pages->range_bytes ? bytes : pages->tile_bytes);
    if (!range) {
        dcmi_os_unreserve(base, base_bytes);
        return DCMEM_E_NO_HOST_MEMORY;
    }
    range->base = base;
    range->address = (uintptr_t)base + (-(uintptr_t)base & (alignment - 1));
    *out = range;
    return DCMEM_OK;
}

static dcmem_result
make_at_device(dcmi_vk_range **out, dcmi_vk_device *device, uint64_t bytes, uint64_t base_bytes, uint64_t alignment)
{
    dcmi_vk_range *range = range_new(bytes, base_bytes, bytes);
    if (!range)
        return DCMEM_E_NO_HOST_MEMORY;
    range->has_device_addresses = true;
    dcmem_result result = range_at_device(range, device, alignment);
    if (result) {
        range_end(range, device);
        return result;
    }
    *out = range;
    return DCMEM_OK;
}

/* Addresses of devices and of stand-ins have different sources, which may give the same. */
static bool
is_apart(const dcmi_vk_pages *pages, const dcmi_vk_range *added)
{
    for (const dcmi_vk_range *range = pages->ranges; range; range = range->next)
        if (range->address < added->address + added->bytes && added->address < range->address + range->bytes)
            return false; /* COVER: the same */
    return true;
}

static dcmem_result
reserve_locked(uint64_t *out_address, dcmi_vk_device *device, uint64_t bytes, uint64_t alignment)
{
    dcmi_vk_range *range = NULL;
    dcmi_vk_pages *pages = &device->pages;
    uint64_t base_bytes;
    alignment = dcmi_max(alignment, pages->page_bytes);
    if (!dcmi_size_add(&base_bytes, bytes, alignment) || !dcmi_size_add(&base_bytes, base_bytes, pages->page_bytes))
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "%llu bytes of addresses", (unsigned long long)bytes);
    bool is_at_device = device->has_addresses && base_bytes <= pages->range_bytes;
    dcmem_result result = is_at_device ? make_at_device(&range, device, bytes, base_bytes, alignment)
                                       : make_stand_in(&range, device, bytes, base_bytes, alignment);
    if (result)
        return result;
    if (!is_apart(pages, range)) {
        range_end(range, device); /* COVER: a device would have to have this process's addresses, for other memory */
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the addresses stand for another range"); /* COVER: the same */
    }
    dcmi_lock_take(&pages->lock);
    range->next = pages->ranges;
    pages->ranges = range;
    dcmi_lock_drop(&pages->lock);
    *out_address = range->address;
    return DCMEM_OK;
}

dcmem_result
dcmi_vk_pages_reserve(uint64_t *out_address, dcmi_vk_device *device, uint64_t bytes, uint64_t alignment)
{
    dcmi_lock_take(&device->pages.turn);
    dcmem_result result = reserve_locked(out_address, device, bytes, alignment);
    dcmi_lock_drop(&device->pages.turn);
    return result;
}

dcmem_result
dcmi_vk_pages_unreserve(dcmi_vk_device *device, uint64_t address, uint64_t bytes)
{
    dcmi_vk_pages *pages = &device->pages;
    dcmi_vk_range **link = &pages->ranges, *range;
    dcmi_lock_take(&pages->turn);
    dcmi_lock_take(&pages->lock);
    while (*link && ((*link)->address != address || (*link)->bytes != bytes))
        link = &(*link)->next;
    range = *link;
    if (range) {
        *link = range->next;
        maps_remove(range, 0, range->map_count); /* There are some where the driver failed to end them. */
    }
    dcmi_lock_drop(&pages->lock);
    if (range)
        range_end(range, device);
    dcmi_lock_drop(&pages->turn);
    if (!range)
        return dcmi_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are not what was reserved",
                         (unsigned long long)bytes, (unsigned long long)address);
    return DCMEM_OK;
}

/* ---- Opening ---- */

/* The unit of maps, from what a sparse buffer needs. False where it does not fit the device's own numbers. */
static bool
measure(dcmi_vk_device *device, VkMemoryRequirements needs)
{
    dcmi_vk_pages *pages = &device->pages;
    uint64_t most = dcmi_min(device->card->sparse_bytes, device->card->buffer_bytes);
    uint64_t unit = dcmi_max(needs.alignment, DCMI_VK_ALIGNMENT);
    pages->type_bits = needs.memoryTypeBits;
    pages->tile_bytes = dcmi_round_down(most / TILE_SHARE, unit);
    pages->range_bytes = dcmi_round_down(most / RANGE_SHARE, unit);
    if (!pages->tile_bytes)
        return false;
    pages->page_bytes = unit;
    return true;
}

dcmem_result
dcmi_vk_pages_open(dcmi_vk_device *device)
{
    bool alone;
    VkBuffer probe;
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    dcmem_result result = dcmi_vk_buffer_create(&probe, device, DCMI_VK_ALIGNMENT, SPARSE, 0);
    if (result)
        return result;
    bool is_there = measure(device, dcmi_vk_buffer_needs(device, probe, &alone));
    dcmi_vk.vkDestroyBuffer(device->id, probe, NULL);
    if (!is_there)
        return DCMEM_OK;
    VkResult code = dcmi_vk.vkCreateFence(device->id, &fence, NULL, &device->pages.fence);
    return code ? dcmi_vk_fail(code, "a fence for pages") : DCMEM_OK;
}

void
dcmi_vk_pages_close(dcmi_vk_device *device)
{
    if (device->pages.fence)
        dcmi_vk.vkDestroyFence(device->id, device->pages.fence, NULL);
}
