/* test_data.c: patterns of bytes: what each byte is follows from its place alone, so a pattern can be written and
 * looked at in pieces. */
#include "host.h"
#include "test_buffer.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536u /* a whole number of elements of every pattern */

/* ---- Patterns ---- */

static uint64_t
element_bytes(dcmem_test_pattern pattern)
{
    switch (pattern) {
    case DCMEM_TEST_PATTERN_INT32:
    case DCMEM_TEST_PATTERN_FLOAT:
        return 4;
    case DCMEM_TEST_PATTERN_INT64:
    case DCMEM_TEST_PATTERN_DOUBLE:
        return 8;
    default:
        return 1;
    }
}

/* After SplitMix64 by Steele, Lea and Flood. */
uint64_t
dcmi_test_random(uint64_t seed, uint64_t number)
{
    uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Writes the element or byte that begins at byte `at` of a pattern. */
static void
write_element(uint8_t *to, uint64_t at, dcmem_test_pattern pattern, uint64_t seed)
{
    uint64_t number = at / element_bytes(pattern);
    int32_t as_int32 = (int32_t)(number & 0x7fffffff);
    int64_t as_int64 = (int64_t)number;
    float as_float = (float)number;
    double as_double = (double)number;
    switch (pattern) {
    case DCMEM_TEST_PATTERN_INT32:
        memcpy(to, &as_int32, sizeof as_int32);
        break;
    case DCMEM_TEST_PATTERN_INT64:
        memcpy(to, &as_int64, sizeof as_int64);
        break;
    case DCMEM_TEST_PATTERN_FLOAT:
        memcpy(to, &as_float, sizeof as_float);
        break;
    case DCMEM_TEST_PATTERN_DOUBLE:
        memcpy(to, &as_double, sizeof as_double);
        break;
    case DCMEM_TEST_PATTERN_RANDOM:
        *to = (uint8_t)(dcmi_test_random(seed, at / 8) >> (at % 8 * 8));
        break;
    default:
        *to = (uint8_t)at;
    }
}

/* Bytes `first` to `first + bytes` of a pattern; both are whole numbers of elements. */
static void
write_piece(uint8_t *to, uint64_t first, uint64_t bytes, dcmem_test_pattern pattern, uint64_t seed)
{
    for (uint64_t i = 0; i < bytes; i += element_bytes(pattern))
        write_element(to + i, first + i, pattern, seed);
}

static dcmem_result
verify_piece(const uint8_t *from, uint64_t first, uint64_t bytes, dcmem_test_pattern pattern, uint64_t seed)
{
    for (uint64_t i = 0; i < bytes; i += element_bytes(pattern)) {
        uint8_t wanted[8];
        write_element(wanted, first + i, pattern, seed);
        for (uint64_t j = 0; j < element_bytes(pattern); j++)
            if (from[i + j] != wanted[j])
                return dcmem_backend_fail(DCMEM_E_WRONG_STATE, "test", (int64_t)(first + i + j),
                                          "byte %llu is 0x%02x, not 0x%02x", (unsigned long long)(first + i + j),
                                          from[i + j], wanted[j]);
    }
    return DCMEM_OK;
}

static dcmem_result
check(uint64_t bytes, dcmem_test_pattern pattern)
{
    DCMI_TEST_REQUIRE((unsigned)pattern < DCMEM_TEST_PATTERN_COUNT);
    if (bytes % element_bytes(pattern))
        return dcmem_backend_fail(DCMEM_E_MISALIGNED, "test", 0, "%llu bytes are no whole number of elements of %llu",
                                  (unsigned long long)bytes, (unsigned long long)element_bytes(pattern));
    return DCMEM_OK;
}

dcmem_result
dcmem_test_data_write(void *to, uint64_t bytes, dcmem_test_pattern pattern, uint64_t seed)
{
    DCMI_TEST_REQUIRE(to || bytes == 0);
    dcmem_result result = check(bytes, pattern);
    if (!result && pattern != DCMEM_TEST_PATTERN_NONE)
        write_piece(to, 0, bytes, pattern, seed);
    return result;
}

dcmem_result
dcmem_test_data_verify(const void *from, uint64_t bytes, dcmem_test_pattern pattern, uint64_t seed)
{
    DCMI_TEST_REQUIRE(from || bytes == 0);
    dcmem_result result = check(bytes, pattern);
    if (result || pattern == DCMEM_TEST_PATTERN_NONE)
        return result;
    return verify_piece(from, 0, bytes, pattern, seed);
}

/* ---- Views ---- */

/* Writes or looks at one piece of a view, through `host`. */
typedef dcmem_result (*visit)(dcmem_view piece, uint8_t *host, uint64_t first, dcmem_test_pattern pattern,
                              uint64_t seed);

static dcmem_result
write_through(dcmem_view piece, uint8_t *host, uint64_t first, dcmem_test_pattern pattern, uint64_t seed)
{
    write_piece(host, first, piece.bytes, pattern, seed);
    return dcmem_buffer_copy_in(piece, host, 0);
}

static dcmem_result
verify_through(dcmem_view piece, uint8_t *host, uint64_t first, dcmem_test_pattern pattern, uint64_t seed)
{
    dcmem_result result = dcmem_buffer_copy_out(host, piece, 0);
    return result ? result : verify_piece(host, first, piece.bytes, pattern, seed);
}

static dcmem_result
visit_all(dcmem_view view, dcmem_test_pattern pattern, uint64_t seed, visit one)
{
    dcmem_result result = check(view.bytes, pattern);
    if (result || pattern == DCMEM_TEST_PATTERN_NONE)
        return result;
    uint8_t *host = dcmi_host_new(PIECE_BYTES);
    if (!host)
        return dcmem_backend_fail(DCMEM_E_NO_HOST_MEMORY, "test", 0, "%u bytes between a pattern and a view",
                                  PIECE_BYTES);

    /* A view of no bytes is asked about, too: it is refused as what it is. */
    uint64_t first = 0;
    dcmi_test_unseen_begin();
    do {
        uint64_t left = view.bytes - first;
        dcmem_view piece = {view.buffer, view.offset + first, left < PIECE_BYTES ? left : PIECE_BYTES, 1};
        result = one(piece, host, first, pattern, seed);
        first += piece.bytes;
    } while (!result && first < view.bytes);
    dcmi_test_unseen_end();
    free(host);
    return result;
}

dcmem_result
dcmem_test_view_write(dcmem_view to, dcmem_test_pattern pattern, uint64_t seed)
{
    return visit_all(to, pattern, seed, write_through);
}

dcmem_result
dcmem_test_view_verify(dcmem_view from, dcmem_test_pattern pattern, uint64_t seed)
{
    return visit_all(from, pattern, seed, verify_through);
}
