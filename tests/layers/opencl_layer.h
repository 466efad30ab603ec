/* opencl_layer.h: what a test asks the layer, and tells it. */
#ifndef DCMI_TEST_OPENCL_LAYER_H
#define DCMI_TEST_OPENCL_LAYER_H

#include <stdint.h>

typedef struct opencl_layer_account {
    int64_t bytes; /* of buffers and shared memory that the driver has given and not got back */
    int64_t peak_bytes;
    int buffers, parts, pointers, contexts, queues, events;
    uint64_t calls; /* of those that can be made to fail */
    uint64_t failed;
} opencl_layer_account;

/* Found with dlsym. The account as it stands. */
typedef opencl_layer_account opencl_layer_read_call(void);
/* Calls number `from` and on fail, counted from now, `count` of them; what has a code fails with `code`. 0: none. */
typedef void opencl_layer_fail_call(uint64_t from, uint64_t count, int code);

#endif
