/* batch_test.c: many transfers in one call: in order, joined where they adjoin, and how many are done. */
#include "devices.h"

#include <dcmem/transfer.h>

#define PAGE 100u

static uint64_t
copies_of(device *on)
{
    return dcmem_fake_count_of(on->fake, DCMEM_FAKE_copy).did;
}

static dcmem_transfer
in(dcmem_buffer *to, uint64_t offset, const void *from, uint64_t bytes)
{
    return (dcmem_transfer){.to = view_of(to, offset, bytes), .from_host = from};
}

static dcmem_transfer
out(void *to, dcmem_buffer *from, uint64_t offset, uint64_t bytes)
{
    return (dcmem_transfer){.to_host = to, .from = view_of(from, offset, bytes)};
}

static dcmem_transfer
across(dcmem_buffer *to, uint64_t to_offset, dcmem_buffer *from, uint64_t from_offset, uint64_t bytes)
{
    return (dcmem_transfer){.to = view_of(to, to_offset, bytes), .from = view_of(from, from_offset, bytes)};
}

static void
pattern_put(uint8_t *bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
}

TEST(batch__moves_all_of_it_whatever_the_ends_are)
{
    device on = device_open(&split_profile), other = device_open(&unified_profile);
    dcmem_buffer *a = buffer_of(on.manager, 1000), *b = buffer_of(other.manager, 1000);
    uint8_t host[1000], got[1000] = {0};
    uint64_t done = 99;
    pattern_put(host, sizeof host);
    dcmem_transfer all[] = {
        in(a, 0, host, 300),         in(a, 300, host + 300, 200), in(b, 600, host + 600, 400),
        across(b, 100, a, 100, 50),  across(b, 150, a, 150, 350), out(got + 100, b, 100, 400),
        out(got + 600, b, 600, 400), across(a, 700, a, 100, 100),
    };
    EXPECT_OK(dcmem_transfer_batch(&done, all, 8, NULL));
    EXPECT_EQ(done, 8);
    EXPECT(memcmp(got + 100, host + 100, 400) == 0 && memcmp(got + 600, host + 600, 400) == 0);
    EXPECT(are_all(got, 0, 100) && are_all(got + 500, 0, 100));
    EXPECT_OK(dcmem_buffer_copy_out(got, view_of(a, 700, 100), 0));
    EXPECT(memcmp(got, host + 100, 100) == 0);
    EXPECT_EQ(info_of(a).written_bytes, 600);
    EXPECT_OK(dcmem_transfer_batch(&done, NULL, 0, NULL));
    EXPECT_EQ(done, 0);
    EXPECT_OK(dcmem_transfer_batch(NULL, all, 1, NULL));
    EXPECT_OK(dcmem_buffer_destroy(a));
    EXPECT_OK(dcmem_buffer_destroy(b));
    device_close(&on);
    device_close(&other);
}

TEST(batch__calls_the_driver_once_for_what_adjoins_on_both_ends)
{
    enum { PAGES = 64 };
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, PAGES * PAGE), *b = buffer_of(on.manager, PAGES * PAGE);
    uint8_t host[PAGES * PAGE], got[PAGES * PAGE];
    dcmem_transfer all[PAGES];
    pattern_put(host, sizeof host);
    for (unsigned i = 0; i < PAGES; i++)
        all[i] = in(a, i * PAGE, host + i * PAGE, PAGE);
    EXPECT_OK(dcmem_transfer_batch(NULL, all, PAGES, NULL));
    EXPECT_EQ(copies_of(&on), 1);
    /* Runs of four that go to another place each. */
    for (unsigned i = 0; i < PAGES; i++)
        all[i] = across(b, (i ^ 4) * PAGE, a, i * PAGE, PAGE);
    EXPECT_OK(dcmem_transfer_batch(NULL, all, PAGES, NULL));
    EXPECT_EQ(copies_of(&on), 1 + PAGES / 4);
    for (unsigned i = 0; i < PAGES; i++)
        all[i] = out(got + i * PAGE, b, (i ^ 4) * PAGE, PAGE);
    EXPECT_OK(dcmem_transfer_batch(NULL, all, PAGES, NULL));
    EXPECT_EQ(copies_of(&on), 1 + 2 * (PAGES / 4));
    EXPECT(memcmp(got, host, sizeof host) == 0);
    EXPECT_OK(dcmem_buffer_destroy(a));
    EXPECT_OK(dcmem_buffer_destroy(b));
    device_close(&on);
}

/* What one writes the next reads: a chain through one buffer, which joined would read what is not yet there. */
TEST(batch__goes_in_order_even_where_one_reads_what_another_wrote)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    char bytes[1000];
    dcmem_transfer chain[9];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "-", 1));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 0, 100), "x", 1));
    for (unsigned i = 0; i < 9; i++)
        chain[i] = across(buffer, (i + 1) * 100, buffer, i * 100, 100);
    EXPECT_OK(dcmem_transfer_batch(NULL, chain, 9, NULL));
    EXPECT_EQ(stats_of(on.manager).access_conflicts, 0); /* none was tried in vain */
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT(are_all(bytes, 'x', 1000));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Failures ---- */

/* After one that is right. */
static void
expect_refused(dcmem_buffer *good, const dcmem_transfer *wrong, dcmem_result wanted)
{
    uint8_t bytes[10] = {0};
    uint64_t done = 99;
    dcmem_transfer all[3] = {in(good, 0, bytes, 10), *wrong, *wrong};
    EXPECT_RESULT(dcmem_transfer_batch(&done, all, 3, NULL), wanted);
    EXPECT_EQ(done, 0);
    EXPECT_DETAIL("transfer 1 of 3");
}

TEST(batch__with_one_wrong_argument_does_nothing_at_all)
{
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, 1000), *b = buffer_of(on.manager, 1000), *dead = buffer_of(on.manager, 10);
    uint8_t bytes[1000] = {0};
    EXPECT_OK(dcmem_buffer_destroy(dead));
    dcmem_transfer wrong[] = {
        {.to = view_of(a, 0, 10), .to_host = bytes, .from_host = bytes},
        {.to = view_of(a, 0, 10), .from = view_of(b, 0, 10), .from_host = bytes},
        {.to_host = bytes, .from_host = bytes},
        {.to = view_of(a, 0, 10)},
        {.from = view_of(a, 0, 10)},
        across(a, 0, b, 0, 0),
        {.to = view_of(a, 0, 10), .from = view_of(b, 0, 11)},
        across(a, 5, a, 0, 10),
        in(a, 0, bytes, 0),
        out(bytes, a, 0, 0),
        {.to_host = NULL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_refused(a, &wrong[i], DCMEM_E_INVALID_ARGUMENT);
    expect_refused(a, (dcmem_transfer[]){in(a, 991, bytes, 10)}, DCMEM_E_STALE_VIEW);
    expect_refused(a, (dcmem_transfer[]){in(a, UINT64_MAX, bytes, 10)}, DCMEM_E_STALE_VIEW);
    expect_refused(a, (dcmem_transfer[]){out(bytes, a, 0, 1001)}, DCMEM_E_STALE_VIEW);
    expect_refused(a, (dcmem_transfer[]){in(dead, 0, bytes, 10)}, DCMEM_E_STALE_BUFFER);
    expect_refused(a, (dcmem_transfer[]){across(a, 0, dead, 0, 10)}, DCMEM_E_STALE_BUFFER);
    EXPECT_EQ(info_of(a).written_bytes, 0);
    uint64_t done = 99;
    EXPECT_RESULT(dcmem_transfer_batch(&done, NULL, 1, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(done, 0);
    dcmem_transfer_options options = {.size = 1};
    dcmem_transfer good = in(a, 0, bytes, 10);
    EXPECT_RESULT(dcmem_transfer_batch(NULL, &good, 1, &options), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(a));
    EXPECT_OK(dcmem_buffer_destroy(b));
    device_close(&on);
}

/* They adjoin, and would be moved as one: still it is known which is at fault, and those before it are done. */
TEST(batch__that_meets_unwritten_bytes_has_done_all_before_them_and_no_more)
{
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, 1000), *b = buffer_of(on.manager, 1000);
    dcmem_transfer all[10];
    for (unsigned bad = 0; bad < 10; bad++) {
        uint64_t done = 99;
        dcmem_buffer *from = buffer_of(on.manager, 1000), *to = buffer_of(on.manager, 1000);
        for (unsigned i = 0; i < 10; i++) {
            all[i] = across(to, i * PAGE, from, i * PAGE, PAGE);
            if (i != bad)
                EXPECT_OK(dcmem_buffer_fill(all[i].from, "x", 1));
        }
        EXPECT_RESULT(dcmem_transfer_batch(&done, all, 10, NULL), DCMEM_E_UNWRITTEN);
        EXPECT_EQ(done, bad);
        EXPECT_EQ(info_of(to).written_bytes, bad * PAGE);
        EXPECT_OK(dcmem_buffer_destroy(from));
        EXPECT_OK(dcmem_buffer_destroy(to));
    }
    EXPECT_OK(dcmem_buffer_destroy(a));
    EXPECT_OK(dcmem_buffer_destroy(b));
    device_close(&on);
}

TEST(batch__that_a_driver_fails_says_how_many_were_done_before)
{
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, 1000);
    uint8_t bytes[1000] = {0};
    dcmem_transfer all[] = {in(a, 0, bytes, PAGE), in(a, 300, bytes + 500, PAGE), in(a, 400, bytes + 600, PAGE),
                            in(a, 700, bytes, PAGE)};
    uint64_t done = 99;
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 2, 1));
    EXPECT_RESULT(dcmem_transfer_batch(&done, all, 4, NULL), DCMEM_E_DRIVER);
    EXPECT_EQ(done, 1);
    EXPECT_EQ(state_at(a, 0), DCMI_STATE_DEVICE);
    EXPECT_EQ(state_at(a, 300), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(state_at(a, 700), DCMI_STATE_UNWRITTEN);
    EXPECT_OK(dcmem_transfer_batch(&done, all + done, 3, NULL));
    EXPECT_EQ(done, 3);
    EXPECT_OK(dcmem_buffer_destroy(a));
    device_close(&on);
}

static bool
stop_in_the_middle(void *user, uint64_t done, uint64_t total)
{
    *(uint64_t *)user = done;
    return done < total / 2;
}

TEST(batch__counts_the_bytes_of_all_for_its_progress_and_stops_between)
{
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, 2000);
    uint8_t bytes[1000] = {0};
    uint64_t seen = 0, done = 99;
    dcmem_transfer all[10];
    for (unsigned i = 0; i < 10; i++)
        all[i] = in(a, i * 2 * PAGE, bytes + i * PAGE, PAGE);
    dcmem_transfer_options options = {
        .size = sizeof options, .progress = stop_in_the_middle, .user = &seen, .progress_bytes = 1};
    EXPECT_RESULT(dcmem_transfer_batch(&done, all, 10, &options), DCMEM_E_CANCELLED);
    EXPECT_DETAIL("500 of 1000");
    EXPECT_EQ(seen, 500);
    EXPECT_LE(done, 5);
    EXPECT_GE(done, 4);
    EXPECT_EQ(info_of(a).written_bytes, done * PAGE);
    EXPECT_OK(dcmem_buffer_destroy(a));
    device_close(&on);
}

/* ---- Gates ---- */

typedef struct asked {
    unsigned calls[DCMEM_GATE_OPERATION_COUNT];
    uint64_t bytes;
    unsigned refuses; /* the call with that number, from 1 */
} asked;

static dcmem_result
gate(void *user, const dcmem_gate_call *call)
{
    asked *it = user;
    unsigned sum = 0;
    it->calls[call->operation]++;
    it->bytes += call->bytes;
    for (int i = 0; i < DCMEM_GATE_OPERATION_COUNT; i++)
        sum += it->calls[i];
    return sum == it->refuses ? call->result : DCMEM_OK;
}

TEST(gate__is_asked_about_transfers_as_about_the_copies_that_they_are)
{
    device on = device_open(&split_profile);
    dcmem_buffer *a = buffer_of(on.manager, 1000), *b = buffer_of(on.manager, 1000);
    uint8_t bytes[1000] = {0};
    asked it = {{0}, 0, 0};
    dcmem_layout apart = {.row_pitch = 20};
    dcmem_box box = {.row_bytes = 10, .rows = 5};
    EXPECT_OK(dcmem_manager_set_gate(on.manager, gate, &it));
    EXPECT_OK(dcmem_transfer_in(dcmem_view_whole(a), bytes, NULL));
    EXPECT_OK(dcmem_transfer_copy(dcmem_view_whole(b), dcmem_view_whole(a), NULL));
    EXPECT_OK(dcmem_transfer_out(bytes, dcmem_view_whole(a), NULL));
    EXPECT_EQ(it.bytes, 3000);
    EXPECT_OK(dcmem_transfer_box_in(dcmem_view_whole(a), apart, bytes, apart, box, NULL));
    EXPECT_OK(dcmem_transfer_box_copy(dcmem_view_whole(b), apart, dcmem_view_whole(a), apart, box, NULL));
    EXPECT_OK(dcmem_transfer_box_out(bytes, apart, dcmem_view_whole(a), apart, box, NULL));
    EXPECT_EQ(it.bytes, 3000 + 3 * 50);
    EXPECT(it.calls[DCMEM_GATE_write] == 2 && it.calls[DCMEM_GATE_copy] == 2 && it.calls[DCMEM_GATE_read] == 2);
    /* Each of a batch by itself, though they adjoin; the third is refused. */
    dcmem_transfer all[4];
    uint64_t done = 0;
    for (unsigned i = 0; i < 4; i++)
        all[i] = in(a, i * PAGE, bytes + i * PAGE, PAGE);
    it.refuses = 6 + 3;
    EXPECT_RESULT(dcmem_transfer_batch(&done, all, 4, NULL), DCMEM_E_DRIVER);
    EXPECT_EQ(done, 2);
    EXPECT_OK(dcmem_manager_set_gate(on.manager, NULL, NULL));
    EXPECT_OK(dcmem_buffer_destroy(a));
    EXPECT_OK(dcmem_buffer_destroy(b));
    device_close(&on);
}

TEST(gate__of_test_buffers_and_fault_plans_holds_for_transfers)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_restrictive();
    dcmem_test_buffer *test;
    uint8_t bytes[100] = {0};
    dcmem_layout apart = {.row_pitch = 20};
    dcmem_box box = {.row_bytes = 10, .rows = 5};
    EXPECT_OK(dcmem_test_buffer_create(&test, 100, &options));
    dcmem_view view = dcmem_view_whole(dcmem_test_buffer_buffer(test));
    dcmem_transfer one = {.to = view, .from_host = bytes};
    EXPECT_RESULT(dcmem_transfer_box_in(view, apart, bytes, apart, box, NULL), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_transfer_out(bytes, view, NULL), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_transfer_batch(NULL, &one, 1, NULL), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_test_buffer_destroy(test));

    device on = device_open(&split_profile);
    dcmem_fault_plan *plan;
    dcmem_buffer *buffer = buffer_of(on.manager, 100);
    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.write:size=50..50:nth=2:fail=busy"));
    EXPECT_OK(dcmem_fault_plan_guard(plan, on.manager));
    EXPECT_OK(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, bytes, apart, box, NULL));
    EXPECT_OK(dcmem_transfer_in(dcmem_view_whole(buffer), bytes, NULL));
    EXPECT_RESULT(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, bytes, apart, box, NULL), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_manager_set_gate(on.manager, NULL, NULL));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    device_close(&on);
}
