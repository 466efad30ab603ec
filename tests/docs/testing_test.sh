#!/usr/bin/env bash
# testing_test: docs/testing.md shows its programs as they are tested, and names nothing that is not there.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

guide=$DCMEM_SOURCE_DIR/docs/testing.md
# shellcheck disable=SC2034 # guide.sh's
sources=("$DCMEM_SOURCE_DIR/tests/docs/testing_test.c")
# shellcheck source=guide.sh
. "$DCMEM_SOURCE_DIR/tests/docs/guide.sh"

test_every_program_that_is_shown_is_tested_as_it_is() {
    expect_programs_tested 17
}

test_every_program_that_is_tested_is_shown() {
    expect_programs_shown 17
}

test_every_name_of_ours_is_in_a_header() {
    expect_names_known
}

# Every part of the kit has its word: a section of the header, a word of its calls.
test_every_section_of_the_kit_is_spoken_of() {
    local noun
    sed -n 's,^DCMEM_API.*\<dcmem_\(simulated\|fake\|rig\|sweep\|fault\|test_buffer\|test_data\)_.*,\1,p' \
        "$DCMEM_SOURCE_DIR"/include/dcmem/testing.h "$DCMEM_SOURCE_DIR"/include/dcmem/runner.h | sort -u >nouns
    [ "$(wc -l <nouns)" -ge 7 ]
    while read -r noun; do
        grep -q "dcmem_${noun}_" "$guide" || { echo "the guide does not speak of dcmem_${noun}_..." && return 1; }
    done <nouns
}

run_tests "$@"
