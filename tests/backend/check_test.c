/* check_test.c: a table that is no backend is refused, and the refusal names what is wrong; absent groups answer. */
#include "backend/contract.h"
#include "test.h"

#include <dcmem/testing.h>

/* A fake's, with the groups that are wanted; never called. */
static dcmem_backend
fake_table(uint64_t groups)
{
    dcmem_fake *fake;
    EXPECT_OK(dcmem_fake_create(&fake, NULL));
    dcmem_backend table = *dcmem_fake_backend(fake);
    EXPECT_OK(dcmem_fake_destroy(fake));
    table.name = "fake";
    table.context = NULL;
#define DCMEM_X(group, function)                                                                                       \
    if (!(groups & DCMI_CAP_##group))                                                                                  \
        table.function = NULL;
    DCMI_CONTRACT_GROUPS(DCMEM_X)
#undef DCMEM_X
    table.capabilities = (table.capabilities & ~DCMEM_CAP_GROUPS) | groups;
    return table;
}

/* Every function there and every capability said; never called. */
static dcmem_backend
whole_table(void)
{
    dcmem_backend table = fake_table(0);
    dcmi_contract_fill_stubs(&table, 0);
    table.capabilities = DCMI_CAP_KNOWN;
    return table;
}

static void
expect_refused(const dcmem_backend *table, const char *named)
{
    EXPECT_RESULT(dcmem_backend_check(table), DCMEM_E_CONTRACT);
    EXPECT_DETAIL(named);
}

TEST(check__the_cpu_a_fake_and_a_whole_table_pass)
{
    dcmem_backend some = fake_table(DCMEM_CAP_MAP | DCMEM_CAP_IMPORT), whole = whole_table();
    EXPECT_OK(dcmem_backend_check(dcmem_backend_find("cpu")));
    EXPECT_OK(dcmem_backend_check(&some));
    EXPECT_OK(dcmem_backend_check(&whole));
}

TEST(check__size_contract_and_capabilities_must_be_ours)
{
    dcmem_backend table = whole_table();
    expect_refused(NULL, "no table");
    table.size--;
    expect_refused(&table, "size");
    table.size += 2;
    expect_refused(&table, "size");
    table = whole_table();
    table.contract++;
    expect_refused(&table, "contract is 2, not 1");
    for (unsigned bit = 0; bit < 64; bit++) {
        table = whole_table();
        table.capabilities |= 1ull << bit;
        EXPECT_EQ(dcmem_backend_check(&table), DCMI_CAP_KNOWN >> bit & 1 ? DCMEM_OK : DCMEM_E_CONTRACT);
        if (!(DCMI_CAP_KNOWN >> bit & 1))
            EXPECT_DETAIL("unknown capabilities");
    }
}

TEST(check__a_name_is_1_to_15_plain_letters)
{
    static const char *const good[] = {"a", "level_zero", "fake-2", "abcdefghijklmno"};
    static const char *const bad[] = {NULL, "", "abcdefghijklmnop", "a b", "A", "a\"", "\xc3\xa4", "a\n"};
    dcmem_backend table = whole_table();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        table.name = good[i];
        EXPECT_OK(dcmem_backend_check(&table));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        table.name = bad[i];
        expect_refused(&table, "name");
    }
}

TEST(check__each_missing_function_is_named)
{
#define DCMEM_X(group, function)                                                                                       \
    {                                                                                                                  \
        dcmem_backend table = whole_table();                                                                           \
        table.function = NULL;                                                                                         \
        expect_refused(&table, " " #function);                                                                         \
        if (DCMI_CAP_##group != 0)                                                                                     \
            EXPECT_DETAIL("DCMEM_CAP_" #group);                                                                        \
    }
    DCMI_CONTRACT_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
}

static void
clear_group(dcmem_backend *table, uint64_t group)
{
#define DCMEM_X(of_group, function)                                                                                    \
    if (group == DCMI_CAP_##of_group)                                                                                  \
        table->function = NULL;
    DCMI_CONTRACT_GROUPS(DCMEM_X)
#undef DCMEM_X
    table->capabilities &= ~group;
}

TEST(check__each_function_without_its_group_is_named)
{
    const dcmem_backend whole = whole_table();
#define DCMEM_X(group, function)                                                                                       \
    {                                                                                                                  \
        dcmem_backend table = whole;                                                                                   \
        clear_group(&table, DCMI_CAP_##group);                                                                         \
        EXPECT_OK(dcmem_backend_check(&table));                                                                        \
        table.function = whole.function;                                                                               \
        expect_refused(&table, " " #function " but does not say DCMEM_CAP_" #group);                                   \
    }
    DCMI_CONTRACT_GROUPS(DCMEM_X)
#undef DCMEM_X
}

/* ---- Stubs ---- */

TEST(stubs__stand_in_for_absent_groups_only)
{
    const dcmem_backend table = fake_table(DCMEM_CAP_MAP | DCMEM_CAP_IMPORT);
    dcmem_backend ops = table;
    dcmi_contract_fill_stubs(&ops, table.capabilities);
#define DCMEM_X(group, function)                                                                                       \
    EXPECT(ops.function != NULL);                                                                                      \
    if (DCMI_CAP_##group == 0 || table.capabilities & DCMI_CAP_##group)                                                \
        EXPECT(ops.function == table.function);
    DCMI_CONTRACT_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
}

#define EXPECT_STUB(group, function, ...)                                                                              \
    EXPECT_RESULT(ops.function(__VA_ARGS__), DCMEM_E_UNSUPPORTED);                                                     \
    EXPECT_DETAIL("backend fake has no " #function ": it is without DCMEM_CAP_" #group)

TEST(stubs__name_the_backend_and_the_call_and_touch_no_output)
{
    dcmem_backend table = fake_table(0), ops = table;
    dcmi_contract_fill_stubs(&ops, 0);

    void *self = &table, *pointer = NULL;
    uint64_t number = 42;
    bool question = true;
    const dcmem_call call = {0};
    dcmem_extent extent = {0};
    const dcmem_place place = {0};
    dcmem_ipc_handle handle = {0};

    EXPECT_STUB(MAP, map, &pointer, self, &call, &extent, 0, 1, 0);
    EXPECT_STUB(MAP, unmap, self, &call, &extent, NULL);
    EXPECT_STUB(MAP, flush, self, &call, &extent, 0, 1);
    EXPECT_STUB(MAP, invalidate, self, &call, &extent, 0, 1);
    EXPECT_STUB(ASYNC, queue_open, &pointer, self, NULL);
    EXPECT_STUB(ASYNC, enqueue_copy, &number, self, NULL, &call, &place, &place, 1);
    EXPECT_STUB(ASYNC, enqueue_fill, &number, self, NULL, &call, &place, 1, "", 1);
    EXPECT_STUB(ASYNC, queue_mark, &number, self, NULL);
    EXPECT_STUB(ASYNC, queue_wait, self, NULL, 1, 0);
    ops.queue_close(self, NULL);
    EXPECT_EQ(ops.queue_completed(self, NULL), 0);
    EXPECT_STUB(VIRTUAL, reserve, &number, self, 4096, 0);
    EXPECT_STUB(VIRTUAL, unreserve, self, 0, 4096);
    EXPECT_STUB(VIRTUAL, page_create, &number, self, &call, 4096, DCMEM_KIND_DEVICE);
    EXPECT_STUB(VIRTUAL, page_destroy, self, &call, 1);
    EXPECT_STUB(VIRTUAL, page_map, self, &call, 0, 1, 0, 4096);
    EXPECT_STUB(VIRTUAL, page_unmap, self, &call, 0, 4096);
    EXPECT_STUB(PEER, peer_can, &question, self, NULL);
    EXPECT_STUB(PEER, peer_enable, self, NULL);
    EXPECT_STUB(PEER, peer_disable, self, NULL);
    EXPECT_STUB(PEER, peer_copy, self, &call, &place, NULL, &place, 1);
    EXPECT_STUB(IMPORT, import_host, &extent, self, &call, NULL, 1);
    EXPECT_STUB(IPC, ipc_export, &handle, self, &call, &extent);
    EXPECT_STUB(IPC, ipc_import, &extent, self, &call, &handle);

    EXPECT(!pointer && number == 42 && question && extent.bytes == 0 && handle.memory_bytes == 0);
}
