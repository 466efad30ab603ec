/* matrix.h: how far the memories of a machine are from each other, each from each: `dcmem devices --matrix`. */
#ifndef DCMEM_CLI_MATRIX_H
#define DCMEM_CLI_MATRIX_H

#include "cli/distance.h"

/* The host, a device, or a backend or device that cannot be measured. */
typedef struct matrix_place {
    const dcmem_backend *backend; /* NULL: the host */
    uint32_t index;
    char name[32];    /* "cpu 0"; of a backend without a device its name */
    char title[96];   /* what the device calls itself */
    char reason[256]; /* why it is not measured; "": it is */
    dcmem_manager *manager;
} matrix_place;

/* From one place to another, or within one. */
typedef struct matrix_pair {
    const matrix_place *from, *to;
    distance distance;
    char problem[256]; /* "": it went well */
} matrix_pair;

typedef struct transfer_matrix {
    matrix_place *places; /* the host first */
    size_t place_count;
    matrix_pair *pairs; /* by source, then by target; not from host to host, where there is nothing of dcmem's */
    size_t pair_count;
    size_t failed_count;
} transfer_matrix;

/* With the host alone. End it with matrix_fini(). */
void matrix_init(transfer_matrix *matrix);
void matrix_fini(transfer_matrix *matrix);

/* All places are added before the measuring. `reason`: why it cannot be measured, or NULL. */
void matrix_add(transfer_matrix *matrix, const char *name, const dcmem_backend *backend, uint32_t index,
                const char *title, const char *reason);

/* Opens the devices, measures each pair with copies of `bytes`, and closes them. What fails is told on standard error
 * at once. */
void matrix_measure(transfer_matrix *matrix, uint64_t bytes, bool is_quiet);

void matrix_print_json(const transfer_matrix *matrix);

/* Two tables, each with a line a source and a column a target; `has_notes`: and what they mean. */
void matrix_print_tables(const transfer_matrix *matrix, bool has_notes);

#endif
