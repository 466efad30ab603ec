/* cost.h: what the routes between two memories have cost, by size.
 *
 * It is learnt in passing: the first copies of about a size go each possible route in turn, the best of a few tries
 * counts (what other programs take they take from all of them), and from then on the cheapest is taken. Twice early,
 * because first copies also pay for pages that were never touched, and then rarely, what was not hopeless is tried
 * anew; of copies so large that routes are tried with parts of them, which costs little, more often. Any number of
 * threads learn at once; what one of them overwrites is a measurement as good as its own. */
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

#define DCMI_COST_SKIPS 15u /* copies that are not even looked at, where the driver's own is the cheapest */

typedef struct dcmi_cost_size {
    struct {
        _Atomic uint32_t ns_per_mib;
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
