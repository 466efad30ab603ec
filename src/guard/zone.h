/* zone.h: bytes that nobody may write: written, and read back, wherever the memory is.
 *
 * What the host can touch coherently it touches; all else goes through the driver's fills and copies. */
#ifndef DCMI_ZONE_H
#define DCMI_ZONE_H

#include "pool/pool.h"

#define DCMI_ZONE_BYTE  0xfd
#define DCMI_NEW_BYTE   0xcd
#define DCMI_FREED_BYTE 0xdd

#define DCMI_DAMAGE_SHOWN 8u

/* What is wrong in a range. */
typedef struct dcmi_damage {
    uint64_t count; /* wrong bytes; 0: none */
    uint64_t first; /* offset of the first in the range */
    uint32_t shown;
    uint8_t found[DCMI_DAMAGE_SHOWN]; /* from the first on */
} dcmi_damage;

/* Bytes in which the host's view of a pool's memory is brought together with the device's; 1 where they are one. */
uint64_t dcmi_zone_unit(const dcmi_pool *pool);

/* Sets a range of a live block. */
dcmem_result dcmi_zone_write(dcmi_pool *pool, uint64_t address, uint64_t bytes, uint8_t value);

/* Compares it; adds to what *damage says already, as of a range that begins `offset` further on. */
dcmem_result dcmi_zone_compare(dcmi_damage *damage, dcmi_pool *pool, uint64_t address, uint64_t bytes, uint8_t value,
                               uint64_t offset);

#endif
