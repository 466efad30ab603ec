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
#include <time.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

void *
dcmi_os_reserve(uint64_t bytes)
{
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

/* Reads a small file whole; "" when there is none. */
static void
read_file(char *text, size_t capacity, const char *path)
{
    text[0] = '\0';
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t length = read(file, text, capacity - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
}

/* The number in a file of a control group, or NO_LIMIT. */
static uint64_t
group_number(const char *path)
{
    char text[64];
    read_file(text, sizeof text, path);
    if (text[0] < '0' || text[0] > '9')
        return NO_LIMIT;
    return strtoull(text, NULL, 10);
}

static uint64_t
meminfo(const char *field)
{
    char text[4096];
    read_file(text, sizeof text, "/proc/meminfo");
    const char *found = strstr(text, field);
    if (!found)
        return 0;
    return strtoull(found + strlen(field), NULL, 10) * 1024;
}

/* The path of this process in the hierarchy whose line in /proc/self/cgroup begins with `prefix`. */
static bool
group_path(char *out, size_t capacity, const char *controller)
{
    char text[4096];
    char *rest;
    read_file(text, sizeof text, "/proc/self/cgroup");
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

typedef struct group_memory {
    uint64_t limit;
    uint64_t used;
} group_memory;

static group_memory
group_at(const char *root, const char *path, const char *limit_file, const char *used_file)
{
    char file[768];
    group_memory memory;
    snprintf(file, sizeof file, "%s%s/%s", root, path, limit_file);
    memory.limit = group_number(file);
    snprintf(file, sizeof file, "%s%s/%s", root, path, used_file);
    memory.used = group_number(file);
    return memory;
}

/* The tightest limit over this process's group and all groups above it. */
static group_memory
group_tightest(const char *root, char *path, const char *limit_file, const char *used_file)
{
    group_memory tightest = {NO_LIMIT, 0};
    for (;;) {
        group_memory memory = group_at(root, path, limit_file, used_file);
        if (memory.limit < tightest.limit)
            tightest = memory;
        char *slash = strrchr(path, '/');
        if (!slash)
            return tightest;
        *slash = '\0';
    }
}

static group_memory
group_limits(void)
{
    char path[512];
    group_memory second = {NO_LIMIT, 0}, first = {NO_LIMIT, 0};
    if (group_path(path, sizeof path, ""))
        second = group_tightest("/sys/fs/cgroup", path, "memory.max", "memory.current");
    if (group_path(path, sizeof path, "memory"))
        first = group_tightest("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes");
    return second.limit <= first.limit ? second : first;
}

uint64_t
dcmi_os_memory_total(void)
{
    return dcmi_min(meminfo("MemTotal:"), group_limits().limit);
}

uint64_t
dcmi_os_memory_available(void)
{
    uint64_t available = meminfo("MemAvailable:");
    group_memory group = group_limits();
    if (group.limit == NO_LIMIT || group.used == NO_LIMIT)
        return available;
    return dcmi_min(available, dcmi_less(group.limit, group.used));
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
