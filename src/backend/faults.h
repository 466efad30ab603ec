/* faults.h: DCMEM_FAULTS in the environment: a program that knows nothing of it is put under a fault plan.
 *
 * Whenever a device is opened the environment is looked at; only where the variable is set is the testing kit opened
 * (dcmem/testing.h, "Fault plans"). Without it none of this costs anything but that look. */
#ifndef DCMI_FAULTS_H
#define DCMI_FAULTS_H

#include <dcmem/backend.h>

/* The table to use instead of a backend's own: `backend` itself where there is no plan. */
dcmem_result dcmi_faults_over(const dcmem_backend **out, const dcmem_backend *backend);

/* Puts the plan's rules for the program, if there are any, in front of a manager. */
dcmem_result dcmi_faults_guard(dcmem_manager *manager);

#endif
