/* faults_test.c: the programs and plans of docs/faults.md. */
#include "test.h"

#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

/* Reads a few bytes back several times under the plan of the guide. */
static dcmem_result
show(int *out_wrong)
{
    dcmem_manager *manager;
    /* show: below */
    dcmem_fault_plan *plan;
    const dcmem_backend *faulty;
    if (dcmem_fault_plan_create(&plan, "copy:way=out:nth=2:flip") ||
        dcmem_fault_plan_over(&faulty, plan, dcmem_backend_find("cpu")))
        return dcmem_last_detail()->result;
    dcmem_manager_options options = {.size = sizeof options, .driver = faulty};
    /* end */
    /* show: above */
    if (dcmem_manager_create(&manager, &options) || dcmem_fault_plan_guard(plan, manager))
        return dcmem_last_detail()->result;
    /* end */
    uint8_t bytes[256] = {0};
    void *block = dcmem_raw_allocate_zeroed(manager, 1, sizeof bytes);
    for (int i = 0; i < 4; i++) {
        EXPECT_OK(dcmem_raw_read(manager, bytes, block, sizeof bytes));
        for (size_t n = 0; n < sizeof bytes; n++)
            *out_wrong += bytes[n] != 0;
    }
    /* show: fired */
    dcmem_fault fault;
    for (uint64_t i = 1; i <= dcmem_fault_plan_fired(plan); i++)
        if (dcmem_fault_plan_fault(&fault, plan, i) == DCMEM_OK)
            printf("fault %llu: %s at %s number %llu\n", (unsigned long long)fault.index, fault.effect, fault.operation,
                   (unsigned long long)fault.call);
    /* end */
    EXPECT_EQ(dcmem_fault_plan_fired(plan), 1);
    EXPECT(fault.call == 2);
    EXPECT_OK(dcmem_raw_free(manager, block));
    EXPECT_OK(dcmem_manager_destroy(manager));
    return dcmem_fault_plan_destroy(plan);
}

TEST(guide__programs_do_what_it_says)
{
    int wrong = 0;
    EXPECT_OK(show(&wrong));
    EXPECT_EQ(wrong, 1);
}

/* Calls `visit` for each line of the guide's blocks in the language "faults", without what stands behind "#". */
static int
each_plan(void (*visit)(char *plan))
{
    char line[512];
    int count = 0;
    bool is_inside = false;
    FILE *guide = fopen(TEST_SOURCE_DIR "/docs/faults.md", "r");
    EXPECT(guide != NULL);
    while (fgets(line, sizeof line, guide)) {
        if (strncmp(line, "```", 3) == 0) {
            is_inside = strcmp(line, "```faults\n") == 0;
            continue;
        }
        if (!is_inside)
            continue;
        line[strcspn(line, "#\n")] = '\0';
        for (size_t length = strlen(line); length && line[length - 1] == ' '; length--)
            line[length - 1] = '\0';
        visit(line);
        count++;
    }
    fclose(guide);
    return count;
}

static void
expect_plan(char *text)
{
    char printed[512];
    dcmem_fault_plan *plan;
    EXPECT_OK(dcmem_fault_plan_create(&plan, text));
    EXPECT(dcmem_fault_plan_print(printed, sizeof printed, plan) < sizeof printed);
    EXPECT_OK(dcmem_fault_plan_destroy(plan));
    assert_string_equal(printed, text);
}

TEST(guide__plans_are_good_and_written_as_they_are_printed)
{
    EXPECT_GE(each_plan(expect_plan), 15);
}
