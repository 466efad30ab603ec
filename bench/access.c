/* access.c: what it costs to open an access and to end it, on memory that both sides share: nothing is copied. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <stdlib.h>

typedef struct access_pair {
    dcmem_view view;
} access_pair;

static void *
access_begin(const bench_case *which, const bench_contender *contender)
{
    const char byte = 1;
    dcmem_buffer *buffer;
    if (dcmem_buffer_create(&buffer, contender->allocator->calls.manager, which->bytes, NULL))
        return NULL;
    access_pair *self = cli_allocate(1, sizeof *self);
    self->view = dcmem_view_whole(buffer);
    if (!dcmem_buffer_fill(self->view, &byte, 1)) /* what was never written cannot be read */
        return self;
    (void)dcmem_buffer_destroy(buffer);
    free(self);
    return NULL;
}

static double
access_run(void *state, uint64_t ops)
{
    access_pair *self = state;
    dcmem_result failed = DCMEM_OK;
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        dcmem_access access;
        dcmem_result result = dcmem_access_begin(&access, self->view, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, 0);
        failed |= result ? result : dcmem_access_end(&access);
    }
    return failed ? -1 : (double)(now_ns() - begin) / (double)ops;
}

static void
access_end(void *state)
{
    access_pair *self = state;
    (void)dcmem_buffer_destroy(self->view.buffer);
    free(self);
}

const bench_pattern bench_access = {access_begin, access_run, access_end, false, 0};
