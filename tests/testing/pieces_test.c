/* pieces_test.c: the set of pieces agrees with a plain array of pages, whatever is added and cut. */
#include "test.h"
#include "testing/pieces.h"

#include <stdlib.h>

static dcmi_piece
piece(uint64_t begin, uint64_t bytes)
{
    return (dcmi_piece){.begin = begin, .bytes = bytes, .memory = (uint8_t *)(uintptr_t)(begin + 1000000)};
}

TEST(pieces__finds_the_piece_that_holds_an_address_and_none_outside)
{
    dcmi_pieces set = {0};
    dcmi_piece a = piece(100, 50), b = piece(200, 10), found;
    EXPECT(dcmi_pieces_add(&set, &a));
    EXPECT(dcmi_pieces_add(&set, &b));

    EXPECT(!dcmi_pieces_find(&found, &set, 99));
    EXPECT(dcmi_pieces_find(&found, &set, 100) && found.begin == 100);
    EXPECT(dcmi_pieces_find(&found, &set, 149) && found.begin == 100);
    EXPECT(!dcmi_pieces_find(&found, &set, 150));
    EXPECT(dcmi_pieces_find(&found, &set, 209) && found.begin == 200);
    EXPECT(!dcmi_pieces_find(&found, &set, 210));
    EXPECT_EQ(set.count, 2);
    EXPECT_EQ(set.bytes, 60);
    dcmi_pieces_clear(&set, NULL, NULL);
    EXPECT_EQ(set.count, 0);
    EXPECT_EQ(set.bytes, 0);
}

TEST(pieces__refuses_one_that_overlaps_another_by_a_byte_on_either_side)
{
    dcmi_pieces set = {0};
    dcmi_piece a = piece(100, 50), low = piece(90, 11), high = piece(149, 5), within = piece(120, 1),
               around = piece(50, 500), touching = piece(150, 5);
    EXPECT(dcmi_pieces_add(&set, &a));
    EXPECT(!dcmi_pieces_add(&set, &low));
    EXPECT(!dcmi_pieces_add(&set, &high));
    EXPECT(!dcmi_pieces_add(&set, &within));
    EXPECT(!dcmi_pieces_add(&set, &around));
    EXPECT(dcmi_pieces_add(&set, &touching));
    EXPECT(dcmi_pieces_cover(&set, 100, 55));
    EXPECT(!dcmi_pieces_cover(&set, 100, 56));
    EXPECT(!dcmi_pieces_cover(&set, 99, 2));
    dcmi_pieces_clear(&set, NULL, NULL);
}

#define PAGES 512

/* The memory of each part must stay where the whole piece's was. */
static void
forget_pages(void *user, const dcmi_piece *cut)
{
    uint8_t *pages = user;
    EXPECT_EQ((uint64_t)(uintptr_t)cut->memory, cut->begin + 1000000);
    for (uint64_t page = cut->begin; page < cut->begin + cut->bytes; page++) {
        EXPECT_EQ(pages[page], 1);
        pages[page] = 0;
    }
}

static bool
all_are(const uint8_t *pages, uint64_t begin, uint64_t count, uint8_t wanted)
{
    for (uint64_t i = 0; i < count; i++)
        if (pages[begin + i] != wanted)
            return false;
    return true;
}

TEST(pieces__agrees_with_an_array_over_random_adds_and_cuts)
{
    uint8_t pages[PAGES] = {0};
    dcmi_pieces set = {0};
    srand(1);
    for (int i = 0; i < 20000; i++) {
        uint64_t begin = (uint64_t)rand() % (PAGES - 1), bytes = 1 + (uint64_t)rand() % 40;
        bytes = begin + bytes > PAGES ? PAGES - begin : bytes;
        EXPECT_EQ(dcmi_pieces_cover(&set, begin, bytes), all_are(pages, begin, bytes, 1));
        if (all_are(pages, begin, bytes, 0)) {
            dcmi_piece made = piece(begin, bytes);
            EXPECT(dcmi_pieces_add(&set, &made));
            memset(pages + begin, 1, bytes);
        } else if (all_are(pages, begin, bytes, 1)) {
            EXPECT(dcmi_pieces_cut(&set, begin, bytes, forget_pages, pages));
            EXPECT(all_are(pages, begin, bytes, 0));
        }
        uint64_t used = 0;
        for (int page = 0; page < PAGES; page++)
            used += pages[page];
        EXPECT_EQ(set.bytes, used);
    }
    dcmi_pieces_clear(&set, forget_pages, pages);
    EXPECT(all_are(pages, 0, PAGES, 0));
    EXPECT_EQ(set.count, 0);
}

TEST(pieces__holds_a_hundred_thousand_without_growing_deep)
{
    dcmi_pieces set = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        dcmi_piece made = piece(i * 16, 8);
        EXPECT(dcmi_pieces_add(&set, &made));
    }
    for (uint64_t i = 0; i < 100000; i += 2)
        EXPECT(dcmi_pieces_cut(&set, i * 16, 8, NULL, NULL));
    EXPECT_EQ(set.count, 50000);
    EXPECT_EQ(set.bytes, 400000);
    dcmi_pieces_clear(&set, NULL, NULL);
}
