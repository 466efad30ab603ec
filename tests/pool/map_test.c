/* map_test.c: the table from addresses to pages and live marks. */
#include "pool/map.h"

#include "test.h"

#define GIB  (1ull << 30)
#define HERE (1ull << 40)

static dcmi_map
map_open(void)
{
    dcmi_map map;
    EXPECT_OK(dcmi_map_init(&map));
    return map;
}

/* A leaf may reach beyond what there is; its pages say that nothing is there. */
static bool
is_known(const dcmi_map *map, uint64_t address)
{
    dcmi_cell cell = dcmi_map_cell(map, address);
    return cell.leaf && atomic_load(&dcmi_cell_page(cell)->kind) != DCMI_PAGE_NONE;
}

TEST(map__an_empty_one_knows_no_address)
{
    dcmi_map map = map_open();
    const uint64_t addresses[] = {0, 1, 64, 4096, HERE, (1ull << 47) - 1, 1ull << 47, UINT64_MAX, 1ull << 62};
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        EXPECT(!is_known(&map, addresses[i]));
    dcmi_map_fini(&map);
}

TEST(map__what_is_set_of_a_page_is_found_from_every_byte_of_it)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, GIB));
    dcmi_page_set(dcmi_map_page(&map, HERE + 5 * DCMI_PAGE), 77, 12);
    for (unsigned i = 0; i < DCMI_PAGE; i += 13) {
        dcmi_page *page = dcmi_map_page(&map, HERE + 5 * DCMI_PAGE + i);
        EXPECT_EQ(atomic_load(&page->owner), 77);
        EXPECT_EQ(atomic_load(&page->kind), 12);
    }
    EXPECT_EQ(atomic_load(&dcmi_map_page(&map, HERE + 4 * DCMI_PAGE)->kind), DCMI_PAGE_NONE);
    EXPECT_EQ(atomic_load(&dcmi_map_page(&map, HERE + 6 * DCMI_PAGE)->kind), DCMI_PAGE_NONE);
    dcmi_map_fini(&map);
}

TEST(map__memory_far_apart_has_leaves_of_its_own)
{
    dcmi_map map = map_open();
    uint64_t places[40];
    for (unsigned i = 0; i < 40; i++) {
        places[i] = (uint64_t)(i + 1) * 2990000000000ull / DCMI_PAGE * DCMI_PAGE;
        EXPECT_OK(dcmi_map_cover(&map, places[i], 10 * DCMI_PAGE));
        dcmi_page_set(dcmi_map_page(&map, places[i] + 3 * DCMI_PAGE), i + 1, 5);
    }
    for (unsigned i = 0; i < 40; i++)
        EXPECT_EQ(atomic_load(&dcmi_map_page(&map, places[i] + 3 * DCMI_PAGE)->owner), i + 1);
    dcmi_map_fini(&map);
}

TEST(map__an_interval_over_several_leaves_is_covered_whole)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, 50 * GIB));
    for (uint64_t offset = 0; offset < 50 * GIB; offset += GIB / 2) {
        dcmi_cell cell = dcmi_map_cell(&map, HERE + offset);
        EXPECT(cell.leaf != NULL);
        dcmi_page_set(dcmi_cell_page(cell), (uint32_t)(offset / (GIB / 2)) + 1, 3);
    }
    EXPECT(dcmi_map_cell(&map, HERE + 50 * GIB - 1).leaf != NULL);
    for (uint64_t offset = 0; offset < 50 * GIB; offset += GIB / 2)
        EXPECT_EQ(atomic_load(&dcmi_map_page(&map, HERE + offset)->owner), offset / (GIB / 2) + 1);
    dcmi_map_fini(&map);
}

TEST(map__memory_below_the_first_is_covered_too)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, DCMI_PAGE));
    EXPECT_OK(dcmi_map_cover(&map, 64 * DCMI_PAGE, DCMI_PAGE));
    EXPECT_OK(dcmi_map_cover(&map, HERE - 100 * GIB, 20 * GIB));
    EXPECT(dcmi_map_cell(&map, 64 * DCMI_PAGE).leaf != NULL);
    EXPECT(dcmi_map_cell(&map, HERE - 100 * GIB).leaf != NULL);
    EXPECT(dcmi_map_cell(&map, HERE - 80 * GIB - 1).leaf != NULL);
    EXPECT(dcmi_map_cell(&map, HERE - 200 * GIB).leaf == NULL);
    dcmi_map_fini(&map);
}

TEST(map__two_addresses_never_share_a_page)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, DCMI_PAGE));
    EXPECT_OK(dcmi_map_cover(&map, HERE + (1ull << 46), DCMI_PAGE));
    EXPECT_OK(dcmi_map_cover(&map, DCMI_PAGE, DCMI_PAGE));
    dcmi_page *a = dcmi_map_page(&map, HERE), *b = dcmi_map_page(&map, HERE + (1ull << 46)),
              *c = dcmi_map_page(&map, DCMI_PAGE);
    EXPECT(a != b && b != c && a != c);
    dcmi_map_fini(&map);
}

TEST(map__the_last_page_below_47_bits_is_the_last_that_there_is)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, (1ull << 47) - DCMI_PAGE, DCMI_PAGE));
    EXPECT_RESULT(dcmi_map_cover(&map, 1ull << 47, DCMI_PAGE), DCMEM_E_CONTRACT);
    EXPECT_DETAIL("47 bits");
    EXPECT_RESULT(dcmi_map_cover(&map, (1ull << 47) - DCMI_PAGE, 2 * DCMI_PAGE), DCMEM_E_CONTRACT);
    EXPECT_RESULT(dcmi_map_cover(&map, UINT64_MAX - 10, DCMI_PAGE), DCMEM_E_CONTRACT);
    EXPECT_RESULT(dcmi_map_cover(&map, 1ull << 63, DCMI_PAGE), DCMEM_E_CONTRACT);
    EXPECT(!is_known(&map, 1ull << 47));
    EXPECT(!is_known(&map, UINT64_MAX));
    dcmi_map_fini(&map);
}

TEST(map__a_refused_address_does_not_set_the_base)
{
    dcmi_map map = map_open();
    EXPECT_RESULT(dcmi_map_cover(&map, 1ull << 50, DCMI_PAGE), DCMEM_E_CONTRACT);
    EXPECT_OK(dcmi_map_cover(&map, HERE, DCMI_PAGE));
    EXPECT(dcmi_map_cell(&map, HERE).leaf == map.near);
    dcmi_map_fini(&map);
}

TEST(map__the_first_memory_lies_in_the_near_leaf)
{
    const uint64_t firsts[] = {DCMI_PAGE, GIB, HERE, (1ull << 47) - GIB};
    for (unsigned i = 0; i < 4; i++) {
        dcmi_map map = map_open();
        EXPECT_OK(dcmi_map_cover(&map, firsts[i], GIB / 2));
        EXPECT(dcmi_map_cell(&map, firsts[i]).leaf == map.near);
        EXPECT(dcmi_map_cell(&map, firsts[i] + GIB / 2 - 1).leaf == map.near);
        dcmi_map_fini(&map);
    }
}

TEST(map__every_64_bytes_have_a_mark_of_their_own)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, 16 * DCMI_PAGE));
    for (unsigned i = 0; i < 16 * DCMI_PAGE / 64; i++)
        atomic_store(dcmi_cell_slot(dcmi_map_cell(&map, HERE + i * 64u)), (uint16_t)(i + 1));
    for (unsigned i = 0; i < 16 * DCMI_PAGE / 64; i++)
        EXPECT_EQ(atomic_load(dcmi_cell_slot(dcmi_map_cell(&map, HERE + i * 64u))), i + 1);
    EXPECT_EQ(atomic_load(&dcmi_map_page(&map, HERE)->live), 0);
    dcmi_map_fini(&map);
}

TEST(map__reset_forgets_pages_and_leaves)
{
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, DCMI_PAGE));
    EXPECT_OK(dcmi_map_cover(&map, 2 * HERE, DCMI_PAGE));
    dcmi_page_set(dcmi_map_page(&map, HERE), 1, 1);
    dcmi_page_set(dcmi_map_page(&map, 2 * HERE), 1, 1);
    dcmi_map_reset(&map);
    EXPECT(dcmi_map_cell(&map, HERE).leaf == NULL);
    EXPECT(dcmi_map_cell(&map, 2 * HERE).leaf == NULL);
    EXPECT_OK(dcmi_map_cover(&map, 2 * HERE, DCMI_PAGE));
    EXPECT(dcmi_map_cell(&map, 2 * HERE).leaf == map.near);
    EXPECT_EQ(atomic_load(&dcmi_map_page(&map, 2 * HERE)->kind), DCMI_PAGE_NONE);
    dcmi_map_fini(&map);
}

static unsigned reservations_left;

static bool
refuse_after(const char *what)
{
    (void)what;
    return reservations_left == 0 || reservations_left-- == 0;
}

TEST(map__without_address_space_the_failure_is_told)
{
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        dcmi_map map;
        reservations_left = allowed;
        dcmi_os_fault = refuse_after;
        dcmem_result result = dcmi_map_init(&map);
        dcmi_os_fault = NULL;
        EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
        EXPECT_DETAIL("page map");
    }
    dcmi_map map = map_open();
    EXPECT_OK(dcmi_map_cover(&map, HERE, DCMI_PAGE));
    reservations_left = 0;
    dcmi_os_fault = refuse_after;
    dcmem_result result = dcmi_map_cover(&map, 2 * HERE, DCMI_PAGE);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT(dcmi_map_cell(&map, 2 * HERE).leaf == NULL);
    EXPECT_OK(dcmi_map_cover(&map, 2 * HERE, DCMI_PAGE));
    dcmi_map_fini(&map);
}
