#!/usr/bin/env bash
# guarded_test: programs that know nothing of guards run as before when the environment brings them.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# Of the tests of buffers, raw memory and sweeps all but those that ask how large a block is or which is given next.
guarded() {
    local program=$DCMEM_BUILD_DIR/tests/$1
    [ -x "$program" ] || skip "$1 was not built"
    DCMEM_GUARDS=all "$program" "${@:2}" >said 2>&1 || {
        cat said
        return 1
    }
    if grep -E 'guard: (overrun|underrun|write after free)' said; then
        echo "$1 is called wrong"
        return 1
    fi
}

test_accesses_run_guarded() { guarded buffer/access_test --fast; }
test_handles_run_guarded() { guarded buffer/handle_test --fast; }
test_maps_run_guarded() { guarded buffer/map_test --fast; }
test_views_run_guarded() { guarded buffer/view_test --fast; }
test_copies_run_guarded() { guarded buffer/transfer_test --fast; }
test_mistakes_are_found_guarded() { guarded buffer/misuse_test --fast; }
test_failures_of_the_pool_run_guarded() { guarded pool/failure_test --fast; }
test_containers_run_guarded() { guarded cpp/cpp_test --fast; }
long_test_sweeps_of_memory_run_guarded() { guarded testing/sweep_memory_test --fast; }
long_test_sweeps_of_buffers_run_guarded() { guarded testing/sweep_buffer_test --fast; }

test_a_value_that_is_not_understood_is_named() {
    [ -x "$DCMEM_BUILD_DIR/examples/first" ] || skip "the examples were not built"
    DCMEM_GUARDS=everything expect_failure "$DCMEM_BUILD_DIR/examples/first"
    expect_said 'DCMEM_GUARDS has "everything"'
}

run_tests "$@"
