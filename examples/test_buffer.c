/* test_buffer.c: a program's own tests, on buffers that refuse, fail late, are slow and spoil their bytes.
 *
 * `total()` is the program. It knows nothing of test buffers; what it is given are buffers. */
#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>

/* Adds up all numbers of a buffer, a slice of it at a time. */
static dcmem_result
total(int64_t *out, dcmem_buffer *numbers)
{
    enum { PIECE = 64 };
    int32_t piece[PIECE];
    int64_t sum = 0;
    dcmem_view all, part;
    dcmem_result result = dcmem_view_typed(&all, numbers, sizeof piece[0]);
    for (uint64_t first = 0; !result && first < all.bytes / sizeof piece[0]; first += PIECE) {
        result = dcmem_view_slice(&part, all, first, PIECE);
        if (!result)
            result = dcmem_buffer_copy_out(piece, part, 0);
        for (int i = 0; i < PIECE && !result; i++)
            sum += piece[i];
    }
    if (!result)
        *out = sum;
    return result;
}

static int failures;

static void
expect(bool holds, const char *what)
{
    printf("%s: %s\n", holds ? "ok" : "FAILED", what);
    failures += !holds;
}

/* 256 numbers, 0 to 255, under the restrictions that are wanted. */
static dcmem_test_buffer *
numbers(dcmem_test_buffer_options options)
{
    dcmem_test_buffer *test = NULL;
    options.pattern = DCMEM_TEST_PATTERN_INT32;
    if (dcmem_test_buffer_create(&test, 256 * sizeof(int32_t), &options))
        fprintf(stderr, "%s\n", dcmem_last_detail()->message);
    return test;
}

static void
count_waits(void *user, uint64_t nanoseconds)
{
    *(uint64_t *)user += nanoseconds;
}

int
main(void)
{
    int64_t sum = 0;
    dcmem_test_buffer_counts counts = {.size = sizeof counts};

    dcmem_test_buffer *test = numbers(dcmem_test_buffer_default());
    expect(!total(&sum, dcmem_test_buffer_buffer(test)) && sum == 255 * 128, "the numbers add up");
    expect(!dcmem_test_buffer_counts_of(&counts, test) && counts.operations == 4, "in four copies, none too many");
    expect(!dcmem_test_buffer_destroy(test), "nothing was left open or allocated");

    /* The third copy fails. */
    sum = -1;
    test = numbers(dcmem_test_buffer_fail_after(3));
    expect(total(&sum, dcmem_test_buffer_buffer(test)) == DCMEM_E_WRONG_STATE, "a failure half way is passed on");
    printf("    %s\n", dcmem_last_detail()->message);
    expect(sum == -1, "and the output is untouched");
    expect(!dcmem_test_buffer_destroy(test), "nothing was left open or allocated");

    /* A slow bus, on a clock of the test's own. */
    uint64_t waited = 0;
    dcmem_test_buffer_options slow = dcmem_test_buffer_slow_transfers();
    slow.sleep = count_waits;
    slow.sleep_user = &waited;
    test = numbers(slow);
    expect(!total(&sum, dcmem_test_buffer_buffer(test)) && waited == 40000000, "four transfers of 10 ms");
    expect(!dcmem_test_buffer_destroy(test), "nothing was left open or allocated");

    /* A bit flips in the device's memory. */
    dcmem_test_buffer_options fragile = dcmem_test_buffer_default();
    fragile.allow_corruption = true;
    test = numbers(fragile);
    dcmem_view all = dcmem_view_whole(dcmem_test_buffer_buffer(test));
    expect(!dcmem_test_buffer_corrupt(test, DCMEM_SIDE_DEVICE, 101, 0x10), "a bit of byte 101 flips");
    expect(dcmem_test_view_verify(all, DCMEM_TEST_PATTERN_INT32, 0) == DCMEM_E_WRONG_STATE, "and is found");
    printf("    %s\n", dcmem_last_detail()->message);
    expect(!dcmem_test_buffer_destroy(test), "nothing was left open or allocated");

    printf("%d failures\n", failures);
    return failures > 0;
}
