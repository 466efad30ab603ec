/* choose.c: a name, and what is said of one that is wrong. */
#include "cli/choose.h"

#include "cli/cli.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <string.h>

/* The library's own words, which tell a name that is wrong from one that is yet to come. */
static int
complain_of_name(const char *command, const char *name)
{
    char all[256] = "";
    dcmem_device_info info = {.size = sizeof info};
    (void)dcmem_device_describe(&info, name, 0); /* It fails: why is what counts. */
    for (uint32_t i = 0; i < dcmem_backend_count(); i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s, ", dcmem_backend_at(i)->name);
    }
    cli_complain(command, "%s; there are: %ssimulated. See 'dcmem devices'.", dcmem_last_detail()->message, all);
    return CLI_USAGE;
}

const dcmem_backend *
choose_backend(int *out_code, const char *command, const char *name)
{
    if (strcmp(name, "simulated") == 0 && dcmem_simulated_register()) {
        cli_complain(command, "the backend 'simulated' is not available: %s", dcmem_last_detail()->message);
        *out_code = CLI_FAILED;
        return NULL;
    }
    const dcmem_backend *found = dcmem_backend_find(name);
    if (!found)
        *out_code = complain_of_name(command, name);
    return found;
}
