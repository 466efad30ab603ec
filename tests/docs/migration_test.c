/* migration_test.c: the programs that docs/migration.md shows as "after" do what the ones before them did.
 *
 * What stands between "show" and "end" is in the document as it is here; tests/docs/migration_test.sh compares. */
#include "stage.h"

static int
after_malloc(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    (void)backend;
    /* show: malloc */
    dcmem_manager *manager;
    TRY(dcmem_manager_create(&manager, NULL)) /* once a program */
    float *numbers = dcmem_raw_allocate(manager, bytes / 2);
    TRY(!numbers)
    float *more = dcmem_raw_reallocate(manager, numbers, bytes);
    TRY(!more) /* numbers is still there then */
    memcpy(more, input, bytes);
    double_at(more, count);
    memcpy(output, more, bytes);
    TRY(dcmem_raw_free(manager, more))
    TRY(dcmem_manager_destroy(manager)) /* an error when something is still live */
    /* end */
    return 0;
}

static int
after_cuda_malloc(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    /* show: cudaMalloc */
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options, .backend = backend, .device = 0};
    TRY(dcmem_manager_create(&manager, &options)) /* once a program and device */
    float *numbers = dcmem_raw_allocate(manager, bytes);
    TRY(!numbers)
    TRY(dcmem_raw_write(manager, numbers, input, bytes))
    double_at(numbers, count);
    TRY(dcmem_raw_read(manager, output, numbers, bytes))
    TRY(dcmem_raw_free(manager, numbers))
    TRY(dcmem_manager_destroy(manager))
    /* end */
    return 0;
}

/* A kernel on a queue: it comes after what is there already. */
static void
double_on(dcmem_queue *queue, float *numbers, size_t count)
{
    uint64_t value;
    EXPECT_OK(dcmem_queue_mark(&value, queue));
    EXPECT_OK(dcmem_queue_wait(queue, value, UINT64_MAX));
    double_at(numbers, count);
}

static int
after_cuda_malloc_async(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    /* show: cudaMallocAsync */
    dcmem_manager *manager;
    dcmem_queue *queue;
    uint64_t done;
    dcmem_manager_options options = {.size = sizeof options, .backend = backend, .device = 0};
    TRY(dcmem_manager_create(&manager, &options))  /* once a program and device */
    TRY(dcmem_queue_create(&queue, manager, NULL)) /* instead of NULL: a stream of your own */
    float *numbers = dcmem_raw_allocate_on(queue, bytes);
    TRY(!numbers)
    TRY(dcmem_raw_write_on(NULL, queue, numbers, input, bytes))
    double_on(queue, numbers, count);
    TRY(dcmem_raw_read_on(&done, queue, output, numbers, bytes))
    TRY(dcmem_raw_free_on(queue, numbers))
    TRY(dcmem_queue_wait(queue, done, UINT64_MAX))
    TRY(dcmem_queue_destroy(queue))
    TRY(dcmem_manager_destroy(manager))
    /* end */
    return 0;
}

static int
after_opencl(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    /* show: clCreateBuffer */
    dcmem_manager *manager;
    dcmem_buffer *numbers;
    dcmem_access access;
    dcmem_manager_options options = {.size = sizeof options, .backend = backend, .device = 0};
    TRY(dcmem_manager_create(&manager, &options)) /* once a program and device */
    TRY(dcmem_buffer_create_from(&numbers, manager, input, bytes, NULL))
    TRY(dcmem_access_begin(&access, dcmem_view_whole(numbers), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
    double_in(access.native, count); /* arguments of the kernel: native.object is the cl_mem, and native.offset */
    TRY(dcmem_access_end(&access))
    TRY(dcmem_buffer_copy_out(output, dcmem_view_whole(numbers), 0))
    TRY(dcmem_buffer_destroy(numbers))
    TRY(dcmem_manager_destroy(manager))
    /* end */
    return 0;
}

static int
after_vulkan(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    /* show: VMA */
    dcmem_manager *manager;
    dcmem_buffer *numbers;
    dcmem_map map;
    dcmem_access access;
    dcmem_manager_options options = {.size = sizeof options, .backend = backend, .device = 0};
    dcmem_buffer_options visible = {.size = sizeof visible, .kind = DCMEM_KIND_HOST_VISIBLE};
    TRY(dcmem_manager_create(&manager, &options)) /* once a program and device */
    TRY(dcmem_buffer_create(&numbers, manager, bytes, &visible))
    TRY(dcmem_buffer_map(&map, dcmem_view_whole(numbers), DCMEM_MAP_WRITE_DISCARD))
    memcpy(map.host, input, bytes);
    TRY(dcmem_buffer_unmap(&map)) /* flushes where the memory is not coherent */
    TRY(dcmem_access_begin(&access, dcmem_view_whole(numbers), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
    double_in(access.native, count); /* native.object is the VkBuffer, native.offset the offset in it */
    TRY(dcmem_access_end(&access))
    TRY(dcmem_buffer_map(&map, dcmem_view_whole(numbers), DCMEM_MAP_READ)) /* invalidates where it must */
    memcpy(output, map.host, bytes);
    TRY(dcmem_buffer_unmap(&map))
    TRY(dcmem_buffer_destroy(numbers))
    TRY(dcmem_manager_destroy(manager))
    /* end */
    return 0;
}

static int
after_umf(const char *backend, const float *input, float *output, size_t count)
{
    size_t bytes = count * sizeof *input;
    /* show: UMF */
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options, .backend = backend, .device = 0};
    TRY(dcmem_manager_create(&manager, &options)) /* provider and pool in one */
    float *numbers = dcmem_raw_allocate_aligned(manager, bytes, 256);
    TRY(!numbers)
    TRY(dcmem_raw_write(manager, numbers, input, bytes)) /* UMF leaves copies to you */
    double_at(numbers, count);
    TRY(dcmem_raw_read(manager, output, numbers, bytes))
    TRY(dcmem_raw_free(manager, numbers))
    TRY(dcmem_manager_destroy(manager))
    /* end */
    return 0;
}

/* ---- Tests: on each kind of device that the program is for ---- */

static void
expect_doubled(program run, const uint32_t *devices, size_t count)
{
    expect_doubled_on(&(stage){.name = "cpu"}, run);
    for (size_t i = 0; i < count; i++)
        expect_doubled_on(&(stage){.name = "another", .flags = devices[i]}, run);
}

#define ADDRESSED DCMEM_SIMULATED_ADDRESSED
#define UNIFIED   DCMEM_SIMULATED_UNIFIED
#define VISIBLE   (DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT)

static const uint32_t with_addresses[] = {ADDRESSED, ADDRESSED | UNIFIED | DCMEM_SIMULATED_DIVISIBLE};
static const uint32_t with_objects[] = {0, UNIFIED, UNIFIED | DCMEM_SIMULATED_NON_COHERENT, VISIBLE, ADDRESSED};
static const uint32_t with_maps[] = {UNIFIED, UNIFIED | DCMEM_SIMULATED_NON_COHERENT, VISIBLE};

#define EXPECT_DOUBLED(run, devices) expect_doubled(run, devices, sizeof(devices) / sizeof *(devices))

TEST(migration__from_malloc_runs)
{
    expect_doubled_on(&(stage){.name = "cpu"}, after_malloc);
}

TEST(migration__from_cudaMalloc_runs_on_every_device_with_addresses)
{
    EXPECT_DOUBLED(after_cuda_malloc, with_addresses);
}

TEST(migration__from_cudaMallocAsync_runs_on_every_device_with_addresses)
{
    EXPECT_DOUBLED(after_cuda_malloc_async, with_addresses);
}

TEST(migration__from_clCreateBuffer_runs_on_every_device)
{
    EXPECT_DOUBLED(after_opencl, with_objects);
}

TEST(migration__from_VMA_runs_on_every_device_that_the_host_can_map)
{
    EXPECT_DOUBLED(after_vulkan, with_maps);
}

TEST(migration__from_UMF_runs_on_every_device_with_addresses)
{
    EXPECT_DOUBLED(after_umf, with_addresses);
}

/* The programs say why they fail, as their TRY promises. */
TEST(migration__to_a_backend_that_is_not_there_fails_with_its_name)
{
    float numbers[COUNT] = {0};
    EXPECT_EQ(after_cuda_malloc("nowhere", numbers, numbers, COUNT), -1);
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("nowhere");
}
