/* thread.c: the thread's struct: made on first need, ended by a thread-specific key's destructor.
 *
 * Numbers come from a bitmap so that shards and arenas stay few and evenly used when threads come and go. */
#include "base/thread.h"

#include "base/fail.h"
#include "base/lock.h"
#include "base/os.h"

#include <pthread.h>
#include <stdatomic.h>

#define END_LEVELS   4
#define NUMBER_WORDS 64

DCMI_THREAD_LOCAL dcmi_thread *dcmi_thread_current;
DCMI_THREAD_LOCAL const dcmem_detail *dcmi_thread_detail;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int key_error;
static _Atomic(dcmi_thread_end_sink) end_sinks[END_LEVELS];

static dcmi_lock numbers_lock;
static uint64_t numbers_taken[NUMBER_WORDS] DCMI_GUARDED(numbers_lock);

/* The lowest free number; past the bitmap all threads share the last one, which only costs them contention. */
static uint32_t
number_take(void)
{
    uint32_t number = NUMBER_WORDS * 64 - 1;
    dcmi_lock_take(&numbers_lock);
    for (uint32_t word = 0; word < NUMBER_WORDS; word++) {
        if (numbers_taken[word] == UINT64_MAX)
            continue;
        uint32_t bit = (uint32_t)__builtin_ctzll(~numbers_taken[word]);
        numbers_taken[word] |= 1ull << bit;
        number = word * 64 + bit;
        break;
    }
    dcmi_lock_drop(&numbers_lock);
    return number;
}

static void
number_give(uint32_t number)
{
    dcmi_lock_take(&numbers_lock);
    numbers_taken[number / 64] &= ~(1ull << number % 64);
    dcmi_lock_drop(&numbers_lock);
}

static void
thread_end(void *pointer)
{
    dcmi_thread *thread = pointer;
    for (unsigned level = 0; level < END_LEVELS; level++) {
        dcmi_thread_end_sink sink = atomic_load(&end_sinks[level]);
        if (sink)
            sink(thread);
    }
    dcmi_thread_current = NULL;
    dcmi_thread_detail = NULL;
    number_give(thread->number);
    dcmi_os_unreserve(thread, sizeof *thread);
}

static void
key_make(void)
{
    key_error = pthread_key_create(&key, thread_end);
}

/* Why a thread has no struct. Constants, for there is nowhere to write them. */
#define NO_HOST_MEMORY(text)                                                                                           \
    {                                                                                                                  \
        .result = DCMEM_E_NO_HOST_MEMORY, .driver = "", .message = text                                                \
    }
static const dcmem_detail no_key = NO_HOST_MEMORY("no thread-specific key left for dcmem");
static const dcmem_detail no_room = NO_HOST_MEMORY("no address space for a thread's caches");
static const dcmem_detail no_value = NO_HOST_MEMORY("no room for a thread-specific value: a thread's caches");

static dcmi_thread *
thread_make(const dcmem_detail **out_reason)
{
    pthread_once(&key_once, key_make);
    if (key_error) {
        *out_reason = &no_key;
        return NULL;
    }
    dcmi_thread *thread = dcmi_os_reserve(sizeof *thread);
    if (!thread) {
        *out_reason = &no_room;
        return NULL;
    }
    thread->number = number_take();
    if (pthread_setspecific(key, thread)) {
        number_give(thread->number);
        dcmi_os_unreserve(thread, sizeof *thread);
        *out_reason = &no_value;
        return NULL;
    }
    return dcmi_thread_current = thread;
}

dcmi_thread *
dcmi_thread_try(void)
{
    const dcmem_detail *reason;
    return DCMI_LIKELY(dcmi_thread_current != NULL) ? dcmi_thread_current : thread_make(&reason);
}

dcmi_thread *
dcmi_thread_get(void)
{
    if (DCMI_LIKELY(dcmi_thread_current != NULL))
        return dcmi_thread_current;
    const dcmem_detail *reason = NULL;
    dcmi_thread *thread = thread_make(&reason);
    if (!thread)
        dcmi_thread_detail = reason;
    return thread;
}

uint32_t
dcmi_thread_number(void)
{
    return dcmi_thread_current ? dcmi_thread_current->number : 0;
}

void
dcmi_thread_on_end(unsigned level, dcmi_thread_end_sink sink)
{
    atomic_store(&end_sinks[level], sink);
}
