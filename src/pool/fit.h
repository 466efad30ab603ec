/* fit.h: good fit with coalescing in O(1): TLSF over pages (Masmano, Ripoll, Crespo, Real: "TLSF: a New Dynamic Memory
 * Allocator for Real-Time Systems", 2004), its descriptors outside the memory it manages, 32 lists an octave.
 *
 * A span is a run of pages, free or used. Spans of one stretch of address space are linked in address order; a
 * stretch ends where memory ends. Invariants: (1) no two free neighbours; (2) a free span is in the list of its size;
 * (3) a bit is set exactly where its list is not empty; (4) free_pages is the sum of the free spans' pages.
 *
 * Nothing here locks: the region's lock guards it all. */
#ifndef DCMI_FIT_H
#define DCMI_FIT_H

#include "base/os.h"

#include <dcmem/result.h>
#include <stdbool.h>

#define DCMI_FIT_LISTS      32u
#define DCMI_FIT_LEVELS     28u
#define DCMI_FIT_MOST_PAGES UINT32_MAX

#define DCMI_SPAN_NONE 0u /* index */
#define DCMI_SPAN_TAIL 1u /* index: a span of no pages that marks the growing stretch's end */
#define DCMI_SPAN_FREE 1u
#define DCMI_SPAN_USED 2u

typedef struct dcmi_span {
    uint32_t before, after; /* neighbours by address; NONE at a stretch's end */
    uint32_t list_before, list_after;
    uint64_t page; /* first page's number: address / 4096 */
    uint32_t pages;
    uint32_t segment_state; /* segment << 2 | state */
} dcmi_span;

_Static_assert(sizeof(dcmi_span) == 32, "two to a cache line");

typedef struct dcmi_fit {
    dcmi_span *spans; /* reserved; index 0 is NONE */
    uint32_t capacity;
    uint32_t high;  /* indices from here on were never used */
    uint32_t spare; /* list of descriptors without a span, by list_after */
    uint32_t first_level;
    uint32_t second_level[DCMI_FIT_LEVELS];
    uint32_t heads[DCMI_FIT_LEVELS][DCMI_FIT_LISTS];
    uint64_t free_pages;
    uint64_t stretches; /* runs of spans without a gap */
} dcmi_fit;

dcmem_result dcmi_fit_init(dcmi_fit *fit);
void dcmi_fit_fini(dcmi_fit *fit);
void dcmi_fit_reset(dcmi_fit *fit);

static inline unsigned
dcmi_span_state(const dcmi_span *span)
{
    return span->segment_state & 3;
}

static inline uint32_t
dcmi_span_segment(const dcmi_span *span)
{
    return span->segment_state >> 2;
}

static inline uint64_t
dcmi_span_address(const dcmi_span *span)
{
    return span->page << DCMI_PAGE_SHIFT;
}

/* A used span of exactly `pages`, first page a multiple of `align_pages` (a power of two), or NONE. */
uint32_t dcmi_fit_take(dcmi_fit *fit, uint64_t pages, uint64_t align_pages);

/* Frees a span and joins it with free neighbours. */
void dcmi_fit_give(dcmi_fit *fit, uint32_t span);

/* Adds free pages. A growth that begins where the last one ended continues its stretch and is joined to it. False when
 * there is no descriptor left or pages > DCMI_FIT_MOST_PAGES. */
bool dcmi_fit_add(dcmi_fit *fit, uint64_t page, uint64_t pages, uint32_t segment, bool is_growth);

/* Free pages at the end of the growing stretch: what a growth need not bring. */
uint64_t dcmi_fit_tail_pages(const dcmi_fit *fit);

/* The address at which the next growth would continue the stretch; 0 before the first one. */
static inline uint64_t
dcmi_fit_tail(const dcmi_fit *fit)
{
    return fit->spans[DCMI_SPAN_TAIL].page << DCMI_PAGE_SHIFT;
}

/* Takes a free span out for good: its neighbours become ends of stretches. */
void dcmi_fit_remove(dcmi_fit *fit, uint32_t span);

/* Shrinks a free span from its end by `pages` < its own; the rest becomes an end of a stretch. */
void dcmi_fit_cut(dcmi_fit *fit, uint32_t span, uint64_t pages);

/* The largest free span other than `except`, or NONE. */
uint32_t dcmi_fit_largest(const dcmi_fit *fit, uint32_t except);

/* The free span at the end of the growing stretch, or NONE. */
uint32_t dcmi_fit_tail_span(const dcmi_fit *fit);

/* Walks everything; DCMEM_E_INTERNAL with the broken invariant. */
dcmem_result dcmi_fit_check(const dcmi_fit *fit);

#endif
