/* main.c: the program dcmem: which command. */
#include "bench/bench.h"
#include "cli/cli.h"
#include "cli/devices.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/replay.h"

#include <dcmem/dcmem.h>
#include <stdio.h>
#include <string.h>

static int version_main(int argc, char **argv);
static int help_main(int argc, char **argv);

/* name, function, summary */
#define COMMANDS(X)                                                                                                    \
    X("devices", devices_main, "list backends and devices, or measure copies between them")                            \
    X("replay", replay_main, "replay recorded allocations through the driver and through the pool")                    \
    X("bench", bench_main, "measure dcmem beside other allocators")                                                    \
    X("version", version_main, "say which dcmem this is")                                                              \
    X("help", help_main, "tell more of a command")

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
#define X(name, run, summary) {name, run, summary},
    COMMANDS(X)
#undef X
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

/* ---- version ---- */

static void
print_version(bool is_json)
{
    if (!is_json) {
        printf("dcmem %s\n%s\n", dcmem_version(), dcmem_build());
        return;
    }
    json_writer json;
    json_init(&json, stdout);
    json_object(&json);
    json_field_string(&json, "version", dcmem_version());
    json_field_string(&json, "headers", DCMEM_VERSION);
    json_field_string(&json, "build", dcmem_build());
    json_end(&json);
    json_finish(&json);
}

static const char *const version_examples[] = {
    "dcmem version",
    "Prints two lines: the version, and how it was built.",
    "dcmem version --json",
    "The same for programs, with the version of the headers that the program was built with.",
    NULL,
};

static int
version_main(int argc, char **argv)
{
    bool is_json = false;
    const option_spec options[] = {
        OPTION_FLAG("json", &is_json, "Print one JSON object."),
        OPTION_END,
    };
    const command_spec command = {
        .name = "version",
        .operands = "",
        .summary = "say which dcmem this is",
        .text = "Prints the version of the library that was loaded, and one line on how it was built: what to put into "
                "a report of a defect.\n",
        .options = options,
        .examples = version_examples,
        .exits = "0 it was printed.\n1 it could not be printed.",
    };

    int count;
    options_outcome outcome = options_parse(&count, &command, argc, argv);
    if (outcome == OPTIONS_HELP)
        return cli_finish("version", CLI_OK);
    if (outcome == OPTIONS_WRONG)
        return CLI_USAGE;
    if (count) {
        cli_complain("version", "it takes no operand, but '%s' is one. See 'dcmem version --help'.", argv[0]);
        return CLI_USAGE;
    }
    print_version(is_json);
    return cli_finish("version", CLI_OK);
}

/* ---- help ---- */

static void
print_overview(FILE *out)
{
    fputs("dcmem: one memory manager for every compute device that a program touches\n\n"
          "Usage: dcmem COMMAND [OPTION...] [OPERAND...]\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n'dcmem COMMAND --help' explains a command, its options and its exit codes. All print JSON with --json.\n"
          "Exit codes: 0 done, 1 the work failed, 2 wrong usage.\n\n"
          "Try: dcmem devices\n"
          "     dcmem replay traces/*.csv.gz\n",
          out);
}

static int
run_command(const char *name, int argc, char **argv)
{
    const char *names[COMMAND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc, argv);
        names[i] = commands[i].name;
    }
    const char *nearest = options_nearest(name, names);
    if (nearest)
        cli_complain(NULL, "there is no command '%s'; did you mean '%s'? See 'dcmem help'.", name, nearest);
    else
        cli_complain(NULL, "there is no command '%s'. See 'dcmem help'.", name);
    return CLI_USAGE;
}

static const char *const help_examples[] = {
    "dcmem help", "Lists the commands.", "dcmem help replay", "The same as 'dcmem replay --help'.", NULL,
};

static void
print_json_overview(void)
{
    json_writer json;
    json_init(&json, stdout);
    json_array(&json);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        json_object(&json);
        json_field_string(&json, "command", commands[i].name);
        json_field_string(&json, "summary", commands[i].summary);
        json_end(&json);
    }
    json_end(&json);
    json_finish(&json);
}

static int
help_main(int argc, char **argv)
{
    bool is_json = false;
    const option_spec options[] = {
        OPTION_FLAG("json", &is_json, "Print the list of commands as JSON."),
        OPTION_END,
    };
    const command_spec command = {
        .name = "help",
        .operands = "[COMMAND]",
        .summary = "tell more of a command",
        .text = "Lists the commands, or explains one.\n",
        .options = options,
        .examples = help_examples,
        .exits = "0 it was printed.\n1 it could not be printed.",
    };

    int count;
    options_outcome outcome = options_parse(&count, &command, argc, argv);
    if (outcome == OPTIONS_HELP)
        return cli_finish("help", CLI_OK);
    if (outcome == OPTIONS_WRONG)
        return CLI_USAGE;
    if (count > 1) {
        cli_complain("help", "one command at a time, not also '%s'.", argv[1]);
        return CLI_USAGE;
    }
    char help_word[] = "--help";
    if (count == 1)
        return run_command(argv[0], 1, (char *[]){help_word, NULL});
    if (is_json)
        print_json_overview();
    else
        print_overview(stdout);
    return cli_finish("help", CLI_OK);
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help_main(0, argv);
    if (strcmp(word, "--version") == 0)
        return version_main(argc - 2, argv + 2);
    return run_command(word, argc - 2, argv + 2);
}
