/* pages.c: the records of pages, and the system calls behind them. */
#include "drivers/cpu/pages.h"

#include "base/fail.h"
#include "base/os.h"
#include "base/size.h"
#include "drivers/cpu/calls.h"

#include <errno.h>
#include <sys/mman.h>

#define FILE_END  (1ull << 62)
#define SHELF     65536u
#define PER_SHELF ((SHELF - sizeof(dcmi_cpu_shelf)) / sizeof(dcmi_cpu_page))

struct dcmi_cpu_page {
    uint64_t offset; /* in the file */
    uint64_t bytes;
    dcmem_kind kind;
    dcmi_cpu_page *next; /* of the spare ones */
};

struct dcmi_cpu_shelf {
    dcmi_cpu_shelf *next;
    uint64_t reserved;
    dcmi_cpu_page pages[];
};

void
dcmi_cpu_pages_fini(dcmi_cpu_pages *pages) DCMI_UNCHECKED
{
    dcmi_cpu_shelf *next;
    for (dcmi_cpu_shelf *shelf = pages->shelves; shelf; shelf = next) {
        next = shelf->next;
        dcmi_os_unreserve(shelf, SHELF);
    }
    if (pages->has_file)
        (void)dcmi_cpu_calls.close(pages->file); /* Its memory goes with its last mapping, whatever this says. */
}

/* A record, from a new shelf if need be. */
static dcmi_cpu_page *
take_record(dcmi_cpu_pages *pages) DCMI_REQUIRES(pages->lock)
{
    if (!pages->spare) {
        dcmi_cpu_shelf *shelf = dcmi_os_reserve(SHELF);
        if (!shelf)
            return NULL;
        shelf->next = pages->shelves;
        pages->shelves = shelf;
        for (size_t i = 0; i < PER_SHELF; i++) {
            shelf->pages[i].next = pages->spare;
            pages->spare = &shelf->pages[i];
        }
    }
    dcmi_cpu_page *page = pages->spare;
    pages->spare = page->next;
    return page;
}

static void
give_record(dcmi_cpu_pages *pages, dcmi_cpu_page *page) DCMI_REQUIRES(pages->lock)
{
    page->next = pages->spare;
    pages->spare = page;
}

/* Makes the file reach `end`. */
static dcmem_result
extend(dcmi_cpu_pages *pages, uint64_t end) DCMI_REQUIRES(pages->lock)
{
    if (!pages->has_file) {
        pages->file = dcmi_cpu_calls.file();
        if (pages->file < 0)
            return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_OPEN), errno, "a file in memory for pages");
        pages->has_file = true;
    }
    if (dcmi_cpu_calls.extend(pages->file, end))
        return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno, "pages of %llu bytes together",
                               (unsigned long long)end);
    return DCMEM_OK;
}

static dcmem_result
create_locked(dcmi_cpu_page **out, dcmi_cpu_pages *pages, uint64_t bytes) DCMI_REQUIRES(pages->lock)
{
    if (bytes > FILE_END - pages->end)
        return dcmi_fail(DCMEM_E_NO_MEMORY, "no place for a page any more"); /* COVER: after 2^62 bytes of pages */
    dcmi_cpu_page *page = take_record(pages);
    if (!page)
        return dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "the record of a page");
    dcmem_result result = extend(pages, pages->end + bytes);
    if (result) {
        give_record(pages, page);
        return result;
    }
    page->offset = pages->end;
    page->bytes = bytes;
    pages->end += bytes;
    *out = page;
    return DCMEM_OK;
}

dcmem_result
dcmi_cpu_page_create(uint64_t *out, dcmi_cpu_pages *pages, uint64_t bytes, dcmem_kind kind)
{
    dcmi_cpu_page *page = NULL;
    if (kind >= DCMEM_KIND_COUNT)
        return dcmi_fail(DCMEM_E_UNSUPPORTED, "there is no memory kind %d", (int)kind);
    if (bytes > dcmi_os_memory_total())
        return dcmi_fail(DCMEM_E_NO_MEMORY, "a page of %llu bytes, more than all memory", (unsigned long long)bytes);

    dcmi_lock_take(&pages->lock);
    dcmem_result result = create_locked(&page, pages, bytes);
    dcmi_lock_drop(&pages->lock);
    if (result)
        return result;
    page->kind = kind;
    *out = (uintptr_t)page;
    return DCMEM_OK;
}

dcmem_result
dcmi_cpu_page_destroy(dcmi_cpu_pages *pages, uint64_t handle)
{
    dcmem_result result = DCMEM_OK;
    dcmi_cpu_page *page = (dcmi_cpu_page *)(uintptr_t)handle;
    if (dcmi_cpu_calls.punch(pages->file, page->offset, page->bytes))
        result = dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno,
                                 "%llu bytes of a page stay until the device closes", (unsigned long long)page->bytes);
    dcmi_lock_take(&pages->lock);
    give_record(pages, page);
    dcmi_lock_drop(&pages->lock);
    return result;
}

dcmem_result
dcmi_cpu_page_map(dcmi_cpu_pages *pages, const dcmi_cpu_memory *memory, uint64_t address, uint64_t handle,
                  uint64_t page_offset, uint64_t bytes)
{
    const dcmi_cpu_page *page = (const dcmi_cpu_page *)(uintptr_t)handle;
    void *mapped = dcmi_cpu_calls.map_file((void *)(uintptr_t)address, bytes, pages->file, page->offset + page_offset);
    if (mapped == MAP_FAILED)
        return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno, "%llu bytes of a page",
                               (unsigned long long)bytes);
    dcmem_result result = dcmi_cpu_memory_furnish((dcmi_range){address, address + bytes}, memory, page->kind, true);
    if (result) {
        dcmem_detail why = dcmi_detail_save();
        (void)dcmi_cpu_page_unmap(address, bytes);
        dcmi_detail_restore(&why);
    }
    return result;
}

/* The addresses stay reserved. */
dcmem_result
dcmi_cpu_page_unmap(uint64_t address, uint64_t bytes)
{
    if (dcmi_cpu_calls.map((void *)(uintptr_t)address, bytes, PROT_NONE, MAP_FIXED | MAP_NORESERVE) != MAP_FAILED)
        return DCMEM_OK;
    return dcmi_fail_errno(dcmi_cpu_result_of(errno, DCMI_CPU_TO_MAP), errno,
                           "%llu bytes of pages could not be unmapped", (unsigned long long)bytes);
}
