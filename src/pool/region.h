/* region.h: a stretch-wise part of a pool: one lock, its spans (fit.h), its slabs.
 *
 * A pool has two regions an arena: one for blocks up to 64 KiB, one for larger ones. Mixed, small blocks that stay
 * would pin holes between the large ones; apart, each coalesces among its own kind. A region holds one kind of memory
 * and only blocks that stay where they are.
 *
 *   lock guards: fit, slabs, partial, spare_slab, growing.
 *
 * Slab states:   (none) --carve--> partial <--> full (in no list)
 *                   ^                 |
 *                   +-- all free -----+      one empty slab a class is kept, so that a class at its edge stays quiet
 */
#ifndef DCMI_REGION_H
#define DCMI_REGION_H

#include "base/lock.h"
#include "pool/class.h"
#include "pool/fit.h"
#include "pool/map.h"

#define DCMI_OWNER_BITS 26u /* a page's owner: region << 26 | span or slab */
#define DCMI_OWNER_MASK ((1u << DCMI_OWNER_BITS) - 1)

typedef struct dcmi_slab {
    uint64_t address;
    uint32_t span;
    uint32_t before, after; /* in its class's partial list */
    uint16_t class;
    uint16_t free;
    uint16_t total;
    uint16_t is_listed;
    uint32_t reserved;
    uint64_t map[DCMI_SLAB_MOST_BLOCKS / 64]; /* a bit for each free block */
} dcmi_slab;

_Static_assert(sizeof(dcmi_slab) == 64, "one cache line");

typedef struct dcmi_region {
    _Alignas(128) dcmi_lock lock;
    uint32_t id;
    const dcmi_class_table *table;
    dcmi_map *map;
    dcmi_fit fit;
    dcmi_slab *slabs; /* reserved; index 0 is none */
    uint32_t slab_capacity;
    uint32_t slab_high;
    uint32_t spare_slab;
    _Atomic uint64_t longest_pages;     /* of any run there ever was */
    _Atomic uint64_t out_bytes;         /* of blocks that are not here: live, in magazines, in the depot */
    uint64_t slab_free_bytes;           /* free blocks within slabs */
    uint32_t partial[DCMI_CLASS_COUNT]; /* slabs with free blocks */
    uint32_t empty_slabs[DCMI_CLASS_COUNT];
    uint64_t idle_low_pages; /* fewest free pages since the last look of the maintenance */
} dcmi_region;

dcmem_result dcmi_region_init(dcmi_region *region, uint32_t id, const dcmi_class_table *table, dcmi_map *map);
void dcmi_region_fini(dcmi_region *region);

/* As after init: no memory, no blocks. */
void dcmi_region_reset(dcmi_region *region);

/* Up to `count` free blocks of a class into `out`; how many there were. Blocks are not live yet. */
unsigned dcmi_region_take(uint64_t *out, dcmi_region *region, unsigned class, unsigned count)
    DCMI_REQUIRES(region->lock);

/* A run of `pages` that is no class's; 0 when none fits. */
uint64_t dcmi_region_take_pages(dcmi_region *region, uint64_t pages, uint64_t align_pages) DCMI_REQUIRES(region->lock);

/* Gives a block back that is not live any more. */
void dcmi_region_give(dcmi_region *region, uint64_t address) DCMI_REQUIRES(region->lock);

/* Gives the empty slabs' pages back to the spans. */
void dcmi_region_settle(dcmi_region *region) DCMI_REQUIRES(region->lock);

static inline dcmi_span *
dcmi_region_span(const dcmi_region *region, uint32_t owner)
{
    return &region->fit.spans[owner & DCMI_OWNER_MASK];
}

static inline dcmi_slab *
dcmi_region_slab(const dcmi_region *region, uint32_t owner)
{
    return &region->slabs[owner & DCMI_OWNER_MASK];
}

dcmem_result dcmi_region_check(const dcmi_region *region);

#endif
