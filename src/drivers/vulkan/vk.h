/* vk.h: as much of Vulkan as the driver uses: its types, numbers and functions, under the names that they have there.
 *
 * Written down here so that every build has the backend, whatever headers a machine has. Handles are pointers to
 * structs that nobody defines. Of large structs the parts that nobody here reads are rows of words. */
#ifndef DCMI_VULKAN_VK_H
#define DCMI_VULKAN_VK_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t VkResult;
typedef uint32_t VkBool32;
typedef uint32_t VkFlags;
typedef uint64_t VkDeviceSize;

typedef struct dcmi_vk_instance_object *VkInstance;
typedef struct dcmi_vk_physical_object *VkPhysicalDevice;
typedef struct dcmi_vk_device_object *VkDevice;
typedef struct dcmi_vk_queue_object *VkQueue;
typedef struct dcmi_vk_command_buffer_object *VkCommandBuffer;
typedef struct dcmi_vk_memory_object *VkDeviceMemory;
typedef struct dcmi_vk_buffer_object *VkBuffer;
typedef struct dcmi_vk_fence_object *VkFence;
typedef struct dcmi_vk_semaphore_object *VkSemaphore;
typedef struct dcmi_vk_command_pool_object *VkCommandPool;

/* name, number, what it means here */
#define DCMI_VK_CODES(X)                                                                                               \
    X(VK_NOT_READY, 1, DCMEM_E_DRIVER)                                                                                 \
    X(VK_TIMEOUT, 2, DCMEM_E_TIMEOUT)                                                                                  \
    X(VK_INCOMPLETE, 5, DCMEM_E_DRIVER)                                                                                \
    X(VK_ERROR_OUT_OF_HOST_MEMORY, -1, DCMEM_E_NO_HOST_MEMORY)                                                         \
    X(VK_ERROR_OUT_OF_DEVICE_MEMORY, -2, DCMEM_E_NO_MEMORY)                                                            \
    X(VK_ERROR_INITIALIZATION_FAILED, -3, DCMEM_E_UNAVAILABLE)                                                         \
    X(VK_ERROR_DEVICE_LOST, -4, DCMEM_E_DEVICE_LOST)                                                                   \
    X(VK_ERROR_MEMORY_MAP_FAILED, -5, DCMEM_E_NO_HOST_MEMORY)                                                          \
    X(VK_ERROR_LAYER_NOT_PRESENT, -6, DCMEM_E_UNAVAILABLE)                                                             \
    X(VK_ERROR_EXTENSION_NOT_PRESENT, -7, DCMEM_E_DRIVER)                                                              \
    X(VK_ERROR_FEATURE_NOT_PRESENT, -8, DCMEM_E_DRIVER)                                                                \
    X(VK_ERROR_INCOMPATIBLE_DRIVER, -9, DCMEM_E_UNAVAILABLE)                                                           \
    /* More allocations than the device bears: giving some back helps. */                                              \
    X(VK_ERROR_TOO_MANY_OBJECTS, -10, DCMEM_E_NO_MEMORY)                                                               \
    X(VK_ERROR_UNKNOWN, -13, DCMEM_E_DRIVER)                                                                           \
    X(VK_ERROR_INVALID_EXTERNAL_HANDLE, -1000072003, DCMEM_E_INVALID_ARGUMENT)                                         \
    X(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS, -1000257000, DCMEM_E_DRIVER)

enum vk_code {
    VK_SUCCESS = 0,
#define DCMEM_X(name, number, result) name = (number),
    DCMI_VK_CODES(DCMEM_X)
#undef DCMEM_X
};

#define VK_FALSE 0u
#define VK_TRUE  1u

#define VK_MAKE_VERSION(major, minor) ((uint32_t)(major) << 22 | (uint32_t)(minor) << 12)
#define VK_VERSION_MAJOR(version)     ((version) >> 22 & 0x7fu)
#define VK_VERSION_MINOR(version)     ((version) >> 12 & 0x3ffu)
#define VK_VERSION_PATCH(version)     ((version)&0xfffu)

#define VK_WHOLE_SIZE           (~0ull)
#define VK_QUEUE_FAMILY_IGNORED (~0u)

enum vk_structure_type {
    VK_STRUCTURE_TYPE_APPLICATION_INFO = 0,
    VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO = 1,
    VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO = 2,
    VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO = 3,
    VK_STRUCTURE_TYPE_SUBMIT_INFO = 4,
    VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO = 5,
    VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE = 6,
    VK_STRUCTURE_TYPE_BIND_SPARSE_INFO = 7,
    VK_STRUCTURE_TYPE_FENCE_CREATE_INFO = 8,
    VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO = 9,
    VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO = 12,
    VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO = 39,
    VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO = 40,
    VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO = 42,
    VK_STRUCTURE_TYPE_MEMORY_BARRIER = 46,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 = 1000059000,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 = 1000059001,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2 = 1000059006,
    VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO = 1000060000,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO = 1000071002,
    VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES = 1000071003,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES = 1000071004,
    VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO = 1000072000,
    VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO = 1000072002,
    VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR = 1000074000,
    VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR = 1000074002,
    VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS = 1000127000,
    VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO = 1000127001,
    VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2 = 1000146000,
    VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2 = 1000146003,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES = 1000168000,
    VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT = 1000178000,
    VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT = 1000178001,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT = 1000178002,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES = 1000207000,
    VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO = 1000207002,
    VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO = 1000207003,
    VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO = 1000207004,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT = 1000212000,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT = 1000237000,
    VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO = 1000244001,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES = 1000257000,
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES = 1000413001,
};

enum {
    VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU = 1,
    VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU = 2,
    VK_PHYSICAL_DEVICE_TYPE_CPU = 4
};

#define VK_QUEUE_GRAPHICS_BIT       1u
#define VK_QUEUE_COMPUTE_BIT        2u
#define VK_QUEUE_TRANSFER_BIT       4u
#define VK_QUEUE_SPARSE_BINDING_BIT 8u

#define VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT  1u
#define VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT  2u
#define VK_MEMORY_PROPERTY_HOST_COHERENT_BIT 4u
#define VK_MEMORY_PROPERTY_HOST_CACHED_BIT   8u

#define VK_BUFFER_CREATE_SPARSE_BINDING_BIT   1u
#define VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT 2u
#define VK_BUFFER_CREATE_SPARSE_ALIASED_BIT   4u

#define VK_BUFFER_USAGE_TRANSFER_SRC_BIT          0x1u
#define VK_BUFFER_USAGE_TRANSFER_DST_BIT          0x2u
#define VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT        0x10u
#define VK_BUFFER_USAGE_STORAGE_BUFFER_BIT        0x20u
#define VK_BUFFER_USAGE_INDEX_BUFFER_BIT          0x40u
#define VK_BUFFER_USAGE_VERTEX_BUFFER_BIT         0x80u
#define VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT       0x100u
#define VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT 0x20000u
#define VK_SHARING_MODE_EXCLUSIVE                 0u

#define VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT 2u

#define VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT           0x1u
#define VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT 0x80u
#define VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT          1u
#define VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT              2u
#define VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT              4u

#define VK_ACCESS_TRANSFER_READ_BIT  0x800u
#define VK_ACCESS_TRANSFER_WRITE_BIT 0x1000u
#define VK_ACCESS_HOST_READ_BIT      0x2000u
#define VK_ACCESS_MEMORY_READ_BIT    0x8000u
#define VK_ACCESS_MEMORY_WRITE_BIT   0x10000u

#define VK_PIPELINE_STAGE_TRANSFER_BIT     0x1000u
#define VK_PIPELINE_STAGE_HOST_BIT         0x4000u
#define VK_PIPELINE_STAGE_ALL_COMMANDS_BIT 0x10000u

#define VK_SEMAPHORE_TYPE_TIMELINE 1u

#define VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT 2u
#define VK_COMMAND_BUFFER_LEVEL_PRIMARY                 0u
#define VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT     1u

enum { VK_MAX_MEMORY_TYPES = 32, VK_MAX_MEMORY_HEAPS = 16, VK_UUID_SIZE = 16 };

/* Every struct that Vulkan is given or fills begins so; chains of them go by `pNext`. */
typedef struct VkBaseInStructure {
    uint32_t sType;
    const void *pNext;
} VkBaseInStructure;

typedef struct VkApplicationInfo {
    uint32_t sType;
    const void *pNext;
    const char *pApplicationName;
    uint32_t applicationVersion;
    const char *pEngineName;
    uint32_t engineVersion;
    uint32_t apiVersion;
} VkApplicationInfo;

typedef struct VkInstanceCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    const VkApplicationInfo *pApplicationInfo;
    uint32_t enabledLayerCount;
    const char *const *ppEnabledLayerNames;
    uint32_t enabledExtensionCount;
    const char *const *ppEnabledExtensionNames;
} VkInstanceCreateInfo;

typedef struct VkDeviceQueueCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    uint32_t queueFamilyIndex;
    uint32_t queueCount;
    const float *pQueuePriorities;
} VkDeviceQueueCreateInfo;

typedef struct VkDeviceCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    uint32_t queueCreateInfoCount;
    const VkDeviceQueueCreateInfo *pQueueCreateInfos;
    uint32_t enabledLayerCount;
    const char *const *ppEnabledLayerNames;
    uint32_t enabledExtensionCount;
    const char *const *ppEnabledExtensionNames;
    const void *pEnabledFeatures;
} VkDeviceCreateInfo;

typedef struct VkExtensionProperties {
    char extensionName[256];
    uint32_t specVersion;
} VkExtensionProperties;

typedef struct VkQueueFamilyProperties {
    VkFlags queueFlags;
    uint32_t queueCount;
    uint32_t unused[4];
} VkQueueFamilyProperties;

typedef struct VkPhysicalDeviceLimits {
    uint64_t unused[7];
    VkDeviceSize sparseAddressSpaceSize;
    uint64_t unused_too[54];
    VkDeviceSize nonCoherentAtomSize;
} VkPhysicalDeviceLimits;

typedef struct VkPhysicalDeviceProperties {
    uint32_t apiVersion;
    uint32_t driverVersion;
    uint32_t vendorID;
    uint32_t deviceID;
    uint32_t deviceType;
    char deviceName[256];
    uint8_t pipelineCacheUUID[VK_UUID_SIZE];
    VkPhysicalDeviceLimits limits;
    VkBool32 unused_sparse[5];
} VkPhysicalDeviceProperties;

_Static_assert(offsetof(VkPhysicalDeviceProperties, limits) == 296, "as in Vulkan");
_Static_assert(offsetof(VkPhysicalDeviceLimits, sparseAddressSpaceSize) == 56, "as in Vulkan");
_Static_assert(offsetof(VkPhysicalDeviceLimits, nonCoherentAtomSize) == 496, "as in Vulkan");
_Static_assert(sizeof(VkPhysicalDeviceProperties) == 824, "as in Vulkan");

typedef struct VkPhysicalDeviceProperties2 {
    uint32_t sType;
    void *pNext;
    VkPhysicalDeviceProperties properties;
} VkPhysicalDeviceProperties2;

typedef struct VkPhysicalDeviceFeatures {
    VkBool32 unused[44];
    VkBool32 sparseBinding;
    VkBool32 sparseResidencyBuffer;
    VkBool32 unused_images[6];
    VkBool32 sparseResidencyAliased;
    VkBool32 unused_too[2];
} VkPhysicalDeviceFeatures;

_Static_assert(sizeof(VkPhysicalDeviceFeatures) == 55 * sizeof(VkBool32), "as in Vulkan");

typedef struct VkPhysicalDeviceFeatures2 {
    uint32_t sType;
    void *pNext;
    VkPhysicalDeviceFeatures features;
} VkPhysicalDeviceFeatures2;

typedef struct VkMemoryType {
    VkFlags propertyFlags;
    uint32_t heapIndex;
} VkMemoryType;

typedef struct VkMemoryHeap {
    VkDeviceSize size;
    VkFlags flags;
} VkMemoryHeap;

typedef struct VkPhysicalDeviceMemoryProperties {
    uint32_t memoryTypeCount;
    VkMemoryType memoryTypes[VK_MAX_MEMORY_TYPES];
    uint32_t memoryHeapCount;
    VkMemoryHeap memoryHeaps[VK_MAX_MEMORY_HEAPS];
} VkPhysicalDeviceMemoryProperties;

_Static_assert(sizeof(VkPhysicalDeviceMemoryProperties) == 520, "as in Vulkan");

typedef struct VkPhysicalDeviceMemoryProperties2 {
    uint32_t sType;
    void *pNext;
    VkPhysicalDeviceMemoryProperties memoryProperties;
} VkPhysicalDeviceMemoryProperties2;

typedef struct VkPhysicalDeviceIDProperties {
    uint32_t sType;
    void *pNext;
    uint8_t deviceUUID[VK_UUID_SIZE];
    uint8_t driverUUID[VK_UUID_SIZE];
    uint8_t deviceLUID[8];
    uint32_t deviceNodeMask;
    VkBool32 deviceLUIDValid;
} VkPhysicalDeviceIDProperties;

typedef struct VkPhysicalDeviceMaintenance3Properties {
    uint32_t sType;
    void *pNext;
    uint32_t maxPerSetDescriptors;
    VkDeviceSize maxMemoryAllocationSize;
} VkPhysicalDeviceMaintenance3Properties;

typedef struct VkPhysicalDeviceMaintenance4Properties {
    uint32_t sType;
    void *pNext;
    VkDeviceSize maxBufferSize;
} VkPhysicalDeviceMaintenance4Properties;

typedef struct VkPhysicalDeviceExternalMemoryHostPropertiesEXT {
    uint32_t sType;
    void *pNext;
    VkDeviceSize minImportedHostPointerAlignment;
} VkPhysicalDeviceExternalMemoryHostPropertiesEXT;

typedef struct VkPhysicalDevicePCIBusInfoPropertiesEXT {
    uint32_t sType;
    void *pNext;
    uint32_t pciDomain;
    uint32_t pciBus;
    uint32_t pciDevice;
    uint32_t pciFunction;
} VkPhysicalDevicePCIBusInfoPropertiesEXT;

typedef struct VkPhysicalDeviceMemoryBudgetPropertiesEXT {
    uint32_t sType;
    void *pNext;
    VkDeviceSize heapBudget[VK_MAX_MEMORY_HEAPS];
    VkDeviceSize heapUsage[VK_MAX_MEMORY_HEAPS];
} VkPhysicalDeviceMemoryBudgetPropertiesEXT;

typedef struct VkPhysicalDeviceBufferDeviceAddressFeatures {
    uint32_t sType;
    void *pNext;
    VkBool32 bufferDeviceAddress;
    VkBool32 bufferDeviceAddressCaptureReplay;
    VkBool32 bufferDeviceAddressMultiDevice;
} VkPhysicalDeviceBufferDeviceAddressFeatures;

typedef struct VkPhysicalDeviceTimelineSemaphoreFeatures {
    uint32_t sType;
    void *pNext;
    VkBool32 timelineSemaphore;
} VkPhysicalDeviceTimelineSemaphoreFeatures;

typedef struct VkPhysicalDeviceExternalBufferInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    VkFlags usage;
    VkFlags handleType;
} VkPhysicalDeviceExternalBufferInfo;

typedef struct VkExternalBufferProperties {
    uint32_t sType;
    void *pNext;
    VkFlags externalMemoryFeatures;
    VkFlags exportFromImportedHandleTypes;
    VkFlags compatibleHandleTypes;
} VkExternalBufferProperties;

typedef struct VkSubmitInfo {
    uint32_t sType;
    const void *pNext;
    uint32_t waitSemaphoreCount;
    const VkSemaphore *pWaitSemaphores;
    const VkFlags *pWaitDstStageMask;
    uint32_t commandBufferCount;
    const VkCommandBuffer *pCommandBuffers;
    uint32_t signalSemaphoreCount;
    const VkSemaphore *pSignalSemaphores;
} VkSubmitInfo;

/* A value for each semaphore of the submission. */
typedef struct VkTimelineSemaphoreSubmitInfo {
    uint32_t sType;
    const void *pNext;
    uint32_t waitSemaphoreValueCount;
    const uint64_t *pWaitSemaphoreValues;
    uint32_t signalSemaphoreValueCount;
    const uint64_t *pSignalSemaphoreValues;
} VkTimelineSemaphoreSubmitInfo;

typedef struct VkSemaphoreCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
} VkSemaphoreCreateInfo;

typedef struct VkSemaphoreTypeCreateInfo {
    uint32_t sType;
    const void *pNext;
    uint32_t semaphoreType;
    uint64_t initialValue;
} VkSemaphoreTypeCreateInfo;

typedef struct VkSemaphoreWaitInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    uint32_t semaphoreCount;
    const VkSemaphore *pSemaphores;
    const uint64_t *pValues;
} VkSemaphoreWaitInfo;

/* `memory` NULL: nothing is bound there any more. */
typedef struct VkSparseMemoryBind {
    VkDeviceSize resourceOffset;
    VkDeviceSize size;
    VkDeviceMemory memory;
    VkDeviceSize memoryOffset;
    VkFlags flags;
} VkSparseMemoryBind;

typedef struct VkSparseBufferMemoryBindInfo {
    VkBuffer buffer;
    uint32_t bindCount;
    const VkSparseMemoryBind *pBinds;
} VkSparseBufferMemoryBindInfo;

typedef struct VkBindSparseInfo {
    uint32_t sType;
    const void *pNext;
    uint32_t waitSemaphoreCount;
    const VkSemaphore *pWaitSemaphores;
    uint32_t bufferBindCount;
    const VkSparseBufferMemoryBindInfo *pBufferBinds;
    uint32_t imageOpaqueBindCount;
    const void *pImageOpaqueBinds;
    uint32_t imageBindCount;
    const void *pImageBinds;
    uint32_t signalSemaphoreCount;
    const VkSemaphore *pSignalSemaphores;
} VkBindSparseInfo;

typedef struct VkMemoryAllocateInfo {
    uint32_t sType;
    const void *pNext;
    VkDeviceSize allocationSize;
    uint32_t memoryTypeIndex;
} VkMemoryAllocateInfo;

typedef struct VkMemoryAllocateFlagsInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    uint32_t deviceMask;
} VkMemoryAllocateFlagsInfo;

typedef struct VkMemoryDedicatedAllocateInfo {
    uint32_t sType;
    const void *pNext;
    void *image;
    VkBuffer buffer;
} VkMemoryDedicatedAllocateInfo;

typedef struct VkExportMemoryAllocateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags handleTypes;
} VkExportMemoryAllocateInfo;

typedef struct VkImportMemoryFdInfoKHR {
    uint32_t sType;
    const void *pNext;
    VkFlags handleType;
    int fd;
} VkImportMemoryFdInfoKHR;

typedef struct VkMemoryGetFdInfoKHR {
    uint32_t sType;
    const void *pNext;
    VkDeviceMemory memory;
    VkFlags handleType;
} VkMemoryGetFdInfoKHR;

typedef struct VkImportMemoryHostPointerInfoEXT {
    uint32_t sType;
    const void *pNext;
    VkFlags handleType;
    void *pHostPointer;
} VkImportMemoryHostPointerInfoEXT;

typedef struct VkMemoryHostPointerPropertiesEXT {
    uint32_t sType;
    void *pNext;
    uint32_t memoryTypeBits;
} VkMemoryHostPointerPropertiesEXT;

typedef struct VkMappedMemoryRange {
    uint32_t sType;
    const void *pNext;
    VkDeviceMemory memory;
    VkDeviceSize offset;
    VkDeviceSize size;
} VkMappedMemoryRange;

typedef struct VkBufferCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    VkDeviceSize size;
    VkFlags usage;
    uint32_t sharingMode;
    uint32_t queueFamilyIndexCount;
    const uint32_t *pQueueFamilyIndices;
} VkBufferCreateInfo;

typedef struct VkExternalMemoryBufferCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags handleTypes;
} VkExternalMemoryBufferCreateInfo;

typedef struct VkBufferMemoryRequirementsInfo2 {
    uint32_t sType;
    const void *pNext;
    VkBuffer buffer;
} VkBufferMemoryRequirementsInfo2;

typedef struct VkMemoryRequirements {
    VkDeviceSize size;
    VkDeviceSize alignment;
    uint32_t memoryTypeBits;
} VkMemoryRequirements;

typedef struct VkMemoryRequirements2 {
    uint32_t sType;
    void *pNext;
    VkMemoryRequirements memoryRequirements;
} VkMemoryRequirements2;

typedef struct VkMemoryDedicatedRequirements {
    uint32_t sType;
    void *pNext;
    VkBool32 prefersDedicatedAllocation;
    VkBool32 requiresDedicatedAllocation;
} VkMemoryDedicatedRequirements;

typedef struct VkBufferDeviceAddressInfo {
    uint32_t sType;
    const void *pNext;
    VkBuffer buffer;
} VkBufferDeviceAddressInfo;

typedef struct VkFenceCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
} VkFenceCreateInfo;

typedef struct VkCommandPoolCreateInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    uint32_t queueFamilyIndex;
} VkCommandPoolCreateInfo;

typedef struct VkCommandBufferAllocateInfo {
    uint32_t sType;
    const void *pNext;
    VkCommandPool commandPool;
    uint32_t level;
    uint32_t commandBufferCount;
} VkCommandBufferAllocateInfo;

typedef struct VkCommandBufferBeginInfo {
    uint32_t sType;
    const void *pNext;
    VkFlags flags;
    const void *pInheritanceInfo;
} VkCommandBufferBeginInfo;

typedef struct VkMemoryBarrier {
    uint32_t sType;
    const void *pNext;
    VkFlags srcAccessMask;
    VkFlags dstAccessMask;
} VkMemoryBarrier;

typedef struct VkBufferCopy {
    VkDeviceSize srcOffset;
    VkDeviceSize dstOffset;
    VkDeviceSize size;
} VkBufferCopy;

/* What every loader has from version 1.1 on. Return type, name, parameters. `books` is for the host memory of the
 * driver's own, and always NULL here. */
#define DCMI_VK_FUNCTIONS(X)                                                                                           \
    X(VkResult, vkEnumerateInstanceVersion, (uint32_t * out_version))                                                  \
    X(VkResult, vkCreateInstance, (const VkInstanceCreateInfo *info, const void *books, VkInstance *out))              \
    X(void, vkDestroyInstance, (VkInstance instance, const void *books))                                               \
    X(VkResult, vkEnumeratePhysicalDevices, (VkInstance instance, uint32_t * count, VkPhysicalDevice * devices))       \
    X(void, vkGetPhysicalDeviceProperties2, (VkPhysicalDevice physical, VkPhysicalDeviceProperties2 * out))            \
    X(void, vkGetPhysicalDeviceFeatures2, (VkPhysicalDevice physical, VkPhysicalDeviceFeatures2 * out))                \
    X(void, vkGetPhysicalDeviceMemoryProperties2,                                                                      \
      (VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2 * out))                                            \
    X(void, vkGetPhysicalDeviceQueueFamilyProperties,                                                                  \
      (VkPhysicalDevice physical, uint32_t * count, VkQueueFamilyProperties * families))                               \
    X(void, vkGetPhysicalDeviceExternalBufferProperties,                                                               \
      (VkPhysicalDevice physical, const VkPhysicalDeviceExternalBufferInfo *info, VkExternalBufferProperties *out))    \
    X(VkResult, vkEnumerateDeviceExtensionProperties,                                                                  \
      (VkPhysicalDevice physical, const char *layer, uint32_t *count, VkExtensionProperties *extensions))              \
    X(VkResult, vkCreateDevice,                                                                                        \
      (VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const void *books, VkDevice *out))                   \
    X(void, vkDestroyDevice, (VkDevice device, const void *books))                                                     \
    X(void *, vkGetDeviceProcAddr, (VkDevice device, const char *name))                                                \
    X(void, vkGetDeviceQueue, (VkDevice device, uint32_t family, uint32_t index, VkQueue * out))                       \
    X(VkResult, vkQueueSubmit, (VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence))              \
    X(VkResult, vkQueueWaitIdle, (VkQueue queue))                                                                      \
    X(VkResult, vkQueueBindSparse, (VkQueue queue, uint32_t count, const VkBindSparseInfo *infos, VkFence fence))      \
    X(VkResult, vkAllocateMemory,                                                                                      \
      (VkDevice device, const VkMemoryAllocateInfo *info, const void *books, VkDeviceMemory *out))                     \
    X(void, vkFreeMemory, (VkDevice device, VkDeviceMemory memory, const void *books))                                 \
    X(VkResult, vkMapMemory,                                                                                           \
      (VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize bytes, VkFlags flags, void **out))    \
    X(VkResult, vkFlushMappedMemoryRanges, (VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges))       \
    X(VkResult, vkInvalidateMappedMemoryRanges, (VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges))  \
    X(VkResult, vkCreateBuffer, (VkDevice device, const VkBufferCreateInfo *info, const void *books, VkBuffer *out))   \
    X(void, vkDestroyBuffer, (VkDevice device, VkBuffer buffer, const void *books))                                    \
    X(void, vkGetBufferMemoryRequirements2,                                                                            \
      (VkDevice device, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *out))                      \
    X(VkResult, vkBindBufferMemory, (VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset))    \
    X(VkResult, vkCreateFence, (VkDevice device, const VkFenceCreateInfo *info, const void *books, VkFence *out))      \
    X(void, vkDestroyFence, (VkDevice device, VkFence fence, const void *books))                                       \
    X(VkResult, vkResetFences, (VkDevice device, uint32_t count, const VkFence *fences))                               \
    X(VkResult, vkWaitForFences,                                                                                       \
      (VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all, uint64_t timeout_ns))                     \
    X(VkResult, vkCreateSemaphore,                                                                                     \
      (VkDevice device, const VkSemaphoreCreateInfo *info, const void *books, VkSemaphore *out))                       \
    X(void, vkDestroySemaphore, (VkDevice device, VkSemaphore semaphore, const void *books))                           \
    X(VkResult, vkCreateCommandPool,                                                                                   \
      (VkDevice device, const VkCommandPoolCreateInfo *info, const void *books, VkCommandPool *out))                   \
    X(void, vkDestroyCommandPool, (VkDevice device, VkCommandPool pool, const void *books))                            \
    X(VkResult, vkAllocateCommandBuffers,                                                                              \
      (VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *out))                                \
    X(VkResult, vkBeginCommandBuffer, (VkCommandBuffer commands, const VkCommandBufferBeginInfo *info))                \
    X(VkResult, vkEndCommandBuffer, (VkCommandBuffer commands))                                                        \
    X(void, vkCmdPipelineBarrier,                                                                                      \
      (VkCommandBuffer commands, VkFlags from_stages, VkFlags to_stages, VkFlags flags, uint32_t barrier_count,        \
       const VkMemoryBarrier *barriers, uint32_t buffer_count, const void *buffers, uint32_t image_count,              \
       const void *images))                                                                                            \
    X(void, vkCmdCopyBuffer,                                                                                           \
      (VkCommandBuffer commands, VkBuffer from, VkBuffer to, uint32_t count, const VkBufferCopy *regions))             \
    X(void, vkCmdFillBuffer,                                                                                           \
      (VkCommandBuffer commands, VkBuffer to, VkDeviceSize offset, VkDeviceSize bytes, uint32_t word))

/* Of newer versions and of extensions; each device has its own. */
#define DCMI_VK_DEVICE_FUNCTIONS(X)                                                                                    \
    X(uint64_t, vkGetBufferDeviceAddress, (VkDevice device, const VkBufferDeviceAddressInfo *info))                    \
    X(VkResult, vkWaitSemaphores, (VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout_ns))             \
    X(VkResult, vkGetMemoryFdKHR, (VkDevice device, const VkMemoryGetFdInfoKHR *info, int *out))                       \
    X(VkResult, vkGetMemoryHostPointerPropertiesEXT,                                                                   \
      (VkDevice device, VkFlags type, const void *host, VkMemoryHostPointerPropertiesEXT *out))

#endif
