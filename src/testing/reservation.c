/* reservation.c: the address space behind the pieces of a simulated device. */
#include "host.h"
#include "simulated.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ull

static uint64_t
whole_pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(PAGE - 1);
}

static uint8_t *
map_at(uint8_t *wanted, uint64_t bytes, int protection, int flags)
{
    return dcmi_host_map(wanted, whole_pages(bytes), protection, flags);
}

static void
unmap(uint8_t *address, uint64_t bytes)
{
    if (address)
        munmap(address, whole_pages(bytes));
}

/* ---- Lanes: where the memory of a divisible device lies, so that neighbours can become one ---- */

/* A lane is address space of its own, held as long as the device, twice what the device has. */
static dcmi_lane *
lane_of(dcmi_simulated *device, const dcmem_acquire *request)
{
    dcmi_lane *lane = &device->lanes[request->lane % DCMI_SIMULATED_LANES];
    if (!lane->begin) {
        uint64_t bytes = 2 * whole_pages(device->profile.total_bytes);
        lane->begin = (uintptr_t)dcmi_host_map_aligned(bytes, 1u << 30, PROT_NONE);
        lane->end = lane->begin ? lane->begin + bytes : 0;
    }
    return lane;
}

static bool
is_free(const dcmi_simulated *device, const dcmi_lane *lane, uint64_t at, uint64_t bytes)
{
    dcmi_piece other;
    return at >= lane->begin && at <= lane->end && lane->end - at >= bytes &&
           !dcmi_pieces_first(&other, &device->live, at, bytes);
}

/* The lowest hole of the lane that is large enough; 0: none. */
static uint64_t
first_hole(const dcmi_simulated *device, const dcmi_lane *lane, uint64_t bytes, uint64_t alignment)
{
    uint64_t at = lane->begin;
    dcmi_piece other;
    while (at <= lane->end && lane->end - at >= bytes && dcmi_pieces_first(&other, &device->live, at, bytes))
        at = (other.begin + other.bytes + alignment - 1) & ~(alignment - 1);
    return is_free(device, lane, at, bytes) ? at : 0;
}

/* Opens part of a lane: best where the request says, or behind what the lane gave last. */
static uint8_t *
map_in_lane(dcmi_simulated *device, const dcmem_acquire *request, uint64_t alignment, int protection)
{
    dcmi_lane *lane = lane_of(device, request);
    if (!lane->begin)
        return NULL;
    uint64_t bytes = request->bytes, at = request->near;
    if (at % alignment || !is_free(device, lane, at, bytes))
        at = (lane->begin + lane->used + alignment - 1) & ~(alignment - 1);
    if (!is_free(device, lane, at, bytes))
        at = first_hole(device, lane, bytes, alignment);
    if (!at) /* crowded by alignments: then apart from its neighbours */
        return dcmi_host_map_aligned(bytes, alignment, protection);
    lane->used = at + bytes - lane->begin;
    return map_at((uint8_t *)(uintptr_t)at, bytes, protection, MAP_FIXED);
}

static bool
is_in_lane(const dcmi_simulated *device, uint64_t at)
{
    for (unsigned i = 0; i < DCMI_SIMULATED_LANES; i++)
        if (at >= device->lanes[i].begin && at < device->lanes[i].end)
            return true;
    return false;
}

void
dcmi_simulated_close_lanes(dcmi_simulated *device)
{
    for (unsigned i = 0; i < DCMI_SIMULATED_LANES; i++) {
        dcmi_lane *lane = &device->lanes[i];
        unmap((uint8_t *)(uintptr_t)lane->begin, lane->end - lane->begin);
        *lane = (dcmi_lane){0};
    }
}

/* ---- Pieces ---- */

/* The address by which a piece is named. */
static uint8_t *
map_face(dcmi_simulated *device, const dcmem_acquire *request, uint64_t alignment, int protection)
{
    if (dcmi_simulated_has(device, DCMEM_SIMULATED_DIVISIBLE))
        return map_in_lane(device, request, alignment, protection);
    return dcmi_host_map_aligned(request->bytes, alignment, protection);
}

/* The lane keeps its address space. */
static void
unmap_face(const dcmi_simulated *device, uint64_t at, uint64_t bytes)
{
    uint8_t *address = (uint8_t *)(uintptr_t)at;
    if (is_in_lane(device, at))
        (void)mmap(address, whole_pages(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                   0); /* failing, it is only kept longer */
    else
        unmap(address, bytes);
}

static bool
is_host_kind(dcmem_kind kind)
{
    return kind == DCMEM_KIND_HOST || kind == DCMEM_KIND_PINNED;
}

bool
dcmi_simulated_is_host(const dcmi_simulated *device, dcmem_kind kind)
{
    return is_host_kind(kind) && !dcmi_simulated_has(device, DCMEM_SIMULATED_UNIFIED);
}

uint32_t
dcmi_simulated_heap(const dcmi_simulated *device, dcmem_kind kind)
{
    for (uint32_t i = 0; i < device->profile.heap_count; i++)
        if (device->profile.heaps[i].kinds & DCMEM_KIND_BIT(kind))
            return DCMI_HEAP_OTHERS + i;
    return dcmi_simulated_is_host(device, kind) ? DCMI_HEAP_HOST : DCMI_HEAP_DEVICE;
}

/* Whether the host touches memory of this kind without a mapping. */
static bool
is_open_to_host(const dcmi_simulated *device, dcmem_kind kind)
{
    return dcmi_simulated_has(device, DCMEM_SIMULATED_UNIFIED) || is_host_kind(kind);
}

bool
dcmi_simulated_has_view(const dcmi_simulated *device, dcmem_kind kind)
{
    bool is_reachable = is_open_to_host(device, kind) || kind == DCMEM_KIND_HOST_VISIBLE;
    return dcmi_simulated_has(device, DCMEM_SIMULATED_NON_COHERENT) && is_reachable && !is_host_kind(kind);
}

uint8_t *
dcmi_simulated_host(const dcmi_simulated *device, const dcmi_piece *piece, bool is_mapped)
{
    if (piece->flags & DCMI_PIECE_IMPORTED)
        return piece->memory;
    bool is_page = piece->owner != NULL;
    if (is_page && dcmi_simulated_has(device, DCMEM_SIMULATED_UNIFIED))
        return (uint8_t *)(uintptr_t)piece->begin;
    if (!is_open_to_host(device, piece->kind) && !(is_mapped && piece->kind == DCMEM_KIND_HOST_VISIBLE))
        return NULL;
    return piece->view ? piece->view : piece->memory;
}

uint64_t
dcmi_simulated_number(dcmi_simulated *device, uint64_t bytes, uint64_t alignment)
{
    uint64_t number = (device->next_number + alignment - 1) & ~(alignment - 1);
    device->next_number = number + bytes + PAGE;
    return number;
}

/* Names the piece by its address, where that is also where the host touches it. */
static void
map_open(dcmi_piece *piece, dcmi_simulated *device, const dcmem_acquire *request, uint64_t alignment)
{
    piece->memory = map_face(device, request, alignment, PROT_READ | PROT_WRITE);
    piece->begin = (uintptr_t)piece->memory;
}

/* Names the piece by an address that faults when the host touches it. */
static void
map_closed(dcmi_piece *piece, dcmi_simulated *device, const dcmem_acquire *request, uint64_t alignment)
{
    uint8_t *face = map_face(device, request, alignment, PROT_NONE);
    if (!face)
        return;
    piece->begin = (uintptr_t)face;
    piece->memory = dcmi_host_map_aligned(piece->bytes, PAGE, PROT_READ | PROT_WRITE);
}

/* Names the piece by a number. */
static void
map_numbered(dcmi_piece *piece, dcmi_simulated *device, uint64_t alignment)
{
    piece->begin = dcmi_simulated_number(device, piece->bytes, alignment);
    piece->memory = dcmi_host_map_aligned(piece->bytes, alignment, PROT_READ | PROT_WRITE);
}

bool
dcmi_simulated_map(dcmi_piece *out, dcmi_simulated *device, const dcmem_acquire *request)
{
    uint64_t alignment = device->profile.alignment;
    if (request->alignment > alignment)
        alignment = request->alignment;

    dcmi_piece piece = {.bytes = request->bytes, .kind = request->kind};
    bool is_two = dcmi_simulated_has_view(device, piece.kind);
    if (!dcmi_simulated_has(device, DCMEM_SIMULATED_ADDRESSED))
        map_numbered(&piece, device, alignment);
    else if (is_open_to_host(device, piece.kind) && !is_two)
        map_open(&piece, device, request, alignment);
    else
        map_closed(&piece, device, request, alignment);
    if (piece.memory && is_two)
        piece.view = dcmi_host_map_aligned(piece.bytes, alignment, PROT_READ | PROT_WRITE);

    if (!piece.memory || (is_two && !piece.view)) {
        dcmi_simulated_unmap(device, &piece);
        return false;
    }
    *out = piece;
    return true;
}

bool
dcmi_simulated_share(dcmi_piece *piece)
{
    int file = dcmi_host_file(piece->bytes);
    if (file < 0)
        return false;
    piece->file = file;
    piece->flags |= DCMI_PIECE_SHARED;
    return dcmi_host_map_file(piece->memory, piece->bytes, file, 0) != NULL;
}

void
dcmi_simulated_unmap(const dcmi_simulated *device, const dcmi_piece *piece)
{
    if (piece->flags & DCMI_PIECE_IMPORTED)
        return;
    if (!dcmi_simulated_has(device, DCMEM_SIMULATED_ADDRESSED)) {
        unmap(piece->memory, piece->bytes);
    } else {
        unmap_face(device, piece->begin, piece->bytes);
        if (piece->begin != (uintptr_t)piece->memory)
            unmap(piece->memory, piece->bytes);
    }
    unmap(piece->view, piece->bytes);
    if (piece->flags & DCMI_PIECE_SHARED)
        close(piece->file);
}
