/* faults.c: opens the testing kit and the plan that DCMEM_FAULTS names. See faults.h.
 *
 * A plan is made once for each text and never ends: devices on it may be open until the process exits.
 *
 *   lock guards: kit, plans. The kit is called without it, but for making a plan. */
#include "backend/faults.h"

#include "base/fail.h"
#include "base/log.h"

#include <dcmem/testing.h>
#include <dcmem/version.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define KIT      "libdcmem-testing.so.0"
#define VARIABLE "DCMEM_FAULTS"

_Static_assert(DCMEM_VERSION_MAJOR == 0, "the kit's name ends in the major version");

/* The kit's functions that are needed here; it is a customer of this library, which knows it by name only. */
typedef struct kit_functions {
    dcmem_result (*create)(dcmem_fault_plan **out, const char *text);
    dcmem_result (*over)(const dcmem_backend **out, dcmem_fault_plan *plan, const dcmem_backend *over);
    dcmem_result (*guard)(dcmem_fault_plan *plan, dcmem_manager *manager);
    void (*set_log)(dcmem_fault_plan *plan, dcmem_log_level level);
} kit_functions;

typedef struct known_plan {
    struct known_plan *next;
    dcmem_fault_plan *plan;
    char text[];
} known_plan;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static kit_functions kit;
static known_plan *plans;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- The kit ---- */

/* Whether this code is part of the program and no library of its own. */
static bool
is_linked_in(void)
{
    Dl_info own, program;
    const void *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
    return !dladdr((const void *)&lock, &own) || !dladdr(headers, &program) || own.dli_fbase == program.dli_fbase;
}

/* Beside this library first: that is the kit that was built with it. */
static void *
open_kit(void)
{
    Dl_info own;
    char path[4096];
    void *opened = NULL;
    if (dladdr((const void *)&lock, &own) && own.dli_fname) {
        const char *slash = strrchr(own.dli_fname, '/');
        int folder = slash ? (int)(slash - own.dli_fname) + 1 : 0;
        int length = snprintf(path, sizeof path, "%.*s" KIT, folder, own.dli_fname);
        opened = folder && length < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    }
    return opened ? opened : dlopen(KIT, RTLD_NOW | RTLD_LOCAL);
}

#define FIND(found, library, field)                                                                                    \
    (*(void **)(void *)&(found)->field = dlsym(library, "dcmem_fault_plan_" #field)) == NULL

static dcmem_result
find_functions(kit_functions *out, void *library)
{
    kit_functions found;
    if (FIND(&found, library, create) || FIND(&found, library, over) || FIND(&found, library, guard) ||
        FIND(&found, library, set_log))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, VARIABLE " is set, but " KIT " is of another version: %s", dlerror());
    /* One that works with another copy of this library would know nothing of our managers. */
    if (dlsym(library, "dcmem_log_write") != (void *)(uintptr_t)dcmem_log_write)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, VARIABLE " is set, but " KIT " works with another copy of libdcmem");
    *out = found;
    return DCMEM_OK;
}

static dcmem_result
need_kit(void)
{
    if (kit.create)
        return DCMEM_OK;
    if (is_linked_in())
        return dcmi_fail(DCMEM_E_UNAVAILABLE, VARIABLE " is set, but dcmem is linked into this program; link it with "
                                                       "libdcmem.so, or use dcmem_fault_plan_create()");
    void *library = open_kit();
    if (!library)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, VARIABLE " is set, but the testing kit cannot be opened: %s", dlerror());
    return find_functions(&kit, library);
}

/* ---- The plan ---- */

static known_plan *
find_plan(const char *text)
{
    for (known_plan *it = plans; it; it = it->next)
        if (strcmp(it->text, text) == 0)
            return it;
    return NULL;
}

static dcmem_result
make_plan(known_plan **out, const char *text)
{
    size_t bytes = strlen(text) + 1;
    dcmem_result result = need_kit();
    if (result)
        return result;
    known_plan *made = malloc(sizeof *made + bytes);
    if (!made)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "a fault plan"); /* COVER: malloc() must find no hundred bytes */
    memcpy(made->text, text, bytes);
    result = kit.create(&made->plan, text);
    if (result) {
        free(made);
        return result;
    }
    kit.set_log(made->plan, DCMEM_LOG_WARNING);
    made->next = plans;
    plans = made;
    *out = made;
    return DCMEM_OK;
}

/* A child of fork has only the forking thread: without these, one that had the lock would have it for ever. */
static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void
watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork); /* without memory for it a fork is what is lost */
}

/* NULL where the variable is not set. */
static dcmem_result
current_plan(dcmem_fault_plan **out)
{
    *out = NULL;
    const char *text = secure_getenv(VARIABLE);
    if (!text || !*text)
        return DCMEM_OK;
    pthread_mutex_lock(&lock);
    known_plan *found = find_plan(text);
    bool is_new = !found;
    dcmem_result result = is_new ? make_plan(&found, text) : DCMEM_OK;
    pthread_mutex_unlock(&lock);
    if (result)
        return result;
    /* After the kit has done the same: handlers of later comers run first, and so this lock is taken before its. */
    pthread_once(&once, watch_forks);
    if (is_new)
        dcmi_log(DCMEM_LOG_WARNING, "faults", "this program runs under a fault plan: " VARIABLE "=%s", found->text);
    *out = found->plan;
    return DCMEM_OK;
}

dcmem_result
dcmi_faults_over(const dcmem_backend **out, const dcmem_backend *backend)
{
    dcmem_fault_plan *plan;
    dcmem_result result = current_plan(&plan);
    if (result)
        return result;
    if (plan)
        return kit.over(out, plan, backend);
    *out = backend;
    return DCMEM_OK;
}

dcmem_result
dcmi_faults_guard(dcmem_manager *manager)
{
    dcmem_fault_plan *plan;
    dcmem_result result = current_plan(&plan);
    return result || !plan ? result : kit.guard(plan, manager);
}
