/* contents.h: the states of a slot's bytes. A buffer that is only ever used as a whole has one for all of them, in the
 * slot's first line; the list of ranges is made when the first part differs, and gone when none does any more. */
#ifndef DCMI_CONTENTS_H
#define DCMI_CONTENTS_H

#include "buffer/slot.h"

/* The state at `offset` and where the range with it ends. */
dcmi_state dcmi_contents_at(uint64_t *out_end, const dcmi_slot *slot, uint64_t offset);

/* Room that a change of a part needs, `parts` others being open that may change theirs: for dcmi_contents_grow(). */
uint64_t dcmi_contents_room(const dcmi_slot *slot, uint64_t parts);

static inline bool
dcmi_contents_has_room(const dcmi_slot *slot, uint64_t parts)
{
    return dcmi_slot_more(slot)->ranges.capacity >= dcmi_contents_room(slot, parts);
}

/* Moves the list into `words` of that capacity, from dcmi_slot_realloc(); what it was in is freed. */
void dcmi_contents_move(dcmi_slot *slot, uint64_t *words, uint32_t capacity);

/* Each byte of [begin, end) goes from its state s to after[s]. The slot has room, or the change is of all bytes. */
void dcmi_contents_map(dcmi_slot *slot, uint64_t begin, uint64_t end, const dcmi_state after[DCMI_STATE_COUNT]);

/* The same for the bytes of rows. */
void dcmi_contents_map_rows(dcmi_slot *slot, const dcmi_rows *rows, const dcmi_state after[DCMI_STATE_COUNT]);

/* For a new size, while slot->bytes is still the old one. Always has room: an access leaves some for two more ranges
 * (dcmi_contents_room()), growing takes one, and only after bytes that were written, so never twice in a row. */
void dcmi_contents_resize(dcmi_slot *slot, uint64_t bytes);

/* The sides on which every byte of [begin, end) that was ever written is current; how many bytes those are. */
unsigned dcmi_contents_sides(uint64_t *out_written, const dcmi_slot *slot, uint64_t begin, uint64_t end);

#endif
