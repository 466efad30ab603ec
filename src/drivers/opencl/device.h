/* device.h: an open device: a card, a context and a queue for blocking work; and the memory that it gives.
 *
 * A piece is what one acquire or import made. Where the host can touch it at any time, `host` says; such memory is
 * copied by the host itself. The rest is reached through `mem`, by commands. A piece never changes. */
#ifndef DCMI_OPENCL_DEVICE_H
#define DCMI_OPENCL_DEVICE_H

#include "base/lock.h"
#include "drivers/opencl/card.h"

#define DCMI_CL_ALIGNMENT 4096u /* of all that is acquired, and what sizes are multiples of */

/* Memory with one address on both sides, best first. */
typedef enum dcmi_cl_managed {
    DCMI_CL_MANAGED_NONE,
    DCMI_CL_MANAGED_FINE,   /* shared virtual memory that both sides may touch at any time */
    DCMI_CL_MANAGED_USM,    /* Intel's, likewise, but not both at once */
    DCMI_CL_MANAGED_COARSE, /* shared virtual memory that the host must map first */
} dcmi_cl_managed;

typedef struct dcmi_cl_device {
    dcmi_cl_card *card;
    dcmi_cl_card own_card; /* of a caller's device that is nobody else's */
    cl_context context;
    cl_command_queue queue; /* in order; blocking work of any thread, one at a time: see `turn` */
    /* Held from a command's entry into `queue` to its end. The queue would run one after the other anyway, and not
     * every driver bears two threads in one queue (PoCL 3.1's basic device waits for itself for ever). */
    dcmi_lock turn;
    bool is_lent; /* context and, if lends_queue, queue are the caller's */
    bool lends_queue;
    uint32_t device_count; /* in the context */
    uint32_t position;     /* of this one */
    dcmi_cl_managed managed;
    bool can_map;       /* memory can be mapped, and stays where it is while it is */
    bool is_coherent;   /* what one side writes the other sees at once, in maps and in imported memory */
    bool has_addresses; /* buffers have an address that kernels can be given */
    _Atomic uint32_t peers[DCMI_CL_CARDS]; /* how often the peer of that position was enabled */
} dcmi_cl_device;

typedef enum dcmi_cl_source {
    DCMI_CL_BUFFER,   /* clCreateBuffer */
    DCMI_CL_PINNED,   /* the same, mapped for good */
    DCMI_CL_HOST,     /* of the system */
    DCMI_CL_SVM,      /* clSVMAlloc, with a buffer around it */
    DCMI_CL_USM,      /* Intel's unified shared memory */
    DCMI_CL_IMPORTED, /* the caller's, with a buffer around it */
} dcmi_cl_source;

typedef struct dcmi_cl_piece {
    dcmi_cl_source source;
    cl_mem mem;    /* for commands; NULL: there is none, or it is mapped for good */
    cl_mem buffer; /* what is released; the same as mem, but for memory that is mapped for good */
    void *host;    /* where the host can touch it at any time, or NULL */
    void *base;    /* what was allocated or mapped, of sources that give pointers; `base_bytes` of it */
    uint64_t base_bytes;
    uint64_t charged_bytes;
} dcmi_cl_piece;

static inline dcmi_cl_piece *
dcmi_cl_piece_of(const dcmem_extent *extent)
{
    return (dcmi_cl_piece *)(uintptr_t)extent->driver;
}

/* DCMEM_KIND_BIT of each kind that the device gives. Pure. */
uint32_t dcmi_cl_device_kinds(const dcmi_cl_device *device);

/* Whether memory of a kind is the card's, not the host's. Pure. */
bool dcmi_cl_device_pays(const dcmi_cl_device *device, dcmem_kind kind);

/* Tries which of the better ways the driver really has. Once, at the opening. */
void dcmi_cl_memory_probe(dcmi_cl_device *device);

dcmem_result dcmi_cl_memory_acquire(dcmem_extent *out, dcmi_cl_device *device, const dcmem_acquire *request);
dcmem_result dcmi_cl_memory_import(dcmem_extent *out, dcmi_cl_device *device, void *host, uint64_t bytes);
dcmem_result dcmi_cl_memory_release(dcmi_cl_device *device, const dcmem_extent *extent);

/* Waits for a command and forgets its event. `what` is for the detail. */
dcmem_result dcmi_cl_finish(cl_event event, const char *what);

/* One command, whose event is *out. At least one of the places is reached by commands. */
dcmem_result dcmi_cl_copy(cl_event *out, cl_command_queue queue, const dcmem_place *to, const dcmem_place *from,
                          uint64_t bytes);
dcmem_result dcmi_cl_fill(cl_event *out, cl_command_queue queue, const dcmem_place *to, uint64_t bytes,
                          const void *pattern, uint32_t pattern_bytes);

/* Whether commands reach a place. */
bool dcmi_cl_has_mem(const dcmem_place *place);

/* Where the host can touch a place at any time, or NULL. */
char *dcmi_cl_host_of(const dcmem_place *place);

/* The same by the host itself, of places that it can touch. */
void dcmi_cl_host_fill(char *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes);

/* Blocking, by the device's own queue. Flags as in the contract. */
dcmem_result dcmi_cl_map(void **out, dcmi_cl_device *device, cl_mem mem, uint64_t offset, uint64_t bytes,
                         uint32_t flags);
dcmem_result dcmi_cl_unmap(dcmi_cl_device *device, cl_mem mem, void *host);

/* A map that ends at once: where memory is mapped already, it makes one side's writes visible to the other. */
dcmem_result dcmi_cl_visit(dcmi_cl_device *device, cl_mem mem, uint64_t offset, uint64_t bytes, uint32_t flags);
#define DCMI_CL_TO_HOST   DCMEM_MAP_READ_BIT
#define DCMI_CL_TO_DEVICE (DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT) /* discards what the device has */

#endif
