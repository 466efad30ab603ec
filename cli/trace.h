/* trace.h: a recorded sequence of allocations: read, checked, measured.
 *
 * A trace is text, plain or gzip: lines "# key: value", one line "op,id,size,stream,t_ns", then one line an operation
 * (traces/README.md tells the format). Whatever a file holds, reading it ends in a trace that is whole and consistent
 * or in a problem that names the line. What holds of every trace that was read:
 *   1. ids are 0 .. id_count - 1; each is allocated once, and freed at most once, later.
 *   2. Sizes are at least 1 (0 was written as 0 and is treated as 1), and no sum of live sizes overflows.
 *   3. Streams are 0 .. stream_count - 1, numbered in the order in which they appear.
 *   4. op_count > 0 and preamble_count < op_count. */
#ifndef DCMEM_CLI_TRACE_H
#define DCMEM_CLI_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAX_STREAMS 1024u

typedef struct trace_op {
    uint64_t bytes;
    uint32_t id;
    uint16_t stream;
    bool is_free;
} trace_op;

typedef struct allocation_trace {
    trace_op *ops;
    uint32_t op_count, preamble_count, id_count, stream_count;
    uint64_t alignment;       /* what sizes are rounded to for the bound */
    uint64_t peak_live_bytes; /* as asked for */
    uint64_t bound_bytes;     /* no allocator can hold less at its peak */
    uint32_t peak_op;         /* the first operation after which peak_live_bytes are live, preamble left out */
    uint64_t allocated_bytes; /* sum of what is allocated */
} allocation_trace;

/* What is wrong with a file. */
typedef struct trace_problem {
    uint64_t line; /* from 1; 0: the file as a whole */
    char message[256];
} trace_problem;

/* Reads a file; on success the caller ends it with trace_fini(). On failure `out` is untouched. */
bool trace_read(allocation_trace *out, const char *path, trace_problem *problem);

/* The same from memory. */
bool trace_parse(allocation_trace *out, const char *text, size_t bytes, trace_problem *problem);

void trace_fini(allocation_trace *trace);

/* "traces/own/lstm.csv.gz" is "lstm". */
void trace_name(char *out, size_t capacity, const char *path);

#endif
