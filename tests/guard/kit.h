/* kit.h: guarded managers, what they log, and the harm that is done to their memory. */
#ifndef DCMI_TEST_GUARD_KIT_H
#define DCMI_TEST_GUARD_KIT_H

#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <pthread.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

/* ---- The log ---- */

static struct {
    pthread_mutex_t lock;
    char text[16384];
    unsigned errors, warnings;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
hear(void *user, dcmem_log_level level, const char *component, const char *message)
{
    (void)user;
    pthread_mutex_lock(&heard.lock);
    size_t length = strlen(heard.text);
    snprintf(heard.text + length, sizeof heard.text - length, "%s: %s\n", component, message);
    heard.errors += level == DCMEM_LOG_ERROR;
    heard.warnings += level == DCMEM_LOG_WARNING;
    pthread_mutex_unlock(&heard.lock);
}

static inline void
listen(void)
{
    dcmem_log_set(hear, NULL, DCMEM_LOG_INFO);
    heard.text[0] = '\0';
    heard.errors = heard.warnings = 0;
}

#define EXPECT_HEARD(part)                                                                                             \
    do {                                                                                                               \
        if (!strstr(heard.text, (part)))                                                                               \
            TEST_FAIL("the log does not say \"%s\" but: %s", (part), heard.text);                                      \
    } while (0)

/* ---- Managers ---- */

typedef struct ground {
    dcmem_backend *simulated; /* NULL: the CPU */
    dcmem_manager *manager;
} ground;

static inline ground
ground_on(const dcmem_simulated_profile *profile, const dcmem_manager_options *wanted)
{
    ground it = {0};
    dcmem_manager_options options = wanted ? *wanted : (dcmem_manager_options){.guards = DCMEM_GUARD_ALL};
    options.size = sizeof options;
    options.maintenance_interval_ns = DCMEM_MAINTENANCE_OFF;
    if (profile) {
        EXPECT_OK(dcmem_simulated_create(&it.simulated, profile, 1));
        options.driver = it.simulated;
    }
    listen();
    EXPECT_OK(dcmem_manager_create(&it.manager, &options));
    return it;
}

static inline ground
cpu_ground(uint32_t guards)
{
    dcmem_manager_options options = {.guards = guards};
    return ground_on(NULL, &options);
}

/* A device with a memory of its own, which the host cannot touch. */
static inline ground
split_ground(uint32_t guards)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 256 * MIB, .host_bytes = 256 * MIB};
    dcmem_manager_options options = {.guards = guards};
    return ground_on(&profile, &options);
}

static inline void
ground_end(ground *it, dcmem_result wanted)
{
    EXPECT_OK(dcmem_manager_check(it->manager));
    EXPECT_RESULT(dcmem_manager_destroy(it->manager), wanted);
    if (it->simulated)
        EXPECT_OK(dcmem_simulated_destroy(it->simulated));
    dcmem_log_set(NULL, NULL, DCMEM_LOG_WARNING);
}

static inline dcmem_stats
stats_of(const ground *it)
{
    dcmem_stats stats = {.size = sizeof stats};
    EXPECT_OK(dcmem_stats_snapshot(&stats, it->manager));
    return stats;
}

/* ---- Memory ---- */

static inline char *
allocate(const ground *it, uint64_t bytes)
{
    void *block = dcmem_raw_allocate(it->manager, bytes);
    if (!block)
        TEST_FAIL("%llu bytes: %s", (unsigned long long)bytes, dcmem_last_detail()->message);
    return block;
}

static inline dcmem_buffer *
buffer_of(const ground *it, uint64_t bytes, dcmem_tag tag)
{
    dcmem_buffer *buffer;
    dcmem_buffer_options options = {.size = sizeof options, .tag = tag};
    EXPECT_OK(dcmem_buffer_create(&buffer, it->manager, bytes, &options));
    return buffer;
}

/* A kernel that does not know where its memory ends: `offset` counts from the face's beginning and may be negative. */
static inline void
device_writes(const ground *it, dcmem_native face, int64_t offset, const void *bytes, uint64_t count)
{
    face.offset = face.offset + (uint64_t)offset;
    face.bytes = count;
    EXPECT_OK(dcmem_simulated_write(it->simulated, 0, &face, 0, bytes, count));
}

static inline dcmem_native
face_of(dcmem_buffer *buffer)
{
    dcmem_native face;
    EXPECT_OK(dcmem_buffer_pin(&face, buffer));
    EXPECT_OK(dcmem_buffer_unpin(buffer));
    return face;
}

/* The host's bytes of a buffer, all written by this. */
static inline char *
host_bytes_of(dcmem_buffer *buffer)
{
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0));
    memset(access.host, 1, access.view.bytes);
    EXPECT_OK(dcmem_access_end(&access));
    return access.host;
}

#endif
