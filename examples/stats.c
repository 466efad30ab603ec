/* stats.c: what a manager did and holds: a snapshot, figures from it, and all of it as a table or as JSON.
 *
 *     stats            a table
 *     stats --json     the same for programs */
#include <dcmem/dcmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS 100

static int
fail(void)
{
    fprintf(stderr, "%s\n", dcmem_last_detail()->message);
    return 1;
}

/* Some work: every third buffer stays. */
static dcmem_result
work(dcmem_manager *manager)
{
    dcmem_buffer_options options = {.size = sizeof options, .flags = DCMEM_BUFFER_ZEROED, .tag = 7};
    for (unsigned i = 0; i < BUFFERS; i++) {
        dcmem_buffer *buffer;
        dcmem_result result = dcmem_buffer_create(&buffer, manager, 1000 + 5000 * i, &options);
        if (!result && i % 3 != 0)
            result = dcmem_buffer_destroy(buffer);
        if (result)
            return result;
    }
    return DCMEM_OK;
}

/* Asked for its length first, then for the text. */
static int
print(const dcmem_stats *stats, bool is_json)
{
    dcmem_result (*printer)(char *, size_t, size_t *, const dcmem_stats *) =
        is_json ? dcmem_stats_print_json : dcmem_stats_print_table;
    size_t bytes;
    if (printer(NULL, 0, &bytes, stats))
        return fail();
    char *text = malloc(bytes + 1);
    if (!text || printer(text, bytes + 1, NULL, stats))
        return fail();
    puts(text);
    free(text);
    return 0;
}

int
main(int count, char **arguments)
{
    static dcmem_stats stats; /* too large for small stacks */
    stats.size = sizeof stats;
    dcmem_manager *manager;
    if (dcmem_manager_create(&manager, NULL) || work(manager) || dcmem_stats_snapshot(&stats, manager))
        return fail();

    bool is_json = count > 1 && strcmp(arguments[1], "--json") == 0;
    if (!is_json)
        printf(
            "%llu live, %llu bytes used of %llu reserved; %.1f %% of requests without the driver; tag 7 holds %llu\n\n",
            (unsigned long long)stats.live_buffers, (unsigned long long)stats.used_bytes,
            (unsigned long long)stats.reserved_bytes, 100 * stats.hit_rate,
            (unsigned long long)stats.tags[7].live_bytes);
    int status = print(&stats, is_json);

    /* clear() ends what is still live; destroy() alone would call it leaked. */
    if (dcmem_manager_clear(manager) || dcmem_manager_destroy(manager))
        return fail();
    return status;
}
