/* trail.h: the calls that led somewhere: taken as bare addresses, made into words only when somebody reads them. */
#ifndef DCMI_TRAIL_H
#define DCMI_TRAIL_H

#include <stddef.h>
#include <stdint.h>

#define DCMI_TRAIL_FRAMES 6u

typedef struct dcmi_trail {
    uint32_t count;
    void *frames[DCMI_TRAIL_FRAMES]; /* innermost first */
} dcmi_trail;

/* The first capture of a process loads what walks the stack: here, where nobody is in the midst of anything. */
void dcmi_trail_prepare(void);

/* The calling thread's calls from outside this library. Where the library is part of the program itself its own are
 * among them. */
void dcmi_trail_capture(dcmi_trail *out);

/* "main+0x1d app+0x11a9": exported names, else the module and the offset that addr2line takes. */
void dcmi_trail_print(char *text, size_t capacity, const dcmi_trail *trail);

#endif
