/* cost.c: looking costs up, and noting them. */
#include "buffer/cost.h"

#include "base/size.h"

unsigned
dcmi_cost_index(uint64_t bytes)
{
    return bytes < DCMI_ROUTE_LEAST ? 0 : (unsigned)dcmi_min(dcmi_log2(bytes / DCMI_ROUTE_LEAST), DCMI_COST_SIZES - 1);
}

bool
dcmi_cost_is_due(uint64_t bytes, uint32_t uses)
{
    if (bytes >= DCMI_COST_LARGE_BYTES)
        return uses % DCMI_COST_LARGE == 0;
    return uses == DCMI_COST_EARLY || uses == DCMI_COST_LATER || uses % DCMI_COST_RARE == 0;
}

dcmi_route_cost
dcmi_cost_of(uint64_t sum, uint32_t worst, uint32_t tries)
{
    uint64_t mean = tries > 1 ? (sum - dcmi_min(sum, worst)) / (tries - 1) : sum;
    return (dcmi_route_cost){tries ? (uint32_t)dcmi_min(dcmi_max(mean, 1), UINT32_MAX) : 0, tries};
}

/* Forgets what should be tried anew. What is far too dear is not: it would show in every thousandth copy. */
static void
renew(dcmi_cost_size *size, const dcmi_route_cost costs[DCMI_ROUTE_COUNT], dcmi_route cheapest)
{
    uint64_t limit = 2ull * costs[cheapest].ns_per_mib;
    for (unsigned route = 0; route < DCMI_ROUTE_COUNT; route++) {
        if (costs[route].ns_per_mib > limit)
            continue;
        atomic_store_explicit(&size->routes[route].tries, 0, memory_order_relaxed);
        atomic_store_explicit(&size->routes[route].sum, 0, memory_order_relaxed);
        atomic_store_explicit(&size->routes[route].worst, 0, memory_order_relaxed);
    }
}

dcmi_choice
dcmi_cost_choose(dcmi_costs *costs, uint64_t bytes, unsigned possible)
{
    dcmi_cost_size *size = &costs->sizes[dcmi_cost_index(bytes)];
    dcmi_route_cost seen[DCMI_ROUTE_COUNT];
    for (unsigned route = 0; route < DCMI_ROUTE_COUNT; route++)
        seen[route] = dcmi_cost_of(atomic_load_explicit(&size->routes[route].sum, memory_order_relaxed),
                                   atomic_load_explicit(&size->routes[route].worst, memory_order_relaxed),
                                   atomic_load_explicit(&size->routes[route].tries, memory_order_relaxed));
    dcmi_choice choice = dcmi_route_choose(seen, possible, dcmi_cost_tries(bytes));
    if (choice.is_trial || !(possible & (possible - 1)))
        return choice;
    uint32_t uses = atomic_fetch_add_explicit(&size->uses, 1, memory_order_relaxed) + 1;
    if (dcmi_cost_is_due(bytes, uses))
        renew(size, seen, choice.route);
    else if (choice.route == DCMI_ROUTE_driver)
        atomic_store_explicit(&size->skips, DCMI_COST_SKIPS, memory_order_relaxed);
    return choice;
}

void
dcmi_cost_learn(dcmi_costs *costs, uint64_t whole, dcmi_route route, uint64_t part, uint64_t ns)
{
    dcmi_cost_size *size = &costs->sizes[dcmi_cost_index(whole)];
    uint64_t all, cost = dcmi_size_mul(&all, ns, 1ull << 20) ? all / part : UINT32_MAX;
    cost = dcmi_min(dcmi_max(cost, 1), UINT32_MAX);
    if (cost > atomic_load_explicit(&size->routes[route].worst, memory_order_relaxed))
        atomic_store_explicit(&size->routes[route].worst, (uint32_t)cost, memory_order_relaxed);
    atomic_fetch_add_explicit(&size->routes[route].sum, cost, memory_order_relaxed);
    atomic_fetch_add_explicit(&size->routes[route].tries, 1, memory_order_relaxed);
}
