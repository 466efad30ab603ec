/* device.c: opening, closing, and a step. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>

#define GROUP 8u /* the local size of steps.comp */

/* SPIR-V of steps.comp, made by glslangValidator when this is built. */
#include "BLUR.h"
#include "GREY.h"
#include "HALVE.h"
#include "HISTOGRAM.h"
#include "RECOLOUR.h"
#include "SOBEL.h"

#define VK(call)                                                                                                       \
    do {                                                                                                               \
        VkResult given = call;                                                                                         \
        if (given) {                                                                                                   \
            fprintf(stderr, "vulkan_compute: %s gave %d\n", #call, (int)given);                                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- A device ---- */

/* Buffers of bytes are a feature, of 1.2. */
static bool
can_bytes(VkPhysicalDevice physical)
{
    VkPhysicalDeviceProperties properties;
    VkPhysicalDevice8BitStorageFeatures bytes = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &bytes};
    vkGetPhysicalDeviceProperties(physical, &properties);
    if (properties.apiVersion < VK_API_VERSION_1_2)
        return false;
    vkGetPhysicalDeviceFeatures2(physical, &features);
    return bytes.storageBuffer8BitAccess;
}

/* A family of queues for kernels; UINT32_MAX: there is none. */
static uint32_t
family_of(VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
            return i;
    return UINT32_MAX;
}

static bool
find_device(device *it)
{
    VkPhysicalDevice all[16];
    uint32_t count = 16;
    if (vkEnumeratePhysicalDevices(it->instance, &count, all) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        it->physical = all[i];
        it->family = family_of(all[i]);
        if (it->family != UINT32_MAX && can_bytes(all[i]))
            return true;
    }
    return false;
}

static void
open_logical(device *it)
{
    const float priority = 1;
    const VkPhysicalDevice8BitStorageFeatures bytes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
        .storageBuffer8BitAccess = VK_TRUE,
    };
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = it->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &bytes,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    VK(vkCreateDevice(it->physical, &info, NULL, &it->logical));
    vkGetDeviceQueue(it->logical, it->family, 0, &it->queue);
    vkGetPhysicalDeviceProperties(it->physical, &it->properties);
}

/* ---- Pipelines: each takes two buffers and the size of a picture ---- */

static void
make_layouts(device *it)
{
    VkDescriptorSetLayoutBinding bindings[2];
    for (uint32_t i = 0; i < 2; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 2,
        .pBindings = bindings,
    };
    const VkPushConstantRange size = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = 2 * sizeof(int32_t)};
    VK(vkCreateDescriptorSetLayout(it->logical, &set, NULL, &it->set_layout));
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &it->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &size,
    };
    VK(vkCreatePipelineLayout(it->logical, &layout, NULL, &it->layout));
}

static void
make_step(device *it, kernel_step step, const uint32_t *code, size_t bytes)
{
    VkShaderModule module;
    const VkShaderModuleCreateInfo shader = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = bytes,
        .pCode = code,
    };
    VK(vkCreateShaderModule(it->logical, &shader, NULL, &module));
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
            },
        .layout = it->layout,
    };
    VK(vkCreateComputePipelines(it->logical, VK_NULL_HANDLE, 1, &info, NULL, &it->steps[step]));
    vkDestroyShaderModule(it->logical, module, NULL);
}

static void
make_steps(device *it)
{
#define X(name, text) make_step(it, KERNEL_##name, code_of_##name, sizeof code_of_##name);
    KERNEL_STEPS(X)
#undef X
}

/* ---- What is used again for each step ---- */

static void
make_set(device *it)
{
    const VkDescriptorPoolSize two = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2};
    const VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = 1,
        .poolSizeCount = 1,
        .pPoolSizes = &two,
    };
    VK(vkCreateDescriptorPool(it->logical, &pool, NULL, &it->descriptors));
    const VkDescriptorSetAllocateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = it->descriptors,
        .descriptorSetCount = 1,
        .pSetLayouts = &it->set_layout,
    };
    VK(vkAllocateDescriptorSets(it->logical, &set, &it->set));
}

static void
make_commands(device *it)
{
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = it->family,
    };
    VK(vkCreateFence(it->logical, &fence, NULL, &it->fence));
    VK(vkCreateCommandPool(it->logical, &pool, NULL, &it->pool));
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = it->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VK(vkAllocateCommandBuffers(it->logical, &commands, &it->commands));
}

bool
device_open(device *out)
{
    const VkApplicationInfo program = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "vulkan_compute",
        .apiVersion = VK_API_VERSION_1_2,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &program,
    };
    device it = {0};
    if (vkCreateInstance(&info, NULL, &it.instance)) {
        fprintf(stderr, "vulkan_compute: no Vulkan here\n");
        return false;
    }
    if (!find_device(&it)) {
        fprintf(stderr, "vulkan_compute: no device of Vulkan 1.2 whose kernels can have buffers of bytes\n");
        vkDestroyInstance(it.instance, NULL);
        return false;
    }
    open_logical(&it);
    make_layouts(&it);
    make_steps(&it);
    make_set(&it);
    make_commands(&it);
    *out = it;
    return true;
}

void
device_close(device *it)
{
    vkDestroyFence(it->logical, it->fence, NULL);
    vkDestroyCommandPool(it->logical, it->pool, NULL);
    vkDestroyDescriptorPool(it->logical, it->descriptors, NULL);
    for (unsigned i = 0; i < KERNEL_STEP_COUNT; i++)
        vkDestroyPipeline(it->logical, it->steps[i], NULL);
    vkDestroyPipelineLayout(it->logical, it->layout, NULL);
    vkDestroyDescriptorSetLayout(it->logical, it->set_layout, NULL);
    vkDestroyDevice(it->logical, NULL);
    vkDestroyInstance(it->instance, NULL);
}

/* ---- A step ---- */

/* dcmem's part of an object, which other buffers share. */
static VkDescriptorBufferInfo
part_of(const dcmem_native *native, uint64_t bytes)
{
    return (VkDescriptorBufferInfo){
        .buffer = (VkBuffer)(uintptr_t)native->object,
        .offset = native->offset, /* a multiple of minStorageBufferOffsetAlignment: the buffers were asked to be so */
        .range = bytes,
    };
}

static void
point_at(device *it, const kernel_launch *launch)
{
    const VkDescriptorBufferInfo parts[2] = {
        part_of(&launch->to, kernel_to_bytes(launch)),
        part_of(&launch->from, kernel_from_bytes(launch)),
    };
    VkWriteDescriptorSet writes[2];
    for (uint32_t i = 0; i < 2; i++)
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = it->set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &parts[i],
        };
    vkUpdateDescriptorSets(it->logical, 2, writes, 0, NULL);
}

/* What was written before is seen by what comes behind, and by the host. */
static void
barrier(device *it)
{
    const VkMemoryBarrier all = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT | VK_ACCESS_HOST_READ_BIT,
    };
    vkCmdPipelineBarrier(it->commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                         VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &all, 0, NULL, 0, NULL);
}

static void
record(device *it, const kernel_launch *launch)
{
    const VkCommandBufferBeginInfo once = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    const int32_t size[] = {(int32_t)launch->width, (int32_t)launch->height};
    VK(vkBeginCommandBuffer(it->commands, &once));
    barrier(it); /* dcmem's copies run in this queue, too */
    if (launch->step == KERNEL_HISTOGRAM) {
        vkCmdFillBuffer(it->commands, (VkBuffer)(uintptr_t)launch->to.object, launch->to.offset,
                        kernel_to_bytes(launch), 0);
        barrier(it);
    }
    vkCmdBindPipeline(it->commands, VK_PIPELINE_BIND_POINT_COMPUTE, it->steps[launch->step]);
    vkCmdBindDescriptorSets(it->commands, VK_PIPELINE_BIND_POINT_COMPUTE, it->layout, 0, 1, &it->set, 0, NULL);
    vkCmdPushConstants(it->commands, it->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof size, size);
    vkCmdDispatch(it->commands, (launch->width + GROUP - 1) / GROUP, (launch->height + GROUP - 1) / GROUP, 1);
    barrier(it);
    VK(vkEndCommandBuffer(it->commands));
}

static dcmem_result
run(void *user, const kernel_launch *launch)
{
    device *it = user;
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &it->commands,
    };
    point_at(it, launch);
    record(it, launch);
    VK(vkQueueSubmit(it->queue, 1, &info, it->fence));
    VK(vkWaitForFences(it->logical, 1, &it->fence, VK_TRUE, UINT64_MAX));
    VK(vkResetFences(it->logical, 1, &it->fence));
    return DCMEM_OK;
}

kernels
device_kernels(device *it, dcmem_kind kind)
{
    return (kernels){
        .user = it,
        .run = run,
        .kind = kind,
        .alignment = it->properties.limits.minStorageBufferOffsetAlignment, /* a power of two, at most 256 */
    };
}
