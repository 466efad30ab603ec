#!/usr/bin/env bash
# migration_test: docs/migration.md shows its programs as they are tested, and names nothing that is not there.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

guide=$DCMEM_SOURCE_DIR/docs/migration.md
sources=("$DCMEM_SOURCE_DIR/tests/docs/stage.h" "$DCMEM_SOURCE_DIR"/tests/docs/migration*_test.c*)

# shellcheck source=guide.sh
. "$DCMEM_SOURCE_DIR/tests/docs/guide.sh"

test_every_program_that_is_shown_is_tested_as_it_is() {
    expect_programs_tested 9
}

test_every_program_that_is_tested_is_shown() {
    expect_programs_shown 9
}

test_every_name_of_ours_is_in_a_header() {
    expect_names_known
}

# Figures of dcmem_stats stand between backticks in the last column of their table.
test_every_figure_is_in_the_statistics() {
    local name
    # shellcheck disable=SC2016 # no command, backticks
    awk '/^###/ { in_table = /Statistics/ } in_table && /^\| `/ { sub(/^\|[^|]*\|/, ""); print }' "$guide" |
        grep -oE '`[a-z_]+`' | tr -d '`' | sort -u >names
    [ "$(wc -l <names)" -ge 15 ]
    while read -r name; do
        grep -q "X($name," "$DCMEM_SOURCE_DIR/include/dcmem/stats.h" || {
            echo "no figure is called $name"
            return 1
        }
    done <names
}

run_tests "$@"
