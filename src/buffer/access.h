/* access.h: opening and closing the use of a range of bytes on one side: what begin, map, copies and fills stand on.
 *
 * Opening checks the view, waits for conflicting accesses, brings the side up to date and enters the access into the
 * slot's list; closing says what became of its bytes. In between no lock is held: the entry keeps the bytes in place.
 * Everything that can run out of memory does so while opening: closing needs none. */
#ifndef DCMI_ACCESS_H
#define DCMI_ACCESS_H

#include "buffer/contents.h"
#include "buffer/side.h"

typedef struct dcmi_wish {
    dcmem_view view;
    dcmem_side side;
    dcmi_operation operation;
    uint64_t timeout_ns;
    uint64_t queue;    /* handle of the queue that works through it, or 0: the caller does */
    bool is_by_hand;   /* only the states matter: nobody will touch the memory through this access */
    bool is_near;      /* the host's side if there is one of its own, else the device's, whatever `side` says */
    bool needs_shadow; /* a split host side must exist already */
    dcmi_watch *watch; /* who may end the waiting by a failure, or NULL */

    /* What of the view it is about, or NULL: all of it. The view begins and ends with them. Of DCMI_WRITE and DCMI_LOOK
     * only: others bring bytes, and would bring those between the rows. */
    const dcmi_rows *rows;
} dcmi_wish;

typedef struct dcmi_grant {
    dcmem_buffer *buffer;
    uint64_t ticket;
    uint64_t begin; /* of the range: of the first row, ... */
    uint64_t bytes; /* ... to the end of the last */
    dcmem_side side;
    bool is_one; /* the two sides are one memory: all bytes are at the site */
    dcmem_tag tag;
    dcmi_pool *pool; /* of the device's side */
    dcmi_site site;  /* its first byte */
    void *host;      /* the same for the host: side host */
} dcmi_grant;

dcmem_result dcmi_access_open(dcmi_grant *out, const dcmi_wish *wish);

/* For who has locked the slot himself and seen that nothing is in the way: a buffer whose device's side the host sees
 * at any time, whose bytes are in one state, and of which nobody has an access open. Returns the ticket of one, of that
 * side, or of both where they are one memory: `own`. It is left without a driver's call and without waiting. */
uint64_t dcmi_access_enter(dcmi_locked *locked, dcmi_operation operation, uint64_t begin, uint64_t end, unsigned own);
void dcmi_access_leave(const dcmem_buffer *buffer, uint64_t ticket);

/* In map.c: opens an access as its user sees it, for a queue or (0) for himself. Arguments have been checked. */
dcmem_result dcmi_access_begin(dcmem_access *out, dcmem_view view, dcmem_side side, dcmem_access_mode mode,
                               uint64_t queue, uint64_t timeout_ns);

/* In transfer.c: whether views can be copied onto each other. */
dcmem_result dcmi_transfer_check(dcmem_view to, dcmem_view from);

typedef enum dcmi_closing {
    DCMI_CLOSE_END,
    DCMI_CLOSE_ABORT,
    DCMI_CLOSE_UNUSED /* nothing was done through it: all is as before */
} dcmi_closing;

/* DCMEM_E_WRONG_STATE for a ticket that is not open. A driver's failure to flush leaves the access open. */
dcmem_result dcmi_access_close(const dcmem_buffer *buffer, uint64_t ticket, dcmi_closing closing);

/* The work is on the queue: the access is its user's no more, and ends by itself when `use`, of the queue it was opened
 * for, is done. DCMEM_E_WRONG_STATE for one that was opened for no queue. */
dcmem_result dcmi_access_queue(const dcmem_buffer *buffer, uint64_t ticket, dcmi_use use);

/* The queue that an open access is of, or 0. */
uint64_t dcmi_access_queue_of(const dcmem_buffer *buffer, uint64_t ticket);

/* Waits for work of queues on a buffer, one piece of it. False: there is none, or no such buffer. */
bool dcmi_access_settle(const dcmem_buffer *buffer);

/* The same for a locked slot, without waiting: takes what work is left out of it, up to `most`; how many. More than
 * that, or an access that its user has not ended: UINT32_MAX, and all stays as it is. */
uint32_t dcmi_access_detach(dcmi_use *out, dcmi_locked *locked, uint32_t most);

/* Opens and closes: for what is done to the states alone. */
dcmem_result dcmi_access_pass(const dcmi_wish *wish);

/* Of a DCMI_LOOK grant: the sides on which all bytes of the rows that it is about are current. NULL: of all of it. */
dcmem_result dcmi_access_sides(unsigned *out, const dcmi_grant *grant, const dcmi_rows *rows);

/* Of a DCMI_LOOK grant: a place where its bytes from `offset` on are current, on the preferred side if they are on
 * both, and for how many of them that holds. As long as the grant is open they stay so. */
dcmem_result dcmi_access_look(dcmi_site *out, uint64_t *out_bytes, const dcmi_grant *grant, uint64_t offset,
                              dcmem_side preferred);

#endif
