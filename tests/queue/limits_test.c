/* Where queues end: their number, the host's memory, drivers that refuse a marker, gates. */
#include "base/os.h"
#include "queue/kit.h"

#define BYTES 4096u

static bool
refuse(const char *what)
{
    (void)what;
    return true;
}

/* The first test of the program: later ones find the tables there. */
TEST(limits__without_address_space_there_is_no_queue_and_no_record)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 0);
    dcmem_queue *queue = NULL;
    void *block = dcmem_raw_allocate(it.manager, BYTES);
    dcmi_os_fault = refuse;
    dcmem_result result = dcmem_queue_create(&queue, it.manager, NULL);
    dcmi_os_fault = NULL;
    EXPECT_EQ(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT(!queue);

    EXPECT_OK(dcmem_queue_create(&queue, it.manager, NULL));
    dcmi_os_fault = refuse;
    dcmem_result used = dcmem_raw_use_on(queue, block), freed = dcmem_raw_free_on(queue, block);
    dcmi_os_fault = NULL;
    EXPECT_EQ(used, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_EQ(freed, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_OK(dcmem_raw_use_on(queue, block));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    EXPECT_OK(dcmem_queue_destroy(queue));
    bench_close(&it);
}

TEST(limits__of_queues_are_4095)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 0);
    static dcmem_queue *queues[4096];
    for (unsigned i = 0; i < 4095; i++)
        EXPECT_OK(dcmem_queue_create(&queues[i], it.manager, NULL));
    EXPECT_RESULT(dcmem_queue_create(&queues[4095], it.manager, NULL), DCMEM_E_LIMIT);
    EXPECT(!queues[4095]);
    EXPECT_OK(dcmem_queue_destroy(queues[77]));
    EXPECT_OK(dcmem_queue_create(&queues[77], it.manager, NULL));
    bench_close(&it); /* its manager ends them */
}

typedef struct faked {
    dcmem_fake *fake;
    dcmem_manager *manager;
    dcmem_queue *queues[2];
} faked;

static faked
faked_open(uint32_t guards)
{
    faked it;
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_fake_options over = {.size = sizeof over, .profile = &profile};
    EXPECT_OK(dcmem_fake_create(&it.fake, &over));
    dcmem_manager_options options = {.size = sizeof options,
                                     .driver = dcmem_fake_backend(it.fake),
                                     .guards = guards,
                                     .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&it.manager, &options));
    for (unsigned i = 0; i < 2; i++)
        EXPECT_OK(dcmem_queue_create(&it.queues[i], it.manager, NULL));
    return it;
}

/* Memory is kept where it cannot be known whether the work on it is done. */
TEST(limits__a_marker_that_is_refused_frees_nothing)
{
    for (unsigned round = 0; round < 2; round++) {
        faked it = faked_open(round ? DCMEM_GUARD_ALL : 0);
        void *block = dcmem_raw_allocate(it.manager, BYTES);
        EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 1, BYTES));
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], block));
        EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_queue_mark, DCMEM_E_NO_HOST_MEMORY, 1, 1));
        EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_NO_HOST_MEMORY);
        EXPECT_OK(dcmem_raw_set(it.manager, block, 1, 1));
        if (round) { /* what guards look at must be done */
            EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
            EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_queue_mark, DCMEM_E_NO_HOST_MEMORY, 2, 1));
            EXPECT_RESULT(dcmem_raw_free_on(it.queues[1], block), DCMEM_E_NO_HOST_MEMORY);
        }
        EXPECT_OK(dcmem_raw_free(it.manager, block));
        EXPECT_OK(dcmem_manager_destroy(it.manager));
        EXPECT_OK(dcmem_fake_destroy(it.fake));
    }
}

TEST(limits__queues_that_end_with_refused_markers_give_their_blocks_back)
{
    faked it = faked_open(0);
    void *block = dcmem_raw_allocate(it.manager, BYTES);
    EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[1], block, 1, BYTES));
    EXPECT_OK(dcmem_raw_use_on(it.queues[1], block));
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_queue_mark, DCMEM_E_DRIVER, 1, UINT64_MAX));
    EXPECT_RESULT(dcmem_manager_destroy(it.manager), DCMEM_E_DRIVER);
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(limits__a_wait_that_the_driver_refuses_once_is_no_failure_of_the_work)
{
    faked it = faked_open(0);
    dcmem_buffer *buffer;
    unsigned char byte = 0;
    dcmem_view one;
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, BYTES, NULL));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(buffer), "w", 1));
    uint64_t value;
    EXPECT_OK(dcmem_queue_mark(&value, it.queues[0]));
    EXPECT_OK(dcmem_queue_wait(it.queues[0], value, UINT64_MAX));
    EXPECT_OK(dcmem_fake_fail(it.fake, DCMEM_FAKE_queue_wait, DCMEM_E_DRIVER, 2, 1));
    EXPECT_OK(dcmem_view_slice(&one, dcmem_view_whole(buffer), 5, 1));
    EXPECT_OK(dcmem_buffer_copy_out(&byte, one, 0));
    EXPECT_EQ(byte, 'w');
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_manager_destroy(it.manager));
    EXPECT_OK(dcmem_fake_destroy(it.fake));
}

TEST(limits__of_ranges_and_patterns_are_told)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    unsigned char *block = dcmem_raw_allocate(it.manager, BYTES);
    dcmem_buffer *buffer;
    dcmem_view odd;
    EXPECT_RESULT(dcmem_raw_copy_on(NULL, it.queues[0], block, block + 10, 100), DCMEM_E_INVALID_ARGUMENT);
    uint64_t value = 7;
    EXPECT_OK(dcmem_raw_copy_on(&value, it.queues[0], block, block + 10, 0));
    EXPECT_OK(dcmem_raw_set_on(&value, it.queues[0], block, 1, 0));
    EXPECT_OK(dcmem_buffer_create(&buffer, it.manager, BYTES, NULL));
    EXPECT_OK(dcmem_view_slice(&odd, dcmem_view_whole(buffer), 2, 6));
    EXPECT_RESULT(dcmem_buffer_fill_on(NULL, it.queues[0], odd, "abcd", 4), DCMEM_E_MISALIGNED);
    EXPECT_RESULT(dcmem_buffer_copy_on(NULL, it.queues[0], odd, odd), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    bench_close(&it);
}

/* So many that their records share heads of the table. */
TEST(limits__ten_thousand_blocks_used_on_a_queue_are_all_remembered)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    static void *blocks[10000];
    for (unsigned i = 0; i < 10000; i++) {
        blocks[i] = dcmem_raw_allocate(it.manager, 256);
        EXPECT_OK(dcmem_raw_use_on(it.queues[0], blocks[i]));
    }
    for (unsigned i = 0; i < 9000; i += 2)
        EXPECT_OK(dcmem_raw_free(it.manager, blocks[i]));
    for (unsigned i = 1; i < 9000; i += 2)
        EXPECT_OK(dcmem_raw_free_on(it.queues[0], blocks[i]));
    EXPECT_OK(dcmem_manager_clear(it.manager));
    bench_close(&it);
}

static dcmem_result
count_calls(void *user, const dcmem_gate_call *call)
{
    (void)call;
    ++*(unsigned *)user;
    return DCMEM_OK;
}

TEST(limits__gates_are_asked_by_calls_on_queues)
{
    bench_of_queues it = bench_open(DCMEM_SIMULATED_DEVICE_DISCRETE, 1);
    unsigned count = 0;
    dcmem_buffer *one, *two;
    EXPECT_OK(dcmem_buffer_create(&one, it.manager, BYTES, NULL));
    EXPECT_OK(dcmem_buffer_create(&two, it.manager, BYTES, NULL));
    void *block = dcmem_raw_allocate(it.manager, BYTES);
    EXPECT_OK(dcmem_manager_set_gate(it.manager, count_calls, &count));
    EXPECT_OK(dcmem_buffer_fill_on(NULL, it.queues[0], dcmem_view_whole(one), "g", 1));
    EXPECT_OK(dcmem_buffer_copy_on(NULL, it.queues[0], dcmem_view_whole(two), dcmem_view_whole(one)));
    EXPECT_OK(dcmem_raw_set_on(NULL, it.queues[0], block, 1, BYTES));
    EXPECT_OK(dcmem_raw_free_on(it.queues[0], block));
    EXPECT_EQ(count, 4);
    EXPECT_OK(dcmem_buffer_destroy(one));
    EXPECT_OK(dcmem_buffer_destroy(two));
    bench_close(&it);
}
