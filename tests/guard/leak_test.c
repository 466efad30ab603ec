/* leak_test.c: what is live, and who tells of it at the end. */
#include "kit.h"

TEST(guard__tells_each_leak_at_the_end_with_tag_size_age_and_call_site)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1234, 7);
    char *block = allocate(&it, 99);
    ground_end(&it, DCMEM_E_LEAKED);
    char name[64];
    snprintf(name, sizeof name, "guard: leak: buffer %p, tag 7, device, 1234 bytes", (void *)buffer);
    EXPECT_HEARD(name);
    snprintf(name, sizeof name, "guard: leak: block %p, device, 99 bytes", (void *)block);
    EXPECT_HEARD(name);
    EXPECT_HEARD("s old; allocated by ");
    EXPECT_HEARD("manager: ended with 2 blocks of 1333 bytes in use");
    EXPECT(strstr(heard.text, "buffer") < strstr(heard.text, "guard: leak: block")); /* largest first */
}

TEST(guard__tells_the_largest_leaks_and_sums_up_the_rest)
{
    ground it = cpu_ground(DCMEM_GUARD_LEAKS);
    for (int i = 0; i < 20; i++)
        (void)allocate(&it, i < 4 ? 10 : 1000);
    ground_end(&it, DCMEM_E_LEAKED);
    EXPECT_EQ(heard.warnings, 18);
    EXPECT_HEARD("guard: leak: 4 more of 40 bytes");
}

TEST(guard__says_nothing_of_leaks_unless_it_is_told_to)
{
    ground it = cpu_ground(DCMEM_GUARD_ALL & ~(uint32_t)DCMEM_GUARD_LEAKS);
    (void)allocate(&it, 10);
    ground_end(&it, DCMEM_E_LEAKED);
    EXPECT_EQ(heard.warnings, 1);
}

TEST(guard__damage_at_the_end_outweighs_a_leak)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    device_writes(&it, face_of(buffer), 1000, "x", 1);
    ground_end(&it, DCMEM_E_CORRUPTED);
    EXPECT_DETAIL("overrun: buffer");
    EXPECT_HEARD("leak: buffer");
    EXPECT_EQ(heard.errors, 1);
}

typedef struct visit {
    unsigned count, most;
    uint64_t bytes, number;
    dcmem_allocation last;
    bool has_site;
} visit;

static bool
visit_one(void *user, const dcmem_allocation *allocation)
{
    visit *to = user;
    EXPECT(allocation->number > to->number);
    EXPECT_EQ(allocation->size, sizeof *allocation);
    to->number = allocation->number;
    to->bytes += allocation->bytes;
    to->last = *allocation;
    to->has_site = allocation->call_site[0] != '\0';
    return ++to->count != to->most;
}

TEST(guard__live_shows_every_allocation_oldest_first)
{
    ground it = split_ground(DCMEM_GUARD_ALL);
    char *block = allocate(&it, 100);
    char *gone = allocate(&it, 50);
    dcmem_buffer *buffer = buffer_of(&it, 1000, 7);
    host_bytes_of(buffer);
    EXPECT_OK(dcmem_raw_free(it.manager, gone));

    visit all = {0};
    EXPECT_OK(dcmem_guard_live(it.manager, visit_one, &all));
    EXPECT_EQ(all.count, 3);
    EXPECT_EQ(all.bytes, 2100);
    EXPECT(all.last.buffer == buffer && all.last.is_host_side);
    EXPECT_EQ(all.last.kind, DCMEM_KIND_HOST);
    EXPECT_EQ(all.last.tag, 7);
    EXPECT(all.has_site);

    visit first = {.most = 1};
    EXPECT_OK(dcmem_guard_live(it.manager, visit_one, &first));
    EXPECT_EQ(first.count, 1);
    EXPECT(first.last.address == block && !first.last.buffer && !first.last.is_host_side);

    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    visit none = {0};
    EXPECT_OK(dcmem_guard_live(it.manager, visit_one, &none));
    EXPECT_EQ(none.count, 0);
    ground_end(&it, DCMEM_OK);
}

TEST(guard__without_call_sites_there_are_none)
{
    ground it = cpu_ground(DCMEM_GUARD_LEAKS);
    char *block = allocate(&it, 100);
    visit all = {0};
    EXPECT_OK(dcmem_guard_live(it.manager, visit_one, &all));
    EXPECT_EQ(all.count, 1);
    EXPECT(!all.has_site);
    EXPECT_OK(dcmem_raw_free(it.manager, block));
    ground_end(&it, DCMEM_OK);
}

TEST(guard__live_refuses_what_it_cannot_show)
{
    visit none = {0};
    ground it = cpu_ground(DCMEM_GUARD_ALL);
    EXPECT_RESULT(dcmem_guard_live(it.manager, NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("visit");
    dcmem_manager *gone = it.manager;
    ground_end(&it, DCMEM_OK);
    EXPECT_RESULT(dcmem_guard_live(gone, visit_one, &none), DCMEM_E_STALE_MANAGER);
    EXPECT_RESULT(dcmem_guard_live(NULL, visit_one, &none), DCMEM_E_NOT_A_MANAGER);
    it = cpu_ground(DCMEM_GUARD_NONE);
    EXPECT_RESULT(dcmem_guard_live(it.manager, visit_one, &none), DCMEM_E_WRONG_STATE);
    ground_end(&it, DCMEM_OK);
    EXPECT_EQ(none.count, 0);
}
