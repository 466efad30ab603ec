/* route.c: what is possible, and what is cheapest. */
#include "buffer/route.h"

#define MARGIN 32u

_Atomic(dcmi_route) dcmi_route_only = DCMI_ROUTE_COUNT;

/* The host's own moves. What it can touch anyway drivers move as plainly as it would: only better stores are news. */
static unsigned
by_host(const dcmi_route_facts *facts)
{
    unsigned routes = 0;
    bool is_seen = (facts->to_touch || facts->to_map) && (facts->from_touch || facts->from_map);
    if (!is_seen || facts->bytes < DCMI_ROUTE_LEAST_MAP)
        return 0;
    if (!facts->to_touch || !facts->from_touch)
        routes |= DCMI_ROUTE_BIT(DCMI_ROUTE_mapped);
    if (facts->bytes >= DCMI_ROUTE_LEAST_STREAM)
        routes |= DCMI_ROUTE_BIT(DCMI_ROUTE_streamed);
    if (facts->bytes >= DCMI_ROUTE_LEAST_WIDE && facts->has_threads)
        routes |= DCMI_ROUTE_BIT(DCMI_ROUTE_wide);
    return routes;
}

/* Neither driver knows the other's end. */
static unsigned
between_devices(const dcmi_route_facts *facts)
{
    unsigned routes = DCMI_ROUTE_BIT(DCMI_ROUTE_staged) | (facts->is_peer ? DCMI_ROUTE_BIT(DCMI_ROUTE_peer) : 0);
    return facts->is_lent ? routes : routes | by_host(facts);
}

unsigned
dcmi_route_possible(const dcmi_route_facts *facts)
{
    if (facts->is_same)
        return DCMI_ROUTE_BIT(DCMI_ROUTE_same);
    bool is_host_s_end = facts->to_touch || facts->from_touch;
    if (!facts->is_one_device && !is_host_s_end)
        return between_devices(facts);

    unsigned routes = DCMI_ROUTE_BIT(DCMI_ROUTE_driver);
    if (!is_host_s_end || facts->is_lent || facts->is_host_s || facts->bytes < DCMI_ROUTE_LEAST)
        return routes;
    routes |= by_host(facts);
    if (!facts->has_queues || (facts->to_touch && facts->from_touch))
        return routes;
    routes |= DCMI_ROUTE_BIT(DCMI_ROUTE_queued);
    if (facts->is_far && facts->bytes >= DCMI_ROUTE_LEAST_STREAM)
        routes |= DCMI_ROUTE_BIT(DCMI_ROUTE_staged);
    return routes;
}

static uint32_t
best_of(const dcmi_route_cost costs[DCMI_ROUTE_COUNT], unsigned possible)
{
    uint32_t best = UINT32_MAX;
    for (unsigned route = 0; route < DCMI_ROUTE_COUNT; route++)
        if ((possible & DCMI_ROUTE_BIT(route)) && costs[route].ns_per_mib && costs[route].ns_per_mib < best)
            best = costs[route].ns_per_mib;
    return best;
}

/* The more tries a route has had, the less it may be behind the best to have another. */
static bool
is_hopeless(dcmi_route_cost cost, uint64_t best)
{
    if (cost.tries < DCMI_ROUTE_TRIES_MANY)
        return cost.tries >= DCMI_ROUTE_TRIES_FEW && cost.ns_per_mib > best + best / 2;
    return cost.ns_per_mib > best + best / 8;
}

dcmi_choice
dcmi_route_choose(const dcmi_route_cost costs[DCMI_ROUTE_COUNT], unsigned possible, uint32_t most)
{
    uint64_t best = best_of(costs, possible), limit = 0;
    dcmi_route cheapest = DCMI_ROUTE_COUNT;
    bool is_choice = possible & (possible - 1);
    for (unsigned route = 0; route < DCMI_ROUTE_COUNT; route++) {
        if (!(possible & DCMI_ROUTE_BIT(route)))
            continue;
        uint64_t cost = costs[route].ns_per_mib;
        if (is_choice && costs[route].tries < most && !is_hopeless(costs[route], best))
            return (dcmi_choice){(dcmi_route)route, true};
        if (cheapest == DCMI_ROUTE_COUNT || cost < limit) {
            cheapest = (dcmi_route)route;
            limit = cost - cost / MARGIN;
        }
    }
    return (dcmi_choice){cheapest, false};
}
