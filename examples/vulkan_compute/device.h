/* device.h: the program's own Vulkan, with the kernels of examples/pipeline on it.
 *
 * One command buffer, one descriptor set, one fence: a step is submitted and waited for, as the table of kernels has
 * it. What matters here is how the memory comes in: `native.object` is the VkBuffer and `native.offset` where a
 * buffer begins in it, which is what a descriptor wants. */
#ifndef DEVICE_H
#define DEVICE_H

#include "examples/pipeline/kernels.h"

#include <stdbool.h>
#include <vulkan/vulkan.h>

typedef struct device {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice logical;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceProperties properties;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline steps[KERNEL_STEP_COUNT];
    VkDescriptorPool descriptors;
    VkDescriptorSet set;
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence fence;
} device;

/* False, with a line on stderr: there is no device that can do it. */
bool device_open(device *out);
void device_close(device *it);

/* Runs steps on buffers of that kind. */
kernels device_kernels(device *it, dcmem_kind kind);

#endif
