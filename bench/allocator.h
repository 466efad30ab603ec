/* allocator.h: whoever gives memory, behind a function pointer: dcmem, its variants, its peers and the floor.
 *
 * Everyone is called as its user calls it, by one indirect call: malloc(bytes) takes one argument,
 * dcmem_raw_allocate(manager, bytes) two, a handle is created through an out parameter. Loops are compiled once for
 * each of these shapes, so that nobody pays for an adapter that its users do not need. */
#ifndef DCMEM_BENCH_ALLOCATOR_H
#define DCMEM_BENCH_ALLOCATOR_H

#include <dcmem/dcmem.h>

typedef enum bench_shape {
    BENCH_PLAIN,   /* allocate(bytes), free(address) */
    BENCH_MANAGED, /* dcmem_raw_allocate(manager, bytes), dcmem_raw_free(manager, address) */
    BENCH_HANDLE   /* dcmem_buffer_create(&buffer, manager, bytes, NULL), dcmem_buffer_destroy(buffer) */
} bench_shape;

/* What a loop needs, in one value that the compiler may keep in registers. */
typedef struct bench_calls {
    bench_shape shape;
    dcmem_manager *manager;
    void *(*plain_allocate)(size_t bytes);
    void (*plain_free)(void *address);
    void *(*raw_allocate)(dcmem_manager *manager, uint64_t bytes);
    dcmem_result (*raw_free)(dcmem_manager *manager, void *address);
    dcmem_result (*create)(dcmem_buffer **out, dcmem_manager *manager, uint64_t bytes,
                           const dcmem_buffer_options *options);
    dcmem_result (*destroy)(dcmem_buffer *buffer);
} bench_calls;

typedef struct bench_allocator {
    char name[24];
    char path[512];    /* of its library, where that was found */
    char absence[256]; /* why it is not here; "" when it is */
    bench_calls calls;
    void *library; /* what dlopen() gave, or NULL */
    dcmem_result (*manager_destroy)(dcmem_manager *manager);
} bench_allocator;

#define BENCH_PEERS 12u

/* Everybody who can take part. */
typedef struct bench_allocators {
    bench_allocator dcmem, handle, floor;
    /* For variants: dcmem with a manager that has served nobody else, as theirs have not. */
    bench_allocator fresh, nostats, unchecked;
    unsigned peer_count;
    bench_allocator peers[BENCH_PEERS];
} bench_allocators;

/* Who is wanted, besides dcmem. */
typedef struct bench_wanted {
    dcmem_policy policy;
    const char *only;  /* "glibc,jemalloc": these peers; NULL: all that are known */
    const char *extra; /* "name=path,...": further libraries with a malloc; NULL: none */
} bench_wanted;

/* Opens all that is wanted. What cannot be opened says so in its `absence`; without dcmem itself there is nothing to
 * measure: false, and dcmem_last_detail() tells why. May replace the process by itself, once: see allocator.c. */
bool bench_allocators_open(bench_allocators *out, const bench_wanted *wanted);
void bench_allocators_close(bench_allocators *allocators);

/* By name, "dcmem" and "floor" included; NULL when there is none. */
const bench_allocator *bench_allocators_find(const bench_allocators *allocators, const char *name);

/* The names of the peers that are known, ending with NULL. */
extern const char *const bench_peer_names[];

/* The loops know the shape as a constant: one of the three branches is left. */
static inline __attribute__((always_inline)) void *
bench_take(const bench_calls *calls, bench_shape shape, uint64_t bytes)
{
    if (shape == BENCH_PLAIN)
        return calls->plain_allocate(bytes);
    if (shape == BENCH_MANAGED)
        return calls->raw_allocate(calls->manager, bytes);
    dcmem_buffer *buffer = NULL;
    return calls->create(&buffer, calls->manager, bytes, NULL) ? NULL : (void *)buffer;
}

static inline __attribute__((always_inline)) void
bench_give(const bench_calls *calls, bench_shape shape, void *block)
{
    /* A refused free would show as a lie in the next allocation's address or in the residents' peak; checking it here
     * would be work that a caller of free() does not have. */
    if (shape == BENCH_PLAIN)
        calls->plain_free(block);
    else if (shape == BENCH_MANAGED)
        (void)calls->raw_free(calls->manager, block);
    else
        (void)calls->destroy((dcmem_buffer *)block);
}

/* The block counts as used: neither its allocation nor its free can be optimised away. */
static inline __attribute__((always_inline)) void
bench_keep(void *block)
{
    __asm__ volatile("" : : "r"(block) : "memory");
}

/* One of three copies of `loop`, whose second parameter is the shape. */
#define BENCH_BY_SHAPE(loop, calls, ...)                                                                               \
    ((calls)->shape == BENCH_PLAIN     ? loop(calls, BENCH_PLAIN, __VA_ARGS__)                                         \
     : (calls)->shape == BENCH_MANAGED ? loop(calls, BENCH_MANAGED, __VA_ARGS__)                                       \
                                       : loop(calls, BENCH_HANDLE, __VA_ARGS__))

#endif
