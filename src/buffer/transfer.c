/* transfer.c: bytes into buffers, out of them and between them, and coherence by hand.
 *
 * A transfer is accesses (access.c) around copies (carry.c): it conflicts as accesses do, it reads each byte where that
 * is current, without bringing anything anywhere first, and it writes one side, which is then the only current one. */
#include "base/size.h"
#include "buffer/access.h"
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

/* From wherever each byte is current to `to`. */
static dcmem_result
carry_out(const dcmi_site *to, const dcmi_grant *from, dcmem_side preferred, dcmi_errand *errand)
{
    uint64_t piece;
    dcmem_result result = DCMEM_OK;
    if (from->is_one)
        return dcmi_carry(to, &from->site, from->bytes, errand);
    for (uint64_t offset = 0; offset < from->bytes && !result; offset += piece) {
        dcmi_site site, at = dcmi_site_at(to, offset);
        result = dcmi_access_look(&site, &piece, from, offset, preferred);
        if (!result)
            result = dcmi_carry(&at, &site, piece, errand);
    }
    return result;
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

/* Bytes that are in the host's memory go to the host's side, if there is one; others stay with the devices. */
static dcmem_result
open_nearest(dcmi_grant *out, dcmem_view to, const dcmi_grant *from)
{
    unsigned sides;
    dcmem_result result = dcmi_access_sides(&sides, from);
    if (result)
        return result; /* COVER: the manager ends meanwhile, which its header forbids */
    dcmi_wish wish = {.view = to, .side = DCMEM_SIDE_DEVICE, .operation = DCMI_WRITE};
    wish.is_near = from->site.is_host || !(sides & DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE));
    return dcmi_access_open(out, &wish);
}

dcmem_result
dcmem_buffer_copy(dcmem_view to, dcmem_view from)
{
    dcmem_result result = dcmi_transfer_check(to, from);
    if (!result && dcmi_has_gates())
        result = dcmi_gate_ask_buffers(DCMEM_GATE_copy, to, from.buffer, 0);
    if (result)
        return result;
    dcmi_grant source, target;
    dcmi_wish look = {.view = from, .side = DCMEM_SIDE_DEVICE, .operation = DCMI_LOOK};
    result = dcmi_access_open(&source, &look);
    if (result)
        return result;
    result = open_nearest(&target, to, &source);
    if (!result) {
        dcmi_errand errand = {.tag = source.tag};
        result = carry_out(&target.site, &source, target.side, &errand);
        result = close_written(&target, result, errand.has_begun);
    }
    return close_read(&source, result);
}

dcmem_result
dcmem_buffer_copy_in(dcmem_view to, const void *from, uint64_t timeout_ns)
{
    DCMI_REQUIRE(from);
    dcmi_grant target;
    dcmem_result result = dcmi_gate_ask_view(DCMEM_GATE_write, to);
    if (result)
        return result;
    if (dcmi_touch_write(to, from))
        return DCMEM_OK;
    dcmi_wish wish = {.view = to, .operation = DCMI_WRITE, .timeout_ns = timeout_ns, .is_near = true};
    result = dcmi_access_open(&target, &wish);
    if (result)
        return result;
    dcmi_errand errand = {.tag = target.tag};
    dcmi_site site = dcmi_site_host(from);
    result = dcmi_carry(&target.site, &site, target.bytes, &errand);
    return close_written(&target, result, errand.has_begun);
}

dcmem_result
dcmem_buffer_copy_out(void *to, dcmem_view from, uint64_t timeout_ns)
{
    DCMI_REQUIRE(to);
    dcmi_grant source;
    dcmem_result result = dcmi_gate_ask_view(DCMEM_GATE_read, from);
    if (result)
        return result;
    if (dcmi_touch_read(to, from))
        return DCMEM_OK;
    dcmi_wish look = {.view = from, .side = DCMEM_SIDE_DEVICE, .operation = DCMI_LOOK, .timeout_ns = timeout_ns};
    result = dcmi_access_open(&source, &look);
    if (result)
        return result;
    dcmi_errand errand = {.tag = source.tag};
    dcmi_site site = dcmi_site_host(to);
    result = carry_out(&site, &source, DCMEM_SIDE_HOST, &errand);
    return close_read(&source, result);
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
    if (pattern_bytes == 1 && dcmi_touch_fill(view, *(const uint8_t *)pattern))
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
