#!/usr/bin/env bash
# migration_test: docs/migration.md shows its programs as they are tested, and names nothing that is not there.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

guide=$DCMEM_SOURCE_DIR/docs/migration.md
sources=("$DCMEM_SOURCE_DIR/tests/docs/stage.h" "$DCMEM_SOURCE_DIR"/tests/docs/migration*_test.c*)

# shown NAME: the block of the guide behind "run: NAME".
shown() {
    awk -v mark="<!-- run: $1 -->" '
        $0 == mark { armed = 1; next }
        armed && /^```$/ { exit }
        armed && in_block
        armed && /^```c/ { in_block = 1 }' "$guide"
}

# tested NAME: the same from the tests, indented as in the guide.
tested() {
    awk -v mark="/* show: $1 */" '
        { line = $0; sub(/^ */, "", line) }
        line == mark { in_block = 1; indent = length($0) - length(line); next }
        in_block && line == "/* end */" { exit }
        in_block { print substr($0, indent + 1) }' "${sources[@]}"
}

test_every_program_that_is_shown_is_tested_as_it_is() {
    local name names
    names=$(sed -n 's/^<!-- run: \(.*\) -->$/\1/p' "$guide")
    [ "$(wc -l <<<"$names")" -ge 9 ]
    while read -r name; do
        shown "$name" >one
        tested "$name" >other
        [ -s one ] || { echo "$name has no program" && return 1; }
        diff one other || { echo "the guide shows $name otherwise than it is tested" && return 1; }
    done <<<"$names"
}

test_every_program_that_is_tested_is_shown() {
    local name
    sed -n 's,^ */\* show: \(.*\) \*/$,\1,p' "${sources[@]}" >names
    [ "$(wc -l <names)" -ge 9 ]
    while read -r name; do
        grep -qF "<!-- run: $name -->" "$guide" || { echo "the guide does not show $name" && return 1; }
    done <names
}

test_every_name_of_ours_is_in_a_header() {
    local name rest
    grep -ohE '\b(dcmem|DCMEM)_[A-Za-z0-9_]+' "$guide" | sort -u >names
    cat "$DCMEM_SOURCE_DIR"/include/dcmem/*.h* >headers
    # Enumerators are made by lists: of DCMEM_E_BUSY one has "X(E_BUSY,", of DCMEM_KIND_PINNED another "X(PINNED,".
    while read -r name; do
        grep -qw "$name" headers && continue
        rest=${name#DCMEM_}
        until grep -qF "X($rest," headers; do
            [[ $rest == *_* ]] || { echo "no header knows $name" && return 1; }
            rest=${rest#*_}
        done
    done <names
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
