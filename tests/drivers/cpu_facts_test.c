/* cpu_facts_test.c: the machine's files are understood as x86, Arm and virtual machines write them. */
#include "drivers/cpu/facts.h"

#include "base/os.h"
#include "files.h"
#include "test.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static dcmi_cpu_facts
facts(void)
{
    dcmi_cpu_facts read;
    memset(&read, 0x5a, sizeof read);
    dcmi_cpu_facts_read(&read);
    return read;
}

static void
put_cache(unsigned index, const char *level, const char *size, const char *line)
{
    char path[96];
    const char *const names[] = {"level", "size", "coherency_line_size"};
    const char *const values[] = {level, size, line};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%u/%s", index, names[i]);
        files_put(path, values[i]);
    }
}

TEST(facts__an_x86_machine_is_read)
{
    files_begin();
    files_put("/proc/cpuinfo", "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 3 GHz\ncache size\t: 1 KB\n");
    put_cache(0, "1\n", "32K\n", "64\n");
    put_cache(1, "1\n", "32K\n", "64\n");
    put_cache(2, "2\n", "1024K\n", "64\n");
    put_cache(3, "3\n", "32768K\n", "64\n");
    files_put("/sys/devices/system/node/online", "0-1\n");
    files_put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    dcmi_cpu_facts read = facts();
    EXPECT(strcmp(read.name, "Some CPU @ 3 GHz") == 0);
    EXPECT_EQ(read.cache_line_bytes, 64);
    EXPECT_EQ(read.last_level_cache_bytes, 32 * MIB);
    EXPECT(strcmp(read.nodes, "0-1") == 0);
    EXPECT(strncmp(read.system, "Linux ", 6) == 0);

    /* The same machine is the same; another is another; neither shows its own number. */
    dcmi_cpu_facts again = facts();
    EXPECT(memcmp(read.uuid, again.uuid, sizeof read.uuid) == 0);
    files_put("/etc/machine-id", "0123456789abcdef0123456789abcdee\n");
    dcmi_cpu_facts other = facts();
    EXPECT(memcmp(read.uuid, other.uuid, sizeof read.uuid) != 0);
    EXPECT(memcmp(read.uuid, "\x01\x23\x45\x67", 4) != 0);
    files_end();
}

TEST(facts__the_last_level_is_the_highest_in_whatever_order)
{
    files_begin();
    put_cache(0, "3\n", "8M\n", "64\n");
    put_cache(1, "1\n", "32K\n", "64\n");
    put_cache(2, "2\n", "1M\n", "64\n");
    EXPECT_EQ(facts().last_level_cache_bytes, 8 * MIB);
    files_end();
}

TEST(facts__other_machines_name_themselves_otherwise)
{
    files_begin();
    files_put("/proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 1\nHardware\t: BCM2835\n");
    EXPECT(strcmp(facts().name, "BCM2835") == 0);
    files_put("/proc/cpuinfo", "processor\t: 0\ncpu\t\t: POWER9 (raw)\n");
    EXPECT(strcmp(facts().name, "POWER9 (raw)") == 0);
    /* Nothing that we know: the architecture. A key without a value is none. */
    files_put("/proc/cpuinfo", "model name\nprocessor\t: 0\n");
    EXPECT(facts().name[0] != '\0' && !strchr(facts().name, '\n'));
    files_end();
}

TEST(facts__what_is_not_there_is_nothing)
{
    files_begin();
    dcmi_cpu_facts read = facts();
    EXPECT(read.name[0] != '\0');
    EXPECT_EQ(read.last_level_cache_bytes, 0);
    EXPECT_EQ(read.cache_line_bytes, 64);
    EXPECT(strcmp(read.nodes, "0") == 0);
    static const uint8_t none[16];
    EXPECT(memcmp(read.uuid, none, sizeof none) == 0);
    files_end();
}

TEST(facts__a_long_name_is_cut)
{
    char text[600] = "model name\t: ";
    memset(text + strlen(text), 'x', sizeof text - 1 - strlen(text));
    text[sizeof text - 1] = '\0';
    files_begin();
    files_put("/proc/cpuinfo", text);
    EXPECT_EQ(strlen(facts().name), sizeof facts().name - 1);
    files_end();
}

TEST(facts__an_odd_cache_line_counts_as_64)
{
    files_begin();
    put_cache(0, "1\n", "32K\n", "48\n");
    EXPECT_EQ(facts().cache_line_bytes, 64);
    put_cache(0, "1\n", "32K\n", "128\n");
    EXPECT_EQ(facts().cache_line_bytes, 128);
    files_end();
}

TEST(facts__sizes_have_units)
{
    EXPECT_EQ(dcmi_cpu_size_of("32768K"), 32 * MIB);
    EXPECT_EQ(dcmi_cpu_size_of("3M"), 3 * MIB);
    EXPECT_EQ(dcmi_cpu_size_of("2G"), 2048 * MIB);
    EXPECT_EQ(dcmi_cpu_size_of("77"), 77);
    EXPECT_EQ(dcmi_cpu_size_of("0K"), 0);
    EXPECT_EQ(dcmi_cpu_size_of(""), 0);
    EXPECT_EQ(dcmi_cpu_size_of("K"), 0);
    EXPECT_EQ(dcmi_cpu_size_of("-1K"), 0);
    EXPECT_EQ(dcmi_cpu_size_of("99999999999999999999K"), 0);
}

TEST(facts__lists_of_numbers_are_understood)
{
    EXPECT(dcmi_cpu_list_has("0", 0));
    EXPECT(!dcmi_cpu_list_has("0", 1));
    for (uint32_t n = 0; n < 12; n++)
        EXPECT_EQ(dcmi_cpu_list_has("1-3,5,8-9", n), (n >= 1 && n <= 3) || n == 5 || n == 8 || n == 9);
    EXPECT(!dcmi_cpu_list_has("", 0));
    EXPECT(!dcmi_cpu_list_has("nonsense", 0));
    EXPECT(!dcmi_cpu_list_has("1-3 7", 7));

    EXPECT(dcmi_cpu_list_is_single("0"));
    EXPECT(dcmi_cpu_list_is_single("12"));
    EXPECT(!dcmi_cpu_list_is_single("0-1"));
    EXPECT(!dcmi_cpu_list_is_single("0,2"));
    EXPECT(!dcmi_cpu_list_is_single(""));
}

TEST(facts__a_node_s_memory_is_read)
{
    uint64_t total = 1, free = 2;
    files_begin();
    EXPECT(!dcmi_cpu_node_memory(&total, &free, 1));
    files_put("/sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       2048 kB\n");
    EXPECT(!dcmi_cpu_node_memory(&total, &free, 1));
    EXPECT(total == 1 && free == 2);
    files_put("/sys/devices/system/node/node1/meminfo",
              "Node 1 MemTotal:       2048 kB\nNode 1 MemFree:         1024 kB\n");
    EXPECT(dcmi_cpu_node_memory(&total, &free, 1));
    EXPECT(total == 2 * MIB && free == MIB);
    files_put("/sys/devices/system/node/node1/meminfo", "Node 1 MemTotal: 0 kB\nNode 1 MemFree: 0 kB\n");
    EXPECT(!dcmi_cpu_node_memory(&total, &free, 1));
    files_end();
}
