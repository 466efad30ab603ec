/* calls.h: the system calls of the CPU driver, in one table that a test can put itself into, and what their failures
 * mean. */
#ifndef DCMI_CPU_CALLS_H
#define DCMI_CPU_CALLS_H

#include <dcmem/result.h>
#include <pthread.h>

/* They return and fail as the system's own do. `map` is private, anonymous memory; `bind` takes a NUMA node; files are
 * files in memory, which nobody can find by a name. */
typedef struct dcmi_cpu_call_table {
    void *(*map)(void *address, size_t bytes, int protection, int flags);
    int (*unmap)(void *address, size_t bytes);
    int (*protect)(void *address, size_t bytes, int protection);
    int (*advise)(void *address, size_t bytes, int advice);
    int (*lock)(const void *address, size_t bytes);
    int (*unlock)(const void *address, size_t bytes);
    int (*bind)(void *address, size_t bytes, int node);
    uint64_t (*lock_limit)(void); /* bytes that the process may lock; UINT64_MAX: any */
    int (*file)(void);
    int (*extend)(int file, uint64_t end);
    int (*seal)(int file); /* from now on it cannot shrink */
    int (*punch)(int file, uint64_t offset, uint64_t bytes);
    void *(*map_file)(void *address, size_t bytes, int file, uint64_t offset); /* shared, in place of what is there */
    int (*duplicate)(int file);
    int (*close)(int file);
    uint64_t (*firm_bytes)(int file);                   /* of a file that cannot shrink; 0: it is none */
    int (*start)(pthread_t *out, void *(*run)(void *)); /* a thread that no signal comes to; an errno or 0 */
} dcmi_cpu_call_table;

/* Changed by tests only, and only while no device is open. */
extern dcmi_cpu_call_table dcmi_cpu_calls;

typedef enum dcmi_cpu_purpose {
    DCMI_CPU_TO_MAP,  /* to get, change or give back memory */
    DCMI_CPU_TO_LOCK, /* to keep it resident */
    DCMI_CPU_TO_OPEN  /* to get a descriptor */
} dcmi_cpu_purpose;

/* What an errno means for that purpose. Pure. */
dcmem_result dcmi_cpu_result_of(int errno_code, dcmi_cpu_purpose purpose);

#endif
