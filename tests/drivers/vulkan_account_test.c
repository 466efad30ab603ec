/* vulkan_account_test.c: the machine's own Vulkan with a layer before its driver: what lives there by the layer's
 * account is what lives by ours, to the byte; and calls of the real driver fail in turn, with nothing left. */
#include "drivers/vulkan/card.h"
#include "layers/vulkan_layer.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)

static const char layer_folder[] = TEST_BUILD_DIR "/tests/layers";
static const char layer_path[] = TEST_BUILD_DIR "/tests/layers/vulkan_layer.so";
static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static vulkan_layer_read_call *read_account;
static vulkan_layer_fail_call *fail_calls;

static const dcmem_backend *
vulkan(void)
{
    return dcmem_backend_find("vulkan");
}

static void
find(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    EXPECT(found != NULL);
    memcpy(out, &found, sizeof found);
}

/* Puts the layer in place with the first call, unless others have been named; skips where that cannot be. */
static void
need_layer(void)
{
    uint32_t count = 0;
    EXPECT_EQ(setenv("VK_LAYER_PATH", layer_folder, 0), 0);
    EXPECT_EQ(setenv("VK_INSTANCE_LAYERS", "VK_LAYER_DCMEM_account", 0), 0);
    if (vulkan()->count(&count, vulkan()))
        SKIP(dcmem_last_detail()->message);
    void *library = dlopen(layer_path, RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
    find(library, "vulkan_layer_read", &read_account);
    find(library, "vulkan_layer_fail", &fail_calls);
    fail_calls(0, 0, 0);
    if (read_account().instances != 1)
        SKIP("other layers were named than VK_LAYER_DCMEM_account");
}

static void
expect_nothing(void)
{
    vulkan_layer_account now = read_account();
    EXPECT_EQ(now.bytes, 0);
    EXPECT_EQ(now.imported_bytes, 0);
    EXPECT_EQ(now.buffer_bytes, 0);
    EXPECT_EQ(now.sparse_bytes, 0);
    EXPECT_EQ(now.memories, 0);
    EXPECT_EQ(now.imports, 0);
    EXPECT_EQ(now.buffers, 0);
    EXPECT_EQ(now.fences, 0);
    EXPECT_EQ(now.semaphores, 0);
    EXPECT_EQ(now.pools, 0);
    EXPECT_EQ(now.devices, 0);
}

/* What our budget says that the first device holds of its heaps. */
static int64_t
charged_bytes(void)
{
    uint64_t sum = 0;
    const dcmi_vk_card *card = dcmi_vk_card_at(0);
    for (uint32_t heap = 0; heap < VK_MAX_MEMORY_HEAPS; heap++)
        sum += atomic_load(&card->charged_bytes[heap]);
    return (int64_t)sum;
}

#define EXPECT_AGREEMENT() EXPECT_EQ(read_account().bytes, charged_bytes())

static void *
device_opened(dcmem_device_info *info)
{
    void *device = NULL;
    EXPECT_OK(vulkan()->open(&device, vulkan(), &plain));
    EXPECT_OK(vulkan()->info(info, device));
    EXPECT_AGREEMENT();
    return device;
}

/* ---- Accounts ---- */

TEST(account__of_the_driver_s_memory_is_the_budget_s_to_the_byte)
{
    need_layer();
    dcmem_device_info info = {0};
    void *device = device_opened(&info), *queues[3];
    dcmem_extent extent[DCMEM_KIND_COUNT][3];
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(vulkan()->queue_open(&queues[i], device, NULL));
        EXPECT_AGREEMENT();
    }
    /* One each, and one of the device's own; where there are no such semaphores, fences. */
    EXPECT(read_account().semaphores == 4 || (!read_account().semaphores && read_account().fences > 4));
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        for (uint64_t i = 0; i < 3; i++) {
            const dcmem_acquire request = {.bytes = 4096 << 2 * i, .alignment = 4096 << i, .kind = (dcmem_kind)kind};
            if (info.kinds & DCMEM_KIND_BIT(kind))
                EXPECT_OK(vulkan()->acquire(&extent[kind][i], device, &nobody, &request));
            EXPECT_AGREEMENT();
        }
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        for (int i = 0; i < 3; i++) {
            if (info.kinds & DCMEM_KIND_BIT(kind))
                EXPECT_OK(vulkan()->release(device, &nobody, &extent[kind][i]));
            EXPECT_AGREEMENT();
        }
    for (int i = 0; i < 3; i++) {
        vulkan()->queue_close(device, queues[i]);
        EXPECT_AGREEMENT();
    }
    vulkan()->close(device);
    expect_nothing();
}

TEST(account__knows_imports_apart_and_they_cost_the_budget_nothing)
{
    static unsigned char lent[64 * 1024] __attribute__((aligned(4096)));
    need_layer();
    dcmem_device_info info = {0};
    void *device = device_opened(&info);
    dcmem_extent extent, shared, adopted;
    dcmem_ipc_handle handle = {.fd = -1};
    int64_t before = read_account().bytes;
    if (info.capabilities & DCMEM_CAP_IMPORT) {
        EXPECT_OK(vulkan()->import_host(&extent, device, &nobody, lent, sizeof lent));
        EXPECT_EQ(read_account().imported_bytes, sizeof lent);
        EXPECT_EQ(read_account().bytes, before);
        EXPECT_AGREEMENT();
        EXPECT_OK(vulkan()->release(device, &nobody, &extent));
    }
    EXPECT_EQ(read_account().imports, 0);
    if (info.capabilities & DCMEM_CAP_IPC) {
        const dcmem_acquire request = {.bytes = 64 * KIB, .kind = DCMEM_KIND_DEVICE, .flags = DCMEM_ACQUIRE_SHARED};
        uint64_t exports = read_account().exports;
        EXPECT_OK(vulkan()->acquire(&shared, device, &nobody, &request));
        EXPECT_OK(vulkan()->ipc_export(&handle, device, &nobody, &shared));
        EXPECT_EQ(read_account().exports, exports + 1);
        int64_t own = read_account().bytes - before;
        EXPECT_OK(vulkan()->ipc_import(&adopted, device, &nobody, &handle));
        EXPECT_EQ(read_account().imported_bytes, own);
        EXPECT_AGREEMENT();
        EXPECT_EQ(close(handle.fd), 0);
        EXPECT_OK(vulkan()->release(device, &nobody, &adopted));
        EXPECT_OK(vulkan()->release(device, &nobody, &shared));
    }
    EXPECT_EQ(read_account().bytes, before);
    vulkan()->close(device);
    expect_nothing();
}

TEST(account__of_pages_is_the_budget_s_and_address_space_is_apart)
{
    enum { COUNT = 8 };
    need_layer();
    dcmem_device_info info = {0};
    void *device = device_opened(&info);
    uint64_t address, pages[COUNT], unit = info.page_bytes;
    if (!(info.capabilities & DCMEM_CAP_VIRTUAL)) {
        vulkan()->close(device);
        SKIP("the device has no sparse buffers");
    }
    int64_t before = read_account().bytes, buffers = read_account().buffer_bytes;
    EXPECT_OK(vulkan()->reserve(&address, device, 64 * MIB, 0));
    EXPECT_EQ(read_account().bytes, before);
    for (uint64_t i = 0; i < COUNT; i++) {
        EXPECT_OK(vulkan()->page_create(&pages[i], device, &nobody, (i + 1) * unit, DCMEM_KIND_DEVICE));
        EXPECT_AGREEMENT();
        EXPECT_OK(vulkan()->page_map(device, &nobody, address + i * 16 * unit, pages[i], 0, (i + 1) * unit));
        EXPECT_AGREEMENT();
    }
    EXPECT_EQ(read_account().bytes, before + (int64_t)(COUNT * (COUNT + 1) / 2 * unit));
    EXPECT_EQ(read_account().buffer_bytes, buffers);
    EXPECT_GE(read_account().sparse_bytes, 64 * MIB);
    for (uint64_t i = 0; i < COUNT; i++) {
        EXPECT_OK(vulkan()->page_unmap(device, &nobody, address + i * 16 * unit, (i + 1) * unit));
        EXPECT_OK(vulkan()->page_destroy(device, &nobody, pages[i]));
        EXPECT_AGREEMENT();
    }
    EXPECT_OK(vulkan()->unreserve(device, address, 64 * MIB));
    EXPECT_EQ(read_account().bytes, before);
    EXPECT_EQ(read_account().sparse_bytes, 0);
    vulkan()->close(device);
    expect_nothing();
}

static dcmem_manager *
manager_opened(void)
{
    dcmem_manager *manager;
    const dcmem_manager_options options = {
        .size = sizeof options, .backend = "vulkan", .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    return manager;
}

static int64_t
reserved_bytes(dcmem_manager *manager)
{
    dcmem_stats stats = {.size = sizeof stats};
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    return (int64_t)stats.reserved_bytes;
}

/* Memory may be larger than the buffers in it, so that they are aligned: what a manager holds are the buffers. Beside
 * them there is what the device has for its own work. */
TEST(account__of_the_driver_s_buffers_is_what_a_manager_holds_to_the_byte)
{
    enum { COUNT = 200 };
    need_layer();
    void *blocks[COUNT] = {NULL};
    dcmem_manager *manager = manager_opened();
    int64_t own = read_account().buffer_bytes - reserved_bytes(manager);
    for (unsigned i = 0; i < 1000; i++) {
        void **block = &blocks[i * 7919 % COUNT];
        EXPECT_OK(dcmem_raw_free(manager, *block));
        *block = dcmem_raw_allocate(manager, 1 + (uint64_t)i * i % (3 * MIB));
        EXPECT(*block != NULL);
        EXPECT_EQ(read_account().buffer_bytes, own + reserved_bytes(manager));
        EXPECT_AGREEMENT();
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(dcmem_raw_free(manager, blocks[i]));
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    EXPECT_EQ(read_account().buffer_bytes, own + reserved_bytes(manager));
    EXPECT_GE(read_account().peak_bytes, read_account().bytes);
    EXPECT_OK(dcmem_manager_destroy(manager));
    expect_nothing();
}

/* As a program with a pipeline does it: buffers of each kind and size come, are copied and filled on queues, and go on
 * queues. */
TEST(account__agrees_after_each_call_of_a_program_with_buffers_and_queues)
{
    enum { COUNT = 24, QUEUES = 2, KINDS = 4 };
    static const dcmem_kind kinds[KINDS] = {DCMEM_KIND_DEVICE, DCMEM_KIND_PINNED, DCMEM_KIND_HOST_VISIBLE,
                                            DCMEM_KIND_HOST};
    static unsigned char bytes[1 << 20];
    need_layer();
    dcmem_queue *queues[QUEUES];
    dcmem_buffer *buffers[COUNT] = {NULL};
    dcmem_manager *manager = manager_opened();
    for (int i = 0; i < QUEUES; i++)
        EXPECT_OK(dcmem_queue_create(&queues[i], manager, NULL));
    for (uint64_t i = 0; i < 300; i++) {
        dcmem_buffer **one = &buffers[i * 7 % COUNT], *other = buffers[(i * 7 + 24 - 7) % COUNT];
        dcmem_queue *queue = queues[i % QUEUES];
        const dcmem_buffer_options options = {.size = sizeof options, .kind = kinds[i % KINDS]};
        EXPECT_OK(*one && i % 3 ? dcmem_buffer_destroy_on(*one, queue) : dcmem_buffer_destroy(*one));
        EXPECT_AGREEMENT();
        EXPECT_OK(dcmem_buffer_create_from(one, manager, bytes, 1 + i * i * 977 % sizeof bytes, &options));
        EXPECT_AGREEMENT();
        EXPECT_OK(dcmem_buffer_fill_on(NULL, queue, dcmem_view_whole(*one), "x", 1));
        EXPECT_AGREEMENT();
        const dcmem_view to = {*one, 0, 1, 1}, from = {other ? other : *one, 0, 1, 1};
        if (other && other != *one)
            EXPECT_OK(dcmem_buffer_copy_on(NULL, queue, to, from));
        EXPECT_AGREEMENT();
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    for (int i = 0; i < QUEUES; i++) {
        EXPECT_OK(dcmem_queue_destroy(queues[i]));
        EXPECT_AGREEMENT();
    }
    EXPECT_OK(dcmem_manager_destroy(manager));
    expect_nothing();
}

/* ---- Failures of the real driver ---- */

static void
use_queue(dcmem_manager *manager, dcmem_buffer *buffer)
{
    uint64_t value;
    dcmem_queue *queue;
    if (dcmem_queue_create(&queue, manager, NULL))
        return;
    (void)dcmem_buffer_fill_on(NULL, queue, dcmem_view_whole(buffer), "abc", 1);
    if (!dcmem_queue_mark(&value, queue))
        (void)dcmem_queue_wait(queue, value, UINT64_MAX);
    (void)dcmem_queue_destroy(queue);
}

static void
use_kind(dcmem_manager *manager, dcmem_kind kind)
{
    static const char text[100] = "what a buffer holds";
    char found[100];
    dcmem_access access;
    dcmem_buffer *buffer;
    const dcmem_buffer_options of_kind = {.size = sizeof of_kind, .kind = kind};
    if (dcmem_buffer_create_from(&buffer, manager, text, sizeof text, &of_kind))
        return;
    if (!dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
        (void)dcmem_access_end(&access);
    if (!dcmem_buffer_copy_out(found, dcmem_view_whole(buffer), 0))
        EXPECT(memcmp(found, text, sizeof text) == 0);
    use_queue(manager, buffer);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

static void
use_pages(void *device, uint64_t unit)
{
    char found = 0;
    uint64_t address, page;
    if (vulkan()->reserve(&address, device, 8 * unit, 0))
        return;
    if (!vulkan()->page_create(&page, device, &nobody, unit, DCMEM_KIND_DEVICE)) {
        const dcmem_extent extent = {.object = address + unit, .address = address + unit, .bytes = unit};
        const dcmem_place there = {.extent = &extent}, here = {.host = &found};
        if (!vulkan()->page_map(device, &nobody, address + unit, page, 0, unit)) {
            if (!vulkan()->fill(device, &nobody, &there, unit, "x", 1) &&
                !vulkan()->copy(device, &nobody, &here, &there, 1))
                EXPECT_EQ(found, 'x');
            (void)vulkan()->page_unmap(device, &nobody, address + unit, unit);
        }
        EXPECT_OK(vulkan()->page_destroy(device, &nobody, page));
    }
    EXPECT_OK(vulkan()->unreserve(device, address, 8 * unit));
}

/* Memory that comes from elsewhere, and goes there; and pages. */
static void
use_others(void)
{
    static unsigned char lent[4096] __attribute__((aligned(4096)));
    void *device = NULL;
    dcmem_extent extent, adopted;
    dcmem_device_info info = {0};
    dcmem_ipc_handle handle = {.fd = -1};
    const dcmem_acquire request = {.bytes = 4096, .kind = DCMEM_KIND_DEVICE, .flags = DCMEM_ACQUIRE_SHARED};
    if (vulkan()->open(&device, vulkan(), &plain))
        return;
    EXPECT_OK(vulkan()->info(&info, device));
    if ((info.capabilities & DCMEM_CAP_IMPORT) && !vulkan()->import_host(&extent, device, &nobody, lent, sizeof lent))
        EXPECT_OK(vulkan()->release(device, &nobody, &extent));
    if ((info.capabilities & DCMEM_CAP_IPC) && !vulkan()->acquire(&extent, device, &nobody, &request)) {
        if (!vulkan()->ipc_export(&handle, device, &nobody, &extent)) {
            if (!vulkan()->ipc_import(&adopted, device, &nobody, &handle))
                EXPECT_OK(vulkan()->release(device, &nobody, &adopted));
            EXPECT_EQ(close(handle.fd), 0);
        }
        EXPECT_OK(vulkan()->release(device, &nobody, &extent));
    }
    if (info.capabilities & DCMEM_CAP_VIRTUAL)
        use_pages(device, info.page_bytes);
    vulkan()->close(device);
}

/* A program's life; it goes on as far as it can. */
static void
live(void)
{
    dcmem_manager *manager;
    const dcmem_manager_options options = {
        .size = sizeof options, .backend = "vulkan", .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    use_others();
    if (dcmem_manager_create(&manager, &options))
        return;
    use_kind(manager, DCMEM_KIND_DEVICE);
    use_kind(manager, DCMEM_KIND_PINNED);
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static int
open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += lseek(fd, 0, SEEK_CUR) >= 0;
    return count;
}

static void
sweep(uint64_t fail_count, int code)
{
    uint64_t from = 0;
    live(); /* Drivers open files of their own, once. */
    int descriptors = open_descriptors();
    do {
        fail_calls(++from, fail_count, code);
        live();
        expect_nothing();
        EXPECT_EQ(charged_bytes(), 0);
        EXPECT_EQ(open_descriptors(), descriptors);
    } while (read_account().failed);
    EXPECT_GE(from, 50);
    fail_calls(0, 0, 0);
}

TEST(account__is_empty_after_each_call_of_the_real_driver_that_failed)
{
    need_layer();
    sweep(1, VK_ERROR_OUT_OF_DEVICE_MEMORY);
}

TEST(account__is_empty_after_the_real_driver_failed_from_each_call_on)
{
    need_layer();
    sweep(UINT64_MAX, VK_ERROR_DEVICE_LOST);
}

TEST(account__is_empty_after_the_search_for_devices_failed)
{
    uint32_t count = 42;
    SKIP_UNDER_TOOLS(); /* A loader loses 128 bytes of its own where no instance comes about. */
    need_layer();
    for (uint64_t from = 1; from <= 2; from++) {
        dcmi_vk_cards_forget();
        EXPECT_EQ(read_account().instances, 0);
        fail_calls(from, 1, VK_ERROR_OUT_OF_HOST_MEMORY);
        EXPECT_RESULT(vulkan()->count(&count, vulkan()), DCMEM_E_UNAVAILABLE);
        EXPECT_EQ(count, 42);
        EXPECT_EQ(read_account().failed, 1);
        EXPECT_EQ(read_account().instances, 0);
    }
    dcmi_vk_cards_forget();
    fail_calls(0, 0, 0);
    EXPECT_OK(vulkan()->count(&count, vulkan()));
}
