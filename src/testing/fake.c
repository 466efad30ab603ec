/* fake.c: a backend that stands before another one: counts, remembers, checks, and fails calls on command.
 *
 * Every function of the table does the same three things: begin() counts the call and decides whether it fails, the
 * backend behind is called, end() keeps the books. What ends something (release, unmap, ...) ends it even where it is
 * made to fail: a failing driver still ends the caller's claim.
 *
 * The fake's lock guards all of it but the table and the report, which never change. Neither the backend behind nor a
 * function of the user's is called with it held. */
#include <dcmem/testing.h>

#include "groups.h"
#include "host.h"
#include "ledger.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ORDERS    64u
#define OPERATIONS    DCMEM_FAKE_OPERATION_COUNT
#define MESSAGE_BYTES 200u

typedef struct order {
    dcmem_fake_operation operation;
    dcmem_result result;
    uint64_t first;
    uint64_t count;
    uint64_t seen;
} order;

typedef struct expectation {
    bool is_active;
    uint64_t least;
    uint64_t most;
    uint64_t seen;
} expectation;

typedef struct fake_device {
    dcmem_fake *fake;
    void *inner;
    dcmi_ledger ledger;
    struct fake_device *next;
} fake_device;

struct dcmem_fake {
    dcmem_backend table;
    const dcmem_backend *inner;
    dcmem_backend *own; /* the simulated one made for it; NULL where the user gave one */
    char name[16];
    dcmem_fake_report report;
    void *report_user;
    dcmem_fake_gate gate;
    void *gate_user;

    pthread_mutex_t lock;
    fake_device *devices;
    uint64_t abandoned_bytes; /* of devices that were closed too early */
    uint64_t abandoned_extents;
    uint64_t index;
    dcmem_fake_count counts[OPERATIONS];
    dcmem_fake_call last[OPERATIONS + 1];
    dcmem_fake_call kept[DCMEM_FAKE_KEPT]; /* a ring */
    uint64_t ended;
    order orders[MAX_ORDERS];
    uint32_t order_count;
    expectation expectations[OPERATIONS + 1];
    uint64_t faults;           /* reported since the last verify */
    char fault[MESSAGE_BYTES]; /* the first of them */
};

static const char *const operation_names[OPERATIONS + 1] = {
#define DCMEM_X(name, group) #name,
    DCMEM_FAKE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
        "any",
};

const char *
dcmem_fake_operation_name(dcmem_fake_operation operation)
{
    return (unsigned)operation <= OPERATIONS ? operation_names[operation] : "unknown";
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "fake", 0, "must hold: %s", #condition);               \
    } while (0)

static bool
can_fail(dcmem_fake_operation operation)
{
    return operation != DCMEM_FAKE_close && operation != DCMEM_FAKE_queue_close &&
           operation != DCMEM_FAKE_queue_completed;
}

/* What a driver would say. */
static dcmem_result
fitting_result(dcmem_fake_operation operation)
{
    switch (operation) {
    case DCMEM_FAKE_count:
    case DCMEM_FAKE_open:
        return DCMEM_E_UNAVAILABLE;
    case DCMEM_FAKE_acquire:
    case DCMEM_FAKE_page_create:
    case DCMEM_FAKE_ipc_import:
        return DCMEM_E_NO_MEMORY;
    case DCMEM_FAKE_map:
    case DCMEM_FAKE_reserve:
    case DCMEM_FAKE_queue_open:
    case DCMEM_FAKE_import_host:
        return DCMEM_E_NO_HOST_MEMORY;
    default:
        return DCMEM_E_DRIVER;
    }
}

/* ---- Reports ---- */

/* COVER begin: the process ends before its counters are written */
static void
report_and_abort(void *user, const char *message)
{
    (void)user;
    fprintf(stderr, "dcmem fake: %s\n", message);
    abort();
}
/* COVER end */

/* Must be called without the lock. */
static void report(dcmem_fake *fake, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
report(dcmem_fake *fake, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    pthread_mutex_lock(&fake->lock);
    if (fake->faults++ == 0)
        memcpy(fake->fault, message, sizeof message);
    pthread_mutex_unlock(&fake->lock);
    fake->report(fake->report_user, message);
}

static void
report_call(dcmem_fake *fake, const dcmem_fake_call *record, const char *fault)
{
    report(fake, "call %llu, %s of %llu bytes, tag %u: %s", (unsigned long long)record->index,
           dcmem_fake_operation_name(record->operation), (unsigned long long)record->bytes, record->call.tag, fault);
}

/* ---- Counting and deciding ---- */

/* The result ordered for this call, or DCMEM_OK. Every order that fits counts it. */
static dcmem_result
ask_orders(dcmem_fake *fake, dcmem_fake_operation operation)
{
    dcmem_result result = DCMEM_OK;
    for (uint32_t i = 0; i < fake->order_count; i++) {
        order *it = &fake->orders[i];
        if (it->operation != operation && it->operation != DCMEM_FAKE_any)
            continue;
        it->seen++;
        if (!result && it->seen >= it->first && it->seen - it->first < it->count)
            result = it->result;
    }
    return result;
}

/* Whether the call is one too many. */
static bool
exceeds(expectation *it)
{
    return it->is_active && ++it->seen > it->most;
}

/* Counts the call and returns the result that it must fail with, or DCMEM_OK. */
static dcmem_result
begin(dcmem_fake *fake, dcmem_fake_call *record)
{
    dcmem_fake_operation operation = record->operation;
    bool is_fallible = can_fail(operation);

    pthread_mutex_lock(&fake->lock);
    record->index = ++fake->index;
    record->number = ++fake->counts[operation].tried;
    dcmem_result result = is_fallible ? ask_orders(fake, operation) : DCMEM_OK;
    bool is_too_many = exceeds(&fake->expectations[operation]);
    is_too_many |= is_fallible && exceeds(&fake->expectations[OPERATIONS]);
    dcmem_fake_gate gate = fake->gate;
    void *gate_user = fake->gate_user;
    pthread_mutex_unlock(&fake->lock);

    if (is_too_many)
        report_call(fake, record, "one call more than expected");
    if (is_fallible && !result && gate) {
        record->result = fitting_result(operation);
        result = gate(gate_user, record);
        record->result = DCMEM_OK;
    }
    if (result)
        dcmem_backend_fail(result, fake->name, (int64_t)record->index, "call %llu, %s of %llu bytes: made to fail",
                           (unsigned long long)record->index, dcmem_fake_operation_name(operation),
                           (unsigned long long)record->bytes);
    return result;
}

/* Remembers the call. `is_called`: it went on to the backend behind, which said `behind`. */
static dcmem_result
end(dcmem_fake *fake, dcmem_fake_call *record, dcmem_result result, bool is_called, dcmem_result behind)
{
    record->result = result;
    pthread_mutex_lock(&fake->lock);
    fake->counts[record->operation].called += is_called;
    fake->counts[record->operation].did += is_called && !behind;
    fake->last[record->operation] = *record;
    fake->last[OPERATIONS] = *record;
    fake->kept[fake->ended++ % DCMEM_FAKE_KEPT] = *record;
    pthread_mutex_unlock(&fake->lock);
    return result;
}

/* For calls that do nothing when they fail. `expression` is the call of the backend behind. */
#define PASS(result, fake, record, expression)                                                                         \
    do {                                                                                                               \
        result = begin(fake, record);                                                                                  \
        bool is_called = !result;                                                                                      \
        if (is_called)                                                                                                 \
            result = (expression);                                                                                     \
        end(fake, record, result, is_called, result);                                                                  \
    } while (0)

/* For calls that end something, whatever they say. */
#define PASS_ALWAYS(result, fake, record, expression)                                                                  \
    do {                                                                                                               \
        dcmem_result ordered = begin(fake, record);                                                                    \
        dcmem_detail detail = *dcmem_last_detail();                                                                    \
        dcmem_result said = (expression);                                                                              \
        result = ordered ? ordered : said;                                                                             \
        if (ordered)                                                                                                   \
            dcmem_backend_fail(ordered, fake->name, detail.driver_code, "%s", detail.message);                         \
        end(fake, record, result, true, said);                                                                         \
    } while (0)

/* Books under the lock; what they find is reported without it. */
#define BOOK(device, record, expression)                                                                               \
    do {                                                                                                               \
        pthread_mutex_lock(&(device)->fake->lock);                                                                     \
        const char *fault = (expression);                                                                              \
        pthread_mutex_unlock(&(device)->fake->lock);                                                                   \
        if (fault)                                                                                                     \
            report_call((device)->fake, record, fault);                                                                \
    } while (0)

static dcmem_result
refuse(dcmem_fake *fake, dcmem_fake_call *record, const char *fault)
{
    begin(fake, record);
    report_call(fake, record, fault);
    dcmem_result result = dcmem_backend_fail(DCMEM_E_CONTRACT, fake->name, (int64_t)record->index, "%s %s",
                                             dcmem_fake_operation_name(record->operation), fault);
    return end(fake, record, result, false, result);
}

/* The same before the call: what breaks the contract never reaches the backend behind, which may be a real one. */
#define KEEP(device, record, expression)                                                                               \
    do {                                                                                                               \
        pthread_mutex_lock(&(device)->fake->lock);                                                                     \
        const char *fault = (expression);                                                                              \
        pthread_mutex_unlock(&(device)->fake->lock);                                                                   \
        if (fault)                                                                                                     \
            return refuse((device)->fake, record, fault);                                                              \
    } while (0)

/* Rule 4: never NULL. */
static dcmem_call
call_of(fake_device *device, dcmem_fake_operation operation, const dcmem_call *call)
{
    if (call)
        return *call;
    report(device->fake, "%s without a dcmem_call", dcmem_fake_operation_name(operation));
    return (dcmem_call){0};
}

/* ---- Required ---- */

static dcmem_result
fake_count(uint32_t *out, const dcmem_backend *backend)
{
    dcmem_fake *fake = backend->context;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_count};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->count(out, fake->inner));
    return result;
}

static bool
is_divisible(dcmem_fake *fake, void *inner)
{
    dcmem_device_info info = {.size = sizeof info};
    return fake->inner->info(&info, inner) == DCMEM_OK && (info.capabilities & DCMEM_CAP_DIVISIBLE);
}

static dcmem_result
open_behind(fake_device **out, dcmem_fake *fake, const dcmem_open *options)
{
    fake_device *device = dcmi_host_new(sizeof *device);
    if (!device)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, fake->name, 0, "a fake's device");
    dcmem_result result = fake->inner->open(&device->inner, fake->inner, options);
    if (result) {
        free(device);
        return result;
    }
    device->fake = fake;
    device->ledger.is_divisible = is_divisible(fake, device->inner);

    pthread_mutex_lock(&fake->lock);
    device->next = fake->devices;
    fake->devices = device;
    pthread_mutex_unlock(&fake->lock);
    *out = device;
    return DCMEM_OK;
}

static dcmem_result
fake_open(void **out, const dcmem_backend *backend, const dcmem_open *options)
{
    dcmem_fake *fake = backend->context;
    fake_device *device = NULL;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_open};
    dcmem_result result;
    PASS(result, fake, &record, open_behind(&device, fake, options));
    if (!result)
        *out = device;
    return result;
}

static void
unlink_device(fake_device *device)
{
    fake_device **link = &device->fake->devices;
    while (*link != device)
        link = &(*link)->next;
    *link = device->next;
}

static void
fake_close(void *handle)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_close};
    begin(fake, &record);

    pthread_mutex_lock(&fake->lock);
    const char *rest = dcmi_ledger_rest(&device->ledger);
    fake->abandoned_bytes += dcmi_ledger_bytes(&device->ledger);
    fake->abandoned_extents += dcmi_ledger_extents(&device->ledger);
    unlink_device(device);
    pthread_mutex_unlock(&fake->lock);
    if (rest)
        report(fake, "close while %s is still held", rest);

    fake->inner->close(device->inner);
    end(fake, &record, DCMEM_OK, true, DCMEM_OK);
    dcmi_ledger_fini(&device->ledger);
    free(device);
}

static dcmem_result
fake_info(dcmem_device_info *out, void *handle)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_info};
    dcmem_device_info info = *out;
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->info(&info, device->inner));
    if (result)
        return result;
    snprintf(info.backend, sizeof info.backend, "%s", fake->name);
    *out = info;
    return DCMEM_OK;
}

static dcmem_result
fake_acquire(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_acquire *request)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_acquire,
                              .call = call_of(device, DCMEM_FAKE_acquire, call),
                              .request = *request,
                              .bytes = request->bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->acquire(&record.extent, device->inner, call, request));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_acquire(&device->ledger, &record.extent));
    *out = record.extent;
    return DCMEM_OK;
}

static dcmem_result
fake_release(void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_release,
                              .call = call_of(device, DCMEM_FAKE_release, call),
                              .extent = *extent,
                              .bytes = extent->bytes};
    dcmem_result result;
    /* Booked first: once it is released, another thread may be given the same memory. */
    KEEP(device, &record, dcmi_ledger_release(&device->ledger, extent));
    PASS_ALWAYS(result, fake, &record, fake->inner->release(device->inner, call, extent));
    return result;
}

/* What is wrong with a place, or NULL. */
static const char *
place_fault(const fake_device *device, const dcmem_place *place, uint64_t bytes)
{
    if (place->extent)
        return dcmi_ledger_check_range(&device->ledger, place->extent, place->offset, bytes);
    return place->host ? NULL : "has a place that is nowhere";
}

static const char *
copy_fault(const fake_device *device, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    const char *fault = place_fault(device, to, bytes);
    if (!fault)
        fault = place_fault(device, from, bytes);
    if (fault || !to->extent || !from->extent)
        return fault;
    uint64_t a = to->extent->object + to->offset, b = from->extent->object + from->offset;
    return a < b + bytes && b < a + bytes ? "copies between ranges that overlap" : NULL;
}

static const char *
fill_fault(const fake_device *device, const dcmem_place *to, uint64_t bytes, uint32_t pattern_bytes)
{
    bool is_size =
        pattern_bytes == 1 || pattern_bytes == 2 || pattern_bytes == 4 || pattern_bytes == 8 || pattern_bytes == 16;
    if (!is_size)
        return "has a pattern of a wrong size";
    if (to->offset % pattern_bytes || bytes % pattern_bytes)
        return "is not a multiple of its pattern";
    return place_fault(device, to, bytes);
}

static dcmem_fake_call
record_copy(fake_device *device, dcmem_fake_operation operation, const dcmem_call *call, const dcmem_place *to,
            const dcmem_place *from, uint64_t bytes)
{
    dcmem_fake_call record = {.operation = operation, .call = call_of(device, operation, call), .bytes = bytes};
    record.to_offset = to->offset;
    record.from_offset = from->offset;
    if (to->extent)
        record.to = *to->extent;
    if (from->extent)
        record.from = *from->extent;
    record.host = !to->extent ? to->host : !from->extent ? from->host : NULL;
    return record;
}

static dcmem_fake_call
record_fill(fake_device *device, dcmem_fake_operation operation, const dcmem_call *call, const dcmem_place *to,
            uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    dcmem_fake_call record = {.operation = operation, .call = call_of(device, operation, call), .bytes = bytes};
    record.to_offset = to->offset;
    record.pattern_bytes = pattern_bytes;
    if (to->extent)
        record.to = *to->extent;
    else
        record.host = to->host;
    memcpy(record.pattern, pattern, pattern_bytes <= sizeof record.pattern ? pattern_bytes : sizeof record.pattern);
    return record;
}

static dcmem_result
fake_copy(void *handle, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_copy(device, DCMEM_FAKE_copy, call, to, from, bytes);
    dcmem_result result;
    KEEP(device, &record, copy_fault(device, to, from, bytes));
    PASS(result, fake, &record, fake->inner->copy(device->inner, call, to, from, bytes));
    return result;
}

static dcmem_result
fake_fill(void *handle, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
          uint32_t pattern_bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_fill(device, DCMEM_FAKE_fill, call, to, bytes, pattern, pattern_bytes);
    dcmem_result result;
    KEEP(device, &record, fill_fault(device, to, bytes, pattern_bytes));
    PASS(result, fake, &record, fake->inner->fill(device->inner, call, to, bytes, pattern, pattern_bytes));
    return result;
}

/* ---- MAP ---- */

static dcmem_fake_call
record_range(fake_device *device, dcmem_fake_operation operation, const dcmem_call *call, const dcmem_extent *extent,
             uint64_t offset, uint64_t bytes)
{
    dcmem_fake_call record = {.operation = operation, .call = call_of(device, operation, call), .extent = *extent};
    record.offset = offset;
    record.bytes = bytes;
    return record;
}

static dcmem_result
fake_map(void **out, void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes,
         uint32_t flags)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_range(device, DCMEM_FAKE_map, call, extent, offset, bytes);
    dcmem_result result;
    record.flags = flags;
    KEEP(device, &record, dcmi_ledger_check_range(&device->ledger, extent, offset, bytes));
    PASS(result, fake, &record, fake->inner->map(&record.host, device->inner, call, extent, offset, bytes, flags));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_add(&device->ledger, DCMI_HOLDING_MAP, (uintptr_t)record.host, bytes));
    *out = record.host;
    return DCMEM_OK;
}

static dcmem_result
fake_unmap(void *handle, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_range(device, DCMEM_FAKE_unmap, call, extent, 0, 0);
    dcmem_result result;
    record.host = host;
    KEEP(device, &record, dcmi_ledger_remove(&device->ledger, DCMI_HOLDING_MAP, (uintptr_t)host));
    PASS_ALWAYS(result, fake, &record, fake->inner->unmap(device->inner, call, extent, host));
    return result;
}

static dcmem_result
fake_flush(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_range(device, DCMEM_FAKE_flush, call, extent, offset, bytes);
    dcmem_result result;
    KEEP(device, &record, dcmi_ledger_check_range(&device->ledger, extent, offset, bytes));
    PASS(result, fake, &record, fake->inner->flush(device->inner, call, extent, offset, bytes));
    return result;
}

static dcmem_result
fake_invalidate(void *handle, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_range(device, DCMEM_FAKE_invalidate, call, extent, offset, bytes);
    dcmem_result result;
    KEEP(device, &record, dcmi_ledger_check_range(&device->ledger, extent, offset, bytes));
    PASS(result, fake, &record, fake->inner->invalidate(device->inner, call, extent, offset, bytes));
    return result;
}

/* ---- ASYNC ---- */

static dcmem_result
fake_queue_open(void **out, void *handle, const dcmem_native_context *native)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_queue_open};
    void *queue = NULL;
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->queue_open(&queue, device->inner, native));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_add(&device->ledger, DCMI_HOLDING_QUEUE, (uintptr_t)queue, 0));
    *out = queue;
    return DCMEM_OK;
}

static const char *
queue_fault(const fake_device *device, void *queue)
{
    return dcmi_ledger_has(&device->ledger, DCMI_HOLDING_QUEUE, (uintptr_t)queue) ? NULL : "names no open queue";
}

static void
fake_queue_close(void *handle, void *queue)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_queue_close};
    begin(fake, &record);
    BOOK(device, &record, dcmi_ledger_remove(&device->ledger, DCMI_HOLDING_QUEUE, (uintptr_t)queue));
    fake->inner->queue_close(device->inner, queue);
    end(fake, &record, DCMEM_OK, true, DCMEM_OK);
}

static dcmem_result
fake_enqueue_copy(uint64_t *out, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                  const dcmem_place *from, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_copy(device, DCMEM_FAKE_enqueue_copy, call, to, from, bytes);
    dcmem_result result;
    KEEP(device, &record, queue_fault(device, queue));
    KEEP(device, &record, copy_fault(device, to, from, bytes));
    PASS(result, fake, &record, fake->inner->enqueue_copy(out, device->inner, queue, call, to, from, bytes));
    return result;
}

static dcmem_result
fake_enqueue_fill(uint64_t *out, void *handle, void *queue, const dcmem_call *call, const dcmem_place *to,
                  uint64_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_fill(device, DCMEM_FAKE_enqueue_fill, call, to, bytes, pattern, pattern_bytes);
    dcmem_result result;
    KEEP(device, &record, queue_fault(device, queue));
    KEEP(device, &record, fill_fault(device, to, bytes, pattern_bytes));
    PASS(result, fake, &record,
         fake->inner->enqueue_fill(out, device->inner, queue, call, to, bytes, pattern, pattern_bytes));
    return result;
}

static dcmem_result
fake_queue_mark(uint64_t *out, void *handle, void *queue)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_queue_mark};
    dcmem_result result;
    KEEP(device, &record, queue_fault(device, queue));
    PASS(result, fake, &record, fake->inner->queue_mark(out, device->inner, queue));
    return result;
}

static uint64_t
fake_queue_completed(void *handle, void *queue)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_queue_completed};
    begin(fake, &record);
    BOOK(device, &record, queue_fault(device, queue));
    uint64_t value = fake->inner->queue_completed(device->inner, queue);
    end(fake, &record, DCMEM_OK, true, DCMEM_OK);
    return value;
}

static dcmem_result
fake_queue_wait(void *handle, void *queue, uint64_t value, uint64_t timeout_ns)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_queue_wait, .offset = value};
    dcmem_result result;
    KEEP(device, &record, queue_fault(device, queue));
    PASS(result, fake, &record, fake->inner->queue_wait(device->inner, queue, value, timeout_ns));
    return result;
}

/* ---- VIRTUAL ---- */

static dcmem_result
fake_reserve(uint64_t *out, void *handle, uint64_t bytes, uint64_t alignment)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_reserve, .bytes = bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->reserve(&record.offset, device->inner, bytes, alignment));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_add(&device->ledger, DCMI_HOLDING_RESERVATION, record.offset, bytes));
    *out = record.offset;
    return DCMEM_OK;
}

static dcmem_result
fake_unreserve(void *handle, uint64_t address, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_unreserve, .offset = address, .bytes = bytes};
    dcmem_result result;
    KEEP(device, &record, dcmi_ledger_remove(&device->ledger, DCMI_HOLDING_RESERVATION, address));
    PASS_ALWAYS(result, fake, &record, fake->inner->unreserve(device->inner, address, bytes));
    return result;
}

static dcmem_result
fake_page_create(uint64_t *out, void *handle, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {
        .operation = DCMEM_FAKE_page_create, .call = call_of(device, DCMEM_FAKE_page_create, call), .bytes = bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->page_create(&record.offset, device->inner, call, bytes, kind));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_add(&device->ledger, DCMI_HOLDING_PAGE, record.offset, bytes));
    *out = record.offset;
    return DCMEM_OK;
}

static dcmem_result
fake_page_destroy(void *handle, const dcmem_call *call, uint64_t page)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {
        .operation = DCMEM_FAKE_page_destroy, .call = call_of(device, DCMEM_FAKE_page_destroy, call), .offset = page};
    dcmem_result result;
    KEEP(device, &record, dcmi_ledger_remove(&device->ledger, DCMI_HOLDING_PAGE, page));
    PASS_ALWAYS(result, fake, &record, fake->inner->page_destroy(device->inner, call, page));
    return result;
}

static const char *
book_page_map(fake_device *device, uint64_t address, uint64_t bytes)
{
    dcmi_piece piece = {.begin = address, .bytes = bytes};
    return dcmi_pieces_add(&device->ledger.mapped, &piece) ? NULL : "maps a page where one is";
}

static const char *
book_page_unmap(fake_device *device, uint64_t address, uint64_t bytes)
{
    if (!bytes || !dcmi_pieces_cover(&device->ledger.mapped, address, bytes))
        return "unmaps where no page is";
    return dcmi_pieces_cut(&device->ledger.mapped, address, bytes, NULL, NULL) ? NULL : "found no memory for its books";
}

static dcmem_result
fake_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
              uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_page_map,
                              .call = call_of(device, DCMEM_FAKE_page_map, call),
                              .offset = address,
                              .from_offset = page_offset,
                              .bytes = bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->page_map(device->inner, call, address, page, page_offset, bytes));
    if (!result)
        BOOK(device, &record, book_page_map(device, address, bytes));
    return result;
}

static dcmem_result
fake_page_unmap(void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_page_unmap,
                              .call = call_of(device, DCMEM_FAKE_page_unmap, call),
                              .offset = address,
                              .bytes = bytes};
    dcmem_result result;
    KEEP(device, &record, book_page_unmap(device, address, bytes));
    PASS_ALWAYS(result, fake, &record, fake->inner->page_unmap(device->inner, call, address, bytes));
    return result;
}

/* ---- PEER ---- */

/* A peer is a device of this same fake. */
static void *
behind(void *peer)
{
    return peer ? ((fake_device *)peer)->inner : NULL;
}

static dcmem_result
fake_peer_can(bool *out, void *handle, void *peer)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_peer_can};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->peer_can(out, device->inner, behind(peer)));
    return result;
}

static dcmem_result
fake_peer_enable(void *handle, void *peer)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_peer_enable};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->peer_enable(device->inner, behind(peer)));
    return result;
}

static dcmem_result
fake_peer_disable(void *handle, void *peer)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_peer_disable};
    dcmem_result result;
    PASS_ALWAYS(result, fake, &record, fake->inner->peer_disable(device->inner, behind(peer)));
    return result;
}

static dcmem_result
fake_peer_copy(void *handle, const dcmem_call *call, const dcmem_place *to, void *peer, const dcmem_place *from,
               uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_copy(device, DCMEM_FAKE_peer_copy, call, to, from, bytes);
    dcmem_result result;
    KEEP(device, &record, place_fault(device, to, bytes));
    KEEP(device, &record, place_fault(peer, from, bytes));
    PASS(result, fake, &record, fake->inner->peer_copy(device->inner, call, to, behind(peer), from, bytes));
    return result;
}

/* ---- IMPORT and IPC ---- */

static dcmem_result
fake_import_host(dcmem_extent *out, void *handle, const dcmem_call *call, void *host, uint64_t bytes)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_import_host,
                              .call = call_of(device, DCMEM_FAKE_import_host, call),
                              .host = host,
                              .bytes = bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->import_host(&record.extent, device->inner, call, host, bytes));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_import(&device->ledger, DCMI_HOLDING_IMPORT, &record.extent));
    *out = record.extent;
    return DCMEM_OK;
}

static dcmem_result
fake_ipc_export(dcmem_ipc_handle *out, void *handle, const dcmem_call *call, const dcmem_extent *extent)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = record_range(device, DCMEM_FAKE_ipc_export, call, extent, 0, extent->bytes);
    dcmem_result result;
    KEEP(device, &record, dcmi_ledger_check_range(&device->ledger, extent, 0, extent->bytes));
    PASS(result, fake, &record, fake->inner->ipc_export(out, device->inner, call, extent));
    return result;
}

static dcmem_result
fake_ipc_import(dcmem_extent *out, void *handle, const dcmem_call *call, const dcmem_ipc_handle *shared)
{
    fake_device *device = handle;
    dcmem_fake *fake = device->fake;
    dcmem_fake_call record = {.operation = DCMEM_FAKE_ipc_import,
                              .call = call_of(device, DCMEM_FAKE_ipc_import, call),
                              .bytes = shared->memory_bytes};
    dcmem_result result;
    PASS(result, fake, &record, fake->inner->ipc_import(&record.extent, device->inner, call, shared));
    if (result)
        return result;
    BOOK(device, &record, dcmi_ledger_import(&device->ledger, DCMI_HOLDING_SHARED, &record.extent));
    *out = record.extent;
    return DCMEM_OK;
}

/* ---- Life ---- */

/* Every group that the backend behind has, and no other. */
static dcmem_backend
make_table(dcmem_fake *fake)
{
    dcmem_backend made = {.size = sizeof made,
                          .contract = DCMEM_BACKEND_CONTRACT,
                          .name = fake->name,
                          .context = fake,
#define DCMEM_X(operation, group) .operation = fake_##operation,
                          DCMEM_FAKE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
    };
    dcmi_groups_fit(&made, fake->inner->capabilities);
    return made;
}

static const dcmem_simulated_profile default_profile = {
    .size = sizeof(dcmem_simulated_profile),
    .name = "Fake device",
    .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_HOST_VISIBLE,
    .total_bytes = 64ull << 20,
};

dcmem_result
dcmem_fake_create(dcmem_fake **out, const dcmem_fake_options *options)
{
    static const dcmem_fake_options defaults = {.size = sizeof defaults};
    options = options ? options : &defaults;
    REQUIRE(out && options->size == sizeof *options);
    REQUIRE(!options->over || !options->profile);
    REQUIRE(!options->name || strlen(options->name) < sizeof(*out)->name);

    dcmem_fake *fake = dcmi_host_new(sizeof *fake);
    if (!fake)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "fake", 0, "a fake backend");
    if (!options->over) {
        const dcmem_simulated_profile *profile = options->profile ? options->profile : &default_profile;
        dcmem_result result = dcmem_simulated_create(&fake->own, profile, 1);
        if (result) {
            free(fake);
            return result;
        }
    }
    fake->inner = options->over ? options->over : fake->own;
    fake->report = options->report ? options->report : report_and_abort;
    fake->report_user = options->report_user;
    snprintf(fake->name, sizeof fake->name, "%s", options->name ? options->name : fake->inner->name);
    pthread_mutex_init(&fake->lock, NULL);
    fake->table = make_table(fake);
    *out = fake;
    return DCMEM_OK;
}

dcmem_result
dcmem_fake_destroy(dcmem_fake *fake)
{
    if (!fake)
        return DCMEM_OK;
    if (fake->devices)
        return dcmem_backend_fail(DCMEM_E_BUSY, fake->name, 0, "a device of the fake is open");
    uint64_t bytes = fake->abandoned_bytes, extents = fake->abandoned_extents;
    (void)dcmem_simulated_destroy(fake->own); /* its leaks are those that the fake knows */
    pthread_mutex_destroy(&fake->lock);
    free(fake);
    if (extents == 0)
        return DCMEM_OK;
    return dcmem_backend_fail(DCMEM_E_LEAKED, "fake", 0, "%llu extents of %llu bytes were never released",
                              (unsigned long long)extents, (unsigned long long)bytes);
}

const dcmem_backend *
dcmem_fake_backend(dcmem_fake *fake)
{
    return &fake->table;
}

/* ---- Orders, counts, expectations ---- */

dcmem_result
dcmem_fake_fail(dcmem_fake *fake, dcmem_fake_operation operation, dcmem_result result, uint64_t first, uint64_t count)
{
    REQUIRE(fake && (unsigned)operation <= OPERATIONS && can_fail(operation));
    REQUIRE(result != DCMEM_OK && first > 0 && count > 0);
    pthread_mutex_lock(&fake->lock);
    bool fits = fake->order_count < MAX_ORDERS;
    if (fits)
        fake->orders[fake->order_count++] = (order){operation, result, first, count, 0};
    pthread_mutex_unlock(&fake->lock);
    return fits ? DCMEM_OK : dcmem_backend_fail(DCMEM_E_LIMIT, fake->name, 0, "%u orders stand", MAX_ORDERS);
}

dcmem_result
dcmem_fake_script(dcmem_fake *fake, dcmem_fake_operation operation, const dcmem_result *results, uint32_t count)
{
    REQUIRE(fake && (unsigned)operation <= OPERATIONS && can_fail(operation) && results && count > 0);
    uint32_t failures = 0;
    for (uint32_t i = 0; i < count; i++)
        failures += results[i] != DCMEM_OK;
    pthread_mutex_lock(&fake->lock);
    bool fits = failures <= MAX_ORDERS - fake->order_count;
    for (uint32_t i = 0; i < count && fits; i++)
        if (results[i])
            fake->orders[fake->order_count++] = (order){operation, results[i], i + 1, 1, 0};
    pthread_mutex_unlock(&fake->lock);
    return fits ? DCMEM_OK : dcmem_backend_fail(DCMEM_E_LIMIT, fake->name, 0, "%u orders are too many", failures);
}

void
dcmem_fake_set_gate(dcmem_fake *fake, dcmem_fake_gate gate, void *user)
{
    pthread_mutex_lock(&fake->lock);
    fake->gate = gate;
    fake->gate_user = user;
    pthread_mutex_unlock(&fake->lock);
}

void
dcmem_fake_reset(dcmem_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    memset(fake->counts, 0, sizeof fake->counts);
    memset(fake->last, 0, sizeof fake->last);
    memset(fake->kept, 0, sizeof fake->kept);
    memset(fake->expectations, 0, sizeof fake->expectations);
    fake->order_count = 0;
    fake->index = 0;
    fake->faults = 0;
    pthread_mutex_unlock(&fake->lock);
    dcmem_fake_set_gate(fake, NULL, NULL);
}

dcmem_fake_count
dcmem_fake_count_of(dcmem_fake *fake, dcmem_fake_operation operation)
{
    dcmem_fake_count count = {0, 0, 0};
    pthread_mutex_lock(&fake->lock);
    for (int i = 0; i < OPERATIONS; i++) {
        if ((int)operation != i && !(operation == DCMEM_FAKE_any && can_fail((dcmem_fake_operation)i)))
            continue;
        count.tried += fake->counts[i].tried;
        count.called += fake->counts[i].called;
        count.did += fake->counts[i].did;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

dcmem_fake_call
dcmem_fake_last(dcmem_fake *fake, dcmem_fake_operation operation)
{
    dcmem_fake_call last = {.operation = operation};
    pthread_mutex_lock(&fake->lock);
    if ((unsigned)operation <= OPERATIONS && fake->last[operation].index > 0)
        last = fake->last[operation];
    pthread_mutex_unlock(&fake->lock);
    return last;
}

dcmem_fake_call
dcmem_fake_nth(dcmem_fake *fake, dcmem_fake_operation operation, uint64_t n)
{
    dcmem_fake_call found = {.operation = operation};
    pthread_mutex_lock(&fake->lock);
    for (uint32_t i = 0; i < DCMEM_FAKE_KEPT; i++) {
        const dcmem_fake_call *it = &fake->kept[i];
        bool is_it = operation == DCMEM_FAKE_any ? it->index == n : it->operation == operation && it->number == n;
        if (it->index > 0 && is_it)
            found = *it;
    }
    pthread_mutex_unlock(&fake->lock);
    return found;
}

dcmem_result
dcmem_fake_expect(dcmem_fake *fake, dcmem_fake_operation operation, uint64_t least, uint64_t most)
{
    REQUIRE(fake && (unsigned)operation <= OPERATIONS && least <= most);
    pthread_mutex_lock(&fake->lock);
    fake->expectations[operation] = (expectation){true, least, most, 0};
    pthread_mutex_unlock(&fake->lock);
    return DCMEM_OK;
}

/* Ends an expectation; what is missing is reported. */
static void
settle(dcmem_fake *fake, dcmem_fake_operation operation)
{
    pthread_mutex_lock(&fake->lock);
    expectation it = fake->expectations[operation];
    fake->expectations[operation].is_active = false;
    pthread_mutex_unlock(&fake->lock);
    if (it.is_active && it.seen < it.least)
        report(fake, "%s: expected at least %llu calls, saw %llu", dcmem_fake_operation_name(operation),
               (unsigned long long)it.least, (unsigned long long)it.seen);
}

dcmem_result
dcmem_fake_verify(dcmem_fake *fake)
{
    for (int i = 0; i <= OPERATIONS; i++)
        settle(fake, (dcmem_fake_operation)i);

    char fault[MESSAGE_BYTES];
    pthread_mutex_lock(&fake->lock);
    uint64_t faults = fake->faults;
    memcpy(fault, fake->fault, sizeof fault);
    fake->faults = 0;
    pthread_mutex_unlock(&fake->lock);
    return faults ? dcmem_backend_fail(DCMEM_E_WRONG_STATE, fake->name, (int64_t)faults, "%s", fault) : DCMEM_OK;
}

uint64_t
dcmem_fake_live_bytes(dcmem_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    uint64_t bytes = fake->abandoned_bytes;
    for (const fake_device *device = fake->devices; device; device = device->next)
        bytes += dcmi_ledger_bytes(&device->ledger);
    pthread_mutex_unlock(&fake->lock);
    return bytes;
}

uint64_t
dcmem_fake_live_extents(dcmem_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    uint64_t extents = fake->abandoned_extents;
    for (const fake_device *device = fake->devices; device; device = device->next)
        extents += dcmi_ledger_extents(&device->ledger);
    pthread_mutex_unlock(&fake->lock);
    return extents;
}
