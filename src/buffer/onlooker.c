/* onlooker.c: options of transfers, when their callback is called, and what stops them. See onlooker.h. */
#include "buffer/onlooker.h"

#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"

#include <string.h>

#define USUAL_PROGRESS_BYTES (1ull << 20)

/* ---- The word ---- */

/* The caller's header may be compiled as C++, where a word cannot be _Atomic: the compilers' own calls need no type. */
void
dcmem_cancel_set(dcmem_cancel *cancel)
{
    if (cancel)
        __atomic_store_n(&cancel->word, 1, __ATOMIC_RELEASE);
}

void
dcmem_cancel_clear(dcmem_cancel *cancel)
{
    if (cancel)
        __atomic_store_n(&cancel->word, 0, __ATOMIC_RELEASE);
}

bool
dcmem_cancel_is_set(const dcmem_cancel *cancel)
{
    return cancel && __atomic_load_n(&cancel->word, __ATOMIC_ACQUIRE) != 0;
}

/* ---- Between pieces ---- */

static bool
is_due(const dcmi_onlooker *it)
{
    if (!it->options.progress || it->done_bytes - it->told_bytes < it->options.progress_bytes)
        return false;
    return it->options.progress_ns == 0 || dcmi_os_now_ns() - it->told_ns >= it->options.progress_ns;
}

static bool
tell(dcmi_onlooker *it)
{
    it->told_bytes = it->done_bytes;
    bool goes_on = it->options.progress(it->options.user, it->done_bytes, it->total_bytes);
    it->told_ns = it->options.progress_ns ? dcmi_os_now_ns() : 0;
    return goes_on;
}

static dcmem_result
step(dcmi_watch *watch, uint64_t bytes)
{
    dcmi_onlooker *it = (dcmi_onlooker *)watch;
    it->done_bytes += bytes;
    if (it->done_bytes == it->total_bytes) {
        if (it->options.progress)
            (void)tell(it); /* too late to stop what is there */
        return DCMEM_OK;
    }
    unsigned long long done = it->done_bytes, total = it->total_bytes;
    if (dcmem_cancel_is_set(it->options.cancel))
        return dcmi_fail(DCMEM_E_CANCELLED, "cancelled after %llu of %llu bytes", done, total);
    if (is_due(it) && !tell(it))
        return dcmi_fail(DCMEM_E_CANCELLED, "its progress callback ended it after %llu of %llu bytes", done, total);
    return DCMEM_OK;
}

/* ---- Options ---- */

dcmem_result
dcmi_onlooker_init(dcmi_onlooker *out, const dcmem_transfer_options *options)
{
    *out = (dcmi_onlooker){.watch.step = step};
    if (!options)
        return DCMEM_OK;
    if (options->size < offsetof(dcmem_transfer_options, progress))
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->size is %zu; set it to sizeof(dcmem_transfer_options)",
                         options->size);
    const unsigned char *bytes = (const unsigned char *)options;
    for (size_t i = sizeof *options; i < options->size; i++)
        if (bytes[i])
            return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options have a field at byte %zu that this dcmem does not know",
                             i);
    memcpy(&out->options, options, dcmi_min(options->size, sizeof *options));
    if (out->options.progress_bytes == 0)
        out->options.progress_bytes = USUAL_PROGRESS_BYTES;
    if (out->options.progress_ns)
        out->told_ns = dcmi_os_now_ns();
    return DCMEM_OK;
}

dcmi_watch *
dcmi_onlooker_watch(dcmi_onlooker *it, uint64_t total_bytes)
{
    it->total_bytes = total_bytes;
    return it->options.progress || it->options.cancel ? &it->watch : NULL;
}
