/* contract_kit.h: what the clauses of the contract suite use: the functions of a table, each expected to succeed. */
#ifndef DCMI_TEST_CONTRACT_KIT_H
#define DCMI_TEST_CONTRACT_KIT_H

#include "contract_suite.h"

#include <stdlib.h>
#include <string.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static inline bool
has(const contract_device *device, uint64_t capability)
{
    uint64_t all = device->info.capabilities ? device->info.capabilities : device->backend->capabilities;
    return (all & capability) == capability;
}

static inline void *
open_again(const contract_device *device)
{
    void *handle = NULL;
    EXPECT_OK(device->backend->open(&handle, device->backend, &device->options));
    return handle;
}

static inline void
skip_for(const char *what, const char *why)
{
    print_message("skipped: %s: %s\n", what, why);
    skip();
}

static inline const dcmem_call *
on_behalf(void)
{
    static _Thread_local dcmem_call call = {.tag = 5};
    call.op_index++;
    return &call;
}

static inline uint64_t
whole_units(const contract_device *device, uint64_t bytes)
{
    uint64_t unit = device->info.granularity;
    return (bytes + unit - 1) / unit * unit;
}

static inline bool
has_kind(const contract_device *device, dcmem_kind kind)
{
    return device->info.kinds & DCMEM_KIND_BIT(kind);
}

/* The device's own memory, or where it has none to give, the host's. */
static inline dcmem_kind
main_kind(const contract_device *device)
{
    return has_kind(device, DCMEM_KIND_DEVICE) ? DCMEM_KIND_DEVICE : DCMEM_KIND_HOST;
}

static inline dcmem_extent
acquire(contract_device *device, dcmem_acquire request)
{
    dcmem_extent extent = {0};
    request.bytes = whole_units(device, request.bytes);
    EXPECT_OK(device->backend->acquire(&extent, device->handle, on_behalf(), &request));
    EXPECT_GE(extent.bytes, request.bytes);
    EXPECT_EQ(extent.kind, request.kind);
    return extent;
}

static inline dcmem_extent
acquire_main(contract_device *device, uint64_t bytes)
{
    return acquire(device, (dcmem_acquire){.bytes = bytes, .kind = main_kind(device)});
}

static inline void
release(contract_device *device, const dcmem_extent *extent)
{
    EXPECT_OK(device->backend->release(device->handle, on_behalf(), extent));
}

/* A stretch of a divisible extent as the pool names it. */
static inline dcmem_extent
part_of(const dcmem_extent *whole, uint64_t offset, uint64_t bytes)
{
    dcmem_extent part = *whole;
    part.object += offset;
    part.address += offset;
    part.bytes = bytes;
    if (part.host)
        part.host = (char *)part.host + offset;
    return part;
}

static inline dcmem_place
in_extent(const dcmem_extent *extent, uint64_t offset)
{
    return (dcmem_place){.extent = extent, .offset = offset};
}

static inline dcmem_place
in_host(void *host)
{
    return (dcmem_place){.host = host};
}

static inline void
copy(contract_device *device, dcmem_place to, dcmem_place from, uint64_t bytes)
{
    EXPECT_OK(device->backend->copy(device->handle, on_behalf(), &to, &from, bytes));
}

/* Bytes that tell where they belong. */
static inline unsigned char
byte_at(uint64_t seed, uint64_t offset)
{
    uint64_t n = (offset + 1) * 0x9e3779b97f4a7c15ull + seed * 0xd1342543de82ef95ull;
    return (unsigned char)(n >> 56);
}

static inline unsigned char *
pattern_make(uint64_t seed, uint64_t bytes)
{
    unsigned char *pattern = malloc(bytes + 1);
    EXPECT(pattern != NULL);
    for (uint64_t i = 0; i < bytes; i++)
        pattern[i] = byte_at(seed, i);
    return pattern;
}

static inline void
write_pattern(contract_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, uint64_t seed)
{
    unsigned char *pattern = pattern_make(seed, bytes);
    copy(device, in_extent(extent, offset), in_host(pattern), bytes);
    free(pattern);
}

static inline bool
is_pattern_there(contract_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, uint64_t seed)
{
    unsigned char *pattern = pattern_make(seed, bytes), *found = malloc(bytes + 1);
    EXPECT(found != NULL);
    memset(found, 0xee, bytes + 1);
    copy(device, in_host(found), in_extent(extent, offset), bytes);
    bool is_there = memcmp(pattern, found, bytes) == 0 && found[bytes] == 0xee;
    free(pattern);
    free(found);
    return is_there;
}

#define EXPECT_PATTERN(device, extent, offset, bytes, seed)                                                            \
    EXPECT(is_pattern_there(device, extent, offset, bytes, seed))

/* ---- Queues ---- */

static const uint64_t soon = 10000000000ull;

static inline void *
queue_open(contract_device *device)
{
    void *queue = NULL;
    EXPECT_OK(device->backend->queue_open(&queue, device->handle, NULL));
    return queue;
}

static inline uint64_t
enqueue_fill(contract_device *device, void *queue, const dcmem_extent *to, uint64_t bytes, unsigned char byte)
{
    uint64_t value = 0;
    const dcmem_place place = in_extent(to, 0);
    EXPECT_OK(device->backend->enqueue_fill(&value, device->handle, queue, on_behalf(), &place, bytes, &byte, 1));
    return value;
}

static inline uint64_t
enqueue_copy(contract_device *device, void *queue, dcmem_place to, dcmem_place from, uint64_t bytes)
{
    uint64_t value = 0;
    EXPECT_OK(device->backend->enqueue_copy(&value, device->handle, queue, on_behalf(), &to, &from, bytes));
    return value;
}

static inline void
queue_close(contract_device *device, void *queue)
{
    device->backend->queue_close(device->handle, queue);
}

static inline uint64_t
queue_completed(contract_device *device, void *queue)
{
    return device->backend->queue_completed(device->handle, queue);
}

static inline void
queue_wait(contract_device *device, void *queue, uint64_t value)
{
    EXPECT_OK(device->backend->queue_wait(device->handle, queue, value, soon));
    EXPECT_GE(queue_completed(device, queue), value);
}

#endif
