/* floor.h: the floor under every allocator: a thread-local list of ready blocks for each size class.
 *
 * It has what a fast path cannot do without (a size class, a list, a way from address to class) and nothing else: no
 * statistics, no checks, no coalescing, nothing ever goes back. It shows what speed is left to gain and what memory a
 * pure size-class cache costs. */
#ifndef DCMEM_BENCH_FLOOR_H
#define DCMEM_BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>

/* Reserves address space; false, with errno, when there is none. May be called again. */
bool bench_floor_open(void);

/* Any size from 1 byte to 1 GiB; NULL when memory is short. */
void *bench_floor_allocate(size_t bytes);

/* From any thread. */
void bench_floor_free(void *address);

/* An ending thread leaves its ready blocks to the others. */
void bench_floor_thread_end(void);

#endif
