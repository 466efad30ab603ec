/* stream.c: non-temporal stores.
 *
 * A loop moves one line a turn: what lies beyond the caches limits it, not the turns. */
#include "base/stream.h"

#include "base/size.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

/* One vector of `isa`, as many a line as fit. */
#define STREAM(isa, vector, load, store, store_streaming)                                                              \
    static bool is_supported_##isa(void)                                                                               \
    {                                                                                                                  \
        return __builtin_cpu_supports(#isa);                                                                           \
    }                                                                                                                  \
                                                                                                                       \
    __attribute__((target(#isa))) static void copy_##isa(char *to, const char *from, size_t bytes)                     \
    {                                                                                                                  \
        for (size_t i = 0; i < bytes; i += sizeof(vector))                                                             \
            store_streaming((vector *)(void *)(to + i), load((const vector *)(const void *)(from + i)));               \
        _mm_sfence();                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    __attribute__((target(#isa))) static void fill_##isa(char *to, const char *line, size_t bytes)                     \
    {                                                                                                                  \
        vector vectors[DCMI_LINE / sizeof(vector)];                                                                    \
        for (size_t j = 0; j < DCMI_LINE; j += sizeof(vector))                                                         \
            vectors[j / sizeof(vector)] = load((const vector *)(const void *)(line + j));                              \
        for (size_t i = 0; i < bytes; i += DCMI_LINE)                                                                  \
            for (size_t j = 0; j < DCMI_LINE; j += sizeof(vector))                                                     \
                store_streaming((vector *)(void *)(to + i + j), vectors[j / sizeof(vector)]);                          \
        _mm_sfence();                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    __attribute__((target(#isa))) static void fill_cached_##isa(char *to, const char *line, size_t bytes)              \
    {                                                                                                                  \
        vector vectors[DCMI_LINE / sizeof(vector)];                                                                    \
        for (size_t j = 0; j < DCMI_LINE; j += sizeof(vector))                                                         \
            vectors[j / sizeof(vector)] = load((const vector *)(const void *)(line + j));                              \
        for (size_t i = 0; i < bytes; i += DCMI_LINE)                                                                  \
            for (size_t j = 0; j < DCMI_LINE; j += sizeof(vector))                                                     \
                store((vector *)(void *)(to + i + j), vectors[j / sizeof(vector)]);                                    \
    }

STREAM(avx512f, __m512i, _mm512_loadu_si512, _mm512_store_si512, _mm512_stream_si512)
STREAM(avx2, __m256i, _mm256_loadu_si256, _mm256_store_si256, _mm256_stream_si256)
STREAM(sse2, __m128i, _mm_loadu_si128, _mm_store_si128, _mm_stream_si128)

#define VECTORS(X) X(avx512f) X(avx2) X(sse2)
#else
#define VECTORS(X)
#endif

static bool
is_supported_portable(void)
{
    return true;
}

static void
copy_portable(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static void
fill_portable(char *to, const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += DCMI_LINE)
        memcpy(to + i, line, DCMI_LINE);
}

#define fill_cached_portable fill_portable

static const dcmi_stream streams[] = {
#define DCMEM_X(isa) {#isa, is_supported_##isa, copy_##isa, fill_##isa, fill_cached_##isa},
    VECTORS(DCMEM_X) DCMEM_X(portable)
#undef DCMEM_X
};

const dcmi_stream *
dcmi_stream_at(unsigned index)
{
    return index < sizeof streams / sizeof streams[0] ? &streams[index] : NULL;
}

const dcmi_stream *
dcmi_stream_first(const dcmi_stream *list)
{
    while (!list->is_supported())
        list++;
    return list;
}

const dcmi_stream *
dcmi_stream_best(void)
{
    return dcmi_stream_first(streams);
}

void
dcmi_stream_move(char *to, const void *from, size_t bytes)
{
    const char *source = from;
    size_t head = dcmi_min(bytes, -(uintptr_t)to & (DCMI_LINE - 1));
    size_t body = dcmi_round_down(bytes - head, DCMI_LINE);
    memcpy(to, source, head);
    dcmi_stream_best()->copy(to + head, source + head, body);
    memcpy(to + head + body, source + head + body, bytes - head - body);
}
