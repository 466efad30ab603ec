#!/usr/bin/env bash
# faults_test: docs/faults.md and dcmem-faults(7) name every part of a plan, and the guide's commands and programs run.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"
# shellcheck source=guide.sh
. "$DCMEM_SOURCE_DIR/tests/docs/guide.sh"

# shellcheck disable=SC2034 # guide.sh reads them
guide=$DCMEM_SOURCE_DIR/docs/faults.md sources=("$DCMEM_SOURCE_DIR/tests/docs/faults_test.c")

test_programs_are_tested_as_they_are_shown() {
    expect_programs_tested 3
}

test_commands_run() {
    local line
    [ -x "$DCMEM_BUILD_DIR/dcmem" ] || skip "the program was not built"
    ln -s "$DCMEM_SOURCE_DIR/traces" traces
    grep '^DCMEM_FAULTS=' "$guide" | grep ' dcmem ' >commands
    [ "$(wc -l <commands)" = 3 ]
    while read -r line; do
        PATH=$DCMEM_BUILD_DIR:$PATH bash -ec "$line" >said 2>&1 </dev/null || { cat said && return 1; }
        expect_said "faults: fault 1: rule 1 ("
    done <commands
}

test_guide_and_page_name_every_part() {
    local word words
    words=$(awk '/^    (TRIGGER|EFFECT)\(/ { sub(/^[^(]*\(/, ""); sub(/[^a-z"].*/, ""); gsub(/"/, ""); print }' \
        "$DCMEM_SOURCE_DIR/src/testing/plan.c")
    [ "$(wc -w <<<"$words")" -ge 20 ]
    for word in $words; do
        grep -q "\`${word}[=\`]" "$guide" || { echo "the guide does not tell of $word" && return 1; }
        grep -q "^\.It Cm $word\b" "$DCMEM_SOURCE_DIR/man/dcmem-faults.7" ||
            { echo "the page does not tell of $word" && return 1; }
    done
}

test_the_page_is_clean_for_mandoc() {
    command -v mandoc >/dev/null || skip "mandoc is not installed"
    mandoc -T lint -W warning "$DCMEM_SOURCE_DIR/man/dcmem-faults.7"
}

run_tests "$@"
