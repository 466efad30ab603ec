/* size.h: sums and products of sizes that cannot wrap, and rounding. */
#ifndef DCMI_SIZE_H
#define DCMI_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when the result does not fit; *out is written only when it does. */
static inline bool
dcmi_size_add(uint64_t *out, uint64_t a, uint64_t b)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool
dcmi_size_mul(uint64_t *out, uint64_t a, uint64_t b)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline bool
dcmi_is_power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

static inline uint64_t
dcmi_round_down(uint64_t n, uint64_t power_of_two)
{
    return n & ~(power_of_two - 1);
}

static inline bool
dcmi_round_up(uint64_t *out, uint64_t n, uint64_t power_of_two)
{
    uint64_t sum;
    if (!dcmi_size_add(&sum, n, power_of_two - 1))
        return false;
    *out = dcmi_round_down(sum, power_of_two);
    return true;
}

/* Position of the highest set bit; n > 0. */
static inline unsigned
dcmi_log2(uint64_t n)
{
    return 63u ^ (unsigned)__builtin_clzll(n); /* as a xor it is one instruction on x86 */
}

static inline uint64_t
dcmi_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
dcmi_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* a - b, but never below 0. */
static inline uint64_t
dcmi_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

#endif
