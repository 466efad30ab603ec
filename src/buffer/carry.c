/* carry.c: choosing the route of a copy, going it, and making patterns that drivers do not know. See carry.h.
 *
 * A route that turns out not to be there (no map, no lane, no queue) before anything has moved is left out, and another
 * one taken: the driver's blocking copy and the way through host memory are always there. What fails once bytes may
 * have moved fails the copy. */
#include "buffer/carry.h"

#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"
#include "base/stream.h"
#include "base/team.h"
#include "buffer/sight.h"
#include "buffer/stage.h"
#include "buffer/traffic.h"

#include <string.h>

#define WATCHED_BYTES      (8ull << 20)  /* pieces of a copy that somebody looks on at */
#define PIECE_BYTES        (32ull << 20) /* of others; of several threads', where somebody looks on */
#define LEAST_TRIAL        (8ull << 20)  /* a large copy tries several routes, each with a quarter of it */
#define TILE_BYTES         1024u
#define MOST_PATTERN_BYTES 16u

static dcmem_result
copy_by(dcmi_device *device, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmem_tag tag)
{
    dcmem_place to_place = dcmi_site_place(to, device);
    dcmem_place from_place = dcmi_site_place(from, device);
    return dcmi_device_copy(device, tag, &to_place, &from_place, bytes);
}

/* ---- Figures ---- */

typedef struct direction {
    enum dcmi_counter copies;
    enum dcmi_counter bytes;
} direction;

static direction
direction_of(const dcmi_site *to, const dcmi_site *from)
{
    static const direction directions[2][2] = {
        /* [to is host][from is host] */
        {{DCMI_COUNTER_copies_device_to_device, DCMI_COUNTER_copied_device_to_device_bytes},
         {DCMI_COUNTER_copies_host_to_device, DCMI_COUNTER_copied_host_to_device_bytes}},
        {{DCMI_COUNTER_copies_device_to_host, DCMI_COUNTER_copied_device_to_host_bytes},
         {DCMI_COUNTER_copies_host_to_host, DCMI_COUNTER_copied_host_to_host_bytes}},
    };
    return directions[to->is_host][from->is_host];
}

void
dcmi_carry_count(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t copies, uint64_t bytes)
{
    direction way = direction_of(to, from);
    dcmi_pool_add(pool, way.copies, copies);
    dcmi_pool_add(pool, way.bytes, bytes);
}

/* One driver call, which the pool whose driver it is counts. */
static dcmem_result
copy_counted(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmem_tag tag)
{
    uint32_t weight = dcmi_pool_copy_weight(pool, bytes);
    uint64_t begun = weight ? dcmi_os_now_ns() : 0;
    dcmem_result result = copy_by(dcmi_pool_device(pool), to, from, bytes, tag);
    if (result) {
        dcmi_pool_add(pool, DCMI_COUNTER_copy_errors, 1);
        return result;
    }
    if (weight)
        dcmi_pool_record_copy(pool, begun, weight);
    dcmi_carry_count(pool, to, from, 1, bytes);
    return DCMEM_OK;
}

/* ---- One driver, and nothing to choose ---- */

static dcmem_result
arrived(const dcmi_errand *errand, uint64_t bytes)
{
    return errand->watch ? errand->watch->step(errand->watch, bytes) : DCMEM_OK;
}

/* How far to go at once: somebody who looks on must be told; and what copies hundreds of MiB at once, a driver or
 * memcpy(), does it in another way than that which was tried with a part, and not always a better one. */
static uint64_t
stride(const dcmi_errand *errand, uint64_t bytes)
{
    return dcmi_min(bytes, errand->watch ? WATCHED_BYTES : PIECE_BYTES);
}

/* One call of the driver, or, for somebody who looks on, several. */
static dcmem_result
copy_plainly(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    errand->has_begun = true;
    if (DCMI_LIKELY(!errand->watch))
        return copy_counted(pool, to, from, bytes, errand->tag);
    dcmem_result result = DCMEM_OK;
    for (uint64_t done = 0, piece; done < bytes && !result; done += piece) {
        dcmi_site piece_to = dcmi_site_at(to, done), piece_from = dcmi_site_at(from, done);
        piece = dcmi_min(bytes - done, WATCHED_BYTES);
        result = copy_counted(pool, &piece_to, &piece_from, piece, errand->tag);
        if (!result)
            result = arrived(errand, piece);
    }
    return result;
}

/* ---- Routes ---- */

/* A copy that may go several routes, or a part of it. */
typedef struct passage {
    dcmi_site to, from;
    uint64_t bytes;
    dcmi_errand *errand;
    dcmi_pool *pool;       /* whose driver reaches both ends; NULL: none does */
    dcmi_traffic *traffic; /* that pool's, else the target's; NULL: there is no memory for it */
    dcmi_costs *costs;
    dcmi_peer *peer;   /* where no driver reaches both ends */
    unsigned possible; /* DCMI_ROUTE_BIT of each route that is left */
    bool is_refused;   /* out: the route is not there, and nothing has moved */
} passage;

static dcmem_result
refuse(passage *self, dcmem_result result)
{
    self->is_refused = true;
    return result;
}

static dcmem_result
go_driver(passage *self)
{
    const dcmi_errand *errand = self->errand;
    dcmem_result result = DCMEM_OK;
    self->errand->has_begun = true;
    for (uint64_t done = 0, piece; done < self->bytes && !result; done += piece) {
        dcmi_site to = dcmi_site_at(&self->to, done), from = dcmi_site_at(&self->from, done);
        piece = stride(errand, self->bytes - done);
        result = copy_by(dcmi_pool_device(self->pool), &to, &from, piece, errand->tag);
        if (!result)
            result = arrived(errand, piece);
    }
    return result;
}

static dcmem_result
go_lane_s_queue(passage *self, dcmi_lane *lane, void *queue)
{
    dcmi_device *device = dcmi_pool_device(self->pool);
    dcmem_result result = DCMEM_OK;
    for (uint64_t done = 0, piece; done < self->bytes && !result; done += piece) {
        uint64_t value;
        dcmi_site to = dcmi_site_at(&self->to, done), from = dcmi_site_at(&self->from, done);
        dcmem_place to_place = dcmi_site_place(&to, device), from_place = dcmi_site_place(&from, device);
        piece = stride(self->errand, self->bytes - done);
        result = dcmi_device_enqueue_copy(&value, device, queue, &to_place, &from_place, piece);
        if (result)
            return done ? result : refuse(self, result);
        self->errand->has_begun = true;
        result = dcmi_device_queue_wait(device, queue, value, UINT64_MAX);
        if (result)
            dcmi_lane_drop_queue(lane, &self->traffic->ring);
        else
            result = arrived(self->errand, piece);
    }
    return result;
}

static dcmem_result
go_queued(passage *self)
{
    dcmi_lane *lane = dcmi_ring_take(&self->traffic->ring);
    if (!lane)
        return refuse(self, DCMEM_E_BUSY);
    void *queue = dcmi_lane_queue(lane, &self->traffic->ring);
    dcmem_result result = queue ? go_lane_s_queue(self, lane, queue) : refuse(self, DCMEM_E_UNSUPPORTED);
    dcmi_ring_give(lane);
    return result;
}

static dcmem_result
go_peer(passage *self)
{
    dcmi_device *to_device = dcmi_site_device(&self->to), *from_device = dcmi_site_device(&self->from);
    dcmem_result result = DCMEM_OK;
    self->errand->has_begun = true;
    for (uint64_t done = 0, piece; done < self->bytes && !result; done += piece) {
        dcmi_site to = dcmi_site_at(&self->to, done), from = dcmi_site_at(&self->from, done);
        dcmem_place to_place = dcmi_site_place(&to, to_device), from_place = dcmi_site_place(&from, from_device);
        piece = stride(self->errand, self->bytes - done);
        result = dcmi_device_peer_copy(to_device, self->errand->tag, &to_place, from_device, &from_place, piece);
        if (!result)
            result = arrived(self->errand, piece);
    }
    return result;
}

/* ---- By the host ---- */

typedef struct host_move {
    char *to;
    const char *from;
    uint64_t bytes;
} host_move;

static void
move_share(void *user, unsigned part, unsigned parts)
{
    const host_move *all = user;
    uint64_t share = dcmi_round_down(all->bytes / parts, DCMI_PAGE);
    uint64_t begin = share * part, end = part + 1 == parts ? all->bytes : begin + share;
    dcmi_stream_move(all->to + begin, all->from + begin, end - begin);
}

static void
move_by(dcmi_route route, host_move move)
{
    if (route == DCMI_ROUTE_mapped)
        memcpy(move.to, move.from, move.bytes);
    else if (route == DCMI_ROUTE_streamed)
        dcmi_stream_move(move.to, move.from, move.bytes);
    else
        dcmi_team_run(move_share, &move, dcmi_team_size(), -1);
}

static dcmem_result
move_seen(const passage *self, dcmi_route route, char *to, const char *from)
{
    dcmem_result result = DCMEM_OK;
    self->errand->has_begun = true;
    for (uint64_t done = 0, piece; done < self->bytes && !result; done += piece) {
        piece = self->bytes - done;
        if (route != DCMI_ROUTE_wide)
            piece = stride(self->errand, piece);
        else if (self->errand->watch)
            piece = dcmi_min(piece, PIECE_BYTES);
        move_by(route, (host_move){to + done, from + done, piece});
        result = arrived(self->errand, piece);
    }
    return result;
}

/* What was not moved may be gone once it was mapped to be overwritten: both ends are seen before anything is. */
static dcmem_result
see(dcmi_sight *out, passage *self, const dcmi_site *site, bool is_written)
{
    dcmem_result result = dcmi_sight_begin(out, site, self->bytes, is_written, self->errand->tag);
    if (result == DCMEM_E_UNSUPPORTED)
        atomic_fetch_or(&self->traffic->unseen, DCMEM_KIND_BIT(site->place.extent.kind));
    return result ? refuse(self, result) : DCMEM_OK;
}

static dcmem_result
end_sight(dcmi_sight *sight, dcmem_result result)
{
    if (!result)
        return dcmi_sight_end(sight);
    dcmem_detail why = dcmi_detail_save();
    (void)dcmi_sight_end(sight);
    dcmi_detail_restore(&why);
    return result;
}

static dcmem_result
go_by_host(passage *self, dcmi_route route)
{
    dcmi_sight to, from;
    dcmem_result result = see(&from, self, &self->from, false);
    if (result)
        return result;
    result = see(&to, self, &self->to, true);
    if (!result) {
        result = move_seen(self, route, to.host, from.host);
        result = end_sight(&to, result);
    }
    return end_sight(&from, result);
}

/* ---- Staged ---- */

/* The queue for a leg on the traffic's own device, if there may be one. */
static void *
queue_for(dcmi_lane *lane, dcmi_traffic *traffic)
{
    bool has_any = traffic && lane && !dcmi_pool_device(traffic->ring.root)->is_lent;
    return has_any ? dcmi_lane_queue(lane, &traffic->ring) : NULL;
}

static void
give_lane(dcmi_lane *lane, dcmi_traffic *traffic, bool has_queue_failed)
{
    if (!lane)
        return;
    if (has_queue_failed)
        dcmi_lane_drop_queue(lane, &traffic->ring);
    dcmi_ring_give(lane);
}

/* Between host and device: a detour, not worth a lane of its own. */
static dcmem_result
go_staged_at_home(passage *self)
{
    dcmi_lane *lane = dcmi_ring_take(&self->traffic->ring);
    if (!lane)
        return refuse(self, DCMEM_E_BUSY);
    void *queue = queue_for(lane, self->traffic);
    dcmem_result result = queue ? dcmi_lane_equip(lane, self->traffic->ring.root) : DCMEM_E_UNSUPPORTED;
    dcmi_stage stage = {.lane = lane, .fill_queue = queue, .drain_queue = queue};
    if (result)
        result = refuse(self, result);
    else
        result = dcmi_stage_copy(&stage, &self->to, &self->from, self->bytes, self->errand);
    give_lane(lane, self->traffic, stage.has_queue_failed);
    return result;
}

/* Through a lane of the target's manager; for what is small, or where no lane is to be had, through a block of it. */
static dcmem_result
go_staged_across(passage *self)
{
    dcmi_lane own = {0}, *to_lane = NULL, *from_lane = NULL;
    dcmi_pool *root = dcmi_pool_root(self->to.pool);
    bool is_large = self->bytes >= DCMI_ROUTE_LEAST_MAP;
    dcmi_traffic *to_traffic = is_large ? self->traffic : NULL;
    dcmi_traffic *from_traffic = is_large ? dcmi_traffic_of(self->from.pool) : NULL;
    if (to_traffic)
        to_lane = dcmi_ring_take(&to_traffic->ring);
    if (from_traffic)
        from_lane = dcmi_ring_take(&from_traffic->ring);

    dcmem_result result = DCMEM_OK;
    dcmi_stage stage = {.lane = to_lane};
    if (!to_lane || dcmi_lane_equip(to_lane, root)) {
        stage.lane = &own;
        result = dcmi_lane_make(&own, root, self->bytes);
    }
    if (!result) {
        stage.fill_queue = queue_for(from_lane, from_traffic);
        stage.drain_queue = queue_for(to_lane, to_traffic);
        result = dcmi_stage_copy(&stage, &self->to, &self->from, self->bytes, self->errand);
    }
    (void)dcmi_lane_strip(&own);
    give_lane(from_lane, from_traffic, stage.has_queue_failed);
    give_lane(to_lane, to_traffic, stage.has_queue_failed);
    return result;
}

/* ---- Choosing ---- */

static dcmem_result
go(passage *self, dcmi_route route)
{
    switch (route) {
    case DCMI_ROUTE_queued:
        return go_queued(self);
    case DCMI_ROUTE_peer:
        return go_peer(self);
    case DCMI_ROUTE_staged:
        return self->pool ? go_staged_at_home(self) : go_staged_across(self);
    default:
        return go_by_host(self, route);
    }
}

static void
count_route(const passage *self, dcmi_route route)
{
    static const enum dcmi_counter counters[DCMI_ROUTE_COUNT] = {
        [DCMI_ROUTE_queued] = DCMI_COUNTER_copies_queued, [DCMI_ROUTE_peer] = DCMI_COUNTER_copies_by_peer,
        [DCMI_ROUTE_mapped] = DCMI_COUNTER_copies_mapped, [DCMI_ROUTE_streamed] = DCMI_COUNTER_copies_mapped,
        [DCMI_ROUTE_wide] = DCMI_COUNTER_copies_wide,     [DCMI_ROUTE_staged] = DCMI_COUNTER_copies_staged,
    };
    if (route != DCMI_ROUTE_driver)
        dcmi_pool_add(self->pool ? self->pool : self->to.pool, counters[route], 1);
}

static bool
may_see(const dcmi_site *site, uint64_t bytes, const dcmi_traffic *traffic)
{
    return !(atomic_load_explicit(&traffic->unseen, memory_order_relaxed) & DCMEM_KIND_BIT(site->place.extent.kind)) &&
           dcmi_sight_can(site, bytes);
}

/* Whether an end is memory that the device's own engines reach at their full speed. */
static bool
is_page_locked(const dcmi_site *site, const dcmi_device *device)
{
    return dcmi_site_device(site) == device && dcmi_pool_kind(site->pool) == DCMEM_KIND_PINNED;
}

static dcmi_route_facts
facts_of(const passage *self)
{
    const dcmi_site *to = &self->to, *from = &self->from;
    const dcmi_device *to_device = dcmi_site_device(to), *from_device = dcmi_site_device(from);
    const dcmi_device *driver = self->pool ? dcmi_pool_device(self->pool) : to_device;
    dcmi_route_facts facts = {
        .bytes = self->bytes,
        .is_one_device = to_device == from_device,
        .to_touch = to->place.host,
        .from_touch = from->place.host,
        .is_host_s = dcmi_device_has(driver, DCMEM_CAP_UNIFIED),
        .is_lent = (to_device && to_device->is_lent) || (from_device && from_device->is_lent),
        .is_peer = self->peer && atomic_load(&self->peer->state) == DCMI_PEER_CAN,
    };
    if (!self->traffic)
        return facts;
    facts.to_map = !facts.to_touch && may_see(to, self->bytes, self->traffic);
    facts.from_map = !facts.from_touch && may_see(from, self->bytes, self->traffic);
    facts.has_queues = dcmi_device_has(driver, DCMEM_CAP_ASYNC) && !atomic_load(&self->traffic->ring.has_no_queues);
    facts.is_far = !driver->info.is_unified && !is_page_locked(to, driver) && !is_page_locked(from, driver);
    facts.has_threads = dcmi_team_size() > 1;
    return facts;
}

/* Those of copies by a driver that reaches both ends. */
static dcmi_costs *
costs_at_home(dcmi_traffic *traffic, const dcmi_site *to, const dcmi_site *from, const dcmi_pool *pool)
{
    bool is_in = !to->place.host;
    if (to->place.host && from->place.host)
        return &traffic->within;
    return &traffic->ends[is_in][is_page_locked(is_in ? from : to, dcmi_pool_device(pool))];
}

static void
find_costs(passage *self)
{
    if (!self->traffic)
        return;
    if (self->pool) {
        self->costs = costs_at_home(self->traffic, &self->to, &self->from, self->pool);
        return;
    }
    self->peer = dcmi_traffic_peer(self->traffic, self->from.pool);
    self->costs = &self->peer->costs;
}

static dcmi_choice
choose(const passage *self, uint64_t whole)
{
    dcmi_route only = atomic_load_explicit(&dcmi_route_only, memory_order_relaxed);
    dcmi_route plainest = (dcmi_route)__builtin_ctz(self->possible);
    if (only != DCMI_ROUTE_COUNT)
        return (dcmi_choice){self->possible & DCMI_ROUTE_BIT(only) ? only : plainest, false};
    if (!self->costs || self->bytes < DCMI_ROUTE_LEAST)
        return (dcmi_choice){plainest, false};
    return dcmi_cost_choose(self->costs, whole, self->possible);
}

/* How much of what is left a trial should move: all of it, where parts would lie in caches that the whole does not. */
static uint64_t
trial_bytes(uint64_t whole, uint64_t left)
{
    if (whole < DCMI_COST_LARGE_BYTES)
        return left;
    return dcmi_min(left, dcmi_min(dcmi_max(dcmi_round_down(whole / 4, DCMI_PAGE), LEAST_TRIAL), PIECE_BYTES));
}

/* A part of a copy by a route; is_refused: the route is not there, and nothing is known of it afterwards. */
static dcmem_result
try_route(passage *part, dcmi_route route)
{
    if (route == DCMI_ROUTE_driver)
        return go_driver(part);
    dcmem_detail before = dcmi_detail_save();
    dcmem_result result = go(part, route);
    part->is_refused = part->is_refused && (part->possible & (part->possible - 1));
    if (!part->is_refused)
        return result;
    dcmi_detail_restore(&before);
    return DCMEM_OK;
}

/* The next part of a copy by the route that seems best for it; how many bytes it was, 0: the route is not there. */
static dcmem_result
go_on(uint64_t *out, passage *all, uint64_t done)
{
    passage part = *all;
    part.to = dcmi_site_at(&all->to, done);
    part.from = dcmi_site_at(&all->from, done);
    part.bytes = all->bytes - done;
    dcmi_choice choice = choose(&part, all->bytes);
    if (choice.is_trial)
        part.bytes = trial_bytes(all->bytes, part.bytes);

    uint64_t begun = choice.is_trial ? dcmi_os_now_ns() : 0;
    dcmem_result result = try_route(&part, choice.route);
    if (result)
        return result;
    if (part.is_refused) {
        all->possible &= ~DCMI_ROUTE_BIT(choice.route);
        *out = 0;
        return DCMEM_OK;
    }
    if (choice.is_trial)
        dcmi_cost_learn(all->costs, all->bytes, choice.route, part.bytes, dcmi_os_now_ns() - begun);
    count_route(all, choice.route);
    *out = part.bytes;
    return DCMEM_OK;
}

/* Each device that takes part counts a copy of its own. */
static void
count_copy(const passage *self, uint64_t ns)
{
    const dcmi_site between = {.is_host = true};
    dcmi_pool *pool = self->pool ? self->pool : self->to.pool;
    dcmi_pool_record(pool, DCMI_HISTOGRAM_copy_latency, ns);
    dcmi_carry_count(pool, &self->to, self->pool ? &self->from : &between, 1, self->bytes);
    if (self->pool)
        return;
    dcmi_pool_record(self->from.pool, DCMI_HISTOGRAM_copy_latency, ns);
    dcmi_carry_count(self->from.pool, &between, &self->from, 1, self->bytes);
}

/* Out of line: most copies have no choice, and should not make room for one. */
static __attribute__((noinline)) dcmem_result
copy_chosen(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    passage copy = {.to = *to, .from = *from, .bytes = bytes, .errand = errand, .pool = pool}, *self = &copy;
    self->traffic = dcmi_traffic_of(self->pool ? self->pool : self->to.pool);
    find_costs(self);
    dcmi_route_facts facts = facts_of(self);
    self->possible = dcmi_route_possible(&facts);

    uint64_t begun = dcmi_os_now_ns();
    for (uint64_t done = 0, part; done < self->bytes; done += part) {
        dcmem_result result = go_on(&part, self, done);
        if (result) {
            dcmi_pool_add(self->pool ? self->pool : self->to.pool, DCMI_COUNTER_copy_errors, 1);
            return result;
        }
    }
    count_copy(self, dcmi_os_now_ns() - begun);
    return DCMEM_OK;
}

/* Both ends are one memory, which two managers know. */
static dcmem_result
copy_nothing(const dcmi_site *to, uint64_t bytes, const dcmi_errand *errand)
{
    dcmi_pool_add(to->pool, DCMI_COUNTER_copies_avoided, 1);
    dcmi_pool_add(to->pool, DCMI_COUNTER_copies_avoided_bytes, bytes);
    return arrived(errand, bytes);
}

/* Whether there is more to ask than what the driver does by itself, and the answer is not known from just before. */
static bool
has_choice(dcmi_pool *pool, const dcmi_site *to, const dcmi_site *from, uint64_t bytes)
{
    if (bytes < DCMI_ROUTE_LEAST || (!to->place.host && !from->place.host) ||
        dcmi_device_has(dcmi_pool_device(pool), DCMEM_CAP_UNIFIED))
        return false;
    dcmi_traffic *traffic = dcmi_pool_traffic(pool);
    if (!traffic || atomic_load_explicit(&dcmi_route_only, memory_order_relaxed) != DCMI_ROUTE_COUNT)
        return true;
    return !dcmi_cost_skip(costs_at_home(traffic, to, from, pool), bytes);
}

dcmem_result
dcmi_carry(const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    const void *to_host = to->place.host, *from_host = from->place.host;
    dcmi_driver driver = dcmi_route_driver(dcmi_site_device(to), to_host, dcmi_site_device(from), from_host);
    dcmi_pool *pool = driver == DCMI_DRIVER_OF_TO ? to->pool : driver == DCMI_DRIVER_OF_FROM ? from->pool : NULL;
    if (to_host && to_host == from_host && to->pool)
        return copy_nothing(to, bytes, errand);
    if (pool && !has_choice(pool, to, from, bytes))
        return copy_plainly(pool, to, from, bytes, errand);
    return copy_chosen(pool, to, from, bytes, errand);
}

/* ---- Fills ---- */

/* Repeats the pattern, beginning with its byte `phase`. */
static void
pattern_repeat(uint8_t *out, uint32_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, uint32_t phase)
{
    for (uint32_t i = 0; i < bytes; i++)
        out[i] = pattern[(phase + i) % pattern_bytes];
}

/* What repeats after fewer bytes is a shorter pattern: drivers know more of those, and need less alignment. */
static uint32_t
pattern_shortest(const uint8_t *pattern, uint32_t pattern_bytes)
{
    for (uint32_t period = 1; period <= pattern_bytes / 2; period++)
        if (pattern_bytes % period == 0 && memcmp(pattern, pattern + period, pattern_bytes - period) == 0)
            return period;
    return pattern_bytes;
}

/* A pattern that the driver knows, from an offset that it may not like: ends by copies, the middle turned to fit. */
static dcmem_result
fill_by_driver(const dcmi_site *to, uint64_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint8_t turned[MOST_PATTERN_BYTES];
    dcmi_device *device = dcmi_pool_device(to->pool);
    uint32_t head = (uint32_t)(-to->place.offset & (pattern_bytes - 1));
    uint64_t middle = dcmi_round_down(bytes - head, pattern_bytes);
    uint32_t tail = (uint32_t)(bytes - head - middle);
    pattern_repeat(turned, pattern_bytes, pattern, pattern_bytes, head);

    dcmem_result result = DCMEM_OK;
    dcmi_site pattern_site = dcmi_site_host(pattern), turned_site = dcmi_site_host(turned);
    if (head)
        result = copy_by(device, to, &pattern_site, head, tag);
    if (!result && middle) {
        dcmem_place place = {.extent = &to->place.extent, .offset = to->place.offset + head};
        result = dcmi_device_fill(device, tag, &place, middle, turned, pattern_bytes);
    }
    if (!result && tail) {
        dcmi_site end = dcmi_site_at(to, head + middle);
        result = copy_by(device, &end, &turned_site, tail, tag);
    }
    return result;
}

/* A pattern that no driver knows: a tile of it from the host, then what is filled already is copied behind itself. */
static dcmem_result
fill_by_doubling(const dcmi_site *to, uint64_t bytes, const uint8_t *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint8_t tile[TILE_BYTES];
    dcmi_device *device = dcmi_pool_device(to->pool);
    uint32_t tile_bytes = TILE_BYTES / pattern_bytes * pattern_bytes;
    pattern_repeat(tile, tile_bytes, pattern, pattern_bytes, 0);

    dcmi_site tile_site = dcmi_site_host(tile);
    uint64_t done = dcmi_min(tile_bytes, bytes);
    dcmem_result result = copy_by(device, to, &tile_site, done, tag);
    while (!result && done < bytes) {
        uint64_t more = dcmi_min(done, bytes - done);
        dcmi_site behind = dcmi_site_at(to, done);
        result = copy_by(device, &behind, to, more, tag);
        done += more;
    }
    return result;
}

dcmem_result
dcmi_carry_fill(const dcmi_site *to, uint64_t bytes, const void *pattern, uint32_t pattern_bytes, dcmem_tag tag)
{
    uint32_t shortest = pattern_shortest(pattern, pattern_bytes);
    dcmem_result result = dcmi_is_power_of_two(shortest) ? fill_by_driver(to, bytes, pattern, shortest, tag)
                                                         : fill_by_doubling(to, bytes, pattern, shortest, tag);
    if (result)
        return result;
    dcmi_pool_add(to->pool, DCMI_COUNTER_fills, 1);
    dcmi_pool_add(to->pool, DCMI_COUNTER_filled_bytes, bytes);
    return DCMEM_OK;
}

dcmem_result
dcmi_carry_scrub(const dcmi_site *to, uint64_t bytes, dcmem_tag tag)
{
    uint8_t zero = 0;
    dcmem_result result = fill_by_driver(to, bytes, &zero, 1, tag);
    return result ? fill_by_doubling(to, bytes, &zero, 1, tag) : DCMEM_OK;
}
