/* dcmem/runner.h: expectations that fail as the user's test runner fails, and a device for one test.
 *
 * No runner is known here. Say once how a test fails in yours, in the function that a runner calls first:
 *
 *     static void
 *     fail_test(void *user, const char *file, int line, const char *message)
 *     {
 *         (void)user;
 *         print_error("%s\n", message);                      // this is cmocka's way; examples/runners has the others
 *         _fail(file, line);
 *     }
 *
 *     dcmem_test_on_failure(fail_test, NULL);
 *
 * Then expect, in tests, fixtures and helpers:
 *
 *     dcmem_rig rig;
 *     DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, NULL));          // a device with a memory of its own, and a manager on it
 *     DCMEM_EXPECT_OK(invert(rig.manager, &image));
 *     DCMEM_EXPECT_BYTES(dcmem_view_whole(image.pixels), wanted);
 *     DCMEM_EXPECT_OK(dcmem_rig_end(&rig));                  // nothing leaked, every expectation of its fake was met
 *
 *     DCMEM_EXPECT_OK(dcmem_test_sweep(NULL, &sweep));       // a sweep is a test
 *     DCMEM_EXPECT_RESULT(invert(NULL, &image), DCMEM_E_INVALID_ARGUMENT);
 *
 * The nouns: an *expectation* is a macro that tells the handler when it does not hold, with file, line and a message of
 * one line; a *rig* is one simulated device behind a fake, with a manager.
 *
 * A handler may end the test by jumping away (cmocka, Check, Criterion) or return (GoogleTest). So that no handler ever
 * jumps out of the library, it is only called by the expectations themselves, never out of a call to dcmem, and what a
 * fake reports meanwhile waits for its end. Where it returns, an expectation is false: `if (!DCMEM_EXPECT_OK(call))`.
 *
 * Link with libdcmem-testing. */
#ifndef DCMEM_RUNNER_H
#define DCMEM_RUNNER_H

#include <dcmem/base.h>
#include <dcmem/buffer.h>
#include <dcmem/manager.h>
#include <dcmem/result.h>
#include <dcmem/testing.h>

DCMEM_BEGIN

/* ---- Expectations ---- */

/* Makes the runner's present test fail. `file` is static; `message` is one line, valid during the call. */
typedef void (*dcmem_test_failure)(void *user, const char *file, int line, const char *message);

/* From now on `handler` is called, with `user`, by expectations that do not hold, in the thread in which they stand.
 * NULL, as at the start: standard error, then abort().
 * Threads: setup. Errors: none. */
DCMEM_API void dcmem_test_on_failure(dcmem_test_failure handler, void *user);

/* Fails the present test: what an expectation of the user's own calls.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_test_fail(const char *file, int line, const char *message);

/* Expressions, true when they hold. Each argument is evaluated once.
 *
 * OK, RESULT: the call gives that result. BYTES: the bytes of a view are those at `wanted`, an address with as many
 * bytes as the view has; reading them may copy, as every reading on the host does. */
#define DCMEM_EXPECT_OK(call)             dcmem_expect_result(__FILE__, __LINE__, #call, (call), DCMEM_OK)
#define DCMEM_EXPECT_RESULT(call, wanted) dcmem_expect_result(__FILE__, __LINE__, #call, (call), (wanted))
#define DCMEM_EXPECT_BYTES(view, wanted)  dcmem_expect_bytes(__FILE__, __LINE__, #view, (view), (wanted))

/* What stands behind the macros; `what` is the text of what was evaluated.
 * Threads: any. Errors: none, but false and a call of the handler. */
DCMEM_API bool dcmem_expect_result(const char *file, int line, const char *what, dcmem_result got, dcmem_result wanted);
DCMEM_API bool dcmem_expect_bytes(const char *file, int line, const char *what, dcmem_view view, const void *wanted);

/* ---- Rigs ---- */

/* One device for one test. A plain value; fill only through dcmem_rig_begin(). */
typedef struct dcmem_rig {
    dcmem_backend *simulated;     /* for dcmem_simulated_read() and the like; its device is 0 */
    dcmem_fake *fake;             /* before it: to count, to fail, to expect */
    const dcmem_backend *backend; /* the fake's, for further managers */
    dcmem_manager *manager;       /* one on it, without maintenance in the background */
    uint64_t failures_before;     /* dcmem's own */
} dcmem_rig;

/* NULL profile: a device with a memory of its own of 256 MiB, which the host can map. Profiles to run a test over are
 * those of dcmem_simulated_profile_of().
 * Threads: any. Errors: DCMEM_E_INVALID_ARGUMENT, those of dcmem_simulated_create(), dcmem_fake_create() and
 * dcmem_manager_create(). */
DCMEM_API dcmem_result dcmem_rig_begin(dcmem_rig *out, const dcmem_simulated_profile *profile);

/* Ends all of it, whatever is wrong, and returns the first thing that is: the manager is inconsistent, something was
 * still in use, an expectation of the fake was not met, a call broke the contract. A test that ends the manager itself
 * sets it to NULL. A rig that never began, all of it NULL, is allowed. A test in which an expectation failed stopped in
 * the midst of things: what it left behind is no news, and nothing but DCMEM_E_BUSY is returned.
 * Threads: one. Errors: DCMEM_E_INVALID_ARGUMENT, DCMEM_E_LEAKED, DCMEM_E_BUSY (another manager is open on it: all but
 * the rig's own stays, to be ended again), those of dcmem_manager_check(), dcmem_manager_destroy() and
 * dcmem_fake_verify(). */
DCMEM_API dcmem_result dcmem_rig_end(dcmem_rig *rig);

/* A report for fakes of the user's own that says nothing: dcmem_fake_verify() tells it again, where a handler
 * may jump.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_fake_report_later(void *user, const char *message);

DCMEM_END
#endif
