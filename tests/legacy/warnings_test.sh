#!/usr/bin/env bash
# warnings_test: each former name warns where it is used and names a line that compiles; the warnings can be turned off;
# docs/migration.md has them all.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

include=$DCMEM_SOURCE_DIR/include

# Each former name with its parameters and the line to write instead, parted by tabs, goes to the file "names".
read_names() {
    awk '
        function said(line) {
            sub(/^[^"]*"/, "", line)
            sub(/"[^"]*$/, "", line)
            return line
        }
        /^DCMEM_LEGACY\(/ { marked = 1; instead = "" }
        marked && /^(DCMEM_LEGACY\(| +)"/ { instead = instead said($0) }
        marked && /^[a-z_0-9]+\(/ { call = ""; marked = 2 }
        marked == 2 && /^\{/ {
            name = parameters = call
            sub(/\(.*/, "", name)
            sub(/^[^(]*\(/, "", parameters)
            sub(/\)[^)]*$/, "", parameters)
            printf "%s\t%s\t%s\n", name, parameters, instead
            marked = 0
        }
        marked == 2 { sub(/^ +/, " "); call = call $0 }
    ' "$include/dcmem/legacy.h" >names
    [ "$(wc -l <names)" -ge 10 ]
}

# compilers: those that are there.
compilers() {
    local compiler
    for compiler in gcc clang; do
        ! command -v "$compiler" >/dev/null || echo "$compiler"
    done
}

# callers TEXT: writes callers.c, in which each name is called by a function with the same parameters.
callers() {
    local name parameters words
    printf '%s\n#include <dcmem/dcmem.h>\n#include <dcmem/legacy.h>\n' "$1" >callers.c
    while IFS=$'\t' read -r name parameters _; do
        # Of each parameter the last word is its name.
        words=$(sed -E 's/[^,]*[ *]([a-z_0-9]+)(,|$)/\1\2 /g; s/ +$//' <<<"$parameters")
        printf 'void use_%s(%s);\nvoid use_%s(%s)\n{\n    (void)%s(%s);\n}\n' \
            "$name" "$parameters" "$name" "$parameters" "$name" "$words" >>callers.c
    done <names
}

test_every_name_warns_with_the_line_to_write_instead() {
    local compiler name instead
    read_names
    callers ""
    for compiler in $(compilers); do
        "$compiler" -std=c11 -I"$include" -Wall -Wextra -fsyntax-only callers.c 2>said
        [ "$(grep -c 'Wdeprecated-declarations' said)" = "$(wc -l <names)" ]
        while IFS=$'\t' read -r name _ instead; do
            grep -F "$name" said | grep -qF "write: $instead" || {
                cat said
                echo "$compiler does not warn of $name with: $instead"
                return 1
            }
        done <names
    done
}

test_the_warnings_can_be_turned_off() {
    local compiler
    read_names
    callers "#define DCMEM_LEGACY_SILENT"
    for compiler in $(compilers); do
        "$compiler" -std=c11 -I"$include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only callers.c
        "$compiler" -x c++ -std=c++17 -I"$include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only callers.c
    done
}

test_including_the_header_alone_warns_of_nothing() {
    printf '#include <dcmem/legacy.h>\n' >alone.c
    local compiler
    for compiler in $(compilers); do
        "$compiler" -std=c11 -I"$include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only alone.c
    done
}

test_every_line_to_write_instead_compiles() {
    local name parameters instead compiler
    read_names
    printf '#define DCMEM_LEGACY_SILENT\n#include <dcmem/dcmem.h>\n#include <dcmem/legacy.h>\n' >lines.c
    while IFS=$'\t' read -r name parameters instead; do
        printf 'void instead_of_%s(%s);\nvoid instead_of_%s(%s)\n{\n    (void)(%s);\n}\n' \
            "$name" "$parameters" "$name" "$parameters" "$instead" >>lines.c
    done <names
    for compiler in $(compilers); do
        "$compiler" -std=c11 -I"$include" -Wall -Wextra -Wpedantic -Werror -fsyntax-only lines.c
    done
}

test_the_libraries_have_none_of_these_names() {
    local name library
    read_names
    command -v nm >/dev/null || skip "nm is not installed"
    for library in "$DCMEM_BUILD_DIR"/libdcmem*.so; do
        nm -D --defined-only "$library" >symbols
        while IFS=$'\t' read -r name _; do
            ! grep -qw "$name" symbols || { echo "$library has $name" && return 1; }
        done <names
    done
}

test_every_name_has_a_manual_page_with_its_line() {
    local name instead page=$DCMEM_SOURCE_DIR/man/dcmem_legacy.3
    read_names
    while IFS=$'\t' read -r name _ instead; do
        grep -q "^\.Nm $name\( ,\)\?\$" "$page"
        grep -q "^\.Fo $name\$" "$page"
        grep -qxF "$instead" "$page"
    done <names
}

test_the_guide_to_moving_has_every_name_and_its_line() {
    local name instead
    read_names
    while IFS=$'\t' read -r name _ instead; do
        grep -F "\`$name\`" "$DCMEM_SOURCE_DIR/docs/migration.md" | grep -qF "\`$instead\`" || {
            echo "docs/migration.md has no row of $name with: $instead"
            return 1
        }
    done <names
}

run_tests "$@"
