/* dcmem/transfer.h: copies that can be watched and stopped, copies of boxes, and many copies in one call.
 *
 *     dcmem_cancel stop = {0};                                     // another thread may say dcmem_cancel_set(&stop)
 *     dcmem_transfer_options options = {.size = sizeof options, .progress = show, .cancel = &stop};
 *     dcmem_transfer_in(dcmem_view_whole(weights), mapped_file, &options);
 *
 *     dcmem_layout in_image = {.offset = y * pitch + x * 4, .row_pitch = pitch};
 *     dcmem_box tile = {.row_bytes = 64 * 4, .rows = 64};
 *     dcmem_transfer_box_in(dcmem_view_whole(image), in_image, pixels, (dcmem_layout){0}, tile, NULL);
 *
 * All of it is what dcmem/buffer.h says of dcmem_buffer_copy(), _copy_in() and _copy_out(): the same accesses, the same
 * coherence, the same refusals. Rules of its own:
 *   1. Before its first byte moves, a transfer that fails or is stopped has changed nothing. After that it leaves what
 *      it was to write as an aborted write does (DCMEM_E_LOST where no other side has the bytes), all of it, and what
 *      it read as it was. Host memory that it wrote holds some of the bytes.
 *   2. Nothing is held while a callback runs but the transfer's own accesses: it may call dcmem, also about the same
 *      buffers. Whoever must wait for the transfer must not be waited for by its callback.
 *   3. A box is exact. Bytes between its rows stay as they are, count as nothing and are nobody's: other boxes between
 *      them can be read and written at the same time.
 *   4. No queues: work on a queue is the driver's, which calls nobody back; dcmem/queue.h has its copies. Work of a
 *      queue that uses the bytes is waited for to its end, stopped or not. */
#ifndef DCMEM_TRANSFER_H
#define DCMEM_TRANSFER_H

#include <dcmem/base.h>
#include <dcmem/buffer.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* ---- Stopping ---- */

/* A word that says stop. The caller's, on the stack if he likes, {0} at first, touched only through these calls, and
 * alive until no transfer has it any more. One may be given to many transfers. */
typedef struct dcmem_cancel {
    uint32_t word;
} dcmem_cancel;

/* Every transfer that has it ends between two pieces, or before it begins: DCMEM_E_CANCELLED. What has arrived in full
 * is a success all the same. NULL is allowed here and below.
 * Threads: any, a signal handler too. Errors: none. */
DCMEM_API void dcmem_cancel_set(dcmem_cancel *cancel);

/* Takes it back, for the next transfers.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_cancel_clear(dcmem_cancel *cancel);

/* Threads: any, a signal handler too. Errors: none. */
DCMEM_API bool dcmem_cancel_is_set(const dcmem_cancel *cancel);

/* ---- Options ---- */

/* Called in the transfer's thread, between pieces, with no lock held. False: stop, with DCMEM_E_CANCELLED. The last
 * call of a transfer that succeeds, and only that one, has done == total; its answer does not matter. Must return: no
 * exception, no longjmp(). */
typedef bool (*dcmem_transfer_progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);

/* NULL options, here and below: nobody looks on, and no waiting. */
typedef struct dcmem_transfer_options {
    size_t size;         /* sizeof(dcmem_transfer_options) */
    uint64_t timeout_ns; /* as in dcmem_access_begin(), for either end; a set cancel word ends the waiting, too */
    dcmem_transfer_progress progress; /* NULL: none */
    void *user;                       /* given to it */
    uint64_t progress_bytes;          /* it is not called before so many more have arrived; 0: 1 MiB */
    uint64_t progress_ns;             /* nor before so long after the last call; 0: as soon as there are the bytes */
    const dcmem_cancel *cancel;       /* NULL: none */
} dcmem_transfer_options;

/* ---- Whole views ---- */

/* As dcmem_buffer_copy(), dcmem_buffer_copy_in() and dcmem_buffer_copy_out(). Those who look on, or may stop it, cut it
 * into pieces of some MiB.
 * Threads: any. Errors: DCMEM_E_CANCELLED, DCMEM_E_INVALID_ARGUMENT (sizes differ, overlap, an option), those of
 * dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_transfer_copy(dcmem_view to, dcmem_view from, const dcmem_transfer_options *options);
DCMEM_API dcmem_result dcmem_transfer_in(dcmem_view to, const void *from, const dcmem_transfer_options *options);
DCMEM_API dcmem_result dcmem_transfer_out(void *to, dcmem_view from, const dcmem_transfer_options *options);

/* ---- Boxes ---- */

/* What is copied: `rows` times `slices` rows. 0 rows are 1, 0 slices are 1; a row has at least a byte. */
typedef struct dcmem_box {
    uint64_t row_bytes;
    uint64_t rows; /* a slice */
    uint64_t slices;
} dcmem_box;

/* How a box lies in a view or in host memory, in bytes. Rows do not reach into each other, nor do slices: a pitch is at
 * least what it steps over. */
typedef struct dcmem_layout {
    uint64_t offset;      /* of the first row, from the beginning of the view or of the memory */
    uint64_t row_pitch;   /* from row to row; 0: row_bytes */
    uint64_t slice_pitch; /* from slice to slice; 0: rows times row_pitch */
} dcmem_layout;

/* A box from one view to another, of any two buffers of any two managers; within one buffer where the two share no
 * byte. Rows that lie against each other on both ends are moved as one. One access is opened for a box however many
 * rows it has; for what is written, room for the states of 2 ranges a row.
 * Threads: any. Errors: DCMEM_E_OUT_OF_RANGE (it does not lie in its view), DCMEM_E_OVERFLOW, DCMEM_E_LIMIT (2^26 rows
 * that do not adjoin are to be written), those of dcmem_transfer_copy(). */
DCMEM_API dcmem_result dcmem_transfer_box_copy(dcmem_view to, dcmem_layout to_layout, dcmem_view from,
                                               dcmem_layout from_layout, dcmem_box box,
                                               const dcmem_transfer_options *options);

/* The same between a view and host memory, where the box lies by its layout; that it fits there is the caller's word.
 * Threads and errors: as dcmem_transfer_box_copy(). */
DCMEM_API dcmem_result dcmem_transfer_box_in(dcmem_view to, dcmem_layout to_layout, const void *from,
                                             dcmem_layout from_layout, dcmem_box box,
                                             const dcmem_transfer_options *options);
DCMEM_API dcmem_result dcmem_transfer_box_out(void *to, dcmem_layout to_layout, dcmem_view from,
                                              dcmem_layout from_layout, dcmem_box box,
                                              const dcmem_transfer_options *options);

/* ---- Batches ---- */

/* One of many. Each end is a view, or, where the view's buffer is NULL, host memory of as many bytes as the other end
 * has; at least one is a view. */
typedef struct dcmem_transfer {
    dcmem_view to;
    dcmem_view from;
    void *to_host;
    const void *from_host;
} dcmem_transfer;

/* Does `count` transfers, in order. All arguments are looked at first: where one is wrong nothing is done, and the
 * detail names the transfer. Then the first that fails ends it. Those that go on where the one before them ends, on
 * both ends, are moved as one: drivers are called once for them.
 * `out_done` (may be NULL) is written whether it succeeds or not: how many, from the first on, have arrived in full.
 * The next one is that which failed; where its bytes had begun to move, those that it was moved with share its fate,
 * and it may be any of them that the driver refused. Progress counts the bytes of all.
 * Threads: any. Errors: DCMEM_E_STALE_VIEW, DCMEM_E_OVERFLOW, those of dcmem_transfer_copy(). */
DCMEM_API dcmem_result dcmem_transfer_batch(uint64_t *out_done, const dcmem_transfer *transfers, uint64_t count,
                                            const dcmem_transfer_options *options);

DCMEM_END
#endif
