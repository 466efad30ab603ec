/* plan_test.c: fault plans as text: what they say comes back as meant, what is wrong is shown where it stands. */
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

/* The canonical text of a plan that must be good. */
static const char *
canonical(const char *text)
{
    static char out[8192];
    dcmem_fault_plan *plan = NULL;
    EXPECT_OK(dcmem_fault_plan_create(&plan, text));
    size_t length = dcmem_fault_plan_print(out, sizeof out, plan);
    EXPECT(length < sizeof out && length == strlen(out));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    return out;
}

static void
expect_canonical(const char *text, const char *wanted)
{
    char once[8192];
    snprintf(once, sizeof once, "%s", canonical(text));
    assert_string_equal(once, wanted);
    assert_string_equal(canonical(once), wanted);
}

static void
expect_refused(const char *text, int column, const char *part)
{
    dcmem_fault_plan *plan = (dcmem_fault_plan *)(uintptr_t)1;
    EXPECT_RESULT(dcmem_fault_plan_create(&plan, text), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(plan == (dcmem_fault_plan *)(uintptr_t)1);
    if (dcmem_last_detail()->driver_code != column)
        fail_msg("\"%s\": column %d, not %d: %s", text, (int)dcmem_last_detail()->driver_code, column,
                 dcmem_last_detail()->message);
    char where[32];
    snprintf(where, sizeof where, "column %d: ", column);
    EXPECT_DETAIL(where);
    EXPECT_DETAIL(part);
}

TEST(plan__that_is_written_back_means_the_same)
{
    static const char *const same[] = {
        "acquire:nth=3:oom",
        "acquire:nth=3:oom;copy:p=0.01:seed=7:slow=5ms",
        "any:lost",
        "any:after=10:fail=device_lost:for=ever",
        "any,program.any:every=1000:slow=1us",
        "acquire,page_create:size=64KiB..1MiB:oom:for=4",
        "acquire:size=..4KiB:oom",
        "acquire:size=1TiB..:oom",
        "acquire:size=4097:oom",
        "copy:tag=63:thread=2:way=out:time=100ms..2s:stale",
        "copy:every=7:per=thread:times=3:flip=12",
        "enqueue_copy:queue=2:short=100",
        "fill:p=1:short",
        "fill:p=0.000000001:flip",
        "invalidate,flush:stale",
        "page_map:page=17",
        "queue_completed:double=3",
        "queue_wait:double",
        "program.allocate:size=1GiB:tag=3:fail=busy",
        "program.raw_allocate,program.raw_set:oom",
        "release:fail=driver",
        "close:slow=0ns",
    };
    char text[256];
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        snprintf(text, sizeof text, "%s", same[i]);
        /* Operations are written in the table's order. */
        if (strcmp(text, "invalidate,flush:stale") == 0)
            expect_canonical(text, "flush,invalidate:stale");
        else
            expect_canonical(text, text);
    }
}

TEST(plan__may_be_written_loosely)
{
    expect_canonical(" acquire : nth = 3 : oom ; ", "acquire:nth=3:oom");
    expect_canonical("\n\tcopy,fill\n: slow=1000us;\n fill:oom;", "copy,fill:slow=1ms;fill:oom");
    expect_canonical("copy:seed=7:slow=5ms:p=0.010", "copy:p=0.01:seed=7:slow=5ms");
    expect_canonical("acquire:oom:size=2048K..2M", "acquire:size=2MiB:oom");
    expect_canonical("acquire:oom:size=1024B..1G", "acquire:size=1KiB..1GiB:oom");
    expect_canonical("acquire:oom:size=4TiB..", "acquire:size=4TiB..:oom");
    expect_canonical("acquire:size=3T:oom", "acquire:size=3TiB:oom");
    expect_canonical("copy,copy:slow=90000000000ns", "copy:slow=90s");
    expect_canonical("acquire:p=1.000:oom", "acquire:p=1:oom");
    expect_canonical("acquire:for=1:oom", "acquire:oom:for=1");
    expect_canonical("acquire:size=0..:oom", "acquire:size=..18446744073709551615:oom");
    expect_canonical("close:time=0s..0ms:slow=1ns", "close:time=0ns:slow=1ns");
    expect_canonical("any:stale", "any:stale");
    expect_canonical("any:tag=0:oom", "any:tag=0:oom");
}

TEST(plan__that_is_wrong_is_refused_where_it_is_wrong)
{
    expect_refused("", 1, "expected an operation as acquire, copy, any or program.allocate, not the end");
    expect_refused("  ", 3, "not the end");
    expect_refused("acquier:oom", 1, "not \"acquier\"");
    expect_refused("acquired:oom", 1, "not \"acquired\"");
    expect_refused(";acquire:oom", 1, "not \";\"");
    expect_refused("acquire:oom;;copy:oom", 13, "not \";\"");
    expect_refused("copy,:oom", 6, "not \":\"");
    expect_refused("program.acquire:oom", 1, "\"program.acquire\" is no call of the program");
    expect_refused("acquire:nht=3:oom", 9, "not \"nht\"");
    expect_refused("acquire:", 9, "expected one of size tag thread");
    expect_refused("acquire::oom", 9, "not \":\"");
    expect_refused("acquire:nth:oom", 12, "nth needs a number from 1, not \":\"");
    expect_refused("acquire:nth=:oom", 13, "nth needs a number from 1, not \":\"");
    expect_refused("acquire:nth=0:oom", 13, "nth needs a number from 1, not \"0\"");
    expect_refused("acquire:nth=-1:oom", 13, "not \"-1\"");
    expect_refused("acquire:nth=3x:oom", 13, "not \"3x\"");
    expect_refused("acquire:nth=18446744073709551616:oom", 13, "nth needs");
    expect_refused("acquire:nth=3", 14, "the rule has no effect");
    expect_refused("acquire", 8, "the rule has no effect");
    expect_refused("acquire;copy:oom", 8, "the rule has no effect");
    expect_refused("acquire:nth=3:nth=4:oom", 15, "nth stands there twice");
    expect_refused("acquire:oom:lost", 13, "a rule has one effect, this one has oom already");
    expect_refused("acquire:oom=3", 13, "oom takes no value");
    expect_refused("acquire oom", 9, "not \"oom\"");
    expect_refused("acquire:p=0:oom", 11, "a chance above 0 up to 1");
    expect_refused("acquire:p=1.1:oom", 11, "p needs");
    expect_refused("acquire:p=2:oom", 11, "p needs");
    expect_refused("acquire:p=0.0000000001:oom", 11, "at most nine decimals");
    expect_refused("acquire:size=..:oom", 14, "size needs");
    expect_refused("acquire:size=2MiB..1MiB:oom", 14, "size needs");
    expect_refused("acquire:size=1PiB:oom", 14, "size needs");
    expect_refused("acquire:size=18446744073709551615KiB:oom", 14, "size needs");
    expect_refused("acquire:size=1..x:oom", 14, "size needs");
    expect_refused("acquire:time=5:oom", 14, "time needs times as 1s..2s");
    expect_refused("copy:slow=5", 11, "slow needs a time as 5ms");
    expect_refused("copy:slow", 10, "slow needs a time as 5ms (ns, us, ms, s), not the end");
    expect_refused("copy:fail", 10, "fail needs a result");
    expect_refused("copy:fail=ok", 11, "not \"ok\"");
    expect_refused("copy:fail=BUSY", 11, "fail needs a result");
    expect_refused("copy:way=up:stale", 10, "in, out or within");
    expect_refused("copy:per=call:stale", 10, "per needs thread");
    expect_refused("copy:stale:for=never", 16, "a number from 1, or ever");
    expect_refused("acquire:short", 9, "short does not go with acquire");
    expect_refused("copy,acquire:flip", 14, "flip does not go with acquire");
    expect_refused("fill:stale", 6, "stale does not go with fill");
    expect_refused("open:tag=1:oom", 6, "tag does not go with open");
    expect_refused("open:size=1:oom", 6, "size does not go with open");
    expect_refused("copy:queue=1:oom", 6, "queue does not go with copy");
    expect_refused("fill:way=in:oom", 6, "way does not go with fill");
    expect_refused("close:oom", 7, "oom does not go with close");
    expect_refused("copy:double", 6, "double does not go with copy");
    expect_refused("acquire:page=1", 9, "page does not go with acquire");
    expect_refused("program.free:oom", 14, "oom does not go with program.free");
    expect_refused("program.copy:short", 14, "short does not go with program.copy");
    expect_refused("program.raw_set:tag=1:oom", 17, "tag does not go with program.raw_set");
    expect_refused("program.any:stale", 13, "stale goes with no such operation");
    expect_refused("copy:\x01\x02\xff=1:oom", 6, "not \"???\"");
}

TEST(plan__has_room_for_64_rules)
{
    char text[64 * 12 + 64] = "";
    for (int i = 0; i < 64; i++)
        strcat(text, "copy:oom;");
    dcmem_fault_plan *plan;
    EXPECT_OK(dcmem_fault_plan_create(&plan, text));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    strcat(text, "copy:oom");
    expect_refused(text, 64 * 9 + 1, "a plan has at most 64 rules");
}

TEST(plan__is_written_as_snprintf_writes)
{
    dcmem_fault_plan *plan;
    char out[12];
    memset(out, 'x', sizeof out);
    EXPECT_OK(dcmem_fault_plan_create(&plan, "acquire:nth=3:oom"));
    EXPECT_EQ(dcmem_fault_plan_print(NULL, 0, plan), 17);
    EXPECT_EQ(dcmem_fault_plan_print(out, 10, plan), 17);
    assert_string_equal(out, "acquire:n");
    EXPECT_EQ(out[10], 'x');
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
}

TEST(plan__needs_a_text_and_a_place)
{
    dcmem_fault_plan *plan;
    EXPECT_RESULT(dcmem_fault_plan_create(NULL, "copy:oom"), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fault_plan_create(&plan, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_fault_plan_destroy(NULL));
    char out[4] = "abc";
    dcmem_fault_plan_set_log(NULL, DCMEM_LOG_INFO);
    dcmem_fault_plan_reset(NULL);
    EXPECT_EQ(dcmem_fault_plan_fired(NULL), 0);
    EXPECT_EQ(dcmem_fault_plan_print(out, sizeof out, NULL), 0);
    assert_string_equal(out, "");
    EXPECT_EQ(dcmem_fault_plan_print(NULL, sizeof out, NULL), 0);
}

/* ---- Hostile texts ---- */

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Good or refused; what is refused points into the text, and what is good can be written and read again. */
static void
expect_judged(const char *text)
{
    char once[8192], twice[8192];
    dcmem_fault_plan *plan;
    dcmem_result result = dcmem_fault_plan_create(&plan, text);
    if (result) {
        EXPECT_EQ(result, DCMEM_E_INVALID_ARGUMENT);
        int64_t column = dcmem_last_detail()->driver_code;
        EXPECT(column >= 1 && column <= (int64_t)strlen(text) + 1);
        for (const char *c = dcmem_last_detail()->message; *c; c++)
            EXPECT((unsigned char)*c >= ' ' && (unsigned char)*c < 127);
        return;
    }
    EXPECT(dcmem_fault_plan_print(once, sizeof once, plan) < sizeof once);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_OK(dcmem_fault_plan_create(&plan, once));
    EXPECT(dcmem_fault_plan_print(twice, sizeof twice, plan) < sizeof twice);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    assert_string_equal(once, twice);
}

static void
mutate(char *text, size_t room, uint64_t *state)
{
    static const char marks[] = ";:,=. \n0123456789abcdefpnthsKMGiB_-+\x01\x7f\xff%s";
    size_t length = strlen(text);
    size_t at = next_random(state) % (length + 1), other = next_random(state) % (length + 1);
    char mark = marks[next_random(state) % (sizeof marks - 1)];
    switch (next_random(state) % 5) {
    case 0: /* one character for another */
        if (at < length)
            text[at] = mark;
        break;
    case 1: /* one more */
        if (length + 2 < room) {
            memmove(text + at + 1, text + at, length - at + 1);
            text[at] = mark;
        }
        break;
    case 2: /* a piece less */
        if (at < other)
            memmove(text + at, text + other, length - other + 1);
        break;
    case 3: /* a piece twice */
        if (at < other && length + (other - at) + 1 < room) {
            memmove(text + other + (other - at), text + other, length - other + 1);
            memcpy(text + other, text + at, other - at);
        }
        break;
    default: /* an end */
        if (length > 0)
            text[at % length] = '\0';
    }
}

static void
fuzz(uint64_t rounds)
{
    static const char *const seeds[] = {
        "acquire:nth=3:oom;copy:p=0.01:seed=7:slow=5ms",
        "copy:tag=63:thread=2:way=out:time=100ms..2s:stale;page_map:page=17",
        "acquire,page_create:size=64KiB..1MiB:oom:for=4;any:lost:for=ever",
        "program.allocate:after=100:every=3:per=thread:times=9:fail=no_memory",
        "enqueue_copy,enqueue_fill:queue=2:short=100;queue_completed:double=3;fill:flip=9",
    };
    uint64_t state = 0x2545f4914f6cdd1d;
    for (uint64_t i = 0; i < rounds; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s", seeds[i % 5]);
        for (uint64_t n = 1 + next_random(&state) % 6; n; n--)
            mutate(text, sizeof text, &state);
        expect_judged(text);
    }
}

TEST(plan__survives_what_is_almost_one)
{
    fuzz(20000);
}

LONG_TEST(plan__survives_much_that_is_almost_one)
{
    fuzz(test_scaled(3000000));
}
