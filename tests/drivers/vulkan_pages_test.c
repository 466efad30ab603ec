/* vulkan_pages_test.c: ranges with one buffer and with many, what is refused, what the host sees of pages, and where
 * bytes go when pages are mapped here and there. */
#include "vulkan.h"

#include <stdlib.h>

/* What the stand-in's sparse buffers are bound in. */
#define UNIT (64 * KIB)

static uint64_t
reserved(void *device, uint64_t bytes, uint64_t alignment)
{
    uint64_t address = 0;
    EXPECT_OK(vulkan()->reserve(&address, device, bytes, alignment));
    return address;
}

static void
unreserved(void *device, uint64_t address, uint64_t bytes)
{
    EXPECT_OK(vulkan()->unreserve(device, address, bytes));
}

static uint64_t
page_of(void *device, uint64_t bytes, dcmem_kind kind)
{
    uint64_t page = 0;
    EXPECT_OK(vulkan()->page_create(&page, device, &nobody, bytes, kind));
    return page;
}

static dcmem_result
map_at(void *device, uint64_t address, uint64_t page, uint64_t page_offset, uint64_t bytes)
{
    return vulkan()->page_map(device, &nobody, address, page, page_offset, bytes);
}

static dcmem_result
unmap_at(void *device, uint64_t address, uint64_t bytes)
{
    return vulkan()->page_unmap(device, &nobody, address, bytes);
}

static dcmem_extent
mapped(uint64_t address, uint64_t bytes, dcmem_kind kind)
{
    return (dcmem_extent){.object = address, .address = address, .bytes = bytes, .kind = kind};
}

static void
end_page(void *device, uint64_t page)
{
    EXPECT_OK(vulkan()->page_destroy(device, &nobody, page));
}

static void
fail_next(stand_in *library, const char *name)
{
    library->fail_name = name;
    library->fail_code = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    library->calls = 0;
    library->fail_from = library->fail_count = 1;
}

/* ---- Whether there are any ---- */

static void
expect_no_pages(stand_in_shape shape)
{
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    EXPECT(!(vulkan_info(device).capabilities & DCMEM_CAP_VIRTUAL));
    EXPECT_EQ(vulkan_info(device).page_bytes, 0);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(pages__are_there_where_sparse_buffers_and_queues_for_them_are)
{
    stand_in_shape shape = sparse();
    (void)stand_in_use(shape);
    void *device = vulkan_opened(0);
    EXPECT(vulkan_info(device).capabilities & DCMEM_CAP_VIRTUAL);
    EXPECT_EQ(vulkan_info(device).page_bytes, UNIT);
    vulkan()->close(device);

    shape.family_count = 2;
    expect_no_pages(shape);
    shape = sparse();
    shape.sparse_bytes = 0;
    expect_no_pages(shape);
    shape = sparse();
    shape.sparse_bytes = 63 * UNIT; /* a tile would be smaller than a unit */
    expect_no_pages(shape);
}

/* ---- Pages ---- */

TEST(page__is_paid_for_as_other_memory_is)
{
    int count = 0;
    dcmem_extent extent;
    uint64_t pages[8], page = 42;
    stand_in *library = stand_in_use(integrated());
    void *device = vulkan_opened(0);
    uint64_t free_bytes = dcmi_vk_card_free(dcmi_vk_card_at(0), 0);
    while (count < 8 && !vulkan()->page_create(&pages[count], device, &nobody, 60 * MIB, DCMEM_KIND_DEVICE))
        count++;
    EXPECT_EQ(count, 4);
    EXPECT_RESULT(vulkan()->page_create(&page, device, &nobody, 60 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(vulkan()->page_create(&page, device, &nobody, 65 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(vulkan()->page_create(&page, device, &nobody, UNIT, DCMEM_KIND_HOST), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(vulkan()->page_create(&page, device, &nobody, UNIT, DCMEM_KIND_COUNT), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(page, 42);
    EXPECT_RESULT(vulkan_acquire(&extent, device, 60 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    while (count-- > 0)
        end_page(device, pages[count]);
    EXPECT_EQ(dcmi_vk_card_free(dcmi_vk_card_at(0), 0), free_bytes);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Ranges ---- */

TEST(range__that_fits_one_buffer_has_the_device_s_addresses_as_aligned_as_was_asked)
{
    stand_in *library = stand_in_use(sparse());
    void *device = vulkan_opened(0);
    int buffers = library->live.buffers;
    for (uint64_t alignment = 0; alignment <= 64 * MIB; alignment = alignment ? 4 * alignment : UNIT) {
        uint64_t address = reserved(device, 3 * UNIT, alignment);
        EXPECT_EQ(library->live.buffers, buffers + 1);
        EXPECT_EQ(address % (alignment ? alignment : UNIT), 0);
        uint64_t page = page_of(device, 3 * UNIT, DCMEM_KIND_DEVICE);
        EXPECT_OK(map_at(device, address, page, 0, 3 * UNIT));
        const dcmem_extent extent = mapped(address, 3 * UNIT, DCMEM_KIND_DEVICE);
        EXPECT_OK(vulkan_fill(device, in_extent(&extent, 0), 3 * UNIT, 7));
        EXPECT_OK(unmap_at(device, address, 3 * UNIT));
        end_page(device, page);
        unreserved(device, address, 3 * UNIT);
        EXPECT_EQ(library->live.buffers, buffers);
    }
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(range__larger_than_a_buffer_has_buffers_where_something_is_mapped)
{
    stand_in *library = stand_in_use(integrated());
    void *device = vulkan_opened(0);
    int buffers = library->live.buffers;
    uint64_t address = reserved(device, 128 * MIB, 0), page = page_of(device, 5 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(library->live.buffers, buffers);
    EXPECT_OK(map_at(device, address + MIB / 2, page, 0, 5 * MIB));
    EXPECT_EQ(library->live.buffers, buffers + 6); /* of 1 MiB each */
    EXPECT_EQ(library->binds, 1);

    unsigned char *wrote = malloc(5 * MIB), *found = calloc(1, 5 * MIB);
    EXPECT(wrote && found);
    for (uint64_t i = 0; i < 5 * MIB; i++)
        wrote[i] = (unsigned char)(i * 7 + i / 1000);
    const dcmem_extent extent = mapped(address + MIB / 2, 5 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_OK(vulkan_copy(device, in_extent(&extent, 0), in_host(wrote), 5 * MIB));
    EXPECT_OK(vulkan_copy(device, in_host(found), in_extent(&extent, 0), 5 * MIB));
    EXPECT(memcmp(wrote, found, 5 * MIB) == 0);
    EXPECT_OK(vulkan_copy(device, in_extent(&extent, 2 * MIB + 9), in_extent(&extent, 5), 2 * MIB));
    EXPECT_OK(vulkan_copy(device, in_host(found), in_extent(&extent, 0), 5 * MIB));
    EXPECT(memcmp(found + 2 * MIB + 9, wrote + 5, 2 * MIB) == 0 && memcmp(found, wrote, 2 * MIB + 9) == 0);
    const dcmem_place whole = in_extent(&extent, 0), inner = in_extent(&extent, 24);
    EXPECT_OK(vulkan()->fill(device, &nobody, &whole, 5 * MIB, "abcd", 4));
    EXPECT_OK(vulkan()->fill(device, &nobody, &inner, 4 * MIB + 40, "01234567", 8));
    EXPECT_OK(vulkan_copy(device, in_host(found), in_extent(&extent, 0), 5 * MIB));
    for (uint64_t i = 0; i < 5 * MIB; i++)
        EXPECT_EQ(found[i], i >= 24 && i < 4 * MIB + 64 ? '0' + i % 8 : 'a' + i % 4);
    free(wrote);
    free(found);

    EXPECT_OK(unmap_at(device, address + MIB / 2, 5 * MIB));
    EXPECT_EQ(library->live.buffers, buffers);
    end_page(device, page);
    unreserved(device, address, 128 * MIB);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(range__ends_where_the_device_s_addresses_for_sparse_buffers_do)
{
    uint64_t address[8], out = 42, page;
    int count = 0;
    stand_in *library = stand_in_use(sparse());
    void *device = vulkan_opened(0);
    while (count < 8 && !vulkan()->reserve(&address[count], device, 2 * GIB - 2 * UNIT, 0))
        count++;
    EXPECT_EQ(count, 8);
    EXPECT_RESULT(vulkan()->reserve(&out, device, GIB, 0), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("sparse");
    EXPECT_EQ(out, 42);
    while (count-- > 0)
        unreserved(device, address[count], 2 * GIB - 2 * UNIT);
    EXPECT_RESULT(vulkan()->reserve(&out, device, UINT64_MAX - UNIT + 1, 0), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(vulkan()->unreserve(device, 4096, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);

    library = stand_in_use(integrated());
    device = vulkan_opened(0);
    out = reserved(device, 256 * MIB, 0);
    page = page_of(device, 64 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_OK(map_at(device, out, page, 0, 64 * MIB)); /* That is all of it, */
    EXPECT_RESULT(map_at(device, out + 64 * MIB, page, 0, UNIT), DCMEM_E_NO_MEMORY);
    EXPECT_OK(unmap_at(device, out, 64 * MIB));
    int buffers = library->live.buffers;
    EXPECT_RESULT(map_at(device, out + MIB / 2, page, 0, 64 * MIB), DCMEM_E_NO_MEMORY); /* and this would be more. */
    EXPECT_EQ(library->live.buffers, buffers);
    EXPECT_OK(map_at(device, out + 64 * MIB, page, 0, UNIT));
    EXPECT_OK(unmap_at(device, out + 64 * MIB, UNIT));
    end_page(device, page);
    unreserved(device, out, 256 * MIB);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(range__at_addresses_that_no_unit_begins_at_is_refused)
{
    uint64_t out = 42;
    stand_in_shape shape = sparse();
    shape.sparse_skew = 256;
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    EXPECT_RESULT(vulkan()->reserve(&out, device, UNIT, 0), DCMEM_E_MISALIGNED);
    EXPECT_EQ(out, 42);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Maps ---- */

static void
expect_refusals(stand_in_shape shape)
{
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    uint64_t address = reserved(device, 8 * UNIT, 0), page = page_of(device, 4 * UNIT, DCMEM_KIND_DEVICE);
    EXPECT_RESULT(map_at(device, address + 8 * UNIT, page, 0, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(map_at(device, address + 7 * UNIT, page, 0, 2 * UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(map_at(device, address, page, UNIT, 4 * UNIT), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(map_at(device, address, page, 5 * UNIT, UNIT), DCMEM_E_OUT_OF_RANGE);
    EXPECT_OK(map_at(device, address + 2 * UNIT, page, 0, 2 * UNIT));
    EXPECT_RESULT(map_at(device, address + UNIT, page, 0, 2 * UNIT), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(map_at(device, address + 3 * UNIT, page, 0, UNIT), DCMEM_E_WRONG_STATE);
    EXPECT_OK(map_at(device, address + UNIT, page, 3 * UNIT, UNIT));
    EXPECT_RESULT(unmap_at(device, address + 2 * UNIT, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap_at(device, address + 3 * UNIT, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap_at(device, address, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap_at(device, address + 2 * UNIT, 3 * UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(unmap_at(device, address + 8 * UNIT, UNIT), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(unmap_at(device, address + UNIT, 3 * UNIT));
    end_page(device, page);
    unreserved(device, address, 8 * UNIT);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(map__of_what_is_not_reserved_or_mapped_already_is_refused)
{
    expect_refusals(sparse());
    expect_refusals(integrated());
}

TEST(map__that_cannot_be_waited_for_by_its_fence_is_waited_for_with_its_queue)
{
    stand_in *library = stand_in_use(sparse());
    void *device = vulkan_opened(0);
    uint64_t address = reserved(device, UNIT, 0), page = page_of(device, UNIT, DCMEM_KIND_DEVICE);
    fail_next(library, "vkWaitForFences");
    EXPECT_OK(map_at(device, address, page, 0, UNIT));
    EXPECT_EQ(library->failed, 1);
    EXPECT_OK(unmap_at(device, address, UNIT));
    end_page(device, page);
    unreserved(device, address, UNIT);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(map__that_the_driver_does_not_end_stays_until_its_page_or_its_range_ends)
{
    stand_in *library = stand_in_use(integrated());
    void *device = vulkan_opened(0);
    uint64_t one = reserved(device, 2 * UNIT, 0), two = reserved(device, UNIT, 0);
    uint64_t page = page_of(device, UNIT, DCMEM_KIND_DEVICE), other = page_of(device, UNIT, DCMEM_KIND_DEVICE);
    EXPECT_OK(map_at(device, one, page, 0, UNIT));
    EXPECT_OK(map_at(device, one + UNIT, other, 0, UNIT));
    EXPECT_OK(map_at(device, two, page, 0, UNIT));
    fail_next(library, "vkQueueBindSparse");
    EXPECT_RESULT(unmap_at(device, one, UNIT), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(map_at(device, one, other, 0, UNIT), DCMEM_E_WRONG_STATE);
    end_page(device, page);
    EXPECT_OK(map_at(device, one, other, 0, UNIT));
    EXPECT_OK(map_at(device, two, other, 0, UNIT));
    unreserved(device, one, 2 * UNIT);
    EXPECT_OK(unmap_at(device, two, UNIT));
    unreserved(device, two, UNIT);
    end_page(device, other);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* Where memory is not coherent, the host sees what was invalidated, and the device what was flushed. */
TEST(map__shows_the_host_its_part_of_a_page_that_it_can_see)
{
    unsigned char found[64] = {0};
    void *host = NULL;
    stand_in *library = stand_in_use(integrated());
    void *device = vulkan_opened(0);
    uint64_t address = reserved(device, 4 * UNIT, 0), page = page_of(device, 2 * UNIT, DCMEM_KIND_HOST_VISIBLE);
    EXPECT_OK(map_at(device, address + 2 * UNIT, page, UNIT, UNIT));
    const dcmem_extent extent = mapped(address + 2 * UNIT, UNIT, DCMEM_KIND_HOST_VISIBLE);
    const dcmem_extent nothing = mapped(address, UNIT, DCMEM_KIND_HOST_VISIBLE), nowhere = mapped(4096, UNIT, 0);
    EXPECT_OK(vulkan()->map(&host, device, &nobody, &extent, 128, 64, DCMEM_MAP_WRITE_BIT));
    memset(host, 9, 64);
    EXPECT_OK(vulkan()->flush(device, &nobody, &extent, 128, 64));
    EXPECT_EQ(library->last_range.offset, UNIT + 128);
    EXPECT_OK(vulkan_copy(device, in_host(found), in_extent(&extent, 128), 64));
    EXPECT(found[0] == 9 && found[63] == 9);
    EXPECT_OK(vulkan_fill(device, in_extent(&extent, 128), 64, 5));
    EXPECT_OK(vulkan()->invalidate(device, &nobody, &extent, 128, 64));
    EXPECT(*(unsigned char *)host == 5);
    EXPECT_OK(vulkan()->unmap(device, &nobody, &extent, host));
    EXPECT_RESULT(vulkan()->map(&host, device, &nobody, &nothing, 0, 64, DCMEM_MAP_WRITE_BIT), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(vulkan()->map(&host, device, &nobody, &nowhere, 0, 64, DCMEM_MAP_WRITE_BIT), DCMEM_E_UNSUPPORTED);
    EXPECT_OK(unmap_at(device, address + 2 * UNIT, UNIT));
    end_page(device, page);
    unreserved(device, address, 4 * UNIT);
    vulkan()->close(device);

    (void)stand_in_use(sparse());
    device = vulkan_opened(0);
    address = reserved(device, UNIT, 0);
    page = page_of(device, UNIT, DCMEM_KIND_DEVICE);
    EXPECT_OK(map_at(device, address, page, 0, UNIT));
    const dcmem_extent hidden = mapped(address, UNIT, DCMEM_KIND_DEVICE);
    EXPECT_RESULT(vulkan()->map(&host, device, &nobody, &hidden, 0, 64, DCMEM_MAP_READ_BIT), DCMEM_E_UNSUPPORTED);
    EXPECT_OK(vulkan()->flush(device, &nobody, &hidden, 0, 64));
    EXPECT_OK(unmap_at(device, address, UNIT));
    end_page(device, page);
    unreserved(device, address, UNIT);
    vulkan()->close(device);
}

/* ---- Against a model ---- */

enum { PLACES = 96, PAGES = 8, PAGE_UNITS = 6 };

/* What is mapped where: 0 nothing, else 1 + the number of a unit of some page. A map begins where `begins` says. */
typedef struct model {
    int unit[PLACES];
    bool begins[PLACES];
} model;

static bool
is_free(const model *it, int place, int count)
{
    for (int i = place; i < place + count; i++)
        if (i >= PLACES || it->unit[i])
            return false;
    return true;
}

/* The end of the map at a place. */
static int
end_of(const model *it, int place)
{
    int end = place + 1;
    while (end < PLACES && it->unit[end] && !it->begins[end])
        end++;
    return end;
}

/* The first byte of each unit says which it is. */
static void
expect_model(void *device, uint64_t address, const model *it)
{
    for (int i = 0; i < PLACES; i++) {
        unsigned char found = 0;
        const dcmem_extent extent = mapped(address + (uint64_t)i * UNIT, UNIT, DCMEM_KIND_DEVICE);
        if (!it->unit[i])
            continue;
        EXPECT_OK(vulkan_copy(device, in_host(&found), in_extent(&extent, 0), 1));
        EXPECT_EQ(found, it->unit[i]);
    }
}

static void
follow_model(stand_in_shape shape)
{
    model it = {{0}, {false}};
    unsigned random = 1;
    uint64_t pages[PAGES];
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    uint64_t address = reserved(device, 32 * MIB, 0);
    for (int p = 0; p < PAGES; p++) {
        pages[p] = page_of(device, PAGE_UNITS * UNIT, DCMEM_KIND_DEVICE);
        EXPECT_OK(map_at(device, address, pages[p], 0, PAGE_UNITS * UNIT));
        const dcmem_extent extent = mapped(address, PAGE_UNITS * UNIT, DCMEM_KIND_DEVICE);
        for (int u = 0; u < PAGE_UNITS; u++)
            EXPECT_OK(vulkan_fill(device, in_extent(&extent, (uint64_t)u * UNIT), 4,
                                  (unsigned char)(1 + p * PAGE_UNITS + u)));
        EXPECT_OK(unmap_at(device, address, PAGE_UNITS * UNIT));
    }
    for (int round = 0; round < 400; round++) {
        random = random * 1103515245u + 12345u;
        int place = (int)(random >> 16) % PLACES, p = (int)(random >> 8) % PAGES,
            first = (int)(random >> 20) % PAGE_UNITS;
        int count = 1 + (int)(random >> 24) % (PAGE_UNITS - first);
        const uint64_t at = address + (uint64_t)place * UNIT;
        if (is_free(&it, place, count)) {
            EXPECT_OK(map_at(device, at, pages[p], (uint64_t)first * UNIT, (uint64_t)count * UNIT));
            for (int i = 0; i < count; i++) {
                it.unit[place + i] = 1 + p * PAGE_UNITS + first + i;
                it.begins[place + i] = i == 0;
            }
        } else if (it.begins[place]) {
            /* With the next, where it touches. */
            int end = end_of(&it, place);
            if (random & 64 && end < PLACES && it.begins[end])
                end = end_of(&it, end);
            EXPECT_OK(unmap_at(device, at, (uint64_t)(end - place) * UNIT));
            for (int i = place; i < end; i++)
                it.unit[i] = it.begins[i] = 0;
        }
        if (round % 20 == 0)
            expect_model(device, address, &it);
    }
    expect_model(device, address, &it);
    for (int i = 0, end; i < PLACES; i = end) {
        end = it.begins[i] ? end_of(&it, i) : i + 1;
        if (it.begins[i])
            EXPECT_OK(unmap_at(device, address + (uint64_t)i * UNIT, (uint64_t)(end - i) * UNIT));
    }
    for (int p = 0; p < PAGES; p++)
        end_page(device, pages[p]);
    unreserved(device, address, 32 * MIB);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(map__and_unmap_in_any_order_leave_each_page_where_it_was_put)
{
    follow_model(sparse());
    follow_model(integrated());
}
