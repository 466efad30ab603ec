/* shares_suite.c: the clauses of IPC. */
#include "contract_kit.h"

#include <unistd.h>

/* Memory to be shared with its handle; false where a process cannot import what it exported itself. */
static bool
begin_share(dcmem_extent *out, dcmem_ipc_handle *handle, contract_device *device, uint64_t bytes)
{
    dcmem_extent probe;
    *handle = (dcmem_ipc_handle){.fd = -1};
    *out = acquire(device, (dcmem_acquire){.bytes = bytes, .kind = main_kind(device), .flags = DCMEM_ACQUIRE_SHARED});
    EXPECT_OK(device->backend->ipc_export(handle, device->handle, on_behalf(), out));
    EXPECT_GE(handle->memory_bytes, bytes);
    dcmem_result result = device->backend->ipc_import(&probe, device->handle, on_behalf(), handle);
    EXPECT(result == DCMEM_OK || result == DCMEM_E_UNSUPPORTED);
    if (!result)
        release(device, &probe);
    return result == DCMEM_OK;
}

static void
end_share(contract_device *device, const dcmem_extent *extent, const dcmem_ipc_handle *handle, bool can)
{
    if (handle->fd >= 0)
        EXPECT_EQ(close(handle->fd), 0);
    release(device, extent);
    if (!can)
        skip_for("IPC", "a process cannot import what it exported itself");
}

static dcmem_extent
import(contract_device *device, const dcmem_ipc_handle *handle)
{
    dcmem_extent extent = {0};
    EXPECT_OK(device->backend->ipc_import(&extent, device->handle, on_behalf(), handle));
    EXPECT_GE(extent.bytes, handle->memory_bytes);
    return extent;
}

void
contract_what_was_exported_can_be_imported(contract_device *device)
{
    dcmem_ipc_handle handle;
    dcmem_extent extent;
    bool can = begin_share(&extent, &handle, device, 64 * KIB);
    write_pattern(device, &extent, 0, 64 * KIB, 1);
    if (can) {
        dcmem_extent imported = import(device, &handle);
        EXPECT_PATTERN(device, &imported, 0, 64 * KIB, 1);
        write_pattern(device, &imported, 500, 100, 2);
        EXPECT_PATTERN(device, &extent, 500, 100, 2);
        release(device, &imported);
        EXPECT_PATTERN(device, &extent, 500, 100, 2);
    }
    end_share(device, &extent, &handle, can);
}

void
contract_all_imports_are_one_memory(contract_device *device)
{
    dcmem_ipc_handle handle, again;
    dcmem_extent extent;
    contract_device other = *device;
    other.handle = open_again(device);
    bool can = begin_share(&extent, &handle, device, 64 * KIB);
    EXPECT_OK(device->backend->ipc_export(&again, device->handle, on_behalf(), &extent));
    if (can) {
        dcmem_extent one = import(device, &handle), two = import(&other, &again);
        write_pattern(&other, &two, 0, 64 * KIB, 1);
        EXPECT_PATTERN(device, &one, 0, 64 * KIB, 1);
        EXPECT_PATTERN(device, &extent, 0, 64 * KIB, 1);
        release(device, &one);
        EXPECT_PATTERN(&other, &two, 0, 64 * KIB, 1);
        release(&other, &two);
    }
    if (again.fd >= 0)
        EXPECT_EQ(close(again.fd), 0);
    device->backend->close(other.handle);
    end_share(device, &extent, &handle, can);
}

void
contract_an_import_outlives_its_handle(contract_device *device)
{
    dcmem_ipc_handle handle;
    dcmem_extent extent;
    bool can = begin_share(&extent, &handle, device, 64 * KIB);
    dcmem_extent imported = can ? import(device, &handle) : extent;
    if (handle.fd >= 0)
        EXPECT_EQ(close(handle.fd), 0);
    handle = (dcmem_ipc_handle){.fd = -1};
    write_pattern(device, &imported, 0, 64 * KIB, 1);
    EXPECT_PATTERN(device, &extent, 0, 64 * KIB, 1);
    if (can)
        release(device, &imported);
    end_share(device, &extent, &handle, can);
}

void
contract_what_is_no_handle_is_refused(contract_device *device)
{
    dcmem_ipc_handle handles[4] = {{.fd = -1}, {.fd = -1, .memory_bytes = 64 * KIB}, {0}, {0}};
    memset(&handles[2], 0xa5, sizeof handles[2]);
    handles[2].fd = 1000000;
    memset(&handles[3], 0xff, sizeof handles[3]);
    for (int i = 0; i < 4; i++) {
        dcmem_extent imported = {.bytes = 42};
        EXPECT_RESULT(device->backend->ipc_import(&imported, device->handle, on_behalf(), &handles[i]),
                      DCMEM_E_INVALID_ARGUMENT);
        EXPECT_EQ(imported.bytes, 42);
    }
}

void
contract_memory_that_was_not_meant_to_be_shared_is_kept_or_shared(contract_device *device)
{
    dcmem_ipc_handle handle = {.fd = -1, .memory_bytes = 42};
    dcmem_extent extent = acquire_main(device, 64 * KIB);
    dcmem_result result = device->backend->ipc_export(&handle, device->handle, on_behalf(), &extent);
    if (result) {
        EXPECT_EQ(result, DCMEM_E_UNSUPPORTED);
        EXPECT_EQ(handle.memory_bytes, 42);
    } else if (handle.fd >= 0)
        EXPECT_EQ(close(handle.fd), 0);
    write_pattern(device, &extent, 0, 64 * KIB, 1);
    EXPECT_PATTERN(device, &extent, 0, 64 * KIB, 1);
    release(device, &extent);
}
