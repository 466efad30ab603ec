/* share.c: memory of simulated devices in several processes: a file in memory, whose descriptor travels.
 *
 * The file cannot shrink, so nobody can take memory away from under another process. */
#include "simulated.h"

#include "host.h"

#include <string.h>
#include <unistd.h>

#define HANDLE_KIND 0x314d4953u /* "SIM1" */

typedef dcmi_simulated device;

/* What an importer must know, in the bytes of the handle. */
typedef struct shared {
    uint64_t bytes;
    uint32_t kind;
    uint32_t reserved; /* 0 */
} shared;

static dcmem_result
export_locked(dcmem_ipc_handle *out, const device *dev, const dcmem_extent *extent)
{
    dcmi_piece piece;
    if (!dcmi_pieces_find(&piece, &dev->live, extent->object) || piece.begin != extent->object ||
        piece.bytes != extent->bytes)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "object 0x%llx is no whole extent",
                                   (unsigned long long)extent->object);
    if (!(piece.flags & DCMI_PIECE_SHARED))
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "the memory was acquired without DCMEM_ACQUIRE_SHARED");
    int file = dcmi_host_duplicate(piece.file);
    if (file < 0)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no descriptor for a handle");

    const shared what = {.bytes = piece.bytes, .kind = (uint32_t)piece.kind};
    dcmem_ipc_handle handle = {.kind = HANDLE_KIND, .fd = file, .memory_bytes = piece.bytes};
    memcpy(handle.bytes, &what, sizeof what);
    *out = handle;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_ipc_export(dcmem_ipc_handle *out, void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    device *dev = handle;
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    result = export_locked(out, dev, extent);
    dcmi_simulated_leave(dev);
    return result;
}

/* What is wrong with a handle, in words, or NULL. */
static const char *
fault_of(const device *dev, const dcmem_ipc_handle *handle, const shared *what)
{
    if (handle->kind != HANDLE_KIND)
        return "it comes from no simulated device";
    if (what->bytes == 0 || what->bytes != handle->memory_bytes || what->reserved)
        return "its bytes are spoilt";
    if (what->kind >= DCMEM_KIND_COUNT || !(dev->profile.kinds & DCMEM_KIND_BIT(what->kind)))
        return "this device has no memory of its kind";
    if (dcmi_host_file_bytes(handle->fd) < what->bytes)
        return "its descriptor is that of no shared memory, or of less";
    return NULL;
}

static dcmem_result
import_locked(dcmi_piece *out, device *dev, const shared *what, int file)
{
    const dcmem_acquire request = {.bytes = what->bytes, .kind = (dcmem_kind)what->kind};
    if (!dcmi_simulated_map(out, dev, &request))
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for %llu bytes",
                                   (unsigned long long)what->bytes);
    out->file = dcmi_host_duplicate(file);
    if (out->file < 0)
        goto undo_map;
    out->flags = DCMI_PIECE_SHARED | DCMI_PIECE_FOREIGN;
    if (!dcmi_host_map_file(out->memory, out->bytes, out->file, 0) || !dcmi_pieces_add(&dev->live, out))
        goto undo_map;
    dev->account.imports++;
    return DCMEM_OK;

undo_map:
    dcmi_simulated_unmap(dev, out);
    return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the map, descriptor or record of an import");
}

dcmem_result
dcmi_simulated_ipc_import(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_ipc_handle *from)
{
    (void)call;
    device *dev = handle;
    shared what;
    memcpy(&what, from->bytes, sizeof what);
    const char *fault = fault_of(dev, from, &what);
    if (fault)
        return dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "handle: %s", fault);
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    dcmi_piece piece;
    result = import_locked(&piece, dev, &what, from->fd);
    dcmi_simulated_leave(dev);
    if (!result)
        *out = dcmi_simulated_extent(dev, &piece);
    return result;
}
