/* range.c: the list of range.h: a binary search to find, two cuts and one sweep to change. */
#include "buffer/range.h"

#include "base/fail.h"

#include <string.h>

/* The index of the range that holds `offset`. */
static uint32_t
find(const dcmi_ranges *ranges, uint64_t offset)
{
    uint32_t low = 0, high = ranges->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (dcmi_range_end(ranges->words[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Makes a range begin at `offset` (below the end); its index. Neighbours may be equal until they are joined. */
static uint32_t
cut(dcmi_ranges *ranges, uint64_t offset)
{
    if (offset == 0)
        return 0;
    uint32_t i = find(ranges, offset - 1);
    if (dcmi_range_end(ranges->words[i]) == offset)
        return i + 1;

    CHECK(ranges->count < ranges->capacity);
    memmove(&ranges->words[i + 1], &ranges->words[i], (ranges->count - i) * sizeof ranges->words[0]);
    ranges->count++;
    ranges->words[i] = dcmi_range_word(offset, dcmi_range_state(ranges->words[i]));
    return i + 1;
}

/* Joins equal neighbours among the ranges from `first` up to, not including, `last`. */
static void
join(dcmi_ranges *ranges, uint32_t first, uint32_t last)
{
    uint64_t *words = ranges->words;
    uint32_t kept = first;
    for (uint32_t i = first + 1; i < last; i++) {
        if (dcmi_range_state(words[i]) != dcmi_range_state(words[kept]))
            kept++;
        words[kept] = words[i];
    }
    memmove(&words[kept + 1], &words[last], (ranges->count - last) * sizeof words[0]);
    ranges->count -= last - (kept + 1);
}

void
dcmi_ranges_set(dcmi_ranges *ranges, uint64_t bytes, dcmi_state state)
{
    CHECK(ranges->capacity > 0 && bytes > 0 && bytes <= DCMI_RANGE_LARGEST);
    ranges->words[0] = dcmi_range_word(bytes, state);
    ranges->count = 1;
}

dcmi_state
dcmi_ranges_at(uint64_t *out_end, const dcmi_ranges *ranges, uint64_t offset)
{
    uint64_t word = ranges->words[find(ranges, offset)];
    *out_end = dcmi_range_end(word);
    return dcmi_range_state(word);
}

void
dcmi_ranges_map(dcmi_ranges *ranges, uint64_t begin, uint64_t end, const dcmi_state after[DCMI_STATE_COUNT])
{
    uint64_t bytes = dcmi_range_end(ranges->words[ranges->count - 1]);
    CHECK(begin < end && end <= bytes);

    uint32_t first = cut(ranges, begin);
    uint32_t last = end < bytes ? cut(ranges, end) : ranges->count;
    for (uint32_t i = first; i < last; i++) {
        uint64_t word = ranges->words[i];
        ranges->words[i] = dcmi_range_word(dcmi_range_end(word), after[dcmi_range_state(word)]);
    }
    join(ranges, first ? first - 1 : 0, last < ranges->count ? last + 1 : last);
    CHECK(!dcmi_ranges_check(ranges, bytes));
}

/* ---- Rows ---- */

/* A list that is rewritten in place, from its own words, which stand at the end of its room meanwhile. What is written
 * has at most two ranges more a row than what was read, and that much room lies between the two. */
typedef struct rewrite {
    uint64_t *words;
    uint32_t read;
    uint32_t written;
} rewrite;

/* What lies before `until` goes over, in states after[] where that is not NULL. */
static void
rewrite_until(rewrite *it, uint64_t until, const dcmi_state *after)
{
    uint64_t done = it->written ? dcmi_range_end(it->words[it->written - 1]) : 0;
    while (done < until) {
        uint64_t end = dcmi_range_end(it->words[it->read]);
        dcmi_state state = dcmi_range_state(it->words[it->read]);
        it->read += end <= until;
        done = end < until ? end : until;
        if (after)
            state = after[state];
        if (it->written && dcmi_range_state(it->words[it->written - 1]) == state)
            it->written--;
        it->words[it->written++] = dcmi_range_word(done, state);
    }
}

void
dcmi_ranges_map_rows(dcmi_ranges *ranges, const dcmi_rows *rows, const dcmi_state after[DCMI_STATE_COUNT])
{
    uint64_t bytes = dcmi_range_end(ranges->words[ranges->count - 1]), count = dcmi_rows_count(rows);
    CHECK(dcmi_rows_end(rows) <= bytes && ranges->count + 2 * count <= ranges->capacity);

    uint32_t first = find(ranges, rows->begin), behind = ranges->count - first;
    rewrite it = {.words = ranges->words, .read = ranges->capacity - behind, .written = first};
    memmove(&it.words[it.read], &it.words[first], behind * sizeof it.words[0]);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = dcmi_rows_at(rows, i);
        rewrite_until(&it, begin, NULL);
        rewrite_until(&it, begin + rows->row_bytes, after);
    }
    rewrite_until(&it, bytes, NULL);
    ranges->count = it.written;
    CHECK(!dcmi_ranges_check(ranges, bytes));
}

void
dcmi_ranges_resize(dcmi_ranges *ranges, uint64_t bytes)
{
    uint64_t old = dcmi_range_end(ranges->words[ranges->count - 1]);
    if (bytes < old) {
        uint32_t last = find(ranges, bytes - 1);
        ranges->words[last] = dcmi_range_word(bytes, dcmi_range_state(ranges->words[last]));
        ranges->count = last + 1;
    } else if (bytes > old) {
        CHECK(ranges->count < ranges->capacity);
        ranges->words[ranges->count++] = dcmi_range_word(bytes, DCMI_STATE_UNWRITTEN);
        join(ranges, ranges->count - 2, ranges->count);
    }
    CHECK(!dcmi_ranges_check(ranges, bytes));
}

const char *
dcmi_ranges_check(const dcmi_ranges *ranges, uint64_t bytes)
{
    if (ranges->count == 0 || ranges->count > ranges->capacity)
        return "a list of ranges is empty or larger than its room";
    if (dcmi_range_end(ranges->words[ranges->count - 1]) != bytes)
        return "the last range does not end where the buffer ends";
    for (uint32_t i = 0; i < ranges->count; i++) {
        uint64_t before = i ? ranges->words[i - 1] : dcmi_range_word(0, DCMI_STATE_COUNT);
        if (dcmi_range_end(ranges->words[i]) <= dcmi_range_end(before))
            return "ranges do not rise";
        if (dcmi_range_state(ranges->words[i]) == dcmi_range_state(before))
            return "neighbouring ranges have one state";
    }
    return NULL;
}
