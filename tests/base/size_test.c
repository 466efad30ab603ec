/* size_test.c: sums, products and roundings agree with arithmetic that is wide enough. */
#include "base/size.h"
#include "test.h"

__extension__ typedef unsigned __int128 wide;

/* Where something changes: small numbers, powers of two and their neighbours, the end. */
static size_t
edges(uint64_t *out)
{
    size_t count = 0;
    for (unsigned bit = 0; bit < 64; bit++)
        for (int delta = -1; delta <= 1; delta++)
            out[count++] = (1ull << bit) + (uint64_t)delta;
    for (uint64_t delta = 0; delta < 4; delta++)
        out[count++] = UINT64_MAX - delta;
    return count;
}

#define MAX_EDGES 256

TEST(size__sums_and_products_are_exact_or_refused)
{
    uint64_t edge[MAX_EDGES];
    size_t count = edges(edge);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            uint64_t sum = 42, product = 43;
            wide true_sum = (wide)edge[i] + edge[j], true_product = (wide)edge[i] * edge[j];

            EXPECT_EQ(dcmi_size_add(&sum, edge[i], edge[j]), true_sum <= UINT64_MAX);
            EXPECT(sum == (true_sum <= UINT64_MAX ? (uint64_t)true_sum : 42));
            EXPECT_EQ(dcmi_size_mul(&product, edge[i], edge[j]), true_product <= UINT64_MAX);
            EXPECT(product == (true_product <= UINT64_MAX ? (uint64_t)true_product : 43));
        }
    }
}

TEST(size__rounding_up_gives_the_next_multiple_or_is_refused)
{
    uint64_t edge[MAX_EDGES];
    size_t count = edges(edge);
    for (unsigned bit = 0; bit < 64; bit++) {
        for (size_t i = 0; i < count; i++) {
            uint64_t unit = 1ull << bit, rounded = 42;
            wide truth = ((wide)edge[i] + unit - 1) / unit * unit;

            EXPECT_EQ(dcmi_round_up(&rounded, edge[i], unit), truth <= UINT64_MAX);
            EXPECT(rounded == (truth <= UINT64_MAX ? (uint64_t)truth : 42));
            EXPECT(dcmi_round_down(edge[i], unit) == edge[i] / unit * unit);
        }
    }
}

TEST(size__only_powers_of_two_are_powers_of_two)
{
    EXPECT(!dcmi_is_power_of_two(0));
    for (uint64_t n = 1; n < 5000; n++) {
        uint64_t power = 1;
        while (power < n)
            power *= 2;
        EXPECT_EQ(dcmi_is_power_of_two(n), power == n);
    }
    EXPECT(dcmi_is_power_of_two(1ull << 63));
    EXPECT(!dcmi_is_power_of_two(UINT64_MAX));
}

TEST(size__log2_is_the_highest_bit)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        EXPECT_EQ(dcmi_log2(1ull << bit), bit);
        EXPECT_EQ(dcmi_log2(UINT64_MAX >> (63 - bit)), bit);
    }
}

TEST(size__less_stops_at_zero)
{
    EXPECT_EQ(dcmi_less(5, 3), 2);
    EXPECT_EQ(dcmi_less(3, 3), 0);
    EXPECT_EQ(dcmi_less(3, 5), 0);
    EXPECT_EQ(dcmi_min(3, 5), 3);
    EXPECT_EQ(dcmi_min(5, 3), 3);
    EXPECT_EQ(dcmi_max(3, 5), 5);
    EXPECT_EQ(dcmi_max(5, 3), 5);
}
