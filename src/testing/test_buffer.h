/* test_buffer.h: the live test buffers of the process, as the files that make them up see them.
 *
 * Invariants:
 *   1. A handle is a number that is given once and never dereferenced: what is not in the list is not alive.
 *   2. Each test buffer stands on a watch, and each manager has at most one. While it has one, the manager's gate is
 *      ours, unless the user has set another meanwhile.
 *   3. A watch lives as long as a test buffer stands on it, and the device that was made for it as long as the watch.
 *
 * One lock guards both lists, counts and users. What is set at the creation can be read by who has seen it alive. Only
 * the setting of gates is done with it held. */
#ifndef DCMI_TESTING_BUFFER_H
#define DCMI_TESTING_BUFFER_H

#include <dcmem/runner.h>
#include <dcmem/testing.h>

#include <pthread.h>

#define DCMI_TEST_REQUIRE(condition)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "test", 0, "must hold: %s", #condition);               \
    } while (0)

/* A manager with test buffers on it. */
typedef struct dcmi_watch {
    dcmem_manager *manager;
    dcmem_rig rig;   /* what was made for it; the manager's is NULL where that is the caller's */
    dcmem_gate next; /* the gate that was there before ours; NULL: none */
    void *next_user;
    uint32_t users;
    struct dcmi_watch *behind;
} dcmi_watch;

typedef struct dcmi_test_buffer {
    uint64_t number; /* the handle */
    dcmem_buffer *buffer;
    dcmem_manager *manager;
    dcmem_backend *simulated;          /* of its watch; NULL: on a manager of the caller's */
    dcmem_fake *fake;                  /* before that */
    dcmem_native native;               /* while pinned */
    dcmem_test_buffer_options options; /* complete: no zero stands for a choice any more */
    dcmem_test_buffer_counts counts;
    bool is_ending; /* a thread is about to end it */
    dcmi_watch *on;
    struct dcmi_test_buffer *behind;
} dcmi_test_buffer;

extern pthread_mutex_t dcmi_test_lock;

/* ---- The list ---- */

/* Gives it a number. */
void dcmi_test_enlist(dcmi_test_buffer *it);
void dcmi_test_delist(dcmi_test_buffer *it);

/* The live one of that handle, or of that buffer on that manager; NULL. The lock must be held. */
dcmi_test_buffer *dcmi_test_find(const dcmem_test_buffer *handle);
dcmi_test_buffer *dcmi_test_find_buffer(const dcmem_manager *manager, const dcmem_buffer *buffer);

/* A copy of a live one. Takes the lock. */
dcmem_result dcmi_test_look(dcmi_test_buffer *out, const dcmem_test_buffer *handle);

/* ---- Watches ---- */

/* Joins the watch on a manager, or begins one. */
dcmem_result dcmi_watch_join(dcmi_watch **out, dcmem_manager *manager);
/* Makes a device and a manager on it, and begins a watch. */
dcmem_result dcmi_watch_make(dcmi_watch **out, const dcmem_simulated_profile *profile);
/* The last who leaves puts the gate back that was there, or ends what was made. */
dcmem_result dcmi_watch_leave(dcmi_watch *it);

/* ---- Unseen ---- */

/* Between these, what this thread does with test buffers is the kit's own doing: neither counted nor refused nor
 * delayed. They nest. */
void dcmi_test_unseen_begin(void);
void dcmi_test_unseen_end(void);
bool dcmi_test_is_unseen(void);

/* ---- Numbers ---- */

/* A number that follows from a seed and another number, and looks like any other. Pure. */
uint64_t dcmi_test_random(uint64_t seed, uint64_t number);

#endif
