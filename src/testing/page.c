/* page.c: address space and pages of a simulated device. */
#include "page.h"

#include "host.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGEST (64ull << 40)

typedef dcmi_simulated device;

/* Whether all these are multiples of a page. */
static bool
are_pages(const device *dev, uint64_t a, uint64_t b, uint64_t c)
{
    return ((a | b | c) & (dev->profile.page_bytes - 1)) == 0;
}

static uint8_t *
pointer(uint64_t address)
{
    return (uint8_t *)(uintptr_t)address;
}

/* ---- Reserved ranges ---- */

/* Addresses are places of the process, but where nobody asks for them as such. */
static bool
has_addresses(const device *dev)
{
    return dcmi_simulated_has(dev, DCMEM_SIMULATED_ADDRESSED) || dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED);
}

static dcmem_result
reserve_locked(uint64_t *out, device *dev, uint64_t bytes, uint64_t alignment)
{
    dcmi_piece range = {.bytes = bytes};
    if (has_addresses(dev))
        range.begin = (uintptr_t)dcmi_host_map_aligned(bytes, alignment, PROT_NONE);
    else
        range.begin = dcmi_simulated_number(dev, bytes, alignment);
    if (!range.begin)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for %llu bytes",
                                   (unsigned long long)bytes);
    if (!dcmi_pieces_add(&dev->reserved, &range)) {
        if (has_addresses(dev))
            munmap(pointer(range.begin), bytes);
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a reserved range");
    }
    *out = range.begin;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_reserve(uint64_t *out, void *handle, uint64_t bytes, uint64_t alignment)
{
    device *dev = handle;
    alignment = alignment > dev->profile.page_bytes ? alignment : dev->profile.page_bytes;
    DCMI_SIMULATED_REQUIRE(bytes > 0 && are_pages(dev, bytes, alignment, 0));
    DCMI_SIMULATED_REQUIRE(dcmi_is_power_of_two_or_0(alignment) && alignment <= 1ull << 40);
    if (bytes > LARGEST)
        return dcmi_simulated_fail(DCMEM_E_TOO_LARGE, "%llu bytes of addresses, at most %llu at once",
                                   (unsigned long long)bytes, LARGEST);
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    result = reserve_locked(out, dev, bytes, alignment);
    dcmi_simulated_leave(dev);
    return result;
}

static void
end_range(void *user, const dcmi_piece *range)
{
    const device *dev = user;
    if (has_addresses(dev))
        munmap(pointer(range->begin), range->bytes);
}

static dcmem_result
unreserve_locked(device *dev, uint64_t address, uint64_t bytes)
{
    dcmi_piece range, map;
    if (!dcmi_pieces_find(&range, &dev->reserved, address) || range.begin != address || range.bytes != bytes)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are not what was reserved",
                                   (unsigned long long)bytes, (unsigned long long)address);
    if (dcmi_pieces_first(&map, &dev->mapped, address, bytes))
        return dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "a page is still mapped at 0x%llx",
                                   (unsigned long long)map.begin);
    dcmi_pieces_cut(&dev->reserved, address, bytes, end_range, dev); /* a whole piece is cut without memory */
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_unreserve(void *handle, uint64_t address, uint64_t bytes)
{
    device *dev = handle;
    pthread_mutex_lock(&dev->lock);
    dcmem_result result = unreserve_locked(dev, address, bytes);
    dcmi_simulated_leave(dev);
    return result;
}

/* ---- Pages ---- */

static void
unmap_page(const dcmi_page *page)
{
    if (page->memory)
        munmap(page->memory, page->bytes);
    if (page->view)
        munmap(page->view, page->bytes);
    if (page->file >= 0)
        close(page->file);
}

/* What the host sees is in a file where it sees anything; with a view of its own, the device's memory is apart. */
static bool
map_page(dcmi_page *page, const device *dev)
{
    bool is_open = dcmi_simulated_has(dev, DCMEM_SIMULATED_UNIFIED), is_two = dcmi_simulated_has_view(dev, page->kind);
    uint8_t *seen = NULL, *apart = NULL;
    page->file = is_open ? dcmi_host_file(page->bytes) : -1;
    if (is_open && page->file >= 0)
        seen = dcmi_host_map_file(NULL, page->bytes, page->file, 0);
    if (!is_open || is_two)
        apart = dcmi_host_map(NULL, page->bytes, PROT_READ | PROT_WRITE, 0);
    if (!is_open && is_two)
        seen = dcmi_host_map(NULL, page->bytes, PROT_READ | PROT_WRITE, 0);
    page->memory = apart ? apart : seen;
    page->view = apart ? seen : NULL;
    if ((seen || (!is_open && !is_two)) && (apart || (is_open && !is_two)))
        return true;
    unmap_page(page);
    return false;
}

static dcmem_result
page_create_locked(device *dev, dcmi_page *page)
{
    dcmem_result result = dcmi_simulated_pay(dev, page->kind, page->bytes);
    if (result)
        return result;
    if (!map_page(page, dev)) {
        dcmi_simulated_refund(dev, page->kind, page->bytes);
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a page of %llu bytes",
                                   (unsigned long long)page->bytes);
    }
    dcmi_simulated_count_live(dev);
    page->number = dcmi_simulated_number(dev, 1, 1);
    page->next = dev->pages;
    dev->pages = page;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_page_create(uint64_t *out, void *handle, const dcmem_call *call, uint64_t bytes, dcmem_kind kind)
{
    (void)call;
    device *dev = handle;
    DCMI_SIMULATED_REQUIRE(bytes > 0 && are_pages(dev, bytes, 0, 0));
    dcmem_result result = dcmi_simulated_check_size(dev, kind, bytes);
    if (result)
        return result;
    dcmi_page *page = dcmi_host_new(sizeof *page);
    if (!page)
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a page");
    page->bytes = bytes;
    page->kind = kind;

    result = dcmi_simulated_enter(dev);
    if (!result) {
        result = page_create_locked(dev, page);
        dcmi_simulated_leave(dev);
    }
    if (result) {
        free(page);
        return result;
    }
    *out = page->number;
    return DCMEM_OK;
}

static dcmi_page **
link_of(device *dev, uint64_t number)
{
    dcmi_page **link = &dev->pages;
    while (*link && (*link)->number != number)
        link = &(*link)->next;
    return link;
}

static void
end_page(device *dev, dcmi_page **link)
{
    dcmi_page *page = *link;
    *link = page->next;
    dcmi_simulated_refund(dev, page->kind, page->bytes);
    unmap_page(page);
    free(page);
}

dcmem_result
dcmi_simulated_page_destroy(void *handle, const dcmem_call *call, uint64_t number)
{
    (void)call;
    device *dev = handle;
    dcmem_result result = DCMEM_OK;
    pthread_mutex_lock(&dev->lock);
    dcmi_page **link = link_of(dev, number);
    if (!*link)
        result =
            dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "no page has the number %llu", (unsigned long long)number);
    else if ((*link)->maps > 0)
        result = dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "the page is still mapped %llu times",
                                     (unsigned long long)(*link)->maps);
    else
        end_page(dev, link);
    dcmi_simulated_leave(dev);
    return result;
}

/* ---- Maps ---- */

static dcmem_result
check_map(device *dev, uint64_t address, const dcmi_page *page, uint64_t page_offset, uint64_t bytes)
{
    dcmi_piece range, other;
    if (!page)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "no page has this number");
    if (page_offset > page->bytes || bytes > page->bytes - page_offset)
        return dcmi_simulated_fail(DCMEM_E_OUT_OF_RANGE, "%llu bytes from byte %llu of a page of %llu",
                                   (unsigned long long)bytes, (unsigned long long)page_offset,
                                   (unsigned long long)page->bytes);
    if (!dcmi_pieces_find(&range, &dev->reserved, address) || range.begin + range.bytes - address < bytes)
        return dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are not reserved",
                                   (unsigned long long)bytes, (unsigned long long)address);
    if (dcmi_pieces_first(&other, &dev->mapped, address, bytes))
        return dcmi_simulated_fail(DCMEM_E_WRONG_STATE, "a page is mapped at 0x%llx already",
                                   (unsigned long long)other.begin);
    return DCMEM_OK;
}

static dcmem_result
page_map_locked(device *dev, uint64_t address, uint64_t number, uint64_t page_offset, uint64_t bytes)
{
    dcmi_page *page = *link_of(dev, number);
    dcmem_result result = check_map(dev, address, page, page_offset, bytes);
    if (result)
        return result;
    dcmi_piece map = {.begin = address,
                      .bytes = bytes,
                      .memory = page->memory + page_offset,
                      .view = page->view ? page->view + page_offset : NULL,
                      .kind = page->kind,
                      .owner = page};
    if (!dcmi_pieces_add(&dev->mapped, &map))
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a map");
    if (page->file >= 0 && !dcmi_host_map_file(pointer(address), bytes, page->file, page_offset)) {
        dcmi_pieces_cut(&dev->mapped, address, bytes, NULL, NULL);
        return dcmi_simulated_fail(DCMEM_E_NO_HOST_MEMORY, "no map of %llu bytes", (unsigned long long)bytes);
    }
    page->maps++;
    return DCMEM_OK;
}

dcmem_result
dcmi_simulated_page_map(void *handle, const dcmem_call *call, uint64_t address, uint64_t page, uint64_t page_offset,
                        uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    DCMI_SIMULATED_REQUIRE(bytes > 0 && are_pages(dev, address, page_offset, bytes));
    dcmem_result result = dcmi_simulated_enter(dev);
    if (result)
        return result;
    result = page_map_locked(dev, address, page, page_offset, bytes);
    dcmi_simulated_leave(dev);
    return result;
}

static void
end_map(void *user, const dcmi_piece *map)
{
    (void)user;
    dcmi_page *page = map->owner;
    page->maps--;
    /* Failing, the host sees the page there a while longer. */
    if (page->file >= 0)
        (void)mmap(pointer(map->begin), map->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                   -1, 0);
}

/* Whether a range is maps from end to end, none of them in part. */
static bool
is_whole(const device *dev, uint64_t address, uint64_t bytes)
{
    dcmi_piece first, last;
    return dcmi_pieces_cover(&dev->mapped, address, bytes) && dcmi_pieces_find(&first, &dev->mapped, address) &&
           first.begin == address && dcmi_pieces_find(&last, &dev->mapped, address + bytes - 1) &&
           last.begin + last.bytes == address + bytes;
}

dcmem_result
dcmi_simulated_page_unmap(void *handle, const dcmem_call *call, uint64_t address, uint64_t bytes)
{
    (void)call;
    device *dev = handle;
    DCMI_SIMULATED_REQUIRE(bytes > 0 && bytes <= LARGEST);
    dcmem_result result = DCMEM_OK;
    pthread_mutex_lock(&dev->lock);
    if (is_whole(dev, address, bytes))
        dcmi_pieces_cut(&dev->mapped, address, bytes, end_map, dev); /* whole pieces are cut without memory */
    else
        result = dcmi_simulated_fail(DCMEM_E_UNKNOWN_ADDRESS, "%llu bytes at 0x%llx are not whole maps",
                                     (unsigned long long)bytes, (unsigned long long)address);
    dcmi_simulated_leave(dev);
    return result;
}

bool
dcmi_pages_end(device *dev)
{
    bool had_any = dev->mapped.count > 0 || dev->reserved.count > 0 || dev->pages;
    dcmi_pieces_clear(&dev->mapped, end_map, dev);
    dcmi_pieces_clear(&dev->reserved, end_range, dev);
    while (dev->pages)
        end_page(dev, &dev->pages);
    return had_any;
}
