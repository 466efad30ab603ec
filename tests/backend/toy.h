/* toy.h: a backend of the tests' own, on malloc, that says and gives what it is told to. */
#ifndef DCMI_TEST_TOY_H
#define DCMI_TEST_TOY_H

#include <dcmem/backend.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct toy {
    dcmem_backend table;
    dcmem_device_info info; /* what it says of its device */
    uint32_t devices;

    /* Fail with this. */
    dcmem_result count_result;
    dcmem_result open_result;
    dcmem_result info_result;
    dcmem_result acquire_result;
    dcmem_result map_result;
    dcmem_result import_result;

    /* Changes what acquire and import_host are about to give. */
    void (*spoil)(dcmem_extent *extent);
    bool map_gives_null;

    _Atomic uint32_t opens, closes, acquires, releases;
    dcmem_call last_call;
    const char *last_function;
} toy;

/* There is one at a time: a device's handle is the toy. */

static toy *
toy_of(const dcmem_backend *backend)
{
    return backend->context;
}

static dcmem_result
toy_note(toy *self, const char *function, const dcmem_call *call)
{
    self->last_function = function;
    self->last_call = *call;
    return DCMEM_OK;
}

static dcmem_result
toy_count(uint32_t *out, const dcmem_backend *backend)
{
    if (toy_of(backend)->count_result)
        return dcmem_backend_fail(toy_of(backend)->count_result, "toy", 1, "count fails");
    *out = toy_of(backend)->devices;
    return DCMEM_OK;
}

static dcmem_result
toy_open(void **out_device, const dcmem_backend *backend, const dcmem_open *options)
{
    (void)options;
    if (toy_of(backend)->open_result)
        return dcmem_backend_fail(toy_of(backend)->open_result, "toy", 2, "open fails");
    toy_of(backend)->opens++;
    *out_device = toy_of(backend);
    return DCMEM_OK;
}

static void
toy_close(void *device)
{
    ((toy *)device)->closes++;
}

static dcmem_result
toy_info(dcmem_device_info *out, void *device)
{
    if (((toy *)device)->info_result)
        return dcmem_backend_fail(((toy *)device)->info_result, "toy", 3, "info fails");
    *out = ((toy *)device)->info;
    return DCMEM_OK;
}

static dcmem_result
toy_acquire(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request)
{
    toy *self = device;
    toy_note(self, "acquire", call);
    if (self->acquire_result)
        return dcmem_backend_fail(self->acquire_result, "toy", 4, "acquire fails");
    void *memory = aligned_alloc(4096, request->bytes);
    *out = (dcmem_extent){
        .object = (uintptr_t)memory,
        .address = (uintptr_t)memory,
        .bytes = request->bytes,
        .host = memory,
        .driver = (uintptr_t)memory,
        .kind = request->kind,
    };
    if (self->spoil)
        self->spoil(out);
    self->acquires++;
    return DCMEM_OK;
}

static dcmem_result
toy_release(void *device, const dcmem_call *call, const dcmem_extent *extent)
{
    toy *self = device;
    toy_note(self, "release", call);
    free((void *)(uintptr_t)extent->driver);
    self->releases++;
    return DCMEM_OK;
}

static dcmem_result
toy_copy(void *device, const dcmem_call *call, const dcmem_place *to, const dcmem_place *from, uint64_t bytes)
{
    (void)to;
    (void)from;
    (void)bytes;
    return toy_note(device, "copy", call);
}

static dcmem_result
toy_fill(void *device, const dcmem_call *call, const dcmem_place *to, uint64_t bytes, const void *pattern,
         uint32_t pattern_bytes)
{
    (void)to;
    (void)bytes;
    (void)pattern;
    (void)pattern_bytes;
    return toy_note(device, "fill", call);
}

static dcmem_result
toy_map(void **out_host, void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset,
        uint64_t bytes, uint32_t flags)
{
    toy *self = device;
    (void)bytes;
    (void)flags;
    toy_note(self, "map", call);
    if (self->map_result)
        return dcmem_backend_fail(self->map_result, "toy", 5, "map fails");
    *out_host = self->map_gives_null ? NULL : (char *)extent->host + offset;
    return DCMEM_OK;
}

static dcmem_result
toy_unmap(void *device, const dcmem_call *call, const dcmem_extent *extent, void *host)
{
    (void)extent;
    (void)host;
    return toy_note(device, "unmap", call);
}

static dcmem_result
toy_flush(void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)extent;
    (void)offset;
    (void)bytes;
    return toy_note(device, "flush", call);
}

static dcmem_result
toy_invalidate(void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    (void)extent;
    (void)offset;
    (void)bytes;
    return toy_note(device, "invalidate", call);
}

static dcmem_result
toy_import_host(dcmem_extent *out, void *device, const dcmem_call *call, void *host, uint64_t bytes)
{
    toy *self = device;
    toy_note(self, "import_host", call);
    if (self->import_result)
        return dcmem_backend_fail(self->import_result, "toy", 6, "import fails");
    *out = (dcmem_extent){.address = (uintptr_t)host, .bytes = bytes, .host = host, .kind = DCMEM_KIND_HOST};
    if (self->spoil)
        self->spoil(out);
    return DCMEM_OK;
}

/* A backend that keeps the contract: two devices, MAP and IMPORT. It must not move afterwards. */
static inline void
toy_init(toy *self)
{
    *self = (toy){
        .table =
            {
                .size = sizeof self->table,
                .contract = DCMEM_BACKEND_CONTRACT,
                .name = "toy",
                .capabilities = DCMEM_CAP_MAP | DCMEM_CAP_IMPORT | DCMEM_CAP_UNIFIED | DCMEM_CAP_ADDRESSED,
                .context = self,
                .count = toy_count,
                .open = toy_open,
                .close = toy_close,
                .info = toy_info,
                .acquire = toy_acquire,
                .release = toy_release,
                .copy = toy_copy,
                .fill = toy_fill,
                .map = toy_map,
                .unmap = toy_unmap,
                .flush = toy_flush,
                .invalidate = toy_invalidate,
                .import_host = toy_import_host,
            },
        .info =
            {
                .size = sizeof self->info,
                .name = "Toy device",
                .kinds = DCMEM_KIND_BIT(DCMEM_KIND_DEVICE) | DCMEM_KIND_BIT(DCMEM_KIND_HOST),
                .heap_count = 1,
                .heaps = {{1 << 30, 1 << 29, DCMEM_KIND_BIT(DCMEM_KIND_DEVICE), 0}},
                .total_bytes = 1 << 30,
                .free_bytes = 1 << 29,
                .largest_allocation_bytes = 1 << 30,
                .alignment = 4096,
                .granularity = 4096,
                .cache_line_bytes = 64,
                .numa_node = -1,
                .is_unified = true,
            },
        .devices = 2,
    };
}

#endif
