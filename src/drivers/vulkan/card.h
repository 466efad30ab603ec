/* card.h: a physical device of Vulkan as the process knows it, however often it is open: what it is, and its budget.
 *
 *   1. A card's facts are constant from its finding on.
 *   2. Of no heap is more charged than it has. Drivers need not enforce their heaps, and the one that runs without a
 *      GPU does not: so it is the budget that says when memory has ended. All open devices of a card share it.
 *
 * The cards are found once, in an instance of our own that stays. A caller's instance shows the same devices under
 * other handles: what is one device is known by its UUID. */
#ifndef DCMI_VULKAN_CARD_H
#define DCMI_VULKAN_CARD_H

#include "drivers/vulkan/library.h"

#include <stdatomic.h>

#define DCMI_VK_CARDS 16u
#define DCMI_VK_PORTS 8u

#define DCMI_VK_NO_FAMILY UINT32_MAX

/* What every buffer can be used for. */
#define DCMI_VK_USAGE                                                                                                  \
    (VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |        \
     VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_INDEX_BUFFER_BIT | VK_BUFFER_USAGE_VERTEX_BUFFER_BIT |       \
     VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT)

/* Extensions that are used where they are there. Name in dcmi_vk_card, name in Vulkan. */
#define DCMI_VK_EXTENSIONS(X)                                                                                          \
    X(has_host_memory, "VK_EXT_external_memory_host")                                                                  \
    X(has_fd_memory, "VK_KHR_external_memory_fd")                                                                      \
    X(has_memory_budget, "VK_EXT_memory_budget")                                                                       \
    X(has_maintenance4, "VK_KHR_maintenance4") /* asked for the largest buffer */                                      \
    X(has_pci, "VK_EXT_pci_bus_info")                                                                                  \
    X(has_address_extension, "VK_KHR_buffer_device_address") /* part of Vulkan from 1.2 on, as is the next */          \
    X(has_timeline_extension, "VK_KHR_timeline_semaphore")

typedef struct dcmi_vk_card {
    VkPhysicalDevice id; /* in our instance */
    char name[96];
    char driver_version[48];
    char pci[16];
    uint8_t uuid[VK_UUID_SIZE];
    uint8_t driver_uuid[VK_UUID_SIZE];
    VkPhysicalDeviceMemoryProperties memory;
    uint64_t largest_bytes;
    uint64_t atom_bytes;   /* of flushes; 0: not a unit that the contract knows, and no such memory is used */
    uint64_t import_bytes; /* what imported pointers and sizes are multiples of */
    uint32_t family;       /* of queues that can transfer */
    uint32_t queue_count;
    uint32_t sparse_family; /* of queues that bind sparse buffers; DCMI_VK_NO_FAMILY: there are no such buffers */
    uint64_t sparse_bytes;  /* of all sparse buffers of a device together */
    uint64_t buffer_bytes;  /* of one buffer of any sort */
    bool is_unified;        /* its memory is the host's */
    bool has_addresses;     /* buffers have addresses */
    bool has_timelines;     /* semaphores can be numbers */
    bool can_share;         /* buffers can be exported and imported */
    bool shares_dedicated;  /* and must then have memory for themselves */
#define DCMEM_X(field, name) bool field;
    DCMI_VK_EXTENSIONS(DCMEM_X)
#undef DCMEM_X
    _Atomic uint64_t charged_bytes[VK_MAX_MEMORY_HEAPS];
} dcmi_vk_card;

/* Finds the cards when it is first called; later it says the same again. Errors: DCMEM_E_UNAVAILABLE. */
dcmem_result dcmi_vk_cards_count(uint32_t *out);

/* After a count; `index` below it. */
dcmi_vk_card *dcmi_vk_card_at(uint32_t index);

/* The card of a UUID, or NULL. */
dcmi_vk_card *dcmi_vk_card_of(const uint8_t uuid[VK_UUID_SIZE]);

/* Fills a zeroed card. False when the device cannot be used: too old, without memory, or without a queue. */
bool dcmi_vk_card_read(dcmi_vk_card *card, VkPhysicalDevice id);

/* The best memory type for a kind among those of `bits`; -1: there is none. Pure. */
int dcmi_vk_card_type(const dcmi_vk_card *card, uint32_t bits, dcmem_kind kind);

/* What other processes left free of a heap, as far as the driver tells; never more than its budget has. */
uint64_t dcmi_vk_card_free(const dcmi_vk_card *card, uint32_t heap);

/* Pays for memory. Errors: DCMEM_E_NO_MEMORY. */
dcmem_result dcmi_vk_card_charge(dcmi_vk_card *card, uint32_t heap, uint64_t bytes);
void dcmi_vk_card_discharge(dcmi_vk_card *card, uint32_t heap, uint64_t bytes);

/* For tests, while no device is open: what was found is found anew. */
void dcmi_vk_cards_forget(void);

#endif
