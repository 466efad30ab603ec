/* faulty.c: a backend whose calls a fault plan spoils, in front of another one.
 *
 * An operation that no rule is about goes straight to the backend behind: one look at a bit, one call. The others ask
 * the plan. What ends something (release, unmap, ...) ends it even where it is made to fail, and a call that fails half
 * way leaves nothing behind: the contract is kept but where an effect says otherwise (short, flip, stale, double). */
#include "fault.h"
#include "groups.h"
#include "host.h"

#include <stdlib.h>
#include <string.h>

struct dcmi_layer {
    dcmem_backend table;
    dcmem_backend copy; /* of the one behind, to know it again */
    const dcmem_backend *over;
    dcmem_fault_plan *plan;
    dcmi_layer *next;
};

typedef struct faulty {
    const dcmem_backend *over;
    void *inner;
    uint64_t watched; /* operations that ask the plan, a bit each */
    dcmem_fault_plan *plan;
    uint64_t granularity;
} faulty;

#define IS_WATCHED(device, name) __builtin_expect((device)->watched >> DCMEM_FAKE_##name & 1, 0)

/* ---- Asking ---- */

static dcmem_result
settle(faulty *device, const dcmi_asked *asked, const dcmi_verdict *verdict, dcmem_result result)
{
    if (!result)
        dcmi_fault_succeeded(device->plan, asked, verdict);
    return result;
}

/* For calls that do nothing when they fail. `expression` is the call of the backend behind. */
#define PASS(device, asked, expression)                                                                                \
    do {                                                                                                               \
        dcmi_verdict verdict = dcmi_fault_meet((device)->plan, &(asked));                                              \
        if (verdict.result)                                                                                            \
            return dcmi_fault_fail(&(asked), &verdict);                                                                \
        return settle(device, &(asked), &verdict, expression);                                                         \
    } while (0)

/* For calls that end something, whatever they say. */
#define PASS_ALWAYS(device, asked, expression)                                                                         \
    do {                                                                                                               \
        dcmi_verdict verdict = dcmi_fault_meet((device)->plan, &(asked));                                              \
        dcmem_result said = (expression);                                                                              \
        if (verdict.result)                                                                                            \
            return dcmi_fault_fail(&(asked), &verdict);                                                                \
        return settle(device, &(asked), &verdict, said);                                                               \
    } while (0)

static dcmi_asked
ask(dcmem_fake_operation operation, const dcmem_call *call, uint64_t bytes)
{
    return (dcmi_asked){.operation = (int)operation, .call = call, .bytes = bytes, .way = DCMI_WAY_COUNT};
}

static dcmi_asked
ask_queue(dcmem_fake_operation operation, const dcmem_call *call, uint64_t bytes, const void *queue)
{
    dcmi_asked asked = ask(operation, call, bytes);
    asked.queue = queue;
    return asked;
}

static dcmi_way
way_of(const dcmem_place *to, const dcmem_place *from)
{
    if (to->extent && from->extent)
        return DCMI_WAY_within;
    return to->extent ? DCMI_WAY_in : DCMI_WAY_out;
}

/* ---- Bytes ---- */

/* How many of the bytes are moved where not all are: a whole number of `unit`. */
static uint64_t
shortened(const dcmi_verdict *verdict, uint64_t bytes, uint64_t unit)
{
    uint64_t left = verdict->argument.is_set ? verdict->argument.value : bytes / 2;
    return left - left % unit;
}

/* One bit where they were moved to. What cannot be read or written keeps it. */
static void
flip_bit(faulty *device, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const dcmi_verdict *verdict)
{
    bool is_chosen = verdict->argument.is_set;
    uint64_t at = is_chosen ? verdict->argument.value / 8 : verdict->random % bytes;
    uint64_t bit = is_chosen ? verdict->argument.value % 8 : verdict->random >> 61;
    uint8_t byte, mask = (uint8_t)(1u << bit);
    if (!to->extent) {
        ((uint8_t *)to->host)[to->offset + at] ^= mask;
        return;
    }
    dcmem_place there = {.extent = to->extent, .offset = to->offset + at, .host = to->host}, here = {.host = &byte};
    if (to->host)
        there.host = (uint8_t *)to->host + at;
    if (device->over->copy(device->inner, call, &here, &there, 1))
        return;
    byte ^= mask;
    (void)device->over->copy(device->inner, call, &there, &here, 1);
}

/* ---- Required ---- */

static dcmi_layer *
layer_of(const dcmem_backend *backend)
{
    return backend->context;
}

static dcmem_result
faulty_count(uint32_t *out, const dcmem_backend *backend)
{
    dcmi_layer *layer = layer_of(backend);
    faulty device = {.over = layer->over, .plan = layer->plan};
    dcmi_asked asked = ask(DCMEM_FAKE_count, NULL, 0);
    PASS(&device, asked, layer->over->count(out, layer->over));
}

static dcmem_result
open_behind(void **out, dcmi_layer *layer, const dcmem_open *options)
{
    faulty *device = dcmi_host_new(sizeof *device);
    if (!device)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "faults", 0, "a device below a fault plan");
    dcmem_result result = layer->over->open(&device->inner, layer->over, options);
    if (result) {
        free(device);
        return result;
    }
    dcmem_device_info info = {.size = sizeof info};
    device->over = layer->over;
    device->plan = layer->plan;
    device->watched = dcmi_fault_watched(layer->plan);
    device->granularity = layer->over->info(&info, device->inner) || !info.granularity ? 4096 : info.granularity;
    dcmi_fault_device_opened(layer->plan);
    *out = device;
    return DCMEM_OK;
}

static dcmem_result
faulty_open(void **out, const dcmem_backend *backend, const dcmem_open *options)
{
    dcmi_layer *layer = layer_of(backend);
    faulty device = {.over = layer->over, .plan = layer->plan};
    dcmi_asked asked = ask(DCMEM_FAKE_open, NULL, 0);
    PASS(&device, asked, open_behind(out, layer, options));
}

static void
faulty_close(void *handle)
{
    faulty *device = handle;
    if (IS_WATCHED(device, close)) {
        dcmi_asked asked = ask(DCMEM_FAKE_close, NULL, 0);
        (void)dcmi_fault_meet(device->plan, &asked); /* it can only be slow */
    }
    device->over->close(device->inner);
    dcmi_fault_device_closed(device->plan);
    free(device);
}

/* NAME(parameters), arguments for the same, arguments for the one behind, how the watched call is asked, and how it is
 * passed on: two functions, so that the one for calls that nobody watches needs no room for the rest. */
#define FORWARD(name, parameters, same, behind, question, pass)                                                        \
    static __attribute__((cold, noinline)) dcmem_result watched_##name parameters                                      \
    {                                                                                                                  \
        faulty *device = handle;                                                                                       \
        dcmi_asked asked = question;                                                                                   \
        pass(device, asked, device->over->name behind);                                                                \
    }                                                                                                                  \
    static dcmem_result faulty_##name parameters                                                                       \
    {                                                                                                                  \
        faulty *device = handle;                                                                                       \
        return IS_WATCHED(device, name) ? watched_##name same : device->over->name behind;                             \
    }

FORWARD(info, (dcmem_device_info * out, void *handle), (out, handle), (out, device->inner),
        ask(DCMEM_FAKE_info, NULL, 0), PASS)
FORWARD(acquire, (dcmem_extent * out, void *handle, const dcmem_call *call, const dcmem_acquire *request),
        (out, handle, call, request), (out, device->inner, call, request),
        ask(DCMEM_FAKE_acquire, call, request->bytes), PASS)
FORWARD(release, (void *handle, const dcmem_call *call, const dcmem_extent *extent), (handle, call, extent),
        (device->inner, call, extent), ask(DCMEM_FAKE_release, call, extent->bytes), PASS_ALWAYS)

static dcmem_result
copy_spoilt(faulty *device, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes,
            const dcmi_verdict *verdict)
{
    uint64_t moved = bytes;
    if (verdict->effect == DCMI_EFFECT_short)
        moved = shortened(verdict, bytes, 1);
    if (verdict->effect == DCMI_EFFECT_stale)
        moved = 0;
    dcmem_result result = moved ? device->over->copy(device->inner, call, to, from, moved) : DCMEM_OK;
    if (!result && verdict->effect == DCMI_EFFECT_flip)
        flip_bit(device, call, to, bytes, verdict);
    return result;
}

static __attribute__((cold, noinline)) dcmem_result
watched_copy(faulty *device, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    dcmi_asked asked = ask(DCMEM_FAKE_copy, call, bytes);
    asked.way = way_of(to, from);
    PASS(device, asked, copy_spoilt(device, call, to, from, bytes, &verdict));
}

static dcmem_result
faulty_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    faulty *device = handle;
    return IS_WATCHED(device, copy) ? watched_copy(device, call, to, from, bytes)
                                    : device->over->copy(device->inner, call, to, from, bytes);
}

static dcmem_result
fill_spoilt(faulty *device, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
            uint32_t pattern_bytes, const dcmi_verdict *verdict)
{
    uint64_t moved = verdict->effect == DCMI_EFFECT_short ? shortened(verdict, bytes, pattern_bytes) : bytes;
    dcmem_result result = moved ? device->over->fill(device->inner, call, to, moved, pattern, pattern_bytes) : DCMEM_OK;
    if (!result && verdict->effect == DCMI_EFFECT_flip)
        flip_bit(device, call, to, bytes, verdict);
    return result;
}

static __attribute__((cold, noinline)) dcmem_result
watched_fill(faulty *device, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
             uint32_t pattern_bytes)
{
    dcmi_asked asked = ask(DCMEM_FAKE_fill, call, bytes);
    PASS(device, asked, fill_spoilt(device, call, to, bytes, pattern, pattern_bytes, &verdict));
}

static dcmem_result
faulty_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
            uint32_t pattern_bytes)
{
    faulty *device = handle;
    return IS_WATCHED(device, fill) ? watched_fill(device, call, to, bytes, pattern, pattern_bytes)
                                    : device->over->fill(device->inner, call, to, bytes, pattern, pattern_bytes);
}

/* ---- MAP ---- */

/* What makes bytes seen, and is left out where the reading is to be stale. */
#define COHERE(device, asked, expression)                                                                              \
    PASS(device, asked, verdict.effect == DCMI_EFFECT_stale ? DCMEM_OK : (expression))

FORWARD(map,
        (void **out, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes,
         uint32_t flags),
        (out, handle, call, extent, offset, bytes, flags), (out, device->inner, call, extent, offset, bytes, flags),
        ask(DCMEM_FAKE_map, call, bytes), PASS)
FORWARD(unmap, (void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host),
        (handle, call, extent, host), (device->inner, call, extent, host), ask(DCMEM_FAKE_unmap, call, 0), PASS_ALWAYS)
FORWARD(flush, (void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes),
        (handle, call, extent, offset, bytes), (device->inner, call, extent, offset, bytes),
        ask(DCMEM_FAKE_flush, call, bytes), COHERE)
FORWARD(invalidate, (void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes),
        (handle, call, extent, offset, bytes), (device->inner, call, extent, offset, bytes),
        ask(DCMEM_FAKE_invalidate, call, bytes), COHERE)

/* ---- ASYNC ---- */

static dcmem_result
open_queue(void **out, faulty *device, const dcmem_native_context *native)
{
    dcmem_result result = device->over->queue_open(out, device->inner, native);
    if (!result)
        dcmi_fault_queue_opened(device->plan, *out);
    return result;
}

static dcmem_result
faulty_queue_open(void **out, void *handle, const dcmem_native_context *native)
{
    faulty *device = handle;
    if (!IS_WATCHED(device, queue_open))
        return device->over->queue_open(out, device->inner, native);
    dcmi_asked asked = ask(DCMEM_FAKE_queue_open, NULL, 0);
    PASS(device, asked, open_queue(out, device, native));
}

static void
faulty_queue_close(void *handle, void *queue)
{
    faulty *device = handle;
    if (IS_WATCHED(device, queue_close)) {
        dcmi_asked asked = ask_queue(DCMEM_FAKE_queue_close, NULL, 0, queue);
        (void)dcmi_fault_meet(device->plan, &asked); /* it can only be slow */
        dcmi_fault_queue_closed(device->plan, queue);
    }
    device->over->queue_close(device->inner, queue);
}

/* The bit is flipped once they have arrived, so such a call waits. */
static void
flip_queued(faulty *device, void *queue, uint64_t value, const dcmem_call *call, const dcmem_place *to, uint64_t bytes,
            const dcmi_verdict *verdict)
{
    if (device->over->queue_wait(device->inner, queue, value, UINT64_MAX) == DCMEM_OK)
        flip_bit(device, call, to, bytes, verdict);
}

static dcmem_result
enqueue_copy_spoilt(uint64_t *out, faulty *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                    const dcmem_place *from, uint64_t bytes, const dcmi_verdict *verdict)
{
    uint64_t moved = bytes;
    if (verdict->effect == DCMI_EFFECT_short)
        moved = shortened(verdict, bytes, 1);
    if (verdict->effect == DCMI_EFFECT_stale)
        moved = 0;
    if (moved == 0)
        return device->over->queue_mark(out, device->inner, queue);
    dcmem_result result = device->over->enqueue_copy(out, device->inner, queue, call, to, from, moved);
    if (!result && verdict->effect == DCMI_EFFECT_flip)
        flip_queued(device, queue, *out, call, to, bytes, verdict);
    return result;
}

static __attribute__((cold, noinline)) dcmem_result
watched_enqueue_copy(uint64_t *out, faulty *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                     const dcmem_place *from, uint64_t bytes)
{
    dcmi_asked asked = ask_queue(DCMEM_FAKE_enqueue_copy, call, bytes, queue);
    asked.way = way_of(to, from);
    PASS(device, asked, enqueue_copy_spoilt(out, device, queue, call, to, from, bytes, &verdict));
}

static dcmem_result
faulty_enqueue_copy(uint64_t *out, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    const dcmem_place *from, uint64_t bytes)
{
    faulty *device = handle;
    return IS_WATCHED(device, enqueue_copy)
               ? watched_enqueue_copy(out, device, queue, call, to, from, bytes)
               : device->over->enqueue_copy(out, device->inner, queue, call, to, from, bytes);
}

static dcmem_result
enqueue_fill_spoilt(uint64_t *out, faulty *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                    uint64_t bytes, const void *pattern, uint32_t pattern_bytes, const dcmi_verdict *verdict)
{
    uint64_t moved = verdict->effect == DCMI_EFFECT_short ? shortened(verdict, bytes, pattern_bytes) : bytes;
    if (moved == 0)
        return device->over->queue_mark(out, device->inner, queue);
    dcmem_result result =
        device->over->enqueue_fill(out, device->inner, queue, call, to, moved, pattern, pattern_bytes);
    if (!result && verdict->effect == DCMI_EFFECT_flip)
        flip_queued(device, queue, *out, call, to, bytes, verdict);
    return result;
}

static __attribute__((cold, noinline)) dcmem_result
watched_enqueue_fill(uint64_t *out, faulty *device, void *queue, const dcmem_call *call, const dcmem_place *to,
                     uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    dcmi_asked asked = ask_queue(DCMEM_FAKE_enqueue_fill, call, bytes, queue);
    PASS(device, asked, enqueue_fill_spoilt(out, device, queue, call, to, bytes, pattern, pattern_bytes, &verdict));
}

static dcmem_result
faulty_enqueue_fill(uint64_t *out, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                    uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    faulty *device = handle;
    return IS_WATCHED(device, enqueue_fill)
               ? watched_enqueue_fill(out, device, queue, call, to, bytes, pattern, pattern_bytes)
               : device->over->enqueue_fill(out, device->inner, queue, call, to, bytes, pattern, pattern_bytes);
}

FORWARD(queue_mark, (uint64_t * out, void *handle, void *queue), (out, handle, queue), (out, device->inner, queue),
        ask_queue(DCMEM_FAKE_queue_mark, NULL, 0, queue), PASS)

static uint64_t
faulty_queue_completed(void *handle, void *queue)
{
    faulty *device = handle;
    uint64_t value = device->over->queue_completed(device->inner, queue);
    if (!IS_WATCHED(device, queue_completed))
        return value;
    dcmi_asked asked = ask_queue(DCMEM_FAKE_queue_completed, NULL, 0, queue);
    dcmi_verdict verdict = dcmi_fault_meet(device->plan, &asked);
    dcmi_fault_succeeded(device->plan, &asked, &verdict);
    if (verdict.effect == DCMI_EFFECT_double)
        value += verdict.argument.is_set ? verdict.argument.value : 1;
    return value;
}

/* What is said to be complete twice is said to be so before it is. */
#define COMPLETE(device, asked, expression)                                                                            \
    PASS(device, asked, verdict.effect == DCMI_EFFECT_double ? DCMEM_OK : (expression))

FORWARD(queue_wait, (void *handle, void *queue, uint64_t value, uint64_t timeout_ns),
        (handle, queue, value, timeout_ns), (device->inner, queue, value, timeout_ns),
        ask_queue(DCMEM_FAKE_queue_wait, NULL, 0, queue), COMPLETE)

/* ---- VIRTUAL ---- */

FORWARD(reserve, (uint64_t * out, void *handle, uint64_t bytes, uint64_t alignment), (out, handle, bytes, alignment),
        (out, device->inner, bytes, alignment), ask(DCMEM_FAKE_reserve, NULL, bytes), PASS)
FORWARD(unreserve, (void *handle, uint64_t address, uint64_t bytes), (handle, address, bytes),
        (device->inner, address, bytes), ask(DCMEM_FAKE_unreserve, NULL, bytes), PASS_ALWAYS)
FORWARD(page_create, (uint64_t * out, void *handle, const dcmem_call *call, uint64_t bytes, dcmem_kind kind),
        (out, handle, call, bytes, kind), (out, device->inner, call, bytes, kind),
        ask(DCMEM_FAKE_page_create, call, bytes), PASS)
FORWARD(page_destroy, (void *handle, const dcmem_call *call, uint64_t page), (handle, call, page),
        (device->inner, call, page), ask(DCMEM_FAKE_page_destroy, call, 0), PASS_ALWAYS)

/* The pages before the one that fails are mapped, and unmapped again. */
static dcmem_result
map_pages(faulty *device, const dcmi_asked *asked, dcmi_verdict *verdict, uint64_t address, uint64_t page,
          uint64_t page_offset)
{
    if (verdict->effect != DCMI_EFFECT_page)
        return device->over->page_map(device->inner, asked->call, address, page, page_offset, asked->bytes);
    uint64_t before = verdict->argument.value * device->granularity;
    dcmem_result result =
        before ? device->over->page_map(device->inner, asked->call, address, page, page_offset, before) : DCMEM_OK;
    if (!result && before)
        result = device->over->page_unmap(device->inner, asked->call, address, before);
    if (result)
        return result;
    verdict->result = DCMEM_E_NO_MEMORY;
    return dcmi_fault_fail(asked, verdict);
}

static dcmem_result
faulty_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
                uint64_t bytes)
{
    faulty *device = handle;
    if (!IS_WATCHED(device, page_map))
        return device->over->page_map(device->inner, call, address, page, page_offset, bytes);
    dcmi_asked asked = ask(DCMEM_FAKE_page_map, call, bytes);
    asked.pages = bytes ? (bytes - 1) / device->granularity + 1 : 0;
    PASS(device, asked, map_pages(device, &asked, &verdict, address, page, page_offset));
}

FORWARD(page_unmap, (void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes),
        (handle, call, address, bytes), (device->inner, call, address, bytes), ask(DCMEM_FAKE_page_unmap, call, bytes),
        PASS_ALWAYS)

/* ---- PEER ---- */

/* A peer is a device of this same table. */
static void *
behind(void *peer)
{
    return peer ? ((faulty *)peer)->inner : NULL;
}

FORWARD(peer_can, (bool *out, void *handle, void *peer), (out, handle, peer), (out, device->inner, behind(peer)),
        ask(DCMEM_FAKE_peer_can, NULL, 0), PASS)
FORWARD(peer_enable, (void *handle, void *peer), (handle, peer), (device->inner, behind(peer)),
        ask(DCMEM_FAKE_peer_enable, NULL, 0), PASS)
FORWARD(peer_disable, (void *handle, void *peer), (handle, peer), (device->inner, behind(peer)),
        ask(DCMEM_FAKE_peer_disable, NULL, 0), PASS_ALWAYS)

static dcmem_result
peer_copy_spoilt(faulty *device, const dcmem_call *call, const dcmem_place *to, void *peer, const dcmem_place *from,
                 uint64_t bytes, const dcmi_verdict *verdict)
{
    uint64_t moved = bytes;
    if (verdict->effect == DCMI_EFFECT_short)
        moved = shortened(verdict, bytes, 1);
    if (verdict->effect == DCMI_EFFECT_stale)
        moved = 0;
    dcmem_result result =
        moved ? device->over->peer_copy(device->inner, call, to, behind(peer), from, moved) : DCMEM_OK;
    if (!result && verdict->effect == DCMI_EFFECT_flip)
        flip_bit(device, call, to, bytes, verdict);
    return result;
}

static dcmem_result
faulty_peer_copy(void *handle, const dcmem_call *call, const dcmem_place *to, void *peer, const dcmem_place *from,
                 uint64_t bytes)
{
    faulty *device = handle;
    if (!IS_WATCHED(device, peer_copy))
        return device->over->peer_copy(device->inner, call, to, behind(peer), from, bytes);
    dcmi_asked asked = ask(DCMEM_FAKE_peer_copy, call, bytes);
    asked.way = DCMI_WAY_within;
    PASS(device, asked, peer_copy_spoilt(device, call, to, peer, from, bytes, &verdict));
}

/* ---- IMPORT and IPC ---- */

FORWARD(import_host, (dcmem_extent * out, void *handle, const dcmem_call *call, void *host, uint64_t bytes),
        (out, handle, call, host, bytes), (out, device->inner, call, host, bytes),
        ask(DCMEM_FAKE_import_host, call, bytes), PASS)
FORWARD(ipc_export, (dcmem_ipc_handle * out, void *handle, const dcmem_call *call, const dcmem_extent *extent),
        (out, handle, call, extent), (out, device->inner, call, extent),
        ask(DCMEM_FAKE_ipc_export, call, extent->bytes), PASS)
FORWARD(ipc_import, (dcmem_extent * out, void *handle, const dcmem_call *call, const dcmem_ipc_handle *shared),
        (out, handle, call, shared), (out, device->inner, call, shared),
        ask(DCMEM_FAKE_ipc_import, call, shared->memory_bytes), PASS)

/* ---- Layers ---- */

/* Every group that the backend behind has, and no other. */
static dcmem_backend
make_table(dcmi_layer *layer)
{
    dcmem_backend made = {.size = sizeof made,
                          .contract = DCMEM_BACKEND_CONTRACT,
                          .name = layer->over->name,
                          .context = layer,
#define DCMEM_X(operation, group) .operation = faulty_##operation,
                          DCMEM_FAKE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
    };
    dcmi_groups_fit(&made, layer->over->capabilities);
    return made;
}

/* A backend that ended may have left its place to another one. */
dcmem_result
dcmi_layer_get(const dcmem_backend **out, dcmem_fault_plan *plan, dcmi_layer **list, const dcmem_backend *over)
{
    for (dcmi_layer *it = *list; it; it = it->next)
        if (it->over == over && memcmp(&it->copy, over, sizeof it->copy) == 0) {
            *out = &it->table;
            return DCMEM_OK;
        }
    dcmi_layer *layer = dcmi_host_new(sizeof *layer);
    if (!layer)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "faults", 0, "a backend below a fault plan");
    layer->over = over;
    layer->plan = plan;
    layer->table = make_table(layer);
    layer->next = *list;
    memcpy(&layer->copy, over, sizeof layer->copy);
    *list = layer;
    *out = &layer->table;
    return DCMEM_OK;
}

void
dcmi_layers_end(dcmi_layer *list)
{
    for (dcmi_layer *next; list; list = next) {
        next = list->next;
        free(list);
    }
}
