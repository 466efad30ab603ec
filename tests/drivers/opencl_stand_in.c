/* opencl_stand_in.c: a small OpenCL that fails on command, counts what is alive, and can be of any shape.
 *
 * Commands do their work while they are enqueued; when they end is another matter (see `holds`). Handles that are not
 * alive end the process: a driver that uses one is wrong. */
#include "opencl_stand_in.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DECLARE(type, name, parameters) type name parameters;
DCMI_CL_FUNCTIONS(DECLARE)
DCMI_CL_NEWER_FUNCTIONS(DECLARE)
DCMI_CL_SHARED_MEMORY_FUNCTIONS(DECLARE)

enum { QUEUED = 3, MOST_POINTERS = 256, MOST_MAPS = 16 };

struct dcmi_cl_platform_object {
    struct dcmi_cl_device_object {
        cl_platform_id platform;
    } devices[STAND_IN_DEVICES];
};

struct dcmi_cl_context_object {
    cl_uint count;
    cl_device_id devices[STAND_IN_DEVICES];
};

struct dcmi_cl_queue_object {
    cl_context context;
    cl_device_id device;
};

typedef struct mapping {
    char *host;
    char *own; /* its memory, where maps move */
    size_t offset, bytes;
    cl_bitfield flags;
} mapping;

struct dcmi_cl_mem_object {
    cl_mem whole; /* of a part */
    int users;    /* its owner, and its parts */
    size_t bytes;
    char *memory;
    char *host; /* what maps show */
    void *own_memory, *own_host;
    bool has_address;
    mapping maps[MOST_MAPS];
};

struct dcmi_cl_event_object {
    cl_event next; /* of those that are held */
    int users;     /* its owner, and its command while it has not ended */
    cl_int status;
    dcmi_cl_event_sink sink;
    void *user;
};

typedef struct pointer {
    char *begin;
    void *own;
    size_t bytes;
} pointer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static struct dcmi_cl_platform_object platforms[STAND_IN_PLATFORMS];
static pointer pointers[MOST_POINTERS];
static cl_event held;
static stand_in state;

stand_in *
stand_in_get(void)
{
    return &state;
}

static void
require(bool condition)
{
    if (!condition)
        abort();
}

static cl_int
failure(const char *name)
{
    cl_int code = CL_SUCCESS;
    pthread_mutex_lock(&lock);
    if (!state.fail_name || strcmp(name, state.fail_name) == 0) {
        uint64_t number = ++state.calls;
        if (state.fail_from && number >= state.fail_from && number - state.fail_from < state.fail_count) {
            state.failed++;
            state.last_failed = name;
            code = state.fail_code;
        }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

#define MAY_FAIL()                                                                                                     \
    do {                                                                                                               \
        cl_int injected = failure(__func__);                                                                           \
        if (injected)                                                                                                  \
            return injected;                                                                                           \
    } while (0)

/* Of functions that return an object and tell their code. */
#define MAY_FAIL_INTO(out_code)                                                                                        \
    do {                                                                                                               \
        cl_int injected = failure(__func__);                                                                           \
        if (out_code)                                                                                                  \
            *(out_code) = injected;                                                                                    \
        if (injected)                                                                                                  \
            return NULL;                                                                                               \
    } while (0)

static void
count(int *number, int by)
{
    pthread_mutex_lock(&lock);
    *number += by;
    require(*number >= 0);
    pthread_mutex_unlock(&lock);
}

static void
count_bytes(int64_t by)
{
    pthread_mutex_lock(&lock);
    state.live.bytes += by;
    require(state.live.bytes >= 0);
    pthread_mutex_unlock(&lock);
}

static void *
new_zeroed(size_t bytes)
{
    void *memory = calloc(1, bytes);
    require(memory != NULL);
    return memory;
}

/* Skewed, with what must be freed in *own. Not zeroed: drivers do not either. */
static char *
new_memory(void **own, size_t bytes)
{
    size_t room = (bytes + state.shape.skew_bytes + 8191) / 4096 * 4096;
    *own = aligned_alloc(4096, room);
    require(*own != NULL);
    memset(*own, 0xa5, room);
    return (char *)*own + state.shape.skew_bytes;
}

/* ---- Asking ---- */

static cl_int
answer(const void *value, size_t size, size_t bytes, void *out, size_t *out_bytes)
{
    if (out && bytes < size)
        return CL_INVALID_VALUE;
    if (out)
        memcpy(out, value, size);
    if (out_bytes)
        *out_bytes = size;
    return CL_SUCCESS;
}

#define ANSWER(value) return answer(&(value), sizeof(value), bytes, out, out_bytes)

static cl_int
answer_text(const char *text, size_t bytes, void *out, size_t *out_bytes)
{
    return text ? answer(text, strlen(text) + 1, bytes, out, out_bytes) : CL_INVALID_VALUE;
}

cl_int
clGetPlatformIDs(cl_uint entries, cl_platform_id *out, cl_uint *out_count)
{
    MAY_FAIL();
    usleep(state.slow_us);
    for (cl_uint i = 0; i < entries && i < state.shape.platform_count; i++)
        out[i] = &platforms[i];
    *out_count = state.shape.platform_count;
    return CL_SUCCESS;
}

cl_int
clGetPlatformInfo(cl_platform_id platform, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    MAY_FAIL();
    require(platform && name == CL_PLATFORM_VERSION);
    return answer_text("OpenCL 3.0 stand-in", bytes, out, out_bytes);
}

cl_int
clGetDeviceIDs(cl_platform_id platform, cl_bitfield type, cl_uint entries, cl_device_id *out, cl_uint *out_count)
{
    MAY_FAIL();
    require(type == CL_DEVICE_TYPE_ALL);
    if (state.shape.device_count == 0)
        return CL_DEVICE_NOT_FOUND;
    for (cl_uint i = 0; i < entries && i < state.shape.device_count; i++) {
        platform->devices[i].platform = platform;
        out[i] = &platform->devices[i];
    }
    *out_count = state.shape.device_count;
    return CL_SUCCESS;
}

cl_int
clGetDeviceInfo(cl_device_id device, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    static const cl_pci_bus_info pci = {0, 0x17, 2, 1};
    const stand_in_shape *shape = &state.shape;
    cl_bitfield type = shape->is_processor ? CL_DEVICE_TYPE_CPU : 1ull << 2;
    cl_uint alignment_bits = (cl_uint)shape->alignment_bits, line = (cl_uint)shape->cache_line_bytes;
    uint64_t cache = 1 << 20;
    MAY_FAIL();
    if (!device->platform)
        return CL_INVALID_DEVICE;
    switch (name) {
    case CL_DEVICE_TYPE:
        ANSWER(type);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        ANSWER(shape->largest_bytes);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN:
        ANSWER(alignment_bits);
    case CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE:
        ANSWER(line);
    case CL_DEVICE_GLOBAL_MEM_CACHE_SIZE:
        ANSWER(cache);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        ANSWER(shape->total_bytes);
    case CL_DEVICE_AVAILABLE:
        ANSWER(shape->is_available);
    case CL_DEVICE_NAME:
        return answer_text(shape->name, bytes, out, out_bytes);
    case CL_DRIVER_VERSION:
        return answer_text(shape->driver, bytes, out, out_bytes);
    case CL_DEVICE_VERSION:
        return answer_text(shape->version, bytes, out, out_bytes);
    case CL_DEVICE_EXTENSIONS:
        return answer_text(shape->extensions, bytes, out, out_bytes);
    case CL_DEVICE_PLATFORM:
        ANSWER(device->platform);
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        ANSWER(shape->is_unified);
    case CL_DEVICE_SVM_CAPABILITIES:
        ANSWER(shape->svm);
    case CL_DEVICE_UUID_KHR:
        return answer("stand-in's uuid!", 16, bytes, out, out_bytes);
    case CL_DEVICE_PCI_BUS_INFO_KHR:
        ANSWER(pci);
    case CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL:
        ANSWER(shape->host_usm);
    case CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL:
        ANSWER(shape->shared_usm);
    default:
        return CL_INVALID_VALUE;
    }
}

/* ---- Contexts and queues ---- */

cl_context
clCreateContext(const intptr_t *properties, cl_uint device_count, const cl_device_id *devices,
                dcmi_cl_context_sink sink, void *user, cl_int *out_code)
{
    (void)sink;
    (void)user;
    MAY_FAIL_INTO(out_code);
    require(properties[0] == CL_CONTEXT_PLATFORM && device_count > 0 && device_count <= STAND_IN_DEVICES);
    cl_context context = new_zeroed(sizeof *context);
    context->count = device_count;
    for (cl_uint i = 0; i < device_count; i++)
        context->devices[i] = devices[i];
    count(&state.live.contexts, 1);
    return context;
}

/* A release that fails has released all the same: nobody can do it again. */
cl_int
clReleaseContext(cl_context context)
{
    count(&state.live.contexts, -1);
    free(context);
    MAY_FAIL();
    return CL_SUCCESS;
}

cl_int
clGetContextInfo(cl_context context, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    MAY_FAIL();
    require(name == CL_CONTEXT_DEVICES);
    return answer(context->devices, context->count * sizeof context->devices[0], bytes, out, out_bytes);
}

cl_command_queue
clCreateCommandQueue(cl_context context, cl_device_id device, cl_bitfield properties, cl_int *out_code)
{
    MAY_FAIL_INTO(out_code);
    require(properties == 0);
    cl_command_queue queue = new_zeroed(sizeof *queue);
    queue->context = context;
    queue->device = device;
    count(&state.live.queues, 1);
    return queue;
}

cl_int
clReleaseCommandQueue(cl_command_queue queue)
{
    count(&state.live.queues, -1);
    free(queue);
    MAY_FAIL();
    return CL_SUCCESS;
}

cl_int
clGetCommandQueueInfo(cl_command_queue queue, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    cl_bitfield properties = state.shape.is_out_of_order ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0;
    MAY_FAIL();
    switch (name) {
    case CL_QUEUE_CONTEXT:
        ANSWER(queue->context);
    case CL_QUEUE_DEVICE:
        ANSWER(queue->device);
    default:
        ANSWER(properties);
    }
}

/* ---- Events ---- */

static void
event_drop(cl_event event)
{
    pthread_mutex_lock(&lock);
    bool is_last = --event->users == 0;
    state.live.events -= is_last;
    pthread_mutex_unlock(&lock);
    if (is_last)
        free(event);
}

static void
event_end(cl_event event)
{
    pthread_mutex_lock(&lock);
    event->status = state.event_code;
    dcmi_cl_event_sink sink = event->sink;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    if (sink)
        sink(event, event->status, event->user);
    event_drop(event);
}

void
stand_in_end_held(void)
{
    pthread_mutex_lock(&lock);
    cl_event first = held;
    held = NULL;
    pthread_mutex_unlock(&lock);
    while (first) {
        cl_event next = first->next;
        event_end(first);
        first = next;
    }
}

/* The event of a command whose work is done. */
static cl_int
command(cl_event *out)
{
    cl_event event = new_zeroed(sizeof *event);
    event->users = 2;
    event->status = QUEUED;
    count(&state.live.events, 1);
    *out = event;
    pthread_mutex_lock(&lock);
    bool is_held = state.holds;
    cl_event *last = &held;
    while (*last)
        last = &(*last)->next;
    if (is_held)
        *last = event;
    pthread_mutex_unlock(&lock);
    if (!is_held)
        event_end(event);
    return CL_SUCCESS;
}

cl_int
clWaitForEvents(cl_uint event_count, const cl_event *events)
{
    MAY_FAIL();
    require(event_count == 1);
    pthread_mutex_lock(&lock);
    while (events[0]->status == QUEUED)
        pthread_cond_wait(&ended, &lock);
    cl_int status = events[0]->status;
    pthread_mutex_unlock(&lock);
    return status < 0 ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : CL_SUCCESS;
}

cl_int
clGetEventInfo(cl_event event, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    MAY_FAIL();
    require(name == CL_EVENT_COMMAND_EXECUTION_STATUS);
    ANSWER(event->status);
}

cl_int
clReleaseEvent(cl_event event)
{
    event_drop(event);
    MAY_FAIL();
    return CL_SUCCESS;
}

cl_int
clSetEventCallback(cl_event event, cl_int status, dcmi_cl_event_sink sink, void *user)
{
    MAY_FAIL();
    require(status == CL_COMPLETE && !event->sink);
    pthread_mutex_lock(&lock);
    bool has_ended = event->status != QUEUED;
    event->sink = sink;
    event->user = user;
    pthread_mutex_unlock(&lock);
    if (has_ended)
        sink(event, event->status, user);
    return CL_SUCCESS;
}

cl_int
clFlush(cl_command_queue queue)
{
    require(queue != NULL);
    MAY_FAIL();
    return CL_SUCCESS;
}

/* Returns at once while commands are held: as of a device that was lost. */
cl_int
clFinish(cl_command_queue queue)
{
    require(queue != NULL);
    MAY_FAIL();
    return CL_SUCCESS;
}

/* ---- Buffers ---- */

static cl_mem
new_buffer(cl_bitfield flags, size_t bytes, void *host)
{
    cl_mem mem = new_zeroed(sizeof *mem);
    mem->users = 1;
    mem->bytes = bytes;
    mem->memory = host && !state.shape.is_non_coherent ? host : new_memory(&mem->own_memory, bytes);
    mem->host = host;
    require(!host == !(flags & CL_MEM_USE_HOST_PTR));
    if (host && state.shape.is_non_coherent)
        memcpy(mem->memory, host, bytes);
    if (!host)
        mem->host = state.shape.is_non_coherent ? new_memory(&mem->own_host, bytes) : mem->memory;
    count(&state.live.buffers, 1);
    /* Memory around a pointer is not its own. */
    count_bytes(host ? 0 : (int64_t)bytes);
    return mem;
}

cl_mem
clCreateBuffer(cl_context context, cl_bitfield flags, size_t bytes, void *host, cl_int *out_code)
{
    require(context != NULL);
    MAY_FAIL_INTO(out_code);
    if (bytes > state.shape.largest_bytes) {
        *out_code = CL_INVALID_BUFFER_SIZE;
        return NULL;
    }
    return new_buffer(flags, bytes, host);
}

cl_mem
clCreateBufferWithProperties(cl_context context, const cl_bitfield *properties, cl_bitfield flags, size_t bytes,
                             void *host, cl_int *out_code)
{
    require(context && properties[0] == CL_MEM_DEVICE_PRIVATE_ADDRESS_EXT && properties[2] == 0);
    MAY_FAIL_INTO(out_code);
    if (!state.shape.has_addresses) {
        *out_code = CL_INVALID_PROPERTY;
        return NULL;
    }
    cl_mem mem = new_buffer(flags, bytes, host);
    mem->has_address = true;
    return mem;
}

cl_mem
clCreateSubBuffer(cl_mem whole, cl_bitfield flags, cl_uint type, const void *user_region, cl_int *out_code)
{
    const cl_buffer_region *region = user_region;
    MAY_FAIL_INTO(out_code);
    require(flags == CL_MEM_READ_WRITE && type == CL_BUFFER_CREATE_TYPE_REGION && !whole->whole);
    require(region->origin + region->size <= whole->bytes);
    if (region->origin % (state.shape.alignment_bits / 8)) {
        *out_code = CL_MISALIGNED_SUB_BUFFER_OFFSET;
        return NULL;
    }
    cl_mem mem = new_zeroed(sizeof *mem);
    *mem = *whole;
    mem->whole = whole;
    mem->users = 1;
    mem->bytes = region->size;
    mem->memory += region->origin + state.shape.part_skew;
    mem->host += region->origin + state.shape.part_skew;
    count(&whole->users, 1);
    count(&state.live.buffers, 1);
    return mem;
}

static void
mem_drop(cl_mem mem)
{
    count(&mem->users, -1);
    if (mem->users)
        return;
    if (mem->whole) {
        mem_drop(mem->whole);
    } else {
        count_bytes(mem->own_memory && (mem->own_host || mem->host == mem->memory) ? -(int64_t)mem->bytes : 0);
        free(mem->own_memory);
        free(mem->own_host);
    }
    count(&state.live.buffers, -1);
    free(mem);
}

cl_int
clReleaseMemObject(cl_mem mem)
{
    for (int i = 0; i < MOST_MAPS; i++)
        require(!mem->maps[i].host);
    mem_drop(mem);
    MAY_FAIL();
    return CL_SUCCESS;
}

cl_int
clGetMemObjectInfo(cl_mem mem, cl_uint name, size_t bytes, void *out, size_t *out_bytes)
{
    uint64_t addresses[STAND_IN_DEVICES];
    MAY_FAIL();
    if (name != CL_MEM_DEVICE_ADDRESS_EXT || !mem->has_address)
        return CL_INVALID_OPERATION;
    for (int i = 0; i < STAND_IN_DEVICES; i++)
        addresses[i] = (uintptr_t)mem->memory;
    return answer(addresses, state.shape.device_count * sizeof addresses[0], bytes, out, out_bytes);
}

/* ---- Commands ---- */

cl_int
clEnqueueReadBuffer(cl_command_queue queue, cl_mem from, cl_bool blocks, size_t offset, size_t bytes, void *to,
                    cl_uint wait_count, const cl_event *waits, cl_event *out_event)
{
    MAY_FAIL();
    require(queue && to && !blocks && !wait_count && !waits && offset + bytes <= from->bytes);
    memcpy(to, from->memory + offset, bytes);
    return command(out_event);
}

cl_int
clEnqueueWriteBuffer(cl_command_queue queue, cl_mem to, cl_bool blocks, size_t offset, size_t bytes, const void *from,
                     cl_uint wait_count, const cl_event *waits, cl_event *out_event)
{
    MAY_FAIL();
    require(queue && from && !blocks && !wait_count && !waits && offset + bytes <= to->bytes);
    memcpy(to->memory + offset, from, bytes);
    return command(out_event);
}

cl_int
clEnqueueCopyBuffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t bytes,
                    cl_uint wait_count, const cl_event *waits, cl_event *out_event)
{
    MAY_FAIL();
    require(queue && !wait_count && !waits && from_offset + bytes <= from->bytes && to_offset + bytes <= to->bytes);
    memcpy(to->memory + to_offset, from->memory + from_offset, bytes);
    return command(out_event);
}

cl_int
clEnqueueFillBuffer(cl_command_queue queue, cl_mem to, const void *pattern, size_t pattern_bytes, size_t offset,
                    size_t bytes, cl_uint wait_count, const cl_event *waits, cl_event *out_event)
{
    MAY_FAIL();
    require(queue && !wait_count && !waits && offset + bytes <= to->bytes);
    require(pattern_bytes && offset % pattern_bytes == 0 && bytes % pattern_bytes == 0);
    for (size_t i = 0; i < bytes; i += pattern_bytes)
        memcpy(to->memory + offset + i, pattern, pattern_bytes);
    pthread_mutex_lock(&lock);
    state.fills++;
    if (pattern_bytes > state.widest_pattern)
        state.widest_pattern = pattern_bytes;
    pthread_mutex_unlock(&lock);
    return command(out_event);
}

void *
clEnqueueMapBuffer(cl_command_queue queue, cl_mem mem, cl_bool blocks, cl_bitfield flags, size_t offset, size_t bytes,
                   cl_uint wait_count, const cl_event *waits, cl_event *out_event, cl_int *out_code)
{
    MAY_FAIL_INTO(out_code);
    require(queue && blocks && !wait_count && !waits && !out_event && offset + bytes <= mem->bytes);
    bool is_discarded = flags & CL_MAP_WRITE_INVALIDATE_REGION;
    require(flags && !(is_discarded && flags & (CL_MAP_READ | CL_MAP_WRITE)));
    if (mem->host != mem->memory && !is_discarded)
        memcpy(mem->host + offset, mem->memory + offset, bytes);
    mapping made = {.host = mem->host + offset, .offset = offset, .bytes = bytes, .flags = flags};
    if (state.shape.moves_maps && mem->own_memory) {
        made.own = made.host = new_zeroed(bytes);
        memcpy(made.host, mem->memory + offset, bytes);
    }
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MOST_MAPS && mem->maps[i].host)
        i++;
    require(i < MOST_MAPS);
    mem->maps[i] = made;
    state.live.maps++;
    state.maps++;
    pthread_mutex_unlock(&lock);
    return made.host;
}

cl_int
clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem mem, void *mapped, cl_uint wait_count, const cl_event *waits,
                        cl_event *out_event)
{
    require(queue && !wait_count && !waits);
    pthread_mutex_lock(&lock);
    int i = MOST_MAPS - 1; /* the newest first */
    while (i >= 0 && mem->maps[i].host != mapped)
        i--;
    require(i >= 0);
    mapping gone = mem->maps[i];
    mem->maps[i].host = NULL;
    state.live.maps--;
    pthread_mutex_unlock(&lock);
    if (mem->memory + gone.offset != gone.host && gone.flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION))
        memcpy(mem->memory + gone.offset, gone.host, gone.bytes);
    free(gone.own);
    MAY_FAIL();
    return command(out_event);
}

cl_int
clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint wait_count, const cl_event *waits, cl_event *out_event)
{
    MAY_FAIL();
    require(queue && !wait_count && !waits);
    return command(out_event);
}

/* ---- Pointers ---- */

static void *
pointer_new(size_t bytes)
{
    pointer made = {.bytes = bytes};
    made.begin = new_memory(&made.own, bytes);
    pthread_mutex_lock(&lock);
    int i = 0;
    while (pointers[i].own)
        require(++i < MOST_POINTERS);
    pointers[i] = made;
    state.live.pointers++;
    state.live.bytes += (int64_t)bytes;
    pthread_mutex_unlock(&lock);
    return made.begin;
}

static void
pointer_free(const void *begin)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (pointers[i].begin != begin)
        require(++i < MOST_POINTERS);
    free(pointers[i].own);
    state.live.pointers--;
    state.live.bytes -= (int64_t)pointers[i].bytes;
    pointers[i] = (pointer){0};
    pthread_mutex_unlock(&lock);
}

void *
clSVMAlloc(cl_context context, cl_bitfield flags, size_t bytes, cl_uint alignment)
{
    require(context && alignment == 0);
    if (failure(__func__) || ((flags & CL_MEM_SVM_FINE_GRAIN_BUFFER) && state.shape.is_non_coherent))
        return NULL;
    return pointer_new(bytes);
}

void
clSVMFree(cl_context context, void *memory)
{
    require(context != NULL);
    pointer_free(memory);
}

void *
clHostMemAllocINTEL(cl_context context, const cl_bitfield *properties, size_t bytes, cl_uint alignment,
                    cl_int *out_code)
{
    require(context && !properties && alignment == 0);
    MAY_FAIL_INTO(out_code);
    return pointer_new(bytes);
}

void *
clSharedMemAllocINTEL(cl_context context, cl_device_id device, const cl_bitfield *properties, size_t bytes,
                      cl_uint alignment, cl_int *out_code)
{
    require(context && device && !properties && alignment == 0);
    MAY_FAIL_INTO(out_code);
    return pointer_new(bytes);
}

cl_int
clMemFreeINTEL(cl_context context, void *memory)
{
    require(context != NULL);
    pointer_free(memory);
    MAY_FAIL();
    return CL_SUCCESS;
}

void *
clGetExtensionFunctionAddressForPlatform(cl_platform_id platform, const char *name)
{
    require(platform != NULL);
    void *found = NULL;
#define FIND(type, function, parameters)                                                                               \
    if (strcmp(name, #function) == 0) {                                                                                \
        type(*known) parameters = function;                                                                            \
        memcpy(&found, &known, sizeof found);                                                                          \
    }
    DCMI_CL_SHARED_MEMORY_FUNCTIONS(FIND)
#undef FIND
    return state.shape.lacks_usm_function && strcmp(name, "clMemFreeINTEL") == 0 ? NULL : found;
}
