/* main.c: develops pictures on the program's own OpenCL context, on one queue and on two, and shows how much of the
 * copying was hidden behind kernels: opencl_pipeline [--check]
 *
 * Each picture is compared, byte for byte, with what examples/pipeline makes of it on the processor. */
#include "examples/pipeline/album.h"
#include "lane.h"

#include <stdio.h>
#include <string.h>

#define WIDTH  1920u
#define HEIGHT 1080u

static int
fail(const char *what)
{
    fprintf(stderr, "opencl_pipeline: %s\n", what);
    return 1;
}

/* ---- Developing ---- */

/* Takes the picture of that number, and compares it. */
static bool
take(lane *from, const album *of, unsigned number)
{
    image developed;
    lane_take(&developed, from);
    bool is_right = album_agrees(of, number, &developed);
    image_fini(&developed);
    return is_right;
}

/* Pictures go to the lanes in turn. What a lane developed is taken when it gets its next picture: by then the other
 * lanes have work. */
static bool
develop(timeline_sums *out, const album *from, device *on, dcmem_manager *manager, unsigned lane_count)
{
    timeline times = {0};
    lane lanes[DEVICE_QUEUES];
    bool is_right = true;
    unsigned turn = 0;
    for (unsigned i = 0; i < lane_count; i++)
        lane_init(&lanes[i], on, i, manager, from->pictures[0].width, from->pictures[0].height, &times);
    for (unsigned i = 0; i < ALBUM_PICTURES + lane_count; i++) {
        lane *it = &lanes[turn];
        turn = turn + 1 < lane_count ? turn + 1 : 0;
        if (i < ALBUM_PICTURES)
            lane_put(it, &from->pictures[i]);
        if (i >= lane_count)
            is_right &= take(it, from, i - lane_count);
        if (i < ALBUM_PICTURES)
            lane_develop(it);
    }
    for (unsigned i = 0; i < lane_count; i++)
        lane_fini(&lanes[i]);
    *out = timeline_end(&times);
    return is_right;
}

static void
show(const timeline_sums *sums, unsigned lanes)
{
    printf("queues: %u   in all %.1f ms, copies %.1f ms, kernels %.1f ms; while a kernel ran: %.0f %% of the copies\n",
           lanes, (double)sums->all_ns / 1e6, (double)sums->copy_ns / 1e6, (double)sums->kernel_ns / 1e6,
           100 * (double)sums->both_ns / (double)(sums->copy_ns ? sums->copy_ns : 1));
}

/* On one queue, then on two. What is shown is a second round: in the first, drivers build kernels for their sizes. */
static bool
develop_all(device *on, dcmem_manager *manager, uint32_t width, uint32_t height, bool is_shown)
{
    album pictures;
    timeline_sums sums;
    bool is_right = true;
    if (album_init(&pictures, width, height)) {
        fprintf(stderr, "opencl_pipeline: %s\n", dcmem_last_detail()->message);
        return false;
    }
    for (unsigned lanes = 1; is_right && lanes <= DEVICE_QUEUES; lanes++) {
        is_right = develop(&sums, &pictures, on, manager, lanes);
        if (is_right && is_shown)
            is_right = develop(&sums, &pictures, on, manager, lanes);
        if (is_right && is_shown)
            show(&sums, lanes);
    }
    album_fini(&pictures);
    if (is_right)
        printf("%u pictures of %u x %u are what the processor makes of them\n", ALBUM_PICTURES, width, height);
    return is_right;
}

int
main(int count, char **arguments)
{
    /* Odd sizes find what even ones forgive. No more of them: PoCL builds each kernel for each size. */
    static const uint32_t sizes[][2] = {{19, 13}, {1, 1}, {64, 48}};
    bool is_check = count == 2 && strcmp(arguments[1], "--check") == 0;
    device own;
    dcmem_manager *manager;
    if (count > 1 && !is_check)
        return fail("usage: opencl_pipeline [--check]");
    if (!device_open(&own))
        return 77;

    /* Lent to dcmem, which releases none of it. */
    const dcmem_native_context native = {
        .size = sizeof native,
        .instance = (uint64_t)(uintptr_t)own.platform,
        .context = (uint64_t)(uintptr_t)own.context,
        .device = (uint64_t)(uintptr_t)own.id,
    };
    const dcmem_manager_options options = {.size = sizeof options, .backend = "opencl", .native = &native};
    if (dcmem_manager_create(&manager, &options))
        return fail(dcmem_last_detail()->message);

    bool is_right = true;
    printf("on %s\n", own.name);
    for (size_t i = 0; is_check && i < sizeof sizes / sizeof *sizes; i++)
        is_right &= develop_all(&own, manager, sizes[i][0], sizes[i][1], false);
    if (!is_check)
        is_right = develop_all(&own, manager, WIDTH, HEIGHT, true);

    if (dcmem_manager_destroy(manager))
        return fail(dcmem_last_detail()->message);
    device_close(&own);
    return is_right ? 0 : 1;
}
