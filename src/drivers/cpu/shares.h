/* shares.h: memory of the CPU that other processes see too: a file in memory of its own for each extent.
 *
 * The file cannot shrink, so nobody can take memory away from under another process. */
#ifndef DCMI_CPU_SHARES_H
#define DCMI_CPU_SHARES_H

#include "drivers/cpu/memory.h"

typedef struct dcmi_cpu_share {
    dcmi_range range;
    int file;
} dcmi_cpu_share;

dcmem_result dcmi_cpu_share_create(dcmi_cpu_share *out, dcmi_cpu_memory *memory, const dcmem_acquire *request);
dcmem_result dcmi_cpu_share_destroy(dcmi_cpu_memory *memory, const dcmi_cpu_share *share);

dcmem_result dcmi_cpu_share_export(dcmem_ipc_handle *out, const dcmi_cpu_share *share, dcmem_kind kind);
dcmem_result dcmi_cpu_share_import(dcmi_cpu_share *out, dcmem_kind *out_kind, dcmi_cpu_memory *memory,
                                   const dcmem_ipc_handle *handle);

#endif
