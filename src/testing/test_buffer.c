/* test_buffer.c: the life of test buffers: their options, how they begin and end, what they say of themselves. */
#include "test_buffer.h"
#include "host.h"

#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

pthread_mutex_t dcmi_test_lock = PTHREAD_MUTEX_INITIALIZER;
static dcmi_test_buffer *tests;
static uint64_t last_number;

/* ---- The list ---- */

void
dcmi_test_enlist(dcmi_test_buffer *it)
{
    pthread_mutex_lock(&dcmi_test_lock);
    it->number = ++last_number;
    it->behind = tests;
    tests = it;
    pthread_mutex_unlock(&dcmi_test_lock);
}

void
dcmi_test_delist(dcmi_test_buffer *it)
{
    pthread_mutex_lock(&dcmi_test_lock);
    dcmi_test_buffer **link = &tests;
    while (*link != it)
        link = &(*link)->behind;
    *link = it->behind;
    pthread_mutex_unlock(&dcmi_test_lock);
}

dcmi_test_buffer *
dcmi_test_find(const dcmem_test_buffer *handle)
{
    dcmi_test_buffer *it = tests;
    while (it && (it->number != (uintptr_t)handle || it->is_ending))
        it = it->behind;
    return it;
}

dcmi_test_buffer *
dcmi_test_find_buffer(const dcmem_manager *manager, const dcmem_buffer *buffer)
{
    dcmi_test_buffer *it = tests;
    while (it && (it->buffer != buffer || it->manager != manager))
        it = it->behind;
    return it;
}

static dcmem_result
refuse_handle(const dcmem_test_buffer *handle)
{
    return dcmem_backend_fail(DCMEM_E_INVALID_ARGUMENT, "test", 0, "test is 0x%llx, which is no live test buffer",
                              (unsigned long long)(uintptr_t)handle);
}

dcmem_result
dcmi_test_look(dcmi_test_buffer *out, const dcmem_test_buffer *handle)
{
    pthread_mutex_lock(&dcmi_test_lock);
    const dcmi_test_buffer *it = dcmi_test_find(handle);
    if (it)
        *out = *it;
    pthread_mutex_unlock(&dcmi_test_lock);
    return it ? DCMEM_OK : refuse_handle(handle);
}

/* ---- Options ---- */

dcmem_test_buffer_options
dcmem_test_buffer_default(void)
{
    return (dcmem_test_buffer_options){.size = sizeof(dcmem_test_buffer_options)};
}

dcmem_test_buffer_options
dcmem_test_buffer_slow_transfers(void)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.slow_transfers = true;
    options.transfer_delay_ns = 10 * MS;
    return options;
}

dcmem_test_buffer_options
dcmem_test_buffer_restrictive(void)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.refuse_span_access = true;
    options.refuse_memory_access = true;
    options.refuse_copy_operations = true;
    return options;
}

dcmem_test_buffer_options
dcmem_test_buffer_fail_after(uint64_t n)
{
    dcmem_test_buffer_options options = dcmem_test_buffer_default();
    options.fail_after = n;
    return options;
}

static bool
is_known(dcmem_result result)
{
    return strcmp(dcmem_result_name(result), "DCMEM_E_UNKNOWN") != 0;
}

static dcmem_result
read_options(dcmem_test_buffer_options *out, const dcmem_test_buffer_options *options)
{
    dcmem_test_buffer_options read = options ? *options : dcmem_test_buffer_default();
    DCMI_TEST_REQUIRE(read.size == sizeof *options);
    DCMI_TEST_REQUIRE(read.memory.size == 0 || read.memory.size == sizeof read.memory);
    DCMI_TEST_REQUIRE((unsigned)read.pattern < DCMEM_TEST_PATTERN_COUNT);
    DCMI_TEST_REQUIRE(read.slow_transfers || !read.transfer_delay_ns);
    DCMI_TEST_REQUIRE(is_known(read.refusal));
    DCMI_TEST_REQUIRE(!read.manager || !read.profile);
    read.memory.size = sizeof read.memory;
    if (read.slow_transfers && !read.transfer_delay_ns)
        read.transfer_delay_ns = 5 * MS;
    if (!read.refusal)
        read.refusal = DCMEM_E_WRONG_STATE;
    *out = read;
    return DCMEM_OK;
}

/* ---- Life ---- */

/* The buffer with its pattern, pinned where it is to be. */
static dcmem_result
make_buffer(dcmi_test_buffer *it, uint64_t bytes)
{
    const dcmem_test_buffer_options *options = &it->options;
    dcmem_result result = dcmem_buffer_create(&it->buffer, it->manager, bytes, &options->memory);
    if (result)
        return result;
    result = dcmem_test_view_write(dcmem_view_whole(it->buffer), options->pattern, options->seed);
    if (!result && !options->no_pin)
        result = dcmem_buffer_pin(&it->native, it->buffer);
    if (result) {
        dcmem_detail cause = *dcmem_last_detail();
        (void)dcmem_buffer_destroy(it->buffer); /* nobody else knows of it */
        dcmem_backend_fail(result, cause.driver, cause.driver_code, "%s", cause.message);
    }
    return result;
}

dcmem_result
dcmem_test_buffer_create(dcmem_test_buffer **out, uint64_t bytes, const dcmem_test_buffer_options *options)
{
    dcmem_test_buffer_options read;
    DCMI_TEST_REQUIRE(out && bytes > 0);
    dcmem_result result = read_options(&read, options);
    if (result)
        return result;
    dcmi_test_buffer *it = dcmi_host_new(sizeof *it);
    if (!it)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "test", 0, "the record of a test buffer");
    it->options = read;

    if (read.manager)
        result = dcmi_watch_join(&it->on, read.manager);
    else
        result = dcmi_watch_make(&it->on, read.profile);
    if (result)
        goto undo_record;
    it->manager = it->on->manager;
    it->simulated = it->on->rig.simulated;
    it->fake = it->on->rig.fake;
    result = make_buffer(it, bytes);
    if (result)
        goto undo_watch;

    it->options.profile = NULL; /* the caller's, who may end it */
    dcmi_test_enlist(it);
    *out = (dcmem_test_buffer *)(uintptr_t)it->number;
    return DCMEM_OK;

undo_watch:;
    dcmem_detail cause = *dcmem_last_detail();
    (void)dcmi_watch_leave(it->on); /* why it could not be made counts more */
    dcmem_backend_fail(result, cause.driver, cause.driver_code, "%s", cause.message);
undo_record:
    free(it);
    return result;
}

/* Of several threads one gets it. */
static dcmi_test_buffer *
claim(const dcmem_test_buffer *handle)
{
    pthread_mutex_lock(&dcmi_test_lock);
    dcmi_test_buffer *it = dcmi_test_find(handle);
    if (it)
        it->is_ending = true;
    pthread_mutex_unlock(&dcmi_test_lock);
    return it;
}

static void
unclaim(dcmi_test_buffer *it)
{
    pthread_mutex_lock(&dcmi_test_lock);
    it->is_ending = false;
    pthread_mutex_unlock(&dcmi_test_lock);
}

static bool
is_gone(dcmem_result result)
{
    return result == DCMEM_E_STALE_BUFFER || result == DCMEM_E_STALE_MANAGER;
}

/* Ends the buffer, pinned by nobody but us. On failure it is as it was. */
static dcmem_result
end_buffer(dcmi_test_buffer *it)
{
    bool was_pinned = !it->options.no_pin;
    dcmi_test_unseen_begin();
    if (was_pinned)
        (void)dcmem_buffer_unpin(it->buffer); /* it fails where the program has unpinned it; destroy says the rest */
    dcmem_result result = dcmem_buffer_destroy(it->buffer);
    if (result && !is_gone(result) && was_pinned) {
        dcmem_detail cause = *dcmem_last_detail();
        (void)dcmem_buffer_pin(NULL, it->buffer);
        dcmem_backend_fail(result, cause.driver, cause.driver_code, "%s", cause.message);
    }
    dcmi_test_unseen_end();
    return is_gone(result) ? DCMEM_OK : result;
}

dcmem_result
dcmem_test_buffer_destroy(dcmem_test_buffer *test)
{
    if (!test)
        return DCMEM_OK;
    dcmi_test_buffer *it = claim(test);
    if (!it)
        return refuse_handle(test);
    dcmem_result result = end_buffer(it);
    if (result) {
        unclaim(it);
        return result;
    }
    dcmi_test_delist(it);
    result = dcmi_watch_leave(it->on);
    free(it);
    return result;
}

/* ---- What it says of itself ---- */

dcmem_buffer *
dcmem_test_buffer_buffer(dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    return dcmi_test_look(&it, test) ? NULL : it.buffer;
}

dcmem_manager *
dcmem_test_buffer_manager(dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    return dcmi_test_look(&it, test) ? NULL : it.manager;
}

const dcmem_backend *
dcmem_test_buffer_backend(dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    return dcmi_test_look(&it, test) ? NULL : it.simulated;
}

dcmem_fake *
dcmem_test_buffer_fake(dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    return dcmi_test_look(&it, test) ? NULL : it.fake;
}

dcmem_result
dcmem_test_buffer_native(dcmem_native *out, dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    DCMI_TEST_REQUIRE(out);
    dcmem_result result = dcmi_test_look(&it, test);
    if (result)
        return result;
    if (it.options.no_pin)
        return dcmem_backend_fail(DCMEM_E_WRONG_STATE, "test", 0, "the test buffer is not pinned");
    *out = it.native;
    return DCMEM_OK;
}

dcmem_result
dcmem_test_buffer_counts_of(dcmem_test_buffer_counts *out, dcmem_test_buffer *test)
{
    dcmi_test_buffer it;
    DCMI_TEST_REQUIRE(out && out->size == sizeof *out);
    dcmem_result result = dcmi_test_look(&it, test);
    if (result)
        return result;
    it.counts.size = sizeof it.counts;
    *out = it.counts;
    return DCMEM_OK;
}

dcmem_result
dcmem_test_buffer_reset(dcmem_test_buffer *test)
{
    pthread_mutex_lock(&dcmi_test_lock);
    dcmi_test_buffer *it = dcmi_test_find(test);
    if (it)
        it->counts = (dcmem_test_buffer_counts){0};
    pthread_mutex_unlock(&dcmi_test_lock);
    return it ? DCMEM_OK : refuse_handle(test);
}
