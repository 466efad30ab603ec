/* dcmem/guard.h: guards: overruns, writes after free and leaks are found, and the buffer is named.
 *
 *     dcmem_manager_options options = {.size = sizeof options, .guards = DCMEM_GUARD_ALL};
 *     dcmem_manager_create(&manager, &options);
 *     ...
 *     if (dcmem_buffer_destroy(buffer) == DCMEM_E_CORRUPTED)
 *         puts(dcmem_last_detail()->message); // "overrun: buffer 0x1000100000001, tag 7, 1000 bytes, 12 ms old: 4 ..."
 *
 * A program that knows nothing of guards gets them from the environment: DCMEM_GUARDS=all, none, or a list of
 * red-zones, poison, quarantine, leaks and call-sites, two of them with a size if wished:
 * DCMEM_GUARDS=red-zones=256,quarantine=64MiB,leaks. It counts for managers whose options say nothing of guards, and
 * not in set-user-id programs. A value that is not understood fails the manager's creation.
 *
 * What is guarded is every block of the manager, raw memory, device and host sides of buffers, on every backend. Where
 * the host cannot reach a device's memory, guards write and read it through the driver's fills and copies.
 *
 * Damage is looked for when a block is freed, when it leaves the quarantine, in dcmem_guard_check(), in
 * dcmem_manager_clear() and at the manager's end. Each is told once: by DCMEM_E_CORRUPTED of the call that found it and
 * its detail, and by a line at level error of the component "guard", with the call sites where there are any. What was
 * to be freed is freed all the same. Damage in a block that leaves the quarantine, or that a resize or reallocation
 * leaves, is no fault of the call that meets it: it is logged at once and told by the next dcmem_guard_check(), or at
 * the end.
 *
 * What it costs: no block comes from a thread's own cache, the driver gets calls of the guards' own, and a block moves
 * with each change of its size. A red zone before a block takes as much room as the block's alignment. Statistics count
 * red zones as rounding: in used_bytes, not in what was requested. Freed blocks in quarantine count as freed, in
 * quarantined_bytes; they are let go before a request fails and by dcmem_manager_trim(), dcmem_manager_optimize() and
 * dcmem_manager_clear(). The tables of classes and histograms show blocks as the pool has them. A manager without
 * guards pays a look at one pointer, and that on slow paths only.
 *
 * What is not found: a write that leaps over the red zone or happens to write its bytes (0xfd), a read, and, where host
 * and device see memory through caches that are not coherent, what the host never flushed. Blocks aligned to more than
 * 64 KiB have no red zone before them, blocks of nearly the largest allocation have none. Of blocks beyond 2 MiB only
 * the first and last MiB are poisoned. Imported memory has no red zones: it is not dcmem's. Where the driver fails to
 * write or read a zone the block counts as sound; one that says it wrote and did not is told as damage. */
#ifndef DCMEM_GUARD_H
#define DCMEM_GUARD_H

#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* name, bit, word for the environment. Quarantine holds freed blocks back: with poison, writes after free are found,
 * and a second free is always DCMEM_E_ALREADY_FREE. */
#define DCMEM_GUARDS(X)                                                                                                \
    X(RED_ZONES, 0, "red-zones")   /* bytes before and behind each block that nobody may write; 0xfd */                \
    X(POISON, 1, "poison")         /* new memory is 0xcd, freed memory 0xdd */                                         \
    X(QUARANTINE, 2, "quarantine") /* freed blocks are used again as late as may be */                                 \
    X(LEAKS, 3, "leaks")           /* what is live at the manager's end is logged, largest first */                    \
    X(CALL_SITES, 4, "call-sites") /* who allocated and freed is remembered */

typedef enum dcmem_guard_flag {
#define DCMEM_X(name, bit, text) DCMEM_GUARD_##name = 1 << (bit),
    DCMEM_GUARDS(DCMEM_X)
#undef DCMEM_X
} dcmem_guard_flag;

#define DCMEM_GUARD_ALL  0x1fu      /* every one of them */
#define DCMEM_GUARD_NONE (1u << 31) /* none, whatever the environment says */

/* One live allocation. */
typedef struct dcmem_allocation {
    size_t size;          /* sizeof(dcmem_allocation) in this library */
    dcmem_buffer *buffer; /* NULL: raw memory */
    void *address;        /* as of raw memory, also of a buffer's block */
    uint64_t bytes;       /* as asked for */
    dcmem_kind kind;
    dcmem_tag tag;
    bool is_host_side; /* the block is the host side of `buffer` */
    uint64_t number;   /* of the manager's allocations, from 1 */
    uint64_t age_ns;
    const char *call_site; /* innermost call first, one line; "" when call sites are not kept */
} dcmem_allocation;

/* Shown one allocation, valid during the call, with no lock held. False ends the visit. */
typedef bool (*dcmem_allocation_visitor)(void *user, const dcmem_allocation *allocation);

/* Looks at every red zone, and at the poison of all that is in quarantine. Damage that is told is mended, so that only
 * new damage is told again.
 * Threads: one; no other call on this manager may be running. Errors: DCMEM_E_CORRUPTED, the detail names the first
 * block; DCMEM_E_WRONG_STATE (the manager has no guards), DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER,
 * DCMEM_E_NO_HOST_MEMORY; the driver's own (what it could read is sound). */
DCMEM_API dcmem_result dcmem_guard_check(dcmem_manager *manager);

/* Shows each live allocation of a guarded manager, oldest first, as of the beginning of the call.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_WRONG_STATE (the manager has no guards),
 * DCMEM_E_NO_HOST_MEMORY, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_guard_live(dcmem_manager *manager, dcmem_allocation_visitor visit, void *user);

DCMEM_END
#endif
