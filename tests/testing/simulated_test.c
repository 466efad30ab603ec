/* simulated_test.c: simulated devices by themselves: limits to the byte, two memories where there are two, and calls
 * that a driver would refuse are refused. */
#include "test.h"

#include <dcmem/testing.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call nobody = {.op_index = 1};

/* One device, opened. */
typedef struct rig {
    dcmem_backend *backend;
    void *device;
} rig;

static rig
rig_open(const dcmem_simulated_profile *profile)
{
    rig made;
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    EXPECT_OK(dcmem_simulated_create(&made.backend, profile, 1));
    EXPECT_OK(made.backend->open(&made.device, made.backend, &options));
    return made;
}

static void
rig_close(rig *it)
{
    it->backend->close(it->device);
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static dcmem_simulated_profile
small_profile(uint32_t flags)
{
    return (dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile),
                                     .flags = flags,
                                     .total_bytes = 16 * MIB,
                                     .available_bytes = 12 * MIB,
                                     .largest_allocation_bytes = 8 * MIB,
                                     .host_bytes = 4 * MIB};
}

static rig
rig_of(uint32_t flags)
{
    dcmem_simulated_profile profile = small_profile(flags);
    return rig_open(&profile);
}

static dcmem_result
acquire(dcmem_extent *out, rig *it, uint64_t bytes, dcmem_kind kind)
{
    dcmem_acquire request = {.bytes = bytes, .kind = kind};
    return it->backend->acquire(out, it->device, &nobody, &request);
}

static dcmem_result
release(rig *it, const dcmem_extent *extent)
{
    return it->backend->release(it->device, &nobody, extent);
}

static dcmem_simulated_account
account_of(rig *it)
{
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, it->backend, 0));
    return account;
}

static dcmem_result
copy_in(rig *it, const dcmem_extent *extent, uint64_t offset, const void *from, uint64_t bytes)
{
    dcmem_place to = {.extent = extent, .offset = offset}, host = {.host = (void *)(uintptr_t)from};
    return it->backend->copy(it->device, &nobody, &to, &host, bytes);
}

static dcmem_result
copy_out(rig *it, void *to, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    dcmem_place from = {.extent = extent, .offset = offset}, host = {.host = to};
    return it->backend->copy(it->device, &nobody, &host, &from, bytes);
}

/* ---- Profiles ---- */

TEST(profile__of_each_device_holds_the_figures_of_the_report)
{
    const uint64_t gb = 1000000000;
    dcmem_simulated_profile cpu = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    dcmem_simulated_profile discrete = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_simulated_profile unified = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_UNIFIED);
    dcmem_simulated_profile datacentre = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DATACENTRE);

    EXPECT(cpu.total_bytes == 16 * gb && cpu.available_bytes == 12 * gb && cpu.largest_allocation_bytes == 8 * gb);
    EXPECT(discrete.total_bytes == 24 * gb && discrete.available_bytes == 20 * gb);
    EXPECT(discrete.largest_allocation_bytes == 12 * gb && !(discrete.flags & DCMEM_SIMULATED_UNIFIED));
    EXPECT(strstr(discrete.note, "8.9"));
    EXPECT(unified.total_bytes == 32 * gb && unified.available_bytes == 28 * gb);
    EXPECT(unified.largest_allocation_bytes == 16 * gb && (unified.flags & DCMEM_SIMULATED_UNIFIED));
    EXPECT(datacentre.total_bytes == 80 * gb);
    EXPECT_EQ(dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_COUNT).size, 0);
}

TEST(create__refuses_profiles_that_no_device_can_have)
{
    dcmem_backend *out = NULL;
    dcmem_simulated_profile wrong[] = {
        small_profile(1u << 30),
        small_profile(DCMEM_SIMULATED_DIVISIBLE),
        small_profile(DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_NON_COHERENT),
        small_profile(0),
        small_profile(0),
        small_profile(0),
        small_profile(0),
        small_profile(0),
        small_profile(0),
        small_profile(DCMEM_SIMULATED_DIVISIBLE | DCMEM_SIMULATED_ADDRESSED),
        small_profile(0),
        small_profile(0),
        small_profile(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT),
    };
    wrong[3].total_bytes = 0;
    wrong[4].available_bytes = 17 * MIB;
    wrong[5].granularity = 3000;
    wrong[6].size = 8;
    wrong[7].kinds = DCMEM_KIND_BIT(DCMEM_KIND_MANAGED) | DCMEM_KIND_BIT(DCMEM_KIND_HOST);
    wrong[8].total_bytes = 1ull << 60;
    wrong[9].granularity = 256;
    wrong[10].kinds = DCMEM_KIND_BIT(DCMEM_KIND_DEVICE);
    wrong[11].alignment = 1ull << 40;
    wrong[12].flush_bytes = 8192;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT_RESULT(dcmem_simulated_create(&out, &wrong[i], 1), DCMEM_E_INVALID_ARGUMENT);

    dcmem_simulated_profile good = small_profile(0);
    EXPECT_RESULT(dcmem_simulated_create(NULL, &good, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_create(&out, NULL, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_create(&out, &good, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_create(&out, &good, 65), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!out);
}

TEST(create__makes_a_table_that_keeps_the_contract)
{
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++) {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)i);
        dcmem_backend *backend;
        EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
        EXPECT_OK(dcmem_backend_check(backend));
        EXPECT_OK(dcmem_simulated_destroy(backend));
    }
}

TEST(destroy__refuses_an_open_device_and_strangers_and_tells_of_leaks)
{
    dcmem_backend stranger = {.size = sizeof stranger};
    dcmem_extent extent;
    rig it = rig_of(0);
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(dcmem_simulated_destroy(it.backend), DCMEM_E_BUSY);
    it.backend->close(it.device);
    EXPECT_RESULT(dcmem_simulated_destroy(it.backend), DCMEM_E_LEAKED);
    EXPECT_RESULT(dcmem_simulated_destroy(&stranger), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_simulated_destroy(NULL));
}

TEST(open__refuses_what_a_simulated_device_cannot_honour)
{
    dcmem_simulated_profile profile = small_profile(0);
    dcmem_native_context native = {.size = sizeof native};
    dcmem_backend *backend;
    void *device = NULL;
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    dcmem_open past = {.size = sizeof past, .index = 1, .numa_node = -1};
    dcmem_open lent = {.size = sizeof lent, .native = &native, .numa_node = -1};
    dcmem_open huge = {.size = sizeof huge, .huge_pages = DCMEM_HUGE_PAGES_ON, .numa_node = -1};
    dcmem_open node = {.size = sizeof node, .numa_node = 0};
    EXPECT_RESULT(backend->open(&device, backend, &past), DCMEM_E_UNAVAILABLE);
    EXPECT_RESULT(backend->open(&device, backend, &lent), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(backend->open(&device, backend, &huge), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(backend->open(&device, backend, &node), DCMEM_E_UNSUPPORTED);
    EXPECT(!device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

TEST(register__offers_the_four_devices_by_name_once)
{
    dcmem_device_info info = {.size = sizeof info};
    EXPECT(!dcmem_backend_find("simulated"));
    EXPECT_OK(dcmem_simulated_register());
    EXPECT_OK(dcmem_simulated_register());

    const dcmem_backend *backend = dcmem_backend_find("simulated");
    uint32_t count = 0;
    EXPECT(backend);
    EXPECT_OK(backend->count(&count, backend));
    EXPECT_EQ(count, DCMEM_SIMULATED_DEVICE_COUNT);
    EXPECT_OK(dcmem_device_describe(&info, "simulated", DCMEM_SIMULATED_DEVICE_DISCRETE));
    EXPECT(info.total_bytes == 24000000000u && info.free_bytes == 20000000000u && !info.is_unified);
    EXPECT(!(info.capabilities & DCMEM_CAP_UNIFIED));
    assert_string_equal(info.driver_version, "compute capability 8.9");
    EXPECT_OK(dcmem_device_describe(&info, "simulated", DCMEM_SIMULATED_DEVICE_CPU));
    EXPECT(info.is_unified && (info.capabilities & DCMEM_CAP_UNIFIED));

    EXPECT_OK(dcmem_simulated_unregister());
    EXPECT_OK(dcmem_simulated_unregister());
    EXPECT(!dcmem_backend_find("simulated"));
}

/* ---- Limits ---- */

TEST(acquire__gives_to_the_last_available_byte_and_not_one_granule_more)
{
    rig it = rig_of(0);
    dcmem_extent large, rest, extra = {.bytes = 77};
    EXPECT_OK(acquire(&large, &it, 8 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(acquire(&extra, &it, 4 * MIB + 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_OK(acquire(&rest, &it, 4 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(acquire(&extra, &it, 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("0 are free");
    EXPECT_EQ(extra.bytes, 77);

    dcmem_simulated_account account = account_of(&it);
    EXPECT_EQ(account.live_bytes, 12 * MIB);
    EXPECT_EQ(account.live_extents, 2);
    EXPECT_EQ(account.refusals, 2);
    EXPECT_OK(release(&it, &large));
    EXPECT_OK(acquire(&extra, &it, 8 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(release(&it, &extra));
    EXPECT_OK(release(&it, &rest));
    account = account_of(&it);
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.peak_bytes, 12 * MIB);
    EXPECT_EQ(account.acquires, account.releases);
    rig_close(&it);
}

TEST(acquire__refuses_more_than_the_largest_a_wrong_size_kind_or_alignment)
{
    dcmem_simulated_profile profile = small_profile(0);
    profile.granularity = 64 * KIB;
    rig it = rig_open(&profile);
    dcmem_extent extent = {.bytes = 77};
    dcmem_acquire crooked = {.bytes = 64 * KIB, .alignment = 3000};
    EXPECT_RESULT(acquire(&extent, &it, 8 * MIB + 64 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_TOO_LARGE);
    EXPECT_RESULT(acquire(&extent, &it, 0, DCMEM_KIND_DEVICE), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(acquire(&extent, &it, 64 * KIB, DCMEM_KIND_MANAGED), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(acquire(&extent, &it, 64 * KIB, (dcmem_kind)99), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(it.backend->acquire(&extent, it.device, &nobody, &crooked), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(extent.bytes, 77);
    rig_close(&it);
}

TEST(acquire__of_host_memory_is_paid_by_the_host_where_the_device_is_not_unified)
{
    rig it = rig_of(0);
    dcmem_extent host, pinned, device;
    EXPECT_OK(acquire(&host, &it, 2 * MIB, DCMEM_KIND_HOST));
    EXPECT_OK(acquire(&pinned, &it, 2 * MIB, DCMEM_KIND_PINNED));
    EXPECT_RESULT(acquire(&device, &it, 4 * KIB, DCMEM_KIND_HOST), DCMEM_E_NO_MEMORY);
    EXPECT_OK(acquire(&device, &it, 8 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_EQ(account_of(&it).live_host_bytes, 4 * MIB);
    EXPECT_EQ(account_of(&it).live_bytes, 8 * MIB);
    EXPECT(host.host && pinned.host);
    EXPECT_OK(release(&it, &host));
    EXPECT_OK(release(&it, &pinned));
    EXPECT_OK(release(&it, &device));
    rig_close(&it);

    rig unified = rig_of(DCMEM_SIMULATED_UNIFIED);
    EXPECT_OK(acquire(&host, &unified, 8 * MIB, DCMEM_KIND_HOST));
    EXPECT_EQ(account_of(&unified).live_bytes, 8 * MIB);
    EXPECT_OK(release(&unified, &host));
    rig_close(&unified);
}

TEST(set_available__is_what_others_leave_and_info_tells_it)
{
    rig it = rig_of(0);
    dcmem_extent extent, more;
    dcmem_device_info info;
    EXPECT_OK(acquire(&extent, &it, 4 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 5 * MIB));
    EXPECT_OK(it.backend->info(&info, it.device));
    EXPECT_EQ(info.free_bytes, 1 * MIB);
    EXPECT_RESULT(acquire(&more, &it, 2 * MIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 2 * MIB));
    EXPECT_OK(it.backend->info(&info, it.device));
    EXPECT_EQ(info.free_bytes, 0);
    EXPECT_OK(dcmem_simulated_set_available(it.backend, 0, 16 * MIB));
    EXPECT_OK(acquire(&more, &it, 8 * MIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(dcmem_simulated_set_available(it.backend, 0, 17 * MIB), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_set_available(it.backend, 1, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(release(&it, &extent));
    EXPECT_OK(release(&it, &more));
    rig_close(&it);
}

TEST(acquire__of_eighty_gigabytes_costs_what_is_touched)
{
    SKIP_UNDER_VALGRIND();
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DATACENTRE);
    rig it = rig_open(&profile);
    dcmem_extent extent;
    char byte = 42;
    uint64_t bytes = 80000000000ull / 65536 * 65536;
    EXPECT_OK(acquire(&extent, &it, bytes, DCMEM_KIND_DEVICE));
    EXPECT_OK(copy_in(&it, &extent, bytes - 1, &byte, 1));
    byte = 0;
    EXPECT_OK(copy_out(&it, &byte, &extent, bytes - 1, 1));
    EXPECT_EQ(byte, 42);
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(acquire__gives_the_alignment_that_was_asked_for)
{
    const uint32_t flags[] = {0,
                              DCMEM_SIMULATED_UNIFIED,
                              DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED,
                              DCMEM_SIMULATED_ADDRESSED,
                              DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE,
                              DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT | DCMEM_SIMULATED_ADDRESSED};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        rig it = rig_of(flags[i]);
        for (uint64_t alignment = 4096; alignment <= 1ull << 30; alignment *= 4) {
            dcmem_acquire request = {.bytes = 64 * KIB, .alignment = alignment};
            dcmem_extent extent;
            EXPECT_OK(it.backend->acquire(&extent, it.device, &nobody, &request));
            EXPECT_EQ(extent.object % alignment, 0);
            EXPECT_EQ(extent.address % alignment, 0);
            EXPECT_EQ(extent.address != 0, (flags[i] & DCMEM_SIMULATED_ADDRESSED) != 0);
            EXPECT_EQ(extent.host != NULL, (flags[i] & DCMEM_SIMULATED_UNIFIED) != 0);
            EXPECT_EQ((uintptr_t)extent.host % alignment, 0);
            EXPECT_OK(release(&it, &extent));
        }
        rig_close(&it);
    }
}

/* ---- Release ---- */

TEST(release__refuses_what_is_not_acquired_a_part_and_a_second_time)
{
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    dcmem_extent extent;
    EXPECT_OK(acquire(&extent, &it, 64 * KIB, DCMEM_KIND_DEVICE));
    dcmem_extent part = extent, inside = extent, nothing = extent, foreign = {.object = 4096, .bytes = 4096};
    part.bytes = 4 * KIB;
    inside.object += 4 * KIB;
    inside.bytes -= 4 * KIB;
    nothing.bytes = 0;
    EXPECT_RESULT(release(&it, &part), DCMEM_E_INTERIOR);
    EXPECT_RESULT(release(&it, &inside), DCMEM_E_INTERIOR);
    EXPECT_RESULT(release(&it, &nothing), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(release(&it, &foreign), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(release(&it, &extent), DCMEM_E_UNKNOWN_ADDRESS);
    rig_close(&it);
}

TEST(release__of_divisible_memory_takes_any_pages_and_several_extents_at_once)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE);
    dcmem_extent first, second;
    dcmem_acquire request = {.bytes = 64 * KIB, .lane = 3, .flags = DCMEM_ACQUIRE_GROW};
    EXPECT_OK(it.backend->acquire(&first, it.device, &nobody, &request));
    request.near = first.object + first.bytes;
    EXPECT_OK(it.backend->acquire(&second, it.device, &nobody, &request));
    EXPECT_EQ(second.object, first.object + first.bytes);
    memset(first.host, 1, first.bytes + second.bytes);

    dcmem_extent middle = first, crooked = first, beyond = first;
    middle.object += 32 * KIB;
    middle.bytes = 64 * KIB;
    crooked.bytes = 1000;
    beyond.bytes = 1 * MIB;
    EXPECT_RESULT(release(&it, &crooked), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(release(&it, &beyond), DCMEM_E_OUT_OF_RANGE);
    EXPECT_OK(release(&it, &middle));
    EXPECT_RESULT(release(&it, &middle), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_EQ(account_of(&it).live_bytes, 64 * KIB);
    EXPECT_EQ(((char *)first.host)[0], 1);

    /* The hole is used again, and is empty. */
    request.near = middle.object;
    EXPECT_OK(it.backend->acquire(&second, it.device, &nobody, &request));
    EXPECT_EQ(second.object, middle.object);
    EXPECT_EQ(((char *)second.host)[0], 0);
    dcmem_extent all = first;
    all.bytes = 128 * KIB;
    EXPECT_OK(release(&it, &all));
    EXPECT_EQ(account_of(&it).live_bytes, 0);
    rig_close(&it);
}

TEST(acquire__keeps_the_extents_of_a_lane_together_and_finds_holes_when_it_is_at_its_end)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE);
    uint64_t before[2] = {0, 0};
    for (int i = 0; i < 200; i++) {
        dcmem_extent extents[2];
        for (uint32_t lane = 0; lane < 2; lane++) {
            dcmem_acquire request = {.bytes = 4 * MIB, .lane = lane};
            EXPECT_OK(it.backend->acquire(&extents[lane], it.device, &nobody, &request));
            if (i > 0 && i < 8)
                EXPECT_EQ(extents[lane].object, before[lane]);
            before[lane] = extents[lane].object + extents[lane].bytes;
        }
        EXPECT_OK(release(&it, &extents[0]));
        EXPECT_OK(release(&it, &extents[1]));
    }
    rig_close(&it);
}

TEST(acquire__of_divisible_memory_goes_elsewhere_when_alignments_crowd_its_lane)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE);
    dcmem_extent extents[4];
    for (int i = 0; i < 4; i++) {
        dcmem_acquire request = {.bytes = 4 * KIB, .alignment = 16 * MIB};
        EXPECT_OK(it.backend->acquire(&extents[i], it.device, &nobody, &request));
        EXPECT_EQ(extents[i].object % (16 * MIB), 0);
        memset(extents[i].host, 1, 4 * KIB);
    }
    for (int i = 0; i < 4; i++)
        EXPECT_OK(release(&it, &extents[i]));
    rig_close(&it);
}

/* ---- Two memories ---- */

TEST(device_memory__has_no_host_address_and_is_reached_by_copies_only)
{
    rig it = rig_of(0);
    dcmem_extent a, b;
    char sent[256], got[256] = {0};
    for (int i = 0; i < 256; i++)
        sent[i] = (char)i;
    EXPECT_OK(acquire(&a, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(acquire(&b, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT(!a.host && !a.address);

    dcmem_place to = {.extent = &b, .offset = 7}, from = {.extent = &a, .offset = 100};
    EXPECT_OK(copy_in(&it, &a, 100, sent, sizeof sent));
    EXPECT_OK(it.backend->copy(it.device, &nobody, &to, &from, sizeof sent));
    EXPECT_OK(copy_out(&it, got, &b, 7, sizeof got));
    EXPECT(memcmp(sent, got, sizeof got) == 0);
    EXPECT_OK(copy_out(&it, got, &b, 0, 8));
    EXPECT(got[6] == 0 && got[7] == sent[0]);
    EXPECT_OK(release(&it, &a));
    EXPECT_OK(release(&it, &b));
    rig_close(&it);
}

static sigjmp_buf faulted;

static void
on_fault(int signal)
{
    (void)signal;
    siglongjmp(faulted, 1);
}

/* The host's touch of it is a fault of the program, and shows as one. */
TEST(device_address__faults_when_the_host_touches_it)
{
    SKIP_UNDER_VALGRIND();
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer delivers signals late");
#endif
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    dcmem_extent extent;
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    struct sigaction old, mine = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &mine, &old);
    volatile int has_faulted = 1;
    if (sigsetjmp(faulted, 1) == 0) {
        *(volatile char *)(uintptr_t)extent.address = 1;
        has_faulted = 0;
    }
    sigaction(SIGSEGV, &old, NULL);
    EXPECT(has_faulted);
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(copy__across_what_is_released_or_past_an_end_is_refused)
{
    rig it = rig_of(0);
    dcmem_extent extent;
    char bytes[64];
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_RESULT(copy_in(&it, &extent, 4 * KIB - 63, bytes, 64), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_RESULT(copy_out(&it, bytes, &extent, 4 * KIB, 1), DCMEM_E_UNKNOWN_ADDRESS);
    dcmem_place to = {.extent = &extent, .offset = 4 * KIB - 8};
    EXPECT_RESULT(it.backend->fill(it.device, &nobody, &to, 16, "x", 1), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(copy_in(&it, &extent, 0, bytes, 1), DCMEM_E_UNKNOWN_ADDRESS);
    rig_close(&it);
}

TEST(fill__repeats_patterns_of_each_size)
{
    rig it = rig_of(0);
    dcmem_extent extent;
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    for (uint32_t size = 1; size <= 16; size *= 2) {
        char got[96];
        dcmem_place to = {.extent = &extent, .offset = 32};
        EXPECT_OK(it.backend->fill(it.device, &nobody, &to, 64, "abcdefghijklmnop", size));
        EXPECT_OK(copy_out(&it, got, &extent, 32, 64));
        for (uint32_t i = 0; i < 64; i++)
            EXPECT_EQ(got[i], "abcdefghijklmnop"[i % size]);
    }
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

/* ---- Mapping ---- */

TEST(map__shows_host_visible_memory_itself_and_refuses_what_is_hidden)
{
    rig it = rig_of(DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_ADDRESSED);
    dcmem_extent visible, hidden;
    void *host = NULL, *none = NULL;
    char got[4];
    EXPECT_OK(acquire(&visible, &it, 4 * KIB, DCMEM_KIND_HOST_VISIBLE));
    EXPECT_OK(acquire(&hidden, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT(!visible.host);
    EXPECT_OK(it.backend->map(&host, it.device, &nobody, &visible, 100, 8, DCMEM_MAP_WRITE_BIT));
    memcpy(host, "seen", 4);
    EXPECT_OK(copy_out(&it, got, &visible, 100, 4));
    EXPECT(memcmp(got, "seen", 4) == 0);
    EXPECT_RESULT(it.backend->map(&none, it.device, &nobody, &hidden, 0, 8, DCMEM_MAP_READ_BIT), DCMEM_E_UNSUPPORTED);
    EXPECT_RESULT(it.backend->map(&none, it.device, &nobody, &visible, 4 * KIB - 4, 8, DCMEM_MAP_READ_BIT),
                  DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(it.backend->map(&none, it.device, &nobody, &visible, 0, 0, DCMEM_MAP_READ_BIT),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT(!none);
    EXPECT_EQ(account_of(&it).maps, 1);
    EXPECT_RESULT(it.backend->unmap(it.device, &nobody, &visible, got), DCMEM_E_WRONG_STATE);
    EXPECT_OK(it.backend->unmap(it.device, &nobody, &visible, host));
    EXPECT_RESULT(it.backend->unmap(it.device, &nobody, &visible, host), DCMEM_E_WRONG_STATE);
    EXPECT_OK(release(&it, &visible));
    EXPECT_OK(release(&it, &hidden));
    rig_close(&it);
}

TEST(non_coherent_memory__shows_writes_to_the_other_side_only_after_flush_or_invalidate)
{
    dcmem_simulated_profile profile = small_profile(DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT);
    profile.flush_bytes = 64;
    rig it = rig_open(&profile);
    dcmem_extent extent;
    char *host, got[64];
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_HOST_VISIBLE));
    EXPECT_OK(it.backend->map((void **)&host, it.device, &nobody, &extent, 0, 4 * KIB, 3));

    memset(host, 'h', 4 * KIB);
    EXPECT_OK(copy_out(&it, got, &extent, 128, 64));
    EXPECT_EQ(got[0], 0);
    EXPECT_OK(it.backend->flush(it.device, &nobody, &extent, 128, 1));
    EXPECT_OK(copy_out(&it, got, &extent, 128, 64));
    EXPECT(got[0] == 'h' && got[63] == 'h'); /* the whole unit */
    EXPECT_OK(copy_out(&it, got, &extent, 192, 64));
    EXPECT_EQ(got[0], 0);

    memset(got, 'd', sizeof got);
    EXPECT_OK(copy_in(&it, &extent, 0, got, 64));
    EXPECT_EQ(host[0], 'h');
    EXPECT_OK(it.backend->invalidate(it.device, &nobody, &extent, 0, 64));
    EXPECT(host[0] == 'd' && host[63] == 'd' && host[64] == 'h');
    EXPECT_RESULT(it.backend->flush(it.device, &nobody, &extent, 4 * KIB, 1), DCMEM_E_UNKNOWN_ADDRESS);

    EXPECT_OK(it.backend->unmap(it.device, &nobody, &extent, host));
    EXPECT_OK(release(&it, &extent));
    rig_close(&it);
}

TEST(non_coherent_memory__of_a_unified_device_has_a_host_address_that_is_not_the_devices)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT);
    dcmem_extent device, host;
    char got = 0;
    EXPECT_OK(acquire(&device, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(acquire(&host, &it, 4 * KIB, DCMEM_KIND_HOST));
    ((char *)device.host)[5] = 'x';
    ((char *)host.host)[5] = 'y';
    EXPECT_OK(copy_out(&it, &got, &device, 5, 1));
    EXPECT_EQ(got, 0);
    EXPECT_OK(it.backend->flush(it.device, &nobody, &device, 0, 64));
    EXPECT_OK(copy_out(&it, &got, &device, 5, 1));
    EXPECT_EQ(got, 'x');
    EXPECT_OK(copy_out(&it, &got, &host, 5, 1)); /* the host's own memory is coherent */
    EXPECT_EQ(got, 'y');
    EXPECT_OK(it.backend->flush(it.device, &nobody, &host, 0, 64));
    EXPECT_OK(release(&it, &device));
    EXPECT_OK(release(&it, &host));
    rig_close(&it);
}

/* ---- Imports, kernels, loss ---- */

TEST(import__is_the_callers_memory_and_stays_after_release)
{
    for (int unified = 0; unified < 2; unified++) {
        rig it = rig_of(unified ? DCMEM_SIMULATED_UNIFIED : 0);
        dcmem_extent extent;
        char memory[100] = "mine", got[4];
        EXPECT_OK(it.backend->import_host(&extent, it.device, &nobody, memory, sizeof memory));
        EXPECT(extent.host == memory);
        EXPECT_EQ(extent.kind, unified ? DCMEM_KIND_DEVICE : DCMEM_KIND_HOST);
        EXPECT_EQ(account_of(&it).imports, 1);
        EXPECT_EQ(account_of(&it).live_bytes, 0);
        EXPECT_EQ(account_of(&it).live_extents, 0);
        EXPECT_OK(copy_out(&it, got, &extent, 0, 4));
        EXPECT(memcmp(got, "mine", 4) == 0);
        EXPECT_OK(release(&it, &extent));
        EXPECT_EQ(account_of(&it).imports, 0);
        EXPECT(memcmp(memory, "mine", 4) == 0);
        EXPECT_RESULT(it.backend->import_host(&extent, it.device, &nobody, NULL, 8), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_RESULT(it.backend->import_host(&extent, it.device, &nobody, memory, 0), DCMEM_E_INVALID_ARGUMENT);
        rig_close(&it);
    }
}

TEST(kernel__sees_what_was_copied_in_and_its_writes_are_copied_out)
{
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    dcmem_extent extent;
    char seen[5] = {0}, got[5] = {0};
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(copy_in(&it, &extent, 1000, "sent", 4));
    dcmem_native native = {.object = extent.object, .offset = 1000, .bytes = 100};
    EXPECT_OK(dcmem_simulated_read(seen, it.backend, 0, &native, 1, 3));
    assert_string_equal(seen, "ent");
    EXPECT_OK(dcmem_simulated_write(it.backend, 0, &native, 2, "!!", 2));
    EXPECT_OK(copy_out(&it, got, &extent, 1000, 4));
    assert_string_equal(got, "se!!");

    EXPECT_RESULT(dcmem_simulated_read(seen, it.backend, 0, &native, 97, 4), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_simulated_write(it.backend, 0, &native, 101, "", 0), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_simulated_read(NULL, it.backend, 0, &native, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_read(seen, it.backend, 7, &native, 0, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_write(it.backend, 0, NULL, 0, "", 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_write(it.backend, 7, &native, 0, "", 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(release(&it, &extent));
    EXPECT_RESULT(dcmem_simulated_read(seen, it.backend, 0, &native, 0, 1), DCMEM_E_UNKNOWN_ADDRESS);
    rig_close(&it);
}

TEST(lost_device__refuses_every_call_but_takes_memory_back_and_can_be_found_again)
{
    rig it = rig_of(DCMEM_SIMULATED_HOST_VISIBLE);
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_extent extent, more;
    dcmem_device_info info;
    void *host, *device;
    char byte = 1;
    EXPECT_OK(acquire(&extent, &it, 4 * KIB, DCMEM_KIND_HOST_VISIBLE));
    EXPECT_OK(it.backend->map(&host, it.device, &nobody, &extent, 0, 8, 1));
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));

    dcmem_place to = {.extent = &extent};
    EXPECT_RESULT(it.backend->open(&device, it.backend, &options), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->info(&info, it.device), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(acquire(&more, &it, 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(copy_in(&it, &extent, 0, &byte, 1), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->fill(it.device, &nobody, &to, 1, &byte, 1), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->map(&host, it.device, &nobody, &extent, 0, 8, 1), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->flush(it.device, &nobody, &extent, 0, 8), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->import_host(&more, it.device, &nobody, &byte, 1), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(it.backend->unmap(it.device, &nobody, &extent, host));
    EXPECT_OK(release(&it, &extent));

    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    EXPECT_OK(acquire(&more, &it, 4 * KIB, DCMEM_KIND_DEVICE));
    EXPECT_OK(release(&it, &more));
    EXPECT_RESULT(dcmem_simulated_set_lost(it.backend, 9, true), DCMEM_E_INVALID_ARGUMENT);
    rig_close(&it);
}

TEST(account__refuses_a_wrong_size_device_and_backend)
{
    rig it = rig_of(0);
    dcmem_simulated_account account = {.size = 3};
    EXPECT_RESULT(dcmem_simulated_account_of(&account, it.backend, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_account_of(NULL, it.backend, 0), DCMEM_E_INVALID_ARGUMENT);
    account.size = sizeof account;
    EXPECT_RESULT(dcmem_simulated_account_of(&account, it.backend, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_simulated_account_of(&account, NULL, 0), DCMEM_E_INVALID_ARGUMENT);
    rig_close(&it);
}

/* ---- Threads ---- */

static void *
churn(void *pointer)
{
    rig *it = pointer;
    uint64_t random = (uintptr_t)&random;
    for (int i = 0; i < 2000; i++) {
        dcmem_extent extents[4];
        int count = 0;
        for (int n = 0; n < 4; n++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t bytes = 4096 * (1 + (random >> 33) % 512);
            count += acquire(&extents[count], it, bytes, DCMEM_KIND_DEVICE) == DCMEM_OK;
        }
        while (count > 0)
            EXPECT_OK(release(it, &extents[--count]));
    }
    return NULL;
}

TEST(account__is_exact_after_threads_that_filled_the_device_together)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &it), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    dcmem_simulated_account account = account_of(&it);
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_EQ(account.live_extents, 0);
    EXPECT_EQ(account.acquires, account.releases);
    EXPECT_LE(account.peak_bytes, 12 * MIB);
    rig_close(&it);
}
