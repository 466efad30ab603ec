/* matrix.c: the places, the measuring of each pair, and the two ways to print it. */
#include "cli/matrix.h"

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/numbers.h"
#include "cli/progress.h"
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH           100u
#define COLUMNS_A_TABLE 7u /* targets; more of them make another table */

/* ---- Places ---- */

static matrix_place *
new_place(transfer_matrix *matrix)
{
    matrix->places = cli_grow(matrix->places, matrix->place_count + 1, sizeof *matrix->places);
    matrix_place *place = &matrix->places[matrix->place_count++];
    memset(place, 0, sizeof *place);
    return place;
}

void
matrix_init(transfer_matrix *matrix)
{
    memset(matrix, 0, sizeof *matrix);
    matrix_place *host = new_place(matrix);
    snprintf(host->name, sizeof host->name, "host");
    snprintf(host->title, sizeof host->title, "plain memory of this process");
}

void
matrix_fini(transfer_matrix *matrix)
{
    free(matrix->places);
    free(matrix->pairs);
    memset(matrix, 0, sizeof *matrix);
}

void
matrix_add(transfer_matrix *matrix, const char *name, const dcmem_backend *backend, uint32_t index, const char *title,
           const char *reason)
{
    matrix_place *place = new_place(matrix);
    place->backend = backend;
    place->index = index;
    snprintf(place->name, sizeof place->name, "%s", name);
    snprintf(place->title, sizeof place->title, "%s", title);
    snprintf(place->reason, sizeof place->reason, "%s", reason ? reason : "");
}

static bool
is_measured(const matrix_place *place)
{
    return !place->reason[0];
}

/* ---- Measuring ---- */

static void
open_places(transfer_matrix *matrix)
{
    for (size_t i = 1; i < matrix->place_count; i++) {
        matrix_place *place = &matrix->places[i];
        if (!is_measured(place))
            continue;
        const dcmem_manager_options options = {.size = sizeof options,
                                               .backend = place->backend->name,
                                               .device = place->index,
                                               .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
        if (dcmem_manager_create(&place->manager, &options))
            snprintf(place->reason, sizeof place->reason, "%s", dcmem_last_detail()->message);
    }
}

static void
close_places(transfer_matrix *matrix)
{
    for (size_t i = 1; i < matrix->place_count; i++) {
        matrix_place *place = &matrix->places[i];
        if (!dcmem_manager_destroy(place->manager))
            continue;
        cli_complain("devices", "closing %s: %s", place->name, dcmem_last_detail()->message);
        matrix->failed_count++;
    }
}

static void
list_pairs(transfer_matrix *matrix)
{
    size_t most = matrix->place_count * matrix->place_count;
    matrix->pairs = cli_allocate(most, sizeof *matrix->pairs);
    for (size_t i = 0; i < most; i++) {
        const matrix_place *from = &matrix->places[i / matrix->place_count];
        const matrix_place *to = &matrix->places[i % matrix->place_count];
        if (is_measured(from) && is_measured(to) && (from->backend || to->backend))
            matrix->pairs[matrix->pair_count++] = (matrix_pair){.from = from, .to = to};
    }
}

void
matrix_measure(transfer_matrix *matrix, uint64_t bytes, bool is_quiet)
{
    progress_bar progress;
    open_places(matrix);
    list_pairs(matrix);
    progress_begin(&progress, matrix->pair_count, is_quiet);
    for (size_t i = 0; i < matrix->pair_count; i++) {
        matrix_pair *pair = &matrix->pairs[i];
        char label[48];
        snprintf(label, sizeof label, "%.20s to %.20s", pair->from->name, pair->to->name);
        progress_label(&progress, label);
        progress_step(&progress, i);
        if (distance_measure(&pair->distance, pair->to->manager, pair->from->manager, bytes, pair->problem,
                             sizeof pair->problem))
            continue;
        progress_end(&progress);
        cli_complain("devices", "%s: %s", label, pair->problem);
        matrix->failed_count++;
    }
    progress_end(&progress);
    close_places(matrix);
}

/* ---- JSON ---- */

static void
json_place(json_writer *json, const matrix_place *place)
{
    json_object(json);
    json_field_string(json, "place", place->name);
    json_field_string(json, "backend", place->backend ? place->backend->name : NULL);
    json_key(json, "index");
    if (place->backend)
        json_unsigned(json, place->index);
    else
        json_null(json);
    json_field_string(json, "name", place->title);
    json_field_bool(json, "is_available", is_measured(place));
    json_field_string(json, "reason", is_measured(place) ? NULL : place->reason);
    json_end(json);
}

static void
json_pair(json_writer *json, const matrix_pair *pair)
{
    json_object(json);
    json_field_string(json, "from", pair->from->name);
    json_field_string(json, "to", pair->to->name);
    json_field_string(json, "problem", pair->problem[0] ? pair->problem : NULL);
    if (!pair->problem[0]) {
        json_field_number(json, "latency_ns", pair->distance.latency_ns);
        json_field_unsigned(json, "latency_bytes", DISTANCE_SMALL_BYTES);
        json_field_number(json, "bytes_per_s", pair->distance.bytes_per_s);
        json_field_unsigned(json, "bytes", pair->distance.bytes);
    }
    json_end(json);
}

void
matrix_print_json(const transfer_matrix *matrix)
{
    json_writer json;
    json_init(&json, stdout);
    json_object(&json);
    json_key(&json, "places");
    json_array(&json);
    for (size_t i = 0; i < matrix->place_count; i++)
        json_place(&json, &matrix->places[i]);
    json_end(&json);
    json_key(&json, "pairs");
    json_array(&json);
    for (size_t i = 0; i < matrix->pair_count; i++)
        json_pair(&json, &matrix->pairs[i]);
    json_end(&json);
    json_end(&json);
    json_finish(&json);
}

/* ---- Tables ---- */

typedef void print_figure(text_table *table, const distance *found);

static void
print_latency(text_table *table, const distance *found)
{
    table_cell(table, "%s", text_of_ns(found->latency_ns).text);
}

static void
print_bandwidth(text_table *table, const distance *found)
{
    table_cell(table, "%.*f", found->bytes_per_s < 9.995e9 ? 2 : 1, found->bytes_per_s / 1e9);
}

static const matrix_pair *
pair_of(const transfer_matrix *matrix, const matrix_place *from, const matrix_place *to)
{
    for (size_t i = 0; i < matrix->pair_count; i++)
        if (matrix->pairs[i].from == from && matrix->pairs[i].to == to)
            return &matrix->pairs[i];
    return NULL;
}

static void
print_cell(text_table *table, const matrix_pair *pair, print_figure *print)
{
    if (!pair)
        table_cell(table, "-");
    else if (pair->problem[0])
        table_cell(table, "failed");
    else
        print(table, &pair->distance);
}

/* Of all sources and some of the targets. */
static void
print_table(const transfer_matrix *matrix, const matrix_place *const *places, size_t count, size_t first_column,
            const char *unit, print_figure *print)
{
    text_table table;
    size_t end = first_column + COLUMNS_A_TABLE < count ? first_column + COLUMNS_A_TABLE : count;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "from \\ to", "");
    for (size_t column = first_column; column < end; column++)
        table_column(&table, TABLE_RIGHT, places[column]->name, unit);
    for (size_t row = 0; row < count; row++) {
        table_cell(&table, "%s", places[row]->name);
        for (size_t column = first_column; column < end; column++)
            print_cell(&table, pair_of(matrix, places[row], places[column]), print);
    }
    table_print(&table, stdout);
    fputc('\n', stdout);
    table_fini(&table);
}

static void
print_all(const transfer_matrix *matrix, const char *unit, print_figure *print)
{
    size_t count = 0;
    const matrix_place **places = cli_allocate(matrix->place_count, sizeof *places);
    for (size_t i = 0; i < matrix->place_count; i++)
        if (is_measured(&matrix->places[i]))
            places[count++] = &matrix->places[i];
    for (size_t column = 0; column < count; column += COLUMNS_A_TABLE)
        print_table(matrix, places, count, column, unit, print);
    free(places);
}

/* Most pairs had the same size; those that did not are told. */
static void
print_sizes(const transfer_matrix *matrix)
{
    uint64_t most = 0;
    char text[256];
    for (size_t i = 0; i < matrix->pair_count; i++)
        most = matrix->pairs[i].distance.bytes > most ? matrix->pairs[i].distance.bytes : most;
    snprintf(
        text, sizeof text,
        "Bandwidth: median of copies of %s. Latency: of copies of %u bytes. The bytes of each round were compared.",
        text_of_bytes(most).text, DISTANCE_SMALL_BYTES);
    table_note(stdout, 0, WIDTH, text);
    for (size_t i = 0; i < matrix->pair_count; i++) {
        const matrix_pair *pair = &matrix->pairs[i];
        if (!pair->problem[0] && pair->distance.bytes != most)
            printf("%s to %s: copies of %s.\n", pair->from->name, pair->to->name,
                   text_of_bytes(pair->distance.bytes).text);
    }
}

static void
print_missing(const transfer_matrix *matrix)
{
    for (size_t i = 0; i < matrix->place_count; i++) {
        const matrix_place *place = &matrix->places[i];
        if (is_measured(place))
            continue;
        printf("%s: not measured\n", place->name);
        table_note(stdout, 2, WIDTH, place->reason);
    }
}

void
matrix_print_tables(const transfer_matrix *matrix, bool has_notes)
{
    for (size_t i = 0; i < matrix->place_count; i++)
        if (is_measured(&matrix->places[i]))
            printf("%s: %s\n", matrix->places[i].name, matrix->places[i].title);
    fputc('\n', stdout);
    if (matrix->pair_count) {
        fputs("LATENCY\n", stdout);
        print_all(matrix, "", print_latency);
        fputs("BANDWIDTH\n", stdout);
        print_all(matrix, "GB/s", print_bandwidth);
    }
    if (has_notes && matrix->failed_count < matrix->pair_count)
        print_sizes(matrix);
    print_missing(matrix);
}
