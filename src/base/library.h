/* library.h: a vendor's library, opened when it is first needed, its functions by their names, and what its codes mean.
 *
 * Drivers declare a table of function pointers and the codes that they know as data; the rest is the same for all. */
#ifndef DCMI_LIBRARY_H
#define DCMI_LIBRARY_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a function's address goes. */
typedef struct dcmi_symbol {
    const char *name;
    size_t offset; /* in the table */
    bool is_newer; /* it may be absent, and is NULL then */
} dcmi_symbol;

/* Opens it, for good: vendors' libraries do not bear being closed. Not for two threads at once with one table.
 * Errors: DCMEM_E_UNAVAILABLE with what is missing: the library, and `needed` says what to install; or a function that
 * is not newer, and `version` says what has it. */
dcmem_result dcmi_library_open(void *table, const dcmi_symbol *symbols, size_t count, const char *name,
                               const char *needed, const char *version);

/* What a driver says with a number. */
typedef struct dcmi_code {
    const char *name;
    int32_t number;
    dcmem_result result;
} dcmi_code;

/* "an unknown code" and DCMEM_E_DRIVER for one that is not among them. Pure. */
dcmi_code dcmi_code_find(const dcmi_code *codes, size_t count, int32_t number);

#endif
