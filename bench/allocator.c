/* allocator.c: opening them all into one process.
 *
 * Peers are opened with dlopen(RTLD_LOCAL): their malloc() serves nobody but the benchmark. Some keep thread-local
 * storage of the static kind, for which the loader leaves little room to libraries that come late (jemalloc wants
 * 2.6 KiB, 1.6 KiB is there). Where one fails for that reason the process starts itself again, once, with a larger
 * reserve: GLIBC_TUNABLES can only be set from outside.
 *
 * tcmalloc is taken from its minimal library: the full one, opened late, frees blocks that it did not allocate. It is
 * the same allocator without the heap profiler. */
#include "bench/allocator.h"

#include "bench/floor.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATIC_TLS_BYTES "16384"
#define STATIC_TLS       "glibc.rtld.optional_static_tls"

/* name, library, the package of Debian 12 that brings it */
#define PEERS(X)                                                                                                       \
    X("glibc", "libc.so.6", "libc6")                                                                                   \
    X("jemalloc", "libjemalloc.so.2", "libjemalloc2")                                                                  \
    X("mimalloc", "libmimalloc.so.2", "libmimalloc2.0")                                                                \
    X("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4")

#define PEER_NAME(name, library, package) name,
const char *const bench_peer_names[] = {PEERS(PEER_NAME) NULL};
#undef PEER_NAME

/* Where a library has a name of its own for them, malloc and free may be somebody else's. */
static const char *const symbol_pairs[][2] = {
    {"mi_malloc", "mi_free"}, {"tc_malloc", "tc_free"}, {"je_malloc", "je_free"},
    {"sn_malloc", "sn_free"}, {"malloc", "free"},
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_INSTRUMENTED 1
#endif
#endif
#ifndef IS_INSTRUMENTED
#define IS_INSTRUMENTED 0
#endif

static void
name_it(bench_allocator *out, const char *name)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", name);
}

/* ISO C has no cast from what dlsym() returns to a function. */
static void *
take_symbol(void *out_function, void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(out_function, &symbol, sizeof symbol);
    return symbol;
}

static void
remember_path(bench_allocator *out, const void *symbol)
{
    Dl_info info;
    if (dladdr(symbol, &info) && info.dli_fname)
        snprintf(out->path, sizeof out->path, "%s", info.dli_fname);
}

/* ---- Peers ---- */

static bool
wants_more_static_tls(const char *complaint)
{
    return strstr(complaint, "static TLS") != NULL;
}

/* Replaces the process by itself with a larger reserve; comes back only when that has been tried before. */
static void
restart_with_static_tls(void)
{
    const char *old = getenv("GLIBC_TUNABLES");
    if (old && strstr(old, STATIC_TLS))
        return;

    char tunables[1024];
    snprintf(tunables, sizeof tunables, "%s%s" STATIC_TLS "=" STATIC_TLS_BYTES, old ? old : "", old ? ":" : "");
    if (setenv("GLIBC_TUNABLES", tunables, 1))
        return;

    /* The words of this process as the kernel keeps them: exactly what it was started with. */
    static char words[1 << 16];
    static char *argv[1 << 12];
    FILE *file = fopen("/proc/self/cmdline", "re");
    if (!file)
        return;
    size_t bytes = fread(words, 1, sizeof words - 1, file);
    fclose(file);
    unsigned count = 0;
    for (char *word = words; word < words + bytes && count + 1 < sizeof argv / sizeof *argv; word += strlen(word) + 1)
        argv[count++] = word;
    fflush(NULL);
    execv("/proc/self/exe", argv);
}

static void
open_plain(bench_allocator *out, const char *name, const char *library, const char *package)
{
    name_it(out, name);
    if (IS_INSTRUMENTED && strcmp(library, "libc.so.6") != 0) {
        snprintf(out->absence, sizeof out->absence, "%s is left out: this build is instrumented", library);
        return;
    }
    out->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!out->library) {
        const char *complaint = dlerror();
        if (wants_more_static_tls(complaint))
            restart_with_static_tls();
        if (package)
            snprintf(out->absence, sizeof out->absence, "not installed: apt-get install %s", package);
        if (!package || wants_more_static_tls(complaint))
            snprintf(out->absence, sizeof out->absence, "%s", complaint);
        return;
    }
    for (size_t i = 0; i < sizeof symbol_pairs / sizeof *symbol_pairs; i++) {
        void *allocate = take_symbol(&out->calls.plain_allocate, out->library, symbol_pairs[i][0]);
        if (allocate && take_symbol(&out->calls.plain_free, out->library, symbol_pairs[i][1])) {
            remember_path(out, allocate);
            return;
        }
    }
    snprintf(out->absence, sizeof out->absence, "%s has no malloc", library);
}

/* Is `name` a word of the list "a,b,c"? */
static bool
is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static void
open_known_peer(bench_allocators *out, const bench_wanted *wanted, const char *name, const char *library,
                const char *package)
{
    if (!wanted->only || is_listed(wanted->only, name))
        open_plain(&out->peers[out->peer_count++], name, library, package);
}

/* "name=path,...". Only the last = can belong to a path's name, only the first to ours. */
static void
open_extra_peers(bench_allocators *out, const char *list)
{
    char copy[2048];
    char *rest = NULL;
    snprintf(copy, sizeof copy, "%s", list ? list : "");
    for (char *word = strtok_r(copy, ",", &rest); word && out->peer_count < BENCH_PEERS;
         word = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(word, '=');
        if (equals)
            *equals = '\0';
        open_plain(&out->peers[out->peer_count++], word, equals ? equals + 1 : word, NULL);
    }
}

/* ---- dcmem ---- */

/* The functions that a manager needs, of the library that the program is linked to or of a variant. */
typedef struct library_calls {
    bench_calls calls;
    dcmem_result (*manager_create)(dcmem_manager **out, const dcmem_manager_options *options);
    dcmem_result (*manager_destroy)(dcmem_manager *manager);
} library_calls;

static bool
create_manager(bench_allocator *out, const library_calls *library, dcmem_policy policy)
{
    dcmem_manager_options options = {.size = sizeof options, .policy = policy};
    out->calls = library->calls;
    out->manager_destroy = library->manager_destroy;
    return library->manager_create(&out->calls.manager, &options) == DCMEM_OK;
}

static bool
open_dcmem(bench_allocators *out, dcmem_policy policy)
{
    const library_calls library = {
        .calls = {.shape = BENCH_MANAGED,
                  .raw_allocate = dcmem_raw_allocate,
                  .raw_free = dcmem_raw_free,
                  .create = dcmem_buffer_create,
                  .destroy = dcmem_buffer_destroy},
        .manager_create = dcmem_manager_create,
        .manager_destroy = dcmem_manager_destroy,
    };
    name_it(&out->dcmem, "dcmem");
    name_it(&out->fresh, "dcmem");
    if (!create_manager(&out->dcmem, &library, policy) || !create_manager(&out->fresh, &library, policy))
        return false;
    const char *(*version)(void) = dcmem_version;
    const void *address;
    memcpy(&address, &version, sizeof address);
    remember_path(&out->dcmem, address);

    /* The same manager seen through handles: a program that mixes both has one pool. */
    out->handle = out->dcmem;
    snprintf(out->handle.name, sizeof out->handle.name, "handle");
    out->handle.calls.shape = BENCH_HANDLE;
    return true;
}

static void
variant_path(char *out, size_t capacity, const char *file)
{
    const char *folder = getenv("DCMEM_BENCH_LIBS");
    if (folder) {
        snprintf(out, capacity, "%s/%s", folder, file);
        return;
    }
    ssize_t length = readlink("/proc/self/exe", out, capacity - 1);
    out[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(out, '/');
    size_t used = slash ? (size_t)(slash + 1 - out) : 0;
    snprintf(out + used, capacity - used, "%s", file);
}

static void
open_variant(bench_allocator *out, const char *name, const char *file, dcmem_policy policy)
{
    library_calls library = {.calls.shape = BENCH_MANAGED};
    name_it(out, name);
    variant_path(out->path, sizeof out->path, file);
    out->library = dlopen(out->path, RTLD_NOW | RTLD_LOCAL);
    if (!out->library) {
        snprintf(out->absence, sizeof out->absence,
                 "%s is not beside the program; set DCMEM_BENCH_LIBS to the folder that has it", file);
        return;
    }
    bool is_whole = take_symbol(&library.calls.raw_allocate, out->library, "dcmem_raw_allocate") &&
                    take_symbol(&library.calls.raw_free, out->library, "dcmem_raw_free") &&
                    take_symbol(&library.manager_create, out->library, "dcmem_manager_create") &&
                    take_symbol(&library.manager_destroy, out->library, "dcmem_manager_destroy");
    if (!is_whole || !create_manager(out, &library, policy))
        snprintf(out->absence, sizeof out->absence, "%s %s", file,
                 is_whole ? "cannot create a manager" : "is not a dcmem library");
}

/* ---- All ---- */

static void
open_floor(bench_allocator *out)
{
    name_it(out, "floor");
    out->calls.shape = BENCH_PLAIN;
    out->calls.plain_allocate = bench_floor_allocate;
    out->calls.plain_free = bench_floor_free;
    if (!bench_floor_open())
        snprintf(out->absence, sizeof out->absence, "no address space: %s", strerror(errno));
}

bool
bench_allocators_open(bench_allocators *out, const bench_wanted *wanted)
{
    memset(out, 0, sizeof *out);
    /* Peers first: opening them may start the process again. */
#define OPEN_PEER(name, library, package) open_known_peer(out, wanted, name, library, package);
    PEERS(OPEN_PEER)
#undef OPEN_PEER
    open_extra_peers(out, wanted->extra);
    open_floor(&out->floor);
    open_variant(&out->nostats, "without statistics", "libdcmem-nostats.so", wanted->policy);
    open_variant(&out->unchecked, "without checks", "libdcmem-unchecked.so", wanted->policy);
    return open_dcmem(out, wanted->policy);
}

void
bench_allocators_close(bench_allocators *allocators)
{
    bench_allocator *ours[] = {&allocators->dcmem, &allocators->fresh};
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i]->manager_destroy && ours[i]->calls.manager)
            (void)ours[i]->manager_destroy(ours[i]->calls.manager); /* it logs what it finds */
    /* The variants end with the process: one of them does not know what is still in use and would complain. Libraries
     * stay open: threads' end handlers of theirs may still be due. */
}

const bench_allocator *
bench_allocators_find(const bench_allocators *allocators, const char *name)
{
    const bench_allocator *own[] = {&allocators->dcmem, &allocators->floor};
    for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i]->name, name) == 0)
            return own[i];
    for (unsigned i = 0; i < allocators->peer_count; i++)
        if (strcmp(allocators->peers[i].name, name) == 0)
            return &allocators->peers[i];
    return NULL;
}
