/* table.c: widths, rows and paragraphs. Widths are counted in characters, not bytes: "µs" is two. */
#include "cli/table.h"

#include "cli/cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void
table_init(text_table *table)
{
    memset(table, 0, sizeof *table);
}

void
table_fini(text_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    table_init(table);
}

void
table_column(text_table *table, table_align align, const char *title, const char *unit)
{
    assert(table->column_count < TABLE_COLUMNS && table->cell_count == 0);
    table->columns[table->column_count].title = title;
    table->columns[table->column_count].unit = unit;
    table->columns[table->column_count].align = align;
    table->column_count++;
}

static void
add_cell(text_table *table, char *text)
{
    if (table->cell_count == table->cell_capacity) {
        table->cell_capacity = table->cell_capacity ? table->cell_capacity * 2 : 64;
        table->cells = cli_grow(table->cells, table->cell_capacity, sizeof *table->cells);
    }
    table->cells[table->cell_count++] = text;
}

void
table_cell(text_table *table, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);

    size_t bytes = length > 0 ? (size_t)length + 1 : 1;
    char *text = cli_allocate(bytes, 1);
    vsnprintf(text, bytes, format, arguments);
    va_end(arguments);
    add_cell(table, text);
}

void
table_rule(text_table *table)
{
    assert(table->column_count && table->cell_count % table->column_count == 0);
    for (unsigned i = 0; i < table->column_count; i++)
        add_cell(table, NULL);
}

static size_t
characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void
widen(size_t *width, const char *text)
{
    size_t needed = text ? characters(text) : 0;
    if (needed > *width)
        *width = needed;
}

static void
measure(size_t widths[TABLE_COLUMNS], const text_table *table)
{
    for (unsigned c = 0; c < table->column_count; c++) {
        widths[c] = 0;
        widen(&widths[c], table->columns[c].title);
        widen(&widths[c], table->columns[c].unit);
    }
    /* No cells without columns. */
    for (size_t i = 0; i < table->cell_count; i++)
        widen(&widths[i % table->column_count], table->cells[i]); /* NOLINT(clang-analyzer-core.DivideZero) */
}

static void
repeat(FILE *out, char c, size_t count)
{
    while (count-- > 0)
        fputc(c, out);
}

static void
print_cell(FILE *out, const char *text, table_align align, size_t width, bool is_last)
{
    size_t blanks = width - characters(text);
    if (align == TABLE_RIGHT)
        repeat(out, ' ', blanks);
    fputs(text, out);
    if (align == TABLE_LEFT && !is_last)
        repeat(out, ' ', blanks);
    fputs(is_last ? "\n" : "  ", out);
}

static void
print_rule(const text_table *table, const size_t widths[TABLE_COLUMNS], FILE *out)
{
    size_t total = 2 * (size_t)(table->column_count - 1);
    for (unsigned c = 0; c < table->column_count; c++)
        total += widths[c];
    repeat(out, '-', total);
    fputc('\n', out);
}

static bool
has_units(const text_table *table)
{
    for (unsigned c = 0; c < table->column_count; c++)
        if (table->columns[c].unit[0])
            return true;
    return false;
}

void
table_print(const text_table *table, FILE *out)
{
    size_t widths[TABLE_COLUMNS];
    unsigned columns = table->column_count;
    if (columns == 0)
        return;

    measure(widths, table);
    for (unsigned c = 0; c < columns; c++)
        print_cell(out, table->columns[c].title, table->columns[c].align, widths[c], c + 1 == columns);
    for (unsigned c = 0; has_units(table) && c < columns; c++)
        print_cell(out, table->columns[c].unit, table->columns[c].align, widths[c], c + 1 == columns);
    print_rule(table, widths, out);
    for (size_t row = 0; row + columns <= table->cell_count; row += columns) {
        if (!table->cells[row]) {
            print_rule(table, widths, out);
            continue;
        }
        for (unsigned c = 0; c < columns; c++)
            print_cell(out, table->cells[row + c], table->columns[c].align, widths[c], c + 1 == columns);
    }
}

void
table_print_markdown(const text_table *table, FILE *out)
{
    unsigned columns = table->column_count;
    if (columns == 0)
        return;
    for (unsigned c = 0; c < columns; c++) {
        const char *unit = table->columns[c].unit;
        fprintf(out, "| %s%s%s ", table->columns[c].title, unit[0] ? ", " : "", unit);
    }
    fputs("|\n", out);
    for (unsigned c = 0; c < columns; c++)
        fputs(table->columns[c].align == TABLE_RIGHT ? "|---:" : "|---", out);
    fputs("|\n", out);
    for (size_t row = 0; row + columns <= table->cell_count; row += columns) {
        if (!table->cells[row])
            continue;
        for (unsigned c = 0; c < columns; c++)
            fprintf(out, "| %s ", table->cells[row + c]);
        fputs("|\n", out);
    }
}

void
table_note(FILE *out, unsigned indent, unsigned width, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t length = strcspn(text, " ");
        char word[256];
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), text);
        size_t needed = characters(word);
        if (column && column + 1 + needed > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0) {
            repeat(out, ' ', indent);
            column = indent;
        } else {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, length, out);
        column += needed;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}
