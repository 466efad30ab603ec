/* card.c: finds the devices and reads what they are.
 *
 * `lock` guards what was found, and the platforms' contexts with their users. It is held while the driver looks for its
 * devices and makes a context: who waits for it would do the same. */
#include "drivers/opencl/card.h"

#include "base/lock.h"
#include "base/os.h"
#include "base/size.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dcmi_lock lock;
static bool is_known DCMI_GUARDED(lock);
static dcmem_detail why_none DCMI_GUARDED(lock); /* its result is DCMEM_OK where there are cards */
static dcmi_cl_platform platforms[DCMI_CL_PLATFORMS] DCMI_GUARDED(lock);
static dcmi_cl_card cards[DCMI_CL_CARDS]; /* written under the lock, constant from then on */
static uint32_t card_count DCMI_GUARDED(lock);

/* A child of fork has only the forking thread: no lock may be another one's then. */
static void
before_fork(void) DCMI_ACQUIRES(lock)
{
    dcmi_lock_take(&lock);
}

static void
after_fork(void) DCMI_RELEASES(lock)
{
    dcmi_lock_drop(&lock);
}

__attribute__((constructor)) static void
watch_fork(void)
{
    /* It can fail for want of memory only; then a fork in the middle of a search is what is lost. */
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

/* ---- Facts ---- */

/* A number of 32 or 64 bits; 0 when the driver does not know. */
static uint64_t
ask_number(cl_device_id id, cl_uint name)
{
    uint64_t number = 0;
    size_t bytes = 0;
    if (dcmi_cl.clGetDeviceInfo(id, name, sizeof number, &number, &bytes) || bytes > sizeof number)
        return 0;
    if (bytes == sizeof(cl_uint)) {
        cl_uint small;
        memcpy(&small, &number, sizeof small);
        return small;
    }
    return number;
}

/* Cut where it is too long; "" when the driver does not know. To be freed. NULL without memory. */
static char *
ask_text(cl_device_id id, cl_uint name)
{
    size_t bytes = 0;
    if (dcmi_cl.clGetDeviceInfo(id, name, 0, NULL, &bytes))
        bytes = 0;
    char *text = dcmi_cl_new(bytes + 1);
    if (text && bytes && dcmi_cl.clGetDeviceInfo(id, name, bytes, text, NULL))
        text[0] = '\0';
    return text;
}

static void
copy_text(char *out, size_t capacity, cl_device_id id, cl_uint name)
{
    char *text = ask_text(id, name);
    snprintf(out, capacity, "%s", text ? text + strspn(text, " ") : "");
    free(text);
}

/* Names in a list with a space between two. Pure. */
static bool
has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* "OpenCL 1.2 ..." or newer. */
static bool
is_new_enough(cl_device_id id)
{
    unsigned major = 0, minor = 0;
    char text[64];
    copy_text(text, sizeof text, id, CL_DEVICE_VERSION);
    return sscanf(text, "OpenCL %u.%u", &major, &minor) == 2 && (major > 1 || (major == 1 && minor >= 2));
}

static void
read_driver_version(dcmi_cl_card *card)
{
    char version[64], driver[64];
    copy_text(version, sizeof version, card->id, CL_DEVICE_VERSION);
    copy_text(driver, sizeof driver, card->id, CL_DRIVER_VERSION);
    version[strcspn(version, " ")] = ' ';
    char *end = strchr(version, ' ');
    end += 1 + strcspn(end + 1, " ");
    snprintf(card->driver_version, sizeof card->driver_version, "%.*s, driver %.24s", (int)(end - version), version,
             driver);
}

static void
read_pci(dcmi_cl_card *card)
{
    cl_pci_bus_info at = {0};
    if (!dcmi_cl.clGetDeviceInfo(card->id, CL_DEVICE_PCI_BUS_INFO_KHR, sizeof at, &at, NULL))
        snprintf(card->pci, sizeof card->pci, "%04x:%02x:%02x.%x", at.domain & 0xffff, at.bus & 0xff, at.device & 0xff,
                 at.function & 0xf);
}

/* The extension's functions, all of them or none. */
static bool
find_usm(dcmi_cl_shared_memory *out, cl_platform_id platform)
{
    bool has_all = true;
#define DCMEM_X(type, name, parameters)                                                                                \
    {                                                                                                                  \
        void *found = dcmi_cl.clGetExtensionFunctionAddressForPlatform(platform, #name);                               \
        memcpy(&out->name, &found, sizeof out->name);                                                                  \
        has_all = has_all && found;                                                                                    \
    }
    DCMI_CL_SHARED_MEMORY_FUNCTIONS(DCMEM_X)
#undef DCMEM_X
    return has_all;
}

static void
read_extensions(dcmi_cl_card *card, cl_platform_id platform)
{
    char *list = ask_text(card->id, CL_DEVICE_EXTENSIONS);
    const char *all = list ? list : "";
    if (has_word(all, "cl_khr_pci_bus_info"))
        read_pci(card);
    if (has_word(all, "cl_khr_device_uuid"))
        (void)dcmi_cl.clGetDeviceInfo(card->id, CL_DEVICE_UUID_KHR, sizeof card->uuid, card->uuid, NULL); /* or 0 */
    card->has_addresses = has_word(all, "cl_ext_buffer_device_address") && dcmi_cl.clCreateBufferWithProperties;
    if (has_word(all, "cl_intel_unified_shared_memory") && find_usm(&card->usm, platform)) {
        card->has_host_usm =
            ask_number(card->id, CL_DEVICE_HOST_MEM_CAPABILITIES_INTEL) & CL_UNIFIED_SHARED_MEMORY_ACCESS_INTEL;
        card->has_shared_usm = ask_number(card->id, CL_DEVICE_SINGLE_DEVICE_SHARED_MEM_CAPABILITIES_INTEL) &
                               CL_UNIFIED_SHARED_MEMORY_ACCESS_INTEL;
    }
    free(list);
}

bool
dcmi_cl_card_read(dcmi_cl_card *card, cl_platform_id platform, cl_device_id id)
{
    card->id = id;
    card->total_bytes = ask_number(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    card->largest_bytes = dcmi_min(ask_number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE), card->total_bytes);
    if (!is_new_enough(id) || !ask_number(id, CL_DEVICE_AVAILABLE) || card->largest_bytes < DCMI_PAGE)
        return false;

    copy_text(card->name, sizeof card->name, id, CL_DEVICE_NAME);
    if (!card->name[0])
        snprintf(card->name, sizeof card->name, "a device without a name");
    read_driver_version(card);
    card->alignment = ask_number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    if (!dcmi_is_power_of_two(card->alignment))
        card->alignment = DCMI_PAGE;
    card->cache_line_bytes = ask_number(id, CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE);
    if (!dcmi_is_power_of_two(card->cache_line_bytes))
        card->cache_line_bytes = 0;
    card->cache_bytes = ask_number(id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE);
    card->is_unified = ask_number(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    card->is_processor = ask_number(id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU;
    if (dcmi_cl.clSVMAlloc && dcmi_cl.clSVMFree)
        card->svm = ask_number(id, CL_DEVICE_SVM_CAPABILITIES);
    read_extensions(card, platform);
    return true;
}

/* ---- Finding ---- */

static void
find_in(dcmi_cl_platform *platform) DCMI_REQUIRES(lock)
{
    cl_device_id ids[DCMI_CL_CARDS];
    cl_uint count = 0;
    /* A platform without a device, or one that is out of order, must not hide the others. */
    if (dcmi_cl.clGetDeviceIDs(platform->id, CL_DEVICE_TYPE_ALL, DCMI_CL_CARDS, ids, &count))
        return;
    for (cl_uint i = 0; i < count && i < DCMI_CL_CARDS && card_count < DCMI_CL_CARDS; i++) {
        dcmi_cl_card *card = &cards[card_count];
        memset(card, 0, sizeof *card);
        if (!dcmi_cl_card_read(card, platform->id, ids[i]))
            continue;
        card->platform = platform;
        platform->devices[platform->card_count++] = ids[i];
        card_count++;
    }
}

static dcmem_result
find_cards(void) DCMI_REQUIRES(lock)
{
    cl_platform_id ids[DCMI_CL_PLATFORMS];
    cl_uint count = 0;
    dcmem_result result = dcmi_cl_library_open();
    if (result)
        return result;

    cl_int code = dcmi_cl.clGetPlatformIDs(DCMI_CL_PLATFORMS, ids, &count);
    if (code == CL_PLATFORM_NOT_FOUND_KHR || (!code && count == 0))
        return dcmem_backend_fail(DCMEM_E_UNAVAILABLE, "opencl", code,
                                  "the OpenCL loader is there but knows no driver: none is in /etc/OpenCL/vendors");
    if (code) {
        (void)dcmi_cl_fail(code, "the list of OpenCL drivers");
        dcmem_detail why = dcmi_detail_save();
        return dcmem_backend_fail(DCMEM_E_UNAVAILABLE, "opencl", code, "%s", why.message);
    }
    for (cl_uint i = 0; i < count && i < DCMI_CL_PLATFORMS; i++) {
        platforms[i] = (dcmi_cl_platform){.id = ids[i]};
        find_in(&platforms[i]);
    }
    if (card_count == 0)
        return dcmi_fail(DCMEM_E_UNAVAILABLE, "%u OpenCL drivers, and no available device of version 1.2 or newer",
                         count);
    return DCMEM_OK;
}

dcmem_result
dcmi_cl_cards_count(uint32_t *out)
{
    dcmi_lock_take(&lock);
    if (!is_known) {
        dcmem_detail before = dcmi_detail_save();
        why_none.result = find_cards();
        if (why_none.result)
            why_none = dcmi_detail_save();
        else
            dcmi_detail_restore(&before);
        is_known = true;
    }
    dcmem_detail why = why_none;
    uint32_t count = card_count;
    dcmi_lock_drop(&lock);

    if (why.result) {
        dcmi_detail_restore(&why);
        return why.result;
    }
    *out = count;
    return DCMEM_OK;
}

void
dcmi_cl_cards_forget(void)
{
    dcmi_lock_take(&lock);
    is_known = false;
    why_none.result = DCMEM_OK;
    card_count = 0;
    dcmi_lock_drop(&lock);
}

dcmi_cl_card *
dcmi_cl_card_at(uint32_t index)
{
    return &cards[index];
}

dcmi_cl_card *
dcmi_cl_card_of(cl_device_id id)
{
    dcmi_lock_take(&lock);
    dcmi_cl_card *found = NULL;
    for (uint32_t i = 0; i < card_count && !found; i++)
        if (cards[i].id == id)
            found = &cards[i];
    dcmi_lock_drop(&lock);
    return found;
}

/* ---- Contexts ---- */

static dcmem_result
make_context(dcmi_cl_platform *platform) DCMI_REQUIRES(lock)
{
    const intptr_t properties[] = {CL_CONTEXT_PLATFORM, (intptr_t)platform->id, 0};
    cl_int code = CL_SUCCESS;
    platform->context = dcmi_cl.clCreateContext(properties, platform->card_count, platform->devices, NULL, NULL, &code);
    if (code)
        return dcmi_cl_fail(code, "a context of %u devices", platform->card_count);
    return DCMEM_OK;
}

dcmem_result
dcmi_cl_card_enter(cl_context *out, dcmi_cl_card *card)
{
    dcmem_result result = DCMEM_OK;
    dcmi_cl_platform *platform = card->platform;
    dcmi_lock_take(&lock);
    if (platform->context_users == 0)
        result = make_context(platform);
    if (!result) {
        platform->context_users++;
        *out = platform->context;
    }
    dcmi_lock_drop(&lock);
    return result;
}

void
dcmi_cl_card_leave(dcmi_cl_card *card)
{
    dcmi_cl_platform *platform = card->platform;
    dcmi_lock_take(&lock);
    cl_context last = --platform->context_users == 0 ? platform->context : NULL;
    dcmi_lock_drop(&lock);
    if (last)
        (void)dcmi_cl.clReleaseContext(last); /* Refused: nobody could do anything about it. */
}

/* ---- Budget ---- */

dcmem_result
dcmi_cl_card_charge(dcmi_cl_card *card, uint64_t bytes)
{
    uint64_t charged = atomic_load_explicit(&card->charged_bytes, memory_order_relaxed);
    do {
        uint64_t room = card->total_bytes - charged;
        if (bytes > room)
            return dcmi_fail(DCMEM_E_NO_MEMORY, "%llu bytes; %llu of the device's %llu are free",
                             (unsigned long long)bytes, (unsigned long long)room,
                             (unsigned long long)card->total_bytes);
    } while (!atomic_compare_exchange_weak(&card->charged_bytes, &charged, charged + bytes));
    return DCMEM_OK;
}

void
dcmi_cl_card_discharge(dcmi_cl_card *card, uint64_t bytes)
{
    atomic_fetch_sub(&card->charged_bytes, bytes);
}
