/* distance.c: rounds of copies between two ends, each round checked. */
#include "cli/distance.h"

#include "cli/cli.h"
#include "cli/numbers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_BYTES (1ull << 20)
#define SLOW_NS     100e6 /* a large copy should take no longer */

/* A round of copies must be long beside the clock, and no longer than it takes. */
#define ROUND_NS    50e3
#define MOST_COPIES 1000u

enum { LEAST_ROUNDS = 3, MOST_ROUNDS = 51 };

/* What a size is worth: all rounds, with what is done around them. */
#define SMALL_BUDGET_NS 100e6
#define PROBE_BUDGET_NS 20e6
#define LARGE_BUDGET_NS 500e6

/* An end without a buffer is `given` or `taken` itself. */
typedef struct span {
    dcmem_buffer *to, *from;
    uint64_t bytes;
    uint64_t *given; /* what the source is to hold */
    uint64_t *taken; /* what the target held */
    uint64_t seed;
    char *problem;
    size_t problem_bytes;
} span;

static dcmem_result complain(span *self, dcmem_result result, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

static dcmem_result
complain(span *self, dcmem_result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->problem, self->problem_bytes, format, arguments);
    va_end(arguments);
    return result;
}

static dcmem_result
complain_of_call(span *self, dcmem_result result, const char *what)
{
    return result ? complain(self, result, "%s: %s", what, dcmem_last_detail()->message) : DCMEM_OK;
}

/* ---- One copy ---- */

static dcmem_result
copy(const span *self)
{
    if (!self->from)
        return dcmem_buffer_copy_in(dcmem_view_whole(self->to), self->given, 0);
    if (!self->to)
        return dcmem_buffer_copy_out(self->taken, dcmem_view_whole(self->from), 0);
    return dcmem_buffer_copy(dcmem_view_whole(self->to), dcmem_view_whole(self->from));
}

/* Bytes in the host's copy of a buffer say nothing of the device. */
static dcmem_result
check_side(span *self, dcmem_buffer *buffer, const char *which)
{
    dcmem_buffer_info info = {.size = sizeof info};
    dcmem_result result = complain_of_call(self, buffer ? dcmem_buffer_describe(&info, buffer) : DCMEM_OK, which);
    if (result || !buffer || info.current_sides & DCMEM_SIDE_BIT(DCMEM_SIDE_DEVICE))
        return result;
    return complain(self, DCMEM_E_INTERNAL, "the bytes of the %s are not on its device", which);
}

/* Each word tells its place and the round: no other place holds the same, nor did this one ever. */
static dcmem_result
prepare(span *self)
{
    self->seed += 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < self->bytes / sizeof *self->given; i++)
        self->given[i] = self->seed ^ i;
    if (!self->from)
        return DCMEM_OK;
    dcmem_result result = complain_of_call(self, dcmem_buffer_copy_in(dcmem_view_whole(self->from), self->given, 0),
                                           "filling the source");
    return result ? result : check_side(self, self->from, "source");
}

static dcmem_result
verify(span *self)
{
    dcmem_result result = check_side(self, self->to, "target");
    if (!result && self->to)
        result = complain_of_call(self, dcmem_buffer_copy_out(self->taken, dcmem_view_whole(self->to), 0),
                                  "reading the target");
    if (result || memcmp(self->given, self->taken, self->bytes) == 0)
        return result;
    uint64_t at = 0;
    while (self->given[at] == self->taken[at])
        at++;
    return complain(self, DCMEM_E_INTERNAL, "wrong bytes: of %llu copied those from %llu on are not the source's",
                    (unsigned long long)self->bytes, (unsigned long long)(at * sizeof *self->given));
}

/* ---- Many ---- */

static dcmem_result
run_round(double *out_ns, span *self, unsigned copies)
{
    dcmem_result result = prepare(self);
    if (result)
        return result;
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < copies && !result; i++)
        result = copy(self);
    *out_ns = (double)(now_ns() - begin) / copies;
    result = complain_of_call(self, result, "copying");
    return result ? result : verify(self);
}

static unsigned
copies_of(double copy_ns)
{
    return copy_ns * MOST_COPIES <= ROUND_NS ? MOST_COPIES : copy_ns >= ROUND_NS ? 1 : (unsigned)(ROUND_NS / copy_ns);
}

/* The first round pays for pages and for what a driver makes when it is first needed, and counts for nothing. */
static dcmem_result
run_rounds(double *out_ns, span *self, double budget_ns)
{
    double ns[MOST_ROUNDS], first_ns, copy_ns;
    uint64_t begin = now_ns();
    dcmem_result result = run_round(&first_ns, self, 1);
    if (!result)
        result = run_round(&copy_ns, self, 1);
    if (result)
        return result;

    unsigned rounds = 0, copies = copies_of(copy_ns);
    while (rounds < LEAST_ROUNDS || (rounds < MOST_ROUNDS && (double)(now_ns() - begin) < budget_ns)) {
        result = run_round(&ns[rounds++], self, copies);
        if (result)
            return result;
    }
    *out_ns = median(ns, rounds);
    return DCMEM_OK;
}

static dcmem_result
open_end(span *self, dcmem_buffer **out, dcmem_manager *manager, const char *which)
{
    return manager ? complain_of_call(self, dcmem_buffer_create(out, manager, self->bytes, NULL), which) : DCMEM_OK;
}

/* Buffers of their own for each size, so that copies are of whole buffers. */
static dcmem_result
run_size(double *out_ns, span *self, dcmem_manager *to, dcmem_manager *from, uint64_t bytes, double budget_ns)
{
    self->bytes = bytes;
    self->to = self->from = NULL;
    dcmem_result result = open_end(self, &self->from, from, "the source");
    if (!result)
        result = open_end(self, &self->to, to, "the target");
    if (!result)
        result = run_rounds(out_ns, self, budget_ns);
    dcmem_result ended = dcmem_buffer_destroy(self->to);
    dcmem_result also = dcmem_buffer_destroy(self->from);
    return result ? result : complain_of_call(self, ended ? ended : also, "freeing");
}

/* The largest size at most `wished` that takes no longer than it should, by what a smaller one took. */
static uint64_t
size_for(uint64_t wished, uint64_t probe, double probe_ns)
{
    uint64_t bytes = wished;
    while (bytes / 2 >= probe && (double)bytes / (double)probe * probe_ns > SLOW_NS)
        bytes /= 2;
    return bytes - bytes % sizeof(uint64_t);
}

static bool
is_shortage(dcmem_result result)
{
    return dcmem_result_class_of(result) == DCMEM_CLASS_RESOURCE;
}

static dcmem_result
run_large(distance *out, span *self, dcmem_manager *to, dcmem_manager *from, uint64_t wished)
{
    uint64_t probe = wished < PROBE_BYTES ? wished : PROBE_BYTES;
    double ns;
    dcmem_result result = run_size(&ns, self, to, from, probe, PROBE_BUDGET_NS);
    if (result)
        return result;
    out->bytes = size_for(wished, probe, ns);
    result = run_size(&ns, self, to, from, out->bytes, LARGE_BUDGET_NS);
    while (is_shortage(result) && out->bytes / 2 >= probe) {
        out->bytes = size_for(out->bytes / 2, probe, 0);
        result = run_size(&ns, self, to, from, out->bytes, LARGE_BUDGET_NS);
    }
    out->bytes_per_s = (double)out->bytes / ns * 1e9;
    return result;
}

bool
distance_measure(distance *out, dcmem_manager *to, dcmem_manager *from, uint64_t wished_bytes, char *problem,
                 size_t problem_bytes)
{
    distance found = {0};
    span self = {.problem = problem, .problem_bytes = problem_bytes};
    wished_bytes -= wished_bytes % sizeof *self.given;
    self.given = cli_allocate(wished_bytes, 1);
    self.taken = cli_allocate(wished_bytes, 1);
    dcmem_result result = run_size(&found.latency_ns, &self, to, from, DISTANCE_SMALL_BYTES, SMALL_BUDGET_NS);
    if (!result)
        result = run_large(&found, &self, to, from, wished_bytes);
    free(self.given);
    free(self.taken);
    if (result)
        return false;
    problem[0] = '\0'; /* A larger size may have found no memory. */
    *out = found;
    return true;
}
