/* output.c: costs become what the case shows; absent contenders are named with the package that brings them. */
#include "bench/output.h"

#include "cli/numbers.h"
#include "cli/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 100u

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void
read_processor(char *out, size_t capacity)
{
    char line[256];
    snprintf(out, capacity, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) != 0)
            continue;
        char *text = strchr(line, ':');
        if (text)
            snprintf(out, capacity, "%s", text + 1 + strspn(text + 1, " "));
        out[strcspn(out, "\n")] = '\0';
        break;
    }
    if (file)
        fclose(file);
}

bench_setting
bench_setting_here(const char *policy)
{
    bench_setting setting = {.policy = policy, .compiler = COMPILER};
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    setting.processors = count > 0 ? (unsigned)count : 1;
    read_processor(setting.processor, sizeof setting.processor);
    return setting;
}

static bool
is_bandwidth(const bench_case *which)
{
    return which->field == BENCH_FIELD_TRANSFERS || which->field == BENCH_FIELD_ROUTES;
}

/* A cost as it is shown: ns to GB/s for transfers. NaN stays NaN. */
static double
shown(const bench_case *which, double cost)
{
    return is_bandwidth(which) ? (double)which->bytes / cost : cost;
}

/* ---- JSON ---- */

static void
print_peers(json_writer *json, const bench_result *result, bool are_ratios)
{
    json_object(json);
    for (unsigned i = 0; i < result->samples.contenders; i++) {
        if (result->samples.who[i].role != BENCH_ROLE_PEER || !result->samples.is_here[i])
            continue;
        double value = are_ratios ? result->outcome.ratio[i] : shown(result->which, result->outcome.cost[i]);
        json_field_number(json, result->samples.who[i].name, value);
    }
    json_end(json);
}

/* dcmem's cost over that of each other way. */
static void
print_ways(json_writer *json, const bench_result *result)
{
    json_object(json);
    for (unsigned i = 0; i < result->samples.contenders; i++)
        if (result->samples.who[i].role == BENCH_ROLE_METHOD && result->samples.is_here[i])
            json_field_number(json, result->samples.who[i].name, result->outcome.ratio[i]);
    json_end(json);
}

static void
print_beside(json_writer *json, const bench_result *result)
{
    for (unsigned i = 0; i < result->samples.contenders; i++) {
        if (result->samples.who[i].role == BENCH_ROLE_METHOD || result->samples.who[i].role == BENCH_ROLE_PART)
            json_field_number(json, result->samples.who[i].name, shown(result->which, result->outcome.cost[i]));
        if (result->samples.who[i].role != BENCH_ROLE_BESIDE)
            continue;
        json_field_string(json, "beside", result->samples.who[i].name);
        json_field_number(json, "beside_value", result->outcome.cost[i]);
        json_field_number(json, "ratio_to_beside", result->outcome.ratio[i]);
        json_field_number(json, "difference", result->outcome.difference);
    }
}

static void
print_absent(json_writer *json, const bench_result *result)
{
    json_object(json);
    for (unsigned i = 0; i < result->samples.contenders; i++) {
        const bench_contender *who = &result->samples.who[i];
        if (result->samples.is_here[i])
            continue;
        bool is_known = who->allocator && who->allocator->absence[0];
        json_field_string(json, who->name, is_known ? who->allocator->absence : "could not do it: no memory?");
    }
    json_end(json);
}

void
bench_print_json(json_writer *json, const bench_result *result, const bench_setting *setting)
{
    const bench_outcome *outcome = &result->outcome;
    json_object(json);
    json_field_string(json, "case", result->which->name);
    json_field_string(json, "unit", result->which->unit);
    json_field_number(json, "dcmem", outcome->dcmem < 0 ? NAN : shown(result->which, outcome->cost[outcome->dcmem]));
    json_field_number(json, "floor", shown(result->which, outcome->floor_cost));
    json_key(json, "peers");
    print_peers(json, result, false);
    json_field_number(json, "ratio_to_floor", outcome->ratio_to_floor);
    json_field_number(json, "ratio_to_best_peer", outcome->ratio_to_best_peer);
    json_field_string(json, "best_peer", outcome->best_peer < 0 ? NULL : result->samples.who[outcome->best_peer].name);
    json_key(json, "ratios");
    print_peers(json, result, true);
    json_key(json, "way_ratios");
    print_ways(json, result);
    print_beside(json, result);
    if (result->which->field == BENCH_FIELD_LIBRARIES && outcome->dcmem >= 0) {
        const char *path = result->samples.who[outcome->dcmem].allocator->path;
        json_field_unsigned(json, "file_bytes", bench_file_bytes(path));
        json_field_unsigned(json, "loaded_bytes", bench_loaded_bytes(path));
    }
    json_field_number(json, "spread", outcome->spread);
    json_field_unsigned(json, "rounds", result->samples.rounds);
    json_field_string(json, "policy", setting->policy);
    json_field_unsigned(json, "processors", setting->processors);
    json_field_string(json, "compiler", setting->compiler);
    json_key(json, "absent");
    print_absent(json, result);
    json_end(json);
}

/* ---- Tables ---- */

static void
cell(text_table *table, double value)
{
    if (isnan(value))
        table_cell(table, "-");
    else
        table_cell(table, "%.*f", fabs(value) < 9.995 ? 2 : fabs(value) < 99.95 ? 1 : 0, value);
}

/* One table for the neighbours that have the same contenders and unit. */
static void
print_table(const bench_result *const *results, unsigned count)
{
    const bench_samples *samples = &results[0]->samples;
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "case", results[0]->which->unit);
    bool has_floor = false, has_peers = false, has_beside = false;
    for (unsigned i = 0; i < samples->contenders; i++) {
        table_column(&table, TABLE_RIGHT, samples->who[i].name, "");
        bench_role role = samples->who[i].role;
        has_floor |= role == BENCH_ROLE_FLOOR || role == BENCH_ROLE_METHOD;
        has_peers |= role == BENCH_ROLE_PEER;
        has_beside |= role == BENCH_ROLE_BESIDE;
    }
    if (has_floor)
        table_column(&table, TABLE_RIGHT, "x floor", "");
    if (has_peers)
        table_column(&table, TABLE_RIGHT, "x best peer", "");
    if (has_beside) {
        table_column(&table, TABLE_RIGHT, "ratio", "");
        table_column(&table, TABLE_RIGHT, "difference", "");
    }
    for (unsigned row = 0; row < count; row++) {
        const bench_outcome *outcome = &results[row]->outcome;
        table_cell(&table, "%s", results[row]->which->name);
        for (unsigned i = 0; i < samples->contenders; i++)
            cell(&table, shown(results[row]->which, outcome->cost[i]));
        if (has_floor)
            cell(&table, outcome->ratio_to_floor);
        if (has_peers)
            cell(&table, outcome->ratio_to_best_peer);
        if (has_beside) {
            cell(&table, outcome->ratio[samples->contenders - 1]);
            cell(&table, outcome->difference);
        }
    }
    table_print(&table, stdout);
    table_fini(&table);
    fputc('\n', stdout);
}

static bool
belong_together(const bench_case *a, const bench_case *b)
{
    return a->field == b->field && strcmp(a->unit, b->unit) == 0;
}

/* Once each, of those whose cases were asked. */
static void
print_absent_backends(const bench_result *const *results, unsigned count)
{
    const bench_allocator *last = NULL;
    for (unsigned i = 0; i < count; i++) {
        const bench_allocator *backend =
            results[i]->which->field == BENCH_FIELD_BACKENDS ? results[i]->samples.who[0].allocator : NULL;
        if (backend && backend != last && backend->absence[0])
            printf("backend %s is absent: %s.\n", backend->name, backend->absence);
        last = backend;
    }
}

static void
print_absences(const bench_allocators *allocators)
{
    const bench_allocator *variants[] = {&allocators->nostats, &allocators->unchecked};
    for (unsigned i = 0; i < allocators->peer_count; i++)
        if (allocators->peers[i].absence[0])
            printf("%s is absent: %s.\n", allocators->peers[i].name, allocators->peers[i].absence);
    for (unsigned i = 0; i < sizeof variants / sizeof *variants; i++)
        if (variants[i]->absence[0])
            printf("dcmem %s is absent: %s.\n", variants[i]->name, variants[i]->absence);
}

void
bench_print_tables(const bench_result *const *results, unsigned count, const bench_setting *setting,
                   const bench_allocators *allocators, unsigned rounds)
{
    printf("dcmem %s (%s), policy %s, on %u x %s; %u rounds, all contenders in each\n\n", dcmem_version(),
           dcmem_build(), setting->policy, setting->processors, setting->processor, rounds);
    for (unsigned begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && belong_together(results[begin]->which, results[end]->which); end++)
            continue;
        print_table(results + begin, end - begin);
    }
    table_note(stdout, 0, WIDTH,
               "Times are ns for one allocation and one free, of faults for one call of a driver; medians over the "
               "rounds. \"x\" is the median over the rounds of dcmem's cost over the other's in the same round: below "
               "1, dcmem is ahead. The floor is a "
               "thread-local list of ready blocks, or for transfers the best way that was tried.");
    print_absences(allocators);
    print_absent_backends(results, count);
}
