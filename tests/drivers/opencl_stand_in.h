/* opencl_stand_in.h: what a test tells the stand-in for an OpenCL loader, and asks it. The stand-in is a library of its
 * own, opened by the driver as the real one is; stand_in_use() opens it too and finds this. */
#ifndef DCMI_TEST_OPENCL_STAND_IN_H
#define DCMI_TEST_OPENCL_STAND_IN_H

#include "drivers/opencl/cl.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { STAND_IN_PLATFORMS = 3, STAND_IN_DEVICES = 4 };

/* What its devices are like. All of a platform are alike. */
typedef struct stand_in_shape {
    cl_uint platform_count;
    cl_uint device_count; /* of each platform */
    const char *name;
    const char *version;
    const char *driver;
    const char *extensions;
    uint64_t total_bytes;
    uint64_t largest_bytes;
    uint64_t alignment_bits;
    uint64_t cache_line_bytes;
    uint64_t svm;
    uint64_t host_usm;
    uint64_t shared_usm;
    cl_uint is_unified;
    cl_uint is_available;
    bool is_processor;
    bool is_non_coherent;    /* maps show a second memory, which is filled at their beginning and read at their end */
    bool moves_maps;         /* each map shows a memory of its own; not of memory that is the caller's */
    bool has_addresses;      /* of buffers that are made for it */
    bool lacks_usm_function; /* says that it has the extension, and lacks a function of it */
    uint64_t skew_bytes;     /* all memory lies so far behind a multiple of 4096 */
    uint64_t part_skew;      /* and parts of buffers so much farther than they should */
    bool is_out_of_order;    /* what its queues say they are */
} stand_in_shape;

/* What is alive. */
typedef struct stand_in_account {
    int contexts, queues, buffers, events, maps, pointers;
    int64_t bytes; /* of buffers and pointers, parts of buffers not counted */
} stand_in_account;

typedef struct stand_in {
    stand_in_shape shape;
    stand_in_account live;
    uint64_t calls;                 /* that can fail, so far */
    uint64_t fail_from, fail_count; /* calls of number fail_from and on fail, so many of them; 0: none */
    const char *fail_name;          /* only calls of this function count; NULL: all */
    cl_int fail_code;
    uint64_t failed;
    const char *last_failed;
    cl_int event_code; /* how commands end: CL_COMPLETE, or a failure */
    atomic_bool holds; /* commands do not end before stand_in_end_held(), though their work is done */
    unsigned slow_us;  /* how long the list of platforms takes */
    uint64_t maps;     /* so far */
    uint64_t fills;    /* so far */
    uint64_t widest_pattern;
} stand_in;

stand_in *stand_in_get(void);
void stand_in_end_held(void);

#endif
