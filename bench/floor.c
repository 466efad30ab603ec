/* floor.c: size classes in eight steps an octave, a capped list of each for every thread, a shared list behind it.
 *
 * Invariants:
 *   1. A page of the arena belongs to blocks of one class, page_class[] says which.
 *   2. A block is in use, in one thread's list, or in its class's shared list.
 *   3. The arena only grows: a block keeps its class for ever.
 * A class's shared list and the arena's end are guarded by a lock each. */
#include "bench/floor.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE          4096u
#define ARENA_BYTES   (1ull << 35)
#define LARGEST       (1ull << 30)
#define QUANTUM       64u
#define SMALL_CLASSES 8u   /* 64, 128, ... 512 */
#define CLASSES       176u /* 8 and 8 for each octave from 512 B to 1 GiB */
#define LIST_MOST     64u
#define LIST_BYTES    (4u << 20)  /* most bytes in one list of a thread, but one block always */
#define RUN_BYTES     (64u << 10) /* blocks below half of it are carved from runs */
#define SHARED_MOST   (1u << 20)

typedef struct ready_list {
    uint32_t count, most;
    void *blocks[LIST_MOST];
} ready_list;

typedef struct shared_list {
    pthread_spinlock_t lock;
    uint32_t count;
    void **blocks; /* SHARED_MOST of them, reserved */
} shared_list;

static char *arena;
static uint8_t *page_class;
static uint64_t arena_used;
static pthread_spinlock_t arena_lock;
static shared_list shared[CLASSES];
static _Thread_local ready_list *lists;

static void *
reserve(uint64_t bytes)
{
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

static inline unsigned
class_of(uint64_t bytes)
{
    if (bytes <= SMALL_CLASSES * QUANTUM)
        return (unsigned)((bytes + QUANTUM - 1) / QUANTUM) - (bytes != 0);
    uint64_t last = bytes - 1;
    unsigned octave = 63u - (unsigned)__builtin_clzll(last); /* 9 and up */
    return SMALL_CLASSES + (octave - 9) * 8 + (unsigned)(last >> (octave - 3)) - 8;
}

static uint64_t
bytes_of(unsigned class)
{
    if (class < SMALL_CLASSES)
        return (class + 1) * (uint64_t)QUANTUM;
    unsigned octave = (class - SMALL_CLASSES) / 8 + 9, step = (class - SMALL_CLASSES) % 8;
    return (uint64_t)(step + 9) << (octave - 3);
}

bool
bench_floor_open(void)
{
    if (arena)
        return true;
    char *space = reserve(ARENA_BYTES);
    page_class = reserve(ARENA_BYTES / PAGE);
    void **blocks = reserve((uint64_t)CLASSES * SHARED_MOST * sizeof *blocks);
    if (!space || !page_class || !blocks)
        return false;
    for (unsigned class = 0; class < CLASSES; class++) {
        pthread_spin_init(&shared[class].lock, PTHREAD_PROCESS_PRIVATE);
        shared[class].blocks = blocks + (size_t)class * SHARED_MOST;
    }
    pthread_spin_init(&arena_lock, PTHREAD_PROCESS_PRIVATE);
    arena = space;
    return true;
}

static bool
lists_open(void)
{
    ready_list *fresh = reserve(CLASSES * sizeof *fresh);
    if (!fresh)
        return false;
    for (unsigned class = 0; class < CLASSES; class++) {
        uint64_t most = LIST_BYTES / bytes_of(class);
        fresh[class].most = most < 1 ? 1 : most > LIST_MOST ? LIST_MOST : (uint32_t)most;
    }
    lists = fresh;
    return true;
}

static char *
arena_extend(uint64_t bytes)
{
    bytes = (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    pthread_spin_lock(&arena_lock);
    char *begin = ARENA_BYTES - arena_used >= bytes ? arena + arena_used : NULL;
    arena_used += begin ? bytes : 0;
    pthread_spin_unlock(&arena_lock);
    return begin;
}

/* Fills half an empty list: from the shared list, else from the arena. */
static __attribute__((cold, noinline)) void *
refill(unsigned class)
{
    if (!lists && !lists_open())
        return NULL;
    ready_list *list = &lists[class];
    shared_list *from = &shared[class];
    uint32_t wanted = (list->most + 1) / 2;

    pthread_spin_lock(&from->lock);
    uint32_t got = from->count < wanted ? from->count : wanted;
    from->count -= got;
    memcpy(list->blocks, from->blocks + from->count, got * sizeof *list->blocks);
    pthread_spin_unlock(&from->lock);

    if (got == 0) {
        uint64_t bytes = bytes_of(class);
        uint64_t run = bytes < RUN_BYTES / 2 ? RUN_BYTES : bytes;
        char *begin = arena_extend(run);
        if (!begin)
            return NULL;
        memset(page_class + (uint64_t)(begin - arena) / PAGE, (int)class, (run + PAGE - 1) / PAGE);
        for (; got < wanted && (got + 1) * bytes <= run; got++)
            list->blocks[got] = begin + got * bytes;
    }
    list->count = got - 1;
    return list->blocks[got - 1];
}

/* Moves the older half of a full list to the shared one. */
static __attribute__((cold, noinline)) void
shed(unsigned class, void *block)
{
    if (!lists && !lists_open())
        return; /* the block is lost: so be it, in a benchmark that has no memory left */
    ready_list *list = &lists[class];
    if (list->count == list->most) {
        shared_list *to = &shared[class];
        uint32_t moved = (list->most + 1) / 2;
        pthread_spin_lock(&to->lock);
        if (to->count + moved <= SHARED_MOST) {
            memcpy(to->blocks + to->count, list->blocks, moved * sizeof *list->blocks);
            to->count += moved;
        }
        pthread_spin_unlock(&to->lock);
        list->count -= moved;
        memmove(list->blocks, list->blocks + moved, list->count * sizeof *list->blocks);
    }
    list->blocks[list->count++] = block;
}

void *
bench_floor_allocate(size_t bytes)
{
    if (__builtin_expect(bytes > LARGEST, 0))
        return NULL;
    unsigned class = class_of(bytes);
    ready_list *list = lists ? &lists[class] : NULL;
    if (__builtin_expect(!list || list->count == 0, 0))
        return refill(class);
    return list->blocks[--list->count];
}

void
bench_floor_free(void *address)
{
    unsigned class = page_class[(uint64_t)((char *)address - arena) / PAGE];
    ready_list *list = lists ? &lists[class] : NULL;
    if (__builtin_expect(!list || list->count == list->most, 0)) {
        shed(class, address);
        return;
    }
    list->blocks[list->count++] = address;
}

void
bench_floor_thread_end(void)
{
    if (!lists)
        return;
    for (unsigned class = 0; class < CLASSES; class++) {
        shared_list *to = &shared[class];
        pthread_spin_lock(&to->lock);
        for (; lists[class].count && to->count < SHARED_MOST; lists[class].count--)
            to->blocks[to->count++] = lists[class].blocks[lists[class].count - 1];
        pthread_spin_unlock(&to->lock);
    }
    munmap(lists, CLASSES * sizeof *lists);
    lists = NULL;
}
