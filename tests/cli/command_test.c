/* command_test.c: the program dcmem as its users meet it: output, complaints, exit codes. */
#include "json_check.h"
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "op,id,size,stream,t_ns\n"

static char *output; /* of the last command: standard output and error */
static char folder[] = P_tmpdir "/dcmem-command-test-XXXXXX";

/* Runs `dcmem WORDS`; gives its exit code. "2>&1" etc. are the words' business. */
static int
run(const char *words)
{
    char line[4096], chunk[4096];
    size_t bytes, total;
    free(output);
    output = NULL;
    FILE *memory = open_memstream(&output, &total);
    EXPECT(memory);
    snprintf(line, sizeof line, "'%s' %s", TEST_PROGRAM, words);
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
expect_run(const char *words, int code, const char *part)
{
    int got = run(words);
    if (got != code)
        fail_msg("dcmem %s ended with %d, not %d: %s", words, got, code, output);
    expect_said(part);
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

TEST(replay__needs_a_trace)
{
    expect_run("replay 2>&1", 2, "name at least one trace");
    expect_run("replay --rounds 0 x.csv 2>&1", 2, "--rounds");
    expect_run("replay --json --summary x.csv 2>&1", 2, "choose one");
    expect_run("replay --backend marmalade x.csv 2>&1", 2, "there is no backend 'marmalade'");
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
    EXPECT(json_find(output, "repeats") == 1001);
    /* 5 calls of the trace and one that frees what it leaves */
    EXPECT(json_find(output, "driver_calls") == (1 + 1001) * 6);
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
    expect_run(words, 0, "needs more memory than this machine has");
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
    EXPECT(json_find(output, "driver_calls") == 2 + (1 + 2501) * 4);
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
