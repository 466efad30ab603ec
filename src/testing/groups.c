/* groups.c: see groups.h. */
#include "groups.h"

#define DCMEM_CAP_REQUIRED 0ull

void
dcmi_groups_fit(dcmem_backend *table, uint64_t capabilities)
{
    table->capabilities = capabilities;
#define DCMEM_X(function, group)                                                                                       \
    if (DCMEM_CAP_##group & ~capabilities)                                                                             \
        table->function = NULL;
    DCMEM_FAKE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
}
