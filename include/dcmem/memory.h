/* dcmem/memory.h: raw memory, for adaptors: blocks by address, that never move.
 *
 * On a backend with addresses of its own the address is the device's; elsewhere it is a name that only dcmem
 * understands (dcmem_raw_native() says what to give a kernel). On the CPU it is ordinary memory.
 *
 * free, realloc and the others refuse addresses that this manager did not give out, addresses inside a block, blocks
 * that are already free, and the memory of buffers. A double free by one thread is always caught until the block is
 * given out again; two threads that race to free one address may both succeed, except in a build with
 * -DDCMEM_HARDENED=ON, which catches that too.
 *
 * Calls that return an address return NULL on failure, and dcmem_last_detail() says why. */
#ifndef DCMEM_MEMORY_H
#define DCMEM_MEMORY_H

#include <dcmem/base.h>
#include <dcmem/result.h>

DCMEM_BEGIN

/* `bytes` > 0 of uninitialised memory, aligned to 64 bytes (from 4096 bytes up, where the size is a multiple of 4096,
 * to 4096 on the CPU). Free with dcmem_raw_free() of the same manager, from any thread.
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER, DCMEM_E_TOO_LARGE,
 * DCMEM_E_LIMIT, DCMEM_E_NO_MEMORY, DCMEM_E_NO_HOST_MEMORY, DCMEM_E_DEVICE_LOST. */
DCMEM_API void *dcmem_raw_allocate(dcmem_manager *manager, uint64_t bytes);

/* The same at a multiple of `alignment`, a power of two up to 1 GiB.
 * Threads: any. Errors: those of dcmem_raw_allocate(), DCMEM_E_MISALIGNED for what is no power of two. */
DCMEM_API void *dcmem_raw_allocate_aligned(dcmem_manager *manager, uint64_t bytes, uint64_t alignment);

/* `count` elements of `element_bytes`, all bytes zero.
 * Threads: any. Errors: those of dcmem_raw_allocate(), DCMEM_E_OVERFLOW. */
DCMEM_API void *dcmem_raw_allocate_zeroed(dcmem_manager *manager, uint64_t count, uint64_t element_bytes);

/* Changes a block's size and keeps the shorter size's bytes; the block may move. `address` NULL allocates. On failure
 * the block is untouched. Alignment beyond 64 bytes is not kept.
 * Threads: any. Errors: those of dcmem_raw_allocate() and dcmem_raw_free(). */
DCMEM_API void *dcmem_raw_reallocate(dcmem_manager *manager, void *address, uint64_t bytes);

/* NULL is allowed and does nothing.
 * Threads: any. Errors: DCMEM_E_UNKNOWN_ADDRESS, DCMEM_E_FOREIGN, DCMEM_E_INTERIOR, DCMEM_E_ALREADY_FREE,
 * DCMEM_E_STALE_MANAGER, DCMEM_E_NOT_A_MANAGER; DCMEM_E_CORRUPTED (it is free all the same; dcmem/guard.h). */
DCMEM_API dcmem_result dcmem_raw_free(dcmem_manager *manager, void *address);

/* How many bytes the block really has, at least what was asked for.
 * Threads: any. Errors: those of dcmem_raw_free(), DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_raw_usable_size(uint64_t *out, dcmem_manager *manager, const void *address);

/* Sets `bytes` from `address`, which may lie inside a live block; the range may not leave it.
 * Threads: any, not twice at once on one range. Errors: those of dcmem_raw_free() but DCMEM_E_INTERIOR,
 * DCMEM_E_OUT_OF_RANGE, the driver's own. */
DCMEM_API dcmem_result dcmem_raw_set(dcmem_manager *manager, void *address, int value, uint64_t bytes);

/* Copies between two ranges of live blocks of one manager; they may not overlap.
 * Threads and errors: as dcmem_raw_set(), DCMEM_E_INVALID_ARGUMENT for ranges that overlap. */
DCMEM_API dcmem_result dcmem_raw_copy(dcmem_manager *manager, void *to, const void *from, uint64_t bytes);

/* Copies from host memory into a live block, and out of one.
 * Threads and errors: as dcmem_raw_set(), DCMEM_E_INVALID_ARGUMENT for NULL. */
DCMEM_API dcmem_result dcmem_raw_write(dcmem_manager *manager, void *to, const void *host, uint64_t bytes);
DCMEM_API dcmem_result dcmem_raw_read(dcmem_manager *manager, void *host, const void *from, uint64_t bytes);

/* What a kernel is given for the block that holds `address`, from there to the block's end.
 * Threads: any. Errors: those of dcmem_raw_free() but DCMEM_E_INTERIOR, DCMEM_E_INVALID_ARGUMENT. */
DCMEM_API dcmem_result dcmem_raw_native(dcmem_native *out, dcmem_manager *manager, const void *address);

DCMEM_END
#endif
