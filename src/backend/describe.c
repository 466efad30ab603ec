/* describe.c: what a device is, asked without a manager. */
#include "backend/device.h"
#include "base/fail.h"
#include "base/size.h"

#include <dcmem/manager.h>
#include <string.h>

dcmem_result
dcmem_device_describe(dcmem_device_info *out, const char *backend, uint32_t device)
{
    DCMI_REQUIRE(out && out->size > sizeof out->size);

    dcmi_device opened;
    dcmem_open options = {.size = sizeof options, .index = device, .numa_node = -1};
    dcmem_result result = dcmi_device_open(&opened, backend, NULL, &options);
    if (result)
        return result;

    /* The struct grows from version to version: what both sides know is filled in, and how much that is, said. */
    opened.info.size = dcmi_min(out->size, sizeof *out);
    memcpy(out, &opened.info, opened.info.size);
    dcmi_device_close(&opened);
    return DCMEM_OK;
}
