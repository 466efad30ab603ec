/* os_test.c: what the system says is understood, whatever its files hold. */
#include "base/os.h"

#include "files.h"
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- Sizes ---- */

static void
begin_system(void)
{
    files_begin();
    files_put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n");
}

TEST(os__without_groups_memory_is_the_machine_s)
{
    begin_system();
    EXPECT_EQ(dcmi_os_memory_total(), 16 * GIB);
    EXPECT_EQ(dcmi_os_memory_available(), 8 * GIB);

    /* Groups without limits change nothing. */
    files_put("/proc/self/cgroup", "0::/user/one\n");
    files_put("/sys/fs/cgroup/user/one/memory.max", "max\n");
    EXPECT_EQ(dcmi_os_memory_total(), 16 * GIB);
    EXPECT_EQ(dcmi_os_memory_available(), 8 * GIB);
    files_end();
}

TEST(os__a_group_s_limit_counts_where_it_is_below_the_machine_s)
{
    begin_system();
    files_put("/proc/self/cgroup", "0::/user/one\n");
    files_put("/sys/fs/cgroup/user/one/memory.max", "1073741824\n");
    files_put("/sys/fs/cgroup/user/one/memory.current", "268435456\n");
    EXPECT_EQ(dcmi_os_memory_total(), GIB);
    EXPECT_EQ(dcmi_os_memory_available(), 768 * MIB);

    files_put("/sys/fs/cgroup/user/one/memory.max", "1099511627776\n");
    EXPECT_EQ(dcmi_os_memory_total(), 16 * GIB);
    EXPECT_EQ(dcmi_os_memory_available(), 8 * GIB);
    files_end();
}

TEST(os__pages_of_files_in_a_group_are_room)
{
    begin_system();
    files_put("/proc/self/cgroup", "0::/one\n");
    files_put("/sys/fs/cgroup/one/memory.max", "1073741824\n");
    files_put("/sys/fs/cgroup/one/memory.current", "805306368\n");
    files_put("/sys/fs/cgroup/one/memory.stat", "anon 1\ninactive_file 268435456\nactive_file 2\n");
    EXPECT_EQ(dcmi_os_memory_available(), 512 * MIB);

    /* The files are read one after the other: sums that do not fit must not wrap. */
    files_put("/sys/fs/cgroup/one/memory.stat", "anon 1\ninactive_file 26843545600\n");
    EXPECT_EQ(dcmi_os_memory_available(), GIB);
    files_put("/sys/fs/cgroup/one/memory.stat", "anon 1\n");
    files_put("/sys/fs/cgroup/one/memory.current", "1073750000\n");
    EXPECT_EQ(dcmi_os_memory_available(), 0);
    files_end();
}

TEST(os__the_tightest_of_all_groups_above_counts)
{
    begin_system();
    files_put("/proc/self/cgroup", "0::/a/b/c\n");
    files_put("/sys/fs/cgroup/a/memory.max", "1073741824\n");
    files_put("/sys/fs/cgroup/a/memory.current", "1070000000\n");
    files_put("/sys/fs/cgroup/a/b/memory.max", "536870912\n");
    files_put("/sys/fs/cgroup/a/b/memory.current", "0\n");
    files_put("/sys/fs/cgroup/a/b/c/memory.max", "2147483648\n");
    EXPECT_EQ(dcmi_os_memory_total(), 512 * MIB);
    EXPECT_EQ(dcmi_os_memory_available(), GIB - 1070000000);
    files_end();
}

TEST(os__a_group_at_the_root_is_seen_as_in_a_container)
{
    begin_system();
    files_put("/proc/self/cgroup", "0::/\n");
    files_put("/sys/fs/cgroup/memory.max", "1073741824\n");
    EXPECT_EQ(dcmi_os_memory_total(), GIB);
    /* How much of it is in use is not said. */
    EXPECT_EQ(dcmi_os_memory_available(), GIB);
    files_end();
}

TEST(os__version_1_of_groups_is_understood_too)
{
    begin_system();
    files_put("/proc/self/cgroup", "no colon\n12:pids:/p\n4:memory:/box\n1:cpu:/box\n0::/\n");
    files_put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
    files_put("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "536870912\n");
    files_put("/sys/fs/cgroup/memory/box/memory.stat", "inactive_file 7\ntotal_inactive_file 268435456\n");
    EXPECT_EQ(dcmi_os_memory_total(), GIB);
    EXPECT_EQ(dcmi_os_memory_available(), 768 * MIB);
    files_put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    EXPECT_EQ(dcmi_os_memory_total(), 16 * GIB);
    files_end();
}

TEST(os__without_proc_the_system_call_answers)
{
    dcmi_os_root = "/nonexistent";
    uint64_t total = dcmi_os_memory_total(), available = dcmi_os_memory_available();
    dcmi_os_root = "";
    EXPECT_GE(total, MIB);
    EXPECT(available > 0 && available <= total);
}

TEST(os__this_machine_has_memory)
{
    EXPECT_GE(dcmi_os_memory_total(), 16 * MIB);
    EXPECT_LE(dcmi_os_memory_available(), dcmi_os_memory_total());
}

TEST(os__a_file_is_read_up_to_the_room_for_it)
{
    char text[8];
    begin_system();
    files_put("/long", "0123456789");
    files_put("/empty", "");
    dcmi_os_read(text, sizeof text, "/long");
    EXPECT(strcmp(text, "0123456") == 0);
    dcmi_os_read(text, sizeof text, "/empty");
    EXPECT(strcmp(text, "") == 0);
    dcmi_os_read(text, sizeof text, "/absent");
    EXPECT(strcmp(text, "") == 0);
    /* A folder can be opened, not read. */
    dcmi_os_read(text, sizeof text, "/proc");
    EXPECT(strcmp(text, "") == 0);
    files_end();
}

/* ---- Memory and time ---- */

TEST(os__reserved_memory_is_zero_and_forgotten_pages_are_zero_again)
{
    enum { BYTES = 5 * DCMI_PAGE };
    unsigned char *memory = dcmi_os_reserve(BYTES);
    EXPECT(memory != NULL);
    for (size_t i = 0; i < BYTES; i++)
        EXPECT_EQ(memory[i], 0);
    memset(memory, 7, BYTES);

    /* Whole pages inside: 2 and 3 of 1.5 to 4.5. */
    dcmi_os_forget(memory + DCMI_PAGE + DCMI_PAGE / 2, 3 * DCMI_PAGE);
    EXPECT_EQ(memory[2 * DCMI_PAGE - 1], 7);
    EXPECT_EQ(memory[2 * DCMI_PAGE], 0);
    EXPECT_EQ(memory[4 * DCMI_PAGE - 1], 0);
    EXPECT_EQ(memory[4 * DCMI_PAGE], 7);

    dcmi_os_forget(memory + 1, 100);
    EXPECT_EQ(memory[1], 7);
    dcmi_os_forget((void *)(uintptr_t)(UINTPTR_MAX - 1), 1);
    dcmi_os_unreserve(memory, BYTES);
    dcmi_os_unreserve(NULL, BYTES);
}

static bool
refuse(const char *what)
{
    return strcmp(what, "reserve of the library") == 0;
}

TEST(os__what_a_test_fails_is_not_reserved)
{
    dcmi_os_fault = refuse;
    void *memory = dcmi_os_reserve(4096);
    dcmi_os_fault = NULL;
    EXPECT(!memory);
}

TEST(os__time_does_not_go_back)
{
    uint64_t last = dcmi_os_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = dcmi_os_now_ns();
        EXPECT(now >= last);
        last = now;
    }
}

TEST(os__a_sleep_ends_at_once_where_the_word_differs_and_after_its_time_else)
{
    _Atomic uint32_t word = 1;
    dcmi_os_sleep(&word, 2, UINT64_MAX);
    uint64_t begin = dcmi_os_now_ns();
    dcmi_os_sleep(&word, 1, 2000000);
    EXPECT(dcmi_os_now_ns() > begin);
}

static void *
sleep_until_changed(void *word)
{
    while (atomic_load((_Atomic uint32_t *)word) == 0)
        dcmi_os_sleep(word, 0, UINT64_MAX);
    return NULL;
}

TEST(os__all_sleepers_on_a_word_are_woken)
{
    _Atomic uint32_t word = 0;
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, sleep_until_changed, &word), 0);
    usleep(1000);
    atomic_store(&word, 1);
    dcmi_os_wake(&word);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
}

/* ---- Fences ---- */

/* Two threads each write one word and read the other's. Without a fence both may read 0. Here the one has only the
 * compiler's fence, and the other makes it pass a real one. */
typedef struct crossing {
    _Atomic int mine, theirs;
    int seen;
    pthread_barrier_t start, end;
    uint64_t rounds;
} crossing;

static void *
cross_lightly(void *user)
{
    crossing *all = user;
    for (uint64_t i = 0; i < all->rounds; i++) {
        pthread_barrier_wait(&all->start);
        atomic_store_explicit(&all->mine, 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        all->seen = atomic_load_explicit(&all->theirs, memory_order_relaxed);
        pthread_barrier_wait(&all->end);
    }
    return NULL;
}

LONG_TEST(os__a_fence_for_all_orders_another_thread_s_store_before_its_load)
{
    crossing all = {.rounds = test_scaled(3000)};
    pthread_t thread;
    if (!dcmi_os_fence_prepare())
        SKIP("the kernel has no private expedited membarrier");
    pthread_barrier_init(&all.start, NULL, 2);
    pthread_barrier_init(&all.end, NULL, 2);
    EXPECT_EQ(pthread_create(&thread, NULL, cross_lightly, &all), 0);
    for (uint64_t i = 0; i < all.rounds; i++) {
        atomic_store(&all.mine, 0);
        atomic_store(&all.theirs, 0);
        pthread_barrier_wait(&all.start);
        atomic_store_explicit(&all.theirs, 1, memory_order_relaxed);
        dcmi_os_fence_all();
        int seen = atomic_load_explicit(&all.mine, memory_order_relaxed);
        pthread_barrier_wait(&all.end);
        EXPECT(seen || all.seen);
    }
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&all.start);
    pthread_barrier_destroy(&all.end);
}
