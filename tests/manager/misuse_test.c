/* misuse_test.c: threads that call everything in dcmem/memory.h and dcmem/manager.h wrongly, between calls that are
 * right: freed, foreign, interior and invented addresses, ranges that leave their block, managers that have ended or
 * never were, options and structs that no version knows. Each wrong call must return the very result that its header
 * names for it, and change nothing.
 *
 * A thread frees what is its own only: two threads that race on one raw address are beyond what is promised. Everything
 * else is shared. */
#include "pool/kit.h"

#include <dcmem/buffer.h>

#include <pthread.h>

#define THREADS 4
#define BLOCKS  24 /* of each thread */
#define COMMON  8  /* blocks and buffers that nobody frees, to be abused by all */

typedef struct block {
    unsigned char *address;
    uint64_t bytes;
} block;

typedef struct playground {
    dcmem_manager *shared;   /* all threads allocate from it */
    dcmem_manager *other;    /* holds the common blocks */
    dcmem_manager *ended;    /* whose place another took */
    dcmem_manager *vanished; /* whose place is free */
    block common[COMMON];
    block of_buffers[COMMON]; /* where the shared manager's buffers lie */
    uint64_t wanted;          /* wrong calls of each thread */
} playground;

typedef struct player {
    playground *ground;
    dcmem_manager *own;
    random_source random;
    block blocks[BLOCKS];     /* of the shared manager */
    block own_blocks[BLOCKS]; /* of its own */
    uint64_t wrong;
    const char *failed; /* which call gave another result than it must */
    dcmem_result got, due;
    pthread_t thread;
} player;

static uint64_t
below(player *me, uint64_t limit)
{
    return random_below(&me->random, limit);
}

static dcmem_result
of_address(const void *address)
{
    return address ? DCMEM_OK : dcmem_last_detail()->result;
}

/* Notes what a wrong call gave; its detail must be that of the result. */
static void
expect(player *me, const char *call, dcmem_result got, dcmem_result due)
{
    me->wrong++;
    if (got == due && dcmem_last_detail()->result == due)
        return;
    me->failed = call;
    me->got = got;
    me->due = due;
}

/* ---- Right calls, so that blocks come and go ---- */

/* At least 256 bytes, so that there is an inside to point into; sizes of every kind of block. */
static uint64_t
any_size(player *me)
{
    return 256 + (below(me, 200) ? random_size(&me->random, 17) : below(me, 3 * MIB));
}

static void
fill_up(player *me, dcmem_manager *manager, block *it)
{
    it->bytes = any_size(me);
    it->address = dcmem_raw_allocate(manager, it->bytes);
    if (!it->address)
        expect(me, "allocate", dcmem_last_detail()->result, DCMEM_OK);
}

static void
replace(player *me, dcmem_manager *manager, block *it)
{
    if (dcmem_raw_free(manager, it->address))
        expect(me, "free", dcmem_last_detail()->result, DCMEM_OK);
    fill_up(me, manager, it);
}

static void
play_well(player *me)
{
    replace(me, me->ground->shared, &me->blocks[below(me, BLOCKS)]);
    if (below(me, 4000) == 0 && dcmem_manager_trim(NULL, me->ground->shared, 0))
        expect(me, "trim", dcmem_last_detail()->result, DCMEM_OK);
}

/* ---- Wrong addresses ---- */

/* All calls that take an address, on one that is due an error. `starts`: what those that want a block's start say. */
static void
abuse(player *me, dcmem_manager *manager, void *address, dcmem_result starts, dcmem_result ranges)
{
    uint64_t size;
    dcmem_native native;
    char host[16] = {0};
    void *live = me->ground->common[0].address;
    switch (below(me, 9)) {
    case 0:
        expect(me, "free", dcmem_raw_free(manager, address), starts);
        break;
    case 1:
        expect(me, "usable_size", dcmem_raw_usable_size(&size, manager, address), starts);
        break;
    case 2:
        expect(me, "reallocate", of_address(dcmem_raw_reallocate(manager, address, any_size(me))), starts);
        break;
    case 3:
        if (ranges)
            expect(me, "set", dcmem_raw_set(manager, address, 1, 8), ranges);
        break;
    case 4:
        if (ranges)
            expect(me, "copy", dcmem_raw_copy(manager, address, live, 8), ranges);
        break;
    case 5:
        if (ranges && manager == me->ground->other)
            expect(me, "copy", dcmem_raw_copy(manager, live, address, 8), ranges);
        break;
    case 6:
        if (ranges)
            expect(me, "write", dcmem_raw_write(manager, address, host, 8), ranges);
        break;
    case 7:
        if (ranges)
            expect(me, "read", dcmem_raw_read(manager, host, address, 8), ranges);
        break;
    default:
        if (ranges)
            expect(me, "native", dcmem_raw_native(&native, manager, address), ranges);
    }
}

static void
abuse_freed(player *me)
{
    block *it = &me->own_blocks[below(me, BLOCKS)];
    if (dcmem_raw_free(me->own, it->address))
        expect(me, "free", dcmem_last_detail()->result, DCMEM_OK);
    for (uint64_t n = 1 + below(me, 4); n > 0; n--)
        abuse(me, me->own, it->address, DCMEM_E_ALREADY_FREE, DCMEM_E_ALREADY_FREE);
    fill_up(me, me->own, it);
}

static void
abuse_foreign(player *me)
{
    const block *it = &me->ground->common[below(me, COMMON)];
    uint64_t inside = below(me, 2) ? 0 : below(me, it->bytes - 8);
    dcmem_manager *manager = below(me, 2) ? me->own : me->ground->shared;
    abuse(me, manager, it->address + inside, DCMEM_E_FOREIGN, DCMEM_E_FOREIGN);
}

static void
abuse_buffers(player *me)
{
    const block *it = &me->ground->of_buffers[below(me, COMMON)];
    uint64_t inside = below(me, 2) ? 0 : below(me, it->bytes - 8);
    abuse(me, me->ground->shared, it->address + inside, DCMEM_E_FOREIGN, DCMEM_E_FOREIGN);
}

static void
abuse_interior(player *me)
{
    const block *it = &me->blocks[below(me, BLOCKS)];
    abuse(me, me->ground->shared, it->address + 1 + below(me, it->bytes - 16), DCMEM_E_INTERIOR, DCMEM_OK);
}

static void
abuse_invented(player *me)
{
    static char static_memory[64];
    char local[64];
    void *address = local;
    switch (below(me, 4)) {
    case 0:
        address = static_memory + below(me, 50);
        break;
    case 1:
        address = (void *)(uintptr_t)(1 + below(me, 4096));
        break;
    case 2:
        address = (void *)(uintptr_t)(random_next(&me->random) | 1ull << 63);
        break;
    default:
        address = local + below(me, 50);
    }
    abuse(me, below(me, 2) ? me->own : me->ground->shared, address, DCMEM_E_UNKNOWN_ADDRESS, DCMEM_E_UNKNOWN_ADDRESS);
}

/* ---- Wrong numbers ---- */

static void
leave_block(player *me)
{
    const block *it = &me->blocks[below(me, BLOCKS)];
    dcmem_manager *manager = me->ground->shared;
    uint64_t offset = below(me, it->bytes), size = 0;
    char host[8];
    if (dcmem_raw_usable_size(&size, manager, it->address))
        expect(me, "usable_size", dcmem_last_detail()->result, DCMEM_OK);
    uint64_t bytes = below(me, 2) ? size - offset + 1 + below(me, 1000) : UINT64_MAX - below(me, 1000);
    unsigned char *from = it->address + offset;
    const block *other = &me->ground->common[below(me, COMMON)];
    switch (below(me, 5)) {
    case 0:
        expect(me, "set", dcmem_raw_set(manager, from, 0, bytes), DCMEM_E_OUT_OF_RANGE);
        break;
    case 1:
        expect(me, "copy", dcmem_raw_copy(manager, from, it->address, bytes), DCMEM_E_OUT_OF_RANGE);
        break;
    case 2:
        expect(me, "copy", dcmem_raw_copy(me->ground->other, other->address, other->address, 2 * GIB + below(me, GIB)),
               DCMEM_E_OUT_OF_RANGE);
        break;
    case 3:
        expect(me, "write", dcmem_raw_write(manager, from, host, bytes), DCMEM_E_OUT_OF_RANGE);
        break;
    default:
        expect(me, "read", dcmem_raw_read(manager, host, from, bytes), DCMEM_E_OUT_OF_RANGE);
    }
}

static void
give_nothing(player *me)
{
    dcmem_manager *manager = me->ground->shared;
    unsigned char *address = me->blocks[below(me, BLOCKS)].address;
    switch (below(me, 6)) {
    case 0:
        expect(me, "write", dcmem_raw_write(manager, address, NULL, 8), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 1:
        expect(me, "read", dcmem_raw_read(manager, NULL, address, 8), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 2:
        expect(me, "usable_size", dcmem_raw_usable_size(NULL, manager, address), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 3:
        expect(me, "native", dcmem_raw_native(NULL, manager, address), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 4:
        expect(me, "overlap", dcmem_raw_copy(manager, address, address + below(me, 100), 100),
               DCMEM_E_INVALID_ARGUMENT);
        break;
    default:
        expect(me, "usable_size", dcmem_raw_usable_size(&(uint64_t){0}, manager, NULL), DCMEM_E_UNKNOWN_ADDRESS);
    }
}

static void
ask_too_much(player *me)
{
    dcmem_manager *manager = me->ground->shared;
    void *address = me->blocks[below(me, BLOCKS)].address;
    uint64_t huge = UINT64_MAX >> below(me, 20), odd = 3 + 2 * below(me, 1000);
    switch (below(me, 8)) {
    case 0:
        expect(me, "allocate 0", of_address(dcmem_raw_allocate(manager, 0)), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 1:
        expect(me, "allocate", of_address(dcmem_raw_allocate(manager, huge)), DCMEM_E_TOO_LARGE);
        break;
    case 2:
        expect(me, "aligned", of_address(dcmem_raw_allocate_aligned(manager, 100, odd)), DCMEM_E_MISALIGNED);
        break;
    case 3:
        expect(me, "aligned", of_address(dcmem_raw_allocate_aligned(manager, 100, 1ull << (31 + below(me, 33)))),
               DCMEM_E_MISALIGNED);
        break;
    case 4:
        expect(me, "aligned", of_address(dcmem_raw_allocate_aligned(manager, 100, 0)), DCMEM_E_MISALIGNED);
        break;
    case 5:
        expect(me, "zeroed", of_address(dcmem_raw_allocate_zeroed(manager, huge, 1ull << 40)), DCMEM_E_OVERFLOW);
        break;
    case 6:
        expect(me, "reallocate 0", of_address(dcmem_raw_reallocate(manager, address, 0)), DCMEM_E_INVALID_ARGUMENT);
        break;
    default:
        expect(me, "reallocate", of_address(dcmem_raw_reallocate(manager, address, huge)), DCMEM_E_TOO_LARGE);
    }
}

/* ---- Wrong managers, options and structs ---- */

static void
call_no_manager(player *me)
{
    dcmem_manager *manager = NULL;
    dcmem_result due = DCMEM_E_STALE_MANAGER;
    switch (below(me, 5)) {
    case 0:
        manager = me->ground->ended;
        break;
    case 1:
        manager = me->ground->vanished;
        break;
    default:
        due = DCMEM_E_NOT_A_MANAGER;
        manager = below(me, 2) ? NULL : (dcmem_manager *)((uintptr_t)me->ground->shared + ((1 + below(me, 99)) << 40));
    }
    void *address = me->blocks[0].address;
    dcmem_limits limits = {.size = sizeof limits};
    dcmem_device_info info = {.size = sizeof info};
    switch (below(me, 14)) {
    case 0:
        expect(me, "allocate", of_address(dcmem_raw_allocate(manager, any_size(me))), due);
        break;
    case 1:
        expect(me, "aligned", of_address(dcmem_raw_allocate_aligned(manager, any_size(me), 256)), due);
        break;
    case 2:
        expect(me, "zeroed", of_address(dcmem_raw_allocate_zeroed(manager, 2, 3)), due);
        break;
    case 3:
        expect(me, "limits", dcmem_manager_limits(&limits, manager), due);
        break;
    case 4:
        expect(me, "device_info", dcmem_manager_device_info(&info, manager), due);
        break;
    case 5:
        expect(me, "set_limit", dcmem_manager_set_limit(manager, 1), due);
        break;
    case 6:
        expect(me, "set_policy", dcmem_manager_set_policy(manager, DCMEM_POLICY_TIGHT), due);
        break;
    case 7:
        expect(me, "trim", dcmem_manager_trim(NULL, manager, 0), due);
        break;
    case 8:
        expect(me, "optimize", dcmem_manager_optimize(NULL, manager, 0, 0), due);
        break;
    case 9:
        expect(me, "clear", dcmem_manager_clear(manager), due);
        break;
    case 10:
        expect(me, "maintain", dcmem_manager_maintain(manager), due);
        break;
    case 11:
        expect(me, "reset_peaks", dcmem_stats_reset_peaks(manager), due);
        break;
    case 12:
        if (manager)
            expect(me, "destroy", dcmem_manager_destroy(manager), due);
        break;
    default:
        abuse(me, manager, address, due, due);
    }
}

static void
create_wrongly(player *me)
{
    struct {
        dcmem_manager_options known;
        uint64_t later;
    } options = {.known = {.size = sizeof(dcmem_manager_options)}};
    dcmem_manager *manager;
    dcmem_result due = DCMEM_E_INVALID_ARGUMENT;
    switch (below(me, 8)) {
    case 0:
        options.known.sizing = (dcmem_sizing)(2 + below(me, 1000));
        break;
    case 1:
        options.known.policy = (dcmem_policy)(3 + below(me, 1000));
        break;
    case 2:
        options.known.huge_pages = (dcmem_huge_pages)(3 + below(me, 1000));
        break;
    case 3:
        options.known.numa_node_plus_1 = 4097 + (uint32_t)below(me, 1000);
        break;
    case 4:
        options.known.exact_peaks = 2 + (uint32_t)below(me, 1000);
        break;
    case 5:
        options.known.size = below(me, 8);
        break;
    case 6:
        options.known.size = sizeof options;
        options.later = 1 + below(me, 1000);
        break;
    default:
        options.known.backend = "nonesuch";
        due = DCMEM_E_UNAVAILABLE;
    }
    expect(me, "create", dcmem_manager_create(&manager, &options.known), due);
}

static void
ask_wrongly(player *me)
{
    dcmem_manager *manager = me->ground->shared;
    dcmem_limits limits = {.size = below(me, sizeof limits)};
    dcmem_device_info info = {.size = below(me, sizeof info)};
    dcmem_optimize_report report = {.size = below(me, sizeof report)};
    switch (below(me, 7)) {
    case 0:
        expect(me, "limits", dcmem_manager_limits(&limits, manager), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 1:
        expect(me, "limits", dcmem_manager_limits(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 2:
        expect(me, "device_info", dcmem_manager_device_info(&info, manager), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 3:
        expect(me, "optimize", dcmem_manager_optimize(&report, manager, 0, 0), DCMEM_E_INVALID_ARGUMENT);
        break;
    case 4:
        expect(me, "set_policy", dcmem_manager_set_policy(manager, (dcmem_policy)(3 + below(me, 1000))),
               DCMEM_E_INVALID_ARGUMENT);
        break;
    case 5:
        expect(me, "snapshot", dcmem_stats_snapshot(NULL, manager), DCMEM_E_INVALID_ARGUMENT);
        break;
    default:
        info.size = below(me, 1 + sizeof info.size);
        expect(me, "describe", dcmem_device_describe(&info, "cpu", 0), DCMEM_E_INVALID_ARGUMENT);
    }
}

/* ---- The game ---- */

static void *
play(void *user)
{
    static void (*const calls[])(player *) = {play_well,       play_well,      abuse_freed,    abuse_freed,
                                              abuse_foreign,   abuse_buffers,  abuse_invented, abuse_interior,
                                              leave_block,     give_nothing,   ask_too_much,   call_no_manager,
                                              call_no_manager, create_wrongly, ask_wrongly};
    player *me = user;
    for (int i = 0; i < BLOCKS; i++) {
        fill_up(me, me->ground->shared, &me->blocks[i]);
        fill_up(me, me->own, &me->own_blocks[i]);
    }
    while (me->wrong < me->ground->wanted && !me->failed)
        calls[below(me, sizeof calls / sizeof calls[0])](me);
    for (int i = 0; i < BLOCKS && !me->failed; i++)
        if (dcmem_raw_free(me->ground->shared, me->blocks[i].address) ||
            dcmem_raw_free(me->own, me->own_blocks[i].address))
            expect(me, "free at the end", dcmem_last_detail()->result, DCMEM_OK);
    return NULL;
}

/* Bytes that no wrong call may change. */
static void
fill_with(const block *it, int value)
{
    memset(it->address, value, it->bytes);
}

static bool
is_filled_with(const block *it, int value)
{
    for (uint64_t i = 0; i < it->bytes; i++)
        if (it->address[i] != (unsigned char)value)
            return false;
    return true;
}

static void
make_common(playground *of, dcmem_buffer **buffers)
{
    static const uint64_t sizes[COMMON] = {100, 256, 3000, 4096, 70000, 300 * KIB, 3 * MIB, GIB + 1};
    for (int i = 0; i < COMMON; i++) {
        dcmem_native native;
        of->common[i] = (block){allocate(of->other, sizes[i]), i < COMMON - 1 ? sizes[i] : 4096};
        EXPECT_OK(dcmem_buffer_create(&buffers[i], of->shared, sizes[i], NULL));
        EXPECT_OK(dcmem_buffer_pin(&native, buffers[i]));
        of->of_buffers[i] = (block){(unsigned char *)(uintptr_t)native.address, of->common[i].bytes};
        fill_with(&of->common[i], 0xc0 + i);
        fill_with(&of->of_buffers[i], 0xb0 + i);
    }
}

static void
end_common(playground *of, dcmem_buffer **buffers)
{
    for (int i = 0; i < COMMON; i++) {
        EXPECT(is_filled_with(&of->common[i], 0xc0 + i));
        EXPECT(is_filled_with(&of->of_buffers[i], 0xb0 + i));
        release(of->other, of->common[i].address);
        EXPECT_OK(dcmem_buffer_unpin(buffers[i]));
        EXPECT_OK(dcmem_buffer_destroy(buffers[i]));
    }
}

static void
expect_nothing_lives(dcmem_manager *manager)
{
    EXPECT_EQ(stats_of(manager).live_allocations, 0);
    EXPECT_EQ(stats_of(manager).live_requested_bytes, 0);
    manager_end(manager);
}

TEST(misuse__the_memory_of_a_buffer_is_refused_by_every_raw_call_and_stays_the_buffers)
{
    static const uint64_t sizes[] = {100, 4096, 70000, 3 * MIB, GIB + 1};
    dcmem_manager *manager = cpu_manager(NULL);
    for (int i = 0; i < 10; i++) { /* each size twice: the second from the thread's own cache */
        dcmem_buffer *buffer;
        dcmem_native native;
        uint64_t size;
        EXPECT_OK(dcmem_buffer_create(&buffer, manager, sizes[i / 2], NULL));
        EXPECT_OK(dcmem_buffer_pin(&native, buffer));
        void *address = (void *)(uintptr_t)native.address;
        EXPECT_RESULT(dcmem_raw_free(manager, address), DCMEM_E_FOREIGN);
        EXPECT_DETAIL("belongs to a buffer");
        EXPECT_NULL(dcmem_raw_reallocate(manager, address, sizes[i / 2]), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_usable_size(&size, manager, address), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_set(manager, address, 0, 1), DCMEM_E_FOREIGN);
        EXPECT_RESULT(dcmem_raw_native(&native, manager, address), DCMEM_E_FOREIGN);
        EXPECT_OK(dcmem_buffer_unpin(buffer));
        EXPECT_OK(dcmem_buffer_destroy(buffer));
        EXPECT_RESULT(dcmem_raw_free(manager, address), DCMEM_E_ALREADY_FREE);
    }
    expect_nothing_lives(manager);
}

LONG_TEST(misuse__a_million_wrong_calls_on_raw_memory_and_managers_each_return_the_one_documented_error)
{
    static playground ground;
    static player players[THREADS];
    dcmem_buffer *buffers[COMMON];
    ground = (playground){.wanted = test_scaled(1200000) / THREADS};
    ground.ended = cpu_manager(NULL);
    EXPECT_OK(dcmem_manager_destroy(ground.ended));
    ground.shared = cpu_manager(NULL);
    ground.other = cpu_manager(NULL);
    for (unsigned i = 0; i < THREADS; i++)
        players[i] = (player){.ground = &ground, .own = cpu_manager(NULL), .random = {i + 1}};
    ground.vanished = cpu_manager(NULL);
    EXPECT_OK(dcmem_manager_destroy(ground.vanished));
    make_common(&ground, buffers);

    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(players[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (players[i].failed)
            TEST_FAIL("%s gave %s, not %s", players[i].failed, dcmem_result_name(players[i].got),
                      dcmem_result_name(players[i].due));

    end_common(&ground, buffers);
    expect_nothing_lives(ground.shared);
    expect_nothing_lives(ground.other);
    for (int i = 0; i < THREADS; i++)
        expect_nothing_lives(players[i].own);
}
