/* library.c: opens the loader and finds its functions. */
#include "drivers/opencl/library.h"

#include "base/os.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dcmi_cl_table dcmi_cl;
const char *dcmi_cl_library_name = "libOpenCL.so.1";

static void *
new_zeroed(size_t bytes)
{
    return calloc(1, bytes);
}

void *(*dcmi_cl_new)(size_t bytes) = new_zeroed;

/* ISO C has no way from what dlsym returns to a function but through its bytes. */
static bool
find(void *library, const char *name, void *out, size_t bytes)
{
    void *found = dlsym(library, name);
    _Static_assert(sizeof found == sizeof(void (*)(void)), "pointers of both sorts are alike");
    memcpy(out, &found, bytes);
    return found != NULL;
}

#define FIND(table, name) find(library, #name, &(table).name, sizeof(table).name)

/* The first function that it lacks, or NULL. */
static const char *
fill(dcmi_cl_table *table, void *library)
{
#define DCMEM_X(type, name, parameters) (void)FIND(*table, name); /* What is newer may be absent. */
    DCMI_CL_NEWER_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(type, name, parameters)                                                                                \
    if (!FIND(*table, name))                                                                                           \
        return #name;
    DCMI_CL_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
    return NULL;
}

dcmem_result
dcmi_cl_library_open(void)
{
    if (!DCMI_HAS_VENDORS)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "this build is instrumented, %s is not", dcmi_cl_library_name);
    void *library = dlopen(dcmi_cl_library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s; install an OpenCL loader and a driver", dlerror());
    const char *missing = fill(&dcmi_cl, library);
    if (!missing)
        return DCMEM_OK; /* It stays open for good: vendors' libraries do not bear being closed. */
    dlclose(library);
    return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s has no %s: OpenCL 1.2 is needed", dcmi_cl_library_name, missing);
}

const char *
dcmi_cl_code_name(cl_int code)
{
    switch (code) {
#define DCMEM_X(name, number, result)                                                                                  \
    case number:                                                                                                       \
        return #name;
        DCMI_CL_CODES(DCMEM_X)
#undef DCMEM_X
    default:
        return "an unknown code";
    }
}

dcmem_result
dcmi_cl_result_of(cl_int code)
{
    switch (code) {
#define DCMEM_X(name, number, result)                                                                                  \
    case number:                                                                                                       \
        return result;
        DCMI_CL_CODES(DCMEM_X)
#undef DCMEM_X
    default:
        return DCMEM_E_DRIVER;
    }
}

dcmem_result
dcmi_cl_fail(cl_int code, const char *format, ...)
{
    char message[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return dcmem_backend_fail(dcmi_cl_result_of(code), "opencl", code, "%s: %s (%d)", message, dcmi_cl_code_name(code),
                              (int)code);
}
