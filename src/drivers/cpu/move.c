/* move.c: copies and fills. */
#include "drivers/cpu/move.h"

#include <string.h>

void
dcmi_cpu_copy(void *to, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(to, from, bytes);
}

void
dcmi_cpu_fill(void *to, size_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    unsigned char *at = to;
    for (size_t i = 0; i < bytes; i += pattern_bytes)
        memcpy(at + i, pattern, pattern_bytes);
}
