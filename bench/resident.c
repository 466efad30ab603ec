/* resident.c: how much memory a pattern really holds: peak resident over peak live.
 *
 * Each measurement is a process of its own that opens one allocator and runs one pattern, touching a byte in every page
 * of every block:
 *   churn          1,000 live blocks, 200,000 replacements, sizes as in the timed case;
 *   training-step  10 steps of 2,000 buffers, freed in reverse.
 * peak live      the highest sum of the sizes asked for, at any moment;
 * peak resident  VmHWM at the end less VmRSS at the begin, when the allocator has served one small block, all tables
 *                of the harness are touched and nothing else has been allocated.
 * VmHWM is the kernel's own high-water mark: no sample can miss the peak. The sizes follow from the process that asks
 * and the round: the same for all contenders of a round, others in the next launch. */
#include "bench/harness.h"
#include "bench/rounds.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHURN_REPLACEMENTS 200000u
#define TRAINING_STEPS     10u

/* ---- In the child ---- */

typedef struct account_book {
    const bench_calls *calls;
    uint64_t live, peak;
} account_book;

/* Not inlined, no constant shape: nobody looks at the clock here. */
static void *
take(account_book *account, uint32_t bytes)
{
    void *block = bench_take(account->calls, account->calls->shape, bytes);
    if (!block)
        return NULL;
    bench_touch(block, bytes);
    account->live += bytes;
    account->peak = account->live > account->peak ? account->live : account->peak;
    return block;
}

static void
give(account_book *account, void *block, uint32_t bytes)
{
    bench_give(account->calls, account->calls->shape, block);
    account->live -= bytes;
}

static struct {
    void *block;
    uint32_t bytes;
} table[BENCH_TRAINING_BUFFERS];

static bool
run_churn(account_book *account, uint64_t seed)
{
    bench_random random = {seed};
    for (unsigned i = 0; i < BENCH_CHURN_LIVE + CHURN_REPLACEMENTS; i++) {
        uint64_t slot = i < BENCH_CHURN_LIVE ? i : bench_random_next(&random) % BENCH_CHURN_LIVE;
        if (table[slot].block)
            give(account, table[slot].block, table[slot].bytes);
        table[slot].bytes = bench_random_size(&random, BENCH_CHURN_LOW, BENCH_CHURN_OCTAVES);
        table[slot].block = take(account, table[slot].bytes);
        if (!table[slot].block)
            return false;
    }
    return true;
}

static bool
run_training(account_book *account, uint64_t seed)
{
    (void)seed;
    for (unsigned step = 0; step < TRAINING_STEPS; step++) {
        for (unsigned i = 0; i < BENCH_TRAINING_BUFFERS; i++) {
            table[i].bytes = bench_training_size(i);
            table[i].block = take(account, table[i].bytes);
            if (!table[i].block)
                return false;
        }
        for (unsigned i = BENCH_TRAINING_BUFFERS; i--;)
            give(account, table[i].block, table[i].bytes);
    }
    return true;
}

/* A line "name:  1234 kB" of /proc/self/status, in bytes; without stdio, whose buffers would be resident. */
static uint64_t
status_bytes(const char *name)
{
    static char text[8192];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

/* Words: pattern, contender, policy, seed, and the extra peers or "". */
int
bench_resident_child(int argc, char **argv)
{
    if (argc != 5)
        return CLI_USAGE;
    const char *pattern = argv[0], *name = argv[1];
    bench_policy = (dcmem_policy)atoi(argv[2]);
    bench_wanted wanted = {.policy = bench_policy, .only = name, .extra = argv[4]};
    static bench_allocators allocators;
    if (!bench_allocators_open(&allocators, &wanted))
        return CLI_FAILED;
    const bench_allocator *allocator = bench_allocators_find(&allocators, name);
    if (!allocator || allocator->absence[0])
        return CLI_FAILED;

    account_book account = {.calls = &allocator->calls};
    memset(table, 1, sizeof table);
    memset(table, 0, sizeof table);
    void *first = take(&account, 64);
    if (!first)
        return CLI_FAILED;
    give(&account, first, 64);

    uint64_t base = status_bytes("VmRSS:");
    uint64_t seed = strtoull(argv[3], NULL, 10);
    bool is_done = strcmp(pattern, "churn") == 0 ? run_churn(&account, seed) : run_training(&account, seed);
    uint64_t peak = status_bytes("VmHWM:");
    if (!is_done || peak <= base)
        return CLI_FAILED;
    printf("%llu %llu\n", (unsigned long long)(peak - base), (unsigned long long)account.peak);
    /* No tidying up: what is measured has been measured. */
    return fflush(stdout) ? CLI_FAILED : CLI_OK;
}

/* ---- In the parent ---- */

typedef struct resident {
    const char *pattern;
    const char *name;
    uint64_t seed;
} resident;

static double
read_child(int from, pid_t child)
{
    char text[64] = "";
    ssize_t length = read(from, text, sizeof text - 1);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    unsigned long long resident_bytes, live_bytes;
    if (length <= 0 || status || sscanf(text, "%llu %llu", &resident_bytes, &live_bytes) != 2 || live_bytes == 0)
        return -1;
    return (double)resident_bytes / (double)live_bytes;
}

static double
resident_run(void *state, uint64_t ops)
{
    (void)ops;
    resident *self = state;
    char policy[16], seed[24];
    snprintf(policy, sizeof policy, "%d", (int)bench_policy);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)self->seed++);
    const char *const words[] = {"dcmem",    "bench", "@resident", self->pattern,
                                 self->name, policy,  seed,        bench_extra_peers ? bench_extra_peers : "",
                                 NULL};
    char *argv[sizeof words / sizeof *words];
    memcpy(argv, words, sizeof argv); /* posix_spawn writes to none of them; its type is older than const */

    int ends[2];
    if (pipe(ends))
        return -1;
    pid_t child;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int failure = posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    double ratio = failure ? -1 : read_child(ends[0], child);
    close(ends[0]);
    return ratio;
}

static void *
resident_begin(const bench_contender *contender, const char *pattern)
{
    resident *state = cli_allocate(1, sizeof *state);
    *state = (resident){pattern, contender->name, (uint64_t)getpid() * BENCH_MAX_ROUNDS};
    return state;
}

static void *
churn_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    return resident_begin(contender, "churn");
}

static void *
training_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    return resident_begin(contender, "training-step");
}

const bench_pattern bench_resident_churn = {churn_begin, resident_run, free, true, 0};
const bench_pattern bench_resident_training = {training_begin, resident_run, free, true, 0};
