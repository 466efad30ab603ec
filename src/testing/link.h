/* link.h: the ways that bytes take in simulated devices, and how long they take on them.
 *
 * A link carries one thing at a time: what comes while it is busy waits. Latency is how long the first byte takes; it
 * is spent beside the others, so it does not keep the link busy. Times are of the backend's clock, whose lock guards
 * them. */
#ifndef DCMI_TESTING_LINK_H
#define DCMI_TESTING_LINK_H

#include <dcmem/testing.h>

typedef enum dcmi_link_kind {
    DCMI_LINK_TO_DEVICE,
    DCMI_LINK_TO_HOST,
    DCMI_LINK_WITHIN,
    DCMI_LINK_FROM_PEER,
    DCMI_LINK_TO_PEER,
    DCMI_LINK_COUNT
} dcmi_link_kind;

typedef struct dcmi_link {
    dcmem_simulated_link rate;
    uint64_t busy_until_ns;
    uint64_t bytes; /* that it has carried, or carries */
} dcmi_link;

/* The links that a piece of work takes, both at once: NULL where it takes none. */
typedef struct dcmi_route {
    dcmi_link *first;
    dcmi_link *second;
} dcmi_route;

/* No time that anything happens at; the last one is before it. */
#define DCMI_NEVER UINT64_MAX

/* Both end before DCMI_NEVER. Pure. */
uint64_t dcmi_later(uint64_t time_ns, uint64_t by_ns);
uint64_t dcmi_link_transfer_ns(const dcmem_simulated_link *rate, uint64_t bytes);

/* When bytes that are ready at `ready_ns` have arrived, on a route that is theirs from now on until they are through.
 * A route without links takes no time. */
uint64_t dcmi_route_book(const dcmi_route *route, uint64_t ready_ns, uint64_t bytes);

#endif
