/* trace_test.c: what a trace is, what the reader refuses, and the bound by hand. */
#include "cli/trace.h"
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#define HEAD "op,id,size,stream,t_ns\n"

static trace_problem problem;

static bool
parse(allocation_trace *out, const char *text)
{
    memset(&problem, 0, sizeof problem);
    return trace_parse(out, text, strlen(text), &problem);
}

/* The text is refused, at that line, in words that hold `part`; the output is untouched. */
static void
expect_refused(const char *text, size_t bytes, uint64_t line, const char *part)
{
    allocation_trace trace = {.op_count = 77};
    memset(&problem, 0, sizeof problem);
    if (trace_parse(&trace, text, bytes, &problem))
        fail_msg("accepted: %s", text);
    if (problem.line != line || !strstr(problem.message, part))
        fail_msg("line %llu: %s", (unsigned long long)problem.line, problem.message);
    EXPECT_EQ(trace.op_count, 77);
}

#define EXPECT_REFUSED(text, line, part) expect_refused(text, strlen(text), line, part)

TEST(trace__reads_operations_in_their_order)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# ops: 3\n" HEAD "a,0,100,7,5\na,1,7,3,5\nf,0,100,7,6\n"));
    EXPECT_EQ(trace.op_count, 3);
    EXPECT_EQ(trace.id_count, 2);
    EXPECT_EQ(trace.stream_count, 2);
    EXPECT_EQ(trace.ops[1].id, 1);
    EXPECT_EQ(trace.ops[1].bytes, 7);
    EXPECT_EQ(trace.ops[1].stream, 1);
    EXPECT(!trace.ops[1].is_free);
    EXPECT(trace.ops[2].is_free);
    EXPECT_EQ(trace.ops[2].stream, 0);
    EXPECT_EQ(trace.allocated_bytes, 107);
    trace_fini(&trace);
}

TEST(trace__measures_peak_and_bound_of_a_small_trace_worked_out_by_hand)
{
    allocation_trace trace;
    /* live: 100, 165, 65, 66; rounded to 64: 128, 256, 128, 192 */
    EXPECT(parse(&trace, HEAD "a,0,100,0,0\na,1,65,0,0\nf,0,100,0,0\na,2,1,0,0\n"));
    EXPECT_EQ(trace.alignment, 64);
    EXPECT_EQ(trace.peak_live_bytes, 165);
    EXPECT_EQ(trace.bound_bytes, 256);
    EXPECT_EQ(trace.peak_op, 1);
    trace_fini(&trace);
}

TEST(trace__rounds_to_512_where_the_header_speaks_of_tensors)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# note: PyTorch GPU tensors\n" HEAD "a,0,1,0,0\na,1,513,0,0\n"));
    EXPECT_EQ(trace.alignment, 512);
    EXPECT_EQ(trace.bound_bytes, 512 + 1024);
    trace_fini(&trace);
}

TEST(trace__does_not_take_input_for_an_npu)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# source: input/log\n" HEAD "a,0,1,0,0\n"));
    EXPECT_EQ(trace.alignment, 64);
    trace_fini(&trace);
}

TEST(trace__believes_the_header_about_the_alignment)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# note: GPU\n# alignment: 4096\n" HEAD "a,0,1,0,0\n"));
    EXPECT_EQ(trace.bound_bytes, 4096);
    trace_fini(&trace);
    EXPECT_REFUSED("# alignment: 48\n" HEAD "a,0,1,0,0\n", 1, "power of two");
    EXPECT_REFUSED("# alignment: 0\n" HEAD "a,0,1,0,0\n", 1, "power of two");
    EXPECT_REFUSED("# alignment: wide\n" HEAD "a,0,1,0,0\n", 1, "whole number");
}

TEST(trace__treats_size_0_as_1)
{
    allocation_trace trace;
    EXPECT(parse(&trace, HEAD "a,0,0,0,0\nf,0,0,0,0\n"));
    EXPECT_EQ(trace.ops[0].bytes, 1);
    EXPECT_EQ(trace.peak_live_bytes, 1);
    trace_fini(&trace);
}

TEST(trace__looks_for_the_peak_behind_the_preamble)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# preamble_ops: 2\n" HEAD "a,0,900,0,0\nf,0,900,0,0\na,1,5,0,0\na,2,6,0,0\nf,1,5,0,0\n"));
    EXPECT_EQ(trace.preamble_count, 2);
    EXPECT_EQ(trace.peak_live_bytes, 900);
    EXPECT_EQ(trace.peak_op, 3);
    trace_fini(&trace);
}

TEST(trace__takes_lines_that_end_in_carriage_returns_and_a_last_line_without_an_end)
{
    allocation_trace trace;
    EXPECT(parse(&trace, "# ops: 2\r\nop,id,size,stream,t_ns\r\na,0,8,0,0\r\nf,0,8,0,0"));
    EXPECT_EQ(trace.op_count, 2);
    trace_fini(&trace);
}

TEST(trace__refuses_a_missing_or_wrong_header)
{
    EXPECT_REFUSED("", 0, "missing");
    EXPECT_REFUSED("# ops: 1\n", 1, "missing");
    EXPECT_REFUSED("a,0,1,0,0\n", 1, "expected the header");
    EXPECT_REFUSED("op,id,size\na,0,1\n", 1, "expected the header");
    EXPECT_REFUSED("\n" HEAD, 1, "expected the header");
    EXPECT_REFUSED("# preamble_ops: many\n" HEAD, 1, "whole number");
    EXPECT_REFUSED("# preamble_ops:\n" HEAD, 1, "whole number");
}

TEST(trace__refuses_lines_that_are_no_operation)
{
    EXPECT_REFUSED(HEAD "x,0,1,0,0\n", 2, "begins with 'a'");
    EXPECT_REFUSED(HEAD "a,0,1,0,0\n\na,1,1,0,0\n", 3, "begins with 'a'");
    EXPECT_REFUSED(HEAD "a\n", 2, "'id'");
    EXPECT_REFUSED(HEAD "a,0,1,0\n", 2, "'t_ns'");
    EXPECT_REFUSED(HEAD "a,0,1,0,0,9\n", 2, "follows");
    EXPECT_REFUSED(HEAD "a,-1,1,0,0\n", 2, "'id'");
    EXPECT_REFUSED(HEAD "a,0, 1,0,0\n", 2, "'size'");
    EXPECT_REFUSED(HEAD "a,0,1,0x1,0\n", 2, "'t_ns'");
    expect_refused(HEAD "a,0,1\0,0,0\n", sizeof(HEAD "a,0,1\0,0,0\n") - 1, 2, "'stream'");
}

TEST(trace__refuses_numbers_that_overflow)
{
    EXPECT_REFUSED(HEAD "a,0,18446744073709551616,0,0\n", 2, "'size'");
    EXPECT_REFUSED(HEAD "a,0,99999999999999999999999999,0,0\n", 2, "'size'");
    EXPECT_REFUSED(HEAD "a,0,18446744073709551615,0,0\n", 2, "larger than any memory");
    EXPECT_REFUSED(HEAD "a,0,4611686018427387904,0,0\na,1,4611686018427387904,0,0\n", 0, "2^62");
}

TEST(trace__refuses_ids_that_break_the_rules)
{
    EXPECT_REFUSED(HEAD "a,0,1,0,0\nf,0,1,0,0\na,0,1,0,0\n", 4, "second time");
    EXPECT_REFUSED(HEAD "a,0,1,0,0\nf,0,1,0,0\nf,0,1,0,0\n", 4, "second time");
    EXPECT_REFUSED(HEAD "f,0,1,0,0\n", 2, "never allocated");
    EXPECT_REFUSED(HEAD "a,0,1,0,0\nf,18446744073709551615,1,0,0\n", 3, "never allocated");
    EXPECT_REFUSED(HEAD "a,4000000000,1,0,0\n", 2, "not dense");
    EXPECT_REFUSED(HEAD "a,1,1,0,0\n", 0, "not dense");
    EXPECT_REFUSED(HEAD "a,0,1,0,0\nf,0,2,0,0\n", 3, "was allocated with 1");
}

TEST(trace__refuses_streams_that_are_no_small_numbers_and_time_that_falls)
{
    EXPECT_REFUSED(HEAD "a,0,1,1024,0\n", 2, "stream 1024");
    EXPECT_REFUSED(HEAD "a,0,1,18446744073709551615,0\n", 2, "stream");
    EXPECT_REFUSED(HEAD "a,0,1,0,5\na,1,1,0,4\n", 3, "time falls");
}

TEST(trace__notices_a_file_that_is_cut_short)
{
    EXPECT_REFUSED("# ops: 3\n" HEAD "a,0,1,0,0\nf,0,1,0,0\n", 0, "promises 3");
    EXPECT_REFUSED(HEAD, 0, "no operation");
    EXPECT_REFUSED("# preamble_ops: 1\n" HEAD "a,0,1,0,0\n", 0, "leaves none");
}

TEST(trace__refuses_every_cut_and_every_changed_byte_or_reads_a_whole_trace)
{
    static const char good[] =
        "# ops: 4\n# preamble_ops: 1\n" HEAD "a,0,64,0,1\na,1,128,1,2\nf,0,64,1,3\nf,1,128,0,3\n";
    char text[sizeof good];
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (int c = 0; c < 256; c++) {
            allocation_trace trace;
            memcpy(text, good, sizeof good);
            text[i] = (char)c;
            size_t bytes = c == 0 ? i : sizeof good - 1;
            if (!trace_parse(&trace, text, bytes, &problem))
                continue;
            EXPECT(trace.op_count > trace.preamble_count);
            EXPECT(trace.bound_bytes >= trace.peak_live_bytes);
            trace_fini(&trace);
        }
    }
}

/* ---- Files ---- */

static char path[] = P_tmpdir "/dcmem-trace-test-XXXXXX";

static void
write_file(const void *bytes, size_t count)
{
    strcpy(strrchr(path, '-'), "-XXXXXX");
    int file = mkstemp(path);
    EXPECT(file >= 0);
    EXPECT_EQ(write(file, bytes, count), count);
    close(file);
}

static const char small[] = "# ops: 2\n" HEAD "a,0,1,0,0\nf,0,1,0,0\n";

/* The same, packed by gzip: by hand, because zlib's bytes look unset to MemorySanitizer. */
static const unsigned char packed[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x53, 0x56, 0xc8, 0x2f, 0x28, 0xb6,
    0x52, 0x30, 0xe2, 0xca, 0x2f, 0xd0, 0xc9, 0x4c, 0xd1, 0x29, 0xce, 0xac, 0x4a, 0xd5, 0x29, 0x2e,
    0x29, 0x4a, 0x4d, 0xcc, 0xd5, 0x29, 0x89, 0xcf, 0x2b, 0xe6, 0x4a, 0xd4, 0x31, 0xd0, 0x31, 0x04,
    0x62, 0x03, 0xae, 0x34, 0x38, 0x0b, 0x00, 0x67, 0x41, 0x7f, 0x6c, 0x34, 0x00, 0x00, 0x00,
};

TEST(trace__reads_plain_and_packed_files)
{
    allocation_trace trace;
    write_file(small, strlen(small));
    EXPECT(trace_read(&trace, path, &problem));
    EXPECT_EQ(trace.op_count, 2);
    trace_fini(&trace);
    unlink(path);

    write_file(packed, sizeof packed);
    EXPECT(trace_read(&trace, path, &problem));
    EXPECT_EQ(trace.op_count, 2);
    trace_fini(&trace);
    unlink(path);
}

TEST(trace__refuses_a_packed_file_that_is_cut_anywhere)
{
    for (size_t cut = 0; cut < sizeof packed; cut++) {
        allocation_trace trace;
        write_file(packed, cut);
        bool is_read = trace_read(&trace, path, &problem);
        unlink(path);
        if (is_read)
            fail_msg("read what was cut at %zu of %zu bytes", cut, sizeof packed);
    }
}

TEST(trace__refuses_a_packed_file_that_is_damaged)
{
    allocation_trace trace;
    unsigned char damaged[sizeof packed];
    memcpy(damaged, packed, sizeof packed);
    damaged[sizeof packed / 2] ^= 0x10;
    write_file(damaged, sizeof damaged);
    EXPECT(!trace_read(&trace, path, &problem));
    EXPECT(problem.message[0]);
    unlink(path);
}

TEST(trace__says_why_a_file_cannot_be_opened)
{
    allocation_trace trace;
    EXPECT(!trace_read(&trace, "/nowhere/at/all.csv", &problem));
    EXPECT(strstr(problem.message, "No such file"));
    EXPECT(!trace_read(&trace, "/", &problem));
    EXPECT(strstr(problem.message, "folder"));
}

TEST(trace__is_called_as_its_file_without_folder_and_endings)
{
    char name[32];
    trace_name(name, sizeof name, "a/b/lstm.csv.gz");
    assert_string_equal(name, "lstm");
    trace_name(name, sizeof name, "lstm.train.csv");
    assert_string_equal(name, "lstm.train");
    trace_name(name, sizeof name, ".csv");
    assert_string_equal(name, ".csv");
    trace_name(name, sizeof name, "a/");
    assert_string_equal(name, "a/");
}

TEST(trace__reads_every_bundled_trace)
{
    static const char *const names[] = {"ffmpeg_filter", "ffmpeg_x264", "torchcpu_gpt2_train", "torchcpu_lstm_train",
                                        "torchcpu_kvdecode_30k"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        allocation_trace trace;
        char file[512];
        snprintf(file, sizeof file, "%s/traces/%s.csv.gz", TEST_SOURCE_DIR, names[i]);
        if (!trace_read(&trace, file, &problem))
            fail_msg("%s, line %llu: %s", names[i], (unsigned long long)problem.line, problem.message);
        EXPECT(trace.op_count > 10000);
        trace_fini(&trace);
    }
}

/* A line of that collection's own table: "| own/x.csv | ops | preamble | peak | bound | ...". */
static bool
check_collection_line(const char *folder, char *line)
{
    char file[1024], *fields[6] = {0}, *rest;
    unsigned count = 0;
    for (char *field = strtok_r(line, "|", &rest); field && count < 6; field = strtok_r(NULL, "|", &rest))
        fields[count++] = field + strspn(field, " ");
    if (count < 6 || !strstr(fields[0], ".csv"))
        return false;
    fields[0][strcspn(fields[0], " ")] = '\0';

    allocation_trace trace;
    snprintf(file, sizeof file, "%s/%s", folder, fields[0]);
    if (!trace_read(&trace, file, &problem))
        fail_msg("%s, line %llu: %s", file, (unsigned long long)problem.line, problem.message);
    EXPECT_EQ(trace.op_count, strtoull(fields[1], NULL, 10));
    EXPECT_EQ(trace.peak_live_bytes, strtoull(fields[3], NULL, 10));
    if (strtoull(fields[4], NULL, 10))
        EXPECT_EQ(trace.bound_bytes, strtoull(fields[4], NULL, 10));
    trace_fini(&trace);
    return true;
}

TEST(trace__finds_the_peaks_and_bounds_that_the_large_collection_states)
{
    char file[512], line[1024];
    unsigned checked = 0;
    const char *folder = getenv("DCMEM_TRACES");
    if (!folder)
        folder = TEST_SOURCE_DIR "/../shared/traces";
    snprintf(file, sizeof file, "%s/README.md", folder);
    FILE *table = fopen(file, "r");
    if (!table)
        SKIP("no collection of traces in the folder that DCMEM_TRACES names");
    while (fgets(line, sizeof line, table))
        checked += check_collection_line(folder, line);
    fclose(table);
    EXPECT(checked > 0);
}
