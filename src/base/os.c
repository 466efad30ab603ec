/* os.c: memory, time and barriers of Linux.
 *
 * A control group's limit counts only where it is below the machine's memory. Version 2 has one file
 * (memory.max, "max" for none), version 1 another (memory.limit_in_bytes, a huge number for none); containers mount
 * their own group at the root, so the root's files are asked after the process's own. */
#include "base/os.h"

#include "base/size.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

bool (*dcmi_os_fault)(const char *what);

void *
dcmi_os_reserve(uint64_t bytes)
{
    if (dcmi_os_fault && dcmi_os_fault("reserve of the library"))
        return NULL;
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

void
dcmi_os_unreserve(void *address, uint64_t bytes)
{
    if (address)
        munmap(address, bytes);
}

void
dcmi_os_forget(void *address, uint64_t bytes)
{
    uint64_t begin;
    if (!dcmi_round_up(&begin, (uintptr_t)address, DCMI_PAGE))
        return;
    uint64_t end = dcmi_round_down((uintptr_t)address + bytes, DCMI_PAGE);
    if (begin < end)
        madvise((void *)(uintptr_t)begin, end - begin, MADV_DONTNEED);
}

uint64_t
dcmi_os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
dcmi_os_sleep(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec time = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns == UINT64_MAX ? NULL : &time, NULL, 0);
}

void
dcmi_os_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

const char *dcmi_os_root = "";

void
dcmi_os_read(char *out, size_t capacity, const char *path)
{
    char name[1024];
    out[0] = '\0';
    snprintf(name, sizeof name, "%s%s", dcmi_os_root, path);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t length = read(file, out, capacity - 1);
    close(file);
    out[length > 0 ? length : 0] = '\0';
}

/* The number in a file of a control group, or NO_LIMIT. */
static uint64_t
group_number(const char *path)
{
    char text[64];
    dcmi_os_read(text, sizeof text, path);
    if (text[0] < '0' || text[0] > '9')
        return NO_LIMIT;
    return strtoull(text, NULL, 10);
}

/* A number of /proc/meminfo; where there is no such file, what the system call has in its stead. */
static uint64_t
meminfo(const char *field, uint64_t otherwise)
{
    char text[4096];
    dcmi_os_read(text, sizeof text, "/proc/meminfo");
    const char *found = strstr(text, field);
    return found ? strtoull(found + strlen(field), NULL, 10) * 1024 : otherwise;
}

static struct sysinfo
machine(void)
{
    struct sysinfo info = {0};
    (void)sysinfo(&info); /* It fails for a bad pointer only. */
    return info;
}

/* The path of this process in the hierarchy of that controller; version 2 is the one of "". */
static bool
group_path(char *out, size_t capacity, const char *controller)
{
    char text[4096];
    char *rest;
    dcmi_os_read(text, sizeof text, "/proc/self/cgroup");
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');
        char *path = colon ? strchr(colon + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (strcmp(colon + 1, controller) == 0) {
            snprintf(out, capacity, "%s", path);
            return true;
        }
    }
    return false;
}

/* What a hierarchy of control groups leaves to this process. */
typedef struct group_memory {
    uint64_t limit;
    uint64_t room; /* below the limit and not in use */
} group_memory;

/* The files of one version of control groups. */
typedef struct group_files {
    const char *controller;
    const char *root;
    const char *limit;
    const char *used;
    const char *cache; /* the field of memory.stat that counts pages of files, which go when somebody needs room */
} group_files;

static const group_files group_versions[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", "\ninactive_file "},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "\ntotal_inactive_file "},
};

static uint64_t
group_cache(const char *path, const char *field)
{
    char text[4096];
    dcmi_os_read(text, sizeof text, path);
    const char *found = strstr(text, field);
    return found ? strtoull(found + strlen(field), NULL, 10) : 0;
}

static group_memory
group_at(const group_files *files, const char *path)
{
    char file[768];
    snprintf(file, sizeof file, "%s%s/%s", files->root, path, files->limit);
    uint64_t limit = group_number(file);
    if (limit == NO_LIMIT)
        return (group_memory){NO_LIMIT, NO_LIMIT};

    snprintf(file, sizeof file, "%s%s/%s", files->root, path, files->used);
    uint64_t used = group_number(file);
    if (used == NO_LIMIT)
        return (group_memory){limit, limit};
    snprintf(file, sizeof file, "%s%s/memory.stat", files->root, path);
    return (group_memory){limit, dcmi_less(limit, dcmi_less(used, group_cache(file, files->cache)))};
}

/* Over this process's group and all groups above it: the tightest of each. */
static group_memory
group_tightest(const group_files *files)
{
    char path[512];
    group_memory tightest = {NO_LIMIT, NO_LIMIT};
    if (!group_path(path, sizeof path, files->controller))
        return tightest;
    for (;;) {
        group_memory memory = group_at(files, path);
        tightest.limit = dcmi_min(tightest.limit, memory.limit);
        tightest.room = dcmi_min(tightest.room, memory.room);
        char *slash = strrchr(path, '/');
        if (!slash)
            return tightest;
        *slash = '\0';
    }
}

static group_memory
group_limits(void)
{
    group_memory second = group_tightest(&group_versions[0]), first = group_tightest(&group_versions[1]);
    return (group_memory){dcmi_min(second.limit, first.limit), dcmi_min(second.room, first.room)};
}

uint64_t
dcmi_os_memory_total(void)
{
    struct sysinfo info = machine();
    return dcmi_min(meminfo("MemTotal:", (uint64_t)info.totalram * info.mem_unit), group_limits().limit);
}

uint64_t
dcmi_os_memory_available(void)
{
    struct sysinfo info = machine();
    return dcmi_min(meminfo("MemAvailable:", (uint64_t)info.freeram * info.mem_unit), group_limits().room);
}

bool
dcmi_os_fence_prepare(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void
dcmi_os_fence_all(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
