/* box.c: transfers that are watched, of whole views and of boxes: from layouts to rows, with everything checked. */
#include "base/size.h"
#include "buffer/onlooker.h"
#include "buffer/transfer.h"

/* ---- Rows of a box ---- */

/* An end of a transfer, as messages name it. */
typedef struct party {
    const char *name;
    dcmem_layout layout;
} party;

static dcmem_result
refuse_size(const party *at)
{
    return dcmi_fail(DCMEM_E_OVERFLOW, "%s: the box ends beyond 64 bits", at->name);
}

/* Where `count` things of `bytes` each, a pitch apart, end. */
static bool
span_of(uint64_t *out, uint64_t count, uint64_t pitch, uint64_t bytes)
{
    uint64_t last;
    return dcmi_size_mul(&last, count - 1, pitch) && dcmi_size_add(out, last, bytes);
}

static dcmem_result
check_pitch(const party *at, const char *what, uint64_t pitch, uint64_t least)
{
    if (pitch >= least)
        return DCMEM_OK;
    return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "%s: a %s pitch of %llu for what has %llu bytes", at->name, what,
                     (unsigned long long)pitch, (unsigned long long)least);
}

/* The rows of a box, from the layout's offset on, and where they end. */
static dcmem_result
rows_of(dcmi_rows *out, uint64_t *out_end, const party *at, dcmem_box box)
{
    dcmi_rows rows = {.begin = at->layout.offset,
                      .row_bytes = box.row_bytes,
                      .row_pitch = at->layout.row_pitch ? at->layout.row_pitch : box.row_bytes,
                      .slice_pitch = at->layout.slice_pitch,
                      .rows = box.rows ? box.rows : 1,
                      .slices = box.slices ? box.slices : 1};
    uint64_t slice_bytes, bytes, end;
    if (rows.row_bytes == 0)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "a box with rows of 0 bytes");
    dcmem_result result = rows.rows > 1 ? check_pitch(at, "row", rows.row_pitch, rows.row_bytes) : DCMEM_OK;
    if (result)
        return result;
    if (!span_of(&slice_bytes, rows.rows, rows.row_pitch, rows.row_bytes))
        return refuse_size(at);
    if (!rows.slice_pitch && !dcmi_size_mul(&rows.slice_pitch, rows.rows, rows.row_pitch))
        return refuse_size(at);
    result = rows.slices > 1 ? check_pitch(at, "slice", rows.slice_pitch, slice_bytes) : DCMEM_OK;
    if (result)
        return result;
    if (!span_of(&bytes, rows.slices, rows.slice_pitch, slice_bytes) || !dcmi_size_add(&end, rows.begin, bytes))
        return refuse_size(at);
    *out = rows;
    *out_end = end;
    return DCMEM_OK;
}

static dcmem_result
end_in_view(dcmi_end *out, const party *at, dcmem_view view, dcmem_box box)
{
    dcmi_end end = {.buffer = view.buffer};
    uint64_t bytes;
    dcmem_result result = dcmi_handle_check(view.buffer);
    if (!result)
        result = rows_of(&end.rows, &bytes, at, box);
    if (result)
        return result;
    if (bytes > view.bytes)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "%s: the box ends at byte %llu of a view of %llu", at->name,
                         (unsigned long long)bytes, (unsigned long long)view.bytes);
    if (!dcmi_size_add(&bytes, bytes, view.offset))
        return dcmi_fail(DCMEM_E_STALE_VIEW, "%s: the view begins at byte %llu", at->name,
                         (unsigned long long)view.offset);
    end.rows.begin += view.offset;
    *out = end;
    return DCMEM_OK;
}

static dcmem_result
end_in_host(dcmi_end *out, const party *at, const void *host, dcmem_box box)
{
    dcmi_end end = {.host = (void *)(uintptr_t)host};
    uint64_t bytes;
    dcmem_result result = rows_of(&end.rows, &bytes, at, box);
    if (result)
        return result;
    if (bytes > UINTPTR_MAX - (uintptr_t)host)
        return refuse_size(at);
    *out = end;
    return DCMEM_OK;
}

/* ---- Transfers ---- */

static dcmem_result
transfer(const dcmi_end *to, const dcmi_end *from, const dcmem_transfer_options *options)
{
    dcmi_onlooker onlooker;
    dcmem_result result = dcmi_onlooker_init(&onlooker, options);
    if (result)
        return result;
    dcmi_watch *watch = dcmi_onlooker_watch(&onlooker, dcmi_rows_bytes(&to->rows));
    return dcmi_transfer(to, from, NULL, watch, onlooker.options.timeout_ns);
}

dcmem_result
dcmem_transfer_copy(dcmem_view to, dcmem_view from, const dcmem_transfer_options *options)
{
    dcmem_result result = dcmi_transfer_check(to, from);
    dcmi_end target = dcmi_end_of_view(to), origin = dcmi_end_of_view(from);
    return result ? result : transfer(&target, &origin, options);
}

dcmem_result
dcmem_transfer_in(dcmem_view to, const void *from, const dcmem_transfer_options *options)
{
    DCMI_REQUIRE(from);
    dcmi_end target = dcmi_end_of_view(to), origin = dcmi_end_of_host(from, to.bytes);
    return transfer(&target, &origin, options);
}

dcmem_result
dcmem_transfer_out(void *to, dcmem_view from, const dcmem_transfer_options *options)
{
    DCMI_REQUIRE(to);
    dcmi_end target = dcmi_end_of_host(to, from.bytes), origin = dcmi_end_of_view(from);
    return transfer(&target, &origin, options);
}

/* ---- Boxes ---- */

dcmem_result
dcmem_transfer_box_copy(dcmem_view to, dcmem_layout to_layout, dcmem_view from, dcmem_layout from_layout, dcmem_box box,
                        const dcmem_transfer_options *options)
{
    dcmi_end target, origin;
    dcmem_result result = end_in_view(&target, &(party){"to", to_layout}, to, box);
    if (!result)
        result = end_in_view(&origin, &(party){"from", from_layout}, from, box);
    if (result)
        return result;
    if (to.buffer == from.buffer && dcmi_rows_overlap(&target.rows, &origin.rows))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the boxes overlap: from byte %llu and from byte %llu on",
                         (unsigned long long)origin.rows.begin, (unsigned long long)target.rows.begin);
    return transfer(&target, &origin, options);
}

dcmem_result
dcmem_transfer_box_in(dcmem_view to, dcmem_layout to_layout, const void *from, dcmem_layout from_layout, dcmem_box box,
                      const dcmem_transfer_options *options)
{
    DCMI_REQUIRE(from);
    dcmi_end target, origin;
    dcmem_result result = end_in_view(&target, &(party){"to", to_layout}, to, box);
    if (!result)
        result = end_in_host(&origin, &(party){"from", from_layout}, from, box);
    return result ? result : transfer(&target, &origin, options);
}

dcmem_result
dcmem_transfer_box_out(void *to, dcmem_layout to_layout, dcmem_view from, dcmem_layout from_layout, dcmem_box box,
                       const dcmem_transfer_options *options)
{
    DCMI_REQUIRE(to);
    dcmi_end target, origin;
    dcmem_result result = end_in_view(&origin, &(party){"from", from_layout}, from, box);
    if (!result)
        result = end_in_host(&target, &(party){"to", to_layout}, to, box);
    return result ? result : transfer(&target, &origin, options);
}
