/* command_test.c: `dcmem bench` as its users meet it. No test looks at a time: only that there is one. */
#include "cli/json_check.h"
#include "test.h"

#include "bench/harness.h"

#include <stdlib.h>
#include <sys/wait.h>

#define SHORT " --rounds 1 --round-ms 1 "

static char *output; /* of the last command: standard output and error */

static int
run(const char *environment, const char *words)
{
    char line[1024], chunk[4096];
    size_t bytes, total;
    free(output);
    output = NULL;
    FILE *memory = open_memstream(&output, &total);
    EXPECT(memory);
    snprintf(line, sizeof line, "%s '%s' bench %s 2>&1", environment, TEST_PROGRAM, words);
    FILE *pipe = popen(line, "r");
    EXPECT(pipe);
    while ((bytes = fread(chunk, 1, sizeof chunk, pipe)) > 0)
        fwrite(chunk, 1, bytes, memory);
    int status = pclose(pipe);
    fclose(memory);
    EXPECT(output && WIFEXITED(status));
    return WEXITSTATUS(status);
}

__attribute__((destructor)) static void
forget_output(void)
{
    free(output);
}

static void
expect_said(const char *part)
{
    if (!output || !strstr(output, part))
        fail_msg("\"%s\" is not in: %s", part, output ? output : "nothing");
}

static void
expect_run(const char *words, int code, const char *part)
{
    int got = run("", words);
    if (got != code)
        fail_msg("dcmem bench %s ended with %d, not %d: %s", words, got, code, output);
    expect_said(part);
}

/* Every case that the words mean is there, with dcmem's number, in JSON. */
static void
expect_cases(const char *words, const char *options)
{
    char line[512];
    snprintf(line, sizeof line, "--json" SHORT "%s %s", options, words);
    expect_run(line, 0, "");
    if (!is_json(output))
        fail_msg("dcmem bench %s printed no JSON: %s", line, output);
    for (unsigned i = 0; i < bench_case_count; i++) {
        char key[128];
        if (!bench_case_is_meant(&bench_cases[i], words))
            continue;
        snprintf(key, sizeof key, "\"case\": \"%s\"", bench_cases[i].name);
        const char *at = strstr(output, key);
        if (!at)
            fail_msg("%s is not in: %s", key, output);
        if (json_find(at, "dcmem") <= 0)
            fail_msg("%s took dcmem no time: %s", bench_cases[i].name, at);
    }
}

static void
expect_key(const char *key)
{
    char text[64];
    snprintf(text, sizeof text, "\"%s\":", key);
    expect_said(text);
}

TEST(bench_command__lists_every_case_with_its_question)
{
    expect_run("--list", 0, "fixed-64B");
    for (unsigned i = 0; i < bench_case_count; i++) {
        expect_said(bench_cases[i].name);
        expect_said(bench_cases[i].question);
    }
}

TEST(bench_command__json_has_the_documented_keys)
{
    static const char *const keys[] = {"case",   "unit",   "dcmem",          "floor",
                                       "peers",  "glibc",  "ratio_to_floor", "ratio_to_best_peer",
                                       "rounds", "spread", "policy"};
    expect_cases("fixed-64B", "--only glibc");
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        expect_key(keys[i]);
    EXPECT(json_find(output, "ratio_to_floor") > 0);
    EXPECT(json_find(output, "ratio_to_best_peer") > 0);
}

TEST(bench_command__fixed_sizes_are_measured)
{
    expect_cases("fixed", "--only glibc");
}

TEST(bench_command__churn_is_measured_under_both_policies)
{
    expect_cases("churn", "--only none");
    expect_said("\"policy\": \"loose\"");
    expect_cases("churn", "--only none --policy tight");
    expect_said("\"policy\": \"tight\"");
}

TEST(bench_command__threads_are_measured)
{
    expect_cases("producer-consumer", "--only none");
    expect_cases("two-threads", "--only none");
    expect_cases("contended-4KiB-8-threads", "--only none");
}

TEST(bench_command__training_steps_are_measured)
{
    expect_cases("training-step", "--only none");
}

TEST(bench_command__handles_stand_beside_raw_memory)
{
    expect_cases("handle", "");
    expect_said("\"beside\": \"raw\"");
    EXPECT(json_find(output, "ratio_to_beside") > 0);
}

TEST(bench_command__variants_stand_beside_dcmem_or_say_why_they_do_not)
{
    expect_cases("stats-64B", "");
    expect_said("without statistics");
    expect_cases("checks-64B", "");
    expect_said("without checks");

    EXPECT_EQ(run("DCMEM_BENCH_LIBS=/nonexistent", SHORT "--json stats-64B"), 0);
    expect_said("libdcmem-nostats.so is not beside the program");
}

TEST(bench_command__fault_plans_stand_beside_a_driver_without_one)
{
    expect_cases("faults", "");
    expect_said("\"beside\": \"without a plan\"");
}

TEST(bench_command__first_touch_tells_the_parts_of_both_ways)
{
    expect_cases("first-touch-cpu-64KiB", "");
    expect_cases("first-touch-simulated-4KiB", "");
    expect_said("\"beside\": \"driver\"");
    expect_key("use alone");
    expect_key("driver unused");
    expect_key("pool unused");
    EXPECT(json_find(output, "ratio_to_floor") > 0);
}

TEST(bench_command__a_backend_without_a_device_is_named_with_the_reason)
{
    EXPECT_EQ(run("OCL_ICD_VENDORS=/nonexistent", SHORT "--json first-touch-opencl-4KiB"), 0);
    EXPECT(is_json(output));
    expect_said("\"pool\": \""); /* among the absent */
    EXPECT_EQ(run("OCL_ICD_VENDORS=/nonexistent", SHORT "first-touch-opencl-4KiB"), 0);
    expect_said("backend opencl is absent: ");
}

TEST(bench_command__copies_and_fills_are_measured)
{
    expect_cases("copy-in-64KiB", "");
    expect_cases("copy-out-64KiB", "");
    expect_cases("fill-64KiB", "");
    expect_key("libc");
    EXPECT(json_find(output, "ratio_to_floor") > 0);
}

TEST(bench_command__accesses_snapshots_and_loads_are_measured)
{
    expect_cases("access-pair", "");
    expect_cases("snapshot", "");
    expect_cases("load", "--only none");
    EXPECT(json_find(output, "loaded_bytes") > 0 &&
           json_find(output, "file_bytes") > json_find(output, "loaded_bytes"));
}

TEST(bench_command__idle_memory_is_reclaimed_in_its_case)
{
    expect_cases("idle-reclaim", "");
}

TEST(bench_command__a_table_is_printed_without_json)
{
    expect_run("fixed-64B --only glibc" SHORT, 0, "x best peer");
    expect_said("glibc");
    expect_said("fixed-64B");
}

TEST(bench_command__an_absent_peer_is_named_with_the_reason)
{
    expect_run("--json --only none --peer ghost=/nonexistent/libghost.so fixed-64B" SHORT, 0, "ghost");
    expect_said("libghost.so");
    EXPECT(is_json(output));
    EXPECT(json_find(output, "ghost") <= 0); /* named among the absent, with a text for a value */
}

TEST(bench_command__a_further_peer_can_be_named)
{
    expect_run("--json --only none --peer again=libc.so.6 fixed-64B" SHORT, 0, "");
    EXPECT(json_find(output, "again") > 0);
}

TEST(bench_command__refuses_what_it_does_not_know)
{
    expect_run("chrun", 2, "the nearest is 'churn'");
    expect_run("--only tcmaloc", 2, "there is no peer 'tcmaloc'");
    expect_run("--rounds 0", 2, "--rounds");
    expect_run("--policy greedy", 2, "--policy");
    expect_run("--help", 0, "Examples:");
}

LONG_TEST(bench_command__resident_memory_is_measured_in_child_processes)
{
    SKIP_UNDER_TOOLS();
    expect_cases("churn-resident", "--only glibc");
    EXPECT(json_find(output, "dcmem") > 1);
    EXPECT(json_find(output, "glibc") > 1);
    expect_cases("training-step-resident", "--only none");
    expect_cases("churn-touched", "--only none");
}

LONG_TEST(bench_command__every_peer_that_is_installed_takes_part)
{
    SKIP_UNDER_TOOLS();
    expect_cases("churn", "");
    expect_cases("producer-consumer", "");
}

LONG_TEST(bench_command__large_copies_and_many_threads_are_measured)
{
    SKIP_UNDER_TOOLS();
    expect_cases("copy-in", "");
    expect_cases("copy-out", "");
    expect_cases("fill", "");
    expect_cases("contended", "--only none");
}
