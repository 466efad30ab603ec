/* plan.c: fault plans as text: one table of parts, from which they are read, checked and written. See plan.h. */
#include "plan.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BELOW DCMEM_FAKE_OPERATION_COUNT
#define ABOVE DCMEM_GATE_OPERATION_COUNT

_Static_assert(DCMEM_FAKE_OPERATION_COUNT <= 64 && DCMEM_GATE_OPERATION_COUNT <= 64, "a bit for each");

#define PROGRAM "program." /* before the names of its calls */

/* ---- Operations ---- */

#define FAILS     DCMI_TRAIT_FAILS
#define ENDS      (DCMI_TRAIT_FAILS | DCMI_TRAIT_ENDS)
#define CALL      DCMI_TRAIT_CALL
#define BYTES     DCMI_TRAIT_BYTES
#define QUEUE     DCMI_TRAIT_QUEUE
#define MOVES     DCMI_TRAIT_MOVES
#define COPIES    (DCMI_TRAIT_MOVES | DCMI_TRAIT_COPIES)
#define COHERES   DCMI_TRAIT_COHERES
#define COMPLETES DCMI_TRAIT_COMPLETES
#define PAGES     DCMI_TRAIT_PAGES

unsigned
dcmi_traits_below(dcmem_fake_operation operation)
{
    static const unsigned traits[BELOW] = {
        [DCMEM_FAKE_count] = FAILS,
        [DCMEM_FAKE_open] = FAILS,
        [DCMEM_FAKE_close] = 0,
        [DCMEM_FAKE_info] = FAILS,
        [DCMEM_FAKE_acquire] = FAILS | CALL | BYTES,
        [DCMEM_FAKE_release] = ENDS | CALL | BYTES,
        [DCMEM_FAKE_copy] = FAILS | CALL | BYTES | COPIES,
        [DCMEM_FAKE_fill] = FAILS | CALL | BYTES | MOVES,
        [DCMEM_FAKE_map] = FAILS | CALL | BYTES,
        [DCMEM_FAKE_unmap] = ENDS | CALL,
        [DCMEM_FAKE_flush] = FAILS | CALL | BYTES | COHERES,
        [DCMEM_FAKE_invalidate] = FAILS | CALL | BYTES | COHERES,
        [DCMEM_FAKE_queue_open] = FAILS,
        [DCMEM_FAKE_queue_close] = QUEUE,
        [DCMEM_FAKE_enqueue_copy] = FAILS | CALL | BYTES | QUEUE | COPIES,
        [DCMEM_FAKE_enqueue_fill] = FAILS | CALL | BYTES | QUEUE | MOVES,
        [DCMEM_FAKE_queue_mark] = FAILS | QUEUE,
        [DCMEM_FAKE_queue_completed] = QUEUE | COMPLETES,
        [DCMEM_FAKE_queue_wait] = FAILS | QUEUE | COMPLETES,
        [DCMEM_FAKE_reserve] = FAILS | BYTES,
        [DCMEM_FAKE_unreserve] = ENDS | BYTES,
        [DCMEM_FAKE_page_create] = FAILS | CALL | BYTES,
        [DCMEM_FAKE_page_destroy] = ENDS | CALL,
        [DCMEM_FAKE_page_map] = FAILS | CALL | BYTES | PAGES,
        [DCMEM_FAKE_page_unmap] = ENDS | CALL | BYTES,
        [DCMEM_FAKE_peer_can] = FAILS,
        [DCMEM_FAKE_peer_enable] = FAILS,
        [DCMEM_FAKE_peer_disable] = ENDS,
        [DCMEM_FAKE_peer_copy] = FAILS | CALL | BYTES | COPIES,
        [DCMEM_FAKE_import_host] = FAILS | CALL | BYTES,
        [DCMEM_FAKE_ipc_export] = FAILS | CALL | BYTES,
        [DCMEM_FAKE_ipc_import] = FAILS | CALL | BYTES,
    };
    return traits[operation] | DCMI_TRAIT_DRIVER;
}

unsigned
dcmi_traits_above(dcmem_gate_operation operation)
{
    static const dcmem_result fitting[ABOVE] = {
#define DCMEM_X(name, result) [DCMEM_GATE_##name] = DCMEM_##result,
        DCMEM_GATE_OPERATIONS(DCMEM_X)
#undef DCMEM_X
    };
    bool is_raw = operation >= DCMEM_GATE_raw_allocate;
    bool has_bytes = operation != DCMEM_GATE_pin && operation != DCMEM_GATE_raw_free;
    return (fitting[operation] ? FAILS : 0) | (is_raw ? 0 : CALL) | (has_bytes ? BYTES : 0);
}

/* ---- Parts ---- */

typedef enum value {
    VALUE_NONE,
    VALUE_NUMBER,
    VALUE_COUNT, /* from 1 */
    VALUE_CALLS, /* from 1, or "ever" */
    VALUE_BYTES,
    VALUE_TIME,
    VALUE_SIZES, /* a span */
    VALUE_TIMES,
    VALUE_CHANCE,
    VALUE_WAY,
    VALUE_THREAD, /* the word */
    VALUE_RESULT
} value;

static const char *const value_texts[] = {
    [VALUE_NONE] = "nothing",
    [VALUE_NUMBER] = "a number",
    [VALUE_COUNT] = "a number from 1",
    [VALUE_CALLS] = "a number from 1, or ever",
    [VALUE_BYTES] = "a size as 4096 or 64KiB",
    [VALUE_TIME] = "a time as 5ms (ns, us, ms, s)",
    [VALUE_SIZES] = "sizes as 4KiB..1MiB, 4KiB.., ..1MiB or 4KiB",
    [VALUE_TIMES] = "times as 1s..2s, 1s.. or ..2s",
    [VALUE_CHANCE] = "a chance above 0 up to 1, at most nine decimals",
    [VALUE_WAY] = "in, out or within",
    [VALUE_THREAD] = "thread",
    [VALUE_RESULT] = "a result as busy, driver or timeout",
};

#define NO_EFFECT DCMI_EFFECT_COUNT

/* word, value, whether that may be left out, where it goes, traits that all and of which any operation must have */
typedef struct part {
    const char *name;
    value value;
    bool is_optional;
    size_t offset;
    unsigned all;
    unsigned some;
    dcmi_effect effect;
} part;

#define TRIGGER(name, field, kind, traits)                                                                             \
    {                                                                                                                  \
        name, kind, false, offsetof(dcmi_rule, field), traits, 0, NO_EFFECT                                            \
    }
#define EFFECT(name, kind, is_optional)                                                                                \
    {                                                                                                                  \
#name, kind, is_optional, offsetof(dcmi_rule, argument), ALL_##name, SOME_##name, DCMI_EFFECT_##name           \
    }

enum {
#define DCMEM_X(name, all, some) ALL_##name = (all), SOME_##name = (some),
    DCMI_PLAN_EFFECTS(DCMEM_X)
#undef DCMEM_X
};

/* In the order in which they are written. */
static const part parts[] = {
    TRIGGER("size", size, VALUE_SIZES, BYTES),
    TRIGGER("tag", tag, VALUE_NUMBER, CALL),
    TRIGGER("thread", thread, VALUE_NUMBER, 0),
    TRIGGER("queue", queue, VALUE_COUNT, QUEUE),
    TRIGGER("way", way, VALUE_WAY, DCMI_TRAIT_COPIES),
    TRIGGER("time", time_ns, VALUE_TIMES, 0),
    TRIGGER("nth", nth, VALUE_COUNT, 0),
    TRIGGER("every", every, VALUE_COUNT, 0),
    TRIGGER("after", after, VALUE_COUNT, 0),
    TRIGGER("p", billionths, VALUE_CHANCE, 0),
    TRIGGER("seed", seed, VALUE_NUMBER, 0),
    TRIGGER("per", per_thread, VALUE_THREAD, 0),
    TRIGGER("times", times, VALUE_COUNT, 0),
    EFFECT(oom, VALUE_NONE, true),
    EFFECT(lost, VALUE_NONE, true),
    EFFECT(fail, VALUE_RESULT, false),
    EFFECT(slow, VALUE_TIME, false),
    EFFECT(short, VALUE_BYTES, true),
    EFFECT(flip, VALUE_NUMBER, true),
    EFFECT(stale, VALUE_NONE, true),
    EFFECT(double, VALUE_COUNT, true),
    EFFECT(page, VALUE_COUNT, false),
    TRIGGER("for", lasts, VALUE_CALLS, 0),
};

#define PART_COUNT (sizeof parts / sizeof parts[0])

static const char *const result_names[] = {
#define DCMEM_X(name, class, number, text) #name,
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
};

static const dcmem_result results[] = {
#define DCMEM_X(name, class, number, text) DCMEM_##name,
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
};

static const char *const way_names[] = {"in", "out", "within"};

const char *
dcmi_effect_name(dcmi_effect effect)
{
    static const char *const names[] = {
#define DCMEM_X(name, all, some) #name,
        DCMI_PLAN_EFFECTS(DCMEM_X)
#undef DCMEM_X
    };
    return names[effect];
}

/* ---- Reading: words ---- */

typedef struct reader {
    const char *text;
    const char *at;
} reader;

/* A word as it stands there, fit for a message of one line. */
typedef struct quote {
    char text[28];
} quote;

static quote
quote_at(const char *at)
{
    quote quoted = {"the end"};
    size_t count = strcspn(at, ";:,= \t\n");
    if (count == 0 && *at)
        count = 1;
    if (count == 0)
        return quoted;
    size_t room = sizeof quoted.text - 3, kept = count < room ? count : room;
    quoted.text[0] = '"';
    for (size_t i = 0; i < kept; i++)
        quoted.text[i + 1] = (char)(isprint((unsigned char)at[i]) ? at[i] : '?');
    memcpy(quoted.text + kept + 1, "\"", 2);
    return quoted;
}

static dcmem_result refuse(const reader *in, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static dcmem_result
refuse(const reader *in, const char *at, const char *format, ...)
{
    char why[176];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    long long column = at - in->text + 1;
    return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "faults", column, "fault plan, column %lld: %s", column, why);
}

static dcmem_result
refuse_value(const reader *in, const char *at, const part *of)
{
    return refuse(in, at, "%s needs %s, not %s", of->name, value_texts[of->value], quote_at(at).text);
}

static void
skip_spaces(reader *in)
{
    in->at += strspn(in->at, " \t\r\n");
}

static bool
take_mark(reader *in, char mark)
{
    skip_spaces(in);
    if (*in->at != mark)
        return false;
    in->at++;
    skip_spaces(in);
    return true;
}

/* Whether `word` stands here, whole; it is taken then. */
static bool
take_word(reader *in, const char *word)
{
    size_t count = strlen(word);
    if (strncmp(in->at, word, count) != 0 || isalnum((unsigned char)in->at[count]) || in->at[count] == '_')
        return false;
    in->at += count;
    return true;
}

/* ---- Reading: values ---- */

static bool
take_number(reader *in, uint64_t *out)
{
    uint64_t number = 0;
    if (!isdigit((unsigned char)*in->at))
        return false;
    for (; isdigit((unsigned char)*in->at); in->at++) {
        uint64_t digit = (uint64_t)(*in->at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* Those that are written first, the largest of them first. */
static const unit size_units[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"", 1},   {"B", 1},
    {"T", 1ull << 40},   {"G", 1ull << 30},   {"M", 1ull << 20},   {"K", 1ull << 10},   {NULL, 0},
};
static const unit time_units[] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}, {NULL, 0}};

static bool
take_measure(reader *in, uint64_t *out, const unit *units)
{
    uint64_t number;
    if (!take_number(in, &number))
        return false;
    for (const unit *it = units; it->name; it++) {
        if (!take_word(in, it->name))
            continue;
        if (number > UINT64_MAX / it->factor)
            return false;
        *out = number * it->factor;
        return true;
    }
    return false;
}

static bool
take_dots(reader *in)
{
    if (strncmp(in->at, "..", 2) != 0)
        return false;
    in->at += 2;
    return true;
}

static bool
ends_value(const reader *in)
{
    return !*in->at || strchr(":; \t\r\n", *in->at);
}

static bool
take_span(reader *in, dcmi_span *out, const unit *units)
{
    dcmi_span span = {.is_set = true, .most = UINT64_MAX};
    bool has_least = isdigit((unsigned char)*in->at);
    if (has_least && !take_measure(in, &span.least, units))
        return false;
    if (!take_dots(in)) {
        span.most = span.least;
        *out = span;
        return has_least;
    }
    bool has_most = !ends_value(in);
    if (has_most && !take_measure(in, &span.most, units))
        return false;
    *out = span;
    return (has_least || has_most) && span.least <= span.most;
}

static bool
take_chance(reader *in, uint64_t *out)
{
    uint64_t whole, billionths = 0, weight = DCMI_PLAN_BILLION;
    if (!take_number(in, &whole) || whole > 1)
        return false;
    if (*in->at == '.')
        for (in->at++; isdigit((unsigned char)*in->at); in->at++) {
            weight /= 10;
            if (weight == 0)
                return false;
            billionths += weight * (uint64_t)(*in->at - '0');
        }
    *out = whole * DCMI_PLAN_BILLION + billionths;
    return *out > 0 && *out <= DCMI_PLAN_BILLION;
}

/* "busy" is the name "E_BUSY". */
static bool
is_result(const char *word, size_t count, const char *name)
{
    name += 2;
    if (strlen(name) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (word[i] != tolower((unsigned char)name[i]))
            return false;
    return true;
}

static bool
take_result(reader *in, uint64_t *out)
{
    size_t count = strcspn(in->at, ":; \t\r\n");
    for (size_t i = 1; i < sizeof results / sizeof results[0]; i++)
        if (is_result(in->at, count, result_names[i])) {
            in->at += count;
            *out = (uint64_t)results[i];
            return true;
        }
    return false;
}

static bool
take_way(reader *in, uint64_t *out)
{
    for (uint64_t i = 0; i < DCMI_WAY_COUNT; i++)
        if (take_word(in, way_names[i])) {
            *out = i;
            return true;
        }
    return false;
}

static bool
take_value(reader *in, dcmi_rule *rule, const part *of)
{
    dcmi_number *number = (dcmi_number *)(void *)((char *)rule + of->offset);
    dcmi_span *span = (dcmi_span *)(void *)((char *)rule + of->offset);
    if (of->value == VALUE_SIZES)
        return take_span(in, span, size_units);
    if (of->value == VALUE_TIMES)
        return take_span(in, span, time_units);
    number->is_set = true;
    switch (of->value) {
    case VALUE_NUMBER:
        return take_number(in, &number->value);
    case VALUE_CALLS:
        if (take_word(in, "ever")) {
            number->value = DCMI_PLAN_FOR_GOOD;
            return true;
        }
        return take_number(in, &number->value) && number->value > 0;
    case VALUE_COUNT:
        return take_number(in, &number->value) && number->value > 0;
    case VALUE_BYTES:
        return take_measure(in, &number->value, size_units);
    case VALUE_TIME:
        return take_measure(in, &number->value, time_units);
    case VALUE_CHANCE:
        return take_chance(in, &number->value);
    case VALUE_WAY:
        return take_way(in, &number->value);
    case VALUE_THREAD:
        return take_word(in, "thread");
    default:
        return take_result(in, &number->value);
    }
}

/* ---- Reading: rules ---- */

/* A call of the program, behind "program.". */
static dcmem_result
read_call(reader *in, dcmi_rule *rule, const char *begin)
{
    if (take_word(in, "any")) {
        rule->is_any_call = true;
        rule->above = (1ull << ABOVE) - 1;
        return DCMEM_OK;
    }
    for (int i = 0; i < ABOVE; i++)
        if (take_word(in, dcmem_gate_operation_name((dcmem_gate_operation)i))) {
            rule->above |= 1ull << i;
            return DCMEM_OK;
        }
    return refuse(in, begin, "%s is no call of the program; program.any or the name of a gate's operation",
                  quote_at(begin).text);
}

static dcmem_result
read_operation(reader *in, dcmi_rule *rule)
{
    const char *begin = in->at;
    if (strncmp(in->at, PROGRAM, strlen(PROGRAM)) == 0) {
        in->at += strlen(PROGRAM);
        return read_call(in, rule, begin);
    }
    if (take_word(in, "any")) {
        rule->is_any = true;
        rule->below = (1ull << BELOW) - 1;
        return DCMEM_OK;
    }
    for (int i = 0; i < BELOW; i++)
        if (take_word(in, dcmem_fake_operation_name((dcmem_fake_operation)i))) {
            rule->below |= 1ull << i;
            return DCMEM_OK;
        }
    return refuse(in, begin, "expected an operation as acquire, copy, any or program.allocate, not %s",
                  quote_at(begin).text);
}

static const part *
find_part(reader *in)
{
    for (size_t i = 0; i < PART_COUNT; i++)
        if (take_word(in, parts[i].name))
            return &parts[i];
    return NULL;
}

static dcmem_result
refuse_part(const reader *in, const char *at)
{
    char names[140];
    size_t used = 0;
    for (size_t i = 0; i < PART_COUNT; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? " " : "", parts[i].name);
    return refuse(in, at, "expected one of %s, not %s", names, quote_at(at).text);
}

static bool
suits(unsigned traits, const part *it)
{
    return (traits & it->all) == it->all && (!it->some || traits & it->some);
}

/* Leaves those of `any` that the part suits; one that was named must suit it. */
static dcmem_result
narrow(const reader *in, const char *at, dcmi_rule *rule, const part *it)
{
    for (int i = 0; i < BELOW + ABOVE; i++) {
        bool is_below = i < BELOW;
        uint64_t *set = is_below ? &rule->below : &rule->above;
        uint64_t bit = 1ull << (is_below ? i : i - BELOW);
        dcmem_fake_operation below = (dcmem_fake_operation)i;
        dcmem_gate_operation above = (dcmem_gate_operation)(i - BELOW);
        if (!(*set & bit) || suits(is_below ? dcmi_traits_below(below) : dcmi_traits_above(above), it))
            continue;
        if (!(is_below ? rule->is_any : rule->is_any_call))
            return refuse(in, at, "%s does not go with %s%s", it->name, is_below ? "" : "program.",
                          is_below ? dcmem_fake_operation_name(below) : dcmem_gate_operation_name(above));
        *set &= ~bit;
    }
    if (!rule->below && !rule->above)
        return refuse(in, at, "%s goes with no such operation", it->name);
    return DCMEM_OK;
}

static dcmem_result
read_part(reader *in, dcmi_rule *rule, uint64_t *seen)
{
    const char *begin = in->at;
    const part *it = find_part(in);
    if (!it)
        return refuse_part(in, begin);
    uint64_t bit = 1ull << (it - parts);
    if (*seen & bit)
        return refuse(in, begin, "%s stands there twice", it->name);
    if (it->effect != NO_EFFECT && rule->effect != NO_EFFECT)
        return refuse(in, begin, "a rule has one effect, this one has %s already", dcmi_effect_name(rule->effect));
    *seen |= bit;
    if (it->effect != NO_EFFECT)
        rule->effect = it->effect;

    bool has_value = take_mark(in, '=');
    const char *at = in->at;
    if (has_value && it->value == VALUE_NONE)
        return refuse(in, at, "%s takes no value", it->name);
    if (!has_value && !it->is_optional)
        return refuse_value(in, at, it);
    if (has_value && (!take_value(in, rule, it) || !ends_value(in)))
        return refuse_value(in, at, it);
    return narrow(in, begin, rule, it);
}

static dcmem_result
read_rule(reader *in, dcmi_rule *out)
{
    dcmi_rule rule = {.effect = NO_EFFECT};
    uint64_t seen = 0;
    dcmem_result result;
    do
        result = read_operation(in, &rule);
    while (!result && take_mark(in, ','));
    while (!result && take_mark(in, ':'))
        result = read_part(in, &rule, &seen);
    if (result)
        return result;
    skip_spaces(in);
    if (*in->at && *in->at != ';')
        return refuse(in, in->at, "expected \":\" and a part, \";\" and a rule, or the end, not %s",
                      quote_at(in->at).text);
    if (rule.effect == NO_EFFECT)
        return refuse(in, in->at, "the rule has no effect: oom, lost, fail, slow, short, flip, stale, double or page");
    *out = rule;
    return DCMEM_OK;
}

dcmem_result
dcmi_plan_parse(dcmi_plan *out, const char *text)
{
    reader in = {.text = text, .at = text};
    out->count = 0;
    skip_spaces(&in);
    do {
        if (out->count == DCMI_PLAN_RULES)
            return refuse(&in, in.at, "a plan has at most %u rules", DCMI_PLAN_RULES);
        dcmem_result result = read_rule(&in, &out->rules[out->count]);
        if (result)
            return result;
        out->count++;
        /* One more ";" at the end does no harm. */
    } while (take_mark(&in, ';') && *in.at);
    return DCMEM_OK;
}

/* ---- Writing ---- */

typedef struct writer {
    char *out;
    size_t room;
    size_t length; /* of all that was written, room or not */
} writer;

static void put(writer *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
put(writer *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t left = to->length < to->room ? to->room - to->length : 0;
    int count = vsnprintf(left ? to->out + to->length : NULL, left, format, arguments);
    va_end(arguments);
    to->length += (size_t)count;
}

/* In the largest unit that needs no fraction. */
static void
put_measure(writer *to, uint64_t number, const unit *units)
{
    const unit *it = units;
    while (it->factor > 1 && (number == 0 || number % it->factor))
        it++;
    put(to, "%" PRIu64 "%s", number / it->factor, it->name);
}

static void
put_span(writer *to, const dcmi_span *span, const unit *units)
{
    if (span->least > 0 || span->most == span->least)
        put_measure(to, span->least, units);
    if (span->most == span->least)
        return;
    put(to, "..");
    if (span->most != UINT64_MAX)
        put_measure(to, span->most, units);
    else if (span->least == 0)
        put_measure(to, UINT64_MAX, units);
}

static void
put_chance(writer *to, uint64_t billionths)
{
    char digits[16];
    if (billionths == DCMI_PLAN_BILLION) {
        put(to, "1");
        return;
    }
    int count = snprintf(digits, sizeof digits, "%09" PRIu64, billionths);
    while (digits[count - 1] == '0')
        count--;
    put(to, "0.%.*s", count, digits);
}

static void
put_result(writer *to, uint64_t result)
{
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        for (const char *c = result_names[i] + 2; (uint64_t)results[i] == result && *c; c++)
            put(to, "%c", tolower((unsigned char)*c));
}

static void
put_value(writer *to, const dcmi_rule *rule, const part *of)
{
    const dcmi_number *number = (const dcmi_number *)(const void *)((const char *)rule + of->offset);
    const dcmi_span *span = (const dcmi_span *)(const void *)((const char *)rule + of->offset);
    switch (of->value) {
    case VALUE_SIZES:
        put_span(to, span, size_units);
        break;
    case VALUE_TIMES:
        put_span(to, span, time_units);
        break;
    case VALUE_BYTES:
        put_measure(to, number->value, size_units);
        break;
    case VALUE_TIME:
        put_measure(to, number->value, time_units);
        break;
    case VALUE_CHANCE:
        put_chance(to, number->value);
        break;
    case VALUE_WAY:
        put(to, "%s", way_names[number->value]);
        break;
    case VALUE_THREAD:
        put(to, "thread");
        break;
    case VALUE_RESULT:
        put_result(to, number->value);
        break;
    default:
        if (of->value == VALUE_CALLS && number->value == DCMI_PLAN_FOR_GOOD)
            put(to, "ever");
        else
            put(to, "%" PRIu64, number->value);
    }
}

static void
put_operations(writer *to, const dcmi_rule *rule)
{
    const char *comma = "";
    if (rule->is_any) {
        put(to, "any");
        comma = ",";
    }
    for (int i = 0; i < BELOW; i++)
        if (!rule->is_any && rule->below >> i & 1) {
            put(to, "%s%s", comma, dcmem_fake_operation_name((dcmem_fake_operation)i));
            comma = ",";
        }
    if (rule->is_any_call)
        put(to, "%s" PROGRAM "any", comma);
    for (int i = 0; i < ABOVE; i++)
        if (!rule->is_any_call && rule->above >> i & 1) {
            put(to, "%s" PROGRAM "%s", comma, dcmem_gate_operation_name((dcmem_gate_operation)i));
            comma = ",";
        }
}

static void
put_rule(writer *to, const dcmi_rule *rule)
{
    put_operations(to, rule);
    for (size_t i = 0; i < PART_COUNT; i++) {
        const part *it = &parts[i];
        /* A number and a span both begin with is_set. */
        bool is_set = *(const bool *)((const char *)rule + it->offset);
        if (it->effect == NO_EFFECT ? !is_set : it->effect != rule->effect)
            continue;
        put(to, ":%s", it->name);
        if (is_set) {
            put(to, "=");
            put_value(to, rule, it);
        }
    }
}

_Static_assert(offsetof(dcmi_span, is_set) == 0 && offsetof(dcmi_number, is_set) == 0, "put_rule() looks there");

size_t
dcmi_rule_print(char *out, size_t room, const dcmi_rule *rule)
{
    writer to = {.out = out, .room = room};
    put_rule(&to, rule);
    return to.length;
}

size_t
dcmi_plan_print(char *out, size_t room, const dcmi_plan *plan)
{
    writer to = {.out = out, .room = room};
    if (room)
        out[0] = '\0';
    for (uint32_t i = 0; i < plan->count; i++) {
        if (i)
            put(&to, ";");
        put_rule(&to, &plan->rules[i]);
    }
    return to.length;
}
