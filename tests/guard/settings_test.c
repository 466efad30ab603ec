/* settings_test.c: guards asked for by options, and by the environment of a program that knows nothing of them. */
#include "kit.h"

#include "guard/settings.h"

static dcmem_result
create(const dcmem_manager_options *wanted)
{
    dcmem_manager *manager = NULL;
    dcmem_manager_options options = *wanted;
    options.size = sizeof options;
    options.maintenance_interval_ns = DCMEM_MAINTENANCE_OFF;
    dcmem_result result = dcmem_manager_create(&manager, &options);
    if (result)
        EXPECT(!manager);
    else
        EXPECT_OK(dcmem_manager_destroy(manager));
    return result;
}

TEST(settings__refuse_options_out_of_range)
{
    dcmem_manager_options unknown = {.guards = 1u << 5};
    EXPECT_RESULT(create(&unknown), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("options->guards is 0x20");
    dcmem_manager_options both = {.guards = DCMEM_GUARD_NONE | DCMEM_GUARD_LEAKS};
    EXPECT_RESULT(create(&both), DCMEM_E_INVALID_ARGUMENT);
    dcmem_manager_options large = {.guards = DCMEM_GUARD_ALL, .guard_bytes = (1u << 20) + 1};
    EXPECT_RESULT(create(&large), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("options->guard_bytes is 1048577");
    dcmem_manager_options good = {.guards = DCMEM_GUARD_ALL, .guard_bytes = 1, .quarantine_bytes = UINT64_MAX};
    EXPECT_OK(create(&good));
}

TEST(settings__understand_every_word)
{
    static const struct {
        const char *text;
        dcmi_guard_settings wanted;
    } cases[] = {
        {"", {0, 64, 64 * MIB}},
        {"none", {0, 64, 64 * MIB}},
        {"all", {DCMEM_GUARD_ALL, 64, 64 * MIB}},
        {"red-zones", {DCMEM_GUARD_RED_ZONES, 64, 64 * MIB}},
        {"leaks,call-sites", {DCMEM_GUARD_LEAKS | DCMEM_GUARD_CALL_SITES, 64, 64 * MIB}},
        {"red-zones=1KiB,poison", {DCMEM_GUARD_RED_ZONES | DCMEM_GUARD_POISON, 1024, 64 * MIB}},
        {"all,quarantine=3GiB", {DCMEM_GUARD_ALL, 64, 3072 * MIB}},
        {"quarantine=5,red-zones=1MiB", {DCMEM_GUARD_QUARANTINE | DCMEM_GUARD_RED_ZONES, 1 << 20, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dcmi_guard_settings got;
        EXPECT_OK(dcmi_guard_settings_parse(&got, cases[i].text));
        EXPECT_EQ(got.flags, cases[i].wanted.flags);
        EXPECT_EQ(got.zone_bytes, cases[i].wanted.zone_bytes);
        EXPECT_EQ(got.quarantine_bytes, cases[i].wanted.quarantine_bytes);
    }
}

TEST(settings__name_the_word_that_is_not_understood)
{
    static const char *const cases[] = {
        "yes",
        "ALL",
        "all,",
        ",all",
        "all,,leaks",
        " all",
        "red-zone",
        "red-zonesx",
        "red-zones=",
        "red-zones=0",
        "red-zones=-1",
        "red-zones=1MB",
        "red-zones=2MiB",
        "red-zones=0x10",
        "red-zones=99999999999999999999",
        "quarantine=KiB",
        "quarantine=18446744073709551615GiB",
        "quarantine=1KiB2",
        "poison=1",
        "all=1",
        "leaks;poison",
        "\xff\xfe",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dcmi_guard_settings got = {.flags = 77};
        EXPECT_RESULT(dcmi_guard_settings_parse(&got, cases[i]), DCMEM_E_INVALID_ARGUMENT);
        EXPECT_DETAIL("DCMEM_GUARDS has \"");
        EXPECT_EQ(got.flags, 77);
    }
    char long_word[5000];
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    dcmi_guard_settings got;
    EXPECT_RESULT(dcmi_guard_settings_parse(&got, long_word), DCMEM_E_INVALID_ARGUMENT);
}

TEST(settings__of_the_environment_count_where_the_options_say_nothing)
{
    dcmem_manager_options nothing = {0}, none = {.guards = DCMEM_GUARD_NONE}, leaks = {.guards = DCMEM_GUARD_LEAKS};
    setenv("DCMEM_GUARDS", "red-zones=128,quarantine=1MiB", 1);
    ground it = ground_on(NULL, &nothing);
    EXPECT_HEARD("guard: by DCMEM_GUARDS in the environment: red-zones=128,quarantine=1MiB");
    char *block = allocate(&it, 10);
    block[10 + 127] = 'x';
    EXPECT_RESULT(dcmem_raw_free(it.manager, block), DCMEM_E_CORRUPTED);
    ground_end(&it, DCMEM_OK);

    setenv("DCMEM_GUARDS", "red-zones,nonsense", 1);
    EXPECT_RESULT(create(&nothing), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("DCMEM_GUARDS has \"nonsense\"");
    EXPECT_OK(create(&none));
    EXPECT_OK(create(&leaks));
    unsetenv("DCMEM_GUARDS");
    it = ground_on(NULL, &nothing);
    EXPECT_RESULT(dcmem_guard_check(it.manager), DCMEM_E_WRONG_STATE);
    ground_end(&it, DCMEM_OK);
}
