/* numbers.h: time, medians, and numbers as people read them. */
#ifndef DCMEM_CLI_NUMBERS_H
#define DCMEM_CLI_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of a clock that never falls. */
uint64_t now_ns(void);

/* Median and quantile (`fraction` 0 to 1, interpolated between neighbours) of `count` values; sorts them in place.
 * 0 for no values. */
double median(double *values, size_t count);
double quantile(double *values, size_t count, double fraction);

/* Room for any text below. */
typedef struct number_text {
    char text[32];
} number_text;

/* "512 B", "64.0 KiB", "2.86 GiB": three digits that count. */
number_text text_of_bytes(uint64_t bytes);

/* "5.31 ns", "4.70 µs", "1.20 s". */
number_text text_of_ns(double ns);

/* "93,340". */
number_text text_of_count(uint64_t count);

/* "98.4 %"; from 99 % up two digits of what is missing: "99.966 %". 1 is "100 %". */
number_text text_of_share(double share);

#endif
