/* trail_test.c: calls in words. */
#include "guard/trail.h"

#include "test.h"

TEST(trail__names_the_module_and_cuts_what_does_not_fit)
{
    dcmi_trail trail;
    char text[400];
    dcmi_trail_prepare();
    dcmi_trail_capture(&trail);
    EXPECT_GE(trail.count, 2);
    dcmi_trail_print(text, sizeof text, &trail);
    EXPECT(strstr(text, "trail_test+0x"));

    char whole[400];
    memcpy(whole, text, sizeof whole);
    for (size_t capacity = 1; capacity < 60; capacity++) {
        memset(text, '#', sizeof text);
        dcmi_trail_print(text, capacity, &trail);
        EXPECT_EQ(strlen(text), capacity - 1 < strlen(whole) ? capacity - 1 : strlen(whole));
        EXPECT(strncmp(text, whole, capacity - 1) == 0);
        EXPECT_EQ(text[capacity], '#');
    }
}

TEST(trail__of_what_is_no_code_is_a_number)
{
    char text[100];
    dcmi_trail nowhere = {.count = 1, .frames = {(void *)0x1234}}, none = {0};
    dcmi_trail_print(text, sizeof text, &nowhere);
    assert_string_equal(text, "0x1234");
    dcmi_trail_print(text, sizeof text, &none);
    assert_string_equal(text, "");
}
