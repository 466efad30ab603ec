/* device.h: the program's own OpenCL: what it would have without dcmem, too. */
#ifndef DEVICE_H
#define DEVICE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdbool.h>

/* As they are called in kernels.cl. */
#define DEVICE_STEPS(X) X(grey) X(blur) X(sobel) X(halve) X(histogram) X(stretch) X(recolour)

typedef enum device_step {
#define X(name) STEP_##name,
    DEVICE_STEPS(X)
#undef X
        STEP_COUNT
} device_step;

#define DEVICE_QUEUES 2

typedef struct device {
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queues[DEVICE_QUEUES]; /* in order; each command tells when it ran */
    cl_kernel kernels[STEP_COUNT];
    char name[128];
} device;

/* Opens the first device and builds the kernels. False, with a line on stderr: there is none, or they do not build. */
bool device_open(device *out);
void device_close(device *it);

/* Complains of an OpenCL call that failed, and ends the program. */
void device_expect(cl_int code, const char *call);

#define CL(call) device_expect(call, #call)

#endif
