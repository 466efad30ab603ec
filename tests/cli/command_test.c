/* command_test.c: the program dcmem as its users meet it: output, complaints, exit codes. */
#include "json_check.h"
#include "test.h"

#include <dcmem/backend.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "op,id,size,stream,t_ns\n"

static char *output; /* of the last command: standard output and error */
static char folder[] = P_tmpdir "/dcmem-command-test-XXXXXX";

/* Runs `ENVIRONMENT dcmem WORDS`; gives its exit code. "2>&1" etc. are the words' business. */
static int
run_under(const char *environment, const char *words)
{
    char line[4096], chunk[4096];
    size_t bytes, total;
    free(output);
    output = NULL;
    FILE *memory = open_memstream(&output, &total);
    EXPECT(memory);
    snprintf(line, sizeof line, "%s '%s' %s", environment, TEST_PROGRAM, words);
    FILE *pipe = popen(line, "r");
    EXPECT(pipe);
    while ((bytes = fread(chunk, 1, sizeof chunk, pipe)) > 0)
        fwrite(chunk, 1, bytes, memory);
    int status = pclose(pipe);
    fclose(memory);
    EXPECT(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
expect_said(const char *part)
{
    if (!strstr(output, part))
        fail_msg("\"%s\" is not in: %s", part, output);
}

static void
expect_run_under(const char *environment, const char *words, int code, const char *part)
{
    int got = run_under(environment, words);
    if (got != code)
        fail_msg("%s dcmem %s ended with %d, not %d: %s", environment, words, got, code, output);
    expect_said(part);
}

static void
expect_run(const char *words, int code, const char *part)
{
    expect_run_under("", words, code, part);
}

static void
expect_json(const char *words)
{
    expect_run(words, 0, "");
    if (!is_json(output))
        fail_msg("dcmem %s printed no JSON: %s", words, output);
}

/* Writes a file of the test's folder; the path lives until the next call. */
static const char *
write_trace(const char *name, const char *text)
{
    static char path[256];
    if (strstr(folder, "XXXXXX"))
        EXPECT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    EXPECT(file);
    fputs(text, file);
    fclose(file);
    return path;
}

__attribute__((destructor)) static void
remove_folder(void)
{
    char line[256];
    free(output);
    if (strstr(folder, "XXXXXX"))
        return;
    snprintf(line, sizeof line, "rm -rf '%s'", folder);
    if (system(line))
        perror(folder);
}

static const char small[] = HEAD "a,0,100,0,0\na,1,5000,1,0\nf,0,100,0,0\na,2,70000,0,0\nf,1,5000,0,0\n";

/* `dcmem replay` of the small trace, with options. */
static char *
replay_small(const char *options)
{
    static char line[512];
    snprintf(line, sizeof line, "replay --rounds 1 %s '%s' 2>&1", options, write_trace("small.csv", small));
    return line;
}

TEST(dcmem__explains_itself_when_it_is_called_without_a_word)
{
    expect_run("2>&1", 2, "Usage: dcmem COMMAND");
    expect_run("--help", 0, "Usage: dcmem COMMAND");
    expect_run("help", 0, "replay");
    EXPECT(is_json(output) == false);
    expect_json("help --json");
}

TEST(dcmem__proposes_the_command_that_was_meant)
{
    expect_run("repaly 2>&1", 2, "did you mean 'replay'?");
    expect_run("marmalade 2>&1", 2, "there is no command 'marmalade'");
    expect_run("help marmalade 2>&1", 2, "there is no command 'marmalade'");
}

TEST(dcmem__teaches_every_command)
{
    static const char *const commands[] = {"devices", "replay", "bench", "version", "help"};
    static const char *const parts[] = {"Usage:", "Options:", "--json", "Examples:", "Exit codes:", "2 "};
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        char words[64];
        snprintf(words, sizeof words, "%s --help", commands[i]);
        for (unsigned j = 0; j < sizeof parts / sizeof *parts; j++)
            expect_run(words, 0, parts[j]);
        snprintf(words, sizeof words, "help %s", commands[i]);
        expect_run(words, 0, "Usage:");
    }
}

TEST(dcmem__refuses_options_and_operands_that_a_command_does_not_have)
{
    static const char *const commands[] = {"devices", "replay", "bench", "version", "help"};
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        char words[64];
        snprintf(words, sizeof words, "%s --nonsense 2>&1", commands[i]);
        expect_run(words, 2, "--nonsense");
    }
    expect_run("devices here 2>&1", 2, "'here'");
    expect_run("version here 2>&1", 2, "'here'");
    expect_run("help replay bench 2>&1", 2, "'bench'");
}

TEST(version__tells_library_and_build)
{
    expect_run("version", 0, "dcmem 0.");
    expect_run("--version", 0, "dcmem 0.");
    expect_json("version --json");
    expect_said("\"build\"");
}

TEST(devices__lists_the_cpu_with_its_memory)
{
    expect_run("devices", 0, "cpu 0:");
    expect_said("NUMA node");
    expect_said("largest allocation");
    expect_json("devices --json");
    expect_said("\"backend\": \"cpu\"");
    EXPECT(json_find(output, "total_bytes") > 0);
    EXPECT(json_find(output, "free_bytes") > 0);
    EXPECT(json_find(output, "granularity_bytes") > 0);
}

TEST(devices__lists_simulated_ones_on_request)
{
    expect_json("devices --simulated --json");
    expect_said("\"backend\": \"simulated\"");
}

TEST(devices__can_be_asked_for_one_backend_or_one_device)
{
    expect_run("devices --backend cpu", 0, "cpu 0:");
    EXPECT(!strstr(output, "opencl"));
    expect_run("devices --backend simulated --device 1", 0, "simulated 1:");
    EXPECT(!strstr(output, "simulated 0"));
    expect_run("devices --backend cpu --device 3", 0, "cpu 3: not available");
    expect_said("none of index 3");
}

static unsigned
occurrences(const char *part)
{
    unsigned count = 0;
    for (const char *at = output; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

TEST(devices__lists_each_backend_and_says_of_one_without_a_device_why)
{
    static const char no_driver[] = "OCL_ICD_VENDORS=/nonexistent VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/none";
    expect_run_under(no_driver, "devices --json 2>/dev/null", 0, "[");
    EXPECT(is_json(output));
    EXPECT_GE(dcmem_backend_count(), 2);
    for (uint32_t i = 0; i < dcmem_backend_count(); i++) {
        char part[64];
        snprintf(part, sizeof part, "\"backend\": \"%s\"", dcmem_backend_at(i)->name);
        expect_said(part);
    }
    EXPECT_GE(occurrences("\"is_available\": false"), 1);
    EXPECT_EQ(occurrences("\"is_available\": false"), occurrences("\"is_available\": false,\n    \"reason\": \""));
    EXPECT_EQ(occurrences("\"answer_ns\": "), occurrences("\"is_available\": "));
}

TEST(devices__lists_the_backends_to_come_as_such)
{
    static const char *const names[] = {"cuda", "hip", "level_zero", "metal"};
    expect_run("devices", 0, "");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char part[64];
        snprintf(part, sizeof part, "\n%s", names[i]);
        expect_said(part);
        snprintf(part, sizeof part, "the backend %s is not part of this version", names[i]);
        if (!dcmem_backend_find(names[i]))
            expect_said(part);
    }
}

TEST(devices__says_of_names_that_it_has_no_backend_for_why)
{
    expect_run("devices --backend marmalade 2>&1", 2, "no backend is named marmalade; there are: cpu, ");
    expect_run("devices --backend metal 2>&1", 2, "the backend metal is not part of this version");
}

TEST(devices__refuses_options_that_say_nothing_alone)
{
    expect_run("devices --device 0 2>&1", 2, "--device needs --backend");
    expect_run("devices --bytes 65536 2>&1", 2, "--bytes needs --matrix");
    expect_run("devices --quiet 2>&1", 2, "--quiet needs --matrix");
    expect_run("devices --matrix --bytes 100 2>&1", 2, "--bytes");
    expect_run("devices --matrix --bytes 2000000000000 2>&1", 2, "--bytes");
    expect_run("devices --matrix --byte 65536 2>&1", 2, "--byte");
    expect_run("devices --matrix here 2>&1", 2, "'here'");
}

/* Of JSON, the blanks of whose lines are not what is tested. */
static unsigned
pairs_of(const char *from, const char *to)
{
    char part[128];
    snprintf(part, sizeof part, "\"from\": \"%s\",\n      \"to\": \"%s\"", from, to);
    return occurrences(part);
}

LONG_TEST(matrix__has_each_pair_of_devices_once)
{
    static const char *const names[] = {"host", "simulated 0", "simulated 1", "simulated 2", "simulated 3"};
    expect_json("devices --matrix --backend simulated --bytes 65536 --json");
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = 0; j < 5; j++)
            EXPECT_EQ(pairs_of(names[i], names[j]), i || j ? 1 : 0);
    EXPECT_EQ(occurrences("\"latency_ns\""), 24);
    EXPECT_EQ(occurrences("\"bytes\": 65536"), 24);
    EXPECT_EQ(occurrences("\"problem\": null"), 24);
}

TEST(matrix__has_the_pairs_of_host_and_device_and_within_it)
{
    expect_json("devices --matrix --backend cpu --bytes 65536 --json");
    EXPECT_EQ(occurrences("\"from\""), 3);
    EXPECT_EQ(pairs_of("host", "cpu 0"), 1);
    EXPECT_EQ(pairs_of("cpu 0", "host"), 1);
    EXPECT_EQ(pairs_of("cpu 0", "cpu 0"), 1);
    EXPECT(json_find(output, "latency_ns") > 0);
    EXPECT(json_find(output, "bytes_per_s") > 0);
}

TEST(matrix__leaves_simulated_devices_out_unless_they_are_asked_for)
{
    expect_run("devices --matrix --backend cpu --bytes 65536", 0, "BANDWIDTH");
    expect_said("LATENCY");
    expect_said("from \\ to");
    expect_said("were compared");
    EXPECT(!strstr(output, "simulated"));
    expect_run("devices --matrix --backend simulated --device 2 --bytes 65536 --quiet", 0, "simulated 2");
    EXPECT(!strstr(output, "were compared"));
}

/* Measures a device with a memory of its own, whose driver is under a fault plan. */
static void
expect_matrix_under(const char *plan, unsigned bytes, int code, const char *part)
{
    char environment[128], words[128];
    snprintf(environment, sizeof environment, "DCMEM_LOG=off DCMEM_FAULTS='%s'", plan);
    snprintf(words, sizeof words, "devices --matrix --backend simulated --device 1 --bytes %u 2>&1", bytes);
    expect_run_under(environment, words, code, part);
}

TEST(matrix__wrong_bytes_are_a_failure_and_no_figure)
{
    static const char *const ways[] = {"in", "out", "within"};
    static const char *const harms[] = {"stale", "short", "flip=99"};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++) {
            char plan[64];
            snprintf(plan, sizeof plan, "copy:way=%s:%s:for=ever", ways[i], harms[j]);
            expect_matrix_under(plan, 65536, 1, "simulated 1 to simulated 1: wrong bytes");
            expect_said("failed");
        }
}

TEST(matrix__a_pair_that_fails_leaves_the_others_their_figures)
{
    expect_matrix_under("copy:way=within:nth=1:fail=driver:for=ever", 65536, 1,
                        "simulated 1 to simulated 1: copying: ");
    EXPECT(!strstr(output, "host to simulated 1"));
    EXPECT_EQ(occurrences("failed"), 2);
}

TEST(matrix__a_device_that_cannot_be_opened_is_listed_with_the_reason)
{
    expect_matrix_under("open:nth=1:fail=permission:for=ever", 65536, 1, "simulated 1: not measured");
    expect_said("fault 1 of the plan");
    expect_said("there is no device to measure");
}

LONG_TEST(matrix__copies_are_smaller_where_memory_is_short)
{
    expect_matrix_under("acquire:size=2MiB..:oom:for=ever", 2097152, 0, "median of copies of 1.00 MiB");
    EXPECT_EQ(occurrences("failed"), 0);
}

TEST(replay__needs_a_trace)
{
    expect_run("replay 2>&1", 2, "name at least one trace");
    expect_run("replay --rounds 0 x.csv 2>&1", 2, "--rounds");
    expect_run("replay --json --summary x.csv 2>&1", 2, "choose one");
    expect_run("replay --backend marmalade x.csv 2>&1", 2, "no backend is named marmalade; there are: cpu, ");
    expect_run("replay --backend cuda x.csv 2>&1", 2, "the backend cuda is not part of this version");
}

TEST(replay__names_the_line_that_is_wrong)
{
    char words[512];
    snprintf(words, sizeof words, "replay '%s' 2>&1", write_trace("bad.csv", HEAD "a,0,1,0,0\nf,7,1,0,0\n"));
    expect_run(words, 1, "bad.csv: line 3: id 7 is freed but was never allocated");
    expect_run("replay /nowhere.csv 2>&1", 1, "No such file");
}

TEST(replay__still_replays_the_others_when_one_trace_is_bad)
{
    char words[512];
    char good[256];
    snprintf(good, sizeof good, "%s", write_trace("good.csv", small));
    snprintf(words, sizeof words, "replay --rounds 1 --json /nowhere.csv '%s' 2>/dev/null", good);
    expect_run(words, 1, "\"trace\": \"good\"");
    EXPECT(is_json(output));
}

TEST(replay__prints_two_tables_that_explain_themselves)
{
    expect_run(replay_small(""), 0, "small");
    expect_said("TIME");
    expect_said("MEMORY");
    expect_said("bound: no allocator could do with less");
    expect_run(replay_small("--quiet"), 0, "MEMORY");
    EXPECT(!strstr(output, "bound: no allocator"));
}

TEST(replay__prints_every_key_of_its_json)
{
    static const char *const keys[] = {"trace",
                                       "ops",
                                       "rounds",
                                       "backend",
                                       "sizing",
                                       "peak_live_bytes",
                                       "bound_bytes",
                                       "direct",
                                       "pool",
                                       "overhead_removed",
                                       "alone_ns_per_op",
                                       "removed_beside_use",
                                       "ns_per_op",
                                       "p99_ns",
                                       "hit_rate",
                                       "peak_reserved_bytes",
                                       "reserved_over_live",
                                       "reserved_over_bound",
                                       "internal_waste",
                                       "driver_calls",
                                       "acquired_bytes"};
    char key[64];
    expect_json(replay_small("--json"));
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "\"%s\": ", keys[i]);
        expect_said(key);
    }
    EXPECT(json_find(output, "ops") == 5);
    EXPECT(json_find(output, "rounds") == 1);
    EXPECT(json_find(output, "peak_live_bytes") == 75000);
    EXPECT(json_find(output, "bound_bytes") == 5056 + 70016);
    EXPECT(json_find(output, "peak_reserved_bytes") >= 75000);
    EXPECT(json_find(output, "hit_rate") == 1);
    EXPECT(json_find(output, "requested_bytes") == 75000);
    EXPECT(json_find(output, "used_bytes") + json_find(output, "cached_bytes") + json_find(output, "free_bytes") ==
           json_find(output, "reserved_bytes"));
    EXPECT(json_find(output, "slab_free_bytes") <= json_find(output, "free_bytes"));
    double repeats = json_find(output, "repeats"); /* 4001, but where one play takes a millisecond */
    EXPECT(repeats >= 1 && repeats <= 4001);
    /* 5 calls of the trace and one that frees what it leaves */
    EXPECT(json_find(output, "driver_calls") == (1 + repeats) * 6);
}

TEST(replay__says_what_the_use_alone_costs_where_it_is_only_an_address)
{
    expect_json(replay_small("--json --touch"));
    double alone = json_find(output, "alone_ns_per_op");
    EXPECT(alone > 0 && alone < json_find(strstr(output, "\"direct\""), "ns_per_op"));
    expect_json(replay_small("--json --buffers"));
    expect_said("\"alone_ns_per_op\": null");
    expect_said("\"removed_beside_use\": null");
    expect_run(replay_small("--buffers --touch"), 0, "use alone");
}

TEST(replay__keeps_to_a_number_of_seconds)
{
    char words[512];
    snprintf(words, sizeof words, "replay --seconds 1 --rounds 40 --json '%s' 2>&1", write_trace("small.csv", small));
    expect_json(words);
    EXPECT(json_find(output, "rounds") >= 1 && json_find(output, "rounds") <= 40);
    EXPECT(json_find(strstr(output, "\"direct\""), "rounds") <= json_find(output, "rounds"));
    expect_run("replay --seconds 0 x.csv 2>&1", 2, "--seconds");
}

TEST(replay__replays_in_every_way)
{
    static const char *const ways[] = {"--threads",           "--touch",
                                       "--buffers",           "--policy tight",
                                       "--policy loose",      "--sizing power-of-two",
                                       "--backend simulated", "--threads --touch --buffers --policy tight"};
    char options[128];
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(options, sizeof options, "--json %s", ways[i]);
        expect_json(replay_small(options));
    }
}

TEST(replay__says_where_a_median_is_of_few_rounds)
{
    char words[512];
    snprintf(words, sizeof words, "replay --rounds 1 '%s' 2>&1", write_trace("small.csv", small));
    expect_run(words, 0, "small: times of 1 warm round only.");
    snprintf(words, sizeof words, "replay --rounds 3 '%s' 2>&1", write_trace("small.csv", small));
    expect_run(words, 0, "small: times of 3 warm rounds only.");
}

TEST(replay__goes_to_reserved_memory_when_the_machine_is_too_small)
{
    SKIP_UNDER_TOOLS();
    char words[512], huge[128];
    expect_json("devices --json");
    unsigned long long bytes = (unsigned long long)json_find(output, "total_bytes") * 4;
    snprintf(huge, sizeof huge, HEAD "a,0,%llu,0,0\nf,0,%llu,0,0\n", bytes, bytes);
    snprintf(words, sizeof words, "replay --rounds 1 --json '%s' 2>&1", write_trace("huge.csv", huge));
    expect_json(words);
    expect_said("\"backend\": \"simulated\"");
    snprintf(words, sizeof words, "replay --rounds 1 '%s' 2>&1", write_trace("huge.csv", huge));
    expect_run(words, 0, "needs more memory than the device has free");
    snprintf(words, sizeof words, "replay --touch '%s' 2>&1", write_trace("huge.csv", huge));
    expect_run(words, 1, "leave --touch out");
}

TEST(replay__repeats_a_preamble_never)
{
    char words[512];
    const char *text = "# preamble_ops: 2\n" HEAD "a,0,4096,0,0\na,1,4096,0,0\na,2,4096,0,0\nf,0,4096,0,0\n";
    snprintf(words, sizeof words, "replay --rounds 1 --json '%s' 2>&1", write_trace("preamble.csv", text));
    expect_json(words);
    EXPECT(json_find(output, "ops") == 2);
    /* 2 of the preamble; then 2 of the trace and 2 that undo it */
    EXPECT(json_find(output, "driver_calls") == 2 + (1 + json_find(output, "repeats")) * 4);
}

TEST(replay__summarises_both_sizings_in_markdown)
{
    expect_run(replay_small("--summary"), 0, "| trace | operations |");
    expect_said("power of two");
    expect_said("**worst**");
}

TEST(replay__says_when_its_output_is_lost)
{
    if (access("/dev/full", W_OK))
        SKIP("no /dev/full here");
    expect_run("version 2>&1 >/dev/full", 1, "could not be written");
}
