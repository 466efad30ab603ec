/* fault_test.c: fault plans at work: which calls their triggers choose, what their effects do, and that the same calls
 * meet the same faults again. */
#include "everything.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call someone = {.tag = 7, .thread = 3, .op_index = 1};

/* ---- A device below a plan ---- */

typedef struct rig {
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    void *device;
    dcmem_extent extent; /* 64 KiB, once asked for */
} rig;

static void
rig_open_over(rig *it, const char *text, const dcmem_backend *over)
{
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    *it = (rig){0};
    EXPECT_OK(dcmem_fault_plan_create(&it->plan, text));
    EXPECT_OK(dcmem_fault_plan_over(&it->backend, it->plan, over));
    EXPECT_OK(dcmem_backend_check(it->backend));
    EXPECT_OK(it->backend->open(&it->device, it->backend, &open));
}

static void
rig_open(rig *it, const char *text)
{
    rig_open_over(it, text, everything());
}

static void
rig_acquire(rig *it)
{
    dcmem_acquire request = {.bytes = 64 * KIB, .flags = DCMEM_ACQUIRE_SHARED};
    EXPECT_OK(it->backend->acquire(&it->extent, it->device, &someone, &request));
}

static void
rig_close(rig *it)
{
    if (it->extent.bytes)
        EXPECT_OK(it->backend->release(it->device, &someone, &it->extent));
    it->backend->close(it->device);
    EXPECT_OK(dcmem_fault_plan_destroy(it->plan));
}

/* One fill of the device's first bytes: what the plan says of it. */
static dcmem_result
fill_as(rig *it, dcmem_call call, uint64_t bytes)
{
    dcmem_place to = {.extent = &it->extent};
    return it->backend->fill(it->device, &call, &to, bytes, "", 1);
}

static dcmem_result
fill(rig *it)
{
    return fill_as(it, someone, 64);
}

/* "..x..": which of `count` fills fail. */
static const char *
fills(rig *it, int count)
{
    static char out[128];
    for (int i = 0; i < count; i++)
        out[i] = fill(it) ? 'x' : '.';
    out[count] = '\0';
    return out;
}

static void
expect_fills(const char *text, const char *wanted)
{
    rig it;
    rig_open(&it, text);
    rig_acquire(&it);
    assert_string_equal(fills(&it, (int)strlen(wanted)), wanted);
    rig_close(&it);
}

/* ---- Triggers ---- */

TEST(faults__fire_as_their_triggers_say)
{
    expect_fills("fill:oom", "xxxxx");
    expect_fills("fill:nth=3:oom", "..x......");
    expect_fills("fill:every=3:oom", "..x..x..x");
    expect_fills("fill:every=2:times=2:oom", ".x.x......");
    expect_fills("fill:after=3:oom", "...xxxxx");
    expect_fills("fill:after=3:times=1:oom", "...x....");
    expect_fills("fill:after=3:times=1:oom:for=2", "...xx...");
    expect_fills("fill:nth=2:oom:for=3", ".xxx....");
    expect_fills("fill:nth=2:oom:for=ever", ".xxxxxxx");
    expect_fills("fill:every=4:oom:for=2", "...xx..xx..x");
    expect_fills("fill:after=2:every=2:oom", "...x.x.x");
    expect_fills("fill:nth=2:oom;fill:nth=4:fail=busy", ".x.x..");
    expect_fills("copy:oom", "....");
    expect_fills("any:nth=4:oom", ".x...."); /* open and acquire come before */
}

TEST(faults__look_at_size_tag_and_thread)
{
    rig it;
    rig_open(&it, "fill:size=128..256:tag=9:thread=5:oom");
    rig_acquire(&it);
    dcmem_call call = {.tag = 9, .thread = 5, .op_index = 1};
    EXPECT_RESULT(fill_as(&it, call, 128), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(fill_as(&it, call, 256), DCMEM_E_NO_MEMORY);
    EXPECT_OK(fill_as(&it, call, 127));
    EXPECT_OK(fill_as(&it, call, 257));
    call.tag = 8;
    EXPECT_OK(fill_as(&it, call, 128));
    call = (dcmem_call){.tag = 9, .thread = 4, .op_index = 1};
    EXPECT_OK(fill_as(&it, call, 128));
    dcmem_fault_thread(5);
    EXPECT_RESULT(fill_as(&it, call, 128), DCMEM_E_NO_MEMORY);
    dcmem_fault_thread(DCMEM_FAULT_NO_THREAD);
    EXPECT_OK(fill_as(&it, call, 128));
    rig_close(&it);
}

TEST(faults__count_each_thread_apart_where_they_are_told_to)
{
    rig it;
    rig_open(&it, "fill:nth=2:per=thread:oom");
    rig_acquire(&it);
    dcmem_call one = {.thread = 1, .op_index = 1}, two = {.thread = 40, .op_index = 1};
    EXPECT_OK(fill_as(&it, one, 64));
    EXPECT_OK(fill_as(&it, two, 64));
    EXPECT_RESULT(fill_as(&it, two, 64), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(fill_as(&it, one, 64), DCMEM_E_NO_MEMORY);
    EXPECT_OK(fill_as(&it, one, 64));
    dcmem_fault fault;
    EXPECT_OK(dcmem_fault_plan_fault(&fault, it.plan, 1));
    EXPECT(fault.thread == 40 && fault.call == 2);
    rig_close(&it);
}

TEST(faults__open_at_their_time)
{
    rig it;
    rig_open(&it, "fill:time=1000s..:oom;fill:time=..1000s:fail=busy");
    rig_acquire(&it);
    EXPECT_RESULT(fill(&it), DCMEM_E_BUSY);
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 1);
    rig_close(&it);
}

TEST(faults__come_as_often_as_their_chance_says)
{
    rig it;
    rig_open(&it, "fill:p=0.25:seed=42:oom");
    rig_acquire(&it);
    uint64_t failed = 0;
    for (int i = 0; i < 4000; i++)
        failed += fill(&it) != DCMEM_OK;
    EXPECT(failed > 850 && failed < 1150);
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), failed);
    rig_close(&it);
    expect_fills("fill:p=1:oom", "xxxx");
}

TEST(faults__of_one_seed_repeat_and_of_another_do_not)
{
    char first[128], again[128];
    rig it;
    rig_open(&it, "fill:p=0.3:seed=1:oom");
    rig_acquire(&it);
    strcpy(first, fills(&it, 100));
    EXPECT_OK(it.backend->release(it.device, &someone, &it.extent));
    dcmem_fault_plan_reset(it.plan);
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 0);
    rig_acquire(&it);
    strcpy(again, fills(&it, 100));
    assert_string_equal(first, again);
    rig_close(&it);
    expect_fills("fill:p=0.3:seed=1:oom", first);

    rig_open(&it, "fill:p=0.3:seed=2:oom");
    rig_acquire(&it);
    assert_string_not_equal(fills(&it, 100), first);
    rig_close(&it);
}

TEST(faults__count_every_call_whatever_an_earlier_rule_did)
{
    rig it;
    rig_open(&it, "fill:nth=2:fail=busy;fill:every=2:fail=timeout;fill:nth=2:slow=1ns");
    rig_acquire(&it);
    EXPECT_OK(fill(&it));
    EXPECT_RESULT(fill(&it), DCMEM_E_BUSY); /* the first that fails it decides */
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 3);
    EXPECT_OK(fill(&it));
    EXPECT_RESULT(fill(&it), DCMEM_E_TIMEOUT);
    rig_close(&it);
}

/* ---- Results ---- */

TEST(faults__say_which_they_are)
{
    rig it;
    rig_open(&it, "copy:oom;fill:nth=2:fail=permission");
    rig_acquire(&it);
    EXPECT_OK(fill(&it));
    EXPECT_RESULT(fill(&it), DCMEM_E_PERMISSION);
    EXPECT_DETAIL("fill of 64 bytes: fault 1 of the plan");
    assert_string_equal(dcmem_last_detail()->driver, "faults");
    EXPECT_EQ(dcmem_last_detail()->driver_code, 1);

    dcmem_fault fault;
    EXPECT_OK(dcmem_fault_plan_fault(&fault, it.plan, 1));
    EXPECT(fault.index == 1 && fault.rule == 2 && fault.call == 2 && fault.thread == 3 && fault.tag == 7);
    EXPECT(fault.bytes == 64 && !fault.is_program);
    assert_string_equal(fault.operation, "fill");
    assert_string_equal(fault.effect, "fail");
    EXPECT_RESULT(dcmem_fault_plan_fault(&fault, it.plan, 2), DCMEM_E_OUT_OF_RANGE);
    EXPECT_RESULT(dcmem_fault_plan_fault(&fault, it.plan, 0), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fault_plan_fault(NULL, it.plan, 1), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fault_plan_fault(&fault, NULL, 1), DCMEM_E_INVALID_ARGUMENT);
    rig_close(&it);
}

TEST(faults__keep_the_list_of_many)
{
    rig it;
    dcmem_fault fault;
    rig_open(&it, "fill:oom");
    rig_acquire(&it);
    for (int i = 0; i < 1000; i++)
        EXPECT_RESULT(fill(&it), DCMEM_E_NO_MEMORY);
    EXPECT_OK(dcmem_fault_plan_fault(&fault, it.plan, 1000));
    EXPECT_EQ(fault.call, 1000);
    rig_close(&it);
}

typedef struct listener {
    int lines;
    dcmem_log_level level;
    char last[300];
} listener;

static void
listen(void *user, dcmem_log_level level, const char *component, const char *message)
{
    listener *it = user;
    if (strcmp(component, "faults") != 0)
        return;
    it->lines++;
    it->level = level;
    snprintf(it->last, sizeof it->last, "%s", message);
}

TEST(faults__are_logged_with_their_index_and_rule)
{
    rig it;
    listener heard = {0};
    dcmem_log_level level = dcmem_log_get_level();
    rig_open(&it, "fill:nth=2:oom;any:nth=1:slow=1ns");
    rig_acquire(&it);
    dcmem_log_set(listen, &heard, DCMEM_LOG_INFO);
    EXPECT_OK(fill(&it));
    EXPECT_EQ(heard.lines, 0);
    EXPECT_RESULT(fill(&it), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(heard.lines, 1);
    EXPECT_EQ(heard.level, DCMEM_LOG_INFO);
    assert_string_equal(heard.last, "fault 2: rule 1 (fill:nth=2:oom): call 2, fill of 64 bytes, thread 3");

    dcmem_fault_plan_reset(it.plan);
    dcmem_fault_plan_set_log(it.plan, DCMEM_LOG_WARNING);
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(it.backend->info(&info, it.device));
    EXPECT_EQ(heard.level, DCMEM_LOG_WARNING);
    assert_string_equal(heard.last, "fault 1: rule 2 (any:nth=1:slow=1ns): call 1, info of 0 bytes, no thread");

    dcmem_fault_plan_set_log(it.plan, DCMEM_LOG_OFF);
    EXPECT_OK(fill(&it));
    EXPECT_RESULT(fill(&it), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(heard.lines, 2);
    dcmem_log_set(NULL, NULL, level);
    rig_close(&it);
}

/* ---- Effects ---- */

TEST(faults__out_of_memory_is_what_a_driver_would_say)
{
    rig it;
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_extent extent;
    void *host = NULL, *queue = NULL;
    uint64_t number = 0;
    rig_open(&it, "acquire:nth=2:oom;map,reserve,queue_open,import_host:oom;page_create,ipc_import:oom;open:nth=2:oom");
    rig_acquire(&it);
    dcmem_ipc_handle handle = {.memory_bytes = 4096};
    EXPECT_RESULT(it.backend->acquire(&extent, it.device, &someone, &request), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(it.backend->page_create(&number, it.device, &someone, 4096, DCMEM_KIND_DEVICE), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(it.backend->ipc_import(&extent, it.device, &someone, &handle), DCMEM_E_NO_MEMORY);
    EXPECT_RESULT(it.backend->map(&host, it.device, &someone, &it.extent, 0, 64, DCMEM_MAP_READ_BIT),
                  DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(it.backend->reserve(&number, it.device, 4096, 0), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(it.backend->queue_open(&queue, it.device, NULL), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(it.backend->import_host(&extent, it.device, &someone, &it, 64), DCMEM_E_NO_HOST_MEMORY);
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    EXPECT_RESULT(it.backend->open(&host, it.backend, &open), DCMEM_E_NO_HOST_MEMORY);
    EXPECT(!host && !queue && !number);
    rig_close(&it);
}

TEST(faults__lost_devices_stay_lost_but_take_memory_back)
{
    rig it;
    dcmem_extent extent;
    dcmem_acquire request = {.bytes = 64 * KIB};
    uint32_t count;
    rig_open(&it, "fill:nth=2:lost");
    rig_acquire(&it);
    EXPECT_OK(fill(&it));
    EXPECT_RESULT(fill(&it), DCMEM_E_DEVICE_LOST);
    EXPECT_RESULT(it.backend->acquire(&extent, it.device, &someone, &request), DCMEM_E_DEVICE_LOST);
    EXPECT_DETAIL("the plan's faults lost the device");
    EXPECT_RESULT(it.backend->count(&count, it.backend), DCMEM_E_DEVICE_LOST);
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 1);
    rig_close(&it);

    rig_open(&it, "fill:nth=2:lost:for=3");
    rig_acquire(&it);
    assert_string_equal(fills(&it, 8), ".xxx....");
    rig_close(&it);
}

TEST(faults__of_what_ends_something_let_it_end)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 64 * MIB};
    dcmem_backend *simulated;
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    dcmem_extent extent;
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    void *device;
    EXPECT_OK(dcmem_simulated_create(&simulated, &profile, 1));
    EXPECT_OK(dcmem_fault_plan_create(&plan, "release:fail=device_lost"));
    EXPECT_OK(dcmem_fault_plan_over(&backend, plan, simulated));
    EXPECT_OK(backend->open(&device, backend, &open));
    EXPECT_OK(backend->acquire(&extent, device, &someone, &request));
    EXPECT_RESULT(backend->release(device, &someone, &extent), DCMEM_E_DEVICE_LOST);
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, simulated, 0));
    EXPECT_EQ(account.live_bytes, 0);
    backend->close(device);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}

/* What a copy of 64 bytes into zeros leaves: how many are right, and how many bits are wrong. */
typedef struct arrived {
    int right;
    int wrong_bits;
} arrived;

static arrived
compare(const uint8_t *got)
{
    arrived it = {0, 0};
    for (int i = 0; i < 64; i++) {
        it.right += got[i] == (uint8_t)(i + 1);
        it.wrong_bits += __builtin_popcount((unsigned)got[i] ^ (unsigned)(uint8_t)(i + 1));
    }
    return it;
}

typedef enum mover { COPY_IN, COPY_OUT, COPY_WITHIN, ENQUEUE, PEER } mover;

static arrived
copy_under(const char *text, mover how)
{
    rig it;
    uint8_t source[64], target[64] = {0}, zeros[64] = {0};
    rig_open(&it, text);
    rig_acquire(&it);
    const dcmem_backend *plain = everything();
    void *inner = everything_opened(), *peer;
    dcmem_open second_device = {.size = sizeof second_device, .index = 1, .numa_node = -1};
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_extent far;
    EXPECT_OK(it.backend->open(&peer, it.backend, &second_device));
    EXPECT_OK(it.backend->acquire(&far, peer, &someone, &request));
    for (int i = 0; i < 64; i++)
        source[i] = (uint8_t)(i + 1);
    dcmem_place first = {.extent = &it.extent}, second = {.extent = &it.extent, .offset = 4096};
    dcmem_place from = {.host = source}, to = {.host = target}, clean = {.host = zeros}, there = {.extent = &far};

    /* What is there before and after is moved past the plan. */
    EXPECT_OK(plain->copy(inner, &someone, &first, how == COPY_IN ? &clean : &from, 64));
    EXPECT_OK(plain->copy(inner, &someone, &second, &clean, 64));
    uint64_t value = 0;
    void *queue = NULL;
    switch (how) {
    case COPY_IN:
        EXPECT_OK(it.backend->copy(it.device, &someone, &first, &from, 64));
        EXPECT_OK(plain->copy(inner, &someone, &to, &first, 64));
        break;
    case COPY_OUT:
        EXPECT_OK(it.backend->copy(it.device, &someone, &to, &first, 64));
        break;
    case COPY_WITHIN:
        EXPECT_OK(it.backend->copy(it.device, &someone, &second, &first, 64));
        EXPECT_OK(plain->copy(inner, &someone, &to, &second, 64));
        break;
    case ENQUEUE:
        EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));
        EXPECT_OK(it.backend->enqueue_copy(&value, it.device, queue, &someone, &second, &first, 64));
        EXPECT_OK(it.backend->queue_wait(it.device, queue, value, UINT64_MAX));
        it.backend->queue_close(it.device, queue);
        EXPECT_OK(plain->copy(inner, &someone, &to, &second, 64));
        break;
    case PEER:
        memcpy(far.host, source, 64);
        EXPECT_OK(it.backend->peer_enable(it.device, peer));
        EXPECT_OK(it.backend->peer_copy(it.device, &someone, &second, peer, &there, 64));
        EXPECT_OK(it.backend->peer_disable(it.device, peer));
        EXPECT_OK(plain->copy(inner, &someone, &to, &second, 64));
        break;
    }
    plain->close(inner);
    EXPECT_OK(it.backend->release(peer, &someone, &far));
    it.backend->close(peer);
    rig_close(&it);
    return compare(target);
}

TEST(faults__spoil_copies_of_every_kind_and_say_they_succeeded)
{
    static const struct {
        mover how;
        const char *operation;
    } movers[] = {
        {COPY_IN, "copy"}, {COPY_OUT, "copy"}, {COPY_WITHIN, "copy"}, {ENQUEUE, "enqueue_copy"}, {PEER, "peer_copy"}};
    char text[64];
    for (size_t i = 0; i < sizeof movers / sizeof movers[0]; i++) {
        mover how = movers[i].how;
        snprintf(text, sizeof text, "%s:nth=2:short", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 64);
        snprintf(text, sizeof text, "%s:short", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 32);
        snprintf(text, sizeof text, "%s:short=10", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 10);
        snprintf(text, sizeof text, "%s:short=0", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 0);
        snprintf(text, sizeof text, "%s:short=64", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 64);
        snprintf(text, sizeof text, "%s:stale", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).right, 0);
        snprintf(text, sizeof text, "%s:flip", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).wrong_bits, 1);
        snprintf(text, sizeof text, "%s:flip=511", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).wrong_bits, 1);
        snprintf(text, sizeof text, "%s:flip=512", movers[i].operation);
        EXPECT_EQ(copy_under(text, how).wrong_bits, 0);
    }
}

TEST(faults__tell_copies_in_from_copies_out)
{
    EXPECT_EQ(copy_under("copy:way=in:stale", COPY_IN).right, 0);
    EXPECT_EQ(copy_under("copy:way=out:stale", COPY_IN).right, 64);
    EXPECT_EQ(copy_under("copy:way=out:stale", COPY_OUT).right, 0);
    EXPECT_EQ(copy_under("copy:way=within:stale", COPY_OUT).right, 64);
    EXPECT_EQ(copy_under("copy:way=within:stale", COPY_WITHIN).right, 0);
    EXPECT_EQ(copy_under("peer_copy:way=within:stale", PEER).right, 0);
}

static arrived
fill_under(const char *text, bool is_queued)
{
    rig it;
    uint8_t target[64] = {0}, pattern[4] = {1, 2, 3, 4};
    uint64_t value;
    void *queue;
    rig_open(&it, text);
    rig_acquire(&it);
    dcmem_place first = {.extent = &it.extent}, to = {.host = target}, clean = {.host = target};
    EXPECT_OK(it.backend->copy(it.device, &someone, &first, &clean, 64));
    if (is_queued) {
        EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));
        EXPECT_OK(it.backend->enqueue_fill(&value, it.device, queue, &someone, &first, 64, pattern, 4));
        EXPECT_OK(it.backend->queue_wait(it.device, queue, value, UINT64_MAX));
        it.backend->queue_close(it.device, queue);
    } else
        EXPECT_OK(it.backend->fill(it.device, &someone, &first, 64, pattern, 4));
    EXPECT_OK(it.backend->copy(it.device, &someone, &to, &first, 64));
    rig_close(&it);

    arrived got = {0, 0};
    for (int i = 0; i < 64; i++) {
        got.right += target[i] == pattern[i % 4];
        got.wrong_bits += __builtin_popcount((unsigned)target[i] ^ pattern[i % 4]);
    }
    return got;
}

TEST(faults__spoil_fills_too)
{
    for (int is_queued = 0; is_queued < 2; is_queued++) {
        const char *name = is_queued ? "enqueue_fill" : "fill";
        char text[64];
        snprintf(text, sizeof text, "%s:short", name);
        EXPECT_EQ(fill_under(text, is_queued).right, 32);
        snprintf(text, sizeof text, "%s:short=11", name); /* whole patterns */
        EXPECT_EQ(fill_under(text, is_queued).right, 8);
        snprintf(text, sizeof text, "%s:short=3", name);
        EXPECT_EQ(fill_under(text, is_queued).right, 0);
        snprintf(text, sizeof text, "%s:flip=9", name);
        EXPECT_EQ(fill_under(text, is_queued).wrong_bits, 1);
    }
}

TEST(faults__flip_no_bit_where_the_device_cannot_be_reached)
{
    rig it;
    uint8_t zeros[64] = {0};
    rig_open(&it, "fill:flip");
    rig_acquire(&it);
    /* Behind the plan a fake, whose copies fail. */
    dcmem_fake *fake;
    const dcmem_backend *backend;
    dcmem_fake_options options = {.size = sizeof options};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_extent extent;
    void *device;
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    EXPECT_OK(dcmem_fault_plan_over(&backend, it.plan, dcmem_fake_backend(fake)));
    EXPECT_OK(backend->open(&device, backend, &open));
    EXPECT_OK(backend->acquire(&extent, device, &someone, &request));
    EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 1, 1));
    dcmem_place to = {.extent = &extent};
    EXPECT_OK(backend->fill(device, &someone, &to, 64, "", 1));
    EXPECT(memcmp(extent.host, zeros, 64) == 0);
    EXPECT_OK(backend->fill(device, &someone, &to, 64, "", 1));
    EXPECT(memcmp(extent.host, zeros, 64) != 0);
    EXPECT_OK(backend->release(device, &someone, &extent));
    backend->close(device);
    EXPECT_OK(dcmem_fake_destroy(fake));
    rig_close(&it);
}

TEST(faults__flip_bits_of_memory_that_the_host_sees_too)
{
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    dcmem_manager *manager;
    EXPECT_OK(dcmem_fault_plan_create(&plan, "fill:flip=77"));
    EXPECT_OK(dcmem_fault_plan_over(&backend, plan, dcmem_backend_find("cpu")));
    dcmem_manager_options options = {.size = sizeof options, .driver = backend};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    uint8_t *block = dcmem_raw_allocate_zeroed(manager, 64, 1);
    EXPECT(block);
    for (int i = 0; i < 64; i++)
        EXPECT_EQ(block[i], i == 9 ? 1 << 5 : 0);
    EXPECT_OK(dcmem_raw_free(manager, block));
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
}

TEST(faults__leave_a_flush_and_an_invalidation_out)
{
    dcmem_simulated_profile profile = {
        .size = sizeof profile,
        .flags = DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT,
        .total_bytes = 64 * MIB,
    };
    dcmem_backend *simulated;
    EXPECT_OK(dcmem_simulated_create(&simulated, &profile, 1));
    for (int is_spoilt = 0; is_spoilt < 2; is_spoilt++) {
        dcmem_fault_plan *plan;
        const dcmem_backend *backend;
        EXPECT_OK(dcmem_fault_plan_create(&plan, is_spoilt ? "flush:stale" : "flush:nth=2:stale"));
        EXPECT_OK(dcmem_fault_plan_over(&backend, plan, simulated));
        dcmem_manager_options options = {
            .size = sizeof options, .driver = backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
        dcmem_buffer_options visible = {.size = sizeof visible, .kind = DCMEM_KIND_HOST_VISIBLE};
        dcmem_manager *manager;
        dcmem_buffer *buffer;
        dcmem_map map;
        uint8_t got[64];
        EXPECT_OK(dcmem_manager_create(&manager, &options));
        EXPECT_OK(dcmem_buffer_create(&buffer, manager, 64, &visible));
        EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "", 1));
        EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(buffer), DCMEM_MAP_WRITE_DISCARD));
        memset(map.host, 9, 64);
        EXPECT_OK(dcmem_buffer_unmap(&map));
        EXPECT_OK(dcmem_buffer_copy_out(got, dcmem_view_whole(buffer), 0));
        EXPECT_EQ(got[0], is_spoilt ? 0 : 9);
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        EXPECT_OK(dcmem_manager_destroy(manager));
        EXPECT_OK(dcmem_fault_plan_destroy(plan));
    }
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}

TEST(faults__report_completions_that_never_were)
{
    rig it;
    void *queue;
    uint64_t value;
    rig_open(&it, "queue_completed:nth=2:double;queue_completed:nth=3:double=5;queue_wait:nth=1:double");
    rig_acquire(&it);
    dcmem_place to = {.extent = &it.extent};
    EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));
    EXPECT_OK(it.backend->enqueue_fill(&value, it.device, queue, &someone, &to, 64, "", 1));
    EXPECT_OK(dcmem_simulated_run(everything()));
    EXPECT_EQ(it.backend->queue_completed(it.device, queue), 1);
    EXPECT_EQ(it.backend->queue_completed(it.device, queue), 2);
    EXPECT_EQ(it.backend->queue_completed(it.device, queue), 6);
    EXPECT_EQ(it.backend->queue_completed(it.device, queue), 1);
    EXPECT_OK(it.backend->queue_wait(it.device, queue, 1000, 0));
    EXPECT_RESULT(it.backend->queue_wait(it.device, queue, 1000, 0), DCMEM_E_INVALID_ARGUMENT);
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
}

TEST(faults__tell_queues_apart_by_the_order_of_their_opening)
{
    rig it;
    void *queues[40];
    uint64_t value;
    rig_open(&it, "queue_mark:queue=2:oom;queue_mark:queue=41:fail=busy");
    for (int i = 0; i < 40; i++)
        EXPECT_OK(it.backend->queue_open(&queues[i], it.device, NULL));
    for (int i = 0; i < 40; i++)
        EXPECT_EQ(it.backend->queue_mark(&value, it.device, queues[i]), i == 1 ? DCMEM_E_NO_MEMORY : DCMEM_OK);
    it.backend->queue_close(it.device, queues[1]);
    EXPECT_OK(it.backend->queue_open(&queues[1], it.device, NULL)); /* perhaps at the same address */
    EXPECT_RESULT(it.backend->queue_mark(&value, it.device, queues[1]), DCMEM_E_BUSY);
    for (int i = 0; i < 40; i++)
        it.backend->queue_close(it.device, queues[i]);
    rig_close(&it);
}

TEST(faults__fail_a_mapping_at_its_page_and_leave_nothing_mapped)
{
    rig it;
    uint64_t address, page;
    dcmem_fake *fake;
    dcmem_fake_options options = {.size = sizeof options, .over = everything()};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    EXPECT_OK(dcmem_fault_plan_create(&it.plan, "page_map:page=6"));
    EXPECT_OK(dcmem_fault_plan_over(&it.backend, it.plan, dcmem_fake_backend(fake)));
    EXPECT_OK(it.backend->open(&it.device, it.backend, &open));
    dcmem_device_info info = {.size = sizeof info};
    EXPECT_OK(it.backend->info(&info, it.device));
    uint64_t granule = info.granularity;

    EXPECT_OK(it.backend->reserve(&address, it.device, 8 * granule, 0));
    EXPECT_OK(it.backend->page_create(&page, it.device, &someone, 8 * granule, DCMEM_KIND_DEVICE));
    EXPECT_OK(it.backend->page_map(it.device, &someone, address, page, 0, 3 * granule));
    uint64_t rest = address + 3 * granule;
    EXPECT_RESULT(it.backend->page_map(it.device, &someone, rest, page, 3 * granule, 5 * granule), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(dcmem_fake_last(fake, DCMEM_FAKE_page_map).bytes, 2 * granule);
    EXPECT_EQ(dcmem_fake_last(fake, DCMEM_FAKE_page_unmap).bytes, 2 * granule);
    EXPECT_OK(it.backend->page_map(it.device, &someone, rest, page, 3 * granule, 5 * granule));
    EXPECT_OK(it.backend->page_unmap(it.device, &someone, address, 8 * granule));
    EXPECT_OK(it.backend->page_destroy(it.device, &someone, page));
    EXPECT_OK(it.backend->unreserve(it.device, address, 8 * granule));

    /* At the first page of all nothing is asked of the driver; and where that fails itself, that is what is said. */
    for (int i = 0; i < 2; i++) {
        dcmem_fault_plan *plan;
        const dcmem_backend *backend;
        void *device;
        EXPECT_OK(dcmem_fault_plan_create(&plan, i ? "page_map:page=2" : "page_map:page=1:for=2"));
        EXPECT_OK(dcmem_fault_plan_over(&backend, plan, dcmem_fake_backend(fake)));
        EXPECT_OK(backend->open(&device, backend, &open));
        dcmem_fake_reset(fake);
        if (i)
            EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_page_map, DCMEM_E_DEVICE_LOST, 1, 1));
        for (int n = 0; n < 2 - i; n++)
            EXPECT_RESULT(backend->page_map(device, &someone, address, page, 0, 2 * granule),
                          i ? DCMEM_E_DEVICE_LOST : DCMEM_E_NO_MEMORY);
        EXPECT_EQ(dcmem_fake_count_of(fake, DCMEM_FAKE_page_map).tried, i);
        backend->close(device);
        EXPECT_OK(dcmem_fault_plan_destroy(plan));
    }
    it.backend->close(it.device);
    EXPECT_OK(dcmem_fault_plan_destroy(it.plan));
    EXPECT_OK(dcmem_fake_destroy(fake));
}

TEST(faults__slow_even_what_cannot_fail)
{
    rig it;
    void *queue;
    rig_open(&it, "any:slow=1ns");
    EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL));
    it.backend->queue_close(it.device, queue);
    it.backend->close(it.device);
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 4);
    EXPECT_OK(dcmem_fault_plan_destroy(it.plan));
}

/* ---- Every operation ---- */

/* Calls each of the driver's operations once, whatever they say: those that can fail, do. */
static uint64_t
call_all(rig *it)
{
    uint64_t failed = 0, number = 0;
    uint32_t count;
    bool can;
    void *host = NULL, *queue = NULL, *device = NULL;
    char bytes[64] = {0};
    dcmem_device_info info = {.size = sizeof info};
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    dcmem_extent extent = it->extent;
    dcmem_acquire request = {.bytes = 64 * KIB};
    dcmem_ipc_handle handle = {.fd = -1};
    dcmem_place to = {.extent = &it->extent}, from = {.host = bytes};
    const dcmem_backend *b = it->backend;
    void *d = it->device;
#define CALL(call) failed += (call) != DCMEM_OK
    CALL(b->count(&count, b));
    CALL(b->open(&device, b, &open));
    if (device)
        b->close(device);
    CALL(b->info(&info, d));
    CALL(b->acquire(&extent, d, &someone, &request));
    CALL(b->release(d, &someone, &extent));
    CALL(b->copy(d, &someone, &to, &from, 64));
    CALL(b->fill(d, &someone, &to, 64, "", 1));
    CALL(b->map(&host, d, &someone, &it->extent, 0, 64, DCMEM_MAP_READ_BIT));
    CALL(b->flush(d, &someone, &it->extent, 0, 64));
    CALL(b->invalidate(d, &someone, &it->extent, 0, 64));
    if (host)
        CALL(b->unmap(d, &someone, &it->extent, host));
    CALL(b->queue_open(&queue, d, NULL));
    if (queue) {
        CALL(b->enqueue_copy(&number, d, queue, &someone, &to, &from, 64));
        CALL(b->enqueue_fill(&number, d, queue, &someone, &to, 64, "", 1));
        CALL(b->queue_mark(&number, d, queue));
        CALL(b->queue_wait(d, queue, number, UINT64_MAX));
        EXPECT_OK(dcmem_simulated_run(everything()));
        EXPECT_EQ(b->queue_completed(d, queue), number);
        b->queue_close(d, queue);
    }
    CALL(b->reserve(&number, d, 64 * KIB, 0));
    uint64_t address = number;
    CALL(b->page_create(&number, d, &someone, 64 * KIB, DCMEM_KIND_DEVICE));
    dcmem_result mapped = b->page_map(d, &someone, address, number, 0, 64 * KIB);
    CALL(mapped);
    if (!mapped)
        CALL(b->page_unmap(d, &someone, address, 64 * KIB));
    CALL(b->page_destroy(d, &someone, number));
    CALL(b->unreserve(d, address, 64 * KIB));
    open.index = 1;
    EXPECT_OK(b->open(&device, b, &open));
    EXPECT_OK(b->acquire(&extent, device, &someone, &request));
    dcmem_place there = {.extent = &extent};
    CALL(b->peer_can(&can, d, device));
    CALL(b->peer_enable(d, device));
    CALL(b->peer_copy(d, &someone, &to, device, &there, 64));
    CALL(b->peer_disable(d, device));
    EXPECT_OK(b->release(device, &someone, &extent));
    b->close(device);
    CALL(b->import_host(&extent, d, &someone, bytes, 64));
    CALL(b->release(d, &someone, &extent));
    CALL(b->ipc_export(&handle, d, &someone, &it->extent));
    CALL(b->ipc_import(&extent, d, &someone, &handle));
    close(handle.fd);
    CALL(b->release(d, &someone, &extent));
#undef CALL
    return failed;
}

TEST(faults__that_do_not_fire_change_nothing)
{
    static const char *const idle[] = {"peer_copy:nth=1000:oom", "any:nth=1000000:lost", "any:nth=1000000:oom"};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        rig it;
        rig_open(&it, idle[i]);
        rig_acquire(&it);
        EXPECT_EQ(call_all(&it), 0);
        rig_close(&it);
    }
}

TEST(faults__can_fail_each_operation_alone)
{
    uint64_t could = 0;
    for (int i = 0; i < DCMEM_FAKE_OPERATION_COUNT; i++) {
        rig it;
        char text[64];
        const char *name = dcmem_fake_operation_name((dcmem_fake_operation)i);
        dcmem_fault_plan *plan;
        snprintf(text, sizeof text, "%s:fail=timeout:times=1", name);
        if (dcmem_fault_plan_create(&plan, text))
            continue; /* it has no result */
        EXPECT_OK(dcmem_fault_plan_destroy(plan));
        snprintf(text, sizeof text, "%s:nth=%d:fail=timeout", name,
                 i == DCMEM_FAKE_open || i == DCMEM_FAKE_acquire ? 2 : 1);
        /* Without what these give, what ends it has nothing to end. */
        if (i == DCMEM_FAKE_acquire || i == DCMEM_FAKE_import_host || i == DCMEM_FAKE_ipc_import ||
            i == DCMEM_FAKE_reserve || i == DCMEM_FAKE_page_create || i == DCMEM_FAKE_ipc_export ||
            i == DCMEM_FAKE_peer_enable)
            continue;
        rig_open(&it, text);
        rig_acquire(&it);
        uint64_t failed = call_all(&it);
        EXPECT_EQ(failed, 1);
        EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 1);
        could++;
        rig_close(&it);
    }
    EXPECT_EQ(could, 22);
}

/* ---- Life ---- */

TEST(faults__open_no_more_than_the_backend_does)
{
    rig it;
    dcmem_open open = {.size = sizeof open, .index = 7, .numa_node = -1};
    void *device = NULL;
    rig_open(&it, "fill:oom");
    EXPECT_RESULT(it.backend->open(&device, it.backend, &open), DCMEM_E_UNAVAILABLE);
    EXPECT(!device);
    rig_acquire(&it);
    rig_close(&it);
}

TEST(faults__give_one_table_for_one_backend)
{
    rig it;
    const dcmem_backend *again, *other, *cpu = dcmem_backend_find("cpu");
    rig_open(&it, "fill:oom");
    EXPECT_OK(dcmem_fault_plan_over(&again, it.plan, everything()));
    EXPECT(again == it.backend);
    EXPECT_OK(dcmem_fault_plan_over(&other, it.plan, cpu));
    EXPECT(other != it.backend);
    assert_string_equal(other->name, "cpu");
    EXPECT_EQ(other->capabilities, cpu->capabilities);

    dcmem_backend changing = *cpu;
    EXPECT_OK(dcmem_fault_plan_over(&again, it.plan, &changing));
    changing.name = "changed";
    EXPECT_OK(dcmem_fault_plan_over(&other, it.plan, &changing));
    EXPECT(again != other);
    changing.copy = NULL;
    EXPECT_RESULT(dcmem_fault_plan_over(&other, it.plan, &changing), DCMEM_E_CONTRACT);
    EXPECT_RESULT(dcmem_fault_plan_over(NULL, it.plan, cpu), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fault_plan_over(&other, NULL, cpu), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_fault_plan_over(&other, it.plan, NULL), DCMEM_E_INVALID_ARGUMENT);
    rig_close(&it);
}

TEST(faults__plan_cannot_end_below_an_open_device)
{
    rig it;
    rig_open(&it, "fill:oom");
    EXPECT_RESULT(dcmem_fault_plan_destroy(it.plan), DCMEM_E_BUSY);
    EXPECT_DETAIL("1 devices are open");
    rig_close(&it);
}

/* ---- Above the pool ---- */

TEST(faults__of_the_program_come_before_the_pool)
{
    dcmem_fault_plan *plan;
    dcmem_manager *manager;
    dcmem_buffer *buffer = NULL, *other;
    dcmem_buffer_options tagged = {.size = sizeof tagged, .tag = 3};
    char bytes[64] = {0};
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.allocate:tag=3:after=1:oom;program.write:nth=2:fail=busy;"
                                             "program.map,program.import:oom;program.raw_allocate:every=2:lost"));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));
    EXPECT_OK(dcmem_buffer_create(&other, manager, 64, NULL));
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 64, &tagged));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_buffer_create(&buffer, manager, 64, &tagged), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("allocate of 64 bytes: fault 1 of the plan");

    EXPECT_OK(dcmem_buffer_copy_in(dcmem_view_whole(other), bytes, 0));
    EXPECT_RESULT(dcmem_buffer_copy_in(dcmem_view_whole(other), bytes, 0), DCMEM_E_BUSY);
    dcmem_map map;
    EXPECT_RESULT(dcmem_buffer_map(&map, dcmem_view_whole(other), DCMEM_MAP_READ), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(dcmem_buffer_import(&buffer, manager, bytes, 64), DCMEM_E_NO_HOST_MEMORY);
    void *block = dcmem_raw_allocate(manager, 64);
    EXPECT(block && !dcmem_raw_allocate(manager, 64));
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_DEVICE_LOST);
    EXPECT_OK(dcmem_raw_free(manager, block));
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(other), 0));

    dcmem_fault fault;
    EXPECT_OK(dcmem_fault_plan_fault(&fault, plan, 1));
    EXPECT(fault.is_program && fault.tag == 3 && fault.call == 2);
    assert_string_equal(fault.operation, "allocate");

    /* The plan's end takes its gate away; the detail of a failure before stays. */
    EXPECT_RESULT(dcmem_buffer_destroy((dcmem_buffer *)(uintptr_t)1), DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_NOT_A_BUFFER);
    EXPECT_OK(dcmem_buffer_map(&map, dcmem_view_whole(other), DCMEM_MAP_READ));
    EXPECT_OK(dcmem_buffer_unmap(&map));
    EXPECT_OK(dcmem_buffer_destroy(other));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

static dcmem_result
refuse_pins(void *user, const dcmem_gate_call *call)
{
    ++*(int *)user;
    return call->operation == DCMEM_GATE_pin ? DCMEM_E_PERMISSION : DCMEM_OK;
}

TEST(faults__of_the_program_come_before_the_gate_that_was_there)
{
    dcmem_fault_plan *plan, *other;
    dcmem_manager *manager;
    dcmem_buffer *buffer;
    int asked = 0;
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    EXPECT_OK(dcmem_buffer_create(&buffer, manager, 64, NULL));
    EXPECT_OK(dcmem_manager_set_gate(manager, refuse_pins, &asked));
    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.pin:nth=2:fail=busy;program.pin:after=1:fail=timeout"));
    EXPECT_OK(dcmem_fault_plan_create(&other, "program.resize:oom"));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager)); /* no second time */
    EXPECT_OK(dcmem_fault_plan_guard(other, manager));
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_PERMISSION);
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_PERMISSION); /* none has succeeded */
    EXPECT_RESULT(dcmem_buffer_resize(buffer, 128), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(asked, 2);

    EXPECT_OK(dcmem_fault_plan_destroy(other));
    EXPECT_OK(dcmem_buffer_resize(buffer, 128));
    EXPECT_EQ(asked, 3);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_PERMISSION);

    /* A gate that was set later stays. */
    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.pin:fail=busy"));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));
    EXPECT_OK(dcmem_manager_set_gate(manager, refuse_pins, &asked));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    EXPECT_RESULT(dcmem_buffer_pin(NULL, buffer), DCMEM_E_PERMISSION);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_manager_destroy(manager));
}

TEST(faults__guard_managers_only_where_they_have_a_rule_for_the_program)
{
    dcmem_fault_plan *plan;
    dcmem_manager *manager;
    EXPECT_OK(dcmem_fault_plan_create(&plan, "copy:oom"));
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));
    EXPECT_RESULT(dcmem_fault_plan_guard(plan, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));

    EXPECT_OK(dcmem_fault_plan_create(&plan, "program.pin:oom"));
    EXPECT_RESULT(dcmem_fault_plan_guard(plan, NULL), DCMEM_E_NOT_A_MANAGER);
    EXPECT_RESULT(dcmem_fault_plan_guard(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));
    EXPECT_OK(dcmem_manager_destroy(manager)); /* before the plan: its gate has ended */
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
}

/* ---- Whole programs ---- */

/* A program that lives with failures; what it met, in order, as a number. */
static uint64_t
run_program(dcmem_manager *manager, uint32_t seed)
{
    uint64_t met = 14695981039346656037ull;
    dcmem_buffer *live[16] = {NULL};
    char bytes[4096] = {0};
    for (uint32_t i = 0; i < 400; i++) {
        seed = seed * 1664525u + 1013904223u;
        dcmem_buffer **it = &live[seed >> 28];
        dcmem_result result = DCMEM_OK;
        if (!*it)
            result = dcmem_buffer_create_from(it, manager, bytes, 1 + (seed >> 8) % 4096, NULL);
        else {
            result = dcmem_buffer_copy_out(bytes, dcmem_view_whole(*it), 0);
            if (seed & 1 << 20) {
                EXPECT_OK(dcmem_buffer_destroy(*it));
                *it = NULL;
            }
        }
        met = (met ^ (uint64_t)result) * 1099511628211ull;
    }
    for (int i = 0; i < 16; i++)
        EXPECT_OK(dcmem_buffer_destroy(live[i]));
    return met;
}

static const char program_plan[] = "copy:p=0.1:seed=3:fail=timeout;acquire:p=0.2:seed=4:oom;copy:p=0.05:short;"
                                   "program.any:p=0.01:seed=5:per=thread:fail=busy";

typedef struct worker {
    dcmem_manager *manager;
    uint32_t number;
    uint64_t met;
} worker;

static void *
work(void *user)
{
    worker *it = user;
    dcmem_fault_thread(it->number);
    it->met = run_program(it->manager, it->number);
    return NULL;
}

/* Runs `count` threads under a plan, each on a manager of its own or, where the plan does not mind, on one. */
static void
run_threads(uint64_t *out_met, uint64_t *out_fired, const char *text, uint32_t count)
{
    dcmem_simulated_profile profile = {.size = sizeof profile, .total_bytes = 256 * MIB, .host_bytes = 256 * MIB};
    dcmem_backend *simulated;
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    dcmem_manager *manager;
    EXPECT_OK(dcmem_simulated_create(&simulated, &profile, 1));
    EXPECT_OK(dcmem_fault_plan_create(&plan, text));
    EXPECT_OK(dcmem_fault_plan_over(&backend, plan, simulated));
    dcmem_manager_options options = {
        .size = sizeof options, .driver = backend, .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF};
    EXPECT_OK(dcmem_manager_create(&manager, &options));
    EXPECT_OK(dcmem_fault_plan_guard(plan, manager));

    pthread_t threads[4];
    worker workers[4];
    for (uint32_t i = 0; i < count; i++) {
        workers[i] = (worker){manager, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        out_met[i] = workers[i].met;
    }
    *out_fired = dcmem_fault_plan_fired(plan);
    EXPECT_OK(dcmem_manager_check(manager));
    EXPECT_OK(dcmem_manager_destroy(manager));
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_simulated_account_of(&account, simulated, 0));
    EXPECT_EQ(account.live_bytes, 0);
    EXPECT_OK(dcmem_simulated_destroy(simulated));
}

TEST(faults__of_a_program_of_one_thread_repeat_exactly)
{
    uint64_t first, again, other, fired, fired_again;
    run_threads(&first, &fired, program_plan, 1);
    EXPECT(fired > 10);
    for (int i = 0; i < 5; i++) {
        run_threads(&again, &fired_again, program_plan, 1);
        EXPECT(again == first && fired_again == fired);
    }
    run_threads(&other, &fired, "copy:p=0.1:seed=4:fail=timeout", 1);
    EXPECT(other != first);
}

TEST(faults__counted_by_threads_repeat_with_several_of_them)
{
    static const char text[] =
        "program.any:p=0.05:seed=5:per=thread:fail=busy;program.read:thread=2:every=5:fail=timeout";
    uint64_t first[4], again[4], fired, fired_again;
    run_threads(first, &fired, text, 4);
    EXPECT(fired > 10);
    for (int i = 0; i < 10; i++) {
        run_threads(again, &fired_again, text, 4);
        EXPECT(memcmp(first, again, sizeof first) == 0);
        EXPECT_EQ(fired_again, fired);
    }
}

/* ---- Forks ---- */

typedef struct busy {
    rig *it;
    _Atomic bool is_over;
} busy;

static void *
fill_on(void *user)
{
    busy *self = user;
    while (!atomic_load(&self->is_over))
        (void)fill(self->it); /* every other one fails */
    return NULL;
}

TEST(faults__go_on_in_the_child_of_a_fork)
{
    SKIP_UNDER_TOOLS();
    rig it;
    pthread_t threads[2];
    dcmem_fault_plan *plans[3];
    rig_open_over(&it, "fill:every=2:oom", dcmem_backend_find("cpu")); /* its memory is the child's, too */
    rig_acquire(&it);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(dcmem_fault_plan_create(&plans[i], "copy:oom"));
    EXPECT_OK(dcmem_fault_plan_destroy(plans[1]));
    busy self = {.it = &it};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fill_on, &self), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            alarm(20); /* one that waits for ever is told from one that is slow */
            int failed = (fill(&it) != DCMEM_OK) + (fill(&it) != DCMEM_OK);
            _exit(failed == 1 ? 0 : 1);
        }
        int status;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&self.is_over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    EXPECT_OK(dcmem_fault_plan_destroy(plans[0]));
    EXPECT_OK(dcmem_fault_plan_destroy(plans[2]));
    rig_close(&it);
}

/* ---- Without memory of the host ---- */

extern bool (*dcmi_testing_fault)(void);

static int spared; /* so many wishes are granted */

static bool
is_out(void)
{
    return spared-- <= 0;
}

TEST(faults__live_without_memory_for_their_books)
{
    rig it;
    dcmem_fault fault;
    dcmem_fault_plan *plan;
    const dcmem_backend *backend;
    dcmem_manager *manager;
    void *device = NULL, *queue;
    uint64_t value;
    dcmem_open open = {.size = sizeof open, .numa_node = -1};
    EXPECT_OK(dcmem_manager_create(&manager, NULL));
    rig_open(&it, "fill:every=2:oom;fill:per=thread:nth=1:fail=busy;queue_mark:queue=1:oom;program.pin:oom");
    rig_acquire(&it);
    dcmi_testing_fault = is_out;
    EXPECT_RESULT(dcmem_fault_plan_create(&plan, "fill:oom"), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(dcmem_fault_plan_over(&backend, it.plan, dcmem_backend_find("cpu")), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(it.backend->open(&device, it.backend, &open), DCMEM_E_NO_HOST_MEMORY);
    EXPECT_RESULT(dcmem_fault_plan_guard(it.plan, manager), DCMEM_E_NO_HOST_MEMORY);
    spared = 1; /* for the queue itself, not for what the plan knows of it */
    EXPECT_OK(it.backend->queue_open(&queue, it.device, NULL)); /* has no number */
    EXPECT_OK(it.backend->queue_mark(&value, it.device, queue));
    EXPECT_OK(fill(&it)); /* not counted for its thread */
    EXPECT_RESULT(fill(&it), DCMEM_E_NO_MEMORY);
    dcmi_testing_fault = NULL;
    EXPECT_EQ(dcmem_fault_plan_fired(it.plan), 1);
    EXPECT_RESULT(dcmem_fault_plan_fault(&fault, it.plan, 1), DCMEM_E_OUT_OF_RANGE);
    EXPECT_DETAIL("1 fired, the first 0 are kept");
    EXPECT_RESULT(fill(&it), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_fault_plan_fault(&fault, it.plan, 2), DCMEM_E_OUT_OF_RANGE);
    EXPECT_DETAIL("2 fired, the first 0 are kept");
    it.backend->queue_close(it.device, queue);
    rig_close(&it);
    EXPECT_OK(dcmem_manager_destroy(manager));
}
