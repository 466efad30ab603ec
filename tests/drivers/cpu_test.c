/* cpu_test.c: the CPU as a backend: what it says of itself, its kinds of memory, its options and their refusals. */
#include "cpu.h"

#include "drivers/cpu/calls.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Opening ---- */

TEST(cpu__is_one_device)
{
    uint32_t count = 0;
    void *device = NULL;
    dcmem_open options = plain;
    EXPECT_OK(cpu()->count(&count, cpu()));
    EXPECT_EQ(count, 1);
    options.index = 1;
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("1");
    EXPECT(!device);
}

TEST(cpu__options_that_it_cannot_honour_are_errors)
{
    void *device = NULL;
    dcmem_open options = plain;
    const dcmem_native_context native = {.size = sizeof native};
    options.native = &native;
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_UNSUPPORTED);
    options = plain;
    options.huge_pages = DCMEM_HUGE_PAGES_OFF + 1;
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_INVALID_ARGUMENT);
    options = plain;
    options.numa_node = 1000;
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("online: 0");
    EXPECT(!device);
}

TEST(cpu__says_what_the_machine_is)
{
    void *device = cpu_opened(&plain);
    dcmem_device_info info = {0};
    EXPECT_OK(cpu()->info(&info, device));
    EXPECT(strcmp(info.backend, "cpu") == 0);
    EXPECT(info.name[0] != '\0');
    EXPECT_EQ(info.capabilities, cpu()->capabilities);
    EXPECT(info.is_unified);
    EXPECT_EQ(info.heap_count, 1);
    EXPECT_EQ(info.heaps[0].total_bytes, info.total_bytes);
    EXPECT_EQ(info.largest_allocation_bytes, info.total_bytes);
    EXPECT_EQ(info.granularity, sysconf(_SC_PAGESIZE));
    EXPECT_EQ(info.alignment, info.granularity);
    EXPECT(info.cache_line_bytes >= 16 && info.cache_line_bytes <= 1024);
    EXPECT(info.free_bytes > 0 && info.free_bytes <= info.total_bytes);
    EXPECT_EQ(info.numa_node, -1);
    cpu()->close(device);
}

TEST(cpu__devices_are_independent_and_close_in_any_order)
{
    for (unsigned order = 0; order < 6; order++) {
        void *device[3];
        dcmem_extent extent[3];
        for (unsigned i = 0; i < 3; i++) {
            device[i] = cpu_opened(&plain);
            extent[i] = cpu_grown(device[i], 64 * KIB, 1, NULL);
            write_pages(extent[i].address, extent[i].bytes, i);
        }
        unsigned first = order / 2, second = (first + 1 + order % 2) % 3, third = 3 - first - second;
        const unsigned closed[] = {first, second, third};
        for (unsigned i = 0; i < 3; i++) {
            unsigned n = closed[i];
            EXPECT(are_pages_kept(extent[n].address, extent[n].bytes, n));
            cpu_released(device[n], &extent[n]);
            cpu()->close(device[n]);
        }
    }
}

/* ---- Kinds ---- */

TEST(cpu__every_kind_is_memory_that_starts_as_zero)
{
    void *device = cpu_opened(&plain);
    for (int grows = 0; grows < 2; grows++)
        for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
            dcmem_extent extent = cpu_acquired(
                device,
                (dcmem_acquire){.bytes = 16 * KIB, .kind = (dcmem_kind)kind, .flags = grows ? DCMEM_ACQUIRE_GROW : 0});
            EXPECT_EQ(extent.kind, kind);
            for (uint64_t i = 0; i < extent.bytes; i += sizeof(uint64_t))
                EXPECT_EQ(*(uint64_t *)(uintptr_t)(extent.address + i), 0);
            write_pages(extent.address, extent.bytes, 1);
            EXPECT(are_pages_kept(extent.address, extent.bytes, 1));
            cpu_released(device, &extent);
        }
    cpu()->close(device);
}

TEST(cpu__what_is_no_kind_is_refused)
{
    void *device = cpu_opened(&plain);
    dcmem_extent extent = {.bytes = 42};
    const dcmem_acquire request = {.bytes = 4096, .kind = DCMEM_KIND_COUNT};
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(extent.bytes, 42);
    cpu()->close(device);
}

/* The flags of the mapping that holds an address, as the kernel abbreviates them: " rd wr mr ..." */
static void
mapping_flags(char *out, size_t capacity, uint64_t address)
{
    char line[512];
    bool is_it = false;
    out[0] = '\0';
    FILE *file = fopen("/proc/self/smaps", "r");
    EXPECT(file != NULL);
    while (fgets(line, sizeof line, file)) {
        unsigned long long begin, end;
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            is_it = begin <= address && address < end;
        else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(out, capacity, "%s", line + 8);
    }
    fclose(file);
}

static bool
has_flag(uint64_t address, const char *flag)
{
    char flags[512];
    mapping_flags(flags, sizeof flags, address);
    return strstr(flags, flag) != NULL;
}

/* The C library's mlock does nothing under sanitizers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#define IS_SANITIZED                                                                                                   \
    (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#else
#define IS_SANITIZED 0
#endif

TEST(cpu__pinned_memory_is_locked_and_other_is_not)
{
    void *device = cpu_opened(&plain);
    for (int grows = 0; grows < 2; grows++) {
        uint32_t flags = grows ? DCMEM_ACQUIRE_GROW : 0;
        dcmem_extent pinned =
            cpu_acquired(device, (dcmem_acquire){.bytes = 16 * KIB, .kind = DCMEM_KIND_PINNED, .flags = flags});
        dcmem_extent other = cpu_acquired(device, (dcmem_acquire){.bytes = 16 * KIB, .flags = flags});
        EXPECT(IS_SANITIZED || has_flag(pinned.address, " lo"));
        EXPECT(!has_flag(other.address, " lo"));
        cpu_released(device, &pinned);
        cpu_released(device, &other);
    }
    /* The same address space serves other memory afterwards. */
    dcmem_extent pinned = cpu_acquired(
        device, (dcmem_acquire){.bytes = 16 * KIB, .kind = DCMEM_KIND_PINNED, .flags = DCMEM_ACQUIRE_GROW});
    cpu_released(device, &pinned);
    EXPECT(!has_flag(pinned.address, " lo"));
    cpu()->close(device);
}

/* In a child without privileges and with that much to lock. */
static void
expect_pinning(uint64_t limit_bytes, uint64_t bytes, dcmem_result wanted, const char *detail)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {limit_bytes, limit_bytes};
        const dcmem_acquire request = {.bytes = bytes, .kind = DCMEM_KIND_PINNED, .flags = DCMEM_ACQUIRE_GROW};
        void *device = NULL;
        dcmem_extent extent;
        if (setrlimit(RLIMIT_MEMLOCK, &limit) || (getuid() == 0 && setuid(65534)))
            exit(2);
        if (cpu()->open(&device, cpu(), &plain))
            exit(3);
        dcmem_result result = cpu()->acquire(&extent, device, &nobody, &request);
        cpu()->close(device);
        if (result != wanted)
            exit(4);
        exit(wanted && !strstr(dcmem_last_detail()->message, detail) ? 5 : 0);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(cpu__pinning_more_than_is_allowed_says_what_to_raise)
{
    if (IS_SANITIZED)
        SKIP("sanitizers make mlock do nothing");
    expect_pinning(64 * KIB, 16 * KIB, DCMEM_OK, "");
    expect_pinning(64 * KIB, 1 * MIB, DCMEM_E_NO_HOST_MEMORY,
                   "1048576 bytes to be page-locked; a process may lock 65536: raise that with ulimit -l");
    expect_pinning(0, 16 * KIB, DCMEM_E_PERMISSION, "ulimit -l");
}

static int
lock_fails(const void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
    errno = EAGAIN;
    return -1;
}

static uint64_t
no_limit(void)
{
    return UINT64_MAX;
}

TEST(cpu__pinning_that_fails_without_a_limit_names_none)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    void *device = cpu_opened(&plain);
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = 4096, .kind = DCMEM_KIND_PINNED};
    dcmi_cpu_calls.lock = lock_fails;
    dcmi_cpu_calls.lock_limit = no_limit;
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_NO_HOST_MEMORY);
    EXPECT(!strstr(dcmem_last_detail()->message, "ulimit"));
    EXPECT_EQ(dcmem_last_detail()->driver_code, EAGAIN);
    dcmi_cpu_calls = real;
    cpu()->close(device);
}

TEST(cpu__knows_how_much_may_be_locked)
{
    struct rlimit limit;
    EXPECT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    EXPECT(dcmi_cpu_calls.lock_limit() == (limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur));
}

/* ---- Huge pages ---- */

TEST(cpu__huge_pages_are_asked_for_where_memory_grows_and_refused_everywhere)
{
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
        SKIP("the kernel has no transparent huge pages");
    for (uint32_t choice = DCMEM_HUGE_PAGES_SYSTEM; choice <= DCMEM_HUGE_PAGES_OFF; choice++) {
        dcmem_open options = plain;
        options.huge_pages = choice;
        void *device = cpu_opened(&options);
        dcmem_extent alone = cpu_acquired(device, (dcmem_acquire){.bytes = 4 * MIB});
        dcmem_extent grown = cpu_grown(device, 4 * MIB, 0, NULL), more = cpu_grown(device, 64 * KIB, 0, &grown);
        EXPECT(!has_flag(alone.address, " hg"));
        EXPECT_EQ(has_flag(alone.address, " nh"), choice == DCMEM_HUGE_PAGES_OFF);
        EXPECT_EQ(has_flag(grown.address, " hg"), choice == DCMEM_HUGE_PAGES_ON);
        EXPECT_EQ(has_flag(more.address, " hg"), choice == DCMEM_HUGE_PAGES_ON);
        EXPECT_EQ(has_flag(more.address, " nh"), choice == DCMEM_HUGE_PAGES_OFF);
        EXPECT_EQ(grown.address % (2 * MIB), 0);
        cpu_released(device, &alone);
        EXPECT_OK(cpu_release_range(device, grown.address, grown.bytes + more.bytes));
        cpu()->close(device);
    }
}

static int advise_errno;

static int
advise_fails(void *address, size_t bytes, int advice)
{
    (void)address;
    (void)bytes;
    (void)advice;
    errno = advise_errno;
    return -1;
}

TEST(cpu__a_kernel_without_huge_pages_refuses_those_who_want_them_alone)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    dcmem_open options = plain;
    dcmem_extent extent;
    const dcmem_acquire request = {.bytes = 4096, .flags = DCMEM_ACQUIRE_GROW};
    dcmi_cpu_calls.advise = advise_fails;
    advise_errno = EINVAL;

    options.huge_pages = DCMEM_HUGE_PAGES_ON;
    void *device = cpu_opened(&options);
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_UNSUPPORTED);
    EXPECT_DETAIL("huge pages");
    advise_errno = ENOMEM;
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_NO_MEMORY);
    cpu()->close(device);

    advise_errno = EINVAL;
    options.huge_pages = DCMEM_HUGE_PAGES_OFF;
    device = cpu_opened(&options);
    EXPECT_OK(cpu()->acquire(&extent, device, &nobody, &request));
    cpu_released(device, &extent);
    cpu()->close(device);
    dcmi_cpu_calls = real;
}

/* ---- NUMA ---- */

TEST(cpu__memory_is_bound_to_the_node_that_was_chosen)
{
    dcmem_open options = plain;
    options.numa_node = 0;
    void *device = cpu_opened(&options);
    dcmem_device_info info;
    EXPECT_OK(cpu()->info(&info, device));
    EXPECT_EQ(info.numa_node, 0);
    for (int grows = 0; grows < 2; grows++) {
        unsigned long nodes[16] = {0};
        int mode = -1;
        dcmem_extent extent =
            cpu_acquired(device, (dcmem_acquire){.bytes = 64 * KIB, .flags = grows ? DCMEM_ACQUIRE_GROW : 0});
        EXPECT_EQ(syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, extent.host, MPOL_F_ADDR), 0);
        EXPECT_EQ(mode, MPOL_BIND);
        EXPECT_EQ(nodes[0], 1);
        write_pages(extent.address, extent.bytes, 0);
        EXPECT_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, extent.host, MPOL_F_ADDR | MPOL_F_NODE), 0);
        EXPECT_EQ(mode, 0);
        cpu_released(device, &extent);
    }
    cpu()->close(device);
}

TEST(cpu__a_node_that_cannot_be_bound_is_an_error_of_the_system)
{
    char page[1];
    errno = 0;
    EXPECT_EQ(dcmi_cpu_calls.bind(page, 1, -1), -1);
    EXPECT_EQ(errno, EINVAL);
    errno = 0;
    EXPECT_EQ(dcmi_cpu_calls.bind(page, 1, 1024), -1);
    EXPECT_EQ(errno, EINVAL);
}

/* ---- Host memory that is the caller's ---- */

TEST(cpu__imported_memory_stays_the_caller_s_at_any_alignment)
{
    void *device = cpu_opened(&plain);
    char *memory = malloc(100);
    memset(memory, 7, 100);
    dcmem_extent extent = {0};
    EXPECT_OK(cpu()->import_host(&extent, device, &nobody, memory + 3, 90));
    EXPECT(extent.host == memory + 3);
    EXPECT_EQ(extent.address, (uintptr_t)memory + 3);
    EXPECT_EQ(extent.bytes, 90);
    cpu_released(device, &extent);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(memory[i], 7);
    free(memory);
    cpu()->close(device);
}

/* ---- Mapping, copying, filling ---- */

TEST(cpu__maps_are_the_memory_itself)
{
    void *device = cpu_opened(&plain), *host = NULL, *inner = NULL;
    dcmem_extent extent = cpu_acquired(device, (dcmem_acquire){.bytes = 8 * KIB});
    EXPECT_OK(cpu()->map(&host, device, &nobody, &extent, 100, 50, DCMEM_MAP_WRITE_BIT));
    EXPECT_OK(cpu()->map(&inner, device, &nobody, &extent, 110, 5, DCMEM_MAP_READ_BIT));
    EXPECT(host == (char *)extent.host + 100);
    EXPECT(inner == (char *)extent.host + 110);
    EXPECT_OK(cpu()->flush(device, &nobody, &extent, 100, 50));
    EXPECT_OK(cpu()->invalidate(device, &nobody, &extent, 100, 50));
    EXPECT_OK(cpu()->unmap(device, &nobody, &extent, inner));
    EXPECT_OK(cpu()->unmap(device, &nobody, &extent, host));
    cpu_released(device, &extent);
    cpu()->close(device);
}

TEST(cpu__copies_and_fills_reach_extents_and_plain_host_memory)
{
    void *device = cpu_opened(&plain);
    dcmem_extent extent = cpu_acquired(device, (dcmem_acquire){.bytes = 8 * KIB});
    char text[32] = "....................";
    const dcmem_place in = {.extent = &extent, .offset = 4000}, out = {.host = text, .offset = 2};
    const dcmem_place in_twice = {.extent = &extent, .offset = 100};
    EXPECT_OK(cpu()->fill(device, &nobody, &in, 8, "abcd", 4));
    EXPECT_OK(cpu()->copy(device, &nobody, &in_twice, &in, 8));
    EXPECT_OK(cpu()->copy(device, &nobody, &out, &in_twice, 6));
    EXPECT(strcmp(text, "..abcdab............") == 0);
    EXPECT_OK(cpu()->copy(device, &nobody, &out, &in, 0));
    EXPECT_OK(cpu()->fill(device, &nobody, &out, 0, "a", 1));
    EXPECT(strcmp(text, "..abcdab............") == 0);
    cpu_released(device, &extent);
    cpu()->close(device);
}

/* ---- Errors ---- */

TEST(cpu__each_errno_has_its_result)
{
    static const struct {
        int errno_code;
        dcmem_result to_map, to_lock;
    } wanted[] = {
        {ENOMEM, DCMEM_E_NO_MEMORY, DCMEM_E_NO_HOST_MEMORY},
        {EAGAIN, DCMEM_E_NO_MEMORY, DCMEM_E_NO_HOST_MEMORY},
        {EMFILE, DCMEM_E_NO_HOST_MEMORY, DCMEM_E_NO_HOST_MEMORY},
        {ENFILE, DCMEM_E_NO_HOST_MEMORY, DCMEM_E_NO_HOST_MEMORY},
        {EPERM, DCMEM_E_PERMISSION, DCMEM_E_PERMISSION},
        {EACCES, DCMEM_E_PERMISSION, DCMEM_E_PERMISSION},
        {ENOSYS, DCMEM_E_UNSUPPORTED, DCMEM_E_UNSUPPORTED},
        {EOPNOTSUPP, DCMEM_E_UNSUPPORTED, DCMEM_E_UNSUPPORTED},
        {EINVAL, DCMEM_E_DRIVER, DCMEM_E_DRIVER},
        {EIO, DCMEM_E_DRIVER, DCMEM_E_DRIVER},
        {0, DCMEM_E_DRIVER, DCMEM_E_DRIVER},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        EXPECT_EQ(dcmi_cpu_result_of(wanted[i].errno_code, DCMI_CPU_TO_MAP), wanted[i].to_map);
        EXPECT_EQ(dcmi_cpu_result_of(wanted[i].errno_code, DCMI_CPU_TO_LOCK), wanted[i].to_lock);
        EXPECT_EQ(dcmi_cpu_result_of(wanted[i].errno_code, DCMI_CPU_TO_OPEN), wanted[i].to_lock);
    }
}

/* ---- Fork ---- */

static _Atomic bool is_over;

static void *
grow_until_over(void *device)
{
    while (!atomic_load(&is_over)) {
        dcmem_extent extent = cpu_grown(device, 4 * KIB, 1, NULL);
        cpu_released(device, &extent);
        cpu()->close(cpu_opened(&plain));
    }
    return NULL;
}

TEST(cpu__a_child_of_fork_can_grow_and_close_whatever_other_threads_did)
{
    void *device = cpu_opened(&plain);
    pthread_t thread;
    atomic_store(&is_over, false);
    EXPECT_EQ(pthread_create(&thread, NULL, grow_until_over, device), 0);
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); /* Hangs where a lock is another thread's. */
            dcmem_extent extent;
            const dcmem_acquire request = {.bytes = 4096, .flags = DCMEM_ACQUIRE_GROW, .lane = 1};
            if (cpu()->acquire(&extent, device, &nobody, &request))
                _exit(1);
            *(char *)extent.host = 1;
            if (cpu()->release(device, &nobody, &extent))
                _exit(2);
            cpu()->close(device);
            _exit(0);
        }
        int status = -1;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT(WIFEXITED(status));
        EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    atomic_store(&is_over, true);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    cpu()->close(device);
}
