/* first.c: numbers to a device, doubled there, and back. */
#include <dcmem/dcmem.h>
#include <stdio.h>

int
main(void)
{
    float numbers[4] = {1, 2, 3, 4};
    dcmem_manager *manager;
    dcmem_buffer *buffer;
    dcmem_access access;

    if (dcmem_manager_create(&manager, NULL) || /* NULL: the CPU, with every choice the library's */
        dcmem_buffer_create_from(&buffer, manager, numbers, sizeof numbers, NULL) ||
        dcmem_access_begin(&access, dcmem_view_whole(buffer), DCMEM_SIDE_DEVICE, DCMEM_ACCESS_UPDATE, 0))
        goto failed;

    float *argument = (float *)(uintptr_t)access.native.address; /* what a kernel is given; on the CPU a pointer */
    for (int i = 0; i < 4; i++)
        argument[i] *= 2;

    if (dcmem_access_end(&access) || dcmem_buffer_copy_out(numbers, dcmem_view_whole(buffer), 0) ||
        dcmem_buffer_destroy(buffer) || dcmem_manager_destroy(manager))
        goto failed;
    printf("%g %g %g %g\n", numbers[0], numbers[1], numbers[2], numbers[3]);
    return 0;

failed:
    fprintf(stderr, "%s\n", dcmem_last_detail()->message);
    return 1;
}
