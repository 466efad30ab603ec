/* host.c: memory and pages of the host, which tests can make scarce, and its clock. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096ull
#define SECOND 1000000000ull

bool (*dcmi_testing_fault)(void);

static bool
is_out(void)
{
    return dcmi_testing_fault && dcmi_testing_fault();
}

void *
dcmi_host_new(size_t bytes)
{
    return is_out() ? NULL : calloc(1, bytes);
}

void *
dcmi_host_renew(void *memory, size_t bytes)
{
    return is_out() ? NULL : realloc(memory, bytes);
}

uint8_t *
dcmi_host_map(uint8_t *wanted, uint64_t bytes, int protection, int flags)
{
    if (is_out())
        return NULL;
    void *address = mmap(wanted, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

static uint64_t
whole_pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(PAGE - 1);
}

/* Maps more and trims both ends. */
uint8_t *
dcmi_host_map_aligned(uint64_t bytes, uint64_t alignment, int protection)
{
    bytes = whole_pages(bytes);
    if (alignment <= PAGE)
        return dcmi_host_map(NULL, bytes, protection, 0);

    uint8_t *address = dcmi_host_map(NULL, bytes + alignment, protection, 0);
    if (!address)
        return NULL;
    uint64_t before = -(uint64_t)(uintptr_t)address & (alignment - 1);
    if (before > 0)
        munmap(address, before);
    munmap(address + before + bytes, alignment - before);
    return address + before;
}

int
dcmi_host_file(uint64_t bytes)
{
    int file = is_out() ? -1 : memfd_create("dcmem-simulated", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file >= 0 && !ftruncate(file, (off_t)whole_pages(bytes)) &&
        !fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL))
        return file;
    if (file >= 0)   /* COVER: a new file that cannot be as large as its device */
        close(file); /* COVER: the same */
    return -1;
}

int
dcmi_host_duplicate(int file)
{
    return is_out() ? -1 : fcntl(file, F_DUPFD_CLOEXEC, 0);
}

uint64_t
dcmi_host_file_bytes(int file)
{
    struct stat status;
    int seals = fcntl(file, F_GET_SEALS);
    bool is_firm = seals >= 0 && (seals & F_SEAL_SHRINK) && !fstat(file, &status);
    return is_firm ? (uint64_t)status.st_size : 0;
}

uint8_t *
dcmi_host_map_file(uint8_t *wanted, uint64_t bytes, int file, uint64_t offset)
{
    if (is_out())
        return NULL;
    void *address = mmap(wanted, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | (wanted ? MAP_FIXED : 0),
                         file, (off_t)offset);
    return address == MAP_FAILED ? NULL : address;
}

uint64_t
dcmi_host_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void
dcmi_host_sleep_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}
