/* json_check.h: whether a text is JSON, by RFC 8259, and where it stops being so. For tests only. */
#ifndef TEST_CLI_JSON_CHECK_H
#define TEST_CLI_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *json_check_value(const char *text);

static const char *
json_check_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

static const char *
json_check_digits(const char *text)
{
    size_t count = strspn(text, "0123456789");
    return count ? text + count : NULL;
}

static const char *
json_check_number(const char *text)
{
    text += *text == '-';
    const char *end = json_check_digits(text);
    if (!end || (text[0] == '0' && end > text + 1))
        return NULL;
    if (*end == '.')
        end = json_check_digits(end + 1);
    if (end && (*end == 'e' || *end == 'E')) {
        end++;
        end = json_check_digits(end + (*end == '+' || *end == '-'));
    }
    return end;
}

static const char *
json_check_string(const char *text)
{
    if (*text++ != '"')
        return NULL;
    for (; *text != '"'; text++) {
        if ((unsigned char)*text < 0x20)
            return NULL; /* the end of the text too */
        if (*text != '\\')
            continue;
        text++;
        if (*text == 'u' && strspn(text + 1, "0123456789abcdefABCDEF") >= 4)
            text += 4;
        else if (!*text || !strchr("\"\\/bfnrt", *text))
            return NULL;
    }
    return text + 1;
}

static const char *
json_check_members(const char *text, char close, bool has_keys)
{
    text = json_check_blanks(text);
    if (*text == close)
        return text + 1;
    for (;;) {
        text = json_check_blanks(text);
        if (has_keys) {
            text = json_check_string(text);
            if (!text || *(text = json_check_blanks(text)) != ':')
                return NULL;
            text++;
        }
        text = json_check_value(text);
        if (!text)
            return NULL;
        text = json_check_blanks(text);
        if (*text == close)
            return text + 1;
        if (*text++ != ',')
            return NULL;
    }
}

static const char *
json_check_value(const char *text)
{
    static const char *const words[] = {"true", "false", "null"};
    text = json_check_blanks(text);
    for (unsigned i = 0; i < 3; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0)
            return text + strlen(words[i]);
    if (*text == '{')
        return json_check_members(text + 1, '}', true);
    if (*text == '[')
        return json_check_members(text + 1, ']', false);
    if (*text == '"')
        return json_check_string(text);
    return json_check_number(text);
}

static bool
is_json(const char *text)
{
    const char *end = json_check_value(text);
    return end && *json_check_blanks(end) == '\0';
}

/* The number after the first `"key":`; -1 when there is none. */
__attribute__((unused)) static double
json_find(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *found = strstr(text, key); found; found = strstr(found + 1, key))
        if (found > text && found[-1] == '"' && found[length] == '"' && found[length + 1] == ':')
            return strtod(found + length + 2, NULL);
    return -1;
}

#endif
