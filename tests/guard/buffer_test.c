/* buffer_test.c: buffers with guards: on the CPU, and on a device whose memory the host cannot touch. */
#include "kit.h"

TEST(guard__names_the_buffer_that_the_host_overran)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    char *host = host_bytes_of(buffer);
    memset(host + 1000, 'A', 4);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
    char name[64];
    snprintf(name, sizeof name, "overrun: buffer %p, tag 7, device, 1000 bytes", (void *)buffer);
    EXPECT_DETAIL(name);
    EXPECT_DETAIL("4 bytes written behind its end, from offset 1000 on");
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__names_the_buffer_that_a_kernel_overran)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    device_writes(&it, face_of(buffer), 998, "abcd", 4);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
    char name[64];
    snprintf(name, sizeof name, "overrun: buffer %p, tag 7, device, 1000 bytes", (void *)buffer);
    EXPECT_DETAIL(name);
    EXPECT_DETAIL("2 bytes written behind its end, from offset 1000 on: fd expected, 63 64 fd");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__names_the_buffer_that_a_kernel_underran)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    device_writes(&it, face_of(buffer), -1, "x", 1);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("underrun: buffer");
    EXPECT_DETAIL("from offset -1 on");
    EXPECT_OK(dcmem_guard_check(it.manager));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__finds_a_kernel_that_writes_to_a_buffer_that_was_destroyed)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 3 * MIB, 7);
    dcmem_native face = face_of(buffer);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_writes(&it, face, 3 * MIB - 2, "ab", 2);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("write after free: buffer");
    EXPECT_DETAIL("2 bytes written after it was freed ");
    EXPECT_DETAIL("s ago, from offset 3145726 on: dd expected, 61 62 found");
    device_writes(&it, face, 0, "ab", 2);
    ground_end(&it, DCMEM_E_CORRUPTED);
}

TEST(guard__names_the_buffer_whose_host_side_was_overrun)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    char *host = host_bytes_of(buffer);
    host[1001] = 'x';
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("overrun: host side of buffer");
    EXPECT_DETAIL("tag 7, host, 1000 bytes");
    EXPECT_DETAIL("from offset 1001 on");
    ground_end(&it, DCMEM_OK);
}

TEST(guard__a_host_side_that_ends_before_its_buffer_tells_later)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    char *host = host_bytes_of(buffer);
    host[1000] = 'x';
    EXPECT_OK(dcmem_buffer_invalidate(dcmem_view_whole(buffer), DCMEM_SIDE_HOST));
    EXPECT_HEARD("overrun: host side of buffer");
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__a_write_past_a_mapped_view_but_inside_its_buffer_is_no_overrun)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 0);
    dcmem_map map;
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
    memset(map.host, 'a', 1000);
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE));
    char back[1000];
    EXPECT_OK(dcmem_buffer_copy_out(back, dcmem_view_whole(buffer), 0));
    EXPECT_EQ(back[999], 'a');
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__resize_moves_the_zones_and_the_name)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    host_bytes_of(buffer);
    EXPECT_OK(dcmem_buffer_prefetch(dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE));
    EXPECT_OK(dcmem_buffer_resize(buffer, 900));
    dcmem_buffer_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_buffer_describe(&info, buffer));
    EXPECT_EQ(info.capacity_bytes, 900);
    device_writes(&it, face_of(buffer), 900, "x", 1);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("tag 7, device, 900 bytes");
    EXPECT_OK(dcmem_buffer_set_tag(buffer, 9));
    device_writes(&it, face_of(buffer), 900, "x", 1);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("tag 9, device, 900 bytes");

    /* What it leaves is looked at, but the resize did what it was asked to. */
    device_writes(&it, face_of(buffer), 901, "x", 1);
    EXPECT_OK(dcmem_buffer_resize(buffer, 5000));
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("1 damages");
    EXPECT_EQ(heard.errors, 3);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__memory_that_is_flushed_has_zones_of_whole_units)
{
    static const uint32_t flags[] = {DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT,
                                     DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT};
    for (size_t i = 0; i < 2; i++) {
        dcmem_simulated_profile profile = {.size = sizeof profile,
                                           .flags = flags[i],
                                           .total_bytes = 64 * MIB,
                                           .host_bytes = 64 * MIB,
                                           .flush_bytes = 256};
        dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL};
        ground it = ground_on(&profile, &options);
        dcmem_buffer_options wanted = {.size = sizeof wanted};
        wanted.kind = flags[i] & DCMEM_SIMULATED_UNIFIED ? DCMEM_KIND_DEVICE : DCMEM_KIND_HOST_VISIBLE;
        dcmem_buffer *buffer;
        EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 1000, &wanted));
        host_bytes_of(buffer);
        EXPECT_OK(dcmem_guard_check(it.manager));
        device_writes(&it, face_of(buffer), 1024, "x", 1);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
        EXPECT_DETAIL("from offset 1024 on");
        ground_end(&it, DCMEM_OK);
    }
}

TEST(guard__blocks_keep_the_alignment_of_their_device)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 64 * MIB, .alignment = 1024};
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL};
    ground it = ground_on(&profile, &options);
    for (uint64_t bytes = 1; bytes < 100 * KIB; bytes = bytes * 3 + 1) {
        dcmem_buffer *buffer = buffer_of(&it, bytes, 0);
        EXPECT_EQ(face_of(buffer).offset % 1024, 0);
        device_writes(&it, face_of(buffer), -1, "x", 1);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
    }
    ground_end(&it, DCMEM_OK);
}

TEST(guard__imported_memory_is_left_alone)
{
    static char mine[4096];
    memset(mine, 'a', sizeof mine);
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer;
    EXPECT_OK(dcmem_buffer_import(&buffer, it.manager, mine + 64, 1000));
    EXPECT_OK(dcmem_buffer_set_tag(buffer, 5));
    EXPECT_OK(dcmem_guard_check(it.manager));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    for (size_t i = 0; i < sizeof mine; i++)
        EXPECT_EQ(mine[i], 'a');
    ground_end(&it, DCMEM_OK);
}

TEST(guard__raw_calls_refuse_the_memory_of_buffers)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 100, 0);
    char *host = host_bytes_of(buffer);
    uint64_t bytes;
    EXPECT_RESULT(dcmem_raw_free(it.manager, host), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_raw_free(it.manager, host + 100), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_raw_set(it.manager, host, 0, 1), DCMEM_E_FOREIGN);
    EXPECT_RESULT(dcmem_raw_usable_size(&bytes, it.manager, host), DCMEM_E_FOREIGN);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_raw_free(it.manager, host), DCMEM_E_ALREADY_FREE);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__every_kind_of_memory_is_guarded)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmem_buffer_options options = {.size = sizeof options, .kind = (dcmem_kind)kind, .alignment = 4096};
        dcmem_buffer *buffer;
        dcmem_result result = dcmem_buffer_create(&buffer, it.manager, 100, &options);
        if (result == DCMEM_E_UNSUPPORTED)
            continue;
        EXPECT_OK(result);
        dcmem_native face = face_of(buffer);
        EXPECT_EQ(face.offset % 4096, 0);
        device_writes(&it, face, 100, "x", 1);
        EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_CORRUPTED);
        EXPECT_DETAIL(dcmem_kind_name((dcmem_kind)kind));
    }
    ground_end(&it, DCMEM_OK);
}
