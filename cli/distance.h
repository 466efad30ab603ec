/* distance.h: how far one memory is from another: the latency of a small copy, the bandwidth of a large one.
 *
 * Before each round of copies the source gets bytes that it never had, and after it the target is read and compared: a
 * copy that went to the wrong place, or not at all, is a failure and no figure. */
#ifndef DCMEM_CLI_DISTANCE_H
#define DCMEM_CLI_DISTANCE_H

#include <dcmem/dcmem.h>

#define DISTANCE_SMALL_BYTES 64u
#define DISTANCE_LEAST_BYTES (64ull << 10) /* of the large copy */
#define DISTANCE_MOST_BYTES  (1ull << 30)

typedef struct distance {
    double latency_ns; /* of a copy of DISTANCE_SMALL_BYTES, median */
    double bytes_per_s;
    uint64_t bytes; /* of the large copy: as wished, or less where that is slow or finds no memory */
} distance;

/* From a buffer of the one manager to a buffer of the other, or of the same; NULL: memory of the host that is no
 * buffer's, at one end only. Takes about a second. False: `problem` is one line that says why. */
bool distance_measure(distance *out, dcmem_manager *to, dcmem_manager *from, uint64_t wished_bytes, char *problem,
                      size_t problem_bytes);

#endif
