/* card.c: finds the devices and reads what they are.
 *
 * `lock` guards what was found. It is held while the driver looks for its devices: who waits for it would do the
 * same. */
#include "drivers/vulkan/card.h"

#include "base/lock.h"
#include "base/os.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dcmi_lock lock;
static bool is_known DCMI_GUARDED(lock);
static dcmem_detail why_none DCMI_GUARDED(lock); /* its result is DCMEM_OK where there are cards */
static VkInstance instance DCMI_GUARDED(lock);
static dcmi_vk_card cards[DCMI_VK_CARDS]; /* written under the lock, constant from then on */
static uint32_t card_count DCMI_GUARDED(lock);

/* ---- Memory types ---- */

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    VISIBLE = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
    COHERENT = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
    ORDINARY = LOCAL | VISIBLE | COHERENT | CACHED
};

/* What a type must have for a kind, and what it is the better for; what it is the worse for, last. */
typedef struct wish {
    uint32_t must, good, bad;
} wish;

static wish
wish_for(dcmem_kind kind, bool is_unified)
{
    switch (kind) {
    case DCMEM_KIND_DEVICE:
        /* What a card of its own shows the host besides, is scarce there: it is for those who ask for it. */
        return is_unified ? (wish){LOCAL, VISIBLE | COHERENT | CACHED, 0} : (wish){LOCAL, 0, VISIBLE};
    case DCMEM_KIND_HOST_VISIBLE:
        return (wish){LOCAL | VISIBLE, COHERENT | CACHED, 0};
    case DCMEM_KIND_PINNED:
        /* Its host address may be used with no flush. Vulkan promises such a type. */
        return (wish){VISIBLE | COHERENT, CACHED, is_unified ? 0 : LOCAL};
    default:
        return (wish){~0u, 0, 0};
    }
}

/* Cached counts twice: reading what is not takes a hundred times as long, and what is not coherent can be flushed. */
static int
score(uint32_t flags, wish wanted)
{
    uint32_t good = flags & wanted.good;
    return 8 * !(flags & wanted.bad) + 2 * !!(good & CACHED) + !!(good & COHERENT) + 4 * !!(good & VISIBLE);
}

int
dcmi_vk_card_type(const dcmi_vk_card *card, uint32_t bits, dcmem_kind kind)
{
    int best = -1, best_score = -1;
    const wish wanted = wish_for(kind, card->is_unified);
    for (uint32_t i = 0; i < card->memory.memoryTypeCount; i++) {
        uint32_t flags = card->memory.memoryTypes[i].propertyFlags;
        bool needs_flush = (flags & (VISIBLE | COHERENT)) == VISIBLE;
        /* Protected, lazily allocated and the like are for other uses. */
        if (!(bits >> i & 1) || (flags & wanted.must) != wanted.must || (flags & ~(uint32_t)ORDINARY) ||
            (needs_flush && !card->atom_bytes))
            continue;
        int now = score(flags, wanted);
        if (now > best_score) {
            best = (int)i;
            best_score = now;
        }
    }
    return best;
}

/* ---- Facts ---- */

static void
read_extensions(dcmi_vk_card *card)
{
    uint32_t count = 0;
    VkExtensionProperties *all = NULL;
    if (!dcmi_vk.vkEnumerateDeviceExtensionProperties(card->id, NULL, &count, NULL))
        all = dcmi_vk_new((count + 1) * sizeof *all);
    /* Without the list a device has none of them, and is a device all the same. */
    if (all && dcmi_vk.vkEnumerateDeviceExtensionProperties(card->id, NULL, &count, all))
        count = 0;
    for (uint32_t i = 0; all && i < count; i++) {
#define DCMEM_X(field, name) card->field = card->field || strcmp(all[i].extensionName, name) == 0;
        DCMI_VK_EXTENSIONS(DCMEM_X)
#undef DCMEM_X
    }
    free(all);
}

static void
describe(dcmi_vk_card *card, const VkPhysicalDeviceProperties *it)
{
    uint32_t api = it->apiVersion, driver = it->driverVersion;
    snprintf(card->name, sizeof card->name, "%.95s", it->deviceName[0] ? it->deviceName : "a device without a name");
    snprintf(card->driver_version, sizeof card->driver_version, "Vulkan %u.%u.%u, driver %u.%u.%u",
             VK_VERSION_MAJOR(api), VK_VERSION_MINOR(api), VK_VERSION_PATCH(api), driver >> 22,
             VK_VERSION_MINOR(driver), VK_VERSION_PATCH(driver));
    card->is_unified =
        it->deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || it->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    uint64_t atom = it->limits.nonCoherentAtomSize;
    card->atom_bytes = dcmi_is_power_of_two(atom) && atom <= DCMI_PAGE ? atom : 0;
    card->sparse_bytes = it->limits.sparseAddressSpaceSize;
}

static void
read_properties(dcmi_vk_card *card)
{
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT,
    };
    VkPhysicalDeviceMaintenance4Properties buffers = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
        .pNext = card->has_pci ? &pci : NULL,
        .maxBufferSize = 1u << 30, /* what Vulkan promises where nobody tells */
    };
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
        .pNext = card->has_maintenance4 ? (void *)&buffers : buffers.pNext,
    };
    VkPhysicalDeviceIDProperties id = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
        .pNext = card->has_host_memory ? (void *)&host : host.pNext,
    };
    VkPhysicalDeviceMaintenance3Properties largest = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
        .pNext = &id,
    };
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &largest};
    dcmi_vk.vkGetPhysicalDeviceProperties2(card->id, &all);

    describe(card, &all.properties);
    memcpy(card->uuid, id.deviceUUID, sizeof card->uuid);
    memcpy(card->driver_uuid, id.driverUUID, sizeof card->driver_uuid);
    card->largest_bytes = largest.maxMemoryAllocationSize;
    card->buffer_bytes = buffers.maxBufferSize;
    card->import_bytes = host.minImportedHostPointerAlignment;
    card->has_host_memory = card->has_host_memory && dcmi_is_power_of_two(card->import_bytes);
    if (card->has_pci)
        snprintf(card->pci, sizeof card->pci, "%04x:%02x:%02x.%x", pci.pciDomain & 0xffff, pci.pciBus & 0xff,
                 pci.pciDevice & 0xff, pci.pciFunction & 0xf);
}

/* False where nobody can tell of what version the device is. */
static bool
is_new_enough(VkPhysicalDevice id, uint32_t minor)
{
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    dcmi_vk.vkGetPhysicalDeviceProperties2(id, &all);
    return all.properties.apiVersion >= VK_MAKE_VERSION(1, minor);
}

static void
read_features(dcmi_vk_card *card)
{
    VkPhysicalDeviceBufferDeviceAddressFeatures address = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
    };
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
    };
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    bool is_new = is_new_enough(card->id, 2);
    if (is_new || card->has_address_extension)
        all.pNext = &address;
    if (is_new || card->has_timeline_extension) {
        timeline.pNext = all.pNext;
        all.pNext = &timeline;
    }
    dcmi_vk.vkGetPhysicalDeviceFeatures2(card->id, &all);
    card->has_addresses = address.bufferDeviceAddress;
    card->has_timelines = timeline.timelineSemaphore;
    if (!all.features.sparseBinding || !all.features.sparseResidencyBuffer || !all.features.sparseResidencyAliased)
        card->sparse_bytes = 0;
}

static void
read_sharing(dcmi_vk_card *card)
{
    const VkPhysicalDeviceExternalBufferInfo info = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
        .usage = DCMI_VK_USAGE | (card->has_addresses ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0),
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
    };
    VkExternalBufferProperties can = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    const uint32_t both = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
    if (!card->has_fd_memory)
        return;
    dcmi_vk.vkGetPhysicalDeviceExternalBufferProperties(card->id, &info, &can);
    card->can_share = (can.externalMemoryFeatures & both) == both;
    card->shares_dedicated = can.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT;
}

/* The first family that can do one of these. */
static uint32_t
family_for(const VkQueueFamilyProperties *families, uint32_t count, uint32_t can)
{
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & can) && families[i].queueCount > 0)
            return i;
    return DCMI_VK_NO_FAMILY;
}

/* The first that can transfer: what can compute or draw can. Sparse buffers are best bound by the same. */
static bool
find_families(dcmi_vk_card *card)
{
    enum { MOST = 32 };
    uint32_t count = MOST;
    VkQueueFamilyProperties families[MOST];
    memset(families, 0, sizeof families);
    dcmi_vk.vkGetPhysicalDeviceQueueFamilyProperties(card->id, &count, families);
    card->family = family_for(families, count, VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT);
    if (card->family == DCMI_VK_NO_FAMILY)
        return false;
    card->queue_count = (uint32_t)dcmi_min(families[card->family].queueCount, DCMI_VK_PORTS);
    bool is_same = families[card->family].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT;
    card->sparse_family = is_same ? card->family : family_for(families, count, VK_QUEUE_SPARSE_BINDING_BIT);
    if (!card->sparse_bytes)
        card->sparse_family = DCMI_VK_NO_FAMILY;
    return true;
}

/* Kinds that no card may lack. */
static bool
has_memory(const dcmi_vk_card *card)
{
    return dcmi_vk_card_type(card, ~0u, DCMEM_KIND_DEVICE) >= 0 && dcmi_vk_card_type(card, ~0u, DCMEM_KIND_PINNED) >= 0;
}

bool
dcmi_vk_card_read(dcmi_vk_card *card, VkPhysicalDevice id)
{
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    card->id = id;
    if (!is_new_enough(id, 1))
        return false;
    read_extensions(card);
    read_properties(card);
    read_features(card);
    read_sharing(card);
    dcmi_vk.vkGetPhysicalDeviceMemoryProperties2(id, &memory);
    card->memory = memory.memoryProperties;
    return card->largest_bytes >= DCMI_PAGE && has_memory(card) && find_families(card);
}

/* ---- Finding ---- */

static dcmem_result
unavailable(VkResult code, const char *what)
{
    return dcmem_backend_fail(DCMEM_E_UNAVAILABLE, "vulkan", code, "%s: %s (%d)", what, dcmi_vk_code_name(code),
                              (int)code);
}

static dcmem_result
make_instance(void) DCMI_REQUIRES(lock)
{
    uint32_t version = 0;
    dcmem_result result = dcmi_vk_library_open();
    if (result)
        return result;
    VkResult code = dcmi_vk.vkEnumerateInstanceVersion(&version);
    if (code)
        return unavailable(code, "the version of the Vulkan loader");
    if (version < VK_MAKE_VERSION(1, 1))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "the Vulkan loader is of version 1.0: 1.1 is needed");
    const VkApplicationInfo program = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "dcmem",
        .apiVersion = version >= VK_MAKE_VERSION(1, 2) ? VK_MAKE_VERSION(1, 2) : VK_MAKE_VERSION(1, 1),
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &program,
    };
    code = dcmi_vk.vkCreateInstance(&info, NULL, &instance);
    if (code == VK_ERROR_INCOMPATIBLE_DRIVER)
        return dcmem_backend_fail(DCMEM_E_UNAVAILABLE, "vulkan", code,
                                  "the Vulkan loader is there but knows no driver: none is in /usr/share/vulkan/icd.d");
    return code ? unavailable(code, "a Vulkan instance") : DCMEM_OK;
}

static void
end_instance(void) DCMI_REQUIRES(lock)
{
    if (instance)
        dcmi_vk.vkDestroyInstance(instance, NULL);
    instance = NULL;
}

static dcmem_result
read_cards(void) DCMI_REQUIRES(lock)
{
    VkPhysicalDevice ids[DCMI_VK_CARDS];
    uint32_t count = DCMI_VK_CARDS;
    VkResult code = dcmi_vk.vkEnumeratePhysicalDevices(instance, &count, ids);
    if (code && code != VK_INCOMPLETE)
        return unavailable(code, "the list of Vulkan devices");
    for (uint32_t i = 0; i < count; i++) {
        memset(&cards[card_count], 0, sizeof cards[0]);
        card_count += dcmi_vk_card_read(&cards[card_count], ids[i]);
    }
    if (card_count == 0)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "%u Vulkan devices, and none of version 1.1 or newer that has memory",
                         count);
    return DCMEM_OK;
}

static dcmem_result
find_cards(void) DCMI_REQUIRES(lock)
{
    dcmem_result result = make_instance();
    if (!result)
        result = read_cards();
    if (result)
        end_instance();
    return result;
}

dcmem_result
dcmi_vk_cards_count(uint32_t *out)
{
    dcmi_lock_take(&lock);
    if (!is_known) {
        dcmem_detail before = dcmi_detail_save();
        why_none.result = find_cards();
        if (why_none.result)
            why_none = dcmi_detail_save();
        else
            dcmi_detail_restore(&before);
        is_known = true;
    }
    dcmem_detail why = why_none;
    uint32_t count = card_count;
    dcmi_lock_drop(&lock);

    if (why.result) {
        dcmi_detail_restore(&why);
        return why.result;
    }
    *out = count;
    return DCMEM_OK;
}

void
dcmi_vk_cards_forget(void)
{
    dcmi_lock_take(&lock);
    end_instance();
    is_known = false;
    why_none.result = DCMEM_OK;
    card_count = 0;
    dcmi_lock_drop(&lock);
}

dcmi_vk_card *
dcmi_vk_card_at(uint32_t index)
{
    return &cards[index];
}

dcmi_vk_card *
dcmi_vk_card_of(const uint8_t uuid[VK_UUID_SIZE])
{
    dcmi_lock_take(&lock);
    dcmi_vk_card *found = NULL;
    for (uint32_t i = 0; i < card_count && !found; i++)
        if (memcmp(cards[i].uuid, uuid, VK_UUID_SIZE) == 0)
            found = &cards[i];
    dcmi_lock_drop(&lock);
    return found;
}

/* ---- Budget ---- */

uint64_t
dcmi_vk_card_free(const dcmi_vk_card *card, uint32_t heap)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
    };
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = &budget,
    };
    uint64_t left = card->memory.memoryHeaps[heap].size - atomic_load(&card->charged_bytes[heap]);
    if (!card->has_memory_budget)
        return left;
    dcmi_vk.vkGetPhysicalDeviceMemoryProperties2(card->id, &memory);
    return dcmi_min(left, dcmi_less(budget.heapBudget[heap], budget.heapUsage[heap]));
}

dcmem_result
dcmi_vk_card_charge(dcmi_vk_card *card, uint32_t heap, uint64_t bytes)
{
    uint64_t size = card->memory.memoryHeaps[heap].size;
    uint64_t charged = atomic_load_explicit(&card->charged_bytes[heap], memory_order_relaxed);
    do {
        if (bytes > size - charged)
            return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes; %llu of the heap's %llu are free",
                             (unsigned long long)bytes, (unsigned long long)(size - charged), (unsigned long long)size);
    } while (!atomic_compare_exchange_weak(&card->charged_bytes[heap], &charged, charged + bytes));
    return DCMEM_OK;
}

void
dcmi_vk_card_discharge(dcmi_vk_card *card, uint32_t heap, uint64_t bytes)
{
    atomic_fetch_sub(&card->charged_bytes[heap], bytes);
}
