/* output.h: what was measured, as JSON for programs and as tables for people. */
#ifndef DCMEM_BENCH_OUTPUT_H
#define DCMEM_BENCH_OUTPUT_H

#include "bench/rounds.h"
#include "cli/json.h"

/* What was measured where; stands above the tables and in each JSON object. */
typedef struct bench_setting {
    const char *policy;
    char processor[96];
    unsigned processors;
    const char *compiler;
} bench_setting;

bench_setting bench_setting_here(const char *policy);

typedef struct bench_result {
    const bench_case *which;
    bench_samples samples;
    bench_outcome outcome;
} bench_result;

/* One object of the array. */
void bench_print_json(json_writer *json, const bench_result *result, const bench_setting *setting);

void bench_print_tables(const bench_result *const *results, unsigned count, const bench_setting *setting,
                        const bench_allocators *allocators, unsigned rounds);

#endif
