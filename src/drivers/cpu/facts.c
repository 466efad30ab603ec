/* facts.c: reads and understands the files of /proc, /sys and /etc. */
#include "drivers/cpu/facts.h"

#include "base/os.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define CACHE_LEVELS 8

/* A file of one line, without its end. */
static void
read_line(char *out, size_t capacity, const char *path)
{
    dcmi_os_read(out, capacity, path);
    out[strcspn(out, "\n")] = '\0';
}

/* What stands behind "key ... :" in a text of such lines. */
static bool
find_field(char *out, size_t capacity, const char *text, const char *key)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = line + strcspn(line, ":\n");
        if (*value != ':')
            continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(out, capacity, "%.*s", (int)strcspn(value, "\n"), value);
        return true;
    }
    return false;
}

static void
read_name(char *out, size_t capacity)
{
    char text[4096];
    struct utsname machine = {0};
    dcmi_os_read(text, sizeof text, "/proc/cpuinfo");
    /* In the order of x86, Arm and POWER. */
    if (find_field(out, capacity, text, "model name") || find_field(out, capacity, text, "Hardware") ||
        find_field(out, capacity, text, "cpu\t"))
        return;
    (void)uname(&machine); /* It fails for bad pointers only. */
    snprintf(out, capacity, "%s", machine.machine);
}

uint64_t
dcmi_cpu_size_of(const char *text)
{
    char *unit;
    if (*text < '0' || *text > '9')
        return 0;
    uint64_t number = strtoull(text, &unit, 10), factor = 1, bytes;
    if (*unit == 'K')
        factor = 1ull << 10;
    else if (*unit == 'M')
        factor = 1ull << 20;
    else if (*unit == 'G')
        factor = 1ull << 30;
    return dcmi_size_mul(&bytes, number, factor) ? bytes : 0;
}

static uint64_t
read_cache_field(unsigned index, const char *field)
{
    char path[96], text[32];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%u/%s", index, field);
    read_line(text, sizeof text, path);
    return dcmi_cpu_size_of(text);
}

/* From the kernel's files and not from sysconf: that passes on what the hypervisor says of its own whole machine. */
static void
read_caches(dcmi_cpu_facts *facts)
{
    uint64_t last_level = 0;
    for (unsigned i = 0; i < CACHE_LEVELS; i++) {
        uint64_t level = read_cache_field(i, "level");
        if (level == 0)
            break;
        facts->cache_line_bytes = dcmi_max(facts->cache_line_bytes, read_cache_field(i, "coherency_line_size"));
        if (level < last_level)
            continue;
        last_level = level;
        facts->last_level_cache_bytes = read_cache_field(i, "size");
    }
    if (!dcmi_is_power_of_two(facts->cache_line_bytes))
        facts->cache_line_bytes = 64;
}

/* Fowler, Noll and Vo's hash, of another beginning for each half. */
static uint64_t
hash(const char *text, uint64_t seed)
{
    uint64_t value = 0xcbf29ce484222325ull ^ seed;
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 0x100000001b3ull;
    return value;
}

/* The same on every start of the machine. The machine's own number is a secret to the outside, so it is not passed
 * on but what follows from it. */
static void
read_uuid(uint8_t out[16])
{
    char text[64];
    read_line(text, sizeof text, "/etc/machine-id");
    if (text[0] == '\0')
        return;
    uint64_t halves[2] = {hash(text, 0x64636d656d), hash(text, 0x637075)};
    memcpy(out, halves, sizeof halves);
}

void
dcmi_cpu_facts_read(dcmi_cpu_facts *out)
{
    dcmi_cpu_facts facts = {0};
    struct utsname machine = {0};
    (void)uname(&machine);
    snprintf(facts.system, sizeof facts.system, "%.10s %.36s", machine.sysname, machine.release);
    read_name(facts.name, sizeof facts.name);
    read_caches(&facts);
    read_uuid(facts.uuid);
    read_line(facts.nodes, sizeof facts.nodes, "/sys/devices/system/node/online");
    /* A kernel built without NUMA has all its memory in node 0. */
    if (facts.nodes[0] == '\0')
        memcpy(facts.nodes, "0", 2);
    *out = facts;
}

bool
dcmi_cpu_list_has(const char *list, uint32_t number)
{
    for (const char *at = list; *at >= '0' && *at <= '9';) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (first <= number && number <= last)
            return true;
        at = *end == ',' ? end + 1 : "";
    }
    return false;
}

bool
dcmi_cpu_list_is_single(const char *list)
{
    return *list && strspn(list, "0123456789") == strlen(list);
}

bool
dcmi_cpu_node_memory(uint64_t *out_total, uint64_t *out_free, int32_t node)
{
    char path[64], text[2048], total[32], free[32], key[48];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%d/meminfo", node);
    dcmi_os_read(text, sizeof text, path);
    snprintf(key, sizeof key, "Node %d MemTotal", node);
    if (!find_field(total, sizeof total, text, key))
        return false;
    snprintf(key, sizeof key, "Node %d MemFree", node);
    if (!find_field(free, sizeof free, text, key))
        return false;
    *out_total = strtoull(total, NULL, 10) * 1024;
    *out_free = strtoull(free, NULL, 10) * 1024;
    return *out_total > 0;
}
