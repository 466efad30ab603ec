/* dcmem/manager.h: managers: one device, with its pool, its limits and its figures.
 *
 *     dcmem_manager *manager;
 *     if (dcmem_manager_create(&manager, NULL))            // NULL options: the CPU
 *         fputs(dcmem_last_detail()->message, stderr);
 *     ...
 *     dcmem_manager_destroy(manager);
 *
 * A manager is a handle: using one after its end is an error, not a crash. Options structs begin with `size`
 * (sizeof of the struct as the caller compiled it); zero in any field means the library's choice. */
#ifndef DCMEM_MANAGER_H
#define DCMEM_MANAGER_H

#include <dcmem/backend.h>
#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* How a request is rounded up to a size class. */
typedef enum dcmem_sizing {
    DCMEM_SIZING_DEFAULT,     /* eight steps an octave: at most 1/8 is lost; above 1 GiB to pages only */
    DCMEM_SIZING_POWER_OF_TWO /* to the next power of two: up to half is lost */
} dcmem_sizing;

/* How much free memory is kept near the threads. */
typedef enum dcmem_policy {
    DCMEM_POLICY_DEFAULT, /* loose, and tight while memory is short */
    DCMEM_POLICY_LOOSE,   /* blocks of every size are cached: fastest */
    DCMEM_POLICY_TIGHT    /* large blocks go back to be merged when caching them costs memory: leanest */
} dcmem_policy;

/* Called when a request finds no memory, after all of dcmem's own means and before it fails, with no lock held. The
 * callback may free memory of this manager. Return true to have the request tried once more. */
typedef bool (*dcmem_out_of_memory)(void *user, dcmem_manager *manager, uint64_t bytes_needed, uint32_t attempt);

#define DCMEM_MAINTENANCE_OFF UINT64_MAX
#define DCMEM_NO_IDLE_MEMORY  UINT64_MAX

typedef struct dcmem_manager_options {
    size_t size;                        /* sizeof(dcmem_manager_options) */
    const char *backend;                /* name of a registered backend; NULL: "cpu" */
    const dcmem_backend *driver;        /* a table of the caller's own instead of a name; must outlive the manager */
    const dcmem_native_context *native; /* the caller's own context, borrowed; NULL: dcmem opens the device */
    uint32_t device;                    /* index among the backend's devices */
    dcmem_sizing sizing;
    dcmem_policy policy;
    dcmem_huge_pages huge_pages;
    uint32_t numa_node_plus_1;         /* memory from this NUMA node: node + 1; 0: no preference */
    uint32_t exact_peaks;              /* 1: the peak of used bytes is exact, at the price of a shared line */
    uint64_t limit_bytes;              /* never hold more than this from the driver; 0: no limit */
    uint64_t idle_limit_bytes;         /* most free memory kept; 0: no limit; or DCMEM_NO_IDLE_MEMORY */
    uint64_t idle_time_ns;             /* free memory unused for this long goes back; 0: 10 s */
    uint64_t largest_allocation_bytes; /* refuse larger requests; 0: what the device allows */
    uint64_t maintenance_interval_ns;  /* 0: 1 s; or DCMEM_MAINTENANCE_OFF */
    uint64_t thread_cache_bytes;       /* most free bytes in one thread's cache; 0: 256 MiB */
    uint64_t growth_bytes;             /* least that a growth acquires; 0: by what is missing */
    dcmem_out_of_memory out_of_memory; /* NULL: none */
    void *out_of_memory_user;
    uint32_t guards;      /* DCMEM_GUARD_* of dcmem/guard.h; 0: what DCMEM_GUARDS in the environment says, or none */
    uint32_t guard_bytes; /* of a red zone, at most 1 MiB; 0: 64 */
    uint64_t quarantine_bytes; /* most freed memory that guards hold back; 0: 64 MiB */
} dcmem_manager_options;

typedef struct dcmem_limits {
    size_t size; /* sizeof(dcmem_limits), set by the caller */
    uint64_t limit_bytes;
    uint64_t idle_limit_bytes;
    uint64_t largest_allocation_bytes;
    uint64_t total_bytes;     /* of the device */
    uint64_t available_bytes; /* what could still be allocated: within the limit and the device's free memory */
    uint64_t used_bytes;      /* live blocks */
    uint64_t reserved_bytes;  /* held from the driver */
} dcmem_limits;

/* What optimize would do, or did. */
typedef struct dcmem_optimize_report {
    size_t size;              /* sizeof(dcmem_optimize_report), set by the caller */
    uint64_t predicted_bytes; /* what could go back to the driver */
    uint64_t returned_bytes;  /* what went */
    uint64_t moved_bytes;     /* bytes of live memory that were moved for it */
    uint64_t duration_ns;
    bool is_complete; /* false: the budget ended first */
} dcmem_optimize_report;

/* Fills `*out` with what the device is. `out->size` is set by the caller.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_UNAVAILABLE with the reason. */
DCMEM_API dcmem_result dcmem_device_describe(dcmem_device_info *out, const char *backend, uint32_t device);

/* Creates a manager. NULL options: the CPU with every choice the library's.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (a field out of range, an unknown non-zero tail, DCMEM_GUARDS in the
 * environment not understood), DCMEM_E_UNAVAILABLE,
 * DCMEM_E_CONTRACT, DCMEM_E_NO_HOST_MEMORY, DCMEM_E_LIMIT (65535 managers are alive), the driver's own. */
DCMEM_API dcmem_result dcmem_manager_create(dcmem_manager **out, const dcmem_manager_options *options);

/* Ends a manager and gives everything back to the driver. Whatever was still live is freed with it; its handles are
 * stale from then on. NULL is allowed.
 * Threads: one; no other call on this manager may be running. Errors: DCMEM_E_LEAKED when something was still live
 * (the manager is gone all the same), DCMEM_E_CORRUPTED (the same; dcmem/guard.h), DCMEM_E_STALE_MANAGER,
 * DCMEM_E_NOT_A_MANAGER, the driver's own. */
DCMEM_API dcmem_result dcmem_manager_destroy(dcmem_manager *manager);

/* `out->size` is set by the caller.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_device_info(dcmem_device_info *out, dcmem_manager *manager);
DCMEM_API dcmem_result dcmem_manager_limits(dcmem_limits *out, dcmem_manager *manager);

/* Changes the hard limit (0: none). What is held already stays.
 * Threads: any. Errors: DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_set_limit(dcmem_manager *manager, uint64_t limit_bytes);

/* Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_set_policy(dcmem_manager *manager, dcmem_policy policy);

/* Gives free memory back to the driver, the caches of all threads included, until at most `keep_bytes` are held free.
 * `out_bytes` (may be NULL) is what went back.
 * Threads: any. Errors: DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, the driver's own. */
DCMEM_API dcmem_result dcmem_manager_trim(uint64_t *out_bytes, dcmem_manager *manager, uint64_t keep_bytes);

/* Reclaims and merges free memory within a budget (0: unlimited) and reports what it gained. `out` may be NULL.
 * Threads: any. Errors: DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, the driver's own. */
DCMEM_API dcmem_result dcmem_manager_optimize(dcmem_optimize_report *out, dcmem_manager *manager, uint64_t budget_bytes,
                                              uint64_t budget_ns);

/* Frees everything that is live, buffers and raw blocks, gives all memory back and resets the statistics.
 * Threads: one; no other call on this manager may be running. Errors: DCMEM_E_BUSY when an access is open (nothing is
 * freed then), DCMEM_E_CORRUPTED (all is freed; dcmem/guard.h), DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, the
 * driver's own. */
DCMEM_API dcmem_result dcmem_manager_clear(dcmem_manager *manager);

/* One round of the background upkeep, now and in this thread.
 * Threads: any. Errors: DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, the driver's own. */
DCMEM_API dcmem_result dcmem_manager_maintain(dcmem_manager *manager);

/* A manager of this thread's fault: walks every structure and checks its invariants. For tests and debuggers; slow.
 * Threads: one; no other call on this manager may be running. Errors: DCMEM_E_INTERNAL, the detail says which
 * invariant; DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER. */
DCMEM_API dcmem_result dcmem_manager_check(dcmem_manager *manager);

DCMEM_END
#endif
