/* target.h: what a trace is played onto: the driver itself, the pool's raw memory, or the pool's buffers.
 *
 * A target holds what is live under the trace's ids; the player makes sure that an id is taken before it is given.
 * Different ids may be taken and given by different threads at once. A failure leaves its reason in
 * dcmem_last_detail(). */
#ifndef DCMEM_CLI_TARGET_H
#define DCMEM_CLI_TARGET_H

#include <dcmem/dcmem.h>

typedef struct replay_target replay_target;

typedef dcmem_result target_take(replay_target *to, uint32_t id, uint64_t bytes);
typedef dcmem_result target_give(replay_target *to, uint32_t id);

/* What is written on take. */
typedef enum target_touch {
    TARGET_UNTOUCHED, /* nothing */
    TARGET_TOUCHED,   /* one byte of each page, by the host, whose memory it is */
    TARGET_FILLED /* every byte, by the device: the host may not reach it, and a command costs more than its bytes */
} target_touch;

struct replay_target {
    target_take *take;
    target_give *give;
    target_touch touched;
    uint64_t touch_stride;  /* of TARGET_TOUCHED */
    dcmem_manager *manager; /* the pool's; NULL for the driver */

    /* Of the driver. */
    const dcmem_backend *backend;
    void *device;
    uint64_t granularity;
    dcmem_extent *extents; /* by id */

    /* Of the pool: addresses or handles by id. */
    void **blocks;
    bool is_borrowed; /* the blocks are another target's */
};

/* Opens the first device of a backend: each take is one acquire, each give one release, nothing is kept. */
dcmem_result target_open_driver(replay_target *out, const dcmem_backend *backend, uint32_t id_count, bool is_touched);

/* Creates a manager. `options` are dcmem_manager_create()'s, `touched` the driver's target's. */
dcmem_result target_open_pool(replay_target *out, const dcmem_manager_options *options, uint32_t id_count,
                              target_touch touched, bool has_buffers);

/* What a use costs alone: each take uses the address that `pool` gave that id last, whether it is live there or not,
 * each give does nothing. Nothing may have left the pool for the driver since. DCMEM_E_UNSUPPORTED where a use needs
 * more than an address: of buffers, and where the device is the one that writes. */
dcmem_result target_open_alone(replay_target *out, const replay_target *pool);

/* Everything was given. DCMEM_E_LEAKED otherwise; the target is gone all the same. */
dcmem_result target_close(replay_target *to);

#endif
