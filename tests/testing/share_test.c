/* share_test.c: memory of simulated devices in two backends and two processes, and handles that are none. */
#include "descriptor.h"
#include "test.h"

#include <dcmem/testing.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB 1024ull
#define MIB (1024ull * 1024)

static const dcmem_call someone = {.op_index = 1};

typedef struct rig {
    dcmem_backend *backend;
    void *device;
} rig;

static rig
rig_of(uint32_t flags)
{
    rig it;
    const dcmem_simulated_profile profile = {.size = sizeof profile, .flags = flags, .total_bytes = 1 * MIB};
    dcmem_open options = {.size = sizeof options, .numa_node = -1};
    EXPECT_OK(dcmem_simulated_create(&it.backend, &profile, 1));
    EXPECT_OK(it.backend->open(&it.device, it.backend, &options));
    return it;
}

static void
rig_close(rig *it)
{
    it->backend->close(it->device);
    EXPECT_OK(dcmem_simulated_destroy(it->backend));
}

static dcmem_extent
acquired(rig *it, uint32_t flags)
{
    dcmem_extent extent;
    dcmem_acquire request = {.bytes = 64 * KIB, .flags = flags};
    EXPECT_OK(it->backend->acquire(&extent, it->device, &someone, &request));
    return extent;
}

static void
released(rig *it, const dcmem_extent *extent)
{
    EXPECT_OK(it->backend->release(it->device, &someone, extent));
}

static dcmem_ipc_handle
exported(rig *it, const dcmem_extent *extent)
{
    dcmem_ipc_handle handle;
    EXPECT_OK(it->backend->ipc_export(&handle, it->device, &someone, extent));
    EXPECT(handle.fd >= 0);
    EXPECT_EQ(handle.memory_bytes, extent->bytes);
    return handle;
}

static dcmem_result
write_to(rig *it, const dcmem_extent *extent, const char *text)
{
    char copy[16] = "";
    snprintf(copy, sizeof copy, "%s", text);
    const dcmem_place to = {.extent = extent, .offset = extent->bytes - sizeof copy}, from = {.host = copy};
    return it->backend->copy(it->device, &someone, &to, &from, sizeof copy);
}

static bool
is_there(rig *it, const dcmem_extent *extent, const char *text)
{
    char found[16] = "";
    const dcmem_place from = {.extent = extent, .offset = extent->bytes - sizeof found}, to = {.host = found};
    return it->backend->copy(it->device, &someone, &to, &from, sizeof found) == DCMEM_OK && strcmp(found, text) == 0;
}

/* ---- In one process ---- */

TEST(share__is_one_memory_on_devices_of_every_kind)
{
    static const uint32_t flags[] = {
        0,
        DCMEM_SIMULATED_ADDRESSED,
        DCMEM_SIMULATED_UNIFIED,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE,
        DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT,
    };
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            rig mine = rig_of(flags[i]), yours = rig_of(flags[j]);
            dcmem_extent extent = acquired(&mine, DCMEM_ACQUIRE_SHARED), import;
            dcmem_ipc_handle handle = exported(&mine, &extent);
            EXPECT_OK(write_to(&mine, &extent, "hello"));
            EXPECT_OK(yours.backend->ipc_import(&import, yours.device, &someone, &handle));
            close(handle.fd);
            EXPECT(is_there(&yours, &import, "hello"));
            EXPECT_OK(write_to(&yours, &import, "back"));
            EXPECT(is_there(&mine, &extent, "back"));

            dcmem_simulated_account account = {.size = sizeof account};
            EXPECT_OK(dcmem_simulated_account_of(&account, yours.backend, 0));
            EXPECT_EQ(account.imports, 1);
            EXPECT_EQ(account.live_bytes, 0);
            released(&yours, &import);
            EXPECT(is_there(&mine, &extent, "back"));
            released(&mine, &extent);
            rig_close(&mine);
            rig_close(&yours);
        }
}

TEST(share__is_never_divided)
{
    rig it = rig_of(DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_ADDRESSED | DCMEM_SIMULATED_DIVISIBLE);
    dcmem_extent below = acquired(&it, 0), extent = acquired(&it, DCMEM_ACQUIRE_SHARED);
    dcmem_ipc_handle handle = exported(&it, &extent);
    dcmem_extent head = extent, tail = extent, across = below, import;
    head.bytes = 4 * KIB;
    tail.object += 4 * KIB;
    tail.bytes -= 4 * KIB;
    across.bytes += 4 * KIB;
    EXPECT_EQ(below.object + below.bytes, extent.object);
    EXPECT_RESULT(it.backend->release(it.device, &someone, &head), DCMEM_E_INTERIOR);
    EXPECT_RESULT(it.backend->release(it.device, &someone, &tail), DCMEM_E_INTERIOR);
    EXPECT_RESULT(it.backend->release(it.device, &someone, &across), DCMEM_E_INTERIOR);
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &head), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(it.backend->ipc_import(&import, it.device, &someone, &handle));
    head = import;
    head.bytes = 4 * KIB;
    EXPECT_RESULT(it.backend->release(it.device, &someone, &head), DCMEM_E_INTERIOR);
    released(&it, &import);
    released(&it, &extent);
    released(&it, &below);
    close(handle.fd);
    rig_close(&it);
}

TEST(export__of_other_memory_is_refused)
{
    rig it = rig_of(0);
    dcmem_extent plain = acquired(&it, 0), none = {.object = 42, .bytes = 64 * KIB};
    dcmem_ipc_handle handle = {.kind = 42};
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &plain), DCMEM_E_UNSUPPORTED);
    EXPECT_DETAIL("DCMEM_ACQUIRE_SHARED");
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &none), DCMEM_E_UNKNOWN_ADDRESS);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, true));
    EXPECT_RESULT(it.backend->ipc_export(&handle, it.device, &someone, &plain), DCMEM_E_DEVICE_LOST);
    EXPECT_OK(dcmem_simulated_set_lost(it.backend, 0, false));
    EXPECT_EQ(handle.kind, 42);
    released(&it, &plain);
    rig_close(&it);
}

static void
refuse_handle(rig *it, dcmem_ipc_handle handle, const char *why)
{
    dcmem_extent import = {.bytes = 42};
    EXPECT_RESULT(it->backend->ipc_import(&import, it->device, &someone, &handle), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL(why);
    EXPECT_EQ(import.bytes, 42);
}

TEST(import__of_what_is_no_handle_is_refused)
{
    rig it = rig_of(0), managed = rig_of(DCMEM_SIMULATED_UNIFIED);
    dcmem_extent extent = acquired(&it, DCMEM_ACQUIRE_SHARED), import;
    dcmem_ipc_handle good = exported(&it, &extent), bad = good;
    bad.kind++;
    refuse_handle(&it, bad, "no simulated device");
    bad = good;
    bad.memory_bytes += 4096;
    refuse_handle(&it, bad, "spoilt");
    bad = good;
    memset(bad.bytes, 0, sizeof bad.bytes);
    refuse_handle(&it, bad, "spoilt");
    bad = good;
    bad.bytes[8] = DCMEM_KIND_MANAGED;
    refuse_handle(&it, bad, "its kind");
    bad.bytes[8] = 200;
    refuse_handle(&it, bad, "its kind");
    bad = good;
    bad.bytes[15] = 1;
    refuse_handle(&it, bad, "spoilt");
    bad = good;
    bad.fd = -1;
    refuse_handle(&it, bad, "descriptor");

    /* More than there is, which would end the process when it was touched; and a file that may shrink. */
    uint64_t bytes = 128 * KIB;
    bad = good;
    bad.memory_bytes = bytes;
    memcpy(bad.bytes, &bytes, sizeof bytes);
    refuse_handle(&it, bad, "or of less");
    bad = good;
    bad.fd = memfd_create("soft", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(bad.fd, 64 * KIB), 0);
    refuse_handle(&it, bad, "no shared memory");
    close(bad.fd);
    bad.fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    refuse_handle(&it, bad, "no shared memory");
    close(bad.fd);

    EXPECT_OK(dcmem_simulated_set_lost(managed.backend, 0, true));
    EXPECT_RESULT(managed.backend->ipc_import(&import, managed.device, &someone, &good), DCMEM_E_DEVICE_LOST);
    close(good.fd);
    released(&it, &extent);
    rig_close(&it);
    rig_close(&managed);
}

/* ---- In two processes ---- */

/* In the child, where cmocka cannot fail. */
static bool
answer(int socket)
{
    dcmem_ipc_handle handle;
    dcmem_extent import;
    rig it = rig_of(DCMEM_SIMULATED_ADDRESSED);
    if (!descriptor_receive(&handle, sizeof handle, &handle.fd, socket) ||
        it.backend->ipc_import(&import, it.device, &someone, &handle))
        return false;
    close(handle.fd);
    bool is_right = is_there(&it, &import, "question") && !write_to(&it, &import, "answer");
    return !it.backend->release(it.device, &someone, &import) && is_right;
}

TEST(share__is_one_memory_in_two_processes)
{
    int sockets[2];
    pid_t child = descriptor_fork(sockets);
    if (child == 0)
        _exit(answer(sockets[1]) ? 0 : 1);

    rig it = rig_of(0);
    dcmem_extent extent = acquired(&it, DCMEM_ACQUIRE_SHARED);
    EXPECT_OK(write_to(&it, &extent, "question"));
    dcmem_ipc_handle handle = exported(&it, &extent);
    EXPECT(descriptor_send(sockets[0], &handle, sizeof handle, handle.fd));
    EXPECT_EQ(descriptor_join(child, sockets), 0);
    EXPECT(is_there(&it, &extent, "answer"));
    close(handle.fd);
    released(&it, &extent);
    rig_close(&it);
}
