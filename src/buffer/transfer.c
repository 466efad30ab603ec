/* transfer.c: bytes into buffers, out of them and between them, and coherence by hand. See transfer.h. */
#include "buffer/transfer.h"

#include "base/size.h"
#include "buffer/bundle.h"
#include "buffer/gate.h"
#include "buffer/touch.h"

static dcmem_side
other_side(dcmem_side side)
{
    return side == DCMEM_SIDE_HOST ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST;
}

/* What was not begun has not hurt the bytes that are there. */
static dcmem_result
close_written(const dcmi_grant *grant, dcmem_result result, bool has_begun)
{
    if (!result)
        return dcmi_access_close(grant->buffer, grant->ticket, DCMI_CLOSE_END);
    dcmem_detail cause = dcmi_detail_save();
    (void)dcmi_access_close(grant->buffer, grant->ticket, has_begun ? DCMI_CLOSE_ABORT : DCMI_CLOSE_UNUSED);
    dcmi_detail_restore(&cause);
    return result;
}

/* Ending what only read cannot fail but for a manager that ends meanwhile; why the transfer failed counts more. */
static dcmem_result
close_read(const dcmi_grant *grant, dcmem_result result)
{
    if (!result)
        return dcmi_access_close(grant->buffer, grant->ticket, DCMI_CLOSE_END);
    dcmem_detail cause = dcmi_detail_save();
    (void)dcmi_access_close(grant->buffer, grant->ticket, DCMI_CLOSE_END);
    dcmi_detail_restore(&cause);
    return result;
}

/* ---- Ends ---- */

dcmi_end
dcmi_end_of_view(dcmem_view view)
{
    return (dcmi_end){.buffer = view.buffer, .rows = dcmi_rows_of_range(view.offset, view.bytes)};
}

dcmi_end
dcmi_end_of_host(const void *host, uint64_t bytes)
{
    return (dcmi_end){.host = (void *)(uintptr_t)host, .rows = dcmi_rows_of_range(0, bytes)};
}

/* From the first row to the end of the last. */
static dcmem_view
view_of(const dcmi_end *end)
{
    return (dcmem_view){end->buffer, end->rows.begin, dcmi_rows_end(&end->rows) - end->rows.begin, 1};
}

/* Its rows as an access takes them, joined in `room`; NULL where all of its view is one. */
static const dcmi_rows *
rows_for(dcmi_rows *room, const dcmi_end *end)
{
    if (dcmi_rows_count(&end->rows) == 1)
        return NULL;
    *room = dcmi_rows_join(&end->rows);
    return dcmi_rows_count(room) > 1 ? room : NULL;
}

static dcmem_result
ask_gates(const dcmi_end *to, const dcmi_end *from)
{
    const dcmi_end *asked = to->host ? from : to;
    dcmem_view view = {asked->buffer, asked->rows.begin, dcmi_rows_bytes(&asked->rows), 1};
    if (from->host)
        return dcmi_gate_ask_buffers(DCMEM_GATE_write, view, NULL, 0);
    if (to->host)
        return dcmi_gate_ask_buffers(DCMEM_GATE_read, view, NULL, 0);
    return dcmi_gate_ask_buffers(DCMEM_GATE_copy, view, from->buffer, 0);
}

/* ---- Reading ---- */

/* An end that is read, and the stretch of it whose place is known: [begin, end), from its first row on. */
typedef struct source {
    const dcmi_end *of;
    const dcmi_rows *rows; /* of the access */
    dcmi_grant grant;      /* of a buffer's */
    dcmem_side preferred;  /* of bytes that are current on both sides */
    dcmi_site site;        /* of the stretch's first byte */
    uint64_t begin, end;
} source;

static dcmem_result
source_open(source *out, const dcmi_end *of, const dcmi_rows *rows, dcmi_watch *watch, uint64_t timeout_ns)
{
    *out = (source){.of = of, .rows = rows, .preferred = DCMEM_SIDE_HOST};
    if (of->host) {
        out->site = dcmi_site_host((const char *)of->host + of->rows.begin);
        out->end = UINT64_MAX;
        return DCMEM_OK;
    }
    dcmi_wish look = {.view = view_of(of),
                      .side = DCMEM_SIDE_DEVICE,
                      .operation = DCMI_LOOK,
                      .timeout_ns = timeout_ns,
                      .watch = watch,
                      .rows = rows};
    return dcmi_access_open(&out->grant, &look);
}

static dcmem_result
source_close(const source *it, dcmem_result result)
{
    return it->of->host ? result : close_read(&it->grant, result);
}

/* Where the byte at `offset` is current, and for how many more that place holds. */
static dcmem_result
source_find(dcmi_site *out, uint64_t *out_bytes, source *it, uint64_t offset)
{
    if (offset < it->begin || offset >= it->end) {
        uint64_t bytes;
        dcmem_result result = dcmi_access_look(&it->site, &bytes, &it->grant, offset, it->preferred);
        if (result)
            return result; /* COVER: the manager ends meanwhile, which its header forbids */
        it->begin = offset;
        it->end = offset + bytes;
    }
    *out = dcmi_site_at(&it->site, offset - it->begin);
    *out_bytes = it->end - offset;
    return DCMEM_OK;
}

/* ---- Moving ---- */

static dcmem_result
carry_row(dcmi_bundle *bundle, const dcmi_site *to, source *from, uint64_t offset, uint64_t bytes)
{
    uint64_t piece;
    dcmem_result result = DCMEM_OK;
    for (uint64_t done = 0; done < bytes && !result; done += piece) {
        dcmi_site site, at = dcmi_site_at(to, done);
        result = source_find(&site, &piece, from, offset + done);
        piece = dcmi_min(piece, bytes - done);
        if (!result)
            result = dcmi_bundle_add(bundle, &at, &site, piece);
    }
    return result;
}

/* `to`: of the first row's first byte. */
static dcmem_result
carry_rows(const dcmi_site *to, const dcmi_rows *to_rows, source *from, dcmi_errand *errand)
{
    /* A transfer that was stopped already, while it waited perhaps, has moved nothing. */
    dcmem_result result = errand->watch ? errand->watch->step(errand->watch, 0) : DCMEM_OK;
    if (result)
        return result;
    dcmi_bundle bundle;
    dcmi_rows there = *to_rows, here = from->of->rows;
    dcmi_rows_join_both(&there, &here);
    dcmi_bundle_begin(&bundle, errand);
    for (uint64_t i = 0; i < dcmi_rows_count(&there) && !result; i++) {
        dcmi_site at = dcmi_site_at(to, dcmi_rows_at(&there, i) - there.begin);
        result = carry_row(&bundle, &at, from, dcmi_rows_at(&here, i) - here.begin, here.row_bytes);
    }
    return result ? result : dcmi_bundle_end(&bundle);
}

/* Bytes that are in the host's memory go to the host's side, if there is one; others stay with the devices. */
static dcmem_result
choose_near(bool *out, const source *from)
{
    unsigned sides = 0;
    dcmem_result result = DCMEM_OK;
    if (!from->of->host)
        result = dcmi_access_sides(&sides, &from->grant, from->rows);
    *out = from->grant.site.is_host || !(sides & DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE));
    return result;
}

static dcmem_result
move_to_buffer(const dcmi_end *to, source *from, dcmi_errand *errand, uint64_t timeout_ns)
{
    dcmi_grant target;
    dcmi_rows rows;
    dcmi_wish wish = {.view = view_of(to),
                      .side = DCMEM_SIDE_DEVICE,
                      .operation = DCMI_WRITE,
                      .timeout_ns = timeout_ns,
                      .watch = errand->watch,
                      .rows = rows_for(&rows, to)};
    dcmem_result result = choose_near(&wish.is_near, from);
    if (!result)
        result = dcmi_access_open(&target, &wish);
    if (result)
        return result;
    from->preferred = target.side;
    errand->tag = from->of->host ? target.tag : from->grant.tag;
    result = carry_rows(&target.site, &to->rows, from, errand);
    return close_written(&target, result, errand->has_begun);
}

static dcmem_result
move_to_host(const dcmi_end *to, source *from, dcmi_errand *errand)
{
    dcmi_site site = dcmi_site_host((const char *)to->host + to->rows.begin);
    errand->tag = from->grant.tag;
    return carry_rows(&site, &to->rows, from, errand);
}

dcmem_result
dcmi_transfer(const dcmi_end *to, const dcmi_end *from, bool *out_has_begun, dcmi_watch *watch, uint64_t timeout_ns)
{
    source reading;
    dcmi_errand errand = {.watch = watch};
    dcmi_rows rows;
    dcmem_result result = dcmi_has_gates() ? ask_gates(to, from) : DCMEM_OK;
    if (!result)
        result = source_open(&reading, from, rows_for(&rows, from), watch, timeout_ns);
    if (result)
        return result;
    result = to->host ? move_to_host(to, &reading, &errand) : move_to_buffer(to, &reading, &errand, timeout_ns);
    if (out_has_begun)
        *out_has_begun = errand.has_begun;
    return source_close(&reading, result);
}

/* ---- Copies ---- */

dcmem_result
dcmi_transfer_check(dcmem_view to, dcmem_view from)
{
    dcmem_result result = dcmi_handle_check(to.buffer);
    if (!result)
        result = dcmi_handle_check(from.buffer);
    if (result)
        return result;
    if (to.bytes != from.bytes)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "from %llu bytes to %llu", (unsigned long long)from.bytes,
                         (unsigned long long)to.bytes);
    uint64_t apart = to.offset > from.offset ? to.offset - from.offset : from.offset - to.offset;
    if (to.buffer == from.buffer && apart < to.bytes)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the views overlap: %llu bytes from %llu and from %llu",
                         (unsigned long long)to.bytes, (unsigned long long)from.offset, (unsigned long long)to.offset);
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_copy(dcmem_view to, dcmem_view from)
{
    dcmem_result result = dcmi_transfer_check(to, from);
    dcmi_end target = dcmi_end_of_view(to), origin = dcmi_end_of_view(from);
    return result ? result : dcmi_transfer(&target, &origin, NULL, NULL, 0);
}

dcmem_result
dcmem_buffer_copy_in(dcmem_view to, const void *from, uint64_t timeout_ns)
{
    DCMI_REQUIRE(from);
    if (!dcmi_has_gates() && dcmi_touch_write(&to, from))
        return DCMEM_OK;
    dcmi_end target = dcmi_end_of_view(to), origin = dcmi_end_of_host(from, to.bytes);
    return dcmi_transfer(&target, &origin, NULL, NULL, timeout_ns);
}

dcmem_result
dcmem_buffer_copy_out(void *to, dcmem_view from, uint64_t timeout_ns)
{
    DCMI_REQUIRE(to);
    if (!dcmi_has_gates() && dcmi_touch_read(to, &from))
        return DCMEM_OK;
    dcmi_end target = dcmi_end_of_host(to, from.bytes), origin = dcmi_end_of_view(from);
    return dcmi_transfer(&target, &origin, NULL, NULL, timeout_ns);
}

/* ---- Fill ---- */

dcmem_result
dcmem_buffer_fill(dcmem_view view, const void *pattern, uint32_t pattern_bytes)
{
    DCMI_REQUIRE(pattern && pattern_bytes >= 1 && pattern_bytes <= 16);
    dcmem_result result = dcmi_handle_check(view.buffer);
    if (result)
        return result;
    if (view.bytes % pattern_bytes)
        return dcmi_fail(DCMEM_E_MISALIGNED, "%llu bytes are no whole number of patterns of %u",
                         (unsigned long long)view.bytes, pattern_bytes);
    dcmi_grant target;
    result = dcmi_gate_ask_view(DCMEM_GATE_fill, view);
    if (result)
        return result;
    if (pattern_bytes == 1 && dcmi_touch_fill(&view, *(const uint8_t *)pattern))
        return DCMEM_OK;
    dcmi_wish wish = {.view = view, .side = DCMEM_SIDE_DEVICE, .operation = DCMI_WRITE};
    result = dcmi_access_open(&target, &wish);
    if (result)
        return result;
    result = dcmi_carry_fill(&target.site, target.bytes, pattern, pattern_bytes, target.tag);
    return close_written(&target, result, true);
}

/* ---- Coherence by hand ---- */

dcmem_result
dcmem_buffer_prefetch(dcmem_view view, dcmem_side side)
{
    DCMI_REQUIRE((unsigned)side <= DCMEM_SIDE_DEVICE);
    dcmi_wish wish = {.view = view, .side = side, .operation = DCMI_READ, .is_by_hand = true};
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_prefetch, view, side);
    return result ? result : dcmi_access_pass(&wish);
}

dcmem_result
dcmem_buffer_synchronize(dcmem_view view)
{
    dcmi_grant host;
    dcmi_wish wish = {.view = view, .side = DCMEM_SIDE_HOST, .operation = DCMI_READ, .is_by_hand = true};
    dcmem_result result = dcmi_gate_ask_view(DCMEM_GATE_synchronize, view);
    if (!result)
        result = dcmi_access_open(&host, &wish);
    if (result)
        return result;
    /* With the first still open nobody writes in between. */
    wish.side = DCMEM_SIDE_DEVICE;
    return close_read(&host, dcmi_access_pass(&wish));
}

dcmem_result
dcmem_buffer_mark_dirty(dcmem_view view, dcmem_side side)
{
    DCMI_REQUIRE((unsigned)side <= DCMEM_SIDE_DEVICE);
    dcmi_wish wish = {.view = view, .side = side, .operation = DCMI_WRITE, .is_by_hand = true, .needs_shadow = true};
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_mark_dirty, view, side);
    return result ? result : dcmi_access_pass(&wish);
}

dcmem_result
dcmem_buffer_invalidate(dcmem_view view, dcmem_side side)
{
    DCMI_REQUIRE((unsigned)side <= DCMEM_SIDE_DEVICE);
    dcmi_wish wish = {.view = view, .side = other_side(side), .operation = DCMI_KEEP, .is_by_hand = true};
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_invalidate, view, side);
    return result ? result : dcmi_access_pass(&wish);
}
