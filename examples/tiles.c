/* tiles.c: an image on a device, worked on tile by tile, each moved as one box, with progress and a way to stop.
 *
 * Runs on a simulated device with a memory of its own, so it shows the same on any machine. `tiles 40` stops when 40
 * per cent have arrived, as a user would who presses a button. */
#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 640, HEIGHT = 480, PIXEL = 4, PITCH = WIDTH * PIXEL + 64, TILE = 160 };

#define DO(call)                                                                                                       \
    do {                                                                                                               \
        if (call) {                                                                                                    \
            fprintf(stderr, "tiles: %s: %s\n", #call, dcmem_last_detail()->message);                                   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Says how far it is; false where that is far enough. */
static bool
show(void *user, uint64_t done, uint64_t total)
{
    uint64_t percent = done * 100 / total;
    printf("%3llu %%\n", (unsigned long long)percent);
    return percent < *(const uint64_t *)user;
}

/* A tile leaves the image, is turned into its negative on the host, and comes back. */
static void
invert(dcmem_view image, unsigned x, unsigned y)
{
    static unsigned char tile[TILE][TILE * PIXEL];
    dcmem_box box = {.row_bytes = TILE * PIXEL, .rows = TILE};
    dcmem_layout here = {.offset = (uint64_t)y * PITCH + (uint64_t)x * PIXEL, .row_pitch = PITCH}, tight = {0};
    DO(dcmem_transfer_box_out(tile, tight, image, here, box, NULL));
    for (unsigned row = 0; row < TILE; row++)
        for (unsigned i = 0; i < TILE * PIXEL; i++)
            tile[row][i] = (unsigned char)~tile[row][i];
    DO(dcmem_transfer_box_in(image, here, tile, tight, box, NULL));
}

static int
run(dcmem_manager *manager, uint64_t stop_percent)
{
    static unsigned char in[HEIGHT][WIDTH * PIXEL], out[HEIGHT][WIDTH * PIXEL];
    dcmem_buffer *buffer;
    dcmem_box all = {.row_bytes = WIDTH * PIXEL, .rows = HEIGHT};
    dcmem_layout padded = {.row_pitch = PITCH}, tight = {0}; /* rows of the device's image end in a gap */
    dcmem_transfer_options watched = {
        .size = sizeof watched, .progress = show, .user = &stop_percent, .progress_bytes = sizeof in / 5};
    for (unsigned y = 0; y < HEIGHT; y++)
        for (unsigned i = 0; i < WIDTH * PIXEL; i++)
            in[y][i] = (unsigned char)(y + i);
    DO(dcmem_buffer_create(&buffer, manager, (uint64_t)PITCH * HEIGHT, NULL));
    dcmem_view image = dcmem_view_whole(buffer);

    dcmem_result result = dcmem_transfer_box_in(image, padded, in, tight, all, &watched);
    if (result) {
        printf("%s: %s\n", dcmem_result_name(result), dcmem_last_detail()->message);
        DO(dcmem_buffer_destroy(buffer));
        return 0;
    }
    for (unsigned y = 0; y < HEIGHT; y += TILE)
        for (unsigned x = 0; x < WIDTH; x += TILE)
            invert(image, x, y);
    DO(dcmem_transfer_box_out(out, tight, image, padded, all, NULL));
    DO(dcmem_buffer_destroy(buffer));
    for (unsigned y = 0; y < HEIGHT; y++)
        for (unsigned i = 0; i < WIDTH * PIXEL; i++)
            if (out[y][i] != (unsigned char)~in[y][i]) {
                fprintf(stderr, "tiles: byte %u of row %u is wrong\n", i, y);
                return 1;
            }
    printf("%d tiles are inverted\n", HEIGHT / TILE * (WIDTH / TILE));
    return 0;
}

int
main(int count, char **words)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_backend *device;
    dcmem_manager *manager;
    DO(dcmem_simulated_create(&device, &profile, 1));
    dcmem_manager_options options = {.size = sizeof options, .driver = device};
    DO(dcmem_manager_create(&manager, &options));
    int failed = run(manager, count > 1 ? strtoull(words[1], NULL, 10) : 101);
    DO(dcmem_manager_destroy(manager));
    DO(dcmem_simulated_destroy(device));
    return failed;
}
