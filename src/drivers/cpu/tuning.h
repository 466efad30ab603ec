/* tuning.h: from which size on a move should go round the caches.
 *
 * The size is measured, not computed from cache sizes: a virtual machine is told of caches that it does not have to
 * itself, and a threshold made from those is off by an order of magnitude. Each of a few sizes is measured once a
 * process, when the first move of about that size comes, on the ranges of that move: there no memory has to be found
 * and touched for it. */
#ifndef DCMI_CPU_TUNING_H
#define DCMI_CPU_TUNING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1, 2, 4, 8, 16 and 32 MiB. */
#define DCMI_TUNING_SIZES 6u
#define DCMI_TUNING_LEAST ((size_t)1 << 20)

typedef struct dcmi_measurement {
    uint32_t cached_ns; /* 0: not measured */
    uint32_t streamed_ns;
} dcmi_measurement;

/* The number of the largest measured size within `bytes`, which is DCMI_TUNING_LEAST at least. Pure. */
unsigned dcmi_tuning_index(size_t bytes);

/* The size of that number. Pure. */
size_t dcmi_tuning_size(unsigned index);

/* The smallest measured size from which streaming wins by more than 5 % there and at every larger measured one;
 * UINT64_MAX: never. Pure. */
uint64_t dcmi_tuning_threshold(const dcmi_measurement measurements[DCMI_TUNING_SIZES]);

/* Two ways to do the same move; doing it again changes nothing. */
typedef struct dcmi_tuning {
    void (*cached)(char *to, const void *from, size_t bytes);
    void (*streamed)(char *to, const void *from, size_t bytes);
    _Atomic uint32_t begun;                          /* bit i: size i was measured or is being */
    _Atomic(dcmi_measurement) at[DCMI_TUNING_SIZES]; /* eight bytes each: no lock */
} dcmi_tuning;

/* Does a move the way that is faster at its size. The first move of a size is done several times. */
void dcmi_tuning_move(dcmi_tuning *tuning, char *to, const void *from, size_t bytes);

#endif
