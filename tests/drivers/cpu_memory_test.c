/* cpu_memory_test.c: memory of the CPU grows in place, goes back in any part, and is all gone after the close,
 * whichever system call fails. */
#include "base/log.h"
#include "drivers/cpu/memory.h"

#include "cpu.h"
#include "ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Growing and giving back ---- */

TEST(cpu_memory__a_lane_grows_where_it_ended)
{
    void *device = cpu_opened(&plain);
    dcmem_extent first = cpu_grown(device, 1 * MIB, 1, NULL), other = cpu_grown(device, 4 * KIB, 2, NULL);
    dcmem_extent second = cpu_grown(device, 64 * KIB, 1, &first), third = cpu_grown(device, 4 * KIB, 1, &second);
    EXPECT(second.address == end_of(&first));
    EXPECT(third.address == end_of(&second));
    EXPECT(other.address < first.address || other.address >= first.address + 8 * GIB);

    write_pages(first.address, third.address + third.bytes - first.address, 0);
    EXPECT_OK(cpu_release_range(device, first.address, first.bytes + second.bytes + third.bytes));
    cpu_released(device, &other);
    cpu()->close(device);
}

TEST(cpu_memory__room_at_the_end_is_used_again)
{
    void *device = cpu_opened(&plain);
    dcmem_extent first = cpu_grown(device, 1 * MIB, 1, NULL), second = cpu_grown(device, 1 * MIB, 1, &first);
    write_pages(second.address, second.bytes, 0);
    EXPECT_OK(cpu_release_range(device, second.address + MIB / 2, MIB / 2));
    dcmem_extent third = cpu_grown(device, 2 * MIB, 1, NULL);
    EXPECT(third.address == second.address + MIB / 2);
    for (uint64_t offset = 0; offset < third.bytes; offset += 4096)
        EXPECT_EQ(*(uint64_t *)((char *)third.host + offset), 0);
    EXPECT_OK(cpu_release_range(device, first.address, end_of(&third) - first.address));
    cpu()->close(device);
}

TEST(cpu_memory__a_part_can_go_and_the_rest_keeps_its_contents)
{
    void *device = cpu_opened(&plain);
    for (int grows = 0; grows < 2; grows++) {
        dcmem_extent whole =
            cpu_acquired(device, (dcmem_acquire){.bytes = 1 * MIB, .flags = grows ? DCMEM_ACQUIRE_GROW : 0});
        uint64_t begin = whole.address;
        write_pages(begin, whole.bytes, 3);
        EXPECT_OK(cpu_release_range(device, begin + 512 * KIB, 64 * KIB));
        EXPECT_OK(cpu_release_range(device, begin, 4 * KIB));
        EXPECT_OK(cpu_release_range(device, begin + MIB - 4 * KIB, 4 * KIB));
        EXPECT(are_pages_kept(begin + 4 * KIB, 508 * KIB, 3));
        EXPECT(are_pages_kept(begin + 576 * KIB, MIB - 580 * KIB, 3));
        EXPECT_OK(cpu_release_range(device, begin + 4 * KIB, 508 * KIB));
        EXPECT_OK(cpu_release_range(device, begin + 576 * KIB, MIB - 580 * KIB));
    }
    cpu()->close(device);
}

TEST(cpu_memory__alignment_is_kept_up_to_a_gibibyte_and_leaves_no_rest)
{
    ledger_begin(0, 0, 0);
    void *device = cpu_opened(&plain);
    uint64_t mapped = ledger_bytes();
    for (uint64_t alignment = 4 * KIB; alignment <= GIB; alignment *= 2) {
        dcmem_extent alone = cpu_acquired(device, (dcmem_acquire){.bytes = 12 * KIB, .alignment = alignment});
        EXPECT_EQ(alone.address % alignment, 0);
        EXPECT_EQ(ledger_bytes(), mapped + 12 * KIB);
        cpu_released(device, &alone);
        EXPECT_EQ(ledger_bytes(), mapped);
    }
    for (uint64_t alignment = 4 * KIB; alignment <= GIB; alignment *= 2) {
        dcmem_extent grown = cpu_acquired(
            device, (dcmem_acquire){.bytes = 12 * KIB, .alignment = alignment, .flags = DCMEM_ACQUIRE_GROW});
        EXPECT_EQ(grown.address % alignment, 0);
        write_pages(grown.address, grown.bytes, 0);
        cpu_released(device, &grown);
    }
    cpu()->close(device);
    EXPECT_EQ(ledger_bytes(), 0);
    ledger_end();
}

TEST(cpu_memory__plain_memory_costs_one_call_and_one_to_give_back)
{
    ledger_begin(0, 0, 0);
    void *device = cpu_opened(&plain);
    uint64_t before = the_ledger.calls;
    dcmem_extent alone = cpu_acquired(device, (dcmem_acquire){.bytes = 64 * KIB});
    EXPECT_EQ(the_ledger.calls, before + 1);
    cpu_released(device, &alone);
    EXPECT_EQ(the_ledger.calls, before + 2);
    cpu()->close(device);
    ledger_end();
}

TEST(cpu_memory__a_request_larger_than_a_window_gets_one_of_its_size)
{
    SKIP_UNDER_VALGRIND();
    ledger_begin(0, 0, 0);
    void *device = cpu_opened(&plain);
    /* More than any machine has: address space is found, memory is not. */
    const dcmem_acquire huge = {.bytes = 64ull << 40, .flags = DCMEM_ACQUIRE_GROW};
    dcmem_extent untouched = {.bytes = 42};
    EXPECT_RESULT(cpu()->acquire(&untouched, device, &nobody, &huge), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(untouched.bytes, 42);
    EXPECT_EQ(dcmem_last_detail()->driver_code, ENOMEM);
    cpu()->close(device);
    EXPECT_EQ(ledger_bytes(), 0);
    ledger_end();
}

TEST(cpu_memory__sizes_past_all_addresses_are_refused)
{
    SKIP_UNDER_VALGRIND();
    void *device = cpu_opened(&plain);
    dcmem_extent untouched = {.bytes = 42};
    const dcmem_acquire requests[] = {
        {.bytes = UINT64_MAX - 4095, .alignment = 64 * KIB},
        {.bytes = UINT64_MAX - 4095},
        {.bytes = UINT64_MAX - 4095, .flags = DCMEM_ACQUIRE_GROW},
        {.bytes = 1ull << 60, .flags = DCMEM_ACQUIRE_GROW},
        {.bytes = 4096, .alignment = 1ull << 62},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        EXPECT_RESULT(cpu()->acquire(&untouched, device, &nobody, &requests[i]), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(untouched.bytes, 42);
    cpu()->close(device);
}

TEST(cpu_memory__more_lanes_than_windows_are_kept_apart_all_the_same)
{
    SKIP_UNDER_VALGRIND();
    enum { LANES = 2 * DCMI_WINDOW_COUNT };
    ledger_begin(0, 0, 0);
    void *device = cpu_opened(&plain);
    dcmem_extent extent[LANES];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        extent[lane] = cpu_grown(device, 4 * KIB, lane, NULL);
        write_pages(extent[lane].address, extent[lane].bytes, lane);
    }
    for (uint32_t lane = 0; lane < LANES; lane++) {
        EXPECT(are_pages_kept(extent[lane].address, extent[lane].bytes, lane));
        cpu_released(device, &extent[lane]);
    }
    cpu()->close(device);
    EXPECT_EQ(ledger_bytes(), 0);
    ledger_end();
}

TEST(cpu_memory__windows_shrink_when_address_space_is_short)
{
    SKIP_UNDER_VALGRIND();
    ledger_begin(0, 0, ENOMEM);
    void *device = cpu_opened(&plain);
    the_ledger.fail_from = the_ledger.calls + 1;
    the_ledger.fail_count = 5;
    dcmem_extent first = cpu_grown(device, 1 * MIB, 1, NULL);
    EXPECT_EQ(the_ledger.failed, 5);
    EXPECT(ledger_bytes() < GIB);
    dcmem_extent second = cpu_grown(device, 1 * MIB, 1, &first);
    EXPECT(second.address == end_of(&first));
    EXPECT_OK(cpu_release_range(device, first.address, 2 * MIB));
    cpu()->close(device);
    EXPECT_EQ(ledger_bytes(), 0);
    ledger_end();
}

/* ---- The system refuses ---- */

typedef struct story {
    uint64_t failures; /* calls of the driver that failed */
    const char *complaint;
} story;

static void
expect_fit(story *told, dcmem_result result)
{
    told->failures += result != DCMEM_OK;
    if (result && result != DCMEM_E_NO_MEMORY && result != DCMEM_E_NO_HOST_MEMORY)
        told->complaint = "a result that does not fit";
    if (result && dcmem_last_detail()->result != result)
        told->complaint = "a detail of another failure";
}

/* An extent that acquire may refuse; bytes 0 then. */
static dcmem_extent
ask(story *told, void *device, dcmem_acquire request)
{
    dcmem_extent extent = {.bytes = 42};
    dcmem_result result = cpu()->acquire(&extent, device, &nobody, &request);
    expect_fit(told, result);
    if (result && extent.bytes != 42)
        told->complaint = "an output was touched";
    if (result)
        return (dcmem_extent){0};
    write_pages(extent.address, extent.bytes, 5);
    return extent;
}

static void
give(story *told, void *device, uint64_t begin, uint64_t bytes)
{
    if (bytes)
        expect_fit(told, cpu_release_range(device, begin, bytes));
}

/* What a pool does in its life, short. */
static story
live(const dcmem_open *options)
{
    story told = {0};
    void *device = NULL;
    dcmem_result result = cpu()->open(&device, cpu(), options);
    expect_fit(&told, result);
    if (result)
        return told;

    dcmem_acquire grow = {.bytes = 1 * MIB, .flags = DCMEM_ACQUIRE_GROW, .lane = 1};
    dcmem_extent alone = ask(&told, device, (dcmem_acquire){.bytes = 64 * KIB, .alignment = 2 * MIB});
    dcmem_extent first = ask(&told, device, grow), second = ask(&told, device, grow);
    grow.alignment = 4 * MIB;
    dcmem_extent third = ask(&told, device, grow);
    dcmem_extent pinned =
        ask(&told, device, (dcmem_acquire){.bytes = 16 * KIB, .flags = DCMEM_ACQUIRE_GROW, .kind = DCMEM_KIND_PINNED});

    give(&told, device, second.address, second.bytes);
    give(&told, device, third.address, third.bytes / 2);
    if (!are_pages_kept(first.address, first.bytes, 5) ||
        !are_pages_kept(third.address + third.bytes / 2, third.bytes / 2, 5))
        told.complaint = "lost contents";
    give(&told, device, third.address + third.bytes / 2, third.bytes / 2);
    give(&told, device, pinned.address, pinned.bytes);
    give(&told, device, first.address, first.bytes);
    give(&told, device, alone.address, alone.bytes);
    cpu()->close(device);
    return told;
}

TEST(cpu_memory__whichever_system_call_fails_nothing_is_left_mapped)
{
    const dcmem_open options[] = {
        plain,
        {.size = sizeof plain, .numa_node = 0, .huge_pages = DCMEM_HUGE_PAGES_ON},
        {.size = sizeof plain, .numa_node = -1, .huge_pages = DCMEM_HUGE_PAGES_OFF},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        uint64_t number = 0, failed;
        do {
            ledger_begin(++number, 1, ENOMEM);
            story told = live(&options[i]);
            failed = the_ledger.failed;
            uint64_t left = ledger_bytes();
            const char *call = the_ledger.last_failed;
            ledger_end();
            if (told.complaint || left || told.failures > failed)
                fail_msg("call %llu, %s: %s, %llu bytes left, %llu failures", (unsigned long long)number, call,
                         told.complaint ? told.complaint : "", (unsigned long long)left,
                         (unsigned long long)told.failures);
        } while (failed);
        EXPECT_GE(number, 20);
    }
}

TEST(cpu_memory__when_all_calls_fail_from_one_on_the_failures_still_fit)
{
    dcmem_log_set(NULL, NULL, DCMEM_LOG_OFF);
    dcmem_open options = plain;
    options.huge_pages = DCMEM_HUGE_PAGES_ON;
    uint64_t number = 0, failed;
    do {
        ledger_begin(++number, UINT64_MAX, ENOMEM);
        story told = live(&options);
        failed = the_ledger.failed;
        ledger_end();
        if (told.complaint)
            fail_msg("from call %llu on: %s", (unsigned long long)number, told.complaint);
    } while (failed);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_WARNING);
}

static uint64_t
count_warnings_of_lost_space(unsigned refused)
{
    ledger_begin(0, 0, ENOMEM);
    void *device = cpu_opened(&plain);
    dcmem_extent extent[2 * DCMI_ORPHAN_COUNT];
    for (unsigned i = 0; i < refused; i++)
        extent[i] = cpu_acquired(device, (dcmem_acquire){.bytes = 8 * KIB});
    for (unsigned i = 0; i < refused; i++) {
        /* The unmapping fails; unlocking and dropping the pages do not. */
        the_ledger.fail_from = the_ledger.calls + 1;
        the_ledger.fail_count = 1;
        write_pages(extent[i].address, extent[i].bytes, 9);
        EXPECT_OK(cpu_release_range(device, extent[i].address, extent[i].bytes));
        EXPECT_EQ(*(uint64_t *)extent[i].host, 0);
    }
    EXPECT_EQ(the_ledger.failed, refused);
    cpu()->close(device);
    uint64_t left = ledger_bytes();
    ledger_end();
    return left;
}

static void
count_message(void *user, dcmem_log_level level, const char *component, const char *message)
{
    if (level == DCMEM_LOG_WARNING && strcmp(component, "cpu") == 0 && strstr(message, "8192 bytes of address space"))
        ++*(unsigned *)user;
}

TEST(cpu_memory__memory_goes_back_at_once_and_refused_address_space_at_the_close)
{
    unsigned warnings = 0;
    dcmem_log_set(count_message, &warnings, DCMEM_LOG_WARNING);
    EXPECT_EQ(count_warnings_of_lost_space(DCMI_ORPHAN_COUNT), 0);
    EXPECT_EQ(warnings, 0);
    /* More than can be remembered: said once for each. */
    EXPECT_EQ(count_warnings_of_lost_space(DCMI_ORPHAN_COUNT + 2), 16 * KIB);
    EXPECT_EQ(warnings, 2);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_WARNING);
}

/* ---- What it costs the process ---- */

static uint64_t
resident_bytes(void)
{
    char text[128];
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file && fgets(text, sizeof text, file) && sscanf(text, "%llu %llu", &size, &resident) == 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
mapping_count(void)
{
    uint64_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    for (int c; (c = fgetc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

TEST(cpu_memory__what_is_released_is_resident_no_more)
{
    void *device = cpu_opened(&plain);
    for (int grows = 0; grows < 2; grows++) {
        dcmem_extent large =
            cpu_acquired(device, (dcmem_acquire){.bytes = 64 * MIB, .flags = grows ? DCMEM_ACQUIRE_GROW : 0});
        dcmem_extent behind = cpu_grown(device, 4 * KIB, 0, &large);
        write_pages(large.address, large.bytes, 0);
        uint64_t full = resident_bytes();
        EXPECT_OK(cpu_release_range(device, large.address, 32 * MIB)); /* a hole */
        EXPECT(resident_bytes() + 28 * MIB < full);
        cpu_released(device, &behind);
        EXPECT_OK(cpu_release_range(device, large.address + 32 * MIB, 32 * MIB)); /* the end */
        EXPECT(resident_bytes() + 60 * MIB < full);
    }
    cpu()->close(device);
}

TEST(cpu_memory__growth_in_small_steps_is_one_mapping)
{
    dcmem_open options = plain;
    options.huge_pages = DCMEM_HUGE_PAGES_ON;
    options.numa_node = 0;
    void *device = cpu_opened(&options);
    dcmem_extent first = cpu_grown(device, 64 * KIB, 1, NULL), last = first;
    uint64_t before = mapping_count();
    for (int i = 0; i < 500; i++) {
        last = cpu_grown(device, 64 * KIB, 1, &last);
        write_pages(last.address, last.bytes, 0);
    }
    EXPECT_LE(mapping_count(), before + 5);
    EXPECT_OK(cpu_release_range(device, first.address, end_of(&last) - first.address));
    cpu()->close(device);
}

LONG_TEST(cpu_memory__ten_thousand_devices_leave_nothing_behind)
{
    uint64_t resident = 0, mappings = 0;
    uint64_t rounds = test_scaled(10000);
    for (uint64_t i = 0; i < rounds; i++) {
        if (i == rounds / 10) {
            resident = resident_bytes();
            mappings = mapping_count();
        }
        void *device = cpu_opened(&plain);
        dcmem_extent first = cpu_grown(device, 1 * MIB, 1, NULL), second = cpu_grown(device, 64 * KIB, 1, &first);
        dcmem_extent alone = cpu_acquired(device, (dcmem_acquire){.bytes = 64 * KIB});
        *(char *)first.host = *(char *)second.host = *(char *)alone.host = 1;
        cpu_released(device, &first);
        cpu_released(device, &second);
        cpu_released(device, &alone);
        cpu()->close(device);
    }
    EXPECT_LE(mapping_count(), mappings + 4);
    EXPECT_LE(resident_bytes(), resident + 4 * MIB);
}

/* ---- Several threads ---- */

/* Another thread grows the lane while the first takes access from what was its end: here in the same thread, in the
 * middle of the system call. */
static void *racing_device;
static dcmem_extent raced;
static dcmi_cpu_call_table real_calls;

static void *
map_raced(void *address, size_t bytes, int protection, int flags)
{
    void *mapped = real_calls.map(address, bytes, protection, flags);
    if (flags & MAP_FIXED && !raced.bytes)
        raced = cpu_grown(racing_device, 64 * KIB, 1, NULL);
    return mapped;
}

static bool
is_mapped(uint64_t address)
{
    unsigned char residence;
    return mincore((void *)(uintptr_t)address, 4096, &residence) == 0;
}

TEST(cpu_memory__an_end_that_another_thread_grew_behind_becomes_a_hole)
{
    racing_device = cpu_opened(&plain);
    raced = (dcmem_extent){0};
    dcmem_extent first = cpu_grown(racing_device, 64 * KIB, 1, NULL);
    dcmem_extent second = cpu_grown(racing_device, 64 * KIB, 1, &first);
    real_calls = dcmi_cpu_calls;
    dcmi_cpu_calls.map = map_raced;
    cpu_released(racing_device, &second);
    dcmi_cpu_calls = real_calls;

    EXPECT(raced.address == end_of(&second));
    EXPECT(!is_mapped(second.address));
    EXPECT(is_mapped(first.address));
    write_pages(raced.address, raced.bytes, 1);
    EXPECT(are_pages_kept(raced.address, raced.bytes, 1));

    /* The end itself stays the window's: reserved, and grown into next. */
    cpu_released(racing_device, &raced);
    EXPECT(is_mapped(raced.address));
    dcmem_extent again = cpu_grown(racing_device, 64 * KIB, 1, NULL);
    EXPECT(again.address == raced.address);
    cpu_released(racing_device, &again);
    cpu_released(racing_device, &first);
    cpu()->close(racing_device);
    EXPECT(!is_mapped(raced.address));
}

typedef struct worker {
    void *device;
    uint64_t rounds;
    unsigned number;
    const char *complaint;
} worker;

enum { HELD = 24 };

/* All threads grow the same two lanes, so that they race for the ends of windows. */
static void *
grow_and_shrink(void *user)
{
    worker *self = user;
    unsigned random = self->number * 7919 + 1;
    dcmem_extent held[HELD] = {{0}};
    for (uint64_t i = 0; i < self->rounds; i++) {
        random = random * 1664525 + 1013904223;
        dcmem_extent *one = &held[random >> 8 & 15], *near = &held[random >> 16 & 15];
        uint64_t seed = self->number;
        if (one->bytes) {
            uint64_t half = one->bytes / 2;
            if (!are_pages_kept(one->address, one->bytes, seed))
                self->complaint = "a page was another thread's";
            if (cpu_release_range(self->device, one->address + half, half) ||
                cpu_release_range(self->device, one->address, half))
                self->complaint = "a release failed";
            one->bytes = 0;
            continue;
        }
        const dcmem_acquire request = {
            .bytes = (2 + 2 * (random >> 24 & 7)) * 4 * KIB,
            .flags = random & 0x10000000 ? 0 : DCMEM_ACQUIRE_GROW,
            .alignment = random & 0x20000000 ? 16 * KIB : 0,
            .lane = random >> 4 & 1,
            .near = near->bytes ? end_of(near) : 0,
        };
        if (cpu()->acquire(one, self->device, &nobody, &request))
            self->complaint = "an acquire failed";
        else
            write_pages(one->address, one->bytes, seed);
    }
    for (unsigned i = 0; i < HELD; i++)
        if (held[i].bytes && cpu()->release(self->device, &nobody, &held[i]))
            self->complaint = "a release failed";
    return NULL;
}

static void
grow_and_shrink_with(unsigned count, uint64_t rounds)
{
    worker workers[8];
    pthread_t thread[8];
    void *device = cpu_opened(&plain);
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (worker){.device = device, .rounds = rounds, .number = i + 1};
        EXPECT_EQ(pthread_create(&thread[i], NULL, grow_and_shrink, &workers[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
        if (workers[i].complaint)
            fail_msg("thread %u: %s", i, workers[i].complaint);
    }
    cpu()->close(device);
}

TEST(cpu_memory__two_threads_never_get_the_same_page)
{
    grow_and_shrink_with(2, 1000);
}

LONG_TEST(cpu_memory__eight_threads_never_get_the_same_page)
{
    grow_and_shrink_with(8, test_scaled(8000));
}
