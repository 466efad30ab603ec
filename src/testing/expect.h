/* expect.h: what the rest of the kit asks of expectations. */
#ifndef DCMI_TESTING_EXPECT_H
#define DCMI_TESTING_EXPECT_H

#include <stdint.h>

/* How many did not hold, since the process began. */
uint64_t dcmi_expect_failures(void);

#endif
