/* region.c: see region.h. */
#include "pool/region.h"

#include "base/fail.h"

#include <string.h>

#define MOST_SLABS   (1u << 21)
#define FEWEST_SLABS (1u << 10)
#define EMPTY_KEPT   1u

dcmem_result
dcmi_region_init(dcmi_region *region, uint32_t id, const dcmi_class_table *table, dcmi_map *map)
{
    region->id = id;
    region->table = table;
    region->map = map;
    region->slab_high = 1;

    dcmem_result result = dcmi_fit_init(&region->fit);
    if (result)
        return result;
    for (uint32_t capacity = MOST_SLABS; capacity >= FEWEST_SLABS; capacity /= 4) {
        region->slabs = dcmi_os_reserve((uint64_t)capacity * sizeof *region->slabs);
        region->slab_capacity = capacity;
        if (region->slabs)
            return DCMEM_OK;
    }
    dcmi_fit_fini(&region->fit);
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for slab descriptors; raise the limit (ulimit -v)");
}

void
dcmi_region_fini(dcmi_region *region)
{
    if (!region->slabs)
        return;
    dcmi_fit_fini(&region->fit);
    dcmi_os_unreserve(region->slabs, (uint64_t)region->slab_capacity * sizeof *region->slabs);
    region->slabs = NULL;
}

void
dcmi_region_reset(dcmi_region *region)
{
    dcmi_fit_reset(&region->fit);
    dcmi_os_forget(region->slabs, (uint64_t)region->slab_capacity * sizeof *region->slabs);
    region->slab_high = 1;
    region->spare_slab = 0;
    region->slab_free_bytes = 0;
    atomic_store(&region->out_bytes, 0);
    region->idle_low_pages = 0;
    memset(region->partial, 0, sizeof region->partial);
    memset(region->empty_slabs, 0, sizeof region->empty_slabs);
}

/* ---- Slabs ---- */

static void
slab_list(dcmi_region *region, uint32_t index)
{
    dcmi_slab *slab = &region->slabs[index];
    uint32_t head = region->partial[slab->class];
    slab->before = 0;
    slab->after = head;
    if (head)
        region->slabs[head].before = index;
    region->partial[slab->class] = index;
    slab->is_listed = 1;
}

static void
slab_unlist(dcmi_region *region, uint32_t index)
{
    dcmi_slab *slab = &region->slabs[index];
    if (slab->after)
        region->slabs[slab->after].before = slab->before;
    if (slab->before)
        region->slabs[slab->before].after = slab->after;
    else
        region->partial[slab->class] = slab->after;
    slab->is_listed = 0;
}

static uint32_t
slab_descriptor(dcmi_region *region)
{
    uint32_t index = region->spare_slab;
    if (index) {
        region->spare_slab = region->slabs[index].after;
        return index;
    }
    return region->slab_high < region->slab_capacity ? region->slab_high++ : 0;
}

static void
slab_mark_pages(dcmi_region *region, const dcmi_slab *slab, uint32_t owner, unsigned kind)
{
    unsigned pages = region->table->classes[slab->class].slab_pages;
    for (unsigned i = 0; i < pages; i++)
        dcmi_page_set(dcmi_map_page(region->map, slab->address + (uint64_t)i * DCMI_PAGE), owner, kind);
}

/* A new slab with all its blocks free; 0 when no span fits. */
static uint32_t
slab_carve(dcmi_region *region, unsigned class)
{
    const dcmi_class *of = &region->table->classes[class];
    uint32_t index = slab_descriptor(region);
    if (!index)
        return 0;
    dcmi_slab *slab = &region->slabs[index];
    uint32_t span = dcmi_fit_take(&region->fit, of->slab_pages, 1);
    if (!span) {
        slab->after = region->spare_slab;
        region->spare_slab = index;
        return 0;
    }

    unsigned total = dcmi_slab_blocks(of);
    *slab = (dcmi_slab){
        .address = dcmi_span_address(&region->fit.spans[span]),
        .span = span,
        .class = (uint16_t)class,
        .free = (uint16_t)total,
        .total = (uint16_t)total,
    };
    for (unsigned word = 0; word * 64 < total; word++)
        slab->map[word] = total - word * 64 >= 64 ? UINT64_MAX : (1ull << (total - word * 64)) - 1;
    slab_mark_pages(region, slab, region->id << DCMI_OWNER_BITS | index, of->kind);
    slab_list(region, index);
    region->empty_slabs[class]++;
    region->slab_free_bytes += total * of->bytes;
    return index;
}

static void
slab_dissolve(dcmi_region *region, uint32_t index)
{
    dcmi_slab *slab = &region->slabs[index];
    slab_unlist(region, index);
    slab_mark_pages(region, slab, 0, DCMI_PAGE_NONE);
    region->empty_slabs[slab->class]--;
    region->slab_free_bytes -= slab->total * region->table->classes[slab->class].bytes;
    dcmi_fit_give(&region->fit, slab->span);
    *slab = (dcmi_slab){.after = region->spare_slab};
    region->spare_slab = index;
}

static uint64_t
slab_take(dcmi_region *region, uint32_t index)
{
    dcmi_slab *slab = &region->slabs[index];
    uint64_t bytes = region->table->classes[slab->class].bytes;
    unsigned word = 0;
    while (!slab->map[word])
        word++;
    unsigned bit = (unsigned)__builtin_ctzll(slab->map[word]);
    slab->map[word] &= slab->map[word] - 1;

    if (slab->free == slab->total)
        region->empty_slabs[slab->class]--;
    if (--slab->free == 0)
        slab_unlist(region, index);
    region->slab_free_bytes -= bytes;
    return slab->address + (word * 64 + bit) * bytes;
}

static void
slab_give(dcmi_region *region, uint32_t index, uint64_t address)
{
    dcmi_slab *slab = &region->slabs[index];
    uint64_t bytes = region->table->classes[slab->class].bytes;
    unsigned block = (unsigned)((address - slab->address) / bytes);
    CHECK(!(slab->map[block / 64] >> block % 64 & 1));

    slab->map[block / 64] |= 1ull << block % 64;
    region->slab_free_bytes += bytes;
    if (slab->free++ == 0)
        slab_list(region, index);
    if (slab->free == slab->total && ++region->empty_slabs[slab->class] > EMPTY_KEPT)
        slab_dissolve(region, index);
}

static unsigned
take_from_slabs(uint64_t *out, dcmi_region *region, unsigned class, unsigned count)
{
    unsigned taken = 0;
    while (taken < count) {
        uint32_t index = region->partial[class];
        /* A new slab only for the block that is needed: the others of a batch come for free or not at all. */
        if (!index && taken == 0)
            index = slab_carve(region, class);
        if (!index)
            break;
        out[taken++] = slab_take(region, index);
    }
    return taken;
}

/* ---- Runs of pages ---- */

static void
out_change(dcmi_region *region, uint64_t bytes)
{
    /* Written under the lock, read without it. */
    uint64_t out = atomic_load_explicit(&region->out_bytes, memory_order_relaxed);
    atomic_store_explicit(&region->out_bytes, out + bytes, memory_order_relaxed);
}

static void
note_low(dcmi_region *region)
{
    if (region->fit.free_pages < region->idle_low_pages)
        region->idle_low_pages = region->fit.free_pages;
}

static uint64_t
take_run(dcmi_region *region, uint64_t pages, uint64_t align_pages, unsigned kind)
{
    uint32_t span = dcmi_fit_take(&region->fit, pages, align_pages);
    if (!span)
        return 0;
    if (pages > atomic_load_explicit(&region->longest_pages, memory_order_relaxed))
        atomic_store_explicit(&region->longest_pages, pages, memory_order_relaxed);
    uint64_t address = dcmi_span_address(&region->fit.spans[span]);
    dcmi_page_set(dcmi_map_page(region->map, address), region->id << DCMI_OWNER_BITS | span, kind);
    return address;
}

unsigned
dcmi_region_take(uint64_t *out, dcmi_region *region, unsigned class, unsigned count)
{
    const dcmi_class *of = &region->table->classes[class];
    unsigned taken = 0;
    if (of->is_slab) {
        taken = take_from_slabs(out, region, class, count);
    } else {
        out[0] = take_run(region, of->bytes / DCMI_PAGE, 1, of->kind);
        taken = out[0] != 0;
    }
    out_change(region, taken * of->bytes);
    note_low(region);
    return taken;
}

uint64_t
dcmi_region_take_pages(dcmi_region *region, uint64_t pages, uint64_t align_pages)
{
    uint64_t address = take_run(region, pages, align_pages, DCMI_PAGE_DIRECT);
    if (address)
        out_change(region, pages << DCMI_PAGE_SHIFT);
    note_low(region);
    return address;
}

void
dcmi_region_give(dcmi_region *region, uint64_t address)
{
    dcmi_page *page = dcmi_map_page(region->map, address);
    uint32_t owner = atomic_load_explicit(&page->owner, memory_order_relaxed) & DCMI_OWNER_MASK;
    unsigned kind = atomic_load_explicit(&page->kind, memory_order_relaxed);
    uint64_t bytes = kind == DCMI_PAGE_DIRECT ? (uint64_t)region->fit.spans[owner].pages << DCMI_PAGE_SHIFT
                                              : region->table->classes[dcmi_page_class(kind)].bytes;
    out_change(region, -bytes);
    if (dcmi_page_is_slab(kind)) {
        slab_give(region, owner, address);
        return;
    }
    dcmi_page_set(page, 0, DCMI_PAGE_NONE);
    dcmi_fit_give(&region->fit, owner);
}

void
dcmi_region_settle(dcmi_region *region)
{
    for (unsigned class = 0; class < DCMI_FIRST_LARGE; class++) { /* larger blocks are whole pages */
        uint32_t index = region->empty_slabs[class] ? region->partial[class] : 0;
        while (index && region->empty_slabs[class]) {
            uint32_t after = region->slabs[index].after;
            if (region->slabs[index].free == region->slabs[index].total)
                slab_dissolve(region, index);
            index = after;
        }
    }
}

static dcmem_result
check_slab(const dcmi_region *region, uint32_t index)
{
    const dcmi_slab *slab = &region->slabs[index];
    unsigned free = 0;
    for (unsigned word = 0; word < sizeof slab->map / sizeof slab->map[0]; word++)
        free += (unsigned)__builtin_popcountll(slab->map[word]);
    if (free != slab->free)
        return dcmi_fail(DCMEM_E_INTERNAL, "slab %u: %u blocks are marked free, %u are counted", index, free,
                         slab->free);
    if ((slab->free > 0) != slab->is_listed)
        return dcmi_fail(DCMEM_E_INTERNAL, "slab %u: listed %u with %u free blocks", index, slab->is_listed,
                         slab->free);
    return DCMEM_OK;
}

dcmem_result
dcmi_region_check(const dcmi_region *region)
{
    uint64_t free_bytes = 0;
    for (uint32_t index = 1; index < region->slab_high; index++) {
        const dcmi_slab *slab = &region->slabs[index];
        if (!slab->total)
            continue;
        dcmem_result result = check_slab(region, index);
        if (result)
            return result;
        free_bytes += slab->free * region->table->classes[slab->class].bytes;
    }
    if (free_bytes != region->slab_free_bytes)
        return dcmi_fail(DCMEM_E_INTERNAL, "region %u: free bytes in slabs are miscounted", region->id);
    return dcmi_fit_check(&region->fit);
}
