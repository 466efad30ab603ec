/* kernels.h: the steps of the pipeline, and the one function through which a device runs them.
 *
 * The pipeline knows a device by this table only. There are three: the processor (kernels.c), a Vulkan device of the
 * program's own (examples/vulkan_compute), and in the tests a simulated device with a memory of its own. */
#ifndef KERNELS_H
#define KERNELS_H

#include <dcmem/backend.h>
#include <dcmem/result.h>
#include <stdint.h>

/* name, what it makes of what */
#define KERNEL_STEPS(X)                                                                                                \
    X(GREY, "grey of red, green, blue")                                                                                \
    X(BLUR, "each pixel the mean of 3 x 3, the nearer ones weighing more")                                             \
    X(SOBEL, "how steep the brightness is")                                                                            \
    X(HALVE, "each pixel the mean of 2 x 2, or of what there is of them")                                              \
    X(HISTOGRAM, "256 counts, of 32 bits each")                                                                        \
    X(RECOLOUR, "each pixel, in place, what a table of 256 bytes says")

typedef enum kernel_step {
#define X(name, text) KERNEL_##name,
    KERNEL_STEPS(X)
#undef X
        KERNEL_STEP_COUNT
} kernel_step;

typedef struct kernel_launch {
    kernel_step step;
    uint32_t width; /* of the picture that is read; of RECOLOUR: that is changed */
    uint32_t height;
    dcmem_native to; /* RECOLOUR: the picture, read and written */
    dcmem_native from;
} kernel_launch;

typedef struct kernels {
    void *user;
    /* Returns when it has run. */
    dcmem_result (*run)(void *user, const kernel_launch *launch);
    dcmem_kind kind;    /* of the memory that it works on, */
    uint64_t alignment; /* and at multiples of what that begins; 0: anywhere */
} kernels;

/* Bytes of either end. Pure. */
uint64_t kernel_to_bytes(const kernel_launch *launch);
uint64_t kernel_from_bytes(const kernel_launch *launch);

/* What a step does, in plain memory. */
void kernel_compute(const kernel_launch *launch, void *to, const void *from);

/* A device whose addresses are pointers: the processor. */
extern const kernels kernels_of_processor;

#endif
