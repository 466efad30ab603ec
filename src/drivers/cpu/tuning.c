/* tuning.c: measures moves and decides between them. */
#include "drivers/cpu/tuning.h"

#include "base/os.h"
#include "base/size.h"

#define ROUNDS_BYTES (16 * DCMI_TUNING_LEAST)

_Static_assert(sizeof(dcmi_measurement) == 8, "a measurement is read and written at once");

unsigned
dcmi_tuning_index(size_t bytes)
{
    return (unsigned)dcmi_min(dcmi_log2(bytes / DCMI_TUNING_LEAST), DCMI_TUNING_SIZES - 1);
}

size_t
dcmi_tuning_size(unsigned index)
{
    return DCMI_TUNING_LEAST << index;
}

static bool
wins(dcmi_measurement measured)
{
    return (uint64_t)measured.streamed_ns * 105 < (uint64_t)measured.cached_ns * 100;
}

uint64_t
dcmi_tuning_threshold(const dcmi_measurement measurements[DCMI_TUNING_SIZES])
{
    uint64_t threshold = UINT64_MAX;
    for (unsigned i = DCMI_TUNING_SIZES; i-- > 0;) {
        if (!measurements[i].cached_ns)
            continue;
        if (!wins(measurements[i]))
            break;
        threshold = dcmi_tuning_size(i);
    }
    return threshold;
}

/* The second of two moves in a row: the first brings the caches into the state that this way leaves them in. */
static uint64_t
settled_ns(void (*move)(char *, const void *, size_t), char *to, const void *from, size_t bytes)
{
    move(to, from, bytes);
    uint64_t begin = dcmi_os_now_ns();
    move(to, from, bytes);
    return dcmi_os_now_ns() - begin;
}

/* The best of several rounds for each way, in turns: what other programs take, they take from both or from neither. */
static void
measure(dcmi_tuning *tuning, unsigned index, char *to, const void *from)
{
    size_t bytes = dcmi_tuning_size(index);
    uint64_t cached = UINT32_MAX, streamed = UINT32_MAX, rounds = dcmi_min(6, dcmi_max(2, ROUNDS_BYTES / bytes));
    for (uint64_t i = 0; i < rounds; i++) {
        cached = dcmi_min(cached, settled_ns(tuning->cached, to, from, bytes));
        streamed = dcmi_min(streamed, settled_ns(tuning->streamed, to, from, bytes));
    }
    dcmi_measurement measured = {(uint32_t)dcmi_max(cached, 1), (uint32_t)streamed};
    atomic_store_explicit(&tuning->at[index], measured, memory_order_relaxed);
}

static bool
is_streamed(dcmi_tuning *tuning, size_t bytes)
{
    dcmi_measurement measurements[DCMI_TUNING_SIZES];
    for (unsigned i = 0; i < DCMI_TUNING_SIZES; i++)
        measurements[i] = atomic_load_explicit(&tuning->at[i], memory_order_relaxed);
    return bytes >= dcmi_tuning_threshold(measurements);
}

void
dcmi_tuning_move(dcmi_tuning *tuning, char *to, const void *from, size_t bytes)
{
    if (bytes < DCMI_TUNING_LEAST) {
        tuning->cached(to, from, bytes);
        return;
    }

    unsigned index = dcmi_tuning_index(bytes);
    uint32_t begun = atomic_load_explicit(&tuning->begun, memory_order_relaxed);
    bool is_first = !(begun >> index & 1) &&
                    !(atomic_fetch_or_explicit(&tuning->begun, 1u << index, memory_order_relaxed) >> index & 1);
    if (is_streamed(tuning, bytes))
        tuning->streamed(to, from, bytes);
    else
        tuning->cached(to, from, bytes);

    /* Afterwards: the pages are there by now, and their first touch does not count. */
    if (is_first)
        measure(tuning, index, to, from);
}
