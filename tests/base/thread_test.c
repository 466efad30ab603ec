/* thread_test.c: each thread has a struct and a number while it needs them, and its end is told in order. */
#include "base/thread.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct visitor {
    pthread_barrier_t *meet; /* all are alive at once */
    uint32_t number;
    dcmi_thread *self;
} visitor;

static void *
visit(void *user)
{
    visitor *all = user;
    dcmi_thread *self = dcmi_thread_get();
    all->self = self;
    all->number = dcmi_thread_number();
    if (all->meet)
        pthread_barrier_wait(all->meet);
    return self == dcmi_thread_get() && self->number == all->number ? NULL : (void *)"another struct";
}

static void
visit_alone(visitor *one)
{
    pthread_t thread;
    void *complaint;
    EXPECT_EQ(pthread_create(&thread, NULL, visit, one), 0);
    EXPECT_EQ(pthread_join(thread, &complaint), 0);
    EXPECT(!complaint);
}

TEST(thread__has_number_0_before_it_has_a_struct)
{
    if (!dcmi_thread_current)
        EXPECT_EQ(dcmi_thread_number(), 0);
    EXPECT(dcmi_thread_get() != NULL);
    EXPECT(dcmi_thread_get() == dcmi_thread_current);
}

TEST(thread__threads_that_live_at_once_have_different_numbers)
{
    /* More than one word of the bitmap has bits for. */
    enum { COUNT = 70 };
    pthread_t thread[COUNT];
    visitor one[COUNT];
    pthread_barrier_t meet;
    pthread_barrier_init(&meet, NULL, COUNT);
    for (int i = 0; i < COUNT; i++) {
        one[i] = (visitor){.meet = &meet};
        EXPECT_EQ(pthread_create(&thread[i], NULL, visit, &one[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        void *complaint;
        EXPECT_EQ(pthread_join(thread[i], &complaint), 0);
        EXPECT(!complaint);
    }
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < i; j++) {
            EXPECT_NE(one[i].number, one[j].number);
            EXPECT(one[i].self != one[j].self);
        }
    pthread_barrier_destroy(&meet);
}

TEST(thread__a_number_is_used_again_after_a_thread_s_end)
{
    visitor first = {0}, second = {0};
    visit_alone(&first);
    visit_alone(&second);
    EXPECT_EQ(first.number, second.number);
}

static _Atomic uint32_t order[4];
static _Atomic uint32_t order_count;

#define SINK(level)                                                                                                    \
    static void sink_##level(dcmi_thread *thread)                                                                      \
    {                                                                                                                  \
        if (thread == dcmi_thread_current)                                                                             \
            atomic_store(&order[atomic_fetch_add(&order_count, 1) & 3], level + 1);                                    \
    }

/* clang-format off */
SINK(0) SINK(1) SINK(2) SINK(3)
    /* clang-format on */

    TEST(thread__an_end_is_told_in_the_ending_thread_from_level_0_to_3)
{
    visitor one = {0};
    atomic_store(&order_count, 0);
    dcmi_thread_on_end(3, sink_3);
    dcmi_thread_on_end(0, sink_0);
    dcmi_thread_on_end(2, sink_2);
    dcmi_thread_on_end(1, sink_1);
    visit_alone(&one);
    for (uint32_t level = 0; level < 4; level++) {
        EXPECT_EQ(atomic_load(&order[level]), level + 1);
        dcmi_thread_on_end(level, NULL);
    }
    EXPECT_EQ(atomic_load(&order_count), 4);
    visit_alone(&one);
    EXPECT_EQ(atomic_load(&order_count), 4);
}

static void *
visit_nothing(void *unused)
{
    (void)unused;
    return NULL;
}

TEST(thread__one_that_never_asked_ends_without_a_word)
{
    pthread_t thread;
    atomic_store(&order_count, 0);
    dcmi_thread_on_end(0, sink_0);
    EXPECT_EQ(pthread_create(&thread, NULL, visit_nothing, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(atomic_load(&order_count), 0);
    dcmi_thread_on_end(0, NULL);
}
