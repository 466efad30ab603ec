#!/usr/bin/env bash
# devices_test: the image pipeline on the program's own OpenCL and Vulkan devices makes what the processor makes.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

# example NAME WORD...: runs it; what it prints goes to the file "said".
example() {
    local program=$DCMEM_BUILD_DIR/examples/$1/$1 rc=0
    [ -x "$program" ] || skip "example $1 was not built"
    "$program" "${@:2}" >said 2>&1 || rc=$?
    [ "$rc" != 77 ] || skip "$(cat said)"
    [ "$rc" = 0 ] || cat said
    return "$rc"
}

test_opencl_pipeline_makes_what_the_processor_makes() {
    example opencl_pipeline --check
    expect_said "12 pictures of 19 x 13 are what the processor makes of them"
    expect_said "12 pictures of 64 x 48 are what the processor makes of them"
}

# How much is hidden depends on what else the machine does, so no share is asked for.
long_test_opencl_pipeline_shows_how_much_of_the_copies_is_hidden() {
    example opencl_pipeline
    expect_said "queues: 1"
    expect_said "queues: 2"
    expect_said "12 pictures of 1920 x 1080 are what the processor makes of them"
}

test_opencl_pipeline_refuses_words_that_it_does_not_know() {
    [ -x "$DCMEM_BUILD_DIR/examples/opencl_pipeline/opencl_pipeline" ] || skip "example opencl_pipeline was not built"
    expect_failure "$DCMEM_BUILD_DIR/examples/opencl_pipeline/opencl_pipeline" --chekc
    expect_said "usage:"
}

test_vulkan_compute_makes_what_the_processor_makes_in_each_kind_of_memory() {
    local kind
    example vulkan_compute
    for kind in device host_visible pinned; do
        expect_said "$kind: 60 of 60 pictures are what the processor makes of them"
    done
}

test_the_validation_layer_says_nothing_of_vulkan_compute() {
    local folder found=
    for folder in /usr/share /usr/local/share /etc; do
        ! grep -qs VK_LAYER_KHRONOS_validation "$folder"/vulkan/explicit_layer.d/*.json || found=1
    done
    [ -n "$found" ] || skip "the validation layer is not installed"
    VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation example vulkan_compute device
    ! grep -E 'VUID|UNASSIGNED|Validation' said
}

# Each line of C that the READMEs show stands in the sources beside them.
test_readmes_show_code_as_it_is() {
    local name line
    for name in opencl_pipeline vulkan_compute; do
        # shellcheck disable=SC2016 # backquotes of the READMEs
        sed -n '/^```c$/,/^```$/ { /^```/ d; p }' "$DCMEM_SOURCE_DIR/examples/$name/README.md" >shown
        [ -s shown ]
        while read -r line; do
            grep -qF -- "$line" "$DCMEM_SOURCE_DIR/examples/$name"/*.[ch] || {
                echo "no source of $name has the line: $line"
                return 1
            }
        done <shown
    done
}

run_tests "$@"
