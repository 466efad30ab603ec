/* windows.c: decisions about reserved address space. */
#include "drivers/cpu/windows.h"

#include "base/os.h"
#include "base/size.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static uint64_t
room(const dcmi_window *window)
{
    return window->end - window->committed;
}

/* Where a request would begin in a window; false when it does not belong there or does not fit. */
static bool
fits(uint64_t *out_begin, const dcmi_window *window, const dcmem_acquire *request)
{
    uint64_t begin, end;
    if (!window->end || window->kind != request->kind || window->lane != request->lane)
        return false;
    if (!dcmi_round_up(&begin, window->committed, dcmi_max(request->alignment, DCMI_PAGE)))
        return false;
    if (!dcmi_size_add(&end, begin, request->bytes) || end >= window->end)
        return false;
    *out_begin = begin;
    return true;
}

/* Next to `near` first; then where there is least room, so that the others stay roomy. */
static bool
is_better(const dcmi_window *window, const dcmi_window *than, uint64_t near)
{
    if (!than || than->committed == near || window->committed == near)
        return !than || window->committed == near;
    return room(window) < room(than);
}

bool
dcmi_windows_place(dcmi_range *out, dcmi_range *out_gap, dcmi_windows *windows, const dcmem_acquire *request)
{
    dcmi_window *best = NULL;
    uint64_t begin = 0, candidate;
    for (uint32_t i = 0; i < DCMI_WINDOW_COUNT; i++) {
        dcmi_window *window = &windows->at[i];
        if (fits(&candidate, window, request) && is_better(window, best, request->near)) {
            best = window;
            begin = candidate;
        }
    }
    if (!best)
        return false;

    *out_gap = (dcmi_range){best->committed, begin};
    *out = (dcmi_range){begin, begin + request->bytes};
    best->committed = out->end;
    return true;
}

/* An unused entry, or the window with the least room. */
static dcmi_window *
cheapest(dcmi_windows *windows)
{
    dcmi_window *best = &windows->at[0];
    for (uint32_t i = 1; best->end && i < DCMI_WINDOW_COUNT; i++)
        if (!windows->at[i].end || room(&windows->at[i]) < room(best))
            best = &windows->at[i];
    return best;
}

void
dcmi_windows_add(dcmi_range *out_rest, dcmi_windows *windows, dcmi_range reserved, dcmem_kind kind, uint32_t lane)
{
    dcmi_window *entry = cheapest(windows);
    *out_rest = (dcmi_range){entry->committed, entry->end};
    *entry = (dcmi_window){reserved.begin, reserved.end, kind, lane};
}

static const dcmi_window *
window_at(const dcmi_windows *windows, uint64_t committed)
{
    for (uint32_t i = 0; i < DCMI_WINDOW_COUNT; i++)
        if (windows->at[i].end && windows->at[i].committed == committed)
            return &windows->at[i];
    return NULL;
}

bool
dcmi_windows_continue_at(const dcmi_windows *windows, uint64_t address)
{
    return window_at(windows, address) != NULL;
}

bool
dcmi_windows_adopt(dcmi_windows *windows, dcmi_range range)
{
    const dcmi_window *found = window_at(windows, range.end);
    if (!found)
        return false;
    windows->at[found - windows->at].committed = range.begin;
    return true;
}

uint64_t
dcmi_window_bytes(uint32_t open_windows)
{
    /* A process has 128 TiB, and others want some of it too: the first ones take 4 TiB, those after them less than
     * 4 TiB together. */
    if (open_windows < 256)
        return 16 * GIB;
    if (open_windows < 4096)
        return GIB;
    return 64 * MIB;
}

static bool
overlap(const dcmi_window *one, const dcmi_window *other)
{
    return one->end && other->end && one->committed < other->end && other->committed < one->end;
}

bool
dcmi_windows_are_sane(const dcmi_windows *windows)
{
    for (uint32_t i = 0; i < DCMI_WINDOW_COUNT; i++) {
        if (windows->at[i].end && windows->at[i].committed >= windows->at[i].end)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (overlap(&windows->at[i], &windows->at[j]))
                return false;
    }
    return true;
}
