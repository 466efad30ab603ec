/* record.h: what guards know of each block: a table by the pool's address, and two lists.
 *
 *             add                    leave                      remove
 *     spare ------> LIVE, the live list -----> LEAVING, no list -------> spare
 *                                              ^    | hold
 *                            next_held, leave  |    v
 *                                              HELD, the queue of those held back, oldest first
 *
 * A record in LEAVING belongs to the thread that brought it there; of several threads that free one block one gets it.
 * One lock guards all records of the process; every call takes it for itself, and it is the last that is ever taken. */
#ifndef DCMI_RECORD_H
#define DCMI_RECORD_H

#include "guard/trail.h"
#include "pool/pool.h"

typedef enum dcmi_record_state { DCMI_RECORD_LIVE, DCMI_RECORD_LEAVING, DCMI_RECORD_HELD } dcmi_record_state;

typedef struct dcmi_record {
    struct dcmi_record *next;          /* in its bucket; of a spare record: the next one */
    struct dcmi_record *older, *newer; /* in its list */
    dcmi_pool *pool;
    uint64_t block; /* as the pool knows it */
    uint64_t capacity;
    unsigned holder;
    uint64_t address; /* as its owner knows it */
    uint64_t bytes;
    uint64_t behind;      /* from `address` to the zone behind */
    uint32_t zone_before; /* bytes of zones that are written; 0: none */
    uint32_t zone_behind;
    dcmem_buffer *buffer; /* NULL: raw memory */
    dcmem_tag tag;
    bool is_host_side;
    bool is_poisoned; /* it was freed, and poison is in it */
    dcmi_record_state state;
    uint64_t number;
    uint64_t began_ns;
    uint64_t freed_ns;
    dcmi_trail taken_by;
    dcmi_trail freed_by;
} dcmi_record;

typedef struct dcmi_record_list {
    dcmi_record *oldest, *newest;
    uint64_t count;
    uint64_t bytes; /* sum of capacities */
} dcmi_record_list;

typedef struct dcmi_record_chunk dcmi_record_chunk;

typedef struct dcmi_records {
    dcmi_record **buckets; /* bucket_count of them, a power of two */
    uint64_t bucket_count;
    uint64_t count;   /* in the buckets */
    uint64_t numbers; /* given out */
    dcmi_record *spare;
    dcmi_record_chunk *chunks;
    dcmi_record_list live, held;
} dcmi_records;

dcmem_result dcmi_records_init(dcmi_records *records);
void dcmi_records_fini(dcmi_records *records);

/* A record for a block that is taken, to be filled and added; NULL where the host has no memory. */
dcmi_record *dcmi_records_new(dcmi_records *records);

/* It is live from then on, the newest; `record->number` is set. */
void dcmi_records_add(dcmi_records *records, dcmi_record *record);

/* What of a record nobody changes without the lock. */
typedef struct dcmi_record_glimpse {
    uint64_t address;
    uint64_t bytes;
    bool is_live;
} dcmi_record_glimpse;

bool dcmi_records_find(dcmi_record_glimpse *out, dcmi_records *records, const dcmi_pool *pool, uint64_t block);

/* The live record of the block whose owner knows it as `address`, or NULL; leaving from then on. */
dcmi_record *dcmi_records_leave(dcmi_records *records, const dcmi_pool *pool, uint64_t block, uint64_t address);

/* What leaves is held back. */
void dcmi_records_hold(dcmi_records *records, dcmi_record *record);

/* The record that was held back first, leaving from then on; NULL when at most `bytes` are held back. */
dcmi_record *dcmi_records_next_held(dcmi_records *records, uint64_t bytes);

/* What leaves is forgotten. */
void dcmi_records_remove(dcmi_records *records, dcmi_record *record);

/* All are forgotten, and where they lay stays for new ones. */
void dcmi_records_clear(dcmi_records *records);

/* Says whose a live block is: `label` names the block by pool and address, and its owner. */
void dcmi_records_label(dcmi_records *records, const dcmi_record *label);

/* Copies of all that are live or, with `held`, held back, oldest first; to be given back by dcmi_records_give_copy().
 * False where the host has no memory. */
typedef struct dcmi_record_copy {
    dcmi_record *records;
    uint64_t count;
    uint64_t capacity;
} dcmi_record_copy;

bool dcmi_records_copy(dcmi_record_copy *out, dcmi_records *records, bool held);
void dcmi_records_give_copy(dcmi_record_copy *copy);

/* NULL, or the broken invariant. */
const char *dcmi_records_check(dcmi_records *records);

#endif
