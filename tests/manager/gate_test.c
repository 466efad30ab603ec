/* gate_test.c: what stands above the pool: who is asked, about what, and what a refusal leaves behind. */
#include "pool/gate.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <pthread.h>
#include <stdatomic.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

/* ---- A gate that counts ---- */

typedef struct guard {
    dcmem_gate_operation refused; /* DCMEM_GATE_OPERATION_COUNT: none */
    dcmem_result with;            /* DCMEM_OK: what fits */
    _Atomic uint64_t counts[DCMEM_GATE_OPERATION_COUNT];
    dcmem_gate_call last;
} guard;

static dcmem_result
watch(void *user, const dcmem_gate_call *call)
{
    guard *it = user;
    atomic_fetch_add(&it->counts[call->operation], 1);
    it->last = *call;
    if (call->operation != it->refused)
        return DCMEM_OK;
    return it->with ? it->with : call->result;
}

static uint64_t
asked(const guard *it)
{
    uint64_t sum = 0;
    for (int i = 0; i < DCMEM_GATE_OPERATION_COUNT; i++)
        sum += atomic_load(&it->counts[i]);
    return sum;
}

/* ---- A device with a memory of its own ---- */

typedef struct device {
    dcmem_backend *backend;
    dcmem_manager *manager;
    guard guard;
} device;

static void
device_open(device *it)
{
    dcmem_simulated_profile profile = {
        .size = sizeof profile, .flags = DCMEM_SIMULATED_ADDRESSED, .total_bytes = 256 * MIB};
    *it = (device){.guard.refused = DCMEM_GATE_OPERATION_COUNT};
    EXPECT_OK(dcmem_simulated_create(&it->backend, &profile, 1));
    dcmem_manager_options options = {
        .size = sizeof options, .driver = it->backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&it->manager, &options));
}

static void
device_close(device *it)
{
    EXPECT_OK(dcmem_manager_set_gate(it->manager, NULL, NULL));
    EXPECT_OK(dcmem_manager_check(it->manager));
    EXPECT_OK(dcmem_manager_destroy(it->manager));
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

/* ---- Every call, by its operation ---- */

typedef struct scene {
    dcmem_manager *manager;
    dcmem_buffer *one, *two, *made;
    void *block, *other, *made_block;
    dcmem_access access;
    dcmem_map map;
    uint8_t host[4096];
} scene;

static dcmem_result
result_of(const void *address)
{
    return address ? DCMEM_OK : dcmem_last_detail()->result;
}

/* Makes one call of that kind; what it opens or makes is kept in the stage. */
static dcmem_result
call_one(scene *it, dcmem_gate_operation operation)
{
    dcmem_buffer_options tagged = {.size = sizeof tagged, .tag = 7};
    dcmem_view one = dcmem_view_whole(it->one);
    void *moved;
    switch (operation) {
    case DCMEM_GATE_allocate:
        return dcmem_buffer_create(&it->made, it->manager, 4096, &tagged);
    case DCMEM_GATE_import:
        return dcmem_buffer_import(&it->made, it->manager, it->host, sizeof it->host);
    case DCMEM_GATE_free: {
        dcmem_result result = dcmem_buffer_destroy(it->two);
        it->two = NULL;
        return result;
    }
    case DCMEM_GATE_resize:
        return dcmem_buffer_resize(it->one, 8192);
    case DCMEM_GATE_pin:
        return dcmem_buffer_pin(NULL, it->one);
    case DCMEM_GATE_access_host:
        return dcmem_access_begin(&it->access, one, DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0);
    case DCMEM_GATE_access_device:
        return dcmem_access_begin(&it->access, one, DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0);
    case DCMEM_GATE_access_end:
        return dcmem_access_end(&it->access);
    case DCMEM_GATE_map:
        return dcmem_buffer_map(&it->map, one, DCMEM_MAP_READ);
    case DCMEM_GATE_read:
        return dcmem_buffer_copy_out(it->host, one, 0);
    case DCMEM_GATE_write:
        return dcmem_buffer_copy_in(one, it->host, 0);
    case DCMEM_GATE_copy:
        return dcmem_buffer_copy(dcmem_view_whole(it->two), one);
    case DCMEM_GATE_fill:
        return dcmem_buffer_fill(one, "ab", 2);
    case DCMEM_GATE_prefetch:
        return dcmem_buffer_prefetch(one, DCMEM_SIDE_HOST);
    case DCMEM_GATE_synchronize:
        return dcmem_buffer_synchronize(one);
    case DCMEM_GATE_mark_dirty:
        return dcmem_buffer_mark_dirty(one, DCMEM_SIDE_DEVICE);
    case DCMEM_GATE_invalidate:
        return dcmem_buffer_invalidate(one, DCMEM_SIDE_DEVICE);
    case DCMEM_GATE_raw_allocate:
        return result_of(it->made_block = dcmem_raw_allocate(it->manager, 4096));
    case DCMEM_GATE_raw_reallocate:
        moved = dcmem_raw_reallocate(it->manager, it->block, 4000);
        it->block = moved ? moved : it->block;
        return result_of(moved);
    case DCMEM_GATE_raw_free: {
        dcmem_result result = dcmem_raw_free(it->manager, it->other);
        it->other = NULL;
        return result;
    }
    case DCMEM_GATE_raw_read:
        return dcmem_raw_read(it->manager, it->host, it->block, 4096);
    case DCMEM_GATE_raw_write:
        return dcmem_raw_write(it->manager, it->block, it->host, 4096);
    case DCMEM_GATE_raw_copy:
        return dcmem_raw_copy(it->manager, it->block, it->other, 4096);
    case DCMEM_GATE_raw_set:
        return dcmem_raw_set(it->manager, it->block, 1, 4096);
    case DCMEM_GATE_OPERATION_COUNT:
        break;
    }
    return DCMEM_E_INTERNAL;
}

static void
scene_open(scene *it, dcmem_manager *manager, dcmem_gate_operation operation)
{
    dcmem_buffer_options tagged = {.size = sizeof tagged, .tag = 5};
    *it = (scene){.manager = manager};
    EXPECT_OK(dcmem_buffer_create(&it->one, manager, 4096, &tagged));
    EXPECT_OK(dcmem_buffer_create(&it->two, manager, 4096, NULL));
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(it->one), it->host, 0));
    it->block = dcmem_raw_allocate(manager, 4096);
    it->other = dcmem_raw_allocate(manager, 4096);
    EXPECT(it->block && it->other);
    if (operation == DCMEM_GATE_access_end)
        EXPECT_OK(dcmem_access_begin(&it->access, dcmem_view_whole(it->one), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_READ, 0));
}

static void
scene_close(scene *it, dcmem_gate_operation operation, dcmem_result result)
{
    if (!result && operation == DCMEM_GATE_pin)
        EXPECT_OK(dcmem_buffer_unpin(it->one));
    if (!result && operation == DCMEM_GATE_map)
        EXPECT_OK(dcmem_buffer_unmap(&it->map));
    if (operation == DCMEM_GATE_access_end ? result : !result && it->access.ticket)
        EXPECT_OK(dcmem_access_end(&it->access));
    EXPECT_OK(dcmem_buffer_destroy(it->one));
    EXPECT_OK(dcmem_buffer_destroy(it->two));
    EXPECT_OK(dcmem_buffer_destroy(it->made));
    EXPECT_OK(dcmem_raw_free(it->manager, it->block));
    EXPECT_OK(dcmem_raw_free(it->manager, it->other));
    EXPECT_OK(dcmem_raw_free(it->manager, it->made_block));
}

TEST(gate__is_asked_once_about_each_call)
{
    device it;
    device_open(&it);
    for (int i = 0; i < DCMEM_GATE_OPERATION_COUNT; i++) {
        dcmem_gate_operation operation = (dcmem_gate_operation)i;
        scene stage;
        scene_open(&stage, it.manager, operation);
        it.guard = (guard){.refused = DCMEM_GATE_OPERATION_COUNT};
        EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
        EXPECT_OK(call_one(&stage, operation));
        EXPECT_OK(dcmem_manager_set_gate(it.manager, NULL, NULL));
        EXPECT_EQ(atomic_load(&it.guard.counts[i]), 1);
        EXPECT_EQ(asked(&it.guard), 1);
        EXPECT(it.guard.last.manager == it.manager);
        scene_close(&stage, operation, DCMEM_OK);
    }
    device_close(&it);
}

/* Field by field: what lies between them is anything. */
static void
expect_same(const dcmem_buffer_info *a, const dcmem_buffer_info *b)
{
    EXPECT(a->manager == b->manager);
    EXPECT_EQ(a->bytes, b->bytes);
    EXPECT_EQ(a->capacity_bytes, b->capacity_bytes);
    EXPECT_EQ(a->flags, b->flags);
    EXPECT_EQ(a->tag, b->tag);
    EXPECT_EQ(a->current_sides, b->current_sides);
    EXPECT_EQ(a->written_bytes, b->written_bytes);
    EXPECT_EQ(a->open_readers, b->open_readers);
    EXPECT_EQ(a->open_writers, b->open_writers);
    EXPECT_EQ(a->pins, b->pins);
    EXPECT_EQ(a->has_host_side, b->has_host_side);
}

TEST(gate__that_refuses_fails_the_call_with_what_fits_and_changes_nothing)
{
    device it;
    device_open(&it);
    for (int i = 0; i < DCMEM_GATE_OPERATION_COUNT; i++) {
        dcmem_gate_operation operation = (dcmem_gate_operation)i;
        scene stage;
        scene_open(&stage, it.manager, operation);
        dcmem_buffer_info before = {.size = sizeof before}, after = {.size = sizeof after};
        EXPECT_OK(dcmem_buffer_describe(&before, stage.one));
        it.guard = (guard){.refused = operation};
        EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
        dcmem_result result = call_one(&stage, operation);
        EXPECT_OK(dcmem_manager_set_gate(it.manager, NULL, NULL));
        EXPECT_EQ(result, it.guard.last.result);
        if (result) {
            EXPECT_EQ(dcmem_last_detail()->result, result);
            EXPECT_DETAIL(dcmem_gate_operation_name(operation));
            EXPECT_DETAIL("refused by the manager's gate");
        }
        EXPECT_OK(dcmem_buffer_describe(&after, stage.one));
        expect_same(&before, &after);
        EXPECT(!stage.made && !stage.made_block);
        scene_close(&stage, operation, result);
    }
    device_close(&it);
}

TEST(gate__is_told_what_is_asked_for)
{
    device it;
    scene stage;
    device_open(&it);
    scene_open(&stage, it.manager, DCMEM_GATE_read);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    const dcmem_gate_call *last = &it.guard.last;

    dcmem_view part;
    EXPECT_OK(dcmem_view_slice(&part, dcmem_view_whole(stage.one), 64, 128));
    EXPECT_OK(dcmem_buffer_copy_out(stage.host, part, 0));
    EXPECT(last->operation == DCMEM_GATE_read && last->buffer == stage.one && last->tag == 5);
    EXPECT(last->offset == 64 && last->bytes == 128 && last->result == DCMEM_E_DRIVER);

    EXPECT_OK(call_one(&stage, DCMEM_GATE_copy));
    EXPECT(last->buffer == stage.two && last->from == stage.one && last->tag == 0 && last->bytes == 4096);

    EXPECT_OK(call_one(&stage, DCMEM_GATE_resize));
    EXPECT(last->buffer == stage.one && last->bytes == 8192 && last->result == DCMEM_E_NO_MEMORY);

    EXPECT_OK(call_one(&stage, DCMEM_GATE_allocate));
    EXPECT(!last->buffer && last->bytes == 4096 && last->tag == 7);

    const dcmem_buffer *made = stage.made;
    EXPECT_OK(dcmem_buffer_destroy(stage.made));
    stage.made = NULL;
    EXPECT(last->operation == DCMEM_GATE_free && last->buffer == made && last->tag == 7 && last->bytes == 4096);

    EXPECT_OK(call_one(&stage, DCMEM_GATE_raw_write));
    EXPECT(last->address == stage.block && last->bytes == 4096);
    scene_close(&stage, DCMEM_GATE_read, DCMEM_OK);
    device_close(&it);
}

TEST(gate__is_asked_by_calls_that_are_made_of_others_as_those_do)
{
    device it;
    dcmem_buffer *buffer;
    uint8_t host[100] = {0};
    device_open(&it);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));

    EXPECT_OK(dcmem_buffer_create_from(&buffer, it.manager, host, sizeof host, NULL));
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_allocate], 1);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_write], 1);
    EXPECT_OK(dcmem_buffer_destroy(buffer));

    void *block = dcmem_raw_allocate_zeroed(it.manager, 10, 100);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_set], 1);
    block = dcmem_raw_reallocate(it.manager, block, 100000);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_reallocate], 1);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_allocate], 2);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_copy], 1);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_free], 1);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_raw_free], 2);
    EXPECT_EQ(asked(&it.guard), 10);
    device_close(&it);
}

TEST(gate__is_asked_where_the_threads_own_blocks_would_have_served)
{
    device it;
    dcmem_buffer *buffer;
    device_open(&it);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_raw_free(it.manager, dcmem_raw_allocate(it.manager, 256)));
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 256, NULL));
    EXPECT_OK(dcmem_buffer_destroy(buffer));

    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    for (int i = 0; i < 5; i++) {
        EXPECT_OK(dcmem_raw_free(it.manager, dcmem_raw_allocate(it.manager, 256)));
        EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 256, NULL));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    EXPECT_EQ(asked(&it.guard), 20);

    it.guard.refused = DCMEM_GATE_raw_allocate;
    EXPECT(!dcmem_raw_allocate(it.manager, 256));
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_NO_MEMORY);

    EXPECT_OK(dcmem_manager_set_gate(it.manager, NULL, NULL));
    EXPECT_OK(dcmem_raw_free(it.manager, dcmem_raw_allocate(it.manager, 256)));
    EXPECT_EQ(asked(&it.guard), 21);
    device_close(&it);
}

TEST(gate__of_one_manager_is_not_asked_about_another)
{
    device one, two;
    scene stage;
    device_open(&one);
    device_open(&two);
    EXPECT_OK(dcmem_manager_set_gate(one.manager, watch, &one.guard));
    scene_open(&stage, two.manager, DCMEM_GATE_read);
    EXPECT_OK(call_one(&stage, DCMEM_GATE_copy));
    EXPECT_EQ(asked(&one.guard), 0);
    scene_close(&stage, DCMEM_GATE_read, DCMEM_OK);
    device_close(&one);
    device_close(&two);
}

TEST(gate__of_either_manager_can_refuse_a_copy_between_two)
{
    device one, two;
    dcmem_buffer *to, *from;
    uint8_t host[100] = {0};
    device_open(&one);
    device_open(&two);
    EXPECT_OK(dcmem_buffer_create(&to, one.manager, sizeof host, NULL));
    EXPECT_OK(dcmem_buffer_create_from(&from, two.manager, host, sizeof host, NULL));
    EXPECT_OK(dcmem_manager_set_gate(one.manager, watch, &one.guard));
    EXPECT_OK(dcmem_manager_set_gate(two.manager, watch, &two.guard));

    two.guard.refused = DCMEM_GATE_copy;
    two.guard.with = DCMEM_E_BUSY;
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(to), dcmem_view_whole(from)), DCMEM_E_BUSY);
    EXPECT(one.guard.last.manager == one.manager && two.guard.last.manager == two.manager);
    EXPECT(two.guard.last.from == from);

    two.guard.refused = DCMEM_GATE_OPERATION_COUNT;
    one.guard.refused = DCMEM_GATE_copy;
    EXPECT_RESULT(dcmem_buffer_copy(dcmem_view_whole(to), dcmem_view_whole(from)), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_buffer_destroy(to));
    EXPECT_OK(dcmem_buffer_destroy(from));
    device_close(&one);
    device_close(&two);
}

TEST(gate__leaves_dead_handles_to_the_call)
{
    device it;
    dcmem_buffer *buffer;
    device_open(&it);
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, 100, NULL));
    dcmem_view view = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    it.guard.refused = DCMEM_GATE_fill;
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 10), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_buffer_prefetch(view, DCMEM_SIDE_HOST), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_buffer_destroy(buffer), DCMEM_E_STALE_BUFFER);
    EXPECT_RESULT(dcmem_raw_free(it.manager, &it), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_EQ(asked(&it.guard), 0);
    device_close(&it);
}

/* Calls dcmem itself, fails in it, and says why it refuses. */
static dcmem_result
busy_gate(void *user, const dcmem_gate_call *call)
{
    guard *it = user;
    watch(it, call);
    EXPECT_OK(dcmem_raw_free(call->manager, dcmem_raw_allocate(call->manager, 100)));
    EXPECT_RESULT(dcmem_buffer_destroy((dcmem_buffer *)user), DCMEM_E_NOT_A_BUFFER);
    if (call->operation != it->refused)
        return DCMEM_OK;
    return dcmem_backend_fail(DCMEM_E_PERMISSION, "test", 42, "not on a Sunday");
}

TEST(gate__may_call_dcmem_and_say_why_it_refuses)
{
    device it;
    device_open(&it);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, busy_gate, &it.guard));

    EXPECT_RESULT(dcmem_raw_free(it.manager, &it), DCMEM_E_UNKNOWN_ADDRESS);
    dcmem_detail before = *dcmem_last_detail();
    void *block = dcmem_raw_allocate(it.manager, 100);
    EXPECT(block);
    EXPECT_EQ(asked(&it.guard), 1);
    EXPECT(strcmp(before.message, dcmem_last_detail()->message) == 0);

    it.guard.refused = DCMEM_GATE_raw_set;
    EXPECT_RESULT(dcmem_raw_set(it.manager, block, 0, 100), DCMEM_E_PERMISSION);
    EXPECT_DETAIL("not on a Sunday");
    EXPECT_EQ(dcmem_last_detail()->driver_code, 42);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    device_close(&it);
}

TEST(gate__ends_with_its_manager_and_is_told_of_what_that_ends)
{
    device it;
    dcmem_buffer *buffers[3];
    device_open(&it);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_buffer_create(&buffers[i], it.manager, 1000, NULL));
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    EXPECT_RESULT(dcmem_manager_destroy(it.manager), DCMEM_E_LEAKED);
    EXPECT_EQ(it.guard.counts[DCMEM_GATE_free], 3);
    EXPECT_OK(dcmem_simulated_destroy(it.backend));

    guard old = it.guard;
    device_open(&it);
    EXPECT_OK(dcmem_buffer_create(&buffers[0], it.manager, 1000, NULL));
    EXPECT_OK(dcmem_buffer_destroy(buffers[0]));
    EXPECT_EQ(asked(&old), 3);
    EXPECT_EQ(asked(&it.guard), 0);
    device_close(&it);
}

TEST(gate__is_looked_for_only_while_there_is_one)
{
    device one, two;
    uint32_t before = dcmi_gate_count;
    device_open(&one);
    device_open(&two);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(dcmem_manager_set_gate(one.manager, watch, &one.guard));
        EXPECT_OK(dcmem_manager_set_gate(two.manager, watch, &two.guard));
    }
    EXPECT_EQ(dcmi_gate_count, before + 2);
    for (int i = 0; i < 2; i++)
        EXPECT_OK(dcmem_manager_set_gate(one.manager, NULL, NULL));
    EXPECT_OK(dcmem_manager_destroy(two.manager));
    EXPECT_EQ(dcmi_gate_count, before);
    EXPECT_OK(dcmem_simulated_destroy(two.backend));
    device_close(&one);
}

TEST(gate__of_a_manager_that_is_none_cannot_be_set)
{
    device it;
    device_open(&it);
    dcmem_manager *gone = it.manager;
    device_close(&it);
    EXPECT_RESULT(dcmem_manager_set_gate(NULL, watch, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_RESULT(dcmem_manager_set_gate(gone, watch, NULL), DCMEM_E_STALE_MANAGER);
}

TEST(gate__operations_have_names)
{
    assert_string_equal(dcmem_gate_operation_name(DCMEM_GATE_allocate), "allocate");
    assert_string_equal(dcmem_gate_operation_name(DCMEM_GATE_raw_set), "raw_set");
    assert_string_equal(dcmem_gate_operation_name(DCMEM_GATE_OPERATION_COUNT), "unknown");
    assert_string_equal(dcmem_gate_operation_name((dcmem_gate_operation)-1), "unknown");
}

/* ---- Threads ---- */

typedef struct crowd {
    dcmem_manager *manager;
    uint64_t rounds;
    _Atomic uint64_t asked;
    _Atomic uint64_t refused;
    _Atomic uint64_t failed; /* calls */
} crowd;

static dcmem_result
refuse_some(void *user, const dcmem_gate_call *call)
{
    crowd *it = user;
    uint64_t number = atomic_fetch_add(&it->asked, 1);
    if (!call->result || number % 3)
        return DCMEM_OK;
    atomic_fetch_add(&it->refused, 1);
    return call->result;
}

static void *
churn(void *user)
{
    crowd *it = user;
    for (uint64_t i = 0; i < it->rounds; i++) {
        void *block = dcmem_raw_allocate(it->manager, 64 + i % 8 * 64);
        dcmem_buffer *buffer = NULL;
        if (block)
            EXPECT_OK(dcmem_raw_free(it->manager, block));
        else
            atomic_fetch_add(&it->failed, 1);
        if (dcmem_buffer_create(&buffer, it->manager, 4096, NULL))
            atomic_fetch_add(&it->failed, 1);
        else
            EXPECT_OK(dcmem_buffer_destroy(buffer));
    }
    return NULL;
}

static void *
toggle(void *user)
{
    crowd *it = user;
    for (uint64_t i = 0; i < it->rounds / 20 + 1; i++)
        EXPECT_OK(dcmem_manager_set_gate(it->manager, i % 2 ? NULL : refuse_some, it));
    return NULL;
}

static void
run_crowd(uint64_t rounds)
{
    device it;
    device_open(&it);
    crowd all = {.manager = it.manager, .rounds = rounds};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 3 ? churn : toggle, &all), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(atomic_load(&all.failed), atomic_load(&all.refused));
    device_close(&it);
}

TEST(gate__comes_and_goes_while_threads_work)
{
    run_crowd(2000);
}

LONG_TEST(gate__comes_and_goes_while_threads_work_for_long)
{
    run_crowd(test_scaled(2000000));
}

TEST(gate__can_be_asked_for_and_put_before_another)
{
    device it;
    dcmem_gate gate = watch;
    void *user = &it;
    device_open(&it);
    EXPECT_OK(dcmem_manager_gate(&gate, &user, it.manager));
    EXPECT(!gate && !user);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    EXPECT_OK(dcmem_manager_gate(&gate, &user, it.manager));
    EXPECT(gate == watch && user == &it.guard);

    EXPECT_RESULT(dcmem_manager_gate(NULL, &user, it.manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_manager_gate(&gate, NULL, it.manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_manager_gate(&gate, &user, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT(gate == watch && user == &it.guard);
    device_close(&it);
}

TEST(gate__is_told_modes_and_sides)
{
    device it;
    dcmem_buffer *buffer;
    dcmem_access access;
    dcmem_map map;
    device_open(&it);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, watch, &it.guard));
    EXPECT_OK(dcmem_buffer_create_from(&buffer, it.manager, "bytes", 5, NULL));
    dcmem_view view = dcmem_view_whole(buffer);
    for (int mode = 0; mode <= DCMEM_ACCESS_WRITE_NO_OVERWRITE; mode++) {
        EXPECT_OK(dcmem_access_begin(&access, view, DCMEM_SIDE_DEVICE, (dcmem_access_mode)mode, 0));
        EXPECT(it.guard.last.operation == DCMEM_GATE_access_device && it.guard.last.mode == (uint32_t)mode);
        EXPECT_OK(dcmem_access_end(&access));
        EXPECT(it.guard.last.operation == DCMEM_GATE_access_end && it.guard.last.mode == (uint32_t)mode);
    }
    for (int mode = 0; mode <= DCMEM_MAP_WRITE_NO_OVERWRITE; mode++) {
        EXPECT_OK(dcmem_buffer_map(&map, view, (dcmem_map_mode)mode));
        EXPECT(it.guard.last.operation == DCMEM_GATE_map && it.guard.last.mode == (uint32_t)mode);
        EXPECT_OK(dcmem_buffer_unmap(&map));
    }
    for (int side = 0; side <= 1; side++) {
        EXPECT_OK(dcmem_buffer_prefetch(view, (dcmem_side)side));
        EXPECT(it.guard.last.operation == DCMEM_GATE_prefetch && it.guard.last.mode == (uint32_t)side);
        EXPECT_OK(dcmem_buffer_mark_dirty(view, (dcmem_side)side));
        EXPECT(it.guard.last.operation == DCMEM_GATE_mark_dirty && it.guard.last.mode == (uint32_t)side);
        EXPECT_OK(dcmem_buffer_invalidate(view, (dcmem_side)side));
        EXPECT(it.guard.last.operation == DCMEM_GATE_invalidate && it.guard.last.mode == (uint32_t)side);
    }
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&it);
}
