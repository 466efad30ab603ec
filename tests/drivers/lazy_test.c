/* lazy_test.c: nothing of a vendor is loaded before it is needed, and what is not there is looked for once.
 *
 * Each test is a process of its own: what one has loaded stays loaded. The dynamic linker counts what it loads. */
#include "base/os.h"
#include "drivers/opencl/library.h"
#include "drivers/vulkan/library.h"
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <link.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPENCL_STAND_IN TEST_BUILD_DIR "/tests/drivers/opencl_stand_in.so"
#define VULKAN_STAND_IN TEST_BUILD_DIR "/tests/drivers/vulkan_stand_in.so"

/* In a child, which has no way to fail a test but its exit code. */
#define HOLD(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "must hold: %s\n", #condition);                                                            \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static void
expect_child(int (*child)(void))
{
    SKIP_UNDER_VALGRIND(); /* What is loaded shows without it, and each child's end costs it a minute. */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dcmi_cl_library_name = OPENCL_STAND_IN;
        dcmi_vk_library_name = VULKAN_STAND_IN;
        _exit(child());
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

static int
note_loads(struct dl_phdr_info *info, size_t bytes, void *user)
{
    (void)bytes;
    *(unsigned long long *)user = info->dlpi_adds;
    return 1;
}

/* How many libraries this process has loaded so far, those counted that are gone again. */
static unsigned long long
loads(void)
{
    unsigned long long count = 0;
    dl_iterate_phdr(note_loads, &count);
    return count;
}

static int
has_name(struct dl_phdr_info *info, size_t bytes, void *user)
{
    (void)bytes;
    return strcmp(info->dlpi_name, user) == 0;
}

static bool
is_loaded(const char *path)
{
    return dl_iterate_phdr(has_name, (void *)(uintptr_t)path);
}

static dcmem_result
count_devices(const char *backend)
{
    uint32_t count;
    return dcmem_backend_find(backend)->count(&count, dcmem_backend_find(backend));
}

/* A manager, used as one uses it. */
static int
use_manager(const char *backend)
{
    char bytes[100] = "bytes";
    dcmem_manager *manager;
    dcmem_buffer *buffer;
    dcmem_device_info info = {.size = sizeof info};
    const dcmem_manager_options options = {.size = sizeof options, .backend = backend};
    HOLD(dcmem_device_describe(&info, backend, 0) == DCMEM_OK);
    HOLD(dcmem_manager_create(&manager, &options) == DCMEM_OK);
    HOLD(dcmem_buffer_create_from(&buffer, manager, bytes, sizeof bytes, NULL) == DCMEM_OK);
    HOLD(dcmem_buffer_copy_out(bytes, dcmem_view_whole(buffer), 0) == DCMEM_OK);
    HOLD(dcmem_buffer_destroy(buffer) == DCMEM_OK);
    HOLD(dcmem_manager_destroy(manager) == DCMEM_OK);
    return 0;
}

static int
use_cpu(void)
{
    unsigned long long before = loads();
    HOLD(use_manager("cpu") == 0);
    HOLD(loads() == before);
    return 0;
}

TEST(lazy__a_manager_of_the_cpu_loads_no_library)
{
    expect_child(use_cpu);
}

static int
use_simulated(void)
{
    unsigned long long before = loads();
    HOLD(dcmem_simulated_register() == DCMEM_OK);
    HOLD(use_manager("simulated") == 0);
    HOLD(loads() == before);
    return 0;
}

TEST(lazy__a_manager_of_a_simulated_device_loads_no_library)
{
    expect_child(use_simulated);
}

static int
name_all(void)
{
    unsigned long long before = loads();
    dcmem_manager *manager;
    const dcmem_manager_options options = {.size = sizeof options, .backend = "cuda"};
    for (uint32_t i = 0; i < dcmem_backend_count(); i++)
        HOLD(dcmem_backend_find(dcmem_backend_at(i)->name) == dcmem_backend_at(i));
    HOLD(dcmem_manager_create(&manager, &options) == DCMEM_E_UNAVAILABLE);
    HOLD(loads() == before);
    return 0;
}

TEST(lazy__naming_backends_loads_no_library)
{
    expect_child(name_all);
}

static int
count_in_turn(void)
{
    HOLD(!is_loaded(OPENCL_STAND_IN) && !is_loaded(VULKAN_STAND_IN));
    (void)count_devices("opencl");
    HOLD(is_loaded(OPENCL_STAND_IN) && !is_loaded(VULKAN_STAND_IN));
    (void)count_devices("vulkan");
    HOLD(is_loaded(VULKAN_STAND_IN));
    return 0;
}

/* A build that is instrumented for MemorySanitizer opens no library of a vendor. */
static void
skip_without_vendors(void)
{
    if (!DCMI_HAS_VENDORS)
        SKIP("this build opens no vendor's library");
}

TEST(lazy__counting_a_backend_s_devices_loads_its_library_and_no_other)
{
    skip_without_vendors();
    expect_child(count_in_turn);
}

static int
create_one(void)
{
    dcmem_manager *manager;
    const dcmem_manager_options options = {.size = sizeof options, .backend = "vulkan"};
    (void)dcmem_manager_create(&manager, &options); /* The stand-in has no device. */
    HOLD(is_loaded(VULKAN_STAND_IN) && !is_loaded(OPENCL_STAND_IN));
    return 0;
}

TEST(lazy__creating_a_manager_loads_its_own_backend_s_library_and_no_other)
{
    skip_without_vendors();
    expect_child(create_one);
}

/* The other one's library lacks each function: it is loaded, looked at and closed, each time that one looks. */
static int
ask_again(void)
{
    dcmi_cl_library_name = VULKAN_STAND_IN;
    dcmi_vk_library_name = OPENCL_STAND_IN;
    static const char *const names[] = {"opencl", "vulkan"};
    for (unsigned i = 0; i < 2; i++) {
        unsigned long long before = loads();
        HOLD(count_devices(names[i]) == DCMEM_E_UNAVAILABLE);
        unsigned long long after = loads();
        HOLD(after > before);
        for (int times = 0; times < 3; times++) {
            dcmem_device_info info = {.size = sizeof info};
            HOLD(count_devices(names[i]) == DCMEM_E_UNAVAILABLE);
            HOLD(dcmem_device_describe(&info, names[i], 0) == DCMEM_E_UNAVAILABLE);
            HOLD(strstr(dcmem_last_detail()->message, "is needed"));
        }
        HOLD(loads() == after);
    }
    return 0;
}

TEST(lazy__a_library_that_was_found_useless_is_not_opened_again)
{
    skip_without_vendors();
    expect_child(ask_again);
}
