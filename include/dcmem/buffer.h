/* dcmem/buffer.h: buffers: bytes with a host side and a device side that are never stale.
 *
 *     dcmem_buffer *buffer;
 *     dcmem_access access;
 *     dcmem_buffer_create_from(&buffer, manager, pixels, bytes, NULL);
 *     dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0);
 *     run_kernel(access.native.object, access.native.offset);
 *     dcmem_access_end(&access);
 *     dcmem_buffer_copy_out(pixels, dcmem_view_whole(buffer), 0);      // copies back what changed, no more
 *     dcmem_buffer_destroy(buffer);
 *
 * Rules that hold everywhere:
 *   1. A handle is 64 bits of slot and generation, never dereferenced. Freed, foreign and invented handles are errors.
 *   2. Bytes that were never written cannot be read: DCMEM_E_UNWRITTEN.
 *   3. Accesses to overlapping bytes of which one writes conflict: DCMEM_E_BUSY at once, or DCMEM_E_TIMEOUT after the
 *      call's timeout. Disjoint ranges do not conflict.
 *   4. A failed copy between the sides changes nothing: which sides are current stays as it was. A copy or fill that
 *      fails while it writes a view leaves that view as an aborted write does: DCMEM_E_LOST where no other side has it.
 *   5. Where the device's memory is the host's, the two sides are one and nothing is ever copied between them. */
#ifndef DCMEM_BUFFER_H
#define DCMEM_BUFFER_H

#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

typedef enum dcmem_side { DCMEM_SIDE_HOST = 0, DCMEM_SIDE_DEVICE = 1 } dcmem_side;

#define DCMEM_SIDE_BIT(side) (1u << (side))

typedef enum dcmem_access_mode {
    DCMEM_ACCESS_READ,              /* the bytes are current on that side */
    DCMEM_ACCESS_WRITE,             /* all bytes of the range will be written: nothing is copied for them */
    DCMEM_ACCESS_UPDATE,            /* read and written */
    DCMEM_ACCESS_WRITE_NO_OVERWRITE /* writes bytes that nobody else is using: never conflicts, the caller vouches.
                                       Bytes that it leaves out are kept; those never written count as written */
} dcmem_access_mode;

/* The five modes of mapping. READ: reads. WRITE: writes parts; the rest is kept, and zero where nothing was ever
 * written. READ_WRITE: reads and writes. WRITE_DISCARD: writes all, old bytes are worthless. WRITE_NO_OVERWRITE: as the
 * access mode. */
typedef enum dcmem_map_mode {
    DCMEM_MAP_READ,
    DCMEM_MAP_WRITE,
    DCMEM_MAP_READ_WRITE,
    DCMEM_MAP_WRITE_DISCARD,
    DCMEM_MAP_WRITE_NO_OVERWRITE
} dcmem_map_mode;

#define DCMEM_BUFFER_ZEROED (1u << 0) /* all bytes are zero, and count as written */
#define DCMEM_BUFFER_SCRUB  (1u << 1) /* bytes are overwritten with zero before the memory is reused */
#define DCMEM_BUFFER_FIXED  (1u << 2) /* never moves: its device address holds for life */

typedef struct dcmem_buffer_options {
    size_t size; /* sizeof(dcmem_buffer_options) */
    dcmem_kind kind;
    uint32_t flags;     /* DCMEM_BUFFER_* */
    uint64_t alignment; /* a power of two; 0: 64 */
    dcmem_tag tag;
    int32_t priority; /* higher is kept on the device longer when memory is short */
} dcmem_buffer_options;

/* A typed window onto a buffer. A plain value: copy it, keep it, pass it by value. Offsets and counts of view calls
 * are in elements, fields are in bytes. */
typedef struct dcmem_view {
    dcmem_buffer *buffer;
    uint64_t offset;
    uint64_t bytes;
    uint64_t element_bytes; /* 1 for an untyped view */
} dcmem_view;

/* One open access. Fill only through dcmem_access_begin(); end or abort it exactly once, in any thread. */
typedef struct dcmem_access {
    void *host;          /* SIDE_HOST: the range's first byte; SIDE_DEVICE: NULL */
    dcmem_native native; /* what a kernel is given (both sides, where the memory has one) */
    dcmem_view view;
    dcmem_side side;
    dcmem_access_mode mode;
    uint64_t ticket; /* dcmem's own */
} dcmem_access;

/* A mapped range of the host side; unmap it exactly once. */
typedef struct dcmem_map {
    void *host;
    uint64_t bytes;
    dcmem_access access;
} dcmem_map;

typedef struct dcmem_buffer_info {
    size_t size; /* sizeof(dcmem_buffer_info), set by the caller */
    dcmem_manager *manager;
    uint64_t bytes;          /* as asked for */
    uint64_t capacity_bytes; /* as given, at least bytes */
    dcmem_kind kind;
    uint32_t flags;
    uint64_t alignment;
    dcmem_tag tag;
    int32_t priority;
    uint32_t current_sides; /* DCMEM_SIDE_BIT of each side on which all written bytes are current */
    uint64_t written_bytes; /* bytes that were ever written */
    uint32_t open_readers;
    uint32_t open_writers;
    uint32_t pins;
    bool is_imported;   /* the memory is the caller's */
    bool has_host_side; /* host memory exists for it */
    bool is_unified;    /* both sides are one memory */
} dcmem_buffer_info;

/* ---- Life ---- */

/* Creates a buffer of `bytes` > 0. NULL options: device memory, 64-byte aligned, unwritten.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_UNSUPPORTED (an option this backend cannot honour),
 * DCMEM_E_MISALIGNED, and those of dcmem_raw_allocate(). */
DCMEM_API dcmem_result dcmem_buffer_create(dcmem_buffer **out, dcmem_manager *manager, uint64_t bytes,
                                           const dcmem_buffer_options *options);

/* `count` elements of `element_bytes`.
 * Threads: any. Errors: those of dcmem_buffer_create(), DCMEM_E_OVERFLOW. */
DCMEM_API dcmem_result dcmem_buffer_create_typed(dcmem_buffer **out, dcmem_manager *manager, uint64_t count,
                                                 uint64_t element_bytes, const dcmem_buffer_options *options);

/* A buffer that holds a copy of `data`.
 * Threads: any. Errors: those of dcmem_buffer_create(), the driver's own. */
DCMEM_API dcmem_result dcmem_buffer_create_from(dcmem_buffer **out, dcmem_manager *manager, const void *data,
                                                uint64_t bytes, const dcmem_buffer_options *options);

/* A buffer on the caller's own host memory, which counts as written, stays the caller's and must outlive the buffer.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_UNSUPPORTED, the driver's own. */
DCMEM_API dcmem_result dcmem_buffer_import(dcmem_buffer **out, dcmem_manager *manager, void *host, uint64_t bytes);

/* NULL is allowed. An open access or pin makes it DCMEM_E_BUSY and the buffer stays; so does, with the driver's own
 * result, a buffer whose memory cannot be scrubbed (on a lost device nobody can read it: that succeeds).
 * Threads: any; of several at once on one buffer exactly one succeeds.
 * Errors: DCMEM_E_STALE_BUFFER (a double free too), DCMEM_E_NOT_A_BUFFER, DCMEM_E_STALE_MANAGER (it ended with its
 * manager; DCMEM_E_STALE_BUFFER once its place is used again), DCMEM_E_BUSY; of those to be scrubbed
 * DCMEM_E_NO_HOST_MEMORY and the driver's own; where its memory was freed as raw memory before, those of
 * dcmem_raw_free(), and the buffer is gone; DCMEM_E_CORRUPTED, and the buffer is gone (dcmem/guard.h). */
DCMEM_API dcmem_result dcmem_buffer_destroy(dcmem_buffer *buffer);

/* `out->size` is set by the caller.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_BUFFER, DCMEM_E_NOT_A_BUFFER, DCMEM_E_STALE_MANAGER. */
DCMEM_API dcmem_result dcmem_buffer_describe(dcmem_buffer_info *out, dcmem_buffer *buffer);

/* Changes the size; the shorter size's bytes are kept on every side where they were current, new bytes are unwritten.
 * Views past a shrunken end become DCMEM_E_STALE_VIEW. On failure nothing has changed.
 * Threads: any. Errors: DCMEM_E_BUSY (an access or pin is open), DCMEM_E_UNSUPPORTED (imported), those of
 * dcmem_buffer_create() and dcmem_buffer_describe(). */
DCMEM_API dcmem_result dcmem_buffer_resize(dcmem_buffer *buffer, uint64_t bytes);

/* Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (tag >= DCMEM_TAG_LIMIT), those of dcmem_buffer_describe(). */
DCMEM_API dcmem_result dcmem_buffer_set_tag(dcmem_buffer *buffer, dcmem_tag tag);

/* While pinned a buffer keeps its address and cannot be destroyed or resized. Pins nest. `out` (may be NULL) gets the
 * device's face of the memory.
 * Threads: any. Errors: those of dcmem_buffer_describe(), DCMEM_E_LIMIT (2^27 accesses and pins are open); unpin
 * without pin: DCMEM_E_WRONG_STATE. */
DCMEM_API dcmem_result dcmem_buffer_pin(dcmem_native *out, dcmem_buffer *buffer);
DCMEM_API dcmem_result dcmem_buffer_unpin(dcmem_buffer *buffer);

/* ---- Views ---- */

/* The whole of a buffer, untyped. A handle that is not alive gives a view of 0 bytes, which every call refuses.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_view dcmem_view_whole(dcmem_buffer *buffer);

/* The whole of a buffer as elements of `element_bytes`.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED (the size does not divide), those of
 * dcmem_buffer_describe(). */
DCMEM_API dcmem_result dcmem_view_typed(dcmem_view *out, dcmem_buffer *buffer, uint64_t element_bytes);

/* `count` > 0 elements from element `first`, of the same bytes: a write through the slice is a write to the parent.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_OUT_OF_RANGE, DCMEM_E_OVERFLOW, those of
 * dcmem_buffer_describe(). */
DCMEM_API dcmem_result dcmem_view_slice(dcmem_view *out, dcmem_view view, uint64_t first, uint64_t count);

/* The same bytes as elements of another size.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED (the size or offset does not divide), those of
 * dcmem_buffer_describe(). */
DCMEM_API dcmem_result dcmem_view_cast(dcmem_view *out, dcmem_view view, uint64_t element_bytes);

/* ---- Access ---- */

/* Opens an access to a view on one side: waits up to `timeout_ns` for conflicting accesses (0: not at all), brings
 * that side up to date as the mode needs, and says where the bytes are. While a copy runs for another access to the
 * buffer it waits for that one, which is no conflict; from within a driver's copy it does not: DCMEM_E_BUSY.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY, DCMEM_E_TIMEOUT, DCMEM_E_UNWRITTEN, DCMEM_E_LOST,
 * DCMEM_E_STALE_VIEW, DCMEM_E_NO_HOST_MEMORY, DCMEM_E_LIMIT (2^20 accesses are open on the buffer, or the manager's
 * limit is met by its host side), those of dcmem_buffer_describe(), the driver's own. */
DCMEM_API dcmem_result dcmem_access_begin(dcmem_access *out, dcmem_view view, dcmem_side side, dcmem_access_mode mode,
                                          uint64_t timeout_ns);

/* Ends it: what was written is current on its side only. Where the driver fails (to flush memory that is not coherent)
 * the access stays open: end it again, or abort it.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_WRONG_STATE (ended already), those of
 * dcmem_buffer_describe(), the driver's own. */
DCMEM_API dcmem_result dcmem_access_end(dcmem_access *access);

/* Ends it without trusting what was written: a write's or update's range is unwritten on that side afterwards.
 * Threads and errors: as dcmem_access_end(). */
DCMEM_API dcmem_result dcmem_access_abort(dcmem_access *access);

/* The host side of a view as plain memory.
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_map(dcmem_map *out, dcmem_view view, dcmem_map_mode mode);

/* Threads and errors: as dcmem_access_end(). */
DCMEM_API dcmem_result dcmem_buffer_unmap(dcmem_map *map);

/* ---- Coherence by hand ---- */

/* Makes the view current on `side` without opening an access.
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_prefetch(dcmem_view view, dcmem_side side);

/* Makes the view current on both sides.
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_synchronize(dcmem_view view);

/* Says that the view's bytes were written on `side` by other means (a kernel through a kept address): they count as
 * written, current there only. A host side that does not exist yet: DCMEM_E_WRONG_STATE.
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_mark_dirty(dcmem_view view, dcmem_side side);

/* Forgets one side's copy. Where it is the only current one it is first brought to the other side. A host side whose
 * every byte is forgotten is freed, unless the buffer is pinned.
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_invalidate(dcmem_view view, dcmem_side side);

/* ---- Copy and fill ---- */

/* Copies that can be watched and stopped, of boxes, and many in one call, are in dcmem/transfer.h.
 *
 * Copies a view onto another of the same size, of any two buffers of any two managers. Views of one buffer that
 * overlap are refused. The copy is done where the bytes are current, on the destination's side nearest to them.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (sizes differ, overlap), those of dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_copy(dcmem_view to, dcmem_view from);

/* Copies between host memory and a view: `view.bytes` bytes. `timeout_ns` as in dcmem_access_begin().
 * Threads and errors: as dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_copy_in(dcmem_view to, const void *from, uint64_t timeout_ns);
DCMEM_API dcmem_result dcmem_buffer_copy_out(void *to, dcmem_view from, uint64_t timeout_ns);

/* Repeats a pattern of 1 to 16 bytes over the view, whose size it divides.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED, those of dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_buffer_fill(dcmem_view view, const void *pattern, uint32_t pattern_bytes);

DCMEM_END
#endif
