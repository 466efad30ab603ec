/* link.c: times on links. */
#include "link.h"

#define SECOND 1000000000ull

uint64_t
dcmi_later(uint64_t time_ns, uint64_t by_ns)
{
    return by_ns >= DCMI_NEVER - time_ns ? DCMI_NEVER - 1 : time_ns + by_ns;
}

uint64_t
dcmi_link_transfer_ns(const dcmem_simulated_link *rate, uint64_t bytes)
{
    __extension__ typedef unsigned __int128 wide;
    wide ns = ((wide)bytes * SECOND + rate->bytes_per_second - 1) / rate->bytes_per_second;
    return ns < DCMI_NEVER ? (uint64_t)ns : DCMI_NEVER - 1;
}

static uint64_t
greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t
dcmi_route_book(const dcmi_route *route, uint64_t ready_ns, uint64_t bytes)
{
    dcmi_link *links[] = {route->first, route->second};
    uint64_t start = ready_ns, transfer = 0, latency = 0;
    for (int i = 0; i < 2; i++)
        if (links[i]) {
            start = greater(start, links[i]->busy_until_ns);
            transfer = greater(transfer, dcmi_link_transfer_ns(&links[i]->rate, bytes));
            latency = greater(latency, links[i]->rate.latency_ns);
        }
    uint64_t through = dcmi_later(start, transfer);
    for (int i = 0; i < 2; i++)
        if (links[i]) {
            links[i]->busy_until_ns = through;
            links[i]->bytes += bytes;
        }
    return route->first ? dcmi_later(through, latency) : ready_ns;
}
