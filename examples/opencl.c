/* opencl.c: numbers on the program's own OpenCL context and queue, doubled there by a kernel. The memory is dcmem's. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dcmem/dcmem.h>
#include <stdio.h>

static const char *source = "kernel void twice(global float *numbers, ulong first)\n"
                            "{\n"
                            "    numbers[first + get_global_id(0)] *= 2;\n"
                            "}\n";

/* What such a program has anyway. NULL: there is no OpenCL. */
static cl_kernel
open_opencl(cl_context *context, cl_device_id *device, cl_command_queue *queue)
{
    cl_platform_id platform;
    if (clGetPlatformIDs(1, &platform, NULL) || clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, device, NULL))
        return NULL;
    *context = clCreateContext(NULL, 1, device, NULL, NULL, NULL);
    *queue = clCreateCommandQueue(*context, *device, 0, NULL);
    cl_program program = clCreateProgramWithSource(*context, 1, &source, NULL, NULL);
    cl_kernel kernel =
        clBuildProgram(program, 1, device, "", NULL, NULL) ? NULL : clCreateKernel(program, "twice", NULL);
    clReleaseProgram(program);
    return kernel;
}

int
main(void)
{
    float numbers[4] = {1, 2, 3, 4};
    cl_context context;
    cl_device_id device;
    cl_command_queue queue;
    cl_kernel kernel = open_opencl(&context, &device, &queue);
    if (!kernel) {
        puts("no OpenCL here");
        return 77;
    }

    dcmem_manager *manager;
    dcmem_buffer *buffer;
    dcmem_access access;
    const dcmem_native_context native = {
        /* lent to dcmem, which releases none of them */
        .size = sizeof native,
        .context = (uint64_t)(uintptr_t)context,
        .device = (uint64_t)(uintptr_t)device,
        .queue = (uint64_t)(uintptr_t)queue,
    };
    const dcmem_manager_options options = {.size = sizeof options, .backend = "opencl", .native = &native};

    if (dcmem_manager_create(&manager, &options) ||
        dcmem_buffer_create_from(&buffer, manager, numbers, sizeof numbers, NULL) ||
        dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
        goto failed;

    cl_mem object = (cl_mem)(uintptr_t)access.native.object; /* shared with other buffers: hence the offset */
    cl_ulong first = access.native.offset / sizeof numbers[0];
    size_t count = 4;
    clSetKernelArg(kernel, 0, sizeof object, &object);
    clSetKernelArg(kernel, 1, sizeof first, &first);
    clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &count, NULL, 0, NULL, NULL); /* copies of dcmem's come behind it */

    if (dcmem_access_end(&access) || dcmem_buffer_copy_out(numbers, dcmem_view_whole(buffer), 0) ||
        dcmem_buffer_destroy(buffer) || dcmem_manager_destroy(manager))
        goto failed;
    printf("%g %g %g %g\n", numbers[0], numbers[1], numbers[2], numbers[3]);
    clReleaseKernel(kernel);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return 0;

failed:
    fprintf(stderr, "%s\n", dcmem_last_detail()->message);
    return 1;
}
