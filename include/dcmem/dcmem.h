/* dcmem/dcmem.h: everything a program needs. One memory manager for every compute device that it touches.
 *
 * Learn it in this order: manager.h (one device and its pool), buffer.h (bytes on both sides, never stale),
 * transfer.h (copies that can be watched, of boxes, and in batches), memory.h (raw blocks, for adaptors), stats.h (what
 * happened), result.h and log.h (what went wrong). Those who write backends or tests also include dcmem/backend.h,
 * dcmem/testing.h and dcmem/runner.h. */
#ifndef DCMEM_DCMEM_H
#define DCMEM_DCMEM_H

#include <dcmem/base.h>
#include <dcmem/buffer.h>
#include <dcmem/guard.h>
#include <dcmem/log.h>
#include <dcmem/manager.h>
#include <dcmem/memory.h>
#include <dcmem/queue.h>
#include <dcmem/result.h>
#include <dcmem/stats.h>
#include <dcmem/transfer.h>
#include <dcmem/version.h>

#endif
