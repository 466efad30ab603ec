/* json_test.c: what the writer writes is JSON, whatever it is given. */
#include "cli/json.h"
#include "json_check.h"
#include "test.h"

#include <math.h>

static char *text;
static size_t text_bytes;

static json_writer
begin(void)
{
    json_writer json;
    FILE *out = open_memstream(&text, &text_bytes);
    EXPECT(out);
    json_init(&json, out);
    return json;
}

static void
finish(json_writer *json)
{
    json_finish(json);
    fclose(json->out);
    if (!is_json(text))
        fail_msg("not JSON: %s", text);
}

TEST(json__nests_objects_and_arrays)
{
    json_writer json = begin();
    json_array(&json);
    json_object(&json);
    json_field_unsigned(&json, "a", UINT64_MAX);
    json_field_signed(&json, "b", INT64_MIN);
    json_key(&json, "c");
    json_array(&json);
    json_end(&json);
    json_key(&json, "d");
    json_object(&json);
    json_end(&json);
    json_field_bool(&json, "e", true);
    json_end(&json);
    json_null(&json);
    json_end(&json);
    finish(&json);
    assert_string_equal(text, "[\n  {\n    \"a\": 18446744073709551615,\n    \"b\": -9223372036854775808,\n"
                              "    \"c\": [],\n    \"d\": {},\n    \"e\": true\n  },\n  null\n]\n");
    free(text);
}

TEST(json__turns_what_is_no_number_into_null)
{
    const double values[] = {NAN, INFINITY, -INFINITY};
    for (unsigned i = 0; i < 3; i++) {
        json_writer json = begin();
        json_number(&json, values[i]);
        finish(&json);
        assert_string_equal(text, "null\n");
        free(text);
    }
}

TEST(json__writes_numbers_that_read_back_as_they_were)
{
    const double values[] = {0, -0.0, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789.125, -1.5e-7};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        json_writer json = begin();
        json_number(&json, values[i]);
        finish(&json);
        EXPECT(strtod(text, NULL) == values[i]);
        free(text);
    }
}

TEST(json__escapes_what_must_be_escaped)
{
    json_writer json = begin();
    json_string(&json, "a\"b\\c\nd\re\tf\001g\177h");
    finish(&json);
    assert_string_equal(text, "\"a\\\"b\\\\c\\nd\\re\\tf\\u0001g\\u007fh\"\n");
    free(text);
}

TEST(json__keeps_good_utf8_and_replaces_bad_bytes)
{
    static const struct {
        const char *in, *out;
    } pairs[] = {
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\n"},
        {"a\xff", "\"a\\ufffd\"\n"},
        {"\xc3", "\"\\ufffd\"\n"},                                  /* cut short */
        {"\xc0\x80", "\"\\ufffd\\ufffd\"\n"},                       /* overlong */
        {"\xe0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\"\n"},            /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"\n"},            /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"\n"}, /* past the end */
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        json_writer json = begin();
        json_string(&json, pairs[i].in);
        finish(&json);
        assert_string_equal(text, pairs[i].out);
        free(text);
    }
}

TEST(json__writes_no_text_as_null)
{
    json_writer json = begin();
    json_string(&json, NULL);
    finish(&json);
    assert_string_equal(text, "null\n");
    free(text);
}

TEST(json_check__knows_json_from_what_is_none)
{
    EXPECT(is_json("[1, -0.5e+3, \"x\\u00e9\", {\"a\": null}]"));
    EXPECT(!is_json(""));
    EXPECT(!is_json("[1,]"));
    EXPECT(!is_json("{\"a\" 1}"));
    EXPECT(!is_json("[01]"));
    EXPECT(!is_json("[nan]"));
    EXPECT(!is_json("[1] 2"));
    EXPECT(!is_json("\"a\nb\""));
}
