/* open.c: opens the library at run time, from a program that is not linked with it, and calls it from two threads. */
#define _GNU_SOURCE
#include <dcmem/dcmem.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static dcmem_result (*create)(dcmem_manager **out, const dcmem_manager_options *options);
static dcmem_result (*destroy)(dcmem_manager *manager);
static void *(*allocate)(dcmem_manager *manager, uint64_t bytes);
static dcmem_result (*release)(dcmem_manager *manager, void *address);
static dcmem_manager *manager;

static void *
use_manager(void *unused)
{
    (void)unused;
    void *block = allocate(manager, 1000);
    return block && release(manager, block) == DCMEM_OK ? block : NULL;
}

int
main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", argc > 1 ? dlerror() : "usage: open LIBRARY");
        return 1;
    }
    /* POSIX promises that a function fits into what dlsym() returns; ISO C only that bytes can be copied. */
    *(void **)&create = dlsym(library, "dcmem_manager_create");
    *(void **)&destroy = dlsym(library, "dcmem_manager_destroy");
    *(void **)&allocate = dlsym(library, "dcmem_raw_allocate");
    *(void **)&release = dlsym(library, "dcmem_raw_free");
    if (!create || !destroy || !allocate || !release || create(&manager, NULL) != DCMEM_OK)
        return 1;

    pthread_t thread;
    void *there = NULL;
    if (pthread_create(&thread, NULL, use_manager, NULL) != 0 || pthread_join(thread, &there) != 0)
        return 1;
    return there && use_manager(NULL) && destroy(manager) == DCMEM_OK ? 0 : 1;
}
