/* cpu_queues_test.c: the threads behind the queues of the CPU: when they come and go, and what a fork does to them. */
#include "cpu.h"
#include "ledger.h"

#include "base/os.h"
#include "drivers/cpu/queues.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned
thread_count(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/task");
    EXPECT(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void *
queue_opened(void *device)
{
    void *queue = NULL;
    EXPECT_OK(cpu()->queue_open(&queue, device, NULL));
    return queue;
}

static dcmem_result
fill(uint64_t *out, void *device, void *queue, void *host, uint64_t bytes, char byte)
{
    const dcmem_place to = {.host = host};
    return cpu()->enqueue_fill(out, device, queue, &nobody, &to, bytes, &byte, 1);
}

TEST(cpu_queues__have_threads_while_there_are_queues)
{
    void *device = cpu_opened(&plain);
    cpu()->queue_close(device, queue_opened(device)); /* with the first thread of all a sanitizer starts its own */
    unsigned before = thread_count();
    void *one = queue_opened(device), *two = queue_opened(device), *more[10];
    EXPECT(thread_count() > before);
    for (int i = 0; i < 10; i++)
        more[i] = queue_opened(device);
    EXPECT_LE(thread_count(), before + DCMI_CPU_WORKERS);
    EXPECT_LE(thread_count(), before + (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    for (int i = 0; i < 10; i++)
        cpu()->queue_close(device, more[i]);
    cpu()->queue_close(device, one);
    EXPECT(thread_count() > before);
    cpu()->queue_close(device, two);
    /* A thread that was joined may still be listed for a moment. */
    for (int i = 0; i < 1000 && thread_count() > before; i++)
        usleep(1000);
    EXPECT_EQ(thread_count(), before);
    cpu()->close(device);
}

TEST(cpu_queues__of_the_caller_s_own_are_refused_and_patterns_that_are_none)
{
    void *device = cpu_opened(&plain), *queue = NULL;
    uint64_t value = 42;
    char bytes[32] = "";
    const dcmem_native_context native = {.size = sizeof native, .queue = 1};
    const dcmem_place to = {.host = bytes};
    EXPECT_RESULT(cpu()->queue_open(&queue, device, &native), DCMEM_E_UNSUPPORTED);
    EXPECT(!queue);
    queue = queue_opened(device);
    EXPECT_RESULT(cpu()->enqueue_fill(&value, device, queue, &nobody, &to, 32, bytes, 32), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(cpu()->enqueue_fill(&value, device, queue, &nobody, &to, 32, bytes, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(value, 42);
    cpu()->queue_close(device, queue);
    cpu()->close(device);
}

TEST(cpu_queues__that_cannot_be_are_refused)
{
    void *device = cpu_opened(&plain), *queue = NULL;
    ledger_begin(1, UINT64_MAX, EAGAIN);
    EXPECT_RESULT(cpu()->queue_open(&queue, device, NULL), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("a thread for the queues");
    EXPECT(!queue);
    ledger_end();

    /* With one thread the second queue does without another. */
    void *one = queue_opened(device);
    ledger_begin(1, UINT64_MAX, EAGAIN);
    void *two = queue_opened(device);
    ledger_end();
    uint64_t value = 0;
    char bytes[64];
    EXPECT_OK(fill(&value, device, two, bytes, sizeof bytes, 'x'));
    EXPECT_OK(cpu()->queue_wait(device, two, value, UINT64_MAX));
    EXPECT_EQ(bytes[63], 'x');
    cpu()->queue_close(device, one);
    cpu()->queue_close(device, two);
    cpu()->close(device);
}

static bool
has_no_space(const char *what)
{
    (void)what;
    return true;
}

TEST(cpu_queues__need_memory)
{
    void *device = cpu_opened(&plain), *queue = NULL;
    dcmi_os_fault = has_no_space;
    EXPECT_RESULT(cpu()->queue_open(&queue, device, NULL), DCMEM_E_NO_HOST_MEMORY);
    dcmi_os_fault = NULL;
    EXPECT(!queue);
    cpu()->close(device);
}

/* Work that lasts long enough for others to look at: the queue has one thread at most. */
TEST(cpu_queues__wait_as_long_as_they_are_told)
{
    enum { BYTES = 32 << 20, COUNT = 20 };
    void *device = cpu_opened(&plain), *queue = queue_opened(device);
    char *bytes = malloc(BYTES);
    uint64_t value = 0;
    for (int i = 0; i < COUNT; i++)
        EXPECT_OK(fill(&value, device, queue, bytes, BYTES, (char)i));
    EXPECT_RESULT(cpu()->queue_wait(device, queue, value, 0), DCMEM_E_TIMEOUT);
    EXPECT_RESULT(cpu()->queue_wait(device, queue, value, 1000), DCMEM_E_TIMEOUT);
    EXPECT_DETAIL("the timeline stands at");
    EXPECT_OK(cpu()->queue_wait(device, queue, value, UINT64_MAX - 1));
    EXPECT_EQ(bytes[BYTES - 1], COUNT - 1);
    while (cpu()->queue_completed(device, queue) < value)
        continue;
    free(bytes);
    cpu()->queue_close(device, queue);
    cpu()->close(device);
}

static void *
open_and_close(void *device)
{
    char bytes[256];
    for (int i = 0; i < 100; i++) {
        void *queue = NULL;
        uint64_t value = 0;
        if (cpu()->queue_open(&queue, device, NULL) || fill(&value, device, queue, bytes, sizeof bytes, (char)i))
            return device;
        cpu()->queue_close(device, queue);
        if (bytes[255] != (char)i)
            return device;
    }
    return NULL;
}

TEST(cpu_queues__can_come_and_go_in_several_threads)
{
    void *device = cpu_opened(&plain);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, open_and_close, device), 0);
    for (int i = 0; i < 4; i++) {
        void *complaint = NULL;
        EXPECT_EQ(pthread_join(threads[i], &complaint), 0);
        EXPECT(!complaint);
    }
    cpu()->close(device);
}

static _Atomic int handled;

static void
handle(int number)
{
    (void)number;
    if (gettid() == getpid())
        handled++;
}

TEST(cpu_queues__leave_signals_to_the_program_s_own_threads)
{
    void *device = cpu_opened(&plain), *queue = queue_opened(device);
    struct sigaction action = {.sa_handler = handle}, before;
    EXPECT_EQ(sigaction(SIGUSR1, &action, &before), 0);
    for (int i = 0; i < 50; i++)
        EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_GE(handled, 1);
    EXPECT_EQ(sigaction(SIGUSR1, &before, NULL), 0);
    cpu()->queue_close(device, queue);
    cpu()->close(device);
}

/* ---- Fork ---- */

/* Without what the parent has still to print; in builds that measure coverage, what the child ran counts. */
static pid_t
fork_alone(void)
{
    fflush(NULL);
    return fork();
}

static void
expect_well(pid_t child)
{
    int status = -1;
    EXPECT(child > 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

enum { LARGE = 8 << 20, DEPTH = 8 };

/* In the child: what the parent had queued is done here too, and what comes after it. */
static int
go_on(void *device, void *queue, const char *bytes, uint64_t last)
{
    uint64_t value = 0;
    char more[64] = "";
    alarm(60); /* Hangs where a thread or a lock is missing. */
    if (cpu()->queue_wait(device, queue, last, UINT64_MAX))
        return 1;
    for (int i = 0; i < LARGE; i += 4096)
        if (bytes[i] != DEPTH)
            return 2;
    if (fill(&value, device, queue, more, sizeof more, 'm') || cpu()->queue_wait(device, queue, value, UINT64_MAX))
        return 3;
    void *own = NULL;
    if (more[63] != 'm' || cpu()->queue_open(&own, device, NULL))
        return 4;
    cpu()->queue_close(device, own);
    cpu()->queue_close(device, queue);
    cpu()->close(device);
    return 0;
}

TEST(cpu_queues__go_on_in_a_child_of_fork)
{
    SKIP_UNDER_TOOLS();
    for (int round = 0; round < 10; round++) {
        void *device = cpu_opened(&plain), *queue = queue_opened(device);
        char *bytes = calloc(1, LARGE);
        uint64_t last = 0;
        for (int i = 1; i <= DEPTH; i++)
            EXPECT_OK(fill(&last, device, queue, bytes, LARGE, (char)i));
        pid_t child = fork_alone();
        if (child == 0)
            exit(go_on(device, queue, bytes, last));
        EXPECT_OK(cpu()->queue_wait(device, queue, last, UINT64_MAX));
        EXPECT_EQ(bytes[LARGE - 1], DEPTH);
        expect_well(child);
        cpu()->queue_close(device, queue);
        cpu()->close(device);
        free(bytes);
    }
}

static int
refuse_start(pthread_t *out, void *(*run)(void *))
{
    (void)out;
    (void)run;
    return EAGAIN;
}

/* Threads refused: nothing new is taken on, what was there is done by who closes. */
static int
go_on_alone(void *device, void *queue, void *other, const char *bytes, uint64_t last)
{
    uint64_t value = 42;
    char more[64];
    alarm(60);
    dcmi_cpu_calls.start = refuse_start;
    if (fill(&value, device, queue, more, sizeof more, 'm') != DCMEM_E_NO_HOST_MEMORY || value != 42)
        return 1;
    if (cpu()->queue_completed(device, queue) < last &&
        cpu()->queue_wait(device, queue, last, UINT64_MAX) != DCMEM_E_NO_HOST_MEMORY)
        return 2;
    cpu()->queue_close(device, queue);
    cpu()->queue_close(device, other);
    for (int i = 0; i < LARGE; i += 4096)
        if (bytes[i] != DEPTH)
            return 3;
    cpu()->close(device);
    return 0;
}

TEST(cpu_queues__in_a_child_that_can_have_no_threads_end_their_work_when_they_are_closed)
{
    SKIP_UNDER_TOOLS();
    void *device = cpu_opened(&plain), *queue = queue_opened(device), *other = queue_opened(device);
    char *bytes = calloc(1, LARGE), *others = calloc(1, LARGE);
    uint64_t last = 0, their_last = 0;
    for (int i = 1; i <= DEPTH; i++) {
        EXPECT_OK(fill(&their_last, device, other, others, LARGE, (char)i));
        EXPECT_OK(fill(&last, device, queue, bytes, LARGE, (char)i));
    }
    pid_t child = fork_alone();
    if (child == 0)
        exit(go_on_alone(device, queue, other, bytes, last));
    expect_well(child);
    cpu()->queue_close(device, queue);
    cpu()->queue_close(device, other);
    cpu()->close(device);
    free(bytes);
    free(others);
}

static _Atomic bool is_over;

static void *
queue_until_over(void *device)
{
    char bytes[4096];
    void *steady = queue_opened(device);
    while (!atomic_load(&is_over)) {
        uint64_t value = 0;
        void *queue = queue_opened(device);
        EXPECT_OK(fill(&value, device, queue, bytes, sizeof bytes, 1));
        EXPECT_OK(fill(&value, device, steady, bytes + 1, 1, 2));
        cpu()->queue_close(device, queue);
    }
    cpu()->queue_close(device, steady);
    return NULL;
}

TEST(cpu_queues__a_fork_at_any_moment_leaves_the_child_working)
{
    SKIP_UNDER_TOOLS();
    void *device = cpu_opened(&plain);
    pthread_t thread;
    atomic_store(&is_over, false);
    EXPECT_EQ(pthread_create(&thread, NULL, queue_until_over, device), 0);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            char bytes[64] = "";
            void *queue = NULL;
            uint64_t value = 0;
            alarm(60);
            if (cpu()->queue_open(&queue, device, NULL) || fill(&value, device, queue, bytes, 64, 7))
                _exit(1);
            cpu()->queue_close(device, queue);
            _exit(bytes[63] == 7 ? 0 : 2);
        }
        expect_well(child);
    }
    atomic_store(&is_over, true);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    cpu()->close(device);
}
