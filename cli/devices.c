/* devices.c: every backend, and each of its devices or the reason why there is none. */
#include "cli/devices.h"

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/numbers.h"
#include "cli/options.h"
#include "cli/table.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 100u

/* What is known of one device, or of a backend that has none. */
typedef struct device_entry {
    const dcmem_backend *backend;
    uint32_t index;
    bool is_there;
    char reason[256];
    dcmem_device_info info;
} device_entry;

typedef void device_print(void *user, const device_entry *entry);

static void
note_reason(device_entry *entry, const char *reason)
{
    entry->is_there = false;
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
}

/* Tells `print` of each device of a backend, or once why there is none. */
static void
list_backend(const dcmem_backend *backend, device_print *print, void *user)
{
    device_entry entry = {.backend = backend};
    uint32_t count = 0;
    if (backend->count(&count, backend)) {
        note_reason(&entry, dcmem_last_detail()->message);
        print(user, &entry);
        return;
    }
    if (count == 0) {
        note_reason(&entry, "the driver is there but finds no device");
        print(user, &entry);
    }
    for (entry.index = 0; entry.index < count; entry.index++) {
        memset(&entry.info, 0, sizeof entry.info);
        entry.info.size = sizeof entry.info;
        entry.is_there = true;
        if (dcmem_device_describe(&entry.info, backend->name, entry.index))
            note_reason(&entry, dcmem_last_detail()->message);
        print(user, &entry);
    }
}

static void
list_all(device_print *print, void *user)
{
    for (uint32_t i = 0; i < dcmem_backend_count(); i++)
        list_backend(dcmem_backend_at(i), print, user);
}

/* ---- JSON ---- */

static void
json_kinds(json_writer *json, uint32_t kinds)
{
    json_key(json, "kinds");
    json_array(json);
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++)
        if (kinds & DCMEM_KIND_BIT(kind))
            json_string(json, dcmem_kind_name((dcmem_kind)kind));
    json_end(json);
}

static void
json_heaps(json_writer *json, const dcmem_device_info *info)
{
    json_key(json, "heaps");
    json_array(json);
    for (uint32_t i = 0; i < info->heap_count && i < DCMEM_MAX_HEAPS; i++) {
        json_object(json);
        json_field_unsigned(json, "total_bytes", info->heaps[i].total_bytes);
        json_field_unsigned(json, "free_bytes", info->heaps[i].free_bytes);
        json_kinds(json, info->heaps[i].kinds);
        json_end(json);
    }
    json_end(json);
}

static void
json_info(json_writer *json, const dcmem_device_info *info)
{
    json_field_string(json, "name", info->name);
    json_field_string(json, "driver_version", info->driver_version);
    json_field_string(json, "pci", info->pci);
    json_kinds(json, info->kinds);
    json_field_unsigned(json, "total_bytes", info->total_bytes);
    json_field_unsigned(json, "free_bytes", info->free_bytes);
    json_field_unsigned(json, "largest_allocation_bytes", info->largest_allocation_bytes);
    json_field_unsigned(json, "granularity_bytes", info->granularity);
    json_field_unsigned(json, "alignment_bytes", info->alignment);
    json_field_unsigned(json, "cache_line_bytes", info->cache_line_bytes);
    json_field_unsigned(json, "last_level_cache_bytes", info->last_level_cache_bytes);
    json_field_unsigned(json, "flush_bytes", info->flush_bytes);
    json_key(json, "numa_node");
    if (info->numa_node >= 0)
        json_signed(json, info->numa_node);
    else
        json_null(json);
    json_field_bool(json, "is_unified", info->is_unified);
    json_heaps(json, info);
}

static void
print_json(void *user, const device_entry *entry)
{
    json_writer *json = user;
    json_object(json);
    json_field_string(json, "backend", entry->backend->name);
    json_field_unsigned(json, "index", entry->index);
    json_field_bool(json, "is_available", entry->is_there);
    json_key(json, "reason");
    json_string(json, entry->is_there ? NULL : entry->reason);
    if (entry->is_there)
        json_info(json, &entry->info);
    json_end(json);
}

static void
print_all_json(void)
{
    json_writer json;
    json_init(&json, stdout);
    json_array(&json);
    list_all(print_json, &json);
    json_end(&json);
    json_finish(&json);
}

/* ---- For people ---- */

static void
print_line(const char *name, const char *value)
{
    printf("  %-20s %s\n", name, value);
}

/* 0 is what a device does not tell. */
static void
print_bytes(const char *name, uint64_t bytes)
{
    print_line(name, bytes ? text_of_bytes(bytes).text : "unknown");
}

static void
print_kinds(uint32_t kinds)
{
    char all[128] = "";
    for (unsigned kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        size_t used = strlen(all);
        if (kinds & DCMEM_KIND_BIT(kind))
            snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", dcmem_kind_name((dcmem_kind)kind));
    }
    print_line("kinds of memory", all);
}

static void
print_text(void *user, const device_entry *entry)
{
    unsigned *available = user;
    const dcmem_device_info *info = &entry->info;
    if (!entry->is_there) {
        printf("%s: not available\n", entry->backend->name);
        table_note(stdout, 2, WIDTH, entry->reason);
        fputc('\n', stdout);
        return;
    }

    ++*available;
    printf("%s %u: %s\n", entry->backend->name, entry->index, info->name);
    if (info->driver_version[0])
        print_line("driver", info->driver_version);
    if (info->pci[0])
        print_line("PCI", info->pci);
    print_kinds(info->kinds);
    print_bytes("total", info->total_bytes);
    print_bytes("free now", info->free_bytes);
    print_bytes("largest allocation", info->largest_allocation_bytes);
    print_bytes("granularity", info->granularity);
    print_bytes("alignment", info->alignment);
    print_bytes("cache line", info->cache_line_bytes);
    print_bytes("last-level cache", info->last_level_cache_bytes);
    if (info->numa_node >= 0)
        printf("  %-20s %d\n", "NUMA node", (int)info->numa_node);
    else
        print_line("NUMA node", "none");
    print_line("memory", info->capabilities & DCMEM_CAP_UNIFIED ? "shared with the host: no copies"
                         : info->is_unified                     ? "the host's, where it is mapped"
                                                                : "the device's own");
    fputc('\n', stdout);
}

static void
print_all_text(void)
{
    unsigned available = 0;
    list_all(print_text, &available);
    printf("%u device%s available. A program takes one with dcmem_manager_options.backend and .device.\n", available,
           available == 1 ? " is" : "s are");
}

static const char devices_text[] =
    "Lists the devices of this machine that dcmem can manage memory on, by backend. A backend without a device says "
    "why: a library that is not installed, a driver that is not loaded, a device that this user may not open.\n"
    "Nothing needs to be there: the CPU always is.\n";

static const char *const devices_examples[] = {
    "dcmem devices",
    "Lists all backends and devices.",
    "dcmem devices --json | jq '.[] | select(.is_available) | .name'",
    "The names of the devices that can be used.",
    NULL,
};

int
devices_main(int argc, char **argv)
{
    bool is_json = false, has_simulated = false;
    const option_spec options[] = {
        OPTION_FLAG("simulated", &has_simulated, "Also list the simulated devices of the testing kit."),
        OPTION_FLAG("json", &is_json, "Print one JSON object a device, in an array."),
        OPTION_END,
    };
    const command_spec command = {
        .name = "devices",
        .operands = "",
        .summary = "list backends and devices",
        .text = devices_text,
        .options = options,
        .examples = devices_examples,
        .exits = "0 the list was printed, whatever is available.\n1 it could not be printed.",
    };

    int count;
    options_outcome outcome = options_parse(&count, &command, argc, argv);
    if (outcome == OPTIONS_HELP)
        return cli_finish("devices", CLI_OK);
    if (outcome == OPTIONS_WRONG)
        return CLI_USAGE;
    if (count) {
        cli_complain("devices", "it takes no operand, but '%s' is one. See 'dcmem devices --help'.", argv[0]);
        return CLI_USAGE;
    }
    if (has_simulated && dcmem_simulated_register()) {
        cli_complain("devices", "the simulated devices are not available: %s", dcmem_last_detail()->message);
        return CLI_FAILED;
    }
    if (is_json)
        print_all_json();
    else
        print_all_text();
    return cli_finish("devices", CLI_OK);
}
