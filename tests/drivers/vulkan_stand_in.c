/* vulkan_stand_in.c: a small Vulkan that fails on command, counts what is alive, and can be of any shape.
 *
 * Command buffers do their work when they are submitted; when fences and semaphores are reached is another matter (see
 * `holds`). A sparse buffer's bytes are where it is bound. What breaks a rule of Vulkan's ends the process: a driver
 * that does is wrong. */
#include "vulkan_stand_in.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DECLARE(type, name, parameters) type name parameters;
DCMI_VK_FUNCTIONS(DECLARE)
DCMI_VK_DEVICE_FUNCTIONS(DECLARE)

enum { MOST_COMMANDS = 128, QUEUES = 8 };

struct dcmi_vk_instance_object {
    int number;
};

struct dcmi_vk_physical_object {
    int number;
};

struct dcmi_vk_queue_object {
    VkDevice device;
    uint32_t family;
};

struct dcmi_vk_device_object {
    struct dcmi_vk_queue_object queues[STAND_IN_FAMILIES][QUEUES];
};

struct dcmi_vk_memory_object {
    char *memory;
    char *host; /* what maps show: another memory, where it is not coherent */
    void *own, *own_host;
    uint64_t bytes, mapped_bytes;
    uint32_t type;
    bool is_mapped, is_imported;
    int fd;
    VkBuffer alone;
};

struct dcmi_vk_buffer_object {
    uint64_t bytes;
    VkFlags external;
    VkDeviceMemory memory;
    char *begin;
    VkSparseMemoryBind *binds; /* of each unit of a sparse buffer; NULL: it is none */
};

struct dcmi_vk_fence_object {
    bool is_pending, is_reached;
};

struct dcmi_vk_semaphore_object {
    uint64_t value, pending; /* what it stands at, and what it will */
};

/* What a submission reaches when it is done. */
typedef struct goal {
    struct goal *next; /* of those that are held */
    VkFence fence;
    VkSemaphore semaphore;
    uint64_t value;
} goal;

typedef struct command {
    VkBuffer from, to; /* no `from`: a fill */
    VkBufferCopy region;
    uint32_t word;
} command;

struct dcmi_vk_command_buffer_object {
    VkCommandBuffer next; /* of the pool's */
    bool is_recording;
    uint32_t barriers;
    uint32_t count;
    command commands[MOST_COMMANDS];
};

struct dcmi_vk_command_pool_object {
    VkCommandBuffer first;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t reached = PTHREAD_COND_INITIALIZER;
static struct dcmi_vk_physical_object physicals[STAND_IN_DEVICES] = {{0}, {1}, {2}};
static goal *held, **held_end = &held;
static stand_in state;

stand_in *
stand_in_get(void)
{
    return &state;
}

static void
require(bool condition)
{
    if (!condition)
        abort();
}

static VkResult
failure(const char *name)
{
    VkResult code = VK_SUCCESS;
    pthread_mutex_lock(&lock);
    if (!state.fail_name || strcmp(name, state.fail_name) == 0) {
        uint64_t number = ++state.calls;
        if (state.fail_from && number >= state.fail_from && number - state.fail_from < state.fail_count) {
            state.failed++;
            code = state.fail_code;
        }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

#define MAY_FAIL()                                                                                                     \
    do {                                                                                                               \
        VkResult injected = failure(__func__);                                                                         \
        if (injected)                                                                                                  \
            return injected;                                                                                           \
    } while (0)

static void
count(int *number, int by)
{
    pthread_mutex_lock(&lock);
    *number += by;
    require(*number >= 0);
    pthread_mutex_unlock(&lock);
}

static void
count_bytes(int64_t by)
{
    pthread_mutex_lock(&lock);
    state.live.bytes += by;
    require(state.live.bytes >= 0);
    pthread_mutex_unlock(&lock);
}

static void
tally(uint64_t *number, uint64_t by)
{
    pthread_mutex_lock(&lock);
    *number += by;
    pthread_mutex_unlock(&lock);
}

static void *
new_zeroed(size_t bytes)
{
    void *memory = calloc(1, bytes);
    require(memory != NULL);
    return memory;
}

/* The struct of a type in a chain, or NULL. */
static const void *
chained(const void *first, uint32_t type)
{
    for (const VkBaseInStructure *at = first; at; at = at->pNext)
        if (at->sType == type)
            return at;
    return NULL;
}

/* As `chained`, of a chain that is filled. */
static void *
wanted(void *first, uint32_t type)
{
    union {
        const void *in;
        void *out;
    } found = {chained(first, type)};
    return found.out;
}

/* ---- Instances and what is asked ---- */

VkResult
vkEnumerateInstanceVersion(uint32_t *out_version)
{
    MAY_FAIL();
    *out_version = state.shape.loader_version;
    return VK_SUCCESS;
}

VkResult
vkCreateInstance(const VkInstanceCreateInfo *info, const void *books, VkInstance *out)
{
    MAY_FAIL();
    require(!books && info->sType == VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO && info->pApplicationInfo);
    *out = new_zeroed(sizeof **out);
    count(&state.live.instances, 1);
    return VK_SUCCESS;
}

void
vkDestroyInstance(VkInstance instance, const void *books)
{
    require(!books);
    count(&state.live.instances, -1);
    free(instance);
}

VkResult
vkEnumeratePhysicalDevices(VkInstance instance, uint32_t *in_count, VkPhysicalDevice *devices)
{
    MAY_FAIL();
    require(instance != NULL);
    uint32_t i = 0;
    for (; i < *in_count && i < state.shape.device_count; i++)
        devices[i] = &physicals[i];
    *in_count = i;
    return i < state.shape.device_count ? VK_INCOMPLETE : VK_SUCCESS;
}

void
vkGetPhysicalDeviceProperties2(VkPhysicalDevice physical, VkPhysicalDeviceProperties2 *out)
{
    const stand_in_shape *shape = &state.shape;
    VkPhysicalDeviceIDProperties *id = wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES);
    VkPhysicalDeviceMaintenance3Properties *largest =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT *host =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
    VkPhysicalDeviceMaintenance4Properties *buffers =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES);
    VkPhysicalDevicePCIBusInfoPropertiesEXT *pci =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT);
    out->properties = (VkPhysicalDeviceProperties){
        .apiVersion = shape->device_version,
        .driverVersion = 7u << 22 | 2u << 12 | 1u,
        .deviceType = shape->device_type,
    };
    out->properties.limits.sparseAddressSpaceSize = shape->sparse_bytes;
    memcpy(out->properties.deviceName, shape->name, strlen(shape->name) + 1);
    out->properties.limits.nonCoherentAtomSize = shape->atom_bytes;
    if (id) {
        memset(id->deviceUUID, 'a' + physical->number, sizeof id->deviceUUID);
        memset(id->driverUUID, 'd', sizeof id->driverUUID);
    }
    if (largest)
        largest->maxMemoryAllocationSize = shape->largest_bytes;
    if (host)
        host->minImportedHostPointerAlignment = shape->import_bytes;
    if (buffers)
        buffers->maxBufferSize = shape->buffer_bytes;
    if (pci)
        pci->pciBus = 0x17, pci->pciDevice = 2, pci->pciFunction = 1;
}

static bool
has_extension(const char *name)
{
    uint32_t i = 0;
    while (state.shape.extensions[i] && strcmp(state.shape.extensions[i], name) != 0)
        i++;
    return state.shape.extensions[i];
}

/* What is part of Vulkan from 1.2 on and was an extension before; a function, if there is one, by its name of the
 * extension or without. */
static bool
is_known(const char *function, const char *extension)
{
    size_t length = function ? strlen(function) : 0;
    if (length > 3 && strcmp(function + length - 3, "KHR") == 0)
        return has_extension(extension);
    return state.shape.device_version >= VK_MAKE_VERSION(1, 2) || (!function && has_extension(extension));
}

void
vkGetPhysicalDeviceFeatures2(VkPhysicalDevice physical, VkPhysicalDeviceFeatures2 *out)
{
    VkPhysicalDeviceBufferDeviceAddressFeatures *address =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES);
    VkPhysicalDeviceTimelineSemaphoreFeatures *timeline =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);
    require(physical != NULL);
    require(!address || is_known(NULL, "VK_KHR_buffer_device_address"));
    require(!timeline || is_known(NULL, "VK_KHR_timeline_semaphore"));
    if (address)
        address->bufferDeviceAddress = state.shape.has_addresses;
    if (timeline)
        timeline->timelineSemaphore = state.shape.has_timelines;
    VkBool32 is_sparse = state.shape.sparse_bytes > 0;
    out->features.sparseBinding = out->features.sparseResidencyBuffer = out->features.sparseResidencyAliased =
        is_sparse;
}

void
vkGetPhysicalDeviceMemoryProperties2(VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2 *out)
{
    const stand_in_shape *shape = &state.shape;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget =
        wanted(out, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
    VkPhysicalDeviceMemoryProperties *memory = &out->memoryProperties;
    require(physical != NULL);
    memory->memoryTypeCount = shape->type_count;
    memcpy(memory->memoryTypes, shape->types, sizeof shape->types);
    memory->memoryHeapCount = shape->heap_count;
    for (uint32_t i = 0; i < shape->heap_count; i++) {
        memory->memoryHeaps[i] = (VkMemoryHeap){shape->heaps[i], 0};
        if (budget) {
            budget->heapBudget[i] = shape->heaps[i];
            budget->heapUsage[i] = shape->used_bytes;
        }
    }
}

void
vkGetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice physical, uint32_t *in_count,
                                         VkQueueFamilyProperties *families)
{
    require(physical && *in_count >= state.shape.family_count);
    *in_count = state.shape.family_count;
    memcpy(families, state.shape.families, sizeof state.shape.families);
}

void
vkGetPhysicalDeviceExternalBufferProperties(VkPhysicalDevice physical, const VkPhysicalDeviceExternalBufferInfo *info,
                                            VkExternalBufferProperties *out)
{
    require(physical && info->handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT);
    out->externalMemoryFeatures = state.shape.sharing;
}

VkResult
vkEnumerateDeviceExtensionProperties(VkPhysicalDevice physical, const char *layer, uint32_t *in_count,
                                     VkExtensionProperties *extensions)
{
    uint32_t i = 0;
    MAY_FAIL();
    require(physical && !layer);
    for (; state.shape.extensions[i]; i++)
        if (extensions && i < *in_count)
            memcpy(extensions[i].extensionName, state.shape.extensions[i], strlen(state.shape.extensions[i]) + 1);
    *in_count = i;
    return VK_SUCCESS;
}

/* ---- Devices ---- */

static VkDevice
new_device(void)
{
    VkDevice device = new_zeroed(sizeof *device);
    for (uint32_t family = 0; family < STAND_IN_FAMILIES; family++)
        for (int i = 0; i < QUEUES; i++)
            device->queues[family][i] = (struct dcmi_vk_queue_object){device, family};
    count(&state.live.devices, 1);
    return device;
}

VkResult
vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const void *books, VkDevice *out)
{
    MAY_FAIL();
    const VkDeviceQueueCreateInfo *queues = info->pQueueCreateInfos;
    const VkPhysicalDeviceFeatures2 *features = chained(info->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
    require(physical && !books && info->queueCreateInfoCount <= 2);
    for (uint32_t i = 0; i < info->queueCreateInfoCount; i++)
        require(queues[i].queueFamilyIndex < state.shape.family_count &&
                queues[i].queueCount <= state.shape.families[queues[i].queueFamilyIndex].queueCount);
    require(info->queueCreateInfoCount == 1 || queues[0].queueFamilyIndex != queues[1].queueFamilyIndex);
    require(!features || state.shape.sparse_bytes);
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        require(has_extension(info->ppEnabledExtensionNames[i]));
    *out = new_device();
    return VK_SUCCESS;
}

void
vkDestroyDevice(VkDevice device, const void *books)
{
    require(device && !books);
    count(&state.live.devices, -1);
    free(device);
}

void
vkGetDeviceQueue(VkDevice device, uint32_t family, uint32_t index, VkQueue *out)
{
    require(family < state.shape.family_count && index < QUEUES);
    *out = &device->queues[family][index];
}

void *
vkGetDeviceProcAddr(VkDevice device, const char *name)
{
    void *found = NULL;
    require(device != NULL);
#define FIND(type, function, parameters)                                                                               \
    if (strcmp(name, #function) == 0 || strcmp(name, #function "KHR") == 0) {                                          \
        type(*known) parameters = function;                                                                            \
        memcpy(&found, &known, sizeof found);                                                                          \
    }
    DCMI_VK_DEVICE_FUNCTIONS(FIND)
#undef FIND
    if (strstr(name, "vkGetBufferDeviceAddress") && !is_known(name, "VK_KHR_buffer_device_address"))
        return NULL;
    if (strstr(name, "vkWaitSemaphores") && !is_known(name, "VK_KHR_timeline_semaphore"))
        return NULL;
    return state.shape.lacks && strcmp(name, state.shape.lacks) == 0 ? NULL : found;
}

void
stand_in_lend(VkPhysicalDevice *physical, VkDevice *device, VkQueue *queue, VkQueue *second)
{
    *physical = &physicals[0];
    *device = new_device();
    *queue = &(*device)->queues[0][0];
    *second = &(*device)->queues[0][1];
}

void
stand_in_lend_end(VkDevice device)
{
    vkDestroyDevice(device, NULL);
}

/* ---- Memory ---- */

static uint32_t
flags_of(uint32_t type)
{
    return state.shape.types[type].propertyFlags;
}

/* Skewed, with what must be freed in *own. Its beginning is not zeroed: drivers do not either. */
static char *
new_memory(void **own, size_t bytes)
{
    size_t room = (bytes + state.shape.skew_bytes + 8191) / 4096 * 4096;
    *own = aligned_alloc(4096, room);
    require(*own != NULL);
    memset(*own, 0xa5, room < 65536 ? room : 65536);
    return (char *)*own + state.shape.skew_bytes;
}

/* Memory that is a file. Takes the descriptor. */
static VkResult
map_file(VkDeviceMemory memory, int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0 || (uint64_t)facts.st_size < memory->bytes)
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    void *at = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    memory->memory = at;
    memory->mapped_bytes = memory->bytes;
    memory->fd = fd;
    count(&state.live.descriptors, 1);
    return VK_SUCCESS;
}

static VkResult
fill_memory(VkDeviceMemory memory, const VkMemoryAllocateInfo *info)
{
    const VkImportMemoryHostPointerInfoEXT *host = chained(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT);
    const VkImportMemoryFdInfoKHR *file = chained(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
    const VkExportMemoryAllocateInfo *shared = chained(info, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
    memory->is_imported = host || file;
    if (host) {
        require((uintptr_t)host->pHostPointer % state.shape.import_bytes == 0 &&
                memory->bytes % state.shape.import_bytes == 0);
        memory->memory = host->pHostPointer;
        return VK_SUCCESS;
    }
    if (file)
        return map_file(memory, file->fd);
    if (shared) {
        int fd = memfd_create("stand-in", MFD_CLOEXEC);
        require(fd >= 0 && ftruncate(fd, (off_t)memory->bytes) == 0);
        return map_file(memory, fd);
    }
    memory->memory = new_memory(&memory->own, memory->bytes);
    return VK_SUCCESS;
}

VkResult
vkAllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info, const void *books, VkDeviceMemory *out)
{
    MAY_FAIL();
    const VkMemoryDedicatedAllocateInfo *alone = chained(info, VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO);
    const VkMemoryAllocateFlagsInfo *address = chained(info, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
    require(device && !books && info->memoryTypeIndex < state.shape.type_count);
    require(!state.shape.has_addresses || address || !state.shape.device_count);
    VkDeviceMemory memory = new_zeroed(sizeof *memory);
    memory->bytes = info->allocationSize;
    memory->type = info->memoryTypeIndex;
    memory->fd = -1;
    VkResult code = fill_memory(memory, info);
    if (code) {
        free(memory);
        return code;
    }
    bool is_coherent = flags_of(memory->type) & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    memory->host = is_coherent ? memory->memory : new_memory(&memory->own_host, memory->bytes);
    if (alone) {
        memory->alone = alone->buffer;
        tally(&state.dedicated, 1);
    }
    count(&state.live.memories, 1);
    count_bytes(memory->is_imported ? 0 : (int64_t)memory->bytes);
    *out = memory;
    return VK_SUCCESS;
}

void
vkFreeMemory(VkDevice device, VkDeviceMemory memory, const void *books)
{
    require(device && !books);
    count(&state.live.memories, -1);
    count_bytes(memory->is_imported ? 0 : -(int64_t)memory->bytes);
    if (memory->fd >= 0) {
        require(munmap(memory->memory, memory->mapped_bytes) == 0 && close(memory->fd) == 0);
        count(&state.live.descriptors, -1);
    }
    free(memory->own);
    free(memory->own_host);
    free(memory);
}

VkResult
vkMapMemory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize bytes, VkFlags flags, void **out)
{
    MAY_FAIL();
    require(device && offset == 0 && bytes == VK_WHOLE_SIZE && flags == 0 && !memory->is_mapped);
    require(flags_of(memory->type) & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    memory->is_mapped = true;
    *out = memory->host;
    return VK_SUCCESS;
}

/* Whole units, or up to the memory's end. */
static VkDeviceMemory
check_range(const VkMappedMemoryRange *range)
{
    VkDeviceMemory memory = range->memory;
    require(memory->is_mapped && range->offset % state.shape.atom_bytes == 0 && range->size > 0);
    require(range->size % state.shape.atom_bytes == 0 || range->offset + range->size == memory->bytes);
    require(range->offset + range->size <= memory->bytes);
    pthread_mutex_lock(&lock);
    state.flushes++;
    state.last_range = *range;
    pthread_mutex_unlock(&lock);
    return memory;
}

VkResult
vkFlushMappedMemoryRanges(VkDevice device, uint32_t range_count, const VkMappedMemoryRange *ranges)
{
    MAY_FAIL();
    require(device && range_count == 1);
    VkDeviceMemory memory = check_range(ranges);
    memcpy(memory->memory + ranges->offset, memory->host + ranges->offset, ranges->size);
    return VK_SUCCESS;
}

VkResult
vkInvalidateMappedMemoryRanges(VkDevice device, uint32_t range_count, const VkMappedMemoryRange *ranges)
{
    MAY_FAIL();
    require(device && range_count == 1);
    VkDeviceMemory memory = check_range(ranges);
    memcpy(memory->host + ranges->offset, memory->memory + ranges->offset, ranges->size);
    return VK_SUCCESS;
}

VkResult
vkGetMemoryFdKHR(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *out)
{
    MAY_FAIL();
    require(device && info->memory->fd >= 0 && info->handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT);
    *out = dup(info->memory->fd);
    require(*out >= 0);
    return VK_SUCCESS;
}

VkResult
vkGetMemoryHostPointerPropertiesEXT(VkDevice device, VkFlags type, const void *host,
                                    VkMemoryHostPointerPropertiesEXT *out)
{
    MAY_FAIL();
    require(device && host && type == VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT);
    out->memoryTypeBits = state.shape.import_types;
    return VK_SUCCESS;
}

/* ---- Buffers ---- */

static uint64_t
sparse_units(const struct dcmi_vk_buffer_object *buffer)
{
    return (buffer->bytes + state.shape.sparse_unit - 1) / state.shape.sparse_unit;
}

/* With addresses of the process that nothing lies at. */
static void
make_sparse(VkBuffer buffer)
{
    uint64_t unit = state.shape.sparse_unit;
    require(state.shape.sparse_bytes > 0);
    buffer->binds = new_zeroed(sparse_units(buffer) * sizeof *buffer->binds);
    char *at = mmap(NULL, buffer->bytes + 2 * unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(at != MAP_FAILED);
    buffer->begin = at;
    pthread_mutex_lock(&lock);
    state.live.sparse_bytes += (int64_t)buffer->bytes;
    require(state.live.sparse_bytes <= (int64_t)state.shape.sparse_bytes);
    pthread_mutex_unlock(&lock);
}

static void
end_sparse(VkBuffer buffer)
{
    free(buffer->binds);
    require(munmap(buffer->begin, buffer->bytes + 2 * state.shape.sparse_unit) == 0);
    pthread_mutex_lock(&lock);
    state.live.sparse_bytes -= (int64_t)buffer->bytes;
    pthread_mutex_unlock(&lock);
}

VkResult
vkCreateBuffer(VkDevice device, const VkBufferCreateInfo *info, const void *books, VkBuffer *out)
{
    MAY_FAIL();
    const VkExternalMemoryBufferCreateInfo *external =
        chained(info, VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
    require(device && !books && info->size > 0 && (info->flags == 0 || info->flags == 7));
    VkBuffer buffer = new_zeroed(sizeof *buffer);
    buffer->bytes = info->size;
    buffer->external = external ? external->handleTypes : 0;
    if (info->flags)
        make_sparse(buffer);
    count(&state.live.buffers, 1);
    *out = buffer;
    return VK_SUCCESS;
}

void
vkDestroyBuffer(VkDevice device, VkBuffer buffer, const void *books)
{
    require(device && !books);
    count(&state.live.buffers, -1);
    if (buffer->binds)
        end_sparse(buffer);
    free(buffer);
}

void
vkGetBufferMemoryRequirements2(VkDevice device, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *out)
{
    VkMemoryDedicatedRequirements *alone = wanted(out, VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS);
    require(device && alone);
    alone->prefersDedicatedAllocation = alone->requiresDedicatedAllocation = state.shape.wants_dedicated;
    out->memoryRequirements = (VkMemoryRequirements){
        .size = info->buffer->bytes + (info->buffer->external ? 0 : state.shape.extra_bytes),
        .alignment = info->buffer->binds ? state.shape.sparse_unit : state.shape.alignment,
        .memoryTypeBits = (1u << state.shape.type_count) - 1,
    };
}

VkResult
vkBindBufferMemory(VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset)
{
    MAY_FAIL();
    require(device && !buffer->memory && !buffer->binds && offset % state.shape.alignment == 0);
    require(offset + buffer->bytes <= memory->bytes);
    require(!memory->alone || (memory->alone == buffer && offset == 0));
    buffer->memory = memory;
    buffer->begin = memory->memory + offset;
    return VK_SUCCESS;
}

uint64_t
vkGetBufferDeviceAddress(VkDevice device, const VkBufferDeviceAddressInfo *info)
{
    const struct dcmi_vk_buffer_object *buffer = info->buffer;
    uint64_t unit = state.shape.sparse_unit;
    if (buffer->binds)
        return ((uintptr_t)buffer->begin + unit - 1) / unit * unit + state.shape.sparse_skew;
    require(device && buffer->memory);
    return (uintptr_t)buffer->begin + (buffer->begin == buffer->memory->memory ? 0 : state.shape.bound_skew);
}

/* ---- Commands ---- */

VkResult
vkCreateCommandPool(VkDevice device, const VkCommandPoolCreateInfo *info, const void *books, VkCommandPool *out)
{
    MAY_FAIL();
    require(device && !books && info->queueFamilyIndex < state.shape.family_count);
    *out = new_zeroed(sizeof **out);
    count(&state.live.pools, 1);
    return VK_SUCCESS;
}

void
vkDestroyCommandPool(VkDevice device, VkCommandPool pool, const void *books)
{
    require(device && !books);
    while (pool->first) {
        VkCommandBuffer next = pool->first->next;
        free(pool->first);
        pool->first = next;
    }
    count(&state.live.pools, -1);
    free(pool);
}

VkResult
vkAllocateCommandBuffers(VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *out)
{
    MAY_FAIL();
    require(device != NULL);
    for (uint32_t i = 0; i < info->commandBufferCount; i++) {
        out[i] = new_zeroed(sizeof *out[i]);
        out[i]->next = info->commandPool->first;
        info->commandPool->first = out[i];
    }
    return VK_SUCCESS;
}

VkResult
vkBeginCommandBuffer(VkCommandBuffer commands, const VkCommandBufferBeginInfo *info)
{
    MAY_FAIL();
    require(info->flags == VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT);
    commands->is_recording = true;
    commands->count = commands->barriers = 0;
    return VK_SUCCESS;
}

/* What is recorded lies between two barriers: after what came before, and before who reads it. */
VkResult
vkEndCommandBuffer(VkCommandBuffer commands)
{
    MAY_FAIL();
    require(commands->is_recording && commands->barriers == 2);
    commands->is_recording = false;
    return VK_SUCCESS;
}

void
vkCmdPipelineBarrier(VkCommandBuffer commands, VkFlags from_stages, VkFlags to_stages, VkFlags flags,
                     uint32_t barrier_count, const VkMemoryBarrier *barriers, uint32_t buffer_count,
                     const void *buffers, uint32_t image_count, const void *images)
{
    require(commands->is_recording && from_stages && to_stages && !flags && barrier_count == 1 && barriers);
    require(!buffer_count && !buffers && !image_count && !images);
    require((commands->barriers == 0) == (commands->count == 0));
    commands->barriers++;
}

static void
record(VkCommandBuffer commands, command done)
{
    require(commands->is_recording && commands->barriers == 1 && commands->count < MOST_COMMANDS);
    require(done.region.dstOffset + done.region.size <= done.to->bytes);
    commands->commands[commands->count++] = done;
}

void
vkCmdCopyBuffer(VkCommandBuffer commands, VkBuffer from, VkBuffer to, uint32_t region_count,
                const VkBufferCopy *regions)
{
    for (uint32_t i = 0; i < region_count; i++) {
        require(regions[i].srcOffset + regions[i].size <= from->bytes);
        record(commands, (command){from, to, regions[i], 0});
    }
}

void
vkCmdFillBuffer(VkCommandBuffer commands, VkBuffer to, VkDeviceSize offset, VkDeviceSize bytes, uint32_t word)
{
    require(offset % 4 == 0 && bytes % 4 == 0);
    record(commands, (command){NULL, to, {0, offset, bytes}, word});
}

/* Where bytes of a buffer are, and how many are there in one: a sparse buffer's are where it is bound to. */
static char *
bytes_at(uint64_t *out_room, const struct dcmi_vk_buffer_object *buffer, uint64_t offset)
{
    uint64_t unit = state.shape.sparse_unit;
    *out_room = UINT64_MAX;
    if (!buffer->binds)
        return buffer->begin + offset;
    const VkSparseMemoryBind *bound = &buffer->binds[offset / unit];
    require(bound->memory != NULL);
    *out_room = unit - offset % unit;
    return bound->memory->memory + bound->memoryOffset + offset % unit;
}

static void
run(const command *it)
{
    uint64_t size = it->region.size;
    for (uint64_t done = 0, part; done < size; done += part) {
        uint64_t room, from_room = UINT64_MAX;
        char *to = bytes_at(&room, it->to, it->region.dstOffset + done);
        const char *from = it->from ? bytes_at(&from_room, it->from, it->region.srcOffset + done) : NULL;
        part = size - done < room ? size - done : room;
        part = part < from_room ? part : from_room;
        if (from)
            memcpy(to, from, part);
        for (uint64_t i = 0; !from && i < part; i += sizeof it->word)
            memcpy(to + i, &it->word, sizeof it->word);
    }
    tally(it->from ? &state.regions : &state.fills, 1);
}

/* ---- Submissions, fences and semaphores ---- */

static void
reach(const goal *it)
{
    pthread_mutex_lock(&lock);
    if (it->fence)
        it->fence->is_reached = true;
    if (it->semaphore)
        it->semaphore->value = it->value;
    pthread_cond_broadcast(&reached);
    pthread_mutex_unlock(&lock);
}

void
stand_in_end_held(void)
{
    pthread_mutex_lock(&lock);
    goal *first = held;
    held = NULL;
    held_end = &held;
    pthread_mutex_unlock(&lock);
    while (first) {
        goal *next = first->next;
        reach(first);
        free(first);
        first = next;
    }
}

/* A goal that is reached when those before it are. */
static void
hold(goal it)
{
    goal *last = new_zeroed(sizeof *last);
    *last = it;
    *held_end = last;
    held_end = &last->next;
}

static void
run_all(const VkSubmitInfo *info)
{
    require(info->commandBufferCount <= 1 && info->waitSemaphoreCount == 0 && info->signalSemaphoreCount <= 1);
    if (info->commandBufferCount == 0)
        return;
    const struct dcmi_vk_command_buffer_object *commands = info->pCommandBuffers[0];
    require(!commands->is_recording);
    for (uint32_t i = 0; i < commands->count; i++)
        run(&commands->commands[i]);
}

/* What a submission is to reach, which then is under way. */
static goal
goal_of(const VkSubmitInfo *info, VkFence fence)
{
    goal it = {.fence = fence};
    const VkTimelineSemaphoreSubmitInfo *values = chained(info, VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
    require(fence || info->signalSemaphoreCount);
    if (fence) {
        require(!fence->is_pending && !fence->is_reached);
        fence->is_pending = true;
    }
    if (info->signalSemaphoreCount) {
        require(values && values->signalSemaphoreValueCount == 1);
        it.semaphore = info->pSignalSemaphores[0];
        it.value = values->pSignalSemaphoreValues[0];
        require(it.value > it.semaphore->pending);
        it.semaphore->pending = it.value;
    }
    return it;
}

VkResult
vkQueueSubmit(VkQueue queue, uint32_t info_count, const VkSubmitInfo *infos, VkFence fence)
{
    MAY_FAIL();
    require(queue && info_count == 1);
    run_all(infos);
    pthread_mutex_lock(&lock);
    state.submissions++;
    goal it = goal_of(infos, fence);
    bool is_held = state.holds;
    if (is_held)
        hold(it);
    pthread_mutex_unlock(&lock);
    if (!is_held)
        reach(&it);
    return VK_SUCCESS;
}

static void
bind(const struct dcmi_vk_buffer_object *buffer, const VkSparseMemoryBind *part)
{
    uint64_t unit = state.shape.sparse_unit, first = part->resourceOffset / unit;
    require(buffer->binds && part->flags == 0 && part->size > 0);
    require((part->resourceOffset | part->size | part->memoryOffset) % unit == 0);
    require(part->resourceOffset + part->size <= sparse_units(buffer) * unit);
    require(!part->memory || part->memoryOffset + part->size <= part->memory->bytes);
    for (uint64_t i = 0; i < part->size / unit; i++)
        buffer->binds[first + i] = (VkSparseMemoryBind){
            .memory = part->memory,
            .memoryOffset = part->memoryOffset + i * unit,
        };
}

VkResult
vkQueueBindSparse(VkQueue queue, uint32_t info_count, const VkBindSparseInfo *infos, VkFence fence)
{
    MAY_FAIL();
    require(state.shape.families[queue->family].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT);
    require(info_count == 1 && infos->bufferBindCount > 0 && !infos->imageBindCount && !infos->imageOpaqueBindCount);
    require(!infos->waitSemaphoreCount && !infos->signalSemaphoreCount && fence && !fence->is_reached);
    for (uint32_t i = 0; i < infos->bufferBindCount; i++)
        for (uint32_t j = 0; j < infos->pBufferBinds[i].bindCount; j++)
            bind(infos->pBufferBinds[i].buffer, &infos->pBufferBinds[i].pBinds[j]);
    tally(&state.binds, 1);
    fence->is_pending = true;
    reach(&(goal){.fence = fence});
    return VK_SUCCESS;
}

VkResult
vkCreateSemaphore(VkDevice device, const VkSemaphoreCreateInfo *info, const void *books, VkSemaphore *out)
{
    MAY_FAIL();
    const VkSemaphoreTypeCreateInfo *type = chained(info, VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
    require(device && !books && info->flags == 0 && state.shape.has_timelines);
    require(type && type->semaphoreType == VK_SEMAPHORE_TYPE_TIMELINE);
    *out = new_zeroed(sizeof **out);
    (*out)->value = (*out)->pending = type->initialValue;
    count(&state.live.semaphores, 1);
    return VK_SUCCESS;
}

void
vkDestroySemaphore(VkDevice device, VkSemaphore semaphore, const void *books)
{
    require(device && !books);
    count(&state.live.semaphores, -1);
    free(semaphore);
}

VkResult
vkWaitSemaphores(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout_ns)
{
    MAY_FAIL();
    require(device && info->semaphoreCount == 1 && info->flags == 0 && timeout_ns == UINT64_MAX);
    pthread_mutex_lock(&lock);
    require(info->pValues[0] <= info->pSemaphores[0]->pending);
    while (info->pSemaphores[0]->value < info->pValues[0])
        pthread_cond_wait(&reached, &lock);
    pthread_mutex_unlock(&lock);
    return VK_SUCCESS;
}

VkResult
vkQueueWaitIdle(VkQueue queue)
{
    MAY_FAIL();
    require(queue != NULL);
    return VK_SUCCESS;
}

VkResult
vkCreateFence(VkDevice device, const VkFenceCreateInfo *info, const void *books, VkFence *out)
{
    MAY_FAIL();
    require(device && !books && info->flags == 0);
    *out = new_zeroed(sizeof **out);
    count(&state.live.fences, 1);
    return VK_SUCCESS;
}

void
vkDestroyFence(VkDevice device, VkFence fence, const void *books)
{
    require(device && !books);
    count(&state.live.fences, -1);
    free(fence);
}

VkResult
vkResetFences(VkDevice device, uint32_t fence_count, const VkFence *fences)
{
    MAY_FAIL();
    require(device && fence_count == 1);
    fences[0]->is_pending = fences[0]->is_reached = false;
    return VK_SUCCESS;
}

VkResult
vkWaitForFences(VkDevice device, uint32_t fence_count, const VkFence *fences, VkBool32 all, uint64_t timeout_ns)
{
    MAY_FAIL();
    require(device && fence_count == 1 && all && timeout_ns == UINT64_MAX && fences[0]->is_pending);
    pthread_mutex_lock(&lock);
    while (!fences[0]->is_reached)
        pthread_cond_wait(&reached, &lock);
    pthread_mutex_unlock(&lock);
    return VK_SUCCESS;
}
