/* sweeps.h: our own sweeps: one public function as act, over every kind of device, with every kind of failure.
 *
 * SWEEP_TEST(name) { ... } makes two tests of one body: a fast one over a device with a memory of its own and the real
 * CPU, and a long one over each kind of device, each preparation, and a device that is lost.
 *
 * `perform` is the function under test. It writes what it gives into `out`, which must be untouched after a failure,
 * and must succeed when it is tried again and nothing fails any more. It runs in a thread of its own, so that what the
 * library makes for each thread is made, and fails, in each run. */
#ifndef DCMI_TEST_SWEEPS_H
#define DCMI_TEST_SWEEPS_H

#include "base/os.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <pthread.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

#define UNTOUCHED 0x5a

static bool is_thorough;

#define SWEEP_TEST(name)                                                                                               \
    static void name##_body(void);                                                                                     \
    TEST(name)                                                                                                         \
    {                                                                                                                  \
        is_thorough = false;                                                                                           \
        name##_body();                                                                                                 \
    }                                                                                                                  \
    LONG_TEST(name##__on_every_device)                                                                                 \
    {                                                                                                                  \
        is_thorough = true;                                                                                            \
        name##_body();                                                                                                 \
    }                                                                                                                  \
    static void name##_body(void)

typedef struct subject {
    dcmem_manager *manager;
    const dcmem_backend *backend;
    dcmem_result (*prepare)(struct subject *me);
    dcmem_result (*perform)(struct subject *me);
    const char *(*inspect)(struct subject *me); /* after the second try, too; NULL: nothing more */
    void (*finish)(struct subject *me);
    bool no_retry;   /* what failed was done all the same, and cannot be done again */
    bool no_manager; /* perform makes its own */

    /* What tests keep between these. */
    void *blocks[4];
    dcmem_buffer *buffers[4];
    dcmem_access access;
    dcmem_map map;
    uint64_t bytes;
    union {
        uint8_t all[2048];
        void *address;
        uint64_t number;
        uint32_t count;
        dcmem_manager *manager;
        dcmem_buffer *buffer;
        dcmem_device_info info;
        dcmem_limits limits;
        dcmem_optimize_report report;
        dcmem_buffer_info buffer_info;
        dcmem_native native;
        dcmem_access access;
        dcmem_map map;
        dcmem_view view;
        uint8_t host[2048];
    } out;
} subject;

/* ---- Pieces of acts ---- */

/* The result of a call that returns an address. */
static inline dcmem_result
result_of(void *address)
{
    return address ? DCMEM_OK : dcmem_last_detail()->result;
}

/* Bytes that differ from place to place and from seed to seed. */
static inline void
fill_pattern(uint8_t *bytes, uint64_t count, unsigned seed)
{
    for (uint64_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static inline bool
has_pattern(const uint8_t *bytes, uint64_t count, unsigned seed)
{
    for (uint64_t i = 0; i < count; i++)
        if (bytes[i] != (uint8_t)(i * 7 + i / 251 + seed))
            return false;
    return true;
}

/* ---- Running ---- */

static void *
perform_here(void *pointer)
{
    dcmem_sweep_run *run = pointer;
    subject *me = run->user;
    run->result = me->perform(me);
    if (run->result && dcmem_last_detail()->result != run->result)
        run->result = dcmem_backend_fail(DCMEM_E_INTERNAL, "test", 0, "the detail is not that of the result");
    return NULL;
}

static dcmem_result
sweep_act(dcmem_sweep_run *run)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, perform_here, run), 0);
    pthread_join(thread, NULL);
    return run->result;
}

static dcmem_result
sweep_setup(dcmem_sweep_run *run)
{
    subject *me = run->user;
    me->manager = run->manager;
    me->backend = run->backend;
    memset(me->blocks, 0, sizeof me->blocks);
    memset(me->buffers, 0, sizeof me->buffers);
    memset(&me->out, UNTOUCHED, sizeof me->out);
    return me->prepare ? me->prepare(me) : DCMEM_OK;
}

static bool
is_untouched(const subject *me)
{
    for (size_t i = 0; i < sizeof me->out; i++)
        if (me->out.all[i] != UNTOUCHED)
            return false;
    return true;
}

static const char *
sweep_check(dcmem_sweep_run *run)
{
    subject *me = run->user;
    if (run->result == DCMEM_E_INTERNAL)
        return "the detail was not that of the result";
    if (run->result && !is_untouched(me))
        return "the output was touched";
    if (run->manager && dcmem_manager_check(run->manager))
        return dcmem_last_detail()->message;
    if (run->result && !me->no_retry && me->perform(me))
        return dcmem_last_detail()->message;
    return me->inspect ? me->inspect(me) : NULL;
}

static void
sweep_teardown(dcmem_sweep_run *run)
{
    subject *me = run->user;
    if (me->finish && !is_untouched(me))
        me->finish(me);
    for (int i = 0; i < 4; i++) {
        if (me->blocks[i])
            EXPECT_OK(dcmem_raw_free(me->manager, me->blocks[i]));
        if (me->buffers[i])
            EXPECT_OK(dcmem_buffer_destroy(me->buffers[i]));
    }
}

/* The devices that sweeps go over: a real one, and one of each kind. */
#define SWEEP_DEVICES(X)                                                                                               \
    X(0)                                                                                                               \
    X(DCMEM_SIMULATED_ADDRESSED)                                                                                       \
    X(DCMEM_SIMULATED_UNIFIED)                                                                                         \
    X(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE)                                 \
    X(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT)                                                          \
    X(DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT)

/* Returns the points met on all devices together. */
static inline uint64_t
sweep_over_all(subject *me)
{
    static const uint32_t flags[] = {
#define DCMEM_X(value) value,
        SWEEP_DEVICES(DCMEM_X)
#undef DCMEM_X
    };
    /* What fits a driver everywhere; a lost device on one that is simulated and on the real one. */
    static const dcmem_result results[] = {DCMEM_OK, DCMEM_E_DEVICE_LOST};
    const size_t devices = sizeof flags / sizeof flags[0];
    uint64_t points = 0;

    dcmi_os_fault = dcmem_sweep_point;
    for (size_t device = 0; device <= devices; device++) {
        bool is_main = device == 0 || device == devices;
        for (size_t n = 0; is_thorough ? n < (is_main ? 2u : 1u) : n < is_main; n++) {
            dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 512 * MIB};
            dcmem_sweep_report report = {.size = sizeof report};
            dcmem_sweep sweep = {.size = sizeof sweep,
                                 .user = me,
                                 .setup = sweep_setup,
                                 .act = sweep_act,
                                 .check = sweep_check,
                                 .teardown = sweep_teardown,
                                 .injected = results[n],
                                 .no_manager = me->no_manager};
            if (device == devices) {
                sweep.over = dcmem_backend_find("cpu");
            } else {
                profile.flags = flags[device];
                sweep.profile = &profile;
            }
            dcmem_result result = dcmem_test_sweep(&report, &sweep);
            if (result) {
                dcmi_os_fault = NULL;
                fail_msg("device %zu: %s: %s", device, dcmem_result_name(result), dcmem_last_detail()->message);
            }
            points += report.points;
        }
    }
    dcmi_os_fault = NULL;
    return points;
}

#endif
