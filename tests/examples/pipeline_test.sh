#!/usr/bin/env bash
# pipeline_test: the image pipeline develops pictures; its test suite passes, finds each of the planted bugs, and says
# of them what examples/pipeline/README.md shows.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

folder=$DCMEM_SOURCE_DIR/examples/pipeline
programs=$DCMEM_BUILD_DIR/examples/pipeline

# suite NAME: where it is.
suite() {
    suite=$programs/$1
    [ -x "$suite" ] || skip "the pipeline's tests were not built: cmocka is not here"
}

# shown LANGUAGE WORDS: the README's blocks of a language in the section whose title has these words.
shown() {
    awk -v fence="\`\`\`$1" -v words="$2" '
        /^## / { is_there = index($0, words) }
        $0 == fence && is_there { shows = 1; next }
        /^```$/ { shows = 0 }
        shows' "$folder/README.md"
}

# finds NAME SECTION: the suite fails, with the lines of that section of the README.
finds() {
    local line lines
    suite "pipeline_test-$1"
    lines=$(shown text "$2")
    [ -n "$lines" ]
    # What a test that fails leaves behind is no news.
    LSAN_OPTIONS=detect_leaks=0 expect_failure "$suite"
    while read -r line; do
        expect_said "$line"
    done <<<"$lines"
}

# passed WORDS: all tests with these in their names.
passed() {
    grep -F "$1" said | grep -q "  OK " || return 1
    ! grep -F "$1" said | grep -q "  FAILED  "
}

# An edge from black to white, 8 pixels wide and 2 high, goes to in.ppm; what becomes of it to right.pgm.
picture() {
    {
        printf 'P6\n8 2\n255\n'
        printf '\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\377\377\377\377\377'
        printf '\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\377\377\377\377\377'
    } >in.ppm
    printf 'P5\n4 1\n255\n\0\377\377\0' >right.pgm
}

test_pipeline_develops_a_picture() {
    picture
    "$programs/pipeline" in.ppm out.pgm
    cmp out.pgm right.pgm
}

test_pipeline_refuses_what_is_no_picture() {
    echo "P6 but no picture" >in.ppm
    expect_failure "$programs/pipeline" in.ppm out.pgm
    expect_said "in.ppm: an argument is not valid"
    expect_failure "$programs/pipeline" nowhere.ppm out.pgm
    expect_failure "$programs/pipeline"
    expect_said "usage:"
}

# The program as it is shipped, its first call to dcmem refused, then its second, until a run meets no fault.
test_pipeline_fails_cleanly_whichever_call_a_fault_plan_fails() {
    [ "${DCMEM_PRESET:-}" != msan ] || skip "MemorySanitizer knows no thread-local memory of libraries opened late"
    [ -e "$DCMEM_BUILD_DIR/libdcmem-testing.so" ] || skip "there is no testing kit"
    local call rc
    picture
    for call in $(seq 100); do
        rm -f out.pgm
        rc=0
        DCMEM_FAULTS="program.any:nth=$call:fail=busy" "$programs/pipeline" in.ppm out.pgm >said 2>&1 || rc=$?
        grep -q "faults: fault 1:" said || break
        [ "$rc" = 1 ]
        expect_said ": fault 1 of the plan"
        [ ! -e out.pgm ]
        grep "in use" said && return 1
    done
    [ "$rc" = 0 ]
    cmp out.pgm right.pgm
    [ "$call" -gt 30 ]
}

test_its_suite_passes() {
    suite pipeline_test
    "$suite" >said 2>&1 || {
        cat said
        return 1
    }
    expect_said "[  PASSED  ] 21 test(s)."
}

test_its_suite_finds_a_missed_copy_where_memory_is_not_shared() {
    finds missed_copy "missed copy"
    passed "on unified"
    passed "on cpu"
}

test_its_suite_finds_a_leak_on_the_error_path() {
    finds leak "leak on the error path"
    passed "pipeline__develops_as_the_reference_does"
    passed "pipeline__develops_each_picture_with_its_own_contrast"
}

test_its_suite_finds_an_unchecked_result() {
    finds unchecked "unchecked result"
    passed "pipeline__develops_as_the_reference_does"
    passed "pipeline__fits_or_fails_cleanly_whatever_memory_there_is"
}

test_readme_shows_code_as_it_is() {
    local section
    for section in "missed copy" "leak on" "unchecked"; do
        [ -n "$(shown c "$section")" ]
        shown c "$section" | while read -r line; do
            grep -qF -- "$line" "$folder/pipeline.c" || {
                echo "pipeline.c has no such line: $line"
                return 1
            }
        done
    done
}

run_tests "$@"
