/* report.c: see report.h. */
#include "guard/report.h"

#include "base/fail.h"
#include "base/log.h"
#include "base/os.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_LEAKS 16u

/* "12 ms". */
static void
print_age(char *text, size_t capacity, uint64_t from_ns, uint64_t to_ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    uint64_t age = dcmi_less(to_ns, from_ns);
    unsigned unit = 0;
    while (unit < 3 && age < units[unit].ns)
        unit++;
    snprintf(text, capacity, "%llu %s", (unsigned long long)(age / units[unit].ns), units[unit].name);
}

void
dcmi_report_name(char *text, size_t capacity, const dcmi_record *record)
{
    const char *kind = dcmem_kind_name(dcmi_pool_kind(record->pool));
    if (record->buffer)
        snprintf(text, capacity, "%sbuffer %p, tag %u, %s, %llu bytes", record->is_host_side ? "host side of " : "",
                 (const void *)record->buffer, record->tag, kind, (unsigned long long)record->bytes);
    else
        snprintf(text, capacity, "block %p, %s, %llu bytes", (const void *)(uintptr_t)record->address, kind,
                 (unsigned long long)record->bytes);
}

static void
print_hex(char *text, size_t capacity, const uint8_t *bytes, uint32_t count)
{
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < count && length < capacity; i++)
        length += (size_t)snprintf(text + length, capacity - length, "%s%02x", i ? " " : "", bytes[i]);
}

/* Where the first wrong byte is, as its owner counts. */
static void
print_where(char *text, size_t capacity, const dcmi_record *record, dcmi_harm harm, uint64_t first)
{
    char age[24];
    unsigned long long offset = harm == DCMI_HARM_UNDERRUN ? record->zone_before - first : first;
    print_age(age, sizeof age, record->freed_ns, dcmi_os_now_ns());
    if (harm == DCMI_HARM_OVERRUN)
        snprintf(text, capacity, "behind its end, from offset %llu on", offset);
    else if (harm == DCMI_HARM_UNDERRUN)
        snprintf(text, capacity, "before its beginning, from offset -%llu on", offset);
    else
        snprintf(text, capacity, "after it was freed %s ago, from offset %llu on", age, offset);
}

static void
print_trails(char *text, size_t capacity, const dcmi_record *record)
{
    char taken[128], freed[128];
    dcmi_trail_print(taken, sizeof taken, &record->taken_by);
    dcmi_trail_print(freed, sizeof freed, &record->freed_by);
    snprintf(text, capacity, "%s%s%s%s", taken[0] ? "; allocated by " : "", taken, freed[0] ? "; freed by " : "",
             freed);
}

dcmem_result
dcmi_report_harm(const dcmi_record *record, dcmi_harm harm, const dcmi_damage *damage)
{
    static const char *const names[] = {"overrun", "underrun", "write after free"};
    char name[96], age[24], where[80], found[32], trails[300];
    dcmi_report_name(name, sizeof name, record);
    print_age(age, sizeof age, record->began_ns, dcmi_os_now_ns());
    print_where(where, sizeof where, record, harm, damage->first);
    print_hex(found, sizeof found, damage->found, damage->shown);
    print_trails(trails, sizeof trails, record);
    dcmem_result result = dcmi_fail(DCMEM_E_CORRUPTED, "%s: %s, %s old: %llu bytes written %s: %02x expected, %s found",
                                    names[harm], name, age, (unsigned long long)damage->count, where,
                                    harm == DCMI_HARM_FREED ? DCMI_FREED_BYTE : DCMI_ZONE_BYTE, found);
    dcmi_log(DCMEM_LOG_ERROR, "guard", "%s%s", dcmem_last_detail()->message, trails);
    return result;
}

static int
larger_first(const void *a, const void *b)
{
    const dcmi_record *first = a, *second = b;
    if (first->bytes != second->bytes)
        return first->bytes > second->bytes ? -1 : 1;
    return first->number < second->number ? -1 : 1;
}

void
dcmi_report_leaks(dcmi_record_copy *live)
{
    uint64_t rest = 0, now = dcmi_os_now_ns();
    qsort(live->records, live->count, sizeof live->records[0], larger_first);
    for (uint64_t i = 0; i < live->count; i++) {
        const dcmi_record *record = &live->records[i];
        char name[96], age[24], trails[300];
        if (i >= MOST_LEAKS) {
            rest += record->bytes;
            continue;
        }
        dcmi_report_name(name, sizeof name, record);
        print_age(age, sizeof age, record->began_ns, now);
        print_trails(trails, sizeof trails, record);
        dcmi_log(DCMEM_LOG_WARNING, "guard", "leak: %s, %s old%s", name, age, trails);
    }
    if (live->count > MOST_LEAKS)
        dcmi_log(DCMEM_LOG_WARNING, "guard", "leak: %llu more of %llu bytes",
                 (unsigned long long)live->count - MOST_LEAKS, (unsigned long long)rest);
}
