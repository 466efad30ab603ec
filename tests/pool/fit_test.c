/* fit_test.c: the good fit against a model that knows a state for every page. */
#include "pool/fit.h"

#include "base/thread.h"
#include "test.h"

#define WORLD 4096u /* pages of address space, from FIRST on */
#define FIRST (1ull << 20)

static uint32_t
largest_span(const dcmi_fit *fit)
{
    return dcmi_fit_largest(fit, DCMI_SPAN_NONE);
}

typedef enum page_state { ABSENT, FREE, USED } page_state;

typedef struct model {
    dcmi_fit fit;
    uint8_t pages[WORLD];
    uint32_t used[WORLD]; /* spans in use */
    unsigned used_count;
    uint64_t random;
} model;

static uint64_t
random_below(model *m, uint64_t limit)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % limit;
}

static void
model_open(model *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->random = seed * 2654435761u + 1;
    EXPECT_OK(dcmi_fit_init(&m->fit));
}

static void
model_close(model *m)
{
    dcmi_fit_fini(&m->fit);
}

static void
change(model *m, uint64_t page, uint64_t pages, page_state from, page_state to)
{
    EXPECT(page >= FIRST && page + pages <= FIRST + WORLD);
    for (uint64_t i = page - FIRST; i < page - FIRST + pages; i++) {
        if (m->pages[i] != from)
            TEST_FAIL("page %llu is %u, not %u", (unsigned long long)i, m->pages[i], from);
        m->pages[i] = (uint8_t)to;
    }
}

static uint64_t
count(const model *m, page_state state)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < WORLD; i++)
        n += m->pages[i] == state;
    return n;
}

/* Pages that are ABSENT from `page` on, at most `most`. */
static uint64_t
room_at(const model *m, uint64_t page, uint64_t most)
{
    uint64_t n = 0;
    while (n < most && page >= FIRST && page + n < FIRST + WORLD && m->pages[page - FIRST + n] == ABSENT)
        n++;
    return n;
}

static void
agree(const model *m)
{
    EXPECT_OK(dcmi_fit_check(&m->fit));
    EXPECT_EQ(m->fit.free_pages, count(m, FREE));
}

/* The largest free span by looking at them all. */
static uint64_t
largest(const model *m)
{
    uint64_t most = 0;
    for (uint32_t i = DCMI_SPAN_TAIL + 1; i < m->fit.high; i++)
        if (dcmi_span_state(&m->fit.spans[i]) == DCMI_SPAN_FREE && m->fit.spans[i].pages > most)
            most = m->fit.spans[i].pages;
    return most;
}

static uint64_t
free_spans(const model *m)
{
    uint64_t spans = 0;
    for (uint32_t i = DCMI_SPAN_TAIL + 1; i < m->fit.high; i++)
        spans += dcmi_span_state(&m->fit.spans[i]) == DCMI_SPAN_FREE;
    return spans;
}

static uint32_t
random_free_span(model *m)
{
    uint32_t begin = (uint32_t)random_below(m, m->fit.high);
    for (uint32_t i = 0; i < m->fit.high; i++) {
        uint32_t index = (begin + i) % m->fit.high;
        if (index > DCMI_SPAN_TAIL && dcmi_span_state(&m->fit.spans[index]) == DCMI_SPAN_FREE)
            return index;
    }
    return DCMI_SPAN_NONE;
}

/* ---- What can be done ---- */

static uint32_t
take(model *m, uint64_t pages, uint64_t align_pages)
{
    uint64_t most = largest(m), search = pages + align_pages - 1;
    uint32_t span = dcmi_fit_take(&m->fit, pages, align_pages);
    if (!span) {
        /* A list is a 32nd of an octave wide: no span that is larger than the list's end may be missed. */
        if (most >= search + (search < 64 ? (search >= 32) : search / 32))
            TEST_FAIL("no %llu pages, although %llu lie free", (unsigned long long)search, (unsigned long long)most);
        return 0;
    }
    EXPECT_EQ(m->fit.spans[span].pages, pages);
    EXPECT_EQ(m->fit.spans[span].page % align_pages, 0);
    EXPECT_EQ(dcmi_span_state(&m->fit.spans[span]), DCMI_SPAN_USED);
    change(m, m->fit.spans[span].page, pages, FREE, USED);
    m->used[m->used_count++] = span;
    return span;
}

static void
give(model *m, unsigned which)
{
    uint32_t span = m->used[which];
    m->used[which] = m->used[--m->used_count];
    change(m, m->fit.spans[span].page, m->fit.spans[span].pages, USED, FREE);
    dcmi_fit_give(&m->fit, span);
}

static void
add(model *m, bool is_growth)
{
    uint64_t page = FIRST + random_below(m, WORLD);
    if (is_growth && random_below(m, 4) && dcmi_fit_tail(&m->fit))
        page = dcmi_fit_tail(&m->fit) >> DCMI_PAGE_SHIFT;
    uint64_t pages = room_at(m, page, 1 + random_below(m, 200));
    if (pages == 0)
        return;
    EXPECT(dcmi_fit_add(&m->fit, page, pages, is_growth ? 0 : 7, is_growth));
    change(m, page, pages, ABSENT, FREE);
}

static void
remove_one(model *m)
{
    uint32_t span = random_free_span(m);
    if (!span)
        return;
    change(m, m->fit.spans[span].page, m->fit.spans[span].pages, FREE, ABSENT);
    dcmi_fit_remove(&m->fit, span);
}

static void
cut_one(model *m)
{
    uint32_t span = random_free_span(m);
    if (!span || m->fit.spans[span].pages < 2)
        return;
    uint64_t pages = 1 + random_below(m, m->fit.spans[span].pages - 1);
    uint64_t end = m->fit.spans[span].page + m->fit.spans[span].pages;
    change(m, end - pages, pages, FREE, ABSENT);
    dcmi_fit_cut(&m->fit, span, pages);
}

static void
step(model *m)
{
    uint64_t what = random_below(m, 100);
    if (what < 45)
        take(m, 1 + random_below(m, random_below(m, 8) ? 16 : 300), 1);
    else if (what < 52)
        take(m, 1 + random_below(m, 40), 1ull << random_below(m, 8));
    else if (what < 88 && m->used_count > 0)
        give(m, (unsigned)random_below(m, m->used_count));
    else if (what < 95)
        add(m, what & 1);
    else if (what < 97)
        remove_one(m);
    else
        cut_one(m);
}

static void
give_all(model *m)
{
    while (m->used_count > 0)
        give(m, m->used_count - 1);
}

/* Stretches are runs that no span links to what is before them. */
static uint64_t
stretches(const model *m)
{
    uint64_t n = 0;
    for (uint32_t i = DCMI_SPAN_TAIL + 1; i < m->fit.high; i++)
        n += dcmi_span_state(&m->fit.spans[i]) && !m->fit.spans[i].before;
    return n;
}

static void
walk(uint64_t steps, uint64_t seed)
{
    model *m = malloc(sizeof *m);
    EXPECT(m);
    model_open(m, seed);
    for (uint64_t i = 0; i < steps; i++) {
        step(m);
        agree(m);
        EXPECT_EQ(m->fit.stretches, stretches(m));
        uint32_t most = largest_span(&m->fit);
        EXPECT_EQ(most ? m->fit.spans[most].pages : 0, largest(m));
    }
    give_all(m);
    agree(m);
    EXPECT_EQ(count(m, USED), 0);
    EXPECT_EQ(free_spans(m), stretches(m));

    for (uint32_t span; (span = random_free_span(m));) {
        change(m, m->fit.spans[span].page, m->fit.spans[span].pages, FREE, ABSENT);
        dcmi_fit_remove(&m->fit, span);
    }
    agree(m);
    EXPECT_EQ(count(m, FREE), 0);
    EXPECT_EQ(m->fit.stretches, 0);
    EXPECT_EQ(m->fit.first_level, 0);
    model_close(m);
    free(m);
}

TEST(fit__agrees_with_a_state_for_every_page)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        walk(1000, seed);
}

LONG_TEST(fit__agrees_with_a_state_for_every_page_for_long)
{
    for (uint64_t seed = 5; seed <= 8; seed++)
        walk(test_scaled(25000), seed);
}

/* ---- Single properties ---- */

static dcmi_fit
fit_of(uint64_t pages)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    EXPECT(dcmi_fit_add(&fit, FIRST, pages, 0, true));
    return fit;
}

static void
fit_end(dcmi_fit *fit)
{
    EXPECT_OK(dcmi_fit_check(fit));
    dcmi_fit_fini(fit);
}

TEST(fit__an_empty_one_gives_nothing)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    EXPECT_EQ(dcmi_fit_take(&fit, 1, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(largest_span(&fit), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_tail(&fit), 0);
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 0);
    fit_end(&fit);
}

TEST(fit__zero_pages_and_absurdly_many_are_refused)
{
    dcmi_fit fit = fit_of(64);
    EXPECT_EQ(dcmi_fit_take(&fit, 0, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_take(&fit, 65, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_take(&fit, DCMI_FIT_MOST_PAGES, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_take(&fit, UINT64_MAX, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_take(&fit, UINT64_MAX, 2), DCMI_SPAN_NONE);
    EXPECT(!dcmi_fit_add(&fit, 2 * FIRST, (uint64_t)DCMI_FIT_MOST_PAGES + 1, 0, false));
    EXPECT_EQ(fit.free_pages, 64);
    fit_end(&fit);
}

TEST(fit__what_is_given_back_joins_both_neighbours)
{
    dcmi_fit fit = fit_of(30);
    uint32_t left = dcmi_fit_take(&fit, 10, 1), middle = dcmi_fit_take(&fit, 10, 1), right = dcmi_fit_take(&fit, 10, 1);
    EXPECT_EQ(fit.free_pages, 0);
    dcmi_fit_give(&fit, left);
    dcmi_fit_give(&fit, right);
    EXPECT_EQ(dcmi_fit_take(&fit, 11, 1), DCMI_SPAN_NONE);
    dcmi_fit_give(&fit, middle);
    EXPECT_EQ(fit.spans[largest_span(&fit)].pages, 30);
    fit_end(&fit);
}

TEST(fit__growth_continues_the_stretch_and_joins_its_free_end)
{
    dcmi_fit fit = fit_of(10);
    EXPECT_EQ(dcmi_fit_tail(&fit), (FIRST + 10) * DCMI_PAGE);
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 10);
    EXPECT(dcmi_fit_add(&fit, FIRST + 10, 5, 0, true));
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 15);
    EXPECT_EQ(fit.stretches, 1);
    EXPECT(dcmi_fit_take(&fit, 15, 1) != DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 0);
    fit_end(&fit);
}

TEST(fit__growth_elsewhere_begins_a_new_stretch)
{
    dcmi_fit fit = fit_of(10);
    EXPECT(dcmi_fit_add(&fit, FIRST + 20, 5, 0, true));
    EXPECT_EQ(fit.stretches, 2);
    EXPECT_EQ(dcmi_fit_tail(&fit), (FIRST + 25) * DCMI_PAGE);
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 5);
    EXPECT_EQ(dcmi_fit_take(&fit, 11, 1), DCMI_SPAN_NONE);
    fit_end(&fit);
}

TEST(fit__memory_that_is_no_growth_is_not_joined_even_where_it_touches)
{
    dcmi_fit fit = fit_of(10);
    EXPECT(dcmi_fit_add(&fit, FIRST + 10, 10, 3, false));
    EXPECT_EQ(fit.stretches, 2);
    EXPECT_EQ(dcmi_fit_take(&fit, 11, 1), DCMI_SPAN_NONE);
    EXPECT_EQ(dcmi_fit_tail_pages(&fit), 10);
    fit_end(&fit);
}

TEST(fit__the_end_that_was_cut_off_can_grow_again)
{
    dcmi_fit fit = fit_of(10);
    dcmi_fit_cut(&fit, largest_span(&fit), 4);
    EXPECT_EQ(dcmi_fit_tail(&fit), (FIRST + 6) * DCMI_PAGE);
    EXPECT(dcmi_fit_add(&fit, FIRST + 6, 4, 0, true));
    EXPECT_EQ(fit.spans[largest_span(&fit)].pages, 10);
    EXPECT_EQ(fit.stretches, 1);
    fit_end(&fit);
}

TEST(fit__the_largest_but_the_growing_end_is_another)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    EXPECT(dcmi_fit_add(&fit, FIRST, 100, 1, false));
    EXPECT(dcmi_fit_add(&fit, 2 * FIRST, 50, 2, false));
    EXPECT(dcmi_fit_add(&fit, 3 * FIRST, 5000, 0, true));
    uint32_t tail = dcmi_fit_tail_span(&fit);
    EXPECT_EQ(fit.spans[tail].pages, 5000);
    EXPECT_EQ(largest_span(&fit), tail);
    EXPECT_EQ(fit.spans[dcmi_fit_largest(&fit, tail)].pages, 100);

    EXPECT_EQ(dcmi_fit_take(&fit, 5000, 1), tail);
    EXPECT_EQ(dcmi_fit_tail_span(&fit), DCMI_SPAN_NONE);
    fit_end(&fit);
}

TEST(fit__a_span_remembers_its_segment_through_cuts)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    EXPECT(dcmi_fit_add(&fit, FIRST, 100, 12345, false));
    for (unsigned i = 0; i < 10; i++)
        EXPECT_EQ(dcmi_span_segment(&fit.spans[dcmi_fit_take(&fit, 7, 1)]), 12345);
    fit_end(&fit);
}

TEST(fit__an_exact_fit_is_found_before_a_larger_span_is_cut)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    EXPECT(dcmi_fit_add(&fit, FIRST, 4000, 1, false));
    EXPECT(dcmi_fit_add(&fit, 2 * FIRST, 1001, 2, false));
    EXPECT_EQ(dcmi_span_segment(&fit.spans[dcmi_fit_take(&fit, 1001, 1)]), 2);
    fit_end(&fit);
}

/* 64 and 65 pages share a list, whose spans may fit a request for 64 or not. */
TEST(fit__of_several_spans_in_one_list_the_smallest_that_fits_is_taken)
{
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    const uint64_t sizes[] = {65, 64, 65};
    for (unsigned i = 0; i < 3; i++)
        EXPECT(dcmi_fit_add(&fit, FIRST + 1000 * i, sizes[i], i, false));
    uint32_t first = dcmi_fit_take(&fit, 64, 1), second = dcmi_fit_take(&fit, 65, 1);
    EXPECT_EQ(fit.spans[first].page, FIRST + 1000);
    EXPECT_EQ(fit.spans[first].pages, 64);
    EXPECT_EQ(fit.spans[second].pages, 65);
    dcmi_fit_give(&fit, first);
    dcmi_fit_give(&fit, second);
    EXPECT_OK(dcmi_fit_check(&fit));
    dcmi_fit_fini(&fit);
}

TEST(fit__without_descriptors_requests_still_work_and_nothing_is_lost)
{
    dcmi_fit fit = fit_of(1000);
    uint32_t capacity = fit.capacity;
    fit.capacity = fit.high;
    EXPECT(!dcmi_fit_add(&fit, 2 * FIRST, 10, 0, false));
    EXPECT_EQ(dcmi_fit_take(&fit, 8, 8), DCMI_SPAN_NONE);

    uint32_t span = dcmi_fit_take(&fit, 8, 1);
    EXPECT(span != DCMI_SPAN_NONE);
    EXPECT_EQ(fit.spans[span].pages, 1000); /* whole: there is no descriptor for the rest */
    EXPECT_EQ(dcmi_fit_take(&fit, 1, 1), DCMI_SPAN_NONE);
    EXPECT_OK(dcmi_fit_check(&fit));
    dcmi_fit_give(&fit, span);
    EXPECT_EQ(fit.free_pages, 1000);
    fit.capacity = capacity;
    fit_end(&fit);
}

TEST(fit__descriptors_are_used_again)
{
    dcmi_fit fit = fit_of(64);
    for (unsigned round = 0; round < 1000; round++) {
        uint32_t a = dcmi_fit_take(&fit, 3, 1), b = dcmi_fit_take(&fit, 5, 4);
        dcmi_fit_give(&fit, a);
        dcmi_fit_give(&fit, b);
    }
    EXPECT_LE(fit.high, 16);
    fit_end(&fit);
}

TEST(fit__reset_forgets_everything)
{
    dcmi_fit fit = fit_of(64);
    EXPECT(dcmi_fit_take(&fit, 3, 1));
    dcmi_fit_reset(&fit);
    EXPECT_EQ(fit.free_pages, 0);
    EXPECT_EQ(dcmi_fit_tail(&fit), 0);
    EXPECT(dcmi_fit_add(&fit, FIRST, 8, 0, true));
    EXPECT_EQ(fit.spans[largest_span(&fit)].pages, 8);
    fit_end(&fit);
}

static const char *refused; /* what of the reservations is made to fail */
static unsigned asked, refused_first;

static bool
refuse_first(const char *what)
{
    refused = what;
    return asked++ < refused_first;
}

TEST(fit__less_address_space_means_fewer_descriptors)
{
    asked = 0;
    refused_first = 2;
    dcmi_os_fault = refuse_first;
    dcmi_fit fit;
    EXPECT_OK(dcmi_fit_init(&fit));
    dcmi_os_fault = NULL;
    EXPECT_EQ(fit.capacity, (1u << 22) / 16);
    EXPECT(refused != NULL);
    fit_end(&fit);
}

TEST(fit__no_address_space_at_all_is_told)
{
    asked = 0;
    refused_first = UINT32_MAX;
    EXPECT(dcmi_thread_get()); /* where the detail is written */
    dcmi_os_fault = refuse_first;
    dcmi_fit fit;
    dcmem_result result = dcmi_fit_init(&fit);
    dcmi_os_fault = NULL;
    EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("descriptors");
}

/* The check is worth something only if it finds what is broken. */
TEST(fit__check_finds_what_is_broken)
{
    dcmi_fit fit = fit_of(64);
    uint32_t used = dcmi_fit_take(&fit, 10, 1);
    uint32_t free = largest_span(&fit);

    fit.free_pages++;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("sum of free pages");
    fit.free_pages--;

    fit.spans[used].pages--;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    fit.spans[used].pages++;

    fit.spans[free].before = DCMI_SPAN_NONE;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("neighbour");
    fit.spans[free].before = used;

    fit.second_level[0] ^= 1u << 3;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    EXPECT_DETAIL("bit");
    fit.second_level[0] ^= 1u << 3;

    fit.first_level ^= 1u << 9;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    fit.first_level ^= 1u << 9;

    fit.spans[free].segment_state ^= DCMI_SPAN_FREE ^ DCMI_SPAN_USED;
    EXPECT_RESULT(dcmi_fit_check(&fit), DCMEM_E_INTERNAL);
    fit.spans[free].segment_state ^= DCMI_SPAN_FREE ^ DCMI_SPAN_USED;
    fit_end(&fit);
}
