#!/usr/bin/env bash
# man_test: the manual pages say what the headers say, name every exported call, and are clean for mandoc.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

make_man=$DCMEM_SOURCE_DIR/tools/make-man

# copy_of_repository: what make-man reads and writes, in the folder "copy".
copy_of_repository() {
    rm -rf copy
    mkdir -p copy/include copy/man
    cp -r "$DCMEM_SOURCE_DIR/include/dcmem" copy/include/
    cp "$DCMEM_SOURCE_DIR"/man/*.3 copy/man/
}

test_pages_are_what_the_headers_say() {
    "$make_man" --check "$DCMEM_SOURCE_DIR"
}

test_every_exported_call_has_a_page() {
    local name
    grep -ho '^DCMEM_API[^(]*(' "$DCMEM_SOURCE_DIR"/include/dcmem/*.h | sed 's/($//; s/.*[ *]//' | sort >calls
    [ "$(wc -l <calls)" -gt 50 ]
    while read -r name; do
        grep -q "^\.Nm $name\( ,\)\?\$" "$DCMEM_SOURCE_DIR"/man/*.3 || { echo "no page names $name" && return 1; }
        grep -q "^\.Fo $name\$" "$DCMEM_SOURCE_DIR"/man/*.3 || { echo "no page explains $name" && return 1; }
    done <calls
}

test_the_programs_page_knows_every_option() {
    local program=$DCMEM_BUILD_DIR/dcmem command option
    [ -x "$program" ] || skip "the program was not built"
    for command in devices replay version; do # of bench the page says where its options are
        "$program" "$command" --help | grep -o '^ *--[a-z-]*' | sed 's/ *--//' >options
        [ -s options ]
        while read -r option; do
            grep -q "Fl -$option\b" "$DCMEM_SOURCE_DIR/man/dcmem.1" ||
                { echo "dcmem.1 does not know $command --$option" && return 1; }
        done <options
    done
}

test_pages_are_clean_for_mandoc() {
    command -v mandoc >/dev/null || skip "mandoc is not installed"
    mandoc -T lint -W warning "$DCMEM_SOURCE_DIR"/man/*.3
    # What is left to the style level are cross references to pages that are not installed.
    mandoc -T lint "$DCMEM_SOURCE_DIR"/man/*.3 | grep -v "referenced manual not found" >said || true
    [ ! -s said ] || { cat said && return 1; }
}

test_check_refuses_a_page_that_is_out_of_date() {
    copy_of_repository
    "$make_man" --check copy
    sed -i 's/Creates a manager/Invents a manager/' copy/include/dcmem/manager.h
    expect_failure "$make_man" --check copy
    expect_said "man/dcmem_manager.3 is not what include/dcmem/manager.h says"
    "$make_man" copy
    grep -q "Invents a manager" copy/man/dcmem_manager.3
    "$make_man" --check copy
}

test_check_refuses_a_page_without_a_header() {
    copy_of_repository
    touch copy/man/dcmem_nothing.3
    expect_failure "$make_man" --check copy
    expect_said "man/dcmem_nothing.3 belongs to no header"
    "$make_man" copy
    [ ! -e copy/man/dcmem_nothing.3 ]
}

test_pages_are_shown_with_types_and_examples() {
    local pages=$DCMEM_SOURCE_DIR/man
    grep -q "uint64_t limit_bytes;" "$pages/dcmem_manager.3"
    grep -q "dcmem_buffer_create_from(&buffer, manager, pixels, bytes, NULL);" "$pages/dcmem_buffer.3"
    grep -q "X(allocations," "$pages/dcmem_stats.3"
    grep -q "define DCMEM_SIMULATED_HOST_VISIBLE" "$pages/dcmem_testing.3"
}

run_tests "$@"
