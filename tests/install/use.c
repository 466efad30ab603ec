/* use.c: somebody else's program: one block, written and given back, and headers of the version that is linked. */
#include <dcmem/dcmem.h>

#include <stdio.h>
#include <string.h>

int
main(void)
{
    if (strcmp(dcmem_version(), DCMEM_VERSION) != 0) {
        fprintf(stderr, "library %s, headers %s\n", dcmem_version(), DCMEM_VERSION);
        return 1;
    }

    dcmem_manager *manager;
    if (dcmem_manager_create(&manager, NULL) != DCMEM_OK) {
        fprintf(stderr, "%s\n", dcmem_last_detail()->message);
        return 1;
    }
    char *block = dcmem_raw_allocate(manager, 4096);
    if (!block) {
        fprintf(stderr, "%s\n", dcmem_last_detail()->message);
        return 1;
    }
    memset(block, 1, 4096);
    dcmem_result result = dcmem_raw_free(manager, block);
    return result || dcmem_manager_destroy(manager) ? 1 : 0;
}
