/* library.h: the OpenCL loader of the system, opened when it is first needed, and what its failures mean. */
#ifndef DCMI_OPENCL_LIBRARY_H
#define DCMI_OPENCL_LIBRARY_H

#include "base/fail.h"
#include "drivers/opencl/cl.h"

#include <dcmem/backend.h>

#define DCMI_CL_POINTER(type, name, parameters) type(*name) parameters;

typedef struct dcmi_cl_table {
    DCMI_CL_FUNCTIONS(DCMI_CL_POINTER)
    DCMI_CL_NEWER_FUNCTIONS(DCMI_CL_POINTER)
} dcmi_cl_table;

/* Filled by dcmi_cl_library_open(), constant from then on. */
extern dcmi_cl_table dcmi_cl;

/* What is opened, and where memory for the driver's own books comes from (zeroed; end with free()). Changed by tests
 * only, and only while nothing of the driver is in use. */
extern const char *dcmi_cl_library_name;
extern void *(*dcmi_cl_new)(size_t bytes);

/* Not for two threads at once. Errors: DCMEM_E_UNAVAILABLE with what is missing. */
dcmem_result dcmi_cl_library_open(void);

/* "CL_OUT_OF_RESOURCES"; "an unknown code" for others. Static. Pure. */
const char *dcmi_cl_code_name(cl_int code);

/* What a code means. Pure. */
dcmem_result dcmi_cl_result_of(cl_int code);

/* Writes what was asked and what the driver said, with its code, and returns what that means. */
DCMI_COLD dcmem_result dcmi_cl_fail(cl_int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
