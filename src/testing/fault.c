/* fault.c: fault plans at work. See fault.h; what a plan says is plan.h's, what it does to a driver faulty.c's. */
#include "fault.h"
#include "host.h"

#include <dcmem/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LANES 65536u
#define MOST_KEPT  (1u << 20)
#define NO_THREAD  DCMEM_FAULT_NO_THREAD

/* What one rule has counted: of all threads, or of one. */
typedef struct lane {
    uint64_t seen;
    uint64_t succeeded;
    uint64_t fired; /* times that its triggers did, not what followed from one */
    uint64_t lasting;
    uint64_t pages;
} lane;

typedef struct lanes {
    lane all;
    lane *threads;
    uint32_t count;
} lanes;

typedef struct known_queue {
    const void *queue;
    uint64_t number;
} known_queue;

/* A manager whose gate is the plan's, and the gate that was there before. */
typedef struct guarded {
    dcmem_fault_plan *plan; /* NULL: it has ended */
    dcmem_manager *manager;
    dcmem_gate next;
    void *next_user;
    struct guarded *behind;
} guarded;

struct dcmem_fault_plan {
    dcmi_plan plan;
    uint64_t watched_below;
    uint64_t watched_above;
    _Atomic int log_level;

    pthread_mutex_t lock;
    lanes lanes[DCMI_PLAN_RULES];
    uint64_t begin_ns;
    uint64_t lost; /* driver calls that still find the device lost */
    uint64_t fired;
    dcmem_fault *kept; /* the first of those that fired */
    uint64_t kept_count;
    uint64_t kept_room;
    known_queue *queues;
    uint32_t queue_count;
    uint32_t queue_room;
    uint64_t queues_opened;
    dcmi_layer *layers;
    uint32_t open_devices;
    guarded *guards;

    dcmem_fault_plan *before, *after; /* in the list of all plans */
};

/* All plans, so that a fork finds none of them half way through a call. Taken before any plan's own lock. */
static pthread_mutex_t plans_lock = PTHREAD_MUTEX_INITIALIZER;
static dcmem_fault_plan *plans;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "faults", 0, "must hold: %s", #condition);             \
    } while (0)

/* What the program calls this thread. */
static _Thread_local uint32_t own_thread = NO_THREAD;

void
dcmem_fault_thread(uint32_t number)
{
    own_thread = number;
}

/* ---- Chances ---- */

/* SplitMix64's last step. */
static uint64_t
mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t
draw(uint64_t seed, uint32_t rule, uint32_t thread, uint64_t number)
{
    return mix(mix(mix(seed) + ((uint64_t)rule << 32 | thread)) + number);
}

static bool
is_within_chance(uint64_t random, uint64_t billionths)
{
    return ((random >> 32) * DCMI_PLAN_BILLION >> 32) < billionths;
}

/* ---- Which calls a rule counts ---- */

static uint32_t
thread_of(const dcmi_asked *asked)
{
    if (own_thread != NO_THREAD)
        return own_thread;
    if (asked->is_above)
        return asked->thread;
    return asked->call ? asked->call->thread : NO_THREAD;
}

static dcmem_tag
tag_of(const dcmi_asked *asked)
{
    return asked->call ? asked->call->tag : asked->tag;
}

static bool
is_in(const dcmi_span *span, uint64_t value)
{
    return !span->is_set || (value >= span->least && value <= span->most);
}

static bool
is_it(const dcmi_number *number, uint64_t value)
{
    return !number->is_set || number->value == value;
}

static uint64_t
queue_number(const dcmem_fault_plan *plan, const void *queue)
{
    for (uint32_t i = 0; i < plan->queue_count; i++)
        if (plan->queues[i].queue == queue)
            return plan->queues[i].number;
    return 0;
}

static bool
counts(const dcmem_fault_plan *plan, const dcmi_rule *rule, const dcmi_asked *asked)
{
    uint64_t operations = asked->is_above ? rule->above : rule->below;
    if (!(operations >> asked->operation & 1))
        return false;
    if (!is_in(&rule->size, asked->bytes) || !is_it(&rule->tag, tag_of(asked)))
        return false;
    if (!is_it(&rule->thread, thread_of(asked)) || !is_it(&rule->way, asked->way))
        return false;
    if (rule->queue.is_set && queue_number(plan, asked->queue) != rule->queue.value)
        return false;
    return !rule->time_ns.is_set || is_in(&rule->time_ns, dcmi_host_now_ns() - plan->begin_ns);
}

/* NULL where the host has no memory for one: the call goes by uncounted. */
static lane *
lane_of(lanes *of, const dcmi_rule *rule, uint32_t thread)
{
    if (!rule->per_thread.is_set || thread >= MOST_LANES)
        return &of->all;
    if (thread >= of->count) {
        uint32_t count = thread + 16;
        lane *larger = dcmi_host_renew(of->threads, count * sizeof *larger);
        if (!larger)
            return NULL;
        memset(larger + of->count, 0, (count - of->count) * sizeof *larger);
        of->threads = larger;
        of->count = count;
    }
    return &of->threads[thread];
}

/* ---- Which of those fire ---- */

/* Whether the effect would change anything. */
static bool
has_effect(const dcmi_rule *rule, const dcmi_asked *asked)
{
    if (rule->effect == DCMI_EFFECT_short)
        return rule->argument.is_set ? rule->argument.value < asked->bytes : asked->bytes > 1;
    if (rule->effect == DCMI_EFFECT_flip)
        return !rule->argument.is_set || rule->argument.value / 8 < asked->bytes;
    return true;
}

static bool
is_triggered(const dcmi_rule *rule, const lane *state, const dcmi_asked *asked, uint64_t random)
{
    uint64_t page = rule->argument.value;
    if (rule->times.is_set && state->fired >= rule->times.value)
        return false;
    if (!is_it(&rule->nth, state->seen) || (rule->every.is_set && state->seen % rule->every.value))
        return false;
    if (rule->after.is_set && state->succeeded < rule->after.value)
        return false;
    if (rule->billionths.is_set && !is_within_chance(random, rule->billionths.value))
        return false;
    if (rule->effect == DCMI_EFFECT_page && (page <= state->pages || page - state->pages > asked->pages))
        return false;
    return has_effect(rule, asked);
}

static bool
fires(const dcmi_rule *rule, lane *state, const dcmi_asked *asked, uint64_t random)
{
    if (state->lasting > 0) {
        state->lasting -= state->lasting != DCMI_PLAN_FOR_GOOD;
        return has_effect(rule, asked);
    }
    if (!is_triggered(rule, state, asked, random))
        return false;
    state->fired++;
    if (rule->lasts.is_set && rule->effect != DCMI_EFFECT_lost)
        state->lasting = rule->lasts.value == DCMI_PLAN_FOR_GOOD ? DCMI_PLAN_FOR_GOOD : rule->lasts.value - 1;
    return true;
}

/* ---- What becomes of the call ---- */

/* What a driver says that has no memory: of its own, or of the host's. */
static dcmem_result
out_of_memory(const dcmi_asked *asked)
{
    if (asked->is_above)
        return asked->operation == DCMEM_GATE_import || asked->operation == DCMEM_GATE_map ? DCMEM_E_NO_HOST_MEMORY
                                                                                           : DCMEM_E_NO_MEMORY;
    switch (asked->operation) {
    case DCMEM_FAKE_open:
    case DCMEM_FAKE_map:
    case DCMEM_FAKE_reserve:
    case DCMEM_FAKE_queue_open:
    case DCMEM_FAKE_import_host:
        return DCMEM_E_NO_HOST_MEMORY;
    default:
        return DCMEM_E_NO_MEMORY;
    }
}

static dcmem_result
result_of(const dcmi_rule *rule, const dcmi_asked *asked)
{
    switch (rule->effect) {
    case DCMI_EFFECT_oom:
        return out_of_memory(asked);
    case DCMI_EFFECT_lost:
        return DCMEM_E_DEVICE_LOST;
    case DCMI_EFFECT_fail:
        return (dcmem_result)rule->argument.value;
    default:
        return DCMEM_OK;
    }
}

static bool
is_on_bytes(dcmi_effect effect)
{
    return effect >= DCMI_EFFECT_short;
}

/* The first rule that makes it fail decides what with, the first that spoils its bytes how; all may slow it. */
static void
add_effect(dcmem_fault_plan *plan, dcmi_verdict *verdict, const dcmi_rule *rule, const dcmi_asked *asked,
           const lane *state)
{
    dcmem_result result = result_of(rule, asked);
    if (rule->effect == DCMI_EFFECT_lost)
        plan->lost =
            rule->lasts.is_set && rule->lasts.value != DCMI_PLAN_FOR_GOOD ? rule->lasts.value - 1 : DCMI_PLAN_FOR_GOOD;
    if (result && !verdict->result) {
        verdict->result = result;
        verdict->fault = plan->fired;
    }
    if (rule->effect == DCMI_EFFECT_slow && verdict->slow_ns <= UINT64_MAX - rule->argument.value)
        verdict->slow_ns += rule->argument.value;
    if (is_on_bytes(rule->effect) && verdict->effect == DCMI_EFFECT_COUNT) {
        verdict->effect = rule->effect;
        verdict->argument = rule->argument;
        if (rule->effect == DCMI_EFFECT_page) {
            uint64_t page = rule->argument.value;
            verdict->argument.value = page > state->pages ? page - state->pages - 1 : 0;
            verdict->fault = plan->fired;
        }
    }
}

static const char *
name_of(const dcmi_asked *asked)
{
    return asked->is_above ? dcmem_gate_operation_name((dcmem_gate_operation)asked->operation)
                           : dcmem_fake_operation_name((dcmem_fake_operation)asked->operation);
}

/* What does not fit into memory any more is counted only. */
static void
keep(dcmem_fault_plan *plan, const dcmem_fault *fault)
{
    if (plan->kept_count + 1 != fault->index || plan->kept_count == MOST_KEPT)
        return;
    if (plan->kept_count == plan->kept_room) {
        uint64_t room = plan->kept_room ? plan->kept_room * 2 : 64;
        dcmem_fault *larger = dcmi_host_renew(plan->kept, room * sizeof *larger);
        if (!larger)
            return;
        plan->kept = larger;
        plan->kept_room = room;
    }
    plan->kept[plan->kept_count++] = *fault;
}

static dcmem_fault
fault_of(dcmem_fault_plan *plan, uint32_t rule, const dcmi_asked *asked, const lane *state)
{
    return (dcmem_fault){
        .index = ++plan->fired,
        .rule = rule + 1,
        .thread = thread_of(asked),
        .is_program = asked->is_above,
        .operation = name_of(asked),
        .effect = dcmi_effect_name(plan->plan.rules[rule].effect),
        .call = state->seen,
        .bytes = asked->bytes,
        .tag = tag_of(asked),
    };
}

/* All rules are asked, in their order, and count the call, whatever those before said. */
static uint32_t
ask_rules(dcmem_fault_plan *plan, dcmi_verdict *verdict, const dcmi_asked *asked, dcmem_fault *fired)
{
    uint32_t count = 0, thread = thread_of(asked);
    for (uint32_t i = 0; i < plan->plan.count; i++) {
        const dcmi_rule *rule = &plan->plan.rules[i];
        lane *state = counts(plan, rule, asked) ? lane_of(&plan->lanes[i], rule, thread) : NULL;
        if (!state)
            continue;
        if (rule->after.is_set)
            verdict->to_tell |= 1ull << i;
        state->seen++;
        bool is_by_chance = rule->billionths.is_set || rule->effect == DCMI_EFFECT_flip;
        uint32_t stream = rule->per_thread.is_set ? thread : NO_THREAD;
        uint64_t random = is_by_chance ? draw(rule->seed.value, i, stream, state->seen) : 0;
        if (fires(rule, state, asked, random)) {
            fired[count] = fault_of(plan, i, asked, state);
            keep(plan, &fired[count++]);
            if (is_on_bytes(rule->effect) && verdict->effect == DCMI_EFFECT_COUNT)
                verdict->random = mix(random);
            add_effect(plan, verdict, rule, asked, state);
        }
        state->pages = asked->pages > UINT64_MAX - state->pages ? UINT64_MAX : state->pages + asked->pages;
    }
    return count;
}

/* A device that an earlier call lost. */
static void
ask_device(dcmem_fault_plan *plan, dcmi_verdict *verdict, const dcmi_asked *asked)
{
    unsigned traits = asked->is_above ? 0 : dcmi_traits_below((dcmem_fake_operation)asked->operation);
    if (plan->lost == 0 || !(traits & DCMI_TRAIT_FAILS) || traits & DCMI_TRAIT_ENDS)
        return;
    plan->lost -= plan->lost != DCMI_PLAN_FOR_GOOD;
    verdict->result = DCMEM_E_DEVICE_LOST;
}

static void
log_fault(const dcmem_fault_plan *plan, const dcmem_fault *fault)
{
    char message[256], rule[128], thread[32] = "no thread";
    int level = atomic_load(&plan->log_level);
    if (level < (int)dcmem_log_get_level())
        return;
    if (fault->thread != NO_THREAD)
        snprintf(thread, sizeof thread, "thread %u", fault->thread);
    dcmi_rule_print(rule, sizeof rule, &plan->plan.rules[fault->rule - 1]);
    snprintf(message, sizeof message, "fault %llu: rule %u (%s): call %llu, %s%s of %llu bytes, %s",
             (unsigned long long)fault->index, fault->rule, rule, (unsigned long long)fault->call,
             fault->is_program ? "program." : "", fault->operation, (unsigned long long)fault->bytes, thread);
    dcmem_log_write((dcmem_log_level)level, "faults", message);
}

dcmi_verdict
dcmi_fault_meet(dcmem_fault_plan *plan, const dcmi_asked *asked)
{
    dcmi_verdict verdict = {.effect = DCMI_EFFECT_COUNT};
    dcmem_fault fired[DCMI_PLAN_RULES];
    pthread_mutex_lock(&plan->lock);
    ask_device(plan, &verdict, asked);
    uint32_t count = ask_rules(plan, &verdict, asked, fired);
    pthread_mutex_unlock(&plan->lock);
    for (uint32_t i = 0; i < count; i++)
        log_fault(plan, &fired[i]);
    if (verdict.slow_ns)
        dcmi_host_sleep_ns(verdict.slow_ns);
    return verdict;
}

void
dcmi_fault_succeeded(dcmem_fault_plan *plan, const dcmi_asked *asked, const dcmi_verdict *verdict)
{
    if (!verdict->to_tell)
        return;
    uint32_t thread = thread_of(asked);
    pthread_mutex_lock(&plan->lock);
    for (uint32_t i = 0; i < plan->plan.count; i++) {
        if (verdict->to_tell >> i & 1)
            lane_of(&plan->lanes[i], &plan->plan.rules[i], thread)->succeeded++;
    }
    pthread_mutex_unlock(&plan->lock);
}

dcmem_result
dcmi_fault_fail(const dcmi_asked *asked, const dcmi_verdict *verdict)
{
    if (verdict->fault == 0)
        return dcmem_backend_fail(verdict->result, "faults", 0, "%s of %llu bytes: the plan's faults lost the device",
                                  name_of(asked), (unsigned long long)asked->bytes);
    return dcmem_backend_fail(verdict->result, "faults", (int64_t)verdict->fault,
                              "%s of %llu bytes: fault %llu of the "
                              "plan",
                              name_of(asked), (unsigned long long)asked->bytes, (unsigned long long)verdict->fault);
}

uint64_t
dcmi_fault_watched(const dcmem_fault_plan *plan)
{
    return plan->watched_below;
}

/* ---- Queues and devices ---- */

void
dcmi_fault_queue_opened(dcmem_fault_plan *plan, const void *queue)
{
    pthread_mutex_lock(&plan->lock);
    uint64_t number = ++plan->queues_opened;
    if (plan->queue_count == plan->queue_room) {
        uint32_t room = plan->queue_room + 16;
        known_queue *larger = dcmi_host_renew(plan->queues, room * sizeof *larger);
        plan->queues = larger ? larger : plan->queues;
        plan->queue_room = larger ? room : plan->queue_room;
    }
    if (plan->queue_count < plan->queue_room)
        plan->queues[plan->queue_count++] = (known_queue){queue, number};
    pthread_mutex_unlock(&plan->lock);
}

void
dcmi_fault_queue_closed(dcmem_fault_plan *plan, const void *queue)
{
    pthread_mutex_lock(&plan->lock);
    for (uint32_t i = 0; i < plan->queue_count; i++)
        if (plan->queues[i].queue == queue) {
            plan->queues[i] = plan->queues[--plan->queue_count];
            break;
        }
    pthread_mutex_unlock(&plan->lock);
}

void
dcmi_fault_device_opened(dcmem_fault_plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    plan->open_devices++;
    pthread_mutex_unlock(&plan->lock);
}

void
dcmi_fault_device_closed(dcmem_fault_plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    plan->open_devices--;
    pthread_mutex_unlock(&plan->lock);
}

/* ---- Above ---- */

static dcmem_result
guard(void *user, const dcmem_gate_call *call)
{
    const guarded *it = user;
    dcmem_fault_plan *plan = it->plan;
    if (!plan || !(plan->watched_above >> call->operation & 1))
        return it->next ? it->next(it->next_user, call) : DCMEM_OK;
    dcmi_asked asked = {.is_above = true,
                        .operation = (int)call->operation,
                        .thread = call->thread,
                        .tag = call->tag,
                        .bytes = call->bytes,
                        .way = DCMI_WAY_COUNT};
    dcmi_verdict verdict = dcmi_fault_meet(plan, &asked);
    if (verdict.result)
        return dcmi_fault_fail(&asked, &verdict);
    dcmem_result result = it->next ? it->next(it->next_user, call) : DCMEM_OK;
    if (!result)
        dcmi_fault_succeeded(plan, &asked, &verdict);
    return result;
}

dcmem_result
dcmem_fault_plan_guard(dcmem_fault_plan *plan, dcmem_manager *manager)
{
    REQUIRE(plan);
    guarded there = {.plan = plan, .manager = manager};
    dcmem_result result = dcmem_manager_gate(&there.next, &there.next_user, manager);
    bool is_ours = !result && there.next == guard && ((guarded *)there.next_user)->plan == plan;
    if (result || !plan->watched_above || is_ours)
        return result;
    guarded *it = dcmi_host_new(sizeof *it);
    if (!it)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "faults", 0, "a guarded manager");
    *it = there;
    result = dcmem_manager_set_gate(manager, guard, it);
    if (result) {
        free(it);      /* COVER: the manager ends meanwhile, which its header forbids */
        return result; /* COVER: the same */
    }
    pthread_mutex_lock(&plan->lock);
    it->behind = plan->guards;
    plan->guards = it;
    pthread_mutex_unlock(&plan->lock);
    return DCMEM_OK;
}

/* Those whose manager has another gate by now, which may ask them still: they only pass on. */
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;
static guarded *orphans;

static void
abandon(guarded *it)
{
    it->plan = NULL;
    pthread_mutex_lock(&orphans_lock);
    it->behind = orphans;
    orphans = it;
    pthread_mutex_unlock(&orphans_lock);
}

/* Where the manager has ended there is nothing to give back. */
static void
give_gates_back(guarded *it)
{
    dcmem_detail before = *dcmem_last_detail();
    for (guarded *behind; it; it = behind) {
        dcmem_gate gate;
        void *user;
        behind = it->behind;
        bool is_alive = dcmem_manager_gate(&gate, &user, it->manager) == DCMEM_OK;
        if (is_alive && (gate != guard || user != it)) {
            abandon(it);
            continue;
        }
        if (is_alive)
            (void)dcmem_manager_set_gate(it->manager, it->next, it->next_user); /* it was alive just now */
        free(it);
    }
    if (before.result)
        dcmem_backend_fail(before.result, before.driver, before.driver_code, "%s", before.message);
}

/* ---- Forks: parent and child go on with the plans as they are ---- */

static void
before_fork(void)
{
    pthread_mutex_lock(&plans_lock);
    for (dcmem_fault_plan *plan = plans; plan; plan = plan->after)
        pthread_mutex_lock(&plan->lock);
}

static void
after_fork(void)
{
    for (dcmem_fault_plan *plan = plans; plan; plan = plan->after)
        pthread_mutex_unlock(&plan->lock);
    pthread_mutex_unlock(&plans_lock);
}

static void
watch_forks(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a call is what is lost. */
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static void
enlist(dcmem_fault_plan *plan)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&plans_lock);
    plan->after = plans;
    if (plans)
        plans->before = plan;
    plans = plan;
    pthread_mutex_unlock(&plans_lock);
}

static void
strike(dcmem_fault_plan *plan)
{
    pthread_mutex_lock(&plans_lock);
    if (plan->before)
        plan->before->after = plan->after;
    else
        plans = plan->after;
    if (plan->after)
        plan->after->before = plan->before;
    pthread_mutex_unlock(&plans_lock);
}

/* ---- Life ---- */

/* Which operations must ask. A device that can be lost is asked about at each. */
static void
find_watched(dcmem_fault_plan *plan)
{
    for (uint32_t i = 0; i < plan->plan.count; i++) {
        const dcmi_rule *rule = &plan->plan.rules[i];
        plan->watched_below |= rule->below;
        plan->watched_above |= rule->above;
        if (rule->effect == DCMI_EFFECT_lost)
            plan->watched_below = UINT64_MAX;
        if (rule->queue.is_set)
            plan->watched_below |= 1ull << DCMEM_FAKE_queue_open | 1ull << DCMEM_FAKE_queue_close;
    }
}

dcmem_result
dcmem_fault_plan_create(dcmem_fault_plan **out, const char *text)
{
    REQUIRE(out && text);
    dcmem_fault_plan *plan = dcmi_host_new(sizeof *plan);
    if (!plan)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "faults", 0, "a fault plan");
    dcmem_result result = dcmi_plan_parse(&plan->plan, text);
    if (result) {
        free(plan);
        return result;
    }
    find_watched(plan);
    pthread_mutex_init(&plan->lock, NULL);
    atomic_init(&plan->log_level, DCMEM_LOG_INFO);
    plan->begin_ns = dcmi_host_now_ns();
    enlist(plan);
    *out = plan;
    return DCMEM_OK;
}

static void
forget_lanes(dcmem_fault_plan *plan)
{
    for (uint32_t i = 0; i < DCMI_PLAN_RULES; i++) {
        free(plan->lanes[i].threads);
        plan->lanes[i] = (lanes){0};
    }
}

dcmem_result
dcmem_fault_plan_destroy(dcmem_fault_plan *plan)
{
    if (!plan)
        return DCMEM_OK;
    if (plan->open_devices)
        return dcmem_backend_fail(DCMEM_E_BUSY, "faults", 0, "%u devices are open below the plan", plan->open_devices);
    give_gates_back(plan->guards);
    strike(plan);
    dcmi_layers_end(plan->layers);
    forget_lanes(plan);
    pthread_mutex_destroy(&plan->lock);
    free(plan->kept);
    free(plan->queues);
    free(plan);
    return DCMEM_OK;
}

void
dcmem_fault_plan_reset(dcmem_fault_plan *plan)
{
    if (!plan)
        return;
    pthread_mutex_lock(&plan->lock);
    forget_lanes(plan);
    plan->begin_ns = dcmi_host_now_ns();
    plan->lost = plan->fired = plan->kept_count = 0;
    pthread_mutex_unlock(&plan->lock);
}

/* ---- Below ---- */

dcmem_result
dcmem_fault_plan_over(const dcmem_backend **out, dcmem_fault_plan *plan, const dcmem_backend *over)
{
    REQUIRE(out && plan && over);
    dcmem_result result = dcmem_backend_check(over);
    if (result)
        return result;
    pthread_mutex_lock(&plan->lock);
    result = dcmi_layer_get(out, plan, &plan->layers, over);
    pthread_mutex_unlock(&plan->lock);
    return result;
}

/* ---- What fired ---- */

void
dcmem_fault_plan_set_log(dcmem_fault_plan *plan, dcmem_log_level level)
{
    if (plan)
        atomic_store(&plan->log_level, (int)level);
}

size_t
dcmem_fault_plan_print(char *out, size_t room, const dcmem_fault_plan *plan)
{
    static const dcmi_plan none = {.count = 0};
    return dcmi_plan_print(out, out ? room : 0, plan ? &plan->plan : &none);
}

uint64_t
dcmem_fault_plan_fired(dcmem_fault_plan *plan)
{
    if (!plan)
        return 0;
    pthread_mutex_lock(&plan->lock);
    uint64_t fired = plan->fired;
    pthread_mutex_unlock(&plan->lock);
    return fired;
}

dcmem_result
dcmem_fault_plan_fault(dcmem_fault *out, dcmem_fault_plan *plan, uint64_t index)
{
    REQUIRE(out && plan && index > 0);
    pthread_mutex_lock(&plan->lock);
    uint64_t fired = plan->fired;
    bool is_kept = index <= plan->kept_count;
    if (is_kept)
        *out = plan->kept[index - 1];
    pthread_mutex_unlock(&plan->lock);
    if (is_kept)
        return DCMEM_OK;
    return dcmem_backend_fail(DCMEM_E_OUT_OF_RANGE, "faults", 0, "fault %llu: %llu fired, the first %llu are kept",
                              (unsigned long long)index, (unsigned long long)fired,
                              (unsigned long long)plan->kept_count);
}
