/* ledger.h: stands between the CPU driver and the system: knows what the driver has mapped, and fails calls on command.
 *
 * Begin it while no device is open. At the end, after all devices are closed, nothing may be mapped. One thread.
 *
 * It is no double of a driver, and the kit has no place for it: the driver above it is the real one. */
#ifndef DCMI_TEST_LEDGER_H
#define DCMI_TEST_LEDGER_H

#include "drivers/cpu/calls.h"
#include "drivers/cpu/windows.h"
#include "test.h"

#include <errno.h>
#include <sys/mman.h>

enum { LEDGER_RANGES = 4096 };

typedef struct ledger {
    dcmi_cpu_call_table real;
    dcmi_range mapped[LEDGER_RANGES]; /* in no order; they touch at most */
    unsigned count;
    int files;                      /* open */
    uint64_t calls;                 /* that can fail, so far */
    uint64_t fail_from, fail_count; /* calls number fail_from and on fail, so many of them */
    uint64_t failed;
    const char *last_failed;
    int fail_errno;
} ledger;

static ledger the_ledger;

static void
ledger_remove(dcmi_range gone)
{
    for (unsigned i = 0; i < the_ledger.count;) {
        dcmi_range *one = &the_ledger.mapped[i], whole = *one;
        if (whole.end <= gone.begin || gone.end <= whole.begin) {
            i++;
            continue;
        }
        *one = the_ledger.mapped[--the_ledger.count];
        if (whole.begin < gone.begin)
            the_ledger.mapped[the_ledger.count++] = (dcmi_range){whole.begin, gone.begin};
        if (gone.end < whole.end)
            the_ledger.mapped[the_ledger.count++] = (dcmi_range){gone.end, whole.end};
    }
}

static void
ledger_add(dcmi_range range)
{
    ledger_remove(range);
    EXPECT(the_ledger.count < LEDGER_RANGES - 2);
    the_ledger.mapped[the_ledger.count++] = range;
}

static inline uint64_t
ledger_bytes(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < the_ledger.count; i++)
        bytes += dcmi_range_bytes(the_ledger.mapped[i]);
    return bytes;
}

static bool
ledger_fails(const char *call)
{
    uint64_t number = ++the_ledger.calls;
    if (!the_ledger.fail_from || number < the_ledger.fail_from ||
        number - the_ledger.fail_from >= the_ledger.fail_count)
        return false;
    the_ledger.failed++;
    the_ledger.last_failed = call;
    errno = the_ledger.fail_errno;
    return true;
}

static void *
ledger_map(void *address, size_t bytes, int protection, int flags)
{
    if (ledger_fails("map"))
        return MAP_FAILED;
    void *mapped = the_ledger.real.map(address, bytes, protection, flags);
    if (mapped != MAP_FAILED)
        ledger_add((dcmi_range){(uintptr_t)mapped, (uintptr_t)mapped + bytes});
    return mapped;
}

static int
ledger_unmap(void *address, size_t bytes)
{
    if (ledger_fails("unmap"))
        return -1;
    int result = the_ledger.real.unmap(address, bytes);
    if (result == 0)
        ledger_remove((dcmi_range){(uintptr_t)address, (uintptr_t)address + bytes});
    return result;
}

static int
ledger_protect(void *address, size_t bytes, int protection)
{
    return ledger_fails("protect") ? -1 : the_ledger.real.protect(address, bytes, protection);
}

static int
ledger_advise(void *address, size_t bytes, int advice)
{
    return ledger_fails("advise") ? -1 : the_ledger.real.advise(address, bytes, advice);
}

static int
ledger_lock(const void *address, size_t bytes)
{
    return ledger_fails("lock") ? -1 : the_ledger.real.lock(address, bytes);
}

static int
ledger_unlock(const void *address, size_t bytes)
{
    return ledger_fails("unlock") ? -1 : the_ledger.real.unlock(address, bytes);
}

static int
ledger_bind(void *address, size_t bytes, int node)
{
    return ledger_fails("bind") ? -1 : the_ledger.real.bind(address, bytes, node);
}

static int
ledger_file(void)
{
    int file = ledger_fails("file") ? -1 : the_ledger.real.file();
    the_ledger.files += file >= 0;
    return file;
}

static int
ledger_extend(int file, uint64_t end)
{
    return ledger_fails("extend") ? -1 : the_ledger.real.extend(file, end);
}

static int
ledger_seal(int file)
{
    return ledger_fails("seal") ? -1 : the_ledger.real.seal(file);
}

static int
ledger_punch(int file, uint64_t offset, uint64_t bytes)
{
    return ledger_fails("punch") ? -1 : the_ledger.real.punch(file, offset, bytes);
}

static void *
ledger_map_file(void *address, size_t bytes, int file, uint64_t offset)
{
    if (ledger_fails("map_file"))
        return MAP_FAILED;
    void *mapped = the_ledger.real.map_file(address, bytes, file, offset);
    if (mapped != MAP_FAILED)
        ledger_add((dcmi_range){(uintptr_t)mapped, (uintptr_t)mapped + bytes});
    return mapped;
}

static int
ledger_duplicate(int file)
{
    int copy = ledger_fails("duplicate") ? -1 : the_ledger.real.duplicate(file);
    the_ledger.files += copy >= 0;
    return copy;
}

static int
ledger_close(int file)
{
    the_ledger.files--;
    return the_ledger.real.close(file);
}

static int
ledger_start(pthread_t *out, void *(*run)(void *))
{
    return ledger_fails("start") ? EAGAIN : the_ledger.real.start(out, run);
}

/* `fail_from` 0: nothing fails. */
static inline void
ledger_begin(uint64_t fail_from, uint64_t fail_count, int fail_errno)
{
    the_ledger = (ledger){
        .real = dcmi_cpu_calls,
        .fail_from = fail_from,
        .fail_count = fail_count,
        .fail_errno = fail_errno,
    };
    dcmi_cpu_calls = (dcmi_cpu_call_table){
        .map = ledger_map,
        .unmap = ledger_unmap,
        .protect = ledger_protect,
        .advise = ledger_advise,
        .lock = ledger_lock,
        .unlock = ledger_unlock,
        .bind = ledger_bind,
        .lock_limit = dcmi_cpu_calls.lock_limit,
        .file = ledger_file,
        .extend = ledger_extend,
        .seal = ledger_seal,
        .punch = ledger_punch,
        .map_file = ledger_map_file,
        .duplicate = ledger_duplicate,
        .close = ledger_close,
        .firm_bytes = dcmi_cpu_calls.firm_bytes,
        .start = ledger_start,
    };
}

/* Gives back what is still mapped, so that one failed test does not spoil the next. */
static inline void
ledger_end(void)
{
    dcmi_cpu_calls = the_ledger.real;
    for (unsigned i = 0; i < the_ledger.count; i++)
        munmap((void *)(uintptr_t)the_ledger.mapped[i].begin, dcmi_range_bytes(the_ledger.mapped[i]));
}

#endif
