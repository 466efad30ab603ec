# shell.sh: tests that are commands. A test program sources it, defines one function a test and ends with run_tests:
#
#     test_the_door_opens() { ./door --open; }       # a name is a sentence that can be false; failing is any exit code
#     test_the_lock_locks() { skip "no lock here"; } # ends the test
#     run_tests "$@"
#
# Each runs by itself under `set -e`, which does not see a failing `! command`: let that be a test's last line.
# Prints what cmocka prints, takes what test_main.c takes: --fast, --long (long_test_* functions), and parts of names.
# shellcheck shell=bash
set -u
export LC_ALL=C

: "${DCMEM_SOURCE_DIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
: "${DCMEM_BUILD_DIR:=$DCMEM_SOURCE_DIR/build/release}"
export DCMEM_SOURCE_DIR DCMEM_BUILD_DIR

# Tests leave files where they are: in a folder that ends with the program.
shell_scratch=$(mktemp -d)
trap 'rm -rf "$shell_scratch"' EXIT
cd "$shell_scratch" || exit 1

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# expect_failure COMMAND...: it must fail; what it says goes to the file "said".
expect_failure() {
    if "$@" >said 2>&1; then
        cat said
        echo "must fail, but did not: $*"
        return 1
    fi
}

# expect_said WORDS: the file "said" has them.
expect_said() {
    grep -qF -- "$1" said && return
    cat said
    echo "must say: $1"
    return 1
}

run_tests() {
    local kinds="test_ long_test_" name word selected names=() rc
    case ${1:-} in
    --fast) kinds=test_ && shift ;;
    --long) kinds=long_test_ && shift ;;
    esac
    # In the order of the file, as far as functions tell.
    for name in $(shopt -s extdebug && declare -F | awk '{ print $3 }' |
        while read -r f; do declare -F "$f"; done | sort -n -k2 | awk '{ print $1 }'); do
        for kind in $kinds; do
            [[ $name == "$kind"* ]] || continue
            selected=$([ $# = 0 ] && echo yes)
            for word in "$@"; do
                [[ $name == *"$word"* ]] && selected=yes
            done
            [ -z "$selected" ] || names+=("$name")
        done
    done
    [ ${#names[@]} -gt 0 ] || exit 0

    local passed=0 failed=0 skipped=0
    echo "[==========] Running ${#names[@]} test(s)."
    for name in "${names[@]}"; do
        echo "[ RUN      ] ${name#*test_}"
        # Not "( ... ) || rc=$?": in such a place the shell would ignore set -e.
        (set -e && "$name")
        rc=$?
        case $rc in
        0) echo "[       OK ] ${name#*test_}" && passed=$((passed + 1)) ;;
        77) echo "[  SKIPPED ] ${name#*test_}" && skipped=$((skipped + 1)) ;;
        *) echo "[  FAILED  ] ${name#*test_}" && failed=$((failed + 1)) ;;
        esac
    done
    echo "[==========] ${#names[@]} test(s) run."
    echo "[  PASSED  ] $passed test(s)."
    [ $skipped = 0 ] || echo "[  SKIPPED ] $skipped test(s)."
    [ $failed = 0 ] || echo "[  FAILED  ] $failed test(s)."
    [ $failed = 0 ]
    exit
}
