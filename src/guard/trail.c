/* trail.c: frames by the C library's unwinder, names by the loader's. See trail.h. */
#include "guard/trail.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#define MOST_OWN 12 /* frames of the library's own that may lie before the caller's */

/* Where the module that holds `address` begins, or NULL. */
static const void *
module_of(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) ? info.dli_fbase : NULL;
}

void
dcmi_trail_prepare(void)
{
    void *frame;
    (void)backtrace(&frame, 1);
}

void
dcmi_trail_capture(dcmi_trail *out)
{
    static const char here = 0;
    void *frames[DCMI_TRAIL_FRAMES + MOST_OWN];
    int count = backtrace(frames, (int)(sizeof frames / sizeof frames[0]));
    int first = 1; /* this function */
    const void *own = module_of(&here);
    bool is_alone = own != module_of((const void *)getauxval(AT_ENTRY));
    while (is_alone && first < count && module_of(frames[first]) == own)
        first++;

    *out = (dcmi_trail){0};
    for (int i = first; i < count && out->count < DCMI_TRAIL_FRAMES; i++)
        out->frames[out->count++] = frames[i];
}

static int
print_frame(char *text, size_t capacity, const void *frame)
{
    /* A frame is where its call returns to; the byte before belongs to the call. */
    const char *call = (const char *)frame - 1;
    Dl_info info;
    if (!dladdr(call, &info) || !info.dli_fname)
        return snprintf(text, capacity, "%p", frame);
    if (info.dli_sname)
        return snprintf(text, capacity, "%s+0x%zx", info.dli_sname, (size_t)(call - (const char *)info.dli_saddr));
    const char *name = strrchr(info.dli_fname, '/');
    return snprintf(text, capacity, "%s+0x%zx", name ? name + 1 : info.dli_fname,
                    (size_t)(call - (const char *)info.dli_fbase));
}

void
dcmi_trail_print(char *text, size_t capacity, const dcmi_trail *trail)
{
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < trail->count && length + 1 < capacity; i++) {
        if (i > 0) {
            text[length++] = ' ';
            text[length] = '\0';
        }
        int written = print_frame(text + length, capacity - length, trail->frames[i]);
        length += written > 0 ? (size_t)written : 0;
    }
}
