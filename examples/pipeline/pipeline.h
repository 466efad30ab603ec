/* pipeline.h: pictures developed on a device: grey, blurred, their edges found, halved, and the contrast stretched.
 *
 * A pipeline is made for one size of pictures and keeps its buffers from one picture to the next. */
#ifndef PIPELINE_H
#define PIPELINE_H

#include "image.h"
#include "kernels.h"

#include <dcmem/dcmem.h>

typedef struct pipeline pipeline;

/* `manager` and what runs its kernels are of one device, and outlive the pipeline.
 * DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY, those of dcmem_buffer_create(). */
dcmem_result pipeline_create(pipeline **out, dcmem_manager *manager, const kernels *device, uint32_t width,
                             uint32_t height);

/* NULL is allowed. The first failure of dcmem_buffer_destroy(); all the rest is gone. */
dcmem_result pipeline_destroy(pipeline *line);

/* Develops a picture of the pipeline's size, in colour or grey, into `out`: grey, half as wide and high (rounded up),
 * to be ended by image_fini(). On failure `out` is untouched, and the next picture has the same chances.
 * DCMEM_E_INVALID_ARGUMENT, DCMEM_E_NO_HOST_MEMORY, those of dcmem_access_begin() and of the kernels. */
dcmem_result pipeline_develop(image *out, pipeline *line, const image *picture);

#endif
