/* sweep.c: a test of one's own: each call that can fail fails once, on a device with a memory of its own. */
#include <dcmem/dcmem.h>
#include <dcmem/runner.h>

static dcmem_result
act(dcmem_sweep_run *run) /* a piece of your program, on the manager that it is given */
{
    char text[] = "to the device and back";
    dcmem_buffer *buffer;
    dcmem_result result = dcmem_buffer_create_from(&buffer, run->manager, text, sizeof text, NULL);
    if (result)
        return result;
    result = dcmem_buffer_copy_out(text, dcmem_view_whole(buffer), 0);
    dcmem_result end = dcmem_buffer_destroy(buffer);
    return result ? result : end;
}

int
main(void)
{
    dcmem_sweep sweep = {.size = sizeof sweep, .act = act};
    return DCMEM_EXPECT_OK(dcmem_test_sweep(NULL, &sweep)) ? 0 : 1;
}
