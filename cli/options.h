/* options.h: options of a command, described once: the parser and --help are both made from the description.
 *
 *     bool is_json = false;
 *     uint64_t rounds = 0;
 *     int sizing = 0;
 *     const option_spec options[] = {
 *         OPTION_FLAG("json", &is_json, "Print JSON instead of a table."),
 *         OPTION_NUMBER("rounds", "N", &rounds, 1, 1000, "Warm rounds. Default: about a second's worth."),
 *         OPTION_CHOICE("sizing", &sizing, sizings, "How sizes are rounded. Default: default."),
 *         OPTION_END,
 *     };
 *
 * Options are "--name", "--name value" or "--name=value", before, between and after the operands; "--" ends them.
 * Every command also has --help. Outputs keep their value when the option is not given. */
#ifndef DCMEM_CLI_OPTIONS_H
#define DCMEM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_KIND_FLAG,   /* bool *: set */
    OPTION_KIND_NUMBER, /* uint64_t *: a number from minimum to maximum */
    OPTION_KIND_CHOICE, /* int *: index among `choices` */
    OPTION_KIND_TEXT    /* const char **: the word itself */
} option_kind;

typedef struct option_spec {
    const char *name; /* without the dashes; NULL ends the list */
    option_kind kind;
    void *out;
    const char *value; /* how --help calls the value */
    uint64_t minimum, maximum;
    const char *const *choices; /* ends with NULL */
    const char *help;           /* whole sentences, the default among them */
} option_spec;

/* An option is a line. */
/* clang-format off */
#define OPTION_FLAG(name, out, help)                      {name, OPTION_KIND_FLAG, out, 0, 0, 0, 0, help}
#define OPTION_NUMBER(name, value, out, minimum, maximum, help)                                                        \
    {name, OPTION_KIND_NUMBER, out, value, minimum, maximum, 0, help}
#define OPTION_CHOICE(name, out, choices, help) {name, OPTION_KIND_CHOICE, out, 0, 0, 0, choices, help}
#define OPTION_TEXT(name, value, out, help)     {name, OPTION_KIND_TEXT, out, value, 0, 0, 0, help}
#define OPTION_END                              {0, OPTION_KIND_FLAG, 0, 0, 0, 0, 0, 0}
/* clang-format on */

/* A command as --help shows it. */
typedef struct command_spec {
    const char *name;            /* "replay" */
    const char *operands;        /* "TRACE...", "" for none */
    const char *summary;         /* one line */
    const char *text;            /* what it does: paragraphs, separated by newlines */
    const option_spec *options;  /* ends with OPTION_END */
    const char *const *examples; /* pairs of a line to type and what it does; ends with NULL */
    const char *exits;           /* lines: "0 all were replayed.\n1 one could not be." */
} command_spec;

typedef enum options_outcome {
    OPTIONS_GO,   /* outputs are set, operands are argv[0] to argv[*out_operands - 1] */
    OPTIONS_HELP, /* --help was asked for and printed: exit with 0 */
    OPTIONS_WRONG /* complained: exit with CLI_USAGE */
} options_outcome;

/* `argv` holds the words behind the command's name, `argc` of them; operands are moved to its front. */
options_outcome options_parse(int *out_operands, const command_spec *command, int argc, char **argv);

void options_print_help(const command_spec *command);

/* The word of `words` (ends with NULL) that is nearest to `word`, or NULL when none is near: for "did you mean". */
const char *options_nearest(const char *word, const char *const *words);

#endif
