/* queue.c: copies and "kernels" on queues, checked: while one tile is worked on, the next is on its way.
 *
 * Runs on a simulated device with a memory of its own and a virtual clock, so it shows the overlap on any machine. On a
 * real device the kernel would be launched on the program's own queue, which dcmem_queue_create() borrows. */
#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILES      8
#define TILE_BYTES (1024 * 1024)

#define DO(call)                                                                                                       \
    do {                                                                                                               \
        if (call) {                                                                                                    \
            fprintf(stderr, "queue: %s: %s\n", #call, dcmem_last_detail()->message);                                   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Stands for a kernel: a copy within the device, put on the queue. */
static void
launch(dcmem_queue *queue, dcmem_buffer *to, dcmem_buffer *from)
{
    DO(dcmem_buffer_copy_on(NULL, queue, dcmem_view_whole(to), dcmem_view_whole(from)));
}

/* The time that all tiles take on so many queues. */
static uint64_t
run(dcmem_manager *manager, const dcmem_backend *device, unsigned queue_count)
{
    static unsigned char in[TILES][TILE_BYTES], out[TILES][TILE_BYTES];
    dcmem_queue *queues[2] = {NULL, NULL};
    uint64_t begin, end, value;
    for (unsigned i = 0; i < queue_count; i++)
        DO(dcmem_queue_create(&queues[i], manager, NULL));
    DO(dcmem_simulated_now(&begin, device));
    for (unsigned tile = 0; tile < TILES; tile++) {
        dcmem_queue *queue = queues[queue_count == 2 ? tile % 2 : 0];
        dcmem_buffer *source, *target;
        memset(in[tile], (int)tile + 1, TILE_BYTES);
        DO(dcmem_buffer_create(&source, manager, TILE_BYTES, NULL));
        DO(dcmem_buffer_create(&target, manager, TILE_BYTES, NULL));
        DO(dcmem_buffer_copy_in_on(NULL, queue, dcmem_view_whole(source), in[tile]));
        launch(queue, target, source);
        DO(dcmem_buffer_copy_out_on(NULL, queue, out[tile], dcmem_view_whole(target)));
        DO(dcmem_buffer_destroy_on(source, queue)); /* the next tile of this queue gets this memory */
        DO(dcmem_buffer_destroy_on(target, queue));
    }
    for (unsigned i = 0; i < queue_count; i++) {
        DO(dcmem_queue_mark(&value, queues[i]));
        DO(dcmem_queue_wait(queues[i], value, UINT64_MAX));
        DO(dcmem_queue_destroy(queues[i]));
    }
    DO(dcmem_simulated_now(&end, device));
    for (unsigned tile = 0; tile < TILES; tile++)
        if (memcmp(in[tile], out[tile], TILE_BYTES) != 0) {
            fprintf(stderr, "queue: tile %u is wrong\n", tile);
            exit(1);
        }
    return end - begin;
}

int
main(void)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_backend *device;
    dcmem_manager *manager;
    DO(dcmem_simulated_create(&device, &profile, 1));
    dcmem_manager_options options = {.size = sizeof options, .driver = device};
    DO(dcmem_manager_create(&manager, &options));
    uint64_t one = run(manager, device, 1), two = run(manager, device, 2);
    printf("%d tiles on one queue: %.1f us, on two: %.1f us\n", TILES, (double)one / 1e3, (double)two / 1e3);
    if (two >= one)
        return 1;
    DO(dcmem_manager_destroy(manager));
    DO(dcmem_simulated_destroy(device));
    return 0;
}
