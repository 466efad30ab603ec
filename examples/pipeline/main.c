/* main.c: develops a picture: pipeline IN.ppm OUT.pgm */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>

static int
fail(const char *what, dcmem_result result)
{
    const dcmem_detail *detail = dcmem_last_detail();
    fprintf(stderr, "%s: %s\n", what, detail->result == result ? detail->message : dcmem_result_text(result));
    return 1;
}

/* All of a file; NULL when it cannot be read. */
static uint8_t *
read_file(size_t *out_count, const char *path)
{
    uint8_t *bytes = NULL;
    FILE *file = fopen(path, "rb");
    long count = -1;
    if (file && fseek(file, 0, SEEK_END) == 0)
        count = ftell(file);
    if (count > 0)
        bytes = malloc((size_t)count);
    if (bytes && (fseek(file, 0, SEEK_SET) != 0 || fread(bytes, 1, (size_t)count, file) != (size_t)count)) {
        free(bytes);
        bytes = NULL;
    }
    if (file)
        fclose(file);
    *out_count = (size_t)count;
    return bytes;
}

static bool
write_file(const char *path, const uint8_t *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool is_written = fwrite(bytes, 1, count, file) == count;
    return fclose(file) == 0 && is_written;
}

static dcmem_result
develop(image *out, const image *picture)
{
    dcmem_manager *manager;
    pipeline *line;
    dcmem_result result = dcmem_manager_create(&manager, NULL);
    if (result)
        return result;
    result = pipeline_create(&line, manager, &kernels_of_processor, picture->width, picture->height);
    if (!result) {
        result = pipeline_develop(out, line, picture);
        (void)pipeline_destroy(line); /* the picture is there, or the first failure is the one to tell */
    }
    (void)dcmem_manager_destroy(manager);
    return result;
}

int
main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: pipeline IN.ppm OUT.pgm\n");
        return 2;
    }
    size_t read_bytes, printed_bytes = 0;
    image picture, developed = {0, 0, 0, NULL};

    uint8_t *bytes = read_file(&read_bytes, arguments[1]);
    if (!bytes)
        return fail(arguments[1], DCMEM_E_UNAVAILABLE);
    dcmem_result result = image_parse(&picture, bytes, read_bytes);
    free(bytes);
    if (result)
        return fail(arguments[1], result);

    result = develop(&developed, &picture);
    image_fini(&picture);
    if (result)
        return fail("developing", result);
    bytes = image_print(&printed_bytes, &developed);
    bool is_written = bytes && write_file(arguments[2], bytes, printed_bytes);
    image_fini(&developed);
    free(bytes);
    return is_written ? 0 : fail(arguments[2], DCMEM_E_UNAVAILABLE);
}
