/* pipeline_test.c: the pipeline on devices of every kind, each of its failures included. cmocka runs it.
 *
 * Linked with -Wl,--wrap=malloc, so that it fails in sweeps, too. */
#include "pipeline.h"
#include "reference.h"

#include <dcmem/runner.h>
#include <dcmem/testing.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- How a test fails here ---- */

static void
fail_test(void *user, const char *file, int line, const char *message)
{
    (void)user;
    print_error("%s\n", message);
    _fail(file, line);
}

/* ---- What else can fail ----
 *
 * A sweep fails the driver's calls. The program also asks the C library for memory, which the linker leads through
 * here, and dcmem for things that it often does without the driver, such as a buffer from memory that it holds. */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

/* Fresh memory never holds what one might hope for. */
void *
__wrap_malloc(size_t bytes)
{
    void *memory = dcmem_sweep_point("malloc") ? NULL : __real_malloc(bytes);
    return memory ? memset(memory, 0xA5, bytes) : NULL;
}

/* Asked before each call to dcmem. */
static dcmem_result
gate(void *user, const dcmem_gate_call *call)
{
    (void)user;
    const char *name = dcmem_gate_operation_name(call->operation);
    if (call->result == DCMEM_OK || !dcmem_sweep_point(name))
        return DCMEM_OK; /* it cannot fail, or not now */
    return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "test", 0, "%s was made to fail", name);
}

/* ---- Devices, and kernels on them ---- */

/* Those that come with the kit, in its order, and one of the user's own. */
enum { DEVICE_cpu, DEVICE_discrete, DEVICE_unified, DEVICE_datacentre, DEVICE_non_coherent, DEVICE_COUNT };

static dcmem_simulated_profile profiles[DEVICE_COUNT];

static void
make_profiles(void)
{
    for (int i = 0; i < DCMEM_SIMULATED_DEVICE_COUNT; i++)
        profiles[i] = dcmem_simulated_profile_of((dcmem_simulated_device)i);
    /* The device and the host share memory, and see each other's bytes after a flush only. */
    profiles[DEVICE_non_coherent] =
        (dcmem_simulated_profile){.size = sizeof(dcmem_simulated_profile),
                                  .flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT,
                                  .total_bytes = 1u << 30};
}

#define MOST_PICTURE_BYTES (3u << 20)

/* A simulated device has no processor. Here is one: it sees what the device's memory holds, and no other. */
static dcmem_result
run_on_simulated(void *user, const kernel_launch *launch)
{
    static uint8_t to[MOST_PICTURE_BYTES], from[MOST_PICTURE_BYTES];
    const dcmem_backend *device = user;
    const uint64_t to_bytes = kernel_to_bytes(launch), from_bytes = kernel_from_bytes(launch);
    if (to_bytes > sizeof to || from_bytes > sizeof from)
        return DCMEM_E_TOO_LARGE;
    if (dcmem_sweep_point("kernel"))
        return DCMEM_E_DRIVER;
    dcmem_result result = dcmem_simulated_read(from, device, 0, &launch->from, 0, from_bytes);
    if (!result)
        result = dcmem_simulated_read(to, device, 0, &launch->to, 0, to_bytes);
    if (result)
        return result;
    kernel_compute(launch, to, from);
    return dcmem_simulated_write(device, 0, &launch->to, 0, to, to_bytes);
}

static dcmem_rig rig;
static kernels device_kernels;

/* On the device that is the test's initial state. */
static int
begin(void **state)
{
    const dcmem_simulated_profile *profile = *state;
    device_kernels = (kernels){.run = run_on_simulated};
    if (!DCMEM_EXPECT_OK(dcmem_rig_begin(&rig, profile)))
        return -1;
    device_kernels.user = rig.simulated;
    return 0;
}

static int
end(void **state)
{
    (void)state;
    return DCMEM_EXPECT_OK(dcmem_rig_end(&rig)) ? 0 : -1;
}

/* ---- Pictures ---- */

/* Something like a landscape with noise: `contrast` of 255 uses all brightness there is. */
static image
picture_of(uint32_t width, uint32_t height, uint32_t channels, unsigned contrast)
{
    image it;
    unsigned noise = 12345 + contrast;
    assert_int_equal(image_init(&it, width, height, channels), DCMEM_OK);
    for (size_t i = 0; i < image_bytes(&it); i++) {
        noise = noise * 1103515245 + 12345;
        size_t x = i / channels % width, y = i / channels / width;
        it.pixels[i] = (uint8_t)(((x * 5 + y * 3) % 200 + (noise >> 16) % 56) * contrast / 255);
    }
    return it;
}

/* NULL, or in what they differ. */
static const char *
difference(const image *got, const image *wanted)
{
    static char said[120];
    size_t count = 0, first = 0;
    if (got->width != wanted->width || got->height != wanted->height || got->channels != wanted->channels)
        return "the picture has another size";
    for (size_t i = image_bytes(wanted); i-- > 0;)
        if (got->pixels[i] != wanted->pixels[i]) {
            first = i;
            count++;
        }
    if (count == 0)
        return NULL;
    snprintf(said, sizeof said, "pixel %zu, %zu is %u, wanted %u; %zu of %zu differ", first % wanted->width,
             first / wanted->width, got->pixels[first], wanted->pixels[first], count, image_bytes(wanted));
    return said;
}

/* Develops a picture and compares it with the reference. */
#define EXPECT_DEVELOPED(line, picture) expect_developed(line, picture, __LINE__)

static void
expect_developed(pipeline *line, const image *picture, int at_line)
{
    image got, wanted;
    DCMEM_EXPECT_OK(pipeline_develop(&got, line, picture));
    reference_develop(&wanted, picture);
    const char *wrong = difference(&got, &wanted);
    image_fini(&got);
    image_fini(&wanted);
    if (wrong)
        dcmem_test_fail(__FILE__, at_line, wrong);
}

/* ---- The right picture ---- */

static void
pipeline__develops_as_the_reference_does(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{1, 1}, {2, 2}, {1, 9}, {16, 1}, {37, 23}, {320, 201}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t channels = 1; channels <= 3; channels += 2) {
            pipeline *line;
            image picture = picture_of(sizes[i][0], sizes[i][1], channels, 255);
            DCMEM_EXPECT_OK(pipeline_create(&line, rig.manager, &device_kernels, picture.width, picture.height));
            EXPECT_DEVELOPED(line, &picture);
            DCMEM_EXPECT_OK(pipeline_destroy(line));
            image_fini(&picture);
        }
}

static void
pipeline__develops_each_picture_with_its_own_contrast(void **state)
{
    (void)state;
    pipeline *line;
    image bright = picture_of(37, 23, 3, 255), dark = picture_of(37, 23, 3, 60), grey = picture_of(37, 23, 1, 120);
    DCMEM_EXPECT_OK(pipeline_create(&line, rig.manager, &device_kernels, 37, 23));
    EXPECT_DEVELOPED(line, &bright);
    EXPECT_DEVELOPED(line, &dark);
    EXPECT_DEVELOPED(line, &grey);
    EXPECT_DEVELOPED(line, &bright);
    DCMEM_EXPECT_OK(pipeline_destroy(line));
    image_fini(&bright);
    image_fini(&dark);
    image_fini(&grey);
}

/* ---- Every failure ---- */

typedef struct album {
    image pictures[2];
    image developed[2];
    image wanted[2];
} album;

static dcmem_result
develop_all(album *it, dcmem_manager *manager)
{
    pipeline *line;
    dcmem_result result =
        pipeline_create(&line, manager, &device_kernels, it->pictures[0].width, it->pictures[0].height);
    if (result)
        return result;
    for (int i = 0; i < 2 && !result; i++)
        result = pipeline_develop(&it->developed[i], line, &it->pictures[i]);
    dcmem_result end_result = pipeline_destroy(line);
    return result ? result : end_result;
}

static void
forget_all(album *it)
{
    for (int i = 0; i < 2; i++)
        image_fini(&it->developed[i]);
}

static dcmem_result
setup(dcmem_sweep_run *run)
{
    return dcmem_manager_set_gate(run->manager, gate, NULL);
}

static dcmem_result
act(dcmem_sweep_run *run)
{
    return develop_all(run->user, run->manager);
}

/* Success is two right pictures; after a failure each is right or was not touched, and a second try succeeds. */
static const char *
check(dcmem_sweep_run *run)
{
    album *it = run->user;
    for (int attempt = 0; attempt < 2; attempt++) {
        bool has_failed = attempt == 0 && run->result;
        for (int i = 0; i < 2; i++) {
            bool is_there = it->developed[i].pixels != NULL;
            const char *wrong = is_there ? difference(&it->developed[i], &it->wanted[i]) : NULL;
            if (wrong)
                return wrong;
            if (!is_there && !has_failed)
                return "success without a picture";
        }
        if (!has_failed)
            break;
        forget_all(it);
        if (develop_all(it, run->manager))
            return dcmem_last_detail()->message;
    }
    return NULL;
}

static void
teardown(dcmem_sweep_run *run)
{
    forget_all(run->user);
}

/* `injected`: what calls of the driver fail with; DCMEM_OK: what fits each. */
static void
sweep(dcmem_result injected)
{
    album it = {.pictures = {picture_of(19, 13, 3, 255), picture_of(19, 13, 1, 60)}};
    dcmem_sweep_report report = {.size = sizeof report};
    const dcmem_sweep all = {.size = sizeof all,
                             .user = &it,
                             .setup = setup,
                             .act = act,
                             .check = check,
                             .teardown = teardown,
                             .over = rig.simulated,
                             .injected = injected};
    for (int i = 0; i < 2; i++)
        reference_develop(&it.wanted[i], &it.pictures[i]);
    DCMEM_EXPECT_OK(dcmem_test_sweep(&report, &all));
    print_message("%llu points that can fail\n", (unsigned long long)report.points);
    for (int i = 0; i < 2; i++) {
        image_fini(&it.pictures[i]);
        image_fini(&it.wanted[i]);
    }
}

static void
pipeline__survives_every_failure(void **state)
{
    (void)state;
    sweep(DCMEM_OK);
}

static void
pipeline__survives_a_device_that_is_lost_at_any_call(void **state)
{
    (void)state;
    sweep(DCMEM_E_DEVICE_LOST);
}

/* ---- Less memory than it takes ---- */

static dcmem_result
develop_once(image *out, const image *picture)
{
    pipeline *line;
    dcmem_result result = pipeline_create(&line, rig.manager, &device_kernels, picture->width, picture->height);
    if (result)
        return result;
    result = pipeline_develop(out, line, picture);
    DCMEM_EXPECT_OK(pipeline_destroy(line));
    return result;
}

static uint64_t
used_bytes(void)
{
    dcmem_limits limits = {.size = sizeof limits};
    DCMEM_EXPECT_OK(dcmem_manager_limits(&limits, rig.manager));
    return limits.used_bytes;
}

/* From next to none until there is enough, in small steps: clean failures, then the right picture. */
static void
pipeline__fits_or_fails_cleanly_whatever_memory_there_is(void **state)
{
    (void)state;
    image picture = picture_of(320, 201, 3, 255), developed = {0, 0, 0, NULL}, wanted;
    reference_develop(&wanted, &picture);
    dcmem_result result = DCMEM_E_LIMIT;
    for (uint64_t limit_bytes = 4096; result && limit_bytes < (16u << 20); limit_bytes += 4096) {
        DCMEM_EXPECT_OK(dcmem_manager_set_limit(rig.manager, limit_bytes));
        result = develop_once(&developed, &picture);
        if (result) {
            DCMEM_EXPECT_RESULT(result, DCMEM_E_LIMIT);
            assert_null(developed.pixels);
        }
        if (used_bytes() > 0)
            dcmem_test_fail(__FILE__, __LINE__, "memory is in use, and nobody is left to use it");
        DCMEM_EXPECT_OK(dcmem_manager_trim(NULL, rig.manager, 0));
    }
    DCMEM_EXPECT_OK(result);
    assert_null(difference(&developed, &wanted));
    image_fini(&developed);
    image_fini(&wanted);
    image_fini(&picture);
}

/* ---- No more work than needed ---- */

/* The picture and the table go to the device, the counts and the developed picture come back. */
static void
pipeline__copies_four_times_for_a_picture(void **state)
{
    (void)state;
    image picture = picture_of(37, 23, 3, 255);
    pipeline *line;
    DCMEM_EXPECT_OK(pipeline_create(&line, rig.manager, &device_kernels, picture.width, picture.height));
    for (int i = 0; i < 3; i++) {
        DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 4, 4));
        DCMEM_EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_acquire, 0, i == 0 ? UINT64_MAX : 0));
        EXPECT_DEVELOPED(line, &picture);
        DCMEM_EXPECT_OK(dcmem_fake_verify(rig.fake));
    }
    DCMEM_EXPECT_OK(pipeline_destroy(line));
    image_fini(&picture);
}

/* ---- Pictures as files ---- */

static void
image__is_parsed_as_it_was_printed(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        image picture = picture_of(7, 5, channels, 255), parsed;
        size_t count;
        uint8_t *bytes = image_print(&count, &picture);
        DCMEM_EXPECT_OK(image_parse(&parsed, bytes, count));
        assert_null(difference(&parsed, &picture));
        DCMEM_EXPECT_RESULT(image_parse(&parsed, bytes, count - 1), DCMEM_E_INVALID_ARGUMENT);
        free(bytes);
        image_fini(&parsed);
        image_fini(&picture);
    }
}

static void
image__is_refused_when_it_is_none(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "P",
                                       "P7 1 1 255 x",
                                       "P5",
                                       "P5 1",
                                       "P5 1 1",
                                       "P5 1 1 255",
                                       "P5 1 1 255 ",
                                       "P5 0 1 255 x",
                                       "P5 1 1 0 x",
                                       "P5 1 1 256 x",
                                       "P5 99999999999 1 255 x",
                                       "P6 1 1 255 xx",
                                       "P5 # 1 1 255 x"};
    image out = {0, 0, 0, NULL};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        DCMEM_EXPECT_RESULT(image_parse(&out, none[i], strlen(none[i])), DCMEM_E_INVALID_ARGUMENT);
    assert_null(out.pixels);
    static const char dot[] = "P5 # a dot\n1 1\n255\nx";
    DCMEM_EXPECT_OK(image_parse(&out, dot, strlen(dot)));
    image_fini(&out);
}

static void
pipeline__refuses_pictures_of_another_size(void **state)
{
    (void)state;
    pipeline *line = NULL;
    image picture = picture_of(4, 5, 1, 255), out = {0, 0, 0, NULL};
    DCMEM_EXPECT_RESULT(pipeline_create(&line, rig.manager, &device_kernels, 0, 4), DCMEM_E_INVALID_ARGUMENT);
    assert_null(line);
    DCMEM_EXPECT_OK(pipeline_create(&line, rig.manager, &device_kernels, 5, 4));
    DCMEM_EXPECT_RESULT(pipeline_develop(&out, line, &picture), DCMEM_E_INVALID_ARGUMENT);
    assert_null(out.pixels);
    DCMEM_EXPECT_OK(pipeline_destroy(line));
    DCMEM_EXPECT_OK(pipeline_destroy(NULL));
    image_fini(&picture);
}

/* ---- All of them ---- */

static int
prepare(void **state)
{
    (void)state;
    dcmem_test_on_failure(fail_test, NULL);
    make_profiles();
    return 0;
}

#define ON(device, test)                                                                                               \
    {                                                                                                                  \
#test " on " #device, test, begin, end, &profiles[DEVICE_##device]                                             \
    }
#define ON_EACH(test) ON(cpu, test), ON(discrete, test), ON(unified, test), ON(datacentre, test), ON(non_coherent, test)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image__is_parsed_as_it_was_printed),
        cmocka_unit_test(image__is_refused_when_it_is_none),
        ON(cpu, pipeline__refuses_pictures_of_another_size),
        ON(discrete, pipeline__copies_four_times_for_a_picture),
        ON(discrete, pipeline__fits_or_fails_cleanly_whatever_memory_there_is),
        ON_EACH(pipeline__develops_as_the_reference_does),
        ON_EACH(pipeline__develops_each_picture_with_its_own_contrast),
        ON_EACH(pipeline__survives_every_failure),
        ON(discrete, pipeline__survives_a_device_that_is_lost_at_any_call),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
