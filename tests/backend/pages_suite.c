/* pages_suite.c: the clauses of VIRTUAL. */
#include "contract_kit.h"

static uint64_t
page_bytes(const contract_device *device)
{
    return device->info.page_bytes ? device->info.page_bytes : device->info.granularity;
}

static uint64_t
whole_pages(const contract_device *device, uint64_t bytes)
{
    uint64_t unit = page_bytes(device);
    return (bytes + unit - 1) / unit * unit;
}

static uint64_t
reserve(contract_device *device, uint64_t bytes, uint64_t alignment)
{
    uint64_t address = 0;
    EXPECT_OK(device->backend->reserve(&address, device->handle, bytes, alignment));
    EXPECT(address != 0);
    EXPECT_EQ(address % (alignment ? alignment : page_bytes(device)), 0);
    return address;
}

static uint64_t
page_create(contract_device *device, uint64_t bytes)
{
    uint64_t page = 0;
    EXPECT_OK(device->backend->page_create(&page, device->handle, on_behalf(), bytes, main_kind(device)));
    return page;
}

/* How the core names memory that was mapped into a reserved range. */
static dcmem_extent
mapped_extent(contract_device *device, uint64_t address, uint64_t bytes)
{
    return (dcmem_extent){
        .object = address,
        .address = address,
        .bytes = bytes,
        .host = has(device, DCMEM_CAP_UNIFIED) ? (void *)(uintptr_t)address : NULL,
        .kind = main_kind(device),
    };
}

static void
unreserve(contract_device *device, uint64_t address, uint64_t bytes)
{
    EXPECT_OK(device->backend->unreserve(device->handle, address, bytes));
}

static void
page_destroy(contract_device *device, uint64_t page)
{
    EXPECT_OK(device->backend->page_destroy(device->handle, on_behalf(), page));
}

static void
page_map(contract_device *device, uint64_t address, uint64_t page, uint64_t page_offset, uint64_t bytes)
{
    EXPECT_OK(device->backend->page_map(device->handle, on_behalf(), address, page, page_offset, bytes));
}

static void
page_unmap(contract_device *device, uint64_t address, uint64_t bytes)
{
    EXPECT_OK(device->backend->page_unmap(device->handle, on_behalf(), address, bytes));
}

void
contract_reserved_ranges_are_aligned_and_apart(contract_device *device)
{
    enum { COUNT = 8 };
    uint64_t address[COUNT], bytes = whole_pages(device, 4 * MIB);
    for (int i = 0; i < COUNT; i++) {
        address[i] = reserve(device, bytes, i ? page_bytes(device) << i : 0);
        for (int j = 0; j < i; j++)
            EXPECT(address[i] >= address[j] + bytes || address[j] >= address[i] + bytes);
    }
    for (int i = 0; i < COUNT; i++)
        unreserve(device, address[i], bytes);
}

void
contract_reserving_costs_no_memory(contract_device *device)
{
    if (test_tool() && strcmp(test_tool(), "valgrind") == 0) {
        device->backend->close(device->handle);
        SKIP("valgrind has not as many addresses as the device has bytes");
    }
    uint64_t bytes = whole_pages(device, device->info.total_bytes);
    uint64_t address = reserve(device, bytes, 0);
    dcmem_extent extent = acquire_main(device, 64 * KIB);
    release(device, &extent);
    unreserve(device, address, bytes);
}

void
contract_impossible_reservations_and_pages_are_refused_and_leave_it_well(contract_device *device)
{
    for (unsigned bit = 50; bit < 64; bit++) {
        uint64_t out = 42;
        dcmem_result result = device->backend->reserve(&out, device->handle, 1ull << bit, 0);
        EXPECT_EQ(dcmem_result_class_of(result), DCMEM_CLASS_RESOURCE);
        result = device->backend->page_create(&out, device->handle, on_behalf(), 1ull << bit, main_kind(device));
        EXPECT_EQ(dcmem_result_class_of(result), DCMEM_CLASS_RESOURCE);
        EXPECT_EQ(dcmem_last_detail()->result, result);
        EXPECT_EQ(out, 42);
    }
    for (int kind = 0; kind <= DCMEM_KIND_COUNT; kind++) {
        uint64_t out = 42;
        if (!has_kind(device, (dcmem_kind)kind))
            EXPECT_RESULT(
                device->backend->page_create(&out, device->handle, on_behalf(), page_bytes(device), (dcmem_kind)kind),
                DCMEM_E_UNSUPPORTED);
        EXPECT_EQ(out, 42);
    }
    page_destroy(device, page_create(device, page_bytes(device)));
}

/* Kinds that live in no pages are refused. */
void
contract_pages_come_in_each_kind(contract_device *device)
{
    uint64_t unit = page_bytes(device), address = reserve(device, unit, 0);
    int count = 0;
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        uint64_t page = 0;
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_result result = device->backend->page_create(&page, device->handle, on_behalf(), unit, (dcmem_kind)kind);
        if (result) {
            EXPECT_EQ(result, DCMEM_E_UNSUPPORTED);
            continue;
        }
        page_map(device, address, page, 0, unit);
        dcmem_extent extent = mapped_extent(device, address, unit);
        extent.kind = (dcmem_kind)kind;
        write_pattern(device, &extent, 0, unit, 1);
        EXPECT_PATTERN(device, &extent, 0, unit, 1);
        page_unmap(device, address, unit);
        page_destroy(device, page);
        count++;
    }
    EXPECT(count > 0);
    unreserve(device, address, unit);
}

void
contract_mapped_pages_are_memory(contract_device *device)
{
    uint64_t unit = whole_pages(device, 64 * KIB);
    uint64_t address = reserve(device, 4 * unit, 0);
    uint64_t one = page_create(device, unit), two = page_create(device, unit);
    page_map(device, address + unit, one, 0, unit);
    page_map(device, address + 2 * unit, two, 0, unit);
    dcmem_extent both = mapped_extent(device, address + unit, 2 * unit);
    write_pattern(device, &both, 0, 2 * unit, 1);
    EXPECT_PATTERN(device, &both, 0, 2 * unit, 1);
    page_unmap(device, address + unit, 2 * unit);
    page_destroy(device, one);
    page_destroy(device, two);
    unreserve(device, address, 4 * unit);
}

void
contract_a_page_takes_its_contents_along(contract_device *device)
{
    uint64_t unit = whole_pages(device, 64 * KIB);
    uint64_t address = reserve(device, 8 * unit, 0), page = page_create(device, unit);
    page_map(device, address, page, 0, unit);
    dcmem_extent here = mapped_extent(device, address, unit);
    write_pattern(device, &here, 0, unit, 1);
    page_unmap(device, address, unit);
    page_map(device, address + 5 * unit, page, 0, unit);
    dcmem_extent there = mapped_extent(device, address + 5 * unit, unit);
    EXPECT_PATTERN(device, &there, 0, unit, 1);
    page_unmap(device, address + 5 * unit, unit);
    page_destroy(device, page);
    unreserve(device, address, 8 * unit);
}

void
contract_a_page_can_be_mapped_in_parts(contract_device *device)
{
    uint64_t unit = page_bytes(device), address = reserve(device, 8 * unit, 0), page = page_create(device, 4 * unit);
    page_map(device, address, page, 0, 4 * unit);
    dcmem_extent whole = mapped_extent(device, address, 4 * unit);
    for (uint64_t i = 0; i < 4; i++)
        write_pattern(device, &whole, i * unit, unit, i);
    page_unmap(device, address, 4 * unit);

    page_map(device, address + 2 * unit, page, unit, 2 * unit);
    page_map(device, address + 7 * unit, page, 3 * unit, unit);
    dcmem_extent middle = mapped_extent(device, address + 2 * unit, 2 * unit);
    dcmem_extent last = mapped_extent(device, address + 7 * unit, unit);
    EXPECT_PATTERN(device, &middle, 0, unit, 1);
    EXPECT_PATTERN(device, &middle, unit, unit, 2);
    EXPECT_PATTERN(device, &last, 0, unit, 3);
    page_unmap(device, address + 2 * unit, 2 * unit);
    page_unmap(device, address + 7 * unit, unit);
    page_destroy(device, page);
    unreserve(device, address, 8 * unit);
}

void
contract_a_page_mapped_twice_is_one_memory(contract_device *device)
{
    uint64_t unit = page_bytes(device), one = reserve(device, 2 * unit, 0), two = reserve(device, unit, 0);
    uint64_t page = page_create(device, unit);
    page_map(device, one, page, 0, unit);
    page_map(device, one + unit, page, 0, unit);
    page_map(device, two, page, 0, unit);
    dcmem_extent both = mapped_extent(device, one, 2 * unit), apart = mapped_extent(device, two, unit);
    write_pattern(device, &apart, 0, unit, 1);
    EXPECT_PATTERN(device, &both, 0, unit, 1);
    EXPECT_PATTERN(device, &both, unit, unit, 1);
    write_pattern(device, &both, unit, unit, 2);
    EXPECT_PATTERN(device, &apart, 0, unit, 2);
    page_unmap(device, two, unit);
    EXPECT_PATTERN(device, &both, 0, unit, 2);
    page_unmap(device, one, 2 * unit);
    page_destroy(device, page);
    unreserve(device, one, 2 * unit);
    unreserve(device, two, unit);
}

/* As one who compacts does: what was behind a hole comes before it. */
void
contract_pages_can_change_places(contract_device *device)
{
    enum { COUNT = 6 };
    uint64_t unit = page_bytes(device), address = reserve(device, COUNT * unit, 0), page[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        page[i] = page_create(device, unit);
        page_map(device, address + i * unit, page[i], 0, unit);
        dcmem_extent extent = mapped_extent(device, address + i * unit, unit);
        write_pattern(device, &extent, 0, unit, i);
    }
    page_unmap(device, address, COUNT * unit);
    for (uint64_t i = 0; i < COUNT; i++)
        page_map(device, address + i * unit, page[COUNT - 1 - i], 0, unit);
    dcmem_extent whole = mapped_extent(device, address, COUNT * unit);
    for (uint64_t i = 0; i < COUNT; i++)
        EXPECT_PATTERN(device, &whole, i * unit, unit, COUNT - 1 - i);
    for (uint64_t i = 0; i < COUNT; i++)
        page_unmap(device, address + i * unit, unit);
    for (uint64_t i = 0; i < COUNT; i++)
        page_destroy(device, page[i]);
    unreserve(device, address, COUNT * unit);
}

void
contract_mapped_pages_are_memory_for_queues(contract_device *device)
{
    if (!has(device, DCMEM_CAP_ASYNC))
        return;
    uint64_t unit = page_bytes(device), address = reserve(device, 2 * unit, 0);
    uint64_t one = page_create(device, unit), two = page_create(device, unit);
    void *queue = queue_open(device);
    page_map(device, address, one, 0, unit);
    page_map(device, address + unit, two, 0, unit);
    dcmem_extent both = mapped_extent(device, address, 2 * unit);
    unsigned char *pattern = pattern_make(1, unit);
    enqueue_fill(device, queue, &both, 2 * unit, 9);
    queue_wait(device, queue, enqueue_copy(device, queue, in_extent(&both, unit / 2), in_host(pattern), unit));
    EXPECT_PATTERN(device, &both, unit / 2, unit, 1);
    free(pattern);
    queue_close(device, queue);
    page_unmap(device, address, 2 * unit);
    page_destroy(device, one);
    page_destroy(device, two);
    unreserve(device, address, 2 * unit);
}

void
contract_memory_of_pages_comes_again(contract_device *device)
{
    uint64_t most = device->info.free_bytes / 4;
    if (most > device->info.largest_allocation_bytes)
        most = device->info.largest_allocation_bytes;
    if (most > 64 * MIB)
        most = 64 * MIB;
    most = most / page_bytes(device) * page_bytes(device);
    uint64_t rounds = most && device->info.free_bytes / most < 1000 ? 2 * device->info.free_bytes / most : 1000;
    uint64_t address = most ? reserve(device, most, 0) : 0;
    for (uint64_t i = 0; most && i < rounds; i++) {
        uint64_t page = page_create(device, most);
        page_map(device, address, page, 0, most);
        page_unmap(device, address, most);
        page_destroy(device, page);
    }
    if (most)
        unreserve(device, address, most);
}
