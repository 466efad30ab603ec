#!/usr/bin/env bash
# tools_test: each check passes on this repository, and refuses what it is there to refuse.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

tools=$DCMEM_SOURCE_DIR/tools

# file PATH: writes standard input there.
file() {
    mkdir -p "$(dirname "$1")"
    cat >"$1"
}

# refuses_include PATH INCLUDE REASON: in a tree with only that file.
refuses_include() {
    rm -rf tree
    file "tree/$1" <<<"#include $2"
    expect_failure "$tools/check-layers" tree
    expect_said "$1:1:"
    expect_said "$3"
}

allows_include() {
    rm -rf tree
    file "tree/$1" <<<"#include $2"
    "$tools/check-layers" tree
}

test_every_tool_explains_itself() {
    local tool
    for tool in "$tools"/*; do
        "$tool" --help | grep -q "^usage: tools/$(basename "$tool")"
    done
}

test_layers_hold_in_this_repository() {
    "$tools/check-layers"
}

test_layers_refuse_looking_up() {
    refuses_include src/base/size.c '"pool/pool.h"' "src/pool lies above src/base"
    refuses_include src/pool/class.c '"buffer/slot.h"' "src/buffer lies above src/pool"
    refuses_include src/stats/shard.c '"backend/device.h"' "src/backend lies above src/stats"
}

test_layers_allow_looking_down() {
    allows_include src/manager/manager.c '"pool/pool.h"'
    allows_include src/pool/pool.c '"pool/class.h"'
    allows_include src/base/fail.c '<dcmem/backend.h>'
}

test_layers_keep_drivers_guests() {
    refuses_include src/drivers/cpu/cpu.c '"pool/pool.h"' "a driver includes"
    refuses_include src/drivers/cpu/cpu.c '"drivers/cuda/cuda.h"' "a driver includes"
    refuses_include src/drivers/cpu/cpu.c '<dcmem/manager.h>' "a driver knows the library"
    refuses_include src/backend/registry.c '"drivers/cpu/cpu.h"' "known by their tables"
    allows_include src/drivers/cpu/cpu.c '"drivers/cpu/numa.h"'
    allows_include src/drivers/cpu/cpu.c '<dcmem/backend.h>'
}

test_layers_keep_customers_out_of_src() {
    refuses_include src/testing/fake.c '"base/fail.h"' "public headers"
    refuses_include cli/replay.c '"pool/pool.h"' "public headers"
    refuses_include bench/churn.c '"stats/shard.h"' "public headers"
    refuses_include examples/first.c '"base/lock.h"' "public headers"
    refuses_include tests/misuse/misuse_test.c '"buffer/slot.h"' "public headers"
    refuses_include tests/misuse/misuse_test.c '"cli/trace.h"' "look into the program"
    allows_include cli/replay.c '"bench/allocator.h"'
    allows_include tests/cli/trace_test.c '"cli/trace.h"'
}

test_layers_let_a_unit_test_see_its_layer_and_those_below() {
    allows_include tests/pool/class_test.c '"pool/class.h"'
    allows_include tests/pool/class_test.c '"base/size.h"'
    refuses_include tests/pool/class_test.c '"buffer/slot.h"' "nothing above"
}

test_layers_keep_layers_of_vendors_apart_from_dcmem() {
    allows_include tests/layers/vulkan_layer.c '"drivers/vulkan/vk.h"'
    refuses_include tests/layers/vulkan_layer.c '"drivers/vulkan/card.h"' "nothing of dcmem"
    refuses_include tests/layers/vulkan_layer.c '"base/size.h"' "nothing of dcmem"
}

test_layers_let_tests_share_helpers() {
    rm -rf tree
    file tree/tests/backend/everything.h </dev/null
    file tree/tests/testing/fake_test.c <<<'#include "backend/everything.h"'
    "$tools/check-layers" tree
    file tree/src/backend/everything.h </dev/null
    expect_failure "$tools/check-layers" tree
}

test_layers_keep_public_headers_public() {
    refuses_include include/dcmem/buffer.h '"base/size.h"' "public and standard"
    refuses_include include/dcmem/buffer.h '"dcmem/base.h"' "included as <dcmem/...>"
    refuses_include src/pool/pool.c '"../buffer/slot.h"' 'no path holds ".."'
}

test_doubles_are_none_in_this_repository() {
    "$tools/check-doubles"
}

# refuses_double REASON PATH: standard input in that file, alone in a tree.
refuses_double() {
    rm -rf tree
    file "tree/$2"
    expect_failure "$tools/check-doubles" tree
    expect_said "$2:"
    expect_said "$1"
}

allows_double() {
    rm -rf tree
    file "tree/$1"
    "$tools/check-doubles" tree
}

test_doubles_are_found_by_the_functions_of_their_table() {
    refuses_double "for the field flush" tests/pool/kit.h <<'END'
static dcmem_result
no_flush(void *device, const dcmem_call *call, const dcmem_extent *extent, uint64_t offset, uint64_t bytes)
{
    return DCMEM_OK;
}
static const dcmem_backend table = {.size = sizeof table, .flush = no_flush};
END
    refuses_double "for the field count" bench/cases.c <<'END'
static dcmem_backend table;
void begin(void) { table.count = count; }
static dcmem_result count(uint32_t *out, const dcmem_backend *backend)
{
END
    refuses_double "parameters of acquire" tests/pool/fit_test.c <<'END'
static dcmem_result
give(dcmem_extent *out, void *device, const dcmem_call *call,
     const dcmem_acquire *request)
{
END
}

test_doubles_are_found_by_their_names() {
    refuses_double "by its name" tests/pool/fit_test.c <<<'typedef struct mock_device {'
    refuses_double "by its name" examples/test_buffer.c <<<'struct test_buffer {'
}

test_doubles_are_not_what_breaks_or_copies_a_table_and_other_tables() {
    allows_double tests/backend/check_test.c <<'END'
static void
map(void)
{
    dcmem_backend table = *dcmem_fake_backend(fake);
    table.flush = NULL;
    table.map = whole.map;
    dcmi_cpu_calls.map = map;
    sweep.count = 3;
}
dcmem_result give(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request);
END
    allows_double src/drivers/cpu/cpu.c <<'END'
static dcmem_result
acquire(dcmem_extent *out, void *device, const dcmem_call *call, const dcmem_acquire *request)
{
    const dcmem_backend table = {.acquire = acquire};
END
}

test_docs_hold_in_this_repository() {
    "$tools/check-docs"
}

test_docs_refuse_a_call_without_a_comment() {
    file tree/include/dcmem/a.h <<'END'
/* a.h: a header. */

DCMEM_API int dcmem_silent(void);
END
    expect_failure "$tools/check-docs" tree
    expect_said "dcmem_silent lacks a comment"
}

test_docs_refuse_a_call_that_hides_its_errors() {
    file tree/include/dcmem/a.h <<'END'
/* Does something.
 * Threads: any. */
DCMEM_API int dcmem_half(int a,
                         int b);

/* Something else.
 * Errors: none. */
DCMEM_API void *dcmem_other_half(void);
END
    expect_failure "$tools/check-docs" tree
    expect_said 'a.h:3: dcmem_half lacks "Errors:"'
    expect_said 'a.h:8: dcmem_other_half lacks "Threads:"'
}

test_docs_refuse_a_former_name_that_hides_its_errors() {
    file tree/include/dcmem/a.h <<'END'
/* Does it. Threads: any. Errors: none. */
DCMEM_LEGACY("dcmem_new(1, "
             "2)")
static inline int
dcmem_told(int a)
{
    return a;
}

/* Does it. Threads: any. */
DCMEM_LEGACY("dcmem_new(2)")
static inline int
dcmem_hidden(int a)
{
    return a;
}
END
    expect_failure "$tools/check-docs" tree
    expect_said 'a.h:13: dcmem_hidden lacks "Errors:"'
    expect_said "2 exported calls, 1 say too little"
}

test_docs_let_neighbours_share_a_comment() {
    file tree/include/dcmem/a.h <<'END'
/* Threads: any. Errors: none. */
DCMEM_API int dcmem_one(int a,
                        int b);
DCMEM_API int dcmem_two(void);
END
    "$tools/check-docs" tree
    sed -i 's/^DCMEM_API int dcmem_two/\n&/' tree/include/dcmem/a.h
    expect_failure "$tools/check-docs" tree
}

test_sweeps_hold_in_this_repository() {
    "$tools/check-sweeps"
}

# swept_tree: one call that can fail, and a sweep of another.
swept_tree() {
    rm -rf tree
    file tree/include/dcmem/a.h <<'END'
/* Threads: any. Errors: DCMEM_E_NO_MEMORY. */
DCMEM_API dcmem_result dcmem_risky(void);

/* Threads: any. Errors: none. */
DCMEM_API int dcmem_safe(void);
END
    file tree/tests/testing/sweep_a_test.c <<'END'
static dcmem_result
helper(void)
{
    return dcmem_other();
}

static dcmem_result
act(subject *me)
{
    return helper();
}

static dcmem_result
prepare(subject *me)
{
    return dcmem_risky();
}

subject me = {.prepare = prepare, .perform = act};
END
}

test_sweeps_refuse_a_call_that_is_only_prepared_with() {
    swept_tree
    expect_failure "$tools/check-sweeps" tree
    expect_said "dcmem_risky can fail and is neither swept nor listed"
}

test_sweeps_find_a_call_behind_a_helper() {
    swept_tree
    sed -i 's/dcmem_other/dcmem_risky/' tree/tests/testing/sweep_a_test.c
    "$tools/check-sweeps" tree
}

test_sweeps_want_a_reason_for_what_is_listed_and_no_more_than_that() {
    swept_tree
    file tree/tests/testing/unswept.txt <<<'dcmem_risky:'
    expect_failure "$tools/check-sweeps" tree
    file tree/tests/testing/unswept.txt <<<'dcmem_risky: it asks nobody'
    "$tools/check-sweeps" tree
    file tree/tests/testing/unswept.txt <<<$'dcmem_risky: it asks nobody\ndcmem_safe: neither does this'
    expect_failure "$tools/check-sweeps" tree
    expect_said "dcmem_safe is no call that can fail"
    swept_tree
    file tree/tests/testing/unswept.txt <<<'dcmem_risky: it asks nobody'
    sed -i 's/dcmem_other/dcmem_risky/' tree/tests/testing/sweep_a_test.c
    expect_failure "$tools/check-sweeps" tree
    expect_said "dcmem_risky is swept"
}

test_mutants_can_all_be_planted() {
    "$tools/mutants" --check
}

# mutant_list FILE TEXT: with one mutant.
mutant_list() {
    file mutants.txt <<END
# a comment

mutant first: something goes wrong
in $1, by base/size_test
< $2
>
END
    export DCMEM_MUTANTS=$PWD/mutants.txt
}

test_mutants_refuse_what_can_no_longer_be_planted() {
    mutant_list src/base/size.h "this text is nowhere"
    expect_failure "$tools/mutants" --check
    expect_said "first: src/base/size.h does not have this text once: this text is nowhere"
    mutant_list src/base/size.h "static inline"
    expect_failure "$tools/mutants" --check
    mutant_list src/base/gone.h "static inline"
    expect_failure "$tools/mutants" --check
    file mutants.txt <<<"mutant first: something"
    expect_failure "$tools/mutants" --check
    expect_said "is not whole"
    file mutants.txt <<<"what is this"
    expect_failure "$tools/mutants" --check
    expect_said ":1: not what was expected there"
}

test_mutants_refuse_what_nobody_can_mean() {
    expect_failure "$tools/mutants" --sample some
    expect_said "takes a number"
    expect_failure "$tools/mutants" --check nonesuch --seed
    expect_failure "$tools/mutants" --nonesuch
    expect_failure "$tools/mutants" no-such-mutant
    expect_said "no mutant is named no-such-mutant"
}

test_symbols_hold_in_this_build() {
    case ${DCMEM_PRESET:-release} in
    release | release-clang | debug | hostile) "$tools/check-symbols" "$DCMEM_BUILD_DIR" ;;
    *) skip "the ${DCMEM_PRESET} build has symbols of its instrumentation" ;;
    esac
}

# library SOURCE: builds tree/libdcmem.so and .a of it, for a header that declares dcmem_yes().
library() {
    file tree/include/dcmem/a.h <<<'DCMEM_API int dcmem_yes(void);'
    file tree/a.c <<<"$1"
    (cd tree && gcc -fPIC -c a.c && gcc -shared -o libdcmem.so a.o "${@:2}" && ar rc libdcmem.a a.o)
}

test_symbols_accept_a_clean_library() {
    library 'int dcmem_yes(void) { return 1; }'
    "$tools/check-symbols" tree tree
}

test_symbols_refuse_a_foreign_name() {
    library 'int dcmem_yes(void) { return 1; } int helper(void) { return 1; }'
    expect_failure "$tools/check-symbols" tree tree
    expect_said "libdcmem.so exports: helper"
    expect_said "libdcmem.a has the global symbol: helper"
}

test_symbols_refuse_a_call_that_is_declared_but_not_there() {
    library 'int dcmem_no(void) { return 1; }'
    expect_failure "$tools/check-symbols" tree tree
    expect_said "declared but not exported: dcmem_yes"
    expect_said "exported but not declared in include/dcmem: dcmem_no"
}

test_symbols_refuse_another_library() {
    library '#include <math.h>
double dcmem_yes(double x) { return sin(x); }' -Wl,--no-as-needed -lm
    expect_failure "$tools/check-symbols" tree tree
    expect_said "libdcmem.so needs: libm.so"
}

test_symbols_refuse_much_thread_local_storage() {
    library '_Thread_local char much[2000] __attribute__((visibility("hidden")));
int dcmem_yes(void) { return much[0]; }'
    expect_failure "$tools/check-symbols" tree tree
    expect_said "2000 bytes of thread-local storage"
}

test_headers_hold_in_this_repository() {
    "$tools/check-headers"
}

test_headers_refuse_one_that_needs_another() {
    file tree/include/dcmem/a.h <<<'size_t dcmem_size(void);'
    expect_failure "$tools/check-headers" tree
    expect_said "dcmem/a.h does not compile alone with gcc -std=c11"
}

test_headers_refuse_one_that_is_not_cxx() {
    file tree/include/dcmem/a.h <<<'int dcmem_class(int class);'
    expect_failure "$tools/check-headers" tree
    expect_said "dcmem/a.h does not compile alone with g++ -std=c++17"
}

test_headers_refuse_one_without_a_guard() {
    file tree/include/dcmem/a.h <<<'typedef struct dcmem_a { int a; } dcmem_a;'
    expect_failure "$tools/check-headers" tree
}

# covered SOURCE: runs a build for coverage of tree/src/base/a.c, whose main gets no arguments.
covered() {
    rm -rf tree
    file tree/src/base/a.c <<<"$1"
    mkdir -p tree/build/CMakeFiles/dcmem-objects.dir
    (cd tree/build && gcc --coverage -O0 -c "${PWD%/build}/src/base/a.c" -o CMakeFiles/dcmem-objects.dir/a.c.o &&
        gcc --coverage CMakeFiles/dcmem-objects.dir/a.c.o -o a && ./a)
}

test_coverage_refuses_a_line_that_never_ran() {
    covered 'int main(int count, char **words)
{
    if (count > 5)
        return words[0][0];
    return 0;
}'
    expect_failure "$tools/check-coverage" tree/build tree
    expect_said "src/base/a.c:4: never ran"
    expect_said "1 of      2 branches"
    DCMEM_COVERAGE_MINIMUM=50 "$tools/check-coverage" tree/build tree
}

test_coverage_accepts_a_line_with_its_reason() {
    covered 'int main(int count, char **words)
{
    if (count > 5)
        return words[0][0]; /* COVER: nobody says so much */
    /* COVER begin: nor so */
    if (count > 7) {
        return 1;
    }
    /* COVER end */
    if (count > 6)
        /* COVER: nor so */
        return 1;
    return 0;
}'
    "$tools/check-coverage" tree/build tree
}

test_coverage_refuses_a_mark_without_a_reason() {
    covered 'int main(int count, char **words)
{
    if (count > 5)
        return words[0][0]; /* COVER: */
    return 0;
}'
    expect_failure "$tools/check-coverage" tree/build tree
    expect_said "without a reason"
}

test_text_holds_in_this_repository() {
    "$tools/check-text"
}

test_text_refuses_what_formatters_leave_alone() {
    file tree/src/a.c <<<"/* $(printf '%0120d' 0) */"
    expect_failure "$tools/check-text" tree
    expect_said "src/a.c:1: longer than 120 columns"
    file tree/src/a.c <<<$'int\ta;'
    expect_failure "$tools/check-text" tree
    expect_said "a tab"
    file tree/src/a.c <<<"int a; "
    expect_failure "$tools/check-text" tree
    expect_said "a blank at the end"
    printf 'int a;' >tree/src/a.c
    expect_failure "$tools/check-text" tree
    expect_said "no newline at the end"
}

# runner_says LAST_LINE SCRIPT [TIMEOUT]: what the runner ends with for a list with that one program.
runner_says() {
    local wanted=$1
    file program.sh <<<"#!/bin/sh
$2"
    chmod +x program.sh
    echo "$PWD/program.sh" >list
    DCMEM_TEST_TOTALS='' "$tools/run-tests" --fast --timeout "${3:-10}" list >said 2>&1 || true
    [ "$(tail -n 1 said)" = "$wanted" ] && return
    cat said
    echo "must end with: $wanted"
    return 1
}

test_the_runner_counts_what_passed_failed_and_was_skipped() {
    runner_says "1 passed, 1 failed, 1 skipped" 'echo "[==========] Running 3 test(s)."
        echo "[ RUN      ] a"; echo "[       OK ] a"
        echo "[ RUN      ] b"; echo "[  FAILED  ] b"
        echo "[ RUN      ] c"; echo "skipped: no device"; echo "[  SKIPPED ] c"
        echo "[  FAILED  ] b"; exit 1'
    expect_said "program.sh: no device: c"
}

test_the_runner_counts_tests_that_a_dead_program_still_owed() {
    runner_says "1 passed, 2 failed, 0 skipped" 'echo "[==========] Running 3 test(s)."
        echo "[ RUN      ] a"; echo "[       OK ] a"; echo "[ RUN      ] b"; kill -SEGV $$'
    expect_said "killed by signal 11 in b"
}

test_the_runner_does_not_count_the_tests_of_a_child() {
    runner_says "2 passed, 0 failed, 1 skipped" 'echo "[==========] Running 3 test(s)."
        echo "[ RUN      ] a"
        echo "[==========] Running 1 test(s)."; echo "[ RUN      ] a"; echo "[  FAILED  ] a"
        echo "[==========] 1 test(s) run."; echo "[  PASSED  ] 0 test(s)."
        echo "[       OK ] a"
        echo "[ RUN      ] b"; echo "[       OK ] b"; echo "[ RUN      ] c"; echo "[  SKIPPED ] c"
        echo "[==========] 3 test(s) run."; echo "[  PASSED  ] 2 test(s)."
        echo "[  SKIPPED ] 1 test(s), listed below:"; echo "[  SKIPPED ] c"'
}

test_the_runner_does_not_believe_a_program_that_leaves_early() {
    runner_says "0 passed, 2 failed, 0 skipped" 'echo "[==========] Running 2 test(s)."; exit 0'
}

test_the_runner_fails_a_program_whose_exit_code_says_so() {
    runner_says "1 passed, 1 failed, 0 skipped" 'echo "[==========] Running 1 test(s)."
        echo "[ RUN      ] a"; echo "[       OK ] a"; exit 23'
}

test_the_runner_ends_a_program_that_hangs() {
    runner_says "0 passed, 1 failed, 0 skipped" 'echo "[==========] Running 1 test(s)."
        echo "[ RUN      ] a"; exec sleep 60' 0.2
    expect_said "ran out of time"
}

test_the_runner_takes_words_for_programs_and_for_tests() {
    mkdir -p tests/pool
    # shellcheck disable=SC2016 # for the program
    file tests/pool/fit_test.sh <<<'#!/bin/sh
echo "[==========] Running 1 test(s)."; echo "[ RUN      ] $*"; echo "[       OK ] $*"; echo "$*" >>"$RUN_STATE/../ran"'
    chmod +x tests/pool/fit_test.sh
    echo "$PWD/tests/pool/fit_test.sh" >list
    export TMPDIR=$PWD
    "$tools/run-tests" --fast --filter buffer/ list && return 1
    "$tools/run-tests" --fast --filter buffer/ --filter pool/ list
    "$tools/run-tests" --fast --filter buffer/ --filter coalesces list
    [ "$(cat ran)" = "$(printf -- '--fast\n--fast coalesces')" ]
}

test_the_runner_fails_when_there_is_no_test() {
    runner_says "0 passed, 1 failed, 0 skipped" 'exit 0'
}

run_tests "$@"
