/* vulkan.h: what the tests of the Vulkan driver share: the stand-in in a shape of their choice, and short ways to call
 * the backend. */
#ifndef DCMI_TEST_VULKAN_H
#define DCMI_TEST_VULKAN_H

#include "drivers/vulkan/card.h"
#include "test.h"
#include "vulkan_stand_in.h"

#include <dlfcn.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    VISIBLE = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
    COHERENT = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT
};

/* A processor: what lavapipe is. */
static const stand_in_shape processor = {
    .loader_version = VK_MAKE_VERSION(1, 3),
    .device_count = 2,
    .device_version = VK_MAKE_VERSION(1, 3),
    .device_type = VK_PHYSICAL_DEVICE_TYPE_CPU,
    .name = "stand-in",
    .extensions = {"VK_EXT_external_memory_host", "VK_KHR_external_memory_fd"},
    .types = {{LOCAL | VISIBLE | COHERENT | CACHED, 0}},
    .type_count = 1,
    .heaps = {256 * MIB},
    .heap_count = 1,
    .families = {{VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT, 1, {0}}},
    .family_count = 1,
    .largest_bytes = 64 * MIB,
    .atom_bytes = 64,
    .import_bytes = 4096,
    .import_types = 1,
    .sharing = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT,
    .alignment = 64,
    .skew_bytes = 64,
    .has_addresses = true,
    .has_timelines = true,
};

/* A graphics processor that shares the host's memory: what is cached is not coherent. Of version 1.1, with what was an
 * extension then. */
static inline stand_in_shape
integrated(void)
{
    stand_in_shape shape = processor;
    shape.device_type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    shape.types[0].propertyFlags = LOCAL | VISIBLE | COHERENT;
    shape.types[1] = (VkMemoryType){LOCAL | VISIBLE | CACHED, 0};
    shape.types[2] = (VkMemoryType){LOCAL | 0x20, 0}; /* protected */
    shape.type_count = 3;
    shape.device_version = VK_MAKE_VERSION(1, 1);
    shape.extensions[1] = "VK_EXT_memory_budget";
    shape.extensions[2] = "VK_KHR_timeline_semaphore";
    shape.has_addresses = false;
    shape.skew_bytes = 0;
    shape.used_bytes = 16 * MIB;
    shape.families[0].queueFlags |= VK_QUEUE_SPARSE_BINDING_BIT;
    shape.sparse_bytes = 64 * MIB;
    shape.sparse_unit = 64 * KIB;
    shape.extra_bytes = 32; /* so that a memory's end is no multiple of the unit */
    return shape;
}

/* A card with memory of its own, a window to it, and queues of several families, told of by fences. */
static inline stand_in_shape
discrete(void)
{
    stand_in_shape shape = processor;
    shape.device_type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    shape.types[0] = (VkMemoryType){VISIBLE | COHERENT, 1};
    shape.types[1] = (VkMemoryType){LOCAL | VISIBLE | COHERENT, 2};
    shape.types[2] = (VkMemoryType){LOCAL, 0};
    shape.types[3] = (VkMemoryType){VISIBLE | COHERENT | CACHED, 1};
    shape.type_count = 4;
    shape.heaps[1] = 128 * MIB;
    shape.heaps[2] = 32 * MIB;
    shape.heap_count = 3;
    shape.families[0] = (VkQueueFamilyProperties){0x20, 1, {0}}; /* decodes video */
    shape.families[1] = (VkQueueFamilyProperties){VK_QUEUE_GRAPHICS_BIT, 3, {0}};
    shape.family_count = 2;
    shape.extensions[0] = "VK_KHR_external_memory_fd";
    shape.extensions[1] = "VK_EXT_pci_bus_info";
    shape.sharing |= VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT;
    shape.has_timelines = false;
    shape.skew_bytes = 0;
    return shape;
}

/* The same with sparse buffers at addresses of its own, which a family of queues binds that does nothing else. */
static inline stand_in_shape
sparse(void)
{
    stand_in_shape shape = discrete();
    shape.families[2] = (VkQueueFamilyProperties){VK_QUEUE_SPARSE_BINDING_BIT, 1, {0}};
    shape.family_count = 3;
    shape.extensions[2] = "VK_KHR_maintenance4";
    shape.buffer_bytes = 8 * GIB;
    shape.sparse_bytes = 16 * GIB;
    shape.sparse_unit = 64 * KIB;
    shape.has_addresses = true;
    shape.has_timelines = true;
    return shape;
}

static inline const dcmem_backend *
vulkan(void)
{
    return dcmem_backend_find("vulkan");
}

static const char stand_in_path[] = TEST_BUILD_DIR "/tests/drivers/vulkan_stand_in.so";

static inline void
stand_in_find(void *out, const char *name)
{
    void *library = dlopen(stand_in_path, RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
    void *found = dlsym(library, name);
    EXPECT(found != NULL);
    memcpy(out, &found, sizeof found);
}

/* Has the driver open the stand-in, and find its devices anew. */
static inline stand_in *
stand_in_use(stand_in_shape shape)
{
    stand_in *(*get)(void);
    stand_in_find(&get, "stand_in_get");
    dcmi_vk_cards_forget();
    dcmi_vk_library_name = stand_in_path;
    *get() = (stand_in){.shape = shape};
    return get();
}

/* What was held is reached. */
static inline void
stand_in_release(void)
{
    void (*end)(void);
    stand_in_find(&end, "stand_in_end_held");
    end();
}

static inline uint32_t
vulkan_count(void)
{
    uint32_t count = 0;
    EXPECT_OK(vulkan()->count(&count, vulkan()));
    return count;
}

static inline void *
vulkan_opened(uint32_t index)
{
    void *device = NULL;
    dcmem_open options = plain;
    options.index = index;
    EXPECT_OK(vulkan()->open(&device, vulkan(), &options));
    return device;
}

static inline dcmem_device_info
vulkan_info(void *device)
{
    dcmem_device_info info = {0};
    EXPECT_OK(vulkan()->info(&info, device));
    return info;
}

static inline dcmem_result
vulkan_acquire(dcmem_extent *out, void *device, uint64_t bytes, dcmem_kind kind)
{
    const dcmem_acquire request = {.bytes = bytes, .kind = kind};
    return vulkan()->acquire(out, device, &nobody, &request);
}

static inline dcmem_extent
vulkan_acquired(void *device, uint64_t bytes, dcmem_kind kind)
{
    dcmem_extent extent = {0};
    EXPECT_OK(vulkan_acquire(&extent, device, bytes, kind));
    EXPECT_EQ(extent.bytes, bytes);
    return extent;
}

static inline void
vulkan_released(void *device, const dcmem_extent *extent)
{
    EXPECT_OK(vulkan()->release(device, &nobody, extent));
}

static inline dcmem_place
in_extent(const dcmem_extent *extent, uint64_t offset)
{
    return (dcmem_place){.extent = extent, .offset = offset};
}

static inline dcmem_place
in_host(void *host)
{
    return (dcmem_place){.host = host};
}

static inline dcmem_result
vulkan_copy(void *device, dcmem_place to, dcmem_place from, uint64_t bytes)
{
    return vulkan()->copy(device, &nobody, &to, &from, bytes);
}

static inline dcmem_result
vulkan_fill(void *device, dcmem_place to, uint64_t bytes, unsigned char byte)
{
    return vulkan()->fill(device, &nobody, &to, bytes, &byte, 1);
}

/* The driver's instance stays, until its devices are found anew. */
#define EXPECT_NOTHING_LIVES(library)                                                                                  \
    do {                                                                                                               \
        dcmi_vk_cards_forget();                                                                                        \
        EXPECT_EQ((library)->live.instances, 0);                                                                       \
        EXPECT_EQ((library)->live.devices, 0);                                                                         \
        EXPECT_EQ((library)->live.buffers, 0);                                                                         \
        EXPECT_EQ((library)->live.memories, 0);                                                                        \
        EXPECT_EQ((library)->live.fences, 0);                                                                          \
        EXPECT_EQ((library)->live.semaphores, 0);                                                                      \
        EXPECT_EQ((library)->live.pools, 0);                                                                           \
        EXPECT_EQ((library)->live.descriptors, 0);                                                                     \
        EXPECT_EQ((library)->live.sparse_bytes, 0);                                                                    \
        EXPECT_EQ((library)->live.bytes, 0);                                                                           \
    } while (0)

#endif
