/* clock.h: the time of a simulated backend, and what happens as it passes.
 *
 * All devices of a backend live by one clock, which stands still until somebody lets time pass. Invariants:
 *
 *   1. Of each queue that has work the first is on its way: it ends at `ends_ns`, and then, not before, its bytes move.
 *   2. What ends earlier happens earlier; of what ends at the same time, what began earlier. So the same calls from one
 *      thread give the same run each time.
 *   3. Nothing that ends at or before now is left undone once the lock is free.
 *
 * The clock's lock guards the time, all links and all queues of its devices; it is taken before a device's lock. While
 * the clock follows real time, calls bring it up to date as they come; there is no thread behind it. */
#ifndef DCMI_TESTING_CLOCK_H
#define DCMI_TESTING_CLOCK_H

#include "link.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct dcmi_clock {
    pthread_mutex_t lock;
    uint64_t now_ns;
    uint64_t begun;            /* pieces of work, ever */
    struct dcmi_queue *queues; /* of all devices */
    atomic_bool is_real;
    uint64_t real_began_ns; /* what the system's clock shows when this one shows 0 */
} dcmi_clock;

void dcmi_clock_init(dcmi_clock *clock);
void dcmi_clock_fini(dcmi_clock *clock);

/* Takes the lock and brings the clock up to date; drops it. */
void dcmi_clock_enter(dcmi_clock *clock);
void dcmi_clock_leave(dcmi_clock *clock);

/* Lets time pass until then: at once, or, while the clock follows real time, by sleeping; the lock, which must be held,
 * is free meanwhile. What ends until then has happened when this returns. */
void dcmi_clock_pass(dcmi_clock *clock, uint64_t until_ns);

/* When something ends next; DCMI_NEVER: nothing is on its way. The lock must be held. */
uint64_t dcmi_clock_next(const dcmi_clock *clock);

/* Blocking work: lets pass the time that it takes. */
void dcmi_clock_spend(dcmi_clock *clock, const dcmi_route *route, uint64_t bytes);

#endif
