/* choose.h: the backend that --backend names. */
#ifndef DCMEM_CLI_CHOOSE_H
#define DCMEM_CLI_CHOOSE_H

#include <dcmem/backend.h>

/* Finds it; "simulated" is registered for it. NULL after a complaint in the name of `command`, and then `out_code` is
 * what the program ends with. Whether the backend has a device is another question. */
const dcmem_backend *choose_backend(int *out_code, const char *command, const char *name);

#endif
