#!/usr/bin/env bash
# vulkan_command_test: what the program dcmem says of Vulkan, and does with it; and what the validation layer, which
# sees every call, says of the driver.
# shellcheck source=../shell.sh
. "$(dirname "${BASH_SOURCE[0]}")/../shell.sh"

dcmem=$DCMEM_BUILD_DIR/dcmem

need_device() {
    [ -x "$dcmem" ] || skip "the program was not built"
    "$dcmem" devices >said
    ! grep -A1 '^vulkan: not available' said >why || skip "$(tail -1 why)"
}

test_devices_lists_each_one() {
    need_device
    expect_said "vulkan 0: "
    expect_said "driver               Vulkan "
}

test_devices_says_why_there_is_none() {
    [ -x "$dcmem" ] || skip "the program was not built"
    VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent "$dcmem" devices >said
    expect_said "vulkan: not available"
    # Where the loader is missing, too, that is the reason.
    grep -A1 "vulkan: not available" said | grep -qE "icd.d|libvulkan"
}

test_replay_runs_a_trace_on_a_device() {
    need_device
    "$dcmem" replay --backend vulkan --rounds 1 --quiet "$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz" >said
    expect_said "ffmpeg_filter"
}

test_replay_runs_buffers_on_a_device() {
    need_device
    "$dcmem" replay --backend vulkan --rounds 1 --buffers --quiet "$DCMEM_SOURCE_DIR/traces/ffmpeg_filter.csv.gz" >said
}

need_layer() {
    local folder
    found=
    need_device
    for folder in /usr/share /usr/local/share /etc; do
        ! grep -qs VK_LAYER_KHRONOS_validation "$folder"/vulkan/explicit_layer.d/*.json ||
            found=$folder/vulkan/explicit_layer.d
    done
    [ -n "$found" ] || skip "the validation layer is not installed"
}

# The layer writes what it finds to the standard output.
expect_valid() {
    VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation "$@" >said 2>&1
    ! grep -E 'VUID|UNASSIGNED|Validation' said
}

test_the_validation_layer_says_nothing_of_the_contract_suite() {
    need_layer
    expect_valid "$DCMEM_BUILD_DIR/tests/backend/contract_test" vulkan
}

test_the_validation_layer_says_nothing_of_buffers() {
    need_layer
    expect_valid "$DCMEM_BUILD_DIR/tests/drivers/vulkan_test" vulkan
}

# Above the layer that counts and fails calls, so that it sees what is done after each failure. Not of those that make
# an instance: where that fails, the layer itself leaks.
test_the_validation_layer_says_nothing_of_failing_calls() {
    need_layer
    VK_LAYER_PATH=$DCMEM_BUILD_DIR/tests/layers:$found \
        VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation:VK_LAYER_DCMEM_account \
        "$DCMEM_BUILD_DIR/tests/drivers/vulkan_account_test" account__of account__agrees real_driver >said 2>&1
    grep -q '\[       OK \] account__is_empty_after_each_call_of_the_real_driver_that_failed' said
    ! grep -E 'VUID|UNASSIGNED|Validation' said
}

run_tests "$@"
