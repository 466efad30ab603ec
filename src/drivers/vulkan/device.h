/* device.h: an open device: a card, a VkDevice and its queues; and the memory that it gives.
 *
 * A piece is what one acquire or import made: a VkDeviceMemory with one VkBuffer over it, or pages of the system. What
 * the host can see of it is mapped for its whole life: VkDeviceMemory is mapped once at most, so maps that nest would
 * have to be counted, and here none of them needs the driver. A piece never changes. */
#ifndef DCMI_VULKAN_DEVICE_H
#define DCMI_VULKAN_DEVICE_H

#include "base/lock.h"
#include "drivers/vulkan/card.h"

#define DCMI_VK_ALIGNMENT 4096u /* of all that is acquired, and what sizes are multiples of */

/* A VkQueue. Vulkan lets one thread at a time put work into it. */
typedef struct dcmi_vk_port {
    VkQueue queue;
    dcmi_lock lock;
} dcmi_vk_port;

typedef struct dcmi_vk_stream dcmi_vk_stream;
typedef struct dcmi_vk_range dcmi_vk_range;

/* Virtual memory of a device: pages.h. Zeroed where it has none. */
typedef struct dcmi_vk_pages {
    dcmi_lock turn;
    dcmi_lock lock;
    dcmi_vk_range *ranges;
    uint64_t page_bytes;   /* 0: there is none */
    uint64_t range_bytes;  /* the most that one buffer is made for */
    uint64_t tile_bytes;   /* of the buffers of larger ranges */
    uint64_t sparse_bytes; /* of buffers, now */
    uint32_t type_bits;    /* memory types that pages can lie in */
    VkFence fence;
    dcmi_vk_port own_port; /* where the other ports' queues cannot bind */
    dcmi_vk_port *port;
} dcmi_vk_pages;

typedef struct dcmi_vk_device {
    dcmi_vk_card *card;
    dcmi_vk_card own_card; /* of a caller's device that is nobody else's */
    VkDevice id;
    bool is_lent; /* with its one queue. What the caller enabled in it nobody can ask, so extensions are not used */
    uint32_t family;
    uint32_t port_count;
    dcmi_vk_port ports[DCMI_VK_PORTS];
    _Atomic uint32_t next_port; /* of those that queues are spread over */
    uint32_t type_bits;         /* memory types that buffers can lie in */
    uint32_t kinds;             /* DCMEM_KIND_BIT of each kind that it gives */
    bool has_addresses;
    bool has_timelines;
    bool can_import;
    bool can_share;
    atomic_bool lies_askew; /* memory begins at less aligned addresses than are asked for */
    dcmi_vk_pages pages;
    dcmi_lock turn; /* held for a blocking command, from its entry into `stream` to its end */
    dcmi_vk_stream *stream;
#define DCMEM_X(type, name, parameters) type(*name) parameters;
    DCMI_VK_DEVICE_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
} dcmi_vk_device;

typedef struct dcmi_vk_piece {
    VkBuffer buffer; /* NULL: pages of the system, or a page for maps */
    VkDeviceMemory memory;
    uint64_t memory_bytes;
    uint64_t offset; /* of the buffer in the memory */
    void *host;      /* where the host sees the buffer's beginning, or NULL */
    bool is_coherent;
    bool is_plain;  /* the host reads it as fast as its own, and needs no flush */
    bool is_shared; /* acquired to be exported */
    uint64_t address;
    uint32_t type;
    uint32_t heap;
    uint64_t charged_bytes;
    uint64_t maps; /* of a page, now; under the lock of pages */
    void *base;    /* pages of the system; of which `base_bytes` */
    uint64_t base_bytes;
} dcmi_vk_piece;

/* NULL for mapped pages, which have an address for their name. */
static inline dcmi_vk_piece *
dcmi_vk_piece_of(const dcmem_extent *extent)
{
    return (dcmi_vk_piece *)(uintptr_t)extent->driver;
}

/* The piece that a place of an extent lies in, and where in its memory the extent's byte `*offset` is: its own, or that
 * of the page that is mapped there (NULL: none is). */
const dcmi_vk_piece *dcmi_vk_piece_at(uint64_t *offset, dcmi_vk_device *device, const dcmem_extent *extent);

/* A buffer; `flags` as Vulkan has them. */
dcmem_result dcmi_vk_buffer_create(VkBuffer *out, const dcmi_vk_device *device, uint64_t bytes, uint32_t flags,
                                   uint32_t handle_type);
VkMemoryRequirements dcmi_vk_buffer_needs(const dcmi_vk_device *device, VkBuffer buffer, bool *out_alone);
uint64_t dcmi_vk_buffer_address(const dcmi_vk_device *device, VkBuffer buffer);

/* Memory without a buffer, for pages; ends with dcmi_vk_memory_end(). */
dcmem_result dcmi_vk_memory_page(dcmi_vk_piece **out, dcmi_vk_device *device, uint64_t bytes, dcmem_kind kind);
void dcmi_vk_memory_end(dcmi_vk_device *device, dcmi_vk_piece *piece);

/* Asks which memory types buffers can lie in, and which kinds that makes. Once, at the opening. */
dcmem_result dcmi_vk_memory_probe(dcmi_vk_device *device);

/* Whether memory of a kind that the device gives is seen by the host through flushes only. */
bool dcmi_vk_memory_needs_flush(const dcmi_vk_device *device);

dcmem_result dcmi_vk_memory_acquire(dcmem_extent *out, dcmi_vk_device *device, const dcmem_acquire *request);
void dcmi_vk_memory_release(dcmi_vk_device *device, const dcmem_extent *extent);
dcmem_result dcmi_vk_memory_import(dcmem_extent *out, dcmi_vk_device *device, void *host, uint64_t bytes);
dcmem_result dcmi_vk_memory_export(dcmem_ipc_handle *out, dcmi_vk_device *device, const dcmem_extent *extent);
dcmem_result dcmi_vk_memory_adopt(dcmem_extent *out, dcmi_vk_device *device, const dcmem_ipc_handle *handle);

/* Makes the host's writes visible to the device, or the device's to the host. */
dcmem_result dcmi_vk_memory_flush(dcmi_vk_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes);
dcmem_result dcmi_vk_memory_invalidate(dcmi_vk_device *device, const dcmem_extent *extent, uint64_t offset,
                                       uint64_t bytes);

#endif
