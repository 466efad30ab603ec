/* opencl_sweep_test.c: a device's life in which one call of the driver's fails, each in turn, and then all from it on:
 * nothing is left, what was given is whole, and what was refused says why. */
#include "opencl.h"

#include <stdlib.h>

static unsigned char imported[4096];

/* What a step of a life came to. A failure must have written the detail, and it must be a failure that a driver can
 * have. */
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
    (void)went_well(opencl_copy(device, in_extent(extent, 0), in_host(bytes), 64));
    (void)went_well(opencl_copy(device, in_host(bytes), in_extent(extent, 0), 64));
    (void)went_well(opencl_copy(device, in_extent(extent, 64), in_extent(extent, 0), 64));
    (void)went_well(opencl_fill(device, in_extent(extent, 0), 64, 5));
    if (!(opencl_info(device).capabilities & DCMEM_CAP_MAP))
        return;
    if (went_well(opencl()->map(&host, device, &nobody, extent, 0, 4096, DCMEM_MAP_READ_BIT)))
        (void)went_well(opencl()->unmap(device, &nobody, extent, host));
    (void)went_well(opencl()->flush(device, &nobody, extent, 0, 4096));
    (void)went_well(opencl()->invalidate(device, &nobody, extent, 0, 4096));
}

static void
use_queue(void *device, const dcmem_extent *extent)
{
    void *queue = NULL;
    uint64_t value = 0;
    unsigned char bytes[64];
    const dcmem_place place = in_extent(extent, 0), host = in_host(bytes);
    if (!went_well(opencl()->queue_open(&queue, device, NULL)))
        return;
    (void)went_well(opencl()->enqueue_fill(&value, device, queue, &nobody, &place, 64, "x", 1));
    (void)went_well(opencl()->enqueue_copy(&value, device, queue, &nobody, &host, &place, 64));
    (void)went_well(opencl()->enqueue_copy(&value, device, queue, &nobody, &host, &host, 64));
    if (went_well(opencl()->queue_mark(&value, device, queue)))
        (void)went_well(opencl()->queue_wait(device, queue, value, UINT64_MAX));
    opencl()->queue_close(device, queue);
}

static void
use_device(void *device)
{
    dcmem_extent extent;
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!(opencl_info(device).kinds & DCMEM_KIND_BIT(kind)))
            continue;
        extent = (dcmem_extent){.bytes = 42};
        if (went_well(opencl_acquire(&extent, device, 64 * KIB, (dcmem_kind)kind))) {
            use_memory(device, &extent);
            use_queue(device, &extent);
            (void)went_well(opencl()->release(device, &nobody, &extent));
        } else {
            EXPECT_EQ(extent.bytes, 42);
        }
    }
    if ((opencl_info(device).capabilities & DCMEM_CAP_IMPORT) &&
        went_well(opencl()->import_host(&extent, device, &nobody, imported, sizeof imported)))
        (void)went_well(opencl()->release(device, &nobody, &extent));
    EXPECT_EQ(opencl_info(device).heaps[0].total_bytes, 256 * MIB);
    EXPECT_EQ(dcmi_cl_card_at(0)->charged_bytes, 0);
}

static void
live(void)
{
    void *device = NULL;
    uint32_t count = 0;
    if (!went_well(opencl()->count(&count, opencl())) || !went_well(opencl()->open(&device, opencl(), &plain)))
        return;
    use_device(device);
    opencl()->close(device);
}

/* Fails calls number 1, 2, ... of a life, `fail_count` from each on, until a life has fewer calls. */
static void
sweep(stand_in_shape shape, uint64_t fail_count, cl_int code)
{
    uint64_t from = 0, failed;
    do {
        stand_in *library = stand_in_use(shape);
        library->fail_from = ++from;
        library->fail_count = fail_count;
        library->fail_code = code;
        live();
        failed = library->failed;
        library->fail_from = 0;
        EXPECT_NOTHING_LIVES(library);
    } while (failed);
    EXPECT_GE(from, 100);
}

#define SWEEPS(X) X(processor, processor) X(integrated, integrated()) X(discrete, discrete())

#define SWEEP(name, shape)                                                                                             \
    TEST(name##__survives_each_call_that_fails)                                                                        \
    {                                                                                                                  \
        sweep(shape, 1, CL_OUT_OF_RESOURCES);                                                                          \
    }                                                                                                                  \
    LONG_TEST(name##__survives_the_loss_of_its_driver_at_each_call)                                                    \
    {                                                                                                                  \
        sweep(shape, UINT64_MAX, CL_INVALID_COMMAND_QUEUE);                                                            \
    }
SWEEPS(SWEEP)

LONG_TEST(askew__survives_each_call_that_fails)
{
    stand_in_shape shape = processor;
    shape.skew_bytes = 128;
    sweep(shape, 1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    sweep(shape, UINT64_MAX, CL_MEM_OBJECT_ALLOCATION_FAILURE);
}

/* ---- Without memory for the driver's own books ---- */

static uint64_t news, fail_new;

static void *
scarce_new(size_t bytes)
{
    return ++news == fail_new ? NULL : calloc(1, bytes);
}

TEST(processor__survives_each_want_of_memory_for_its_own_books)
{
    void *(*own)(size_t) = dcmi_cl_new;
    dcmi_cl_new = scarce_new;
    fail_new = 0;
    do {
        stand_in *library = stand_in_use(processor);
        news = 0;
        fail_new++;
        live();
        EXPECT_NOTHING_LIVES(library);
    } while (news >= fail_new);
    dcmi_cl_new = own;
    EXPECT_GE(fail_new, 20);
}
