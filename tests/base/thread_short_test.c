/* thread_short_test.c: a thread that finds no key, no memory or no number. A program of its own, because it uses up
 * what a process has one of. */
#include "base/fail.h"
#include "base/os.h"
#include "base/thread.h"
#include "test.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_error;

/* Stands before the C library's own. */
int
pthread_setspecific(pthread_key_t key, const void *value)
{
    static int (*real)(pthread_key_t, const void *);
    if (set_error)
        return set_error;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_setspecific");
#if defined(__GNUC__) && !defined(__clang__)
        /* gcc sees a value that goes where it does not know what is read. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
    return real(key, value);
}

/* In a child, because a process learns once that it has no key, and whether it has memory. */
static void
expect_in_child(int (*is_as_it_should_be)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        exit(is_as_it_should_be() ? 0 : 1);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static int
says(const char *part)
{
    return dcmem_last_detail()->result == DCMEM_E_NO_HOST_MEMORY && strstr(dcmem_last_detail()->message, part) != NULL;
}

static int
without_keys(void)
{
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0)
        ;
    if (dcmi_thread_get() || !says("no thread-specific key") || dcmi_thread_number() != 0)
        return 0;
    /* Failures have no place for their words then, but they are told from each other, kept and put back. */
    if (dcmi_fail(DCMEM_E_LIMIT, "of %d", 7) != DCMEM_E_LIMIT || dcmem_last_detail()->result != DCMEM_E_LIMIT)
        return 0;
    dcmem_detail kept = dcmi_detail_save();
    if (dcmi_fail(DCMEM_E_BUSY, "by %d", 8) != DCMEM_E_BUSY ||
        strcmp(dcmem_last_detail()->message, dcmem_result_text(DCMEM_E_BUSY)) != 0)
        return 0;
    dcmi_detail_restore(&kept);
    return dcmem_last_detail()->result == DCMEM_E_LIMIT;
}

TEST(thread__without_a_key_says_so)
{
    expect_in_child(without_keys);
}

static int
without_room_for_the_value(void)
{
    set_error = ENOMEM;
    if (dcmi_thread_get() || !says("no room for a thread-specific value"))
        return 0;
    /* The number went back: the next to ask gets it. */
    set_error = 0;
    dcmi_thread *self = dcmi_thread_get();
    return self && self->number == 0;
}

TEST(thread__without_room_for_its_value_gives_number_and_struct_back)
{
    expect_in_child(without_room_for_the_value);
}

static int
without_address_space(void)
{
    struct rlimit limit = {1, RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit))
        return 0;
    dcmi_thread *self = dcmi_thread_get();
    int is_right = !self && says("no address space") && dcmi_os_reserve(4096) == NULL;
    limit.rlim_cur = RLIM_INFINITY;
    return setrlimit(RLIMIT_AS, &limit) == 0 && is_right && dcmi_thread_get();
}

TEST(thread__without_address_space_says_so_and_may_try_again)
{
    SKIP_UNDER_TOOLS();
    expect_in_child(without_address_space);
}
