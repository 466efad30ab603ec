/* report.c: three forms of one set of figures. */
#include "cli/report.h"

#include "cli/json.h"
#include "cli/numbers.h"
#include "cli/table.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NOTE_WIDTH 100u
#define NAME_WIDTH 34u

/* ---- JSON ---- */

static void
json_way(json_writer *json, const char *key, const measured_way *way)
{
    json_key(json, key);
    json_object(json);
    json_field_unsigned(json, "rounds", way->rounds);
    json_field_number(json, "ns_per_op", way->ns_per_op);
    json_field_number(json, "p99_ns", way->p99_ns);
}

static void
json_first(json_writer *json, const measurement *figures)
{
    json_key(json, "first_round");
    json_object(json);
    json_field_number(json, "ns_per_op", figures->pool.first_ns_per_op);
    json_field_number(json, "hit_rate", figures->first_hit_rate);
    json_field_unsigned(json, "driver_calls", figures->first_driver_calls);
    json_field_unsigned(json, "acquired_bytes", figures->first_acquired_bytes);
    json_end(json);
}

static void
json_at_peak(json_writer *json, const struct measured_peak *at_peak)
{
    json_key(json, "at_peak");
    json_object(json);
    json_field_unsigned(json, "requested_bytes", at_peak->requested);
    json_field_unsigned(json, "used_bytes", at_peak->used);
    json_field_unsigned(json, "cached_bytes", at_peak->cached);
    json_field_unsigned(json, "free_bytes", at_peak->free);
    json_field_unsigned(json, "slab_free_bytes", at_peak->slab_free);
    json_field_unsigned(json, "largest_free_bytes", at_peak->largest_free);
    json_field_unsigned(json, "reserved_bytes", at_peak->reserved);
    json_end(json);
}

static void
json_pool(json_writer *json, const measurement *figures)
{
    json_way(json, "pool", &figures->pool);
    json_field_number(json, "hit_rate", figures->hit_rate);
    json_field_unsigned(json, "peak_reserved_bytes", figures->peak_reserved_bytes);
    json_field_number(json, "reserved_over_live", figures->reserved_over_live);
    json_field_number(json, "reserved_over_bound", figures->reserved_over_bound);
    json_field_number(json, "internal_waste", figures->internal_waste);
    json_field_number(json, "external_fragmentation", figures->external_fragmentation);
    json_field_unsigned(json, "driver_calls", figures->pool.driver_calls);
    json_field_unsigned(json, "acquired_bytes", figures->pool.acquired_bytes);
    json_at_peak(json, &figures->at_peak);
    json_first(json, figures);
    json_end(json);
}

static void
json_row(json_writer *json, const report_row *row, const report_settings *settings)
{
    const measurement *figures = &row->figures;
    json_object(json);
    json_field_string(json, "trace", row->name);
    json_field_string(json, "path", row->path);
    json_field_unsigned(json, "ops", figures->ops);
    json_field_unsigned(json, "rounds", figures->rounds);
    json_field_unsigned(json, "repeats", figures->repeats);
    json_field_string(json, "backend", row->backend);
    json_field_bool(json, "is_simulated", row->is_simulated);
    json_field_string(json, "sizing", settings->sizing);
    json_field_string(json, "policy", settings->policy);
    json_field_unsigned(json, "threads", figures->threads);
    json_field_bool(json, "touch", settings->is_touched);
    json_field_bool(json, "buffers", settings->has_buffers);
    json_field_unsigned(json, "alignment_bytes", figures->alignment);
    json_field_unsigned(json, "peak_live_bytes", figures->peak_live_bytes);
    json_field_unsigned(json, "bound_bytes", figures->bound_bytes);

    json_way(json, "direct", &figures->direct);
    json_field_number(json, "first_round_ns_per_op", figures->direct.first_ns_per_op);
    json_field_unsigned(json, "driver_calls", figures->direct.driver_calls);
    json_field_unsigned(json, "acquired_bytes", figures->direct.acquired_bytes);
    json_end(json);

    json_pool(json, figures);
    json_field_number(json, "overhead_removed", figures->overhead_removed);
    json_field_number(json, "alone_ns_per_op", figures->alone_ns_per_op);
    json_field_number(json, "removed_beside_use", figures->removed_beside);
    json_end(json);
}

void
report_json(const report_row *rows, size_t count, const report_settings *settings)
{
    json_writer json;
    json_init(&json, stdout);
    json_array(&json);
    for (size_t i = 0; i < count; i++)
        json_row(&json, &rows[i], settings);
    json_end(&json);
    json_finish(&json);
}

/* ---- Tables ---- */

/* Long names keep both ends: the beginning tells whose trace it is, the end which of his. */
static void
short_name(char out[NAME_WIDTH + 1], const char *name)
{
    size_t length = strlen(name), tail = NAME_WIDTH / 2 - 1, head = NAME_WIDTH - tail - 2;
    if (length <= NAME_WIDTH)
        snprintf(out, NAME_WIDTH + 1, "%s", name);
    else
        snprintf(out, NAME_WIDTH + 1, "%.*s..%s", (int)head, name, name + length - tail);
}

/* A figure is named by its place, so that footers need no function each. */
#define FIGURE(name) offsetof(measurement, name)

static double
figure_of(const report_row *row, size_t place)
{
    double value;
    memcpy(&value, (const char *)&row->figures + place, sizeof value);
    return value;
}

typedef enum footer { FOOTER_MEAN, FOOTER_LEAST, FOOTER_MOST } footer;

static double
footer_of(const report_row *rows, size_t count, size_t place, footer kind)
{
    double sum = 0, least = figure_of(&rows[0], place), most = least;
    for (size_t i = 0; i < count; i++) {
        double value = figure_of(&rows[i], place);
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    return kind == FOOTER_MEAN ? sum / (double)count : kind == FOOTER_LEAST ? least : most;
}

static void
add_name(text_table *table, const report_row *row)
{
    char name[NAME_WIDTH + 1];
    short_name(name, row->name);
    table_cell(table, "%s%s", name, row->is_simulated ? " *" : "");
}

static void
add_blanks(text_table *table, unsigned count)
{
    while (count-- > 0)
        table_cell(table, "%s", "");
}

/* What could not be measured is no number. */
static void
add_ns(text_table *table, double ns)
{
    table_cell(table, "%s", isfinite(ns) ? text_of_ns(ns).text : "-");
}

static void
add_share(text_table *table, double share)
{
    table_cell(table, "%s", isfinite(share) ? text_of_share(share).text : "-");
}

static void
add_times_footer(text_table *table, const report_row *rows, size_t count, const char *name, footer kind)
{
    table_cell(table, "%s", name);
    add_blanks(table, 7);
    table_cell(table, "%s", text_of_share(footer_of(rows, count, FIGURE(overhead_removed), kind)).text);
    add_share(table, footer_of(rows, count, FIGURE(removed_beside), kind));
}

static void
print_times(const report_row *rows, size_t count)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "TIME", "trace");
    table_column(&table, TABLE_RIGHT, "", "operations");
    table_column(&table, TABLE_RIGHT, "direct", "median");
    table_column(&table, TABLE_RIGHT, "", "p99");
    table_column(&table, TABLE_RIGHT, "pool", "median");
    table_column(&table, TABLE_RIGHT, "", "p99");
    table_column(&table, TABLE_RIGHT, "", "first round");
    table_column(&table, TABLE_RIGHT, "use", "alone");
    table_column(&table, TABLE_RIGHT, "cost", "removed");
    table_column(&table, TABLE_RIGHT, "removed", "beside use");
    for (size_t i = 0; i < count; i++) {
        const measurement *figures = &rows[i].figures;
        add_name(&table, &rows[i]);
        table_cell(&table, "%s", text_of_count(figures->ops).text);
        table_cell(&table, "%s", text_of_ns(figures->direct.ns_per_op).text);
        add_ns(&table, figures->direct.p99_ns);
        table_cell(&table, "%s", text_of_ns(figures->pool.ns_per_op).text);
        table_cell(&table, "%s", text_of_ns(figures->pool.p99_ns).text);
        table_cell(&table, "%s", text_of_ns(figures->pool.first_ns_per_op).text);
        add_ns(&table, figures->alone_ns_per_op);
        table_cell(&table, "%s", text_of_share(figures->overhead_removed).text);
        add_share(&table, figures->removed_beside);
    }
    if (count > 1) {
        table_rule(&table);
        add_times_footer(&table, rows, count, "mean", FOOTER_MEAN);
        add_times_footer(&table, rows, count, "worst", FOOTER_LEAST);
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static void
add_memory_footer(text_table *table, const report_row *rows, size_t count, const char *name, bool is_mean)
{
    footer low = is_mean ? FOOTER_MEAN : FOOTER_LEAST, high = is_mean ? FOOTER_MEAN : FOOTER_MOST;
    table_cell(table, "%s", name);
    add_blanks(table, 2);
    table_cell(table, "%.3f", footer_of(rows, count, FIGURE(reserved_over_live), high));
    table_cell(table, "%.3f", footer_of(rows, count, FIGURE(reserved_over_bound), high));
    table_cell(table, "%s", text_of_share(footer_of(rows, count, FIGURE(internal_waste), high)).text);
    table_cell(table, "%s", text_of_share(footer_of(rows, count, FIGURE(external_fragmentation), high)).text);
    table_cell(table, "%s", text_of_share(footer_of(rows, count, FIGURE(hit_rate), low)).text);
    add_blanks(table, 3);
}

static void
print_memory(const report_row *rows, size_t count)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "MEMORY", "trace");
    table_column(&table, TABLE_RIGHT, "live", "peak");
    table_column(&table, TABLE_RIGHT, "reserved", "peak");
    table_column(&table, TABLE_RIGHT, "reserved", "/ live");
    table_column(&table, TABLE_RIGHT, "reserved", "/ bound");
    table_column(&table, TABLE_RIGHT, "lost to", "rounding");
    table_column(&table, TABLE_RIGHT, "free in", "pieces");
    table_column(&table, TABLE_RIGHT, "hit", "rate");
    table_column(&table, TABLE_RIGHT, "acquired", "by pool");
    table_column(&table, TABLE_RIGHT, "driver calls", "direct");
    table_column(&table, TABLE_RIGHT, "driver calls", "pool");
    for (size_t i = 0; i < count; i++) {
        const measurement *figures = &rows[i].figures;
        add_name(&table, &rows[i]);
        table_cell(&table, "%s", text_of_bytes(figures->peak_live_bytes).text);
        table_cell(&table, "%s", text_of_bytes(figures->peak_reserved_bytes).text);
        table_cell(&table, "%.3f", figures->reserved_over_live);
        table_cell(&table, "%.3f", figures->reserved_over_bound);
        table_cell(&table, "%s", text_of_share(figures->internal_waste).text);
        table_cell(&table, "%s", text_of_share(figures->external_fragmentation).text);
        table_cell(&table, "%s", text_of_share(figures->hit_rate).text);
        table_cell(&table, "%s", text_of_bytes(figures->pool.acquired_bytes).text);
        table_cell(&table, "%s", text_of_count(figures->direct.driver_calls).text);
        table_cell(&table, "%s", text_of_count(figures->pool.driver_calls).text);
    }
    if (count > 1) {
        table_rule(&table);
        add_memory_footer(&table, rows, count, "mean", true);
        add_memory_footer(&table, rows, count, "worst", false);
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static void
note(const char *text)
{
    table_note(stdout, 2, NOTE_WIDTH, text);
}

static bool
has_simulated(const report_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].is_simulated)
            return true;
    return false;
}

static void
note_simulated(const report_row *rows, size_t count)
{
    if (has_simulated(rows, count))
        note("* needs more memory than the device has free: replayed on the backend 'simulated', whose memory is "
             "reserved "
             "but not there. Its memory figures hold; its direct times are not a driver's.");
}

/* A median of few rounds is told as one. */
static void
note_few_rounds(const report_row *rows, size_t count)
{
    char text[160];
    for (size_t i = 0; i < count; i++) {
        unsigned rounds = rows[i].figures.rounds, direct = rows[i].figures.direct.rounds;
        if (rounds < MEASURE_MIN_ROUNDS) {
            snprintf(text, sizeof text, "%s: times of %u warm %s only.", rows[i].name, rounds,
                     rounds == 1 ? "round" : "rounds");
            note(text);
        }
        if (direct < rounds) {
            snprintf(text, sizeof text, "%s: warm rounds: %u of the pool, %u of the driver%s.", rows[i].name, rounds,
                     direct, direct ? "" : ", whose first one stands for them");
            note(text);
        }
    }
}

static void
note_times(const report_settings *settings)
{
    note("operations: allocations and frees of the trace. direct: each allocation asks the driver for memory, each "
         "free gives it back. pool: the same through dcmem.");
    note("median: time of a warm round per operation, over all of them. p99: of 100 operations timed one by one, 99 "
         "are faster. first round: the pool still empty, kept out of the rest. cost removed: 1 - pool / direct.");
    note("use alone: the same operations on memory that is there, with neither driver nor pool: what is done with the "
         "memory, and the replay's own cost. removed beside use: 1 - (pool - use) / (direct - use).");
    if (settings->is_touched)
        note("Each allocation is used once, both ways: each page of it written by the host, or all of it filled by the "
             "device, where the memory is the device's. So the times hold the work for fresh pages, and the use "
             "itself.");
    if (settings->has_threads)
        note("Each stream is a thread of its own: times are of the clock on the wall, and streams may drift apart, so "
             "that more is live at once than in the recording.");
}

static void
note_memory(void)
{
    note("live: what the trace asked for and had not freed. reserved: what the pool held from the driver, in the warm "
         "rounds. bound: no allocator could do with less, sizes rounded to the alignment.");
    note("lost to rounding: part of the blocks in use when most was live. free in pieces: part of the pool's free "
         "memory that is not in its largest piece, then. hit rate: allocations that needed no driver call.");
    note("acquired, driver calls: over the whole replay, the first round included.");
}

void
report_tables(const report_row *rows, size_t count, const report_settings *settings, bool has_notes)
{
    print_times(rows, count);
    if (has_notes) {
        note_times(settings);
        note_few_rounds(rows, count);
    }
    fputc('\n', stdout);
    print_memory(rows, count);
    if (has_notes)
        note_memory();
    note_simulated(rows, count);
}

/* ---- Markdown ---- */

static void
add_summary(text_table *table, const char *name, const double values[6])
{
    table_cell(table, "%s", name);
    add_blanks(table, 4);
    table_cell(table, "%s", text_of_share(values[0]).text);
    table_cell(table, "%s", text_of_share(values[1]).text);
    table_cell(table, "%.3f", values[2]);
    table_cell(table, "%.3f", values[3]);
    table_cell(table, "%s", text_of_share(values[4]).text);
    table_cell(table, "%s", text_of_share(values[5]).text);
}

static void
add_summary_footer(text_table *table, const char *name, const report_row *defaults, const report_row *powers,
                   size_t count, bool is_mean)
{
    footer low = is_mean ? FOOTER_MEAN : FOOTER_LEAST, high = is_mean ? FOOTER_MEAN : FOOTER_MOST;
    add_summary(table, name,
                (double[]){footer_of(defaults, count, FIGURE(overhead_removed), low),
                           footer_of(powers, count, FIGURE(overhead_removed), low),
                           footer_of(defaults, count, FIGURE(reserved_over_bound), high),
                           footer_of(powers, count, FIGURE(reserved_over_bound), high),
                           footer_of(defaults, count, FIGURE(internal_waste), high),
                           footer_of(powers, count, FIGURE(internal_waste), high)});
}

void
report_summary(const report_row *defaults, const report_row *powers, size_t count)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "trace", "");
    table_column(&table, TABLE_RIGHT, "operations", "");
    table_column(&table, TABLE_RIGHT, "bound", "");
    table_column(&table, TABLE_RIGHT, "direct", "per operation");
    table_column(&table, TABLE_RIGHT, "pool", "per operation");
    table_column(&table, TABLE_RIGHT, "cost removed", "default");
    table_column(&table, TABLE_RIGHT, "cost removed", "power of two");
    table_column(&table, TABLE_RIGHT, "reserved / bound", "default");
    table_column(&table, TABLE_RIGHT, "reserved / bound", "power of two");
    table_column(&table, TABLE_RIGHT, "lost to rounding", "default");
    table_column(&table, TABLE_RIGHT, "lost to rounding", "power of two");
    for (size_t i = 0; i < count; i++) {
        const measurement *good = &defaults[i].figures, *power = &powers[i].figures;
        table_cell(&table, "%s%s", defaults[i].name, defaults[i].is_simulated ? " (simulated)" : "");
        table_cell(&table, "%s", text_of_count(good->ops).text);
        table_cell(&table, "%s", text_of_bytes(good->bound_bytes).text);
        table_cell(&table, "%s", text_of_ns(good->direct.ns_per_op).text);
        table_cell(&table, "%s", text_of_ns(good->pool.ns_per_op).text);
        table_cell(&table, "%s", text_of_share(good->overhead_removed).text);
        table_cell(&table, "%s", text_of_share(power->overhead_removed).text);
        table_cell(&table, "%.3f", good->reserved_over_bound);
        table_cell(&table, "%.3f", power->reserved_over_bound);
        table_cell(&table, "%s", text_of_share(good->internal_waste).text);
        table_cell(&table, "%s", text_of_share(power->internal_waste).text);
    }
    add_summary_footer(&table, "**mean**", defaults, powers, count, true);
    add_summary_footer(&table, "**worst**", defaults, powers, count, false);
    table_print_markdown(&table, stdout);
    table_fini(&table);
}
