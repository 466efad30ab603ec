/* vulkan.c: Vulkan as a backend: its table, and how a device is opened: one that was found, or one that is lent. */
#include "base/os.h"
#include "base/size.h"
#include "drivers/vulkan/pages.h"
#include "drivers/vulkan/queue.h"

#include <stdlib.h>
#include <string.h>

#define CAPABILITIES (DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | DCMEM_CAP_VIRTUAL | DCMEM_CAP_IMPORT | DCMEM_CAP_IPC)

/* ---- Opening ---- */

static dcmem_result
vulkan_count(uint32_t *out, const dcmem_backend *backend)
{
    (void)backend;
    return dcmi_vk_cards_count(out);
}

static dcmem_result
check_options(const dcmem_open *options)
{
    if (options->huge_pages > DCMEM_HUGE_PAGES_OFF)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "huge pages: %u is no choice", options->huge_pages);
    if (options->huge_pages != DCMEM_HUGE_PAGES_SYSTEM)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the pages of a Vulkan device are its driver's choice");
    if (options->numa_node >= 0)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the place of a Vulkan device's memory is its driver's choice");
    return DCMEM_OK;
}

/* The function, where the device has it. */
static bool
find(void *out, const dcmi_vk_device *device, const char *name)
{
    void *found = dcmi_vk.vkGetDeviceProcAddr(device->id, name);
    memcpy(out, &found, sizeof found);
    return found != NULL;
}

/* Of a part of Vulkan that was an extension once: by its name now, or by its name then. */
static bool
find_either(void *out, const dcmi_vk_device *device, const char *now, const char *then)
{
    return find(out, device, now) || find(out, device, then);
}

/* What the card can, and the device has the functions for. */
static void
find_functions(dcmi_vk_device *device)
{
    const dcmi_vk_card *card = device->card;
    device->has_addresses =
        card->has_addresses && find_either(&device->vkGetBufferDeviceAddress, device, "vkGetBufferDeviceAddress",
                                           "vkGetBufferDeviceAddressKHR");
    device->has_timelines = card->has_timelines &&
                            find_either(&device->vkWaitSemaphores, device, "vkWaitSemaphores", "vkWaitSemaphoresKHR");
    device->can_share = card->can_share && find(&device->vkGetMemoryFdKHR, device, "vkGetMemoryFdKHR");
    device->can_import = card->has_host_memory && find(&device->vkGetMemoryHostPointerPropertiesEXT, device,
                                                       "vkGetMemoryHostPointerPropertiesEXT");
}

/* The names of those that the card has. */
static uint32_t
name_extensions(const char **out, const dcmi_vk_card *card)
{
    uint32_t count = 0;
#define DCMEM_X(field, name)                                                                                           \
    if (card->field)                                                                                                   \
        out[count++] = name;
    DCMI_VK_EXTENSIONS(DCMEM_X)
#undef DCMEM_X
    return count;
}

static bool
has_sparse(const dcmi_vk_card *card)
{
    return card->sparse_family != DCMI_VK_NO_FAMILY;
}

/* What is asked of a device, as far as the card has it. */
typedef struct features {
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceFeatures2 sparse;
} features;

/* The first of the chain, or NULL. */
static const void *
chain_features(features *out, const dcmi_vk_card *card)
{
    out->address = (VkPhysicalDeviceBufferDeviceAddressFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
        .bufferDeviceAddress = VK_TRUE,
    };
    out->timeline = (VkPhysicalDeviceTimelineSemaphoreFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = card->has_addresses ? &out->address : NULL,
        .timelineSemaphore = VK_TRUE,
    };
    out->sparse = (VkPhysicalDeviceFeatures2){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = card->has_timelines ? &out->timeline : out->timeline.pNext,
        .features = {.sparseBinding = VK_TRUE, .sparseResidencyBuffer = VK_TRUE, .sparseResidencyAliased = VK_TRUE},
    };
    return has_sparse(card) ? &out->sparse : out->sparse.pNext;
}

static dcmem_result
create_device(dcmi_vk_device *device)
{
    float priorities[DCMI_VK_PORTS];
    const char *extensions[] = {
#define DCMEM_X(field, name) name,
        DCMI_VK_EXTENSIONS(DCMEM_X)
#undef DCMEM_X
    };
    dcmi_vk_card *card = device->card;
    uint32_t count = name_extensions(extensions, card);
    features wanted;
    for (uint32_t i = 0; i < card->queue_count; i++)
        priorities[i] = 1;
    const VkDeviceQueueCreateInfo queues[] = {
        {
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = card->family,
            .queueCount = card->queue_count,
            .pQueuePriorities = priorities,
        },
        {
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = card->sparse_family,
            .queueCount = 1,
            .pQueuePriorities = priorities,
        },
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = chain_features(&wanted, card),
        .queueCreateInfoCount = has_sparse(card) && card->sparse_family != card->family ? 2 : 1,
        .pQueueCreateInfos = queues,
        .enabledExtensionCount = count,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult code = dcmi_vk.vkCreateDevice(card->id, &info, NULL, &device->id);
    return code ? dcmi_vk_fail(code, "a device on %s", card->name) : DCMEM_OK;
}

static dcmem_result
open_pages(dcmi_vk_device *device)
{
    const dcmi_vk_card *card = device->card;
    dcmi_vk_pages *pages = &device->pages;
    pages->port = &device->ports[0];
    if (card->sparse_family != card->family) {
        dcmi_vk.vkGetDeviceQueue(device->id, card->sparse_family, 0, &pages->own_port.queue);
        pages->port = &pages->own_port;
    }
    return dcmi_vk_pages_open(device);
}

static dcmem_result
open_found(dcmi_vk_device *device, uint32_t index)
{
    uint32_t count;
    dcmem_result result = dcmi_vk_cards_count(&count);
    if (result)
        return result;
    if (index >= count)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "Vulkan has %u devices here, none of index %u", count, index);
    device->card = dcmi_vk_card_at(index);
    device->family = device->card->family;
    device->port_count = device->card->queue_count;
    result = create_device(device);
    if (result)
        return result;
    for (uint32_t i = 0; i < device->port_count; i++)
        dcmi_vk.vkGetDeviceQueue(device->id, device->family, i, &device->ports[i].queue);
    find_functions(device);
    return has_sparse(device->card) ? open_pages(device) : DCMEM_OK;
}

/* The card of a caller's device: the one that was found, or one made for it. */
static dcmem_result
find_card(dcmi_vk_device *device, VkPhysicalDevice id)
{
    if (!dcmi_vk_card_read(&device->own_card, id))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "native.device is older than Vulkan 1.1, or has no memory");
    device->card = dcmi_vk_card_of(device->own_card.uuid);
    if (!device->card)
        device->card = &device->own_card;
    return DCMEM_OK;
}

static dcmem_result
open_lent(dcmi_vk_device *device, const dcmem_native_context *native)
{
    uint32_t count;
    if (native->size != sizeof *native || !native->device || !native->logical || !native->queue)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT,
                         "native wants its size, a VkPhysicalDevice, a VkDevice (logical) and a VkQueue of its family");
    dcmem_result result = dcmi_vk_cards_count(&count);
    if (result)
        return result;
    device->is_lent = true;
    device->id = (VkDevice)(uintptr_t)native->logical;
    device->family = native->family;
    device->port_count = 1;
    device->ports[0].queue = (VkQueue)(uintptr_t)native->queue;
    return find_card(device, (VkPhysicalDevice)(uintptr_t)native->device);
}

static void
destroy_device(dcmi_vk_device *device)
{
    if (!device->is_lent && device->id)
        dcmi_vk.vkDestroyDevice(device->id, NULL);
}

static dcmem_result
vulkan_open(void **out_device, const dcmem_backend *backend, const dcmem_open *options)
{
    (void)backend;
    dcmem_result result = check_options(options);
    if (result)
        return result;
    dcmi_vk_device *device = dcmi_vk_new(sizeof *device);
    if (!device)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a device of %zu bytes", sizeof *device);
    result = options->native ? open_lent(device, options->native) : open_found(device, options->index);
    if (!result)
        result = dcmi_vk_memory_probe(device);
    if (!result)
        result = dcmi_vk_stream_open(&device->stream, device, &device->ports[0], device->family);
    if (result) {
        dcmi_vk_pages_close(device);
        destroy_device(device);
        free(device);
        return result;
    }
    *out_device = device;
    return DCMEM_OK;
}

static void
vulkan_close(void *handle)
{
    dcmi_vk_device *device = handle;
    dcmi_vk_stream_close(device->stream);
    dcmi_vk_pages_close(device);
    destroy_device(device);
    free(device);
}

/* ---- Info ---- */

static uint64_t
capabilities_of(const dcmi_vk_device *device)
{
    return DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | (device->pages.page_bytes ? DCMEM_CAP_VIRTUAL : 0) |
           (device->can_import ? DCMEM_CAP_IMPORT : 0) | (device->can_share ? DCMEM_CAP_IPC : 0);
}

static uint32_t
heap_of(const dcmi_vk_device *device, dcmem_kind kind)
{
    int type = dcmi_vk_card_type(device->card, device->type_bits, kind);
    return type < 0 ? UINT32_MAX : device->card->memory.memoryTypes[type].heapIndex;
}

/* Those of the card that kinds lie in, the device's own first, and the host's last. */
static void
describe_heaps(dcmem_device_info *info, const dcmi_vk_device *device)
{
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE, DCMEM_KIND_PINNED};
    uint32_t seen[3] = {0};
    uint64_t host_total = dcmi_os_memory_total(), host_free = dcmi_min(dcmi_os_memory_available(), host_total);
    for (int i = 0; i < 3; i++) {
        uint32_t heap = heap_of(device, kinds[i]), at = 0;
        if (heap == UINT32_MAX)
            continue;
        while (at < info->heap_count && seen[at] != heap)
            at++;
        if (at == info->heap_count) {
            seen[info->heap_count++] = heap;
            info->heaps[at].total_bytes = device->card->memory.memoryHeaps[heap].size;
            info->heaps[at].free_bytes = dcmi_vk_card_free(device->card, heap);
        }
        info->heaps[at].kinds |= DCMEM_KIND_BIT(kinds[i]);
    }
    info->heaps[info->heap_count++] = (dcmem_heap_info){host_total, host_free, DCMEM_KIND_BIT(DCMEM_KIND_HOST), 0};
    info->total_bytes = info->heaps[0].total_bytes;
    info->free_bytes = info->heaps[0].free_bytes;
}

static dcmem_result
vulkan_info(dcmem_device_info *out, void *handle)
{
    const dcmi_vk_device *device = handle;
    const dcmi_vk_card *card = device->card;
    dcmem_device_info info = {
        .size = sizeof info,
        .backend = "vulkan",
        .capabilities = capabilities_of(device),
        .kinds = device->kinds,
        .alignment = DCMI_VK_ALIGNMENT,
        .granularity = DCMI_VK_ALIGNMENT,
        .flush_bytes = dcmi_vk_memory_needs_flush(device) ? card->atom_bytes : 0,
        .numa_node = -1,
        .is_unified = card->is_unified,
        .page_bytes = device->pages.page_bytes,
    };
    memcpy(info.name, card->name, sizeof card->name);
    memcpy(info.driver_version, card->driver_version, sizeof card->driver_version);
    memcpy(info.pci, card->pci, sizeof card->pci);
    memcpy(info.uuid, card->uuid, sizeof card->uuid);
    describe_heaps(&info, device);
    info.largest_allocation_bytes = dcmi_round_down(dcmi_min(card->largest_bytes, info.total_bytes), DCMI_VK_ALIGNMENT);
    *out = info;
    return DCMEM_OK;
}

/* ---- Memory ---- */

static dcmem_result
vulkan_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    return dcmi_vk_memory_acquire(out, handle, request);
}

static dcmem_result
vulkan_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    dcmi_vk_memory_release(handle, extent);
    return DCMEM_OK;
}

/* Whether the host may do it itself. On a queue that is lent, what commands reach is left to them: they come after the
 * caller's own, so that a kernel's results need no fence. */
static bool
is_touched(const dcmi_vk_device *device, const dcmem_place *place)
{
    return dcmi_vk_is_plain(place) && !(device->is_lent && dcmi_vk_has_buffer(place));
}

static dcmem_result
vulkan_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    dcmi_vk_device *device = handle;
    if (is_touched(device, to) && is_touched(device, from)) {
        memcpy(dcmi_vk_host_of(to), dcmi_vk_host_of(from), bytes);
        return DCMEM_OK;
    }
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_vk_stream_copy(device->stream, to, from, bytes);
    if (!result)
        result = dcmi_vk_stream_finish(device->stream, "a copy");
    dcmi_lock_drop(&device->turn);
    return result;
}

static dcmem_result
vulkan_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
            uint32_t pattern_bytes)
{
    (void)call;
    dcmi_vk_device *device = handle;
    if (is_touched(device, to)) {
        dcmi_vk_host_fill(dcmi_vk_host_of(to), bytes, pattern, pattern_bytes);
        return DCMEM_OK;
    }
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_vk_stream_fill(device->stream, to, bytes, pattern, pattern_bytes);
    if (!result)
        result = dcmi_vk_stream_finish(device->stream, "a fill");
    dcmi_lock_drop(&device->turn);
    return result;
}

/* ---- Map ---- */

static dcmem_result
vulkan_map(void **out_host, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
           uint64_t bytes, uint32_t flags)
{
    (void)call;
    (void)bytes;
    (void)flags;
    const dcmi_vk_piece *piece = dcmi_vk_piece_at(&offset, handle, extent);
    if (!piece || !piece->host)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the host does not see the device's own memory");
    *out_host = (char *)piece->host + (offset - piece->offset);
    return DCMEM_OK;
}

static dcmem_result
vulkan_unmap(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)handle;
    (void)call;
    (void)extent;
    (void)host;
    return DCMEM_OK;
}

static dcmem_result
vulkan_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return dcmi_vk_memory_flush(handle, extent, offset, bytes);
}

static dcmem_result
vulkan_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return dcmi_vk_memory_invalidate(handle, extent, offset, bytes);
}

/* ---- Queues ---- */

static dcmem_result
vulkan_queue_open(void **out_queue, void *handle, const dcmem_native_context *native)
{
    dcmi_vk_queue *queue;
    dcmem_result result = dcmi_vk_queue_open(&queue, handle, native);
    if (!result)
        *out_queue = queue;
    return result;
}

static void
vulkan_queue_close(void *handle, void *queue)
{
    (void)handle;
    dcmi_vk_queue_close(queue);
}

static dcmem_result
vulkan_enqueue_copy(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    const dcmem_place *from, uint64_t bytes)
{
    (void)handle;
    (void)call;
    return dcmi_vk_queue_copy(out_value, queue, to, from, bytes);
}

static dcmem_result
vulkan_enqueue_fill(uint64_t *out_value, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    (void)handle;
    (void)call;
    return dcmi_vk_queue_fill(out_value, queue, to, bytes, pattern, pattern_bytes);
}

static dcmem_result
vulkan_queue_mark(uint64_t *out_value, void *handle, void *queue)
{
    (void)handle;
    return dcmi_vk_queue_mark(out_value, queue);
}

static uint64_t
vulkan_queue_completed(void *handle, void *queue)
{
    (void)handle;
    return dcmi_vk_queue_completed(queue);
}

static dcmem_result
vulkan_queue_wait(void *handle, void *queue, uint64_t value, uint64_t timeout_ns)
{
    (void)handle;
    return dcmi_vk_queue_wait(queue, value, timeout_ns);
}

/* ---- Virtual memory ---- */

static dcmem_result
vulkan_reserve(uint64_t *out_address, void *handle, uint64_t bytes, uint64_t alignment)
{
    return dcmi_vk_pages_reserve(out_address, handle, bytes, alignment);
}

static dcmem_result
vulkan_unreserve(void *handle, uint64_t address, uint64_t bytes)
{
    return dcmi_vk_pages_unreserve(handle, address, bytes);
}

static dcmem_result
vulkan_page_create(uint64_t *out_page, void *handle, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
{
    (void)call;
    dcmi_vk_piece *page;
    dcmem_result result = dcmi_vk_memory_page(&page, handle, bytes, kind);
    if (!result)
        *out_page = (uintptr_t)page;
    return result;
}

static dcmem_result
vulkan_page_destroy(void *handle, const dcmem_call *call, uint64_t page)
{
    (void)call;
    dcmi_vk_pages_destroy(handle, (dcmi_vk_piece *)(uintptr_t)page);
    return DCMEM_OK;
}

static dcmem_result
vulkan_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
                uint64_t bytes)
{
    (void)call;
    return dcmi_vk_pages_map(handle, address, (dcmi_vk_piece *)(uintptr_t)page, page_offset, bytes);
}

static dcmem_result
vulkan_page_unmap(void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes)
{
    (void)call;
    return dcmi_vk_pages_unmap(handle, address, bytes);
}

/* ---- The memory of others ---- */

static dcmem_result
vulkan_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    (void)call;
    return dcmi_vk_memory_import(out, handle, host, bytes);
}

static dcmem_result
vulkan_ipc_export(dcmem_ipc_handle *out, void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    return dcmi_vk_memory_export(out, handle, extent);
}

static dcmem_result
vulkan_ipc_import(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_ipc_handle *share)
{
    (void)call;
    return dcmi_vk_memory_adopt(out, handle, share);
}

/* Known to the registry by its name alone. */
extern const dcmem_backend dcmi_vulkan_backend;

const dcmem_backend dcmi_vulkan_backend = {
    .size = sizeof dcmi_vulkan_backend,
    .contract = DCMEM_BACKEND_CONTRACT,
    .name = "vulkan",
    .capabilities = CAPABILITIES,
    .count = vulkan_count,
    .open = vulkan_open,
    .close = vulkan_close,
    .info = vulkan_info,
    .acquire = vulkan_acquire,
    .release = vulkan_release,
    .copy = vulkan_copy,
    .fill = vulkan_fill,
    .map = vulkan_map,
    .unmap = vulkan_unmap,
    .flush = vulkan_flush,
    .invalidate = vulkan_invalidate,
    .queue_open = vulkan_queue_open,
    .queue_close = vulkan_queue_close,
    .enqueue_copy = vulkan_enqueue_copy,
    .enqueue_fill = vulkan_enqueue_fill,
    .queue_mark = vulkan_queue_mark,
    .queue_completed = vulkan_queue_completed,
    .queue_wait = vulkan_queue_wait,
    .reserve = vulkan_reserve,
    .unreserve = vulkan_unreserve,
    .page_create = vulkan_page_create,
    .page_destroy = vulkan_page_destroy,
    .page_map = vulkan_page_map,
    .page_unmap = vulkan_page_unmap,
    .import_host = vulkan_import_host,
    .ipc_export = vulkan_ipc_export,
    .ipc_import = vulkan_ipc_import,
};
