/* runner_test.c: expectations tell the handler what does not hold and leave the rest in peace; a rig's end says what a
 * test left behind. */
#include "base/os.h"
#include "test.h"
#include "testing/host.h"

#include <dcmem/dcmem.h>
#include <dcmem/runner.h>

#define KIB 1024ull

/* ---- A handler that notes ---- */

static struct {
    int calls;
    void *user;
    char file[200];
    int line;
    char message[700];
} told;

static void
note(void *user, const char *file, int line, const char *message)
{
    told.calls++;
    told.user = user;
    snprintf(told.file, sizeof told.file, "%s", file);
    told.line = line;
    snprintf(told.message, sizeof told.message, "%s", message);
}

static void
listen(void)
{
    memset(&told, 0, sizeof told);
    dcmem_test_on_failure(note, &told);
}

static void
expect_told(const char *message)
{
    EXPECT_EQ(told.calls, 1);
    if (strcmp(told.message, message) != 0)
        fail_msg("told \"%s\", not \"%s\"", told.message, message);
}

static dcmem_result
fails_so(dcmem_result result)
{
    return dcmem_backend_fail(result, "test", 0, "the reason");
}

/* ---- Results ---- */

TEST(expect__is_silent_when_the_result_fits)
{
    listen();
    EXPECT(DCMEM_EXPECT_OK(DCMEM_OK));
    EXPECT(DCMEM_EXPECT_RESULT(fails_so(DCMEM_E_BUSY), DCMEM_E_BUSY));
    EXPECT_EQ(told.calls, 0);
}

TEST(expect__says_where_it_stands_and_to_whom)
{
    listen();
    EXPECT(!DCMEM_EXPECT_OK(DCMEM_E_BUSY));
    EXPECT_EQ(told.line, __LINE__ - 1);
    EXPECT(strcmp(told.file, __FILE__) == 0);
    EXPECT(told.user == &told);
}

TEST(expect__gives_the_detail_of_a_failure)
{
    listen();
    (void)DCMEM_EXPECT_OK(fails_so(DCMEM_E_NO_MEMORY));
    expect_told("fails_so(DCMEM_E_NO_MEMORY) gave DCMEM_E_NO_MEMORY: the reason");
}

TEST(expect__does_not_lend_a_result_the_detail_of_another)
{
    listen();
    (void)fails_so(DCMEM_E_NO_MEMORY);
    (void)DCMEM_EXPECT_OK(DCMEM_E_BUSY);
    expect_told("DCMEM_E_BUSY gave DCMEM_E_BUSY: the memory is in use");
}

TEST(expect__says_which_result_was_wanted)
{
    listen();
    (void)DCMEM_EXPECT_RESULT(DCMEM_OK, DCMEM_E_BUSY);
    expect_told("DCMEM_OK succeeded, wanted DCMEM_E_BUSY");
    listen();
    (void)DCMEM_EXPECT_RESULT(fails_so(DCMEM_E_LOST), DCMEM_E_BUSY);
    expect_told("fails_so(DCMEM_E_LOST) gave DCMEM_E_LOST, wanted DCMEM_E_BUSY: the reason");
}

TEST(expect__evaluates_its_call_once)
{
    int calls = 0;
    listen();
    EXPECT(DCMEM_EXPECT_OK((calls++, DCMEM_OK)));
    EXPECT_EQ(calls, 1);
}

TEST(expect__bears_missing_words)
{
    listen();
    EXPECT(!dcmem_expect_result(NULL, 3, NULL, DCMEM_OK, DCMEM_E_BUSY));
    expect_told("a call succeeded, wanted DCMEM_E_BUSY");
    EXPECT(strcmp(told.file, "?") == 0);
    listen();
    dcmem_test_fail(NULL, 3, NULL);
    expect_told("failed");
}

TEST(expect__cuts_a_long_text)
{
    char what[2000];
    memset(what, 'x', sizeof what - 1);
    what[sizeof what - 1] = '\0';
    listen();
    EXPECT(!dcmem_expect_result("file", 1, what, DCMEM_OK, DCMEM_E_BUSY));
    EXPECT_EQ(strspn(told.message, "x"), strlen(told.message));
    EXPECT_GE(strlen(told.message), 500);
}

static jmp_buf way_out;

static void
jump(void *user, const char *file, int line, const char *message)
{
    note(user, file, line, message);
    longjmp(way_out, 1);
}

TEST(expect__may_be_left_by_a_jump)
{
    listen();
    dcmem_test_on_failure(jump, NULL);
    if (setjmp(way_out) == 0) {
        (void)DCMEM_EXPECT_OK(DCMEM_E_BUSY);
        fail_msg("the handler came back");
    }
    EXPECT_EQ(told.calls, 1);
}

/* ---- Bytes ---- */

static void
fill_pattern(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
}

TEST(expect__compares_the_bytes_of_a_view)
{
    enum { BYTES = 10000 }; /* of several pieces */
    static uint8_t bytes[BYTES];
    fill_pattern(bytes, BYTES);
    dcmem_rig rig;
    dcmem_buffer *buffer;
    dcmem_view numbers, slice;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_buffer_create_from(&buffer, rig.manager, bytes, BYTES, NULL));
    EXPECT_OK(dcmem_view_typed(&numbers, buffer, 4));
    EXPECT_OK(dcmem_view_slice(&slice, numbers, 1000, 1500));

    listen();
    EXPECT(DCMEM_EXPECT_BYTES(dcmem_view_whole(buffer), bytes));
    EXPECT(DCMEM_EXPECT_BYTES(slice, bytes + 4000));
    EXPECT_EQ(told.calls, 0);

    bytes[9001] ^= 1;
    bytes[9999] ^= 1;
    EXPECT(!DCMEM_EXPECT_BYTES(slice, bytes + 4000));
    char wanted[120];
    snprintf(wanted, sizeof wanted, "slice: byte 5001 is 0x%02x, wanted 0x%02x; 2 of 6000 differ", bytes[9001] ^ 1,
             bytes[9001]);
    expect_told(wanted);

    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(expect__says_why_bytes_cannot_be_read)
{
    dcmem_rig rig;
    dcmem_buffer *buffer;
    uint8_t bytes[16] = {0};
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_buffer_create(&buffer, rig.manager, sizeof bytes, NULL));
    dcmem_view view = dcmem_view_whole(buffer);

    listen();
    EXPECT(!DCMEM_EXPECT_BYTES(view, bytes));
    EXPECT(strstr(told.message, "view cannot be read: DCMEM_E_UNWRITTEN: ") == told.message);
    EXPECT(!DCMEM_EXPECT_BYTES(view, NULL));
    EXPECT(strcmp(told.message, "view: no bytes to compare with") == 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT(!dcmem_expect_bytes("file", 1, NULL, view, bytes));
    EXPECT(strstr(told.message, "a view cannot be read: DCMEM_E_STALE_BUFFER: ") == told.message);
    EXPECT_EQ(told.calls, 3);
    EXPECT_OK(dcmem_rig_end(&rig));
}

/* ---- Rigs ---- */

TEST(rig__has_a_device_a_fake_and_a_manager_that_fit)
{
    dcmem_rig rig;
    dcmem_simulated_account account = {.size = sizeof account};
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    void *block = dcmem_raw_allocate(rig.manager, 8192 * KIB);
    EXPECT(block);
    EXPECT_OK(dcmem_simulated_account_of(&account, rig.simulated, 0));
    EXPECT_GE(account.live_bytes, 8192 * KIB);
    EXPECT_EQ(account.live_bytes, dcmem_fake_live_bytes(rig.fake));
    EXPECT(rig.backend == dcmem_fake_backend(rig.fake));
    EXPECT_OK(dcmem_raw_free(rig.manager, block));
    EXPECT_OK(dcmem_rig_end(&rig));
    EXPECT(!rig.manager && !rig.backend && !rig.fake && !rig.simulated);
}

TEST(rig__stands_on_every_profile)
{
    for (int device = 0; device < DCMEM_SIMULATED_DEVICE_COUNT; device++) {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of((dcmem_simulated_device)device);
        dcmem_device_info info = {.size = sizeof info};
        dcmem_rig rig;
        EXPECT_OK(dcmem_rig_begin(&rig, &profile));
        EXPECT_OK(dcmem_manager_device_info(&info, rig.manager));
        EXPECT_EQ(info.total_bytes, profile.total_bytes);
        EXPECT_OK(dcmem_rig_end(&rig));
    }
}

TEST(rig__says_at_its_end_that_something_leaked)
{
    dcmem_rig rig;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT(dcmem_raw_allocate(rig.manager, 1000));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_LEAKED);
    EXPECT_DETAIL("still in use");
    EXPECT_OK(dcmem_rig_end(&rig)); /* all of it is gone all the same */
}

TEST(rig__says_at_its_end_that_an_expectation_was_not_met)
{
    dcmem_rig rig;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 2, 2));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_WRONG_STATE);
    EXPECT_DETAIL("copy: expected at least 2 calls, saw 0");
}

TEST(rig__tells_the_first_of_two_things)
{
    dcmem_rig rig;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 2, 2));
    EXPECT(dcmem_raw_allocate(rig.manager, 1000));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_LEAKED);
}

TEST(rig__does_not_blame_a_test_that_failed_for_what_it_left)
{
    dcmem_rig rig;
    dcmem_access access;
    dcmem_buffer *buffer;
    uint8_t byte = 0;
    listen();
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_buffer_create_from(&buffer, rig.manager, &byte, 1, NULL));
    EXPECT_OK(dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, 0));
    EXPECT_OK(dcmem_fake_expect(rig.fake, DCMEM_FAKE_copy, 100, 100));
    EXPECT(!DCMEM_EXPECT_OK(DCMEM_E_BUSY));
    EXPECT_OK(dcmem_rig_end(&rig));

    /* The next one is judged as ever. */
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT(dcmem_raw_allocate(rig.manager, 1000));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_LEAKED);
}

TEST(rig__stays_while_another_manager_is_open_on_it)
{
    dcmem_rig rig;
    dcmem_manager *other;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    dcmem_manager_options options = {.size = sizeof options, .driver = rig.backend};
    EXPECT_OK(dcmem_manager_create(&other, &options));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_BUSY);
    EXPECT(!rig.manager);
    EXPECT_OK(dcmem_manager_destroy(other));
    EXPECT_OK(dcmem_rig_end(&rig));
}

TEST(rig__may_have_lost_its_manager_before)
{
    dcmem_rig rig;
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_manager_destroy(rig.manager));
    rig.manager = NULL;
    EXPECT_OK(dcmem_rig_end(&rig));
    EXPECT_OK(dcmem_rig_begin(&rig, NULL));
    EXPECT_OK(dcmem_manager_destroy(rig.manager));
    EXPECT_RESULT(dcmem_rig_end(&rig), DCMEM_E_STALE_MANAGER);
}

TEST(rig__refuses_what_is_none)
{
    dcmem_rig rig;
    dcmem_simulated_profile nothing = {.size = sizeof nothing};
    EXPECT_RESULT(dcmem_rig_begin(NULL, NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("out");
    memset(&rig, 0x5A, sizeof rig);
    EXPECT_RESULT(dcmem_rig_begin(&rig, &nothing), DCMEM_E_INVALID_ARGUMENT);
    EXPECT(((uint8_t *)&rig)[0] == 0x5A);
    EXPECT_RESULT(dcmem_rig_end(NULL), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("rig");
}

/* Everything that a rig asks the host for. */
static int asked, fail_at;

static bool
is_the_one(void)
{
    return ++asked == fail_at;
}

static bool
is_the_one_of(const char *what)
{
    (void)what;
    return is_the_one();
}

TEST(rig__leaves_nothing_behind_when_the_host_has_no_memory)
{
    dcmem_rig rig;
    bool was_asked = true;
    for (fail_at = 1; was_asked; fail_at++) {
        memset(&rig, 0x5A, sizeof rig);
        asked = 0;
        dcmi_testing_fault = is_the_one;
        dcmi_os_fault = is_the_one_of;
        dcmem_result result = dcmem_rig_begin(&rig, NULL);
        dcmi_testing_fault = NULL;
        dcmi_os_fault = NULL;
        was_asked = asked >= fail_at;
        if (result) {
            EXPECT(was_asked);
            EXPECT(((uint8_t *)&rig)[0] == 0x5A);
        } else {
            EXPECT_OK(dcmem_rig_end(&rig));
        }
    }
    EXPECT_GE(fail_at, 5);
}
