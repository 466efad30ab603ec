/* replay.c: the command: which traces, on which backend, told how. */
#include "cli/replay.h"

#include "cli/choose.h"
#include "cli/cli.h"
#include "cli/numbers.h"
#include "cli/options.h"
#include "cli/report.h"

#include <dcmem/testing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room beyond the bound for a pool that rounds and scatters. */
#define HEADROOM(bytes) ((bytes) + (bytes) / 4)

#define MOST_ROUNDS  100000u
#define MOST_SECONDS 86400u

static const char *const sizings[] = {"power-of-two", "default", NULL};
static const dcmem_sizing sizing_of[] = {DCMEM_SIZING_POWER_OF_TWO, DCMEM_SIZING_DEFAULT};
static const char *const policies[] = {"loose", "tight", "default", NULL};
static const dcmem_policy policy_of[] = {DCMEM_POLICY_LOOSE, DCMEM_POLICY_TIGHT, DCMEM_POLICY_DEFAULT};

enum { SIZING_POWER_OF_TWO, SIZING_DEFAULT };
enum { POLICY_DEFAULT = 2 };

typedef struct replay_request {
    const char *backend_name;
    int sizing, policy;
    uint64_t rounds, seconds;
    bool has_threads, is_touched, has_buffers, is_json, is_summary, is_quiet;

    const dcmem_backend *backend;
    uint64_t free_bytes; /* of its first device */
    progress_bar progress;
    unsigned failed;
} replay_request;

/* ---- Where ---- */

static int
open_backend(replay_request *request)
{
    int code = CLI_OK;
    const char *name = request->backend_name;
    dcmem_device_info info = {.size = sizeof info};
    request->backend = choose_backend(&code, "replay", name);
    if (!request->backend)
        return code;
    if (dcmem_device_describe(&info, name, 0)) {
        cli_complain("replay", "the backend '%s' is not available: %s. See 'dcmem devices'.", name,
                     dcmem_last_detail()->message);
        return CLI_FAILED;
    }
    request->free_bytes = info.free_bytes;
    return CLI_OK;
}

/* A device that is large enough for any trace: address space only. The CPU's ways, so that the pool behaves as it
 * would there. */
static dcmem_result
create_reserved_only(dcmem_backend **out, uint64_t bound_bytes)
{
    dcmem_simulated_profile profile = {
        .size = sizeof profile,
        .name = "Reserved-only memory",
        .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED,
        .total_bytes = (bound_bytes / 4096 + 1) * 4096 * 4,
    };
    return dcmem_simulated_create(out, &profile, 1);
}

/* ---- One trace ---- */

/* Complains, and takes the trace off the list. */
static bool
refuse(replay_request *request, const char *path, const char *reason)
{
    progress_end(&request->progress);
    cli_complain("replay", "%s: %s", path, reason);
    request->failed++;
    return false;
}

static bool
measure_on(report_row *row, replay_request *request, const allocation_trace *trace, const dcmem_backend *backend,
           int sizing, uint64_t progress_base)
{
    char problem[512];
    measure_options options = {
        .backend = backend,
        .sizing = sizing_of[sizing],
        .policy = policy_of[request->policy],
        .rounds = request->rounds,
        .seconds = request->seconds,
        .has_threads = request->has_threads,
        .is_touched = request->is_touched,
        .has_buffers = request->has_buffers,
    };
    row->backend = row->is_simulated ? "simulated" : backend->name;
    if (!measure_trace(&row->figures, trace, &options, &request->progress, progress_base, problem, sizeof problem))
        return refuse(request, row->path, problem);
    return true;
}

static bool
measure_simulated(report_row *row, replay_request *request, const allocation_trace *trace, int sizing,
                  uint64_t progress_base)
{
    char text[160];
    dcmem_backend *backend;
    if (request->is_touched) {
        snprintf(text, sizeof text, "skipped: touched both ways it needs %s, %s are free; leave --touch out",
                 text_of_bytes(2 * HEADROOM(trace->bound_bytes)).text, text_of_bytes(request->free_bytes).text);
        return refuse(request, row->path, text);
    }
    if (create_reserved_only(&backend, trace->bound_bytes))
        return refuse(request, row->path, dcmem_last_detail()->message);
    row->is_simulated = true;
    bool is_good = measure_on(row, request, trace, backend, sizing, progress_base);
    if (dcmem_simulated_destroy(backend) && is_good)
        return refuse(request, row->path, dcmem_last_detail()->message);
    return is_good;
}

static bool
replay_one(report_row *row, replay_request *request, const char *path, int sizing, uint64_t progress_base)
{
    allocation_trace trace;
    trace_problem problem;
    char text[320];

    *row = (report_row){.path = path};
    trace_name(row->name, sizeof row->name, path);
    progress_label(&request->progress, row->name);
    if (!trace_read(&trace, path, &problem)) {
        if (problem.line)
            snprintf(text, sizeof text, "line %llu: %s", (unsigned long long)problem.line, problem.message);
        else
            snprintf(text, sizeof text, "%s", problem.message);
        return refuse(request, path, text);
    }

    /* Touched memory is real memory, the driver's and the pool's at once. */
    uint64_t needed = HEADROOM(trace.bound_bytes) * (request->is_touched ? 2 : 1);
    bool is_good = needed > request->free_bytes
                       ? measure_simulated(row, request, &trace, sizing, progress_base)
                       : measure_on(row, request, &trace, request->backend, sizing, progress_base);
    trace_fini(&trace);
    return is_good;
}

/* ---- All traces ---- */

/* Replays each under each of the wanted sizings; only traces that went well under all of them are kept. */
static size_t
replay_all(report_row *rows[2], replay_request *request, int count, char **paths)
{
    const int wanted[2] = {request->is_summary ? SIZING_DEFAULT : request->sizing, SIZING_POWER_OF_TWO};
    unsigned passes = request->is_summary ? 2 : 1;
    size_t kept = 0;

    progress_begin(&request->progress, (uint64_t)count * passes * MEASURE_PROGRESS,
                   request->is_quiet || request->is_json);
    for (int i = 0; i < count; i++) {
        bool is_good = true;
        for (unsigned pass = 0; pass < passes && is_good; pass++) {
            uint64_t base = ((uint64_t)i * passes + pass) * MEASURE_PROGRESS;
            is_good = replay_one(&rows[pass][kept], request, paths[i], wanted[pass], base);
        }
        kept += is_good;
    }
    progress_end(&request->progress);
    return kept;
}

static void
print(const replay_request *request, report_row *rows[2], size_t count)
{
    report_settings settings = {
        .sizing = sizings[request->sizing],
        .policy = policies[request->policy],
        .has_threads = request->has_threads,
        .is_touched = request->is_touched,
        .has_buffers = request->has_buffers,
    };
    if (request->is_json)
        report_json(rows[0], count, &settings);
    else if (count && request->is_summary)
        report_summary(rows[0], rows[1], count);
    else if (count)
        report_tables(rows[0], count, &settings, !request->is_quiet);
}

static const char replay_text[] =
    "Replays recorded allocations twice in one process: straight through the driver, where every allocation and every "
    "free is a call, and through the pool. Rounds of both take turns. What it prints shows what pooling is worth for "
    "such a program: time per operation, and memory held beside the least that any allocator needs.\n"
    "A TRACE is a file of lines 'op,id,size,stream,t_ns', plain (.csv) or gzip (.csv.gz); a few come with dcmem. A "
    "trace that needs more memory than the device has free is replayed on memory that is only reserved.\n";

static const char *const replay_examples[] = {
    "dcmem replay traces/*.csv.gz",
    "Replays the bundled traces on the CPU and prints two tables, time and memory.",
    "dcmem replay --touch --policy tight --json my.csv",
    "Writes every page, as a real program does, keeps as little memory as possible, and prints JSON.",
    NULL,
};

/* Reads, measures and prints them all. */
static int
replay_traces(replay_request *request, int count, char **paths)
{
    int code = open_backend(request);
    if (code)
        return code;

    report_row *rows[2] = {cli_allocate((size_t)count, sizeof **rows), cli_allocate((size_t)count, sizeof **rows)};
    size_t kept = replay_all(rows, request, count, paths);
    print(request, rows, kept);
    free(rows[0]);
    free(rows[1]);
    return cli_finish("replay", request->failed ? CLI_FAILED : CLI_OK);
}

int
replay_main(int argc, char **argv)
{
    replay_request request = {.backend_name = "cpu", .sizing = SIZING_DEFAULT, .policy = POLICY_DEFAULT};
    const option_spec options[] = {
        OPTION_TEXT("backend", "NAME", &request.backend_name,
                    "The backend to replay on, its first device; 'dcmem devices' lists them, 'simulated' is always "
                    "there. Default: cpu."),
        OPTION_CHOICE("sizing", &request.sizing, sizings,
                      "How the pool rounds sizes up: to powers of two, or in eight steps an octave. Default: default."),
        OPTION_CHOICE("policy", &request.policy, policies,
                      "Keep blocks of all sizes near the threads (loose, fastest), give large ones back to be merged "
                      "(tight, leanest), or the first until memory is short. Default: default."),
        OPTION_NUMBER("rounds", "N", &request.rounds, 1, MOST_ROUNDS,
                      "Warm rounds each way. Default: about a second's worth, at least 5 (3 where those would take "
                      "more than 20 s, 1 where 3 would)."),
        OPTION_NUMBER(
            "seconds", "S", &request.seconds, 1, MOST_SECONDS,
            "About how long the warm rounds of a trace may take: the driver then plays fewer of them than the "
            "pool, and where not even one fits, its first round stands for them. For --touch, as fresh pages "
            "can take minutes a round."),
        OPTION_FLAG("threads", &request.has_threads,
                    "Play every stream of the trace in a thread of its own. A free waits for its allocation."),
        OPTION_FLAG(
            "touch", &request.is_touched,
            "Use each allocation once, both ways: write one byte of each page, as a fresh page costs the system "
            "work; where the memory is not the host's, have the device fill it."),
        OPTION_FLAG("buffers", &request.has_buffers, "Use buffers (checked handles) instead of raw memory."),
        OPTION_FLAG("json", &request.is_json, "Print one JSON object a trace, in an array."),
        OPTION_FLAG("summary", &request.is_summary, "Replay under both sizings and print one Markdown table of them."),
        OPTION_FLAG("quiet", &request.is_quiet, "No progress bar, no explanations below the tables."),
        OPTION_END,
    };
    const command_spec command = {
        .name = "replay",
        .operands = "TRACE...",
        .summary = "replay recorded allocations through the driver and through the pool",
        .text = replay_text,
        .options = options,
        .examples = replay_examples,
        .exits = "0 all traces were replayed.\n1 a trace could not be read or replayed; the others still were.",
    };

    int count;
    options_outcome outcome = options_parse(&count, &command, argc, argv);
    if (outcome == OPTIONS_HELP)
        return cli_finish("replay", CLI_OK);
    if (outcome == OPTIONS_WRONG)
        return CLI_USAGE;
    if (count == 0) {
        cli_complain("replay", "name at least one trace, for instance traces/*.csv.gz. See 'dcmem replay --help'.");
        return CLI_USAGE;
    }
    if (request.is_json && request.is_summary) {
        cli_complain("replay", "--json and --summary are two ways to print; choose one.");
        return CLI_USAGE;
    }
    return replay_traces(&request, count, argv);
}
