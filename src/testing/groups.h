/* groups.h: which groups of functions a backend's table has: all of each or none. */
#ifndef DCMI_TESTING_GROUPS_H
#define DCMI_TESTING_GROUPS_H

#include <dcmem/testing.h>

/* Makes of a table with every function one of `capabilities`: what belongs to other groups is not there. */
void dcmi_groups_fit(dcmem_backend *table, uint64_t capabilities);

#endif
