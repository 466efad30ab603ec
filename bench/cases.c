/* cases.c: the questions, one line each: name, question, unit, who takes part, how it is measured, bytes, threads,
 * whether pages are touched, most rounds. */
#include "bench/harness.h"

#include <fnmatch.h>
#include <string.h>

#define KIB 1024ull
#define MIB (1024 * KIB)

#define ALL       BENCH_FIELD_ALLOCATORS
#define HANDLES   BENCH_FIELD_HANDLES
#define NOSTATS   BENCH_FIELD_NOSTATS
#define UNCHECKED BENCH_FIELD_UNCHECKED
#define FAULTS    BENCH_FIELD_FAULTS
#define TRANSFERS BENCH_FIELD_TRANSFERS
#define RESIDENT  "peak resident / peak live"

#define SIZES(X)                                                                                                       \
    X("64 B", "64B", 64), X("256 B", "256B", 256), X("4 KiB", "4KiB", 4 * KIB), X("64 KiB", "64KiB", 64 * KIB),        \
        X("1 MiB", "1MiB", MIB), X("16 MiB", "16MiB", 16 * MIB), X("64 MiB", "64MiB", 64 * MIB)
#define FIXED(text, word, bytes)                                                                                       \
    {                                                                                                                  \
        "fixed-" word, "allocate and free " text ", untouched", "ns", ALL, &bench_fixed, bytes, 1, false, 0            \
    }

#define CONTENDED(text, word, bytes, count)                                                                            \
    {                                                                                                                  \
        "contended-" word "-" #count "-threads",                                                                       \
            #count " threads that each allocate and free " text "; processor time", "ns", ALL, &bench_contended,       \
            bytes, count, false, 0                                                                                     \
    }

#define HANDLE(text, word, bytes)                                                                                      \
    {                                                                                                                  \
        "handle-" word, "create and destroy a buffer of " text, "ns", HANDLES, &bench_fixed, bytes, 1, false, 0        \
    }

#define TRANSFER_SIZES(X)                                                                                              \
    X("4 KiB", "4KiB", 4 * KIB), X("64 KiB", "64KiB", 64 * KIB), X("512 KiB", "512KiB", 512 * KIB),                    \
        X("4 MiB", "4MiB", 4 * MIB), X("16 MiB", "16MiB", 16 * MIB), X("64 MiB", "64MiB", 64 * MIB),                   \
        X("512 MiB", "512MiB", 512 * MIB)
#define COPY_IN(text, word, bytes)                                                                                     \
    {                                                                                                                  \
        "copy-in-" word, "copy " text " into a buffer", "GB/s", TRANSFERS, &bench_copy_in, bytes, 1, false, 0          \
    }
#define COPY_OUT(text, word, bytes)                                                                                    \
    {                                                                                                                  \
        "copy-out-" word, "copy " text " out of a buffer", "GB/s", TRANSFERS, &bench_copy_out, bytes, 1, false, 0      \
    }
#define FILL(text, word, bytes)                                                                                        \
    {                                                                                                                  \
        "fill-" word, "fill a buffer of " text " with a byte", "GB/s", TRANSFERS, &bench_fill, bytes, 1, false, 0      \
    }

#define FIRST_TOUCH(text, word, bytes, backend, name)                                                                  \
    {                                                                                                                  \
        "first-touch-" name "-" word, "allocate " text " on backend " name ", write all of it, free it", "ns",         \
            BENCH_FIELD_BACKENDS, &bench_first_touch[BENCH_BACKEND_##backend], bytes, 1, true, 0                       \
    }
#define FIRST_TOUCHES(backend, name)                                                                                   \
    FIRST_TOUCH("4 KiB", "4KiB", 4 * KIB, backend, name), FIRST_TOUCH("64 KiB", "64KiB", 64 * KIB, backend, name),     \
        FIRST_TOUCH("1 MiB", "1MiB", MIB, backend, name), FIRST_TOUCH("16 MiB", "16MiB", 16 * MIB, backend, name),     \
        FIRST_TOUCH("64 MiB", "64MiB", 64 * MIB, backend, name)

#define ROUTE(direction, text, word, bytes, backend, pattern)                                                          \
    {                                                                                                                  \
        "transfer-" backend "-" direction "-" word, "copy " text " " direction ", a device of " backend, "GB/s",       \
            BENCH_FIELD_ROUTES, &pattern, bytes, 1, false, 0                                                           \
    }
#define ROUTES(direction, backend, pattern)                                                                            \
    ROUTE(direction, "4 KiB", "4KiB", 4 * KIB, backend, pattern),                                                      \
        ROUTE(direction, "16 KiB", "16KiB", 16 * KIB, backend, pattern),                                               \
        ROUTE(direction, "64 KiB", "64KiB", 64 * KIB, backend, pattern),                                               \
        ROUTE(direction, "256 KiB", "256KiB", 256 * KIB, backend, pattern),                                            \
        ROUTE(direction, "1 MiB", "1MiB", MIB, backend, pattern),                                                      \
        ROUTE(direction, "4 MiB", "4MiB", 4 * MIB, backend, pattern),                                                  \
        ROUTE(direction, "16 MiB", "16MiB", 16 * MIB, backend, pattern),                                               \
        ROUTE(direction, "64 MiB", "64MiB", 64 * MIB, backend, pattern),                                               \
        ROUTE(direction, "512 MiB", "512MiB", 512 * MIB, backend, pattern)

/* Sentences that two lines share. */
#define CHURN        "1,000 live blocks of 256 B to 1 MiB (log-uniform), one replaced at random"
#define TOUCHED      "the same, a byte written in each page of a new block"
#define IN_A_PROCESS "the same in a process of its own: memory held over memory in use, both at their peak"
#define QUEUE        "one thread allocates 4 to 256 KiB, another frees; at most 1,024 blocks are between them"
#define TRAINING     "2,000 buffers of 20 repeating sizes (512 B to 2 MiB), freed in reverse"
#define RECLAIM      "a limit over what one thread gets of it while another's idle caches hold most of it"
#define QUEUED       "free 64 KiB on a queue and allocate it there again, the work not known to be done"
#define PLAN_IDLE    "what a fault plan that is not about it costs a driver's copy of 64 bytes"

const bench_case bench_cases[] = {
    SIZES(FIXED),
    {"churn", CHURN, "ns", ALL, &bench_churn, 0, 1, false, 0},
    {"churn-touched", TOUCHED, "ns", ALL, &bench_churn, 0, 1, true, 0},
    {"churn-resident", IN_A_PROCESS, RESIDENT, ALL, &bench_resident_churn, 0, 1, true, 1},
    {"producer-consumer", QUEUE, "ns", ALL, &bench_queue, 0, 2, false, 0},
    {"two-threads", "two threads with a churn each", "ns", ALL, &bench_churns, 0, 2, false, 0},
    {"training-step", TRAINING, "ns", ALL, &bench_training, 0, 1, false, 0},
    {"training-step-resident", IN_A_PROCESS, RESIDENT, ALL, &bench_resident_training, 0, 1, true, 1},
    CONTENDED("4 KiB", "4KiB", 4 * KIB, 2),
    CONTENDED("64 KiB", "64KiB", 64 * KIB, 2),
    CONTENDED("4 KiB", "4KiB", 4 * KIB, 8),
    CONTENDED("64 KiB", "64KiB", 64 * KIB, 8),
    CONTENDED("4 KiB", "4KiB", 4 * KIB, 64),
    CONTENDED("64 KiB", "64KiB", 64 * KIB, 64),
    {"idle-reclaim", RECLAIM, "limit / usable", BENCH_FIELD_DCMEM, &bench_reclaim, 0, 2, false, 3},
    HANDLE("256 B", "256B", 256),
    HANDLE("4 KiB", "4KiB", 4 * KIB),
    HANDLE("64 KiB", "64KiB", 64 * KIB),
    HANDLE("1 MiB", "1MiB", MIB),
    {"stats-64B", "what statistics cost at 64 B", "ns", NOSTATS, &bench_fixed, 64, 1, false, 0},
    {"stats-64KiB", "what statistics cost at 64 KiB", "ns", NOSTATS, &bench_fixed, 64 * KIB, 1, false, 0},
    {"stats-churn", "what statistics cost in churn", "ns", NOSTATS, &bench_churn, 0, 1, false, 0},
    {"checks-64B", "what refusing wrong addresses costs at 64 B", "ns", UNCHECKED, &bench_fixed, 64, 1, false, 0},
    {"checks-64KiB", "the same at 64 KiB", "ns", UNCHECKED, &bench_fixed, 64 * KIB, 1, false, 0},
    {"checks-churn", "the same in churn", "ns", UNCHECKED, &bench_churn, 0, 1, false, 0},
    {"faults-idle", PLAN_IDLE, "ns", FAULTS, &bench_faults_idle, 64, 1, false, 0},
    {"faults-counted", "the same, a rule counts the call", "ns", FAULTS, &bench_faults_counted, 64, 1, false, 0},
    TRANSFER_SIZES(COPY_IN),
    TRANSFER_SIZES(COPY_OUT),
    TRANSFER_SIZES(FILL),
    ROUTES("in", "opencl", bench_opencl_in),
    ROUTES("out", "opencl", bench_opencl_out),
    ROUTES("in", "vulkan", bench_vulkan_in),
    ROUTES("out", "vulkan", bench_vulkan_out),
    {"queue-64KiB", QUEUED, "ns", BENCH_FIELD_QUEUES, &bench_queued, 64 * 1024, 1, false, 0},
    FIRST_TOUCHES(CPU, "cpu"),
    FIRST_TOUCHES(OPENCL, "opencl"),
    FIRST_TOUCHES(VULKAN, "vulkan"),
    FIRST_TOUCHES(SIMULATED, "simulated"),
    {"access-pair", "open an access for update and end it", "ns", BENCH_FIELD_DCMEM, &bench_access, 4 * KIB, 1, false,
     0},
    {"snapshot", "take a snapshot of the statistics", "ns", BENCH_FIELD_DCMEM, &bench_snapshot, 0, 1, false, 0},
    {"load", "dlopen() the library", "µs", BENCH_FIELD_LIBRARIES, &bench_load, 0, 1, false, 0},
};

const unsigned bench_case_count = sizeof bench_cases / sizeof *bench_cases;

bool
bench_case_is_meant(const bench_case *which, const char *word)
{
    size_t length = strlen(word);
    if (strpbrk(word, "*?["))
        return fnmatch(word, which->name, 0) == 0;
    if (strcmp(which->name, word) == 0)
        return true;
    /* "fixed" is no case but the begin of seven; "churn" is one, and means only itself. */
    for (unsigned i = 0; i < bench_case_count; i++)
        if (strcmp(bench_cases[i].name, word) == 0)
            return false;
    return strncmp(which->name, word, length) == 0 && which->name[length] == '-';
}
