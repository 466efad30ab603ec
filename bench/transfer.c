/* transfer.c: bytes moved and bytes set, each way on the same memory.
 *
 * All contenders of a case share one buffer of dcmem's and one block of host memory, so that none has luckier pages
 * than another; both are touched before the clock starts. A transfer repeated on the same memory is warm up to the
 * size of the cache. Other ways than the C library's show what the machine can do: stores past the cache, and the
 * processor's own string instruction. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#define BYTE 0x5a

typedef struct transfer transfer;

typedef bool (*transfer_way)(const transfer *state);

struct transfer {
    transfer_way way;
    dcmem_buffer *buffer;
    dcmem_view view;
    char *inside; /* the buffer's bytes, for those who go past dcmem */
    char *host;
    uint64_t bytes;
};

/* ---- Ways ---- */

static bool
in_dcmem(const transfer *state)
{
    return dcmem_buffer_copy_in(state->view, state->host, 0) == DCMEM_OK;
}

static bool
out_dcmem(const transfer *state)
{
    return dcmem_buffer_copy_out(state->host, state->view, 0) == DCMEM_OK;
}

static bool
fill_dcmem(const transfer *state)
{
    const char byte = BYTE;
    return dcmem_buffer_fill(state->view, &byte, 1) == DCMEM_OK;
}

static bool
in_libc(const transfer *state)
{
    memcpy(state->inside, state->host, state->bytes);
    return true;
}

static bool
out_libc(const transfer *state)
{
    memcpy(state->host, state->inside, state->bytes);
    return true;
}

static bool
fill_libc(const transfer *state)
{
    memset(state->inside, BYTE, state->bytes);
    return true;
}

#if defined(__x86_64__)

static void
string_copy(void *to, const void *from, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

/* Sizes are multiples of 64, addresses of 16. */
static void
stream_copy(void *to, const void *from, size_t bytes)
{
    __m128i *out = to;
    const __m128i *in = from;
    for (size_t i = 0; i < bytes / sizeof *in; i += 4) {
        __m128i a = _mm_load_si128(in + i), b = _mm_load_si128(in + i + 1);
        __m128i c = _mm_load_si128(in + i + 2), d = _mm_load_si128(in + i + 3);
        _mm_prefetch((const char *)(in + i) + 1024, _MM_HINT_NTA);
        _mm_stream_si128(out + i, a);
        _mm_stream_si128(out + i + 1, b);
        _mm_stream_si128(out + i + 2, c);
        _mm_stream_si128(out + i + 3, d);
    }
    _mm_sfence();
}

static bool
in_string(const transfer *state)
{
    string_copy(state->inside, state->host, state->bytes);
    return true;
}

static bool
out_string(const transfer *state)
{
    string_copy(state->host, state->inside, state->bytes);
    return true;
}

static bool
fill_string(const transfer *state)
{
    void *to = state->inside;
    size_t bytes = state->bytes;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(BYTE) : "memory");
    return true;
}

static bool
in_stream(const transfer *state)
{
    stream_copy(state->inside, state->host, state->bytes);
    return true;
}

static bool
out_stream(const transfer *state)
{
    stream_copy(state->host, state->inside, state->bytes);
    return true;
}

static bool
fill_stream(const transfer *state)
{
    __m128i *out = (__m128i *)(void *)state->inside;
    const __m128i bytes = _mm_set1_epi8(BYTE);
    for (size_t i = 0; i < state->bytes / sizeof *out; i++)
        _mm_stream_si128(out + i, bytes);
    _mm_sfence();
    return true;
}

#define MACHINE_WAYS(X) X(string) X(stream)
#else
#define MACHINE_WAYS(X)
#endif

typedef enum direction { DIRECTION_IN, DIRECTION_OUT, DIRECTION_FILL } direction;

static const struct {
    const char *name;
    transfer_way ways[3];
} all_ways[] = {{"dcmem", {in_dcmem, out_dcmem, fill_dcmem}},
                {"libc", {in_libc, out_libc, fill_libc}},
#define WAY(name) {#name, {in_##name, out_##name, fill_##name}},
                MACHINE_WAYS(WAY)
#undef WAY
};

#define WAY_NAME(name) #name,
const char *const bench_transfer_ways[] = {"libc", MACHINE_WAYS(WAY_NAME) NULL};
#undef WAY_NAME

/* ---- The memory of a case ---- */

static transfer shared;
static unsigned users;

static bool
shared_open(uint64_t bytes, dcmem_manager *manager)
{
    transfer fresh = {.bytes = bytes};
    fresh.host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh.host == MAP_FAILED)
        return false;
    memset(fresh.host, 1, bytes);

    /* Written once, it has pages and may be read. */
    dcmem_native native = {.kind = DCMEM_NATIVE_NONE};
    dcmem_result result = dcmem_buffer_create_from(&fresh.buffer, manager, fresh.host, bytes, NULL);
    if (result == DCMEM_OK)
        result = dcmem_buffer_pin(&native, fresh.buffer);
    if (result == DCMEM_OK && native.kind == DCMEM_NATIVE_HOST_POINTER) {
        memcpy(&fresh.inside, &native.address, sizeof fresh.inside);
        fresh.view = dcmem_view_whole(fresh.buffer);
        shared = fresh;
        return true;
    }
    (void)dcmem_buffer_destroy(fresh.buffer);
    munmap(fresh.host, bytes);
    return false;
}

static void
shared_close(void)
{
    (void)dcmem_buffer_unpin(shared.buffer);
    (void)dcmem_buffer_destroy(shared.buffer);
    munmap(shared.host, shared.bytes);
}

static void *
transfer_begin(const bench_case *which, const bench_contender *contender, direction heading)
{
    if (users == 0 && !shared_open(which->bytes, contender->allocator->calls.manager))
        return NULL;
    users++;
    transfer *state = cli_allocate(1, sizeof *state);
    *state = shared;
    for (size_t i = 0; i < sizeof all_ways / sizeof *all_ways; i++)
        if (strcmp(all_ways[i].name, contender->name) == 0)
            state->way = all_ways[i].ways[heading];
    return state;
}

static void *
copy_in_begin(const bench_case *which, const bench_contender *contender)
{
    return transfer_begin(which, contender, DIRECTION_IN);
}

static void *
copy_out_begin(const bench_case *which, const bench_contender *contender)
{
    return transfer_begin(which, contender, DIRECTION_OUT);
}

static void *
fill_begin(const bench_case *which, const bench_contender *contender)
{
    return transfer_begin(which, contender, DIRECTION_FILL);
}

static double
transfer_run(void *state, uint64_t ops)
{
    const transfer *self = state;
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < ops; i++) {
        if (!self->way(self))
            return -1;
        bench_keep(self->inside);
    }
    return (double)(now_ns() - begin) / (double)ops;
}

static void
transfer_end(void *state)
{
    free(state);
    if (--users == 0)
        shared_close();
}

const bench_pattern bench_copy_in = {copy_in_begin, transfer_run, transfer_end, false, 0};
const bench_pattern bench_copy_out = {copy_out_begin, transfer_run, transfer_end, false, 0};
const bench_pattern bench_fill = {fill_begin, transfer_run, transfer_end, false, 0};
