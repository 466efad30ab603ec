/* map.h: from a block's address to what is known of it: a two-level table a pool, and the live mark of every block.
 *
 * The root has an entry for each GiB of the 47-bit address space; a leaf, made when its GiB is first used, has
 *
 *     pages: 8 bytes a page: {span or slab, class + 1, live mark}. Of a run of pages only the first has one; of a slab
 *            every page has the slab and class.
 *     slots: 2 bytes for every 64 bytes: the live mark of a slab's block stands where the block begins.
 *
 * A live mark is 0 for what is not the start of a live block, else 1 + what the block has beyond the request, in units
 * of its class. So one load tells whether an address may be freed, and the figures of fragmentation are exact.
 *
 * Marks are relaxed atomics: the owner of a block writes them alone; a caller's mistake may read them at any time. */
#ifndef DCMI_MAP_H
#define DCMI_MAP_H

#include "base/os.h"

#include <dcmem/result.h>
#include <stdatomic.h>

#define DCMI_ADDRESS_BITS  47
#define DCMI_LEAF_BITS     30
#define DCMI_LEAF_BYTES    (1ull << DCMI_LEAF_BITS)
#define DCMI_LEAF_PAGES    (1u << (DCMI_LEAF_BITS - DCMI_PAGE_SHIFT))
#define DCMI_ROOT_ENTRIES  (1u << (DCMI_ADDRESS_BITS - DCMI_LEAF_BITS))

typedef struct dcmi_page {
    _Atomic uint32_t owner;        /* span, or slab where the class is a slab's; region in the top bits */
    _Atomic uint16_t class_plus_1; /* 0: no block begins here */
    _Atomic uint16_t live;
} dcmi_page;

typedef struct dcmi_leaf {
    dcmi_page pages[DCMI_LEAF_PAGES];
    _Atomic uint16_t slots[DCMI_LEAF_BYTES / 64];
} dcmi_leaf;

/* Byte offsets of live marks in a leaf: base + (offset in the GiB >> shift). */
#define DCMI_LEAF_PAGE_LIVE  6u
#define DCMI_LEAF_PAGE_SHIFT (DCMI_PAGE_SHIFT - 3)
#define DCMI_LEAF_SLOT_BASE  ((uint32_t)sizeof(dcmi_page) * DCMI_LEAF_PAGES)
#define DCMI_LEAF_SLOT_SHIFT 5u

_Static_assert(sizeof(dcmi_page) == 8, "the shift counts on it");
_Static_assert(offsetof(dcmi_page, live) == DCMI_LEAF_PAGE_LIVE, "the base counts on it");
_Static_assert(offsetof(dcmi_leaf, slots) == DCMI_LEAF_SLOT_BASE, "the base counts on it");

#define DCMI_SLAB_MOST_BLOCKS 256u

typedef struct dcmi_map {
    _Atomic(dcmi_leaf *) *root;
    _Atomic uint64_t leaf_count;
} dcmi_map;

dcmem_result dcmi_map_init(dcmi_map *map);
void dcmi_map_fini(dcmi_map *map);

/* Makes the leaves of an interval. */
dcmem_result dcmi_map_cover(dcmi_map *map, uint64_t address, uint64_t bytes);

/* The leaf of an address, or NULL. */
static inline dcmi_leaf *
dcmi_map_leaf(_Atomic(dcmi_leaf *) *root, uint64_t address)
{
    if (__builtin_expect(address >> DCMI_ADDRESS_BITS != 0, 0))
        return NULL;
    return atomic_load_explicit(&root[address >> DCMI_LEAF_BITS], memory_order_acquire);
}

static inline dcmi_page *
dcmi_leaf_page(dcmi_leaf *leaf, uint64_t address)
{
    return &leaf->pages[(address & (DCMI_LEAF_BYTES - 1)) >> DCMI_PAGE_SHIFT];
}

/* `base` and `shift` of the class whose block begins at `address`. */
static inline _Atomic uint16_t *
dcmi_leaf_live(dcmi_leaf *leaf, uint64_t address, uint32_t base, unsigned shift)
{
    return (_Atomic uint16_t *)(void *)((char *)leaf + base + ((address & (DCMI_LEAF_BYTES - 1)) >> shift));
}

/* The entry of a page that is covered. */
static inline dcmi_page *
dcmi_map_page(const dcmi_map *map, uint64_t address)
{
    return dcmi_leaf_page(dcmi_map_leaf(map->root, address), address);
}

void dcmi_page_set(dcmi_page *page, uint32_t owner, unsigned class_plus_1);

#endif
