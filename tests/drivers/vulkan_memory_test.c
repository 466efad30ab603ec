/* vulkan_memory_test.c: what each acquire gives, where it lies, what it costs, and what is told of it to the driver. */
#include "vulkan.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- Alignment ---- */

static dcmem_result
acquire_aligned(dcmem_extent *out, void *device, uint64_t alignment)
{
    const dcmem_acquire request = {.bytes = 64 * KIB, .alignment = alignment, .kind = DCMEM_KIND_DEVICE};
    return vulkan()->acquire(out, device, &nobody, &request);
}

TEST(memory__what_lies_askew_is_shifted_into_place)
{
    stand_in *library = stand_in_use(processor);
    void *device = vulkan_opened(0);
    for (uint64_t alignment = 64; alignment <= 1 * MIB; alignment *= 4) {
        dcmem_extent extent = {0};
        EXPECT_OK(acquire_aligned(&extent, device, alignment));
        EXPECT_EQ(extent.address % alignment, 0);
        EXPECT_EQ(extent.address % 4096, 0);
        vulkan_released(device, &extent);
    }
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(memory__buffers_that_cannot_be_bound_at_the_place_are_refused)
{
    dcmem_extent extent, lucky;
    stand_in_shape shape = discrete();
    shape.has_addresses = true;
    shape.skew_bytes = 64;
    shape.wants_dedicated = false;
    shape.alignment = 128;
    stand_in *library = stand_in_use(shape);
    void *device = NULL;
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &plain), DCMEM_E_MISALIGNED);
    EXPECT_DETAIL("4096");
    EXPECT_NOTHING_LIVES(library);

    shape.alignment = 64;
    shape.bound_skew = 8;
    library = stand_in_use(shape);
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &plain), DCMEM_E_DRIVER);
    EXPECT_NOTHING_LIVES(library);

    shape.skew_bytes = 0;
    shape.wants_dedicated = true;
    library = stand_in_use(shape);
    device = vulkan_opened(0);
    EXPECT_GE(library->dedicated, 1);
    /* A sanitizer's heap may begin at such a place; two pieces cannot both lie there. */
    bool is_lucky = !acquire_aligned(&lucky, device, 1 * GIB);
    EXPECT_RESULT(acquire_aligned(&extent, device, 1 * GIB), DCMEM_E_MISALIGNED);
    if (is_lucky)
        vulkan_released(device, &lucky);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Directness ---- */

static bool
is_direct(stand_in_shape shape, dcmem_kind kind)
{
    (void)stand_in_use(shape);
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 4096, kind);
    bool is_direct = extent.direct;
    if (is_direct && extent.host)
        EXPECT(extent.direct == extent.host);
    vulkan_released(device, &extent);
    vulkan()->close(device);
    return is_direct;
}

TEST(memory__is_direct_where_the_host_sees_it_cached_and_coherent)
{
    EXPECT(is_direct(processor, DCMEM_KIND_DEVICE));
    EXPECT(is_direct(processor, DCMEM_KIND_HOST));
    EXPECT(!is_direct(integrated(), DCMEM_KIND_DEVICE));
    EXPECT(is_direct(integrated(), DCMEM_KIND_HOST));
    EXPECT(!is_direct(discrete(), DCMEM_KIND_DEVICE));
    EXPECT(!is_direct(discrete(), DCMEM_KIND_HOST_VISIBLE)); /* a window: coherent, and not cached */
}

/* ---- Budget ---- */

TEST(memory__a_heap_gives_no_more_than_it_has)
{
    dcmem_extent extent, given[8];
    int count = 0;
    (void)stand_in_use(integrated());
    void *device = vulkan_opened(0), *other = vulkan_opened(0);
    while (count < 8 && !vulkan_acquire(&given[count], count & 1 ? other : device, 60 * MIB, DCMEM_KIND_DEVICE))
        count++;
    EXPECT_EQ(count, 4);
    EXPECT_RESULT(vulkan_acquire(&extent, device, 60 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(vulkan_acquire(&extent, device, 65 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(vulkan_acquire(&extent, device, 4096, DCMEM_KIND_MANAGED), DCMEM_E_UNSUPPORTED);
    while (count-- > 0)
        vulkan_released(count & 1 ? other : device, &given[count]);
    vulkan()->close(other);
    vulkan()->close(device);
}

TEST(memory__whose_size_and_alignment_do_not_fit_64_bits_is_too_large)
{
    dcmem_extent extent;
    stand_in_shape shape = processor;
    shape.largest_bytes = UINT64_MAX;
    (void)stand_in_use(shape);
    void *device = vulkan_opened(0);
    const dcmem_acquire request = {.bytes = 1ull << 63, .alignment = 1ull << 63, .kind = DCMEM_KIND_DEVICE};
    EXPECT_RESULT(vulkan()->acquire(&extent, device, &nobody, &request), DCMEM_E_TOO_LARGE);
    vulkan()->close(device);
}

TEST(memory__of_the_host_ends_where_the_address_space_does)
{
    dcmem_extent extent;
    (void)stand_in_use(processor);
    void *device = vulkan_opened(0);
    EXPECT_RESULT(vulkan_acquire(&extent, device, 1ull << 62, DCMEM_KIND_HOST), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(vulkan_acquire(&extent, device, UINT64_MAX - 4095, DCMEM_KIND_HOST), DCMEM_E_NO_HOST_MEMORY);
    vulkan()->close(device);
}

/* ---- Maps ---- */

TEST(map__of_memory_that_the_host_does_not_see_is_refused)
{
    void *host = NULL;
    (void)stand_in_use(discrete());
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    EXPECT_RESULT(vulkan()->map(&host, device, &nobody, &extent, 0, 4096, DCMEM_MAP_READ_BIT), DCMEM_E_UNSUPPORTED);
    EXPECT(!host);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(flush__tells_of_whole_units_and_not_past_the_memory_s_end)
{
    stand_in *library = stand_in_use(integrated());
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 8192, DCMEM_KIND_HOST_VISIBLE);
    EXPECT_OK(vulkan()->flush(device, &nobody, &extent, 100, 1));
    EXPECT_EQ(library->last_range.offset, 64);
    EXPECT_EQ(library->last_range.size, 64);
    EXPECT_OK(vulkan()->invalidate(device, &nobody, &extent, 64, 65));
    EXPECT_EQ(library->last_range.offset, 64);
    EXPECT_EQ(library->last_range.size, 128);
    EXPECT_OK(vulkan()->flush(device, &nobody, &extent, 8191, 1));
    EXPECT_EQ(library->last_range.size, 64);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(flush__of_coherent_memory_is_no_call)
{
    stand_in *library = stand_in_use(processor);
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 8192, DCMEM_KIND_DEVICE);
    EXPECT_OK(vulkan()->flush(device, &nobody, &extent, 0, 8192));
    EXPECT_OK(vulkan()->invalidate(device, &nobody, &extent, 0, 8192));
    EXPECT_EQ(library->flushes, 0);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

/* ---- Copies and fills ---- */

TEST(copy__between_places_that_the_host_sees_as_its_own_is_no_command)
{
    unsigned char bytes[64] = {7};
    stand_in *library = stand_in_use(processor);
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 8192, DCMEM_KIND_DEVICE);
    EXPECT_OK(vulkan_copy(device, in_extent(&extent, 0), in_host(bytes), 64));
    EXPECT_OK(vulkan_fill(device, in_extent(&extent, 1), 63, 5));
    EXPECT_OK(vulkan_copy(device, in_host(bytes), in_extent(&extent, 0), 64));
    EXPECT(bytes[0] == 7 && bytes[63] == 5);
    EXPECT_EQ(library->submissions, 0);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(fill__of_words_is_one_command_and_of_other_patterns_copies)
{
    stand_in *library = stand_in_use(discrete());
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 16 * MIB, DCMEM_KIND_DEVICE);
    const dcmem_place whole = in_extent(&extent, 0), odd = in_extent(&extent, 1);
    EXPECT_OK(vulkan()->fill(device, &nobody, &whole, 16 * MIB, "abcdabcd", 8));
    EXPECT_EQ(library->fills, 1);
    EXPECT_EQ(library->regions, 0);
    EXPECT_OK(vulkan()->fill(device, &nobody, &whole, 2 * MIB, "abcdefgh", 8));
    EXPECT_EQ(library->regions, 16);
    EXPECT_OK(vulkan()->fill(device, &nobody, &odd, 64 * KIB, "a", 1));
    EXPECT_EQ(library->regions, 17);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

/* ---- Import ---- */

TEST(import__begins_where_buffers_can_begin)
{
    static unsigned char memory[16384] __attribute__((aligned(4096)));
    dcmem_extent extent = {0};
    stand_in *library = stand_in_use(processor);
    void *device = vulkan_opened(0);
    EXPECT_RESULT(vulkan()->import_host(&extent, device, &nobody, memory + 7, 4096), DCMEM_E_MISALIGNED);
    EXPECT_DETAIL("64");
    EXPECT_RESULT(vulkan()->import_host(&extent, device, &nobody, memory, UINT64_MAX), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(vulkan()->import_host(&extent, device, &nobody, memory + 64, UINT64_MAX - 7), DCMEM_E_TOO_LARGE);
    EXPECT_OK(vulkan()->import_host(&extent, device, &nobody, memory + 64, 5000));
    EXPECT(extent.host == memory + 64);
    EXPECT_OK(vulkan_fill(device, in_extent(&extent, 0), 5000, 9));
    EXPECT(memory[63] == 0 && memory[64] == 9 && memory[5063] == 9 && memory[5064] == 0);
    vulkan_released(device, &extent);
    library->shape.import_types = 0;
    EXPECT_RESULT(vulkan()->import_host(&extent, device, &nobody, memory, 4096), DCMEM_E_UNSUPPORTED);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Sharing ---- */

static dcmem_extent
shared_extent(void *device, dcmem_ipc_handle *handle)
{
    dcmem_extent extent = {0};
    const dcmem_acquire request = {.bytes = 8192, .kind = DCMEM_KIND_DEVICE, .flags = DCMEM_ACQUIRE_SHARED};
    EXPECT_OK(vulkan()->acquire(&extent, device, &nobody, &request));
    EXPECT_OK(vulkan()->ipc_export(handle, device, &nobody, &extent));
    return extent;
}

static void
expect_no_handle(void *device, const dcmem_ipc_handle *handle)
{
    dcmem_extent imported = {.bytes = 42};
    EXPECT_RESULT(vulkan()->ipc_import(&imported, device, &nobody, handle), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(imported.bytes, 42);
}

TEST(share__a_handle_with_any_byte_of_it_changed_is_refused_or_harmless)
{
    dcmem_ipc_handle handle = {.fd = -1};
    stand_in *library = stand_in_use(processor);
    void *device = vulkan_opened(0), *other = vulkan_opened(1);
    dcmem_extent extent = shared_extent(device, &handle);
    for (size_t i = 0; i < sizeof handle.bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            dcmem_extent imported;
            dcmem_ipc_handle hostile = handle;
            hostile.bytes[i] ^= (uint8_t)(1 << bit);
            if (!vulkan()->ipc_import(&imported, device, &nobody, &hostile))
                vulkan_released(device, &imported);
        }
    dcmem_ipc_handle hostile = handle;
    hostile.memory_bytes = 0;
    expect_no_handle(device, &hostile);
    hostile.memory_bytes = 1 << 20;
    expect_no_handle(device, &hostile);
    hostile = handle;
    hostile.fd = -1;
    expect_no_handle(device, &hostile);
    hostile.fd = STDERR_FILENO;
    expect_no_handle(device, &hostile);
    expect_no_handle(other, &handle);
    EXPECT_DETAIL("another device");
    EXPECT_EQ(close(handle.fd), 0);
    vulkan_released(device, &extent);
    vulkan()->close(other);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(share__memory_has_its_allocation_for_itself_where_the_driver_says_so)
{
    dcmem_ipc_handle handle = {.fd = -1};
    stand_in *library = stand_in_use(discrete());
    void *device = vulkan_opened(0);
    EXPECT_EQ(library->dedicated, 0);
    dcmem_extent extent = shared_extent(device, &handle), imported = {0};
    EXPECT_EQ(library->dedicated, 1);
    EXPECT_OK(vulkan()->ipc_import(&imported, device, &nobody, &handle));
    EXPECT_EQ(library->dedicated, 2);
    EXPECT_EQ(close(handle.fd), 0);
    vulkan_released(device, &imported);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}
