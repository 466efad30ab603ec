/* dcmem/backend.h: the contract between dcmem and a driver. For those who add a backend.
 *
 * A backend is one table of functions. Functions come in groups; a group is whole or absent, and its capability bit
 * says which. The required group has no bit. The core fills absent groups with stubs that answer
 * DCMEM_E_UNSUPPORTED, so it never compares a function with NULL.
 *
 * Rules for every function:
 *   1. dcmem holds no lock when it calls. Any thread may call, several at once, on one device.
 *   2. Out parameters are written last and only on success.
 *   3. A failure returns the result that fits (out of memory: DCMEM_E_NO_MEMORY; device gone: DCMEM_E_DEVICE_LOST) and
 *      may say more with dcmem_backend_fail(). Nothing may be left behind by a failed call.
 *   4. `call` says on whose behalf the work is done; it is valid during the call and never NULL.
 *   5. Sizes and offsets are bytes and 64 bits wide, sizes never 0. dcmem checks ranges before it calls. */
#ifndef DCMEM_BACKEND_H
#define DCMEM_BACKEND_H

#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

#define DCMEM_BACKEND_CONTRACT 1u

/* Groups and properties. */
#define DCMEM_CAP_MAP     (1ull << 0) /* group: map, unmap, flush, invalidate */
#define DCMEM_CAP_ASYNC   (1ull << 1) /* group: queues, enqueue, timeline */
#define DCMEM_CAP_VIRTUAL (1ull << 2) /* group: reserve, pages, map and unmap of pages */
#define DCMEM_CAP_PEER    (1ull << 3) /* group: direct copies between two devices */
#define DCMEM_CAP_IMPORT  (1ull << 4) /* group: use the caller's host memory */
#define DCMEM_CAP_IPC     (1ull << 5) /* group: share memory with another process */
#define DCMEM_CAP_GROUPS  0x3full
#define DCMEM_CAP_UNIFIED (1ull << 32) /* property: device memory is the host's; extent.host is always set */
#define DCMEM_CAP_DIVISIBLE                                                                                            \
    (1ull << 33)                         /* property: address space, not objects: what was acquired next to each      \
                                            other may be used and released as one, or in page-aligned parts */
#define DCMEM_CAP_ADDRESSED (1ull << 34) /* property: extent.address is unique in the process and below 2^47 */

/* On whose behalf. */
typedef struct dcmem_call {
    dcmem_tag tag;
    uint32_t thread;   /* small number of the calling thread */
    void *queue;       /* the driver's queue, or NULL */
    uint64_t op_index; /* counts the manager's driver calls from 1 */
} dcmem_call;

/* What one acquire, import or page mapping gave. A plain value: dcmem copies it freely. */
typedef struct dcmem_extent {
    uint64_t object;  /* the driver's handle or base address; what dcmem_native.object becomes */
    uint64_t address; /* as the device sees it; 0 where it has none */
    uint64_t bytes;   /* at least what was asked */
    void *host;       /* where the host can touch it now, or NULL */
    uint64_t driver;  /* the driver's private word */
    dcmem_kind kind;
    uint32_t flags; /* the driver's own */
    void *direct;   /* where the host's own moves are all that the driver's blocking copies and fills of it are, or
                       NULL. Heeded of dcmem's own drivers only: whoever stands before a driver sees all its calls */
} dcmem_extent;

/* What acquire is asked for. */
typedef struct dcmem_acquire {
    uint64_t bytes;     /* > 0, a multiple of info.granularity */
    uint64_t alignment; /* a power of two; 0 means info.alignment */
    dcmem_kind kind;
    uint32_t flags; /* DCMEM_ACQUIRE_* */
    uint64_t near;  /* DIVISIBLE only: best placed at this address, the end of an earlier extent; 0: anywhere */
    uint32_t lane;  /* DIVISIBLE only: extents of one lane should lie together, those of different lanes apart */
    uint32_t reserved;
} dcmem_acquire;

#define DCMEM_ACQUIRE_GROW   1u /* part of a growing pool: leave address space behind it for more */
#define DCMEM_ACQUIRE_SHARED 2u /* IPC only: it will be exported. Never divided, nor joined with its neighbours */

/* One end of a copy: driver memory, or (extent == NULL) plain host memory. */
typedef struct dcmem_place {
    const dcmem_extent *extent;
    uint64_t offset; /* from the extent's start, or from `host` */
    void *host;
} dcmem_place;

typedef struct dcmem_heap_info {
    uint64_t total_bytes;
    uint64_t free_bytes;
    uint32_t kinds; /* DCMEM_KIND_BIT of each kind that lives here */
    uint32_t reserved;
} dcmem_heap_info;

#define DCMEM_MAX_HEAPS 8u

/* What placement needs to know of a device. Unknown numbers are 0, unknown texts "". */
typedef struct dcmem_device_info {
    size_t size; /* sizeof(dcmem_device_info) */
    char backend[16];
    char name[96];
    char driver_version[48];
    char pci[16]; /* "0000:01:00.0" */
    uint8_t uuid[16];
    uint64_t capabilities; /* of this device: the table's, or fewer of them; 0: the table's */
    uint32_t kinds;        /* DCMEM_KIND_BIT of each kind that acquire gives; HOST always among them */
    uint32_t heap_count;
    dcmem_heap_info heaps[DCMEM_MAX_HEAPS];
    uint64_t total_bytes;
    uint64_t free_bytes; /* now, all processes counted */
    uint64_t largest_allocation_bytes;
    uint64_t alignment;   /* what every acquire gives */
    uint64_t granularity; /* acquire sizes are multiples of it */
    uint64_t cache_line_bytes;
    uint64_t last_level_cache_bytes;
    uint64_t flush_bytes; /* non-coherent mappings flush in units of this, at most 4096; 0 when coherent */
    int32_t numa_node;    /* -1 when unknown or none */
    bool is_unified;
    uint64_t page_bytes; /* VIRTUAL: reservations, pages and maps of pages are multiples of it; 0: of granularity */
} dcmem_device_info;

typedef enum dcmem_huge_pages {
    DCMEM_HUGE_PAGES_SYSTEM, /* as the system is set */
    DCMEM_HUGE_PAGES_ON,     /* asked for where the pool grows */
    DCMEM_HUGE_PAGES_OFF     /* refused */
} dcmem_huge_pages;

typedef struct dcmem_open {
    size_t size; /* sizeof(dcmem_open) */
    uint32_t index;
    uint32_t huge_pages;                /* dcmem_huge_pages */
    int32_t numa_node;                  /* -1: no preference */
    const dcmem_native_context *native; /* the caller's own device, borrowed; NULL: open one */
} dcmem_open;

typedef enum dcmem_map_flags {
    DCMEM_MAP_READ_BIT = 1,
    DCMEM_MAP_WRITE_BIT = 2,
    DCMEM_MAP_DISCARD_BIT = 4
} dcmem_map_flags;

typedef struct dcmem_ipc_handle {
    uint32_t kind; /* the backend's own */
    int32_t fd;    /* -1 when the handle is in bytes */
    uint64_t memory_bytes;
    uint8_t bytes[64];
} dcmem_ipc_handle;

typedef struct dcmem_backend dcmem_backend;

struct dcmem_backend {
    size_t size;       /* sizeof(dcmem_backend) */
    uint32_t contract; /* DCMEM_BACKEND_CONTRACT */
    uint32_t reserved;
    const char *name; /* "cpu", "cuda", ...; static */
    uint64_t capabilities;
    void *context; /* the backend's own, for tables made at run time */

    /* Required. */

    /* Counts the devices. Loads the vendor's library the first time; absent: DCMEM_E_UNAVAILABLE with the reason. */
    dcmem_result (*count)(uint32_t *out, const dcmem_backend *backend);
    dcmem_result (*open)(void **out_device, const dcmem_backend *backend, const dcmem_open *options);
    /* Everything that was acquired has been released. */
    void (*close)(void *device);
    dcmem_result (*info)(dcmem_device_info *out, void *device);
    dcmem_result (*acquire)(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request);
    /* Takes an extent back whole; on a DIVISIBLE device also any page-aligned part, or several neighbours at once.
     * A failure (device lost) still ends dcmem's claim to it. */
    dcmem_result (*release)(void *device, const dcmem_call *call, const dcmem_extent *extent);
    /* Blocking. Both ends on this device or in host memory; the ranges do not overlap. */
    dcmem_result (*copy)(void *device, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from,
                         uint64_t bytes);
    /* Blocking. Repeats a pattern of 1, 2, 4, 8 or 16 bytes; offset and bytes are multiples of it. */
    dcmem_result (*fill)(void *device, const dcmem_call *call, const dcmem_place *to, uint64_t bytes,
                         const void *pattern, uint32_t pattern_bytes);

    /* MAP: the host's way to device memory. Maps nest; each is ended once. */
    dcmem_result (*map)(void **out_host, void *device, const dcmem_call *call, const dcmem_extent *extent,
                        uint64_t offset, uint64_t bytes, uint32_t flags);
    dcmem_result (*unmap)(void *device, const dcmem_call *call, const dcmem_extent *extent, void *host);
    /* Non-coherent memory: make the host's writes visible to the device, and the device's to the host. */
    dcmem_result (*flush)(void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
                          uint64_t bytes);
    dcmem_result (*invalidate)(void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
                               uint64_t bytes);

    /* ASYNC: a queue runs its work in order; queues do not wait for each other. Each has a timeline, a number that
     * starts at 0 and never falls. Each submission gets a value above those before it, the first one 1; when it and
     * all before it are done, the timeline stands at its value or beyond.
     *
     *   - What enqueue is given is read during the call: places, extents, the pattern. The memory that they name stays
     *     until the value has completed, and nobody else writes where the work reads, or touches where it writes.
     *   - Work starts without anybody waiting for it. What has completed is done for everybody: the host, other
     *     queues, the calls of the other groups.
     *   - Work that fails completes all the same, so that nobody waits for ever. queue_wait for its value or a later
     *     one returns its result: the first failure of the queue. A device that is lost completes all its work in
     *     this way; none of it touches memory any more.
     *   - Any thread may use a queue, several at once. */

    /* `native` NULL: a queue of its own. Else the caller's, borrowed; a driver that cannot: DCMEM_E_UNSUPPORTED. */
    dcmem_result (*queue_open)(void **out_queue, void *device, const dcmem_native_context *native);
    /* Returns when all its work is done. A borrowed queue stays the caller's. */
    void (*queue_close)(void *device, void *queue);
    /* Ends as for copy. May block while the driver can take no more work. */
    dcmem_result (*enqueue_copy)(uint64_t *out_value, void *device, void *queue, const dcmem_call *call,
                                 const dcmem_place *to, const dcmem_place *from, uint64_t bytes);
    dcmem_result (*enqueue_fill)(uint64_t *out_value, void *device, void *queue, const dcmem_call *call,
                                 const dcmem_place *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes);
    /* A value that completes when all that was submitted so far has: a new one, or the last. */
    dcmem_result (*queue_mark)(uint64_t *out_value, void *device, void *queue);
    /* The newest completed value: a read of memory, no driver call. */
    uint64_t (*queue_completed)(void *device, void *queue);
    /* Returns when the timeline has reached `value`: at once if it has. After timeout_ns (0: only looks; UINT64_MAX:
     * for ever): DCMEM_E_TIMEOUT. A value that this queue has not given yet: DCMEM_E_INVALID_ARGUMENT. */
    dcmem_result (*queue_wait)(void *device, void *queue, uint64_t value, uint64_t timeout_ns);

    /* VIRTUAL: address space without memory, and pages to put into it. Sizes, offsets and addresses are multiples of
     * info.page_bytes. Memory at such addresses is named by an extent whose object and address are the address of its
     * first byte, whose host is the same on a UNIFIED device and else NULL, and whose kind is the page's; it may reach
     * over maps that touch. Copies, fills and queues take it like any other. The map function takes ranges of it that
     * lie in one map of a page, where it takes memory of that kind. */

    /* Never 0; a multiple of `alignment`, a power of two (0: page_bytes). Costs no memory of the device: at least as
     * much can be reserved as it has. */
    dcmem_result (*reserve)(uint64_t *out_address, void *device, uint64_t bytes, uint64_t alignment);
    /* The whole of what was reserved; nothing is mapped in it. */
    dcmem_result (*unreserve)(void *device, uint64_t address, uint64_t bytes);
    /* Takes memory as acquire does, and is refused as acquire is. Its contents are anything. */
    dcmem_result (*page_create)(uint64_t *out_page, void *device, const dcmem_call *call, uint64_t bytes,
                                dcmem_kind kind);
    /* Not mapped anywhere any more. */
    dcmem_result (*page_destroy)(void *device, const dcmem_call *call, uint64_t page);
    /* Puts a part of a page, or all of it, where nothing is mapped in one reservation. What is mapped at several
     * addresses is the same memory at each. */
    dcmem_result (*page_map)(void *device, const dcmem_call *call, uint64_t address, uint64_t page,
                             uint64_t page_offset, uint64_t bytes);
    /* One map, or several that touch, each of them whole. The pages keep their contents. */
    dcmem_result (*page_unmap)(void *device, const dcmem_call *call, uint64_t address, uint64_t bytes);

    /* PEER: two open devices of this backend, of different index. */

    /* Whether `device` can copy from `peer` directly. */
    dcmem_result (*peer_can)(bool *out, void *device, void *peer);
    /* Those that cannot: DCMEM_E_UNSUPPORTED. Counts: each is disabled once, or ends when one of the two is closed. */
    dcmem_result (*peer_enable)(void *device, void *peer);
    dcmem_result (*peer_disable)(void *device, void *peer);
    /* Blocking. From the peer's memory to the device's own. Not enabled: DCMEM_E_WRONG_STATE. */
    dcmem_result (*peer_copy)(void *device, const dcmem_call *call, const dcmem_place *to, void *peer,
                              const dcmem_place *from, uint64_t bytes);

    /* IMPORT: the caller's host memory becomes an extent; release ends it and leaves the memory alone. */
    dcmem_result (*import_host)(dcmem_extent *out, void *device, const dcmem_call *call, void *host, uint64_t bytes);

    /* IPC: one memory in two processes of this machine. Handles go from one to the other in any way, but for `fd`,
     * which needs a UNIX socket (SCM_RIGHTS). The exporter keeps its extent until every import has been released. */

    /* The extent is whole, as acquired. Acquired without DCMEM_ACQUIRE_SHARED: DCMEM_E_UNSUPPORTED, where the driver
     * had to know. `fd`, unless it is -1, is new and the caller's to close. */
    dcmem_result (*ipc_export)(dcmem_ipc_handle *out, void *device, const dcmem_call *call, const dcmem_extent *extent);
    /* An extent of handle->memory_bytes, ended by release. Leaves `fd` open. In the exporting process itself it may be
     * DCMEM_E_UNSUPPORTED. What is no handle of such a device: DCMEM_E_INVALID_ARGUMENT. */
    dcmem_result (*ipc_import)(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_ipc_handle *handle);
};

/* Checks a table: sizes, contract, required functions there, each group whole or absent, no unknown capability.
 * Threads: any. Errors: DCMEM_E_CONTRACT, and the detail names the function. */
DCMEM_API dcmem_result dcmem_backend_check(const dcmem_backend *backend);

/* Adds a backend that managers can then be created on by name. The table stays the caller's and must outlive every
 * manager on it. A name that is taken: DCMEM_E_WRONG_STATE.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_CONTRACT, DCMEM_E_WRONG_STATE, DCMEM_E_LIMIT. */
DCMEM_API dcmem_result dcmem_backend_register(const dcmem_backend *backend);

/* Removes it. Managers that still use it make it DCMEM_E_BUSY.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT (never registered, or built in), DCMEM_E_BUSY. */
DCMEM_API dcmem_result dcmem_backend_unregister(const dcmem_backend *backend);

/* How many backends are registered, built-in ones included, and the i-th of them (NULL past the end). A backend
 * without its library is listed too; its count() says why it is not available.
 * Threads: any. Errors: none. */
DCMEM_API uint32_t dcmem_backend_count(void);
DCMEM_API const dcmem_backend *dcmem_backend_at(uint32_t index);

/* The backend of that name, or NULL.
 * Threads: any. Errors: none. */
DCMEM_API const dcmem_backend *dcmem_backend_find(const char *name);

/* For drivers: writes this thread's detail and returns `result`. `format` is printf's; the text is cut, never
 * allocated.
 * Threads: any. Errors: none of its own. */
DCMEM_API dcmem_result dcmem_backend_fail(dcmem_result result, const char *driver, int64_t driver_code,
                                          const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

DCMEM_END
#endif
