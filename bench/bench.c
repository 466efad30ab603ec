/* bench.c: the command `dcmem bench`. */
#include "bench/bench.h"

#include "bench/output.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ROUNDS   11u
#define DEFAULT_ROUND_MS 12u

dcmem_policy bench_policy = DCMEM_POLICY_LOOSE;
const char *bench_extra_peers;

static const char *const policies[] = {"loose", "tight", NULL};
static const dcmem_policy policy_values[] = {DCMEM_POLICY_LOOSE, DCMEM_POLICY_TIGHT};

typedef struct request {
    bool is_json, is_list, has_no_peers;
    int policy;
    uint64_t rounds, round_ms;
    const char *only, *extra;
    bool *wanted; /* of each case */
    unsigned wanted_count;
} request;

/* ---- What was asked for ---- */

static bool
choose_cases(request *asked, int count, char **words)
{
    asked->wanted = cli_allocate(bench_case_count, sizeof *asked->wanted);
    for (int word = 0; word < count; word++) {
        bool is_met = false;
        for (unsigned i = 0; i < bench_case_count; i++)
            if (bench_case_is_meant(&bench_cases[i], words[word]))
                is_met = asked->wanted[i] = true;
        if (is_met)
            continue;
        const char **names = cli_allocate(bench_case_count + 1, sizeof *names);
        for (unsigned i = 0; i < bench_case_count; i++)
            names[i] = bench_cases[i].name;
        const char *nearest = options_nearest(words[word], names);
        cli_complain("bench", "there is no case '%s'%s%s%s. 'dcmem bench --list' shows them all.", words[word],
                     nearest ? "; the nearest is '" : "", nearest ? nearest : "", nearest ? "'" : "");
        free(names);
        return false;
    }
    bool needs_drivers = false, needs_peers = false;
    for (unsigned i = 0; i < bench_case_count; i++) {
        bool is_driver_s = bench_cases[i].field == BENCH_FIELD_ROUTES;
        asked->wanted[i] |= count == 0 && !is_driver_s;
        asked->wanted_count += asked->wanted[i];
        needs_drivers |= asked->wanted[i] && is_driver_s;
        needs_peers |= asked->wanted[i] && !is_driver_s;
    }
    /* An allocator that was opened first becomes that of libraries which drivers share with it, but not of drivers. */
    asked->has_no_peers = needs_drivers;
    if (needs_drivers && needs_peers)
        cli_complain("bench", "the cases transfer-* use vendors' drivers, which do not bear other allocators in the "
                              "process. Measure them alone: 'dcmem bench transfer'.");
    return !(needs_drivers && needs_peers);
}

/* A name in --only that nobody has is a mistake, not an absent peer. */
static bool
check_only(const char *only)
{
    char copy[256];
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", only ? only : "");
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        bool is_known = strcmp(word, "none") == 0;
        for (unsigned i = 0; bench_peer_names[i]; i++)
            is_known |= strcmp(word, bench_peer_names[i]) == 0;
        if (is_known)
            continue;
        cli_complain("bench",
                     "there is no peer '%s'; known are glibc, jemalloc, mimalloc, tcmalloc and none. Others "
                     "come with --peer NAME=LIBRARY.",
                     word);
        return false;
    }
    return true;
}

static void
print_list(void)
{
    text_table table;
    table_init(&table);
    table_column(&table, TABLE_LEFT, "case", "");
    table_column(&table, TABLE_LEFT, "unit", "");
    table_column(&table, TABLE_LEFT, "question", "");
    for (unsigned i = 0; i < bench_case_count; i++) {
        table_cell(&table, "%s", bench_cases[i].name);
        table_cell(&table, "%s", bench_cases[i].unit);
        table_cell(&table, "%s", bench_cases[i].question);
    }
    table_print(&table, stdout);
    table_fini(&table);
}

/* ---- Who takes part ---- */

static void
add(bench_samples *samples, bench_role role, const char *name, const bench_allocator *allocator)
{
    if (samples->contenders < BENCH_CONTENDERS)
        samples->who[samples->contenders++] = (bench_contender){role, name, allocator};
}

static void
add_peers(bench_samples *samples, const bench_allocators *all)
{
    for (unsigned i = 0; i < all->peer_count; i++)
        add(samples, BENCH_ROLE_PEER, all->peers[i].name, &all->peers[i]);
}

static void
invite(bench_samples *samples, bench_field field, const bench_allocators *all)
{
    switch (field) {
    case BENCH_FIELD_ALLOCATORS:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        add(samples, BENCH_ROLE_FLOOR, "floor", &all->floor);
        add_peers(samples, all);
        break;
    case BENCH_FIELD_HANDLES:
        add(samples, BENCH_ROLE_DCMEM, "handle", &all->handle);
        add(samples, BENCH_ROLE_BESIDE, "raw", &all->dcmem);
        break;
    case BENCH_FIELD_NOSTATS:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->fresh);
        add(samples, BENCH_ROLE_BESIDE, all->nostats.name, &all->nostats);
        break;
    case BENCH_FIELD_UNCHECKED:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->fresh);
        add(samples, BENCH_ROLE_BESIDE, all->unchecked.name, &all->unchecked);
        break;
    case BENCH_FIELD_FAULTS:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        add(samples, BENCH_ROLE_BESIDE, "without a plan", &all->dcmem);
        break;
    case BENCH_FIELD_QUEUES:
        add(samples, BENCH_ROLE_DCMEM, "on a queue", &all->dcmem);
        add(samples, BENCH_ROLE_BESIDE, "raw", &all->dcmem);
        add(samples, BENCH_ROLE_METHOD, "driver", &all->dcmem);
        break;
    case BENCH_FIELD_TRANSFERS:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        for (unsigned i = 0; bench_transfer_ways[i]; i++)
            add(samples, i ? BENCH_ROLE_METHOD : BENCH_ROLE_PEER, bench_transfer_ways[i], &all->dcmem);
        break;
    case BENCH_FIELD_ROUTES:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        for (unsigned i = 0; bench_route_ways[i]; i++)
            add(samples, i ? BENCH_ROLE_METHOD : BENCH_ROLE_PEER, bench_route_ways[i], &all->dcmem);
        break;
    case BENCH_FIELD_LIBRARIES:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        for (unsigned i = 0; i < all->peer_count; i++)
            if (strcmp(all->peers[i].name, "glibc") != 0) /* nobody chooses to load it */
                add(samples, BENCH_ROLE_PEER, all->peers[i].name, &all->peers[i]);
        break;
    case BENCH_FIELD_DCMEM:
        add(samples, BENCH_ROLE_DCMEM, "dcmem", &all->dcmem);
        break;
    }
}

/* ---- Running ---- */

typedef struct progress_of_rounds {
    progress_bar bar;
    uint64_t done;
} progress_of_rounds;

static void
round_is_done(void *context)
{
    progress_of_rounds *progress = context;
    progress_step(&progress->bar, ++progress->done);
}

static unsigned
rounds_of(const bench_case *which, const request *asked)
{
    return which->most_rounds && which->most_rounds < asked->rounds ? which->most_rounds : (unsigned)asked->rounds;
}

/* Cases of devices that this machine lacks are left out, whoever asked for them. */
static void
leave_out_absent(request *asked)
{
    const char *told = NULL;
    for (unsigned i = 0; i < bench_case_count; i++) {
        const char *name = bench_case_backend(&bench_cases[i]);
        uint32_t count = 0;
        if (!asked->wanted[i] || !name)
            continue;
        const dcmem_backend *backend = dcmem_backend_find(name);
        dcmem_result result = backend->count(&count, backend);
        if (!result && count > 0)
            continue;
        asked->wanted[i] = false;
        asked->wanted_count--;
        if (!told || strcmp(told, name) != 0)
            cli_complain("bench", "cases of %s are left out: %s", name,
                         result ? dcmem_last_detail()->message : "it finds no device");
        told = name;
    }
}

/* False when dcmem itself failed in a case. */
static bool
run_cases(const request *asked, const bench_allocators *all, const bench_setting *setting)
{
    bench_result **results = cli_allocate(asked->wanted_count, sizeof *results);
    progress_of_rounds progress = {.done = 0};
    uint64_t total = 0;
    for (unsigned i = 0; i < bench_case_count; i++)
        total += asked->wanted[i] ? rounds_of(&bench_cases[i], asked) : 0;

    unsigned count = 0;
    bool is_whole = true;
    progress_begin(&progress.bar, total, false);
    for (unsigned i = 0; i < bench_case_count; i++) {
        if (!asked->wanted[i])
            continue;
        bench_result *result = results[count++] = cli_allocate(1, sizeof *result);
        result->which = &bench_cases[i];
        progress_label(&progress.bar, result->which->name);
        invite(&result->samples, result->which->field, all);
        bench_measure(&result->samples, result->which, rounds_of(result->which, asked), round_is_done, &progress);
        result->outcome = bench_conclude(&result->samples);
        if (result->outcome.dcmem < 0) {
            is_whole = false;
            progress_end(&progress.bar);
            cli_complain("bench", "dcmem failed in case %s: %s", result->which->name, dcmem_last_detail()->message);
        }
    }
    progress_end(&progress.bar);

    if (asked->is_json) {
        json_writer json;
        json_init(&json, stdout);
        json_array(&json);
        for (unsigned i = 0; i < count; i++)
            bench_print_json(&json, results[i], setting);
        json_end(&json);
        json_finish(&json);
    } else {
        bench_print_tables((const bench_result *const *)results, count, setting, all, (unsigned)asked->rounds);
    }
    for (unsigned i = 0; i < count; i++)
        free(results[i]);
    free(results);
    return is_whole;
}

static int
run(request *asked)
{
    static bench_allocators all;
    bench_policy = policy_values[asked->policy];
    bench_extra_peers = asked->extra;
    bench_round_ns = (double)asked->round_ms * 1e6;
    const bench_wanted wanted = {
        .policy = bench_policy,
        .only = asked->has_no_peers ? "none" : asked->only,
        .extra = asked->has_no_peers ? NULL : asked->extra,
    };
    if (!bench_allocators_open(&all, &wanted)) {
        cli_complain("bench", "no manager on the CPU: %s", dcmem_last_detail()->message);
        return CLI_FAILED;
    }
    leave_out_absent(asked);
    bench_setting setting = bench_setting_here(policies[asked->policy]);
    bool is_whole = run_cases(asked, &all, &setting);
    bench_allocators_close(&all);
    return is_whole ? CLI_OK : CLI_FAILED;
}

static const char bench_text[] =
    "Asks the questions of bench/ of dcmem, of the allocators that are installed, and of a floor: a "
    "thread-local list of ready blocks. Rounds take all of them in turn, so that a slow minute of the "
    "machine meets everybody.\n"
    "The cases transfer-* copy between host and device, 4 KiB to 512 MiB: dcmem's router beside the driver's "
    "blocking copy, its queue, and the host's own move through a map, with plain stores, with stores round "
    "the caches, and by two threads. At each size dcmem should reach 0.95 of the best of them; bench/compare "
    "judges it. What needs a backend that is not here is left out. They are measured alone, and only when "
    "named.\n"
    "A CASE is a name, the words that names "
    "begin with, or a pattern with *.";

int
bench_main(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], "@resident") == 0)
        return bench_resident_child(argc - 1, argv + 1);

    request asked = {.rounds = DEFAULT_ROUNDS, .round_ms = DEFAULT_ROUND_MS};
    const option_spec options[] = {
        OPTION_CHOICE("policy", &asked.policy, policies,
                      "How much free memory dcmem keeps near the threads. Default: "
                      "loose."),
        OPTION_NUMBER("rounds", "N", &asked.rounds, 1, BENCH_MAX_ROUNDS,
                      "Rounds of each case; resident cases take one. Default: 11."),
        OPTION_NUMBER("round-ms", "N", &asked.round_ms, 1, 1000,
                      "Milliseconds that one contender's round should last. Default: 12."),
        OPTION_TEXT("only", "PEER,...", &asked.only,
                    "Compare with these of glibc, jemalloc, mimalloc, tcmalloc, or none. Default: all that are "
                    "installed."),
        OPTION_TEXT("peer", "NAME=LIBRARY,...", &asked.extra, "Also compare with these libraries' malloc and free."),
        OPTION_FLAG("list", &asked.is_list, "List the cases and their questions, and exit."),
        OPTION_FLAG("json", &asked.is_json, "Print JSON instead of tables."),
        OPTION_END,
    };
    static const char *const examples[] = {
        "dcmem bench",
        "All cases: about two minutes.",
        "dcmem bench fixed churn",
        "All fixed sizes, and churn.",
        "dcmem bench 'churn*' --policy tight",
        "All cases whose name begins with churn, with the lean policy.",
        "dcmem bench --peer mimalloc3=/opt/lib/libmimalloc.so.3 fixed-64B",
        "One more peer.",
        "dcmem bench transfer-opencl",
        "Copies to and from a device of OpenCL: dcmem's choice of a route beside each route by hand.",
        NULL,
    };
    const command_spec command = {
        .name = "bench",
        .operands = "[CASE...]",
        .summary = "what dcmem costs, beside other allocators in the same run",
        .text = bench_text,
        .options = options,
        .examples = examples,
        .exits = "0 all cases were measured; 1 dcmem failed in one.",
    };

    int operands = 0;
    options_outcome outcome = options_parse(&operands, &command, argc, argv);
    if (outcome != OPTIONS_GO)
        return outcome == OPTIONS_HELP ? CLI_OK : CLI_USAGE;
    if (asked.is_list) {
        print_list();
        return cli_finish("bench", CLI_OK);
    }
    int code = CLI_USAGE;
    if (check_only(asked.only) && choose_cases(&asked, operands, argv))
        code = run(&asked);
    free(asked.wanted);
    return cli_finish("bench", code);
}
