/* cost.h: what the routes between two memories have cost, by size.
 *
 * It is learnt in passing: the first copies of about a size go each possible route in turn, the mean of its tries
 * counts but for the worst, which may have paid for something else, and from then on the cheapest is taken. Twice
 * early, because first copies also pay for pages that were never touched, and then rarely, what was not hopeless is
 * tried anew; of copies so large that routes are tried with parts of them, which costs little, more often. Any number
 * of threads learn at once; what one of them overwrites is a measurement as good as its own.
 */
#ifndef DCMI_COST_H
#define DCMI_COST_H

#include "buffer/route.h"

#include <stdatomic.h>

#define DCMI_COST_SIZES 19u /* octaves from DCMI_ROUTE_LEAST on; the last is for all that is larger */
#define DCMI_COST_EARLY 32u /* after so many copies all is tried anew, */
#define DCMI_COST_LATER 256u
#define DCMI_COST_RARE  1024u /* and then every so many; */
#define DCMI_COST_LARGE 64u   /* every so many of copies from DCMI_COST_LARGE_BYTES on */

#define DCMI_COST_LARGE_BYTES (32ull << 20) /* these try routes with parts of them */

/* How often a route is tried that is not behind: more often where it costs little, and is never twice the same because
 * a driver's threads are woken. */
#define DCMI_COST_TRIES_SMALL 16u
#define DCMI_COST_TRIES_LARGE 6u
#define DCMI_COST_TRIES_BYTES (1ull << 20) /* from which on a copy is large */

#define DCMI_COST_SKIPS 15u /* copies that are not even looked at, where the driver's own is the cheapest */

typedef struct dcmi_cost_size {
    struct {
        _Atomic uint64_t sum; /* of all tries, in ns a MiB */
        _Atomic uint32_t worst;
        _Atomic uint32_t tries;
    } routes[DCMI_ROUTE_COUNT];
    _Atomic uint32_t uses; /* that were looked at and no trials */
    _Atomic uint32_t skips;
} dcmi_cost_size;

/* All zero: nothing is known. */
typedef struct dcmi_costs {
    dcmi_cost_size sizes[DCMI_COST_SIZES];
} dcmi_costs;

/* The number of the octave. Pure. */
unsigned dcmi_cost_index(uint64_t bytes);

/* Whether after so many copies of a size it is time to try anew. Pure. */
bool dcmi_cost_is_due(uint64_t bytes, uint32_t uses);

/* How often a route is tried at most. Pure. */
static inline uint32_t
dcmi_cost_tries(uint64_t bytes)
{
    return bytes < DCMI_COST_TRIES_BYTES ? DCMI_COST_TRIES_SMALL : DCMI_COST_TRIES_LARGE;
}

/* What a route costs that was tried so. Pure. */
dcmi_route_cost dcmi_cost_of(uint64_t sum, uint32_t worst, uint32_t tries);

/* Which of the possible routes a copy of `bytes` should go. */
dcmi_choice dcmi_cost_choose(dcmi_costs *costs, uint64_t bytes, unsigned possible);

/* Whether a copy need not be looked at: the driver's blocking copy was the cheapest just now. */
static inline bool
dcmi_cost_skip(dcmi_costs *costs, uint64_t bytes)
{
    _Atomic uint32_t *skips = &costs->sizes[dcmi_cost_index(bytes)].skips;
    uint32_t left = atomic_load_explicit(skips, memory_order_relaxed);
    if (left)
        atomic_store_explicit(skips, left - 1, memory_order_relaxed);
    return left > 0;
}

/* A part of a copy of `whole` bytes has gone a route. */
void dcmi_cost_learn(dcmi_costs *costs, uint64_t whole, dcmi_route route, uint64_t part, uint64_t ns);

#endif
