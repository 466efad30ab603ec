/* queue.h: queues inside: what is used by which of them, and when it is done.
 *
 * A *batch* is all uses that a queue was told of between two markers. It has no value until one is needed: then one
 * marker, put behind all of them, gives it. Marking later than a use is always right, because a queue is in order; so
 * many uses cost one driver call, and whether they are done is a read of memory.
 *
 *     open --marker is put--> closed, value known --timeline reaches it--> done
 *
 * A queue's struct lies in a table that is never unmapped, so a use of a queue that has ended is told from its handle:
 * it is done. Blocks that were freed on a queue wait here, see pending.c.
 *
 *   a queue's lock guards: handle (for writing), driver, marks, pending.   Nothing of the pool is called under it, and
 *   of a driver only queue_completed, a read of memory. */
#ifndef DCMI_QUEUE_H
#define DCMI_QUEUE_H

#include "base/lock.h"
#include "pool/pool.h"

#include <dcmem/queue.h>

#define DCMI_QUEUE_MARKS   64u
#define DCMI_QUEUE_BUCKETS 64u

/* Work of one queue. Plain. */
typedef struct dcmi_use {
    uint64_t queue; /* its handle */
    uint64_t batch; /* 0: the work is dcmem's own, and the driver told its value */
    uint64_t value;
} dcmi_use;

typedef struct dcmi_mark {
    uint64_t batch, value;
} dcmi_mark;

/* Freed blocks, oldest first, and by size, newest first. Indices into pending.c's table; 0: none. */
typedef struct dcmi_pendings {
    uint32_t oldest, newest;
    uint32_t buckets[DCMI_QUEUE_BUCKETS];
    uint32_t frees; /* ever: some of them put a marker */
} dcmi_pendings;

typedef struct dcmi_queue {
    dcmi_lock lock;
    uint32_t index;
    _Atomic uint64_t handle; /* 0: none */
    uint64_t generation;
    _Atomic uint32_t borrowers; /* threads that are calling the driver for a use of it */
    dcmi_pool *root;
    void *driver;
    _Atomic uint64_t open_batch; /* from 1 */
    _Atomic uint64_t done_batch; /* it and all before are done */
    uint64_t done_value;         /* the mark of the newest of them */
    uint32_t mark_count;
    dcmi_mark marks[DCMI_QUEUE_MARKS]; /* of closed batches that are not known to be done, rising */
    dcmi_pendings pending;
} dcmi_queue;

/* The queue behind a handle; NULL with the detail written (DCMEM_E_NOT_A_QUEUE, DCMEM_E_STALE_QUEUE). */
dcmi_queue *dcmi_queue_resolve(dcmem_queue *queue);

/* The batch that work which is on the queue by now belongs to. */
dcmi_use dcmi_queue_use(dcmi_queue *queue);

/* Makes it all work that is on its queue by now; as it is where the queue has ended. */
void dcmi_use_renew(dcmi_use *use);

/* Whether it is done: a look, no driver call. False for a batch that nobody has marked. */
bool dcmi_use_is_done(dcmi_use use);

/* Marks its batch if nobody has. Nothing of a queue that has ended. */
dcmem_result dcmi_use_mark(dcmi_use use);

/* Waits until it is done. DCMEM_E_TIMEOUT; a failure of the queue's work is no failure of waiting: *out_failed (may be
 * NULL) gets it. */
dcmem_result dcmi_use_wait(dcmi_use use, uint64_t timeout_ns, dcmem_result *out_failed);

/* ---- pending.c ---- */

#define DCMI_PENDING_USES 4u

/* A live block of the library's and the work that uses it: in a queue's lists once it is freed, before that in the
 * table of memory.c. */
typedef struct dcmi_pending {
    uint64_t address;
    uint64_t capacity;
    dcmi_pool *pool;
    uint32_t use_count;
    uint32_t older, newer;   /* by age; `older` is the next spare one, too */
    uint32_t before, behind; /* of its size, newer ones before; or of its hash */
    uint32_t reserved;
    dcmi_use uses[DCMI_PENDING_USES]; /* of a freed one the first is of the queue that keeps it */
} dcmi_pending;

/* Its index, never 0, without a use; 0 where the host has no room. */
uint32_t dcmi_pending_new(dcmi_pool *pool, uint64_t address, uint64_t capacity);
void dcmi_pending_drop(uint32_t index);
dcmi_pending *dcmi_pending_at(uint32_t index);

/* Adds a use; a queue has one, its latest. False where all places are taken. */
bool dcmi_pending_note(dcmi_pending *pending, dcmi_use use);

/* Waits for all its uses. Failing means that some may not be done; the first failure of their work is in *out_failed,
 * which may be NULL. */
dcmem_result dcmi_pending_wait(const dcmi_pending *pending, dcmem_result *out_failed);

/* Whether a block waits in the queue's lists. */
bool dcmi_pending_has(dcmi_queue *queue, const dcmi_pool *pool, uint64_t address);

/* The block was freed on the queue, whose use is the first of its own. */
void dcmi_pending_add(dcmi_queue *queue, uint32_t index);

/* A block of exactly `capacity` of that pool that the queue may use now, live and of the library's, or 0. */
uint64_t dcmi_pending_take(dcmi_queue *queue, dcmi_pool *pool, uint64_t capacity);

/* Gives up to `most` blocks whose work is done back to their pools, the oldest first; how many. */
unsigned dcmi_pending_sweep(dcmi_queue *queue, unsigned most);

/* Puts a marker behind the newest and the oldest block, on all queues that use them, where none is. */
void dcmi_pending_mark(dcmi_queue *queue);

/* Waits for all of a queue's blocks and gives them back; adds how many. The first failure of their work, or that of
 * waiting for one, which then stays where it is with all after it; where `is_end` all go. */
dcmem_result dcmi_pending_drain(uint64_t *blocks, dcmi_queue *queue, bool is_end);

/* ---- uses.c ---- */

/* A caller's raw block is used by the queue, from now until it is freed; freed on the queue. Errors: those of
 * dcmi_pool_hold(), DCMEM_E_NO_HOST_MEMORY. */
dcmem_result dcmi_uses_add(dcmi_queue *queue, uint64_t address);
dcmem_result dcmi_uses_free(dcmi_queue *queue, uint64_t address);

/* Whether a block that the library holds is a caller's that queues use. */
bool dcmi_uses_has(dcmi_pool *pool, uint64_t address);

/* Waits for the queues that use the block, if there are any, and makes it the caller's alone. Failing, all is as
 * before. */
dcmem_result dcmi_uses_end(bool *out_was_used, dcmi_pool *pool, uint64_t address);

/* What to say of a caller's address that could not be freed with `result`: that it is free already, where it was freed
 * on a queue, whose work may use it still. */
dcmem_result dcmi_uses_refuse(dcmem_result result, dcmi_pool *pool, uint64_t address);

/* The manager's blocks are gone, all of them. */
void dcmi_uses_forget(const dcmi_pool *root);

/* ---- Fork: nobody is in the midst of a change while the parent forks; pending.c and uses.c ---- */

void dcmi_pendings_hold(void);
void dcmi_pendings_drop(void);
void dcmi_uses_hold(void);
void dcmi_uses_drop(void);

/* ---- notify.c ---- */

/* Calls what waits for a queue that ends; when it returns, none of its callbacks is running. */
void dcmi_notify_end(uint64_t queue);

/* ---- queue.c ---- */

/* Ends all queues of a manager that is about to end, or, for dcmem_manager_clear(), only waits for all their work. The
 * first failure of it. */
dcmem_result dcmi_manager_end_queues(dcmi_pool *root);
dcmem_result dcmi_manager_drain_queues(dcmi_pool *root);

/* Whether a block of the pool waits in any queue. */
bool dcmi_queues_hold(const dcmi_pool *pool, uint64_t address);

/* Gives blocks that were freed on a manager's queues and are done back to its pools, `may_wait` all of them. How
 * many. */
uint64_t dcmi_manager_reclaim_queues(dcmi_pool *root, bool may_wait);

#endif
