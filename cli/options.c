/* options.c: parsing and help. */
#include "cli/options.h"

#include "cli/cli.h"
#include "cli/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH     100u /* of help's lines */
#define MAX_WORD  32u  /* longer words are near to nothing */
#define MAX_NAMES 32u

static const option_spec help_option = OPTION_FLAG("help", NULL, "Print this and exit.");

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be added, removed or changed to turn one word into the other. */
static unsigned
distance(const char *from, const char *to)
{
    unsigned row[MAX_WORD + 1];
    size_t from_length = strlen(from), to_length = strlen(to);
    if (from_length > MAX_WORD || to_length > MAX_WORD)
        return MAX_WORD;

    for (unsigned j = 0; j <= to_length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= from_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= to_length; j++) {
            unsigned change = diagonal + (from[i - 1] != to[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[to_length];
}

const char *
options_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    unsigned best = least(3, (unsigned)strlen(word) / 2 + 1);
    for (; *words; words++) {
        bool is_begun = word[0] && strncmp(*words, word, strlen(word)) == 0;
        unsigned far = is_begun ? 0 : distance(word, *words);
        if (far < best) {
            best = far;
            nearest = *words;
        }
    }
    return nearest;
}

/* ---- Help ---- */

static void
print_paragraphs(const char *text, unsigned indent)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char *paragraph = cli_allocate(length + 1, 1);
        memcpy(paragraph, text, length);
        table_note(stdout, indent, WIDTH, paragraph);
        free(paragraph);
        text += length;
        text += *text == '\n';
    }
}

static void
print_option(const option_spec *option)
{
    printf("  --%s", option->name);
    if (option->kind == OPTION_KIND_CHOICE)
        for (unsigned i = 0; option->choices[i]; i++)
            printf("%c%s", i ? '|' : ' ', option->choices[i]);
    else if (option->value)
        printf(" %s", option->value);
    fputc('\n', stdout);
    print_paragraphs(option->help, 6);
}

void
options_print_help(const command_spec *command)
{
    printf("dcmem %s: %s\n\n", command->name, command->summary);
    printf("Usage: dcmem %s [OPTION...]%s%s\n\n", command->name, command->operands[0] ? " " : "", command->operands);
    print_paragraphs(command->text, 0);
    printf("\nOptions:\n");
    for (const option_spec *option = command->options; option->name; option++)
        print_option(option);
    print_option(&help_option);
    printf("\nExamples:\n");
    for (unsigned i = 0; command->examples[i]; i += 2) {
        printf("  %s\n", command->examples[i]);
        print_paragraphs(command->examples[i + 1], 6);
    }
    printf("\nExit codes:\n");
    print_paragraphs(command->exits, 2);
    printf("  2 wrong usage.\n");
}

/* ---- Parsing ---- */

/* The rest of one line of complaint: what to do next. */
static options_outcome
wrong(const command_spec *command, const char *problem, const char *word)
{
    cli_complain(command->name, "%s: '%s'. See 'dcmem %s --help'.", problem, word, command->name);
    return OPTIONS_WRONG;
}

static const option_spec *
find_option(const command_spec *command, const char *name, size_t length)
{
    if (strlen(help_option.name) == length && strncmp(help_option.name, name, length) == 0)
        return &help_option;
    for (const option_spec *option = command->options; option->name; option++)
        if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

static options_outcome
unknown_option(const command_spec *command, const char *word)
{
    const char *names[MAX_NAMES] = {help_option.name};
    unsigned count = 1;
    for (const option_spec *option = command->options; option->name && count + 1 < MAX_NAMES; option++)
        names[count++] = option->name;

    const char *nearest = options_nearest(word + strspn(word, "-"), names);
    if (!nearest)
        return wrong(command, "there is no such option", word);
    cli_complain(command->name, "there is no option '%s'; did you mean '--%s'? See 'dcmem %s --help'.", word, nearest,
                 command->name);
    return OPTIONS_WRONG;
}

static options_outcome
set_number(const command_spec *command, const option_spec *option, const char *word)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(word, &end, 10);
    bool is_number = word[0] >= '0' && word[0] <= '9' && *end == '\0' && errno == 0;
    if (!is_number || number < option->minimum || number > option->maximum) {
        cli_complain(command->name, "--%s wants a whole number from %llu to %llu, not '%s'.", option->name,
                     (unsigned long long)option->minimum, (unsigned long long)option->maximum, word);
        return OPTIONS_WRONG;
    }
    *(uint64_t *)option->out = number;
    return OPTIONS_GO;
}

static options_outcome
set_choice(const command_spec *command, const option_spec *option, const char *word)
{
    char all[256] = "";
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], word) == 0) {
            *(int *)option->out = i;
            return OPTIONS_GO;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", option->choices[i]);
    }
    cli_complain(command->name, "--%s is one of %s, not '%s'.", option->name, all, word);
    return OPTIONS_WRONG;
}

static options_outcome
set_value(const command_spec *command, const option_spec *option, const char *word)
{
    if (option->kind == OPTION_KIND_NUMBER)
        return set_number(command, option, word);
    if (option->kind == OPTION_KIND_CHOICE)
        return set_choice(command, option, word);
    *(const char **)option->out = word;
    return OPTIONS_GO;
}

/* Takes the option at argv[*index], and its value where that is a word of its own. */
static options_outcome
take_option(const command_spec *command, int argc, char **argv, int *index)
{
    const char *word = argv[*index];
    const char *name = word + 2;
    const char *equals = strchr(word, '=');
    size_t length = equals && equals >= name ? (size_t)(equals - name) : strlen(name);
    const option_spec *option = word[1] == '-' ? find_option(command, name, length) : NULL;
    if (!option)
        return unknown_option(command, word);
    if (option->kind == OPTION_KIND_FLAG) {
        if (equals)
            return wrong(command, "this option takes no value", word);
        if (option == &help_option) {
            options_print_help(command);
            return OPTIONS_HELP;
        }
        *(bool *)option->out = true;
        return OPTIONS_GO;
    }
    if (equals)
        return set_value(command, option, equals + 1);
    if (*index + 1 >= argc)
        return wrong(command, "this option needs a value", word);
    return set_value(command, option, argv[++*index]);
}

options_outcome
options_parse(int *out_operands, const command_spec *command, int argc, char **argv)
{
    int operands = 0;
    bool is_ended = false;
    for (int i = 0; i < argc; i++) {
        if (!is_ended && strcmp(argv[i], "--") == 0) {
            is_ended = true;
        } else if (is_ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[operands++] = argv[i];
        } else {
            options_outcome outcome = take_option(command, argc, argv, &i);
            if (outcome != OPTIONS_GO)
                return outcome;
        }
    }
    *out_operands = operands;
    return OPTIONS_GO;
}
