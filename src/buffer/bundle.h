/* bundle.h: several copies for one errand: the stale ranges of an access. Each is done as dcmi_carry() would do it;
 * small ones are kept until there are a few, and then put on one queue and waited for once, where that has been
 * cheaper.
 *
 * What was added may be copied at any time until the bundle ends, which is when failures are told at the latest. */
#ifndef DCMI_BUNDLE_H
#define DCMI_BUNDLE_H

#include "buffer/carry.h"

#define DCMI_BUNDLE_MOST  16u
#define DCMI_BUNDLE_LEAST 4u            /* fewer are not worth a queue */
#define DCMI_BUNDLE_PIECE (64ull << 10) /* what is as large as that is no small copy */

typedef struct dcmi_bundle_piece {
    dcmi_site to, from;
    uint64_t bytes;
} dcmi_bundle_piece;

typedef struct dcmi_bundle {
    dcmi_errand *errand;
    uint32_t count;
    dcmi_bundle_piece pieces[DCMI_BUNDLE_MOST];
} dcmi_bundle;

void dcmi_bundle_begin(dcmi_bundle *bundle, dcmi_errand *errand);

/* The ranges of all that is added do not overlap. */
dcmem_result dcmi_bundle_add(dcmi_bundle *bundle, const dcmi_site *to, const dcmi_site *from, uint64_t bytes);

/* Does what is left to do. After a failure it need not be called. */
dcmem_result dcmi_bundle_end(dcmi_bundle *bundle);

#endif
