/* report.h: what `dcmem replay` measured, for people, for programs, and for docs/benchmarks.md. */
#ifndef DCMEM_CLI_REPORT_H
#define DCMEM_CLI_REPORT_H

#include "cli/measure.h"

/* One trace, measured. */
typedef struct report_row {
    const char *path;
    char name[96];
    const char *backend; /* that it was replayed on */
    bool is_simulated;   /* because the trace needs more than the device has free */
    measurement figures;
} report_row;

/* How all of them were measured. */
typedef struct report_settings {
    const char *sizing, *policy;
    bool has_threads, is_touched, has_buffers;
} report_settings;

void report_json(const report_row *rows, size_t count, const report_settings *settings);

/* Two tables, time and memory, with the mean and the worst of several traces below; `has_notes`: and what the columns
 * mean. */
void report_tables(const report_row *rows, size_t count, const report_settings *settings, bool has_notes);

/* A Markdown table of both sizings; row i of `defaults` and of `powers` are of the same trace. */
void report_summary(const report_row *defaults, const report_row *powers, size_t count);

#endif
