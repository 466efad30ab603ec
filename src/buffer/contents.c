/* contents.c: one state for all, or a list. See contents.h. */
#include "buffer/contents.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static const dcmi_ranges *
ranges_of(const dcmi_slot *slot)
{
    return &dcmi_slot_more(slot)->ranges;
}

dcmi_state
dcmi_contents_at(uint64_t *out_end, const dcmi_slot *slot, uint64_t offset)
{
    if (slot->state == DCMI_STATE_RANGES)
        return dcmi_ranges_at(out_end, ranges_of(slot), offset);
    *out_end = dcmi_slot_bytes(slot);
    return (dcmi_state)slot->state;
}

uint64_t
dcmi_contents_room(const dcmi_slot *slot, uint64_t parts)
{
    uint64_t count = slot->state == DCMI_STATE_RANGES ? ranges_of(slot)->count : 1;
    return count + 2 * (parts + 1);
}

void
dcmi_contents_move(dcmi_slot *slot, uint64_t *words, uint32_t capacity)
{
    dcmi_more *more = dcmi_slot_more(slot);
    CHECK(capacity > more->ranges.capacity);
    memcpy(words, more->ranges.words, more->ranges.count * sizeof words[0]);
    if (more->ranges.words != more->words_inside)
        free(more->ranges.words);
    more->ranges.words = words;
    more->ranges.capacity = capacity;
}

static void
use_list(dcmi_slot *slot)
{
    if (slot->state == DCMI_STATE_RANGES)
        return;
    dcmi_ranges_set(&dcmi_slot_more(slot)->ranges, dcmi_slot_bytes(slot), (dcmi_state)slot->state);
    slot->state = DCMI_STATE_RANGES;
}

static void
leave_list_of_one(dcmi_slot *slot)
{
    const dcmi_ranges *ranges = ranges_of(slot);
    if (ranges->count == 1)
        slot->state = (uint8_t)dcmi_range_state(ranges->words[0]);
}

void
dcmi_contents_map(dcmi_slot *slot, uint64_t begin, uint64_t end, const dcmi_state after[DCMI_STATE_COUNT])
{
    bool is_whole = begin == 0 && end == dcmi_slot_bytes(slot);
    if (slot->state != DCMI_STATE_RANGES && (is_whole || after[slot->state] == slot->state)) {
        slot->state = (uint8_t)after[slot->state];
        return;
    }
    use_list(slot);
    dcmi_ranges_map(&dcmi_slot_more(slot)->ranges, begin, end, after);
    leave_list_of_one(slot);
}

void
dcmi_contents_map_rows(dcmi_slot *slot, const dcmi_rows *rows, const dcmi_state after[DCMI_STATE_COUNT])
{
    if (slot->state != DCMI_STATE_RANGES && after[slot->state] == slot->state)
        return;
    use_list(slot);
    dcmi_ranges_map_rows(&dcmi_slot_more(slot)->ranges, rows, after);
    leave_list_of_one(slot);
}

void
dcmi_contents_resize(dcmi_slot *slot, uint64_t bytes)
{
    if (slot->state == DCMI_STATE_UNWRITTEN)
        return;
    if (slot->state != DCMI_STATE_RANGES && bytes <= dcmi_slot_bytes(slot))
        return;
    use_list(slot);
    dcmi_ranges_resize(&dcmi_slot_more(slot)->ranges, bytes);
    leave_list_of_one(slot);
}

unsigned
dcmi_contents_sides(uint64_t *out_written, const dcmi_slot *slot, uint64_t begin, uint64_t end)
{
    unsigned sides = DCMI_STATE_BOTH;
    uint64_t written = 0, next;
    for (uint64_t offset = begin; offset < end; offset = next) {
        dcmi_state state = dcmi_contents_at(&next, slot, offset);
        next = dcmi_min(next, end);
        if (state == DCMI_STATE_UNWRITTEN)
            continue;
        sides &= (unsigned)state; /* a lost byte is current nowhere */
        written += next - offset;
    }
    *out_written = written;
    return written ? sides : 0;
}
