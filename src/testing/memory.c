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

bool
dcmi_simulated_piece_at(dcmi_piece *out, const device *dev, uint64_t at)
{
    return dcmi_pieces_find(out, &dev->live, at) || dcmi_pieces_find(out, &dev->mapped, at);
}

dcmem_result
dcmi_simulated_check_size(const device *dev, dcmem_kind kind, uint64_t bytes)
{
    const dcmem_simulated_profile *profile = &dev->profile;
    if (kind >= DCMEM_KIND_COUNT || !(profile->kinds & DCMEM_KIND_BIT(kind)))
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "memory of kind %s", dcmem_kind_name(kind));
    uint64_t most = dcmi_least(profile->largest_allocation_bytes, dev->heaps[dcmi_simulated_heap(dev, kind)].total);
    if (bytes > most)
        return dcmi_simulated_fail(DCMEM_E_TOO_LARGE, "%llu bytes, at most %llu at once", (unsigned long long)bytes,
                                   (unsigned long long)most);
    return DCMEM_OK;
}

static dcmem_result
check_request(const device *dev, const dcmem_acquire *request)
{
    DCMI_SIMULATED_REQUIRE(request->bytes > 0 && request->bytes % dev->profile.granularity == 0);
    DCMI_SIMULATED_REQUIRE(dcmi_is_power_of_two_or_0(request->alignment) && request->alignment <= 1ull << 30);
    return dcmi_simulated_check_size(dev, request->kind, request->bytes);
}

void
dcmi_simulated_count_live(device *dev)
{
    dcmem_simulated_account *account = &dev->account;
    account->live_bytes = dev->heaps[DCMI_HEAP_DEVICE].used;
    for (uint32_t i = 0; i < dev->profile.heap_count; i++)
        account->live_bytes += dev->heaps[DCMI_HEAP_OTHERS + i].used;
    account->live_host_bytes = dev->heaps[DCMI_HEAP_HOST].used;
    if (account->live_bytes > account->peak_bytes)
        account->peak_bytes = account->live_bytes;
}

dcmem_result
dcmi_simulated_pay(device *dev, dcmem_kind kind, uint64_t bytes)
{
    dcmi_heap_state *heap = &dev->heaps[dcmi_simulated_heap(dev, kind)];
    uint64_t room = dcmi_heap_free(heap);
    if (bytes > room) {
        dev->account.refusals++;
        return dcmi_simulated_fail(DCMEM_E_NO_MEMORY, "%llu bytes, %llu are free", (unsigned long long)bytes,
                                   (unsigned long long)room);
    }
    heap->used += bytes;
    return DCMEM_OK;
}

void
dcmi_simulated_refund(device *dev, dcmem_kind kind, uint64_t bytes)
{
    dev->heaps[dcmi_simulated_heap(dev, kind)].used -= bytes;
    dcmi_simulated_count_live(dev);
}

/* Memory that was paid for. */
static dcmem_result
map_paid(dcmi_piece *piece, device *dev, const dcmem_acquire *request)
{
    if (!dcmi_simulated_map(piece, dev, request))
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for %llu bytes",
                                   (unsigned long long)request->bytes);
    bool is_shared = request->flags & DCMEM_ACQUIRE_SHARED;
    if ((is_shared && !dcmi_simulated_share(piece)) || !dcmi_pieces_add(&dev->live, piece)) {
        dcmi_simulated_unmap(dev, piece);
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the file or the record of an extent");
    }
    return DCMEM_OK;
}

static dcmem_result
acquire_locked(dcmi_piece *out, device *dev, const dcmem_acquire *request)
{
    dcmem_result result = dcmi_simulated_pay(dev, request->kind, request->bytes);
    if (result)
        return result;
    result = map_paid(out, dev, request);
    if (result) {
        dcmi_simulated_refund(dev, request->kind, request->bytes);
        return result;
    }
    dev->account.acquires++;
    dcmi_simulated_count_live(dev);
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
    if (piece->flags & (DCMI_PIECE_IMPORTED | DCMI_PIECE_FOREIGN))
        dev->account.imports--;
    else
        dcmi_simulated_refund(dev, piece->kind, piece->bytes);
    dcmi_simulated_unmap(dev, piece);
}

/* Whether the end of a range at `at` cuts through what cannot be divided. */
static bool
is_cut(const device *dev, uint64_t begin, uint64_t bytes, uint64_t at)
{
    dcmi_piece piece;
    bool is_one = dcmi_pieces_find(&piece, &dev->live, at) && (piece.flags & (DCMI_PIECE_IMPORTED | DCMI_PIECE_SHARED));
    return is_one && (piece.begin < begin || piece.begin + piece.bytes > begin + bytes);
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
    if (!dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE) || is_cut(dev, begin, bytes, begin) ||
        is_cut(dev, begin, bytes, begin + bytes - 1))
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
