#!/usr/bin/env bash
# install_test: what `cmake --install` leaves is enough for others: a project that has nothing but the installed tree
# finds the library by CMake and by pkg-config, shared and static, builds, runs, and opens it at run time.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

outside=$DCMEM_SOURCE_DIR/tests/install
prefix=$PWD/prefix

# Sanitizers and coverage change what the library needs; the release build is what is installed.
case ${DCMEM_PRESET:-release} in
release | release-clang | debug | hostile) ;;
*) exit 0 ;;
esac

cmake --install "$DCMEM_BUILD_DIR" --prefix "$prefix" >install.log 2>&1 || {
    cat install.log
    exit 1
}
lib=$(dirname "$(find "$prefix" -name libdcmem.a)")
export PKG_CONFIG_PATH=$lib/pkgconfig

compile() {
    local out=$1 source=$2
    shift 2
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$outside/$source" -o "$out" "$@"
}

test_cmake_finds_the_package_and_links_both_libraries() {
    cmake -G Ninja -S "$outside" -B outside -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
    cmake --build outside
    ./outside/use-shared
    ./outside/use-static
    ldd outside/use-shared | grep -q libdcmem.so.0
    ! ldd outside/use-static | grep -q libdcmem
}

test_cmake_refuses_another_minor_version() {
    expect_failure cmake -G Ninja -S "$outside" -B other -DCMAKE_PREFIX_PATH="$prefix" -DWANTED=0.0.1
    expect_said "0.0.1"
}

test_pkg_config_links_the_shared_library() {
    # shellcheck disable=SC2046 # a list of words
    compile shared use.c $(pkg-config --cflags --libs dcmem) -Wl,-rpath,"$lib"
    ./shared
    ldd ./shared | grep -q libdcmem.so.0
}

test_pkg_config_links_the_static_library() {
    # shellcheck disable=SC2046
    compile static use.c $(pkg-config --cflags dcmem) -static $(pkg-config --static --libs dcmem)
    ./static
}

test_the_installed_tree_may_be_moved() {
    cp -a "$prefix" moved
    mv "$prefix" away # nothing of the old place may help
    trap 'mv away "$prefix"' EXIT
    # shellcheck disable=SC2046
    PKG_CONFIG_PATH=$PWD/moved/${lib#"$prefix"/}/pkgconfig compile moved-use use.c \
        $(PKG_CONFIG_PATH=$PWD/moved/${lib#"$prefix"/}/pkgconfig pkg-config --cflags --libs dcmem)
    LD_LIBRARY_PATH=$PWD/moved/${lib#"$prefix"/} ./moved-use
}

test_a_program_opens_the_library_at_run_time() {
    # shellcheck disable=SC2046
    compile opener open.c $(pkg-config --cflags dcmem) -ldl
    ./opener "$lib/libdcmem.so.0"
}

test_the_shared_library_needs_libc_only() {
    ldd "$lib/libdcmem.so.0" | awk '{ print $1 }' | grep -vE '^(linux-vdso|libc\.|/lib.*/ld-linux)' >said || return 0
    echo "it also needs:" && cat said
    return 1
}

# What a late dlopen must find room for: a kilobyte or two are all there is, for all libraries together.
test_the_shared_library_has_little_static_thread_local_storage() {
    local bytes
    bytes=$(readelf -lW "$lib/libdcmem.so" | awk '$1 == "TLS" { print $6 }')
    [ $((bytes)) -gt 0 ] && [ $((bytes)) -le 64 ]
}

test_the_shared_library_has_its_soname() {
    readelf -d "$lib/libdcmem.so" | grep -q 'SONAME.*\[libdcmem.so.0\]'
}

test_the_testing_kit_is_installed_and_links() {
    [ -e "$prefix/include/dcmem/testing.h" ] || skip "there is no testing kit yet"
    # shellcheck disable=SC2046
    compile kit kit.c $(pkg-config --cflags --libs dcmem-testing) -Wl,-rpath,"$lib"
    ./kit
}

test_the_program_runs_from_its_installed_place() {
    [ -x "$prefix/bin/dcmem" ] || skip "the program was not built"
    "$prefix/bin/dcmem" version
}

test_the_manual_pages_are_installed() {
    [ -n "$(ls "$DCMEM_SOURCE_DIR"/man/*.1 2>/dev/null)" ] || skip "there are no manual pages yet"
    find "$prefix" -name 'dcmem.1' | grep -q .
    [ "$(find "$prefix" -path '*/man/*' -type f | wc -l)" = "$(find "$DCMEM_SOURCE_DIR/man" -name '*.[1-9]' | wc -l)" ]
}

test_no_variant_for_benchmarks_is_installed() {
    ! find "$prefix" -name 'libdcmem-nostats*' -o -name 'libdcmem-unchecked*' | grep .
}

test_every_public_header_is_installed() {
    diff -r "$DCMEM_SOURCE_DIR/include/dcmem" "$prefix/include/dcmem"
}

run_tests "$@"
