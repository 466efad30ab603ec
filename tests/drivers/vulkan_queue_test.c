/* vulkan_queue_test.c: timelines, waits that end early, work that fails, and what is lent. */
#include "drivers/vulkan/queue.h"
#include "vulkan.h"

#include <errno.h>

/* A card whose submissions are told of by fences, and one where that is a semaphore's number. */
static stand_in_shape
card_with(bool has_timelines)
{
    stand_in_shape shape = discrete();
    shape.has_timelines = has_timelines;
    return shape;
}

static const char *
wait_of(bool has_timelines)
{
    return has_timelines ? "vkWaitSemaphores" : "vkWaitForFences";
}

static void *
queue_opened(void *device)
{
    void *queue = NULL;
    EXPECT_OK(vulkan()->queue_open(&queue, device, NULL));
    return queue;
}

static uint64_t
enqueue_fill(void *device, void *queue, const dcmem_extent *extent, unsigned char byte)
{
    uint64_t value = 0;
    const dcmem_place to = in_extent(extent, 0);
    EXPECT_OK(vulkan()->enqueue_fill(&value, device, queue, &nobody, &to, 4096, &byte, 1));
    return value;
}

static void
expect_a_wait_ends_when_its_time_does(bool has_timelines)
{
    stand_in *library = stand_in_use(card_with(has_timelines));
    void *device = vulkan_opened(0), *queue = queue_opened(device);
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    library->holds = true;
    uint64_t value = enqueue_fill(device, queue, &extent, 1);
    EXPECT_RESULT(vulkan()->queue_wait(device, queue, value, 0), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(vulkan()->queue_wait(device, queue, value, 1000000), DCMEM_E_TIMEOUT);
    EXPECT_DETAIL("stands at 0, not 1");
    EXPECT_EQ(vulkan()->queue_completed(device, queue), 0);
    EXPECT_RESULT(vulkan()->queue_wait(device, queue, value + 1, 0), DCMEM_E_INVALID_ARGUMENT);
    library->holds = false;
    stand_in_release();
    EXPECT_OK(vulkan()->queue_wait(device, queue, value, UINT64_MAX));
    EXPECT_EQ(vulkan()->queue_completed(device, queue), value);
    vulkan()->queue_close(device, queue);
    vulkan_released(device, &extent);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(queue__a_wait_ends_when_its_time_does)
{
    expect_a_wait_ends_when_its_time_does(false);
    expect_a_wait_ends_when_its_time_does(true);
}

static void
expect_a_large_copy_is_one_value_though_many_submissions(bool has_timelines)
{
    enum { BYTES = 3 << 20 };
    static unsigned char wrote[BYTES], found[BYTES];
    uint64_t value = 0;
    stand_in *library = stand_in_use(card_with(has_timelines));
    void *device = vulkan_opened(0), *queue = queue_opened(device);
    dcmem_extent extent = vulkan_acquired(device, BYTES, DCMEM_KIND_DEVICE);
    const dcmem_place there = in_extent(&extent, 0), from = in_host(wrote), to = in_host(found);
    for (int i = 0; i < BYTES; i++)
        wrote[i] = (unsigned char)(i * 7 + i / 1000);
    EXPECT_OK(vulkan()->enqueue_copy(&value, device, queue, &nobody, &there, &from, BYTES));
    EXPECT_EQ(value, 1);
    EXPECT_OK(vulkan()->enqueue_copy(&value, device, queue, &nobody, &to, &there, BYTES));
    EXPECT_EQ(value, 2);
    EXPECT_OK(vulkan()->queue_wait(device, queue, value, UINT64_MAX));
    EXPECT(memcmp(wrote, found, BYTES) == 0);
    EXPECT_GE(library->submissions, 48);
    vulkan()->queue_close(device, queue);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(queue__a_large_copy_is_one_value_though_many_submissions)
{
    expect_a_large_copy_is_one_value_though_many_submissions(false);
    expect_a_large_copy_is_one_value_though_many_submissions(true);
}

static void
expect_what_the_host_copies_and_fills_waits_for_its_turn(bool has_timelines)
{
    unsigned char bytes[64] = {0}, last[64] = {0};
    uint64_t value = 0;
    (void)stand_in_use(card_with(has_timelines));
    void *device = vulkan_opened(0), *queue = queue_opened(device);
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    dcmem_extent host = vulkan_acquired(device, 4096, DCMEM_KIND_HOST);
    const dcmem_place there = in_extent(&extent, 0), here = in_host(bytes), end = in_host(last);
    const dcmem_place own = in_extent(&host, 0);
    (void)enqueue_fill(device, queue, &extent, 5);
    EXPECT_OK(vulkan()->enqueue_copy(&value, device, queue, &nobody, &own, &there, 64));
    EXPECT_OK(vulkan()->enqueue_copy(&value, device, queue, &nobody, &here, &own, 64));
    EXPECT_OK(vulkan()->enqueue_fill(&value, device, queue, &nobody, &own, 64, "z", 1));
    EXPECT_OK(vulkan()->enqueue_copy(&value, device, queue, &nobody, &end, &own, 64));
    EXPECT_OK(vulkan()->queue_wait(device, queue, value, UINT64_MAX));
    EXPECT(bytes[0] == 5 && bytes[63] == 5 && last[0] == 'z' && last[63] == 'z');
    vulkan()->queue_close(device, queue);
    vulkan_released(device, &extent);
    vulkan_released(device, &host);
    vulkan()->close(device);
}

TEST(queue__what_the_host_copies_and_fills_waits_for_its_turn)
{
    expect_what_the_host_copies_and_fills_waits_for_its_turn(false);
    expect_what_the_host_copies_and_fills_waits_for_its_turn(true);
}

static void
expect_work_that_fails_completes_and_its_wait_says_how(bool has_timelines)
{
    stand_in *library = stand_in_use(card_with(has_timelines));
    void *device = vulkan_opened(0), *queue = queue_opened(device);
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    uint64_t well = enqueue_fill(device, queue, &extent, 1);
    EXPECT_OK(vulkan()->queue_wait(device, queue, well, UINT64_MAX));
    library->fail_name = wait_of(has_timelines);
    library->calls = 0;
    library->fail_from = library->fail_count = 1;
    library->fail_code = VK_ERROR_DEVICE_LOST;
    uint64_t bad = enqueue_fill(device, queue, &extent, 2), after = enqueue_fill(device, queue, &extent, 3);
    EXPECT_RESULT(vulkan()->queue_wait(device, queue, bad, UINT64_MAX), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(vulkan()->queue_wait(device, queue, after, UINT64_MAX), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(vulkan()->queue_wait(device, queue, well, UINT64_MAX));
    EXPECT_EQ(vulkan()->queue_completed(device, queue), after);
    vulkan()->queue_close(device, queue);
    vulkan_released(device, &extent);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(queue__work_that_fails_completes_and_its_wait_says_how)
{
    expect_work_that_fails_completes_and_its_wait_says_how(false);
    expect_work_that_fails_completes_and_its_wait_says_how(true);
}

static void
expect_blocking_work_that_fails_says_how(bool has_timelines)
{
    stand_in *library = stand_in_use(card_with(has_timelines));
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 8 * MIB, DCMEM_KIND_DEVICE);
    library->fail_name = wait_of(has_timelines);
    library->fail_count = 1;
    library->fail_code = VK_ERROR_DEVICE_LOST;
    library->calls = 0;
    library->fail_from = 1;
    EXPECT_RESULT(vulkan_fill(device, in_extent(&extent, 0), 4096, 1), DCMEM_E_DEVICE_LOST);
    static unsigned char bytes[4 << 20];
    library->calls = 0;
    EXPECT_RESULT(vulkan_copy(device, in_extent(&extent, 0), in_host(bytes), sizeof bytes), DCMEM_E_DEVICE_LOST);
    library->fail_from = 0;
    EXPECT_OK(vulkan_copy(device, in_extent(&extent, 0), in_host(bytes), sizeof bytes));
    vulkan_released(device, &extent);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(queue__blocking_work_that_fails_says_how)
{
    expect_blocking_work_that_fails_says_how(false);
    expect_blocking_work_that_fails_says_how(true);
}

TEST(queue__has_one_semaphore_or_a_fence_for_each_submission_under_way)
{
    for (int has_timelines = 0; has_timelines < 2; has_timelines++) {
        stand_in *library = stand_in_use(card_with(has_timelines));
        void *device = vulkan_opened(0);
        int semaphores = library->live.semaphores, fences = library->live.fences;
        void *queue = queue_opened(device);
        EXPECT_EQ(library->live.semaphores - semaphores, has_timelines);
        EXPECT_EQ(library->live.fences - fences, has_timelines ? 0 : DCMI_VK_SLOTS);
        vulkan()->queue_close(device, queue);
        vulkan()->close(device);
        EXPECT_NOTHING_LIVES(library);
    }
}

static int
no_thread(pthread_t *out, const pthread_attr_t *attributes, void *(*work)(void *), void *user)
{
    (void)out;
    (void)attributes;
    (void)work;
    (void)user;
    return EAGAIN;
}

TEST(queue__without_a_thread_there_is_none)
{
    void *queue = NULL;
    stand_in *library = stand_in_use(discrete());
    void *device = vulkan_opened(0);
    dcmi_vk_thread_new = no_thread;
    EXPECT_RESULT(vulkan()->queue_open(&queue, device, NULL), DCMEM_E_NO_HOST_MEMORY);
    dcmi_vk_thread_new = pthread_create;
    EXPECT_DETAIL("a thread for a queue");
    EXPECT(!queue);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- What is lent ---- */

typedef struct lent {
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue, second;
    dcmem_native_context native;
    dcmem_open options;
} lent;

static void
lend(lent *it)
{
    void (*make)(VkPhysicalDevice *, VkDevice *, VkQueue *, VkQueue *);
    stand_in_find(&make, "stand_in_lend");
    make(&it->physical, &it->device, &it->queue, &it->second);
    it->native = (dcmem_native_context){
        .size = sizeof it->native,
        .device = (uintptr_t)it->physical,
        .logical = (uintptr_t)it->device,
        .queue = (uintptr_t)it->queue,
    };
    it->options = plain;
    it->options.native = &it->native;
}

static void
lend_end(const lent *it)
{
    void (*end)(VkDevice);
    stand_in_find(&end, "stand_in_lend_end");
    end(it->device);
}

TEST(lent__a_device_is_used_and_left_alone)
{
    lent it;
    unsigned char bytes[64] = {1};
    stand_in_shape shape = processor;
    shape.has_addresses = false;
    stand_in *library = stand_in_use(shape);
    void *device = NULL, *queue = NULL, *second = NULL;
    lend(&it);
    EXPECT_OK(vulkan()->open(&device, vulkan(), &it.options));
    EXPECT_EQ(vulkan_info(device).capabilities, DCMEM_CAP_MAP | DCMEM_CAP_ASYNC);
    EXPECT_EQ(library->live.semaphores, 0); /* Whether the program enabled them, nobody can ask. */
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    EXPECT_GE(dcmi_vk_card_at(0)->charged_bytes[0], 4096);
    EXPECT(!extent.direct); /* what moves its bytes comes after the program's own work */
    uint64_t before = library->submissions;
    EXPECT_OK(vulkan_copy(device, in_extent(&extent, 0), in_host(bytes), 64));
    EXPECT_OK(vulkan_fill(device, in_extent(&extent, 0), 64, 3));
    EXPECT_EQ(library->submissions, before + 2);
    EXPECT_OK(vulkan()->queue_open(&queue, device, &it.native));
    dcmem_native_context other = it.native;
    other.queue = (uintptr_t)it.second;
    EXPECT_OK(vulkan()->queue_open(&second, device, &other));
    uint64_t value = enqueue_fill(device, second, &extent, 4);
    EXPECT_OK(vulkan()->queue_wait(device, second, value, UINT64_MAX));
    vulkan()->queue_close(device, second);
    vulkan()->queue_close(device, queue);
    vulkan_released(device, &extent);
    vulkan()->close(device);
    lend_end(&it);
    EXPECT_NOTHING_LIVES(library);
}

TEST(lent__what_is_missing_is_named)
{
    lent it;
    void *device = NULL;
    (void)stand_in_use(processor);
    lend(&it);
    for (int i = 0; i < 4; i++) {
        dcmem_native_context native = it.native;
        uint64_t *fields[] = {&native.device, &native.logical, &native.queue};
        if (i < 3)
            *fields[i] = 0;
        else
            native.size = 8;
        it.options.native = &native;
        EXPECT_RESULT(vulkan()->open(&device, vulkan(), &it.options), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_DETAIL("native");
    }
    lend_end(&it);
}

TEST(lent__a_device_that_is_nowhere_else_has_a_budget_of_its_own)
{
    lent it;
    void *device = NULL;
    stand_in_shape shape = processor;
    shape.has_addresses = false;
    stand_in *library = stand_in_use(shape);
    (void)vulkan_count();
    dcmi_vk_card_at(0)->uuid[0] = 'x';
    lend(&it);
    EXPECT_OK(vulkan()->open(&device, vulkan(), &it.options));
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    EXPECT_EQ(dcmi_vk_card_at(0)->charged_bytes[0], 0);
    vulkan_released(device, &extent);
    vulkan()->close(device);
    library->shape.device_version = VK_MAKE_VERSION(1, 0);
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &it.options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("older than Vulkan 1.1");
    lend_end(&it);
    dcmi_vk_cards_forget();
    dcmi_vk_library_name = "libdcmem-has-no-such-library.so.1";
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &it.options), DCMEM_E_UNAVAILABLE);
}

TEST(lent__queues_that_are_not_the_device_s_are_refused)
{
    lent it;
    void *device = NULL, *own, *queue = NULL;
    stand_in_shape shape = processor;
    shape.has_addresses = false;
    stand_in *library = stand_in_use(shape);
    lend(&it);
    EXPECT_OK(vulkan()->open(&device, vulkan(), &it.options));
    dcmem_native_context native = it.native;
    native.queue = 0;
    EXPECT_RESULT(vulkan()->queue_open(&queue, device, &native), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("native.queue is 0");
    native = it.native;
    native.logical = 4096;
    EXPECT_RESULT(vulkan()->queue_open(&queue, device, &native), DCMEM_E_INVALID_ARGUMENT);
    own = vulkan_opened(0);
    EXPECT_RESULT(vulkan()->queue_open(&queue, own, &it.native), DCMEM_E_UNSUPPORTED);
    EXPECT(!queue);
    vulkan()->close(own);
    vulkan()->close(device);
    lend_end(&it);
    EXPECT_NOTHING_LIVES(library);
}
