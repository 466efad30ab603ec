#!/usr/bin/env bash
# runners_test: the testing kit under each test runner: what is right passes, and what is broken fails in that runner's
# way, with the place and one line that says what is wrong.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# program NAME PACKAGE: where it is.
program() {
    program=$DCMEM_BUILD_DIR/examples/runners/$1
    [ "${DCMEM_PRESET:-}" != msan ] || skip "runners are not instrumented for MemorySanitizer"
    [ -x "$program" ] || skip "${1%-broken} was not here when this was configured (package $2)"
    case $1-${DCMEM_PRESET:-} in
    criterion*-tsan) skip "Criterion shares memory with its tests at an address that ThreadSanitizer keeps" ;;
    esac
}

passes() {
    program "$1" "$2"
    "$program" >said 2>&1 || {
        cat said
        return 1
    }
}

# line_of SOURCE WORDS: where these first stand in a source of the examples.
line_of() {
    grep -nF -- "$2" "$DCMEM_SOURCE_DIR/examples/runners/$1" | head -n 1 | cut -d: -f1
}

# What the README shows is what is said.
expect_shown_lines() {
    local line lines
    lines=$(awk '/^```$/ { shows = !shows; next } shows' "$DCMEM_SOURCE_DIR/examples/runners/README.md")
    [ "$(wc -l <<<"$lines")" = 3 ]
    while read -r line; do
        expect_said "$line"
    done <<<"$lines"
}

# fails NAME PACKAGE SOURCE: each kind of failure, where it is and what it is.
fails() {
    program "$1-broken" "$2"
    # Tests that fail end in the midst of things; what they then hold is no news.
    LSAN_OPTIONS=detect_leaks=0 expect_failure "$program"
    expect_said "$3:$(line_of "$3" DCMEM_EXPECT_BYTES)"
    expect_said "$3:$(line_of "$3" dcmem_fake_verify)"
    expect_said "$3:$(line_of "$3" dcmem_test_sweep)"
    expect_shown_lines
}

test_cmocka_passes_what_is_right() {
    passes cmocka libcmocka-dev
    expect_said "[  PASSED  ] 7 test(s)."
}

test_cmocka_says_what_is_broken() {
    fails cmocka libcmocka-dev cmocka.c
    expect_said "[  FAILED  ] tile__survives_every_failure"
    expect_said "[       OK ] tile__refuses_no_rows"
}

test_check_passes_what_is_right() {
    passes check check
    expect_said "100%: Checks: 7, Failures: 0, Errors: 0"
}

test_check_says_what_is_broken() {
    fails check check check.c
    expect_said "Checks: 7, Failures: 6, Errors: 0"
}

test_criterion_passes_what_is_right() {
    passes criterion libcriterion-dev
    expect_said "Tested: 7 | Passing: 7 | Failing: 0 | Crashing: 0"
}

test_criterion_says_what_is_broken() {
    fails criterion libcriterion-dev criterion.c
    expect_said "Tested: 7 | Passing: 1 | Failing: 6 | Crashing: 0"
}

test_googletest_passes_what_is_right() {
    passes googletest libgtest-dev
    expect_said "[  PASSED  ] 13 tests."
}

test_googletest_says_what_is_broken() {
    fails googletest libgtest-dev googletest.cpp
    expect_said "[  PASSED  ] 4 tests."
}

run_tests "$@"
