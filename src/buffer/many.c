/* many.c: many transfers in one call: all looked at first, then moved in order, those that adjoin as one. */
#include "base/size.h"
#include "buffer/gate.h"
#include "buffer/onlooker.h"
#include "buffer/transfer.h"

/* ---- One transfer ---- */

static uint64_t
bytes_of(const dcmem_transfer *it)
{
    return it->to.buffer ? it->to.bytes : it->from.bytes;
}

static dcmi_end
target_of(const dcmem_transfer *it)
{
    return it->to.buffer ? dcmi_end_of_view(it->to) : dcmi_end_of_host(it->to_host, it->from.bytes);
}

static dcmi_end
origin_of(const dcmem_transfer *it)
{
    return it->from.buffer ? dcmi_end_of_view(it->from) : dcmi_end_of_host(it->from_host, it->to.bytes);
}

/* Whether the view lies in a live buffer. */
static dcmem_result
check_view(dcmem_view view)
{
    dcmem_result result = dcmi_handle_check(view.buffer);
    if (result)
        return result;
    if (view.bytes == 0)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "a view of 0 bytes");
    uint64_t bytes = dcmi_slot_bytes(dcmi_handle_slot(view.buffer));
    if (view.bytes > bytes || view.offset > bytes - view.bytes)
        return dcmi_fail(DCMEM_E_STALE_VIEW, "%llu bytes from %llu do not lie within a buffer of %llu",
                         (unsigned long long)view.bytes, (unsigned long long)view.offset, (unsigned long long)bytes);
    return DCMEM_OK;
}

static dcmem_result
check(const dcmem_transfer *it)
{
    if ((it->to.buffer && it->to_host) || (it->from.buffer && it->from_host))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "an end is a view and host memory");
    if (!it->to.buffer && !it->from.buffer)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "neither end is a view");
    if ((!it->to.buffer && !it->to_host) || (!it->from.buffer && !it->from_host))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "an end is neither a view nor host memory");
    dcmem_result result = it->to.buffer ? check_view(it->to) : DCMEM_OK;
    if (!result && it->from.buffer)
        result = check_view(it->from);
    if (!result && it->to.buffer && it->from.buffer)
        result = dcmi_transfer_check(it->to, it->from);
    return result;
}

/* ---- All of them ---- */

static dcmem_result
check_all(uint64_t *out_bytes, const dcmem_transfer *transfers, uint64_t count)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        dcmem_result result = check(&transfers[i]);
        if (!result && !dcmi_size_add(&bytes, bytes, bytes_of(&transfers[i])))
            /* COVER: an exabyte of buffers, thousands of times over */
            result = dcmi_fail(DCMEM_E_OVERFLOW, "the sum of all bytes does not fit");
        if (result) {
            dcmem_detail cause = dcmi_detail_save();
            return dcmi_fail(result, "transfer %llu of %llu: %s", (unsigned long long)i, (unsigned long long)count,
                             cause.message);
        }
    }
    *out_bytes = bytes;
    return DCMEM_OK;
}

/* Whether `next` is of the same memory and begins where `end` ends. */
static bool
continues(const dcmi_end *end, const dcmi_end *next)
{
    if (!end->host || !next->host)
        return !end->host && end->buffer == next->buffer && next->rows.begin == dcmi_rows_end(&end->rows);
    return (const char *)next->host == (const char *)end->host + end->rows.row_bytes;
}

/* The two share bytes of one buffer. */
static bool
overlap(const dcmi_end *to, const dcmi_end *from)
{
    return to->buffer == from->buffer && dcmi_rows_overlap(&to->rows, &from->rows);
}

/* From the first of `transfers` on, those that can be moved as one, and as what. A gate is asked about each. */
static uint64_t
join(dcmi_end *to, dcmi_end *from, const dcmem_transfer *transfers, uint64_t count)
{
    uint64_t joined = 1;
    *to = target_of(transfers);
    *from = origin_of(transfers);
    for (; joined < count && !dcmi_has_gates(); joined++) {
        dcmi_end next_to = target_of(&transfers[joined]), next_from = origin_of(&transfers[joined]);
        if (!continues(to, &next_to) || !continues(from, &next_from))
            break;
        dcmi_end more_to = *to, more_from = *from;
        more_to.rows.row_bytes += next_to.rows.row_bytes;
        more_from.rows.row_bytes += next_from.rows.row_bytes;
        if (overlap(&more_to, &more_from))
            break; /* the next reads what this one writes */
        *to = more_to;
        *from = more_from;
    }
    return joined;
}

/* Moves the first of `transfers`, and those that go with it. Where they fail together before anything has moved, each
 * is moved by itself, so that those before the one at fault are done, and it is known which that is. */
static dcmem_result
move_some(uint64_t *done, const dcmem_transfer *transfers, uint64_t count, dcmi_watch *watch, uint64_t timeout_ns)
{
    dcmi_end to, from;
    bool has_begun = false;
    uint64_t joined = join(&to, &from, transfers, count);
    dcmem_result result = dcmi_transfer(&to, &from, &has_begun, watch, timeout_ns);
    if (!result)
        *done += joined;
    if (!result || joined == 1 || has_begun || result == DCMEM_E_CANCELLED)
        return result;

    result = DCMEM_OK;
    for (uint64_t i = 0; i < joined && !result; i++) {
        to = target_of(&transfers[i]);
        from = origin_of(&transfers[i]);
        result = dcmi_transfer(&to, &from, NULL, watch, timeout_ns);
        *done += !result;
    }
    return result;
}

dcmem_result
dcmem_transfer_batch(uint64_t *out_done, const dcmem_transfer *transfers, uint64_t count,
                     const dcmem_transfer_options *options)
{
    dcmi_onlooker onlooker;
    uint64_t bytes = 0, done = 0;
    if (out_done)
        *out_done = 0;
    DCMI_REQUIRE(transfers || count == 0);
    dcmem_result result = dcmi_onlooker_init(&onlooker, options);
    if (!result)
        result = check_all(&bytes, transfers, count);
    dcmi_watch *watch = dcmi_onlooker_watch(&onlooker, bytes);
    while (!result && done < count)
        result = move_some(&done, &transfers[done], count - done, watch, onlooker.options.timeout_ns);
    if (out_done)
        *out_done = done;
    return result;
}
