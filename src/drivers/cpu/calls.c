/* calls.c: the real system calls. */
#include "drivers/cpu/calls.h"

#include <errno.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)
#define MAX_NODES 1024u /* as many as Linux can be built for */

static void *
call_map(void *address, size_t bytes, int protection, int flags)
{
    return mmap(address, bytes, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* By number: the C library's wrapper lives in a library of its own. */
static int
call_bind(void *address, size_t bytes, int node)
{
    unsigned long mask[MAX_NODES / WORD_BITS] = {0};
    if (node < 0 || node >= (int)MAX_NODES) {
        errno = EINVAL;
        return -1;
    }
    mask[(size_t)node / WORD_BITS] = 1ul << ((size_t)node % WORD_BITS);
    /* The kernel reads one bit less than it is told of. */
    return (int)syscall(SYS_mbind, address, bytes, MPOL_BIND, mask, MAX_NODES + 1ul, 0u);
}

static uint64_t
call_lock_limit(void)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &limit); /* It fails for bad arguments only. */
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

dcmi_cpu_call_table dcmi_cpu_calls = {
    .map = call_map,
    .unmap = munmap,
    .protect = mprotect,
    .advise = madvise,
    .lock = mlock,
    .unlock = munlock,
    .bind = call_bind,
    .lock_limit = call_lock_limit,
};

dcmem_result
dcmi_cpu_result_of(int errno_code, dcmi_cpu_purpose purpose)
{
    switch (errno_code) {
    case ENOMEM:
    case EAGAIN:
        return purpose == DCMI_CPU_TO_LOCK ? DCMEM_E_NO_HOST_MEMORY : DCMEM_E_NO_MEMORY;
    case EPERM:
    case EACCES:
        return DCMEM_E_PERMISSION;
    case ENOSYS:
    case EOPNOTSUPP:
        return DCMEM_E_UNSUPPORTED;
    default:
        return DCMEM_E_DRIVER;
    }
}
