/* calls.c: the real system calls. */
#include "drivers/cpu/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static int
call_file(void)
{
    return memfd_create("dcmem-cpu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* A file beyond the process's limit would end the process by a signal. */
static int
call_extend(int file, uint64_t end)
{
    struct rlimit limit = {0};
    if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur) {
        errno = ENOMEM;
        return -1;
    }
    return ftruncate(file, (off_t)end);
}

static int
call_seal(int file)
{
    return fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL);
}

static int
call_punch(int file, uint64_t offset, uint64_t bytes)
{
    return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
}

static void *
call_map_file(void *address, size_t bytes, int file, uint64_t offset)
{
    return mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, (off_t)offset);
}

static int
call_duplicate(int file)
{
    return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

static uint64_t
call_firm_bytes(int file)
{
    struct stat status;
    int seals = fcntl(file, F_GET_SEALS);
    bool is_firm = seals >= 0 && (seals & F_SEAL_SHRINK) && !fstat(file, &status);
    return is_firm ? (uint64_t)status.st_size : 0;
}

static int
call_start(pthread_t *out, void *(*run)(void *))
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
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
    .file = call_file,
    .extend = call_extend,
    .seal = call_seal,
    .punch = call_punch,
    .map_file = call_map_file,
    .duplicate = call_duplicate,
    .close = close,
    .firm_bytes = call_firm_bytes,
    .start = call_start,
};

dcmem_result
dcmi_cpu_result_of(int errno_code, dcmi_cpu_purpose purpose)
{
    switch (errno_code) {
    case ENOMEM:
    case EAGAIN:
        return purpose == DCMI_CPU_TO_MAP ? DCMEM_E_NO_MEMORY : DCMEM_E_NO_HOST_MEMORY;
    case EMFILE:
    case ENFILE:
        return DCMEM_E_NO_HOST_MEMORY;
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
