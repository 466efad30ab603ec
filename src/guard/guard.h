/* guard.h: what stands between the pool and those who ask it for blocks: nothing, or red zones, poison and quarantine.
 *
 * A guarded block is longer than its owner knows: what the pool calls a block holds a zone, the owner's bytes, and a
 * zone. All above this layer take, give and find blocks through here and see the owner's addresses and sizes only;
 * where such an address lies for the driver the pool says as before. Without a guard every call here is the pool's.
 *
 *     the pool's block   | gap | zone | the owner's bytes | gap | zone | what is left |
 *                                     ^ address, aligned  ^ to a unit that host and device see as one
 */
#ifndef DCMI_GUARD_H
#define DCMI_GUARD_H

#include "guard/settings.h"
#include "pool/pool.h"

typedef struct dcmi_guard dcmi_guard;

/* ---- For blocks ---- */

/* As dcmi_pool_take(), dcmi_pool_give() and dcmi_pool_find(), which here refuses other holders' blocks. A give that
 * finds damage gives all the same and returns DCMEM_E_CORRUPTED. */
uint64_t dcmi_guard_take(dcmi_pool *pool, uint64_t bytes, uint64_t alignment, unsigned holder);
dcmem_result dcmi_guard_give(dcmi_pool *pool, uint64_t address, unsigned holder);
dcmem_result dcmi_guard_find(dcmi_block *out, dcmi_pool *pool, uint64_t address, unsigned holder);

/* As dcmi_guard_give(), for a call whose result speaks of something else: damage is told later. */
dcmem_result dcmi_guard_drop(dcmi_pool *pool, uint64_t address, unsigned holder);

/* Damage that a give returned is not told by the call it was for, but by a later one. */
void dcmi_guard_tell_later(dcmi_pool *pool);

/* As dcmi_guard_find(), for an address that must be the block's first. */
dcmem_result dcmi_guard_find_start(dcmi_block *out, dcmi_pool *pool, uint64_t address, unsigned holder);

/* Whether a block of `capacity` serves for `bytes` as it is, of those that would fit. A guarded one has one size. */
bool dcmi_guard_fits(const dcmi_pool *pool, uint64_t capacity, uint64_t bytes);

/* Says whose the block at `address` is. */
void dcmi_guard_label(dcmi_pool *pool, uint64_t address, dcmem_buffer *buffer, dcmem_tag tag, bool is_host_side);

/* ---- For managers ---- */

/* Makes a guard for a manager that is about to be made; *out is NULL where the settings ask for none. The manager's
 * out-of-memory callback becomes the guard's, which lets go of what it holds back before it asks the user's. */
dcmem_result dcmi_guard_create(dcmi_guard **out, const dcmi_guard_settings *settings, dcmem_out_of_memory out_of_memory,
                               void *user);
bool dcmi_guard_out_of_memory(void *guard, dcmem_manager *manager, uint64_t bytes_needed, uint32_t attempt);

/* For all of these NULL is allowed. */

/* Lets go of all that is held back. */
void dcmi_guard_flush(dcmi_guard *guard);

/* Before everything of the manager ends: looks at all blocks, lets go of what is held back, and logs the leaks where
 * that is asked for. From then on gives look at nothing. DCMEM_E_CORRUPTED for damage that was not told yet. */
dcmem_result dcmi_guard_end(dcmi_guard *guard, bool tells_leaks);

/* After it: whether all blocks are gone, and with them the records, or all goes on as before. */
void dcmi_guard_begin(dcmi_guard *guard, bool is_empty);

void dcmi_guard_destroy(dcmi_guard *guard);

/* DCMEM_E_INTERNAL where its own books are wrong. */
dcmem_result dcmi_guard_check_books(dcmi_guard *guard);

#endif
