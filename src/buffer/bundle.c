/* bundle.c: keeping pieces, and doing them together or one by one. */
#include "buffer/bundle.h"

#include "base/fail.h"
#include "base/os.h"
#include "buffer/traffic.h"

void
dcmi_bundle_begin(dcmi_bundle *bundle, dcmi_errand *errand)
{
    bundle->errand = errand;
    bundle->count = 0;
}

/* ---- One by one ---- */

static dcmem_result
carry_each(const dcmi_bundle *bundle)
{
    dcmem_result result = DCMEM_OK;
    for (uint32_t i = 0; i < bundle->count && !result; i++) {
        const dcmi_bundle_piece *piece = &bundle->pieces[i];
        result = dcmi_carry(&piece->to, &piece->from, piece->bytes, bundle->errand);
    }
    return result;
}

/* ---- Together ---- */

/* The pool whose driver reaches both ends of a piece and has a queue that could do it; NULL: none. */
static dcmi_pool *
queueing_pool(const dcmi_bundle_piece *piece)
{
    bool to_touch = piece->to.place.host, from_touch = piece->from.place.host;
    dcmi_pool *pool = to_touch ? piece->from.pool : piece->to.pool;
    if (to_touch == from_touch || !pool)
        return NULL;
    const dcmi_device *device = dcmi_pool_device(pool);
    return dcmi_device_has(device, DCMEM_CAP_ASYNC) && !device->is_lent ? pool : NULL;
}

/* That of all pieces, or NULL. */
static dcmi_pool *
common_pool(const dcmi_bundle *bundle)
{
    dcmi_pool *pool = queueing_pool(&bundle->pieces[0]);
    for (uint32_t i = 1; i < bundle->count; i++)
        if (queueing_pool(&bundle->pieces[i]) != pool)
            return NULL;
    return pool;
}

static dcmem_result
enqueue_all(uint64_t *out_last, uint32_t *out_count, const dcmi_bundle *bundle, dcmi_device *device, void *queue)
{
    dcmem_result result = DCMEM_OK;
    *out_count = 0;
    for (uint32_t i = 0; i < bundle->count && !result; i++) {
        const dcmi_bundle_piece *piece = &bundle->pieces[i];
        dcmem_place to = dcmi_site_place(&piece->to, device), from = dcmi_site_place(&piece->from, device);
        result = dcmi_device_enqueue_copy(out_last, device, queue, &to, &from, piece->bytes);
        *out_count += !result;
    }
    return result;
}

/* Why it failed counts; what is under way ends all the same before anybody touches its memory. */
static dcmem_result
give_up(dcmi_device *device, void *queue, uint64_t last, dcmem_result result)
{
    dcmem_detail why = dcmi_detail_save();
    (void)dcmi_device_queue_wait(device, queue, last, UINT64_MAX);
    dcmi_detail_restore(&why);
    return result;
}

/* *out_is_refused: none of it was begun. */
static dcmem_result
carry_on_queue(bool *out_is_refused, const dcmi_bundle *bundle, dcmi_pool *pool, dcmi_lane *lane, dcmi_ring *ring)
{
    uint64_t last = 0;
    uint32_t count = 0;
    dcmi_device *device = dcmi_pool_device(pool);
    void *queue = dcmi_lane_queue(lane, ring);
    dcmem_result result = queue ? enqueue_all(&last, &count, bundle, device, queue) : DCMEM_E_UNSUPPORTED;
    *out_is_refused = result && count == 0;
    if (*out_is_refused)
        return result;
    bundle->errand->has_begun = true;
    if (result)
        return give_up(device, queue, last, result);
    result = dcmi_device_queue_wait(device, queue, last, UINT64_MAX);
    if (result)
        dcmi_lane_drop_queue(lane, ring);
    return result;
}

static dcmem_result
count_all(const dcmi_bundle *bundle, dcmi_pool *pool)
{
    uint64_t bytes = 0;
    dcmi_watch *watch = bundle->errand->watch;
    for (uint32_t i = 0; i < bundle->count; i++)
        bytes += bundle->pieces[i].bytes;
    dcmi_carry_count(pool, &bundle->pieces[0].to, &bundle->pieces[0].from, bundle->count, bytes);
    dcmi_pool_add(pool, DCMI_COUNTER_copies_queued, bundle->count);
    return watch ? watch->step(watch, bytes) : DCMEM_OK;
}

static dcmem_result
carry_together(bool *out_is_refused, const dcmi_bundle *bundle, dcmi_pool *pool, dcmi_ring *ring)
{
    dcmi_lane *lane = dcmi_ring_take(ring);
    if (!lane) {
        *out_is_refused = true;
        return DCMEM_E_BUSY;
    }
    dcmem_detail before = dcmi_detail_save();
    dcmem_result result = carry_on_queue(out_is_refused, bundle, pool, lane, ring);
    dcmi_ring_give(lane);
    if (!result)
        return count_all(bundle, pool);
    if (*out_is_refused)
        dcmi_detail_restore(&before);
    else
        dcmi_pool_add(pool, DCMI_COUNTER_copy_errors, 1);
    return result;
}

/* ---- Choosing ---- */

static dcmem_result
carry_chosen(const dcmi_bundle *bundle, dcmi_pool *pool, dcmi_traffic *traffic)
{
    /* Costs of bundles are by how many pieces they have; of a piece as if it were a MiB. */
    uint64_t size = bundle->count * DCMI_ROUTE_LEAST;
    dcmi_costs *costs = &traffic->bundles[!bundle->pieces[0].to.place.host];
    const unsigned both = DCMI_ROUTE_BIT(DCMI_ROUTE_driver) | DCMI_ROUTE_BIT(DCMI_ROUTE_queued);
    dcmi_route only = atomic_load_explicit(&dcmi_route_only, memory_order_relaxed);
    dcmi_choice choice = only == DCMI_ROUTE_COUNT ? dcmi_cost_choose(costs, size, both) : (dcmi_choice){only, false};

    bool is_refused = choice.route != DCMI_ROUTE_queued;
    uint64_t begun = dcmi_os_now_ns();
    dcmem_result result = DCMEM_OK;
    if (!is_refused)
        result = carry_together(&is_refused, bundle, pool, &traffic->ring);
    if (is_refused)
        result = carry_each(bundle);
    if (!result && choice.is_trial)
        dcmi_cost_learn(costs, size, choice.route, (uint64_t)bundle->count << 20, dcmi_os_now_ns() - begun);
    return result;
}

static dcmem_result
flush(dcmi_bundle *bundle)
{
    dcmi_pool *pool = bundle->count >= DCMI_BUNDLE_LEAST ? common_pool(bundle) : NULL;
    dcmi_traffic *traffic = pool ? dcmi_traffic_of(pool) : NULL;
    dcmem_result result = traffic ? carry_chosen(bundle, pool, traffic) : carry_each(bundle);
    bundle->count = 0;
    return result;
}

dcmem_result
dcmi_bundle_add(dcmi_bundle *bundle, const dcmi_site *to, const dcmi_site *from, uint64_t bytes)
{
    if (bytes >= DCMI_BUNDLE_PIECE)
        return dcmi_carry(to, from, bytes, bundle->errand);
    bundle->pieces[bundle->count++] = (dcmi_bundle_piece){*to, *from, bytes};
    return bundle->count == DCMI_BUNDLE_MOST ? flush(bundle) : DCMEM_OK;
}

dcmem_result
dcmi_bundle_end(dcmi_bundle *bundle)
{
    return bundle->count ? flush(bundle) : DCMEM_OK;
}
