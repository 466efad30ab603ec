/* cl.h: as much of OpenCL as the driver uses: its types, numbers and functions, under the names that they have there.
 *
 * Written down here so that every build has the backend, whatever headers a machine has. Handles are pointers to
 * structs that nobody defines. */
#ifndef DCMI_OPENCL_CL_H
#define DCMI_OPENCL_CL_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint32_t cl_bool;
typedef uint64_t cl_ulong;
typedef uint64_t cl_bitfield;

typedef struct dcmi_cl_platform_object *cl_platform_id;
typedef struct dcmi_cl_device_object *cl_device_id;
typedef struct dcmi_cl_context_object *cl_context;
typedef struct dcmi_cl_queue_object *cl_command_queue;
typedef struct dcmi_cl_mem_object *cl_mem;
typedef struct dcmi_cl_event_object *cl_event;

/* Part of a buffer. */
typedef struct cl_buffer_region {
    size_t origin;
    size_t size;
} cl_buffer_region;

typedef struct cl_pci_bus_info {
    cl_uint domain;
    cl_uint bus;
    cl_uint device;
    cl_uint function;
} cl_pci_bus_info;

/* name, number, what it means here */
#define DCMI_CL_CODES(X)                                                                                               \
    X(CL_DEVICE_NOT_FOUND, -1, DCMEM_E_UNAVAILABLE)                                                                    \
    X(CL_DEVICE_NOT_AVAILABLE, -2, DCMEM_E_UNAVAILABLE)                                                                \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE, -4, DCMEM_E_NO_MEMORY)                                                         \
    X(CL_OUT_OF_RESOURCES, -5, DCMEM_E_NO_MEMORY)                                                                      \
    X(CL_OUT_OF_HOST_MEMORY, -6, DCMEM_E_NO_HOST_MEMORY)                                                               \
    X(CL_MEM_COPY_OVERLAP, -8, DCMEM_E_DRIVER)                                                                         \
    X(CL_MAP_FAILURE, -12, DCMEM_E_NO_HOST_MEMORY)                                                                     \
    X(CL_MISALIGNED_SUB_BUFFER_OFFSET, -13, DCMEM_E_MISALIGNED)                                                        \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, -14, DCMEM_E_DRIVER)                                               \
    X(CL_INVALID_VALUE, -30, DCMEM_E_DRIVER)                                                                           \
    X(CL_INVALID_PLATFORM, -32, DCMEM_E_DRIVER)                                                                        \
    X(CL_INVALID_DEVICE, -33, DCMEM_E_DRIVER)                                                                          \
    /* A context or queue that was good is so no more: this is how a device that was lost shows. */                    \
    X(CL_INVALID_CONTEXT, -34, DCMEM_E_DEVICE_LOST)                                                                    \
    X(CL_INVALID_QUEUE_PROPERTIES, -35, DCMEM_E_DRIVER)                                                                \
    X(CL_INVALID_COMMAND_QUEUE, -36, DCMEM_E_DEVICE_LOST)                                                              \
    X(CL_INVALID_HOST_PTR, -37, DCMEM_E_DRIVER)                                                                        \
    X(CL_INVALID_MEM_OBJECT, -38, DCMEM_E_DRIVER)                                                                      \
    X(CL_INVALID_EVENT, -58, DCMEM_E_DRIVER)                                                                           \
    X(CL_INVALID_OPERATION, -59, DCMEM_E_DRIVER)                                                                       \
    X(CL_INVALID_BUFFER_SIZE, -61, DCMEM_E_TOO_LARGE)                                                                  \
    X(CL_INVALID_PROPERTY, -64, DCMEM_E_DRIVER)                                                                        \
    X(CL_PLATFORM_NOT_FOUND_KHR, -1001, DCMEM_E_UNAVAILABLE)

enum cl_code {
    CL_SUCCESS = 0,
#define DCMEM_X(name, number, result) name = (number),
    DCMI_CL_CODES(DCMEM_X)
#undef DCMEM_X
};

#define CL_FALSE 0u
#define CL_TRUE  1u

#define CL_PLATFORM_VERSION 0x0901u

#define CL_DEVICE_TYPE_CPU (1ull << 1)
#define CL_DEVICE_TYPE_ALL 0xffffffffull

#define CL_DEVICE_TYPE                                        0x1000u
#define CL_DEVICE_MAX_MEM_ALLOC_SIZE                          0x1010u
#define CL_DEVICE_MEM_BASE_ADDR_ALIGN                         0x1019u /* in bits */
#define CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE                   0x101du
#define CL_DEVICE_GLOBAL_MEM_CACHE_SIZE                       0x101eu
#define CL_DEVICE_GLOBAL_MEM_SIZE                             0x101fu
#define CL_DEVICE_AVAILABLE                                   0x1027u
#define CL_DEVICE_NAME                                        0x102bu
#define CL_DRIVER_VERSION                                     0x102du
#define CL_DEVICE_VERSION                                     0x102fu
#define CL_DEVICE_EXTENSIONS                                  0x1030u
#define CL_DEVICE_PLATFORM                                    0x1031u
#define CL_DEVICE_HOST_UNIFIED_MEMORY                         0x1035u
#define CL_DEVICE_SVM_CAPABILITIES                            0x1053u
#define CL_DEVICE_UUID_KHR                                    0x106au
#define CL_DEVICE_PCI_BUS_INFO_KHR                            0x410fu
#define CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL                 0x4190u
#define CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL 0x4192u
#define CL_UNIFIED_SHARED_MEMORY_ACCESS_INTEL                 (1ull << 0)

#define CL_DEVICE_SVM_COARSE_GRAIN_BUFFER (1ull << 0)
#define CL_DEVICE_SVM_FINE_GRAIN_BUFFER   (1ull << 1)

#define CL_CONTEXT_DEVICES  0x1081u
#define CL_CONTEXT_PLATFORM 0x1084

#define CL_QUEUE_CONTEXT                       0x1090u
#define CL_QUEUE_DEVICE                        0x1091u
#define CL_QUEUE_PROPERTIES                    0x1093u
#define CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE (1ull << 0)

#define CL_MEM_READ_WRITE            (1ull << 0)
#define CL_MEM_USE_HOST_PTR          (1ull << 3)
#define CL_MEM_ALLOC_HOST_PTR        (1ull << 4)
#define CL_MEM_SVM_FINE_GRAIN_BUFFER (1ull << 10)

/* cl_ext_buffer_device_address: a property of clCreateBufferWithProperties, and what clGetMemObjectInfo is asked; that
 * answers with an address for each device of the context. */
#define CL_MEM_DEVICE_PRIVATE_ADDRESS_EXT 0x5000u
#define CL_MEM_DEVICE_ADDRESS_EXT         0x5001u

#define CL_BUFFER_CREATE_TYPE_REGION 0x1220u

#define CL_MAP_READ                    (1ull << 0)
#define CL_MAP_WRITE                   (1ull << 1)
#define CL_MAP_WRITE_INVALIDATE_REGION (1ull << 2)

#define CL_EVENT_COMMAND_EXECUTION_STATUS 0x11d3u
#define CL_COMPLETE                       0

typedef void (*dcmi_cl_context_sink)(const char *text, const void *info, size_t info_bytes, void *user);
typedef void (*dcmi_cl_event_sink)(cl_event event, cl_int status, void *user);

/* What every driver has from version 1.2 on. Return type, name, parameters. */
#define DCMI_CL_FUNCTIONS(X)                                                                                           \
    X(cl_int, clGetPlatformIDs, (cl_uint entries, cl_platform_id * platforms, cl_uint * out_count))                    \
    X(cl_int, clGetPlatformInfo,                                                                                       \
      (cl_platform_id platform, cl_uint name, size_t bytes, void *value, size_t *out_bytes))                           \
    X(cl_int, clGetDeviceIDs,                                                                                          \
      (cl_platform_id platform, cl_bitfield type, cl_uint entries, cl_device_id * devices, cl_uint * out_count))       \
    X(cl_int, clGetDeviceInfo, (cl_device_id device, cl_uint name, size_t bytes, void *value, size_t *out_bytes))      \
    X(cl_context, clCreateContext,                                                                                     \
      (const intptr_t *properties, cl_uint count, const cl_device_id *devices, dcmi_cl_context_sink sink, void *user,  \
       cl_int *out_code))                                                                                              \
    X(cl_int, clReleaseContext, (cl_context context))                                                                  \
    X(cl_int, clGetContextInfo, (cl_context context, cl_uint name, size_t bytes, void *value, size_t *out_bytes))      \
    X(cl_command_queue, clCreateCommandQueue,                                                                          \
      (cl_context context, cl_device_id device, cl_bitfield properties, cl_int * out_code))                            \
    X(cl_int, clReleaseCommandQueue, (cl_command_queue queue))                                                         \
    X(cl_int, clGetCommandQueueInfo,                                                                                   \
      (cl_command_queue queue, cl_uint name, size_t bytes, void *value, size_t *out_bytes))                            \
    X(cl_mem, clCreateBuffer, (cl_context context, cl_bitfield flags, size_t bytes, void *host, cl_int *out_code))     \
    X(cl_mem, clCreateSubBuffer,                                                                                       \
      (cl_mem buffer, cl_bitfield flags, cl_uint type, const void *region, cl_int *out_code))                          \
    X(cl_int, clReleaseMemObject, (cl_mem mem))                                                                        \
    X(cl_int, clGetMemObjectInfo, (cl_mem mem, cl_uint name, size_t bytes, void *value, size_t *out_bytes))            \
    X(cl_int, clEnqueueReadBuffer,                                                                                     \
      (cl_command_queue queue, cl_mem from, cl_bool blocks, size_t offset, size_t bytes, void *to, cl_uint wait_count, \
       const cl_event *waits, cl_event *out_event))                                                                    \
    X(cl_int, clEnqueueWriteBuffer,                                                                                    \
      (cl_command_queue queue, cl_mem to, cl_bool blocks, size_t offset, size_t bytes, const void *from,               \
       cl_uint wait_count, const cl_event *waits, cl_event *out_event))                                                \
    X(cl_int, clEnqueueCopyBuffer,                                                                                     \
      (cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t bytes,             \
       cl_uint wait_count, const cl_event *waits, cl_event *out_event))                                                \
    X(cl_int, clEnqueueFillBuffer,                                                                                     \
      (cl_command_queue queue, cl_mem to, const void *pattern, size_t pattern_bytes, size_t offset, size_t bytes,      \
       cl_uint wait_count, const cl_event *waits, cl_event *out_event))                                                \
    X(void *, clEnqueueMapBuffer,                                                                                      \
      (cl_command_queue queue, cl_mem mem, cl_bool blocks, cl_bitfield flags, size_t offset, size_t bytes,             \
       cl_uint wait_count, const cl_event *waits, cl_event *out_event, cl_int *out_code))                              \
    X(cl_int, clEnqueueUnmapMemObject,                                                                                 \
      (cl_command_queue queue, cl_mem mem, void *mapped, cl_uint wait_count, const cl_event *waits,                    \
       cl_event *out_event))                                                                                           \
    X(cl_int, clEnqueueMarkerWithWaitList,                                                                             \
      (cl_command_queue queue, cl_uint wait_count, const cl_event *waits, cl_event *out_event))                        \
    X(cl_int, clFlush, (cl_command_queue queue))                                                                       \
    X(cl_int, clFinish, (cl_command_queue queue))                                                                      \
    X(cl_int, clWaitForEvents, (cl_uint count, const cl_event *events))                                                \
    X(cl_int, clGetEventInfo, (cl_event event, cl_uint name, size_t bytes, void *value, size_t *out_bytes))            \
    X(cl_int, clReleaseEvent, (cl_event event))                                                                        \
    X(cl_int, clSetEventCallback, (cl_event event, cl_int status, dcmi_cl_event_sink sink, void *user))                \
    X(void *, clGetExtensionFunctionAddressForPlatform, (cl_platform_id platform, const char *name))

/* What newer versions of the loader have; NULL where it has not. */
#define DCMI_CL_NEWER_FUNCTIONS(X)                                                                                     \
    X(void *, clSVMAlloc, (cl_context context, cl_bitfield flags, size_t bytes, cl_uint alignment))                    \
    X(void, clSVMFree, (cl_context context, void *memory))                                                             \
    X(cl_mem, clCreateBufferWithProperties,                                                                            \
      (cl_context context, const cl_bitfield *properties, cl_bitfield flags, size_t bytes, void *host,                 \
       cl_int *out_code))

/* cl_intel_unified_shared_memory: each platform has its own. */
#define DCMI_CL_SHARED_MEMORY_FUNCTIONS(X)                                                                             \
    X(void *, clHostMemAllocINTEL,                                                                                     \
      (cl_context context, const cl_bitfield *properties, size_t bytes, cl_uint alignment, cl_int *out_code))          \
    X(void *, clSharedMemAllocINTEL,                                                                                   \
      (cl_context context, cl_device_id device, const cl_bitfield *properties, size_t bytes, cl_uint alignment,        \
       cl_int *out_code))                                                                                              \
    X(cl_int, clMemFreeINTEL, (cl_context context, void *memory))

#endif
