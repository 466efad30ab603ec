/* side.h: where a buffer's two sides lie. All calls are for who holds the slot's lock, or is BRINGING, or owns it. */
#ifndef DCMI_SIDE_H
#define DCMI_SIDE_H

#include "buffer/carry.h"
#include "buffer/slot.h"

/* The pool of the device's side; of an imported buffer, which has none of its own, the root pool. */
dcmem_result dcmi_side_pool(dcmi_pool **out, const dcmi_slot *slot);

/* Makes slot->face and slot->is_flushed known. */
dcmem_result dcmi_side_know_face(dcmi_slot *slot);

/* Where the byte at `offset` lies on a side. The face is known; the host's side, where it is split, exists. */
dcmem_result dcmi_side_site(dcmi_site *out, const dcmi_slot *slot, dcmem_side side, uint64_t offset);

/* The same for who knows the pool already, from dcmi_side_pool(). On failure the site is no site. */
dcmem_result dcmi_side_site_in(dcmi_site *out, const dcmi_slot *slot, dcmi_pool *pool, dcmem_side side,
                               uint64_t offset);

/* Units in which the host's view and the device's are brought together; 1 where they are one. */
uint64_t dcmi_side_unit(const dcmi_slot *slot, const dcmi_pool *pool);

/* Tells a guard, where there is one, whose the slot's blocks are. The slot's buffer lives. */
void dcmi_side_label(const dcmi_slot *slot);

/* Overwrites a block with zero. Of a lost device: success, for nobody can read it. */
dcmem_result dcmi_block_scrub(dcmi_pool *pool, uint64_t address, dcmem_tag tag);

/* A block of host memory that shadows device memory, before it belongs to a slot. */
typedef struct dcmi_shadow {
    dcmi_pool *pool;
    uint64_t address; /* 0: none */
    uint64_t capacity;
} dcmi_shadow;

/* For memory of `pool`'s manager. */
dcmem_result dcmi_shadow_take(dcmi_shadow *out, dcmi_pool *pool, uint64_t bytes, uint64_t alignment);

/* `scrubs`: its bytes are wiped out first. dcmi_shadow_end() is for a buffer's end, whose result tells of damage that
 * guards find: DCMEM_E_CORRUPTED. */
void dcmi_shadow_give(const dcmi_shadow *shadow, bool scrubs);
dcmem_result dcmi_shadow_end(const dcmi_shadow *shadow, bool scrubs);

/* From and to a slot, which counts it. */
void dcmi_shadow_attach(dcmi_slot *slot, dcmi_shadow *shadow);
dcmi_shadow dcmi_shadow_detach(dcmi_slot *slot);

#endif
