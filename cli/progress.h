/* progress.h: one line on standard error that shows how far a long piece of work has come.
 *
 * It appears only on a terminal, only when the work has run for two seconds, and leaves nothing behind. Calls are
 * cheap enough for every round, not for every operation. */
#ifndef DCMEM_CLI_PROGRESS_H
#define DCMEM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress_bar {
    bool is_shown_at_all; /* standard error is a terminal and nobody asked for quiet */
    bool is_on_screen;
    uint64_t total;
    uint64_t begin_ns, drawn_ns;
    char label[48];
} progress_bar;

/* `total` steps are to come; it may grow or shrink later by setting the field. */
void progress_begin(progress_bar *progress, uint64_t total, bool is_quiet);

/* What is being done now: a short word or two. */
void progress_label(progress_bar *progress, const char *label);

void progress_step(progress_bar *progress, uint64_t done);

/* Wipes the line: call it before printing anything else. */
void progress_end(progress_bar *progress);

/* How much of `width` cells is full: pure. */
unsigned progress_fill(uint64_t done, uint64_t total, unsigned width);

#endif
