/* record.c: the table of records. See record.h.
 *
 * Records come from chunks of reserved memory that live as long as the table; the buckets double when records outnumber
 * them, and where the host has no memory for that the chains grow longer instead. */
#include "guard/record.h"

#include "base/fail.h"
#include "base/lock.h"
#include "base/os.h"

#include <pthread.h>
#include <string.h>

#define FIRST_BUCKETS 1024u
#define CHUNK_RECORDS 255u

struct dcmi_record_chunk {
    struct dcmi_record_chunk *next;
    dcmi_record records[CHUNK_RECORDS];
};

static dcmi_lock lock;

/* ---- Fork ---- */

/* The child goes on with whole tables: nobody is in the midst of one while the parent forks. */
static void
hold_lock(void) DCMI_UNCHECKED
{
    dcmi_lock_take(&lock);
}

static void
drop_lock(void) DCMI_UNCHECKED
{
    dcmi_lock_drop(&lock);
}

static void
prepare_fork(void)
{
    pthread_atfork(hold_lock, drop_lock, drop_lock);
}

/* ---- Life ---- */

dcmem_result
dcmi_records_init(dcmi_records *records)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_fork);
    *records = (dcmi_records){.bucket_count = FIRST_BUCKETS};
    records->buckets = dcmi_os_reserve(FIRST_BUCKETS * sizeof(dcmi_record *));
    return records->buckets ? DCMEM_OK : dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a guard's records");
}

void
dcmi_records_fini(dcmi_records *records)
{
    for (dcmi_record_chunk *chunk = records->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        dcmi_os_unreserve(chunk, sizeof *chunk);
    }
    dcmi_os_unreserve(records->buckets, records->bucket_count * sizeof(dcmi_record *));
    *records = (dcmi_records){0};
}

/* ---- Parts, all with the lock held ---- */

static dcmi_record **
bucket_of(const dcmi_records *records, uint64_t block)
{
    uint64_t hash = (block >> 6) * 0x9e3779b97f4a7c15u;
    return &records->buckets[(hash >> 32) & (records->bucket_count - 1)];
}

static void
list_push(dcmi_record_list *list, dcmi_record *record)
{
    record->older = list->newest;
    record->newer = NULL;
    if (list->newest)
        list->newest->newer = record;
    else
        list->oldest = record;
    list->newest = record;
    list->count++;
    list->bytes += record->capacity;
}

static void
list_drop(dcmi_record_list *list, dcmi_record *record)
{
    if (record->older)
        record->older->newer = record->newer;
    else
        list->oldest = record->newer;
    if (record->newer)
        record->newer->older = record->older;
    else
        list->newest = record->older;
    record->older = record->newer = NULL;
    list->count--;
    list->bytes -= record->capacity;
}

static void
push_spare(dcmi_records *records, dcmi_record *record)
{
    record->next = records->spare;
    records->spare = record;
}

static void
add_chunk(dcmi_records *records)
{
    dcmi_record_chunk *chunk = dcmi_os_reserve(sizeof *chunk);
    if (!chunk)
        return;
    chunk->next = records->chunks;
    records->chunks = chunk;
    for (unsigned i = CHUNK_RECORDS; i > 0; i--)
        push_spare(records, &chunk->records[i - 1]);
}

static void
grow_buckets(dcmi_records *records)
{
    dcmi_records larger = {.bucket_count = records->bucket_count * 2};
    larger.buckets = dcmi_os_reserve(larger.bucket_count * sizeof(dcmi_record *));
    if (!larger.buckets)
        return;
    for (uint64_t i = 0; i < records->bucket_count; i++)
        for (dcmi_record *record = records->buckets[i], *next; record; record = next) {
            dcmi_record **bucket = bucket_of(&larger, record->block);
            next = record->next;
            record->next = *bucket;
            *bucket = record;
        }
    dcmi_os_unreserve(records->buckets, records->bucket_count * sizeof(dcmi_record *));
    records->buckets = larger.buckets;
    records->bucket_count = larger.bucket_count;
}

/* A block that was given back may be another's already while its old record still leaves: the live one is meant. */
static dcmi_record *
look_up(const dcmi_records *records, const dcmi_pool *pool, uint64_t block)
{
    dcmi_record *found = NULL;
    for (dcmi_record *record = *bucket_of(records, block); record; record = record->next)
        if (record->block == block && record->pool == pool && (!found || record->state == DCMI_RECORD_LIVE))
            found = record;
    return found;
}

/* ---- Calls ---- */

dcmi_record *
dcmi_records_new(dcmi_records *records)
{
    dcmi_lock_take(&lock);
    if (!records->spare)
        add_chunk(records);
    dcmi_record *record = records->spare;
    if (record) {
        records->spare = record->next;
        *record = (dcmi_record){.state = DCMI_RECORD_LEAVING};
    }
    dcmi_lock_drop(&lock);
    return record;
}

void
dcmi_records_add(dcmi_records *records, dcmi_record *record)
{
    dcmi_lock_take(&lock);
    if (records->count >= records->bucket_count)
        grow_buckets(records);
    dcmi_record **bucket = bucket_of(records, record->block);
    record->next = *bucket;
    *bucket = record;
    records->count++;
    record->number = ++records->numbers;
    record->state = DCMI_RECORD_LIVE;
    list_push(&records->live, record);
    dcmi_lock_drop(&lock);
}

bool
dcmi_records_find(dcmi_record_glimpse *out, dcmi_records *records, const dcmi_pool *pool, uint64_t block)
{
    dcmi_lock_take(&lock);
    const dcmi_record *record = look_up(records, pool, block);
    if (record)
        *out = (dcmi_record_glimpse){record->address, record->bytes, record->state == DCMI_RECORD_LIVE};
    dcmi_lock_drop(&lock);
    return record != NULL;
}

dcmi_record *
dcmi_records_leave(dcmi_records *records, const dcmi_pool *pool, uint64_t block, uint64_t address)
{
    dcmi_lock_take(&lock);
    dcmi_record *record = look_up(records, pool, block);
    if (record && (record->state != DCMI_RECORD_LIVE || record->address != address))
        record = NULL;
    if (record) {
        record->state = DCMI_RECORD_LEAVING;
        list_drop(&records->live, record);
    }
    dcmi_lock_drop(&lock);
    return record;
}

void
dcmi_records_hold(dcmi_records *records, dcmi_record *record)
{
    dcmi_lock_take(&lock);
    record->state = DCMI_RECORD_HELD;
    list_push(&records->held, record);
    dcmi_lock_drop(&lock);
}

dcmi_record *
dcmi_records_next_held(dcmi_records *records, uint64_t bytes)
{
    dcmi_lock_take(&lock);
    dcmi_record *record = records->held.bytes > bytes ? records->held.oldest : NULL;
    if (record) {
        record->state = DCMI_RECORD_LEAVING;
        list_drop(&records->held, record);
    }
    dcmi_lock_drop(&lock);
    return record;
}

void
dcmi_records_remove(dcmi_records *records, dcmi_record *record)
{
    dcmi_lock_take(&lock);
    dcmi_record **at = bucket_of(records, record->block);
    while (*at != record)
        at = &(*at)->next;
    *at = record->next;
    records->count--;
    push_spare(records, record);
    dcmi_lock_drop(&lock);
}

void
dcmi_records_clear(dcmi_records *records)
{
    dcmi_lock_take(&lock);
    for (dcmi_record *record = records->live.oldest, *newer; record; record = newer) {
        newer = record->newer;
        push_spare(records, record);
    }
    records->live = (dcmi_record_list){0};
    records->count = 0;
    memset(records->buckets, 0, records->bucket_count * sizeof(dcmi_record *));
    dcmi_lock_drop(&lock);
}

void
dcmi_records_label(dcmi_records *records, const dcmi_record *label)
{
    dcmi_lock_take(&lock);
    dcmi_record *record = look_up(records, label->pool, label->block);
    if (record && record->state == DCMI_RECORD_LIVE) {
        record->buffer = label->buffer;
        record->tag = label->tag;
        record->is_host_side = label->is_host_side;
    }
    dcmi_lock_drop(&lock);
}

/* ---- Copies ---- */

bool
dcmi_records_copy(dcmi_record_copy *out, dcmi_records *records, bool held)
{
    const dcmi_record_list *list = held ? &records->held : &records->live;
    dcmi_record_copy copy = {0};
    dcmi_lock_take(&lock);
    copy.capacity = (list->count + 1) * sizeof(dcmi_record);
    copy.records = dcmi_os_reserve(copy.capacity);
    for (const dcmi_record *record = list->oldest; copy.records && record; record = record->newer)
        copy.records[copy.count++] = *record;
    dcmi_lock_drop(&lock);
    *out = copy;
    return copy.records != NULL;
}

void
dcmi_records_give_copy(dcmi_record_copy *copy)
{
    dcmi_os_unreserve(copy->records, copy->capacity);
}

static const char *
check_list(uint64_t *count, const dcmi_record_list *list, dcmi_record_state state)
{
    uint64_t bytes = 0, records = 0;
    for (const dcmi_record *record = list->oldest; record; record = record->newer) {
        if (record->state != state)
            return "a guard's record is in a list that is not its state's";
        bytes += record->capacity;
        records++;
    }
    *count += records;
    return records == list->count && bytes == list->bytes ? NULL : "a guard's list is miscounted";
}

const char *
dcmi_records_check(dcmi_records *records)
{
    uint64_t count = 0;
    dcmi_lock_take(&lock);
    const char *broken = check_list(&count, &records->live, DCMI_RECORD_LIVE);
    if (!broken)
        broken = check_list(&count, &records->held, DCMI_RECORD_HELD);
    if (!broken && count != records->count)
        broken = "a guard's record is in no list";
    dcmi_lock_drop(&lock);
    return broken;
}
