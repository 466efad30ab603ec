/* page_test.c: virtual memory of simulated devices: pages are paid for, maps are whole, what is wrong is refused. */
#include "test.h"

#include <dcmem/testing.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call someone = {.op_index = 1};

typedef struct rig {
    dcmem_backend *backend;
    void *device;
    uint64_t address; /* 1 MiB of them */
    uint64_t page;    /* of 256 KiB */
} rig;

static rig
rig_of(uint32_t flags)
{
    rig it = {0};
    const dcmem_simulated_profile profile = {.size = sizeof profile,
                                             .flags = flags,
                                             .total_bytes = 1 * MIB,
                                             .largest_allocation_bytes = 512 * KIB,
                                             .host_bytes = 128 * KIB,
                                             .page_bytes = 64 * KIB};
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    EXPECT_OK(dcmem_simulated_create(&it.backend, &profile, 1));
    EXPECT_OK(it.backend->open(&it.device, it.backend, &options));
    EXPECT_OK(it.backend->reserve(&it.address, it.device, 1 * MIB, 0));
    EXPECT_OK(it.backend->page_create(&it.page, it.device, &someone, 256 * KIB, DCMEM_KIND_DEVICE));
    return it;
}

static void
rig_close(rig *it)
{
    EXPECT_OK(it->backend->page_destroy(it->device, &someone, it->page));
    EXPECT_OK(it->backend->unreserve(it->device, it->address, 1 * MIB));
    it->backend->close(it->device);
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static dcmem_result
map(rig *it, uint64_t offset, uint64_t page_offset, uint64_t bytes)
{
    return it->backend->page_map(it->device, &someone, it->address + offset, it->page, page_offset, bytes);
}

static dcmem_result
unmap(rig *it, uint64_t offset, uint64_t bytes)
{
    return it->backend->page_unmap(it->device, &someone, it->address + offset, bytes);
}

static dcmem_simulated_account
account_of(rig *it)
{
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, it->backend, 0));
    return account;
}

static dcmem_result
create(rig *it, uint64_t *out, uint64_t bytes, dcmem_kind kind)
{
    return it->backend->page_create(out, it->device, &someone, bytes, kind);
}

TEST(page__is_paid_for_to_the_byte_when_it_is_made)
{
    rig it = rig_of(0);
    uint64_t page[4], other = 42;
    EXPECT_EQ(account_of(&it).live_bytes, 256 * KIB);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(create(&it, &page[i], 256 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(create(&it, &other, 64 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_OK(create(&it, &page[3], 128 * KIB, DCMEM_KIND_PINNED));
    EXPECT_RESULT(create(&it, &other, 64 * KIB, DCMEM_KIND_HOST), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(other, 42);

    dcmem_simulated_account account = account_of(&it);
    EXPECT_EQ(account.live_bytes, 1 * MIB);
    EXPECT_EQ(account.live_host_bytes, 128 * KIB);
    EXPECT_EQ(account.peak_bytes, 1 * MIB);
    EXPECT_EQ(account.refusals, 2);
    EXPECT_EQ(account.reserved_bytes, 1 * MIB);
    for (int i = 0; i < 4; i++)
        EXPECT_OK(it.backend->page_destroy(it.device, &someone, page[i]));
    EXPECT_EQ(account_of(&it).live_bytes, 256 * KIB);
    rig_close(&it);
}

TEST(page__that_there_cannot_be_is_refused)
{
    rig it = rig_of(0);
    uint64_t out = 42;
    EXPECT_RESULT(create(&it, &out, 0, DCMEM_KIND_DEVICE), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(create(&it, &out, 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(create(&it, &out, 576 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(create(&it, &out, 64 * KIB, DCMEM_KIND_MANAGED), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(create(&it, &out, 64 * KIB, (dcmem_kind)77), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(out, 42);
    EXPECT_RESULT(it.backend->page_destroy(it.device, &someone, 12345), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(map(&it, 0, 0, 256 * KIB));
    EXPECT_RESULT(it.backend->page_destroy(it.device, &someone, it.page), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("mapped 1 times");
    EXPECT_OK(unmap(&it, 0, 256 * KIB));
    rig_close(&it);
}

TEST(reservation__that_there_cannot_be_is_refused)
{
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    uint64_t out = 42;
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 4 * KIB, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 64 * KIB, 3 * 64 * KIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 64 * KIB, 1ull << 50), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 1ull << 50, 0), DCMEM_E_TOO_LARGE);
    EXPECT_EQ(out, 42);
    EXPECT_RESULT(it.backend->unreserve(it.device, it.address + 64 * KIB, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(it.backend->unreserve(it.device, it.address, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(it.backend->unreserve(it.device, 64 * KIB, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(map(&it, 512 * KIB, 0, 64 * KIB));
    EXPECT_RESULT(it.backend->unreserve(it.device, it.address, 1 * MIB), DCMEM_E_WRONG_STATE);
    EXPECT_OK(unmap(&it, 512 * KIB, 64 * KIB));
    rig_close(&it);
}

TEST(map__that_there_cannot_be_is_refused)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED);
    EXPECT_RESULT(map(&it, 0, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(map(&it, 4 * KIB, 0, 64 * KIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(map(&it, 0, 4 * KIB, 64 * KIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(map(&it, 0, 0, 4 * KIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(map(&it, 0, 64 * KIB, 256 * KIB), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(map(&it, 0, 512 * KIB, 64 * KIB), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(map(&it, 1 * MIB, 0, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(map(&it, 960 * KIB, 0, 128 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(it.backend->page_map(it.device, &someone, it.address, 12345, 0, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(map(&it, 128 * KIB, 0, 128 * KIB));
    EXPECT_RESULT(map(&it, 64 * KIB, 0, 128 * KIB), DCMEM_E_WRONG_STATE);
    EXPECT_EQ(account_of(&it).page_maps, 1);

    EXPECT_RESULT(unmap(&it, 128 * KIB, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(unmap(&it, 128 * KIB, UINT64_MAX), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(unmap(&it, 128 * KIB, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap(&it, 192 * KIB, 64 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap(&it, 64 * KIB, 192 * KIB), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(unmap(&it, 128 * KIB, 128 * KIB));
    rig_close(&it);
}

TEST(map__of_unified_memory_is_seen_at_its_address)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED);
    EXPECT_OK(map(&it, 0, 0, 128 * KIB));
    EXPECT_OK(map(&it, 128 * KIB, 0, 128 * KIB));
    char *here = (char *)(uintptr_t)it.address, *there = here + 128 * KIB;
    strcpy(here, "one memory");
    assert_string_equal(there, "one memory");

    dcmem_extent both = {.object = it.address, .address = it.address, .bytes = 256 * KIB, .host = here};
    void *host = NULL;
    EXPECT_OK(it.backend->map(&host, it.device, &someone, &both, 128 * KIB + 4, 6, DCMEM_MAP_READ_BIT));
    EXPECT(host == there + 4);
    EXPECT_RESULT(it.backend->unmap(it.device, &someone, &both, here + 256 * KIB), DCMEM_E_WRONG_STATE);
    EXPECT_OK(it.backend->unmap(it.device, &someone, &both, host));
    EXPECT_OK(unmap(&it, 0, 256 * KIB));
    rig_close(&it);
}

TEST(map__of_memory_that_the_host_can_map_is_mapped_page_by_page)
{
    rig it = rig_of(DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT);
    uint64_t page;
    void *host = NULL;
    EXPECT_OK(create(&it, &page, 64 * KIB, DCMEM_KIND_HOST_VISIBLE));
    EXPECT_OK(it.backend->page_map(it.device, &someone, it.address, page, 0, 64 * KIB));
    EXPECT_OK(it.backend->page_map(it.device, &someone, it.address + 64 * KIB, page, 0, 64 * KIB));
    EXPECT_OK(map(&it, 128 * KIB, 0, 64 * KIB));
    dcmem_extent all = {
        .object = it.address, .address = it.address, .bytes = 192 * KIB, .kind = DCMEM_KIND_HOST_VISIBLE};
    EXPECT_OK(it.backend->map(&host, it.device, &someone, &all, 64 * KIB + 8, 8, DCMEM_MAP_WRITE_BIT));
    memcpy(host, "written", 8);
    char found[8] = "";
    dcmem_place from = {.extent = &all, .offset = 8}, to = {.host = found};
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &from, 8));
    EXPECT_EQ(found[0], 0);
    EXPECT_OK(it.backend->flush(it.device, &someone, &all, 64 * KIB + 8, 8));
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &from, 8));
    assert_string_equal(found, "written");
    EXPECT_OK(it.backend->unmap(it.device, &someone, &all, host));

    EXPECT_RESULT(it.backend->map(&host, it.device, &someone, &all, 60 * KIB, 8 * KIB, DCMEM_MAP_READ_BIT),
                  DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(it.backend->map(&host, it.device, &someone, &all, 128 * KIB, 8, DCMEM_MAP_READ_BIT),
                  DCMEM_E_UNSUPPORTED);
    all.object += 192 * KIB;
    EXPECT_RESULT(it.backend->unmap(it.device, &someone, &all, host), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(unmap(&it, 0, 192 * KIB));
    EXPECT_OK(it.backend->page_destroy(it.device, &someone, page));
    rig_close(&it);
}

TEST(copy__through_an_address_without_a_page_is_refused)
{
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    char byte = 1;
    EXPECT_OK(map(&it, 0, 0, 64 * KIB));
    dcmem_extent two = {.object = it.address, .address = it.address, .bytes = 128 * KIB};
    dcmem_place to = {.extent = &two, .offset = 64 * KIB - 1}, from = {.host = &byte};
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &from, 1));
    to.offset++;
    EXPECT_RESULT(it.backend->copy(it.device, &someone, &to, &from, 1), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(unmap(&it, 0, 64 * KIB));
    to.offset = 0;
    EXPECT_RESULT(it.backend->copy(it.device, &someone, &to, &from, 1), DCMEM_E_UNKNOWN_ADDRESS);
    rig_close(&it);
}

TEST(device__that_is_lost_makes_no_pages_but_takes_them_back)
{
    rig it = rig_of(0);
    uint64_t out = 42;
    EXPECT_OK(map(&it, 0, 0, 64 * KIB));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_RESULT(it.backend->reserve(&out, it.device, 64 * KIB, 0), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(create(&it, &out, 64 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(map(&it, 64 * KIB, 0, 64 * KIB), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(out, 42);
    EXPECT_OK(unmap(&it, 0, 64 * KIB));
    rig_close(&it);
}

TEST(destroy__tells_of_pages_and_reservations_that_were_left)
{
    static const uint32_t flags[] = {0, DCMEM_SIMULATED_ADDRESSED, DCMEM_SIMULATED_UNIFIED};
    for (int i = 0; i < 3; i++) {
        rig it = rig_of(flags[i]);
        EXPECT_OK(map(&it, 0, 0, 64 * KIB));
        EXPECT_OK(map(&it, 64 * KIB, 0, 64 * KIB));
        it.backend->close(it.device);
        EXPECT_RESULT(dcmem_simulated_destroy(it.backend), DCMEM_E_LEAKED);
    }
}
