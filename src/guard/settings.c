/* settings.c: options and environment. See settings.h.
 *
 *     DCMEM_GUARDS=all
 *     DCMEM_GUARDS=red-zones=256,poison,quarantine=64MiB,leaks,call-sites */
#include "guard/settings.h"

#include "base/fail.h"
#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_ZONE       64u
#define MOST_ZONE          (1u << 20)
#define DEFAULT_QUARANTINE (64ull << 20)

static const struct {
    const char *word;
    uint32_t flag;
} words[] = {
#define DCMEM_X(name, bit, text) {text, 1u << (bit)},
    DCMEM_GUARDS(DCMEM_X)
#undef DCMEM_X
        {"all", DCMEM_GUARD_ALL},
    {"none", 0},
};

static const struct {
    const char *suffix;
    uint64_t bytes;
} units[] = {{"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}};

/* "64", "64KiB": the whole of `length` characters. */
static bool
parse_bytes(uint64_t *out, const char *text, size_t length)
{
    uint64_t value = 0;
    size_t at = 0;
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        if (!dcmi_size_mul(&value, value, 10) || !dcmi_size_add(&value, value, (uint64_t)(text[at] - '0')))
            return false;
    for (size_t i = 0; at > 0 && i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].suffix) == length - at && memcmp(text + at, units[i].suffix, length - at) == 0)
            return dcmi_size_mul(out, value, units[i].bytes);
    return false;
}

static dcmem_result
refuse(const char *word, size_t length)
{
    return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "DCMEM_GUARDS has \"%.*s\", which is not understood: see dcmem_guard(3)",
                     (int)dcmi_min(length, 60), word);
}

/* One word, with the size that may follow it. */
static dcmem_result
parse_word(dcmi_guard_settings *out, const char *word, size_t length)
{
    const char *equals = memchr(word, '=', length);
    size_t name = equals ? (size_t)(equals - word) : length;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) != name || memcmp(words[i].word, word, name) != 0)
            continue;
        out->flags |= words[i].flag;
        if (!equals)
            return DCMEM_OK;
        uint64_t bytes;
        if (!parse_bytes(&bytes, equals + 1, length - name - 1) || bytes == 0)
            return refuse(word, length);
        if (words[i].flag == DCMEM_GUARD_QUARANTINE)
            out->quarantine_bytes = bytes;
        else if (words[i].flag == DCMEM_GUARD_RED_ZONES && bytes <= MOST_ZONE)
            out->zone_bytes = (uint32_t)bytes;
        else
            return refuse(word, length);
        return DCMEM_OK;
    }
    return refuse(word, length);
}

dcmem_result
dcmi_guard_settings_parse(dcmi_guard_settings *out, const char *text)
{
    dcmi_guard_settings settings = {.zone_bytes = DEFAULT_ZONE, .quarantine_bytes = DEFAULT_QUARANTINE};
    for (const char *word = text; *word;) {
        size_t length = strcspn(word, ",");
        dcmem_result result = parse_word(&settings, word, length);
        if (result)
            return result;
        word += length;
        if (*word == ',' && !*++word)
            return refuse(",", 1);
    }
    *out = settings;
    return DCMEM_OK;
}

dcmem_result
dcmi_guard_settings_read(dcmi_guard_settings *out, const dcmem_manager_options *options)
{
    if (options->guards & ~(DCMEM_GUARD_ALL | DCMEM_GUARD_NONE) ||
        (options->guards & DCMEM_GUARD_NONE && options->guards != DCMEM_GUARD_NONE))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->guards is 0x%x, out of range", options->guards);
    if (options->guard_bytes > MOST_ZONE)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->guard_bytes is %u, the most is %u", options->guard_bytes,
                         MOST_ZONE);
    /* A program that runs for somebody else is not told by that one what to do. */
    const char *text = secure_getenv("DCMEM_GUARDS");
    dcmem_result result = dcmi_guard_settings_parse(out, text && !options->guards ? text : "");
    if (result)
        return result;
    if (out->flags)
        dcmi_log(DCMEM_LOG_INFO, "guard", "by DCMEM_GUARDS in the environment: %s", text);
    out->flags |= options->guards & DCMEM_GUARD_ALL;
    if (options->guard_bytes)
        out->zone_bytes = options->guard_bytes;
    if (options->quarantine_bytes)
        out->quarantine_bytes = options->quarantine_bytes;
    return DCMEM_OK;
}
