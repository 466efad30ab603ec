/* map.h: from a block's address to what is known of it: a table a pool, and the live mark of every block.
 *
 * The address space is cut into leaves of 8 GiB, counted from a base that the first memory sets, so that a pool's
 * memory mostly lies in the first, the near leaf: a free then finds its page with one load. The others hang from a
 * root. A leaf is address space that costs memory where it is touched:
 *
 *     pages: 8 bytes a page: {span or slab, kind, live mark}. Of a run of pages only the first has one; of a slab
 *            every page has the slab and kind.
 *     slots: 2 bytes for every 64 bytes: the live mark of a slab's block stands where the block begins.
 *
 * A live mark is 0 for what is not the start of a live block, else 1 + what the block has beyond the request, in units
 * of its class; its top bit says who holds the block. So one load and one comparison tell whether an address may be
 * freed and by whom, and the figures of fragmentation are exact.
 *
 * Marks are relaxed atomics: the owner of a block writes them alone; a caller's mistake may read them at any time. */
#ifndef DCMI_MAP_H
#define DCMI_MAP_H

#include "base/fail.h"
#include "base/os.h"

#include <dcmem/result.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define DCMI_ADDRESS_BITS 47
#define DCMI_LEAF_BITS    33
#define DCMI_LEAF_BYTES   (1ull << DCMI_LEAF_BITS)
#define DCMI_LEAF_PAGES   (1u << (DCMI_LEAF_BITS - DCMI_PAGE_SHIFT))
#define DCMI_ROOT_ENTRIES (1u << (DCMI_ADDRESS_BITS - DCMI_LEAF_BITS))

typedef struct dcmi_page {
    _Atomic uint32_t owner; /* span, or slab where the kind is a slab's; region in the top bits */
    union {
        _Atomic uint16_t kind;
        _Atomic uint8_t kind_bytes[2];
    };
    _Atomic uint16_t live;
} dcmi_page;

_Static_assert(sizeof(dcmi_page) == 8, "one word a page");

/* A page's kind: class + 1 in the lower byte, or 0 with what else it is above. */
#define DCMI_PAGE_NONE   0u
#define DCMI_PAGE_DIRECT 0x100u  /* a run that is no class's */
#define DCMI_PAGE_SLAB   0x8000u /* blocks are cut from it */
#define DCMI_PAGE_CLASS  0xffu

/* Which of kind_bytes[] is the lower one. */
#define DCMI_PAGE_CLASS_BYTE (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

typedef struct dcmi_leaf {
    dcmi_page pages[DCMI_LEAF_PAGES];
    _Atomic uint16_t slots[DCMI_LEAF_BYTES / 64];
} dcmi_leaf;

#define DCMI_SLAB_MOST_BLOCKS 256u

/* Who holds a block: whoever asked for raw memory, or the library itself: a buffer, its host side, a stage of a copy.
 * Raw calls refuse the library's blocks. */
#define DCMI_HOLDER_CALLER  0u
#define DCMI_HOLDER_LIBRARY 0x8000u
#define DCMI_MARK_MOST      0x7fffu

typedef struct dcmi_map {
    _Atomic uint64_t base; /* no address lies near it until the first memory sets it */
    dcmi_leaf *near;
    _Atomic(dcmi_leaf *) *root; /* by leaf, counted from the base and around; [0] is near */
} dcmi_map;

#define DCMI_MAP_NO_BASE (1ull << 63) /* not an address of any program */

static inline bool
dcmi_map_has_memory(const dcmi_map *map)
{
    return atomic_load_explicit(&map->base, memory_order_relaxed) != DCMI_MAP_NO_BASE;
}

dcmem_result dcmi_map_init(dcmi_map *map);
void dcmi_map_fini(dcmi_map *map);

/* As after init. */
void dcmi_map_reset(dcmi_map *map);

/* Makes the leaves of an interval. */
dcmem_result dcmi_map_cover(dcmi_map *map, uint64_t address, uint64_t bytes);

/* A page of the map, and the leaf it is in. */
typedef struct dcmi_cell {
    dcmi_leaf *leaf; /* NULL: no memory near that address was ever held */
    uint64_t offset; /* in the leaf's interval */
} dcmi_cell;

static inline dcmi_cell
dcmi_map_cell(const dcmi_map *map, uint64_t address)
{
    uint64_t offset = address - atomic_load_explicit(&map->base, memory_order_relaxed);
    if (DCMI_LIKELY(offset >> DCMI_LEAF_BITS == 0)) {
        dcmi_leaf *near = map->near;
        if (!near)
            __builtin_unreachable(); /* COVER: it is never NULL; saying so spares the caller a test */
        return (dcmi_cell){near, offset};
    }
    if (address >> DCMI_ADDRESS_BITS)
        return (dcmi_cell){NULL, 0};
    dcmi_leaf *leaf =
        atomic_load_explicit(&map->root[offset >> DCMI_LEAF_BITS & (DCMI_ROOT_ENTRIES - 1)], memory_order_acquire);
    return (dcmi_cell){leaf, offset & (DCMI_LEAF_BYTES - 1)};
}

static inline dcmi_page *
dcmi_cell_page(dcmi_cell cell)
{
    return &cell.leaf->pages[cell.offset >> DCMI_PAGE_SHIFT];
}

/* The live mark of a slab's block that begins there. */
static inline _Atomic uint16_t *
dcmi_cell_slot(dcmi_cell cell)
{
    return &cell.leaf->slots[cell.offset / 64];
}

/* The same of a block of either kind that begins there: from a leaf's beginning to its marks of that kind, and by how
 * much to shift the offset, which must be a multiple of a page or of a slot. */
#define DCMI_PAGE_MARK_BEGIN offsetof(dcmi_page, live)
#define DCMI_PAGE_MARK_SHIFT (DCMI_PAGE_SHIFT - 3)
#define DCMI_SLOT_MARK_BEGIN offsetof(dcmi_leaf, slots)
#define DCMI_SLOT_MARK_SHIFT 5

_Static_assert(offsetof(dcmi_leaf, pages) == 0, "where marks of pages begin");
_Static_assert(sizeof(dcmi_page) == DCMI_PAGE >> DCMI_PAGE_MARK_SHIFT, "from a page's mark to the next one's");
_Static_assert(sizeof(uint16_t) == 64u >> DCMI_SLOT_MARK_SHIFT, "from a slot's mark to the next one's");

static inline _Atomic uint16_t *
dcmi_leaf_mark(dcmi_leaf *leaf, uint64_t offset, uint64_t begin, unsigned shift)
{
    return (_Atomic uint16_t *)(void *)((char *)leaf + begin + (offset >> shift));
}

/* The entry of a page that is covered. */
static inline dcmi_page *
dcmi_map_page(const dcmi_map *map, uint64_t address)
{
    return dcmi_cell_page(dcmi_map_cell(map, address));
}

/* What the holder's live mark says, or what is not above 0: the block is not alive, or another holds it. */
static inline int16_t
dcmi_mark_for_holder(uint16_t live, unsigned holder)
{
    return (int16_t)(live ^ holder);
}

static inline void
dcmi_page_set(dcmi_page *page, uint32_t owner, unsigned kind)
{
    atomic_store_explicit(&page->owner, owner, memory_order_relaxed);
    atomic_store_explicit(&page->kind, (uint16_t)kind, memory_order_relaxed);
}

/* The class of a kind that has one. */
static inline unsigned
dcmi_page_class(unsigned kind)
{
    return (kind & DCMI_PAGE_CLASS) - 1u;
}

static inline bool
dcmi_page_is_slab(unsigned kind)
{
    return kind & DCMI_PAGE_SLAB;
}

#endif
