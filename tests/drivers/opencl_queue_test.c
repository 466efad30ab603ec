/* opencl_queue_test.c: queues of OpenCL devices, their timelines, and drivers that are late, refuse or fail. */
#include "opencl.h"

#include <pthread.h>
#include <unistd.h>

typedef struct subject {
    stand_in *library;
    void *device;
    void *queue;
    dcmem_extent extent;
} subject;

static subject
subject_open(stand_in_shape shape)
{
    subject self = {.library = stand_in_use(shape)};
    self.device = opencl_opened(0);
    self.extent = opencl_acquired(self.device, 64 * KIB, DCMEM_KIND_DEVICE);
    EXPECT_OK(opencl()->queue_open(&self.queue, self.device, NULL));
    return self;
}

static void
subject_close(subject *self)
{
    if (self->queue)
        opencl()->queue_close(self->device, self->queue);
    opencl_released(self->device, &self->extent);
    opencl()->close(self->device);
    EXPECT_NOTHING_LIVES(self->library);
}

static uint64_t
enqueue_fill(subject *self, unsigned char byte)
{
    uint64_t value = 0;
    const dcmem_place to = in_extent(&self->extent, 0);
    EXPECT_OK(opencl()->enqueue_fill(&value, self->device, self->queue, &nobody, &to, 4096, &byte, 1));
    return value;
}

static uint64_t
completed(const subject *self)
{
    return opencl()->queue_completed(self->device, self->queue);
}

static dcmem_result
wait_for(const subject *self, uint64_t value, uint64_t timeout_ns)
{
    return opencl()->queue_wait(self->device, self->queue, value, timeout_ns);
}

static void
fail_next(stand_in *library, const char *name, cl_int code)
{
    library->fail_name = name;
    library->fail_code = code;
    library->calls = 0;
    library->fail_from = 1;
    library->fail_count = 1;
}

TEST(queue__what_is_held_up_is_not_complete_and_times_out)
{
    subject self = subject_open(processor);
    self.library->holds = true;
    EXPECT_EQ(enqueue_fill(&self, 1), 1);
    EXPECT_EQ(enqueue_fill(&self, 2), 2);
    EXPECT_EQ(completed(&self), 0);
    EXPECT_RESULT(wait_for(&self, 1, 0), DCMEM_E_TIMEOUT);
    EXPECT_DETAIL("stands at 0, not 1");
    EXPECT_RESULT(wait_for(&self, 2, 1000000), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(wait_for(&self, 3, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(wait_for(&self, 0, 0));
    stand_in_release();
    EXPECT_EQ(completed(&self), 2);
    EXPECT_OK(wait_for(&self, 2, 0));
    self.library->holds = false;
    subject_close(&self);
}

static void *
release_soon(void *unused)
{
    usleep(20000);
    stand_in_release();
    return unused;
}

TEST(queue__who_waits_is_woken_by_the_driver_s_callback)
{
    pthread_t thread;
    subject self = subject_open(processor);
    self.library->holds = true;
    uint64_t value = enqueue_fill(&self, 1);
    EXPECT_EQ(pthread_create(&thread, NULL, release_soon, NULL), 0);
    EXPECT_OK(wait_for(&self, value, UINT64_MAX));
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    self.library->holds = false;
    subject_close(&self);
}

TEST(queue__asking_what_completed_calls_no_driver)
{
    subject self = subject_open(processor);
    uint64_t value = enqueue_fill(&self, 1), calls = self.library->calls;
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(completed(&self), value);
    EXPECT_OK(wait_for(&self, value, 0));
    EXPECT_EQ(self.library->calls, calls);
    subject_close(&self);
}

TEST(queue__work_that_fails_completes_and_its_waiter_hears_of_it)
{
    subject self = subject_open(processor);
    uint64_t good = enqueue_fill(&self, 1);
    self.library->event_code = CL_OUT_OF_RESOURCES;
    uint64_t bad = enqueue_fill(&self, 2);
    self.library->event_code = CL_INVALID_COMMAND_QUEUE;
    uint64_t worse = enqueue_fill(&self, 3);
    self.library->event_code = CL_COMPLETE;
    uint64_t after = enqueue_fill(&self, 4);
    EXPECT_EQ(completed(&self), after);
    EXPECT_OK(wait_for(&self, good, 0));
    EXPECT_RESULT(wait_for(&self, bad, 0), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(dcmem_last_detail()->driver_code, CL_OUT_OF_RESOURCES);
    EXPECT_RESULT(wait_for(&self, worse, 0), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(wait_for(&self, after, 0), DCMEM_E_NO_MEMORY);
    subject_close(&self);
}

TEST(queue__a_driver_that_takes_no_callback_is_waited_for)
{
    subject self = subject_open(processor);
    fail_next(self.library, "clSetEventCallback", CL_OUT_OF_HOST_MEMORY);
    uint64_t value = enqueue_fill(&self, 1);
    EXPECT_EQ(completed(&self), value);
    EXPECT_OK(wait_for(&self, value, 0));

    fail_next(self.library, "clSetEventCallback", CL_OUT_OF_HOST_MEMORY);
    self.library->event_code = CL_OUT_OF_RESOURCES;
    value = enqueue_fill(&self, 1);
    self.library->event_code = CL_COMPLETE;
    EXPECT_RESULT(wait_for(&self, value, 0), DCMEM_E_DRIVER);
    subject_close(&self);
}

TEST(queue__a_driver_that_cannot_start_work_keeps_nobody_waiting)
{
    subject self = subject_open(processor);
    self.library->holds = true;
    fail_next(self.library, "clFlush", CL_INVALID_COMMAND_QUEUE);
    uint64_t value = enqueue_fill(&self, 1);
    EXPECT_EQ(completed(&self), value);
    EXPECT_RESULT(wait_for(&self, value, UINT64_MAX), DCMEM_E_DEVICE_LOST);
    stand_in_release();
    EXPECT_EQ(completed(&self), value);
    self.library->holds = false;
    subject_close(&self);
}

TEST(queue__a_callback_may_come_after_its_end)
{
    subject self = subject_open(processor);
    self.library->holds = true;
    (void)enqueue_fill(&self, 1);
    (void)enqueue_fill(&self, 2);
    opencl()->queue_close(self.device, self.queue);
    self.queue = NULL;
    stand_in_release();
    self.library->holds = false;
    subject_close(&self);
}

TEST(queue__a_command_that_is_refused_gets_no_value)
{
    subject self = subject_open(processor);
    uint64_t value = 42;
    const dcmem_place to = in_extent(&self.extent, 0), from = in_extent(&self.extent, 8192);
    fail_next(self.library, "clEnqueueCopyBuffer", CL_OUT_OF_RESOURCES);
    EXPECT_RESULT(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &to, &from, 4096),
                  DCMEM_E_NO_MEMORY);
    fail_next(self.library, "clEnqueueMarkerWithWaitList", CL_OUT_OF_RESOURCES);
    EXPECT_RESULT(opencl()->queue_mark(&value, self.device, self.queue), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(value, 42);
    EXPECT_EQ(enqueue_fill(&self, 1), 1);
    subject_close(&self);
}

static atomic_bool was_released;

static void *
release_for_good(void *user)
{
    stand_in *library = user;
    usleep(20000);
    library->holds = false;
    was_released = true;
    stand_in_release();
    return NULL;
}

TEST(queue__the_host_copies_nothing_before_its_turn)
{
    pthread_t thread;
    subject self = subject_open(processor);
    unsigned char first[64] = {1}, second[64] = {0};
    uint64_t value = 0;
    const dcmem_place to = in_host(second), from = in_host(first);
    self.library->holds = true;
    (void)enqueue_fill(&self, 7);
    EXPECT_EQ(pthread_create(&thread, NULL, release_for_good, self.library), 0);
    EXPECT_OK(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &to, &from, 64));
    EXPECT(was_released);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_OK(wait_for(&self, value, UINT64_MAX));
    EXPECT_EQ(second[0], 1);
    subject_close(&self);
}

TEST(queue__what_the_host_copies_itself_is_in_order)
{
    subject self = subject_open(processor);
    unsigned char first[64] = {0}, second[64] = {0};
    uint64_t value = 42;
    const dcmem_place place = in_extent(&self.extent, 0), to = in_host(first), last = in_host(second);
    (void)enqueue_fill(&self, 7);
    EXPECT_OK(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &to, &place, 64));
    EXPECT_OK(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &last, &to, 64));
    EXPECT_OK(wait_for(&self, value, 0));
    EXPECT_EQ(second[63], 7);
    EXPECT_OK(opencl()->enqueue_fill(&value, self.device, self.queue, &nobody, &last, 64, "ab", 2));
    EXPECT_EQ(second[63], 'b');

    /* A failure before it is not its own, and nor is it forgotten. */
    self.library->event_code = CL_OUT_OF_RESOURCES;
    (void)enqueue_fill(&self, 8);
    self.library->event_code = CL_COMPLETE;
    EXPECT_OK(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &to, &last, 64));
    EXPECT_EQ(first[63], 'b');
    EXPECT_RESULT(wait_for(&self, value, 0), DCMEM_E_NO_MEMORY);

    fail_next(self.library, "clEnqueueMarkerWithWaitList", CL_OUT_OF_RESOURCES);
    EXPECT_RESULT(opencl()->enqueue_copy(&value, self.device, self.queue, &nobody, &to, &last, 64), DCMEM_E_NO_MEMORY);
    fail_next(self.library, "clEnqueueMarkerWithWaitList", CL_OUT_OF_RESOURCES);
    EXPECT_RESULT(opencl()->enqueue_fill(&value, self.device, self.queue, &nobody, &to, 64, "x", 1), DCMEM_E_NO_MEMORY);
    subject_close(&self);
}

/* ---- Several threads on one queue ---- */

enum { THREADS = 4, ROUNDS = 300 };

static void *
submit_many(void *user)
{
    subject *self = user;
    uint64_t last = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t value = 0;
        const dcmem_place to = in_extent(&self->extent, 0);
        if (opencl()->enqueue_fill(&value, self->device, self->queue, &nobody, &to, 64, "x", 1) || value <= last ||
            wait_for(self, value, UINT64_MAX) || completed(self) < value)
            return self;
        last = value;
    }
    return NULL;
}

TEST(queue__threads_that_share_one_get_values_of_their_own)
{
    subject self = subject_open(processor);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, submit_many, &self), 0);
    for (int i = 0; i < THREADS; i++) {
        void *complaint = NULL;
        EXPECT_EQ(pthread_join(thread[i], &complaint), 0);
        EXPECT(!complaint);
    }
    EXPECT_EQ(completed(&self), THREADS * ROUNDS);
    subject_close(&self);
}

/* ---- The caller's own ---- */

typedef struct lender {
    stand_in *library;
    cl_context context;
    cl_device_id device;
    cl_command_queue queue;
} lender;

/* A program that uses OpenCL itself. */
static lender
lender_open(stand_in_shape shape)
{
    lender self = {.library = stand_in_use(shape)};
    cl_int code = CL_SUCCESS;
    EXPECT_EQ(opencl_count(), 2);
    self.device = dcmi_cl_card_at(1)->id;
    const intptr_t properties[] = {CL_CONTEXT_PLATFORM, 0, 0};
    self.context = dcmi_cl.clCreateContext(properties, 1, &self.device, NULL, NULL, &code);
    self.queue = dcmi_cl.clCreateCommandQueue(self.context, self.device, 0, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    return self;
}

static void
lender_close(lender *self)
{
    EXPECT_EQ(self->library->live.contexts, 1);
    EXPECT_EQ(self->library->live.queues, 1);
    EXPECT_EQ(dcmi_cl.clReleaseCommandQueue(self->queue), CL_SUCCESS);
    EXPECT_EQ(dcmi_cl.clReleaseContext(self->context), CL_SUCCESS);
    EXPECT_NOTHING_LIVES(self->library);
}

static dcmem_native_context
native_of(const lender *self)
{
    return (dcmem_native_context){
        .size = sizeof(dcmem_native_context),
        .context = (uintptr_t)self->context,
        .device = (uintptr_t)self->device,
        .queue = (uintptr_t)self->queue,
    };
}

static dcmem_result
open_native(void **out, const dcmem_native_context *native)
{
    dcmem_open options = plain;
    options.native = native;
    return opencl()->open(out, opencl(), &options);
}

TEST(native__a_lent_context_and_queue_are_used_and_stay_the_caller_s)
{
    lender self = lender_open(processor);
    dcmem_native_context native = native_of(&self);
    void *device = NULL, *queue = NULL;
    EXPECT_OK(open_native(&device, &native));
    EXPECT_EQ(self.library->live.contexts, 1);
    EXPECT_EQ(self.library->live.queues, 1);
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 64 * KIB, 3));
    EXPECT_OK(opencl()->queue_open(&queue, device, &native));
    EXPECT_EQ(self.library->live.queues, 1);
    uint64_t value = 0;
    EXPECT_OK(opencl()->queue_mark(&value, device, queue));
    EXPECT_OK(opencl()->queue_wait(device, queue, value, UINT64_MAX));
    opencl()->queue_close(device, queue);
    opencl_released(device, &extent);
    opencl()->close(device);
    lender_close(&self);
}

TEST(native__without_a_queue_dcmem_makes_one)
{
    lender self = lender_open(processor);
    dcmem_native_context native = native_of(&self);
    void *device = NULL;
    native.queue = 0;
    EXPECT_OK(open_native(&device, &native));
    EXPECT_EQ(self.library->live.queues, 2);
    opencl()->close(device);
    lender_close(&self);
}

TEST(native__a_lent_device_shares_the_card_s_budget)
{
    lender self = lender_open(processor);
    dcmem_native_context native = native_of(&self);
    void *device = NULL, *opened = opencl_opened(1);
    EXPECT_OK(open_native(&device, &native));
    dcmem_extent extent = opencl_acquired(device, 64 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_LE(opencl_info(opened).free_bytes, 192 * MIB);
    opencl_released(device, &extent);
    opencl()->close(device);
    opencl()->close(opened);
    lender_close(&self);
}

TEST(native__a_device_that_is_in_no_list_gets_a_card_of_its_own)
{
    lender self = lender_open(processor);
    dcmem_native_context native = native_of(&self);
    void *device = NULL;
    /* The list is made anew, and has but the first device: the lent one is as good as a part of it. */
    self.library->shape.device_count = 1;
    dcmi_cl_cards_forget();
    EXPECT_EQ(opencl_count(), 1);
    EXPECT_OK(open_native(&device, &native));
    EXPECT_EQ(opencl_info(device).total_bytes, 256 * MIB);
    dcmem_extent extent = opencl_acquired(device, 64 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_LE(opencl_info(device).free_bytes, 192 * MIB);
    opencl_released(device, &extent);
    opencl()->close(device);

    self.library->shape.is_available = 0;
    EXPECT_RESULT(open_native(&device, &native), DCMEM_E_UNAVAILABLE);
    self.library->shape.is_available = 1;
    fail_next(self.library, "clGetDeviceInfo", CL_INVALID_DEVICE);
    EXPECT_RESULT(open_native(&device, &native), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("native.device");
    lender_close(&self);
}

static void
expect_refused(dcmem_native_context native, dcmem_result wanted, const char *why)
{
    void *device = NULL;
    EXPECT_RESULT(open_native(&device, &native), wanted);
    EXPECT_DETAIL(why);
    EXPECT(!device);
}

TEST(native__what_does_not_belong_together_is_refused)
{
    lender self = lender_open(processor);
    dcmem_native_context native = native_of(&self);
    native.size = 8;
    expect_refused(native, DCMEM_E_INVALID_ARGUMENT, "size");
    native = native_of(&self);
    native.context = 0;
    expect_refused(native, DCMEM_E_INVALID_ARGUMENT, "context");
    native = native_of(&self);
    native.device = 0;
    expect_refused(native, DCMEM_E_INVALID_ARGUMENT, "device");
    native = native_of(&self);
    native.device = (uintptr_t)dcmi_cl_card_at(0)->id;
    expect_refused(native, DCMEM_E_INVALID_ARGUMENT, "not one of the context's 1");
    fail_next(self.library, "clGetContextInfo", CL_INVALID_CONTEXT);
    expect_refused(native_of(&self), DCMEM_E_INVALID_ARGUMENT, "CL_INVALID_CONTEXT");
    fail_next(self.library, "clGetCommandQueueInfo", CL_INVALID_COMMAND_QUEUE);
    expect_refused(native_of(&self), DCMEM_E_INVALID_ARGUMENT, "native.queue is no queue");
    self.library->shape.is_out_of_order = true;
    expect_refused(native_of(&self), DCMEM_E_UNSUPPORTED, "out of order");
    self.library->shape.is_out_of_order = false;

    void *opened = opencl_opened(0), *queue = NULL;
    native = native_of(&self);
    EXPECT_RESULT(opencl()->queue_open(&queue, opened, &native), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("another context");
    native.queue = 0;
    EXPECT_RESULT(opencl()->queue_open(&queue, opened, &native), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!queue);
    opencl()->close(opened);
    lender_close(&self);
}

TEST(native__without_opencl_there_is_none_to_lend)
{
    void *device = NULL;
    const dcmem_native_context native = {.size = sizeof native, .context = 1, .device = 1};
    dcmi_cl_library_name = "libdcmem-has-no-such-library.so.1";
    dcmi_cl_cards_forget();
    EXPECT_RESULT(open_native(&device, &native), DCMEM_E_UNAVAILABLE);
}
