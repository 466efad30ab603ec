/* fail_test.c: a failure's detail is written once, whole, and stands until the thread's next failure. */
#include "base/fail.h"
#include "test.h"

#include <dcmem/backend.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(fail__every_result_has_its_name_its_text_and_its_class)
{
#define DCMEM_X(name, class, number, text)                                                                             \
    EXPECT(strcmp(dcmem_result_name(DCMEM_##name), "DCMEM_" #name) == 0);                                              \
    EXPECT(strcmp(dcmem_result_text(DCMEM_##name), text) == 0);                                                        \
    EXPECT_EQ(dcmem_result_class_of(DCMEM_##name), DCMEM_CLASS_##class);
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
    EXPECT_EQ(DCMEM_OK, 0);
}

TEST(fail__what_is_no_result_is_said_to_be_none)
{
    dcmem_result wrong = (dcmem_result)0x7fff;
    EXPECT(strcmp(dcmem_result_name(wrong), "DCMEM_E_UNKNOWN") == 0);
    EXPECT(strcmp(dcmem_result_text(wrong), "not a result of dcmem") == 0);
    EXPECT_EQ(dcmem_result_class_of(wrong), DCMEM_CLASS_NONE);
}

TEST(fail__returns_the_result_and_writes_the_detail)
{
    EXPECT_EQ(dcmi_fail(DCMEM_E_LIMIT, "%d of %s", 3, "four"), DCMEM_E_LIMIT);
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_LIMIT);
    EXPECT_EQ(dcmem_last_detail()->driver_code, 0);
    EXPECT(strcmp(dcmem_last_detail()->driver, "") == 0);
    EXPECT(strcmp(dcmem_last_detail()->message, "3 of four") == 0);
}

TEST(fail__an_errno_is_added_to_the_message_and_becomes_the_driver_code)
{
    EXPECT_EQ(dcmi_fail_errno(DCMEM_E_NO_MEMORY, ENOMEM, "%d bytes", 7), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(dcmem_last_detail()->driver_code, ENOMEM);
    EXPECT(strcmp(dcmem_last_detail()->driver, "cpu") == 0);
    EXPECT_DETAIL("7 bytes: Cannot allocate memory");
}

TEST(fail__a_driver_gives_its_own_name_and_code)
{
    EXPECT_EQ(dcmem_backend_fail(DCMEM_E_DRIVER, "opencl", -61, "size %d", 1), DCMEM_E_DRIVER);
    EXPECT_EQ(dcmem_last_detail()->driver_code, -61);
    EXPECT(strcmp(dcmem_last_detail()->driver, "opencl") == 0);

    EXPECT_EQ(dcmem_backend_fail(DCMEM_E_DRIVER, NULL, 0, "nobody"), DCMEM_E_DRIVER);
    EXPECT(strcmp(dcmem_last_detail()->driver, "") == 0);
}

TEST(fail__a_long_message_is_cut_and_ended)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';

    (void)dcmi_fail(DCMEM_E_INTERNAL, "%s", text);
    EXPECT_EQ(strlen(dcmem_last_detail()->message), sizeof dcmem_last_detail()->message - 1);
    (void)dcmi_fail_errno(DCMEM_E_INTERNAL, EIO, "%s", text);
    EXPECT_DETAIL("xxx: Input/output error");
}

TEST(fail__a_message_may_be_made_from_the_one_before)
{
    (void)dcmi_fail(DCMEM_E_INTERNAL, "first");
    (void)dcmi_fail(DCMEM_E_INTERNAL, "second after %s", dcmem_last_detail()->message);
    EXPECT(strcmp(dcmem_last_detail()->message, "second after first") == 0);
}

TEST(fail__a_detail_can_be_kept_aside_and_put_back)
{
    (void)dcmi_fail(DCMEM_E_BUSY, "kept");
    dcmem_detail kept = dcmi_detail_save();
    (void)dcmi_fail(DCMEM_E_LOST, "in between");
    dcmi_detail_restore(&kept);
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_BUSY);
    EXPECT_DETAIL("kept");
}

static void *
fail_elsewhere(void *unused)
{
    (void)unused;
    bool was_clean = dcmem_last_detail()->result == DCMEM_OK && dcmem_last_detail()->message[0] == '\0';
    (void)dcmi_fail(DCMEM_E_LOST, "elsewhere");
    return was_clean ? NULL : (void *)"a new thread has a detail";
}

TEST(fail__each_thread_has_its_own_detail)
{
    pthread_t thread;
    void *complaint;
    (void)dcmi_fail(DCMEM_E_BUSY, "here");
    EXPECT_EQ(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    EXPECT_EQ(pthread_join(thread, &complaint), 0);
    EXPECT(!complaint);
    EXPECT_DETAIL("here");
}

static pthread_key_t late_key;

/* After the library's own destructor, which ran in the round before. */
static void
fail_late(void *count)
{
    bool was_clean = dcmem_last_detail()->result == DCMEM_OK;
    if (*(int *)count == 0)
        pthread_setspecific(late_key, count);
    else if (was_clean && dcmi_fail(DCMEM_E_LOST, "late") == DCMEM_E_LOST &&
             strstr(dcmem_last_detail()->message, "late"))
        *(int *)count += 10;
    ++*(int *)count;
}

static void *
fail_until_the_end(void *count)
{
    (void)dcmi_fail(DCMEM_E_LOST, "in time");
    pthread_setspecific(late_key, count);
    return NULL;
}

TEST(fail__a_thread_that_is_at_its_end_can_still_fail)
{
    pthread_t thread;
    int count = 0;
    EXPECT_EQ(pthread_key_create(&late_key, fail_late), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, fail_until_the_end, &count), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(count, 12);
    pthread_key_delete(late_key);
}

static dcmem_result
wants_more_than(int least, int n)
{
    DCMI_REQUIRE(n > least);
    return DCMEM_OK;
}

TEST(fail__a_requirement_names_the_condition)
{
    EXPECT_OK(wants_more_than(1, 2));
    EXPECT_RESULT(wants_more_than(2, 2), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("n > least");
}

TEST(fail__a_broken_invariant_ends_the_program)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        dcmi_check_failed("water is dry", "here.c", 7);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
