/* map.c: see map.h. Leaves are made once and live as long as the map; two threads that make one race by one
 * compare-and-swap, and so do two that bring the first memory. */
#include "pool/map.h"

#include "base/size.h"

#define ROOT_BYTES ((uint64_t)DCMI_ROOT_ENTRIES * sizeof(dcmi_leaf *))

dcmem_result
dcmi_map_init(dcmi_map *map)
{
    map->root = dcmi_os_reserve(ROOT_BYTES);
    map->near = dcmi_os_reserve(sizeof *map->near);
    if (!map->root || !map->near) {
        dcmi_map_fini(map);
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a page map; raise the limit (ulimit -v)");
    }
    atomic_store(&map->base, DCMI_MAP_NO_BASE);
    atomic_store(&map->root[0], map->near);
    return DCMEM_OK;
}

/* Every leaf but the near one. */
static void
drop_leaves(dcmi_map *map)
{
    for (uint32_t i = 1; i < DCMI_ROOT_ENTRIES; i++) {
        dcmi_leaf *leaf = atomic_load(&map->root[i]);
        if (!leaf)
            continue;
        atomic_store(&map->root[i], NULL);
        dcmi_os_unreserve(leaf, sizeof *leaf);
    }
}

void
dcmi_map_fini(dcmi_map *map)
{
    if (map->root)
        drop_leaves(map);
    dcmi_os_unreserve(map->near, sizeof *map->near);
    dcmi_os_unreserve(map->root, ROOT_BYTES);
    map->near = NULL;
    map->root = NULL;
}

void
dcmi_map_reset(dcmi_map *map)
{
    drop_leaves(map);
    dcmi_os_forget(map->near, sizeof *map->near);
    atomic_store(&map->base, DCMI_MAP_NO_BASE);
}

/* Memory comes from above downwards as a rule, and not far apart. */
static void
set_base(dcmi_map *map, uint64_t first)
{
    uint64_t base = dcmi_round_down(dcmi_less(first, DCMI_LEAF_BYTES / 4 * 3), DCMI_PAGE);
    uint64_t none = DCMI_MAP_NO_BASE;
    atomic_compare_exchange_strong(&map->base, &none, base);
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
    if (!atomic_compare_exchange_strong(&map->root[index], &none, leaf))
        dcmi_os_unreserve(leaf, sizeof *leaf); /* COVER: two threads must make one leaf in the same instant */
    return DCMEM_OK;
}

dcmem_result
dcmi_map_cover(dcmi_map *map, uint64_t address, uint64_t bytes)
{
    uint64_t end;
    if (!dcmi_size_add(&end, address, bytes) || (end - 1) >> DCMI_ADDRESS_BITS)
        return dcmi_fail(DCMEM_E_CONTRACT, "the driver gave the address %#llx, beyond 47 bits",
                         (unsigned long long)address);
    set_base(map, address);

    uint64_t base = atomic_load(&map->base);
    uint64_t first = (address - base) >> DCMI_LEAF_BITS;
    uint64_t last = (end - 1 - base) >> DCMI_LEAF_BITS;
    for (uint64_t i = 0; i <= ((last - first) & (DCMI_ROOT_ENTRIES - 1)); i++) {
        dcmem_result result = leaf_make(map, (first + i) & (DCMI_ROOT_ENTRIES - 1));
        if (result)
            return result;
    }
    return DCMEM_OK;
}
