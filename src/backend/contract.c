/* contract.c: is a table of functions a backend? */
#include "backend/contract.h"

#include "base/fail.h"

#include <string.h>

typedef struct table_function {
    const char *group;
    uint64_t capability; /* 0: required */
    const char *name;
    bool is_there;
} table_function;

static dcmem_result
check_function(const dcmem_backend *backend, const table_function *function)
{
    bool is_wanted = !function->capability || (backend->capabilities & function->capability);
    if (function->is_there == is_wanted)
        return DCMEM_OK;
    if (!function->capability)
        return dcmi_fail(DCMEM_E_CONTRACT, "backend %s lacks the required function %s", backend->name, function->name);
    if (is_wanted)
        return dcmi_fail(DCMEM_E_CONTRACT, "backend %s says DCMEM_CAP_%s but lacks the function %s", backend->name,
                         function->group, function->name);
    return dcmi_fail(DCMEM_E_CONTRACT, "backend %s has the function %s but does not say DCMEM_CAP_%s", backend->name,
                     function->name, function->group);
}

static dcmem_result
check_functions(const dcmem_backend *backend)
{
#define DCMEM_X(group, function) {#group, DCMI_CAP_##group, #function, backend->function != NULL},
    const table_function functions[] = {DCMI_CONTRACT_FUNCTIONS(DCMEM_X)};
#undef DCMEM_X

    dcmem_result result = DCMEM_OK;
    for (size_t i = 0; !result && i < sizeof functions / sizeof functions[0]; i++)
        result = check_function(backend, &functions[i]);
    return result;
}

/* It is printed, put into JSON and compared: letters that never need a quote. */
static bool
is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    bool fits = length > 0 && length < sizeof((dcmem_device_info *)0)->backend;
    return fits && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

dcmem_result
dcmem_backend_check(const dcmem_backend *backend)
{
    /* Another size is another layout: nothing behind it may be read. */
    if (!backend)
        return dcmi_fail(DCMEM_E_CONTRACT, "no table of functions");
    if (backend->size != sizeof *backend)
        return dcmi_fail(DCMEM_E_CONTRACT, "the table's size is %zu, not %zu", backend->size, sizeof *backend);
    if (backend->contract != DCMEM_BACKEND_CONTRACT)
        return dcmi_fail(DCMEM_E_CONTRACT, "the table's contract is %u, not %u", backend->contract,
                         DCMEM_BACKEND_CONTRACT);
    if (!is_name(backend->name))
        return dcmi_fail(DCMEM_E_CONTRACT, "the table's name must be 1 to 15 of a-z, 0-9, _ and -");
    if (backend->capabilities & ~DCMI_CAP_KNOWN)
        return dcmi_fail(DCMEM_E_CONTRACT, "backend %s has unknown capabilities: 0x%llx", backend->name,
                         (unsigned long long)(backend->capabilities & ~DCMI_CAP_KNOWN));
    return check_functions(backend);
}
