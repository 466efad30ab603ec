/* vulkan_layer.h: what a test asks the layer, and tells it. */
#ifndef DCMI_TEST_VULKAN_LAYER_H
#define DCMI_TEST_VULKAN_LAYER_H

#include <stdint.h>

typedef struct vulkan_layer_account {
    int64_t bytes; /* of device memory that the driver has given and not got back */
    int64_t peak_bytes;
    int64_t imported_bytes; /* of device memory that is somebody else's: the host's, or another process's */
    int64_t buffer_bytes;   /* what the buffers say that they have, */
    int64_t sparse_bytes;   /* and those that memory is bound to bit by bit */
    int instances, devices, memories, imports, buffers, fences, semaphores, pools;
    uint64_t exports; /* descriptors that were given out, ever */
    uint64_t calls;   /* of those that can be made to fail */
    uint64_t failed;
} vulkan_layer_account;

/* Found with dlsym. The account as it stands. */
typedef vulkan_layer_account vulkan_layer_read_call(void);
/* Calls number `from` and on fail, counted from now, `count` of them, with `code`. 0: none. */
typedef void vulkan_layer_fail_call(uint64_t from, uint64_t count, int code);

#endif
