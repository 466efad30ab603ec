/* device_test.c: a device is opened whole or not at all, and nothing that a driver says or gives is believed unseen. */
#include "backend/device.h"

#include "backend/contract.h"
#include "backend/liar.h"
#include "base/thread.h"
#include "test.h"

#include <dcmem/manager.h>
#include <pthread.h>

static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

static void
expect_not_opened(liar *one, dcmem_result result, const char *detail)
{
    dcmi_device device, before;
    memset(&device, 0x5a, sizeof device);
    memcpy(&before, &device, sizeof device);
    EXPECT_RESULT(dcmi_device_open(&device, NULL, &one->table, &plain), result);
    EXPECT_DETAIL(detail);
    EXPECT(memcmp(&before, &device, sizeof device) == 0);
    EXPECT_EQ(liar_count(one, DCMEM_FAKE_open), dcmem_fake_count_of(one->fake, DCMEM_FAKE_close).tried);
}

/* ---- Opening ---- */

TEST(device__no_name_and_no_table_mean_the_cpu)
{
    dcmi_device device;
    EXPECT_OK(dcmi_device_open(&device, NULL, NULL, &plain));
    EXPECT(device.backend == dcmem_backend_find("cpu"));
    EXPECT(strcmp(device.info.backend, "cpu") == 0);
    dcmi_device_close(&device);
}

TEST(device__a_name_that_nobody_has_is_unavailable)
{
    dcmi_device device;
    EXPECT_RESULT(dcmi_device_open(&device, "warp-drive", NULL, &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("warp-drive");
}

TEST(device__a_table_that_breaks_the_contract_is_not_opened)
{
    liar one;
    liar_init(&one);
    one.table.flush = NULL;
    expect_not_opened(&one, DCMEM_E_CONTRACT, "flush");
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_open).tried, 0);
    liar_fini(&one);
}

TEST(device__an_index_past_the_count_is_unavailable)
{
    liar one;
    dcmi_device device;
    dcmem_open options = plain;
    liar_init(&one);
    options.index = 2;
    EXPECT_RESULT(dcmi_device_open(&device, NULL, &one.table, &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("2 devices");
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_open).tried, 0);
    options.index = 1;
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &options));
    dcmi_device_close(&device);

    /* Who brings a context brings his device with it: it is the driver that says what it thinks of that. */
    const dcmem_native_context native = {.size = sizeof native};
    options.index = 2;
    options.native = &native;
    liar_fail(&one, DCMEM_FAKE_open, DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(dcmi_device_open(&device, NULL, &one.table, &options), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_open).tried, 2);
    liar_fini(&one);
}

TEST(device__failures_of_the_driver_are_passed_on_and_leave_nothing_open)
{
    static const struct {
        dcmem_fake_operation operation;
        dcmem_result result;
        const char *detail;
    } failures[] = {
        {DCMEM_FAKE_count, DCMEM_E_UNAVAILABLE, "count of 0 bytes: made to fail"},
        {DCMEM_FAKE_open, DCMEM_E_PERMISSION, "open of 0 bytes: made to fail"},
        {DCMEM_FAKE_info, DCMEM_E_DEVICE_LOST, "info of 0 bytes: made to fail"},
    };
    for (uint64_t i = 0; i < 3; i++) {
        liar one;
        liar_init(&one);
        liar_fail(&one, failures[i].operation, failures[i].result);
        expect_not_opened(&one, failures[i].result, failures[i].detail);
        EXPECT_EQ(liar_count(&one, DCMEM_FAKE_open), i == 2);
        liar_fini(&one);
    }
}

/* ---- What the device says of itself ---- */

#define SPOILED_INFO(X)                                                                                                \
    X(size, info->size--)                                                                                              \
    X(backend, memset(info->backend, 'x', sizeof info->backend))                                                       \
    X(name, memset(info->name, 'x', sizeof info->name))                                                                \
    X(driver_version, memset(info->driver_version, 'x', sizeof info->driver_version))                                  \
    X(pci, memset(info->pci, 'x', sizeof info->pci))                                                                   \
    X(capabilities, info->capabilities = DCMEM_CAP_MAP | DCMEM_CAP_DIVISIBLE)                                          \
    X(kinds, info->kinds = 0)                                                                                          \
    X(kinds, info->kinds = DCMEM_KIND_BIT(DCMEM_KIND_DEVICE))                                                          \
    X(kinds, info->kinds |= DCMEM_KIND_BIT(DCMEM_KIND_COUNT))                                                          \
    X(heap_count, info->heap_count = DCMEM_MAX_HEAPS + 1)                                                              \
    X(heaps, info->heaps[0].free_bytes = info->heaps[0].total_bytes + 1)                                               \
    X(heaps, info->heaps[0].kinds = DCMEM_KIND_BIT(DCMEM_KIND_COUNT))                                                  \
    X(total_bytes, info->total_bytes = 0)                                                                              \
    X(free_bytes, info->free_bytes = info->total_bytes + 1)                                                            \
    X(largest_allocation_bytes, info->largest_allocation_bytes = 0)                                                    \
    X(alignment, info->alignment = 0)                                                                                  \
    X(alignment, info->alignment = 48)                                                                                 \
    X(granularity, info->granularity = 0)                                                                              \
    X(granularity, info->granularity = 4095)                                                                           \
    X(cache_line_bytes, info->cache_line_bytes = 65)                                                                   \
    X(flush_bytes, info->flush_bytes = 3)                                                                              \
    X(flush_bytes, info->flush_bytes = 8192)                                                                           \
    X(numa_node, info->numa_node = -2)                                                                                 \
    X(is_unified, info->is_unified = false)                                                                            \
    X(page_bytes, info->page_bytes = 12288)

TEST(device__each_impossible_field_of_the_info_is_named){
#define DCMEM_X(field, spoil)                                                                                          \
    {                                                                                                                  \
        liar one;                                                                                                      \
        liar_init(&one);                                                                                               \
        dcmem_device_info *info = &one.info;                                                                           \
        spoil;                                                                                                         \
        expect_not_opened(&one, DCMEM_E_CONTRACT, "impossible " #field);                                               \
        EXPECT_EQ(liar_count(&one, DCMEM_FAKE_open), 1);                                                               \
        liar_fini(&one);                                                                                               \
    }
    SPOILED_INFO(DCMEM_X)
#undef DCMEM_X
}

TEST(device__what_may_be_unknown_is_accepted)
{
    liar one;
    dcmi_device device;
    liar_init(&one);
    one.info.cache_line_bytes = 0;
    one.info.heap_count = 0;
    one.info.capabilities = 0;
    one.info.backend[0] = 0;
    one.info.free_bytes = 0;
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    EXPECT(strcmp(device.info.backend, "liar") == 0);
    EXPECT(device.info.capabilities == one.table.capabilities);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__one_with_fewer_capabilities_than_its_backend_gets_stubs)
{
    liar one;
    dcmi_device device;
    dcmem_extent extent = {0};
    void *host = NULL;
    liar_init(&one);
    one.info.capabilities = DCMEM_CAP_IMPORT;
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    EXPECT(dcmi_device_has(&device, DCMEM_CAP_IMPORT));
    EXPECT(!dcmi_device_has(&device, DCMEM_CAP_MAP));
    EXPECT(!dcmi_device_has(&device, DCMEM_CAP_IMPORT | DCMEM_CAP_MAP));
    EXPECT_RESULT(dcmi_device_map(&host, &device, 0, &extent, 0, 1, 0), DCMEM_E_UNSUPPORTED);
    EXPECT_DETAIL("liar");
    EXPECT_RESULT(dcmi_device_unmap(&device, 0, &extent, NULL), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(dcmi_device_flush(&device, 0, &extent, 0, 1), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(dcmi_device_invalidate(&device, 0, &extent, 0, 1), DCMEM_E_UNSUPPORTED);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__info_is_asked_anew_and_looked_at_again)
{
    liar one;
    dcmi_device device;
    dcmem_device_info info = {0};
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    one.info.free_bytes = 12345;
    EXPECT_OK(dcmi_device_info(&info, &device));
    EXPECT_EQ(info.free_bytes, 12345);

    one.info.alignment = 7;
    EXPECT_RESULT(dcmi_device_info(&info, &device), DCMEM_E_CONTRACT);
    liar_fail(&one, DCMEM_FAKE_info, DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(dcmi_device_info(&info, &device), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(info.alignment, 4096);
    dcmi_device_close(&device);
    liar_fini(&one);
}

/* ---- What it gives ---- */

#define SPOIL(name, statement)                                                                                         \
    static void name(dcmem_extent *extent)                                                                             \
    {                                                                                                                  \
        statement;                                                                                                     \
    }

SPOIL(fewer_bytes, extent->bytes--)
SPOIL(other_kind, extent->kind = DCMEM_KIND_PINNED)
SPOIL(no_host, extent->host = NULL)
SPOIL(odd_host, extent->host = (char *)extent->host + 64)
SPOIL(odd_address, extent->address += 64)
SPOIL(no_address, extent->address = 0)
SPOIL(far_address, extent->address = 1ull << 47)
SPOIL(too_long, extent->bytes = 1ull << 47)

static void
expect_extent_refused(void (*spoil)(dcmem_extent *), dcmem_kind kind, const char *field)
{
    liar one;
    dcmi_device device;
    dcmem_extent out = {.bytes = 42};
    const dcmem_acquire request = {.bytes = 8192, .kind = kind};
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    one.spoil = spoil;
    EXPECT_RESULT(dcmi_device_acquire(&out, &device, 0, &request), DCMEM_E_CONTRACT);
    EXPECT_DETAIL(field);
    EXPECT_DETAIL("acquire");
    EXPECT_EQ(out.bytes, 42);
    EXPECT_EQ(liar_count(&one, DCMEM_FAKE_acquire), 1);
    EXPECT_EQ(liar_count(&one, DCMEM_FAKE_release), 1);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__each_impossible_field_of_an_extent_is_named_and_the_extent_goes_back)
{
    expect_extent_refused(fewer_bytes, DCMEM_KIND_DEVICE, "bytes");
    expect_extent_refused(other_kind, DCMEM_KIND_DEVICE, "kind");
    expect_extent_refused(no_host, DCMEM_KIND_DEVICE, "host"); /* the liar says UNIFIED */
    expect_extent_refused(odd_host, DCMEM_KIND_HOST, "host");
    expect_extent_refused(odd_address, DCMEM_KIND_DEVICE, "address");
    expect_extent_refused(no_address, DCMEM_KIND_DEVICE, "address");
    expect_extent_refused(far_address, DCMEM_KIND_DEVICE, "address");
    expect_extent_refused(too_long, DCMEM_KIND_DEVICE, "address");
}

TEST(device__host_memory_must_be_touchable_on_any_device_and_device_memory_need_not)
{
    liar one;
    dcmi_device device;
    dcmem_extent out = {0};
    dcmem_acquire request = {.bytes = 4096};
    liar_init(&one);
    one.table.capabilities &= ~(DCMEM_CAP_UNIFIED | DCMEM_CAP_ADDRESSED);
    one.info.capabilities = one.table.capabilities;
    one.info.is_unified = false;
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    one.spoil = no_host;
    EXPECT_OK(dcmi_device_acquire(&out, &device, 0, &request));
    EXPECT_OK(dcmi_device_release(&device, 0, &out));
    one.spoil = no_address;
    EXPECT_OK(dcmi_device_acquire(&out, &device, 0, &request));
    EXPECT_OK(dcmi_device_release(&device, 0, &out));
    one.spoil = no_host;
    request.kind = DCMEM_KIND_HOST;
    EXPECT_RESULT(dcmi_device_acquire(&out, &device, 0, &request), DCMEM_E_CONTRACT);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__a_failed_acquire_is_passed_on_and_writes_nothing)
{
    liar one;
    dcmi_device device;
    dcmem_extent out = {.bytes = 42};
    const dcmem_acquire request = {.bytes = 4096};
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    liar_fail(&one, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(dcmi_device_acquire(&out, &device, 0, &request), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("acquire of 4096 bytes: made to fail");
    EXPECT_EQ(out.bytes, 42);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__an_import_must_be_of_the_memory_that_was_given)
{
    liar one;
    dcmi_device device;
    char memory[64];
    dcmem_extent out = {.bytes = 42};
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    one.spoil = no_host;
    EXPECT_RESULT(dcmi_device_import(&out, &device, 0, memory, sizeof memory), DCMEM_E_CONTRACT);
    EXPECT_DETAIL("import_host gave an extent with an impossible host");
    one.spoil = fewer_bytes;
    EXPECT_RESULT(dcmi_device_import(&out, &device, 0, memory, sizeof memory), DCMEM_E_CONTRACT);
    EXPECT_DETAIL("import_host gave an extent with an impossible bytes");
    EXPECT_EQ(liar_count(&one, DCMEM_FAKE_release), 2);
    one.spoil = NULL;
    EXPECT_OK(dcmem_fake_fail(one.fake, DCMEM_FAKE_import_host, DCMEM_E_PERMISSION, 1, 1));
    EXPECT_RESULT(dcmi_device_import(&out, &device, 0, memory, sizeof memory), DCMEM_E_PERMISSION);
    EXPECT_EQ(out.bytes, 42);
    EXPECT_OK(dcmi_device_import(&out, &device, 0, memory, sizeof memory));
    EXPECT(out.host == memory);
    EXPECT_OK(dcmi_device_release(&device, 0, &out));
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__a_map_that_gives_no_address_is_refused)
{
    liar one;
    dcmi_device device;
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = 4096};
    void *host = &one;
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    EXPECT_OK(dcmi_device_acquire(&extent, &device, 0, &request));
    one.map_gives_null = true;
    EXPECT_RESULT(dcmi_device_map(&host, &device, 0, &extent, 0, 1, DCMEM_MAP_READ_BIT), DCMEM_E_CONTRACT);
    EXPECT_DETAIL("map gave no address");
    liar_fail(&one, DCMEM_FAKE_map, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(dcmi_device_map(&host, &device, 0, &extent, 0, 1, DCMEM_MAP_READ_BIT), DCMEM_E_NO_HOST_MEMORY);
    EXPECT(host == &one);
    EXPECT_OK(dcmi_device_release(&device, 0, &extent));
    dcmi_device_close(&device);
    liar_fini(&one);
}

/* ---- On whose behalf ---- */

static void
expect_called(liar *one, dcmem_fake_operation operation, dcmem_tag tag, uint64_t index)
{
    dcmem_fake_call last = dcmem_fake_last(one->fake, DCMEM_FAKE_any);
    EXPECT_EQ(last.operation, operation);
    EXPECT_EQ(last.call.tag, tag);
    EXPECT_EQ(last.call.op_index, index);
    EXPECT_EQ(last.call.thread, dcmi_thread_number());
    EXPECT(!last.call.queue);
}

TEST(device__every_call_carries_tag_thread_and_a_rising_index)
{
    liar one;
    dcmi_device device;
    dcmem_extent extent, imported;
    const dcmem_acquire request = {.bytes = 4096};
    char memory[16];
    void *host = NULL;
    liar_init(&one);
    EXPECT(dcmi_thread_get() != NULL);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    EXPECT_OK(dcmi_device_acquire(&extent, &device, 11, &request));
    expect_called(&one, DCMEM_FAKE_acquire, 11, 1);
    const dcmem_place place = {.extent = &extent}, other = {.extent = &extent, .offset = 8};
    EXPECT_OK(dcmi_device_copy(&device, 12, &place, &other, 1));
    expect_called(&one, DCMEM_FAKE_copy, 12, 2);
    EXPECT_OK(dcmi_device_fill(&device, 13, &place, 1, "", 1));
    expect_called(&one, DCMEM_FAKE_fill, 13, 3);
    EXPECT_OK(dcmi_device_map(&host, &device, 14, &extent, 5, 1, DCMEM_MAP_READ_BIT));
    expect_called(&one, DCMEM_FAKE_map, 14, 4);
    EXPECT(host == (char *)extent.host + 5);
    EXPECT_OK(dcmi_device_flush(&device, 15, &extent, 0, 1));
    expect_called(&one, DCMEM_FAKE_flush, 15, 5);
    EXPECT_OK(dcmi_device_invalidate(&device, 16, &extent, 0, 1));
    expect_called(&one, DCMEM_FAKE_invalidate, 16, 6);
    EXPECT_OK(dcmi_device_unmap(&device, 17, &extent, host));
    expect_called(&one, DCMEM_FAKE_unmap, 17, 7);
    EXPECT_OK(dcmi_device_import(&imported, &device, 18, memory, sizeof memory));
    expect_called(&one, DCMEM_FAKE_import_host, 18, 8);
    EXPECT_OK(dcmi_device_release(&device, 19, &imported));
    EXPECT_OK(dcmi_device_release(&device, 20, &extent));
    expect_called(&one, DCMEM_FAKE_release, 20, 10);
    dcmi_device_close(&device);
    liar_fini(&one);
}

TEST(device__moves_of_no_bytes_do_not_reach_the_driver)
{
    liar one;
    dcmi_device device;
    const dcmem_place place = {0};
    liar_init(&one);
    EXPECT_OK(dcmi_device_open(&device, NULL, &one.table, &plain));
    EXPECT_OK(dcmi_device_copy(&device, 0, &place, &place, 0));
    EXPECT_OK(dcmi_device_fill(&device, 0, &place, 0, "", 1));
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_copy).tried, 0);
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_fill).tried, 0);
    dcmi_device_close(&device);
    liar_fini(&one);
}

/* ---- Describing ---- */

TEST(describe__tells_of_a_device_and_leaves_it_closed)
{
    liar one;
    dcmem_device_info info = {.size = sizeof info};
    liar_init(&one);
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT_OK(dcmem_device_describe(&info, "liar", 1));
    EXPECT(strcmp(info.name, "Lying device") == 0);
    EXPECT_EQ(info.size, sizeof info);
    EXPECT_EQ(liar_count(&one, DCMEM_FAKE_open), 1);
    EXPECT_EQ(dcmem_fake_count_of(one.fake, DCMEM_FAKE_close).tried, 1);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
    liar_fini(&one);
}

TEST(describe__without_a_name_tells_of_the_cpu)
{
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(dcmem_device_describe(&info, NULL, 0));
    EXPECT(strcmp(info.backend, "cpu") == 0);
    EXPECT(info.total_bytes > 0);
}

TEST(describe__fills_no_more_than_the_caller_s_size)
{
    dcmem_device_info info, untouched;
    memset(&info, 0x5a, sizeof info);
    untouched = info;
    info.size = offsetof(dcmem_device_info, driver_version);
    EXPECT_OK(dcmem_device_describe(&info, "cpu", 0));
    EXPECT(strcmp(info.backend, "cpu") == 0);
    EXPECT_EQ(info.size, offsetof(dcmem_device_info, driver_version));
    EXPECT(memcmp(info.driver_version, untouched.driver_version, sizeof info.driver_version) == 0);
}

TEST(describe__fills_what_it_knows_of_a_longer_struct_and_says_how_much)
{
    struct {
        dcmem_device_info info;
        char later[64];
    } newer;
    memset(&newer, 0x5a, sizeof newer);
    newer.info.size = sizeof newer;
    EXPECT_OK(dcmem_device_describe(&newer.info, "cpu", 0));
    EXPECT_EQ(newer.info.size, sizeof newer.info);
    EXPECT_EQ(newer.later[0], 0x5a);
}

TEST(describe__wrong_arguments_are_refused_and_nothing_is_written)
{
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_RESULT(dcmem_device_describe(NULL, "cpu", 0), DCMEM_E_INVALID_ARGUMENT);
    info.size = 0;
    EXPECT_RESULT(dcmem_device_describe(&info, "cpu", 0), DCMEM_E_INVALID_ARGUMENT);
    info.size = sizeof info.size;
    EXPECT_RESULT(dcmem_device_describe(&info, "cpu", 0), DCMEM_E_INVALID_ARGUMENT);
    info.size = sizeof info;
    EXPECT_RESULT(dcmem_device_describe(&info, "nobody", 0), DCMEM_E_UNAVAILABLE);
    EXPECT_RESULT(dcmem_device_describe(&info, "cpu", 1), DCMEM_E_UNAVAILABLE);
    EXPECT_EQ(info.name[0], 0);
}
