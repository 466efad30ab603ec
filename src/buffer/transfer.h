/* transfer.h: moving the rows of one end of a transfer to the other: what every copy of buffers is.
 *
 * A transfer is accesses (access.h) around copies (carry.h): it conflicts as accesses do, it reads each byte where that
 * is current, without bringing anything anywhere first, and it writes one side, which is then the only current one. */
#ifndef DCMI_TRANSFER_H
#define DCMI_TRANSFER_H

#include "buffer/access.h"

/* Rows of a buffer, or of host memory. */
typedef struct dcmi_end {
    dcmem_buffer *buffer;
    void *host;     /* NULL: it is the buffer's, whatever handle that is */
    dcmi_rows rows; /* offsets in the buffer or from `host` */
} dcmi_end;

/* Asks the gates, then moves. At least one end is a buffer; both have as many rows of as many bytes, and share none.
 * `out_has_begun` (may be NULL) is written where it begins to write. `watch` may be NULL. */
dcmem_result dcmi_transfer(const dcmi_end *to, const dcmi_end *from, bool *out_has_begun, dcmi_watch *watch,
                           uint64_t timeout_ns);

/* All of a view. */
dcmi_end dcmi_end_of_view(dcmem_view view);

/* Host memory that is only read is not written through it. */
dcmi_end dcmi_end_of_host(const void *host, uint64_t bytes);

#endif
