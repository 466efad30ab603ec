/* opencl_test.c: OpenCL as this machine has it: buffers from one end to the other, kernels on their memory, and what
 * happens when memory ends. Skipped, with the reason, where there is no device.
 *
 * The first tests run in children, before this process has loaded any driver: what they change, none of it gets. */
#include "drivers/opencl/cl.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)

static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static const dcmem_backend *
opencl(void)
{
    return dcmem_backend_find("opencl");
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
        SKIP("no OpenCL device");
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static int
look_without_drivers(void)
{
    uint32_t count;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    if (opencl()->count(&count, opencl()) != DCMEM_E_UNAVAILABLE)
        return 1;
    return strlen(dcmem_last_detail()->message) > 0 ? 0 : 2;
}

TEST(opencl__without_a_driver_says_why_it_is_not_available)
{
    expect_child(look_without_drivers);
}

/* Acquires until it is refused, in a process that may have little address space. */
static int
run_out(void)
{
    uint32_t count;
    void *device;
    struct rlimit limit;
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = 32 * MIB, .kind = DCMEM_KIND_DEVICE};
    if (opencl()->count(&count, opencl()) || opencl()->open(&device, opencl(), &plain))
        return 77;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu", &pages) != 1)
        return 1;
    fclose(file);
    limit.rlim_cur = limit.rlim_max = pages * 4096 + 512 * MIB;
    if (setrlimit(RLIMIT_AS, &limit))
        return 2;
    for (int i = 0; i < 32; i++) {
        dcmem_result result = opencl()->acquire(&extent, device, &nobody, &request);
        if (result)
            return result == DCMEM_E_NO_MEMORY && i > 4 ? 0 : 3;
    }
    return 4;
}

TEST(opencl__a_process_that_runs_out_of_address_space_is_told_and_lives)
{
    SKIP_UNDER_TOOLS();
    expect_child(run_out);
}

static int
fill_up(void)
{
    uint32_t count;
    void *device;
    dcmem_extent extent;
    dcmem_device_info info;
    uint64_t given = 0;
    setenv("POCL_MEMORY_LIMIT", "1", 1);
    if (opencl()->count(&count, opencl()) || opencl()->open(&device, opencl(), &plain))
        return 77;
    if (opencl()->info(&info, device) || info.total_bytes > 8ull << 30)
        return 77; /* another driver's device, or one that does not listen */
    for (;;) {
        const dcmem_acquire request = {.bytes = 64 * MIB, .kind = DCMEM_KIND_DEVICE};
        dcmem_result result = opencl()->acquire(&extent, device, &nobody, &request);
        if (result)
            return result == DCMEM_E_NO_MEMORY && given + request.bytes > info.total_bytes ? 0 : 1;
        given += extent.bytes;
        if (given > info.total_bytes)
            return 2;
    }
}

TEST(opencl__never_gives_more_than_the_device_says_it_has)
{
    SKIP_UNDER_TOOLS();
    expect_child(fill_up);
}

/* ---- Here ---- */

static dcmem_manager *
manager_open(const dcmem_native_context *native)
{
    uint32_t count = 0;
    dcmem_manager *manager;
    const dcmem_manager_options options = {.size = sizeof options,
                                           .backend = "opencl",
                                           .native = native,
                                           .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    setenv("POCL_DEVICES", "pthread basic pthread", 0);
    if (opencl()->count(&count, opencl()))
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

TEST(opencl__buffers_of_every_kind_keep_their_bytes_on_both_sides)
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
        EXPECT(access.native.object != 0);
        EXPECT_GE(access.native.bytes, COUNT);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_fill(part, "ab", 2));
        EXPECT_OK(dcmem_buffer_map(&map, part, DCMEM_MAP_READ_WRITE));
        EXPECT(memcmp(map.host, "abab", 4) == 0);
        memcpy(map.host, "XY", 2);
        EXPECT_OK(dcmem_buffer_unmap(&map));
        EXPECT_OK(dcmem_access_begin(&access, whole, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_copy_out(found, whole, 0));
        EXPECT(memcmp(found + 100, "XYabab", 6) == 0);
        EXPECT(memcmp(found, wrote, 100) == 0 && memcmp(found + 5100, wrote + 5100, COUNT - 5100) == 0);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    manager_close(manager);
}

TEST(opencl__natives_name_each_kind_as_kernels_are_given_it)
{
    static const struct {
        dcmem_kind kind;
        dcmem_native_kind native;
    } kinds[] = {
        {DCMEM_KIND_DEVICE, DCMEM_NATIVE_OPENCL_BUFFER},
        {DCMEM_KIND_HOST_VISIBLE, DCMEM_NATIVE_OPENCL_BUFFER},
        {DCMEM_KIND_MANAGED, DCMEM_NATIVE_OPENCL_SVM},
        {DCMEM_KIND_HOST, DCMEM_NATIVE_HOST_POINTER},
    };
    dcmem_manager *manager = manager_open(NULL);
    for (int i = 0; i < 4; i++) {
        dcmem_access access;
        if (!has_kind(manager, kinds[i].kind))
            continue;
        dcmem_buffer *buffer = buffer_of(manager, "12345678", 8, kinds[i].kind);
        EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0));
        EXPECT_EQ(access.native.kind, kinds[i].native);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    manager_close(manager);
}

TEST(opencl__imported_memory_is_used_where_it_lies)
{
    static float numbers[1024];
    dcmem_manager *manager = manager_open(NULL);
    dcmem_buffer *buffer;
    dcmem_result result = dcmem_buffer_import(&buffer, manager, numbers, sizeof numbers);
    if (result == DCMEM_E_UNSUPPORTED) {
        manager_close(manager);
        SKIP("the device's memory is not the host's");
    }
    EXPECT_OK(result);
    const float one = 1;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), &one, sizeof one));
    EXPECT(numbers[0] == 1 && numbers[1023] == 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    manager_close(manager);
}

TEST(opencl__wrong_frees_are_refused)
{
    dcmem_manager *manager = manager_open(NULL);
    char *one = dcmem_raw_allocate(manager, 1000), *two = dcmem_raw_allocate(manager, 5 * MIB);
    EXPECT(one && two);
    EXPECT_OK(dcmem_raw_set(manager, two, 0x5a, 5 * MIB));
    EXPECT_RESULT(dcmem_raw_free(manager, one + 64), DCMEM_E_INTERIOR);
    EXPECT_RESULT(dcmem_raw_free(manager, &manager), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(dcmem_raw_free(manager, one));
    EXPECT_RESULT(dcmem_raw_free(manager, one), DCMEM_E_ALREADY_FREE);
    EXPECT_OK(dcmem_raw_free(manager, two));
    EXPECT(!dcmem_raw_allocate(manager, 1ull << 50));
    EXPECT_EQ(dcmem_result_class_of(dcmem_last_detail()->result), DCMEM_CLASS_RESOURCE);
    manager_close(manager);
}

/* ---- Threads: each with blocks of its own, and its own mark in them ---- */

enum { THREADS = 4, BLOCKS = 16, ROUNDS = 100, WORDS = 64 };

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

TEST(opencl__threads_that_share_a_manager_see_their_own_bytes)
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
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    manager_close(manager);
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

TEST(opencl__survives_each_failure_that_a_backend_can_have)
{
    manager_close(manager_open(NULL));
    dcmem_sweep_report report = {.size = sizeof report};
    const dcmem_sweep sweep = {.size = sizeof sweep, .act = live, .over = opencl()};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_GE(report.points, 3);
}

/* ---- A program's own OpenCL, with kernels ---- */

typedef struct dcmi_cl_program_object *cl_program;
typedef struct dcmi_cl_kernel_object *cl_kernel;

/* What a program uses beside the driver. */
#define KERNEL_FUNCTIONS(X)                                                                                            \
    X(cl_program, clCreateProgramWithSource,                                                                           \
      (cl_context context, cl_uint count, const char **texts, const size_t *lengths, cl_int *out_code))                \
    X(cl_int, clBuildProgram,                                                                                          \
      (cl_program program, cl_uint count, const cl_device_id *devices, const char *options, void *sink, void *user))   \
    X(cl_int, clReleaseProgram, (cl_program program))                                                                  \
    X(cl_kernel, clCreateKernel, (cl_program program, const char *name, cl_int *out_code))                             \
    X(cl_int, clReleaseKernel, (cl_kernel kernel))                                                                     \
    X(cl_int, clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t bytes, const void *value))                      \
    X(cl_int, clSetKernelArgSVMPointer, (cl_kernel kernel, cl_uint index, const void *value))                          \
    X(cl_int, clEnqueueNDRangeKernel,                                                                                  \
      (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,       \
       const size_t *local, cl_uint wait_count, const cl_event *waits, cl_event *out_event))

#define POINTER(type, name, parameters) type(*name) parameters;

typedef struct program {
    struct {
        DCMI_CL_FUNCTIONS(POINTER)
        KERNEL_FUNCTIONS(POINTER)
    } cl;
    cl_context context;
    cl_device_id device;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
} program;

static const char source[] = "kernel void twice(global float *numbers, ulong first)\n"
                             "{\n"
                             "    numbers[first + get_global_id(0)] *= 2;\n"
                             "}\n";

static program
program_open(void)
{
    program self = {.context = NULL};
    const char *text = source;
    cl_platform_id platform = NULL;
    cl_uint count = 0;
    cl_int code = -1;
    manager_close(manager_open(NULL)); /* or skipped */
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
#define DCMEM_X(type, name, parameters)                                                                                \
    {                                                                                                                  \
        void *found = dlsym(library, #name);                                                                           \
        EXPECT(found != NULL);                                                                                         \
        memcpy(&self.cl.name, &found, sizeof found);                                                                   \
    }
    DCMI_CL_FUNCTIONS(DCMEM_X)
    KERNEL_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
    EXPECT_EQ(self.cl.clGetPlatformIDs(1, &platform, &count), 0);
    EXPECT_EQ(self.cl.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &self.device, &count), 0);
    self.context = self.cl.clCreateContext(NULL, 1, &self.device, NULL, NULL, &code);
    EXPECT_EQ(code, 0);
    self.queue = self.cl.clCreateCommandQueue(self.context, self.device, 0, &code);
    EXPECT_EQ(code, 0);
    self.program = self.cl.clCreateProgramWithSource(self.context, 1, &text, NULL, &code);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(self.cl.clBuildProgram(self.program, 1, &self.device, "", NULL, NULL), 0);
    self.kernel = self.cl.clCreateKernel(self.program, "twice", &code);
    EXPECT_EQ(code, 0);
    return self;
}

static void
program_close(program *self)
{
    EXPECT_EQ(self->cl.clReleaseKernel(self->kernel), 0);
    EXPECT_EQ(self->cl.clReleaseProgram(self->program), 0);
    /* Borrowed means that these are still good. */
    EXPECT_EQ(self->cl.clReleaseCommandQueue(self->queue), 0);
    EXPECT_EQ(self->cl.clReleaseContext(self->context), 0);
}

/* Runs the kernel on what an access names. */
static void
double_numbers(const program *self, const dcmem_native *native, size_t count)
{
    const uint64_t first = native->kind == DCMEM_NATIVE_OPENCL_BUFFER ? native->offset / sizeof(float) : 0;
    const uint64_t object = native->object;
    if (native->kind == DCMEM_NATIVE_OPENCL_BUFFER)
        EXPECT_EQ(self->cl.clSetKernelArg(self->kernel, 0, sizeof object, &object), 0);
    else
        EXPECT_EQ(self->cl.clSetKernelArgSVMPointer(self->kernel, 0, (void *)(uintptr_t)native->address), 0);
    EXPECT_EQ(self->cl.clSetKernelArg(self->kernel, 1, sizeof first, &first), 0);
    EXPECT_EQ(self->cl.clEnqueueNDRangeKernel(self->queue, self->kernel, 1, NULL, &count, NULL, 0, NULL, NULL), 0);
    EXPECT_EQ(self->cl.clFinish(self->queue), 0);
}

TEST(opencl__kernels_of_the_caller_s_own_context_run_on_memory_of_each_kind)
{
    enum { COUNT = 1000 };
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE, DCMEM_KIND_MANAGED};
    float numbers[COUNT];
    program own = program_open();
    const dcmem_native_context native = {
        .size = sizeof native,
        .context = (uintptr_t)own.context,
        .device = (uintptr_t)own.device,
        .queue = (uintptr_t)own.queue,
    };
    dcmem_manager *manager = manager_open(&native);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        dcmem_access access;
        if (!has_kind(manager, kinds[i]))
            continue;
        for (int j = 0; j < COUNT; j++)
            numbers[j] = (float)j;
        /* Not the first block of its segment: the offset counts. */
        dcmem_buffer *before = buffer_of(manager, numbers, sizeof numbers, kinds[i]);
        dcmem_buffer *buffer = buffer_of(manager, numbers, sizeof numbers, kinds[i]);
        EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0));
        double_numbers(&own, &access.native, COUNT);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT_OK(dcmem_buffer_copy_out(numbers, dcmem_view_whole(buffer), 0));
        for (int j = 0; j < COUNT; j++)
            EXPECT(numbers[j] == 2 * (float)j);
        EXPECT_OK(dcmem_buffer_copy_out(numbers, dcmem_view_whole(before), 0));
        for (int j = 0; j < COUNT; j++)
            EXPECT(numbers[j] == (float)j);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        EXPECT_OK(dcmem_buffer_destroy(before));
    }
    manager_close(manager);
    program_close(&own);
}

TEST(opencl__the_caller_s_queue_keeps_kernels_and_copies_in_order)
{
    enum { COUNT = 4096, TIMES = 10 };
    static float numbers[COUNT];
    program own = program_open();
    const dcmem_native_context native = {
        .size = sizeof native,
        .context = (uintptr_t)own.context,
        .device = (uintptr_t)own.device,
        .queue = (uintptr_t)own.queue,
    };
    dcmem_open options = plain;
    void *device = NULL, *queue = NULL;
    dcmem_extent extent = {0};
    uint64_t value = 0;
    const dcmem_acquire request = {.bytes = sizeof numbers, .kind = DCMEM_KIND_DEVICE};
    options.native = &native;
    EXPECT_OK(opencl()->open(&device, opencl(), &options));
    EXPECT_OK(opencl()->acquire(&extent, device, &nobody, &request));
    EXPECT_OK(opencl()->queue_open(&queue, device, &native));

    const float one = 1;
    const uint64_t first = 0;
    const size_t count = COUNT;
    const dcmem_place there = {.extent = &extent}, here = {.host = numbers};
    EXPECT_EQ(own.cl.clSetKernelArg(own.kernel, 0, sizeof extent.object, &extent.object), 0);
    EXPECT_EQ(own.cl.clSetKernelArg(own.kernel, 1, sizeof first, &first), 0);
    EXPECT_OK(opencl()->enqueue_fill(&value, device, queue, &nobody, &there, sizeof numbers, &one, sizeof one));
    for (int i = 0; i < TIMES; i++)
        EXPECT_EQ(own.cl.clEnqueueNDRangeKernel(own.queue, own.kernel, 1, NULL, &count, NULL, 0, NULL, NULL), 0);
    EXPECT_OK(opencl()->enqueue_copy(&value, device, queue, &nobody, &here, &there, sizeof numbers));
    EXPECT_OK(opencl()->queue_wait(device, queue, value, UINT64_MAX));
    for (int i = 0; i < COUNT; i++)
        EXPECT(numbers[i] == (float)(1 << TIMES));
    opencl()->queue_close(device, queue);
    EXPECT_OK(opencl()->release(device, &nobody, &extent));
    opencl()->close(device);
    program_close(&own);
}
