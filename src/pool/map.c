/* map.c: see map.h. Leaves are made once and live as long as the map; two threads that make one race by one
 * compare-and-swap. */
#include "pool/map.h"

#include "base/fail.h"

#define ROOT_BYTES ((uint64_t)DCMI_ROOT_ENTRIES * sizeof(dcmi_leaf *))

dcmem_result
dcmi_map_init(dcmi_map *map)
{
    map->root = dcmi_os_reserve(ROOT_BYTES);
    if (!map->root)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a page map");
    atomic_init(&map->leaf_count, 0);
    return DCMEM_OK;
}

void
dcmi_map_fini(dcmi_map *map)
{
    if (!map->root)
        return;
    uint64_t left = atomic_load(&map->leaf_count);
    for (uint32_t i = 0; left > 0 && i < DCMI_ROOT_ENTRIES; i++) {
        dcmi_leaf *leaf = atomic_load(&map->root[i]);
        if (leaf) {
            dcmi_os_unreserve(leaf, sizeof *leaf);
            left--;
        }
    }
    dcmi_os_unreserve(map->root, ROOT_BYTES);
    map->root = NULL;
}

static dcmem_result
leaf_make(dcmi_map *map, uint64_t index)
{
    if (atomic_load(&map->root[index]))
        return DCMEM_OK;
    dcmi_leaf *leaf = dcmi_os_reserve(sizeof *leaf);
    if (!leaf)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for the page map; raise the limit (ulimit -v)");

    dcmi_leaf *none = NULL;
    if (atomic_compare_exchange_strong(&map->root[index], &none, leaf))
        atomic_fetch_add(&map->leaf_count, 1);
    else
        dcmi_os_unreserve(leaf, sizeof *leaf);
    return DCMEM_OK;
}

dcmem_result
dcmi_map_cover(dcmi_map *map, uint64_t address, uint64_t bytes)
{
    if (address >> DCMI_ADDRESS_BITS || (address + bytes - 1) >> DCMI_ADDRESS_BITS || address + bytes < address)
        return dcmi_fail(DCMEM_E_CONTRACT, "the driver gave the address %#llx, beyond 47 bits",
                         (unsigned long long)address);

    for (uint64_t index = address >> DCMI_LEAF_BITS; index <= (address + bytes - 1) >> DCMI_LEAF_BITS; index++) {
        dcmem_result result = leaf_make(map, index);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

void
dcmi_page_set(dcmi_page *page, uint32_t owner, unsigned class_plus_1)
{
    atomic_store_explicit(&page->owner, owner, memory_order_relaxed);
    atomic_store_explicit(&page->class_plus_1, (uint16_t)class_plus_1, memory_order_relaxed);
}
