/* carry_test.c: copies by each route, forced one by one: their bytes, what is counted, what a failing call leaves, and
 * what two directions do at once. */
#include "devices.h"

#include "base/team.h"
#include "buffer/bundle.h"
#include "buffer/stage.h"
#include "buffer/traffic.h"

#include <dcmem/transfer.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)

/* Not unified, each with a memory of its own. */
enum { BARE, VISIBLE, FLUSHED, PEER, MODELS };

static const dcmem_simulated_link link_of_peers = {1ull << 40, 0};

static dcmem_simulated_profile
profile_of(int model)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 1ull << 30, .host_bytes = 1ull << 30};
    if (model == VISIBLE || model == FLUSHED)
        profile.flags = DCMEM_SIMULATED_HOST_VISIBLE;
    if (model == FLUSHED) {
        profile.flags |= DCMEM_SIMULATED_NON_COHERENT;
        profile.flush_bytes = 64;
    }
    if (model == PEER)
        profile.peer = link_of_peers;
    return profile;
}

/* Two devices of a model behind one fake. */
typedef struct pair {
    dcmem_backend *simulated;
    dcmem_fake *fake;
    dcmem_manager *managers[2];
    dcmem_buffer *buffers[2];
    uint64_t bytes;
    unsigned char *in, *out;
} pair;

static void
pattern_put(unsigned char *bytes, uint64_t count, unsigned seed)
{
    for (uint64_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 251 + i / 65537 + seed);
}

/* Of memory that the host can map, where the model has any. */
static dcmem_buffer *
make_buffer(dcmem_manager *manager, int model, uint64_t bytes)
{
    dcmem_buffer *buffer;
    bool is_mapped = model == VISIBLE || model == FLUSHED;
    const dcmem_buffer_options options = {.size = sizeof options, .kind = DCMEM_KIND_HOST_VISIBLE};
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, bytes, is_mapped ? &options : NULL));
    return buffer;
}

static void
pair_open(pair *all, int model, uint64_t bytes)
{
    const dcmem_simulated_profile profiles[2] = {profile_of(model), profile_of(model)};
    memset(all, 0, sizeof *all);
    EXPECT_OK(dcmem_simulated_create(&all->simulated, profiles, 2));
    const dcmem_fake_options behind = {
        .size = sizeof behind, .over = all->simulated, .report = dcmem_fake_report_later};
    EXPECT_OK(dcmem_fake_create(&all->fake, &behind));
    for (uint32_t i = 0; i < 2; i++) {
        const dcmem_manager_options options = {.size = sizeof options,
                                               .driver = dcmem_fake_backend(all->fake),
                                               .device = i,
                                               .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
        EXPECT_OK(dcmem_manager_create(&all->managers[i], &options));
        all->buffers[i] = make_buffer(all->managers[i], model, bytes);
    }
    all->bytes = bytes;
    all->in = malloc(bytes);
    all->out = malloc(bytes);
    pattern_put(all->in, bytes, 1);
    memset(all->out, 0, bytes);
}

static void
pair_close(pair *all)
{
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(dcmem_buffer_destroy(all->buffers[i]));
        EXPECT_OK(dcmem_manager_check(all->managers[i]));
        EXPECT_OK(dcmem_manager_destroy(all->managers[i]));
    }
    EXPECT_OK(dcmem_fake_verify(all->fake));
    EXPECT_OK(dcmem_fake_destroy(all->fake));
    EXPECT_OK(dcmem_simulated_destroy(all->simulated));
    free(all->in);
    free(all->out);
}

static dcmem_result
copy_in(const pair *all, int i)
{
    return dcmem_buffer_copy_in(dcmem_view_whole(all->buffers[i]), all->in, 0);
}

static dcmem_result
copy_out(const pair *all, int i)
{
    return dcmem_buffer_copy_out(all->out, dcmem_view_whole(all->buffers[i]), 0);
}

static dcmem_result
copy_across(const pair *all)
{
    return dcmem_buffer_copy(dcmem_view_whole(all->buffers[1]), dcmem_view_whole(all->buffers[0]));
}

static void
expect_out(pair *all, int i)
{
    memset(all->out, 0, all->bytes);
    EXPECT_OK(copy_out(all, i));
    EXPECT_EQ(memcmp(all->in, all->out, all->bytes), 0);
}

static void
take_only(dcmi_route route)
{
    atomic_store(&dcmi_route_only, route);
}

static uint64_t
went(dcmem_manager *manager, dcmi_route route)
{
    dcmem_stats stats = stats_of(manager);
    switch (route) {
    case DCMI_ROUTE_queued:
        return stats.copies_queued;
    case DCMI_ROUTE_peer:
        return stats.copies_by_peer;
    case DCMI_ROUTE_mapped:
    case DCMI_ROUTE_streamed:
        return stats.copies_mapped;
    case DCMI_ROUTE_wide:
        return stats.copies_wide;
    case DCMI_ROUTE_staged:
        return stats.copies_staged;
    default:
        return 0;
    }
}

/* ---- Every byte by every route ---- */

static const struct {
    int model;
    dcmi_route route;
} between_host_and_device[] = {
    {BARE, DCMI_ROUTE_driver},    {BARE, DCMI_ROUTE_queued},      {BARE, DCMI_ROUTE_staged},
    {VISIBLE, DCMI_ROUTE_mapped}, {VISIBLE, DCMI_ROUTE_streamed}, {VISIBLE, DCMI_ROUTE_wide},
    {FLUSHED, DCMI_ROUTE_mapped}, {FLUSHED, DCMI_ROUTE_staged},
};

#define HOST_ROUTES (sizeof between_host_and_device / sizeof between_host_and_device[0])

TEST(carry__brings_every_byte_between_host_and_device_by_each_route)
{
    static const uint64_t sizes[] = {64 * KIB, MIB + 192, 8 * MIB + 64 * KIB + 64};
    for (size_t i = 0; i < HOST_ROUTES; i++)
        for (size_t size = 0; size < 3; size++) {
            pair all;
            dcmi_route route = between_host_and_device[i].route;
            take_only(route);
            pair_open(&all, between_host_and_device[i].model, sizes[size]);
            EXPECT_OK(copy_in(&all, 0));
            take_only(DCMI_ROUTE_driver);
            expect_out(&all, 0);
            take_only(route);
            expect_out(&all, 0);
            dcmem_stats stats = stats_of(all.managers[0]);
            EXPECT_EQ(stats.copies_host_to_device, 1);
            EXPECT_EQ(stats.copied_host_to_device_bytes, sizes[size]);
            EXPECT_EQ(stats.copies_device_to_host, 2);
            EXPECT_EQ(stats.copied_device_to_host_bytes, 2 * sizes[size]);
            bool is_there = route < DCMI_ROUTE_wide ||
                            (route == DCMI_ROUTE_wide ? sizes[size] >= DCMI_ROUTE_LEAST_WIDE && dcmi_team_size() > 1
                                                      : sizes[size] >= DCMI_ROUTE_LEAST_STREAM);
            is_there &= route != DCMI_ROUTE_streamed || sizes[size] >= DCMI_ROUTE_LEAST_STREAM;
            EXPECT_EQ(went(all.managers[0], route), is_there && route != DCMI_ROUTE_driver ? 2 : 0);
            pair_close(&all);
        }
    take_only(DCMI_ROUTE_COUNT);
}

static const struct {
    int model;
    dcmi_route route;
} between_devices[] = {{BARE, DCMI_ROUTE_staged},
                       {PEER, DCMI_ROUTE_peer},
                       {VISIBLE, DCMI_ROUTE_mapped},
                       {VISIBLE, DCMI_ROUTE_streamed},
                       {FLUSHED, DCMI_ROUTE_staged}};

#define DEVICE_ROUTES (sizeof between_devices / sizeof between_devices[0])

TEST(carry__brings_every_byte_from_device_to_device_by_each_route)
{
    static const uint64_t sizes[] = {64, 64 * KIB, 100 * KIB, MIB, 9 * MIB + 12352};
    for (size_t i = 0; i < DEVICE_ROUTES; i++)
        for (size_t size = 0; size < 5; size++) {
            pair all;
            dcmi_route route = between_devices[i].route;
            pair_open(&all, between_devices[i].model, sizes[size]);
            take_only(DCMI_ROUTE_driver);
            EXPECT_OK(copy_in(&all, 0));
            take_only(route);
            EXPECT_OK(copy_across(&all));
            take_only(DCMI_ROUTE_driver);
            expect_out(&all, 1);
            bool is_there =
                route == DCMI_ROUTE_staged || route == DCMI_ROUTE_peer || sizes[size] >= DCMI_ROUTE_LEAST_MAP;
            EXPECT_EQ(went(all.managers[1], route), is_there);
            EXPECT_EQ(stats_of(all.managers[0]).copied_device_to_host_bytes, sizes[size]);
            EXPECT_EQ(stats_of(all.managers[1]).copied_host_to_device_bytes, sizes[size]);
            pair_close(&all);
        }
    take_only(DCMI_ROUTE_COUNT);
}

TEST(carry__a_peer_is_enabled_once)
{
    pair all;
    pair_open(&all, PEER, MIB);
    EXPECT_OK(copy_in(&all, 0));
    for (int i = 0; i < 3; i++)
        EXPECT_OK(copy_across(&all));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_peer_can).tried, 1);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_peer_enable).tried, 1);
    EXPECT_GE(stats_of(all.managers[1]).copies_by_peer, 3);
    expect_out(&all, 1);
    pair_close(&all);
}

/* Without its leave, and with nothing at all, bytes still arrive. */
TEST(carry__a_peer_that_cannot_be_enabled_is_done_without)
{
    pair all;
    pair_open(&all, PEER, MIB);
    EXPECT_OK(copy_in(&all, 0));
    EXPECT_OK(dcmem_fake_fail(all.fake, DCMEM_FAKE_peer_enable, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_OK(copy_across(&all));
    EXPECT_OK(copy_across(&all));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_peer_enable).tried, 1);
    EXPECT_EQ(stats_of(all.managers[1]).copies_by_peer, 0);
    expect_out(&all, 1);
    pair_close(&all);
}

/* ---- Measured ---- */

TEST(carry__tries_all_routes_in_the_first_copies_and_settles_on_one)
{
    pair all;
    pair_open(&all, VISIBLE, MIB);
    for (int i = 0; i < 30; i++)
        EXPECT_OK(copy_in(&all, 0));
    dcmem_stats first = stats_of(all.managers[0]);
    EXPECT_GE(first.copies_queued, 1);
    EXPECT_GE(first.copies_mapped, 1);
    EXPECT_GE(first.copies_staged, 1);
    for (int i = 0; i < 5; i++)
        EXPECT_OK(copy_in(&all, 0));
    dcmem_stats later = stats_of(all.managers[0]);
    uint64_t others = later.copies_queued - first.copies_queued + later.copies_mapped - first.copies_mapped +
                      later.copies_staged - first.copies_staged;
    EXPECT(others == 0 || others == 5);
    expect_out(&all, 0);
    pair_close(&all);
}

TEST(carry__a_large_copy_tries_routes_with_parts_of_itself)
{
    pair all;
    pair_open(&all, VISIBLE, 33 * MIB + 4096);
    for (int i = 0; i < 4; i++)
        EXPECT_OK(copy_in(&all, 0));
    dcmem_stats stats = stats_of(all.managers[0]);
    EXPECT_EQ(stats.copies_host_to_device, 4);
    EXPECT_GE(stats.copies_queued, 1);
    EXPECT_GE(stats.copies_mapped, 1);
    expect_out(&all, 0);
    pair_close(&all);
}

TEST(carry__memory_that_the_driver_will_not_map_is_asked_for_once)
{
    pair all;
    pair_open(&all, VISIBLE, MIB);
    take_only(DCMI_ROUTE_mapped);
    EXPECT_OK(dcmem_fake_fail(all.fake, DCMEM_FAKE_map, DCMEM_E_UNSUPPORTED, 1, UINT64_MAX));
    for (int i = 0; i < 3; i++)
        EXPECT_OK(copy_in(&all, 0));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_map).tried, 1);
    EXPECT_EQ(stats_of(all.managers[0]).copies_mapped, 0);
    dcmem_fake_reset(all.fake);
    take_only(DCMI_ROUTE_COUNT);
    expect_out(&all, 0);
    pair_close(&all);
}

TEST(carry__a_driver_without_a_queue_to_spare_is_asked_for_one_once)
{
    pair all;
    pair_open(&all, BARE, MIB);
    EXPECT_OK(dcmem_fake_fail(all.fake, DCMEM_FAKE_queue_open, DCMEM_E_LIMIT, 1, UINT64_MAX));
    take_only(DCMI_ROUTE_queued);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(copy_in(&all, 0));
    take_only(DCMI_ROUTE_staged);
    EXPECT_OK(copy_across(&all));
    EXPECT_LE(dcmem_fake_count_of(all.fake, DCMEM_FAKE_queue_open).tried, 2); /* one a manager */
    take_only(DCMI_ROUTE_COUNT);
    expect_out(&all, 1);
    pair_close(&all);
}

/* A flush takes whole units along: what lies beside the range may be somebody else's. */
TEST(carry__maps_of_memory_that_is_flushed_take_whole_units_only)
{
    pair all;
    pair_open(&all, FLUSHED, MIB);
    EXPECT_OK(copy_in(&all, 0));
    take_only(DCMI_ROUTE_mapped);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(all.buffers[0], 1, 128 * KIB), all.in + 1, 0));
    EXPECT_OK(dcmem_buffer_copy_in(view_of(all.buffers[0], 64, 128 * KIB + 1), all.in + 64, 0));
    EXPECT_EQ(stats_of(all.managers[0]).copies_mapped, 0);
    EXPECT_OK(dcmem_buffer_copy_in(view_of(all.buffers[0], 64, 128 * KIB), all.in + 64, 0));
    EXPECT_EQ(stats_of(all.managers[0]).copies_mapped, 1);
    expect_out(&all, 0);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

/* ---- One memory that two managers know ---- */

TEST(carry__from_a_memory_to_itself_nothing_is_moved)
{
    pair all;
    dcmem_buffer *twice[2];
    pair_open(&all, BARE, 4096);
    void *memory = NULL;
    EXPECT_EQ(posix_memalign(&memory, 4096, 4096), 0);
    memset(memory, 7, 4096);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(dcmem_buffer_import(&twice[i], all.managers[i], memory, 4096));
        EXPECT_OK(dcmem_buffer_mark_dirty(dcmem_view_whole(twice[i]), DCMEM_SIDE_HOST));
    }
    uint64_t before = dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried;
    EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(twice[1]), dcmem_view_whole(twice[0])));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried, before);
    EXPECT_GE(stats_of(all.managers[1]).copies_avoided_bytes, 4096);
    for (int i = 0; i < 2; i++)
        EXPECT_OK(dcmem_buffer_destroy(twice[i]));
    free(memory);
    pair_close(&all);
}

/* ---- Somebody looks on ---- */

typedef struct onlooker {
    dcmi_watch watch;
    uint64_t bytes, steps, last_step;
} onlooker;

static dcmem_result
look(dcmi_watch *watch, uint64_t bytes)
{
    onlooker *self = (onlooker *)(void *)watch;
    self->bytes += bytes;
    return ++self->steps == self->last_step ? DCMEM_E_TIMEOUT : DCMEM_OK;
}

static dcmi_site
site_of(dcmem_buffer *buffer)
{
    dcmi_locked locked;
    dcmi_site site;
    EXPECT_OK(dcmi_slot_lock(&locked, buffer));
    dcmem_result result = dcmi_side_know_face(locked.slot);
    if (!result)
        result = dcmi_side_site(&site, locked.slot, DCMEM_SIDE_DEVICE, 0);
    dcmi_slot_unlock(&locked, false);
    EXPECT_OK(result);
    return site;
}

/* By every route: all bytes are told of, in pieces; a step that fails ends the copy, and nothing leaks. */
static void
expect_watched(const dcmi_site *to, const dcmi_site *from, uint64_t bytes)
{
    onlooker all = {.watch.step = look};
    dcmi_errand errand = {.watch = &all.watch};
    EXPECT_OK(dcmi_carry(to, from, bytes, &errand));
    EXPECT_EQ(all.bytes, bytes);
    EXPECT_GE(all.steps, 2);
    EXPECT(errand.has_begun);

    onlooker impatient = {.watch.step = look, .last_step = 2};
    errand = (dcmi_errand){.watch = &impatient.watch};
    EXPECT_RESULT(dcmi_carry(to, from, bytes, &errand), DCMEM_E_TIMEOUT);
    EXPECT_EQ(impatient.steps, 2);
    EXPECT(errand.has_begun);
}

TEST(carry__is_watched_in_pieces_and_ends_where_its_watch_says_so)
{
    const uint64_t bytes = 33 * MIB;
    for (size_t i = 0; i < HOST_ROUTES; i++) {
        pair all;
        pair_open(&all, between_host_and_device[i].model, bytes);
        dcmi_site there = site_of(all.buffers[0]), host = dcmi_site_host(all.in), back = dcmi_site_host(all.out);
        take_only(between_host_and_device[i].route);
        expect_watched(&there, &host, bytes);
        expect_watched(&back, &there, bytes);
        pair_close(&all);
    }
    for (size_t i = 0; i < DEVICE_ROUTES; i++) {
        pair all;
        pair_open(&all, between_devices[i].model, bytes);
        dcmi_site from = site_of(all.buffers[0]), to = site_of(all.buffers[1]);
        take_only(between_devices[i].route);
        expect_watched(&to, &from, bytes);
        pair_close(&all);
    }
    take_only(DCMI_ROUTE_COUNT);
}

TEST(carry__within_one_host_s_memory_is_watched_in_pieces_too)
{
    const uint64_t bytes = 17 * MIB;
    dcmem_manager *cpu = cpu_open();
    dcmem_buffer *buffer = buffer_of(cpu, bytes);
    char *memory = calloc(1, bytes);
    dcmi_site to = site_of(buffer), from = dcmi_site_host(memory);
    expect_watched(&to, &from, bytes);
    free(memory);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    cpu_close(cpu);
}

/* ---- Failing calls ---- */

typedef dcmem_result (*carriage)(const pair *all);

static dcmem_result
carry_in(const pair *all)
{
    return copy_in(all, 0);
}

static dcmem_result
carry_out_of(const pair *all)
{
    return copy_out(all, 0);
}

/* With the n-th call of the copy failing, for every n: a copy that failed says so, and has lost at most its target; one
 * that succeeded brought every byte; nothing leaks, and the next copy succeeds. How many failed. */
static unsigned
sweep(int model, dcmi_route route, carriage carry, bool is_across, uint64_t bytes)
{
    unsigned failures = 0;
    for (uint64_t n = 1;; n++) {
        pair all;
        pair_open(&all, model, bytes);
        take_only(DCMI_ROUTE_driver);
        EXPECT_OK(copy_in(&all, 0));
        take_only(route);
        dcmem_fake_reset(all.fake);
        EXPECT_OK(dcmem_fake_fail(all.fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, n, 1));
        dcmem_result result = carry(&all);
        bool is_over = dcmem_fake_count_of(all.fake, DCMEM_FAKE_any).tried < n;
        dcmem_fake_reset(all.fake);
        if (result) {
            EXPECT_EQ(result, DCMEM_E_DRIVER);
            EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_DRIVER);
            failures++;
        }
        EXPECT(!result || !is_over);
        if (carry != carry_in || !result)
            expect_out(&all, 0); /* the source is as it was; a target that was written is right */
        if (is_across && !result)
            expect_out(&all, 1);
        EXPECT_OK(carry(&all));
        expect_out(&all, is_across);
        pair_close(&all);
        if (is_over)
            break;
    }
    take_only(DCMI_ROUTE_COUNT);
    return failures;
}

TEST(carry__a_call_that_fails_between_host_and_device_loses_no_more_than_the_target)
{
    for (size_t i = 0; i < HOST_ROUTES; i++) {
        dcmi_route route = between_host_and_device[i].route;
        uint64_t bytes = route == DCMI_ROUTE_wide ? DCMI_ROUTE_LEAST_WIDE : DCMI_ROUTE_LEAST_STREAM;
        EXPECT_GE(sweep(between_host_and_device[i].model, route, carry_in, false, bytes), 1);
        unsigned failures = sweep(between_host_and_device[i].model, route, carry_out_of, false, bytes);
        EXPECT_GE(failures, 1);
    }
}

TEST(carry__a_call_that_fails_between_two_devices_loses_no_more_than_the_target)
{
    for (size_t i = 0; i < DEVICE_ROUTES; i++)
        EXPECT_GE(sweep(between_devices[i].model, between_devices[i].route, copy_across, true, MIB), 1);
}

/* ---- The ring ---- */

TEST(ring__is_kept_for_the_next_copy_and_given_back_by_trim_and_clear)
{
    pair all;
    uint64_t bytes;
    pair_open(&all, BARE, 2 * MIB);
    take_only(DCMI_ROUTE_staged);
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, 0);
    EXPECT_OK(copy_in(&all, 0));
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, DCMI_RING_BYTES);
    EXPECT_OK(copy_in(&all, 0));
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, DCMI_RING_BYTES);
    EXPECT_OK(dcmem_manager_trim(&bytes, all.managers[0], 0));
    EXPECT_GE(bytes, DCMI_RING_BYTES);
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, 0);
    expect_out(&all, 0);
    EXPECT_OK(dcmem_buffer_destroy(all.buffers[0]));
    EXPECT_OK(dcmem_manager_clear(all.managers[0]));
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, 0);
    EXPECT_EQ(stats_of(all.managers[0]).used_bytes, 0);
    all.buffers[0] = buffer_of(all.managers[0], 2 * MIB);
    EXPECT_OK(copy_in(&all, 0));
    take_only(DCMI_ROUTE_COUNT);
    expect_out(&all, 0);
    pair_close(&all);
}

TEST(ring__that_is_all_in_use_is_done_without)
{
    pair all;
    pair_open(&all, BARE, 2 * MIB);
    take_only(DCMI_ROUTE_staged);
    EXPECT_OK(copy_in(&all, 0));
    EXPECT_OK(copy_across(&all));
    dcmi_lane *lanes[2][DCMI_RING_LANES];
    for (int i = 0; i < 2; i++) {
        dcmi_ring *ring = &dcmi_pool_traffic(dcmi_pool_resolve(all.managers[i]))->ring;
        for (unsigned lane = 0; lane < DCMI_RING_LANES; lane++)
            EXPECT((lanes[i][lane] = dcmi_ring_take(ring)));
        EXPECT(!dcmi_ring_take(ring));
    }
    uint64_t staged = stats_of(all.managers[0]).copies_staged;
    EXPECT_OK(copy_in(&all, 0)); /* by the driver */
    EXPECT_EQ(stats_of(all.managers[0]).copies_staged, staged);
    take_only(DCMI_ROUTE_queued);
    EXPECT_OK(copy_in(&all, 0)); /* the same */
    EXPECT_EQ(stats_of(all.managers[0]).copies_queued, 0);
    take_only(DCMI_ROUTE_staged);
    EXPECT_OK(copy_across(&all)); /* through a block of its own */
    expect_out(&all, 1);
    for (int i = 0; i < 2; i++)
        for (unsigned lane = 0; lane < DCMI_RING_LANES; lane++)
            dcmi_ring_give(lanes[i][lane]);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

TEST(ring__in_the_child_of_a_fork_is_nobody_s)
{
    pair all;
    pair_open(&all, BARE, 2 * MIB);
    take_only(DCMI_ROUTE_staged);
    EXPECT_OK(copy_in(&all, 0));
    dcmi_ring *ring = &dcmi_pool_traffic(dcmi_pool_resolve(all.managers[0]))->ring;
    dcmi_lane *lane = dcmi_ring_take(ring);
    pid_t child = fork();
    if (child == 0)
        _exit(dcmi_ring_take(ring) == lane ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    dcmi_ring_give(lane);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

TEST(stage__chunks_fit_their_lane_and_are_several_where_that_pays)
{
    for (uint64_t bytes = 1; bytes < 1ull << 40; bytes = bytes * 3 / 2 + 1)
        for (uint64_t lane = 4096; lane <= DCMI_RING_BYTES; lane *= 2) {
            if (lane < 128 * KIB && lane < bytes)
                continue;
            uint64_t chunk = dcmi_stage_chunk(lane, bytes);
            EXPECT(chunk > 0 && chunk <= bytes);
            EXPECT_LE(bytes > chunk ? 2 * chunk : chunk, lane);
            if (lane == DCMI_RING_BYTES && bytes >= 256 * KIB)
                EXPECT_GE((bytes + chunk - 1) / chunk, 4);
        }
}

/* ---- At once ---- */

typedef struct direction_of_one {
    pair *all;
    dcmem_buffer *buffer;
    unsigned char *memory, *back;
    dcmem_result result;
} direction_of_one;

static void *
go_to_and_fro(void *of)
{
    direction_of_one *self = of;
    for (int i = 0; i < 6 && !self->result; i++) {
        memset(self->back, 0, self->all->bytes);
        self->result = dcmem_buffer_copy_in(dcmem_view_whole(self->buffer), self->memory, 0);
        if (!self->result)
            self->result = dcmem_buffer_copy_out(self->back, dcmem_view_whole(self->buffer), 0);
        if (!self->result && memcmp(self->memory, self->back, self->all->bytes) != 0)
            self->result = DCMEM_E_CORRUPTED;
    }
    return NULL;
}

static void
expect_both_ways_at_once(int model, dcmi_route route)
{
    pair all;
    pthread_t threads[2];
    direction_of_one ways[2];
    take_only(route);
    pair_open(&all, model, MIB);
    for (int i = 0; i < 2; i++) {
        ways[i] =
            (direction_of_one){&all, make_buffer(all.managers[0], model, MIB), malloc(MIB), malloc(MIB), DCMEM_OK};
        pattern_put(ways[i].memory, MIB, (unsigned)i);
        EXPECT_EQ(pthread_create(&threads[i], NULL, go_to_and_fro, &ways[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(ways[i].result, DCMEM_OK);
        EXPECT_OK(dcmem_buffer_destroy(ways[i].buffer));
        free(ways[i].memory);
        free(ways[i].back);
    }
    pair_close(&all);
}

TEST(carry__both_directions_go_at_once_each_with_its_own_lane)
{
    expect_both_ways_at_once(BARE, DCMI_ROUTE_staged);
    expect_both_ways_at_once(BARE, DCMI_ROUTE_queued);
    expect_both_ways_at_once(VISIBLE, DCMI_ROUTE_streamed);
    expect_both_ways_at_once(VISIBLE, DCMI_ROUTE_COUNT);
    take_only(DCMI_ROUTE_COUNT);
}

/* ---- Many small ranges ---- */

#define TILE  256u
#define TILES 40u

/* Every second tile of the first buffer is current on the device only, the others on the host only. */
static void
write_tiles(const pair *all, unsigned seed)
{
    for (unsigned i = 0; i < TILES; i++) {
        dcmem_access access;
        dcmem_side side = i % 2 ? DCMEM_SIDE_DEVICE : DCMEM_SIDE_HOST;
        EXPECT_OK(dcmem_access_begin(&access, view_of(all->buffers[0], i * TILE, TILE), side, DCMEM_ACCESS_WRITE, 0));
        unsigned char tile[TILE];
        memset(tile, (int)(seed + i), TILE);
        if (side == DCMEM_SIDE_HOST)
            memcpy(access.host, tile, TILE);
        else
            EXPECT_OK(dcmem_simulated_write(all->simulated, 0, &access.native, 0, tile, TILE));
        EXPECT_OK(dcmem_access_end(&access));
    }
}

static dcmem_result
read_tiles(const pair *all)
{
    dcmem_access access;
    dcmem_result result =
        dcmem_access_begin(&access, view_of(all->buffers[0], 0, TILES * TILE), DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0);
    if (result)
        return result;
    memcpy(all->out, access.host, TILES * TILE);
    return dcmem_access_end(&access);
}

static dcmem_result
read_tiles_on_device(const pair *all)
{
    dcmem_access access;
    dcmem_result result =
        dcmem_access_begin(&access, view_of(all->buffers[0], 0, TILES * TILE), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0);
    if (!result)
        result = dcmem_simulated_read(all->out, all->simulated, 0, &access.native, 0, TILES * TILE);
    return result ? result : dcmem_access_end(&access);
}

static void
expect_tiles(pair *all, dcmem_result (*read)(const pair *all), unsigned seed)
{
    memset(all->out, 0, TILES * TILE);
    EXPECT_OK(read(all));
    for (unsigned i = 0; i < TILES; i++)
        EXPECT(are_all(all->out + i * TILE, (int)((seed + i) & 0xff), TILE));
}

TEST(bundle__many_small_ranges_wait_for_a_queue_once_a_bundle)
{
    pair all;
    pair_open(&all, BARE, MIB);
    take_only(DCMI_ROUTE_queued);
    write_tiles(&all, 3);
    uint64_t copies = dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried;
    expect_tiles(&all, read_tiles, 3);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_enqueue_copy).tried, TILES / 2);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_queue_wait).tried, 2);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried, copies);
    EXPECT_EQ(stats_of(all.managers[0]).copies_queued, TILES / 2);
    EXPECT_EQ(stats_of(all.managers[0]).copied_device_to_host_bytes, TILES / 2 * TILE);
    expect_tiles(&all, read_tiles_on_device, 3);
    EXPECT_EQ(stats_of(all.managers[0]).copied_host_to_device_bytes, TILES / 2 * TILE);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

TEST(bundle__rows_of_a_box_wait_for_a_queue_once_a_bundle)
{
    pair all;
    pair_open(&all, BARE, MIB);
    take_only(DCMI_ROUTE_queued);
    const dcmem_layout spread = {.row_pitch = 2 * TILE};
    const dcmem_box box = {.row_bytes = TILE, .rows = TILES / 2};
    uint64_t copies = dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried;
    EXPECT_OK(dcmem_transfer_box_in(dcmem_view_whole(all.buffers[0]), spread, all.in, (dcmem_layout){0}, box, NULL));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_enqueue_copy).tried, TILES / 2);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_queue_wait).tried, 2);
    EXPECT_OK(dcmem_transfer_box_out(all.out, (dcmem_layout){0}, dcmem_view_whole(all.buffers[0]), spread, box, NULL));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_queue_wait).tried, 4);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_copy).tried, copies);
    EXPECT_EQ(memcmp(all.in, all.out, TILES / 2 * TILE), 0);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

TEST(bundle__both_ways_are_tried_and_bring_the_same_bytes)
{
    pair all;
    pair_open(&all, BARE, MIB);
    for (unsigned seed = 0; seed < 2 * DCMI_COST_TRIES_SMALL; seed++) {
        write_tiles(&all, seed);
        expect_tiles(&all, read_tiles, seed);
        expect_tiles(&all, read_tiles_on_device, seed);
    }
    EXPECT_GE(stats_of(all.managers[0]).copies_queued, 1);
    pair_close(&all);
}

TEST(bundle__a_call_that_fails_fails_the_access_or_is_made_good_and_the_next_finds_every_byte)
{
    for (uint64_t n = 1, tried = n; tried >= n; n++) {
        pair all;
        pair_open(&all, BARE, MIB);
        write_tiles(&all, 9);
        take_only(DCMI_ROUTE_queued);
        dcmem_fake_reset(all.fake);
        EXPECT_OK(dcmem_fake_fail(all.fake, DCMEM_FAKE_any, DCMEM_E_DRIVER, n, 1));
        dcmem_result result = read_tiles(&all);
        EXPECT(result == DCMEM_OK || result == DCMEM_E_DRIVER);
        tried = dcmem_fake_count_of(all.fake, DCMEM_FAKE_any).tried;
        dcmem_fake_reset(all.fake);
        expect_tiles(&all, read_tiles, 9);
        expect_tiles(&all, read_tiles_on_device, 9);
        take_only(DCMI_ROUTE_COUNT);
        pair_close(&all);
    }
}

TEST(bundle__without_a_lane_or_a_queue_ranges_go_one_by_one)
{
    pair all;
    pair_open(&all, BARE, MIB);
    take_only(DCMI_ROUTE_queued);
    write_tiles(&all, 1);
    expect_tiles(&all, read_tiles, 1);
    uint64_t queued = stats_of(all.managers[0]).copies_queued;
    dcmi_ring *ring = &dcmi_pool_traffic(dcmi_pool_resolve(all.managers[0]))->ring;
    dcmi_lane *lanes[DCMI_RING_LANES];
    for (unsigned i = 0; i < DCMI_RING_LANES; i++)
        lanes[i] = dcmi_ring_take(ring);
    write_tiles(&all, 2);
    expect_tiles(&all, read_tiles, 2);
    for (unsigned i = 0; i < DCMI_RING_LANES; i++)
        dcmi_ring_give(lanes[i]);
    EXPECT_EQ(stats_of(all.managers[0]).copies_queued, queued);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

/* ---- Rarer ways ---- */

static dcmi_site
block_site(dcmi_pool **out_pool, uint64_t *out_address, dcmem_manager *manager, uint64_t bytes)
{
    dcmi_site site = {.is_host = true};
    EXPECT_OK(dcmi_pool_of_kind(out_pool, dcmi_pool_resolve(manager), DCMEM_KIND_HOST));
    *out_address = dcmi_pool_take(*out_pool, bytes, 0, DCMI_HOLDER_LIBRARY);
    EXPECT(*out_address);
    site.pool = *out_pool;
    EXPECT_OK(dcmi_pool_place(&site.place, *out_pool, *out_address));
    return site;
}

TEST(carry__between_memories_that_the_host_can_touch_may_use_better_stores_than_the_driver)
{
    pair all;
    dcmi_pool *pool;
    uint64_t address;
    pair_open(&all, BARE, MIB);
    dcmi_site to = block_site(&pool, &address, all.managers[0], MIB), from = dcmi_site_host(all.in);
    dcmi_errand errand = {0};
    take_only(DCMI_ROUTE_streamed);
    EXPECT_OK(dcmi_carry(&to, &from, MIB, &errand));
    EXPECT_EQ(memcmp(to.place.host, all.in, MIB), 0);
    EXPECT_EQ(stats_of(all.managers[0]).copies_mapped, 1);
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_map).tried, 0);
    take_only(DCMI_ROUTE_COUNT);
    EXPECT_OK(dcmi_pool_give(pool, address, DCMI_HOLDER_LIBRARY));
    pair_close(&all);
}

TEST(carry__more_peers_than_are_remembered_are_copied_from_all_the_same)
{
    enum { MANY = DCMI_PEERS + 3 };
    static dcmem_simulated_profile profiles[MANY];
    dcmem_manager *managers[MANY];
    dcmem_buffer *buffers[MANY];
    dcmem_backend *simulated;
    for (int i = 0; i < MANY; i++)
        profiles[i] = profile_of(BARE);
    EXPECT_OK(dcmem_simulated_create(&simulated, profiles, MANY));
    for (uint32_t i = 0; i < MANY; i++) {
        const dcmem_manager_options options = {
            .size = sizeof options, .driver = simulated, .device = i, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
        EXPECT_OK(dcmem_manager_create(&managers[i], &options));
        buffers[i] = buffer_of(managers[i], 4096);
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffers[i]), &(char){(char)i}, 1));
    }
    for (int i = 1; i < MANY; i++) {
        char out[4096];
        EXPECT_OK(dcmem_buffer_copy(dcmem_view_whole(buffers[0]), dcmem_view_whole(buffers[i])));
        EXPECT_OK(dcmem_buffer_copy_out(out, dcmem_view_whole(buffers[0]), 0));
        EXPECT(are_all(out, i, sizeof out));
    }
    for (int i = 0; i < MANY; i++) {
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
        EXPECT_OK(dcmem_manager_destroy(managers[i]));
    }
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}

TEST(ring__a_lane_that_is_in_use_stays_when_others_are_given_back)
{
    pair all;
    uint64_t bytes;
    pair_open(&all, BARE, 2 * MIB);
    take_only(DCMI_ROUTE_staged);
    EXPECT_OK(copy_in(&all, 0));
    dcmi_lane *lane = dcmi_ring_take(&dcmi_pool_traffic(dcmi_pool_resolve(all.managers[0]))->ring);
    EXPECT(lane && lane->pool);
    EXPECT_OK(dcmem_manager_trim(&bytes, all.managers[0], 0));
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, DCMI_RING_BYTES);
    dcmi_ring_give(lane);
    EXPECT_OK(dcmem_manager_trim(&bytes, all.managers[0], 0));
    EXPECT_EQ(stats_of(all.managers[0]).staging_bytes, 0);
    take_only(DCMI_ROUTE_COUNT);
    pair_close(&all);
}

/* Of two devices, between host memories, and a large one among small: each by itself. */
TEST(bundle__pieces_that_have_no_queue_in_common_go_one_by_one)
{
    pair all;
    dcmi_pool *pool;
    uint64_t address;
    dcmi_bundle bundle;
    dcmi_errand errand = {0};
    pair_open(&all, BARE, MIB);
    dcmi_site first = site_of(all.buffers[0]), second = site_of(all.buffers[1]), from = dcmi_site_host(all.in);
    dcmi_site block = block_site(&pool, &address, all.managers[0], 4 * TILE);
    take_only(DCMI_ROUTE_queued);
    dcmi_bundle_begin(&bundle, &errand);
    for (unsigned i = 0; i < DCMI_BUNDLE_LEAST; i++) {
        dcmi_site to = dcmi_site_at(i % 2 ? &first : &second, i * TILE), piece = dcmi_site_at(&from, i * TILE);
        EXPECT_OK(dcmi_bundle_add(&bundle, &to, &piece, TILE));
    }
    EXPECT_OK(dcmi_bundle_end(&bundle));
    for (unsigned i = 0; i < DCMI_BUNDLE_LEAST; i++) {
        dcmi_site to = dcmi_site_at(&block, i * TILE), piece = dcmi_site_at(&from, i * TILE);
        EXPECT_OK(dcmi_bundle_add(&bundle, &to, &piece, TILE));
    }
    EXPECT_OK(dcmi_bundle_end(&bundle));
    EXPECT_EQ(dcmem_fake_count_of(all.fake, DCMEM_FAKE_enqueue_copy).tried, 0);
    EXPECT_EQ(memcmp(block.place.host, all.in, DCMI_BUNDLE_LEAST * TILE), 0);
    take_only(DCMI_ROUTE_COUNT);
    EXPECT_OK(dcmi_bundle_add(&bundle, &first, &from, DCMI_BUNDLE_PIECE));
    EXPECT_EQ(bundle.count, 0);
    EXPECT_OK(dcmi_bundle_end(&bundle));
    EXPECT_OK(dcmi_pool_give(pool, address, DCMI_HOLDER_LIBRARY));
    pair_close(&all);
}
