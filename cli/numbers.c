/* numbers.c: pure but for the clock. */
#include "cli/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double
quantile(double *values, size_t count, double fraction)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, compare_doubles);
    double place = fraction * (double)(count - 1);
    size_t below = (size_t)place;
    if (below + 1 >= count)
        return values[count - 1];
    return values[below] + (values[below + 1] - values[below]) * (place - (double)below);
}

double
median(double *values, size_t count)
{
    return quantile(values, count, 0.5);
}

/* Three digits that count, of a value below 1000 or so. */
static void
print_three(number_text *out, double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out->text, sizeof out->text, "%.*f %s", decimals, value, unit);
}

number_text
text_of_bytes(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    number_text out;
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out.text, sizeof out.text, "%llu B", (unsigned long long)bytes);
    else
        print_three(&out, value, units[unit]);
    return out;
}

number_text
text_of_ns(double ns)
{
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    number_text out;
    unsigned unit = 0;
    while (ns >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        ns /= 1000;
        unit++;
    }
    print_three(&out, ns, units[unit]);
    return out;
}

number_text
text_of_count(uint64_t count)
{
    number_text out;
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out.text;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

number_text
text_of_share(double share)
{
    number_text out;
    if (share == 1) {
        snprintf(out.text, sizeof out.text, "100 %%");
        return out;
    }
    int decimals = 1;
    double rest = 1 - share;
    /* Rounding must not turn 99.97 % into 100.0 %. */
    while (share > 0.99 && rest < 0.005 && decimals < 6) {
        rest *= 10;
        decimals++;
    }
    snprintf(out.text, sizeof out.text, "%.*f %%", decimals, share * 100);
    return out;
}
