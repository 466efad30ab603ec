/* device.h: one opened device: the backend's table with stubs for absent groups, and what the device said of itself.
 *
 * Every driver call of the library goes through here: here it gets its dcmem_call. No lock may be held. */
#ifndef DCMI_DEVICE_H
#define DCMI_DEVICE_H

#include <dcmem/backend.h>
#include <stdatomic.h>

/* Built-in backends, in the order in which they are listed. */
#define DCMI_BUILT_IN_BACKENDS(X) X(cpu) X(opencl) X(vulkan)

/* Names that are kept for backends which this version does not have: who asks for one is told so. */
#define DCMI_PLANNED_BACKENDS(X) X(cuda) X(hip) X(level_zero) X(metal)

#define DCMEM_X(name) extern const dcmem_backend dcmi_##name##_backend;
DCMI_BUILT_IN_BACKENDS(DCMEM_X)
#undef DCMEM_X

typedef struct dcmi_device {
    const dcmem_backend *registered; /* what was asked for */
    const dcmem_backend *backend;    /* the same, but where DCMEM_FAULTS puts a fault plan before it */
    dcmem_backend ops;               /* of `backend`, with stubs: never a NULL function */
    void *handle;
    bool is_lent;           /* the caller's own, with a queue that his work is on */
    bool is_own;            /* `backend` is one of this library's: nobody stands before it */
    bool is_counted;        /* the registry counts this device as a user of the backend */
    dcmem_device_info info; /* as of the opening; free bytes are asked anew */
    _Atomic uint64_t op_index;
} dcmi_device;

/* Looks the backend up (`driver` if not NULL, else `name`), checks the table, opens the device, asks its info and
 * checks that too. On success the backend counts one user more until dcmi_device_close(). */
dcmem_result dcmi_device_open(dcmi_device *device, const char *name, const dcmem_backend *driver,
                              const dcmem_open *options);
void dcmi_device_close(dcmi_device *device);

/* Of this device, which may have fewer capabilities than its backend. */
static inline bool
dcmi_device_has(const dcmi_device *device, uint64_t capability)
{
    return (device->info.capabilities & capability) == capability;
}

/* Whether its memory is the host's and its driver this library's own, with nobody before it: copying and filling are
 * then plain moves, which who has the addresses can make himself. */
static inline bool
dcmi_device_is_host(const dcmi_device *device)
{
    return device->backend == &dcmi_cpu_backend;
}

dcmem_result dcmi_device_info(dcmem_device_info *out, dcmi_device *device);
dcmem_result dcmi_device_acquire(dcmem_extent *out, dcmi_device *device, dcmem_tag tag, const dcmem_acquire *request);
dcmem_result dcmi_device_release(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent);
dcmem_result dcmi_device_copy(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, const dcmem_place *from,
                              uint64_t bytes);
dcmem_result dcmi_device_fill(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, uint64_t bytes,
                              const void *pattern, uint32_t pattern_bytes);
dcmem_result dcmi_device_map(void **out, dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent,
                             uint64_t offset, uint64_t bytes, uint32_t flags);
dcmem_result dcmi_device_unmap(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, void *host);
dcmem_result dcmi_device_flush(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, uint64_t offset,
                               uint64_t bytes);
dcmem_result dcmi_device_invalidate(dcmi_device *device, dcmem_tag tag, const dcmem_extent *extent, uint64_t offset,
                                    uint64_t bytes);
dcmem_result dcmi_device_import(dcmem_extent *out, dcmi_device *device, dcmem_tag tag, void *host, uint64_t bytes);

/* PEER: both devices are open ones of one backend. */
dcmem_result dcmi_device_peer_can(bool *out, dcmi_device *device, dcmi_device *peer);
dcmem_result dcmi_device_peer_enable(dcmi_device *device, dcmi_device *peer);
dcmem_result dcmi_device_peer_copy(dcmi_device *device, dcmem_tag tag, const dcmem_place *to, dcmi_device *peer,
                                   const dcmem_place *from, uint64_t bytes);

/* ASYNC, in queue.c. Opening one where there are none is DCMEM_E_UNSUPPORTED; the others are given what it gave. */
dcmem_result dcmi_device_queue_open(void **out, dcmi_device *device, const dcmem_native_context *native);
void dcmi_device_queue_close(dcmi_device *device, void *queue);
dcmem_result dcmi_device_enqueue_copy(uint64_t *out_value, dcmi_device *device, void *queue, const dcmem_place *to,
                                      const dcmem_place *from, uint64_t bytes);
dcmem_result dcmi_device_enqueue_fill(uint64_t *out_value, dcmi_device *device, void *queue, const dcmem_place *to,
                                      uint64_t bytes, const void *pattern, uint32_t pattern_bytes);
dcmem_result dcmi_device_queue_mark(uint64_t *out_value, dcmi_device *device, void *queue);
uint64_t dcmi_device_queue_completed(dcmi_device *device, void *queue);
dcmem_result dcmi_device_queue_wait(dcmi_device *device, void *queue, uint64_t value, uint64_t timeout_ns);

#endif
