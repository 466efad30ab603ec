/* Buffers on queues: nobody sees bytes before they are there, and nobody waits who need not. */
#include "queue/kit.h"

static dcmem_buffer *
buffer_of(bench_of_queues *it, uint64_t bytes)
{
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_create(&buffer, it->manager, bytes, NULL));
    return buffer;
}

static uint64_t
now(const bench_of_queues *it)
{
    uint64_t ns;
    EXPECT_OK(dcmem_simulated_now(&ns, it->backend));
    return ns;
}

static const dcmem_simulated_device devices[] = {DCMEM_SIMULATED_DEVICE_CPU, DCMEM_SIMULATED_DEVICE_DISCRETE,
                                                 DCMEM_SIMULATED_DEVICE_UNIFIED, DCMEM_SIMULATED_DEVICE_DATACENTRE};

TEST(buffer__filled_on_a_queue_is_read_by_the_host_as_filled)
{
    for (unsigned i = 0; i < 4; i++) {
        bench_of_queues it = bench_open(devices[i], 1);
        dcmem_buffer *buffer = buffer_of(&it, MIB);
        static unsigned char out[MIB];
        EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "\x5a", 1));
        EXPECT_OK(dcmem_buffer_copy_out(out, dcmem_view_whole(buffer), 0));
        for (uint64_t n = 0; n < MIB; n++)
            EXPECT_EQ(out[n], 0x5a);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        bench_close(&it);
    }
}

TEST(buffer__on_one_queue_nobody_waits)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *one = buffer_of(&it, MIB), *two = buffer_of(&it, MIB);
    static unsigned char in[MIB], out[MIB];
    for (uint64_t n = 0; n < MIB; n++)
        in[n] = (unsigned char)(n * 7);
    uint64_t begin = now(&it), value;
    EXPECT_OK(dcmem_buffer_copy_in_on(NULL, it.queues[0], dcmem_view_whole(one), in));
    EXPECT_OK(dcmem_buffer_copy_on(NULL, it.queues[0], dcmem_view_whole(two), dcmem_view_whole(one)));
    EXPECT_OK(dcmem_buffer_copy_out_on(&value, it.queues[0], out, dcmem_view_whole(two)));
    EXPECT_EQ(now(&it), begin);
    EXPECT_EQ(out[1], 0);
    EXPECT_OK(dcmem_queue_wait(it.queues[0], value, UINT64_MAX));
    EXPECT(memcmp(in, out, MIB) == 0);
    EXPECT_OK(dcmem_buffer_destroy_on(one, it.queues[0]));
    EXPECT_OK(dcmem_buffer_destroy_on(two, it.queues[0]));
    bench_close(&it);
}

TEST(buffer__on_a_second_queue_waits_for_the_first)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *buffer = buffer_of(&it, MIB);
    static unsigned char out[MIB];
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "\x11", 1));
    uint64_t value;
    EXPECT_OK(dcmem_buffer_copy_out_on(&value, it.queues[1], out, dcmem_view_whole(buffer)));
    EXPECT_OK(dcmem_queue_wait(it.queues[1], value, UINT64_MAX));
    EXPECT_EQ(out[0], 0x11);
    EXPECT_EQ(out[MIB - 1], 0x11);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

TEST(buffer__read_on_two_queues_waits_for_neither)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *buffer = buffer_of(&it, MIB);
    static unsigned char out[2][MIB];
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "\x22", 1));
    uint64_t begin = now(&it);
    EXPECT_OK(dcmem_buffer_copy_out_on(NULL, it.queues[0], out[0], dcmem_view_whole(buffer)));
    EXPECT_OK(dcmem_buffer_copy_out_on(NULL, it.queues[1], out[1], dcmem_view_whole(buffer)));
    EXPECT_EQ(now(&it), begin);
    EXPECT_OK(dcmem_buffer_destroy(buffer)); /* waits for both */
    EXPECT_GE(now(&it), begin + 1);
    EXPECT_EQ(out[0][5], 0x22);
    EXPECT_EQ(out[1][5], 0x22);
    bench_close(&it);
}

TEST(buffer__parts_that_do_not_overlap_do_not_wait)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *buffer = buffer_of(&it, MIB);
    dcmem_view whole = dcmem_view_whole(buffer), left, right;
    EXPECT_OK(dcmem_view_slice(&left, whole, 0, MIB / 2));
    EXPECT_OK(dcmem_view_slice(&right, whole, MIB / 2, MIB / 2));
    uint64_t begin = now(&it);
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], left, "\x01", 1));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[1], right, "\x02", 1));
    EXPECT_EQ(now(&it), begin);
    unsigned char two[2];
    dcmem_view middle;
    EXPECT_OK(dcmem_view_slice(&middle, whole, MIB / 2 - 1, 2));
    EXPECT_OK(dcmem_buffer_copy_out(two, middle, 0));
    EXPECT_EQ(two[0], 1);
    EXPECT_EQ(two[1], 2);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

/* The program's own work, as a kernel would be: a copy that dcmem does not know of. */
TEST(buffer__access_on_a_queue_is_the_queues_until_its_work_is_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 64 * KIB);
    static unsigned char host[64 * KIB];
    memset(host, 3, sizeof host);
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), host, 0));
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_UPDATE, it.queues[0], 0));
    unsigned char seen = 0;
    EXPECT_OK(dcmem_simulated_read(&seen, it.backend, 0, &access.native, 100, 1));
    EXPECT_EQ(seen, 3);
    dcmem_access host_access;
    EXPECT_RESULT(dcmem_access_begin(&host_access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0),
                  DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_end_on(&access));
    EXPECT_RESULT(dcmem_access_end_on(&access), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_access_end(&access), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_access_begin(&host_access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0));
    EXPECT_OK(dcmem_access_end(&host_access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

TEST(buffer__a_thousand_accesses_on_a_queue_leave_one_entry)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 4096);
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
    for (unsigned n = 0; n < 1000; n++) {
        dcmem_access access;
        EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_UPDATE, it.queues[0], 0));
        EXPECT_OK(dcmem_access_end_on(&access));
    }
    dcmem_buffer_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_buffer_describe(&info, buffer));
    EXPECT_EQ(info.open_writers, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    bench_close(&it);
}

TEST(buffer__destroyed_on_a_queue_keeps_its_memory_until_the_work_is_done)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 2);
    dcmem_buffer *buffer = buffer_of(&it, 64 * KIB);
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "\x33", 1));
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[1]));
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    EXPECT_EQ(stats_of(it.manager).pending_bytes, 64 * KIB);
    EXPECT_EQ(stats_of(it.manager).live_buffers, 0);
    bench_close(&it);
}

TEST(buffer__whose_work_failed_is_not_read_as_if_it_had_not)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 64 * KIB);
    static unsigned char out[64 * KIB];
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "\x44", 1));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    EXPECT(dcmem_buffer_copy_out(out, dcmem_view_whole(buffer), 0) != DCMEM_OK);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT(dcmem_queue_destroy(it.queues[0]) != DCMEM_OK);
    it.queues[0] = NULL;
    bench_close(&it);
}

TEST(buffer__of_another_manager_is_refused_on_a_queue)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    bench_of_queues other = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *ours = buffer_of(&it, 4096), *theirs = buffer_of(&other, 4096);
    dcmem_view here = dcmem_view_whole(ours), there = dcmem_view_whole(theirs);
    dcmem_access access;
    char byte = 0;
    EXPECT_RESULT(dcmem_access_begin_on(&access, there, DCMEM_ACCESS_WRITE, it.queues[0], 0), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_fill_on(NULL, it.queues[0], there, &byte, 1), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_copy_on(NULL, it.queues[0], there, here), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_copy_on(NULL, it.queues[0], here, there), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_copy_in_on(NULL, it.queues[0], there, &byte), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_destroy_on(theirs, it.queues[0]), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_buffer_fill_on(NULL, it.queues[0], here, "abc", 3), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(ours));
    EXPECT_OK(dcmem_buffer_destroy(theirs));
    bench_close(&it);
    bench_close(&other);
}

TEST(buffer__that_is_pinned_is_not_destroyed_on_a_queue)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 4096);
    EXPECT_OK(dcmem_buffer_pin(NULL, buffer));
    EXPECT_RESULT(dcmem_buffer_destroy_on(buffer, it.queues[0]), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    EXPECT_OK(dcmem_buffer_destroy_on(buffer, it.queues[0]));
    bench_close(&it);
}

TEST(buffer__that_was_never_written_is_not_copied_on_a_queue)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *one = buffer_of(&it, 4096), *two = buffer_of(&it, 4096);
    dcmem_view to = dcmem_view_whole(two), from = dcmem_view_whole(one);
    EXPECT_RESULT(dcmem_buffer_copy_on(NULL, it.queues[0], to, from), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_destroy(one));
    EXPECT_OK(dcmem_buffer_destroy(two));
    bench_close(&it);
}

TEST(buffer__access_on_a_queue_of_a_buffer_that_is_gone_is_refused)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 4096);
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_WRITE, it.queues[0], 0));
    EXPECT_OK(dcmem_access_end_on(&access));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_access_end_on(&access), DCMEM_E_STALE_BUFFER);
    bench_close(&it);
}

TEST(buffer__whose_access_is_ended_after_its_queue_failed_is_not_trusted)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    dcmem_buffer *buffer = buffer_of(&it, 4096), *other = buffer_of(&it, MIB);
    dcmem_access access;
    unsigned char out[4096];
    EXPECT_OK(dcmem_access_begin_on(&access, dcmem_view_whole(buffer), DCMEM_ACCESS_WRITE, it.queues[0], 0));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(other), "\x01", 1));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_RESULT(dcmem_buffer_copy_out(out, dcmem_view_whole(buffer), 0), DCMEM_E_UNWRITTEN);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(other));
    EXPECT(dcmem_queue_destroy(it.queues[0]) != DCMEM_OK);
    it.queues[0] = NULL;
    bench_close(&it);
}
