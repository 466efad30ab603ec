/* move.c: copies and fills: ordinary stores while the caches hold what is moved, stores round them beyond. */
#include "drivers/cpu/move.h"

#include "base/size.h"
#include "base/stream.h"
#include "drivers/cpu/tuning.h"

#include <string.h>

#define MAX_PATTERN 16u

/* A pattern repeated over more than a line, so that a line can begin anywhere in the pattern. */
typedef struct repeated {
    char bytes[DCMI_LINE + MAX_PATTERN];
    uint32_t period;
} repeated;

static size_t
bytes_to_line(const char *to, size_t bytes)
{
    return dcmi_min(bytes, -(uintptr_t)to & (DCMI_LINE - 1));
}

static void
copy_cached(char *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

/* Fills less than a line. */
static void
fill_edge(char *to, const repeated *pattern, size_t phase, size_t bytes)
{
    memcpy(to, pattern->bytes + phase % pattern->period, bytes);
}

static void
fill_with(char *to, const repeated *pattern, size_t bytes, void (*fill)(char *, const char *, size_t))
{
    size_t head = bytes_to_line(to, bytes);
    size_t body = dcmi_round_down(bytes - head, DCMI_LINE);
    fill_edge(to, pattern, 0, head);
    fill(to + head, pattern->bytes + head % pattern->period, body);
    fill_edge(to + head + body, pattern, head, bytes - head - body);
}

static void
fill_cached(char *to, const void *pattern, size_t bytes)
{
    fill_with(to, pattern, bytes, dcmi_stream_best()->fill_cached);
}

static void
fill_streamed(char *to, const void *pattern, size_t bytes)
{
    fill_with(to, pattern, bytes, dcmi_stream_best()->fill);
}

static dcmi_tuning copies = {.cached = copy_cached, .streamed = dcmi_stream_move};
static dcmi_tuning fills = {.cached = fill_cached, .streamed = fill_streamed};

void
dcmi_cpu_copy(void *to, const void *from, size_t bytes)
{
    if (bytes >= DCMI_TUNING_LEAST)
        dcmi_tuning_move(&copies, to, from, bytes);
    else if (bytes > 0)
        memcpy(to, from, bytes);
}

static bool
is_one_byte(const unsigned char *pattern, uint32_t bytes)
{
    return memcmp(pattern, pattern + 1, bytes - 1) == 0;
}

static repeated
repeat(const void *pattern, uint32_t pattern_bytes)
{
    repeated lines = {.period = pattern_bytes};
    memcpy(lines.bytes, pattern, pattern_bytes);
    for (size_t done = pattern_bytes; done < sizeof lines.bytes; done *= 2)
        memcpy(lines.bytes + done, lines.bytes, dcmi_min(done, sizeof lines.bytes - done));
    return lines;
}

void
dcmi_cpu_fill(void *to, size_t bytes, const void *pattern, uint32_t pattern_bytes)
{
    if (bytes == 0)
        return;

    if (bytes < DCMI_TUNING_LEAST && is_one_byte(pattern, pattern_bytes)) {
        memset(to, *(const unsigned char *)pattern, bytes);
        return;
    }
    repeated lines = repeat(pattern, pattern_bytes);
    dcmi_tuning_move(&fills, to, &lines, bytes);
}
