/* clock.c: lets time pass. */
#include "clock.h"

#include "host.h"
#include "queue.h"
#include "simulated.h"

#define MOST_SLEEP_NS 1000000000ull /* so long until a clock that no longer follows real time is noticed */

void
dcmi_clock_init(dcmi_clock *clock)
{
    pthread_mutex_init(&clock->lock, NULL);
}

void
dcmi_clock_fini(dcmi_clock *clock)
{
    pthread_mutex_destroy(&clock->lock);
}

/* The queue whose first work ends first. */
static dcmi_queue *
next_to_end(const dcmi_clock *clock)
{
    dcmi_queue *next = NULL;
    for (dcmi_queue *queue = clock->queues; queue; queue = queue->next) {
        if (!queue->first)
            continue;
        bool is_earlier =
            !next || queue->ends_ns < next->ends_ns || (queue->ends_ns == next->ends_ns && queue->began < next->began);
        next = is_earlier ? queue : next;
    }
    return next;
}

uint64_t
dcmi_clock_next(const dcmi_clock *clock)
{
    const dcmi_queue *next = next_to_end(clock);
    return next ? next->ends_ns : DCMI_NEVER;
}

static void
run_to(dcmi_clock *clock, uint64_t until_ns)
{
    for (dcmi_queue *next; (next = next_to_end(clock)) && next->ends_ns <= until_ns;) {
        clock->now_ns = next->ends_ns > clock->now_ns ? next->ends_ns : clock->now_ns;
        dcmi_queue_end_first(next);
    }
    clock->now_ns = until_ns > clock->now_ns ? until_ns : clock->now_ns;
}

static void
catch_up(dcmi_clock *clock)
{
    if (atomic_load(&clock->is_real))
        run_to(clock, dcmi_host_now_ns() - clock->real_began_ns);
}

void
dcmi_clock_enter(dcmi_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    catch_up(clock);
}

void
dcmi_clock_leave(dcmi_clock *clock)
{
    pthread_mutex_unlock(&clock->lock);
}

void
dcmi_clock_pass(dcmi_clock *clock, uint64_t until_ns)
{
    while (atomic_load(&clock->is_real) && clock->now_ns < until_ns) {
        uint64_t ns = until_ns - clock->now_ns;
        pthread_mutex_unlock(&clock->lock);
        dcmi_host_sleep_ns(dcmi_least(ns, MOST_SLEEP_NS));
        dcmi_clock_enter(clock);
    }
    run_to(clock, until_ns);
}

void
dcmi_clock_spend(dcmi_clock *clock, const dcmi_route *route, uint64_t bytes)
{
    dcmi_clock_enter(clock);
    dcmi_clock_pass(clock, dcmi_route_book(route, clock->now_ns, bytes));
    dcmi_clock_leave(clock);
}

/* ---- For everybody ---- */

dcmem_result
dcmem_simulated_now(uint64_t *out_ns, const dcmem_backend *backend)
{
    DCMI_SIMULATED_REQUIRE(out_ns);
    dcmi_simulated *first = dcmi_simulated_of(backend, 0);
    if (!first)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock_enter(first->clock);
    *out_ns = first->clock->now_ns;
    dcmi_clock_leave(first->clock);
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_advance(const dcmem_backend *backend, uint64_t ns)
{
    dcmi_simulated *first = dcmi_simulated_of(backend, 0);
    if (!first)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock *clock = first->clock;
    dcmem_result result = DCMEM_OK;
    dcmi_clock_enter(clock);
    if (atomic_load(&clock->is_real))
        result = dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "the clock follows real time");
    else if (ns >= DCMI_NEVER - clock->now_ns)
        result =
            dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu ns from now the clock has no room", (unsigned long long)ns);
    else
        dcmi_clock_pass(clock, clock->now_ns + ns);
    dcmi_clock_leave(clock);
    return result;
}

dcmem_result
dcmem_simulated_run(const dcmem_backend *backend)
{
    dcmi_simulated *first = dcmi_simulated_of(backend, 0);
    if (!first)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock_enter(first->clock);
    for (uint64_t next; (next = dcmi_clock_next(first->clock)) < DCMI_NEVER;)
        dcmi_clock_pass(first->clock, next);
    dcmi_clock_leave(first->clock);
    return DCMEM_OK;
}

dcmem_result
dcmem_simulated_set_real_time(const dcmem_backend *backend, bool is_real)
{
    dcmi_simulated *first = dcmi_simulated_of(backend, 0);
    if (!first)
        return DCMEM_E_INVALID_ARGUMENT;
    dcmi_clock *clock = first->clock;
    dcmi_clock_enter(clock);
    clock->real_began_ns = dcmi_host_now_ns() - clock->now_ns;
    atomic_store(&clock->is_real, is_real);
    dcmi_clock_leave(clock);
    return DCMEM_OK;
}
