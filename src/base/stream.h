/* stream.h: copies and fills whose stores go round the caches: in the vector widths of x86-64, and one for everywhere
 * else, whose stores are ordinary. */
#ifndef DCMI_STREAM_H
#define DCMI_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#define DCMI_LINE 64u

/* Both take a `to` at a multiple of DCMI_LINE and whole lines, and end with a fence: after it the stores are as
 * visible as ordinary ones. */
typedef struct dcmi_stream {
    const char *name;
    bool (*is_supported)(void);
    void (*copy)(char *to, const char *from, size_t bytes);
    /* Repeats one line. */
    void (*fill)(char *to, const char *line, size_t bytes);
    /* The same with ordinary stores. */
    void (*fill_cached)(char *to, const char *line, size_t bytes);
} dcmi_stream;

/* Widest first; the i-th, NULL past the end. Some may not be supported by this machine; the last always is. */
const dcmi_stream *dcmi_stream_at(unsigned index);

/* The first of a list that this machine supports. One of them it does. */
const dcmi_stream *dcmi_stream_first(const dcmi_stream *list);

/* The widest that this machine supports. */
const dcmi_stream *dcmi_stream_best(void);

/* A copy of any size from anywhere to anywhere, its whole lines round the caches. */
void dcmi_stream_move(char *to, const void *from, size_t bytes);

#endif
