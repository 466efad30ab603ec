/* plan.h: what a fault plan says: rules, each of operations, triggers and one effect; from text and to text.
 *
 *     plan     rule ; rule ; ...
 *     rule     operation , operation ... : part : part ...     parts are triggers, one effect, and how long it lasts
 *     part     word   or   word = value
 *
 * A rule that could never fire (a size for what has none, a short copy of what copies nothing) is refused, so that
 * nobody believes himself tested. Everything here is pure: no state of a run, no lock. */
#ifndef DCMI_TESTING_PLAN_H
#define DCMI_TESTING_PLAN_H

#include <dcmem/testing.h>

#define DCMI_PLAN_RULES    64u
#define DCMI_PLAN_FOR_GOOD UINT64_MAX
#define DCMI_PLAN_BILLION  1000000000ull

/* What an operation is, as far as rules go. */
enum dcmi_trait {
    DCMI_TRAIT_FAILS = 1 << 0,     /* it has a result */
    DCMI_TRAIT_ENDS = 1 << 1,      /* and ends something, whatever it says */
    DCMI_TRAIT_CALL = 1 << 2,      /* it comes with a tag and a thread */
    DCMI_TRAIT_BYTES = 1 << 3,     /* it has a size */
    DCMI_TRAIT_QUEUE = 1 << 4,     /* it names a queue */
    DCMI_TRAIT_MOVES = 1 << 5,     /* it writes bytes */
    DCMI_TRAIT_COPIES = 1 << 6,    /* from one place to another */
    DCMI_TRAIT_COHERES = 1 << 7,   /* it makes written bytes seen, which can be left out unnoticed */
    DCMI_TRAIT_COMPLETES = 1 << 8, /* it tells what a queue has done */
    DCMI_TRAIT_PAGES = 1 << 9,     /* it maps pages */
    DCMI_TRAIT_DRIVER = 1 << 10    /* it is a driver's, not the program's */
};

/* effect, traits that an operation must have for it (any of the second set, too, if that is not empty) */
#define DCMI_PLAN_EFFECTS(X)                                                                                           \
    X(oom, DCMI_TRAIT_FAILS, 0)                                                                                        \
    X(lost, DCMI_TRAIT_FAILS, 0)                                                                                       \
    X(fail, DCMI_TRAIT_FAILS, 0)                                                                                       \
    X(slow, 0, 0)                                                                                                      \
    X(short, DCMI_TRAIT_MOVES, 0)                                                                                      \
    X(flip, DCMI_TRAIT_MOVES, 0)                                                                                       \
    X(stale, 0, DCMI_TRAIT_COPIES | DCMI_TRAIT_COHERES)                                                                \
    X(double, DCMI_TRAIT_COMPLETES, 0)                                                                                 \
    X(page, DCMI_TRAIT_PAGES, 0)

typedef enum dcmi_effect {
#define DCMEM_X(name, all, some) DCMI_EFFECT_##name,
    DCMI_PLAN_EFFECTS(DCMEM_X)
#undef DCMEM_X
        DCMI_EFFECT_COUNT
} dcmi_effect;

/* Between which sides a copy goes. */
typedef enum dcmi_way { DCMI_WAY_in, DCMI_WAY_out, DCMI_WAY_within, DCMI_WAY_COUNT } dcmi_way;

typedef struct dcmi_span {
    bool is_set;
    uint64_t least;
    uint64_t most; /* UINT64_MAX: no end */
} dcmi_span;

typedef struct dcmi_number {
    bool is_set;
    uint64_t value;
} dcmi_number;

typedef struct dcmi_rule {
    bool is_any;      /* "any", of the driver's */
    bool is_any_call; /* "program.any" */
    uint64_t below;   /* bits of dcmem_fake_operation */
    uint64_t above;   /* bits of dcmem_gate_operation */

    /* Which calls are counted. */
    dcmi_span size;
    dcmi_span time_ns;
    dcmi_number tag;
    dcmi_number thread;
    dcmi_number queue;
    dcmi_number way; /* dcmi_way */

    /* Which of those fire. */
    dcmi_number nth;
    dcmi_number every;
    dcmi_number after;
    dcmi_number billionths; /* of a chance */
    dcmi_number seed;
    dcmi_number per_thread; /* its calls are counted for each thread apart */
    dcmi_number times;

    dcmi_effect effect;
    dcmi_number argument; /* of fail: the result */
    dcmi_number lasts;    /* calls, or DCMI_PLAN_FOR_GOOD */
} dcmi_rule;

typedef struct dcmi_plan {
    uint32_t count;
    dcmi_rule rules[DCMI_PLAN_RULES];
} dcmi_plan;

/* Bits of enum dcmi_trait. */
unsigned dcmi_traits_below(dcmem_fake_operation operation);
unsigned dcmi_traits_above(dcmem_gate_operation operation);

/* "oom", ... */
const char *dcmi_effect_name(dcmi_effect effect);

/* DCMEM_E_INVALID_ARGUMENT names the column (from 1), what stands there and what was expected; the column is also the
 * detail's driver code. */
dcmem_result dcmi_plan_parse(dcmi_plan *out, const char *text);

/* As snprintf(): the length that the text has, or that of one rule. */
size_t dcmi_plan_print(char *out, size_t room, const dcmi_plan *plan);
size_t dcmi_rule_print(char *out, size_t room, const dcmi_rule *rule);

#endif
