/* cpu_shares_test.c: memory of the CPU in two processes, and handles that are none. */
#include "cpu.h"
#include "descriptor.h"
#include "ledger.h"

#include <fcntl.h>
#include <signal.h>

static dcmem_extent
shared(void *device, dcmem_kind kind, uint64_t alignment)
{
    return cpu_acquired(device, (dcmem_acquire){.bytes = 64 * KIB,
                                                .alignment = alignment,
                                                .kind = kind,
                                                .flags = DCMEM_ACQUIRE_SHARED | DCMEM_ACQUIRE_GROW});
}

static dcmem_ipc_handle
exported(void *device, const dcmem_extent *extent)
{
    dcmem_ipc_handle handle = {.fd = -1};
    EXPECT_OK(cpu()->ipc_export(&handle, device, &nobody, extent));
    EXPECT(handle.fd >= 0);
    EXPECT_EQ(handle.memory_bytes, extent->bytes);
    return handle;
}

TEST(cpu_shares__are_one_memory_of_the_same_kind)
{
    void *device = cpu_opened(&plain), *other = cpu_opened(&plain);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        dcmem_extent extent = shared(device, (dcmem_kind)kind, 2 * MIB), import;
        dcmem_ipc_handle handle = exported(device, &extent);
        EXPECT_EQ(extent.address % (2 * MIB), 0);
        EXPECT_OK(cpu()->ipc_import(&import, other, &nobody, &handle));
        close(handle.fd);
        EXPECT_EQ(import.kind, kind);
        EXPECT(import.host != extent.host);
        strcpy(extent.host, "one memory");
        assert_string_equal((char *)import.host, "one memory");

        /* What was imported can be passed on. */
        dcmem_ipc_handle again = exported(other, &import);
        cpu_released(device, &extent);
        cpu_released(other, &import);
        EXPECT_OK(cpu()->ipc_import(&import, device, &nobody, &again));
        close(again.fd);
        assert_string_equal((char *)import.host, "one memory");
        cpu_released(device, &import);
    }
    cpu()->close(device);
    cpu()->close(other);
}

TEST(cpu_shares__memory_that_was_not_acquired_so_cannot_be_exported)
{
    void *device = cpu_opened(&plain);
    dcmem_ipc_handle handle = {.kind = 42};
    dcmem_extent extent = cpu_acquired(device, (dcmem_acquire){.bytes = 4 * KIB});
    EXPECT_RESULT(cpu()->ipc_export(&handle, device, &nobody, &extent), DCMEM_E_UNSUPPORTED);
    EXPECT_DETAIL("DCMEM_ACQUIRE_SHARED");
    EXPECT_EQ(handle.kind, 42);
    cpu_released(device, &extent);
    cpu()->close(device);
}

static void
refuse(void *device, dcmem_ipc_handle handle, const char *why)
{
    dcmem_extent import = {.bytes = 42};
    EXPECT_RESULT(cpu()->ipc_import(&import, device, &nobody, &handle), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL(why);
    EXPECT_EQ(import.bytes, 42);
}

TEST(cpu_shares__what_is_no_handle_is_refused)
{
    void *device = cpu_opened(&plain);
    dcmem_extent extent = shared(device, DCMEM_KIND_DEVICE, 0);
    dcmem_ipc_handle good = exported(device, &extent), bad = good;
    bad.kind++;
    refuse(device, bad, "no CPU");
    bad = good;
    bad.memory_bytes = 0;
    refuse(device, bad, "spoilt");
    bad.memory_bytes = 4 * KIB + 1;
    refuse(device, bad, "spoilt");
    bad = good;
    bad.bytes[0] = DCMEM_KIND_COUNT;
    refuse(device, bad, "spoilt");
    bad = good;
    bad.memory_bytes += 4 * KIB; /* touching what is not there would end the process */
    refuse(device, bad, "or of less");
    bad = good;
    bad.fd = -1;
    refuse(device, bad, "descriptor");
    bad.fd = memfd_create("soft", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(bad.fd, 64 * KIB), 0);
    refuse(device, bad, "no shared memory");
    close(bad.fd);
    bad.fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    refuse(device, bad, "no shared memory");
    close(bad.fd);
    close(good.fd);
    cpu_released(device, &extent);
    cpu()->close(device);
}

TEST(cpu_shares__cannot_be_taken_away_from_under_an_importer)
{
    void *device = cpu_opened(&plain);
    dcmem_extent extent = shared(device, DCMEM_KIND_DEVICE, 0);
    dcmem_ipc_handle handle = exported(device, &extent);
    EXPECT_EQ(ftruncate(handle.fd, 0), -1);
    EXPECT_EQ(errno, EPERM);
    close(handle.fd);
    cpu_released(device, &extent);
    cpu()->close(device);
}

TEST(cpu_shares__more_than_all_memory_is_refused)
{
    void *device = cpu_opened(&plain);
    dcmem_extent extent = {.bytes = 42};
    const dcmem_acquire request = {.bytes = 1ull << 60, .flags = DCMEM_ACQUIRE_SHARED};
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_NO_MEMORY);
    EXPECT_EQ(extent.bytes, 42);
    cpu()->close(device);
}

/* ---- In two processes ---- */

/* In the child, where cmocka cannot fail. */
static bool
answer(int socket)
{
    dcmem_ipc_handle handle;
    dcmem_extent import;
    void *device = NULL;
    if (!descriptor_receive(&handle, sizeof handle, &handle.fd, socket) || cpu()->open(&device, cpu(), &plain) ||
        cpu()->ipc_import(&import, device, &nobody, &handle))
        return false;
    close(handle.fd);
    bool is_right = strcmp(import.host, "question") == 0;
    strcpy(import.host, "answer");
    is_right = is_right && !cpu()->release(device, &nobody, &import);
    cpu()->close(device);
    return is_right;
}

TEST(cpu_shares__are_one_memory_in_two_processes)
{
    int sockets[2];
    pid_t child = descriptor_fork(sockets);
    if (child == 0)
        _exit(answer(sockets[1]) ? 0 : 1);

    void *device = cpu_opened(&plain);
    dcmem_extent extent = shared(device, DCMEM_KIND_DEVICE, 0);
    strcpy(extent.host, "question");
    dcmem_ipc_handle handle = exported(device, &extent);
    EXPECT(descriptor_send(sockets[0], &handle, sizeof handle, handle.fd));
    EXPECT_EQ(descriptor_join(child, sockets), 0);
    assert_string_equal((char *)extent.host, "answer");
    close(handle.fd);
    cpu_released(device, &extent);
    cpu()->close(device);
}

/* ---- The system refuses ---- */

typedef struct story {
    uint64_t failures;
    const char *complaint;
} story;

static bool
went_well(story *told, dcmem_result result)
{
    told->failures += result != DCMEM_OK;
    if (result && result != DCMEM_E_NO_MEMORY && result != DCMEM_E_NO_HOST_MEMORY)
        told->complaint = "a result that does not fit";
    if (result && dcmem_last_detail()->result != result)
        told->complaint = "a detail of another failure";
    return !result;
}

static story
live(void)
{
    story told = {0};
    void *device = NULL;
    dcmem_extent extent, import;
    dcmem_ipc_handle handle;
    const dcmem_acquire request = {.bytes = 64 * KIB, .kind = DCMEM_KIND_PINNED, .flags = DCMEM_ACQUIRE_SHARED};
    if (!went_well(&told, cpu()->open(&device, cpu(), &plain)))
        return told;
    if (went_well(&told, cpu()->acquire(&extent, device, &nobody, &request))) {
        if (went_well(&told, cpu()->ipc_export(&handle, device, &nobody, &extent))) {
            if (went_well(&told, cpu()->ipc_import(&import, device, &nobody, &handle)))
                (void)went_well(&told, cpu()->release(device, &nobody, &import));
            (void)dcmi_cpu_calls.close(handle.fd);
        }
        (void)went_well(&told, cpu()->release(device, &nobody, &extent));
    }
    cpu()->close(device);
    return told;
}

TEST(cpu_shares__whichever_system_call_fails_nothing_is_left)
{
    uint64_t number = 0, failed;
    do {
        ledger_begin(++number, 1, EMFILE);
        story told = live();
        failed = the_ledger.failed;
        uint64_t left = ledger_bytes();
        int files = the_ledger.files;
        const char *call = the_ledger.last_failed;
        ledger_end();
        if (told.complaint || left || files || told.failures > failed)
            fail_msg("call %llu, %s: %s, %llu bytes and %d files left", (unsigned long long)number, call,
                     told.complaint ? told.complaint : "", (unsigned long long)left, files);
    } while (failed);
    EXPECT_GE(number, 10);
}
