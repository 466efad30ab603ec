/* simulated.c: the backend of simulated devices: its table, its devices, the four of them that are for everybody. */
#include "simulated.h"

#include "groups.h"
#include "host.h"
#include "page.h"
#include "queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES  DCMI_SIMULATED_DEVICES
#define FIRST_NUMBER (1ull << 48) /* above every address, so that numbers and addresses never meet */

typedef dcmi_simulated device;

typedef struct simulated_backend {
    dcmem_backend table; /* first: a pointer to the table is one to the whole */
    struct simulated_backend *after;
    dcmi_clock clock;
    uint32_t count;
    device devices[];
} simulated_backend;

/* All there are, for forks; guarded by its lock, under which nothing is called. */
static pthread_mutex_t backends_lock = PTHREAD_MUTEX_INITIALIZER;
static simulated_backend *backends;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

dcmem_result
dcmi_simulated_fail(dcmem_result result, const char *format, ...)
{
    char message[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return dcmem_backend_fail(result, "simulated", 0, "%s", message);
}

dcmem_result
dcmi_simulated_enter(device *dev)
{
    pthread_mutex_lock(&dev->lock);
    if (!dev->is_lost)
        return DCMEM_OK;
    pthread_mutex_unlock(&dev->lock);
    return dcmi_simulated_fail(DCMEM_E_DEVICE_LOST, "device %u is lost", dev->index);
}

void
dcmi_simulated_leave(device *dev)
{
    pthread_mutex_unlock(&dev->lock);
}

/* ---- Open, close, info ---- */

static dcmem_result
simulated_count(uint32_t *out, const dcmem_backend *backend)
{
    const simulated_backend *all = (const simulated_backend *)backend->context;
    *out = all->count;
    return DCMEM_OK;
}

/* -1 where it has none. */
static int32_t
node_of(const device *dev)
{
    return (int32_t)dev->profile.numa - 1;
}

static dcmem_result
check_node(const device *dev, int32_t wanted)
{
    if (wanted < 0 || wanted == node_of(dev))
        return DCMEM_OK;
    if (node_of(dev) < 0)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "device %u lies on no NUMA node", dev->index);
    return dcmi_simulated_fail(DCMEM_E_UNAVAILABLE, "device %u lies on NUMA node %d, not %d", dev->index, node_of(dev),
                               wanted);
}

static dcmem_result
simulated_open(void **out, const dcmem_backend *backend, const dcmem_open *options)
{
    simulated_backend *all = backend->context;
    if (options->index >= all->count)
        return dcmi_simulated_fail(DCMEM_E_UNAVAILABLE, "device %u of %u", options->index, all->count);
    if (options->native)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no native context");
    if (options->huge_pages == DCMEM_HUGE_PAGES_ON)
        return dcmi_simulated_fail(DCMEM_E_UNSUPPORTED, "a simulated device has no huge pages");
    device *dev = &all->devices[options->index];
    dcmem_result result = check_node(dev, options->numa_node);
    if (!result)
        result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    dev->open_count++;
    dcmi_simulated_leave(dev);
    *out = dev;
    return DCMEM_OK;
}

static void
simulated_close(void *handle)
{
    device *dev = handle;
    pthread_mutex_lock(&dev->lock);
    if (--dev->open_count == 0)
        memset(dev->enabled, 0, sizeof dev->enabled);
    dcmi_simulated_leave(dev);
}

static uint64_t
capabilities_of(const device *dev)
{
    uint64_t capabilities = DCMEM_CAP_GROUPS & ~dev->profile.without;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED))
        capabilities |= DCMEM_CAP_UNIFIED;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_DIVISIBLE))
        capabilities |= DCMEM_CAP_DIVISIBLE;
    if (dcmi_simulated_has(dev, DCMEM_SIMULATED_ADDRESSED))
        capabilities |= DCMEM_CAP_ADDRESSED;
    return capabilities;
}

static void
describe_heaps(dcmem_device_info *info, const device *dev)
{
    for (uint32_t heap = 0; heap < DCMI_HEAP_OTHERS + dev->profile.heap_count; heap++) {
        uint32_t kinds = 0;
        for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
            if (dcmi_simulated_heap(dev, (dcmem_kind)kind) == heap)
                kinds |= DCMEM_KIND_BIT(kind);
        kinds &= dev->profile.kinds;
        if (!kinds)
            continue;
        info->heaps[info->heap_count++] = (dcmem_heap_info){
            .total_bytes = dev->heaps[heap].total, .free_bytes = dcmi_heap_free(&dev->heaps[heap]), .kinds = kinds};
    }
}

static dcmem_result
simulated_info(dcmem_device_info *out, void *handle)
{
    device *dev = handle;
    dcmem_device_info info = {.size = sizeof info,
                              .backend = "simulated",
                              .capabilities = capabilities_of(dev),
                              .kinds = dev->profile.kinds,
                              .total_bytes = dev->profile.total_bytes,
                              .largest_allocation_bytes = dev->profile.largest_allocation_bytes,
                              .alignment = dev->profile.alignment,
                              .granularity = dev->profile.granularity,
                              .cache_line_bytes = 64,
                              .last_level_cache_bytes = 32ull << 20,
                              .flush_bytes = dev->profile.flush_bytes,
                              .numa_node = node_of(dev),
                              .is_unified = dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED),
                              .page_bytes = dev->profile.page_bytes};
    snprintf(info.name, sizeof info.name, "%s", dev->name);
    snprintf(info.driver_version, sizeof info.driver_version, "%s", dev->note);
    snprintf(info.pci, sizeof info.pci, "0000:%02x:00.0", dev->index & 0xffu);
    memcpy(info.uuid, "dcmem-simulated", 15);
    info.uuid[15] = (uint8_t)dev->index;

    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    info.free_bytes = dcmi_heap_free(&dev->heaps[DCMI_HEAP_DEVICE]);
    describe_heaps(&info, dev);
    dcmi_simulated_leave(dev);
    *out = info;
    return DCMEM_OK;
}

/* ---- The table ---- */

static const dcmem_backend table = {
    .size = sizeof(dcmem_backend),
    .contract = DCMEM_BACKEND_CONTRACT,
    .name = "simulated",
    .capabilities = DCMEM_CAP_GROUPS,
    .count = simulated_count,
    .open = simulated_open,
    .close = simulated_close,
    .info = simulated_info,
    .acquire = dcmi_simulated_acquire,
    .release = dcmi_simulated_release,
    .copy = dcmi_simulated_copy,
    .fill = dcmi_simulated_fill,
    .map = dcmi_simulated_map_host,
    .unmap = dcmi_simulated_unmap_host,
    .flush = dcmi_simulated_flush,
    .invalidate = dcmi_simulated_invalidate,
    .queue_open = dcmi_simulated_queue_open,
    .queue_close = dcmi_simulated_queue_close,
    .enqueue_copy = dcmi_simulated_enqueue_copy,
    .enqueue_fill = dcmi_simulated_enqueue_fill,
    .queue_mark = dcmi_simulated_queue_mark,
    .queue_completed = dcmi_simulated_queue_completed,
    .queue_wait = dcmi_simulated_queue_wait,
    .reserve = dcmi_simulated_reserve,
    .unreserve = dcmi_simulated_unreserve,
    .page_create = dcmi_simulated_page_create,
    .page_destroy = dcmi_simulated_page_destroy,
    .page_map = dcmi_simulated_page_map,
    .page_unmap = dcmi_simulated_page_unmap,
    .peer_can = dcmi_simulated_peer_can,
    .peer_enable = dcmi_simulated_peer_enable,
    .peer_disable = dcmi_simulated_peer_disable,
    .peer_copy = dcmi_simulated_peer_copy,
    .import_host = dcmi_simulated_import_host,
    .ipc_export = dcmi_simulated_ipc_export,
    .ipc_import = dcmi_simulated_ipc_import,
};

static void
init_device(simulated_backend *all, const dcmem_simulated_profile *completed, uint32_t index)
{
    device *dev = &all->devices[index];
    pthread_mutex_init(&dev->lock, NULL);
    dev->profile = *completed;
    snprintf(dev->name, sizeof dev->name, "%s", completed->name);
    snprintf(dev->note, sizeof dev->note, "%s", completed->note);
    dev->profile.name = dev->name;
    dev->profile.note = dev->note;
    dev->index = index;
    dev->next_number = FIRST_NUMBER;
    dev->heaps[DCMI_HEAP_DEVICE] = (dcmi_heap_state){completed->total_bytes, completed->available_bytes, 0};
    dev->heaps[DCMI_HEAP_HOST] = (dcmi_heap_state){completed->host_bytes, completed->host_bytes, 0};
    for (uint32_t i = 0; i < completed->heap_count; i++)
        dev->heaps[DCMI_HEAP_OTHERS + i] =
            (dcmi_heap_state){completed->heaps[i].total_bytes, completed->heaps[i].total_bytes, 0};
    dev->devices = all->devices;
    dev->device_count = all->count;
    dev->clock = &all->clock;
    dev->links[DCMI_LINK_TO_DEVICE].rate = completed->to_device;
    dev->links[DCMI_LINK_TO_HOST].rate = completed->to_host;
    dev->links[DCMI_LINK_WITHIN].rate = completed->within;
    dev->links[DCMI_LINK_FROM_PEER].rate = completed->peer;
    dev->links[DCMI_LINK_TO_PEER].rate = completed->peer;
}

/* What one device has, another may be without: each tells its own in its info. What none has is not in the table. */
static void
fit_table(simulated_backend *all)
{
    uint64_t capabilities = 0;
    for (uint32_t i = 0; i < all->count; i++)
        capabilities |= capabilities_of(&all->devices[i]);
    dcmi_groups_fit(&all->table, capabilities);
}

/* ---- Forks: parent and child go on with the devices as they are ---- */

static void
before_fork(void)
{
    pthread_mutex_lock(&backends_lock);
    for (simulated_backend *all = backends; all; all = all->after) {
        pthread_mutex_lock(&all->clock.lock);
        for (uint32_t i = 0; i < all->count; i++)
            pthread_mutex_lock(&all->devices[i].lock);
    }
}

static void
after_fork(void)
{
    for (simulated_backend *all = backends; all; all = all->after) {
        for (uint32_t i = 0; i < all->count; i++)
            pthread_mutex_unlock(&all->devices[i].lock);
        pthread_mutex_unlock(&all->clock.lock);
    }
    pthread_mutex_unlock(&backends_lock);
}

static void
watch_forks(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a call is what is lost. */
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static void
enlist(simulated_backend *all)
{
    pthread_once(&forks_once, watch_forks);
    pthread_mutex_lock(&backends_lock);
    all->after = backends;
    backends = all;
    pthread_mutex_unlock(&backends_lock);
}

static void
delist(const simulated_backend *all)
{
    pthread_mutex_lock(&backends_lock);
    simulated_backend **link = &backends;
    while (*link != all)
        link = &(*link)->after;
    *link = all->after;
    pthread_mutex_unlock(&backends_lock);
}

/* ---- Create and destroy ---- */

dcmem_result
dcmem_simulated_create(dcmem_backend **out, const dcmem_simulated_profile *profiles, uint32_t count)
{
    DCMI_SIMULATED_REQUIRE(out && profiles && count >= 1 && count <= MAX_DEVICES);
    dcmem_simulated_profile completed[MAX_DEVICES];
    for (uint32_t i = 0; i < count; i++) {
        dcmem_result result = dcmi_profile_read(&completed[i], profiles, i);
        if (result)
            return result;
    }

    simulated_backend *all = dcmi_host_new(sizeof *all + count * sizeof all->devices[0]);
    if (!all)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "%u simulated devices", count);
    all->table = table;
    all->table.context = all;
    all->count = count;
    dcmi_clock_init(&all->clock);
    for (uint32_t i = 0; i < count; i++)
        init_device(all, &completed[i], i);
    fit_table(all);
    enlist(all);
    *out = &all->table;
    return DCMEM_OK;
}

/* NULL, with the detail written, when it is not one of ours. */
static simulated_backend *
resolve(const dcmem_backend *backend)
{
    if (backend && backend->open == simulated_open && backend->context)
        return backend->context;
    dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "not a simulated backend");
    return NULL;
}

dcmi_simulated *
dcmi_simulated_of(const dcmem_backend *backend, uint32_t index)
{
    simulated_backend *all = resolve(backend);
    if (all && index < all->count)
        return &all->devices[index];
    if (all)
        dcmi_simulated_fail(DCMEM_E_INVALID_ARGUMENT, "device %u of %u", index, all->count);
    return NULL;
}

static bool
end_device(device *dev)
{
    bool had_queue = dcmi_queues_end(dev), had_page = dcmi_pages_end(dev);
    bool had_leak = had_queue || had_page || dev->live.count > 0;
    dcmi_pieces_clear(&dev->live, dcmi_simulated_end_piece, dev);
    dcmi_simulated_close_lanes(dev);
    pthread_mutex_destroy(&dev->lock);
    return had_leak;
}

dcmem_result
dcmem_simulated_destroy(dcmem_backend *backend)
{
    if (!backend)
        return DCMEM_OK;
    simulated_backend *all = resolve(backend);
    if (!all)
        return DCMEM_E_INVALID_ARGUMENT;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->devices[i].open_count > 0)
            return dcmi_simulated_fail(DCMEM_E_BUSY, "device %u is open %u times", i, all->devices[i].open_count);

    delist(all);
    uint32_t leaks = 0;
    for (uint32_t i = 0; i < all->count; i++)
        leaks += end_device(&all->devices[i]);
    dcmi_clock_fini(&all->clock);
    free(all);
    return leaks ? dcmi_simulated_fail(DCMEM_E_LEAKED, "memory or queues of %u devices were still there", leaks)
                 : DCMEM_OK;
}

/* ---- For everybody ---- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static dcmem_backend *shared;

static dcmem_result
register_locked(void)
{
    dcmem_simulated_profile profiles[DCMEM_SIMULATED_DEVICE_COUNT];
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++)
        profiles[i] = dcmem_simulated_profile_of((dcmem_simulated_device)i);

    dcmem_backend *made = NULL;
    dcmem_result result = dcmem_simulated_create(&made, profiles, DCMEM_SIMULATED_DEVICE_COUNT);
    if (result)
        return result;
    result = dcmem_backend_register(made);
    if (result)
        (void)dcmem_simulated_destroy(made); /* nobody has seen it: it is neither open nor does it hold anything */
    else
        shared = made;
    return result;
}

dcmem_result
dcmem_simulated_register(void)
{
    pthread_mutex_lock(&shared_lock);
    dcmem_result result = shared ? DCMEM_OK : register_locked();
    pthread_mutex_unlock(&shared_lock);
    return result;
}

dcmem_result
dcmem_simulated_unregister(void)
{
    pthread_mutex_lock(&shared_lock);
    dcmem_result result = shared ? dcmem_backend_unregister(shared) : DCMEM_OK;
    if (!result) {
        result = dcmem_simulated_destroy(shared);
        shared = NULL;
    }
    pthread_mutex_unlock(&shared_lock);
    return result;
}
