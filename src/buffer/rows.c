/* rows.c: joining rows, and finding out whether they meet. See rows.h. */
#include "buffer/rows.h"

/* ---- Joining ---- */

static bool
rows_adjoin(const dcmi_rows *rows)
{
    return rows->rows == 1 || rows->row_pitch == rows->row_bytes;
}

static bool
slices_adjoin(const dcmi_rows *rows)
{
    return rows->slices == 1 || rows->slice_pitch == rows->rows * rows->row_bytes;
}

/* A slice's rows are one row. */
static void
join_rows(dcmi_rows *rows)
{
    rows->row_bytes *= rows->rows;
    rows->rows = 1;
}

/* Slices of one row each are the rows of one slice. */
static void
join_slices(dcmi_rows *rows, bool adjoin)
{
    rows->row_pitch = rows->slice_pitch;
    rows->rows = rows->slices;
    rows->slices = 1;
    if (adjoin)
        join_rows(rows);
}

void
dcmi_rows_join_both(dcmi_rows *a, dcmi_rows *b)
{
    bool slices_do = slices_adjoin(a) && slices_adjoin(b);
    if (!rows_adjoin(a) || !rows_adjoin(b))
        return;
    join_rows(a);
    join_rows(b);
    join_slices(a, slices_do);
    join_slices(b, slices_do);
}

dcmi_rows
dcmi_rows_join(const dcmi_rows *rows)
{
    dcmi_rows joined = *rows, same = *rows;
    dcmi_rows_join_both(&joined, &same);
    return joined;
}

/* ---- Meeting ---- */

/* The first row that ends after `offset`; their count where none does. */
static uint64_t
first_after(const dcmi_rows *rows, uint64_t offset)
{
    if (offset < rows->begin)
        return 0;
    uint64_t rest = offset - rows->begin;
    uint64_t slice = rows->slices > 1 ? rest / rows->slice_pitch : 0;
    if (slice >= rows->slices)
        return dcmi_rows_count(rows);
    rest -= slice * rows->slice_pitch;
    uint64_t row = rows->rows > 1 ? rest / rows->row_pitch : 0;
    if (row >= rows->rows)
        return (slice + 1) * rows->rows;
    rest -= row * rows->row_pitch;
    return slice * rows->rows + row + (rest >= rows->row_bytes);
}

bool
dcmi_rows_touch(const dcmi_rows *rows, uint64_t begin, uint64_t end)
{
    uint64_t first = first_after(rows, begin);
    return first < dcmi_rows_count(rows) && dcmi_rows_at(rows, first) < end;
}

bool
dcmi_rows_overlap(const dcmi_rows *a, const dcmi_rows *b)
{
    bool is_a = dcmi_rows_count(a) <= dcmi_rows_count(b);
    const dcmi_rows *few = is_a ? a : b, *many = is_a ? b : a;
    uint64_t count = dcmi_rows_count(few), end = dcmi_rows_end(many);
    for (uint64_t i = first_after(few, many->begin); i < count; i++) {
        uint64_t begin = dcmi_rows_at(few, i);
        if (begin >= end)
            return false;
        if (dcmi_rows_touch(many, begin, begin + few->row_bytes))
            return true;
    }
    return false;
}
