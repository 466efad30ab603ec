/* host.h: what the kit itself asks of the host: memory for its books, address space for its devices, and time. */
#ifndef DCMI_TESTING_HOST_H
#define DCMI_TESTING_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Asked before each of these where it is set; true makes it fail. NULL, but for tests of what follows then. */
extern bool (*dcmi_testing_fault)(void);

/* Zeroed; NULL when there is none. End with free(). */
void *dcmi_host_new(size_t bytes);
void *dcmi_host_renew(void *memory, size_t bytes);

/* Pages by mmap(), private and never counted against the system's memory before they are touched; NULL when there are
 * none. */
uint8_t *dcmi_host_map(uint8_t *wanted, uint64_t bytes, int protection, int flags);

/* The same at a multiple of `alignment`, a power of two. */
uint8_t *dcmi_host_map_aligned(uint64_t bytes, uint64_t alignment, int protection);

/* A file in memory that cannot shrink, in whole pages; -1 when there is none. End with close(). */
int dcmi_host_file(uint64_t bytes);
int dcmi_host_duplicate(int file);

/* The bytes of such a file; 0 for what is none. */
uint64_t dcmi_host_file_bytes(int file);

/* Pages of a file, readable and writable, shared by all who map them: at `wanted`, in place of what is there, or
 * anywhere. */
uint8_t *dcmi_host_map_file(uint8_t *wanted, uint64_t bytes, int file, uint64_t offset);

/* Since some moment, the same for the whole machine. */
uint64_t dcmi_host_now_ns(void);

/* No shorter, whatever interrupts it. */
void dcmi_host_sleep_ns(uint64_t ns);

#endif
