/* registry_test.c: backends come and go by name, and none goes that is in use. */
#include "backend/registry.h"

#include "backend/device.h"
#include "test.h"

#include <dcmem/testing.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define DCMEM_X(name) +1
enum { BUILT_IN = 0 DCMI_BUILT_IN_BACKENDS(DCMEM_X) };
#undef DCMEM_X

static const dcmem_open plain = {.size = sizeof plain, .numa_node = -1};

/* What comes and goes: fakes, each before a device of its own. */
static dcmem_fake *
fake_of(const char *name)
{
    dcmem_fake *fake;
    const dcmem_fake_options options = {.size = sizeof options, .name = name};
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    return fake;
}

static void
end(dcmem_fake *fake)
{
    EXPECT_OK(dcmem_fake_verify(fake));
    EXPECT_OK(dcmem_fake_destroy(fake));
}

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
    dcmem_fake *fake = fake_of("fake");
    const dcmem_backend *one = dcmem_fake_backend(fake);
    uint32_t before = dcmem_backend_count();
    EXPECT(!dcmem_backend_find("fake"));
    EXPECT_OK(dcmem_backend_register(one));
    EXPECT(dcmem_backend_find("fake") == one);
    EXPECT(dcmem_backend_at(before) == one);
    EXPECT_EQ(dcmem_backend_count(), before + 1);
    EXPECT(!dcmem_backend_at(before + 1));

    EXPECT_OK(dcmem_backend_unregister(one));
    EXPECT(!dcmem_backend_find("fake"));
    EXPECT_EQ(dcmem_backend_count(), before);
    EXPECT(!dcmem_backend_at(before));
    end(fake);
}

TEST(registry__registering_opens_nothing)
{
    dcmem_fake *fake = fake_of("fake");
    EXPECT_OK(dcmem_backend_register(dcmem_fake_backend(fake)));
    EXPECT_EQ(dcmem_fake_count_of(fake, DCMEM_FAKE_open).tried, 0);
    EXPECT_OK(dcmem_backend_unregister(dcmem_fake_backend(fake)));
    end(fake);
}

TEST(registry__wrong_arguments_are_refused)
{
    dcmem_fake *fake = fake_of("fake");
    dcmem_backend table = *dcmem_fake_backend(fake);
    EXPECT_RESULT(dcmem_backend_register(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_backend_unregister(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_backend_unregister(&table), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("not registered");
    EXPECT(!dcmem_backend_find(NULL));
    EXPECT(!dcmem_backend_find(""));
    EXPECT(!dcmem_backend_at(UINT32_MAX));

    table.acquire = NULL;
    EXPECT_RESULT(dcmem_backend_register(&table), DCMEM_E_CONTRACT);
    EXPECT(!dcmem_backend_find("fake"));
    end(fake);
}

TEST(registry__a_backend_that_is_yet_to_come_is_not_part_of_this_version)
{
    static const char *const names[] = {"cuda", "hip", "level_zero", "metal"};
    dcmi_device device;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        EXPECT_RESULT(dcmi_device_open(&device, names[i], NULL, &plain), DCMEM_E_UNAVAILABLE);
        EXPECT_DETAIL(names[i]);
        EXPECT_DETAIL("not part of this version");
    }
    EXPECT_RESULT(dcmi_device_open(&device, "marmalade", NULL, &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("no backend is named marmalade");
}

TEST(registry__a_user_s_own_backend_may_have_a_name_that_is_kept)
{
    dcmem_fake *fake = fake_of("cuda");
    dcmi_device device;
    EXPECT_OK(dcmem_backend_register(dcmem_fake_backend(fake)));
    EXPECT_OK(dcmi_device_open(&device, "cuda", NULL, &plain));
    dcmi_device_close(&device);
    EXPECT_OK(dcmem_backend_unregister(dcmem_fake_backend(fake)));
    end(fake);
}

TEST(registry__a_name_is_given_once)
{
    dcmem_fake *one = fake_of("fake"), *two = fake_of("fake"), *cpu = fake_of("cpu");
    EXPECT_OK(dcmem_backend_register(dcmem_fake_backend(one)));
    EXPECT_RESULT(dcmem_backend_register(dcmem_fake_backend(one)), DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(dcmem_backend_register(dcmem_fake_backend(two)), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("fake");
    EXPECT_RESULT(dcmem_backend_register(dcmem_fake_backend(cpu)), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_backend_unregister(dcmem_fake_backend(one)));
    end(one);
    end(two);
    end(cpu);
}

TEST(registry__64_fit_and_the_65th_is_refused)
{
    dcmem_fake *many[DCMI_REGISTRY_CAPACITY + 1];
    const dcmem_backend *tables[DCMI_REGISTRY_CAPACITY + 1];
    for (uint32_t i = 0; i <= DCMI_REGISTRY_CAPACITY; i++) {
        char name[16];
        snprintf(name, sizeof name, "fake-%u", i);
        many[i] = fake_of(name);
        tables[i] = dcmem_fake_backend(many[i]);
    }
    for (uint32_t i = 0; i < DCMI_REGISTRY_CAPACITY; i++)
        EXPECT_OK(dcmem_backend_register(tables[i]));
    EXPECT_RESULT(dcmem_backend_register(tables[DCMI_REGISTRY_CAPACITY]), DCMEM_E_LIMIT);

    /* One from the middle goes: the order of the others stays. */
    EXPECT_OK(dcmem_backend_unregister(tables[7]));
    EXPECT_OK(dcmem_backend_register(tables[DCMI_REGISTRY_CAPACITY]));
    EXPECT(dcmem_backend_at(BUILT_IN + 6) == tables[6]);
    EXPECT(dcmem_backend_at(BUILT_IN + 7) == tables[8]);
    EXPECT(dcmem_backend_at(BUILT_IN + DCMI_REGISTRY_CAPACITY - 1) == tables[DCMI_REGISTRY_CAPACITY]);
    for (uint32_t i = 0; i <= DCMI_REGISTRY_CAPACITY; i++) {
        EXPECT_EQ(dcmem_backend_unregister(tables[i]), i == 7 ? DCMEM_E_INVALID_ARGUMENT : DCMEM_OK);
        end(many[i]);
    }
    EXPECT_EQ(dcmem_backend_count(), BUILT_IN);
}

TEST(registry__one_with_an_open_device_is_busy)
{
    dcmem_fake *fake = fake_of("fake");
    const dcmem_backend *one = dcmem_fake_backend(fake);
    dcmi_device by_name, by_table;
    EXPECT_OK(dcmem_backend_register(one));
    EXPECT_OK(dcmi_device_open(&by_name, "fake", NULL, &plain));
    EXPECT_OK(dcmi_device_open(&by_table, NULL, one, &plain));
    EXPECT_RESULT(dcmem_backend_unregister(one), DCMEM_E_BUSY);
    EXPECT_DETAIL("2 devices");
    dcmi_device_close(&by_name);
    EXPECT_RESULT(dcmem_backend_unregister(one), DCMEM_E_BUSY);
    dcmi_device_close(&by_table);
    EXPECT_OK(dcmem_backend_unregister(one));
    end(fake);
}

TEST(registry__a_failed_opening_counts_no_user)
{
    dcmem_fake *fake = fake_of("fake");
    dcmi_device device;
    EXPECT_OK(dcmem_backend_register(dcmem_fake_backend(fake)));
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_open, DCMEM_E_UNAVAILABLE, 1, 1));
    EXPECT_RESULT(dcmi_device_open(&device, "fake", NULL, &plain), DCMEM_E_UNAVAILABLE);
    EXPECT_OK(dcmem_backend_unregister(dcmem_fake_backend(fake)));
    end(fake);
}

TEST(registry__a_user_from_before_the_registration_is_not_counted_twice)
{
    dcmem_fake *fake = fake_of("fake");
    const dcmem_backend *one = dcmem_fake_backend(fake);
    dcmi_device early, late;
    EXPECT_OK(dcmi_device_open(&early, NULL, one, &plain));
    EXPECT_OK(dcmem_backend_register(one));
    EXPECT_OK(dcmi_device_open(&late, NULL, one, &plain));
    dcmi_device_close(&early);
    EXPECT_RESULT(dcmem_backend_unregister(one), DCMEM_E_BUSY);
    dcmi_device_close(&late);
    EXPECT_OK(dcmem_backend_unregister(one));
    end(fake);
}

/* ---- Several threads ---- */

typedef struct actor {
    dcmem_fake *fake;
    const dcmem_backend *mine;
    uint64_t rounds;
    const char *complaint;
} actor;

static void *
come_and_go(void *user)
{
    actor *self = user;
    for (uint64_t i = 0; i < self->rounds; i++) {
        dcmi_device device;
        if (dcmem_backend_register(self->mine))
            self->complaint = "could not register";
        if (dcmem_backend_find(self->mine->name) != self->mine)
            self->complaint = "found another";
        if (dcmi_device_open(&device, self->mine->name, NULL, &plain))
            self->complaint = "could not open";
        else {
            if (dcmem_backend_unregister(self->mine) != DCMEM_E_BUSY)
                self->complaint = "went while in use";
            dcmi_device_close(&device);
        }
        if (dcmem_backend_unregister(self->mine))
            self->complaint = "could not unregister";
        for (uint32_t j = 0; j < dcmem_backend_count(); j++)
            (void)dcmem_backend_at(j);
    }
    return NULL;
}

static void
come_and_go_with(unsigned count, uint64_t rounds)
{
    static const char *const names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    actor actors[8];
    pthread_t thread[8];
    for (unsigned i = 0; i < count; i++) {
        dcmem_fake *fake = fake_of(names[i]);
        actors[i] = (actor){.fake = fake, .mine = dcmem_fake_backend(fake), .rounds = rounds};
        EXPECT_EQ(pthread_create(&thread[i], NULL, come_and_go, &actors[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
        if (actors[i].complaint)
            fail_msg("%s: %s", names[i], actors[i].complaint);
        EXPECT_EQ(dcmem_fake_count_of(actors[i].fake, DCMEM_FAKE_open).did, rounds);
        EXPECT_EQ(dcmem_fake_count_of(actors[i].fake, DCMEM_FAKE_close).did, rounds);
        end(actors[i].fake);
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
    const dcmem_backend *mine;
    _Atomic bool is_over;
} forker;

static void *
register_until_over(void *user)
{
    forker *all = user;
    while (!atomic_load(&all->is_over)) {
        (void)dcmem_backend_register(all->mine);
        (void)dcmem_backend_unregister(all->mine);
    }
    return NULL;
}

TEST(registry__a_child_of_fork_can_use_it_whatever_other_threads_did)
{
    dcmem_fake *fake = fake_of("fake");
    forker all = {.mine = dcmem_fake_backend(fake)};
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
    end(fake);
}
