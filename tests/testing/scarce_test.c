/* scarce_test.c: the kit itself when the host has no memory: it says so, leaves nothing behind, and works again. */
#include "test.h"
#include "testing/host.h"

#include <dcmem/testing.h>

#include <stdlib.h>
#include <unistd.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static int asked, fail_at;

static bool
is_the_one(void)
{
    return ++asked == fail_at;
}

/* Runs `attempt` with the 1st of its wishes refused, then the 2nd, until none is; each refused one must say so. */
static void
refuse_each(dcmem_result (*attempt)(void *user), void *user, int least_refusals)
{
    dcmem_result result;
    int refusals = 0;
    do {
        asked = 0;
        fail_at = refusals + 1;
        dcmi_testing_fault = is_the_one;
        result = attempt(user);
        dcmi_testing_fault = NULL;
        if (asked >= fail_at) {
            EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
            refusals++;
        }
    } while (asked >= fail_at);
    EXPECT_OK(result);
    EXPECT_GE(refusals, least_refusals);
}

static const dcmem_call someone = {.op_index = 1};

typedef struct rig {
    const dcmem_backend *backend;
    void *device;
    dcmem_acquire request;
    dcmem_extent extent;
    char memory[64];
} rig;

/* ---- Simulated devices ---- */

static dcmem_result
create_simulated(void *user)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    return dcmem_simulated_create(user, &profile, 1);
}

TEST(create__of_a_simulated_backend_needs_memory)
{
    dcmem_backend *backend = NULL;
    refuse_each(create_simulated, &backend, 1);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

static dcmem_result
register_simulated(void *user)
{
    (void)user;
    return dcmem_simulated_register();
}

TEST(register__needs_memory_and_a_free_name)
{
    refuse_each(register_simulated, NULL, 1);
    EXPECT_OK(dcmem_simulated_unregister());

    dcmem_backend *backend;
    EXPECT_OK(create_simulated(&backend));
    EXPECT_OK(dcmem_backend_register(backend));
    EXPECT_RESULT(dcmem_simulated_register(), DCMEM_E_WRONG_STATE);
    EXPECT_OK(dcmem_backend_unregister(backend));
    EXPECT_OK(dcmem_simulated_destroy(backend));
    EXPECT_OK(dcmem_simulated_register());
    EXPECT_OK(dcmem_simulated_unregister());
}

static dcmem_result
acquire(void *user)
{
    rig *it = user;
    return it->backend->acquire(&it->extent, it->device, &someone, &it->request);
}

TEST(acquire__needs_address_space_and_leaves_none_behind)
{
    static const uint32_t flags[] = {
        0,
        DCMEM_SIMULATED_UNIFIED,
        DCMEM_SIMULATED_ADDRESSED,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT | DCMEM_SIMULATED_ADDRESSED,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE,
        DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE,
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        for (uint64_t alignment = 0; alignment <= 2 * MIB; alignment += 2 * MIB) {
            dcmem_simulated_profile profile = {.size = sizeof profile, .flags = flags[i], .total_bytes = 64 * MIB};
            dcmem_simulated_account account = {.size = sizeof account};
            dcmem_open options = {.size = sizeof options, .numa_node = -1};
            dcmem_backend *backend;
            EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
            rig it = {.backend = backend, .request = {.bytes = 64 * KIB, .alignment = alignment}};
            EXPECT_OK(backend->open(&it.device, backend, &options));
            refuse_each(acquire, &it, 2);
            EXPECT_OK(dcmem_simulated_account_of(&account, backend, 0));
            EXPECT_EQ(account.live_bytes, 64 * KIB);
            EXPECT_EQ(account.acquires, 1);
            EXPECT_OK(backend->release(it.device, &someone, &it.extent));
            backend->close(it.device);
            EXPECT_OK(dcmem_simulated_destroy(backend));
        }
}

static dcmem_result
import(void *user)
{
    rig *it = user;
    return it->backend->import_host(&it->extent, it->device, &someone, it->memory, sizeof it->memory);
}

static dcmem_result
release_middle(void *user)
{
    rig *it = user;
    dcmem_extent middle = it->extent;
    middle.object += 16 * KIB;
    middle.bytes = 16 * KIB;
    return it->backend->release(it->device, &someone, &middle);
}

TEST(import_and_release__need_memory_for_their_records)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_CPU);
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_backend *backend;
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    rig it = {.backend = backend, .request = {.bytes = 64 * KIB}};
    EXPECT_OK(backend->open(&it.device, backend, &options));
    refuse_each(import, &it, 1);
    EXPECT_OK(backend->release(it.device, &someone, &it.extent));
    EXPECT_OK(acquire(&it));
    refuse_each(release_middle, &it, 2);
    backend->close(it.device);
    EXPECT_RESULT(dcmem_simulated_destroy(backend), DCMEM_E_LEAKED);
}

static dcmem_result
use_queue(void *user)
{
    rig *it = user;
    dcmem_place to = {.extent = &it->extent};
    uint64_t value = 0, last = 0;
    void *queue = NULL;
    dcmem_result result = it->backend->queue_open(&queue, it->device, NULL);
    if (result)
        return result;
    result = it->backend->enqueue_fill(&value, it->device, queue, &someone, &to, 64 * KIB, "x", 1);
    if (!result)
        result = it->backend->enqueue_copy(&last, it->device, queue, &someone, &(dcmem_place){.host = it->memory}, &to,
                                           sizeof it->memory);
    EXPECT(value == (last ? 1 : value));
    it->backend->queue_close(it->device, queue);
    return result;
}

TEST(queue__needs_memory_for_itself_and_its_work)
{
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    dcmem_backend *backend;
    EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
    rig it = {.backend = backend, .request = {.bytes = 64 * KIB}};
    EXPECT_OK(backend->open(&it.device, backend, &options));
    EXPECT_OK(acquire(&it));
    refuse_each(use_queue, &it, 3);
    EXPECT_EQ(it.memory[63], 'x');
    EXPECT_OK(backend->release(it.device, &someone, &it.extent));
    backend->close(it.device);
    EXPECT_OK(dcmem_simulated_destroy(backend));
}

static dcmem_result
use_pages(void *user)
{
    rig *it = user;
    const dcmem_backend *backend = it->backend;
    uint64_t address = 0, page = 0;
    dcmem_result result = backend->reserve(&address, it->device, 4 * MIB, 4 * MIB);
    if (result)
        return result;
    result = backend->page_create(&page, it->device, &someone, 2 * MIB, DCMEM_KIND_HOST_VISIBLE);
    if (result)
        goto undo_reserve;
    result = backend->page_map(it->device, &someone, address, page, 0, 2 * MIB);
    if (!result)
        EXPECT_OK(backend->page_unmap(it->device, &someone, address, 2 * MIB));
    EXPECT_OK(backend->page_destroy(it->device, &someone, page));
undo_reserve:
    EXPECT_OK(backend->unreserve(it->device, address, 4 * MIB));
    return result;
}

static dcmem_result
use_shares(void *user)
{
    rig *it = user;
    dcmem_extent import;
    dcmem_ipc_handle handle;
    dcmem_result result = acquire(it);
    if (result)
        return result;
    result = it->backend->ipc_export(&handle, it->device, &someone, &it->extent);
    if (result)
        goto undo_acquire;
    result = it->backend->ipc_import(&import, it->device, &someone, &handle);
    if (!result)
        EXPECT_OK(it->backend->release(it->device, &someone, &import));
    close(handle.fd);
undo_acquire:
    EXPECT_OK(it->backend->release(it->device, &someone, &it->extent));
    return result;
}

TEST(pages_and_shares__need_address_space_files_and_records)
{
    static const uint32_t flags[] = {
        DCMEM_SIMULATED_HOST_VISIBLE,
        DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_ADDRESSED,
        DCMEM_SIMULATED_HOST_VISIBLE | DCMEM_SIMULATED_NON_COHERENT,
        DCMEM_SIMULATED_UNIFIED,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE,
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        dcmem_simulated_profile profile = {
            .size = sizeof profile, .flags = flags[i], .total_bytes = 64 * MIB, .page_bytes = 2 * MIB};
        dcmem_simulated_account account = {.size = sizeof account};
        dcmem_open options = {.size = sizeof options, .numa_node = -1};
        dcmem_backend *backend;
        EXPECT_OK(dcmem_simulated_create(&backend, &profile, 1));
        rig it = {.backend = backend, .request = {.bytes = 64 * KIB, .flags = DCMEM_ACQUIRE_SHARED}};
        EXPECT_OK(backend->open(&it.device, backend, &options));
        refuse_each(use_pages, &it, 4);
        refuse_each(use_shares, &it, 8);
        EXPECT_OK(dcmem_simulated_account_of(&account, backend, 0));
        EXPECT_EQ(account.live_bytes, 0);
        EXPECT_EQ(account.imports, 0);
        EXPECT_EQ(account.reserved_bytes, 0);
        backend->close(it.device);
        EXPECT_OK(dcmem_simulated_destroy(backend));
    }
}

/* ---- Fakes ---- */

static dcmem_result
create_fake(void *user)
{
    return dcmem_fake_create(user, NULL);
}

static dcmem_result
open_fake(void *user)
{
    rig *it = user;
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    return it->backend->open(&it->device, it->backend, &options);
}

TEST(create_and_open__of_a_fake_need_memory)
{
    dcmem_fake *fake = NULL;
    refuse_each(create_fake, &fake, 2);
    rig it = {.backend = dcmem_fake_backend(fake)};
    refuse_each(open_fake, &it, 1);
    it.backend->close(it.device);
    EXPECT_OK(dcmem_fake_destroy(fake));
}

typedef struct complaints {
    int count;
    char last[200];
} complaints;

static void
complain(void *user, const char *message)
{
    complaints *said = user;
    said->count++;
    snprintf(said->last, sizeof said->last, "%s", message);
}

/* Books that cannot be kept are a fault of the test's, told like any other. */
TEST(fake__without_memory_for_its_books_says_so)
{
    complaints said = {0};
    dcmem_fake_options options = {
        .size = sizeof options, .over = dcmem_backend_find("cpu"), .report = complain, .report_user = &said};
    dcmem_fake *fake;
    EXPECT_OK(dcmem_fake_create(&fake, &options));
    rig it = {.backend = dcmem_fake_backend(fake), .request = {.bytes = 64 * KIB}};
    EXPECT_OK(open_fake(&it));

    asked = 0;
    fail_at = 1;
    dcmi_testing_fault = is_the_one;
    EXPECT_OK(acquire(&it));
    EXPECT_EQ(said.count, 1);
    EXPECT(strstr(said.last, "no memory for the test's own books"));
    dcmem_extent unknown = it.extent;
    asked = 0;
    EXPECT_OK(import(&it));
    EXPECT_EQ(said.count, 2);
    dcmem_extent import_unknown = it.extent;
    EXPECT_OK(acquire(&it));
    asked = 0;
    EXPECT_RESULT(release_middle(&it), DCMEM_E_CONTRACT);
    EXPECT_EQ(said.count, 3);
    dcmi_testing_fault = NULL;

    EXPECT_RESULT(it.backend->release(it.device, &someone, &unknown), DCMEM_E_CONTRACT);
    EXPECT_RESULT(it.backend->release(it.device, &someone, &import_unknown), DCMEM_E_CONTRACT);
    EXPECT_EQ(said.count, 5);
    EXPECT_OK(release_middle(&it));
    dcmem_extent lower = it.extent, upper = it.extent;
    lower.bytes = 16 * KIB;
    upper.object += 32 * KIB;
    upper.address = upper.object;
    upper.host = (void *)(uintptr_t)upper.object;
    upper.bytes = 32 * KIB;
    EXPECT_OK(it.backend->release(it.device, &someone, &lower));
    EXPECT_OK(it.backend->release(it.device, &someone, &upper));
    it.backend->close(it.device);
    EXPECT_OK(dcmem_fake_destroy(fake));
}

/* ---- Sweeps ---- */

static dcmem_result
do_nothing(dcmem_sweep_run *run)
{
    (void)run;
    return DCMEM_OK;
}

static dcmem_result
sweep_nothing(void *user)
{
    dcmem_sweep sweep = {
        .size = sizeof sweep, .act = do_nothing, .no_manager = true, .output = user, .output_bytes = 8};
    return dcmem_test_sweep(NULL, &sweep);
}

TEST(sweep__needs_memory_for_its_fakes_and_a_copy_of_the_output)
{
    uint64_t output = 7;
    refuse_each(sweep_nothing, &output, 3);
}
