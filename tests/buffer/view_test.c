/* view_test.c: views, slices and casts: arithmetic that cannot wrap, and windows onto one and the same memory. */
#include "devices.h"

#define BYTES 960u

TEST(view__whole_covers_the_buffer_and_that_of_a_dead_handle_nothing)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_view view = dcmem_view_whole(buffer);
    EXPECT(view.buffer == buffer);
    EXPECT_EQ(view.offset, 0);
    EXPECT_EQ(view.bytes, BYTES);
    EXPECT_EQ(view.element_bytes, 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_EQ(dcmem_view_whole(buffer).bytes, 0);
    cpu_close(manager);
}

TEST(view__of_a_dead_handle_is_no_failure_of_its_own)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    dcmem_view_whole(buffer);
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_INVALID_ARGUMENT);
    cpu_close(manager);
}

TEST(view__slices_and_casts_count_in_elements)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_view typed, slice, cast, inner;
    EXPECT_OK(dcmem_view_typed(&typed, buffer, 8));
    EXPECT_EQ(typed.bytes, BYTES);
    EXPECT_OK(dcmem_view_slice(&slice, typed, 10, 50));
    EXPECT_EQ(slice.offset, 80);
    EXPECT_EQ(slice.bytes, 400);
    EXPECT_EQ(slice.element_bytes, 8);
    EXPECT_OK(dcmem_view_cast(&cast, slice, 16));
    EXPECT_OK(dcmem_view_slice(&inner, cast, 2, 3));
    EXPECT_EQ(inner.offset, 112);
    EXPECT_EQ(inner.bytes, 48);
    EXPECT_OK(dcmem_view_slice(&inner, inner, 2, 1));
    EXPECT_EQ(inner.offset, 144);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

TEST(view__refuses_what_does_not_divide_fit_or_add_up_and_leaves_the_output_alone)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_view view, out = {.offset = 77}, odd;
    EXPECT_OK(dcmem_view_typed(&view, buffer, 8));
    EXPECT_OK(dcmem_view_slice(&odd, dcmem_view_whole(buffer), 4, 16));
    EXPECT_RESULT(dcmem_view_typed(&out, buffer, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_typed(NULL, buffer, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_typed(&out, buffer, 7), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_view_slice(&out, view, 0, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_slice(NULL, view, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_slice(&out, (dcmem_view){buffer, 0, 8, 0}, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_slice(&out, view, 0, 121), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_view_slice(&out, view, 120, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_view_slice(&out, view, UINT64_MAX / 8, 1), DCMEM_E_OVERFLOW);
    EXPECT_RESULT(dcmem_view_slice(&out, view, UINT64_MAX / 4, 1), DCMEM_E_OVERFLOW);
    EXPECT_RESULT(dcmem_view_slice(&out, view, 1, UINT64_MAX / 4), DCMEM_E_OVERFLOW);
    EXPECT_RESULT(dcmem_view_slice(&out, (dcmem_view){buffer, UINT64_MAX - 4, 100, 1}, 8, 1), DCMEM_E_OVERFLOW);
    EXPECT_RESULT(dcmem_view_cast(&out, view, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_cast(NULL, view, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_cast(&out, (dcmem_view){buffer, 0, 0, 1}, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_view_cast(&out, view, 7), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_view_cast(&out, odd, 8), DCMEM_E_MISALIGNED);
    EXPECT_EQ(out.offset, 77);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}

/* Writes through nested slices and casts, on either side, and reads the parent. */
static void
expect_aliases(const device *on, dcmem_manager *manager)
{
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_view slice, cast, inner;
    char bytes[BYTES], wanted[BYTES];
    dcmem_map map;
    memset(wanted, 0, sizeof wanted);
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(buffer), wanted, 0));
    EXPECT_OK(dcmem_view_slice(&slice, dcmem_view_whole(buffer), 64, 640));
    EXPECT_OK(dcmem_view_cast(&cast, slice, 16));
    EXPECT_OK(dcmem_view_slice(&inner, cast, 3, 8));

    EXPECT_OK(dcmem_buffer_fill(inner, "abcd", 4));
    for (int i = 0; i < 128; i++)
        wanted[112 + i] = "abcd"[i % 4];
    EXPECT_OK(dcmem_view_slice(&inner, cast, 20, 2));
    memset(bytes, 'k', 32);
    EXPECT_OK(dcmem_buffer_copy_in(inner, bytes, 0));
    memset(wanted + 384, 'k', 32);
    EXPECT_OK(dcmem_view_slice(&inner, cast, 30, 1));
    EXPECT_OK(dcmem_buffer_map(&map, inner, DCMEM_MAP_WRITE));
    memset(map.host, 'm', 5);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    memset(wanted + 544, 'm', 5);
    if (on) {
        dcmem_access access;
        EXPECT_OK(dcmem_view_slice(&inner, slice, 600, 16));
        EXPECT_OK(dcmem_access_begin(&access, inner, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_WRITE, 0));
        EXPECT_OK(dcmem_simulated_write(on->simulated, 0, &access.native, 0, "0123456789abcdef", 16));
        EXPECT_OK(dcmem_access_end(&access));
        memcpy(wanted + 664, "0123456789abcdef", 16);
    }
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0));
    EXPECT_EQ(memcmp(bytes, wanted, BYTES), 0);
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_READ));
    EXPECT_EQ(memcmp(map.host, wanted, BYTES), 0);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(view__write_through_nested_cast_slices_is_a_write_to_the_parent)
{
    device split = device_open(&split_profile), unified = device_open(&unified_profile);
    dcmem_manager *cpu = cpu_open();
    expect_aliases(NULL, cpu);
    expect_aliases(&split, split.manager);
    expect_aliases(&unified, unified.manager);
    cpu_close(cpu);
    device_close(&split);
    device_close(&unified);
}

TEST(view__past_a_shrunken_end_is_stale)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, BYTES);
    dcmem_view tail, head;
    char bytes[100] = {0};
    EXPECT_OK(dcmem_view_slice(&tail, dcmem_view_whole(buffer), 800, 100));
    EXPECT_OK(dcmem_view_slice(&head, dcmem_view_whole(buffer), 0, 100));
    EXPECT_OK(dcmem_buffer_resize(buffer, 850));
    EXPECT_RESULT(dcmem_buffer_copy_in(tail, bytes, 0), DCMEM_E_STALE_VIEW);
    EXPECT_OK(dcmem_buffer_copy_in(head, bytes, 0));
    EXPECT_OK(dcmem_buffer_resize(buffer, BYTES));
    EXPECT_OK(dcmem_buffer_copy_in(tail, bytes, 0));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(manager);
}
