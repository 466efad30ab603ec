/* vulkan_layer.c: a layer of the Vulkan loader (VK_LAYER_PATH, VK_INSTANCE_LAYERS): stands before whatever driver there
 * is, counts what lives in it, and makes its calls fail. It knows nothing of dcmem but the names of Vulkan's types: its
 * word is another's.
 *
 * What waits for the device waits before it fails: a device that is lost does nothing any more. */
#include "vulkan_layer.h"

#include "drivers/vulkan/vk.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the loader and its layers say to each other ---- */

#define INSTANCE_LINK 47u
#define DEVICE_LINK   48u

typedef void (*any_function)(void);
typedef any_function (*find_function)(void *of, const char *name);

/* The next layer, or the driver. */
typedef struct link {
    struct link *next;
    find_function find_of_instance;
    find_function find_of_device; /* of links of devices only */
} link;

typedef struct link_info {
    uint32_t sType;
    const void *pNext;
    uint32_t function; /* 0: it is a link */
    link *first;
} link_info;

__attribute__((visibility("default"))) any_function vkGetInstanceProcAddr(VkInstance instance, const char *name);
__attribute__((visibility("default"))) any_function vkGetDeviceProcAddr(VkDevice device, const char *name);

/* ---- The account ---- */

enum { MOST = 4096, MOST_DEVICES = 16 };

#define POINTER(type, name, parameters) type(*name) parameters;

typedef struct table {
    void *key; /* what all objects of one device begin with; NULL: unused */
    find_function find;
    DCMI_VK_FUNCTIONS(POINTER)
    DCMI_VK_DEVICE_FUNCTIONS(POINTER)
} table;

/* Looked for at once when an instance is made: later the loader knows only where the whole chain begins. */
typedef struct instance_table {
    VkInstance instance;
    find_function find;
    void (*destroy)(VkInstance, const void *);
    VkResult (*enumerate)(VkInstance, uint32_t *, VkPhysicalDevice *);
} instance_table;

/* Memory, or a buffer. */
typedef struct thing {
    const void *handle; /* NULL: unused */
    int64_t bytes;
    bool is_other; /* imported memory, a sparse buffer */
} thing;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static table devices[MOST_DEVICES];
static instance_table below; /* the newest instance: under all of them is the same driver */
static thing memories[MOST], buffers[MOST];
static vulkan_layer_account account;
static uint64_t fail_from, fail_count;
static int fail_code;

__attribute__((visibility("default"))) vulkan_layer_read_call vulkan_layer_read;
__attribute__((visibility("default"))) vulkan_layer_fail_call vulkan_layer_fail;

vulkan_layer_account
vulkan_layer_read(void)
{
    pthread_mutex_lock(&lock);
    vulkan_layer_account now = account;
    pthread_mutex_unlock(&lock);
    return now;
}

void
vulkan_layer_fail(uint64_t from, uint64_t count, int code)
{
    pthread_mutex_lock(&lock);
    account.calls = account.failed = 0;
    fail_from = from;
    fail_count = count;
    fail_code = code;
    pthread_mutex_unlock(&lock);
}

static VkResult
failure(void)
{
    pthread_mutex_lock(&lock);
    uint64_t number = ++account.calls;
    bool fails = fail_from && number >= fail_from && number - fail_from < fail_count;
    account.failed += fails;
    pthread_mutex_unlock(&lock);
    return fails ? fail_code : VK_SUCCESS;
}

/* Counts what was made, if it was. */
static VkResult
counted(VkResult code, int *number)
{
    pthread_mutex_lock(&lock);
    *number += code == VK_SUCCESS;
    pthread_mutex_unlock(&lock);
    return code;
}

static void
uncount(int *number)
{
    pthread_mutex_lock(&lock);
    if (--*number < 0)
        abort();
    pthread_mutex_unlock(&lock);
}

static thing *
find_thing(thing *all, const void *handle)
{
    for (int i = 0; i < MOST; i++)
        if (all[i].handle == handle)
            return &all[i];
    abort(); /* A test with more of them, or a handle that never was or is gone. */
}

static void
add_thing(thing *all, thing made, int64_t *sum)
{
    pthread_mutex_lock(&lock);
    *find_thing(all, NULL) = made;
    *sum += made.bytes;
    if (account.peak_bytes < account.bytes)
        account.peak_bytes = account.bytes;
    pthread_mutex_unlock(&lock);
}

static thing
remove_thing(thing *all, const void *handle)
{
    pthread_mutex_lock(&lock);
    thing *one = find_thing(all, handle), gone = *one;
    *one = (thing){NULL, 0, false};
    pthread_mutex_unlock(&lock);
    return gone;
}

static void
subtract(int64_t *sum, int64_t bytes)
{
    pthread_mutex_lock(&lock);
    *sum -= bytes;
    pthread_mutex_unlock(&lock);
}

/* ---- Devices ---- */

static void *
key_of(const void *object)
{
    void *key;
    memcpy(&key, object, sizeof key);
    return key;
}

/* The driver's functions for a device, or for a queue or commands of it. */
static const table *
driver(const void *object)
{
    const table *found = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST_DEVICES && !found; i++)
        if (devices[i].key == key_of(object))
            found = &devices[i];
    pthread_mutex_unlock(&lock);
    if (!found)
        abort();
    return found;
}

static void
table_add(VkDevice device, find_function find)
{
    int i = 0;
    pthread_mutex_lock(&lock);
    while (devices[i].key)
        if (++i == MOST_DEVICES)
            abort();
    table *added = &devices[i];
    added->key = key_of(device);
    added->find = find;
#define FIND(type, name, parameters)                                                                                   \
    {                                                                                                                  \
        any_function found = find(device, #name);                                                                      \
        memcpy(&added->name, &found, sizeof found);                                                                    \
    }
    DCMI_VK_FUNCTIONS(FIND)
    DCMI_VK_DEVICE_FUNCTIONS(FIND)
#undef FIND
    pthread_mutex_unlock(&lock);
}

static link_info *
link_of(const void *info, uint32_t type)
{
    union {
        const void *in;
        link_info *out; /* the loader's, and meant to be changed */
    } at = {((const VkBaseInStructure *)info)->pNext};
    while (at.out && (at.out->sType != type || at.out->function != 0))
        at.in = at.out->pNext;
    return at.out;
}

static void
find_below(void *out, find_function find, VkInstance instance, const char *name)
{
    any_function found = find(instance, name);
    memcpy(out, &found, sizeof found);
}

static VkResult
create_instance(const VkInstanceCreateInfo *info, const void *books, VkInstance *out)
{
    VkResult (*create)(const VkInstanceCreateInfo *, const void *, VkInstance *);
    link_info *chain = link_of(info, INSTANCE_LINK);
    VkResult code = failure();
    if (code || !chain)
        return code ? code : VK_ERROR_INITIALIZATION_FAILED;
    find_function find = chain->first->find_of_instance;
    find_below(&create, find, NULL, "vkCreateInstance");
    chain->first = chain->first->next;
    code = counted(create(info, books, out), &account.instances);
    if (code)
        return code;
    below.instance = *out;
    below.find = find;
    find_below(&below.destroy, find, *out, "vkDestroyInstance");
    find_below(&below.enumerate, find, *out, "vkEnumeratePhysicalDevices");
    return VK_SUCCESS;
}

static void
destroy_instance(VkInstance instance, const void *books)
{
    below.destroy(instance, books);
    uncount(&account.instances);
}

static VkResult
enumerate_devices(VkInstance instance, uint32_t *in_count, VkPhysicalDevice *out)
{
    VkResult code = failure();
    return code ? code : below.enumerate(instance, in_count, out);
}

static VkResult
create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const void *books, VkDevice *out)
{
    VkResult (*create)(VkPhysicalDevice, const VkDeviceCreateInfo *, const void *, VkDevice *);
    link_info *chain = link_of(info, DEVICE_LINK);
    VkResult code = failure();
    if (code || !chain)
        return code ? code : VK_ERROR_INITIALIZATION_FAILED;
    find_function find = chain->first->find_of_device;
    find_below(&create, chain->first->find_of_instance, below.instance, "vkCreateDevice");
    chain->first = chain->first->next;
    code = counted(create(physical, info, books, out), &account.devices);
    if (!code)
        table_add(*out, find);
    return code;
}

static void
destroy_device(VkDevice device, const void *books)
{
    void (*destroy)(VkDevice, const void *) = driver(device)->vkDestroyDevice;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST_DEVICES; i++)
        if (devices[i].key == key_of(device))
            devices[i].key = NULL;
    pthread_mutex_unlock(&lock);
    destroy(device, books);
    uncount(&account.devices);
}

/* ---- Memory ---- */

static bool
is_chained(const void *info, uint32_t type)
{
    for (const VkBaseInStructure *at = info; at; at = at->pNext)
        if (at->sType == type)
            return true;
    return false;
}

static VkResult
allocate_memory(VkDevice device, const VkMemoryAllocateInfo *info, const void *books, VkDeviceMemory *out)
{
    bool is_import = is_chained(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT) ||
                     is_chained(info, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
    VkResult code = failure();
    if (!code)
        code = driver(device)->vkAllocateMemory(device, info, books, out);
    if (code)
        return code;
    add_thing(memories, (thing){*out, (int64_t)info->allocationSize, is_import},
              is_import ? &account.imported_bytes : &account.bytes);
    return counted(code, is_import ? &account.imports : &account.memories);
}

static void
free_memory(VkDevice device, VkDeviceMemory memory, const void *books)
{
    thing gone = remove_thing(memories, memory);
    subtract(gone.is_other ? &account.imported_bytes : &account.bytes, gone.bytes);
    uncount(gone.is_other ? &account.imports : &account.memories);
    driver(device)->vkFreeMemory(device, memory, books);
}

static VkResult
map_memory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize bytes, VkFlags flags, void **out)
{
    VkResult code = failure();
    return code ? code : driver(device)->vkMapMemory(device, memory, offset, bytes, flags, out);
}

static VkResult
get_descriptor(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *out)
{
    VkResult code = failure();
    if (!code)
        code = driver(device)->vkGetMemoryFdKHR(device, info, out);
    pthread_mutex_lock(&lock);
    account.exports += !code;
    pthread_mutex_unlock(&lock);
    return code;
}

static VkResult
get_pointer_properties(VkDevice device, VkFlags type, const void *host, VkMemoryHostPointerPropertiesEXT *out)
{
    VkResult code = failure();
    return code ? code : driver(device)->vkGetMemoryHostPointerPropertiesEXT(device, type, host, out);
}

static VkResult
create_buffer(VkDevice device, const VkBufferCreateInfo *info, const void *books, VkBuffer *out)
{
    VkResult code = failure();
    if (!code)
        code = driver(device)->vkCreateBuffer(device, info, books, out);
    bool is_sparse = info->flags & VK_BUFFER_CREATE_SPARSE_BINDING_BIT;
    if (!code)
        add_thing(buffers, (thing){*out, (int64_t)info->size, is_sparse},
                  is_sparse ? &account.sparse_bytes : &account.buffer_bytes);
    return counted(code, &account.buffers);
}

static void
destroy_buffer(VkDevice device, VkBuffer buffer, const void *books)
{
    thing gone = remove_thing(buffers, buffer);
    subtract(gone.is_other ? &account.sparse_bytes : &account.buffer_bytes, gone.bytes);
    uncount(&account.buffers);
    driver(device)->vkDestroyBuffer(device, buffer, books);
}

static VkResult
bind_memory(VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset)
{
    VkResult code = failure();
    return code ? code : driver(device)->vkBindBufferMemory(device, buffer, memory, offset);
}

/* ---- Commands ---- */

static VkResult
create_pool(VkDevice device, const VkCommandPoolCreateInfo *info, const void *books, VkCommandPool *out)
{
    VkResult code = failure();
    return code ? code : counted(driver(device)->vkCreateCommandPool(device, info, books, out), &account.pools);
}

static void
destroy_pool(VkDevice device, VkCommandPool pool, const void *books)
{
    uncount(&account.pools);
    driver(device)->vkDestroyCommandPool(device, pool, books);
}

static VkResult
allocate_commands(VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *out)
{
    VkResult code = failure();
    return code ? code : driver(device)->vkAllocateCommandBuffers(device, info, out);
}

static VkResult
begin_commands(VkCommandBuffer commands, const VkCommandBufferBeginInfo *info)
{
    VkResult code = failure();
    return code ? code : driver(commands)->vkBeginCommandBuffer(commands, info);
}

static VkResult
end_commands(VkCommandBuffer commands)
{
    VkResult code = failure();
    return code ? code : driver(commands)->vkEndCommandBuffer(commands);
}

static VkResult
submit(VkQueue queue, uint32_t info_count, const VkSubmitInfo *infos, VkFence fence)
{
    VkResult code = failure();
    return code ? code : driver(queue)->vkQueueSubmit(queue, info_count, infos, fence);
}

static VkResult
bind_sparse(VkQueue queue, uint32_t info_count, const VkBindSparseInfo *infos, VkFence fence)
{
    VkResult code = failure();
    return code ? code : driver(queue)->vkQueueBindSparse(queue, info_count, infos, fence);
}

static VkResult
wait_idle(VkQueue queue)
{
    VkResult code = driver(queue)->vkQueueWaitIdle(queue), injected = failure();
    return injected ? injected : code;
}

/* ---- Fences and semaphores ---- */

static VkResult
create_fence(VkDevice device, const VkFenceCreateInfo *info, const void *books, VkFence *out)
{
    VkResult code = failure();
    return code ? code : counted(driver(device)->vkCreateFence(device, info, books, out), &account.fences);
}

static void
destroy_fence(VkDevice device, VkFence fence, const void *books)
{
    uncount(&account.fences);
    driver(device)->vkDestroyFence(device, fence, books);
}

static VkResult
reset_fences(VkDevice device, uint32_t fence_count, const VkFence *fences)
{
    VkResult code = failure();
    return code ? code : driver(device)->vkResetFences(device, fence_count, fences);
}

static VkResult
wait_for_fences(VkDevice device, uint32_t fence_count, const VkFence *fences, VkBool32 all, uint64_t timeout_ns)
{
    VkResult code = driver(device)->vkWaitForFences(device, fence_count, fences, all, timeout_ns);
    VkResult injected = failure();
    return injected ? injected : code;
}

static VkResult
create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info, const void *books, VkSemaphore *out)
{
    VkResult code = failure();
    return code ? code : counted(driver(device)->vkCreateSemaphore(device, info, books, out), &account.semaphores);
}

static void
destroy_semaphore(VkDevice device, VkSemaphore semaphore, const void *books)
{
    uncount(&account.semaphores);
    driver(device)->vkDestroySemaphore(device, semaphore, books);
}

static VkResult
wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout_ns)
{
    VkResult code = driver(device)->vkWaitSemaphores(device, info, timeout_ns), injected = failure();
    return injected ? injected : code;
}

/* ---- What the loader asks for ---- */

#define OWN(X)                                                                                                         \
    X("vkGetDeviceProcAddr", vkGetDeviceProcAddr)                                                                      \
    X("vkDestroyDevice", destroy_device)                                                                               \
    X("vkAllocateMemory", allocate_memory)                                                                             \
    X("vkFreeMemory", free_memory)                                                                                     \
    X("vkMapMemory", map_memory)                                                                                       \
    X("vkGetMemoryFdKHR", get_descriptor)                                                                              \
    X("vkGetMemoryHostPointerPropertiesEXT", get_pointer_properties)                                                   \
    X("vkCreateBuffer", create_buffer)                                                                                 \
    X("vkDestroyBuffer", destroy_buffer)                                                                               \
    X("vkBindBufferMemory", bind_memory)                                                                               \
    X("vkCreateCommandPool", create_pool)                                                                              \
    X("vkDestroyCommandPool", destroy_pool)                                                                            \
    X("vkAllocateCommandBuffers", allocate_commands)                                                                   \
    X("vkBeginCommandBuffer", begin_commands)                                                                          \
    X("vkEndCommandBuffer", end_commands)                                                                              \
    X("vkQueueSubmit", submit)                                                                                         \
    X("vkQueueBindSparse", bind_sparse)                                                                                \
    X("vkQueueWaitIdle", wait_idle)                                                                                    \
    X("vkCreateFence", create_fence)                                                                                   \
    X("vkDestroyFence", destroy_fence)                                                                                 \
    X("vkResetFences", reset_fences)                                                                                   \
    X("vkWaitForFences", wait_for_fences)                                                                              \
    X("vkCreateSemaphore", create_semaphore)                                                                           \
    X("vkDestroySemaphore", destroy_semaphore)                                                                         \
    X("vkWaitSemaphores", wait_semaphores)

#define OWN_OF_INSTANCES(X)                                                                                            \
    X("vkCreateInstance", create_instance)                                                                             \
    X("vkDestroyInstance", destroy_instance)                                                                           \
    X("vkEnumeratePhysicalDevices", enumerate_devices)                                                                 \
    X("vkCreateDevice", create_device)

/* ISO C lets a function's pointer be another one's by a cast alone. */
#define RETURN_OWN(known, function)                                                                                    \
    if (strcmp(name, known) == 0)                                                                                      \
        return (any_function)(function);

any_function
vkGetDeviceProcAddr(VkDevice device, const char *name)
{
    OWN(RETURN_OWN)
    return driver(device)->find(device, name);
}

any_function
vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    RETURN_OWN("vkGetInstanceProcAddr", vkGetInstanceProcAddr)
    OWN_OF_INSTANCES(RETURN_OWN)
    OWN(RETURN_OWN)
    return instance && below.find ? below.find(instance, name) : NULL;
}
