/* first_touch.c: what memory costs from the driver's hands and from the pool's when it is used, on each backend.
 *
 * A use writes all of it, by the backend's own fill. What is asked of the first device of a backend:
 *
 *     driver         acquire, use, release: each use is the first of that memory
 *     pool           allocate, use, free
 *     use alone      of memory that stays: what nobody can do without, hence the floor
 *     driver unused  acquire, release
 *     pool unused    allocate, free */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <dcmem/testing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(name, text) text,
    BENCH_BACKENDS(X)
#undef X
};

typedef struct touched touched;

struct touched {
    dcmem_result (*once)(touched *self);
    uint64_t bytes;
    dcmem_manager *manager; /* of the pool's ways */
    const dcmem_backend *backend;
    void *device; /* of the driver's */
    dcmem_extent kept;
    dcmem_acquire request;
    uint64_t calls;
};

static const unsigned char one = 1;

/* ---- The driver's ways ---- */

static dcmem_result
use(touched *self, const dcmem_extent *extent)
{
    const dcmem_call call = {.op_index = ++self->calls};
    const dcmem_place to = {.extent = extent};
    return self->backend->fill(self->device, &call, &to, self->bytes, &one, 1);
}

static dcmem_result
by_driver(touched *self, bool is_used)
{
    dcmem_extent extent;
    dcmem_call call = {.op_index = ++self->calls};
    dcmem_result result = self->backend->acquire(&extent, self->device, &call, &self->request);
    if (result)
        return result;
    if (is_used)
        result = use(self, &extent);
    call.op_index = ++self->calls;
    dcmem_result released = self->backend->release(self->device, &call, &extent);
    return result ? result : released;
}

static dcmem_result
driver_used(touched *self)
{
    return by_driver(self, true);
}

static dcmem_result
driver_unused(touched *self)
{
    return by_driver(self, false);
}

static dcmem_result
use_alone(touched *self)
{
    return use(self, &self->kept);
}

/* ---- The pool's ways ---- */

static dcmem_result
pool_used(touched *self)
{
    void *address = dcmem_raw_allocate(self->manager, self->bytes);
    if (!address)
        return dcmem_last_detail()->result;
    dcmem_result result = dcmem_raw_set(self->manager, address, one, self->bytes);
    dcmem_result freed = dcmem_raw_free(self->manager, address);
    return result ? result : freed;
}

static dcmem_result
pool_unused(touched *self)
{
    void *address = dcmem_raw_allocate(self->manager, self->bytes);
    return address ? dcmem_raw_free(self->manager, address) : dcmem_last_detail()->result;
}

/* ---- A contender ---- */

static const struct {
    const char *name;
    bool is_pool;
    dcmem_result (*once)(touched *self);
} ways[] = {
    {"pool", true, pool_used},          {"use alone", false, use_alone}, {"driver unused", false, driver_unused},
    {"pool unused", true, pool_unused}, {"driver", false, driver_used},
};

static void
touched_end(void *state)
{
    touched *self = state;
    const dcmem_call call = {.op_index = ++self->calls};
    if (self->kept.bytes)
        (void)self->backend->release(self->device, &call, &self->kept); /* the process ends soon */
    if (self->device)
        self->backend->close(self->device);
    (void)dcmem_manager_destroy(self->manager);
    free(self);
}

static dcmem_result
open_driver(touched *self)
{
    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    const dcmem_call call = {.op_index = ++self->calls};
    dcmem_device_info info = {.size = sizeof info};
    dcmem_result result = self->backend->open(&self->device, self->backend, &open);
    if (!result)
        result = self->backend->info(&info, self->device);
    if (result)
        return result;
    uint64_t unit = info.granularity ? info.granularity : 1;
    self->request = (dcmem_acquire){.bytes = (self->bytes + unit - 1) / unit * unit, .kind = DCMEM_KIND_DEVICE};
    return self->once == use_alone ? self->backend->acquire(&self->kept, self->device, &call, &self->request)
                                   : DCMEM_OK;
}

static dcmem_result
open_pool(touched *self)
{
    const dcmem_manager_options options = {.size = sizeof options, .driver = self->backend, .policy = bench_policy};
    return dcmem_manager_create(&self->manager, &options);
}

static void *
touched_begin(const bench_case *which, const bench_contender *contender)
{
    touched *self = cli_allocate(1, sizeof *self);
    self->bytes = which->bytes;
    self->backend = dcmem_backend_find(bench_backend_of(which)->name);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(ways[i].name, contender->name) != 0)
            continue;
        self->once = ways[i].once;
        if (!(ways[i].is_pool ? open_pool(self) : open_driver(self)))
            return self;
    }
    touched_end(self);
    return NULL;
}

static double
touched_run(void *state, uint64_t ops)
{
    touched *self = state;
    dcmem_result failed = DCMEM_OK;
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops && !failed; i++)
        failed = self->once(self);
    return failed ? -1 : (double)(now_ns() - begin) / (double)ops;
}

const bench_pattern bench_first_touch[] = {
#define X(name, text) {touched_begin, touched_run, touched_end, false, 0},
    BENCH_BACKENDS(X)
#undef X
};

/* ---- The backend of a case ---- */

static void
look_for(bench_allocator *out, const char *name)
{
    dcmem_device_info info = {.size = sizeof info};
    snprintf(out->name, sizeof out->name, "%s", name);
    dcmem_result result = strcmp(name, "simulated") == 0 ? dcmem_simulated_register() : DCMEM_OK;
    if (!result)
        result = dcmem_device_describe(&info, name, 0);
    if (result)
        snprintf(out->absence, sizeof out->absence, "%.250s", dcmem_last_detail()->message);
}

const bench_allocator *
bench_backend_of(const bench_case *which)
{
    static bench_allocator found[sizeof names / sizeof *names];
    size_t i = (size_t)(which->pattern - bench_first_touch);
    if (!found[i].name[0])
        look_for(&found[i], names[i]);
    return &found[i];
}
