/* contract_suite.c: opens the device under test; the clauses of the required group, the properties, MAP and IMPORT. */
#include "contract_kit.h"

#include <pthread.h>

/* ---- Opening ---- */

static uint64_t
capability_of(const char *group)
{
    static const struct {
        const char *name;
        uint64_t capability;
    } all[] = {
        {"REQUIRED", 0},
        {"MAP", DCMEM_CAP_MAP},
        {"ASYNC", DCMEM_CAP_ASYNC},
        {"VIRTUAL", DCMEM_CAP_VIRTUAL},
        {"PEER", DCMEM_CAP_PEER},
        {"IMPORT", DCMEM_CAP_IMPORT},
        {"IPC", DCMEM_CAP_IPC},
        {"UNIFIED", DCMEM_CAP_UNIFIED},
        {"DIVISIBLE", DCMEM_CAP_DIVISIBLE},
        {"ADDRESSED", DCMEM_CAP_ADDRESSED},
    };
    size_t i = 0;
    while (strcmp(all[i].name, group) != 0)
        i++;
    return all[i].capability;
}

void
contract_run(contract_subject subject, const char *group, contract_clause clause)
{
    uint32_t count = 0;
    contract_device device = {.backend = subject.backend, .options = subject.options};
    dcmem_result result = subject.backend->count(&count, subject.backend);
    if (result == DCMEM_E_UNAVAILABLE)
        skip_for(subject.backend->name, dcmem_last_detail()->message);
    EXPECT_OK(result);
    if (count <= subject.options.index)
        skip_for(subject.backend->name, "no such device");

    device.handle = open_again(&device);
    device.info = (dcmem_device_info){.size = sizeof device.info, .numa_node = -1};
    EXPECT_OK(subject.backend->info(&device.info, device.handle));
    bool is_there = has(&device, capability_of(group));
    if (is_there)
        clause(&device);
    subject.backend->close(device.handle);
    if (!is_there)
        skip_for(group, "the device does not have it");
}

/* ---- Required: table, count, open, info ---- */

void
contract_its_table_passes_the_check(contract_device *device)
{
    EXPECT_OK(dcmem_backend_check(device->backend));
}

void
contract_it_counts_the_same_devices_again(contract_device *device)
{
    uint32_t first = 0, second = 1;
    EXPECT_OK(device->backend->count(&first, device->backend));
    EXPECT_OK(device->backend->count(&second, device->backend));
    EXPECT_EQ(first, second);
    EXPECT_GE(first, device->options.index + 1);
}

void
contract_an_index_past_the_count_opens_nothing(contract_device *device)
{
    uint32_t count = 0;
    void *handle = &count;
    dcmem_open options = device->options;
    EXPECT_OK(device->backend->count(&count, device->backend));
    options.index = count;
    dcmem_result result = device->backend->open(&handle, device->backend, &options);
    EXPECT(result != DCMEM_OK);
    EXPECT_EQ(dcmem_last_detail()->result, result);
    EXPECT(handle == &count);
}

void
contract_its_info_is_possible(contract_device *device)
{
    const dcmem_device_info *info = &device->info;
    EXPECT_EQ(info->size, sizeof *info);
    EXPECT(memchr(info->backend, 0, sizeof info->backend) && memchr(info->name, 0, sizeof info->name));
    EXPECT(memchr(info->driver_version, 0, sizeof info->driver_version) && memchr(info->pci, 0, sizeof info->pci));
    EXPECT(info->name[0] != '\0');
    EXPECT(has_kind(device, DCMEM_KIND_HOST));
    EXPECT(!(info->kinds >> DCMEM_KIND_COUNT));
    EXPECT_LE(info->heap_count, DCMEM_MAX_HEAPS);
    EXPECT(info->total_bytes > 0 && info->free_bytes <= info->total_bytes);
    EXPECT(info->largest_allocation_bytes > 0);
    EXPECT(info->alignment && !(info->alignment & (info->alignment - 1)));
    EXPECT(info->granularity && !(info->granularity & (info->granularity - 1)));
    EXPECT(!(info->capabilities & ~device->backend->capabilities));
    EXPECT(!has(device, DCMEM_CAP_UNIFIED) || info->is_unified);
}

void
contract_it_opens_and_closes_again_and_again(contract_device *device)
{
    for (int i = 0; i < 20; i++)
        device->backend->close(open_again(device));
}

void
contract_it_can_be_opened_twice_at_once(contract_device *device)
{
    contract_device other = *device;
    other.handle = open_again(device);
    dcmem_extent mine = acquire_main(device, 64 * KIB), theirs = acquire_main(&other, 64 * KIB);
    write_pattern(device, &mine, 0, 64 * KIB, 1);
    write_pattern(&other, &theirs, 0, 64 * KIB, 2);
    EXPECT_PATTERN(device, &mine, 0, 64 * KIB, 1);
    release(&other, &theirs);
    device->backend->close(other.handle);
    EXPECT_PATTERN(device, &mine, 0, 64 * KIB, 1);
    release(device, &mine);
}

/* ---- Required: acquire and release ---- */

void
contract_acquire_gives_what_was_asked_of_every_kind(contract_device *device)
{
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        for (uint64_t bytes = 1; bytes <= MIB; bytes *= 32) {
            dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = bytes, .kind = (dcmem_kind)kind});
            EXPECT_EQ(extent.address % device->info.alignment, 0);
            release(device, &extent);
            dcmem_extent grown =
                acquire(device, (dcmem_acquire){.bytes = bytes, .kind = (dcmem_kind)kind, .flags = DCMEM_ACQUIRE_GROW});
            release(device, &grown);
        }
    }
}

void
contract_acquire_keeps_alignments(contract_device *device)
{
    uint64_t alignment = device->info.alignment;
    do {
        dcmem_extent extent =
            acquire(device, (dcmem_acquire){.bytes = 64 * KIB, .alignment = alignment, .kind = main_kind(device)});
        EXPECT_EQ(extent.address % alignment, 0);
        write_pattern(device, &extent, 0, 64 * KIB, alignment);
        EXPECT_PATTERN(device, &extent, 0, 64 * KIB, alignment);
        release(device, &extent);
        alignment *= 2;
    } while (alignment <= 2 * MIB);
}

void
contract_a_kind_that_it_has_not_is_refused(contract_device *device)
{
    for (int kind = 0; kind <= DCMEM_KIND_COUNT; kind++) {
        if (has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_extent extent = {.bytes = 42};
        const dcmem_acquire request = {.bytes = whole_units(device, 1), .kind = (dcmem_kind)kind};
        EXPECT_RESULT(device->backend->acquire(&extent, device->handle, on_behalf(), &request), DCMEM_E_UNSUPPORTED);
        EXPECT_EQ(extent.bytes, 42);
    }
}

void
contract_what_is_impossible_is_refused_and_leaves_it_well(contract_device *device)
{
    for (unsigned bit = 50; bit < 64; bit++) {
        dcmem_extent extent = {.bytes = 42};
        const dcmem_acquire request = {.bytes = 1ull << bit, .kind = main_kind(device)};
        dcmem_result result = device->backend->acquire(&extent, device->handle, on_behalf(), &request);
        EXPECT_EQ(dcmem_result_class_of(result), DCMEM_CLASS_RESOURCE);
        EXPECT_EQ(dcmem_last_detail()->result, result);
        EXPECT(dcmem_last_detail()->message[0] != '\0');
        EXPECT_EQ(extent.bytes, 42);
    }
    dcmem_extent extent = acquire_main(device, 64 * KIB);
    release(device, &extent);
}

void
contract_extents_do_not_overlap(contract_device *device)
{
    enum { COUNT = 20 };
    dcmem_extent extent[COUNT];
    uint64_t bytes = whole_units(device, 20 * KIB);
    for (uint64_t i = 0; i < COUNT; i++) {
        extent[i] = acquire(
            device,
            (dcmem_acquire){.bytes = bytes, .kind = main_kind(device), .flags = i & 1 ? DCMEM_ACQUIRE_GROW : 0});
        write_pattern(device, &extent[i], 0, bytes, i);
    }
    for (uint64_t i = 0; i < COUNT; i += 3) {
        release(device, &extent[i]);
        extent[i] = acquire_main(device, bytes);
        write_pattern(device, &extent[i], 0, bytes, i);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        EXPECT_PATTERN(device, &extent[i], 0, bytes, i);
        release(device, &extent[i]);
    }
}

void
contract_memory_that_was_released_comes_again(contract_device *device)
{
    uint64_t most = device->info.free_bytes / 4;
    if (most > device->info.largest_allocation_bytes)
        most = device->info.largest_allocation_bytes;
    if (most > 64 * MIB)
        most = 64 * MIB;
    /* A device that forgets what it got back has none left long before this ends. */
    most = most / device->info.granularity * device->info.granularity;
    uint64_t rounds = device->info.free_bytes / most < 1000 ? 2 * device->info.free_bytes / most : 1000;
    for (uint64_t i = 0; most && i < rounds; i++) {
        dcmem_extent extent = acquire_main(device, most);
        release(device, &extent);
    }
}

void
contract_host_memory_can_be_touched(contract_device *device)
{
    static const dcmem_kind kinds[] = {DCMEM_KIND_HOST, DCMEM_KIND_PINNED};
    for (int i = 0; i < 2; i++) {
        if (!has_kind(device, kinds[i]))
            continue;
        uint64_t bytes = whole_units(device, 32 * KIB);
        dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = bytes, .kind = kinds[i]});
        EXPECT(extent.host != NULL);
        memset(extent.host, 0x5a, extent.bytes);
        EXPECT_EQ(((unsigned char *)extent.host)[extent.bytes - 1], 0x5a);
        release(device, &extent);
    }
}

/* ---- Required: copy and fill ---- */

void
contract_copies_there_and_back_are_exact(contract_device *device)
{
    static const uint64_t sizes[] = {1, 2, 3, 15, 64, 100, 4096, 65535, 3 * MIB + 5};
    dcmem_extent extent = acquire_main(device, 4 * MIB);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint64_t offset = 0; offset < 70; offset += 23) {
            write_pattern(device, &extent, offset, sizes[i], i + offset);
            EXPECT_PATTERN(device, &extent, offset, sizes[i], i + offset);
        }
    release(device, &extent);
}

void
contract_copies_between_extents_are_exact(contract_device *device)
{
    uint64_t bytes = 300 * KIB;
    dcmem_extent from = acquire_main(device, bytes);
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_extent to = acquire(device, (dcmem_acquire){.bytes = bytes, .kind = (dcmem_kind)kind});
        write_pattern(device, &from, 0, bytes, 1);
        write_pattern(device, &to, 0, bytes, 2);
        copy(device, in_extent(&to, 0), in_extent(&from, 0), bytes);
        EXPECT_PATTERN(device, &to, 0, bytes, 1);
        write_pattern(device, &to, 1000, 1, 3);
        copy(device, in_extent(&from, 7), in_extent(&to, 1000), 1);
        EXPECT_PATTERN(device, &from, 7, 1, 3);
        release(device, &to);
    }
    release(device, &from);
}

void
contract_copies_within_an_extent_are_exact(contract_device *device)
{
    dcmem_extent extent = acquire_main(device, 256 * KIB);
    write_pattern(device, &extent, 0, 100 * KIB, 1);
    copy(device, in_extent(&extent, 100 * KIB), in_extent(&extent, 0), 100 * KIB);
    EXPECT_PATTERN(device, &extent, 0, 100 * KIB, 1);
    EXPECT_PATTERN(device, &extent, 100 * KIB, 100 * KIB, 1);
    release(device, &extent);
}

void
contract_copies_from_host_to_host_are_exact(contract_device *device)
{
    unsigned char *from = pattern_make(1, 50000), *to = pattern_make(2, 50000);
    copy(device, in_host(to + 5), in_host(from), 49990);
    EXPECT(memcmp(to + 5, from, 49990) == 0);
    EXPECT_EQ(to[4], byte_at(2, 4));
    EXPECT_EQ(to[49995], byte_at(2, 49995));
    free(from);
    free(to);
}

static void
expect_filled(contract_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes,
              uint32_t pattern_bytes)
{
    enum { AROUND = 128 };
    static const unsigned char pattern[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const dcmem_place to = in_extent(extent, offset);
    uint64_t whole = offset + bytes + AROUND;
    write_pattern(device, extent, 0, whole, 1);
    EXPECT_OK(device->backend->fill(device->handle, on_behalf(), &to, bytes, pattern, pattern_bytes));

    unsigned char *found = malloc(whole);
    EXPECT(found != NULL);
    copy(device, in_host(found), in_extent(extent, 0), whole);
    for (uint64_t i = 0; i < whole; i++) {
        bool is_inside = offset <= i && i < offset + bytes;
        unsigned char wanted = is_inside ? pattern[(i - offset) % pattern_bytes] : byte_at(1, i);
        if (found[i] != wanted)
            fail_msg("pattern of %u bytes, %llu at %llu: byte %llu is %u, not %u", pattern_bytes,
                     (unsigned long long)bytes, (unsigned long long)offset, (unsigned long long)i, found[i], wanted);
    }
    free(found);
}

void
contract_fills_repeat_each_pattern_and_touch_nothing_else(contract_device *device)
{
    dcmem_extent extent = acquire_main(device, 2 * MIB);
    for (uint32_t pattern_bytes = 1; pattern_bytes <= 16; pattern_bytes *= 2) {
        for (uint64_t units = 1; units <= 300; units = units * 3 + 1) {
            expect_filled(device, &extent, 0, units * pattern_bytes, pattern_bytes);
            expect_filled(device, &extent, 7 * pattern_bytes, units * pattern_bytes, pattern_bytes);
        }
        expect_filled(device, &extent, 16, MIB + 16, pattern_bytes);
    }
    release(device, &extent);
}

void
contract_what_is_direct_is_where_copies_and_fills_go(contract_device *device)
{
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = 64 * KIB, .kind = (dcmem_kind)kind});
        unsigned char *direct = extent.direct;
        if (direct) {
            write_pattern(device, &extent, 0, 64 * KIB, 1);
            for (uint64_t i = 0; i < 64 * KIB; i++)
                EXPECT_EQ(direct[i], byte_at(1, i));
            for (uint64_t i = 0; i < 3000; i++)
                direct[5000 + i] = byte_at(2, i);
            EXPECT_PATTERN(device, &extent, 5000, 3000, 2);
            const dcmem_place place = {.extent = &extent, .offset = 5000};
            EXPECT_OK(device->backend->fill(device->handle, on_behalf(), &place, 3000, "d", 1));
            EXPECT_EQ(direct[5000], 'd');
            EXPECT_EQ(direct[7999], 'd');
            EXPECT_EQ(direct[8000], byte_at(1, 8000));
        }
        release(device, &extent);
    }
}

/* ---- Required: threads ---- */

typedef struct worker {
    contract_device *device;
    uint64_t seed;
    const char *complaint;
} worker;

/* cmocka fails in the main thread only: here complaints are kept for it. */
static void *
use_device(void *user)
{
    worker *self = user;
    const dcmem_backend *backend = self->device->backend;
    void *handle = self->device->handle;
    unsigned char wrote[4096], found[4096];
    for (uint64_t i = 0; i < 200 && !self->complaint; i++) {
        dcmem_extent extent;
        const dcmem_acquire request = {
            .bytes = whole_units(self->device, (1 + i % 5) * sizeof wrote),
            .kind = main_kind(self->device),
            .flags = i & 1 ? DCMEM_ACQUIRE_GROW : 0,
        };
        for (uint64_t j = 0; j < sizeof wrote; j++)
            wrote[j] = byte_at(self->seed + i, j);
        if (backend->acquire(&extent, handle, on_behalf(), &request)) {
            self->complaint = "acquire failed";
            break;
        }
        const dcmem_place there = in_extent(&extent, extent.bytes - sizeof wrote);
        const dcmem_place from = in_host(wrote), to = in_host(found);
        if (backend->copy(handle, on_behalf(), &there, &from, sizeof wrote) ||
            backend->copy(handle, on_behalf(), &to, &there, sizeof wrote))
            self->complaint = "copy failed";
        else if (memcmp(wrote, found, sizeof wrote) != 0)
            self->complaint = "another thread's bytes";
        if (backend->release(handle, on_behalf(), &extent))
            self->complaint = "release failed";
    }
    return NULL;
}

void
contract_several_threads_can_use_it_at_once(contract_device *device)
{
    enum { COUNT = 4 };
    pthread_t thread[COUNT];
    worker workers[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        workers[i] = (worker){.device = device, .seed = i * 1000};
        EXPECT_EQ(pthread_create(&thread[i], NULL, use_device, &workers[i]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < COUNT; i++)
        if (workers[i].complaint)
            fail_msg("thread %d: %s", i, workers[i].complaint);
}

/* ---- Properties ---- */

void
contract_every_extent_is_the_host_s(contract_device *device)
{
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++) {
        if (!has_kind(device, (dcmem_kind)kind))
            continue;
        dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = 64 * KIB, .kind = (dcmem_kind)kind});
        EXPECT(extent.host != NULL);
        for (uint64_t i = 0; i < 64 * KIB; i++)
            ((unsigned char *)extent.host)[i] = byte_at(1, i);
        if (device->info.flush_bytes)
            EXPECT_OK(device->backend->flush(device->handle, on_behalf(), &extent, 0, 64 * KIB));
        EXPECT_PATTERN(device, &extent, 0, 64 * KIB, 1);
        write_pattern(device, &extent, 100, 1000, 2);
        if (device->info.flush_bytes)
            EXPECT_OK(device->backend->invalidate(device->handle, on_behalf(), &extent, 0, 64 * KIB));
        EXPECT_EQ(((unsigned char *)extent.host)[100], byte_at(2, 0));
        EXPECT_EQ(((unsigned char *)extent.host)[1099], byte_at(2, 999));
        release(device, &extent);
    }
}

void
contract_addresses_are_unique_over_two_devices(contract_device *device)
{
    enum { COUNT = 16 };
    dcmem_extent extent[COUNT];
    contract_device other = *device;
    other.handle = open_again(device);
    for (int i = 0; i < COUNT; i++) {
        extent[i] = acquire_main(i & 1 ? &other : device, 64 * KIB);
        EXPECT(extent[i].address != 0);
        EXPECT(extent[i].address + extent[i].bytes <= 1ull << 47);
        for (int j = 0; j < i; j++)
            EXPECT(extent[i].address >= extent[j].address + extent[j].bytes ||
                   extent[j].address >= extent[i].address + extent[i].bytes);
    }
    for (int i = 0; i < COUNT; i++)
        release(i & 1 ? &other : device, &extent[i]);
    device->backend->close(other.handle);
}

static dcmem_extent
grow(contract_device *device, uint64_t bytes, uint32_t lane, const dcmem_extent *near)
{
    return acquire(device, (dcmem_acquire){.bytes = bytes,
                                           .kind = main_kind(device),
                                           .flags = DCMEM_ACQUIRE_GROW,
                                           .lane = lane,
                                           .near = near ? near->address + near->bytes : 0});
}

void
contract_a_part_can_go_and_the_rest_keeps_its_contents(contract_device *device)
{
    uint64_t unit = whole_units(device, 64 * KIB);
    for (int grows = 0; grows < 2; grows++) {
        dcmem_extent whole = acquire(
            device,
            (dcmem_acquire){.bytes = 8 * unit, .kind = main_kind(device), .flags = grows ? DCMEM_ACQUIRE_GROW : 0});
        /* Head, tail, middle: in that order, then what they left. */
        static const struct {
            uint64_t from, count;
        } parts[] = {{0, 1}, {7, 1}, {3, 2}, {5, 2}, {1, 2}};
        bool is_gone[8] = {false};
        write_pattern(device, &whole, 0, 8 * unit, 1);
        unsigned char *pattern = pattern_make(1, 8 * unit), *found = malloc(unit);
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            dcmem_extent part = part_of(&whole, parts[i].from * unit, parts[i].count * unit);
            release(device, &part);
            for (uint64_t j = 0; j < parts[i].count; j++)
                is_gone[parts[i].from + j] = true;
            for (uint64_t j = 0; j < 8; j++) {
                if (is_gone[j])
                    continue;
                dcmem_extent rest = part_of(&whole, j * unit, unit);
                copy(device, in_host(found), in_extent(&rest, 0), unit);
                EXPECT(memcmp(found, pattern + j * unit, unit) == 0);
            }
        }
        free(pattern);
        free(found);
    }
}

/* Grows until two extents are neighbours; a device may refuse to place them so. */
static bool
grow_neighbours(contract_device *device, dcmem_extent *first, dcmem_extent *second, uint64_t bytes)
{
    *first = grow(device, bytes, 1, NULL);
    *second = grow(device, bytes, 1, first);
    if (first->address + first->bytes == second->address)
        return true;
    release(device, first);
    release(device, second);
    return false;
}

void
contract_neighbours_can_be_used_and_go_as_one(contract_device *device)
{
    dcmem_extent first, second;
    uint64_t bytes = whole_units(device, 128 * KIB);
    if (!grow_neighbours(device, &first, &second, bytes))
        skip_for("neighbours", "the device places no extent behind another");
    dcmem_extent both = part_of(&first, 0, first.bytes + second.bytes);
    write_pattern(device, &both, 0, both.bytes, 1);
    EXPECT_PATTERN(device, &both, 0, both.bytes, 1);

    /* From within the one into the other. */
    dcmem_extent across = part_of(&both, bytes / 2 / device->info.granularity * device->info.granularity, bytes);
    uint64_t before = across.address - both.address;
    release(device, &across);
    EXPECT_PATTERN(device, &both, 0, before, 1);
    dcmem_extent head = part_of(&both, 0, before);
    dcmem_extent tail = part_of(&both, before + bytes, both.bytes - before - bytes);
    if (head.bytes)
        release(device, &head);
    release(device, &tail);

    if (grow_neighbours(device, &first, &second, bytes)) {
        both = part_of(&first, 0, first.bytes + second.bytes);
        release(device, &both);
    }
}

void
contract_lanes_lie_apart(contract_device *device)
{
    dcmem_extent one = grow(device, 64 * KIB, 1, NULL), two = grow(device, 64 * KIB, 2, NULL);
    EXPECT(one.address + one.bytes != two.address && two.address + two.bytes != one.address);
    release(device, &one);
    release(device, &two);
}

void
contract_what_went_can_be_had_again(contract_device *device)
{
    dcmem_extent last = grow(device, 64 * KIB, 1, NULL), anchor = last;
    for (uint64_t i = 0; i < 300; i++) {
        dcmem_extent next = grow(device, 1 * MIB, 1, i & 1 ? &last : NULL);
        write_pattern(device, &next, MIB - 100, 100, i);
        EXPECT_PATTERN(device, &next, MIB - 100, 100, i);
        if (i > 0)
            release(device, &last);
        last = next;
    }
    release(device, &last);
    release(device, &anchor);
}

/* ---- Map ---- */

/* Maps all kinds that the host can map, one after the other; a device's own memory may be out of its reach. */
static bool
can_map(contract_device *device, dcmem_kind kind)
{
    if (!has_kind(device, kind))
        return false;
    if (kind != DCMEM_KIND_DEVICE || has(device, DCMEM_CAP_UNIFIED))
        return true;
    void *host = NULL;
    dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = 4 * KIB, .kind = kind});
    dcmem_result result =
        device->backend->map(&host, device->handle, on_behalf(), &extent, 0, 4 * KIB, DCMEM_MAP_READ_BIT);
    if (!result)
        EXPECT_OK(device->backend->unmap(device->handle, on_behalf(), &extent, host));
    else
        EXPECT_EQ(result, DCMEM_E_UNSUPPORTED);
    release(device, &extent);
    return result == DCMEM_OK;
}

static unsigned char *
map(contract_device *device, const dcmem_extent *extent, uint64_t offset, uint64_t bytes, uint32_t flags)
{
    void *host = NULL;
    EXPECT_OK(device->backend->map(&host, device->handle, on_behalf(), extent, offset, bytes, flags));
    EXPECT(host != NULL);
    return host;
}

static void
unmap(contract_device *device, const dcmem_extent *extent, void *host)
{
    EXPECT_OK(device->backend->unmap(device->handle, on_behalf(), extent, host));
}

#define FOR_MAPPED_EXTENTS(device, extent)                                                                             \
    for (int kind = 0; kind < DCMEM_KIND_COUNT; kind++)                                                                \
        if (can_map(device, (dcmem_kind)kind))                                                                         \
            for (dcmem_extent extent = acquire(device, (dcmem_acquire){.bytes = 64 * KIB, .kind = (dcmem_kind)kind});  \
                 extent.bytes; release(device, &extent), extent.bytes = 0)

void
contract_a_map_shows_what_was_copied_in(contract_device *device)
{
    FOR_MAPPED_EXTENTS(device, extent)
    {
        write_pattern(device, &extent, 0, 64 * KIB, 1);
        unsigned char *host = map(device, &extent, 1000, 3000, DCMEM_MAP_READ_BIT);
        EXPECT_OK(device->backend->invalidate(device->handle, on_behalf(), &extent, 1000, 3000));
        for (uint64_t i = 0; i < 3000; i++)
            EXPECT_EQ(host[i], byte_at(1, 1000 + i));
        unmap(device, &extent, host);
    }
}

void
contract_what_is_written_through_a_map_arrives(contract_device *device)
{
    FOR_MAPPED_EXTENTS(device, extent)
    {
        write_pattern(device, &extent, 0, 64 * KIB, 1);
        unsigned char *host = map(device, &extent, 5000, 700, DCMEM_MAP_WRITE_BIT | DCMEM_MAP_DISCARD_BIT);
        for (uint64_t i = 0; i < 700; i++)
            host[i] = byte_at(2, i);
        EXPECT_OK(device->backend->flush(device->handle, on_behalf(), &extent, 5000, 700));
        unmap(device, &extent, host);
        EXPECT_PATTERN(device, &extent, 5000, 700, 2);
        EXPECT_PATTERN(device, &extent, 0, 4000, 1);
    }
}

void
contract_maps_nest(contract_device *device)
{
    FOR_MAPPED_EXTENTS(device, extent)
    {
        write_pattern(device, &extent, 0, 64 * KIB, 1);
        unsigned char *outer = map(device, &extent, 0, 64 * KIB, DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT);
        unsigned char *inner = map(device, &extent, 100, 10, DCMEM_MAP_READ_BIT);
        EXPECT_OK(device->backend->invalidate(device->handle, on_behalf(), &extent, 0, 64 * KIB));
        EXPECT_EQ(inner[9], byte_at(1, 109));
        unmap(device, &extent, inner);
        EXPECT_EQ(outer[109], byte_at(1, 109));
        unmap(device, &extent, outer);
    }
}

void
contract_invalidate_shows_what_the_device_wrote_meanwhile(contract_device *device)
{
    FOR_MAPPED_EXTENTS(device, extent)
    {
        write_pattern(device, &extent, 0, 64 * KIB, 1);
        unsigned char *host = map(device, &extent, 0, 64 * KIB, DCMEM_MAP_READ_BIT);
        const dcmem_place to = in_extent(&extent, 4096);
        EXPECT_OK(device->backend->fill(device->handle, on_behalf(), &to, 4096, "\x5a", 1));
        EXPECT_OK(device->backend->invalidate(device->handle, on_behalf(), &extent, 4096, 4096));
        EXPECT_EQ(host[4096], 0x5a);
        EXPECT_EQ(host[8191], 0x5a);
        unmap(device, &extent, host);
    }
}

void
contract_flush_shows_the_device_what_the_host_wrote_meanwhile(contract_device *device)
{
    FOR_MAPPED_EXTENTS(device, extent)
    {
        write_pattern(device, &extent, 0, 64 * KIB, 1);
        unsigned char *host = map(device, &extent, 0, 64 * KIB, DCMEM_MAP_READ_BIT | DCMEM_MAP_WRITE_BIT);
        EXPECT_OK(device->backend->invalidate(device->handle, on_behalf(), &extent, 0, 64 * KIB));
        for (uint64_t i = 0; i < 4096; i++)
            host[8192 + i] = byte_at(3, i);
        EXPECT_OK(device->backend->flush(device->handle, on_behalf(), &extent, 8192, 4096));
        EXPECT_PATTERN(device, &extent, 8192, 4096, 3);
        unmap(device, &extent, host);
    }
}

/* ---- Import ---- */

void
contract_imported_memory_is_the_caller_s_own(contract_device *device)
{
    uint64_t bytes = whole_units(device, 64 * KIB);
    unsigned char *memory = aligned_alloc(4096, bytes);
    dcmem_extent extent = {0}, own = acquire_main(device, bytes);
    EXPECT(memory != NULL);
    for (uint64_t i = 0; i < bytes; i++)
        memory[i] = byte_at(1, i);
    EXPECT_OK(device->backend->import_host(&extent, device->handle, on_behalf(), memory, bytes));
    EXPECT(extent.host == memory);
    EXPECT_GE(extent.bytes, bytes);
    EXPECT_PATTERN(device, &extent, 0, bytes, 1);

    write_pattern(device, &own, 0, bytes, 2);
    copy(device, in_extent(&extent, 0), in_extent(&own, 0), bytes);
    for (uint64_t i = 0; i < bytes; i++)
        EXPECT_EQ(memory[i], byte_at(2, i));
    release(device, &extent);
    for (uint64_t i = 0; i < bytes; i++)
        EXPECT_EQ(memory[i], byte_at(2, i));
    free(memory);
    release(device, &own);
}
