/* class.c: see class.h. */
#include "pool/class.h"

#include "pool/map.h"

#define SLAB_TARGET_BYTES (16u * 1024) /* slabs of small classes reach this, so that one costs few list operations */

uint64_t
dcmi_class_bytes(unsigned index)
{
    if (index < 8)
        return (index + 1) * (uint64_t)DCMI_QUANTUM;
    unsigned octave = 9 + (index - 8) / 8;
    return (uint64_t)(9 + (index - 8) % 8) << (octave - 3);
}

/* The fewest pages that blocks of `bytes` fill without a rest, then as many of those as make a decent slab. */
static uint8_t
slab_pages(uint64_t bytes)
{
    uint64_t pages = 1;
    while (pages * DCMI_PAGE % bytes)
        pages++;
    uint64_t run = pages;
    while (run * DCMI_PAGE < SLAB_TARGET_BYTES && (run + pages) * DCMI_PAGE / bytes <= DCMI_SLAB_MOST_BLOCKS)
        run += pages;
    return (uint8_t)run;
}

/* The slack of a block must fit a mark that is never 0. At least half of a block of more than a page is in use. */
static uint8_t
slack_shift(uint64_t bytes)
{
    uint8_t shift = 0;
    while (bytes / 2 >> shift > DCMI_MARK_MOST - 1)
        shift++;
    return shift;
}

static dcmi_class
class_make(unsigned index)
{
    uint64_t bytes = dcmi_class_bytes(index);
    dcmi_class class = {.bytes = bytes, .slack_shift = slack_shift(bytes)};
    class.is_slab = bytes <= DCMI_PAGE || bytes % DCMI_PAGE;
    class.slab_pages = class.is_slab ? slab_pages(bytes) : 0;
    class.kind = (uint16_t)((index + 1) | (class.is_slab ? DCMI_PAGE_SLAB : 0));
    return class;
}

static bool
is_serving(uint64_t bytes, dcmem_sizing sizing, uint64_t alignment)
{
    return bytes % alignment == 0 && (sizing != DCMEM_SIZING_POWER_OF_TWO || dcmi_is_power_of_two(bytes));
}

void
dcmi_class_table_init(dcmi_class_table *table, dcmem_sizing sizing, uint64_t alignment)
{
    uint8_t serving = DCMI_CLASS_COUNT - 1;
    for (unsigned index = DCMI_CLASS_COUNT; index-- > 0;) {
        table->classes[index] = class_make(index);
        if (is_serving(table->classes[index].bytes, sizing, alignment))
            serving = (uint8_t)index;
        table->serving[index] = serving;
    }
}

unsigned
dcmi_class_for(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment)
{
    if (bytes > DCMI_CLASS_LARGEST)
        return DCMI_CLASS_NONE;
    for (unsigned index = dcmi_class_index(bytes); index < DCMI_CLASS_COUNT; index++) {
        unsigned class = table->serving[index];
        if ((table->classes[class].bytes & (alignment - 1)) == 0)
            return class;
    }
    return DCMI_CLASS_NONE; /* COVER: the largest class is a multiple of every alignment up to a page */
}
