/* pieces.c: the treap: two operations, split and join, and everything else in terms of them. */
#include "pieces.h"

#include "host.h"

#include <stdlib.h>

struct dcmi_piece_node {
    dcmi_piece piece;
    uint32_t priority; /* no child's is higher */
    dcmi_piece_node *left, *right;
};

typedef dcmi_piece_node node;

/* xorshift32: the balance needs no better one, and tests need the same tree each time. */
static uint32_t
next_random(dcmi_pieces *set)
{
    uint32_t x = set->random ? set->random : 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return set->random = x;
}

static uint64_t
end_of(const dcmi_piece *piece)
{
    return piece->begin + piece->bytes;
}

/* What begins below `at` goes to `below`, the rest to `above`. */
static void
split(node *tree, uint64_t at, node **below, node **above)
{
    if (!tree) {
        *below = *above = NULL;
    } else if (tree->piece.begin < at) {
        *below = tree;
        split(tree->right, at, &tree->right, above);
    } else {
        *above = tree;
        split(tree->left, at, below, &tree->left);
    }
}

/* All of `below` lies below all of `above`. */
static node *
join(node *below, node *above)
{
    if (!below || !above)
        return below ? below : above;
    if (below->priority >= above->priority) {
        below->right = join(below->right, above);
        return below;
    }
    above->left = join(below, above->left);
    return above;
}

/* The last piece that begins at or below `at`. */
static node *
last_up_to(const dcmi_pieces *set, uint64_t at)
{
    node *found = NULL;
    for (node *tree = set->root; tree;) {
        bool is_up_to = tree->piece.begin <= at;
        found = is_up_to ? tree : found;
        tree = is_up_to ? tree->right : tree->left;
    }
    return found;
}

static node *
node_at(const dcmi_pieces *set, uint64_t at)
{
    node *found = last_up_to(set, at);
    return found && at < end_of(&found->piece) ? found : NULL;
}

static node *
new_node(dcmi_pieces *set, const dcmi_piece *piece)
{
    node *made = dcmi_host_new(sizeof *made);
    if (made) {
        made->piece = *piece;
        made->priority = next_random(set);
    }
    return made;
}

static void
insert(dcmi_pieces *set, node *made)
{
    node *below, *above;
    split(set->root, made->piece.begin, &below, &above);
    set->root = join(join(below, made), above);
}

bool
dcmi_pieces_add(dcmi_pieces *set, const dcmi_piece *piece)
{
    node *before = last_up_to(set, end_of(piece) - 1);
    if (before && end_of(&before->piece) > piece->begin)
        return false;
    node *made = new_node(set, piece);
    if (!made)
        return false;
    insert(set, made);
    set->count++;
    set->bytes += piece->bytes;
    return true;
}

bool
dcmi_pieces_find(dcmi_piece *out, const dcmi_pieces *set, uint64_t at)
{
    node *found = node_at(set, at);
    if (found)
        *out = found->piece;
    return found != NULL;
}

bool
dcmi_pieces_first(dcmi_piece *out, const dcmi_pieces *set, uint64_t begin, uint64_t bytes)
{
    if (dcmi_pieces_find(out, set, begin))
        return true;
    node *found = NULL;
    for (node *tree = set->root; tree;) {
        bool is_after = tree->piece.begin >= begin;
        found = is_after ? tree : found;
        tree = is_after ? tree->left : tree->right;
    }
    if (!found || found->piece.begin - begin >= bytes)
        return false;
    *out = found->piece;
    return true;
}

bool
dcmi_pieces_cover(const dcmi_pieces *set, uint64_t begin, uint64_t bytes)
{
    while (bytes > 0) {
        node *found = node_at(set, begin);
        if (!found)
            return false;
        uint64_t here = end_of(&found->piece) - begin;
        here = here < bytes ? here : bytes;
        begin += here;
        bytes -= here;
    }
    return true;
}

/* Makes `at` the beginning of a piece, where it lies within one. */
static bool
divide(dcmi_pieces *set, uint64_t at)
{
    node *lower = node_at(set, at);
    if (!lower || lower->piece.begin == at)
        return true;

    uint64_t below = at - lower->piece.begin;
    dcmi_piece upper = lower->piece;
    upper.begin = at;
    upper.bytes -= below;
    upper.memory = upper.memory ? upper.memory + below : NULL;
    upper.view = upper.view ? upper.view + below : NULL;
    node *made = new_node(set, &upper);
    if (!made)
        return false;
    lower->piece.bytes = below;
    insert(set, made);
    set->count++;
    return true;
}

/* Frees a tree in order. */
static void
drop(dcmi_pieces *set, node *tree, dcmi_piece_sink sink, void *user)
{
    if (!tree)
        return;
    drop(set, tree->left, sink, user);
    if (sink)
        sink(user, &tree->piece);
    set->count--;
    set->bytes -= tree->piece.bytes;
    node *right = tree->right;
    free(tree);
    drop(set, right, sink, user);
}

bool
dcmi_pieces_cut(dcmi_pieces *set, uint64_t begin, uint64_t bytes, dcmi_piece_sink sink, void *user)
{
    /* A division that is not followed by the cut changes nothing that anybody can ask for but the count. */
    if (!divide(set, begin) || !divide(set, begin + bytes))
        return false;
    node *below, *within, *above;
    split(set->root, begin, &below, &within);
    split(within, begin + bytes, &within, &above);
    set->root = join(below, above);
    drop(set, within, sink, user);
    return true;
}

void
dcmi_pieces_clear(dcmi_pieces *set, dcmi_piece_sink sink, void *user)
{
    node *all = set->root;
    set->root = NULL;
    drop(set, all, sink, user);
}
