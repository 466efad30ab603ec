#!/usr/bin/env bash
# examples_test: the programs of examples/ do what they say, and README.md shows the first of them as it is.
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

test_readme_shows_first_as_it_is() {
    awk '/^```c$/ { shows = 1; next } /^```$/ { if (shows) exit } shows' "$DCMEM_SOURCE_DIR/README.md" >shown
    sed 1d "$DCMEM_SOURCE_DIR/examples/first.c" | diff shown -
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

test_pmr_fills_containers_and_buffers() {
    example pmr
    expect_said "1000 strings, sum of the first 100 numbers 4950"
}

test_test_buffer_finds_what_it_plants() {
    example test_buffer
    expect_said "operation 3 of a test buffer, read: refused by its option fail_after"
    expect_said "byte 101 is 0x10, not 0x00"
    expect_said "0 failures"
}

run_tests "$@"
