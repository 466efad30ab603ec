/* pending.c: blocks that queues use: those that were freed on one and whose work may not be done, and the records of
 * the others.
 *
 * For the pool they are live blocks of the library's: nobody else can free them. A queue's are in two lists, by age and
 * by size, both guarded by its lock; the records are the process's.
 *
 *   record_lock guards: spare, record_high, and the making of the table. */
#include "base/fail.h"
#include "base/os.h"
#include "queue/queue.h"

#include <string.h>

#define MOST_RECORDS   (1u << 20)
#define FEWEST_RECORDS (1u << 10)
#define MARK_EVERY     64u /* so many frees share a marker: the oldest are then known to be done in time */
#define SWEEP_STEP     4u  /* what one call gives back in passing */

static dcmi_lock record_lock;
static dcmi_pending *records; /* reserved with the first, never given back; index 0 is none */
static uint32_t record_capacity, record_high, spare;

static bool
records_reserve(void) DCMI_REQUIRES(record_lock)
{
    for (uint32_t capacity = MOST_RECORDS; !records && capacity >= FEWEST_RECORDS; capacity /= 4) {
        records = dcmi_os_reserve((uint64_t)capacity * sizeof *records);
        record_capacity = capacity;
        record_high = 1;
    }
    return records != NULL;
}

void
dcmi_pendings_hold(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&record_lock);
}

void
dcmi_pendings_drop(void) DCMI_UNCHECKED
{
    dcmi_lock_drop(&record_lock);
}

uint32_t
dcmi_pending_new(dcmi_pool *pool, uint64_t address, uint64_t capacity)
{
    dcmi_lock_take(&record_lock);
    uint32_t index = spare;
    if (index)
        spare = records[index].older;
    else if (records_reserve() && record_high < record_capacity)
        index = record_high++;
    dcmi_lock_drop(&record_lock);
    if (index)
        records[index] = (dcmi_pending){.address = address, .capacity = capacity, .pool = pool};
    return index;
}

void
dcmi_pending_drop(uint32_t index)
{
    dcmi_lock_take(&record_lock);
    records[index].older = spare;
    spare = index;
    dcmi_lock_drop(&record_lock);
}

dcmi_pending *
dcmi_pending_at(uint32_t index)
{
    return &records[index];
}

bool
dcmi_pending_note(dcmi_pending *pending, dcmi_use use)
{
    uint32_t i = 0;
    while (i < pending->use_count && pending->uses[i].queue != use.queue)
        i++;
    if (i == DCMI_PENDING_USES)
        return false;
    pending->use_count += i == pending->use_count;
    pending->uses[i] = use;
    return true;
}

dcmem_result
dcmi_pending_wait(const dcmi_pending *pending, dcmem_result *out_failed)
{
    dcmem_result failed = DCMEM_OK;
    for (uint32_t i = 0; i < pending->use_count; i++) {
        dcmem_result of_work = DCMEM_OK;
        dcmem_result result = dcmi_use_wait(pending->uses[i], UINT64_MAX, &of_work);
        failed = failed ? failed : result;
        if (of_work && out_failed && !*out_failed)
            *out_failed = of_work;
    }
    return failed;
}

/* ---- Lists ---- */

static uint32_t *
bucket_of(dcmi_queue *queue, uint64_t capacity)
{
    return &queue->pending.buckets[(capacity * 0x9e3779b97f4a7c15u) >> 58];
}

_Static_assert(DCMI_QUEUE_BUCKETS == 1u << (64 - 58), "a bucket for each hash");

static void
link_size(dcmi_queue *queue, uint32_t index) DCMI_REQUIRES(queue->lock)
{
    dcmi_pending *record = &records[index];
    uint32_t *bucket = bucket_of(queue, record->capacity);
    record->before = 0;
    record->behind = *bucket;
    if (*bucket)
        records[*bucket].before = index;
    *bucket = index;
}

static void
link_record(dcmi_queue *queue, uint32_t index) DCMI_REQUIRES(queue->lock)
{
    dcmi_pendings *list = &queue->pending;
    dcmi_pending *record = &records[index];
    record->older = list->newest;
    record->newer = 0;
    if (list->newest)
        records[list->newest].newer = index;
    else
        list->oldest = index;
    list->newest = index;
    link_size(queue, index);
}

static void
unlink_record(dcmi_queue *queue, uint32_t index) DCMI_REQUIRES(queue->lock)
{
    dcmi_pendings *list = &queue->pending;
    dcmi_pending *record = &records[index];
    *(record->older ? &records[record->older].newer : &list->oldest) = record->newer;
    *(record->newer ? &records[record->newer].older : &list->newest) = record->older;
    *(record->before ? &records[record->before].behind : bucket_of(queue, record->capacity)) = record->behind;
    if (record->behind)
        records[record->behind].before = record->before;
}

/* As the oldest again, where it was taken from. */
static void
link_oldest(dcmi_queue *queue, uint32_t index) DCMI_REQUIRES(queue->lock)
{
    dcmi_pendings *list = &queue->pending;
    uint32_t oldest = list->oldest;
    if (!oldest) {
        link_record(queue, index);
        return;
    }
    dcmi_pending *record = &records[index];
    record->older = 0;
    record->newer = oldest;
    records[oldest].older = index;
    list->oldest = index;
    link_size(queue, index);
}

static uint32_t
take_oldest(dcmi_queue *queue)
{
    dcmi_lock_take(&queue->lock);
    uint32_t index = queue->pending.oldest;
    if (index)
        unlink_record(queue, index);
    dcmi_lock_drop(&queue->lock);
    return index;
}

bool
dcmi_pending_has(dcmi_queue *queue, const dcmi_pool *pool, uint64_t address)
{
    dcmi_lock_take(&queue->lock);
    uint32_t index = queue->pending.newest;
    while (index && (records[index].address != address || records[index].pool != pool))
        index = records[index].older;
    dcmi_lock_drop(&queue->lock);
    return index != 0;
}

/* ---- To the pool ---- */

static void
give(uint32_t index)
{
    dcmi_pending pending = records[index];
    dcmi_pending_drop(index);
    dcmi_pool_adjust(pending.pool, DCMI_GAUGE_PENDING, -(int64_t)pending.capacity);
    (void)dcmi_pool_give(pending.pool, pending.address, DCMI_HOLDER_LIBRARY);
}

static bool
is_done_from(const dcmi_pending *pending, uint32_t first)
{
    for (uint32_t i = first; i < pending->use_count; i++)
        if (!dcmi_use_is_done(pending->uses[i]))
            return false;
    return true;
}

unsigned
dcmi_pending_sweep(dcmi_queue *queue, unsigned most)
{
    unsigned count = 0;
    for (uint32_t index; count < most && (index = take_oldest(queue)); count++) {
        if (!is_done_from(&records[index], 0)) {
            dcmi_lock_take(&queue->lock);
            link_oldest(queue, index);
            dcmi_lock_drop(&queue->lock);
            break;
        }
        give(index);
    }
    return count;
}

/* The oldest one's other queues may have no marks of their own for ever: nobody else can be given it until then. */
void
dcmi_pending_mark(dcmi_queue *queue)
{
    dcmi_use uses[2 * DCMI_PENDING_USES];
    uint32_t count = 0;
    dcmi_lock_take(&queue->lock);
    uint32_t ends[] = {queue->pending.newest, queue->pending.oldest};
    for (uint32_t end = 0; end < 2 && ends[end]; end++)
        for (uint32_t i = 0; i < records[ends[end]].use_count; i++)
            uses[count++] = records[ends[end]].uses[i];
    dcmi_lock_drop(&queue->lock);
    for (uint32_t i = 0; i < count; i++)
        (void)dcmi_use_mark(uses[i]); /* a device that takes no marker says so to whoever waits */
}

dcmem_result
dcmi_pending_drain(uint64_t *blocks, dcmi_queue *queue, bool is_end)
{
    dcmem_result failed = DCMEM_OK;
    dcmem_detail told = {0};
    for (uint32_t index; (index = take_oldest(queue)); ++*blocks) {
        dcmem_result of_work = DCMEM_OK, result = dcmi_pending_wait(&records[index], &of_work);
        /* COVER begin: a driver must refuse to wait, twice, while blocks are pending */
        if (result && !is_end) {
            dcmi_lock_take(&queue->lock);
            link_oldest(queue, index);
            dcmi_lock_drop(&queue->lock);
            return result;
        }
        /* COVER end */
        result = result ? result : of_work;
        if (result && !failed) {
            failed = result;
            told = dcmi_detail_save();
        }
        give(index);
    }
    if (failed)
        dcmi_detail_restore(&told);
    return failed;
}

/* ---- From and to the queue ---- */

void
dcmi_pending_add(dcmi_queue *queue, uint32_t index)
{
    dcmi_pending *pending = &records[index];
    dcmi_pool_adjust(pending->pool, DCMI_GAUGE_PENDING, (int64_t)pending->capacity);
    dcmi_pool_add(pending->pool, DCMI_COUNTER_queue_frees, 1);

    dcmi_lock_take(&queue->lock);
    link_record(queue, index);
    bool is_mark_due = ++queue->pending.frees % MARK_EVERY == 0;
    dcmi_lock_drop(&queue->lock);
    if (is_mark_due)
        dcmi_pending_mark(queue);
    (void)dcmi_pending_sweep(queue, SWEEP_STEP);
}

/* The newest block of that size, out of the lists; 0 when there is none. */
static uint32_t
take_fitting(dcmi_queue *queue, const dcmi_pool *pool, uint64_t capacity)
{
    dcmi_lock_take(&queue->lock);
    uint32_t index = *bucket_of(queue, capacity);
    while (index && (records[index].capacity != capacity || records[index].pool != pool))
        index = records[index].behind;
    if (index)
        unlink_record(queue, index);
    dcmi_lock_drop(&queue->lock);
    return index;
}

uint64_t
dcmi_pending_take(dcmi_queue *queue, dcmi_pool *pool, uint64_t capacity)
{
    uint32_t index = take_fitting(queue, pool, capacity);
    if (!index)
        return 0;
    if (!is_done_from(&records[index], 1)) {
        dcmi_lock_take(&queue->lock);
        link_record(queue, index);
        dcmi_lock_drop(&queue->lock);
        return 0;
    }
    uint64_t address = records[index].address;
    dcmi_pending_drop(index);
    dcmi_pool_adjust(pool, DCMI_GAUGE_PENDING, -(int64_t)capacity);
    dcmi_pool_add(pool, DCMI_COUNTER_queue_reuses, 1);
    return address;
}
