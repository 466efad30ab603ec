/* shares.c: files in memory, their descriptors, and what is believed of those that come from elsewhere. */
#include "drivers/cpu/shares.h"

#include "base/fail.h"
#include "base/os.h"
#include "drivers/cpu/calls.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define HANDLE_KIND 0x31555043u /* "CPU1" */

static dcmem_result
fail_file(uint64_t bytes)
{
    return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_OPEN), errno, "%llu bytes to be shared",
                           (unsigned long long)bytes);
}

/* Addresses, the file in their place, and what the device's options and the kind promise. */
static dcmem_result
map_share(dcmi_range *out, dcmi_cpu_memory *memory, const dcmem_acquire *request, int file)
{
    dcmi_range range;
    dcmem_result result = dcmi_cpu_memory_reserve(&range, memory, request->bytes, request->alignment);
    if (result)
        return result;
    if (dcmi_cpu_calls.map_file((void *)(uintptr_t)range.begin, request->bytes, file, 0) == MAP_FAILED)
        result = fail_file(request->bytes);
    if (!result)
        result = dcmi_cpu_memory_furnish(range, memory, request->kind, false);
    if (result) {
        dcmem_detail why = dcmi_detail_save();
        (void)dcmi_cpu_memory_unreserve(memory, range);
        dcmi_detail_restore(&why);
        return result;
    }
    *out = range;
    return DCMEM_OK;
}

/* Closes the file where it fails. */
static dcmem_result
share_of(dcmi_cpu_share *out, dcmi_cpu_memory *memory, const dcmem_acquire *request, int file)
{
    dcmi_cpu_share share = {.file = file};
    dcmem_result result = map_share(&share.range, memory, request, file);
    if (result)
        (void)dcmi_cpu_calls.close(file); /* Nothing is known of it yet but this descriptor. */
    else
        *out = share;
    return result;
}

dcmem_result
dcmi_cpu_share_create(dcmi_cpu_share *out, dcmi_cpu_memory *memory, const dcmem_acquire *request)
{
    if (request->bytes > dcmi_os_memory_total())
        return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes to be shared, more than all memory",
                         (unsigned long long)request->bytes);
    int file = dcmi_cpu_calls.file();
    if (file < 0)
        return fail_file(request->bytes);
    if (dcmi_cpu_calls.extend(file, request->bytes) || dcmi_cpu_calls.seal(file)) {
        dcmem_result result = fail_file(request->bytes);
        (void)dcmi_cpu_calls.close(file); /* the same */
        return result;
    }
    return share_of(out, memory, request, file);
}

dcmem_result
dcmi_cpu_share_destroy(dcmi_cpu_memory *memory, const dcmi_cpu_share *share)
{
    dcmem_result result = dcmi_cpu_memory_unreserve(memory, share->range);
    (void)dcmi_cpu_calls.close(share->file); /* Its memory goes with its last mapping, whatever this says. */
    return result;
}

dcmem_result
dcmi_cpu_share_export(dcmem_ipc_handle *out, const dcmi_cpu_share *share, dcmem_kind kind)
{
    int file = dcmi_cpu_calls.duplicate(share->file);
    if (file < 0)
        return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_OPEN), errno, "a descriptor for a handle");
    *out = (dcmem_ipc_handle){
        .kind = HANDLE_KIND, .fd = file, .memory_bytes = dcmi_range_bytes(share->range), .bytes = {(uint8_t)kind}};
    return DCMEM_OK;
}

/* What is wrong with a handle, in words, or NULL. */
static const char *
fault_of(const dcmem_ipc_handle *handle)
{
    if (handle->kind != HANDLE_KIND)
        return "it comes from no CPU";
    if (handle->memory_bytes == 0 || handle->memory_bytes % DCMI_PAGE || handle->bytes[0] >= DCMEM_KIND_COUNT)
        return "its bytes are spoilt";
    if (dcmi_cpu_calls.firm_bytes(handle->fd) < handle->memory_bytes)
        return "its descriptor is that of no shared memory, or of less";
    return NULL;
}

dcmem_result
dcmi_cpu_share_import(dcmi_cpu_share *out, dcmem_kind *out_kind, dcmi_cpu_memory *memory,
                      const dcmem_ipc_handle *handle)
{
    const char *fault = fault_of(handle);
    if (fault)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "handle: %s", fault);
    const dcmem_acquire request = {.bytes = handle->memory_bytes, .kind = (dcmem_kind)handle->bytes[0]};
    int file = dcmi_cpu_calls.duplicate(handle->fd);
    if (file < 0)
        return fail_file(request.bytes);
    dcmem_result result = share_of(out, memory, &request, file);
    if (!result)
        *out_kind = request.kind;
    return result;
}
