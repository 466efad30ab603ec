/* load.c: how long it takes to open a library.
 *
 * The library is copied into a file of its own that lives in memory: the loader takes it for one that it has not seen,
 * though the program itself is linked to it. Each measurement opens it in a child process that ends at once; what it
 * depends on (libc, for some the C++ library) is loaded already. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct load {
    int file;
    char path[32];
} load;

uint64_t
bench_file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) ? 0 : (uint64_t)info.st_size;
}

uint64_t
bench_loaded_bytes(const char *path)
{
    Elf64_Ehdr head = {.e_phnum = 0};
    uint64_t bytes = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool is_elf = file >= 0 && pread(file, &head, sizeof head, 0) == sizeof head &&
                  memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_ident[EI_CLASS] == ELFCLASS64;
    for (unsigned i = 0; is_elf && i < head.e_phnum; i++) {
        Elf64_Phdr part;
        off_t at = (off_t)(head.e_phoff + i * sizeof part);
        if (pread(file, &part, sizeof part, at) == sizeof part && part.p_type == PT_LOAD)
            bytes += part.p_filesz;
    }
    if (file >= 0)
        close(file);
    return bytes;
}

static bool
copy_file(int to, const char *path)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return false;
    uint64_t left = bench_file_bytes(path);
    ssize_t done = 1;
    while (left && done > 0) {
        done = sendfile(to, from, NULL, left);
        left -= done > 0 ? (uint64_t)done : 0;
    }
    close(from);
    return left == 0;
}

static void *
load_begin(const bench_case *which, const bench_contender *contender)
{
    (void)which;
    load *state = cli_allocate(1, sizeof *state);
    state->file = memfd_create(contender->name, MFD_CLOEXEC);
    if (state->file >= 0 && copy_file(state->file, contender->allocator->path)) {
        snprintf(state->path, sizeof state->path, "/proc/self/fd/%d", state->file);
        return state;
    }
    if (state->file >= 0)
        close(state->file);
    free(state);
    return NULL;
}

static double
load_run(void *state, uint64_t ops)
{
    (void)ops;
    int ends[2];
    if (pipe(ends))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        uint64_t begin = now_ns();
        void *library = dlopen(((load *)state)->path, RTLD_NOW | RTLD_LOCAL);
        double microseconds = library ? (double)(now_ns() - begin) / 1000 : -1;
        _exit(write(ends[1], &microseconds, sizeof microseconds) != sizeof microseconds);
    }
    close(ends[1]);
    double microseconds = -1;
    if (child < 0 || read(ends[0], &microseconds, sizeof microseconds) != sizeof microseconds)
        microseconds = -1;
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return microseconds;
}

static void
load_end(void *state)
{
    close(((load *)state)->file);
    free(state);
}

const bench_pattern bench_load = {load_begin, load_run, load_end, true, 0};
