/* buffer.c: the life of a buffer: made, described, resized, destroyed, or ended with its manager.
 *
 * Most buffers are plain: device memory, no options, used as a whole. For those create is a slot from the thread's own
 * list, a block from its magazine and one cache line written, and destroy the reverse with one compare-and-swap.
 * Whatever is more than that shows in the slot's traits and goes the slow ways below. */
#include "base/log.h"
#include "base/os.h"
#include "base/size.h"
#include "buffer/access.h"
#include "buffer/contents.h"
#include "buffer/gate.h"
#include "buffer/life.h"
#include "buffer/side.h"
#include "guard/guard.h"
#include "pool/hot.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT       64u
#define ALIGNMENT_SHIFT 6u
#define KNOWN_FLAGS     (DCMEM_BUFFER_ZEROED | DCMEM_BUFFER_SCRUB | DCMEM_BUFFER_FIXED)

/* ---- Options ---- */

/* A copy of the options in this library's own size: fields that the caller does not know are 0. */
static dcmem_result
options_read(dcmem_buffer_options *out, const dcmem_buffer_options *options)
{
    *out = (dcmem_buffer_options){0};
    if (!options)
        return DCMEM_OK;
    if (options->size < offsetof(dcmem_buffer_options, flags))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->size is %zu; set it to sizeof(dcmem_buffer_options)",
                         options->size);
    const unsigned char *bytes = (const unsigned char *)options;
    for (size_t i = sizeof *out; i < options->size; i++)
        if (bytes[i])
            return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options have a field at byte %zu that this dcmem does not know",
                             i);
    memcpy(out, options, dcmi_min(options->size, sizeof *out));
    return DCMEM_OK;
}

static dcmem_result
options_check(const dcmem_buffer_options *options)
{
    if ((unsigned)options->kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "kind is %d, which is no kind of memory", (int)options->kind);
    if (options->flags & ~KNOWN_FLAGS)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "flags are 0x%x, of which 0x%x are unknown", options->flags,
                         options->flags & ~KNOWN_FLAGS);
    if (options->alignment && !dcmi_is_power_of_two(options->alignment))
        return dcmi_fail(DCMEM_E_MISALIGNED, "alignment is %llu, not a power of two",
                         (unsigned long long)options->alignment);
    if (options->tag >= DCMEM_TAG_LIMIT)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "tag is %u, the limit is %u", options->tag, DCMEM_TAG_LIMIT);
    return DCMEM_OK;
}

/* ---- Making ---- */

/* The whole first line but the word. */
static inline void
slot_init(dcmi_slot *slot, dcmem_manager *manager, uint64_t bytes, uint64_t address)
{
    atomic_store_explicit(&slot->manager, (uintptr_t)manager, memory_order_release);
    atomic_store_explicit(&slot->bytes, bytes, memory_order_release);
    slot->address = address;
    slot->traits = 0;
    slot->flags = 0;
    slot->face = DCMI_FACE_UNKNOWN;
    slot->is_flushed = false;
    slot->kind = DCMEM_KIND_DEVICE;
    slot->tag = 0;
    slot->alignment_shift = ALIGNMENT_SHIFT;
    slot->state = DCMI_STATE_UNWRITTEN;
    slot->priority = 0;
}

static void
slot_set_options(dcmi_slot *slot, const dcmem_buffer_options *options)
{
    slot->flags = (uint16_t)options->flags;
    slot->kind = (uint8_t)options->kind;
    slot->tag = (uint8_t)options->tag;
    slot->priority = options->priority;
    if (options->alignment > ALIGNMENT)
        slot->alignment_shift = (uint8_t)dcmi_log2(options->alignment);
    if (options->kind != DCMEM_KIND_DEVICE)
        slot->traits |= DCMI_TRAIT_KIND;
    if (options->flags & DCMEM_BUFFER_SCRUB)
        slot->traits |= DCMI_TRAIT_SCRUB;
    if (options->tag)
        slot->traits |= DCMI_TRAIT_TAGGED;
}

static dcmem_result
zero_all(dcmi_slot *slot)
{
    dcmi_site site;
    dcmem_result result = dcmi_side_know_face(slot);
    if (!result)
        result = dcmi_side_site(&site, slot, DCMEM_SIDE_DEVICE, 0);
    if (!result)
        result = dcmi_carry_fill(&site, dcmi_slot_bytes(slot), "", 1, slot->tag);
    slot->state = slot->face == DCMI_FACE_SPLIT ? DCMI_STATE_DEVICE : DCMI_STATE_BOTH;
    return result;
}

/* Counts a buffer and makes it live. */
static void
slot_begin(dcmi_slot *slot, const dcmem_buffer *buffer, dcmi_pool *pool)
{
    if (slot->tag)
        dcmi_pool_tag(pool, slot->tag, (int64_t)dcmi_slot_bytes(slot), 1);
    dcmi_pool_add(pool, DCMI_COUNTER_buffers_created, 1);
    dcmi_slot_publish(slot, buffer, (slot->traits & DCMI_TRAIT_SCRUB) ? DCMI_WORD_CAREFUL : 0);
}

/* A block and a slot for it. The slot comes last: taking a block may call the user, who may use up the slots. */
static dcmem_result
make_block(dcmem_buffer **out, dcmi_pool *pool, uint64_t bytes, const dcmem_buffer_options *options)
{
    dcmi_thread *thread = dcmi_thread_get();
    if (!thread)
        return DCMEM_E_NO_HOST_MEMORY;
    uint64_t address = dcmi_guard_take(pool, bytes, options->alignment, DCMI_HOLDER_LIBRARY);
    if (!address)
        return dcmem_last_detail()->result;

    dcmem_result result = dcmi_slot_refill(thread);
    if (result)
        goto undo_address;
    dcmem_buffer *buffer = dcmi_slot_pop(thread);
    dcmi_slot *slot = dcmi_slot_popped(buffer);
    slot_init(slot, dcmi_pool_manager(pool), bytes, address);
    slot_set_options(slot, options);
    if (options->flags & DCMEM_BUFFER_ZEROED)
        result = zero_all(slot);
    if (result)
        goto undo_slot;
    slot_begin(slot, buffer, pool);
    dcmi_side_label(slot);
    *out = buffer;
    return DCMEM_OK;

undo_slot:
    dcmi_slot_unpop(buffer, thread);
undo_address:;
    dcmem_detail cause = dcmi_detail_save();
    /* Taken just now: only a driver that fails twice can fail here. */
    (void)dcmi_guard_drop(pool, address, DCMI_HOLDER_LIBRARY);
    dcmi_detail_restore(&cause);
    return result;
}

static DCMI_COLD dcmem_result
create_slowly(dcmem_buffer **out, dcmem_manager *manager, uint64_t bytes, const dcmem_buffer_options *options)
{
    dcmem_buffer_options known;
    DCMI_REQUIRE(out && bytes > 0);
    dcmem_result result = options_read(&known, options);
    if (!result)
        result = options_check(&known);
    if (result)
        return result;
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    if (!pool)
        return dcmem_last_detail()->result;
    if (dcmi_has_gates())
        result = dcmi_gate_ask(
            pool,
            &(dcmem_gate_call){.operation = DCMEM_GATE_allocate, .bytes = bytes, .tag = known.tag, .kind = known.kind});
    if (!result && known.kind != DCMEM_KIND_DEVICE)
        result = dcmi_pool_of_kind(&pool, pool, known.kind);
    return result ? result : make_block(out, pool, bytes, &known);
}

dcmem_result
dcmem_buffer_create(dcmem_buffer **out, dcmem_manager *manager, uint64_t bytes, const dcmem_buffer_options *options)
{
    dcmi_thread *thread = dcmi_thread_current;
    dcmi_cache *cache = dcmi_cache_current;
    if (DCMI_UNLIKELY(!out || options || !thread || thread->slot_count == 0))
        return create_slowly(out, manager, bytes, options);
    uint64_t address = dcmi_pool_take_hot(cache, manager, bytes, DCMI_HOLDER_LIBRARY);
    if (DCMI_UNLIKELY(!address))
        return create_slowly(out, manager, bytes, NULL);

    dcmem_buffer *buffer = dcmi_slot_pop(thread);
    dcmi_slot *slot = dcmi_slot_popped(buffer);
    slot_init(slot, manager, bytes, address);
    dcmi_slot_publish(slot, buffer, 0);
    dcmi_count_add(&cache->buffers_created, 1);
    *out = buffer;
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_create_typed(dcmem_buffer **out, dcmem_manager *manager, uint64_t count, uint64_t element_bytes,
                          const dcmem_buffer_options *options)
{
    uint64_t bytes;
    if (!dcmi_size_mul(&bytes, count, element_bytes))
        return dcmi_fail(DCMEM_E_OVERFLOW, "%llu elements of %llu bytes", (unsigned long long)count,
                         (unsigned long long)element_bytes);
    return dcmem_buffer_create(out, manager, bytes, options);
}

dcmem_result
dcmem_buffer_create_from(dcmem_buffer **out, dcmem_manager *manager, const void *data, uint64_t bytes,
                         const dcmem_buffer_options *options)
{
    dcmem_buffer *buffer;
    DCMI_REQUIRE(out && data);
    dcmem_result result = dcmem_buffer_create(&buffer, manager, bytes, options);
    if (result)
        return result;
    result = dcmem_buffer_copy_in(dcmem_view_whole(buffer), data, 0);
    if (result) {
        dcmem_detail cause = dcmi_detail_save();
        (void)dcmem_buffer_destroy(buffer); /* nobody else knows of it */
        dcmi_detail_restore(&cause);
        return result;
    }
    *out = buffer;
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_import(dcmem_buffer **out, dcmem_manager *manager, void *host, uint64_t bytes)
{
    DCMI_REQUIRE(out && host && bytes > 0 && bytes <= UINT64_MAX - (uintptr_t)host);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    dcmi_thread *thread = root ? dcmi_thread_get() : NULL;
    if (!thread)
        return dcmem_last_detail()->result;

    dcmem_result result = DCMEM_OK;
    if (dcmi_has_gates())
        result =
            dcmi_gate_ask(root, &(dcmem_gate_call){.operation = DCMEM_GATE_import, .address = host, .bytes = bytes});
    if (result)
        return result;
    dcmem_extent extent;
    result = dcmi_device_import(&extent, dcmi_pool_device(root), 0, host, bytes);
    if (result)
        return result;
    result = dcmi_slot_refill(thread);
    if (result) {
        dcmem_detail cause = dcmi_detail_save();
        (void)dcmi_device_release(dcmi_pool_device(root), 0, &extent);
        dcmi_detail_restore(&cause);
        return result;
    }

    dcmem_buffer *buffer = dcmi_slot_pop(thread);
    dcmi_slot *slot = dcmi_slot_popped(buffer);
    slot_init(slot, manager, bytes, 0);
    slot->kind = (uint8_t)extent.kind;
    slot->traits |= DCMI_TRAIT_IMPORTED;
    slot->state = DCMI_STATE_BOTH;
    dcmi_more *more = dcmi_slot_ready_more(slot);
    more->imported = extent;
    more->imported.host = host;
    dcmi_pool_adjust(root, DCMI_GAUGE_IMPORTED, (int64_t)bytes);
    slot_begin(slot, buffer, root);
    *out = buffer;
    return DCMEM_OK;
}

/* ---- Ending ---- */

/* The driver ends its claim even where it fails, and so do we. */
static void
release_imported(dcmi_slot *slot, dcmi_pool *root)
{
    const dcmem_extent *extent = &dcmi_slot_more(slot)->imported;
    dcmi_pool_adjust(root, DCMI_GAUGE_IMPORTED, -(int64_t)dcmi_slot_bytes(slot));
    if (dcmi_device_release(dcmi_pool_device(root), slot->tag, extent))
        dcmi_log(DCMEM_LOG_WARNING, "buffer", "imported memory: %s", dcmem_last_detail()->message);
}

static DCMI_COLD void
tell_gate(const dcmi_slot *slot, dcmem_buffer *buffer, dcmi_pool *pool)
{
    dcmem_gate_call call = {.operation = DCMEM_GATE_free, .buffer = buffer, .bytes = dcmi_slot_bytes(slot)};
    call.tag = slot->tag;
    call.kind = (dcmem_kind)slot->kind;
    (void)dcmi_gate_ask(dcmi_pool_root(pool), &call); /* it is told; free cannot be refused */
}

/* Where a block goes whose buffer has ended: to its pool, or to the queue that may still work on it. */
typedef struct destination {
    dcmi_queue *queue; /* NULL: the pool */
    uint32_t pending;  /* the record of the block, for the queue */
} destination;

/* Gives back everything that a slot which is nobody's any more still has, and the slot itself. `buffer` is what lived
 * there. */
static dcmem_result
dispose_to(destination where, dcmi_slot *slot, dcmem_buffer *buffer)
{
    dcmi_pool *pool;
    dcmi_shadow shadow = {0};
    dcmem_result given = DCMEM_OK, result = dcmi_side_pool(&pool, slot);
    if (result)
        return result;
    if (dcmi_has_gates())
        tell_gate(slot, buffer, pool);
    if (slot->tag)
        dcmi_pool_tag(pool, slot->tag, -(int64_t)dcmi_slot_bytes(slot), -1);
    if (slot->traits & DCMI_TRAIT_HOST)
        shadow = dcmi_shadow_detach(slot);
    result = dcmi_shadow_end(&shadow, slot->flags & DCMEM_BUFFER_SCRUB);
    if (slot->traits & DCMI_TRAIT_IMPORTED)
        release_imported(slot, pool);
    else if (where.queue)
        dcmi_pending_add(where.queue, where.pending);
    else
        given = dcmi_guard_give(pool, slot->address, DCMI_HOLDER_LIBRARY);
    if (slot->traits & DCMI_TRAIT_MORE)
        dcmi_more_fini(dcmi_slot_more(slot));
    dcmi_pool_add(pool, DCMI_COUNTER_buffers_destroyed, 1);
    dcmi_slot_give(slot, dcmi_thread_current);
    return given ? given : result;
}

static dcmem_result
dispose(dcmi_slot *slot, dcmem_buffer *buffer)
{
    return dispose_to((destination){0}, slot, buffer);
}

/* With the bytes still there on failure, the buffer stays. */
static dcmem_result
scrub_locked(dcmi_locked *locked)
{
    dcmi_pool *pool;
    const dcmi_slot *slot = locked->slot;
    dcmem_result result = dcmi_side_pool(&pool, slot);
    if (!result)
        result = dcmi_slot_bring(locked);
    if (result)
        return result;
    result = dcmi_block_scrub(pool, slot->address, slot->tag);
    dcmi_slot_brought(locked);
    return result;
}

/* Locks it when no queue works on it any more. */
static dcmem_result
lock_settled(dcmi_locked *out, const dcmem_buffer *buffer)
{
    dcmem_result result = dcmi_slot_lock_still(out, buffer);
    while (!result && dcmi_word_use(out->word) > 0) {
        dcmi_slot_unlock(out, false);
        bool is_news = dcmi_access_settle(buffer);
        result = dcmi_slot_lock_still(out, buffer);
        if (!is_news)
            break;
    }
    return result;
}

static DCMI_COLD dcmem_result
destroy_slowly(dcmem_buffer *buffer)
{
    dcmi_locked locked;
    dcmem_result result = lock_settled(&locked, buffer);
    if (result)
        return result;
    uint64_t use = dcmi_word_use(locked.word);
    if (use)
        result = dcmi_fail(DCMEM_E_BUSY, "%llu accesses and pins are open", (unsigned long long)use);
    else if ((locked.slot->traits & DCMI_TRAIT_SCRUB) && !(locked.slot->traits & DCMI_TRAIT_IMPORTED))
        result = scrub_locked(&locked);
    if (result) {
        dcmi_slot_unlock(&locked, true);
        return result;
    }
    dcmi_slot_end(&locked, false);
    return dispose(locked.slot, buffer);
}

dcmem_result
dcmem_buffer_destroy(dcmem_buffer *buffer)
{
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    dcmi_thread *thread = dcmi_thread_current;
    dcmi_cache *cache = dcmi_cache_current;
    uint32_t generation = dcmi_handle_generation(buffer);
    uint64_t word = (uint64_t)generation << 32;
    if (DCMI_UNLIKELY(!slot || !thread || thread->slot_count == DCMI_THREAD_SLOTS ||
                      !dcmi_generation_has_next(generation)) ||
        DCMI_UNLIKELY(!atomic_compare_exchange_strong_explicit(&slot->word, &word, word + (1ull << 32),
                                                               memory_order_acquire, memory_order_relaxed)))
        return buffer ? destroy_slowly(buffer) : DCMEM_OK;
    if (DCMI_UNLIKELY(slot->traits) ||
        DCMI_UNLIKELY(!dcmi_pool_give_hot(cache, dcmi_slot_manager(slot), slot->address, DCMI_HOLDER_LIBRARY)))
        return dispose(slot, buffer);

    thread->slots[thread->slot_count++] = dcmi_slot_after(buffer);
    dcmi_count_add(&cache->buffers_destroyed, 1);
    return DCMEM_OK;
}

/* The block's record with the uses that the queues still make of it, and `use`; 0 where they are too many, the
 * buffer is open, or there is no room: it is then destroyed when they have done with it. */
static uint32_t
detach(dcmi_locked *locked, dcmi_pool *pool, dcmi_use use)
{
    dcmi_use uses[DCMI_PENDING_USES - 1];
    dcmi_block block;
    uint64_t address = locked->slot->address;
    uint32_t index = dcmi_pool_find(&block, pool, address) ? 0 : dcmi_pending_new(pool, address, block.capacity);
    uint32_t count = index ? dcmi_access_detach(uses, locked, DCMI_PENDING_USES - 1) : UINT32_MAX;
    if (index && count == UINT32_MAX)
        dcmi_pending_drop(index);
    if (count == UINT32_MAX)
        return 0;
    (void)dcmi_pending_note(dcmi_pending_at(index), use);
    for (uint32_t i = 0; i < count; i++) {
        if (uses[i].queue == use.queue)
            continue;
        dcmi_use_renew(&uses[i]); /* of several uses by one queue they say nothing about which is the last */
        (void)dcmi_pending_note(dcmi_pending_at(index), uses[i]);
    }
    return index;
}

dcmem_result
dcmem_buffer_destroy_on(dcmem_buffer *buffer, dcmem_queue *handle)
{
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    dcmi_locked locked;
    dcmem_result result = buffer ? dcmi_slot_lock_still(&locked, buffer) : DCMEM_OK;
    if (result || !buffer)
        return result;
    dcmi_pool *pool;
    const dcmi_slot *slot = locked.slot;
    if (dcmi_slot_manager(slot) != dcmi_pool_manager(queue->root))
        result = dcmi_fail(DCMEM_E_FOREIGN, "the queue belongs to another manager than the buffer");
    if (!result)
        result = dcmi_side_pool(&pool, slot);
    bool is_plain = !(slot->traits & (DCMI_TRAIT_SCRUB | DCMI_TRAIT_IMPORTED)) && !dcmi_pool_guard(queue->root);
    uint32_t index = !result && is_plain ? detach(&locked, pool, dcmi_queue_use(queue)) : 0;
    if (!index) {
        dcmi_slot_unlock(&locked, true);
        dcmi_use use = dcmi_queue_use(queue);
        if (!result)
            result = dcmi_use_wait(use, UINT64_MAX, NULL);
        return result ? result : dcmem_buffer_destroy(buffer);
    }
    dcmi_slot_end(&locked, false);
    return dispose_to((destination){queue, index}, locked.slot, buffer);
}

/* ---- The manager's end ---- */

typedef struct end_search {
    uint64_t manager;
    bool is_dry;
    uint64_t count;
} end_search;

static void
end_one(dcmi_slot *slot, void *user)
{
    end_search *search = user;
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (!(dcmi_word_generation(word) & 1) || (uintptr_t)dcmi_slot_manager(slot) != search->manager)
        return;
    dcmem_buffer *buffer = dcmi_slot_handle(slot, dcmi_word_generation(word));
    while (dcmi_word_use(word) > 0 && dcmi_access_settle(buffer))
        word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (search->is_dry) {
        search->count += dcmi_word_use(word) > 0;
        return;
    }
    dcmi_locked locked;
    if (dcmi_slot_lock(&locked, buffer))
        return; /* COVER: somebody destroys it meanwhile, which the manager's header forbids */
    /* The manager ends in any case: a driver that cannot scrub now never will. */
    bool is_clean = !(slot->traits & DCMI_TRAIT_SCRUB) || scrub_locked(&locked) == DCMEM_OK;
    dcmi_slot_end(&locked, true);
    if (!is_clean)
        dcmi_log(DCMEM_LOG_WARNING, "buffer", "not scrubbed: %s", dcmem_last_detail()->message);
    (void)dispose(slot, buffer); /* the pool gives everything back to the driver, whatever was wrong with this one */
    search->count++;
}

uint64_t
dcmi_buffer_end_all(dcmi_pool *root, bool is_dry)
{
    end_search search = {.manager = (uintptr_t)dcmi_pool_manager(root), .is_dry = is_dry};
    /* The walk takes as long as there were ever buffers at once in the process, whosever they were. */
    if (dcmi_pool_live_buffers(root) > 0)
        dcmi_slot_each(end_one, &search);
    return search.count;
}

/* ---- Describing ---- */

static dcmem_buffer_info
info_of(const dcmi_locked *locked, uint64_t capacity)
{
    const dcmi_slot *slot = locked->slot;
    const dcmi_more *more = (slot->traits & DCMI_TRAIT_MORE) ? dcmi_slot_more(slot) : NULL;
    dcmem_buffer_info info = {
        .manager = dcmi_slot_manager(slot),
        .bytes = dcmi_slot_bytes(slot),
        .capacity_bytes = capacity,
        .kind = (dcmem_kind)slot->kind,
        .flags = slot->flags,
        .alignment = 1ull << slot->alignment_shift,
        .tag = slot->tag,
        .priority = slot->priority,
        .is_imported = slot->traits & DCMI_TRAIT_IMPORTED,
        .is_unified = slot->face != DCMI_FACE_SPLIT,
        .has_host_side = slot->face != DCMI_FACE_SPLIT || (slot->traits & DCMI_TRAIT_HOST),
    };
    info.current_sides = dcmi_contents_sides(&info.written_bytes, slot, 0, info.bytes);
    if (more) {
        info.open_readers = more->readers;
        info.open_writers = more->writers + more->sharers;
        info.pins = more->pins;
    }
    return info;
}

static dcmem_result
capacity_of(uint64_t *out, const dcmi_slot *slot)
{
    dcmi_pool *pool;
    dcmi_block block;
    if (slot->traits & DCMI_TRAIT_IMPORTED) {
        *out = dcmi_slot_bytes(slot);
        return DCMEM_OK;
    }
    dcmem_result result = dcmi_side_pool(&pool, slot);
    if (!result)
        result = dcmi_guard_find(&block, pool, slot->address, DCMI_HOLDER_LIBRARY);
    if (!result)
        *out = block.capacity;
    return result;
}

dcmem_result
dcmem_buffer_describe(dcmem_buffer_info *out, dcmem_buffer *buffer)
{
    dcmi_locked locked;
    uint64_t capacity;
    DCMI_REQUIRE(out && out->size >= sizeof *out);
    dcmem_result result = dcmi_slot_lock(&locked, buffer);
    if (result)
        return result;
    result = dcmi_side_know_face(locked.slot);
    if (!result)
        result = capacity_of(&capacity, locked.slot);
    dcmem_buffer_info info = result ? (dcmem_buffer_info){0} : info_of(&locked, capacity);
    dcmi_slot_unlock(&locked, false);
    if (result)
        return result;
    info.size = out->size;
    *out = info;
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_set_tag(dcmem_buffer *buffer, dcmem_tag tag)
{
    dcmi_locked locked;
    dcmi_pool *pool;
    DCMI_REQUIRE(tag < DCMEM_TAG_LIMIT);
    dcmem_result result = dcmi_slot_lock_still(&locked, buffer);
    if (result)
        return result;
    dcmi_slot *slot = locked.slot;
    result = dcmi_side_pool(&pool, slot);
    if (!result && slot->tag != tag) {
        int64_t bytes = (int64_t)dcmi_slot_bytes(slot);
        if (slot->tag)
            dcmi_pool_tag(pool, slot->tag, -bytes, -1);
        if (tag)
            dcmi_pool_tag(pool, tag, bytes, 1);
        slot->tag = (uint8_t)tag;
        slot->traits = tag ? slot->traits | DCMI_TRAIT_TAGGED : slot->traits & ~DCMI_TRAIT_TAGGED;
        dcmi_side_label(slot);
    }
    dcmi_slot_unlock(&locked, false);
    return result;
}

/* ---- Pins ---- */

dcmem_result
dcmem_buffer_pin(dcmem_native *out, dcmem_buffer *buffer)
{
    dcmi_locked locked;
    dcmi_site site;
    dcmem_result result = dcmi_gate_ask_buffer(DCMEM_GATE_pin, buffer, 0);
    if (!result)
        result = dcmi_slot_lock_still(&locked, buffer);
    if (result)
        return result;
    dcmi_slot *slot = locked.slot;
    uint64_t bytes = dcmi_slot_bytes(slot);
    if (dcmi_word_use(locked.word) == DCMI_WORD_USE_MOST)
        result = dcmi_fail(DCMEM_E_LIMIT, "a buffer is pinned and opened %llu times", DCMI_WORD_USE_MOST);
    if (!result)
        result = dcmi_side_know_face(slot);
    if (!result)
        result = dcmi_side_site(&site, slot, DCMEM_SIDE_DEVICE, 0);
    if (!result) {
        dcmi_slot_ready_more(slot)->pins++;
        locked.word += DCMI_WORD_USE;
    }
    dcmi_slot_unlock(&locked, false);
    if (!result && out)
        *out = dcmi_place_native(dcmi_pool_device(site.pool), &site.place, bytes);
    return result;
}

dcmem_result
dcmem_buffer_unpin(dcmem_buffer *buffer)
{
    dcmi_locked locked;
    dcmem_result result = dcmi_slot_lock_still(&locked, buffer);
    if (result)
        return result;
    dcmi_slot *slot = locked.slot;
    if ((slot->traits & DCMI_TRAIT_MORE) && dcmi_slot_more(slot)->pins > 0) {
        dcmi_slot_more(slot)->pins--;
        locked.word -= DCMI_WORD_USE;
    } else
        result = dcmi_fail(DCMEM_E_WRONG_STATE, "the buffer is not pinned");
    dcmi_slot_unlock(&locked, false);
    return result;
}
