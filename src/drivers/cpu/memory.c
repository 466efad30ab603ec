/* memory.c: the system calls behind acquire and release. */
#include "drivers/cpu/memory.h"

#include "base/fail.h"
#include "base/log.h"
#include "base/os.h"
#include "base/size.h"
#include "drivers/cpu/calls.h"

#include <errno.h>
#include <sys/mman.h>

/* Windows begin and end where huge pages do, so that none is wasted at their edges. */
#define HUGE_PAGE (2ull << 20)

/* What DCMEM_CAP_ADDRESSED promises. */
#define ADDRESS_SPACE (1ull << 47)

static _Atomic uint32_t open_windows;

static void *
pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static void
orphan_add(dcmi_cpu_memory *memory, dcmi_range range)
{
    dcmi_lock_take(&memory->lock);
    bool is_kept = memory->orphan_count < DCMI_ORPHAN_COUNT;
    if (is_kept)
        memory->orphans[memory->orphan_count++] = range;
    dcmi_lock_drop(&memory->lock);
    if (!is_kept)
        dcmi_log(DCMEM_LOG_WARNING, "cpu", "%llu bytes of address space are lost: the system would not unmap them",
                 (unsigned long long)dcmi_range_bytes(range));
}

/* Gives memory and address space back. The system refuses when a mapping would be split and the process has as many
 * as it may: then the memory at least goes back, and the address space when the device closes. */
static dcmem_result
unmap(dcmi_cpu_memory *memory, dcmi_range range)
{
    uint64_t bytes = dcmi_range_bytes(range);
    if (bytes == 0 || dcmi_cpu_calls.unmap(pointer(range.begin), bytes) == 0)
        return DCMEM_OK;

    int unmap_errno = errno;
    (void)dcmi_cpu_calls.unlock(pointer(range.begin), bytes); /* Locked memory cannot be dropped. */
    int advised = dcmi_cpu_calls.advise(pointer(range.begin), bytes, MADV_DONTNEED);
    orphan_add(memory, range);
    if (advised == 0)
        return DCMEM_OK;
    return dcmi_fail_errno(dcmi_cpu_result_of(unmap_errno, DCMI_CPU_TO_MAP), unmap_errno,
                           "%llu bytes could not be unmapped", (unsigned long long)bytes);
}

void
dcmi_cpu_memory_fini(dcmi_cpu_memory *memory) DCMI_UNCHECKED
{
    for (uint32_t i = 0; i < DCMI_WINDOW_COUNT; i++) {
        const dcmi_window *window = &memory->windows.at[i];
        if (!window->end)
            continue;
        atomic_fetch_sub_explicit(&open_windows, 1, memory_order_relaxed);
        (void)unmap(memory, (dcmi_range){window->committed, window->end}); /* Refused: it is an orphan now. */
    }
    /* Nobody else is here any more, and what cannot be unmapped now never can. */
    for (uint32_t i = 0; i < memory->orphan_count; i++)
        (void)dcmi_cpu_calls.unmap(pointer(memory->orphans[i].begin), dcmi_range_bytes(memory->orphans[i]));
}

/* Maps whole pages at an alignment: too much of them, cut to size. */
static dcmem_result
map_aligned(dcmi_range *out, dcmi_cpu_memory *memory, uint64_t bytes, uint64_t alignment, int protection)
{
    uint64_t mapped, slack = dcmi_max(alignment, DCMI_PAGE) - DCMI_PAGE;
    if (!dcmi_size_add(&mapped, bytes, slack) || mapped > ADDRESS_SPACE)
        return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes do not fit the address space", (unsigned long long)bytes);

    void *address = dcmi_cpu_calls.map(NULL, mapped, protection, 0);
    if (address == MAP_FAILED)
        return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno, "%llu bytes of memory",
                               (unsigned long long)bytes);

    uint64_t begin = ((uintptr_t)address + slack) & ~slack;
    *out = (dcmi_range){begin, begin + bytes};
    (void)unmap(memory, (dcmi_range){(uintptr_t)address, begin});
    (void)unmap(memory, (dcmi_range){begin + bytes, (uintptr_t)address + mapped});
    return DCMEM_OK;
}

/* A new window for a request. Address space is asked for without the right to touch it, so nothing of it counts as
 * memory of the process until it is committed. */
static dcmem_result
reserve_window(dcmi_range *out, dcmi_cpu_memory *memory, const dcmem_acquire *request)
{
    uint64_t least;
    if (!dcmi_size_add(&least, request->bytes, DCMI_PAGE) || !dcmi_round_up(&least, least, HUGE_PAGE))
        return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes do not fit the address space",
                         (unsigned long long)request->bytes);

    uint64_t alignment = dcmi_max(request->alignment, HUGE_PAGE);
    uint64_t bytes = dcmi_max(least, dcmi_window_bytes(atomic_load_explicit(&open_windows, memory_order_relaxed)));
    dcmem_result result = map_aligned(out, memory, bytes, alignment, PROT_NONE);
    while (result && bytes > least) {
        bytes = dcmi_max(least, bytes / 2);
        result = map_aligned(out, memory, bytes, alignment, PROT_NONE);
    }
    return result;
}

/* Finds address space for a request in a window, making one if need be. */
static dcmem_result
place(dcmi_range *out, dcmi_cpu_memory *memory, const dcmem_acquire *request)
{
    dcmi_range gap, reserved, rest;

    dcmi_lock_take(&memory->lock);
    bool is_placed = dcmi_windows_place(out, &gap, &memory->windows, request);
    dcmi_lock_drop(&memory->lock);
    if (is_placed) {
        (void)unmap(memory, gap);
        return DCMEM_OK;
    }

    dcmem_result result = reserve_window(&reserved, memory, request);
    if (result)
        return result;

    /* The request takes its part before others see the window. */
    *out = (dcmi_range){reserved.begin, reserved.begin + request->bytes};
    reserved.begin = out->end;
    dcmi_lock_take(&memory->lock);
    dcmi_windows_add(&rest, &memory->windows, reserved, request->kind, request->lane);
    dcmi_lock_drop(&memory->lock);
    if (rest.end)
        (void)unmap(memory, rest);
    else
        atomic_fetch_add_explicit(&open_windows, 1, memory_order_relaxed);
    return DCMEM_OK;
}

static dcmem_result
lock_pages(dcmi_range range)
{
    uint64_t bytes = dcmi_range_bytes(range);
    if (dcmi_cpu_calls.lock(pointer(range.begin), bytes) == 0)
        return DCMEM_OK;

    int lock_errno = errno;
    uint64_t limit = dcmi_cpu_calls.lock_limit();
    dcmem_result result = dcmi_cpu_result_of(lock_errno, DCMI_CPU_TO_LOCK);
    if (limit == UINT64_MAX)
        return dcmi_fail_errno(result, lock_errno, "%llu bytes to be page-locked", (unsigned long long)bytes);
    return dcmi_fail_errno(result, lock_errno,
                           "%llu bytes to be page-locked; a process may lock %llu: raise that with ulimit -l",
                           (unsigned long long)bytes, (unsigned long long)limit);
}

static dcmem_result
advise_huge_pages(dcmi_range range, int advice)
{
    if (dcmi_cpu_calls.advise(pointer(range.begin), dcmi_range_bytes(range), advice) == 0)
        return DCMEM_OK;
    /* A kernel without huge pages does not know the words; to one who wants none, that is as good. */
    if (errno == EINVAL && advice == MADV_NOHUGEPAGE)
        return DCMEM_OK;
    dcmem_result result = errno == EINVAL ? DCMEM_E_UNSUPPORTED : dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP);
    return dcmi_fail_errno(result, errno, "huge pages for %llu bytes", (unsigned long long)dcmi_range_bytes(range));
}

dcmem_result
dcmi_cpu_memory_furnish(dcmi_range range, const dcmi_cpu_memory *memory, dcmem_kind kind, bool grows)
{
    dcmem_result result = DCMEM_OK;
    if (memory->numa_node >= 0 && dcmi_cpu_calls.bind(pointer(range.begin), dcmi_range_bytes(range), memory->numa_node))
        return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno, "memory of NUMA node %d",
                               memory->numa_node);
    /* The whole of it, not whole huge pages: neighbours with equal advice stay one mapping, and a huge page may lie
     * across two of them. */
    if (memory->huge_pages == DCMEM_HUGE_PAGES_ON && grows)
        result = advise_huge_pages(range, MADV_HUGEPAGE);
    if (memory->huge_pages == DCMEM_HUGE_PAGES_OFF)
        result = advise_huge_pages(range, MADV_NOHUGEPAGE);
    if (!result && kind == DCMEM_KIND_PINNED)
        result = lock_pages(range);
    return result;
}

static dcmem_result
commit(dcmi_range range)
{
    uint64_t bytes = dcmi_range_bytes(range);
    if (dcmi_cpu_calls.protect(pointer(range.begin), bytes, PROT_READ | PROT_WRITE) == 0)
        return DCMEM_OK;
    return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno, "%llu bytes of memory",
                           (unsigned long long)bytes);
}

dcmem_result
dcmi_cpu_memory_acquire(dcmi_range *out, dcmi_cpu_memory *memory, const dcmem_acquire *request)
{
    dcmi_range range;
    bool grows = request->flags & DCMEM_ACQUIRE_GROW;

    dcmem_result result = grows
                              ? place(&range, memory, request)
                              : map_aligned(&range, memory, request->bytes, request->alignment, PROT_READ | PROT_WRITE);
    if (result)
        return result;
    if (grows)
        result = commit(range);
    if (!result)
        result = dcmi_cpu_memory_furnish(range, memory, request->kind, grows);
    if (result)
        goto undo_range;
    *out = range;
    return DCMEM_OK;

undo_range:;
    dcmem_detail why = dcmi_detail_save();
    (void)dcmi_cpu_memory_release(memory, range);
    dcmi_detail_restore(&why);
    return result;
}

/* Takes memory and access away but keeps the address space, in one call that cannot be half done. */
static bool
decommit(dcmi_range range)
{
    return dcmi_cpu_calls.map(pointer(range.begin), dcmi_range_bytes(range), PROT_NONE, MAP_FIXED) != MAP_FAILED;
}

dcmem_result
dcmi_cpu_memory_release(dcmi_cpu_memory *memory, dcmi_range range)
{
    dcmi_lock_take(&memory->lock);
    bool is_last = dcmi_windows_continue_at(&memory->windows, range.end);
    dcmi_lock_drop(&memory->lock);
    if (!is_last || !decommit(range))
        return unmap(memory, range);

    /* The lock was free: another extent may lie behind it by now. Then it is a hole. */
    dcmi_lock_take(&memory->lock);
    bool is_adopted = dcmi_windows_adopt(&memory->windows, range);
    dcmi_lock_drop(&memory->lock);
    return is_adopted ? DCMEM_OK : unmap(memory, range);
}

dcmem_result
dcmi_cpu_memory_reserve(dcmi_range *out, dcmi_cpu_memory *memory, uint64_t bytes, uint64_t alignment)
{
    return map_aligned(out, memory, bytes, alignment, PROT_NONE);
}

dcmem_result
dcmi_cpu_memory_unreserve(dcmi_cpu_memory *memory, dcmi_range range)
{
    return unmap(memory, range);
}
