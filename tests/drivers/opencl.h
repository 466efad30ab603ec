/* opencl.h: what the tests of the OpenCL driver share: the stand-in in a shape of their choice, and short ways to call
 * the backend. */
#ifndef DCMI_TEST_OPENCL_H
#define DCMI_TEST_OPENCL_H

#include "drivers/opencl/card.h"
#include "opencl_stand_in.h"
#include "test.h"

#include <dlfcn.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

/* A processor: what PoCL is. */
static const stand_in_shape processor = {
    .platform_count = 1,
    .device_count = 2,
    .name = "stand-in",
    .version = "OpenCL 3.0 of tests",
    .driver = "1.0",
    .extensions = "cl_khr_one cl_khr_pci_bus_info cl_khr_device_uuid",
    .total_bytes = 256 * MIB,
    .largest_bytes = 64 * MIB,
    .alignment_bits = 1024,
    .cache_line_bytes = 64,
    .svm = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER | CL_DEVICE_SVM_FINE_GRAIN_BUFFER,
    .is_unified = 1,
    .is_available = 1,
    .is_processor = true,
};

/* A graphics processor that shares the host's memory: with addresses and shared memory, but without coherence. */
static inline stand_in_shape
integrated(void)
{
    stand_in_shape shape = processor;
    shape.is_processor = false;
    shape.is_non_coherent = true;
    shape.has_addresses = true;
    shape.svm = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
    shape.extensions = "cl_ext_buffer_device_address";
    shape.skew_bytes = 128;
    return shape;
}

/* A card with memory of its own. */
static inline stand_in_shape
discrete(void)
{
    stand_in_shape shape = processor;
    shape.is_processor = false;
    shape.is_unified = 0;
    shape.is_non_coherent = true;
    shape.svm = 0;
    shape.extensions = "cl_intel_unified_shared_memory";
    shape.host_usm = shape.shared_usm = 0xf;
    shape.skew_bytes = 64;
    return shape;
}

static inline const dcmem_backend *
opencl(void)
{
    return dcmem_backend_find("opencl");
}

/* Has the driver open the stand-in, and find its devices anew. */
static inline stand_in *
stand_in_use(stand_in_shape shape)
{
    static const char path[] = TEST_BUILD_DIR "/tests/drivers/opencl_stand_in.so";
    stand_in *(*get)(void);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
    void *found = dlsym(library, "stand_in_get");
    EXPECT(found != NULL);
    memcpy(&get, &found, sizeof get);
    dcmi_cl_library_name = path;
    dcmi_cl_cards_forget();
    *get() = (stand_in){.shape = shape};
    return get();
}

/* Commands that were held end. */
static inline void
stand_in_release(void)
{
    void (*end)(void);
    void *library = dlopen(dcmi_cl_library_name, RTLD_NOW | RTLD_LOCAL);
    void *found = dlsym(library, "stand_in_end_held");
    memcpy(&end, &found, sizeof end);
    end();
}

static inline uint32_t
opencl_count(void)
{
    uint32_t count = 0;
    EXPECT_OK(opencl()->count(&count, opencl()));
    return count;
}

static inline void *
opencl_opened(uint32_t index)
{
    void *device = NULL;
    dcmem_open options = plain;
    options.index = index;
    EXPECT_OK(opencl()->open(&device, opencl(), &options));
    return device;
}

static inline dcmem_device_info
opencl_info(void *device)
{
    dcmem_device_info info = {0};
    EXPECT_OK(opencl()->info(&info, device));
    return info;
}

static inline dcmem_result
opencl_acquire(dcmem_extent *out, void *device, uint64_t bytes, dcmem_kind kind)
{
    const dcmem_acquire request = {.bytes = bytes, .kind = kind};
    return opencl()->acquire(out, device, &nobody, &request);
}

static inline dcmem_extent
opencl_acquired(void *device, uint64_t bytes, dcmem_kind kind)
{
    dcmem_extent extent = {0};
    EXPECT_OK(opencl_acquire(&extent, device, bytes, kind));
    EXPECT_EQ(extent.bytes, bytes);
    return extent;
}

static inline void
opencl_released(void *device, const dcmem_extent *extent)
{
    EXPECT_OK(opencl()->release(device, &nobody, extent));
}

static inline dcmem_place
in_extent(const dcmem_extent *extent, uint64_t offset)
{
    return (dcmem_place){.extent = extent, .offset = offset};
}

static inline dcmem_place
in_host(void *host)
{
    return (dcmem_place){.host = host};
}

static inline dcmem_result
opencl_copy(void *device, dcmem_place to, dcmem_place from, uint64_t bytes)
{
    return opencl()->copy(device, &nobody, &to, &from, bytes);
}

static inline dcmem_result
opencl_fill(void *device, dcmem_place to, uint64_t bytes, unsigned char byte)
{
    return opencl()->fill(device, &nobody, &to, bytes, &byte, 1);
}

#define EXPECT_NOTHING_LIVES(library)                                                                                  \
    do {                                                                                                               \
        EXPECT_EQ((library)->live.contexts, 0);                                                                        \
        EXPECT_EQ((library)->live.queues, 0);                                                                          \
        EXPECT_EQ((library)->live.buffers, 0);                                                                         \
        EXPECT_EQ((library)->live.events, 0);                                                                          \
        EXPECT_EQ((library)->live.maps, 0);                                                                            \
        EXPECT_EQ((library)->live.pointers, 0);                                                                        \
        EXPECT_EQ((library)->live.bytes, 0);                                                                           \
    } while (0)

#endif
