/* routes.c: copies between host and device, by dcmem's choice of a route and by each route taken by hand.
 *
 * All contenders of a case share one block of the host's memory, and those by hand one device; each has memory of that
 * device for itself as long as caches could hold it, so that nobody's is warm from another's turn. All of it is touched
 * before the clock starts. By hand means by the calls that the backend makes of the driver: what a program without
 * dcmem would do with that driver, with no pool, no handle and no bookkeeping in between. A case whose backend is not
 * on this machine is left out. */
#include "bench/harness.h"
#include "cli/cli.h"
#include "cli/numbers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* Copies after which dcmem knows its routes, and has tried them early once more: of those that try a route each, and of
 * those that try several with their parts. */
#define WHOLE_BYTES (32ull << 20)
#define SMALL_WARM  128u
#define LARGE_WARM  8u

#define MOST_OWN_BYTES (16ull << 20) /* of memory that is a contender's own */

typedef struct setting {
    const dcmem_backend *backend;
    void *device, *queue;
    dcmem_extent extent; /* for those who go past dcmem */
    dcmem_manager *manager;
    dcmem_buffer *buffer;
    dcmem_view view;
    char *host;
    uint64_t bytes;
    bool is_out;
} setting;

typedef dcmem_result route_way(const setting *self);

typedef struct route_state {
    setting with;
    route_way *way;
    bool has_own; /* the extent is its own */
} route_state;

static setting shared;
static unsigned users;
static const dcmem_call call = {.op_index = 1};

/* ---- Ways ---- */

static dcmem_result
by_dcmem(const setting *self)
{
    return self->is_out ? dcmem_buffer_copy_out(self->host, self->view, 0)
                        : dcmem_buffer_copy_in(self->view, self->host, 0);
}

static dcmem_result
by_copy(const setting *self)
{
    const dcmem_place device = {.extent = &self->extent}, host = {.host = self->host};
    return self->backend->copy(self->device, &call, self->is_out ? &host : &device, self->is_out ? &device : &host,
                               self->bytes);
}

static dcmem_result
by_queue(const setting *self)
{
    uint64_t value;
    const dcmem_place device = {.extent = &self->extent}, host = {.host = self->host};
    dcmem_result result =
        self->backend->enqueue_copy(&value, self->device, self->queue, &call, self->is_out ? &host : &device,
                                    self->is_out ? &device : &host, self->bytes);
    return result ? result : self->backend->queue_wait(self->device, self->queue, value, UINT64_MAX);
}

typedef void mover(char *to, const char *from, size_t bytes);

static dcmem_result
by_map(const setting *self, mover *move)
{
    void *mapped;
    const uint32_t flags = self->is_out ? DCMEM_MAP_READ_BIT : DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT;
    dcmem_result result = self->backend->map(&mapped, self->device, &call, &self->extent, 0, self->bytes, flags);
    if (result)
        return result;
    move(self->is_out ? self->host : mapped, self->is_out ? mapped : self->host, self->bytes);
    return self->backend->unmap(self->device, &call, &self->extent, mapped);
}

static void
move_plain(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

/* Sizes are multiples of 64, addresses of 16. */
static void
move_streamed(char *to, const char *from, size_t bytes)
{
#if defined(__x86_64__)
    __m128i *out = (__m128i *)(void *)to;
    const __m128i *in = (const __m128i *)(const void *)from;
    for (size_t i = 0; i < bytes / sizeof *in; i += 4) {
        __m128i a = _mm_loadu_si128(in + i), b = _mm_loadu_si128(in + i + 1);
        __m128i c = _mm_loadu_si128(in + i + 2), d = _mm_loadu_si128(in + i + 3);
        _mm_stream_si128(out + i, a);
        _mm_stream_si128(out + i + 1, b);
        _mm_stream_si128(out + i + 2, c);
        _mm_stream_si128(out + i + 3, d);
    }
    _mm_sfence();
#else
    memcpy(to, from, bytes);
#endif
}

typedef struct half {
    char *to;
    const char *from;
    size_t bytes;
} half;

static void *
move_half(void *of)
{
    const half *self = of;
    move_streamed(self->to, self->from, self->bytes);
    return NULL;
}

static void
move_by_two(char *to, const char *from, size_t bytes)
{
    pthread_t thread;
    size_t first = bytes / 2 & ~(size_t)4095;
    half second = {to + first, from + first, bytes - first};
    bool is_there = !pthread_create(&thread, NULL, move_half, &second);
    move_streamed(to, from, first);
    if (is_there)
        (void)pthread_join(thread, NULL);
    else
        (void)move_half(&second);
}

static dcmem_result
by_memcpy(const setting *self)
{
    return by_map(self, move_plain);
}

static dcmem_result
by_stream(const setting *self)
{
    return by_map(self, move_streamed);
}

static dcmem_result
by_two(const setting *self)
{
    return by_map(self, move_by_two);
}

static const struct {
    const char *name;
    route_way *way;
} ways[] = {
    {"dcmem", by_dcmem}, {"driver", by_copy},   {"queue", by_queue},
    {"map", by_memcpy},  {"stream", by_stream}, {"two", by_two},
};

const char *const bench_route_ways[] = {"driver", "queue", "map", "stream", "two", NULL};

/* ---- The memory of a case ---- */

static void
shared_close(void)
{
    (void)dcmem_buffer_destroy(shared.buffer); /* The process ends soon. */
    (void)dcmem_manager_destroy(shared.manager);
    if (shared.queue)
        shared.backend->queue_close(shared.device, shared.queue);
    if (shared.extent.bytes)
        (void)shared.backend->release(shared.device, &call, &shared.extent);
    if (shared.device)
        shared.backend->close(shared.device);
    if (shared.host)
        munmap(shared.host, shared.bytes);
    memset(&shared, 0, sizeof shared);
}

static dcmem_result
open_driver(void)
{
    const dcmem_open open = {.size = sizeof open, .numa_node = -1};
    const dcmem_acquire request = {.bytes = shared.bytes, .kind = DCMEM_KIND_DEVICE};
    dcmem_result result = shared.backend->open(&shared.device, shared.backend, &open);
    if (!result)
        result = shared.backend->acquire(&shared.extent, shared.device, &call, &request);
    if (!result)
        result = shared.backend->queue_open(&shared.queue, shared.device, NULL);
    return result ? result : by_copy(&shared);
}

static dcmem_result
open_dcmem(void)
{
    const dcmem_manager_options options = {.size = sizeof options, .backend = shared.backend->name};
    dcmem_result result = dcmem_manager_create(&shared.manager, &options);
    if (!result)
        result = dcmem_buffer_create_from(&shared.buffer, shared.manager, shared.host, shared.bytes, NULL);
    shared.view = dcmem_view_whole(shared.buffer);
    return result;
}

static bool
shared_open(const bench_case *which, bool is_out)
{
    void *host = mmap(NULL, which->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        return false;
    memset(host, 1, which->bytes);
    shared = (setting){.backend = dcmem_backend_find(bench_case_backend(which)), .host = host, .bytes = which->bytes};
    if (!open_driver() && !open_dcmem()) {
        shared.is_out = is_out;
        return true;
    }
    shared_close();
    return false;
}

/* What the first copies of a size cost is not the question here: they are dcmem's measurement of its routes. */
static void
learn(const route_state *self)
{
    unsigned count = shared.bytes < WHOLE_BYTES ? SMALL_WARM : LARGE_WARM;
    for (unsigned i = 0; i < count && self->way == by_dcmem; i++)
        if (self->way(&self->with))
            return;
}

/* Without memory of its own it uses the common one. */
static void
take_own(route_state *self)
{
    const dcmem_acquire request = {.bytes = shared.bytes, .kind = DCMEM_KIND_DEVICE};
    dcmem_extent own;
    if (self->way == by_dcmem || shared.bytes > MOST_OWN_BYTES ||
        shared.backend->acquire(&own, shared.device, &call, &request))
        return;
    self->with.extent = own;
    self->has_own = true;
    setting written = self->with;
    written.is_out = false;
    (void)by_copy(&written); /* what fails here fails again when it is timed */
}

static void *
begin(const bench_case *which, const bench_contender *contender, bool is_out)
{
    if (users == 0 && !shared_open(which, is_out))
        return NULL;
    users++;
    route_state *state = cli_allocate(1, sizeof *state);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, contender->name) == 0)
            state->way = ways[i].way;
    state->with = shared;
    take_own(state);
    learn(state);
    return state;
}

static void *
begin_in(const bench_case *which, const bench_contender *contender)
{
    return begin(which, contender, false);
}

static void *
begin_out(const bench_case *which, const bench_contender *contender)
{
    return begin(which, contender, true);
}

static double
route_run(void *state, uint64_t ops)
{
    const route_state *self = state;
    dcmem_result failed = DCMEM_OK;
    uint64_t begun = now_ns();
    for (uint64_t i = 0; i < ops && !failed; i++) {
        failed = self->way(&self->with);
        bench_keep(shared.host);
    }
    return failed ? -1 : (double)(now_ns() - begun) / (double)ops;
}

static void
route_end(void *state)
{
    const route_state *self = state;
    if (self->has_own)
        (void)shared.backend->release(shared.device, &call, &self->with.extent); /* The process ends soon. */
    free(state);
    if (--users == 0)
        shared_close();
}

const bench_pattern bench_opencl_in = {begin_in, route_run, route_end, false, 0};
const bench_pattern bench_opencl_out = {begin_out, route_run, route_end, false, 0};
const bench_pattern bench_vulkan_in = {begin_in, route_run, route_end, false, 0};
const bench_pattern bench_vulkan_out = {begin_out, route_run, route_end, false, 0};

const char *
bench_case_backend(const bench_case *which)
{
    if (which->pattern == &bench_opencl_in || which->pattern == &bench_opencl_out)
        return "opencl";
    return which->pattern == &bench_vulkan_in || which->pattern == &bench_vulkan_out ? "vulkan" : NULL;
}
