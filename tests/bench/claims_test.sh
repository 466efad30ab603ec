#!/usr/bin/env bash
# claims_test: the scripts that judge launches and write tables, on made-up measurements.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

bench=$DCMEM_SOURCE_DIR/bench

need_python() {
    command -v python3 >/dev/null || skip "python3 is missing: only bench/compare and bench/report need it"
}

# entry CASE DCMEM GLIBC [KEY VALUE]: one object of `dcmem bench --json`.
entry() {
    local ratio
    ratio=$(awk -v a="$2" -v b="$3" 'BEGIN { print a / b }')
    printf '{"case": "%s", "unit": "ns", "dcmem": %s, "floor": 5, "peers": {"glibc": %s}, "ratio_to_floor": 1,' \
        "$1" "$2" "$3"
    printf '"ratio_to_best_peer": %s, "best_peer": "glibc", "ratios": {"glibc": %s}, "beside": null,' "$ratio" "$ratio"
    printf '"rounds": 3, "policy": "loose", "processors": 2, "compiler": "gcc", "absent": {}, "%s": %s}' \
        "${4:-spread}" "${5:-0}"
}

# launches CASE GLIBC DCMEM...: a results file with one launch for each of dcmem's times.
launches() {
    local case=$1 glibc=$2 separator=''
    shift 2
    printf '{"loose": ['
    for dcmem in "$@"; do
        printf '%s[%s]' "$separator" "$(entry "$case" "$dcmem" "$glibc")"
        separator=,
    done
    printf '], "tight": []}'
}

# expect_line FILE WORDS...: a line of the file has all of the words.
expect_line() {
    local file=$1 lines
    shift
    lines=$(cat "$file")
    for word in "$@"; do
        lines=$(grep -F -- "$word" <<<"$lines") || { cat "$file"; echo "no line has: $*"; return 1; }
    done
}

test_a_claim_holds_by_the_median_of_the_launches() {
    need_python
    launches fixed-64B 10 9 100 10 >results.json
    "$bench/compare" --load results.json >said || true
    expect_line said "64B: within 1.1 x of the best peer" "1.00 x" yes glibc
}

test_a_claim_that_is_missed_is_named_and_fails() {
    need_python
    launches fixed-64B 10 12 12 12 >results.json
    expect_failure "$bench/compare" --load results.json
    expect_line said "64B: within 1.1 x of the best peer" "1.20 x" NO
    expect_said "0 claims hold, 1 do not"
}

test_level_is_not_ahead() {
    need_python
    launches churn 10 10 >results.json
    expect_failure "$bench/compare" --load results.json
    expect_line said "churn, loose: ahead of every peer" NO
}

test_what_was_not_measured_is_neither_held_nor_missed() {
    need_python
    launches fixed-64B 10 5 >results.json
    "$bench/compare" --load results.json >said
    expect_line said "churn, tight: peak resident / live" "not measured"
}

test_compare_refuses_a_program_that_is_not_there() {
    need_python
    expect_failure "$bench/compare" --program ./nothing
    expect_said "./nothing is not there"
}

test_report_writes_between_the_markers_and_nowhere_else() {
    need_python
    launches fixed-64B 10 5 6 7 >results.json
    cp "$DCMEM_SOURCE_DIR/docs/benchmarks.md" document.md
    "$bench/report" --results results.json --document document.md --date 2000-01-01
    expect_line document.md "| fixed-64B |" "| 6.00 |" glibc
    expect_line document.md "Measured on 2000-01-01: 2 processors"
    diff <(sed '/<!-- begin/,/<!-- end/d' "$DCMEM_SOURCE_DIR/docs/benchmarks.md") \
        <(sed '/<!-- begin/,/<!-- end/d' document.md)
}

# replayed SIZING RATIO: what `dcmem replay --json` prints.
replayed() {
    printf '[{"trace": "own/torch_x", "ops": 1000, "rounds": 5, "backend": "cpu", "sizing": "%s", ' "$1"
    printf '"peak_live_bytes": 1048576, "bound_bytes": 1048576, "direct": {"ns_per_op": 900, "p99_ns": 2000}, '
    printf '"pool": {"ns_per_op": 9, "p99_ns": 20, "hit_rate": 0.99, "peak_reserved_bytes": 1100000, '
    printf '"reserved_over_live": %s, "reserved_over_bound": %s, "internal_waste": 0.02, "driver_calls": 3}, ' "$2" "$2"
    printf '"overhead_removed": 0.99}]'
}

test_report_puts_both_sizings_of_a_trace_into_one_row() {
    need_python
    replayed default 1.05 >default.json
    replayed power-of-two 1.45 >power.json
    cp "$DCMEM_SOURCE_DIR/docs/benchmarks.md" document.md
    "$bench/report" --replay default.json power.json --document document.md
    expect_line document.md "| own/torch_x |" "1.05 / 1.45"
    expect_line document.md "| default, torch traces |" 1.050
}

# touched POOL USE DRIVER: one case of first-touch.
touched() {
    printf '[{"case": "first-touch-opencl-4KiB", "unit": "ns", "dcmem": %s, "use alone": %s, "driver unused": 900, ' \
        "$1" "$2"
    printf '"pool unused": 10, "beside": "driver", "beside_value": %s, "ratio_to_beside": %s, ' "$3" \
        "$(awk -v a="$1" -v b="$3" 'BEGIN { print a / b }')"
    printf '"ratio_to_floor": %s, "peers": {}}, ' "$(awk -v a="$1" -v b="$2" 'BEGIN { print a / b }')"
    printf '{"case": "first-touch-vulkan-4KiB", "unit": "ns", "dcmem": null, "peers": {}}]'
}

test_report_says_what_of_a_driver_s_cost_a_pool_could_remove() {
    need_python
    touched 4010 4000 8000 >first.json
    touched 4020 4000 8000 >second.json
    touched 4030 4000 8000 >third.json
    cp "$DCMEM_SOURCE_DIR/docs/benchmarks.md" document.md
    "$bench/report" --first-touch first.json second.json third.json --document document.md
    # 1 - 4020 / 8000, 1 - 4000 / 8000, 1 - 10 / (8000 - 4000)
    expect_line document.md "| opencl-4KiB |" "49.75 %" "50.00 %" "99.75 %"
    ! grep "vulkan-4KiB" document.md
}

test_report_puts_used_and_unused_replays_of_a_backend_into_one_row() {
    need_python
    replayed default 1.05 | sed 's/"backend": "[a-z]*"/"backend": "opencl", "touch": false/' >plain.json
    replayed default 1.05 | sed 's/"backend": "[a-z]*"/"backend": "opencl", "touch": true/' >used.json
    cp "$DCMEM_SOURCE_DIR/docs/benchmarks.md" document.md
    "$bench/report" --backends plain.json used.json --document document.md
    expect_line document.md "| own/torch_x | opencl |" "99.00 %" 1.05
}

test_report_refuses_a_document_without_markers() {
    need_python
    replayed default 1.05 >default.json
    echo "no markers" >document.md
    expect_failure "$bench/report" --replay default.json --document document.md
    expect_said "no markers named"
}

run_tests "$@"
