#!/usr/bin/env bash
# opencl_command_test: what the program dcmem says of OpenCL, and does with it.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

dcmem=$DCMEM_BUILD_DIR/dcmem

need_device() {
    [ -x "$dcmem" ] || skip "the program was not built"
    "$dcmem" devices >said
    ! grep -A1 '^opencl: not available' said >why || skip "$(tail -1 why)"
}

test_devices_lists_each_one() {
    need_device
    expect_said "opencl 0: "
    expect_said "driver               OpenCL "
}

test_devices_says_why_there_is_none() {
    [ -x "$dcmem" ] || skip "the program was not built"
    OCL_ICD_VENDORS=/nonexistent "$dcmem" devices >said
    expect_said "opencl: not available"
    # Where the loader is missing, too, that is the reason.
    grep -A1 "opencl: not available" said | grep -qE "vendors|libOpenCL"
}

test_replay_runs_a_trace_on_a_device() {
    need_device
    "$dcmem" replay --backend opencl --rounds 1 --quiet "$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz" >said
    expect_said "ffmpeg_filter"
}

test_replay_runs_buffers_on_a_device() {
    need_device
    "$dcmem" replay --backend opencl --rounds 1 --buffers --quiet "$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz" >said
}

run_tests "$@"
