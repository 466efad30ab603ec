/* dcmem/base.h: what every other public header needs: visibility, kinds, tags, the native face of memory. */
#ifndef DCMEM_BASE_H
#define DCMEM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define DCMEM_BEGIN extern "C" {
#define DCMEM_END   }
#else
#define DCMEM_BEGIN
#define DCMEM_END
#endif

#if defined(__GNUC__)
#define DCMEM_API __attribute__((visibility("default")))
#else
#define DCMEM_API
#endif

DCMEM_BEGIN

/* A manager: one device with its pool, limits and statistics (dcmem/manager.h). Opaque; never dereferenced. */
typedef struct dcmem_manager dcmem_manager;

/* A buffer: bytes with a host side and a device side (dcmem/buffer.h). Opaque; never dereferenced. */
typedef struct dcmem_buffer dcmem_buffer;

/* Kinds of memory. Zero is the device's own memory, which on a CPU is the process's memory. */
#define DCMEM_KINDS(X)                                                                                                 \
    X(DEVICE, "device")             /* the device's own memory */                                                      \
    X(HOST, "host")                 /* ordinary memory of the host */                                                  \
    X(PINNED, "pinned")             /* host memory that is page-locked */                                              \
    X(MANAGED, "managed")           /* one address on both sides, moved by the driver */                               \
    X(HOST_VISIBLE, "host_visible") /* device memory that the host can map */

typedef enum dcmem_kind {
#define DCMEM_X(name, text) DCMEM_KIND_##name,
    DCMEM_KINDS(DCMEM_X)
#undef DCMEM_X
        DCMEM_KIND_COUNT
} dcmem_kind;

#define DCMEM_KIND_BIT(kind) (1u << (kind))

/* What a tag says is up to the caller; 0 is "no tag". Tags below DCMEM_TAG_LIMIT have figures of their own. */
typedef uint32_t dcmem_tag;
#define DCMEM_TAG_LIMIT 64u

/* How a kernel or another library sees a piece of memory. */
typedef enum dcmem_native_kind {
    DCMEM_NATIVE_NONE,
    DCMEM_NATIVE_HOST_POINTER,
    DCMEM_NATIVE_CUDA_POINTER,
    DCMEM_NATIVE_HIP_POINTER,
    DCMEM_NATIVE_LEVEL_ZERO_POINTER,
    DCMEM_NATIVE_OPENCL_BUFFER,
    DCMEM_NATIVE_OPENCL_SVM,
    DCMEM_NATIVE_VULKAN_BUFFER,
    DCMEM_NATIVE_METAL_BUFFER,
    DCMEM_NATIVE_SIMULATED
} dcmem_native_kind;

/* What a kernel is given. `object` is the driver's handle (cl_mem, VkBuffer, id<MTLBuffer>) or the base address. */
typedef struct dcmem_native {
    dcmem_native_kind kind;
    uint64_t object;  /* the driver's own handle */
    uint64_t offset;  /* bytes from the object's start */
    uint64_t bytes;   /* bytes that may be used */
    uint64_t address; /* address as the device sees it, or 0 where it has none */
} dcmem_native;

/* A context, device or queue of the caller's own, lent to dcmem and never destroyed by it. Unused fields are 0. */
typedef struct dcmem_native_context {
    size_t size;       /* sizeof(dcmem_native_context) */
    uint64_t instance; /* VkInstance, cl_platform_id, ze_driver_handle_t */
    uint64_t context;  /* CUcontext, hipCtx_t, cl_context, ze_context_handle_t */
    uint64_t device;   /* CUdevice, cl_device_id, VkPhysicalDevice, ze_device_handle_t, id<MTLDevice> */
    uint64_t logical;  /* VkDevice */
    uint64_t queue;    /* CUstream, hipStream_t, cl_command_queue, VkQueue, id<MTLCommandQueue> */
    uint32_t family;   /* Vulkan queue family */
    uint32_t reserved;
} dcmem_native_context;

/* "device", "host", ...; "unknown" for what is no kind.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_kind_name(dcmem_kind kind);

DCMEM_END
#endif
