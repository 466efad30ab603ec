/* open.c: opens the library at run time, from a program that is not linked with it, and calls it from two threads. One
 * goes on when the library was closed: what was left with it must not be called into nothing. */
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
static pthread_barrier_t was_used, is_closed;

static void *
use_manager(void *unused)
{
    (void)unused;
    void *block = allocate(manager, 1000);
    return block && release(manager, block) == DCMEM_OK ? block : NULL;
}

/* Ends after the library was closed. */
static void *
use_and_outlive(void *unused)
{
    void *there = use_manager(unused);
    pthread_barrier_wait(&was_used);
    pthread_barrier_wait(&is_closed);
    return there;
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
    if (pthread_barrier_init(&was_used, NULL, 2) != 0 || pthread_barrier_init(&is_closed, NULL, 2) != 0 ||
        pthread_create(&thread, NULL, use_and_outlive, NULL) != 0)
        return 1;
    pthread_barrier_wait(&was_used);
    bool is_fine = use_manager(NULL) && destroy(manager) == DCMEM_OK && dlclose(library) == 0;
    pthread_barrier_wait(&is_closed);
    return pthread_join(thread, &there) == 0 && there && is_fine ? 0 : 1;
}
