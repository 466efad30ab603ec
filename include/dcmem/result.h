/* dcmem/result.h: results, their classes, and the detail of the last failure of this thread.
 *
 * Every call that can fail returns a dcmem_result; DCMEM_OK is 0. A code carries its class, which says what a program
 * can do about it: mend the program, free memory, try again, or give the device up. */
#ifndef DCMEM_RESULT_H
#define DCMEM_RESULT_H

#include <dcmem/base.h>

DCMEM_BEGIN

typedef enum dcmem_result_class {
    DCMEM_CLASS_NONE = 0,
    DCMEM_CLASS_PROGRAMMER = 1, /* the call was wrong and will always be: mend the caller */
    DCMEM_CLASS_RESOURCE = 2,   /* something ran out or is absent: free memory, ask for less, choose another device */
    DCMEM_CLASS_TRANSIENT = 3,  /* the same call may succeed later */
    DCMEM_CLASS_FATAL = 4       /* the device or the data is gone */
} dcmem_result_class;

/* name, class, number within the class, text */
#define DCMEM_RESULTS(X)                                                                                               \
    X(OK, NONE, 0, "success")                                                                                          \
    X(E_INVALID_ARGUMENT, PROGRAMMER, 1, "an argument is not valid")                                                   \
    X(E_UNSUPPORTED, PROGRAMMER, 2, "this backend cannot do that")                                                     \
    X(E_OVERFLOW, PROGRAMMER, 3, "a sum or product of sizes overflows")                                                \
    X(E_OUT_OF_RANGE, PROGRAMMER, 4, "the range lies outside the memory")                                              \
    X(E_MISALIGNED, PROGRAMMER, 5, "the address, offset or size is not aligned")                                       \
    X(E_NOT_A_BUFFER, PROGRAMMER, 6, "the handle was never a buffer")                                                  \
    X(E_STALE_BUFFER, PROGRAMMER, 7, "the buffer was freed")                                                           \
    X(E_STALE_VIEW, PROGRAMMER, 8, "the view reaches past the buffer's end")                                           \
    X(E_NOT_A_MANAGER, PROGRAMMER, 9, "the handle was never a manager")                                                \
    X(E_STALE_MANAGER, PROGRAMMER, 10, "the manager was destroyed")                                                    \
    X(E_FOREIGN, PROGRAMMER, 11, "the memory belongs to another manager or to a buffer")                               \
    X(E_UNKNOWN_ADDRESS, PROGRAMMER, 12, "the address was not given out by this manager")                              \
    X(E_INTERIOR, PROGRAMMER, 13, "the address lies inside a block, not at its start")                                 \
    X(E_ALREADY_FREE, PROGRAMMER, 14, "the block is already free")                                                     \
    X(E_UNWRITTEN, PROGRAMMER, 15, "the bytes were never written")                                                     \
    X(E_WRONG_STATE, PROGRAMMER, 16, "the call does not fit the state")                                                \
    X(E_LEAKED, PROGRAMMER, 17, "memory was still in use at the end")                                                  \
    X(E_CONTRACT, PROGRAMMER, 18, "a backend does not keep the contract")                                              \
    X(E_CORRUPTED, PROGRAMMER, 19, "memory was written outside its block or after it was freed")                       \
    X(E_NOT_A_QUEUE, PROGRAMMER, 20, "the handle was never a queue")                                                   \
    X(E_STALE_QUEUE, PROGRAMMER, 21, "the queue was destroyed")                                                        \
    X(E_NO_MEMORY, RESOURCE, 1, "the device has no memory left")                                                       \
    X(E_NO_HOST_MEMORY, RESOURCE, 2, "the host has no memory left")                                                    \
    X(E_LIMIT, RESOURCE, 3, "the manager's limit is reached")                                                          \
    X(E_TOO_LARGE, RESOURCE, 4, "larger than the largest allocation")                                                  \
    X(E_UNAVAILABLE, RESOURCE, 5, "the backend or device is not available")                                            \
    X(E_PERMISSION, RESOURCE, 6, "the system does not allow it")                                                       \
    X(E_BUSY, TRANSIENT, 1, "the memory is in use")                                                                    \
    X(E_TIMEOUT, TRANSIENT, 2, "the time ran out")                                                                     \
    X(E_CANCELLED, TRANSIENT, 3, "the transfer was cancelled")                                                         \
    X(E_DEVICE_LOST, FATAL, 1, "the device is lost")                                                                   \
    X(E_LOST, FATAL, 2, "the only current copy of the bytes is lost")                                                  \
    X(E_DRIVER, FATAL, 3, "the driver failed")                                                                         \
    X(E_INTERNAL, FATAL, 4, "dcmem found itself inconsistent")

typedef enum dcmem_result {
#define DCMEM_X(name, class, number, text) DCMEM_##name = (DCMEM_CLASS_##class << 8) | (number),
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
} dcmem_result;

/* Why the last failure of this thread happened. It stands until this thread's next failure. */
typedef struct dcmem_detail {
    dcmem_result result;
    int64_t driver_code; /* errno, CUresult, cl_int, VkResult, ...; 0 when no driver was asked */
    const char *driver;  /* backend that gave driver_code; "" when none. Static */
    char message[232];   /* one line, ends in NUL: what was asked, what is wrong with it, what to do next */
} dcmem_detail;

/* "DCMEM_E_BUSY"; "DCMEM_E_UNKNOWN" for what is no result. Static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_result_name(dcmem_result result);

/* One line in plain words. Static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_result_text(dcmem_result result);

/* Threads: any. Errors: none. */
DCMEM_API dcmem_result_class dcmem_result_class_of(dcmem_result result);

/* The detail of this thread's last failure; never NULL. Owned by the library, valid while the thread lives.
 * Threads: any. Errors: none. */
DCMEM_API const dcmem_detail *dcmem_last_detail(void);

DCMEM_END
#endif
