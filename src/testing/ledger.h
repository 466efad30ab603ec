/* ledger.h: what one device gave out and has not got back, as a bystander sees it: extents, imports, pages, maps, ...
 *
 * It believes nobody: each function returns NULL, or in a few words what breaks the contract. No locking here. */
#ifndef DCMI_TESTING_LEDGER_H
#define DCMI_TESTING_LEDGER_H

#include <dcmem/backend.h>

#include "pieces.h"

typedef enum dcmi_holding_kind {
    DCMI_HOLDING_IMPORT,
    DCMI_HOLDING_SHARED, /* another process's memory */
    DCMI_HOLDING_PAGE,
    DCMI_HOLDING_RESERVATION,
    DCMI_HOLDING_MAP,
    DCMI_HOLDING_QUEUE
} dcmi_holding_kind;

/* Whatever is not an extent: few at a time, so a list. */
typedef struct dcmi_holding {
    dcmi_holding_kind kind;
    uint64_t id;
    uint64_t bytes;
    uint64_t driver; /* tells an import from an extent of the same bytes */
    uint32_t flags;
} dcmi_holding;

typedef struct dcmi_ledger {
    dcmi_pieces extents;
    dcmi_pieces mapped; /* pages in reserved addresses */
    dcmi_holding *holdings;
    uint32_t count;
    uint32_t capacity;
    bool is_divisible;
} dcmi_ledger;

void dcmi_ledger_fini(dcmi_ledger *ledger);

/* Extents, imports and pages; their bytes but those of imports. */
uint64_t dcmi_ledger_extents(const dcmi_ledger *ledger);
uint64_t dcmi_ledger_bytes(const dcmi_ledger *ledger);

const char *dcmi_ledger_acquire(dcmi_ledger *ledger, const dcmem_extent *extent);
const char *dcmi_ledger_import(dcmi_ledger *ledger, dcmi_holding_kind kind, const dcmem_extent *extent);

/* What acquire and imports gave. `check` only looks; `release` looks and forgets. */
const char *dcmi_ledger_check_release(const dcmi_ledger *ledger, const dcmem_extent *extent);
const char *dcmi_ledger_release(dcmi_ledger *ledger, const dcmem_extent *extent);

/* Whether a range of an extent is held. */
const char *dcmi_ledger_check_range(const dcmi_ledger *ledger, const dcmem_extent *extent, uint64_t offset,
                                    uint64_t bytes);

const char *dcmi_ledger_add(dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id, uint64_t bytes);
bool dcmi_ledger_has(const dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id);
const char *dcmi_ledger_remove(dcmi_ledger *ledger, dcmi_holding_kind kind, uint64_t id);

/* What is still held, the first kind in words; NULL: nothing. */
const char *dcmi_ledger_rest(const dcmi_ledger *ledger);

#endif
