/* library.c: the names of the loader's functions and codes. */
#include "drivers/opencl/library.h"

#include "base/library.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const dcmi_symbol symbols[] = {
#define DCMEM_X(type, name, parameters) {#name, offsetof(dcmi_cl_table, name), false},
    DCMI_CL_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(type, name, parameters) {#name, offsetof(dcmi_cl_table, name), true},
        DCMI_CL_NEWER_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
};

static const dcmi_code codes[] = {
#define DCMEM_X(name, number, result) {#name, number, result},
    DCMI_CL_CODES(DCMEM_X)
#undef DCMEM_X
};

dcmi_cl_table dcmi_cl;
const char *dcmi_cl_library_name = "libOpenCL.so.1";

static void *
new_zeroed(size_t bytes)
{
    return calloc(1, bytes);
}

void *(*dcmi_cl_new)(size_t bytes) = new_zeroed;

dcmem_result
dcmi_cl_library_open(void)
{
    return dcmi_library_open(&dcmi_cl, symbols, COUNT(symbols), dcmi_cl_library_name, "an OpenCL loader and a driver",
                             "OpenCL 1.2");
}

const char *
dcmi_cl_code_name(cl_int code)
{
    return dcmi_code_find(codes, COUNT(codes), code).name;
}

dcmem_result
dcmi_cl_result_of(cl_int code)
{
    return dcmi_code_find(codes, COUNT(codes), code).result;
}

dcmem_result
dcmi_cl_fail(cl_int code, const char *format, ...)
{
    char message[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    dcmi_code found = dcmi_code_find(codes, COUNT(codes), code);
    return dcmem_backend_fail(found.result, "opencl", code, "%s: %s (%d)", message, found.name, (int)code);
}
