/* vulkan_stand_in.h: what a test tells the stand-in for a Vulkan loader, and asks it. The stand-in is a library of its
 * own, opened by the driver as the real one is; stand_in_use() opens it too and finds this. */
#ifndef DCMI_TEST_VULKAN_STAND_IN_H
#define DCMI_TEST_VULKAN_STAND_IN_H

#include "drivers/vulkan/vk.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { STAND_IN_DEVICES = 3, STAND_IN_TYPES = 5, STAND_IN_HEAPS = 3, STAND_IN_FAMILIES = 3 };

/* What its devices are like. All are alike but for their UUID. */
typedef struct stand_in_shape {
    uint32_t loader_version;
    uint32_t device_count;
    uint32_t device_version;
    uint32_t device_type;
    const char *name;
    const char *extensions[8]; /* up to the first NULL */
    VkMemoryType types[STAND_IN_TYPES];
    uint32_t type_count;
    uint64_t heaps[STAND_IN_HEAPS];
    uint32_t heap_count;
    VkQueueFamilyProperties families[STAND_IN_FAMILIES];
    uint32_t family_count;
    uint64_t largest_bytes;
    uint64_t atom_bytes;
    uint64_t import_bytes;
    uint32_t import_types; /* memory types of imported pointers */
    uint32_t sharing;      /* VK_EXTERNAL_MEMORY_FEATURE_* of descriptors */
    uint64_t alignment;    /* of buffers in memory */
    uint64_t extra_bytes;  /* that a buffer wants more than it has, but for external ones */
    uint64_t skew_bytes;   /* memory begins so far behind a multiple of 4096 */
    uint64_t bound_skew;   /* buffers behind a memory's beginning lie so much farther than they should */
    uint64_t used_bytes;   /* of each heap, by other processes */
    uint64_t sparse_bytes; /* of sparse buffers; 0: there are none */
    uint64_t sparse_unit;  /* that they are bound in */
    uint64_t sparse_skew;  /* they begin so far behind a multiple of it */
    uint64_t buffer_bytes; /* of one buffer, where an extension tells */
    bool has_addresses;
    bool has_timelines;   /* semaphores that are numbers */
    bool wants_dedicated; /* of each buffer */
    const char *lacks;    /* a function that vkGetDeviceProcAddr() does not find */
} stand_in_shape;

/* What is alive. */
typedef struct stand_in_account {
    int instances, devices, buffers, memories, fences, semaphores, pools, descriptors;
    int64_t bytes;        /* of memory that is the device's own */
    int64_t sparse_bytes; /* of sparse buffers */
} stand_in_account;

typedef struct stand_in {
    stand_in_shape shape;
    stand_in_account live;
    uint64_t calls;                 /* that can fail, so far */
    uint64_t fail_from, fail_count; /* calls of number fail_from and on fail, so many of them; 0: none */
    const char *fail_name;          /* only calls of this function count; NULL: all */
    VkResult fail_code;
    uint64_t failed;
    atomic_bool holds; /* fences and values are not reached before stand_in_end_held(), though the work is done */
    uint64_t submissions;
    uint64_t fills;
    uint64_t regions; /* copied, so far */
    uint64_t dedicated;
    uint64_t binds; /* of sparse buffers, so far */
    uint64_t flushes;
    VkMappedMemoryRange last_range; /* flushed or invalidated */
} stand_in;

stand_in *stand_in_get(void);
void stand_in_end_held(void);

/* Objects as a program of its own would have them. */
void stand_in_lend(VkPhysicalDevice *physical, VkDevice *device, VkQueue *queue, VkQueue *second);
void stand_in_lend_end(VkDevice device);

#endif
