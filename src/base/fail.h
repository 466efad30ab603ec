/* fail.h: how a failure is born: once, where it happens, into this thread's detail, allocating nothing. */
#ifndef DCMI_FAIL_H
#define DCMI_FAIL_H

#include <dcmem/result.h>

#define DCMI_COLD __attribute__((cold, noinline))

/* Begins on a line of the processor's instruction cache. */
#define DCMI_HOT __attribute__((hot, aligned(64)))

/* Writes the detail and returns `result`. The functions above pass it on untouched. */
DCMI_COLD dcmem_result dcmi_fail(dcmem_result result, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a failed system call: adds errno and its text; `errno_code` becomes the driver code. */
DCMI_COLD dcmem_result dcmi_fail_errno(dcmem_result result, int errno_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: it must be told that these return what they are given, which is no success. */
#define DCMI_FAILED(call, result)                                                                                      \
    __extension__({                                                                                                    \
        dcmem_result dcmi_failed = (result);                                                                           \
        (void)(call);                                                                                                  \
        if (dcmi_failed == DCMEM_OK)                                                                                   \
            __builtin_unreachable();                                                                                   \
        dcmi_failed;                                                                                                   \
    })
#define dcmi_fail(result, ...)       DCMI_FAILED((dcmi_fail)(result, __VA_ARGS__), result)
#define dcmi_fail_errno(result, ...) DCMI_FAILED((dcmi_fail_errno)(result, __VA_ARGS__), result)
#endif

/* The detail of this thread, to be kept aside and put back around work that may fail without mattering. */
dcmem_detail dcmi_detail_save(void);
void dcmi_detail_restore(const dcmem_detail *detail);

/* A caller's mistake. Names the condition that does not hold. */
#define DCMI_REQUIRE(condition)                                                                                        \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "must hold: %s", #condition);                                   \
    } while (0)

/* Our mistake: always on in debug builds, never compiled away where memory safety hangs on it. */
#ifdef DCMI_DEBUG
#define CHECK(condition) ((condition) ? (void)0 : dcmi_check_failed(#condition, __FILE__, __LINE__))
#else
#define CHECK(condition) ((void)sizeof(!(condition)))
#endif

_Noreturn void dcmi_check_failed(const char *condition, const char *file, int line);

#define DCMI_LIKELY(x)   __builtin_expect(!!(x), 1)
#define DCMI_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
