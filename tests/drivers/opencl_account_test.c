/* opencl_account_test.c: the machine's own OpenCL with a layer before its driver: what lives there by the layer's
 * account is what lives by ours, to the byte; and calls of the real driver fail in turn, with nothing left. */
#include "drivers/opencl/card.h"
#include "layers/opencl_layer.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)

static const char layer_path[] = TEST_BUILD_DIR "/tests/layers/opencl_layer.so";
static const dcmem_call nobody = {.op_index = 1};
static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static opencl_layer_read_call *read_account;
static opencl_layer_fail_call *fail_calls;

static const dcmem_backend *
opencl(void)
{
    return dcmem_backend_find("opencl");
}

static void
find(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    EXPECT(found != NULL);
    memcpy(out, &found, sizeof found);
}

/* Puts the layer in place with the first call; skips where that cannot be. */
static void
need_layer(void)
{
    uint32_t count = 0;
    if (access(layer_path, R_OK))
        SKIP("the layer was not built: CL/cl_layer.h is missing");
    EXPECT_EQ(setenv("OPENCL_LAYERS", layer_path, 1), 0);
    if (opencl()->count(&count, opencl()))
        SKIP(dcmem_last_detail()->message);
    void *library = dlopen(layer_path, RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
    find(library, "opencl_layer_read", &read_account);
    find(library, "opencl_layer_fail", &fail_calls);
    fail_calls(0, 0, 0);

    /* A loader that knows no layers does without, and says nothing. */
    void *device = NULL;
    EXPECT_OK(opencl()->open(&device, opencl(), &plain));
    bool is_seen = read_account().contexts == 1;
    opencl()->close(device);
    if (!is_seen)
        SKIP("the OpenCL loader puts no layers before drivers");
}

static void
expect_nothing(void)
{
    opencl_layer_account now = read_account();
    EXPECT_EQ(now.bytes, 0);
    EXPECT_EQ(now.buffers, 0);
    EXPECT_EQ(now.parts, 0);
    EXPECT_EQ(now.pointers, 0);
    EXPECT_EQ(now.queues, 0);
    EXPECT_EQ(now.events, 0);
    EXPECT_EQ(now.contexts, 0);
}

/* ---- Accounts ---- */

TEST(account__of_the_driver_s_memory_is_the_budget_s_to_the_byte)
{
    need_layer();
    void *device = NULL;
    dcmem_extent extent[DCMEM_KIND_COUNT][3];
    dcmem_device_info info = {0};
    const dcmi_cl_card *card = dcmi_cl_card_at(0);
    EXPECT_OK(opencl()->open(&device, opencl(), &plain));
    EXPECT_OK(opencl()->info(&info, device));
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        for (uint64_t i = 0; i < 3; i++) {
            const dcmem_acquire request = {.bytes = 4096 << 2 * i, .alignment = 4096 << i, .kind = (dcmem_kind)kind};
            if (info.kinds & DCMEM_KIND_BIT(kind))
                EXPECT_OK(opencl()->acquire(&extent[kind][i], device, &nobody, &request));
            EXPECT_EQ(read_account().bytes, card->charged_bytes);
        }
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        for (int i = 0; i < 3; i++) {
            if (info.kinds & DCMEM_KIND_BIT(kind))
                EXPECT_OK(opencl()->release(device, &nobody, &extent[kind][i]));
            EXPECT_EQ(read_account().bytes, card->charged_bytes);
        }
    opencl()->close(device);
    expect_nothing();
}

static dcmem_stats
stats_of(dcmem_manager *manager)
{
    dcmem_stats stats = {.size = sizeof stats};
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    return stats;
}

TEST(account__of_the_driver_s_memory_is_what_a_manager_holds_to_the_byte)
{
    enum { COUNT = 200 };
    need_layer();
    void *blocks[COUNT] = {NULL};
    dcmem_manager *manager;
    const dcmem_manager_options options = {
        .size = sizeof options, .backend = "opencl", .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    for (unsigned i = 0; i < 1000; i++) {
        void **block = &blocks[i * 7919 % COUNT];
        EXPECT_OK(dcmem_raw_free(manager, *block));
        *block = dcmem_raw_allocate(manager, 1 + (uint64_t)i * i % (3 * MIB));
        EXPECT(*block != NULL);
        EXPECT_EQ(read_account().bytes, stats_of(manager).reserved_bytes);
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(dcmem_raw_free(manager, blocks[i]));
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    EXPECT_EQ(read_account().bytes, stats_of(manager).reserved_bytes);
    EXPECT_EQ(read_account().peak_bytes >= read_account().bytes, 1);
    EXPECT_OK(dcmem_manager_destroy(manager));
    expect_nothing();
}

/* ---- Failures of the real driver ---- */

/* A program's life; it goes on as far as it can. */
static void
live(void)
{
    static const char text[100] = "what a buffer holds";
    char found[100];
    dcmem_manager *manager;
    const dcmem_manager_options options = {
        .size = sizeof options, .backend = "opencl", .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    if (dcmem_manager_create(&manager, &options))
        return;
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmem_buffer *buffer;
        dcmem_access access;
        const dcmem_buffer_options of_kind = {.size = sizeof of_kind, .kind = (dcmem_kind)kind};
        if (dcmem_buffer_create_from(&buffer, manager, text, sizeof text, &of_kind))
            continue;
        if (!dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
            (void)dcmem_access_end(&access);
        if (!dcmem_buffer_copy_out(found, dcmem_view_whole(buffer), 0))
            EXPECT(memcmp(found, text, sizeof text) == 0);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static void
sweep(uint64_t fail_count, int code)
{
    uint64_t from = 0;
    do {
        fail_calls(++from, fail_count, code);
        live();
        expect_nothing();
    } while (read_account().failed);
    EXPECT_GE(from, 10);
    fail_calls(0, 0, 0);
}

TEST(account__is_empty_after_each_call_of_the_real_driver_that_failed)
{
    need_layer();
    sweep(1, -4);
    sweep(1, -5);
}

TEST(account__is_empty_after_the_real_driver_failed_from_each_call_on)
{
    need_layer();
    sweep(UINT64_MAX, -6);
}
