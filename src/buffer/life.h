/* life.h: what the life of buffers has to do with the life of managers. */
#ifndef DCMI_LIFE_H
#define DCMI_LIFE_H

#include "pool/pool.h"

/* Ends every buffer of a manager, open ones too; how many. Dry: how many have an access open or are pinned. */
uint64_t dcmi_buffer_end_all(dcmi_pool *root, bool is_dry);

#endif
