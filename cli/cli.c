/* cli.c: complaints, memory and the last flush. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
cli_complain(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* Results printed so far come first where both streams share a terminal. */
    fflush(stdout);
    fprintf(stderr, "dcmem%s%s: ", command ? " " : "", command ? command : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void
die_of_hunger(size_t count, size_t bytes)
{
    cli_complain(NULL, "the host has no memory for %zu x %zu bytes; close other programs or replay less at once", count,
                 bytes);
    exit(CLI_FAILED);
}

void *
cli_allocate(size_t count, size_t bytes)
{
    void *block = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!block)
        die_of_hunger(count, bytes);
    return block;
}

void *
cli_grow(void *block, size_t count, size_t bytes)
{
    void *grown = reallocarray(block, count ? count : 1, bytes ? bytes : 1);
    if (!grown)
        die_of_hunger(count, bytes);
    return grown;
}

int
cli_finish(const char *command, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    cli_complain(command, "the output could not be written: %s", strerror(errno));
    return code ? code : CLI_FAILED;
}
