/* opencl_layer.c: a layer of the OpenCL loader (OPENCL_LAYERS=this library): stands before whatever driver there is,
 * counts what lives in it, and makes its calls fail. It knows nothing of dcmem: its word is another's. */
#define CL_TARGET_OPENCL_VERSION 300
#include "opencl_layer.h"

#include <CL/cl_layer.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

/* A buffer, a part of one, or shared memory. The memory of a buffer stays while there is a part of it. */
typedef struct thing {
    void *handle; /* NULL: unused */
    size_t bytes; /* the driver's own for it */
    struct thing *whole;
    int parts;
    bool is_released;
} thing;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const cl_icd_dispatch *driver;
static cl_icd_dispatch layer;
static thing things[MOST];
static opencl_layer_account account;
static uint64_t fail_from, fail_count;
static int fail_code;

__attribute__((visibility("default"))) opencl_layer_read_call opencl_layer_read;
__attribute__((visibility("default"))) opencl_layer_fail_call opencl_layer_fail;

opencl_layer_account
opencl_layer_read(void)
{
    pthread_mutex_lock(&lock);
    opencl_layer_account now = account;
    pthread_mutex_unlock(&lock);
    return now;
}

void
opencl_layer_fail(uint64_t from, uint64_t count, int code)
{
    pthread_mutex_lock(&lock);
    account.calls = account.failed = 0;
    fail_from = from;
    fail_count = count;
    fail_code = code;
    pthread_mutex_unlock(&lock);
}

static cl_int
failure(void)
{
    pthread_mutex_lock(&lock);
    uint64_t number = ++account.calls;
    bool fails = fail_from && number >= fail_from && number - fail_from < fail_count;
    account.failed += fails;
    pthread_mutex_unlock(&lock);
    return fails ? fail_code : CL_SUCCESS;
}

static void
count(int *number, int by)
{
    pthread_mutex_lock(&lock);
    *number += by;
    pthread_mutex_unlock(&lock);
}

static thing *
find(const void *handle)
{
    for (int i = 0; i < MOST; i++)
        if (things[i].handle == handle && !things[i].is_released)
            return &things[i];
    abort(); /* A test with more of them, or a handle that never was or is gone. */
}

static void
thing_add(void *handle, size_t bytes, const void *whole, int *number)
{
    pthread_mutex_lock(&lock);
    thing *one = find(NULL);
    *one = (thing){.handle = handle, .bytes = bytes, .whole = whole ? find(whole) : NULL};
    if (one->whole)
        one->whole->parts++;
    ++*number;
    account.bytes += (int64_t)bytes;
    if (account.peak_bytes < account.bytes)
        account.peak_bytes = account.bytes;
    pthread_mutex_unlock(&lock);
}

static void
thing_forget(thing *gone)
{
    account.bytes -= (int64_t)gone->bytes;
    *gone = (thing){.handle = NULL};
}

static void
thing_remove(const void *handle)
{
    pthread_mutex_lock(&lock);
    thing *gone = find(handle), *whole = gone->whole;
    --*(whole ? &account.parts : &account.buffers);
    gone->is_released = true;
    if (!gone->parts)
        thing_forget(gone);
    if (whole && --whole->parts == 0 && whole->is_released)
        thing_forget(whole);
    pthread_mutex_unlock(&lock);
}

/* ---- Objects ---- */

static cl_context CL_API_CALL
create_context(const cl_context_properties *properties, cl_uint device_count, const cl_device_id *devices,
               void(CL_CALLBACK *sink)(const char *, const void *, size_t, void *), void *user, cl_int *code)
{
    cl_context made = driver->clCreateContext(properties, device_count, devices, sink, user, code);
    count(&account.contexts, made != NULL);
    return made;
}

static cl_int CL_API_CALL
release_context(cl_context context)
{
    count(&account.contexts, -1);
    return driver->clReleaseContext(context);
}

static cl_command_queue CL_API_CALL
create_queue(cl_context context, cl_device_id device, cl_command_queue_properties properties, cl_int *code)
{
    *code = failure();
    cl_command_queue made = *code ? NULL : driver->clCreateCommandQueue(context, device, properties, code);
    count(&account.queues, made != NULL);
    return made;
}

static cl_int CL_API_CALL
release_queue(cl_command_queue queue)
{
    count(&account.queues, -1);
    return driver->clReleaseCommandQueue(queue);
}

static cl_mem CL_API_CALL
create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *code)
{
    *code = failure();
    cl_mem made = *code ? NULL : driver->clCreateBuffer(context, flags, bytes, host, code);
    if (made)
        thing_add(made, flags & CL_MEM_USE_HOST_PTR ? 0 : bytes, NULL, &account.buffers);
    return made;
}

static cl_mem CL_API_CALL
create_part(cl_mem whole, cl_mem_flags flags, cl_buffer_create_type type, const void *region, cl_int *code)
{
    *code = failure();
    cl_mem made = *code ? NULL : driver->clCreateSubBuffer(whole, flags, type, region, code);
    if (made)
        thing_add(made, 0, whole, &account.parts);
    return made;
}

static cl_int CL_API_CALL
release_mem(cl_mem mem)
{
    thing_remove(mem);
    return driver->clReleaseMemObject(mem);
}

static void *CL_API_CALL
svm_alloc(cl_context context, cl_svm_mem_flags flags, size_t bytes, cl_uint alignment)
{
    void *made = failure() ? NULL : driver->clSVMAlloc(context, flags, bytes, alignment);
    if (made)
        thing_add(made, bytes, NULL, &account.pointers);
    return made;
}

static void CL_API_CALL
svm_free(cl_context context, void *memory)
{
    pthread_mutex_lock(&lock);
    account.pointers--;
    thing_forget(find(memory));
    pthread_mutex_unlock(&lock);
    driver->clSVMFree(context, memory);
}

/* ---- Commands ---- */

static cl_int
counted(cl_int code, const cl_event *event)
{
    count(&account.events, code == CL_SUCCESS && event);
    return code;
}

static cl_int CL_API_CALL
enqueue_read(cl_command_queue queue, cl_mem from, cl_bool blocks, size_t offset, size_t bytes, void *to, cl_uint waits,
             const cl_event *wait, cl_event *event)
{
    cl_int code = failure();
    return code ? code
                : counted(driver->clEnqueueReadBuffer(queue, from, blocks, offset, bytes, to, waits, wait, event),
                          event);
}

static cl_int CL_API_CALL
enqueue_write(cl_command_queue queue, cl_mem to, cl_bool blocks, size_t offset, size_t bytes, const void *from,
              cl_uint waits, const cl_event *wait, cl_event *event)
{
    cl_int code = failure();
    return code ? code
                : counted(driver->clEnqueueWriteBuffer(queue, to, blocks, offset, bytes, from, waits, wait, event),
                          event);
}

static cl_int CL_API_CALL
enqueue_copy(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t bytes,
             cl_uint waits, const cl_event *wait, cl_event *event)
{
    cl_int code = failure();
    return code ? code
                : counted(
                      driver->clEnqueueCopyBuffer(queue, from, to, from_offset, to_offset, bytes, waits, wait, event),
                      event);
}

static cl_int CL_API_CALL
enqueue_fill(cl_command_queue queue, cl_mem to, const void *pattern, size_t pattern_bytes, size_t offset, size_t bytes,
             cl_uint waits, const cl_event *wait, cl_event *event)
{
    cl_int code = failure();
    return code ? code
                : counted(
                      driver->clEnqueueFillBuffer(queue, to, pattern, pattern_bytes, offset, bytes, waits, wait, event),
                      event);
}

static void *CL_API_CALL
enqueue_map(cl_command_queue queue, cl_mem mem, cl_bool blocks, cl_map_flags flags, size_t offset, size_t bytes,
            cl_uint waits, const cl_event *wait, cl_event *event, cl_int *code)
{
    *code = failure();
    void *mapped =
        *code ? NULL : driver->clEnqueueMapBuffer(queue, mem, blocks, flags, offset, bytes, waits, wait, event, code);
    (void)counted(*code, event);
    return mapped;
}

static cl_int CL_API_CALL
enqueue_unmap(cl_command_queue queue, cl_mem mem, void *mapped, cl_uint waits, const cl_event *wait, cl_event *event)
{
    return counted(driver->clEnqueueUnmapMemObject(queue, mem, mapped, waits, wait, event), event);
}

static cl_int CL_API_CALL
enqueue_marker(cl_command_queue queue, cl_uint waits, const cl_event *wait, cl_event *event)
{
    cl_int code = failure();
    return code ? code : counted(driver->clEnqueueMarkerWithWaitList(queue, waits, wait, event), event);
}

static cl_int CL_API_CALL
release_event(cl_event event)
{
    count(&account.events, -1);
    return driver->clReleaseEvent(event);
}

/* ---- What the loader asks for ---- */

CL_API_ENTRY cl_int CL_API_CALL
clGetLayerInfo(cl_layer_info name, size_t bytes, void *value, size_t *out_bytes)
{
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    static const char title[] = "dcmem-tests";
    const void *found = name == CL_LAYER_NAME ? (const void *)title : &version;
    size_t size = name == CL_LAYER_NAME ? sizeof title : sizeof version;
    if ((name != CL_LAYER_NAME && name != CL_LAYER_API_VERSION) || (value && bytes < size))
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, found, size);
    if (out_bytes)
        *out_bytes = size;
    return CL_SUCCESS;
}

CL_API_ENTRY cl_int CL_API_CALL
clInitLayer(cl_uint entries, const cl_icd_dispatch *target, cl_uint *out_entries, const cl_icd_dispatch **out_dispatch)
{
    size_t most = sizeof layer / sizeof(void *);
    driver = target;
    memcpy(&layer, target, (entries < most ? entries : most) * sizeof(void *));
    layer.clCreateContext = create_context;
    layer.clReleaseContext = release_context;
    layer.clCreateCommandQueue = create_queue;
    layer.clReleaseCommandQueue = release_queue;
    layer.clCreateBuffer = create_buffer;
    layer.clCreateSubBuffer = create_part;
    layer.clReleaseMemObject = release_mem;
    layer.clSVMAlloc = svm_alloc;
    layer.clSVMFree = svm_free;
    layer.clEnqueueReadBuffer = enqueue_read;
    layer.clEnqueueWriteBuffer = enqueue_write;
    layer.clEnqueueCopyBuffer = enqueue_copy;
    layer.clEnqueueFillBuffer = enqueue_fill;
    layer.clEnqueueMapBuffer = enqueue_map;
    layer.clEnqueueUnmapMemObject = enqueue_unmap;
    layer.clEnqueueMarkerWithWaitList = enqueue_marker;
    layer.clReleaseEvent = release_event;
    *out_entries = (cl_uint)most;
    *out_dispatch = &layer;
    return CL_SUCCESS;
}
