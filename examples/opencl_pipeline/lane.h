/* lane.h: one of two lanes that take pictures in turn: a queue, and buffers of its own. While the kernels of one work
 * on a picture, the other brings the next and takes the last.
 *
 *     host      staged picture  --copy-->  colour                                          developed  --copy--> staged
 *     device                               colour > grey > blurred > edges > half > counts > table > half
 *
 * Nothing here waits but lane_put() and lane_take(), which touch what is staged: dcmem knows that the queue still uses
 * it, and until when. */
#ifndef LANE_H
#define LANE_H

#include "device.h"
#include "examples/pipeline/image.h"
#include "timeline.h"

#include <dcmem/dcmem.h>

/* name, kind of memory, bytes for a picture of `pixels` */
#define LANE_BUFFERS(X)                                                                                                \
    X(STAGED, DCMEM_KIND_PINNED, 3 * pixels) /* page-locked: only from there does a copy run beside all else */        \
    X(COLOUR, DCMEM_KIND_DEVICE, 3 * pixels)                                                                           \
    X(GREY, DCMEM_KIND_DEVICE, pixels)                                                                                 \
    X(BLURRED, DCMEM_KIND_DEVICE, pixels)                                                                              \
    X(EDGES, DCMEM_KIND_DEVICE, pixels)                                                                                \
    X(HALF, DCMEM_KIND_DEVICE, half_pixels)                                                                            \
    X(COUNTS, DCMEM_KIND_DEVICE, 256 * sizeof(uint32_t))                                                               \
    X(TABLE, DCMEM_KIND_DEVICE, 256)                                                                                   \
    X(DEVELOPED, DCMEM_KIND_PINNED, half_pixels)

typedef enum lane_buffer {
#define X(name, kind, bytes) LANE_##name,
    LANE_BUFFERS(X)
#undef X
        LANE_BUFFER_COUNT
} lane_buffer;

typedef struct lane {
    device *on;
    cl_command_queue commands; /* the program's queue, */
    dcmem_queue *queue;        /* and the same as dcmem knows it */
    timeline *times;
    uint32_t width;
    uint32_t height;
    dcmem_buffer *buffers[LANE_BUFFER_COUNT];
} lane;

/* The manager is on the device's context; `queue` is one of the device's. What fails here ends the program. */
void lane_init(lane *out, device *on, unsigned queue, dcmem_manager *manager, uint32_t width, uint32_t height,
               timeline *times);
void lane_fini(lane *it);

/* The picture is the caller's again when it returns. */
void lane_put(lane *to, const image *picture);

/* Puts everything that develops the staged picture on the queue, and returns at once. */
void lane_develop(lane *it);

/* Waits for the picture, and copies it. */
void lane_take(image *out, lane *from);

#endif
