/* library_test.c: a library's functions are found by name, and codes mean what their table says. */
#include "base/library.h"

#include "base/os.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

typedef struct table {
    size_t (*strlen)(const char *);
    void (*newer)(void);
} table;

static void
need_vendors(void)
{
    if (!DCMI_HAS_VENDORS)
        SKIP("this build opens no libraries");
}

TEST(library__its_functions_can_be_called_and_what_is_newer_may_be_absent)
{
    need_vendors();
    static const dcmi_symbol symbols[] = {{"dcmem_has_no_such_function", offsetof(table, newer), true},
                                          {"strlen", offsetof(table, strlen), false}};
    table found = {.newer = abort};
    EXPECT_RESULT(dcmi_library_open(&found, symbols, 2, "libc.so.6", "a C library", "C99"), DCMEM_OK);
    EXPECT_EQ(found.strlen("four"), 4);
    EXPECT(!found.newer);
}

TEST(library__one_that_lacks_what_it_must_have_is_named_with_what_is_needed)
{
    need_vendors();
    static const dcmi_symbol symbols[] = {{"dcmem_has_no_such_function", offsetof(table, newer), false}};
    table found = {0};
    EXPECT_RESULT(dcmi_library_open(&found, symbols, 1, "libc.so.6", "a C library", "C2099"), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("libc.so.6 has no dcmem_has_no_such_function: C2099 is needed");
    EXPECT_RESULT(dcmi_library_open(&found, symbols, 1, "libdcmem-none.so.1", "another one", "C2099"),
                  DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("install another one");
}

TEST(code__that_is_not_in_the_table_is_the_drivers_own_affair)
{
    static const dcmi_code codes[] = {{"FULL", -2, DCMEM_E_NO_MEMORY}, {"LOST", 7, DCMEM_E_DEVICE_LOST}};
    EXPECT_EQ(dcmi_code_find(codes, 2, -2).result, DCMEM_E_NO_MEMORY);
    EXPECT_EQ(dcmi_code_find(codes, 2, 7).result, DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(dcmi_code_find(codes, 2, 6).result, DCMEM_E_DRIVER);
    EXPECT(strcmp(dcmi_code_find(codes, 2, 6).name, "an unknown code") == 0);
}
