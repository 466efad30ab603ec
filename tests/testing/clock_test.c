/* clock_test.c: simulated devices in time: what is late, by how much, and in which order; the same in each run. */
#include "test.h"
#include "testing/link.h"

#include <dcmem/testing.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call someone = {.op_index = 1};

/* A device with a memory of its own, whose links move 1 byte in 1, 2 and 4 ns. */
typedef struct rig {
    dcmem_backend *backend;
    void *device;
    dcmem_extent one, two;
} rig;

static const dcmem_simulated_profile slow = {.size = sizeof slow,
                                             .flags = DCMEM_SIMULATED_HOST_VISIBLE,
                                             .total_bytes = 16 * MIB,
                                             .to_device = {1000000000, 100},
                                             .to_host = {500000000, 10},
                                             .within = {250000000, 1}};

static dcmem_extent
acquired(const dcmem_backend *backend, void *device, uint64_t bytes, dcmem_kind kind)
{
    dcmem_extent extent;
    dcmem_acquire request = {.bytes = bytes, .kind = kind};
    EXPECT_OK(backend->acquire(&extent, device, &someone, &request));
    return extent;
}

static void *
opened(dcmem_backend *backend, uint32_t index)
{
    void *device = NULL;
    dcmem_open options = {.size = sizeof options, .index = index, .numa_node = -1};
    EXPECT_OK(backend->open(&device, backend, &options));
    return device;
}

static rig
rig_open(void)
{
    rig it;
    EXPECT_OK(dcmem_simulated_create(&it.backend, &slow, 1));
    it.device = opened(it.backend, 0);
    it.one = acquired(it.backend, it.device, 64 * KIB, DCMEM_KIND_DEVICE);
    it.two = acquired(it.backend, it.device, 64 * KIB, DCMEM_KIND_DEVICE);
    return it;
}

static void
rig_close(rig *it)
{
    EXPECT_OK(it->backend->release(it->device, &someone, &it->one));
    EXPECT_OK(it->backend->release(it->device, &someone, &it->two));
    it->backend->close(it->device);
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static uint64_t
now_of(const rig *it)
{
    uint64_t now = UINT64_MAX;
    EXPECT_OK(dcmem_simulated_now(&now, it->backend));
    return now;
}

static void
advance(const rig *it, uint64_t ns)
{
    EXPECT_OK(dcmem_simulated_advance(it->backend, ns));
}

static void *
queue_open(const rig *it)
{
    void *queue = NULL;
    EXPECT_OK(it->backend->queue_open(&queue, it->device, NULL));
    return queue;
}

static dcmem_place
at(const dcmem_extent *extent)
{
    return (dcmem_place){.extent = extent};
}

static dcmem_place
here(void *host)
{
    return (dcmem_place){.host = host};
}

static uint64_t
enqueue(const rig *it, void *queue, dcmem_place to, dcmem_place from, uint64_t bytes)
{
    uint64_t value = 0;
    EXPECT_OK(it->backend->enqueue_copy(&value, it->device, queue, &someone, &to, &from, bytes));
    return value;
}

static uint64_t
enqueue_fill(const rig *it, void *queue, dcmem_place to, uint64_t bytes, uint8_t byte)
{
    uint64_t value = 0;
    EXPECT_OK(it->backend->enqueue_fill(&value, it->device, queue, &someone, &to, bytes, &byte, 1));
    return value;
}

static uint64_t
completed(const rig *it, void *queue)
{
    return it->backend->queue_completed(it->device, queue);
}

static dcmem_result
wait_for(const rig *it, void *queue, uint64_t value, uint64_t timeout_ns)
{
    return it->backend->queue_wait(it->device, queue, value, timeout_ns);
}

/* As a kernel sees it, which takes no time. */
static uint8_t
first_byte(const rig *it, const dcmem_extent *extent)
{
    uint8_t byte;
    dcmem_native native = {.object = extent->object, .bytes = extent->bytes};
    EXPECT_OK(dcmem_simulated_read(&byte, it->backend, 0, &native, 0, 1));
    return byte;
}

/* ---- Links ---- */

TEST(link__takes_the_bytes_share_of_a_second_rounded_up)
{
    const dcmem_simulated_link pcie = {25000000000ull, 10000}, slowest = {1000, 0};
    EXPECT_EQ(dcmi_link_transfer_ns(&pcie, 25), 1);
    EXPECT_EQ(dcmi_link_transfer_ns(&pcie, 26), 2);
    EXPECT_EQ(dcmi_link_transfer_ns(&pcie, 1), 1);
    EXPECT_EQ(dcmi_link_transfer_ns(&pcie, 25000000000ull), 1000000000);
    EXPECT(dcmi_link_transfer_ns(&slowest, UINT64_MAX) == DCMI_NEVER - 1);
    EXPECT(dcmi_later(DCMI_NEVER - 5, 100) == DCMI_NEVER - 1);
    EXPECT(dcmi_later(5, 100) == 105);
}

TEST(link__is_busy_for_the_transfer_and_not_for_the_latency)
{
    dcmi_link link = {.rate = {1000000000, 70}};
    const dcmi_route route = {.first = &link};
    EXPECT_EQ(dcmi_route_book(&route, 1000, 500), 1570);
    EXPECT_EQ(dcmi_route_book(&route, 1000, 500), 2070);
    EXPECT_EQ(dcmi_route_book(&route, 9000, 500), 9570);
    EXPECT_EQ(link.bytes, 1500);
}

TEST(route__over_two_links_is_as_slow_as_the_slower_and_waits_for_both)
{
    dcmi_link fast = {.rate = {1000000000, 70}}, slower = {.rate = {500000000, 10}, .busy_until_ns = 3000};
    const dcmi_route route = {&fast, &slower}, none = {0};
    EXPECT_EQ(dcmi_route_book(&route, 1000, 500), 4070);
    EXPECT_EQ(fast.busy_until_ns, 4000);
    EXPECT_EQ(slower.busy_until_ns, 4000);
    EXPECT_EQ(dcmi_route_book(&none, 1000, 500), 1000);
}

/* ---- The clock ---- */

TEST(clock__stands_still_until_time_passes)
{
    rig it = rig_open();
    EXPECT_EQ(now_of(&it), 0);
    EXPECT_EQ(now_of(&it), 0);
    advance(&it, 12345);
    EXPECT_EQ(now_of(&it), 12345);
    advance(&it, 0);
    EXPECT_EQ(now_of(&it), 12345);
    rig_close(&it);
}

TEST(clock__refuses_what_is_no_backend_and_what_it_has_no_room_for)
{
    rig it = rig_open();
    uint64_t now = 42;
    const dcmem_backend *cpu = dcmem_backend_find("cpu");
    EXPECT_RESULT(dcmem_simulated_now(NULL, it.backend), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_now(&now, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_now(&now, cpu), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_advance(cpu, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_run(cpu), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_set_real_time(cpu, true), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(now, 42);
    advance(&it, 1);
    EXPECT_RESULT(dcmem_simulated_advance(it.backend, UINT64_MAX), DCMEM_E_OUT_OF_RANGE);
    EXPECT_EQ(now_of(&it), 1);
    rig_close(&it);
}

TEST(clock__is_one_for_all_devices_of_a_backend)
{
    const dcmem_simulated_profile both[] = {slow, slow};
    rig it;
    uint8_t bytes[1000] = {7};
    EXPECT_OK(dcmem_simulated_create(&it.backend, both, 2));
    it.device = opened(it.backend, 0);
    void *second = opened(it.backend, 1), *queue = queue_open(&it);
    it.one = acquired(it.backend, it.device, 64 * KIB, DCMEM_KIND_DEVICE);
    it.two = acquired(it.backend, second, 64 * KIB, DCMEM_KIND_DEVICE);
    const dcmem_place to = at(&it.two), from = here(bytes);
    uint64_t value = enqueue(&it, queue, at(&it.one), from, 200);
    EXPECT_EQ(completed(&it, queue), 0);
    EXPECT_OK(it.backend->copy(second, &someone, &to, &from, 1000));
    EXPECT_EQ(now_of(&it), 1100);
    EXPECT_EQ(completed(&it, queue), value);
    it.backend->queue_close(it.device, queue);
    EXPECT_OK(it.backend->release(it.device, &someone, &it.one));
    EXPECT_OK(it.backend->release(second, &someone, &it.two));
    it.backend->close(it.device);
    it.backend->close(second);
    EXPECT_OK(dcmem_simulated_destroy(it.backend));
}

/* ---- Blocking work ---- */

TEST(copy__lets_the_time_of_its_link_pass)
{
    rig it = rig_open();
    uint8_t bytes[1000] = {7};
    dcmem_extent pinned = acquired(it.backend, it.device, 4096, DCMEM_KIND_PINNED);
    dcmem_place one = at(&it.one), two = at(&it.two), apart = at(&pinned), host = here(bytes), more = here(bytes + 500);

    EXPECT_OK(it.backend->copy(it.device, &someone, &one, &host, 1000));
    EXPECT_EQ(now_of(&it), 1100);
    EXPECT_OK(it.backend->copy(it.device, &someone, &host, &one, 1000));
    EXPECT_EQ(now_of(&it), 1100 + 2010);
    EXPECT_OK(it.backend->copy(it.device, &someone, &two, &one, 1000));
    EXPECT_EQ(now_of(&it), 1100 + 2010 + 4001);
    EXPECT_OK(it.backend->fill(it.device, &someone, &two, 1000, "x", 1));
    EXPECT_EQ(now_of(&it), 1100 + 2010 + 4001 + 4001);
    EXPECT_OK(it.backend->copy(it.device, &someone, &host, &more, 500));
    EXPECT_OK(it.backend->copy(it.device, &someone, &apart, &host, 1000));
    EXPECT_OK(it.backend->fill(it.device, &someone, &apart, 1000, "x", 1));
    EXPECT_EQ(now_of(&it), 1100 + 2010 + 4001 + 4001);
    EXPECT_OK(it.backend->copy(it.device, &someone, &one, &apart, 1000));
    EXPECT_EQ(now_of(&it), 1100 + 2010 + 4001 + 4001 + 1100);

    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, it.backend, 0));
    EXPECT_EQ(account.to_device_bytes, 2000);
    EXPECT_EQ(account.to_host_bytes, 1000);
    EXPECT_EQ(account.within_bytes, 2000);
    EXPECT_OK(it.backend->release(it.device, &someone, &pinned));
    rig_close(&it);
}

/* ---- Queues ---- */

TEST(queue__moves_the_bytes_at_the_end_and_not_before)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t bytes[1000] = {1};
    uint64_t value = enqueue(&it, queue, at(&it.one), here(bytes), 1000);
    EXPECT_EQ(value, 1);
    advance(&it, 1099);
    EXPECT_EQ(completed(&it, queue), 0);
    EXPECT_EQ(first_byte(&it, &it.one), 0);
    bytes[0] = 2; /* too early: the device has not read it yet */
    advance(&it, 1);
    EXPECT_EQ(completed(&it, queue), value);
    EXPECT_EQ(first_byte(&it, &it.one), 2);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(queue__lets_work_wait_for_the_work_before_it)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t bytes[1000] = {1};
    uint64_t in = enqueue(&it, queue, at(&it.one), here(bytes), 1000);
    uint64_t over = enqueue(&it, queue, at(&it.two), at(&it.one), 1000);
    uint64_t fill = enqueue_fill(&it, queue, at(&it.one), 1000, 9);
    advance(&it, 1100);
    EXPECT_EQ(completed(&it, queue), in);
    advance(&it, 4000);
    EXPECT_EQ(completed(&it, queue), in);
    EXPECT_EQ(first_byte(&it, &it.two), 0);
    advance(&it, 1);
    EXPECT_EQ(completed(&it, queue), over);
    EXPECT_EQ(first_byte(&it, &it.two), 1);
    EXPECT_EQ(first_byte(&it, &it.one), 1);
    EXPECT_OK(dcmem_simulated_run(it.backend));
    EXPECT_EQ(now_of(&it), 1100 + 4001 + 4001);
    EXPECT_EQ(completed(&it, queue), fill);
    EXPECT_EQ(first_byte(&it, &it.one), 9);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(queues__overlap_on_two_links_and_wait_for_each_other_on_one)
{
    rig it = rig_open();
    void *up = queue_open(&it), *down = queue_open(&it), *more = queue_open(&it);
    uint8_t in[1000] = {1}, out[1000];
    uint64_t upload = enqueue(&it, up, at(&it.one), here(in), 1000);
    uint64_t download = enqueue(&it, down, here(out), at(&it.two), 500);
    uint64_t second = enqueue(&it, more, at(&it.two), here(in), 1000);
    advance(&it, 1010); /* 500 bytes at 2 ns each and 10 ns */
    EXPECT_EQ(completed(&it, down), download);
    EXPECT_EQ(completed(&it, up), 0);
    advance(&it, 90);
    EXPECT_EQ(completed(&it, up), upload);
    EXPECT_EQ(completed(&it, more), 0);
    advance(&it, 999);
    EXPECT_EQ(completed(&it, more), 0);
    advance(&it, 1); /* its bytes followed the first one's; the latencies overlap */
    EXPECT_EQ(completed(&it, more), second);
    it.backend->queue_close(it.device, up);
    it.backend->queue_close(it.device, down);
    it.backend->queue_close(it.device, more);
    rig_close(&it);
}

/* 1,000 bytes up and 545 down both take 1,100 ns. */
TEST(queues__what_ends_at_the_same_time_ends_in_the_order_of_its_beginning)
{
    for (int is_up_first = 0; is_up_first < 2; is_up_first++) {
        rig it = rig_open();
        void *up = queue_open(&it), *down = queue_open(&it);
        uint8_t in[1000] = {7}, out[545] = {0};
        if (is_up_first)
            enqueue(&it, up, at(&it.one), here(in), 1000);
        enqueue(&it, down, here(out), at(&it.one), 545);
        if (!is_up_first)
            enqueue(&it, up, at(&it.one), here(in), 1000);
        advance(&it, 1100);
        EXPECT_EQ(completed(&it, up) + completed(&it, down), 2);
        EXPECT_EQ(out[0], is_up_first ? 7 : 0);
        it.backend->queue_close(it.device, up);
        it.backend->queue_close(it.device, down);
        rig_close(&it);
    }
}

TEST(queue__work_that_stays_on_the_host_takes_no_time)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t from[8] = "at once", to[8] = "";
    EXPECT_EQ(completed(&it, queue), 0);
    uint64_t value = enqueue(&it, queue, here(to), here(from), 8);
    EXPECT_EQ(completed(&it, queue), value);
    EXPECT_EQ(memcmp(to, from, 8), 0);
    EXPECT_EQ(now_of(&it), 0);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(wait__lets_pass_what_is_needed_and_no_more)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t bytes[1000] = {1};
    uint64_t first = enqueue(&it, queue, at(&it.one), here(bytes), 1000);
    uint64_t last = enqueue(&it, queue, at(&it.two), here(bytes), 1000);
    EXPECT_OK(wait_for(&it, queue, 0, 0));
    EXPECT_OK(wait_for(&it, queue, first, UINT64_MAX));
    EXPECT_EQ(now_of(&it), 1100);
    EXPECT_OK(wait_for(&it, queue, first, 0));
    EXPECT_RESULT(wait_for(&it, queue, last, 0), DCMEM_E_TIMEOUT);
    EXPECT_EQ(now_of(&it), 1100);
    EXPECT_RESULT(wait_for(&it, queue, last, 50), DCMEM_E_TIMEOUT);
    EXPECT_DETAIL("the timeline stands at 1");
    EXPECT_EQ(now_of(&it), 1150);
    EXPECT_RESULT(wait_for(&it, queue, last + 1, UINT64_MAX), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(wait_for(&it, queue, last, 1050));
    EXPECT_EQ(now_of(&it), 2200);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(queue__that_is_closed_lets_its_work_end)
{
    rig it = rig_open();
    void *queue = queue_open(&it), *other = queue_open(&it);
    uint8_t bytes[1000] = {1};
    enqueue(&it, queue, at(&it.one), here(bytes), 1000);
    enqueue(&it, queue, at(&it.two), at(&it.one), 1000);
    uint64_t late = enqueue_fill(&it, other, at(&it.one), 64 * KIB, 1);
    it.backend->queue_close(it.device, queue);
    EXPECT_EQ(first_byte(&it, &it.two), 1);
    EXPECT_OK(wait_for(&it, other, late, UINT64_MAX));
    it.backend->queue_close(it.device, other);
    rig_close(&it);
}

TEST(work__whose_memory_was_released_fails_and_the_queue_goes_on)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t bytes[1000] = {1};
    dcmem_extent gone = acquired(it.backend, it.device, 4096, DCMEM_KIND_DEVICE);
    uint64_t good = enqueue(&it, queue, at(&it.one), here(bytes), 1000);
    uint64_t bad = enqueue(&it, queue, at(&gone), here(bytes), 1000);
    uint64_t after = enqueue(&it, queue, at(&it.two), here(bytes), 1000);
    EXPECT_OK(it.backend->release(it.device, &someone, &gone));
    EXPECT_OK(wait_for(&it, queue, good, UINT64_MAX));
    EXPECT_RESULT(wait_for(&it, queue, bad, UINT64_MAX), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_DETAIL("not acquired");
    EXPECT_RESULT(wait_for(&it, queue, after, UINT64_MAX), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(wait_for(&it, queue, good, UINT64_MAX));
    EXPECT_EQ(first_byte(&it, &it.two), 1);

    /* A later failure does not hide the first. */
    uint64_t lost = enqueue(&it, queue, at(&it.two), here(bytes), 1000);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_RESULT(wait_for(&it, queue, lost, UINT64_MAX), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(device__that_is_lost_completes_its_work_undone)
{
    rig it = rig_open();
    void *queue = queue_open(&it), *idle = queue_open(&it);
    uint8_t bytes[1000] = {1};
    dcmem_place to = at(&it.one), from = here(bytes);
    uint64_t value = enqueue(&it, queue, to, from, 1000), mark = 42;
    uint64_t last = enqueue(&it, queue, to, from, 1000);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_EQ(completed(&it, queue), last);
    EXPECT_RESULT(wait_for(&it, queue, value, UINT64_MAX), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->enqueue_copy(&value, it.device, queue, &someone, &to, &from, 1), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 1, "x", 1), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->queue_mark(&mark, it.device, queue), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(mark, 42);
    void *none = NULL;
    EXPECT_RESULT(it.backend->queue_open(&none, it.device, NULL), DCMEM_E_DEVICE_LOST);
    EXPECT(!none);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    EXPECT_EQ(first_byte(&it, &it.one), 0);
    EXPECT_RESULT(wait_for(&it, queue, last, UINT64_MAX), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(wait_for(&it, idle, enqueue(&it, idle, to, from, 1), UINT64_MAX));
    it.backend->queue_close(it.device, queue);
    it.backend->queue_close(it.device, idle);
    rig_close(&it);
}

TEST(queue__calls_that_name_no_queue_or_no_pattern_are_refused)
{
    rig it = rig_open();
    void *queue = queue_open(&it), *stranger = &it;
    uint64_t value = 42;
    uint8_t byte = 1;
    dcmem_native_context native = {.size = sizeof native, .queue = 1};
    dcmem_place to = at(&it.one), from = here(&byte);
    EXPECT_RESULT(it.backend->queue_open(&stranger, it.device, &native), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(it.backend->enqueue_copy(&value, it.device, stranger, &someone, &to, &from, 1),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 32, "", 32),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->queue_mark(&value, it.device, stranger), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->queue_wait(it.device, stranger, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("not an open queue");
    it.backend->queue_close(it.device, stranger);
    EXPECT_EQ(value, 42);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(destroy__tells_of_queues_that_were_left_open)
{
    const dcmem_simulated_profile both[] = {slow, slow};
    rig it;
    uint8_t byte = 1;
    EXPECT_OK(dcmem_simulated_create(&it.backend, both, 2));
    it.device = opened(it.backend, 1);
    it.one = acquired(it.backend, it.device, 4096, DCMEM_KIND_DEVICE);
    void *queue = queue_open(&it);
    enqueue(&it, queue, at(&it.one), here(&byte), 1);
    EXPECT_OK(it.backend->release(it.device, &someone, &it.one));
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, it.backend, 1));
    EXPECT_EQ(account.waiting, 1);
    it.backend->close(it.device);
    EXPECT_RESULT(dcmem_simulated_destroy(it.backend), DCMEM_E_LEAKED);
    EXPECT_DETAIL("queues");
}

/* ---- Again and again ---- */

enum { QUEUES = 4, STEPS = 300 };

/* A run of its own choices: what it saw, at each step. */
static void
run(uint64_t seen[STEPS], unsigned seed)
{
    rig it = rig_open();
    void *queues[QUEUES];
    uint64_t last[QUEUES] = {0};
    uint8_t *bytes = calloc(1, 8 * KIB);
    for (int i = 0; i < QUEUES; i++)
        queues[i] = queue_open(&it);
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned which = (seed >> 16) % QUEUES, size = 1 + (seed >> 8) % 8000;
        switch ((seed >> 24) % 5) {
        case 0:
            last[which] = enqueue(&it, queues[which], at(&it.one), here(bytes), size);
            break;
        case 1:
            last[which] = enqueue(&it, queues[which], here(bytes), at(&it.two), size);
            break;
        case 2:
            last[which] = enqueue(&it, queues[which], at(&it.two), at(&it.one), size);
            break;
        case 3:
            last[which] = enqueue_fill(&it, queues[which], at(&it.one), size, (uint8_t)seed);
            break;
        default:
            if (seed & 1)
                EXPECT_OK(wait_for(&it, queues[which], last[which], UINT64_MAX));
            else
                advance(&it, size);
        }
        seen[step] = now_of(&it) * 31 + first_byte(&it, &it.two) * 7 + bytes[0];
        for (int i = 0; i < QUEUES; i++)
            seen[step] = seen[step] * 1000003 + completed(&it, queues[i]);
    }
    for (int i = 0; i < QUEUES; i++)
        it.backend->queue_close(it.device, queues[i]);
    free(bytes);
    rig_close(&it);
}

TEST(clock__gives_the_same_run_for_the_same_calls)
{
    uint64_t first[STEPS], again[STEPS], other[STEPS];
    for (unsigned seed = 1; seed <= 10; seed++) {
        run(first, seed);
        run(again, seed);
        run(other, seed + 100);
        EXPECT_EQ(memcmp(first, again, sizeof first), 0);
        EXPECT(memcmp(first, other, sizeof first) != 0);
    }
}

/* ---- Threads ---- */

typedef struct worker {
    const rig *it;
    unsigned seed;
    const char *complaint;
} worker;

static void *
use_queue(void *user)
{
    worker *me = user;
    const dcmem_backend *backend = me->it->backend;
    void *device = me->it->device, *queue;
    uint8_t wrote[256], found[256];
    dcmem_place there = {.extent = &me->it->one, .offset = me->seed * 1024}, to = here(found), from = here(wrote);
    if (backend->queue_open(&queue, device, NULL))
        return NULL;
    for (int i = 0; i < 100 && !me->complaint; i++) {
        uint64_t value = 0;
        memset(wrote, (int)(me->seed * 50 + (unsigned)i), sizeof wrote);
        if (backend->enqueue_copy(&value, device, queue, &someone, &there, &from, 256) ||
            backend->enqueue_copy(&value, device, queue, &someone, &to, &there, 256))
            me->complaint = "enqueue failed";
        else if (i % 3 == 0)
            while (backend->queue_completed(device, queue) < value)
                dcmem_simulated_advance(me->it->backend, 100);
        else if (backend->queue_wait(device, queue, value, UINT64_MAX))
            me->complaint = "wait failed";
        if (!me->complaint && memcmp(wrote, found, sizeof wrote) != 0)
            me->complaint = "other bytes";
    }
    backend->queue_close(device, queue);
    return NULL;
}

static void
use_queues_in_threads(const rig *it)
{
    enum { COUNT = 4 };
    pthread_t threads[COUNT];
    worker workers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        workers[i] = (worker){.it = it, .seed = i};
        EXPECT_EQ(pthread_create(&threads[i], NULL, use_queue, &workers[i]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < COUNT; i++)
        if (workers[i].complaint)
            fail_msg("thread %d: %s", i, workers[i].complaint);
}

TEST(clock__is_for_several_threads)
{
    rig it = rig_open();
    use_queues_in_threads(&it);
    rig_close(&it);
}

typedef struct forked {
    const rig *it;
    atomic_bool is_over;
} forked;

static uint8_t moved[256]; /* what the child's clock moves, too: no thread's stack is there any more */

static void *
keep_clock_busy(void *user)
{
    forked *self = user;
    const dcmem_backend *backend = self->it->backend;
    void *device = self->it->device, *queue;
    dcmem_place there = {.extent = &self->it->one}, from = here(moved);
    if (backend->queue_open(&queue, device, NULL))
        return NULL;
    for (uint64_t value, now; !atomic_load(&self->is_over);) {
        (void)backend->enqueue_copy(&value, device, queue, &someone, &there, &from, 256);
        (void)dcmem_simulated_advance(self->it->backend, 1000);
        (void)dcmem_simulated_now(&now, self->it->backend);
        (void)backend->copy(device, &someone, &there, &from, 256);
    }
    backend->queue_close(device, queue);
    return NULL;
}

/* 0 where time passes and bytes move there as they did. */
static int
live_on(const rig *it)
{
    uint64_t before = 0, after = 0;
    uint8_t bytes[16];
    dcmem_place to = here(bytes), from = at(&it->two);
    dcmem_result result = dcmem_simulated_now(&before, it->backend);
    if (!result)
        result = dcmem_simulated_advance(it->backend, 1000000);
    if (!result)
        result = it->backend->copy(it->device, &someone, &to, &from, sizeof bytes);
    if (!result)
        result = dcmem_simulated_now(&after, it->backend);
    return result || after < before + 1000000;
}

TEST(clock__goes_on_in_the_child_of_a_fork)
{
    SKIP_UNDER_TOOLS();
    rig it = rig_open();
    dcmem_backend *others[2];
    pthread_t threads[2];
    uint8_t zeros[16] = {0};
    forked self = {.it = &it};
    for (int i = 0; i < 2; i++)
        EXPECT_OK(dcmem_simulated_create(&others[i], &slow, 1));
    EXPECT_OK(dcmem_simulated_destroy(others[0])); /* from among the others */
    dcmem_place to = at(&it.two), from = here(zeros);
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &from, sizeof zeros));
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, keep_clock_busy, &self), 0);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            alarm(20); /* one that waits for ever is told from one that is slow */
            _exit(live_on(&it));
        }
        int status;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&self.is_over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    EXPECT_OK(dcmem_simulated_destroy(others[1]));
    rig_close(&it);
}

/* ---- Real time ---- */

static uint64_t
system_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

TEST(real_time__makes_its_caller_wait_so_long)
{
    rig it = rig_open();
    void *queue = queue_open(&it);
    uint8_t *bytes = calloc(1, 64 * KIB);
    bytes[0] = 3;
    advance(&it, 7);
    EXPECT_OK(dcmem_simulated_set_real_time(it.backend, true));
    EXPECT_RESULT(dcmem_simulated_advance(it.backend, 1), DCMEM_E_WRONG_STATE);

    /* 65,536 bytes at 1, 2 and 4 ns, and their latencies. */
    uint64_t began = system_ns();
    dcmem_place to = at(&it.one), from = here(bytes);
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &from, 64 * KIB));
    EXPECT(system_ns() - began >= 65636);
    uint64_t value = enqueue(&it, queue, at(&it.two), at(&it.one), 64 * KIB);
    EXPECT_OK(wait_for(&it, queue, value, UINT64_MAX));
    EXPECT(system_ns() - began >= 65636 + 262145);
    EXPECT_EQ(first_byte(&it, &it.two), 3);

    value = enqueue(&it, queue, here(bytes), at(&it.two), 64 * KIB);
    EXPECT_RESULT(wait_for(&it, queue, value, 0), DCMEM_E_TIMEOUT);
    while (completed(&it, queue) < value)
        continue;
    EXPECT(system_ns() - began >= 65636 + 262145 + 131082);
    EXPECT(now_of(&it) >= 7 + 65636 + 262145 + 131082);
    enqueue(&it, queue, at(&it.one), here(bytes), 64 * KIB);
    EXPECT_OK(dcmem_simulated_run(it.backend));
    it.backend->queue_close(it.device, queue);

    EXPECT_OK(dcmem_simulated_set_real_time(it.backend, false));
    uint64_t now = now_of(&it);
    EXPECT_EQ(now_of(&it), now);
    free(bytes);
    rig_close(&it);
}

TEST(real_time__is_for_several_threads)
{
    rig it = rig_open();
    EXPECT_OK(dcmem_simulated_set_real_time(it.backend, true));
    use_queues_in_threads(&it);
    rig_close(&it);
}
