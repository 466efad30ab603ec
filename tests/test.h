/* test.h: our tests on cmocka: a test registers itself, its name is a sentence that can be false.
 *
 *     TEST(pool__gives_back_what_it_took) { ... EXPECT_EQ(live, 0); }
 *     LONG_TEST(pool__survives_a_million_blocks) { ... for (n = test_scaled(1000000); n; n--) ... }
 *
 * Every test file is a program of its own: test_main.c runs what registered. `PROGRAM --fast`, `--long`, or both by
 * default; further words are parts of names to run. */
#ifndef DCMI_TEST_H
#define DCMI_TEST_H

#include <dcmem/result.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <cmocka.h>

typedef struct test_case {
    const char *name;
    void (*run)(void **state);
    int is_long;
    struct test_case *next;
} test_case;

void test_register(test_case *test);

/* `count` times DCMEM_TEST_SCALE (a fraction; 1 when unset), at least 1. */
uint64_t test_scaled(uint64_t count);

/* What the program runs under that has memory, signals or time to itself: "valgrind", "ThreadSanitizer", ...; NULL
 * when it runs by itself. */
const char *test_tool(void);

#ifdef __cplusplus
}
#endif

#define TEST_DEFINE(test_name, long_test)                                                                              \
    static void test_name(void **state);                                                                               \
    static test_case test_name##_case = {#test_name, test_name, long_test, NULL};                                      \
    __attribute__((constructor)) static void test_name##_register(void)                                                \
    {                                                                                                                  \
        test_register(&test_name##_case);                                                                              \
    }                                                                                                                  \
    static void test_name(__attribute__((unused)) void **state)

#define TEST(test_name)      TEST_DEFINE(test_name, 0)
#define LONG_TEST(test_name) TEST_DEFINE(test_name, 1)

/* fail_msg() does not return, but does not tell the compiler. */
#define TEST_FAIL(...)                                                                                                 \
    do {                                                                                                               \
        fail_msg(__VA_ARGS__);                                                                                         \
        abort();                                                                                                       \
    } while (0)

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            TEST_FAIL("must hold: %s", #condition);                                                                    \
    } while (0)

#define EXPECT_COMPARE(a, operator, b)                                                                                 \
    do {                                                                                                               \
        long long expect_a = (long long)(a), expect_b = (long long)(b);                                                \
        if (!(expect_a operator expect_b))                                                                             \
            TEST_FAIL("%s " #operator " %s: %lld and %lld", #a, #b, expect_a, expect_b);                               \
    } while (0)

#define EXPECT_EQ(a, b) EXPECT_COMPARE(a, ==, b)
#define EXPECT_NE(a, b) EXPECT_COMPARE(a, !=, b)
#define EXPECT_LE(a, b) EXPECT_COMPARE(a, <=, b)
#define EXPECT_GE(a, b) EXPECT_COMPARE(a, >=, b)

#define EXPECT_RESULT(call, wanted)                                                                                    \
    do {                                                                                                               \
        dcmem_result expect_got = (call), expect_wanted = (wanted);                                                    \
        if (expect_got != expect_wanted)                                                                               \
            TEST_FAIL("%s gave %s, not %s: %s", #call, dcmem_result_name(expect_got),                                  \
                      dcmem_result_name(expect_wanted), expect_got ? dcmem_last_detail()->message : "success");        \
    } while (0)

#define EXPECT_OK(call) EXPECT_RESULT(call, DCMEM_OK)

/* The detail must name what was wrong. */
#define EXPECT_DETAIL(part)                                                                                            \
    do {                                                                                                               \
        if (!strstr(dcmem_last_detail()->message, (part)))                                                             \
            TEST_FAIL("the detail \"%s\" does not say \"%s\"", dcmem_last_detail()->message, (part));                  \
    } while (0)

/* For what such a tool cannot have: terabytes of address space, a limit on it, a program that starts itself anew. */
#define SKIP_UNDER_TOOLS()                                                                                             \
    do {                                                                                                               \
        if (test_tool()) {                                                                                             \
            print_message("skipped: %s stands in the way\n", test_tool());                                             \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

#define SKIP_UNDER_VALGRIND()                                                                                          \
    do {                                                                                                               \
        if (test_tool() && strcmp(test_tool(), "valgrind") == 0)                                                       \
            SKIP("valgrind stands in the way");                                                                        \
    } while (0)

#define SKIP(reason)                                                                                                   \
    do {                                                                                                               \
        print_message("skipped: %s\n", reason);                                                                        \
        skip();                                                                                                        \
    } while (0)

#endif
