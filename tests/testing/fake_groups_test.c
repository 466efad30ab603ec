/* fake_groups_test.c: a fake before a backend with every group: each function goes through, is counted, fails when that
 * is ordered, and is refused when it names what is not there. */
#include "everything.h"
#include "test.h"

#include <dcmem/testing.h>

#include <unistd.h>

#define KIB 1024ull

static const dcmem_call someone = {.tag = 7, .op_index = 1};

typedef struct rig {
    int complaints;
    char last[200];
    dcmem_fake *fake;
    const dcmem_backend *backend;
    void *device;
} rig;

static void
complain(void *user, const char *message)
{
    rig *it = user;
    it->complaints++;
    snprintf(it->last, sizeof it->last, "%s", message);
}

static void
rig_open(rig *it)
{
    memset(it, 0, sizeof *it);
    dcmem_fake_options options = {.size = sizeof options, .over = everything(), .report = complain, .report_user = it};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    EXPECT_OK(dcmem_fake_create(&it->fake, &options));
    it->backend = dcmem_fake_backend(it->fake);
    EXPECT_OK(dcmem_backend_check(it->backend));
    EXPECT_OK(it->backend->open(&it->device, it->backend, &open));
}

static void
rig_close(rig *it)
{
    it->backend->close(it->device);
    EXPECT_EQ(it->complaints, 0);
    EXPECT_OK(dcmem_fake_destroy(it->fake));
}

static void
expect_complaint(rig *it, const char *part)
{
    EXPECT_EQ(it->complaints, 1);
    if (!strstr(it->last, part))
        fail_msg("\"%s\" does not say \"%s\"", it->last, part);
    it->complaints = 0;
    EXPECT_RESULT(dcmem_fake_verify(it->fake), DCMEM_E_WRONG_STATE);
}

/* The next call of an operation fails; the function behind is not called, or, where it ends something, is. */
static void
fail_next(rig *it, dcmem_fake_operation operation)
{
    EXPECT_OK(dcmem_fake_fail(it->fake, operation, DCMEM_E_DEVICE_LOST, 1, 1));
}

static void
expect_count(rig *it, dcmem_fake_operation operation, uint64_t tried, uint64_t called)
{
    dcmem_fake_count count = dcmem_fake_count_of(it->fake, operation);
    EXPECT_EQ(count.tried, tried);
    EXPECT_EQ(count.called, called);
}

TEST(queues__go_through_fail_on_command_and_must_be_open)
{
    rig it;
    dcmem_extent extent;
    dcmem_acquire request = {.bytes = 64 * KIB};
    void *queue = NULL;
    uint64_t value = 0;
    char bytes[16] = "queued";
    rig_open(&it);
    EXPECT_OK(it.backend->acquire(&extent, it.device, &someone, &request));
    dcmem_place to = {.extent = &extent}, from = {.host = bytes}, back = {.host = bytes + 8};

    fail_next(&it, DCMEM_FAKE_queue_open);
    EXPECT_RESULT(it.backend->queue_open(&queue, it.device, NULL), DCMEM_E_DEVICE_LOST);
    EXPECT(!queue);
    EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));

    fail_next(&it, DCMEM_FAKE_enqueue_copy);
    EXPECT_RESULT(it.backend->enqueue_copy(&value, it.device, queue, &someone, &to, &from, 8), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->enqueue_copy(&value, it.device, queue, &someone, &to, &from, 8));
    EXPECT_OK(it.backend->enqueue_copy(&value, it.device, queue, &someone, &back, &to, 8));
    EXPECT_OK(dcmem_simulated_run(everything()));
    assert_string_equal(bytes + 8, "queued");
    fail_next(&it, DCMEM_FAKE_enqueue_fill);
    EXPECT_RESULT(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 8, "x", 1), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 8, "x", 1));
    fail_next(&it, DCMEM_FAKE_queue_mark);
    EXPECT_RESULT(it.backend->queue_mark(&value, it.device, queue), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->queue_mark(&value, it.device, queue));
    fail_next(&it, DCMEM_FAKE_queue_wait);
    EXPECT_RESULT(it.backend->queue_wait(it.device, queue, value, 0), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->queue_wait(it.device, queue, value, UINT64_MAX));
    EXPECT_EQ(it.backend->queue_completed(it.device, queue), value);
    expect_count(&it, DCMEM_FAKE_enqueue_copy, 3, 2);
    expect_count(&it, DCMEM_FAKE_queue_completed, 1, 1);

    EXPECT_RESULT(it.backend->enqueue_copy(&value, it.device, queue, &someone, &to, &to, 8), DCMEM_E_CONTRACT);
    expect_complaint(&it, "overlap");
    EXPECT_RESULT(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 9, "ab", 2), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not a multiple");

    void *stranger = &it;
    EXPECT_RESULT(it.backend->enqueue_copy(&value, it.device, stranger, &someone, &to, &from, 8), DCMEM_E_CONTRACT);
    expect_complaint(&it, "names no open queue");
    EXPECT_RESULT(it.backend->enqueue_fill(&value, it.device, stranger, &someone, &to, 8, "x", 1), DCMEM_E_CONTRACT);
    expect_complaint(&it, "names no open queue");
    EXPECT_RESULT(it.backend->queue_mark(&value, it.device, stranger), DCMEM_E_CONTRACT);
    expect_complaint(&it, "names no open queue");
    EXPECT_RESULT(it.backend->queue_wait(it.device, stranger, 1, 0), DCMEM_E_CONTRACT);
    expect_complaint(&it, "names no open queue");

    it.backend->queue_close(it.device, queue);
    EXPECT_OK(it.backend->release(it.device, &someone, &extent));
    rig_close(&it);
}

TEST(queues__that_are_still_open_at_the_end_are_reported)
{
    rig it;
    void *queue, *behind = everything_opened();
    rig_open(&it);
    EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));
    it.backend->close(it.device);
    EXPECT_EQ(it.complaints, 1);
    EXPECT(strstr(it.last, "a queue"));
    everything()->queue_close(behind, queue);
    everything()->close(behind);
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(virtual_memory__goes_through_fails_on_command_and_is_booked)
{
    rig it;
    uint64_t address = 1, page = 1;
    void *behind = everything_opened();
    rig_open(&it);
    fail_next(&it, DCMEM_FAKE_reserve);
    EXPECT_RESULT(it.backend->reserve(&address, it.device, 64 * KIB, 0), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(address, 1);
    EXPECT_OK(it.backend->reserve(&address, it.device, 64 * KIB, 0));
    fail_next(&it, DCMEM_FAKE_page_create);
    EXPECT_RESULT(it.backend->page_create(&page, it.device, &someone, 16 * KIB, DCMEM_KIND_DEVICE),
                  DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->page_create(&page, it.device, &someone, 16 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 16 * KIB);
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 1);
    fail_next(&it, DCMEM_FAKE_page_map);
    EXPECT_RESULT(it.backend->page_map(it.device, &someone, address, page, 0, 16 * KIB), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->page_map(it.device, &someone, address, page, 0, 16 * KIB));

    /* A driver that forgets a page, and maps another there: the fake has not forgotten it. */
    EXPECT_OK(everything()->page_unmap(behind, &someone, address, 16 * KIB));
    EXPECT_OK(it.backend->page_map(it.device, &someone, address, page, 0, 16 * KIB));
    expect_complaint(&it, "maps a page where one is");

    /* Mapped pages are memory like any other. */
    dcmem_extent seen = {.object = address, .bytes = 64 * KIB, .host = (void *)(uintptr_t)address};
    dcmem_place to = {.extent = &seen, .offset = 100};
    EXPECT_OK(it.backend->fill(it.device, &someone, &to, 8, "x", 1));
    to.offset = 16 * KIB - 4;
    EXPECT_RESULT(it.backend->fill(it.device, &someone, &to, 8, "x", 1), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not acquired");

    EXPECT_RESULT(it.backend->page_unmap(it.device, &someone, address + 16 * KIB, 4 * KIB), DCMEM_E_CONTRACT);
    expect_complaint(&it, "unmaps where no page is");
    fail_next(&it, DCMEM_FAKE_page_unmap);
    EXPECT_RESULT(it.backend->page_unmap(it.device, &someone, address, 16 * KIB), DCMEM_E_DEVICE_LOST);
    fail_next(&it, DCMEM_FAKE_page_destroy);
    EXPECT_RESULT(it.backend->page_destroy(it.device, &someone, page), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->page_destroy(it.device, &someone, page), DCMEM_E_CONTRACT);
    expect_complaint(&it, "ends what is not there");
    fail_next(&it, DCMEM_FAKE_unreserve);
    EXPECT_RESULT(it.backend->unreserve(it.device, address, 64 * KIB), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->unreserve(it.device, address, 64 * KIB), DCMEM_E_CONTRACT);
    expect_complaint(&it, "ends what is not there");
    expect_count(&it, DCMEM_FAKE_page_unmap, 2, 1);
    everything()->close(behind);
    rig_close(&it);
}

TEST(virtual_memory__that_is_left_mapped_is_reported)
{
    rig it;
    uint64_t address, page;
    void *behind = everything_opened();
    rig_open(&it);
    EXPECT_OK(it.backend->reserve(&address, it.device, 64 * KIB, 0));
    EXPECT_OK(it.backend->page_create(&page, it.device, &someone, 16 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(it.backend->page_map(it.device, &someone, address, page, 0, 16 * KIB));
    EXPECT_OK(everything()->page_unmap(behind, &someone, address, 16 * KIB)); /* or it could not be destroyed */
    EXPECT_OK(it.backend->page_destroy(it.device, &someone, page));
    it.backend->close(it.device);
    EXPECT_EQ(it.complaints, 1);
    EXPECT(strstr(it.last, "a mapped page"));
    EXPECT_OK(everything()->unreserve(behind, address, 64 * KIB));
    everything()->close(behind);
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(peers__are_devices_of_the_same_fake)
{
    rig it;
    dcmem_open open = {.size = sizeof open, .index = 1, .numa_node = -1};
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_extent here, there;
    void *peer;
    bool can = false;
    rig_open(&it);
    EXPECT_OK(it.backend->open(&peer, it.backend, &open));
    EXPECT_OK(it.backend->acquire(&here, it.device, &someone, &request));
    EXPECT_OK(it.backend->acquire(&there, peer, &someone, &request));
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 2);
    dcmem_place to = {.extent = &here}, from = {.extent = &there}, wrong = {.extent = &here, .offset = 64 * KIB - 4};

    fail_next(&it, DCMEM_FAKE_peer_can);
    EXPECT_RESULT(it.backend->peer_can(&can, it.device, peer), DCMEM_E_DEVICE_LOST);
    EXPECT(!can);
    EXPECT_OK(it.backend->peer_can(&can, it.device, peer));
    EXPECT(can);
    fail_next(&it, DCMEM_FAKE_peer_enable);
    EXPECT_RESULT(it.backend->peer_enable(it.device, peer), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->peer_enable(it.device, peer));
    memset(there.host, 'p', 8);
    EXPECT_OK(it.backend->peer_copy(it.device, &someone, &to, peer, &from, 8));
    EXPECT_EQ(((char *)here.host)[7], 'p');
    fail_next(&it, DCMEM_FAKE_peer_copy);
    EXPECT_RESULT(it.backend->peer_copy(it.device, &someone, &to, peer, &from, 8), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->peer_copy(it.device, &someone, &wrong, peer, &from, 8), DCMEM_E_CONTRACT);
    expect_complaint(&it, "leaves its extent");
    EXPECT_RESULT(it.backend->peer_copy(it.device, &someone, &to, peer, &wrong, 4), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not acquired");
    fail_next(&it, DCMEM_FAKE_peer_disable);
    EXPECT_RESULT(it.backend->peer_disable(it.device, peer), DCMEM_E_DEVICE_LOST);
    expect_count(&it, DCMEM_FAKE_peer_disable, 1, 1);

    EXPECT_OK(it.backend->release(it.device, &someone, &here));
    EXPECT_OK(it.backend->release(peer, &someone, &there));
    it.backend->close(peer);
    rig_close(&it);
}

TEST(shared_memory__is_an_extent_until_it_is_released)
{
    rig it;
    dcmem_acquire request = {.bytes = 64 * KIB, .flags = DCMEM_ACQUIRE_SHARED};
    dcmem_extent extent, shared = {.bytes = 99};
    dcmem_ipc_handle handle;
    rig_open(&it);
    EXPECT_OK(it.backend->acquire(&extent, it.device, &someone, &request));
    fail_next(&it, DCMEM_FAKE_ipc_export);
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &extent), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->ipc_export(&handle, it.device, &someone, &extent));
    fail_next(&it, DCMEM_FAKE_ipc_import);
    EXPECT_RESULT(it.backend->ipc_import(&shared, it.device, &someone, &handle), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(shared.bytes, 99);
    EXPECT_OK(it.backend->ipc_import(&shared, it.device, &someone, &handle));
    close(handle.fd);
    EXPECT_EQ(dcmem_fake_live_extents(it.fake), 2);
    EXPECT_EQ(dcmem_fake_live_bytes(it.fake), 64 * KIB);
    EXPECT_OK(it.backend->release(it.device, &someone, &shared));
    EXPECT_OK(it.backend->release(it.device, &someone, &extent));
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &extent), DCMEM_E_CONTRACT);
    expect_complaint(&it, "not acquired");
    rig_close(&it);
}

TEST(any__fails_each_operation_with_what_fits_it_where_a_gate_says_so)
{
    EXPECT_EQ(DCMEM_FAKE_any, DCMEM_FAKE_OPERATION_COUNT);
    rig it;
    uint32_t count = 77;
    rig_open(&it);
    fail_next(&it, DCMEM_FAKE_count);
    EXPECT_RESULT(it.backend->count(&count, it.backend), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(count, 77);
    EXPECT_OK(it.backend->count(&count, it.backend));
    EXPECT_EQ(count, 2);
    rig_close(&it);
}
