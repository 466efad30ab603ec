/* library.c: opens the loader and finds its functions. */
#include "drivers/vulkan/library.h"

#include "base/os.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dcmi_vk_table dcmi_vk;
const char *dcmi_vk_library_name = "libvulkan.so.1";

static void *
new_zeroed(size_t bytes)
{
    return calloc(1, bytes);
}

void *(*dcmi_vk_new)(size_t bytes) = new_zeroed;

/* ISO C has no way from what dlsym returns to a function but through its bytes. */
static bool
find(void *library, const char *name, void *out, size_t bytes)
{
    void *found = dlsym(library, name);
    _Static_assert(sizeof found == sizeof(void (*)(void)), "pointers of both sorts are alike");
    memcpy(out, &found, bytes);
    return found != NULL;
}

/* The first function that it lacks, or NULL. */
static const char *
fill(dcmi_vk_table *table, void *library)
{
#define DCMEM_X(type, name, parameters)                                                                                \
    if (!find(library, #name, &table->name, sizeof table->name))                                                       \
        return #name;
    DCMI_VK_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
    return NULL;
}

dcmem_result
dcmi_vk_library_open(void)
{
    if (!DCMI_HAS_VENDORS)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "this build is instrumented, %s is not", dcmi_vk_library_name);
    void *library = dlopen(dcmi_vk_library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s; install a Vulkan loader and a driver", dlerror());
    const char *missing = fill(&dcmi_vk, library);
    if (!missing)
        return DCMEM_OK; /* It stays open for good: vendors' libraries do not bear being closed. */
    dlclose(library);
    return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s has no %s: Vulkan 1.1 is needed", dcmi_vk_library_name, missing);
}

const char *
dcmi_vk_code_name(VkResult code)
{
    switch (code) {
#define DCMEM_X(name, number, result)                                                                                  \
    case number:                                                                                                       \
        return #name;
        DCMI_VK_CODES(DCMEM_X)
#undef DCMEM_X
    default:
        return "an unknown code";
    }
}

dcmem_result
dcmi_vk_result_of(VkResult code)
{
    switch (code) {
#define DCMEM_X(name, number, result)                                                                                  \
    case number:                                                                                                       \
        return result;
        DCMI_VK_CODES(DCMEM_X)
#undef DCMEM_X
    default:
        return DCMEM_E_DRIVER;
    }
}

dcmem_result
dcmi_vk_fail(VkResult code, const char *format, ...)
{
    char message[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return dcmem_backend_fail(dcmi_vk_result_of(code), "vulkan", code, "%s: %s (%d)", message, dcmi_vk_code_name(code),
                              (int)code);
}
