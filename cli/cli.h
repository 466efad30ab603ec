/* cli.h: what every command of the program shares: exit codes, complaints, memory that is there or the program ends.
 *
 * Results go to standard output, everything else to standard error. A complaint is one line that says what is wrong
 * and what to do next. */
#ifndef DCMEM_CLI_CLI_H
#define DCMEM_CLI_CLI_H

#include <stddef.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Prints "dcmem COMMAND: ..." and a newline to standard error; `command` may be NULL. */
void cli_complain(const char *command, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* `count` zeroed elements; ends the program with CLI_FAILED when the host has no memory. Free with free(). */
void *cli_allocate(size_t count, size_t bytes);

/* The same block with `count` elements, the new ones not zeroed; what it was is gone. */
void *cli_grow(void *block, size_t count, size_t bytes);

/* Flushes standard output. CLI_FAILED, with a complaint, when what was printed did not all arrive (a full disk). */
int cli_finish(const char *command, int code);

#endif
