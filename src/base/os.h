/* os.h: what the library asks of the operating system. The only file of the core, drivers apart, that knows Linux. */
#ifndef DCMI_OS_H
#define DCMI_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DCMI_PAGE       4096u
#define DCMI_PAGE_SHIFT 12u

/* Address space for the library's own tables: readable and writable, zero, costs memory only where it is touched.
 * NULL when there is none. */
void *dcmi_os_reserve(uint64_t bytes);
void dcmi_os_unreserve(void *address, uint64_t bytes);

/* Asked before each reservation where it is set; true makes it fail. NULL, but for tests of what follows then. */
extern bool (*dcmi_os_fault)(const char *what);

/* Forgets the contents of whole pages inside the range: they read as zero and cost nothing. */
void dcmi_os_forget(void *address, uint64_t bytes);

/* Whether vendors' libraries may be opened: not by a build of which every part must be instrumented. */
#ifdef DCMI_NO_VENDORS
#define DCMI_HAS_VENDORS false
#else
#define DCMI_HAS_VENDORS true
#endif

/* Monotonic time. */
uint64_t dcmi_os_now_ns(void);

/* Sleeps while *word is `value`, at most `timeout_ns` (UINT64_MAX: for ever). May wake without a cause. */
void dcmi_os_sleep(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);

/* Wakes all who sleep on the word. */
void dcmi_os_wake(_Atomic uint32_t *word);

/* Stands before the paths of files that the system is asked through: "", but for tests that bring their own files. */
extern const char *dcmi_os_root;

/* The beginning of a file, as a string; "" when there is none. */
void dcmi_os_read(char *out, size_t capacity, const char *path);

/* Physical memory of the machine or, where it is less, of this process's control group. */
uint64_t dcmi_os_memory_total(void);
uint64_t dcmi_os_memory_available(void);

/* Registers for dcmi_os_fence_all(); false where the kernel has no private expedited membarrier, and fast paths must
 * then use real fences. */
bool dcmi_os_fence_prepare(void);

/* Every other running thread of the process passes a full memory barrier before this returns. */
void dcmi_os_fence_all(void);

#endif
