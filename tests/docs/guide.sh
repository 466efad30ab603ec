# guide.sh: for guides whose programs are tested: what stands behind "<!-- run: NAME -->" in the guide is what stands
# between "/* show: NAME */" and "/* end */" in a test. Set `guide` and `sources`.
# shellcheck shell=bash disable=SC2154

# shown NAME: the block of the guide.
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

# expect_programs_tested LEAST: every program that is shown is tested as it is, at least so many.
expect_programs_tested() {
    local name names
    names=$(sed -n 's/^<!-- run: \(.*\) -->$/\1/p' "$guide")
    [ "$(wc -l <<<"$names")" -ge "$1" ]
    while read -r name; do
        shown "$name" >one
        tested "$name" >other
        [ -s one ] || { echo "$name has no program" && return 1; }
        diff one other || { echo "the guide shows $name otherwise than it is tested" && return 1; }
    done <<<"$names"
}

# expect_programs_shown LEAST: and the other way round.
expect_programs_shown() {
    local name
    sed -n 's,^ */\* show: \(.*\) \*/$,\1,p' "${sources[@]}" >names
    [ "$(wc -l <names)" -ge "$1" ]
    while read -r name; do
        grep -qF "<!-- run: $name -->" "$guide" || { echo "the guide does not show $name" && return 1; }
    done <names
}

# expect_names_known: every name of ours in the guide is in a header.
expect_names_known() {
    local name rest
    grep -ohE '\b(dcmem|DCMEM)_[A-Za-z0-9_]+' "$guide" | sort -u >names
    cat "$DCMEM_SOURCE_DIR"/include/dcmem/*.h* >headers
    # Enumerators are made by lists: of DCMEM_E_BUSY one has "X(E_BUSY,", of DCMEM_KIND_PINNED another "X(PINNED,".
    while read -r name; do
        grep -qw "$name" headers && continue
        rest=${name#DCMEM_}
        until grep -qE "X\(${rest}[,)]" headers; do
            [[ $rest == *_* ]] || { echo "no header knows $name" && return 1; }
            rest=${rest#*_}
        done
    done <names
}
