/* slot.c: the table of slots, its free lists, and the word's protocol. See slot.h.
 *
 *   lock guards: spare, spare_count; `high` rises under it.
 *
 * Free slots are in threads' own lists (dcmi_thread.slots) or in the common one, linked by their `address`. They go
 * between the two by batches, so that threads which only create, and threads which only destroy, meet rarely. */
#include "buffer/slot.h"

#include "base/lock.h"
#include "base/os.h"
#include "buffer/life.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SLOTS  (1u << 26)
#define LEAST_SLOTS (1u << 16)
#define BATCH       (DCMI_THREAD_SLOTS / 2)
#define SPINS       64u

dcmi_slot_table dcmi_slots;
void *(*dcmi_slot_realloc)(void *memory, size_t bytes) = realloc;

static dcmi_lock lock;
static uint32_t spare DCMI_GUARDED(lock); /* index + 1 of the first; 0: none */
static _Atomic uint32_t high;

/* ---- Handles ---- */

dcmem_result
dcmi_handle_refuse(const dcmem_buffer *buffer)
{
    const dcmi_slot *slot = dcmi_handle_slot(buffer);
    uint32_t generation = dcmi_handle_generation(buffer);
    if (!buffer)
        return dcmi_fail(DCMEM_E_NOT_A_BUFFER, "buffer is NULL");
    if (!slot || !(generation & 1) || generation < DCMI_GENERATION_FIRST)
        return dcmi_fail(DCMEM_E_NOT_A_BUFFER, "%p was never a buffer", (const void *)buffer);

    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (generation >= dcmi_word_generation(word))
        return dcmi_fail(DCMEM_E_NOT_A_BUFFER, "%p was never a buffer", (const void *)buffer);

    /* Ended with its manager, or by dcmem_manager_clear(), after which the manager lives on. */
    if (generation + 1 == dcmi_word_generation(word) && (word & DCMI_WORD_ENDED) &&
        !dcmi_pool_resolve(dcmi_slot_manager(slot)))
        return dcmi_fail(DCMEM_E_STALE_MANAGER, "buffer %p ended with its manager", (const void *)buffer);
    return dcmi_fail(DCMEM_E_STALE_BUFFER, "buffer %p was destroyed", (const void *)buffer);
}

/* ---- The table ---- */

/* What the next buffer in the slot will be called. */
static uint64_t
next_handle(uint32_t index)
{
    uint32_t generation =
        dcmi_word_generation(atomic_load_explicit(&dcmi_slots.slots[index].word, memory_order_relaxed));
    uint32_t next = generation < DCMI_GENERATION_FIRST ? DCMI_GENERATION_FIRST : generation + 1;
    return (uint64_t)next << 32 | (index + 1);
}

static void
list_push(uint64_t handle) DCMI_REQUIRES(lock)
{
    dcmi_slots.slots[(uint32_t)handle - 1].address = spare;
    spare = (uint32_t)handle;
}

static void
give_all(dcmi_thread *thread)
{
    dcmi_lock_take(&lock);
    while (thread->slot_count)
        list_push(thread->slots[--thread->slot_count]);
    dcmi_lock_drop(&lock);
}

/* COVER begin: runs in the child of a fork, which ends by _exit() and leaves no counts */
/* In a child after fork only this thread goes on. What others were in the midst of stays as it was: a copy that was
 * running never happened; a slot that was being changed, or a list, cannot be trusted and is left alone for ever. */
static void
forked(void) DCMI_UNCHECKED
{
    if (dcmi_lock_is_taken(&lock)) {
        spare = 0;
        dcmi_lock_reset(&lock);
    }
    if (dcmi_thread_current && dcmi_thread_current->transfers)
        return;
    uint32_t end = atomic_load(&high);
    for (uint32_t index = 0; index < end; index++) {
        dcmi_slot *slot = &dcmi_slots.slots[index];
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        if (word & DCMI_WORD_LOCKED)
            atomic_store(&slot->word, (DCMI_GENERATION_LAST + 1ull) << 32);
        else if (word & (DCMI_WORD_BRINGING | DCMI_WORD_WAITED))
            atomic_store(&slot->word, word & ~(DCMI_WORD_BRINGING | DCMI_WORD_WAITED));
    }
}
/* COVER end */

static void
register_once(void)
{
    dcmi_thread_on_end(0, give_all);
    dcmi_pool_set_end_sink(dcmi_buffer_end_all);
    pthread_atfork(NULL, NULL, forked);
}

/* As many slots as there is address space for. */
static dcmem_result
table_make(void) DCMI_REQUIRES(lock)
{
    for (uint32_t capacity = MOST_SLOTS; capacity >= LEAST_SLOTS; capacity /= 2) {
        dcmi_slots.slots = dcmi_os_reserve((uint64_t)capacity * sizeof(dcmi_slot));
        dcmi_slots.more = dcmi_os_reserve((uint64_t)capacity * sizeof(dcmi_more));
        if (dcmi_slots.slots && dcmi_slots.more) {
            dcmi_slots.secret = dcmi_os_now_ns() ^ (uintptr_t)dcmi_slots.slots;
            atomic_store_explicit(&dcmi_slots.capacity, capacity, memory_order_release);
            return DCMEM_OK;
        }
        dcmi_os_unreserve(dcmi_slots.slots, (uint64_t)capacity * sizeof(dcmi_slot));
        dcmi_os_unreserve(dcmi_slots.more, (uint64_t)capacity * sizeof(dcmi_more));
    }
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a table of %u buffers", LEAST_SLOTS);
}

static void
refill_locked(dcmi_thread *thread) DCMI_REQUIRES(lock)
{
    while (spare && thread->slot_count < BATCH) {
        thread->slots[thread->slot_count++] = next_handle(spare - 1);
        spare = (uint32_t)dcmi_slots.slots[spare - 1].address;
    }
    if (thread->slot_count)
        return;

    uint32_t first = atomic_load(&high);
    uint32_t left = atomic_load(&dcmi_slots.capacity) - first;
    uint32_t count = left < BATCH ? left : BATCH;
    /* The last one is taken first: then they are used in the order in which they lie. */
    for (uint32_t i = count; i > 0; i--)
        thread->slots[thread->slot_count++] = next_handle(first + i - 1);
    atomic_store(&high, first + count);
}

dcmem_result
dcmi_slot_refill(dcmi_thread *thread)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    dcmem_result result = DCMEM_OK;
    if (thread->slot_count)
        return DCMEM_OK;
    pthread_once(&once, register_once);

    dcmi_lock_take(&lock);
    if (!atomic_load(&dcmi_slots.capacity))
        result = table_make();
    if (!result)
        refill_locked(thread);
    dcmi_lock_drop(&lock);
    if (result || thread->slot_count)
        return result;
    return dcmi_fail(DCMEM_E_LIMIT, "%u buffers are alive, the most there can be", atomic_load(&dcmi_slots.capacity));
}

/* The lower half, which is the colder one. */
static void
give_batch(dcmi_thread *thread)
{
    dcmi_lock_take(&lock);
    for (uint32_t i = 0; i < BATCH; i++)
        list_push(thread->slots[i]);
    dcmi_lock_drop(&lock);
    thread->slot_count -= BATCH;
    for (uint32_t i = 0; i < thread->slot_count; i++)
        thread->slots[i] = thread->slots[i + BATCH];
}

void
dcmi_slot_unpop(dcmem_buffer *buffer, dcmi_thread *thread)
{
    if (thread) {
        if (thread->slot_count == DCMI_THREAD_SLOTS)
            give_batch(thread);
        thread->slots[thread->slot_count++] = (uintptr_t)buffer;
        return;
    }
    dcmi_lock_take(&lock);
    list_push((uintptr_t)buffer);
    dcmi_lock_drop(&lock);
}

void
dcmi_slot_give(dcmi_slot *slot, dcmi_thread *thread)
{
    uint32_t generation = dcmi_word_generation(atomic_load_explicit(&slot->word, memory_order_relaxed));
    if (generation <= DCMI_GENERATION_LAST)
        dcmi_slot_unpop((dcmem_buffer *)(uintptr_t)next_handle(dcmi_slot_index(slot)), thread);
}

void
dcmi_slot_each(void (*visit)(dcmi_slot *slot, void *user), void *user)
{
    for (uint32_t index = 0; index < atomic_load(&high); index++)
        visit(&dcmi_slots.slots[index], user);
}

/* ---- The word ---- */

/* A lock is held for some hundred nanoseconds unless its holder was put aside: then let it run. */
static void
relax(uint32_t spin)
{
    static _Atomic uint32_t nothing;
    if (spin < SPINS) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    } else if (spin < 2 * SPINS)
        sched_yield();
    else
        dcmi_os_sleep(&nothing, 0, 50 * 1000); /* COVER: another thread must be in between for very long */
}

/* The half of the word in which everything but the generation is. */
static _Atomic uint32_t *
flags_of(dcmi_slot *slot)
{
    _Atomic uint32_t *halves = (_Atomic uint32_t *)(void *)&slot->word;
    return &halves[__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__];
}

dcmem_result
dcmi_slot_lock(dcmi_locked *out, const dcmem_buffer *buffer)
{
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    if (DCMI_UNLIKELY(!slot))
        return dcmi_handle_refuse(buffer);
    for (uint32_t spin = 0;; spin++) {
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        if (DCMI_UNLIKELY(!dcmi_word_is(word, buffer)))
            return dcmi_handle_refuse(buffer);
        if (DCMI_LIKELY(dcmi_slot_try(slot, word))) {
            *out = (dcmi_locked){slot, word};
            return DCMEM_OK;
        }
        relax(spin);
    }
}

dcmem_result
dcmi_slot_lock_still(dcmi_locked *out, const dcmem_buffer *buffer)
{
    for (;;) {
        dcmem_result result = dcmi_slot_lock(out, buffer);
        if (result || DCMI_LIKELY(!(out->word & DCMI_WORD_BRINGING)))
            return result;
        if (dcmi_thread_current && dcmi_thread_current->transfers) {
            dcmi_slot_unlock(out, false);
            return dcmi_fail(DCMEM_E_BUSY, "a copy is running for the buffer, and this thread is in the midst of one");
        }
        dcmi_slot_sleep(out, UINT64_MAX);
    }
}

/* The counts of open accesses against the list of them, and the room that their ends will need. */
static const char *
check_opens(const dcmi_locked *locked, const dcmi_more *more)
{
    uint32_t readers = 0, writers = 0, sharers = 0, parts = 0;
    uint64_t bytes = dcmi_slot_bytes(locked->slot);
    for (uint32_t i = 0; i < more->open_capacity; i++) {
        const dcmi_open *open = &more->opens[i];
        dcmi_operation operation = (dcmi_operation)open->operation;
        if (!open->ticket)
            continue;
        if (open->begin >= open->end || open->end > bytes)
            return "an open access lies outside its buffer";
        if (open->has_rows && (open->rows->begin != open->begin || dcmi_rows_end(open->rows) != open->end))
            return "an open access does not span its rows";
        if (operation == DCMI_WRITE_SHARED)
            sharers++;
        else if (dcmi_operation_writes(operation))
            writers++;
        else
            readers++;
        parts += (uint32_t)dcmi_open_parts(locked->slot, open);
    }
    if (readers != more->readers || writers != more->writers || sharers != more->sharers || parts != more->parts)
        return "open accesses are miscounted";
    if (dcmi_word_use(locked->word) != readers + writers + sharers + more->pins)
        return "the word does not count accesses and pins";
    uint32_t ranges = locked->slot->state == DCMI_STATE_RANGES ? more->ranges.count : 1;
    return ranges + 2 * parts > more->ranges.capacity ? "accesses may end without room for their ranges" : NULL;
}

const char *
dcmi_slot_check(const dcmi_locked *locked)
{
    const dcmi_slot *slot = locked->slot;
    if (!(slot->traits & DCMI_TRAIT_MORE))
        return slot->state == DCMI_STATE_RANGES || dcmi_word_use(locked->word) ? "parts or users without a list" : NULL;
    const dcmi_more *more = dcmi_slot_more(slot);
    const char *broken = check_opens(locked, more);
    if (!broken && slot->state == DCMI_STATE_RANGES)
        broken = dcmi_ranges_check(&more->ranges, dcmi_slot_bytes(slot));
    if (!broken && (more->host_address != 0) != ((slot->traits & DCMI_TRAIT_HOST) != 0))
        broken = "a host side without its trait, or the reverse";
    return broken;
}

void
dcmi_slot_unlock(const dcmi_locked *locked, bool is_news)
{
    /* Not where that takes long: with thousands of accesses open each of them would look at all others. */
    CHECK(!(dcmi_word_generation(locked->word) & 1) || dcmi_slot_more(locked->slot)->open_capacity > 64 ||
          !dcmi_slot_check(locked));
    bool wakes = is_news && (locked->word & DCMI_WORD_WAITED);
    uint64_t word = wakes ? locked->word & ~DCMI_WORD_WAITED : locked->word;
    atomic_store_explicit(&locked->slot->word, word, memory_order_release);
    if (DCMI_UNLIKELY(wakes))
        dcmi_os_wake(flags_of(locked->slot));
}

void
dcmi_slot_sleep(const dcmi_locked *locked, uint64_t timeout_ns)
{
    uint64_t word = locked->word | DCMI_WORD_WAITED;
    atomic_store_explicit(&locked->slot->word, word, memory_order_release);
    dcmi_os_sleep(flags_of(locked->slot), (uint32_t)word, timeout_ns);
}

dcmem_result
dcmi_slot_bring(dcmi_locked *locked)
{
    dcmi_thread *thread = dcmi_thread_get();
    if (!thread)
        return DCMEM_E_NO_HOST_MEMORY;
    thread->transfers++;
    locked->word |= DCMI_WORD_BRINGING;
    dcmi_slot_unlock(locked, false);
    return DCMEM_OK;
}

void
dcmi_slot_brought(dcmi_locked *locked)
{
    dcmi_thread_current->transfers--;
    for (uint32_t spin = 0;; spin++) {
        uint64_t word = atomic_load_explicit(&locked->slot->word, memory_order_relaxed);
        if (dcmi_slot_try(locked->slot, word)) {
            locked->word = word & ~DCMI_WORD_BRINGING;
            return;
        }
        relax(spin);
    }
}

void
dcmi_slot_end(const dcmi_locked *locked, bool by_manager)
{
    dcmi_locked ended = *locked;
    uint64_t generation = dcmi_word_generation(locked->word) + 1ull;
    ended.word = generation << 32 | (by_manager ? DCMI_WORD_ENDED : 0) | (locked->word & DCMI_WORD_WAITED);
    dcmi_slot_unlock(&ended, true);
}

/* ---- More ---- */

/* The entries from `first` on are free. */
static void
chain_spares(dcmi_more *more, uint32_t first)
{
    for (uint32_t i = first; i < more->open_capacity; i++)
        more->opens[i] = (dcmi_open){.begin = i + 1 < more->open_capacity ? i + 2 : 0};
    more->open_spare = first + 1;
}

dcmi_more *
dcmi_slot_ready_more(dcmi_slot *slot)
{
    dcmi_more *more = dcmi_slot_more(slot);
    if (slot->traits & DCMI_TRAIT_MORE)
        return more;
    slot->traits |= DCMI_TRAIT_MORE;

    /* Tickets go on where the slot's last buffer left them: an old one never fits a new access. */
    *more = (dcmi_more){.tickets = more->tickets};
    more->ranges.words = more->words_inside;
    more->ranges.capacity = DCMI_RANGES_INSIDE;
    more->opens = more->opens_inside;
    more->open_capacity = DCMI_OPENS_INSIDE;
    chain_spares(more, 0);
    return more;
}

void
dcmi_more_move_opens(dcmi_more *more, dcmi_open *opens, uint32_t capacity)
{
    uint32_t count = more->open_capacity;
    CHECK(capacity > count && !more->open_spare);
    memcpy(opens, more->opens, count * sizeof opens[0]);
    if (more->opens != more->opens_inside)
        free(more->opens);
    more->opens = opens;
    more->open_capacity = capacity;
    chain_spares(more, count);
}

void
dcmi_more_fini(dcmi_more *more)
{
    for (uint32_t i = 0; i < more->open_capacity; i++)
        if (more->opens[i].ticket && more->opens[i].has_rows)
            free((void *)(uintptr_t)more->opens[i].rows);
    if (more->ranges.words != more->words_inside)
        free(more->ranges.words);
    if (more->opens != more->opens_inside)
        free(more->opens);
}
