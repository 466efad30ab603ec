/* pieces.h: the pieces of a device's memory that are in use, by where they begin: a treap (Seidel and Aragon, 1996).
 *
 * Pieces never overlap. A divisible device takes back parts of pieces, and several neighbours at once, so a range can
 * be cut out wherever it lies. No locking here: the owner's lock guards a set. */
#ifndef DCMI_TESTING_PIECES_H
#define DCMI_TESTING_PIECES_H

#include <dcmem/base.h>

typedef struct dcmi_piece {
    uint64_t begin; /* the device's name for the first byte: an address or a number that is used once */
    uint64_t bytes;
    uint8_t *memory; /* where the first byte really is */
    uint8_t *view;   /* where the host sees it, when that is another memory; else NULL */
    dcmem_kind kind;
    uint32_t flags; /* the owner's */
    int32_t file;   /* the owner's */
    void *owner;    /* of what it is a part, or NULL */
} dcmi_piece;

typedef struct dcmi_piece_node dcmi_piece_node;

typedef struct dcmi_pieces {
    dcmi_piece_node *root;
    uint64_t count;
    uint64_t bytes;
    uint32_t random;
} dcmi_pieces;

/* False, with nothing changed, when the host has no memory or the piece would overlap another. */
bool dcmi_pieces_add(dcmi_pieces *set, const dcmi_piece *piece);

/* The piece that holds `at`; false when none does. */
bool dcmi_pieces_find(dcmi_piece *out, const dcmi_pieces *set, uint64_t at);

/* The lowest piece that has a byte in the range; false when all of it is free. */
bool dcmi_pieces_first(dcmi_piece *out, const dcmi_pieces *set, uint64_t begin, uint64_t bytes);

/* Whether all of the range is in use. */
bool dcmi_pieces_cover(const dcmi_pieces *set, uint64_t begin, uint64_t bytes);

/* Cuts the range out of the set and tells `sink` (may be NULL) of each piece or part of a piece that it held, the
 * lowest first. The range must be covered. False, with nothing changed, when the host has no memory. */
typedef void (*dcmi_piece_sink)(void *user, const dcmi_piece *piece);
bool dcmi_pieces_cut(dcmi_pieces *set, uint64_t begin, uint64_t bytes, dcmi_piece_sink sink, void *user);

/* Empties the set, telling of each piece. */
void dcmi_pieces_clear(dcmi_pieces *set, dcmi_piece_sink sink, void *user);

#endif
