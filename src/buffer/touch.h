/* touch.h: a small copy or fill of memory that the host sees: a short cut through an access, for the common case alone.
 *
 * To every other case it says no before it has changed anything; whoever asked then opens an access, which also finds
 * the words for what is wrong. What it does to the bytes, to their states and to the figures is what an access, a copy
 * by the driver and the access's end would have done.
 *
 * Rules: (1) it moves bytes itself, so only where the driver is this library's own, would do no more, and nothing
 * stands before it: no lock is held while a driver is called; (2) it waits for nobody: a slot that is locked, brings,
 * or has an access open is not touched; (3) it cuts no ranges: all bytes are in one state, before and after; (4) a few
 * KiB are moved with the slot locked, as long as an access's beginning and end lock it; more through an entry in the
 * list, so that others can use other bytes meanwhile (0019).
 */
#ifndef DCMI_TOUCH_H
#define DCMI_TOUCH_H

#include "buffer/slot.h"

#include <dcmem/buffer.h>

/* True: the bytes have been copied into the view, out of it, filled. */
bool dcmi_touch_write(const dcmem_view *to, const void *from);
bool dcmi_touch_read(void *to, const dcmem_view *from);
bool dcmi_touch_fill(const dcmem_view *view, uint8_t byte);

#endif
