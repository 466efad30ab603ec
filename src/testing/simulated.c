/* simulated.c: the backend of simulated devices: its table, its account, its four devices for everybody. */
#include "simulated.h"
#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES  64u
#define FIRST_NUMBER (1ull << 48) /* above every address, so that numbers and addresses never meet */

typedef dcmi_simulated device;

typedef struct simulated_backend {
    dcmem_backend table; /* first: a pointer to the table is one to the whole */
    uint32_t count;
    device devices[];
} simulated_backend;

dcmem_result
dcmi_simulated_fail(dcmem_result result, const char *format, ...)
{
    char message[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return dcmem_backend_fail(result, "simulated", 0, "%s", message);
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "must hold: %s", #condition);                         \
    } while (0)

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Takes the lock of a device that is not lost. */
static dcmem_result
enter(device *dev)
{
    pthread_mutex_lock(&dev->lock);
    if (!dev->is_lost)
        return DCMEM_OK;
    pthread_mutex_unlock(&dev->lock);
    return dcmi_simulated_fail(DCMEM_E_DEVICE_LOST, "device %u is lost", dev->index);
}

static void
leave(device *dev)
{
    pthread_mutex_unlock(&dev->lock);
}

/* ---- Open, close, info ---- */

static dcmem_result
simulated_count(uint32_t *out, const dcmem_backend *backend)
{
    const simulated_backend *all = (const simulated_backend *)backend->context;
    *out = all->count;
    return DCMEM_OK;
}

static dcmem_result
simulated_open(void **out, const dcmem_backend *backend, const dcmem_open *options)
{
    simulated_backend *all = backend->context;
    if (options->index >= all->count)
        return dcmi_simulated_fail(DCMEM_E_UNAVAILABLE, "device %u of %u", options->index, all->count);
    if (options->native)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no native context");
    if (options->huge_pages == DCMEM_HUGE_PAGES_ON)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no huge pages");
    if (options->numa_node >= 0)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no NUMA nodes");

    device *dev = &all->devices[options->index];
    dcmem_result result = enter(dev);
    if (result)
        return result;
    dev->open_count++;
    leave(dev);
    *out = dev;
    return DCMEM_OK;
}

static void
simulated_close(void *handle)
{
    device *dev = handle;
    pthread_mutex_lock(&dev->lock);
    dev->open_count--;
    leave(dev);
}

static uint64_t
free_in(const dcmi_heap_state *heap)
{
    return heap->available > heap->used ? heap->available - heap->used : 0;
}

static uint64_t
capabilities_of(const device *dev, uint64_t groups)
{
    uint64_t capabilities = groups;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED))
        capabilities |= DCMEM_CAP_UNIFIED;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE))
        capabilities |= DCMEM_CAP_DIVISIBLE;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_ADDRESSED))
        capabilities |= DCMEM_CAP_ADDRESSED;
    return capabilities;
}

#define GROUPS (DCMEM_CAP_MAP | DCMEM_CAP_IMPORT)

static void
describe_heaps(dcmem_device_info *info, const device *dev)
{
    for (int heap = 0; heap < DCMI_HEAP_COUNT; heap++) {
        uint32_t kinds = 0;
        for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
            if ((int)dcmi_simulated_heap(dev, (dcmem_kind)kind) == heap)
                kinds |= DCMEM_KIND_BIT(kind);
        kinds &= dev->profile.kinds;
        if (!kinds)
            continue;
        info->heaps[info->heap_count++] = (dcmem_heap_info){
            .total_bytes = dev->heaps[heap].total, .free_bytes = free_in(&dev->heaps[heap]), .kinds = kinds};
    }
}

static dcmem_result
simulated_info(dcmem_device_info *out, void *handle)
{
    device *dev = handle;
    dcmem_device_info info = {.size = sizeof info,
                              .backend = "simulated",
                              .capabilities = capabilities_of(dev, GROUPS),
                              .kinds = dev->profile.kinds,
                              .total_bytes = dev->profile.total_bytes,
                              .largest_allocation_bytes = dev->profile.largest_allocation_bytes,
                              .alignment = dev->profile.alignment,
                              .granularity = dev->profile.granularity,
                              .cache_line_bytes = 64,
                              .last_level_cache_bytes = 32ull << 20,
                              .flush_bytes = dev->profile.flush_bytes,
                              .numa_node = -1,
                              .is_unified = dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED)};
    snprintf(info.name, sizeof info.name, "%s", dev->name);
    snprintf(info.driver_version, sizeof info.driver_version, "%s", dev->note);
    snprintf(info.pci, sizeof info.pci, "0000:%02x:00.0", dev->index & 0xffu);
    memcpy(info.uuid, "dcmem-simulated", 15);
    info.uuid[15] = (uint8_t)dev->index;

    dcmem_result result = enter(dev);
    if (result)
        return result;
    info.free_bytes = free_in(&dev->heaps[DCMI_HEAP_DEVICE]);
    describe_heaps(&info, dev);
    leave(dev);
    *out = info;
    return DCMEM_OK;
}

/* ---- Acquire and release ---- */

static dcmem_extent
extent_of(const device *dev, const dcmi_piece *piece)
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
    REQUIRE(request->bytes > 0 && request->bytes % profile->granularity == 0);
    REQUIRE(dcmi_is_power_of_two_or_0(request->alignment) && request->alignment <= 1ull << 30);
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
    uint64_t room = free_in(&dev->heaps[dcmi_simulated_heap(dev, request->kind)]);
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

static dcmem_result
simulated_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    (void)call;
    device *dev = handle;
    dcmem_result result = check_request(dev, request);
    if (!result)
        result = enter(dev);
    if (result)
        return result;

    dcmi_piece piece;
    result = acquire_locked(&piece, dev, request);
    leave(dev);
    if (!result)
        *out = extent_of(dev, &piece);
    return result;
}

static void
end_piece(void *user, const dcmi_piece *piece)
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

static dcmem_result
simulated_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    (void)call;
    device *dev = handle;
    /* A lost device takes its memory back like any other. */
    pthread_mutex_lock(&dev->lock);
    dcmem_result result = check_release(dev, extent);
    if (!result && !dcmi_pieces_cut(&dev->live, extent->object, extent->bytes, end_piece, dev))
        result = dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an extent's rest");
    if (!result)
        dev->account.releases++;
    leave(dev);
    return result;
}

/* ---- Copy and fill ---- */

/* Where the byte `done` bytes into a place is for the device, and at most how many bytes lie there together. */
static dcmem_result
locate(uint8_t **out, uint64_t *together, device *dev, const dcmem_place *place, uint64_t done)
{
    if (!place->extent) {
        *out = (uint8_t *)place->host + done;
        return DCMEM_OK;
    }
    dcmi_piece piece;
    uint64_t at = place->extent->object + place->offset + done;
    dcmem_result result = enter(dev);
    if (result)
        return result;
    bool is_live = dcmi_pieces_find(&piece, &dev->live, at);
    leave(dev);
    if (!is_live)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "byte %llu of object 0x%llx is not acquired",
                                   (unsigned long long)(place->offset + done),
                                   (unsigned long long)place->extent->object);
    *out = piece.memory + (at - piece.begin);
    *together = least(*together, piece.begin + piece.bytes - at);
    return DCMEM_OK;
}

static dcmem_result
simulated_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    for (uint64_t done = 0, now; done < bytes; done += now) {
        uint8_t *target = NULL, *source = NULL;
        now = bytes - done;
        dcmem_result result = locate(&target, &now, dev, to, done);
        if (!result)
            result = locate(&source, &now, dev, from, done);
        if (result)
            return result;
        memcpy(target, source, now);
    }
    return DCMEM_OK;
}

static dcmem_result
simulated_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
               uint32_t pattern_bytes)
{
    (void)call;
    device *dev = handle;
    const uint8_t *byte_of = pattern;
    for (uint64_t done = 0, now; done < bytes; done += now) {
        uint8_t *target = NULL;
        now = bytes - done;
        dcmem_result result = locate(&target, &now, dev, to, done);
        if (result)
            return result;
        for (uint64_t i = 0; i < now; i++)
            target[i] = byte_of[(done + i) % pattern_bytes];
    }
    return DCMEM_OK;
}

/* ---- Map ---- */

/* The piece that holds all of a range of an extent. */
static dcmem_result
find_range(dcmi_piece *out, const device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    uint64_t at = extent->object + offset;
    if (!dcmi_pieces_find(out, &dev->live, at))
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "byte %llu of object 0x%llx is not acquired",
                                   (unsigned long long)offset, (unsigned long long)extent->object);
    bool is_divisible = dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE);
    bool is_within = out->begin + out->bytes - at >= bytes;
    if (!is_within && !(is_divisible && dcmi_pieces_cover(&dev->live, at, bytes)))
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu bytes from byte %llu leave the extent",
                                   (unsigned long long)bytes, (unsigned long long)offset);
    return DCMEM_OK;
}

static dcmem_result
map_locked(void **out, device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    dcmi_piece piece;
    dcmem_result result = find_range(&piece, dev, extent, offset, bytes);
    if (result)
        return result;
    uint8_t *host = dcmi_simulated_host(dev, &piece, true);
    if (!host)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "the host cannot map memory of kind %s",
                                   dcmem_kind_name(piece.kind));
    dev->account.maps++;
    *out = host + (extent->object + offset - piece.begin);
    return DCMEM_OK;
}

static dcmem_result
simulated_map(void **out, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
              uint64_t bytes, uint32_t flags)
{
    (void)call;
    (void)flags;
    device *dev = handle;
    REQUIRE(bytes > 0);
    dcmem_result result = enter(dev);
    if (result)
        return result;
    result = map_locked(out, dev, extent, offset, bytes);
    leave(dev);
    return result;
}

static dcmem_result
simulated_unmap(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)call;
    device *dev = handle;
    dcmi_piece piece;
    pthread_mutex_lock(&dev->lock);
    dcmem_result result = find_range(&piece, dev, extent, 0, extent->bytes);
    uint64_t offset = result ? 0 : (uintptr_t)host - (uintptr_t)dcmi_simulated_host(dev, &piece, true);
    if (!result && (dev->account.maps == 0 || offset >= extent->bytes))
        result = dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "unmap of what is not mapped");
    if (!result)
        dev->account.maps--;
    leave(dev);
    return result;
}

/* Copies whole flush units between the two memories of a range, as the hardware does: neighbours' bytes too. */
static dcmem_result
bring_together(device *dev, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, bool is_flush)
{
    dcmi_piece piece;
    dcmem_result result = enter(dev);
    if (result)
        return result;
    result = find_range(&piece, dev, extent, offset, bytes);
    leave(dev);
    if (result || !piece.view)
        return result;

    uint64_t unit = dev->profile.flush_bytes, begin = extent->object + offset - piece.begin;
    uint64_t end = least((begin + bytes + unit - 1) & ~(unit - 1), piece.bytes);
    begin &= ~(unit - 1);
    memcpy((is_flush ? piece.memory : piece.view) + begin, (is_flush ? piece.view : piece.memory) + begin, end - begin);
    return DCMEM_OK;
}

static dcmem_result
simulated_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return bring_together(handle, extent, offset, bytes, true);
}

static dcmem_result
simulated_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)call;
    return bring_together(handle, extent, offset, bytes, false);
}

/* ---- Import ---- */

static dcmem_result
simulated_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    REQUIRE(host && bytes > 0);
    dcmem_result result = enter(dev);
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
    leave(dev);
    if (!result)
        *out = extent_of(dev, &piece);
    return result;
}

/* ---- The table ---- */

static const dcmem_backend table = {
    .size = sizeof(dcmem_backend),
    .contract = DCMEM_BACKEND_CONTRACT,
    .name = "simulated",
    .capabilities = GROUPS,
    .count = simulated_count,
    .open = simulated_open,
    .close = simulated_close,
    .info = simulated_info,
    .acquire = simulated_acquire,
    .release = simulated_release,
    .copy = simulated_copy,
    .fill = simulated_fill,
    .map = simulated_map,
    .unmap = simulated_unmap,
    .flush = simulated_flush,
    .invalidate = simulated_invalidate,
    .import_host = simulated_import_host,
};

static void
init_device(device *dev, const dcmem_simulated_profile *completed, uint32_t index)
{
    pthread_mutex_init(&dev->lock, NULL);
    dev->profile = *completed;
    snprintf(dev->name, sizeof dev->name, "%s", completed->name);
    snprintf(dev->note, sizeof dev->note, "%s", completed->note);
    dev->profile.name = dev->name;
    dev->profile.note = dev->note;
    dev->index = index;
    dev->next_number = FIRST_NUMBER;
    dev->heaps[DCMI_HEAP_DEVICE] = (dcmi_heap_state){completed->total_bytes, completed->available_bytes, 0};
    dev->heaps[DCMI_HEAP_HOST] = (dcmi_heap_state){completed->host_bytes, completed->host_bytes, 0};
    dev->account.size = sizeof dev->account;
}

/* What one device has, another may be without: each tells its own in its info. */
static uint64_t
all_capabilities(const simulated_backend *all)
{
    uint64_t capabilities = GROUPS;
    for (uint32_t i = 0; i < all->count; i++)
        capabilities |= capabilities_of(&all->devices[i], GROUPS);
    return capabilities;
}

dcmem_result
dcmem_simulated_create(dcmem_backend **out, const dcmem_simulated_profile *profiles, uint32_t count)
{
    REQUIRE(out && profiles && count >= 1 && count <= MAX_DEVICES);
    for (uint32_t i = 0; i < count; i++) {
        REQUIRE(profiles[i].size == sizeof profiles[i]);
        dcmem_simulated_profile completed = dcmi_profile_complete(profiles[i]);
        dcmem_result result = dcmi_profile_check(&completed);
        if (result)
            return result;
    }

    simulated_backend *all = dcmi_host_new(sizeof *all + count * sizeof all->devices[0]);
    if (!all)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "%u simulated devices", count);
    all->table = table;
    all->table.context = all;
    all->count = count;
    for (uint32_t i = 0; i < count; i++) {
        dcmem_simulated_profile completed = dcmi_profile_complete(profiles[i]);
        init_device(&all->devices[i], &completed, i);
    }
    all->table.capabilities = all_capabilities(all);
    *out = &all->table;
    return DCMEM_OK;
}

/* NULL, with the detail written, when it is not one of ours. */
static simulated_backend *
resolve(const dcmem_backend *backend)
{
    if (backend && backend->open == simulated_open && backend->context)
        return backend->context;
    dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "not a simulated backend");
    return NULL;
}

static device *
resolve_device(const dcmem_backend *backend, uint32_t index)
{
    simulated_backend *all = resolve(backend);
    if (all && index < all->count)
        return &all->devices[index];
    if (all)
        dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "device %u of %u", index, all->count);
    return NULL;
}

static bool
end_device(device *dev)
{
    bool had_leak = dev->live.count > 0;
    dcmi_pieces_clear(&dev->live, end_piece, dev);
    dcmi_simulated_close_lanes(dev);
    pthread_mutex_destroy(&dev->lock);
    return had_leak;
}

dcmem_result
dcmem_simulated_destroy(dcmem_backend *backend)
{
    if (!backend)
        return DCMEM_OK;
    simulated_backend *all = resolve(backend);
    if (!all)
        return DCMEM_E_INVALID_ARGUMENT;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->devices[i].open_count > 0)
            return dcmi_simulated_fail(DCMEM_E_BUSY, "device %u is open %u times", i, all->devices[i].open_count);

    uint32_t leaks = 0;
    for (uint32_t i = 0; i < all->count; i++)
        leaks += end_device(&all->devices[i]);
    free(all);
    return leaks ? dcmi_simulated_fail(DCMEM_E_LEAKED, "memory of %u devices was still acquired", leaks) : DCMEM_OK;
}

/* ---- For everybody ---- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static dcmem_backend *shared;

static dcmem_result
register_locked(void)
{
    dcmem_simulated_profile profiles[DCMEM_SIMULATED_DEVICE_COUNT];
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++)
        profiles[i] = dcmem_simulated_profile_of((dcmem_simulated_device)i);

    dcmem_backend *made = NULL;
    dcmem_result result = dcmem_simulated_create(&made, profiles, DCMEM_SIMULATED_DEVICE_COUNT);
    if (result)
        return result;
    result = dcmem_backend_register(made);
    if (result)
        (void)dcmem_simulated_destroy(made); /* nobody has seen it: it is neither open nor does it hold anything */
    else
        shared = made;
    return result;
}

dcmem_result
dcmem_simulated_register(void)
{
    pthread_mutex_lock(&shared_lock);
    dcmem_result result = shared ? DCMEM_OK : register_locked();
    pthread_mutex_unlock(&shared_lock);
    return result;
}

dcmem_result
dcmem_simulated_unregister(void)
{
    pthread_mutex_lock(&shared_lock);
    dcmem_result result = shared ? dcmem_backend_unregister(shared) : DCMEM_OK;
    if (!result) {
        result = dcmem_simulated_destroy(shared);
        shared = NULL;
    }
    pthread_mutex_unlock(&shared_lock);
    return result;
}

/* ---- Account and state ---- */

dcmem_result
dcmem_simulated_account_of(dcmem_simulated_account *out, const dcmem_backend *backend, uint32_t index)
{
    REQUIRE(out && out->size == sizeof *out);
    device *dev = resolve_device(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    pthread_mutex_lock(&dev->lock);
    dcmem_simulated_account account = dev->account;
    account.live_extents = dev->live.count - dev->account.imports;
    leave(dev);
    *out = account;
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_set_available(const dcmem_backend *backend, uint32_t index, uint64_t bytes)
{
    device *dev = resolve_device(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    REQUIRE(bytes <= dev->profile.total_bytes);
    pthread_mutex_lock(&dev->lock);
    dev->heaps[DCMI_HEAP_DEVICE].available = bytes;
    leave(dev);
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_set_lost(const dcmem_backend *backend, uint32_t index, bool is_lost)
{
    device *dev = resolve_device(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    pthread_mutex_lock(&dev->lock);
    dev->is_lost = is_lost;
    leave(dev);
    return DCMEM_OK;
}

/* ---- As a kernel sees it ---- */

/* A native place as an extent, so that kernels and copies find memory in the same way. */
static dcmem_result
place_of(dcmem_extent *extent, dcmem_place *place, const dcmem_native *native, uint64_t offset, uint64_t bytes)
{
    if (offset > native->bytes || bytes > native->bytes - offset)
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu bytes from byte %llu of %llu", (unsigned long long)bytes,
                                   (unsigned long long)offset, (unsigned long long)native->bytes);
    *extent = (dcmem_extent){.object = native->object, .bytes = native->offset + native->bytes};
    *place = (dcmem_place){.extent = extent, .offset = native->offset + offset};
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_read(void *out, const dcmem_backend *backend, uint32_t index, const dcmem_native *native,
                     uint64_t offset, uint64_t bytes)
{
    REQUIRE(out && native);
    device *dev = resolve_device(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmem_extent extent;
    dcmem_place from, to = {.host = out};
    dcmem_result result = place_of(&extent, &from, native, offset, bytes);
    return result ? result : simulated_copy(dev, NULL, &to, &from, bytes);
}

dcmem_result
dcmem_simulated_write(const dcmem_backend *backend, uint32_t index, const dcmem_native *native, uint64_t offset,
                      const void *source, uint64_t bytes)
{
    REQUIRE(source && native);
    device *dev = resolve_device(backend, index);
    if (!dev)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmem_extent extent;
    dcmem_place to, from = {.host = (void *)(uintptr_t)source};
    dcmem_result result = place_of(&extent, &to, native, offset, bytes);
    return result ? result : simulated_copy(dev, NULL, &to, &from, bytes);
}
