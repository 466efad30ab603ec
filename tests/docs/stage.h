/* stage.h: where the programs of docs/migration.md run: devices under a name, and a kernel that doubles floats.
 *
 * The kernel knows memory as kernels do: by an address of the device, or by an object and an offset. On a device with a
 * memory of its own it sees what was brought there and nothing else. */
#ifndef DCMI_TEST_STAGE_H
#define DCMI_TEST_STAGE_H

#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#define COUNT 3000u

/* As docs/migration.md shows it. */
/* show: try */
#define TRY(call)                                                                                                      \
    if (call) {                                                                                                        \
        fprintf(stderr, "%s\n", dcmem_last_detail()->message);                                                         \
        return -1;                                                                                                     \
    }
/* end */

typedef struct stage {
    const char *name; /* what the programs are given as `backend` */
    uint32_t flags;   /* DCMEM_SIMULATED_*; none and no `name`: a memory of its own */
    dcmem_backend *simulated;
    dcmem_fake *fake;
} stage;

/* Where the kernel runs. */
static stage *on_stage;

static inline void
stage_open(stage *it)
{
    on_stage = it;
    if (strcmp(it->name, "cpu") == 0)
        return;
    dcmem_simulated_profile profile;
    memset(&profile, 0, sizeof profile);
    profile.size = sizeof profile;
    profile.flags = it->flags;
    profile.total_bytes = 64ull << 20;
    EXPECT_OK(dcmem_simulated_create(&it->simulated, &profile, 1));
    dcmem_fake_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.over = it->simulated;
    options.name = it->name;
    EXPECT_OK(dcmem_fake_create(&it->fake, &options));
    EXPECT_OK(dcmem_backend_register(dcmem_fake_backend(it->fake)));
}

static inline void
stage_close(stage *it)
{
    on_stage = NULL;
    if (!it->fake)
        return;
    EXPECT_OK(dcmem_backend_unregister(dcmem_fake_backend(it->fake)));
    EXPECT_OK(dcmem_fake_verify(it->fake));
    EXPECT_EQ(dcmem_fake_live_extents(it->fake), 0);
    EXPECT_OK(dcmem_fake_destroy(it->fake));
    EXPECT_OK(dcmem_simulated_destroy(it->simulated));
}

/* ---- The kernel ---- */

static inline void
double_in(dcmem_native where, size_t count)
{
    float numbers[COUNT];
    EXPECT_LE(count, COUNT);
    if (!on_stage->simulated) {
        float *at = (float *)(uintptr_t)(where.object + where.offset);
        for (size_t i = 0; i < count; i++)
            at[i] *= 2;
        return;
    }
    EXPECT_OK(dcmem_simulated_read(numbers, on_stage->simulated, 0, &where, 0, count * sizeof *numbers));
    for (size_t i = 0; i < count; i++)
        numbers[i] *= 2;
    EXPECT_OK(dcmem_simulated_write(on_stage->simulated, 0, &where, 0, numbers, count * sizeof *numbers));
}

static inline void
double_at(float *address, size_t count)
{
    dcmem_native where;
    memset(&where, 0, sizeof where);
    where.object = (uintptr_t)address;
    where.bytes = count * sizeof *address;
    double_in(where, count);
}

/* ---- What a program must do ---- */

/* Reads `count` floats from `input`, has them doubled on a device of `backend`, and writes them to `output`. */
typedef int (*program)(const char *backend, const float *input, float *output, size_t count);

static inline void
expect_doubled_on(stage *it, program run)
{
    float input[COUNT], output[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        input[i] = (float)i + 1;
        output[i] = -1;
    }
    stage_open(it);
    EXPECT_EQ(run(it->name, input, output, COUNT), 0);
    stage_close(it);
    for (size_t i = 0; i < COUNT; i++)
        EXPECT(output[i] == ((float)i + 1) * 2);
}

#endif
