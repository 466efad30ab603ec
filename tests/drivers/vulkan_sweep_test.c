/* vulkan_sweep_test.c: a device's life in which one call of the driver's fails, each in turn, and then all from it on:
 * nothing is left, what was given is whole, and what was refused says why. */
#include "vulkan.h"

#include <stdlib.h>
#include <unistd.h>

/* What a step of a life came to. A failure must have written the detail. */
static bool
went_well(dcmem_result result)
{
    if (result)
        EXPECT_EQ(dcmem_last_detail()->result, result);
    return result == DCMEM_OK;
}

static void
use_memory(void *device, const dcmem_extent *extent)
{
    unsigned char bytes[64] = {1};
    void *host = NULL;
    (void)went_well(vulkan_copy(device, in_extent(extent, 0), in_host(bytes), 64));
    (void)went_well(vulkan_copy(device, in_host(bytes), in_extent(extent, 0), 64));
    (void)went_well(vulkan_copy(device, in_extent(extent, 64), in_extent(extent, 0), 64));
    (void)went_well(vulkan_fill(device, in_extent(extent, 1), 63, 5));
    if (went_well(vulkan()->map(&host, device, &nobody, extent, 0, 4096, DCMEM_MAP_READ_BIT)))
        (void)went_well(vulkan()->unmap(device, &nobody, extent, host));
    (void)went_well(vulkan()->flush(device, &nobody, extent, 0, 4096));
    (void)went_well(vulkan()->invalidate(device, &nobody, extent, 0, 4096));
}

/* Large enough for several submissions, so that some are under way when one fails. */
static void
use_queue(void *device, const dcmem_extent *extent)
{
    static unsigned char bytes[300 << 10];
    void *queue = NULL;
    uint64_t value = 0;
    const dcmem_place place = in_extent(extent, 0), host = in_host(bytes);
    if (!went_well(vulkan()->queue_open(&queue, device, NULL)))
        return;
    (void)went_well(vulkan()->enqueue_fill(&value, device, queue, &nobody, &place, 64, "x", 1));
    (void)went_well(vulkan()->enqueue_copy(&value, device, queue, &nobody, &place, &host, sizeof bytes));
    (void)went_well(vulkan()->enqueue_copy(&value, device, queue, &nobody, &host, &place, sizeof bytes));
    (void)went_well(vulkan()->enqueue_copy(&value, device, queue, &nobody, &host, &host, 64));
    if (went_well(vulkan()->queue_mark(&value, device, queue)))
        (void)went_well(vulkan()->queue_wait(device, queue, value, UINT64_MAX));
    vulkan()->queue_close(device, queue);
}

static void
use_shared(void *device)
{
    dcmem_extent extent = {0}, imported = {.bytes = 42};
    dcmem_ipc_handle handle = {.fd = -1};
    const dcmem_acquire request = {.bytes = 8192, .kind = DCMEM_KIND_DEVICE, .flags = DCMEM_ACQUIRE_SHARED};
    if (!went_well(vulkan()->acquire(&extent, device, &nobody, &request)))
        return;
    if (went_well(vulkan()->ipc_export(&handle, device, &nobody, &extent))) {
        if (went_well(vulkan()->ipc_import(&imported, device, &nobody, &handle)))
            (void)went_well(vulkan()->release(device, &nobody, &imported));
        else
            EXPECT_EQ(imported.bytes, 42);
        EXPECT_EQ(close(handle.fd), 0);
    }
    (void)went_well(vulkan()->release(device, &nobody, &extent));
}

/* What was refused is not used. What could not be unmapped goes with its page and its range. */
static void
use_pages(void *device, uint64_t unit, dcmem_kind kind)
{
    uint64_t address = 0, page = 0;
    if (!went_well(vulkan()->reserve(&address, device, 8 * unit, 2 * unit)))
        return;
    if (went_well(vulkan()->page_create(&page, device, &nobody, 2 * unit, kind))) {
        const uint64_t at = address + unit;
        if (went_well(vulkan()->page_map(device, &nobody, at, page, 0, 2 * unit))) {
            const dcmem_extent extent = {.object = at, .address = at, .bytes = 2 * unit, .kind = kind};
            use_memory(device, &extent);
            if (kind == DCMEM_KIND_DEVICE)
                use_queue(device, &extent);
            (void)went_well(vulkan()->page_unmap(device, &nobody, at, 2 * unit));
        }
        (void)went_well(vulkan()->page_destroy(device, &nobody, page));
    } else {
        EXPECT_EQ(page, 0);
    }
    EXPECT_OK(vulkan()->unreserve(device, address, 8 * unit));
}

static void
use_device(void *device)
{
    static unsigned char imported[8192] __attribute__((aligned(4096)));
    dcmem_extent extent;
    dcmem_device_info info = vulkan_info(device);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!(info.kinds & DCMEM_KIND_BIT(kind)))
            continue;
        extent = (dcmem_extent){.bytes = 42};
        if (went_well(vulkan_acquire(&extent, device, 512 * KIB, (dcmem_kind)kind))) {
            use_memory(device, &extent);
            use_queue(device, &extent);
            (void)went_well(vulkan()->release(device, &nobody, &extent));
        } else {
            EXPECT_EQ(extent.bytes, 42);
        }
    }
    if ((info.capabilities & DCMEM_CAP_IMPORT) &&
        went_well(vulkan()->import_host(&extent, device, &nobody, imported, sizeof imported)))
        (void)went_well(vulkan()->release(device, &nobody, &extent));
    if (info.capabilities & DCMEM_CAP_IPC)
        use_shared(device);
    if (info.capabilities & DCMEM_CAP_VIRTUAL) {
        use_pages(device, 4 * info.page_bytes, DCMEM_KIND_DEVICE);
        use_pages(device, 4 * info.page_bytes, DCMEM_KIND_HOST_VISIBLE);
    }
}

static void
live(void)
{
    void *device = NULL;
    uint32_t count = 0;
    if (!went_well(vulkan()->count(&count, vulkan())) || !went_well(vulkan()->open(&device, vulkan(), &plain)))
        return;
    use_device(device);
    vulkan()->close(device);
    for (uint32_t heap = 0; heap < VK_MAX_MEMORY_HEAPS; heap++)
        EXPECT_EQ(dcmi_vk_card_at(0)->charged_bytes[heap], 0);
}

static int
open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += lseek(fd, 0, SEEK_CUR) >= 0;
    return count;
}

/* Fails calls number 1, 2, ... of a life, `fail_count` from each on, until a life has fewer calls. The queues' own
 * threads call too, so which call has a number may differ from life to life; all of them have their turn in some. */
static void
sweep(stand_in_shape shape, uint64_t fail_count, VkResult code)
{
    uint64_t from = 0, failed;
    int descriptors = open_descriptors();
    do {
        stand_in *library = stand_in_use(shape);
        library->fail_from = ++from;
        library->fail_count = fail_count;
        library->fail_code = code;
        live();
        failed = library->failed;
        library->fail_from = 0;
        EXPECT_NOTHING_LIVES(library);
        EXPECT_EQ(open_descriptors(), descriptors);
    } while (failed);
    EXPECT_GE(from, 100);
}

#define SWEEPS(X) X(processor, processor) X(integrated, integrated()) X(discrete, discrete()) X(sparse, sparse())

#define SWEEP(name, shape)                                                                                             \
    TEST(name##__survives_each_call_that_fails)                                                                        \
    {                                                                                                                  \
        sweep(shape, 1, VK_ERROR_OUT_OF_DEVICE_MEMORY);                                                                \
    }                                                                                                                  \
    TEST(name##__survives_the_loss_of_its_device_at_each_call)                                                         \
    {                                                                                                                  \
        sweep(shape, UINT64_MAX, VK_ERROR_DEVICE_LOST);                                                                \
    }
SWEEPS(SWEEP)

/* ---- Without memory for the driver's own books ---- */

static uint64_t news, fail_new;

static void *
scarce_new(size_t bytes)
{
    return ++news == fail_new ? NULL : calloc(1, bytes);
}

static void
sweep_books(stand_in_shape shape)
{
    void *(*own)(size_t) = dcmi_vk_new;
    dcmi_vk_new = scarce_new;
    fail_new = 0;
    do {
        stand_in *library = stand_in_use(shape);
        news = 0;
        fail_new++;
        live();
        EXPECT_NOTHING_LIVES(library);
    } while (news >= fail_new);
    dcmi_vk_new = own;
    EXPECT_GE(fail_new, 15);
}

TEST(processor__survives_each_want_of_memory_for_its_own_books)
{
    sweep_books(processor);
}

TEST(sparse__survives_each_want_of_memory_for_its_own_books)
{
    sweep_books(sparse());
    sweep_books(integrated());
}
