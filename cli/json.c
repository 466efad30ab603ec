/* json.c: the writer. One value a line inside arrays and objects, two blanks a level. */
#include "cli/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

void
json_init(json_writer *json, FILE *out)
{
    json->out = out;
    json->depth = 0;
    json->is_after_key = false;
}

static void
new_line(json_writer *json)
{
    fputc('\n', json->out);
    for (unsigned i = 0; i < json->depth; i++)
        fputs("  ", json->out);
}

/* What stands before a key, or before a value that has none. */
static void
separate(json_writer *json)
{
    if (json->depth == 0)
        return;
    if (json->levels[json->depth - 1].has_members)
        fputc(',', json->out);
    json->levels[json->depth - 1].has_members = true;
    new_line(json);
}

static void
before_value(json_writer *json)
{
    if (!json->is_after_key)
        separate(json);
    json->is_after_key = false;
}

static void
open_level(json_writer *json, char open, char close)
{
    assert(json->depth < JSON_DEPTH);
    before_value(json);
    fputc(open, json->out);
    json->levels[json->depth].close = close;
    json->levels[json->depth].has_members = false;
    json->depth++;
}

void
json_object(json_writer *json)
{
    open_level(json, '{', '}');
}

void
json_array(json_writer *json)
{
    open_level(json, '[', ']');
}

void
json_end(json_writer *json)
{
    assert(json->depth > 0 && !json->is_after_key);
    json->depth--;
    if (json->levels[json->depth].has_members)
        new_line(json);
    fputc(json->levels[json->depth].close, json->out);
}

/* Bytes of the UTF-8 sequence at `text`, 0 when it is not one: overlong forms, surrogates and what lies past
 * U+10FFFF are not. */
static unsigned
utf8_length(const unsigned char *text)
{
    unsigned char first = text[0], second = text[0] ? text[1] : 0;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return (second & 0xc0) == 0x80 ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        unsigned char low = first == 0xe0 ? 0xa0 : 0x80, high = first == 0xed ? 0x9f : 0xbf;
        return second >= low && second <= high && (text[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        unsigned char low = first == 0xf0 ? 0x90 : 0x80, high = first == 0xf4 ? 0x8f : 0xbf;
        bool is_good = second >= low && second <= high && (text[2] & 0xc0) == 0x80 && (text[3] & 0xc0) == 0x80;
        return is_good ? 4 : 0;
    }
    return 0;
}

static void
write_character(FILE *out, unsigned char c)
{
    switch (c) {
    case '"':
        fputs("\\\"", out);
        return;
    case '\\':
        fputs("\\\\", out);
        return;
    case '\n':
        fputs("\\n", out);
        return;
    case '\r':
        fputs("\\r", out);
        return;
    case '\t':
        fputs("\\t", out);
        return;
    default:
        break;
    }
    if (c < 0x20 || c == 0x7f)
        fprintf(out, "\\u%04x", c);
    else
        fputc(c, out);
}

static void
write_text(FILE *out, const char *text)
{
    const unsigned char *next = (const unsigned char *)text;
    fputc('"', out);
    while (*next) {
        unsigned length = utf8_length(next);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (length == 1)
            write_character(out, *next);
        else
            fwrite(next, 1, length, out);
        next += length ? length : 1;
    }
    fputc('"', out);
}

void
json_key(json_writer *json, const char *key)
{
    assert(json->depth > 0 && json->levels[json->depth - 1].close == '}' && !json->is_after_key);
    separate(json);
    write_text(json->out, key);
    fputs(": ", json->out);
    json->is_after_key = true;
}

void
json_string(json_writer *json, const char *text)
{
    before_value(json);
    if (text)
        write_text(json->out, text);
    else
        fputs("null", json->out);
}

void
json_number(json_writer *json, double value)
{
    char text[40];
    if (!isfinite(value)) {
        json_null(json);
        return;
    }
    /* The fewest digits that read back as the same double. */
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    before_value(json);
    fputs(text, json->out);
}

void
json_unsigned(json_writer *json, uint64_t value)
{
    before_value(json);
    fprintf(json->out, "%llu", (unsigned long long)value);
}

void
json_signed(json_writer *json, int64_t value)
{
    before_value(json);
    fprintf(json->out, "%lld", (long long)value);
}

void
json_bool(json_writer *json, bool value)
{
    before_value(json);
    fputs(value ? "true" : "false", json->out);
}

void
json_null(json_writer *json)
{
    before_value(json);
    fputs("null", json->out);
}

void
json_finish(json_writer *json)
{
    assert(json->depth == 0);
    fputc('\n', json->out);
}

void
json_field_string(json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    json_string(json, text);
}

void
json_field_number(json_writer *json, const char *key, double value)
{
    json_key(json, key);
    json_number(json, value);
}

void
json_field_unsigned(json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_unsigned(json, value);
}

void
json_field_signed(json_writer *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_signed(json, value);
}

void
json_field_bool(json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}
