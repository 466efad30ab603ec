/* test_main.c: runs the tests that registered themselves, through cmocka. */
#include "test.h"

#include <stdlib.h>

static test_case *first;
static test_case **last = &first;

void
test_register(test_case *test)
{
    *last = test;
    last = &test->next;
}

uint64_t
test_scaled(uint64_t count)
{
    const char *text = getenv("DCMEM_TEST_SCALE");
    double scale = text ? strtod(text, NULL) : 1.0;
    double scaled = (double)count * (scale > 0 ? scale : 1.0);
    return scaled < 1 ? 1 : (uint64_t)scaled;
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif

const char *
test_tool(void)
{
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    return "AddressSanitizer";
#elif defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
    return "ThreadSanitizer";
#elif __has_feature(memory_sanitizer)
    return "MemorySanitizer";
#else
    /* Valgrind brings itself into a program by this variable. */
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload") ? "valgrind" : NULL;
#endif
}

typedef struct selection {
    int fast, long_ones;
    char **parts;
    int part_count;
} selection;

static int
is_selected(const test_case *test, const selection *wanted)
{
    if (test->is_long ? !wanted->long_ones : !wanted->fast)
        return 0;
    for (int i = 0; i < wanted->part_count; i++)
        if (strstr(test->name, wanted->parts[i]))
            return 1;
    return wanted->part_count == 0;
}

static selection
select_tests(int count, char **words)
{
    selection wanted = {1, 1, words, count};
    if (count > 0 && strcmp(words[0], "--fast") == 0)
        wanted = (selection){1, 0, words + 1, count - 1};
    else if (count > 0 && strcmp(words[0], "--long") == 0)
        wanted = (selection){0, 1, words + 1, count - 1};
    return wanted;
}

int
main(int argc, char **argv)
{
    selection wanted = select_tests(argc - 1, argv + 1);
    size_t count = 0;
    for (test_case *test = first; test; test = test->next)
        count += (size_t)is_selected(test, &wanted);
    if (count == 0)
        return 0;

    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    if (!tests)
        return 1;
    size_t n = 0;
    for (test_case *test = first; test; test = test->next)
        if (is_selected(test, &wanted))
            tests[n++] = (struct CMUnitTest){.name = test->name, .test_func = test->run};

    int failed = _cmocka_run_group_tests("dcmem", tests, count, NULL, NULL);
    free(tests);
    return failed ? 1 : 0;
}
