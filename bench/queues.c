/* queues.c: what it costs to free on a queue and allocate on it again, beside raw memory without a queue and beside the
 * driver's own acquire and release. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <stdlib.h>

typedef struct queued {
    bench_role role;
    uint64_t bytes;
    dcmem_manager *manager;
    dcmem_queue *queue;
    const dcmem_backend *backend;
    void *device;
} queued;

static void
queued_end(void *state)
{
    queued *self = state;
    (void)dcmem_queue_destroy(self->queue); /* the process ends soon */
    (void)dcmem_manager_destroy(self->manager);
    if (self->device)
        self->backend->close(self->device);
    free(self);
}

static void *
queued_begin(const bench_case *which, const bench_contender *contender)
{
    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    queued *self = cli_allocate(1, sizeof *self);
    self->role = contender->role;
    self->bytes = which->bytes;
    self->backend = dcmem_backend_find("cpu");
    dcmem_result result = dcmem_manager_create(&self->manager, NULL);
    if (!result)
        result = dcmem_queue_create(&self->queue, self->manager, NULL);
    if (!result)
        result = self->backend->open(&self->device, self->backend, &open);
    if (!result)
        return self;
    queued_end(self);
    return NULL;
}

static dcmem_result
by_driver(const queued *self)
{
    const dcmem_call call = {.op_index = 1};
    const dcmem_acquire request = {.bytes = self->bytes};
    dcmem_extent extent;
    dcmem_result result = self->backend->acquire(&extent, self->device, &call, &request);
    return result ? result : self->backend->release(self->device, &call, &extent);
}

static double
queued_run(void *state, uint64_t ops)
{
    queued *self = state;
    dcmem_result failed = DCMEM_OK;
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        if (self->role == BENCH_ROLE_DCMEM)
            failed |= dcmem_raw_free_on(self->queue, dcmem_raw_allocate_on(self->queue, self->bytes));
        else if (self->role == BENCH_ROLE_BESIDE)
            failed |= dcmem_raw_free(self->manager, dcmem_raw_allocate(self->manager, self->bytes));
        else
            failed |= by_driver(self);
    }
    return failed ? -1 : (double)(now_ns() - begin) / (double)ops;
}

const bench_pattern bench_queued = {queued_begin, queued_run, queued_end, false, 0};
