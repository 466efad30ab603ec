/* registry.c: the built-in backends and those that were registered, in the order of their coming.
 *
 * `lock` guards the entries and their user counts. No function of a backend is called under it. An entry with users
 * cannot leave, so whoever counts as one may use its table without the lock. */
#include "backend/registry.h"

#include "backend/device.h"
#include "base/fail.h"
#include "base/lock.h"

#include <dcmem/version.h>
#include <pthread.h>
#include <string.h>

typedef struct entry {
    const dcmem_backend *backend;
    uint32_t users;
} entry;

enum {
#define DCMEM_X(name) INDEX_##name,
    DCMI_BUILT_IN_BACKENDS(DCMEM_X)
#undef DCMEM_X
        BUILT_IN
};

static dcmi_lock lock;
static entry entries[BUILT_IN + DCMI_REGISTRY_CAPACITY] DCMI_GUARDED(lock) = {
#define DCMEM_X(name) {.backend = &dcmi_##name##_backend},
    DCMI_BUILT_IN_BACKENDS(DCMEM_X)
#undef DCMEM_X
};
static uint32_t entry_count DCMI_GUARDED(lock) = BUILT_IN;

/* A child of fork has only the forking thread: without these, one that had the lock would have it for ever. */
static void
before_fork(void) DCMI_ACQUIRES(lock)
{
    dcmi_lock_take(&lock);
}

static void
after_fork(void) DCMI_RELEASES(lock)
{
    dcmi_lock_drop(&lock);
}

__attribute__((constructor)) static void
watch_fork(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a registration is what is lost. */
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static entry *
entry_named(const char *name) DCMI_REQUIRES(lock)
{
    for (uint32_t i = 0; i < entry_count; i++)
        if (strcmp(entries[i].backend->name, name) == 0)
            return &entries[i];
    return NULL;
}

static entry *
entry_of(const dcmem_backend *backend) DCMI_REQUIRES(lock)
{
    for (uint32_t i = 0; i < entry_count; i++)
        if (entries[i].backend == backend)
            return &entries[i];
    return NULL;
}

static bool
is_planned(const char *name)
{
#define DCMEM_X(planned)                                                                                               \
    if (strcmp(name, #planned) == 0)                                                                                   \
        return true;
    DCMI_PLANNED_BACKENDS(DCMEM_X)
#undef DCMEM_X
    return false;
}

dcmem_result
dcmi_registry_enter(const dcmem_backend **out, bool *out_is_counted, const char *name, const dcmem_backend *driver)
{
    if (!name)
        name = "cpu";

    dcmi_lock_take(&lock);
    entry *found = driver ? entry_of(driver) : entry_named(name);
    if (found) {
        found->users++;
        driver = found->backend;
    }
    dcmi_lock_drop(&lock);

    if (!driver && is_planned(name))
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "the backend %s is not part of this version (%s)", name, DCMEM_VERSION);
    if (!driver)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "no backend is named %.32s", name);
    *out = driver;
    *out_is_counted = found != NULL;
    return DCMEM_OK;
}

void
dcmi_registry_leave(const dcmem_backend *backend, bool is_counted)
{
    if (!is_counted)
        return;
    dcmi_lock_take(&lock);
    entry *found = entry_of(backend);
    CHECK(found && found->users > 0);
    found->users--;
    dcmi_lock_drop(&lock);
}

dcmem_result
dcmem_backend_register(const dcmem_backend *backend)
{
    DCMI_REQUIRE(backend);
    dcmem_result result = dcmem_backend_check(backend);
    if (result)
        return result;

    dcmi_lock_take(&lock);
    if (entry_named(backend->name))
        result = DCMEM_E_WRONG_STATE;
    else if (entry_count == BUILT_IN + DCMI_REGISTRY_CAPACITY)
        result = DCMEM_E_LIMIT;
    else
        entries[entry_count++] = (entry){.backend = backend};
    dcmi_lock_drop(&lock);

    if (result == DCMEM_E_WRONG_STATE)
        return dcmi_fail(result, "a backend named %s is registered already", backend->name);
    if (result == DCMEM_E_LIMIT)
        return dcmi_fail(result, "%u backends are registered already", DCMI_REGISTRY_CAPACITY);
    return DCMEM_OK;
}

static void
entry_remove(entry *gone) DCMI_REQUIRES(lock)
{
    uint32_t after = entry_count - (uint32_t)(gone - entries) - 1;
    memmove(gone, gone + 1, after * sizeof *gone);
    entry_count--;
}

dcmem_result
dcmem_backend_unregister(const dcmem_backend *backend)
{
    DCMI_REQUIRE(backend);
    uint32_t users = 0;

    dcmi_lock_take(&lock);
    entry *found = entry_of(backend);
    bool can_leave = found && found - entries >= (ptrdiff_t)BUILT_IN;
    if (can_leave) {
        users = found->users;
        if (users == 0)
            entry_remove(found);
    }
    dcmi_lock_drop(&lock);

    if (!can_leave)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "the backend is %s", found ? "built in" : "not registered");
    if (users)
        return dcmi_fail(DCMEM_E_BUSY, "backend %s has %u devices open", backend->name, users);
    return DCMEM_OK;
}

uint32_t
dcmem_backend_count(void)
{
    dcmi_lock_take(&lock);
    uint32_t count = entry_count;
    dcmi_lock_drop(&lock);
    return count;
}

const dcmem_backend *
dcmem_backend_at(uint32_t index)
{
    dcmi_lock_take(&lock);
    const dcmem_backend *backend = index < entry_count ? entries[index].backend : NULL;
    dcmi_lock_drop(&lock);
    return backend;
}

const dcmem_backend *
dcmem_backend_find(const char *name)
{
    if (!name)
        return NULL;
    dcmi_lock_take(&lock);
    entry *found = entry_named(name);
    const dcmem_backend *backend = found ? found->backend : NULL;
    dcmi_lock_drop(&lock);
    return backend;
}
