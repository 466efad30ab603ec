/* kit.h: a manager on a simulated device whose clock stands still until a test lets time pass, and its queues. */
#ifndef DCMI_TEST_QUEUE_KIT_H
#define DCMI_TEST_QUEUE_KIT_H

#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#define KIB 1024ull
#define MIB (1024 * KIB)

typedef struct bench_of_queues {
    dcmem_backend *backend;
    dcmem_manager *manager;
    dcmem_queue *queues[8];
} bench_of_queues;

static inline bench_of_queues
bench_open(dcmem_simulated_device device, unsigned queue_count)
{
    bench_of_queues it = {0};
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(device);
    EXPECT_OK(dcmem_simulated_create(&it.backend, &profile, 1));
    dcmem_manager_options options = {
        .size = sizeof options, .driver = it.backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&it.manager, &options));
    for (unsigned i = 0; i < queue_count; i++)
        EXPECT_OK(dcmem_queue_create(&it.queues[i], it.manager, NULL));
    return it;
}

static inline void
bench_close(bench_of_queues *it)
{
    for (unsigned i = 0; i < 8; i++)
        EXPECT_OK(dcmem_queue_destroy(it->queues[i]));
    EXPECT_OK(dcmem_manager_check(it->manager));
    EXPECT_OK(dcmem_manager_destroy(it->manager));
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static inline dcmem_stats
stats_of(dcmem_manager *manager)
{
    static dcmem_stats stats;
    stats.size = sizeof stats;
    EXPECT_OK(dcmem_stats_snapshot(&stats, manager));
    return stats;
}

#endif
