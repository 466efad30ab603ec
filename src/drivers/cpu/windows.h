/* windows.h: where the CPU driver puts memory that grows: stretches of reserved address space, one or more a lane.
 *
 *     ... extents and holes  |  reserved, inaccessible   |
 *                        committed                      end
 *
 * Only the table is here, as pure functions of it; the system calls are made by memory.c.
 *
 *   1. [committed, end) is the window's own: reserved, without access, given to nobody. These ranges do not overlap.
 *      None is ever empty: its last page is never given out, so extents of two windows cannot touch.
 *   2. Below `committed` a window owns nothing: extents are whose they are, and holes are unmapped for anybody's use.
 *      So it does not matter where an extent came from: one that ends at `committed` can become room again.
 *   3. A window may be forgotten at any time once [committed, end) was unmapped. So the table has a fixed size. */
#ifndef DCMI_CPU_WINDOWS_H
#define DCMI_CPU_WINDOWS_H

#include <dcmem/backend.h>

#define DCMI_WINDOW_COUNT 64u

typedef struct dcmi_range {
    uint64_t begin;
    uint64_t end;
} dcmi_range;

typedef struct dcmi_window {
    uint64_t committed;
    uint64_t end; /* 0: no window */
    dcmem_kind kind;
    uint32_t lane;
} dcmi_window;

typedef struct dcmi_windows {
    dcmi_window at[DCMI_WINDOW_COUNT];
} dcmi_windows;

static inline uint64_t
dcmi_range_bytes(dcmi_range range)
{
    return range.end - range.begin;
}

/* Takes room for a request from a window of its kind and lane; from the one that begins at request->near if there is
 * one. `out_gap` is what was left out below it for the alignment, no longer the window's. False: none has room. */
bool dcmi_windows_place(dcmi_range *out, dcmi_range *out_gap, dcmi_windows *windows, const dcmem_acquire *request);

/* Adds a window, for which another may be forgotten: `out_rest` is what was that one's own, or empty. */
void dcmi_windows_add(dcmi_range *out_rest, dcmi_windows *windows, dcmi_range reserved, dcmem_kind kind, uint32_t lane);

/* Does some window's own range begin at `address`? */
bool dcmi_windows_continue_at(const dcmi_windows *windows, uint64_t address);

/* Makes a range, reserved and without access by now, the own of the window that continues it. False: none does. */
bool dcmi_windows_adopt(dcmi_windows *windows, dcmi_range range);

/* How much address space the next window should have when that many are open in the process. */
uint64_t dcmi_window_bytes(uint32_t open_windows);

/* Invariant 1. */
bool dcmi_windows_are_sane(const dcmi_windows *windows);

#endif
