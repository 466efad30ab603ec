/* timeline.c: spans of time, joined and laid over each other. */
#include "timeline.h"

#include <stdio.h>
#include <stdlib.h>

static void *
grow(void *list, size_t count, size_t bytes)
{
    void *grown = realloc(list, count * bytes);
    if (grown)
        return grown;
    fprintf(stderr, "opencl_pipeline: no memory\n");
    exit(1);
}

void
timeline_add(timeline *to, work what, cl_event event)
{
    if (to->counts[what] == to->capacities[what]) {
        to->capacities[what] = to->capacities[what] ? 2 * to->capacities[what] : 64;
        to->events[what] = grow((void *)to->events[what], to->capacities[what], sizeof event);
    }
    to->events[what][to->counts[what]++] = event;
}

/* ---- Pure ---- */

static int
compare(const void *a, const void *b)
{
    const span *left = a, *right = b;
    return left->begin_ns < right->begin_ns ? -1 : left->begin_ns > right->begin_ns;
}

/* Sorts spans and makes one of those that touch. How many are left. */
static size_t
join(span *spans, size_t count)
{
    size_t last = 0;
    qsort(spans, count, sizeof *spans, compare);
    for (size_t i = 1; i < count; i++) {
        if (spans[i].begin_ns > spans[last].end_ns)
            spans[++last] = spans[i];
        else if (spans[i].end_ns > spans[last].end_ns)
            spans[last].end_ns = spans[i].end_ns;
    }
    return count ? last + 1 : 0;
}

static uint64_t
length(const span *spans, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += spans[i].end_ns - spans[i].begin_ns;
    return sum;
}

static uint64_t
common(span a, span b)
{
    uint64_t begin = a.begin_ns > b.begin_ns ? a.begin_ns : b.begin_ns;
    uint64_t end = a.end_ns < b.end_ns ? a.end_ns : b.end_ns;
    return end > begin ? end - begin : 0;
}

timeline_sums
timeline_sum(span *copies, size_t copy_count, span *kernels, size_t kernel_count)
{
    copy_count = join(copies, copy_count);
    kernel_count = join(kernels, kernel_count);
    timeline_sums sums = {.copy_ns = length(copies, copy_count), .kernel_ns = length(kernels, kernel_count)};
    for (size_t i = 0; i < copy_count; i++)
        for (size_t j = 0; j < kernel_count; j++)
            sums.both_ns += common(copies[i], kernels[j]);
    if (copy_count && kernel_count) {
        span first = copies[0].begin_ns < kernels[0].begin_ns ? copies[0] : kernels[0];
        span copy = copies[copy_count - 1], kernel = kernels[kernel_count - 1];
        sums.all_ns = (copy.end_ns > kernel.end_ns ? copy.end_ns : kernel.end_ns) - first.begin_ns;
    }
    return sums;
}

/* ---- What the driver says ---- */

static span *
spans_of(timeline *it, work what)
{
    span *spans = grow(NULL, it->counts[what] + 1, sizeof *spans);
    for (size_t i = 0; i < it->counts[what]; i++) {
        cl_event event = it->events[what][i];
        CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof(cl_ulong), &spans[i].begin_ns, NULL));
        CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof(cl_ulong), &spans[i].end_ns, NULL));
        CL(clReleaseEvent(event));
    }
    return spans;
}

timeline_sums
timeline_end(timeline *it)
{
    span *copies = spans_of(it, WORK_COPY), *kernels = spans_of(it, WORK_KERNEL);
    timeline_sums sums = timeline_sum(copies, it->counts[WORK_COPY], kernels, it->counts[WORK_KERNEL]);
    free(copies);
    free(kernels);
    free((void *)it->events[WORK_COPY]);
    free((void *)it->events[WORK_KERNEL]);
    *it = (timeline){0};
    return sums;
}
