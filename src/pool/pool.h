/* pool.h: what stands between a buffer and the driver, as the layers above see it.
 *
 * A pool is one device and one kind of memory. A manager has a root pool, of device memory, whose handle is the
 * manager's own; pools of other kinds hang below it, made when first asked for, and share its device and its limit.
 * Block addresses are 64-bit numbers: real addresses where the backend has them, else addresses in a reserved range
 * that nothing ever touches; dcmi_pool_place() turns one into what the driver understands. */
#ifndef DCMI_POOL_H
#define DCMI_POOL_H

#include "backend/device.h"
#include "pool/map.h"
#include "stats/shard.h"

#include <dcmem/manager.h>
#include <dcmem/stats.h>

typedef struct dcmi_pool dcmi_pool;

/* The root pool behind a manager's handle; NULL with the detail written (DCMEM_E_NOT_A_MANAGER,
 * DCMEM_E_STALE_MANAGER). */
dcmi_pool *dcmi_pool_resolve(dcmem_manager *manager);

/* The root pool of any of a manager's pools. */
dcmi_pool *dcmi_pool_root(const dcmi_pool *pool);

/* The manager's handle of any of its pools. */
dcmem_manager *dcmi_pool_manager(const dcmi_pool *pool);

/* The pool of that kind beside (or itself) `root`. DCMEM_E_UNSUPPORTED where the device has none of that kind. */
dcmem_result dcmi_pool_of_kind(dcmi_pool **out, dcmi_pool *root, dcmem_kind kind);

dcmi_device *dcmi_pool_device(const dcmi_pool *pool);
dcmem_kind dcmi_pool_kind(const dcmi_pool *pool);

/* A block of at least `bytes` at a multiple of `alignment` (0: the pool's own, at least 64) for a DCMI_HOLDER. Returns
 * its address, or 0 with the detail written. */
uint64_t dcmi_pool_take(dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder);

/* Gives a block back. Refuses what is not the start of a live block of this pool and holder. */
dcmem_result dcmi_pool_give(dcmi_pool *pool, uint64_t address, unsigned holder);

/* A live block is now in use for `bytes`, at most its capacity: the figures follow. Nothing where the holder has no
 * such block. */
void dcmi_pool_resize(dcmi_pool *pool, uint64_t address, uint64_t bytes, unsigned holder);

/* Passes a live block that begins there from one holder to another. Refuses what the first does not hold. */
dcmem_result dcmi_pool_hold(dcmi_pool *pool, uint64_t address, unsigned from, unsigned to);

/* The size of the block that a request for `bytes` would be given now; 0 with the detail written where it would be
 * refused. */
uint64_t dcmi_pool_capacity(dcmi_pool *pool, uint64_t bytes);

/* The block that holds `address`, which may be interior. */
typedef struct dcmi_block {
    uint64_t address;
    uint64_t capacity;
    unsigned holder;
} dcmi_block;

dcmem_result dcmi_pool_find(dcmi_block *out, dcmi_pool *pool, uint64_t address);

/* Where a live block's byte lies for the driver. `out->host` is where the host may touch it, or NULL. */
typedef struct dcmi_place {
    dcmem_extent extent;
    uint64_t offset; /* from the extent's start to the byte */
    void *host;      /* extent.host + offset, or NULL */
} dcmi_place;

dcmem_result dcmi_pool_place(dcmi_place *out, dcmi_pool *pool, uint64_t address);

/* Where the host may move a block's bytes itself, past the driver; NULL: nowhere, or there is no such block. */
char *dcmi_pool_direct(dcmi_pool *pool, uint64_t address);

/* What kernels are given for `bytes` from a place. Pure. */
dcmem_native dcmi_place_native(const dcmi_device *device, const dcmi_place *place, uint64_t bytes);

/* Counts and times of slow paths. */
void dcmi_pool_add(dcmi_pool *pool, enum dcmi_counter counter, uint64_t n);
void dcmi_pool_record(dcmi_pool *pool, enum dcmi_histogram_id histogram, uint64_t value);

/* For how many copies one of `bytes` that begins now is timed: small ones within the host's memory are sampled. 0: it
 * is not. */
uint32_t dcmi_pool_copy_weight(const dcmi_pool *pool, uint64_t bytes);
void dcmi_pool_record_copy(const dcmi_pool *pool, uint64_t begun_ns, uint32_t weight);

/* Adjusts imported_bytes, host_side_bytes, pending_bytes or staging_bytes. */
typedef enum dcmi_gauge {
    DCMI_GAUGE_IMPORTED,
    DCMI_GAUGE_HOST_SIDE,
    DCMI_GAUGE_PENDING,
    DCMI_GAUGE_STAGING,
    DCMI_GAUGE_COUNT
} dcmi_gauge;
void dcmi_pool_adjust(dcmi_pool *pool, dcmi_gauge gauge, int64_t delta);

/* Live bytes of a tag; `count` is +1, -1 or 0 allocations. */
void dcmi_pool_tag(dcmi_pool *pool, dcmem_tag tag, int64_t bytes, int count);

/* The guard of a pool's manager (guard/guard.h), or NULL. Set before anybody else knows of the manager; while there is
 * one, every allocation and free passes the slow paths. */
struct dcmi_guard *dcmi_pool_guard(const dcmi_pool *pool);
void dcmi_pool_set_guard(dcmi_pool *root, struct dcmi_guard *guard);

/* Tell the figures that a guarded block was taken, for `bytes` as its caller asked for; that it was freed; that the
 * pool's block of `capacity` is held back from now on, although freed; that this ends, before it is given back. */
void dcmi_pool_count_guarded(dcmi_pool *pool, uint64_t bytes);
void dcmi_pool_count_freed(dcmi_pool *pool, uint64_t bytes);
void dcmi_pool_count_held(dcmi_pool *pool, uint64_t capacity);
void dcmi_pool_count_let_go(dcmi_pool *pool, uint64_t capacity);

/* Buffers of a root pool that were created and not destroyed; exact once its threads are quiet. */
uint64_t dcmi_pool_live_buffers(dcmi_pool *root);

/* The layer above is told before a manager ends (clear: is_end false) so that it can end what lives on it. It returns
 * how many buffers it ended, or, asked with is_dry, how many have an access open. */
typedef uint64_t (*dcmi_pool_end_sink)(dcmi_pool *root, bool is_dry);
void dcmi_pool_set_end_sink(dcmi_pool_end_sink sink);

/* A layer above that keeps blocks until work on them is done is asked for them: before the pool grows those that are
 * done, before a request fails all, which takes as long as the work. Returns how many blocks came back. */
typedef uint64_t (*dcmi_pool_pending_sink)(dcmi_pool *root, bool may_wait);
void dcmi_pool_set_pending_sink(dcmi_pool_pending_sink sink);

/* A layer above that keeps blocks for its own work is asked for those that it does not use now: before free memory goes
 * back to the driver, which is also done before a request fails; is_end: for all that it has, as the pool ends. Returns
 * how many bytes came back. */
typedef uint64_t (*dcmi_pool_spare_sink)(dcmi_pool *root, bool is_end);
void dcmi_pool_set_spare_sink(dcmi_pool_spare_sink sink);

/* What the layer above knows of a manager's copies (buffer/traffic.h), or NULL. Set once: false, somebody else has. */
struct dcmi_traffic *dcmi_pool_traffic(const dcmi_pool *pool);
bool dcmi_pool_set_traffic(dcmi_pool *root, struct dcmi_traffic *traffic);

#endif
