/* liar.h: a driver that says and gives what no driver may: the kit's fake, whose answers are spoiled on their way out.
 *
 * The kit has no such thing, for its devices keep the contract. All that is behind the lies is the kit's: two simulated
 * devices, counts, the last call, failures (dcmem_fake_fail). There is one liar at a time. */
#ifndef DCMI_TEST_LIAR_H
#define DCMI_TEST_LIAR_H

#include "test.h"

#include <dcmem/testing.h>

typedef struct liar {
    dcmem_backend table; /* the fake's, but for the answers below */
    dcmem_backend *simulated;
    dcmem_fake *fake;
    const dcmem_backend *honest; /* the fake's table */

    dcmem_device_info info;              /* what it says of its device */
    void (*spoil)(dcmem_extent *extent); /* changes what acquire and import_host are about to give */
    bool map_gives_null;
    dcmem_extent given; /* the last spoiled one, as it was */
} liar;

static liar *the_liar;

static dcmem_result
liar_info(dcmem_device_info *out, void *device)
{
    dcmem_result result = the_liar->honest->info(out, device);
    if (!result)
        *out = the_liar->info;
    return result;
}

static void
liar_spoil(dcmem_extent *extent)
{
    the_liar->given = *extent;
    if (the_liar->spoil)
        the_liar->spoil(extent);
}

static dcmem_result
liar_acquire(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request)
{
    dcmem_result result = the_liar->honest->acquire(out, device, call, request);
    if (!result)
        liar_spoil(out);
    return result;
}

static dcmem_result
liar_import_host(dcmem_extent *out, void *device, const dcmem_call *call, void *host, uint64_t bytes)
{
    dcmem_result result = the_liar->honest->import_host(out, device, call, host, bytes);
    if (!result)
        liar_spoil(out);
    return result;
}

static dcmem_result
liar_release(void *device, const dcmem_call *call, const dcmem_extent *extent)
{
    return the_liar->honest->release(device, call, the_liar->spoil ? &the_liar->given : extent);
}

static dcmem_result
liar_map(void **out, void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes,
         uint32_t flags)
{
    dcmem_result result = the_liar->honest->map(out, device, call, extent, offset, bytes, flags);
    if (result || !the_liar->map_gives_null)
        return result;
    EXPECT_OK(the_liar->honest->unmap(device, call, extent, *out));
    *out = NULL;
    return DCMEM_OK;
}

/* One that does not lie yet: two devices of unified memory with addresses. It must not move afterwards. */
static inline void
liar_init(liar *self)
{
    static const dcmem_simulated_profile profile = {.size = sizeof profile,
                                                    .name = "Lying device",
                                                    .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED,
                                                    .total_bytes = 1 << 30};
    const dcmem_simulated_profile profiles[] = {profile, profile};
    *self = (liar){.info = {.size = sizeof self->info}};
    EXPECT_OK(dcmem_simulated_create(&self->simulated, profiles, 2));
    const dcmem_fake_options options = {.size = sizeof options, .over = self->simulated, .name = "liar"};
    EXPECT_OK(dcmem_fake_create(&self->fake, &options));
    self->honest = dcmem_fake_backend(self->fake);

    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    void *device;
    EXPECT_OK(self->honest->open(&device, self->honest, &open));
    EXPECT_OK(self->honest->info(&self->info, device));
    self->honest->close(device);
    dcmem_fake_reset(self->fake);

    the_liar = self;
    self->table = *self->honest;
    self->table.info = liar_info;
    self->table.acquire = liar_acquire;
    self->table.release = liar_release;
    self->table.import_host = liar_import_host;
    self->table.map = liar_map;
}

/* Nothing may be held any more. */
static inline void
liar_fini(liar *self)
{
    EXPECT_OK(dcmem_fake_verify(self->fake));
    EXPECT_OK(dcmem_fake_destroy(self->fake));
    EXPECT_OK(dcmem_simulated_destroy(self->simulated));
}

/* From now on an operation fails. */
static inline void
liar_fail(liar *self, dcmem_fake_operation operation, dcmem_result result)
{
    EXPECT_OK(dcmem_fake_fail(self->fake, operation, result, 1, UINT64_MAX));
}

static inline uint64_t
liar_count(liar *self, dcmem_fake_operation operation)
{
    return dcmem_fake_count_of(self->fake, operation).did;
}

#endif
