/* faults.c: what a fault plan costs a driver call that it leaves alone: the CPU's copy of 64 bytes, called through the
 * driver's table as the library calls it, below a plan and without one. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <dcmem/testing.h>
#include <stdlib.h>

#define BYTES     64u
#define EXTENT    65536u
#define ABOUT_IT  "copy:nth=1000000000000:oom" /* counts every copy */
#define NOT_ABOUT "acquire:nth=1000000000000:oom;map:p=0.000000001:slow=1ms"

typedef struct driven {
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    void *device;
    dcmem_extent extent;
} driven;

static void
driven_end(void *state)
{
    driven *self = state;
    const dcmem_call call = {.op_index = 1};
    if (self->extent.bytes)
        (void)self->backend->release(self->device, &call, &self->extent); /* the process ends soon */
    if (self->device)
        self->backend->close(self->device);
    (void)dcmem_fault_plan_destroy(self->plan);
    free(self);
}

static void *
driven_begin(const bench_contender *contender, const char *plan)
{
    driven *self = cli_allocate(1, sizeof *self);
    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    const dcmem_acquire request = {.bytes = EXTENT};
    const dcmem_call call = {.op_index = 1};
    dcmem_result result = DCMEM_OK;
    self->backend = dcmem_backend_find("cpu");
    if (contender->role == BENCH_ROLE_DCMEM)
        result = dcmem_fault_plan_create(&self->plan, plan);
    if (!result && self->plan)
        result = dcmem_fault_plan_over(&self->backend, self->plan, self->backend);
    if (!result)
        result = self->backend->open(&self->device, self->backend, &open);
    if (!result)
        result = self->backend->acquire(&self->extent, self->device, &call, &request);
    if (!result)
        return self;
    driven_end(self);
    return NULL;
}

static double
driven_run(void *state, uint64_t ops)
{
    driven *self = state;
    char host[BYTES] = {0};
    dcmem_result failed = DCMEM_OK;
    const dcmem_call call = {.op_index = 1};
    const dcmem_place to = {.extent = &self->extent}, from = {.host = host};
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++)
        failed |= self->backend->copy(self->device, &call, &to, &from, BYTES);
    uint64_t ns = now_ns() - begin;
    bench_keep(host);
    return failed ? -1 : (double)ns / (double)ops;
}

static void *
idle_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    return driven_begin(contender, NOT_ABOUT);
}

static void *
counted_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    return driven_begin(contender, ABOUT_IT);
}

const bench_pattern bench_faults_idle = {idle_begin, driven_run, driven_end, false, 0};
const bench_pattern bench_faults_counted = {counted_begin, driven_run, driven_end, false, 0};
