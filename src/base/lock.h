/* lock.h: one word that is a lock: it spins a little, then sleeps in the kernel.
 *
 * Critical sections here are tens to hundreds of nanoseconds; a default mutex convoys on those (measured: 0.7 to
 * 1.3 us with two threads), a spin of 200 before the futex does not. Ranks rise: a thread takes locks in the order of
 * enum dcmi_rank only. 0 is free, 1 taken, 2 taken and somebody sleeps. */
#ifndef DCMI_LOCK_H
#define DCMI_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they may be taken. */
enum dcmi_rank {
    DCMI_RANK_REGISTRY, /* backends; managers */
    DCMI_RANK_BUFFERS,  /* the slot table's free lists */
    DCMI_RANK_QUEUES,   /* callbacks, uses, or a buffer's slot; then the table of queues, a queue, records */
    DCMI_RANK_CACHES,   /* a pool's list of thread caches */
    DCMI_RANK_CACHE,    /* one cache, against its reclaim */
    DCMI_RANK_DEPOT,    /* one class of the depot */
    DCMI_RANK_REGION,   /* one region's slabs, TLSF and segments */
    DCMI_RANK_LEAF      /* taken last, and nothing after it */
};

#if defined(__clang__)
#define DCMI_CAPABILITY     __attribute__((capability("mutex")))
#define DCMI_REQUIRES(lock) __attribute__((requires_capability(lock)))
#define DCMI_ACQUIRES(...)  __attribute__((acquire_capability(__VA_ARGS__)))
#define DCMI_RELEASES(...)  __attribute__((release_capability(__VA_ARGS__)))
#define DCMI_GUARDED(lock)  __attribute__((guarded_by(lock)))
#define DCMI_UNCHECKED      __attribute__((no_thread_safety_analysis))
#else
#define DCMI_CAPABILITY
#define DCMI_REQUIRES(lock)
#define DCMI_ACQUIRES(...)
#define DCMI_RELEASES(...)
#define DCMI_GUARDED(lock)
#define DCMI_UNCHECKED
#endif

typedef struct DCMI_CAPABILITY dcmi_lock {
    _Atomic uint32_t word;
} dcmi_lock;

void dcmi_lock_wait(dcmi_lock *lock);
void dcmi_lock_wake(dcmi_lock *lock);

static inline void
dcmi_lock_take(dcmi_lock *lock) DCMI_ACQUIRES(lock) DCMI_UNCHECKED
{
    uint32_t free = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &free, 1, memory_order_acquire, memory_order_relaxed))
        dcmi_lock_wait(lock);
}

static inline void
dcmi_lock_drop(dcmi_lock *lock) DCMI_RELEASES(lock) DCMI_UNCHECKED
{
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
        dcmi_lock_wake(lock);
}

/* COVER begin: used in the child of a fork, which leaves no counts; tests/base/lock_test.c calls them */
static inline bool
dcmi_lock_is_taken(dcmi_lock *lock)
{
    return atomic_load_explicit(&lock->word, memory_order_relaxed) != 0;
}

/* In a child after fork: whoever held it is gone. */
static inline void
dcmi_lock_reset(dcmi_lock *lock)
{
    atomic_store_explicit(&lock->word, 0, memory_order_relaxed);
}
/* COVER end */

#endif
