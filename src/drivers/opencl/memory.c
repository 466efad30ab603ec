/* memory.c: acquires and releases memory, each kind in the best way that a device has.
 *
 *     device          clCreateBuffer
 *     host_visible    the same with CL_MEM_ALLOC_HOST_PTR, where device memory is the host's
 *     pinned          the same again, mapped for its whole life; or clHostMemAllocINTEL
 *     managed         clSVMAlloc with a buffer around it, or clSharedMemAllocINTEL
 *     host            of the system: OpenCL does not come into it
 *
 * Drivers put off getting a buffer's memory until it is used first, and some of them end the process when there is
 * none then. So a buffer is paid for out of the card's budget before it is made, and used at once: after acquire its
 * memory is there. On processors there is also a look whether the process has the address space. */
#include "drivers/opencl/device.h"

#include "base/os.h"
#include "base/size.h"

#include <stdlib.h>

static void *
at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

uint32_t
dcmi_cl_device_kinds(const dcmi_cl_device *device)
{
    uint32_t kinds =
        DCMEM_KIND_BIT(DCMEM_KIND_DEVICE) | DCMEM_KIND_BIT(DCMEM_KIND_HOST) | DCMEM_KIND_BIT(DCMEM_KIND_PINNED);
    if (device->can_map)
        kinds |= DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE);
    if (device->managed)
        kinds |= DCMEM_KIND_BIT(DCMEM_KIND_MANAGED);
    return kinds;
}

bool
dcmi_cl_device_pays(const dcmi_cl_device *device, dcmem_kind kind)
{
    return kind != DCMEM_KIND_HOST && (kind != DCMEM_KIND_PINNED || device->card->is_unified);
}

/* ---- Money ---- */

/* Where what is asked for lies aligned, wherever the room lies. What does not fit 64 bits is more than there is. */
static uint64_t
room_for(const dcmem_acquire *request)
{
    uint64_t room;
    return dcmi_size_add(&room, request->bytes, request->alignment) ? room : UINT64_MAX;
}

/* Adds to what a piece has paid; it gets it back when it goes, whatever became of it. */
static dcmem_result
charge(dcmi_cl_piece *piece, dcmi_cl_device *device, dcmem_kind kind, uint64_t bytes)
{
    if (bytes > device->card->largest_bytes)
        return dcmi_fail(DCMEM_E_TOO_LARGE, "%llu bytes; the device gives at most %llu at once",
                         (unsigned long long)bytes, (unsigned long long)device->card->largest_bytes);
    if (!dcmi_cl_device_pays(device, kind))
        return DCMEM_OK;
    dcmem_result result = dcmi_cl_card_charge(device->card, bytes);
    if (!result)
        piece->charged_bytes += bytes;
    return result;
}

/* Has the process room for it? Another thread may take it before the driver does; but what ends a process is a limit
 * that is far passed, not one that is just reached. */
static dcmem_result
look_for_room(const dcmi_cl_device *device, uint64_t bytes)
{
    if (!device->card->is_unified)
        return DCMEM_OK;
    void *room = dcmi_os_reserve(bytes);
    if (!room)
        return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes: the process has no address space for them (ulimit -v)",
                         (unsigned long long)bytes);
    dcmi_os_unreserve(room, bytes);
    return DCMEM_OK;
}

/* ---- Buffers ---- */

static cl_mem
create(dcmi_cl_device *device, uint64_t flags, uint64_t bytes, void *host, cl_int *code)
{
    const cl_bitfield properties[] = {CL_MEM_DEVICE_PRIVATE_ADDRESS_EXT, CL_TRUE, 0};
    *code = CL_SUCCESS;
    if (device->has_addresses && !host)
        return dcmi_cl.clCreateBufferWithProperties(device->context, properties, flags, bytes, NULL, code);
    return dcmi_cl.clCreateBuffer(device->context, flags, bytes, host, code);
}

static dcmem_result
create_buffer(cl_mem *out, dcmi_cl_device *device, uint64_t flags, uint64_t bytes, void *host)
{
    cl_int code;
    cl_mem mem = create(device, flags, bytes, host, &code);
    if (code)
        return dcmi_cl_fail(code, "a buffer of %llu bytes", (unsigned long long)bytes);
    *out = mem;
    return DCMEM_OK;
}

static dcmem_result
create_part(cl_mem *out, cl_mem whole, uint64_t offset, uint64_t bytes)
{
    cl_int code = CL_SUCCESS;
    const cl_buffer_region region = {offset, bytes};
    cl_mem mem = dcmi_cl.clCreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    if (code)
        return dcmi_cl_fail(code, "%llu bytes of a buffer, from %llu", (unsigned long long)bytes,
                            (unsigned long long)offset);
    *out = mem;
    return DCMEM_OK;
}

static dcmem_result
release_buffer(cl_mem mem)
{
    cl_int code = mem ? dcmi_cl.clReleaseMemObject(mem) : CL_SUCCESS;
    return code ? dcmi_cl_fail(code, "a buffer could not be released") : DCMEM_OK;
}

/* 0: the device says none. */
static uint64_t
address_of(const dcmi_cl_device *device, cl_mem mem)
{
    uint64_t addresses[DCMI_CL_CARDS] = {0};
    if (!device->has_addresses ||
        dcmi_cl.clGetMemObjectInfo(mem, CL_MEM_DEVICE_ADDRESS_EXT, device->device_count * sizeof addresses[0],
                                   addresses, NULL))
        return 0;
    return addresses[device->position];
}

/* Makes the driver get the memory: whatever it puts off, a command that writes cannot do without. */
static dcmem_result
use_first(dcmi_cl_device *device, cl_mem mem)
{
    const char zero = 0, *const what = "the first use of a buffer";
    cl_event event = NULL;
    dcmi_lock_take(&device->turn);
    cl_int code = dcmi_cl.clEnqueueFillBuffer(device->queue, mem, &zero, 1, 0, 1, 0, NULL, &event);
    dcmem_result result = code ? dcmi_cl_fail(code, "%s", what) : dcmi_cl_finish(event, what);
    dcmi_lock_drop(&device->turn);
    return result;
}

/* A buffer that is there, with no regard to alignment. 0: it has no address. */
static dcmem_result
make_buffer(cl_mem *out, uint64_t *out_address, dcmi_cl_device *device, uint64_t bytes, dcmem_kind kind)
{
    cl_mem mem;
    uint64_t flags = CL_MEM_READ_WRITE | (kind == DCMEM_KIND_DEVICE ? 0 : CL_MEM_ALLOC_HOST_PTR);
    dcmem_result result = look_for_room(device, bytes);
    if (!result)
        result = create_buffer(&mem, device, flags, bytes, NULL);
    if (result)
        return result;
    result = use_first(device, mem);
    if (result) {
        dcmem_detail why = dcmi_detail_save();
        (void)release_buffer(mem);
        dcmi_detail_restore(&why);
        return result;
    }
    *out_address = address_of(device, mem);
    *out = mem;
    return DCMEM_OK;
}

/* How far behind an aligned place an address lies. */
static uint64_t
excess(uint64_t address, uint64_t alignment)
{
    return address & (alignment - 1);
}

/* An aligned part of a larger buffer; the driver keeps the whole while there is the part. */
static dcmem_result
make_part(cl_mem *out, uint64_t *out_address, dcmi_cl_device *device, const dcmem_acquire *request)
{
    cl_mem whole, part = NULL;
    uint64_t address;
    dcmem_result result = make_buffer(&whole, &address, device, room_for(request), request->kind);
    if (result)
        return result;

    result = create_part(&part, whole, -address & (request->alignment - 1), request->bytes);
    if (!result) {
        address = address_of(device, part);
        if (excess(address, request->alignment))
            result = dcmi_fail(DCMEM_E_DRIVER, "a part of a buffer is not where it was cut");
    }
    dcmem_detail why = dcmi_detail_save();
    (void)release_buffer(whole);
    if (result)
        (void)release_buffer(part);
    dcmi_detail_restore(&why);
    if (result)
        return result;
    *out_address = address;
    *out = part;
    return DCMEM_OK;
}

/* A buffer that is mapped for good. */
static dcmem_result
make_pinned(cl_mem *out, void **out_base, dcmi_cl_device *device, uint64_t bytes)
{
    cl_mem mem;
    dcmem_result result = look_for_room(device, bytes);
    if (!result)
        result = create_buffer(&mem, device, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, bytes, NULL);
    if (result)
        return result;
    result = dcmi_cl_map(out_base, device, mem, 0, bytes, DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT);
    if (result) {
        dcmem_detail why = dcmi_detail_save();
        (void)release_buffer(mem);
        dcmi_detail_restore(&why);
        return result;
    }
    *out = mem;
    return DCMEM_OK;
}

static dcmem_result
unmake_pinned(dcmi_cl_device *device, cl_mem mem, void *base)
{
    dcmem_result result = dcmi_cl_unmap(device, mem, base);
    dcmem_detail why = dcmi_detail_save();
    dcmem_result released = release_buffer(mem);
    if (result)
        dcmi_detail_restore(&why);
    return result ? result : released;
}

static dcmem_extent
extent_of(dcmi_cl_piece *piece, uint64_t object, uint64_t address, void *host, const dcmem_acquire *request)
{
    return (dcmem_extent){
        .object = object,
        .address = address,
        .bytes = request->bytes,
        .host = host,
        .driver = (uintptr_t)piece,
        .kind = request->kind,
    };
}

static dcmem_result
acquire_buffer(dcmem_extent *out, dcmi_cl_piece *piece, dcmi_cl_device *device, const dcmem_acquire *request)
{
    cl_mem mem;
    uint64_t address;
    dcmem_result result = charge(piece, device, request->kind, request->bytes);
    if (!result)
        result = make_buffer(&mem, &address, device, request->bytes, request->kind);
    if (!result && excess(address, request->alignment)) {
        result = release_buffer(mem);
        if (!result)
            result = charge(piece, device, request->kind, request->alignment);
        if (!result)
            result = make_part(&mem, &address, device, request);
    }
    if (result)
        return result;
    piece->source = DCMI_CL_BUFFER;
    piece->buffer = piece->mem = mem;
    *out = extent_of(piece, (uintptr_t)mem, address, NULL, request);
    return DCMEM_OK;
}

/* ---- Pointers: drivers align them by no more than their largest type, so the rest is cut off here ---- */

static uint64_t
aligned(const void *base, uint64_t alignment)
{
    return ((uintptr_t)base + alignment - 1) & ~(alignment - 1);
}

static void
free_pointer(dcmi_cl_device *device, const dcmi_cl_piece *piece)
{
    if (piece->source == DCMI_CL_SVM)
        dcmi_cl.clSVMFree(device->context, piece->base);
    else if (piece->source == DCMI_CL_USM)
        (void)device->card->usm.clMemFreeINTEL(device->context, piece->base); /* Refused: it is lost. */
    else if (piece->source == DCMI_CL_HOST)
        dcmi_os_unreserve(piece->base, piece->base_bytes);
}

static dcmem_result
acquire_svm(dcmem_extent *out, dcmi_cl_piece *piece, dcmi_cl_device *device, const dcmem_acquire *request)
{
    uint64_t room = room_for(request);
    bool is_fine = device->managed == DCMI_CL_MANAGED_FINE;
    uint64_t flags = CL_MEM_READ_WRITE | (is_fine ? CL_MEM_SVM_FINE_GRAIN_BUFFER : 0);
    dcmem_result result = charge(piece, device, request->kind, room);
    if (!result)
        result = look_for_room(device, room);
    if (result)
        return result;

    void *base = dcmi_cl.clSVMAlloc(device->context, flags, room, 0);
    if (!base)
        return dcmem_backend_fail(DCMEM_E_NO_MEMORY, "opencl", 0, "%llu bytes of shared virtual memory",
                                  (unsigned long long)room);
    uint64_t begin = aligned(base, request->alignment);
    cl_mem mem;
    result = create_buffer(&mem, device, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, request->bytes, at(begin));
    if (result) {
        dcmi_cl.clSVMFree(device->context, base);
        return result;
    }
    void *host = is_fine ? at(begin) : NULL;
    *piece = (dcmi_cl_piece){DCMI_CL_SVM, mem, mem, host, base, room, piece->charged_bytes};
    *out = extent_of(piece, begin, begin, host, request);
    return DCMEM_OK;
}

static dcmem_result
acquire_pinned(dcmem_extent *out, dcmi_cl_piece *piece, dcmi_cl_device *device, const dcmem_acquire *request)
{
    cl_mem mem;
    void *base;
    dcmem_result result = charge(piece, device, request->kind, request->bytes);
    if (!result)
        result = make_pinned(&mem, &base, device, request->bytes);
    if (!result && excess((uintptr_t)base, request->alignment)) {
        result = unmake_pinned(device, mem, base);
        if (!result)
            result = charge(piece, device, request->kind, request->alignment);
        if (!result)
            result = make_pinned(&mem, &base, device, room_for(request));
    }
    if (result)
        return result;
    uint64_t begin = aligned(base, request->alignment);
    *piece = (dcmi_cl_piece){DCMI_CL_PINNED, NULL, mem, at(begin), base, 0, piece->charged_bytes};
    *out = extent_of(piece, begin, 0, at(begin), request);
    return DCMEM_OK;
}

static dcmem_result
acquire_usm(dcmem_extent *out, dcmi_cl_piece *piece, dcmi_cl_device *device, const dcmem_acquire *request)
{
    uint64_t room = room_for(request);
    cl_int code = CL_SUCCESS;
    const dcmi_cl_shared_memory *usm = &device->card->usm;
    dcmem_result result = charge(piece, device, request->kind, room);
    if (!result)
        result = look_for_room(device, room);
    if (result)
        return result;

    void *base = request->kind == DCMEM_KIND_PINNED
                     ? usm->clHostMemAllocINTEL(device->context, NULL, room, 0, &code)
                     : usm->clSharedMemAllocINTEL(device->context, device->card->id, NULL, room, 0, &code);
    if (code)
        return dcmi_cl_fail(code, "%llu bytes of unified shared memory", (unsigned long long)room);
    uint64_t begin = aligned(base, request->alignment);
    *piece = (dcmi_cl_piece){DCMI_CL_USM, NULL, NULL, at(begin), base, room, piece->charged_bytes};
    *out = extent_of(piece, begin, begin, at(begin), request);
    return DCMEM_OK;
}

static dcmem_result
acquire_host(dcmem_extent *out, dcmi_cl_piece *piece, const dcmem_acquire *request)
{
    uint64_t room = room_for(request);
    void *base = dcmi_os_reserve(room);
    if (!base)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "%llu bytes of host memory", (unsigned long long)room);
    uint64_t begin = aligned(base, request->alignment);
    *piece = (dcmi_cl_piece){DCMI_CL_HOST, NULL, NULL, at(begin), base, room, 0};
    *out = extent_of(piece, begin, 0, at(begin), request);
    return DCMEM_OK;
}

/* ---- All kinds ---- */

static dcmem_result
acquire_kind(dcmem_extent *out, dcmi_cl_piece *piece, dcmi_cl_device *device, const dcmem_acquire *request)
{
    switch (request->kind) {
    case DCMEM_KIND_HOST:
        return acquire_host(out, piece, request);
    case DCMEM_KIND_PINNED:
        return device->card->has_host_usm ? acquire_usm(out, piece, device, request)
                                          : acquire_pinned(out, piece, device, request);
    case DCMEM_KIND_MANAGED:
        return device->managed == DCMI_CL_MANAGED_USM ? acquire_usm(out, piece, device, request)
                                                      : acquire_svm(out, piece, device, request);
    default:
        return acquire_buffer(out, piece, device, request);
    }
}

static void
forget(dcmi_cl_device *device, dcmi_cl_piece *piece)
{
    dcmi_cl_card_discharge(device->card, piece->charged_bytes);
    free(piece);
}

static dcmem_result
no_record(void)
{
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of an extent");
}

dcmem_result
dcmi_cl_memory_acquire(dcmem_extent *out, dcmi_cl_device *device, const dcmem_acquire *request)
{
    dcmem_acquire whole = *request;
    whole.alignment = dcmi_max(request->alignment, DCMI_CL_ALIGNMENT);
    if (request->kind >= DCMEM_KIND_COUNT || !(dcmi_cl_device_kinds(device) & DCMEM_KIND_BIT(request->kind)))
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "the device has no memory of kind %d", (int)request->kind);
    dcmi_cl_piece *piece = dcmi_cl_new(sizeof *piece);
    if (!piece)
        return no_record();
    dcmem_result result = acquire_kind(out, piece, device, &whole);
    if (result)
        forget(device, piece);
    return result;
}

dcmem_result
dcmi_cl_memory_import(dcmem_extent *out, dcmi_cl_device *device, void *host, uint64_t bytes)
{
    /* Of coherent memory the host needs no leave; of other what one side writes the other sees by maps only, and the
     * core does that for memory that is not its own host's. */
    bool is_coherent = device->is_coherent;
    const dcmem_acquire request = {.bytes = bytes, .kind = is_coherent ? DCMEM_KIND_HOST : DCMEM_KIND_HOST_VISIBLE};
    dcmi_cl_piece *piece = dcmi_cl_new(sizeof *piece);
    if (!piece)
        return no_record();
    cl_mem mem;
    dcmem_result result = create_buffer(&mem, device, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, host);
    if (result) {
        free(piece);
        return result;
    }
    *piece = (dcmi_cl_piece){DCMI_CL_IMPORTED, mem, mem, is_coherent ? host : NULL, host, bytes, 0};
    *out = extent_of(piece, (uintptr_t)mem, 0, host, &request);
    return DCMEM_OK;
}

dcmem_result
dcmi_cl_memory_release(dcmi_cl_device *device, const dcmem_extent *extent)
{
    dcmi_cl_piece *piece = dcmi_cl_piece_of(extent);
    dcmem_result result = DCMEM_OK;
    if (piece->source == DCMI_CL_PINNED)
        result = dcmi_cl_unmap(device, piece->buffer, piece->base);
    /* The last that the device wrote must reach its owner. */
    if (piece->source == DCMI_CL_IMPORTED && !piece->host)
        result = dcmi_cl_visit(device, piece->mem, 0, piece->base_bytes, DCMI_CL_TO_HOST);
    dcmem_detail why = dcmi_detail_save();
    dcmem_result released = release_buffer(piece->buffer);
    free_pointer(device, piece);
    forget(device, piece);
    if (result)
        dcmi_detail_restore(&why);
    return result ? result : released;
}

/* ---- What a driver says it has, and what it has ---- */

static bool
has_managed(dcmi_cl_device *device, dcmi_cl_managed way)
{
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = DCMI_CL_ALIGNMENT, .kind = DCMEM_KIND_MANAGED};
    device->managed = way;
    bool has = !dcmi_cl_memory_acquire(&extent, device, &request);
    if (has)
        (void)dcmi_cl_memory_release(device, &extent); /* A page, at worst. */
    device->managed = DCMI_CL_MANAGED_NONE;
    return has;
}

static bool
has_addresses(dcmi_cl_device *device)
{
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = DCMI_CL_ALIGNMENT, .kind = DCMEM_KIND_DEVICE};
    device->has_addresses = true;
    bool has = !dcmi_cl_memory_acquire(&extent, device, &request);
    if (has)
        (void)dcmi_cl_memory_release(device, &extent);
    device->has_addresses = false;
    return has && extent.address;
}

static bool
can_fill(dcmi_cl_device *device, const dcmem_extent *extent, unsigned char mark)
{
    cl_event event = NULL;
    const dcmem_place place = {.extent = extent};
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_cl_fill(&event, device->queue, &place, DCMI_CL_ALIGNMENT, &mark, 1);
    if (!result)
        result = dcmi_cl_finish(event, "a fill");
    dcmi_lock_drop(&device->turn);
    return result == DCMEM_OK;
}

/* Does the host see at once what a command writes? */
static bool
shows(dcmi_cl_device *device, const dcmem_extent *extent, const void *host)
{
    const volatile unsigned char *seen = host;
    return can_fill(device, extent, 0x5a) && *seen == 0x5a && can_fill(device, extent, 0xa5) && *seen == 0xa5;
}

/* Do both see what the other wrote after a visit? */
static bool
shows_by_visits(dcmi_cl_device *device, const dcmem_extent *extent, void *host)
{
    cl_event event = NULL;
    unsigned char found = 0;
    volatile unsigned char *seen = host;
    cl_mem mem = dcmi_cl_piece_of(extent)->mem;
    const dcmem_place from = {.extent = extent}, to = {.host = &found};
    if (!can_fill(device, extent, 0x3c) || dcmi_cl_visit(device, mem, 0, extent->bytes, DCMI_CL_TO_HOST) ||
        *seen != 0x3c)
        return false;
    *seen = 0xc3;
    if (dcmi_cl_visit(device, mem, 0, extent->bytes, DCMI_CL_TO_DEVICE))
        return false;
    dcmi_lock_take(&device->turn);
    dcmem_result result = dcmi_cl_copy(&event, device->queue, &to, &from, 1);
    if (!result)
        result = dcmi_cl_finish(event, "a copy");
    dcmi_lock_drop(&device->turn);
    return !result && found == 0xc3;
}

/* Looks at a page while it is mapped. */
static void
probe_maps(dcmi_cl_device *device)
{
    void *host;
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = DCMI_CL_ALIGNMENT, .kind = DCMEM_KIND_HOST_VISIBLE};
    bool is_stable = false, is_coherent = false;
    device->can_map = true;
    if (!dcmi_cl_memory_acquire(&extent, device, &request)) {
        cl_mem mem = dcmi_cl_piece_of(&extent)->mem;
        if (!dcmi_cl_map(&host, device, mem, 0, extent.bytes, DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT)) {
            is_stable = shows_by_visits(device, &extent, host);
            /* Others are not asked: what caches show once, they need not show again. */
            is_coherent = device->card->is_processor && shows(device, &extent, host);
            is_stable = !dcmi_cl_unmap(device, mem, host) && is_stable;
        }
        is_stable = !dcmi_cl_memory_release(device, &extent) && is_stable;
    }
    device->can_map = is_stable;
    device->is_coherent = is_stable && is_coherent;
}

static bool
has_coherent_imports(dcmi_cl_device *device)
{
    bool has = false;
    dcmem_extent extent;
    void *page = dcmi_os_reserve(DCMI_CL_ALIGNMENT);
    device->is_coherent = false;
    if (page && !dcmi_cl_memory_import(&extent, device, page, DCMI_CL_ALIGNMENT)) {
        has = shows(device, &extent, page);
        has = !dcmi_cl_memory_release(device, &extent) && has;
    }
    dcmi_os_unreserve(page, DCMI_CL_ALIGNMENT);
    return has;
}

void
dcmi_cl_memory_probe(dcmi_cl_device *device)
{
    const dcmi_cl_card *card = device->card;
    const dcmem_detail before = dcmi_detail_save();
    const struct {
        bool is_said;
        dcmi_cl_managed way;
    } ways[] = {
        {card->svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER, DCMI_CL_MANAGED_FINE},
        {card->has_shared_usm, DCMI_CL_MANAGED_USM},
        {card->svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER, DCMI_CL_MANAGED_COARSE},
    };
    for (unsigned i = 0; i < sizeof ways / sizeof ways[0] && !device->managed; i++)
        if (ways[i].is_said && has_managed(device, ways[i].way))
            device->managed = ways[i].way;
    device->has_addresses = card->has_addresses && has_addresses(device);
    /* Of unified memory it is no matter of course that it stays where it was mapped: rusticl copies it. */
    if (card->is_unified)
        probe_maps(device);
    device->is_coherent = device->is_coherent && has_coherent_imports(device);
    dcmi_detail_restore(&before);
}
