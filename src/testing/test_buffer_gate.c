/* test_buffer_gate.c: the gate of a manager with test buffers: counts what is asked of them, refuses, delays.
 *
 * There is one gate for all watches, and it finds everything anew in the lists under the lock: a call that is still in
 * it when a watch ends finds none, and passes. */
#include "host.h"
#include "test_buffer.h"

#include <stdlib.h>

static dcmi_watch *watches;

static _Thread_local unsigned unseen;
static _Thread_local bool is_asked; /* this thread is in our gate, or in one that it asks */

void
dcmi_test_unseen_begin(void)
{
    unseen++;
}

void
dcmi_test_unseen_end(void)
{
    unseen--;
}

bool
dcmi_test_is_unseen(void)
{
    return unseen > 0;
}

/* ---- Refusing ---- */

/* What the options say of an operation, in words; NULL: nothing. Pure. */
static const char *
fault_of(const dcmem_test_buffer_options *options, dcmem_gate_operation operation, uint64_t number)
{
    if (options->fail_after && number >= options->fail_after)
        return "fail_after";
    switch (operation) {
    case DCMEM_GATE_access_host:
        return options->refuse_span_access ? "refuse_span_access" : NULL;
    case DCMEM_GATE_access_device:
    case DCMEM_GATE_map:
    case DCMEM_GATE_pin:
        return options->refuse_memory_access ? "refuse_memory_access" : NULL;
    case DCMEM_GATE_copy:
    case DCMEM_GATE_read:
    case DCMEM_GATE_write:
        return options->refuse_copy_operations ? "refuse_copy_operations" : NULL;
    default:
        return NULL;
    }
}

/* What is to be done about one of the buffers of a call. */
typedef struct verdict {
    uint64_t number; /* of the test buffer; 0: it is none */
    dcmem_buffer *buffer;
    dcmem_result result;
    uint64_t operation;
    const char *fault;
    bool may_delay;
    uint64_t delay_ns;
    dcmem_test_sleep sleep;
    void *sleep_user;
} verdict;

static verdict
judge(const dcmem_gate_call *call, dcmem_buffer *buffer)
{
    verdict out = {0};
    dcmi_test_buffer *it = dcmi_test_find_buffer(call->manager, buffer);
    if (!it)
        return out;
    const dcmem_test_buffer_options *options = &it->options;
    out = (verdict){.number = it->number, .buffer = buffer, .operation = ++it->counts.operations};
    out.fault = fault_of(options, call->operation, out.operation);
    if (out.fault) {
        out.result = options->refusal;
        it->counts.refused++;
    }
    out.may_delay = options->slow_transfers;
    out.delay_ns = options->transfer_delay_ns;
    out.sleep = options->sleep;
    out.sleep_user = options->sleep_user;
    return out;
}

/* ---- Delaying ---- */

#define HOST   DCMEM_SIDE_BIT(DCMEM_SIDE_HOST)
#define DEVICE DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE)

/* The sides to which an operation brings what is not current there; 0: none. What will be written over needs not be
 * brought. Pure. */
static uint32_t
sides_of(dcmem_gate_operation operation, uint32_t mode)
{
    switch (operation) {
    case DCMEM_GATE_access_host:
        return mode == DCMEM_ACCESS_WRITE ? 0 : HOST;
    case DCMEM_GATE_access_device:
        return mode == DCMEM_ACCESS_WRITE ? 0 : DEVICE;
    case DCMEM_GATE_map:
        return mode == DCMEM_MAP_WRITE_DISCARD ? 0 : HOST;
    case DCMEM_GATE_prefetch:
        return DCMEM_SIDE_BIT(mode);
    case DCMEM_GATE_invalidate: /* keeps what only that side has */
        return (HOST | DEVICE) & ~DCMEM_SIDE_BIT(mode);
    case DCMEM_GATE_synchronize:
        return HOST | DEVICE;
    default:
        return 0;
    }
}

static bool
is_transfer(const dcmem_gate_call *call, dcmem_buffer *buffer)
{
    if (call->operation == DCMEM_GATE_copy || call->operation == DCMEM_GATE_read || call->operation == DCMEM_GATE_write)
        return true;
    dcmem_buffer_info info = {.size = sizeof info};
    uint32_t wanted = sides_of(call->operation, call->mode);
    if (!wanted || dcmem_buffer_describe(&info, buffer))
        return false;
    return info.written_bytes > 0 && (info.current_sides & wanted) != wanted;
}

static void
delay(const verdict *it, const dcmem_gate_call *call)
{
    if (!it->may_delay || !is_transfer(call, it->buffer))
        return;
    pthread_mutex_lock(&dcmi_test_lock);
    dcmi_test_buffer *test = dcmi_test_find((const dcmem_test_buffer *)(uintptr_t)it->number);
    if (test)
        test->counts.delayed++;
    pthread_mutex_unlock(&dcmi_test_lock);

    if (it->sleep)
        it->sleep(it->sleep_user, it->delay_ns);
    else
        dcmi_host_sleep_ns(it->delay_ns);
}

/* ---- The gate ---- */

static dcmi_watch *
find_watch(const dcmem_manager *manager)
{
    dcmi_watch *it = watches;
    while (it && it->manager != manager)
        it = it->behind;
    return it;
}

/* An operation is what a program asks for; that it is done with something is none, and is never refused: a buffer that
 * could not be let go would outlive its test. */
static bool
is_operation(dcmem_gate_operation operation)
{
    return operation != DCMEM_GATE_access_end && operation != DCMEM_GATE_free;
}

static dcmem_result
ask_all(const dcmem_gate_call *call)
{
    verdict verdicts[2] = {{0}};
    dcmem_gate next = NULL;
    void *next_user = NULL;

    pthread_mutex_lock(&dcmi_test_lock);
    const dcmi_watch *on = find_watch(call->manager);
    if (on) {
        next = on->next;
        next_user = on->next_user;
    }
    if (is_operation(call->operation) && !dcmi_test_is_unseen()) {
        verdicts[0] = judge(call, call->buffer);
        if (call->from != call->buffer)
            verdicts[1] = judge(call, call->from);
    }
    pthread_mutex_unlock(&dcmi_test_lock);

    for (int i = 0; i < 2; i++)
        if (verdicts[i].result)
            return dcmem_backend_fail(verdicts[i].result, "test", (int64_t)verdicts[i].operation,
                                      "operation %llu of a test buffer, %s: refused by its option %s",
                                      (unsigned long long)verdicts[i].operation,
                                      dcmem_gate_operation_name(call->operation), verdicts[i].fault);
    dcmem_result result = next ? next(next_user, call) : DCMEM_OK;
    for (int i = 0; i < 2 && !result; i++)
        delay(&verdicts[i], call);
    return result;
}

/* A gate that was set after ours may ask ours, and have been asked by ours since: whoever comes around again passes. */
static dcmem_result
watch_gate(void *user, const dcmem_gate_call *call)
{
    (void)user;
    if (is_asked)
        return DCMEM_OK;
    is_asked = true;
    dcmem_result result = ask_all(call);
    is_asked = false;
    return result;
}

/* ---- Watches ---- */

/* Puts our gate before the one that is there now. The lock must be held. */
static dcmem_result
take_gate(dcmi_watch *it)
{
    dcmem_gate there;
    void *there_user;
    dcmem_result result = dcmem_manager_gate(&there, &there_user, it->manager);
    if (result || there == watch_gate)
        return result;
    result = dcmem_manager_set_gate(it->manager, watch_gate, NULL);
    if (result)
        return result; /* COVER: the manager ends meanwhile, which its header forbids */
    it->next = there;
    it->next_user = there_user;
    return DCMEM_OK;
}

/* Puts the one back that was there before, unless the user has set another meanwhile, or the manager has ended. */
static void
give_gate_back(const dcmi_watch *it)
{
    dcmem_gate there;
    void *there_user;
    if (dcmem_manager_gate(&there, &there_user, it->manager) == DCMEM_OK && there == watch_gate)
        (void)dcmem_manager_set_gate(it->manager, it->next, it->next_user); /* it was alive just now */
}

/* Takes over what `fresh` is, or joins the watch that is there already. */
static dcmem_result
join_locked(dcmi_watch **out, dcmi_watch *fresh)
{
    dcmi_watch *it = find_watch(fresh->manager);
    bool is_new = !it;
    if (is_new)
        it = fresh;
    dcmem_result result = take_gate(it);
    if (result)
        return result;
    if (is_new) {
        it->behind = watches;
        watches = it;
    }
    it->users++;
    *out = it;
    return DCMEM_OK;
}

static dcmem_result
new_watch(dcmi_watch **out)
{
    *out = dcmi_host_new(sizeof **out);
    return *out ? DCMEM_OK : dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "test", 0, "the record of a manager");
}

dcmem_result
dcmi_watch_join(dcmi_watch **out, dcmem_manager *manager)
{
    dcmi_watch *fresh, *joined = NULL;
    dcmem_result result = new_watch(&fresh);
    if (result)
        return result;
    fresh->manager = manager;
    pthread_mutex_lock(&dcmi_test_lock);
    result = join_locked(&joined, fresh);
    pthread_mutex_unlock(&dcmi_test_lock);
    if (joined != fresh)
        free(fresh);
    if (!result)
        *out = joined;
    return result;
}

dcmem_result
dcmi_watch_make(dcmi_watch **out, const dcmem_simulated_profile *profile)
{
    dcmi_watch *it;
    dcmem_result result = new_watch(&it);
    if (result)
        return result;
    result = dcmem_rig_begin(&it->rig, profile);
    if (result) {
        free(it);
        return result;
    }
    it->manager = it->rig.manager;
    pthread_mutex_lock(&dcmi_test_lock);
    result = join_locked(out, it); /* it cannot fail: nobody else knows the manager, so it is alive */
    pthread_mutex_unlock(&dcmi_test_lock);
    return result;
}

dcmem_result
dcmi_watch_leave(dcmi_watch *it)
{
    pthread_mutex_lock(&dcmi_test_lock);
    bool is_last = --it->users == 0;
    if (is_last) {
        dcmi_watch **link = &watches;
        while (*link != it)
            link = &(*link)->behind;
        *link = it->behind;
        give_gate_back(it);
    }
    pthread_mutex_unlock(&dcmi_test_lock);
    if (!is_last)
        return DCMEM_OK;
    dcmem_result result = it->rig.manager ? dcmem_rig_end(&it->rig) : DCMEM_OK;
    free(it);
    return result;
}
