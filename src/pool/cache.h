/* cache.h: one thread's free blocks of one pool: a magazine a class (after Bonwick and Adams, "Magazines and Vmem",
 * 2001; one array that sheds its older half instead of a loaded and a previous one).
 *
 * The owner takes from and gives to its magazines without a lock and without an atomic read-modify-write. Another
 * thread that is short of memory may empty them all the same, by this protocol:
 *
 *   owner:      busy := 1;  light fence;  if handle is the manager's: work;  busy := 0
 *   reclaimer:  (holding lock)  handle := hidden;  heavy fence;  wait until busy is 0;  work;  handle := the manager's
 *
 * The heavy fence (membarrier) makes every running thread pass a full barrier, so the light one is only a word to the
 * compiler: after it either the owner saw that and keeps out, or the reclaimer sees busy and waits. Builds with
 * DCMI_PORTABLE_FENCES make all four accesses sequentially consistent instead. While handle is hidden the owner works
 * under `lock`.
 * tests/pool/reclaim_model_test.c explores every interleaving.
 *
 *   published (handle set) --reclaim, exact peaks--> locked (handle hidden) --> published
 *   attached (identity set) --end of pool or thread--> detached (identity 0), attached again to a later pool
 */
#ifndef DCMI_CACHE_H
#define DCMI_CACHE_H

#include "base/fail.h"
#include "base/lock.h"
#include "base/thread.h"
#include "pool/class.h"
#include "pool/map.h"

#define DCMI_MAGAZINE_ROOM 73u

/* What a hit does to atomic words of its own is one instruction on x86-64, where a compiler makes two or three of an
 * atomic load and store. The owner is alone in writing, so no lock prefix is needed. */
#if defined(__x86_64__) && !defined(DCMI_PORTABLE_FENCES)
#define DCMI_HOT_ASM 1
#else
#define DCMI_HOT_ASM 0
#endif

/* Counts have one writer, the owner (or who has locked it out), and readers that want no more than a whole value. */
typedef _Atomic uint64_t dcmi_count;

/* A free block, and where its live mark stands, so that taking it needs no look into the map. */
typedef struct dcmi_entry {
    uint64_t address;
    _Atomic uint16_t *mark;
} dcmi_entry;

/* A tally sums live marks in its lower and counts their blocks in its upper bits: one add a hit. Tallies are added to
 * the totals and begin anew on the slow paths; `sequence` is odd meanwhile, so that a reader sees both or neither.
 *
 * What a block adds has the block's live mark in its lowest 16 bits, and comes out of one subtraction and one shift:
 * `room` is the block's size plus what a block without slack adds, in the class's units of slack.
 *
 * The tally of what was taken begins so that its sign changes with block DCMI_SAMPLE_EVERY, which the add tells for
 * nothing: the hit takes that block off again and goes the slow way, where it is timed; a reader waits for that.
 * That of what was given needs no test, because a magazine holds few blocks: between two slow paths no more can have
 * been given to it than were taken and fit into it. When the totals have passed a multiple of DCMI_SAMPLE_EVERY,
 * `limit` falls to the bottom until the next block that is given has been timed. */
typedef struct dcmi_totals {
    uint64_t blocks;
    uint64_t marks; /* sum of live marks: slack in the class's units, plus one a block */
} dcmi_totals;

typedef struct dcmi_magazine {
    _Atomic(dcmi_entry *) top; /* next free entry; NULL before the first block was kept here */
    dcmi_entry *limit;         /* where a give goes the slow way; NULL: blocks of this class were never kept here */
    dcmi_count taken;          /* tallies */
    dcmi_count given;

    /* The class's, here so that a hit touches one line; set when blocks begin to be kept. */
    uint64_t room;
    uint64_t inside;     /* bits of an address that no block of the class has */
    uint64_t mark_begin; /* where in a leaf its marks stand */
    uint8_t mark_shift;
    uint8_t slack_shift;
    uint8_t cap;            /* most blocks; 0: none are kept */
    _Atomic uint8_t is_due; /* the next block given is to be timed; seen by the owner before it is alone */
    _Atomic uint32_t sequence;
    _Alignas(64) dcmi_count totals[4]; /* blocks and marks taken, blocks and marks given */
    dcmi_entry bottom;                 /* address 0: what an empty magazine's top stands on */
    dcmi_entry entries[DCMI_MAGAZINE_ROOM];
} dcmi_magazine;

_Static_assert(sizeof(dcmi_magazine) == 1280, "whole cache lines, and heads that do not all fall on the same sets");

#define DCMI_SAMPLE_EVERY 1024u /* one hit in so many is timed: at 64 that alone cost 2 ns a hit */
#define DCMI_TALLY_BLOCKS 26u   /* bit from which blocks are counted */
#define DCMI_TALLY_MARKS  ((1ull << DCMI_TALLY_BLOCKS) - 1)
#define DCMI_TALLY_ONE    ((1ull << DCMI_TALLY_BLOCKS) + 1) /* a block without slack */
#define DCMI_TALLY_BEGIN  ((1ull << 63) - ((uint64_t)DCMI_SAMPLE_EVERY << DCMI_TALLY_BLOCKS)) /* of what was taken */

_Static_assert((DCMI_SAMPLE_EVERY + DCMI_MAGAZINE_ROOM + 1) * (uint64_t)DCMI_MARK_MOST < DCMI_TALLY_MARKS,
               "marks do not carry into the count");

struct dcmi_pool;

/* What a cache's handle is while its fast path is closed. Not 0: a caller that passes NULL must not get in. Its index
 * is that of no manager. */
#define DCMI_HANDLE_HIDDEN 0x9b05688c2b300000ull

/* One in so many small copies of the host's memory is timed, a prime, so that those which repeat in a pattern all have
 * their turn. Beside a large one, or a driver's, two clock reads are nothing: they are always timed. */
#define DCMI_COPY_TIMED_EVERY  61u
#define DCMI_COPY_ALWAYS_TIMED (256u << 10)

/* What a thread counts of its use of buffers, each under its name in the statistics. */
#define DCMI_CACHE_COUNTS(X)                                                                                           \
    X(accesses)                                                                                                        \
    X(copies_host_to_host)                                                                                             \
    X(copied_host_to_host_bytes)                                                                                       \
    X(copies_host_to_device)                                                                                           \
    X(copied_host_to_device_bytes)                                                                                     \
    X(copies_device_to_host)                                                                                           \
    X(copied_device_to_host_bytes)                                                                                     \
    X(copies_avoided)                                                                                                  \
    X(copies_avoided_bytes)                                                                                            \
    X(fills)                                                                                                           \
    X(filled_bytes)

/* What is remembered of the map. Nothing: no address lies near the base. */
typedef struct dcmi_leaf_place {
    uint64_t base;
    dcmi_leaf *leaf;
} dcmi_leaf_place;

typedef struct dcmi_cache {
    _Atomic uint64_t handle;
    _Atomic uint32_t busy;
    uint32_t arena;
    dcmi_leaf_place near;  /* learnt when a class is granted */
    dcmi_leaf_place far;   /* of the last block elsewhere: as a rule all large ones lie there */
    dcmi_magazine *recent; /* of the last give, perhaps the next one's; NULL before */

    _Alignas(64) dcmi_lock lock;
    uint32_t thread;
    const dcmi_map *map;
    const dcmi_class_table *table;
    struct dcmi_pool *pool;
    bool is_host; /* the pool's memory is the host's, and its driver this library's own with nobody before it */
    dcmi_count buffers_created;
    dcmi_count buffers_destroyed;
    _Atomic uint64_t identity;
    struct dcmi_cache *before, *after; /* in the pool's list */
    dcmi_class_set granted;            /* classes that may hold blocks, or did */
    uint64_t granted_bytes;            /* sum of cap * size over classes: the most this cache can hold */
    dcmi_count samples;                /* slow paths, some of which are timed */

    /* Tight policy: what the large region's flushes say. */
    dcmi_count large_takes; /* from the large region, ever */
    uint64_t flushed_at;    /* large_takes at the last flush */
    dcmi_count direct_left; /* large gives until caching is tried again; 0: caching */
    dcmi_count recycled_at; /* large blocks taken the slow way, of a class or direct, at the last recycling */
    uint64_t direct_span;   /* what direct_left began with */
    dcmi_count depot_hits;
    dcmi_count fit_hits;
    dcmi_count direct_takes; /* blocks of no class */
    dcmi_count direct_gives;
    dcmi_count direct_bytes_taken;
    dcmi_count direct_bytes_given;
    dcmi_count direct_slack_taken;
    dcmi_count direct_slack_given;

    _Alignas(64) dcmi_count copies_begun; /* of those that are not always timed */
#define DCMEM_X(name) dcmi_count name;
    DCMI_CACHE_COUNTS(DCMEM_X)
#undef DCMEM_X

    /* Index of a request + 1 -> its magazine. All of them the one for no class, which is always empty, until blocks of
     * a class are kept here; and what is too large or 0 bytes has an index too. A class that is in use serves requests
     * of its own size, whose index is the class: so this is also class + 1 -> magazine, where 0 is for no class. */
    _Alignas(64) dcmi_magazine *serving[DCMI_INDEX_COUNT + 1];
    _Alignas(64) dcmi_magazine none;
    dcmi_magazine magazines[DCMI_CLASS_COUNT];
} dcmi_cache;

static inline dcmi_magazine *
dcmi_cache_magazine(const dcmi_cache *cache, unsigned class)
{
    return (dcmi_magazine *)&cache->magazines[class];
}

/* The cache that this thread used last; never NULL: at first one that no handle matches. */
extern DCMI_THREAD_LOCAL dcmi_cache *dcmi_cache_current;

static inline uint64_t
dcmi_count_read(const dcmi_count *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void
dcmi_count_add(dcmi_count *count, uint64_t n)
{
#if DCMI_HOT_ASM
    __asm__("addq %[n], %[count]" : [count] "+m"(*(char(*)[8])count) : [n] "er"(n) : "cc");
#else
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
#endif
}

/* The thread's cache where it works for the root pool of that handle, as it mostly does; else NULL. For counts. */
static inline dcmi_cache *
dcmi_cache_for(uint64_t handle)
{
    dcmi_cache *cache = dcmi_cache_current;
    bool is_its = atomic_load_explicit(&cache->identity, memory_order_relaxed) == handle;
    return DCMI_LIKELY(is_its) ? cache : NULL;
}

/* For how many copies one that begins now is timed; 0: it is not. The first of a thread stands for itself, so that
 * never more are timed than there were. */
static inline uint32_t
dcmi_cache_copy_weight(dcmi_cache *cache)
{
    uint64_t before = dcmi_count_read(&cache->copies_begun);
    dcmi_count_add(&cache->copies_begun, 1);
    if (DCMI_LIKELY(before % DCMI_COPY_TIMED_EVERY))
        return 0;
    return before ? DCMI_COPY_TIMED_EVERY : 1;
}

static inline uint32_t
dcmi_magazine_count(const dcmi_magazine *magazine)
{
    const dcmi_entry *top = atomic_load_explicit(&magazine->top, memory_order_relaxed);
    return top ? (uint32_t)(top - magazine->entries) : 0;
}

static inline void
dcmi_magazine_set_count(dcmi_magazine *magazine, uint32_t count)
{
    atomic_store_explicit(&magazine->top, magazine->entries + count, memory_order_relaxed);
}

static inline uint32_t
dcmi_magazine_cap(const dcmi_magazine *magazine)
{
    return magazine->cap;
}

/* Whether a tally of what was taken shows a block that goes the slow way. */
static inline bool
dcmi_tally_is_over(uint64_t tally)
{
    return tally >> 63;
}

/* Slow paths: brings the tallies into the totals, with what else was taken and given. */
void dcmi_magazine_settle(dcmi_magazine *magazine, dcmi_totals taken, dcmi_totals given);

/* Whether the next hit that takes is one to be timed. */
static inline bool
dcmi_magazine_is_full(const dcmi_magazine *magazine)
{
    return dcmi_tally_is_over(dcmi_count_read(&magazine->taken) + DCMI_TALLY_ONE);
}

static inline bool
dcmi_magazine_is_due(const dcmi_magazine *magazine)
{
    return atomic_load_explicit(&magazine->is_due, memory_order_relaxed);
}

static inline void
dcmi_magazine_set_cap(dcmi_magazine *magazine, uint32_t cap)
{
    magazine->cap = (uint8_t)cap;
    magazine->limit = magazine->entries + cap;
    atomic_store_explicit(&magazine->is_due, 0, memory_order_relaxed);
}

/* After a fork, of a magazine whose owner is not there any more: it may have been stopped anywhere. */
void dcmi_magazine_mend(dcmi_magazine *magazine);

/* What was ever taken and given, consistent. Any thread. */
void dcmi_magazine_totals(dcmi_totals *out_taken, dcmi_totals *out_given, const dcmi_magazine *magazine);

static inline bool
dcmi_cache_enter(dcmi_cache *cache, uint64_t handle)
{
#ifdef DCMI_PORTABLE_FENCES
    /* In one order with the two of dcmi_cache_seize(). Not fences: ThreadSanitizer does not follow those. */
    atomic_store_explicit(&cache->busy, 1, memory_order_seq_cst);
    return DCMI_LIKELY(atomic_load_explicit(&cache->handle, memory_order_seq_cst) == handle);
#else
    atomic_store_explicit(&cache->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
#if DCMI_HOT_ASM
    bool is_open;
    __asm__("cmpq %[handle], %[of_cache]" : "=@cce"(is_open) : [of_cache] "m"(cache->handle), [handle] "r"(handle));
#else
    bool is_open = atomic_load_explicit(&cache->handle, memory_order_relaxed) == handle;
#endif
    atomic_signal_fence(memory_order_seq_cst);
    atomic_thread_fence(memory_order_acquire);
    return DCMI_LIKELY(is_open);
#endif
}

static inline void
dcmi_cache_leave(dcmi_cache *cache)
{
    atomic_store_explicit(&cache->busy, 0, memory_order_release);
}

/* Registers with threads' ends and with the kernel's membarrier, which takes microseconds while the process has one
 * thread and milliseconds when it has several: so before the library starts one. */
void dcmi_cache_prepare(void);

/* The calling thread's cache of a pool, attached if need be; it becomes the current one. Where the host has no memory
 * for one it is the pool's fallback, which has no owner and is only worked on under its lock. Never NULL. */
dcmi_cache *dcmi_cache_get(struct dcmi_pool *pool);
void dcmi_cache_attach_fallback(struct dcmi_pool *pool);

/* Exclusive use of the own cache's magazines on slow paths: busy if published, else the lock. */
bool dcmi_cache_own(dcmi_cache *cache);
void dcmi_cache_disown(dcmi_cache *cache, bool is_locked);

/* Exclusive use of anybody's: the owner is locked out until the end. */
void dcmi_cache_seize(dcmi_cache *cache);
void dcmi_cache_release(dcmi_cache *cache);

/* Lets a class that keeps none keep blocks, as many as its size and the pool's bound allow: its magazine is made ready
 * and requests are led to it. Not before the pool has memory: where its near leaf lies is not known until then. */
void dcmi_cache_grant(dcmi_cache *cache, unsigned class);

/* Ends that for an empty magazine. */
void dcmi_cache_revoke(dcmi_cache *cache, unsigned class);

/* Empties the cache into its pool's regions and takes it from the pool. The caller holds the registry's lock, so that
 * pool and thread do not end it both. */
void dcmi_cache_end(dcmi_cache *cache);

#endif
