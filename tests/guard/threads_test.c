/* threads_test.c: many threads on one guarded manager. */
#include "kit.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4u
#define SHARED  64u

typedef struct shop {
    ground it;
    uint64_t rounds;
    _Atomic(char *) shared[SHARED]; /* blocks that anybody may free */
    _Atomic uint64_t damaged, found;
} shop;

static uint64_t
next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Puts a block where another was and frees that; now and then writes behind one. */
static void *
exchange(void *user)
{
    shop *in = user;
    uint64_t state = (uintptr_t)&state;
    for (uint64_t i = 0; i < in->rounds; i++) {
        uint64_t bytes = 1 + next_random(&state) % 3000;
        char *block = dcmem_raw_allocate(in->it.manager, bytes);
        if (!block)
            return (void *)dcmem_last_detail()->message;
        if (next_random(&state) % 100 == 0) {
            block[bytes] = 'x';
            in->damaged++;
        }
        char *old = atomic_exchange(&in->shared[next_random(&state) % SHARED], block);
        dcmem_result result = dcmem_raw_free(in->it.manager, old);
        in->found += result == DCMEM_E_CORRUPTED;
        if (result && result != DCMEM_E_CORRUPTED)
            return (void *)dcmem_last_detail()->message;
    }
    return NULL;
}

static void
work_all(shop *in, void *(*work)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, in), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong)
            TEST_FAIL("a thread met: %s", (char *)wrong);
    }
}

static void
exchange_all(shop *in)
{
    work_all(in, exchange);
    for (unsigned i = 0; i < SHARED; i++)
        in->found += dcmem_raw_free(in->it.manager, in->shared[i]) == DCMEM_E_CORRUPTED;
    EXPECT_EQ(in->found, in->damaged);
    EXPECT_EQ(stats_of(&in->it).guard_findings, in->damaged);
    EXPECT_EQ(stats_of(&in->it).live_allocations, 0);
}

TEST(guard__finds_every_damage_of_many_threads_once)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL & ~(uint32_t)DCMEM_GUARD_CALL_SITES,
                                     .quarantine_bytes = 100 * KIB};
    shop in = {.it = ground_on(NULL, &options), .rounds = 300};
    exchange_all(&in);
    ground_end(&in.it, DCMEM_OK);
}

LONG_TEST(guard__finds_every_damage_of_many_threads_once__for_long)
{
    dcmem_manager_options options = {.guards = DCMEM_GUARD_ALL, .quarantine_bytes = 100 * KIB};
    shop in = {.it = ground_on(NULL, &options), .rounds = test_scaled(100000)};
    exchange_all(&in);
    ground_end(&in.it, DCMEM_OK);
}

/* All threads free the same blocks. */
static void *
free_all(void *user)
{
    shop *in = user;
    for (unsigned i = 0; i < SHARED; i++) {
        dcmem_result result = dcmem_raw_free(in->it.manager, in->shared[i]);
        in->found += result == DCMEM_OK;
        if (result && result != DCMEM_E_ALREADY_FREE)
            return (void *)dcmem_last_detail()->message;
    }
    return NULL;
}

TEST(guard__of_threads_that_free_one_block_one_succeeds)
{
    for (unsigned round = 0; round < 20; round++) {
        shop in = {.it = cpu_ground(round % 2 ? DCMEM_GUARD_QUARANTINE : DCMEM_GUARD_RED_ZONES)};
        for (unsigned i = 0; i < SHARED; i++)
            in.shared[i] = allocate(&in.it, 200);
        work_all(&in, free_all);
        EXPECT_EQ(in.found, SHARED);
        ground_end(&in.it, DCMEM_OK);
    }
}

TEST(guard__goes_on_in_the_child_of_a_fork)
{
    SKIP_UNDER_TOOLS();
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 100);
    pid_t pid = fork();
    if (pid == 0) {
        block[100] = 'x';
        char *more = dcmem_raw_allocate(it.manager, 100);
        bool is_found = dcmem_raw_free(it.manager, block) == DCMEM_E_CORRUPTED;
        _exit(more && is_found && !dcmem_raw_free(it.manager, more) ? 0 : 1);
    }
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    ground_end(&it, DCMEM_OK);
}
