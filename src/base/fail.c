/* fail.c: results, their names, and the detail of this thread's last failure.
 *
 * The detail lies in the thread's struct: the loader puts all of a library's thread-local storage where its
 * initial-exec part must be, and a late dlopen finds little room there. A thread that the host has no memory for a
 * struct for has constants: of each result one, which says what the result's text says. */
#include "base/fail.h"

#include "base/thread.h"

#include <dcmem/backend.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef dcmi_fail
#undef dcmi_fail_errno

static const dcmem_detail constants[] = {
#define DCMEM_X(name, class, number, text) {.result = DCMEM_##name, .driver = "", .message = text},
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
};
static const dcmem_detail none = {.driver = ""};

static const dcmem_detail *
constant_for(dcmem_result result)
{
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (constants[i].result == result)
            return &constants[i];
    return &none; /* COVER: every result has one */
}

static dcmem_result
write_detail(dcmem_result result, const char *driver, int64_t code, const char *format, va_list arguments)
{
    dcmi_thread *thread = dcmi_thread_try();
    if (!thread) {
        dcmi_thread_detail = constant_for(result);
        return result;
    }
    /* The arguments may point into the old detail, so the new message is made beside it. */
    dcmem_detail *detail = &thread->detail;
    char message[sizeof detail->message];
    vsnprintf(message, sizeof message, format, arguments);

    detail->result = result;
    detail->driver = driver ? driver : "";
    detail->driver_code = code;
    memcpy(detail->message, message, sizeof message);
    dcmi_thread_detail = detail;
    return result;
}

dcmem_result
dcmi_fail(dcmem_result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_detail(result, "", 0, format, arguments);
    va_end(arguments);
    return result;
}

dcmem_result
dcmi_fail_errno(dcmem_result result, int errno_code, const char *format, ...)
{
    char message[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    char text[64];
    const char *reason = strerror_r(errno_code, text, sizeof text);
    return dcmem_backend_fail(result, "cpu", errno_code, "%s: %s", message, reason);
}

dcmem_result
dcmem_backend_fail(dcmem_result result, const char *driver, int64_t driver_code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_detail(result, driver, driver_code, format, arguments);
    va_end(arguments);
    return result;
}

dcmem_detail
dcmi_detail_save(void)
{
    return *dcmem_last_detail();
}

void
dcmi_detail_restore(const dcmem_detail *saved)
{
    dcmi_thread *thread = dcmi_thread_try();
    if (thread)
        thread->detail = *saved;
    dcmi_thread_detail = thread ? &thread->detail : constant_for(saved->result);
}

/* COVER begin: it runs in a child that ends by abort, which leaves no counts behind */
void
dcmi_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "dcmem: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}
/* COVER end */

const char *
dcmem_result_name(dcmem_result result)
{
    switch (result) {
#define DCMEM_X(name, class, number, text)                                                                             \
    case DCMEM_##name:                                                                                                 \
        return "DCMEM_" #name;
        DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
    }
    return "DCMEM_E_UNKNOWN";
}

const char *
dcmem_result_text(dcmem_result result)
{
    switch (result) {
#define DCMEM_X(name, class, number, text)                                                                             \
    case DCMEM_##name:                                                                                                 \
        return text;
        DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
    }
    return "not a result of dcmem";
}

dcmem_result_class
dcmem_result_class_of(dcmem_result result)
{
    unsigned class = (unsigned)result >> 8;
    return class <= DCMEM_CLASS_FATAL ? (dcmem_result_class)class : DCMEM_CLASS_NONE;
}

const dcmem_detail *
dcmem_last_detail(void)
{
    return dcmi_thread_detail ? dcmi_thread_detail : &none;
}
