/* harness.h: what a case of `dcmem bench` is.
 *
 * A case asks one question of several contenders: dcmem, the floor, peers, variants. Each is set up once, warmed up
 * while the length of its rounds is found, then measured once a round; rounds take the contenders in changing order,
 * so that a slow minute of the machine meets them all. What is compared are costs: the lower the better. */
#ifndef DCMEM_BENCH_HARNESS_H
#define DCMEM_BENCH_HARNESS_H

#include "bench/allocator.h"

typedef enum bench_role {
    BENCH_ROLE_DCMEM,
    BENCH_ROLE_FLOOR,
    BENCH_ROLE_PEER,
    BENCH_ROLE_METHOD, /* another way to do it: the best of all ways is the floor */
    BENCH_ROLE_PART,   /* a part of what others do, told beside them */
    BENCH_ROLE_BESIDE  /* dcmem again, with something left out: the difference is the answer */
} bench_role;

typedef struct bench_contender {
    bench_role role;
    const char *name;
    const bench_allocator *allocator; /* NULL where it is no allocator */
} bench_contender;

typedef struct bench_case bench_case;

/* How a case is measured. */
typedef struct bench_pattern {
    /* State of one contender; NULL when it cannot take part (no memory, no threads). */
    void *(*begin)(const bench_case *which, const bench_contender *contender);
    /* Does `ops` operations; returns the ns of one, or a negative number when it failed. A pattern that is_once takes
     * no `ops`: it returns a cost in the case's own unit. */
    double (*run)(void *state, uint64_t ops);
    void (*end)(void *state);
    bool is_once;
    uint64_t warm_ops; /* done before anything is timed, until the heap is in its steady state */
} bench_pattern;

/* Who takes part. */
typedef enum bench_field {
    BENCH_FIELD_ALLOCATORS, /* dcmem, floor, peers */
    BENCH_FIELD_HANDLES,    /* dcmem's handles beside dcmem's raw memory */
    BENCH_FIELD_NOSTATS,    /* dcmem beside its variant without statistics */
    BENCH_FIELD_UNCHECKED,  /* dcmem beside its variant without checks */
    BENCH_FIELD_FAULTS,     /* a driver below a fault plan, beside the same without one */
    BENCH_FIELD_QUEUES,     /* dcmem on a queue, beside itself without one and the driver alone */
    BENCH_FIELD_TRANSFERS,  /* dcmem beside the C library and other ways to move bytes */
    BENCH_FIELD_ROUTES,     /* dcmem's choice beside each route to a device, taken by hand */
    BENCH_FIELD_LIBRARIES,  /* dcmem and peers, as files to load */
    BENCH_FIELD_BACKENDS,   /* dcmem's pool beside the driver below it, and parts of what both do */
    BENCH_FIELD_DCMEM       /* dcmem alone */
} bench_field;

struct bench_case {
    const char *name;
    const char *question;
    const char *unit; /* what is shown: "ns", "GB/s" (bytes over the cost), ... */
    bench_field field;
    const bench_pattern *pattern;
    uint64_t bytes;
    unsigned threads;
    bool is_touched;
    unsigned most_rounds; /* 0: as many as asked for */
};

extern const bench_case bench_cases[];
extern const unsigned bench_case_count;

/* Is the case meant by the word: its name, the words it begins with, or a pattern with *? */
bool bench_case_is_meant(const bench_case *which, const char *word);

extern const bench_pattern bench_fixed, bench_churn, bench_churns, bench_training, bench_queue, bench_contended,
    bench_resident_churn, bench_resident_training, bench_copy_in, bench_copy_out, bench_fill, bench_snapshot,
    bench_load, bench_reclaim, bench_faults_idle, bench_faults_counted, bench_queued, bench_opencl_in, bench_opencl_out,
    bench_vulkan_in, bench_vulkan_out, bench_access;

/* The backends whose drivers are measured: one pattern each, in this order. */
#define BENCH_BACKENDS(X)                                                                                              \
    X(CPU, "cpu")                                                                                                      \
    X(OPENCL, "opencl")                                                                                                \
    X(VULKAN, "vulkan")                                                                                                \
    X(SIMULATED, "simulated")

typedef enum bench_backend {
#define X(name, text) BENCH_BACKEND_##name,
    BENCH_BACKENDS(X)
#undef X
} bench_backend;

extern const bench_pattern bench_first_touch[];

/* The backend of a case of the field BACKENDS: its name, and why it is absent. Looked for once. */
const bench_allocator *bench_backend_of(const bench_case *which);

/* The names of a transfer's other ways; the first is the C library's. */
extern const char *const bench_transfer_ways[];

/* The names of the routes by hand; the first is the driver's blocking copy. */
extern const char *const bench_route_ways[];

/* The backend that a case needs, or NULL: the CPU's, which is there. */
const char *bench_case_backend(const bench_case *which);

/* A round of these many ns is aimed at. */
extern double bench_round_ns;

/* The policy of dcmem's managers in this run, for those that child processes make. */
extern dcmem_policy bench_policy;

/* The extra peers of this run as --peer gave them, or NULL. */
extern const char *bench_extra_peers;

/* A child process that measures resident memory: the words behind "@resident". Returns the exit code. */
int bench_resident_child(int argc, char **argv);

/* Bytes of a file; 0 when there is none. */
uint64_t bench_file_bytes(const char *path);

/* Bytes of a library that are loaded: without symbols and debug information; 0 for what is no library. */
uint64_t bench_loaded_bytes(const char *path);

/* ---- Random sizes ---- */

/* A stream of its own: the same for every contender. */
typedef struct bench_random {
    uint64_t state;
} bench_random;

static inline uint64_t
bench_random_next(bench_random *random)
{
    /* SplitMix64. */
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Log-uniform from `low` bytes over so many octaves, each as likely as the next. */
uint32_t bench_random_size(bench_random *random, double low, double octaves);

/* A byte in every page of a block. */
static inline void
bench_touch(void *block, uint64_t bytes)
{
    volatile char *at = block;
    for (uint64_t offset = 0; offset < bytes; offset += 4096)
        at[offset] = 1;
}

/* Churn, as the time and the resident cases share it. */
#define BENCH_CHURN_LIVE    1000u
#define BENCH_CHURN_LOW     256.0
#define BENCH_CHURN_OCTAVES 12.0 /* to 1 MiB */

/* A training step: buffers of a few sizes that repeat, freed in reverse. */
#define BENCH_TRAINING_BUFFERS 2000u
#define BENCH_TRAINING_SIZES   20u
uint32_t bench_training_size(unsigned index);

#endif
