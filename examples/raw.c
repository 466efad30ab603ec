/* raw.c: memory by address, as adaptors need it: freed without a size, and what is no block's start refused. */
#include <dcmem/dcmem.h>
#include <stdio.h>

static int
fail(void)
{
    const dcmem_detail *detail = dcmem_last_detail();
    fprintf(stderr, "%s: %s\n", dcmem_result_name(detail->result), detail->message);
    return 1;
}

/* A call that is wrong on purpose: the result says how, nothing has changed. */
static void
show(const char *what, dcmem_result result)
{
    printf("%-16s %s: %s\n", what, dcmem_result_name(result), dcmem_result_text(result));
}

int
main(void)
{
    dcmem_manager *manager;
    if (dcmem_manager_create(&manager, NULL))
        return fail();

    char *line = dcmem_raw_allocate(manager, 20);
    void *page = dcmem_raw_allocate_aligned(manager, 10000, 4096);
    if (!line || !page)
        return fail();
    snprintf(line, 20, "kept by realloc");

    char *longer = dcmem_raw_reallocate(manager, line, 5000);
    uint64_t usable;
    if (!longer || dcmem_raw_usable_size(&usable, manager, longer))
        return fail();
    printf("%s; 5000 bytes asked, %llu given\n", longer, (unsigned long long)usable);

    show("interior", dcmem_raw_free(manager, longer + 64));
    show("another's", dcmem_raw_free(manager, &usable));
    if (dcmem_raw_free(manager, page))
        return fail();
    show("freed twice", dcmem_raw_free(manager, page));

    if (dcmem_raw_free(manager, longer) || dcmem_manager_destroy(manager))
        return fail();
    show("manager's end", dcmem_raw_free(manager, page));
    return 0;
}
