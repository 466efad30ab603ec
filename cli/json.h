/* json.h: a writer of JSON: commas, nesting and escapes are its business, shape is the caller's.
 *
 *     json_writer out;
 *     json_init(&out, stdout);
 *     json_array(&out);
 *       json_object(&out);
 *         json_key(&out, "case"), json_string(&out, "churn");
 *         json_key(&out, "ns"), json_number(&out, 21.5);
 *       json_end(&out);
 *     json_end(&out);
 *     json_finish(&out);
 *
 * Numbers carry as many digits as it takes to read the same double back; what JSON has no number for (NaN, infinity)
 * is null. Text that is not UTF-8 keeps its good parts, each bad byte becomes U+FFFD. */
#ifndef DCMEM_CLI_JSON_H
#define DCMEM_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH 16

typedef struct json_writer {
    FILE *out;
    unsigned depth;
    bool is_after_key;
    struct {
        char close;
        bool has_members;
    } levels[JSON_DEPTH];
} json_writer;

void json_init(json_writer *json, FILE *out);
void json_object(json_writer *json);
void json_array(json_writer *json);
void json_end(json_writer *json); /* of the innermost object or array */
void json_key(json_writer *json, const char *key);
void json_string(json_writer *json, const char *text); /* NULL: null */
void json_number(json_writer *json, double value);
void json_unsigned(json_writer *json, uint64_t value);
void json_signed(json_writer *json, int64_t value);
void json_bool(json_writer *json, bool value);
void json_null(json_writer *json);
void json_finish(json_writer *json); /* ends the last line */

/* Key and value at once. */
void json_field_string(json_writer *json, const char *key, const char *text);
void json_field_number(json_writer *json, const char *key, double value);
void json_field_unsigned(json_writer *json, const char *key, uint64_t value);
void json_field_signed(json_writer *json, const char *key, int64_t value);
void json_field_bool(json_writer *json, const char *key, bool value);

#endif
