/* memory.h: memory of the process, acquired and given back: alone, or growing in windows. */
#ifndef DCMI_CPU_MEMORY_H
#define DCMI_CPU_MEMORY_H

#include "base/lock.h"
#include "drivers/cpu/windows.h"

#define DCMI_ORPHAN_COUNT 16u

/* `lock` guards what stands below it. It is held for reading and changing the table, never during a system call. */
typedef struct dcmi_cpu_memory {
    uint32_t huge_pages; /* dcmem_huge_pages */
    int32_t numa_node;   /* -1: no preference */
    dcmi_lock lock;
    dcmi_windows windows;
    /* Address space that the system would not take back when asked; its memory it did take. */
    dcmi_range orphans[DCMI_ORPHAN_COUNT];
    uint32_t orphan_count;
} dcmi_cpu_memory;

/* A zeroed struct is ready but for its two options. Ends it: nothing that was acquired is in use any more. */
void dcmi_cpu_memory_fini(dcmi_cpu_memory *memory);

/* Request and range as in the contract: page-aligned. */
dcmem_result dcmi_cpu_memory_acquire(dcmi_range *out, dcmi_cpu_memory *memory, const dcmem_acquire *request);
dcmem_result dcmi_cpu_memory_release(dcmi_cpu_memory *memory, dcmi_range range);

/* Addresses that cannot be touched; and their end, with whatever is mapped there by then. */
dcmem_result dcmi_cpu_memory_reserve(dcmi_range *out, dcmi_cpu_memory *memory, uint64_t bytes, uint64_t alignment);
dcmem_result dcmi_cpu_memory_unreserve(dcmi_cpu_memory *memory, dcmi_range range);

/* Makes accessible memory what the device's options and the kind promise. `grows`: huge pages are worth it. */
dcmem_result dcmi_cpu_memory_furnish(dcmi_range range, const dcmi_cpu_memory *memory, dcmem_kind kind, bool grows);

#endif
