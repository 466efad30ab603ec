/* cpu_pages_test.c: virtual memory of the CPU: what it costs, what it gives back, what a system that refuses leaves. */
#include "cpu.h"
#include "ledger.h"

#include "base/os.h"

#include <sys/resource.h>
#include <sys/stat.h>

static uint64_t
reserved(void *device, uint64_t bytes, uint64_t alignment)
{
    uint64_t address = 0;
    EXPECT_OK(cpu()->reserve(&address, device, bytes, alignment));
    return address;
}

static uint64_t
created(void *device, uint64_t bytes, dcmem_kind kind)
{
    uint64_t page = 0;
    EXPECT_OK(cpu()->page_create(&page, device, &nobody, bytes, kind));
    return page;
}

static void
mapped(void *device, uint64_t address, uint64_t page, uint64_t offset, uint64_t bytes)
{
    EXPECT_OK(cpu()->page_map(device, &nobody, address, page, offset, bytes));
}

static void
unmapped(void *device, uint64_t address, uint64_t bytes)
{
    EXPECT_OK(cpu()->page_unmap(device, &nobody, address, bytes));
}

static void
destroyed(void *device, uint64_t page)
{
    EXPECT_OK(cpu()->page_destroy(device, &nobody, page));
}

static void
unreserved(void *device, uint64_t address, uint64_t bytes)
{
    EXPECT_OK(cpu()->unreserve(device, address, bytes));
}

/* What the process's files in memory hold. */
static uint64_t
shared_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "r");
    EXPECT(file != NULL);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "RssShmem: %llu kB", &kib) == 1)
            break;
    fclose(file);
    return kib * 1024;
}

static uint64_t
kernel_mappings(uint64_t begin, uint64_t bytes)
{
    uint64_t count = 0;
    char line[512];
    FILE *file = fopen("/proc/self/maps", "r");
    EXPECT(file != NULL);
    while (fgets(line, sizeof line, file)) {
        unsigned long long from, to;
        count += sscanf(line, "%llx-%llx", &from, &to) == 2 && from < begin + bytes && begin < to;
    }
    fclose(file);
    return count;
}

TEST(cpu_pages__cost_memory_when_they_are_touched_and_give_it_back)
{
    void *device = cpu_opened(&plain);
    uint64_t before = shared_bytes(), address = reserved(device, 64 * MIB, 0);
    uint64_t page = created(device, 16 * MIB, DCMEM_KIND_DEVICE);
    mapped(device, address, page, 0, 16 * MIB);
    EXPECT(shared_bytes() < before + 1 * MIB);
    write_pages(address, 16 * MIB, 3);
    EXPECT_GE(shared_bytes(), before + 16 * MIB);
    unmapped(device, address, 16 * MIB);
    mapped(device, address + 16 * MIB, page, 0, 16 * MIB);
    EXPECT_EQ(*(uint64_t *)(uintptr_t)(address + 16 * MIB + 4096), 3 + address + 4096);
    unmapped(device, address + 16 * MIB, 16 * MIB);
    destroyed(device, page);
    EXPECT(shared_bytes() < before + 1 * MIB);
    unreserved(device, address, 64 * MIB);
    cpu()->close(device);
}

TEST(cpu_pages__that_lie_side_by_side_are_one_mapping_and_cost_one_descriptor)
{
    enum { COUNT = 3000 };
    ledger_begin(0, 0, ENOMEM);
    void *device = cpu_opened(&plain);
    static uint64_t page[COUNT];
    uint64_t address = reserved(device, COUNT * 4 * KIB, 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        page[i] = created(device, 4 * KIB, DCMEM_KIND_DEVICE);
        mapped(device, address + i * 4 * KIB, page[i], 0, 4 * KIB);
    }
    EXPECT_EQ(the_ledger.files, 1);
    EXPECT_LE(kernel_mappings(address, COUNT * 4 * KIB), 2);
    write_pages(address, COUNT * 4 * KIB, 7);
    EXPECT(are_pages_kept(address, COUNT * 4 * KIB, 7));
    unmapped(device, address, COUNT * 4 * KIB);
    for (uint64_t i = 0; i < COUNT; i++)
        destroyed(device, page[i]);
    unreserved(device, address, COUNT * 4 * KIB);
    cpu()->close(device);
    EXPECT_EQ(the_ledger.files, 0);
    EXPECT_EQ(ledger_bytes(), 0);
    ledger_end();
}

TEST(cpu_pages__of_two_devices_are_apart)
{
    void *one = cpu_opened(&plain), *two = cpu_opened(&plain);
    uint64_t here = reserved(one, 64 * KIB, 0), there = reserved(two, 64 * KIB, 0);
    uint64_t mine = created(one, 64 * KIB, DCMEM_KIND_DEVICE), yours = created(two, 64 * KIB, DCMEM_KIND_HOST);
    mapped(one, here, mine, 0, 64 * KIB);
    mapped(two, there, yours, 0, 64 * KIB);
    write_pages(here, 64 * KIB, 1);
    EXPECT_EQ(*(uint64_t *)(uintptr_t)there, 0);
    unmapped(one, here, 64 * KIB);
    unmapped(two, there, 64 * KIB);
    destroyed(one, mine);
    destroyed(two, yours);
    unreserved(one, here, 64 * KIB);
    unreserved(two, there, 64 * KIB);
    cpu()->close(one);
    cpu()->close(two);
}

TEST(cpu_pages__beyond_all_memory_or_the_process_s_limit_are_refused)
{
    void *device = cpu_opened(&plain);
    uint64_t page = 42;
    struct rlimit before, limit;
    EXPECT_RESULT(cpu()->page_create(&page, device, &nobody, 1ull << 60, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("more than all memory");
    EXPECT_RESULT(cpu()->page_create(&page, device, &nobody, 4 * KIB, (dcmem_kind)5), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1 * MIB;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    dcmem_result result = cpu()->page_create(&page, device, &nobody, 2 * MIB, DCMEM_KIND_DEVICE);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_RESULT(result, DCMEM_E_NO_MEMORY);
    EXPECT_EQ(page, 42);
    cpu()->close(device);
}

/* ---- The system refuses ---- */

typedef struct story {
    uint64_t failures;
    const char *complaint;
} story;

static bool
went_well(story *told, dcmem_result result)
{
    told->failures += result != DCMEM_OK;
    if (result && result != DCMEM_E_NO_MEMORY && result != DCMEM_E_NO_HOST_MEMORY)
        told->complaint = "a result that does not fit";
    if (result && dcmem_last_detail()->result != result)
        told->complaint = "a detail of another failure";
    return !result;
}

/* What was mapped stays so where unmapping failed; trying again is the caller's way out. */
static void
unmap_at_last(story *told, void *device, uint64_t address, uint64_t bytes)
{
    if (!went_well(told, cpu()->page_unmap(device, &nobody, address, bytes)))
        (void)went_well(told, cpu()->page_unmap(device, &nobody, address, bytes));
}

static void
use_page(story *told, void *device, uint64_t address, dcmem_kind kind)
{
    uint64_t page = 42;
    if (!went_well(told, cpu()->page_create(&page, device, &nobody, 64 * KIB, kind))) {
        if (page != 42)
            told->complaint = "an output was touched";
        return;
    }
    if (went_well(told, cpu()->page_map(device, &nobody, address, page, 0, 64 * KIB))) {
        write_pages(address, 64 * KIB, 3);
        unmap_at_last(told, device, address, 64 * KIB);
    }
    (void)went_well(told, cpu()->page_destroy(device, &nobody, page));
}

static story
live(const dcmem_open *options)
{
    story told = {0};
    void *device = NULL;
    uint64_t address = 42;
    if (!went_well(&told, cpu()->open(&device, cpu(), options)))
        return told;
    if (went_well(&told, cpu()->reserve(&address, device, 256 * KIB, 1 * MIB))) {
        use_page(&told, device, address, DCMEM_KIND_DEVICE);
        use_page(&told, device, address + 64 * KIB, DCMEM_KIND_PINNED);
        (void)went_well(&told, cpu()->unreserve(device, address, 256 * KIB));
    }
    cpu()->close(device);
    return told;
}

TEST(cpu_pages__whichever_system_call_fails_nothing_is_left)
{
    const dcmem_open options[] = {
        plain,
        {.size = sizeof plain, .numa_node = 0, .huge_pages = DCMEM_HUGE_PAGES_ON},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        uint64_t number = 0, failed;
        do {
            ledger_begin(++number, 1, ENOMEM);
            story told = live(&options[i]);
            failed = the_ledger.failed;
            uint64_t left = ledger_bytes();
            int files = the_ledger.files;
            const char *call = the_ledger.last_failed;
            ledger_end();
            if (told.complaint || left || files || told.failures > failed)
                fail_msg("call %llu, %s: %s, %llu bytes and %d files left, %llu failures", (unsigned long long)number,
                         call, told.complaint ? told.complaint : "", (unsigned long long)left, files,
                         (unsigned long long)told.failures);
        } while (failed);
        EXPECT_GE(number, 12);
    }
}

static bool
has_no_space(const char *what)
{
    (void)what;
    return true;
}

TEST(cpu_pages__without_a_record_are_refused)
{
    void *device = cpu_opened(&plain);
    uint64_t page = 42;
    dcmi_os_fault = has_no_space;
    EXPECT_RESULT(cpu()->page_create(&page, device, &nobody, 4 * KIB, DCMEM_KIND_DEVICE), DCMEM_E_NO_HOST_MEMORY);
    dcmi_os_fault = NULL;
    EXPECT_EQ(page, 42);
    destroyed(device, created(device, 4 * KIB, DCMEM_KIND_DEVICE));
    cpu()->close(device);
}
