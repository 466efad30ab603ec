/* range.h: the states of a buffer's bytes as a sorted list of ranges: exact, never guessed.
 *
 * One list of (end, state) stands for the sets that one could keep instead, "written" and for each side "stale".
 * Merging such sets when they are full would lie in some way: `written` may not grow (bytes of a block's last owner
 * would become readable) nor shrink (bytes would be lost), and `stale` may grow only over bytes whose other side is
 * current and which nobody has open. So nothing is ever merged but neighbours of equal state: the list grows with
 * what is true, on the heap, and who needs more room than there is learns it before anything has changed.
 *
 * Invariants: (1) ends rise, the last is the buffer's end; (2) neighbours differ; (3) count <= capacity. */
#ifndef DCMI_RANGE_H
#define DCMI_RANGE_H

#include "buffer/coherence.h"
#include "buffer/rows.h"

/* A word is end << 3 | state. */
#define DCMI_RANGE_LARGEST ((UINT64_MAX >> 3))

typedef struct dcmi_ranges {
    uint64_t *words;
    uint32_t count;
    uint32_t capacity;
} dcmi_ranges;

static inline uint64_t
dcmi_range_word(uint64_t end, dcmi_state state)
{
    return end << 3 | (unsigned)state;
}

static inline uint64_t
dcmi_range_end(uint64_t word)
{
    return word >> 3;
}

static inline dcmi_state
dcmi_range_state(uint64_t word)
{
    return (dcmi_state)(word & 7);
}

/* All of `bytes` (> 0) in one state. Needs room for one. */
void dcmi_ranges_set(dcmi_ranges *ranges, uint64_t bytes, dcmi_state state);

/* The state at `offset` (inside), and where the range with it ends. */
dcmi_state dcmi_ranges_at(uint64_t *out_end, const dcmi_ranges *ranges, uint64_t offset);

/* Each byte of [begin, end), not empty and inside, goes from its state s to after[s]. Needs room for two more. */
void dcmi_ranges_map(dcmi_ranges *ranges, uint64_t begin, uint64_t end, const dcmi_state after[DCMI_STATE_COUNT]);

/* The same for the bytes of rows, in one pass however many there are. Needs room for two more a row. */
void dcmi_ranges_map_rows(dcmi_ranges *ranges, const dcmi_rows *rows, const dcmi_state after[DCMI_STATE_COUNT]);

/* Cuts off what lies past `bytes` (> 0), or adds unwritten bytes. Needs room for one more. */
void dcmi_ranges_resize(dcmi_ranges *ranges, uint64_t bytes);

/* NULL, or the broken invariant. */
const char *dcmi_ranges_check(const dcmi_ranges *ranges, uint64_t bytes);

#endif
