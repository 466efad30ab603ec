/* text_test.c: numbers, tables, progress and options, as people see them. */
#include "cli/cli.h"
#include "cli/numbers.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "test.h"

#include <stdlib.h>

/* ---- Numbers ---- */

TEST(median__is_the_middle_value_or_the_mean_of_the_two)
{
    EXPECT(median((double[]){3, 1, 2}, 3) == 2);
    EXPECT(median((double[]){4, 1, 3, 2}, 4) == 2.5);
    EXPECT(median((double[]){7}, 1) == 7);
    EXPECT(median(NULL, 0) == 0);
}

TEST(quantile__reaches_from_the_least_to_the_most)
{
    EXPECT(quantile((double[]){3, 1, 2}, 3, 0) == 1);
    EXPECT(quantile((double[]){3, 1, 2}, 3, 1) == 3);
    EXPECT(quantile((double[]){0, 100}, 2, 0.99) == 99);
}

TEST(numbers__read_as_people_write_them)
{
    assert_string_equal(text_of_bytes(0).text, "0 B");
    assert_string_equal(text_of_bytes(999).text, "999 B");
    assert_string_equal(text_of_bytes(1000).text, "0.98 KiB");
    assert_string_equal(text_of_bytes(65536).text, "64.0 KiB");
    assert_string_equal(text_of_bytes(3068205124).text, "2.86 GiB");
    assert_string_equal(text_of_bytes(UINT64_MAX).text, "16.0 EiB");
    assert_string_equal(text_of_ns(5.314).text, "5.31 ns");
    assert_string_equal(text_of_ns(4700).text, "4.70 µs");
    assert_string_equal(text_of_ns(9.999e11).text, "1000 s");
    assert_string_equal(text_of_count(0).text, "0");
    assert_string_equal(text_of_count(999).text, "999");
    assert_string_equal(text_of_count(1234567).text, "1,234,567");
}

TEST(share__never_rounds_what_is_missing_away)
{
    assert_string_equal(text_of_share(1).text, "100 %");
    assert_string_equal(text_of_share(0).text, "0.0 %");
    assert_string_equal(text_of_share(0.5).text, "50.0 %");
    assert_string_equal(text_of_share(0.9997).text, "99.970 %");
    assert_string_equal(text_of_share(0.99999).text, "99.9990 %");
    assert_string_equal(text_of_share(-0.25).text, "-25.0 %");
}

/* ---- Tables ---- */

static char *text;
static size_t text_bytes;

TEST(table__makes_columns_as_wide_as_their_widest_cell_counted_in_characters)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "case", "");
    table_column(&table, TABLE_RIGHT, "time", "µs");
    table_cell(&table, "%s", "a long one");
    table_cell(&table, "%d", 5);
    table_rule(&table);
    table_cell(&table, "%s", "µ");
    table_cell(&table, "%.2f µs", 12.5);

    FILE *out = open_memstream(&text, &text_bytes);
    table_print(&table, out);
    fclose(out);
    table_fini(&table);
    assert_string_equal(text, "case            time\n"
                              "                  µs\n"
                              "--------------------\n"
                              "a long one         5\n"
                              "--------------------\n"
                              "µ           12.50 µs\n");
    free(text);
}

TEST(table__prints_markdown_without_its_rules)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "case", "");
    table_column(&table, TABLE_RIGHT, "time", "ns");
    table_cell(&table, "a");
    table_cell(&table, "1");
    table_rule(&table);
    FILE *out = open_memstream(&text, &text_bytes);
    table_print_markdown(&table, out);
    fclose(out);
    table_fini(&table);
    assert_string_equal(text, "| case | time, ns |\n|---|---:|\n| a | 1 |\n");
    free(text);
}

TEST(table__grows_to_thousands_of_cells)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "n", "");
    for (int i = 0; i < 5000; i++)
        table_cell(&table, "%d", i);
    EXPECT_EQ(table.cell_count, 5000);
    assert_string_equal(table.cells[4999], "4999");
    table_fini(&table);
}

TEST(note__breaks_lines_between_words_only)
{
    FILE *out = open_memstream(&text, &text_bytes);
    table_note(out, 2, 12, "one two three a-word-that-is-too-long end");
    fclose(out);
    assert_string_equal(text, "  one two\n  three\n  a-word-that-is-too-long\n  end\n");
    free(text);
}

/* ---- Progress ---- */

TEST(progress__fills_from_nothing_to_all)
{
    EXPECT_EQ(progress_fill(0, 10, 30), 0);
    EXPECT_EQ(progress_fill(5, 10, 30), 15);
    EXPECT_EQ(progress_fill(9, 10, 30), 27);
    EXPECT_EQ(progress_fill(10, 10, 30), 30);
    EXPECT_EQ(progress_fill(11, 10, 30), 30);
    EXPECT_EQ(progress_fill(0, 0, 30), 30);
    EXPECT_EQ(progress_fill(UINT64_MAX - 1, UINT64_MAX, 30), 30);
}

TEST(progress__is_silent_when_it_is_quiet)
{
    progress_bar bar;
    progress_begin(&bar, 10, true);
    progress_label(&bar, "a label that is longer than any label has a right to be, by far");
    progress_step(&bar, 5);
    EXPECT(!bar.is_on_screen);
    progress_end(&bar);
}

/* ---- Options ---- */

static bool is_json;
static uint64_t rounds;
static int sizing;
static const char *backend;
static int operands;

static options_outcome
parse(int argc, char **argv)
{
    static const char *const sizings[] = {"power-of-two", "default", NULL};
    static const char *const examples[] = {NULL};
    const option_spec options[] = {
        OPTION_FLAG("json", &is_json, "JSON."),
        OPTION_NUMBER("rounds", "N", &rounds, 1, 100, "Rounds."),
        OPTION_CHOICE("sizing", &sizing, sizings, "Sizing."),
        OPTION_TEXT("backend", "NAME", &backend, "Backend."),
        OPTION_END,
    };
    const command_spec command = {.name = "test",
                                  .operands = "",
                                  .summary = "",
                                  .text = "",
                                  .options = options,
                                  .examples = examples,
                                  .exits = ""};
    is_json = false;
    rounds = 7;
    sizing = 1;
    backend = "cpu";
    operands = -1;
    return options_parse(&operands, &command, argc, argv);
}

#define PARSE(...) parse((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

TEST(options__keep_their_value_when_they_are_not_given)
{
    EXPECT_EQ(parse(0, NULL), OPTIONS_GO);
    EXPECT(!is_json && rounds == 7 && sizing == 1 && strcmp(backend, "cpu") == 0);
    EXPECT_EQ(operands, 0);
}

TEST(options__take_values_in_both_forms)
{
    EXPECT_EQ(PARSE("--rounds", "5", "--sizing=power-of-two", "--backend=a=b", "--json"), OPTIONS_GO);
    EXPECT(is_json && rounds == 5 && sizing == 0 && strcmp(backend, "a=b") == 0);
}

TEST(options__gather_operands_from_between)
{
    char *words[] = {"one", "--json", "two", "--", "--rounds", "-"};
    EXPECT_EQ(parse(6, words), OPTIONS_GO);
    EXPECT_EQ(operands, 4);
    assert_string_equal(words[0], "one");
    assert_string_equal(words[1], "two");
    assert_string_equal(words[2], "--rounds");
    assert_string_equal(words[3], "-");
}

TEST(options__refuse_what_they_do_not_know_or_cannot_read)
{
    EXPECT_EQ(PARSE("--nonsense"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("-j"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("-=x"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--="), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--json=yes"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", ""), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", "0"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", "101"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", "-1"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", "5x"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--rounds", "99999999999999999999999"), OPTIONS_WRONG);
    EXPECT_EQ(PARSE("--sizing", "large"), OPTIONS_WRONG);
}

TEST(nearest__finds_what_was_meant_and_nothing_that_was_not)
{
    static const char *const words[] = {"devices", "replay", "bench", "version", "help", NULL};
    assert_string_equal(options_nearest("repaly", words), "replay");
    assert_string_equal(options_nearest("dev", words), "devices");
    assert_string_equal(options_nearest("hlep", words), "help");
    EXPECT(!options_nearest("marmalade", words));
    EXPECT(!options_nearest("", words));
    EXPECT(!options_nearest("a word that is much longer than any command could be", words));
}
