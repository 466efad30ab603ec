/* print.c: a snapshot as JSON for machines and as a table for people, both expanded from the lists of stats.h.
 *
 * The text is written through one small writer that counts what does not fit instead of failing. Numbers are written
 * digit by digit: printf would follow the program's locale, and "0,5" is not JSON. */
#include "stats/shard.h"

#include "base/fail.h"

#include <string.h>

typedef struct writer {
    char *text;
    size_t capacity;
    size_t length; /* of the whole text, the part that did not fit included */
} writer;

static void
put_bytes(writer *to, const char *bytes, size_t count)
{
    if (to->length < to->capacity) {
        size_t room = to->capacity - to->length;
        memcpy(to->text + to->length, bytes, count < room ? count : room);
    }
    to->length += count;
}

static void
put(writer *to, const char *text)
{
    put_bytes(to, text, strlen(text));
}

static void
put_spaces(writer *to, size_t count)
{
    while (count-- > 0)
        put_bytes(to, " ", 1);
}

/* Ends the text, which loses its last byte to the NUL where it was cut. */
static void
finish(writer *to, size_t *out_bytes)
{
    if (to->capacity > 0)
        to->text[to->length < to->capacity ? to->length : to->capacity - 1] = '\0';
    if (out_bytes)
        *out_bytes = to->length;
}

/* ---- Numbers ---- */

#define NUMBER_BYTES 32

/* At least `digits` digits of `value`; returns where they begin in `buffer`. */
static const char *
format_number(char buffer[NUMBER_BYTES], uint64_t value, unsigned digits)
{
    char *at = buffer + NUMBER_BYTES - 1;
    *at = '\0';
    for (unsigned n = 0; n < digits || value > 0; n++, value /= 10)
        *--at = (char)('0' + value % 10);
    return at;
}

static void
put_number(writer *to, uint64_t value)
{
    char buffer[NUMBER_BYTES];
    put(to, format_number(buffer, value, 1));
}

/* `digits` (up to 6) behind the point. What is no number, or negative, is 0; what is too large is the largest. */
static void
put_decimal(writer *to, double value, unsigned digits)
{
    uint64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;

    uint64_t whole = 0, parts = 0;
    if (value >= 1e18) {
        whole = 1000000000000000000u;
    } else if (value > 0) {
        whole = (uint64_t)value;
        parts = (uint64_t)((value - (double)whole) * (double)scale + 0.5);
        whole += parts / scale;
        parts %= scale;
    }

    char buffer[NUMBER_BYTES];
    put_number(to, whole);
    if (digits > 0) {
        put(to, ".");
        put(to, format_number(buffer, parts, digits));
    }
}

static void
put_right(writer *to, uint64_t value, size_t width)
{
    char buffer[NUMBER_BYTES];
    const char *digits = format_number(buffer, value, 1);
    size_t length = strlen(digits);
    put_spaces(to, length < width ? width - length : 0);
    put(to, digits);
}

static void
put_left(writer *to, const char *text, size_t width)
{
    size_t length = strlen(text);
    put(to, text);
    put_spaces(to, length < width ? width - length : 0);
}

/* 1536 as "1.5 KiB". */
static void
put_size(writer *to, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    for (; bytes >= 1024.0 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        bytes /= 1024.0;
    put_decimal(to, bytes, unit ? 1 : 0);
    put(to, " ");
    put(to, units[unit]);
}

/* 1500 as "1.5 us". */
static void
put_time(writer *to, double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    for (; ns >= 1000.0 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        ns /= 1000.0;
    put_decimal(to, ns, 1);
    put(to, " ");
    put(to, units[unit]);
}

static bool
is_bytes(const char *unit)
{
    return strcmp(unit, "By") == 0;
}

static void
put_in_unit(writer *to, double value, const char *unit)
{
    if (is_bytes(unit))
        put_size(to, value);
    else
        put_time(to, value);
}

/* ---- What is worth a line ---- */

static bool
class_is_used(const dcmem_class_stats *class)
{
    return class->allocations || class->live || class->cached;
}

static bool
tag_is_used(const dcmem_tag_stats *tag)
{
    return tag->allocations || tag->live_bytes || tag->peak_bytes;
}

/* A snapshot that was read from elsewhere may count more than there is room for. */
static uint32_t
at_most(uint32_t count, uint32_t limit)
{
    return count < limit ? count : limit;
}

/* ---- JSON ---- */

static void
json_key(writer *to, bool *is_first, const char *name)
{
    put(to, *is_first ? "\"" : ",\"");
    put(to, name);
    put(to, "\":");
    *is_first = false;
}

static void
json_number(writer *to, bool *is_first, const char *name, uint64_t value)
{
    json_key(to, is_first, name);
    put_number(to, value);
}

static void
json_decimal(writer *to, bool *is_first, const char *name, double value)
{
    json_key(to, is_first, name);
    put_decimal(to, value, 6);
}

/* Pairs of a bucket's largest value and its count; empty buckets are left out. */
static void
json_buckets(writer *to, const dcmem_histogram *histogram)
{
    const char *before = "[";
    for (unsigned i = 0; i < DCMEM_STATS_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        put(to, before);
        put(to, "[");
        put_number(to, dcmi_histogram_bucket_end(i));
        put(to, ",");
        put_number(to, histogram->buckets[i]);
        put(to, "]");
        before = ",";
    }
    put(to, *before == '[' ? "[]" : "]");
}

static void
json_histogram(writer *to, bool *is_first, const char *name, const char *unit, const dcmem_histogram *histogram)
{
    bool is_first_field = false;
    json_key(to, is_first, name);
    put(to, "{\"unit\":\"");
    put(to, unit);
    put(to, "\"");
    json_number(to, &is_first_field, "count", histogram->count);
    json_number(to, &is_first_field, "sum", histogram->sum);
    json_number(to, &is_first_field, "minimum", histogram->minimum);
    json_number(to, &is_first_field, "maximum", histogram->maximum);
    json_decimal(to, &is_first_field, "p50", dcmem_histogram_quantile(histogram, 0.50));
    json_decimal(to, &is_first_field, "p90", dcmem_histogram_quantile(histogram, 0.90));
    json_decimal(to, &is_first_field, "p99", dcmem_histogram_quantile(histogram, 0.99));
    json_key(to, &is_first_field, "buckets");
    json_buckets(to, histogram);
    put(to, "}");
}

static void
json_classes(writer *to, const dcmem_stats *stats)
{
    bool is_first_class = true;
    put(to, "[");
    for (uint32_t i = 0; i < at_most(stats->class_count, DCMEM_STATS_CLASSES); i++) {
        const dcmem_class_stats *class = &stats->classes[i];
        bool is_first = true;
        if (!class_is_used(class))
            continue;
        put(to, is_first_class ? "{" : ",{");
        is_first_class = false;
#define DCMEM_X(name, help) json_number(to, &is_first, #name, class->name);
        DCMEM_STATS_CLASS_FIELDS(DCMEM_X)
#undef DCMEM_X
        put(to, "}");
    }
    put(to, "]");
}

static void
json_tags(writer *to, const dcmem_stats *stats)
{
    bool is_first_tag = true;
    put(to, "[");
    for (uint32_t i = 0; i < at_most(stats->tag_count, DCMEM_TAG_LIMIT); i++) {
        const dcmem_tag_stats *tag = &stats->tags[i];
        bool is_first = true;
        if (!tag_is_used(tag))
            continue;
        put(to, is_first_tag ? "{" : ",{");
        is_first_tag = false;
        json_number(to, &is_first, "tag", i);
#define DCMEM_X(name, help) json_number(to, &is_first, #name, tag->name);
        DCMEM_STATS_TAG_FIELDS(DCMEM_X)
#undef DCMEM_X
        put(to, "}");
    }
    put(to, "]");
}

dcmem_result
dcmem_stats_print_json(char *text, size_t capacity, size_t *out_bytes, const dcmem_stats *stats)
{
    DCMI_REQUIRE(text || capacity == 0);
    DCMI_REQUIRE(stats && stats->size == sizeof *stats);

    writer to = {text, capacity, 0};
    bool is_first = true;
    put(&to, "{\"counters\":{");
#define DCMEM_X(name, unit, help) json_number(&to, &is_first, #name, stats->name);
    DCMEM_STATS_COUNTERS(DCMEM_X)
    put(&to, "},\"gauges\":{");
    is_first = true;
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
    put(&to, "},\"ratios\":{");
    is_first = true;
#define DCMEM_X(name, formula) json_decimal(&to, &is_first, #name, stats->name);
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
    put(&to, "},\"histograms\":{");
    is_first = true;
#define DCMEM_X(name, unit, help) json_histogram(&to, &is_first, #name, unit, &stats->name);
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    put(&to, "},\"classes\":");
    json_classes(&to, stats);
    put(&to, ",\"tags\":");
    json_tags(&to, stats);
    put(&to, "}");
    finish(&to, out_bytes);
    return DCMEM_OK;
}

/* ---- The table ---- */

#define NAME_WIDTH   32
#define NUMBER_WIDTH 20
#define HUMAN_WIDTH  12

static void
table_number(writer *to, const char *name, uint64_t value, const char *unit, const char *help)
{
    char human[HUMAN_WIDTH + 1] = "";
    writer small = {human, sizeof human, 0};
    if (is_bytes(unit))
        put_size(&small, (double)value);
    finish(&small, NULL);

    put_left(to, name, NAME_WIDTH);
    put_right(to, value, NUMBER_WIDTH);
    put(to, "  ");
    put_left(to, human, HUMAN_WIDTH);
    put(to, help);
    put(to, "\n");
}

static void
table_ratio(writer *to, const char *name, double value, const char *formula)
{
    char digits[NUMBER_WIDTH + 9];
    writer small = {digits, sizeof digits, 0};
    put_decimal(&small, value, 4);
    finish(&small, NULL);

    put_left(to, name, NAME_WIDTH);
    put_spaces(to, small.length < NUMBER_WIDTH ? NUMBER_WIDTH - small.length : 0);
    put(to, digits);
    put_spaces(to, 2 + HUMAN_WIDTH);
    put(to, formula);
    put(to, "\n");
}

static void
table_histogram(writer *to, const char *name, const char *unit, const dcmem_histogram *histogram)
{
    static const struct {
        const char *name;
        double fraction;
    } quantiles[] = {{"  p50 ", 0.50}, {"  p90 ", 0.90}, {"  p99 ", 0.99}};

    put_left(to, name, NAME_WIDTH);
    put_right(to, histogram->count, NUMBER_WIDTH);
    for (unsigned i = 0; histogram->count && i < sizeof quantiles / sizeof quantiles[0]; i++) {
        put(to, quantiles[i].name);
        put_in_unit(to, dcmem_histogram_quantile(histogram, quantiles[i].fraction), unit);
    }
    if (histogram->count) {
        put(to, "  most ");
        put_in_unit(to, (double)histogram->maximum, unit);
    }
    put(to, "\n");
}

static void
table_classes(writer *to, const dcmem_stats *stats)
{
    put(to, "\nclasses\n");
#define DCMEM_X(name, help) put_spaces(to, 16 - strlen(#name)), put(to, #name);
    DCMEM_STATS_CLASS_FIELDS(DCMEM_X)
#undef DCMEM_X
    put(to, "\n");
    for (uint32_t i = 0; i < at_most(stats->class_count, DCMEM_STATS_CLASSES); i++) {
        const dcmem_class_stats *class = &stats->classes[i];
        if (!class_is_used(class))
            continue;
#define DCMEM_X(name, help) put_right(to, class->name, 16);
        DCMEM_STATS_CLASS_FIELDS(DCMEM_X)
#undef DCMEM_X
        put(to, "\n");
    }
}

static void
table_tags(writer *to, const dcmem_stats *stats)
{
    put(to, "\ntags\n             tag");
#define DCMEM_X(name, help) put_spaces(to, 16 - strlen(#name)), put(to, #name);
    DCMEM_STATS_TAG_FIELDS(DCMEM_X)
#undef DCMEM_X
    put(to, "\n");
    for (uint32_t i = 0; i < at_most(stats->tag_count, DCMEM_TAG_LIMIT); i++) {
        const dcmem_tag_stats *tag = &stats->tags[i];
        if (!tag_is_used(tag))
            continue;
        put_right(to, i, 16);
#define DCMEM_X(name, help) put_right(to, tag->name, 16);
        DCMEM_STATS_TAG_FIELDS(DCMEM_X)
#undef DCMEM_X
        put(to, "\n");
    }
}

dcmem_result
dcmem_stats_print_table(char *text, size_t capacity, size_t *out_bytes, const dcmem_stats *stats)
{
    DCMI_REQUIRE(text || capacity == 0);
    DCMI_REQUIRE(stats && stats->size == sizeof *stats);

    writer to = {text, capacity, 0};
    put(&to, "counters\n");
#define DCMEM_X(name, unit, help) table_number(&to, #name, stats->name, unit, help);
    DCMEM_STATS_COUNTERS(DCMEM_X)
    put(&to, "\ngauges\n");
    DCMEM_STATS_GAUGES(DCMEM_X)
#undef DCMEM_X
    put(&to, "\nratios\n");
#define DCMEM_X(name, formula) table_ratio(&to, #name, stats->name, formula);
    DCMEM_STATS_RATIOS(DCMEM_X)
#undef DCMEM_X
    put(&to, "\nhistograms\n");
#define DCMEM_X(name, unit, help) table_histogram(&to, #name, unit, &stats->name);
    DCMEM_STATS_HISTOGRAMS(DCMEM_X)
#undef DCMEM_X
    table_classes(&to, stats);
    table_tags(&to, stats);
    finish(&to, out_bytes);
    return DCMEM_OK;
}
