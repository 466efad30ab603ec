/* team_test.c: every part of a job is done once, whoever does it. */
#include "base/team.h"

#include "base/os.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct tally {
    _Atomic unsigned done[DCMI_TEAM_MOST];
    _Atomic unsigned by_caller;
    pthread_t caller;
} tally;

static void
count_part(void *user, unsigned part, unsigned parts)
{
    tally *self = user;
    EXPECT(part < parts);
    atomic_fetch_add(&self->done[part], 1);
    atomic_fetch_add(&self->by_caller, pthread_equal(self->caller, pthread_self()) != 0);
}

static void
expect_all_done(unsigned parts, int32_t node, unsigned by_caller)
{
    tally all = {.caller = pthread_self()};
    dcmi_team_run(count_part, &all, parts, node);
    for (unsigned i = 0; i < DCMI_TEAM_MOST; i++)
        EXPECT_EQ(all.done[i], i < parts ? 1 : 0);
    EXPECT_EQ(all.by_caller, by_caller);
}

static int refusals;

static int
refuse_some(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *), void *of)
{
    return refusals-- > 0 ? EAGAIN : pthread_create(out, attributes, run, of);
}

TEST(team__has_a_size_from_1_to_its_most)
{
    EXPECT_GE(dcmi_team_size(), 1);
    EXPECT_LE(dcmi_team_size(), DCMI_TEAM_MOST);
    EXPECT_EQ(dcmi_team_size(), dcmi_team_size());
}

TEST(team__does_each_part_once_the_first_by_the_caller)
{
    for (unsigned parts = 1; parts <= DCMI_TEAM_MOST; parts++)
        expect_all_done(parts, -1, 1);
}

TEST(team__without_threads_the_caller_does_all)
{
    dcmi_team_thread_new = refuse_some;
    refusals = 1;
    expect_all_done(3, -1, 2);
    refusals = 100;
    expect_all_done(4, -1, 4);
    dcmi_team_thread_new = pthread_create;
}

/* A machine's node is what its files say; one that has none is anywhere. */
TEST(team__on_a_node_the_caller_does_none_of_it)
{
    char root[] = "/tmp/team_test.XXXXXX", path[160];
    EXPECT(mkdtemp(root));
    static const char *const folders[] = {"sys", "sys/devices", "sys/devices/system", "sys/devices/system/node",
                                          "sys/devices/system/node/node3"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        EXPECT_EQ(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof path, "%s/sys/devices/system/node/node3/cpulist", root);
    FILE *file = fopen(path, "w");
    EXPECT(file);
    fputs("0-1,70000,0\n", file);
    fclose(file);

    dcmi_os_root = root;
    expect_all_done(2, 3, 0);
    expect_all_done(2, 2, 0); /* there is no such node */
    /* Refused on that node, a thread may run anywhere. */
    dcmi_team_thread_new = refuse_some;
    refusals = 1;
    expect_all_done(2, 3, 0);
    dcmi_team_thread_new = pthread_create;
    dcmi_os_root = "";

    unlink(path);
    for (size_t i = 5; i-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        rmdir(path);
    }
}
