/* library.c: opens a library and finds its functions. */
#include "base/library.h"

#include "base/os.h"

#include <dlfcn.h>
#include <string.h>

/* ISO C has no way from what dlsym returns to a function but through its bytes. */
static bool
find(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    _Static_assert(sizeof found == sizeof(void (*)(void)), "pointers of both sorts are alike");
    memcpy(out, &found, sizeof found);
    return found != NULL;
}

/* The first function that it lacks, or NULL. */
static const char *
fill(void *table, const dcmi_symbol *symbols, size_t count, void *library)
{
    for (size_t i = 0; i < count; i++)
        if (!find(library, symbols[i].name, (char *)table + symbols[i].offset) && !symbols[i].is_newer)
            return symbols[i].name;
    return NULL;
}

dcmem_result
dcmi_library_open(void *table, const dcmi_symbol *symbols, size_t count, const char *name, const char *needed,
                  const char *version)
{
    if (!DCMI_HAS_VENDORS)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "this build is instrumented, %s is not", name);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s; install %s", dlerror(), needed);
    const char *missing = fill(table, symbols, count, library);
    if (!missing)
        return DCMEM_OK;
    dlclose(library);
    return dcmi_fail(DCMEM_E_UNAVAILABLE, "%s has no %s: %s is needed", name, missing, version);
}

dcmi_code
dcmi_code_find(const dcmi_code *codes, size_t count, int32_t number)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i].number == number)
            return codes[i];
    return (dcmi_code){"an unknown code", number, DCMEM_E_DRIVER};
}
