/* log_test.c: what is logged arrives at the sink, whole, if it is bad enough. */
#include "base/log.h"
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct heard {
    int count;
    dcmem_log_level level;
    char component[16];
    char message[600];
} heard;

static void
listen_to(void *user, dcmem_log_level level, const char *component, const char *message)
{
    heard *all = user;
    all->count++;
    all->level = level;
    snprintf(all->component, sizeof all->component, "%s", component);
    snprintf(all->message, sizeof all->message, "%s", message);
}

TEST(log__a_sink_gets_level_component_and_message)
{
    heard all = {0};
    dcmem_log_set(listen_to, &all, DCMEM_LOG_DEBUG);
    dcmi_log(DCMEM_LOG_ERROR, "pool", "%d blocks", 3);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_OFF);

    EXPECT_EQ(all.count, 1);
    EXPECT_EQ(all.level, DCMEM_LOG_ERROR);
    EXPECT(strcmp(all.component, "pool") == 0);
    EXPECT(strcmp(all.message, "3 blocks") == 0);
}

TEST(log__what_is_below_the_level_is_not_sent)
{
    for (int level = DCMEM_LOG_DEBUG; level <= DCMEM_LOG_OFF; level++) {
        heard all = {0};
        dcmem_log_set(listen_to, &all, (dcmem_log_level)level);
        EXPECT_EQ(dcmem_log_get_level(), level);
        for (int sent = DCMEM_LOG_DEBUG; sent < DCMEM_LOG_OFF; sent++)
            dcmi_log((dcmem_log_level)sent, "test", "%d", sent);
        dcmi_log(DCMEM_LOG_OFF, "test", "off is not a level to send at");
        EXPECT_EQ(all.count, DCMEM_LOG_OFF - level);
    }
    dcmem_log_set(NULL, NULL, DCMEM_LOG_OFF);
}

TEST(log__a_long_message_is_cut)
{
    char text[1000];
    heard all = {0};
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dcmem_log_set(listen_to, &all, DCMEM_LOG_DEBUG);
    dcmi_log(DCMEM_LOG_INFO, "test", "%s", text);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_OFF);
    EXPECT_EQ(strlen(all.message), 511);
}

TEST(log__what_is_no_level_means_warning)
{
    dcmem_log_set(NULL, NULL, (dcmem_log_level)99);
    EXPECT_EQ(dcmem_log_get_level(), DCMEM_LOG_WARNING);
    dcmem_log_set(NULL, NULL, DCMEM_LOG_OFF);
}

/* Keeps the lines that are the library's: cmocka writes there too. */
static void
keep_ours(char *text)
{
    char *end = text;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        size_t length = (size_t)(next - line);
        if (strncmp(line, "dcmem: ", 7) == 0) {
            memmove(end, line, length);
            end += length;
        }
    }
    *end = '\0';
}

/* A child whose level nobody has asked for yet: the parent's is set by the tests above. */
static void
expect_standard_error(const char *environment, const char *wanted)
{
    SKIP_UNDER_VALGRIND();
    int ends[2];
    char got[1024] = {0};
    size_t length = 0;
    EXPECT_EQ(pipe(ends), 0);

    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (environment)
            setenv("DCMEM_LOG", environment, 1);
        else
            unsetenv("DCMEM_LOG");
        execl("/proc/self/exe", "log_test", "log_child", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], got + length, sizeof got - 1 - length)) > 0;)
        length += (size_t)n;
    close(ends[0]);
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    keep_ours(got);
    if (strcmp(got, wanted) != 0)
        fail_msg("standard error got \"%s\", not \"%s\"", got, wanted);
}

/* Runs in the children above, which are this program; by itself it has nothing to check. */
TEST(log_child__says_three_things)
{
    const char *is_child = getenv("DCMEM_LOG_TEST_CHILD");
    if (!is_child)
        return;
    dcmi_log(DCMEM_LOG_DEBUG, "test", "a");
    dcmi_log(DCMEM_LOG_WARNING, "test", "b");
    dcmi_log(DCMEM_LOG_ERROR, "test", "c");
}

TEST(log__the_environment_sets_the_level_and_warning_is_the_default)
{
    setenv("DCMEM_LOG_TEST_CHILD", "1", 1);
    expect_standard_error(NULL, "dcmem: warning: test: b\ndcmem: error: test: c\n");
    expect_standard_error("warning", "dcmem: warning: test: b\ndcmem: error: test: c\n");
    expect_standard_error("error", "dcmem: error: test: c\n");
    expect_standard_error("debug", "dcmem: debug: test: a\ndcmem: warning: test: b\ndcmem: error: test: c\n");
    expect_standard_error("off", "");
    expect_standard_error("nonsense", "dcmem: warning: test: b\ndcmem: error: test: c\n");
    unsetenv("DCMEM_LOG_TEST_CHILD");
}
