/* notify.c: callbacks when a queue's work is done, called one after the other by one thread of the process.
 *
 * The thread starts with the first callback that is asked for, and sleeps while none is. Otherwise it looks at the
 * timelines, which are memory, more and more seldom while nothing happens: no driver is called and none is waited in.
 *
 *   lock guards: waiting, inherited, is_running, current.   A callback is called without it. */
#include "base/fail.h"
#include "queue/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define FIRST_PAUSE_NS 50000
#define LAST_PAUSE_NS  1000000

typedef struct notice {
    struct notice *after;
    dcmi_use use;
    dcmem_queue_callback callback;
    void *user;
    dcmem_result result;
} notice;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static notice *waiting;   /* newest first */
static notice *inherited; /* of a child of fork: what its parent had asked for; a handler of fork frees nothing */
static bool is_running;
static uint64_t current; /* queue of the callback that is running; 0: none */

/* The oldest notice whose value has completed, or, where one is ending, the oldest of that queue; out of the list. */
static notice *
take_due(uint64_t ending)
{
    notice **due = NULL;
    for (notice **at = &waiting; *at; at = &(*at)->after) {
        bool is_done = dcmi_use_is_done((*at)->use);
        (*at)->result = is_done ? DCMEM_OK : DCMEM_E_STALE_QUEUE;
        if (ending ? (*at)->use.queue == ending : is_done)
            due = at;
    }
    notice *taken = due ? *due : NULL;
    if (taken)
        *due = taken->after;
    return taken;
}

/* Called with the lock, which is free while the callback runs. */
static void
call(notice *due)
{
    current = due->use.queue;
    pthread_mutex_unlock(&lock);
    due->callback(due->user, due->use.value, due->result);
    free(due);
    pthread_mutex_lock(&lock);
    current = 0;
    pthread_cond_broadcast(&changed);
}

static void
pause_for(uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t end = (uint64_t)until.tv_nsec + ns;
    until.tv_sec += (time_t)(end / 1000000000u);
    until.tv_nsec = (long)(end % 1000000000u);
    pthread_cond_timedwait(&changed, &lock, &until);
}

static void *
run(void *unused)
{
    (void)unused;
    uint64_t pause_ns = FIRST_PAUSE_NS;
    pthread_mutex_lock(&lock);
    for (;;) {
        notice *due = current ? NULL : take_due(0);
        if (due) {
            call(due);
            pause_ns = FIRST_PAUSE_NS;
        } else if (!waiting) {
            pthread_cond_wait(&changed, &lock);
            pause_ns = FIRST_PAUSE_NS;
        } else {
            pause_for(pause_ns);
            pause_ns = pause_ns * 2 < LAST_PAUSE_NS ? pause_ns * 2 : LAST_PAUSE_NS;
        }
    }
    return NULL;
}

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* COVER begin: runs in the child of a fork, which ends by _exit() and leaves no counts */
/* The child has no such thread, and what was asked for is the parent's. The condition still counts the thread among
 * those that sleep on it: who wakes them twice would wait for it for ever. */
static void
in_child(void)
{
    inherited = waiting ? waiting : inherited;
    waiting = NULL;
    is_running = false;
    current = 0;
    changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pthread_mutex_unlock(&lock);
}
/* COVER end */

static bool
start(void)
{
    static bool has_handlers;
    if (!has_handlers)
        pthread_atfork(before_fork, in_parent, in_child);
    has_handlers = true;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool is_started = pthread_create(&thread, &attributes, run, NULL) == 0;
    pthread_attr_destroy(&attributes);
    return is_started;
}

static void
forget_inherited(void)
{
    /* COVER begin: only in the child of a fork, which leaves no counts */
    while (inherited) {
        notice *parents = inherited;
        inherited = parents->after;
        free(parents);
    }
    /* COVER end */
}

dcmem_result
dcmem_queue_notify(dcmem_queue *handle, uint64_t value, dcmem_queue_callback callback, void *user)
{
    DCMI_REQUIRE(callback);
    dcmi_queue *queue = dcmi_queue_resolve(handle);
    if (!queue)
        return dcmem_last_detail()->result;
    notice *created = malloc(sizeof *created);
    if (!created)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no memory for a callback"); /* COVER: malloc() of 64 bytes fails */
    *created = (notice){.use = {.queue = (uintptr_t)handle, .value = value}, .callback = callback, .user = user};

    pthread_mutex_lock(&lock);
    forget_inherited();
    if (!is_running)
        is_running = start();
    bool is_there = is_running;
    if (is_there) {
        created->after = waiting;
        waiting = created;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    if (is_there)
        return DCMEM_OK;
    /* COVER begin: the process can start no thread */
    free(created);
    return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no thread for callbacks");
    /* COVER end */
}

void
dcmi_notify_end(uint64_t queue)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        while (current)
            pthread_cond_wait(&changed, &lock);
        notice *due = take_due(queue);
        if (!due)
            break;
        call(due);
    }
    pthread_mutex_unlock(&lock);
}
