/* traffic.h: what a manager's copies have learnt and hold: what routes cost, which peers there are, which memory the
 * host cannot see, and the ring. Made by the first copy that has a choice; it ends with the manager. */
#ifndef DCMI_TRAFFIC_H
#define DCMI_TRAFFIC_H

#include "buffer/cost.h"
#include "buffer/ring.h"

#define DCMI_PEERS 16u

enum dcmi_peer_state { DCMI_PEER_UNKNOWN, DCMI_PEER_CAN, DCMI_PEER_CANNOT };

/* Another manager that bytes came from. Its handle is never used again, so what is known of it is true for ever. */
typedef struct dcmi_peer {
    _Atomic uint64_t manager; /* 0: a free entry */
    _Atomic uint32_t state;
    dcmi_costs costs;
} dcmi_peer;

typedef struct dcmi_traffic {
    dcmi_ring ring;
    _Atomic uint32_t unseen; /* DCMEM_KIND_BIT of each kind that the driver would not map */
    dcmi_costs ends[2][2];   /* between device and host: [into the device][page-locked] */
    dcmi_costs within;       /* between memories that the host can touch */
    dcmi_costs bundles[2];   /* of several small copies: [into the device] */
    dcmi_peer peers[DCMI_PEERS];
    dcmi_peer others; /* for all further ones together, without leave to copy directly */
} dcmi_traffic;

/* That of a pool's manager, made if need be; NULL where there is no memory for it. */
dcmi_traffic *dcmi_traffic_of(dcmi_pool *pool);

/* What is known of copies from `from`'s manager to this one; asks the driver once whether they can be direct. */
dcmi_peer *dcmi_traffic_peer(dcmi_traffic *traffic, dcmi_pool *from);

#endif
