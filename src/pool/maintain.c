/* maintain.c: the upkeep that nobody waits for: one thread for the process, a round a pool an interval.
 *
 * A round takes what the depot did not need since the last one back to the regions, gives memory that lay free for the
 * idle time back to the driver, and looks whether memory is short. The thread starts with the first manager that wants
 * it, sleeps on a condition, and ends when no such manager is left.
 *
 *   lock guards: is_running, is_woken. */
#include "pool/inside.h"

#include "base/log.h"

#include <pthread.h>
#include <time.h>

#define SHORT_SHARE      16u           /* memory is short below 1/16 of the device's free, or of the limit left */
#define LONGEST_SLEEP_NS 1000000000ull /* a manager that comes meanwhile wakes the thread */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static bool is_running;
static bool is_woken;

/* ---- A round ---- */

static uint64_t
give_idle_back(dcmi_pool *pool, dcmem_result *failed)
{
    uint64_t gone = 0;
    for (uint32_t i = 0; i < dcmi_pool_region_count(pool); i++) {
        dcmi_region *region = &pool->regions[i];
        dcmi_lock_take(&region->lock);
        uint64_t idle = region->idle_low_pages << DCMI_PAGE_SHIFT;
        region->idle_low_pages = region->fit.free_pages;
        dcmi_lock_drop(&region->lock);
        if (idle > 0)
            gone += dcmi_pool_shrink(pool, region, idle, failed);
    }
    return gone;
}

static bool
is_short(dcmi_pool *root)
{
    uint64_t limit = atomic_load(&root->budget->limit);
    uint64_t reserved = atomic_load(&root->budget->reserved);
    if (limit && dcmi_less(limit, reserved) < limit / SHORT_SHARE)
        return true;
    dcmem_device_info info = {.size = sizeof info};
    if (dcmi_device_info(&info, root->device) || info.total_bytes == 0)
        return false;
    return info.free_bytes < info.total_bytes / SHORT_SHARE;
}

dcmem_result
dcmi_pool_maintain(dcmi_pool *root)
{
    dcmem_result failed = DCMEM_OK;
    uint64_t now = dcmi_os_now_ns();
    bool is_idle_round = now - root->idle_since_ns >= root->idle_time_ns;
    uint64_t gone = 0;
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmi_pool *pool = atomic_load(&root->of_kind[kind]);
        if (!pool)
            continue;
        (void)dcmi_pool_flush_depot(pool, true, true, true);
        if (is_idle_round) {
            gone += give_idle_back(pool, &failed);
            atomic_store(&pool->high, 0);
        }
    }
    if (is_idle_round)
        root->idle_since_ns = now;
    if (gone > 0) {
        dcmi_pool_add(root, DCMI_COUNTER_trims, 1);
        dcmi_pool_add(root, DCMI_COUNTER_trimmed_bytes, gone);
    }
    atomic_store(&root->is_tight, is_short(root));
    dcmi_pool_add(root, DCMI_COUNTER_maintenance_rounds, 1);
    return failed;
}

/* ---- The thread ---- */

/* One pass over all managers; how long to sleep, or 0 when none wants upkeep. */
static uint64_t
pass(void)
{
    uint64_t sleep_ns = 0;
    uint32_t cursor = 0;
    for (dcmi_pool *root; (root = dcmi_registry_borrow_next(&cursor));) {
        uint64_t interval = root->maintenance_interval_ns;
        if (interval != DCMEM_MAINTENANCE_OFF) {
            uint64_t now = dcmi_os_now_ns();
            if (now - root->maintained_ns >= interval) {
                root->maintained_ns = now;
                if (dcmi_pool_maintain(root))
                    dcmi_log(DCMEM_LOG_WARNING, "pool", "upkeep: %s", /* COVER: timing decides whether a failing */
                             dcmem_last_detail()->message);           /* COVER: release falls into a round */
            }
            uint64_t left = dcmi_max(dcmi_less(root->maintained_ns + interval, dcmi_os_now_ns()), 1000000);
            sleep_ns = sleep_ns ? dcmi_min(sleep_ns, left) : left;
        }
        dcmi_registry_return(root);
    }
    return sleep_ns ? dcmi_min(sleep_ns, LONGEST_SLEEP_NS) : 0;
}

static void
sleep_for(uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t end = (uint64_t)until.tv_nsec + ns;
    until.tv_sec += (time_t)(end / 1000000000u);
    until.tv_nsec = (long)(end % 1000000000u);
    while (!is_woken && pthread_cond_timedwait(&wake, &lock, &until) == 0)
        ;
    is_woken = false;
}

static void *
run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        pthread_mutex_unlock(&lock);
        uint64_t sleep_ns = pass();
        pthread_mutex_lock(&lock);
        /* Nobody to look after: a manager that came since the pass has set is_woken. */
        if (sleep_ns == 0 && !is_woken)
            break;
        sleep_for(sleep_ns);
    }
    is_running = false;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void
start(void) DCMI_UNCHECKED
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    is_running = pthread_create(&thread, &attributes, run, NULL) == 0;
    pthread_attr_destroy(&attributes);
    /* COVER begin: the system must have no thread left */
    if (!is_running)
        dcmi_log(DCMEM_LOG_WARNING, "pool", "no thread for the upkeep; call dcmem_manager_maintain() yourself");
    /* COVER end */
}

void
dcmi_maintenance_wake(void)
{
    pthread_mutex_lock(&lock);
    is_woken = true;
    if (is_running)
        pthread_cond_signal(&wake);
    else
        start();
    pthread_mutex_unlock(&lock);
}

void
dcmi_maintenance_fork(enum dcmi_fork when)
{
    if (when == DCMI_FORK_PREPARE) {
        pthread_mutex_lock(&lock);
        return;
    }
    /* The child has no such thread; the next manager starts one. The condition still counts the parent's among those
     * that sleep on it: who wakes them again and again would wait for it for ever. */
    if (when == DCMI_FORK_CHILD) {
        is_running = false;
        wake = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    }
    pthread_mutex_unlock(&lock);
}
