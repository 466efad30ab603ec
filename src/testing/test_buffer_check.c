/* test_buffer_check.c: what tests do to buffers and ask of them beside the program: bits that flip, copies that would
 * be refused. */
#include "test_buffer.h"

/* ---- Corruption ---- */

/* How the memory of one side is reached. */
typedef enum way {
    WAY_NONE,
    WAY_HOST,     /* by its address; the other side's bytes are others */
    WAY_UNIFIED,  /* by its address; written back, for memory that is not coherent */
    WAY_SIMULATED /* as a kernel of the kit's own device reaches it */
} way;

/* Pure. */
static way
way_to(dcmem_side side, bool is_unified, bool is_simulated)
{
    if (is_simulated && (is_unified || side == DCMEM_SIDE_DEVICE))
        return WAY_SIMULATED;
    if (is_unified)
        return WAY_UNIFIED;
    return side == DCMEM_SIDE_HOST ? WAY_HOST : WAY_NONE;
}

typedef struct opened {
    const dcmi_test_buffer *test;
    way how;
    dcmem_access access;
} opened;

/* Opens what can be opened of a range without moving anything. */
static dcmem_result
open_range(opened *out, const dcmi_test_buffer *it, dcmem_side side, uint64_t offset, uint64_t bytes)
{
    dcmem_buffer_info info = {.size = sizeof info};
    dcmem_result result = dcmem_buffer_describe(&info, it->buffer);
    if (result)
        return result;
    if (offset > info.bytes || bytes > info.bytes - offset)
        return dcmem_backend_fail(DCMEM_E_OUT_OF_RANGE, "test", 0, "%llu bytes from byte %llu of %llu",
                                  (unsigned long long)bytes, (unsigned long long)offset,
                                  (unsigned long long)info.bytes);
    if (info.written_bytes > 0 && !(info.current_sides & DCMEM_SIDE_BIT(side)))
        return dcmem_backend_fail(DCMEM_E_WRONG_STATE, "test", 0, "the %s side is not current: its bytes are nobody's",
                                  side == DCMEM_SIDE_HOST ? "host" : "device");
    way how = way_to(side, info.is_unified, it->simulated != NULL);
    if (how == WAY_NONE)
        return dcmem_backend_fail(DCMEM_E_UNSUPPORTED, "test", 0,
                                  "the memory of a device that the kit did not make cannot be reached");

    dcmem_view range = {it->buffer, offset, bytes, 1};
    *out = (opened){.test = it, .how = how};
    return dcmem_access_begin(&out->access, range, how == WAY_SIMULATED ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST,
                              how == WAY_UNIFIED ? DCMEM_ACCESS_UPDATE : DCMEM_ACCESS_READ, 0);
}

static dcmem_result
flip(const opened *it, uint64_t offset, uint8_t mask)
{
    uint8_t *host = it->access.host, byte;
    if (it->how != WAY_SIMULATED) {
        host[offset] ^= mask;
        return DCMEM_OK;
    }
    dcmem_result result = dcmem_simulated_read(&byte, it->test->simulated, 0, &it->access.native, offset, 1);
    if (result)
        return result; /* COVER: an open access is of memory that is acquired */
    byte ^= mask;
    return dcmem_simulated_write(it->test->simulated, 0, &it->access.native, offset, &byte, 1);
}

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Different places that follow from the seed: steps of one width, which meet no place twice. */
static dcmem_result
flip_randomly(const opened *it, uint64_t bytes, uint64_t seed, uint64_t count)
{
    uint64_t bits = bytes * 8, place = dcmi_test_random(seed, 0) % bits, step = dcmi_test_random(seed, 1) % bits;
    while (common_divisor(step, bits) != 1)
        step++;
    for (uint64_t i = 0; i < count; i++) {
        dcmem_result result = flip(it, place / 8, (uint8_t)(1u << place % 8));
        if (result)
            return result; /* COVER: an open access is of memory that is acquired */
        place = (place + step % bits) % bits;
    }
    return DCMEM_OK;
}

static dcmem_result
look_corruptible(dcmi_test_buffer *out, dcmem_test_buffer *test, dcmem_side side)
{
    DCMI_TEST_REQUIRE((unsigned)side <= DCMEM_SIDE_DEVICE);
    dcmem_result result = dcmi_test_look(out, test);
    if (!result && !out->options.allow_corruption)
        result = dcmem_backend_fail(DCMEM_E_WRONG_STATE, "test", 0, "the test buffer's allow_corruption is not set");
    return result;
}

dcmem_result
dcmem_test_buffer_corrupt(dcmem_test_buffer *test, dcmem_side side, uint64_t offset, uint8_t mask)
{
    dcmi_test_buffer it;
    opened open;
    DCMI_TEST_REQUIRE(mask != 0);
    dcmem_result result = look_corruptible(&it, test, side);
    if (result)
        return result;
    dcmi_test_unseen_begin();
    result = open_range(&open, &it, side, offset, 1);
    if (!result) {
        result = flip(&open, 0, mask);
        dcmem_result ended = dcmem_access_end(&open.access);
        result = result ? result : ended;
    }
    dcmi_test_unseen_end();
    return result;
}

dcmem_result
dcmem_test_buffer_corrupt_randomly(dcmem_test_buffer *test, dcmem_side side, uint64_t seed, uint64_t count)
{
    dcmi_test_buffer it;
    opened open;
    DCMI_TEST_REQUIRE(count > 0);
    dcmem_result result = look_corruptible(&it, test, side);
    if (result)
        return result;
    uint64_t bytes = dcmem_view_whole(it.buffer).bytes;
    if (count > bytes * 8)
        return dcmem_backend_fail(DCMEM_E_OUT_OF_RANGE, "test", 0, "%llu bits of %llu bytes", (unsigned long long)count,
                                  (unsigned long long)bytes);
    dcmi_test_unseen_begin();
    result = open_range(&open, &it, side, 0, bytes);
    if (!result) {
        result = flip_randomly(&open, bytes, seed, count);
        dcmem_result ended = dcmem_access_end(&open.access);
        result = result ? result : ended;
    }
    dcmi_test_unseen_end();
    return result;
}

/* ---- Would it be copied? ---- */

/* The view must be one that every call would take. */
static dcmem_result
check_view(dcmem_view view)
{
    dcmem_buffer_info info = {.size = sizeof info};
    DCMI_TEST_REQUIRE(view.element_bytes > 0);
    dcmem_result result = dcmem_buffer_describe(&info, view.buffer);
    if (!result && (view.offset > info.bytes || view.bytes > info.bytes - view.offset))
        result = dcmem_backend_fail(DCMEM_E_STALE_VIEW, "test", 0, "%llu bytes from %llu of a buffer of %llu",
                                    (unsigned long long)view.bytes, (unsigned long long)view.offset,
                                    (unsigned long long)info.bytes);
    return result;
}

/* Elements from element `first` to the end. */
static uint64_t
left_of(dcmem_view view, uint64_t first)
{
    uint64_t all = view.bytes / view.element_bytes;
    return first < all ? all - first : 0;
}

static bool
do_overlap(dcmem_view a, dcmem_view b)
{
    return a.buffer == b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

dcmem_result
dcmem_test_check_copy(uint64_t *out_bytes, dcmem_view to, uint64_t to_first, dcmem_view from, uint64_t from_first,
                      uint64_t count)
{
    dcmem_result result = check_view(to);
    if (!result)
        result = check_view(from);
    if (result)
        return result;
    DCMI_TEST_REQUIRE(to.element_bytes == from.element_bytes);
    if (count == DCMEM_TEST_ALL) {
        uint64_t room = left_of(to, to_first), there = left_of(from, from_first);
        count = room < there ? room : there;
    }
    DCMI_TEST_REQUIRE(count > 0);
    result = dcmem_view_slice(&to, to, to_first, count);
    if (!result)
        result = dcmem_view_slice(&from, from, from_first, count);
    if (result)
        return result;
    DCMI_TEST_REQUIRE(!do_overlap(to, from));
    if (out_bytes)
        *out_bytes = to.bytes;
    return DCMEM_OK;
}
