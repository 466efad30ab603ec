/* rows.h: which bytes a box touches: rows of one length, a pitch apart, in slices that are a pitch apart. Pure.
 *
 * A plain range is one row. Invariants: (1) neither a count nor row_bytes is 0; (2) no row begins before the one before
 * it has ended; (3) where the last one ends fits 64 bits. Pitches between rows of which there is one mean nothing. */
#ifndef DCMI_ROWS_H
#define DCMI_ROWS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dcmi_rows {
    uint64_t begin; /* of the first row */
    uint64_t row_bytes;
    uint64_t row_pitch;
    uint64_t slice_pitch;
    uint64_t rows; /* a slice */
    uint64_t slices;
} dcmi_rows;

static inline dcmi_rows
dcmi_rows_of_range(uint64_t begin, uint64_t bytes)
{
    return (dcmi_rows){.begin = begin, .row_bytes = bytes, .rows = 1, .slices = 1};
}

/* How many rows there are; that fits, for each has a byte. */
static inline uint64_t
dcmi_rows_count(const dcmi_rows *rows)
{
    return rows->rows * rows->slices;
}

/* Where row `i` begins, from 0. */
static inline uint64_t
dcmi_rows_at(const dcmi_rows *rows, uint64_t i)
{
    if (i == 0)
        return rows->begin; /* of plain ranges the only one: no division for them */
    return rows->begin + i / rows->rows * rows->slice_pitch + i % rows->rows * rows->row_pitch;
}

/* Where the last one ends. */
static inline uint64_t
dcmi_rows_end(const dcmi_rows *rows)
{
    return dcmi_rows_at(rows, dcmi_rows_count(rows) - 1) + rows->row_bytes;
}

/* The bytes of all rows. */
static inline uint64_t
dcmi_rows_bytes(const dcmi_rows *rows)
{
    return dcmi_rows_count(rows) * rows->row_bytes;
}

/* The same bytes in the fewest rows: those that lie against each other are one. */
dcmi_rows dcmi_rows_join(const dcmi_rows *rows);

/* Two boxes of one shape, row for row, in the fewest rows: what lies against each other in both is one. */
void dcmi_rows_join_both(dcmi_rows *a, dcmi_rows *b);

/* Whether a row has a byte of [begin, end), which is not empty. */
bool dcmi_rows_touch(const dcmi_rows *rows, uint64_t begin, uint64_t end);

/* Whether two boxes share a byte. */
bool dcmi_rows_overlap(const dcmi_rows *a, const dcmi_rows *b);

#endif
