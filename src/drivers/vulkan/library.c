/* library.c: the names of the loader's functions and codes. */
#include "drivers/vulkan/library.h"

#include "base/library.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const dcmi_symbol symbols[] = {
#define DCMEM_X(type, name, parameters) {#name, offsetof(dcmi_vk_table, name), false},
    DCMI_VK_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
};

static const dcmi_code codes[] = {
#define DCMEM_X(name, number, result) {#name, number, result},
    DCMI_VK_CODES(DCMEM_X)
#undef DCMEM_X
};

dcmi_vk_table dcmi_vk;
const char *dcmi_vk_library_name = "libvulkan.so.1";

static void *
new_zeroed(size_t bytes)
{
    return calloc(1, bytes);
}

void *(*dcmi_vk_new)(size_t bytes) = new_zeroed;

dcmem_result
dcmi_vk_library_open(void)
{
    return dcmi_library_open(&dcmi_vk, symbols, COUNT(symbols), dcmi_vk_library_name, "a Vulkan loader and a driver",
                             "Vulkan 1.1");
}

const char *
dcmi_vk_code_name(VkResult code)
{
    return dcmi_code_find(codes, COUNT(codes), code).name;
}

dcmem_result
dcmi_vk_result_of(VkResult code)
{
    return dcmi_code_find(codes, COUNT(codes), code).result;
}

dcmem_result
dcmi_vk_fail(VkResult code, const char *format, ...)
{
    char message[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    dcmi_code found = dcmi_code_find(codes, COUNT(codes), code);
    return dcmem_backend_fail(found.result, "vulkan", code, "%s: %s (%d)", message, found.name, (int)code);
}
