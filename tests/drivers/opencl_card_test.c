/* opencl_card_test.c: finding OpenCL: the loader, its drivers, their devices, and what those say of themselves. */
#include "opencl.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The loader ---- */

static void
expect_unavailable(const char *why)
{
    uint32_t count = 42;
    void *device = NULL;
    EXPECT_RESULT(opencl()->count(&count, opencl()), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL(why);
    EXPECT_EQ(count, 42);
    EXPECT_RESULT(opencl()->open(&device, opencl(), &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL(why);
    EXPECT(!device);
}

TEST(library__one_that_is_absent_says_so_and_what_to_install)
{
    dcmi_cl_library_name = "libdcmem-has-no-such-library.so.1";
    dcmi_cl_cards_forget();
    expect_unavailable("libdcmem-has-no-such-library.so.1");
    EXPECT_DETAIL("install");
}

TEST(library__what_was_found_absent_is_not_looked_for_again)
{
    dcmi_cl_library_name = "libdcmem-has-no-such-library.so.1";
    dcmi_cl_cards_forget();
    expect_unavailable("no-such-library");
    dcmi_cl_library_name = TEST_BUILD_DIR "/tests/drivers/opencl_stand_in.so";
    expect_unavailable("no-such-library");
}

TEST(library__one_that_lacks_a_function_is_too_old)
{
    dcmi_cl_library_name = "libc.so.6";
    dcmi_cl_cards_forget();
    expect_unavailable("libc.so.6 has no clGetPlatformIDs");
}

TEST(library__codes_have_names_and_meanings)
{
#define DCMEM_X(name, number, result)                                                                                  \
    EXPECT(strcmp(dcmi_cl_code_name(name), #name) == 0);                                                               \
    EXPECT_EQ(dcmi_cl_result_of(name), result);                                                                        \
    EXPECT_RESULT(dcmi_cl_fail(name, "%d things", 3), result);                                                         \
    EXPECT_DETAIL("3 things: " #name);                                                                                 \
    EXPECT_EQ(dcmem_last_detail()->driver_code, number);                                                               \
    EXPECT(strcmp(dcmem_last_detail()->driver, "opencl") == 0);
    DCMI_CL_CODES(DCMEM_X)
#undef DCMEM_X
    EXPECT_RESULT(dcmi_cl_fail(-9999, "it"), DCMEM_E_DRIVER);
    EXPECT_DETAIL("it: an unknown code (-9999)");
}

/* ---- Drivers and devices ---- */

TEST(cards__a_loader_without_drivers_says_so)
{
    stand_in_shape shape = processor;
    shape.platform_count = 0;
    (void)stand_in_use(shape);
    expect_unavailable("/etc/OpenCL/vendors");

    stand_in *library = stand_in_use(processor);
    library->fail_name = "clGetPlatformIDs";
    library->fail_code = CL_PLATFORM_NOT_FOUND_KHR;
    library->fail_from = library->fail_count = 1;
    expect_unavailable("/etc/OpenCL/vendors");
    EXPECT_EQ(dcmem_last_detail()->driver_code, -1001);
}

TEST(cards__a_loader_that_fails_says_how)
{
    stand_in *library = stand_in_use(processor);
    library->fail_name = "clGetPlatformIDs";
    library->fail_code = CL_OUT_OF_HOST_MEMORY;
    library->fail_from = library->fail_count = 1;
    expect_unavailable("CL_OUT_OF_HOST_MEMORY");
    EXPECT_EQ(dcmem_last_detail()->driver_code, CL_OUT_OF_HOST_MEMORY);
}

TEST(cards__all_devices_of_all_drivers_are_counted)
{
    stand_in_shape shape = processor;
    shape.platform_count = STAND_IN_PLATFORMS;
    shape.device_count = STAND_IN_DEVICES;
    (void)stand_in_use(shape);
    EXPECT_EQ(opencl_count(), STAND_IN_PLATFORMS * STAND_IN_DEVICES);
}

TEST(cards__a_driver_out_of_order_hides_no_other)
{
    stand_in_shape shape = processor;
    shape.platform_count = 3;
    stand_in *library = stand_in_use(shape);
    library->fail_name = "clGetDeviceIDs";
    library->fail_code = CL_OUT_OF_RESOURCES;
    library->fail_from = 2;
    library->fail_count = 1;
    EXPECT_EQ(opencl_count(), 4);
}

static void
expect_no_device(stand_in_shape shape)
{
    (void)stand_in_use(shape);
    expect_unavailable("no available device of version 1.2");
}

TEST(cards__devices_that_cannot_be_used_do_not_count)
{
    static const char *const old[] = {"OpenCL 1.1 of tests", "OpenCL 0.9", "OpenCL", "3.0", "", NULL};
    stand_in_shape shape = processor;
    for (int i = 0; i < 6; i++) {
        shape.version = old[i];
        expect_no_device(shape);
    }
    shape = processor;
    shape.is_available = 0;
    expect_no_device(shape);
    shape = processor;
    shape.total_bytes = 0;
    expect_no_device(shape);
    shape = processor;
    shape.largest_bytes = 100;
    expect_no_device(shape);
    shape = processor;
    shape.device_count = 0;
    expect_no_device(shape);
}

TEST(cards__versions_from_1_2_on_are_taken)
{
    static const char *const new[] = {"OpenCL 1.2 x", "OpenCL 2.0", "OpenCL 3.0 y", "OpenCL 10.1 z"};
    stand_in_shape shape = processor;
    for (int i = 0; i < 4; i++) {
        shape.version = new[i];
        (void)stand_in_use(shape);
        EXPECT_EQ(opencl_count(), 2);
    }
}

TEST(cards__the_loader_is_asked_once_whatever_it_answers)
{
    stand_in_shape none = processor;
    none.platform_count = 0;
    stand_in *library = stand_in_use(none);
    library->fail_name = "clGetPlatformIDs"; /* counted, and not failed */
    expect_unavailable("/etc/OpenCL/vendors");
    expect_unavailable("/etc/OpenCL/vendors");
    EXPECT_EQ(library->calls, 1);

    library = stand_in_use(processor);
    library->fail_name = "clGetPlatformIDs";
    EXPECT_EQ(opencl_count(), 2);
    EXPECT_EQ(opencl_count(), 2);
    opencl()->close(opencl_opened(1));
    EXPECT_EQ(library->calls, 1);
}

TEST(cards__counting_and_listing_opens_no_device)
{
    stand_in *library = stand_in_use(processor);
    EXPECT_EQ(opencl_count(), 2);
    EXPECT_NOTHING_LIVES(library);
}

/* ---- Facts ---- */

static dcmem_device_info
info_of(stand_in_shape shape)
{
    (void)stand_in_use(shape);
    void *device = opencl_opened(0);
    dcmem_device_info info = opencl_info(device);
    opencl()->close(device);
    return info;
}

TEST(cards__say_what_the_driver_says)
{
    dcmem_device_info info = info_of(processor);
    EXPECT(strcmp(info.backend, "opencl") == 0);
    EXPECT(strcmp(info.name, "stand-in") == 0);
    EXPECT(strcmp(info.driver_version, "OpenCL 3.0, driver 1.0") == 0);
    EXPECT(strcmp(info.pci, "0000:17:02.1") == 0);
    EXPECT(memcmp(info.uuid, "stand-in's uuid!", 16) == 0);
    EXPECT_EQ(info.total_bytes, 256 * MIB);
    EXPECT_EQ(info.largest_allocation_bytes, 64 * MIB);
    EXPECT_EQ(info.cache_line_bytes, 64);
    EXPECT_EQ(info.last_level_cache_bytes, MIB);
    EXPECT_EQ(info.numa_node, -1);
    EXPECT_EQ(info.alignment, 4096);
    EXPECT_EQ(info.granularity, 4096);
    EXPECT_EQ(info.flush_bytes, 0);
    EXPECT(info.is_unified);
}

TEST(cards__texts_that_are_long_or_missing_do_no_harm)
{
    char name[300];
    stand_in_shape shape = processor;
    memset(name, 'x', sizeof name - 1);
    memcpy(name, "   y", 4);
    name[sizeof name - 1] = '\0';
    shape.name = shape.driver = name;
    shape.extensions = NULL;
    dcmem_device_info info = info_of(shape);
    EXPECT_EQ(strlen(info.name), sizeof info.name - 1);
    EXPECT(info.name[0] == 'y');
    EXPECT(memchr(info.driver_version, 0, sizeof info.driver_version) != NULL);
    EXPECT(!info.pci[0]);

    shape.name = shape.driver = NULL;
    shape.version = "OpenCL 2.1";
    info = info_of(shape);
    EXPECT(info.name[0] != '\0');
    EXPECT(strcmp(info.driver_version, "OpenCL 2.1, driver ") == 0);
}

TEST(cards__numbers_that_make_no_sense_are_not_passed_on)
{
    stand_in_shape shape = processor;
    shape.alignment_bits = 24;
    shape.cache_line_bytes = 48;
    shape.largest_bytes = 2 * shape.total_bytes;
    dcmem_device_info info = info_of(shape);
    EXPECT_EQ(info.cache_line_bytes, 0);
    EXPECT_EQ(info.largest_allocation_bytes, info.total_bytes);
}

TEST(cards__an_extension_is_there_by_its_whole_name_only)
{
    stand_in_shape shape = processor;
    shape.extensions = "not_cl_khr_pci_bus_info cl_khr_pci_bus_info_2 cl_khr_device_uuid";
    dcmem_device_info info = info_of(shape);
    EXPECT(!info.pci[0]);
    EXPECT(info.uuid[0] != 0);
    shape.extensions = "cl_khr_pci_bus_info";
    EXPECT(info_of(shape).pci[0] != '\0');
}

TEST(cards__heaps_tell_the_device_s_memory_from_the_host_s)
{
    dcmem_device_info info = info_of(processor);
    EXPECT_EQ(info.heap_count, 2);
    EXPECT_EQ(info.heaps[0].total_bytes, info.total_bytes);
    EXPECT_EQ(info.heaps[1].kinds, DCMEM_KIND_BIT(DCMEM_KIND_HOST));
    EXPECT_EQ(info.heaps[0].kinds | info.heaps[1].kinds, info.kinds);

    info = info_of(discrete());
    EXPECT_EQ(info.heaps[1].kinds, DCMEM_KIND_BIT(DCMEM_KIND_HOST) | DCMEM_KIND_BIT(DCMEM_KIND_PINNED));
}

#define KIND(name) DCMEM_KIND_BIT(DCMEM_KIND_##name)
#define BASE_KINDS (KIND(DEVICE) | KIND(HOST) | KIND(PINNED))

TEST(cards__have_the_groups_and_kinds_that_their_memory_allows)
{
    dcmem_device_info info = info_of(processor);
    EXPECT_EQ(info.capabilities, opencl()->capabilities);
    EXPECT_EQ(info.kinds, BASE_KINDS | KIND(MANAGED) | KIND(HOST_VISIBLE));

    info = info_of(integrated());
    EXPECT_EQ(info.capabilities, opencl()->capabilities);
    EXPECT_EQ(info.flush_bytes, 1);

    stand_in_shape shape = processor;
    shape.moves_maps = true; /* What is mapped must stay where it is. */
    info = info_of(shape);
    EXPECT_EQ(info.capabilities, DCMEM_CAP_ASYNC | DCMEM_CAP_PEER);
    EXPECT_EQ(info.kinds, BASE_KINDS | KIND(MANAGED));
    shape = processor;
    shape.is_non_coherent = true; /* A processor, and all the same not what it seems. */
    info = info_of(shape);
    EXPECT_EQ(info.flush_bytes, 1);

    shape = discrete();
    shape.shared_usm = 0;
    info = info_of(shape);
    EXPECT_EQ(info.capabilities, DCMEM_CAP_ASYNC | DCMEM_CAP_PEER);
    EXPECT_EQ(info.kinds, BASE_KINDS);
    EXPECT(!info.is_unified);
}

TEST(cards__shared_memory_that_is_said_and_not_had_is_not_offered)
{
    stand_in_shape shape = processor;
    shape.is_non_coherent = true; /* refuses fine-grained memory */
    shape.svm = CL_DEVICE_SVM_FINE_GRAIN_BUFFER;
    EXPECT(!(info_of(shape).kinds & KIND(MANAGED)));

    shape = discrete();
    shape.lacks_usm_function = true;
    EXPECT(!(info_of(shape).kinds & KIND(MANAGED)));

    shape = integrated();
    shape.has_addresses = false;
    shape.svm = 0;
    (void)stand_in_use(shape);
    void *device = opencl_opened(0);
    dcmem_extent extent = opencl_acquired(device, 4096, DCMEM_KIND_DEVICE);
    EXPECT_EQ(extent.address, 0);
    opencl_released(device, &extent);
    opencl()->close(device);
}

/* ---- Opening ---- */

TEST(cards__options_that_cannot_be_honoured_are_errors)
{
    void *device = NULL;
    dcmem_open options = plain;
    stand_in *library = stand_in_use(processor);
    options.index = 2;
    EXPECT_RESULT(opencl()->open(&device, opencl(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("2 devices");
    options = plain;
    options.huge_pages = DCMEM_HUGE_PAGES_ON;
    EXPECT_RESULT(opencl()->open(&device, opencl(), &options), DCMEM_E_UNSUPPORTED);
    options.huge_pages = DCMEM_HUGE_PAGES_OFF;
    EXPECT_RESULT(opencl()->open(&device, opencl(), &options), DCMEM_E_UNSUPPORTED);
    options.huge_pages = DCMEM_HUGE_PAGES_OFF + 1;
    EXPECT_RESULT(opencl()->open(&device, opencl(), &options), DCMEM_E_INVALID_ARGUMENT);
    options = plain;
    options.numa_node = 0;
    EXPECT_RESULT(opencl()->open(&device, opencl(), &options), DCMEM_E_UNSUPPORTED);
    EXPECT(!device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(cards__devices_of_a_platform_share_a_context_while_one_is_open)
{
    stand_in_shape shape = processor;
    shape.platform_count = 2;
    stand_in *library = stand_in_use(shape);
    void *one = opencl_opened(0), *two = opencl_opened(1);
    EXPECT_EQ(library->live.contexts, 1);
    void *other = opencl_opened(2);
    EXPECT_EQ(library->live.contexts, 2);
    opencl()->close(one);
    EXPECT_EQ(library->live.contexts, 2);
    opencl()->close(two);
    EXPECT_EQ(library->live.contexts, 1);
    two = opencl_opened(1);
    opencl()->close(other);
    opencl()->close(two);
    EXPECT_NOTHING_LIVES(library);
}

static void
expect_child_finds_two(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        uint32_t count = 0;
        alarm(20);
        _exit(!opencl()->count(&count, opencl()) && count == 2 ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(cards__their_first_search_may_happen_in_the_child_of_a_fork)
{
    (void)stand_in_use(processor);
    expect_child_finds_two();
}

/* Stays after its search: ThreadSanitizer tells a child of threads that had ended and were not joined yet. */
static void *
search(void *is_over)
{
    uint32_t count;
    (void)opencl()->count(&count, opencl());
    while (!atomic_load((atomic_bool *)is_over))
        usleep(1000);
    return NULL;
}

TEST(cards__a_fork_in_the_middle_of_a_search_leaves_its_child_no_lock)
{
    pthread_t thread;
    atomic_bool is_over = false;
    stand_in *library = stand_in_use(processor);
    library->slow_us = 50000;
    EXPECT_EQ(pthread_create(&thread, NULL, search, &is_over), 0);
    usleep(10000); /* Most likely it is in the driver by now. */
    expect_child_finds_two();
    atomic_store(&is_over, true);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}
