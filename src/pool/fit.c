/* fit.c: see fit.h.
 *
 * Level 0 has a list for each page count below 32; level n >= 1 covers 2^(n+4) to 2^(n+5) pages in 32 steps. A search
 * rounds up to the next list, where every span fits; before that it looks at a few spans of the list it would have to
 * skip, because one of them often fits exactly. */
#include "pool/fit.h"

#include "base/fail.h"
#include "base/size.h"

#define LIST_BITS    5u
#define MOST_SPANS   (1u << 22)
#define FEWEST_SPANS (1u << 12)
#define PROBES       4u

_Static_assert(1u << LIST_BITS == DCMI_FIT_LISTS, "a level's lists");

typedef struct list_index {
    unsigned level, list;
} list_index;

/* The list of a free span of `pages`. */
static list_index
list_of(uint64_t pages)
{
    if (pages < DCMI_FIT_LISTS)
        return (list_index){0, (unsigned)pages};
    unsigned log2 = dcmi_log2(pages);
    return (list_index){log2 - LIST_BITS + 1, (unsigned)(pages >> (log2 - LIST_BITS)) & (DCMI_FIT_LISTS - 1)};
}

/* `pages` rounded up so that every span in its list fits. */
static uint64_t
list_round(uint64_t pages)
{
    if (pages < DCMI_FIT_LISTS)
        return pages;
    uint64_t step = 1ull << (dcmi_log2(pages) - LIST_BITS);
    return (pages + step - 1) & ~(step - 1);
}

static void
set_state(dcmi_span *span, unsigned state)
{
    span->segment_state = (span->segment_state & ~3u) | state;
}

dcmem_result
dcmi_fit_init(dcmi_fit *fit)
{
    *fit = (dcmi_fit){.high = DCMI_SPAN_TAIL + 1};
    for (uint32_t capacity = MOST_SPANS; capacity >= FEWEST_SPANS; capacity /= 4) {
        fit->spans = dcmi_os_reserve((uint64_t)capacity * sizeof *fit->spans);
        fit->capacity = capacity;
        if (fit->spans) {
            set_state(&fit->spans[DCMI_SPAN_TAIL], DCMI_SPAN_USED);
            return DCMEM_OK;
        }
    }
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for block descriptors; raise the limit (ulimit -v)");
}

void
dcmi_fit_fini(dcmi_fit *fit)
{
    dcmi_os_unreserve(fit->spans, (uint64_t)fit->capacity * sizeof *fit->spans);
    fit->spans = NULL;
}

void
dcmi_fit_reset(dcmi_fit *fit)
{
    dcmi_os_forget(fit->spans, (uint64_t)fit->capacity * sizeof *fit->spans);
    *fit = (dcmi_fit){.spans = fit->spans, .capacity = fit->capacity, .high = DCMI_SPAN_TAIL + 1};
    set_state(&fit->spans[DCMI_SPAN_TAIL], DCMI_SPAN_USED);
}

static uint32_t
descriptor_take(dcmi_fit *fit)
{
    uint32_t index = fit->spare;
    if (index) {
        fit->spare = fit->spans[index].list_after;
        return index;
    }
    return fit->high < fit->capacity ? fit->high++ : DCMI_SPAN_NONE;
}

static void
descriptor_give(dcmi_fit *fit, uint32_t index)
{
    fit->spans[index] = (dcmi_span){.list_after = fit->spare};
    fit->spare = index;
}

static inline void
list_insert(dcmi_fit *fit, uint32_t index)
{
    dcmi_span *span = &fit->spans[index];
    list_index at = list_of(span->pages);
    uint32_t head = fit->heads[at.level][at.list];

    span->list_before = DCMI_SPAN_NONE;
    span->list_after = head;
    if (head)
        fit->spans[head].list_before = index;
    fit->heads[at.level][at.list] = index;
    fit->first_level |= 1u << at.level;
    fit->second_level[at.level] |= 1u << at.list;
    set_state(span, DCMI_SPAN_FREE);
    fit->free_pages += span->pages;
}

static inline void
list_remove(dcmi_fit *fit, uint32_t index)
{
    dcmi_span *span = &fit->spans[index];
    list_index at = list_of(span->pages);

    if (span->list_after)
        fit->spans[span->list_after].list_before = span->list_before;
    if (span->list_before) {
        fit->spans[span->list_before].list_after = span->list_after;
    } else {
        fit->heads[at.level][at.list] = span->list_after;
        if (!span->list_after) {
            fit->second_level[at.level] &= ~(1u << at.list);
            if (!fit->second_level[at.level])
                fit->first_level &= ~(1u << at.level);
        }
    }
    set_state(span, DCMI_SPAN_USED);
    fit->free_pages -= span->pages;
}

/* The first non-empty list at or above. */
static uint32_t
first_at_least(const dcmi_fit *fit, uint64_t pages)
{
    list_index at = list_of(list_round(pages));
    if (at.level >= DCMI_FIT_LEVELS)
        return DCMI_SPAN_NONE;

    uint32_t lists = fit->second_level[at.level] & (~0u << at.list);
    if (!lists) {
        uint32_t levels = fit->first_level & (uint32_t)(~0ull << (at.level + 1));
        if (!levels)
            return DCMI_SPAN_NONE;
        at.level = (unsigned)__builtin_ctz(levels);
        lists = fit->second_level[at.level];
    }
    return fit->heads[at.level][__builtin_ctz(lists)];
}

/* The smallest that fits among a few of the list whose spans may fit or not. */
static uint32_t
probe(const dcmi_fit *fit, uint64_t pages)
{
    list_index at = list_of(pages);
    if (at.level == 0 || at.level >= DCMI_FIT_LEVELS)
        return DCMI_SPAN_NONE;

    uint32_t best = DCMI_SPAN_NONE;
    uint32_t index = fit->heads[at.level][at.list];
    for (unsigned i = 0; index && i < PROBES; i++, index = fit->spans[index].list_after)
        if (fit->spans[index].pages >= pages && (!best || fit->spans[index].pages < fit->spans[best].pages))
            best = index;
    return best;
}

/* Puts a new span behind `index`, in the same stretch. */
static void
link_after(dcmi_fit *fit, uint32_t index, uint32_t created)
{
    dcmi_span *span = &fit->spans[index];
    fit->spans[created].before = index;
    fit->spans[created].after = span->after;
    if (span->after)
        fit->spans[span->after].before = created;
    span->after = created;
}

/* Cuts a used span after `pages`; the rest becomes a span in the same state. NONE without a descriptor: the span then
 * stays whole, which costs memory but harms nothing. */
static uint32_t
split(dcmi_fit *fit, uint32_t index, uint64_t pages)
{
    uint32_t rest = descriptor_take(fit);
    if (!rest)
        return DCMI_SPAN_NONE;
    dcmi_span *span = &fit->spans[index];
    fit->spans[rest] = (dcmi_span){
        .page = span->page + pages,
        .pages = span->pages - (uint32_t)pages,
        .segment_state = span->segment_state,
    };
    span->pages = (uint32_t)pages;
    link_after(fit, index, rest);
    return rest;
}

/* Gives the pages in front of the first aligned one back. */
static uint32_t
cut_front(dcmi_fit *fit, uint32_t index, uint64_t align_pages)
{
    uint64_t skip = -fit->spans[index].page & (align_pages - 1);
    if (skip == 0)
        return index;
    uint32_t aligned = split(fit, index, skip);
    list_insert(fit, index);
    return aligned;
}

uint32_t
dcmi_fit_take(dcmi_fit *fit, uint64_t pages, uint64_t align_pages)
{
    /* Without a spare descriptor an aligned span could not be cut out. */
    uint64_t search = pages + align_pages - 1;
    bool lacks_descriptors = align_pages > 1 && fit->high + 2 >= fit->capacity;
    if (pages == 0 || search < pages || search > DCMI_FIT_MOST_PAGES || lacks_descriptors)
        return DCMI_SPAN_NONE;

    uint32_t index = probe(fit, search);
    if (!index)
        index = first_at_least(fit, search);
    if (!index)
        return DCMI_SPAN_NONE;

    list_remove(fit, index);
    if (align_pages > 1)
        index = cut_front(fit, index, align_pages);
    if (fit->spans[index].pages > pages) {
        uint32_t rest = split(fit, index, pages);
        if (rest)
            list_insert(fit, rest);
    }
    return index;
}

/* Joins `right` onto `left`, its neighbour; both out of the lists. */
static void
join(dcmi_fit *fit, uint32_t left, uint32_t right)
{
    dcmi_span *l = &fit->spans[left], *r = &fit->spans[right];
    l->pages += r->pages;
    l->after = r->after;
    if (r->after)
        fit->spans[r->after].before = left;
    descriptor_give(fit, right);
}

static bool
can_join(const dcmi_fit *fit, uint32_t index, const dcmi_span *with)
{
    return index && dcmi_span_state(&fit->spans[index]) == DCMI_SPAN_FREE &&
           (uint64_t)fit->spans[index].pages + with->pages <= DCMI_FIT_MOST_PAGES;
}

void
dcmi_fit_give(dcmi_fit *fit, uint32_t index)
{
    uint32_t after = fit->spans[index].after;
    if (can_join(fit, after, &fit->spans[index])) {
        list_remove(fit, after);
        join(fit, index, after);
    }
    uint32_t before = fit->spans[index].before;
    if (can_join(fit, before, &fit->spans[index])) {
        list_remove(fit, before);
        join(fit, before, index);
        index = before;
    }
    list_insert(fit, index);
}

/* Where the growing stretch ends now: detached from the old one when the new memory does not follow it. */
static void
tail_move(dcmi_fit *fit, uint64_t page)
{
    dcmi_span *tail = &fit->spans[DCMI_SPAN_TAIL];
    if (tail->before && tail->page != page) {
        fit->spans[tail->before].after = DCMI_SPAN_NONE;
        tail->before = DCMI_SPAN_NONE;
    }
    tail->page = page;
}

bool
dcmi_fit_add(dcmi_fit *fit, uint64_t page, uint64_t pages, uint32_t segment, bool is_growth)
{
    uint32_t index = pages <= DCMI_FIT_MOST_PAGES ? descriptor_take(fit) : DCMI_SPAN_NONE;
    if (!index)
        return false;
    dcmi_span *span = &fit->spans[index];
    *span = (dcmi_span){.page = page, .pages = (uint32_t)pages, .segment_state = segment << 2 | DCMI_SPAN_USED};

    if (is_growth) {
        tail_move(fit, page);
        dcmi_span *tail = &fit->spans[DCMI_SPAN_TAIL];
        span->before = tail->before;
        span->after = DCMI_SPAN_TAIL;
        if (tail->before)
            fit->spans[tail->before].after = index;
        tail->before = index;
        tail->page += pages;
    }
    fit->stretches += !span->before;
    dcmi_fit_give(fit, index);
    return true;
}

uint32_t
dcmi_fit_tail_span(const dcmi_fit *fit)
{
    uint32_t last = fit->spans[DCMI_SPAN_TAIL].before;
    return last && dcmi_span_state(&fit->spans[last]) == DCMI_SPAN_FREE ? last : DCMI_SPAN_NONE;
}

uint64_t
dcmi_fit_tail_pages(const dcmi_fit *fit)
{
    uint32_t last = dcmi_fit_tail_span(fit);
    return last ? fit->spans[last].pages : 0;
}

void
dcmi_fit_remove(dcmi_fit *fit, uint32_t index)
{
    dcmi_span *span = &fit->spans[index];
    bool is_last = span->after == DCMI_SPAN_TAIL;
    bool has_after = span->after && !is_last;
    list_remove(fit, index);
    fit->stretches += (span->before && has_after);
    fit->stretches -= (!span->before && !has_after);
    if (span->before)
        fit->spans[span->before].after = is_last ? DCMI_SPAN_TAIL : DCMI_SPAN_NONE;
    if (is_last)
        fit->spans[DCMI_SPAN_TAIL].page = span->page;
    if (span->after)
        fit->spans[span->after].before = is_last ? span->before : DCMI_SPAN_NONE;
    descriptor_give(fit, index);
}

void
dcmi_fit_cut(dcmi_fit *fit, uint32_t index, uint64_t pages)
{
    dcmi_span *span = &fit->spans[index];
    list_remove(fit, index);
    span->pages -= (uint32_t)pages;
    if (span->after == DCMI_SPAN_TAIL) {
        fit->spans[DCMI_SPAN_TAIL].page -= pages;
    } else if (span->after) {
        fit->spans[span->after].before = DCMI_SPAN_NONE;
        span->after = DCMI_SPAN_NONE;
        fit->stretches++;
    }
    list_insert(fit, index);
}

static uint32_t
largest_of_list(const dcmi_fit *fit, uint32_t head, uint32_t except)
{
    uint32_t best = DCMI_SPAN_NONE;
    for (uint32_t index = head; index; index = fit->spans[index].list_after)
        if (index != except && (!best || fit->spans[index].pages > fit->spans[best].pages))
            best = index;
    return best;
}

uint32_t
dcmi_fit_largest(const dcmi_fit *fit, uint32_t except)
{
    for (unsigned level = DCMI_FIT_LEVELS; level-- > 0;) {
        for (uint32_t lists = fit->second_level[level]; lists;) {
            unsigned list = 31u - (unsigned)__builtin_clz(lists);
            uint32_t best = largest_of_list(fit, fit->heads[level][list], except);
            if (best)
                return best;
            lists &= ~(1u << list);
        }
    }
    return DCMI_SPAN_NONE;
}

static dcmem_result
broken(uint32_t index, const char *what)
{
    return dcmi_fail(DCMEM_E_INTERNAL, "span %u: %s", index, what);
}

static dcmem_result
check_span(const dcmi_fit *fit, uint32_t index)
{
    const dcmi_span *span = &fit->spans[index];
    if (span->pages == 0 && index != DCMI_SPAN_TAIL)
        return broken(index, "it has no pages"); /* COVER: tests break other invariants; so below */
    if (!span->after)
        return DCMEM_OK;

    const dcmi_span *after = &fit->spans[span->after];
    if (after->before != index)
        return broken(index, "its neighbour does not know it");
    if (after->page != span->page + span->pages)
        return broken(index, "its neighbour does not begin where it ends");
    if (dcmi_span_state(span) == DCMI_SPAN_FREE && dcmi_span_state(after) == DCMI_SPAN_FREE &&
        (uint64_t)span->pages + after->pages <= DCMI_FIT_MOST_PAGES) /* COVER: as above */
        return broken(index, "two free neighbours were not joined"); /* COVER: as above */
    return DCMEM_OK;
}

static dcmem_result
check_list(const dcmi_fit *fit, unsigned level, unsigned list, uint64_t *free_pages)
{
    uint32_t before = DCMI_SPAN_NONE;
    for (uint32_t index = fit->heads[level][list]; index; index = fit->spans[index].list_after) {
        const dcmi_span *span = &fit->spans[index];
        list_index at = list_of(span->pages);
        if (dcmi_span_state(span) != DCMI_SPAN_FREE)
            return broken(index, "it is in a free list and not free");
        if (at.level != level || at.list != list)
            return broken(index, "it is in another size's list"); /* COVER: as above */
        if (span->list_before != before)
            return broken(index, "its list is torn"); /* COVER: as above */
        before = index;
        *free_pages += span->pages;
    }
    bool has_bit = fit->second_level[level] >> list & 1;
    if (has_bit != (fit->heads[level][list] != DCMI_SPAN_NONE))
        return broken(fit->heads[level][list], "its list's bit is wrong");
    return DCMEM_OK;
}

dcmem_result
dcmi_fit_check(const dcmi_fit *fit)
{
    uint64_t free_pages = 0;
    for (unsigned level = 0; level < DCMI_FIT_LEVELS; level++) {
        for (unsigned list = 0; list < DCMI_FIT_LISTS; list++) {
            dcmem_result result = check_list(fit, level, list, &free_pages);
            if (result)
                return result;
        }
        if ((fit->first_level >> level & 1) != (fit->second_level[level] != 0))
            return broken(level, "its level's bit is wrong");
    }
    if (free_pages != fit->free_pages)
        return broken(0, "the sum of free pages is wrong");

    for (uint32_t index = 1; index < fit->high; index++) {
        if (!dcmi_span_state(&fit->spans[index]))
            continue;
        dcmem_result result = check_span(fit, index);
        if (result)
            return result;
    }
    return DCMEM_OK;
}
