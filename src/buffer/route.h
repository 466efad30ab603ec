/* route.h: the ways that bytes can go between two places, and which of them is the cheapest. All of it is pure.
 *
 * Which routes there are follows from what the devices can do; which one is taken, from what each has cost at about
 * that size (cost.h). No device is asked for its name. */
#ifndef DCMI_ROUTE_H
#define DCMI_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The plainest first: of two that cost the same the earlier one is taken.
 *
 *   same      both ends are one memory: nothing moves
 *   driver    a blocking copy by the one driver that can reach both ends
 *   queued    the same by a queue of that driver, and waiting for it
 *   peer      a direct copy from one device to the other
 *   mapped    by the host, through maps of what it cannot touch
 *   streamed  the same with stores that go round the caches
 *   wide      the same by several threads
 *   staged    through a ring of page-locked memory, out of the source while the chunk before goes into the target */
#define DCMI_ROUTES(X) X(same) X(driver) X(queued) X(peer) X(mapped) X(streamed) X(wide) X(staged)

typedef enum dcmi_route {
#define DCMEM_X(name) DCMI_ROUTE_##name,
    DCMI_ROUTES(DCMEM_X)
#undef DCMEM_X
        DCMI_ROUTE_COUNT
} dcmi_route;

#define DCMI_ROUTE_BIT(route) (1u << (route))

/* Below these there is no choice worth its measuring: a queue, a map, a thread or a detour costs more. */
#define DCMI_ROUTE_LEAST        (8ull << 10)
#define DCMI_ROUTE_LEAST_MAP    (64ull << 10)
#define DCMI_ROUTE_LEAST_STREAM (1ull << 20) /* streamed and staged */
#define DCMI_ROUTE_LEAST_WIDE   (8ull << 20)

/* What is known of the two ends of a copy. */
typedef struct dcmi_route_facts {
    uint64_t bytes;
    bool is_same;              /* both ends are the same memory */
    bool is_one_device;        /* one driver knows both ends */
    bool to_touch, from_touch; /* the host can touch the end at any time */
    bool to_map, from_map;     /* or where it has mapped it */
    bool is_host_s;            /* all of the driver's memory is the host's: its copies are the host's own moves */
    bool is_lent;              /* the driver's queue is the caller's: only its blocking copies come in his order */
    bool has_queues;           /* that driver's own */
    bool is_peer;              /* the target's device can copy from the source's */
    bool is_far;               /* the device's memory is not the host's, and the host's end is not page-locked */
    bool has_threads;          /* there is more than one processor */
} dcmi_route_facts;

/* DCMI_ROUTE_BIT of each route that there is: one at least. */
unsigned dcmi_route_possible(const dcmi_route_facts *facts);

/* Whose driver can reach both ends, where one can. A device is NULL for plain host memory. */
typedef enum dcmi_driver { DCMI_DRIVER_OF_TO, DCMI_DRIVER_OF_FROM, DCMI_DRIVER_NONE } dcmi_driver;
static inline dcmi_driver
dcmi_route_driver(const void *to, bool to_touch, const void *from, bool from_touch)
{
    if (to == from || !from)
        return DCMI_DRIVER_OF_TO;
    if (!to)
        return DCMI_DRIVER_OF_FROM;
    if (from_touch)
        return DCMI_DRIVER_OF_TO;
    return to_touch ? DCMI_DRIVER_OF_FROM : DCMI_DRIVER_NONE;
}

/* What a route has cost. */
typedef struct dcmi_route_cost {
    uint32_t ns_per_mib; /* 0: not known */
    uint32_t tries;
} dcmi_route_cost;

/* After so many tries a route is given up that takes one and a half times as long as the best, or an eighth longer. */
#define DCMI_ROUTE_TRIES_FEW  2u
#define DCMI_ROUTE_TRIES_MANY 4u

typedef struct dcmi_choice {
    dcmi_route route;
    bool is_trial; /* what it costs is to be told */
} dcmi_choice;

/* Of the possible routes the first that has not been tried `most` times and is not hopeless; when there is none, the
 * cheapest. A later one must be cheaper by a thirty-second. */
dcmi_choice dcmi_route_choose(const dcmi_route_cost costs[DCMI_ROUTE_COUNT], unsigned possible, uint32_t most);

/* Tests set it: this route, wherever it is possible, whatever it costs; DCMI_ROUTE_COUNT: the cheapest. */
extern _Atomic(dcmi_route) dcmi_route_only __attribute__((visibility("hidden")));

#endif
