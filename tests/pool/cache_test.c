/* cache_test.c: a magazine's figures: hits tally, slow paths settle, and a fork may find a thread anywhere. */
#include "pool/cache.h"

#include "pool/hot.h"
#include "test.h"

/* As a hit takes and gives a block. */
static bool
take(dcmi_magazine *magazine, uint16_t mark)
{
    return dcmi_tally_take(&magazine->taken, DCMI_TALLY_ONE - 1 + mark);
}

static dcmi_magazine
magazine_open(void)
{
    dcmi_magazine magazine = {.cap = 0};
    dcmi_magazine_set_cap(&magazine, 10);
    dcmi_magazine_settle(&magazine, (dcmi_totals){0}, (dcmi_totals){0});
    return magazine;
}

static void
expect_totals(const dcmi_magazine *magazine, dcmi_totals taken, dcmi_totals given)
{
    dcmi_totals seen_taken, seen_given;
    dcmi_magazine_totals(&seen_taken, &seen_given, magazine);
    EXPECT_EQ(seen_taken.blocks, taken.blocks);
    EXPECT_EQ(seen_taken.marks, taken.marks);
    EXPECT_EQ(seen_given.blocks, given.blocks);
    EXPECT_EQ(seen_given.marks, given.marks);
}

TEST(cache__a_magazine_that_was_never_used_has_counted_nothing)
{
    static dcmi_magazine magazine;
    expect_totals(&magazine, (dcmi_totals){0}, (dcmi_totals){0});
}

TEST(cache__hits_are_counted_with_their_marks_before_and_after_they_are_settled)
{
    dcmi_magazine magazine = magazine_open();
    EXPECT(take(&magazine, 7));
    EXPECT(take(&magazine, DCMI_MARK_MOST));
    dcmi_tally_give(&magazine.given, 7);
    const dcmi_totals taken = {.blocks = 2, .marks = 7 + DCMI_MARK_MOST}, given = {.blocks = 1, .marks = 7};
    expect_totals(&magazine, taken, given);
    dcmi_magazine_settle(&magazine, (dcmi_totals){0}, (dcmi_totals){0});
    expect_totals(&magazine, taken, given);
}

TEST(cache__the_hit_that_is_to_be_timed_is_refused_and_not_counted)
{
    dcmi_magazine magazine = magazine_open();
    for (unsigned i = 1; i < DCMI_SAMPLE_EVERY; i++) {
        EXPECT(!dcmi_magazine_is_full(&magazine));
        EXPECT(take(&magazine, DCMI_MARK_MOST));
        dcmi_tally_give(&magazine.given, DCMI_MARK_MOST);
    }
    EXPECT(dcmi_magazine_is_full(&magazine));
    EXPECT(!take(&magazine, DCMI_MARK_MOST));
    const dcmi_totals all = {.blocks = DCMI_SAMPLE_EVERY - 1,
                             .marks = (DCMI_SAMPLE_EVERY - 1) * (uint64_t)DCMI_MARK_MOST};
    expect_totals(&magazine, all, all);
}

TEST(cache__a_give_is_to_be_timed_once_every_so_many_were_settled)
{
    dcmi_magazine magazine = magazine_open();
    EXPECT(!dcmi_magazine_is_due(&magazine));
    const dcmi_totals one = {.blocks = 1, .marks = 1};
    for (unsigned i = 1; i < DCMI_SAMPLE_EVERY; i++)
        dcmi_magazine_settle(&magazine, (dcmi_totals){0}, one);
    EXPECT(!dcmi_magazine_is_due(&magazine));
    dcmi_magazine_settle(&magazine, (dcmi_totals){0}, one);
    EXPECT(dcmi_magazine_is_due(&magazine));
    dcmi_magazine_set_cap(&magazine, 10);
    dcmi_magazine_settle(&magazine, (dcmi_totals){0}, one);
    EXPECT(!dcmi_magazine_is_due(&magazine));
}

TEST(cache__figures_can_be_read_when_their_owner_was_stopped_in_the_middle)
{
    dcmi_magazine magazine = magazine_open();
    for (unsigned i = 1; i < DCMI_SAMPLE_EVERY; i++)
        EXPECT(take(&magazine, 1));
    dcmi_count_add(&magazine.taken, DCMI_TALLY_ONE);
    atomic_fetch_add(&magazine.sequence, 1);
    dcmi_magazine_mend(&magazine);
    expect_totals(&magazine, (dcmi_totals){.blocks = DCMI_SAMPLE_EVERY - 1, .marks = DCMI_SAMPLE_EVERY - 1},
                  (dcmi_totals){0});
}
