/* memory.c: memory of a simulated device: acquired, released, imported, and paid for to the byte. */
#include "simulated.h"

typedef dcmi_simulated device;

dcmem_extent
dcmi_simulated_extent(const device *dev, const dcmi_piece *piece)
{
    bool is_addressed = dcmi_simulated_has(dev, DCMEM_SIMULATED_ADDRESSED);
    bool is_imported = piece->flags & DCMI_PIECE_IMPORTED;
    uint64_t address = is_imported ? (uintptr_t)piece->memory : piece->begin;
    return (dcmem_extent){.object = piece->begin,
                          .address = is_addressed ? address : 0,
                          .bytes = piece->bytes,
                          .host = dcmi_simulated_host(dev, piece, false),
                          .kind = piece->kind};
}

static dcmem_result
check_request(const device *dev, const dcmem_acquire *request)
{
    const dcmem_simulated_profile *profile = &dev->profile;
    DCMI_SIMULATED_REQUIRE(request->bytes > 0 && request->bytes % profile->granularity == 0);
    DCMI_SIMULATED_REQUIRE(dcmi_is_power_of_two_or_0(request->alignment) && request->alignment <= 1ull << 30);
    if (request->kind >= DCMEM_KIND_COUNT || !(profile->kinds & DCMEM_KIND_BIT(request->kind)))
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "memory of kind %s", dcmem_kind_name(request->kind));
    if (request->bytes > profile->largest_allocation_bytes)
        return dcmi_simulated_fail(DCMEM_E_TOO_LARGE, "%llu bytes, at most %llu at once",
                                   (unsigned long long)request->bytes,
                                   (unsigned long long)profile->largest_allocation_bytes);
    return DCMEM_OK;
}

static void
count_acquired(device *dev, const dcmi_piece *piece)
{
    dcmem_simulated_account *account = &dev->account;
    dev->heaps[dcmi_simulated_heap(dev, piece->kind)].used += piece->bytes;
    account->acquires++;
    account->live_bytes = dev->heaps[DCMI_HEAP_DEVICE].used;
    account->live_host_bytes = dev->heaps[DCMI_HEAP_HOST].used;
    if (account->live_bytes > account->peak_bytes)
        account->peak_bytes = account->live_bytes;
}

static void
count_released(device *dev, const dcmi_piece *piece)
{
    if (piece->flags & DCMI_PIECE_IMPORTED) {
        dev->account.imports--;
        return;
    }
    dev->heaps[dcmi_simulated_heap(dev, piece->kind)].used -= piece->bytes;
    dev->account.live_bytes = dev->heaps[DCMI_HEAP_DEVICE].used;
    dev->account.live_host_bytes = dev->heaps[DCMI_HEAP_HOST].used;
}

static dcmem_result
acquire_locked(dcmi_piece *out, device *dev, const dcmem_acquire *request)
{
    uint64_t room = dcmi_heap_free(&dev->heaps[dcmi_simulated_heap(dev, request->kind)]);
    if (request->bytes > room) {
        dev->account.refusals++;
        return dcmi_simulated_fail(DCMEM_E_NO_MEMORY, "%llu bytes, %llu are free", (unsigned long long)request->bytes,
                                   (unsigned long long)room);
    }
    dcmi_piece piece;
    if (!dcmi_simulated_map(&piece, dev, request))
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for %llu bytes",
                                   (unsigned long long)request->bytes);
    if (!dcmi_pieces_add(&dev->live, &piece)) {
        dcmi_simulated_unmap(dev, &piece);
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an extent");
    }
    count_acquired(dev, &piece);
    *out = piece;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    device *dev = handle;
    dcmem_result result = check_request(dev, request);
    if (!result)
        result = dcmi_simulated_enter(dev);
    if (result)
        return result;

    dcmi_piece piece;
    result = acquire_locked(&piece, dev, request);
    dcmi_simulated_leave(dev);
    if (!result)
        *out = dcmi_simulated_extent(dev, &piece);
    return result;
}

void
dcmi_simulated_end_piece(void *user, const dcmi_piece *piece)
{
    device *dev = user;
    count_released(dev, piece);
    dcmi_simulated_unmap(dev, piece);
}

static dcmem_result
check_release(const device *dev, const dcmem_extent *extent)
{
    dcmi_piece piece;
    uint64_t begin = extent->object, bytes = extent->bytes;
    if (!bytes || !dcmi_pieces_find(&piece, &dev->live, begin))
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "release of what is not acquired: object 0x%llx",
                                   (unsigned long long)begin);
    bool is_whole = piece.begin == begin && piece.bytes == bytes;
    if (is_whole)
        return DCMEM_OK;
    if (!dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE) || (piece.flags & DCMI_PIECE_IMPORTED))
        return dcmi_simulated_fail(DCMEM_E_INTERIOR, "release of %llu bytes of an extent of %llu, not divisible",
                                   (unsigned long long)bytes, (unsigned long long)piece.bytes);
    if (begin % 4096 || bytes % 4096 || !dcmi_pieces_cover(&dev->live, begin, bytes))
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "release of %llu bytes that are not all acquired pages",
                                   (unsigned long long)bytes);
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    device *dev = handle;
    /* A lost device takes its memory back like any other. */
    pthread_mutex_lock(&dev->lock);
    dcmem_result result = check_release(dev, extent);
    if (!result && !dcmi_pieces_cut(&dev->live, extent->object, extent->bytes, dcmi_simulated_end_piece, dev))
        result = dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an extent's rest");
    if (!result)
        dev->account.releases++;
    dcmi_simulated_leave(dev);
    return result;
}

/* ---- Import ---- */

dcmem_result
dcmi_simulated_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    DCMI_SIMULATED_REQUIRE(host && bytes > 0);
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;

    bool is_unified = dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED);
    dcmi_piece piece = {.begin = dcmi_simulated_number(dev, bytes, 4096),
                        .bytes = bytes,
                        .memory = host,
                        .kind = is_unified ? DCMEM_KIND_DEVICE : DCMEM_KIND_HOST,
                        .flags = DCMI_PIECE_IMPORTED};
    if (dcmi_pieces_add(&dev->live, &piece))
        dev->account.imports++;
    else
        result = dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an import");
    dcmi_simulated_leave(dev);
    if (!result)
        *out = dcmi_simulated_extent(dev, &piece);
    return result;
}
