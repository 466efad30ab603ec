/* vulkan_card_test.c: finding Vulkan: the loader, its drivers, their devices, and what those say of themselves. */
#include "vulkan.h"

/* ---- The loader ---- */

static void
expect_unavailable(const char *why)
{
    uint32_t count = 42;
    void *device = NULL;
    EXPECT_RESULT(vulkan()->count(&count, vulkan()), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL(why);
    EXPECT_EQ(count, 42);
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL(why);
    EXPECT(!device);
}

static void
use_library(const char *name)
{
    dcmi_vk_cards_forget();
    dcmi_vk_library_name = name;
}

TEST(library__one_that_is_absent_says_so_and_what_to_install)
{
    use_library("libdcmem-has-no-such-library.so.1");
    expect_unavailable("libdcmem-has-no-such-library.so.1");
    EXPECT_DETAIL("install");
}

TEST(library__what_was_found_absent_is_not_looked_for_again)
{
    use_library("libdcmem-has-no-such-library.so.1");
    expect_unavailable("no-such-library");
    dcmi_vk_library_name = stand_in_path;
    expect_unavailable("no-such-library");
}

TEST(library__one_that_lacks_a_function_is_too_old)
{
    use_library("libc.so.6");
    expect_unavailable("libc.so.6 has no vkEnumerateInstanceVersion");
}

static void
expect_code(VkResult code, const char *name, dcmem_result result)
{
    EXPECT(strcmp(dcmi_vk_code_name(code), name) == 0);
    EXPECT_EQ(dcmi_vk_result_of(code), result);
    EXPECT_RESULT(dcmi_vk_fail(code, "%d things", 3), result);
    EXPECT_DETAIL("3 things: ");
    EXPECT_DETAIL(name);
    EXPECT_EQ(dcmem_last_detail()->driver_code, code);
    EXPECT(strcmp(dcmem_last_detail()->driver, "vulkan") == 0);
}

TEST(library__codes_have_names_and_meanings)
{
#define DCMEM_X(name, number, result) expect_code(number, #name, result);
    DCMI_VK_CODES(DCMEM_X)
#undef DCMEM_X
    EXPECT_RESULT(dcmi_vk_fail(-9999, "it"), DCMEM_E_DRIVER);
    EXPECT_DETAIL("it: an unknown code (-9999)");
}

/* ---- Drivers and devices ---- */

static void
fail_next(stand_in *library, const char *name, VkResult code)
{
    library->fail_name = name;
    library->fail_code = code;
    library->calls = 0;
    library->fail_from = library->fail_count = 1;
}

TEST(cards__a_loader_without_drivers_says_so)
{
    fail_next(stand_in_use(processor), "vkCreateInstance", VK_ERROR_INCOMPATIBLE_DRIVER);
    expect_unavailable("icd.d");
    EXPECT_EQ(dcmem_last_detail()->driver_code, -9);
}

TEST(cards__a_loader_that_fails_says_how)
{
    fail_next(stand_in_use(processor), "vkCreateInstance", VK_ERROR_INITIALIZATION_FAILED);
    expect_unavailable("VK_ERROR_INITIALIZATION_FAILED");
    fail_next(stand_in_use(processor), "vkEnumerateInstanceVersion", VK_ERROR_OUT_OF_HOST_MEMORY);
    expect_unavailable("VK_ERROR_OUT_OF_HOST_MEMORY");
    stand_in *library = stand_in_use(processor);
    fail_next(library, "vkEnumeratePhysicalDevices", VK_ERROR_OUT_OF_HOST_MEMORY);
    expect_unavailable("the list of Vulkan devices");
    EXPECT_NOTHING_LIVES(library);
}

TEST(cards__a_loader_of_version_1_0_is_too_old)
{
    stand_in_shape shape = processor;
    shape.loader_version = VK_MAKE_VERSION(1, 0);
    (void)stand_in_use(shape);
    expect_unavailable("1.1 is needed");
    shape.loader_version = VK_MAKE_VERSION(1, 1);
    (void)stand_in_use(shape);
    EXPECT_EQ(vulkan_count(), 2);
}

static void
expect_useless(stand_in_shape shape)
{
    stand_in *library = stand_in_use(shape);
    expect_unavailable("2 Vulkan devices, and none");
    EXPECT_NOTHING_LIVES(library);
}

TEST(cards__devices_that_cannot_be_used_do_not_count)
{
    stand_in_shape shape = processor;
    shape.device_version = VK_MAKE_VERSION(1, 0);
    expect_useless(shape);
    shape = processor;
    shape.families[0].queueFlags = 0x20;
    expect_useless(shape);
    shape = processor;
    shape.families[0].queueCount = 0;
    expect_useless(shape);
    shape = processor;
    shape.largest_bytes = 100;
    expect_useless(shape);
    shape = processor;
    shape.types[0].propertyFlags = LOCAL;
    expect_useless(shape);
    shape = processor;
    shape.types[0].propertyFlags = VISIBLE | COHERENT;
    expect_useless(shape);
    shape = processor;
    shape.type_count = 0;
    expect_useless(shape);
}

TEST(cards__an_index_past_the_last_opens_nothing)
{
    void *device = NULL;
    dcmem_open options = plain;
    options.index = 2;
    (void)stand_in_use(processor);
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("2 devices");
    EXPECT(!device);
}

TEST(open__choices_that_are_the_driver_s_are_refused)
{
    void *device = NULL;
    (void)stand_in_use(processor);
    dcmem_open options = plain;
    options.huge_pages = DCMEM_HUGE_PAGES_ON;
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &options), DCMEM_E_UNSUPPORTED);
    options.huge_pages = 17;
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &options), DCMEM_E_INVALID_ARGUMENT);
    options = plain;
    options.numa_node = 0;
    EXPECT_RESULT(vulkan()->open(&device, vulkan(), &options), DCMEM_E_UNSUPPORTED);
}

/* ---- Facts ---- */

TEST(info__says_what_a_processor_is)
{
    (void)stand_in_use(processor);
    void *device = vulkan_opened(1);
    dcmem_device_info info = vulkan_info(device);
    EXPECT(strcmp(info.name, "stand-in") == 0 && strcmp(info.backend, "vulkan") == 0);
    EXPECT(strcmp(info.driver_version, "Vulkan 1.3.0, driver 7.2.1") == 0);
    EXPECT(strcmp(info.pci, "") == 0);
    EXPECT(memcmp(info.uuid, "bbbbbbbbbbbbbbbb", 16) == 0);
    EXPECT_EQ(info.capabilities, DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | DCMEM_CAP_IMPORT | DCMEM_CAP_IPC);
    EXPECT_EQ(info.kinds, DCMEM_KIND_BIT(DCMEM_KIND_DEVICE) | DCMEM_KIND_BIT(DCMEM_KIND_HOST) |
                              DCMEM_KIND_BIT(DCMEM_KIND_PINNED) | DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE));
    EXPECT_EQ(info.total_bytes, 256 * MIB);
    EXPECT_EQ(info.largest_allocation_bytes, 64 * MIB);
    EXPECT_EQ(info.heap_count, 2);
    EXPECT(info.is_unified && info.flush_bytes == 0);
    vulkan()->close(device);
}

TEST(info__says_what_a_discrete_card_is)
{
    (void)stand_in_use(discrete());
    void *device = vulkan_opened(0);
    dcmem_device_info info = vulkan_info(device);
    EXPECT(strcmp(info.pci, "0000:17:02.1") == 0);
    EXPECT_EQ(info.capabilities, DCMEM_CAP_MAP | DCMEM_CAP_ASYNC | DCMEM_CAP_IPC);
    EXPECT(!info.is_unified);
    EXPECT_EQ(info.heap_count, 4);
    EXPECT_EQ(info.heaps[0].kinds, DCMEM_KIND_BIT(DCMEM_KIND_DEVICE));
    EXPECT_EQ(info.heaps[1].total_bytes, 32 * MIB);
    EXPECT_EQ(info.heaps[1].kinds, DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE));
    EXPECT_EQ(info.heaps[2].kinds, DCMEM_KIND_BIT(DCMEM_KIND_PINNED));
    EXPECT_EQ(info.heaps[3].kinds, DCMEM_KIND_BIT(DCMEM_KIND_HOST));
    vulkan()->close(device);
}

TEST(info__counts_what_other_processes_hold_where_the_driver_tells)
{
    (void)stand_in_use(integrated());
    void *device = vulkan_opened(0);
    EXPECT_EQ(vulkan_info(device).free_bytes, 240 * MIB);
    EXPECT_EQ(vulkan_info(device).flush_bytes, 64);
    dcmem_extent extent = vulkan_acquired(device, 64 * MIB, DCMEM_KIND_DEVICE);
    dcmem_extent more = vulkan_acquired(device, 64 * MIB, DCMEM_KIND_PINNED);
    EXPECT_LE(vulkan_info(device).free_bytes, 128 * MIB);
    vulkan_released(device, &more);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(info__a_device_without_a_name_has_one)
{
    stand_in_shape shape = processor;
    shape.name = "";
    (void)stand_in_use(shape);
    EXPECT(strcmp(dcmi_vk_card_at(vulkan_count() - 1)->name, "a device without a name") == 0);
}

TEST(info__a_device_that_lacks_a_function_lacks_its_group)
{
    stand_in_shape shape = processor;
    shape.lacks = "vkGetMemoryFdKHR";
    (void)stand_in_use(shape);
    void *device = vulkan_opened(0);
    EXPECT(!(vulkan_info(device).capabilities & DCMEM_CAP_IPC));
    vulkan()->close(device);
    shape.sharing = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT;
    shape.lacks = "vkGetMemoryHostPointerPropertiesEXT";
    (void)stand_in_use(shape);
    device = vulkan_opened(0);
    EXPECT_EQ(vulkan_info(device).capabilities, DCMEM_CAP_MAP | DCMEM_CAP_ASYNC);
    vulkan()->close(device);
}

TEST(info__a_device_whose_extensions_cannot_be_listed_has_none)
{
    stand_in *library = stand_in_use(processor);
    library->fail_name = "vkEnumerateDeviceExtensionProperties";
    library->fail_code = VK_ERROR_OUT_OF_HOST_MEMORY;
    library->fail_from = 1;
    library->fail_count = 4;
    void *device = vulkan_opened(0);
    EXPECT_EQ(vulkan_info(device).capabilities, DCMEM_CAP_MAP | DCMEM_CAP_ASYNC);
    vulkan()->close(device);
}

TEST(info__a_device_of_version_1_1_has_addresses_and_timelines_by_their_extensions_only)
{
    stand_in_shape shape = processor;
    shape.device_version = VK_MAKE_VERSION(1, 1);
    shape.skew_bytes = 0;
    (void)stand_in_use(shape);
    (void)vulkan_count();
    EXPECT(!dcmi_vk_card_at(0)->has_addresses && !dcmi_vk_card_at(0)->has_timelines);
    shape.extensions[2] = "VK_KHR_buffer_device_address";
    shape.extensions[3] = "VK_KHR_timeline_semaphore";
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    dcmem_extent extent = vulkan_acquired(device, 4096, DCMEM_KIND_DEVICE);
    EXPECT(extent.address != 0);
    EXPECT_EQ(library->live.semaphores, 1);
    EXPECT_EQ(library->live.fences, 0);
    vulkan_released(device, &extent);
    vulkan()->close(device);
}

TEST(info__a_device_that_says_it_has_timelines_and_cannot_wait_for_them_has_fences)
{
    stand_in_shape shape = processor;
    shape.lacks = "vkWaitSemaphores";
    stand_in *library = stand_in_use(shape);
    void *device = vulkan_opened(0);
    EXPECT_EQ(library->live.semaphores, 0);
    EXPECT(library->live.fences > 0);
    vulkan()->close(device);
    EXPECT_NOTHING_LIVES(library);
}

TEST(info__a_card_that_the_host_does_not_see_has_no_such_heap)
{
    stand_in_shape shape = discrete();
    shape.types[1].propertyFlags = LOCAL | 0x40;
    (void)stand_in_use(shape);
    void *device = vulkan_opened(0);
    dcmem_device_info info = vulkan_info(device);
    EXPECT_EQ(info.heap_count, 3);
    EXPECT(!(info.kinds & DCMEM_KIND_BIT(DCMEM_KIND_HOST_VISIBLE)));
    vulkan()->close(device);
}

/* ---- Memory types ---- */

static int
type_for(stand_in_shape shape, dcmem_kind kind)
{
    (void)stand_in_use(shape);
    (void)vulkan_count();
    return dcmi_vk_card_type(dcmi_vk_card_at(0), ~0u, kind);
}

TEST(types__each_kind_has_the_one_that_is_made_for_it)
{
    EXPECT_EQ(type_for(discrete(), DCMEM_KIND_DEVICE), 2);
    EXPECT_EQ(type_for(discrete(), DCMEM_KIND_HOST_VISIBLE), 1);
    EXPECT_EQ(type_for(discrete(), DCMEM_KIND_PINNED), 3);
    EXPECT_EQ(type_for(discrete(), DCMEM_KIND_MANAGED), -1);
    EXPECT_EQ(type_for(discrete(), DCMEM_KIND_HOST), -1);
    EXPECT_EQ(type_for(integrated(), DCMEM_KIND_DEVICE), 1);
    EXPECT_EQ(type_for(integrated(), DCMEM_KIND_PINNED), 0);
}

TEST(types__those_that_buffers_cannot_lie_in_are_left_alone)
{
    (void)stand_in_use(discrete());
    (void)vulkan_count();
    EXPECT_EQ(dcmi_vk_card_type(dcmi_vk_card_at(0), 1u << 1, DCMEM_KIND_DEVICE), 1);
    EXPECT_EQ(dcmi_vk_card_type(dcmi_vk_card_at(0), 1u << 0, DCMEM_KIND_DEVICE), -1);
}

TEST(types__what_flushes_in_units_unknown_to_the_contract_is_not_used)
{
    stand_in_shape shape = integrated();
    shape.atom_bytes = 96;
    EXPECT_EQ(type_for(shape, DCMEM_KIND_DEVICE), 0);
    shape.atom_bytes = 8192;
    EXPECT_EQ(type_for(shape, DCMEM_KIND_DEVICE), 0);
}
