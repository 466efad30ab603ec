/* host.c: memory and pages of the host, which tests can make scarce. */
#include "host.h"

#include <stdlib.h>
#include <sys/mman.h>

bool (*dcmi_testing_fault)(void);

static bool
is_out(void)
{
    return dcmi_testing_fault && dcmi_testing_fault();
}

void *
dcmi_host_new(size_t bytes)
{
    return is_out() ? NULL : calloc(1, bytes);
}

void *
dcmi_host_renew(void *memory, size_t bytes)
{
    return is_out() ? NULL : realloc(memory, bytes);
}

uint8_t *
dcmi_host_map(uint8_t *wanted, uint64_t bytes, int protection, int flags)
{
    if (is_out())
        return NULL;
    void *address = mmap(wanted, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}
