/* dcmem/testing.h: devices for tests: simulated ones, fakes that fail on command, and the sweep that fails every call.
 *
 * Programs are seldom tested against a device that is full, or lost, or has a memory of its own, because nobody has
 * one at hand. This header brings them:
 *
 *     static dcmem_result
 *     act(dcmem_sweep_run *run)                              // what is under test
 *     {
 *         return load_image(run->user, run->manager);
 *     }
 *
 *     dcmem_sweep sweep = {.size = sizeof sweep, .act = act, .user = &image};
 *     if (dcmem_test_sweep(NULL, &sweep))                    // fails the 1st driver call, then the 2nd, ...
 *         fail(dcmem_last_detail()->message);                // "run 3: acquire failed with ...: 4096 bytes leaked"
 *
 * The nouns: a simulated backend has devices that behave as their profiles say, on reserved address space. A *fake*
 * stands before another backend, real or simulated, counts its calls, checks that they keep the contract, and fails
 * those that a script names. A sweep runs a piece of a program again and again, each time with another call failing.
 *
 * Link with libdcmem-testing. Nothing here belongs into a program that is shipped. */
#ifndef DCMEM_TESTING_H
#define DCMEM_TESTING_H

#include <dcmem/backend.h>
#include <dcmem/base.h>
#include <dcmem/buffer.h>
#include <dcmem/log.h>
#include <dcmem/manager.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* ---- Simulated devices ---- */

#define DCMEM_SIMULATED_UNIFIED      (1u << 0) /* the device's memory is the host's; extent.host is always set */
#define DCMEM_SIMULATED_DIVISIBLE    (1u << 1) /* as DCMEM_CAP_DIVISIBLE */
#define DCMEM_SIMULATED_ADDRESSED    (1u << 2) /* as DCMEM_CAP_ADDRESSED */
#define DCMEM_SIMULATED_HOST_VISIBLE (1u << 3) /* the host can map the device's own memory */
#define DCMEM_SIMULATED_NON_COHERENT                                                                                   \
    (1u << 4) /* what the host and the device see are two memories that only flush  \
                                                  and invalidate bring together */

/* A way that bytes take: it carries one thing at a time, each for its bytes' share of a second, and each arrives
 * `latency_ns` after it is through. Both 0: the choice that the comment names. */
typedef struct dcmem_simulated_link {
    uint64_t bytes_per_second; /* at least 1,000 */
    uint64_t latency_ns;       /* at most an hour */
} dcmem_simulated_link;

/* A heap for kinds that live neither with the rest of the device's memory nor with that of the host, as the window
 * through which a host sees some of a device's memory. */
typedef struct dcmem_simulated_heap {
    uint64_t total_bytes; /* all of them available */
    uint32_t kinds;       /* DCMEM_KIND_BIT of those that live here, and in no other heap */
    uint32_t reserved;    /* 0 */
} dcmem_simulated_heap;

#define DCMEM_SIMULATED_HEAPS (DCMEM_MAX_HEAPS - 2) /* beside the device's and the host's */

/* What a device is. Zero in a field means: as the comment says. A user's own device is a profile of his. */
typedef struct dcmem_simulated_profile {
    size_t size;      /* sizeof(dcmem_simulated_profile) */
    const char *name; /* of the device; copied; NULL: "Simulated device" */
    const char *note; /* shown as the driver's version: "compute capability 8.9"; copied; NULL: none */
    uint32_t flags;   /* DCMEM_SIMULATED_* */
    uint32_t kinds;   /* DCMEM_KIND_BIT of what acquire gives; 0: all that suit the flags */
    uint64_t total_bytes;
    uint64_t available_bytes;          /* free at the start, the rest is others'; 0: all */
    uint64_t largest_allocation_bytes; /* 0: available_bytes */
    uint64_t host_bytes;               /* memory of the host for HOST and PINNED, where it is not unified; 0: 64 GiB */
    uint64_t granularity;              /* a power of two; 0: 4096 */
    uint64_t alignment;                /* a power of two; 0: granularity */
    uint64_t flush_bytes; /* NON_COHERENT: flushes touch whole units of it, a power of two up to 4096; 0: 64 */
    dcmem_simulated_link to_device; /* from the host; 0: as PCI Express 4.0 x16, unified: as memory of a PC */
    dcmem_simulated_link to_host;   /* 0: the same */
    dcmem_simulated_link within;    /* its own memory, fills too; 0: 500 GB/s and 5 us, unified: as memory of a PC */
    dcmem_simulated_link peer;      /* in and out, each way by itself; 0: no peer of any device */
    uint64_t page_bytes;            /* VIRTUAL: a power of two, 4 KiB or more; 0: granularity, 4096 at least */
    uint64_t without;               /* DCMEM_CAP_* of groups that the device has not */
    uint32_t numa;                  /* 1 + the NUMA node that it lies on; 0: none */
    uint32_t heap_count;            /* of those that follow */
    dcmem_simulated_heap heaps[DCMEM_SIMULATED_HEAPS];
} dcmem_simulated_profile;

/* The profiles that come with the kit, in the order of the devices of "simulated". */
#define DCMEM_SIMULATED_DEVICES(X)                                                                                     \
    X(CPU, "cpu")               /* 16 GB, 12 available, 8 at once; unified, divisible */                               \
    X(DISCRETE, "discrete")     /* 24 GB, 20 available, 12 at once; a memory of its own; compute capability 8.9 */     \
    X(UNIFIED, "unified")       /* 32 GB, 28 available, 16 at once; unified, memory comes as objects */                \
    X(DATACENTRE, "datacentre") /* 80 GB, all available, all at once; a memory of its own */

typedef enum dcmem_simulated_device {
#define DCMEM_X(name, text) DCMEM_SIMULATED_DEVICE_##name,
    DCMEM_SIMULATED_DEVICES(DCMEM_X)
#undef DCMEM_X
        DCMEM_SIMULATED_DEVICE_COUNT
} dcmem_simulated_device;

/* A copy of one of these profiles, to be used or changed. What is no device gives one of size 0.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_simulated_profile dcmem_simulated_profile_of(dcmem_simulated_device device);

/* Makes a backend of `count` devices (1 to 64) to be given as dcmem_manager_options.driver, with .device as the index.
 * Memory is reserved address space that is committed when it is touched, so an 80 GB device fits on a laptop. Limits
 * hold to the byte, over all managers together. Where a device is not unified, its extents have no host address and
 * their bytes can only be reached by copies, fills, maps and dcmem_simulated_read(): a missed copy shows.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY. */
DCMEM_API dcmem_result dcmem_simulated_create(dcmem_backend **out, const dcmem_simulated_profile *profiles,
                                              uint32_t count);

/* Ends the backend and everything acquired from it. NULL is allowed.
 * Threads: one. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY (a manager is still open on it),
 * DCMEM_E_LEAKED (memory was still acquired; the backend is gone all the same). */
DCMEM_API dcmem_result dcmem_simulated_destroy(dcmem_backend *backend);

/* Registers the backend "simulated", whose devices are the profiles above. Asking again is allowed.
 * Threads: any. Errors: those of dcmem_simulated_create() and dcmem_backend_register(). */
DCMEM_API dcmem_result dcmem_simulated_register(void);

/* Threads: any. Errors: DCMEM_E_BUSY; none when it was not registered. */
DCMEM_API dcmem_result dcmem_simulated_unregister(void);

/* The device's own account, which knows nothing of dcmem's. */
typedef struct dcmem_simulated_account {
    size_t size;         /* sizeof(dcmem_simulated_account), set by the caller */
    uint64_t live_bytes; /* acquired and not released: device memory, in all its heaps */
    uint64_t live_host_bytes;
    uint64_t live_extents; /* where the device is divisible, a release may split or join some */
    uint64_t imports;      /* of the host's memory, and of other devices' by IPC */
    uint64_t maps;         /* not yet unmapped */
    uint64_t peak_bytes;
    uint64_t acquires; /* that succeeded */
    uint64_t releases;
    uint64_t refusals; /* acquires that found too little memory */
    /* Bytes that each link has carried, or carries now. */
    uint64_t to_device_bytes;
    uint64_t to_host_bytes;
    uint64_t within_bytes;
    uint64_t from_peer_bytes;
    uint64_t waiting;        /* pieces of work in queues that are not complete */
    uint64_t reserved_bytes; /* of addresses */
    uint64_t page_maps;      /* not yet unmapped; pages themselves are among the live bytes */
} dcmem_simulated_account;

/* Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_account_of(dcmem_simulated_account *out, const dcmem_backend *backend,
                                                  uint32_t device);

/* Other programs come and go: from now on `bytes` (at most the profile's total) are available to this one, what it
 * holds included.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_set_available(const dcmem_backend *backend, uint32_t device, uint64_t bytes);

/* The device is lost: every call but release, unmap and close fails with DCMEM_E_DEVICE_LOST until it is found again.
 * Work in its queues is complete at once and undone, and stays failed.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_set_lost(const dcmem_backend *backend, uint32_t device, bool is_lost);

/* What a kernel that is given `native` sees, and what it writes.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_OUT_OF_RANGE, DCMEM_E_UNKNOWN_ADDRESS (no such memory). */
DCMEM_API dcmem_result dcmem_simulated_read(void *out, const dcmem_backend *backend, uint32_t device,
                                            const dcmem_native *native, uint64_t offset, uint64_t bytes);
DCMEM_API dcmem_result dcmem_simulated_write(const dcmem_backend *backend, uint32_t device, const dcmem_native *native,
                                             uint64_t offset, const void *from, uint64_t bytes);

/* ---- The clock of simulated devices ----
 *
 * All devices of a backend live by one clock. It stands still until somebody lets time pass, so whatever is late is
 * late in the same way in each run:
 *
 *     dcmem_simulated_advance(backend, 1000);            // what ends within a microsecond has happened; the rest not
 *     dcmem_simulated_run(backend);                      // all that is on its way has happened
 *
 * How long a copy or a fill takes follows from its bytes and the link that they take: from the host to the device, to
 * the host, within the device's memory, from a peer. What finds its link busy waits for it; links work beside each
 * other. Memory of the host alone takes no time. Work in a queue really happens late: its bytes move at its end and
 * not before, so who reads without having waited reads the old ones. Blocking copies and fills let their time pass,
 * and queue_wait lets pass what the work still needs; its timeout is measured by this clock. Work whose memory was
 * released meanwhile fails with DCMEM_E_UNKNOWN_ADDRESS, which queue_wait returns. */

/* The time that has passed, from 0.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_now(uint64_t *out_ns, const dcmem_backend *backend);

/* Lets time pass. What ends until then happens, in the order of its ends.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_OUT_OF_RANGE (beyond 2^64 ns), DCMEM_E_WRONG_STATE (the
 * clock follows real time). */
DCMEM_API dcmem_result dcmem_simulated_advance(const dcmem_backend *backend, uint64_t ns);

/* Lets time pass until all queues are idle.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_run(const dcmem_backend *backend);

/* From now on the clock follows real time, for demonstrations and benchmarks: what takes 10 ms makes its caller wait so
 * long. Work that ends meanwhile happens with the next call on its queue, polling included. False: it stands again.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_simulated_set_real_time(const dcmem_backend *backend, bool is_real);

/* ---- Fakes ---- */

/* A fake stands before a backend: every call comes here first. Opaque. */
typedef struct dcmem_fake dcmem_fake;

/* operation, group: the functions of dcmem_backend, in its order. */
#define DCMEM_FAKE_OPERATIONS(X)                                                                                       \
    X(count, REQUIRED)                                                                                                 \
    X(open, REQUIRED)                                                                                                  \
    X(close, REQUIRED)                                                                                                 \
    X(info, REQUIRED)                                                                                                  \
    X(acquire, REQUIRED)                                                                                               \
    X(release, REQUIRED)                                                                                               \
    X(copy, REQUIRED)                                                                                                  \
    X(fill, REQUIRED)                                                                                                  \
    X(map, MAP)                                                                                                        \
    X(unmap, MAP)                                                                                                      \
    X(flush, MAP)                                                                                                      \
    X(invalidate, MAP)                                                                                                 \
    X(queue_open, ASYNC)                                                                                               \
    X(queue_close, ASYNC)                                                                                              \
    X(enqueue_copy, ASYNC)                                                                                             \
    X(enqueue_fill, ASYNC)                                                                                             \
    X(queue_mark, ASYNC)                                                                                               \
    X(queue_completed, ASYNC)                                                                                          \
    X(queue_wait, ASYNC)                                                                                               \
    X(reserve, VIRTUAL)                                                                                                \
    X(unreserve, VIRTUAL)                                                                                              \
    X(page_create, VIRTUAL)                                                                                            \
    X(page_destroy, VIRTUAL)                                                                                           \
    X(page_map, VIRTUAL)                                                                                               \
    X(page_unmap, VIRTUAL)                                                                                             \
    X(peer_can, PEER)                                                                                                  \
    X(peer_enable, PEER)                                                                                               \
    X(peer_disable, PEER)                                                                                              \
    X(peer_copy, PEER)                                                                                                 \
    X(import_host, IMPORT)                                                                                             \
    X(ipc_export, IPC)                                                                                                 \
    X(ipc_import, IPC)

typedef enum dcmem_fake_operation {
#define DCMEM_X(name, group) DCMEM_FAKE_##name,
    DCMEM_FAKE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
        DCMEM_FAKE_OPERATION_COUNT,
    DCMEM_FAKE_any = DCMEM_FAKE_OPERATION_COUNT /* of those that can fail */
} dcmem_fake_operation;

/* "acquire"; "any"; "unknown" for what is no operation. Static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_fake_operation_name(dcmem_fake_operation operation);

/* What a call was asked. Fields that an operation has no use for are 0. */
typedef struct dcmem_fake_call {
    dcmem_fake_operation operation;
    uint64_t index;  /* of all calls of this fake, from 1 */
    uint64_t number; /* of its calls of this operation, from 1 */
    dcmem_call call;
    dcmem_acquire request; /* acquire */
    dcmem_extent extent;   /* release, map, unmap, flush, invalidate, ipc_export; what acquire and imports gave */
    dcmem_extent to;       /* copies and fills: the driver's memory at either end; bytes 0 where it is the host's */
    dcmem_extent from;
    uint64_t to_offset;
    uint64_t from_offset;
    void *host; /* the host's end of a copy, an import, an unmap */
    uint64_t offset;
    uint64_t bytes;
    uint32_t flags;
    uint32_t pattern_bytes;
    uint8_t pattern[16];
    dcmem_result result; /* what the caller got */
} dcmem_fake_call;

/* tried: dcmem called. called: it went on to the backend behind. did: that one succeeded. */
typedef struct dcmem_fake_count {
    uint64_t tried;
    uint64_t called;
    uint64_t did;
} dcmem_fake_count;

/* How many calls a fake remembers. */
#define DCMEM_FAKE_KEPT 256u

/* Told of each expectation that failed and of each call that breaks the contract. One line. */
typedef void (*dcmem_fake_report)(void *user, const char *message);

/* Asked before each call that can fail; may fail it by returning something else than DCMEM_OK. `call->result` is what
 * fits the operation: out of memory for what takes memory, driver failed for the rest. */
typedef dcmem_result (*dcmem_fake_gate)(void *user, const dcmem_fake_call *call);

typedef struct dcmem_fake_options {
    size_t size;                            /* sizeof(dcmem_fake_options) */
    const dcmem_backend *over;              /* the backend behind; NULL: a simulated device of the fake's own */
    const dcmem_simulated_profile *profile; /* of that one; NULL: unified, 64 MiB */
    const char *name;                       /* of the backend; copied; NULL: that of the one behind */
    dcmem_fake_report report;               /* NULL: standard error, then abort */
    void *report_user;
} dcmem_fake_options;

/* Creates a fake. NULL options: over a unified simulated device of 64 MiB.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY, those of dcmem_simulated_create(). */
DCMEM_API dcmem_result dcmem_fake_create(dcmem_fake **out, const dcmem_fake_options *options);

/* NULL is allowed.
 * Threads: one. Errors: DCMEM_E_BUSY (a manager is still open on it), DCMEM_E_LEAKED (memory was still acquired; the
 * fake is gone all the same). */
DCMEM_API dcmem_result dcmem_fake_destroy(dcmem_fake *fake);

/* The table to be given as dcmem_manager_options.driver. Lives as long as the fake.
 * Threads: any. Errors: none. */
DCMEM_API const dcmem_backend *dcmem_fake_backend(dcmem_fake *fake);

/* From now on calls number `first` (from 1) to `first + count - 1` of an operation fail with `result`; `count`
 * UINT64_MAX: all from there on. Release, unmap and what else ends something do end it, and fail then. Up to 64 such
 * orders stand at once; the first that fits decides.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (an operation that cannot fail too), DCMEM_E_LIMIT. */
DCMEM_API dcmem_result dcmem_fake_fail(dcmem_fake *fake, dcmem_fake_operation operation, dcmem_result result,
                                       uint64_t first, uint64_t count);

/* The next `count` calls of an operation give these results, in turn; DCMEM_OK lets one pass: "the first fails so, the
 * next succeeds, the third fails otherwise". Each failure in it is an order as above.
 * Threads: any. Errors: those of dcmem_fake_fail(); then none of it stands. */
DCMEM_API dcmem_result dcmem_fake_script(dcmem_fake *fake, dcmem_fake_operation operation, const dcmem_result *results,
                                         uint32_t count);

/* Sets, or with NULL takes away, a function that decides which calls fail; asked after the orders.
 * Threads: any; a call that is running may still ask the old one. Errors: none. */
DCMEM_API void dcmem_fake_set_gate(dcmem_fake *fake, dcmem_fake_gate gate, void *user);

/* Forgets orders, gate, expectations, counts and last calls. What is acquired stays known.
 * Threads: one, while no call is running. Errors: none. */
DCMEM_API void dcmem_fake_reset(dcmem_fake *fake);

/* How often an operation was called; of DCMEM_FAKE_any the sums over those that can fail.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_fake_count dcmem_fake_count_of(dcmem_fake *fake, dcmem_fake_operation operation);

/* The last call of an operation, or of all; index 0 when there was none.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_fake_call dcmem_fake_last(dcmem_fake *fake, dcmem_fake_operation operation);

/* The n-th call of an operation, or of all, from 1; index 0 when there was none, when it is still running, or when more
 * than DCMEM_FAKE_KEPT calls of any kind have ended since.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_fake_call dcmem_fake_nth(dcmem_fake *fake, dcmem_fake_operation operation, uint64_t n);

/* From now until dcmem_fake_verify(), `least` to `most` calls of an operation are expected to be tried. One too many
 * is reported as it happens.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_fake_expect(dcmem_fake *fake, dcmem_fake_operation operation, uint64_t least,
                                         uint64_t most);

/* Ends all expectations and reports those that were not met.
 * Threads: one, while no call is running. Errors: DCMEM_E_WRONG_STATE when any was reported since the last time, broken
 * contracts included; the detail says which. */
DCMEM_API dcmem_result dcmem_fake_verify(dcmem_fake *fake);

/* What was acquired through the fake and not yet released. Imports count as extents of 0 bytes.
 * Threads: any. Errors: none. */
DCMEM_API uint64_t dcmem_fake_live_bytes(dcmem_fake *fake);
DCMEM_API uint64_t dcmem_fake_live_extents(dcmem_fake *fake);

/* ---- Gates ---- */

/* What a fake is below the pool, a gate is above it: it is asked before the calls of the program itself.
 *
 * operation, what it fails with (OK: it cannot, the gate is only told). Beside the calls of their names: allocate is
 * dcmem_buffer_create(), free its end, with the manager's too; access_host and access_device dcmem_access_begin() by
 * side; access_end also unmap; read and write are dcmem_buffer_copy_out() and dcmem_buffer_copy_in(). Transfers
 * (dcmem/transfer.h) ask as copy, read and write, too, each of a batch by itself; of a box bytes are those of its rows,
 * from the first one's offset on. Calls that are made of others ask as those do: create_from as allocate and write,
 * raw_reallocate, where the block moves, as raw_allocate, raw_copy and raw_free, too. */
#define DCMEM_GATE_OPERATIONS(X)                                                                                       \
    X(allocate, E_NO_MEMORY)                                                                                           \
    X(import, E_NO_HOST_MEMORY)                                                                                        \
    X(free, OK)                                                                                                        \
    X(resize, E_NO_MEMORY)                                                                                             \
    X(pin, E_LIMIT)                                                                                                    \
    X(access_host, E_DRIVER)                                                                                           \
    X(access_device, E_DRIVER)                                                                                         \
    X(access_end, E_DRIVER)                                                                                            \
    X(map, E_NO_HOST_MEMORY)                                                                                           \
    X(read, E_DRIVER)                                                                                                  \
    X(write, E_DRIVER)                                                                                                 \
    X(copy, E_DRIVER)                                                                                                  \
    X(fill, E_DRIVER)                                                                                                  \
    X(prefetch, E_DRIVER)                                                                                              \
    X(synchronize, E_DRIVER)                                                                                           \
    X(mark_dirty, E_DRIVER)                                                                                            \
    X(invalidate, E_DRIVER)                                                                                            \
    X(raw_allocate, E_NO_MEMORY)                                                                                       \
    X(raw_reallocate, E_NO_MEMORY)                                                                                     \
    X(raw_free, OK)                                                                                                    \
    X(raw_read, E_DRIVER)                                                                                              \
    X(raw_write, E_DRIVER)                                                                                             \
    X(raw_copy, E_DRIVER)                                                                                              \
    X(raw_set, E_DRIVER)

typedef enum dcmem_gate_operation {
#define DCMEM_X(name, fitting) DCMEM_GATE_##name,
    DCMEM_GATE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
        DCMEM_GATE_OPERATION_COUNT
} dcmem_gate_operation;

/* What a call is asked for. Fields that an operation has no use for are 0. */
typedef struct dcmem_gate_call {
    dcmem_gate_operation operation;
    uint32_t thread; /* small number of the calling thread, as in dcmem_call */
    dcmem_manager *manager;
    dcmem_buffer *buffer; /* NULL for raw memory and for what is yet to be made; of free: a name, no longer alive */
    dcmem_buffer *from;   /* copy: the other buffer */
    const void *address;  /* of raw memory; import: the caller's memory */
    uint64_t offset;      /* of the view */
    uint64_t bytes;       /* of the view or range; resize, raw_reallocate: the new size; pin, raw_free: 0 */
    dcmem_tag tag;        /* the buffer's */
    dcmem_kind kind;      /* the buffer's */
    uint32_t mode; /* access: dcmem_access_mode; map: dcmem_map_mode; prefetch, mark_dirty, invalidate: the side */
    dcmem_result result; /* what fits the operation; DCMEM_OK: it cannot fail */
} dcmem_gate_call;

/* Asked with no lock held, once the call's handles are known to be alive and before anything is done. Something else
 * than DCMEM_OK is what the call fails with; dcmem_backend_fail() may say why. It may call dcmem: it is not asked about
 * what it calls itself. */
typedef dcmem_result (*dcmem_gate)(void *user, const dcmem_gate_call *call);

/* Sets the manager's gate, or with NULL takes it away; the manager's end does so, too. A copy between buffers of two
 * managers asks both gates. While a manager has one, its threads' fast paths are closed.
 * Threads: any; a call that is running may still ask the old one. Errors: DCMEM_E_STALE_MANAGER,
 * DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_set_gate(dcmem_manager *manager, dcmem_gate gate, void *user);

/* The manager's gate and its user; NULL where it has none. A gate that takes the place of another can ask that one.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_gate(dcmem_gate *out, void **out_user, dcmem_manager *manager);

/* "allocate", ...; "unknown" for what is no operation. Static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_gate_operation_name(dcmem_gate_operation operation);

/* ---- Fault plans ---- */

/* A plan is a text of rules, each of which spoils some of the calls of a driver, a real one too, or of the program:
 *
 *     acquire:nth=3:oom                      the third acquire finds no memory
 *     copy:p=0.01:seed=7:slow=5ms            one copy in a hundred takes five milliseconds longer
 *     program.allocate:size=1MiB..:fail=busy every buffer of a MiB and more is refused
 *
 * Rules are divided by ";", their parts by ":". A rule names operations (divided by ","; those of dcmem_backend, those
 * of a gate as program.NAME, any, program.any), triggers that all must hold, and one effect. docs/faults.md teaches
 * it all. The same calls in the same order meet the same faults: chances hang on seed, rule and number of the call
 * only.
 *
 * DCMEM_FAULTS in the environment puts a program that knows nothing of this under a plan: every manager that it
 * creates, until the process ends, all of them counted together. The library says so at warning, opens
 * libdcmem-testing, and logs each fault at warning. What is wrong with the plan, or that the kit cannot be opened, is
 * what the manager's creation fails with. Programs that run with more rights than their user's do not look at it. */
typedef struct dcmem_fault_plan dcmem_fault_plan;

#define DCMEM_FAULT_NO_THREAD UINT32_MAX

/* One fault that fired. */
typedef struct dcmem_fault {
    uint64_t index;        /* of all faults of the plan, from 1 */
    uint32_t rule;         /* from 1 */
    uint32_t thread;       /* as in dcmem_call or dcmem_fault_thread(); DCMEM_FAULT_NO_THREAD: the call has none */
    uint64_t call;         /* which of the calls that the rule counts, from 1 */
    uint64_t bytes;        /* that the call was about */
    const char *operation; /* "acquire"; static */
    const char *effect;    /* "oom"; static */
    dcmem_tag tag;
    bool is_program; /* the operation is one of a gate */
} dcmem_fault;

/* Makes a plan from its text.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT: the detail says at which column (its driver_code, from 1) stands what
 * instead of what; DCMEM_E_NO_HOST_MEMORY. */
DCMEM_API dcmem_result dcmem_fault_plan_create(dcmem_fault_plan **out, const char *text);

/* Ends a plan and its tables, and puts the gates back that were there before it. NULL is allowed.
 * Threads: one, while no call is running. Errors: DCMEM_E_BUSY (a device below it is open). */
DCMEM_API dcmem_result dcmem_fault_plan_destroy(dcmem_fault_plan *plan);

/* The table to be given as dcmem_manager_options.driver: `over`, with the plan's rules for drivers in front of it. Both
 * must outlive what is opened on it. Over the same backend it is the same table each time.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY, those of dcmem_backend_check(). */
DCMEM_API dcmem_result dcmem_fault_plan_over(const dcmem_backend **out, dcmem_fault_plan *plan,
                                             const dcmem_backend *over);

/* Puts the plan's rules for the program in front of a manager, as its gate; one that was there is asked after it. Does
 * nothing where the plan has no such rules, or guards the manager already.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY, those of dcmem_manager_set_gate(). */
DCMEM_API dcmem_result dcmem_fault_plan_guard(dcmem_fault_plan *plan, dcmem_manager *manager);

/* The level at which faults are logged from now on; at first DCMEM_LOG_INFO.
 * NULL is allowed, here and in the next three, for a plan of no rules.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_fault_plan_set_log(dcmem_fault_plan *plan, dcmem_log_level level);

/* Writes the plan as a text, as snprintf() does: at most `room` bytes with the NUL; returns the length of the whole.
 * Plans that mean the same have the same text, and a plan made from it is the same.
 * Threads: any. Errors: none. */
DCMEM_API size_t dcmem_fault_plan_print(char *out, size_t room, const dcmem_fault_plan *plan);

/* Begins anew: counts, times, a lost device and the list of faults, so that the same calls meet the same faults again.
 * Threads: one, while no call is running. Errors: none. */
DCMEM_API void dcmem_fault_plan_reset(dcmem_fault_plan *plan);

/* How many faults have fired, and the one of that index, from 1 on.
 * Threads: any. Errors: none; DCMEM_E_INVALID_ARGUMENT, DCMEM_E_OUT_OF_RANGE (it did not fire, or was not kept: the
 * first 1,048,576 are, while the host has memory for them). */
DCMEM_API uint64_t dcmem_fault_plan_fired(dcmem_fault_plan *plan);
DCMEM_API dcmem_result dcmem_fault_plan_fault(dcmem_fault *out, dcmem_fault_plan *plan, uint64_t index);

/* Names the calling thread for all plans, so that rules that look at threads or count by them repeat exactly whatever
 * order threads start in. DCMEM_FAULT_NO_THREAD: dcmem's own number again.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_fault_thread(uint32_t number);

/* ---- Sweeps ---- */

/* Whether the call that asks must fail now. The sweep's own devices ask before every driver call; a test may have
 * other things of its program ask too (an allocator, a file), so that they are swept with the rest. `what` names it
 * in messages and lives for ever. False when no sweep is running its act.
 * Threads: any. Errors: none. */
DCMEM_API bool dcmem_sweep_point(const char *what);

/* One run of a sweep, as its functions see it. */
typedef struct dcmem_sweep_run {
    void *user;
    const dcmem_backend *backend; /* whose calls fail */
    dcmem_fake *fake;             /* the same, to be counted and asked */
    dcmem_manager *manager;       /* made on it by the sweep; NULL where the sweep has no_manager */
    uint64_t number;              /* of this run, from 1 */
    const char *failed;           /* the first call that was made to fail; NULL: none yet */
    dcmem_result injected;        /* what it failed with */
    dcmem_result result;          /* what act returned; for check and teardown */
} dcmem_sweep_run;

typedef struct dcmem_sweep {
    size_t size; /* sizeof(dcmem_sweep) */
    void *user;

    /* Prepares; nothing fails yet. May be NULL. */
    dcmem_result (*setup)(dcmem_sweep_run *run);
    /* What is under test: calls fail while it runs. It returns the first failure that it met. */
    dcmem_result (*act)(dcmem_sweep_run *run);
    /* Returns NULL, or what is wrong after act, in words: other outputs that were touched, a result that does not fit,
     * a second try (nothing fails any more) that does not succeed. May be NULL. */
    const char *(*check)(dcmem_sweep_run *run);
    /* Undoes setup and, where it succeeded, act. May be NULL. */
    void (*teardown)(dcmem_sweep_run *run);

    const dcmem_backend *over;              /* the backend behind; NULL: a simulated device */
    const dcmem_simulated_profile *profile; /* of that one; NULL: one with a memory of its own, 256 MiB */
    const dcmem_manager_options *options;   /* for the manager; backend and driver are the sweep's. NULL: maintenance
                                               off, the rest the library's choice */
    bool no_manager;                        /* act makes its own on run->backend, and teardown ends it */
    dcmem_result injected;                  /* what calls fail with; DCMEM_OK: what fits each */
    uint64_t most_runs;                     /* 0: 100,000 */
    const void *output;                     /* what act writes only where it succeeds; NULL: check looks itself */
    size_t output_bytes;
} dcmem_sweep;

typedef struct dcmem_sweep_report {
    size_t size;      /* sizeof(dcmem_sweep_report), set by the caller */
    uint64_t runs;    /* the two without a fault included */
    uint64_t points;  /* calls that can fail, in the run without a fault */
    uint64_t refused; /* runs in which act failed */
    uint64_t mended;  /* runs with a fault in which act succeeded all the same */
} dcmem_sweep_report;

/* Runs setup, act, check and teardown again and again: first with the 1st call that can fail failing, then the 2nd,
 * and so on until a run meets no fault; then once more with the 1st and all after it failing, the 2nd and all after
 * it, and so on. After each run these must hold: act failed only if a call was made to fail; where it failed, output is
 * as it was; check found nothing; dcmem_manager_check() found nothing; after the manager's end nothing is acquired and
 * it had no leak. Stops at the first that does not. `out` may be NULL.
 * Threads: one sweep at a time in a process. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_BUSY (another was started),
 * DCMEM_E_LIMIT (most_runs), DCMEM_E_NO_HOST_MEMORY, whatever setup fails with, DCMEM_E_LEAKED, and
 * DCMEM_E_WRONG_STATE for the rest; the detail says in one line which run, which call failed, and what was wrong. */
DCMEM_API dcmem_result dcmem_test_sweep(dcmem_sweep_report *out, const dcmem_sweep *sweep);

/* ---- Test data ---- */

/* What bytes hold, so that a wrong one shows, and where. The pattern counts from the first byte of what is written or
 * looked at. */
#define DCMEM_TEST_PATTERNS(X)                                                                                         \
    X(NONE, "none")     /* nothing is written */                                                                       \
    X(BYTES, "bytes")   /* byte i is i modulo 256 */                                                                   \
    X(INT32, "int32")   /* element i is i, as an int32_t */                                                            \
    X(INT64, "int64")   /* the same as an int64_t */                                                                   \
    X(FLOAT, "float")   /* the same as a float */                                                                      \
    X(DOUBLE, "double") /* the same as a double */                                                                     \
    X(RANDOM, "random") /* bytes that follow from the seed and their place */

typedef enum dcmem_test_pattern {
#define DCMEM_X(name, text) DCMEM_TEST_PATTERN_##name,
    DCMEM_TEST_PATTERNS(DCMEM_X)
#undef DCMEM_X
        DCMEM_TEST_PATTERN_COUNT
} dcmem_test_pattern;

/* Writes `bytes` bytes of a pattern to host memory. `seed` is for DCMEM_TEST_PATTERN_RANDOM.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED (no whole number of elements). */
DCMEM_API dcmem_result dcmem_test_data_write(void *to, uint64_t bytes, dcmem_test_pattern pattern, uint64_t seed);

/* Whether host memory holds the pattern.
 * Threads: any. Errors: those of dcmem_test_data_write(); DCMEM_E_WRONG_STATE, and the detail names the first byte that
 * differs. */
DCMEM_API dcmem_result dcmem_test_data_verify(const void *from, uint64_t bytes, dcmem_test_pattern pattern,
                                              uint64_t seed);

/* The same for a view of any buffer. A test buffer neither counts nor refuses nor delays these.
 * Threads: any. Errors: those of the calls above, dcmem_buffer_copy_in() and dcmem_buffer_copy_out();
 * DCMEM_E_NO_HOST_MEMORY. */
DCMEM_API dcmem_result dcmem_test_view_write(dcmem_view to, dcmem_test_pattern pattern, uint64_t seed);
DCMEM_API dcmem_result dcmem_test_view_verify(dcmem_view from, dcmem_test_pattern pattern, uint64_t seed);

/* ---- Test buffers ---- */

/* A buffer that is slow, or refuses, or spoils its bytes, as its options say. What a program is given is an ordinary
 * dcmem_buffer on a simulated device, so it goes wherever a buffer goes; the restrictions stand in the gate of its
 * manager. They hold for every way to its bytes: a slice, a cast or any other view is a view of the same buffer. */
typedef struct dcmem_test_buffer dcmem_test_buffer;

/* Waits for so long, or only says that it did. */
typedef void (*dcmem_test_sleep)(void *user, uint64_t nanoseconds);

/* Zero in a field means: as the comment says. The names are those of the report, where it has one. */
typedef struct dcmem_test_buffer_options {
    size_t size;                 /* sizeof(dcmem_test_buffer_options) */
    dcmem_buffer_options memory; /* kind, flags, alignment, tag, ...; its size may be 0: device memory */
    bool no_pin;                 /* not pinned: the program may resize and destroy it; it has no address of its own */
    dcmem_test_pattern pattern;  /* of its bytes at the beginning; NONE: they are unwritten */
    uint64_t seed;               /* of the pattern */
    bool slow_transfers;         /* copies wait, and so does what must bring bytes to its side */
    uint64_t transfer_delay_ns;  /* of each; 0: 5 ms */
    dcmem_test_sleep sleep;      /* waits instead of the system, in the thread that copies; NULL: it really sleeps */
    void *sleep_user;
    bool refuse_span_access;     /* dcmem_access_begin() on the host's side */
    bool refuse_memory_access;   /* dcmem_access_begin() on the device's side, dcmem_buffer_map(), _pin() */
    bool refuse_copy_operations; /* dcmem_buffer_copy() either way, _copy_in(), _copy_out(), all of transfer.h */
    uint64_t fail_after;         /* the n-th operation and all after it fail; 0: none does */
    dcmem_result refusal;        /* what refused operations fail with; DCMEM_OK: DCMEM_E_WRONG_STATE */
    bool allow_corruption;       /* dcmem_test_buffer_corrupt() may be called */
    dcmem_manager *manager;      /* the caller's, which must outlive it; NULL: one of its own, on a simulated device */
    const dcmem_simulated_profile *profile; /* of that device; NULL: 256 MiB of a memory of its own */
} dcmem_test_buffer_options;

/* The report's presets: no restriction; transfers of 10 ms; spans, memory and copies refused; the n-th operation and
 * all after it fail.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_test_buffer_options dcmem_test_buffer_default(void);
DCMEM_API dcmem_test_buffer_options dcmem_test_buffer_slow_transfers(void);
DCMEM_API dcmem_test_buffer_options dcmem_test_buffer_restrictive(void);
DCMEM_API dcmem_test_buffer_options dcmem_test_buffer_fail_after(uint64_t n);

/* Creates a test buffer of `bytes` > 0. NULL options: dcmem_test_buffer_default(). Several may stand on one manager,
 * that of another test buffer too. A gate that the manager has already is asked after the restrictions; one that is set
 * later takes their place until the next test buffer is created there.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_MISALIGNED (the pattern's elements do not divide the size),
 * DCMEM_E_NO_HOST_MEMORY, those of dcmem_rig_begin(), dcmem_buffer_create(), dcmem_buffer_pin() and
 * dcmem_test_view_write(); on the caller's manager DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_test_buffer_create(dcmem_test_buffer **out, uint64_t bytes,
                                                const dcmem_test_buffer_options *options);

/* Ends a test buffer, its buffer with it, and the device that was made for it with the last test buffer there. NULL is
 * allowed. A buffer that the program has destroyed is no fault.
 * Threads: any; of several at once exactly one succeeds; where the device ends with it, no other call on that one may
 * be running. Errors: DCMEM_E_INVALID_ARGUMENT (not alive), DCMEM_E_BUSY (an access is open or the program pinned it;
 * nothing has ended), DCMEM_E_LEAKED (something else was still live on the device made for it; all the same it is
 * gone), those of dcmem_buffer_destroy() and dcmem_rig_end(). */
DCMEM_API dcmem_result dcmem_test_buffer_destroy(dcmem_test_buffer *test);

/* The buffer that programs are given, and its manager. NULL for what is not alive.
 * Threads: any. Errors: none. */
DCMEM_API dcmem_buffer *dcmem_test_buffer_buffer(dcmem_test_buffer *test);
DCMEM_API dcmem_manager *dcmem_test_buffer_manager(dcmem_test_buffer *test);

/* Where the test buffer made its device: the simulated backend, of which it is device 0, to be asked and to be lost;
 * and the fake before it, to count its calls and to fail them. NULL on the caller's manager, and for what is not alive.
 * Threads: any. Errors: none. */
DCMEM_API const dcmem_backend *dcmem_test_buffer_backend(dcmem_test_buffer *test);
DCMEM_API dcmem_fake *dcmem_test_buffer_fake(dcmem_test_buffer *test);

/* Where its bytes lie for the device, while it is pinned: the report's device pointer.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_WRONG_STATE (no_pin). */
DCMEM_API dcmem_result dcmem_test_buffer_native(dcmem_native *out, dcmem_test_buffer *test);

/* What the program asked of the buffer since it was created or reset: every call that a gate is asked about but the
 * ends of accesses and of the buffer itself, refused ones too. A copy within one buffer is one operation. One between
 * two managers that is refused for what it would write never comes to what it would read. */
typedef struct dcmem_test_buffer_counts {
    size_t size;         /* sizeof(dcmem_test_buffer_counts), set by the caller */
    uint64_t operations; /* asked for */
    uint64_t refused;    /* of these, by a restriction */
    uint64_t delayed;    /* of these, by slow_transfers */
} dcmem_test_buffer_counts;

/* Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_test_buffer_counts_of(dcmem_test_buffer_counts *out, dcmem_test_buffer *test);

/* Counts from 0 again; with fail_after, the next operation is the first.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_test_buffer_reset(dcmem_test_buffer *test);

/* Flips bits of the memory itself, as a failing device or a stray write does: nothing else changes, and the side counts
 * as current as before. Refused unless allow_corruption is set. The first flips the bits of `mask` (not 0) in one byte,
 * the second `count` bits at different places, which follow from the seed.
 * Threads: any, while nobody else uses the bytes. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_WRONG_STATE (not allowed,
 * or the side is not current: its bytes are nobody's), DCMEM_E_OUT_OF_RANGE, DCMEM_E_UNSUPPORTED (a device of the
 * caller's with a memory of its own), those of dcmem_access_begin(). */
DCMEM_API dcmem_result dcmem_test_buffer_corrupt(dcmem_test_buffer *test, dcmem_side side, uint64_t offset,
                                                 uint8_t mask);
DCMEM_API dcmem_result dcmem_test_buffer_corrupt_randomly(dcmem_test_buffer *test, dcmem_side side, uint64_t seed,
                                                          uint64_t count);

#define DCMEM_TEST_ALL UINT64_MAX

/* Whether `count` elements (DCMEM_TEST_ALL: as many as fit both) can be copied from element `from_first` of one view to
 * element `to_first` of another: checks what a ranged copy checks, and copies nothing. `*out_bytes` (may be NULL) is
 * how many bytes it would be.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (elements of two sizes, ranges that overlap, nothing to copy),
 * DCMEM_E_OUT_OF_RANGE, DCMEM_E_OVERFLOW, those of dcmem_buffer_describe(), DCMEM_E_STALE_VIEW. */
DCMEM_API dcmem_result dcmem_test_check_copy(uint64_t *out_bytes, dcmem_view to, uint64_t to_first, dcmem_view from,
                                             uint64_t from_first, uint64_t count);

DCMEM_END
#endif
