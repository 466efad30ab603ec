/* library.h: the Vulkan loader of the system, opened when it is first needed, and what its failures mean. */
#ifndef DCMI_VULKAN_LIBRARY_H
#define DCMI_VULKAN_LIBRARY_H

#include "base/fail.h"
#include "drivers/vulkan/vk.h"

#include <dcmem/backend.h>

#define DCMI_VK_POINTER(type, name, parameters) type(*name) parameters;

typedef struct dcmi_vk_table {
    DCMI_VK_FUNCTIONS(DCMI_VK_POINTER)
} dcmi_vk_table;

/* Filled by dcmi_vk_library_open(), constant from then on. The loader's own functions: they find by each handle whose
 * it is, so they do for a caller's instance and device, too. */
extern dcmi_vk_table dcmi_vk;

/* What is opened, and where memory for the driver's own books comes from (zeroed; end with free()). Changed by tests
 * only, and only while nothing of the driver is in use. */
extern const char *dcmi_vk_library_name;
extern void *(*dcmi_vk_new)(size_t bytes);

/* Not for two threads at once. Errors: DCMEM_E_UNAVAILABLE with what is missing. */
dcmem_result dcmi_vk_library_open(void);

/* "VK_ERROR_DEVICE_LOST"; "an unknown code" for others. Static. Pure. */
const char *dcmi_vk_code_name(VkResult code);

/* What a code means. Pure. */
dcmem_result dcmi_vk_result_of(VkResult code);

/* Writes what was asked and what the driver said, with its code, and returns what that means. */
DCMI_COLD dcmem_result dcmi_vk_fail(VkResult code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
