/* card.h: a device of OpenCL as the process knows it, however often it is open: what it is, and its budget.
 *
 *   1. A card's facts are constant from its finding on.
 *   2. Charged bytes never exceed the total. No driver here says in time that memory has ended, and one ends the
 *      process then: so it is the budget that says so. All open devices of a card share it.
 *
 * The platforms' devices are found once and stay. A context lent by the caller may be on a device that is not among
 * them, such as a part of one: that gets a card of its own. */
#ifndef DCMI_OPENCL_CARD_H
#define DCMI_OPENCL_CARD_H

#include "drivers/opencl/library.h"

#include <stdatomic.h>

#define DCMI_CL_PLATFORMS 16u
#define DCMI_CL_CARDS     64u

typedef struct dcmi_cl_shared_memory {
    DCMI_CL_SHARED_MEMORY_FUNCTIONS(DCMI_CL_POINTER)
} dcmi_cl_shared_memory;

/* The context of all cards of a platform, there while one of them is open: so that its devices reach each other's
 * memory. */
typedef struct dcmi_cl_platform {
    cl_platform_id id;
    uint32_t card_count;
    cl_device_id devices[DCMI_CL_CARDS];
    cl_context context; /* with its users, under the lock of card.c */
    uint32_t context_users;
} dcmi_cl_platform;

typedef struct dcmi_cl_card {
    cl_device_id id;
    dcmi_cl_platform *platform; /* NULL: the caller's */
    char name[96];
    char driver_version[48];
    char pci[16];
    uint8_t uuid[16];
    uint64_t total_bytes;
    uint64_t largest_bytes;
    uint64_t alignment; /* of sub-buffers */
    uint64_t cache_line_bytes;
    uint64_t cache_bytes;
    uint64_t svm;        /* CL_DEVICE_SVM_* */
    bool is_unified;     /* its memory is the host's */
    bool is_processor;   /* the host's own */
    bool has_addresses;  /* says that it has cl_ext_buffer_device_address */
    bool has_host_usm;   /* cl_intel_unified_shared_memory, memory of the host */
    bool has_shared_usm; /* and memory that moves between host and device */
    dcmi_cl_shared_memory usm;
    _Atomic uint64_t charged_bytes;
} dcmi_cl_card;

/* Finds the cards when it is first called; later it says the same again. Errors: DCMEM_E_UNAVAILABLE. */
dcmem_result dcmi_cl_cards_count(uint32_t *out);

/* After a count; `index` below it. */
dcmi_cl_card *dcmi_cl_card_at(uint32_t index);

/* The card of a caller's device, or NULL. */
dcmi_cl_card *dcmi_cl_card_of(cl_device_id id);

/* Fills a zeroed card. False when the device cannot be used: too old, not available, or without memory. */
bool dcmi_cl_card_read(dcmi_cl_card *card, cl_platform_id platform, cl_device_id id);

/* The context of the card's platform, one user more, until dcmi_cl_card_leave(). The driver's errors. */
dcmem_result dcmi_cl_card_enter(cl_context *out, dcmi_cl_card *card);
void dcmi_cl_card_leave(dcmi_cl_card *card);

/* Pays for memory. Errors: DCMEM_E_NO_MEMORY. */
dcmem_result dcmi_cl_card_charge(dcmi_cl_card *card, uint64_t bytes);
void dcmi_cl_card_discharge(dcmi_cl_card *card, uint64_t bytes);

/* For tests, while no device is open: what was found is found anew. */
void dcmi_cl_cards_forget(void);

#endif
