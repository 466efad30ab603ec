#!/usr/bin/env bash
# lazy_test: which libraries the program dcmem looks for, by the dynamic linker's own word.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

dcmem=$DCMEM_BUILD_DIR/dcmem
vendors='file=lib(OpenCL|vulkan|cuda|amdhip|ze_loader)'
[ -x "$dcmem" ] || exit 0

# looks WORD...: runs the program; what it says and what is looked for goes to the file "said".
looks() {
    LD_DEBUG=files "$dcmem" "$@" >said 2>&1
}

test_a_replay_on_the_cpu_looks_for_no_vendor_s_library() {
    looks replay --rounds 1 --quiet "$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz"
    expect_said ffmpeg_filter
    ! grep -E "$vendors" said
}

test_the_devices_of_one_backend_are_listed_without_the_others_libraries() {
    looks devices --backend cpu
    expect_said "cpu 0: "
    ! grep -E "$vendors" said
}

test_a_library_is_looked_for_when_its_devices_are_listed() {
    looks devices --backend opencl
    grep -qE 'file=libOpenCL.*dynamically loaded' said
    ! grep -E 'file=libvulkan.*dynamically loaded by .*(dcmem)' said
}

run_tests "$@"
