/* table.h: a table for people: columns as wide as their widest cell, titles and units above, notes below.
 *
 *     text_table table;
 *     table_init(&table);
 *     table_column(&table, TABLE_LEFT, "case", "");
 *     table_column(&table, TABLE_RIGHT, "dcmem", "ns");
 *     table_cell(&table, "%s", "churn");
 *     table_cell(&table, "%.1f", 21.5);
 *     table_rule(&table);                       a line across, before a footer
 *     table_print(&table, stdout);
 *     table_fini(&table);
 *
 * Cells fill rows from left to right; a row ends when all columns have one. */
#ifndef DCMEM_CLI_TABLE_H
#define DCMEM_CLI_TABLE_H

#include <stdio.h>

typedef enum table_align { TABLE_LEFT, TABLE_RIGHT } table_align;

#define TABLE_COLUMNS 24

typedef struct text_table {
    unsigned column_count;
    struct {
        const char *title, *unit; /* the caller's, until the table has been printed */
        table_align align;
    } columns[TABLE_COLUMNS];
    size_t cell_count, cell_capacity;
    char **cells; /* NULL: a rule instead of this whole row */
} text_table;

void table_init(text_table *table);
void table_fini(text_table *table);
void table_column(text_table *table, table_align align, const char *title, const char *unit);
void table_cell(text_table *table, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void table_rule(text_table *table);
void table_print(const text_table *table, FILE *out);

/* The same as a Markdown table, for documents. */
void table_print_markdown(const text_table *table, FILE *out);

/* A paragraph filled to `width` characters, its lines behind `indent` blanks. */
void table_note(FILE *out, unsigned indent, unsigned width, const char *text);

#endif
