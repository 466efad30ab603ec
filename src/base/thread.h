/* thread.h: what the library remembers of each thread: a number, its caches, its spare buffer slots, its last failure.
 *
 * Three initial-exec pointers are all the library has of static thread-local storage, so that it can be opened with
 * dlopen into a process that has little left. The struct itself is mapped on the thread's first slow path or failure
 * and ends with the thread. */
#ifndef DCMI_THREAD_H
#define DCMI_THREAD_H

#include <dcmem/result.h>
#include <stdint.h>

#define DCMI_THREAD_SLOTS  128u
#define DCMI_THREAD_CACHES 65536u

struct dcmi_cache;

typedef struct dcmi_thread {
    uint32_t number;     /* small, from 0; reused after a thread's end */
    uint32_t transfers;  /* copies that this thread runs for buffers now, by buffer/slot.c */
    dcmem_detail detail; /* by base/fail.c */
    /* Beside its array, and not where a cache, which begins with a page as this does, has the word that every hit
     * stores to: processors that compare low bits of addresses first make such a load wait for such a store. */
    uint32_t slot_count;
    uint64_t slots[DCMI_THREAD_SLOTS]; /* free buffer slots: what their next handles will be, by buffer/slot.c */
    uint32_t cache_high;               /* entries from here on were never used */
    struct dcmi_cache *caches[DCMI_THREAD_CACHES]; /* by manager index, by pool/cache.c */
} dcmi_thread;

#define DCMI_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec"), visibility("hidden")))

extern DCMI_THREAD_LOCAL dcmi_thread *dcmi_thread_current;

/* The thread's last failure, by base/fail.c: in its struct or a constant; NULL before the first. */
extern DCMI_THREAD_LOCAL const dcmem_detail *dcmi_thread_detail;

/* The calling thread's struct, made if need be; NULL with the detail written when the host has no memory. */
dcmi_thread *dcmi_thread_get(void);

/* The same, but NULL leaves the detail alone. */
dcmi_thread *dcmi_thread_try(void);

/* A number of the calling thread for choosing shards; never fails. */
uint32_t dcmi_thread_number(void);

/* Called in the ending thread, in rising order of `level` from 0 to 3. */
typedef void (*dcmi_thread_end_sink)(dcmi_thread *thread);
void dcmi_thread_on_end(unsigned level, dcmi_thread_end_sink sink);

#endif
