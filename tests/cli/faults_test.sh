#!/usr/bin/env bash
# faults_test: DCMEM_FAULTS puts programs that know nothing of it under a fault plan, or they are told why not.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

program=$DCMEM_BUILD_DIR/dcmem
trace=$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz
[ -x "$program" ] || exit 0
export DCMEM_LOG=warning

# replay: what it prints goes to the file "said".
replay() {
    "$program" replay "$trace" >said 2>&1
}

# own NAME ARGUMENT...: compiles the program below, which knows nothing of faults, in a folder of its own.
own() {
    case ${DCMEM_PRESET:-release} in
    asan | tsan | msan) skip "a program of its own is not instrumented" ;;
    esac
    cat >"$1.c" <<'C'
#include <dcmem/dcmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int
use(void)
{
    dcmem_manager *manager;
    if (dcmem_manager_create(&manager, NULL)) {
        printf("no manager: %s: %s\n", dcmem_result_name(dcmem_last_detail()->result), dcmem_last_detail()->message);
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        void *block = dcmem_raw_allocate(manager, 100);
        printf("block %d: %s\n", i + 1, block ? "yes" : dcmem_last_detail()->message);
        dcmem_raw_free(manager, block);
    }
    return dcmem_manager_destroy(manager) != DCMEM_OK;
}

int
main(int argc, char **argv)
{
    int failed = use(), status = 0;
    if (argc == 2 && strcmp(argv[1], "fork") == 0) {
        fflush(stdout);
        if (fork() == 0)
            return use();
        return wait(&status) < 0 || status || use();
    }
    for (int i = 1; i < argc; i++)
        failed |= setenv("DCMEM_FAULTS", argv[i], 1) || use();
    return failed;
}
C
    gcc -std=c11 -D_GNU_SOURCE -I"$DCMEM_SOURCE_DIR/include" "$1.c" -o "$1" "${@:2}"
}

# beside FOLDER: the library alone, without the kit.
beside() {
    mkdir "$1"
    cp "$(readlink -f "$DCMEM_BUILD_DIR/libdcmem.so")" "$1/libdcmem.so.0"
    ln -s libdcmem.so.0 "$1/libdcmem.so"
}

test_a_replay_survives_a_refused_acquire_and_says_which_it_was() {
    DCMEM_FAULTS="acquire:nth=3:oom" replay
    expect_said "dcmem: warning: faults: this program runs under a fault plan: DCMEM_FAULTS=acquire:nth=3:oom"
    expect_said "dcmem: warning: faults: fault 1: rule 1 (acquire:nth=3:oom): call 3, acquire of"
    [ "$(grep -c 'faults: fault' said)" = 1 ]
}

test_a_replay_fails_as_the_plan_says() {
    export DCMEM_FAULTS="program.raw_allocate:nth=1000:fail=busy"
    expect_failure replay
    expect_said "fault 1 of the plan (DCMEM_E_BUSY)"
}

test_the_same_plan_meets_the_same_calls_again() {
    export DCMEM_FAULTS="acquire:p=0.05:seed=9:times=9:slow=1us;program.raw_free:every=500:times=9:slow=1ns"
    replay
    grep 'faults: fault' said >first
    replay
    grep 'faults: fault' said | diff first -
    [ "$(wc -l <first)" = 18 ]
}

test_an_example_is_put_under_a_plan() {
    [ -x "$DCMEM_BUILD_DIR/examples/first" ] || skip "the examples were not built"
    DCMEM_FAULTS="copy:slow=1us" "$DCMEM_BUILD_DIR/examples/first" >said 2>&1
    expect_said "2 4 6 8"
    DCMEM_FAULTS="program.any:after=1:oom:for=ever" expect_failure "$DCMEM_BUILD_DIR/examples/first"
}

test_a_malformed_plan_is_never_ignored() {
    export DCMEM_FAULTS="acquire:nht=3:oom"
    expect_failure replay
    expect_said 'fault plan, column 9: expected one of size tag thread'
    expect_said 'not "nht"'
    ! grep -q "runs under a fault plan" said
}

test_an_empty_variable_is_none() {
    DCMEM_FAULTS="" replay
    ! grep -q "fault plan" said
}

test_without_the_variable_the_kit_is_not_opened() {
    own plain "$DCMEM_BUILD_DIR/libdcmem.so" -Wl,-rpath,"$DCMEM_BUILD_DIR"
    LD_DEBUG=files ./plain 2>said
    ! grep -q libdcmem-testing said
}

test_the_kit_is_found_beside_the_library() {
    own plain "$DCMEM_BUILD_DIR/libdcmem.so" -Wl,-rpath,"$DCMEM_BUILD_DIR"
    DCMEM_FAULTS="program.raw_allocate:nth=2:oom" ./plain >said 2>&1
    expect_said "block 1: yes"
    expect_said "block 2: raw_allocate of 100 bytes: fault 1 of the plan"
    expect_said "block 3: yes"
}

test_each_plan_holds_for_the_managers_that_are_made_under_it() {
    own plain "$DCMEM_BUILD_DIR/libdcmem.so" -Wl,-rpath,"$DCMEM_BUILD_DIR"
    DCMEM_FAULTS="program.raw_allocate:nth=2:oom" ./plain "program.raw_allocate:nth=3:fail=busy" "" \
        "program.raw_allocate:nth=2:oom" "program.raw_allocate:nth=3:fail=busy" >said 2>&1
    [ "$(grep -c "runs under a fault plan" said)" = 2 ]
    # The plans go on where they were: each fires once.
    expect_said "fault 1: rule 1 (program.raw_allocate:nth=2:oom)"
    expect_said "fault 1: rule 1 (program.raw_allocate:nth=3:fail=busy)"
    [ "$(grep -c "block [123]: yes" said)" = 13 ]
}

test_the_child_of_a_fork_goes_on_under_the_plan() {
    own plain "$DCMEM_BUILD_DIR/libdcmem.so" -Wl,-rpath,"$DCMEM_BUILD_DIR"
    DCMEM_FAULTS="program.raw_allocate:nth=5:oom" ./plain fork >said 2>&1
    # The fifth of the parent's is its second after the fork, and so is the child's.
    [ "$(grep -c "call 5, program.raw_allocate" said)" = 2 ]
    [ "$(grep -c "block [123]: yes" said)" = 7 ]
}

test_a_library_without_its_kit_says_so() {
    beside alone
    own plain alone/libdcmem.so -Wl,-rpath,"$PWD/alone"
    ./plain
    export DCMEM_FAULTS="copy:oom"
    expect_failure ./plain
    expect_said "DCMEM_E_UNAVAILABLE: DCMEM_FAULTS is set, but the testing kit cannot be opened: "
}

test_a_kit_of_another_version_is_refused() {
    beside older
    echo 'int nothing;' >nothing.c
    gcc -shared -fPIC nothing.c -o older/libdcmem-testing.so.0
    own plain older/libdcmem.so -Wl,-rpath,"$PWD/older"
    export DCMEM_FAULTS="copy:oom"
    expect_failure ./plain
    expect_said "libdcmem-testing.so.0 is of another version: "
}

test_a_kit_that_works_with_another_copy_is_refused() {
    beside other
    for name in create over guard set_log; do echo "int dcmem_fault_plan_$name; "; done >kit.c
    echo 'int dcmem_log_write;' >>kit.c
    gcc -shared -fPIC kit.c -o other/libdcmem-testing.so.0
    own plain other/libdcmem.so -Wl,-rpath,"$PWD/other"
    export DCMEM_FAULTS="copy:oom"
    expect_failure ./plain
    expect_said "libdcmem-testing.so.0 works with another copy of libdcmem"
}

test_a_program_with_dcmem_in_it_is_told_what_to_do() {
    local coverage=()
    [ "${DCMEM_PRESET:-}" != coverage ] || coverage=(--coverage)
    own inside "$DCMEM_BUILD_DIR/libdcmem.a" -lpthread -ldl "${coverage[@]}"
    ./inside
    export DCMEM_FAULTS="copy:oom"
    expect_failure ./inside
    expect_said "DCMEM_FAULTS is set, but dcmem is linked into this program; link it with libdcmem.so"
}

test_a_static_program_is_told_what_to_do() {
    [ "${DCMEM_PRESET:-release}" = release ] || skip "one static program is enough"
    own static "$DCMEM_BUILD_DIR/libdcmem.a" -static -lpthread 2>/dev/null
    ./static
    export DCMEM_FAULTS="copy:oom"
    expect_failure ./static
    expect_said "dcmem is linked into this program"
}

test_a_program_with_more_rights_than_its_user_does_not_look() {
    [ "$(id -u)" = 0 ] || skip "only root can make such a program"
    own plain "$DCMEM_BUILD_DIR/libdcmem.so" -Wl,-rpath,"$DCMEM_BUILD_DIR"
    chmod 755 .
    chown 65534 plain
    chmod 4755 plain
    DCMEM_FAULTS="program.raw_allocate:oom" ./plain >said 2>&1 || skip "another user cannot reach the build folder"
    expect_said "block 1: yes"
    ! grep -q "fault plan" said
}

run_tests "$@"
