/* team.h: a few threads for one job of some hundred microseconds or more: first touching memory, moving much of it.
 *
 * They are made for the job and end with it, so nothing of a team outlives a call, and no fork meets one that waits.
 * They take no signals: those are for the program's own threads. */
#ifndef DCMI_TEAM_H
#define DCMI_TEAM_H

#include <pthread.h>
#include <stdint.h>

#define DCMI_TEAM_MOST 4u

/* Does one of the `parts` of a job. */
typedef void (*dcmi_team_job)(void *user, unsigned part, unsigned parts);

/* How many parts a job should have: as many as there are processors, at most DCMI_TEAM_MOST. */
unsigned dcmi_team_size(void);

/* Has each part done by a thread of its own, the first by the caller. Where `node` is not negative all of them are done
 * on that NUMA node's processors, and none by the caller. What there is no thread for the caller does. */
void dcmi_team_run(dcmi_team_job job, void *user, unsigned parts, int32_t node);

/* Makes the threads; tests replace it to see what happens without. */
extern int (*dcmi_team_thread_new)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
    __attribute__((visibility("hidden")));

#endif
