/* expect.c: expectations: what does not hold is said in one line, to whoever knows how a test fails here.
 *
 * The handler is set before tests run and only read from then on. It may never come back, so nothing is held when it
 * is called and nothing follows that matters. */
#include "expect.h"

#include <dcmem/runner.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 600
#define CHUNK_BYTES   4096u

/* COVER begin: the process ends before its counters are written */
static void
print_and_abort(void *user, const char *file, int line, const char *message)
{
    (void)user;
    fprintf(stderr, "%s:%d: %s\n", file, line, message);
    abort();
}
/* COVER end */

static struct {
    dcmem_test_failure handler;
    void *user;
} on_failure = {print_and_abort, NULL};

void
dcmem_test_on_failure(dcmem_test_failure handler, void *user)
{
    on_failure.handler = handler ? handler : print_and_abort;
    on_failure.user = user;
}

static _Atomic uint64_t failures;

uint64_t
dcmi_expect_failures(void)
{
    return atomic_load(&failures);
}

void
dcmem_test_fail(const char *file, int line, const char *message)
{
    atomic_fetch_add(&failures, 1);
    on_failure.handler(on_failure.user, file ? file : "?", line, message ? message : "failed");
}

/* Returns false, for those who expected more. */
static bool fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool
fail(const char *file, int line, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    dcmem_test_fail(file, line, message);
    return false;
}

/* ---- Results ---- */

/* The thread's detail belongs to this result only where it names it: the call may be of the user's own making. */
static const char *
reason_of(dcmem_result result)
{
    const dcmem_detail *detail = dcmem_last_detail();
    return detail->result == result && detail->message[0] ? detail->message : dcmem_result_text(result);
}

bool
dcmem_expect_result(const char *file, int line, const char *what, dcmem_result got, dcmem_result wanted)
{
    if (got == wanted)
        return true;
    if (!what)
        what = "a call";
    if (!got)
        return fail(file, line, "%s succeeded, wanted %s", what, dcmem_result_name(wanted));
    if (!wanted)
        return fail(file, line, "%s gave %s: %s", what, dcmem_result_name(got), reason_of(got));
    return fail(file, line, "%s gave %s, wanted %s: %s", what, dcmem_result_name(got), dcmem_result_name(wanted),
                reason_of(got));
}

/* ---- Bytes ---- */

typedef struct difference {
    uint64_t count;
    uint64_t first;
    uint8_t got, wanted; /* at the first */
} difference;

/* Adds what differs in a piece that begins at `offset`. Pure. */
static difference
add_differences(difference all, const uint8_t *got, const uint8_t *wanted, uint64_t offset, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        if (got[i] == wanted[i])
            continue;
        if (all.count++ == 0) {
            all.first = offset + i;
            all.got = got[i];
            all.wanted = wanted[i];
        }
    }
    return all;
}

/* In pieces: a view may be larger than what a test has memory for. */
static dcmem_result
compare(difference *out, dcmem_view view, const uint8_t *wanted)
{
    dcmem_view bytes, piece;
    dcmem_result result = dcmem_view_cast(&bytes, view, 1);
    for (uint64_t offset = 0; !result && offset < view.bytes; offset += CHUNK_BYTES) {
        uint8_t got[CHUNK_BYTES];
        uint64_t count = view.bytes - offset < CHUNK_BYTES ? view.bytes - offset : CHUNK_BYTES;
        result = dcmem_view_slice(&piece, bytes, offset, count);
        if (!result)
            result = dcmem_buffer_copy_out(got, piece, 0);
        if (!result)
            *out = add_differences(*out, got, wanted + offset, offset, count);
    }
    return result;
}

bool
dcmem_expect_bytes(const char *file, int line, const char *what, dcmem_view view, const void *wanted)
{
    difference all = {0};
    if (!what)
        what = "a view";
    if (!wanted)
        return fail(file, line, "%s: no bytes to compare with", what);
    dcmem_result result = compare(&all, view, wanted);
    if (result)
        return fail(file, line, "%s cannot be read: %s: %s", what, dcmem_result_name(result), reason_of(result));
    if (all.count == 0)
        return true;
    return fail(file, line, "%s: byte %" PRIu64 " is 0x%02x, wanted 0x%02x; %" PRIu64 " of %" PRIu64 " differ", what,
                all.first, all.got, all.wanted, all.count, view.bytes);
}
