/* move.h: copies and fills between host ranges, at the machine's limit for each size. */
#ifndef DCMI_CPU_MOVE_H
#define DCMI_CPU_MOVE_H

#include <stddef.h>
#include <stdint.h>

/* The ranges do not overlap. */
void dcmi_cpu_copy(void *to, const void *from, size_t bytes);

/* Repeats a pattern of 1, 2, 4, 8 or 16 bytes; `bytes` is a multiple of it. */
void dcmi_cpu_fill(void *to, size_t bytes, const void *pattern, uint32_t pattern_bytes);

#endif
