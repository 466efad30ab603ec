/* stats_test.c: the figures of a pool against a model that books every operation. */
#include "kit.h"
#include "pool/pool.h"

#define LIVE 400u

typedef struct book_entry {
    void *block;
    uint64_t requested;
    uint64_t capacity;
} book_entry;

typedef struct book {
    dcmem_manager *manager;
    random_source random;
    book_entry live[LIVE];
    uint64_t allocations, frees;
    uint64_t allocated, freed, requested; /* bytes, ever */
    uint64_t used, used_requested, peak;
} book;

static void
book_take(book *b, book_entry *entry, uint64_t bytes)
{
    *entry = (book_entry){allocate(b->manager, bytes), bytes, 0};
    entry->capacity = usable(b->manager, entry->block);
    b->allocations++;
    b->allocated += entry->capacity;
    b->requested += bytes;
    b->used += entry->capacity;
    b->used_requested += bytes;
    b->peak = b->used > b->peak ? b->used : b->peak;
}

static void
book_give(book *b, book_entry *entry)
{
    release(b->manager, entry->block);
    b->frees++;
    b->freed += entry->capacity;
    b->used -= entry->capacity;
    b->used_requested -= entry->requested;
    entry->block = NULL;
}

static void
book_step(book *b, unsigned octaves)
{
    book_entry *entry = &b->live[random_below(&b->random, LIVE)];
    if (entry->block)
        book_give(b, entry);
    else
        book_take(b, entry, random_size(&b->random, octaves));
}

static void
book_close(book *b)
{
    for (unsigned i = 0; i < LIVE; i++)
        if (b->live[i].block)
            book_give(b, &b->live[i]);
    EXPECT_EQ(stats_of(b->manager).used_bytes, 0);
    EXPECT_EQ(stats_of(b->manager).live_requested_bytes, 0);
    manager_end(b->manager);
    free(b);
}

static book *
book_open(const dcmem_manager_options *options, uint64_t seed)
{
    book *b = calloc(1, sizeof *b);
    EXPECT(b);
    b->manager = cpu_manager(options);
    b->random.state = seed;
    return b;
}

/* A ratio is right to a millionth. */
static void
expect_ratio(double got, double wanted)
{
    if (got < wanted - 1e-6 || got > wanted + 1e-6)
        TEST_FAIL("%f instead of %f", got, wanted);
}

static void
expect_counts(const book *b, const dcmem_stats *stats)
{
    EXPECT_EQ(stats->allocations, b->allocations);
    EXPECT_EQ(stats->frees, b->frees);
    EXPECT_EQ(stats->live_allocations, b->allocations - b->frees);
    EXPECT_EQ(stats->allocated_bytes, b->allocated);
    EXPECT_EQ(stats->freed_bytes, b->freed);
    EXPECT_EQ(stats->used_bytes, b->used);
    EXPECT_EQ(stats->clamped_bytes, 0);
    EXPECT_EQ(stats->failed_allocations, 0);
    EXPECT_EQ(stats->pool_hits + stats->pool_misses, b->allocations);
    EXPECT_EQ(stats->magazine_hits + stats->depot_hits + stats->fit_hits, stats->pool_hits);
    EXPECT_EQ(stats->acquired_bytes - stats->released_bytes, stats->reserved_bytes);
    EXPECT_EQ(stats->used_bytes + stats->thread_cache_bytes + stats->depot_bytes + stats->free_bytes,
              stats->reserved_bytes);
    expect_ratio(stats->hit_rate, (double)stats->pool_hits / (double)b->allocations);
    expect_ratio(stats->reuse_ratio, (double)b->freed / (double)b->allocated);
}

/* ---- Bytes ---- */

static void
small_blocks_are_booked(const dcmem_manager_options *options, uint64_t seed)
{
    book *b = book_open(options, seed);
    for (unsigned n = 1; n <= 5000; n++) {
        book_step(b, 14); /* below 64 KiB the loss of a block is known to the byte */
        if (n % 500)
            continue;
        dcmem_stats stats = stats_of(b->manager);
        expect_counts(b, &stats);
        EXPECT_EQ(stats.requested_bytes, b->requested);
        EXPECT_EQ(stats.live_requested_bytes, b->used_requested);
        expect_ratio(stats.internal_fragmentation, 1 - (double)b->used_requested / (double)b->used);
        expect_ratio(stats.average_allocation_bytes, (double)b->requested / (double)b->allocations);
    }
    book_close(b);
}

TEST(stats__of_small_blocks_every_byte_is_booked)
{
    small_blocks_are_booked(NULL, 1);
    small_blocks_are_booked(&(dcmem_manager_options){.sizing = DCMEM_SIZING_POWER_OF_TWO}, 2);
    small_blocks_are_booked(&(dcmem_manager_options){.policy = DCMEM_POLICY_TIGHT}, 3);
    small_blocks_are_booked(&(dcmem_manager_options){.idle_limit_bytes = DCMEM_NO_IDLE_MEMORY}, 4);
    small_blocks_are_booked(&(dcmem_manager_options){.exact_peaks = 1}, 5);
}

/* A mark tells a large block's loss in units of at most a 32768th of it, rounded down. */
TEST(stats__of_large_blocks_the_loss_is_told_to_a_30000th)
{
    book *b = book_open(NULL, 6);
    for (unsigned n = 1; n <= 3000; n++) {
        book_step(b, 24);
        if (n % 500)
            continue;
        dcmem_stats stats = stats_of(b->manager);
        expect_counts(b, &stats);
        EXPECT_GE(stats.live_requested_bytes, b->used_requested);
        EXPECT_LE(stats.live_requested_bytes, b->used_requested + b->used / 30000 + 1);
        EXPECT_GE(stats.requested_bytes, b->requested);
        EXPECT_LE(stats.requested_bytes, b->requested + b->allocated / 30000 + 1);
    }
    book_close(b);
}

TEST(stats__blocks_of_no_class_are_booked_too)
{
    book *b = book_open(NULL, 7);
    book_take(b, &b->live[0], GIB + 1);
    book_take(b, &b->live[1], GIB + 4096 * 5);
    dcmem_stats stats = stats_of(b->manager);
    expect_counts(b, &stats);
    EXPECT_EQ(stats.live_requested_bytes, b->used_requested);
    book_close(b);
}

TEST(stats__aligned_blocks_are_booked_by_what_they_take)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = dcmem_raw_allocate_aligned(manager, 100, 64 * KIB);
    EXPECT(block);
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.used_bytes, usable(manager, block));
    EXPECT_EQ(stats.live_requested_bytes, 100);
    release(manager, block);
    EXPECT_EQ(stats_of(manager).used_bytes, 0);
    manager_end(manager);
}

TEST(stats__failures_are_counted_with_what_was_asked)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.largest_allocation_bytes = MIB});
    EXPECT(!dcmem_raw_allocate(manager, MIB + 1));
    EXPECT(!dcmem_raw_allocate(manager, 2 * MIB));
    EXPECT(!dcmem_raw_allocate(manager, 0));
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.failed_allocations, 3);
    EXPECT_EQ(stats.failed_bytes, 3 * MIB + 1);
    EXPECT_EQ(stats.allocations, 0);
    manager_end(manager);
}

/* ---- Classes ---- */

TEST(stats__each_class_is_booked_by_itself)
{
    book *b = book_open(NULL, 8);
    for (unsigned n = 0; n < 4000; n++)
        book_step(b, 14);
    dcmem_stats stats = stats_of(b->manager);
    uint64_t allocations = 0, frees = 0, used = 0, waste = 0, cached = 0, before = 0;
    for (unsigned i = 0; i < stats.class_count; i++) {
        const dcmem_class_stats *class = &stats.classes[i];
        uint64_t live = 0, lost = 0;
        for (unsigned n = 0; n < LIVE; n++) {
            if (!b->live[n].block || b->live[n].capacity != class->block_bytes)
                continue;
            live++;
            lost += b->live[n].capacity - b->live[n].requested;
        }
        EXPECT(class->block_bytes > before);
        before = class->block_bytes;
        EXPECT_EQ(class->live, live);
        EXPECT_EQ(class->waste_bytes, lost);
        EXPECT_EQ(class->allocations - class->frees, live);
        allocations += class->allocations;
        frees += class->frees;
        used += class->live * class->block_bytes;
        waste += class->waste_bytes;
        cached += class->cached * class->block_bytes;
    }
    EXPECT_EQ(allocations, stats.allocations);
    EXPECT_EQ(frees, stats.frees);
    EXPECT_EQ(used, stats.used_bytes);
    EXPECT_EQ(used - waste, stats.live_requested_bytes);
    EXPECT_EQ(cached, stats.thread_cache_bytes + stats.depot_bytes);
    book_close(b);
}

/* ---- Fragmentation ---- */

TEST(stats__external_fragmentation_is_by_the_largest_free_block)
{
    dcmem_manager *manager = cpu_manager(&(dcmem_manager_options){.growth_bytes = 64 * MIB});
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++)
        blocks[i] = allocate(manager, MIB);
    EXPECT_EQ(stats_of(manager).largest_free_bytes, 0);

    for (unsigned i = 0; i < 64; i += 2)
        release(manager, blocks[i]);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, UINT64_MAX)); /* caches only */
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.free_bytes, 32 * MIB);
    EXPECT_EQ(stats.largest_free_bytes, MIB);
    expect_ratio(stats.external_fragmentation, 1 - 1.0 / 32);

    for (unsigned i = 1; i < 64; i += 2)
        release(manager, blocks[i]);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, UINT64_MAX));
    stats = stats_of(manager);
    EXPECT_EQ(stats.largest_free_bytes, 64 * MIB);
    expect_ratio(stats.external_fragmentation, 0);
    manager_end(manager);
}

TEST(stats__the_largest_free_block_can_be_had_without_the_driver)
{
    book *b = book_open(NULL, 9);
    for (unsigned n = 0; n < 3000; n++)
        book_step(b, 20);
    EXPECT_OK(dcmem_manager_trim(NULL, b->manager, UINT64_MAX));
    dcmem_stats before = stats_of(b->manager);
    EXPECT_GE(before.largest_free_bytes, 4096);
    /* A power of two is a class, so that nothing is rounded up. */
    uint64_t bytes = 1;
    while (bytes * 2 <= before.largest_free_bytes / 2)
        bytes *= 2;
    void *block = allocate(b->manager, bytes);
    EXPECT_EQ(stats_of(b->manager).driver_acquires, before.driver_acquires);
    release(b->manager, block);
    book_close(b);
}

/* ---- Hits ---- */

TEST(stats__a_block_that_was_just_freed_is_a_hit)
{
    dcmem_manager *manager = cpu_manager(NULL);
    release(manager, allocate(manager, 100));
    dcmem_stats before = stats_of(manager);
    EXPECT_EQ(before.pool_misses, 1);
    for (unsigned i = 0; i < 5000; i++)
        release(manager, allocate(manager, 100));
    dcmem_stats after = stats_of(manager);
    EXPECT_EQ(after.magazine_hits - before.magazine_hits, 5000);
    EXPECT_EQ(after.pool_misses, 1);
    manager_end(manager);
}

TEST(stats__every_growth_is_a_miss)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *blocks[10];
    for (unsigned i = 0; i < 10; i++)
        blocks[i] = allocate(manager, 4 * MIB);
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.pool_misses, 10);
    EXPECT_EQ(stats.pool_hits, 0);
    EXPECT_EQ(stats.driver_acquires, 10);
    EXPECT_EQ(stats.acquired_bytes, 40 * MIB);
    for (unsigned i = 0; i < 10; i++)
        release(manager, blocks[i]);
    manager_end(manager);
}

/* ---- Peaks ---- */

TEST(stats__peaks_stand_until_they_are_reset)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 8 * MIB);
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.used_peak_bytes, 8 * MIB);
    EXPECT_EQ(stats.reserved_peak_bytes, 8 * MIB);
    release(manager, block);
    EXPECT_OK(dcmem_manager_trim(NULL, manager, 0));
    stats = stats_of(manager);
    EXPECT_EQ(stats.used_peak_bytes, 8 * MIB);
    EXPECT_EQ(stats.reserved_peak_bytes, 8 * MIB);

    block = allocate(manager, MIB);
    EXPECT_OK(dcmem_stats_reset_peaks(manager));
    stats = stats_of(manager);
    EXPECT_EQ(stats.used_peak_bytes, MIB);
    EXPECT_EQ(stats.reserved_peak_bytes, stats.reserved_bytes);
    release(manager, block);
    manager_end(manager);
}

TEST(stats__exact_peaks_are_exact_at_every_moment)
{
    book *b = book_open(&(dcmem_manager_options){.exact_peaks = 1}, 10);
    for (unsigned n = 0; n < 3000; n++) {
        book_step(b, 18);
        if (n % 10 == 0)
            EXPECT_EQ(stats_of(b->manager).used_peak_bytes, b->peak);
    }
    EXPECT_EQ(stats_of(b->manager).used_peak_bytes, b->peak);
    EXPECT_OK(dcmem_stats_reset_peaks(b->manager));
    b->peak = b->used;
    for (unsigned n = 0; n < 300; n++)
        book_step(b, 18);
    EXPECT_EQ(stats_of(b->manager).used_peak_bytes, b->peak);
    book_close(b);
}

TEST(stats__other_peaks_are_never_too_high_and_never_much_too_low)
{
    book *b = book_open(NULL, 11);
    for (unsigned n = 0; n < 5000; n++)
        book_step(b, 18);
    uint64_t peak = stats_of(b->manager).used_peak_bytes;
    EXPECT_LE(peak, b->peak);
    EXPECT_GE(peak, b->peak / 10 * 8);
    book_close(b);
}

/* ---- Snapshots ---- */

TEST(stats__a_snapshot_does_not_change_afterwards)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, 1000);
    dcmem_stats first = stats_of(manager), copy;
    memcpy(&copy, &first, sizeof copy);
    for (unsigned i = 0; i < 100; i++)
        release(manager, allocate(manager, 1000 + i));
    release(manager, block);
    manager_end(manager);
    EXPECT_EQ(memcmp(&first, &copy, sizeof copy), 0);
}

TEST(stats__two_snapshots_of_a_quiet_manager_are_equal)
{
    book *b = book_open(NULL, 12);
    for (unsigned n = 0; n < 1000; n++)
        book_step(b, 16);
    dcmem_stats first = stats_of(b->manager), second = stats_of(b->manager);
    EXPECT_EQ(memcmp(&first, &second, sizeof first), 0);
    book_close(b);
}

TEST(stats__managers_do_not_share_figures)
{
    dcmem_manager *a = cpu_manager(NULL), *b = cpu_manager(NULL);
    void *block = allocate(a, 1000);
    EXPECT_EQ(stats_of(b).allocations, 0);
    EXPECT_EQ(stats_of(b).reserved_bytes, 0);
    release(a, block);
    manager_end(a);
    EXPECT_EQ(stats_of(b).frees, 0);
    manager_end(b);
}

TEST(stats__a_manager_that_took_anothers_place_begins_at_zero)
{
    for (unsigned i = 0; i < 20; i++) {
        dcmem_manager *manager = cpu_manager(NULL);
        dcmem_stats stats = stats_of(manager);
        EXPECT_EQ(stats.allocations, 0);
        EXPECT_EQ(stats.allocate_latency.count, 0);
        EXPECT_EQ(stats.used_peak_bytes, 0);
        for (unsigned n = 0; n < 200; n++)
            release(manager, allocate(manager, 64 + n * 64));
        manager_end(manager);
    }
}

TEST(stats__clear_frees_everything_and_sets_every_counter_to_zero)
{
    book *b = book_open(NULL, 13);
    for (unsigned n = 0; n < 2000; n++)
        book_step(b, 20);
    EXPECT_OK(dcmem_manager_clear(b->manager));
    dcmem_stats stats = stats_of(b->manager);
#define DCMEM_X(name, unit, help)                                                                                      \
    if (stats.name != 0)                                                                                               \
        TEST_FAIL("%s is %llu", #name, (unsigned long long)stats.name);
    DCMEM_STATS_COUNTERS(DCMEM_X)
#undef DCMEM_X
    EXPECT_EQ(stats.used_bytes, 0);
    EXPECT_EQ(stats.reserved_bytes, 0);
    EXPECT_EQ(stats.used_peak_bytes, 0);
    EXPECT_EQ(stats.reserved_peak_bytes, 0);
    EXPECT_EQ(stats.thread_cache_bytes, 0);
    EXPECT_EQ(stats.segments, 0);

    void *freed = b->live[0].block ? b->live[0].block : b->live[1].block;
    if (freed)
        EXPECT(dcmem_raw_free(b->manager, freed) != DCMEM_OK);
    EXPECT_OK(dcmem_manager_check(b->manager));

    dcmem_manager *manager = b->manager;
    *b = (book){.manager = manager, .random = {14}};
    for (unsigned n = 0; n < 1000; n++)
        book_step(b, 14);
    stats = stats_of(manager);
    expect_counts(b, &stats);
    book_close(b);
}

/* ---- Histograms ---- */

TEST(stats__one_hit_in_1024_is_timed_and_stands_for_all_of_them)
{
    dcmem_manager *manager = cpu_manager(NULL);
    for (unsigned i = 0; i < 100 * 1024; i++)
        release(manager, allocate(manager, 64));
    dcmem_stats stats = stats_of(manager);
    EXPECT_EQ(stats.allocations, 100 * 1024);
    EXPECT_EQ(stats.frees, 100 * 1024);
    EXPECT_GE(stats.allocate_latency.count, 98 * 1024);
    EXPECT_LE(stats.allocate_latency.count, 102 * 1024);
    EXPECT_GE(stats.free_latency.count, 98 * 1024);
    EXPECT_LE(stats.free_latency.count, 102 * 1024);
    manager_end(manager);
}

TEST(stats__histograms_count_every_allocation_and_every_driver_call)
{
    book *b = book_open(NULL, 15);
    for (unsigned n = 0; n < 20000; n++)
        book_step(b, 20);
    dcmem_stats stats = stats_of(b->manager);
    EXPECT_EQ(stats.allocation_size.count, stats.allocations);
    EXPECT_EQ(stats.driver_latency.count, stats.driver_acquires + stats.driver_releases);
    EXPECT_GE(stats.allocate_latency.count, 1);
    EXPECT_GE(stats.free_latency.count, 1);
    book_close(b);
}

/* ---- Resizing in place ---- */

static void
expect_reallocation_is_seen(uint64_t bytes, uint64_t to)
{
    dcmem_manager *manager = cpu_manager(NULL);
    void *block = allocate(manager, bytes);
    uint64_t capacity = usable(manager, block);
    dcmem_stats before = stats_of(manager);
    EXPECT_EQ(before.live_requested_bytes, bytes);

    EXPECT(dcmem_raw_reallocate(manager, block, to) == block);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, to);
    EXPECT_EQ(stats_of(manager).used_bytes, capacity);
    EXPECT(dcmem_raw_reallocate(manager, block, capacity) == block);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, capacity);
    EXPECT_EQ(stats_of(manager).requested_bytes, before.requested_bytes + capacity - (bytes < to ? bytes : to));

    /* What is counted when it is given back is what it is by then: the next block's figures are its own. */
    release(manager, block);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, 0);
    block = allocate(manager, bytes);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, bytes);
    release(manager, block);
    manager_end(manager);
}

TEST(stats__a_request_that_changes_inside_its_block_is_seen)
{
    expect_reallocation_is_seen(5000, 4800);              /* in a slab */
    expect_reallocation_is_seen(4100, 4200);              /* the other way */
    expect_reallocation_is_seen(100 * KIB - 2, 99 * KIB); /* of whole pages, told in units of 2 */
    expect_reallocation_is_seen(GIB + 100, GIB + 1000);   /* of no class */
}

TEST(stats__a_block_that_is_another_holders_or_nobodys_is_not_resized)
{
    dcmem_manager *manager = cpu_manager(NULL);
    dcmi_pool *pool = dcmi_pool_resolve(manager);
    char *block = allocate(manager, 5000);
    dcmi_pool_resize(pool, (uintptr_t)block, 4700, DCMI_HOLDER_LIBRARY);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, 5000);
    release(manager, block);
    dcmi_pool_resize(pool, (uintptr_t)block, 4700, DCMI_HOLDER_CALLER);
    dcmi_pool_resize(pool, (uintptr_t)block + 1, 4700, DCMI_HOLDER_CALLER);
    dcmi_pool_resize(pool, (uintptr_t)manager, 4700, DCMI_HOLDER_CALLER);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, 0);
    manager_end(manager);
}
