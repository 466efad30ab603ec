/* test_buffer_test.c: the test buffers' former factories make what the lines in their warnings make.
 *
 * Every test runs one body over a former name and over its line, and compares all that a program can see. */
#define DCMEM_LEGACY_SILENT
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/legacy.h>
#include <dcmem/testing.h>
#include <time.h>

#define BYTES 256u

/* What a factory is given beside the place for the handle; each takes what it knows. */
typedef struct wish {
    uint64_t bytes;
    const void *data;
    uint32_t delay_ms;
    uint64_t operations;
    dcmem_memory_type type;
} wish;

typedef dcmem_result (*factory)(dcmem_test_buffer **out, const wish *of);

typedef struct pair {
    const char *name;
    factory before, after;
} pair;

static dcmem_result
plain(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create(out, of->bytes);
}

static dcmem_result
new_plain(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_buffer_create(out, of->bytes, NULL);
}

static dcmem_result
from_data(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create_from_data(out, of->data, of->bytes);
}

static dcmem_result
new_from_data(dcmem_test_buffer **out, const wish *of)
{
    dcmem_result result = dcmem_test_buffer_create(out, of->bytes, NULL);
    if (!result)
        result = dcmem_buffer_copy_in(dcmem_view_whole(dcmem_test_buffer_buffer(*out)), of->data, 0);
    return result ? result : dcmem_test_buffer_reset(*out);
}

static dcmem_result
slow(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create_slow_transfer(out, of->bytes, of->delay_ms);
}

static dcmem_result
new_slow(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_buffer_create(out, of->bytes,
                                    &(dcmem_test_buffer_options){.size = sizeof(dcmem_test_buffer_options),
                                                                 .slow_transfers = true,
                                                                 .transfer_delay_ns = of->delay_ms * 1000000ull});
}

static dcmem_result
failing(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create_fail_after(out, of->bytes, of->operations);
}

static dcmem_result
new_failing(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_buffer_create(out, of->bytes,
                                    (dcmem_test_buffer_options[]){dcmem_test_buffer_fail_after(of->operations)});
}

static dcmem_result
restrictive(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create_restrictive(out, of->bytes);
}

static dcmem_result
new_restrictive(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_buffer_create(out, of->bytes, (dcmem_test_buffer_options[]){dcmem_test_buffer_restrictive()});
}

static dcmem_result
typed(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_memory_buffer_create_of_type(out, of->bytes, of->type);
}

static dcmem_result
new_typed(dcmem_test_buffer **out, const wish *of)
{
    return dcmem_test_buffer_create(
        out, of->bytes,
        &(dcmem_test_buffer_options){.size = sizeof(dcmem_test_buffer_options), .memory = {.kind = of->type}});
}

static const pair pairs[] = {
    {"create", plain, new_plain},
    {"from data", from_data, new_from_data},
    {"slow transfer", slow, new_slow},
    {"fail after", failing, new_failing},
    {"restrictive", restrictive, new_restrictive},
    {"of type", typed, new_typed},
};

#define FOR_EACH_PAIR(it) for (const pair *it = pairs; it < pairs + sizeof pairs / sizeof *pairs; it++)

/* ---- What is seen ---- */

#define STEPS 9

typedef struct account {
    dcmem_result results[STEPS];
    dcmem_buffer_info info;
    dcmem_test_buffer_counts fresh, counts;
    unsigned char bytes[BYTES];
} account;

static account
look(factory create, const wish *of)
{
    account seen;
    memset(&seen, 0, sizeof seen);
    seen.info.size = sizeof seen.info;
    seen.fresh.size = seen.counts.size = sizeof seen.counts;

    dcmem_test_buffer *test;
    unsigned char host[BYTES];
    dcmem_access access;
    dcmem_map map;
    int step = 0;
    EXPECT_OK(create(&test, of));
    dcmem_buffer *buffer = dcmem_test_buffer_buffer(test);
    dcmem_view whole = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_test_buffer_counts_of(&seen.fresh, test));
    EXPECT_OK(dcmem_buffer_describe(&seen.info, buffer));

    seen.results[step++] = dcmem_buffer_copy_out(seen.bytes, whole, 0);
    memset(host, 7, sizeof host);
    seen.results[step++] = dcmem_buffer_copy_in(whole, host, 0);
    seen.results[step++] = dcmem_buffer_fill(whole, "f", 1);
    seen.results[step] = dcmem_buffer_map(&map, whole, DCMEM_MAP_READ);
    if (!seen.results[step++])
        EXPECT_OK(dcmem_buffer_unmap(&map));
    for (int side = 0; side < 2; side++) {
        seen.results[step] = dcmem_access_begin(&access, whole, (dcmem_side)side, DCMEM_ACCESS_UPDATE, 0);
        if (!seen.results[step++])
            EXPECT_OK(dcmem_access_end(&access));
    }
    seen.results[step++] = dcmem_buffer_prefetch(whole, DCMEM_SIDE_HOST);
    seen.results[step++] = dcmem_buffer_resize(buffer, BYTES / 2);
    seen.results[step++] = dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 0, 1);
    EXPECT_EQ(step, STEPS);

    EXPECT_OK(dcmem_test_buffer_counts_of(&seen.counts, test));
    EXPECT_OK(dcmem_test_buffer_destroy(test));
    seen.info.manager = NULL; /* each has its own */
    return seen;
}

/* Field by field: what lies between them is anything. */
static void
expect_same_info(const dcmem_buffer_info *a, const dcmem_buffer_info *b)
{
    EXPECT_EQ(a->bytes, b->bytes);
    EXPECT_EQ(a->capacity_bytes, b->capacity_bytes);
    EXPECT_EQ(a->kind, b->kind);
    EXPECT_EQ(a->flags, b->flags);
    EXPECT_EQ(a->alignment, b->alignment);
    EXPECT_EQ(a->tag, b->tag);
    EXPECT_EQ(a->priority, b->priority);
    EXPECT_EQ(a->current_sides, b->current_sides);
    EXPECT_EQ(a->written_bytes, b->written_bytes);
    EXPECT_EQ(a->pins, b->pins);
    EXPECT_EQ(a->is_unified, b->is_unified);
    EXPECT_EQ(a->has_host_side, b->has_host_side);
}

static void
expect_same(const pair *it, const wish *of)
{
    account before = look(it->before, of), after = look(it->after, of);
    print_message("%s\n", it->name);
    for (int step = 0; step < STEPS; step++)
        EXPECT_EQ(before.results[step], after.results[step]);
    expect_same_info(&before.info, &after.info);
    EXPECT_EQ(memcmp(&before.fresh, &after.fresh, sizeof after.fresh), 0);
    EXPECT_EQ(memcmp(&before.counts, &after.counts, sizeof after.counts), 0);
    EXPECT_EQ(memcmp(before.bytes, after.bytes, sizeof after.bytes), 0);
    EXPECT_EQ(before.fresh.operations, 0);
}

TEST(legacy_test_buffer__is_what_the_new_line_makes)
{
    unsigned char data[BYTES];
    for (unsigned i = 0; i < BYTES; i++)
        data[i] = (unsigned char)(255 - i);
    FOR_EACH_PAIR(it)
    for (uint64_t operations = 0; operations < 8; operations++)
        expect_same(it, &(wish){BYTES, data, 1, operations, DCMEM_MEMORY_TYPE_DEVICE});
}

TEST(legacy_test_buffer__holds_the_data_that_it_was_made_from)
{
    unsigned char data[BYTES];
    memset(data, 0xd0, sizeof data);
    account seen = look(from_data, &(wish){.bytes = BYTES, .data = data});
    EXPECT_OK(seen.results[0]);
    EXPECT_EQ(memcmp(seen.bytes, data, BYTES), 0);
    EXPECT_EQ(seen.info.written_bytes, BYTES);
}

TEST(legacy_test_buffer__of_each_preset_behaves_as_its_name_says)
{
    account slow_one = look(slow, &(wish){.bytes = BYTES, .delay_ms = 1});
    EXPECT_GE(slow_one.counts.delayed, 1);
    account restricted = look(restrictive, &(wish){.bytes = BYTES});
    EXPECT_RESULT(restricted.results[0], DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(restricted.results[3], DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(restricted.results[4], DCMEM_E_WRONG_STATE);
    EXPECT_RESULT(restricted.results[5], DCMEM_E_WRONG_STATE);
    account third = look(failing, &(wish){.bytes = BYTES, .operations = 3});
    EXPECT_OK(third.results[1]);
    for (int step = 2; step < 7; step++)
        EXPECT_RESULT(third.results[step], DCMEM_E_WRONG_STATE);
}

TEST(legacy_test_buffer__of_a_memory_type_lies_in_memory_of_that_kind)
{
    static const dcmem_memory_type types[] = {DCMEM_MEMORY_TYPE_HOST, DCMEM_MEMORY_TYPE_DEVICE,
                                              DCMEM_MEMORY_TYPE_PINNED};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        wish of = {.bytes = BYTES, .type = types[i]};
        expect_same(&pairs[5], &of);
        EXPECT_EQ(look(typed, &of).info.kind, types[i]);
    }
}

static void
expect_same_failure(const pair *it, const wish *of)
{
    char message[sizeof dcmem_last_detail()->message];
    dcmem_test_buffer *const untouched = (dcmem_test_buffer *)(uintptr_t)0x5a5a, *out = untouched;
    dcmem_result wanted = it->before(&out, of);
    EXPECT(wanted);
    EXPECT(out == untouched);
    memcpy(message, dcmem_last_detail()->message, sizeof message);
    EXPECT_RESULT(it->after(&out, of), wanted);
    EXPECT_DETAIL(message);
    if (out != untouched) /* the first of its two lines succeeded */
        EXPECT_OK(dcmem_test_buffer_destroy(out));
}

TEST(legacy_test_buffer__fails_as_the_new_line_does_and_leaves_nothing)
{
    unsigned char data[BYTES] = {0};
    FOR_EACH_PAIR(it)
    {
        expect_same_failure(it, &(wish){.bytes = 0, .data = data, .delay_ms = 1});
        expect_same_failure(it, &(wish){.bytes = UINT64_MAX, .data = data, .delay_ms = 1});
        EXPECT_RESULT(it->before(NULL, &(wish){.bytes = 1, .data = data, .delay_ms = 1}), DCMEM_E_INVALID_ARGUMENT);
    }
    expect_same_failure(&pairs[1], &(wish){.bytes = BYTES, .data = NULL});
    expect_same_failure(&pairs[5], &(wish){.bytes = BYTES, .type = DCMEM_MEMORY_TYPE_MANAGED});
    expect_same_failure(&pairs[5], &(wish){.bytes = BYTES, .type = DCMEM_KIND_COUNT});
}

static uint64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

TEST(legacy_test_buffer__that_is_slow_waits_as_long_as_it_was_told)
{
    dcmem_test_buffer *test;
    char bytes[BYTES] = {0};
    EXPECT_OK(dcmem_test_memory_buffer_create_slow_transfer(&test, BYTES, 40));
    uint64_t begun = now_ms();
    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(dcmem_test_buffer_buffer(test)), bytes, 0));
    EXPECT_GE(now_ms() - begun, 39);
    EXPECT_OK(dcmem_test_buffer_destroy(test));
}

static uint64_t
address_space_pages(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file);
    EXPECT_EQ(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return pages;
}

/* Each device takes 256 MiB of address space; what was left behind would show. */
TEST(legacy_test_buffer__whose_data_cannot_be_brought_leaves_no_device_behind)
{
    dcmem_test_buffer *test;
    EXPECT(dcmem_test_memory_buffer_create_from_data(&test, NULL, BYTES));
    uint64_t before = address_space_pages();
    for (unsigned i = 0; i < 20; i++)
        EXPECT_RESULT(dcmem_test_memory_buffer_create_from_data(&test, NULL, BYTES), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_LE(address_space_pages(), before + (1ull << 30) / 4096);
}
