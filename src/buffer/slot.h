/* slot.h: what stands behind a buffer's handle: a slot of one table for the whole process.
 *
 * A handle's 64 bits are {generation : 32, slot index + 1 : 32}. The table is reserved address space that is never
 * given back, so any 64 bits can be looked up: what is no live buffer is an error, not a crash. A generation is odd
 * while a buffer lives in the slot and even while none does; it only rises, and a slot whose generation would wrap is
 * never used again. Generations begin above 0xffff: an ordinary address of the process, whose high bits are few, can
 * therefore never be a handle.
 *
 * A slot is two lines: the hot one here, which is all that create and destroy touch, and `dcmi_more`, touched when a
 * buffer is used for anything else. The word is all of the synchronisation:
 *
 *     generation : 32 | use : 27 | CAREFUL | ENDED | WAITED | BRINGING | LOCKED
 *
 *   LOCKED    somebody changes the slot: for some hundred nanoseconds, calling nothing that could wait
 *   BRINGING  a copy runs for somebody, who alone may touch the states of the bytes; LOCKED is free meanwhile
 *   WAITED    somebody sleeps until BRINGING ends or accesses end
 *   ENDED     (generation even) it was the manager's end that ended the buffer
 *   CAREFUL   there is work to do before the buffer may end: destroy must come with the lock
 *   use       open accesses and pins: they keep destroy and resize away
 *
 *            create                        lock/unlock, begin/end
 *     free ----------> live, use 0 <------------------------------> live, LOCKED / BRINGING / use > 0
 *      ^                   |
 *      +---- destroy ------+   one compare-and-swap from exactly {generation, 0}: of several threads one succeeds
 *
 * Rules: every field is the locker's, but (1) who wins destroy's compare-and-swap owns the slot; (2) `bytes` and
 * `manager` are also read without the lock, and the word compared afterwards; (3) with BRINGING set, ranges, accesses
 * and blocks change only by the hand that set it. Whoever has set BRINGING in its own thread never waits for another's:
 * a driver or log sink that calls back gets DCMEM_E_BUSY, not a deadlock. */
#ifndef DCMI_SLOT_H
#define DCMI_SLOT_H

#include "base/fail.h"
#include "base/thread.h"
#include "buffer/range.h"
#include "pool/pool.h"
#include "queue/queue.h"

_Static_assert(sizeof(void *) == 8, "a handle needs 64 bits");

#define DCMI_WORD_LOCKED   (1ull << 0)
#define DCMI_WORD_BRINGING (1ull << 1)
#define DCMI_WORD_WAITED   (1ull << 2)
#define DCMI_WORD_ENDED    (1ull << 3)
#define DCMI_WORD_CAREFUL  (1ull << 4)
#define DCMI_WORD_USE      (1ull << 5) /* one of it */
#define DCMI_WORD_USE_MOST ((1ull << 27) - 1)

#define DCMI_GENERATION_FIRST 0x10001u
#define DCMI_GENERATION_LAST  0xfffffffdu /* the slot is retired after it */

/* Where a buffer's bytes are, of which nothing is known before they are first used. */
typedef enum dcmi_face {
    DCMI_FACE_UNKNOWN,
    DCMI_FACE_SPLIT,  /* the host side is memory of its own */
    DCMI_FACE_SHARED, /* one memory, that the host can touch at any time */
    DCMI_FACE_MAPPED  /* one memory, that the host must map for each access */
} dcmi_face;

/* What destroying such a buffer has to look after; 0: nothing but the block. */
#define DCMI_TRAIT_KIND     (1u << 0) /* not of the root pool */
#define DCMI_TRAIT_SCRUB    (1u << 1)
#define DCMI_TRAIT_IMPORTED (1u << 2)
#define DCMI_TRAIT_TAGGED   (1u << 3)
#define DCMI_TRAIT_MORE     (1u << 4) /* its dcmi_more is in use */
#define DCMI_TRAIT_HOST     (1u << 5) /* it has a block for its host side */

#define DCMI_STATE_RANGES 7 /* dcmi_slot.state: the states are in more->ranges */

typedef struct dcmi_slot {
    _Alignas(64) _Atomic uint64_t word;
    _Atomic uint64_t manager;
    _Atomic uint64_t bytes;
    uint64_t address; /* the block's; of a free slot in the common list: the next one's index */
    uint32_t traits;
    uint16_t flags;  /* DCMEM_BUFFER_* */
    uint8_t face;    /* dcmi_face */
    bool is_flushed; /* the host's view of the memory is not coherent with the device's */
    uint8_t kind;
    uint8_t tag;
    uint8_t alignment_shift;
    uint8_t state; /* of every byte, or DCMI_STATE_RANGES */
    int32_t priority;
    uint8_t unused[16];
} dcmi_slot;

_Static_assert(sizeof(dcmi_slot) == 64, "create and destroy touch one cache line");

/* One open access; or one that its user has ended while work of a queue still does what it was opened for. */
typedef struct dcmi_open {
    uint64_t ticket; /* 0: the entry is free, and `begin` is the next free one's index + 1 */
    uint64_t begin, end;
    dcmi_use use; /* .queue 0: of no queue; neither batch nor value: its user has not ended it */
    union {
        void *mapped;          /* by the driver, for this access */
        const dcmi_rows *rows; /* has_rows: what of [begin, end) it is about; on the heap */
    };
    uint8_t operation;
    uint8_t side;
    uint8_t own;        /* dcmi_coherence_end()'s */
    uint8_t is_by_hand; /* nobody touches the memory through it */
    bool has_rows;      /* nobody maps it, then */
    uint8_t reserved[3];
} dcmi_open;

#define DCMI_OPENS_INSIDE  2u
#define DCMI_RANGES_INSIDE 5u /* what the first part of a buffer needs */

typedef struct dcmi_more {
    _Alignas(64) dcmi_pool *host_pool; /* of the host side's block */
    uint64_t host_address;
    uint64_t host_capacity;
    dcmi_ranges ranges;
    dcmi_open *opens;
    uint32_t open_capacity;
    uint32_t open_spare; /* first free entry's index + 1 */
    uint32_t readers;
    uint32_t writers; /* that exclude others */
    uint32_t sharers; /* no-overwrite */
    uint32_t parts;   /* of all open accesses: dcmi_open_parts() */
    uint32_t pins;
    uint32_t reserved;
    uint64_t tickets; /* given out, by this slot, ever */
    uint64_t words_inside[DCMI_RANGES_INSIDE];
    dcmi_open opens_inside[DCMI_OPENS_INSIDE];
    dcmem_extent imported;
} dcmi_more;

_Static_assert(sizeof(dcmi_more) == 320, "five cache lines, most of which stay untouched");

typedef struct dcmi_slot_table {
    _Atomic uint32_t capacity; /* 0 before the first buffer */
    dcmi_slot *slots;
    dcmi_more *more;
    uint64_t secret; /* differs from process to process */
} dcmi_slot_table;

extern dcmi_slot_table dcmi_slots __attribute__((visibility("hidden")));

/* ---- Handles ---- */

static inline uint32_t
dcmi_handle_generation(const dcmem_buffer *buffer)
{
    return (uint32_t)((uintptr_t)buffer >> 32);
}

/* The slot that the handle names, or NULL where there is none; whether its buffer lives is in the word. */
static inline dcmi_slot *
dcmi_handle_slot(const dcmem_buffer *buffer)
{
    uint32_t index = (uint32_t)(uintptr_t)buffer - 1u;
    if (DCMI_UNLIKELY(index >= atomic_load_explicit(&dcmi_slots.capacity, memory_order_acquire)))
        return NULL;
    return &dcmi_slots.slots[index];
}

/* Whether a generation is that of a live buffer, and not its slot's last. Rotated, odd numbers are the upper half. */
static inline bool
dcmi_generation_has_next(uint32_t generation)
{
    return (generation >> 1 | generation << 31) - (1u << 31) < DCMI_GENERATION_LAST >> 1;
}

static inline uint32_t
dcmi_word_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint64_t
dcmi_word_use(uint64_t word)
{
    return (word & UINT32_MAX) / DCMI_WORD_USE;
}

/* Whether the word is that of the handle's live buffer. */
static inline bool
dcmi_word_is(uint64_t word, const dcmem_buffer *buffer)
{
    return dcmi_word_generation(word) == dcmi_handle_generation(buffer) && (dcmi_handle_generation(buffer) & 1);
}

static inline uint32_t
dcmi_slot_index(const dcmi_slot *slot)
{
    return (uint32_t)(slot - dcmi_slots.slots);
}

static inline dcmem_buffer *
dcmi_slot_handle(const dcmi_slot *slot, uint32_t generation)
{
    return (dcmem_buffer *)(uintptr_t)((uint64_t)generation << 32 | (dcmi_slot_index(slot) + 1));
}

static inline dcmi_more *
dcmi_slot_more(const dcmi_slot *slot)
{
    return &dcmi_slots.more[dcmi_slot_index(slot)];
}

static inline uint64_t
dcmi_slot_bytes(const dcmi_slot *slot)
{
    return atomic_load_explicit(&slot->bytes, memory_order_acquire);
}

static inline dcmem_manager *
dcmi_slot_manager(const dcmi_slot *slot)
{
    return (dcmem_manager *)(uintptr_t)atomic_load_explicit(&slot->manager, memory_order_acquire);
}

/* Says why a handle is refused: its low half, or its generation against the slot's. */
DCMI_COLD dcmem_result dcmi_handle_refuse(const dcmem_buffer *buffer);

/* DCMEM_OK for that of a live buffer. */
static inline dcmem_result
dcmi_handle_check(const dcmem_buffer *buffer)
{
    const dcmi_slot *slot = dcmi_handle_slot(buffer);
    if (slot && dcmi_word_is(atomic_load_explicit(&slot->word, memory_order_acquire), buffer))
        return DCMEM_OK;
    return dcmi_handle_refuse(buffer);
}

/* ---- Taking and giving slots ---- */

/* The handle that the next buffer will have; the thread has one. */
static inline dcmem_buffer *
dcmi_slot_pop(dcmi_thread *thread)
{
    return (dcmem_buffer *)(uintptr_t)thread->slots[--thread->slot_count];
}

/* Its slot. */
static inline dcmi_slot *
dcmi_slot_popped(const dcmem_buffer *buffer)
{
    return &dcmi_slots.slots[(uint32_t)(uintptr_t)buffer - 1u];
}

/* Makes it a live buffer: the last of the stores. `flags`: none or CAREFUL. */
static inline void
dcmi_slot_publish(dcmi_slot *slot, const dcmem_buffer *buffer, uint64_t flags)
{
    uint64_t word = ((uintptr_t)buffer & ~(uint64_t)UINT32_MAX) | flags;
    atomic_store_explicit(&slot->word, word, memory_order_release);
}

/* Fills the thread's spare slots; afterwards it has at least one, or the result says why not. */
dcmem_result dcmi_slot_refill(dcmi_thread *thread);

/* The handle that the buffer after `buffer` in its slot will have, unless the slot is retired. */
static inline uint64_t
dcmi_slot_after(const dcmem_buffer *buffer)
{
    return (uintptr_t)buffer + (2ull << 32);
}

/* Gives a slot back whose word says that no buffer lives there: for the next one, or retired where its generations are
 * used up. `thread` may be NULL. */
void dcmi_slot_give(dcmi_slot *slot, dcmi_thread *thread);

/* Gives back a handle from dcmi_slot_pop() that was not published. */
void dcmi_slot_unpop(dcmem_buffer *buffer, dcmi_thread *thread);

/* Visits every slot that was ever used. */
void dcmi_slot_each(void (*visit)(dcmi_slot *slot, void *user), void *user);

/* ---- Locking ---- */

/* A slot that the caller holds. */
typedef struct dcmi_locked {
    dcmi_slot *slot;
    uint64_t word; /* without LOCKED */
} dcmi_locked;

/* From `word`, as it was seen just now, to the same LOCKED. */
static inline bool
dcmi_slot_try(dcmi_slot *slot, uint64_t word)
{
    return !(word & DCMI_WORD_LOCKED) &&
           atomic_compare_exchange_strong_explicit(&slot->word, &word, word | DCMI_WORD_LOCKED, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Locks the slot of a live buffer, whoever may be BRINGING. */
dcmem_result dcmi_slot_lock(dcmi_locked *out, const dcmem_buffer *buffer);

/* The same, but at once or not at all; without a word of why not. */
static inline bool
dcmi_slot_try_lock(dcmi_locked *out, const dcmem_buffer *buffer)
{
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    uint64_t word = slot ? atomic_load_explicit(&slot->word, memory_order_acquire) : 0;
    if (!slot || !dcmi_word_is(word, buffer) || !dcmi_slot_try(slot, word))
        return false;
    *out = (dcmi_locked){slot, word};
    return true;
}

/* As dcmi_slot_lock(), and waits until nobody is BRINGING; DCMEM_E_BUSY where this thread itself is in the midst of
 * that, for whatever buffer. */
dcmem_result dcmi_slot_lock_still(dcmi_locked *out, const dcmem_buffer *buffer);

/* Gives the lock back with the word as `locked` says; wakes those who wait when there is news for them. */
void dcmi_slot_unlock(const dcmi_locked *locked, bool is_news);

/* The same, where there is no news for anybody. */
static inline void
dcmi_slot_leave(dcmi_locked locked)
{
    atomic_store_explicit(&locked.slot->word, locked.word, memory_order_release);
}

/* Gives the lock back and sleeps until there is news, or until `timeout_ns` are over. The lock is not held then. */
void dcmi_slot_sleep(const dcmi_locked *locked, uint64_t timeout_ns);

/* From lock held to BRINGING, and back to lock held. Between them the caller calls drivers. */
dcmem_result dcmi_slot_bring(dcmi_locked *locked);
void dcmi_slot_brought(dcmi_locked *locked);

/* Marks the slot as nobody's: the caller owns it from then on. */
void dcmi_slot_end(const dcmi_locked *locked, bool by_manager);

/* NULL, or the broken invariant of a live buffer's slot. */
const char *dcmi_slot_check(const dcmi_locked *locked);

/* ---- More ---- */

/* The slot's dcmi_more, made ready if it was not in use. */
dcmi_more *dcmi_slot_ready_more(dcmi_slot *slot);

/* The ranges that the access's end may cut out of others: 0 where it changes nothing, or all bytes alike. */
static inline uint64_t
dcmi_open_parts(const dcmi_slot *slot, const dcmi_open *open)
{
    if (!dcmi_operation_writes((dcmi_operation)open->operation))
        return 0;
    if (open->has_rows)
        return dcmi_rows_count(open->rows);
    return !(open->begin == 0 && open->end == dcmi_slot_bytes(slot));
}

/* Moves the list of open accesses into a larger one, from dcmi_slot_realloc(); what it was in is freed. */
void dcmi_more_move_opens(dcmi_more *more, dcmi_open *opens, uint32_t capacity);

/* Frees what it has on the heap. */
void dcmi_more_fini(dcmi_more *more);

/* Where arrays that outgrow a slot live; tests replace it to see what happens without memory. As realloc(). */
extern void *(*dcmi_slot_realloc)(void *memory, size_t bytes) __attribute__((visibility("hidden")));

#endif
