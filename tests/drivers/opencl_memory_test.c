/* opencl_memory_test.c: memory of OpenCL devices: what each kind is made of, what is paid for it, and that it goes. */
#include "opencl.h"

#include "base/os.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Budget ---- */

TEST(budget__ends_where_the_device_s_memory_ends_whatever_the_driver_gives)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent[4], more = {.bytes = 42};
    for (int i = 0; i < 4; i++)
        extent[i] = opencl_acquired(device, 64 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(library->live.bytes, 256 * MIB);
    EXPECT_EQ(opencl_info(device).free_bytes, 0);
    EXPECT_RESULT(opencl_acquire(&more, device, 4096, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("4096 bytes; 0 of the device's 268435456 are free");
    EXPECT_EQ(more.bytes, 42);
    opencl_released(device, &extent[2]);
    extent[2] = opencl_acquired(device, 64 * MIB - 4096, DCMEM_KIND_HOST_VISIBLE);
    more = opencl_acquired(device, 4096, DCMEM_KIND_DEVICE);
    opencl_released(device, &more);
    for (int i = 0; i < 4; i++)
        opencl_released(device, &extent[i]);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(budget__is_one_for_all_who_have_the_device_open)
{
    stand_in *library = stand_in_use(processor);
    void *one = opencl_opened(0), *two = opencl_opened(0), *other = opencl_opened(1);
    dcmem_extent extent = opencl_acquired(one, 64 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(opencl_info(two).heaps[0].free_bytes, opencl_info(one).heaps[0].free_bytes);
    EXPECT_LE(opencl_info(two).free_bytes, 192 * MIB);
    EXPECT_GE(opencl_info(other).total_bytes, 256 * MIB);
    dcmem_extent rest[3];
    for (int i = 0; i < 3; i++)
        rest[i] = opencl_acquired(two, 64 * MIB, DCMEM_KIND_DEVICE);
    dcmem_extent none;
    EXPECT_RESULT(opencl_acquire(&none, one, 4096, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    dcmem_extent apart = opencl_acquired(other, 64 * MIB, DCMEM_KIND_DEVICE);
    opencl_released(other, &apart);
    for (int i = 0; i < 3; i++)
        opencl_released(two, &rest[i]);
    opencl_released(one, &extent);
    opencl()->close(one);
    opencl()->close(two);
    opencl()->close(other);
    EXPECT_NOTHING_LIVES(library);
}

TEST(budget__what_is_larger_than_the_largest_is_too_large_without_a_call)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent;
    uint64_t calls = library->calls;
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE, DCMEM_KIND_PINNED,
                                       DCMEM_KIND_MANAGED};
    for (int i = 0; i < 4; i++) {
        EXPECT_RESULT(opencl_acquire(&extent, device, 64 * MIB + 4096, kinds[i]), DCMEM_E_TOO_LARGE);
        EXPECT_DETAIL("at most 67108864 at once");
        EXPECT_RESULT(opencl_acquire(&extent, device, 1ull << 63, kinds[i]), DCMEM_E_TOO_LARGE);
        EXPECT_RESULT(opencl_acquire(&extent, device, UINT64_MAX - 4095, kinds[i]), DCMEM_E_TOO_LARGE);
    }
    EXPECT_EQ(library->calls, calls);
    opencl()->close(device);
}

TEST(budget__host_memory_costs_the_device_nothing)
{
    stand_in *library = stand_in_use(discrete());
    void *device = opencl_opened(0);
    dcmem_extent host = opencl_acquired(device, 16 * MIB, DCMEM_KIND_HOST);
    dcmem_extent pinned = opencl_acquired(device, 16 * MIB, DCMEM_KIND_PINNED);
    EXPECT_EQ(opencl_info(device).free_bytes, 256 * MIB);
    dcmem_extent own = opencl_acquired(device, 16 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(opencl_info(device).free_bytes, 240 * MIB);
    opencl_released(device, &host);
    opencl_released(device, &pinned);
    opencl_released(device, &own);
    EXPECT_EQ(opencl_info(device).free_bytes, 256 * MIB);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

static bool
no_room(const char *what)
{
    (void)what;
    return true;
}

TEST(budget__a_process_without_address_space_is_told_before_the_driver_falls_over_it)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent;
    uint64_t calls = library->calls;
    dcmi_os_fault = no_room;
    dcmem_result of_device = opencl_acquire(&extent, device, 4096, DCMEM_KIND_DEVICE);
    dcmem_result of_managed = opencl_acquire(&extent, device, 4096, DCMEM_KIND_MANAGED);
    dcmem_result of_host = opencl_acquire(&extent, device, 4096, DCMEM_KIND_HOST);
    dcmi_os_fault = NULL;
    EXPECT_EQ(of_device, DCMEM_E_NO_MEMORY);
    EXPECT_EQ(of_managed, DCMEM_E_NO_MEMORY);
    EXPECT_EQ(of_host, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_EQ(library->calls, calls);
    EXPECT_EQ(opencl_info(device).heaps[0].free_bytes, opencl_info(device).free_bytes);
    opencl()->close(device);

    stand_in_shape shape = discrete();
    shape.is_unified = 1;
    library = stand_in_use(shape);
    device = opencl_opened(0);
    dcmi_os_fault = no_room;
    dcmem_result of_usm = opencl_acquire(&extent, device, 4096, DCMEM_KIND_MANAGED);
    dcmi_os_fault = NULL;
    EXPECT_EQ(of_usm, DCMEM_E_NO_MEMORY);
    opencl()->close(device);

    library = stand_in_use(discrete());
    device = opencl_opened(0);
    dcmi_os_fault = no_room;
    dcmem_result of_card = opencl_acquire(&extent, device, 4096, DCMEM_KIND_DEVICE);
    dcmi_os_fault = NULL;
    EXPECT_OK(of_card); /* Its memory is not the process's. */
    opencl_released(device, &extent);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- What memory is made of ---- */

TEST(memory__a_buffer_was_used_before_it_is_given_out)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    uint64_t fills = library->fills;
    dcmem_extent extent = opencl_acquired(device, MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(library->fills, fills + 1);
    opencl_released(device, &extent);
    opencl()->close(device);
}

TEST(memory__of_the_device_and_host_visible_is_a_buffer_and_no_host_address)
{
    (void)stand_in_use(processor);
    void *device = opencl_opened(0);
    static const dcmem_kind kinds[] = {DCMEM_KIND_DEVICE, DCMEM_KIND_HOST_VISIBLE};
    for (int i = 0; i < 2; i++) {
        dcmem_extent extent = opencl_acquired(device, 64 * KIB, kinds[i]);
        EXPECT(extent.object != 0 && extent.object != extent.address);
        EXPECT(!extent.host);
        opencl_released(device, &extent);
    }
    opencl()->close(device);
}

TEST(memory__pinned_stays_mapped_while_it_lives)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_PINNED);
    EXPECT(extent.host && (uintptr_t)extent.host % 4096 == 0);
    EXPECT_EQ(library->live.maps, 1);
    opencl_released(device, &extent);
    EXPECT_EQ(library->live.maps, 0);
    opencl()->close(device);
}

TEST(memory__shared_virtual_memory_has_one_address_for_both_sides)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent fine = opencl_acquired(device, 64 * KIB, DCMEM_KIND_MANAGED);
    EXPECT(fine.object == fine.address && fine.host == (void *)(uintptr_t)fine.address);
    EXPECT_EQ(library->live.pointers, 1);
    opencl_released(device, &fine);
    opencl()->close(device);

    library = stand_in_use(integrated());
    device = opencl_opened(0);
    dcmem_extent coarse = opencl_acquired(device, 64 * KIB, DCMEM_KIND_MANAGED);
    EXPECT(coarse.object == coarse.address && !coarse.host);
    void *host = NULL;
    EXPECT_OK(opencl()->map(&host, device, &nobody, &coarse, 100, 10, DCMEM_MAP_READ_BIT));
    EXPECT_EQ((uintptr_t)host, coarse.address + 100);
    EXPECT_OK(opencl()->unmap(device, &nobody, &coarse, host));
    opencl_released(device, &coarse);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__unified_shared_memory_is_used_where_the_extension_is)
{
    stand_in *library = stand_in_use(discrete());
    void *device = opencl_opened(0);
    dcmem_extent shared = opencl_acquired(device, 64 * KIB, DCMEM_KIND_MANAGED);
    dcmem_extent pinned = opencl_acquired(device, 64 * KIB, DCMEM_KIND_PINNED);
    EXPECT(shared.object == shared.address && (uintptr_t)shared.host == shared.address);
    EXPECT(pinned.object == pinned.address && (uintptr_t)pinned.host == pinned.address);
    EXPECT_EQ(library->live.pointers, 2);
    EXPECT_EQ(library->live.buffers, 0);
    opencl_released(device, &shared);
    opencl_released(device, &pinned);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__a_buffer_has_an_address_where_the_extension_is)
{
    stand_in *library = stand_in_use(integrated());
    void *device = opencl_opened(1);
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    EXPECT(extent.address != 0 && extent.address != extent.object);
    EXPECT_EQ(extent.address % 4096, 0);
    opencl_released(device, &extent);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__what_lies_askew_is_cut_to_alignment_out_of_more)
{
    stand_in_shape shape = processor;
    shape.skew_bytes = 384;
    stand_in *library = stand_in_use(shape);
    void *device = opencl_opened(0);
    for (uint64_t alignment = 4096; alignment <= MIB; alignment *= 2)
        for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
            dcmem_extent extent;
            const dcmem_acquire request = {.bytes = 64 * KIB, .alignment = alignment, .kind = (dcmem_kind)kind};
            EXPECT_OK(opencl()->acquire(&extent, device, &nobody, &request));
            EXPECT_EQ((uintptr_t)extent.host % alignment, 0);
            EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 64 * KIB, 7));
            opencl_released(device, &extent);
        }
    EXPECT_EQ(opencl_info(device).heaps[0].total_bytes, 256 * MIB);
    EXPECT_EQ(library->live.bytes, 0);

    dcmem_extent pinned = opencl_acquired(device, 64 * KIB, DCMEM_KIND_PINNED);
    EXPECT_EQ(library->live.bytes, 68 * KIB);
    opencl_released(device, &pinned);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__a_driver_that_cuts_askew_is_refused)
{
    stand_in *library = stand_in_use(integrated());
    void *device = opencl_opened(0);
    dcmem_extent extent;
    library->shape.part_skew = 8;
    EXPECT_RESULT(opencl_acquire(&extent, device, 64 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_DRIVER);
    EXPECT_DETAIL("not where it was cut");
    library->shape.alignment_bits = 1 << 16;
    EXPECT_RESULT(opencl_acquire(&extent, device, 64 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_MISALIGNED);
    opencl()->close(device);

    /* One that does so from the beginning has no addresses. */
    stand_in_shape shape = integrated();
    shape.part_skew = 8;
    library = stand_in_use(shape);
    device = opencl_opened(0);
    extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(extent.address, 0);
    opencl_released(device, &extent);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__what_does_not_fit_with_its_alignment_is_refused)
{
    stand_in_shape shape = processor;
    shape.skew_bytes = 128;
    stand_in *library = stand_in_use(shape);
    void *device = opencl_opened(0);
    dcmem_extent extent;
    EXPECT_RESULT(opencl_acquire(&extent, device, 64 * MIB, DCMEM_KIND_MANAGED), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(opencl_acquire(&extent, device, 64 * MIB, DCMEM_KIND_PINNED), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(opencl_acquire(&extent, device, UINT64_MAX - 4095, DCMEM_KIND_HOST), DCMEM_E_NO_HOST_MEMORY);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__what_is_no_kind_is_refused)
{
    (void)stand_in_use(discrete());
    void *device = opencl_opened(0);
    dcmem_extent extent = {.bytes = 42};
    EXPECT_RESULT(opencl_acquire(&extent, device, 4096, DCMEM_KIND_COUNT), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(opencl_acquire(&extent, device, 4096, DCMEM_KIND_HOST_VISIBLE), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(extent.bytes, 42);
    opencl()->close(device);
}

/* ---- Copies, fills, maps ---- */

TEST(memory__fills_use_the_widest_pattern_that_fits)
{
    static const struct {
        uint64_t offset, bytes, widest;
        uint32_t pattern_bytes;
    } cases[] = {{0, 4096, 64, 1}, {0, 4096, 64, 16}, {32, 4096, 32, 4}, {0, 48, 16, 2}, {3, 5, 1, 1}, {8, 24, 8, 8}};
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dcmem_place to = in_extent(&extent, cases[i].offset);
        library->widest_pattern = 0;
        EXPECT_OK(opencl()->fill(device, &nobody, &to, cases[i].bytes, "0123456789abcdef", cases[i].pattern_bytes));
        EXPECT_EQ(library->widest_pattern, cases[i].widest);
    }
    opencl_released(device, &extent);
    opencl()->close(device);
}

TEST(memory__a_command_that_fails_later_says_why)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    char host[64] = {0};
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    library->event_code = CL_OUT_OF_RESOURCES;
    EXPECT_RESULT(opencl_copy(device, in_extent(&extent, 0), in_host(host), 64), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(dcmem_last_detail()->driver_code, CL_OUT_OF_RESOURCES);
    library->event_code = -9999;
    EXPECT_RESULT(opencl_fill(device, in_extent(&extent, 0), 64, 1), DCMEM_E_DRIVER);
    EXPECT_EQ(dcmem_last_detail()->driver_code, -9999);

    /* Of an event that will not say why, that it failed is what is known. */
    library->fail_name = "clGetEventInfo";
    library->fail_code = CL_INVALID_EVENT;
    library->calls = 0;
    library->fail_from = 1;
    library->fail_count = 1;
    EXPECT_RESULT(opencl_copy(device, in_host(host), in_extent(&extent, 0), 64), DCMEM_E_DRIVER);
    EXPECT_EQ(dcmem_last_detail()->driver_code, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    library->event_code = CL_COMPLETE;
    opencl_released(device, &extent);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__a_device_that_is_lost_says_so)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    char host[64];
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_DEVICE);
    library->fail_code = CL_INVALID_COMMAND_QUEUE;
    library->fail_from = library->calls + 1;
    library->fail_count = UINT64_MAX;
    EXPECT_RESULT(opencl_copy(device, in_host(host), in_extent(&extent, 0), 64), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(opencl()->release(device, &nobody, &extent), DCMEM_E_DEVICE_LOST);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__coherent_memory_is_flushed_without_a_call)
{
    stand_in *library = stand_in_use(processor);
    void *device = opencl_opened(0);
    dcmem_extent extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_HOST_VISIBLE);
    uint64_t calls = library->calls;
    EXPECT_OK(opencl()->flush(device, &nobody, &extent, 0, 4096));
    EXPECT_OK(opencl()->invalidate(device, &nobody, &extent, 0, 4096));
    EXPECT_EQ(library->calls, calls);
    opencl_released(device, &extent);
    opencl()->close(device);

    library = stand_in_use(integrated());
    device = opencl_opened(0);
    extent = opencl_acquired(device, 64 * KIB, DCMEM_KIND_HOST_VISIBLE);
    uint64_t maps = library->maps;
    EXPECT_OK(opencl()->flush(device, &nobody, &extent, 0, 4096));
    EXPECT_OK(opencl()->invalidate(device, &nobody, &extent, 0, 4096));
    EXPECT_EQ(library->maps, maps + 2);
    opencl_released(device, &extent);
    opencl()->close(device);
}

TEST(memory__maps_carry_what_they_are_for)
{
    /* The stand-in shows a second memory: what is not asked for does not come. */
    (void)stand_in_use(integrated());
    void *device = opencl_opened(0), *host = NULL;
    dcmem_extent extent = opencl_acquired(device, 4096, DCMEM_KIND_HOST_VISIBLE);
    EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 4096, 1));
    EXPECT_OK(opencl()->map(&host, device, &nobody, &extent, 0, 4096, DCMEM_MAP_READ_BIT));
    EXPECT_EQ(*(unsigned char *)host, 1);
    EXPECT_OK(opencl()->unmap(device, &nobody, &extent, host));

    EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 4096, 2));
    EXPECT_OK(opencl()->map(&host, device, &nobody, &extent, 0, 4096, DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT));
    EXPECT_EQ(*(unsigned char *)host, 1);
    EXPECT_OK(opencl()->unmap(device, &nobody, &extent, host));

    EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 4096, 3));
    EXPECT_OK(opencl()->map(&host, device, &nobody, &extent, 0, 4096,
                            DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT));
    EXPECT_EQ(*(unsigned char *)host, 3);
    EXPECT_OK(opencl()->unmap(device, &nobody, &extent, host));
    opencl_released(device, &extent);
    opencl()->close(device);
}

TEST(memory__what_the_device_wrote_last_into_imported_memory_reaches_its_owner)
{
    static unsigned char memory[8192];
    stand_in *library = stand_in_use(integrated());
    void *device = opencl_opened(0), *queue = NULL;
    dcmem_extent extent = {0};
    EXPECT_OK(opencl()->import_host(&extent, device, &nobody, memory, sizeof memory));
    EXPECT(extent.host == memory);
    EXPECT_EQ(extent.kind, DCMEM_KIND_HOST_VISIBLE);
    EXPECT_OK(opencl()->queue_open(&queue, device, NULL));
    uint64_t value;
    const dcmem_place to = in_extent(&extent, 0);
    EXPECT_OK(opencl()->enqueue_fill(&value, device, queue, &nobody, &to, sizeof memory, "\x5a", 1));
    opencl()->queue_close(device, queue);
    EXPECT_EQ(memory[0], 0);
    opencl_released(device, &extent);
    EXPECT_EQ(memory[0], 0x5a);
    EXPECT_EQ(memory[8191], 0x5a);

    EXPECT_OK(opencl()->import_host(&extent, device, &nobody, memory, sizeof memory));
    EXPECT_OK(opencl_fill(device, in_extent(&extent, 0), 4096, 0x11));
    EXPECT_EQ(memory[0], 0x11);
    opencl_released(device, &extent);
    opencl()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Peers ---- */

TEST(peers__are_devices_of_one_context_and_must_be_enabled)
{
    stand_in_shape shape = processor;
    shape.platform_count = 2;
    stand_in *library = stand_in_use(shape);
    void *one = opencl_opened(0), *two = opencl_opened(1), *foreign = opencl_opened(2);
    bool can = false;
    EXPECT_OK(opencl()->peer_can(&can, one, two));
    EXPECT(can);
    EXPECT_OK(opencl()->peer_can(&can, one, foreign));
    EXPECT(!can);
    EXPECT_RESULT(opencl()->peer_enable(one, foreign), DCMEM_E_UNSUPPORTED);

    dcmem_extent to = opencl_acquired(one, 4096, DCMEM_KIND_DEVICE),
                 from = opencl_acquired(two, 4096, DCMEM_KIND_DEVICE);
    const dcmem_place there = in_extent(&to, 0), here = in_extent(&from, 0);
    EXPECT_OK(opencl_fill(two, here, 4096, 9));
    EXPECT_RESULT(opencl()->peer_copy(one, &nobody, &there, two, &here, 4096), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(opencl()->peer_copy(one, &nobody, &there, foreign, &here, 4096), DCMEM_E_WRONG_STATE);
    EXPECT_OK(opencl()->peer_enable(one, two));
    EXPECT_OK(opencl()->peer_enable(one, two));
    EXPECT_OK(opencl()->peer_disable(one, two));
    EXPECT_OK(opencl()->peer_copy(one, &nobody, &there, two, &here, 4096));
    EXPECT_OK(opencl()->peer_disable(one, two));
    EXPECT_RESULT(opencl()->peer_copy(one, &nobody, &there, two, &here, 4096), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(opencl()->peer_disable(one, two), DCMEM_E_WRONG_STATE);
    unsigned char byte = 0;
    EXPECT_OK(opencl_copy(one, in_host(&byte), there, 1));
    EXPECT_EQ(byte, 9);
    opencl_released(one, &to);
    opencl_released(two, &from);
    opencl()->close(one);
    opencl()->close(two);
    opencl()->close(foreign);
    EXPECT_NOTHING_LIVES(library);
}
