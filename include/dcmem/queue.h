/* dcmem/queue.h: queues: work on a device that happens in order and later, and memory that is used and freed by it.
 *
 *     dcmem_queue *queue;
 *     dcmem_queue_create(&queue, manager, NULL);
 *     dcmem_access access;
 *     dcmem_access_begin_on(&access, view, DCMEM_ACCESS_UPDATE, queue, 0);
 *     launch(kernel, &access.native);                        // the program's own, on the same queue
 *     dcmem_access_end_on(&access);                          // returns at once; the kernel may not have begun
 *     dcmem_buffer_destroy_on(buffer, queue);                // its memory is reused when the kernel is done
 *
 * Each queue has a timeline, a number that starts at 0 and rises as its work completes. What is done on one queue is
 * ordered; between queues, and towards the host, dcmem keeps order where it is told of the use: a buffer knows which
 * queues still work on it, and whoever wants it in another way waits for them. Raw memory is told by
 * dcmem_raw_use_on() and dcmem_raw_free_on().
 *
 * Memory that is freed on a queue may be given out on the same queue again at once, and to everybody else when the
 * work before the free is done, which is seen by a read of memory. Nobody polls a driver, and many frees share one
 * marker in the queue. */
#ifndef DCMEM_QUEUE_H
#define DCMEM_QUEUE_H

#include <dcmem/base.h>
#include <dcmem/buffer.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* A queue of a manager. Opaque; never dereferenced. Using one after its end is an error, not a crash. */
typedef struct dcmem_queue dcmem_queue;

/* ---- Life and timeline ---- */

/* Creates a queue on the manager's device. `native` NULL: one of its own; else the caller's (its field `queue`),
 * borrowed: dcmem never ends it, and it must outlive the dcmem_queue.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_UNSUPPORTED (the backend has no queues, or cannot borrow
 * one), DCMEM_E_LIMIT (4095 queues are alive), DCMEM_E_NO_HOST_MEMORY, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER,
 * the driver's own. */
DCMEM_API dcmem_result dcmem_queue_create(dcmem_queue **out, dcmem_manager *manager,
                                          const dcmem_native_context *native);

/* Waits for the queue's work, gives the memory that was freed on it back, and ends it. NULL is allowed. A manager that
 * ends ends its queues in the same way.
 * Threads: one; no other call on this queue may be running. Errors: DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE, and the
 * first failure of the queue's work that nobody was told; the queue is gone all the same. */
DCMEM_API dcmem_result dcmem_queue_destroy(dcmem_queue *queue);

/* A value that the timeline reaches when all work that was put on the queue so far, the program's own included, is
 * done; 0 where there never was any. Once work of a queue has failed, waiting for any later value says so, and what
 * that work wrote counts as not written: make a new queue.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE, the driver's own. */
DCMEM_API dcmem_result dcmem_queue_mark(uint64_t *out_value, dcmem_queue *queue);

/* Where the timeline stands: a read of memory.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_queue_completed(uint64_t *out_value, dcmem_queue *queue);

/* Waits until the timeline has reached `value`, at most `timeout_ns` (0: only looks; UINT64_MAX: for ever).
 * Threads: any. Errors: DCMEM_E_TIMEOUT, DCMEM_E_INVALID_ARGUMENT (a value that the queue has not given),
 * DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE, the first failure of the queue's work. */
DCMEM_API dcmem_result dcmem_queue_wait(dcmem_queue *queue, uint64_t value, uint64_t timeout_ns);

/* Called when a value has completed, with DCMEM_OK, or with DCMEM_E_STALE_QUEUE when the queue ended first. */
typedef void (*dcmem_queue_callback)(void *user, uint64_t value, dcmem_result result);

/* Has `callback` called once, from a thread of the library's own, when the timeline has reached `value`; at the latest
 * while the queue ends. Callbacks of one process come one after the other: long work belongs elsewhere. They may use
 * any call but dcmem_queue_destroy() and dcmem_manager_destroy().
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE, DCMEM_E_NO_HOST_MEMORY. */
DCMEM_API dcmem_result dcmem_queue_notify(dcmem_queue *queue, uint64_t value, dcmem_queue_callback callback,
                                          void *user);

/* ---- Raw memory ---- */

/* As dcmem_raw_allocate(), for use on `queue` first: what was freed on it is given out again at once.
 * Threads: any. Errors: those of dcmem_raw_allocate(), DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API void *dcmem_raw_allocate_on(dcmem_queue *queue, uint64_t bytes);

/* The block is used by work on a queue of its manager, until it is freed: dcmem_raw_free() of such a block waits, and
 * dcmem_raw_free_on() of another queue minds it. What is allocated and freed on one queue need not be told.
 * Threads: any. Errors: those of dcmem_raw_free(), DCMEM_E_FOREIGN (the queue is another manager's),
 * DCMEM_E_NO_HOST_MEMORY, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_raw_use_on(dcmem_queue *queue, void *address);

/* Frees a block when the work is done that is on the queue now, and what dcmem_raw_use_on() told of. Returns at once.
 * NULL is allowed and does nothing.
 * Threads: any. Errors: those of dcmem_raw_use_on(). */
DCMEM_API dcmem_result dcmem_raw_free_on(dcmem_queue *queue, void *address);

/* dcmem_raw_set(), _copy(), _write() and _read() as work of the queue: they return at once, and the ranges and the
 * host's memory stay as they are until *out_value (may be NULL) has completed. Blocks that the work uses may be freed
 * on this queue; to free them otherwise, wait first, or tell dcmem_raw_use_on().
 * Threads: any. Errors: those of the call without a queue, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_raw_set_on(uint64_t *out_value, dcmem_queue *queue, void *address, int value,
                                        uint64_t bytes);
DCMEM_API dcmem_result dcmem_raw_copy_on(uint64_t *out_value, dcmem_queue *queue, void *to, const void *from,
                                         uint64_t bytes);
DCMEM_API dcmem_result dcmem_raw_write_on(uint64_t *out_value, dcmem_queue *queue, void *to, const void *host,
                                          uint64_t bytes);
DCMEM_API dcmem_result dcmem_raw_read_on(uint64_t *out_value, dcmem_queue *queue, void *host, const void *from,
                                         uint64_t bytes);

/* ---- Buffers ---- */

/* Opens an access on the device side for work that the program puts on `queue` before it ends the access. Copies that
 * bring the device side up to date are done when it returns. Accesses of the program that conflict are waited for up to
 * `timeout_ns` (0: not at all), work of other queues as long as it takes: that ends by itself.
 * Threads: any. Errors: those of dcmem_access_begin(), DCMEM_E_FOREIGN (the queue is another manager's),
 * DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_access_begin_on(dcmem_access *out, dcmem_view view, dcmem_access_mode mode,
                                             dcmem_queue *queue, uint64_t timeout_ns);

/* Ends it once the program's work is on the queue. The buffer may be used again at once: on the same queue freely, in
 * any other way once the work is done, which dcmem waits for. dcmem_access_abort() ends it, too, and waits.
 * Threads: any. Errors: DCMEM_E_WRONG_STATE (not opened on a queue, or ended already), those of dcmem_access_end(). */
DCMEM_API dcmem_result dcmem_access_end_on(dcmem_access *access);

/* dcmem_buffer_copy() and dcmem_buffer_fill() of device sides as work of the queue: they return at once. A pattern has
 * 1, 2, 4, 8 or 16 bytes. `*out_value` (may be NULL) is the work's value.
 * Threads: any. Errors: those of the call without a queue, DCMEM_E_FOREIGN (a buffer of another manager),
 * DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_buffer_copy_on(uint64_t *out_value, dcmem_queue *queue, dcmem_view to, dcmem_view from);
DCMEM_API dcmem_result dcmem_buffer_fill_on(uint64_t *out_value, dcmem_queue *queue, dcmem_view view,
                                            const void *pattern, uint32_t pattern_bytes);

/* Between a view's device side and host memory that stays, and stays as it is, until the value has completed.
 * Threads and errors: as dcmem_buffer_copy_on(), DCMEM_E_INVALID_ARGUMENT for NULL. */
DCMEM_API dcmem_result dcmem_buffer_copy_in_on(uint64_t *out_value, dcmem_queue *queue, dcmem_view to,
                                               const void *from);
DCMEM_API dcmem_result dcmem_buffer_copy_out_on(uint64_t *out_value, dcmem_queue *queue, void *to, dcmem_view from);

/* Ends a buffer now: its handle is stale from then on. Its memory goes back when the work on it, and what is on
 * `queue` now, is done. NULL is allowed.
 * Threads: any. Errors: those of dcmem_buffer_destroy(), DCMEM_E_FOREIGN, DCMEM_E_STALE_QUEUE, DCMEM_E_NOT_A_QUEUE. */
DCMEM_API dcmem_result dcmem_buffer_destroy_on(dcmem_buffer *buffer, dcmem_queue *queue);

DCMEM_END
#endif
