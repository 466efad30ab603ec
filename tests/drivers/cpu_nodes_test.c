/* cpu_nodes_test.c: the CPU driver on a machine of several NUMA nodes, which is a few files of the test's own. A
 * program of its own: the driver looks at the machine once. */
#include "cpu.h"

#include "drivers/cpu/calls.h"
#include "files.h"

#include <errno.h>

static int bound_node;
static int bind_errno;

static int
bind_noted(void *address, size_t bytes, int node)
{
    (void)address;
    (void)bytes;
    bound_node = node;
    errno = bind_errno;
    return bind_errno ? -1 : 0;
}

/* A machine of 8 GiB; node 2 has 2 of them. */
static void
begin_machine(void)
{
    files_begin();
    files_put("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n");
    files_put("/sys/devices/system/node/online", "0,2\n");
    files_put("/sys/devices/system/node/node2/meminfo", "Node 2 MemTotal: 2097152 kB\nNode 2 MemFree: 1048576 kB\n");
    dcmi_cpu_calls.bind = bind_noted;
    bind_errno = 0;
}

static void
end_machine(dcmi_cpu_call_table real)
{
    dcmi_cpu_calls = real;
    files_end();
}

TEST(cpu_nodes__a_device_of_a_node_has_that_node_s_memory)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    dcmem_device_info info;
    dcmem_open options = plain;
    begin_machine();
    options.numa_node = 2;
    void *device = cpu_opened(&options);
    EXPECT_EQ(bound_node, 2);
    EXPECT_OK(cpu()->info(&info, device));
    EXPECT_EQ(info.numa_node, 2);
    EXPECT_EQ(info.total_bytes, 2 * GIB);
    EXPECT_EQ(info.free_bytes, 1 * GIB);
    EXPECT_EQ(info.largest_allocation_bytes, 2 * GIB);

    bound_node = -1;
    dcmem_extent extent = cpu_grown(device, 64 * KIB, 0, NULL);
    EXPECT_EQ(bound_node, 2);
    cpu_released(device, &extent);

    /* A node that does not say what it has: the machine's. */
    files_put("/sys/devices/system/node/node2/meminfo", "");
    EXPECT_OK(cpu()->info(&info, device));
    EXPECT_EQ(info.total_bytes, 8 * GIB);
    cpu()->close(device);
    end_machine(real);
}

TEST(cpu_nodes__without_a_choice_the_whole_machine_counts)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    dcmem_device_info info;
    begin_machine();
    bound_node = -1;
    void *device = cpu_opened(&plain);
    EXPECT_OK(cpu()->info(&info, device));
    EXPECT_EQ(info.total_bytes, 8 * GIB);
    EXPECT_EQ(info.free_bytes, 4 * GIB);
    EXPECT_EQ(bound_node, -1);
    cpu()->close(device);
    end_machine(real);
}

TEST(cpu_nodes__one_that_is_offline_or_forbidden_is_refused_at_the_opening)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    void *device = NULL;
    dcmem_open options = plain;
    begin_machine();
    options.numa_node = 1;
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("node 1 is not online; online: 0,2");

    options.numa_node = 2;
    bind_errno = EINVAL; /* what a cpuset without the node gives */
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_UNAVAILABLE);
    EXPECT_DETAIL("node 2 cannot be used");
    bind_errno = EPERM; /* what a filter of system calls gives */
    EXPECT_RESULT(cpu()->open(&device, cpu(), &options), DCMEM_E_PERMISSION);
    EXPECT(!device);
    end_machine(real);
}

TEST(cpu_nodes__a_binding_that_fails_later_takes_the_memory_back)
{
    dcmi_cpu_call_table real = dcmi_cpu_calls;
    dcmem_open options = plain;
    dcmem_extent extent = {.bytes = 42};
    const dcmem_acquire request = {.bytes = 4096, .flags = DCMEM_ACQUIRE_GROW};
    begin_machine();
    options.numa_node = 2;
    void *device = cpu_opened(&options);
    bind_errno = ENOMEM;
    EXPECT_RESULT(cpu()->acquire(&extent, device, &nobody, &request), DCMEM_E_NO_MEMORY);
    EXPECT_DETAIL("NUMA node 2");
    EXPECT_EQ(extent.bytes, 42);
    cpu()->close(device);
    end_machine(real);
}
