/* lock_test.c: one thread at a time, and nobody is left asleep. */
#include "base/lock.h"
#include "base/os.h"
#include "test.h"

#include <pthread.h>
#include <time.h>

typedef struct shared {
    dcmi_lock lock;
    uint64_t count; /* guarded by lock; not atomic on purpose */
    uint64_t rounds;
} shared;

static void *
count_up(void *user)
{
    shared *all = user;
    for (uint64_t i = 0; i < all->rounds; i++) {
        dcmi_lock_take(&all->lock);
        all->count++;
        dcmi_lock_drop(&all->lock);
    }
    return NULL;
}

static void
count_with(unsigned threads, uint64_t rounds)
{
    pthread_t thread[8];
    shared all = {.rounds = rounds};
    for (unsigned i = 0; i < threads; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, count_up, &all), 0);
    for (unsigned i = 0; i < threads; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
    EXPECT_EQ(all.count, threads * rounds);
    EXPECT(!dcmi_lock_is_taken(&all.lock));
}

TEST(lock__two_threads_lose_no_count)
{
    count_with(2, 20000);
}

LONG_TEST(lock__eight_threads_lose_no_count)
{
    count_with(8, test_scaled(300000));
}

TEST(lock__says_whether_it_is_taken)
{
    dcmi_lock lock = {0};
    EXPECT(!dcmi_lock_is_taken(&lock));
    dcmi_lock_take(&lock);
    EXPECT(dcmi_lock_is_taken(&lock));
    dcmi_lock_drop(&lock);
    EXPECT(!dcmi_lock_is_taken(&lock));
}

/* The compiler's analysis rightly finds that wrong outside a child of fork. */
static void
take_reset_take_drop(dcmi_lock *lock) DCMI_UNCHECKED
{
    dcmi_lock_take(lock);
    dcmi_lock_reset(lock);
    dcmi_lock_take(lock);
    dcmi_lock_drop(lock);
}

TEST(lock__a_reset_one_is_free_whoever_had_it)
{
    dcmi_lock lock = {0};
    take_reset_take_drop(&lock);
    EXPECT(!dcmi_lock_is_taken(&lock));
}

TEST(lock__who_sleeps_for_it_is_woken)
{
    pthread_t thread;
    shared all = {.rounds = 1};
    dcmi_lock_take(&all.lock);
    EXPECT_EQ(pthread_create(&thread, NULL, count_up, &all), 0);
    /* 2 says that somebody sleeps, or is about to: the kernel looks at the word once more. */
    while (atomic_load(&all.lock.word) != 2)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    EXPECT_EQ(all.count, 0);
    dcmi_lock_drop(&all.lock);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(all.count, 1);
}
