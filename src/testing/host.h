/* host.h: what the kit itself asks of the host: memory for its books, address space for its devices. */
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

#endif
