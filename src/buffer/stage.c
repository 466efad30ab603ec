/* stage.c: the two legs. */
#include "buffer/stage.h"

#include "base/fail.h"
#include "base/size.h"

#include <string.h>

#define LEAST_CHUNK (64ull << 10)

uint64_t
dcmi_stage_chunk(uint64_t lane_bytes, uint64_t bytes)
{
    uint64_t half = dcmi_round_down(lane_bytes / 2, DCMI_PAGE);
    if (half < LEAST_CHUNK || bytes <= LEAST_CHUNK)
        return dcmi_min(lane_bytes, bytes);
    return dcmi_min(dcmi_max(dcmi_round_down(bytes / 4, DCMI_PAGE), LEAST_CHUNK), half);
}

/* From one place to another in chunks; what is on its way in which half of the block. */
typedef struct leg {
    dcmi_device *device; /* NULL: the host moves */
    void *queue;
    bool is_busy[2];
    uint64_t value[2];
} leg;

static leg
leg_of(const dcmi_site *end, void *queue)
{
    return end->place.host ? (leg){0} : (leg){.device = dcmi_site_device(end), .queue = queue};
}

static dcmem_result
start(leg *self, unsigned half, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmem_tag tag)
{
    if (!self->device) {
        memcpy(to->place.host, from->place.host, bytes);
        return DCMEM_OK;
    }
    dcmem_place to_place = dcmi_site_place(to, self->device), from_place = dcmi_site_place(from, self->device);
    if (!self->queue)
        return dcmi_device_copy(self->device, tag, &to_place, &from_place, bytes);
    dcmem_result result =
        dcmi_device_enqueue_copy(&self->value[half], self->device, self->queue, &to_place, &from_place, bytes);
    self->is_busy[half] = !result;
    return result;
}

static dcmem_result
finish(leg *self, unsigned half, bool *out_has_failed)
{
    if (!self->is_busy[half])
        return DCMEM_OK;
    self->is_busy[half] = false;
    dcmem_result result = dcmi_device_queue_wait(self->device, self->queue, self->value[half], UINT64_MAX);
    *out_has_failed |= result != DCMEM_OK;
    return result;
}

typedef struct journey {
    dcmi_stage *stage;
    const dcmi_site *to, *from;
    uint64_t bytes, chunk, count;
    dcmi_errand *errand;
    leg fill, drain;
} journey;

static uint64_t
bytes_of(const journey *self, uint64_t number)
{
    return dcmi_min(self->bytes - number * self->chunk, self->chunk);
}

/* With one chunk there is one half. */
static dcmi_site
half_of(const journey *self, uint64_t number)
{
    return dcmi_site_at(&self->stage->lane->site, number % 2 * self->chunk);
}

static dcmem_result
start_fill(journey *self, uint64_t number)
{
    dcmi_site from = dcmi_site_at(self->from, number * self->chunk), half = half_of(self, number);
    return start(&self->fill, number % 2, &half, &from, bytes_of(self, number), self->errand->tag);
}

static dcmem_result
start_drain(journey *self, uint64_t number)
{
    dcmi_site to = dcmi_site_at(self->to, number * self->chunk), half = half_of(self, number);
    self->errand->has_begun = true;
    return start(&self->drain, number % 2, &to, &half, bytes_of(self, number), self->errand->tag);
}

static dcmem_result
finish_drain(journey *self, uint64_t number)
{
    dcmem_result result = finish(&self->drain, number % 2, &self->stage->has_queue_failed);
    dcmi_watch *watch = self->errand->watch;
    return result || !watch ? result : watch->step(watch, bytes_of(self, number));
}

/* One chunk onto its second leg, and the next one onto its first. */
static dcmem_result
advance(journey *self, uint64_t number)
{
    dcmem_result result = finish(&self->fill, number % 2, &self->stage->has_queue_failed);
    if (!result)
        result = start_drain(self, number);
    if (result || number + 1 == self->count)
        return result;
    if (number > 0)
        result = finish_drain(self, number - 1);
    return result ? result : start_fill(self, number + 1);
}

/* Why it failed counts; what is on its way all the same must be over before the block is anybody else's. */
static dcmem_result
give_up(journey *self, dcmem_result result)
{
    dcmem_detail why = dcmi_detail_save();
    for (unsigned half = 0; half < 2; half++) {
        (void)finish(&self->fill, half, &self->stage->has_queue_failed);
        (void)finish(&self->drain, half, &self->stage->has_queue_failed);
    }
    dcmi_detail_restore(&why);
    return result;
}

dcmem_result
dcmi_stage_copy(dcmi_stage *stage, const dcmi_site *to, const dcmi_site *from, uint64_t bytes, dcmi_errand *errand)
{
    journey self = {.stage = stage, .to = to, .from = from, .bytes = bytes, .errand = errand};
    self.chunk = dcmi_stage_chunk(stage->lane->bytes, bytes);
    self.count = (bytes + self.chunk - 1) / self.chunk;
    self.fill = leg_of(from, stage->fill_queue);
    self.drain = leg_of(to, stage->drain_queue);
    dcmem_result result = start_fill(&self, 0);
    for (uint64_t number = 0; number < self.count && !result; number++)
        result = advance(&self, number);
    if (!result && self.count > 1)
        result = finish_drain(&self, self.count - 2);
    if (!result)
        result = finish_drain(&self, self.count - 1);
    return result ? give_up(&self, result) : DCMEM_OK;
}
