/* transition_test.c: every call that moves a buffer between states, from every state it can be in: what it answers,
 * which sides are current afterwards, how much was copied for it, and that the newest bytes are still the newest. */
#include "devices.h"

#define BYTES 4096u

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define NEITHER 0u
#define HOST    DCMEM_SIDE_BIT(H)
#define DEVICE  DCMEM_SIDE_BIT(D)
#define BOTH    (HOST | DEVICE)

/* Where a buffer begins. A host side exists where it was ever used. */
#define STATES(X)                                                                                                      \
    X(UNWRITTEN)    /* nothing written, no host side */                                                                \
    X(ON_HOST)      /* written by the host */                                                                          \
    X(ON_DEVICE)    /* written by the device, no host side */                                                          \
    X(BACK_ON_HOST) /* written by the device, then by the host */                                                      \
    X(DEVICE_NEWER) /* written by the host, then by the device */                                                      \
    X(ON_BOTH)      /* both alike */

typedef enum start {
#define X(name) name,
    STATES(X)
#undef X
        START_COUNT
} start;

static const char *const start_names[] = {
#define X(name) #name,
    STATES(X)
#undef X
};

typedef dcmem_result (*operation)(device *on, dcmem_buffer *buffer);

static void
host_writes(dcmem_buffer *buffer, int value)
{
    dcmem_map map;
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
    memset(map.host, value, BYTES);
    EXPECT_OK(dcmem_buffer_unmap(&map));
}

static void
kernel_writes(const device *on, const dcmem_native *native, int value)
{
    char bytes[BYTES];
    memset(bytes, value, sizeof bytes);
    EXPECT_OK(dcmem_simulated_write(on->simulated, 0, native, 0, bytes, BYTES));
}

static void
device_writes(const device *on, dcmem_buffer *buffer, int value)
{
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), D, DCMEM_ACCESS_WRITE, 0));
    kernel_writes(on, &access.native, value);
    EXPECT_OK(dcmem_access_end(&access));
}

/* The newest bytes are 'n', older ones 'o'. */
static dcmem_buffer *
buffer_in(const device *on, start from)
{
    dcmem_buffer *buffer = buffer_of(on->manager, BYTES);
    switch (from) {
    case ON_HOST:
        host_writes(buffer, 'n');
        break;
    case ON_DEVICE:
        device_writes(on, buffer, 'n');
        break;
    case BACK_ON_HOST:
        device_writes(on, buffer, 'o');
        host_writes(buffer, 'n');
        break;
    case DEVICE_NEWER:
        host_writes(buffer, 'o');
        device_writes(on, buffer, 'n');
        break;
    case ON_BOTH:
        host_writes(buffer, 'n');
        EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), D));
        break;
    default:
        break;
    }
    return buffer;
}

/* ---- The calls ---- */

static dcmem_result
ensure_on_host(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_prefetch(dcmem_view_whole(buffer), H);
}

static dcmem_result
ensure_on_device(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_prefetch(dcmem_view_whole(buffer), D);
}

static dcmem_result
synchronize(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_synchronize(dcmem_view_whole(buffer));
}

static dcmem_result
mark_host_dirty(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), H);
}

/* As a kernel does that was given the address before. */
static dcmem_result
mark_device_dirty(device *on, dcmem_buffer *buffer)
{
    dcmem_native native;
    EXPECT_OK(dcmem_buffer_pin(&native, buffer));
    kernel_writes(on, &native, 'n');
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    return dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), D);
}

static dcmem_result
invalidate_host(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_invalidate(dcmem_view_whole(buffer), H);
}

static dcmem_result
invalidate_device(device *on, dcmem_buffer *buffer)
{
    (void)on;
    return dcmem_buffer_invalidate(dcmem_view_whole(buffer), D);
}

/* ---- The table ---- */

typedef struct row {
    operation call;
    start from;
    dcmem_result result;
    unsigned sides;              /* current afterwards */
    unsigned to_device, to_host; /* copies */
} row;

#define UNTOLD 4u /* with nothing written every side may call itself current */

static const row table[] = {
    {ensure_on_host, UNWRITTEN, DCMEM_E_UNWRITTEN, UNTOLD, 0, 0},
    {ensure_on_host, ON_HOST, DCMEM_OK, HOST, 0, 0},
    {ensure_on_host, ON_DEVICE, DCMEM_OK, BOTH, 0, 1},
    {ensure_on_host, BACK_ON_HOST, DCMEM_OK, HOST, 0, 0},
    {ensure_on_host, DEVICE_NEWER, DCMEM_OK, BOTH, 0, 1},
    {ensure_on_host, ON_BOTH, DCMEM_OK, BOTH, 0, 0},

    {ensure_on_device, UNWRITTEN, DCMEM_E_UNWRITTEN, UNTOLD, 0, 0},
    {ensure_on_device, ON_HOST, DCMEM_OK, BOTH, 1, 0},
    {ensure_on_device, ON_DEVICE, DCMEM_OK, DEVICE, 0, 0},
    {ensure_on_device, BACK_ON_HOST, DCMEM_OK, BOTH, 1, 0},
    {ensure_on_device, DEVICE_NEWER, DCMEM_OK, DEVICE, 0, 0},
    {ensure_on_device, ON_BOTH, DCMEM_OK, BOTH, 0, 0},

    {synchronize, UNWRITTEN, DCMEM_E_UNWRITTEN, UNTOLD, 0, 0},
    {synchronize, ON_HOST, DCMEM_OK, BOTH, 1, 0},
    {synchronize, ON_DEVICE, DCMEM_OK, BOTH, 0, 1},
    {synchronize, BACK_ON_HOST, DCMEM_OK, BOTH, 1, 0},
    {synchronize, DEVICE_NEWER, DCMEM_OK, BOTH, 0, 1},
    {synchronize, ON_BOTH, DCMEM_OK, BOTH, 0, 0},

    {mark_host_dirty, UNWRITTEN, DCMEM_E_WRONG_STATE, UNTOLD, 0, 0},
    {mark_host_dirty, ON_HOST, DCMEM_OK, HOST, 0, 0},
    {mark_host_dirty, ON_DEVICE, DCMEM_E_WRONG_STATE, DEVICE, 0, 0},
    {mark_host_dirty, BACK_ON_HOST, DCMEM_OK, HOST, 0, 0},
    {mark_host_dirty, ON_BOTH, DCMEM_OK, HOST, 0, 0},

    /* The device's memory is there from the first on, so what a kernel wrote is never out of reach. */
    {mark_device_dirty, UNWRITTEN, DCMEM_OK, DEVICE, 0, 0},
    {mark_device_dirty, ON_HOST, DCMEM_OK, DEVICE, 0, 0},
    {mark_device_dirty, ON_DEVICE, DCMEM_OK, DEVICE, 0, 0},
    {mark_device_dirty, BACK_ON_HOST, DCMEM_OK, DEVICE, 0, 0},
    {mark_device_dirty, DEVICE_NEWER, DCMEM_OK, DEVICE, 0, 0},
    {mark_device_dirty, ON_BOTH, DCMEM_OK, DEVICE, 0, 0},

    {invalidate_host, UNWRITTEN, DCMEM_OK, UNTOLD, 0, 0},
    {invalidate_host, ON_HOST, DCMEM_OK, DEVICE, 1, 0},
    {invalidate_host, ON_DEVICE, DCMEM_OK, DEVICE, 0, 0},
    {invalidate_host, BACK_ON_HOST, DCMEM_OK, DEVICE, 1, 0},
    {invalidate_host, DEVICE_NEWER, DCMEM_OK, DEVICE, 0, 0},
    {invalidate_host, ON_BOTH, DCMEM_OK, DEVICE, 0, 0},

    {invalidate_device, UNWRITTEN, DCMEM_OK, UNTOLD, 0, 0},
    {invalidate_device, ON_HOST, DCMEM_OK, HOST, 0, 0},
    {invalidate_device, ON_DEVICE, DCMEM_OK, HOST, 0, 1},
    {invalidate_device, BACK_ON_HOST, DCMEM_OK, HOST, 0, 0},
    {invalidate_device, DEVICE_NEWER, DCMEM_OK, HOST, 0, 1},
    {invalidate_device, ON_BOTH, DCMEM_OK, HOST, 0, 0},
};

#define ROWS (sizeof table / sizeof *table)

TEST(transition__every_call_from_every_state_keeps_the_newest_bytes)
{
    char bytes[BYTES];
    for (const row *it = table; it < table + ROWS; it++) {
        device on = device_open(&split_profile);
        dcmem_buffer *buffer = buffer_in(&on, it->from);
        dcmem_stats before = stats_of(on.manager);
        print_message("row %d: %s\n", (int)(it - table), start_names[it->from]);

        EXPECT_RESULT(it->call(&on, buffer), it->result);

        dcmem_stats after = stats_of(on.manager);
        EXPECT_EQ(after.copies_host_to_device - before.copies_host_to_device, it->to_device);
        EXPECT_EQ(after.copies_device_to_host - before.copies_device_to_host, it->to_host);
        EXPECT_EQ(after.copied_host_to_device_bytes - before.copied_host_to_device_bytes, it->to_device * BYTES);
        EXPECT_EQ(after.copied_device_to_host_bytes - before.copied_device_to_host_bytes, it->to_host * BYTES);
        if (it->sides == UNTOLD) {
            EXPECT_EQ(info_of(buffer).written_bytes, 0);
            EXPECT_RESULT(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0), DCMEM_E_UNWRITTEN);
        } else {
            EXPECT_EQ(info_of(buffer).current_sides, it->sides);
            EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
            EXPECT(are_all(bytes, 'n', BYTES));
            for (int side = H; side <= D; side++)
                if (it->sides & DCMEM_SIDE_BIT(side)) {
                    peek_side(bytes, buffer, (dcmem_side)side, 0, BYTES);
                    EXPECT(are_all(bytes, 'n', BYTES));
                }
        }
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        device_close(&on);
    }
}

/* What the host wrote through a kept address; the one row that needs bytes of its own. */
TEST(transition__a_host_side_marked_dirty_over_newer_device_bytes_is_believed)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_in(&on, ON_BOTH);
    dcmem_map map;
    char bytes[BYTES];
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_READ));
    char *kept = map.host;
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    device_writes(&on, buffer, 'd');
    memset(kept, 'k', BYTES);
    EXPECT_OK(dcmem_buffer_mark_dirty(dcmem_view_whole(buffer), H));
    EXPECT_EQ(info_of(buffer).current_sides, HOST);
    EXPECT_OK(dcmem_buffer_synchronize(dcmem_view_whole(buffer)));
    peek_side(bytes, buffer, D, 0, BYTES);
    EXPECT(are_all(bytes, 'k', BYTES));
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* A copy that fails changes no state, whatever the call was. */
TEST(transition__a_call_whose_copy_fails_changes_nothing)
{
    char bytes[BYTES];
    for (const row *it = table; it < table + ROWS; it++) {
        if (it->to_device + it->to_host == 0)
            continue;
        device on = device_open(&split_profile);
        dcmem_buffer *buffer = buffer_in(&on, it->from);
        unsigned sides = info_of(buffer).current_sides;
        EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, UINT64_MAX));
        EXPECT_RESULT(it->call(&on, buffer), DCMEM_E_DRIVER);
        EXPECT_EQ(info_of(buffer).current_sides, sides);
        dcmem_fake_reset(on.fake);
        EXPECT_OK(it->call(&on, buffer));
        EXPECT_EQ(info_of(buffer).current_sides, it->sides);
        EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
        EXPECT(are_all(bytes, 'n', BYTES));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        device_close(&on);
    }
}
