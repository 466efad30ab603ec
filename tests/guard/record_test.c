/* record_test.c: the table of records by itself. */
#include "guard/record.h"

#include "base/os.h"
#include "test.h"

static dcmi_pool *const here = (dcmi_pool *)4096, *const there = (dcmi_pool *)8192;

static dcmi_record *
add(dcmi_records *records, dcmi_pool *pool, uint64_t block)
{
    dcmi_record *record = dcmi_records_new(records);
    EXPECT(record);
    record->pool = pool;
    record->block = block;
    record->address = block + 64;
    record->capacity = 100;
    record->bytes = records->numbers + 1;
    dcmi_records_add(records, record);
    return record;
}

TEST(records__find_each_of_many_by_pool_and_block)
{
    dcmi_records records;
    dcmi_record_glimpse found;
    EXPECT_OK(dcmi_records_init(&records));
    for (uint64_t i = 1; i <= 5000; i++) {
        EXPECT_EQ(add(&records, here, i * 64)->number, 2 * i - 1);
        EXPECT_EQ(add(&records, there, i * 64)->number, 2 * i);
    }
    EXPECT_GE(records.bucket_count, 8192);
    for (uint64_t i = 1; i <= 5000; i++) {
        EXPECT(dcmi_records_find(&found, &records, here, i * 64));
        EXPECT_EQ(found.bytes, 2 * i - 1);
        EXPECT(dcmi_records_find(&found, &records, there, i * 64));
        EXPECT_EQ(found.bytes, 2 * i);
    }
    EXPECT(!dcmi_records_find(&found, &records, here, 63));
    EXPECT(!dcmi_records_check(&records));
    dcmi_records_fini(&records);
}

TEST(records__leave_once_and_are_used_again)
{
    dcmi_records records;
    dcmi_record_glimpse found;
    EXPECT_OK(dcmi_records_init(&records));
    dcmi_record *record = add(&records, here, 640);
    EXPECT(!dcmi_records_leave(&records, here, 640, 640));
    EXPECT(!dcmi_records_leave(&records, there, 640, 704));
    EXPECT(dcmi_records_leave(&records, here, 640, 704) == record);
    EXPECT(!dcmi_records_leave(&records, here, 640, 704));
    EXPECT(dcmi_records_find(&found, &records, here, 640) && !found.is_live);

    /* The block is another's already; the old record still leaves. */
    add(&records, here, 640);
    EXPECT(dcmi_records_find(&found, &records, here, 640));
    EXPECT(found.is_live);
    dcmi_records_remove(&records, record);
    EXPECT(dcmi_records_find(&found, &records, here, 640));
    EXPECT(add(&records, here, 6400) == record);
    EXPECT(!dcmi_records_check(&records));
    dcmi_records_fini(&records);
}

TEST(records__let_the_oldest_go_first)
{
    dcmi_records records;
    EXPECT_OK(dcmi_records_init(&records));
    dcmi_record *all[5];
    for (unsigned i = 0; i < 5; i++) {
        all[i] = add(&records, here, 6400 + 64 * i);
        EXPECT(dcmi_records_leave(&records, here, 6400 + 64 * i, 6464 + 64 * i) == all[i]);
        dcmi_records_hold(&records, all[i]);
    }
    EXPECT(!dcmi_records_next_held(&records, 500));
    EXPECT(dcmi_records_next_held(&records, 499) == all[0]);
    EXPECT(!dcmi_records_next_held(&records, 400));
    EXPECT(dcmi_records_next_held(&records, 0) == all[1]);
    EXPECT(dcmi_records_check(&records)); /* two are in nobody's list */
    dcmi_records_remove(&records, all[0]);
    dcmi_records_remove(&records, all[1]);
    EXPECT(!dcmi_records_check(&records));
    dcmi_records_fini(&records);
}

TEST(records__check_names_what_is_broken)
{
    dcmi_records records;
    EXPECT_OK(dcmi_records_init(&records));
    dcmi_record *record = add(&records, here, 640);
    record->state = DCMI_RECORD_HELD;
    EXPECT(strstr(dcmi_records_check(&records), "not its state's"));
    record->state = DCMI_RECORD_LIVE;
    records.live.bytes++;
    EXPECT(strstr(dcmi_records_check(&records), "miscounted"));
    records.live.bytes--;
    EXPECT(!dcmi_records_check(&records));
    dcmi_records_clear(&records);
    EXPECT(!dcmi_records_check(&records));
    EXPECT_EQ(records.count, 0);
    dcmi_records_fini(&records);
}

static bool
fail_always(const char *what)
{
    (void)what;
    return true;
}

TEST(records__go_on_where_the_host_has_no_memory)
{
    dcmi_records records;
    dcmi_record_glimpse found;
    dcmi_record_copy copy;
    EXPECT_OK(dcmi_records_init(&records));
    for (uint64_t i = 1; i <= 1020; i++) /* whole chunks */
        add(&records, here, i * 64);
    dcmi_os_fault = fail_always;
    EXPECT(!dcmi_records_new(&records));
    EXPECT(!dcmi_records_copy(&copy, &records, false));
    dcmi_os_fault = NULL;
    for (uint64_t i = 1021; i <= 1024; i++)
        add(&records, here, i * 64);
    dcmi_os_fault = fail_always;
    for (uint64_t i = 1025; i <= 1100; i++)
        add(&records, here, i * 64);
    EXPECT_EQ(records.bucket_count, 1024);
    dcmi_records none;
    EXPECT_RESULT(dcmi_records_init(&none), DCMEM_E_NO_HOST_MEMORY);
    dcmi_os_fault = NULL;
    for (uint64_t i = 1; i <= 1100; i++)
        EXPECT(dcmi_records_find(&found, &records, here, i * 64));
    dcmi_records_fini(&records);
}
