/* registry.h: which backends there are, and how many devices are open on each. */
#ifndef DCMI_REGISTRY_H
#define DCMI_REGISTRY_H

#include <dcmem/backend.h>

#define DCMI_REGISTRY_CAPACITY 64u

/* Finds a backend, `driver` if not NULL, else by name (NULL: "cpu"), and keeps it from being unregistered until
 * dcmi_registry_leave(). A driver that is not registered is used all the same: its owner keeps it alive. */
dcmem_result dcmi_registry_enter(const dcmem_backend **out, bool *out_is_counted, const char *name,
                                 const dcmem_backend *driver);

/* `is_counted` is what the entering said. */
void dcmi_registry_leave(const dcmem_backend *backend, bool is_counted);

#endif
