/* contract.h: which functions a backend's table has, group by group, and what stands in for an absent group. */
#ifndef DCMI_CONTRACT_H
#define DCMI_CONTRACT_H

#include <dcmem/backend.h>

/* group, function: every function of the table, in its order. The required group has no capability bit. */
#define DCMI_CONTRACT_FUNCTIONS(X) DCMI_CONTRACT_REQUIRED(X) DCMI_CONTRACT_GROUPS(X)

#define DCMI_CONTRACT_REQUIRED(X)                                                                                      \
    X(REQUIRED, count)                                                                                                 \
    X(REQUIRED, open)                                                                                                  \
    X(REQUIRED, close)                                                                                                 \
    X(REQUIRED, info)                                                                                                  \
    X(REQUIRED, acquire)                                                                                               \
    X(REQUIRED, release)                                                                                               \
    X(REQUIRED, copy)                                                                                                  \
    X(REQUIRED, fill)

#define DCMI_CONTRACT_GROUPS(X)                                                                                        \
    X(MAP, map)                                                                                                        \
    X(MAP, unmap)                                                                                                      \
    X(MAP, flush)                                                                                                      \
    X(MAP, invalidate)                                                                                                 \
    X(ASYNC, queue_open)                                                                                               \
    X(ASYNC, queue_close)                                                                                              \
    X(ASYNC, enqueue_copy)                                                                                             \
    X(ASYNC, enqueue_fill)                                                                                             \
    X(ASYNC, queue_mark)                                                                                               \
    X(ASYNC, queue_completed)                                                                                          \
    X(ASYNC, queue_wait)                                                                                               \
    X(VIRTUAL, reserve)                                                                                                \
    X(VIRTUAL, unreserve)                                                                                              \
    X(VIRTUAL, page_create)                                                                                            \
    X(VIRTUAL, page_destroy)                                                                                           \
    X(VIRTUAL, page_map)                                                                                               \
    X(VIRTUAL, page_unmap)                                                                                             \
    X(PEER, peer_can)                                                                                                  \
    X(PEER, peer_enable)                                                                                               \
    X(PEER, peer_disable)                                                                                              \
    X(PEER, peer_copy)                                                                                                 \
    X(IMPORT, import_host)                                                                                             \
    X(IPC, ipc_export)                                                                                                 \
    X(IPC, ipc_import)

#define DCMI_CAP_REQUIRED 0ull
#define DCMI_CAP_MAP      DCMEM_CAP_MAP
#define DCMI_CAP_ASYNC    DCMEM_CAP_ASYNC
#define DCMI_CAP_VIRTUAL  DCMEM_CAP_VIRTUAL
#define DCMI_CAP_PEER     DCMEM_CAP_PEER
#define DCMI_CAP_IMPORT   DCMEM_CAP_IMPORT
#define DCMI_CAP_IPC      DCMEM_CAP_IPC

#define DCMI_CAP_KNOWN (DCMEM_CAP_GROUPS | DCMEM_CAP_UNIFIED | DCMEM_CAP_DIVISIBLE | DCMEM_CAP_ADDRESSED)

/* Puts a stub into `ops` for each function of a group that is not in `capabilities`. A stub is given the backend in
 * the device's place, so that the failure it writes can name it. */
void dcmi_contract_fill_stubs(dcmem_backend *ops, uint64_t capabilities);

#endif
