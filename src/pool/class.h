/* class.h: size classes: which class serves a request, and what a class is. Pure.
 *
 * Sizes rise by 64 bytes up to 512 and by eight steps an octave from there to 1 GiB, so at most 1/8 of a block is
 * lost. Larger requests have no class: they are whole pages ("direct"). A request is turned into an index by
 * arithmetic and the index into the class that serves it by one table, which is where a pool's alignment and the
 * power-of-two policy live: both only mean that some classes are never used.
 *
 * A class whose size is not a whole number of pages is cut from slabs: runs of 4 to 16 pages that its blocks fill
 * without a rest. The others are runs of pages themselves. */
#ifndef DCMI_CLASS_H
#define DCMI_CLASS_H

#include "base/os.h"
#include "base/size.h"

#include <dcmem/manager.h>
#include <stdatomic.h>

#define DCMI_QUANTUM       64u
#define DCMI_CLASS_LARGEST (1ull << 30)
#define DCMI_CLASS_COUNT   176u
#define DCMI_INDEX_COUNT   448u         /* of requests of any 64-bit size; from DCMI_CLASS_COUNT on without a class */
#define DCMI_CLASS_NONE    0xffffu      /* direct blocks: no class */
#define DCMI_SMALL_LARGEST (64u * 1024) /* blocks up to here live in small regions */
#define DCMI_FIRST_LARGE   64u          /* the first class of large regions */

typedef struct dcmi_class {
    uint64_t bytes;
    uint16_t kind;       /* of its pages in the map */
    uint8_t slack_shift; /* unit of the slack in a live mark */
    uint8_t is_slab;
    uint8_t slab_pages;
} dcmi_class;

typedef struct dcmi_class_table {
    dcmi_class classes[DCMI_CLASS_COUNT];
    uint8_t serving[DCMI_CLASS_COUNT]; /* index of a request -> class that serves it */
} dcmi_class_table;

/* The largest class, 1 GiB, serves under every policy and alignment, so every index has a class. */
_Static_assert(DCMI_CLASS_COUNT <= 256, "a class fits a byte");

/* Below DCMI_CLASS_COUNT for 1 <= bytes <= DCMI_CLASS_LARGEST, below DCMI_INDEX_COUNT always. */
static inline unsigned
dcmi_class_index(uint64_t bytes)
{
    uint64_t n = bytes - 1;
    unsigned octave = dcmi_log2(n | 512);
    return (octave - 9) * 8 + (unsigned)(n >> (octave - 3));
}

/* The size of the class of that index, before the pool's alignment. */
uint64_t dcmi_class_bytes(unsigned index);

/* Builds a pool's table. `alignment` is a power of two, at least 64 and at most a page. */
void dcmi_class_table_init(dcmi_class_table *table, dcmem_sizing sizing, uint64_t alignment);

/* The class for `bytes` at `alignment` <= a page, or DCMI_CLASS_NONE. */
unsigned dcmi_class_for(const dcmi_class_table *table, uint64_t bytes, uint64_t alignment);

/* The classes of small or of large blocks. */
typedef struct dcmi_class_range {
    unsigned begin, end;
} dcmi_class_range;

static inline dcmi_class_range
dcmi_class_range_of(bool small, bool large)
{
    return (dcmi_class_range){small ? 0 : DCMI_FIRST_LARGE, large ? DCMI_CLASS_COUNT : DCMI_FIRST_LARGE};
}

/* A set of classes: where a walk over all of them would mostly find nothing. Any thread. */
#define DCMI_CLASS_WORDS ((DCMI_CLASS_COUNT + 63u) / 64)

typedef struct dcmi_class_set {
    _Atomic uint64_t words[DCMI_CLASS_WORDS];
} dcmi_class_set;

static inline void
dcmi_class_set_add(dcmi_class_set *set, unsigned class)
{
    uint64_t bit = 1ull << class % 64;
    if (!(atomic_load_explicit(&set->words[class / 64], memory_order_relaxed) & bit))
        atomic_fetch_or_explicit(&set->words[class / 64], bit, memory_order_relaxed);
}

static inline void
dcmi_class_set_clear(dcmi_class_set *set)
{
    for (unsigned word = 0; word < DCMI_CLASS_WORDS; word++)
        atomic_store_explicit(&set->words[word], 0, memory_order_relaxed);
}

/* The first class of the set from `class` on; DCMI_CLASS_COUNT when there is none. */
static inline unsigned
dcmi_class_set_next(const dcmi_class_set *set, unsigned class)
{
    for (unsigned word = class / 64; word < DCMI_CLASS_WORDS; word++, class = word * 64) {
        uint64_t left = atomic_load_explicit(&set->words[word], memory_order_relaxed) & ~0ull << class % 64;
        if (left)
            return word * 64 + (unsigned)__builtin_ctzll(left);
    }
    return DCMI_CLASS_COUNT;
}

static inline bool
dcmi_class_is_large(const dcmi_class *class)
{
    return class->bytes > DCMI_SMALL_LARGEST;
}

static inline unsigned
dcmi_slab_blocks(const dcmi_class *class)
{
    return (unsigned)((uint64_t)class->slab_pages * DCMI_PAGE / class->bytes);
}

#endif
