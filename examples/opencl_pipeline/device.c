/* device.c: opening and closing. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>

static const char *source[] = {
#include "kernels.cl.h" /* made of kernels.cl, a string a line */
};

void
device_expect(cl_int code, const char *call)
{
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "opencl_pipeline: %s gave %d\n", call, (int)code);
    exit(1);
}

static cl_program
build(device *it)
{
    cl_int code;
    char log[4096] = "";
    cl_program program = clCreateProgramWithSource(it->context, sizeof source / sizeof *source, source, NULL, &code);
    device_expect(code, "clCreateProgramWithSource");
    if (clBuildProgram(program, 1, &it->id, "", NULL, NULL)) {
        (void)clGetProgramBuildInfo(program, it->id, CL_PROGRAM_BUILD_LOG, sizeof log, log, NULL); /* or nothing */
        fprintf(stderr, "opencl_pipeline: kernels.cl does not build: %s\n", log);
        exit(1);
    }
    return program;
}

bool
device_open(device *out)
{
    static const char *const names[] = {
#define X(name) #name,
        DEVICE_STEPS(X)
#undef X
    };
    cl_int code;
    device it;
    if (clGetPlatformIDs(1, &it.platform, NULL) || clGetDeviceIDs(it.platform, CL_DEVICE_TYPE_ALL, 1, &it.id, NULL)) {
        fprintf(stderr, "opencl_pipeline: no OpenCL here\n");
        return false;
    }
    CL(clGetDeviceInfo(it.id, CL_DEVICE_NAME, sizeof it.name, it.name, NULL));
    it.context = clCreateContext(NULL, 1, &it.id, NULL, NULL, &code);
    device_expect(code, "clCreateContext");
    for (unsigned i = 0; i < DEVICE_QUEUES; i++) {
        it.queues[i] = clCreateCommandQueue(it.context, it.id, CL_QUEUE_PROFILING_ENABLE, &code);
        device_expect(code, "clCreateCommandQueue");
    }
    cl_program program = build(&it);
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        it.kernels[i] = clCreateKernel(program, names[i], &code);
        device_expect(code, names[i]);
    }
    CL(clReleaseProgram(program)); /* its kernels keep it */
    *out = it;
    return true;
}

void
device_close(device *it)
{
    for (unsigned i = 0; i < STEP_COUNT; i++)
        CL(clReleaseKernel(it->kernels[i]));
    for (unsigned i = 0; i < DEVICE_QUEUES; i++)
        CL(clReleaseCommandQueue(it->queues[i]));
    CL(clReleaseContext(it->context));
}
