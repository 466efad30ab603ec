/* devices.c: every backend, and each of its devices or the reason why there is none; or how far they are from each
 * other. */
#include "cli/devices.h"

#include "cli/choose.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/matrix.h"
#include "cli/numbers.h"
#include "cli/options.h"
#include "cli/table.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <string.h>

#define WIDTH        100u
#define MATRIX_BYTES (64ull << 20)

#define EVERY_DEVICE UINT64_MAX

/* What is asked for. */
typedef struct devices_request {
    const char *backend_name; /* NULL: all */
    uint64_t device;          /* or EVERY_DEVICE */
    uint64_t bytes;           /* of large copies; 0: the default */
    bool has_simulated, is_matrix, is_json, is_quiet;

    const dcmem_backend *backend; /* of that name */
} devices_request;

/* What is known of one device, or of a backend that has none. */
typedef struct device_entry {
    const char *backend_name;
    const dcmem_backend *backend; /* NULL: one that is to come */
    uint32_t index;
    char name[32]; /* "opencl 1"; of a backend without a device "opencl" */
    bool is_there;
    char reason[256];
    dcmem_device_info info;
    uint64_t first_answer_ns, answer_ns; /* how long its backend looked for devices, and said it again */
} device_entry;

typedef void device_print(void *user, const device_entry *entry);

static void
note_reason(device_entry *entry, const char *reason)
{
    entry->is_there = false;
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
}

/* Twice: what is not there should cost no more than once. */
static dcmem_result
count_devices(uint32_t *out, device_entry *entry)
{
    const dcmem_backend *backend = entry->backend;
    uint64_t begin = now_ns();
    (void)backend->count(out, backend); /* The second answer is the same. */
    uint64_t middle = now_ns();
    dcmem_result result = backend->count(out, backend);
    entry->first_answer_ns = middle - begin;
    entry->answer_ns = now_ns() - middle;
    return result;
}

static void
list_device(device_entry *entry, uint32_t index, device_print *print, void *user)
{
    memset(&entry->info, 0, sizeof entry->info);
    entry->info.size = sizeof entry->info;
    entry->index = index;
    entry->is_there = true;
    snprintf(entry->name, sizeof entry->name, "%.16s %u", entry->backend->name, index);
    if (dcmem_device_describe(&entry->info, entry->backend->name, index))
        note_reason(entry, dcmem_last_detail()->message);
    print(user, entry);
}

/* Tells `print` of each device of a backend, or once why there is none. */
static void
list_backend(const dcmem_backend *backend, uint64_t device, device_print *print, void *user)
{
    device_entry entry = {.backend_name = backend->name, .backend = backend};
    uint32_t count = 0;
    snprintf(entry.name, sizeof entry.name, "%.16s", backend->name);
    if (count_devices(&count, &entry)) {
        note_reason(&entry, dcmem_last_detail()->message);
        print(user, &entry);
        return;
    }
    if (count == 0) {
        note_reason(&entry, "the driver is there but finds no device");
        print(user, &entry);
    } else if (device != EVERY_DEVICE) {
        list_device(&entry, (uint32_t)device, print, user);
        return;
    }
    for (uint32_t index = 0; index < count; index++)
        list_device(&entry, index, print, user);
}

/* Names that are kept for backends to come: the library says what is the matter with each. */
static void
list_to_come(const devices_request *request, device_print *print, void *user)
{
    static const char *const names[] = {"cuda", "hip", "level_zero", "metal"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !request->backend; i++) {
        dcmem_device_info info = {.size = sizeof info};
        device_entry entry = {.backend_name = names[i]};
        if (dcmem_backend_find(names[i]) || !dcmem_device_describe(&info, names[i], 0))
            continue; /* it has come, and was listed */
        snprintf(entry.name, sizeof entry.name, "%s", names[i]);
        note_reason(&entry, dcmem_last_detail()->message);
        print(user, &entry);
    }
}

static void
list_all(const devices_request *request, device_print *print, void *user)
{
    if (request->backend) {
        list_backend(request->backend, request->device, print, user);
        return;
    }
    for (uint32_t i = 0; i < dcmem_backend_count(); i++)
        list_backend(dcmem_backend_at(i), EVERY_DEVICE, print, user);
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
    json_field_string(json, "backend", entry->backend_name);
    json_field_unsigned(json, "index", entry->index);
    json_field_bool(json, "is_available", entry->is_there);
    json_key(json, "reason");
    json_string(json, entry->is_there ? NULL : entry->reason);
    json_field_unsigned(json, "first_answer_ns", entry->first_answer_ns);
    json_field_unsigned(json, "answer_ns", entry->answer_ns);
    if (entry->is_there)
        json_info(json, &entry->info);
    json_end(json);
}

static void
print_all_json(const devices_request *request)
{
    json_writer json;
    json_init(&json, stdout);
    json_array(&json);
    list_all(request, print_json, &json);
    list_to_come(request, print_json, &json);
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
        printf("%s: not available\n", entry->name);
        table_note(stdout, 2, WIDTH, entry->reason);
        fputc('\n', stdout);
        return;
    }

    ++*available;
    printf("%s: %s\n", entry->name, info->name);
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
print_all_text(const devices_request *request)
{
    unsigned available = 0;
    list_all(request, print_text, &available);
    list_to_come(request, print_text, &available);
    printf("%u device%s available. A program takes one with dcmem_manager_options.backend and .device.\n", available,
           available == 1 ? " is" : "s are");
}

/* ---- The matrix ---- */

static void
add_place(void *user, const device_entry *entry)
{
    matrix_add(user, entry->name, entry->backend, entry->index, entry->info.name,
               entry->is_there ? NULL : entry->reason);
}

/* CLI_FAILED when a pair could not be measured, and when there is no pair. */
static int
measure_matrix(const devices_request *request)
{
    transfer_matrix matrix;
    matrix_init(&matrix);
    list_all(request, add_place, &matrix);
    matrix_measure(&matrix, request->bytes ? request->bytes : MATRIX_BYTES, request->is_quiet || request->is_json);
    if (matrix.pair_count == 0) {
        cli_complain("devices", "there is no device to measure. See 'dcmem devices'.");
        matrix.failed_count++;
    }
    if (request->is_json)
        matrix_print_json(&matrix);
    else
        matrix_print_tables(&matrix, !request->is_quiet);
    int code = matrix.failed_count ? CLI_FAILED : CLI_OK;
    matrix_fini(&matrix);
    return code;
}

/* ---- The command ---- */

static const char devices_text[] =
    "Lists the devices of this machine that dcmem can manage memory on, by backend. A backend without a device says "
    "why: a library that is not installed, a driver that is not loaded, a device that this user may not open.\n"
    "Nothing needs to be there: the CPU always is.\n"
    "With --matrix it measures how far the host's memory and that of the devices are from each other: the latency of "
    "a copy of 64 bytes and the bandwidth of large ones, from each to each and within each device, about a second a "
    "pair. All bytes are compared afterwards.\n";

static const char *const devices_examples[] = {
    "dcmem devices",
    "Lists all backends and devices.",
    "dcmem devices --json | jq '.[] | select(.is_available) | .name'",
    "The names of the devices that can be used.",
    "dcmem devices --matrix --backend opencl",
    "Measures the copies between the host and the devices of OpenCL, and among these.",
    NULL,
};

/* Options that say nothing without another. */
static int
check_request(const devices_request *request)
{
    const char *alone = NULL, *missing = "--matrix";
    if (request->bytes && !request->is_matrix)
        alone = "--bytes";
    else if (request->is_quiet && !request->is_matrix)
        alone = "--quiet";
    else if (request->device != EVERY_DEVICE && !request->backend_name)
        alone = "--device", missing = "--backend";
    if (!alone)
        return CLI_OK;
    cli_complain("devices", "%s needs %s. See 'dcmem devices --help'.", alone, missing);
    return CLI_USAGE;
}

/* Registers what must be, and finds the backend that is named. */
static int
prepare_backends(devices_request *request)
{
    int code = CLI_OK;
    if (request->has_simulated && dcmem_simulated_register()) {
        cli_complain("devices", "the simulated devices are not available: %s", dcmem_last_detail()->message);
        return CLI_FAILED;
    }
    if (request->backend_name) {
        request->backend = choose_backend(&code, "devices", request->backend_name);
        if (!request->backend)
            return code;
    }
    /* Their copies take the time of their links, so that it can be measured. */
    const dcmem_backend *simulated = dcmem_backend_find("simulated");
    if (simulated && request->is_matrix)
        (void)dcmem_simulated_set_real_time(simulated, true); /* It is one: that cannot fail. */
    return CLI_OK;
}

int
devices_main(int argc, char **argv)
{
    devices_request request = {.device = EVERY_DEVICE};
    const option_spec options[] = {
        OPTION_FLAG("matrix", &request.is_matrix, "Measure copies between each two memories instead."),
        OPTION_TEXT("backend", "NAME", &request.backend_name, "Only this backend. Default: all."),
        OPTION_NUMBER("device", "N", &request.device, 0, UINT32_MAX,
                      "Only the device of this index of --backend. Default: all."),
        OPTION_FLAG("simulated", &request.has_simulated, "Also the simulated devices of the testing kit."),
        OPTION_NUMBER("bytes", "N", &request.bytes, DISTANCE_LEAST_BYTES, DISTANCE_MOST_BYTES,
                      "Of --matrix: size of large copies, less where they are slow. Default: 67108864."),
        OPTION_FLAG("json", &request.is_json,
                    "Print JSON: one object a device, in an array; of --matrix one object with places and pairs."),
        OPTION_FLAG("quiet", &request.is_quiet, "Of --matrix: no progress bar and no notes below the tables."),
        OPTION_END,
    };
    const command_spec command = {
        .name = "devices",
        .operands = "",
        .summary = "list backends and devices, or measure copies between them",
        .text = devices_text,
        .options = options,
        .examples = devices_examples,
        .exits = "0 the list was printed, whatever is available; all pairs were measured.\n"
                 "1 it could not be printed; a pair could not be measured, or its bytes were wrong.",
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
    int code = check_request(&request);
    if (!code)
        code = prepare_backends(&request);
    if (code)
        return code;
    if (request.is_matrix)
        return cli_finish("devices", measure_matrix(&request));
    if (request.is_json)
        print_all_json(&request);
    else
        print_all_text(&request);
    return cli_finish("devices", CLI_OK);
}
