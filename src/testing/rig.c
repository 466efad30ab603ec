/* rig.c: one device for one test: simulated, behind a fake, with a manager; its end says what the test left behind. */
#include "expect.h"
#include "simulated.h"

#include <dcmem/runner.h>

#include <string.h>

void
dcmem_fake_report_later(void *user, const char *message)
{
    (void)user;
    (void)message;
}

dcmem_result
dcmem_rig_begin(dcmem_rig *out, const dcmem_simulated_profile *profile)
{
    if (!out)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "rig", 0, "must hold: out");

    dcmem_rig rig;
    dcmem_result result = dcmem_simulated_create(&rig.simulated, profile ? profile : &dcmi_profile_for_tests, 1);
    if (result)
        return result;

    dcmem_fake_options behind = {.size = sizeof behind, .over = rig.simulated, .report = dcmem_fake_report_later};
    result = dcmem_fake_create(&rig.fake, &behind);
    if (result)
        goto undo_simulated;

    rig.backend = dcmem_fake_backend(rig.fake);
    dcmem_manager_options options = {
        .size = sizeof options, .driver = rig.backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    result = dcmem_manager_create(&rig.manager, &options);
    if (result)
        goto undo_fake;

    rig.failures_before = dcmi_expect_failures();
    *out = rig;
    return DCMEM_OK;

undo_fake:
    (void)dcmem_fake_destroy(rig.fake); /* nothing was acquired */
undo_simulated:
    (void)dcmem_simulated_destroy(rig.simulated);
    return result;
}

/* The first failure, with its detail: what follows may only be its consequence. */
typedef struct first_failure {
    dcmem_result result;
    dcmem_detail detail;
} first_failure;

static dcmem_result
keep(first_failure *first, dcmem_result result)
{
    if (result && !first->result) {
        first->result = result;
        first->detail = *dcmem_last_detail();
    }
    return result;
}

static dcmem_result
tell(const first_failure *first)
{
    if (!first->result)
        return DCMEM_OK;
    return dcmem_backend_fail(first->result, first->detail.driver, first->detail.driver_code, "%s",
                              first->detail.message);
}

dcmem_result
dcmem_rig_end(dcmem_rig *rig)
{
    if (!rig)
        return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "rig", 0, "must hold: rig");

    first_failure first = {.result = DCMEM_OK};
    const bool has_failed = dcmi_expect_failures() != rig->failures_before;
    if (rig->manager) {
        keep(&first, dcmem_manager_check(rig->manager));
        if (has_failed)
            (void)dcmem_manager_clear(rig->manager); /* or its end would warn of leaks that are no news */
        keep(&first, dcmem_manager_destroy(rig->manager));
        rig->manager = NULL;
    }
    if (rig->fake) {
        keep(&first, dcmem_fake_verify(rig->fake));
        if (keep(&first, dcmem_fake_destroy(rig->fake)) == DCMEM_E_BUSY)
            return tell(&first);
    }
    keep(&first, dcmem_simulated_destroy(rig->simulated));
    memset(rig, 0, sizeof *rig);
    return has_failed ? DCMEM_OK : tell(&first);
}
