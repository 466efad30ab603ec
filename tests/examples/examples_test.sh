#!/usr/bin/env bash
# examples_test: the programs of examples/ do what they say, and README.md shows two of them as they are.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# example NAME ARGUMENT...: runs it; what it prints goes to the file "said".
example() {
    local program=$DCMEM_BUILD_DIR/examples/$1
    [ -x "$program" ] || skip "example $1 was not built"
    "$program" "${@:2}" >said
}

test_first_brings_its_numbers_back_doubled() {
    example first
    expect_said "2 4 6 8"
}

# shown_as_it_is NAME N: the N-th piece of C in README.md is all of an example but its first line.
shown_as_it_is() {
    awk -v wanted="$2" '/^```c$/ { shows = ++n == wanted; next } /^```$/ { shows = 0 } shows' \
        "$DCMEM_SOURCE_DIR/README.md" >shown
    sed 1d "$DCMEM_SOURCE_DIR/examples/$1.c" | diff shown -
}

test_readme_shows_first_as_it_is() {
    shown_as_it_is first 1
}

test_readme_shows_sweep_as_it_is() {
    shown_as_it_is sweep 2
}

test_sweep_finds_nothing() {
    example sweep
}

# Without the test's own mending: the words that the README promises.
test_sweep_finds_a_leak() {
    case ${DCMEM_PRESET:-release} in
    release | release-clang | debug | hostile) ;;
    *) skip "the ${DCMEM_PRESET} build needs its own flags to be linked with" ;;
    esac
    sed 's/^    dcmem_result end = .*/    if (result)\n        return result;\n&/' \
        "$DCMEM_SOURCE_DIR/examples/sweep.c" >leaking.c
    gcc -std=c11 -I"$DCMEM_SOURCE_DIR/include" leaking.c -o leaking -L"$DCMEM_BUILD_DIR" -ldcmem-testing -ldcmem \
        -Wl,-rpath,"$DCMEM_BUILD_DIR"
    expect_failure ./leaking
    local words
    # shellcheck disable=SC2016 # backquotes of the README
    words=$(sed -n 's/.*`\(run [0-9]*, call [^`]*\)`.*/\1/p' "$DCMEM_SOURCE_DIR/README.md")
    [ -n "$words" ]
    expect_said "$words"
}

test_raw_is_refused_each_wrong_free() {
    local name
    example raw
    for name in INTERIOR UNKNOWN_ADDRESS ALREADY_FREE STALE_MANAGER; do
        expect_said "DCMEM_E_$name"
    done
}

test_stats_says_what_is_live() {
    example stats
    expect_said "34 live"
    expect_said "live_buffers"
}

test_stats_prints_json() {
    example stats --json
    [ "$(head -c 1 said)" = "{" ]
    expect_said '"live_buffers"'
}

test_guards_name_the_buffers_that_were_harmed_and_leaked() {
    example guards 2>log
    expect_said "check after a kernel: DCMEM_E_CORRUPTED"
    expect_said "tag 1, device, 1000 bytes"
    expect_said "02 03 04 fd"
    expect_said "destroy weights: DCMEM_E_CORRUPTED"
    expect_said "overrun: host side of buffer"
    expect_said "end of the manager: DCMEM_E_LEAKED"
    grep -q "leak: buffer .* tag 2, device, 5000 bytes, .* old; allocated by guards+0x" log
}

test_pmr_fills_containers_and_buffers() {
    example pmr
    expect_said "1000 strings, sum of the first 100 numbers 4950"
}

test_opencl_doubles_on_the_program_s_own_queue() {
    local rc=0
    example opencl || rc=$?
    [ "$rc" != 77 ] || skip "$(cat said)"
    expect_said "2 4 6 8"
}

test_test_buffer_finds_what_it_plants() {
    example test_buffer
    expect_said "operation 3 of a test buffer, read: refused by its option fail_after"
    expect_said "byte 101 is 0x10, not 0x00"
    expect_said "0 failures"
}

test_tiles_are_moved_as_boxes_with_progress() {
    example tiles
    expect_said "100 %"
    expect_said "12 tiles are inverted"
}

test_tiles_stop_when_they_are_told_to() {
    example tiles 40
    expect_said "DCMEM_E_CANCELLED"
    if grep -q "inverted" said; then
        return 1
    fi
}

test_queue_overlaps_tiles_on_two_queues() {
    example queue
    expect_said "8 tiles on one queue"
}

run_tests "$@"
