/* onlooker.h: who a transfer's options say looks on while bytes move: a progress callback, a word that says stop.
 *
 * It is a dcmi_watch (carry.h), asked between pieces. Once all bytes are there nobody can stop it any more. */
#ifndef DCMI_ONLOOKER_H
#define DCMI_ONLOOKER_H

#include "buffer/carry.h"

#include <dcmem/transfer.h>

typedef struct dcmi_onlooker {
    dcmi_watch watch; /* the first: a pointer to it is one to the whole */
    dcmem_transfer_options options;
    uint64_t total_bytes; /* 0 until they are known */
    uint64_t done_bytes;
    uint64_t told_bytes; /* of these, when progress was called last */
    uint64_t told_ns;
} dcmi_onlooker;

/* Takes a copy of the options, or refuses them. */
dcmem_result dcmi_onlooker_init(dcmi_onlooker *out, const dcmem_transfer_options *options);

/* NULL where nobody looks on. */
dcmi_watch *dcmi_onlooker_watch(dcmi_onlooker *it, uint64_t total_bytes);

#endif
