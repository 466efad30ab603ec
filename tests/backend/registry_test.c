/* registry_test.c: backends come and go by name, and none goes that is in use. */
#include "backend/registry.h"

#include "backend/device.h"
#include "backend/toy.h"
#include "test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define DCMEM_X(name) +1
enum { BUILT_IN = 0 DCMI_BUILT_IN_BACKENDS(DCMEM_X) };
#undef DCMEM_X

static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

TEST(registry__the_cpu_is_built_in_and_first)
{
    EXPECT_GE(dcmem_backend_count(), 1);
    EXPECT(dcmem_backend_at(0) == dcmem_backend_find("cpu"));
    EXPECT(strcmp(dcmem_backend_at(0)->name, "cpu") == 0);
    EXPECT_RESULT(dcmem_backend_unregister(dcmem_backend_find("cpu")), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("built in");
}

TEST(registry__what_was_registered_is_found_until_it_is_unregistered)
{
    toy one;
    uint32_t before = dcmem_backend_count();
    toy_init(&one);
    EXPECT(!dcmem_backend_find("toy"));
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT(dcmem_backend_find("toy") == &one.table);
    EXPECT(dcmem_backend_at(before) == &one.table);
    EXPECT_EQ(dcmem_backend_count(), before + 1);
    EXPECT(!dcmem_backend_at(before + 1));

    EXPECT_OK(dcmem_backend_unregister(&one.table));
    EXPECT(!dcmem_backend_find("toy"));
    EXPECT_EQ(dcmem_backend_count(), before);
    EXPECT(!dcmem_backend_at(before));
}

TEST(registry__registering_opens_nothing)
{
    toy one;
    toy_init(&one);
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT_EQ(one.opens, 0);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
}

TEST(registry__wrong_arguments_are_refused)
{
    toy one;
    toy_init(&one);
    EXPECT_RESULT(dcmem_backend_register(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_backend_unregister(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_backend_unregister(&one.table), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("not registered");
    EXPECT(!dcmem_backend_find(NULL));
    EXPECT(!dcmem_backend_find(""));
    EXPECT(!dcmem_backend_at(UINT32_MAX));

    one.table.acquire = NULL;
    EXPECT_RESULT(dcmem_backend_register(&one.table), DCMEM_E_CONTRACT);
    EXPECT(!dcmem_backend_find("toy"));
}

TEST(registry__a_name_is_given_once)
{
    toy one, two;
    toy_init(&one);
    toy_init(&two);
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT_RESULT(dcmem_backend_register(&one.table), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_backend_register(&two.table), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("toy");
    two.table.name = "cpu";
    EXPECT_RESULT(dcmem_backend_register(&two.table), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
}

TEST(registry__64_fit_and_the_65th_is_refused)
{
    static toy many[DCMI_REGISTRY_CAPACITY + 1];
    static char names[DCMI_REGISTRY_CAPACITY + 1][16];
    for (uint32_t i = 0; i <= DCMI_REGISTRY_CAPACITY; i++) {
        toy_init(&many[i]);
        snprintf(names[i], sizeof names[i], "toy-%u", i);
        many[i].table.name = names[i];
    }
    for (uint32_t i = 0; i < DCMI_REGISTRY_CAPACITY; i++)
        EXPECT_OK(dcmem_backend_register(&many[i].table));
    EXPECT_RESULT(dcmem_backend_register(&many[DCMI_REGISTRY_CAPACITY].table), DCMEM_E_LIMIT);

    /* One from the middle goes: the order of the others stays. */
    EXPECT_OK(dcmem_backend_unregister(&many[7].table));
    EXPECT_OK(dcmem_backend_register(&many[DCMI_REGISTRY_CAPACITY].table));
    EXPECT(dcmem_backend_at(BUILT_IN + 6) == &many[6].table);
    EXPECT(dcmem_backend_at(BUILT_IN + 7) == &many[8].table);
    EXPECT(dcmem_backend_at(BUILT_IN + DCMI_REGISTRY_CAPACITY - 1) == &many[DCMI_REGISTRY_CAPACITY].table);
    for (uint32_t i = 0; i <= DCMI_REGISTRY_CAPACITY; i++)
        EXPECT_EQ(dcmem_backend_unregister(&many[i].table), i == 7 ? DCMEM_E_INVALID_ARGUMENT : DCMEM_OK);
    EXPECT_EQ(dcmem_backend_count(), BUILT_IN);
}

TEST(registry__one_with_an_open_device_is_busy)
{
    toy one;
    dcmi_device by_name, by_table;
    toy_init(&one);
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT_OK(dcmi_device_open(&by_name, "toy", NULL, &plain));
    EXPECT_OK(dcmi_device_open(&by_table, NULL, &one.table, &plain));
    EXPECT_RESULT(dcmem_backend_unregister(&one.table), DCMEM_E_BUSY);
    EXPECT_DETAIL("2 devices");
    dcmi_device_close(&by_name);
    EXPECT_RESULT(dcmem_backend_unregister(&one.table), DCMEM_E_BUSY);
    dcmi_device_close(&by_table);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
}

TEST(registry__a_failed_opening_counts_no_user)
{
    toy one;
    dcmi_device device;
    toy_init(&one);
    EXPECT_OK(dcmem_backend_register(&one.table));
    one.open_result = DCMEM_E_UNAVAILABLE;
    EXPECT_RESULT(dcmi_device_open(&device, "toy", NULL, &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
}

TEST(registry__a_user_from_before_the_registration_is_not_counted_twice)
{
    toy one;
    dcmi_device early, late;
    toy_init(&one);
    EXPECT_OK(dcmi_device_open(&early, NULL, &one.table, &plain));
    EXPECT_OK(dcmem_backend_register(&one.table));
    EXPECT_OK(dcmi_device_open(&late, NULL, &one.table, &plain));
    dcmi_device_close(&early);
    EXPECT_RESULT(dcmem_backend_unregister(&one.table), DCMEM_E_BUSY);
    dcmi_device_close(&late);
    EXPECT_OK(dcmem_backend_unregister(&one.table));
}

/* ---- Several threads ---- */

typedef struct actor {
    toy *mine;
    uint64_t rounds;
    const char *complaint;
} actor;

static void *
come_and_go(void *user)
{
    actor *self = user;
    for (uint64_t i = 0; i < self->rounds; i++) {
        dcmi_device device;
        if (dcmem_backend_register(&self->mine->table))
            self->complaint = "could not register";
        if (dcmem_backend_find(self->mine->table.name) != &self->mine->table)
            self->complaint = "found another";
        if (dcmi_device_open(&device, self->mine->table.name, NULL, &plain))
            self->complaint = "could not open";
        else {
            if (dcmem_backend_unregister(&self->mine->table) != DCMEM_E_BUSY)
                self->complaint = "went while in use";
            dcmi_device_close(&device);
        }
        if (dcmem_backend_unregister(&self->mine->table))
            self->complaint = "could not unregister";
        for (uint32_t j = 0; j < dcmem_backend_count(); j++)
            (void)dcmem_backend_at(j);
    }
    return NULL;
}

static void
come_and_go_with(unsigned count, uint64_t rounds)
{
    static toy toys[8];
    static const char *const names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    actor actors[8];
    pthread_t thread[8];
    for (unsigned i = 0; i < count; i++) {
        toy_init(&toys[i]);
        toys[i].table.name = names[i];
        actors[i] = (actor){.mine = &toys[i], .rounds = rounds};
        EXPECT_EQ(pthread_create(&thread[i], NULL, come_and_go, &actors[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
        if (actors[i].complaint)
            fail_msg("%s: %s", names[i], actors[i].complaint);
        EXPECT_EQ(toys[i].opens, toys[i].closes);
    }
    EXPECT_EQ(dcmem_backend_count(), BUILT_IN);
}

TEST(registry__threads_come_and_go_without_seeing_each_other)
{
    come_and_go_with(2, 300);
}

LONG_TEST(registry__many_threads_come_and_go_without_seeing_each_other)
{
    come_and_go_with(8, test_scaled(20000));
}

typedef struct forker {
    _Atomic bool is_over;
} forker;

static void *
register_until_over(void *user)
{
    static toy one;
    toy_init(&one);
    while (!atomic_load(&((forker *)user)->is_over)) {
        (void)dcmem_backend_register(&one.table);
        (void)dcmem_backend_unregister(&one.table);
    }
    return NULL;
}

TEST(registry__a_child_of_fork_can_use_it_whatever_other_threads_did)
{
    forker all = {false};
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, register_until_over, &all), 0);
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); /* Hangs where the lock is another thread's. */
            _exit(dcmem_backend_find("cpu") ? 0 : 1);
        }
        int status = -1;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&all.is_over, true);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}
