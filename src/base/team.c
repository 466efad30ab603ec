/* team.c: making the threads and waiting for them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* threads with a set of processors */
#endif
#include "base/team.h"

#include "base/os.h"
#include "base/size.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int (*dcmi_team_thread_new)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = pthread_create;

/* Asked once: the system reads a file for it. */
unsigned
dcmi_team_size(void)
{
    static _Atomic unsigned known;
    unsigned size = atomic_load_explicit(&known, memory_order_relaxed);
    if (size)
        return size;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size = processors < 1 ? 1 : (unsigned)dcmi_min((uint64_t)processors, DCMI_TEAM_MOST);
    atomic_store_explicit(&known, size, memory_order_relaxed);
    return size;
}

/* ---- Which processors ---- */

/* "0-3,8": sets them; false where there is none. */
static bool
read_list(cpu_set_t *out, const char *text)
{
    CPU_ZERO(out);
    while (*text >= '0' && *text <= '9') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long i = first; i <= last && i < CPU_SETSIZE; i++)
            CPU_SET(i, out);
        text = *end == ',' ? end + 1 : end;
    }
    return CPU_COUNT(out) > 0;
}

static bool
processors_of(cpu_set_t *out, int32_t node)
{
    char path[64], list[512];
    if (node < 0)
        return false;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", (int)node);
    dcmi_os_read(list, sizeof list, path);
    return read_list(out, list);
}

/* ---- Running ---- */

typedef struct part {
    dcmi_team_job job;
    void *user;
    unsigned number, parts;
    pthread_t thread;
    bool has_thread;
} part;

static void *
run_part(void *of)
{
    const part *self = of;
    self->job(self->user, self->number, self->parts);
    return NULL;
}

/* A node whose processors this process may not use is no reason to do without a thread. */
static void
start(part *self, const pthread_attr_t *attributes)
{
    int code = dcmi_team_thread_new(&self->thread, attributes, run_part, self);
    if (code && attributes)
        code = dcmi_team_thread_new(&self->thread, NULL, run_part, self);
    self->has_thread = !code;
}

static void
start_all(part *all, unsigned first, unsigned parts, int32_t node)
{
    sigset_t every, before;
    cpu_set_t processors;
    pthread_attr_t attributes;
    bool is_bound = processors_of(&processors, node) && !pthread_attr_init(&attributes);
    if (is_bound)
        (void)pthread_attr_setaffinity_np(&attributes, sizeof processors, &processors); /* Refused: anywhere will do. */
    sigfillset(&every);
    (void)pthread_sigmask(SIG_SETMASK, &every, &before); /* It fails for wrong arguments only. */
    for (unsigned i = first; i < parts; i++)
        start(&all[i], is_bound ? &attributes : NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_bound)
        (void)pthread_attr_destroy(&attributes);
}

void
dcmi_team_run(dcmi_team_job job, void *user, unsigned parts, int32_t node)
{
    part all[DCMI_TEAM_MOST];
    parts = (unsigned)dcmi_min(parts, DCMI_TEAM_MOST);
    for (unsigned i = 0; i < parts; i++)
        all[i] = (part){.job = job, .user = user, .number = i, .parts = parts};
    start_all(all, node < 0 ? 1 : 0, parts, node);
    for (unsigned i = 0; i < parts; i++)
        if (!all[i].has_thread)
            job(user, i, parts);
    for (unsigned i = 0; i < parts; i++)
        if (all[i].has_thread)
            (void)pthread_join(all[i].thread, NULL); /* It fails for threads that are not there. */
}
