/* dcmem/legacy.h: the names of the past: what programs of DotCompute called, each marked with the line to write
 * instead.
 *
 *     manager = new ProductionMemoryManager(logger, gpu);             // then, in C#
 *     dcmem_production_memory_manager_create(&manager, "cuda", 0);    // now, word for word: the warning knows better
 *
 * It is for the time of moving: port word for word, get it to run, then follow the warnings one by one and take the
 * #include away. docs/migration.md shows the whole way. `#define DCMEM_LEGACY_SILENT` before the #include turns the
 * warnings off.
 *
 * Rules that hold everywhere:
 *   1. Every call is inline and does what the line in its warning does, nothing else: same results, same failures. No
 *      library has these names, so nothing stays behind when the header goes.
 *   2. Arguments stand in their former order, behind what is written and the manager.
 *   3. Loggers are gone: the log belongs to the process (dcmem_log_set()). An accelerator is the name of its backend
 *      and its number there, as `dcmem devices` lists them. Limits are those of the device, not 16 GB and 32 GB.
 *   4. Test buffers are those of dcmem/testing.h: who calls their factories links with libdcmem-testing, who does not
 *      needs libdcmem alone.
 *   5. The asynchronous forms of raw operations stand on a queue (dcmem/queue.h) instead of the manager, and write the
 *      value that it reaches when they are done. */
#ifndef DCMEM_LEGACY_H
#define DCMEM_LEGACY_H

#include <dcmem/base.h>
#include <dcmem/manager.h>
#include <dcmem/memory.h>
#include <dcmem/queue.h>
#include <dcmem/result.h>
#include <dcmem/testing.h>

#include <string.h>

#if defined(DCMEM_LEGACY_SILENT) || !defined(__GNUC__)
#define DCMEM_LEGACY(instead)
#else
#define DCMEM_LEGACY(instead) __attribute__((deprecated("write: " instead)))
#endif

DCMEM_BEGIN

/* ---- The consolidated manager ---- */

/* Not part of the interface. */
static inline dcmem_result
dcmem_legacy_create_on(dcmem_manager **out, const char *backend, uint32_t device)
{
    dcmem_manager_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.backend = backend;
    options.device = device;
    return dcmem_manager_create(out, &options);
}

/* `new UnifiedMemoryManager(logger)`, when it was the basic one of several.
 * Threads and errors: as dcmem_manager_create(). */
DCMEM_LEGACY("dcmem_manager_create(out, NULL)")
static inline dcmem_result
dcmem_unified_memory_manager_create(dcmem_manager **out)
{
    return dcmem_manager_create(out, NULL);
}

/* `new UnifiedMemoryManager(accelerator, logger)`. `backend` NULL: the CPU.
 * Threads and errors: as dcmem_manager_create(). */
DCMEM_LEGACY("dcmem_manager_create(out, &(dcmem_manager_options){.size = sizeof(dcmem_manager_options), "
             ".backend = backend, .device = device})")
static inline dcmem_result
dcmem_unified_memory_manager_create_with_accelerator(dcmem_manager **out, const char *backend, uint32_t device)
{
    return dcmem_legacy_create_on(out, backend, device);
}

/* `new UnifiedMemoryManager(logger)`, where no device is wanted.
 * Threads and errors: as dcmem_manager_create(). */
DCMEM_LEGACY("dcmem_manager_create(out, NULL)")
static inline dcmem_result
dcmem_unified_memory_manager_create_cpu_only(dcmem_manager **out)
{
    return dcmem_manager_create(out, NULL);
}

/* `new ProductionMemoryManager(logger, accelerator)`. `backend` NULL: the CPU.
 * Threads and errors: as dcmem_manager_create(). */
DCMEM_LEGACY("dcmem_manager_create(out, &(dcmem_manager_options){.size = sizeof(dcmem_manager_options), "
             ".backend = backend, .device = device})")
static inline dcmem_result
dcmem_production_memory_manager_create(dcmem_manager **out, const char *backend, uint32_t device)
{
    return dcmem_legacy_create_on(out, backend, device);
}

/* ---- Raw device memory ---- */

/* `DeviceMemory`. Valid when `handle` is not NULL; all zeros is `DeviceMemory.Invalid`. A plain value: freeing one copy
 * of it frees them all. */
typedef struct dcmem_device_memory {
    void *handle;  /* what dcmem_raw_allocate() gave */
    uint64_t size; /* bytes, as asked for */
} dcmem_device_memory;

/* `manager.AllocateDevice(bytes)`. `out` NULL: DCMEM_E_INVALID_ARGUMENT.
 * Threads and errors: as dcmem_raw_allocate(). */
DCMEM_LEGACY("out->handle = dcmem_raw_allocate(manager, bytes)")
static inline dcmem_result
dcmem_allocate_device(dcmem_device_memory *out, dcmem_manager *manager, uint64_t bytes)
{
    if (!out)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, NULL, 0, "out is NULL");
    void *handle = dcmem_raw_allocate(manager, bytes);
    if (!handle)
        return dcmem_last_detail()->result;
    out->handle = handle;
    out->size = bytes;
    return DCMEM_OK;
}

/* `manager.FreeDevice(memory)`. Memory that is not valid is allowed.
 * Threads and errors: as dcmem_raw_free(). */
DCMEM_LEGACY("dcmem_raw_free(manager, memory.handle)")
static inline dcmem_result
dcmem_free_device(dcmem_manager *manager, dcmem_device_memory memory)
{
    return dcmem_raw_free(manager, memory.handle);
}

/* `manager.MemsetDevice(memory, value, bytes)`.
 * Threads and errors: as dcmem_raw_set(). */
DCMEM_LEGACY("dcmem_raw_set(manager, memory.handle, value, bytes)")
static inline dcmem_result
dcmem_memset_device(dcmem_manager *manager, dcmem_device_memory memory, uint8_t value, uint64_t bytes)
{
    return dcmem_raw_set(manager, memory.handle, value, bytes);
}

/* `manager.CopyHostToDevice(host, memory, bytes)`: the source comes first.
 * Threads and errors: as dcmem_raw_write(). */
DCMEM_LEGACY("dcmem_raw_write(manager, memory.handle, host, bytes)")
static inline dcmem_result
dcmem_copy_host_to_device(dcmem_manager *manager, const void *host, dcmem_device_memory memory, uint64_t bytes)
{
    return dcmem_raw_write(manager, memory.handle, host, bytes);
}

/* `manager.CopyDeviceToHost(memory, host, bytes)`: the source comes first.
 * Threads and errors: as dcmem_raw_read(). */
DCMEM_LEGACY("dcmem_raw_read(manager, host, memory.handle, bytes)")
static inline dcmem_result
dcmem_copy_device_to_host(dcmem_manager *manager, dcmem_device_memory memory, void *host, uint64_t bytes)
{
    return dcmem_raw_read(manager, host, memory.handle, bytes);
}

/* `manager.CopyDeviceToDevice(source, destination, bytes)`: the source comes first.
 * Threads and errors: as dcmem_raw_copy(). */
DCMEM_LEGACY("dcmem_raw_copy(manager, destination.handle, source.handle, bytes)")
static inline dcmem_result
dcmem_copy_device_to_device(dcmem_manager *manager, dcmem_device_memory source, dcmem_device_memory destination,
                            uint64_t bytes)
{
    return dcmem_raw_copy(manager, destination.handle, source.handle, bytes);
}

/* ---- The same as work of a queue: they return at once ---- */

/* `manager.MemsetDeviceAsync(memory, value, bytes)`. `out_value` may be NULL.
 * Threads and errors: as dcmem_raw_set_on(). */
DCMEM_LEGACY("dcmem_raw_set_on(out_value, queue, memory.handle, value, bytes)")
static inline dcmem_result
dcmem_memset_device_async(uint64_t *out_value, dcmem_queue *queue, dcmem_device_memory memory, uint8_t value,
                          uint64_t bytes)
{
    return dcmem_raw_set_on(out_value, queue, memory.handle, value, bytes);
}

/* `manager.CopyHostToDeviceAsync(host, memory, bytes)`: the source comes first. `out_value` may be NULL.
 * Threads and errors: as dcmem_raw_write_on(). */
DCMEM_LEGACY("dcmem_raw_write_on(out_value, queue, memory.handle, host, bytes)")
static inline dcmem_result
dcmem_copy_host_to_device_async(uint64_t *out_value, dcmem_queue *queue, const void *host, dcmem_device_memory memory,
                                uint64_t bytes)
{
    return dcmem_raw_write_on(out_value, queue, memory.handle, host, bytes);
}

/* `manager.CopyDeviceToHostAsync(memory, host, bytes)`: the source comes first. `out_value` may be NULL.
 * Threads and errors: as dcmem_raw_read_on(). */
DCMEM_LEGACY("dcmem_raw_read_on(out_value, queue, host, memory.handle, bytes)")
static inline dcmem_result
dcmem_copy_device_to_host_async(uint64_t *out_value, dcmem_queue *queue, dcmem_device_memory memory, void *host,
                                uint64_t bytes)
{
    return dcmem_raw_read_on(out_value, queue, host, memory.handle, bytes);
}

/* `manager.CopyDeviceToDeviceAsync(source, destination, bytes)`: the source comes first. `out_value` may be NULL.
 * Threads and errors: as dcmem_raw_copy_on(). */
DCMEM_LEGACY("dcmem_raw_copy_on(out_value, queue, destination.handle, source.handle, bytes)")
static inline dcmem_result
dcmem_copy_device_to_device_async(uint64_t *out_value, dcmem_queue *queue, dcmem_device_memory source,
                                  dcmem_device_memory destination, uint64_t bytes)
{
    return dcmem_raw_copy_on(out_value, queue, destination.handle, source.handle, bytes);
}

/* ---- Test buffers ---- */

/* `MemoryType`: kinds of memory. Shared, Constant and Texture were types, too; there is no such memory here. */
typedef dcmem_kind dcmem_memory_type;

#define DCMEM_MEMORY_TYPE_HOST    DCMEM_KIND_HOST
#define DCMEM_MEMORY_TYPE_DEVICE  DCMEM_KIND_DEVICE
#define DCMEM_MEMORY_TYPE_UNIFIED DCMEM_KIND_MANAGED
#define DCMEM_MEMORY_TYPE_PINNED  DCMEM_KIND_PINNED
#define DCMEM_MEMORY_TYPE_MANAGED DCMEM_KIND_MANAGED

/* `TestMemoryBufferFactory.Create(length)`.
 * Threads and errors: as dcmem_test_buffer_create(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, NULL)")
static inline dcmem_result
dcmem_test_memory_buffer_create(dcmem_test_buffer **out, uint64_t bytes)
{
    return dcmem_test_buffer_create(out, bytes, NULL);
}

/* `TestMemoryBufferFactory.CreateFromData(data)`. Bringing the data is no operation of the program's; where it fails
 * nothing is left.
 * Threads and errors: as dcmem_test_buffer_create() and dcmem_buffer_copy_in(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, NULL) || "
             "dcmem_buffer_copy_in(dcmem_view_whole(dcmem_test_buffer_buffer(*out)), data, 0) || "
             "dcmem_test_buffer_reset(*out)")
static inline dcmem_result
dcmem_test_memory_buffer_create_from_data(dcmem_test_buffer **out, const void *data, uint64_t bytes)
{
    dcmem_test_buffer *test;
    if (!out)
        return dcmem_test_buffer_create(out, bytes, NULL);
    dcmem_result result = dcmem_test_buffer_create(&test, bytes, NULL);
    if (result)
        return result;
    result = dcmem_buffer_copy_in(dcmem_view_whole(dcmem_test_buffer_buffer(test)), data, 0);
    if (result) {
        (void)dcmem_test_buffer_destroy(test); /* what failed first is what is told */
        return result;
    }
    *out = test;
    return dcmem_test_buffer_reset(test);
}

/* `TestMemoryBufferFactory.CreateSlowTransfer(length, delay)`. The delay was 10 ms where none was named; 0 is 5 ms.
 * Threads and errors: as dcmem_test_buffer_create(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, &(dcmem_test_buffer_options){"
             ".size = sizeof(dcmem_test_buffer_options), .slow_transfers = true, "
             ".transfer_delay_ns = delay_ms * 1000000ull})")
static inline dcmem_result
dcmem_test_memory_buffer_create_slow_transfer(dcmem_test_buffer **out, uint64_t bytes, uint32_t delay_ms)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_slow_transfers();
    options.transfer_delay_ns = delay_ms * 1000000ull;
    return dcmem_test_buffer_create(out, bytes, &options);
}

/* `TestMemoryBufferFactory.CreateFailAfter(length, operations)`: the operation of that number and all after it fail.
 * Threads and errors: as dcmem_test_buffer_create(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, "
             "(dcmem_test_buffer_options[]){dcmem_test_buffer_fail_after(operations)})")
static inline dcmem_result
dcmem_test_memory_buffer_create_fail_after(dcmem_test_buffer **out, uint64_t bytes, uint64_t operations)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_fail_after(operations);
    return dcmem_test_buffer_create(out, bytes, &options);
}

/* `TestMemoryBufferFactory.CreateRestrictive(length)`: spans, memory and copies are refused.
 * Threads and errors: as dcmem_test_buffer_create(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, (dcmem_test_buffer_options[]){dcmem_test_buffer_restrictive()})")
static inline dcmem_result
dcmem_test_memory_buffer_create_restrictive(dcmem_test_buffer **out, uint64_t bytes)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_restrictive();
    return dcmem_test_buffer_create(out, bytes, &options);
}

/* `new TestMemoryBuffer(bytes, type)`.
 * Threads and errors: as dcmem_test_buffer_create(). */
DCMEM_LEGACY("dcmem_test_buffer_create(out, bytes, &(dcmem_test_buffer_options){"
             ".size = sizeof(dcmem_test_buffer_options), .memory = {.kind = type}})")
static inline dcmem_result
dcmem_test_memory_buffer_create_of_type(dcmem_test_buffer **out, uint64_t bytes, dcmem_memory_type type)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.memory.kind = type;
    return dcmem_test_buffer_create(out, bytes, &options);
}

DCMEM_END
#endif
