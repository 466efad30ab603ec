/* log.c: the sink, its level, and the default one on standard error.
 *
 * Sink and user belong together and are read together: under the lock, into locals; the call is made without it. */
#include "base/log.h"

#include "base/lock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {
#define DCMEM_X(name, text) text,
    DCMEM_LOG_LEVELS(DCMEM_X)
#undef DCMEM_X
};

#define LEVEL_COUNT (sizeof level_names / sizeof level_names[0])
#define LEVEL_UNSET ((int)LEVEL_COUNT)

static dcmi_lock lock;
static dcmem_log_sink sink;
static void *sink_user;
static _Atomic int listening = LEVEL_UNSET;

static int
level_from_environment(void)
{
    const char *wanted = getenv("DCMEM_LOG");
    for (size_t i = 0; wanted && i < LEVEL_COUNT; i++)
        if (strcmp(wanted, level_names[i]) == 0)
            return (int)i;
    return DCMEM_LOG_WARNING;
}

static int
current_level(void)
{
    int level = atomic_load_explicit(&listening, memory_order_relaxed);
    if (level != LEVEL_UNSET)
        return level;

    /* Two threads may both look: they see the same environment. A level set meanwhile stands. */
    int unset = LEVEL_UNSET;
    level = level_from_environment();
    if (!atomic_compare_exchange_strong(&listening, &unset, level))
        level = unset; /* COVER: two threads must ask for the first time in the same instant */
    return level;
}

void
dcmem_log_set(dcmem_log_sink new_sink, void *user, dcmem_log_level level)
{
    dcmi_lock_take(&lock);
    sink = new_sink;
    sink_user = user;
    dcmi_lock_drop(&lock);
    atomic_store(&listening, (unsigned)level < LEVEL_COUNT ? (int)level : DCMEM_LOG_WARNING);
}

dcmem_log_level
dcmem_log_get_level(void)
{
    return (dcmem_log_level)current_level();
}

void
dcmi_log(dcmem_log_level level, const char *component, const char *format, ...)
{
    if ((int)level < current_level() || level >= DCMEM_LOG_OFF)
        return;

    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    dcmi_lock_take(&lock);
    dcmem_log_sink to = sink;
    void *user = sink_user;
    dcmi_lock_drop(&lock);

    if (to)
        to(user, level, component, message);
    else
        fprintf(stderr, "dcmem: %s: %s: %s\n", level_names[level], component, message);
}

void
dcmem_log_write(dcmem_log_level level, const char *component, const char *message)
{
    if ((unsigned)level >= DCMEM_LOG_OFF)
        return;
    dcmi_log(level, component ? component : "", "%s", message ? message : "");
}
