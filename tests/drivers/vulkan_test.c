/* vulkan_test.c: Vulkan as this machine has it: buffers from one end to the other, memory of two processes, and a
 * program's own device and queue. Skipped, with the reason, where there is no device.
 *
 * The first tests run in children, before this process has loaded any driver: what they change, none of it gets. */
#include "drivers/vulkan/card.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)

static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static const dcmem_backend *
vulkan(void)
{
    return dcmem_backend_find("vulkan");
}

/* ---- In children ---- */

/* Runs it in a child, which tells by its exit code how it went: 77 to be skipped. */
static void
expect_child(int (*child)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child());
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        SKIP("no Vulkan device");
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static int
look_without_drivers(void)
{
    uint32_t count;
    setenv("VK_ICD_FILENAMES", "/nonexistent", 1);
    setenv("VK_DRIVER_FILES", "/nonexistent", 1);
    if (vulkan()->count(&count, vulkan()) != DCMEM_E_UNAVAILABLE)
        return 1;
    return strlen(dcmem_last_detail()->message) > 0 ? 0 : 2;
}

TEST(vulkan__without_a_driver_says_why_it_is_not_available)
{
    expect_child(look_without_drivers);
}

/* Sends or receives a handle with its descriptor. */
static bool
pass(int socket, dcmem_ipc_handle *handle, bool sends)
{
    char room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {handle, sizeof *handle};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    if (sends) {
        *control = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(control), &handle->fd, sizeof(int));
        return sendmsg(socket, &message, 0) == sizeof *handle;
    }
    if (recvmsg(socket, &message, 0) != sizeof *handle || !(control = CMSG_FIRSTHDR(&message)))
        return false;
    memcpy(&handle->fd, CMSG_DATA(control), sizeof(int));
    return true;
}

static int sockets[2];

static int
import_and_change(void)
{
    void *device = NULL;
    uint32_t count;
    char found[8], byte = 0;
    dcmem_extent extent;
    dcmem_ipc_handle handle = {.fd = -1};
    if (!pass(sockets[1], &handle, false))
        return 77;
    if (vulkan()->count(&count, vulkan()) || vulkan()->open(&device, vulkan(), &plain))
        return 1;
    if (vulkan()->ipc_import(&extent, device, &nobody, &handle))
        return 2;
    const dcmem_place there = {.extent = &extent}, here = {.host = found}, next = {.extent = &extent, .offset = 8};
    if (vulkan()->copy(device, &nobody, &here, &there, 8) || memcmp(found, "exported", 8) != 0)
        return 3;
    if (vulkan()->copy(device, &nobody, &next, &(dcmem_place){.host = (char[]){"imported"}}, 8))
        return 4;
    if (vulkan()->release(device, &nobody, &extent))
        return 5;
    vulkan()->close(device);
    return write(sockets[1], &byte, 1) == 1 ? 0 : 6;
}

TEST(vulkan__two_processes_see_one_memory)
{
    void *device = NULL;
    uint32_t count;
    char found[16] = {0}, byte;
    dcmem_extent extent;
    dcmem_device_info info;
    dcmem_ipc_handle handle;
    const dcmem_acquire request = {.bytes = 64 * KIB, .kind = DCMEM_KIND_DEVICE, .flags = DCMEM_ACQUIRE_SHARED};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(sockets[0]);
        _exit(import_and_change());
    }
    close(sockets[1]);
    bool can = !vulkan()->count(&count, vulkan()) && !vulkan()->open(&device, vulkan(), &plain);
    if (can) {
        EXPECT_OK(vulkan()->info(&info, device));
        can = info.capabilities & DCMEM_CAP_IPC;
    }
    if (!can) {
        close(sockets[0]);
        EXPECT_EQ(waitpid(pid, NULL, 0), pid);
        SKIP("no Vulkan device that shares memory");
    }
    EXPECT_OK(vulkan()->acquire(&extent, device, &nobody, &request));
    const dcmem_place there = {.extent = &extent}, from = {.host = (char[]){"exported"}}, to = {.host = found};
    EXPECT_OK(vulkan()->copy(device, &nobody, &there, &from, 8));
    EXPECT_OK(vulkan()->ipc_export(&handle, device, &nobody, &extent));
    EXPECT(pass(sockets[0], &handle, true));
    EXPECT_EQ(close(handle.fd), 0);
    EXPECT_EQ(read(sockets[0], &byte, 1), 1);
    EXPECT_OK(vulkan()->copy(device, &nobody, &to, &there, 16));
    EXPECT(memcmp(found, "exportedimported", 16) == 0);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(sockets[0]);
    EXPECT_OK(vulkan()->release(device, &nobody, &extent));
    vulkan()->close(device);
}

/* ---- Here ---- */

static dcmem_manager *
manager_open(const dcmem_native_context *native)
{
    uint32_t count = 0;
    dcmem_manager *manager;
    const dcmem_manager_options options = {.size = sizeof options,
                                           .backend = "vulkan",
                                           .native = native,
                                           .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    if (vulkan()->count(&count, vulkan()))
        SKIP(dcmem_last_detail()->message);
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    return manager;
}

static void
manager_close(dcmem_manager *manager)
{
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static bool
has_kind(dcmem_manager *manager, dcmem_kind kind)
{
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_manager_device_info(&info, manager));
    return info.kinds & DCMEM_KIND_BIT(kind);
}

static dcmem_buffer *
buffer_of(dcmem_manager *manager, const void *data, uint64_t bytes, dcmem_kind kind)
{
    dcmem_buffer *buffer;
    const dcmem_buffer_options options = {.size = sizeof options, .kind = kind};
    EXPECT_OK(dcmem_buffer_create_from(&buffer, manager, data, bytes, &options));
    return buffer;
}

TEST(vulkan__buffers_of_every_kind_keep_their_bytes_on_both_sides)
{
    enum { COUNT = 40000 };
    static unsigned char wrote[COUNT], found[COUNT];
    dcmem_manager *manager = manager_open(NULL);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(manager, (dcmem_kind)kind))
            continue;
        for (int i = 0; i < COUNT; i++)
            wrote[i] = (unsigned char)(i * 7 + kind);
        dcmem_buffer *buffer = buffer_of(manager, wrote, COUNT, (dcmem_kind)kind);
        dcmem_view whole = dcmem_view_whole(buffer), part = {buffer, 100, 5000, 1};
        dcmem_access access;
        dcmem_map map;
        EXPECT_OK(dcmem_access_begin(&access, whole, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
        EXPECT_EQ(access.native.kind, kind == DCMEM_KIND_HOST ? DCMEM_NATIVE_HOST_POINTER : DCMEM_NATIVE_VULKAN_BUFFER);
        EXPECT(access.native.object != 0);
        EXPECT_GE(access.native.bytes, COUNT);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_fill(part, "ab", 2));
        EXPECT_OK(dcmem_buffer_map(&map, part, DCMEM_MAP_READ_WRITE));
        EXPECT(memcmp(map.host, "abab", 4) == 0);
        memcpy(map.host, "XY", 2);
        EXPECT_OK(dcmem_buffer_unmap(&map));
        EXPECT_OK(dcmem_buffer_copy_out(found, whole, 0));
        EXPECT(memcmp(found + 100, "XYabab", 6) == 0);
        EXPECT(memcmp(found, wrote, 100) == 0 && memcmp(found + 5100, wrote + 5100, COUNT - 5100) == 0);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    manager_close(manager);
}

TEST(vulkan__imported_memory_is_used_where_it_lies)
{
    static float numbers[1024] __attribute__((aligned(64)));
    const float one = 1;
    dcmem_manager *manager = manager_open(NULL);
    dcmem_buffer *buffer;
    dcmem_result result = dcmem_buffer_import(&buffer, manager, numbers, sizeof numbers);
    if (result) {
        manager_close(manager);
        EXPECT_EQ(result, DCMEM_E_UNSUPPORTED);
        SKIP("the device imports no memory");
    }
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), &one, sizeof one));
    EXPECT(numbers[0] == 1 && numbers[1023] == 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    manager_close(manager);
}

enum { THREADS = 4, BLOCKS = 16, ROUNDS = 100, WORDS = 64 };

/* Each thread with blocks of its own, and its own mark in them. */
static void *
churn(void *user)
{
    dcmem_manager *manager = user;
    uint64_t wrote[WORDS], found[WORDS];
    void *blocks[BLOCKS] = {NULL};
    for (uint64_t i = 0; i < ROUNDS; i++) {
        void **block = &blocks[i % BLOCKS];
        if (*block && dcmem_raw_free(manager, *block))
            return user;
        *block = dcmem_raw_allocate(manager, sizeof wrote << i % 8);
        for (uint64_t j = 0; j < WORDS; j++)
            wrote[j] = (uintptr_t)wrote + i + j;
        if (!*block || dcmem_raw_write(manager, *block, wrote, sizeof wrote) ||
            dcmem_raw_read(manager, found, *block, sizeof found) || memcmp(wrote, found, sizeof wrote) != 0)
            return user;
    }
    for (int i = 0; i < BLOCKS; i++)
        if (dcmem_raw_free(manager, blocks[i]))
            return user;
    return NULL;
}

TEST(vulkan__threads_that_share_a_manager_see_their_own_bytes)
{
    pthread_t thread[THREADS];
    dcmem_manager *manager = manager_open(NULL);
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, churn, manager), 0);
    for (int i = 0; i < THREADS; i++) {
        void *complaint = NULL;
        EXPECT_EQ(pthread_join(thread[i], &complaint), 0);
        EXPECT(!complaint);
    }
    manager_close(manager);
}

/* ---- A program's own device ---- */

typedef struct own {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool;
    VkCommandBuffer commands;
} own;

/* As a program does that knows nothing of dcmem, but for whose table of functions it is. */
static void
own_open(own *it)
{
    uint32_t count = 1;
    const float priority = 1;
    const VkApplicationInfo program = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .apiVersion = VK_MAKE_VERSION(1, 1),
    };
    const VkInstanceCreateInfo instance = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &program,
    };
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
    };
    EXPECT_EQ(dcmi_vk.vkCreateInstance(&instance, NULL, &it->instance), 0);
    EXPECT(dcmi_vk.vkEnumeratePhysicalDevices(it->instance, &count, &it->physical) >= 0);
    EXPECT_EQ(dcmi_vk.vkCreateDevice(it->physical, &device, NULL, &it->device), 0);
    dcmi_vk.vkGetDeviceQueue(it->device, 0, 0, &it->queue);
    EXPECT_EQ(dcmi_vk.vkCreateCommandPool(it->device, &pool, NULL, &it->pool), 0);
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = it->pool,
        .commandBufferCount = 1,
    };
    EXPECT_EQ(dcmi_vk.vkAllocateCommandBuffers(it->device, &commands, &it->commands), 0);
}

/* Nobody waits for it. */
static void
own_fill(own *it, dcmem_native native, uint32_t word)
{
    const VkCommandBufferBeginInfo once = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &it->commands,
    };
    EXPECT_EQ(dcmi_vk.vkBeginCommandBuffer(it->commands, &once), 0);
    dcmi_vk.vkCmdFillBuffer(it->commands, (VkBuffer)(uintptr_t)native.object, native.offset, native.bytes / 4 * 4,
                            word);
    EXPECT_EQ(dcmi_vk.vkEndCommandBuffer(it->commands), 0);
    EXPECT_EQ(dcmi_vk.vkQueueSubmit(it->queue, 1, &info, NULL), 0);
}

static void
own_close(own *it)
{
    EXPECT_EQ(dcmi_vk.vkQueueWaitIdle(it->queue), 0);
    dcmi_vk.vkDestroyCommandPool(it->device, it->pool, NULL);
    dcmi_vk.vkDestroyDevice(it->device, NULL);
    dcmi_vk.vkDestroyInstance(it->instance, NULL);
}

TEST(vulkan__what_the_program_put_into_its_own_queue_is_done_before_dcmem_reads)
{
    own it;
    uint32_t count, words[16 * KIB];
    if (vulkan()->count(&count, vulkan()))
        SKIP(dcmem_last_detail()->message);
    own_open(&it);
    const dcmem_native_context native = {
        .size = sizeof native,
        .instance = (uintptr_t)it.instance,
        .device = (uintptr_t)it.physical,
        .logical = (uintptr_t)it.device,
        .queue = (uintptr_t)it.queue,
    };
    dcmem_manager *manager = manager_open(&native);
    memset(words, 1, sizeof words);
    dcmem_buffer *buffer = buffer_of(manager, words, sizeof words, DCMEM_KIND_DEVICE);
    for (uint32_t round = 1; round <= 20; round++) {
        dcmem_access access;
        EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
        own_fill(&it, access.native, round);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_copy_out(words, dcmem_view_whole(buffer), 0));
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            EXPECT_EQ(words[i], round);
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    manager_close(manager);
    own_close(&it);
}

/* ---- Failures: each call of the driver's, injected above it ---- */

static dcmem_result
live(dcmem_sweep_run *run)
{
    static const char text[64] = "what a buffer holds";
    char found[64];
    dcmem_buffer *buffer;
    dcmem_access access;
    dcmem_result result = dcmem_buffer_create_from(&buffer, run->manager, text, sizeof text, NULL);
    if (result)
        return result;
    result = dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0);
    if (!result)
        result = dcmem_access_end(&access);
    if (!result)
        result = dcmem_buffer_copy_out(found, dcmem_view_whole(buffer), 0);
    if (!result && memcmp(found, text, sizeof text) != 0)
        result = DCMEM_E_INTERNAL;
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    return result;
}

TEST(vulkan__survives_each_failure_that_a_backend_can_have)
{
    manager_close(manager_open(NULL));
    dcmem_sweep_report report = {.size = sizeof report};
    const dcmem_sweep sweep = {.size = sizeof sweep, .act = live, .over = vulkan()};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_GE(report.points, 3);
}
