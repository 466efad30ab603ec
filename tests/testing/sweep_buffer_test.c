/* sweep_buffer_test.c: every function of dcmem/buffer.h, with each of its calls failing in turn: a failed copy changes
 * nothing, so after each failure the bytes are those from before, on every side. */
#include "sweeps.h"

#define BYTES 5000u

static dcmem_view
whole(const subject *me, int i)
{
    return dcmem_view_whole(me->buffers[i]);
}

/* ---- Preparations: where a buffer's bytes are current ---- */

static dcmem_result
prepare_host_current(subject *me)
{
    dcmem_map map;
    dcmem_result result = dcmem_buffer_create(&me->buffers[0], me->manager, BYTES, NULL);
    if (!result)
        result = dcmem_buffer_map(&map, whole(me, 0), DCMEM_MAP_WRITE_DISCARD);
    if (result)
        return result;
    fill_pattern(map.host, BYTES, 1);
    return dcmem_buffer_unmap(&map);
}

static dcmem_result
prepare_device_current(subject *me)
{
    dcmem_result result = prepare_host_current(me);
    return result ? result : dcmem_buffer_invalidate(whole(me, 0), DCMEM_SIDE_HOST);
}

static dcmem_result
prepare_both_current(subject *me)
{
    dcmem_result result = prepare_host_current(me);
    return result ? result : dcmem_buffer_synchronize(whole(me, 0));
}

/* The first half is current on the device only, the second on the host only. */
static dcmem_result
prepare_split(subject *me)
{
    dcmem_view half;
    dcmem_access access;
    dcmem_map map;
    dcmem_result result = prepare_both_current(me);
    if (!result)
        result = dcmem_view_slice(&half, whole(me, 0), BYTES / 2, BYTES / 2);
    if (!result)
        result = dcmem_buffer_map(&map, half, DCMEM_MAP_READ_WRITE);
    if (!result)
        result = dcmem_buffer_unmap(&map);
    if (!result)
        result = dcmem_view_slice(&half, whole(me, 0), 0, BYTES / 2);
    if (!result)
        result = dcmem_access_begin(&access, half, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0);
    return result ? result : dcmem_access_end(&access);
}

static dcmem_result (*const preparations[])(subject *me) = {prepare_host_current, prepare_device_current,
                                                            prepare_both_current, prepare_split};

static const char *
bytes_are(subject *me, int i, unsigned seed)
{
    uint8_t got[BYTES];
    if (dcmem_buffer_copy_out(got, whole(me, i), 0))
        return dcmem_last_detail()->message;
    return has_pattern(got, BYTES, seed) ? NULL : "the buffer's bytes are wrong";
}

static const char *
bytes_are_kept(subject *me)
{
    return bytes_are(me, 0, 1);
}

/* Sweeps an act over a buffer in each state of currency; the last has some of each. */
static void
sweep_from_every_state(subject me)
{
    size_t count = sizeof preparations / sizeof preparations[0];
    for (size_t i = is_thorough ? 0 : count - 1; i < count; i++) {
        me.prepare = preparations[i];
        sweep_over_all(&me);
    }
}

/* ---- Life ---- */

static dcmem_result
create(subject *me)
{
    return dcmem_buffer_create(&me->out.buffer, me->manager, me->bytes, NULL);
}

static void
keep_buffer(subject *me)
{
    me->buffers[1] = me->out.buffer;
}

SWEEP_TEST(sweep__of_buffer_create)
{
    static const uint64_t sizes[] = {1, BYTES, 3 * MIB};
    for (size_t i = 0; i < 3; i++) {
        subject me = {.perform = create, .finish = keep_buffer, .bytes = sizes[i]};
        EXPECT_GE(sweep_over_all(&me), 1);
    }
}

static dcmem_result
create_with_options(subject *me)
{
    dcmem_buffer_options options = {.size = sizeof options,
                                    .kind = DCMEM_KIND_HOST,
                                    .flags = DCMEM_BUFFER_ZEROED | DCMEM_BUFFER_SCRUB,
                                    .alignment = 4096,
                                    .tag = 3};
    return dcmem_buffer_create(&me->out.buffer, me->manager, BYTES, &options);
}

static const char *
created_is_zero(subject *me)
{
    uint8_t got[BYTES];
    memset(got, 1, sizeof got);
    if (dcmem_buffer_copy_out(got, dcmem_view_whole(me->out.buffer), 0))
        return dcmem_last_detail()->message;
    for (unsigned i = 0; i < BYTES; i++)
        if (got[i])
            return "a byte is not zero";
    return NULL;
}

SWEEP_TEST(sweep__of_buffer_create_with_every_option)
{
    subject me = {.perform = create_with_options, .inspect = created_is_zero, .finish = keep_buffer};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
create_zeroed(subject *me)
{
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_ZEROED};
    return dcmem_buffer_create(&me->out.buffer, me->manager, BYTES, &options);
}

SWEEP_TEST(sweep__of_buffer_create_zeroed)
{
    subject me = {.perform = create_zeroed, .inspect = created_is_zero, .finish = keep_buffer};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
create_typed(subject *me)
{
    return dcmem_buffer_create_typed(&me->out.buffer, me->manager, BYTES / 8, 8, NULL);
}

SWEEP_TEST(sweep__of_buffer_create_typed)
{
    subject me = {.perform = create_typed, .finish = keep_buffer};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
create_from(subject *me)
{
    uint8_t data[BYTES];
    fill_pattern(data, BYTES, 1);
    return dcmem_buffer_create_from(&me->out.buffer, me->manager, data, BYTES, NULL);
}

static const char *
created_has_pattern(subject *me)
{
    uint8_t got[BYTES];
    if (dcmem_buffer_copy_out(got, dcmem_view_whole(me->out.buffer), 0))
        return dcmem_last_detail()->message;
    return has_pattern(got, BYTES, 1) ? NULL : "the buffer's bytes are wrong";
}

SWEEP_TEST(sweep__of_buffer_create_from)
{
    subject me = {.perform = create_from, .inspect = created_has_pattern, .finish = keep_buffer};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static uint8_t callers_memory[BYTES] __attribute__((aligned(4096)));

static dcmem_result
import(subject *me)
{
    fill_pattern(callers_memory, BYTES, 1);
    return dcmem_buffer_import(&me->out.buffer, me->manager, callers_memory, BYTES);
}

SWEEP_TEST(sweep__of_buffer_import)
{
    subject me = {.perform = import, .inspect = created_has_pattern, .finish = keep_buffer};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
prepare_import(subject *me)
{
    fill_pattern(callers_memory, BYTES, 1);
    return dcmem_buffer_import(&me->buffers[0], me->manager, callers_memory, BYTES);
}

/* Whatever the driver says, a destroyed buffer is gone; only one in use stays, and one that could not be scrubbed. */
static dcmem_result
destroy(subject *me)
{
    return dcmem_buffer_destroy(me->buffers[0]);
}

static const char *
buffer_is_gone(subject *me)
{
    dcmem_result result = dcmem_buffer_destroy(me->buffers[0]);
    me->buffers[0] = NULL;
    return result == DCMEM_E_STALE_BUFFER ? NULL : "the buffer is not gone";
}

static dcmem_result
prepare_scrubbed(subject *me)
{
    uint8_t data[BYTES];
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_SCRUB};
    fill_pattern(data, BYTES, 1);
    return dcmem_buffer_create_from(&me->buffers[0], me->manager, data, BYTES, &options);
}

SWEEP_TEST(sweep__of_buffer_destroy)
{
    subject me = {.perform = destroy, .inspect = buffer_is_gone, .no_retry = true};
    sweep_from_every_state(me);
    me.prepare = prepare_import;
    EXPECT_GE(sweep_over_all(&me), 1);
    me.prepare = prepare_scrubbed;
    me.no_retry = false;
    sweep_over_all(&me);
}

static dcmem_result
resize(subject *me)
{
    return dcmem_buffer_resize(me->buffers[0], me->bytes);
}

static const char *
prefix_is_kept(subject *me)
{
    uint8_t got[BYTES];
    dcmem_view prefix;
    uint64_t kept = me->bytes < BYTES ? me->bytes : BYTES;
    if (dcmem_view_slice(&prefix, whole(me, 0), 0, kept) || dcmem_buffer_copy_out(got, prefix, 0))
        return dcmem_last_detail()->message;
    return has_pattern(got, kept, 1) ? NULL : "the prefix is not kept";
}

SWEEP_TEST(sweep__of_buffer_resize_keeps_the_prefix_whatever_fails)
{
    static const uint64_t sizes[] = {100, BYTES + 1, 4 * MIB};
    for (size_t i = 0; i < 3; i++) {
        subject me = {.perform = resize, .inspect = prefix_is_kept, .bytes = sizes[i]};
        sweep_from_every_state(me);
    }
}

/* ---- Questions and small changes ---- */

static dcmem_result
describe(subject *me)
{
    dcmem_buffer_info info = {.size = sizeof info};
    dcmem_result result = dcmem_buffer_describe(&info, me->buffers[0]);
    if (!result)
        me->out.buffer_info = info;
    return result;
}

SWEEP_TEST(sweep__of_buffer_describe)
{
    subject me = {.perform = describe, .inspect = bytes_are_kept};
    sweep_from_every_state(me);
}

static dcmem_result
set_tag(subject *me)
{
    return dcmem_buffer_set_tag(me->buffers[0], 5);
}

SWEEP_TEST(sweep__of_buffer_set_tag)
{
    subject me = {.perform = set_tag, .inspect = bytes_are_kept};
    sweep_from_every_state(me);
}

static dcmem_result
pin(subject *me)
{
    dcmem_native native;
    dcmem_result result = dcmem_buffer_pin(&native, me->buffers[0]);
    if (result)
        return result;
    result = dcmem_buffer_unpin(me->buffers[0]);
    if (!result)
        me->out.native = native;
    return result;
}

SWEEP_TEST(sweep__of_buffer_pin_and_unpin)
{
    subject me = {.perform = pin, .inspect = bytes_are_kept};
    sweep_from_every_state(me);
}

static dcmem_result
make_views(subject *me)
{
    dcmem_view typed, slice, cast;
    dcmem_result result = dcmem_view_typed(&typed, me->buffers[0], 4);
    if (!result)
        result = dcmem_view_slice(&slice, typed, 10, 100);
    if (!result)
        result = dcmem_view_cast(&cast, slice, 8);
    if (!result)
        me->out.view = cast;
    return result;
}

SWEEP_TEST(sweep__of_views)
{
    subject me = {.perform = make_views, .inspect = bytes_are_kept};
    sweep_from_every_state(me);
}

/* ---- Access ---- */

#define BEGIN(name, side, mode)                                                                                        \
    static dcmem_result begin_##name(subject *me)                                                                      \
    {                                                                                                                  \
        return dcmem_access_begin(&me->out.access, whole(me, 0), side, mode, 0);                                       \
    }

BEGIN(host_read, DCMEM_SIDE_HOST, DCMEM_ACCESS_READ)
BEGIN(host_update, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE)
BEGIN(device_read, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ)
BEGIN(device_update, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE)

static void
end_access(subject *me)
{
    EXPECT_OK(dcmem_access_end(&me->out.access));
}

static const char *
access_shows_bytes(subject *me)
{
    if (me->out.access.host && !has_pattern(me->out.access.host, BYTES, 1))
        return "the access shows wrong bytes";
    return NULL;
}

SWEEP_TEST(sweep__of_access_begin_to_read_and_update_on_each_side)
{
    dcmem_result (*const acts[])(subject *) = {begin_host_read, begin_host_update, begin_device_read,
                                               begin_device_update};
    for (size_t i = 0; i < 4; i++) {
        subject me = {.perform = acts[i], .inspect = access_shows_bytes, .finish = end_access};
        sweep_from_every_state(me);
    }
}

/* An end that fails leaves the access open: it can be tried again, or aborted, which works whatever fails. */
static dcmem_result
give_up(dcmem_access *access, dcmem_result result)
{
    char message[240];
    snprintf(message, sizeof message, "%s", dcmem_last_detail()->message);
    if (dcmem_access_abort(access))
        return dcmem_backend_fail(DCMEM_E_INTERNAL, "test", 0, "an abort failed");
    return dcmem_backend_fail(result, "test", 0, "%s", message);
}

static dcmem_result
end_or_abort(dcmem_access *access)
{
    dcmem_result result = dcmem_access_end(access);
    return result ? give_up(access, result) : DCMEM_OK;
}

/* A write of the whole: begin, write, end; a failure of either leaves the old bytes or, at the end, tells. */
static dcmem_result
write_whole_on_host(subject *me)
{
    dcmem_access access;
    dcmem_result result = dcmem_access_begin(&access, whole(me, 0), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0);
    if (result)
        return result;
    fill_pattern(access.host, BYTES, 2);
    return end_or_abort(&access);
}

static const char *
bytes_are_new(subject *me)
{
    return bytes_are(me, 0, 2);
}

SWEEP_TEST(sweep__of_a_write_on_the_host)
{
    subject me = {.perform = write_whole_on_host, .inspect = bytes_are_new};
    sweep_from_every_state(me);
}

static dcmem_result
map_and_write(subject *me)
{
    dcmem_map map;
    dcmem_result result = dcmem_buffer_map(&map, whole(me, 0), DCMEM_MAP_WRITE);
    if (result)
        return result;
    fill_pattern(map.host, BYTES, 2);
    result = dcmem_buffer_unmap(&map);
    return result ? give_up(&map.access, result) : DCMEM_OK;
}

SWEEP_TEST(sweep__of_map_and_unmap)
{
    subject me = {.perform = map_and_write, .inspect = bytes_are_new};
    sweep_from_every_state(me);
}

static dcmem_result
begin_and_abort(subject *me)
{
    dcmem_view half;
    dcmem_access access;
    dcmem_result result = dcmem_view_slice(&half, whole(me, 0), 0, 100);
    if (!result)
        result = dcmem_access_begin(&access, half, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0);
    return result ? result : dcmem_access_abort(&access);
}

static const char *
rest_is_kept(subject *me)
{
    uint8_t got[BYTES], all[BYTES];
    dcmem_view rest;
    fill_pattern(all, BYTES, 1);
    if (dcmem_view_slice(&rest, whole(me, 0), 100, BYTES - 100) || dcmem_buffer_copy_out(got, rest, 0))
        return dcmem_last_detail()->message;
    return memcmp(got, all + 100, BYTES - 100) == 0 ? NULL : "bytes outside the aborted range are wrong";
}

SWEEP_TEST(sweep__of_access_abort)
{
    subject me = {.perform = begin_and_abort, .inspect = rest_is_kept, .no_retry = true};
    sweep_from_every_state(me);
}

/* ---- Coherence by hand ---- */

#define BY_HAND(name, call)                                                                                            \
    static dcmem_result name(subject *me)                                                                              \
    {                                                                                                                  \
        return call;                                                                                                   \
    }

BY_HAND(prefetch_to_host, dcmem_buffer_prefetch(whole(me, 0), DCMEM_SIDE_HOST))
BY_HAND(prefetch_to_device, dcmem_buffer_prefetch(whole(me, 0), DCMEM_SIDE_DEVICE))
BY_HAND(synchronize, dcmem_buffer_synchronize(whole(me, 0)))
BY_HAND(invalidate_host, dcmem_buffer_invalidate(whole(me, 0), DCMEM_SIDE_HOST))
BY_HAND(invalidate_device, dcmem_buffer_invalidate(whole(me, 0), DCMEM_SIDE_DEVICE))

SWEEP_TEST(sweep__of_prefetch_synchronize_and_invalidate_never_loses_a_byte)
{
    dcmem_result (*const acts[])(subject *) = {prefetch_to_host, prefetch_to_device, synchronize, invalidate_host,
                                               invalidate_device};
    for (size_t i = 0; i < 5; i++) {
        subject me = {.perform = acts[i], .inspect = bytes_are_kept};
        sweep_from_every_state(me);
    }
}

BY_HAND(mark_host_dirty, dcmem_buffer_mark_dirty(whole(me, 0), DCMEM_SIDE_HOST))
BY_HAND(mark_device_dirty, dcmem_buffer_mark_dirty(whole(me, 0), DCMEM_SIDE_DEVICE))

SWEEP_TEST(sweep__of_mark_dirty)
{
    subject me = {.prepare = prepare_both_current, .perform = mark_host_dirty, .inspect = bytes_are_kept};
    sweep_over_all(&me);
    me.perform = mark_device_dirty;
    sweep_over_all(&me);
}

/* ---- Copy and fill ---- */

static dcmem_result
prepare_second(subject *me, dcmem_result (*prepare)(subject *))
{
    uint8_t data[BYTES];
    dcmem_result result = prepare(me);
    fill_pattern(data, BYTES, 9);
    return result ? result : dcmem_buffer_create_from(&me->buffers[1], me->manager, data, BYTES, NULL);
}

#define SECOND(name)                                                                                                   \
    static dcmem_result prepare_two_##name(subject *me)                                                                \
    {                                                                                                                  \
        return prepare_second(me, prepare_##name);                                                                     \
    }

SECOND(host_current)
SECOND(device_current)
SECOND(both_current)
SECOND(split)

static dcmem_result
copy_to_second(subject *me)
{
    return dcmem_buffer_copy(whole(me, 1), whole(me, 0));
}

static const char *
both_are_equal(subject *me)
{
    const char *fault = bytes_are(me, 0, 1);
    return fault ? fault : bytes_are(me, 1, 1);
}

SWEEP_TEST(sweep__of_buffer_copy)
{
    dcmem_result (*const states[])(subject *) = {prepare_two_host_current, prepare_two_device_current,
                                                 prepare_two_both_current, prepare_two_split};
    for (size_t i = 0; i < 4; i++) {
        subject me = {.prepare = states[i], .perform = copy_to_second, .inspect = both_are_equal};
        sweep_over_all(&me);
    }
}

static dcmem_result
copy_range_to_second(subject *me)
{
    dcmem_view to, from;
    dcmem_result result = dcmem_view_slice(&to, whole(me, 1), 100, 1000);
    if (!result)
        result = dcmem_view_slice(&from, whole(me, 0), 2000, 1000);
    return result ? result : dcmem_buffer_copy(to, from);
}

static const char *
range_was_copied(subject *me)
{
    uint8_t got[BYTES], wanted[BYTES], source[BYTES];
    fill_pattern(source, BYTES, 1);
    fill_pattern(wanted, BYTES, 9);
    memcpy(wanted + 100, source + 2000, 1000);
    if (dcmem_buffer_copy_out(got, whole(me, 1), 0))
        return dcmem_last_detail()->message;
    return memcmp(got, wanted, BYTES) == 0 ? bytes_are_kept(me) : "the range was not copied, or more than it";
}

SWEEP_TEST(sweep__of_a_copy_of_ranges)
{
    subject me = {.prepare = prepare_two_split, .perform = copy_range_to_second, .inspect = range_was_copied};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
copy_in(subject *me)
{
    uint8_t data[BYTES];
    fill_pattern(data, BYTES, 2);
    return dcmem_buffer_copy_in(whole(me, 0), data, 0);
}

SWEEP_TEST(sweep__of_buffer_copy_in)
{
    subject me = {.perform = copy_in, .inspect = bytes_are_new};
    sweep_from_every_state(me);
}

/* Not in `out`: pieces that came before the one that failed are there. */
static uint8_t taken_out[2000];

static dcmem_result
copy_out(subject *me)
{
    dcmem_view part;
    dcmem_result result = dcmem_view_slice(&part, whole(me, 0), 1000, 2000);
    return result ? result : dcmem_buffer_copy_out(taken_out, part, 0);
}

static const char *
part_was_copied_out(subject *me)
{
    uint8_t all[BYTES];
    fill_pattern(all, BYTES, 1);
    return memcmp(taken_out, all + 1000, 2000) == 0 ? bytes_are_kept(me) : "what was copied out is wrong";
}

SWEEP_TEST(sweep__of_buffer_copy_out)
{
    subject me = {.perform = copy_out, .inspect = part_was_copied_out};
    sweep_from_every_state(me);
}

static dcmem_result
fill_middle(subject *me)
{
    dcmem_view middle;
    dcmem_result result = dcmem_view_slice(&middle, whole(me, 0), 600, 1200);
    return result ? result : dcmem_buffer_fill(middle, "abc", 3);
}

static const char *
middle_is_filled(subject *me)
{
    uint8_t got[BYTES], wanted[BYTES];
    fill_pattern(wanted, BYTES, 1);
    for (int i = 0; i < 1200; i++)
        wanted[600 + i] = (uint8_t) "abc"[i % 3];
    if (dcmem_buffer_copy_out(got, whole(me, 0), 0))
        return dcmem_last_detail()->message;
    return memcmp(got, wanted, BYTES) == 0 ? NULL : "the range was not filled, or more than it";
}

SWEEP_TEST(sweep__of_buffer_fill)
{
    subject me = {.perform = fill_middle, .inspect = middle_is_filled};
    sweep_from_every_state(me);
}
