/* memory_test.c: the raw device operations' former names do what the lines in their warnings do: to the bytes, to the
 * driver, and where they fail.
 *
 * Every test runs one body twice, with the former calls and with the new ones, and compares what was seen. */
#define DCMEM_LEGACY_SILENT
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/legacy.h>
#include <dcmem/testing.h>

#define BYTES 4096u

/* The six operations in one shape. */
typedef struct vocabulary {
    dcmem_result (*allocate)(dcmem_device_memory *out, dcmem_manager *manager, uint64_t bytes);
    dcmem_result (*free)(dcmem_manager *manager, dcmem_device_memory memory);
    dcmem_result (*set)(dcmem_manager *manager, dcmem_device_memory memory, uint8_t value, uint64_t bytes);
    dcmem_result (*to_device)(dcmem_manager *manager, const void *host, dcmem_device_memory memory, uint64_t bytes);
    dcmem_result (*to_host)(dcmem_manager *manager, dcmem_device_memory memory, void *host, uint64_t bytes);
    dcmem_result (*across)(dcmem_manager *manager, dcmem_device_memory source, dcmem_device_memory destination,
                           uint64_t bytes);
} vocabulary;

static const vocabulary before = {dcmem_allocate_device,     dcmem_free_device,         dcmem_memset_device,
                                  dcmem_copy_host_to_device, dcmem_copy_device_to_host, dcmem_copy_device_to_device};

static dcmem_result
new_allocate(dcmem_device_memory *out, dcmem_manager *manager, uint64_t bytes)
{
    void *address = dcmem_raw_allocate(manager, bytes);
    if (!address)
        return dcmem_last_detail()->result;
    *out = (dcmem_device_memory){address, bytes};
    return DCMEM_OK;
}

static dcmem_result
new_free(dcmem_manager *manager, dcmem_device_memory memory)
{
    return dcmem_raw_free(manager, memory.handle);
}

static dcmem_result
new_set(dcmem_manager *manager, dcmem_device_memory memory, uint8_t value, uint64_t bytes)
{
    return dcmem_raw_set(manager, memory.handle, value, bytes);
}

static dcmem_result
new_to_device(dcmem_manager *manager, const void *host, dcmem_device_memory memory, uint64_t bytes)
{
    return dcmem_raw_write(manager, memory.handle, host, bytes);
}

static dcmem_result
new_to_host(dcmem_manager *manager, dcmem_device_memory memory, void *host, uint64_t bytes)
{
    return dcmem_raw_read(manager, host, memory.handle, bytes);
}

static dcmem_result
new_across(dcmem_manager *manager, dcmem_device_memory source, dcmem_device_memory destination, uint64_t bytes)
{
    return dcmem_raw_copy(manager, destination.handle, source.handle, bytes);
}

static const vocabulary after = {new_allocate, new_free, new_set, new_to_device, new_to_host, new_across};

/* ---- What is seen: each call's result and message, the bytes, and what the driver was asked ---- */

#define MOST_CALLS 64

typedef struct account {
    dcmem_result results[MOST_CALLS];
    char messages[MOST_CALLS][64];
    int calls;
    unsigned char bytes[BYTES];
    dcmem_fake_count driver[DCMEM_FAKE_OPERATION_COUNT];
} account;

static dcmem_result
note(account *seen, dcmem_result result)
{
    EXPECT(seen->calls < MOST_CALLS);
    seen->results[seen->calls] = result;
    /* The beginning says what was refused; addresses come further on and differ. */
    if (result)
        snprintf(seen->messages[seen->calls], sizeof seen->messages[0], "%.20s", dcmem_last_detail()->message);
    seen->calls++;
    return result;
}

typedef void (*story)(account *seen, const vocabulary *say, dcmem_fake *fake, dcmem_manager *manager);

static account *
tell(story body, const vocabulary *say, uint32_t flags)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .flags = flags, .total_bytes = 64 << 20};
    dcmem_fake_options options = {.size = sizeof options, .profile = &profile};
    dcmem_fake *fake;
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    dcmem_manager_options settings = {
        .size = sizeof settings, .driver = dcmem_fake_backend(fake), .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, &settings));

    account *seen = calloc(1, sizeof *seen);
    EXPECT(seen);
    body(seen, say, fake, manager);
    for (int i = 0; i < DCMEM_FAKE_OPERATION_COUNT; i++)
        seen->driver[i] = dcmem_fake_count_of(fake, (dcmem_fake_operation)i);

    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_fake_verify(fake));
    EXPECT_OK(dcmem_fake_destroy(fake));
    return seen;
}

/* Whether two messages say the same, wherever the memory is that they speak of. */
static bool
is_same_but_for_addresses(const char *a, const char *b)
{
    while (*a && *b) {
        bool is_address = strncmp(a, "0x", 2) == 0 && strncmp(b, "0x", 2) == 0;
        a += is_address ? 2 + strspn(a + 2, "0123456789abcdef") : 1;
        b += is_address ? 2 + strspn(b + 2, "0123456789abcdef") : 1;
        if (!is_address && a[-1] != b[-1])
            return false;
    }
    return *a == *b;
}

static void
expect_same(story body)
{
    static const uint32_t devices[] = {0, DCMEM_SIMULATED_ADDRESSED, DCMEM_SIMULATED_UNIFIED,
                                       DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        account *then = tell(body, &before, devices[i]), *now = tell(body, &after, devices[i]);
        EXPECT_EQ(then->calls, now->calls);
        for (int call = 0; call < now->calls; call++) {
            EXPECT_EQ(then->results[call], now->results[call]);
            EXPECT(is_same_but_for_addresses(then->messages[call], now->messages[call]));
        }
        EXPECT_EQ(memcmp(then->bytes, now->bytes, sizeof now->bytes), 0);
        EXPECT_EQ(memcmp(then->driver, now->driver, sizeof now->driver), 0);
        free(then);
        free(now);
    }
}

/* ---- Tests ---- */

static void
carry(account *seen, const vocabulary *say, dcmem_fake *fake, dcmem_manager *manager)
{
    (void)fake;
    dcmem_device_memory source, target;
    unsigned char host[BYTES];
    for (unsigned i = 0; i < BYTES; i++)
        host[i] = (unsigned char)(i * 7 + 1);

    EXPECT_OK(note(seen, say->allocate(&source, manager, BYTES)));
    EXPECT_OK(note(seen, say->allocate(&target, manager, BYTES)));
    EXPECT_EQ(source.size, BYTES);
    EXPECT_OK(note(seen, say->to_device(manager, host, source, BYTES)));
    EXPECT_OK(note(seen, say->set(manager, target, 0xa5, BYTES)));
    EXPECT_OK(note(seen, say->across(manager, source, target, BYTES / 2)));
    EXPECT_OK(note(seen, say->to_host(manager, target, seen->bytes, BYTES)));
    EXPECT_EQ(memcmp(seen->bytes, host, BYTES / 2), 0);
    for (unsigned i = BYTES / 2; i < BYTES; i++)
        EXPECT_EQ(seen->bytes[i], 0xa5);
    EXPECT_OK(note(seen, say->to_host(manager, source, host, BYTES)));
    EXPECT_EQ(host[BYTES - 1], (unsigned char)((BYTES - 1) * 7 + 1));
    EXPECT_OK(note(seen, say->free(manager, source)));
    EXPECT_OK(note(seen, say->free(manager, target)));
}

TEST(legacy_memory__carries_the_same_bytes_by_the_same_driver_calls)
{
    expect_same(carry);
}

static void
misuse(account *seen, const vocabulary *say, dcmem_fake *fake, dcmem_manager *manager)
{
    (void)fake;
    dcmem_device_memory block, other, untouched = {(void *)(uintptr_t)77, 77};
    const dcmem_device_memory invalid = {NULL, 0}, stranger = {&block, sizeof block};
    dcmem_manager *never = (dcmem_manager *)(uintptr_t)0x123456789;

    EXPECT(note(seen, say->allocate(&untouched, manager, 0)));
    EXPECT(note(seen, say->allocate(&untouched, manager, (uint64_t)INT64_MIN)));
    EXPECT(note(seen, say->allocate(&untouched, manager, UINT64_MAX)));
    EXPECT(note(seen, say->allocate(&untouched, never, 1)));
    EXPECT(note(seen, say->allocate(&untouched, NULL, 1)));
    EXPECT_EQ(untouched.size, 77);

    EXPECT_OK(note(seen, say->allocate(&block, manager, BYTES)));
    EXPECT_OK(note(seen, say->allocate(&other, manager, BYTES)));
    EXPECT(note(seen, say->set(manager, block, 1, BYTES + 1)));
    EXPECT(note(seen, say->set(manager, block, 1, UINT64_MAX)));
    EXPECT(note(seen, say->set(manager, invalid, 1, 1)));
    EXPECT(note(seen, say->to_device(manager, NULL, block, 1)));
    EXPECT(note(seen, say->to_device(manager, seen->bytes, block, BYTES + 1)));
    EXPECT(note(seen, say->to_device(manager, seen->bytes, stranger, 1)));
    EXPECT(note(seen, say->to_host(manager, block, NULL, 1)));
    EXPECT(note(seen, say->to_host(manager, block, seen->bytes, BYTES + 1)));
    EXPECT(note(seen, say->across(manager, block, block, 1)));
    EXPECT(note(seen, say->across(manager, block, other, BYTES + 1)));
    EXPECT(note(seen, say->across(manager, invalid, block, 1)));
    EXPECT(note(seen, say->across(manager, block, invalid, 1)));

    EXPECT(note(seen, say->free(manager, stranger)));
    EXPECT(note(seen, say->free(never, block)));
    EXPECT_OK(note(seen, say->free(manager, block)));
    EXPECT(note(seen, say->free(manager, block)));
    EXPECT(note(seen, say->set(manager, block, 1, 1)));
    EXPECT(note(seen, say->to_host(manager, block, seen->bytes, 1)));
    EXPECT_OK(note(seen, say->free(manager, invalid)));
    EXPECT_OK(note(seen, say->free(manager, other)));
}

TEST(legacy_memory__refuses_what_the_new_calls_refuse_in_the_same_words)
{
    expect_same(misuse);
}

static void
suffer(account *seen, const vocabulary *say, dcmem_fake *fake, dcmem_manager *manager)
{
    dcmem_device_memory block, other, untouched = {(void *)(uintptr_t)77, 77};
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_acquire, DCMEM_E_NO_MEMORY, 1, UINT64_MAX));
    EXPECT(note(seen, say->allocate(&untouched, manager, BYTES)));
    EXPECT_EQ(untouched.size, 77);
    dcmem_fake_reset(fake);
    EXPECT_OK(note(seen, say->allocate(&block, manager, BYTES)));
    EXPECT_OK(note(seen, say->allocate(&other, manager, BYTES)));

    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_fill, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_copy, DCMEM_E_DEVICE_LOST, 1, UINT64_MAX));
    EXPECT(note(seen, say->set(manager, block, 1, BYTES)));
    EXPECT(note(seen, say->to_device(manager, seen->bytes, block, BYTES)));
    EXPECT(note(seen, say->to_host(manager, block, seen->bytes, BYTES)));
    EXPECT(note(seen, say->across(manager, block, other, BYTES)));
    dcmem_fake_reset(fake);
    EXPECT_OK(note(seen, say->free(manager, block)));
    EXPECT_OK(note(seen, say->free(manager, other)));
}

TEST(legacy_memory__passes_the_drivers_failures_on_like_the_new_calls)
{
    expect_same(suffer);
}

TEST(legacy_memory__without_a_place_for_the_handle_allocates_nothing)
{
    dcmem_manager *manager;
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    EXPECT_RESULT(dcmem_allocate_device(NULL, manager, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("out");
    EXPECT_OK(dcmem_manager_destroy(manager));
}

/* ---- As work of a queue ---- */

/* What happened late, by either vocabulary, and what refused. */
typedef struct lateness {
    unsigned char early, middle[BYTES], end[BYTES];
    uint64_t values[4];
    dcmem_result refused[4];
} lateness;

typedef struct site {
    dcmem_manager *manager;
    dcmem_queue *queue;
    dcmem_device_memory a, b;
    unsigned char in[BYTES];
} site;

static void
say_formerly(lateness *seen, site *at)
{
    EXPECT_OK(dcmem_copy_host_to_device_async(&seen->values[0], at->queue, at->in, at->a, BYTES));
    EXPECT_OK(dcmem_copy_device_to_device_async(&seen->values[1], at->queue, at->a, at->b, BYTES));
    EXPECT_OK(dcmem_memset_device_async(&seen->values[2], at->queue, at->b, 9, 1));
    EXPECT_OK(dcmem_copy_device_to_host_async(&seen->values[3], at->queue, at->b, seen->end, BYTES));
    seen->refused[0] = dcmem_copy_host_to_device_async(NULL, at->queue, at->in, at->a, 1ull << 40);
    seen->refused[1] = dcmem_copy_device_to_device_async(NULL, NULL, at->a, at->b, 1);
    seen->refused[2] = dcmem_memset_device_async(NULL, at->queue, (dcmem_device_memory){NULL, 0}, 1, 1);
    seen->refused[3] = dcmem_copy_device_to_host_async(NULL, at->queue, at->b, NULL, 1);
}

static void
say_now(lateness *seen, site *at)
{
    EXPECT_OK(dcmem_raw_write_on(&seen->values[0], at->queue, at->a.handle, at->in, BYTES));
    EXPECT_OK(dcmem_raw_copy_on(&seen->values[1], at->queue, at->b.handle, at->a.handle, BYTES));
    EXPECT_OK(dcmem_raw_set_on(&seen->values[2], at->queue, at->b.handle, 9, 1));
    EXPECT_OK(dcmem_raw_read_on(&seen->values[3], at->queue, seen->end, at->b.handle, BYTES));
    seen->refused[0] = dcmem_raw_write_on(NULL, at->queue, at->a.handle, at->in, 1ull << 40);
    seen->refused[1] = dcmem_raw_copy_on(NULL, NULL, at->b.handle, at->a.handle, 1);
    seen->refused[2] = dcmem_raw_set_on(NULL, at->queue, NULL, 1, 1);
    seen->refused[3] = dcmem_raw_read_on(NULL, at->queue, NULL, at->b.handle, 1);
}

static void
work_late(lateness *seen, void (*say)(lateness *seen, site *at))
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_backend *backend;
    site at;
    memset(at.in, 3, sizeof at.in);
    memset(seen, 0, sizeof *seen);
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    EXPECT_OK(dcmem_manager_create(&at.manager, &options));
    EXPECT_OK(dcmem_queue_create(&at.queue, at.manager, NULL));
    at.a = (dcmem_device_memory){dcmem_raw_allocate(at.manager, BYTES), BYTES};
    at.b = (dcmem_device_memory){dcmem_raw_allocate(at.manager, BYTES), BYTES};
    say(seen, &at);
    seen->early = seen->end[1];
    EXPECT_OK(dcmem_queue_wait(at.queue, seen->values[3], UINT64_MAX));
    EXPECT_OK(dcmem_raw_read(at.manager, seen->middle, at.a.handle, BYTES));
    EXPECT_OK(dcmem_raw_free(at.manager, at.a.handle));
    EXPECT_OK(dcmem_raw_free(at.manager, at.b.handle));
    EXPECT_OK(dcmem_queue_destroy(at.queue));
    EXPECT_OK(dcmem_manager_destroy(at.manager));
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

TEST(legacy_memory__does_late_what_the_new_calls_do_late)
{
    lateness former, now;
    work_late(&former, say_formerly);
    work_late(&now, say_now);
    EXPECT_EQ(former.early, 0);
    EXPECT_EQ(former.end[0], 9);
    EXPECT_EQ(former.end[1], 3);
    EXPECT(former.early == now.early && memcmp(former.middle, now.middle, BYTES) == 0);
    EXPECT(memcmp(former.end, now.end, BYTES) == 0);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(former.values[i], now.values[i]);
        EXPECT_EQ(former.refused[i], now.refused[i]);
        EXPECT(former.refused[i] != DCMEM_OK);
    }
}

/* ---- Swept: each driver call fails once ---- */

static dcmem_result
go_through_all(dcmem_manager *manager, dcmem_device_memory *source, dcmem_device_memory *target)
{
    unsigned char host[BYTES] = {1};
    dcmem_result result = dcmem_allocate_device(source, manager, BYTES);
    if (!result)
        result = dcmem_allocate_device(target, manager, BYTES);
    if (!result)
        result = dcmem_copy_host_to_device(manager, host, *source, BYTES);
    if (!result)
        result = dcmem_memset_device(manager, *target, 2, BYTES);
    if (!result)
        result = dcmem_copy_device_to_device(manager, *source, *target, BYTES / 2);
    if (!result)
        result = dcmem_copy_device_to_host(manager, *target, host, BYTES);
    return result;
}

static dcmem_result
act(dcmem_sweep_run *run)
{
    dcmem_device_memory source = {NULL, 0}, target = {NULL, 0};
    dcmem_result result = go_through_all(run->manager, &source, &target);
    dcmem_result first = dcmem_free_device(run->manager, source);
    dcmem_result second = dcmem_free_device(run->manager, target);
    return result ? result : first ? first : second;
}

TEST(legacy_memory__leaves_nothing_behind_whichever_driver_call_fails)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act};
    dcmem_sweep_report report = {.size = sizeof report};
    EXPECT_OK(dcmem_test_sweep(&report, &sweep));
    EXPECT_GE(report.points, 5);
    EXPECT_GE(report.refused, 5);
}
