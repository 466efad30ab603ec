/* dcmem/log.h: where the library's few words go.
 *
 * Default: standard error, warnings and worse. DCMEM_LOG=debug|info|warning|error|off in the environment sets the
 * level. A sink is called with no lock held and may call dcmem, but not set a sink. */
#ifndef DCMEM_LOG_H
#define DCMEM_LOG_H

#include <dcmem/base.h>

DCMEM_BEGIN

#define DCMEM_LOG_LEVELS(X) X(DEBUG, "debug") X(INFO, "info") X(WARNING, "warning") X(ERROR, "error") X(OFF, "off")

typedef enum dcmem_log_level {
#define DCMEM_X(name, text) DCMEM_LOG_##name,
    DCMEM_LOG_LEVELS(DCMEM_X)
#undef DCMEM_X
} dcmem_log_level;

/* `component` ("pool", "cpu", "buffer", ...) and `message` (one line, no newline) live only during the call. */
typedef void (*dcmem_log_sink)(void *user, dcmem_log_level level, const char *component, const char *message);

/* Sends messages of `level` and worse to `sink`; NULL means standard error. When it returns, the old sink may still
 * be running in another thread.
 * Threads: any. Errors: none. */
DCMEM_API void dcmem_log_set(dcmem_log_sink sink, void *user, dcmem_log_level level);

/* Threads: any. Errors: none. */
DCMEM_API dcmem_log_level dcmem_log_get_level(void);

/* Sends one line to the sink as the library's own: for backends and test doubles. What is below the level is dropped.
 * Threads: any; with no lock held that the sink may want. Errors: none. */
DCMEM_API void dcmem_log_write(dcmem_log_level level, const char *component, const char *message);

DCMEM_END
#endif
