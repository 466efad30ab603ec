# lib.sh: what scripts/run, scripts/test and .ci/run share. Sourced by bash, with $root set to the repository.
#
# On Debian missing packages are installed where that is allowed (root, or sudo that asks nothing); elsewhere, or with
# DCMEM_NO_INSTALL=1, the script says what is missing and how to get it.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # names that come from, or go to, those who source this

export LC_ALL=C # numbers with points, messages as they are documented

# One list per purpose.
packages_build="gcc libc6-dev cmake ninja-build zlib1g-dev"
packages_test="g++ libcmocka-dev check libcriterion-dev libgtest-dev pkg-config binutils mandoc"
# Drivers that need no device.
packages_devices="ocl-icd-libopencl1 ocl-icd-opencl-dev opencl-c-headers pocl-opencl-icd
    libvulkan-dev mesa-vulkan-drivers vulkan-validationlayers glslang-tools"
packages_peers="libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4"
packages_clang="clang llvm libclang-rt-dev"
packages_lint="clang-format clang-tidy shellcheck"
packages_report="python3" # for bench/compare and bench/report
packages_valgrind="valgrind libc6-dbg"

say() {
    printf '%s\n' "$*"
}

complain() {
    printf '%s\n' "$*" >&2
}

die() {
    complain "$@"
    exit 1
}

# Seconds since the clock reading $1 (from $EPOCHREALTIME), with one decimal.
seconds_since() {
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

is_installed() {
    case $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) in
    ii*) return 0 ;;
    esac
    # Not from a package, but there.
    case $1 in
    gcc | g++ | cmake | clang | valgrind | mandoc | shellcheck | python3) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    pkg-config) command -v pkg-config >/dev/null ;;
    binutils) command -v nm >/dev/null && command -v readelf >/dev/null ;;
    libc6-dev) [ -e /usr/include/stdio.h ] ;;
    zlib1g-dev) [ -e /usr/include/zlib.h ] ;;
    libcmocka-dev) [ -e /usr/include/cmocka.h ] ;;
    check) [ -e /usr/include/check.h ] ;;
    libcriterion-dev) [ -e /usr/include/criterion/criterion.h ] ;;
    libgtest-dev) [ -e /usr/include/gtest/gtest.h ] ;;
    *) return 1 ;;
    esac
}

missing_of() {
    local package
    for package in "$@"; do
        is_installed "$package" || printf '%s ' "$package"
    done
}

# How this user may become root without a question: "", "sudo -n", or false.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then
        printf ''
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        printf 'sudo -n'
    else
        return 1
    fi
}

apt_install() {
    local prefix=$1
    shift
    # shellcheck disable=SC2086 # an empty prefix is no word
    $prefix env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@"
}

# need_packages "to build" PACKAGE...: all of them are there when this returns.
need_packages() {
    local purpose=$1 missing prefix log
    shift
    missing=$(missing_of "$@")
    [ -n "$missing" ] || return 0

    # shellcheck disable=SC2086 # a list of words
    set -- $missing
    if [ -n "${DCMEM_NO_INSTALL:-}" ] || ! command -v apt-get >/dev/null || ! prefix=$(root_prefix); then
        complain "missing $purpose: $*"
        die "install them with: sudo apt-get install $*"
    fi

    say "installing $purpose: $*"
    log=$(mktemp)
    # Package lists may be absent or old: fetch them only when installing fails without.
    if ! apt_install "$prefix" "$@" >"$log" 2>&1; then
        # shellcheck disable=SC2086
        if ! { $prefix apt-get -qq -o DPkg::Lock::Timeout=300 update && apt_install "$prefix" "$@"; } >"$log" 2>&1; then
            cat "$log" >&2
            rm -f "$log"
            complain "could not install what is missing $purpose: $*"
            die "install them with: sudo apt-get install $*"
        fi
    fi
    rm -f "$log"
}

# quietly COMMAND...: its output only when it fails.
quietly() {
    local log rc=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || rc=$?
    [ $rc = 0 ] || cat "$log" >&2
    rm -f "$log"
    return $rc
}

# build PRESET TARGET [CMAKE_OPTION...]: in build/PRESET. A terminal sees ninja's counting line, a log only failures.
build() {
    local preset=$1 target=$2 begin=$EPOCHREALTIME folder
    shift 2
    folder=$root/build/$preset
    quietly cmake -S "$root" --preset "$preset" "$@" || return 1
    if [ -t 1 ]; then
        cmake --build "$folder" --target "$target" || return 1
    else
        quietly cmake --build "$folder" --target "$target" || return 1
    fi
    say "built $preset in $(seconds_since "$begin") s"
}
