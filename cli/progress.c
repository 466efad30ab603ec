/* progress.c: the line. */
#include "cli/progress.h"

#include "cli/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS 2000000000u /* shorter work needs no bar */
#define REDRAW_NS   100000000u
#define WIDTH       30u

static bool
is_terminal(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDERR_FILENO) && !(kind && strcmp(kind, "dumb") == 0);
}

void
progress_begin(progress_bar *progress, uint64_t total, bool is_quiet)
{
    memset(progress, 0, sizeof *progress);
    progress->is_shown_at_all = !is_quiet && is_terminal();
    progress->total = total;
    progress->begin_ns = now_ns();
}

void
progress_label(progress_bar *progress, const char *label)
{
    snprintf(progress->label, sizeof progress->label, "%s", label);
}

unsigned
progress_fill(uint64_t done, uint64_t total, unsigned width)
{
    if (total == 0 || done >= total)
        return width;
    return (unsigned)((double)done / (double)total * width);
}

static void
draw(const progress_bar *progress, uint64_t done, uint64_t elapsed_ns)
{
    unsigned full = progress_fill(done, progress->total, WIDTH);
    unsigned percent = progress_fill(done, progress->total, 100);
    double left_s = done ? (double)elapsed_ns / 1e9 / (double)done * (double)(progress->total - done) : 0;

    fprintf(stderr, "\r\033[K[");
    for (unsigned i = 0; i < WIDTH; i++)
        fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3u %%  %s", percent, progress->label);
    if (done)
        fprintf(stderr, ", %.0f s left", left_s);
    fflush(stderr);
}

void
progress_step(progress_bar *progress, uint64_t done)
{
    if (!progress->is_shown_at_all)
        return;
    uint64_t now = now_ns();
    if (now - progress->begin_ns < PATIENCE_NS || now - progress->drawn_ns < REDRAW_NS)
        return;
    draw(progress, done < progress->total ? done : progress->total, now - progress->begin_ns);
    progress->drawn_ns = now;
    progress->is_on_screen = true;
}

void
progress_end(progress_bar *progress)
{
    if (!progress->is_on_screen)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->is_on_screen = false;
}
