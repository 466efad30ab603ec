/* print_test.c: JSON that parses, a table that names every figure, and texts that are cut where they must be. */
#include "stats/shard.h"
#include "test.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

#define CAPACITY (1u << 20)

static dcmem_stats *
new_stats(void)
{
    dcmem_stats *stats = calloc(1, sizeof *stats);
    EXPECT(stats);
    stats->size = sizeof *stats;
    return stats;
}

/* Every figure different, so that one printed for another shows. */
static dcmem_stats *
filled_stats(void)
{
    dcmem_stats *stats = new_stats();
    uint64_t next = 1000;
#define DCMEM_X(name, unit, help) stats->name = next++;
    DCMEM_STATS_COUNTERS(DCMEM_X)
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, unit, help) dcmi_histogram_add(&stats->name, next++, 7);
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    dcmi_stats_derive(stats);
    stats->class_count = 3;
    stats->classes[0] = (dcmem_class_stats){.block_bytes = 64};
    stats->classes[1] = (dcmem_class_stats){64000, 11, 10, 1, 5, 9};
    stats->classes[2] = (dcmem_class_stats){.block_bytes = 128000, .cached = 77};
    stats->tag_count = 3;
    stats->tags[2] = (dcmem_tag_stats){.allocations = 4, .live_bytes = 4444, .peak_bytes = 5555};
    return stats;
}

static char *
json_of(const dcmem_stats *stats)
{
    char *text = malloc(CAPACITY);
    size_t bytes;
    EXPECT_OK(dcmem_stats_print_json(text, CAPACITY, &bytes, stats));
    EXPECT_EQ(bytes, strlen(text));
    return text;
}

static char *
table_of(const dcmem_stats *stats)
{
    char *text = malloc(CAPACITY);
    size_t bytes;
    EXPECT_OK(dcmem_stats_print_table(text, CAPACITY, &bytes, stats));
    EXPECT_EQ(bytes, strlen(text));
    return text;
}

/* ---- A JSON reader just large enough to say whether a text is JSON ---- */

static const char *parse_value(const char *at);

static const char *
parse_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at && *at != '"')
        at++;
    return *at ? at + 1 : NULL;
}

static const char *
parse_number(const char *at)
{
    const char *begin = at;
    while (*at >= '0' && *at <= '9')
        at++;
    if (at == begin || (*begin == '0' && at > begin + 1))
        return NULL;
    if (*at != '.')
        return at;
    begin = ++at;
    while (*at >= '0' && *at <= '9')
        at++;
    return at == begin ? NULL : at;
}

static const char *
parse_members(const char *at, char end, int has_keys)
{
    if (*at == end)
        return at + 1;
    for (;;) {
        if (has_keys) {
            at = parse_string(at);
            if (!at || *at++ != ':')
                return NULL;
        }
        at = parse_value(at);
        if (!at)
            return NULL;
        if (*at == end)
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
}

static const char *
parse_value(const char *at)
{
    if (*at == '{')
        return parse_members(at + 1, '}', 1);
    if (*at == '[')
        return parse_members(at + 1, ']', 0);
    return *at == '"' ? parse_string(at) : parse_number(at);
}

static int
is_json(const char *text)
{
    const char *end = parse_value(text);
    return end && *end == '\0';
}

/* "name":value is somewhere in the text. */
static int
has_pair(const char *text, const char *name, uint64_t value)
{
    char pair[128];
    snprintf(pair, sizeof pair, "\"%s\":%llu", name, (unsigned long long)value);
    const char *found = strstr(text, pair);
    char after = found ? found[strlen(pair)] : '0';
    return after == ',' || after == '}';
}

TEST(json__of_an_empty_snapshot_is_json)
{
    dcmem_stats *stats = new_stats();
    char *text = json_of(stats);
    EXPECT(is_json(text));
    EXPECT(strstr(text, "\"classes\":[]"));
    EXPECT(strstr(text, "\"tags\":[]"));
    free(text);
    free(stats);
}

TEST(json__names_every_counter_gauge_ratio_and_histogram_with_its_value)
{
    dcmem_stats *stats = filled_stats();
    char *text = json_of(stats);
    EXPECT(is_json(text));
#define DCMEM_X(name, unit, help) EXPECT(has_pair(text, #name, stats->name));
    DCMEM_STATS_COUNTERS(DCMEM_X)
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, formula) EXPECT(strstr(text, "\"" #name "\":"));
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, unit, help)                                                                                      \
    EXPECT(strstr(text, "\"" #name "\":{\"unit\":\"" unit "\",\"count\":7,"));                                         \
    EXPECT(has_pair(text, "minimum", stats->name.minimum));
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    EXPECT(strstr(text, "\"p50\":") && strstr(text, "\"p90\":") && strstr(text, "\"p99\":"));
    free(text);
    free(stats);
}

TEST(json__shows_the_classes_and_tags_that_were_used_and_no_others)
{
    dcmem_stats *stats = filled_stats();
    char *text = json_of(stats);
    EXPECT(strstr(text, "{\"block_bytes\":64000,\"allocations\":11,\"frees\":10,\"live\":1,\"cached\":5,"
                        "\"waste_bytes\":9}"));
    EXPECT(has_pair(text, "block_bytes", 128000));
    EXPECT(!has_pair(text, "block_bytes", 64));
    EXPECT(strstr(text, "\"tags\":[{\"tag\":2,\"allocations\":4,\"frees\":0,\"live_bytes\":4444,"
                        "\"peak_bytes\":5555}]"));
    free(text);
    free(stats);
}

TEST(json__holds_numbers_where_a_snapshot_holds_none)
{
    dcmem_stats *stats = new_stats();
    stats->hit_rate = NAN;
    stats->reuse_ratio = INFINITY;
    stats->internal_fragmentation = -0.5;
    stats->external_fragmentation = 0.9999999;
    char *text = json_of(stats);
    EXPECT(is_json(text));
    EXPECT(strstr(text, "\"hit_rate\":0.000000"));
    EXPECT(strstr(text, "\"internal_fragmentation\":0.000000"));
    EXPECT(strstr(text, "\"external_fragmentation\":1.000000"));
    EXPECT(strstr(text, "\"reuse_ratio\":1000000000000000000.000000"));
    free(text);
    free(stats);
}

TEST(json__does_not_follow_the_locale)
{
    dcmem_stats *stats = filled_stats();
    char *before = json_of(stats);
    const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"};
    for (size_t i = 0; i < sizeof locales / sizeof locales[0]; i++) {
        setlocale(LC_ALL, locales[i]);
        char *text = json_of(stats);
        assert_string_equal(text, before);
        free(text);
    }
    setlocale(LC_ALL, "C");
    free(before);
    free(stats);
}

TEST(json__survives_counts_of_classes_and_tags_beyond_the_room)
{
    dcmem_stats *stats = new_stats();
    stats->class_count = UINT32_MAX;
    stats->tag_count = UINT32_MAX;
    char *text = json_of(stats);
    EXPECT(is_json(text));
    free(text);
    text = table_of(stats);
    free(text);
    free(stats);
}

TEST(table__names_every_figure_on_a_line_of_its_own)
{
    dcmem_stats *stats = filled_stats();
    char *text = table_of(stats);
#define DCMEM_X(name, unit, help) EXPECT(strstr(text, "\n" #name " ") && strstr(text, help "\n"));
    DCMEM_STATS_COUNTERS(DCMEM_X)
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, formula) EXPECT(strstr(text, "\n" #name " ") && strstr(text, formula "\n"));
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
#define DCMEM_X(name, unit, help) EXPECT(strstr(text, "\n" #name " "));
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    EXPECT(strstr(text, "           64000              11              10               1               5"));
    EXPECT(strstr(text, "               2               4               0            4444            5555\n"));
    free(text);
    free(stats);
}

TEST(table__shows_bytes_and_times_in_units_for_people)
{
    dcmem_stats *stats = new_stats();
    stats->used_bytes = 512;
    stats->reserved_bytes = 3ull << 29;
    stats->used_peak_bytes = UINT64_MAX;
    dcmi_histogram_add(&stats->copy_latency, 2000000, 1);
    dcmi_histogram_add(&stats->allocation_size, 4096, 1);
    char *text = table_of(stats);
    EXPECT(strstr(text, " 512  512 B "));
    EXPECT(strstr(text, " 1610612736  1.5 GiB "));
    EXPECT(strstr(text, " 18446744073709551615  16.0 EiB "));
    EXPECT(strstr(text, "p50 2.0 ms"));
    EXPECT(strstr(text, "p99 4.0 KiB"));
    free(text);
    free(stats);
}

/* ---- Cutting ---- */

typedef dcmem_result (*printer)(char *text, size_t capacity, size_t *out_bytes, const dcmem_stats *stats);
static const printer printers[] = {dcmem_stats_print_json, dcmem_stats_print_table};

TEST(print__tells_the_whole_length_without_room_and_writes_nothing)
{
    dcmem_stats *stats = filled_stats();
    for (int i = 0; i < 2; i++) {
        size_t needed, bytes;
        char *text = malloc(CAPACITY);
        EXPECT_OK(printers[i](NULL, 0, &needed, stats));
        EXPECT_OK(printers[i](text, CAPACITY, &bytes, stats));
        EXPECT_EQ(needed, bytes);
        EXPECT_OK(printers[i](text, CAPACITY, NULL, stats));
        free(text);
    }
    free(stats);
}

TEST(print__cuts_at_every_capacity_and_always_ends_in_nul)
{
    dcmem_stats *stats = filled_stats();
    for (int i = 0; i < 2; i++) {
        char *whole = i ? table_of(stats) : json_of(stats);
        size_t length = strlen(whole);
        for (size_t capacity = 1; capacity <= length + 2; capacity += capacity < 300 ? 1 : 97) {
            char *text = malloc(capacity + 1);
            size_t bytes;
            memset(text, '#', capacity + 1);
            EXPECT_OK(printers[i](text, capacity, &bytes, stats));
            size_t shown = capacity <= length ? capacity - 1 : length;
            EXPECT_EQ(bytes, length);
            EXPECT_EQ(strlen(text), shown);
            EXPECT(memcmp(text, whole, shown) == 0);
            EXPECT_EQ(text[capacity], '#');
            free(text);
        }
        free(whole);
    }
    free(stats);
}

TEST(print__refuses_no_text_with_a_capacity_no_snapshot_and_one_of_another_size)
{
    dcmem_stats *stats = new_stats();
    char text[16];
    size_t bytes = 42;
    for (int i = 0; i < 2; i++) {
        EXPECT_RESULT(printers[i](NULL, 1, &bytes, stats), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_RESULT(printers[i](text, sizeof text, &bytes, NULL), DCMEM_E_INVALID_ARGUMENT);
        stats->size = 8;
        EXPECT_RESULT(printers[i](text, sizeof text, &bytes, stats), DCMEM_E_INVALID_ARGUMENT);
        stats->size = sizeof *stats;
        EXPECT_EQ(bytes, 42);
    }
    free(stats);
}
