/* simulated.h: a simulated device, as the files that make it up see it.
 *
 * Invariants of a device:
 *   1. Used bytes of a heap never exceed what is available, to the byte: a request pays before its memory is mapped.
 *   2. Each live piece has one memory, which is the device's. Where the host cannot reach it, `begin` is another
 *      number: a reserved address that faults when it is touched, or a number that was never used before.
 *   3. Where the device is non-coherent, the host sees a second memory, the view; only flush and invalidate copy
 *      between the two.
 *
 * The device's lock guards its heaps, pieces, account and state; the clock's lock, taken before it, its links and
 * queues. Bytes are copied without the device's. */
#ifndef DCMI_TESTING_SIMULATED_H
#define DCMI_TESTING_SIMULATED_H

#include <dcmem/testing.h>

#include "clock.h"
#include "pieces.h"

#include <pthread.h>

#define DCMI_SIMULATED_LANES   16u
#define DCMI_SIMULATED_DEVICES 64u

/* Of a piece. */
#define DCMI_PIECE_IMPORTED 1u /* the memory is the caller's */
#define DCMI_PIECE_SHARED   2u /* the memory is that of piece.file, never divided */
#define DCMI_PIECE_FOREIGN  4u /* and another device's, perhaps in another process */

/* The profile's own heaps follow these two. */
enum dcmi_heap { DCMI_HEAP_DEVICE, DCMI_HEAP_HOST, DCMI_HEAP_OTHERS };

/* Address space of a divisible device. */
typedef struct dcmi_lane {
    uint64_t begin; /* 0: not used yet */
    uint64_t end;
    uint64_t used; /* bytes from the beginning up to the end of what was given last */
} dcmi_lane;

typedef struct dcmi_heap_state {
    uint64_t total;
    uint64_t available;
    uint64_t used;
} dcmi_heap_state;

typedef struct dcmi_simulated {
    pthread_mutex_t lock;
    dcmem_simulated_profile profile; /* complete: no zero stands for a choice any more */
    char name[96];
    char note[48];
    uint32_t index;
    uint32_t open_count;
    bool is_lost;
    dcmi_heap_state heaps[DCMEM_MAX_HEAPS];
    dcmi_pieces live;
    dcmi_pieces reserved;    /* VIRTUAL, by page.c */
    dcmi_pieces mapped;      /* the same */
    struct dcmi_page *pages; /* the same */
    uint64_t next_number;
    dcmi_lane lanes[DCMI_SIMULATED_LANES];
    dcmem_simulated_account account;
    struct dcmi_simulated *devices; /* of the backend, this one among them */
    uint32_t device_count;
    uint32_t enabled[DCMI_SIMULATED_DEVICES]; /* how many times, as peers */
    dcmi_clock *clock;                        /* of the backend */
    dcmi_link links[DCMI_LINK_COUNT];
} dcmi_simulated;

static inline bool
dcmi_simulated_has(const dcmi_simulated *device, uint32_t flag)
{
    return device->profile.flags & flag;
}

static inline uint64_t
dcmi_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline bool
dcmi_is_power_of_two_or_0(uint64_t n)
{
    return !(n & (n - 1));
}

/* Writes the thread's detail. */
dcmem_result dcmi_simulated_fail(dcmem_result result, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define DCMI_SIMULATED_REQUIRE(condition)                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "must hold: %s", #condition);                         \
    } while (0)

/* Takes the lock of a device that is not lost; drops it. */
dcmem_result dcmi_simulated_enter(dcmi_simulated *device);
void dcmi_simulated_leave(dcmi_simulated *device);

/* The device of a simulated backend; NULL, with the detail written, when it is none. */
dcmi_simulated *dcmi_simulated_of(const dcmem_backend *backend, uint32_t index);

/* The i-th profile of an array, of whichever size its user knows, with the choices put in for what is 0.
 * DCMEM_E_INVALID_ARGUMENT when no device can be so. */
dcmem_result dcmi_profile_read(dcmem_simulated_profile *out, const dcmem_simulated_profile *profiles, uint32_t i);

/* What tests run on that choose no device: a memory of its own, so that copies are made and a missed one shows. */
extern const dcmem_simulated_profile dcmi_profile_for_tests;

/* ---- Where pieces lie ---- */

/* Whether memory of a kind is the host's, and not the device's. Pure. */
bool dcmi_simulated_is_host(const dcmi_simulated *device, dcmem_kind kind);

/* Which heap pays for a kind. Pure. */
uint32_t dcmi_simulated_heap(const dcmi_simulated *device, dcmem_kind kind);

/* Where the host touches a piece, mapped or not: NULL where it cannot. `is_mapped`: it asked for a mapping. */
uint8_t *dcmi_simulated_host(const dcmi_simulated *device, const dcmi_piece *piece, bool is_mapped);

/* Whether what the host sees of such memory is another memory. */
bool dcmi_simulated_has_view(const dcmi_simulated *device, dcmem_kind kind);

/* Puts a file in the place of a new piece's memory. False when there is none; end the piece as any other then. */
bool dcmi_simulated_share(dcmi_piece *piece);

/* Maps what a request needs. The lock must be held. False, with nothing left behind, when there is no address space. */
bool dcmi_simulated_map(dcmi_piece *out, dcmi_simulated *device, const dcmem_acquire *request);
void dcmi_simulated_unmap(const dcmi_simulated *device, const dcmi_piece *piece);
void dcmi_simulated_close_lanes(dcmi_simulated *device);

/* A number for `bytes` that was never given before, at a multiple of `alignment`. The lock must be held. */
uint64_t dcmi_simulated_number(dcmi_simulated *device, uint64_t bytes, uint64_t alignment);

/* ---- Memory ---- */

static inline uint64_t
dcmi_heap_free(const dcmi_heap_state *heap)
{
    return heap->available > heap->used ? heap->available - heap->used : 0;
}

/* The piece of memory, or of a mapped page, that holds `at`. The lock must be held. */
bool dcmi_simulated_piece_at(dcmi_piece *out, const dcmi_simulated *device, uint64_t at);

/* Whether there can be memory of that kind and size: DCMEM_E_UNSUPPORTED, DCMEM_E_TOO_LARGE. */
dcmem_result dcmi_simulated_check_size(const dcmi_simulated *device, dcmem_kind kind, uint64_t bytes);

/* Take bytes from what is available, to the byte, and give them back. The lock must be held. */
dcmem_result dcmi_simulated_pay(dcmi_simulated *device, dcmem_kind kind, uint64_t bytes);
void dcmi_simulated_count_live(dcmi_simulated *device); /* after what was paid has come about */
void dcmi_simulated_refund(dcmi_simulated *device, dcmem_kind kind, uint64_t bytes);

dcmem_extent dcmi_simulated_extent(const dcmi_simulated *device, const dcmi_piece *piece);

/* Of a device that ends: unmaps a piece and takes it out of the account. */
void dcmi_simulated_end_piece(void *device, const dcmi_piece *piece);

/* The links between two places of one device; `from` NULL: of a fill. */
dcmi_route dcmi_simulated_route(dcmi_simulated *device, const dcmem_place *to, const dcmem_place *from);

/* Move bytes, which takes no time. */
dcmem_result dcmi_simulated_copy_now(dcmi_simulated *to_device, const dcmem_place *to, dcmi_simulated *from_device,
                                     const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_simulated_fill_now(dcmi_simulated *device, const dcmem_place *to, uint64_t bytes, const void *pattern,
                                     uint32_t pattern_bytes);

/* Functions of the table. */
dcmem_result dcmi_simulated_acquire(dcmem_extent *out, void *handle, const dcmem_call *call,
                                    const dcmem_acquire *request);
dcmem_result dcmi_simulated_release(void *handle, const dcmem_call *call, const dcmem_extent *extent);
dcmem_result dcmi_simulated_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host,
                                        uint64_t bytes);
dcmem_result dcmi_simulated_peer_can(bool *out, void *handle, void *peer_handle);
dcmem_result dcmi_simulated_peer_enable(void *handle, void *peer_handle);
dcmem_result dcmi_simulated_peer_disable(void *handle, void *peer_handle);
dcmem_result dcmi_simulated_peer_copy(void *handle, const dcmem_call *call, const dcmem_place *to, void *peer_handle,
                                      const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_simulated_ipc_export(dcmem_ipc_handle *out, void *handle, const dcmem_call *call,
                                       const dcmem_extent *extent);
dcmem_result dcmi_simulated_ipc_import(dcmem_extent *out, void *handle, const dcmem_call *call,
                                       const dcmem_ipc_handle *from);
dcmem_result dcmi_simulated_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from,
                                 uint64_t bytes);
dcmem_result dcmi_simulated_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes,
                                 const void *pattern, uint32_t pattern_bytes);
dcmem_result dcmi_simulated_map_host(void **out, void *handle, const dcmem_call *call, const dcmem_extent *extent,
                                     uint64_t offset, uint64_t bytes, uint32_t flags);
dcmem_result dcmi_simulated_unmap_host(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host);
dcmem_result dcmi_simulated_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
                                  uint64_t bytes);
dcmem_result dcmi_simulated_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent,
                                       uint64_t offset, uint64_t bytes);

#endif
